//! Giving disk back: whole segments that are no longer needed, and the end of the private journal.

use std::ops::ControlFlow;

use protocol::ids::Sequence;

use super::error::JournalError;
use super::mark::{Mark, Point};
use super::storage::Storage;
use super::{Journal, Stored};

impl<S: Storage> Journal<S> {
    /// Deletes the oldest segments whose every entry is at or below `through`, as long as the acknowledged ones take more than
    /// `keep_bytes` on the disk (rule 5.5). The head segment always stays. Answers the bytes given back.
    ///
    /// # Errors
    /// [`JournalError::OutOfRange`] if `through` is not durable; a storage error poisons the handle.
    pub fn prune(&mut self, through: Sequence, keep_bytes: u64) -> Result<u64, JournalError> {
        self.check_poison()?;
        let Mark { floor, durable, .. } = self.mark;
        if through > durable.sequence {
            return Err(JournalError::OutOfRange {
                sequence: through,
                floor: floor.sequence,
                durable: durable.sequence,
            });
        }
        let numbers: Vec<(u64, u64)> = self.segments.iter().map(|(&number, &bytes)| (number, bytes)).collect();
        let sealed: Vec<(u64, u64, Sequence)> = numbers
            .iter()
            .zip(numbers.iter().skip(1))
            .map(|(&(number, bytes), &(next, _))| (number, bytes, Sequence(next - 1)))
            .take_while(|&(_, _, last)| last <= through)
            .collect();
        let mut kept_bytes: u64 = sealed.iter().map(|(_, bytes, _)| bytes).sum();
        let mut freed_bytes = 0;
        for (number, bytes, last) in sealed {
            if kept_bytes <= keep_bytes {
                break;
            }
            self.prune_segment(number, last)?;
            kept_bytes -= bytes;
            freed_bytes += bytes;
        }
        Ok(freed_bytes)
    }

    /// The mark moves first: a crash in between leaves a segment below the floor, which opening deletes.
    fn prune_segment(&mut self, number: u64, last: Sequence) -> Result<(), JournalError> {
        // The next segment knows it too, so that a damaged segment nobody needs any longer does not stay for ever.
        let hash = match self.hash_before_segment(last.next())? {
            Some(hash) => hash,
            None => match self.hash_at(last)? {
                Some(hash) => hash,
                None => return Ok(()),
            },
        };
        let floor = Point { sequence: last, hash };
        let result = self.write_mark(Mark { floor, segments: self.mark.segments.saturating_sub(1), ..self.mark });
        self.poison_on_error(result)?;
        if self.reading.as_ref().is_some_and(|(open, _)| *open == number) {
            self.reading = None;
        }
        let result = self.storage.remove_segment(number);
        self.poison_on_error(result)?;
        self.segments.remove(&number);
        Ok(())
    }

    /// Removes every entry after one that ends a group. Only for a journal whose entries nobody else has seen: the private
    /// one, at opening (`details.md`, "Mixed group"). After a crash in between it must be called again.
    ///
    /// # Errors
    /// [`JournalError::NotSynced`] with unsynced entries, [`JournalError::OutOfRange`], [`JournalError::GroupOpen`] if the
    /// entry does not end a group; a storage error poisons the handle.
    pub fn truncate_after(&mut self, sequence: Sequence) -> Result<(), JournalError> {
        self.check_poison()?;
        self.check_range(sequence)?;
        if self.appended != self.mark.durable {
            return Err(JournalError::NotSynced);
        }
        if sequence == self.mark.durable.sequence {
            return Ok(());
        }
        let mut end = Some(self.mark.floor);
        let mut kept: Vec<Stored> = Vec::new();
        if sequence > self.mark.floor.sequence {
            end = None;
            let number = self.segment_of(sequence)?;
            self.read(self.before(number), &mut |stored| {
                if stored.sequence > sequence {
                    return ControlFlow::Break(());
                }
                kept.push(stored);
                ControlFlow::Continue(())
            })?;
            if let Some(last) = kept.last().filter(|last| last.is_group_end) {
                end = Some(Point { sequence: last.sequence, hash: last.hash });
            }
        }
        let Some(end) = end else { return Err(JournalError::GroupOpen) };
        let result = self.truncate_to(end, &kept);
        self.poison_on_error(result)
    }

    /// The mark moves first: else a crash would leave it promising what is gone.
    fn truncate_to(&mut self, end: Point, kept: &[Stored]) -> Result<(), super::storage::StorageError> {
        let segments = self.segments.range(..=end.sequence.0).count();
        let segments = u32::try_from(segments).unwrap_or(u32::MAX);
        self.write_mark(Mark { durable: end, segments, ..self.mark })?;
        self.appended = end;
        self.head = None;
        self.reading = None;
        for number in self.segments.range(end.sequence.0 + 1..).map(|(&number, _)| number).rev().collect::<Vec<_>>() {
            self.storage.remove_segment(number)?;
            self.segments.remove(&number);
        }
        if let Some(first) = kept.first() {
            let number = first.sequence.0;
            let segment = self.replace_segment(number, first.hash_before, kept)?;
            let bytes = self.storage.segment_bytes(number)?;
            self.segments.insert(number, bytes);
            self.head = Some(super::HeadSegment {
                number,
                segment,
                entries: kept.len() as u64,
                bytes: kept.iter().map(|stored| stored.entry.len() as u64).sum(),
                is_dirty: false,
            });
        }
        Ok(())
    }

    fn before(&self, number: u64) -> Sequence {
        self.mark.floor.sequence.max(Sequence(number - 1))
    }
}
