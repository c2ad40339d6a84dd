//! Sessions whose request and answer go by file, and exports (`docs/sync-protocol.md`, "By file").

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};

use protocol::carried::head_of;
use protocol::chain::hash_of;
use protocol::export::{ExportError, Import, Step, Tools as ImportTools};
use protocol::few::gathered;
use protocol::ids::{Hash, ScopeId, Sequence};
use protocol::message::{self, Cursor, RequestHead};
use protocol::session::{Failure, Input, Page, Session, Start, Summary};

use super::{Learnt, Next, Report, SyncRunner, Way, report};
use crate::error::AgentError;
use crate::exit::Exit;
use crate::journal::storage::Storage;
use crate::local_copy::{CarryNote, SessionState};

/// Code of an answer that is not to be taken any more.
pub const CARRY_OVERTAKEN: &str = "carry_overtaken";

/// Bytes of a file that are read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// A request that goes by file.
#[derive(Debug)]
pub struct CarriedOut {
    /// Its bytes.
    pub request: Vec<u8>,
    /// Hash of its head: what the answer will be bound to.
    pub head: Hash,
    /// Edits in it.
    pub edits: u64,
    /// Edits that wait for central, those in it among them.
    pub waiting: u64,
    /// Whether the answer to an earlier file was awaited, which is of no use any more.
    pub replaces: bool,
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Rows that were stored.
    pub stored: u64,
    /// Rows that were passed over: this device has them, or newer ones.
    pub passed_over: u64,
    /// Rows that waited for the site when the export was made.
    pub total: u64,
    /// Whether the export held all that there was for the site.
    pub is_complete: bool,
}

impl<S: Storage> SyncRunner<'_, S> {
    /// Makes a request that goes by file, and notes durably what it waits for. What was awaited before is given up.
    ///
    /// # Errors
    /// Those of reading the journal and of the local copy.
    pub fn carry_out(&mut self, learnt: Learnt) -> Result<CarriedOut, AgentError> {
        self.send_withheld()?;
        let start = self.start(learnt)?;
        let received = start.received;
        let mut session = Session::carry_out(start, &mut self.tools());
        let request = match self.next(&mut session)? {
            Next::Exchange(request) => request,
            Next::Finished(outcome) => return Err(unmade(report(outcome, None))),
        };
        let (body, head) = head_of(&request).expect("a request begins with its head");
        let Summary { entries_sent, entries_total, .. } = *session.summary();
        let mut core = self.recorder.core();
        let replaces = core.local.carry_note()?.is_some();
        core.local.keep_carry_note(&CarryNote { head: body, received, is_answered: false })?;
        Ok(CarriedOut { request, head, edits: entries_sent, waiting: entries_total, replaces })
    }

    /// Takes the answer to the request of which the head has this hash. Brought again after a cut, it goes on where it was.
    ///
    /// # Errors
    /// [`CARRY_OVERTAKEN`]: nothing was changed. Else as [`SyncRunner::run`].
    pub fn carry_in(
        &mut self,
        answer: &mut dyn Read,
        request: Hash,
        learnt: &mut Learnt,
        now_ms: u64,
        progress: &mut dyn FnMut(&Summary),
    ) -> Result<Report, AgentError> {
        let (start, mut way) = self.awaited(request, *learnt)?;
        let durable = self.recorder.core().shared.durable();
        let mut session = Session::carry_in(start, request, (durable.sequence, durable.hash));
        let outcome = loop {
            let piece = read_piece(answer)?;
            let input = if piece.is_empty() { Input::ReplyEnd } else { Input::Reply(&piece) };
            session.input(input, &mut self.tools());
            if let Some(outcome) = self.store(&mut session, &mut way)? {
                break outcome;
            }
            progress(session.summary());
        };
        if let Some(failure) = outcome.failure.as_ref().filter(|failure| blames_file(failure)) {
            return Err(AgentError::new(
                "answer_wrong",
                format!("this is not the answer to this device's file: {failure}"),
                "Take another copy of the answer, or have it made again. What was stored before stays.",
                Exit::Refused,
            ));
        }
        if let Way::File { replayed: Some(stored), .. } = &way
            && stored != session.cursors()
        {
            return Err(overtaken("something came to this device since some of it was taken"));
        }
        self.recorder.core().local.forget_carry_note()?;
        self.conclude(learnt, outcome, None, now_ms)
    }

    /// What the request began with, and how its answer is to be stored, if all that it showed is so still.
    fn awaited(&mut self, request: Hash, learnt: Learnt) -> Result<(Start, Way), AgentError> {
        let mut core = self.recorder.core();
        core.local.confirm()?;
        let note = core.local.carry_note()?;
        let state = core.local.session_state()?;
        let durable = core.shared.durable();
        drop(core);
        let Some(note) = note else {
            return Err(overtaken("no answer is awaited: it was taken already, or a sync came before it"));
        };
        if hash_of(&note.head) != request {
            return Err(overtaken("it answers another file than the last one that this device made"));
        }
        let Ok(head) = message::decode::<RequestHead>(&note.head) else {
            return Err(overtaken("the file that it answers was made by another release of this program"));
        };
        let is_own = head.site == self.parties.site && head.journal == durable.journal && head.head <= durable.sequence;
        if !is_own {
            return Err(overtaken("this device goes on in another journal since"));
        }
        let cursors: BTreeMap<ScopeId, Cursor> =
            gathered(state.cursors.iter().map(|shown| (shown.scope.clone(), shown.cursor)));
        let way = if note.is_answered {
            Way::File { shown: head.token, replayed: Some(cursors) }
        } else if head.token == self.tokens.token() && shows(&head, note.received, &state) {
            Way::File { shown: head.token, replayed: None }
        } else {
            return Err(overtaken("something came to this device since the file was made"));
        };
        let parties = self.parties;
        let start = Start {
            site: head.site,
            central: parties.central,
            token: head.token,
            salt: self.salt,
            generation: head.generation,
            journal: head.journal,
            predecessor: head.predecessor,
            head: head.head,
            head_hash: head.head_hash,
            received: note.received,
            is_unsure: false,
            control: head.control,
            cursors: head.cursors,
            heard: head.heard,
            claims: head.claims,
            page_part: head.page_part,
            frame_part: learnt.frame_part,
            link: learnt.link,
        };
        Ok((start, way))
    }

    /// Stores an export that central made for this site. Brought again after a cut, it goes on where it was.
    ///
    /// # Errors
    /// `import_not_now`; `export_wrong`; those of the local copy. What was stored before stays.
    pub fn import(
        &mut self,
        export: &mut dyn Read,
        progress: &mut dyn FnMut(&Imported),
    ) -> Result<Imported, AgentError> {
        self.check_imports()?;
        let mut import = Import::new(self.parties.central, self.parties.site);
        let mut done = Imported::default();
        loop {
            let piece = read_piece(export)?;
            if piece.is_empty() {
                done.is_complete = import.end().map_err(|error| wrong_export(&error))?;
                return Ok(done);
            }
            import.feed(&piece);
            let mut tools = ImportTools { codec: self.codec, verifier: self.verifier };
            while let Some(step) = import.step(&mut tools).map_err(|error| wrong_export(&error))? {
                match step {
                    Step::Head(head) => done.total = head.rows,
                    Step::Page(page) => {
                        let rows = page.rows.len() as u64;
                        let is_stored = import_page(self.recorder, &page)?;
                        *(if is_stored { &mut done.stored } else { &mut done.passed_over }) += rows;
                    }
                }
            }
            progress(&done);
        }
    }

    /// That no page of an export could hide what this device lacks.
    fn check_imports(&mut self) -> Result<(), AgentError> {
        let mut core = self.recorder.core();
        core.local.confirm()?;
        let has_recorded =
            core.shared.durable().sequence > Sequence::ZERO || core.shared.identity().predecessor.is_some();
        let what = if core.local.reads_anew()? {
            "this device is reading its records anew from central"
        } else if has_recorded {
            // What became of an edit stands here without its position, and comes in no page behind the export: a row that is older would
            // take its place. And a local copy that was lost is told from a fresh one by the journal alone.
            "edits were recorded on this device, and what became of them may be newer than the export"
        } else {
            return Ok(());
        };
        Err(AgentError::new(
            "import_not_now",
            format!("{what}, so that an export cannot be taken"),
            "Sync, or `outpost carry out` and take the answer: that brings what is missing. Nothing was changed.",
            Exit::Refused,
        ))
    }
}

/// Whether it was stored.
fn import_page<S: Storage>(recorder: &crate::recorder::Recorder<S>, page: &Page) -> Result<bool, AgentError> {
    let is_stored = recorder.core().local.import_page(page)?;
    // The lock is given back between the steps, so that edits go on.
    while is_stored && page.is_drained && recorder.sweep_step()? {}
    Ok(is_stored)
}

/// Whether a head would be made in the same way now, but for how far the journal goes.
fn shows(head: &RequestHead, received: Sequence, state: &SessionState) -> bool {
    head.control == state.control
        && head.cursors == state.cursors
        && head.heard == state.heard
        && head.claims == state.claims
        && head.page_part == state.page_part
        && received >= state.received
}

/// Whether a failure is of these bytes, and none of central's words.
fn blames_file(failure: &Failure) -> bool {
    match failure {
        Failure::Cut(_) | Failure::NotCentral(_) | Failure::Message(_) | Failure::Page(_) | Failure::Rule(_) => true,
        Failure::Refused(_)
        | Failure::VersionsApart { .. }
        | Failure::DeviceSetBack { .. }
        | Failure::Forked { .. }
        | Failure::Stalled
        | Failure::Codec(_) => false,
    }
}

fn read_piece(input: &mut dyn Read) -> Result<Vec<u8>, AgentError> {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    match input.take(PIECE_BYTES as u64).read_to_end(&mut piece) {
        Ok(_) => Ok(piece),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(AgentError::new(
            "sealed_file_damaged",
            format!("the file changed while it was read: {error}"),
            "Take another copy of the file.",
            Exit::Disk,
        )),
        Err(error) => Err(AgentError::new(
            "input_unreadable",
            format!("the file cannot be read: {error}"),
            "Check the stick, and bring the file again: it goes on where it was.",
            Exit::Disk,
        )),
    }
}

fn wrong_export(error: &ExportError) -> AgentError {
    AgentError::new(
        "export_wrong",
        error.to_string(),
        "Have the export made again, for this site, by its own central. What was stored before stays.",
        Exit::Refused,
    )
}

pub(super) fn overtaken(why: &str) -> AgentError {
    AgentError::new(
        CARRY_OVERTAKEN,
        format!("this answer is overtaken: {why}"),
        "Nothing was changed, and nothing is lost. If something still waits, sync, or make another file with `outpost carry out`.",
        Exit::Refused,
    )
}

fn unmade(report: Report) -> AgentError {
    match report.failure {
        Some(failure) => AgentError::new(&failure.code, failure.message, failure.what_to_do, failure.exit),
        None => AgentError::new(
            "carry_unmade",
            "no request was made",
            "This is a mistake of the program; please report it.",
            Exit::Failed,
        ),
    }
}
