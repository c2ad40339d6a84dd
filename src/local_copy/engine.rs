//! The one file of the local copy that names SQLite: its file on disk, and the same in memory.

use std::path::Path;
use std::sync::Arc;

use domain::catalogue::Catalogue;
use protocol::ids::{Sequence, SiteId};
use sql::{Options, Sql, SqlError, SqliteEngine};

use super::meta::{SyncTimes, read_seen, read_sync_times};
use super::schema::{APPLICATION_ID, SCHEMA_VERSION};
use super::{LocalCopy, LocalCopyError};

/// What the local copy asks of an engine beside SQL.
pub trait Engine: Sql {
    /// Reads everything and checks its structure.
    ///
    /// # Errors
    /// [`sql::SqlErrorKind::Corrupt`] with what was found.
    fn check(&mut self) -> Result<(), SqlError>;

    /// The same, and each index against its table. Takes a multiple of the time.
    ///
    /// # Errors
    /// [`sql::SqlErrorKind::Corrupt`] with what was found.
    fn check_with_indexes(&mut self) -> Result<(), SqlError> {
        self.check()
    }

    /// Size of the write-ahead log, in bytes.
    ///
    /// # Errors
    /// [`sql::SqlErrorKind::Io`].
    fn log_bytes(&self) -> Result<u64, SqlError>;
}

impl Engine for SqliteEngine {
    fn check(&mut self) -> Result<(), SqlError> {
        SqliteEngine::check(self)
    }

    fn check_with_indexes(&mut self) -> Result<(), SqlError> {
        SqliteEngine::check_with_indexes(self)
    }

    fn log_bytes(&self) -> Result<u64, SqlError> {
        self.wal_bytes()
    }
}

/// When the last syncs were, of a local copy that is only looked at: its agent may run.
///
/// # Errors
/// [`LocalCopyError`]: it cannot be read, or is of another program's release.
pub fn sync_times_at(path: &Path) -> Result<SyncTimes, LocalCopyError> {
    let mut engine = SqliteEngine::open(path, &Options::new(APPLICATION_ID, SCHEMA_VERSION).read_only())?;
    read_sync_times(&mut engine)
}

/// How far the shared journal went as a local copy knows it that is only looked at: a journal that lies beside it and is shorter was
/// set back without it.
///
/// # Errors
/// As for [`sync_times_at`].
pub fn seen_at(path: &Path) -> Result<Sequence, LocalCopyError> {
    let mut engine = SqliteEngine::open(path, &Options::new(APPLICATION_ID, SCHEMA_VERSION).read_only())?;
    read_seen(&mut engine)
}

impl LocalCopy {
    /// Opens the local copy at `path`, or makes an empty one.
    ///
    /// # Errors
    /// [`LocalCopyError::Damaged`]: move the file and those beside it away and open a new one. Else the disk's.
    pub fn open(path: &Path, site: SiteId, catalogue: Arc<Catalogue>) -> Result<Self, LocalCopyError> {
        let engine = SqliteEngine::open(path, &Options::new(APPLICATION_ID, SCHEMA_VERSION))?;
        Self::new(Box::new(engine), site, catalogue)
    }

    /// The local copy at `path`, only to be read, also while its agent runs.
    ///
    /// # Errors
    /// As for [`sync_times_at`].
    pub fn open_read_only(path: &Path, site: SiteId, catalogue: Arc<Catalogue>) -> Result<Self, LocalCopyError> {
        let engine = SqliteEngine::open(path, &Options::new(APPLICATION_ID, SCHEMA_VERSION).read_only())?;
        Self::new(Box::new(engine), site, catalogue)
    }

    /// An empty local copy that is gone when it is dropped.
    ///
    /// # Errors
    /// Only if memory is short.
    pub fn in_memory(site: SiteId, catalogue: Arc<Catalogue>) -> Result<Self, LocalCopyError> {
        Self::new(Box::new(SqliteEngine::in_memory()?), site, catalogue)
    }
}
