//! What can go wrong with the local copy.

use std::fmt;

use protocol::ids::{JournalId, Sequence};
use sql::{SqlError, SqlErrorKind};

use super::{Kind, limits};
use crate::error::Explained;
use crate::exit::Exit;

/// A call on the local copy that failed. Nothing of the call was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalCopyError {
    /// The file is damaged, or holds what this program never writes: make a new one from the journal and from central.
    Damaged(String),
    /// The database says no for another reason.
    Sql(SqlError),
    /// Entries of a journal were left out: apply what the journal has above `applied` first.
    Gap {
        /// Which journal.
        kind: Kind,
        /// The last entry that was applied.
        applied: Sequence,
        /// The entry that came.
        found: Sequence,
    },
    /// A reply speaks of another journal than the one in use.
    OtherJournal {
        /// The journal in use.
        expected: JournalId,
        /// The one that the reply is for.
        found: JournalId,
    },
    /// Refused edits have piled up; see [`limits::SET_ASIDE_MAX`] and [`limits::SET_ASIDE_BYTES_MAX`].
    SetAsideFull {
        /// How many there are.
        count: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Control rows that this program does not understand have piled up; see [`limits::CONTROL_UNKNOWN_MAX`].
    ControlUnknownFull,
    /// The write-ahead log is above [`limits::LOG_BYTES_MAX`], because some program does not end its read.
    LogFull {
        /// Its size, in bytes.
        bytes: u64,
    },
    /// A part of a page that does not go on where the last one ended, or is above the limits.
    Part(&'static str),
}

impl LocalCopyError {
    /// What this program can never have written, found in the file.
    pub(super) fn damaged(what: impl fmt::Display) -> Self {
        Self::Damaged(what.to_string())
    }

    /// Whether only a new file helps. The caller then moves the old one away, opens a new one, applies what the journals still
    /// have and pulls from 0.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }
}

impl From<SqlError> for LocalCopyError {
    fn from(error: SqlError) -> Self {
        match error.kind {
            SqlErrorKind::Corrupt => Self::Damaged(error.message),
            _ => Self::Sql(error),
        }
    }
}

impl Explained for LocalCopyError {
    fn code(&self) -> &str {
        match self {
            Self::Damaged(_) => "local_copy_damaged",
            Self::Sql(error) => match error.kind {
                SqlErrorKind::DiskFull => "disk_full",
                SqlErrorKind::Busy => "local_copy_busy",
                SqlErrorKind::Newer => "local_copy_newer",
                SqlErrorKind::Foreign => "local_copy_foreign",
                SqlErrorKind::Io | SqlErrorKind::ReadOnly => "local_copy_io",
                SqlErrorKind::Corrupt | SqlErrorKind::Constraint | SqlErrorKind::Other => "local_copy_failed",
            },
            Self::Gap { .. } => "local_copy_behind",
            Self::OtherJournal { .. } => "other_journal",
            Self::SetAsideFull { .. } => "set_aside_full",
            Self::ControlUnknownFull => "control_unknown_full",
            Self::LogFull { .. } => "local_copy_log_full",
            Self::Part(_) => "bad_part",
        }
    }

    fn advice(&self) -> &str {
        match self {
            Self::Damaged(_) => {
                "Start the agent again: it makes the local copy anew, from the journals and from central."
            }
            Self::Sql(error) => error.advice(),
            Self::Gap { .. } => "Open the data folder again: what is missing is applied then.",
            Self::SetAsideFull { .. } => {
                "Look at them with `outpost set-aside list`, then retry them, or export and dismiss them: `outpost help set-aside`."
            }
            Self::ControlUnknownFull => "Install the newest version of this program.",
            Self::LogFull { .. } => {
                "Close the application that keeps the local copy open in a long read; reads should take seconds."
            }
            Self::OtherJournal { .. } | Self::Part(_) => "Sync again.",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Sql(error) if error.kind == SqlErrorKind::Busy => Exit::Busy,
            Self::Sql(_) | Self::Damaged(_) | Self::Gap { .. } | Self::LogFull { .. } => Exit::Disk,
            Self::SetAsideFull { .. } => Exit::Refused,
            Self::OtherJournal { .. } | Self::ControlUnknownFull | Self::Part(_) => Exit::Failed,
        }
    }
}

impl fmt::Display for LocalCopyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(what) => write!(formatter, "the local copy is damaged: {what}"),
            Self::Sql(error) => write!(formatter, "the local copy failed: {}", error.message),
            Self::Gap { kind, applied, found } => write!(
                formatter,
                "entry {found} of the {} journal came to the local copy, which has applied it up to {applied}",
                kind.as_str()
            ),
            Self::OtherJournal { expected, found } => {
                write!(formatter, "a reply is for journal {found}, this site writes {expected}")
            }
            Self::SetAsideFull { count, bytes } => write!(
                formatter,
                "{count} refused edits are set aside, in {bytes} bytes, the limits are {} and {}: new edits are not taken until there are \
                 fewer",
                limits::SET_ASIDE_MAX,
                limits::SET_ASIDE_BYTES_MAX
            ),
            Self::ControlUnknownFull => write!(
                formatter,
                "central has sent {} messages that this version does not understand",
                limits::CONTROL_UNKNOWN_MAX
            ),
            Self::LogFull { bytes } => write!(
                formatter,
                "the write-ahead log of the local copy has {bytes} bytes, the limit is {}: a program has not ended its read",
                limits::LOG_BYTES_MAX
            ),
            Self::Part(what) => write!(formatter, "a part of a page {what}"),
        }
    }
}

impl std::error::Error for LocalCopyError {}
