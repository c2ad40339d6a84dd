//! The database file from outside: made so that it is there after a power cut.

use std::fs;
use std::io::{ErrorKind, Read as _};
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

/// Size of the write-ahead log beside a database, bytes; 0 if there is none.
pub(crate) fn log_bytes(path: &Path) -> Result<u64, SqlError> {
    let mut log = path.to_owned().into_os_string();
    log.push("-wal");
    match fs::metadata(&log) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(io_error("cannot look at the write-ahead log", &error)),
    }
}

/// Whether the header of a database names a version of the file format that does not exist: bytes 18 and 19 are 1 or 2. Only for
/// a file that is about to be refused, since closing it drops this program's locks on it.
pub(crate) fn names_unknown_version(path: &Path) -> Result<bool, SqlError> {
    let file = fs::File::open(path).map_err(|error| io_error("cannot open the database file", &error))?;
    let mut header = Vec::new();
    file.take(20).read_to_end(&mut header).map_err(|error| io_error("cannot read the database file", &error))?;
    Ok(header.get(18..20).is_some_and(|versions| versions.iter().any(|version| *version > 2)))
}
