//! Facts about this device. The only thing that is written is a scratch file in the data folder, which goes again; SQLite may leave
//! the two files beside the local copy that it makes for whoever reads.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::judge_device::{Holder, UnfinishedRecovery};
use crate::agent::RecoveryNote;
use crate::clock::monotonic_now;
use crate::config::Config;
use crate::data_folder::{DataFolder, DataFolderError, Layout};
use crate::device::{Binding, Device, binding_to_be};
use crate::durable_file::FileError;
use crate::file_privacy;
use crate::local_api::{SocketClient, SocketError};
use crate::local_copy::{self, LocalCopyError, SyncTimes};

/// The scratch file in the data folder. One that a power cut left is used again.
pub(super) const SCRATCH_NAME: &str = "doctor-scratch";
/// Bytes that are written before each sync.
const SCRATCH_BYTES: usize = 4096;
/// Syncs that are measured. The clock goes in steps of 10 ms, so one alone would say little.
const SYNCS: u64 = 8;

/// Free room where the data folder lies, in bytes; `None` if it is not there.
pub(super) fn free_bytes(folder: &Path) -> Result<Option<u64>, FileError> {
    match rustix::fs::statvfs(folder) {
        Ok(room) => Ok(Some(room.f_bavail.saturating_mul(room.f_frsize))),
        Err(error) if error == rustix::io::Errno::NOENT => Ok(None),
        Err(error) => Err(failed("ask for the free space of", folder)(error.into())),
    }
}

/// How long one sync of a few bytes takes on average, in milliseconds; `None` if there is no data folder.
pub(super) fn sync_ms(folder: &Path) -> Option<Result<u64, FileError>> {
    folder.is_dir().then(|| {
        let path = folder.join(SCRATCH_NAME);
        let measured = measure(&path);
        let removed = match std::fs::remove_file(&path) {
            // Another doctor may have been quicker.
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", &path)(error)),
            _ => Ok(()),
        };
        measured.and_then(|ms| removed.map(|()| ms))
    })
}

/// Private files and folders that others may use: the data folder and what the agent has in it, settings with a password, and the
/// file of the site's password.
pub(super) fn open_to_others(config: &Config) -> Result<Vec<PathBuf>, FileError> {
    let mut files: Vec<PathBuf> = config.password_file.iter().cloned().collect();
    if config.central_proxy.as_ref().is_some_and(|proxy| proxy.url.has_credentials()) {
        files.extend(config.file.clone());
    }
    file_privacy::open_to_others(&Layout::of(&config.data_folder), &files)
}

/// Who holds the data folder.
pub(super) fn daemon(config: &Config) -> Holder {
    match SocketClient::connect(&config.socket_path) {
        Ok(Some(_)) => return Holder::Daemon,
        // Nobody can listen at a path that is too long: the lock says who has the folder.
        Ok(None) | Err(SocketError::PathTooLong { .. }) => {}
        Err(error) => return unknown(&error),
    }
    match DataFolder::hold(&config.data_folder) {
        // Given back at once: looking keeps nobody away.
        Ok(_) => Holder::Nobody,
        Err(error @ DataFolderError::InUse { .. }) => Holder::Other { message: error.to_string() },
        Err(error) => unknown(&error),
    }
}

fn unknown(error: &impl crate::error::Explained) -> Holder {
    Holder::Unknown {
        code: error.code().to_owned(),
        message: error.to_string(),
        advice: error.advice().to_owned(),
        exit: error.exit(),
    }
}

fn measure(path: &Path) -> Result<u64, FileError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(failed("make", path))?;
    let began = monotonic_now();
    for _ in 0..SYNCS {
        file.write_all(&[0; SCRATCH_BYTES]).map_err(failed("write", path))?;
        file.sync_data().map_err(failed("sync", path))?;
    }
    Ok(monotonic_now().since(began) / SYNCS)
}

fn failed(action: &'static str, path: &Path) -> impl Fn(std::io::Error) -> FileError {
    move |source| FileError::Io { action, path: path.to_path_buf(), source }
}

/// What this device is made of beside what was enrolled, or how it would be bound; `None` if its files cannot be read, which another
/// line says.
pub(super) fn binding(config: &Config) -> Option<Binding> {
    let device = Device::open(&Layout::of(&config.data_folder).identity()).ok()?;
    Some(device.map_or_else(|| binding_to_be(&config.hardware_root), |device| device.binding(&config.hardware_root)))
}

/// When the last sync was and how it ended; `None` without a local copy. Read beside a daemon that may run.
pub(super) fn sync_times(config: &Config) -> Option<Result<SyncTimes, LocalCopyError>> {
    let path = Layout::of(&config.data_folder).local_copy();
    path.is_file().then(|| local_copy::sync_times_at(&path))
}

/// The recovery that is under way, as its note says, and the file of its edits.
pub(super) fn recovery(config: &Config) -> Result<Option<UnfinishedRecovery>, FileError> {
    let layout = Layout::of(&config.data_folder);
    let note = RecoveryNote::read(&layout.recovery())?;
    Ok(note.map(|note| {
        let (edits, file) = note.edits_in_file_alone(layout.root());
        UnfinishedRecovery { edits, file }
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::Sources;

    fn config(folder: &Path, text: &str) -> Config {
        let file = folder.join("agent.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let data_folder = Some(folder.join("data"));
        Config::load(&Sources { config_file: Some(file), data_folder, ..Sources::default() }).unwrap()
    }

    #[test]
    fn a_sync_is_measured_and_nothing_is_left_of_it() {
        let folder = tempfile::tempdir().unwrap();

        sync_ms(folder.path()).unwrap().unwrap();

        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(sync_ms(&folder.path().join("missing")).is_none());
        assert!(free_bytes(folder.path()).unwrap().unwrap() > 0);
        assert_eq!(free_bytes(&folder.path().join("missing")).unwrap(), None);
    }

    #[test]
    fn settings_are_private_once_they_hold_a_password_and_identity_files_always_are() {
        let folder = tempfile::tempdir().unwrap();
        let identity = folder.path().join("data/identity");
        std::fs::create_dir_all(&identity).unwrap();
        for private in [identity.clone(), folder.path().join("data")] {
            std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        let (key, password) = (identity.join("key"), folder.path().join("password"));
        for open in [&key, &password] {
            std::fs::write(open, "").unwrap();
            std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o640)).unwrap();
        }

        let open = open_to_others(&config(folder.path(), "")).unwrap();
        assert_eq!(open, std::slice::from_ref(&key));

        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let settings = config(folder.path(), "[central]\nproxy = \"http://name:word@proxy\"");
        assert_eq!(open_to_others(&settings).unwrap(), [folder.path().join("agent.toml")]);
        let settings = config(folder.path(), "[site]\npassword_file = \"password\"");
        assert_eq!(open_to_others(&settings).unwrap(), [password]);
        assert_eq!(open_to_others(&config(folder.path(), "[central]\nproxy = \"http://proxy\"")).unwrap().len(), 0);
    }

    #[test]
    fn whoever_holds_the_folder_is_found_and_not_kept_away() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), "");
        assert!(matches!(daemon(&config), Holder::Nobody));

        let held = DataFolder::open(&config.data_folder).unwrap();
        assert!(matches!(daemon(&config), Holder::Other { .. }));
        drop(held);

        assert!(matches!(daemon(&config), Holder::Nobody));
        DataFolder::open(&config.data_folder).unwrap();
    }
}
