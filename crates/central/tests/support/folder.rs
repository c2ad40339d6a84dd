//! A data folder, verbs on it, and a server process for it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::wait::wait_for;

/// Password of every site.
pub(crate) const PASSWORD: &str = "correct horse";

/// Settings that make tests quick.
const QUICK: &str = "[passwords]\nmemory_kib = 64\nrounds = 1\n";

/// A data folder that goes with the test.
pub(crate) struct Folder {
    temporary: TempDir,
}

impl Folder {
    /// Made by `init`, with cheap passwords and more settings if given.
    pub(crate) fn new(settings: &str) -> Self {
        let folder = Self { temporary: tempfile::tempdir().unwrap() };
        assert_ok(&folder.run(&["init"], ""));
        std::fs::write(folder.path().join("central.toml"), format!("{QUICK}{settings}")).unwrap();
        std::fs::write(folder.password_file(), format!("{PASSWORD}\n")).unwrap();
        folder
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.temporary.path().join("central")
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.temporary.path().join("server.log")).unwrap()
    }

    pub(crate) fn password_file(&self) -> PathBuf {
        self.temporary.path().join("password")
    }

    /// Runs a command with some standard input.
    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writing = std::thread::spawn(move || {
            // A command that does not read is free to end.
            let _ = stdin.write_all(input.as_bytes());
        });
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap();
        output
    }

    /// Runs a verb that must succeed and gives its JSON.
    pub(crate) fn json(&self, arguments: &[&str], input: &str) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat(), input);
        assert_ok(&output);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs a verb that must fail; gives its exit code and error code.
    /// What a verb prints for people.
    #[track_caller]
    pub(crate) fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments, "");
        assert_ok(&output);
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn failure(&self, arguments: &[&str], input: &str) -> (i32, String) {
        let output = self.run(&[arguments, &["--json"]].concat(), input);
        let error: Value = serde_json::from_slice(&output.stderr).unwrap_or_else(|_| panic!("no error: {output:?}"));
        (output.status.code().unwrap(), error["error"]["code"].as_str().unwrap().to_owned())
    }

    /// Adds a site with the usual password; gives its id.
    pub(crate) fn add_site(&self, name: &str, more: &[&str]) -> u32 {
        let file = self.password_file();
        let arguments = [&["site", "add", name, "--password-file", file.to_str().unwrap()], more].concat();
        u32::try_from(self.json(&arguments, "")["id"].as_u64().unwrap()).unwrap()
    }

    /// A copy of a stopped central's folder, as from its backup.
    pub(crate) fn copied(&self) -> Self {
        let copy = Self { temporary: tempfile::tempdir().unwrap() };
        let output = Command::new("cp").arg("-a").args([self.path(), copy.path()]).output().unwrap();
        assert_ok(&output);
        copy
    }

    /// Starts a server on a free port.
    pub(crate) fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    /// Starts a server that listens at an address.
    pub(crate) fn serve_at(&self, listen: &str) -> Server {
        self.started(&["serve", "--listen", listen])
    }

    /// The same as [`Folder::serve`] with more arguments.
    pub(crate) fn serve_with(&self, more: &[&str]) -> Server {
        self.started(&[&["serve", "--listen", "127.0.0.1:0"], more].concat())
    }

    /// Starts a server with an admin API, and gives the address of that too.
    pub(crate) fn serve_api(&self) -> (Server, SocketAddr) {
        let (server, lines) = self.started_with(&["serve", "--listen", "127.0.0.1:0"], 2);
        let address = lines[1].strip_prefix("admin API on http").and_then(|rest| rest.strip_suffix("/admin/v0"));
        let address = address.and_then(|rest| rest.split_once("://")).map(|(_, address)| address);
        let address = address.unwrap_or_else(|| panic!("no address: {lines:?}")).parse().unwrap();
        (server, address)
    }

    fn started(&self, arguments: &[&str]) -> Server {
        self.started_with(arguments, 1).0
    }

    fn started_with(&self, arguments: &[&str], lines: usize) -> (Server, Vec<String>) {
        let log = std::fs::File::create(self.temporary.path().join("server.log")).unwrap();
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines: Vec<String> = output.take(lines).map(Result::unwrap).collect();
        let line = lines.first().cloned().unwrap_or_default();
        let address = line.trim().strip_prefix("listening on http").and_then(|rest| rest.split_once("://"));
        let address = address.map(|(_, address)| address.parse());
        let Some(Ok(address)) = address else {
            panic!("the server did not start: {line:?}\n{}", self.log());
        };
        (Server { child, address }, lines)
    }

    /// What servers of this folder have logged.
    pub(crate) fn server_log(&self) -> String {
        std::fs::read_to_string(self.temporary.path().join("server.log")).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outpost-central"));
        command.args(arguments).arg("--data").arg(self.path()).env("OUTPOST_CENTRAL_LOG", "info");
        command
    }
}

/// A running server; killed with the test.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn kill_now(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end; gives the exit code.
    pub(crate) fn ended(mut self) -> Option<i32> {
        wait_for("the server's end", || self.child.try_wait().unwrap()).code()
    }

    pub(crate) fn stop(self) {
        self.terminate();
        assert_eq!(self.ended(), Some(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
pub(crate) fn assert_ok(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}
