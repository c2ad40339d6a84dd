//! Power, processes and people: devices and central go down and come up, are wiped, enrolled and opened.

use central::store::{EnrollingDevice, SiteKind};
use outpost::error::AgentError;
use protocol::hardware::{HardwareId, HardwareKind, HardwareSource};
use protocol::ids::JournalId;

use crate::device::Role;
use crate::model::{Violation, violation};
use crate::world::{Event, World};

/// How long something is down after a crash, at most, in milliseconds.
const DOWN_MS_MAX: u64 = 60_000;

impl World {
    fn down_for(&mut self) -> u64 {
        self.random.below(DOWN_MS_MAX)
    }

    pub(crate) fn cut_device_power(&mut self, index: usize) {
        self.note(format_args!("device {index} loses power"));
        self.counts.crashes += 1;
        if let Some(device) = self.devices.get_mut(index) {
            device.cut_power(&mut self.random);
        }
        self.device_down(index);
    }

    pub(crate) fn kill_device(&mut self, index: usize) {
        self.note(format_args!("device {index} is killed"));
        self.counts.crashes += 1;
        if let Some(device) = self.devices.get_mut(index) {
            device.kill(&mut self.random);
        }
        self.device_down(index);
    }

    pub(crate) fn device_down(&mut self, index: usize) {
        let wait_ms = self.down_for();
        self.after(wait_ms, Event::DeviceUp(index));
    }

    pub(crate) fn wipe_device(&mut self, index: usize) {
        self.note(format_args!("device {index} is wiped"));
        let Some(device) = self.devices.get_mut(index) else { return };
        device.wipe(&mut self.random);
        let model = self.model.device(index);
        model.forget_everything();
        self.damaged.remove(&index);
        self.latent_damage.remove(&index);
        self.excused.remove(&index);
        self.device_down(index);
    }

    /// A device is started, if it is down; one that slept finds that its exchange is long gone.
    pub(crate) fn device_up(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        if let Some(live) = &device.live {
            if let Some(underway) = &live.session {
                let connection = underway.connection;
                return self.device_cut(connection, "timeout");
            }
            self.plan_next(index);
            return Ok(());
        }
        self.open_device(index)
    }

    /// Central knows a device from now on.
    pub(crate) fn enrol(&mut self, index: usize) -> Result<bool, Violation> {
        let Some(journal) = self.devices.get(index).map(|device| device.identity.journal) else { return Ok(false) };
        if !self.enrol_with(index, journal)? {
            return Ok(false);
        }
        self.note(format_args!("device {index} is enrolled with journal {journal}"));
        if let Some(device) = self.devices.get_mut(index) {
            device.identity.is_enrolled = true;
        }
        self.note_enrolled(index, journal)?;
        self.after_commit()?;
        Ok(true)
    }

    /// Central takes a device with a journal.
    pub(crate) fn enrol_with(&mut self, index: usize, journal: JournalId) -> Result<bool, Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(false) };
        let (site, hardware) = (device.site, hardware(device.hardware));
        let key = protocol::edge::Signer::public_key(device.signer());
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = &mut self.centre.live else { return Ok(false) };
        let enrolling = EnrollingDevice { key, journal, hardware, kind: SiteKind::Standalone };
        match live.store.batch(wall_ms, |batch| batch.enrol(site, &enrolling)) {
            Ok(Ok(_)) => {
                self.count_tokens_anew(site);
                // Where the power went with the commit nobody hears the answer.
                Ok(!self.centre.disk.is_off())
            }
            Ok(Err(error)) if error.code() == "key_retired" => {
                // A key that was reset or replaced is never taken again: the device makes another one by itself.
                *self.retirements.entry(site).or_default() += 1;
                self.note(format_args!("device {index} makes a new key"));
                if let Some(device) = self.devices.get_mut(index) {
                    device.renew_key(&mut self.random);
                }
                self.enrol_with(index, journal)
            }
            Ok(Err(error)) if self.is_told_to_rest(site, error.code()) => Ok(false),
            Ok(Err(error)) if self.see_to_fork(index, error.code())? => Ok(false),
            Ok(Err(error)) if error.code() == "site_bound" && self.model.device(index).is_other_time_line => {
                // Central was set back to before the site was freed: that is done again.
                if self.reset_hardware(site)? { self.enrol_with(index, journal) } else { Ok(false) }
            }
            Ok(Err(error)) | Err(error) => {
                self.central_failed("enrol", &error.to_string())?;
                Ok(false)
            }
        }
    }

    /// What a device had not sent before it was wiped is gone with it.
    fn note_enrolled(&mut self, index: usize, journal: JournalId) -> Result<(), Violation> {
        let model = self.model.device(index);
        if model.logs.last().is_some_and(|log| log.id == journal) {
            return Ok(());
        }
        if let Some(old) = model.logs.last_mut() {
            let committed = old.committed;
            for (sequence, entry) in (1..).zip(&mut old.entries) {
                entry.is_lost |= sequence > committed;
            }
        }
        let site = model.site;
        *self.retirements.entry(site).or_default() += 1;
        if self.model.of_site(site).count() > 1 {
            self.adopt_history(index)?;
        }
        self.model.device(index).begin_journal(journal);
        Ok(())
    }

    pub(crate) fn open_device(&mut self, index: usize) -> Result<(), Violation> {
        if self.devices.get(index).is_none_or(|device| device.role == Role::Gone) {
            return Ok(());
        }
        let is_enrolled = self.devices.get(index).is_some_and(|device| device.identity.is_enrolled);
        if !is_enrolled && !self.enrol(index)? {
            self.device_down(index);
            return Ok(());
        }
        let now_ms = self.now_ms;
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        match device.open(now_ms, &mut self.random) {
            Ok(repairs) => {
                self.note(format_args!("device {index} is up, life {}", self.devices.get(index).map_or(0, |d| d.life)));
                self.check_opened(index, &repairs)?;
                self.plan_next(index);
                Ok(())
            }
            Err(error) => self.open_failed(index, &error),
        }
    }

    fn open_failed(&mut self, index: usize, error: &AgentError) -> Result<(), Violation> {
        self.note(format_args!("device {index} does not open: {} {}", error.code, error.message));
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        device.live = None;
        if device.is_off() {
            self.cut_device_power(index);
            return Ok(());
        }
        if self.damaged.contains(&index) && error.code == "journal_missing" {
            // Its advice: put the folder back, or else start anew and take back what central has.
            self.wipe_device(index);
            return Ok(());
        }
        if !self.excused.contains(&index) {
            return violation("1", format!("device {index} does not open although its disk works: {error}"));
        }
        self.device_down(index);
        Ok(())
    }

    pub(crate) fn crash_centre(&mut self) {
        self.note(format_args!("central loses power"));
        self.counts.crashes += 1;
        self.inspector.close();
        self.centre.cut_power(&mut self.random);
        self.centre_down();
    }

    /// Everybody who is connected finds that central is gone.
    pub(crate) fn centre_down(&mut self) {
        self.inspector.close();
        let open: Vec<u64> = self.connections.keys().copied().collect();
        for connection in open {
            self.after(self.mix.latency_ms, Event::DeviceCut(connection, "connection_lost"));
        }
        let wait_ms = self.down_for();
        self.after(wait_ms, Event::CentralUp);
    }

    pub(crate) fn centre_up(&mut self) -> Result<(), Violation> {
        if self.centre.live.is_some() { Ok(()) } else { self.start_centre() }
    }

    pub(crate) fn start_centre(&mut self) -> Result<(), Violation> {
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        match self.centre.open(wall_ms, &mut self.random) {
            Ok(()) => {
                self.note(format_args!("central is up"));
                self.check_centre_opened()?;
                self.write_first()
            }
            Err(error) => {
                self.centre.live = None;
                self.note(format_args!("central does not open: {error}"));
                if self.centre.disk.is_off() {
                    self.crash_centre();
                    return Ok(());
                }
                if !self.is_centre_excused {
                    return violation("3", format!("central does not open although its disk works: {error}"));
                }
                let wait_ms = self.down_for();
                self.after(wait_ms, Event::CentralUp);
                Ok(())
            }
        }
    }
}

/// Hardware that is like no other, of a kind that no device lacks.
pub(crate) fn hardware(number: u8) -> HardwareId {
    let source = HardwareSource { kind: HardwareKind::BoardSerial, digest: [number; 16] };
    HardwareId::new(vec![source]).expect("one source is within the limit")
}
