//! What can be wrong with a sealed file or its passphrase.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::header::{Kind, MEMORY_KIB_MAX, MEMORY_KIB_MIN, ROUNDS_MAX};
use crate::passphrase::{PASSPHRASE_BYTES_MAX, PASSPHRASE_BYTES_MIN};

/// A sealed file that cannot be read or written.
#[derive(Debug)]
pub enum SealedError {
    /// The passphrase is too short, too long or no text.
    Passphrase {
        /// Its bytes.
        bytes: usize,
    },
    /// The file does not begin as one.
    Form,
    /// Written by a program that writes another version.
    Version,
    /// It is of another kind than is wanted, or of one that this program does not know.
    Kind {
        /// What it is.
        found: Option<Kind>,
        /// What is wanted; `None` where any would do.
        wanted: Option<Kind>,
    },
    /// It asks for more memory or rounds than are given, or for fewer than there can be.
    Cost {
        /// Memory, in KiB.
        memory_kib: u32,
        /// Passes over it.
        rounds: u32,
    },
    /// The memory that it asks for is not there.
    Memory {
        /// Memory, in KiB.
        memory_kib: u32,
    },
    /// The passphrase is wrong, or the file's beginning was altered: which, cannot be told.
    Locked,
    /// The passphrase is right, and the file was altered, cut or lengthened.
    Damaged,
    /// The content is above what a file can hold.
    TooLarge,
    /// A file of the name that is to be made is there already.
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// The system refused.
    Io(io::Error),
}

impl SealedError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Passphrase { .. } => "passphrase_length",
            Self::Form => "sealed_file_form",
            Self::Version => "sealed_file_version",
            Self::Kind { .. } => "sealed_file_kind",
            Self::Cost { .. } => "sealed_file_limit",
            Self::Memory { .. } => "sealed_file_memory",
            Self::Locked => "sealed_file_locked",
            Self::Damaged => "sealed_file_damaged",
            Self::TooLarge => "sealed_file_too_large",
            Self::Exists { .. } => "file_exists",
            Self::Io(_) => "sealed_file_io",
        }
    }

    /// What a person may do.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Passphrase { .. } => "Choose another one: some random words are good.",
            Self::Form | Self::Kind { .. } => "Check that this is the right file.",
            Self::Version => "Use a program of the same release as the one that wrote the file.",
            Self::Cost { .. } | Self::Damaged => {
                "Take another copy of the file, or make it again. Nothing was changed."
            }
            Self::Memory { .. } => "Free some memory and try again. Nothing was changed.",
            Self::Locked => "Check the passphrase, or take another copy of the file. Nothing was changed.",
            Self::TooLarge => "This is a mistake of the program; please report it.",
            Self::Exists { .. } => "Name a file that is not there yet. Nothing was changed.",
            Self::Io(_) => "Check the stick, the disk and the path.",
        }
    }
}

impl From<io::Error> for SealedError {
    /// An error that a [`SealedReader`](crate::SealedReader) gave as one of reading comes back as what it was.
    fn from(error: io::Error) -> Self {
        match error.downcast::<SealedError>() {
            Ok(sealed) => sealed,
            Err(error) => Self::Io(error),
        }
    }
}

impl From<SealedError> for io::Error {
    fn from(error: SealedError) -> Self {
        match error {
            SealedError::Io(error) => error,
            other => Self::new(io::ErrorKind::InvalidData, other),
        }
    }
}

impl fmt::Display for SealedError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passphrase { bytes } => write!(
                formatter,
                "the passphrase has {bytes} bytes; it must have {PASSPHRASE_BYTES_MIN} to {PASSPHRASE_BYTES_MAX}, of UTF-8 on one line"
            ),
            Self::Form => formatter.write_str("this is no sealed file of outpost"),
            Self::Version => formatter.write_str("the file has another version than this program reads, which is 0"),
            Self::Kind { found: Some(found), wanted: Some(wanted) } => {
                write!(formatter, "the file is {}; wanted is {}", found.sentence(), wanted.sentence())
            }
            Self::Kind { found: Some(found), wanted: None } => {
                write!(formatter, "the file is {}, which is of no use here", found.sentence())
            }
            Self::Kind { found: None, .. } => {
                formatter.write_str("the file is of a kind that this program does not know")
            }
            Self::Cost { memory_kib, rounds } => write!(
                formatter,
                "the file asks for {memory_kib} KiB and {rounds} rounds; {MEMORY_KIB_MIN} to {MEMORY_KIB_MAX} KiB and 1 to {ROUNDS_MAX} \
                 rounds are taken"
            ),
            Self::Memory { memory_kib } => {
                write!(formatter, "{memory_kib} KiB of memory for the passphrase are not there")
            }
            Self::Locked => formatter.write_str("the passphrase is wrong, or the file was altered"),
            Self::Damaged => formatter.write_str("the file was altered, cut or lengthened since it was written"),
            Self::TooLarge => formatter.write_str("the content is above what a sealed file can hold"),
            Self::Exists { path } => write!(formatter, "{} is there already", path.display()),
            Self::Io(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for SealedError {}
