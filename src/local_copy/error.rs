//! What the local copy answers when it cannot do what it was asked.

use std::fmt;

use sql::{SqlError, SqlErrorKind};

use crate::error::Explained;
use crate::exit::Exit;

/// An answer of the local copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalCopyError {
    /// SQLite finds the file damaged. It can be rebuilt: what is unsent is in the journal, the rest at central.
    Damaged(String),
    /// What stands in it cannot be read as what it should be.
    Content(String),
    /// SQLite or the disk refuses.
    Sql(SqlError),
    /// A part of a page does not go on where the last one ended.
    PartOrder,
    /// The set-aside is full.
    SetAsideFull,
}

impl From<SqlError> for LocalCopyError {
    fn from(error: SqlError) -> Self {
        match error.kind {
            SqlErrorKind::Corrupt => Self::Damaged(error.message),
            _ => Self::Sql(error),
        }
    }
}

impl fmt::Display for LocalCopyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(reason) => write!(formatter, "the local copy is damaged: {reason}"),
            Self::Content(reason) => write!(formatter, "the local copy holds something that it should not: {reason}"),
            Self::Sql(error) => write!(formatter, "the local copy cannot be used: {error}"),
            Self::PartOrder => formatter.write_str("a part of a page does not go on where the last one ended"),
            Self::SetAsideFull => write!(
                formatter,
                "{} refused edits are set aside, which is the limit: nothing new is recorded",
                super::SET_ASIDE_MAX
            ),
        }
    }
}

impl std::error::Error for LocalCopyError {}

impl Explained for LocalCopyError {
    fn code(&self) -> &str {
        match self {
            Self::Damaged(_) => "local_copy_damaged",
            Self::Content(_) => "local_copy_content",
            Self::Sql(error) if error.kind == SqlErrorKind::DiskFull => "disk_full",
            Self::Sql(error) => error.code(),
            Self::PartOrder => "part_order",
            Self::SetAsideFull => "set_aside_full",
        }
    }

    fn advice(&self) -> &str {
        match self {
            Self::Damaged(_) | Self::Content(_) => {
                "Nothing unsent is lost: start the agent again, it rebuilds the copy from its journal and from central."
            }
            Self::Sql(error) => error.advice(),
            Self::PartOrder => "Sync again.",
            Self::SetAsideFull => "Look at them with `outpost set-aside list`; export or retry them.",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Sql(error) if error.kind == SqlErrorKind::Busy => Exit::Busy,
            Self::SetAsideFull => Exit::Refused,
            _ => Exit::Disk,
        }
    }
}
