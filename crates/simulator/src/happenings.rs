//! What goes wrong beside the network: power, processes, disks, clocks, operators. And what goes on all the time.

use outpost::clock::MonotonicMs;
use outpost::error::AgentError;
use outpost::journal::fake_storage::{FakeStorage, SegmentDamage};
use outpost::recorder::{Group, RecordError};
use outpost::service::plan::{Outcome, Step as PlanStep, Wake};
use outpost::sync_runner::Report;
use protocol::ids::JournalId;
use protocol::session::Advice;

use crate::device::LOCAL_COPY;
use crate::disk::Disk;
use crate::mix::Fault;
use crate::model::{Violation, violation};
use crate::work::{How, Planned, central_edit};
use crate::world::{Event, World};

/// Time between two chances for something to go wrong, in milliseconds.
const MISCHIEF_EVERY_MS: u64 = 15_000;
/// How long something is down after a crash, at most, in milliseconds.
const DOWN_MS_MAX: u64 = 60_000;
const WEEK_MS: u64 = 7 * 24 * 3_600_000;
const YEAR_MS: i64 = 365 * 24 * 3_600_000;

impl World {
    /// People at a site edit.
    pub(crate) fn burst(&mut self, index: usize) -> Result<(), Violation> {
        if self.is_asleep(index) || self.devices.get(index).is_none_or(|device| device.live.is_none()) {
            return Ok(());
        }
        let planned = self.with_office(index, |desk, office, random| desk.burst(office, random)).unwrap_or_default();
        self.record(index, planned)?;
        if self.devices.get(index).is_some_and(crate::device::Device::is_off) {
            // What was acknowledged is in the journal; the local copy's write was the one that the power did not last for.
            return self.cut_device_power(index);
        }
        if self.random.chance(200) {
            self.wake_with(index, Wake::Signal(outpost::service::plan::Signal::SyncNow))?;
        }
        Ok(())
    }

    /// Records groups on a device, in order.
    pub(crate) fn record(&mut self, index: usize, planned: Vec<Planned>) -> Result<(), Violation> {
        let mut planned = planned.into_iter().peekable();
        while let Some(first) = planned.next() {
            let is_live = self.devices.get(index).is_some_and(|device| device.live.is_some());
            if !is_live {
                return Ok(());
            }
            match first.how {
                How::Forged(entries) => self.record_forged(index, entries, first.expected)?,
                How::Recorded(group) => {
                    let mut groups = vec![(group, first.expected)];
                    // Some share a commit.
                    while groups.len() < 4 && self.random.chance(500) {
                        match planned.next_if(|next| matches!(next.how, How::Recorded(_))) {
                            Some(Planned { how: How::Recorded(group), expected }) => groups.push((group, expected)),
                            Some(_) | None => break,
                        }
                    }
                    self.record_groups(index, groups)?;
                }
            }
        }
        Ok(())
    }

    fn record_forged(
        &mut self,
        index: usize,
        mut entries: Vec<protocol::entry::Entry>,
        expected: crate::model::Expected,
    ) -> Result<(), Violation> {
        use outpost::journal::{Draft, Note};
        let Some(last) = entries.last_mut() else { return Ok(()) };
        last.is_group_end = true;
        let count = entries.len();
        let drafts: Vec<Draft> = entries
            .iter()
            .map(|entry| Draft { entry: entry.encode(), is_group_end: entry.is_group_end, note: Note::default() })
            .collect();
        self.note(format_args!("device {index} has {count} forged entries in its journal"));
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        let outcome = {
            let mut core = device.live().recorder.core();
            core.shared.append(&drafts).and_then(|_| core.shared.sync().map(|_| ()))
        };
        if outcome.is_ok() {
            // The recorder notices at its next commit that the local copy lacks something.
            let nothing = Group { edits: Vec::new(), request_id: None, recorded_at_ms: 0 };
            let _ = device.live().recorder.record(nothing);
        }
        let site = device.site;
        self.model.site(site).attempted_groups += 1;
        match outcome {
            Ok(()) => self.note_journaled(index, &[(count as u64, expected)], true),
            Err(error) => self.recording_failed(index, &error.into()),
        }
    }

    /// An edit was not recorded. The agent goes on by itself once its disk does, unless somebody starts it again.
    pub(crate) fn recording_failed(&mut self, index: usize, error: &AgentError) -> Result<(), Violation> {
        let is_off = self.devices.get(index).is_some_and(crate::device::Device::is_off);
        if !is_off && self.excused.contains(&index) && self.random.chance(600) {
            self.note(format_args!("device {index} goes on after: {}", error.code));
            return Ok(());
        }
        self.device_failed(index, error)
    }

    /// A device failed at something: no surprise only while its disk is at fault. It is started again, as its supervisor does.
    pub(crate) fn device_failed(&mut self, index: usize, error: &AgentError) -> Result<(), Violation> {
        self.note(format_args!("device {index} fails: {} {}", error.code, error.message));
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        if device.is_off() {
            return self.cut_device_power(index);
        }
        if !self.excused.contains(&index) && !self.damaged.contains(&index) {
            return violation("1", format!("device {index} fails although nothing is wrong with its disk: {error}"));
        }
        // As the agent does: the next opening looks closer.
        device.identity.suspicion.journals |= error.code == "journal_damaged";
        device.identity.suspicion.local_copy |= error.code == "local_copy_damaged";
        self.kill_device(index)
    }

    /// Answers of the recorder that leave the device as it was.
    pub(crate) fn is_refusal(error: &RecordError) -> bool {
        match error {
            RecordError::Refused(_) | RecordError::QueueFull => true,
            RecordError::Device(error) => {
                matches!(error.code.as_str(), "disk_full" | "journal_full" | "set_aside_full")
            }
            RecordError::Entry(_) => false,
        }
    }

    /// The schedule of a device.
    pub(crate) fn wake(&mut self, index: usize) -> Result<(), Violation> {
        self.wake_with(index, Wake::Scheduled)
    }

    fn wake_with(&mut self, index: usize, wake: Wake<()>) -> Result<(), Violation> {
        if self.is_asleep(index) {
            return Ok(());
        }
        let entropy = self.random.number();
        let now = MonotonicMs(self.now_ms);
        let Some(live) = self.devices.get_mut(index).and_then(|device| device.live.as_mut()) else { return Ok(()) };
        let steps = live.plan.handle(wake, now, entropy);
        self.plan_next(index);
        for step in steps {
            if let PlanStep::Begin { work, .. } = step {
                self.begin_session(index, work.is_initialise)?;
            }
        }
        Ok(())
    }

    /// Lets the schedule's next moment come.
    pub(crate) fn plan_next(&mut self, index: usize) {
        let live = self.devices.get(index).and_then(|device| device.live.as_ref());
        if let Some(at) = live.and_then(|live| live.plan.next_at()) {
            self.at(at.0, Event::Wake(index));
        }
    }

    pub(crate) fn begin_session(&mut self, index: usize, is_initialise: bool) -> Result<(), Violation> {
        let wall_ms = self.device_wall_ms(index);
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        let site = device.site;
        if is_initialise {
            // Also one that fails may turn out to have been written.
            let model = self.model.site(site);
            model.reported.clear();
            model.is_complete = false;
            let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
            let begun = device.live().recorder.core().local.begin_rebuild();
            if let Err(error) = begun {
                return self.device_failed(index, &error.into());
            }
            self.note(format_args!("device {index} fetches everything anew"));
        }
        self.note_session(index);
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        let step = device.begin_session(&mut self.codec, wall_ms);
        self.take_step(index, step)
    }

    pub(crate) fn session_over(&mut self, index: usize, report: &Report) -> Result<(), Violation> {
        let failure = report.failure.as_ref();
        self.note(format_args!(
            "device {index} session over: {} sent={} stored={} requests={}",
            failure.map_or("drained", |failure| failure.code.as_str()),
            report.summary.entries_sent,
            report.summary.rows_stored,
            report.summary.requests
        ));
        self.counts.sessions += 1;
        self.counts.drained += u64::from(failure.is_none());
        self.check_failure(index, failure)?;
        self.check_floor(index)?;
        if failure.is_none() {
            self.check_drained(index)?;
        }
        self.check_view(index, false)?;
        let outcome = match failure {
            None => Outcome::Drained,
            Some(failure) => Outcome::Failed {
                retry_after_ms: match failure.advice {
                    Advice::Wait { seconds } => Some(u64::from(seconds) * 1000),
                    Advice::Retry | Advice::Operator => None,
                },
            },
        };
        self.wake_with(index, Wake::Ended(outcome))
    }

    pub(crate) fn is_asleep(&self, index: usize) -> bool {
        self.asleep_until_ms.get(index).is_some_and(|until_ms| *until_ms > self.now_ms)
    }

    /// Central commits what waits.
    pub(crate) fn commit(&mut self) -> Result<(), Violation> {
        if !self.centre.has_jobs() {
            return Ok(());
        }
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let (said, is_committed) = self.centre.commit(self.now_ms, wall_ms, &mut self.codec, &mut self.random);
        self.counts.commits += u64::from(is_committed);
        if is_committed && !self.centre.disk.is_off() {
            self.after_commit()?;
        }
        self.speak(said);
        if !is_committed {
            self.central_failed("commit", "the commit failed")?;
        }
        if self.centre.disk.is_off() {
            return self.crash_centre();
        }
        self.commit_soon();
        if self.random.chance(300) {
            self.after(500, Event::Judge);
        }
        Ok(())
    }

    /// Central judges what exchanges left.
    pub(crate) fn judge(&mut self) -> Result<(), Violation> {
        let Some(site) = self.centre.next_to_judge() else { return Ok(()) };
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let groups_max = self.random.range(1, 5);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        let mut groups = 0;
        let judged = live.store.batch(wall_ms, |batch| {
            batch.judge(site, &mut || {
                groups += 1;
                groups < groups_max
            })
        });
        match judged {
            Ok(Ok(judged)) => {
                if judged.has_more && judged.groups > 0 {
                    self.centre.judge_later(site);
                    self.after(500, Event::Judge);
                }
                self.after_commit()
            }
            Ok(Err(error)) | Err(error) => {
                self.centre.judge_later(site);
                self.central_failed("judge", &error.to_string())
            }
        }
    }

    /// Central's own people edit, and its janitor works.
    pub(crate) fn central_work(&mut self) -> Result<(), Violation> {
        if self.centre.live.is_some() {
            let catalogue = std::sync::Arc::clone(self.centre.catalogue());
            for _ in 0..self.random.range(0, 3) {
                let edit = central_edit(&catalogue, &self.mix, &self.central_records, &mut self.random);
                self.import(vec![edit])?;
            }
            self.judge()?;
            if self.strikes(Fault::Prune) {
                self.prune()?;
            }
        }
        let wait_ms = self.random.below(120_000);
        self.after(wait_ms, Event::CentralWork);
        Ok(())
    }

    fn prune(&mut self) -> Result<(), Violation> {
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let before_ms = wall_ms.saturating_sub(self.random.below(600_000));
        let entries_max = self.random.range(1, 200);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        match live.store.batch(wall_ms, |batch| batch.prune(before_ms, entries_max)) {
            Ok(Ok(pruned)) => {
                self.note(format_args!("central prunes {pruned} entries"));
                self.after_commit()
            }
            Ok(Err(error)) | Err(error) => self.central_failed("prune", &error.to_string()),
        }
    }

    /// Something may go wrong.
    pub(crate) fn mischief(&mut self) -> Result<(), Violation> {
        for index in 0..self.devices.len() {
            self.mischief_at_device(index)?;
        }
        self.mischief_at_centre()?;
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
                self.cut_device_power(index)?;
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
            self.kill_device(index)?;
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
        if self.strikes(Fault::DeviceDamage) {
            self.damage_device(index)?;
        }
        if self.strikes(Fault::LocalCopyLost) {
            self.lose_local_copy(index)?;
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
        if self.strikes(Fault::Wipe) && self.random.chance(200) {
            self.wipe_device(index);
        }
        if self.strikes(Fault::ForgedRequest) {
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

    fn down_for(&mut self) -> u64 {
        self.random.below(DOWN_MS_MAX)
    }

    pub(crate) fn cut_device_power(&mut self, index: usize) -> Result<(), Violation> {
        self.note(format_args!("device {index} loses power"));
        self.counts.crashes += 1;
        if let Some(device) = self.devices.get_mut(index) {
            device.cut_power(&mut self.random);
        }
        self.device_down(index);
        Ok(())
    }

    pub(crate) fn kill_device(&mut self, index: usize) -> Result<(), Violation> {
        self.note(format_args!("device {index} is killed"));
        self.counts.crashes += 1;
        if let Some(device) = self.devices.get_mut(index) {
            device.kill(&mut self.random);
        }
        self.device_down(index);
        Ok(())
    }

    fn device_down(&mut self, index: usize) {
        let wait_ms = self.down_for();
        self.after(wait_ms, Event::DeviceUp(index));
    }

    fn damage_device(&mut self, index: usize) -> Result<(), Violation> {
        self.kill_device(index)?;
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let part = self.random.below(4);
        let storage = if part == 0 { &device.private } else { &device.shared };
        let what = if part == 3 {
            let files = device.disk.files();
            let Some((name, bytes)) = files.iter().find(|(name, _)| name == LOCAL_COPY) else { return Ok(()) };
            // Where SQLite is sure to notice.
            let offset = self.random.below((*bytes).min(100));
            if self.random.chance(300) {
                device.disk.flip(name, offset, 3);
                format!("a bit of the local copy at {offset}")
            } else {
                device.disk.truncate(name, offset);
                let site = device.site;
                // An empty file is none; what was only in it is gone.
                let model = self.model.site(site);
                model.reported.clear();
                (model.is_complete, model.is_granted, model.has_forgotten) = (false, false, true);
                format!("the local copy is cut to {offset}")
            }
        } else {
            let numbers = storage.segment_numbers();
            if numbers.is_empty() {
                return Ok(());
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
        Ok(())
    }

    fn lose_local_copy(&mut self, index: usize) -> Result<(), Violation> {
        self.kill_device(index)?;
        self.note(format_args!("device {index} loses its local copy"));
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        for suffix in ["", "-wal", "-journal"] {
            device.disk.remove(&format!("{LOCAL_COPY}{suffix}"));
        }
        let site = device.site;
        // What never left the site was only here, once the journal had let go of it.
        let model = self.model.site(site);
        model.reported.clear();
        model.is_complete = false;
        model.is_granted = false;
        model.has_forgotten = true;
        self.damaged.insert(index);
        Ok(())
    }

    fn wipe_device(&mut self, index: usize) {
        self.note(format_args!("device {index} is wiped"));
        let Some(device) = self.devices.get_mut(index) else { return };
        device.wipe(&mut self.random);
        let site = device.site;
        let model = self.model.site(site);
        model.reported.clear();
        model.is_complete = false;
        model.is_granted = false;
        model.private = None;
        model.private_base.clear();
        model.private_by_key.clear();
        model.attempted_groups = 0;
        self.damaged.remove(&index);
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
        let Some(device) = self.devices.get(index) else { return Ok(false) };
        let (site, journal) = (device.site, device.identity.journal);
        let key = protocol::edge::Signer::public_key(device.signer());
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = &mut self.centre.live else { return Ok(false) };
        let enrolled = live.store.batch(wall_ms, |batch| batch.enrol(site, &key, journal));
        match enrolled {
            Ok(Ok(_)) => {
                self.note(format_args!("device {index} is enrolled with journal {journal}"));
                if let Some(device) = self.devices.get_mut(index) {
                    device.identity.is_enrolled = true;
                }
                self.note_enrolled(site, journal);
                self.after_commit()?;
                Ok(true)
            }
            Ok(Err(error)) | Err(error) => {
                self.central_failed("enrol", &error.to_string())?;
                Ok(false)
            }
        }
    }

    /// What a device had not sent before it was wiped is gone with it.
    fn note_enrolled(&mut self, site: protocol::ids::SiteId, journal: JournalId) {
        let model = self.model.site(site);
        if model.logs.last().is_some_and(|log| log.id == journal) {
            return;
        }
        if let Some(old) = model.logs.last_mut() {
            let committed = old.committed;
            for (sequence, entry) in (1..).zip(&mut old.entries) {
                entry.is_lost |= sequence > committed;
            }
        }
        model.begin_journal(journal);
    }

    pub(crate) fn open_device(&mut self, index: usize) -> Result<(), Violation> {
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
            return self.cut_device_power(index);
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

    fn mischief_at_centre(&mut self) -> Result<(), Violation> {
        if self.centre.live.is_none() {
            return Ok(());
        }
        if self.is_centre_excused && self.random.chance(500) {
            self.is_centre_excused = false;
            self.centre.disk.clear_faults();
            self.centre.disk.set_free_bytes(None);
        }
        if self.strikes(Fault::CentralPower) {
            if self.random.chance(300) {
                self.crash_centre()?;
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
        Ok(())
    }

    pub(crate) fn crash_centre(&mut self) -> Result<(), Violation> {
        self.note(format_args!("central loses power"));
        self.counts.crashes += 1;
        self.inspector.close();
        self.centre.cut_power(&mut self.random);
        self.centre_down();
        Ok(())
    }

    /// Everybody who is connected finds that central is gone.
    fn centre_down(&mut self) {
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
                self.check_centre_opened()
            }
            Err(error) => {
                self.centre.live = None;
                self.note(format_args!("central does not open: {error}"));
                if self.centre.disk.is_off() {
                    return self.crash_centre();
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
