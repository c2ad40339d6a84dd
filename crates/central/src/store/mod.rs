//! Central's store: what every site sent, central's verdicts, the records, and the lanes that sites read (architecture,
//! section 4 and rules 5.8 to 5.17).
//!
//! Blocking. One [`Store`] owns the connection that writes: the work of many sites goes into one [`Store::batch`], which is one
//! durable commit, and each call on the [`Batch`] stands or falls by itself. What a batch answers may be told to a site only
//! when the batch is committed. [`Reading`] reads on the same connection or, through [`ReadStore`], on one of its own.
//!
//! Time and entropy are arguments. The SQL is portable (see crate `sql`); the engines are told apart nowhere in here.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod aliases;
mod audit;
mod batch;
mod binding;
mod check;
mod claims;
mod conclude;
mod control;
mod credentials;
mod deleting;
mod error;
mod explain;
mod explain_store;
mod exporting;
mod gained;
mod healing;
mod holdings;
mod home_transfers;
mod import;
mod joins;
mod judging;
mod kept;
mod kept_of_store;
mod lanes;
mod limits;
mod merging;
mod mirror;
mod moves;
mod news;
mod number_gaps;
mod origin;
mod patients;
mod pausing;
mod people;
mod prescribers;
mod prescriptions;
mod procurement;
mod proposals;
mod pruning;
mod reading;
mod receive;
mod records;
mod references;
mod rehearsal;
mod rerouting;
mod retired;
mod roles;
mod schema;
mod scopes;
mod set_aside;
mod set_aside_size;
mod sights;
mod sites;
mod state;
mod status;
mod text;
mod time_line;
mod tokens;
mod tombstones;
mod transfers;
mod unreadable;
mod verifying;
mod view;
mod visibility;
mod waiting;
mod withholding;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use domain::catalogue::Catalogue;
use protocol::ids::{Epoch, JournalId, Position};
use sql::{Durability, Param, Sql, SqlExt};

pub use audit::{AuditEntry, AuditFloors, AuditOutcome, AuditRow};
pub use batch::Batch;
pub use binding::{Enrolled, EnrollingDevice, RetiredKey, RetiredReason};
pub use claims::DeclinedClaim;
pub use conclude::Judged;
pub use credentials::{Credentials, SiteEdit};
pub use deleting::DeletedSite;
pub use error::{StoreError, answer};
pub use explain::{Explained, HomeStanding, LaneStanding, MessageEnd, MessageStanding, Receiver, SITES_NAMED_MAX};
pub use explain_store::{ROLES_NAMED_MAX, ROWS_COUNTED_MAX, StoreExplained, StoreStanding};
pub use exporting::ExportStart;
pub use healing::Healing;
pub use home_transfers::{HomeKind, HomeStore, HomeTransfer};
pub use import::{ImportMode, ImportRefusal, ImportReport};
pub use kept::{ENTRIES_NAMED_MAX, KeptEntries, KeptEntry};
pub use kept_of_store::REFUSED_READ_MAX;
pub use limits::{
    AUDIT_ROWS_DEFAULT, AUDIT_TEXT_BYTES_MAX, BACKFILL_STEP_ROWS, CREDENTIALS_KEPT_MAX, CURSOR_AGE_MAX,
    ENTRY_LOG_DAYS_DEFAULT, IMPORT_REFUSALS_TOLD_MAX, LOOKED_AT_MAX, SET_ASIDE_BYTES_DEFAULT, SITE_NAME_BYTES_MAX,
    STORE_SCOPES_MAX, StoreLimits, TOMBSTONE_DAYS_DEFAULT, sqlite_options,
};
pub use merging::{MERGES_NAMED_MAX, Merge, MergedRecord};
pub use mirror::{Mirror, MirrorPhase};
pub use moves::{MovePhase, Moved, StoreMove};
pub use news::{Concern, Concerned, NewsFound};
pub use origin::{PeerAddress, SeenDevice, StopDevice};
pub use pausing::{PAUSE_MINUTES_MAX, PAUSE_RETRY_S_MAX, Pause};
pub use people::{ACCOUNTS_MAX, API_TOKENS_MAX, Account, AccountEdit, AccountRole, ApiToken, Unlocking};
pub use proposals::Proposed;
pub use reading::{Reading, RecordRow, SiteKind, SiteRow, StoreRow};
pub use rehearsal::{Flow, Forecast, SIGHTS_COUNTED_MAX, SiteForecast};
pub use roles::Role;
pub use set_aside::{AppliedSetAside, SetAsidePlace, WaitingEdit};
pub use set_aside_size::SetAsideSize;
pub use sights::{SIGHTS_NAMED_MAX, Sight, SightReason};
pub use sites::NewSite;
use state::State;
pub use status::{SetAside, SiteStatus, Status};
pub use tokens::{Stop, TWO_DEVICES};
pub use transfers::{
    Stage, TRANSFER_STUCK_DAYS, TransferFilter, TransferHalf, TransferRow, TransferWait, TransfersFound,
};
pub use unreadable::{UNREADABLE_NAMED_MAX, UnreadableRecord, UnreadableRecords};
pub use verifying::Verified;
pub use visibility::VisibilityRow;

/// What a start of central needs from chance, and its secret.
#[derive(Debug, Clone, Copy)]
pub struct StartEntropy {
    /// Names the stretch of central's time line that begins now (rule 5.12).
    pub epoch: Epoch,
    /// Central's own journal, if it has none yet.
    pub journal: JournalId,
    /// Not of chance but of central's key: the same at each start and in each backup. Tokens are made with it (rule 5.7).
    pub token_secret: [u8; 32],
}

/// The store with the connection that writes.
pub struct Store {
    sql: Box<dyn Sql>,
    catalogue: Arc<Catalogue>,
    limits: StoreLimits,
    state: State,
    token_secret: [u8; 32],
}

impl Store {
    /// Opens a store, or makes one in an empty database, and begins a new epoch.
    ///
    /// # Errors
    /// [`StoreError::Sql`], also for a database of a newer program.
    pub fn open(
        mut sql: Box<dyn Sql>,
        catalogue: Arc<Catalogue>,
        limits: StoreLimits,
        entropy: StartEntropy,
        now_ms: u64,
    ) -> Result<Self, StoreError> {
        sql::migrate(&mut *sql, schema::MIGRATIONS)?;
        sql.in_transaction(Durability::Full, |sql| state::start(sql, entropy, now_ms))?;
        let state = State::load(&mut *sql)?;
        let mut store = Self { sql, catalogue, limits, state, token_secret: entropy.token_secret };
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method is of one lifetime, the closure of any"
        )]
        store.batch(now_ms, |batch| batch.bring_up_to_date())??;
        Ok(store)
    }

    /// Runs the jobs of many sites in one durable commit. Each call on the batch that fails is undone alone.
    ///
    /// # Errors
    /// If the batch cannot be begun or committed: then nothing of it is kept, and nothing that it answered may be told.
    pub fn batch<T>(&mut self, now_ms: u64, work: impl FnOnce(&mut Batch<'_>) -> T) -> Result<T, StoreError> {
        self.sql.begin(Durability::Full)?;
        let value = work(&mut Batch {
            sql: &mut *self.sql,
            catalogue: &self.catalogue,
            limits: &self.limits,
            state: &mut self.state,
            token_secret: &self.token_secret,
            now_ms,
            address: None,
        });
        if let Err(error) = self.sql.commit() {
            // The first error is the one to tell. Should the rollback fail too, the next begin is refused.
            let _ = self.sql.rollback();
            self.state = State::load(&mut *self.sql)?;
            return Err(error.into());
        }
        self.state.has_new_layout = false;
        Ok(value)
    }

    /// Reads on the connection that writes.
    pub fn reading(&mut self) -> Reading<'_> {
        Reading { sql: &mut *self.sql, catalogue: &self.catalogue }
    }

    /// The epoch of this start.
    pub fn epoch(&self) -> Epoch {
        self.state.epoch
    }

    /// Whom the commits since the last call may have given something.
    pub fn take_concerned(&mut self) -> Concerned {
        std::mem::take(&mut self.state.concerned)
    }

    /// Central's head.
    pub fn position(&self) -> Position {
        Position(self.state.position)
    }

    /// The tables that it knows.
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// Takes the catalogue and gives the connection back, for a check or a copy.
    pub fn into_sql(self) -> Box<dyn Sql> {
        self.sql
    }
}

/// A connection that only reads.
pub struct ReadStore {
    sql: Box<dyn Sql>,
    catalogue: Arc<Catalogue>,
}

impl ReadStore {
    /// Takes a connection to a store that is there.
    ///
    /// # Errors
    /// [`StoreError::Sql`] if the schema is not this program's.
    pub fn open(mut sql: Box<dyn Sql>, catalogue: Arc<Catalogue>) -> Result<Self, StoreError> {
        sql::check_migrations(&mut *sql, schema::MIGRATIONS)?;
        Ok(Self { sql, catalogue })
    }

    /// Reads.
    pub fn reading(&mut self) -> Reading<'_> {
        Reading { sql: &mut *self.sql, catalogue: &self.catalogue }
    }
}

/// A number that this program gave itself, so that it is far below 2^63.
fn unsigned(number: u64) -> Param<'static> {
    Param::Integer(i64::try_from(number).expect("numbers given here, and times, are far below 2^63"))
}
