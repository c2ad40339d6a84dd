//! The one error of this crate.

use std::fmt;

/// What went wrong, by what can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SqlErrorKind {
    /// Another connection held a lock for longer than the busy timeout.
    Busy,
    /// The disk, or the database's own limit, is full.
    DiskFull,
    /// The file is damaged, or no database at all.
    Corrupt,
    /// A write through a connection, or in a transaction, that only reads.
    ReadOnly,
    /// A row that breaks a uniqueness, NOT NULL, CHECK or type rule of its table.
    Constraint,
    /// Reading, writing, syncing or opening a file failed.
    Io,
    /// The database was written by a newer program than this one.
    Newer,
    /// The database belongs to another program.
    Foreign,
    /// Anything else: nearly always a mistake in the calling program.
    Other,
}

/// A failed call: its kind, and a sentence about this very case.
///
/// Messages quote statements, never parameters: those are people's data and errors end in logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    /// What the caller decides by.
    pub kind: SqlErrorKind,
    /// What was wrong, with the values and limits concerned.
    pub message: String,
}

impl SqlError {
    /// An error of this kind with its sentence (no full stop at the end).
    pub fn new(kind: SqlErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The stable code of the kind.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        self.kind.advice()
    }
}

impl SqlErrorKind {
    /// A stable snake-case code, for people, logs and machine-readable output.
    pub fn code(self) -> &'static str {
        match self {
            Self::Busy => "sql_busy",
            Self::DiskFull => "sql_disk_full",
            Self::Corrupt => "sql_corrupt",
            Self::ReadOnly => "sql_read_only",
            Self::Constraint => "sql_constraint",
            Self::Io => "sql_io",
            Self::Newer => "sql_newer",
            Self::Foreign => "sql_foreign",
            Self::Other => "sql_other",
        }
    }

    /// What to do about an error of this kind.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Busy => "try again; if it stays, close the program that keeps the database open",
            Self::DiskFull => "free some space on the disk, then try again",
            Self::Corrupt => "keep the file for examination, then rebuild it or restore a backup",
            Self::ReadOnly => "open the database for writing",
            Self::Constraint => "correct the record; trying again will not help",
            Self::Io => "check the disk, the folder and its permissions, then try again",
            Self::Newer => "install the program version that wrote this database, or a newer one",
            Self::Foreign => "check the path; this file is left untouched",
            Self::Other => "report this as a mistake in the program",
        }
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({}): {}", self.message, self.code(), self.advice())
    }
}

impl std::error::Error for SqlError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_its_sentence_its_code_and_what_to_do() {
        let error = SqlError::new(SqlErrorKind::DiskFull, "page 7 could not be written");
        assert_eq!(
            error.to_string(),
            "page 7 could not be written (sql_disk_full): free some space on the disk, then try again"
        );
    }
}
