//! `bugreport`: what whoever helps wants to know, in one file of text. Nothing of records, nothing secret: the file may be sent by mail.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Home, Screen, config, door};
use crate::clock::wall_now;
use crate::config::Config;
use crate::data_folder::Layout;
use crate::date::date_text;
use crate::durable_file::{FileError, read_small};
use crate::error::AgentError;
use crate::exit::Exit;
use crate::kept_log::last_lines;
use crate::operations::{Input, Request};
use crate::redaction::Secrets;
use crate::{diagnosis, examine};

/// Longest section, in bytes; what is longer is cut, the log at its beginning and everything else at its end.
const SECTION_BYTES_MAX: usize = 128 * 1024;
/// Newest lines of the log that it holds.
const LOG_LINES: usize = 1000;
/// Largest file about the device that is read, in bytes.
const DEVICE_FILE_BYTES_MAX: usize = 16 * 1024;

/// What it says before it writes.
const WHAT_IT_HOLDS: &str = "The report holds: the versions of the agent and of the system; every setting with where it comes from; what `doctor` says; \
     what `verify` says, if no daemon runs; what `status` says, without the names of clients; the last log lines.\n\
     It does not hold: records or edits, passwords, tokens, keys, names in paths of home folders. What looks like a secret is left out.\n\
     It names the site, its stores by their ids, and central's address. Read it before you send it: it is plain text.\n";

/// A part of the report.
struct Section {
    name: &'static str,
    text: String,
}

/// Says what the report holds, gathers it, and writes it to a new file.
pub(super) fn run(file: &Path, config: &Config, home: &dyn Home, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    if file.exists() {
        return Err(exists(file));
    }
    screen.note(WHAT_IT_HOLDS);
    let secrets = Secrets::of_device(config);
    let mut report = String::new();
    let sections = gathered(config, home);
    for section in &sections {
        let is_log = section.name == "log";
        let text = cut(&secrets.redacted(&section.text), is_log);
        let _infallible = write!(report, "== {}\n{text}\n\n", section.name);
    }
    write_new(file, &report)?;
    let names: Vec<&str> = sections.iter().map(|section| section.name).collect();
    let result = json!({ "file": file.display().to_string(), "bytes": report.len(), "sections": names });
    screen.result(&result, |result| format!("wrote {} bytes to {}\n", result["bytes"], file.display()));
    Ok(Exit::Ok)
}

fn gathered(config: &Config, home: &dyn Home) -> Vec<Section> {
    let section = |name, text| Section { name, text };
    // Before anything opens the folder, which mends what it can.
    let verified = verified(config);
    vec![
        section("report", report_facts(config)),
        section("device", device_facts()),
        section("settings", pretty(home.settings_shown().map(|shown| config::to_json(config, &shown)))),
        section("verify", verified),
        section("doctor", pretty(Ok(diagnosis::doctor(config).to_json()))),
        section("status", pretty(status(config, home))),
        section("log", log(config)),
    ]
}

fn report_facts(config: &Config) -> String {
    let file = config.file.as_ref().map_or_else(|| "none".to_owned(), |file| file.display().to_string());
    format!("outpost {}\nwritten at {}\nsettings file {file}", env!("CARGO_PKG_VERSION"), date_text(wall_now().0))
}

/// What the system says of itself; what it does not say is left out.
fn device_facts() -> String {
    let mut text = format!("architecture {}\nsystem {}\n", std::env::consts::ARCH, std::env::consts::OS);
    for (name, path, line) in [
        ("kernel", "/proc/sys/kernel/osrelease", ""),
        ("distribution", "/etc/os-release", "PRETTY_NAME="),
        ("memory", "/proc/meminfo", "MemTotal:"),
        ("up for seconds", "/proc/uptime", ""),
    ] {
        let bytes = read_small(Path::new(path), DEVICE_FILE_BYTES_MAX).unwrap_or_default();
        let content = String::from_utf8_lossy(&bytes);
        if let Some(found) = content.lines().find_map(|it| it.strip_prefix(line)) {
            let _infallible = writeln!(text, "{name} {}", found.trim());
        }
    }
    text
}

fn verified(config: &Config) -> String {
    let verified = config.catalogue().map_err(AgentError::from);
    pretty(verified.and_then(|catalogue| examine::verify(&config.data_folder, &Arc::new(catalogue))))
}

fn status(config: &Config, home: &dyn Home) -> Result<Value, AgentError> {
    let mut status = door::open(config, home)?.perform(Request::Status, &mut Input::empty(), &mut |_| {})?;
    // Somebody may have named a client after a person.
    if let Some(clients) = status.get_mut("clients") {
        *clients = json!(clients.as_array().map(Vec::len));
    }
    Ok(status)
}

fn log(config: &Config) -> String {
    match last_lines(&Layout::of(&config.data_folder), LOG_LINES) {
        Ok(lines) if lines.is_empty() => "no daemon has kept one".to_owned(),
        Ok(lines) => lines.join("\n"),
        Err(error) => format!("it cannot be read: {error}"),
    }
}

/// An answer, or the error in its place: a report on what does not work is written all the same.
fn pretty(answer: Result<Value, AgentError>) -> String {
    match answer {
        Ok(value) => format!("{value:#}"),
        Err(error) => format!("error: {error}"),
    }
}

fn cut(text: &str, is_newest_kept: bool) -> String {
    if text.len() <= SECTION_BYTES_MAX {
        return text.to_owned();
    }
    let is_at_boundary = |at: &usize| text.is_char_boundary(*at);
    if is_newest_kept {
        let from = (text.len() - SECTION_BYTES_MAX..text.len()).find(is_at_boundary).unwrap_or_default();
        return format!("(cut) ...{}", text.get(from..).unwrap_or_default());
    }
    let to = (0..=SECTION_BYTES_MAX).rev().find(is_at_boundary).unwrap_or_default();
    format!("{}... (cut)", text.get(..to).unwrap_or_default())
}

fn write_new(file: &Path, text: &str) -> Result<(), AgentError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    match opened.and_then(|mut opened| opened.write_all(text.as_bytes()).and_then(|()| opened.sync_all())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(exists(file)),
        Err(source) => Err(FileError::Io { action: "write", path: file.to_path_buf(), source }.into()),
    }
}

fn exists(file: &Path) -> AgentError {
    AgentError::new(
        "file_exists",
        format!("{} is there already", file.display()),
        "Name a file that is not there; nothing is written over.",
        Exit::Usage,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_section_is_cut_at_a_character_and_a_log_keeps_its_end() {
        let text = format!("a{}z", "é".repeat(SECTION_BYTES_MAX));

        let (log, other) = (cut(&text, true), cut(&text, false));

        assert!(log.starts_with("(cut) ...é") && log.ends_with('z') && log.len() < SECTION_BYTES_MAX + 16);
        assert!(other.starts_with('a') && other.ends_with("é... (cut)") && other.len() < SECTION_BYTES_MAX + 16);
        assert_eq!(cut("short", true), "short");
    }
}
