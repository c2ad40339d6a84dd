//! Lines that are read twice: once to check all of them, once to record them. Small input stays in memory, more goes to a file
//! in the data folder that nobody else sees.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

use domain::edit::LINE_BYTES_MAX;
use protocol::chain;
use protocol::ids::Hash;

use super::record::line_too_long;
use crate::entropy;
use crate::error::AgentError;
use crate::exit::Exit;

/// Input that is kept in memory, in bytes.
const MEMORY_BYTES_MAX: usize = 256 * 1024;

/// The input's lines that are not empty.
pub(super) struct Spool {
    content: Content,
    lines: u64,
    hash: Hash,
}

enum Content {
    Memory(Vec<u8>),
    File(File),
}

impl Spool {
    /// Reads all lines of `input`.
    pub(super) fn fill(folder: &Path, input: &mut dyn BufRead) -> Result<Self, AgentError> {
        let mut spool = Self { content: Content::Memory(Vec::new()), lines: 0, hash: Hash::NONE };
        let mut line = Vec::new();
        loop {
            line.clear();
            let limit = LINE_BYTES_MAX as u64 + 2;
            let read = input.take(limit).read_until(b'\n', &mut line).map_err(|error| unreadable(&error))?;
            if read == 0 {
                return Ok(spool);
            }
            let text = line.trim_ascii();
            if text.len() > LINE_BYTES_MAX {
                return Err(line_too_long());
            }
            if !text.is_empty() {
                spool.push(folder, text)?;
            }
        }
    }

    fn push(&mut self, folder: &Path, line: &[u8]) -> Result<(), AgentError> {
        self.lines += 1;
        self.hash = chain::extend(self.hash, line);
        if let Content::Memory(bytes) = &self.content
            && bytes.len() + line.len() > MEMORY_BYTES_MAX
        {
            let mut file = unnamed_file(folder)?;
            file.write_all(bytes).map_err(|error| not_spooled(&error))?;
            self.content = Content::File(file);
        }
        match &mut self.content {
            Content::Memory(bytes) => {
                bytes.extend_from_slice(line);
                bytes.push(b'\n');
                Ok(())
            }
            Content::File(file) => {
                let mut whole = line.to_vec();
                whole.push(b'\n');
                file.write_all(&whole).map_err(|error| not_spooled(&error))
            }
        }
    }

    /// How many lines there are.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// Hash of all lines.
    pub(super) fn hash(&self) -> Hash {
        self.hash
    }

    /// Reads from the first line.
    pub(super) fn reader(&mut self) -> Result<LineReader<'_>, AgentError> {
        let source: Box<dyn BufRead + '_> = match &mut self.content {
            Content::Memory(bytes) => Box::new(Cursor::new(bytes.as_slice())),
            Content::File(file) => {
                file.seek(SeekFrom::Start(0)).map_err(|error| not_spooled(&error))?;
                Box::new(BufReader::with_capacity(64 * 1024, file))
            }
        };
        Ok(LineReader { source, line: 0 })
    }
}

/// Reads a spool's lines with their numbers, from 1.
pub(super) struct LineReader<'a> {
    source: Box<dyn BufRead + 'a>,
    line: u64,
}

impl LineReader<'_> {
    pub(super) fn next_line(&mut self) -> Result<Option<(u64, String)>, AgentError> {
        let mut line = Vec::new();
        let read = self.source.read_until(b'\n', &mut line).map_err(|error| not_spooled(&error))?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        let text = String::from_utf8(line).map_err(|_| {
            let message = format!("line {} is not UTF-8 text", self.line);
            AgentError::new("not_utf8", message, "Nothing was recorded.", Exit::Refused)
        })?;
        Ok(Some((self.line, text.trim_end().to_owned())))
    }
}

/// A file that is gone with its last handle, even after a crash.
fn unnamed_file(folder: &Path) -> Result<File, AgentError> {
    let path = folder.join(format!("spool-{:016x}", entropy::number()));
    let open = || {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(file)
    };
    open().map_err(|error: std::io::Error| not_spooled(&error))
}

fn unreadable(error: &std::io::Error) -> AgentError {
    AgentError::new(
        "input_unreadable",
        format!("the edits cannot be read: {error}"),
        "Nothing was recorded.",
        Exit::Failed,
    )
}

fn not_spooled(error: &std::io::Error) -> AgentError {
    let message = format!("the edits cannot be kept in the data folder while they are checked: {error}");
    AgentError::new("spool_failed", message, "Nothing was recorded. Free some disk space.", Exit::Disk)
}
