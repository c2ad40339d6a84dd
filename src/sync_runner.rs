//! Carries out what the session machine asks for: reads the journal, exchanges bytes, stores what comes (architecture, section 4,
//! step 5). Holds no lock while it waits for the network.

mod files;
mod telling;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use protocol::edge::{Codec, Signer, Verifier};
use protocol::ids::{ControlNumber, CredentialGeneration, Hash, PublicKey, ScopeId, Sequence, SiteId, Token};
use protocol::message::{Cursor, FramePartState};
use protocol::session::{Advice, Failure, Input, Link, Outcome, Output, Session, Start, Summary, Tools};

use crate::error::AgentError;
use crate::exit::Exit;
use crate::journal::JournalError;
use crate::journal::storage::Storage;
use crate::local_copy::{HistoryRefusal, Kind};
use crate::recorder::{Core, Recorder};
use crate::refusals;
pub use files::{CARRY_OVERTAKEN, CarriedOut, Imported};
pub(crate) use telling::CREDENTIALS_CHANGED;

/// One request to central and its reply, as a stream. Implemented by the transport, and by the simulator.
pub trait Exchanger {
    /// Sends the request and hands over the reply as it comes; `on_reply` may end it early.
    ///
    /// # Errors
    /// [`ExchangeFailure`] if the request did not go through or the reply is not whole.
    fn exchange(
        &mut self,
        request: &[u8],
        on_reply: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), ExchangeFailure>;
}

/// Why an exchange failed, in the transport's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeFailure {
    /// Stable code, such as `timeout`.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// What a person may do about it, as a sentence; empty where waiting is all.
    pub what_to_do: String,
    /// How a program ends because of it.
    pub exit: Exit,
    /// What central asked to wait at least, in seconds.
    pub retry_after_s: Option<u32>,
}

/// Where the token lies, beside the key: durable before it is used (rule 5.7).
pub trait TokenStore {
    /// The last token.
    fn token(&self) -> Token;

    /// Makes a token durable.
    ///
    /// # Errors
    /// What the disk says.
    fn store_token(&mut self, token: Token) -> Result<(), AgentError>;

    /// Notes outside of the local copy how far the control lane is durable in it, so that a copy that was set back is noticed.
    ///
    /// # Errors
    /// What the disk says.
    fn note_control(&mut self, _control: ControlNumber) -> Result<(), AgentError> {
        Ok(())
    }
}

/// Who speaks to whom.
#[derive(Debug, Clone, Copy)]
pub struct Parties {
    /// This site.
    pub site: SiteId,
    /// Central's pinned key.
    pub central: PublicKey,
    /// Generation of name and password that was last proved.
    pub generation: CredentialGeneration,
}

/// Code of a refusal that says that central does not know how far this site is: it was set back to an older state.
pub const CENTRAL_SET_BACK: &str = "central_set_back";

/// Code of a sync that found that central lost entries which the journal has let go of: it was set back to an older state.
pub const LOST_HISTORY: &str = "central_lost_history";

/// What is learnt in one session and used in the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Learnt {
    /// How much the link carries at once.
    pub link: Link,
    /// What central has of a frame in parts.
    pub frame_part: Option<FramePartState>,
}

/// How a session ended, with the transport's own words for a cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Why it did not come to its end.
    pub failure: Option<SessionFailure>,
    /// What it did.
    pub summary: Summary,
    /// Whether something was journaled at its end that is to go with another session: records that stayed here, and answers that this
    /// site owed.
    pub has_more_to_send: bool,
    /// Of an answer by file: whether something is left for another round.
    pub goes_on: bool,
    /// Central's epoch and head at the last reply: a session that came to its end has everything up to there. None by file.
    pub through: Option<Cursor>,
}

/// Why a session did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFailure {
    /// Stable code.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// What a program does.
    pub advice: Advice,
    /// What a person may do; empty where that follows from `advice`.
    pub what_to_do: String,
    /// How a program ends because of it.
    pub exit: Exit,
}

/// Everything that a session needs but the way to central.
///
/// [`SyncRunner::run`] carries a session to its end over a blocking [`Exchanger`]. Whoever moves bytes in another way takes the
/// steps one by one: [`SyncRunner::begin`], then [`SyncRunner::next`] until it is finished, with [`SyncRunner::take_reply`] and
/// [`SyncRunner::end_reply`] or [`SyncRunner::exchange_failed`] for each exchange, then [`SyncRunner::conclude`].
pub struct SyncRunner<'a, S: Storage> {
    /// The journals and the local copy.
    pub recorder: &'a Recorder<S>,
    /// Packs and unpacks.
    pub codec: &'a mut dyn Codec,
    /// This device's key.
    pub signer: &'a dyn Signer,
    /// Checks central's signatures.
    pub verifier: &'a dyn Verifier,
    /// The token's place.
    pub tokens: &'a mut dyn TokenStore,
    /// Who speaks to whom.
    pub parties: Parties,
    /// Fresh and random for each session.
    pub salt: [u8; 16],
    /// Bytes of the journal that are kept although central has received them (rule 5.5).
    pub acknowledged_tail_bytes_max: u64,
}

/// How what is stored came.
enum Way {
    /// Over a link.
    Link,
    /// By file.
    File {
        /// The token that the request showed.
        shown: Token,
        /// The cursors that are stored, while an answer that was cut is brought once more, up to where it was.
        replayed: Option<BTreeMap<ScopeId, Cursor>>,
    },
}

impl Way {
    /// Whether a page that comes after these cursors is stored already.
    fn is_behind(&mut self, cursors: &BTreeMap<ScopeId, Cursor>) -> bool {
        let Self::File { replayed, .. } = self else { return false };
        replayed.take_if(|stored| stored == cursors);
        replayed.is_some()
    }

    /// Whether a reply's token may be stored over the one that is here: never an older one over a later one, else central would take
    /// this device for a copy of itself (rule 5.7).
    fn takes(&self, token: Token, stored: Token) -> bool {
        match self {
            Self::Link => true,
            Self::File { shown, replayed: None } => stored == *shown,
            Self::File { shown, replayed: Some(_) } => stored == *shown || stored == token,
        }
    }
}

/// What a session under way needs.
#[derive(Debug)]
pub enum Next {
    /// Send these bytes as one request, and hand over what comes.
    Exchange(Vec<u8>),
    /// Nothing: it is over.
    Finished(Outcome),
}

impl<S: Storage> SyncRunner<'_, S> {
    /// Runs one session to its end. Tells its summary after each step. `now_ms` is asked for the wall clock, for people.
    ///
    /// # Errors
    /// [`AgentError`] if the device itself fails (journal, local copy, disk); a session that central or the link ends is a [`Report`].
    pub fn run(
        &mut self,
        exchanger: &mut dyn Exchanger,
        learnt: &mut Learnt,
        now_ms: &dyn Fn() -> u64,
        progress: &mut dyn FnMut(&Summary),
    ) -> Result<Report, AgentError> {
        let mut session = self.begin(*learnt)?;
        let mut failure = None;
        let outcome = loop {
            let request = match self.next(&mut session)? {
                Next::Exchange(request) => request,
                Next::Finished(outcome) => break outcome,
            };
            let mut error = None;
            let mut finished = None;
            let result = exchanger.exchange(&request, &mut |bytes| {
                match self.take_reply(&mut session, bytes) {
                    Ok(None) => {
                        progress(session.summary());
                        return ControlFlow::Continue(());
                    }
                    Ok(Some(outcome)) => finished = Some(outcome),
                    Err(problem) => error = Some(problem),
                }
                ControlFlow::Break(())
            });
            if let Some(error) = error {
                return Err(error);
            }
            if let Some(outcome) = finished {
                break outcome;
            }
            match result {
                Ok(()) => self.end_reply(&mut session),
                Err(problem) => {
                    self.exchange_failed(&mut session, &problem);
                    failure = Some(problem);
                }
            }
            progress(session.summary());
        };
        let report = self.conclude(learnt, outcome, failure, now_ms())?;
        Ok(Report { through: session.through(), ..report })
    }

    /// Begins a session from what is durable here.
    ///
    /// # Errors
    /// Those of reading the local copy.
    pub fn begin(&mut self, learnt: Learnt) -> Result<Session, AgentError> {
        // Here after a session that a crash ended.
        self.send_withheld()?;
        let start = self.start(learnt)?;
        Ok(Session::begin(start, &mut self.tools()))
    }

    /// Carries out what the session asks for until it needs an exchange, or is over. To be called at its begin and after each end
    /// of an exchange.
    ///
    /// # Errors
    /// Those of reading the journal.
    pub fn next(&mut self, session: &mut Session) -> Result<Next, AgentError> {
        loop {
            match session.output() {
                Some(Output::ReadJournal { after, through, bytes_max }) => {
                    let mut core = self.recorder.core();
                    if after < core.shared.floor() {
                        return Err(lost_history(after, core.shared.floor()));
                    }
                    let (before, entries) = read_journal(&mut core, after, through, bytes_max)?;
                    let (journal, last) = (core.shared.identity().journal, after.plus(entries.len() as u64));
                    let refused = core.local.refusals(journal, after, last)?;
                    drop(core);
                    session.input(Input::Entries { before, entries, refused }, &mut self.tools());
                }
                Some(Output::Exchange(request)) => return Ok(Next::Exchange(request)),
                Some(Output::Finished(outcome)) => return Ok(Next::Finished(outcome)),
                Some(
                    Output::StoreReply(_)
                    | Output::StoreReceipt(_)
                    | Output::StorePage(_)
                    | Output::StorePart(_)
                    | Output::ReadHash { .. },
                )
                | None => {
                    unreachable!("a session stores only what a reply brought, and always asks for something")
                }
            }
        }
    }

    /// Takes bytes of the reply and stores what they complete. The outcome if the session is over: the rest of the reply is not
    /// wanted.
    ///
    /// # Errors
    /// Those of storing. The session is of no use afterwards.
    pub fn take_reply(&mut self, session: &mut Session, bytes: &[u8]) -> Result<Option<Outcome>, AgentError> {
        session.input(Input::Reply(bytes), &mut self.tools());
        self.store(session, &mut Way::Link)
    }

    /// The reply ended as its transport says it should.
    pub fn end_reply(&mut self, session: &mut Session) {
        session.input(Input::ReplyEnd, &mut self.tools());
    }

    /// The exchange did not come to its end.
    pub fn exchange_failed(&mut self, session: &mut Session, failure: &ExchangeFailure) {
        session.input(Input::ExchangeFailed(&failure.message), &mut self.tools());
    }

    /// Lets go of what is safe elsewhere, and keeps for the next session what this one learnt. `failure` says in the transport's
    /// words why the last exchange failed, if it did.
    ///
    /// # Errors
    /// Those of the journals and of the local copy.
    pub fn conclude(
        &mut self,
        learnt: &mut Learnt,
        outcome: Outcome,
        failure: Option<ExchangeFailure>,
        now_ms: u64,
    ) -> Result<Report, AgentError> {
        let began = std::mem::replace(learnt, Learnt { link: outcome.link, frame_part: outcome.frame_part });
        self.prune()?;
        let report = report(outcome, failure);
        let failure = report.failure.as_ref();
        let mut core = self.recorder.core();
        // An answer by file that leaves something for the next one is no sync that ended, and none that failed.
        if !report.goes_on {
            core.local
                .remember_sync(now_ms, failure.map(|failure| (failure.code.as_str(), failure.message.as_str())))?;
            let advice = failure.map(SessionFailure::advice_text).unwrap_or_default();
            core.local.remember_standing(&advice, report.at_central(now_ms))?;
        }
        if let Some(failure) = failure.filter(|failure| refusals::is_of_history(&failure.code)) {
            let journal = core.shared.identity().journal;
            let SessionFailure { code, message, .. } = failure.clone();
            core.local.remember_history_refusal(&HistoryRefusal { journal, at_ms: now_ms, code, message })?;
        }
        if began != *learnt {
            core.local.remember_learnt(learnt)?;
        }
        if report.failure.as_ref().is_some_and(|failure| failure.code == CENTRAL_SET_BACK) {
            log::warn!(
                "central was set back to an older state: everything is read from it again, and it gets back what it lost"
            );
            core.local.begin_other_time_line()?;
        }
        core.local.begin_owed_time_line()?;
        drop(core);
        // The lock is given back between the steps, so that edits go on.
        while self.recorder.sweep_step()? {}
        let is_heard = report.failure.as_ref().is_none_or(|failure| !refusals::is_of_old_device(&failure.code));
        // What an old device owes the one in its place writes.
        let has_more_to_send = self.send_withheld()? | (is_heard && self.answer_owed(now_ms)?);
        Ok(Report { has_more_to_send, ..report })
    }

    /// Journals what stayed here and is to go after all; whether there was anything.
    fn send_withheld(&self) -> Result<bool, AgentError> {
        let mut has_sent = false;
        while let Some(sent) = self.recorder.send_withheld_step()? {
            has_sent |= sent > 0;
        }
        Ok(has_sent)
    }

    /// Journals the answers that this site owes; whether there were any.
    fn answer_owed(&self, now_ms: u64) -> Result<bool, AgentError> {
        let (mut after, mut has_answered) = (0, false);
        while let Some(look) = self.recorder.answer_owed_step(after, now_ms)? {
            (after, has_answered) = (look.last, has_answered || look.answered > 0);
        }
        Ok(has_answered)
    }

    fn tools(&mut self) -> Tools<'_> {
        Tools { codec: self.codec, signer: self.signer, verifier: self.verifier }
    }

    /// Stores until the session waits for bytes; its outcome if it is over.
    fn store(&mut self, session: &mut Session, way: &mut Way) -> Result<Option<Outcome>, AgentError> {
        while let Some(output) = session.output() {
            match output {
                Output::StoreReply(reply) if !way.takes(reply.token, self.tokens.token()) => {
                    return Err(files::overtaken("something came to this device since some of it was taken"));
                }
                Output::StoreReply(reply) => {
                    let (claims, recorded) = self.recorder.store_told(|local, journal| {
                        let has_claims = match way {
                            Way::Link => local.store_reply(journal, &reply)?.has_claims,
                            Way::File { replayed: None, .. } => local.store_carried_reply(journal, &reply)?.has_claims,
                            Way::File { replayed: Some(_), .. } => false,
                        };
                        Ok(if has_claims { Some(local.session_state()?.claims) } else { None })
                    })?;
                    session.input(Input::Recorded(recorded), &mut self.tools());
                    if let Some(claims) = claims {
                        session.input(Input::Claims(claims), &mut self.tools());
                    }
                    if let Some(last) = reply.control.last() {
                        self.tokens.note_control(last.number)?;
                    }
                    self.tokens.store_token(reply.token)?;
                    session.input(Input::Stored, &mut self.tools());
                }
                Output::StoreReceipt(receipt) => {
                    let mut core = self.recorder.core();
                    let journal = core.shared.identity().journal;
                    core.local.store_receipt(journal, receipt.received)?;
                    drop(core);
                    self.tokens.store_token(receipt.token)?;
                    session.input(Input::Stored, &mut self.tools());
                }
                Output::ReadHash { sequence } => {
                    let hash = self.recorder.core().shared.hash_at(sequence)?;
                    session.input(Input::HashRead(hash), &mut self.tools());
                }
                Output::StorePage(_) if way.is_behind(session.cursors()) => {
                    session.input(Input::Stored, &mut self.tools());
                }
                Output::StorePage(page) => {
                    self.recorder.hand_back_before(&page)?;
                    let ((), recorded) = self.recorder.store_told(|local, _| local.store_page(&page))?;
                    session.input(Input::Recorded(recorded), &mut self.tools());
                    // The lock is given back between the steps, so that edits go on.
                    while page.is_drained && self.recorder.sweep_step()? {}
                    session.input(Input::Stored, &mut self.tools());
                }
                Output::StorePart(part) => {
                    let whole = self.recorder.core().local.store_part(&part)?;
                    session.input(Input::PartStored(whole), &mut self.tools());
                }
                Output::Finished(outcome) => return Ok(Some(outcome)),
                Output::ReadJournal { .. } | Output::Exchange(_) => {
                    unreachable!("a session asks for the next request only after the reply's end")
                }
            }
        }
        Ok(None)
    }

    fn start(&self, learnt: Learnt) -> Result<Start, AgentError> {
        let mut core = self.recorder.core();
        // Cursors and receipts are reported, and central acts on them (invariant 6).
        core.local.confirm()?;
        let state = core.local.session_state()?;
        // Nothing of central's is here: it has told nothing yet, or the local copy that knew it is gone.
        let is_silent = state.cursors.is_empty();
        let head = core.shared.durable();
        let predecessor = core.shared.identity().predecessor;
        Ok(Start {
            site: self.parties.site,
            central: self.parties.central,
            token: self.tokens.token(),
            salt: self.salt,
            generation: self.parties.generation,
            journal: head.journal,
            predecessor,
            head: head.sequence,
            head_hash: head.hash,
            // A local copy that was lost does not know what central has; what the journal let go of central does have.
            received: state.received.max(core.shared.floor()),
            is_unsure: state.received == Sequence::ZERO && is_silent,
            control: state.control,
            cursors: state.cursors,
            heard: state.heard,
            claims: state.claims,
            page_part: state.page_part,
            frame_part: learnt.frame_part,
            link: learnt.link,
        })
    }

    /// Lets go of what central has received and the local copy holds durably (invariant 4).
    fn prune(&mut self) -> Result<(), AgentError> {
        let mut core = self.recorder.core();
        let received = core.local.session_state()?.received;
        let through = received.min(core.local.applied(Kind::Shared)?);
        let private = core.local.applied(Kind::Private)?;
        // What is kept beyond need gives way before edits are refused: a quarter of the limit is enough for it.
        let keep_bytes = self.acknowledged_tail_bytes_max.min(core.shared.fill().limit_bytes / 4);
        if core.local.has_failed() {
            log::warn!("the disk refused a write of the local copy: the journal keeps everything until the next start");
            return Ok(());
        }
        let has_tail = core.shared.bytes() > keep_bytes && through > core.shared.floor();
        if has_tail || private > core.private.floor() {
            core.local.make_durable()?;
            core.shared.prune(through, keep_bytes)?;
            core.private.prune(private, 0)?;
            let (journal, floor) = (core.shared.identity().journal, core.shared.floor());
            core.local.forget_refusals(journal, floor)?;
        }
        Ok(())
    }
}

fn lost_history(received: Sequence, floor: Sequence) -> AgentError {
    AgentError::new(
        LOST_HISTORY,
        format!(
            "central was set back to an older state: it has this journal up to {received}, and what is kept here begins behind \
             {floor}"
        ),
        "Sync once more: the agent then begins another journal and sends what this site owns again. One that runs as a service \
         does it with its next sync.",
        Exit::Refused,
    )
}

/// Entries with the hash before them.
type Run = (Hash, Vec<(Vec<u8>, Hash)>);

fn read_journal<S: Storage>(
    core: &mut Core<S>,
    after: Sequence,
    through: Sequence,
    bytes_max: usize,
) -> Result<Run, JournalError> {
    let mut before = None;
    let mut entries = Vec::new();
    let mut bytes = 0;
    core.shared.read(after, &mut |stored| {
        bytes += stored.entry.len();
        if stored.sequence > through || (!entries.is_empty() && bytes > bytes_max) {
            return ControlFlow::Break(());
        }
        before.get_or_insert(stored.hash_before);
        entries.push((stored.entry, stored.hash));
        ControlFlow::Continue(())
    })?;
    Ok((before.unwrap_or(Hash::NONE), entries))
}

fn report(outcome: Outcome, cut: Option<ExchangeFailure>) -> Report {
    let failure = outcome.failure.map(|failure| match (failure, cut) {
        (Failure::Cut(_), Some(cut)) => SessionFailure {
            code: cut.code,
            message: cut.message,
            what_to_do: cut.what_to_do,
            exit: cut.exit,
            advice: cut.retry_after_s.map_or(Advice::Retry, |seconds| Advice::Wait { seconds }),
        },
        (failure, _) => SessionFailure {
            code: failure.code().to_owned(),
            message: failure.to_string(),
            what_to_do: what_to_do(&failure).to_owned(),
            advice: failure.advice(),
            exit: exit_of(&failure),
        },
    });
    Report { failure, summary: outcome.summary, has_more_to_send: false, goes_on: outcome.goes_on, through: None }
}

/// What a person may do where that does not follow from the failure's advice.
fn what_to_do(failure: &Failure) -> &'static str {
    const UPDATE_AGENT: &str =
        "Update outpost on this device. Until then edits go on to central, and nothing comes from it.";
    const UPDATE_CENTRAL: &str = "Central must be updated: tell whoever looks after it. Until then edits go on to it, and nothing comes \
                                  from it.";
    match failure {
        Failure::VersionsApart { spoken, understood, .. } if spoken > &understood.max => UPDATE_CENTRAL,
        Failure::VersionsApart { .. } => UPDATE_AGENT,
        failure => refusals::what_to_do(failure.code()).unwrap_or_default(),
    }
}

/// How a program ends because of a failure that the session machine found.
fn exit_of(failure: &Failure) -> Exit {
    match failure {
        Failure::Cut(_) | Failure::NotCentral(_) | Failure::Stalled => Exit::Offline,
        Failure::Refused(refusal) if refusal.retry_after_s.is_some() => Exit::Busy,
        Failure::Refused(_)
        | Failure::VersionsApart { .. }
        | Failure::DeviceSetBack { .. }
        | Failure::Forked { .. } => Exit::Refused,
        Failure::Message(_) | Failure::Page(_) | Failure::Rule(_) | Failure::Codec(_) => Exit::Failed,
    }
}
