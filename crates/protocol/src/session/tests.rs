//! Both machines against each other, with the smallest device and central that keep the contract.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::chain::{self, genesis};
use crate::exchange::{self, Answer, Ask, Conclusion, PartKept, Received, Rows};
use crate::frame::Placement;
use crate::ids::{Epoch, Position, RecordId, TableRef};
use crate::message::Refusal;
use crate::page::PageRow;
use crate::row::{ColumnRef, Row, Value};
use crate::testing::{PlainCodec, TestKey};

const DEVICE: TestKey = TestKey(2);
const CENTRAL: TestKey = TestKey(1);
const JOURNAL: JournalId = JournalId([3; 16]);
const SITE: SiteId = SiteId(7);

fn scope() -> ScopeId {
    ScopeId::new(b"all").unwrap()
}

/// What is durable on the device.
struct Device {
    entries: Vec<(Vec<u8>, Hash)>,
    received: Sequence,
    token: Token,
    control: ControlNumber,
    cursors: BTreeMap<ScopeId, Cursor>,
    rows: BTreeMap<RecordId, Position>,
    part: Option<(PagePartState, Vec<u8>)>,
    frame_part: Option<FramePartState>,
    link: Link,
}

impl Device {
    fn new(entry_sizes: &[usize]) -> Self {
        let mut hash = genesis(SITE, JOURNAL, None);
        let entries = entry_sizes.iter().enumerate().map(|(index, size)| {
            let mut entry = format!("entry {index} ").into_bytes();
            entry.resize(entry.len().max(*size), u8::try_from(index % 251).unwrap());
            hash = chain::extend(hash, &entry);
            (entry, hash)
        });
        Self {
            entries: entries.collect(),
            received: Sequence::ZERO,
            token: Token::NONE,
            control: ControlNumber(0),
            cursors: BTreeMap::new(),
            rows: BTreeMap::new(),
            part: None,
            frame_part: None,
            link: Link::default(),
        }
    }

    fn head(&self) -> Sequence {
        Sequence(self.entries.len() as u64)
    }

    fn hash_at(&self, sequence: Sequence) -> Hash {
        match usize::try_from(sequence.0).unwrap().checked_sub(1) {
            None => genesis(SITE, JOURNAL, None),
            Some(index) => self.entries[index].1,
        }
    }

    fn start(&self) -> Start {
        Start {
            site: SITE,
            central: CENTRAL.public_key(),
            token: self.token,
            generation: CredentialGeneration(1),
            journal: JOURNAL,
            predecessor: None,
            head: self.head(),
            head_hash: self.hash_at(self.head()),
            received: self.received,
            control: self.control,
            cursors: self
                .cursors
                .iter()
                .map(|(scope, cursor)| ScopeCursor { scope: scope.clone(), cursor: *cursor })
                .collect(),
            page_part: self.part.as_ref().map(|part| part.0.clone()),
            frame_part: self.frame_part,
            link: self.link,
        }
    }

    /// Runs one session; `cut` ends each reply after that many bytes of the session's replies.
    fn sync(&mut self, central: &mut Center, cut: &mut Cut) -> Outcome {
        let mut codec = PlainCodec;
        let mut tools = Tools { codec: &mut codec, signer: &DEVICE, verifier: &CENTRAL };
        let mut session = Session::begin(self.start(), &mut tools);
        let mut reply: Option<(Vec<u8>, bool)> = None;
        loop {
            let Some(output) = session.output() else {
                match reply.take() {
                    Some((bytes, is_whole)) => {
                        // A few bytes at a time, so that sections are cut anywhere.
                        let length = bytes.len().min(1500);
                        if length == 0 {
                            let end = if is_whole { Input::ReplyEnd } else { Input::ExchangeFailed("cut") };
                            session.input(end, &mut tools);
                        } else {
                            session.input(Input::Reply(&bytes[..length]), &mut tools);
                            reply = Some((bytes[length..].to_vec(), is_whole));
                        }
                    }
                    None => panic!("the session asks for nothing"),
                }
                continue;
            };
            match output {
                Output::ReadJournal { after, through, bytes_max } => {
                    let mut bytes = 0;
                    let first = usize::try_from(after.0).unwrap();
                    let last = usize::try_from(through.0).unwrap();
                    let entries: Vec<_> = self.entries[first..last]
                        .iter()
                        .take_while(|entry| {
                            let is_first = bytes == 0;
                            bytes += entry.0.len();
                            is_first || bytes <= bytes_max
                        })
                        .cloned()
                        .collect();
                    session.input(Input::Entries { before: self.hash_at(after), entries }, &mut tools);
                }
                Output::Exchange(request) => {
                    let (sent, is_sent) = cut.take(&request);
                    let whole = central.exchange(sent, is_sent);
                    let (got, is_got) = cut.take(&whole);
                    reply = Some((got.to_vec(), is_sent && is_got));
                }
                Output::StoreReply(head) => {
                    self.received = head.received;
                    self.token = head.token;
                    self.control = head.control.last().map_or(self.control, |row| row.number);
                    session.input(Input::Stored, &mut tools);
                }
                Output::StorePage(page) => {
                    assert_eq!(self.received, self.head(), "invariant 5: a page came before the receipt");
                    for row in page.rows {
                        let position = self.rows.entry(row.record).or_insert(row.position);
                        *position = row.position.max(*position);
                    }
                    self.cursors.insert(page.scope, page.cursor);
                    self.part = None;
                    session.input(Input::Stored, &mut tools);
                }
                Output::StorePart(part) => {
                    let mut bytes = match self.part.take() {
                        Some((state, bytes)) if state.hash == part.hash => bytes,
                        _ => Vec::new(),
                    };
                    assert_eq!(bytes.len(), part.offset as usize);
                    bytes.extend_from_slice(&part.bytes);
                    let received = u32::try_from(bytes.len()).unwrap();
                    let whole = (received == part.total).then(|| bytes.clone());
                    self.part = Some((PagePartState { scope: part.scope, hash: part.hash, received }, bytes));
                    session.input(Input::PartStored(whole), &mut tools);
                }
                Output::Finished(outcome) => {
                    (self.link, self.frame_part) = (outcome.link, outcome.frame_part);
                    return outcome;
                }
            }
        }
    }
}

/// Lets a number of bytes through, then none.
struct Cut(usize);

impl Cut {
    const NEVER: usize = usize::MAX;

    fn take<'a>(&mut self, bytes: &'a [u8]) -> (&'a [u8], bool) {
        let length = bytes.len().min(self.0);
        if self.0 != Self::NEVER {
            self.0 -= length;
        }
        (&bytes[..length], length == bytes.len())
    }
}

/// What is durable at central.
#[derive(Default)]
struct Center {
    entries: Vec<(Vec<u8>, Hash)>,
    frames_twice: usize,
    requests: usize,
    lane: Vec<PageRow>,
    part: Option<(FramePartState, Vec<u8>)>,
}

impl Center {
    fn with_rows(sizes: &[usize]) -> Self {
        let lane = sizes.iter().enumerate().map(|(index, size)| PageRow {
            table: TableRef::Known(1),
            record: RecordId::new(&format!("record {index}")).unwrap(),
            position: Position(index as u64 + 1),
            row: Some(Row::new(vec![(ColumnRef::Known(0), Value::Text("x".repeat(*size)))]).unwrap()),
        });
        Self { lane: lane.collect(), ..Self::default() }
    }

    fn received(&self) -> Received {
        let hash = self.entries.last().map_or(genesis(SITE, JOURNAL, None), |entry| entry.1);
        Received { sequence: Sequence(self.entries.len() as u64), hash }
    }

    fn head(&self) -> Position {
        Position(self.lane.len() as u64)
    }

    /// Takes a request that may be cut, and gives the whole reply (nothing if the request was cut).
    fn exchange(&mut self, request: &[u8], is_whole: bool) -> Vec<u8> {
        let mut codec = PlainCodec;
        let mut tools = exchange::Tools { codec: &mut codec, signer: &CENTRAL, verifier: &DEVICE };
        let mut exchange = exchange::Exchange::new();
        let mut reply = Vec::new();
        self.requests += 1;
        for chunk in request.chunks(1000) {
            exchange.feed(chunk, &mut tools);
            self.drain(&mut exchange, &mut reply, &mut tools);
        }
        if !is_whole {
            return Vec::new();
        }
        exchange.end_of_request(&mut tools);
        self.drain(&mut exchange, &mut reply, &mut tools);
        reply
    }

    fn drain(&mut self, exchange: &mut exchange::Exchange, reply: &mut Vec<u8>, tools: &mut exchange::Tools<'_>) {
        while let Some(ask) = exchange.ask() {
            let answer = match ask {
                Ask::FindSite(site) => Answer::Site((site == SITE).then(|| DEVICE.public_key())),
                Ask::Begin(head) if head.journal == JOURNAL => Answer::Begun(Ok(self.received())),
                Ask::Begin(_) => Answer::Begun(Err(Refusal::new("unknown_journal", "no such journal"))),
                Ask::StoreFrame(frame) => Answer::Stored(self.store(&frame)),
                Ask::StorePart(part) => Answer::PartStored(Ok(self.keep(&part))),
                Ask::Conclude => Answer::Concluded(Ok(Box::new(self.conclude(exchange)))),
                Ask::ReadRows(read) => Answer::Rows(Ok(self.read(&read))),
                Ask::Send(bytes) | Ask::Refuse(_, bytes) => {
                    reply.extend_from_slice(&bytes);
                    continue;
                }
                Ask::Finished => continue,
            };
            exchange.answer(answer, tools);
        }
    }

    fn store(&mut self, frame: &crate::frame::Frame) -> Result<Received, Refusal> {
        let received = self.received();
        let stored = self.entries.get(usize::try_from(frame.last().0).unwrap() - 1).map(|entry| entry.1);
        match frame.place(received.sequence, received.hash, stored) {
            Placement::Extends { skip } => self.entries.extend_from_slice(&frame.entries[skip..]),
            Placement::Duplicate => self.frames_twice += 1,
            Placement::Gap | Placement::Fork => return Err(Refusal::new("fork", "another history")),
        }
        Ok(self.received())
    }

    fn keep(&mut self, part: &message::FramePart) -> PartKept {
        let mut kept = match self.part.take() {
            Some((state, bytes)) if state.hash == part.hash => bytes,
            _ => Vec::new(),
        };
        if kept.len() == part.offset as usize {
            kept.extend_from_slice(&part.bytes);
        }
        let state = FramePartState { hash: part.hash, received: u32::try_from(kept.len()).unwrap() };
        let whole = (state.received == part.total).then(|| kept.clone());
        self.part = whole.is_none().then_some((state, kept));
        PartKept { state, whole }
    }

    fn conclude(&self, exchange: &exchange::Exchange) -> Conclusion {
        let cursor = exchange.cursor_of(&scope());
        let received = self.received();
        Conclusion {
            reply: ReplyHead {
                version: 0,
                token: Token([u8::try_from(self.requests % 250).unwrap() + 1; 16]),
                received: received.sequence,
                received_hash: received.hash,
                judged: received.sequence,
                backed_up: Sequence::ZERO,
                epoch: Epoch(1),
                position: self.head(),
                admitted_bytes: limits::REQUEST_FRAME_BYTES_MAX,
                frame_part: self.part.as_ref().map(|part| part.0),
                control: Vec::new(),
                has_more_control: false,
                rows_waiting: Some(self.head().0 - cursor.number.0),
                has_pages: false,
            },
            scopes: vec![ScopeCursor { scope: scope(), cursor }],
        }
    }

    fn read(&self, read: &exchange::ReadRows) -> Rows {
        let mut bytes = 0;
        let from = usize::try_from(read.from.cursor.number.0).unwrap();
        let rows: Vec<PageRow> = self.lane[from..]
            .iter()
            .take(read.rows_max)
            .take_while(|row| {
                let is_first = bytes == 0;
                bytes += row.row.as_ref().map_or(0, |row| row.to_bytes().len());
                is_first || bytes <= read.plain_bytes_max
            })
            .cloned()
            .collect();
        let number = Position((from + rows.len()) as u64);
        let began = if read.from.cursor == Cursor::default() { self.head() } else { read.from.cursor.began };
        let cursor = Cursor { epoch: Epoch(1), number, began };
        Rows { is_drained: number == self.head(), rows, cursor }
    }
}

fn drained(device: &Device, center: &Center) {
    assert_eq!(center.entries, device.entries, "central has what the device recorded");
    let expected: BTreeMap<_, _> = center.lane.iter().map(|row| (row.record.clone(), row.position)).collect();
    assert_eq!(device.rows, expected, "the device has what central has for it");
}

#[test]
fn a_sync_with_nothing_to_do_is_one_request() {
    let (mut device, mut center) = (Device::new(&[10, 10]), Center::with_rows(&[5, 5]));
    device.sync(&mut center, &mut Cut(Cut::NEVER));
    let requests = center.requests;

    let outcome = device.sync(&mut center, &mut Cut(Cut::NEVER));

    assert_eq!((outcome.failure, center.requests - requests), (None, 1));
}

#[test]
fn a_few_edits_and_rows_also_take_one_request() {
    let (mut device, mut center) = (Device::new(&[10, 10]), Center::with_rows(&[5, 5]));

    let outcome = device.sync(&mut center, &mut Cut(Cut::NEVER));

    assert_eq!((outcome.failure, center.requests), (None, 1));
    drained(&device, &center);
}

#[test]
fn a_backlog_is_pushed_whole_before_anything_is_pulled() {
    let (mut device, mut center) = (Device::new(&vec![300; 4000]), Center::with_rows(&vec![100; 3000]));

    let outcome = device.sync(&mut center, &mut Cut(Cut::NEVER));

    assert_eq!(outcome.failure, None);
    drained(&device, &center);
    assert_eq!((outcome.summary.entries_received, outcome.summary.rows_stored), (4000, 3000));
    assert!(center.requests < 20, "{} requests", center.requests);
}

#[test]
fn wherever_the_connection_is_cut_the_next_sessions_finish_and_at_most_one_frame_comes_twice() {
    let sizes: Vec<usize> = (0..120).map(|index| 40 + index * 13 % 700).collect();
    for cut in (0..60_000).step_by(997) {
        let (mut device, mut center) = (Device::new(&sizes), Center::with_rows(&[200; 60]));

        let outcome = device.sync(&mut center, &mut Cut(cut));
        let again = device.sync(&mut center, &mut Cut(Cut::NEVER));

        assert!(outcome.failure.is_none() || matches!(outcome.failure, Some(Failure::Cut(_))), "{:?}", outcome.failure);
        assert_eq!(again.failure, None, "cut after {cut} bytes");
        drained(&device, &center);
        assert!(center.frames_twice <= 1, "cut after {cut} bytes: {} frames came twice", center.frames_twice);
    }
}

#[test]
fn a_link_that_breaks_every_few_kilobytes_still_carries_everything_through() {
    let (mut device, mut center) = (Device::new(&[300; 400]), Center::with_rows(&[300; 400]));
    let mut sessions = 0;
    while device.sync(&mut center, &mut Cut(12_000)).failure.is_some() {
        sessions += 1;
        assert!(sessions < 200, "no end after {sessions} sessions");
    }
    drained(&device, &center);
}

#[test]
fn a_record_larger_than_the_link_carries_at_once_travels_in_parts_both_ways() {
    let (mut device, mut center) = (Device::new(&[50, 200_000, 50]), Center::with_rows(&[50, 150_000, 50]));
    let mut sessions = 0;
    while device.sync(&mut center, &mut Cut(20_000)).failure.is_some() {
        sessions += 1;
        assert!(sessions < 200, "no end after {sessions} sessions");
    }
    assert!(sessions > 10, "the link was not slow enough to need parts");
    drained(&device, &center);
}

#[test]
fn large_records_on_a_good_link_take_one_session() {
    let (mut device, mut center) =
        (Device::new(&[1_000_000, 10, 900_000]), Center::with_rows(&[1_000_000, 10, 900_000]));

    assert_eq!(device.sync(&mut center, &mut Cut(Cut::NEVER)).failure, None);
    drained(&device, &center);
}

#[test]
fn a_device_that_was_set_back_is_noticed() {
    let (mut device, mut center) = (Device::new(&[10; 5]), Center::default());
    device.sync(&mut center, &mut Cut(Cut::NEVER));
    device.entries.truncate(3);
    device.received = Sequence(3);

    let outcome = device.sync(&mut center, &mut Cut(Cut::NEVER));

    assert_eq!(outcome.failure, Some(Failure::DeviceSetBack { received: Sequence(5), head: Sequence(3) }));
}

#[test]
fn another_history_of_the_same_journal_is_noticed() {
    let (mut device, mut center) = (Device::new(&[10; 5]), Center::default());
    device.sync(&mut center, &mut Cut(Cut::NEVER));
    device.entries = Device::new(&[20; 5]).entries;

    let outcome = device.sync(&mut center, &mut Cut(Cut::NEVER));

    assert_eq!(outcome.failure, Some(Failure::Forked { sequence: Sequence(5) }));
}

#[test]
fn a_request_of_another_key_learns_nothing_and_stores_nothing() {
    let mut center = Center::default();
    let device = Device::new(&[10]);
    let mut codec = PlainCodec;
    let mut tools = Tools { codec: &mut codec, signer: &TestKey(9), verifier: &CENTRAL };
    let mut session = Session::begin(device.start(), &mut tools);
    let Some(Output::ReadJournal { .. }) = session.output() else { panic!("reads first") };
    session
        .input(Input::Entries { before: device.hash_at(Sequence::ZERO), entries: device.entries.clone() }, &mut tools);
    let Some(Output::Exchange(request)) = session.output() else { panic!("then sends") };

    let reply = center.exchange(&request, true);

    assert!(center.entries.is_empty());
    let mut reader = SectionReader::default();
    reader.feed(&reply);
    assert_eq!(reader.next_section().unwrap().map(|section| section.kind()), Some(Kind::Refusal));
}

#[test]
fn a_web_page_instead_of_a_reply_is_not_central() {
    let device = Device::new(&[]);
    let mut codec = PlainCodec;
    let mut tools = Tools { codec: &mut codec, signer: &DEVICE, verifier: &CENTRAL };
    let mut session = Session::begin(device.start(), &mut tools);
    let Some(Output::Exchange(_)) = session.output() else { panic!("sends at once") };

    session.input(Input::Reply(b"<html>please log in</html>"), &mut tools);

    let Some(Output::Finished(outcome)) = session.output() else { panic!("ends at once") };
    assert!(matches!(outcome.failure, Some(Failure::NotCentral(_))));
    assert_eq!(outcome.failure.map(|failure| failure.to_string().contains("not this site's central")), Some(true));
}

#[test]
fn each_truncated_or_altered_request_changes_nothing_or_what_its_whole_frames_say() {
    let device = Device::new(&[40; 3]);
    let mut codec = PlainCodec;
    let mut tools = Tools { codec: &mut codec, signer: &DEVICE, verifier: &CENTRAL };
    let mut session = Session::begin(device.start(), &mut tools);
    let Some(Output::ReadJournal { .. }) = session.output() else { panic!("reads first") };
    session
        .input(Input::Entries { before: device.hash_at(Sequence::ZERO), entries: device.entries.clone() }, &mut tools);
    let Some(Output::Exchange(request)) = session.output() else { panic!("then sends") };

    for index in 0..request.len() {
        let mut altered = request.clone();
        altered[index] ^= 0x10;
        let mut center = Center::default();
        center.exchange(&altered, true);
        assert!(center.entries.is_empty(), "byte {index}");
        let mut center = Center::default();
        center.exchange(&request[..index], true);
        assert!(center.entries.is_empty(), "cut at {index}");
    }
}
