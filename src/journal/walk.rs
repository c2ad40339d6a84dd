//! Reading a segment through while checking it, and finding entries in the bytes of one that does not open.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use protocol::ids::{Hash, Sequence};

use super::error::Damage;
use super::mark::Point;
use super::piece::{self, Assembler, SegmentHeader};
use super::storage::{BATCH_BYTES_MAX, Key, Place, Segment, Storage, StorageError, VALUE_BYTES_MAX};
use super::{Draft, Identity, Stored};

/// Bytes that a scan holds at once beside the pieces it has found.
const SCAN_BYTES: usize = 64 * 1024;

/// How far a segment was found in order.
#[derive(Debug)]
pub(super) struct Walked {
    /// Hash before the segment's first entry.
    pub(super) hash_before: Hash,
    /// The last entry that ends a group and up to which everything is in order.
    pub(super) group_end: Option<Point>,
    /// Number of entries up to there.
    pub(super) entries: u64,
    /// Bytes of these entries.
    pub(super) bytes: u64,
    /// What stopped the walk before the end.
    pub(super) fault: Option<Damage>,
    /// Whether there is anything after the last group's end.
    pub(super) has_tail: bool,
}

/// Checks the header, then every entry with its chain, and hands the entries out in order.
///
/// An error is the operating system's; what is wrong with the content is told in [`Walked`].
pub(super) fn walk<T: Segment>(
    segment: &mut T,
    identity: &Identity,
    number: u64,
    hash_before: Option<Hash>,
    visit: &mut dyn FnMut(Stored),
) -> Result<Walked, StorageError> {
    let mut walked = Walked {
        hash_before: hash_before.unwrap_or(Hash::NONE),
        group_end: None,
        entries: 0,
        bytes: 0,
        fault: None,
        has_tail: false,
    };
    let header = match read_header(segment) {
        Ok(header) => header,
        Err(error) => return walked.with_storage_fault(error),
    };
    match header {
        Some(header) if header.identity == *identity && header.first.0 == number => {
            walked.hash_before = header.hash_before;
        }
        Some(_) => walked.fault = Some(Damage::SegmentForeign),
        None => walked.fault = Some(Damage::SegmentUnreadable { detail: "it has no header".to_owned() }),
    }
    if hash_before.is_some_and(|hash| hash != walked.hash_before) && walked.fault.is_none() {
        walked.fault = Some(Damage::SegmentForeign);
    }
    if walked.fault.is_some() {
        return Ok(walked);
    }
    let mut assembler = Assembler::new(Sequence(number), Some(walked.hash_before));
    let (mut entries, mut bytes) = (0, 0);
    let result = segment.read(Key::first_of(1), &mut |key, value| {
        walked.has_tail = true;
        match assembler.push(key, value) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(stored)) => {
                entries += 1;
                bytes += stored.entry.len() as u64;
                if stored.is_group_end {
                    walked.group_end = Some(Point { sequence: stored.sequence, hash: stored.hash });
                    (walked.entries, walked.bytes, walked.has_tail) = (entries, bytes, false);
                }
                visit(stored);
                ControlFlow::Continue(())
            }
            Err(fault) => {
                walked.fault = Some(Damage::Entry { sequence: assembler.next(), fault });
                ControlFlow::Break(())
            }
        }
    });
    match result {
        Ok(()) => Ok(walked),
        Err(error) => walked.with_storage_fault(error),
    }
}

impl Walked {
    fn with_storage_fault(mut self, error: StorageError) -> Result<Walked, StorageError> {
        if !error.is_damage() {
            return Err(error);
        }
        self.fault = Some(Damage::SegmentUnreadable { detail: error.to_string() });
        Ok(self)
    }
}

fn read_header<T: Segment>(segment: &mut T) -> Result<Option<SegmentHeader>, StorageError> {
    let mut header = None;
    segment.read(Key::HEADER, &mut |key, value| {
        if key == Key::HEADER {
            header = piece::decode_header(value);
        }
        ControlFlow::Break(())
    })?;
    Ok(header)
}

/// Writes a segment with these entries, in place of one of that number if there is one.
pub(super) fn write_segment<S: Storage>(
    storage: &mut S,
    header: &SegmentHeader,
    entries: &[Stored],
) -> Result<S::Segment, StorageError> {
    storage.write_segment(header.first.0, &mut |segment| {
        let mut batch = Batch::new(segment);
        batch.add(vec![(Key::HEADER, piece::encode_header(header))])?;
        for stored in entries {
            let draft =
                Draft { entry: stored.entry.clone(), is_group_end: stored.is_group_end, note: stored.note.clone() };
            batch.add(piece::encode_entry(stored.sequence, stored.hash_before, &draft))?;
        }
        batch.finish()
    })
}

/// Collects values to batches of bounded size.
pub(super) struct Batch<'a, T> {
    segment: &'a mut T,
    values: Vec<(Key, Vec<u8>)>,
    bytes: usize,
}

impl<'a, T: Segment> Batch<'a, T> {
    pub(super) fn new(segment: &'a mut T) -> Self {
        Batch { segment, values: Vec::new(), bytes: 0 }
    }

    pub(super) fn add(&mut self, values: Vec<(Key, Vec<u8>)>) -> Result<(), StorageError> {
        for (key, value) in values {
            if self.bytes + value.len() > BATCH_BYTES_MAX {
                self.finish()?;
            }
            self.bytes += value.len();
            self.values.push((key, value));
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<(), StorageError> {
        if !self.values.is_empty() {
            self.segment.append(&self.values)?;
        }
        self.values.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// What the bytes of a segment hold.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The segment's header.
    pub(super) header: Option<SegmentHeader>,
    /// Pieces by key: those of one segment, so at most `SEGMENT_BYTES_MAX` and one group.
    pieces: BTreeMap<Key, Vec<u8>>,
    /// Keys for which different pieces were found; none of them can be trusted.
    conflicts: BTreeSet<Key>,
}

impl Scan {
    /// Searches all bytes of a segment for pieces.
    pub(super) fn of<S: Storage>(storage: &mut S, place: &Place, number: u64) -> Result<Scan, StorageError> {
        let mut scan = Scan::default();
        for_each_piece(storage, place, number, &mut |piece, value| {
            if let Some(header) = piece::header_of(piece) {
                scan.header = Some(header);
                return;
            }
            match scan.pieces.get(&piece.key()) {
                None => drop(scan.pieces.insert(piece.key(), value.to_vec())),
                Some(known) if known == value => {}
                Some(_) => drop(scan.conflicts.insert(piece.key())),
            }
        })?;
        for key in &scan.conflicts {
            scan.pieces.remove(key);
        }
        Ok(scan)
    }

    /// Highest sequence of which anything was found.
    pub(super) fn highest(&self) -> Option<Sequence> {
        self.pieces.last_key_value().map(|(key, _)| Sequence(key.sequence))
    }

    /// The next sequence above one of which anything was found.
    pub(super) fn next_after(&self, sequence: Sequence) -> Option<Sequence> {
        self.pieces.range(Key::first_of(sequence.next().0)..).next().map(|(key, _)| Sequence(key.sequence))
    }

    /// One entry, if all its pieces were found.
    pub(super) fn entry(&self, sequence: Sequence) -> Option<Stored> {
        let mut assembler = Assembler::new(sequence, None);
        let from = Key::first_of(sequence.0);
        for (key, value) in self.pieces.range(from..Key::first_of(sequence.next().0)) {
            if let Some(stored) = assembler.push(*key, value).ok()? {
                return Some(stored);
            }
        }
        None
    }
}

impl Scan {
    /// Index and bytes of the pieces that were found of one entry.
    pub(super) fn pieces_of(&self, sequence: Sequence) -> Vec<(u16, Vec<u8>)> {
        let range = Key::first_of(sequence.0)..Key::first_of(sequence.next().0);
        self.pieces.range(range).map(|(key, value)| (key.piece, value.clone())).collect()
    }
}

/// The header in a segment's bytes.
pub(super) fn header_raw<S: Storage>(storage: &mut S, number: u64) -> Result<Option<SegmentHeader>, StorageError> {
    let mut header = None;
    for_each_piece(storage, &Place::Live, number, &mut |piece, _| header = header.or_else(|| piece::header_of(piece)))?;
    Ok(header)
}

/// Highest sequence of which a piece lies in a segment's bytes, without holding any of them.
pub(super) fn highest_raw<S: Storage>(storage: &mut S, number: u64) -> Result<Option<Sequence>, StorageError> {
    let mut highest = None;
    for_each_piece(storage, &Place::Live, number, &mut |piece, _| {
        if piece.key() != Key::HEADER {
            highest = highest.max(Some(Sequence(piece.key().sequence)));
        }
    })?;
    Ok(highest)
}

fn for_each_piece<S: Storage>(
    storage: &mut S,
    place: &Place,
    number: u64,
    visit: &mut dyn FnMut(&piece::Piece<'_>, &[u8]),
) -> Result<(), StorageError> {
    let mut window: Vec<u8> = Vec::with_capacity(SCAN_BYTES + VALUE_BYTES_MAX);
    storage.read_raw(place, number, &mut |part| {
        for chunk in part.chunks(SCAN_BYTES) {
            window.extend_from_slice(chunk);
            let used = scan_window(&window, false, visit);
            window.drain(..used);
        }
    })?;
    scan_window(&window, true, visit);
    Ok(())
}

/// Visits the pieces in a window; answers how many bytes are done with. Unless it is the end, bytes in which a piece may have
/// begun are left.
fn scan_window(window: &[u8], is_end: bool, visit: &mut dyn FnMut(&piece::Piece<'_>, &[u8])) -> usize {
    let mut from = 0;
    loop {
        let rest = window.get(from..).unwrap_or_default();
        let Some(start) = piece::find_magic(rest) else { return window.len() };
        let rest = rest.get(start..).unwrap_or_default();
        from += start;
        if rest.len() < VALUE_BYTES_MAX && !is_end {
            return from;
        }
        match piece::decode_prefix(rest) {
            Some((piece, length)) => {
                visit(&piece, rest.get(..length).unwrap_or_default());
                from += length;
            }
            None => from += 1,
        }
    }
}
