//! Files that travel by stick: sealed ones, and exports.

use std::io::{Cursor, Read as _, Write as _};

use protocol::chain::hash_of;
use protocol::export::{Import, Step, Tools};
use protocol::ids::Hash;
use protocol::limits;
use protocol::section::{Binding, Kind as SectionKind, seal};
use sealed::{Cost, HEADER_BYTES, Kind, Passphrase, SALT_BYTES, SealedError, SealedReader, SealedWriter};

use crate::edges::{CENTRAL, SITE, Unpacking};

const QUICK: Cost = Cost { memory_kib: 8, rounds: 1 };

fn passphrase() -> Passphrase {
    Passphrase::of(b"four random words").expect("it is long enough")
}

/// Any file gives its content or an error. What was sealed comes back, and not once a byte of it differs. The first byte says which.
pub(crate) fn sealed(bytes: &[u8]) {
    match bytes.split_first() {
        Some((0, file)) if is_cheap(file) => drop(open(file)),
        Some((0, _)) | None => {}
        Some((_, rest)) => {
            let Some((place, content)) = rest.split_first_chunk::<3>() else { return };
            altered(*place, content);
        }
    }
}

/// Whether the header asks for no more than a fuzzer has time for.
fn is_cheap(file: &[u8]) -> bool {
    let number = |at: usize| file.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes);
    file.len() < HEADER_BYTES || number(18) <= 64 && number(22) <= 2
}

fn open(file: &[u8]) -> Result<Vec<u8>, SealedError> {
    let mut reader = SealedReader::open(Cursor::new(file), Kind::Request, &passphrase())?;
    let bytes = reader.verify()?;
    let mut content = Vec::new();
    reader.read_to_end(&mut content)?;
    assert_eq!(bytes, content.len() as u64);
    assert_eq!(sealed::content_bytes(file.len() as u64), Some(bytes));
    Ok(content)
}

fn altered([low, high, change]: [u8; 3], content: &[u8]) {
    let begun = SealedWriter::begin(Vec::new(), Kind::Request, &passphrase(), QUICK, [7; SALT_BYTES]);
    let mut writer = begun.expect("memory takes it");
    writer.write_all(content).expect("memory takes it");
    let mut file = writer.finish().expect("memory takes it");
    assert_eq!(open(&file).expect("it is whole"), content);
    let at = usize::from(u16::from_le_bytes([low, high])) % file.len();
    if change == 0 {
        file.truncate(at);
    } else if let Some(byte) = file.get_mut(at) {
        *byte ^= change;
    }
    if is_cheap(&file) {
        assert!(open(&file).is_err(), "byte {at} of the file differs");
    }
}

/// Sections as central signs them, of any bodies: pages in order and within their limits, or an error. A section is a byte, of which the
/// lowest bit says whether it is a head, the length of its body in two bytes, and the body.
pub(crate) fn export(bytes: &[u8]) {
    let Some((piece, mut rest)) = bytes.split_first() else { return };
    let (mut file, mut head) = (Vec::new(), Hash::NONE);
    while let Some(([kind, low, high], behind)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(behind.len());
        let (body, left) = behind.split_at(length);
        rest = left;
        let is_head = kind & 1 == 1 && body.len() <= limits::EXPORT_HEAD_BYTES_MAX;
        let (kind, context) =
            if is_head { (SectionKind::ExportHead, Hash::NONE) } else { (SectionKind::ExportPage, head) };
        if is_head {
            head = hash_of(body);
        }
        let binding = Binding { central: CENTRAL.public(), site: SITE, context };
        file.extend(seal(kind, &binding, body, &CENTRAL));
    }
    let mut import = Import::new(CENTRAL.public(), SITE);
    let mut codec = Unpacking::default();
    let mut tools = Tools { codec: &mut codec, verifier: &CENTRAL };
    let mut has_head = false;
    for piece in file.chunks(usize::from(*piece) + 1) {
        import.feed(piece);
        loop {
            match import.step(&mut tools) {
                Ok(Some(Step::Head(_))) => assert!(!std::mem::replace(&mut has_head, true), "two heads"),
                Ok(Some(Step::Page(page))) => {
                    assert!(has_head && page.rows.len() <= limits::PAGE_ROWS_MAX);
                    assert!(page.cursor.number.0 <= limits::NUMBER_MAX);
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    let _ = import.end();
}
