//! What commands read from files and standard input.

use std::fs::File;
use std::io::{Read, Seek as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::Source;
use crate::enrolment::PASSWORD_BYTES_MAX;
use crate::error::{CentralError, Exit};
use crate::folder::FolderPaths;
use crate::operations::{SPOOL_BYTES_MAX, nameless_file};

/// Lines to import: a file whose length is known.
pub(super) struct Input {
    file: File,
    bytes: u64,
}

impl Input {
    /// Opens a file; `-` and what has no length (a pipe) is first copied into a file without a name.
    pub(super) fn open(path: &Path, paths: &FolderPaths) -> Result<Self, CentralError> {
        if path.as_os_str() == "-" {
            return Self::copy(&mut std::io::stdin().lock(), paths);
        }
        let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
        let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
        if metadata.is_dir() {
            return Err(unreadable(path, &std::io::Error::from(std::io::ErrorKind::IsADirectory)));
        }
        if !metadata.is_file() {
            return Self::copy(&mut file, paths);
        }
        Ok(Self { file, bytes: metadata.len() })
    }

    fn copy(from: &mut dyn Read, paths: &FolderPaths) -> Result<Self, CentralError> {
        let mut file = nameless_file(Some(paths))?;
        let failed = |error: std::io::Error| {
            let message = format!("the input cannot be kept while it is read: {error}");
            CentralError::new("spool_failed", message, "Free some space on the disk of the data folder.", Exit::Disk)
        };
        let bytes = std::io::copy(&mut from.take(SPOOL_BYTES_MAX + 1), &mut file).map_err(failed)?;
        if bytes > SPOOL_BYTES_MAX {
            let message = format!("the import has more than {SPOOL_BYTES_MAX} bytes");
            return Err(CentralError::refused("import_too_large", message, "Import it in several files."));
        }
        file.rewind().map_err(failed)?;
        Ok(Self { file, bytes })
    }
}

impl Source for Input {
    fn rewound(&mut self) -> Result<(&mut dyn Read, u64), CentralError> {
        self.file.rewind().map_err(|error| {
            CentralError::new("input_unreadable", format!("the input cannot be read: {error}"), "", Exit::Failed)
        })?;
        Ok((&mut self.file, self.bytes))
    }
}

/// A password without the line end behind it.
pub(super) fn read_password(path: &Path) -> Result<String, CentralError> {
    let mut bytes = Vec::new();
    // Room for one byte more and a line end, so that a password that is too long is told and not cut.
    let bytes_max = PASSWORD_BYTES_MAX as u64 + 3;
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(bytes_max).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(bytes_max).read_to_end(&mut bytes))
    };
    read.map_err(|error| unreadable(path, &error))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        CentralError::new("password_text", "the password is not UTF-8", "Choose another one.", Exit::Usage)
    })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// How often a terminal is asked for a passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// A wrong one is noticed by what it opens.
    Once,
    /// A slip would lock the key away.
    Twice,
}

/// A passphrase, from a file as a password, or typed at the terminal without being shown.
pub(super) fn read_passphrase(path: Option<&Path>, asked: Asked) -> Result<Zeroizing<String>, CentralError> {
    if let Some(path) = path {
        return read_password(path).map(Zeroizing::new);
    }
    let prompt = |text: &str| {
        rpassword::prompt_password(text).map(Zeroizing::new).map_err(|error| {
            let message = format!("no passphrase can be asked for at a terminal: {error}");
            CentralError::new("passphrase_missing", message, "Give --passphrase-file FILE.", Exit::Usage)
        })
    };
    let passphrase = prompt("Passphrase: ")?;
    if asked == Asked::Twice && prompt("Once more: ")? != passphrase {
        let message = "the two passphrases differ";
        return Err(CentralError::new("passphrase_differs", message, "Nothing was done; try again.", Exit::Usage));
    }
    Ok(passphrase)
}

fn unreadable(path: &Path, error: &std::io::Error) -> CentralError {
    let message = format!("{} cannot be read: {error}", path.display());
    CentralError::new("input_unreadable", message, "Check the path. Nothing was done.", Exit::Usage)
}
