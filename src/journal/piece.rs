//! The frame around each value of a segment: `docs/journal-format.md`, "Piece".
//!
//! A piece says for itself which part of which entry it is, with a checksum, so that entries can be found again by
//! searching the bytes of a damaged file.

use std::fmt;

use protocol::chain::{self, Predecessor};
use protocol::ids::{Hash, JournalId, RequestId, Sequence, SiteId};
use protocol::limits;

use super::storage::{Key, VALUE_BYTES_MAX};
use super::{Draft, Identity, Note, Stored};

/// First bytes of each piece: not ASCII, so that no text holds them by chance.
const MAGIC: [u8; 4] = [0xF1, 0x6F, 0x70, 0x9E];
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 24;
const CRC_BYTES: usize = 4;

const GROUP_END: u8 = 1;
const HAS_REQUEST_ID: u8 = 1 << 1;
const HAS_COMPLETES: u8 = 1 << 2;
const SEGMENT_HEADER: u8 = 1 << 7;
const KNOWN_FLAGS: u8 = GROUP_END | HAS_REQUEST_ID | HAS_COMPLETES | SEGMENT_HEADER;

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PieceFault {
    /// It is no piece, or its checksum, version or lengths are wrong.
    Unreadable,
    /// It is another piece than its key says, or than the pieces before it announced.
    Misplaced,
    /// Its hash before is not the hash after the entry before it.
    ChainBroken,
    /// Another entry was due.
    Gap {
        /// The sequence that was due.
        expected: Sequence,
    },
}

impl fmt::Display for PieceFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PieceFault::Unreadable => formatter.write_str("its bytes fail their checksum"),
            PieceFault::Misplaced => formatter.write_str("it is not the piece that its place asks for"),
            PieceFault::ChainBroken => formatter.write_str("it does not follow from the entry before it"),
            PieceFault::Gap { expected } => write!(formatter, "entry {expected} was due and is missing"),
        }
    }
}

/// What the first piece of an entry tells about it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct First {
    hash_before: Hash,
    note: Note,
}

/// A piece that passed its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    flags: u8,
    index: u16,
    count: u16,
    sequence: Sequence,
    entry_bytes: u32,
    body: &'a [u8],
}

impl Piece<'_> {
    /// The key under which it belongs.
    pub(super) fn key(&self) -> Key {
        if self.flags & SEGMENT_HEADER != 0 {
            return Key::HEADER;
        }
        Key { sequence: self.sequence.0, piece: self.index }
    }
}

/// What a segment's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) identity: Identity,
    /// Sequence of the segment's first entry, which is the segment's number.
    pub(super) first: Sequence,
    /// Hash of the journal before that entry.
    pub(super) hash_before: Hash,
}

/// Splits an entry into values of at most [`VALUE_BYTES_MAX`] bytes.
pub(super) fn encode_entry(sequence: Sequence, hash_before: Hash, draft: &Draft) -> Vec<(Key, Vec<u8>)> {
    debug_assert!(draft.entry.len() <= limits::ENTRY_BYTES_MAX);
    let mut flags = 0;
    let mut prefix = Vec::with_capacity(64);
    prefix.extend_from_slice(&hash_before.0);
    prefix.extend_from_slice(&draft.note.recorded_at_ms.to_le_bytes());
    if draft.is_group_end {
        flags |= GROUP_END;
    }
    if let Some(request_id) = draft.note.request_id {
        flags |= HAS_REQUEST_ID;
        prefix.extend_from_slice(&request_id.0);
    }
    if let Some(completes) = draft.note.completes {
        flags |= HAS_COMPLETES;
        prefix.extend_from_slice(&completes.0.to_le_bytes());
    }
    let room = VALUE_BYTES_MAX - HEADER_BYTES - CRC_BYTES;
    let (start, rest) = draft.entry.split_at(draft.entry.len().min(room - prefix.len()));
    let count = 1 + rest.len().div_ceil(room);
    let count = u16::try_from(count).expect("an entry of ENTRY_BYTES_MAX has fewer than 65,536 pieces");
    let entry_bytes = u32::try_from(draft.entry.len()).expect("ENTRY_BYTES_MAX fits 32 bits");
    prefix.extend_from_slice(start);
    let bodies = std::iter::once(prefix.as_slice()).chain(rest.chunks(room));
    (0..count)
        .zip(bodies)
        .map(|(index, body)| {
            let piece = Piece { flags, index, count, sequence, entry_bytes, body };
            (piece.key(), encode(&piece))
        })
        .collect()
}

/// The value of a segment's header.
pub(super) fn encode_header(header: &SegmentHeader) -> Vec<u8> {
    let mut body = Vec::with_capacity(128);
    write_identity(&mut body, &header.identity);
    body.extend_from_slice(&header.hash_before.0);
    encode(&Piece {
        flags: SEGMENT_HEADER,
        index: 0,
        count: 1,
        sequence: header.first,
        entry_bytes: u32::try_from(body.len()).expect("a header is about 120 bytes"),
        body: &body,
    })
}

/// Reads the value of a segment's header; `None` if it is not one.
pub(super) fn decode_header(value: &[u8]) -> Option<SegmentHeader> {
    let (piece, length) = decode_prefix(value)?;
    header_of(&piece).filter(|_| length == value.len())
}

/// The segment's header if the piece is one.
pub(super) fn header_of(piece: &Piece<'_>) -> Option<SegmentHeader> {
    if piece.flags & SEGMENT_HEADER == 0 {
        return None;
    }
    let mut body = piece.body;
    let identity = read_identity(&mut body)?;
    let hash_before = Hash(take(&mut body)?);
    body.is_empty().then_some(SegmentHeader { identity, first: piece.sequence, hash_before })
}

/// The piece at the beginning of some bytes and its length, if there is one.
pub(super) fn decode_prefix(bytes: &[u8]) -> Option<(Piece<'_>, usize)> {
    let mut rest = bytes;
    if take(&mut rest)? != MAGIC {
        return None;
    }
    let [version, flags] = take(&mut rest)?;
    let index = u16::from_le_bytes(take(&mut rest)?);
    let count = u16::from_le_bytes(take(&mut rest)?);
    let sequence = Sequence(u64::from_le_bytes(take(&mut rest)?));
    let entry_bytes = u32::from_le_bytes(take(&mut rest)?);
    let body_bytes = usize::from(u16::from_le_bytes(take(&mut rest)?));
    let checked = bytes.get(..HEADER_BYTES + body_bytes)?;
    let (body, mut rest) = rest.split_at_checked(body_bytes)?;
    let crc = u32::from_le_bytes(take(&mut rest)?);
    let is_sound = version == VERSION
        && flags & !KNOWN_FLAGS == 0
        && index < count
        && sequence.0 < u64::MAX
        && checked.len() + CRC_BYTES <= VALUE_BYTES_MAX
        && crc32fast::hash(checked) == crc;
    is_sound.then_some((Piece { flags, index, count, sequence, entry_bytes, body }, checked.len() + CRC_BYTES))
}

/// Position of the first byte that could begin a piece.
pub(super) fn find_magic(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let start = from + bytes.get(from..)?.iter().position(|&byte| byte == MAGIC[0])?;
        let tail = bytes.get(start..)?;
        if tail.starts_with(&MAGIC) || MAGIC.starts_with(tail) {
            return Some(start);
        }
        from = start + 1;
    }
}

/// Puts pieces together to entries and follows the chain through them.
#[derive(Debug)]
pub(super) struct Assembler {
    next: Sequence,
    hash: Option<Hash>,
    partial: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    first: First,
    flags: u8,
    count: u16,
    entry_bytes: u32,
    next_index: u16,
    entry: Vec<u8>,
}

impl Assembler {
    /// Begins before entry `next`; without a hash the first entry is taken at its word for what came before it.
    pub(super) fn new(next: Sequence, hash: Option<Hash>) -> Assembler {
        Assembler { next, hash, partial: None }
    }

    /// The entry that is due, or whose pieces are being put together.
    pub(super) fn next(&self) -> Sequence {
        self.next
    }

    /// Whether an entry has begun and not ended.
    pub(super) fn is_inside_entry(&self) -> bool {
        self.partial.is_some()
    }

    /// Takes the next value; answers an entry when it was its last piece.
    pub(super) fn push(&mut self, key: Key, value: &[u8]) -> Result<Option<Stored>, PieceFault> {
        if self.partial.is_none() && key.sequence > self.next.0 {
            return Err(PieceFault::Gap { expected: self.next });
        }
        let (piece, length) = decode_prefix(value).ok_or(PieceFault::Unreadable)?;
        if length != value.len() {
            return Err(PieceFault::Unreadable);
        }
        if piece.key() != key || piece.sequence != self.next {
            return Err(PieceFault::Misplaced);
        }
        let mut partial = self.take_piece(&piece)?;
        if partial.next_index < partial.count {
            self.partial = Some(partial);
            return Ok(None);
        }
        if partial.entry.len() != usize::try_from(partial.entry_bytes).unwrap_or(usize::MAX) {
            return Err(PieceFault::Misplaced);
        }
        let hash = chain::extend(partial.first.hash_before, &partial.entry);
        let sequence = self.next;
        self.next = sequence.next();
        self.hash = Some(hash);
        Ok(Some(Stored {
            sequence,
            entry: std::mem::take(&mut partial.entry),
            is_group_end: partial.flags & GROUP_END != 0,
            note: partial.first.note,
            hash_before: partial.first.hash_before,
            hash,
        }))
    }

    fn take_piece(&mut self, piece: &Piece<'_>) -> Result<Partial, PieceFault> {
        let Some(mut partial) = self.partial.take() else {
            if piece.index != 0 || piece.entry_bytes as usize > limits::ENTRY_BYTES_MAX {
                return Err(PieceFault::Misplaced);
            }
            let mut body = piece.body;
            let first = read_first(piece.flags, &mut body).ok_or(PieceFault::Unreadable)?;
            if self.hash.is_some_and(|hash| hash != first.hash_before) {
                return Err(PieceFault::ChainBroken);
            }
            let mut entry = Vec::with_capacity(piece.entry_bytes as usize);
            entry.extend_from_slice(body);
            return Ok(Partial {
                first,
                flags: piece.flags,
                count: piece.count,
                entry_bytes: piece.entry_bytes,
                next_index: 1,
                entry,
            });
        };
        let follows = piece.index == partial.next_index
            && (piece.flags, piece.count, piece.entry_bytes) == (partial.flags, partial.count, partial.entry_bytes);
        if !follows {
            return Err(PieceFault::Misplaced);
        }
        // Before memory is taken: a piece says how long its entry is, and all of them say the same.
        if partial.entry.len() + piece.body.len() > partial.entry_bytes as usize {
            return Err(PieceFault::Misplaced);
        }
        partial.next_index += 1;
        partial.entry.extend_from_slice(piece.body);
        Ok(partial)
    }
}

/// Writes site, journal and predecessor; the mark uses the same bytes.
pub(super) fn write_identity(out: &mut Vec<u8>, identity: &Identity) {
    out.extend_from_slice(&identity.site.0.to_le_bytes());
    out.extend_from_slice(&identity.journal.0);
    match &identity.predecessor {
        None => out.push(0),
        Some(predecessor) => {
            out.push(1);
            out.extend_from_slice(&predecessor.journal.0);
            out.extend_from_slice(&predecessor.sequence.0.to_le_bytes());
            out.extend_from_slice(&predecessor.hash.0);
            out.extend_from_slice(&predecessor.promised.0.to_le_bytes());
        }
    }
}

/// Reads what [`write_identity`] wrote.
pub(super) fn read_identity(bytes: &mut &[u8]) -> Option<Identity> {
    let site = SiteId(u32::from_le_bytes(take(bytes)?));
    let journal = JournalId(take(bytes)?);
    let predecessor = match take(bytes)? {
        [0] => None,
        [1] => Some(Predecessor {
            journal: JournalId(take(bytes)?),
            sequence: Sequence(u64::from_le_bytes(take(bytes)?)),
            hash: Hash(take(bytes)?),
            promised: Sequence(u64::from_le_bytes(take(bytes)?)),
        }),
        _ => return None,
    };
    Some(Identity { site, journal, predecessor })
}

/// Takes a fixed number of bytes from the front.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = bytes.split_first_chunk::<N>()?;
    *bytes = tail;
    Some(*head)
}

fn encode(piece: &Piece<'_>) -> Vec<u8> {
    let body_bytes = u16::try_from(piece.body.len()).expect("a body is smaller than VALUE_BYTES_MAX");
    let mut value = Vec::with_capacity(HEADER_BYTES + piece.body.len() + CRC_BYTES);
    value.extend_from_slice(&MAGIC);
    value.extend_from_slice(&[VERSION, piece.flags]);
    value.extend_from_slice(&piece.index.to_le_bytes());
    value.extend_from_slice(&piece.count.to_le_bytes());
    value.extend_from_slice(&piece.sequence.0.to_le_bytes());
    value.extend_from_slice(&piece.entry_bytes.to_le_bytes());
    value.extend_from_slice(&body_bytes.to_le_bytes());
    value.extend_from_slice(piece.body);
    value.extend_from_slice(&crc32fast::hash(&value).to_le_bytes());
    value
}

fn read_first(flags: u8, body: &mut &[u8]) -> Option<First> {
    let hash_before = Hash(take(body)?);
    let recorded_at_ms = u64::from_le_bytes(take(body)?);
    let request_id = if flags & HAS_REQUEST_ID != 0 { Some(RequestId(take(body)?)) } else { None };
    let completes = if flags & HAS_COMPLETES != 0 { Some(Sequence(u64::from_le_bytes(take(body)?))) } else { None };
    Some(First { hash_before, note: Note { request_id, recorded_at_ms, completes } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(entry: Vec<u8>) -> Draft {
        let note = Note { request_id: Some(RequestId([4; 16])), recorded_at_ms: 77, completes: Some(Sequence(9)) };
        Draft { entry, is_group_end: true, note }
    }

    fn put_together(pieces: &[(Key, Vec<u8>)], sequence: u64, hash: Option<Hash>) -> Result<Stored, PieceFault> {
        let mut assembler = Assembler::new(Sequence(sequence), hash);
        let mut found = None;
        for (key, value) in pieces {
            assert!(found.is_none());
            found = assembler.push(*key, value)?;
        }
        Ok(found.expect("the last piece ends the entry"))
    }

    #[test]
    fn entries_of_every_size_come_back_with_their_note() {
        for length in [0, 1, 500, 808, 809, 1_680, 1_681, limits::ENTRY_BYTES_MAX] {
            let draft = draft((0..length).map(|index| u8::try_from(index % 251).unwrap()).collect());
            let before = Hash([3; 32]);
            let pieces = encode_entry(Sequence(5), before, &draft);

            assert!(pieces.iter().all(|(_, value)| value.len() <= VALUE_BYTES_MAX));
            assert!(pieces.is_sorted_by_key(|(key, _)| *key));
            let stored = put_together(&pieces, 5, Some(before)).unwrap();
            assert_eq!((stored.entry, stored.note, stored.is_group_end), (draft.entry.clone(), draft.note, true));
            assert_eq!(stored.hash, chain::extend(before, &draft.entry));
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (key, value) = encode_entry(Sequence(5), Hash([3; 32]), &draft(vec![1; 20])).remove(0);
        for index in 0..value.len() {
            for bit in 0..8 {
                let mut damaged = value.clone();
                damaged[index] ^= 1 << bit;
                assert!(put_together(&[(key, damaged)], 5, None).is_err(), "byte {index}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_gap_a_foreign_piece_and_a_broken_chain_are_told_apart() {
        let pieces = encode_entry(Sequence(5), Hash([3; 32]), &draft(vec![1; 2000]));

        let gap = put_together(&pieces, 4, None);
        assert_eq!(gap, Err(PieceFault::Gap { expected: Sequence(4) }));
        let chain = put_together(&pieces, 5, Some(Hash([4; 32])));
        assert_eq!(chain, Err(PieceFault::ChainBroken));
        let missing_middle = [pieces[0].clone(), pieces[2].clone()];
        assert_eq!(put_together(&missing_middle, 5, None), Err(PieceFault::Misplaced));
        let wrong_key = [(Key::first_of(5), pieces[1].1.clone())];
        assert_eq!(put_together(&wrong_key, 5, None), Err(PieceFault::Misplaced));
    }

    #[test]
    fn a_header_comes_back_with_its_identity() {
        let predecessor = Predecessor {
            journal: JournalId([1; 16]),
            sequence: Sequence(2),
            hash: Hash([3; 32]),
            promised: Sequence(4),
        };
        for predecessor in [None, Some(predecessor)] {
            let identity = Identity { site: SiteId(7), journal: JournalId([8; 16]), predecessor };
            let header = SegmentHeader { identity, first: Sequence(11), hash_before: Hash([5; 32]) };
            assert_eq!(decode_header(&encode_header(&header)), Some(header));
        }
    }

    #[test]
    fn a_piece_is_found_inside_other_bytes() {
        let (_, value) = encode_entry(Sequence(5), Hash([3; 32]), &draft(vec![1; 20])).remove(0);
        let mut bytes = vec![MAGIC[0]; 9];
        bytes.extend_from_slice(&value);

        assert_eq!(find_magic(&bytes), Some(9));
        assert!(decode_prefix(&bytes[9..]).is_some());
        assert_eq!(find_magic(&[0, 0, MAGIC[0], MAGIC[1]]), Some(2), "half a magic at the end may go on");
        assert_eq!(find_magic(&[0; 16]), None);
    }
}
