//! What was acknowledged, taken over into the model (invariant 1).

use domain::catalogue::DataType;
use outpost::local_copy::Kind;
use outpost::recorder::Group;

use super::read_journal;
use crate::mix::Fault;
use crate::model::{Expected, Violation, logged, violation};
use crate::world::World;

/// A group that a device acknowledged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acknowledged {
    /// The sequence of its last entry.
    pub(crate) last: u64,
    /// How many entries it has.
    pub(crate) count: u64,
    /// What central has to say.
    pub(crate) expected: Expected,
}

impl Acknowledged {
    fn has(&self, sequence: u64) -> bool {
        sequence <= self.last && sequence + self.count > self.last
    }
}

impl World {
    /// Records groups through the recorder and notes what it acknowledged.
    pub(crate) fn record_groups(&mut self, index: usize, groups: Vec<(Group, Expected)>) -> Result<(), Violation> {
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        self.model.device(index).attempted_groups += groups.len() as u64;
        let (groups, expected): (Vec<Group>, Vec<Expected>) = groups.into_iter().unzip();
        let edits: Vec<usize> = groups.iter().map(|group| group.edits.len()).collect();
        let answers = device.live().recorder.record_all(groups);
        let mut acknowledged = Vec::new();
        let mut failure = None;
        for ((answer, expected), edits) in answers.into_iter().zip(expected).zip(edits) {
            match answer {
                Ok(recorded) => {
                    let shared = recorded.sequences.map_or(0, |(first, last)| last.0 + 1 - first.0);
                    let last = recorded.sequences.map_or(0, |(_, last)| last.0);
                    let log = self.model.device(index).log();
                    log.acknowledged = log.acknowledged.max(if recorded.was_recorded { 0 } else { last });
                    self.counts.edits += recorded.edits;
                    if !recorded.was_recorded && shared > 0 {
                        acknowledged.push(Acknowledged { last, count: shared, expected });
                    }
                    // A half for another store of the site goes with what brings it about.
                    let has_more = self.mix.has(Fault::Transfers) && recorded.edits + recorded.unchanged > edits as u64;
                    if recorded.edits + recorded.unchanged != edits as u64 && !recorded.was_recorded && !has_more {
                        return violation("1", "a group was acknowledged with other edits than were handed over");
                    }
                }
                Err(error) if World::is_refusal(&error) => self.note(format_args!("device {index} refuses: {error}")),
                Err(error) => failure = Some(error),
            }
        }
        let Some(error) = failure else { return self.note_journaled(index, &acknowledged, true) };
        if !acknowledged.is_empty() {
            self.note_journaled(index, &acknowledged, false)?;
        }
        // What was not acknowledged is not the oracle's to believe in: whatever leaves the device before it is has to be on its disk.
        self.recording_failed(index, &error.into())
    }

    /// Takes over into the model what is new and durable in the journals, with what was acknowledged of it.
    pub(crate) fn note_journaled(
        &mut self,
        index: usize,
        groups: &[Acknowledged],
        is_all: bool,
    ) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        if device.shared.is_off() || device.private.is_off() {
            // What was acknowledged in the same breath, before a later group took the power, is looked for when the device is up
            // again: how far it was is noted.
            return Ok(());
        }
        let catalogue = std::sync::Arc::clone(device.catalogue());
        // First: a record that stayed on the device leaves it by a shared edit, and does not come back.
        self.note_private(index)?;
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let head = self.model.device(index).log().head();
        let news = match read_journal(index, device, Kind::Shared, head) {
            // The disk fails while the oracle reads: what is there is seen when the device is up again.
            Err(_) if device.is_off() || self.excused.contains(&index) || self.damaged.contains(&index) => {
                return Ok(());
            }
            news => news?,
        };
        // While a device heals with a central that was set back, central may lack what an edit builds on: then it is set aside.
        // What it must refuse it refuses all the same.
        let heals = self.model.device(index).is_other_time_line;
        let settled = |expected| if heals && expected == Expected::Accepted { Expected::Either } else { expected };
        let count = groups.iter().map(|group| group.count).sum::<u64>();
        let last = groups.iter().map(|group| group.last).max().unwrap_or(0);
        let is_there = news.len() as u64 >= count && (count == 0 || last <= head + news.len() as u64);
        // An error may have hidden that something was durable, and what follows for transfers a device records by itself.
        let may_have_more = self.excused.contains(&index) || self.mix.has(Fault::Transfers);
        if is_all && !(is_there && (news.len() as u64 == count || may_have_more)) {
            return violation(
                "1",
                format!("device {index}: {} entries are new, {groups:?} were acknowledged", news.len()),
            );
        }
        let mut acknowledged = 0;
        for stored in news {
            let sequence = stored.sequence.0;
            let group = groups.iter().find(|group| group.has(sequence));
            if group.is_some() {
                acknowledged = sequence;
            }
            let expected = group.map_or(Expected::Either, |group| settled(group.expected));
            let entry = logged(&catalogue, &stored.entry, stored.hash, expected)?;
            self.model.device(index).push(entry);
        }
        let log = self.model.device(index).log();
        log.acknowledged = log.acknowledged.max(acknowledged);
        Ok(())
    }

    pub(crate) fn note_private(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let catalogue = std::sync::Arc::clone(device.catalogue());
        let known = self.model.device(index).private.as_ref().map_or(0, crate::model::Log::head);
        let news = match read_journal(index, device, Kind::Private, known) {
            Err(_) if device.is_off() || self.excused.contains(&index) || self.damaged.contains(&index) => {
                return Ok(());
            }
            news => news?,
        };
        for stored in news {
            let entry = logged(&catalogue, &stored.entry, stored.hash, Expected::Either)?;
            let model = self.model.device(index);
            let key = entry.key.clone();
            model.note_state(&key, &entry.change);
            if catalogue.table_by_name(&key.0).is_ok_and(|table| table.data_type() == DataType::Store) {
                model.ever_kept.insert(key.clone());
            }
            if let Some(log) = &mut model.private {
                log.entries.push(entry);
                log.acknowledged = log.head();
                let sequence = log.head();
                // What went, and was refused, stays as some earlier edit left it: which one is not followed. A copy of a device may
                // have it still, though it went from the other.
                if model.private_by_key.contains_key(&key) || !model.by_key.contains_key(&key) {
                    model.private_by_key.entry(key).or_default().push(sequence);
                }
            }
        }
        Ok(())
    }
}
