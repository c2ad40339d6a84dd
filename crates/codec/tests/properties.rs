//! What must hold of any entries, groups, frames, parts, pages and heads, with the real compression and the real signatures.

#![expect(clippy::unwrap_used, reason = "every function here is the body of a test or a part of one")]

mod any;

use codec::{Ed25519Signer, Ed25519Verifier, ZstdCodec};
use proptest::prelude::*;
use proptest::sample::Index;
use protocol::chain::{self, genesis, hash_of};
use protocol::control::{Control, ControlRow};
use protocol::edge::{Compression, Dictionary, Signer as _};
use protocol::entry::Entry;
use protocol::frame::{self, Frame, FrameError, FrameHeader, Placement, Run};
use protocol::history::History;
use protocol::ids::{ControlNumber, Hash, JournalId, ScopeId, Sequence, SiteId};
use protocol::limits;
use protocol::message::{self, Cursor, FramePart, ReplyHead, RequestHead};
use protocol::page::{self, PageHeader};
use protocol::section::{Binding, HEADER_BYTES, Kind, Sealed, SectionReader, seal};

const SITE: SiteId = SiteId(7);
const JOURNAL: JournalId = JournalId([3; 16]);

fn device() -> Ed25519Signer {
    Ed25519Signer::from_seed(&[2; 32])
}

fn binding() -> Binding {
    Binding { central: Ed25519Signer::from_seed(&[1; 32]).public_key(), site: SITE, context: Hash::NONE }
}

/// Entry bytes with the hash of the journal after each.
fn chained(entries: &[Entry]) -> Vec<(Vec<u8>, Hash)> {
    let mut hash = genesis(SITE, JOURNAL, None);
    let entries = entries.iter().map(|entry| {
        let bytes = entry.encode();
        hash = chain::extend(hash, &bytes);
        (bytes, hash)
    });
    entries.collect()
}

/// The entries as sealed frames that share a history; `cuts` say where one frame ends and the next begins.
fn sealed_frames(entries: &[(Vec<u8>, Hash)], cuts: &[Index]) -> Vec<Vec<u8>> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(entries.len()) + 1).collect();
    ends.push(entries.len());
    ends.sort_unstable();
    ends.dedup();
    let (mut history, mut codec) = (History::default(), ZstdCodec::default());
    let (mut start, mut before) = (0, genesis(SITE, JOURNAL, None));
    let mut frames = Vec::new();
    for end in ends {
        let run = Run {
            journal: JOURNAL,
            first: Sequence(start as u64 + 1),
            before,
            entries: &entries[start..end],
            refused: &[],
        };
        let packed = frame::pack(run, &history, &mut codec).unwrap();
        history.push(&packed.plain);
        frames.push(seal(Kind::Frame, &binding(), &packed.body, &device()));
        (start, before) = (end, entries[end - 1].1);
    }
    frames
}

/// The sections in some bytes, up to the first that is not whole or not one.
fn sections(bytes: &[u8]) -> Vec<Sealed> {
    let mut reader = SectionReader::default();
    reader.feed(bytes);
    std::iter::from_fn(|| reader.next_section().ok().flatten()).collect()
}

/// Opens frames the way central does, each behind the one before, until one is refused.
fn opened(sections: &[Sealed]) -> Vec<Frame> {
    let (mut history, mut codec) = (History::default(), ZstdCodec::default());
    let mut received = (Sequence::ZERO, genesis(SITE, JOURNAL, None));
    let mut frames = Vec::new();
    for sealed in sections {
        let Ok(body) = sealed.open(&binding(), &device().public_key(), &Ed25519Verifier) else { break };
        let Ok(frame) = frame::unpack(body, &mut history, &mut codec) else { break };
        if sealed.kind() != Kind::Frame || frame.place(received.0, received.1, None) != (Placement::Extends { skip: 0 })
        {
            break;
        }
        received = (frame.last(), frame.after());
        frames.push(frame);
    }
    frames
}

/// A frame that was not packed, whose header says what is given.
fn plain_frame(first: u64, before: Hash, after: Hash, entries: &[(Vec<u8>, Hash)]) -> Vec<u8> {
    let mut plain = Vec::new();
    for (entry, _) in entries {
        protocol::bytes::put_count(&mut plain, entry.len());
        plain.extend_from_slice(entry);
    }
    let header = FrameHeader {
        version: frame::VERSION,
        journal: JOURNAL,
        first: Sequence(first),
        count: u32::try_from(entries.len()).unwrap(),
        before,
        after,
        compression: Compression::None,
        dictionary: Dictionary::None,
        plain_bytes: u32::try_from(plain.len()).unwrap(),
    };
    [message::encode(&header), plain].concat()
}

fn entries(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec(any::entry(), count)
}

fn cuts() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_entry_comes_back_and_no_beginning_of_it_is_an_entry(entry in any::entry(), behind: u8) {
        let bytes = entry.encode();

        prop_assert!(bytes.len() <= limits::ENTRY_BYTES_MAX);
        prop_assert_eq!(Entry::ends_group(&bytes), Ok(entry.is_group_end));
        prop_assert_eq!(Entry::decode(&bytes), Ok(entry));
        for length in 0..bytes.len() {
            prop_assert!(Entry::decode(&bytes[..length]).is_err(), "cut at {}", length);
        }
        prop_assert!(Entry::decode(&[&bytes[..], &[behind]].concat()).is_err());
    }

    #[test]
    fn an_entry_of_any_other_version_is_refused_by_its_number(entry in any::entry(), version in 2..=u8::MAX) {
        let mut bytes = entry.encode();
        bytes[0] = version;

        let found = protocol::bytes::DecodeError::Unknown { what: "entry version", value: version };
        prop_assert_eq!(Entry::decode(&bytes), Err(found));
        prop_assert_eq!(Entry::ends_group(&bytes), Err(found));
    }

    #[test]
    fn groups_come_out_whole_wherever_they_are_cut_into_frames(entries in entries(1..12), cuts in cuts()) {
        let chained = chained(&entries);
        let frames = opened(&sections(&sealed_frames(&chained, &cuts).concat()));

        let found: Vec<_> = frames.iter().flat_map(|frame| frame.entries.clone()).collect();
        prop_assert_eq!(&found, &chained);
        let ends: Vec<bool> = found.iter().map(|(bytes, _)| Entry::ends_group(bytes).unwrap()).collect();
        prop_assert_eq!(ends, entries.iter().map(|entry| entry.is_group_end).collect::<Vec<_>>());
    }

    #[test]
    fn wherever_a_stream_of_frames_is_cut_the_whole_ones_before_count_and_nothing_else(
        entries in entries(1..8),
        cuts in cuts(),
        length in any::<Index>(),
    ) {
        let chained = chained(&entries);
        let frames = sealed_frames(&chained, &cuts);
        let stream = frames.concat();
        let length = length.index(stream.len());

        let found = opened(&sections(&stream[..length]));

        let mut end = 0;
        let whole = frames.iter().take_while(|frame| {
            end += frame.len();
            end <= length
        });
        prop_assert_eq!(found.len(), whole.count());
        let found: Vec<_> = found.into_iter().flat_map(|frame| frame.entries).collect();
        prop_assert_eq!(&found[..], &chained[..found.len()]);
    }

    #[test]
    fn a_flipped_bit_anywhere_refuses_its_frame_and_those_behind_it(
        entries in entries(1..6),
        cuts in cuts(),
        place in any::<Index>(),
        bit in 0..8_u8,
    ) {
        let chained = chained(&entries);
        let frames = sealed_frames(&chained, &cuts);
        let mut stream = frames.concat();
        let place = place.index(stream.len());
        stream[place] ^= 1 << bit;

        let found = opened(&sections(&stream));

        let mut end = 0;
        let before = frames.iter().take_while(|frame| {
            end += frame.len();
            end <= place
        });
        prop_assert_eq!(found.len(), before.count());
        let found: Vec<_> = found.into_iter().flat_map(|frame| frame.entries).collect();
        prop_assert_eq!(&found[..], &chained[..found.len()]);
    }

    #[test]
    fn frames_in_another_order_do_not_extend_what_is_known(
        entries in entries(2..8),
        cuts in cuts(),
        places in any::<[Index; 2]>(),
    ) {
        let mut frames = sealed_frames(&chained(&entries), &cuts);
        let [one, other] = places.map(|place| place.index(frames.len()));
        prop_assume!(one != other);
        frames.swap(one, other);

        let found = opened(&sections(&frames.concat()));

        prop_assert_eq!(found.len(), one.min(other));
    }

    #[test]
    fn entries_that_are_swapped_left_out_or_altered_behind_the_signature_break_the_chain(
        entries in entries(2..6),
        place in any::<Index>(),
        bit in any::<Index>(),
    ) {
        let whole = chained(&entries);
        let (before, after) = (genesis(SITE, JOURNAL, None), whole[whole.len() - 1].1);
        let place = place.index(whole.len() - 1);
        let mut swapped = whole.clone();
        swapped.swap(place, place + 1);
        let mut shorter = whole.clone();
        shorter.remove(place);
        let mut altered = whole.clone();
        let bit = bit.index(altered[place].0.len() * 8);
        altered[place].0[bit / 8] ^= 1 << (bit % 8);

        let unpack = |entries: &[(Vec<u8>, Hash)]| {
            let body = plain_frame(1, before, after, entries);
            frame::unpack(&body, &mut History::default(), &mut ZstdCodec::default())
        };

        prop_assert!(unpack(&whole).is_ok());
        for wrong in [&shorter, &altered] {
            prop_assert_eq!(unpack(wrong), Err(FrameError::Chain));
        }
        prop_assert!(whole[place].0 == whole[place + 1].0 || unpack(&swapped) == Err(FrameError::Chain));
    }

    #[test]
    fn a_packed_frame_without_what_it_refers_back_to_is_refused(entries in entries(4..8)) {
        let chained = chained(&entries);
        let (history, mut codec) = (&mut History::default(), ZstdCodec::default());
        history.push(&chained[0].0);
        let run = Run { journal: JOURNAL, first: Sequence(2), before: chained[0].1, entries: &chained[1..], refused: &[] };
        let packed = frame::pack(run, history, &mut codec).unwrap();

        let alone = frame::unpack(&packed.body, &mut History::default(), &mut codec);

        // Nothing in it may have been worth a reference.
        prop_assert!(alone.is_err() || alone == frame::unpack(&packed.body, history, &mut codec));
    }

    #[test]
    fn a_frame_in_parts_of_any_size_comes_together_to_itself(
        entries in entries(1..5),
        sizes in prop::collection::vec(1..200_usize, 1..30),
    ) {
        let whole = sealed_frames(&chained(&entries), &[]).concat();
        let (mut kept, mut sizes) = (Vec::new(), sizes.iter().cycle());
        while kept.len() < whole.len() {
            let rest = &whole[kept.len()..];
            let part = FramePart {
                journal: JOURNAL,
                first: Sequence(1),
                hash: hash_of(&whole),
                offset: u32::try_from(kept.len()).unwrap(),
                total: u32::try_from(whole.len()).unwrap(),
                bytes: rest[..rest.len().min(*sizes.next().unwrap())].to_vec(),
            };
            let sealed = seal(Kind::FramePart, &binding(), &message::encode(&part), &device());
            let sealed = sections(&sealed).remove(0);
            let body = sealed.open(&binding(), &device().public_key(), &Ed25519Verifier).unwrap();
            let read: FramePart = message::decode_part(body).unwrap();
            prop_assert_eq!(&read, &part);
            kept.extend(read.bytes);
        }

        prop_assert_eq!(opened(&sections(&kept)).len(), 1);
        prop_assert_eq!(kept, whole);
    }

    #[test]
    fn any_page_comes_back_packed_or_not(rows in prop::collection::vec(any::page_row(), 0..10)) {
        let mut codec = ZstdCodec::default();
        let packed = page::pack_rows(&rows, &History::default(), &mut codec).unwrap();
        let header = PageHeader {
            version: message::VERSION,
            index: 0,
            scope: ScopeId::new(&[1]).unwrap(),
            cursor: Cursor::default(),
            is_drained: true,
            is_last: true,
            is_complete: true,
            rows: u32::try_from(rows.len()).unwrap(),
            part: None,
            compression: packed.compression,
            dictionary: packed.dictionary,
            plain_bytes: packed.plain_bytes,
        };
        let body = [message::encode(&header), packed.bytes].concat();

        let (read, rest) = page::read_header(&body).unwrap();

        prop_assert_eq!(&read, &header);
        prop_assert_eq!(page::unpack_rows(&read, rest, &mut History::default(), &mut codec), Ok(rows));
        let cut = &rest[..rest.len() - 1];
        prop_assert!(page::unpack_rows(&read, cut, &mut History::default(), &mut codec).is_err());
    }

    #[test]
    fn any_head_comes_back_and_no_beginning_of_it_is_a_head(
        request in any::request_head(),
        reply in any::reply_head(),
    ) {
        let (asked, said) = (message::encode(&request), message::encode(&reply));

        prop_assert_eq!(message::claimed_site(&asked), Ok(request.site));
        prop_assert_eq!(message::decode::<RequestHead>(&asked), Ok(request));
        prop_assert_eq!(message::decode::<ReplyHead>(&said), Ok(reply));
        for length in 0..asked.len() {
            prop_assert!(message::decode::<RequestHead>(&asked[..length]).is_err());
        }
        for length in 0..said.len() {
            prop_assert!(message::decode::<ReplyHead>(&said[..length]).is_err());
        }
    }

    #[test]
    fn any_control_row_comes_back(control in any::control(), number: u64) {
        let (code, content) = control.to_parts();

        prop_assert_eq!(Control::of(&ControlRow { number: ControlNumber(number), code, content }), Ok(control));
    }

    #[test]
    fn a_section_under_the_key_of_another_opens_nothing(body: Vec<u8>, seed: [u8; 32]) {
        prop_assume!(seed != [2; 32]);
        let sealed = seal(Kind::Frame, &binding(), &body, &Ed25519Signer::from_seed(&seed));
        prop_assert_eq!(sealed.len(), HEADER_BYTES + body.len());

        let section = sections(&sealed).remove(0);

        prop_assert!(section.open(&binding(), &device().public_key(), &Ed25519Verifier).is_err());
    }
}
