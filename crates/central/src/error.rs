//! What a person or a script is shown when a verb fails: a code, a sentence, advice, and the exit code.

use protocol::message::Refusal;
use serde::{Deserialize, Serialize};
use sql::{SqlError, SqlErrorKind};

use crate::store::StoreError;

/// How a command ends: what a script may rely on. The numbers are those of the agent; only ever added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Exit {
    /// It did what was asked.
    Ok,
    /// It failed for a reason that has no code of its own.
    Failed,
    /// The command line was wrong; nothing was done.
    Usage,
    /// Part of it was done; what was not is listed.
    Partial,
    /// A rule said no; nothing was done.
    Refused,
    /// A setting is missing or wrong; nothing was done.
    Config,
    /// The disk is full, fails, or holds something damaged.
    Disk,
    /// Something else has to finish first.
    Busy,
}

impl Exit {
    /// All of them.
    pub const ALL: [Exit; 8] =
        [Self::Ok, Self::Failed, Self::Usage, Self::Partial, Self::Refused, Self::Config, Self::Disk, Self::Busy];

    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Partial => 3,
            Self::Refused => 5,
            Self::Config => 6,
            Self::Disk => 7,
            Self::Busy => 8,
        }
    }
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> Self {
        exit.code()
    }
}

impl TryFrom<u8> for Exit {
    type Error = String;

    fn try_from(code: u8) -> Result<Self, String> {
        Self::ALL.into_iter().find(|exit| exit.code() == code).ok_or_else(|| format!("there is no exit code {code}"))
    }
}

/// Any error of central, ready to be shown. It also crosses the admin socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} [{code}]")]
pub struct CentralError {
    /// A stable name in `snake_case`; only ever added to.
    pub code: String,
    /// What was wrong, as a sentence.
    pub message: String,
    /// What to do now; empty where the message says it all.
    pub advice: String,
    /// How the program ends because of it.
    pub exit: Exit,
}

impl CentralError {
    /// An error with all that is shown of it.
    pub fn new(code: &str, message: impl Into<String>, advice: impl Into<String>, exit: Exit) -> Self {
        Self { code: code.to_owned(), message: message.into(), advice: advice.into(), exit }
    }

    /// Something asked for that is wrong in itself; nothing was done.
    pub fn refused(code: &str, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(code, message, advice, Exit::Refused)
    }
}

impl From<SqlError> for CentralError {
    fn from(error: SqlError) -> Self {
        let exit = match error.kind {
            SqlErrorKind::Busy => Exit::Busy,
            SqlErrorKind::DiskFull | SqlErrorKind::Corrupt | SqlErrorKind::Io => Exit::Disk,
            SqlErrorKind::Newer | SqlErrorKind::Foreign => Exit::Config,
            SqlErrorKind::ReadOnly | SqlErrorKind::Constraint | SqlErrorKind::Other => Exit::Failed,
        };
        Self::new(error.code(), error.message.clone(), error.advice(), exit)
    }
}

impl From<Refusal> for CentralError {
    fn from(refusal: Refusal) -> Self {
        Self::refused(&refusal.code, refusal.message, "")
    }
}

impl From<StoreError> for CentralError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(refusal) => refusal.into(),
            StoreError::Sql(error) => error.into(),
            StoreError::Unreadable(_) => Self::new(
                error.code(),
                error.to_string(),
                "`site verify SITE` names every such record, and who can send it again.",
                Exit::Disk,
            ),
            StoreError::Damaged(what) => Self::new(
                "store_damaged",
                format!("central's store is damaged: {what}"),
                "Keep the folder for examination and restore a backup.",
                Exit::Disk,
            ),
        }
    }
}
