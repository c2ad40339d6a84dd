//! One device: the real agent on a fake disk. What survives a power cut lies in [`Device`], what does not in [`Live`].

use std::path::PathBuf;
use std::sync::Arc;

use codec::{Ed25519Signer, Ed25519Verifier, ZstdCodec};
use domain::catalogue::Catalogue;
use outpost::agent::{Places, Repair, Suspicion, give_up_journal, open_recorder};
use outpost::clock::MonotonicMs;
use outpost::error::AgentError;
use outpost::exit::Exit;
use outpost::journal::JournalLimits;
use outpost::journal::fake_storage::FakeStorage;
use outpost::local_copy::{APPLICATION_ID, Kind, LocalCopy, LocalCopyError, SCHEMA_VERSION};
use outpost::recorder::Recorder;
use outpost::service::plan::Plan;
use outpost::sync_runner::{ExchangeFailure, Learnt, Next, Parties, Report, SyncRunner, TokenStore};
use protocol::ids::{ControlNumber, CredentialGeneration, JournalId, PublicKey, Sequence, SiteId, Token};
use protocol::schedule::Schedule;
use protocol::session::Session;
use sql::{Options, SqliteEngine};

mod beside;

use crate::disk::{Disk, DiskImage};
use crate::random::Random;

/// Name of the local copy on the device's disk.
pub const LOCAL_COPY: &str = "local_copy.sqlite";

/// Whether a device counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It speaks for its site: with its copy, if its disk was copied.
    Active,
    /// Another one took its place, and it still runs: an old tablet in a drawer.
    Retired,
    /// It exists no more.
    Gone,
}

/// A device and its disk.
pub struct Device {
    /// Whether it counts.
    pub role: Role,
    /// Whether it was in a session when another one took its place.
    pub may_drain: bool,
    /// Which time its site was disabled for when its last session began; `None` if it was not, as far as is known.
    pub began_disabled: Option<u64>,
    /// Tells its hardware from that of others; a copy of its disk that runs in a virtual machine has the same.
    pub hardware: u8,
    /// The site that it speaks for.
    pub site: SiteId,
    /// The shared journal's part of the disk.
    pub shared: FakeStorage,
    /// The private journal's part.
    pub private: FakeStorage,
    /// The local copy's part.
    pub disk: Disk,
    /// Small files that are replaced whole.
    pub identity: Identity,
    /// The running agent.
    pub live: Option<Live>,
    /// When it may be started again, in virtual milliseconds.
    pub down_until_ms: u64,
    /// How far its wall clock is off, in milliseconds.
    pub clock_off_ms: i64,
    /// How often it was opened, so that what was meant for an earlier life does not reach a later one.
    pub life: u64,
    /// Sessions that it began.
    sessions: u64,
    salt: [u8; 16],
    /// What was mended since the agent last came up, also when the rest did not open.
    repairs: Vec<Repair>,
    signer: Ed25519Signer,
    settings: Settings,
}

/// A copy of everything on a device's disk: a backup, or the disk of a clone. Who puts one back is an operator of issues to come.
#[derive(Debug, Clone)]
pub struct DeviceImage {
    shared: FakeStorage,
    private: FakeStorage,
    disk: DiskImage,
    identity: Identity,
}

/// What a device keeps in small files.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Seed of its key.
    pub seed: [u8; 32],
    /// The shared journal.
    pub journal: JournalId,
    /// The private one.
    pub private_journal: JournalId,
    /// The last token.
    pub token: Token,
    /// How many it was given.
    pub tokens: u64,
    /// The last control row that the local copy has durably.
    pub control: ControlNumber,
    /// Whether both journals were made.
    pub has_journals: bool,
    /// What was found damaged while the agent ran.
    pub suspicion: Suspicion,
    /// Whether central knows this key.
    pub is_enrolled: bool,
}

impl Identity {
    /// A new device.
    pub fn fresh(random: &mut Random) -> Self {
        Self {
            seed: random.bytes(),
            journal: JournalId(random.bytes()),
            private_journal: JournalId(random.bytes()),
            token: Token::NONE,
            tokens: 0,
            control: ControlNumber(0),
            has_journals: false,
            suspicion: Suspicion::default(),
            is_enrolled: false,
        }
    }
}

/// What does not change while a run lasts.
#[derive(Clone)]
pub struct Settings {
    /// The tables, those that only this device declares among them.
    pub catalogue: Arc<Catalogue>,
    /// Limits of both journals.
    pub limits: JournalLimits,
    /// When it syncs by itself.
    pub schedule: Schedule,
    /// Bytes of the journal that stay although central has them.
    pub acknowledged_tail_bytes_max: u64,
    /// Central's key.
    pub central: PublicKey,
}

/// A running agent.
pub struct Live {
    /// The journals and the local copy.
    pub recorder: Recorder<FakeStorage>,
    /// When the next session comes.
    pub plan: Plan<()>,
    /// The session under way.
    pub session: Option<Underway>,
    learnt: Learnt,
}

/// A session under way.
pub struct Underway {
    /// The machine.
    pub session: Session,
    /// The journal's head when it began.
    pub head: Sequence,
    /// The exchange that it waits for.
    pub connection: u64,
    failure: Option<ExchangeFailure>,
}

/// What a session wants next.
pub enum Step {
    /// More bytes of the reply.
    Waits,
    /// A request goes out.
    Sends(Vec<u8>),
    /// It is over.
    Over(Box<Report>),
}

impl Device {
    /// A device with an empty disk.
    pub fn new(site: SiteId, settings: Settings, random: &mut Random) -> Self {
        let identity = Identity::fresh(random);
        Self {
            role: Role::Active,
            may_drain: false,
            began_disabled: None,
            hardware: 0,
            site,
            shared: FakeStorage::new(),
            private: FakeStorage::new(),
            disk: Disk::new(random.number()),
            signer: Ed25519Signer::from_seed(&identity.seed),
            identity,
            live: None,
            down_until_ms: 0,
            clock_off_ms: 0,
            life: 0,
            sessions: 0,
            salt: [0; 16],
            repairs: Vec::new(),
            settings,
        }
    }

    /// The tables as this device knows them.
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.settings.catalogue
    }

    /// Its key.
    pub fn signer(&self) -> &Ed25519Signer {
        &self.signer
    }

    /// It speaks with another key from now on, as an agent does that is told that central has retired its own.
    pub fn renew_key(&mut self, random: &mut Random) {
        self.identity.seed = random.bytes();
        self.signer = Ed25519Signer::from_seed(&self.identity.seed);
    }

    /// A copy of its disk as it is.
    pub fn image(&self) -> DeviceImage {
        DeviceImage {
            shared: self.shared.copy(),
            private: self.private.copy(),
            disk: self.disk.snapshot(),
            identity: self.identity.clone(),
        }
    }

    /// Its disk is as it was; whatever ran is gone.
    pub fn put_back(&mut self, image: &DeviceImage, random: &mut Random) {
        self.kill(random);
        (self.shared, self.private) = (image.shared.copy(), image.private.copy());
        self.disk.restore(image.disk.clone());
        self.identity = Identity { tokens: self.identity.tokens, ..image.identity.clone() };
        self.signer = Ed25519Signer::from_seed(&self.identity.seed);
        // Handles of the copied disks are as dead as those of the old ones.
        self.shared.restart(random.number());
        self.private.restart(random.number());
    }

    /// Everything on it is gone; a new identity takes its place.
    pub fn wipe(&mut self, random: &mut Random) {
        self.disk.crash();
        self.live = None;
        let fresh = Device::new(self.site, self.settings.clone(), random);
        let (role, hardware, sessions) = (self.role, self.hardware, self.sessions);
        let tokens = self.identity.tokens;
        *self = Self { life: self.life + 1, clock_off_ms: self.clock_off_ms, role, hardware, sessions, ..fresh };
        self.identity.tokens = tokens;
    }

    /// Another device for the same site, with an empty disk and hardware of its own.
    #[must_use]
    pub fn sibling(&self, number: usize, random: &mut Random) -> Device {
        let mut device = Device::new(self.site, self.settings.clone(), random);
        device.hardware = u8::try_from(number).unwrap_or(u8::MAX);
        device.sessions = (number as u64) << 32;
        device
    }

    /// Starts the agent.
    ///
    /// # Errors
    /// What opening says.
    pub fn open(&mut self, now_ms: u64, random: &mut Random) -> Result<Vec<Repair>, AgentError> {
        self.life += 1;
        let (site, limits, catalogue) = (self.site, self.settings.limits, Arc::clone(&self.settings.catalogue));
        let mut repairs = std::mem::take(&mut self.repairs);
        let opened = open_recorder(&mut self.places(random), site, &catalogue, limits, &mut repairs);
        self.repairs = repairs;
        let recorder = opened?;
        let learnt = recorder.core().local.learnt()?;
        let plan = Plan::new(self.settings.schedule, MonotonicMs(now_ms), random.number());
        self.identity.suspicion = Suspicion::default();
        self.live = Some(Live { recorder, plan, session: None, learnt });
        Ok(std::mem::take(&mut self.repairs))
    }

    /// Gives the journal up as an agent does that recovers: another one takes its place, which names it.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn give_up_journal(&mut self, journal: JournalId, random: &mut Random) -> Result<(), AgentError> {
        self.heal();
        let Some(live) = self.live.take() else { return Ok(()) };
        let site = self.site;
        give_up_journal(&mut self.places(random), site, live.recorder, journal)?;
        self.identity.control = ControlNumber(0);
        self.identity.token = Token::NONE;
        Ok(())
    }

    fn places<'a>(&'a mut self, random: &'a mut Random) -> DiskPlaces<'a> {
        DiskPlaces {
            shared: self.shared.clone(),
            private: self.private.clone(),
            disk: self.disk.clone(),
            site: self.site,
            catalogue: &self.settings.catalogue,
            identity: &mut self.identity,
            random,
        }
    }

    /// What was mended and nobody has looked at yet comes again with the next opening.
    pub fn keep_repairs(&mut self, repairs: &[Repair]) {
        self.repairs.extend_from_slice(repairs);
    }

    /// Whether a fault has cut the power.
    pub fn is_off(&self) -> bool {
        self.shared.is_off() || self.private.is_off() || self.disk.is_off()
    }

    /// Power is gone, and comes back with any legal part of what was not synced.
    pub fn cut_power(&mut self, random: &mut Random) {
        // The disk goes first: what the agent would do at its end must not reach it.
        self.shared.cut_power();
        self.private.cut_power();
        self.disk.crash();
        self.live = None;
        self.shared.restart(random.number());
        self.private.restart(random.number());
        self.disk.restart(&mut |below| random.below(below));
    }

    /// The process is gone; what it had written stays.
    pub fn kill(&mut self, random: &mut Random) {
        // What lies in sled's own buffers goes with the process, so for the journals a kill is as a power cut.
        self.shared.cut_power();
        self.private.cut_power();
        self.disk.kill();
        self.live = None;
        self.shared.restart(random.number());
        self.private.restart(random.number());
    }

    /// No fault is left in store.
    pub fn heal(&self) {
        self.shared.clear_faults();
        self.private.clear_faults();
        self.disk.clear_faults();
        self.shared.set_free_bytes(1 << 40);
        self.private.set_free_bytes(1 << 40);
        self.disk.set_free_bytes(None);
    }

    /// Begins a session.
    ///
    /// # Errors
    /// If the device fails.
    pub fn begin_session(&mut self, codec: &mut ZstdCodec, wall_ms: u64) -> Result<Step, AgentError> {
        let head = self.live().recorder.core().shared.durable().sequence;
        let learnt = self.live().learnt;
        // Not drawn: no seed changes its course by it. A disk that is copied does not copy what a session begins with.
        self.sessions += 1;
        self.salt = *b"simulated sessio";
        self.salt.iter_mut().zip(self.sessions.to_le_bytes()).for_each(|(salt, byte)| *salt ^= byte);
        let session = self.with_runner(codec, |runner, _| runner.begin(learnt))?;
        self.live_mut().session = Some(Underway { session, head, connection: 0, failure: None });
        self.go_on(codec, wall_ms)
    }

    /// Bytes of a reply came.
    ///
    /// # Errors
    /// If the device fails.
    pub fn take_reply(&mut self, codec: &mut ZstdCodec, bytes: &[u8], wall_ms: u64) -> Result<Step, AgentError> {
        let Some(mut underway) = self.live_mut().session.take() else { return Ok(Step::Waits) };
        let outcome = self.with_runner(codec, |runner, _| runner.take_reply(&mut underway.session, bytes))?;
        match outcome {
            None => {
                self.live_mut().session = Some(underway);
                Ok(Step::Waits)
            }
            Some(outcome) => self.conclude(codec, outcome, underway.failure, wall_ms),
        }
    }

    /// The reply came to its end, or the exchange failed.
    ///
    /// # Errors
    /// If the device fails.
    pub fn end_exchange(
        &mut self,
        codec: &mut ZstdCodec,
        failure: Option<ExchangeFailure>,
        wall_ms: u64,
    ) -> Result<Step, AgentError> {
        let Some(mut underway) = self.live_mut().session.take() else { return Ok(Step::Waits) };
        self.with_runner(codec, |runner, _| {
            match &failure {
                None => runner.end_reply(&mut underway.session),
                Some(failure) => runner.exchange_failed(&mut underway.session, failure),
            }
            Ok(())
        })?;
        underway.failure = failure;
        self.live_mut().session = Some(underway);
        self.go_on(codec, wall_ms)
    }

    fn go_on(&mut self, codec: &mut ZstdCodec, wall_ms: u64) -> Result<Step, AgentError> {
        let Some(mut underway) = self.live_mut().session.take() else { return Ok(Step::Waits) };
        match self.with_runner(codec, |runner, _| runner.next(&mut underway.session))? {
            Next::Exchange(request) => {
                self.live_mut().session = Some(underway);
                Ok(Step::Sends(request))
            }
            Next::Finished(outcome) => self.conclude(codec, outcome, underway.failure, wall_ms),
        }
    }

    fn conclude(
        &mut self,
        codec: &mut ZstdCodec,
        outcome: protocol::session::Outcome,
        failure: Option<ExchangeFailure>,
        wall_ms: u64,
    ) -> Result<Step, AgentError> {
        let report = self.with_runner(codec, |runner, learnt| runner.conclude(learnt, outcome, failure, wall_ms))?;
        Ok(Step::Over(Box::new(report)))
    }

    fn with_runner<T>(
        &mut self,
        codec: &mut ZstdCodec,
        work: impl FnOnce(&mut SyncRunner<'_, FakeStorage>, &mut Learnt) -> Result<T, AgentError>,
    ) -> Result<T, AgentError> {
        let live = self.live.as_mut().expect("only a running agent has sessions");
        let mut runner = SyncRunner {
            recorder: &live.recorder,
            codec,
            signer: &self.signer,
            verifier: &Ed25519Verifier,
            tokens: &mut self.identity,
            parties: Parties { site: self.site, central: self.settings.central, generation: CredentialGeneration(1) },
            salt: self.salt,
            acknowledged_tail_bytes_max: self.settings.acknowledged_tail_bytes_max,
        };
        work(&mut runner, &mut live.learnt)
    }

    /// The running agent.
    ///
    /// # Panics
    /// If it does not run.
    pub fn live(&self) -> &Live {
        self.live.as_ref().expect("whoever asks has seen that it runs")
    }

    /// As [`Device::live`], to change it.
    ///
    /// # Panics
    /// If it does not run.
    pub fn live_mut(&mut self) -> &mut Live {
        self.live.as_mut().expect("whoever asks has seen that it runs")
    }
}

impl TokenStore for Identity {
    fn token(&self) -> Token {
        self.token
    }

    fn store_token(&mut self, token: Token) -> Result<(), AgentError> {
        // An answer by file that is brought again brings the token that is here.
        self.tokens += u64::from(self.token != token);
        self.token = token;
        Ok(())
    }

    fn note_control(&mut self, control: ControlNumber) -> Result<(), AgentError> {
        self.control = control;
        Ok(())
    }
}

/// The fake disk as the agent's folder.
struct DiskPlaces<'a> {
    shared: FakeStorage,
    private: FakeStorage,
    disk: Disk,
    identity: &'a mut Identity,
    site: SiteId,
    catalogue: &'a Arc<Catalogue>,
    random: &'a mut Random,
}

impl Places for DiskPlaces<'_> {
    type Storage = FakeStorage;

    fn storage(&self, kind: Kind) -> FakeStorage {
        match kind {
            Kind::Shared => self.shared.clone(),
            Kind::Private => self.private.clone(),
        }
    }

    fn open_local_copy(&mut self) -> Result<LocalCopy, LocalCopyError> {
        let options = Options::new(APPLICATION_ID, SCHEMA_VERSION);
        let engine = SqliteEngine::open_on(&self.disk.vfs_name(), LOCAL_COPY, &options)?;
        LocalCopy::new(Box::new(engine), self.site, Arc::clone(self.catalogue))
    }

    fn set_local_copy_aside(&mut self) -> Result<PathBuf, AgentError> {
        let kept_as = format!("{LOCAL_COPY}.damaged-{:08x}", self.random.number() >> 32);
        if self.disk.is_off() {
            return Err(AgentError::new("disk_error", "the power is off", "", Exit::Disk));
        }
        for suffix in ["", "-wal", "-journal"] {
            self.disk.rename(&format!("{LOCAL_COPY}{suffix}"), &format!("{kept_as}{suffix}"));
        }
        Ok(PathBuf::from(kept_as))
    }

    fn journal_id(&self, kind: Kind) -> JournalId {
        match kind {
            Kind::Shared => self.identity.journal,
            Kind::Private => self.identity.private_journal,
        }
    }

    fn replace_journal_id(&mut self, journal: JournalId) -> Result<(), AgentError> {
        self.identity.journal = journal;
        Ok(())
    }

    fn fresh_journal_id(&mut self) -> JournalId {
        JournalId(self.random.bytes())
    }

    fn replace_private_journal_id(&mut self, journal: JournalId) -> Result<(), AgentError> {
        self.identity.private_journal = journal;
        Ok(())
    }

    fn were_journals_made(&self) -> bool {
        self.identity.has_journals
    }

    fn note_journals(&mut self) -> Result<(), AgentError> {
        self.identity.has_journals = true;
        Ok(())
    }

    fn suspicion(&self) -> Suspicion {
        self.identity.suspicion
    }

    fn suspect(&mut self, suspicion: Suspicion) -> Result<(), AgentError> {
        self.identity.suspicion = suspicion;
        Ok(())
    }

    fn control(&self) -> ControlNumber {
        self.identity.control
    }

    fn reset_control(&mut self) -> Result<(), AgentError> {
        self.identity.control = ControlNumber(0);
        Ok(())
    }
}
