//! Frames: a run of journal entries, packed and signed for itself (rule 5.6; `docs/wire-format.md`, "Frame").
//!
//! The body is a postcard [`FrameHeader`], then the packed plain bytes: for each entry its length as a varint and its bytes, and then
//! what central has refused of them before, if anything.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::bytes::{DecodeError, Reader, put_count, put_number};
use crate::chain;
use crate::edge::{Codec, CodecError, Compression, Dictionary};
use crate::history::History;
use crate::ids::{Hash, JournalId, Sequence};
use crate::limits;

/// The format that is written.
pub const VERSION: u8 = 1;

/// What stands before a frame's packed entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameHeader {
    /// 1.
    pub version: u8,
    /// The journal that the entries are of.
    pub journal: JournalId,
    /// Sequence of the first entry.
    pub first: Sequence,
    /// How many entries follow.
    pub count: u32,
    /// Hash of the journal before the first entry.
    pub before: Hash,
    /// Hash of the journal after the last entry.
    pub after: Hash,
    /// How the entries are packed.
    pub compression: Compression,
    /// What the packing refers back to.
    pub dictionary: Dictionary,
    /// Length of the unpacked entries, in bytes.
    pub plain_bytes: u32,
}

/// A frame that was unpacked and whose chain was recomputed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The journal.
    pub journal: JournalId,
    /// Sequence of the first entry.
    pub first: Sequence,
    /// Hash before the first entry.
    pub before: Hash,
    /// Each entry's bytes with the hash of the journal after it.
    pub entries: Vec<(Vec<u8>, Hash)>,
    /// Those that central has refused before, in order.
    pub refused: Vec<RefusedBefore>,
}

/// An entry that comes again, because central was set back, with the verdict that it had: refused. What was accepted is judged anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedBefore {
    /// The entry.
    pub sequence: Sequence,
    /// Stable code, 1 to [`limits::CODE_BYTES_MAX`] bytes.
    pub code: String,
    /// One sentence, at most [`limits::REASON_BYTES_MAX`] bytes.
    pub reason: String,
}

impl RefusedBefore {
    /// How many bytes it adds to a frame, at most.
    pub fn plain_bytes_max(&self) -> usize {
        self.code.len() + self.reason.len() + 8
    }
}

impl Frame {
    /// Sequence of the last entry.
    pub fn last(&self) -> Sequence {
        Sequence(self.first.0 + self.entries.len() as u64 - 1)
    }

    /// Hash after the last entry.
    pub fn after(&self) -> Hash {
        self.entries.last().map_or(self.before, |entry| entry.1)
    }

    /// Hash of the journal at a sequence that the frame covers; the one before its first counts too.
    pub fn hash_at(&self, sequence: Sequence) -> Option<Hash> {
        let index = sequence.0.checked_sub(self.first.0 - 1)?;
        match usize::try_from(index).ok()?.checked_sub(1) {
            None => Some(self.before),
            Some(index) => self.entries.get(index).map(|entry| entry.1),
        }
    }

    /// Where the frame stands to a journal of which `received` with `hash` is known; `stored` is the hash that the log has at
    /// the frame's last sequence, if it has one (rule 5.8).
    pub fn place(&self, received: Sequence, hash: Hash, stored: Option<Hash>) -> Placement {
        if self.first > received.next() {
            Placement::Gap
        } else if self.last() < received {
            if stored == Some(self.after()) { Placement::Duplicate } else { Placement::Fork }
        } else if self.hash_at(received) != Some(hash) {
            Placement::Fork
        } else if self.last() == received {
            Placement::Duplicate
        } else {
            let skip = usize::try_from(received.0 - (self.first.0 - 1)).expect("within the frame's count");
            Placement::Extends { skip }
        }
    }
}

/// See [`Frame::place`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Entries before it are missing.
    Gap,
    /// Another history: an equal sequence with another hash, or one at or below what the log still knows.
    Fork,
    /// All of it is known.
    Duplicate,
    /// It goes on after what is known, past the first `skip` entries.
    Extends {
        /// Entries of the frame that are known.
        skip: usize,
    },
}

/// Entries to pack, without the journal they are of.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The journal.
    pub journal: JournalId,
    /// Sequence of the first entry.
    pub first: Sequence,
    /// Hash before it.
    pub before: Hash,
    /// Each entry's bytes with the hash of the journal after it, at least one.
    pub entries: &'a [(Vec<u8>, Hash)],
    /// Those that central has refused before, in order.
    pub refused: &'a [RefusedBefore],
}

/// A frame's body and the plain bytes that it adds to the history once it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedFrame {
    /// The body of the section.
    pub body: Vec<u8>,
    /// What to push to the history.
    pub plain: Vec<u8>,
}

/// Packs a run of entries into a frame's body after what `history` holds.
///
/// # Errors
/// [`CodecError`] if the codec fails.
pub fn pack(run: Run<'_>, history: &History, codec: &mut dyn Codec) -> Result<PackedFrame, CodecError> {
    let mut plain = Vec::new();
    for entry in run.entries {
        put_count(&mut plain, entry.0.len());
        plain.extend_from_slice(&entry.0);
    }
    for refused in run.refused {
        put_number(&mut plain, refused.sequence.0 - run.first.0);
        for text in [&refused.code, &refused.reason] {
            put_count(&mut plain, text.len());
            plain.extend_from_slice(text.as_bytes());
        }
    }
    let (compression, dictionary, packed) = pack_plain(&plain, history, codec)?;
    let header = FrameHeader {
        version: VERSION,
        journal: run.journal,
        first: run.first,
        count: u32::try_from(run.entries.len()).expect("at most limits::FRAME_ENTRIES_MAX entries"),
        before: run.before,
        after: run.entries.last().map_or(run.before, |entry| entry.1),
        compression,
        dictionary,
        plain_bytes: u32::try_from(plain.len()).expect("at most limits::FRAME_PLAIN_BYTES_MAX"),
    };
    let mut body = postcard::to_allocvec(&header).expect("a header of fixed fields always encodes");
    body.extend_from_slice(&packed);
    Ok(PackedFrame { body, plain })
}

/// Packs plain bytes after what went before, or leaves them when packing would make them larger.
pub(crate) fn pack_plain(
    plain: &[u8],
    history: &History,
    codec: &mut dyn Codec,
) -> Result<(Compression, Dictionary, Vec<u8>), CodecError> {
    let dictionary = if history.bytes().is_empty() { codec.built_in() } else { Dictionary::Previous };
    let packed = codec.compress(dictionary, history.bytes(), plain)?;
    if packed.len() < plain.len() {
        Ok((Compression::Zstd, dictionary, packed))
    } else {
        Ok((Compression::None, Dictionary::None, plain.to_vec()))
    }
}

/// Unpacks what [`pack_plain`] made, within `plain_bytes`, which the caller has checked against its limit.
pub(crate) fn unpack_plain(
    compression: Compression,
    dictionary: Dictionary,
    packed: &[u8],
    plain_bytes: usize,
    history: &mut History,
    codec: &mut dyn Codec,
) -> Result<Vec<u8>, FrameError> {
    let plain = match compression {
        Compression::None if packed.len() == plain_bytes => packed.to_vec(),
        Compression::None => return Err(FrameError::Decode(DecodeError::Invalid("the plain length is not right"))),
        Compression::Zstd => {
            codec.decompress(dictionary, history.bytes(), packed, plain_bytes).map_err(FrameError::Codec)?
        }
    };
    history.push(&plain);
    Ok(plain)
}

/// Unpacks a frame's body (already checked for size, signature and checksum) and recomputes its chain.
///
/// # Errors
/// [`FrameError`]; nothing was added to `history` unless the packing itself was right.
pub fn unpack(body: &[u8], history: &mut History, codec: &mut dyn Codec) -> Result<Frame, FrameError> {
    match body.first() {
        Some(&VERSION) => {}
        Some(&found) => return Err(FrameError::Version { found }),
        None => return Err(FrameError::Decode(DecodeError::Truncated)),
    }
    let (header, packed): (FrameHeader, &[u8]) = postcard::take_from_bytes(body)
        .map_err(|_| FrameError::Decode(DecodeError::Invalid("the frame's header is not right")))?;
    let plain_bytes = header.plain_bytes as usize;
    let count = header.count as usize;
    if plain_bytes > limits::FRAME_PLAIN_BYTES_MAX {
        return Err(FrameError::Decode(DecodeError::AboveLimit { limit: "FRAME_PLAIN_BYTES_MAX", found: plain_bytes }));
    }
    if count == 0 || count > limits::FRAME_ENTRIES_MAX || header.first == Sequence::ZERO {
        return Err(FrameError::Decode(DecodeError::AboveLimit { limit: "FRAME_ENTRIES_MAX", found: count }));
    }
    if header.first.0.saturating_add(u64::from(header.count)) > limits::NUMBER_MAX {
        return Err(FrameError::Decode(DecodeError::NumberTooLarge));
    }
    let plain = unpack_plain(header.compression, header.dictionary, packed, plain_bytes, history, codec)?;
    let mut reader = Reader::new(&plain);
    let mut entries = Vec::with_capacity(count);
    let mut hash = header.before;
    for _ in 0..count {
        let length = reader.count(limits::ENTRY_BYTES_MAX, "ENTRY_BYTES_MAX").map_err(FrameError::Decode)?;
        let entry = reader.take(length).map_err(FrameError::Decode)?;
        hash = chain::extend(hash, entry);
        entries.push((entry.to_vec(), hash));
    }
    let refused = read_refused(&mut reader, header.first, count).map_err(FrameError::Decode)?;
    if hash != header.after {
        return Err(FrameError::Chain);
    }
    Ok(Frame { journal: header.journal, first: header.first, before: header.before, entries, refused })
}

/// What stands behind the entries, up to the end.
fn read_refused(reader: &mut Reader<'_>, first: Sequence, count: usize) -> Result<Vec<RefusedBefore>, DecodeError> {
    let mut refused: Vec<RefusedBefore> = Vec::new();
    while !reader.is_empty() {
        let sequence = first.plus(reader.count(count - 1, "entries of the frame")? as u64);
        if refused.last().is_some_and(|last| last.sequence >= sequence) {
            return Err(DecodeError::Invalid("refused entries are not in order"));
        }
        let code = reader.text(limits::CODE_BYTES_MAX, "CODE_BYTES_MAX")?;
        if code.is_empty() {
            return Err(DecodeError::Invalid("an entry was refused without a code"));
        }
        let reason = reader.text(limits::REASON_BYTES_MAX, "REASON_BYTES_MAX")?;
        refused.push(RefusedBefore { sequence, code, reason });
    }
    Ok(refused)
}

/// A frame that changes nothing because it is not right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameError {
    /// Its header is of a version that this program cannot open.
    Version {
        /// The version that was found.
        found: u8,
    },
    /// Its bytes break the format.
    Decode(DecodeError),
    /// It does not unpack.
    Codec(CodecError),
    /// Its entries do not give its hash.
    Chain,
}

impl fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { found } => {
                write!(formatter, "a frame is of version {found}, and this program opens version {VERSION}")
            }
            Self::Decode(error) => write!(formatter, "a frame cannot be read: {error}"),
            Self::Codec(error) => write!(formatter, "a frame cannot be unpacked: {error}"),
            Self::Chain => formatter.write_str("the entries of a frame do not give its hash"),
        }
    }
}

impl core::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::testing::PlainCodec;
    use proptest::prelude::*;

    fn chained(entries: &[&[u8]], before: Hash) -> Vec<(Vec<u8>, Hash)> {
        let mut hash = before;
        let mut chained = Vec::new();
        for entry in entries {
            hash = chain::extend(hash, entry);
            chained.push((entry.to_vec(), hash));
        }
        chained
    }

    fn packed(entries: &[(Vec<u8>, Hash)]) -> Vec<u8> {
        packed_with(entries, &[])
    }

    fn packed_with(entries: &[(Vec<u8>, Hash)], refused: &[RefusedBefore]) -> Vec<u8> {
        let run = Run { journal: JournalId([1; 16]), first: Sequence(5), before: Hash([3; 32]), entries, refused };
        pack(run, &History::default(), &mut PlainCodec).unwrap().body
    }

    fn frame() -> Frame {
        let entries = chained(&[b"five", b"six", b"seven"], Hash([3; 32]));
        unpack(&packed(&entries), &mut History::default(), &mut PlainCodec).unwrap()
    }

    #[test]
    fn entries_come_back_byte_for_byte_with_their_hashes() {
        let frame = frame();

        assert_eq!(frame.entries, chained(&[b"five", b"six", b"seven"], Hash([3; 32])));
        assert_eq!((frame.first, frame.last()), (Sequence(5), Sequence(7)));
        assert_eq!(frame.hash_at(Sequence(3)), None);
        assert_eq!(frame.hash_at(Sequence(4)), Some(Hash([3; 32])));
        assert_eq!(frame.hash_at(Sequence(7)), Some(frame.after()));
        assert_eq!(frame.hash_at(Sequence(8)), None);
    }

    fn refused(sequence: u64, code: &str) -> RefusedBefore {
        RefusedBefore { sequence: Sequence(sequence), code: code.into(), reason: "central said no".into() }
    }

    #[test]
    fn what_was_refused_before_comes_with_its_entries() {
        let entries = chained(&[b"five", b"six", b"seven"], Hash([3; 32]));
        let verdicts = [refused(5, "not_owner"), refused(7, "header_missing")];
        let body = packed_with(&entries, &verdicts);

        let frame = unpack(&body, &mut History::default(), &mut PlainCodec).unwrap();

        assert_eq!(frame.entries, entries);
        assert_eq!(frame.refused, verdicts);
        assert!(
            body.len() <= packed(&entries).len() + verdicts.iter().map(RefusedBefore::plain_bytes_max).sum::<usize>()
        );
    }

    #[test]
    fn refused_entries_out_of_order_outside_the_frame_or_without_a_code_are_refused() {
        let entries = chained(&[b"five", b"six"], Hash([3; 32]));
        for verdicts in [
            vec![refused(6, "a"), refused(5, "b")],
            vec![refused(5, "a"), refused(5, "b")],
            vec![refused(7, "a")],
            vec![refused(5, "")],
            vec![refused(5, &"c".repeat(limits::CODE_BYTES_MAX + 1))],
        ] {
            let body = packed_with(&entries, &verdicts);
            let found = unpack(&body, &mut History::default(), &mut PlainCodec);
            assert!(matches!(found, Err(FrameError::Decode(_))), "{verdicts:?}: {found:?}");
        }
    }

    #[test]
    fn a_frame_is_placed_by_sequence_and_hash() {
        let frame = frame();
        let six = frame.entries[1].1;
        let check = |received: u64, hash: Hash, stored: Option<Hash>, expected: Placement| {
            assert_eq!(frame.place(Sequence(received), hash, stored), expected, "received {received}");
        };

        check(3, Hash([9; 32]), None, Placement::Gap);
        check(4, Hash([3; 32]), None, Placement::Extends { skip: 0 });
        check(4, Hash([9; 32]), None, Placement::Fork);
        check(6, six, None, Placement::Extends { skip: 2 });
        check(6, Hash([9; 32]), None, Placement::Fork);
        check(7, frame.after(), None, Placement::Duplicate);
        check(9, Hash([9; 32]), Some(frame.after()), Placement::Duplicate);
        check(9, Hash([9; 32]), Some(six), Placement::Fork);
        check(9, Hash([9; 32]), None, Placement::Fork);
    }

    #[test]
    fn a_frame_that_gives_another_hash_is_refused() {
        let body = packed(&[(b"first".to_vec(), Hash([4; 32]))]);

        assert_eq!(unpack(&body, &mut History::default(), &mut PlainCodec), Err(FrameError::Chain));
    }

    #[test]
    fn a_frame_without_entries_or_with_too_many_is_refused() {
        for count in [0, 8193] {
            let header = FrameHeader {
                version: 1,
                journal: JournalId([1; 16]),
                first: Sequence(1),
                count,
                before: Hash::NONE,
                after: Hash::NONE,
                compression: Compression::None,
                dictionary: Dictionary::None,
                plain_bytes: 0,
            };
            let body = postcard::to_allocvec(&header).unwrap();
            assert!(matches!(
                unpack(&body, &mut History::default(), &mut PlainCodec),
                Err(FrameError::Decode(DecodeError::AboveLimit { .. }))
            ));
        }
    }

    proptest! {
        #[test]
        fn rubbish_never_panics(body: Vec<u8>) {
            let _ = unpack(&body, &mut History::default(), &mut PlainCodec);
        }
    }
}
