//! Looking through a journal's bytes without opening it: nothing is changed, whatever state it is in, so it may be damaged, set
//! aside, or lie on a disk that takes no writes.
//!
//! It goes by the pieces in the bytes of each segment, not by what the engine makes of them: an entry whose pieces are all there
//! is an entry that opening can give back (`docs/journal-format.md`, "Opening").

use protocol::ids::{Hash, Sequence};

use super::error::JournalError;
use super::mark::{self, Mark};
use super::open::refuse_other_version;
use super::piece::SegmentHeader;
use super::salvage::Loss;
use super::storage::{Place, Storage};
use super::walk::Scan;
use super::{Head, Identity, Stored};

/// What was found at a place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inspection {
    /// Which journal it is, by its mark or else by the header of a segment.
    pub identity: Option<Identity>,
    /// What the mark promises; `None` if no slot of it can be read.
    pub promise: Option<Promise>,
    /// Whether one slot of the mark is unreadable; opening writes it again.
    pub is_mark_torn: bool,
    /// Segments that are there.
    pub segments: u64,
    /// Acknowledged entries that are there with their checksums right.
    pub entries: u64,
    /// Entries above the mark: nobody was told of them.
    pub unacknowledged: u64,
    /// Acknowledged entries that are not whole, in runs.
    pub lost: Vec<Loss>,
    /// Entries whose link to the one before or behind is broken.
    pub unlinked: Vec<Sequence>,
    /// Segments that belong to another journal.
    pub foreign: Vec<u64>,
}

/// What a mark promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// The last entry that was let go of.
    pub floor: Sequence,
    /// The last acknowledged entry.
    pub durable: Head,
}

/// One thing that was found, in the order of sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A whole entry.
    Entry {
        /// The entry.
        stored: Stored,
        /// Whether what follows it (the next entry, the next segment or the mark) names exactly this entry.
        is_proved: bool,
        /// Whether somebody was told of it.
        is_acknowledged: bool,
    },
    /// Some pieces of an entry that is not whole, with their indexes.
    Pieces {
        /// The entry's sequence.
        sequence: Sequence,
        /// Index and bytes of each.
        pieces: Vec<(u16, Vec<u8>)>,
    },
}

impl Inspection {
    /// Whether everything that was acknowledged is there and proved.
    pub fn is_whole(&self) -> bool {
        self.promise.is_some() && self.lost.is_empty() && self.unlinked.is_empty() && self.foreign.is_empty()
    }

    fn lose(&mut self, first: Sequence, last: Sequence) {
        if first > last {
            return;
        }
        match self.lost.last_mut().filter(|run| run.last.next() == first) {
            Some(run) => run.last = last,
            None => self.lost.push(Loss { first, last }),
        }
    }
}

/// Goes through a journal, hands out what is there and says what is not. `None` if there is nothing at all. Memory: two
/// segments.
///
/// # Errors
/// What the disk says.
pub fn inspect<S: Storage>(
    storage: &mut S,
    place: &Place,
    visit: &mut dyn FnMut(Found),
) -> Result<Option<Inspection>, JournalError> {
    let numbers = storage.segments(place)?;
    let content = storage.read_mark(place)?;
    if numbers.is_empty() && content.is_none() {
        return Ok(None);
    }
    refuse_other_version(content.as_deref().unwrap_or_default())?;
    let slots = content.as_deref().and_then(mark::read_slots);
    let mark = slots.map(|slots| slots.mark);
    let mut walk = Walk {
        inspection: Inspection {
            identity: mark.map(|mark| mark.identity),
            promise: mark.map(|mark| Promise {
                floor: mark.floor.sequence,
                durable: Head {
                    journal: mark.identity.journal,
                    sequence: mark.durable.sequence,
                    hash: mark.durable.hash,
                },
            }),
            is_mark_torn: slots.is_some_and(|slots| !slots.is_whole),
            segments: numbers.len() as u64,
            ..Inspection::default()
        },
        mark,
        next: mark.map(|mark| mark.floor.sequence.next()),
        hash: mark.map(|mark| mark.floor.hash),
        waiting: None,
        visit,
    };
    for &number in &numbers {
        walk.segment(number, &Scan::of(storage, place, number)?);
    }
    Ok(Some(walk.end()))
}

struct Walk<'a> {
    inspection: Inspection,
    mark: Option<Mark>,
    /// The entry that is due; `None` before the first, if the mark does not say it.
    next: Option<Sequence>,
    /// Hash before it, where it is known.
    hash: Option<Hash>,
    /// The last entry, until what follows it is known.
    waiting: Option<Stored>,
    visit: &'a mut dyn FnMut(Found),
}

impl Walk<'_> {
    fn segment(&mut self, number: u64, scan: &Scan) {
        if let Some(header) = &scan.header {
            self.inspection.identity.get_or_insert(header.identity);
            if self.inspection.identity != Some(header.identity) || header.first.0 != number {
                self.inspection.foreign.push(number);
                return;
            }
        }
        let first = Sequence(number);
        let next = *self.next.get_or_insert(first);
        let Some(last) = scan.highest() else { return };
        if last < next {
            // Let go of: a crash came before its folder was deleted.
            return;
        }
        if first > next {
            self.lose(next, Sequence(number - 1));
        }
        self.begin_segment(scan.header.as_ref(), first);
        let mut sequence = first.max(next);
        while sequence <= last {
            match scan.entry(sequence) {
                Some(stored) => self.entry(stored),
                None => self.broken(sequence, scan),
            }
            sequence = sequence.next();
        }
        self.next = Some(sequence);
    }

    /// The header names the hash before its first entry, which proves the entry before that.
    fn begin_segment(&mut self, header: Option<&SegmentHeader>, first: Sequence) {
        let Some(header) = header else { return };
        if self.waiting.as_ref().is_some_and(|waiting| waiting.sequence.next() == first) {
            self.give_waiting(Some(header.hash_before));
        }
        self.hash = self.hash.or(Some(header.hash_before));
    }

    fn entry(&mut self, stored: Stored) {
        if self.hash.is_some_and(|hash| hash != stored.hash_before) {
            self.inspection.unlinked.push(stored.sequence);
        }
        self.give_waiting(Some(stored.hash_before));
        self.hash = Some(stored.hash);
        if self.is_acknowledged(stored.sequence) {
            self.inspection.entries += 1;
        } else {
            self.inspection.unacknowledged += 1;
        }
        self.waiting = Some(stored);
    }

    fn broken(&mut self, sequence: Sequence, scan: &Scan) {
        self.give_waiting(None);
        self.hash = None;
        self.lose(sequence, sequence);
        let pieces = scan.pieces_of(sequence);
        if !pieces.is_empty() {
            (self.visit)(Found::Pieces { sequence, pieces });
        }
    }

    /// What nobody was told of is not missed.
    fn lose(&mut self, first: Sequence, last: Sequence) {
        let last = match self.mark {
            Some(mark) => last.min(mark.durable.sequence),
            None => last,
        };
        self.give_waiting(None);
        self.hash = None;
        self.inspection.lose(first, last);
    }

    fn give_waiting(&mut self, hash_behind: Option<Hash>) {
        let Some(stored) = self.waiting.take() else { return };
        let marked = self.mark.filter(|mark| mark.durable.sequence == stored.sequence).map(|mark| mark.durable.hash);
        let is_proved = marked.or(hash_behind) == Some(stored.hash);
        if !is_proved && marked.is_some() {
            self.inspection.unlinked.push(stored.sequence);
        }
        let is_acknowledged = self.is_acknowledged(stored.sequence);
        (self.visit)(Found::Entry { stored, is_proved, is_acknowledged });
    }

    /// Without a mark, everything counts as acknowledged.
    fn is_acknowledged(&self, sequence: Sequence) -> bool {
        self.mark.is_none_or(|mark| sequence <= mark.durable.sequence)
    }

    fn end(mut self) -> Inspection {
        self.give_waiting(None);
        if let Some(mark) = self.mark {
            let next = self.next.unwrap_or(mark.floor.sequence.next());
            self.inspection.lose(next, mark.durable.sequence);
        }
        self.inspection
    }
}

/// Which journal lies at a place, as far as its mark or a segment says it.
///
/// # Errors
/// What the disk says.
pub fn inspect_identity<S: Storage>(storage: &mut S, place: &Place) -> Result<Option<Identity>, JournalError> {
    if let Some(slots) = storage.read_mark(place)?.as_deref().and_then(mark::read_slots) {
        return Ok(Some(slots.mark.identity));
    }
    for number in storage.segments(place)? {
        if let Some(header) = Scan::of(storage, place, number)?.header {
            return Ok(Some(header.identity));
        }
    }
    Ok(None)
}

/// The last acknowledged entry of the journal at a place, as its mark says it; `None` if no slot of the mark can be read.
///
/// # Errors
/// What the disk says.
pub fn inspect_head<S: Storage>(storage: &mut S, place: &Place) -> Result<Option<Head>, JournalError> {
    let mark = storage.read_mark(place)?.as_deref().and_then(mark::read_slots).map(|slots| slots.mark);
    Ok(mark.map(|Mark { identity, durable, .. }| Head {
        journal: identity.journal,
        sequence: durable.sequence,
        hash: durable.hash,
    }))
}
