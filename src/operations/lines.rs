//! The lines of an input, read as often as needed: once to count and name them, once to check them, once to record them.

use std::io::{BufRead as _, Read as _};

use domain::edit::LINE_BYTES_MAX;
use protocol::chain;
use protocol::ids::Hash;

use super::Input;
use crate::error::AgentError;
use crate::exit::Exit;

/// The lines that are not empty.
pub struct Lines<'a> {
    input: &'a mut Input,
    count: u64,
    hash: Hash,
}

impl<'a> Lines<'a> {
    /// Reads everything once.
    ///
    /// # Errors
    /// `line_too_long`, `not_utf8` with the line's number, `input_unreadable`.
    pub fn survey(input: &'a mut Input) -> Result<Self, AgentError> {
        let mut lines = Self { input, count: 0, hash: Hash::NONE };
        let mut reader = lines.reader()?;
        let (mut count, mut hash) = (0, Hash::NONE);
        while let Some((number, text)) = reader.next_line()? {
            count = number;
            hash = chain::extend(hash, text.as_bytes());
        }
        (lines.count, lines.hash) = (count, hash);
        Ok(lines)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Hash of all of them.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Reads from the first line.
    ///
    /// # Errors
    /// `input_unreadable`.
    pub fn reader(&mut self) -> Result<LineReader<'_>, AgentError> {
        self.input.rewind().map_err(|error| unreadable(&error))?;
        Ok(LineReader { input: self.input, number: 0 })
    }
}

/// Reads lines with their numbers, from 1; empty ones are passed over and not counted.
pub struct LineReader<'a> {
    input: &'a mut Input,
    number: u64,
}

impl LineReader<'_> {
    /// The next line, without the blanks around it; `None` at the end.
    ///
    /// # Errors
    /// As [`Lines::survey`].
    pub fn next_line(&mut self) -> Result<Option<(u64, String)>, AgentError> {
        loop {
            let mut line = Vec::new();
            let limit = LINE_BYTES_MAX as u64 + 2;
            let read = self.input.by_ref().take(limit).read_until(b'\n', &mut line);
            if read.map_err(|error| unreadable(&error))? == 0 {
                return Ok(None);
            }
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            self.number += 1;
            if text.len() > LINE_BYTES_MAX {
                return Err(self.refused("line_too_long", &format!("has more than {LINE_BYTES_MAX} bytes")));
            }
            return match std::str::from_utf8(text) {
                Ok(text) => Ok(Some((self.number, text.to_owned()))),
                Err(_) => Err(self.refused("not_utf8", "is not UTF-8 text")),
            };
        }
    }

    fn refused(&self, code: &str, problem: &str) -> AgentError {
        AgentError::new(code, format!("line {} {problem}", self.number), "Nothing was recorded.", Exit::Refused)
    }
}

fn unreadable(error: &std::io::Error) -> AgentError {
    AgentError::new(
        "input_unreadable",
        format!("the edits cannot be read: {error}"),
        "Nothing was recorded.",
        Exit::Failed,
    )
}
