//! Looking at a journal without opening it: it says the same as opening would, and changes nothing.

use std::fs;

use protocol::ids::Sequence;

use super::super::fake_storage::SegmentDamage;
use super::super::storage::{Key, Place, Storage};
use super::super::{Draft, Found, Inspection, Journal, JournalLimits, Loss, SledStorage, inspect};
use super::{Bed, FakeBed, SledBed, create, group, record};

fn three_segments(bed: &impl Bed) -> Vec<Draft> {
    let mut journal = create(bed);
    journal.set_limits(JournalLimits { segment_entries_max: 20, ..JournalLimits::default() });
    let all: Vec<Draft> = (0..25).flat_map(|mark| group(mark, 2, 1500)).collect();
    for drafts in all.chunks(4) {
        record(&mut journal, drafts).unwrap();
    }
    all
}

fn look<S: Storage>(mut storage: S, place: &Place) -> (Inspection, Vec<Found>) {
    let mut found = Vec::new();
    let inspection = inspect(&mut storage, place, &mut |piece| found.push(piece)).unwrap().unwrap();
    (inspection, found)
}

#[test]
fn a_whole_journal_is_given_out_whole_and_proved_on_both_engines() {
    fn check(bed: &impl Bed) {
        let all = three_segments(bed);

        let (inspection, found) = look(bed.storage(), &Place::Live);

        assert!(inspection.is_whole(), "{inspection:?}");
        assert_eq!((inspection.entries, inspection.segments, inspection.unacknowledged), (50, 3, 0));
        for (found, draft) in found.iter().zip(&all) {
            let Found::Entry { stored, is_proved: true, is_acknowledged: true } = found else { panic!("{found:?}") };
            assert!(stored.entry == draft.entry);
        }
    }
    check(&SledBed::new());
    check(&FakeBed::default());
}

#[test]
fn what_is_missing_is_named_and_what_is_left_of_an_entry_is_given_out() {
    let bed = FakeBed::default();
    three_segments(&bed);
    bed.main.damage(1, SegmentDamage::ValueFlipped(Key { sequence: 5, piece: 1 }));
    bed.main.damage(21, SegmentDamage::Gone);
    bed.main.damage(41, SegmentDamage::TailLost(Key::first_of(49)));

    let (inspection, found) = look(bed.storage(), &Place::Live);

    let run = |first, last| Loss { first: Sequence(first), last: Sequence(last) };
    assert_eq!(inspection.lost, [run(5, 5), run(21, 40), run(49, 50)]);
    assert_eq!(inspection.entries, 27);
    let pieces = found.iter().find_map(|found| match found {
        Found::Pieces { sequence, pieces } => Some((*sequence, pieces.iter().map(|piece| piece.0).collect::<Vec<_>>())),
        Found::Entry { .. } => None,
    });
    assert_eq!(pieces, Some((Sequence(5), vec![0])));
    let unproved = found.iter().filter_map(|found| match found {
        Found::Entry { stored, is_proved: false, .. } => Some(stored.sequence.0),
        _ => None,
    });
    assert_eq!(unproved.collect::<Vec<_>>(), [4, 20, 48], "nothing follows these that names them");
}

#[test]
fn entries_of_which_nobody_was_told_are_not_missed() {
    let bed = FakeBed::default();
    let mut journal = create(&bed);
    record(&mut journal, &group(1, 2, 10)).unwrap();
    journal.append(&group(2, 3, 10)).unwrap();
    drop(journal);

    let (inspection, _) = look(bed.storage(), &Place::Live);

    assert!(inspection.is_whole());
    assert_eq!((inspection.entries, inspection.unacknowledged), (2, 3));
}

#[test]
fn without_a_mark_everything_that_is_there_is_given_out() {
    let bed = FakeBed::default();
    three_segments(&bed);
    bed.main.lose_mark();

    let (inspection, found) = look(bed.storage(), &Place::Live);

    assert!(!inspection.is_whole() && inspection.promise.is_none());
    assert_eq!((inspection.identity, inspection.entries, found.len()), (Some(super::identity()), 50, 50));
}

#[test]
fn a_segment_that_a_crash_left_between_two_names_is_found_and_nothing_is_moved() {
    let bed = SledBed::new();
    three_segments(&bed);
    let replaced = bed.segment(21).with_extension("replaced");
    fs::rename(bed.segment(21), &replaced).unwrap();

    let (inspection, _) = look(SledStorage::to_look_at(bed.root()), &Place::Live);

    assert!(inspection.is_whole(), "{inspection:?}");
    assert!(replaced.exists() && !bed.segment(21).exists());
    assert_eq!(Journal::open(bed.storage()).unwrap().0.durable().sequence, Sequence(50));
}
