//! Small values that are kept beside the records: how far the journals are applied, when the last sync was.

use sql::{Durability, Param, SqlExt};

use super::{LocalCopy, LocalCopyError, limits};

pub(super) const APPLIED_SHARED: &str = "applied_shared";
pub(super) const APPLIED_PRIVATE: &str = "applied_private";
pub(super) const RECEIVED: &str = "received";
pub(super) const JUDGED: &str = "judged";
pub(super) const BACKED_UP: &str = "backed_up";
pub(super) const CONTROL: &str = "control";
pub(super) const PRIVATE_JOURNAL: &str = "private_journal";
const ATTEMPTED_AT_MS: &str = "sync_attempted_at_ms";
const DRAINED_AT_MS: &str = "sync_drained_at_ms";
const FAILURE_CODE: &str = "sync_failure_code";
const FAILURE_MESSAGE: &str = "sync_failure_message";
/// Stands before names that callers give.
const CALLERS: &str = "note.";

/// When this site last synced, by the wall clock: for people, nothing is ordered by it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncTimes {
    /// When a session last ended, however it ended, in milliseconds since 1970.
    pub attempted_at_ms: Option<u64>,
    /// When a session last pushed everything and drained every scope: the records are complete as of then.
    pub drained_at_ms: Option<u64>,
    /// Why the last session did not come to its end.
    pub failure: Option<SyncFailure>,
}

/// Why a session did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncFailure {
    /// Stable code.
    pub code: String,
    /// One sentence.
    pub message: String,
}

/// Size of the write-ahead log beside its limits. It grows while some program stays in an old read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogHealth {
    /// Its size, in bytes.
    pub bytes: u64,
    /// Above [`limits::LOG_BYTES_WARNING`].
    pub is_above_warning: bool,
    /// Above [`limits::LOG_BYTES_MAX`]: pages are not stored.
    pub is_above_limit: bool,
}

impl LocalCopy {
    /// Notes how a session ended: `None` if everything was pushed and every scope is drained. A scope that is being read again
    /// and did not come in such a session holds nothing for this site any more; it is swept.
    ///
    /// # Errors
    /// Those of a write.
    pub fn remember_sync(&mut self, now_ms: u64, failure: Option<(&str, &str)>) -> Result<(), LocalCopyError> {
        self.transaction(Durability::Process, |copy| {
            copy.set_number(ATTEMPTED_AT_MS, now_ms)?;
            match failure {
                None => {
                    copy.set_number(DRAINED_AT_MS, now_ms)?;
                    copy.set_content(FAILURE_CODE, None)?;
                    copy.set_content(FAILURE_MESSAGE, None)?;
                    copy.begin_sweep_of_absent_scopes()
                }
                Some((code, message)) => {
                    copy.set_content(FAILURE_CODE, Some(code.as_bytes()))?;
                    copy.set_content(FAILURE_MESSAGE, Some(message.as_bytes()))
                }
            }
        })
    }

    /// What [`LocalCopy::remember_sync`] noted.
    ///
    /// # Errors
    /// Those of a read.
    pub fn sync_times(&mut self) -> Result<SyncTimes, LocalCopyError> {
        let code = self.content(FAILURE_CODE)?;
        let message = self.content(FAILURE_MESSAGE)?.unwrap_or_default();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(LocalCopyError::damaged);
        Ok(SyncTimes {
            attempted_at_ms: self.number(ATTEMPTED_AT_MS)?,
            drained_at_ms: self.number(DRAINED_AT_MS)?,
            failure: match code {
                Some(code) => Some(SyncFailure { code: text(code)?, message: text(message)? }),
                None => None,
            },
        })
    }

    /// A small value that the caller keeps here under a name of its own.
    ///
    /// # Errors
    /// Those of a read.
    pub fn note(&mut self, name: &str) -> Result<Option<Vec<u8>>, LocalCopyError> {
        self.content(&format!("{CALLERS}{name}"))
    }

    /// Keeps a small value under a name; `None` forgets it. Safe against a kill, and against a power cut with the next page or
    /// reply that is stored.
    ///
    /// # Errors
    /// Those of a write.
    pub fn set_note(&mut self, name: &str, content: Option<&[u8]>) -> Result<(), LocalCopyError> {
        let name = format!("{CALLERS}{name}");
        self.transaction(Durability::Process, |copy| copy.set_content(&name, content))
    }

    /// Size of the write-ahead log beside its limits.
    ///
    /// # Errors
    /// If the file cannot be looked at.
    pub fn log_health(&mut self) -> Result<LogHealth, LocalCopyError> {
        let bytes = self.sql.log_bytes()?;
        Ok(LogHealth {
            bytes,
            is_above_warning: bytes > limits::LOG_BYTES_WARNING,
            is_above_limit: bytes > limits::LOG_BYTES_MAX,
        })
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, LocalCopyError> {
        let found = self
            .sql
            .query_one("SELECT number FROM meta WHERE name = ?1", &[name.into()], |row| row.optional_unsigned(0))?;
        Ok(found.flatten())
    }

    pub(super) fn set_number(&mut self, name: &str, number: u64) -> Result<(), LocalCopyError> {
        self.sql.execute(
            "INSERT INTO meta (name, number) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET number = excluded.number",
            &[name.into(), Param::unsigned(number)?],
        )?;
        Ok(())
    }

    pub(super) fn content(&mut self, name: &str) -> Result<Option<Vec<u8>>, LocalCopyError> {
        let found = self.sql.query_one("SELECT content FROM meta WHERE name = ?1", &[name.into()], |row| {
            Ok(row.optional_blob(0)?.map(<[u8]>::to_vec))
        })?;
        Ok(found.flatten())
    }

    pub(super) fn set_content(&mut self, name: &str, content: Option<&[u8]>) -> Result<(), LocalCopyError> {
        self.sql.execute(
            "INSERT INTO meta (name, content) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET content = excluded.content",
            &[name.into(), content.into()],
        )?;
        Ok(())
    }
}
