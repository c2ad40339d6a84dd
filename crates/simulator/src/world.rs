//! The world: devices, central, the links between them, and what happens when, in one thread on virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use central::store::{ImportMode, NewSite, SiteKind, StoreLimits};
use codec::ZstdCodec;
use domain::catalogue::{Catalogue, DataType, DeclaredTable};
use domain::edit::{Edit, EditOp};
use outpost::journal::JournalLimits;
use protocol::ids::{HardwareSalt, JournalId, RecordId, SiteId};
use protocol::schedule::Schedule;

use crate::centre::Centre;
use crate::deletions::Passing;
use crate::device::{Device, Role, Settings};
use crate::files::Sticks;
use crate::forks::{DeviceBackup, Fork};
use crate::healing::Healing;
use crate::inspect::Inspector;
use crate::mix::{Fault, Mix, Profile};
use crate::model::{DeviceModel, Key, Model, Violation, violation};
use crate::moves::{MOVED, moved_store};
use crate::numbers::Numbers;
use crate::random::Random;
use crate::time_line::CentreBackup;
use crate::trace::Trace;
use crate::traffic::Connection;
use crate::visibility::name_of;
use crate::work::{Desk, FOREIGN_TABLE, Office, WARD, central_edit, name_edit};

/// The wall clock at virtual time 0: 2026-01-05, in milliseconds since 1970.
const WALL_BEGIN_MS: u64 = 1_767_571_200_000;
/// How much a device lengthens its waits at most, in percent.
pub(crate) const SCHEDULE_JITTER_PERCENT: u8 = 10;
/// How long a device waits at most after failures, in milliseconds.
pub(crate) const SCHEDULE_BACKOFF_MAX_MS: u64 = 300_000;
/// More events than any run has: one that does not end is a failure too.
const EVENTS_MAX: u64 = 2_000_000;

/// Something that happens at a moment.
#[derive(Debug, Clone)]
pub enum Event {
    /// People at a site edit.
    Burst(usize),
    /// A device's schedule.
    Wake(usize),
    /// A device is started, if it is down.
    DeviceUp(usize),
    /// Bytes reach central, or the end of the request.
    ToCentral(u64, Option<Vec<u8>>),
    /// Central notices that a connection is gone.
    CentralCut(u64),
    /// Bytes reach the device, or the end of the reply.
    ToDevice(u64, Option<Vec<u8>>),
    /// The device notices that a connection is gone; with the code that its transport gives.
    DeviceCut(u64, &'static str),
    /// Whether a connection was silent for too long.
    DeviceIdle(u64, u64),
    /// Central commits what waits.
    Commit,
    /// Central judges what exchanges left.
    Judge,
    /// Central's own people edit, and its janitor works.
    CentralWork,
    /// Central is started, if it is down.
    CentralUp,
    /// Something may go wrong.
    Mischief,
    /// An administrator looks at a site that stopped.
    Administer(SiteId),
}

/// The stream of [`World::kills`].
const KILLS_STREAM: u64 = 0x006b_696c_6c73;

/// Everything.
pub struct World {
    /// What this seed drew.
    pub mix: Mix,
    /// The only chance.
    pub random: Random,
    /// The chance of kills behind a page, apart from all others.
    pub(crate) kills: Random,
    /// Virtual time, in milliseconds.
    pub now_ms: u64,
    /// What is to come.
    queue: BTreeMap<(u64, u64), Event>,
    scheduled: u64,
    /// The devices, by index.
    pub devices: Vec<Device>,
    /// What their people remember.
    pub desks: Vec<Desk>,
    /// Whether somebody damaged a device's disk since it last opened whole.
    pub damaged: BTreeSet<usize>,
    /// Devices with damage in the local copy that may show later than at the next opening.
    pub latent_damage: BTreeSet<usize>,
    /// Devices that sleep, until when.
    pub asleep_until_ms: Vec<u64>,
    /// Whether faults may be in store for a device or central: an error is no surprise then.
    pub excused: BTreeSet<usize>,
    /// The same for central.
    pub is_centre_excused: bool,
    /// Sites of which two devices live, or one that was set back.
    pub forks: BTreeMap<SiteId, Fork>,
    /// Journals that devices are to go on in and that central may have taken without saying so: a device notes its own before it asks.
    pub asked_journals: BTreeMap<usize, JournalId>,
    /// How many keys of a site were retired, at most.
    pub retirements: BTreeMap<SiteId, u64>,
    /// Backups of devices, by index.
    pub backups: BTreeMap<usize, DeviceBackup>,
    /// The backup of central.
    pub centre_backup: Option<CentreBackup>,
    /// Whether central was set back and did not start since.
    pub is_centre_new: bool,
    /// Central.
    pub centre: Centre,
    /// Reads central's store for the oracles.
    pub inspector: Inspector,
    /// Ids of central's own records by table.
    pub central_records: Vec<(String, String)>,
    /// How many stores were given while sites worked.
    pub late_stores: u64,
    /// Those of which central has forgotten that it gave them: their sites hold them if they had heard of it.
    pub doubtful_stores: BTreeSet<String>,
    /// Records of other sites that a site reached for: they are what those sites make of them.
    pub reached_for: BTreeSet<(SiteId, Key)>,
    /// Patients that went to another home at once, so that what their old home had not sent is refused.
    pub hurried: BTreeSet<String>,
    /// Document numbers that were given.
    pub numbers: Numbers,
    /// Messages by which central asked a site for an edit.
    pub proposed: BTreeSet<String>,
    /// Records of which central asked another site than the one whose edit it was.
    pub asked_for: BTreeSet<Key>,
    /// Halves that people at the receiving store worked on, or tried to.
    pub worked_on: BTreeSet<Key>,
    /// Patients of which a transfer was called off and that have not changed since.
    pub called_off: BTreeSet<String>,
    /// Sites that are disabled for certain, each with the number of the time that it is.
    pub disabled: BTreeMap<SiteId, u64>,
    /// How often sites were disabled.
    pub bars: u64,
    /// Sites that were ever disabled or paused.
    pub paused_ever: BTreeSet<SiteId>,
    /// Sites that come and go.
    pub passing: Vec<Passing>,
    /// Ids that such sites were given for certain.
    pub given_ids: BTreeSet<SiteId>,
    /// Connections under way.
    pub connections: BTreeMap<u64, Connection>,
    /// The last number that was given to a connection.
    pub last_connection: u64,
    /// Copies of old requests, to come late.
    pub old_requests: Vec<Vec<u8>>,
    /// Sticks under way.
    pub sticks: Sticks,
    /// What must be so.
    pub model: Model,
    /// What happened.
    pub trace: Trace,
    /// Packs for everybody: it keeps nothing between two calls.
    pub codec: ZstdCodec,
    /// Whether things still go wrong.
    pub is_chaos: bool,
    /// Devices that have yet to drain, while links heal.
    pub healing: Option<Healing>,
    /// Counts for people.
    pub counts: Counts,
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Edits that were acknowledged.
    pub edits: u64,
    /// Sessions that ended.
    pub sessions: u64,
    /// Sessions that drained.
    pub drained: u64,
    /// Commits of central.
    pub commits: u64,
    /// Power cuts and kills, on both sides.
    pub crashes: u64,
    /// Refused entries.
    pub refused: u64,
    /// Other faults that struck.
    pub faults: u64,
    /// Devices that were copied, set back or replaced, and centrals that were set back.
    pub forks: u64,
}

impl World {
    /// Makes the world of a seed, with every site enrolled.
    ///
    /// # Errors
    /// If that fails although nothing goes wrong yet.
    pub fn new(mix: Mix, mut random: Random, is_printing: bool) -> Result<Self, Violation> {
        let known = Arc::new(Catalogue::embedded());
        let declared = DeclaredTable {
            name: FOREIGN_TABLE.to_owned(),
            r#type: DataType::Store,
            id_column: None,
            store_column: Some("store_ID".to_owned()),
            parent: None,
        };
        let with_declared = Catalogue::embedded().with_declared(vec![declared]);
        let Ok(device_catalogue) = with_declared else { return violation("setup", "the declared table is refused") };
        let limits = StoreLimits {
            waiting_entries_max: mix.waiting_entries_max,
            backfill_step_rows_max: mix.backfill_step_rows_max,
            control_bytes_max: mix.control_bytes_max,
            ..StoreLimits::default()
        };
        let centre = Centre::new(known, limits, mix.judged_groups_max, &mut random);
        centre.disk.set_lying_syncs(mix.has_lying_syncs);
        let inspector = Inspector::new(centre.disk.clone());
        let kills = Random::new(random.clone().number() ^ KILLS_STREAM);
        let mut world = Self {
            now_ms: 0,
            queue: BTreeMap::new(),
            scheduled: 0,
            devices: Vec::new(),
            desks: Vec::new(),
            damaged: BTreeSet::new(),
            latent_damage: BTreeSet::new(),
            asleep_until_ms: Vec::new(),
            excused: BTreeSet::new(),
            is_centre_excused: false,
            forks: BTreeMap::new(),
            asked_journals: BTreeMap::new(),
            retirements: BTreeMap::new(),
            backups: BTreeMap::new(),
            centre_backup: None,
            is_centre_new: false,
            centre,
            inspector,
            central_records: Vec::new(),
            late_stores: 0,
            doubtful_stores: BTreeSet::new(),
            reached_for: BTreeSet::new(),
            hurried: BTreeSet::new(),
            numbers: Numbers::default(),
            proposed: BTreeSet::new(),
            asked_for: BTreeSet::new(),
            worked_on: BTreeSet::new(),
            called_off: BTreeSet::new(),
            disabled: BTreeMap::new(),
            bars: 0,
            paused_ever: BTreeSet::new(),
            passing: Vec::new(),
            given_ids: BTreeSet::new(),
            connections: BTreeMap::new(),
            last_connection: 0,
            old_requests: Vec::new(),
            sticks: Sticks::default(),
            model: Model::default(),
            trace: Trace::new(is_printing),
            codec: ZstdCodec::default(),
            is_chaos: true,
            healing: None,
            counts: Counts::default(),
            mix,
            random,
            kills,
        };
        let mix = world.mix.clone();
        world.note(format_args!("mix {mix}"));
        world.start_centre()?;
        world.make_sites(&Arc::new(device_catalogue))?;
        Ok(world)
    }

    /// Lets everything happen until things stop going wrong.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn run(&mut self) -> Result<(), Violation> {
        for index in 0..self.devices.len() {
            self.open_device(index)?;
            let wait_ms = self.random.below(self.mix.burst_every_ms);
            self.after(wait_ms, Event::Burst(index));
        }
        self.after(1_000, Event::CentralWork);
        self.after(5_000, Event::Mischief);
        let end_ms = self.mix.chaos_ms;
        let mut events = 0;
        while self.next_event_ms().is_some_and(|at_ms| at_ms <= end_ms) {
            self.happen_next()?;
            events += 1;
            if events > EVENTS_MAX {
                return violation("10", "the run does not end");
            }
        }
        self.now_ms = end_ms;
        if self.mix.profile == Profile::Healing { self.heal_links() } else { Ok(()) }
    }

    /// When the next thing happens.
    pub(crate) fn next_event_ms(&self) -> Option<u64> {
        self.queue.first_key_value().map(|((at_ms, _), _)| *at_ms)
    }

    /// Lets the next thing happen.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub(crate) fn happen_next(&mut self) -> Result<(), Violation> {
        let Some(((at_ms, _), event)) = self.queue.pop_first() else { return Ok(()) };
        self.now_ms = at_ms;
        self.happen(event)
    }

    /// Nobody edits any more, and nothing new goes wrong; what is under way goes on.
    pub(crate) fn end_work(&mut self) {
        self.queue.retain(|_, event| !matches!(event, Event::Burst(_) | Event::Mischief | Event::CentralWork));
    }

    /// Nothing of what was to come comes any more.
    pub fn forget_events(&mut self) {
        self.queue.clear();
        self.connections.clear();
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Burst(index) if self.devices.get(index).is_some_and(|device| device.role == Role::Gone) => Ok(()),
            Event::Burst(index) => {
                self.burst(index)?;
                let wait_ms = self.random.below(2 * self.mix.burst_every_ms);
                self.after(wait_ms, Event::Burst(index));
                Ok(())
            }
            Event::Wake(index) => self.wake(index),
            Event::DeviceUp(index) => self.device_up(index),
            Event::ToCentral(connection, bytes) => {
                self.bytes_to_central(connection, bytes);
                Ok(())
            }
            Event::CentralCut(connection) => {
                self.centre.forget(connection);
                Ok(())
            }
            Event::ToDevice(connection, bytes) => self.bytes_to_device(connection, bytes.as_deref()),
            Event::DeviceCut(connection, code) => self.device_cut(connection, code),
            Event::DeviceIdle(connection, progress) => self.device_idle(connection, progress),
            Event::Commit => self.commit(),
            Event::Judge => self.judge(),
            Event::CentralWork => self.central_work(),
            Event::CentralUp => self.centre_up(),
            Event::Mischief => self.mischief(),
            Event::Administer(site) => self.administer(site),
        }
    }

    /// The devices that speak for their sites.
    pub fn speakers(&self) -> Vec<usize> {
        (0..).zip(&self.devices).filter(|(_, device)| device.role == Role::Active).map(|(index, _)| index).collect()
    }

    /// Lets something happen later.
    pub fn after(&mut self, wait_ms: u64, event: Event) {
        self.at(self.now_ms + wait_ms, event);
    }

    /// Lets something happen at a moment.
    pub fn at(&mut self, at_ms: u64, event: Event) {
        self.scheduled += 1;
        self.queue.insert((at_ms.max(self.now_ms), self.scheduled), event);
    }

    /// Notes what happened.
    pub fn note(&mut self, text: std::fmt::Arguments<'_>) {
        self.trace.note(self.now_ms, text);
    }

    /// A wall clock that is off by so much.
    pub fn wall_ms(&self, off_ms: i64) -> u64 {
        (WALL_BEGIN_MS + self.now_ms).saturating_add_signed(off_ms)
    }

    /// A device's wall clock.
    pub fn device_wall_ms(&self, index: usize) -> u64 {
        self.wall_ms(self.devices.get(index).map_or(0, |device| device.clock_off_ms))
    }

    /// What the people of a site work with.
    pub fn with_office<T>(
        &mut self,
        index: usize,
        work: impl FnOnce(&mut Desk, &Office<'_>, &mut Random) -> T,
    ) -> Option<T> {
        let wall_ms = self.device_wall_ms(index);
        let device = self.devices.get(index)?;
        let site = device.site;
        let stores = self.model.devices.get(index)?.stores.clone();
        let others = self.model.devices.iter().filter(|other| other.site != site);
        let foreign_stores: Vec<String> = others.flat_map(|other| other.stores.clone()).collect();
        let office = Office {
            catalogue: device.catalogue(),
            mix: &self.mix,
            stores: &stores,
            foreign_stores: &foreign_stores,
            central: &self.central_records,
            site: site.0,
            wall_ms,
            is_granted: self.model.devices.get(index)?.is_granted,
        };
        Some(work(self.desks.get_mut(index)?, &office, &mut self.random))
    }

    fn make_sites(&mut self, catalogue: &Arc<Catalogue>) -> Result<(), Violation> {
        let mut stores = Vec::new();
        for site in 0..self.mix.sites {
            let names = (0..self.mix.stores_per_site).map(|store| format!("store-{}-{store}", site + 2));
            stores.push(names.collect::<Vec<_>>());
        }
        let edits: Vec<Edit> = stores
            .iter()
            .flatten()
            .map(|id| Edit {
                table: "store".to_owned(),
                op: EditOp::Put,
                id: RecordId::new(id).expect("it is short"),
                data: Some(format!("{{\"name\":\"{id}\",\"code\":\"{id}\",\"name_ID\":{:?}}}", name_of(id))),
            })
            .collect();
        self.import(edits)?;
        if self.mix.has(Fault::Transfers) {
            let moved = (0..MOVED).map(moved_store);
            let all = stores.iter().flatten().cloned().chain(moved.filter(|_| self.mix.has(Fault::Moves)));
            let names = all.map(|store| name_edit(&name_of(&store), "store"));
            self.import(names.chain([name_edit(WARD, "facility")]).collect())?;
        } else if self.mix.has(Fault::Withholding) {
            let names = stores.iter().flatten().map(|store| name_edit(&name_of(store), "store"));
            self.import(names.chain([name_edit(WARD, "facility")]).collect())?;
        }
        for (index, stores) in stores.into_iter().enumerate() {
            let new = NewSite {
                name: format!("site-{index}"),
                code: String::new(),
                kind: SiteKind::Standalone,
                password_hash: "not asked for here".to_owned(),
                salt: HardwareSalt([0; 16]),
                stores: stores.iter().map(|id| RecordId::new(id).expect("it is short")).collect(),
            };
            let wall_ms = self.wall_ms(0);
            let Some(live) = &mut self.centre.live else { return violation("setup", "central is not up") };
            let added = live.store.batch(wall_ms, |batch| batch.add_site(&new));
            let site = match added {
                Ok(Ok(site)) => site,
                Ok(Err(error)) | Err(error) => return violation("setup", format!("a site is refused: {error}")),
            };
            let device = self.make_device(site, catalogue);
            self.add_device(device, DeviceModel::new(site, stores));
        }
        for _ in 0..self.mix.central_records {
            let edit = central_edit(self.centre.catalogue(), &self.mix, &self.central_records, &mut self.random);
            self.import(vec![edit])?;
        }
        self.after_commit()
    }

    fn make_device(&mut self, site: SiteId, catalogue: &Arc<Catalogue>) -> Device {
        let settings = Settings {
            catalogue: Arc::clone(catalogue),
            limits: JournalLimits {
                segment_entries_max: self.mix.segment_entries_max,
                disk_reserve_bytes: 1_000,
                ..JournalLimits::default()
            },
            schedule: Schedule {
                interval_ms: Some(self.mix.interval_ms),
                jitter_percent: SCHEDULE_JITTER_PERCENT,
                backoff_first_ms: 5_000,
                backoff_max_ms: SCHEDULE_BACKOFF_MAX_MS,
            },
            acknowledged_tail_bytes_max: self.mix.acknowledged_tail_bytes_max,
            central: protocol::edge::Signer::public_key(self.centre.signer()),
        };
        let mut device = Device::new(site, settings, &mut self.random);
        device.hardware = u8::try_from(self.devices.len()).unwrap_or(u8::MAX);
        device
    }

    /// Another device, with what must be so of it.
    pub(crate) fn add_device(&mut self, device: Device, model: DeviceModel) {
        device.disk.set_lying_syncs(self.mix.has_lying_syncs);
        let colleague = self.devices.iter().position(|other| other.site == device.site);
        // People know what they made, whatever stands on their desk.
        let desk = colleague.and_then(|index| self.desks.get(index)).cloned().unwrap_or_default();
        self.devices.push(device);
        self.model.devices.push(model);
        self.desks.push(desk);
        self.asleep_until_ms.push(0);
    }

    /// Central's own edits, each a commit of its own.
    ///
    /// # Errors
    /// If an edit is refused that has to be taken.
    pub fn import(&mut self, edits: Vec<Edit>) -> Result<(), Violation> {
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        let mut given = edits.clone().into_iter();
        let outcome = live.store.batch(wall_ms, |batch| batch.import(&mut given, ImportMode::AllOrNothing));
        match outcome {
            Ok(Ok(report)) if report.is_kept => {
                for edit in edits {
                    self.note_import(&edit)?;
                }
                self.counts.commits += 1;
                Ok(())
            }
            // A delete of what is not there, for one.
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) | Err(error) => self.central_failed("import", &error.to_string()),
        }
    }

    fn note_import(&mut self, edit: &Edit) -> Result<(), Violation> {
        self.note(format_args!("central {} {} {}", edit.op.as_str(), edit.table, edit.id));
        let key = (edit.table.clone(), edit.id.as_str().to_owned());
        if !self.central_records.contains(&key) && edit.table != "store" {
            self.central_records.push(key);
        }
        self.after_commit()
    }

    /// A call on central's store failed: no surprise only while its disk is at fault.
    ///
    /// # Errors
    /// The surprise.
    pub fn central_failed(&mut self, what: &str, error: &str) -> Result<(), Violation> {
        self.note(format_args!("central fails: {what}: {error}"));
        if self.centre.disk.is_off() {
            self.crash_centre();
            return Ok(());
        }
        if self.is_centre_excused {
            return Ok(());
        }
        violation("1", format!("central fails although nothing is wrong with its disk: {what}: {error}"))
    }
}
