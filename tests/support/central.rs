//! A real central server in a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::certificates::{Certificate, authority};
use super::{central_program, success};

/// A central server: its folder, and its process while it runs.
pub struct Central {
    folder: TempDir,
    server: Option<(Child, SocketAddr)>,
    is_encrypted: bool,
}

impl Central {
    /// As [`Central::with_data`], and by TLS with a certificate of the tests' own authority, which agents trust.
    pub fn by_tls(lines: &str) -> Self {
        Self::encrypted(lines, &authority().certify(&["127.0.0.1"]))
    }

    /// As [`Central::with_data`], and by TLS.
    pub fn encrypted(lines: &str, certificate: &Certificate) -> Self {
        let mut central = Self { folder: TempDir::new().unwrap(), server: None, is_encrypted: true };
        success(&central.run(&["init"], ""));
        success(&central.run(&["import", "-"], lines));
        let folder = central.folder();
        std::fs::write(folder.join("certificate.pem"), &certificate.pem).unwrap();
        std::fs::write(folder.join("key.pem"), &certificate.key_pem).unwrap();
        let settings = "[tls]\ncertificate_file = \"certificate.pem\"\nkey_file = \"key.pem\"\n";
        std::fs::write(folder.join("central.toml"), settings).unwrap();
        central.start();
        central
    }

    /// Makes a central server with the given data and starts it.
    pub fn with_data(lines: &str) -> Self {
        let mut central = Self { folder: TempDir::new().unwrap(), server: None, is_encrypted: false };
        success(&central.run(&["init"], ""));
        success(&central.run(&["import", "-"], lines));
        central.start();
        central
    }

    /// A copy of this stopped central's folder, served as such.
    pub fn copied_as_copy(&self) -> Self {
        let mut copy = Self { folder: TempDir::new().unwrap(), server: None, is_encrypted: self.is_encrypted };
        success(&Command::new("cp").arg("-a").args([self.folder(), copy.folder()]).output().unwrap());
        copy.serve(&["--as-copy"]);
        copy
    }

    /// Starts the server on a free port, or on the one it had.
    pub fn start(&mut self) {
        self.serve(&[]);
    }

    fn serve(&mut self, more: &[&str]) {
        assert!(self.server.is_none(), "central runs already");
        let mut child = self
            .command(&[&["serve", "--listen", "127.0.0.1:0"], more].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("central starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit("://").next().and_then(|text| text.parse().ok());
        let address = address.unwrap_or_else(|| panic!("central says where it listens: {line:?}"));
        self.server = Some((child, address));
    }

    /// Kills the server with -9.
    pub fn kill(&mut self) {
        let (mut child, _) = self.server.take().expect("central runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.server.as_ref().expect("central runs").1
    }

    /// Where the server listens, for an agent's settings.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.is_encrypted { "https" } else { "http" }, self.address())
    }

    /// Runs a verb with some standard input.
    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("central's program starts");
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(input.as_bytes());
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    }

    /// Runs a verb that must end well and print JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let text = success(&self.run(&arguments, ""));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?} printed no JSON ({error}): {text}"))
    }

    /// Imports lines.
    pub fn import(&self, lines: &str) {
        success(&self.run(&["import", "-"], lines));
    }

    /// Adds a site that holds some stores; its password is its name backwards.
    pub fn add_site(&self, name: &str, stores: &[&str]) {
        let password_file = self.password_file(name);
        let mut arguments = vec!["site", "add", name, "--password-file", password_file.to_str().unwrap()];
        for store in stores {
            arguments.extend(["--store", store]);
        }
        success(&self.run(&arguments, ""));
    }

    /// A file with a site's password.
    pub fn password_file(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{name}.password"));
        std::fs::write(&path, password(name)).unwrap();
        path
    }

    /// All records of a table, by id.
    pub fn records(&self, table: &str) -> std::collections::BTreeMap<String, Value> {
        let mut records = std::collections::BTreeMap::new();
        let mut after = String::new();
        loop {
            let mut arguments = vec!["records", table, "--limit", "1000"];
            if !after.is_empty() {
                arguments.extend(["--after", &after]);
            }
            let page = self.json(&arguments);
            let listed = page["records"].as_array().expect("a list of records");
            for record in listed {
                records.insert(record["id"].as_str().unwrap().to_owned(), record["data"].clone());
            }
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut after),
                None => return records,
            }
        }
    }

    /// Its data folder.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("central")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(central_program());
        command.args(arguments).arg("--data").arg(self.folder());
        command
    }
}

impl Drop for Central {
    fn drop(&mut self) {
        if let Some((mut child, _)) = self.server.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A site's password: its name backwards, long enough to be one.
pub fn password(name: &str) -> String {
    let backwards: String = name.chars().rev().collect();
    format!("{backwards}-secret-0")
}
