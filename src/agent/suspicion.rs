//! What a running agent found, and the next opening is to see to: the file `suspicion` of the data folder.

use std::fmt::Write as _;
use std::path::Path;

use protocol::ids::JournalId;

use crate::durable_file::{self, FileError};
use crate::error::AgentError;
use crate::hex;
use crate::sync_runner::LOST_HISTORY;

/// What a running agent has found damaged; the next opening looks closer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Suspicion {
    /// Every entry of the journals is to be checked.
    pub journals: bool,
    /// The local copy is damaged.
    pub local_copy: bool,
    /// Central has lost entries that this shared journal has let go of: another one takes its place, and what this site owns is
    /// sent again.
    pub lost_history: Option<JournalId>,
}

impl Suspicion {
    /// What an error says of an agent whose shared journal is this one, if it runs.
    pub fn of(error: &AgentError, journal: Option<JournalId>) -> Self {
        Self {
            journals: error.code == "journal_damaged",
            local_copy: error.code == "local_copy_damaged",
            lost_history: journal.filter(|_| error.code == LOST_HISTORY),
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            journals: self.journals || other.journals,
            local_copy: self.local_copy || other.local_copy,
            lost_history: other.lost_history.or(self.lost_history),
        }
    }

    /// What the file says; nothing, if it is not there or cannot be read.
    pub(super) fn read(path: &Path) -> Self {
        Self::from_words(&std::fs::read_to_string(path).unwrap_or_default())
    }

    /// Replaces the file.
    pub(super) fn write(self, path: &Path) -> Result<(), FileError> {
        durable_file::replace_private(path, self.to_words().as_bytes())
    }

    fn to_words(self) -> String {
        let mut words = String::new();
        for (is_suspect, word) in [(self.journals, "journal "), (self.local_copy, "local_copy ")] {
            words += if is_suspect { word } else { "" };
        }
        if let Some(journal) = self.lost_history {
            let _infallible = write!(words, "lost_history={journal} ");
        }
        words
    }

    fn from_words(words: &str) -> Self {
        let has = |wanted: &str| words.split_whitespace().any(|word| word == wanted);
        let lost = words.split_whitespace().find_map(|word| word.strip_prefix("lost_history="));
        let journal = lost.and_then(hex::array).map(JournalId);
        Self { journals: has("journal"), local_copy: has("local_copy"), lost_history: journal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_suspected_is_read_as_it_was_written() {
        let both = Suspicion { journals: true, local_copy: true, lost_history: Some(JournalId([7; 16])) };
        for suspicion in [
            Suspicion::default(),
            both,
            Suspicion { journals: false, ..both },
            Suspicion { lost_history: None, ..both },
        ] {
            assert_eq!(Suspicion::from_words(&suspicion.to_words()), suspicion);
        }
        assert_eq!(Suspicion::from_words("journal_damaged lost_history=xyz"), Suspicion::default());
    }
}
