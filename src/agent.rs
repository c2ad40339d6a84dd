//! A site's agent: its folder, its journals, its records, and the way to central. The library's face; the command line and the
//! daemon use nothing else.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use codec::{Ed25519Signer, Ed25519Verifier, ZstdCodec};
use domain::catalogue::Catalogue;
use protocol::check;
use protocol::ids::{ControlNumber, SiteId, Token};
use protocol::message::Cursor;
use protocol::schedule::Schedule;
use protocol::section::Binding;
use protocol::session::Summary;
use zeroize::Zeroizing;

use crate::clock::{self, Bell, MonotonicMs, Waker, Woken};
use crate::config::{CentralUrl, Config};
use crate::data_folder::{DataFolder, Layout};
use crate::device::{Device, Enrolment};
use crate::error::AgentError;
use crate::exit::Exit;
use crate::journal::{JournalLimits, SledStorage};
use crate::pacing::{PaceKeeper, Surroundings};
use crate::queue_days::{Days, QueueKeeper};
use crate::recorder::Recorder;
use crate::sync_runner::{Learnt, Parties, Report, SyncRunner, TokenStore};
use crate::transport::{Interrupter, Transport};

use budget::WithinBudget;
use proving::{NOT_CENTRAL, ProvingFirst};

mod agreement;
mod budget;
mod carrying_over;
mod enrolling;
mod files;
mod news;
mod opening;
mod proving;
mod recovered_file;
mod recovering;
mod recovery_note;
mod repinning;
mod suspicion;
#[cfg(test)]
mod tests;
mod verifying;

pub use agreement::device_of;
pub use budget::BYTES_USED_UP;
pub use files::{OpenBackup, write_sealed};
pub use news::{Heard, NewsLine, NewsQuestion};
pub use opening::{Places, Repair, open_recorder};
pub use recovered_file::{RECOVERED_FILES_MAX, RecoveredGroup, RecoveredReader, line_of};
pub use recovering::RecoveryPlan;
pub use recovering::give_up_journal;
pub use recovery_note::{RecoveryNote, RecoveryStep};
pub use repinning::Repinned;
pub use suspicion::Suspicion;

/// Longest wait for a change while the folder is to be opened again, in milliseconds: not so short that who waits asks without a pause.
const REOPENING_WAIT_MS_MAX: u64 = 1000;

/// An agent that owns its data folder until it is dropped. Shared by threads.
pub struct Agent {
    /// Replaced as a whole when settings are read anew; whoever works goes on with those that it began with.
    config: RwLock<Arc<Config>>,
    catalogue: Arc<Catalogue>,
    device: Mutex<Device>,
    signer: Ed25519Signer,
    recorder: Option<Recorder<SledStorage>>,
    repairs: Vec<Repair>,
    /// Held during a session: one device, one session.
    line: Mutex<Line>,
    interrupter: Mutex<Option<Interrupter>>,
    is_stopping: AtomicBool,
    /// Once is enough to say that some of the hardware differs.
    has_told_difference: AtomicBool,
    stop: Waker,
    pace: PaceKeeper,
    queue_days: QueueKeeper,
    /// Central's head up to which this site has everything, by the last session if that came to its end.
    read_through: Mutex<Option<Cursor>>,
    /// Rings when the records or the queue may have changed, and when whoever waits for that has to end.
    bell: Arc<Bell>,
    is_to_reopen: AtomicBool,
    /// Requests that wait for the bell.
    waiting: AtomicUsize,
    /// Dropped last: the lock outlives everything that writes.
    folder: DataFolder,
}

/// What a session needs of the way to central.
struct Line {
    transport: Option<Transport>,
    /// The settings that the transport was made by.
    made_by: Option<Arc<Config>>,
    codec: ZstdCodec,
    learnt: Learnt,
}

/// Where to enrol, and as whom.
#[derive(Debug)]
pub struct Credentials<'a> {
    /// Central's address; `None` takes the setting, or where the device is enrolled already.
    pub central: Option<CentralUrl>,
    /// The site's name at central.
    pub site_name: &'a str,
    /// Its password; not kept.
    pub password: &'a Zeroizing<String>,
}

impl Agent {
    /// Takes the data folder, opens the journals and applies what a crash left unapplied.
    ///
    /// # Errors
    /// [`AgentError`]: the folder is in use, a file is damaged beyond repair, a setting is wrong.
    pub fn open(config: Config) -> Result<Self, AgentError> {
        let folder = DataFolder::open(&config.data_folder)?;
        let catalogue = Arc::new(config.catalogue()?);
        let layout = folder.layout();
        device_of(layout)?;
        let mut device = Device::open_or_make(&layout.identity())?;
        let mut repairs = Vec::new();
        let recorder = match device.identity().enrolment.as_ref().map(|enrolment| enrolment.site) {
            Some(site) => {
                recovering::name_replaced_journal(layout, &mut device)?;
                let recorder = open_folder(&config, layout, &mut device, site, &catalogue, &mut repairs)?;
                let recorder = if let Some(recorder) = recovering::go_on(layout, &mut device, &catalogue, recorder)? {
                    recorder
                } else {
                    // The journal was replaced just now.
                    let recorder = open_folder(&config, layout, &mut device, site, &catalogue, &mut repairs)?;
                    recovering::go_on(layout, &mut device, &catalogue, recorder)?.ok_or_else(recovering::is_stuck)?
                };
                Some(recorder)
            }
            None => None,
        };
        // What was suspected has been looked at and mended.
        let _ = std::fs::remove_file(layout.suspicion());
        let learnt = match &recorder {
            Some(recorder) => recorder.core().local.learnt()?,
            None => Learnt::default(),
        };
        let pace = PaceKeeper::open(folder.layout().pacing(), config.pacing.budget);
        let queue_days = QueueKeeper::open(folder.layout().queue_days());
        let signer = Ed25519Signer::from_seed(&device.signer().seed());
        let bell = recorder.as_ref().map(|recorder| recorder.core().local.bell()).unwrap_or_default();
        let agent = Self {
            config: RwLock::new(Arc::new(config)),
            catalogue,
            device: Mutex::new(device),
            signer,
            recorder,
            repairs,
            line: Mutex::new(Line { transport: None, made_by: None, codec: ZstdCodec::default(), learnt }),
            interrupter: Mutex::new(None),
            is_stopping: AtomicBool::new(false),
            has_told_difference: AtomicBool::new(false),
            stop: Waker::new(),
            pace,
            queue_days,
            read_through: Mutex::new(None),
            bell,
            is_to_reopen: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            folder,
        };
        agent.see_queue();
        Ok(agent)
    }

    /// The records' tables.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The settings in force.
    pub fn config(&self) -> Arc<Config> {
        // It is replaced in one step, so it is whole.
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Works by other settings from here on; who is at work ends by those that it began with. For those that
    /// [`Config::taken_up`] lets through: the others count when an agent is opened.
    pub fn take_up(&self, config: Config) {
        if let Ok(recorder) = self.recorder() {
            let limits = journal_limits(&config);
            let mut core = recorder.core();
            core.shared.set_limits(limits);
            core.private.set_limits(limits);
        }
        self.pace.set_budget(config.pacing.budget);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.folder.layout().root()
    }

    /// What opening had to repair.
    pub fn repairs(&self) -> &[Repair] {
        &self.repairs
    }

    /// When to sync.
    pub fn schedule(&self) -> Schedule {
        self.config().schedule
    }

    /// The pause of the schedule, and the bytes that were spent.
    pub fn pace(&self) -> &PaceKeeper {
        &self.pace
    }

    /// What bears on the schedule now.
    pub fn surroundings(&self) -> Surroundings {
        let surroundings = self.pace.surroundings();
        self.queue_days.pass(surroundings.local_ms);
        surroundings
    }

    /// How deep the queue was on each of the last days.
    pub fn queue_days(&self) -> Days {
        self.see_queue();
        self.queue_days.days()
    }

    /// Takes in how deep the queue is. To be called when that may have changed.
    pub fn see_queue(&self) {
        let Ok(recorder) = self.recorder() else { return };
        let edits = {
            let core = recorder.core();
            core.shared.durable().sequence.0.saturating_sub(core.local.received().0)
        };
        self.queue_days.see(edits, self.pace.surroundings().local_ms);
    }

    /// The journals and the records.
    ///
    /// # Errors
    /// `not_enrolled` before the first enrolment.
    pub fn recorder(&self) -> Result<&Recorder<SledStorage>, AgentError> {
        self.recorder.as_ref().ok_or_else(not_enrolled)
    }

    /// Key and identity of this device.
    pub fn device(&self) -> MutexGuard<'_, Device> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This site's id.
    ///
    /// # Errors
    /// `not_enrolled` before the first enrolment.
    pub fn site(&self) -> Result<SiteId, AgentError> {
        Ok(self.device().enrolment()?.site)
    }

    /// Runs one session; waits for one that is running.
    ///
    /// # Errors
    /// [`AgentError`] if the device fails; `hardware_changed` if it is not the one that was enrolled. A session that central or the
    /// link ends is told in the report.
    pub fn run_session(&self, progress: &mut dyn FnMut(&Summary)) -> Result<Report, AgentError> {
        self.run_session_within(false, progress)
    }

    /// The same, and where it `is_budgeted` it ends with [`BYTES_USED_UP`] once the bytes of the day or the month are used up.
    ///
    /// # Errors
    /// As [`Agent::run_session`].
    pub fn run_session_within(
        &self,
        is_budgeted: bool,
        progress: &mut dyn FnMut(&Summary),
    ) -> Result<Report, AgentError> {
        let recorder = self.recorder()?;
        self.check_hardware()?;
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let enrolment = self.device().enrolment()?.clone();
        self.connect(&mut line, &enrolment)?;
        let Line { transport: Some(transport), codec, learnt, .. } = &mut *line else {
            unreachable!("it was made just now")
        };
        let parties =
            Parties { site: enrolment.site, central: enrolment.central_key, generation: enrolment.generation };
        let question = self.question_of_proof(recorder, &parties)?;
        let meter = transport.meter();
        let proving = ProvingFirst { transport, question };
        let mut way = WithinBudget { link: proving, pace: &self.pace, meter: &meter, is_budgeted };
        let result = SyncRunner {
            recorder,
            codec,
            signer: &self.signer,
            verifier: &Ed25519Verifier,
            tokens: &mut DeviceTokens(self),
            parties,
            salt: crate::entropy::bytes(),
            acknowledged_tail_bytes_max: self.config().limits.acknowledged_tail_bytes_max,
        }
        .run(&mut way, learnt, &|| clock::wall_now().0, &mut |summary| {
            self.pace.count(meter.take());
            progress(summary);
        });
        self.pace.count(meter.take());
        self.pace.session_ended();
        let whole = result.as_ref().ok().filter(|report| report.failure.is_none());
        *self.read_through.lock().unwrap_or_else(PoisonError::into_inner) = whole.and_then(|report| report.through);
        self.see_queue();
        result
    }

    /// Makes the way to central, if there is none yet or it was made by other settings.
    fn connect(&self, line: &mut Line, enrolment: &Enrolment) -> Result<(), AgentError> {
        let config = self.config();
        let is_current = line.made_by.as_ref().is_some_and(|made_by| Arc::ptr_eq(made_by, &config));
        if line.transport.is_none() || !is_current {
            let url = config.central_url.clone().unwrap_or_else(|| enrolment.central_url.clone());
            let made = line.transport.insert(Transport::new(&config, url)?);
            *self.interrupter.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.interrupter());
            line.made_by = Some(config);
        }
        Ok(())
    }

    /// A question that only central can answer, if something else answered last time.
    fn question_of_proof(
        &self,
        recorder: &Recorder<SledStorage>,
        parties: &Parties,
    ) -> Result<Option<(Vec<u8>, Binding)>, AgentError> {
        let last = recorder.core().local.sync_times()?.failure;
        if last.is_none_or(|(code, _)| code != NOT_CENTRAL) {
            return Ok(None);
        }
        let journal = self.device().identity().journal;
        let head = check::head(parties.site, journal, parties.generation, crate::entropy::bytes());
        Ok(Some(check::ask(&head, parties.central, &self.signer)))
    }

    /// Notes what was found damaged, so that the next opening looks for it and mends it: opening checks no more than it must.
    /// Whether there is something that an opening mends.
    pub fn note_damage(&self, error: &AgentError) -> bool {
        let journal = self.recorder.as_ref().map(|recorder| recorder.core().shared.identity().journal);
        let suspicion = Suspicion::of(error, journal);
        if suspicion == Suspicion::default() {
            return false;
        }
        if let Err(problem) = suspicion.write(&self.folder.layout().suspicion()) {
            log::error!("what was found damaged cannot be noted message={problem}");
        }
        self.is_to_reopen.store(true, Ordering::SeqCst);
        self.bell.ring();
        true
    }

    /// Asks everything that waits to end, and breaks off an exchange that is running: what central has received stays received.
    pub fn begin_stopping(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.stop.wake();
        self.bell.ring();
        if let Some(interrupter) = self.interrupter.lock().unwrap_or_else(PoisonError::into_inner).take() {
            interrupter.interrupt();
        }
    }

    /// Whether somebody has asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    /// Counts a request that waits; how many waited before it.
    pub(crate) fn add_waiting(&self) -> usize {
        self.waiting.fetch_add(1, Ordering::SeqCst)
    }

    /// It waits no more.
    pub(crate) fn remove_waiting(&self) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    /// Looks again and again, whenever the records or the queue may have changed, until there is something; `None` at the deadline, or
    /// if the agent is about to end or to open its folder again: as long as somebody waits, it cannot.
    ///
    /// # Errors
    /// Those of `look`.
    pub fn wait_for<T>(
        &self,
        deadline: MonotonicMs,
        mut look: impl FnMut() -> Result<Option<T>, AgentError>,
    ) -> Result<Option<T>, AgentError> {
        let before_reopening = clock::monotonic_now().plus(REOPENING_WAIT_MS_MAX);
        loop {
            let rung = self.bell.rung();
            let found = look()?;
            let is_to_reopen = self.is_to_reopen.load(Ordering::SeqCst);
            let until = if is_to_reopen { deadline.min(before_reopening) } else { deadline };
            if found.is_some() || self.is_stopping() || self.bell.wait_past(rung, until) == Woken::Deadline {
                return Ok(found);
            }
        }
    }

    /// Waits; false if it is time to stop instead.
    pub fn wait(&self, wait_ms: u64) -> bool {
        let deadline = clock::monotonic_now().plus(wait_ms);
        while !self.is_stopping() {
            if self.stop.wait_until(Some(deadline)) == Woken::Deadline {
                return true;
            }
        }
        false
    }
}

/// Opens what lies in the folder and mends it.
fn open_folder(
    config: &Config,
    layout: &Layout,
    device: &mut Device,
    site: SiteId,
    catalogue: &Arc<Catalogue>,
    repairs: &mut Vec<Repair>,
) -> Result<Recorder<SledStorage>, AgentError> {
    let limits = journal_limits(config);
    let known = repairs.len();
    let mut places = opening::FolderPlaces { layout, device, site, catalogue, aside: None };
    let opened = open_recorder(&mut places, site, catalogue, limits, repairs);
    // What was mended stays mended and is not found again, whether or not the rest opens.
    for repair in repairs.iter().skip(known) {
        log::warn!("{repair}");
    }
    opened
}

fn journal_limits(config: &Config) -> JournalLimits {
    JournalLimits {
        journal_bytes_max: config.limits.journal_bytes_max,
        disk_reserve_bytes: config.limits.disk_reserve_bytes,
        ..JournalLimits::default()
    }
}

/// The token's place is beside the key.
struct DeviceTokens<'a>(&'a Agent);

impl TokenStore for DeviceTokens<'_> {
    fn token(&self) -> Token {
        self.0.device().token()
    }

    fn store_token(&mut self, token: Token) -> Result<(), AgentError> {
        Ok(self.0.device().keep_token(token)?)
    }

    fn note_control(&mut self, control: ControlNumber) -> Result<(), AgentError> {
        Ok(self.0.device().keep_control(control)?)
    }
}

fn not_enrolled() -> AgentError {
    AgentError::new(
        "not_enrolled",
        "this data folder belongs to no site yet",
        "Run `outpost enrol` with the site's name and password first.",
        Exit::Config,
    )
}

fn no_central() -> AgentError {
    AgentError::new(
        "no_central_url",
        "no central server is set",
        "Set url under [central] in the settings file, or give --central URL.",
        Exit::Config,
    )
}
