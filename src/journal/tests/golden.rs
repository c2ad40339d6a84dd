//! Bytes that must stay as they are: what an agent wrote, every later agent reads.

use protocol::chain::Predecessor;
use protocol::ids::{Hash, JournalId, RequestId, Sequence, SiteId};

use crate::golden_files::same;

use super::super::mark::{self, Mark, Point};
use super::super::piece::{self, Assembler, SegmentHeader};
use super::super::{Draft, Identity, Note};

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
    let bytes = mark::first_content(&mark)[..mark::SLOT_BYTES].to_vec();
    let stored = same("journal-1/mark-slot", "A slot of the mark, generation 1", &bytes);
    assert_eq!(mark::read_slots(&stored).unwrap().mark, mark);
}

#[test]
fn a_segment_header_keeps_its_bytes() {
    let header = SegmentHeader { identity: identity(), first: Sequence(5001), hash_before: Hash([0x44; 32]) };
    let stored = same("journal-1/segment-header", "Header of the segment 5001", &piece::encode_header(&header));
    assert_eq!(piece::decode_header(&stored), Some(header));
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
    let names =
        [("journal-1/piece-first", "First piece of entry 5001"), ("journal-1/piece-last", "Its second and last piece")];
    assert_eq!(pieces.len(), 2);
    let mut assembler = Assembler::new(Sequence(5001), None);
    let mut stored = None;
    for ((key, value), (name, comment)) in pieces.iter().zip(names) {
        stored = assembler.push(*key, &same(name, comment, value)).unwrap();
    }
    let stored = stored.unwrap();
    assert_eq!((stored.sequence, stored.hash_before, stored.is_group_end), (Sequence(5001), Hash([0x44; 32]), true));
    assert_eq!((stored.entry, stored.note), (draft.entry, draft.note));
}
