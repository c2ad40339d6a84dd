//! Two devices where one should be, and disks that were put back: what happens to a site, and what its administrator does about it
//! (rules 5.7, 5.8 and 5.12).

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use central::store::{EnrollingDevice, SiteKind};
use codec::Ed25519Signer;
use protocol::edge::Signer;
use protocol::ids::{ControlNumber, JournalId, SiteId};

use crate::device::{Device, DeviceImage, Role};
use crate::mix::Fault;
use crate::model::{DeviceModel, Violation, violation};
use crate::world::{Event, World};

/// Devices of a run, at most: more are no other case.
const DEVICES_MAX: usize = 9;
/// How long an administrator takes to look at a site that stopped, at most, in milliseconds.
const ADMINISTRATOR_MS_MAX: u64 = 400_000;

/// A backup of a device, and what it had acknowledged then.
#[derive(Debug, Clone)]
pub struct DeviceBackup {
    image: DeviceImage,
    model: DeviceModel,
}

/// A site of which two devices live, or one that was set back.
#[derive(Debug, Default)]
pub struct Fork {
    /// Tokens that each device had stored when the fork began, or when central last forgot tokens.
    tokens: BTreeMap<usize, u64>,
    /// Whether its administrator was told.
    is_told: bool,
    /// Whether the device that is left has given its journal up. What it sent before may still stop the site; its history is one.
    has_recovered: bool,
}

impl World {
    /// Somebody may copy a device, put it back or replace it.
    pub(crate) fn fork_at_device(&mut self, index: usize) -> Result<(), Violation> {
        if !self.mix.faults.iter().any(|fault| fault.is_fork()) || !self.is_whole(index) {
            return Ok(());
        }
        if self.mix.has(Fault::SetBack) && self.random.chance(200) {
            self.back_up_device(index);
        }
        if self.strikes(Fault::SetBack) && self.random.chance(350) {
            self.set_device_back(index);
        }
        if self.is_whole(index) && self.strikes(Fault::Clone) && self.random.chance(350) {
            self.clone_device(index);
        }
        if self.is_whole(index) && self.strikes(Fault::Replace) && self.random.chance(350) {
            self.replace_device(index)?;
        }
        if self.is_whole(index) && !self.is_forked(index) && self.strikes(Fault::Stranger) {
            self.enrol_stranger(index)?;
        }
        Ok(())
    }

    /// A device that runs, speaks for its site alone, and whose disk nobody has damaged.
    fn is_whole(&self, index: usize) -> bool {
        let Some(device) = self.devices.get(index) else { return false };
        let is_alone = self.actives(device.site).len() == 1 && !self.forks.contains_key(&device.site);
        // One at a time: whoever restores central waits for its sites, and a device's backup of before that is none.
        let heals = self.model.devices.get(index).is_none_or(|model| model.is_other_time_line);
        let is_in_order =
            !self.excused.contains(&index) && !self.damaged.contains(&index) && !self.latent_damage.contains(&index);
        // A copy of a device that had heard nothing yet is taken for one that lost its local copy: docs/sync-protocol.md.
        device.role == Role::Active
            && device.identity.control > ControlNumber(0)
            && device.live.is_some()
            && device.identity.is_enrolled
            && is_alone
            && is_in_order
            && !heals
    }

    /// The devices that speak for a site, or would.
    pub(crate) fn actives(&self, site: SiteId) -> Vec<usize> {
        let is_active = |device: &Device| device.role == Role::Active && device.site == site;
        (0..).zip(&self.devices).filter(|(_, device)| is_active(device)).map(|(index, _)| index).collect()
    }

    fn back_up_device(&mut self, index: usize) {
        let Some(device) = self.devices.get(index) else { return };
        let backup = DeviceBackup { image: device.image(), model: self.model.device(index).clone() };
        self.note(format_args!("device {index} is backed up"));
        self.numbers.note_backup(index, self.now_ms);
        self.backups.insert(index, backup);
    }

    fn set_device_back(&mut self, index: usize) {
        let Some(backup) = self.backups.remove(&index) else { return };
        self.note(format_args!("device {index} is set back to its backup"));
        self.numbers.note_set_back(index);
        self.counts.forks += 1;
        let mut model = backup.model;
        // What central gave the site since it still holds.
        model.stores.clone_from(&self.model.device(index).stores);
        let before = std::mem::replace(self.model.device(index), model);
        self.model.gone.push(before);
        let Some(device) = self.devices.get_mut(index) else { return };
        device.put_back(&backup.image, &mut self.random);
        let site = device.site;
        self.asleep_until_ms[index] = 0;
        self.sticks.note_set_back(index);
        self.begin_fork(site);
        self.device_down(index);
    }

    fn clone_device(&mut self, index: usize) {
        if self.devices.len() >= DEVICES_MAX {
            return;
        }
        let (Some(device), number) = (self.devices.get(index), self.devices.len()) else { return };
        let (image, site) = (device.image(), device.site);
        let mut copy = device.sibling(number, &mut self.random);
        copy.put_back(&image, &mut self.random);
        copy.hardware = device.hardware;
        self.note(format_args!("device {index} is copied, the copy is device {number}"));
        self.counts.forks += 1;
        let model = self.model.device(index).clone();
        self.add_device(copy, model);
        self.begin_fork(site);
        self.device_down(number);
        self.after(0, Event::Burst(number));
    }

    /// An administrator frees the site for another device; the old one is lost, or found again.
    fn replace_device(&mut self, index: usize) -> Result<(), Violation> {
        let number = self.devices.len();
        let Some(device) = self.devices.get(index).filter(|_| number < DEVICES_MAX) else { return Ok(()) };
        let site = device.site;
        let fresh = device.sibling(number, &mut self.random);
        if !self.reset_hardware(site)? {
            return Ok(());
        }
        let is_found = self.random.chance(700);
        self.note(format_args!("device {number} takes the place of device {index}, found again: {is_found}"));
        self.counts.forks += 1;
        let mut model = self.model.device(index).clone();
        model.forget_everything();
        self.add_device(fresh, model);
        self.backups.remove(&index);
        if is_found {
            // A reply that is on its way already still comes.
            let device = &mut self.devices[index];
            device.role = Role::Retired;
            device.may_drain = device.live.as_ref().is_some_and(|live| live.session.is_some());
        } else {
            self.destroy(index);
        }
        self.device_down(number);
        self.after(0, Event::Burst(number));
        Ok(())
    }

    /// An administrator frees a site of its device; whether that was done.
    pub(crate) fn reset_hardware(&mut self, site: SiteId) -> Result<bool, Violation> {
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = self.centre.live.as_mut().filter(|_| !self.is_centre_excused) else { return Ok(false) };
        match live.store.batch(wall_ms, |batch| batch.reset_hardware(site)) {
            Ok(Ok(_)) => {
                *self.retirements.entry(site).or_default() += 1;
                self.after_commit().map(|()| true)
            }
            Ok(Err(error)) | Err(error) => {
                // It may be done all the same: then the device finds that, and somebody sees to it.
                self.begin_fork(site);
                self.central_failed("reset-hardware", &error.to_string()).map(|()| false)
            }
        }
    }

    /// A device exists no more; what it had not sent is lost with it.
    pub(crate) fn destroy(&mut self, index: usize) {
        self.note(format_args!("device {index} is gone"));
        if let Some(device) = self.devices.get_mut(index) {
            device.role = Role::Gone;
            device.cut_power(&mut self.random);
        }
    }

    /// Somebody with the password, and without the device, asks central to take theirs, or copies its key to other hardware.
    fn enrol_stranger(&mut self, index: usize) -> Result<(), Violation> {
        let key = if self.random.chance(500) {
            Ed25519Signer::from_seed(&self.random.bytes()).public_key()
        } else {
            self.devices[index].signer().public_key()
        };
        let (site, own) = (self.devices[index].site, self.devices[index].signer().public_key());
        let journal = JournalId(self.random.bytes());
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        if self.centre.live.is_none() || self.is_centre_excused || self.centre.disk.is_off() {
            return Ok(());
        }
        let before = self.counts_at_central()?;
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        let enrolling =
            EnrollingDevice { key, journal, hardware: crate::operators::hardware(u8::MAX), kind: SiteKind::Standalone };
        let expected = if key == own { "hardware_differs" } else { "site_bound" };
        match live.store.batch(wall_ms, |batch| batch.enrol(site, &enrolling)) {
            Ok(Err(error)) if error.code() == expected => {}
            Ok(Err(error)) if self.is_told_to_rest(site, error.code()) => return Ok(()),
            // A device that was put back from a backup may have a key of before a reset.
            Ok(Err(error)) if key == own && error.code() == "key_retired" => {}
            Ok(Ok(_)) => return violation("11", format!("a stranger speaks for site {site} as well")),
            Ok(Err(error)) | Err(error) => return self.central_failed("enrol", &error.to_string()),
        }
        self.note(format_args!("a stranger is refused with {expected}"));
        if self.counts_at_central()? != before {
            return violation("7", "a stranger who was refused changed central");
        }
        Ok(())
    }

    /// Whether a device's site may have two histories, or a central that was set back.
    pub(crate) fn is_forked(&mut self, index: usize) -> bool {
        self.forks.contains_key(&self.devices[index].site) || self.model.device(index).is_other_time_line
    }

    /// From now on a site may have two histories.
    fn begin_fork(&mut self, site: SiteId) {
        let tokens = self.tokens_of(site);
        let fork = self.forks.entry(site).or_default();
        (fork.tokens, fork.has_recovered) = (tokens, false);
    }

    fn tokens_of(&self, site: SiteId) -> BTreeMap<usize, u64> {
        let stored = |index: usize| self.devices.get(index).map_or(0, |device| device.identity.tokens);
        self.actives(site).into_iter().map(|index| (index, stored(index))).collect()
    }

    /// Central forgot what it knew of a site's tokens: from here on it is counted anew which device is caught when.
    pub(crate) fn count_tokens_anew(&mut self, site: SiteId) {
        let tokens = self.tokens_of(site);
        if let Some(fork) = self.forks.get_mut(&site) {
            fork.tokens = tokens;
        }
    }

    /// Rule 5.7: of two devices one is caught at its second exchange at the latest, and no site stops that has one only.
    pub(crate) fn check_forks(&mut self) -> Result<(), Violation> {
        for (site, fork) in &self.forks {
            let now = self.tokens_of(*site);
            let went_on =
                |(index, before): &(&usize, &u64)| now.get(index).is_some_and(|now| now.saturating_sub(**before) >= 2);
            let mut went_on: Vec<usize> = fork.tokens.iter().filter(went_on).map(|(index, _)| *index).collect();
            if fork.is_told || went_on.len() < 2 {
                continue;
            }
            // One that another replaced still hands over what it has, to set-aside, until it is told.
            let Ok(bound) = self.inspector.bound_key(*site) else { continue };
            let key = |index: &usize| self.devices.get(*index).map(|device| device.signer().public_key().0.to_vec());
            went_on.retain(|index| key(index) == bound);
            if went_on.len() > 1 {
                return violation("11", format!("two devices of site {site} sync side by side, and nobody is told"));
            }
        }
        let stopped = match self.inspector.stopped_sites() {
            Ok(stopped) => stopped,
            Err(_) if self.is_centre_excused => return Ok(()),
            Err(error) => return violation("3", format!("central's store cannot be read: {error}")),
        };
        for site in stopped {
            if !self.forks.contains_key(&site) {
                return violation("11", format!("site {site} is stopped, and it has one device only"));
            }
            self.tell_administrator(site);
        }
        Ok(())
    }

    /// Something is wrong with a site, and a person will see to it.
    pub(crate) fn tell_administrator(&mut self, site: SiteId) {
        let wait_ms = self.random.below(ADMINISTRATOR_MS_MAX);
        let Some(fork) = self.forks.get_mut(&site) else { return };
        if self.is_chaos && !std::mem::replace(&mut fork.is_told, true) {
            self.after(wait_ms, Event::Administer(site));
        }
    }

    /// An administrator chooses which device of a site goes on.
    pub(crate) fn administer(&mut self, site: SiteId) -> Result<(), Violation> {
        if self.centre.live.is_none() || self.is_centre_excused {
            self.after(ADMINISTRATOR_MS_MAX, Event::Administer(site));
            return Ok(());
        }
        let Some(fork) = self.forks.get_mut(&site) else { return Ok(()) };
        fork.is_told = false;
        let alive = self.actives(site);
        let keeper = *self.random.pick(&alive);
        for other in alive.into_iter().filter(|other| *other != keeper) {
            self.destroy(other);
        }
        let stopped = self.inspector.stopped_sites().unwrap_or_default();
        if stopped.contains(&site) {
            self.note(format_args!("site {site} goes on with device {keeper}"));
            let is_reset = self.random.chance(300);
            let wall_ms = self.wall_ms(self.centre.clock_off_ms);
            let Some(live) = &mut self.centre.live else { return Ok(()) };
            let done = live.store.batch(wall_ms, |batch| {
                if is_reset { batch.reset_hardware(site).map(|_| ()) } else { batch.resume_site(site).map(|_| ()) }
            });
            match done {
                Ok(Ok(())) => {}
                Ok(Err(error)) | Err(error) => return self.central_failed("resume", &error.to_string()),
            }
            self.after_commit()?;
            if is_reset {
                self.enrol(keeper)?;
            }
        }
        self.count_tokens_anew(site);
        Ok(())
    }

    /// The device that is left of a site gives its journal up, as `outpost recover` does, because central has another history
    /// of it. What it had not sent is exported: lost, for the model.
    pub(crate) fn recover_device(&mut self, index: usize) -> Result<(), Violation> {
        if self.excused.contains(&index) {
            return Ok(());
        }
        let has_failed = |live: &crate::device::Live| live.recorder.core().local.has_failed();
        if self.devices[index].live.as_ref().is_none_or(has_failed) {
            // The disk refused something earlier: the agent is started again first, as it says itself.
            self.kill_device(index);
            return Ok(());
        }
        let (site, fresh) = (self.devices[index].site, JournalId(self.random.bytes()));
        let journal = *self.asked_journals.entry(index).or_insert(fresh);
        if !self.enrol_with(index, journal)? {
            return Ok(());
        }
        self.asked_journals.remove(&index);
        self.note(format_args!("device {index} recovers, it goes on in journal {journal}"));
        self.model.device(index).gives_up = true;
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        if let Err(error) = device.give_up_journal(journal, &mut self.random) {
            return self.device_failed(index, &error);
        }
        self.adopt_history(index)?;
        let model = self.model.device(index);
        model.begin_journal(journal);
        model.forget_central();
        model.has_forgotten = true;
        self.count_tokens_anew(site);
        if let Some(fork) = self.forks.get_mut(&site) {
            fork.has_recovered = true;
        }
        self.open_device(index)?;
        let Some(live) = self.devices.get(index).and_then(|device| device.live.as_ref()) else { return Ok(()) };
        let begun = live.recorder.core().local.begin_after_set_back();
        begun.or_else(|error| self.device_failed(index, &error.into()))
    }

    /// The journals of a site as central has them, whoever wrote them, and then those that it never heard of. What did not reach it
    /// is lost.
    pub(crate) fn adopt_history(&mut self, index: usize) -> Result<(), Violation> {
        let site = self.devices[index].site;
        let mut journals = self.inspector.journals();
        if journals.is_err() && self.is_centre_excused {
            // Whoever looks waits until the disk works again.
            self.centre.disk.clear_faults();
            self.centre.disk.set_free_bytes(None);
            self.inspector.close();
            journals = self.inspector.journals();
        }
        let journals = journals.or_else(|error| violation("3", format!("central's store cannot be read: {error}")))?;
        let mut logs = Vec::new();
        for journal in journals.iter().filter(|journal| journal.site == site) {
            let all =
                self.model.of_site(site).filter_map(|device| device.log_of(journal.id).map(|(_, log)| log.clone()));
            let others = all.max_by_key(|log| log.committed);
            let own = self.model.device(index).log_of(journal.id).map(|(_, log)| log.clone());
            // Of a journal that central has nothing of, a late copy of what the device itself sent may still come.
            let is_others = others.as_ref().map(|log| log.committed) > own.as_ref().map(|log| log.committed);
            logs.extend(if is_others { others } else { own });
        }
        self.model.device(index).adopt(logs);
        Ok(())
    }

    /// Whether a failure of a session is one that a fork explains; then somebody sees to it.
    pub(crate) fn see_to_fork(&mut self, index: usize, code: &str) -> Result<bool, Violation> {
        const OF_FORKS: [&str; 7] = [
            "site_stopped",
            "challenge",
            "fork",
            "device_set_back",
            "journal_retired",
            "device_retired",
            "unknown_journal",
        ];
        let site = self.devices[index].site;
        if self.devices[index].role == Role::Retired {
            let limit = protocol::limits::RETIRED_KEYS_MAX as u64;
            if code == "not_enrolled" && self.retirements.get(&site).is_some_and(|count| *count > limit) {
                // Central keeps so many: it counts as a stranger, as documented.
                self.destroy(index);
                return Ok(true);
            }
            return Ok(matches!(code, "site_stopped" | "set_aside_full") || self.is_told_retired(index, code));
        }
        let Some(fork) = self.forks.get(&site).filter(|_| OF_FORKS.contains(&code) || code == "not_enrolled") else {
            return Ok(false);
        };
        if code == "site_stopped" || code == "challenge" || self.actives(site).len() > 1 {
            self.tell_administrator(site);
        } else if fork.has_recovered {
            return Ok(false);
        } else {
            self.recover_device(index)?;
        }
        Ok(true)
    }

    /// Whether a code is what a retired device is told once central has everything that it takes of it.
    pub(crate) fn is_told_retired(&mut self, index: usize, code: &str) -> bool {
        // One whose copy went on in the same journal has another history than central has.
        let is_elsewhere = self.model.device(index).log().is_elsewhere;
        code == "device_retired" || is_elsewhere && matches!(code, "fork" | "device_set_back")
    }

    /// A device has everything both ways: if it is the only one of its site that is left, its history is the site's. Not before it has
    /// shown central a token that was given since: until then what was sent before, such as a file, is as good as what it sends.
    pub(crate) fn end_fork(&mut self, index: usize) {
        let device = &self.devices[index];
        let (site, stored) = (device.site, device.identity.tokens);
        let Some(fork) = self.forks.get(&site) else { return };
        // Whoever has stored two has shown the first one.
        let has_shown = stored.saturating_sub(fork.tokens.get(&index).copied().unwrap_or(0)) >= 2;
        if has_shown && self.actives(site).len() == 1 {
            self.forks.remove(&site);
        }
    }
}
