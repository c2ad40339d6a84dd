//! The folder that holds everything of a site, and the lock that makes one program its owner.
//!
//! | what | made by | mode |
//! | --- | --- | --- |
//! | `lock` | this module; the holder's process id as text | 0600 |
//! | `identity/` | `device` | 0700 |
//! | `journal/` | `journal`: what goes to central | 0700 |
//! | `private/` | `journal`: entries that never leave the site | 0700 |
//! | `local_copy.sqlite` | `local_copy`, with its write-ahead log beside it | 0600 |
//! | `damage-noted` | the agent: what it found damaged while it ran; mended and removed at the next opening | 0600 |
//! | `recovery` | the agent: how far a recovery has come; removed when it is over | 0600 |
//! | `recovered-*.ndjson` | a recovery: the edits that only this device may have; never removed by the agent | 0600 |
//! | `doctor-scratch` | `diagnosis`, while it measures the disk; gone after that | 0600 |
//! | `pacing` | the agent: a pause of its schedule, and the bytes that were spent | 0600 |
//! | `queue-days` | the agent: how deep the queue was on each of the last 60 days | 0600 |
//! | `agent.token` | the daemon, where it listens at an address: what callers show | 0600 |
//! | `clients` | `clients`: who may ask over the local network, with the hashes of their tokens | 0600 |
//! | `clients.certificate`, `clients.key` | the daemon: what clients are shown, unless settings name another one | 0600 |
//! | `log`, `log.old` | the daemon: its last log lines | 0600 |
//! | `agent.sock` | the daemon, unless a setting puts it elsewhere | 0600 |

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::durable_file::{self, FileError};
use crate::error::{AgentError, Explained};
use crate::exit::Exit;
use crate::file_privacy;

/// The code of an error that means "another program has the folder".
pub const IN_USE: &str = "folder_in_use";
/// Longest text that is read from a lock file, in bytes: a process id.
const LOCK_TEXT_BYTES_MAX: u64 = 32;

/// Where things are in a data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout of a folder that need not be there.
    pub fn of(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Key, identity and token of the device.
    pub fn identity(&self) -> PathBuf {
        self.root.join("identity")
    }

    /// The journal that goes to central.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// The journal of entries that never leave the site.
    pub fn private_journal(&self) -> PathBuf {
        self.root.join("private")
    }

    /// The SQLite file of the local copy. An application may open it read-only.
    pub fn local_copy(&self) -> PathBuf {
        self.root.join("local_copy.sqlite")
    }

    /// What a running agent found damaged, for the next opening to mend.
    pub fn suspicion(&self) -> PathBuf {
        self.root.join("damage-noted")
    }

    /// How far a recovery of a device that was set back has come.
    pub fn recovery(&self) -> PathBuf {
        self.root.join("recovery")
    }

    /// A pause of the schedule, and the bytes that were spent.
    pub fn pacing(&self) -> PathBuf {
        self.root.join("pacing")
    }

    /// How deep the queue was on each of the last days.
    pub fn queue_days(&self) -> PathBuf {
        self.root.join("queue-days")
    }

    /// What callers of the local interface show where it listens at an address.
    pub fn token(&self) -> PathBuf {
        self.root.join("agent.token")
    }

    /// Who may ask over the local network.
    pub fn clients(&self) -> PathBuf {
        self.root.join("clients")
    }

    /// The certificate that they are shown, in DER.
    pub fn client_certificate(&self) -> PathBuf {
        self.root.join("clients.certificate")
    }

    /// Its private key, in DER of PKCS 8.
    pub fn client_key(&self) -> PathBuf {
        self.root.join("clients.key")
    }

    /// The daemon's last log lines.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Those before them.
    pub fn old_log(&self) -> PathBuf {
        self.root.join("log.old")
    }

    /// Whether anything of a site was ever recorded here.
    pub fn has_records(&self) -> bool {
        let marks = [self.journal(), self.private_journal()].map(|journal| journal.join("mark"));
        marks.iter().chain([&self.local_copy()]).any(|path| path.exists())
    }

    /// The lock file.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }
}

/// A data folder that this process owns until this value is dropped.
#[derive(Debug)]
pub struct DataFolder {
    layout: Layout,
    /// Closing it gives the lock back, whatever way the process ends.
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if it is not there, takes its lock, and lets nobody else into it.
    ///
    /// # Errors
    /// [`DataFolderError::InUse`] at once if another program owns it, else [`DataFolderError::File`].
    pub fn open(root: &Path) -> Result<DataFolder, DataFolderError> {
        let layout = Layout::of(root);
        durable_file::make_folder(root)?;
        let path = layout.lock();
        let mut lock = open_lock(&path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataFolderError::InUse { folder: root.to_path_buf(), process: read_process(&mut lock) });
            }
            Err(TryLockError::Error(source)) => return Err(FileError::Io { action: "lock", path, source }.into()),
        }
        write_process(&mut lock).map_err(|source| FileError::Io { action: "write", path, source })?;
        file_privacy::keep_others_out(&layout)?;
        for folder in [layout.identity(), layout.journal(), layout.private_journal()] {
            durable_file::make_folder(&folder)?;
        }
        Ok(DataFolder { layout, _lock: lock })
    }

    /// Keeps others from using a folder as long as the result lives, and changes nothing in it. A folder without a lock file was
    /// never used, or was copied without it: there is nobody to keep away.
    ///
    /// # Errors
    /// [`DataFolderError::InUse`] at once if another program owns it, else [`DataFolderError::File`].
    pub fn hold(root: &Path) -> Result<Option<File>, DataFolderError> {
        let path = Layout::of(root).lock();
        let mut lock = match File::open(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(FileError::Io { action: "open", path, source }.into()),
        };
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => {
                Err(DataFolderError::InUse { folder: root.to_path_buf(), process: read_process(&mut lock) })
            }
            // A file system without locks, such as one that is mounted read-only over a network.
            Err(TryLockError::Error(_)) => Ok(None),
        }
    }

    /// Where things are in it.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

/// A data folder that cannot be used.
#[derive(Debug)]
pub enum DataFolderError {
    /// Another program owns it.
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The other program's process id, if it has written it.
        process: Option<u32>,
    },
    /// A file or folder in it cannot be used.
    File(FileError),
}

impl From<FileError> for DataFolderError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// The error for a command that needs the folder for itself: it never goes through the socket, so that asking the daemon is no help.
pub fn needed_alone(error: impl Into<AgentError>) -> AgentError {
    const STOP: &str = "This command needs a stopped daemon. If that process is the daemon, stop it, by whatever started it or with \
                        SIGTERM, and run the command again. If it is another command, wait until it is done.";
    let error = error.into();
    if error.code == IN_USE { AgentError { advice: STOP.to_owned(), ..error } } else { error }
}

impl Explained for DataFolderError {
    fn code(&self) -> &str {
        match self {
            Self::InUse { .. } => IN_USE,
            Self::File(error) => error.code(),
        }
    }

    fn advice(&self) -> &str {
        match self {
            Self::InUse { .. } => {
                "If that is the daemon, ask it: the commands reach it through the socket, so check socket_path and who may \
                 use it. If it is another command, wait until it is done."
            }
            Self::File(error) => error.advice(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::InUse { .. } => Exit::Busy,
            Self::File(error) => error.exit(),
        }
    }
}

impl fmt::Display for DataFolderError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { folder, process: Some(process) } => {
                write!(formatter, "the data folder {} is in use by process {process}", folder.display())
            }
            Self::InUse { folder, process: None } => {
                write!(formatter, "the data folder {} is in use by another process", folder.display())
            }
            Self::File(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for DataFolderError {}

fn open_lock(path: &Path) -> Result<File, FileError> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|source| FileError::Io { action: "open", path: path.to_path_buf(), source })
}

fn write_process(lock: &mut File) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(std::process::id().to_string().as_bytes())
}

fn read_process(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(LOCK_TEXT_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_with_its_parts() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&root.path().join("site/data")).unwrap();

        for part in [folder.layout().identity(), folder.layout().journal(), folder.layout().private_journal()] {
            assert!(part.is_dir(), "{}", part.display());
        }
    }

    #[test]
    fn a_folder_has_one_owner_who_is_named_to_others() {
        let root = tempfile::tempdir().unwrap();
        let owner = DataFolder::open(root.path()).unwrap();

        let error = DataFolder::open(root.path()).unwrap_err();

        assert_eq!(error.code(), "folder_in_use");
        assert_eq!(error.exit(), Exit::Busy);
        assert!(error.to_string().ends_with(&format!("by process {}", std::process::id())), "{error}");
        drop(owner);
        DataFolder::open(root.path()).unwrap();
    }

    #[test]
    fn the_text_of_an_earlier_longer_process_id_goes() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(Layout::of(root.path()).lock(), "4294967295 and more").unwrap();

        let _owner = DataFolder::open(root.path()).unwrap();

        let text = std::fs::read_to_string(Layout::of(root.path()).lock()).unwrap();
        assert_eq!(text, std::process::id().to_string());
    }
}
