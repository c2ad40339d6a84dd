//! Small files and folders that are there after a power cut, and that nobody else can read.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::Explained;
use crate::exit::Exit;

/// Permissions that nobody but the owner may have on a private file or folder.
const OTHERS_MODE: u32 = 0o077;

/// A file or folder that cannot be used.
#[derive(Debug)]
pub enum FileError {
    /// The system refused.
    Io {
        /// What was tried, as in "cannot {action} {path}".
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner may read or write it.
    WrongMode {
        /// Which.
        path: PathBuf,
        /// Its mode.
        found: u32,
        /// The mode that it should have.
        wanted: u32,
    },
    /// A program of another release wrote it, and this one does not read its version.
    Version {
        /// Which.
        path: PathBuf,
        /// The version that was found.
        found: u64,
    },
    /// It is larger than what is kept in it.
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Limit, in bytes.
        limit: usize,
    },
}

impl FileError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
        move |source| FileError::Io { action, path: path.to_path_buf(), source }
    }
}

impl Explained for FileError {
    fn code(&self) -> &str {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "disk_full",
                io::ErrorKind::PermissionDenied => "permission_denied",
                io::ErrorKind::ReadOnlyFilesystem => "disk_read_only",
                _ => "disk_error",
            },
            Self::WrongMode { .. } => "file_mode",
            Self::Version { .. } => "file_version",
            Self::TooLarge { .. } => "file_too_large",
        }
    }

    fn advice(&self) -> &str {
        match self.code() {
            "disk_full" => "Make room on the disk; nothing was changed.",
            "permission_denied" => "Run the command as the user that the agent runs as, or correct the folder's owner.",
            "disk_read_only" => {
                "The disk takes no writes any more; this is often how a failing disk begins. Copy the data folder."
            }
            "file_mode" => {
                "Correct its mode with chmod, and find out who could read it: a key or password that others have read must be replaced."
            }
            "file_version" => "Run the version of the agent that wrote it. Nothing was changed.",
            "file_too_large" => "Check that this is the right file.",
            _ => "Check the disk and the path.",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Io { .. } => Exit::Disk,
            Self::WrongMode { .. } | Self::Version { .. } | Self::TooLarge { .. } => Exit::Config,
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, path, source } => write!(formatter, "cannot {action} {}: {source}", path.display()),
            Self::WrongMode { path, found, wanted } => write!(
                formatter,
                "{} has mode {found:04o}, so that others may use it; it must have {wanted:04o}",
                path.display()
            ),
            Self::Version { path, found } => {
                write!(formatter, "{} has version {found}, which this agent does not read", path.display())
            }
            Self::TooLarge { path, limit } => {
                write!(formatter, "{} is larger than the {limit} bytes that such a file may have", path.display())
            }
        }
    }
}

impl std::error::Error for FileError {}

/// Makes a folder with mode 0700, and those above it, each durable before the next. One that is there is left as it is.
///
/// # Errors
/// [`FileError::Io`].
pub fn make_folder(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = parent_of(path);
    make_folder(parent)?;
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Ok(()) => {}
        // Another command made it a moment ago.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(FileError::io("make the folder", path)(error)),
    }
    sync_folder(parent)
}

/// Makes what was created, renamed or removed in a folder durable.
///
/// # Errors
/// [`FileError::Io`].
pub fn sync_folder(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(FileError::io("sync the folder", path))
}

/// Replaces a file as a whole, with mode 0600: after a power cut it has the old or the new bytes.
///
/// # Errors
/// [`FileError::Io`]: then the file has its old bytes.
pub fn replace_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let fresh = fresh_name(path);
    // One that a power cut left could be a link or have another mode; it is never written to.
    match std::fs::remove_file(&fresh) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(FileError::io("remove", &fresh)(error)),
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh).map_err(FileError::io("make", &fresh))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(FileError::io("write", &fresh))?;
    std::fs::rename(&fresh, path).map_err(FileError::io("replace", path))?;
    sync_folder(parent_of(path))
}

/// Lets a file take the place of another one in the same folder, at once.
///
/// # Errors
/// [`FileError::Io`]: then both are as they were.
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    std::fs::rename(from, to).map_err(FileError::io("rename", from))?;
    sync_folder(parent_of(to))
}

/// Reads a file that only its owner may use, of at most so many bytes; `None` if it is not there. Wiped from memory when
/// dropped.
///
/// # Errors
/// [`FileError`].
pub fn read_private(path: &Path, bytes_max: usize) -> Result<Option<Zeroizing<Vec<u8>>>, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::io("open", path)(error)),
    };
    let metadata = file.metadata().map_err(FileError::io("look at", path))?;
    check_mode(path, &metadata, 0o600)?;
    // One byte more than the limit is asked for, and the room is there from the start: a buffer that grows leaves copies.
    let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_max + 1));
    let mut limited = file.take(bytes_max as u64 + 1);
    loop {
        let mut chunk = Zeroizing::new([0_u8; 256]);
        match limited.read(chunk.as_mut_slice()) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FileError::io("read", path)(error)),
        }
    }
    if bytes.len() > bytes_max {
        return Err(FileError::TooLarge { path: path.to_path_buf(), limit: bytes_max });
    }
    Ok(Some(bytes))
}

/// Reads a file that others may read too, of at most so many bytes.
///
/// # Errors
/// [`FileError`], also if it is not there.
pub fn read_small(path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(bytes_max as u64 + 1).read_to_end(&mut bytes));
    read.map_err(FileError::io("read", path))?;
    if bytes.len() > bytes_max {
        return Err(FileError::TooLarge { path: path.to_path_buf(), limit: bytes_max });
    }
    Ok(bytes)
}

/// That only the owner may use a folder.
///
/// # Errors
/// [`FileError::WrongMode`], [`FileError::Io`] if it is not there.
pub fn check_private_folder(path: &Path) -> Result<(), FileError> {
    let metadata = std::fs::metadata(path).map_err(FileError::io("look at", path))?;
    check_mode(path, &metadata, 0o700)
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &std::fs::Metadata, wanted: u32) -> Result<(), FileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let found = metadata.permissions().mode() & 0o7777;
    if found & OTHERS_MODE != 0 {
        return Err(FileError::WrongMode { path: path.to_path_buf(), found, wanted });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &std::fs::Metadata, _: u32) -> Result<(), FileError> {
    let _ = OTHERS_MODE;
    Ok(())
}

/// The folder that a file is in.
pub fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

fn fresh_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().map(std::ffi::OsStr::to_os_string).unwrap_or_default();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn folders_are_made_down_to_the_last_for_the_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b/c");

        make_folder(&path).unwrap();
        make_folder(&path).unwrap();

        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&root.path().join("a")), 0o700);
    }

    #[test]
    fn a_file_is_replaced_whole_whatever_an_earlier_try_left() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("token");
        let elsewhere = root.path().join("elsewhere");
        std::fs::write(&elsewhere, "untouched").unwrap();
        std::os::unix::fs::symlink(&elsewhere, root.path().join("token.new")).unwrap();

        replace_private(&path, b"one").unwrap();
        replace_private(&path, b"two").unwrap();

        assert_eq!(read_private(&path, 3).unwrap().unwrap().as_slice(), b"two");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(std::fs::read(&elsewhere).unwrap(), b"untouched");
        assert!(!root.path().join("token.new").exists());
    }

    #[test]
    fn a_file_that_is_not_there_is_none() {
        let root = tempfile::tempdir().unwrap();

        assert!(read_private(&root.path().join("token"), 3).unwrap().is_none());
    }

    #[test]
    fn a_private_file_that_others_may_read_or_that_is_too_large_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("key");
        replace_private(&path, &[7; 1000]).unwrap();

        assert_eq!(read_private(&path, 1000).unwrap().unwrap().len(), 1000);
        assert_eq!(read_private(&path, 999).unwrap_err().code(), "file_too_large");
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let error = read_private(&path, 1000).unwrap_err();
        assert_eq!(error.code(), "file_mode");
        assert!(error.to_string().contains("has mode 0640"), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        std::fs::write(&file, "").unwrap();

        let error = make_folder(&file.join("folder")).unwrap_err();

        assert!(error.to_string().contains("file"), "{error}");
        assert_eq!(error.exit(), Exit::Disk);
    }
}
