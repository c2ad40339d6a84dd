//! What holds on every engine.

use std::ops::ControlFlow;

use protocol::ids::{JournalId, Sequence};
use protocol::limits;

use super::super::storage::{Key, Segment, Storage};
use super::super::{Identity, Journal, JournalError, JournalLimits, Opening, SEGMENT_ENTRIES_MAX};
use super::{Bed, FakeBed, SledBed, assert_holds, create, group, identity, open, read_from, record};

macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod on_sled {
            $(#[test] fn $name() { super::$name(&super::SledBed::new()); })*
        }
        mod on_the_fake {
            $(#[test] fn $name() { super::$name(&super::FakeBed::default()); })*
        }
    };
}

on_both_engines! {
    what_was_recorded_is_read_after_a_restart,
    nothing_is_opened_where_nothing_was_made_and_nothing_is_made_twice,
    entries_can_be_read_only_when_they_are_durable,
    an_entry_of_the_largest_size_comes_back,
    the_largest_group_comes_back_and_a_larger_one_is_refused,
    groups_that_do_not_end_are_refused,
    a_journal_rolls_over_segments_and_is_read_from_any_place,
    acknowledged_segments_are_pruned_and_the_rest_stays,
    pruning_keeps_the_named_size_of_acknowledged_segments,
    the_end_is_truncated_and_its_sequences_begin_anew,
    truncating_inside_a_group_is_refused,
    two_journals_stand_beside_each_other,
    a_full_journal_and_a_full_disk_refuse_and_stay_usable,
    a_segment_is_written_whole_and_replaced_whole,
    an_empty_read_past_the_end_is_no_error,
}

fn what_was_recorded_is_read_after_a_restart(bed: &impl Bed) {
    let mut all = Vec::new();
    let mut journal = create(bed);
    for mark in 0..20 {
        let drafts = group(mark, 1 + mark as usize % 3, 200);
        assert_eq!(record(&mut journal, &drafts).unwrap(), Sequence(all.len() as u64 + 1));
        all.extend(drafts);
        if mark % 7 == 3 {
            drop(journal);
            let opened = Journal::open(bed.storage()).unwrap();
            assert_eq!(opened.1, Opening::default(), "a clean end needs no repair");
            journal = opened.0;
        }
    }
    assert_holds(&mut journal, 0, &all);
    let head = journal.durable();
    drop(journal);
    let mut journal = open(bed);
    assert_eq!(journal.durable(), head);
    assert_eq!(*journal.identity(), identity());
    assert_holds(&mut journal, 0, &all);
    assert_holds(&mut journal, 5, &all[5..]);
    let hashes: Vec<_> = read_from(&mut journal, 0).unwrap().iter().map(|stored| stored.hash).collect();
    for (hash, sequence) in hashes.iter().zip(1..) {
        assert_eq!(journal.hash_at(Sequence(sequence)).unwrap(), Some(*hash));
    }
    assert_eq!(journal.hash_at(Sequence::ZERO).unwrap(), Some(identity().genesis()));
    assert_eq!(journal.hash_at(head.sequence.next()).unwrap(), None);
}

fn nothing_is_opened_where_nothing_was_made_and_nothing_is_made_twice(bed: &impl Bed) {
    assert!(matches!(Journal::open(bed.storage()), Err(JournalError::Missing)));
    drop(create(bed));
    let other = Identity { journal: JournalId([1; 16]), ..identity() };
    assert!(matches!(Journal::create(bed.storage(), other), Err(JournalError::AlreadyThere)));
    assert_eq!(*open(bed).identity(), identity());
}

fn entries_can_be_read_only_when_they_are_durable(bed: &impl Bed) {
    let mut journal = create(bed);
    record(&mut journal, &group(1, 2, 10)).unwrap();
    journal.append(&group(2, 2, 10)).unwrap();

    assert_eq!(read_from(&mut journal, 0).unwrap().len(), 2);
    assert_eq!(journal.durable().sequence, Sequence(2));
    assert!(matches!(read_from(&mut journal, 3), Err(JournalError::OutOfRange { .. })));
    assert_eq!(journal.sync().unwrap().sequence, Sequence(4));
    assert_eq!(read_from(&mut journal, 0).unwrap().len(), 4);
}

fn an_entry_of_the_largest_size_comes_back(bed: &impl Bed) {
    let mut journal = create(bed);
    let mut all = group(1, 1, 100);
    let mut large = group(2, 1, limits::ENTRY_BYTES_MAX);
    large[0].entry.truncate(limits::ENTRY_BYTES_MAX);
    all.append(&mut large);
    all.extend(group(3, 1, 100));
    journal.append(&all).unwrap();
    journal.sync().unwrap();
    drop(journal);

    assert_holds(&mut open(bed), 0, &all);
    let mut journal = open(bed);
    let too_large = group(4, 1, limits::ENTRY_BYTES_MAX + 1);
    assert!(matches!(journal.append(&too_large), Err(JournalError::EntryTooLarge { .. })));
    assert_eq!(journal.durable().sequence, Sequence(3));
}

fn the_largest_group_comes_back_and_a_larger_one_is_refused(bed: &impl Bed) {
    let mut journal = create(bed);
    let largest = group(1, limits::GROUP_ENTRIES_MAX, 500);
    record(&mut journal, &largest).unwrap();
    let larger = group(2, limits::GROUP_ENTRIES_MAX + 1, 5);
    assert!(matches!(journal.append(&larger), Err(JournalError::GroupTooLarge { .. })));
    let heavier = group(3, 5, limits::GROUP_BYTES_MAX / 5 + 1);
    assert!(matches!(journal.append(&heavier), Err(JournalError::GroupTooLarge { .. })));
    drop(journal);

    assert_holds(&mut open(bed), 0, &largest);
}

fn groups_that_do_not_end_are_refused(bed: &impl Bed) {
    let mut journal = create(bed);
    let mut drafts = group(1, 2, 10);
    drafts[1].is_group_end = false;

    assert!(matches!(journal.append(&drafts), Err(JournalError::GroupOpen)));
    assert!(matches!(journal.append(&[]), Err(JournalError::GroupOpen)));
    assert_eq!(record(&mut journal, &group(2, 1, 10)).unwrap(), Sequence(1));
}

/// Three groups that fill a segment each, and a small one.
fn four_segments(bed: &impl Bed) -> Vec<super::Draft> {
    let mut journal = create(bed);
    let mut all = Vec::new();
    for mark in 0..6 {
        all.extend(group(mark, SEGMENT_ENTRIES_MAX as usize / 2, 20));
    }
    all.extend(group(6, 3, 20));
    record(&mut journal, &all).unwrap();
    assert_eq!(journal.segments.keys().copied().collect::<Vec<_>>(), [1, 5001, 10_001, 15_001]);
    all
}

fn a_journal_rolls_over_segments_and_is_read_from_any_place(bed: &impl Bed) {
    let all = four_segments(bed);
    let mut journal = open(bed);
    for after in [0, 4_998, 5_000, 5_001, 14_999, 15_000, 15_002, 15_003] {
        assert_holds(&mut journal, after as u64, &all[after..]);
    }
    let mut count = 0;
    journal
        .read(Sequence(4_990), &mut |stored| {
            count += 1;
            if stored.sequence < Sequence(5_002) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .unwrap();
    assert_eq!(count, 12);
}

fn acknowledged_segments_are_pruned_and_the_rest_stays(bed: &impl Bed) {
    let all = four_segments(bed);
    let mut journal = open(bed);
    assert_eq!(journal.prune(Sequence(4_999), 0).unwrap(), 0);
    let before = journal.bytes();
    let freed = journal.prune(Sequence(12_000), 0).unwrap();
    assert!(freed > 0 && journal.bytes() == before - freed);
    assert_eq!(journal.floor(), Sequence(10_000));
    drop(journal);

    let mut journal = open(bed);
    assert_eq!(journal.floor(), Sequence(10_000));
    assert_holds(&mut journal, 10_000, &all[10_000..]);
    assert!(matches!(read_from(&mut journal, 9_999), Err(JournalError::OutOfRange { .. })));
    assert!(matches!(journal.prune(Sequence(99_999), 0), Err(JournalError::OutOfRange { .. })));
    journal.prune(Sequence(15_003), 0).unwrap();
    assert_eq!(journal.floor(), Sequence(15_000), "the head stays");
    assert_eq!(record(&mut journal, &group(9, 1, 10)).unwrap(), Sequence(15_004));
    drop(journal);
    assert_eq!(read_from(&mut open(bed), 15_000).unwrap().len(), 4);
}

fn pruning_keeps_the_named_size_of_acknowledged_segments(bed: &impl Bed) {
    four_segments(bed);
    let mut journal = open(bed);
    let sealed: Vec<u64> = journal.segments.values().copied().take(3).collect();
    assert_eq!(journal.prune(Sequence(15_000), sealed.iter().sum()).unwrap(), 0);
    assert_eq!(journal.prune(Sequence(15_000), sealed[1] + sealed[2]).unwrap(), sealed[0]);
    assert_eq!(journal.floor(), Sequence(5_000));
}

fn the_end_is_truncated_and_its_sequences_begin_anew(bed: &impl Bed) {
    let mut all = four_segments(bed);
    let mut journal = open(bed);
    for keep in [15_000, 12_500, 2_500, 0] {
        journal.truncate_after(Sequence(keep)).unwrap();
        all.truncate(keep as usize);
        let drafts = group(keep + 50, 2, 30);
        assert_eq!(record(&mut journal, &drafts).unwrap(), Sequence(keep + 1));
        all.extend(drafts);
        drop(journal);
        let opened = Journal::open(bed.storage()).unwrap();
        assert_eq!(opened.1, Opening::default());
        journal = opened.0;
        assert_holds(&mut journal, 0, &all);
    }
}

fn truncating_inside_a_group_is_refused(bed: &impl Bed) {
    let mut journal = create(bed);
    record(&mut journal, &group(1, 3, 10)).unwrap();
    assert!(matches!(journal.truncate_after(Sequence(2)), Err(JournalError::GroupOpen)));
    journal.append(&group(2, 1, 10)).unwrap();
    assert!(matches!(journal.truncate_after(Sequence(3)), Err(JournalError::NotSynced)));
    journal.sync().unwrap();
    assert_eq!(read_from(&mut journal, 0).unwrap().len(), 4);
}

fn two_journals_stand_beside_each_other(bed: &impl Bed) {
    let mut shared = create(bed);
    let other = Identity { journal: JournalId([1; 16]), ..identity() };
    let mut private = Journal::create(bed.beside(), other).unwrap();
    record(&mut shared, &group(1, 1, 10)).unwrap();
    record(&mut private, &group(2, 2, 10)).unwrap();
    drop((shared, private));

    assert_holds(&mut open(bed), 0, &group(1, 1, 10));
    assert_holds(&mut Journal::open(bed.beside()).unwrap().0, 0, &group(2, 2, 10));
}

fn a_full_journal_and_a_full_disk_refuse_and_stay_usable(bed: &impl Bed) {
    let mut journal = create(bed);
    record(&mut journal, &group(1, 1, 1000)).unwrap();
    journal.set_limits(JournalLimits { journal_bytes_max: 1000, disk_reserve_bytes: 0, ..JournalLimits::default() });
    let refused = journal.append(&group(2, 1, 1000));
    assert!(matches!(refused, Err(JournalError::JournalFull { limit_bytes: 1000, .. })));
    journal.set_limits(JournalLimits { disk_reserve_bytes: u64::MAX, ..JournalLimits::default() });
    assert!(matches!(journal.append(&group(3, 1, 10)), Err(JournalError::DiskFull { free_bytes: Some(_), .. })));
    journal.set_limits(JournalLimits::default());
    assert_eq!(record(&mut journal, &group(4, 1, 10)).unwrap(), Sequence(2));
}

fn a_segment_is_written_whole_and_replaced_whole(bed: &impl Bed) {
    drop(create(bed));
    let mut storage = bed.storage();
    for value in [1, 2] {
        drop(storage.write_segment(3, &mut |segment| segment.append(&[(Key::first_of(3), vec![value])])).unwrap());
    }
    let mut found = Vec::new();
    let mut segment = storage.open_segment(3).unwrap();
    segment
        .read(Key::HEADER, &mut |key, value| {
            found.push((key, value.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(found, [(Key::first_of(3), vec![2])]);
    drop(segment);
    storage.confirm_segment(3).unwrap();
    assert!(storage.open_segment(4).is_err_and(|error| error.is_damage()), "opening never creates");
    storage.remove_segment(3).unwrap();
    storage.remove_segment(3).unwrap();
    assert!(storage.segments(&super::super::storage::Place::Live).unwrap().is_empty());
}

fn an_empty_read_past_the_end_is_no_error(bed: &impl Bed) {
    let mut journal = create(bed);
    assert!(read_from(&mut journal, 0).unwrap().is_empty());
    assert_eq!(journal.sync().unwrap().sequence, Sequence::ZERO);
    record(&mut journal, &group(1, 1, 10)).unwrap();
    assert!(read_from(&mut journal, 1).unwrap().is_empty());
}
