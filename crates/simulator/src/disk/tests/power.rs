//! Power cuts and kills at every call.

use super::work::{last_whole, run};
use super::*;

/// Transactions of one workload.
const COUNT: i64 = 9;

/// Which survivors are tried for each call.
const CHOICES: u64 = 6;

fn calls_of_the_whole_workload() -> u64 {
    let disk = Disk::new(1);
    assert_eq!(run(&disk, 0, COUNT).acknowledged, COUNT);
    disk.calls()
}

/// Cuts the power at the `call`, starts anew, and says what was lost.
fn cut_at(call: u64, seed: u64, has_lying_syncs: bool) -> Result<(), String> {
    let disk = Disk::new(1);
    disk.set_lying_syncs(has_lying_syncs);
    disk.crash_at(call);
    let first = run(&disk, 0, COUNT);
    disk.crash();
    let mut choose = chooser(seed);
    disk.restart(&mut choose);
    let found = last_whole(&disk).map_err(|error| format!("call {call}, seed {seed}: {error}"))?;
    if found < first.durable || found > first.attempted {
        return Err(format!("call {call}, seed {seed}: found {found} after {first:?}"));
    }
    // Work goes on, and a second cut in the middle of it is borne as well.
    disk.crash_at(1 + choose(60));
    let second = run(&disk, found, COUNT);
    disk.crash();
    disk.restart(&mut choose);
    let found = last_whole(&disk).map_err(|error| format!("call {call}, seed {seed}, second: {error}"))?;
    if found < second.durable || found > second.attempted {
        return Err(format!("call {call}, seed {seed}: found {found} after {second:?}"));
    }
    Ok(())
}

#[test]
fn what_was_acknowledged_as_durable_is_there_after_a_power_cut_at_any_call() {
    for call in 1..=calls_of_the_whole_workload() + 1 {
        for seed in 0..CHOICES {
            let outcome = cut_at(call, call * 1000 + seed, false);

            assert_eq!(outcome, Ok(()));
        }
    }
}

#[test]
fn a_disk_whose_syncs_do_nothing_is_caught_losing_transactions() {
    let calls = calls_of_the_whole_workload();
    let losses = (1..=calls).filter(|call| {
        std::panic::catch_unwind(|| cut_at(*call, *call, true)).map_or(true, |outcome| outcome.is_err())
    });

    let losses = losses.count();

    assert!(losses > 10, "{losses} of {calls}");
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill_at_any_call() {
    for call in 1..=calls_of_the_whole_workload() + 1 {
        let disk = Disk::new(1);
        disk.crash_at(call);
        let outcome = run(&disk, 0, COUNT);

        disk.kill();

        let found = last_whole(&disk).unwrap();
        assert!((outcome.acknowledged..=outcome.attempted).contains(&found), "call {call}: {found} after {outcome:?}");
    }
}

#[test]
fn connections_from_before_are_dead_and_closing_them_changes_nothing() {
    type Event = (&'static str, fn(&Disk));
    let events: [Event; 3] = [
        ("power cut", |disk| disk.restart(&mut chooser(3))),
        ("kill", Disk::kill),
        ("restore", |disk| disk.restore(disk.snapshot())),
    ];
    for (event, happen) in events {
        let disk = Disk::new(1);
        run(&disk, 0, 2);
        let mut idle = open(&disk).unwrap();
        let mut writing = open(&disk).unwrap();
        idle.query_integer("SELECT number FROM mark", &[]).unwrap();
        writing.begin(Durability::Full).unwrap();
        writing.execute("UPDATE mark SET number = 77", &[]).unwrap();

        happen(&disk);
        let mut new = open(&disk).unwrap();
        new.begin(Durability::Full).unwrap();
        new.execute("UPDATE mark SET number = 3", &[]).unwrap();
        let before = (disk.snapshot(), disk.calls());

        assert!(idle.query_integer("SELECT number FROM mark", &[]).is_err(), "{event}");
        assert!(writing.commit().is_err(), "{event}");
        drop((idle, writing));
        assert_eq!((disk.snapshot(), disk.calls()), before, "{event}");
        new.commit().unwrap();
        assert_eq!(new.query_integer("SELECT number FROM mark", &[]).unwrap(), Some(3), "{event}");
    }
}
