//! A device and a central of a few lines: what is durable on each side, and the steps between.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::vec::Vec;

use crate::chain::{self, genesis};
use crate::control::{Claim, Claims, Control, ControlRow};
use crate::exchange::{self, Answer, Ask, Conclusion, PartKept, Received, Rows};
use crate::export::ExportHead;
use crate::frame::{Placement, RefusedBefore};
use crate::ids::{
    ControlNumber, CredentialGeneration, Epoch, Hash, JournalId, Position, RecordId, ScopeId, Sequence, SiteId,
    TableRef, Token,
};
use crate::limits;
use crate::message::{self, Cursor, FramePartState, PagePartState, Refusal, ReplyHead, RequestHead, ScopeCursor};
use crate::page::PageRow;
use crate::row::{ColumnRef, Row, Value};
use crate::session::{Input, Link, Outcome, Output, Session, Start, Tools};
use crate::testing::{PlainCodec, TestKey};
use crate::versions::{Dialect, Head, Versions};

use crate::edge::Signer as _;

pub(super) const DEVICE: TestKey = TestKey(2);
pub(super) const CENTRAL: TestKey = TestKey(1);
pub(super) const JOURNAL: JournalId = JournalId([3; 16]);
pub(super) const SITE: SiteId = SiteId(7);

pub(super) fn scope(number: u8) -> ScopeId {
    ScopeId::new(&[number]).unwrap()
}

/// What came of a reply, and whether that was all.
type Replied = (Vec<u8>, bool);

/// A device's tools.
macro_rules! tools {
    () => {
        Tools { codec: &mut PlainCodec, signer: &DEVICE, verifier: &CENTRAL }
    };
}

/// What is durable on the device.
pub(super) struct Device {
    pub(super) entries: Vec<(Vec<u8>, Hash)>,
    /// Verdicts of before central was set back.
    pub(super) refused: Vec<RefusedBefore>,
    pub(super) received: Sequence,
    pub(super) is_unsure: bool,
    token: Token,
    pub(super) control: Vec<ControlRow>,
    /// What it claims when central tells all grants.
    /// Entries that are recorded while a reply's head is stored; they are not among `entries`.
    pub(super) recorded_meanwhile: u64,
    pub(super) forgotten: Vec<Claim>,
    pub(super) cursors: BTreeMap<ScopeId, Cursor>,
    pub(super) rows: BTreeMap<(ScopeId, RecordId), Position>,
    pub(super) part: Option<(PagePartState, Vec<u8>)>,
    pub(super) frame_part: Option<FramePartState>,
    pub(super) dialect: Dialect,
    link: Link,
}

impl Device {
    pub(super) fn new(entry_sizes: &[usize]) -> Self {
        let mut device = Self {
            entries: Vec::new(),
            refused: Vec::new(),
            received: Sequence::ZERO,
            is_unsure: false,
            token: Token::NONE,
            control: Vec::new(),
            forgotten: Vec::new(),
            recorded_meanwhile: 0,
            cursors: BTreeMap::new(),
            rows: BTreeMap::new(),
            part: None,
            frame_part: None,
            dialect: Dialect::default(),
            link: Link::default(),
        };
        for size in entry_sizes {
            device.record(*size);
        }
        device
    }

    pub(super) fn record(&mut self, size: usize) {
        let index = self.entries.len();
        let mut entry = format!("entry {index} ").into_bytes();
        entry.resize(entry.len().max(size), u8::try_from(index % 251).unwrap());
        let hash = chain::extend(self.hash_at(self.head()), &entry);
        self.entries.push((entry, hash));
    }

    pub(super) fn head(&self) -> Sequence {
        Sequence(self.entries.len() as u64)
    }

    pub(super) fn hash_at(&self, sequence: Sequence) -> Hash {
        match usize::try_from(sequence.0).unwrap().checked_sub(1) {
            None => genesis(SITE, JOURNAL, None),
            Some(index) => self.entries[index].1,
        }
    }

    pub(super) fn start(&self) -> Start {
        Start {
            site: SITE,
            central: CENTRAL.public_key(),
            token: self.token,
            salt: [0; 16],
            generation: CredentialGeneration(1),
            journal: JOURNAL,
            predecessor: None,
            head: self.head(),
            head_hash: self.hash_at(self.head()),
            received: self.received,
            is_unsure: self.is_unsure,
            control: self.control.last().map_or(ControlNumber(0), |row| row.number),
            cursors: self
                .cursors
                .iter()
                .map(|(scope, cursor)| ScopeCursor { scope: scope.clone(), cursor: *cursor })
                .collect(),
            heard: None,
            claims: Claims::default(),
            page_part: self.part.as_ref().map(|part| part.0.clone()),
            frame_part: self.frame_part,
            link: self.link,
        }
    }

    /// Runs one session within what the link lets through.
    pub(super) fn sync(&mut self, central: &mut Center, cut: &mut Cut) -> Outcome {
        self.sync_until(central, cut, usize::MAX).expect("there is power")
    }

    /// Runs one session; the power fails before it has carried out more than `steps` of what the session asks for.
    pub(super) fn sync_until(&mut self, central: &mut Center, cut: &mut Cut, steps: usize) -> Option<Outcome> {
        let session = Session::begin_in(self.start(), self.dialect.clone(), &mut tools!());
        let mut exchange = |request: &[u8]| {
            let (sent, is_sent) = cut.take(request);
            let whole = central.exchange(sent, is_sent);
            let (got, is_got) = cut.take(&whole);
            Some((got.to_vec(), is_sent && is_got && !central.has_lost_power))
        };
        self.drive(session, None, &mut exchange, steps)
    }

    /// Makes a request that goes by file, and what is needed to take its answer.
    pub(super) fn carry_out(&mut self) -> (Start, Vec<u8>) {
        let start = self.start();
        let session = Session::carry_out(start.clone(), &mut tools!());
        let mut request = None;
        self.drive(
            session,
            None,
            &mut |sent| {
                request = Some(sent.to_vec());
                None
            },
            usize::MAX,
        );
        (start, request.expect("a session asks for an exchange"))
    }

    /// Takes the answer to one.
    pub(super) fn carry_in(&mut self, start: Start, request: &[u8], answer: &[u8]) -> Outcome {
        let (_, hash) = crate::carried::head_of(request).unwrap();
        let session = Session::carry_in(start, hash, (self.head(), self.hash_at(self.head())));
        let mut none = |_: &[u8]| panic!("a session by file has one exchange");
        self.drive(session, Some((answer.to_vec(), true)), &mut none, usize::MAX).expect("there is power")
    }

    fn drive(
        &mut self,
        mut session: Session,
        mut reply: Option<Replied>,
        exchange: &mut dyn FnMut(&[u8]) -> Option<Replied>,
        mut steps: usize,
    ) -> Option<Outcome> {
        let mut tools = tools!();
        loop {
            let Some(output) = session.output() else {
                let (bytes, is_whole) = reply.take().expect("a session always asks for something");
                // A few bytes at a time, so that sections are cut anywhere.
                let length = bytes.len().min(1500);
                if length == 0 {
                    let end = if is_whole { Input::ReplyEnd } else { Input::ExchangeFailed("cut") };
                    session.input(end, &mut tools);
                } else {
                    session.input(Input::Reply(&bytes[..length]), &mut tools);
                    reply = Some((bytes[length..].to_vec(), is_whole));
                }
                continue;
            };
            let Some(left) = steps.checked_sub(1) else {
                // What was only known in memory is gone.
                (self.link, self.frame_part) = (Link::default(), None);
                return None;
            };
            steps = left;
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
                    let read = after.next()..=after.plus(entries.len() as u64);
                    let refused = self.refused.iter().filter(|refused| read.contains(&refused.sequence));
                    let refused = refused.cloned().collect();
                    session.input(Input::Entries { before: self.hash_at(after), entries, refused }, &mut tools);
                }
                Output::Exchange(request) => reply = Some(exchange(&request)?),
                Output::ReadHash { sequence } => {
                    session.input(Input::HashRead(Some(self.hash_at(sequence))), &mut tools);
                }
                Output::StoreReply(head) => {
                    self.received = head.received;
                    self.token = head.token;
                    let told = head.control.iter().rfind(|row| matches!(Control::of(row), Ok(Control::GrantsTold(_))));
                    if let Some(told) = told {
                        let grants = self.forgotten.clone();
                        let claims = Claims { told: told.number, grants, ..Claims::default() };
                        session.input(Input::Claims(claims), &mut tools);
                    }
                    self.control.extend(head.control);
                    session.input(Input::Recorded(self.head().plus(self.recorded_meanwhile)), &mut tools);
                    session.input(Input::Stored, &mut tools);
                }
                Output::StoreReceipt(receipt) => {
                    (self.received, self.token) = (receipt.received, receipt.token);
                    session.input(Input::Stored, &mut tools);
                }
                Output::StorePage(page) => {
                    assert!(self.received >= self.start_head(&session), "invariant 5: a page came before the receipt");
                    for row in page.rows {
                        let position = self.rows.entry((page.scope.clone(), row.record)).or_insert(row.position);
                        *position = row.position.max(*position);
                    }
                    if self.part.as_ref().is_some_and(|part| part.0.scope == page.scope) {
                        self.part = None;
                    }
                    self.cursors.insert(page.scope, page.cursor);
                    session.input(Input::Stored, &mut tools);
                }
                Output::StorePart(part) => {
                    let mut bytes = match self.part.take() {
                        Some((state, bytes)) if state.hash == part.hash && part.offset > 0 => bytes,
                        _ => Vec::new(),
                    };
                    assert_eq!(bytes.len(), part.offset as usize, "a part goes on where what is kept ends");
                    bytes.extend_from_slice(&part.bytes);
                    let received = u32::try_from(bytes.len()).unwrap();
                    let whole = (received == part.total).then(|| bytes.clone());
                    self.part = Some((PagePartState { scope: part.scope, hash: part.hash, received }, bytes));
                    session.input(Input::PartStored(whole), &mut tools);
                }
                Output::Finished(outcome) => {
                    (self.link, self.frame_part) = (outcome.link, outcome.frame_part);
                    return Some(outcome);
                }
            }
        }
    }

    fn start_head(&self, session: &Session) -> Sequence {
        session.start.head.min(self.head())
    }
}

/// Lets a number of bytes through, then none.
pub(super) struct Cut(pub(super) usize);

impl Cut {
    pub(super) const NEVER: usize = usize::MAX;

    fn take<'a>(&mut self, bytes: &'a [u8]) -> (&'a [u8], bool) {
        let length = bytes.len().min(self.0);
        if self.0 != Self::NEVER {
            self.0 -= length;
        }
        (&bytes[..length], length == bytes.len())
    }
}

/// A change at central: scope, record, size.
pub(super) type Write = (u8, u8, usize);

/// What is durable at central.
#[derive(Default)]
pub(super) struct Center {
    /// The versions that it understands; those of this program unless a test says otherwise.
    pub(super) versions: Option<Versions>,
    pub(super) entries: Vec<(Vec<u8>, Hash)>,
    /// What frames said of their entries.
    pub(super) refused: Vec<RefusedBefore>,
    pub(super) frames_twice: usize,
    pub(super) requests: usize,
    /// Only the newest row of a record stays in its lane.
    pub(super) lanes: BTreeMap<ScopeId, BTreeMap<RecordId, PageRow>>,
    pub(super) head: u64,
    pub(super) control: Vec<ControlRow>,
    part: Option<(FramePartState, Vec<u8>)>,
    /// Changes that happen while exchanges run, one before each time that rows are read.
    pub(super) writes: VecDeque<Write>,
    /// Asks that are still carried out before the power fails.
    pub(super) steps: Option<usize>,
    pub(super) has_lost_power: bool,
    /// Requests as they came, whole or not.
    pub(super) seen: Vec<Vec<u8>>,
    /// The head of the exchange that runs.
    request: Option<Head>,
}

impl Center {
    pub(super) fn with_rows(sizes: &[usize]) -> Self {
        let mut center = Self::default();
        for (index, size) in sizes.iter().enumerate() {
            center.write(&scope(0), &format!("record {index}"), *size);
        }
        center
    }

    pub(super) fn write(&mut self, scope: &ScopeId, record: &str, size: usize) {
        self.head += 1;
        let record = RecordId::new(record).unwrap();
        let columns = Vec::from([(ColumnRef::Known(0), Value::Text("x".repeat(size)))]);
        let row = PageRow {
            table: TableRef::Known(1),
            record: record.clone(),
            position: Position(self.head),
            row: Some(Row::new(columns).unwrap()),
        };
        self.lanes.entry(scope.clone()).or_default().insert(record, row);
    }

    /// What the last request claimed.
    pub(super) fn claimed(&self) -> Claims {
        let head = self.request.as_ref().and_then(Head::whole).expect("a request of this version came");
        head.claims.clone()
    }

    /// How far the device's journal went when it heard what its last request shows, and when its session began.
    pub(super) fn recorded(&self) -> (Sequence, Sequence) {
        let head = self.request.as_ref().and_then(Head::whole).expect("a request of this version came");
        (head.recorded, head.head)
    }

    /// The scopes of which the last request showed a cursor.
    pub(super) fn scopes_shown(&self) -> Vec<ScopeId> {
        let head = self.request.as_ref().and_then(Head::whole).expect("a request of this version came");
        head.cursors.iter().map(|shown| shown.scope.clone()).collect()
    }

    pub(super) fn received(&self) -> Received {
        let hash = self.entries.last().map_or(genesis(SITE, JOURNAL, None), |entry| entry.1);
        Received { sequence: Sequence(self.entries.len() as u64), hash }
    }

    /// Takes a request that may be cut, and gives the reply (nothing if the request was cut).
    pub(super) fn exchange(&mut self, request: &[u8], is_whole: bool) -> Vec<u8> {
        self.carry_through(exchange::Exchange::of_versions(self.versions.unwrap_or(Versions::OWN)), request, is_whole)
    }

    /// The same for one that comes in a file.
    pub(super) fn exchange_files(&mut self, request: &[u8]) -> Vec<u8> {
        self.carry_through(exchange::Exchange::carried(), request, true)
    }

    /// Everything from the beginning, in a file.
    pub(super) fn export(&mut self, head: &ExportHead) -> Vec<u8> {
        let mut codec = PlainCodec;
        let mut tools = exchange::Tools { codec: &mut codec, signer: &CENTRAL, verifier: &DEVICE };
        let mut exchange = exchange::Exchange::export(head, self.lanes.keys().cloned().collect(), &mut tools);
        let mut file = Vec::new();
        self.drain(&mut exchange, &mut file, &mut tools);
        file
    }

    fn carry_through(&mut self, mut exchange: exchange::Exchange, request: &[u8], is_whole: bool) -> Vec<u8> {
        let mut codec = PlainCodec;
        let mut tools = exchange::Tools { codec: &mut codec, signer: &CENTRAL, verifier: &DEVICE };
        let mut reply = Vec::new();
        self.requests += 1;
        self.has_lost_power = false;
        if is_whole {
            self.seen.push(request.to_vec());
        }
        for chunk in request.chunks(1000) {
            exchange.feed(chunk, &mut tools);
            self.drain(&mut exchange, &mut reply, &mut tools);
        }
        if is_whole && !self.has_lost_power {
            exchange.end_of_request(&mut tools);
            self.drain(&mut exchange, &mut reply, &mut tools);
            return reply;
        }
        Vec::new()
    }

    fn drain(&mut self, exchange: &mut exchange::Exchange, reply: &mut Vec<u8>, tools: &mut exchange::Tools<'_>) {
        while let Some(ask) = exchange.ask() {
            if self.has_lost_power {
                return;
            }
            if let Some(steps) = &mut self.steps {
                let Some(left) = steps.checked_sub(1) else {
                    (self.has_lost_power, self.steps) = (true, None);
                    return;
                };
                *steps = left;
            }
            let answer = match ask {
                Ask::FindSite(site) => Answer::Site(exchange::SiteKeys {
                    current: (site == SITE).then(|| DEVICE.public_key()),
                    retired: Vec::new(),
                }),
                Ask::Begin(head, _) if head.prelude().journal == JOURNAL => {
                    self.request = Some(head);
                    Answer::Begun(Ok(self.received()))
                }
                Ask::Begin(..) => Answer::Begun(Err(Refusal::new("unknown_journal", "no such journal"))),
                Ask::StoreFrame(frame) => Answer::Stored(self.store(&frame)),
                Ask::StorePart(part) => Answer::PartStored(Ok(self.keep(&part))),
                Ask::Conclude => Answer::Concluded(Ok(Box::new(self.conclude(exchange)))),
                Ask::ReadRows(read) => {
                    if let Some((number, record, size)) = self.writes.pop_front() {
                        self.write(&scope(number), &format!("record {record}"), size);
                    }
                    Answer::Rows(Ok(self.read(&read)))
                }
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
        let is_new = |refused: &&RefusedBefore| refused.sequence > received.sequence;
        self.refused.extend(frame.refused.iter().filter(is_new).cloned());
        let last = usize::try_from(frame.last().0).map_err(|_| Refusal::new("fork", "beyond"))?;
        let stored = self.entries.get(last - 1).map(|entry| entry.1);
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
        let received = self.received();
        let head = self.request.as_ref().expect("a head comes before the end");
        // Of a head of another version nothing is known but its prelude.
        let told = head.whole().map_or(ControlNumber(u64::MAX), |head| head.control);
        let control_bytes_max = head.whole().map_or(0, RequestHead::control_bytes_max);
        let waiting = self.control.iter().filter(|row| row.number > told);
        let mut bytes = 0;
        let control: Vec<_> = waiting
            .clone()
            .take_while(|row| {
                let is_first = bytes == 0;
                bytes += row.content.len();
                is_first || bytes <= control_bytes_max
            })
            .cloned()
            .collect();
        Conclusion {
            reply: ReplyHead {
                version: 1,
                token: Token([u8::try_from(self.requests % 250).unwrap() + 1; 16]),
                received: received.sequence,
                received_hash: received.hash,
                judged: received.sequence,
                backed_up: Sequence::ZERO,
                epoch: Epoch(1),
                position: Position(self.head),
                admitted_bytes: limits::REQUEST_FRAME_BYTES_MAX,
                frame_part: self.part.as_ref().map(|part| part.0),
                has_more_control: control.len() < waiting.count(),
                control,
                rows_waiting: None,
                has_pages: false,
                further: Vec::new(),
            },
            scopes: self
                .lanes
                .keys()
                .map(|scope| ScopeCursor { scope: scope.clone(), cursor: exchange.cursor_of(scope) })
                .collect(),
        }
    }

    fn read(&self, read: &exchange::ReadRows) -> Rows {
        let from = read.from.cursor;
        let mut above: Vec<_> =
            self.lanes[&read.from.scope].values().filter(|row| row.position > from.number).cloned().collect();
        above.sort_by_key(|row| row.position);
        let all = above.len();
        let mut bytes = 0;
        let rows: Vec<PageRow> = above
            .into_iter()
            .take(read.rows_max)
            .take_while(|row| {
                let is_first = bytes == 0;
                bytes += row.row.as_ref().map_or(0, |row| row.to_bytes().len());
                is_first || bytes <= read.plain_bytes_max
            })
            .collect();
        let is_drained = rows.len() == all;
        let Some(last) = rows.last() else { return Rows { rows, cursor: from, is_drained } };
        let number = if is_drained { Position(self.head) } else { last.position };
        let began = if from == Cursor::default() { Position(self.head) } else { from.began };
        Rows { rows, cursor: Cursor { epoch: Epoch(1), number, began }, is_drained }
    }
}

/// Both sides have all that the other has for them.
pub(super) fn drained(device: &Device, center: &Center) {
    assert!(center.entries == device.entries, "central has what the device recorded");
    let rows = center.lanes.iter().flat_map(|(scope, lane)| lane.values().map(move |row| (scope, row)));
    let expected: BTreeMap<_, _> =
        rows.map(|(scope, row)| ((scope.clone(), row.record.clone()), row.position)).collect();
    assert_eq!(device.rows, expected, "the device has what central has for it");
    assert_eq!(device.control, center.control, "each control row came once, in order");
}
