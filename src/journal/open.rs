//! Opening: what a crash left behind is put in order, what is damaged is rebuilt or named (`docs/journal-format.md`, "Opening").

use protocol::ids::{Hash, Sequence};

use super::error::{Damage, DamageReport, JournalError};
use super::mark::{self, Mark, MarkFile, Point};
use super::piece::SegmentHeader;
use super::storage::{Place, Segment, Storage, StorageError};
use super::walk::{self, Scan, Walked};
use super::{HeadSegment, Journal, Stored};

/// What opening did beside opening.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opening {
    /// Entries above the mark, in whole groups, that were kept and made durable. Nobody had been told of them.
    pub adopted: u64,
    /// Whether an incomplete group, or bytes of one, was removed from the end. Nobody had been told of it.
    pub was_cut: bool,
    /// Whether a slot of the mark was unreadable and was written again.
    pub was_mark_healed: bool,
    /// Segments that the engine could not read and that were rebuilt from their bytes without losing anything.
    pub rebuilt: Vec<u64>,
}

impl<S: Storage> Journal<S> {
    /// Opens the journal that is there and repairs what a crash may leave. Only the segments from the last acknowledged entry
    /// on are checked; older ones are checked when they are read.
    ///
    /// # Errors
    /// [`JournalError::Missing`] if there is none, [`JournalError::Version`] if a program of another release wrote it,
    /// [`JournalError::Damaged`] if an acknowledged entry is known to be
    /// unreadable; nothing that could be salvaged is changed then.
    pub fn open(mut storage: S) -> Result<(Self, Opening), JournalError> {
        let numbers = storage.segments(&Place::Live)?;
        let Some(content) = storage.read_mark(&Place::Live)? else {
            if numbers.is_empty() {
                return Err(JournalError::Missing);
            }
            return Err(damaged(None, None, Damage::MarkMissing));
        };
        refuse_other_version(&content)?;
        let Some(slots) = mark::read_slots(&content) else {
            return Err(damaged(None, None, Damage::MarkUnreadable));
        };
        let file = storage.open_mark()?.ok_or_else(|| damaged(None, None, Damage::MarkMissing))?;
        let mut journal = Journal::assemble(storage, MarkFile::resume(file, &slots)?, slots.mark);
        let mut opening = Opening { was_mark_healed: !slots.is_whole, ..Opening::default() };
        journal.take_segments(&numbers)?;
        journal.check_end(&mut opening)?;
        if opening.was_mark_healed || opening.adopted > 0 {
            let result = journal.sync_head();
            journal.poison_on_error(result)?;
        }
        Ok((journal, opening))
    }

    /// Removes segments that were pruned before a crash and checks that the promised ones are there.
    fn take_segments(&mut self, numbers: &[u64]) -> Result<(), JournalError> {
        let Mark { floor, durable, segments: promised, .. } = self.mark;
        let first_kept = floor.sequence.next().0;
        for (index, number) in numbers.iter().copied().enumerate() {
            let is_followed = numbers.get(index + 1).is_some_and(|&next| next <= first_kept);
            if is_followed || (number < first_kept && durable == floor) {
                self.storage.remove_segment(number)?;
            } else {
                let bytes = self.storage.segment_bytes(number)?;
                self.segments.insert(number, bytes);
            }
        }
        let found = self.segments.range(..=durable.sequence.0).count();
        let oldest = self.segments.range(..=durable.sequence.0).next();
        let starts_right = oldest.is_none_or(|(&number, _)| number == first_kept);
        if found != promised as usize || !starts_right {
            return Err(self.damage(None, Damage::SegmentsMissing { promised, found }));
        }
        Ok(())
    }

    /// Checks everything from the segment of the last acknowledged entry on.
    fn check_end(&mut self, opening: &mut Opening) -> Result<(), JournalError> {
        let durable = self.mark.durable;
        let first = self.segments.range(..=durable.sequence.0).next_back().map_or(0, |(&number, _)| number);
        let numbers: Vec<u64> = self.segments.range(first..).map(|(&number, _)| number).collect();
        let mut is_cut = false;
        for number in numbers {
            // What follows a cut was never acknowledged.
            if is_cut || (number > durable.sequence.0 && number != self.appended.sequence.next().0) {
                is_cut = true;
                self.remove_unacknowledged(number)?;
                continue;
            }
            is_cut = self.check_segment(number, opening)?;
            opening.was_cut |= is_cut;
        }
        opening.was_cut |= is_cut;
        if self.appended.sequence < durable.sequence {
            let first = self.appended.sequence.next();
            return Err(self.damage(None, Damage::EntriesMissing { first, last: durable.sequence }));
        }
        opening.adopted = self.appended.sequence.0 - durable.sequence.0;
        Ok(())
    }

    /// Checks one of the last segments and makes it the head; answers whether something was cut from it.
    fn check_segment(&mut self, number: u64, opening: &mut Opening) -> Result<bool, JournalError> {
        let durable = self.mark.durable;
        let holds_durable = number <= durable.sequence.0;
        let known_hash = (number == self.appended.sequence.next().0).then_some(self.appended.hash);
        let known_hash = if holds_durable { self.known_hash_before(number) } else { known_hash };
        let mut at_durable = None;
        let opened = open_and_walk(&mut self.storage, &self.mark, number, known_hash, &mut |stored| {
            if stored.sequence == durable.sequence {
                at_durable = Some(stored.hash);
            }
        })?;
        let (mut segment, mut walked, mut is_cut) = match opened {
            Ok((segment, walked)) => (Some(segment), walked, false),
            Err(_) if !holds_durable => {
                self.remove_unacknowledged(number)?;
                return Ok(true);
            }
            Err(damage) => {
                let rebuilt = self.rebuild(number, known_hash, durable, damage)?;
                opening.rebuilt.push(number);
                at_durable = Some(durable.hash);
                (Some(rebuilt.0), rebuilt.1, false)
            }
        };
        let reached = walked.group_end.map_or(number - 1, |end| end.sequence.0);
        if holds_durable && (reached < durable.sequence.0 || at_durable != Some(durable.hash)) {
            let damage = self.damage_at_durable(&walked, reached);
            drop(segment.take());
            let rebuilt = self.rebuild(number, known_hash, durable, damage)?;
            opening.rebuilt.push(number);
            (segment, walked) = (Some(rebuilt.0), rebuilt.1);
        } else if walked.fault.is_some()
            || walked.has_tail
            || walk::highest_raw(&mut self.storage, number)?.is_some_and(|highest| highest.0 > reached)
        {
            // The bytes of a cut entry must not lie beside those of the entry that will take its sequence.
            is_cut = true;
            let mut kept = Vec::new();
            if let Some(mut old) = segment.take() {
                walk::walk(&mut old, &self.mark.identity, number, known_hash, &mut |stored| {
                    if stored.sequence.0 <= reached {
                        kept.push(stored);
                    }
                })?;
            }
            if kept.is_empty() {
                self.remove_unacknowledged(number)?;
                return Ok(true);
            }
            segment = Some(self.replace_segment(number, walked.hash_before, &kept)?);
        }
        let mut segment = segment.expect("every branch above opened or replaced it");
        segment.sync()?;
        self.storage.confirm_segment(number)?;
        self.segments.insert(number, self.storage.segment_bytes(number)?);
        self.appended = walked.group_end.unwrap_or(self.appended);
        let (entries, bytes) = (walked.entries, walked.bytes);
        self.head = Some(HeadSegment { number, segment, entries, bytes, is_dirty: false });
        Ok(is_cut)
    }

    fn damage_at_durable(&self, walked: &Walked, reached: u64) -> Damage {
        let durable = self.mark.durable.sequence;
        match &walked.fault {
            Some(fault) => fault.clone(),
            None if reached < durable.0 => Damage::EntriesMissing { first: Sequence(reached + 1), last: durable },
            None => Damage::HashDiffers { sequence: durable },
        }
    }

    /// The hash before a segment, where it is known without reading the one before.
    pub(super) fn known_hash_before(&self, number: u64) -> Option<Hash> {
        let Point { sequence, hash } = self.mark.floor;
        (number == sequence.next().0).then_some(hash)
    }

    fn remove_unacknowledged(&mut self, number: u64) -> Result<(), JournalError> {
        debug_assert!(number > self.mark.durable.sequence.0);
        self.storage.remove_segment(number)?;
        self.segments.remove(&number);
        Ok(())
    }

    pub(super) fn replace_segment(
        &mut self,
        number: u64,
        hash_before: Hash,
        entries: &[Stored],
    ) -> Result<S::Segment, StorageError> {
        let header = SegmentHeader { identity: self.mark.identity, first: Sequence(number), hash_before };
        walk::write_segment(&mut self.storage, &header, entries)
    }

    /// Rebuilds a closed segment from its bytes if they hold every entry up to `end`, linked by the chain; entries after it
    /// that nobody was told of are left out. Otherwise the damage is answered and nothing is changed.
    pub(super) fn rebuild(
        &mut self,
        number: u64,
        hash_before: Option<Hash>,
        end: Point,
        damage: Damage,
    ) -> Result<(S::Segment, Walked), JournalError> {
        let scan = Scan::of(&mut self.storage, &Place::Live, number)?;
        let mut entries: Vec<Stored> = Vec::new();
        let mut hash = hash_before;
        for sequence in number..=end.sequence.0 {
            let entry = scan.entry(Sequence(sequence));
            let Some(stored) = entry.filter(|stored| hash.is_none_or(|hash| hash == stored.hash_before)) else {
                return Err(self.damage(Some(number), damage));
            };
            hash = Some(stored.hash);
            entries.push(stored);
        }
        let (Some(first), true) = (entries.first().map(|first| first.hash_before), hash == Some(end.hash)) else {
            return Err(self.damage(Some(number), damage));
        };
        let walked = Walked {
            hash_before: first,
            group_end: Some(end),
            entries: entries.len() as u64,
            bytes: entries.iter().map(|stored| stored.entry.len() as u64).sum(),
            fault: None,
            has_tail: false,
        };
        let segment = self.replace_segment(number, first, &entries)?;
        self.storage.confirm_segment(number)?;
        Ok((segment, walked))
    }

    pub(super) fn damage(&self, segment: Option<u64>, damage: Damage) -> JournalError {
        damaged(Some(&self.mark), segment, damage)
    }
}

/// Opens a segment and checks it. The inner error is the reason why the engine does not open it.
pub(super) fn open_and_walk<S: Storage>(
    storage: &mut S,
    mark: &Mark,
    number: u64,
    hash_before: Option<Hash>,
    visit: &mut dyn FnMut(Stored),
) -> Result<Result<(S::Segment, Walked), Damage>, StorageError> {
    let mut segment = match storage.open_segment(number) {
        Ok(segment) => segment,
        Err(error) if error.is_damage() => return Ok(Err(Damage::SegmentUnreadable { detail: error.to_string() })),
        Err(error) => return Err(error),
    };
    let walked = walk::walk(&mut segment, &mark.identity, number, hash_before, visit)?;
    Ok(Ok((segment, walked)))
}

/// Nothing of a journal that another release wrote is touched: what this one would take for damage is not.
pub(super) fn refuse_other_version(mark: &[u8]) -> Result<(), JournalError> {
    match mark::other_version(mark) {
        Some(found) => Err(JournalError::Version { found }),
        None => Ok(()),
    }
}

fn damaged(mark: Option<&Mark>, segment: Option<u64>, damage: Damage) -> JournalError {
    JournalError::Damaged(DamageReport {
        journal: mark.map(|mark| mark.identity.journal),
        promised: mark.map(|mark| mark.durable.sequence),
        segment,
        damage,
    })
}
