//! The agent's machine against replies that are well signed and say whatever the bytes say, with power cuts between.

use protocol::chain::hash_of;
use protocol::edge::{Compression, Dictionary};
use protocol::history::History;
use protocol::ids::{Epoch, Hash, Position, RecordId, Sequence, TableRef, Token};
use protocol::limits;
use protocol::message::{self, Cursor, FramePartState, Refusal, ReplyHead};
use protocol::page::{self, PageHeader, PagePart, PageRow};
use protocol::row::{ColumnRef, Row, Value};
use protocol::section::Kind;
use protocol::versions::{Receipt, Versions};

use crate::device::{Device, Reply, control_rows, scope};
use crate::edges::{Unpacking, by_central, context_of, kind_of};
use crate::program::Program;

/// Requests in one run; the next connection fails.
const REQUESTS_MAX: usize = 24;

/// Two sessions of one device; the power may fail in the first.
pub(crate) fn session(bytes: &[u8]) {
    let mut program = Program::new(bytes);
    let mut device = Device::of(&mut program);
    let steps = usize::from(program.byte());
    let mut requests = 0;
    for steps in [steps, usize::MAX] {
        let outcome = device.sync(steps, &mut |device, request| {
            requests += 1;
            (requests <= REQUESTS_MAX && !program.is_over()).then(|| said(&mut program, device, request))
        });
        if let Some(failure) = outcome.and_then(|outcome| outcome.failure) {
            assert!(!failure.code().is_empty() && !failure.to_string().is_empty());
            let _ = failure.advice();
        }
    }
}

/// What central says to one request.
fn said(program: &mut Program<'_>, device: &Device, request: &[u8]) -> Reply {
    let context = context_of(request);
    let mut reply = Reply { bytes: Vec::new(), piece_bytes: usize::from(program.byte()) * 16 + 1, is_whole: true };
    let mut pages = 0;
    for _ in 0..program.below(9) {
        let section = match program.byte() % 10 {
            0 | 1 => right_head(program, device, context),
            2 => any_head(program, device, context),
            3 | 4 => {
                let rows = page::pack_rows(&rows(program), &History::default(), &mut Unpacking::default())
                    .unwrap_or_else(|error| panic!("packing never fails: {error}"));
                let header = PageHeader { plain_bytes: rows.plain_bytes, ..page_header(program, pages) };
                pages += 1;
                page_section(&header, &rows.bytes, context)
            }
            5 => {
                let (header, whole) = (page_header(program, pages), program.some());
                pages += 1;
                parts(program, &header, whole, context, &mut pages)
            }
            6 => {
                let header = any_page_header(program, pages);
                pages += 1;
                page_section(&header, program.some(), context)
            }
            7 => {
                let text = String::from_utf8_lossy(program.some()).into_owned();
                let mut refusal = Refusal::new("busy", &text);
                refusal.retry_after_s = program.flag().then(|| program.length());
                if program.flag() {
                    refusal = Refusal::of_version(message::VERSION, versions(program), receipt(program, device));
                }
                by_central(Kind::Refusal, context, &message::encode(&refusal))
            }
            8 => by_central(kind_of(program.byte()), context, program.some()),
            _ => {
                let count = program.short();
                reply.bytes.truncate(usize::from(count));
                reply.is_whole = program.flag();
                program.some().to_vec()
            }
        };
        reply.bytes.extend(section);
    }
    reply
}

/// Those that central may say that it understands.
fn versions(program: &mut Program<'_>) -> Versions {
    let min = program.byte() % 2;
    Versions { min, max: min.max(program.byte()) }
}

/// A receipt in a refusal, right or wrong.
fn receipt(program: &mut Program<'_>, device: &Device) -> Receipt {
    let received = Sequence(program.number());
    let is_known = program.flag() && received <= device.head();
    Receipt {
        token: Token([1; 16]),
        received,
        received_hash: if is_known { device.hash_at(received) } else { Hash([program.byte(); 32]) },
        admitted_bytes: program.length(),
        frame_part: program
            .flag()
            .then(|| FramePartState { hash: Hash([program.byte(); 32]), received: program.length() }),
    }
}

/// A head that the device has no reason to refuse.
fn right_head(program: &mut Program<'_>, device: &Device, context: Hash) -> Vec<u8> {
    let received = Sequence(program.number().min(device.head().0));
    let received = if program.flag() { device.head() } else { received };
    let has_pages = program.flag() && received == device.head();
    let head = ReplyHead { received, received_hash: device.hash_at(received), has_pages, ..empty_head() };
    by_central(Kind::ReplyHead, context, &message::encode(&head))
}

/// A head that may say anything.
fn any_head(program: &mut Program<'_>, device: &Device, context: Hash) -> Vec<u8> {
    let first = program.number();
    let received = Sequence(program.number());
    let is_known = program.flag() && received <= device.head();
    let head = ReplyHead {
        received,
        received_hash: if is_known { device.hash_at(received) } else { Hash([program.byte(); 32]) },
        judged: Sequence(program.number()),
        epoch: Epoch(program.number()),
        position: Position(program.number()),
        admitted_bytes: program.length(),
        frame_part: program
            .flag()
            .then(|| FramePartState { hash: Hash([program.byte(); 32]), received: program.length() }),
        control: control_rows(program, first),
        has_more_control: program.flag(),
        rows_waiting: program.flag().then(|| program.number()),
        has_pages: program.flag(),
        ..empty_head()
    };
    by_central(Kind::ReplyHead, context, &message::encode(&head))
}

fn empty_head() -> ReplyHead {
    ReplyHead {
        version: message::VERSION,
        token: Token([1; 16]),
        received: Sequence::ZERO,
        received_hash: Hash::NONE,
        judged: Sequence::ZERO,
        backed_up: Sequence::ZERO,
        epoch: Epoch(1),
        position: Position(1),
        admitted_bytes: limits::REQUEST_FRAME_BYTES_MAX,
        frame_part: None,
        control: Vec::new(),
        has_more_control: false,
        rows_waiting: None,
        has_pages: false,
        further: Vec::new(),
    }
}

fn page_header(program: &mut Program<'_>, index: u32) -> PageHeader {
    let flags = program.byte();
    let number = Position(program.number());
    PageHeader {
        version: message::VERSION,
        index,
        scope: scope(program.byte()),
        cursor: Cursor { epoch: Epoch(1), number, began: number },
        is_drained: flags & 1 != 0,
        is_last: flags & 2 != 0,
        is_complete: flags & 4 != 0,
        rows: 0,
        part: None,
        compression: Compression::None,
        dictionary: Dictionary::None,
        plain_bytes: 0,
    }
}

fn any_page_header(program: &mut Program<'_>, index: u32) -> PageHeader {
    let index = if program.flag() { program.length() } else { index };
    let part = program.flag().then(|| PagePart {
        hash: Hash([program.byte(); 32]),
        offset: program.length(),
        total: program.length(),
    });
    PageHeader {
        part,
        compression: if program.flag() { Compression::Zstd } else { Compression::None },
        dictionary: match program.byte() % 3 {
            0 => Dictionary::None,
            1 => Dictionary::BuiltIn(program.byte()),
            _ => Dictionary::Previous,
        },
        plain_bytes: program.length(),
        ..page_header(program, index)
    }
}

/// A page in parts that fit together, or do not.
fn parts(program: &mut Program<'_>, header: &PageHeader, whole: &[u8], context: Hash, pages: &mut u32) -> Vec<u8> {
    let total = u32::try_from(whole.len()).unwrap_or(u32::MAX);
    let hash = if program.below(8) == 0 { Hash([1; 32]) } else { hash_of(whole) };
    let plain_bytes = total;
    let mut bytes = Vec::new();
    let mut offset = if program.below(4) == 0 { usize::from(program.byte()) } else { 0 };
    for _ in 0..=program.below(4) {
        let rest = whole.get(offset..).unwrap_or_default();
        let slice = &rest[..rest.len().min(usize::from(program.byte()))];
        let part = PagePart { hash, offset: u32::try_from(offset).unwrap_or(u32::MAX), total };
        let is_last = header.is_last && offset + slice.len() >= whole.len();
        let header = PageHeader { index: *pages - 1, part: Some(part), plain_bytes, is_last, ..header.clone() };
        bytes.extend(page_section(&header, slice, context));
        offset += slice.len();
        *pages += 1;
    }
    *pages -= 1;
    bytes
}

fn page_section(header: &PageHeader, packed: &[u8], context: Hash) -> Vec<u8> {
    let mut body = message::encode(header);
    body.extend_from_slice(packed);
    by_central(Kind::Page, context, &body)
}

fn rows(program: &mut Program<'_>) -> Vec<PageRow> {
    let mut rows = Vec::new();
    for _ in 0..program.below(5) {
        let name = String::from_utf8_lossy(program.take(3)).into_owned();
        let Ok(record) = RecordId::new(&name) else { continue };
        let text = Value::Text(String::from_utf8_lossy(program.some()).into_owned());
        let row = if program.flag() { Row::new(vec![(ColumnRef::Known(program.short()), text)]).ok() } else { None };
        let table = TableRef::Known(program.short());
        rows.push(PageRow { table, record, position: Position(program.number()), row });
    }
    rows
}

#[cfg(test)]
mod tests {
    use protocol::ids::ControlNumber;

    use super::*;

    #[test]
    fn a_program_of_nothing_is_a_session_whose_connection_fails() {
        session(&[]);
        assert_eq!(control_rows(&mut Program::new(&[2, 1, 0, 1, 0]), 7)[1].number, ControlNumber(8));
    }
}
