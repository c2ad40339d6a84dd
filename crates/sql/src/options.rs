//! Settings of the SQLite engine on disk, and its fixed sizes with their reasons.

/// Page cache of a connection on a device, bytes. The measurements behind the choice of SQLite (14 MB at a million
/// records) were made with caches of this order, and the working set is the path of one lookup, not the whole file.
pub const CACHE_BYTES_DEVICE: u32 = 512 * 1024;

/// The smallest page cache, bytes: below about 16 pages SQLite spills in the middle of a single statement.
pub const CACHE_BYTES_MIN: u32 = 64 * 1024;

/// How long a call waits for another connection's lock, milliseconds. Readers and the writer do not block each other
/// (write-ahead log), so only a second writer or a checkpoint is waited for. Below the 5 s in which a stopped program
/// must be gone.
pub const BUSY_TIMEOUT_MS_DEFAULT: u32 = 2_000;

/// Prepared statements kept by a connection. The local copy and the store have a few dozen; each costs 2 to 5 kB.
pub const STATEMENT_CACHE_DEFAULT: usize = 48;

/// Pages of 4 KiB in the write-ahead log after which a commit copies them back: 2 MiB. Half of SQLite's own default,
/// since flash of devices is small; smaller would sync more often while pages stream in.
pub const WAL_AUTOCHECKPOINT_PAGES: u32 = 512;

/// To what size the write-ahead log is cut back when it starts over, bytes. Twice the checkpoint's size, so that it is
/// only cut after a long reader had let it grow.
pub const JOURNAL_SIZE_LIMIT_BYTES: u32 = 4 * 1024 * 1024;

/// How many findings a check of a damaged file collects before it stops.
pub const CHECK_FINDINGS_MAX: u32 = 8;

/// The pragma by which a disk of the program's own says how long the write-ahead log is, as text: the number of bytes.
pub const LOG_BYTES_PRAGMA: &str = "outpost_log_bytes";

/// How to open a database on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Number in the file's header that says whose database it is. Not 0. A file with another one is refused.
    pub application_id: i32,
    /// The newest schema that this program knows: the number of its last migration. A newer file is refused.
    pub schema_version_max: u32,
    /// Page cache, bytes; raised to [`CACHE_BYTES_MIN`] if smaller.
    pub cache_bytes: u32,
    /// How long a call waits for another connection's lock, milliseconds.
    pub busy_timeout_ms: u32,
    /// Only read; the file must be there already.
    pub read_only: bool,
    /// Prepared statements kept.
    pub statement_cache: usize,
}

impl Options {
    /// For writing, with the sizes of a device.
    pub fn new(application_id: i32, schema_version_max: u32) -> Self {
        Self {
            application_id,
            schema_version_max,
            cache_bytes: CACHE_BYTES_DEVICE,
            busy_timeout_ms: BUSY_TIMEOUT_MS_DEFAULT,
            read_only: false,
            statement_cache: STATEMENT_CACHE_DEFAULT,
        }
    }

    /// The same, only reading.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }
}
