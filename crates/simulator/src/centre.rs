//! Central: the real store and the real exchange machine, with commits that hold the work of several exchanges, on a fake disk.
//!
//! What `sync_api` and `writer` do with threads is done here with a queue: an exchange that asks for a write waits until a
//! commit has returned, and nobody is answered before that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use central::store::{Batch, ReadStore, StartEntropy, Store, StoreError, StoreLimits, answer, sqlite_options};
use codec::{Ed25519Signer, Ed25519Verifier, ZstdCodec};
use domain::catalogue::Catalogue;
use protocol::edge::Signer as _;
use protocol::exchange::{Answer, Ask, Exchange, ReadRows, Standing, Tools};
use protocol::frame::Frame;
use protocol::ids::{Epoch, JournalId, Nonce, SiteId};
use protocol::message::{FramePart, Refusal};
use protocol::verify::{self, Asked};
use protocol::versions::Head;
use sql::SqliteEngine;

use crate::disk::{Disk, DiskImage};
use crate::random::Random;

/// Name of the store on central's disk.
pub const STORE: &str = "central.sqlite";
/// How long an exchange may be silent before another one of its site takes its place, in milliseconds.
const SUPERSEDE_IDLE_MS: u64 = 10_000;

/// Central and its disk.
pub struct Centre {
    /// The disk.
    pub disk: Disk,
    /// The running server.
    pub live: Option<LiveCentre>,
    /// When it may be started again, in virtual milliseconds.
    pub down_until_ms: u64,
    /// How far its wall clock is off, in milliseconds.
    pub clock_off_ms: i64,
    signer: Ed25519Signer,
    catalogue: Arc<Catalogue>,
    limits: StoreLimits,
    pub(crate) judged_groups_max: u64,
}

/// A running server.
pub struct LiveCentre {
    /// The store with the connection that writes.
    pub store: Store,
    pub(crate) reader: ReadStore,
    exchanges: BTreeMap<u64, Flight>,
    jobs: VecDeque<Job>,
    to_judge: BTreeSet<SiteId>,
}

/// One exchange.
struct Flight {
    exchange: Exchange,
    /// Pieces of the request that came while an answer was awaited; `None` is its end.
    inbox: VecDeque<Option<Vec<u8>>>,
    head: Option<Head>,
    journal: Option<JournalId>,
    is_asking: bool,
    has_slot: bool,
    has_sent: bool,
    progress_ms: u64,
}

/// Work for the next commit.
struct Job {
    connection: u64,
    what: Work,
}

pub(crate) enum Work {
    Begin(Head, Standing, Nonce),
    Frame(SiteId, Frame),
    Part(SiteId, FramePart),
    Conclude(Head),
    Rows(SiteId, JournalId, ReadRows),
}

/// What central says on a connection.
#[derive(Debug)]
pub enum Said {
    /// Bytes of the reply.
    Bytes(u64, Vec<u8>),
    /// The reply is complete.
    End(u64),
    /// The request is refused; the bytes are the whole reply if nothing was sent before.
    Refused(u64, Refusal, Vec<u8>),
    /// It failed: the store, or the request broke off.
    Failed(u64),
}

impl Centre {
    /// A central with an empty disk.
    pub fn new(catalogue: Arc<Catalogue>, limits: StoreLimits, judged_groups_max: u64, random: &mut Random) -> Self {
        Self {
            disk: Disk::new(random.number()),
            live: None,
            down_until_ms: 0,
            clock_off_ms: 0,
            signer: Ed25519Signer::from_seed(&random.bytes()),
            catalogue,
            limits,
            judged_groups_max,
        }
    }

    /// Central's key.
    pub fn signer(&self) -> &Ed25519Signer {
        &self.signer
    }

    /// The tables that it knows.
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// Starts the server.
    ///
    /// # Errors
    /// What the store says.
    pub fn open(&mut self, wall_ms: u64, random: &mut Random) -> Result<(), StoreError> {
        let entropy = StartEntropy {
            epoch: Epoch(random.number()),
            journal: JournalId(random.bytes()),
            token_secret: *self.signer.seed(),
        };
        let engine = SqliteEngine::open_on(&self.disk.vfs_name(), STORE, &sqlite_options())?;
        let store = Store::open(Box::new(engine), Arc::clone(&self.catalogue), self.limits, entropy, wall_ms)?;
        let mut reader = self.reader()?;
        let to_judge = reader.reading().sites_judged_at_start()?.into_iter().collect();
        self.live = Some(LiveCentre { store, reader, exchanges: BTreeMap::new(), jobs: VecDeque::new(), to_judge });
        Ok(())
    }

    fn reader(&self) -> Result<ReadStore, StoreError> {
        let engine = SqliteEngine::open_on(&self.disk.vfs_name(), STORE, &sqlite_options().read_only())?;
        ReadStore::open(Box::new(engine), Arc::clone(&self.catalogue))
    }

    /// Power is gone, and comes back with any legal part of what was not synced.
    pub fn cut_power(&mut self, random: &mut Random) {
        self.disk.crash();
        self.live = None;
        self.disk.restart(&mut |below| random.below(below));
    }

    /// The process is gone; what it had written stays.
    pub fn kill(&mut self) {
        self.disk.kill();
        self.live = None;
    }

    /// Central's disk is as it was when the image was taken; whatever ran is gone. An operator of issues to come.
    pub fn put_back(&mut self, image: DiskImage) {
        self.kill();
        self.disk.restore(image);
    }

    /// Answers a question of a device that compares what it has, at once; `None` if central is down or its disk fails.
    pub fn answer_comparison(&mut self, question: &[u8], wall_ms: u64, codec: &mut ZstdCodec) -> Option<Vec<u8>> {
        let live = self.live.as_mut()?;
        let asked = Asked::read(question).ok()?;
        let keys = live.reader.reading().site_keys(asked.site()).ok()?;
        let compared = match asked.open(&keys, self.signer.public_key(), &Ed25519Verifier) {
            Err(refusal) => Err(refusal),
            Ok((question, standing)) => {
                let taken = live.store.batch(wall_ms, |batch| answer(batch.take_question(&question, standing)));
                let who = (question.head.site, question.head.journal);
                match taken.ok()?.ok()? {
                    Err(refusal) => Err(refusal),
                    Ok(()) => answer(live.reader.reading().compare(who, &question.ask, codec)).ok()?,
                }
            }
        };
        Some(asked.answer(&compared.unwrap_or_else(verify::Answer::Refused), &self.signer))
    }

    /// Whether work waits for a commit.
    pub fn has_jobs(&self) -> bool {
        self.live.as_ref().is_some_and(|live| !live.jobs.is_empty())
    }

    /// A site whose entries may lack a verdict.
    pub fn next_to_judge(&mut self) -> Option<SiteId> {
        self.live.as_mut()?.to_judge.pop_first()
    }

    /// Remembers one.
    pub fn judge_later(&mut self, site: SiteId) {
        if let Some(live) = &mut self.live {
            live.to_judge.insert(site);
        }
    }

    /// Bytes of a request come, or its end. The first make the exchange.
    pub fn feed(
        &mut self,
        connection: u64,
        bytes: Option<Vec<u8>>,
        now_ms: u64,
        codec: &mut ZstdCodec,
        random: &mut Random,
    ) -> Vec<Said> {
        let Some(live) = &mut self.live else { return vec![Said::Failed(connection)] };
        let flight = live.exchanges.entry(connection).or_insert_with(|| Flight {
            exchange: Exchange::new(),
            inbox: VecDeque::new(),
            head: None,
            journal: None,
            is_asking: false,
            has_slot: false,
            has_sent: false,
            progress_ms: now_ms,
        });
        flight.progress_ms = now_ms;
        flight.inbox.push_back(bytes);
        self.pump(connection, now_ms, codec, random)
    }

    /// The connection is gone.
    pub fn forget(&mut self, connection: u64) {
        if let Some(live) = &mut self.live {
            live.exchanges.remove(&connection);
        }
    }

    /// Goes on with an exchange until it waits for bytes or for a commit.
    fn pump(&mut self, connection: u64, now_ms: u64, codec: &mut ZstdCodec, random: &mut Random) -> Vec<Said> {
        let mut said = Vec::new();
        loop {
            let Some(live) = &mut self.live else { return said };
            let Some(flight) = live.exchanges.get_mut(&connection) else { return said };
            if let Some(ask) = flight.exchange.ask() {
                if !self.carry_out(connection, ask, now_ms, codec, random, &mut said) {
                    return said;
                }
                continue;
            }
            if flight.is_asking {
                return said;
            }
            let Some(input) = flight.inbox.pop_front() else { return said };
            let mut tools = Tools { codec, signer: &self.signer, verifier: &Ed25519Verifier };
            match input {
                Some(bytes) => flight.exchange.feed(&bytes, &mut tools),
                None => flight.exchange.end_of_request(&mut tools),
            }
        }
    }

    /// Whether the exchange goes on at once.
    fn carry_out(
        &mut self,
        connection: u64,
        ask: Ask,
        now_ms: u64,
        codec: &mut ZstdCodec,
        random: &mut Random,
        said: &mut Vec<Said>,
    ) -> bool {
        let Some(live) = &mut self.live else { return false };
        match ask {
            Ask::FindSite(site) => match live.reader.reading().site_keys(site) {
                Ok(keys) => self.give(connection, Answer::Site(keys), codec),
                Err(_) => return self.fail(connection, said),
            },
            Ask::Begin(head, standing) => {
                if live.is_busy(connection, head.prelude().site, now_ms) {
                    let refusal = Refusal::new("site_busy", "another exchange of the site is in hand");
                    let refusal = Refusal { retry_after_s: Some(1), ..refusal };
                    self.give(connection, Answer::Begun(Err(refusal)), codec);
                    return true;
                }
                let flight = live.exchanges.get_mut(&connection).expect("it asks");
                flight.has_slot = true;
                flight.journal = Some(head.prelude().journal);
                flight.head = Some(head.clone());
                // Not drawn: no seed changes its course by it, and nobody in here guesses.
                let mut nonce = [0; 16];
                nonce[..8].copy_from_slice(&connection.to_le_bytes());
                live.ask_later(connection, Work::Begin(head, standing, Nonce(nonce)));
            }
            Ask::StoreFrame(frame) => {
                let site = live.site_of(connection);
                live.ask_later(connection, Work::Frame(site, frame));
            }
            Ask::StorePart(part) => {
                let site = live.site_of(connection);
                live.ask_later(connection, Work::Part(site, part));
            }
            Ask::Conclude => {
                let flight = live.exchanges.get_mut(&connection).expect("it asks");
                let head = flight.head.take().expect("an exchange begins before it concludes");
                live.ask_later(connection, Work::Conclude(head));
            }
            Ask::ReadRows(read) => {
                let site = live.site_of(connection);
                let journal = live.exchanges.get(&connection).and_then(|flight| flight.journal);
                let journal = journal.expect("an exchange begins before it reads");
                // A read may fall into the middle of a commit: it must not see what is not committed.
                if live.jobs.is_empty() || random.chance(500) {
                    match answer(live.reader.reading().read_rows(site, journal, &read)) {
                        Ok(rows) => self.give(connection, Answer::Rows(rows), codec),
                        Err(_) => return self.fail(connection, said),
                    }
                } else {
                    live.ask_later(connection, Work::Rows(site, journal, read));
                }
            }
            Ask::Send(bytes) => {
                if let Some(flight) = live.exchanges.get_mut(&connection) {
                    flight.has_sent = true;
                    flight.progress_ms = now_ms;
                }
                said.push(Said::Bytes(connection, bytes));
            }
            Ask::Refuse(refusal, bytes) => {
                let has_sent = live.exchanges.remove(&connection).is_some_and(|flight| flight.has_sent);
                said.push(Said::Refused(connection, refusal, if has_sent { Vec::new() } else { bytes }));
                return false;
            }
            Ask::Finished => {
                live.exchanges.remove(&connection);
                said.push(Said::End(connection));
                return false;
            }
        }
        true
    }

    fn give(&mut self, connection: u64, answer: Answer, codec: &mut ZstdCodec) {
        let Some(live) = &mut self.live else { return };
        if let Some(flight) = live.exchanges.get_mut(&connection) {
            flight.is_asking = false;
            let mut tools = Tools { codec, signer: &self.signer, verifier: &Ed25519Verifier };
            flight.exchange.answer(answer, &mut tools);
        }
    }

    fn fail(&mut self, connection: u64, said: &mut Vec<Said>) -> bool {
        self.forget(connection);
        said.push(Said::Failed(connection));
        // What state the connection is in is not known: the next one is new.
        if let Ok(reader) = self.reader()
            && let Some(live) = &mut self.live
        {
            live.reader = reader;
        }
        false
    }

    /// Runs what waits in one commit, and answers when it is durable. Whether the commit went through.
    pub fn commit(
        &mut self,
        now_ms: u64,
        wall_ms: u64,
        codec: &mut ZstdCodec,
        random: &mut Random,
    ) -> (Vec<Said>, bool) {
        let groups_max = self.judged_groups_max;
        let Some(live) = &mut self.live else { return (Vec::new(), true) };
        let count = random.range(1, 8).min(live.jobs.len() as u64);
        let jobs: Vec<Job> = live.jobs.drain(..usize::try_from(count).unwrap_or(0)).collect();
        // Work whose exchange is gone may have been on its way to the disk already.
        let is_wanted = |job: &Job| live.exchanges.contains_key(&job.connection) || random.chance(500);
        let jobs: Vec<Job> = jobs.into_iter().filter(is_wanted).collect();
        let (store, reader) = (&mut live.store, &mut live.reader);
        let mut answers = Vec::with_capacity(jobs.len());
        let committed = store.batch(wall_ms, |batch| {
            for job in &jobs {
                answers.push((job.connection, perform(batch, reader, &job.what, groups_max)));
            }
        });
        let is_committed = committed.is_ok();
        let mut said = Vec::new();
        for (connection, answer) in answers {
            match (is_committed, answer) {
                (true, Ok(answer)) => {
                    self.note_unjudged(connection, &answer);
                    self.give(connection, answer, codec);
                    said.extend(self.pump(connection, now_ms, codec, random));
                }
                (false, _) | (_, Err(_)) => {
                    self.fail(connection, &mut said);
                }
            }
        }
        if !is_committed {
            for job in &jobs {
                self.forget(job.connection);
                if !said.iter().any(|said| matches!(said, Said::Failed(connection) if *connection == job.connection)) {
                    said.push(Said::Failed(job.connection));
                }
            }
        }
        (said, is_committed)
    }

    fn note_unjudged(&mut self, connection: u64, answer: &Answer) {
        if let Answer::Concluded(Ok(conclusion)) = answer
            && (conclusion.reply.judged < conclusion.reply.received || conclusion.reply.has_more_control)
        {
            let flight = self.live.as_ref().and_then(|live| live.exchanges.get(&connection));
            if let Some(site) = flight.and_then(|flight| flight.exchange.site()) {
                self.judge_later(site);
            }
        }
    }
}

impl LiveCentre {
    /// The site of an exchange whose head was right.
    fn site_of(&self, connection: u64) -> SiteId {
        let flight = self.exchanges.get(&connection).expect("it asks");
        flight.exchange.site().expect("the machine asks for the store only when it knows the site")
    }

    fn ask_later(&mut self, connection: u64, what: Work) {
        if let Some(flight) = self.exchanges.get_mut(&connection) {
            flight.is_asking = true;
        }
        self.jobs.push_back(Job { connection, what });
    }

    /// One exchange in flight for a site; a silent one gives way.
    pub(crate) fn is_busy(&mut self, connection: u64, site: SiteId, now_ms: u64) -> bool {
        let other = self
            .exchanges
            .iter()
            .find(|(other, flight)| **other != connection && flight.has_slot && flight.exchange.site() == Some(site));
        let Some((&other, flight)) = other else { return false };
        if now_ms.saturating_sub(flight.progress_ms) < SUPERSEDE_IDLE_MS {
            return true;
        }
        self.exchanges.remove(&other);
        false
    }

    /// Exchanges that are open.
    pub fn connections(&self) -> Vec<u64> {
        self.exchanges.keys().copied().collect()
    }
}

/// One job inside a commit.
pub(crate) fn perform(
    batch: &mut Batch<'_>,
    reader: &mut ReadStore,
    work: &Work,
    groups_max: u64,
) -> Result<Answer, StoreError> {
    Ok(match work {
        Work::Begin(head, standing, nonce) => Answer::Begun(answer(batch.begin(head, *standing, *nonce))?),
        Work::Frame(site, frame) => Answer::Stored(answer(batch.store_frame(*site, frame))?),
        Work::Part(site, part) => Answer::PartStored(answer(batch.store_part(*site, part))?),
        Work::Conclude(head) => {
            let mut groups = 0;
            let mut goes_on = || {
                groups += 1;
                groups < groups_max
            };
            Answer::Concluded(answer(batch.conclude(head, &mut goes_on))?.map(Box::new))
        }
        Work::Rows(site, journal, read) => Answer::Rows(answer(reader.reading().read_rows(*site, *journal, read))?),
    })
}
