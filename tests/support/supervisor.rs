//! What starts services on a device: runit for real, and a socket that hears what systemd would hear.

use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::agent::Agent;
use super::{DEADLINE, success, wait_until};

/// Set where these programs have to be: then a missing one is a failure and no reason to pass over a test.
const REQUIRED_VARIABLE: &str = "CI_REQUIRES_SUPERVISORS";

/// Whether programs are there that a test cannot do without. Says loudly if not.
#[expect(clippy::print_stderr, reason = "what was not run has to be seen")]
pub fn are_there(programs: &[&str]) -> bool {
    let is_absent = |program: &&&str| {
        let found = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        found.is_err()
    };
    let Some(program) = programs.iter().find(is_absent) else { return true };
    assert!(std::env::var_os(REQUIRED_VARIABLE).is_none(), "{program} has to be there, {REQUIRED_VARIABLE} says so");
    eprintln!("NOT RUN: there is no program {program} on this machine");
    false
}

/// The name of the user that runs this.
pub fn user() -> String {
    success(&Command::new("id").arg("-un").output().unwrap()).trim().to_owned()
}

/// A socket such as a supervisor listens on.
pub struct Notified {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Notified {
    /// Listens at a path.
    pub fn at(path: &Path) -> Self {
        Self::on(UnixDatagram::bind(path).unwrap())
    }

    /// Listens under a name without a file.
    pub fn under(name: &str) -> Self {
        let address = <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name).unwrap();
        Self::on(UnixDatagram::bind_addr(&address).unwrap())
    }

    fn on(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Self { socket, heard: Vec::new() }
    }

    /// Waits for a datagram that is meant; all that come before it are kept. The datagram.
    pub fn until(&mut self, what: &str, is_meant: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut bytes = [0; 8192];
        loop {
            if let Ok(count) = self.socket.recv(&mut bytes) {
                let text = String::from_utf8(bytes[..count].to_vec()).unwrap();
                self.heard.push(text.clone());
                if is_meant(&text) {
                    return text;
                }
            }
            assert!(Instant::now() < deadline, "waited in vain until {what}; heard {:?}", self.heard);
        }
    }

    /// What came so far.
    pub fn heard(&self) -> &[String] {
        &self.heard
    }
}

/// A runit of its own, with the agent as its one service.
pub struct Runit {
    root: TempDir,
    supervisor: Child,
}

impl Runit {
    /// Starts runit on an empty folder.
    pub fn start() -> Self {
        let root = TempDir::new().unwrap();
        let services = root.path().join("etc/service");
        std::fs::create_dir_all(&services).unwrap();
        let supervisor = Command::new("runsvdir")
            .arg("-P")
            .arg(&services)
            .env("LOG_FOLDER", root.path().join("log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { root, supervisor }
    }

    /// What `outpost service` says to a verb for this runit.
    pub fn service(&self, agent: &Agent, verb: &str, more: &[&str]) -> Value {
        let root = self.root.path().to_str().unwrap();
        agent.json(&[&["service", verb, "--manager", "runit", "--root", root], more].concat())
    }

    /// Says a word to runit about the service, such as `hup` or `1`.
    pub fn say(&self, word: &str) {
        success(&Command::new("sv").arg(word).arg(self.link()).output().unwrap());
    }

    /// The log of the service, with its times.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.root.path().join("log/current")).unwrap_or_default()
    }

    /// A path below the root.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn link(&self) -> PathBuf {
        self.root.path().join("etc/service/outpost")
    }
}

impl Drop for Runit {
    fn drop(&mut self) {
        let link = self.link();
        if link.exists() {
            let _ = Command::new("sv").args(["-w", "20", "force-shutdown"]).arg(&link).output();
        }
        // SIGHUP has it end what it started; then it ends itself.
        let id = self.supervisor.id().to_string();
        let _ = Command::new("kill").args(["-s", "HUP", &id]).output();
        if !std::thread::panicking() {
            wait_until("runit ends", || self.supervisor.try_wait().unwrap().is_some());
        }
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}
