//! Invariant 6 over a kill and a power cut: what is reported to central is on the disk, also when a program before left it in
//! the file only. The simulator's find.

use std::sync::Arc;

use domain::catalogue::Catalogue;
use outpost::local_copy::{APPLICATION_ID, Kind, LocalCopy, SCHEMA_VERSION};
use protocol::ids::{Epoch, Hash, JournalId, Position, Sequence, SiteId, Token};
use protocol::message::ReplyHead;
use simulator::disk::Disk;
use sql::{Options, SqliteEngine};

const JOURNAL: JournalId = JournalId([4; 16]);

fn open(disk: &Disk) -> LocalCopy {
    let options = Options::new(APPLICATION_ID, SCHEMA_VERSION);
    let engine = SqliteEngine::open_on(&disk.vfs_name(), "local_copy.sqlite", &options).expect("the disk works");
    LocalCopy::new(Box::new(engine), SiteId(2), Arc::new(Catalogue::embedded())).expect("the file is sound")
}

fn reply() -> ReplyHead {
    ReplyHead {
        version: 1,
        token: Token([1; 16]),
        received: Sequence(5),
        received_hash: Hash::NONE,
        judged: Sequence(5),
        backed_up: Sequence::ZERO,
        epoch: Epoch(1),
        position: Position::ZERO,
        admitted_bytes: 0,
        frame_part: None,
        control: Vec::new(),
        has_more_control: false,
        rows_waiting: None,
        has_pages: false,
        further: Vec::new(),
    }
}

/// What is received after a receipt whose n-th call failed, a kill, and a power cut that takes all that was not synced; `None` if
/// the receipt did not reappear after the kill.
fn received_after(call: u64, confirms: bool) -> Option<u64> {
    let disk = Disk::new(call);
    let mut copy = open(&disk);
    copy.use_journal(Kind::Shared, JOURNAL).expect("nothing fails yet");
    disk.fail_at(call);
    let stored = copy.store_reply(JOURNAL, &reply());
    disk.clear_faults();
    if stored.is_ok() {
        return None;
    }
    disk.kill();
    drop(copy);
    let mut copy = open(&disk);
    if copy.session_state().expect("it reads").received != Sequence(5) {
        return None;
    }
    if confirms {
        copy.confirm().expect("the disk works again");
    }
    disk.crash();
    drop(copy);
    disk.restart(&mut |_| 0);
    Some(open(&disk).session_state().expect("it reads").received.0)
}

#[test]
fn what_a_killed_program_left_unsynced_is_on_the_disk_before_it_is_reported() {
    let confirmed: Vec<u64> = (1..20).filter_map(|call| received_after(call, true)).collect();
    let not_confirmed: Vec<u64> = (1..20).filter_map(|call| received_after(call, false)).collect();

    assert!(!confirmed.is_empty(), "no receipt reappeared after a kill");
    assert!(confirmed.iter().all(|received| *received == 5), "{confirmed:?}");
    assert!(not_confirmed.contains(&0), "the test above could not fail: {not_confirmed:?}");
}
