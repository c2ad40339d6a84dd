//! What a file promises, over its lengths and every way of spoiling it.

use std::io::{Cursor, Read as _, Write as _};

use proptest::prelude::*;

use super::*;

const QUICK: Cost = Cost { memory_kib: 8, rounds: 1 };

fn passphrase(text: &str) -> Passphrase {
    Passphrase::of(text.as_bytes()).unwrap()
}

fn right() -> Passphrase {
    passphrase("four random words")
}

fn sealed(content: &[u8]) -> Vec<u8> {
    let mut writer = SealedWriter::begin(Vec::new(), Kind::Request, &right(), QUICK, [1; SALT_BYTES]).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap()
}

fn opened(bytes: &[u8], passphrase: &Passphrase) -> Result<Vec<u8>, SealedError> {
    let mut reader = SealedReader::open(Cursor::new(bytes), Kind::Request, passphrase)?;
    reader.verify()?;
    let mut content = Vec::new();
    reader.read_to_end(&mut content)?;
    Ok(content)
}

fn code(bytes: &[u8]) -> &'static str {
    opened(bytes, &right()).map_or_else(|error| error.code(), |_| "opened")
}

/// Content of which no two chunks are the same.
fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| u8::try_from((index * 7 + index / 251) % 256).unwrap()).collect()
}

#[test]
fn content_of_any_length_comes_back_and_its_length_is_known_from_the_files() {
    for bytes in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 5] {
        let (content, file) = (content(bytes), sealed(&content(bytes)));

        assert_eq!(opened(&file, &right()).unwrap(), content, "{bytes} bytes");
        assert_eq!(content_bytes(file.len() as u64), Some(bytes as u64));
    }
    assert_eq!(content_bytes(HEADER_BYTES as u64), None);
    assert_eq!(content_bytes(HEADER_BYTES as u64 + 15), None);
}

#[test]
fn a_file_opens_under_its_passphrase_alone_and_shows_nothing_of_its_content() {
    let file = sealed(&[7; 100]);

    assert!(!file.windows(8).any(|window| window == [7; 8]));
    assert_eq!(opened(&file, &passphrase("four random word")).unwrap_err().code(), "sealed_file_locked");
}

#[test]
fn two_files_of_the_same_content_have_nothing_in_common_but_their_header() {
    let other = SealedWriter::begin(Vec::new(), Kind::Request, &right(), QUICK, [2; SALT_BYTES]);
    let mut other = other.unwrap();
    other.write_all(&[7; 100]).unwrap();
    let (one, other) = (sealed(&[7; 100]), other.finish().unwrap());

    assert!(one[HEADER_BYTES..].windows(4).zip(other[HEADER_BYTES..].windows(4)).all(|(one, other)| one != other));
}

#[test]
fn each_flipped_bit_is_noticed() {
    let good = sealed(b"some edits");
    for index in 0..good.len() {
        for bit in [1, 0x80] {
            let mut flipped = good.clone();
            flipped[index] ^= bit;
            // A flip in the cost may ask for much, which is refused, or for a little more, which makes another key.
            assert_ne!(code(&flipped), "opened", "byte {index}, bit {bit}");
        }
    }
}

#[test]
fn a_file_that_is_cut_lengthened_or_put_into_another_order_is_refused() {
    let good = sealed(&content(3 * CHUNK_BYTES));
    let sealed_chunk = CHUNK_BYTES + TAG_BYTES;
    let (first, second) =
        (HEADER_BYTES..HEADER_BYTES + sealed_chunk, HEADER_BYTES + sealed_chunk..HEADER_BYTES + 2 * sealed_chunk);
    let header = &good[..HEADER_BYTES];
    let swapped = [header, &good[second.clone()], &good[first.clone()], &good[second.end..]].concat();
    let doubled = [header, &good[first.clone()], &good[first], &good[second.start..]].concat();

    for (what, bytes, expected) in [
        ("one byte short", &good[..good.len() - 1], "sealed_file_damaged"),
        ("cut behind a chunk", &good[..second.end], "sealed_file_damaged"),
        ("cut within a chunk", &good[..second.end - 100], "sealed_file_damaged"),
        ("cut behind the header", header, "sealed_file_locked"),
        ("cut within the header", &good[..10], "sealed_file_form"),
        ("empty", &[], "sealed_file_form"),
        ("a byte behind it", &[&good[..], &[0]].concat(), "sealed_file_damaged"),
        ("another file behind it", &[&good[..], &good[..]].concat(), "sealed_file_damaged"),
        ("two chunks changed places", &swapped, "sealed_file_locked"),
        ("a chunk twice", &doubled, "sealed_file_damaged"),
    ] {
        assert_eq!(code(bytes), expected, "{what}");
    }
}

#[test]
fn what_asks_for_too_much_or_is_of_another_version_or_kind_is_named_before_anything_is_done_for_it() {
    let good = sealed(b"some edits");
    let with = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        code(&file)
    };

    assert_eq!(with(18, &(MEMORY_KIB_MAX + 1).to_le_bytes()), "sealed_file_limit");
    assert_eq!(with(18, &u32::MAX.to_le_bytes()), "sealed_file_limit");
    assert_eq!(with(18, &0_u32.to_le_bytes()), "sealed_file_limit");
    assert_eq!(with(22, &(ROUNDS_MAX + 1).to_le_bytes()), "sealed_file_limit");
    assert_eq!(with(22, &0_u32.to_le_bytes()), "sealed_file_limit");
    assert_eq!(with(15, b"2"), "sealed_file_version");
    assert_eq!(with(0, b"0"), "sealed_file_form");
    assert_eq!(with(17, &[9]), "sealed_file_kind");
    assert_eq!(with(17, &[2]), "sealed_file_kind");
}

#[test]
fn a_file_of_another_kind_says_which() {
    let error = SealedReader::open(Cursor::new(sealed(b"x")), Kind::Answer, &right()).err().unwrap();

    assert_eq!(
        error.to_string(),
        "the file is what a device carries out to central; wanted is central's answer to a device"
    );
}

#[test]
fn a_passphrase_that_is_easily_guessed_is_not_taken_and_a_line_end_does_not_count() {
    for text in ["", "short", "eleven byte", "two lines\nof text", &"x".repeat(PASSPHRASE_BYTES_MAX + 1)] {
        assert_eq!(Passphrase::of(text.as_bytes()).unwrap_err().code(), "passphrase_length", "{text}");
    }
    assert_eq!(opened(&sealed(b"x"), &passphrase("four random words\r\n")).unwrap(), b"x");
}

#[test]
fn reading_begins_anew_after_the_whole_was_verified() {
    let file = sealed(&content(CHUNK_BYTES + 9));
    let mut reader = SealedReader::open(Cursor::new(file), Kind::Request, &right()).unwrap();
    let mut some = [0; 10];
    reader.read_exact(&mut some).unwrap();

    assert_eq!(reader.verify().unwrap(), CHUNK_BYTES as u64 + 9);
    let mut again = Vec::new();
    reader.read_to_end(&mut again).unwrap();
    assert_eq!(again, content(CHUNK_BYTES + 9));
}

#[test]
fn a_file_keeps_its_bytes_and_opens() {
    let comment = "Sealed request with the content `edits` under `four random words`, 8 KiB, 1 round";
    let stored = golden_files::same("files-1/sealed", comment, &sealed(b"edits"));
    assert_eq!(opened(&stored, &right()).unwrap(), b"edits");
}

/// Files of today have to be readable for as long as they are kept (`docs/sealed-file-format.md`).
#[test]
fn the_bytes_are_those_of_the_document() {
    let hex = sealed(b"edits").iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));

    let document = include_str!("../../../docs/sealed-file-format.md");
    assert!(document.replace('\n', "").contains(&hex), "{hex}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pieces_of_any_size_make_the_same_file(pieces in proptest::collection::vec(0_usize..40_000, 0..12)) {
        let whole: Vec<u8> = content(pieces.iter().sum());
        let mut writer = SealedWriter::begin(Vec::new(), Kind::Request, &right(), QUICK, [1; SALT_BYTES]).unwrap();
        let mut rest = whole.as_slice();
        for piece in pieces {
            let (now, later) = rest.split_at(piece);
            writer.write_all(now).unwrap();
            rest = later;
        }

        prop_assert_eq!(writer.finish().unwrap(), sealed(&whole));
    }

    #[test]
    fn any_bytes_give_an_error_or_their_content(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..200) {
        let mut file = sealed(b"some edits");
        file.truncate(cut);
        let start = bytes.len().min(file.len());
        file.splice(..start, bytes);
        let _ = opened(&file, &right());
    }
}
