//! Central's half of one exchange: a request comes in pieces, a reply goes out in sections (architecture, section 4).
//!
//! Sans-I/O like [`crate::session`], with the same law: after every input, drain all outputs. Each [`Ask`] that wants an answer
//! gets exactly one [`Answer`] before the next input.
//!
//! Order of checks: size, then the site's key, then the signature; before that nothing is asked of the store but the key.

mod reply;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::chain::hash_of;
use crate::control::Claims;
use crate::edge::{Codec, Signer, Verifier};
use crate::export::ExportHead;
use crate::frame::{self, Frame, FrameError};
use crate::history::History;
use crate::ids::{Hash, PublicKey, ScopeId, Sequence, SiteId};
use crate::limits;
use crate::message::{self, Cursor, FramePart, FramePartState, Refusal, ReplyHead, ScopeCursor};
use crate::page::PageRow;
use crate::section::{self, Binding, Kind, Sealed, SectionReader};
use crate::versions::{Head, Prelude, VERSION_CODE, Versions};

/// What the exchange asks for.
#[derive(Debug)]
pub enum Ask {
    /// The keys of a site; answer with [`Answer::Site`].
    FindSite(SiteId),
    /// The head is right: take up the exchange; answer with [`Answer::Begun`]. Of one that a retired key has signed only the
    /// edits count, and they go to set-aside. Of a head of another version only the prelude is there: frames are stored and judged as
    /// ever, and nothing else of the site changes.
    Begin(Head, Standing),
    /// Make a frame durable; answer with [`Answer::Stored`].
    StoreFrame(Frame),
    /// Make a part durable; answer with [`Answer::PartStored`]. One that does not go on where what is kept of its hash ends
    /// changes nothing, a part of another hash begins anew. The last one gives the whole, and nothing is kept any more.
    StorePart(FramePart),
    /// The request is over: judge, and say what the reply's head holds; answer with [`Answer::Concluded`].
    Conclude,
    /// Rows above a cursor; answer with [`Answer::Rows`].
    ReadRows(ReadRows),
    /// Send these bytes of the reply.
    Send(Vec<u8>),
    /// Refuse: send these bytes as the whole reply if nothing was sent yet.
    Refuse(Refusal, Vec<u8>),
    /// The reply is complete.
    Finished,
}

/// How the key that signed a request stands to its site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It speaks for the site.
    Current,
    /// It did once; another device took its place.
    Retired,
}

/// The keys that a site is known by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SiteKeys {
    /// The key that speaks for it; `None` if no device is enrolled.
    pub current: Option<PublicKey>,
    /// Keys that once did, at most [`limits::RETIRED_KEYS_MAX`], the newest first.
    pub retired: Vec<PublicKey>,
}

/// Which rows to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRows {
    /// The scope and the cursor to read above.
    pub from: ScopeCursor,
    /// Most rows beside parents that must come first.
    pub rows_max: usize,
    /// Stop before packed rows pass this size; one row at least.
    pub plain_bytes_max: usize,
}

/// What the store found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// Rows in the order of their positions, but each after its parent if that is above the cursor too.
    pub rows: Vec<PageRow>,
    /// The cursor once they are stored. Unchanged if there is nothing to say.
    pub cursor: Cursor,
    /// Whether the lane holds nothing more for the site.
    pub is_drained: bool,
}

/// How far central has a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The last entry.
    pub sequence: Sequence,
    /// The journal's hash there.
    pub hash: Hash,
}

/// What was kept of a frame in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartKept {
    /// How much there is.
    pub state: FramePartState,
    /// The sealed frame, once all of it is there.
    pub whole: Option<Vec<u8>>,
}

/// What the reply's head holds and where its pages begin. `has_pages` is set by the exchange. For a head of another version, whose
/// reply is a refusal with a receipt, there are no control rows and no scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// The head.
    pub reply: ReplyHead,
    /// Each scope of the site with the cursor to read from.
    pub scopes: Vec<ScopeCursor>,
}

/// Answers to what was asked.
#[derive(Debug)]
pub enum Answer {
    /// The site's keys; none for a site that is unknown or never was enrolled.
    Site(SiteKeys),
    /// How far the journal is received, or a refusal.
    Begun(Result<Received, Refusal>),
    /// How far the journal is received with this frame, or a refusal.
    Stored(Result<Received, Refusal>),
    /// What is kept of the frame, or a refusal.
    PartStored(Result<PartKept, Refusal>),
    /// The reply's head, or a refusal.
    Concluded(Result<Box<Conclusion>, Refusal>),
    /// Rows, or a refusal (the pages before it stand).
    Rows(Result<Rows, Refusal>),
}

/// The edges that an exchange needs.
pub struct Tools<'a> {
    /// Packs and unpacks.
    pub codec: &'a mut dyn Codec,
    /// Signs as central.
    pub signer: &'a dyn Signer,
    /// Checks the site's signatures.
    pub verifier: &'a dyn Verifier,
}

/// One exchange.
pub struct Exchange {
    versions: Versions,
    state: State,
    asks: VecDeque<Ask>,
    reader: SectionReader,
    /// Plain bytes of the request's frames.
    history: History,
    is_request_over: bool,
    /// Set while an answer is awaited.
    is_asking: bool,
    request_bytes: usize,
    head: Option<Sealed>,
    /// What a refusal is bound to before anything is proved, so that the device can read why.
    claimed: Option<(SiteId, Hash)>,
    site: Option<KnownSite>,
    request: Option<(Head, Hash)>,
    way: Way,
    reply: reply::Reply,
}

/// How what is replied travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Over a link that may break.
    Link,
    /// In a file, which answers one that came.
    File,
    /// In a file that answers nothing: of this site, behind a head with this hash.
    Export(SiteId, Hash),
}

struct KnownSite {
    id: SiteId,
    key: PublicKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Frames,
    Concluding,
    Pages,
    Finished,
}

impl Exchange {
    /// Waits for a request.
    #[expect(clippy::new_without_default, reason = "an exchange is one conversation, not a value with a default")]
    pub fn new() -> Self {
        Self::of_versions(Versions::OWN)
    }

    /// Waits for a request as a central that understands these versions.
    pub fn of_versions(versions: Versions) -> Self {
        Self {
            versions,
            state: State::Head,
            asks: VecDeque::new(),
            reader: SectionReader::default(),
            history: History::default(),
            is_request_over: false,
            is_asking: false,
            request_bytes: 0,
            head: None,
            claimed: None,
            site: None,
            request: None,
            way: Way::Link,
            reply: reply::Reply::default(),
        }
    }

    /// Waits for a request that comes in a file and is answered in one: with up to [`limits::CARRIED_PAGE_BYTES_MAX`] bytes of pages.
    pub fn carried() -> Self {
        Self { way: Way::File, ..Self::new() }
    }

    /// Exports these scopes from their beginning: a head, then pages as of a reply, which pass for none.
    pub fn export(head: &ExportHead, scopes: Vec<ScopeId>, tools: &mut Tools<'_>) -> Self {
        let body = message::encode(head);
        let mut exchange = Self { way: Way::Export(head.site, hash_of(&body)), ..Self::new() };
        let binding = Binding { central: tools.signer.public_key(), site: head.site, context: Hash::NONE };
        exchange.put(Ask::Send(section::seal(Kind::ExportHead, &binding, &body, tools.signer)));
        exchange
            .begin_pages(scopes.into_iter().map(|scope| ScopeCursor { scope, cursor: Cursor::default() }).collect());
        exchange.advance(tools);
        exchange
    }

    /// The next thing to do, or `None` when it is time for an input.
    pub fn ask(&mut self) -> Option<Ask> {
        self.asks.pop_front()
    }

    /// Bytes of the request, in pieces of any size.
    pub fn feed(&mut self, bytes: &[u8], tools: &mut Tools<'_>) {
        if self.state == State::Finished {
            return;
        }
        self.request_bytes = self.request_bytes.saturating_add(bytes.len());
        if self.request_bytes > limits::REQUEST_BYTES_MAX {
            let limit = limits::REQUEST_BYTES_MAX;
            return self.refuse(Refusal::new("too_large", &alloc::format!("a request is above {limit} bytes")), tools);
        }
        self.reader.feed(bytes);
        self.advance(tools);
    }

    /// The request came to its end as its transport says it should.
    pub fn end_of_request(&mut self, tools: &mut Tools<'_>) {
        self.is_request_over = true;
        self.advance(tools);
    }

    /// The site, once its signature was right.
    pub fn site(&self) -> Option<SiteId> {
        self.request.as_ref().map(|(head, _)| head.prelude().site)
    }

    /// The key that its head was signed with, once that was right.
    pub fn key(&self) -> Option<PublicKey> {
        self.site.as_ref().map(|site| site.key)
    }

    /// The cursor that the request reported for a scope; one at 0 if it reported none.
    pub fn cursor_of(&self, scope: &ScopeId) -> Cursor {
        let whole = self.request.as_ref().and_then(|(head, _)| head.whole());
        let cursors = whole.map(|head| head.cursors.as_slice()).unwrap_or_default();
        cursors.iter().find(|each| each.scope == *scope).map(|each| each.cursor).unwrap_or_default()
    }

    /// An answer to the last [`Ask`].
    ///
    /// # Panics
    /// If it answers nothing that was asked for.
    pub fn answer(&mut self, answer: Answer, tools: &mut Tools<'_>) {
        assert!(self.is_asking, "an answer came that nothing asked for");
        self.is_asking = false;
        let result = match answer {
            Answer::Site(keys) => self.site_found(&keys, tools),
            Answer::Begun(result) => result.map(|_| self.state = State::Frames),
            Answer::Stored(result) => result.map(|_| ()),
            Answer::PartStored(result) => result.and_then(|kept| self.part_kept(kept, tools)),
            Answer::Concluded(result) => result.and_then(|conclusion| self.concluded(*conclusion)),
            Answer::Rows(result) => result.and_then(|rows| self.rows_read(&rows, tools)),
        };
        match result {
            Ok(()) => self.advance(tools),
            Err(refusal) => self.refuse(refusal, tools),
        }
    }

    /// Goes on until an answer or more bytes are needed.
    fn advance(&mut self, tools: &mut Tools<'_>) {
        while !self.is_asking && matches!(self.state, State::Head | State::Frames) {
            let result = match self.reader.next_section() {
                Ok(Some(sealed)) => self.section(sealed, tools),
                Ok(None) if !self.is_request_over => return,
                Ok(None) if self.state == State::Frames && !self.reader.holds_rest() => {
                    self.state = State::Concluding;
                    self.put(Ask::Conclude);
                    Ok(())
                }
                Ok(None) => Err(Refusal::new("truncated", "the request ended in the middle of a section")),
                Err(error) => Err(Refusal::new("bad_section", &alloc::format!("{error}"))),
            };
            if let Err(refusal) = result {
                return self.refuse(refusal, tools);
            }
        }
        while !self.is_asking && self.state == State::Pages {
            if self.is_reply_over() {
                return self.end_reply(tools);
            }
            self.read_on();
        }
    }

    fn section(&mut self, sealed: Sealed, tools: &mut Tools<'_>) -> Result<(), Refusal> {
        match (self.state, sealed.kind()) {
            (State::Head, Kind::RequestHead) => {
                let site = message::claimed_site(sealed.unchecked_body()).map_err(|error| message_refusal(&error))?;
                self.claimed = Some((site, hash_of(sealed.unchecked_body())));
                self.head = Some(sealed);
                self.put(Ask::FindSite(site));
                Ok(())
            }
            (State::Frames, Kind::Frame) => {
                let frame = self.open_frame(&sealed, tools)?;
                self.put(Ask::StoreFrame(frame));
                Ok(())
            }
            (State::Frames, Kind::FramePart) => {
                let body = self.open(&sealed, tools)?;
                let part: FramePart = message::decode_part(body).map_err(|error| message_refusal(&error))?;
                self.check_part(&part)?;
                self.put(Ask::StorePart(part));
                Ok(())
            }
            (_, kind) => Err(Refusal::new("bad_section", &alloc::format!("a {kind:?} stands where none may"))),
        }
    }

    fn site_found(&mut self, keys: &SiteKeys, tools: &mut Tools<'_>) -> Result<(), Refusal> {
        let Some(sealed) = self.head.take() else { return Ok(()) };
        let id = message::claimed_site(sealed.unchecked_body()).map_err(|error| message_refusal(&error))?;
        let binding = Binding { central: tools.signer.public_key(), site: id, context: Hash::NONE };
        let (key, standing, body) = proved(&sealed, &binding, keys, tools.verifier)?;
        let head = Head::decode(body, self.versions).map_err(|error| message_refusal(&error))?;
        if head.whole().is_some_and(|head| head.cursors.len() > limits::SCOPES_MAX) {
            return Err(Refusal::new("too_many_scopes", "the request names more scopes than limits::SCOPES_MAX"));
        }
        let most = |claims: &Claims| {
            let lists = [claims.grants.len(), claims.refused.len(), claims.taken.len(), claims.number_gaps.len()];
            lists.into_iter().max().unwrap_or(0)
        };
        if head.whole().is_some_and(|head| most(&head.claims) > limits::CLAIMS_MAX) {
            let what = "the request claims more grants, or shows more refusals, than limits::CLAIMS_MAX";
            return Err(Refusal::new("too_many_claims", what));
        }
        if head.whole().is_some_and(|head| head.further.len() > limits::FURTHER_BYTES_MAX) {
            return Err(Refusal::new("too_large", "the request's head adds more bytes than limits::FURTHER_BYTES_MAX"));
        }
        let largest = head.largest_number();
        if largest > limits::NUMBER_MAX {
            let what = alloc::format!(
                "the request shows the number {largest}, and no journal and no central can have come above {}: its device's files \
                 are damaged or forged",
                limits::NUMBER_MAX
            );
            return Err(Refusal::new("number_too_large", &what));
        }
        self.site = Some(KnownSite { id, key });
        self.request = Some((head.clone(), hash_of(body)));
        self.put(Ask::Begin(head, standing));
        Ok(())
    }

    fn open<'a>(&self, sealed: &'a Sealed, tools: &Tools<'_>) -> Result<&'a [u8], Refusal> {
        let site = self.site.as_ref().ok_or_else(|| Refusal::new("bad_section", "a frame stands before the head"))?;
        let binding = Binding { central: tools.signer.public_key(), site: site.id, context: Hash::NONE };
        sealed
            .open(&binding, &site.key, tools.verifier)
            .map_err(|error| Refusal::new("bad_frame", &alloc::format!("{error}")))
    }

    fn open_frame(&mut self, sealed: &Sealed, tools: &mut Tools<'_>) -> Result<Frame, Refusal> {
        let body = self.open(sealed, tools)?;
        let frame = frame::unpack(body, &mut self.history, tools.codec);
        let frame = frame.map_err(|error| self.frame_refusal(&error))?;
        match self.prelude() {
            Some(prelude) if prelude.journal == frame.journal && frame.last() <= prelude.head => Ok(frame),
            _ => Err(Refusal::new("bad_frame", "a frame is of another journal than the head, or goes beyond its head")),
        }
    }

    /// That a part is of this journal and lies within a whole that a frame can have.
    fn check_part(&self, part: &FramePart) -> Result<(), Refusal> {
        let end = (part.offset as usize).checked_add(part.bytes.len());
        let is_within = end.is_some_and(|end| end <= part.total as usize) && !part.bytes.is_empty();
        if part.total as usize > limits::SEALED_FRAME_BYTES_MAX || !is_within {
            return Err(Refusal::new("bad_part", "a part lies outside of its frame, or the frame is too large"));
        }
        match self.prelude() {
            Some(prelude) if prelude.journal == part.journal => Ok(()),
            _ => Err(Refusal::new("bad_part", "a part is of another journal than the head")),
        }
    }

    fn prelude(&self) -> Option<Prelude> {
        self.request.as_ref().map(|(head, _)| head.prelude())
    }

    /// A frame that cannot be opened because the agent is newer, or older, is no damaged one.
    fn frame_refusal(&self, error: &FrameError) -> Refusal {
        let FrameError::Version { found } = error else {
            return Refusal::new("bad_frame", &alloc::format!("{error}"));
        };
        let older = if *found > frame::VERSION { "central" } else { "the agent" };
        let text = alloc::format!("{error}: update {older}; what came before it is kept");
        Refusal { versions: Some(self.versions), ..Refusal::new(VERSION_CODE, &text) }
    }

    /// A whole that came in parts is a section by itself, and what it packs refers to nothing.
    fn part_kept(&mut self, kept: PartKept, tools: &mut Tools<'_>) -> Result<(), Refusal> {
        let Some(whole) = kept.whole else { return Ok(()) };
        if hash_of(&whole) != kept.state.hash {
            return Err(Refusal::new("bad_frame", "the parts of a frame do not give its hash"));
        }
        let mut reader = SectionReader::default();
        reader.feed(&whole);
        let sealed = match reader.next_section() {
            Ok(Some(sealed)) if sealed.kind() == Kind::Frame && !reader.holds_rest() => sealed,
            _ => return Err(Refusal::new("bad_frame", "the parts do not give one whole frame")),
        };
        let before = core::mem::take(&mut self.history);
        let frame = self.open_frame(&sealed, tools);
        self.history = before;
        self.put(Ask::StoreFrame(frame?));
        Ok(())
    }

    fn refuse(&mut self, refusal: Refusal, tools: &mut Tools<'_>) {
        let (site, context) = self.claimed.unwrap_or((SiteId(0), Hash::NONE));
        let binding = Binding { central: tools.signer.public_key(), site, context };
        let refusal = refusal.by(self.versions);
        let bytes = section::seal(Kind::Refusal, &binding, &message::encode(&refusal), tools.signer);
        self.state = State::Finished;
        self.asks.push_back(Ask::Refuse(refusal, bytes));
    }

    fn put(&mut self, ask: Ask) {
        self.is_asking = !matches!(ask, Ask::Send(_) | Ask::Refuse(..) | Ask::Finished);
        self.asks.push_back(ask);
    }
}

/// The key of a site that signed a section, how it stands, and the body.
pub(crate) fn proved<'a>(
    sealed: &'a Sealed,
    binding: &Binding,
    keys: &SiteKeys,
    verifier: &dyn Verifier,
) -> Result<(PublicKey, Standing, &'a [u8]), Refusal> {
    let current = keys.current.iter().map(|key| (*key, Standing::Current));
    let retired = keys.retired.iter().take(limits::RETIRED_KEYS_MAX).map(|key| (*key, Standing::Retired));
    let proved = current
        .chain(retired)
        .find_map(|(key, standing)| sealed.open(binding, &key, verifier).ok().map(|body| (key, standing, body)));
    let message = "the signature is of no device that is enrolled for this site: enrol it";
    proved.ok_or_else(|| Refusal::new("not_enrolled", message))
}

pub(crate) fn message_refusal(error: &message::MessageError) -> Refusal {
    let code = match error {
        message::MessageError::Version { .. } => VERSION_CODE,
        message::MessageError::Malformed | message::MessageError::AboveLimit(_) => "bad_message",
    };
    Refusal::new(code, &alloc::format!("{error}"))
}
