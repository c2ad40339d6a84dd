//! A site under torture: a daemon that is killed again and again while somebody records through its socket.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::history::{Answer, Edit, Sent};
use super::link::{Direction, Link, Mood, Watch};
use super::{ANSWER_WITHIN, Outcome, Phase, Programs, Random, finish, until};

/// How long after its last byte a transfer counts as going on.
const MOVED_WITHIN: Duration = Duration::from_millis(20);
/// How long a phase is waited for before the kill comes anyway: a link that was cut does not come up before the next life.
const PHASE_WITHIN: Duration = Duration::from_secs(3);
/// The same for pruning, before which several segments have to be recorded and sent.
const PRUNE_WITHIN: Duration = Duration::from_secs(10);
/// Requests of one life of the daemon that are recorded where the kill is not to hit recording.
const REQUESTS_A_LIFE: u64 = 6;
/// Requests of six large edits that fill more than two segments of the journal.
const REQUESTS_OF_SEGMENTS: u64 = 16;
/// Bytes of a large edit's note.
const LARGE_BYTES: usize = 60_000;
/// Every so many edits one claims a record that another store has: central has to refuse it.
const PLANTED_EVERY: u64 = 23;

/// One site's device.
pub struct Device {
    pub(super) name: String,
    pub(super) store: String,
    pub(super) data: PathBuf,
    pub(super) link: Link,
    pub(super) sent: Vec<Sent>,
    pub(super) findings: Vec<String>,
    program: PathBuf,
    settings: PathBuf,
    next: u64,
    claimed: u64,
    claims_max: u64,
    /// Records that are there and may be changed or deleted.
    records: Vec<String>,
    /// The body whose answer was lost.
    unheard: Option<String>,
    random: Random,
}

impl Device {
    /// Enrols and initialises a device in `folder` that reaches central through a link of its own.
    pub(super) fn make(
        folder: &Path,
        programs: &Programs,
        site: (&str, &str, u64),
        link: Link,
        random: Random,
    ) -> Outcome<Self> {
        let (name, store, claims_max) = site;
        let home = folder.join(name);
        std::fs::create_dir(&home)?;
        let (data, settings) = (home.join("data"), home.join("agent.toml"));
        let text = format!(
            "data_folder = \"{}\"\n[central]\nurl = \"{}\"\n[schedule]\ninterval_s = 1\nbackoff_first_s = 1\n\
             backoff_max_s = 1\n[limits]\nacknowledged_tail_bytes_max = 5000000\n[timeouts]\nread_idle_ms = 10000\n",
            data.display(),
            link.url()
        );
        std::fs::write(&settings, text)?;
        let device = Self {
            name: name.to_owned(),
            store: store.to_owned(),
            data,
            link,
            sent: Vec::new(),
            findings: Vec::new(),
            program: programs.agent.clone(),
            settings,
            next: 0,
            claimed: 0,
            claims_max,
            records: Vec::new(),
            unheard: None,
            random,
        };
        let password = folder.join("password").to_string_lossy().into_owned();
        device.verb(&["enrol", "--name", name, "--password-file", &password])?;
        device.verb(&["initialise"])?;
        Ok(device)
    }

    /// Runs a verb that has to end well.
    pub(super) fn verb(&self, arguments: &[&str]) -> Outcome<Value> {
        let text = finish(self.command(arguments))?;
        Ok(text.lines().next_back().map(serde_json::from_str).transpose()?.unwrap_or_default())
    }

    /// A verb's command, with JSON as its answer.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(&self.settings).arg("--json").args(arguments);
        command
    }

    /// One life of the daemon: starts it, lets it work, waits for the phase that is wanted and kills it. What it hit, as far as
    /// can be seen from outside.
    pub(super) fn live_and_die(&mut self, wanted: Phase) -> Outcome<Phase> {
        let mood = if wanted != Phase::Prune && self.random.below(3) == 0 {
            Mood::CutAfter(200 + self.random.below(30_000))
        } else {
            Mood::Good
        };
        self.link.set(mood);
        let log_path = self.settings.with_file_name("agent.log");
        let mut log = std::fs::File::options().create(true).append(true).read(true).open(&log_path)?;
        let said_before = log.metadata()?.len();
        let mut command = self.command(&["run"]);
        let mut daemon = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.try_clone()?).spawn()?;
        let socket = self.data.join("agent.sock");
        let hit = if wanted == Phase::Start {
            self.starting(&mut daemon, &socket)
        } else {
            self.working(&mut daemon, &socket, wanted)
        };
        let _ = daemon.kill();
        daemon.wait()?;
        self.link.set(Mood::Good);
        let mut said = String::new();
        log.seek(SeekFrom::Start(said_before))?;
        log.read_to_string(&mut said)?;
        // A kill takes nothing from the disk: whatever was synced or not, no file can be damaged by it.
        let damage = said.lines().filter(|line| line.contains("damaged"));
        self.findings.extend(damage.map(|line| format!("{}: a kill damaged something: {line}", self.name)));
        hit
    }

    fn starting(&mut self, daemon: &mut Child, socket: &Path) -> Outcome<Phase> {
        let end = Instant::now() + Duration::from_micros(self.random.below(30_000));
        while Instant::now() < end {
            if UnixStream::connect(socket).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        let is_ready = UnixStream::connect(socket).is_ok();
        daemon.kill()?;
        Ok(if is_ready { Phase::Idle } else { Phase::Start })
    }

    fn working(&mut self, daemon: &mut Child, socket: &Path, wanted: Phase) -> Outcome<Phase> {
        let mut ended = None;
        let is_listening = until(ANSWER_WITHIN, || {
            ended = daemon.try_wait().ok().flatten();
            ended.is_some() || UnixStream::connect(socket).is_ok()
        });
        if !is_listening || ended.is_some() {
            let name = &self.name;
            self.findings.push(format!("{name}: the daemon does not come up after a kill: {ended:?}, see agent.log"));
            return Ok(Phase::Idle);
        }
        let progress = Progress::default();
        let quota = match wanted {
            Phase::Record => u64::MAX,
            Phase::Prune => REQUESTS_OF_SEGMENTS,
            Phase::Push | Phase::Pull | Phase::Start | Phase::Idle => REQUESTS_A_LIFE,
        };
        let (after, bytes) = (1 + self.random.below(8), self.random.below(4000));
        let journal = self.data.join("journal");
        let recorder = Recorder { socket, progress: &progress, quota, is_large: wanted == Phase::Prune };
        let (link, id, device) = (self.link.watch(), daemon.id(), &mut *self);
        let (hit, findings) = std::thread::scope(|scope| {
            let recording = scope.spawn(|| recorder.run(device));
            let hit = wait_for(wanted, &link, &progress, &journal, (after.min(quota), bytes), id);
            let killed = daemon.kill();
            progress.is_over.store(true, Ordering::SeqCst);
            let complaints = recording.join().map_err(|_| "the recording thread failed")?;
            killed?;
            Outcome::Ok((hit, complaints))
        })?;
        self.findings.extend(findings);
        Ok(hit)
    }

    /// The next request: mostly one edit, at times a group; new records, changes, deletions, and now and then a claim to what
    /// is another store's.
    fn compose(&mut self, is_large: bool) -> (Vec<Edit>, Vec<Value>, bool) {
        let mut count = if is_large || self.random.below(4) == 0 { 6 } else { 1 };
        let is_planted = self.next / PLANTED_EVERY > self.claimed && self.claimed < self.claims_max;
        if is_planted {
            count = 1 + self.random.below(2);
        }
        let (mut edits, mut lines) = (Vec::new(), Vec::new());
        for at in 0..count {
            let number = self.next;
            self.next += 1;
            let choice = self.random.below(10);
            let old = (!is_planted && choice < 3 && !self.records.is_empty()).then(|| {
                let at = self.random.below(self.records.len() as u64);
                self.records.swap_remove(usize::try_from(at).unwrap_or(0))
            });
            if let Some(record) = old.as_ref().filter(|_| choice == 0) {
                edits.push(Edit { label: format!("delete {record}"), record: record.clone() });
                lines.push(json!({"table": "item_line", "op": "delete", "id": record}));
                continue;
            }
            let record = match old {
                Some(old) => old,
                None if is_planted && at + 1 == count => claimed_id(&self.name, self.claimed),
                None => format!("{}-{number:07}", self.name),
            };
            let label = format!("<{}:{number:07}>", self.name);
            let length =
                if is_large { LARGE_BYTES } else { [20, 20, 400, 3000][usize::try_from(number % 4).unwrap_or(0)] };
            let note = format!("{label}{}", self.random.text(length));
            let data = json!({"ID": record, "store_ID": self.store, "quantity": number, "note": note});
            lines.push(json!({"table": "item_line", "op": "upsert", "id": record, "data": data}));
            edits.push(Edit { label, record });
        }
        self.claimed += u64::from(is_planted);
        (edits, lines, is_planted)
    }

    /// The last request was answered: what it wrote is there, so that later ones may change it.
    fn heard(&mut self, answer: Answer) {
        let Some(sent) = self.sent.last_mut() else { return };
        sent.answer = answer;
        if !sent.is_planted {
            let written = sent.edits.iter().filter(|edit| !edit.label.starts_with("delete "));
            self.records.extend(written.map(|edit| edit.record.clone()));
        }
    }
}

/// Record of another store that a site claims.
pub(super) fn claimed_id(site: &str, number: u64) -> String {
    format!("CLAIMED-{site}-{number}")
}

/// What the killer sees of the recording.
#[derive(Default)]
struct Progress {
    acknowledged: AtomicU64,
    is_in_flight: AtomicBool,
    is_over: AtomicBool,
}

struct Recorder<'a> {
    socket: &'a Path,
    progress: &'a Progress,
    quota: u64,
    is_large: bool,
}

impl Recorder<'_> {
    /// Records until the daemon is gone or the quota is used up; every second lost answer is asked for again.
    fn run(&self, device: &mut Device) -> Vec<String> {
        let mut findings = Vec::new();
        if let Some(body) = device.unheard.take().filter(|_| device.random.below(2) == 0)
            && !self.ask(device, body, &mut findings)
        {
            return findings;
        }
        for _ in 0..self.quota {
            if self.progress.is_over.load(Ordering::SeqCst) {
                break;
            }
            let (edits, lines, is_planted) = device.compose(self.is_large);
            device.sent.push(Sent { edits, answer: Answer::Lost, is_planted });
            let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
            if !self.ask(device, lines.join("\n") + "\n", &mut findings) {
                break;
            }
        }
        findings
    }

    /// Asks for the last request to be recorded; whether it was.
    fn ask(&self, device: &mut Device, body: String, findings: &mut Vec<String>) -> bool {
        let Some(reply) = self.post(&body, device.sent.len()) else {
            device.unheard = Some(body);
            return false;
        };
        if let Some(answer) = answer_of(&reply) {
            device.heard(answer);
            return true;
        }
        findings.push(format!("{}: a good request was refused: {reply}", device.name));
        false
    }

    /// The whole reply, or nothing if it was cut.
    fn post(&self, body: &str, number: usize) -> Option<String> {
        self.progress.is_in_flight.store(true, Ordering::SeqCst);
        let reply = self
            .try_post(body, number)
            .ok()
            .filter(|reply| reply.contains("\"result\"") || reply.contains("\"error\""));
        self.progress.is_in_flight.store(false, Ordering::SeqCst);
        self.progress.acknowledged.fetch_add(u64::from(reply.is_some()), Ordering::SeqCst);
        reply
    }

    fn try_post(&self, body: &str, number: usize) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(self.socket)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let options = json!({"group": true, "request_id": format!("request {number}")});
        let length = body.len();
        let head = format!(
            "POST /v0/record HTTP/1.1\r\nHost: agent\r\nOutpost-Options: {options}\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all((head + body).as_bytes())?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        Ok(reply)
    }
}

fn answer_of(reply: &str) -> Option<Answer> {
    let line = reply.lines().find(|line| line.contains("\"result\""))?;
    let value: Value = serde_json::from_str(line).ok()?;
    let result = &value["result"];
    match (result["first"].as_u64(), result["last"].as_u64()) {
        (Some(first), Some(last)) => Some(Answer::Recorded(first..=last)),
        _ => (result["already"] == 1).then_some(Answer::Already),
    }
}

/// Waits until what is wanted can be seen, or for long enough; what is seen then.
fn wait_for(
    wanted: Phase,
    link: &Watch,
    progress: &Progress,
    journal: &Path,
    (after, bytes): (u64, u64),
    daemon: u32,
) -> Phase {
    let acknowledged = || progress.acknowledged.load(Ordering::SeqCst);
    let within = if wanted == Phase::Prune { PRUNE_WITHIN } else { PHASE_WITHIN };
    until(within, || acknowledged() >= after);
    let before = link.bytes();
    if wanted != Phase::Record {
        let _ = Command::new("kill").args(["-s", "USR1", &daemon.to_string()]).status();
    }
    let mut oldest = u64::MAX;
    let mut hit = Phase::Idle;
    until(within, || {
        let (first, is_leaving) = oldest_segment(journal);
        let is_pruning = is_leaving || (first > oldest && first < u64::MAX);
        oldest = first;
        let moved = link.moved_within(MOVED_WITHIN);
        let (up, down) = link.bytes();
        hit = match moved {
            _ if is_pruning => Phase::Prune,
            _ if wanted == Phase::Record && progress.is_in_flight.load(Ordering::SeqCst) => Phase::Record,
            Some(Direction::Up) if up > before.0 + if wanted == Phase::Push { bytes } else { 0 } => Phase::Push,
            Some(Direction::Down) if down > before.1 + if wanted == Phase::Pull { bytes / 8 } else { 0 } => Phase::Pull,
            Some(_) | None if progress.is_in_flight.load(Ordering::SeqCst) => Phase::Record,
            Some(_) | None => Phase::Idle,
        };
        hit == wanted
    });
    if hit == Phase::Record {
        // Else the kill always comes before the write, and no answer is ever lost to an edit that is there.
        std::thread::sleep(Duration::from_micros(bytes));
    }
    hit
}

/// First sequence of the journal's oldest segment, and whether an older one is on its way out: `segment-7.new` below all others.
/// What else lies beside the segments comes and goes for other reasons.
fn oldest_segment(journal: &Path) -> (u64, bool) {
    let (mut oldest, mut oldest_leaving) = (u64::MAX, u64::MAX);
    for entry in std::fs::read_dir(journal).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(number) = name.to_str().and_then(|name| name.strip_prefix("segment-")) else { continue };
        if let Ok(number) = number.parse() {
            oldest = oldest.min(number);
        } else if let Some(number) = number.strip_suffix(".new").and_then(|number| number.parse().ok()) {
            oldest_leaving = oldest_leaving.min(number);
        }
    }
    (oldest, oldest_leaving < oldest && oldest < u64::MAX)
}
