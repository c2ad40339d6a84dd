//! The journal on both engines. The contract is one list of sentences; crashes and errors run on the fake disk, damage on real
//! sled folders.

#![allow(clippy::cast_possible_truncation)] // small numbers of these tests

mod contract;
mod corruption;
mod crash;
mod forged;
mod golden;
mod inspecting;
mod model;
mod reopening;

use std::ops::ControlFlow;

use protocol::ids::{JournalId, RequestId, Sequence, SiteId};

use super::fake_storage::FakeStorage;
use super::sled_storage::SledStorage;
use super::storage::Storage;
use super::{Draft, Identity, Journal, JournalError, Note, Stored};

/// Somewhere to keep a journal, that outlives its handles.
trait Bed {
    type Storage: Storage;
    fn storage(&self) -> Self::Storage;
    /// A second journal's storage.
    fn beside(&self) -> Self::Storage;
}

struct SledBed(tempfile::TempDir);

impl SledBed {
    fn new() -> SledBed {
        SledBed(tempfile::tempdir().unwrap())
    }

    fn root(&self) -> std::path::PathBuf {
        self.0.path().join("journal")
    }

    fn segment(&self, number: u64) -> std::path::PathBuf {
        self.root().join(format!("segment-{number:020}"))
    }
}

impl Bed for SledBed {
    type Storage = SledStorage;

    fn storage(&self) -> SledStorage {
        SledStorage::new(self.root())
    }

    fn beside(&self) -> SledStorage {
        SledStorage::new(self.0.path().join("private"))
    }
}

#[derive(Default)]
struct FakeBed {
    main: FakeStorage,
    beside: FakeStorage,
}

impl Bed for FakeBed {
    type Storage = FakeStorage;

    fn storage(&self) -> FakeStorage {
        self.main.clone()
    }

    fn beside(&self) -> FakeStorage {
        self.beside.clone()
    }
}

fn identity() -> Identity {
    Identity { site: SiteId(7), journal: JournalId([9; 16]), predecessor: None }
}

fn create<B: Bed>(bed: &B) -> Journal<B::Storage> {
    Journal::create(bed.storage(), identity()).unwrap()
}

fn open<B: Bed>(bed: &B) -> Journal<B::Storage> {
    Journal::open(bed.storage()).unwrap().0
}

/// A group of entries of a length, each different from any other by `mark`.
fn group(mark: u64, entries: usize, length: usize) -> Vec<Draft> {
    (0..entries)
        .map(|index| {
            let mut entry = format!("{mark}/{index}:").into_bytes();
            // Neither constant nor compressible to a pattern that sled could share between values.
            entry.extend((0..length).map(|byte| (byte as u64 * 31 + mark * 7 + index as u64) as u8));
            let request_id = Some(RequestId([mark as u8; 16]));
            let note =
                Note { request_id, recorded_at_ms: mark, completes: mark.is_multiple_of(2).then_some(Sequence(mark)) };
            Draft { entry, is_group_end: index + 1 == entries, note }
        })
        .collect()
}

fn record<S: Storage>(journal: &mut Journal<S>, drafts: &[Draft]) -> Result<Sequence, JournalError> {
    let first = journal.append(drafts)?;
    journal.sync()?;
    Ok(first)
}

fn read_from<S: Storage>(journal: &mut Journal<S>, after: u64) -> Result<Vec<Stored>, JournalError> {
    let mut entries = Vec::new();
    journal.read(Sequence(after), &mut |stored| {
        entries.push(stored);
        ControlFlow::Continue(())
    })?;
    Ok(entries)
}

fn assert_holds<S: Storage>(journal: &mut Journal<S>, after: u64, expected: &[Draft]) {
    let found = read_from(journal, after).unwrap();
    assert_eq!(found.len(), expected.len(), "number of entries after {after}");
    let mut hash = None;
    for ((stored, draft), sequence) in found.iter().zip(expected).zip(after + 1..) {
        assert_eq!(stored.sequence, Sequence(sequence));
        assert!(stored.entry == draft.entry, "entry {sequence}");
        assert_eq!((&stored.note, stored.is_group_end), (&draft.note, draft.is_group_end));
        assert!(hash.is_none_or(|hash| hash == stored.hash_before));
        hash = Some(stored.hash);
    }
    if let Some(last) = found.last() {
        assert_eq!((last.sequence, last.hash), (journal.durable().sequence, journal.durable().hash));
    }
}
