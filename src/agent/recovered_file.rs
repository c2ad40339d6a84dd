//! The file into which a recovery writes the edits that only this device may have: lines that `record --file` takes. An empty
//! line ends a group.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use domain::edit::{Edit, LINE_BYTES_MAX};
use protocol::ids::JournalId;
use serde_json::json;

use crate::durable_file::{self, FileError};
use crate::error::AgentError;
use crate::exit::Exit;

/// Most such files in a data folder. They are never removed by the agent; at the limit no recovery begins.
pub const RECOVERED_FILES_MAX: usize = 16;

const PREFIX: &str = "recovered-";
const SUFFIX: &str = ".ndjson";

/// Where a recovery that begins this journal writes its edits. The id is random, so no file of another recovery is there.
pub(super) fn recovered_path(root: &Path, journal: JournalId) -> PathBuf {
    root.join(format!("{PREFIX}{journal}{SUFFIX}"))
}

/// That one more file may be written.
///
/// # Errors
/// `recovered_files_full`, or the folder cannot be read.
pub(super) fn check_room(root: &Path) -> Result<(), AgentError> {
    let failed = |source| FileError::Io { action: "read the folder", path: root.to_path_buf(), source };
    let mut count = 0;
    for entry in std::fs::read_dir(root).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        count += usize::from(name.starts_with(PREFIX) && name.ends_with(SUFFIX));
    }
    if count < RECOVERED_FILES_MAX {
        return Ok(());
    }
    Err(AgentError::new(
        "recovered_files_full",
        format!(
            "{} holds {count} files of recovered edits, and at most {RECOVERED_FILES_MAX} are kept",
            root.display()
        ),
        "Look through recovered-*.ndjson, record what is still wanted, and move the files elsewhere.",
        Exit::Refused,
    ))
}

/// Writes edits. The file has its name only when it is whole and durable.
pub(super) struct RecoveredWriter {
    path: PathBuf,
    unfinished: PathBuf,
    file: BufWriter<File>,
    edits: u64,
}

impl RecoveredWriter {
    /// Begins a file. One that a cut left unfinished is begun anew.
    ///
    /// # Errors
    /// [`FileError`].
    pub(super) fn begin(path: PathBuf) -> Result<Self, FileError> {
        let unfinished = path.with_extension("unfinished");
        // Another mode, or a link, would stay with a file that is only written over.
        match std::fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &unfinished)(error)),
            Ok(()) | Err(_) => {}
        }
        let mut options = std::fs::OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
        let file = options.open(&unfinished).map_err(failed("make", &unfinished))?;
        Ok(Self { path, unfinished, file: BufWriter::new(file), edits: 0 })
    }

    /// Writes one edit; `is_group_end` if it is the last of its group.
    ///
    /// # Errors
    /// [`FileError`].
    pub(super) fn write(&mut self, edit: &Edit, is_group_end: bool) -> Result<(), FileError> {
        let end = if is_group_end { "\n" } else { "" };
        let line = format!("{}{end}", line_of(edit));
        self.file.write_all(line.as_bytes()).map_err(failed("write", &self.unfinished))?;
        self.edits += 1;
        Ok(())
    }

    /// Makes the file durable under its name; how many edits it holds. Without edits there is no file.
    ///
    /// # Errors
    /// [`FileError`].
    pub(super) fn finish(mut self) -> Result<u64, FileError> {
        if self.edits == 0 {
            std::fs::remove_file(&self.unfinished).map_err(failed("remove", &self.unfinished))?;
            return Ok(0);
        }
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        written.map_err(failed("write", &self.unfinished))?;
        std::fs::rename(&self.unfinished, &self.path).map_err(failed("name", &self.path))?;
        durable_file::sync_folder(self.path.parent().unwrap_or(Path::new(".")))?;
        Ok(self.edits)
    }
}

/// Reads groups of edits from such a file, in order.
pub struct RecoveredReader {
    path: PathBuf,
    file: BufReader<File>,
    line: u64,
}

/// A group, and the number of its first line; empty lines count, as in an editor.
pub struct RecoveredGroup {
    /// The line of its first edit, from 1.
    pub first_line: u64,
    /// Its edits.
    pub edits: Vec<Edit>,
}

impl RecoveredReader {
    /// Opens a file.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(failed("open", path))?;
        Ok(Self { path: path.to_path_buf(), file: BufReader::new(file), line: 0 })
    }

    /// The next group; `None` at the end. Memory: one group.
    ///
    /// # Errors
    /// `recovered_file_changed` for a line that is no edit; [`FileError`].
    pub fn next_group(&mut self) -> Result<Option<RecoveredGroup>, AgentError> {
        let mut group = RecoveredGroup { first_line: 0, edits: Vec::new() };
        loop {
            let mut bytes = Vec::new();
            let limit = LINE_BYTES_MAX as u64 + 2;
            let read = self.file.by_ref().take(limit).read_until(b'\n', &mut bytes);
            if read.map_err(failed("read", &self.path))? == 0 {
                return Ok(Some(group).filter(|group| !group.edits.is_empty()));
            }
            self.line += 1;
            let text = str::from_utf8(&bytes).map_err(|error| self.changed(&error))?.trim();
            match text.is_empty() {
                true if group.edits.is_empty() => {}
                true => return Ok(Some(group)),
                false => {
                    if group.edits.is_empty() {
                        group.first_line = self.line;
                    }
                    group.edits.push(Edit::parse(text).map_err(|error| self.changed(&error))?);
                }
            }
        }
    }

    fn changed(&self, error: &dyn std::fmt::Display) -> AgentError {
        AgentError::new(
            "recovered_file_changed",
            format!("line {} of {} is no edit: {error}", self.line, self.path.display()),
            "Somebody changed the file. Correct the line, or remove it, and repeat the command.",
            Exit::Refused,
        )
    }
}

/// The edit as a line that `record --file` takes, with its line feed.
pub fn line_of(edit: &Edit) -> String {
    let mut line =
        format!("{{\"table\":{},\"op\":\"{}\",\"id\":{}", json!(edit.table), edit.op.as_str(), json!(edit.id.as_str()));
    if let Some(data) = &edit.data {
        line.push_str(",\"data\":");
        line.push_str(data);
    }
    line.push_str("}\n");
    line
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError::Io { action, path: path.to_path_buf(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::edit::EditOp;
    use protocol::ids::RecordId;
    use std::os::unix::fs::PermissionsExt as _;

    fn edit(id: &str, data: Option<&str>) -> Edit {
        let op = if data.is_some() { EditOp::Patch } else { EditOp::Delete };
        Edit { table: "item".to_owned(), op, id: RecordId::new(id).unwrap(), data: data.map(str::to_owned) }
    }

    #[test]
    fn groups_come_back_from_a_private_file_that_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = recovered_path(folder.path(), JournalId([5; 16]));
        let (a, b, c) = (edit("a\"", Some(r#"{"price":12.30}"#)), edit("b", None), edit("c", Some("{}")));
        drop(RecoveredWriter::begin(path.clone()).unwrap());
        let mut writer = RecoveredWriter::begin(path.clone()).unwrap();
        writer.write(&a, false).unwrap();
        writer.write(&b, true).unwrap();
        writer.write(&c, true).unwrap();
        assert!(!path.exists());

        assert_eq!(writer.finish().unwrap(), 3);

        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut reader = RecoveredReader::open(&path).unwrap();
        let groups: Vec<_> = std::iter::from_fn(|| reader.next_group().unwrap()).collect();
        let found: Vec<_> = groups.into_iter().map(|group| (group.first_line, group.edits)).collect();
        assert_eq!(found, [(1, vec![a, b]), (4, vec![c])]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_to_write_makes_no_file_and_too_many_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |number| recovered_path(folder.path(), JournalId([number; 16]));
        assert_eq!(RecoveredWriter::begin(path(0)).unwrap().finish().unwrap(), 0);
        for number in 1..=u8::try_from(RECOVERED_FILES_MAX).unwrap() {
            check_room(folder.path()).unwrap();
            std::fs::write(path(number), "").unwrap();
        }

        assert_eq!(check_room(folder.path()).unwrap_err().code, "recovered_files_full");
    }

    #[test]
    fn a_line_that_somebody_broke_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "\n{\"table\"\n").unwrap();

        let error = RecoveredReader::open(&path).unwrap().next_group().err().unwrap();

        assert_eq!(error.code, "recovered_file_changed");
        assert!(error.message.starts_with("line 2 of "), "{}", error.message);
    }
}
