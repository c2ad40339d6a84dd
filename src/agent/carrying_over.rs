//! After a journal was replaced: what its predecessor still gives is journaled anew, and what it does not is named.

use std::ops::ControlFlow;

use protocol::entry::Entry;
use protocol::ids::{Hash, Sequence};

use super::agreement::known_journal;
use super::opening::{Places, Repair};
use crate::error::AgentError;
use crate::journal::{Draft, Journal, Loss, Note, Salvaged, Storage, Stored};
use crate::local_copy::{Kind, LocalCopy, LostRecord, headers_first};

/// Entries that are held and journaled anew in one step; a group may go on beyond it.
const STEP_ENTRIES: usize = 500;
/// Bytes of entries after which a step ends likewise, so that memory does not grow with the journal (invariant 13).
const STEP_BYTES: usize = 2 * 1024 * 1024;

/// Carries over what is to be carried over, once: the identity names the new journal when that is done. Goes on where a crash
/// broke it off. Afterwards identity and local copy speak of this journal.
pub(super) fn carry_over<P: Places>(
    places: &mut P,
    kind: Kind,
    journal: &mut Journal<P::Storage>,
    local: &mut LocalCopy,
    repairs: &mut Vec<Repair>,
) -> Result<(), AgentError> {
    let identity = *journal.identity();
    let known = known_journal(local, kind)?;
    let is_named = places.journal_id(kind) == identity.journal;
    let lost_history = places.suspicion().lost_history;
    let is_history_lost = kind == Kind::Shared
        && lost_history.is_some()
        && lost_history == identity.predecessor.map(|before| before.journal);
    if !is_named && known != Some(identity.journal) && identity.predecessor.is_some() {
        // What is safe elsewhere: at central, or in the local copy.
        let safe = match (kind, known) {
            (_, None) => Sequence::ZERO,
            (Kind::Shared, Some(_)) => local.received_groups()?,
            (Kind::Private, Some(_)) => local.applied_through(Kind::Private),
        };
        let (carried_over, lost) = journal_anew(kind, journal, local, safe, is_history_lost)?;
        if !lost.is_empty() {
            local.note_numbers_lost()?;
        }
        repairs.push(match kind {
            Kind::Shared if is_history_lost && lost.is_empty() => {
                Repair::HistoryLost { journal: identity.journal, carried_over }
            }
            Kind::Shared => Repair::JournalReplaced { journal: identity.journal, carried_over, lost },
            Kind::Private => Repair::PrivateJournalReplaced { journal: identity.journal, carried_over, lost },
        });
    }
    // Before the local copy forgets how far central had received the old journal: a crash between carries nothing over twice.
    if !is_named {
        match kind {
            Kind::Shared => places.replace_journal_id(identity.journal)?,
            Kind::Private => places.replace_private_journal_id(identity.journal)?,
        }
    }
    local.use_journal(kind, identity.journal)?;
    if is_history_lost {
        local.begin_own_time_line()?;
    }
    Ok(())
}

fn journal_anew<S: Storage>(
    kind: Kind,
    journal: &mut Journal<S>,
    local: &mut LocalCopy,
    safe: Sequence,
    is_history_lost: bool,
) -> Result<(u64, Vec<Loss>), AgentError> {
    // Before this point nothing new can be recorded, so what the new journal holds is what an earlier try carried over.
    let mut done = journal.durable().sequence.0;
    let (mut after, mut carried_over, mut lost) = (safe, 0, Vec::new());
    let mut waiting = is_history_lost.then(|| Step::of_waiting(local, safe)).transpose()?;
    loop {
        let step = if let Some(step) = waiting.take() {
            step
        } else {
            let mut step = Step::read(journal, after)?;
            if kind == Kind::Shared {
                step.recover_from(local)?;
            }
            if is_history_lost {
                step.put_records_under(local, safe)?;
            }
            step
        };
        carried_over += step.entries.len() as u64;
        let skipped = done.min(step.entries.len() as u64);
        done -= skipped;
        let rest = step.entries.get(usize::try_from(skipped).unwrap_or(usize::MAX)..).unwrap_or_default();
        for group in groups(rest, kind) {
            journal.append(&group)?;
        }
        journal.sync()?;
        join(&mut lost, step.lost);
        let Some(reached) = step.reached else { return Ok((carried_over, lost)) };
        after = reached;
    }
}

/// A part of a replaced journal, of bounded size whatever the journal's: a loss, or whole groups.
struct Step {
    entries: Vec<Stored>,
    lost: Vec<Loss>,
    /// The last entry that it covers; `None` behind the end.
    reached: Option<Sequence>,
}

impl Step {
    /// What waits at central for headers, each entry as a group of its own: central has lost it, and keeps so many of a site at most
    /// (`StoreLimits::waiting_entries_max`).
    fn of_waiting(local: &mut LocalCopy, received: Sequence) -> Result<Step, AgentError> {
        let entries = local.waiting_entries(received)?.into_iter().map(|mut entry| {
            Entry::mark_group_end(&mut entry);
            as_group(entry)
        });
        Ok(Step { entries: entries.collect(), lost: Vec::new(), reached: Some(received) })
    }

    fn read<S: Storage>(journal: &mut Journal<S>, after: Sequence) -> Result<Step, AgentError> {
        let mut step = Step { entries: Vec::new(), lost: Vec::new(), reached: None };
        let mut bytes = 0;
        journal.salvage_after(after, &mut |piece| match piece {
            Salvaged::Entry(stored) => {
                bytes += stored.entry.len();
                step.reached = Some(stored.sequence);
                let is_group_end = stored.is_group_end;
                step.entries.push(stored);
                let is_full = step.entries.len() >= STEP_ENTRIES || bytes >= STEP_BYTES;
                if is_full && is_group_end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            Salvaged::Lost(run) => {
                step.reached = Some(run.last);
                step.lost.push(run);
                let is_open = step.entries.last().is_some_and(|last| !last.is_group_end);
                // What the local copy has of the run may belong to the group before it.
                if is_open { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            }
        })?;
        Ok(step)
    }

    /// Before a group, the records that its entries change, as they were before everything that central has not received: central
    /// may have lost them, and takes the entries only on top of them.
    fn put_records_under(&mut self, local: &mut LocalCopy, received: Sequence) -> Result<(), AgentError> {
        let (mut with_records, mut group) = (Vec::with_capacity(self.entries.len()), Vec::new());
        let mut under: Vec<LostRecord> = Vec::new();
        for stored in self.entries.drain(..) {
            under.extend(local.under_unsent(&stored.entry, stored.sequence, received)?);
            let is_end = stored.is_group_end;
            group.push(stored);
            if is_end {
                headers_first(&mut under);
                under.dedup_by(|one, other| one.id == other.id && one.table == other.table);
                with_records.extend(under.drain(..).map(|record| as_group(record.into_entry().encode())));
                with_records.append(&mut group);
            }
        }
        with_records.append(&mut group);
        self.entries = with_records;
        Ok(())
    }

    /// What the journal has lost the local copy may still have: it keeps each entry until its verdict is final.
    fn recover_from(&mut self, local: &mut LocalCopy) -> Result<(), AgentError> {
        let mut still_lost: Vec<Loss> = Vec::new();
        for loss in self.lost.drain(..) {
            let mut next = loss.first;
            for (sequence, entry) in local.pending_entries(loss.first, loss.last)? {
                if sequence > next {
                    still_lost.push(Loss { first: next, last: Sequence(sequence.0 - 1) });
                }
                next = sequence.next();
                let is_group_end = Entry::ends_group(&entry).unwrap_or(true);
                let (note, hash) = (Note::default(), Hash::NONE);
                self.entries.push(Stored { sequence, entry, is_group_end, note, hash_before: hash, hash });
            }
            if next <= loss.last {
                still_lost.push(Loss { first: next, last: loss.last });
            }
        }
        self.entries.sort_by_key(|stored| stored.sequence);
        self.lost = still_lost;
        Ok(())
    }
}

/// An entry that no journal has yet, as a group of its own.
fn as_group(entry: Vec<u8>) -> Stored {
    let (note, hash) = (Note::default(), Hash::NONE);
    Stored { sequence: Sequence::ZERO, entry, is_group_end: true, note, hash_before: hash, hash }
}

/// Adds runs to those before them; neighbours become one.
fn join(lost: &mut Vec<Loss>, more: Vec<Loss>) {
    for run in more {
        match lost.last_mut().filter(|last| last.last.next() == run.first) {
            Some(neighbour) => neighbour.last = run.last,
            None => lost.push(run),
        }
    }
}

/// Drafts by group; a group whose end was lost ends where it breaks off.
fn groups(stored: &[Stored], kind: Kind) -> Vec<Vec<Draft>> {
    let mut groups: Vec<Vec<Draft>> = Vec::new();
    let mut open_until: Option<Sequence> = None;
    for entry in stored {
        let mut note = entry.note.clone();
        if kind == Kind::Private {
            // The entry that it names was in a journal that may have been replaced since; what is salvaged was acknowledged.
            note.completes = None;
        }
        let draft = Draft { entry: entry.entry.clone(), is_group_end: entry.is_group_end, note };
        match groups.last_mut() {
            Some(group) if open_until.map(Sequence::next) == Some(entry.sequence) => group.push(draft),
            last => {
                if open_until.is_some()
                    && let Some(group) = last
                {
                    end_group(group);
                }
                groups.push(vec![draft]);
            }
        }
        open_until = (!entry.is_group_end).then_some(entry.sequence);
    }
    if let Some(last) = groups.last_mut() {
        end_group(last);
    }
    groups
}

fn end_group(group: &mut [Draft]) {
    if let Some(last) = group.last_mut().filter(|last| !last.is_group_end) {
        last.is_group_end = true;
        Entry::mark_group_end(&mut last.entry);
    }
}
