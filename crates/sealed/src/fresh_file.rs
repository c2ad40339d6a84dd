//! The file that a sealed one is written to.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::SealedError;

/// A file that is being made under another name beside its own, for its owner alone: it is there whole or not at all, and takes no other
/// file's place. Without [`FreshFile::finish`] nothing is left.
#[derive(Debug)]
pub struct FreshFile {
    path: PathBuf,
    fresh: PathBuf,
    file: File,
    is_finished: bool,
}

impl FreshFile {
    /// Begins one. Until it is finished it has the name with `.new` behind it.
    ///
    /// # Errors
    /// [`SealedError::Exists`], [`SealedError::Io`].
    pub fn begin(path: &Path) -> Result<Self, SealedError> {
        check_is_free(path)?;
        let mut name = path.file_name().map(std::ffi::OsStr::to_os_string).unwrap_or_default();
        name.push(".new");
        let fresh = path.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = match options.open(&fresh) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(SealedError::Exists { path: fresh });
            }
            opened => opened?,
        };
        Ok(Self { path: path.to_path_buf(), fresh, file, is_finished: false })
    }

    /// Where its bytes go.
    pub fn writer(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives it its name; it is there after a power cut when this returns.
    ///
    /// # Errors
    /// [`SealedError::Exists`] if a file has come to be there meanwhile, [`SealedError::Io`].
    pub fn finish(mut self) -> Result<(), SealedError> {
        self.file.sync_all()?;
        // A stick's file system knows no links, so that looking and renaming are two steps.
        check_is_free(&self.path)?;
        fs::rename(&self.fresh, &self.path)?;
        self.is_finished = true;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match File::open(folder).and_then(|folder| folder.sync_all()) {
            // Some file systems of sticks cannot sync a folder, and write its entries with the file.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
            synced => Ok(synced?),
        }
    }
}

impl Drop for FreshFile {
    fn drop(&mut self) {
        if !self.is_finished {
            // Half of it is of no use; it was made just now, so nothing else is in it.
            let _ = fs::remove_file(&self.fresh);
        }
    }
}

fn check_is_free(path: &Path) -> Result<(), SealedError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(SealedError::Exists { path: path.to_path_buf() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_is_there_whole_or_not_at_all_and_takes_no_other_ones_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mut fresh = FreshFile::begin(&path).unwrap();
        fresh.writer().write_all(b"whole").unwrap();
        assert!(!path.exists());
        drop(fresh);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        let mut fresh = FreshFile::begin(&path).unwrap();
        fresh.writer().write_all(b"whole").unwrap();
        fresh.finish().unwrap();

        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(FreshFile::begin(&path).unwrap_err().code(), "file_exists");
        fs::remove_file(&path).unwrap();
        let late = FreshFile::begin(&path).unwrap();
        fs::write(&path, "another").unwrap();
        assert_eq!(late.finish().unwrap_err().code(), "file_exists");
        assert_eq!(fs::read(&path).unwrap(), b"another");
    }
}
