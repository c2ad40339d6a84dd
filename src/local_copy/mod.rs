//! The local copy: the records as this site knows them, in SQLite (architecture, section 4, step 4; `docs/local-copy.md`).
//!
//! What is read is *central's image with this site's pending entries on top*. `record` holds that merged truth, so that reading
//! is cheap and an application may read it with SQL. `base` holds central's image (or "not here") only for records that have
//! pending entries; `pending` holds those entries until their verdict is final. The journal is the write-ahead log of all this:
//! own edits need no full sync here, a page with its cursor does.

mod edits;
mod error;
mod image;
mod meta;
mod page;
mod query;
mod reply;
mod schema;
mod set_aside;

use std::path::Path;
use std::sync::Arc;

use domain::catalogue::Catalogue;
use protocol::ids::{ControlNumber, JournalId, Sequence, SiteId};
use protocol::message::{PagePartState, ScopeCursor};
use sql::{Durability, Options, Sql, SqlExt as _, SqliteEngine};

pub use error::LocalCopyError;
pub use meta::SyncTimes;
pub use query::{PendingView, QueueView, RecordState, RecordView, TableCount};
pub use reply::StoredReply;
pub use schema::{APPLICATION_ID, SCHEMA_VERSION};
pub use set_aside::SetAsideView;

/// Requests that are remembered, so that a repeated call is known; the oldest go first.
pub const REQUESTS_KEPT_MAX: u64 = 1_000_000;
/// Refused edits that are kept. At the limit the agent records no new edits until somebody has looked at them.
pub const SET_ASIDE_MAX: u64 = 100_000;
/// Records that one step of a sweep looks at, so that no step holds up an edit for long.
pub const SWEEP_STEP_ROWS: u32 = 500;
/// Control rows of unknown codes that are kept; the oldest go first, with a warning.
pub const CONTROL_UNKNOWN_MAX: u64 = 1000;

/// Which journal an entry is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What goes to central.
    Shared,
    /// What never leaves the site.
    Private,
}

/// What a session begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionState {
    /// How far central has received the journal.
    pub received: Sequence,
    /// How far verdicts are known.
    pub judged: Sequence,
    /// The last control row.
    pub control: ControlNumber,
    /// A cursor for each scope.
    pub cursors: Vec<ScopeCursor>,
    /// A page of which parts are kept.
    pub page_part: Option<PagePartState>,
}

/// The records of a site. One owner; the recorder's lock guards it.
pub struct LocalCopy {
    sql: Box<dyn Sql>,
    site: SiteId,
    catalogue: Arc<Catalogue>,
    state: State,
    /// The state before the transaction of edits that is open.
    before_edits: Option<State>,
}

/// Positions that are asked for all the time; written to `meta` in the transaction that changes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    applied: Sequence,
    applied_private: Sequence,
    received: Sequence,
    judged: Sequence,
    control: ControlNumber,
    requests_added: u64,
}

impl LocalCopy {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`LocalCopyError::Damaged`] if SQLite finds it damaged: then it can be rebuilt from the journal and from central.
    pub fn open(path: &Path, site: SiteId, catalogue: Arc<Catalogue>) -> Result<Self, LocalCopyError> {
        let engine = SqliteEngine::open(path, &Options::new(APPLICATION_ID, SCHEMA_VERSION))?;
        Self::new(Box::new(engine), site, catalogue)
    }

    /// Stands on a database that is open.
    ///
    /// # Errors
    /// [`LocalCopyError`] if the tables cannot be made or read.
    pub fn new(mut sql: Box<dyn Sql>, site: SiteId, catalogue: Arc<Catalogue>) -> Result<Self, LocalCopyError> {
        sql::migrate(sql.as_mut(), schema::MIGRATIONS)?;
        let mut copy = Self { sql, site, catalogue, state: State::default(), before_edits: None };
        copy.state = copy.read_state()?;
        copy.sweep()?;
        Ok(copy)
    }

    /// How far a journal is applied.
    ///
    /// # Errors
    /// None today; the signature leaves room for a copy that has to look.
    pub fn applied(&self, kind: Kind) -> Result<Sequence, LocalCopyError> {
        Ok(match kind {
            Kind::Shared => self.state.applied,
            Kind::Private => self.state.applied_private,
        })
    }

    /// What a session begins with.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn session_state(&mut self) -> Result<SessionState, LocalCopyError> {
        let cursors = self.cursors()?;
        let page_part = self.page_part_state()?;
        let State { received, judged, control, .. } = self.state;
        Ok(SessionState { received, judged, control, cursors, page_part })
    }

    /// Makes everything that was committed durable against power loss too.
    ///
    /// # Errors
    /// [`LocalCopyError`] if the disk fails.
    pub fn make_durable(&mut self) -> Result<(), LocalCopyError> {
        // A full commit syncs the log, and with it every commit before.
        self.sql.in_transaction(Durability::Full, |sql| meta::write(sql, "made_durable", "1"))
    }

    /// The journal whose sequences stand here, if any was ever applied.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn journal(&mut self) -> Result<Option<JournalId>, LocalCopyError> {
        meta::journal(self.sql.as_mut())
    }

    /// Begins with another journal: pending entries of the old one go, and what they covered shows again.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails; nothing has changed then.
    pub fn change_journal(&mut self, journal: JournalId) -> Result<(), LocalCopyError> {
        let state = State {
            applied_private: self.state.applied_private,
            control: self.state.control,
            requests_added: self.state.requests_added,
            ..State::default()
        };
        let catalogue = Arc::clone(&self.catalogue);
        self.sql.in_transaction::<_, LocalCopyError>(Durability::Full, |sql| {
            image::restore_all_bases(sql, &catalogue)?;
            meta::write(sql, "journal", &journal.to_string())?;
            write_state(sql, &state)
        })?;
        self.state = state;
        Ok(())
    }

    fn read_state(&mut self) -> Result<State, LocalCopyError> {
        let sql = self.sql.as_mut();
        Ok(State {
            applied: Sequence(meta::number(sql, "applied")?),
            applied_private: Sequence(meta::number(sql, "applied_private")?),
            received: Sequence(meta::number(sql, "received")?),
            judged: Sequence(meta::number(sql, "judged")?),
            control: ControlNumber(meta::number(sql, "control")?),
            requests_added: meta::number(sql, "requests_added")?,
        })
    }
}

/// Writes the positions.
fn write_state(sql: &mut dyn Sql, state: &State) -> Result<(), LocalCopyError> {
    for (name, value) in [
        ("applied", state.applied.0),
        ("applied_private", state.applied_private.0),
        ("received", state.received.0),
        ("judged", state.judged.0),
        ("control", state.control.0),
        ("requests_added", state.requests_added),
    ] {
        meta::write(sql, name, &value.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
