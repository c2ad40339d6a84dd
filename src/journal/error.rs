//! What the journal answers when it cannot do what it was asked.

use std::fmt;

use protocol::ids::{JournalId, Sequence};
use protocol::limits;

use super::piece::PieceFault;
use super::storage::StorageError;
use crate::error::Explained;
use crate::exit::Exit;

/// An answer of the journal. [`JournalError::code`] is stable.
#[derive(Debug)]
pub enum JournalError {
    /// There is no journal here.
    Missing,
    /// There is a journal here, and a new one was to be made.
    AlreadyThere,
    /// A program of another release wrote it, and this one does not read its version. Nothing was changed.
    Version {
        /// The version that was found.
        found: u8,
    },
    /// Acknowledged entries cannot be read. [`super::Journal::replace_damaged`] goes on under a new id.
    Damaged(DamageReport),
    /// The journal has reached its limit.
    JournalFull {
        /// Bytes on the disk.
        bytes: u64,
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// The disk has less free space than the reserve, or the system said that it is full.
    DiskFull {
        /// Free bytes, if the system said.
        free_bytes: Option<u64>,
        /// The reserve in bytes.
        reserve_bytes: u64,
    },
    /// An entry is larger than `limits::ENTRY_BYTES_MAX`.
    EntryTooLarge {
        /// Its size in bytes.
        bytes: usize,
    },
    /// A group has more entries or bytes than a group may have.
    GroupTooLarge {
        /// Its entries.
        entries: usize,
        /// Their size in bytes.
        bytes: usize,
    },
    /// What was to be appended is empty or its last entry does not end a group.
    GroupOpen,
    /// A position outside of what the journal keeps was asked for.
    OutOfRange {
        /// What was asked for.
        sequence: Sequence,
        /// The last pruned entry.
        floor: Sequence,
        /// The last durable entry.
        durable: Sequence,
    },
    /// Something was appended and not synced, where nothing may be.
    NotSynced,
    /// An earlier error left it unknown what is on the disk; the journal must be closed and opened again.
    Poisoned {
        /// The earlier error.
        reason: String,
    },
    /// The disk or the engine refused.
    Storage(StorageError),
}

/// Exactly what was found damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamageReport {
    /// The journal, if its id could still be read.
    pub journal: Option<JournalId>,
    /// The last entry that had been acknowledged, if the mark could be read.
    pub promised: Option<Sequence>,
    /// The segment in which it was found.
    pub segment: Option<u64>,
    /// What is wrong.
    pub damage: Damage,
}

/// Kinds of damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// There are segments and no mark.
    MarkMissing,
    /// Neither slot of the mark can be read.
    MarkUnreadable,
    /// The mark promises more segments than there are, or others.
    SegmentsMissing {
        /// How many the mark promises.
        promised: u32,
        /// How many there are.
        found: usize,
    },
    /// The engine does not open or read the segment, and its bytes do not hold all its entries.
    SegmentUnreadable {
        /// What the engine said.
        detail: String,
    },
    /// The segment is not one of this journal, or not the one that its name says.
    SegmentForeign,
    /// An entry is damaged.
    Entry {
        /// Its sequence.
        sequence: Sequence,
        /// What is wrong with it.
        fault: PieceFault,
    },
    /// Entries that were acknowledged are not there.
    EntriesMissing {
        /// The first of them.
        first: Sequence,
        /// The last of them.
        last: Sequence,
    },
    /// The last acknowledged entry is there with another hash than the mark promised.
    HashDiffers {
        /// Its sequence.
        sequence: Sequence,
    },
}

impl JournalError {
    /// Stable name for programs and documents.
    pub fn code(&self) -> &'static str {
        match self {
            JournalError::Missing => "journal_missing",
            JournalError::AlreadyThere => "journal_exists",
            JournalError::Version { .. } => "journal_version",
            JournalError::Damaged(_) => "journal_damaged",
            JournalError::JournalFull { .. } => "journal_full",
            JournalError::DiskFull { .. } => "disk_full",
            JournalError::EntryTooLarge { .. } => "entry_too_large",
            JournalError::GroupTooLarge { .. } => "group_too_large",
            JournalError::GroupOpen => "group_open",
            JournalError::OutOfRange { .. } => "journal_out_of_range",
            JournalError::NotSynced => "journal_not_synced",
            JournalError::Poisoned { .. } => "journal_poisoned",
            JournalError::Storage(_) => "journal_storage",
        }
    }
}

impl Explained for JournalError {
    fn code(&self) -> &str {
        JournalError::code(self)
    }

    fn advice(&self) -> &str {
        match self {
            JournalError::Missing | JournalError::AlreadyThere | JournalError::GroupOpen | JournalError::NotSynced => {
                ""
            }
            JournalError::Version { .. } => {
                "Run the version of the agent that wrote it. Nothing was changed; do not delete the data folder."
            }
            JournalError::Damaged(_) | JournalError::Poisoned { .. } => {
                "Start the agent again: it repairs what it can and names what is lost. Do not delete the data folder."
            }
            JournalError::JournalFull { .. } => "Sync with central; what it has received makes room.",
            JournalError::DiskFull { .. } => "Nothing was recorded. Free some disk space.",
            JournalError::EntryTooLarge { .. } | JournalError::GroupTooLarge { .. } => "Nothing was recorded.",
            JournalError::OutOfRange { .. } => {
                "Central asks for entries that this device has given up: tell the administrator of the central server."
            }
            JournalError::Storage(_) => "What was acknowledged is safe. Check the disk and start the agent again.",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            JournalError::EntryTooLarge { .. } | JournalError::GroupTooLarge { .. } | JournalError::GroupOpen => {
                Exit::Refused
            }
            JournalError::OutOfRange { .. } => Exit::Failed,
            JournalError::Version { .. } => Exit::Config,
            JournalError::Missing
            | JournalError::AlreadyThere
            | JournalError::NotSynced
            | JournalError::Damaged(_)
            | JournalError::Poisoned { .. }
            | JournalError::JournalFull { .. }
            | JournalError::DiskFull { .. }
            | JournalError::Storage(_) => Exit::Disk,
        }
    }
}

impl From<StorageError> for JournalError {
    fn from(error: StorageError) -> Self {
        JournalError::Storage(error)
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Missing => {
                formatter.write_str("there is no journal in this data folder; initialise the site first")
            }
            JournalError::AlreadyThere => {
                formatter.write_str("this data folder holds a journal already; it is never overwritten")
            }
            JournalError::Version { found } => {
                write!(formatter, "the journal has version {found}; this agent reads version {}", super::mark::VERSION)
            }
            JournalError::Damaged(report) => report.fmt(formatter),
            JournalError::JournalFull { bytes, limit_bytes } => write!(
                formatter,
                "the journal takes {bytes} bytes and its limit is {limit_bytes}; sync with central to make room"
            ),
            JournalError::DiskFull { free_bytes: Some(free_bytes), reserve_bytes } => write!(
                formatter,
                "the disk has {free_bytes} bytes free and {reserve_bytes} are kept in reserve; nothing was recorded; \
                 free some space or sync with central"
            ),
            JournalError::DiskFull { free_bytes: None, reserve_bytes } => {
                write!(formatter, "the disk is full; free at least {reserve_bytes} bytes, then open the journal again")
            }
            JournalError::EntryTooLarge { bytes } => write!(
                formatter,
                "an entry has {bytes} bytes and the limit is {}; keep photos and scans as files",
                limits::ENTRY_BYTES_MAX
            ),
            JournalError::GroupTooLarge { entries, bytes } => write!(
                formatter,
                "a group has {entries} entries of {bytes} bytes and the limits are {} and {}; record it in smaller groups",
                limits::GROUP_ENTRIES_MAX,
                limits::GROUP_BYTES_MAX
            ),
            JournalError::GroupOpen => {
                formatter.write_str("what is recorded must hold at least one entry and its last one must end a group")
            }
            JournalError::OutOfRange { sequence, floor, durable } => write!(
                formatter,
                "entry {sequence} was asked for and the journal keeps those after {floor} up to {durable}"
            ),
            JournalError::NotSynced => formatter.write_str("entries wait to be synced; sync the journal first"),
            JournalError::Poisoned { reason } => {
                write!(formatter, "the journal must be opened again after an earlier error: {reason}")
            }
            JournalError::Storage(error) => write!(formatter, "the journal's storage failed: {error}"),
        }
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            JournalError::Storage(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for DamageReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.journal {
            Some(journal) => write!(formatter, "journal {journal} is damaged")?,
            None => formatter.write_str("the journal is damaged")?,
        }
        if let Some(segment) = self.segment {
            write!(formatter, " in segment {segment}")?;
        }
        write!(formatter, ": {}", self.damage)?;
        if let Some(promised) = self.promised {
            write!(formatter, " (acknowledged up to {promised})")?;
        }
        formatter.write_str("; what is readable can be saved under a new journal id")
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::MarkMissing => formatter.write_str("its mark is missing"),
            Damage::MarkUnreadable => formatter.write_str("neither slot of its mark can be read"),
            Damage::SegmentsMissing { promised, found } => {
                write!(formatter, "{promised} segments were promised and {found} are there")
            }
            Damage::SegmentUnreadable { detail } => write!(formatter, "the segment cannot be opened ({detail})"),
            Damage::SegmentForeign => formatter.write_str("the segment belongs elsewhere"),
            Damage::Entry { sequence, fault } => write!(formatter, "entry {sequence}: {fault}"),
            Damage::EntriesMissing { first, last } => write!(formatter, "entries {first} to {last} are missing"),
            Damage::HashDiffers { sequence } => {
                write!(formatter, "entry {sequence} is not the one that was acknowledged")
            }
        }
    }
}
