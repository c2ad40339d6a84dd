//! What goes wrong beside the network, and when.

use outpost::journal::fake_storage::{FakeStorage, SegmentDamage};
use outpost::service::plan::Wake;

use crate::device::{LOCAL_COPY, Role};
use crate::disk::Disk;
use crate::mix::Fault;
use crate::model::Violation;
use crate::world::{Event, World};

/// Time between two chances for something to go wrong, in milliseconds.
const MISCHIEF_EVERY_MS: u64 = 15_000;
const WEEK_MS: u64 = 7 * 24 * 3_600_000;
const YEAR_MS: i64 = 365 * 24 * 3_600_000;

impl World {
    /// Something may go wrong.
    pub(crate) fn mischief(&mut self) -> Result<(), Violation> {
        for index in 0..self.devices.len() {
            self.mischief_at_device(index)?;
            self.fork_at_device(index)?;
        }
        self.mischief_at_centre();
        self.fork_at_centre();
        let wait_ms = self.random.below(2 * MISCHIEF_EVERY_MS);
        self.after(wait_ms, Event::Mischief);
        Ok(())
    }

    fn mischief_at_device(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        if device.live.is_none() || self.is_asleep(index) {
            return Ok(());
        }
        if self.excused.contains(&index) && self.random.chance(500) {
            // What was in store and did not strike is taken back.
            self.excused.remove(&index);
            if let Some(device) = self.devices.get(index) {
                device.heal();
            }
        }
        if self.strikes(Fault::DevicePower) {
            if self.random.chance(300) {
                self.cut_device_power(index);
            } else {
                let (call, part) = (self.random.range(1, 40), self.random.below(3));
                self.note(format_args!("device {index} will lose power at call {call} of part {part}"));
                match self.storage_of(index, part) {
                    Some(storage) => storage.crash_at(call),
                    None => self.disk_of(index).into_iter().for_each(|disk| disk.crash_at(call)),
                }
            }
        }
        if self.strikes(Fault::DeviceKill) {
            self.kill_device(index);
        }
        if self.strikes(Fault::DeviceIo) {
            let (call, part) = (self.random.range(1, 40), self.random.below(3));
            self.note(format_args!("device {index}: call {call} of part {part} will fail"));
            self.excused.insert(index);
            match self.storage_of(index, part) {
                Some(storage) => storage.fail_at(call),
                None => self.disk_of(index).into_iter().for_each(|disk| disk.fail_at(call)),
            }
        }
        if self.strikes(Fault::DeviceFull) {
            self.note(format_args!("device {index}: the disk is full"));
            self.excused.insert(index);
            if let Some(device) = self.devices.get(index) {
                device.shared.set_free_bytes(0);
                device.private.set_free_bytes(0);
                device.disk.set_free_bytes(Some(0));
            }
        }
        if device_role(self, index) == Role::Active && !self.is_forked(index) && self.strikes(Fault::DeviceDamage) {
            self.damage_device(index);
        }
        if self.strikes(Fault::LocalCopyLost) {
            self.lose_local_copy(index);
        }
        if self.strikes(Fault::Clock) {
            let off_ms = self.clock_off();
            self.note(format_args!("device {index}: the clock is off by {off_ms} ms"));
            if let Some(device) = self.devices.get_mut(index) {
                device.clock_off_ms = off_ms;
            }
        }
        if self.strikes(Fault::Sleep) {
            let until_ms = self.now_ms + self.random.below(*self.random.clone().pick(&[600_000, 3 * WEEK_MS]));
            self.note(format_args!("device {index} sleeps until {until_ms}"));
            if let Some(until) = self.asleep_until_ms.get_mut(index) {
                *until = until_ms;
            }
            self.at(until_ms, Event::DeviceUp(index));
        }
        if self.strikes(Fault::Initialise) && self.random.chance(300) {
            let is_idle = self.devices.get(index).and_then(|device| device.live.as_ref());
            if is_idle.is_some_and(|live| live.session.is_none()) {
                let work = outpost::service::plan::Work { is_initialise: true, tries_max: 1 };
                self.wake_with(index, Wake::Asked(work, ()))?;
            }
        }
        // An old tablet that is wiped, or whose journal is damaged, is one that nobody finds again.
        let is_kept = device_role(self, index) == Role::Active;
        if is_kept && self.strikes(Fault::Wipe) && self.random.chance(200) {
            self.wipe_device(index);
        }
        if is_kept && !self.is_forked(index) && self.strikes(Fault::ForgedRequest) {
            self.forge_request(index)?;
        }
        Ok(())
    }

    fn storage_of(&self, index: usize, part: u64) -> Option<FakeStorage> {
        let device = self.devices.get(index)?;
        match part {
            0 => Some(device.shared.clone()),
            1 => Some(device.private.clone()),
            _ => None,
        }
    }

    fn disk_of(&self, index: usize) -> Option<Disk> {
        self.devices.get(index).map(|device| device.disk.clone())
    }

    fn clock_off(&mut self) -> i64 {
        let to_1970 = -i64::try_from(self.wall_ms(0)).unwrap_or(0);
        let to_2038 = 2_147_483_647_000 + to_1970;
        let years = i64::try_from(self.random.below(20)).unwrap_or(0) - 10;
        *self.random.pick(&[0, to_1970, to_2038, -3_600_000, years * YEAR_MS])
    }

    fn damage_device(&mut self, index: usize) {
        self.kill_device(index);
        let Some(device) = self.devices.get(index) else { return };
        let part = self.random.below(4);
        let storage = if part == 0 { &device.private } else { &device.shared };
        let what = if part == 3 {
            let files = device.disk.files();
            let Some((name, bytes)) = files.iter().find(|(name, _)| name == LOCAL_COPY) else { return };
            // Where SQLite is sure to notice.
            let offset = self.random.below((*bytes).min(100));
            if self.random.chance(300) {
                device.disk.flip(name, offset, 3);
                self.latent_damage.insert(index);
                format!("a bit of the local copy at {offset}")
            } else {
                device.disk.truncate(name, offset);
                // An empty file is none; what was only in it is gone.
                let model = self.model.device(index);
                model.forget_central();
                model.lose_records();
                format!("the local copy is cut to {offset}")
            }
        } else {
            let numbers = storage.segment_numbers();
            if numbers.is_empty() {
                return;
            }
            let number = *self.random.pick(&numbers);
            let keys = storage.keys(number);
            let key = (!keys.is_empty()).then(|| *self.random.pick(&keys));
            let damage = match (self.random.below(6), key) {
                (0, _) => SegmentDamage::StopsOpening,
                (1, _) => SegmentDamage::OpensEmpty,
                (2, _) => SegmentDamage::Gone,
                (3, Some(key)) => SegmentDamage::ValueLost(key),
                (4, Some(key)) => SegmentDamage::ValueFlipped(key),
                (_, Some(key)) => SegmentDamage::TailLost(key),
                (_, None) => SegmentDamage::StopsOpening,
            };
            storage.damage(number, damage);
            format!("segment {number} of journal {part}: {damage:?}")
        };
        self.note(format_args!("device {index} is damaged: {what}"));
        self.damaged.insert(index);
    }

    fn lose_local_copy(&mut self, index: usize) {
        self.kill_device(index);
        self.note(format_args!("device {index} loses its local copy"));
        let Some(device) = self.devices.get(index) else { return };
        for suffix in ["", "-wal", "-journal"] {
            device.disk.remove(&format!("{LOCAL_COPY}{suffix}"));
        }
        // What never left the site was only here, once the journal had let go of it.
        let model = self.model.device(index);
        model.forget_central();
        model.lose_records();
        self.damaged.insert(index);
    }

    fn mischief_at_centre(&mut self) {
        if self.centre.live.is_none() {
            return;
        }
        if self.is_centre_excused && self.random.chance(500) {
            self.is_centre_excused = false;
            self.centre.disk.clear_faults();
            self.centre.disk.set_free_bytes(None);
        }
        if self.strikes(Fault::CentralPower) {
            if self.random.chance(300) {
                self.crash_centre();
            } else {
                let call = self.random.range(1, 60);
                self.note(format_args!("central will lose power at call {call}"));
                self.centre.disk.crash_at(call);
            }
        }
        if self.strikes(Fault::CentralKill) {
            self.note(format_args!("central is killed"));
            self.counts.crashes += 1;
            self.centre.kill();
            self.centre_down();
        }
        if self.strikes(Fault::CentralIo) {
            let call = self.random.range(1, 60);
            self.note(format_args!("central: call {call} will fail"));
            self.is_centre_excused = true;
            self.centre.disk.fail_at(call);
        }
        if self.strikes(Fault::CentralFull) {
            self.note(format_args!("central: the disk is full"));
            self.is_centre_excused = true;
            self.centre.disk.set_free_bytes(Some(0));
        }
        if self.strikes(Fault::Clock) {
            self.centre.clock_off_ms = self.clock_off();
        }
    }
}

fn device_role(world: &World, index: usize) -> Role {
    world.devices.get(index).map_or(Role::Gone, |device| device.role)
}
