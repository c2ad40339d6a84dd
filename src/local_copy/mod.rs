//! The records as this site knows them: central's images with this site's pending entries on top.
//!
//! | table | holds |
//! | --- | --- |
//! | `record` | what is read: the merged truth |
//! | `base` | central's image, only for records that have pending entries |
//! | `pending` | entries of the shared journal whose verdict is not final |
//! | `membership`, `scope` | which scope holds which record, and how far each scope is read |
//!
//! What holds (rules 5.2, 5.3, 5.15 and 5.18, invariants 4 to 6 of `ARCHITECTURE.md`):
//!
//! - A record with entries above `judged`, or waiting ones, reads as its base with these entries on top, in their order.
//! - When the last of them is final, the base row goes; accepted ones have become part of it, refused ones lie in `set_aside`.
//! - An image replaces whole, and never one with a higher position.
//! - A page and its cursor, and a reply's verdicts and its control cursor, are one durable transaction.
//! - Own edits are committed without a sync of their own: the journals are their write-ahead log, and `applied` is stored with
//!   them, so that what a power cut takes is applied again.
//!
//! A record is in `membership` of each scope that brought it, or of the scope that its own edit was routed to.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod aliases;
mod backed_up;
mod carrying;
mod changes;
mod checksum;
mod control;
mod edits;
mod engine;
mod error;
mod fate;
mod grants;
mod images;
mod inspect;
mod journals;
pub mod limits;
mod meta;
mod numbers;
mod owed;
mod pages;
mod read;
mod rebuild;
mod recovered;
mod refusals;
mod roles;
mod schema;
mod set_aside;
mod settle;
mod standing;
#[cfg(test)]
mod tests;
mod time_line;
mod transfers;
mod verifying;
mod view;
mod withheld;

use std::sync::Arc;

use crate::clock::Bell;
use domain::catalogue::Catalogue;
use protocol::ids::{JournalId, Sequence, SiteId};
use sql::{Durability, SqlError, SqlErrorKind, SqlExt, check_migrations, migrate};

pub use backed_up::{ImageDigest, KeptCounts, UnsentEdit, UnsentGroup};
pub use carrying::CarryNote;
pub use changes::{Change, ChangePage, FeedCursor, FeedGap, FeedId};
pub use control::{SessionState, StoredReply};
pub use edits::Sequences;
pub use engine::{Engine, seen_at, sync_times_at};
pub use error::LocalCopyError;
pub use fate::Fate;
pub use grants::ForgottenStore;
pub use inspect::FoundRecord;
pub use meta::{HistoryRefusal, LogHealth, SyncTimes};
pub use numbers::NumberStanding;
pub use owed::{Owed, OwedKind};
pub use read::{Listing, QueueEntry, QueueState, QueueView, RecordState, RecordView, TableCount, UnknownControl};
pub use recovered::{
    RECOVERED, RecoveredEntry, RestoredGroup, is_recovered_request_id, recovered_name, recovered_request_id,
};
pub use roles::{StoreHere, StoreRole};
pub use schema::{APPLICATION_ID, SCHEMA_VERSION};
pub use set_aside::{SetAside, SetAsideEntry, retry_request_id};
pub use standing::{AtCentral, Standing};
pub use time_line::{LostRecord, headers_first};
pub use verifying::{DIFFERED, Differences, MemberPlace};
pub use withheld::LEFT;

/// Which of the site's journals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What goes to central.
    Shared,
    /// What never leaves the site.
    Private,
}

impl Kind {
    /// The word in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Private => "private",
        }
    }
}

/// One value for each journal.
#[derive(Debug, Clone, Copy, Default)]
struct PerKind<T> {
    shared: T,
    private: T,
}

impl<T: Copy> PerKind<T> {
    fn get(&self, kind: Kind) -> T {
        match kind {
            Kind::Shared => self.shared,
            Kind::Private => self.private,
        }
    }

    fn set(&mut self, kind: Kind, value: T) {
        match kind {
            Kind::Shared => self.shared = value,
            Kind::Private => self.private = value,
        }
    }
}

/// What is known of the shared journal at central.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    received: u64,
    judged: u64,
    backed_up: u64,
    control: u64,
}

/// The local copy. One connection; the caller holds it behind a lock.
pub struct LocalCopy {
    sql: Box<dyn Engine>,
    catalogue: Arc<Catalogue>,
    site: SiteId,
    /// Number of the shared journal in the table `journal`; 0 before one is in use.
    journal_number: u64,
    /// How far the journals are applied in what is committed.
    applied: PerKind<Sequence>,
    /// The same in the open transaction, and at the open group's begin.
    applying: PerKind<Sequence>,
    group: PerKind<Sequence>,
    progress: Progress,
    /// Whether something was committed that a power cut could take.
    has_unsynced: bool,
    /// Whether something was synced since the file was opened, and with it all that was there before.
    is_confirmed: bool,
    /// Whether the disk refused something: what was committed before without a sync may be called synced and not be on the disk.
    has_failed: bool,
    /// Bytes of what is set aside; `None` where they have to be added up.
    set_aside_bytes: Option<u64>,
    /// The first of what is to be answered at once ([`LocalCopy::owe_at_once`]).
    owed_from: Option<i64>,
    /// Whether stores that are being taken away count as held: while what stayed here is journaled to go.
    hands_over: bool,
    /// The last change that was numbered, where somebody reads the feed of changes.
    change: Option<u64>,
    /// Whether this site makes what is being written.
    is_own_change: bool,
    /// Rows that joined `gone` since it was last looked whether there are too many.
    gone_since_trim: u64,
    /// Rings at each commit.
    bell: Arc<Bell>,
}

impl LocalCopy {
    /// Takes an engine, brings its tables up to date and reads how far everything is.
    ///
    /// # Errors
    /// [`LocalCopyError::Damaged`] for what this program never writes; else those of the engine.
    pub fn new(mut sql: Box<dyn Engine>, site: SiteId, catalogue: Arc<Catalogue>) -> Result<Self, LocalCopyError> {
        if check_migrations(&mut *sql, schema::MIGRATIONS).is_err() {
            migrate(&mut *sql, schema::MIGRATIONS).map_err(|error| match error.kind {
                // Steps that do not read as those of any version of this program: nobody else writes the file.
                SqlErrorKind::Other => LocalCopyError::damaged(error.message),
                _ => error.into(),
            })?;
        }
        let mut copy = Self {
            sql,
            catalogue,
            site,
            journal_number: 0,
            applied: PerKind::default(),
            applying: PerKind::default(),
            group: PerKind::default(),
            progress: Progress::default(),
            has_unsynced: true,
            is_confirmed: false,
            has_failed: false,
            set_aside_bytes: None,
            owed_from: None,
            hands_over: false,
            change: None,
            is_own_change: false,
            gone_since_trim: 0,
            bell: Arc::default(),
        };
        copy.load()?;
        copy.rename_tables_that_became_known()?;
        Ok(copy)
    }

    /// How far a journal is applied in what is committed; re-applying entries up to here does nothing.
    ///
    /// # Errors
    /// None today.
    pub fn applied(&self, kind: Kind) -> Result<Sequence, LocalCopyError> {
        Ok(self.applied.get(kind))
    }

    /// Reads the whole file and checks its structure. Takes as long as reading the file.
    ///
    /// # Errors
    /// [`LocalCopyError::Damaged`] with what was found.
    pub fn check(&mut self) -> Result<(), LocalCopyError> {
        Ok(self.sql.check()?)
    }

    /// Makes all that was committed safe against a power cut; own edits are committed without a sync. To be called before a
    /// journal lets go of what the local copy holds (invariant 4). Writes nothing if there is nothing to make safe.
    ///
    /// # Errors
    /// Those of a write. Always, once the disk has refused something: after a sync that failed, the next one proves nothing about
    /// what was written before it. The journals then keep what they have until the file was opened again.
    pub fn make_durable(&mut self) -> Result<(), LocalCopyError> {
        if self.has_failed {
            let text = "the disk refused an earlier write, so what was written before it cannot be made safe";
            return Err(SqlError::new(SqlErrorKind::Io, text).into());
        }
        if !self.has_unsynced {
            return Ok(());
        }
        self.sync()
    }

    /// A commit that syncs carries all commits before it; it needs something to write.
    fn sync(&mut self) -> Result<(), LocalCopyError> {
        self.transaction(Durability::Full, |copy| {
            let count = copy.number("synced_count")?.unwrap_or(0);
            copy.set_number("synced_count", count + 1)
        })
    }

    /// Makes sure that what is here is safe against a power cut, before anybody is told of it: a program that was killed may have
    /// left a commit in the file that never reached the disk, and opening takes it for one that did. Writes once after opening.
    ///
    /// # Errors
    /// Those of a write.
    pub fn confirm(&mut self) -> Result<(), LocalCopyError> {
        // Also where the disk refused a write since: what is lost of what is only read again costs a little of the link.
        if self.is_confirmed { Ok(()) } else { self.sync() }
    }

    /// Reads what the other fields repeat of the file.
    fn load(&mut self) -> Result<(), LocalCopyError> {
        self.journal_number =
            self.sql.query_integer("SELECT max(number) FROM journal", &[])?.map_or(0, i64::cast_unsigned);
        self.applied = PerKind {
            shared: Sequence(self.number(meta::APPLIED_SHARED)?.unwrap_or(0)),
            private: Sequence(self.number(meta::APPLIED_PRIVATE)?.unwrap_or(0)),
        };
        self.applying = self.applied;
        self.progress = Progress {
            received: self.number(meta::RECEIVED)?.unwrap_or(0),
            judged: self.number(meta::JUDGED)?.unwrap_or(0),
            backed_up: self.number(meta::BACKED_UP)?.unwrap_or(0),
            control: self.number(meta::CONTROL)?.unwrap_or(0),
        };
        self.load_feed()
    }

    /// Runs `work` in a transaction; on an error nothing of it stays, in the file or in memory.
    fn transaction<T>(
        &mut self,
        durability: Durability,
        work: impl FnOnce(&mut Self) -> Result<T, LocalCopyError>,
    ) -> Result<T, LocalCopyError> {
        self.sql.begin(durability)?;
        let before = (self.journal_number, self.applied, self.progress, self.change);
        let outcome = work(self).and_then(|value| {
            self.sql.commit()?;
            Ok(value)
        });
        if let Err(error) = &outcome {
            self.note_failure(error);
            // The first error is the one to tell. Should the rollback fail too, the engine refuses the next begin.
            let _ = self.sql.rollback();
            self.set_aside_bytes = None;
            (self.journal_number, self.applied, self.progress, self.change) = before;
        } else {
            self.has_unsynced = durability == Durability::Process;
            self.is_confirmed |= durability == Durability::Full;
            self.bell.ring();
        }
        self.applying = self.applied;
        outcome
    }

    /// Remembers that the disk refused something.
    fn note_failure(&mut self, error: &LocalCopyError) {
        self.has_failed |= matches!(error, LocalCopyError::Sql(error) if error.kind == SqlErrorKind::Io);
    }

    /// Whether [`LocalCopy::make_durable`] cannot promise anything until the file is opened again.
    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// The shared journal in use; `None` before the first.
    ///
    /// # Errors
    /// Those of a read.
    pub fn journal(&mut self) -> Result<Option<JournalId>, LocalCopyError> {
        let number = self.journal_number;
        let bytes = self.sql.query_one(
            "SELECT journal_id FROM journal WHERE number = ?1",
            &[sql::Param::unsigned(number)?],
            |row| Ok(row.blob(0)?.to_vec()),
        )?;
        bytes.map(|bytes| JournalId::try_from(bytes.as_slice()).map_err(LocalCopyError::damaged)).transpose()
    }
}
