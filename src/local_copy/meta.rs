//! Small values that are kept beside the records: how far the journals are applied, when the last sync was.

use protocol::ids::{JournalId, Sequence};
use protocol::session::Link;
use serde::{Deserialize, Serialize};
use sql::{Durability, Param, Sql, SqlError, SqlExt};

use super::{LocalCopy, LocalCopyError, checksum, limits};
use crate::sync_runner::Learnt;

pub(super) const APPLIED_SHARED: &str = "applied_shared";
pub(super) const APPLIED_PRIVATE: &str = "applied_private";
pub(super) const RECEIVED: &str = "received";
pub(super) const JUDGED: &str = "judged";
pub(super) const BACKED_UP: &str = "backed_up";
pub(super) const CONTROL: &str = "control";
pub(super) const PRIVATE_JOURNAL: &str = "private_journal";
pub(super) const SITE_CODE: &str = "site_code";
pub(super) const SET_ASIDE_LET_GO: &str = "set_aside_let_go";
const ATTEMPT_MS: &str = "sync_attempt_ms";
const SUCCESS_MS: &str = "sync_success_ms";
const DRAINED_MS: &str = "sync_drained_ms";
const FAILURE_CODE: &str = "sync_failure_code";
const FAILURE_MESSAGE: &str = "sync_failure_message";
const HISTORY_REFUSAL: &str = "sync_history_refusal";
const LEARNT: &str = "learnt";
/// 1 while central waits for this site to compare what it has.
const OWES_VERIFY: &str = "owes_verify";

/// The three times of syncing, by the wall clock: for people, nothing is ordered by it. In milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncTimes {
    /// When a session last ended, well or not.
    pub attempt_ms: Option<u64>,
    /// When one last ended well: every scope was drained, so the records are complete as of then.
    pub success_ms: Option<u64>,
    /// When the queue was last empty after one.
    pub drained_ms: Option<u64>,
    /// Code and message of the last one, if it failed.
    pub failure: Option<(String, String)>,
    /// That a journal's history was refused, if no session has gone through since.
    pub history_refusal: Option<HistoryRefusal>,
}

/// That central has another history of a journal than this device, or more of it: it stays so until another journal is begun. Later
/// sessions that do not even reach central say nothing about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRefusal {
    /// The journal.
    pub journal: JournalId,
    /// When it was last refused, in milliseconds since 1970.
    pub at_ms: u64,
    /// The code.
    pub code: String,
    /// In central's words.
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
    /// Whether central has asked this site to compare what it has, and it has not yet.
    ///
    /// # Errors
    /// Those of a read.
    pub fn owes_verify(&mut self) -> Result<bool, LocalCopyError> {
        Ok(self.number(OWES_VERIFY)? == Some(1))
    }

    /// Notes that in the open transaction.
    pub(super) fn owe_verify(&mut self, owes: bool) -> Result<(), LocalCopyError> {
        self.set_number(OWES_VERIFY, u64::from(owes))
    }

    /// Notes that central was told what was found, durably.
    ///
    /// # Errors
    /// Those of a write.
    pub fn forget_verify(&mut self) -> Result<(), LocalCopyError> {
        self.transaction(Durability::Process, |copy| copy.owe_verify(false))
    }

    /// Notes how a session ended: `None` if everything was pushed and every scope is drained. A scope that is being read again
    /// and did not come in such a session holds nothing for this site any more; it is swept.
    ///
    /// # Errors
    /// Those of a write.
    pub fn remember_sync(&mut self, now_ms: u64, failure: Option<(&str, &str)>) -> Result<(), LocalCopyError> {
        let is_queue_empty = self.sql.query_integer("SELECT 1 FROM pending LIMIT 1", &[])?.is_none();
        self.transaction(Durability::Process, |copy| {
            copy.set_number(ATTEMPT_MS, now_ms)?;
            copy.set_content(FAILURE_CODE, failure.map(|failure| failure.0.as_bytes()))?;
            copy.set_content(FAILURE_MESSAGE, failure.map(|failure| failure.1.as_bytes()))?;
            if failure.is_some() {
                return Ok(());
            }
            copy.set_number(SUCCESS_MS, now_ms)?;
            copy.set_content(HISTORY_REFUSAL, None)?;
            if is_queue_empty {
                copy.set_number(DRAINED_MS, now_ms)?;
            }
            copy.note_stores_read()?;
            copy.begin_sweep_of_absent_scopes()
        })
    }

    /// Notes a refusal that stays until another journal is begun.
    ///
    /// # Errors
    /// Those of a write.
    pub fn remember_history_refusal(&mut self, refusal: &HistoryRefusal) -> Result<(), LocalCopyError> {
        let content = protocol::message::encode(refusal);
        self.transaction(Durability::Process, |copy| copy.set_content(HISTORY_REFUSAL, Some(&content)))
    }

    /// What [`LocalCopy::remember_sync`] and [`LocalCopy::remember_history_refusal`] noted.
    ///
    /// # Errors
    /// Those of a read.
    pub fn sync_times(&mut self) -> Result<SyncTimes, LocalCopyError> {
        read_sync_times(&mut *self.sql)
    }

    /// What earlier sessions learnt of the link.
    ///
    /// # Errors
    /// Those of a read.
    pub fn learnt(&mut self) -> Result<Learnt, LocalCopyError> {
        let Some(content) = self.content(LEARNT)? else { return Ok(Learnt::default()) };
        // Written by another version: it is learnt again.
        let Ok((target_bytes, plain_percent, frame_part)) = postcard::from_bytes(&content) else {
            return Ok(Learnt::default());
        };
        Ok(Learnt { link: Link::resume(target_bytes, plain_percent), frame_part })
    }

    /// Keeps what was learnt of the link for the next program; losing it does no harm.
    ///
    /// # Errors
    /// Those of a write.
    pub fn remember_learnt(&mut self, learnt: &Learnt) -> Result<(), LocalCopyError> {
        let content = (learnt.link.target_bytes(), learnt.link.plain_percent(), learnt.frame_part);
        let content = protocol::message::encode(&content);
        self.transaction(Durability::Process, |copy| copy.set_content(LEARNT, Some(&content)))
    }

    /// The site's code as central last told it; `None` if it told none, or an empty one.
    ///
    /// # Errors
    /// Those of a read.
    pub fn site_code(&mut self) -> Result<Option<String>, LocalCopyError> {
        let code = self.content(SITE_CODE)?.map(String::from_utf8).transpose().map_err(LocalCopyError::damaged)?;
        Ok(code.filter(|code| !code.is_empty()))
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
        read_number(&mut *self.sql, name)
    }

    pub(super) fn set_number(&mut self, name: &str, number: u64) -> Result<(), LocalCopyError> {
        self.sql.execute(
            "INSERT INTO meta (name, number, content) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET number = excluded.number, content = excluded.content",
            &[name.into(), Param::unsigned(number)?, (&checksum::of_number(name, number)).into()],
        )?;
        Ok(())
    }

    pub(super) fn content(&mut self, name: &str) -> Result<Option<Vec<u8>>, LocalCopyError> {
        Ok(read_content(&mut *self.sql, name)?)
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

/// The times of the last syncs of an open local copy.
pub(super) fn read_sync_times(sql: &mut dyn Sql) -> Result<SyncTimes, LocalCopyError> {
    let code = read_content(sql, FAILURE_CODE)?;
    let message = read_content(sql, FAILURE_MESSAGE)?.unwrap_or_default();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(LocalCopyError::damaged);
    Ok(SyncTimes {
        attempt_ms: read_number(sql, ATTEMPT_MS)?,
        success_ms: read_number(sql, SUCCESS_MS)?,
        drained_ms: read_number(sql, DRAINED_MS)?,
        failure: match code {
            Some(code) => Some((text(code)?, text(message)?)),
            None => None,
        },
        // Written by another version: the next session finds it again.
        history_refusal: read_content(sql, HISTORY_REFUSAL)?.and_then(|content| postcard::from_bytes(&content).ok()),
    })
}

/// How far the journal in use went by what was applied of it here, and by what central said of it.
pub(super) fn read_seen(sql: &mut dyn Sql) -> Result<Sequence, LocalCopyError> {
    let (applied, received) = (read_number(sql, APPLIED_SHARED)?, read_number(sql, RECEIVED)?);
    Ok(Sequence(applied.max(received).unwrap_or_default()))
}

fn read_number(sql: &mut dyn Sql, name: &str) -> Result<Option<u64>, LocalCopyError> {
    let found = sql.query_one("SELECT number, content FROM meta WHERE name = ?1", &[name.into()], |row| {
        Ok((row.optional_unsigned(0)?, row.optional_blob(1)?.map(<[u8]>::to_vec)))
    })?;
    let Some((Some(number), sum)) = found else { return Ok(None) };
    // How far central has received the journal decides what is let go of: a bit too many would lose edits.
    if sum.is_some_and(|sum| sum != checksum::of_number(name, number)) {
        return Err(LocalCopyError::damaged(format_args!("the number {name} has a wrong checksum")));
    }
    Ok(Some(number))
}

fn read_content(sql: &mut dyn Sql, name: &str) -> Result<Option<Vec<u8>>, SqlError> {
    let found = sql.query_one("SELECT content FROM meta WHERE name = ?1", &[name.into()], |row| {
        Ok(row.optional_blob(0)?.map(<[u8]>::to_vec))
    })?;
    Ok(found.flatten())
}
