//! The lines of an import, kept in a file without a name while they are checked and recorded: standard input comes only once.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use domain::edit::{Edit, LINE_BYTES_MAX};

use crate::entropy;
use crate::error::{CentralError, Exit};
use crate::folder::FolderPaths;
use crate::hex;

/// Largest import, in bytes: a country's central data has about 30 MB.
pub const SPOOL_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;

/// What a line is, before anybody is asked about its record.
pub(super) enum Checked {
    /// An edit.
    Good {
        /// From 1.
        line: u64,
    },
    /// None.
    Bad {
        /// From 1.
        line: u64,
        /// Stable code.
        code: String,
        /// A sentence.
        reason: String,
    },
}

/// The good lines, each behind its number.
pub(super) struct Spool {
    file: Arc<File>,
    lines_total: u64,
}

impl Spool {
    /// Reads all lines and keeps those that are edits.
    pub(super) fn fill(
        paths: Option<&FolderPaths>,
        input: &mut dyn BufRead,
        seen: &mut dyn FnMut(Checked),
    ) -> Result<Self, CentralError> {
        let file = nameless_file(paths)?;
        let mut output = BufWriter::new(&file);
        let (mut number, mut bytes) = (0, 0_u64);
        let mut line = Vec::new();
        while read_line(input, &mut line)? {
            number += 1;
            bytes += line.len() as u64;
            if bytes > SPOOL_BYTES_MAX {
                let message = format!("the import has more than {SPOOL_BYTES_MAX} bytes");
                return Err(CentralError::refused("import_too_large", message, "Import it in several files."));
            }
            let text = match std::str::from_utf8(&line) {
                Ok(text) if text.trim().is_empty() => continue,
                Ok(text) => text.trim_end_matches(['\n', '\r']),
                Err(error) => {
                    let reason = format!("the line is not UTF-8: {error}");
                    seen(Checked::Bad { line: number, code: "not_utf8".to_owned(), reason });
                    continue;
                }
            };
            match Edit::parse(text) {
                Ok(_) => {
                    writeln!(output, "{number} {text}").map_err(|error| failed(&error))?;
                    seen(Checked::Good { line: number });
                }
                Err(error) => {
                    let (code, reason) = (error.code().to_owned(), error.to_string());
                    seen(Checked::Bad { line: number, code, reason });
                }
            }
        }
        output.flush().map_err(|error| failed(&error))?;
        drop(output);
        Ok(Self { file: Arc::new(file), lines_total: number })
    }

    /// The good lines from the start, with their numbers.
    pub(super) fn lines(&self) -> impl Iterator<Item = Result<(u64, Edit), CentralError>> + Send + 'static + use<> {
        let mut reader = BufReader::new(FromStart { file: Arc::clone(&self.file), at: 0 });
        let mut line = String::new();
        std::iter::from_fn(move || {
            line.clear();
            match reader.read_line(&mut line) {
                Ok(0) => None,
                Ok(_) => Some(parse(&line)),
                Err(error) => Some(Err(failed(&error))),
            }
        })
    }

    /// Lines of the input, bad and empty ones included.
    pub(super) fn lines_total(&self) -> u64 {
        self.lines_total
    }
}

/// A reader of its own place in a shared file.
struct FromStart {
    file: Arc<File>,
    at: u64,
}

impl std::io::Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn parse(line: &str) -> Result<(u64, Edit), CentralError> {
    let parsed = line.trim_end_matches('\n').split_once(' ').and_then(|(number, text)| {
        let edit = Edit::parse(text).ok()?;
        Some((number.parse().ok()?, edit))
    });
    parsed.ok_or_else(|| failed(&std::io::Error::other("the file changed while it was read")))
}

/// One line with its end, cut just above the limit so that the parser can say what is wrong with it. False at the end.
fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> Result<bool, CentralError> {
    line.clear();
    let unreadable = |error: std::io::Error| {
        CentralError::new(
            "input_unreadable",
            format!("the input cannot be read: {error}"),
            "Nothing was recorded.",
            Exit::Failed,
        )
    };
    let kept_max = LINE_BYTES_MAX as u64 + 3;
    let count = input.take(kept_max).read_until(b'\n', line).map_err(unreadable)?;
    if count as u64 == kept_max && line.last() != Some(&b'\n') {
        skip_line(input).map_err(unreadable)?;
    }
    Ok(count > 0)
}

fn skip_line(input: &mut dyn BufRead) -> std::io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let (count, is_over) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(count);
        if is_over {
            return Ok(());
        }
    }
}

/// A file that is gone when it is closed, also after a crash.
pub(crate) fn nameless_file(paths: Option<&FolderPaths>) -> Result<File, CentralError> {
    let folder = paths.map_or_else(std::env::temp_dir, |paths| paths.root().to_owned());
    let path: PathBuf = folder.join(format!("import-{}.spool", hex::to_hex(&entropy::bytes::<8>())));
    let mut options = OpenOptions::new();
    let file =
        options.read(true).write(true).create_new(true).mode(0o600).open(&path).map_err(|error| failed(&error))?;
    fs::remove_file(&path).map_err(|error| failed(&error))?;
    Ok(file)
}

fn failed(error: &std::io::Error) -> CentralError {
    let advice = "Free some space on the disk of the data folder, then import again.";
    CentralError::new(
        "spool_failed",
        format!("the lines cannot be kept while they are checked: {error}"),
        advice,
        Exit::Disk,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &[u8]) -> (Spool, Vec<(u64, String)>) {
        let mut bad = Vec::new();
        let spool = Spool::fill(None, &mut &text[..], &mut |line| {
            if let Checked::Bad { line, code, .. } = line {
                bad.push((line, code));
            }
        });
        (spool.unwrap(), bad)
    }

    #[test]
    fn good_lines_keep_their_numbers_and_bad_ones_are_told() {
        let text = [
            b"{\"table\":\"unit\",\"op\":\"delete\",\"id\":\"a\"}\r\n".as_slice(),
            b"\nnonsense\n\xff\n",
            b"{\"table\":\"unit\",\"op\":\"delete\",\"id\":\"b\"}",
        ]
        .concat();
        let (spool, bad) = fill(&text);
        let lines = || spool.lines().map(|line| line.map(|(number, edit)| (number, edit.id.to_string())));

        assert_eq!(lines().collect::<Result<Vec<_>, _>>().unwrap(), [(1, "a".to_owned()), (5, "b".to_owned())]);
        assert_eq!(lines().count(), 2);
        assert_eq!(bad, [(3, "not_json".to_owned()), (4, "not_utf8".to_owned())]);
        assert_eq!(spool.lines_total(), 5);
    }

    #[test]
    fn an_endless_line_is_one_bad_line() {
        let mut text = vec![b'x'; LINE_BYTES_MAX + 10_000];
        text.extend_from_slice(b"\n{\"table\":\"unit\",\"op\":\"delete\",\"id\":\"a\"}\n");
        let (spool, bad) = fill(&text);

        assert_eq!(bad, [(1, "line_too_long".to_owned())]);
        assert_eq!(spool.lines().count(), 1);
    }
}
