//! Crashes and errors at every call, on the fake disk; and kills that leave sled's files as they were.

use protocol::ids::{Hash, Sequence};

use super::super::fake_storage::FakeStorage;
use super::super::storage::BATCH_BYTES_MAX;
use super::super::{Draft, Journal, JournalError, JournalLimits, SEGMENT_ENTRIES_MAX};
use super::{Bed, FakeBed, SledBed, assert_holds, create, group, identity, open, read_from, record};

/// What was handed out and acknowledged in a run that may end anywhere.
#[derive(Default)]
struct Run {
    /// Groups in the order in which they were appended, acknowledged or not.
    appended: Vec<Vec<Draft>>,
    acknowledged: u64,
    hashes: Vec<(Sequence, Hash)>,
}

/// Creates or opens the journal and does a fixed list of things until one of them fails.
fn run(disk: &FakeStorage, run: &mut Run, steps: std::ops::Range<u64>) -> Result<(), JournalError> {
    let mut journal = match Journal::open(disk.clone()) {
        Err(JournalError::Missing) => Journal::create(disk.clone(), identity())?,
        other => other?.0,
    };
    journal.set_limits(JournalLimits { segment_entries_max: 9, segment_bytes_max: 6000, ..JournalLimits::default() });
    for step in steps {
        // More than a batch, more than a segment, more than a value, and small ones.
        let drafts = match step % 5 {
            0 => group(step, 3, 2000),
            1 if step % 10 == 1 => group(step, 2, BATCH_BYTES_MAX / 2),
            2 => group(step, 12, 100),
            3 => [group(step, 2, 50), group(step + 100, 1, 10)].concat(),
            _ => group(step, 1, 900),
        };
        run.appended.extend(drafts.split_inclusive(|draft| draft.is_group_end).map(<[Draft]>::to_vec));
        journal.append(&drafts)?;
        if step % 3 != 2 {
            let head = journal.sync()?;
            run.acknowledged = head.sequence.0;
            run.hashes.push((head.sequence, head.hash));
        }
        if step % 4 == 3 {
            journal.prune(Sequence(run.acknowledged / 2), 0)?;
        }
    }
    Ok(())
}

/// Everything acknowledged is there at its hash, and what is there are whole groups in the order in which they were appended.
fn check_after_crash(disk: &FakeStorage, run: &mut Run, what: &str) {
    let (mut journal, _) = match Journal::open(disk.clone()) {
        Err(JournalError::Missing) if run.acknowledged == 0 => return,
        other => other.unwrap_or_else(|error| panic!("{what}: {error}")),
    };
    let head = journal.durable().sequence.0;
    assert!(head >= run.acknowledged, "{what}: {head} of {} are left", run.acknowledged);
    let mut groups = Vec::new();
    let mut left = head;
    for drafts in &run.appended {
        if left == 0 {
            break;
        }
        assert!(left >= drafts.len() as u64, "{what}: a group was torn");
        left -= drafts.len() as u64;
        groups.push(drafts.clone());
    }
    assert_eq!(left, 0, "{what}");
    let floor = journal.floor().0;
    assert_holds(&mut journal, floor, &groups.concat()[floor as usize..]);
    for &(sequence, hash) in run.hashes.iter().filter(|(sequence, _)| sequence.0 >= floor) {
        assert_eq!(journal.hash_at(sequence).unwrap(), Some(hash), "{what}: another hash at {sequence}");
    }
    let durable = journal.durable();
    run.appended = groups;
    run.acknowledged = durable.sequence.0;
    run.hashes.push((durable.sequence, durable.hash));
}

fn calls_of_a_whole_run() -> u64 {
    let disk = FakeStorage::new();
    run(&disk, &mut Run::default(), 0..10).unwrap();
    disk.calls()
}

#[test]
fn a_power_cut_at_any_call_loses_nothing_acknowledged_and_tears_no_group() {
    for call in 1..=calls_of_a_whole_run() {
        for seed in 0..4 {
            let what = format!("crash at call {call}, seed {seed}");
            let disk = FakeStorage::new();
            let mut state = Run::default();
            disk.crash_at(call);
            assert!(run(&disk, &mut state, 0..10).is_err(), "{what}");
            disk.restart(seed);
            check_after_crash(&disk, &mut state, &what);
            // Life goes on, also over what the crash left, and through a second crash while opening.
            disk.crash_at(1 + seed);
            let _ = Journal::open(disk.clone());
            disk.restart(seed + 1);
            check_after_crash(&disk, &mut state, &what);
            run(&disk, &mut state, 20..24).unwrap_or_else(|error| panic!("{what}: {error}"));
            disk.restart(seed + 2);
            check_after_crash(&disk, &mut state, &what);
        }
    }
}

#[test]
fn crashes_upon_crashes_lose_nothing_acknowledged() {
    for seed in 0..60 {
        let disk = FakeStorage::new();
        let mut state = Run::default();
        for round in 0..6 {
            disk.crash_at(1 + (seed * 7 + round * 13) % 29);
            let start = round * 10;
            let _ = run(&disk, &mut state, start..start + 10);
            disk.restart(seed * 10 + round);
            check_after_crash(&disk, &mut state, &format!("seed {seed}, round {round}"));
        }
    }
}

#[test]
fn an_error_at_any_call_poisons_the_handle_and_loses_nothing_acknowledged() {
    for call in 1..=calls_of_a_whole_run() {
        let what = format!("error at call {call}");
        let disk = FakeStorage::new();
        let mut state = Run::default();
        disk.fail_at(call);
        assert!(run(&disk, &mut state, 0..10).is_err(), "{what}");
        disk.restart(call);
        check_after_crash(&disk, &mut state, &what);
        run(&disk, &mut state, 20..24).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

#[test]
fn after_an_error_everything_is_refused_until_the_journal_is_opened_again() {
    let bed = FakeBed::default();
    let mut journal = create(&bed);
    record(&mut journal, &group(1, 1, 10)).unwrap();
    bed.main.fail_at(1);
    assert!(matches!(journal.append(&group(2, 1, 10)), Err(JournalError::Storage(_))));

    assert!(matches!(journal.append(&group(3, 1, 10)), Err(JournalError::Poisoned { .. })));
    assert!(matches!(journal.sync(), Err(JournalError::Poisoned { .. })));
    assert!(matches!(read_from(&mut journal, 0), Err(JournalError::Poisoned { .. })));
    assert!(matches!(journal.prune(Sequence(1), 0), Err(JournalError::Poisoned { .. })));
    drop(journal);
    assert_holds(&mut open(&bed), 0, &group(1, 1, 10));
}

#[test]
fn a_disk_that_fills_up_unseen_is_told_by_the_sync() {
    let bed = FakeBed::default();
    let mut journal = create(&bed);
    record(&mut journal, &group(1, 1, 10)).unwrap();
    journal.set_limits(JournalLimits { disk_reserve_bytes: 0, ..JournalLimits::default() });
    journal.append(&group(2, 1, 5000)).unwrap();
    bed.main.set_free_bytes(0);
    let error = journal.sync().unwrap_err();
    assert_eq!(error.code(), "disk_full");
    assert!(error.to_string().contains("disk is full"), "{error}");
    bed.main.set_free_bytes(1 << 30);
    assert!(matches!(journal.sync(), Err(JournalError::Poisoned { .. })));
    drop(journal);
    bed.main.restart(1);
    assert!(open(&bed).durable().sequence >= Sequence(1));
}

#[test]
fn the_bytes_of_a_cut_group_do_not_stay_beside_those_of_the_next_one() {
    for seed in 0..40 {
        let bed = FakeBed::default();
        let mut journal = create(&bed);
        record(&mut journal, &group(1, 2, 10)).unwrap();
        journal.append(&group(2, 400, 900)).unwrap();
        bed.main.restart(seed);
        let mut journal = open(&bed);
        if journal.durable().sequence != Sequence(2) {
            continue;
        }
        record(&mut journal, &group(3, 1, 10)).unwrap();
        drop(journal);
        bed.main.damage(1, super::super::fake_storage::SegmentDamage::StopsOpening);
        let (mut journal, opening) = Journal::open(bed.storage()).unwrap();
        assert_eq!(opening.rebuilt, [1]);
        assert_holds(&mut journal, 0, &[group(1, 2, 10), group(3, 1, 10)].concat());
    }
}

/// Copies a journal's folder as a killed process leaves it: what sled has not written yet is not there.
fn copy_tree(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn what_a_killed_process_leaves_of_real_sled_folders_opens_with_everything_acknowledged() {
    let living = SledBed::new();
    let mut journal = create(&living);
    let mut all = Vec::new();
    for mark in 0..12 {
        let drafts = group(mark, 1 + (mark as usize * 37) % 90, 700);
        let is_synced = mark % 3 != 2;
        journal.append(&drafts).unwrap();
        all.extend(drafts);
        if is_synced {
            journal.sync().unwrap();
        }
        let killed = SledBed::new();
        copy_tree(&living.root(), &killed.root());
        let (mut copy, _) = Journal::open(killed.storage()).unwrap();
        let head = copy.durable().sequence;
        assert!(head >= journal.durable().sequence && head.0 <= all.len() as u64);
        assert!(head.0 == 0 || all[head.0 as usize - 1].is_group_end);
        assert_holds(&mut copy, 0, &all[..head.0 as usize]);
        let drafts = group(99, 2, 3000);
        record(&mut copy, &drafts).unwrap();
        drop(copy);
        assert_holds(&mut open(&killed), head.0, &drafts);
    }
}

#[test]
fn sled_never_puts_a_value_in_a_file_that_it_does_not_sync() {
    let bed = SledBed::new();
    let mut journal = create(&bed);
    let full = SEGMENT_ENTRIES_MAX as usize / 4;
    record(&mut journal, &group(1, full, 850)).unwrap();
    record(&mut journal, &group(2, 1, 1 << 20)).unwrap();
    for mark in 3..200 {
        record(&mut journal, &group(mark, 1, 1500)).unwrap();
    }
    drop(journal);
    drop(open(&bed));
    let mut folders = 0;
    for number in open(&bed).segments.keys() {
        folders += 1;
        assert_eq!(std::fs::read_dir(bed.segment(*number).join("blobs")).unwrap().count(), 0);
    }
    assert!(folders > 0);
}
