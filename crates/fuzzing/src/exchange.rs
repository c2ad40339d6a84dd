//! Central's machine against requests that are well signed and say whatever the bytes say, with a store that answers what the
//! bytes say within its contract.

use protocol::control::Claims;
use protocol::exchange::{self, Answer, Ask, Conclusion, Exchange, PartKept, ReadRows, Received, Rows, SiteKeys};
use protocol::history::History;
use protocol::ids::{
    ControlNumber, CredentialGeneration, Epoch, Hash, JournalId, Position, RecordId, Sequence, SiteId, TableRef, Token,
};
use protocol::limits;
use protocol::message::{
    self, Cursor, FramePart, FramePartState, PagePartState, Refusal, ReplyHead, RequestHead, ScopeCursor,
};
use protocol::page::{self, PageRow};
use protocol::row::{ColumnRef, Row, Value};
use protocol::section::{Binding, Kind, SectionReader};
use protocol::versions::{Head, Prelude};
use protocol::{chain, frame};

use crate::device::{control_rows, scope};
use crate::edges::{CENTRAL, DEVICE, JOURNAL, SITE, Unpacking, by_device, context_of, kind_of};
use crate::program::Program;

/// Reads that find rows, in one run.
const READS_MAX: usize = 40;

/// The last position that a store can give.
const POSITION_MAX: u64 = i64::MAX.cast_unsigned();

/// One request, and its reply if there is one.
pub(crate) fn exchange(bytes: &[u8]) {
    let mut program = Program::new(bytes);
    let request = request(&mut program);
    let piece_bytes = usize::from(program.byte()) * 64 + 1;
    let mut codec = Unpacking::default();
    let mut tools = exchange::Tools { codec: &mut codec, signer: &CENTRAL, verifier: &DEVICE };
    let mut exchange = Exchange::new();
    let mut center = Center::default();
    for piece in request.chunks(piece_bytes) {
        exchange.feed(piece, &mut tools);
        center.answer_all(&mut exchange, &mut program, &mut tools);
    }
    exchange.end_of_request(&mut tools);
    center.answer_all(&mut exchange, &mut program, &mut tools);
    match center.end {
        Some(End::Refused) => {}
        Some(End::Answered) => center.check_reply(&request),
        None => panic!("an exchange is refused or answered once its request is over"),
    }
    exchange.feed(b"more", &mut tools);
    assert!(exchange.ask().is_none(), "nothing follows the end");
}

enum End {
    Refused,
    Answered,
}

#[derive(Default)]
struct Center {
    sent: Vec<u8>,
    reads: usize,
    kept: Option<(FramePartState, Vec<u8>)>,
    head: Option<Head>,
    end: Option<End>,
}

impl Center {
    fn answer_all(&mut self, exchange: &mut Exchange, program: &mut Program<'_>, tools: &mut exchange::Tools<'_>) {
        while let Some(ask) = exchange.ask() {
            assert!(self.end.is_none(), "nothing follows the end: {ask:?}");
            if let Some(answer) = self.answer(ask, exchange, program) {
                exchange.answer(answer, tools);
            }
        }
    }

    fn answer(&mut self, ask: Ask, exchange: &Exchange, program: &mut Program<'_>) -> Option<Answer> {
        let received = Received { sequence: Sequence(program.number()), hash: Hash([program.byte(); 32]) };
        // Now and then the store refuses.
        let result = |program: &mut Program<'_>| match program.byte() {
            250.. => Err(Refusal::new("busy", "central is busy")),
            _ => Ok(()),
        };
        Some(match ask {
            Ask::FindSite(site) => {
                Answer::Site(SiteKeys { current: (site == SITE).then(|| DEVICE.public()), retired: Vec::new() })
            }
            Ask::Begin(head, _) => {
                assert_eq!(exchange.site(), Some(SITE));
                assert!(head.whole().is_none_or(|head| head.cursors.len() <= limits::SCOPES_MAX));
                self.head = Some(head);
                Answer::Begun(result(program).map(|()| received))
            }
            Ask::StoreFrame(frame) => {
                let head = self.head.as_ref().unwrap_or_else(|| panic!("a frame comes behind its head")).prelude();
                assert!(frame.journal == head.journal && frame.last() <= head.head);
                Answer::Stored(result(program).map(|()| received))
            }
            Ask::StorePart(part) => Answer::PartStored(result(program).map(|()| self.keep(&part))),
            Ask::Conclude => Answer::Concluded(result(program).map(|()| Box::new(conclusion(program, exchange)))),
            Ask::ReadRows(read) => {
                let rows = self.rows(&read, program);
                Answer::Rows(result(program).map(|()| rows))
            }
            Ask::Send(bytes) => {
                self.sent.extend_from_slice(&bytes);
                return None;
            }
            Ask::Refuse(refusal, bytes) => {
                assert!(
                    refusal.code.len() <= limits::CODE_BYTES_MAX && refusal.message.len() <= limits::REASON_BYTES_MAX
                );
                assert!(bytes.len() <= section_bytes_max(Kind::Refusal));
                self.end = Some(End::Refused);
                return None;
            }
            Ask::Finished => {
                self.end = Some(End::Answered);
                return None;
            }
        })
    }

    fn keep(&mut self, part: &FramePart) -> PartKept {
        assert!(part.total as usize <= limits::SEALED_FRAME_BYTES_MAX, "what is kept has a limit");
        let mut bytes = match self.kept.take() {
            Some((state, bytes)) if state.hash == part.hash => bytes,
            _ => Vec::new(),
        };
        if bytes.len() == part.offset as usize {
            bytes.extend_from_slice(&part.bytes);
        }
        let state = FramePartState { hash: part.hash, received: u32::try_from(bytes.len()).unwrap_or(u32::MAX) };
        if state.received == part.total {
            return PartKept { state, whole: Some(bytes) };
        }
        self.kept = Some((state, bytes));
        PartKept { state, whole: None }
    }

    /// Rows above a cursor, which they move, until there are none.
    fn rows(&mut self, read: &ReadRows, program: &mut Program<'_>) -> Rows {
        assert!(read.rows_max >= 1 && read.rows_max <= limits::PAGE_ROWS_MAX);
        self.reads += 1;
        let nothing = Rows { rows: Vec::new(), cursor: read.from.cursor, is_drained: true };
        if self.reads > READS_MAX || program.is_over() {
            return nothing;
        }
        let count = program.below(6).min(read.rows_max);
        let mut rows: Vec<PageRow> = Vec::new();
        let mut number = read.from.cursor.number.0;
        // A store counts in signed numbers, and above their end there is no row.
        let room = POSITION_MAX.saturating_sub(number);
        for _ in 0..count.min(usize::try_from(room).unwrap_or(usize::MAX)) {
            number += 1;
            let size = usize::from(program.short());
            let text = "x".repeat(if size > 65_500 { 1_000_000 } else { size });
            let row = Row::new(vec![(ColumnRef::Known(0), Value::Text(text))]).ok();
            let record = RecordId::new(&number.to_string()).unwrap_or_else(|_| panic!("a number is a short id"));
            rows.push(PageRow { table: TableRef::Known(1), record, position: Position(number), row });
        }
        if rows.is_empty() {
            return nothing;
        }
        let is_drained = program.flag();
        Rows { rows, cursor: Cursor { number: Position(number), ..read.from.cursor }, is_drained }
    }

    /// What was sent is a head, then pages in order, each signed for this request and within its limit.
    fn check_reply(&mut self, request: &[u8]) {
        let asked = self.head.as_ref().and_then(Head::whole);
        let asked = asked.unwrap_or_else(|| panic!("what is answered had a head of a version that is understood"));
        let binding = Binding { central: CENTRAL.public(), site: SITE, context: context_of(request) };
        let mut reader = SectionReader::default();
        reader.feed(&self.sent);
        let mut next = || {
            let sealed = reader.next_section().unwrap_or_else(|error| panic!("central sends sections: {error}"))?;
            let body = sealed.open(&binding, &CENTRAL.public(), &CENTRAL);
            let body = body.unwrap_or_else(|error| panic!("central signs: {error}")).to_vec();
            Some((sealed.kind(), body))
        };
        let Some((Kind::ReplyHead, body)) = next() else { panic!("a reply begins with its head") };
        let head: ReplyHead = message::decode(&body).unwrap_or_else(|error| panic!("a reply's head: {error}"));
        let mut codec = Unpacking::default();
        let (mut history, mut last, mut index, mut page_bytes) = (History::default(), None, 0, 0);
        while let Some((kind, body)) = next() {
            assert_eq!((kind, last), (Kind::Page, None), "nothing follows the last page");
            let (header, packed) = page::read_header(&body).unwrap_or_else(|error| panic!("a page's header: {error}"));
            assert_eq!(header.index, index);
            index += 1;
            last = header.is_last.then_some(header.is_complete);
            assert!(page_bytes < asked.reply_bytes as usize, "a page begins within the budget");
            page_bytes += packed.len();
            if header.part.is_none() {
                let rows = page::unpack_rows(&header, packed, &mut history, &mut codec);
                let rows = rows.unwrap_or_else(|error| panic!("a page's rows: {error}"));
                assert!(!rows.is_empty() && rows.len() <= limits::PAGE_ROWS_MAX);
            }
        }
        assert_eq!(head.has_pages, last.is_some(), "pages come if they are announced, and the last one says so");
        assert!(!head.has_pages || head.received >= asked.head, "invariant 5: no page before everything is received");
    }
}

fn section_bytes_max(kind: Kind) -> usize {
    kind.body_bytes_max() + protocol::section::HEADER_BYTES
}

fn conclusion(program: &mut Program<'_>, exchange: &Exchange) -> Conclusion {
    let first = program.number();
    let scopes = (0..program.below(4)).map(|number| scope(u8::try_from(number).unwrap_or(0)));
    let scopes = scopes.map(|scope| ScopeCursor { cursor: exchange.cursor_of(&scope), scope }).collect();
    let reply = ReplyHead {
        version: message::VERSION,
        token: Token([1; 16]),
        received: Sequence(program.number()),
        received_hash: Hash::NONE,
        judged: Sequence::ZERO,
        backed_up: Sequence::ZERO,
        epoch: Epoch(1),
        position: Position(1),
        admitted_bytes: program.length(),
        frame_part: None,
        control: control_rows(program, first),
        has_more_control: program.flag(),
        rows_waiting: None,
        has_pages: false,
        further: Vec::new(),
    };
    Conclusion { reply, scopes }
}

/// A head, then sections of all kinds.
fn request(program: &mut Program<'_>) -> Vec<u8> {
    let mut request = match program.byte() % 8 {
        0 => by_device(Kind::RequestHead, program.some()),
        1 => program.some().to_vec(),
        7 => {
            let prelude = Prelude { version: program.byte(), ..request_head(program).prelude() };
            by_device(Kind::RequestHead, &[&message::encode(&prelude), program.some()].concat())
        }
        _ => {
            let head = request_head(program);
            by_device(Kind::RequestHead, &message::encode(&head))
        }
    };
    let mut before = Hash::NONE;
    let mut first = 1;
    for _ in 0..program.below(8) {
        request.extend(match program.byte() % 6 {
            0 | 1 => {
                let (body, after, count) = packed_frame(program, Sequence(first), before);
                (before, first) = (after, first + count);
                by_device(Kind::Frame, &body)
            }
            2 => {
                let (body, ..) = packed_frame(program, Sequence(first), before);
                frame_parts(program, &by_device(Kind::Frame, &body))
            }
            3 => {
                let part = FramePart {
                    journal: if program.flag() { JOURNAL } else { JournalId([program.byte(); 16]) },
                    first: Sequence(program.number()),
                    hash: Hash([program.byte(); 32]),
                    offset: program.length(),
                    total: program.length(),
                    bytes: program.some().to_vec(),
                };
                by_device(Kind::FramePart, &message::encode(&part))
            }
            4 => by_device(kind_of(program.byte()), program.some()),
            _ => program.some().to_vec(),
        });
    }
    let cut = usize::from(program.short());
    if program.below(8) == 1 {
        request.truncate(cut);
    }
    request
}

fn request_head(program: &mut Program<'_>) -> RequestHead {
    let cursors = (0..program.below(4)).map(|_| ScopeCursor {
        scope: scope(program.byte()),
        cursor: Cursor { epoch: Epoch(1), number: Position(program.number()), began: Position(0) },
    });
    let cursors = cursors.collect();
    RequestHead {
        version: message::VERSION,
        site: if program.below(8) == 1 { SiteId(program.length()) } else { SITE },
        token: Token::NONE,
        journal: JOURNAL,
        predecessor: None,
        head: Sequence(program.number()),
        head_hash: Hash::NONE,
        generation: CredentialGeneration(0),
        control: ControlNumber(program.number()),
        cursors,
        heard: program.flag().then(|| Cursor {
            epoch: Epoch(1),
            number: Position(program.number()),
            began: Position(0),
        }),
        claims: Claims::default(),
        page_bytes: program.length(),
        reply_bytes: if program.flag() { 1_000_000 } else { program.length() },
        counts_rows: program.flag(),
        page_part: program.flag().then(|| PagePartState {
            scope: scope(program.byte()),
            hash: Hash([program.byte(); 32]),
            received: program.length(),
        }),
        recorded: Sequence(u64::from(program.length())),
        further: Vec::new(),
        salt: [0; 8],
        answer: None,
    }
}

fn packed_frame(program: &mut Program<'_>, first: Sequence, before: Hash) -> (Vec<u8>, Hash, u64) {
    let mut hash = before;
    let mut entries = Vec::new();
    for _ in 0..=program.below(3) {
        let entry = program.some().to_vec();
        hash = chain::extend(hash, &entry);
        entries.push((entry, hash));
    }
    let run = frame::Run { journal: JOURNAL, first, before, entries: &entries, refused: &[] };
    let packed = frame::pack(run, &History::default(), &mut Unpacking::default());
    let packed = packed.unwrap_or_else(|error| panic!("packing never fails: {error}"));
    (packed.body, hash, entries.len() as u64)
}

fn frame_parts(program: &mut Program<'_>, whole: &[u8]) -> Vec<u8> {
    let hash = if program.below(8) == 1 { Hash([9; 32]) } else { chain::hash_of(whole) };
    let total = u32::try_from(whole.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::new();
    let mut offset = 0;
    for _ in 0..=program.below(4) {
        let rest = whole.get(offset..).unwrap_or_default();
        let slice = &rest[..rest.len().min(usize::from(program.byte()) + 1)];
        let part = FramePart {
            journal: JOURNAL,
            first: Sequence(1),
            hash,
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
            total,
            bytes: slice.to_vec(),
        };
        bytes.extend(by_device(Kind::FramePart, &message::encode(&part)));
        offset += slice.len();
    }
    bytes
}
