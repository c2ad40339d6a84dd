//! The low traits under the journal: numbered segments (each an ordered map) and one small file, the mark.
//!
//! Everything above (groups, chain, opening, pruning, salvage) is written once and runs on every engine. What an engine may do
//! wrong is part of the contract, because sled does it: a batch that was appended may be gone after a power cut unless
//! [`Segment::sync`] answered `Ok` since; an append may answer `Ok` after the disk is full; an error stays with its handle;
//! a damaged segment may fail to open, or open with entries missing. No engine may panic.

// Every error of these traits is a `StorageError`, described there.
#![allow(clippy::missing_errors_doc)]

use std::fmt;
use std::io;
use std::ops::ControlFlow;

/// Longest value that an engine is given, in bytes.
///
/// sled moves pages above a quarter of its own segment size into files that it never syncs. A leaf holds up to 17 values,
/// so 17 of these with keys and headers must stay below 64 KiB / 4; see `sled_storage::ENGINE_SEGMENT_BYTES`.
pub const VALUE_BYTES_MAX: usize = 900;

/// Most bytes of values that the journal appends in one batch.
pub const BATCH_BYTES_MAX: usize = 128 * 1024;

/// Where a value lies in a segment: the entry's sequence and the piece of it. Sorts as the bytes of [`Key::to_bytes`] do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Sequence of the entry; 0 for the segment's header.
    pub sequence: u64,
    /// Index of the piece, from 0.
    pub piece: u16,
}

impl Key {
    /// The segment's header.
    pub const HEADER: Key = Key { sequence: 0, piece: 0 };

    /// First piece of an entry.
    pub const fn first_of(sequence: u64) -> Key {
        Key { sequence, piece: 0 }
    }

    /// Big-endian sequence, then big-endian piece, so that bytes sort as keys do.
    pub fn to_bytes(self) -> [u8; 10] {
        let mut bytes = [0; 10];
        let (sequence, piece) = bytes.split_at_mut(8);
        sequence.copy_from_slice(&self.sequence.to_be_bytes());
        piece.copy_from_slice(&self.piece.to_be_bytes());
        bytes
    }

    /// The key behind some bytes; `None` if they are not exactly 10.
    pub fn from_bytes(bytes: &[u8]) -> Option<Key> {
        let (sequence, piece) = bytes.split_first_chunk::<8>()?;
        Some(Key {
            sequence: u64::from_be_bytes(*sequence),
            piece: u16::from_be_bytes(<[u8; 2]>::try_from(piece).ok()?),
        })
    }
}

/// Which journal of a [`Storage`] is meant: the one in use, or one that was set aside because it was damaged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The journal in use.
    Live,
    /// A journal that was set aside under this name by [`Storage::replace_all`].
    Aside(String),
}

/// Receives a key and its value; answers whether to go on.
pub type Visit<'a> = dyn FnMut(Key, &[u8]) -> ControlFlow<()> + 'a;

/// Fills a segment before it takes its place.
pub type Fill<'a, T> = dyn FnMut(&mut T) -> Result<(), StorageError> + 'a;

/// A folder of segments and a mark.
pub trait Storage {
    /// An open segment.
    type Segment: Segment;
    /// The open mark.
    type Mark: SmallFile;

    /// Numbers of the segments that stand at a place, ascending. For [`Place::Live`] it first finishes or undoes what a
    /// crash left half done by [`Storage::write_segment`] or [`Storage::replace_all`].
    fn segments(&mut self, place: &Place) -> Result<Vec<u64>, StorageError>;

    /// Makes a segment with the content that `fill` appends and opens it. Content, files and folders are synced before it
    /// takes its place, in one step, so a crash leaves either what was there before or the whole new one. A segment of that
    /// number that exists is replaced; it must not be open.
    fn write_segment(&mut self, number: u64, fill: &mut Fill<'_, Self::Segment>)
    -> Result<Self::Segment, StorageError>;

    /// Opens a segment that exists and never creates one. What it held before it was opened stays readable with
    /// [`Storage::read_raw`] until [`Storage::confirm_segment`].
    fn open_segment(&mut self, number: u64) -> Result<Self::Segment, StorageError>;

    /// Says that the opened segment was checked and found whole.
    fn confirm_segment(&mut self, number: u64) -> Result<(), StorageError>;

    /// Deletes a segment; it must not be open. One that is not there is no error.
    fn remove_segment(&mut self, number: u64) -> Result<(), StorageError>;

    /// Hands out the bytes in which a segment keeps its values, in order and in parts of any size. Values stand in them
    /// verbatim, some of them more than once, between bytes of the engine. Changes nothing.
    fn read_raw(&mut self, place: &Place, number: u64, visit: &mut dyn FnMut(&[u8])) -> Result<(), StorageError>;

    /// Bytes that a segment takes on the disk; 0 if it is missing.
    fn segment_bytes(&mut self, number: u64) -> Result<u64, StorageError>;

    /// Makes the mark with this content, whole and synced or not at all. There must be none yet.
    fn create_mark(&mut self, content: &[u8]) -> Result<Self::Mark, StorageError>;

    /// Opens the mark; `None` if there is none.
    fn open_mark(&mut self) -> Result<Option<Self::Mark>, StorageError>;

    /// Reads the mark of a journal; `None` if there is none.
    fn read_mark(&mut self, place: &Place) -> Result<Option<Vec<u8>>, StorageError>;

    /// Sets everything aside under a name and starts again with no segment and this mark; a crash leaves either the old or the
    /// new state. The name must not be taken.
    fn replace_all(&mut self, name: &str, mark: &[u8]) -> Result<(), StorageError>;

    /// Free bytes on the disk for this user.
    fn free_bytes(&mut self) -> Result<u64, StorageError>;
}

/// An ordered map that is only appended to.
pub trait Segment {
    /// Adds values, all or none of which are there after a crash. Not durable.
    fn append(&mut self, batch: &[(Key, Vec<u8>)]) -> Result<(), StorageError>;

    /// Makes everything appended so far durable, against power loss too. After an error the handle is of no use.
    fn sync(&mut self) -> Result<(), StorageError>;

    /// Visits values in the order of their keys, from a key on. Stops at the first error.
    fn read(&mut self, from: Key, visit: &mut Visit<'_>) -> Result<(), StorageError>;
}

/// A file of fixed size that is overwritten in place.
pub trait SmallFile {
    /// The whole content.
    fn read_all(&mut self) -> Result<Vec<u8>, StorageError>;

    /// Overwrites some bytes. Not durable; a crash may keep any part of it.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError>;

    /// Makes what was written durable.
    fn sync(&mut self) -> Result<(), StorageError>;
}

/// What the disk or the engine answered.
#[derive(Debug)]
pub enum StorageError {
    /// The operating system refused. The data may be in order.
    Io {
        /// What was being done, with the path.
        action: String,
        /// Its answer.
        source: io::Error,
    },
    /// The engine refused or panicked over what it found: the segment cannot be used as it is.
    Engine {
        /// What was being done, with the path.
        action: String,
        /// What the engine said.
        detail: String,
    },
    /// A folder or file that must be there is missing or empty.
    Missing {
        /// What is missing.
        what: String,
    },
}

impl StorageError {
    /// Whether the content of a segment is at fault, so that trying again does not help.
    pub fn is_damage(&self) -> bool {
        match self {
            StorageError::Io { .. } => false,
            StorageError::Engine { .. } | StorageError::Missing { .. } => true,
        }
    }

    /// Whether the disk is full.
    pub fn is_disk_full(&self) -> bool {
        match self {
            StorageError::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            StorageError::Engine { .. } | StorageError::Missing { .. } => false,
        }
    }

    /// Wraps an answer of the operating system.
    pub fn io(action: impl Into<String>, source: io::Error) -> StorageError {
        StorageError::Io { action: action.into(), source }
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageError::Io { action, source } => write!(formatter, "could not {action}: {source}"),
            StorageError::Engine { action, detail } => write!(formatter, "could not {action}: {detail}"),
            StorageError::Missing { what } => write!(formatter, "{what} is missing or empty"),
        }
    }
}

impl std::error::Error for StorageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StorageError::Io { source, .. } => Some(source),
            StorageError::Engine { .. } | StorageError::Missing { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_their_bytes_do_and_come_back() {
        let keys = [Key::HEADER, Key::first_of(1), Key { sequence: 1, piece: 256 }, Key::first_of(256)];

        for pair in keys.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].to_bytes() < pair[1].to_bytes());
        }
        for key in keys {
            assert_eq!(Key::from_bytes(&key.to_bytes()), Some(key));
        }
        assert_eq!(Key::from_bytes(&[0; 9]), None);
        assert_eq!(Key::from_bytes(&[0; 11]), None);
    }
}
