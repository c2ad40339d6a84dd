//! What goes on all the time: people edit, devices sync by schedule, central commits, judges and prunes.

use central::store::{HomeKind, HomeStore, StoreError};
use domain::edit::{Edit, EditOp};
use domain::preference::{Preference, StorePreference};
use outpost::clock::MonotonicMs;
use outpost::error::AgentError;
use outpost::recorder::{Group, RecordError};
use outpost::service::plan::{Outcome, Step as PlanStep, Wake};
use outpost::sync_runner::Report;
use protocol::ids::{RecordId, SiteId};
use protocol::session::Advice;

use crate::mix::Fault;
use crate::model::{Key, Violation, violation};
use crate::oracle::Acknowledged;
use crate::visibility::{name_of, visibility_edit};
use crate::work::{
    Desk, How, PATIENT_PREFIX, Planned, central_edit, home_merge_edit, merge_edit, mode_edit, name_edit,
    patient_join_edit,
};
use crate::world::{Event, World};

impl World {
    /// People at a site edit.
    pub(crate) fn burst(&mut self, index: usize) -> Result<(), Violation> {
        if self.is_asleep(index) || self.devices.get(index).is_none_or(|device| device.live.is_none()) {
            return Ok(());
        }
        let mut planned = self.with_office(index, Desk::burst).unwrap_or_default();
        planned.extend(self.take_over(index));
        planned.extend(self.work_on_received(index));
        self.record(index, planned)?;
        self.give_numbers(index)?;
        if self.devices.get(index).is_some_and(crate::device::Device::is_off) {
            // What was acknowledged is in the journal; the local copy's write was the one that the power did not last for.
            self.cut_device_power(index);
            return Ok(());
        }
        if self.random.chance(200) {
            self.wake_with(index, Wake::Signal(outpost::service::plan::Signal::SyncNow))?;
        }
        Ok(())
    }

    /// Records groups on a device, in order.
    pub(crate) fn record(&mut self, index: usize, planned: Vec<Planned>) -> Result<(), Violation> {
        self.note_handed_back(index)?;
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

    /// A site reaches for a record that central has of another site's store. One that central may have lost could be made anew by
    /// whoever comes first: that is another story.
    fn take_over(&mut self, index: usize) -> Option<Planned> {
        if self.mix.has(Fault::CentralSetBack) || !self.mix.strikes(Fault::TakeOver, &mut self.random) {
            return None;
        }
        let site = self.devices.get(index)?.site;
        // A disk that fails meanwhile shows nothing.
        let holders = self.inspector.holders().ok()?;
        let mut records = self.inspector.records(0).ok()?;
        records.retain(|record| {
            record.store.as_ref().and_then(|store| holders.get(store)).is_some_and(|holder| *holder != site)
        });
        let planned =
            self.with_office(index, |_, office, random| Desk::take_over(office, &records, random)).flatten()?;
        if let How::Forged(entries) = &planned.how {
            let catalogue = std::sync::Arc::clone(self.centre.catalogue());
            let keys = entries.iter().map(|entry| (catalogue.table_name(&entry.table), entry.record.to_string()));
            self.reached_for.extend(keys.map(|key| (site, key)));
        }
        Some(planned)
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
            core.shared.append(&drafts).and_then(|last| core.shared.sync().map(|_| last))
        };
        if outcome.is_ok() {
            // The recorder notices at its next commit that the local copy lacks something.
            let nothing = Group { edits: Vec::new(), request_id: None, recorded_at_ms: 0 };
            let _ = device.live().recorder.record(nothing);
        }
        self.model.device(index).attempted_groups += 1;
        match outcome {
            Ok(last) => {
                let group = Acknowledged { last: last.0, count: count as u64, expected };
                self.note_journaled(index, &[group], true)
            }
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
            self.cut_device_power(index);
            return Ok(());
        }
        let is_history_lost = error.code == outpost::sync_runner::LOST_HISTORY;
        if is_history_lost && self.model.device(index).is_other_time_line {
            let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
            device.identity.suspicion.lost_history = Some(device.identity.journal);
            self.kill_device(index);
            return Ok(());
        }
        if !self.excused.contains(&index) && !self.damaged.contains(&index) {
            return violation("1", format!("device {index} fails although nothing is wrong with its disk: {error}"));
        }
        // As the agent does: the next opening looks closer.
        device.identity.suspicion.journals |= error.code == "journal_damaged";
        device.identity.suspicion.local_copy |= error.code == "local_copy_damaged";
        self.kill_device(index);
        Ok(())
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

    pub(crate) fn wake_with(&mut self, index: usize, wake: Wake<()>) -> Result<(), Violation> {
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
        if is_initialise {
            // Also one that fails may turn out to have been written.
            let model = self.model.device(index);
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
        self.note_begun(index);
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
        self.note_ended(index, report)?;
        self.note_handed_back(index)?;
        self.check_failure(index, failure)?;
        self.check_floor(index)?;
        if failure.is_none() {
            self.check_drained(index)?;
        }
        self.check_view(index, false)?;
        self.check_writers()?;
        if failure.is_none() {
            self.verify_at_times(index)?;
        }
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
            self.crash_centre();
            return Ok(());
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
            self.change_modes()?;
            self.give_late_store()?;
            self.change_visibility()?;
            self.change_mirror()?;
            self.change_home_stores()?;
            self.change_merges()?;
            self.change_home_merges()?;
            self.change_preferences()?;
            self.change_withholding()?;
            self.change_procurement()?;
            self.take_over_patients()?;
            self.move_stores()?;
            self.pause_sites()?;
            self.propose()?;
            self.try_transfers_again()?;
            self.come_and_go()?;
            self.prune_tombstones()?;
            self.carry_files()?;
            self.judge()?;
            if self.strikes(Fault::Prune) {
                self.prune()?;
            }
        }
        let wait_ms = self.random.below(120_000);
        self.after(wait_ms, Event::CentralWork);
        Ok(())
    }

    pub(crate) fn change_modes(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Modes) || self.centre.live.is_none() {
            return Ok(());
        }
        let catalogue = std::sync::Arc::clone(self.centre.catalogue());
        let stores: Vec<String> = self.model.devices.iter().flat_map(|device| device.stores.clone()).collect();
        for _ in 0..self.random.range(0, 3) {
            let edit = mode_edit(&catalogue, &self.mix, &stores, &mut self.random);
            self.import(vec![edit])?;
        }
        Ok(())
    }

    /// Central changes which names and stores see each other.
    pub(crate) fn change_visibility(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Visibility) || self.centre.live.is_none() {
            return Ok(());
        }
        let mut stores: Vec<String> = self.model.devices.iter().flat_map(|device| device.stores.clone()).collect();
        stores.sort_unstable();
        stores.dedup();
        for _ in 0..self.random.range(0, 4) {
            let edit = visibility_edit(&stores, &mut self.random);
            self.import(vec![edit])?;
        }
        Ok(())
    }

    /// The authority over central data goes to a site, or comes back.
    fn change_mirror(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Mirror) || !self.random.chance(MIRROR_PERMILLE) {
            return Ok(());
        }
        let sites: Vec<SiteId> = self.model.devices.iter().map(|device| device.site).collect();
        let (site, is_at_once) = (*self.random.pick(&sites), self.random.chance(200));
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        let changed = live.store.batch(wall_ms, |batch| match batch.enable_mirror(site) {
            Err(error) if error.code() == "already_mirrored" => batch.disable_mirror(is_at_once),
            other => other,
        });
        match changed {
            Ok(Ok(mirror)) => {
                self.note(format_args!("central data is {} (site {})", mirror.phase.as_str(), mirror.site));
                self.after_commit()
            }
            Ok(Err(error)) if error.code() == "central_heals" => Ok(()),
            Ok(Err(error)) | Err(error) => self.central_failed("mirror", &error.to_string()),
        }
    }

    /// Central gives patients and prescribers other home stores.
    fn change_home_stores(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::HomeTransfers) {
            return Ok(());
        }
        let stores: Vec<String> = self.model.devices.iter().flat_map(|device| device.stores.clone()).collect();
        let kind_of = |key: &Key| match key.0.as_str() {
            "name" if key.1.starts_with(PATIENT_PREFIX) => Some((HomeKind::Patient, key.1.clone())),
            "clinician" => Some((HomeKind::Prescriber, key.1.clone())),
            _ => None,
        };
        let housed: Vec<(HomeKind, String)> = self.model.versions.keys().filter_map(kind_of).collect();
        for _ in 0..self.random.range(0, 4).min(housed.len() as u64) {
            let (kind, housed) = self.random.pick::<(HomeKind, String)>(&housed).clone();
            let (store, is_at_once) = (self.random.pick::<String>(&stores).clone(), self.random.chance(250));
            let (id, to) = (RecordId::new(&housed).expect("it is short"), RecordId::new(&store).expect("it is short"));
            let wall_ms = self.wall_ms(self.centre.clock_off_ms);
            let Some(live) = &mut self.centre.live else { return Ok(()) };
            match live.store.batch(wall_ms, |batch| batch.set_home_store(kind, &id, &to, is_at_once)) {
                Ok(Ok(outcome)) => {
                    self.note(format_args!("{housed} gets the home store {store}: {outcome:?}"));
                    match outcome {
                        HomeStore::Set => drop(self.hurried.insert(housed)),
                        HomeStore::CalledOff => drop(self.called_off.insert(housed)),
                        HomeStore::Asked(_) | HomeStore::Unchanged => {}
                    }
                    self.after_commit()?;
                }
                Ok(Err(StoreError::Refused(_))) => {}
                Ok(Err(error)) | Err(error) => return self.central_failed("home store", &error.to_string()),
            }
        }
        Ok(())
    }

    /// Central makes two of its records one, by its verb or by an edit.
    fn change_merges(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Merges) || self.centre.live.is_none() {
            return Ok(());
        }
        for _ in 0..self.random.range(0, 2) {
            let edit = merge_edit(&self.central_records, &mut self.random);
            self.import(vec![edit])?;
        }
        Ok(())
    }

    /// The same of patients and prescribers, of which it may merge those of two sites, and where patients are visible.
    fn change_home_merges(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::HomeMerges) || self.centre.live.is_none() || !self.random.chance(400) {
            return Ok(());
        }
        let site = 2 + self.random.below(3);
        let stores: Vec<String> = self.model.devices.iter().flat_map(|device| device.stores.clone()).collect();
        let edit = if self.random.chance(300) {
            patient_join_edit(&stores, &mut self.random)
        } else {
            home_merge_edit(site, &mut self.random)
        };
        self.import(vec![edit])
    }

    /// Central shares prescriptions with the sites that see their patients, or does so no more.
    fn change_preferences(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Prescriptions) {
            return Ok(());
        }
        self.carry_out(Preference::PrescriptionsWhereVisible, 5)?;
        if !self.random.chance(250) {
            return Ok(());
        }
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let is_on = self.random.chance(700);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        match live.store.batch(wall_ms, |batch| batch.set_preference(Preference::PrescriptionsWhereVisible, is_on)) {
            Ok(Ok(is_new)) => {
                self.note(format_args!("prescriptions are shared: {is_on}, new: {is_new}"));
                self.after_commit()
            }
            Ok(Err(StoreError::Refused(_))) => Ok(()),
            Ok(Err(error)) | Err(error) => self.central_failed("preference", &error.to_string()),
        }
    }

    /// A store is to keep something on its site, or no more.
    fn change_withholding(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Withholding) || !self.random.chance(600) {
            return Ok(());
        }
        let stores: Vec<String> = self.model.devices.iter().flat_map(|device| device.stores.clone()).collect();
        let store = RecordId::new(self.random.pick::<String>(&stores)).expect("it is short");
        let (is_data, is_kept) = (self.random.chance(333), self.random.chance(550));
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        if is_data && is_kept {
            self.numbers.note_kept(&store);
        }
        let set = live.store.batch(wall_ms, |batch| {
            if is_data {
                batch.set_transfer_on_central(&store, is_kept)
            } else {
                batch.set_store_preference(StorePreference::IncludeTransactions, &store, !is_kept)
            }
        });
        match set {
            Ok(Ok(is_new)) => {
                self.note(format_args!(
                    "store {store} keeps {}: {is_kept}, new: {is_new}",
                    if is_data { "data" } else { "transactions" }
                ));
                self.after_commit()
            }
            Ok(Err(StoreError::Refused(_))) => Ok(()),
            Ok(Err(error)) | Err(error) => self.central_failed("withholding", &error.to_string()),
        }
    }

    /// A few steps of carrying out what a preference asks for of what was written before, of at most so many rows each.
    pub(crate) fn carry_out(&mut self, preference: Preference, rows_max: u64) -> Result<(), Violation> {
        for _ in 0..self.random.below(4) {
            let wall_ms = self.wall_ms(self.centre.clock_off_ms);
            let rows_max = self.random.range(1, rows_max);
            let Some(live) = &mut self.centre.live else { return Ok(()) };
            match live.store.batch(wall_ms, |batch| batch.carry_out_step(preference, rows_max)) {
                Ok(Ok(true)) => self.after_commit()?,
                Ok(Ok(false)) => return self.after_commit(),
                Ok(Err(error)) | Err(error) => return self.central_failed(preference.as_str(), &error.to_string()),
            }
        }
        Ok(())
    }

    /// Central gives one of its sites another store, now and then.
    fn give_late_store(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::LateStores) || self.late_stores >= LATE_STORES_MAX || !self.random.chance(60) {
            return Ok(());
        }
        let sites: Vec<SiteId> = self.model.devices.iter().map(|device| device.site).collect();
        let (site, store) = (*self.random.pick(&sites), late_store(self.late_stores));
        let id = RecordId::new(&store).expect("it is short");
        self.late_stores += 1;
        let data = Some(format!("{{\"name\":\"{store}\",\"code\":\"{store}\",\"name_ID\":{:?}}}", name_of(&store)));
        self.import(vec![Edit { table: "store".to_owned(), op: EditOp::Put, id: id.clone(), data }])?;
        if self.mix.has(Fault::Withholding) || self.mix.has(Fault::Transfers) {
            self.import(vec![name_edit(&name_of(&store), "store")])?;
        }
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        match live.store.batch(wall_ms, |batch| batch.move_store(&id, site, false)) {
            Ok(Ok(_)) => {
                self.note(format_args!("store {store} is given to site {site}"));
                for model in self.model.devices.iter_mut().chain(&mut self.model.gone) {
                    if model.site == site {
                        model.stores.push(store.clone());
                    }
                }
                self.after_commit()
            }
            Ok(Err(error)) if matches!(error.code(), "central_heals" | "unknown_store") => Ok(()),
            Ok(Err(error)) | Err(error) => {
                // It may be written all the same.
                self.doubtful_stores.insert(store);
                self.central_failed("assign-store", &error.to_string())
            }
        }
    }
}

/// How often the authority over central data moves, in a thousand turns of central's people.
const MIRROR_PERMILLE: u64 = 250;
/// Further stores of a run, at most.
const LATE_STORES_MAX: u64 = 6;

/// The id of the store that is given as the n-th.
pub(crate) fn late_store(number: u64) -> String {
    format!("late-store-{number}")
}
