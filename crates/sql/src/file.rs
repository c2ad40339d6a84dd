//! The database file from outside: made so that it is there after a power cut.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{SqlError, SqlErrorKind};

/// The error of a call on a file, with what was tried.
pub(crate) fn io_error(what: &str, error: &std::io::Error) -> SqlError {
    let kind = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => SqlErrorKind::DiskFull,
        _ => SqlErrorKind::Io,
    };
    SqlError::new(kind, format!("{what}: {error}"))
}

/// SQLite reads a name that starts with `file:` as a URI; a path with a folder in front never does.
pub(crate) fn plain_path(path: &Path) -> PathBuf {
    if path.is_absolute() { path.to_owned() } else { Path::new(".").join(path) }
}

/// Makes an empty file that is there after a power cut. A file that exists is not opened: closing it again would drop
/// the locks that other connections of this program hold on it.
pub(crate) fn create_durably(path: &Path) -> std::io::Result<()> {
    match fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file.sync_all()?,
        // Still empty: it may have been made just before a power cut, its entry not yet synced.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if fs::metadata(path)?.len() > 0 {
                return Ok(());
            }
        }
        Err(error) => return Err(error),
    }
    sync_folder(path)
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Folders cannot be synced here; the file system keeps their entries in a journal of its own.
#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> std::io::Result<()> {
    Ok(())
}
