//! After a start: what was acknowledged is there, or was named as lost (invariants 1, 2, 4 and 6).

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use domain::scope::Scope;
use outpost::agent::Repair;
use outpost::journal::Loss;
use outpost::local_copy::Kind;
use protocol::ids::JournalId;

use super::read_journal;
use crate::mix::Fault;
use crate::model::{Change, Expected, Key, Log, Violation, logged, violation};
use crate::moves::is_moved_store;
use crate::world::World;

impl World {
    /// Invariants 1 and 2 after a start.
    pub(crate) fn check_opened(&mut self, index: usize, repairs: &[Repair]) -> Result<(), Violation> {
        let is_damaged = self.damaged.contains(&index);
        // Opening reads no more than it must: what lies deeper is found when it is read, and mended at the next opening.
        if is_damaged && let Some(error) = self.deep_damage(index) {
            if let Some(device) = self.devices.get_mut(index) {
                device.keep_repairs(repairs);
            }
            return self.device_failed(index, &error);
        }
        // The private journal then goes on under another id as well.
        let is_history_lost = repairs.iter().any(|repair| matches!(repair, Repair::HistoryLost { .. }));
        let gives_up = self.model.device(index).gives_up;
        for repair in repairs {
            self.note(format_args!("device {index}: {repair}"));
            let is_damage = !matches!(repair, Repair::Journal(_) | Repair::PrivateGroupRemoved { .. });
            let is_meant = is_history_lost || gives_up && matches!(repair, Repair::PrivateJournalReplaced { .. });
            if is_damage && !is_damaged && !is_meant {
                return violation("1", format!("device {index} finds damage that nobody did: {repair}"));
            }
            match repair {
                Repair::JournalReplaced { journal, lost, .. } => self.check_replaced(index, *journal, lost)?,
                Repair::HistoryLost { journal, .. } => self.check_history_lost(index, *journal)?,
                Repair::PrivateJournalReplaced { journal, lost, .. } => {
                    let is_copy_lost = repairs.iter().any(|repair| matches!(repair, Repair::LocalData { .. }));
                    self.private_replaced(index, *journal, lost, is_copy_lost)?;
                }
                Repair::LocalCopyReplaced { .. } | Repair::LocalCopySetBack { .. } => {
                    self.latent_damage.remove(&index);
                    self.local_copy_replaced(index);
                }
                Repair::LocalData { floor, .. } => self.local_data_lost(index, floor.0),
                Repair::JournalSetBack { .. } | Repair::Journal(_) | Repair::PrivateGroupRemoved { .. } => {}
            }
        }
        // Private edits first: a record that stayed here leaves by a shared one.
        self.check_private_journal(index)?;
        self.check_journal(index)?;
        self.check_cursors(index)?;
        self.check_view(index, true)?;
        if !self.latent_damage.contains(&index) {
            self.damaged.remove(&index);
        }
        let model = self.model.device(index);
        (model.attempted_groups, model.gives_up) = (0, false);
        Ok(())
    }

    fn deep_damage(&self, index: usize) -> Option<outpost::error::AgentError> {
        let device = self.devices.get(index)?;
        let mut core = device.live().recorder.core();
        let floors = (core.shared.floor(), core.private.floor());
        let shared = core.shared.read(floors.0, &mut |_| ControlFlow::Continue(()));
        let private = core.private.read(floors.1, &mut |_| ControlFlow::Continue(()));
        shared.and(private).err().map(outpost::error::AgentError::from)
    }

    /// The device knows nothing any more of what it had read.
    fn local_copy_replaced(&mut self, index: usize) {
        let model = self.model.device(index);
        model.forget_central();
        model.lose_records();
    }

    /// What never left the site was only in the local copy, once its journal had let go of it.
    fn local_data_lost(&mut self, index: usize, floor: u64) {
        self.model.device(index).private_base.clear();
        if let Some(log) = &mut self.model.device(index).private {
            (1..).zip(&mut log.entries).for_each(|(sequence, entry)| entry.is_lost |= sequence <= floor);
        }
    }

    /// The private journal goes on under another id: what it named as lost is lost, everything else is among the records.
    /// If the local copy is gone too, what is left is what it shows: the agent has said that the rest is lost.
    fn private_replaced(
        &mut self,
        index: usize,
        journal: JournalId,
        lost: &[Loss],
        is_copy_lost: bool,
    ) -> Result<(), Violation> {
        let keys: Vec<Key> = self.model.device(index).private_by_key.keys().cloned().collect();
        let mut shown = std::collections::BTreeMap::new();
        for key in keys.iter().filter(|_| is_copy_lost) {
            shown.insert(key.clone(), self.shown(index, key)?);
        }
        let model = self.model.device(index);
        let Some(log) = &mut model.private else { return Ok(()) };
        for (sequence, entry) in (1..).zip(&mut log.entries) {
            entry.is_lost |= lost.iter().any(|loss| (loss.first.0..=loss.last.0).contains(&sequence));
        }
        model.private_base = if is_copy_lost {
            shown
        } else {
            keys.into_iter().map(|key| (key.clone(), model.private_record(&key))).collect()
        };
        model.private_by_key = model.private_base.keys().map(|key| (key.clone(), Vec::new())).collect();
        model.private = Some(Log::new(journal));
        Ok(())
    }

    fn check_journal(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let catalogue = std::sync::Arc::clone(device.catalogue());
        let (id, durable, floor) = {
            let core = device.live().recorder.core();
            (core.shared.identity().journal, core.shared.durable().sequence.0, core.shared.floor().0)
        };
        let attempted = self.model.device(index).attempted_groups;
        let is_other_time_line = self.model.device(index).is_other_time_line;
        let has_kept = !self.model.device(index).ever_kept.is_empty();
        let log = self.model.device(index).log();
        if log.id != id {
            return violation("2", format!("device {index} goes on in journal {id} without a word"));
        }
        if durable < log.head().max(log.acknowledged) {
            let head = log.head().max(log.acknowledged);
            return violation("1", format!("device {index} has entries up to {durable}, {head} were durable"));
        }
        if floor > log.committed && !is_other_time_line {
            let committed = log.committed;
            return violation("4", format!("device {index} let go of entries up to {floor}, central has {committed}"));
        }
        let mut groups = 0;
        for stored in read_journal(index, device, Kind::Shared, floor)? {
            let log = self.model.device(index).log();
            match log.entry(stored.sequence.0) {
                Some(entry) if entry.hash == stored.hash => {}
                Some(_) => {
                    let what = format!("device {index} has another entry at {} than before", stored.sequence);
                    return violation("1", what);
                }
                None => {
                    // Durable, and nobody had been told.
                    groups += u64::from(stored.is_group_end);
                    let entry = logged(&catalogue, &stored.entry, stored.hash, Expected::Either)?;
                    self.model.device(index).push(entry);
                }
            }
        }
        let answers = self.mix.has(Fault::Transfers);
        if groups > attempted && !is_other_time_line && !has_kept && !answers {
            return violation("1", format!("device {index} has {groups} groups that nobody handed over"));
        }
        let log = self.model.device(index).log();
        if log.entries.last().is_some_and(|last| !last.ends_group) {
            return violation("2", format!("device {index} keeps a part of a group"));
        }
        Ok(())
    }

    fn check_private_journal(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let (id, durable) = {
            let core = device.live().recorder.core();
            (core.private.identity().journal, core.private.durable().sequence.0)
        };
        let model = self.model.device(index);
        let log = model.private.get_or_insert_with(|| Log::new(id));
        if log.id != id {
            return violation("2", format!("device {index} goes on in private journal {id} without a word"));
        }
        if durable < log.acknowledged {
            let acknowledged = log.acknowledged;
            let what = format!("device {index} has private entries up to {durable}, {acknowledged} were acknowledged");
            return violation("1", what);
        }
        self.note_private(index)
    }

    /// A damaged journal goes on under another id: everything is carried over, at central, or named as lost.
    fn check_replaced(&mut self, index: usize, journal: JournalId, lost: &[Loss]) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let catalogue = std::sync::Arc::clone(device.catalogue());
        let carried = read_journal(index, device, Kind::Shared, 0)?;
        let model = self.model.device(index);
        // What central had received before it was set back comes again with the records, not by itself.
        let is_other_time_line = model.is_other_time_line;
        let mut moved = BTreeSet::new();
        let attempted = model.attempted_groups;
        let old = model.log();
        let is_named = |sequence: u64| lost.iter().any(|loss| (loss.first.0..=loss.last.0).contains(&sequence));
        let mut entries = Vec::with_capacity(carried.len());
        for stored in carried {
            entries.push(logged(&catalogue, &stored.entry, stored.hash, Expected::Either)?);
        }
        // From the end: what is carried over is what came last, and an edit may be like an earlier one.
        let mut above = old.head() + 1;
        for entry in entries.iter().rev() {
            let same = |other: &crate::model::Logged| other.key == entry.key && other.change == entry.change;
            let mut kept = (1..above).rev().filter(|sequence| !is_named(*sequence));
            let found = kept.find(|sequence| old.entry(*sequence).is_some_and(same));
            let Some(found) = found else {
                // What was handed over last and not acknowledged may be on the disk all the same, and was not seen there before the damage.
                if attempted > 0 && above == old.head() + 1 {
                    continue;
                }
                return violation("1", format!("device {index} carries over an entry that its old journal never had"));
            };
            for skipped in found + 1..above {
                if !is_named(skipped) && skipped > old.committed && !is_other_time_line {
                    return violation("1", format!("device {index} lost entry {skipped} and does not say so"));
                }
            }
            moved.insert(found);
            above = found;
        }
        for sequence in 1..above {
            if !is_named(sequence) && sequence > old.committed && !is_other_time_line {
                return violation("1", format!("device {index} lost entry {sequence} and does not say so"));
            }
        }
        // One that was deleted behind what a central that was set back has comes back: docs/sync-protocol.md, "Known limits".
        let mut deleted = Vec::new();
        let committed = old.committed;
        for sequence in 1..=old.head() {
            if let Some(entry) = old.entry_mut(sequence) {
                entry.is_lost |= is_named(sequence);
                entry.is_moved = !entry.is_lost && (!is_other_time_line || moved.contains(&sequence));
                if !entry.is_lost && !entry.is_moved && sequence > committed && entry.change == Change::Delete {
                    deleted.push(entry.key.clone());
                }
            }
        }
        model.uncertain.extend(deleted);
        model.may_lack_records |= is_other_time_line;
        model.begin_journal(journal);
        for entry in entries {
            model.push(entry);
        }
        Ok(())
    }

    /// Central lost what the journal had let go of: what it had not received is carried over, in order, each record that it changes
    /// whole before that. What central had received does not come again by itself; its records do.
    fn check_history_lost(&mut self, index: usize, journal: JournalId) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let catalogue = std::sync::Arc::clone(device.catalogue());
        let mut entries = Vec::new();
        for stored in read_journal(index, device, Kind::Shared, 0)? {
            entries.push(logged(&catalogue, &stored.entry, stored.hash, Expected::Either)?);
        }
        let model = self.model.device(index);
        if !model.is_other_time_line {
            return violation("2", format!("device {index} gives its journal up although central has it"));
        }
        let old = model.log();
        let mut carried = old.head();
        for entry in entries.iter().rev() {
            let is_next = old.entry(carried).is_some_and(|same| same.key == entry.key && same.change == entry.change);
            if is_next {
                if let Some(moved) = old.entry_mut(carried) {
                    moved.is_moved = true;
                }
                carried -= 1;
            } else if !matches!(entry.change, Change::Put(_)) {
                return violation("1", format!("device {index} carries over an entry that its old journal never had"));
            }
        }
        // One that was deleted in between comes back: nobody can tell it from one that central made.
        let between = (old.committed + 1)..=carried;
        let deleted = between.filter_map(|sequence| old.entry(sequence));
        let deleted: Vec<Key> =
            deleted.filter(|entry| entry.change == Change::Delete).map(|entry| entry.key.clone()).collect();
        model.uncertain.extend(deleted);
        model.begin_journal(journal);
        for entry in entries {
            model.push(entry);
        }
        Ok(())
    }

    /// Invariant 6: what was reported as read is there.
    fn check_cursors(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let state = device.live().recorder.core().local.session_state();
        let state = state.or_else(|error| violation("6", format!("device {index}: {error}")))?;
        if self.model.device(index).is_other_time_line {
            // It may have begun to read everything anew.
            return Ok(());
        }
        let (shared, visible) = (Scope::DispensarySites.to_id(), Scope::Visible.to_id());
        for (scope, reported) in &self.model.device(index).reported {
            // The one goes with the last dispensary of the site, or when it is the primary no more; the other is read anew by a device that
            // has not read all that it was given; that of a store that moves goes with it.
            let may_lose = [Fault::Modes, Fault::Mirror, Fault::Moves].into_iter().any(|fault| self.mix.has(fault));
            let is_of_moved = match Scope::from_id(scope) {
                Scope::Store(store) | Scope::StorePartners(store) => is_moved_store(store.as_str()),
                _ => false,
            };
            // Any is read anew by a site that may have missed what was deleted.
            let is_read_anew = self.mix.has(Fault::Tombstones);
            let may_go = may_lose && *scope == shared || *scope == visible || is_of_moved || is_read_anew;
            if may_go && state.cursors.iter().all(|shown| shown.scope != *scope) {
                continue;
            }
            let cursor = state.cursors.iter().find(|cursor| cursor.scope == *scope).map(|cursor| cursor.cursor);
            let is_there =
                cursor.is_some_and(|cursor| cursor.number >= reported.number || cursor.began != reported.began);
            if !is_there {
                return violation("6", format!("device {index} reported {reported:?} of {scope:?} and has {cursor:?}"));
            }
        }
        Ok(())
    }
}
