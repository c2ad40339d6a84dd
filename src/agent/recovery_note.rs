//! The file `recovery`: how far the recovery of a device that was set back has come. It is there from before the first request
//! until everything is in order again, so that a recovery that was cut goes on where it was.
//!
//! A line of JSON, then `crc32 ` and the CRC-32 of that line in 8 hexadecimal digits. It is replaced as a whole. One that cannot
//! be read counts as none: no step takes anything away before what it holds is durable elsewhere, so beginning anew loses nothing.

use std::path::{Path, PathBuf};

use protocol::ids::JournalId;
use serde::{Deserialize, Serialize};

use super::recovered_file::recovered_path;
use crate::durable_file::{self, FileError};
use crate::{checked_line, hex};

const VERSION: u64 = 1;
/// Largest file, in bytes.
const BYTES_MAX: usize = 1024;

/// How far a recovery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecoveryStep {
    /// Central was asked to take the new journal, or is about to be. Nothing has changed here.
    Asked,
    /// Central has taken the new journal. What is left to do here needs no network and is done by whoever opens the folder.
    Taken,
    /// The new journal is in use. Records are read again from central, and then what was exported is journaled anew if that was
    /// asked for.
    Begun,
}

impl RecoveryStep {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Taken => "taken",
            Self::Begun => "begun",
        }
    }
}

/// A recovery under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryNote {
    /// How far it has come.
    pub step: RecoveryStep,
    /// The journal that is given up.
    pub journal_before: JournalId,
    /// The one that takes its place.
    pub journal: JournalId,
    /// Whether the exported edits are journaled anew; else they are set aside for review.
    pub is_journaled_anew: bool,
    /// Edits in the export; 0 before it is written.
    pub exported: u64,
    /// Edits that were set aside.
    pub set_aside: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    version: u64,
    step: RecoveryStep,
    journal_before: String,
    journal: String,
    is_journaled_anew: bool,
    exported: u64,
    set_aside: u64,
}

impl RecoveryNote {
    /// Reads it; `None` if no recovery is under way.
    ///
    /// # Errors
    /// [`FileError`] for a file that others may read, that another release wrote, or that the disk does not give.
    pub fn read(path: &Path) -> Result<Option<Self>, FileError> {
        let Some(bytes) = durable_file::read_private(path, BYTES_MAX)? else { return Ok(None) };
        if let Some(found) = version_of(&bytes).filter(|found| *found != VERSION) {
            return Err(FileError::Version { path: path.to_path_buf(), found });
        }
        let note = Self::of_bytes(&bytes);
        if note.is_none() {
            log::warn!("the note of a recovery cannot be read and counts as none path={}", path.display());
        }
        Ok(note)
    }

    /// How many edits lie in the export alone, neither set aside nor in a journal that central gets, as far as the note tells; and the
    /// export. What a cut recovery has journaled anew counts too: only its end takes it off.
    pub fn edits_in_file_alone(&self, root: &Path) -> (u64, Option<PathBuf>) {
        let is_exported = self.step != RecoveryStep::Asked && self.exported > 0;
        let edits = if is_exported { self.exported - self.set_aside.min(self.exported) } else { 0 };
        (edits, is_exported.then(|| recovered_path(root, self.journal)))
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// [`FileError`]; then the file is as it was.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        let line = Line {
            version: VERSION,
            step: self.step,
            journal_before: self.journal_before.to_string(),
            journal: self.journal.to_string(),
            is_journaled_anew: self.is_journaled_anew,
            exported: self.exported,
            set_aside: self.set_aside,
        };
        let line = serde_json::to_string(&line).expect("texts and numbers are always JSON");
        durable_file::replace_private(path, checked_line::with_checksum(&line).as_bytes())
    }

    /// Removes it: the recovery is over.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn remove(path: &Path) -> Result<(), FileError> {
        match std::fs::remove_file(path) {
            Ok(()) => durable_file::sync_folder(path.parent().unwrap_or(Path::new("."))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(FileError::Io { action: "remove", path: path.to_path_buf(), source }),
        }
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let line: Line =
            serde_json::from_str(checked_line::checked(bytes)?).ok().filter(|line: &Line| line.version == VERSION)?;
        Some(Self {
            step: line.step,
            journal_before: JournalId(hex::array(&line.journal_before)?),
            journal: JournalId(hex::array(&line.journal)?),
            is_journaled_anew: line.is_journaled_anew,
            exported: line.exported,
            set_aside: line.set_aside,
        })
    }
}

/// The version of a whole note, which says in every version where it stands.
fn version_of(bytes: &[u8]) -> Option<u64> {
    let line: serde_json::Value = serde_json::from_str(checked_line::checked(bytes)?).ok()?;
    line.get("version")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden_files::same;

    fn note() -> RecoveryNote {
        RecoveryNote {
            step: RecoveryStep::Taken,
            journal_before: JournalId([1; 16]),
            journal: JournalId([2; 16]),
            is_journaled_anew: true,
            exported: 7,
            set_aside: 0,
        }
    }

    #[test]
    fn a_note_keeps_its_bytes_and_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recovery");
        note().write(&path).unwrap();
        let written = std::fs::read(&path).unwrap();

        let stored = same("device-1/recovery", "The note of a recovery that has taken its export", &written);

        assert_eq!(RecoveryNote::of_bytes(&stored), Some(note()));
    }

    #[test]
    fn a_note_of_another_version_is_refused_and_not_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recovery");
        let line = r#"{"version":2,"step":"of a later program"}"#;
        durable_file::replace_private(&path, checked_line::with_checksum(line).as_bytes()).unwrap();

        let error = RecoveryNote::read(&path).unwrap_err();

        assert!(matches!(error, FileError::Version { found: 2, .. }), "{error}");
    }

    #[test]
    fn a_note_comes_back_and_a_flipped_bit_makes_it_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recovery");
        let note = note();
        assert_eq!(RecoveryNote::read(&path).unwrap(), None);
        note.write(&path).unwrap();
        assert_eq!(RecoveryNote::read(&path).unwrap(), Some(note));

        let bytes = std::fs::read(&path).unwrap();
        for index in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1;
            assert_eq!(RecoveryNote::of_bytes(&flipped), None, "byte {index}");
        }
        RecoveryNote::remove(&path).unwrap();
        RecoveryNote::remove(&path).unwrap();
        assert_eq!(RecoveryNote::read(&path).unwrap(), None);
    }
}
