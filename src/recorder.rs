//! Recording edits: check, journal, make durable, show (architecture, section 4, steps 1 to 4).
//!
//! Groups that arrive together share one sync: whoever finds nobody at work takes everything that queues, and the others are
//! woken to their answers. The order within a commit: the local copy takes the edits in an open transaction, so that each
//! group is checked against those before it; the journals take them; the journals are synced; the transaction is committed. A
//! crash between loses nothing: what is in a journal and not in the local copy is applied again at opening.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use domain::catalogue::Catalogue;
use domain::edit::Edit;
use domain::judge::View;
use protocol::entry::Entry;
use protocol::ids::{JournalId, RequestId, Sequence, SiteId};
use protocol::limits;
use protocol::session::Page;

use crate::error::AgentError;
use crate::exit::Exit;
use crate::journal::storage::Storage;
use crate::journal::{Draft, Head, Journal};
use crate::local_copy::{Kind, LocalCopy, LocalCopyError};

mod error;
mod handing_back;
mod mending;
mod numbers;
mod owed;
mod pairing;
mod preparing;
mod transfers;
mod verifying;
mod withheld;

pub use error::{EditRefusal, RecordError};
pub use mending::cut_incomplete_group;
pub use numbers::{NumberRun, NumbersWanted};
pub use owed::OwedLook;
pub use verifying::Mended;

use numbers::{prepare_numbers, remember_given};
use preparing::{Prepared, Reserved, prepare};

/// Groups that share one sync at most, so that nobody waits long behind a flood.
pub const COMMIT_GROUPS_MAX: usize = 256;
/// Groups that may queue for recording; one more is told to come again.
pub const QUEUE_GROUPS_MAX: usize = 10_000;

/// Turns that a commit gives away while it hopes for company; each is microseconds, a sync is a hundred times that.
const PATIENCE_YIELDS_MAX: usize = 50;

/// Edits that are recorded and judged together.
#[derive(Debug, Clone)]
pub struct Group {
    /// In their order.
    pub edits: Vec<Edit>,
    /// Makes a repeated call harmless.
    pub request_id: Option<RequestId>,
    /// Wall clock when the application handed the group over; for people, never for order.
    pub recorded_at_ms: u64,
}

/// A group that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recorded {
    /// First and last sequence; `None` if nothing had to change or everything is private.
    pub sequences: Option<(Sequence, Sequence)>,
    /// Edits that were journaled.
    pub edits: u64,
    /// Edits that would have changed nothing.
    pub unchanged: u64,
    /// Whether a call with the same request id had recorded it before.
    pub was_recorded: bool,
    /// The document numbers that were given, if some were asked for.
    pub numbers: Option<NumberRun>,
}

/// A group and its number, as [`Recorder::check_all`] is given them; `None` behind the last.
pub type NextGroup = Result<Option<(u64, Group)>, AgentError>;

/// The journals and the local copy, in step.
pub struct Core<S: Storage> {
    /// What goes to central.
    pub shared: Journal<S>,
    /// What never leaves the site.
    pub private: Journal<S>,
    /// The records as this site knows them.
    pub local: LocalCopy,
}

/// Takes groups from any number of threads.
pub struct Recorder<S: Storage> {
    site: SiteId,
    catalogue: Arc<Catalogue>,
    line: Mutex<Line>,
    committed: Condvar,
    core: Mutex<Core<S>>,
    /// Whether the last try to open a failed journal again failed too, so that each trouble is logged once.
    is_mending: AtomicBool,
}

/// What is to be recorded.
enum Work {
    Group(Group),
    Numbers(NumbersWanted),
}

impl Work {
    fn has_request_id(&self) -> bool {
        match self {
            Self::Group(group) => group.request_id.is_some(),
            Self::Numbers(wanted) => wanted.request_id.is_some(),
        }
    }

    fn prepare<S: Storage>(
        &self,
        catalogue: &Catalogue,
        site: SiteId,
        core: &mut Core<S>,
        reserved: Reserved,
    ) -> Result<Prepared, RecordError> {
        match self {
            Self::Group(group) => prepare(catalogue, site, core, group, reserved),
            Self::Numbers(wanted) => prepare_numbers(catalogue, site, core, wanted, reserved),
        }
    }
}

struct Ticket {
    work: Work,
    answer: Mutex<Option<Result<Recorded, RecordError>>>,
}

impl<S: Storage> Recorder<S> {
    /// Takes the opened parts and applies again what the local copy lacks.
    ///
    /// # Errors
    /// [`RecordError`] if a journal or the local copy cannot be read or written.
    pub fn new(site: SiteId, catalogue: Arc<Catalogue>, mut core: Core<S>) -> Result<Self, RecordError> {
        catch_up(&catalogue, &mut core)?;
        while handing_back::sweep_step(&mut core)? {}
        Ok(Self {
            site,
            catalogue,
            line: Mutex::default(),
            committed: Condvar::new(),
            core: Mutex::new(core),
            is_mending: AtomicBool::new(false),
        })
    }

    /// The journals and the local copy, for reading and for what a session stores. A journal whose storage failed is opened
    /// again first; as long as that does not work, it answers with `journal_poisoned`.
    pub fn core(&self) -> MutexGuard<'_, Core<S>> {
        // A panic while the lock was held is a broken invariant that has been reported; the data below has its own checks.
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        match mending::mend(&mut core) {
            Ok(false) => {}
            Ok(true) => {
                self.is_mending.store(false, Ordering::Relaxed);
                log::warn!(
                    "a journal was opened again after an error; it holds what was acknowledged durable={}",
                    core.shared.durable().sequence
                );
            }
            Err(error) => {
                if !self.is_mending.swap(true, Ordering::Relaxed) {
                    log::error!("a journal cannot be opened again yet code={} message={error}", error.code());
                }
                return core;
            }
        }
        // A commit that failed behind its journal's sync left the local copy behind; whoever reads has to see what was recorded.
        let is_behind = |kind, head: Head| core.local.applied_through(kind) < head.sequence;
        if is_behind(Kind::Shared, core.shared.durable()) || is_behind(Kind::Private, core.private.durable()) {
            match catch_up(&self.catalogue, &mut core) {
                Ok(()) => self.is_mending.store(false, Ordering::Relaxed),
                Err(error) => {
                    let _ = core.local.rollback_edits();
                    if !self.is_mending.swap(true, Ordering::Relaxed) {
                        log::error!("the local copy cannot be brought up to date yet message={error}");
                    }
                }
            }
        }
        core
    }

    /// Stores what central told, and says how far the journal goes now. Both under the lock that a commit holds from the check whether an
    /// edit may be made until it is durable, so whatever was recorded without knowing of a row that takes a store away is at or below
    /// that (`docs/decisions/freeze-answer.md`).
    ///
    /// # Errors
    /// Those of `store`.
    pub fn store_told<T>(
        &self,
        store: impl FnOnce(&mut LocalCopy, JournalId) -> Result<T, LocalCopyError>,
    ) -> Result<(T, Sequence), LocalCopyError> {
        let mut core = self.core();
        let journal = core.shared.identity().journal;
        let stored = store(&mut core.local, journal)?;
        Ok((stored, core.shared.durable().sequence))
    }

    /// One bounded step of letting go of what did not come again in a scope that was read anew; whether there is more to do. The
    /// lock is given back between the steps, so that edits go on.
    ///
    /// # Errors
    /// Those of the journal and of the local copy; the step comes again.
    pub fn sweep_step(&self) -> Result<bool, RecordError> {
        handing_back::sweep_step(&mut self.core())
    }

    /// Journals what this site has of its own records and a page brings in an older state. To be called before the page is stored.
    ///
    /// # Errors
    /// Those of the journal and of the local copy; then the page is not to be stored.
    pub fn hand_back_before(&self, page: &Page) -> Result<(), RecordError> {
        handing_back::before_page(&mut self.core(), page)
    }

    /// One bounded step of sending what stayed here and is to go after all (`domain::withholding`); how many, or `None` once
    /// all were looked at. The lock is given back between the steps, so that edits go on.
    ///
    /// # Errors
    /// Those of the journal and of the local copy; the step comes again.
    pub fn send_withheld_step(&self) -> Result<Option<usize>, RecordError> {
        withheld::send_step(&self.catalogue, self.site, &mut self.core())
    }

    /// One bounded step of answering what this site owes, behind a number (rule 5.14); `None` once all was looked at. The lock is given
    /// back between the steps, so that edits go on.
    ///
    /// # Errors
    /// Those of the journal and of the local copy; what was not answered comes again.
    pub fn answer_owed_step(&self, after: i64, now_ms: u64) -> Result<Option<OwedLook>, RecordError> {
        owed::answer_step(&self.catalogue, self.site, &mut self.core(), after, now_ms)
    }

    /// Records a group: durable when this returns.
    ///
    /// # Errors
    /// [`RecordError::Refused`] names the edit and the rule; nothing of the group was recorded.
    pub fn record(&self, group: Group) -> Result<Recorded, RecordError> {
        self.record_all(vec![group]).pop().unwrap_or(Err(RecordError::QueueFull))
    }

    /// Records groups in order, each for itself, with as few syncs as the limits allow. One answer each.
    pub fn record_all(&self, groups: Vec<Group>) -> Vec<Result<Recorded, RecordError>> {
        self.commit_all(groups.into_iter().map(Work::Group).collect())
    }

    /// Gives the next document numbers of a kind: durable when this returns. They stand in [`Recorded::numbers`].
    ///
    /// # Errors
    /// [`RecordError::Refused`] names the rule, with `store_not_read` and `numbers_not_confirmed` where a number might be one that was
    /// given before; nothing was given then.
    pub fn next_numbers(&self, wanted: NumbersWanted) -> Result<Recorded, RecordError> {
        self.commit_all(vec![Work::Numbers(wanted)]).pop().unwrap_or(Err(RecordError::QueueFull))
    }

    fn commit_all(&self, work: Vec<Work>) -> Vec<Result<Recorded, RecordError>> {
        let tickets: Vec<_> =
            work.into_iter().map(|work| Arc::new(Ticket { work, answer: Mutex::new(None) })).collect();
        {
            let mut line = self.line();
            if line.queue.len() + tickets.len() > QUEUE_GROUPS_MAX {
                return tickets.iter().map(|_| Err(RecordError::QueueFull)).collect();
            }
            line.queue.extend(tickets.iter().cloned());
        }
        tickets.iter().map(|ticket| self.wait(ticket)).collect()
    }

    /// Checks numbered groups as if they were recorded one after the other, and leaves nothing behind. Calls `refused` with the
    /// number of each that would be refused. `next` may look at the local copy as it would be then.
    ///
    /// # Errors
    /// [`RecordError`] if the local copy fails, or what `next` gives.
    pub fn check_all(
        &self,
        next: &mut dyn FnMut(&mut LocalCopy) -> NextGroup,
        refused: &mut dyn FnMut(u64, EditRefusal),
    ) -> Result<(), RecordError> {
        let mut core = self.core();
        core.local.begin_edits()?;
        let mut reserved = Reserved::default();
        let result = loop {
            let (number, group) = match next(&mut core.local) {
                Ok(Some(numbered)) => numbered,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            };
            match prepare(&self.catalogue, self.site, &mut core, &group, reserved) {
                Ok(prepared) => {
                    reserved.shared += prepared.shared.len() as u64;
                    reserved.private += prepared.private.len() as u64;
                }
                Err(RecordError::Refused(refusal)) => refused(number, refusal),
                Err(error) => break Err(error),
            }
        };
        core.local.rollback_edits()?;
        result
    }

    /// Waits for a ticket's answer. Whoever finds nobody at work commits what queues, its own ticket among it.
    fn wait(&self, ticket: &Ticket) -> Result<Recorded, RecordError> {
        let mut line = self.line();
        loop {
            if let Some(answer) = ticket.answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return answer;
            }
            if line.is_committing {
                line = self.committed.wait(line).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            line.is_committing = true;
            let awaited = line.last_batch;
            drop(line);
            self.let_others_queue(awaited);
            self.commit_line();
            line = self.line();
            line.is_committing = false;
            self.committed.notify_all();
        }
    }

    /// Those who were answered last are about to come again; a moment's patience lets them share this sync.
    fn let_others_queue(&self, awaited: usize) {
        for _ in 0..PATIENCE_YIELDS_MAX {
            if self.line().queue.len() >= awaited {
                return;
            }
            std::thread::yield_now();
        }
    }

    fn commit_line(&self) {
        let mut core = self.core();
        let batch: Vec<_> = {
            let mut line = self.line();
            let count = line.queue.len().min(COMMIT_GROUPS_MAX);
            line.last_batch = count;
            line.queue.drain(..count).collect()
        };
        // A panic is a broken invariant; those who wait must hear of it instead of waiting for ever.
        let committed = AssertUnwindSafe(|| {
            let answers = commit(&self.catalogue, self.site, &mut core, &batch);
            owed::answer_at_once(&self.catalogue, self.site, &mut core, recorded_at_ms(&batch));
            answers
        });
        let answers = catch_unwind(committed).unwrap_or_else(|_| {
            let _ = core.local.rollback_edits();
            batch.iter().map(|_| Err(RecordError::Device(broken()))).collect()
        });
        for (ticket, answer) in batch.iter().zip(answers) {
            *ticket.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the last of some work was handed over.
fn recorded_at_ms(batch: &[Arc<Ticket>]) -> u64 {
    let at = |ticket: &Arc<Ticket>| match &ticket.work {
        Work::Group(group) => group.recorded_at_ms,
        Work::Numbers(wanted) => wanted.recorded_at_ms,
    };
    batch.iter().map(at).max().unwrap_or_default()
}

fn broken() -> AgentError {
    AgentError::new(
        "recording_broke",
        "recording failed because of a mistake in the program",
        "Start the agent again; what was acknowledged before is safe. Report this with the log.",
        Exit::Failed,
    )
}

/// Who waits to be recorded.
#[derive(Default)]
struct Line {
    queue: VecDeque<Arc<Ticket>>,
    is_committing: bool,
    /// Groups of the last commit.
    last_batch: usize,
}

/// One commit for all groups; each has its own answer.
fn commit<S: Storage>(
    catalogue: &Catalogue,
    site: SiteId,
    core: &mut Core<S>,
    batch: &[Arc<Ticket>],
) -> Vec<Result<Recorded, RecordError>> {
    match try_commit(catalogue, site, core, batch) {
        Ok(answers) => answers,
        Err(error) => {
            // The transaction is given up; the journal is poisoned if it was the one that failed, so that nothing can be
            // acknowledged on top of what may not be there.
            let _ = core.local.rollback_edits();
            batch.iter().map(|_| Err(error.clone())).collect()
        }
    }
}

fn try_commit<S: Storage>(
    catalogue: &Catalogue,
    site: SiteId,
    core: &mut Core<S>,
    batch: &[Arc<Ticket>],
) -> Result<Vec<Result<Recorded, RecordError>>, RecordError> {
    // A commit that failed behind its journal's sync left the local copy behind.
    catch_up(catalogue, core)?;
    core.local.begin_edits()?;
    let mut answers = Vec::with_capacity(batch.len());
    let (mut shared, mut private) = (Vec::new(), Vec::new());
    let mut has_new_requests = false;
    for ticket in batch {
        let reserved = Reserved { shared: shared.len() as u64, private: private.len() as u64 };
        match ticket.work.prepare(catalogue, site, core, reserved) {
            Ok(prepared) => {
                shared.extend(prepared.shared);
                private.extend(prepared.private);
                has_new_requests |= ticket.work.has_request_id() && !prepared.recorded.was_recorded;
                answers.push(Ok(prepared.recorded));
            }
            Err(RecordError::Refused(refusal)) => answers.push(Err(RecordError::Refused(refusal))),
            Err(error) => return Err(error),
        }
    }
    let filled = (core.shared.fill().level(), core.private.fill().level());
    append_both(core, &shared, &private)?;
    mending::warn_of_fill(&core.shared, filled.0);
    mending::warn_of_fill(&core.private, filled.1);
    if shared.is_empty() && private.is_empty() && !has_new_requests {
        core.local.rollback_edits()?;
    } else if let Err(error) = commit_local(core) {
        if shared.is_empty() && private.is_empty() {
            return Err(error);
        }
        // Durable is recorded, whatever becomes of the local copy: it is brought up to date from the journals.
        log::error!("the local copy could not take edits that are recorded; it is tried again message={error}");
    }
    Ok(answers)
}

/// Makes entries durable in both journals. The private part of a mixed group is written first and names the shared sequence that completes
/// it (`details.md`).
fn append_both<S: Storage>(core: &mut Core<S>, shared: &[Draft], private: &[Draft]) -> Result<(), RecordError> {
    if !private.is_empty() {
        core.private.append(private)?;
        core.private.sync()?;
    }
    if !shared.is_empty()
        && let Err(error) = core.shared.append(shared).and_then(|_| core.shared.sync())
    {
        // Else the next shared entry, of another group, would be taken for the one that completes these.
        let applied = core.local.applied_through(Kind::Private);
        if let Err(problem) = cut_incomplete_group(&mut core.private, &core.shared, applied) {
            log::error!("the private part of a group that failed is still there message={problem}");
        }
        return Err(error.into());
    }
    Ok(())
}

/// Commits what the journals hold for good.
fn commit_local<S: Storage>(core: &mut Core<S>) -> Result<(), RecordError> {
    let noted = note_heads(core);
    if noted.is_err() {
        let _ = core.local.rollback_edits();
    }
    noted?;
    core.local.commit_edits(core.shared.durable().sequence, core.private.durable().sequence)?;
    Ok(())
}

fn note_heads<S: Storage>(core: &mut Core<S>) -> Result<(), RecordError> {
    for (kind, head) in [(Kind::Shared, core.shared.durable()), (Kind::Private, core.private.durable())] {
        if head.sequence > core.local.applied_through(kind) {
            core.local.note_applied_hash(kind, head.sequence, head.hash)?;
        }
    }
    Ok(())
}

/// Applies journaled entries that the local copy lacks: after a crash between the journal's sync and the commit.
fn catch_up<S: Storage>(catalogue: &Catalogue, core: &mut Core<S>) -> Result<(), RecordError> {
    for kind in [Kind::Private, Kind::Shared] {
        let mut retold = pairing::Retold::default();
        loop {
            let journal = if kind == Kind::Shared { &mut core.shared } else { &mut core.private };
            core.local.skip_to(kind, journal.floor())?;
            let after = core.local.applied(kind)?;
            let head = journal.durable().sequence;
            if after >= head {
                break;
            }
            let mut batch = Vec::new();
            journal.read(after, &mut |stored| {
                batch.push(stored);
                if batch.len() < limits::GROUP_ENTRIES_MAX {
                    std::ops::ControlFlow::Continue(())
                } else {
                    std::ops::ControlFlow::Break(())
                }
            })?;
            let last = batch.last().map_or(head, |stored| stored.sequence);
            core.local.begin_edits()?;
            if let Some(stored) = batch.last() {
                core.local.note_applied_hash(kind, stored.sequence, stored.hash)?;
            }
            for stored in &batch {
                let entry = Entry::decode(&stored.entry).map_err(RecordError::Entry)?;
                let applied = core.local.effect_of(kind, &entry)?;
                // The private journal's part may not have outlasted the power: what hangs on a record that goes, goes too.
                if kind == Kind::Shared && core.local.is_withheld(&entry.table, &entry.record)? {
                    core.local.owe_look_at_withheld()?;
                }
                retold.note_deleted_line(catalogue, &mut core.local, &entry)?;
                core.local.apply_entry(kind, stored.sequence, &entry, &applied, stored.note.recorded_at_ms)?;
                pairing::owe_half_of(catalogue, &mut core.local, &entry)?;
                if let Some(request_id) = stored.note.request_id {
                    let sequences = (kind == Kind::Shared).then_some((stored.sequence, stored.sequence));
                    core.local.remember_request(request_id, sequences)?;
                    remember_given(catalogue, &mut core.local, request_id, &entry)?;
                }
            }
            let (shared, private) = match kind {
                Kind::Shared => (last, core.local.applied(Kind::Private)?),
                Kind::Private => (core.local.applied(Kind::Shared)?, last),
            };
            core.local.commit_edits(shared, private)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
