//! The mark outside the engine: two checksummed slots, written in turn (`docs/journal-format.md`, "Mark").

use protocol::ids::{Hash, Sequence};

use super::Identity;
use super::piece::{read_identity, take, write_identity};
use super::storage::{SmallFile, Storage, StorageError};

const MAGIC: [u8; 4] = [0xF1, 0x6F, 0x70, 0x6D];
/// The version that is written and read.
pub(super) const VERSION: u8 = 1;
/// Bytes of one slot with its padding.
pub(super) const SLOT_BYTES: usize = 256;
/// Distance of the slots: each lies in a page of its own, so that one torn page never takes both.
const SLOT_DISTANCE_BYTES: usize = 4096;
/// Bytes of the whole file, preallocated.
pub(super) const MARK_BYTES: usize = 2 * SLOT_DISTANCE_BYTES;

/// A place in the journal: the hash is the one after the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) sequence: Sequence,
    pub(super) hash: Hash,
}

/// What the mark promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) identity: Identity,
    /// The last entry that was pruned.
    pub(super) floor: Point,
    /// The last entry that was acknowledged.
    pub(super) durable: Point,
    /// How many segments hold the entries from the floor to the durable one.
    pub(super) segments: u32,
}

/// The slots as they were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slots {
    /// The newer readable one.
    pub(super) mark: Mark,
    generation: u64,
    slot: usize,
    /// Whether the other slot could be read.
    pub(super) is_whole: bool,
}

/// The open mark.
#[derive(Debug)]
pub(super) struct MarkFile<F> {
    file: F,
    generation: u64,
    slot: usize,
}

impl<F: SmallFile> MarkFile<F> {
    /// Makes the file; there must be none.
    pub(super) fn create<S: Storage<Mark = F>>(storage: &mut S, mark: &Mark) -> Result<Self, StorageError> {
        let file = storage.create_mark(&first_content(mark))?;
        Ok(MarkFile { file, generation: 1, slot: 0 })
    }

    /// Goes on with a file whose slots were read. The newer one may be in the system's memory alone, where a process ended between
    /// writing and syncing it; on the disk before the other slot is written it never leaves a power cut without a sound one.
    pub(super) fn resume(mut file: F, slots: &Slots) -> Result<Self, StorageError> {
        file.sync()?;
        Ok(MarkFile { file, generation: slots.generation, slot: slots.slot })
    }

    /// Goes on with the same file after an error, opened and read anew. The newer slot may be one whose sync failed, so that it is
    /// read and is not on the disk: what is written first is the slot beside the one that is known to be there.
    pub(super) fn taken_up_again(&self, file: F, slots: &Slots) -> Self {
        MarkFile { file, generation: self.generation.max(slots.generation), slot: self.slot }
    }

    /// Writes the older slot and makes it durable.
    pub(super) fn write(&mut self, mark: &Mark) -> Result<(), StorageError> {
        let (generation, slot) = (self.generation + 1, 1 - self.slot);
        self.file.write_at((slot * SLOT_DISTANCE_BYTES) as u64, &encode(mark, generation))?;
        self.file.sync()?;
        self.generation = generation;
        self.slot = slot;
        Ok(())
    }
}

/// Content of a new mark: both slots hold it, so that one of them may be lost at once.
pub(super) fn first_content(mark: &Mark) -> Vec<u8> {
    let mut content = vec![0; MARK_BYTES];
    for (slot, generation) in [(0, 1), (1, 0)] {
        let start = slot * SLOT_DISTANCE_BYTES;
        if let Some(bytes) = content.get_mut(start..start + SLOT_BYTES) {
            bytes.copy_from_slice(&encode(mark, generation));
        }
    }
    content
}

/// Reads both slots; `None` if neither is sound.
pub(super) fn read_slots(content: &[u8]) -> Option<Slots> {
    let slot_at = |slot: usize| {
        let start = slot * SLOT_DISTANCE_BYTES;
        let (mark, generation) = decode(content.get(start..start + SLOT_BYTES)?)?;
        Some((mark, generation, slot))
    };
    let (first, second) = (slot_at(0), slot_at(1));
    let is_whole = first.is_some() && second.is_some();
    let newer = match (first, second) {
        (Some(first), Some(second)) if second.1 > first.1 => second,
        (Some(first), _) => first,
        (None, second) => second?,
    };
    Some(Slots { mark: newer.0, generation: newer.1, slot: newer.2, is_whole })
}

/// The version of a mark that a program of another release wrote; `None` for one of this version, or none at all. Where magic bytes,
/// version and checksum of a slot stand is the same in every version.
pub(super) fn other_version(content: &[u8]) -> Option<u8> {
    [0, SLOT_DISTANCE_BYTES].into_iter().find_map(|start| {
        let mut rest = checked(content.get(start..start + SLOT_BYTES)?)?;
        let [version] = (take(&mut rest)? == MAGIC).then(|| take(&mut rest))??;
        (version != VERSION).then_some(version)
    })
}

fn encode(mark: &Mark, generation: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.push(VERSION);
    bytes.extend_from_slice(&generation.to_le_bytes());
    for point in [mark.floor, mark.durable] {
        bytes.extend_from_slice(&point.sequence.0.to_le_bytes());
        bytes.extend_from_slice(&point.hash.0);
    }
    bytes.extend_from_slice(&mark.segments.to_le_bytes());
    write_identity(&mut bytes, &mark.identity);
    bytes.resize(SLOT_BYTES - 4, 0);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// What stands before the checksum of a slot, if that is right.
fn checked(slot: &[u8]) -> Option<&[u8]> {
    let (content, crc) = slot.split_last_chunk::<4>()?;
    (crc32fast::hash(content) == u32::from_le_bytes(*crc)).then_some(content)
}

fn decode(bytes: &[u8]) -> Option<(Mark, u64)> {
    let mut rest = checked(bytes)?;
    if take(&mut rest)? != MAGIC || take(&mut rest)? != [VERSION] {
        return None;
    }
    let generation = u64::from_le_bytes(take(&mut rest)?);
    let mut point = || {
        let sequence = Sequence(u64::from_le_bytes(take(&mut rest)?));
        Some(Point { sequence, hash: Hash(take(&mut rest)?) })
    };
    let (floor, durable) = (point()?, point()?);
    let segments = u32::from_le_bytes(take(&mut rest)?);
    let identity = read_identity(&mut rest)?;
    // No journal counts so far that nothing can follow.
    if floor.sequence > durable.sequence || durable.sequence.0 == u64::MAX {
        return None;
    }
    Some((Mark { identity, floor, durable, segments }, generation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::chain::Predecessor;
    use protocol::ids::{JournalId, SiteId};

    fn mark(durable: u64) -> Mark {
        let predecessor = Predecessor {
            journal: JournalId([1; 16]),
            sequence: Sequence(2),
            hash: Hash([3; 32]),
            promised: Sequence(4),
        };
        Mark {
            identity: Identity { site: SiteId(7), journal: JournalId([8; 16]), predecessor: Some(predecessor) },
            floor: Point { sequence: Sequence(1), hash: Hash([1; 32]) },
            durable: Point { sequence: Sequence(durable), hash: Hash([2; 32]) },
            segments: 3,
        }
    }

    #[test]
    fn every_flipped_byte_of_a_slot_is_noticed() {
        let slot = encode(&mark(9), 5);
        assert_eq!(decode(&slot), Some((mark(9), 5)));
        for index in 0..SLOT_BYTES {
            let mut damaged = slot.clone();
            damaged[index] ^= 0x10;
            assert_eq!(decode(&damaged), None, "byte {index}");
        }
    }

    /// A checksum can be made to fit, and what counts on from the last number there is overflows.
    #[test]
    fn a_slot_whose_entries_cannot_be_counted_is_none() {
        let floor = Point { sequence: Sequence(10), hash: Hash([1; 32]) };
        for mark in [mark(u64::MAX), Mark { floor, ..mark(9) }] {
            assert_eq!(decode(&encode(&mark, 5)), None);
        }
    }

    #[test]
    fn a_sound_slot_of_another_version_is_told_from_rubbish() {
        let mut content = first_content(&mark(3));
        assert_eq!(other_version(&content), None);

        let slot = &mut content[SLOT_DISTANCE_BYTES..SLOT_DISTANCE_BYTES + SLOT_BYTES];
        slot[4] = VERSION + 1;
        assert_eq!(other_version(&content), None, "its checksum is wrong: it is rubbish");
        let slot = &mut content[SLOT_DISTANCE_BYTES..SLOT_DISTANCE_BYTES + SLOT_BYTES];
        let checksum = crc32fast::hash(&slot[..SLOT_BYTES - 4]);
        slot[SLOT_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(other_version(&content), Some(VERSION + 1));
        assert_eq!(other_version(&[]), None);
    }

    #[test]
    fn the_newer_sound_slot_counts() {
        let mut content = first_content(&mark(3));
        assert!(read_slots(&content).unwrap().is_whole);
        content[SLOT_DISTANCE_BYTES..SLOT_DISTANCE_BYTES + SLOT_BYTES].copy_from_slice(&encode(&mark(9), 2));
        assert_eq!(read_slots(&content).unwrap().mark, mark(9));
        content[SLOT_DISTANCE_BYTES] ^= 1;
        let slots = read_slots(&content).unwrap();
        assert_eq!((slots.mark, slots.is_whole), (mark(3), false));
        content[0] ^= 1;
        assert_eq!(read_slots(&content), None);
    }
}
