//! The agent's half of a session: push first, then pull (architecture, section 4; `docs/sync-protocol.md`).
//!
//! Sans-I/O. The law: after every [`Session::input`], drain [`Session::output`] until it gives `None`, carrying out each; only
//! then give the next input. A session is over after [`Output::Finished`].
//!
//! ```text
//!   ReadJournal -> Entries -> Exchange -> Reply.. -> StoreReply -> Stored -> StorePage -> Stored -> .. -> ReplyEnd
//!        ^                                                                                                   |
//!        +------------------------- until everything is received and every lane is drained ------------------+
//! ```

mod link;
mod outcome;
mod pull;
mod push;
mod receipt;
mod version;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

pub use link::Link;
pub use outcome::{Advice, Failure, Outcome, Summary};
pub use pull::{Page, PartToStore};
use push::Building;
use receipt::Said;

use crate::chain::{Predecessor, hash_of};
use crate::control::Claims;
use crate::edge::{Codec, Signer, Verifier};
use crate::few::gathered;
use crate::frame::RefusedBefore;
use crate::history::History;
use crate::ids::{
    ControlNumber, CredentialGeneration, Hash, JournalId, Nonce, PublicKey, ScopeId, Sequence, SiteId, Token,
};
use crate::limits;
use crate::message::{Cursor, FramePartState, PagePartState, ReplyHead, RequestHead, ScopeCursor};
use crate::section::{self, Binding, Kind, SectionReader};
use crate::versions::{Dialect, Receipt, Versions};

/// Requests in a row that may bring nothing forward before a session gives up.
pub const STALLED_REQUESTS_MAX: u32 = 3;
/// How often in a session what central has may go backwards before the session gives up: else a central that forgets what it
/// took would be told again for ever.
pub const SETBACKS_MAX: u32 = 3;

/// What a session begins with; everything here is durable on the device.
#[derive(Debug, Clone)]
pub struct Start {
    /// This site.
    pub site: SiteId,
    /// Central's key, pinned at enrolment.
    pub central: PublicKey,
    /// The token of the last reply.
    pub token: Token,
    /// Fresh and random: makes each of the session's requests one of its own.
    pub salt: [u8; 16],
    /// Generation of name and password that was last proved.
    pub generation: CredentialGeneration,
    /// The journal.
    pub journal: JournalId,
    /// The damaged journal before it.
    pub predecessor: Option<Predecessor>,
    /// The journal's durable head, the end of a group.
    pub head: Sequence,
    /// Hash up to there.
    pub head_hash: Hash,
    /// How far central is known to have received the journal.
    pub received: Sequence,
    /// Whether central never said so, as after the local copy was lost: then it is asked before anything is sent, because what
    /// it has forgotten by age it could not tell from another history.
    pub is_unsure: bool,
    /// The last control row that was stored.
    pub control: ControlNumber,
    /// The cursors that were stored.
    pub cursors: Vec<ScopeCursor>,
    /// How far it had read when it began to read everything anew, while that goes on.
    pub heard: Option<Cursor>,
    /// Which grants central has forgotten.
    pub claims: Claims,
    /// A page of which parts were stored.
    pub page_part: Option<PagePartState>,
    /// What central last said to have of a frame in parts; knowing it saves sending the first part again.
    pub frame_part: Option<FramePartState>,
    /// What is known of the link.
    pub link: Link,
}

/// What the session asks for.
#[derive(Debug)]
pub enum Output {
    /// Read entries above `after` up to `through`, at least one, stopping before `bytes_max` bytes are passed; answer with
    /// [`Input::Entries`].
    ReadJournal {
        /// Read above this one.
        after: Sequence,
        /// And not beyond this one.
        through: Sequence,
        /// Ceiling for the bytes of all entries but the first.
        bytes_max: usize,
    },
    /// Send these bytes as one request; answer with [`Input::Reply`] for whatever comes, in pieces of any size, then
    /// [`Input::ReplyEnd`], or with [`Input::ExchangeFailed`].
    Exchange(Vec<u8>),
    /// Read the journal's hash up to an entry below its head; answer with [`Input::HashRead`]. Before the receipt is stored: central
    /// may have another history, and what only this device has must not count as received then.
    ReadHash {
        /// The entry.
        sequence: Sequence,
    },
    /// Store token, receipt, verdicts and control rows in one durable step; answer with [`Input::Stored`].
    StoreReply(Box<ReplyHead>),
    /// Store token and receipt in one durable step, no verdicts and no control rows: central does not understand this program's
    /// version, and gives nothing else. Answer with [`Input::Stored`].
    StoreReceipt(Box<Receipt>),
    /// Store a page with its cursor in one durable step, and let go of parts that are kept of the same scope, no others; answer
    /// with [`Input::Stored`].
    StorePage(Page),
    /// Keep a part of a page durably; answer with [`Input::PartStored`]. The whole stays kept until its page is stored.
    StorePart(PartToStore),
    /// The session is over.
    Finished(Outcome),
}

/// What the session is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// Entries that were asked for, each with the hash after it, and the hash before the first.
    Entries {
        /// Hash of the journal before the first entry.
        before: Hash,
        /// Bytes and hash after, in order, without gaps.
        entries: Vec<(Vec<u8>, Hash)>,
        /// Those that central has refused before, in order.
        refused: Vec<RefusedBefore>,
    },
    /// The hash that was asked for; `None` if the journal has let go of the entry.
    HashRead(Option<Hash>),
    /// Bytes of the reply.
    Reply(&'a [u8]),
    /// The reply ended as its transport says it should.
    ReplyEnd,
    /// The connection could not be made, or broke, or went silent; the text says how.
    ExchangeFailed(&'a str),
    /// A reply's head that is stored said that all grants were told: these are the ones that were not. To be given before
    /// [`Input::Stored`]; central is answered before the session ends, because it judges nothing until then.
    Claims(Claims),
    /// How far the journal went when the reply's head or the page was stored, read under the lock under which edits are checked. To be
    /// given before [`Input::Stored`]; without it nothing was recorded since the session began.
    Recorded(Sequence),
    /// What was to be stored is durable.
    Stored,
    /// A part is durable; with the whole once the last one is.
    PartStored(Option<Vec<u8>>),
}

/// The edges that a session needs to build and check messages.
pub struct Tools<'a> {
    /// Packs and unpacks.
    pub codec: &'a mut dyn Codec,
    /// Signs as this device.
    pub signer: &'a dyn Signer,
    /// Checks central's signatures.
    pub verifier: &'a dyn Verifier,
}

/// One session. See the module's text for the law.
pub struct Session {
    start: Start,
    dialect: Dialect,
    phase: Phase,
    outputs: VecDeque<Output>,
    link: Link,
    token: Token,
    received: Sequence,
    /// Hash at `received`, once central has said it.
    received_hash: Option<Hash>,
    admitted_bytes: u32,
    frame_part: Option<FramePartState>,
    control: ControlNumber,
    cursors: BTreeMap<ScopeId, Cursor>,
    page_part: Option<PagePartState>,
    recorded: Sequence,
    stalled_requests: u32,
    setbacks: u32,
    /// A challenge to be answered by the next request; a session answers one.
    answer: Option<Nonce>,
    has_answered: bool,
    has_asked: bool,
    /// Central told all grants, and is to be answered which others there are.
    owes_claims: bool,
    /// Its request and reply are files: one of each, as large as a file may be, and no other request follows.
    is_carried: bool,
    /// How far the journal goes, and its hash there: central cannot have more of it. The start's head, but for an answer by file.
    durable: (Sequence, Hash),
    /// Scopes that began anew in this session; once each is how a lane is rebuilt.
    rewound: BTreeSet<ScopeId>,
    /// Central's head at the last reply that was stored.
    through: Option<Cursor>,
    summary: Summary,
}

enum Phase {
    Reading(Building),
    Exchanging(Box<Exchange>),
    Finished,
}

/// One request and what came of it so far.
struct Exchange {
    request: Hash,
    reader: SectionReader,
    history: History,
    reply: Option<ReplyHead>,
    /// A refusal came in place of a reply that the next request is the answer to.
    again: Option<Again>,
    /// A refusal came in place of a reply because this program's version is not understood: the versions that are.
    apart: Option<Versions>,
    /// Set while something is being stored: no section is opened until it is.
    storing: Option<Storing>,
    pages: u32,
    last_page: Option<bool>,
    progress: bool,
}

impl Exchange {
    /// Waits for the reply to a request of which the head has this hash.
    fn of(request: Hash) -> Self {
        Self {
            request,
            reader: SectionReader::default(),
            history: History::default(),
            reply: None,
            again: None,
            apart: None,
            storing: None,
            pages: 0,
            last_page: None,
            progress: false,
        }
    }
}

/// Why a request without edits comes next; each once in a session.
#[derive(Clone, Copy)]
enum Again {
    /// Central challenged.
    Answer(Nonce),
    /// Central has less than it had said, as after it was set back: it is asked how far it is.
    AskHowFar,
}

enum Storing {
    /// What was said waits for the hash that its receipt is compared with.
    Compared(Said),
    Reply,
    Receipt(Box<Receipt>),
    Page {
        scope: ScopeId,
        cursor: Cursor,
        rows: usize,
    },
    Part(Box<crate::page::PageHeader>),
}

impl Session {
    /// Begins a session; its first outputs are there.
    pub fn begin(start: Start, tools: &mut Tools<'_>) -> Self {
        Self::begin_in(start, Dialect::default(), tools)
    }

    /// Begins a session of a program that speaks these versions.
    pub fn begin_in(start: Start, dialect: Dialect, tools: &mut Tools<'_>) -> Self {
        let mut session = Self::of(start, dialect);
        session.next_request(tools);
        session
    }

    /// Begins a session whose request goes by file: asks for the journal as any other, and then for one exchange, whose request may have
    /// [`limits::CARRIED_FRAME_BYTES_MAX`] bytes of frames. The answer is taken by [`Session::carry_in`].
    pub fn carry_out(start: Start, tools: &mut Tools<'_>) -> Self {
        let mut session = Self::of(start, Dialect::default()).carried();
        session.admitted_bytes = limits::CARRIED_FRAME_BYTES_MAX;
        session.next_request(tools);
        session
    }

    /// Goes on with a session whose request went by file and waits for the reply to it. `start` is what it began with, `request` the hash
    /// of the request's head, and `durable` how far the journal goes now, with its hash there: what was recorded since may have come to
    /// central in a session whose reply was lost. It ends with the reply.
    pub fn carry_in(start: Start, request: Hash, durable: (Sequence, Hash)) -> Self {
        let mut session = Self::of(start, Dialect::default()).carried();
        session.durable = durable;
        session.phase = Phase::Exchanging(Box::new(Exchange::of(request)));
        session
    }

    fn carried(mut self) -> Self {
        (self.is_carried, self.link) = (true, Link::default());
        self
    }

    fn of(start: Start, dialect: Dialect) -> Self {
        Self {
            dialect,
            phase: Phase::Finished,
            outputs: VecDeque::new(),
            link: start.link,
            token: start.token,
            received: start.received,
            received_hash: None,
            admitted_bytes: 0,
            frame_part: start.frame_part,
            control: start.control,
            cursors: gathered(start.cursors.iter().map(|each| (each.scope.clone(), each.cursor))),
            page_part: start.page_part.clone(),
            recorded: start.head,
            stalled_requests: 0,
            setbacks: 0,
            answer: None,
            has_answered: false,
            has_asked: false,
            owes_claims: false,
            is_carried: false,
            durable: (start.head, start.head_hash),
            rewound: BTreeSet::new(),
            through: None,
            summary: Summary { entries_total: start.head.0.saturating_sub(start.received.0), ..Summary::default() },
            start,
        }
    }

    /// The next thing to do, or `None` when it is time for an input.
    pub fn output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// How far each scope is read by what was stored.
    pub fn cursors(&self) -> &BTreeMap<ScopeId, Cursor> {
        &self.cursors
    }

    /// Central's epoch and head at the last reply that was stored: a site whose session came to its end has everything up to there.
    pub fn through(&self) -> Option<Cursor> {
        self.through
    }

    /// How far the session is, for people who watch.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Tells the session what happened.
    ///
    /// # Panics
    /// If the law is broken: an input that answers nothing that was asked for.
    pub fn input(&mut self, input: Input<'_>, tools: &mut Tools<'_>) {
        assert!(self.outputs.is_empty(), "drain all outputs before the next input");
        match (input, &mut self.phase) {
            (_, Phase::Finished) => {}
            (Input::Entries { before, entries, refused }, Phase::Reading(_)) => {
                self.entries_read(before, &entries, &refused, tools);
            }
            (Input::Reply(bytes), Phase::Exchanging(exchange)) => {
                self.summary.bytes_in += bytes.len() as u64;
                exchange.reader.feed(bytes);
                self.open_sections(tools);
            }
            (Input::HashRead(hash), Phase::Exchanging(_)) => self.hash_read(hash),
            (Input::Claims(claims), Phase::Exchanging(exchange)) => {
                (self.start.claims, self.owes_claims) = (claims, true);
                exchange.progress = true;
            }
            (Input::Recorded(recorded), Phase::Exchanging(_)) => self.recorded = self.recorded.max(recorded),
            (Input::Stored, Phase::Exchanging(_)) => {
                self.stored();
                self.open_sections(tools);
            }
            (Input::PartStored(whole), Phase::Exchanging(_)) => {
                self.part_stored(whole, tools);
                self.open_sections(tools);
            }
            (Input::ReplyEnd, Phase::Exchanging(_)) => self.reply_ended(tools),
            (Input::ExchangeFailed(reason), Phase::Exchanging(_)) => self.fail(Failure::Cut(reason.into())),
            (input, _) => panic!("{input:?} answers nothing that was asked for"),
        }
    }

    /// Reads the journal if something is to be pushed, else asks for what central has.
    fn next_request(&mut self, tools: &mut Tools<'_>) {
        let is_unsure = core::mem::take(&mut self.start.is_unsure);
        if self.received >= self.start.head || is_unsure {
            self.send(&[], 0, tools);
            return;
        }
        self.phase = Phase::Reading(Building::after(self.received, self.received_hash));
        self.read_on();
    }

    /// Reads on where the request that is being built ends.
    fn read_on(&mut self) {
        let Phase::Reading(building) = &self.phase else { return };
        let bytes_max = if self.admitted_bytes == 0 { self.link.plain_bytes() } else { push::READ_BYTES_MAX };
        self.outputs.push_back(Output::ReadJournal { after: building.packed(), through: self.start.head, bytes_max });
    }

    /// Sends a head and sealed frames.
    fn send(&mut self, frames: &[u8], entries: u64, tools: &mut Tools<'_>) {
        let salted = hash_of(&[&self.start.salt[..], &self.summary.requests.to_le_bytes()].concat());
        let mut salt = [0; 8];
        salt.iter_mut().zip(salted.0).for_each(|(byte, random)| *byte = random);
        let head = RequestHead {
            version: self.dialect.versions.max,
            site: self.start.site,
            token: self.token,
            journal: self.start.journal,
            predecessor: self.start.predecessor,
            head: self.start.head,
            head_hash: self.start.head_hash,
            generation: self.start.generation,
            control: self.control,
            cursors: self
                .cursors
                .iter()
                .map(|(scope, cursor)| ScopeCursor { scope: scope.clone(), cursor: *cursor })
                .collect(),
            heard: self.start.heard,
            claims: self.start.claims.clone(),
            page_bytes: self.link.target_bytes(),
            reply_bytes: if self.is_carried {
                limits::CARRIED_PAGE_BYTES_MAX
            } else {
                limits::REPLY_PAGE_BYTES_MAX.min(self.link.target_bytes() * 32)
            },
            counts_rows: self.summary.rows_total.is_none(),
            page_part: self.page_part.clone(),
            recorded: self.recorded,
            further: Vec::new(),
            salt,
            answer: self.answer.take(),
        };
        let body = self.dialect.encode_head(&head);
        let binding = self.binding(Hash::NONE);
        let mut request = section::seal(Kind::RequestHead, &binding, &body, tools.signer);
        request.extend_from_slice(frames);
        self.owes_claims = false;
        self.summary.requests += 1;
        self.summary.entries_sent += entries;
        self.summary.bytes_out += request.len() as u64;
        self.phase = Phase::Exchanging(Box::new(Exchange::of(hash_of(&body))));
        self.outputs.push_back(Output::Exchange(request));
    }

    /// The reply is over: was it whole, and what comes next?
    fn reply_ended(&mut self, tools: &mut Tools<'_>) {
        let Phase::Exchanging(exchange) = &self.phase else { return };
        if let Some(again) = exchange.again {
            match again {
                Again::Answer(nonce) => (self.answer, self.has_answered) = (Some(nonce), true),
                Again::AskHowFar => self.has_asked = true,
            }
            self.link.went_through();
            return self.send(&[], 0, tools);
        }
        if let Some(understood) = exchange.apart {
            return self.refusal_ended(understood, tools);
        }
        let Some(reply) = &exchange.reply else {
            return self.fail(Failure::Cut("the reply ended before its head".into()));
        };
        if exchange.storing.is_some() || exchange.reader.holds_rest() || reply.has_pages != exchange.last_page.is_some()
        {
            return self.fail(Failure::Cut("the reply ended early".into()));
        }
        let is_drained = exchange.last_page.unwrap_or(true) && !reply.has_more_control;
        let is_pushed = self.received >= self.start.head;
        let progress = exchange.progress;
        self.link.went_through();
        let is_over = is_pushed && is_drained && !self.owes_claims;
        if is_over || self.is_carried {
            return self.finish(None, !is_over);
        }
        self.go_on(progress, tools);
    }

    /// Makes the next request, unless the session gets nowhere.
    fn go_on(&mut self, progress: bool, tools: &mut Tools<'_>) {
        self.stalled_requests = if progress { 0 } else { self.stalled_requests + 1 };
        if self.stalled_requests >= STALLED_REQUESTS_MAX || self.setbacks >= SETBACKS_MAX {
            return self.fail(Failure::Stalled);
        }
        self.next_request(tools);
    }

    fn fail(&mut self, failure: Failure) {
        if failure.blames_link() {
            self.link.failed();
        }
        self.finish(Some(failure), false);
    }

    fn finish(&mut self, failure: Option<Failure>, goes_on: bool) {
        self.phase = Phase::Finished;
        self.outputs.clear();
        // A file says nothing of the link.
        let link = if self.is_carried { self.start.link } else { self.link };
        let (summary, frame_part) = (self.summary.clone(), self.frame_part);
        let outcome = Outcome { failure, goes_on, summary, frame_part, link };
        self.outputs.push_back(Output::Finished(outcome));
    }

    fn binding(&self, context: Hash) -> Binding {
        Binding { central: self.start.central, site: self.start.site, context }
    }
}

#[cfg(test)]
mod tests;
