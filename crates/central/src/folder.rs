//! The data folder: who may open it, and what lies in it.
//!
//! | file | mode | |
//! | --- | --- | --- |
//! | `central.key` | 0600 | 32 bytes: the seed of central's signing key. Devices pin the public half, so it never changes by itself |
//! | `central.copy` | 0600 | says that this is a copy of production for tests ([`crate::copy`]) |
//! | `central.toml` | 0600 | settings |
//! | `central.sqlite`, `-wal`, `-shm` | 0600 | the store |
//! | `central.lock` | 0600 | locked by the one program that may write |
//! | `admin.sock` | 0600 | where a running server takes verbs |

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use codec::Ed25519Signer;
use zeroize::Zeroizing;

use crate::entropy;
use crate::error::{CentralError, Exit};
use crate::key_file::SEED_BYTES;
use crate::settings::{SETTINGS_TEXT, Settings};

/// Only the owner: the folder holds a private key and people's data.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Where things lie in a data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderPaths {
    root: PathBuf,
}

impl FolderPaths {
    /// Of this folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The settings.
    pub fn settings(&self) -> PathBuf {
        self.root.join("central.toml")
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.root.join("central.sqlite")
    }

    /// Where a running server takes verbs.
    pub fn socket(&self) -> PathBuf {
        self.root.join("admin.sock")
    }

    /// What says that this is a copy.
    pub fn copy_mark(&self) -> PathBuf {
        self.root.join("central.copy")
    }

    /// Whether there is a key.
    pub fn has_key(&self) -> bool {
        self.key().exists()
    }

    fn key(&self) -> PathBuf {
        self.root.join("central.key")
    }

    fn lock(&self) -> PathBuf {
        self.root.join("central.lock")
    }
}

/// A data folder that this program alone may write, until it is dropped.
#[derive(Debug)]
pub struct DataFolder {
    paths: FolderPaths,
    _lock: File,
}

impl DataFolder {
    /// Makes a folder, or goes on with one whose making was cut short. The key comes last: a folder that has one is whole.
    ///
    /// `make_store` is called before the key is written.
    ///
    /// # Errors
    /// `already_initialised`, `folder_in_use`, `folder_failed`, those of `make_store`.
    pub fn initialise(
        paths: &FolderPaths,
        make_store: impl FnOnce(&DataFolder) -> Result<(), CentralError>,
    ) -> Result<(Self, Ed25519Signer), CentralError> {
        let failed = |error| failed("make", paths.root(), &error);
        fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(paths.root()).map_err(failed)?;
        let folder = Self::lock(paths.clone())?;
        if paths.key().exists() {
            let message = format!("{} is a data folder already", paths.root().display());
            return Err(CentralError::refused("already_initialised", message, "Use it, or name another folder."));
        }
        if !paths.settings().exists() {
            write_whole(&paths.settings(), SETTINGS_TEXT.as_bytes())?;
        }
        // SQLite gives its other files the mode of the first.
        OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(paths.store()).map_err(failed)?;
        make_store(&folder)?;
        let signer = folder.make_key()?;
        Ok((folder, signer))
    }

    /// Takes the lock of a folder that `init` made.
    ///
    /// # Errors
    /// `not_initialised`, `key_missing`, `folder_in_use`, `database_missing`, `folder_failed`.
    pub fn open(paths: FolderPaths) -> Result<Self, CentralError> {
        check_initialised(&paths)?;
        Self::with_store(paths)
    }

    /// The same for a folder whose key may be lost.
    ///
    /// # Errors
    /// As [`DataFolder::open`].
    pub fn open_without_key(paths: FolderPaths) -> Result<Self, CentralError> {
        if !paths.store().exists() {
            check_initialised(&paths)?;
        }
        Self::with_store(paths)
    }

    fn with_store(paths: FolderPaths) -> Result<Self, CentralError> {
        let folder = Self::lock(paths)?;
        // An empty file would be taken for a new store.
        if fs::metadata(folder.paths.store()).map_or(0, |metadata| metadata.len()) == 0 {
            let message = format!("the store {} is gone or empty", folder.paths.store().display());
            let advice = "Restore the whole folder from a backup. An empty store is not made in its place, because the sites \
                          would take it for a central that was set back.";
            return Err(CentralError::new("database_missing", message, advice, Exit::Disk));
        }
        Ok(folder)
    }

    /// Where things lie.
    pub fn paths(&self) -> &FolderPaths {
        &self.paths
    }

    /// Central's key.
    ///
    /// # Errors
    /// `key_damaged`, `folder_failed`.
    pub fn signer(&self) -> Result<Ed25519Signer, CentralError> {
        Ok(Ed25519Signer::from_seed(&*read_seed(&self.paths)?))
    }

    /// Makes a new key durable.
    ///
    /// # Errors
    /// `folder_failed`; then the old one is there.
    pub fn make_key(&self) -> Result<Ed25519Signer, CentralError> {
        let seed = Zeroizing::new(entropy::bytes::<SEED_BYTES>());
        self.write_key(&seed)?;
        Ok(Ed25519Signer::from_seed(&seed))
    }

    /// Makes a key durable.
    ///
    /// # Errors
    /// `folder_failed`; then the old one is there.
    pub fn write_key(&self, seed: &[u8; SEED_BYTES]) -> Result<(), CentralError> {
        write_whole(&self.paths.key(), seed)
    }

    /// The settings.
    ///
    /// # Errors
    /// Those of [`Settings::load`].
    pub fn settings(&self) -> Result<Settings, CentralError> {
        Settings::load(&self.paths.settings())
    }

    fn lock(paths: FolderPaths) -> Result<Self, CentralError> {
        let path = paths.lock();
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(&path);
        let file = file.map_err(|error| failed("open", &path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { paths, _lock: file }),
            Err(TryLockError::WouldBlock) => Err(CentralError::new(
                "folder_in_use",
                format!("another outpost-central has {} open", paths.root().display()),
                "Verbs reach a running server by themselves; a second server needs a folder of its own.",
                Exit::Busy,
            )),
            Err(TryLockError::Error(error)) => Err(failed("lock", &path, &error)),
        }
    }
}

/// Whether `init` has made this folder.
///
/// # Errors
/// `not_initialised`; `key_missing` if there is a store and no key.
pub fn check_initialised(paths: &FolderPaths) -> Result<(), CentralError> {
    if paths.key().exists() {
        return Ok(());
    }
    if fs::metadata(paths.store()).is_ok_and(|metadata| metadata.len() > 0) {
        let message = format!("{} has a store, but central's key is gone", paths.root().display());
        let advice = "Put the key back with `key import`: the sites trust no other. If every copy of it is lost, `key new` makes \
                      another, which each site has to `re-pin`. If it is `init` that was cut short, run it again.";
        return Err(CentralError::refused("key_missing", message, advice));
    }
    let message = format!("{} is no data folder of outpost-central", paths.root().display());
    let advice = format!("Check --data, or make it with `outpost-central init --data {}`.", paths.root().display());
    Err(CentralError::new("not_initialised", message, advice, Exit::Config))
}

/// Reads the secret key. Nobody needs the folder's lock for it: it is replaced whole.
///
/// # Errors
/// `not_initialised`, `key_missing`, `key_damaged`, `folder_failed`.
pub fn read_seed(paths: &FolderPaths) -> Result<Zeroizing<[u8; SEED_BYTES]>, CentralError> {
    check_initialised(paths)?;
    let path = paths.key();
    let bytes = Zeroizing::new(read_small(&path, SEED_BYTES as u64 + 1)?.unwrap_or_default());
    let Ok(seed) = <[u8; SEED_BYTES]>::try_from(bytes.as_slice()) else {
        let message = format!("{} has {} bytes or more; a key has {SEED_BYTES}", path.display(), bytes.len());
        let advice = "Put back its backup with `key import --replace`. With a new key every site has to `re-pin`.";
        return Err(CentralError::new("key_damaged", message, advice, Exit::Disk));
    };
    Ok(Zeroizing::new(seed))
}

/// At most so many bytes of a file; `None` if it is not there.
pub(crate) fn read_small(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, CentralError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path, &error)),
    };
    let mut bytes = Vec::with_capacity(usize::try_from(bytes_max).unwrap_or_default());
    file.take(bytes_max).read_to_end(&mut bytes).map_err(|error| failed("read", path, &error))?;
    Ok(Some(bytes))
}

/// Writes a file that is there whole or not at all, also after a power cut.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CentralError> {
    let failed = |error| failed("write", path, &error);
    // Behind the whole name: `central.key` and `central.copy` would share `central.new`.
    let temporary = PathBuf::from(format!("{}.new", path.display()));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(FILE_MODE).open(&temporary).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)?;
    let folder = path.parent().expect("a file of the data folder has a folder");
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> CentralError {
    let advice = match error.kind() {
        ErrorKind::PermissionDenied => "Run as the user that the folder belongs to.",
        ErrorKind::StorageFull => "Free some space on the disk.",
        _ => "Check the path and the disk.",
    };
    CentralError::new("folder_failed", format!("cannot {what} {}: {error}", path.display()), advice, Exit::Disk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::edge::Signer as _;
    use std::os::unix::fs::PermissionsExt as _;

    fn paths(folder: &tempfile::TempDir) -> FolderPaths {
        FolderPaths::new(folder.path().join("central"))
    }

    fn make_store(folder: &DataFolder) -> Result<(), CentralError> {
        fs::write(folder.paths().store(), "store").map_err(|error| failed("write", folder.paths().root(), &error))
    }

    #[test]
    fn a_folder_is_made_once_for_its_owner_alone_and_keeps_its_key() {
        let temporary = tempfile::tempdir().unwrap();
        let paths = paths(&temporary);
        let (folder, signer) = DataFolder::initialise(&paths, make_store).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

        assert_eq!(mode(paths.root()), 0o700);
        assert_eq!(mode(&paths.key()), 0o600);
        assert_eq!(folder.signer().unwrap().public_key(), signer.public_key());
        assert_eq!(folder.settings(), Ok(Settings::default()));
        assert_eq!(DataFolder::open(paths.clone()).unwrap_err().code, "folder_in_use");
        drop(folder);
        assert_eq!(DataFolder::initialise(&paths, make_store).unwrap_err().code, "already_initialised");
        assert!(DataFolder::open(paths).is_ok());
    }

    #[test]
    fn an_init_that_was_cut_short_is_no_folder_and_can_be_done_again() {
        let temporary = tempfile::tempdir().unwrap();
        let paths = paths(&temporary);
        let cut = CentralError::refused("cut", "cut", "");
        assert_eq!(DataFolder::initialise(&paths, |_| Err(cut.clone())).unwrap_err(), cut);

        assert_eq!(DataFolder::open(paths.clone()).unwrap_err().code, "not_initialised");
        assert!(DataFolder::initialise(&paths, make_store).is_ok());
    }

    #[test]
    fn a_store_that_is_gone_and_a_key_that_is_cut_are_told() {
        let temporary = tempfile::tempdir().unwrap();
        let paths = paths(&temporary);
        drop(DataFolder::initialise(&paths, make_store).unwrap());
        fs::write(paths.key(), "short").unwrap();
        assert_eq!(DataFolder::open(paths.clone()).unwrap().signer().unwrap_err().code, "key_damaged");

        fs::remove_file(paths.store()).unwrap();
        assert_eq!(DataFolder::open(paths).unwrap_err().code, "database_missing");
    }
}
