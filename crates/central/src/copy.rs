//! A restored copy of production that runs beside it, for tests: it gets a key of its own before it opens its port, so that no
//! agent of production takes it for its central, and no frame of production is valid there (frames are signed for one key).
//!
//! The file `central.copy` says so for as long as the folder lives: a line of JSON with the fields of [`CopyMark`]. It is durable
//! before the key is changed. A folder whose mark names the key that it has was cut between the two, and is not served.

use std::path::Path;

use codec::Ed25519Signer;
use protocol::edge::Signer as _;
use protocol::fingerprint::Fingerprint;
use serde::{Deserialize, Serialize};

use crate::error::{CentralError, Exit};
use crate::folder::{self, DataFolder};

const VERSION: u64 = 1;
/// Largest mark, in bytes.
const BYTES_MAX: u64 = 1024;

/// What a folder is a copy of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyMark {
    version: u64,
    /// Fingerprint of the original's key.
    pub original: String,
    /// When this copy got its own key, in milliseconds since 1970.
    pub made_ms: u64,
}

/// The mark of a folder; `None` if it is no copy.
///
/// # Errors
/// `copy_mark_damaged`, `copy_mark_version`, `folder_failed`.
pub fn mark_of(path: &Path) -> Result<Option<CopyMark>, CentralError> {
    let Some(bytes) = folder::read_small(path, BYTES_MAX)? else { return Ok(None) };
    match serde_json::from_slice::<CopyMark>(&bytes) {
        _ if version_of(&bytes).is_some_and(|found| found != VERSION) => {
            let message =
                format!("{} is of another version than this program reads, which is {VERSION}", path.display());
            let advice = "Run the version of outpost-central that wrote it. Nothing was changed.";
            Err(CentralError::new("copy_mark_version", message, advice, Exit::Config))
        }
        Ok(mark) if mark.version == VERSION && Fingerprint::parse(&mark.original).is_some() => Ok(Some(mark)),
        Ok(_) | Err(_) => {
            let message = format!("{} says that this is a copy, and cannot be read", path.display());
            let advice = "If this folder is the original, remove the file. If it is a copy for tests, restore it again from its backup.";
            Err(CentralError::new("copy_mark_damaged", message, advice, Exit::Disk))
        }
    }
}

fn version_of(bytes: &[u8]) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(bytes).ok()?.get("version")?.as_u64()
}

/// The mark of a folder that may be served, and with which key. `is_copy_wanted` makes a copy of what is none yet; one that is
/// a copy stays the one it is.
///
/// # Errors
/// `copy_unfinished`; those of reading and writing the folder.
pub fn settle(
    folder: &DataFolder,
    is_copy_wanted: bool,
    now_ms: u64,
) -> Result<(Option<CopyMark>, Ed25519Signer), CentralError> {
    let path = folder.paths().copy_mark();
    let signer = folder.signer()?;
    let fingerprint = Fingerprint::of(&signer.public_key()).to_string();
    let mark = match mark_of(&path)? {
        Some(mark) if mark.original != fingerprint => return Ok((Some(mark), signer)),
        None if !is_copy_wanted => return Ok((None, signer)),
        Some(_) if !is_copy_wanted => {
            let message =
                "making a copy of this folder was cut short: it is marked as a copy and still has the original's key";
            let advice = "Run `serve --as-copy`, which finishes it. If this is the original itself, remove the file central.copy.";
            return Err(CentralError::new("copy_unfinished", message, advice, Exit::Config));
        }
        Some(mark) => mark,
        None => {
            let mark = CopyMark { version: VERSION, original: fingerprint, made_ms: now_ms };
            let bytes = serde_json::to_vec(&mark).expect("texts and numbers are always JSON");
            folder::write_whole(&path, &bytes)?;
            mark
        }
    };
    Ok((Some(mark), folder.make_key()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::FolderPaths;

    fn made(temporary: &tempfile::TempDir) -> DataFolder {
        let paths = FolderPaths::new(temporary.path().join("central"));
        DataFolder::initialise(&paths, |folder| folder::write_whole(&folder.paths().store(), b"store")).unwrap().0
    }

    #[test]
    fn a_copy_gets_a_key_of_its_own_once_and_stays_a_copy() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = made(&temporary);
        let original = folder.signer().unwrap().public_key();
        assert_eq!(settle(&folder, false, 5).unwrap().0, None);

        let (mark, signer) = settle(&folder, true, 6).unwrap();

        let mark = mark.unwrap();
        assert_eq!((mark.made_ms, mark.original.clone()), (6, Fingerprint::of(&original).to_string()));
        assert_ne!(signer.public_key(), original);
        for is_copy_wanted in [true, false] {
            let (again, key) = settle(&folder, is_copy_wanted, 7).unwrap();
            assert_eq!((again, key.public_key()), (Some(mark.clone()), signer.public_key()));
        }
    }

    #[test]
    fn a_mark_keeps_its_bytes_and_one_of_another_version_is_named() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("central.copy");
        let original = Fingerprint::of(&Ed25519Signer::from_seed(&[1; 32]).public_key()).to_string();
        let mark = CopyMark { version: VERSION, original, made_ms: 6 };
        let bytes = serde_json::to_vec(&mark).unwrap();
        let comment = "The mark of a copy of central's folder";
        folder::write_whole(&path, &crate::golden_files::same("files-1/central-copy", comment, &bytes)).unwrap();
        assert_eq!(mark_of(&path).unwrap(), Some(mark));

        folder::write_whole(&path, br#"{"version":2,"more":true}"#).unwrap();
        assert_eq!(mark_of(&path).unwrap_err().code, "copy_mark_version");
        folder::write_whole(&path, b"{}").unwrap();
        assert_eq!(mark_of(&path).unwrap_err().code, "copy_mark_damaged");
    }

    #[test]
    fn a_copy_that_was_cut_before_its_key_is_finished_and_never_served_as_the_original() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = made(&temporary);
        let original = folder.signer().unwrap().public_key();
        let mark = CopyMark { version: VERSION, original: Fingerprint::of(&original).to_string(), made_ms: 6 };
        folder::write_whole(&folder.paths().copy_mark(), &serde_json::to_vec(&mark).unwrap()).unwrap();

        assert_eq!(settle(&folder, false, 7).err().unwrap().code, "copy_unfinished");
        let (found, signer) = settle(&folder, true, 8).unwrap();

        assert_eq!(found, Some(mark));
        assert_ne!(signer.public_key(), original);
    }

    #[test]
    fn a_mark_that_cannot_be_read_is_told() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = made(&temporary);
        folder::write_whole(&folder.paths().copy_mark(), b"{}").unwrap();

        assert_eq!(settle(&folder, false, 7).err().unwrap().code, "copy_mark_damaged");
    }
}
