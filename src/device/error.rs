//! What can be wrong with the identity of a device.

use std::fmt;
use std::path::PathBuf;

use super::password::{PASSWORD_BYTES_MAX, PASSWORD_VARIABLE};
use crate::durable_file::FileError;
use crate::error::Explained;
use crate::exit::Exit;

/// A device that cannot speak for its site.
#[derive(Debug)]
pub enum DeviceError {
    /// Central does not know this device yet.
    NotEnrolled,
    /// A file does not hold what it should.
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// There is an identity and no key.
    KeyMissing {
        /// Where the key should be.
        path: PathBuf,
    },
    /// A file was written by a release whose version of it this agent does not read.
    Version {
        /// Which.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// No password was given.
    PasswordMissing,
    /// The file of the password is not there.
    PasswordFileMissing {
        /// Which.
        path: PathBuf,
    },
    /// The password is empty, too long or no text.
    PasswordForm {
        /// Its length, in bytes.
        bytes: usize,
    },
    /// A file cannot be used.
    File(FileError),
}

impl From<FileError> for DeviceError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl Explained for DeviceError {
    fn code(&self) -> &str {
        match self {
            Self::NotEnrolled => "not_enrolled",
            Self::Damaged { .. } => "identity_damaged",
            Self::KeyMissing { .. } => "key_missing",
            Self::Version { .. } => "identity_version",
            Self::PasswordMissing => "password_missing",
            Self::PasswordFileMissing { .. } => "password_file_missing",
            Self::PasswordForm { .. } => "password_form",
            Self::File(error) => error.code(),
        }
    }

    fn advice(&self) -> &str {
        match self {
            Self::NotEnrolled => "Run `outpost enrol` with the site's name and password.",
            Self::Damaged { .. } | Self::KeyMissing { .. } => {
                "Keep the data folder: its journal may hold edits that central does not have. Ask whoever looks after central."
            }
            Self::Version { .. } => "Run the version of the agent that wrote it. Nothing was changed.",
            Self::PasswordMissing => {
                "Give --password-file FILE, or `-` to read it from standard input, or set OUTPOST_PASSWORD."
            }
            Self::PasswordFileMissing { .. } => {
                "Check the path in --password-file or in the setting site.password_file."
            }
            Self::PasswordForm { .. } => "Give the password alone, as text in one line.",
            Self::File(error) => error.advice(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NotEnrolled
            | Self::PasswordMissing
            | Self::PasswordFileMissing { .. }
            | Self::PasswordForm { .. }
            | Self::Version { .. } => Exit::Config,
            Self::Damaged { .. } | Self::KeyMissing { .. } => Exit::Disk,
            Self::File(error) => error.exit(),
        }
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEnrolled => formatter.write_str("this device is not enrolled at central yet"),
            Self::Damaged { path } => {
                write!(formatter, "{} is damaged: its length or checksum is wrong", path.display())
            }
            Self::KeyMissing { path } => {
                write!(formatter, "the device's key {} is missing, and its identity is there", path.display())
            }
            Self::Version { path, found } => {
                write!(formatter, "{} has version {found}; this agent reads version 1", path.display())
            }
            Self::PasswordMissing => {
                write!(formatter, "no password: neither --password-file nor site.password_file nor {PASSWORD_VARIABLE}")
            }
            Self::PasswordFileMissing { path } => write!(formatter, "there is no password file {}", path.display()),
            Self::PasswordForm { bytes } => write!(
                formatter,
                "the password has {bytes} bytes; it must be text of 1 to {PASSWORD_BYTES_MAX} bytes in one line"
            ),
            Self::File(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for DeviceError {}
