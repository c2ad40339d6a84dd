//! Bytes of a stream, cut into sections whatever the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::section::SectionReader;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let mut whole = SectionReader::default();
    whole.feed(bytes);
    let mut pieces = SectionReader::default();
    for chunk in bytes.chunks(usize::from(piece) + 1) {
        pieces.feed(chunk);
    }
    loop {
        let (left, right) = (whole.next_section(), pieces.next_section());
        assert_eq!(left, right);
        if !matches!(left, Ok(Some(_))) {
            break;
        }
    }
});
