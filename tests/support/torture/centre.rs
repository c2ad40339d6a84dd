//! Central under torture: killed while it receives, replies, imports and starts.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::link::{Direction, Watch};
use super::{ANSWER_WITHIN, Outcome, Phase, Programs, Random, finish, until};

/// How long after its last byte a transfer counts as going on.
const MOVED_WITHIN: Duration = Duration::from_millis(20);
/// How long a phase is waited for before the kill comes anyway.
const PHASE_WITHIN: Duration = Duration::from_secs(4);
/// Items that central changes.
const ITEMS: u64 = 40;
/// Items of one import.
const ITEMS_AN_IMPORT: u64 = 15;

/// The central server.
pub struct Centre {
    pub(super) data: PathBuf,
    pub(super) findings: Vec<String>,
    /// For each item the last number that was acknowledged, and the last that was tried.
    pub(super) items: Vec<(u64, u64)>,
    program: PathBuf,
    address: SocketAddr,
    server: Option<Child>,
    number: u64,
    random: Random,
}

impl Centre {
    pub(super) fn make(folder: &Path, programs: &Programs, lines: &str, random: Random) -> Outcome<Self> {
        let data = folder.join("central");
        // The same port in every life, so that the links need not be told.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let items = vec![(0, 0); usize::try_from(ITEMS)?];
        let program = programs.central.clone();
        let centre = Self { data, findings: Vec::new(), items, program, address, server: None, number: 0, random };
        centre.verb(&["init"])?;
        let file = folder.join("lines");
        std::fs::write(&file, lines)?;
        centre.verb(&["import", &file.to_string_lossy()])?;
        Ok(centre)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn verb(&self, arguments: &[&str]) -> Outcome<Value> {
        let text = finish(self.command(arguments))?;
        Ok(text.lines().next_back().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default())
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--json").arg("--data").arg(&self.data);
        command
    }

    fn spawn(&mut self) -> Outcome<()> {
        let log = std::fs::File::options().create(true).append(true).open(self.data.with_file_name("central.log"))?;
        let mut command = Command::new(&self.program);
        command.args(["serve", "--listen", &self.address.to_string(), "--data"]).arg(&self.data);
        self.server = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?);
        Ok(())
    }

    /// Starts the server and waits until it listens.
    pub(super) fn start(&mut self) -> Outcome<()> {
        self.spawn()?;
        let mut ended = None;
        let (address, server) = (self.address, self.server.as_mut().ok_or("it was started")?);
        let is_listening = until(ANSWER_WITHIN, || {
            ended = server.try_wait().ok().flatten();
            ended.is_some() || TcpStream::connect(address).is_ok()
        });
        if is_listening && ended.is_none() {
            return Ok(());
        }
        Err(format!("central does not come up: {ended:?}, see central.log").into())
    }

    pub(super) fn kill(&mut self) -> Outcome<()> {
        if let Some(mut server) = self.server.take() {
            server.kill()?;
            server.wait()?;
        }
        Ok(())
    }

    /// One life: starts, works, imports, and dies in the phase that is wanted, if that can be seen.
    pub(super) fn live_and_die(&mut self, wanted: Phase, links: &[Watch]) -> Outcome<Phase> {
        if wanted == Phase::Start {
            self.spawn()?;
            let end = Instant::now() + Duration::from_micros(self.random.below(30_000));
            while Instant::now() < end && TcpStream::connect(self.address).is_err() {
                std::thread::sleep(Duration::from_micros(500));
            }
            let is_ready = TcpStream::connect(self.address).is_ok();
            self.kill()?;
            return Ok(if is_ready { Phase::Idle } else { Phase::Start });
        }
        self.start()?;
        // The sites need time to get something done, else every kill would hit the beginning of a session.
        let rest = Instant::now() + Duration::from_millis(600 + self.random.below(1500));
        let imports = 1 + self.random.below(3);
        let mut server = self.server.take().ok_or("it was started")?;
        let is_importing = AtomicBool::new(false);
        let hit = std::thread::scope(|scope| {
            let importing = scope.spawn(|| self.import(imports, rest, &is_importing));
            until(rest.saturating_duration_since(Instant::now()), || false);
            let mut hit = Phase::Idle;
            until(PHASE_WITHIN, || {
                let moved = links.iter().find_map(|link| link.moved_within(MOVED_WITHIN));
                hit = match moved {
                    _ if wanted == Phase::Record && is_importing.load(Ordering::SeqCst) => Phase::Record,
                    Some(Direction::Up) => Phase::Push,
                    Some(Direction::Down) => Phase::Pull,
                    None if is_importing.load(Ordering::SeqCst) => Phase::Record,
                    None => Phase::Idle,
                };
                hit == wanted
            });
            server.kill()?;
            server.wait()?;
            importing.join().map_err(|_| "the importing thread failed")??;
            Ok(hit)
        });
        let _ = server.kill();
        hit
    }

    /// Changes items; the last import begins when the kill is near.
    fn import(&mut self, times: u64, rest: Instant, is_importing: &AtomicBool) -> Outcome<()> {
        for time in 0..times {
            if time + 1 == times {
                until(rest.saturating_duration_since(Instant::now()), || false);
            }
            self.number += 1;
            let number = self.number;
            let (mut lines, mut touched) = (String::new(), Vec::new());
            for _ in 0..ITEMS_AN_IMPORT {
                let at = self.random.below(ITEMS);
                let text = self.random.text(300);
                lines += &item(at, number, &text).to_string();
                lines.push('\n');
                touched.push(usize::try_from(at)?);
            }
            let file = self.data.with_file_name("import");
            std::fs::write(&file, lines)?;
            for at in &touched {
                self.items.get_mut(*at).ok_or("an item")?.1 = number;
            }
            is_importing.store(true, Ordering::SeqCst);
            let output = self.command(&["import", &file.to_string_lossy()]).stdin(Stdio::null()).output()?;
            is_importing.store(false, Ordering::SeqCst);
            if output.status.success() {
                for at in &touched {
                    self.items.get_mut(*at).ok_or("an item")?.0 = number;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Centre {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Line of an item as central changes it.
pub(super) fn item(at: u64, number: u64, text: &str) -> Value {
    let id = format!("ITEM-{at}");
    let data = json!({"ID": id, "item_name": format!("{number} {text}"), "code": "9"});
    json!({"table": "item", "op": "upsert", "id": id, "data": data})
}
