//! Files of a service on the disk. Each carries the checksum of what it said when it was written, so that one that somebody
//! has changed since is known, whichever version of this program wrote it.

use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{InitSystem, UnitFile};
use crate::durable_file::{FileError, parent_of, sync_folder};
use crate::error::AgentError;
use crate::exit::Exit;

/// What the last line of each file begins with; 8 hexadecimal digits follow.
const CHECKSUM_LINE: &str = "# outpost-checksum ";
/// Largest file that is looked at, in bytes; ours have 3 kB.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// Of folders that are made.
const FOLDER_MODE: u32 = 0o755;

/// What lies where a file belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Absent,
    /// Exactly what would be written.
    Current,
    /// What another version, or the same for other paths, has written.
    Older,
    /// Something that somebody has changed, or has put there.
    Edited,
}

impl Standing {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Current => "current",
            Self::Older => "older",
            Self::Edited => "edited",
        }
    }
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Written,
    Replaced,
    Unchanged,
}

impl Change {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Replaced => "replaced",
            Self::Unchanged => "unchanged",
        }
    }
}

/// What lies where a file belongs below a root. What cannot be read counts as edited: it is not known to be ours.
pub(super) fn standing(file: &UnitFile, root: &Path) -> Standing {
    let path = file.below(root);
    match std::fs::symlink_metadata(&path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Standing::Absent
        }
        Ok(metadata) if metadata.is_file() && metadata.len() <= FILE_BYTES_MAX => {
            match std::fs::read_to_string(&path) {
                Ok(found) if found == with_checksum(&file.text) => Standing::Current,
                Ok(found) if is_as_written(&found) => Standing::Older,
                Ok(_) | Err(_) => Standing::Edited,
            }
        }
        Ok(_) | Err(_) => Standing::Edited,
    }
}

/// Writes all files, or none if one of them was edited. What became of each.
pub(super) fn write(files: &[UnitFile], root: &Path, init: InitSystem) -> Result<Vec<Change>, AgentError> {
    let standings: Vec<Standing> = files.iter().map(|file| standing(file, root)).collect();
    if let Some((file, _)) = files.iter().zip(&standings).find(|(_, standing)| **standing == Standing::Edited) {
        return Err(edited(&file.below(root), install_advice(init)));
    }
    let mut changes = Vec::new();
    for (file, standing) in files.iter().zip(standings) {
        changes.push(match standing {
            Standing::Current => Change::Unchanged,
            Standing::Absent => Change::Written,
            Standing::Older | Standing::Edited => Change::Replaced,
        });
        if standing != Standing::Current {
            write_one(&file.below(root), file.mode, &with_checksum(&file.text))?;
        }
    }
    Ok(changes)
}

/// That no file was edited.
pub(super) fn check_removable(files: &[UnitFile], root: &Path) -> Result<(), AgentError> {
    match files.iter().find(|file| standing(file, root) == Standing::Edited) {
        None => Ok(()),
        Some(file) => Err(edited(
            &file.below(root),
            "Nothing was done. Stop the service and remove the file yourself if it may go.",
        )),
    }
}

/// Takes the files away; those that were there.
pub(super) fn remove(files: &[UnitFile], root: &Path) -> Result<Vec<PathBuf>, AgentError> {
    let mut removed = Vec::new();
    for path in files.iter().map(|file| file.below(root)) {
        match std::fs::remove_file(&path) {
            Ok(()) => removed.push(path),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(source) => return Err(FileError::Io { action: "remove", path, source }.into()),
        }
    }
    Ok(removed)
}

fn edited(path: &Path, advice: &str) -> AgentError {
    AgentError::new(
        "service_file_edited",
        format!("{} was not written by this program as it is now, or was changed since", path.display()),
        advice,
        Exit::Refused,
    )
}

fn install_advice(init: InitSystem) -> &'static str {
    match init {
        InitSystem::Systemd => {
            "Nothing was written. Keep your changes with `systemctl edit outpost`, which no version overwrites; then move the \
             file away and install again."
        }
        InitSystem::OpenRc => {
            "Nothing was written. Keep your changes in /etc/conf.d/outpost, which no version overwrites; then move the file \
             away and install again."
        }
        InitSystem::Runit => {
            "Nothing was written. Move the file away and install again, or go on with yours; `outpost service install --print` \
             shows what would be written."
        }
    }
}

/// The text with the line of its checksum behind it.
fn with_checksum(text: &str) -> String {
    format!("{text}{CHECKSUM_LINE}{:08x}\n", crc32fast::hash(text.as_bytes()))
}

fn is_as_written(found: &str) -> bool {
    let text = found.rfind(CHECKSUM_LINE).and_then(|at| found.get(..at));
    text.is_some_and(|text| found == with_checksum(text))
}

/// Puts a file in its place in one step; its mode is what it should be, whatever this process may make.
fn write_one(path: &Path, mode: u32, text: &str) -> Result<(), FileError> {
    let folder = parent_of(path);
    make_folders(folder)?;
    let fresh = path.with_extension("outpost-new");
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| FileError::Io { action, path, source }
    };
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &fresh)(error)),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&fresh).map_err(failed("make", &fresh))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.set_permissions(std::fs::Permissions::from_mode(mode)))
        .and_then(|()| file.sync_all())
        .map_err(failed("write", &fresh))?;
    std::fs::rename(&fresh, path).map_err(failed("replace", path))?;
    sync_folder(folder)
}

fn make_folders(folder: &Path) -> Result<(), FileError> {
    if folder.is_dir() {
        return Ok(());
    }
    make_folders(parent_of(folder))?;
    std::fs::create_dir(folder)
        .and_then(|()| std::fs::set_permissions(folder, std::fs::Permissions::from_mode(FOLDER_MODE)))
        .map_err(|source| FileError::Io { action: "make the folder", path: folder.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> UnitFile {
        UnitFile { path: PathBuf::from(format!("/etc/sv/outpost/{name}")), mode: 0o755, text: text.to_owned() }
    }

    #[test]
    fn files_are_written_with_their_mode_and_again_only_where_they_differ() {
        let root = tempfile::tempdir().unwrap();
        let (run, finish) = (file("run", "#!/bin/sh\none\n"), file("finish", "#!/bin/sh\n"));
        let write = |files: &[UnitFile]| write(files, root.path(), InitSystem::Runit).unwrap();

        assert_eq!(write(&[run.clone(), finish.clone()]), [Change::Written, Change::Written]);
        assert_eq!(standing(&run, root.path()), Standing::Current);
        let mode = std::fs::metadata(run.below(root.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);

        let newer = file("run", "#!/bin/sh\ntwo\n");
        assert_eq!(standing(&newer, root.path()), Standing::Older);
        assert_eq!(write(&[newer.clone(), finish]), [Change::Replaced, Change::Unchanged]);
        let found = std::fs::read_to_string(newer.below(root.path())).unwrap();
        assert!(found.starts_with("#!/bin/sh\ntwo\n# outpost-checksum "), "{found}");
    }

    #[test]
    fn a_file_that_somebody_changed_is_left_and_nothing_else_is_written_or_removed() {
        let root = tempfile::tempdir().unwrap();
        let (run, finish) = (file("run", "one\n"), file("finish", "two\n"));
        write(std::slice::from_ref(&run), root.path(), InitSystem::Runit).unwrap();
        let path = run.below(root.path());
        let ours = std::fs::read_to_string(&path).unwrap();
        for changed in [ours.replace("one", "1"), format!("{ours}more\n"), "theirs\n".to_owned(), String::new()] {
            std::fs::write(&path, &changed).unwrap();

            let refused = write(&[finish.clone(), run.clone()], root.path(), InitSystem::Systemd).unwrap_err();

            assert_eq!((refused.code.as_str(), refused.exit), ("service_file_edited", Exit::Refused));
            assert!(refused.advice.contains("systemctl edit"));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), changed);
            assert_eq!(standing(&finish, root.path()), Standing::Absent);
            assert_eq!(
                check_removable(std::slice::from_ref(&run), root.path()).unwrap_err().code,
                "service_file_edited"
            );
        }
    }

    #[test]
    fn a_link_in_the_place_of_a_file_is_somebodys_wish() {
        // `systemctl mask` makes one to /dev/null.
        let root = tempfile::tempdir().unwrap();
        let run = file("run", "one\n");
        std::fs::create_dir_all(parent_of(&run.below(root.path()))).unwrap();
        std::os::unix::fs::symlink("/dev/null", run.below(root.path())).unwrap();

        assert_eq!(standing(&run, root.path()), Standing::Edited);
    }

    #[test]
    fn removing_names_what_was_there() {
        let root = tempfile::tempdir().unwrap();
        let (run, finish) = (file("run", "one\n"), file("finish", "two\n"));
        write(std::slice::from_ref(&run), root.path(), InitSystem::Runit).unwrap();

        assert_eq!(remove(&[run.clone(), finish], root.path()).unwrap(), [run.below(root.path())]);
        assert_eq!(standing(&run, root.path()), Standing::Absent);
    }
}
