//! Going on after damage: the old journal is set aside whole, a new one names it as its predecessor, and what can still be read
//! of the old one is handed out.

use std::ops::ControlFlow;

use protocol::chain::Predecessor;
use protocol::ids::{Hash, JournalId, Sequence, SiteId};

use super::error::JournalError;
use super::mark::{self, Mark, Point};
use super::open::refuse_other_version;
use super::storage::{Place, Storage, StorageError};
use super::walk::Scan;
use super::{Identity, Journal, Stored};

/// Stands for the id of a journal of which not even that could be read.
const UNKNOWN_JOURNAL: JournalId = JournalId([0; 16]);

/// What a damaged journal still gives, in order and without omissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Salvaged {
    /// An entry whose checksums are right.
    Entry(Stored),
    /// Entries that were acknowledged and cannot be read.
    Lost(Loss),
}

/// A run of lost entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// The first of them.
    pub first: Sequence,
    /// The last of them.
    pub last: Sequence,
}

impl<S: Storage> Journal<S> {
    /// Sets a damaged journal aside, never to be deleted by the agent, and makes a new and empty one that names it. Afterwards
    /// [`Journal::salvage`] hands out what can be read of the old one, as often as it is asked, also after a restart.
    ///
    /// # Errors
    /// [`JournalError::Missing`] if nothing is there; storage errors leave either the old or the new state.
    pub fn replace_damaged(storage: S, site: SiteId, journal: JournalId) -> Result<Self, JournalError> {
        Self::replace(storage, site, journal, Sequence::ZERO)
    }

    /// The same for a journal that is whole and older than it should be: somebody knows of entries up to `known`, so their
    /// sequences may never be used again. They count as acknowledged and, where they are not here, as lost.
    ///
    /// # Errors
    /// As [`Journal::replace_damaged`].
    pub fn replace_set_back(
        storage: S,
        site: SiteId,
        journal: JournalId,
        known: Sequence,
    ) -> Result<Self, JournalError> {
        Self::replace(storage, site, journal, known)
    }

    fn replace(mut storage: S, site: SiteId, journal: JournalId, known: Sequence) -> Result<Self, JournalError> {
        let numbers = storage.segments(&Place::Live)?;
        let content = storage.read_mark(&Place::Live)?;
        if numbers.is_empty() && content.is_none() {
            return Err(JournalError::Missing);
        }
        refuse_other_version(content.as_deref().unwrap_or_default())?;
        let old = content.as_deref().and_then(mark::read_slots).map(|slots| slots.mark);
        let mut predecessor = survey(&mut storage, old.as_ref(), &numbers)?;
        predecessor.promised = predecessor.promised.max(known);
        let mark = Mark::empty(Identity { site, journal, predecessor: Some(predecessor) });
        storage.replace_all(&aside_name(journal), &mark::first_content(&mark))?;
        Ok(Journal::open(storage)?.0)
    }

    /// Hands out what can be read of the predecessor that was set aside, from its floor to the last entry it had
    /// acknowledged, with what is lost in between. Nothing if there is no predecessor here. Memory: one segment.
    ///
    /// # Errors
    /// Storage errors. Damage is told as [`Salvaged::Lost`].
    pub fn salvage(&mut self, visit: &mut dyn FnMut(Salvaged) -> ControlFlow<()>) -> Result<(), JournalError> {
        self.salvage_after(Sequence::ZERO, visit)
    }

    /// The same from behind an entry on.
    ///
    /// # Errors
    /// As [`Journal::salvage`].
    pub fn salvage_after(
        &mut self,
        after: Sequence,
        visit: &mut dyn FnMut(Salvaged) -> ControlFlow<()>,
    ) -> Result<(), JournalError> {
        let Some(predecessor) = self.mark.identity.predecessor else { return Ok(()) };
        let place = Place::Aside(aside_name(self.mark.identity.journal));
        let numbers = self.storage.segments(&place)?;
        let content = self.storage.read_mark(&place)?;
        if content.is_none() && numbers.is_empty() {
            return Ok(());
        }
        let old = content.as_deref().and_then(mark::read_slots).map(|slots| slots.mark);
        let mut losses = Losses { visit, open: None };
        let mut next = start(old.as_ref(), &numbers).max(after).next();
        for (index, &number) in numbers.iter().enumerate() {
            let end = numbers.get(index + 1).map_or(predecessor.promised.0, |&next| next - 1);
            let end = Sequence(end.min(predecessor.promised.0));
            if end < next {
                continue;
            }
            let scan = Scan::of(&mut self.storage, &place, number)?;
            while next <= end {
                let (flow, last) = if let Some(stored) = scan.entry(next) {
                    (losses.entry(stored), next)
                } else {
                    // In one step: a damaged mark may promise more entries than anybody could count through.
                    let last = scan.next_after(next).map_or(end, |found| Sequence(found.0 - 1).min(end));
                    (losses.lost_until(next, last), last)
                };
                if flow.is_break() {
                    return Ok(());
                }
                next = last.next();
            }
        }
        if next <= predecessor.promised && losses.lost_until(next, predecessor.promised).is_break() {
            return Ok(());
        }
        let _ = losses.close();
        Ok(())
    }

    /// Gives the storage back, to be opened again.
    pub fn into_storage(self) -> S {
        self.storage
    }
}

/// Joins neighbouring lost entries to one run.
struct Losses<'a> {
    visit: &'a mut dyn FnMut(Salvaged) -> ControlFlow<()>,
    open: Option<Loss>,
}

impl Losses<'_> {
    fn entry(&mut self, stored: Stored) -> ControlFlow<()> {
        self.close()?;
        (self.visit)(Salvaged::Entry(stored))
    }

    fn lost_until(&mut self, first: Sequence, last: Sequence) -> ControlFlow<()> {
        let first = self.open.map_or(first, |open| open.first);
        self.open = Some(Loss { first, last });
        ControlFlow::Continue(())
    }

    fn close(&mut self) -> ControlFlow<()> {
        match self.open.take() {
            Some(loss) => (self.visit)(Salvaged::Lost(loss)),
            None => ControlFlow::Continue(()),
        }
    }
}

/// How far the old journal is known to be whole, and how far it had promised to be.
fn survey<S: Storage>(storage: &mut S, old: Option<&Mark>, numbers: &[u64]) -> Result<Predecessor, StorageError> {
    let mut journal = old.map(|mark| mark.identity.journal);
    let mut whole = old.map(|mark| mark.floor);
    let mut highest = Sequence::ZERO;
    let mut is_whole = true;
    for &number in numbers {
        let scan = Scan::of(storage, &Place::Live, number)?;
        highest = highest.max(scan.highest().unwrap_or_default());
        journal = journal.or(scan.header.map(|header| header.identity.journal));
        let header = scan
            .header
            .map(|header| Point { sequence: Sequence(header.first.0.saturating_sub(1)), hash: header.hash_before });
        let mut point = *whole.get_or_insert(header.unwrap_or(Point { sequence: Sequence::ZERO, hash: Hash::NONE }));
        if is_whole {
            let follows =
                |point: &Point| scan.entry(point.sequence.next()).filter(|stored| stored.hash_before == point.hash);
            while let Some(stored) = follows(&point) {
                point = Point { sequence: stored.sequence, hash: stored.hash };
            }
        }
        let end = numbers.iter().find(|&&other| other > number).map(|&next| Sequence(next - 1));
        is_whole &= end.is_none_or(|end| point.sequence >= end);
        whole = Some(point);
    }
    let promised = old.map_or(highest, |mark| mark.durable.sequence);
    let whole = whole.unwrap_or(Point { sequence: Sequence::ZERO, hash: Hash::NONE });
    Ok(Predecessor {
        journal: journal.unwrap_or(UNKNOWN_JOURNAL),
        sequence: whole.sequence,
        hash: whole.hash,
        promised,
    })
}

/// The entry before the first that the old journal kept.
fn start(old: Option<&Mark>, numbers: &[u64]) -> Sequence {
    match (old, numbers.first()) {
        (Some(mark), _) => mark.floor.sequence,
        (None, Some(&number)) => Sequence(number.saturating_sub(1)),
        (None, None) => Sequence::ZERO,
    }
}

/// The new journal's id is random, so the name was never used before.
fn aside_name(journal: JournalId) -> String {
    format!("before-{journal}")
}
