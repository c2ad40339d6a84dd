//! Writes the log: one line an event on standard error, with the prefixes that systemd's journal reads where it listens.
//!
//! `info`: a site manager would want to know. `warn`: we coped. `error`: somebody has to act. Details follow as `key=value`.
//! Never a payload, a password, a key, or a patient's name.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::clock::wall_now;
use crate::data_folder::Layout;
use crate::kept_log::KeptLog;

/// What begins the targets of our own lines. Other crates may log what they carry, so they are heard from `warn` on only.
const OWN_TARGETS: [&str; 5] = ["outpost", "protocol", "codec", "domain", "sql"];

/// Longest line, in bytes; what is longer is cut, and says so. journald cuts at 48 KiB by itself.
const LINE_BYTES_MAX: usize = 4 * 1024;

/// Where the daemon keeps its last lines; nothing in other commands.
static KEPT: Mutex<Option<KeptLog>> = Mutex::new(None);

/// Keeps what is logged from here on in a data folder too. A log that cannot be kept is said so once, and holds nothing up.
pub fn keep_in(layout: &Layout) {
    match KeptLog::open(layout) {
        Ok(log) => *KEPT.lock().unwrap_or_else(PoisonError::into_inner) = Some(log),
        Err(error) => log::warn!("no log is kept path={} error={error}", layout.log().display()),
    }
}

/// Starts logging at a level. The first call counts; later ones only change the level.
pub fn start(level: LevelFilter) {
    let logger = Logger { is_journal: stderr_is_the_journal() };
    // It fails only if there is a logger: then that one goes on.
    let _ = log::set_boxed_logger(Box::new(logger));
    log::set_max_level(level);
}

struct Logger {
    is_journal: bool,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn || is_own(metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = line(record.level(), self.is_journal, &record.args().to_string());
            // There is nobody to tell that the log cannot be written.
            let _ = std::io::stderr().lock().write_all(line.as_bytes());
            let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(log) = &mut *kept {
                let plain = self::line(record.level(), false, &record.args().to_string());
                // Nor can it be said that it is not kept: a full disk takes lines again once there is room.
                let _ = log.add(&plain, wall_now().0);
            }
        }
    }

    fn flush(&self) {}
}

fn is_own(target: &str) -> bool {
    let crate_name = target.split("::").next().unwrap_or(target);
    OWN_TARGETS.contains(&crate_name)
}

/// One event as one line, whatever the message holds: a line feed inside would look like an event of its own.
fn line(level: Level, is_journal: bool, message: &str) -> String {
    let (priority, word) = match level {
        Level::Error => (3, "error"),
        Level::Warn => (4, "warn"),
        Level::Info => (6, "info"),
        Level::Debug => (7, "debug"),
        Level::Trace => (7, "trace"),
    };
    let mut line = if is_journal { format!("<{priority}>") } else { format!("{word}: ") };
    for character in message.chars() {
        if line.len() > LINE_BYTES_MAX {
            line.push_str("... (cut)");
            break;
        }
        if character.is_control() { line.extend(character.escape_default()) } else { line.push(character) }
    }
    line.push('\n');
    line
}

/// Whether standard error is the stream that `JOURNAL_STREAM` (device:inode, set by systemd) names; the variable alone is
/// inherited by programs whose standard error goes elsewhere.
#[cfg(unix)]
fn stderr_is_the_journal() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let stderr = std::fs::metadata("/proc/self/fd/2");
    stderr.is_ok_and(|stderr| stream == format!("{}:{}", stderr.dev(), stderr.ino()))
}

#[cfg(not(unix))]
fn stderr_is_the_journal() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_word_for_people_and_a_number_for_the_journal() {
        assert_eq!(line(Level::Warn, false, "sync failed tries=3"), "warn: sync failed tries=3\n");
        assert_eq!(line(Level::Warn, true, "sync failed tries=3"), "<4>sync failed tries=3\n");
        assert_eq!(line(Level::Error, true, ""), "<3>\n");
    }

    #[test]
    fn a_message_stays_one_line_of_limited_length() {
        assert_eq!(line(Level::Info, false, "a\nerror: b"), "info: a\\nerror: b\n");

        let long = line(Level::Info, false, &"x".repeat(3 * LINE_BYTES_MAX));
        assert!(long.len() < LINE_BYTES_MAX + 32);
        assert!(long.ends_with("... (cut)\n"));
    }

    #[test]
    fn other_crates_are_heard_from_warn_on_only() {
        let logger = Logger { is_journal: false };
        let enabled = |target, level| logger.enabled(&Metadata::builder().target(target).level(level).build());

        assert!(enabled("outpost::journal", Level::Debug));
        assert!(enabled("ureq::pool", Level::Warn));
        assert!(!enabled("ureq::pool", Level::Info));
        assert!(!enabled("outposts", Level::Info));
    }
}
