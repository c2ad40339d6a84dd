//! The append-only journal of an agent: every edit of this site, on disk before anybody is told so.
//!
//! What holds (invariants 6.1, 6.2 and 6.4, rules 5.1, 5.4 and 5.5 of `ARCHITECTURE.md`):
//!
//! - Entries are numbered from 1 without gaps and chained by hash. Only entries up to [`Journal::durable`] can be read, so a
//!   sequence that anybody has seen is never used for another entry.
//! - [`Journal::sync`] answers when the entries are on the disk against power loss and the mark says so: the segment is synced
//!   first, then the mark. The mark lies outside the engine, so entries that the engine loses are missed at the next opening.
//! - A crash leaves whole groups. An incomplete group at the end is cut at opening, whole groups above the mark are kept and
//!   made durable.
//! - Entries lie in segments of bounded size, each a folder of its own; only the head and the one being read are open.
//! - Damage is never skipped. If a segment's bytes still hold all its entries it is rebuilt, proved by the hash chain;
//!   otherwise the journal says what is damaged, and [`Journal::replace_damaged`] goes on under a new id.
//! - After any storage error the handle refuses everything until [`Journal::reopen`] or until the journal is opened again.
//!
//! Bytes on disk: `docs/journal-format.md`. Engines: [`sled_storage`] and, for tests and the simulator, [`fake_storage`].
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod error;
pub mod fake_storage;
mod inspect;
mod mark;
mod open;
mod piece;
mod prune;
mod read;
mod reopen;
mod salvage;
pub mod sled_storage;
pub mod storage;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeMap;

use protocol::chain::{self, Predecessor};
use protocol::ids::{Hash, JournalId, RequestId, Sequence, SiteId};
use protocol::limits;

pub use error::{Damage, DamageReport, JournalError};
pub use inspect::{Found, Inspection, Promise, inspect, inspect_head, inspect_identity};
pub use open::Opening;
pub use piece::PieceFault;
pub use reopen::{FILL_HALF_PERCENT, FILL_HIGH_PERCENT, Fill, FillLevel};
pub use salvage::{Loss, Salvaged};
pub use sled_storage::SledStorage;
pub use storage::{Storage, StorageError};

use mark::{Mark, MarkFile, Point};
use piece::SegmentHeader;
use storage::{Place, Segment};
use walk::Batch;

use crate::clock::system_monotonic_us;

/// Entries after which the next group begins a new segment: opens in 2 to 4 ms, measured.
pub const SEGMENT_ENTRIES_MAX: u64 = 5000;
/// Bytes of entries after which the next group begins a new segment. A segment is at most this and one group.
pub const SEGMENT_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// Default limit of a journal in bytes on the disk: about 2 GiB of entries, since sled takes about twice what it holds.
pub const JOURNAL_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Default of the free bytes on the disk below which nothing is appended: room for two segments, the copy that is made when
/// one is opened, the local copy's own log and the system's.
pub const DISK_RESERVE_BYTES: u64 = 64 * 1024 * 1024;

/// Which journal this is. Never changes; it begins the hash chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The site that writes it.
    pub site: SiteId,
    /// Its random id.
    pub journal: JournalId,
    /// The damaged journal that it follows.
    pub predecessor: Option<Predecessor>,
}

impl Identity {
    /// The hash before the first entry.
    pub fn genesis(&self) -> Hash {
        chain::genesis(self.site, self.journal, self.predecessor.as_ref())
    }
}

/// What is kept beside an entry on this device only: not hashed and not sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Note {
    /// What the application gave so that a repeated call does no harm.
    pub request_id: Option<RequestId>,
    /// Wall clock when it was recorded, in milliseconds since 1970. For people; nothing is ordered by it.
    pub recorded_at_ms: u64,
    /// In the private journal: the entry of the shared journal that completes this group (`details.md`, "Mixed group").
    pub completes: Option<Sequence>,
}

/// An entry to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Opaque bytes, at most `limits::ENTRY_BYTES_MAX`.
    pub entry: Vec<u8>,
    /// Whether it is the last of its group.
    pub is_group_end: bool,
    /// What is kept beside it.
    pub note: Note,
}

/// An entry as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its place.
    pub sequence: Sequence,
    /// Its bytes as they were appended.
    pub entry: Vec<u8>,
    /// Whether it is the last of its group.
    pub is_group_end: bool,
    /// What is kept beside it.
    pub note: Note,
    /// Hash of the journal before it.
    pub hash_before: Hash,
    /// Hash of the journal after it.
    pub hash: Hash,
}

/// How far a journal goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The journal.
    pub journal: JournalId,
    /// Its last durable entry; [`Sequence::ZERO`] if there is none.
    pub sequence: Sequence,
    /// Hash after it.
    pub hash: Hash,
}

/// Bytes of an edit that [`Journal::check_ready`] thinks of: a whole record of mSupply's larger tables.
const USUAL_EDIT_BYTES: u64 = 1024;

/// What a journal may take of the disk, and in which portions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalLimits {
    /// Bytes on the disk at which appends are refused.
    pub journal_bytes_max: u64,
    /// Free bytes on the disk below which appends are refused.
    pub disk_reserve_bytes: u64,
    /// Entries after which the next group begins a new segment; at most [`SEGMENT_ENTRIES_MAX`] has been measured.
    pub segment_entries_max: u64,
    /// Bytes of entries after which the next group begins a new segment; at most [`SEGMENT_BYTES_MAX`] has been measured.
    pub segment_bytes_max: u64,
}

impl Default for JournalLimits {
    fn default() -> Self {
        JournalLimits {
            journal_bytes_max: JOURNAL_BYTES_MAX,
            disk_reserve_bytes: DISK_RESERVE_BYTES,
            segment_entries_max: SEGMENT_ENTRIES_MAX,
            segment_bytes_max: SEGMENT_BYTES_MAX,
        }
    }
}

/// An open journal. The caller holds the data folder's lock.
#[derive(Debug)]
pub struct Journal<S: Storage> {
    storage: S,
    limits: JournalLimits,
    mark_file: MarkFile<S::Mark>,
    /// What the mark on disk says.
    mark: Mark,
    /// Bytes on the disk by segment, as of when it was last open for writing.
    segments: BTreeMap<u64, u64>,
    head: Option<HeadSegment<S::Segment>>,
    reading: Option<(u64, S::Segment)>,
    /// The last entry that was appended.
    appended: Point,
    poison: Option<String>,
    syncs: SyncsDone,
}

/// What making entries durable took, since the journal was opened. For people; nothing goes by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncsDone {
    /// How often.
    pub count: u64,
    /// How long in all, in microseconds.
    pub duration_us: u64,
}

#[derive(Debug)]
struct HeadSegment<T> {
    number: u64,
    segment: T,
    entries: u64,
    bytes: u64,
    is_dirty: bool,
}

impl<T> HeadSegment<T> {
    fn is_full(&self, limits: &JournalLimits) -> bool {
        self.entries >= limits.segment_entries_max || self.bytes >= limits.segment_bytes_max
    }
}

impl<S: Storage> Journal<S> {
    /// Makes an empty journal.
    ///
    /// # Errors
    /// [`JournalError::AlreadyThere`] if anything is there already; it is left as it is.
    pub fn create(mut storage: S, identity: Identity) -> Result<Self, JournalError> {
        let segments = storage.segments(&Place::Live)?;
        if !segments.is_empty() || storage.open_mark()?.is_some() {
            return Err(JournalError::AlreadyThere);
        }
        let mark = Mark::empty(identity);
        let mark_file = MarkFile::create(&mut storage, &mark)?;
        Ok(Self::assemble(storage, mark_file, mark))
    }

    fn assemble(storage: S, mark_file: MarkFile<S::Mark>, mark: Mark) -> Self {
        Journal {
            storage,
            limits: JournalLimits::default(),
            mark_file,
            mark,
            segments: BTreeMap::new(),
            head: None,
            reading: None,
            appended: mark.durable,
            poison: None,
            syncs: SyncsDone::default(),
        }
    }

    /// Replaces the default limits.
    pub fn set_limits(&mut self, limits: JournalLimits) {
        self.limits = limits;
    }

    /// Which journal this is.
    pub fn identity(&self) -> &Identity {
        &self.mark.identity
    }

    /// The last entry that is on the disk for good, hence the last that can be read.
    pub fn durable(&self) -> Head {
        let Point { sequence, hash } = self.mark.durable;
        Head { journal: self.mark.identity.journal, sequence, hash }
    }

    /// The last entry that was pruned; the first kept one follows it.
    pub fn floor(&self) -> Sequence {
        self.mark.floor.sequence
    }

    /// Bytes that the journal takes on the disk, as of the last sync.
    pub fn bytes(&self) -> u64 {
        self.segments.values().sum()
    }

    /// Appends whole groups and answers the first entry's sequence. Not durable and not readable until [`Journal::sync`].
    ///
    /// # Errors
    /// Limits, a full journal and a full disk are found before anything is written and leave the journal usable. A storage
    /// error poisons it: whether the groups are there is known after the next opening, each of them whole.
    pub fn append(&mut self, drafts: &[Draft]) -> Result<Sequence, JournalError> {
        self.check_poison()?;
        check_groups(drafts)?;
        self.check_room(drafts.iter().map(|draft| draft.entry.len() as u64).sum())?;
        let first = self.appended.sequence.next();
        let result = self.append_groups(drafts);
        self.poison_on_error(result)?;
        Ok(first)
    }

    /// Makes everything appended durable and lets it be read.
    ///
    /// # Errors
    /// Any error poisons the handle. What was appended may or may not be there at the next opening.
    pub fn sync(&mut self) -> Result<Head, JournalError> {
        self.check_poison()?;
        if self.appended != self.mark.durable {
            let began_us = system_monotonic_us();
            let result = self.sync_head();
            self.syncs.count += 1;
            self.syncs.duration_us += system_monotonic_us().saturating_sub(began_us);
            self.poison_on_error(result)?;
        }
        Ok(self.durable())
    }

    /// What the calls of [`Journal::sync`] that had something to do took.
    pub fn syncs(&self) -> SyncsDone {
        self.syncs
    }

    fn sync_head(&mut self) -> Result<(), StorageError> {
        self.sync_segment()?;
        let segments = self.segments.range(..=self.appended.sequence.0).count();
        let segments = u32::try_from(segments).unwrap_or(u32::MAX);
        self.write_mark(Mark { durable: self.appended, segments, ..self.mark })
    }

    fn sync_segment(&mut self) -> Result<(), StorageError> {
        let Some(head) = self.head.as_mut().filter(|head| head.is_dirty) else { return Ok(()) };
        head.segment.sync()?;
        head.is_dirty = false;
        let bytes = self.storage.segment_bytes(head.number)?;
        self.segments.insert(head.number, bytes);
        Ok(())
    }

    fn append_groups(&mut self, drafts: &[Draft]) -> Result<(), StorageError> {
        for group in drafts.split_inclusive(|draft| draft.is_group_end) {
            self.make_room()?;
            let head = self.head.as_mut().expect("make_room opens a segment");
            head.is_dirty = true;
            let mut batch = Batch::new(&mut head.segment);
            let mut last = self.appended;
            for draft in group {
                let sequence = last.sequence.next();
                batch.add(piece::encode_entry(sequence, last.hash, draft))?;
                last = Point { sequence, hash: chain::extend(last.hash, &draft.entry) };
                head.entries += 1;
                head.bytes += draft.entry.len() as u64;
            }
            batch.finish()?;
            self.appended = last;
        }
        Ok(())
    }

    /// Sees to it that the head segment takes one more group. What lies in the old head is synced before a new one is made, so
    /// that a crash never leaves a later segment without the end of an earlier one.
    fn make_room(&mut self) -> Result<(), StorageError> {
        if self.head.as_ref().is_some_and(|head| !head.is_full(&self.limits)) {
            return Ok(());
        }
        self.sync_segment()?;
        self.head = None;
        let first = self.appended.sequence.next();
        let header = SegmentHeader { identity: self.mark.identity, first, hash_before: self.appended.hash };
        let segment = walk::write_segment(&mut self.storage, &header, &[])?;
        let bytes = self.storage.segment_bytes(first.0)?;
        self.segments.insert(first.0, bytes);
        self.head = Some(HeadSegment { number: first.0, segment, entries: 0, bytes: 0, is_dirty: false });
        Ok(())
    }

    /// Whether an edit of a usual size would be taken now.
    ///
    /// # Errors
    /// What [`Journal::append`] would say.
    pub fn check_ready(&mut self) -> Result<(), JournalError> {
        self.check_poison()?;
        self.check_room(USUAL_EDIT_BYTES)
    }

    /// That so many bytes of entries more may come.
    fn check_room(&mut self, added: u64) -> Result<(), JournalError> {
        let bytes = self.bytes() + added;
        if bytes > self.limits.journal_bytes_max {
            return Err(JournalError::JournalFull { bytes, limit_bytes: self.limits.journal_bytes_max });
        }
        let free_bytes = self.storage.free_bytes()?;
        let reserve_bytes = self.limits.disk_reserve_bytes;
        // Twice: that is what sled takes for a value that has settled.
        if free_bytes < reserve_bytes.saturating_add(2 * added) {
            return Err(JournalError::DiskFull { free_bytes: Some(free_bytes), reserve_bytes });
        }
        Ok(())
    }

    fn write_mark(&mut self, mark: Mark) -> Result<(), StorageError> {
        self.mark_file.write(&mark)?;
        self.mark = mark;
        Ok(())
    }

    fn check_poison(&self) -> Result<(), JournalError> {
        match &self.poison {
            None => Ok(()),
            Some(reason) => Err(JournalError::Poisoned { reason: reason.clone() }),
        }
    }

    fn poison_on_error<T>(&mut self, result: Result<T, StorageError>) -> Result<T, JournalError> {
        result.map_err(|error| {
            self.poison = Some(error.to_string());
            if error.is_disk_full() {
                return JournalError::DiskFull { free_bytes: None, reserve_bytes: self.limits.disk_reserve_bytes };
            }
            JournalError::Storage(error)
        })
    }
}

fn check_groups(drafts: &[Draft]) -> Result<(), JournalError> {
    if !drafts.last().is_some_and(|draft| draft.is_group_end) {
        return Err(JournalError::GroupOpen);
    }
    for group in drafts.split_inclusive(|draft| draft.is_group_end) {
        if let Some(draft) = group.iter().find(|draft| draft.entry.len() > limits::ENTRY_BYTES_MAX) {
            return Err(JournalError::EntryTooLarge { bytes: draft.entry.len() });
        }
        let bytes = group.iter().map(|draft| draft.entry.len()).sum();
        if group.len() > limits::GROUP_ENTRIES_MAX || bytes > limits::GROUP_BYTES_MAX {
            return Err(JournalError::GroupTooLarge { entries: group.len(), bytes });
        }
    }
    Ok(())
}

impl Mark {
    fn empty(identity: Identity) -> Mark {
        let start = Point { sequence: Sequence::ZERO, hash: identity.genesis() };
        Mark { identity, floor: start, durable: start, segments: 0 }
    }
}
