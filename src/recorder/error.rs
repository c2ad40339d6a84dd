//! Why edits were not recorded.

use std::fmt;

use domain::catalogue::UnknownTable;
use domain::edit::Edit;
use domain::json::JsonError;
use domain::judge::Refusal;
use protocol::bytes::DecodeError;
use protocol::limits;

use crate::error::AgentError;
use crate::exit::Exit;
use crate::journal::JournalError;
use crate::local_copy::LocalCopyError;

/// An edit that breaks a rule; nothing of its group was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditRefusal {
    /// Which edit of the group, from 0.
    pub index: usize,
    /// Stable code, such as `not_store_holder`.
    pub code: String,
    /// One sentence with the value, the limit and what to do.
    pub message: String,
}

impl EditRefusal {
    pub(super) fn of_rule(index: usize, refusal: &Refusal) -> Self {
        Self { index, code: refusal.code.as_str().to_owned(), message: refusal.reason.clone() }
    }

    pub(super) fn unknown_table(index: usize, error: &UnknownTable) -> Self {
        Self { index, code: error.code().to_owned(), message: error.to_string() }
    }

    pub(super) fn bad_data(index: usize, edit: &Edit, error: &JsonError) -> Self {
        let message = format!("{} {}: {error}", edit.table, edit.id);
        Self { index, code: error.code().to_owned(), message }
    }

    pub(super) fn waiting(index: usize) -> Self {
        Self {
            index,
            code: "header_missing".to_owned(),
            message: "the record's header is not here: record it first".to_owned(),
        }
    }

    pub(crate) fn group_entries(found: usize) -> Self {
        let message = format!(
            "the group has {found} edits, the limit is {}: record it in several groups",
            limits::GROUP_ENTRIES_MAX
        );
        Self { index: 0, code: "group_too_large".to_owned(), message }
    }

    /// Of what would go with an asked edit: the other half of a transfer between two stores of this site.
    pub(super) fn of_other_half(self, asked: usize) -> Self {
        let message = format!(
            "with it goes the other half of the transfer, in the store that is active here too, and that cannot be recorded: {}. Record \
             lines before the edit that finalises, which is then a group of its own",
            self.message
        );
        Self { index: asked, message, ..self }
    }

    pub(super) fn group_bytes(found: usize) -> Self {
        let message = format!(
            "the group has more than {found} bytes, the limit is {}: record it in several groups",
            limits::GROUP_BYTES_MAX
        );
        Self { index: 0, code: "group_too_large".to_owned(), message }
    }
}

/// A group that was not recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordError {
    /// It breaks a rule.
    Refused(EditRefusal),
    /// More groups wait than [`super::QUEUE_GROUPS_MAX`].
    QueueFull,
    /// A journaled entry cannot be read: written by a newer program.
    Entry(DecodeError),
    /// The journal, the local copy or the input failed. What was acknowledged before is safe.
    Device(AgentError),
}

impl fmt::Display for RecordError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => formatter.write_str(&refusal.message),
            Self::QueueFull => {
                write!(formatter, "more than {} groups wait to be recorded", super::QUEUE_GROUPS_MAX)
            }
            Self::Entry(error) => write!(formatter, "an entry of the journal cannot be read: {error}"),
            Self::Device(error) => formatter.write_str(&error.message),
        }
    }
}

impl std::error::Error for RecordError {}

impl RecordError {
    /// Whether there was no room for it, in the journal or on the disk.
    pub(super) fn is_for_want_of_room(&self) -> bool {
        matches!(self, Self::Device(error) if matches!(error.code.as_str(), "journal_full" | "disk_full"))
    }
}

impl From<EditRefusal> for RecordError {
    fn from(refusal: EditRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<AgentError> for RecordError {
    fn from(error: AgentError) -> Self {
        Self::Device(error)
    }
}

impl From<JournalError> for RecordError {
    fn from(error: JournalError) -> Self {
        Self::Device(error.into())
    }
}

impl From<LocalCopyError> for RecordError {
    fn from(error: LocalCopyError) -> Self {
        Self::Device(error.into())
    }
}

impl From<RecordError> for AgentError {
    fn from(error: RecordError) -> Self {
        let message = error.to_string();
        match error {
            RecordError::Refused(refusal) => Self::new(&refusal.code, message, "Nothing was recorded.", Exit::Refused),
            RecordError::QueueFull => Self::new("queue_full", message, "Try again when fewer do.", Exit::Busy),
            RecordError::Entry(_) => Self::new(
                "journal_entry_unreadable",
                message,
                "A newer program wrote it: install that version again.",
                Exit::Disk,
            ),
            RecordError::Device(error) => error,
        }
    }
}
