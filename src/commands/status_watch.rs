//! `status --watch`: the status again and again, as it changes.

use std::sync::Arc;

use serde_json::Value;

use super::{Screen, status};
use crate::clock::{self, pause_ms};
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::{Input, Performer, Request};

/// Longest time between two drawings on a terminal, in seconds: the ages in it go on.
const REDRAW_S: u32 = 10;
/// Shortest time between two of them, and between two looks for a daemon that is not there, in milliseconds.
const PAUSE_MS: u64 = 1_000;
/// To the first column of the first line, and away with what stands there.
const CLEAR: &str = "\u{1b}[H\u{1b}[J";

/// Where a status comes from.
pub(super) struct Sources<'a> {
    /// The daemon, if one answers.
    pub(super) daemon: &'a dyn Fn() -> Result<Option<Arc<dyn Performer>>, AgentError>,
    /// The data folder; opened where no daemon runs, and given back at once so that one can start.
    pub(super) folder: &'a dyn Fn() -> Result<Arc<dyn Performer>, AgentError>,
    /// Between two looks, in milliseconds.
    pub(super) pause_ms: u64,
}

impl<'a> Sources<'a> {
    pub(super) fn new(
        daemon: &'a dyn Fn() -> Result<Option<Arc<dyn Performer>>, AgentError>,
        folder: &'a dyn Fn() -> Result<Arc<dyn Performer>, AgentError>,
    ) -> Self {
        Self { daemon, folder, pause_ms: PAUSE_MS }
    }
}

/// What was shown last.
#[derive(Default)]
struct Seen {
    status: Option<Value>,
    /// The daemon's number of the last change.
    change: Option<u64>,
}

/// Shows it until nobody reads any more; an interrupt ends the program. A daemon that goes is waited for.
///
/// On a terminal it is drawn anew each time. Elsewhere it comes once for each change: as a line of JSON, or as the text with an empty line
/// behind it.
pub(super) fn run(sources: &Sources<'_>, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    let mut seen = Seen::default();
    loop {
        let (status, has_changed) = look(sources, &mut seen)?;
        if (has_changed || screen.is_redrawn()) && show(&status, screen).is_err() {
            // Whoever closed the pipe has read enough.
            return Ok(Exit::Ok);
        }
        seen.status = Some(status);
        pause_ms(sources.pause_ms);
    }
}

/// The status, and whether it is another one.
fn look(sources: &Sources<'_>, seen: &mut Seen) -> Result<(Value, bool), AgentError> {
    let asked = match (sources.daemon)()? {
        Some(daemon) => watch(&*daemon, seen.change).map(Some),
        None => Ok(None),
    };
    match asked {
        Ok(Some(status)) => {
            let change = status["change"].as_u64();
            let has_changed = seen.change.is_none() || seen.change != change;
            seen.change = change;
            Ok((status, has_changed))
        }
        Ok(None) => gone(sources, seen),
        // It is stopping, or has so much to do that it has no place for us.
        Err(error) if error.exit == Exit::Busy => gone(sources, seen),
        Err(error) => Err(error),
    }
}

fn watch(daemon: &dyn Performer, after: Option<u64>) -> Result<Value, AgentError> {
    daemon.perform(Request::Watch { after, wait_s: REDRAW_S }, &mut Input::empty(), &mut |_| {})
}

/// What was seen last, without the daemon; at first what is in the folder.
fn gone(sources: &Sources<'_>, seen: &mut Seen) -> Result<(Value, bool), AgentError> {
    let Some(mut status) = seen.status.clone() else {
        let status = watch(&*(sources.folder)()?, None)?;
        return Ok((status, true));
    };
    seen.change = None;
    let has_gone = status["daemon"] == true;
    if has_gone {
        for (name, value) in [("daemon", false.into()), ("syncing", false.into()), ("next_sync_ms", Value::Null)] {
            status[name] = value;
        }
        status["next_sync_reason"] = Value::Null;
        status["progress"] = Value::Null;
    }
    Ok((status, has_gone))
}

fn show(status: &Value, screen: &mut Screen<'_>) -> std::io::Result<()> {
    if screen.is_json() {
        return screen.try_print(&format!("{status}\n"));
    }
    let text = status::text(status, clock::wall_now().0);
    if screen.is_redrawn() {
        return screen.try_print(&format!("{CLEAR}{text}\nan interrupt (Ctrl-C) ends this\n"));
    }
    screen.try_print(&format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::{self, Write};

    use serde_json::json;

    use super::*;
    use crate::commands::testing::Scripted;

    /// A reader who leaves after so many statuses.
    struct Leaving {
        text: String,
        left: u32,
    }

    impl Write for Leaving {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.left == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.left -= 1;
            self.text.push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn status(change: u64, edits: u64) -> Value {
        json!({ "change": change, "daemon": true, "pending": { "edits": edits, "bytes": 10 * edits } })
    }

    /// What a reader of so many statuses sees, until they are read or there are no more answers; these have null where no daemon answers.
    fn watched(answers: &[Value], is_json: bool, is_redrawn: bool, reads: u32) -> String {
        let next = Cell::new(0);
        let daemon = || {
            let Some(answer) = answers.get(next.replace(next.get() + 1)) else {
                return Err(AgentError::new("over", "", "", Exit::Failed));
            };
            let daemon: Arc<dyn Performer> = Arc::new(Scripted::new([answer.clone()]));
            Ok(Some(daemon).filter(|_| !answer.is_null()))
        };
        let folder = || Ok(Arc::new(Scripted::new([json!({ "daemon": false })])) as Arc<dyn Performer>);
        let sources = Sources { daemon: &daemon, folder: &folder, pause_ms: 0 };
        let (mut out, mut err) = (Leaving { text: String::new(), left: reads }, Vec::new());
        let mut screen = Screen::new(&mut out, &mut err, is_json, false).with_redrawing(is_redrawn);
        let ended = run(&sources, &mut screen);
        assert!(ended == Ok(Exit::Ok) || ended.as_ref().is_err_and(|error| error.code == "over"), "{ended:?}");
        out.text
    }

    #[test]
    fn for_programs_each_change_is_a_line_and_a_daemon_that_goes_is_one() {
        let answers = [status(1, 4), status(1, 4), status(2, 5), Value::Null, Value::Null, status(1, 5), status(2, 0)];

        let text = watched(&answers, true, false, 5);

        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told: Vec<_> =
            lines.iter().map(|line| (line["daemon"].clone(), line["pending"]["edits"].clone())).collect();
        let expected = [(true, 4), (true, 5), (false, 5), (true, 5), (true, 0)];
        assert_eq!(told, expected.map(|(daemon, edits)| (json!(daemon), json!(edits))));
    }

    #[test]
    fn a_terminal_is_drawn_anew_each_time_and_elsewhere_no_escapes_come() {
        let drawn = watched(&[status(1, 4), status(1, 4), status(1, 4)], false, true, 2);
        assert_eq!(drawn.matches(CLEAR).count(), 2, "{drawn}");
        assert!(drawn.contains("4 edits") && drawn.contains("Ctrl-C"), "{drawn}");

        let plain = watched(&[status(1, 4), status(2, 5)], false, false, 2);
        assert!(!plain.contains('\u{1b}') && plain.contains("4 edits") && plain.contains("5 edits"), "{plain}");
    }

    #[test]
    fn without_a_daemon_it_begins_with_what_is_in_the_folder() {
        let text = watched(&[Value::Null, Value::Null, status(1, 3)], false, false, 2);

        let (folder, daemon) = text.split_once("\n\n").unwrap();
        assert!(folder.contains("no daemon runs"), "{text}");
        assert!(daemon.contains("the daemon runs") && daemon.contains("3 edits"), "{text}");
    }

    #[test]
    fn what_is_wrong_for_good_ends_it() {
        let wrong = || Err(AgentError::new("socket_denied", "no", "", Exit::Config));
        let folder = || panic!("it is not opened");
        let sources = Sources { daemon: &wrong, folder: &folder, pause_ms: 0 };
        let (mut out, mut err) = (Vec::new(), Vec::new());

        let ended = run(&sources, &mut Screen::new(&mut out, &mut err, false, false));

        assert_eq!(ended.unwrap_err().code, "socket_denied");
    }
}
