//! A real agent: its folder, and its daemon in a process of its own while it runs.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::central::{Central, password};
use super::certificates::authority;
use super::{success, wait_until};

/// Where a device of the tests has the serial number of its chip.
pub const CHIP: &str = "sys/devices/soc0/serial_number";
/// Where it has the one of its board.
pub const BOARD: &str = "sys/class/dmi/id/board_serial";

/// A site's device.
pub struct Agent {
    folder: TempDir,
    daemon: Option<Child>,
}

impl Agent {
    /// A device that reaches central at `url`. Nothing is enrolled yet.
    pub fn new(url: &str) -> Self {
        let agent = Self { folder: TempDir::new().unwrap(), daemon: None };
        // No two devices of the tests are the same, and the machine that they run on has no say.
        let serial = agent.folder.path().file_name().unwrap().to_string_lossy().into_owned();
        agent.set_hardware(CHIP, &format!("chip {serial}"));
        agent.set_hardware(BOARD, &format!("board {serial}"));
        agent.set_url(url);
        agent
    }

    /// A device that is enrolled and has everything that central has for it.
    pub fn initialised(central: &Central, name: &str) -> Self {
        let agent = Self::new(&central.url());
        agent.enrol(central, name);
        agent.ok(&["initialise"]);
        agent
    }

    /// Lets the agent reach central at another address; by TLS it trusts the tests' own authority.
    pub fn set_url(&self, url: &str) {
        let mut more = String::new();
        if url.starts_with("https:") {
            let file = self.file("tests-authority.pem", authority().pem());
            more = format!("ca_file = \"{}\"", file.display());
        }
        self.set_central(url, &more);
    }

    /// Lets the agent reach central at an address, with nothing but these lines below it in `[central]`.
    pub fn set_central(&self, url: &str, more: &str) {
        let settings = format!(
            "data_folder = \"{}\"\nhardware_root = \"{}\"\n[central]\nurl = \"{url}\"\n{more}\n[schedule]\nmanual = true\n\
             backoff_first_s = 1\nbackoff_max_s = 1\n",
            self.data().display(),
            self.folder.path().join("hardware").display()
        );
        std::fs::write(self.settings(), settings).unwrap();
    }

    /// Enrols as a site that [`Central::add_site`] made.
    pub fn enrol(&self, central: &Central, name: &str) {
        let file = self.folder.path().join("password");
        std::fs::write(&file, password(name)).unwrap();
        restrict(&file);
        let arguments = ["enrol", "--central", &self.url(), "--name", name, "--password-file", file.to_str().unwrap()];
        let _ = central;
        self.ok(&arguments);
    }

    /// The file of a serial number.
    pub fn hardware(&self, source: &str) -> PathBuf {
        self.folder.path().join("hardware").join(source)
    }

    /// Gives the device a serial number; an empty one takes it away.
    pub fn set_hardware(&self, source: &str, serial: &str) {
        let path = self.hardware(source);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, serial).unwrap();
    }

    /// Where a verb is to find name and password by itself.
    pub fn configure_password(&self, name: &str, password: &str) {
        let file = self.file("configured-password", password);
        restrict(&file);
        let mut settings = std::fs::read_to_string(self.settings()).unwrap();
        let site = format!("[site]\nname = \"{name}\"\npassword_file = \"{}\"\n", file.display());
        settings.push_str(&site);
        std::fs::write(self.settings(), settings).unwrap();
    }

    fn url(&self) -> String {
        let settings = std::fs::read_to_string(self.settings()).unwrap();
        settings.split("url = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned()
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The settings file.
    pub fn settings(&self) -> PathBuf {
        self.folder.path().join("agent.toml")
    }

    /// A place for a file of the test's own.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The command for a verb.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outpost"));
        command.arg("--config").arg(self.settings()).args(arguments);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("OUTPOST_") {
                command.env_remove(variable);
            }
        }
        command
    }

    /// Runs a verb to its end with some standard input.
    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the agent's program starts");
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(input.as_bytes());
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    }

    /// Runs a verb that must end well.
    pub fn ok(&self, arguments: &[&str]) -> String {
        success(&self.run(arguments, ""))
    }

    /// Runs a verb that must end well and print JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let text = self.ok(&arguments);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?} printed no JSON ({error}): {text}"))
    }

    /// Runs a verb that must fail; its exit status and its error's code.
    pub fn fails(&self, arguments: &[&str], input: &str) -> (i32, String) {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let output = self.run(&arguments, input);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?} should fail: {}", String::from_utf8_lossy(&output.stdout));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // A sync that fails is a result, on standard output; everything else is an error.
        let code = error.lines().chain(text.lines()).rev().find_map(|line| {
            let value: Value = serde_json::from_str(line).ok()?;
            value["error"]["code"].as_str().or(value["failure"]["code"].as_str()).map(str::to_owned)
        });
        (output.status.code().unwrap_or(-1), code.unwrap_or_else(|| panic!("no code on standard error: {error}")))
    }

    /// Syncs until central has judged everything: on a slow machine verdicts come with a later reply.
    pub fn settle(&self) -> Value {
        let first = self.json(&["sync"]);
        let mut unjudged = first["unjudged"].clone();
        wait_until("central has judged everything", || {
            let is_settled = unjudged == 0;
            if !is_settled {
                unjudged = self.json(&["sync"])["unjudged"].clone();
            }
            is_settled
        });
        first
    }

    /// Records lines.
    pub fn record(&self, lines: &str) -> Value {
        let text = success(&self.run(&["record", "--file", "-", "--json"], lines));
        serde_json::from_str(&text).unwrap()
    }

    /// All records of a table, by id.
    pub fn records(&self, table: &str) -> BTreeMap<String, Value> {
        let mut records = BTreeMap::new();
        let mut after = String::new();
        loop {
            let mut arguments = vec!["list", table, "--limit", "1000"];
            if !after.is_empty() {
                arguments.extend(["--after", &after]);
            }
            let page = self.json(&arguments);
            for record in page["records"].as_array().expect("a list of records") {
                records.insert(record["id"].as_str().unwrap().to_owned(), record["data"].clone());
            }
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut after),
                None => return records,
            }
        }
    }

    /// Starts the daemon and waits until it answers.
    pub fn start(&mut self) {
        self.start_with(|_| {});
    }

    /// Starts the daemon with something more to its command, and waits until it answers.
    pub fn start_with(&mut self, prepare: impl FnOnce(&mut Command)) {
        assert!(self.daemon.is_none(), "the daemon runs already");
        let mut command = self.command(&["run"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        prepare(&mut command);
        self.daemon = Some(command.spawn().unwrap());
        self.wait_until_it_answers();
    }

    /// Waits until a daemon answers, whoever started it.
    pub fn wait_until_it_answers(&self) {
        wait_until("the daemon answers", || {
            let output = self.run(&["status", "--json"], "");
            serde_json::from_slice::<Value>(&output.stdout).is_ok_and(|status| status["daemon"] == true)
        });
    }

    /// Sends the daemon a signal.
    pub fn signal(&self, name: &str) {
        let id = self.daemon.as_ref().expect("the daemon runs").id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().unwrap();
        assert!(status.success());
    }

    /// Kills the daemon with -9.
    pub fn kill(&mut self) {
        let mut child = self.daemon.take().expect("the daemon runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits for the daemon's end; its exit status.
    pub fn wait(&mut self) -> i32 {
        let mut child = self.daemon.take().expect("the daemon runs");
        let mut status = None;
        wait_until("the daemon ends", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        status.and_then(|status| status.code()).unwrap_or(-1)
    }

    /// Empties the device; its hardware stays.
    pub fn wipe(&self) {
        std::fs::remove_dir_all(self.data()).unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn restrict(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
