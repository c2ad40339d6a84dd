//! Going on after a storage error without a restart, and how full the journal is.
//!
//! After a sync that failed, nobody knows what of the unsynced bytes is on the disk: the system may have marked them clean and
//! answer the next sync well. So nothing that such a handle wrote is trusted. Every handle is opened anew, the segment of the
//! last acknowledged entry is written again from its acknowledged entries alone, and what was appended without an
//! acknowledgement goes: its callers have been told that it was not recorded.

use protocol::ids::Sequence;

use super::error::{Damage, JournalError};
use super::mark;
use super::open::open_and_walk;
use super::storage::{Place, Storage};
use super::{HeadSegment, Journal, Stored};

/// Share of the limit from which on somebody should sync soon.
pub const FILL_HALF_PERCENT: u64 = 50;
/// Share of the limit from which on recording will stop soon.
pub const FILL_HIGH_PERCENT: u64 = 80;

/// How near a journal is to its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FillLevel {
    /// Below [`FILL_HALF_PERCENT`].
    Low,
    /// From [`FILL_HALF_PERCENT`] on.
    Half,
    /// From [`FILL_HIGH_PERCENT`] on.
    High,
    /// At the limit: edits are refused with `journal_full`.
    Full,
}

impl FillLevel {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            FillLevel::Low => "low",
            FillLevel::Half => "half",
            FillLevel::High => "high",
            FillLevel::Full => "full",
        }
    }
}

/// How full a journal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Bytes on the disk, as of the last sync.
    pub bytes: u64,
    /// The limit in bytes.
    pub limit_bytes: u64,
}

impl Fill {
    /// Whole percent of the limit, rounded down.
    pub fn percent(self) -> u64 {
        let percent = u128::from(self.bytes) * 100 / u128::from(self.limit_bytes.max(1));
        u64::try_from(percent).unwrap_or(u64::MAX)
    }

    /// Which threshold it has reached.
    pub fn level(self) -> FillLevel {
        match self.percent() {
            percent if percent >= 100 => FillLevel::Full,
            percent if percent >= FILL_HIGH_PERCENT => FillLevel::High,
            percent if percent >= FILL_HALF_PERCENT => FillLevel::Half,
            _ => FillLevel::Low,
        }
    }
}

impl<S: Storage> Journal<S> {
    /// How much of what it may take is taken.
    pub fn fill(&self) -> Fill {
        Fill { bytes: self.bytes(), limit_bytes: self.limits.journal_bytes_max }
    }

    /// Whether an error has left this handle of no use until [`Journal::reopen`].
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_some()
    }

    /// Takes up work after a storage error, with exactly the entries that were acknowledged. Does nothing to a healthy journal.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] if acknowledged entries cannot be read any more; a storage error, such as a disk that is still
    /// full. The journal stays poisoned then, and this can be called again.
    pub fn reopen(&mut self) -> Result<(), JournalError> {
        if self.poison.is_none() {
            return Ok(());
        }
        // Their errors stay with the old handles, and the engine lets only one of them have a segment.
        self.head = None;
        self.reading = None;
        self.appended = self.mark.durable;
        self.write_marks_anew()?;
        let durable = self.mark.durable.sequence;
        self.segments.clear();
        for number in self.storage.segments(&Place::Live)? {
            // The mark has moved: what lies below its floor was being deleted when the error came.
            let is_needed = number > self.mark.floor.sequence.0 && number <= durable.0;
            if is_needed {
                let bytes = self.storage.segment_bytes(number)?;
                self.segments.insert(number, bytes);
            } else {
                self.storage.remove_segment(number)?;
            }
        }
        let (promised, found) = (self.mark.segments, self.segments.len());
        if found != promised as usize {
            return Err(self.damage(None, Damage::SegmentsMissing { promised, found }));
        }
        self.rewrite_last_segment()?;
        self.poison = None;
        Ok(())
    }

    /// Both slots, so that no slot of which it is unknown whether it is on the disk can ever count.
    fn write_marks_anew(&mut self) -> Result<(), JournalError> {
        let content = self.storage.read_mark(&Place::Live)?;
        let slots = content.as_deref().and_then(mark::read_slots);
        let file = self.storage.open_mark()?.ok_or_else(|| self.damage(None, Damage::MarkMissing))?;
        let slots = slots.ok_or_else(|| self.damage(None, Damage::MarkUnreadable))?;
        if slots.mark.identity != self.mark.identity {
            return Err(self.damage(None, Damage::SegmentForeign));
        }
        self.mark_file = self.mark_file.taken_up_again(file, &slots);
        for _ in 0..2 {
            self.mark_file.write(&self.mark)?;
        }
        Ok(())
    }

    fn rewrite_last_segment(&mut self) -> Result<(), JournalError> {
        let durable = self.mark.durable;
        let Some(number) = self.segments.keys().next_back().copied() else { return Ok(()) };
        let known_hash = self.known_hash_before(number);
        let mut kept: Vec<Stored> = Vec::new();
        let opened = open_and_walk(&mut self.storage, &self.mark, number, known_hash, &mut |stored| {
            if stored.sequence <= durable.sequence {
                kept.push(stored);
            }
        })?;
        let ends_right = kept.last().map(|last| (last.sequence, last.hash)) == Some((durable.sequence, durable.hash));
        let (segment, entries, bytes) = match opened {
            Ok((segment, walked)) if ends_right => {
                drop(segment);
                let bytes = kept.iter().map(|stored| stored.entry.len() as u64).sum();
                (self.replace_segment(number, walked.hash_before, &kept)?, kept.len() as u64, bytes)
            }
            opened => {
                let damage = match opened {
                    Ok((segment, walked)) => {
                        drop(segment);
                        let first = kept.last().map_or(Sequence(number), |last| last.sequence.next());
                        walked.fault.unwrap_or(Damage::EntriesMissing { first, last: durable.sequence })
                    }
                    Err(damage) => damage,
                };
                let (segment, walked) = self.rebuild(number, known_hash, durable, damage)?;
                (segment, walked.entries, walked.bytes)
            }
        };
        self.storage.confirm_segment(number)?;
        let on_disk_bytes = self.storage.segment_bytes(number)?;
        self.segments.insert(number, on_disk_bytes);
        self.head = Some(HeadSegment { number, segment, entries, bytes, is_dirty: false });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_changes_exactly_at_its_percent() {
        let level = |bytes| Fill { bytes, limit_bytes: 1000 }.level();

        assert_eq!([level(499), level(500), level(799)], [FillLevel::Low, FillLevel::Half, FillLevel::Half]);
        assert_eq!([level(800), level(999), level(1000)], [FillLevel::High, FillLevel::High, FillLevel::Full]);
        assert_eq!(Fill { bytes: u64::MAX, limit_bytes: 0 }.level(), FillLevel::Full);
    }
}
