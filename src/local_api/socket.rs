//! The Unix socket of the agent, by default `agent.sock` in the data folder.

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::listener::{Connection, Listener, keeps_up};
use crate::error::Explained;
use crate::exit::Exit;

/// Longest path of a Unix socket, in bytes: `sun_path` has 108 with the zero at its end.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Only the user that runs the agent may connect.
const SOCKET_MODE: u32 = 0o600;
/// The socket is made in here and moved into place when its mode is right.
const BIRTHPLACE: &str = ".sock";

/// The agent's end of the socket. The file goes when this does.
#[derive(Debug)]
pub struct SocketListener {
    listener: UnixListener,
    path: PathBuf,
    is_closed: AtomicBool,
}

impl SocketListener {
    /// Listens at `path`. What a dead agent left there is replaced; the caller holds the lock of the data folder, so nobody
    /// else does the same.
    ///
    /// # Errors
    /// The path is too long, is something other than a socket, has a living listener, or cannot be made.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        check_length(path)?;
        check_free(path)?;
        let failed = |error| SocketError::Bind { path: path.to_owned(), error };
        let birthplace = path.with_file_name(BIRTHPLACE);
        remove_birthplace(&birthplace);
        std::fs::DirBuilder::new().mode(0o700).create(&birthplace).map_err(failed)?;
        let newborn = birthplace.join("s");
        let bound = UnixListener::bind(&newborn).and_then(|listener| {
            std::fs::set_permissions(&newborn, std::fs::Permissions::from_mode(SOCKET_MODE))?;
            std::fs::rename(&newborn, path)?;
            Ok(listener)
        });
        remove_birthplace(&birthplace);
        Ok(Self { listener: bound.map_err(failed)?, path: path.to_owned(), is_closed: AtomicBool::new(false) })
    }
}

impl Listener for SocketListener {
    fn accept(&self) -> io::Result<Box<dyn Connection>> {
        let (stream, _) = self.listener.accept()?;
        Ok(Box::new(stream))
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn close(&self) {
        if self.is_closed.swap(true, Ordering::SeqCst) {
            return;
        }
        // A connection that is closed at once, to end a waiting accept. If it fails, accepting ends with the process.
        let _ = UnixStream::connect(&self.path);
        if let Err(error) = std::fs::remove_file(&self.path) {
            log::warn!(
                "the socket stays behind, to be replaced at the next start path={} error={error}",
                self.path.display()
            );
        }
    }
}

impl Drop for SocketListener {
    fn drop(&mut self) {
        self.close();
    }
}

impl Connection for UnixStream {
    fn set_idle_timeout(&self, idle: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(idle))?;
        self.set_write_timeout(Some(idle))
    }

    fn end_writing(&mut self) -> io::Result<()> {
        self.shutdown(std::net::Shutdown::Write)
    }

    fn keeps_up(&self) -> bool {
        keeps_up(self)
    }
}

/// Connects to whoever listens at `path`; `None` if nobody does.
pub(super) fn connect(path: &Path) -> Result<Option<UnixStream>, SocketError> {
    check_length(path)?;
    match UnixStream::connect(path) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(SocketError::Connect { path: path.to_owned(), error }),
    }
}

fn check_length(path: &Path) -> Result<(), SocketError> {
    let bytes = path.as_os_str().as_bytes().len();
    if bytes > SOCKET_PATH_BYTES_MAX { Err(SocketError::PathTooLong { path: path.to_owned(), bytes }) } else { Ok(()) }
}

fn check_free(path: &Path) -> Result<(), SocketError> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NotASocket { path: path.to_owned() });
    }
    if connect(path)?.is_some() {
        return Err(SocketError::InUse { path: path.to_owned() });
    }
    log::info!("the socket of an agent that is gone is replaced path={}", path.display());
    Ok(())
}

fn remove_birthplace(birthplace: &Path) {
    // What cannot be removed shows as an error when it is made again.
    let _ = std::fs::remove_file(birthplace.join("s"));
    let _ = std::fs::remove_dir(birthplace);
}

/// The socket cannot be used.
#[derive(Debug)]
pub enum SocketError {
    /// Longer than the system allows.
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length, in bytes.
        bytes: usize,
    },
    /// Another kind of file is in its place.
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// An agent answers there.
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// It cannot be made.
    Bind {
        /// The path.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is there but cannot be reached.
    Connect {
        /// The path.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl Explained for SocketError {
    fn code(&self) -> &str {
        match self {
            Self::PathTooLong { .. } => "socket_path_too_long",
            Self::NotASocket { .. } => "socket_path_taken",
            Self::InUse { .. } => "socket_in_use",
            Self::Bind { .. } => "socket_not_made",
            Self::Connect { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => "socket_forbidden",
            Self::Connect { .. } => "socket_unreachable",
        }
    }

    fn advice(&self) -> &str {
        match self {
            Self::PathTooLong { .. } => "Move the data folder to a shorter path, or reach it by a short symbolic link.",
            Self::NotASocket { .. } => "Move that file away: the agent keeps its socket there.",
            Self::InUse { .. } => "Stop the other agent, or use another data folder.",
            Self::Bind { .. } => "Check that the data folder can be written and is on a file system that has sockets.",
            Self::Connect { .. } => "Run this as the user that runs the agent.",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::PathTooLong { .. } | Self::NotASocket { .. } => Exit::Config,
            Self::InUse { .. } => Exit::Busy,
            Self::Bind { .. } => Exit::Disk,
            Self::Connect { .. } => Exit::Failed,
        }
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PathTooLong { path, bytes } => write!(
                formatter,
                "the socket's path {} has {bytes} bytes; at most {SOCKET_PATH_BYTES_MAX} are allowed",
                path.display()
            ),
            Self::NotASocket { path } => write!(formatter, "{} is there already and is not a socket", path.display()),
            Self::InUse { path } => write!(formatter, "another agent answers at {}", path.display()),
            Self::Bind { path, error } => write!(formatter, "the socket {} cannot be made: {error}", path.display()),
            Self::Connect { path, error } => {
                write!(formatter, "the socket {} cannot be reached: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for SocketError {}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET_NAME: &str = "agent.sock";

    #[test]
    fn only_the_owner_may_use_the_socket_and_its_file_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SOCKET_NAME);

        let listener = SocketListener::bind(&path).unwrap();

        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, SOCKET_MODE);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(listener);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_socket_of_a_dead_agent_is_replaced_and_that_of_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SOCKET_NAME);
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        assert!(connect(&path).unwrap().is_none());

        let living = SocketListener::bind(&path).unwrap();

        assert!(connect(&path).unwrap().is_some());
        assert_eq!(SocketListener::bind(&path).unwrap_err().code(), "socket_in_use");
        drop(living);
    }

    #[test]
    fn a_path_that_is_too_long_or_taken_is_an_error_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(SOCKET_PATH_BYTES_MAX));
        let taken = folder.path().join(SOCKET_NAME);
        std::fs::write(&taken, b"mine").unwrap();

        assert_eq!(SocketListener::bind(&long).unwrap_err().code(), "socket_path_too_long");
        assert_eq!(connect(&long).unwrap_err().code(), "socket_path_too_long");
        assert_eq!(SocketListener::bind(&taken).unwrap_err().code(), "socket_path_taken");
        assert_eq!(std::fs::read(&taken).unwrap(), b"mine");
    }
}
