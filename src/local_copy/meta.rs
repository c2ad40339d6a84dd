//! Small values by name: positions, times, what was learnt of the link.

use protocol::ids::{Hash, JournalId};
use protocol::message::FramePartState;
use protocol::session::Link;
use sql::{Durability, Sql, SqlExt as _};

use super::{LocalCopy, LocalCopyError};
use crate::hex;
use crate::sync_runner::Learnt;

pub(super) fn write(sql: &mut dyn Sql, name: &str, value: &str) -> Result<(), LocalCopyError> {
    sql.execute(
        "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        &[name.into(), value.into()],
    )?;
    Ok(())
}

pub(super) fn read(sql: &mut dyn Sql, name: &str) -> Result<Option<String>, LocalCopyError> {
    Ok(sql.query_one("SELECT value FROM meta WHERE name = ?1", &[name.into()], |row| row.text(0).map(str::to_owned))?)
}

/// A number; 0 where nothing was written yet.
pub(super) fn number(sql: &mut dyn Sql, name: &str) -> Result<u64, LocalCopyError> {
    match read(sql, name)? {
        None => Ok(0),
        Some(text) => text.parse().map_err(|_| LocalCopyError::Content(format!("{name} is {text:?}, not a number"))),
    }
}

pub(super) fn journal(sql: &mut dyn Sql) -> Result<Option<JournalId>, LocalCopyError> {
    let Some(text) = read(sql, "journal")? else { return Ok(None) };
    let bytes = hex::array::<16>(&text).ok_or_else(|| LocalCopyError::Content(format!("journal is {text:?}")))?;
    Ok(Some(JournalId(bytes)))
}

/// The three times of syncing, and why the last one failed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncTimes {
    /// When a session last ended, well or not.
    pub attempt_ms: Option<u64>,
    /// When one last ended well.
    pub success_ms: Option<u64>,
    /// When the queue was last empty after one.
    pub drained_ms: Option<u64>,
    /// Code and message of the last one, if it failed.
    pub failure: Option<(String, String)>,
}

impl LocalCopy {
    /// Keeps how a session ended.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn remember_sync(&mut self, now_ms: u64, failure: Option<(&str, &str)>) -> Result<(), LocalCopyError> {
        let is_drained = failure.is_none()
            && self.sql.query_integer("SELECT COUNT(*) FROM pending", &[])?.unwrap_or(0) == 0
            && self.state.received >= self.state.applied;
        let now = now_ms.to_string();
        self.sql.in_transaction::<_, LocalCopyError>(Durability::Process, |sql| {
            write(sql, "last_attempt_ms", &now)?;
            write(sql, "last_failure_code", failure.map_or("", |failure| failure.0))?;
            write(sql, "last_failure", failure.map_or("", |failure| failure.1))?;
            if failure.is_none() {
                write(sql, "last_success_ms", &now)?;
            }
            if is_drained {
                write(sql, "last_drained_ms", &now)?;
            }
            Ok(())
        })
    }

    /// How the last sessions ended.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn sync_times(&mut self) -> Result<SyncTimes, LocalCopyError> {
        let sql = self.sql.as_mut();
        let mut time = |name| Ok::<_, LocalCopyError>(Some(number(sql, name)?).filter(|time| *time > 0));
        let (attempt_ms, success_ms, drained_ms) =
            (time("last_attempt_ms")?, time("last_success_ms")?, time("last_drained_ms")?);
        let code = read(sql, "last_failure_code")?.filter(|code| !code.is_empty());
        let message = read(sql, "last_failure")?.unwrap_or_default();
        Ok(SyncTimes { attempt_ms, success_ms, drained_ms, failure: code.map(|code| (code, message)) })
    }

    /// What earlier sessions learnt of the link.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn learnt(&mut self) -> Result<Learnt, LocalCopyError> {
        let Some(text) = read(self.sql.as_mut(), "learnt")? else { return Ok(Learnt::default()) };
        let mut words = text.split(' ');
        let mut number = || words.next().and_then(|word| word.parse::<u32>().ok());
        let (Some(target_bytes), Some(plain_percent)) = (number(), number()) else { return Ok(Learnt::default()) };
        let received = number();
        let frame_part = match (received, words.next().and_then(hex::array::<32>)) {
            (Some(received), Some(hash)) => Some(FramePartState { hash: Hash(hash), received }),
            _ => None,
        };
        Ok(Learnt { link: Link::resume(target_bytes, plain_percent), frame_part })
    }

    /// Keeps what was learnt of the link for the next program; losing it does no harm.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn remember_learnt(&mut self, learnt: &Learnt) -> Result<(), LocalCopyError> {
        let mut text = format!("{} {}", learnt.link.target_bytes(), learnt.link.plain_percent());
        if let Some(part) = &learnt.frame_part {
            text += &format!(" {} {}", part.received, part.hash);
        }
        self.sql.in_transaction(Durability::Process, |sql| write(sql, "learnt", &text))
    }
}
