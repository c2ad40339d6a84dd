//! Reading entries in order, never beyond what is durable.

use std::ops::ControlFlow;

use protocol::ids::{Hash, Sequence};

use super::error::{Damage, JournalError};
use super::mark::Point;
use super::open::open_and_walk;
use super::piece::Assembler;
use super::storage::{Key, Segment, Storage, StorageError};
use super::{Journal, Stored, walk};

impl<S: Storage> Journal<S> {
    /// Hands out the entries after one, in order, until the last durable one or until `visit` has enough. Memory: one segment
    /// of the engine and one entry.
    ///
    /// # Errors
    /// [`JournalError::OutOfRange`] for a position below the floor or above the durable entry; [`JournalError::Damaged`] when
    /// an entry cannot be read, after those before it were handed out. Entries are never skipped.
    pub fn read(
        &mut self,
        after: Sequence,
        visit: &mut dyn FnMut(Stored) -> ControlFlow<()>,
    ) -> Result<(), JournalError> {
        self.check_poison()?;
        self.check_range(after)?;
        let durable = self.mark.durable;
        let mut last = Cursor { sequence: after, hash: self.hash_without_reading(after) };
        let mut is_stopped = false;
        while last.sequence < durable.sequence && !is_stopped {
            let number = self.segment_of(last.sequence.next())?;
            let end = self.segment_end(number);
            self.prepare_reading(number, end)?;
            let end = end.sequence.min(durable.sequence);
            let result = self.read_segment(number, end, &mut last, &mut |stored| {
                let flow = visit(stored);
                is_stopped = flow.is_break();
                flow
            });
            match result {
                Ok(None) => {}
                Ok(Some(damage)) => return Err(self.damage(Some(number), damage)),
                Err(error) if error.is_damage() => {
                    return Err(self.damage(Some(number), Damage::SegmentUnreadable { detail: error.to_string() }));
                }
                Err(error) => return Err(error.into()),
            }
            if !is_stopped && last.sequence < end {
                let missing = Damage::EntriesMissing { first: last.sequence.next(), last: end };
                return Err(self.damage(Some(number), missing));
            }
        }
        let reached_end = last.sequence == durable.sequence;
        if reached_end && last.hash.is_some_and(|hash| hash != durable.hash) {
            return Err(self.damage(None, Damage::HashDiffers { sequence: durable.sequence }));
        }
        Ok(())
    }

    /// The hash after an entry; `None` if it was pruned or is not durable.
    ///
    /// # Errors
    /// As [`Journal::read`].
    pub fn hash_at(&mut self, sequence: Sequence) -> Result<Option<Hash>, JournalError> {
        self.check_poison()?;
        if let Some(hash) = self.hash_without_reading(sequence) {
            return Ok(Some(hash));
        }
        if self.check_range(sequence).is_err() {
            return Ok(None);
        }
        let mut found = None;
        self.read(Sequence(sequence.0 - 1), &mut |stored| {
            found = Some(stored.hash);
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn hash_without_reading(&self, sequence: Sequence) -> Option<Hash> {
        [self.mark.floor, self.mark.durable]
            .into_iter()
            .find_map(|point| (point.sequence == sequence).then_some(point.hash))
    }

    pub(super) fn check_range(&self, sequence: Sequence) -> Result<(), JournalError> {
        let (floor, durable) = (self.mark.floor.sequence, self.mark.durable.sequence);
        if sequence < floor || sequence > durable {
            return Err(JournalError::OutOfRange { sequence, floor, durable });
        }
        Ok(())
    }

    pub(super) fn segment_of(&self, sequence: Sequence) -> Result<u64, JournalError> {
        match self.segments.range(..=sequence.0).next_back() {
            Some((&number, _)) => Ok(number),
            None => Err(self.damage(None, Damage::EntriesMissing { first: sequence, last: sequence })),
        }
    }

    /// The last entry of a segment, durable or not; the hash only if it is known without reading on.
    fn segment_end(&self, number: u64) -> Cursor {
        match self.segments.range(number + 1..).next() {
            Some((&next, _)) => Cursor { sequence: Sequence(next - 1), hash: None },
            None => Cursor { sequence: self.appended.sequence, hash: Some(self.appended.hash) },
        }
    }

    /// Opens and checks a segment that is not the head, and rebuilds it if it is damaged and its bytes allow.
    fn prepare_reading(&mut self, number: u64, end: Cursor) -> Result<(), JournalError> {
        let is_open = self.head.as_ref().is_some_and(|head| head.number == number)
            || self.reading.as_ref().is_some_and(|(open, _)| *open == number);
        if is_open {
            return Ok(());
        }
        self.reading = None;
        let known_hash = self.known_hash_before(number);
        let mut last = None;
        let opened = open_and_walk(&mut self.storage, &self.mark, number, known_hash, &mut |stored| {
            last = Some(Point { sequence: stored.sequence, hash: stored.hash });
        })?;
        let (segment, damage) = match opened {
            Ok((segment, walked)) => {
                let reached = last.map_or(Sequence(number - 1), |last| last.sequence);
                let is_whole = reached == end.sequence && !walked.has_tail;
                let missing = Damage::EntriesMissing { first: reached.next(), last: end.sequence };
                let damage = walked.fault.or((!is_whole).then_some(missing));
                (Some(segment), damage)
            }
            Err(damage) => (None, Some(damage)),
        };
        let segment = match (segment, damage) {
            (Some(segment), None) => segment,
            (segment, damage) => {
                drop(segment);
                let damage = damage.unwrap_or(Damage::SegmentForeign);
                let end = self.proved_end(number, end, &damage)?;
                self.rebuild(number, known_hash, end, damage)?.0
            }
        };
        self.storage.confirm_segment(number)?;
        self.reading = Some((number, segment));
        Ok(())
    }

    /// The end that a rebuilt segment must reach: its hash is what the next segment begins with.
    fn proved_end(&mut self, number: u64, end: Cursor, damage: &Damage) -> Result<Point, JournalError> {
        let next = end.sequence.next();
        let hash = match end.hash {
            Some(hash) => Some(hash),
            None => self.hash_before_segment(next)?,
        };
        match hash {
            Some(hash) => Ok(Point { sequence: end.sequence, hash }),
            None => Err(self.damage(Some(number), damage.clone())),
        }
    }

    /// What the header of a segment says about the hash before it, whether or not the engine can open it.
    pub(super) fn hash_before_segment(&mut self, first: Sequence) -> Result<Option<Hash>, StorageError> {
        let header = walk::header_raw(&mut self.storage, first.0)?;
        let header = header.filter(|header| header.identity == self.mark.identity && header.first == first);
        Ok(header.map(|header| header.hash_before))
    }

    fn read_segment(
        &mut self,
        number: u64,
        end: Sequence,
        last: &mut Cursor,
        visit: &mut dyn FnMut(Stored) -> ControlFlow<()>,
    ) -> Result<Option<Damage>, StorageError> {
        let segment = match (&mut self.head, &mut self.reading) {
            (Some(head), _) if head.number == number => &mut head.segment,
            (_, Some((_, segment))) => segment,
            _ => return Ok(Some(Damage::SegmentUnreadable { detail: "it is not open".to_owned() })),
        };
        let mut damage = None;
        let mut assembler = Assembler::new(last.sequence.next(), last.hash);
        segment.read(Key::first_of(last.sequence.next().0), &mut |key, value| {
            if key.sequence > end.0 && !assembler.is_inside_entry() {
                return ControlFlow::Break(());
            }
            match assembler.push(key, value) {
                Ok(None) => ControlFlow::Continue(()),
                Ok(Some(stored)) => {
                    *last = Cursor { sequence: stored.sequence, hash: Some(stored.hash) };
                    visit(stored)
                }
                Err(fault) => {
                    damage = Some(Damage::Entry { sequence: assembler.next(), fault });
                    ControlFlow::Break(())
                }
            }
        })?;
        Ok(damage)
    }
}

/// A place whose hash may not be known.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    sequence: Sequence,
    hash: Option<Hash>,
}
