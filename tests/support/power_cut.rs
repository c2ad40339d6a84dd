//! A power cut, simulated, for the programs of the agent and of central while the agent records.
//!
//! Both data folders lie on an ext4 file system (`disk`) on a loop device whose image is a file on another ext4 file system of
//! the rig's own (`ground`). At the cut the ground is frozen: from that moment no block can be written to the image, whatever
//! the programs or the kernel still try, and what was not written lives in memory alone. Then both are killed and the image
//! is copied; the copy is the disk as it comes back: its journal is replayed when it is mounted, and both open on it.
//! What this cannot show is a drive that loses its own write cache.
#![expect(clippy::disallowed_methods, reason = "the rig waits for other processes, of which nothing tells")]

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// What went wrong with the rig itself, in a sentence. What the agent did wrong is a finding.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Size of the disk that the agent has; it keeps 64 MiB of it free.
const DISK_SIZE: &str = "256M";
/// Size of the file system that holds the disk's image.
const GROUND_SIZE: &str = "400M";
/// Longest wait for a program that should answer at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Longest time from the first acknowledged edit to the cut, in microseconds.
const CUT_WITHIN_US: u64 = 400_000;
/// A library that makes every sync a lie, for the control.
const NO_SYNC: &str = "int fsync(int f){(void)f;return 0;} int fdatasync(int f){(void)f;return 0;} void sync(void){}
int syncfs(int f){(void)f;return 0;} int sync_file_range(int f,long a,long b,unsigned c){(void)f;(void)a;(void)b;(void)c;return 0;}";

/// The two programs.
pub struct Programs {
    /// `outpost`.
    pub agent: PathBuf,
    /// `outpost-central`.
    pub central: PathBuf,
}

/// What the cycles showed.
#[derive(Debug, Default)]
pub struct Figures {
    /// Power cuts.
    pub cycles: u64,
    /// Edits that were acknowledged before a cut, those of groups too.
    pub edits: u64,
    /// Groups among them, of several edits each.
    pub groups: u64,
    /// Edits whose acknowledgement the cut swallowed, and that were there afterwards.
    pub unheard: u64,
    /// Each thing that was wrong after a cut, in a sentence.
    pub findings: Vec<String>,
}

/// Two nested file systems on loop devices; gone when dropped.
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    /// Makes both. Fails where that is not possible: no root, no loop devices, no e2fsprogs.
    pub fn make() -> Outcome<Self> {
        let disk = Self { folder: TempDir::new()? };
        let (ground, image) = (disk.path("ground"), disk.path("ground/image"));
        for folder in ["ground", "disk"] {
            std::fs::create_dir(disk.folder.path().join(folder))?;
        }
        let whole = "lazy_itable_init=0,lazy_journal_init=0";
        finish("truncate", &["-s", GROUND_SIZE, &disk.path("ground.image")])?;
        finish("mkfs.ext4", &["-q", "-F", "-m", "0", "-E", whole, &disk.path("ground.image")])?;
        finish("mount", &["-o", "loop", &disk.path("ground.image"), &ground])?;
        finish("truncate", &["-s", DISK_SIZE, &image])?;
        finish("mkfs.ext4", &["-q", "-F", "-m", "0", "-E", whole, &image])?;
        disk.mount()?;
        finish("fsfreeze", &["-f", &ground])?;
        finish("fsfreeze", &["-u", &ground])?;
        Ok(disk)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn mount(&self) -> Outcome<()> {
        finish("mount", &["-o", "loop", &self.path("ground/image"), &self.path("disk")]).map(drop)
    }

    /// Cuts the power under two programs, and mounts what the disk held at that moment.
    fn cut(&self, daemon: &mut Child, central: &mut Child) -> Outcome<()> {
        let (ground, image, copy) = (self.path("ground"), self.path("ground/image"), self.path("copy"));
        let frozen = finish("fsfreeze", &["-f", &ground]);
        let killed = daemon.kill().and_then(|()| central.kill());
        // The comparison proves that the copy is of one moment: nothing was written meanwhile.
        let copied = finish("cp", &["--sparse=auto", &image, &copy]).and_then(|_| finish("cmp", &[&image, &copy]));
        // Whatever failed, a frozen disk or a living daemon would keep the other thread waiting for ever.
        let thawed = finish("fsfreeze", &["-u", &ground]);
        daemon.wait()?;
        central.wait()?;
        killed?;
        for step in [frozen, copied, thawed] {
            step?;
        }
        finish("umount", &[&self.path("disk")])?;
        // A new file: a mount namespace of another program may still hold the old disk, which then writes to the old one.
        finish("cp", &["--remove-destination", "--sparse=auto", &copy, &image])?;
        self.mount()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let [ground, disk] = ["ground", "disk"].map(|name| self.path(name));
        // Lazily, for the same reason: the devices go as soon as nobody holds them.
        for (program, arguments) in
            [("fsfreeze", vec!["-u", &ground]), ("umount", vec!["-l", &disk]), ("umount", vec!["-l", &ground])]
        {
            let _ = finish(program, &arguments);
        }
    }
}

/// Cuts the power again and again. With `without_syncs` the daemon's syncs do nothing, as a control: then there must be findings,
/// and the first cycle that has some is the last.
pub fn run(
    disk: &Disk,
    programs: &Programs,
    cycles: u64,
    without_syncs: bool,
    tell: &mut dyn FnMut(&str),
) -> Outcome<Figures> {
    let mut site = Site::make(disk, programs)?;
    if without_syncs {
        site.preload = Some(no_sync_library(disk)?);
    }
    let mut figures = Figures::default();
    let (mut next, mut random) = (0, 0x9E37_79B9_7F4A_7C15_u64);
    let mut kept = BTreeSet::new();
    while figures.cycles < cycles && figures.findings.is_empty() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut daemon = site.start()?;
        let (heard, acknowledgements) = channel();
        let socket = site.data.join("agent.sock");
        let begun = next;
        // In every second cycle the cut falls into a session: what central has by then, the disk must have too.
        if figures.cycles % 2 == 1 {
            finish("kill", &["-s", "USR1", &daemon.id().to_string()])?;
        }
        let sent = std::thread::scope(|scope| {
            let recorder = scope.spawn(|| record_until_gone(&socket, &mut next, &heard));
            wait_a_while(&acknowledgements, random % CUT_WITHIN_US);
            let cut = disk.cut(&mut daemon, &mut site.central);
            let sent = recorder.join().map_err(|_| "the recording thread failed")?;
            cut.map(|()| sent)
        })?;
        site.serve()?;
        figures.cycles += 1;
        let before = figures.edits;
        site.check(&sent, &mut kept, &mut figures)?;
        tell(&format!(
            "cut {}: {} edits tried, {} acknowledged, {} findings",
            figures.cycles,
            next - begun,
            figures.edits - before,
            figures.findings.len()
        ));
    }
    Ok(figures)
}

/// One request: an edit alone, or some as a group.
struct Sent {
    numbers: std::ops::Range<u64>,
    is_acknowledged: bool,
}

/// Central and the device, both on the disk that loses power.
struct Site<'a> {
    programs: &'a Programs,
    central_data: String,
    central: Child,
    settings: String,
    data: PathBuf,
    preload: Option<PathBuf>,
}

impl<'a> Site<'a> {
    fn make(disk: &Disk, programs: &'a Programs) -> Outcome<Self> {
        let [central_data, lines, password, settings] =
            ["disk/central", "lines", "password", "agent.toml"].map(|name| disk.path(name));
        let edit = |table: &str, id: &str, data: Value| json!({"table": table, "op": "upsert", "id": id, "data": data});
        let name = edit("name", "N1", json!({"ID": "N1", "name": "Clinic", "code": "N", "type": "store"}));
        let store = edit("store", "S1", json!({"ID": "S1", "name_ID": "N1", "code": "S", "store_mode": "store"}));
        std::fs::write(&lines, format!("{name}\n{store}\n"))?;
        std::fs::write(&password, "a-password-for-the-rig")?;
        std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600))?;
        let program = &programs.central;
        finish(program, &["init", "--data", &central_data])?;
        finish(program, &["import", &lines, "--data", &central_data])?;
        let add = ["site", "add", "north", "--store", "S1", "--password-file", &password, "--data", &central_data];
        finish(program, &add)?;
        let data = PathBuf::from(disk.path("disk/data"));
        let central = serve(program, &central_data)?;
        let site = Self { programs, central_data, central: central.0, settings, data, preload: None };
        site.write_settings(&central.1)?;
        site.agent(&["enrol", "--name", "north", "--password-file", &password])?;
        site.agent(&["initialise"])?;
        Ok(site)
    }

    /// Starts central anew, wherever it listens then.
    fn serve(&mut self) -> Outcome<()> {
        let (central, url) = serve(&self.programs.central, &self.central_data)?;
        self.central = central;
        self.write_settings(&url)
    }

    fn write_settings(&self, url: &str) -> Outcome<()> {
        let folder = self.data.display();
        let text = format!("data_folder = \"{folder}\"\n[central]\nurl = \"{url}\"\n[schedule]\nmanual = true\n");
        Ok(std::fs::write(&self.settings, text)?)
    }

    /// How far central has received the device's journal, as each of the two says.
    fn received(&self) -> Outcome<(u64, u64)> {
        let here: Value = serde_json::from_str(&self.agent(&["status"])?)?;
        let there = finish(&self.programs.central, &["site", "show", "north", "--json", "--data", &self.central_data])?;
        let there: Value = serde_json::from_str(&there)?;
        let number = |value: &Value| value["received"].as_u64().ok_or("no number of received entries");
        Ok((number(&here)?, number(&there)?))
    }

    fn agent(&self, arguments: &[&str]) -> Outcome<String> {
        finish(&self.programs.agent, &[&["--config", &self.settings, "--json"], arguments].concat())
    }

    /// Starts the daemon and waits until it listens.
    fn start(&self) -> Outcome<Child> {
        let mut command = Command::new(&self.programs.agent);
        command.args(["--config", &self.settings, "run"]).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(library) = &self.preload {
            command.env("LD_PRELOAD", library);
        }
        let mut daemon = command.spawn()?;
        let deadline = Instant::now() + ANSWER_WITHIN;
        while UnixStream::connect(self.data.join("agent.sock")).is_err() {
            if Instant::now() > deadline || daemon.try_wait()?.is_some() {
                let _ = daemon.kill();
                daemon.wait()?;
                return Err("the daemon does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(daemon)
    }

    /// All stock lines: here with a verb of the agent, there with one of central.
    fn stock(&self, at_central: bool) -> Outcome<std::collections::BTreeMap<String, Value>> {
        let mut records = std::collections::BTreeMap::new();
        let mut after = String::new();
        loop {
            let mut arguments = vec![if at_central { "records" } else { "list" }, "item_line", "--limit", "1000"];
            if !after.is_empty() {
                arguments.extend(["--after", &after]);
            }
            let text = if at_central {
                arguments.extend(["--json", "--data", &self.central_data]);
                finish(&self.programs.central, &arguments)?
            } else {
                self.agent(&arguments)?
            };
            let page: Value = serde_json::from_str(&text)?;
            for record in page["records"].as_array().ok_or("no list of records")? {
                records.insert(record["id"].as_str().unwrap_or_default().to_owned(), record["data"].clone());
            }
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut after),
                None => return Ok(records),
            }
        }
    }

    /// Opens the agent on what the cut left and compares it with what had been acknowledged; then with central, after a sync.
    fn check(&self, sent: &[Sent], kept: &mut BTreeSet<u64>, figures: &mut Figures) -> Outcome<()> {
        for request in sent.iter().filter(|request| request.is_acknowledged) {
            figures.edits += request.numbers.end - request.numbers.start;
            figures.groups += u64::from(request.numbers.end - request.numbers.start > 1);
        }
        let here = match self.agent(&["status"]).and_then(|_| self.stock(false)) {
            Ok(here) => here,
            Err(error) => {
                figures.findings.push(format!("the agent does not open: {error}"));
                return Ok(());
            }
        };
        let findings = &mut figures.findings;
        for Sent { numbers, is_acknowledged } in sent {
            let there: Vec<u64> = numbers.clone().filter(|number| here.contains_key(&id(*number))).collect();
            let is_whole = there.len() as u64 == numbers.end - numbers.start;
            if *is_acknowledged && !is_whole {
                findings.push(format!("acknowledged edits {numbers:?}: only {there:?} are there"));
            } else if !is_whole && !there.is_empty() {
                findings.push(format!("a group is torn: of edits {numbers:?} only {there:?} are there"));
            }
            figures.unheard += if *is_acknowledged { 0 } else { there.len() as u64 };
            kept.extend(there);
        }
        let lost = kept.iter().filter(|number| here.get(&id(**number)) != Some(&stock_line(**number)));
        findings.extend(lost.map(|number| format!("edit {number} is not there as it was recorded")));
        if here.len() != kept.len() {
            findings.push(format!("{} records are there, {} were recorded", here.len(), kept.len()));
        }
        // What the device was told to be received it would never send again once it has let go of it.
        let (heard, received) = self.received()?;
        if heard > received {
            findings.push(format!("central said that it has {heard} entries, and has {received}"));
        }
        if let Err(error) = self.agent(&["sync"]) {
            findings.push(format!("the sync after it failed: {error}"));
        } else if self.stock(true)? != here {
            findings.push("central and the device differ".to_owned());
        }
        Ok(())
    }
}

impl Drop for Site<'_> {
    fn drop(&mut self) {
        let _ = self.central.kill();
        let _ = self.central.wait();
    }
}

fn id(number: u64) -> String {
    format!("CUT-{number:07}")
}

/// Most are short, some fill several pieces of the journal, a few are of the size that begins new segments soon.
fn stock_line(number: u64) -> Value {
    let length = [40, 40, 40, 1_500, 40, 5_000, 40, 40, 40, 40, 60_000][usize::try_from(number % 11).unwrap_or(0)];
    let note: String = (0..length).map(|at| char::from(b'a' + ((number * 7 + at * at) % 26) as u8)).collect();
    json!({"ID": id(number), "store_ID": "S1", "quantity": number, "note": note})
}

/// Records one request after the other through the daemon's socket until the daemon is gone; every fifth is a group.
fn record_until_gone(socket: &Path, next: &mut u64, heard: &Sender<()>) -> Vec<Sent> {
    let mut sent = Vec::new();
    loop {
        let numbers = *next..*next + if sent.len() % 5 == 4 { 6 } else { 1 };
        *next = numbers.end;
        let lines = numbers.clone().map(|number| {
            json!({"table": "item_line", "op": "upsert", "id": id(number), "data": stock_line(number)}).to_string()
                + "\n"
        });
        let body: String = lines.collect();
        let is_acknowledged = post(socket, &body).is_ok_and(|reply| {
            let expected = format!("\"recorded\":{}", numbers.end - numbers.start);
            reply.lines().any(|line| line.contains("\"result\"") && line.contains(&expected))
        });
        sent.push(Sent { numbers, is_acknowledged });
        if !is_acknowledged || heard.send(()).is_err() {
            return sent;
        }
    }
}

fn post(socket: &Path, body: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    let options = "Outpost-Options: {\"group\":true}";
    let head =
        format!("POST /v0/record HTTP/1.1\r\nHost: agent\r\n{options}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes())?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}

/// Waits for the first acknowledgement and then for a while, which no acknowledgement ends.
fn wait_a_while(acknowledgements: &Receiver<()>, while_us: u64) {
    let _ = acknowledgements.recv_timeout(ANSWER_WITHIN);
    std::thread::sleep(Duration::from_micros(while_us));
}

fn no_sync_library(disk: &Disk) -> Outcome<PathBuf> {
    let [source, library] = ["no_sync.c", "no_sync.so"].map(|name| disk.path(name));
    std::fs::write(&source, NO_SYNC)?;
    finish("cc", &["-shared", "-fPIC", "-fno-builtin", "-o", &library, &source])?;
    Ok(PathBuf::from(library))
}

/// Starts central; the process and its address.
fn serve(program: &Path, data: &str) -> Outcome<(Child, String)> {
    let mut serve = Command::new(program);
    serve.args(["serve", "--listen", "127.0.0.1:0", "--data", data]);
    let mut central = serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let address = first_line(&mut central)?;
    let url = address.split_whitespace().last().ok_or("central did not say where it listens")?;
    Ok((central, url.to_owned()))
}

fn first_line(child: &mut Child) -> Outcome<String> {
    let output = child.stdout.take().ok_or("its output is not piped")?;
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line)?;
    Ok(line)
}

/// Runs a program to its end; its standard output, or an error with what it complained of.
fn finish(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Outcome<String> {
    let mut command = Command::new(program);
    let output =
        command.args(arguments).stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}: {}", output.status, complaint.trim()).into())
}
