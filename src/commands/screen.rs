//! Where commands print: results to standard output, progress to standard error.

use std::io::{self, Write};

use serde_json::Value;

/// The two streams, and how they are to be used.
pub struct Screen<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    is_json: bool,
    is_terminal: bool,
    is_redrawn: bool,
}

impl<'a> Screen<'a> {
    /// `is_terminal` says whether a person watches `err`, so that a line may be redrawn.
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write, is_json: bool, is_terminal: bool) -> Self {
        Self { out, err, is_json, is_terminal, is_redrawn: false }
    }

    /// Says whether a person watches `out`, so that what stands there may be drawn anew.
    #[must_use]
    pub fn with_redrawing(self, is_redrawn: bool) -> Self {
        Self { is_redrawn, ..self }
    }

    /// Prints text as it is. Whoever closed the pipe has read enough.
    pub(super) fn print(&mut self, text: &str) {
        let _ = self.try_print(text);
    }

    /// Prints text, where it matters that all of it arrives.
    pub(super) fn try_print(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Prints a result: as one line of JSON if that was asked for, else as the words that `text` makes of it.
    pub(super) fn result(&mut self, value: &Value, text: impl FnOnce(&Value) -> String) {
        let text = if self.is_json { format!("{value}\n") } else { text(value) };
        self.print(&text);
    }

    /// Whether results are printed as JSON.
    pub(super) fn is_json(&self) -> bool {
        self.is_json
    }

    /// Whether progress is redrawn on one line.
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Whether results may be drawn anew in place of what stands there.
    pub(super) fn is_redrawn(&self) -> bool {
        self.is_redrawn && !self.is_json
    }

    /// Prints to standard error.
    pub(super) fn note(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush());
    }
}
