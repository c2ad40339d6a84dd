//! Sticks: requests that go by file, and whose answers come back late, twice or never, among ordinary sessions; and exports. The same
//! code as the real programs'; the sealed file around it is not simulated.

use central::store::{StoreError, answer};
use codec::{Ed25519Signer, Ed25519Verifier, ZstdCodec};
use outpost::sync_runner::CARRY_OVERTAKEN;
use protocol::exchange::{Answer, Ask, Exchange, Tools};
use protocol::export::ExportHead;
use protocol::ids::{Hash, JournalId, Nonce, SiteId};
use protocol::message::{self, CHALLENGE, Refusal};
use protocol::versions::Head;

use crate::centre::{Centre, Work, perform};
use crate::device::{Device, Role};
use crate::mix::Fault;
use crate::model::{Violation, violation};
use crate::world::World;

/// Files of each kind that are under way, at most.
const FILES_MAX: usize = 4;

/// What lies on sticks.
#[derive(Debug, Default)]
pub struct Sticks {
    requests: Vec<Carried>,
    answers: Vec<Carried>,
    exports: Vec<(SiteId, Vec<u8>)>,
}

/// A request, or an answer, of a device.
#[derive(Debug, Clone)]
struct Carried {
    device: usize,
    request: Hash,
    bytes: Vec<u8>,
    /// Whether its device was set back since.
    is_gone: bool,
}

impl Sticks {
    /// A device was set back: what it had made before is of a history that is gone, and may come all the same.
    pub(crate) fn note_set_back(&mut self, index: usize) {
        self.requests.iter_mut().filter(|carried| carried.device == index).for_each(|carried| carried.is_gone = true);
    }

    /// Requests of histories that are gone, or of devices that speak for no site, come no more: a central that is set back would know
    /// their tokens again, and whoever restores it sees to that first.
    pub(crate) fn forget_gone(&mut self, speakers: &[usize]) {
        self.requests.retain(|carried| !carried.is_gone && speakers.contains(&carried.device));
    }
}

/// What came of a request by file.
enum Taken {
    /// Its answer.
    Answer(Vec<u8>),
    /// Central writes none: the request is late, the site is busy, or nobody proves to have made it.
    Nothing(String),
}

impl World {
    /// Somebody goes by with a stick.
    pub(crate) fn carry_files(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Carries) {
            return Ok(());
        }
        // A device on which nothing was recorded yet, such as one that was wiped, is what exports are for.
        if self.fresh_device().is_some() && self.random.chance(500) {
            self.bring_export()?;
        }
        for _ in 0..self.random.range(1, 8) {
            match self.random.below(8) {
                0 | 1 => self.make_request()?,
                2..=4 => self.bring_request()?,
                5 | 6 => self.bring_answer()?,
                _ => self.bring_export()?,
            }
        }
        Ok(())
    }

    /// A device that is up, idle, and speaks for its site.
    fn idle_device(&mut self) -> Option<usize> {
        let is_idle = |device: &Device| {
            device.role == Role::Active
                && device.identity.is_enrolled
                && !device.is_off()
                && device.live.as_ref().is_some_and(|live| live.session.is_none())
        };
        let idle: Vec<usize> = (0..)
            .zip(&self.devices)
            .filter(|(index, device)| is_idle(device) && !self.is_asleep(*index))
            .map(|(index, _)| index)
            .collect();
        (!idle.is_empty()).then(|| *self.random.pick(&idle))
    }

    /// An idle device on which nothing was recorded.
    fn fresh_device(&self) -> Option<usize> {
        let is_fresh = |device: &Device| {
            let live = device.live.as_ref().filter(|live| live.session.is_none() && device.identity.is_enrolled);
            let is_empty = live.is_some_and(|live| live.recorder.core().shared.durable().sequence.0 == 0);
            device.role == Role::Active && !device.is_off() && is_empty
        };
        (0..self.devices.len()).find(|index| self.devices.get(*index).is_some_and(is_fresh) && !self.is_asleep(*index))
    }

    pub(crate) fn make_request(&mut self) -> Result<(), Violation> {
        let Some(index) = self.idle_device() else { return Ok(()) };
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        match device.carry_out(&mut self.codec) {
            Ok(out) => {
                self.check_request(index, &out.request)?;
                self.note(format_args!("device {index} carries out {} B, {} edits", out.request.len(), out.edits));
                let carried = Carried { device: index, request: out.head, bytes: out.request, is_gone: false };
                keep(&mut self.sticks.requests, carried);
                Ok(())
            }
            Err(error) => self.device_failed(index, &error),
        }
    }

    pub(crate) fn bring_request(&mut self) -> Result<(), Violation> {
        if self.sticks.requests.is_empty() || self.centre.live.is_none() {
            return Ok(());
        }
        let number = self.random.index(self.sticks.requests.len());
        let carried = self.sticks.requests[number].clone();
        // Most are brought once.
        if self.random.chance(700) {
            self.sticks.requests.remove(number);
        }
        let nonce = Nonce(self.random.bytes());
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let taken = self.centre.take_file(&carried.bytes, nonce, (self.now_ms, wall_ms), &mut self.codec);
        match taken {
            Ok(Taken::Answer(bytes)) => {
                self.note(format_args!("central answers a file of device {} with {} B", carried.device, bytes.len()));
                keep(&mut self.sticks.answers, Carried { bytes, ..carried });
                self.after_commit()
            }
            Ok(Taken::Nothing(code)) => {
                self.note(format_args!("central refuses a file of device {}: {code}", carried.device));
                self.after_commit()
            }
            Err(error) => self.central_failed("carry", &error.to_string()),
        }
    }

    fn bring_answer(&mut self) -> Result<(), Violation> {
        if self.sticks.answers.is_empty() {
            return Ok(());
        }
        let number = self.random.index(self.sticks.answers.len());
        let carried = self.sticks.answers[number].clone();
        if self.random.chance(700) {
            self.sticks.answers.remove(number);
        }
        // To its own device, or to another one of the site, or of another site.
        let index = if self.random.chance(900) { Some(carried.device) } else { self.idle_device() };
        let is_idle = |device: &Device| {
            device.role == Role::Active && device.live.as_ref().is_some_and(|live| live.session.is_none())
        };
        let Some(index) = index.filter(|index| self.devices.get(*index).is_some_and(is_idle)) else { return Ok(()) };
        if self.is_asleep(index) {
            return Ok(());
        }
        let before = self.state_of(index);
        let wall_ms = self.device_wall_ms(index);
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        let token = device.identity.token;
        match device.carry_in(&mut self.codec, &carried.bytes, carried.request, wall_ms) {
            Ok(report) => {
                let failure = report.failure.as_ref();
                self.note(format_args!(
                    "device {index} takes an answer: {} stored={} goes_on={}",
                    failure.map_or("whole", |failure| failure.code.as_str()),
                    report.summary.rows_stored,
                    report.goes_on
                ));
                self.note_handed_back(index)?;
                // A central that was set back asks for what it lost, which takes more than one request in a row.
                let is_gap =
                    failure.is_some_and(|failure| failure.code == "gap") && self.mix.has(Fault::CentralSetBack);
                if !is_gap {
                    self.check_failure(index, failure)?;
                }
                if self.devices.get(index).is_none_or(|device| device.live.is_none()) {
                    return Ok(());
                }
                self.check_floor(index)?;
                self.check_headers(index)?;
                self.check_view(index, false)
            }
            Err(error) if error.code == CARRY_OVERTAKEN => {
                self.note(format_args!("device {index} has overtaken an answer: {}", error.message));
                let device = &self.devices[index];
                if device.identity.token != token || before.is_some() && self.state_of(index) != before {
                    return violation("7", format!("device {index} has overtaken an answer, and changed by it"));
                }
                Ok(())
            }
            Err(error) => self.device_failed(index, &error),
        }
    }

    /// What an answer that is overtaken must not change.
    fn state_of(&self, index: usize) -> Option<outpost::local_copy::SessionState> {
        let live = self.devices.get(index)?.live.as_ref()?;
        live.recorder.core().local.session_state().ok()
    }

    fn bring_export(&mut self) -> Result<(), Violation> {
        if self.centre.live.is_some() && self.sticks.exports.len() < FILES_MAX {
            let sites: Vec<SiteId> = self.model.devices.iter().map(|device| device.site).collect();
            let site = *self.random.pick(&sites);
            let wall_ms = self.wall_ms(self.centre.clock_off_ms);
            let id = self.random.bytes();
            match self.centre.export(site, id, wall_ms, &mut self.codec) {
                Ok(bytes) => {
                    self.note(format_args!("site {site} is exported, {} B", bytes.len()));
                    self.sticks.exports.push((site, bytes));
                }
                Err(error) => return self.central_failed("export", &error.to_string()),
            }
        }
        let fresh = self.fresh_device();
        let Some(index) = (if fresh.is_some() { fresh } else { self.idle_device() }) else { return Ok(()) };
        let site = self.devices[index].site;
        // It would tell a device what its copy has done, which no session does: the site stops before that.
        if self.actives(site).len() > 1 {
            return Ok(());
        }
        let Some(number) = self.sticks.exports.iter().position(|(of, _)| *of == site) else { return Ok(()) };
        let bytes = self.sticks.exports[number].1.clone();
        if self.random.chance(600) {
            self.sticks.exports.remove(number);
        }
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        match device.import(&mut self.codec, &bytes) {
            Ok(imported) => {
                self.note(format_args!(
                    "device {index} imports {} rows and passes over {}",
                    imported.stored, imported.passed_over
                ));
                if !imported.is_complete {
                    return violation("10", format!("an export of site {site} is not complete"));
                }
                // One that was set back has what central made of edits that it does not know any more to have recorded.
                if self.forks.contains_key(&site) {
                    self.model.device(index).is_complete = false;
                }
                self.check_headers(index)?;
                self.check_view(index, false)
            }
            Err(error) if error.code == "import_not_now" => {
                self.note(format_args!("device {index} does not import: {}", error.message));
                Ok(())
            }
            Err(error) => self.device_failed(index, &error),
        }
    }
}

fn keep(files: &mut Vec<Carried>, file: Carried) {
    if files.len() >= FILES_MAX {
        files.remove(0);
    }
    files.push(file);
}

impl Centre {
    /// Takes a request that came by file, as `operations::files` does.
    fn take_file(
        &mut self,
        request: &[u8],
        nonce: Nonce,
        (now_ms, wall_ms): (u64, u64),
        codec: &mut ZstdCodec,
    ) -> Result<Taken, StoreError> {
        let signer = Ed25519Signer::from_seed(&self.signer().seed());
        let mut exchange = Exchange::carried();
        let mut reply = Vec::new();
        let (mut head, mut journal): (Option<Head>, Option<JournalId>) = (None, None);
        for piece in request.chunks(5_000).map(Some).chain([None]) {
            let mut tools = Tools { codec, signer: &signer, verifier: &Ed25519Verifier };
            match piece {
                Some(piece) => exchange.feed(piece, &mut tools),
                None => exchange.end_of_request(&mut tools),
            }
            while let Some(ask) = exchange.ask() {
                let site = exchange.site();
                let of_site = || site.expect("the machine asks for the store only when it knows the site");
                let work = match ask {
                    Ask::Send(bytes) => {
                        reply.extend_from_slice(&bytes);
                        continue;
                    }
                    Ask::Finished => return Ok(Taken::Answer(reply)),
                    Ask::Refuse(Refusal { code, .. }, bytes) => {
                        let is_told = site.is_some() && code != CHALLENGE && code != "site_busy";
                        reply.extend_from_slice(&bytes);
                        return Ok(if is_told { Taken::Answer(reply) } else { Taken::Nothing(code) });
                    }
                    Ask::FindSite(site) => {
                        let Some(live) = &mut self.live else { return Ok(Taken::Nothing("down".to_owned())) };
                        let keys = live.reader.reading().site_keys(site)?;
                        let mut tools = Tools { codec, signer: &signer, verifier: &Ed25519Verifier };
                        exchange.answer(Answer::Site(keys), &mut tools);
                        continue;
                    }
                    Ask::Begin(begun, standing) => {
                        let Some(live) = &mut self.live else { return Ok(Taken::Nothing("down".to_owned())) };
                        if live.is_busy(0, begun.prelude().site, now_ms) {
                            return Ok(Taken::Nothing("site_busy".to_owned()));
                        }
                        journal = Some(begun.prelude().journal);
                        head = Some(begun.clone());
                        Work::Begin(begun, standing, nonce)
                    }
                    Ask::StoreFrame(frame) => Work::Frame(of_site(), frame),
                    Ask::StorePart(part) => Work::Part(of_site(), part),
                    Ask::Conclude => Work::Conclude(head.take().expect("an exchange begins before it concludes")),
                    Ask::ReadRows(read) => {
                        Work::Rows(of_site(), journal.expect("an exchange begins before it reads"), read)
                    }
                };
                let groups_max = self.judged_groups_max;
                let Some(live) = &mut self.live else { return Ok(Taken::Nothing("down".to_owned())) };
                let (store, reader) = (&mut live.store, &mut live.reader);
                let answer = store.batch(wall_ms, |batch| perform(batch, reader, &work, groups_max))??;
                if let (Answer::Concluded(Ok(_)), Some(site)) = (&answer, site) {
                    self.judge_later(site);
                }
                let mut tools = Tools { codec, signer: &signer, verifier: &Ed25519Verifier };
                exchange.answer(answer, &mut tools);
            }
        }
        Ok(Taken::Nothing("cut".to_owned()))
    }

    /// What a site is to have, from the beginning.
    fn export(
        &mut self,
        site: SiteId,
        id: [u8; 16],
        wall_ms: u64,
        codec: &mut ZstdCodec,
    ) -> Result<Vec<u8>, StoreError> {
        let signer = Ed25519Signer::from_seed(&self.signer().seed());
        let Some(live) = &mut self.live else { return Ok(Vec::new()) };
        let start = live.store.batch(wall_ms, |batch| batch.export_start(site))??;
        let (epoch, position, rows) = (start.epoch, start.position, start.rows);
        let head = ExportHead { version: message::VERSION, site, id, epoch, position, rows };
        let mut tools = Tools { codec, signer: &signer, verifier: &Ed25519Verifier };
        let mut exchange = Exchange::export(&head, start.scopes, &mut tools);
        let mut bytes = Vec::new();
        while let Some(ask) = exchange.ask() {
            match ask {
                Ask::Send(section) => bytes.extend_from_slice(&section),
                Ask::ReadRows(read) => {
                    let rows = answer(live.reader.reading().export_rows(site, &read))?;
                    exchange.answer(Answer::Rows(rows), &mut tools);
                }
                Ask::Refuse(refusal, _) => return Err(StoreError::Refused(refusal)),
                Ask::Finished => break,
                Ask::FindSite(_) | Ask::Begin(..) | Ask::StoreFrame(_) | Ask::StorePart(_) | Ask::Conclude => {
                    unreachable!("an export answers no request")
                }
            }
        }
        Ok(bytes)
    }
}
