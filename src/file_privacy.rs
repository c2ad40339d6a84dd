//! That nobody but the user of the agent reads what lies in a data folder: it holds the records of patients.

use protocol::few::sort_few;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

use crate::data_folder::Layout;
use crate::durable_file::FileError;

/// Rights that nobody but the owner may have on a private file or folder.
const OTHERS_MODE: u32 = 0o077;

/// What the names in a data folder begin with that the agent gives. What somebody else has put there is not looked at.
const OWN_NAMES: [&str; 12] = [
    "lock",
    "log",
    "journal",
    "private",
    "local_copy.sqlite",
    "damage-noted",
    "pacing",
    "queue-days",
    "recover",
    "doctor-scratch",
    "input-",
    "agent.sock",
];

/// Lets every file and folder that this process makes be its user's alone, whoever makes it: SQLite and sled ask for more. Called
/// first thing in `main`, before there is a second thread.
pub fn make_new_files_private() {
    rustix::process::umask(Mode::from_raw_mode(OTHERS_MODE));
}

/// Takes the others' rights on a data folder that was made before, and on what the agent has put there, and says so in the log.
/// The identity and the token stay as they are: a secret that others may have read is refused, not hidden.
///
/// What belongs to another user, and a folder with other folders in it, such as `/tmp` by mistake, is left alone: `doctor` names it.
///
/// # Errors
/// [`FileError::Io`].
pub fn keep_others_out(layout: &Layout) -> Result<(), FileError> {
    let root = layout.root();
    let owner = rustix::process::geteuid().as_raw();
    let mut paths = own_entries(layout)?;
    if !holds_other_folders(root)? {
        // It may be a link to another disk.
        paths.push(root.canonicalize().map_err(failed("look at", root))?);
    }
    for path in paths {
        // A link leads to what is not the agent's.
        let metadata = match std::fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            other => other.map_err(failed("look at", &path))?,
        };
        let is_own = metadata.is_dir() || metadata.is_file();
        let mode = metadata.permissions().mode();
        if !is_own || metadata.uid() != owner || mode & OTHERS_MODE == 0 {
            continue;
        }
        let private = std::fs::Permissions::from_mode(mode & !OTHERS_MODE & 0o7777);
        std::fs::set_permissions(&path, private).map_err(failed("take the others' rights on", &path))?;
        log::warn!("others could use what is this site's alone, and cannot any more path={}", path.display());
    }
    Ok(())
}

/// Those of a data folder, what the agent has put there, its identity and the given files that others than their owner may use.
///
/// # Errors
/// [`FileError::Io`].
pub fn open_to_others(layout: &Layout, files: &[PathBuf]) -> Result<Vec<PathBuf>, FileError> {
    let identity = layout.identity();
    let mut paths = vec![layout.root().to_path_buf(), identity.clone(), layout.token()];
    paths.extend([layout.clients(), layout.client_certificate(), layout.client_key()]);
    paths.extend(own_entries(layout)?);
    paths.extend(entries(&identity)?);
    paths.extend_from_slice(files);
    sort_few(&mut paths, |one, other| one < other);
    paths.dedup();
    let mut open = Vec::new();
    for path in paths {
        let metadata = match std::fs::metadata(&path) {
            // A daemon replaces its files.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            other => other.map_err(failed("look at", &path))?,
        };
        if metadata.permissions().mode() & OTHERS_MODE != 0 {
            open.push(path);
        }
    }
    Ok(open)
}

fn own_entries(layout: &Layout) -> Result<Vec<PathBuf>, FileError> {
    let mut entries = entries(layout.root())?;
    entries.retain(|path| is_own_name(path));
    Ok(entries)
}

fn is_own_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    OWN_NAMES.iter().any(|own| name.starts_with(own))
}

fn holds_other_folders(root: &Path) -> Result<bool, FileError> {
    let identity = Layout::of(root).identity();
    Ok(entries(root)?.iter().any(|path| !is_own_name(path) && *path != identity && path.is_dir()))
}

/// What lies in a folder; nothing if it is not there.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            entries.map(|entry| Ok(entry.map_err(failed("list", folder))?.path())).collect::<Result<Vec<_>, _>>()
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed("list", folder)(error)),
    }
}

fn failed(action: &'static str, path: &Path) -> impl Fn(std::io::Error) -> FileError {
    move |source| FileError::Io { action, path: path.to_path_buf(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    /// A folder with a journal, a local copy and an identity that everybody may read.
    fn open_folder(root: &Path) -> Layout {
        let layout = Layout::of(root);
        for folder in [layout.journal(), layout.identity()] {
            std::fs::create_dir_all(&folder).unwrap();
            set_mode(&folder, 0o755);
        }
        std::fs::write(layout.local_copy(), "").unwrap();
        set_mode(&layout.local_copy(), 0o644);
        std::fs::write(layout.token(), "").unwrap();
        set_mode(&layout.token(), 0o644);
        std::fs::write(root.join("notes.txt"), "").unwrap();
        set_mode(&root.join("notes.txt"), 0o644);
        set_mode(root, 0o755);
        layout
    }

    #[test]
    fn the_others_rights_on_a_folder_and_on_what_the_agent_has_put_there_are_taken() {
        let root = tempfile::tempdir().unwrap();
        let layout = open_folder(root.path());
        let open = open_to_others(&layout, &[]).unwrap();
        let root = layout.root();
        assert_eq!(
            open,
            [root.to_path_buf(), layout.token(), layout.identity(), layout.journal(), layout.local_copy()]
        );

        keep_others_out(&layout).unwrap();

        assert_eq!((mode(root), mode(&layout.journal()), mode(&layout.local_copy())), (0o700, 0o700, 0o600));
        assert_eq!((mode(&layout.identity()), mode(&root.join("notes.txt"))), (0o755, 0o644));
        assert_eq!(open_to_others(&layout, &[]).unwrap(), [layout.token(), layout.identity()]);
    }

    #[test]
    fn a_folder_that_holds_other_folders_is_left_to_everybody_and_named() {
        let root = tempfile::tempdir().unwrap();
        let layout = open_folder(root.path());
        std::fs::create_dir(root.path().join("somebody")).unwrap();
        let elsewhere = root.path().join("elsewhere");
        std::fs::write(&elsewhere, "").unwrap();
        set_mode(&elsewhere, 0o644);
        std::os::unix::fs::symlink(&elsewhere, layout.recovery()).unwrap();

        keep_others_out(&layout).unwrap();

        assert_eq!((mode(root.path()), mode(&layout.local_copy()), mode(&elsewhere)), (0o755, 0o600, 0o644));
        assert!(open_to_others(&layout, &[]).unwrap().contains(&root.path().to_path_buf()));
    }

    #[test]
    fn files_beside_the_folder_are_looked_at_if_they_are_there() {
        let root = tempfile::tempdir().unwrap();
        let (password, missing) = (root.path().join("password"), root.path().join("missing"));
        std::fs::write(&password, "").unwrap();
        set_mode(&password, 0o640);
        let layout = Layout::of(&root.path().join("data"));

        assert_eq!(open_to_others(&layout, &[password.clone(), missing]).unwrap(), [password]);
    }
}
