//! The store's limits, each with its unit and its reason.

use protocol::limits;

/// A cursor that would move by less than this, in positions, without any row stays where it is, so that a quiet sync writes
/// nothing on the device (`details.md`, "Scopes"). Reading past this many rows of the site's own takes a few milliseconds.
pub const CURSOR_AGE_MAX: u64 = 10_000;
/// Tokens given in answer to one used token that are remembered (rule 5.7).
pub(super) const TOKENS_GIVEN_MAX: usize = 8;
/// Epochs of which it is remembered which tokens of a site they gave: as many starts of central, each with an exchange of the site, while a
/// device that knows what central forgot does not come.
pub(super) const TOKEN_EPOCHS_MAX: usize = 16;
/// Sites whose state is kept in memory; at the limit all are read again. A site takes a few kilobytes.
pub(super) const SITES_CACHED_MAX: usize = 1024;
/// Page cache of the SQLite store, in bytes: the indexes of a million records fit.
pub(super) const SQLITE_CACHE_BYTES: u32 = 64 * 1024 * 1024;
/// Prepared statements of the SQLite store: there are about a hundred.
pub(super) const SQLITE_STATEMENTS: usize = 160;
/// Number in the header of an SQLite store: "OPCS".
pub(super) const SQLITE_APPLICATION_ID: i32 = 0x4f50_4353;
/// Days that judged entries stay in the log unless the configuration says otherwise.
pub const ENTRY_LOG_DAYS_DEFAULT: u32 = 90;
/// Days that lanes say of a record that it is gone, unless the configuration says otherwise: a site that was away for longer reads its
/// scopes from 0.
pub const TOMBSTONE_DAYS_DEFAULT: u32 = 730;
/// Most refused edits that an import tells one by one; the rest is only counted.
pub const IMPORT_REFUSALS_TOLD_MAX: usize = 1000;
/// Pairs of name and password of one site that are kept, its own among them; at the limit the oldest is forgotten, and putting
/// it back is then a change like any other.
pub const CREDENTIALS_KEPT_MAX: usize = 8;
/// Rows of the audit log unless the configuration says otherwise: ten years of a busy office, some 50 MB.
pub const AUDIT_ROWS_DEFAULT: u32 = 100_000;
/// Bytes of refused edits of one site that are kept beyond the age of the log unless the configuration says otherwise: those of an
/// edit of 500 bytes a minute for three months. A hundred sites whose set-aside is full take as much as a small database.
pub const SET_ASIDE_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;
/// Longest text of one column of the audit log, in bytes; of a longer one only its length is kept.
pub const AUDIT_TEXT_BYTES_MAX: usize = 16 * 1024;
/// Longest name or code of a site, in bytes.
pub const SITE_NAME_BYTES_MAX: usize = 100;

/// Limits that a test or a configuration may set lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Entries of one group; a larger group is refused with `group_too_large`.
    pub group_entries_max: usize,
    /// Bytes of one group's entries; a larger group is refused with `group_too_large`.
    pub group_bytes_max: usize,
    /// Entries of one site that wait for headers; above it the oldest waiting group is refused with `header_missing`.
    pub waiting_entries_max: u64,
    /// Bytes of control rows in one reply; one row always comes.
    pub control_bytes_max: usize,
    /// Control rows that a site has not acknowledged; above it judging its entries pauses until it reads them.
    pub control_rows_max: u64,
    /// Refused entries of one journal that are kept beyond the age of the log; above it the oldest go with the rest.
    pub set_aside_entries_max: u64,
    /// Bytes of refused entries of one site that are kept beyond the age of the log; above it the oldest go with the rest, and what a
    /// retired device brings is not taken.
    pub set_aside_bytes_max: u64,
    /// Rows that are back-filled for a site in one exchange after what it sees has changed: what is left comes with the next one.
    pub backfill_step_rows_max: u64,
    /// Changes in the audit log, and beside them a tenth as many refusals; above it the oldest go.
    pub audit_rows_max: u64,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            group_entries_max: limits::GROUP_ENTRIES_MAX,
            group_bytes_max: limits::GROUP_BYTES_MAX,
            waiting_entries_max: limits::WAITING_ENTRIES_MAX,
            control_bytes_max: limits::CONTROL_BYTES_MAX,
            control_rows_max: 100_000,
            set_aside_entries_max: 10_000,
            set_aside_bytes_max: SET_ASIDE_BYTES_DEFAULT,
            backfill_step_rows_max: BACKFILL_STEP_ROWS,
            audit_rows_max: u64::from(AUDIT_ROWS_DEFAULT),
        }
    }
}

/// How an SQLite store is opened.
pub fn sqlite_options() -> sql::Options {
    let mut options = sql::Options::new(SQLITE_APPLICATION_ID, super::schema::VERSION);
    options.cache_bytes = SQLITE_CACHE_BYTES;
    options.statement_cache = SQLITE_STATEMENTS;
    options
}

/// Scopes of a site that are of its stores, at most: two of each active one, for its data and for what other stores have with it, and one
/// of each that is collected. The other scopes are for what goes to every site, what dispensaries need, what the site sees and what it has
/// come to see.
pub const STORE_SCOPES_MAX: usize = limits::SCOPES_MAX - 4;

/// [`StoreLimits::backfill_step_rows_max`], unless another is given.
pub const BACKFILL_STEP_ROWS: u64 = 2_000;

/// Rows of a lane that are looked through for one page at most: what is not for the reader is passed over, and its cursor moves on.
pub const LOOKED_AT_MAX: usize = 20_000;
