//! Going on after an error without a restart: exactly what was acknowledged is there, and nothing else (invariants 1 and 2).

use protocol::ids::Sequence;

use super::super::fake_storage::{FakeStorage, SegmentDamage};
use super::super::storage::Key;
use super::super::{Draft, FillLevel, Journal, JournalError, JournalLimits};
use super::{FakeBed, SledBed, assert_holds, create, group, identity, open, record};

fn small() -> JournalLimits {
    JournalLimits { segment_entries_max: 9, segment_bytes_max: 6000, ..JournalLimits::default() }
}

/// Records steps until one fails; what was acknowledged.
fn record_until_error(journal: &mut Journal<FakeStorage>, steps: std::ops::Range<u64>, all: &mut Vec<Draft>) -> bool {
    for step in steps {
        let drafts = group(step, 1 + step as usize % 4, 700);
        if record(journal, &drafts).is_err() {
            return true;
        }
        all.extend(drafts);
        if step % 5 == 4 && journal.prune(Sequence(all.len() as u64 / 2), 0).is_err() {
            return true;
        }
    }
    false
}

#[test]
fn an_error_at_any_call_is_over_once_the_journal_was_opened_again() {
    for call in 1..200 {
        let what = format!("error at call {call}");
        let disk = FakeStorage::new();
        let mut journal = Journal::create(disk.clone(), identity()).unwrap();
        journal.set_limits(small());
        let mut all = Vec::new();
        disk.fail_at(call);
        if !record_until_error(&mut journal, 0..20, &mut all) {
            assert!(call > 60, "the errors of {call} calls were not seen");
            return;
        }
        assert!(journal.is_poisoned(), "{what}");
        assert!(
            matches!(journal.sync(), Err(JournalError::Poisoned { .. })),
            "{what}: an acknowledgement after an error"
        );

        journal.reopen().unwrap_or_else(|error| panic!("{what}: {error}"));

        let floor = journal.floor().0;
        assert_holds(&mut journal, floor, &all[floor as usize..]);
        assert!(!record_until_error(&mut journal, 50..60, &mut all), "{what}");
        let floor = journal.floor().0;
        assert_holds(&mut journal, floor, &all[floor as usize..]);
        drop(journal);
        disk.restart(call);
        let mut journal = Journal::open(disk).unwrap().0;
        assert_holds(&mut journal, floor, &all[floor as usize..]);
    }
    panic!("the calls never ended");
}

/// A second error, or a power cut, while the journal is being opened again.
#[test]
fn an_error_or_a_cut_while_opening_again_loses_nothing_acknowledged() {
    for call in 1..30 {
        for is_cut in [false, true] {
            let what = format!("call {call}, cut: {is_cut}");
            let disk = FakeStorage::new();
            let mut journal = Journal::create(disk.clone(), identity()).unwrap();
            journal.set_limits(small());
            let mut all = Vec::new();
            assert!(!record_until_error(&mut journal, 0..12, &mut all));
            disk.fail_at(2);
            assert!(record_until_error(&mut journal, 30..32, &mut all), "{what}");
            if is_cut {
                disk.crash_at(call);
            } else {
                disk.fail_at(call);
            }

            let (again, well) = (journal.reopen(), disk.clone());

            let mut journal = if is_cut {
                drop(journal);
                disk.restart(call);
                Journal::open(disk).unwrap_or_else(|error| panic!("{what}: {error}")).0
            } else {
                if again.is_err() {
                    journal.reopen().unwrap_or_else(|error| panic!("{what}: {error}"));
                }
                journal
            };
            well.fail_at(1 << 40);
            let floor = journal.floor().0;
            let kept = super::read_from(&mut journal, floor).unwrap();
            assert!(kept.len() >= all.len() - floor as usize, "{what}");
            for (stored, draft) in kept.iter().zip(&all[floor as usize..]) {
                assert!(stored.entry == draft.entry, "{what}");
            }
        }
    }
}

#[test]
fn what_an_error_left_unacknowledged_does_not_come_back() {
    let bed = FakeBed::default();
    let mut journal = create(&bed);
    record(&mut journal, &group(1, 2, 10)).unwrap();
    journal.append(&group(2, 3, 10)).unwrap();
    // The segment's sync goes well and the mark's does not.
    bed.main.fail_at(3);
    assert!(journal.sync().is_err());

    journal.reopen().unwrap();

    record(&mut journal, &group(3, 1, 10)).unwrap();
    drop(journal);
    assert_holds(&mut open(&bed), 0, &[group(1, 2, 10), group(3, 1, 10)].concat());
}

#[test]
fn a_journal_on_sled_goes_on_with_what_was_acknowledged() {
    let bed = SledBed::new();
    let mut journal = create(&bed);
    journal.set_limits(JournalLimits { segment_entries_max: 40, ..JournalLimits::default() });
    let all: Vec<Draft> = (0..50).flat_map(|mark| group(mark, 2, 900)).collect();
    for drafts in all.chunks(10) {
        record(&mut journal, drafts).unwrap();
    }
    journal.append(&group(99, 1, 50)).unwrap();
    journal.poison = Some("an error of the disk".to_owned());

    journal.reopen().unwrap();

    assert_holds(&mut journal, 0, &all);
    assert_eq!(record(&mut journal, &group(100, 1, 10)).unwrap(), Sequence(101));
    drop(journal);
    assert_holds(&mut open(&bed), 0, &[all, group(100, 1, 10)].concat());
}

#[test]
fn damage_that_is_found_while_opening_again_is_named_and_the_journal_stays_closed() {
    let bed = FakeBed::default();
    let mut journal = create(&bed);
    record(&mut journal, &group(1, 4, 100)).unwrap();
    bed.main.fail_at(1);
    assert!(journal.append(&group(2, 1, 10)).is_err());
    bed.main.damage(1, SegmentDamage::ValueFlipped(Key::first_of(3)));

    assert!(matches!(journal.reopen(), Err(JournalError::Damaged(_))));
    assert!(matches!(journal.append(&group(2, 1, 10)), Err(JournalError::Poisoned { .. })));
}

#[test]
fn a_journal_at_its_limit_says_how_full_it_is_and_pruning_makes_room() {
    let bed = FakeBed::default();
    let mut journal = create(&bed);
    journal.set_limits(JournalLimits { journal_bytes_max: 20_000, ..small() });
    let mut levels = vec![journal.fill().level()];
    let refused = loop {
        match record(&mut journal, &group(levels.len() as u64, 1, 900)) {
            Ok(_) => levels.push(journal.fill().level()),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.code(), "journal_full");
    levels.dedup();
    assert_eq!(levels, [FillLevel::Low, FillLevel::Half, FillLevel::High]);
    assert!(!journal.is_poisoned(), "a refusal changes nothing");

    let durable = journal.durable().sequence;
    journal.prune(durable, 0).unwrap();

    assert!(journal.fill().level() < FillLevel::High);
    record(&mut journal, &group(99, 1, 900)).unwrap();
}

/// The simulator's find: a slot whose sync had failed was read, and the other one, which was on the disk, was written next.
#[test]
fn two_errors_at_the_mark_and_a_power_cut_leave_a_sound_slot() {
    for seed in 0..40 {
        for (first, second) in [(3, 1), (3, 2), (2, 1), (2, 2)] {
            let what = format!("seed {seed}, calls {first} and {second}");
            let disk = FakeStorage::new();
            let mut journal = Journal::create(disk.clone(), identity()).unwrap();
            record(&mut journal, &group(1, 2, 10)).unwrap();
            journal.append(&group(2, 1, 10)).unwrap();
            disk.fail_at(first);
            assert!(journal.sync().is_err(), "{what}");
            disk.fail_at(second);
            assert!(journal.reopen().is_err(), "{what}");

            disk.cut_power();
            disk.restart(seed);

            let (mut journal, _) = Journal::open(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
            let kept = super::read_from(&mut journal, 0).unwrap();
            assert!(kept.len() >= 2, "{what}: {}", kept.len());
        }
    }
}
