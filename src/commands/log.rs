//! `log`: the daemon's last lines, as it keeps them in the data folder.

use serde_json::json;

use super::Screen;
use crate::clock::pause_ms;
use crate::config::Config;
use crate::data_folder::Layout;
use crate::durable_file::FileError;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::kept_log::{LogFollower, last_lines};

/// Time between two looks while the log is followed, in milliseconds.
const LOOK_MS: u64 = 500;

/// Prints the newest lines, and with `is_followed` what comes, until somebody ends it or reads no more.
pub(super) fn run(count: u64, is_followed: bool, config: &Config, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    let layout = Layout::of(&config.data_folder);
    let failed = |source| AgentError::from(FileError::Io { action: "read", path: layout.log(), source });
    // What comes between the two is printed twice rather than not at all.
    let mut follower = LogFollower::at_the_end(&layout).map_err(failed)?;
    let lines = last_lines(&layout, usize::try_from(count).unwrap_or(usize::MAX)).map_err(failed)?;
    if lines.is_empty() && !is_followed {
        return Err(AgentError::new(
            "no_log",
            format!("no daemon has kept a log in {}", config.data_folder.display()),
            "`outpost run` keeps one. Other commands log to standard error alone.",
            Exit::Failed,
        ));
    }
    let mut goes_on = print(&lines, screen);
    while is_followed && goes_on {
        pause_ms(LOOK_MS);
        goes_on = print(&follower.new_lines().map_err(failed)?, screen);
    }
    Ok(Exit::Ok)
}

/// Whether somebody still reads.
fn print(lines: &[String], screen: &mut Screen<'_>) -> bool {
    let is_json = screen.is_json();
    lines.iter().all(|line| {
        let line = if is_json { to_json(line) } else { line.clone() };
        screen.try_print(&format!("{line}\n")).is_ok()
    })
}

/// `{"at","level","message"}`; the first two are null in a line that is no whole one.
fn to_json(line: &str) -> String {
    let parts = line.split_once(' ').and_then(|(at, rest)| Some((at, rest.split_once(": ")?)));
    match parts {
        Some((at, (level, message))) => json!({ "at": at, "level": level, "message": message }).to_string(),
        None => json!({ "at": null, "level": null, "message": line }).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::{config, printed};
    use crate::kept_log::KeptLog;

    #[test]
    fn the_newest_lines_are_printed_as_they_are_or_as_json() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let absent = printed(false, |screen| run(5, false, &config, screen).unwrap_err()).0;
        assert_eq!((absent.code.as_str(), absent.exit), ("no_log", Exit::Failed));
        let mut log = KeptLog::open(&Layout::of(folder.path())).unwrap();
        for number in 0..5 {
            log.add(&format!("info: synced sent={number} a: b\n"), 0).unwrap();
        }

        let (_, text) = printed(false, |screen| run(2, false, &config, screen));
        let (_, json) = printed(true, |screen| run(1, false, &config, screen));

        assert_eq!(
            text,
            "1970-01-01T00:00:00Z info: synced sent=3 a: b\n1970-01-01T00:00:00Z info: synced sent=4 a: b\n"
        );
        assert_eq!(json, "{\"at\":\"1970-01-01T00:00:00Z\",\"level\":\"info\",\"message\":\"synced sent=4 a: b\"}\n");
        assert_eq!(to_json("torn"), "{\"at\":null,\"level\":null,\"message\":\"torn\"}");
    }
}
