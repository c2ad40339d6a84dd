//! Sections, heads, frames and pages by themselves.

use codec::{CONTEXT_BYTES_MAX, ZstdCodec};
use protocol::bytes::Reader;
use protocol::chain;
use protocol::check::{self, CheckAnswer, Question};
use protocol::control::{Control, ControlRow};
use protocol::edge::{Compression, Dictionary};
use protocol::exchange::SiteKeys;
use protocol::frame::{self, Frame, FrameHeader, Placement, Run};
use protocol::history::History;
use protocol::ids::{Hash, Sequence};
use protocol::limits;
use protocol::message::{self, FramePart, MessageError, Refusal, ReplyHead, RequestHead};
use protocol::news;
use protocol::page::{self, PageHeader};
use protocol::row::Row;
use protocol::section::SectionReader;
use protocol::verify::{self, RowsFound};
use protocol::versions::{Prelude, Versions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

use crate::edges::{CENTRAL, DEVICE, JOURNAL};
use crate::program::Program;

/// A stream gives the same sections whatever pieces it comes in, each within the limit of its kind.
pub(crate) fn section(bytes: &[u8]) {
    let Some((piece, bytes)) = bytes.split_first() else { return };
    question(bytes);
    news_question(bytes);
    let mut whole = SectionReader::default();
    whole.feed(bytes);
    let mut pieces = SectionReader::default();
    let mut chunks = bytes.chunks(usize::from(*piece) + 1);
    loop {
        let expected = whole.next_section();
        let found = loop {
            match pieces.next_section() {
                Ok(None) => match chunks.next() {
                    Some(chunk) => pieces.feed(chunk),
                    None => break Ok(None),
                },
                found => break found,
            }
        };
        assert_eq!(found, expected);
        let Ok(Some(section)) = found else { break };
        assert!(section.unchecked_body().len() <= section.kind().body_bytes_max());
    }
}

/// A question that opens is answered, and the device can read the answer.
fn question(bytes: &[u8]) {
    let Ok(question) = Question::read(bytes) else { return };
    let keys = SiteKeys { current: Some(DEVICE.public()), retired: Vec::new() };
    let Ok((head, _)) = question.open(&keys, CENTRAL.public(), &CENTRAL) else { return };
    let (_, binding) = check::ask(&head, CENTRAL.public(), &DEVICE);
    let answer = question.answer(&CheckAnswer::taken(), &CENTRAL);
    assert_eq!(check::read_answer(&answer, &binding, &CENTRAL), Ok(CheckAnswer::taken()));
}

/// The same for a question for news.
fn news_question(bytes: &[u8]) {
    let Ok(asked) = news::Asked::read(bytes) else { return };
    let keys = SiteKeys { current: Some(DEVICE.public()), retired: Vec::new() };
    let Ok((question, _)) = asked.open(&keys, CENTRAL.public(), &CENTRAL) else { return };
    let (_, binding) = news::ask(&question, CENTRAL.public(), &DEVICE);
    let answer = asked.answer(&news::Answer::Something, &CENTRAL);
    assert_eq!(news::read_answer(&answer, &binding, &CENTRAL), Ok(news::Answer::Something));
}

/// Rows of an answer that unpack are packed and unpacked again as the same.
fn verify_answer(body: &[u8]) {
    let Some((_, answer)) = comes_back::<(u8, verify::Answer)>(body, message::decode(body)) else { return };
    let verify::Answer::Rows(packed) = answer else { return };
    if let Ok(rows) = RowsFound::unpack(&packed, &mut ZstdCodec::default()) {
        let again = rows.pack(&mut ZstdCodec::default()).expect("it was packed before");
        assert_eq!(RowsFound::unpack(&again, &mut ZstdCodec::default()), Ok(rows));
    }
}

/// Messages that can be read are written and read again as the same.
pub(crate) fn head(bytes: &[u8]) {
    let mut program = Program::new(bytes);
    let kind = program.byte();
    let body = program.rest();
    match kind % 6 {
        0 => {
            if let Some(head) = comes_back::<RequestHead>(body, message::decode(body)) {
                assert_eq!(message::claimed_site(body), Ok(head.site));
                assert_eq!(Prelude::decode(body), Ok(head.prelude()));
                assert!(head.control_bytes_max() <= limits::CONTROL_BYTES_MAX);
            }
        }
        1 => {
            let head = comes_back::<ReplyHead>(body, message::decode(body));
            head.iter().flat_map(|head| &head.control).for_each(control);
        }
        2 => {
            drop(comes_back::<Refusal>(body, Refusal::decode(body, Versions { min: 0, max: u8::MAX })));
            drop(comes_back::<CheckAnswer>(body, message::decode(body)));
            drop(comes_back::<verify::Question>(body, message::decode(body)));
            drop(comes_back::<news::Question>(body, message::decode(body)));
            drop(comes_back::<(u8, news::Answer)>(body, message::decode(body)));
            verify_answer(body);
        }
        3 => drop(comes_back::<FramePart>(body, message::decode_part(body))),
        4 => {
            let row = comes_back::<ControlRow>(body, message::decode_part(body));
            row.iter().for_each(control);
        }
        _ => {
            if let Ok((header, packed)) = page::read_header(body) {
                let mut again = message::encode(&header);
                again.extend_from_slice(packed);
                assert_eq!(page::read_header(&again), Ok((header, packed)));
            }
        }
    }
}

fn comes_back<T>(body: &[u8], decoded: Result<T, MessageError>) -> Option<T>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let value = decoded.ok()?;
    let again = message::encode(&value);
    assert!(again.len() <= body.len(), "the shortest form is the one that is written");
    assert_eq!(message::decode_part::<T>(&again).as_ref(), Ok(&value));
    Some(value)
}

fn control(row: &ControlRow) {
    let Ok(control) = Control::of(row) else { return };
    match &control {
        Control::Unknown => return,
        Control::Refused(refused) => {
            if let protocol::control::Image::Here { row, .. } = &refused.image {
                let _ = Row::decode(row);
            }
        }
        Control::Waiting(_)
        | Control::Accepted(_)
        | Control::Grant(_)
        | Control::Dropped(_)
        | Control::GrantsTold(_)
        | Control::ReadAnew(_)
        | Control::SetBack
        | Control::Verify
        | Control::SiteCode(_) => {}
    }
    let (code, content) = control.to_parts();
    assert_eq!(code, row.code);
    assert_eq!(Control::of(&ControlRow { content, ..row.clone() }), Ok(control));
}

/// Frames: any body, a body whose chain was made to fit, and real ones that were packed and then altered.
pub(crate) fn frame(bytes: &[u8]) {
    let mut program = Program::new(bytes);
    match program.byte() % 3 {
        0 => {
            let mut codec = ZstdCodec::default();
            if let Ok(frame) = frame::unpack(program.rest(), &mut History::default(), &mut codec) {
                check_frame(&frame);
            }
            assert!(codec.context_bytes_peak() <= CONTEXT_BYTES_MAX);
        }
        1 => chained_frame(&mut program),
        _ => altered_frame(&mut program),
    }
}

/// One entry more than a frame may have.
const PAST_COUNT: u32 = 8193;
const _: () = assert!(PAST_COUNT as usize == limits::FRAME_ENTRIES_MAX + 1);

/// Any plain bytes under a header that fits them: what comes out is what a plain reading of the bytes gives.
fn chained_frame(program: &mut Program<'_>) {
    let (first, count) = (program.number(), program.length());
    let count = if count == 254 { PAST_COUNT } else { count };
    let before = Hash([program.byte(); 32]);
    let is_after_wrong = program.below(8) == 7;
    let rest = program.rest();
    // The one way to more entries than a frame may have is that most of them are empty.
    let plain = &if rest.len() == 1 { rest.repeat(PAST_COUNT as usize) } else { rest.to_vec() };
    let mut reader = Reader::new(plain);
    let mut after = before;
    let mut entries = Vec::new();
    for _ in 0..count.min(PAST_COUNT) {
        let Ok(length) = reader.number() else { break };
        let Ok(entry) = usize::try_from(length).map_err(drop).and_then(|length| reader.take(length).map_err(drop))
        else {
            break;
        };
        after = chain::extend(after, entry);
        entries.push((entry.to_vec(), after));
    }
    let header = FrameHeader {
        version: frame::VERSION,
        journal: JOURNAL,
        first: Sequence(first),
        count,
        before,
        after: if is_after_wrong { Hash([after.0[0] ^ 1; 32]) } else { after },
        compression: Compression::None,
        dictionary: Dictionary::None,
        plain_bytes: u32::try_from(plain.len()).unwrap_or(u32::MAX),
    };
    let mut body = message::encode(&header);
    body.extend_from_slice(plain);
    let unpacked = frame::unpack(&body, &mut History::default(), &mut ZstdCodec::default());
    let is_whole = reader.is_empty() && entries.len() == count as usize && count > 0;
    let is_within = count as usize <= limits::FRAME_ENTRIES_MAX
        && first > 0
        && first.checked_add(u64::from(count)).is_some()
        && plain.len() <= limits::FRAME_PLAIN_BYTES_MAX;
    assert_eq!(unpacked.is_ok(), is_whole && is_within && !is_after_wrong, "{unpacked:?}");
    if let Ok(frame) = unpacked {
        assert_eq!(frame.entries, entries);
        check_frame(&frame);
    }
}

/// Real entries, packed by the real codec; an alteration behind the signature is refused or leaves the chain whole.
fn altered_frame(program: &mut Program<'_>) {
    let count = program.below(5) + 1;
    let mut hash = Hash([program.byte(); 32]);
    let (before, mut entries) = (hash, Vec::new());
    for _ in 0..count {
        let entry = program.some().repeat(program.below(4) + 1);
        hash = chain::extend(hash, &entry);
        entries.push((entry, hash));
    }
    let run = Run { journal: JOURNAL, first: Sequence(5), before, entries: &entries, refused: &[] };
    let mut history = History::default();
    history.push(program.some());
    let mut codec = ZstdCodec::default();
    let packed = frame::pack(run, &history, &mut codec).unwrap_or_else(|error| panic!("packing never fails: {error}"));
    let frame = frame::unpack(&packed.body, &mut history.clone(), &mut codec);
    assert_eq!(
        frame,
        Ok(Frame { journal: JOURNAL, first: Sequence(5), before, entries: entries.clone(), refused: Vec::new() })
    );

    let mut altered = packed.body;
    let place = usize::from(program.short()) % altered.len();
    altered[place] ^= program.byte();
    if let Ok(frame) = frame::unpack(&altered, &mut history, &mut codec) {
        check_frame(&frame);
        assert!(
            frame.entries == entries || frame.after() != hash || frame.before != before,
            "other entries have another hash"
        );
    }
    assert!(codec.context_bytes_peak() <= CONTEXT_BYTES_MAX);
}

fn check_frame(frame: &Frame) {
    assert!((1..=limits::FRAME_ENTRIES_MAX).contains(&frame.entries.len()));
    assert_eq!(frame.hash_at(frame.last()), Some(frame.after()));
    assert_eq!(frame.hash_at(Sequence(frame.first.0 - 1)), Some(frame.before));
    assert_eq!(frame.hash_at(Sequence(frame.last().0 + 1)), None);
    let mut hash = frame.before;
    for (entry, after) in &frame.entries {
        assert!(entry.len() <= limits::ENTRY_BYTES_MAX);
        hash = chain::extend(hash, entry);
        assert_eq!(hash, *after);
    }
    assert_eq!(frame.place(frame.last(), frame.after(), None), Placement::Duplicate);
    assert_eq!(frame.place(Sequence(frame.first.0 - 1), frame.before, None), Placement::Extends { skip: 0 });
}

/// A page's body whose signature was right: the rows come back, whatever packs them.
pub(crate) fn page(bytes: &[u8]) {
    let mut program = Program::new(bytes);
    let is_raw = program.flag();
    let body = program.rest();
    let mut codec = ZstdCodec::default();
    let (header, packed) = if is_raw {
        let Ok(read) = page::read_header(body) else { return };
        read
    } else {
        (plain_header(body.len()), body)
    };
    let rows = page::unpack_rows(&header, packed, &mut History::default(), &mut codec);
    assert!(codec.context_bytes_peak() <= CONTEXT_BYTES_MAX);
    let Ok(rows) = rows else { return };
    assert!(rows.len() <= limits::PAGE_ROWS_MAX);
    let again = page::pack_rows(&rows, &History::default(), &mut codec)
        .unwrap_or_else(|error| panic!("packing never fails: {error}"));
    let header = PageHeader {
        compression: again.compression,
        dictionary: again.dictionary,
        plain_bytes: again.plain_bytes,
        ..header
    };
    assert_eq!(page::unpack_rows(&header, &again.bytes, &mut History::default(), &mut codec), Ok(rows));
}

fn plain_header(plain_bytes: usize) -> PageHeader {
    PageHeader {
        version: message::VERSION,
        index: 0,
        scope: crate::device::scope(0),
        cursor: message::Cursor::default(),
        is_drained: true,
        is_last: true,
        is_complete: true,
        rows: 0,
        part: None,
        compression: Compression::None,
        dictionary: Dictionary::None,
        plain_bytes: u32::try_from(plain_bytes).unwrap_or(u32::MAX),
    }
}
