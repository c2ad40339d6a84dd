//! Real agents and a real central that are killed with -9 again and again, over links that are cut, while edits are recorded at
//! the sites and imports are made at central. At the end [`history`] judges what central's log of entries holds.

mod aftermath;
mod centre;
mod device;
pub mod history;

use std::error::Error;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;

use super::link;
use centre::Centre;
use device::Device;
use link::{Link, Mood};

/// What went wrong with the rig itself, in a sentence. What the programs did wrong is a finding.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Longest wait for a program that should answer soon.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How much longer a run takes than it should before it ends without what it waits for; the caller sees what was missed.
const PATIENCE: Duration = Duration::from_secs(180);
/// Sites that are tortured.
const SITES: [&str; 2] = ["north", "south"];
/// Claims that a site may make to records of another store.
const CLAIMS_MAX: u64 = 500;

/// The two programs.
pub struct Programs {
    /// `outpost`.
    pub agent: PathBuf,
    /// `outpost-central`.
    pub central: PathBuf,
}

/// What a program was doing when it was killed, as far as can be seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// An edit, at central an import, was asked for and not answered.
    Record,
    /// The last bytes on the link went to central.
    Push,
    /// The last bytes on the link came from central.
    Pull,
    /// The journal's oldest segment was going or had just gone.
    Prune,
    /// The program ran and did not listen yet.
    Start,
    /// Nothing of these.
    Idle,
}

/// All phases with their names, in the order of the table.
pub const PHASES: [(Phase, &str); 6] = [
    (Phase::Record, "record"),
    (Phase::Push, "push"),
    (Phase::Pull, "pull"),
    (Phase::Prune, "prune"),
    (Phase::Start, "start"),
    (Phase::Idle, "none of these"),
];
/// What an agent is killed in.
const OF_AGENTS: [Phase; 5] = [Phase::Record, Phase::Push, Phase::Pull, Phase::Prune, Phase::Start];
/// What central is killed in; its log of entries is pruned by age in days, which no run is long enough for.
const OF_CENTRAL: [Phase; 4] = [Phase::Record, Phase::Push, Phase::Pull, Phase::Start];

/// Kills by phase.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kills([u64; 6]);

impl Kills {
    /// Kills that hit a phase.
    pub fn of(&self, phase: Phase) -> u64 {
        PHASES.iter().zip(self.0).filter(|((named, _), _)| *named == phase).map(|(_, kills)| kills).sum()
    }

    /// All kills.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    fn add(&mut self, phase: Phase) {
        for ((named, _), kills) in PHASES.iter().zip(&mut self.0) {
            *kills += u64::from(*named == phase);
        }
    }

    /// The phase that was hit least, so that each gets its share.
    fn rarest(&self, phases: &[Phase], random: &mut Random) -> Phase {
        let least = phases.iter().map(|phase| self.of(*phase)).min().unwrap_or(0);
        let rare: Vec<Phase> = phases.iter().copied().filter(|phase| self.of(*phase) <= least + 1).collect();
        let at = usize::try_from(random.below(rare.len() as u64)).unwrap_or(0);
        rare.get(at).copied().unwrap_or(Phase::Idle)
    }
}

/// What a run showed.
#[derive(Debug, Default)]
pub struct Figures {
    /// Kills of agents.
    pub agent: Kills,
    /// Kills of central.
    pub central: Kills,
    /// Edits that were acknowledged.
    pub acknowledged: u64,
    /// Edits whose answer was lost and that are there.
    pub unheard: u64,
    /// Edits whose answer was lost and that are not there.
    pub gone_unheard: u64,
    /// Edits that central refused, as it had to.
    pub refused: u64,
    /// Entries in central's log.
    pub entries: u64,
    /// Hashes that were compared with those in the agents' journals.
    pub hashes: u64,
    /// Each thing that was wrong, in a sentence.
    pub findings: Vec<String>,
}

impl Figures {
    /// The phases that an agent or central should have been killed in and was not.
    pub fn missed(&self) -> Vec<String> {
        let name = |phase| PHASES.iter().find(|(named, _)| *named == phase).map_or("", |(_, name)| *name);
        let missed = |kills: &Kills, phases: &[Phase], who: &str| -> Vec<String> {
            let phases = phases.iter().filter(|phase| kills.of(**phase) == 0);
            phases.map(|phase| format!("{who} was never killed in: {}", name(*phase))).collect()
        };
        [missed(&self.agent, &OF_AGENTS, "an agent"), missed(&self.central, &OF_CENTRAL, "central")].concat()
    }

    /// A table of kills by phase and what was compared, for people.
    pub fn table(&self) -> String {
        let mut text = format!("{:<14}{:>8}{:>9}\n", "killed in", "agents", "central");
        for (phase, name) in PHASES {
            let _ = writeln!(text, "{name:<14}{:>8}{:>9}", self.agent.of(phase), self.central.of(phase));
        }
        let _ = writeln!(text, "{:<14}{:>8}{:>9}", "in all", self.agent.total(), self.central.total());
        let _ = writeln!(
            text,
            "{} edits acknowledged; of those with a lost answer {} are there and {} are not; {} refused as planted;\n\
             {} entries in central's log, {} hashes compared with the journals",
            self.acknowledged, self.unheard, self.gone_unheard, self.refused, self.entries, self.hashes
        );
        text
    }
}

/// When a run is over.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// At least so many kills, of agents and central together.
    pub kills_min: u64,
    /// At least so long.
    pub lasts: Duration,
}

/// Tortures in `folder`, which is left as it is at the end.
pub fn run(
    folder: &Path,
    programs: &Programs,
    seed: u64,
    extent: Extent,
    tell: &(dyn Fn(&str) + Sync),
) -> Outcome<Figures> {
    let mut random = Random::new(seed);
    std::fs::write(folder.join("password"), "a-password-for-the-rig")?;
    std::fs::set_permissions(folder.join("password"), std::fs::Permissions::from_mode(0o600))?;
    let mut centre = Centre::make(folder, programs, &first_lines(), random.child())?;
    let password = folder.join("password").to_string_lossy().into_owned();
    for site in SITES {
        centre.verb(&["site", "add", site, "--store", &store_of(site), "--password-file", &password])?;
    }
    centre.start()?;
    let mut devices = Vec::new();
    for site in SITES {
        let link = Link::to(centre.address(), Mood::Good);
        devices.push(Device::make(folder, programs, (site, &store_of(site), CLAIMS_MAX), link, random.child())?);
    }
    centre.kill()?;
    let figures = Mutex::new(Figures::default());
    let began = Instant::now();
    let is_over = || {
        let figures = lock(&figures);
        // A site whose daemon does not come up would fill the page with the same finding.
        !figures.findings.is_empty()
            || (began.elapsed() >= extent.lasts
                && figures.agent.total() + figures.central.total() >= extent.kills_min
                && figures.missed().is_empty())
            || began.elapsed() > extent.lasts * 2 + PATIENCE
    };
    let links: Vec<_> = devices.iter().map(|device| device.link.watch()).collect();
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for device in &mut devices {
            let (figures, is_over, mut random) = (&figures, &is_over, random.child());
            threads.push(scope.spawn(move || -> Outcome<()> {
                while !is_over() {
                    let wanted = lock(figures).agent.rarest(&OF_AGENTS, &mut random);
                    let hit = device.live_and_die(wanted)?;
                    let mut figures = lock(figures);
                    figures.agent.add(hit);
                    figures.findings.append(&mut device.findings);
                    tell(&format!(
                        "{:>4} kills: {} in {hit:?}",
                        figures.agent.total() + figures.central.total(),
                        device.name
                    ));
                }
                Ok(())
            }));
        }
        let (figures, is_over, centre, links, mut random) = (&figures, &is_over, &mut centre, &links, random.child());
        threads.push(scope.spawn(move || {
            while !is_over() {
                let wanted = lock(figures).central.rarest(&OF_CENTRAL, &mut random);
                let hit = centre.live_and_die(wanted, links)?;
                let mut figures = lock(figures);
                figures.central.add(hit);
                tell(&format!("{:>4} kills: central in {hit:?}", figures.agent.total() + figures.central.total()));
            }
            Ok(())
        }));
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread of the rig failed")?)
    })?;
    let mut figures = figures.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    tell("the kills are over; draining and judging");
    aftermath::judge(&mut centre, &mut devices, &mut figures)?;
    Ok(figures)
}

fn lock(figures: &Mutex<Figures>) -> std::sync::MutexGuard<'_, Figures> {
    figures.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn store_of(site: &str) -> String {
    format!("STORE-{site}")
}

/// Stores, items, and the records of a store that is active nowhere, which the sites will claim.
fn first_lines() -> String {
    let mut lines = String::new();
    let mut add = |table: &str, id: &str, data: serde_json::Value| {
        lines += &json!({"table": table, "op": "upsert", "id": id, "data": data}).to_string();
        lines.push('\n');
    };
    for site in SITES.into_iter().chain(["elsewhere"]) {
        let (name, store) = (format!("NAME-{site}"), store_of(site));
        add("name", &name, json!({"ID": name, "name": site, "code": site, "type": "store"}));
        add("store", &store, json!({"ID": store, "name_ID": name, "code": site, "store_mode": "store"}));
    }
    for site in SITES {
        for number in 0..CLAIMS_MAX {
            let id = device::claimed_id(site, number);
            add("item_line", &id, json!({"ID": id, "store_ID": store_of("elsewhere"), "quantity": 1}));
        }
    }
    lines
}

/// Repeatable numbers from a seed; not for secrets.
pub struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn child(&mut self) -> Self {
        Self::new(self.below(u64::MAX))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// Letters that do not pack well, so that much goes over the link.
    fn text(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b'a' + u8::try_from(self.below(26)).unwrap_or(0))).collect()
    }
}

/// Waits until something holds, or for so long; whether it held.
fn until(within: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_micros(300));
    }
}

/// Runs a command to its end; its standard output, or an error with what it complained of.
fn finish(mut command: Command) -> Outcome<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let said = String::from_utf8_lossy(&output.stdout);
    Err(format!("{command:?}: {}: {} {}", output.status, said.trim(), complaint.trim()).into())
}
