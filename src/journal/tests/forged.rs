//! Bytes whose checksum fits and that no journal wrote.

use std::ops::ControlFlow;

use protocol::ids::{JournalId, Sequence, SiteId};

use super::super::mark::{self, Mark, Point};
use super::super::storage::Storage as _;
use super::super::{Journal, JournalError, Salvaged};
use super::{Bed as _, FakeBed, create, group, record};

/// Salvage counted through every entry that a forged mark promised: the fuzzer waited for it in vain.
#[test]
fn what_an_absurd_mark_promises_is_named_as_lost_in_one_step() {
    const PROMISED: Sequence = Sequence(1 << 60);
    let bed = FakeBed::default();
    let mut journal = create(&bed);
    record(&mut journal, &group(1, 3, 20)).unwrap();
    let durable = Point { sequence: PROMISED, ..journal.mark.durable };
    let forged = mark::first_content(&Mark { durable, ..journal.mark });
    drop(journal);
    bed.main.lose_mark();
    bed.storage().create_mark(&forged).unwrap();
    assert!(matches!(Journal::open(bed.storage()), Err(JournalError::Damaged(_))));

    let mut journal = Journal::replace_damaged(bed.storage(), SiteId(7), JournalId([44; 16])).unwrap();
    let mut given = Vec::new();
    let mut lost = Vec::new();
    journal
        .salvage(&mut |salvaged| {
            match salvaged {
                Salvaged::Entry(stored) => given.push(stored.sequence.0),
                Salvaged::Lost(run) => lost.push((run.first.0, run.last)),
            }
            ControlFlow::Continue(())
        })
        .unwrap();

    assert_eq!(given, [1, 2, 3]);
    assert_eq!(lost, [(4, PROMISED)]);
}
