//! Bytes that must stay as they are: what an agent wrote, every later agent reads.

use std::fmt::Write;

use protocol::chain::Predecessor;
use protocol::ids::{Hash, JournalId, RequestId, Sequence, SiteId};

use super::super::mark::{self, Mark, Point};
use super::super::piece::{self, Assembler, SegmentHeader};
use super::super::{Draft, Identity, Note};

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn check(name: &str, golden: &str, bytes: &[u8]) {
    let mut hex = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        let end = if index % 32 == 31 { "\n" } else { "" };
        write!(hex, "{byte:02x}{end}").unwrap();
    }
    assert!(unhex(golden) == bytes, "{name} has other bytes than its golden file:\n{hex}");
}

fn identity() -> Identity {
    let predecessor = Predecessor {
        journal: JournalId([0x11; 16]),
        sequence: Sequence(40),
        hash: Hash([0x22; 32]),
        promised: Sequence(44),
    };
    Identity { site: SiteId(7), journal: JournalId([0x33; 16]), predecessor: Some(predecessor) }
}

#[test]
fn a_slot_of_the_mark_keeps_its_bytes() {
    let mark = Mark {
        identity: identity(),
        floor: Point { sequence: Sequence(5000), hash: Hash([0x44; 32]) },
        durable: Point { sequence: Sequence(5009), hash: Hash([0x55; 32]) },
        segments: 1,
    };
    let golden = include_str!("../../../tests/golden/journal-0/mark-slot.hex");
    check("the mark's slot", golden, &mark::first_content(&mark)[..mark::SLOT_BYTES]);
    assert_eq!(mark::read_slots(&unhex(golden)).unwrap().mark, mark);
}

#[test]
fn a_segment_header_keeps_its_bytes() {
    let header = SegmentHeader { identity: identity(), first: Sequence(5001), hash_before: Hash([0x44; 32]) };
    let golden = include_str!("../../../tests/golden/journal-0/segment-header.hex");
    check("the segment's header", golden, &piece::encode_header(&header));
    assert_eq!(piece::decode_header(&unhex(golden)), Some(header));
}

#[test]
fn the_pieces_of_an_entry_keep_their_bytes() {
    let note = Note {
        request_id: Some(RequestId([0x66; 16])),
        recorded_at_ms: 1_795_219_200_000,
        completes: Some(Sequence(5002)),
    };
    let draft = Draft { entry: (0..=255_u8).cycle().take(900).collect(), is_group_end: true, note };
    let pieces = piece::encode_entry(Sequence(5001), Hash([0x44; 32]), &draft);
    let golden = [
        include_str!("../../../tests/golden/journal-0/piece-first.hex"),
        include_str!("../../../tests/golden/journal-0/piece-last.hex"),
    ];
    assert_eq!(pieces.len(), 2);
    let mut assembler = Assembler::new(Sequence(5001), None);
    let mut stored = None;
    for ((key, value), golden) in pieces.iter().zip(golden) {
        check("a piece", golden, value);
        stored = assembler.push(*key, &unhex(golden)).unwrap();
    }
    let stored = stored.unwrap();
    assert_eq!((stored.entry, stored.note), (draft.entry, draft.note));
}
