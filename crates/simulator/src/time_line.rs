//! Central is set back to an older backup: what it must be then, and what its sites have to do with it (rule 5.12).

use std::collections::{BTreeMap, BTreeSet};

use crate::device::Role;
use crate::disk::DiskImage;
use crate::happenings::late_store;
use crate::mix::Fault;
use crate::model::{Columns, Key, Version, Violation};
use crate::procurement::Orders;
use crate::work::central_edit;
use crate::world::World;

/// A backup of central, and what it had committed then.
#[derive(Debug, Clone)]
pub struct CentreBackup {
    image: DiskImage,
    versions: BTreeMap<Key, Vec<Version>>,
    central: BTreeMap<Key, Option<Columns>>,
    position: u64,
    records: Vec<(String, String)>,
    late_stores: u64,
    orders: Orders,
    ever_kept: BTreeSet<String>,
}

impl World {
    /// Somebody may back central up, or put a backup back.
    pub(crate) fn fork_at_centre(&mut self) {
        if !self.mix.has(Fault::CentralSetBack) || self.centre.live.is_none() || self.is_centre_excused {
            return;
        }
        // One of a moment at which a site was stopped has it stopped again.
        if self.forks.is_empty() && self.random.chance(150) {
            self.note(format_args!("central is backed up"));
            self.centre_backup = Some(CentreBackup {
                image: self.centre.disk.snapshot(),
                versions: self.model.versions.clone(),
                central: self.model.central.clone(),
                position: self.model.position,
                records: self.central_records.clone(),
                late_stores: self.late_stores,
                orders: self.model.orders.clone(),
                ever_kept: self.numbers.ever_kept().clone(),
            });
        }
        // Which of two devices counts is to be decided before: an operator who restores central has that in hand. What a central lost
        // of a journal that its device has closed since does not all come again: that is told in docs/sync-protocol.md.
        let has_closed = self.model.devices.iter().any(|device| device.logs.len() > 1);
        if self.forks.is_empty() && !has_closed && self.strikes(Fault::CentralSetBack) && self.random.chance(350) {
            self.set_centre_back();
        }
    }

    fn set_centre_back(&mut self) {
        let Some(backup) = self.centre_backup.take() else { return };
        self.note(format_args!("central is set back to its backup"));
        self.counts.forks += 1;
        self.inspector.close();
        self.centre.put_back(backup.image);
        self.model.versions = backup.versions;
        self.model.central = backup.central;
        self.model.position = backup.position;
        self.model.orders = backup.orders;
        self.central_records = backup.records;
        self.numbers.note_centre_set_back(backup.ever_kept);
        // Of these central knows nothing any more, and their sites perhaps.
        self.doubtful_stores.extend((backup.late_stores..self.late_stores).map(late_store));
        for model in self.model.devices.iter_mut().chain(&mut self.model.gone) {
            model.begin_other_time_line();
        }
        // An old tablet may be the one that this central knows: whoever restores it sees to that first.
        for index in 0..self.devices.len() {
            if self.devices.get(index).is_some_and(|device| device.role == Role::Retired) {
                self.destroy(index);
            }
        }
        let speakers = self.speakers();
        self.sticks.forget_gone(&speakers);
        self.old_requests.clear();
        self.backups.clear();
        self.disabled.clear();
        self.passing.clear();
        self.given_ids.clear();
        self.is_centre_new = true;
        self.centre_down();
    }

    /// Others write to a central that was set back before its sites come.
    pub(crate) fn write_first(&mut self) -> Result<(), Violation> {
        if !std::mem::take(&mut self.is_centre_new) || self.centre.live.is_none() {
            return Ok(());
        }
        let catalogue = std::sync::Arc::clone(self.centre.catalogue());
        for _ in 0..self.random.range(0, 6) {
            let edit = central_edit(&catalogue, &self.mix, &self.central_records, &mut self.random);
            self.import(vec![edit])?;
        }
        self.change_modes()?;
        self.change_visibility()
    }

    /// Whether a failure of a session is one that a central explains that was set back; then somebody sees to it.
    pub(crate) fn see_to_time_line(&mut self, index: usize, code: &str) -> Result<bool, Violation> {
        if !self.model.device(index).is_other_time_line {
            return Ok(false);
        }
        match code {
            "central_set_back" => {
                // What it showed is of a time line that is gone; it begins anew, and some of it may never come again.
                self.model.device(index).reported.clear();
                Ok(true)
            }
            // Central knows of an enrolment no more: it is done again.
            "not_enrolled" | "unknown_journal" | "device_retired" => self.enrol(index).map(|_| true),
            _ => Ok(false),
        }
    }

    /// What a device hands back to a central that lost it, and what it had kept and sends after all, and what central proposed to
    /// it, and what it owes for transfers, it journals by itself.
    pub(crate) fn note_handed_back(&mut self, index: usize) -> Result<(), Violation> {
        if self.devices[index].live.is_none() {
            return Ok(());
        }
        // It may begin to read anew long after central was set back: when that refuses what it had accepted.
        let reads_anew = self.devices[index].live().recorder.core().local.is_other_time_line();
        // A disk that fails meanwhile shows nothing.
        self.model.device(index).is_other_time_line |= reads_anew.unwrap_or(false);
        let answers = self.mix.has(Fault::Proposals) || self.mix.has(Fault::Transfers);
        let model = self.model.device(index);
        if !model.is_other_time_line && model.ever_kept.is_empty() && !answers {
            return Ok(());
        }
        self.note_journaled(index, &[], false)
    }

    /// A device that has everything both ways is where this central is.
    pub(crate) fn end_time_line(&mut self, index: usize) -> Result<(), Violation> {
        let still = self.devices[index].live().recorder.core().local.is_other_time_line();
        let still = still.or_else(|error| crate::model::violation("10", format!("device {index}: {error}")))?;
        let model = self.model.device(index);
        // What central has still to judge again is in no lane yet, although the device had its verdict once.
        let judged = model.judged_at_begin.last().copied().unwrap_or(0);
        model.is_other_time_line &= still || !model.has_begun_since || judged < model.log().committed;
        Ok(())
    }
}
