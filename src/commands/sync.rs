//! `sync` and `initialise`: sessions that somebody waits for.

use std::fmt::Write as _;

use protocol::message::is_pause;
use serde_json::Value;

use super::wording::{self, bytes, count};
use super::{Screen, perform, verify};
use crate::clock::{Waker, monotonic_now};
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::{Input, Performer};
use crate::operations::{Request, SyncOptions};

/// The code of a failure because of a certificate that does not hold at this device's date.
const CLOCK_WRONG: &str = "clock_wrong";
/// Pause between two rounds of tries with `--wait`, in milliseconds.
const ROUND_PAUSE_MS: u64 = 5_000;

/// Syncs; with `wait_s` it goes on for so long where trying again may help.
pub(super) fn run(
    is_initialise: bool,
    wait_s: Option<u64>,
    performer: &dyn Performer,
    screen: &mut Screen<'_>,
) -> Result<Exit, AgentError> {
    let deadline = monotonic_now().plus(wait_s.unwrap_or_default().saturating_mul(1000));
    let mut request = if is_initialise { Request::Initialise(options()) } else { Request::Sync(options()) };
    loop {
        let result = perform(performer, request, &mut Input::empty(), screen)?;
        let exit = exit(&result);
        let now = monotonic_now();
        if !may_pass(&result) || now >= deadline {
            screen.result(&result, text);
            return Ok(exit);
        }
        Waker::new().wait_until(Some(now.plus(ROUND_PAUSE_MS).min(deadline)));
        // Initialising has begun: what follows goes on from there.
        request = Request::Sync(options());
    }
}

fn options() -> SyncOptions {
    SyncOptions::default()
}

/// How far it came.
pub(super) fn text(result: &Value) -> String {
    let amount = |name: &str| result[name].as_u64().unwrap_or_default();
    let mut text = format!(
        "sent {}, stored {}, in {} ({} out, {} in)\n",
        count(amount("sent"), "edit"),
        count(amount("stored"), "record"),
        count(amount("requests"), "request"),
        bytes(amount("bytes_out")),
        bytes(amount("bytes_in"))
    );
    if amount("refused") > 0 {
        let refused = count(amount("refused"), "edit");
        let _infallible = writeln!(text, "central refused {refused}; see `outpost set-aside list`");
    }
    if let Some(recovery) = wording::recovery(&result["recovery"]) {
        let _infallible = writeln!(text, "the recovery of this device is {recovery}");
    }
    if !result["verified"].is_null() {
        let _infallible =
            write!(text, "central asked this site to verify what it has:\n{}", verify::text(&result["verified"]));
    }
    let failure = &result["failure"];
    if !failure.is_null() {
        let (message, code) = (wording::text(&failure["message"]), wording::text(&failure["code"]));
        // Whoever reads that central has paused the site looks for no mistake.
        let head = if is_pause(&code) { "" } else { "not everything went through: " };
        let _infallible = writeln!(text, "{head}{message} [{code}]");
        let advice = wording::text(&failure["advice"]);
        if !advice.is_empty() {
            let _infallible = writeln!(text, "{advice}");
        }
    }
    text
}

/// Whether waiting may help. A clock that is wrong is often set from the network soon after the device has started.
fn may_pass(result: &Value) -> bool {
    matches!(exit(result), Exit::Offline | Exit::Busy) || result["failure"]["code"] == CLOCK_WRONG
}

/// A failure says itself how the program ends; one that does not came from the link.
pub(super) fn exit(result: &Value) -> Exit {
    if result["outcome"] == "drained" {
        // What lies in the file of a recovery alone has not gone through.
        let left = [&result["refused"], &result["recovery"]["edits"]];
        let is_whole = left.iter().all(|amount| amount.as_u64().unwrap_or_default() == 0);
        return if is_whole { Exit::Ok } else { Exit::Partial };
    }
    let code = result["failure"]["exit"].as_u64().and_then(|code| u8::try_from(code).ok());
    code.and_then(Exit::of_code).unwrap_or(Exit::Offline)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::{Scripted, printed};
    use serde_json::json;

    fn drained(refused: u64) -> Value {
        json!({ "outcome": "drained", "sent": 50, "stored": 1, "refused": refused, "requests": 3, "bytes_out": 4800,
            "bytes_in": 900, "failure": null })
    }

    fn failed(exit: Exit) -> Value {
        json!({ "outcome": "failed", "sent": 0, "stored": 0, "refused": 0, "requests": 1, "bytes_out": 0, "bytes_in": 0,
            "failure": { "code": "offline", "message": "no answer", "advice": "Try again.", "exit": exit.code() } })
    }

    #[test]
    fn the_end_of_a_sync_is_told_and_decides_the_exit() {
        let line = "sent 50 edits, stored 1 record, in 3 requests (4.8 kB out, 900 B in)\n";
        let refused = format!("{line}central refused 2 edits; see `outpost set-aside list`\n");
        let failure = "sent 0 edits, stored 0 records, in 1 request (0 B out, 0 B in)\n\
                       not everything went through: no answer [offline]\nTry again.\n";
        for (result, expected, expected_exit) in [
            (drained(0), line, Exit::Ok),
            (drained(2), refused.as_str(), Exit::Partial),
            (failed(Exit::Offline), failure, Exit::Offline),
            (failed(Exit::Refused), failure, Exit::Refused),
        ] {
            let performer = Scripted::new([result]);
            let (exit, text) = printed(false, |screen| run(false, None, &performer, screen));

            assert_eq!((exit, text.as_str()), (Ok(expected_exit), expected));
        }
    }

    #[test]
    fn edits_that_a_recovery_has_left_in_a_file_are_told_and_are_no_whole_sync() {
        let recovery = json!({ "step": "begun", "edits": 1, "file": "/f" });
        let mut result = drained(0);
        result["recovery"] = recovery;

        assert_eq!(exit(&result), Exit::Partial);
        let line = "the recovery of this device is not over: 1 edit is in /f alone, not sent and not set aside; run";
        assert!(text(&result).contains(line), "{}", text(&result));
    }

    #[test]
    fn a_pause_is_told_as_no_mistake() {
        let mut result = failed(Exit::Busy);
        result["failure"] =
            json!({ "code": "site_paused", "message": "central has paused site 2", "advice": "", "exit": 8 });

        let text = text(&result);

        assert!(text.ends_with("\ncentral has paused site 2 [site_paused]\n"), "{text}");
    }

    #[test]
    fn waiting_helps_where_the_link_or_the_clock_is_to_blame() {
        let mut clock = failed(Exit::Failed);
        clock["failure"]["code"] = json!("clock_wrong");

        let passing = [failed(Exit::Offline), failed(Exit::Busy), clock, failed(Exit::Failed), failed(Exit::Refused)];

        assert_eq!(passing.each_ref().map(may_pass), [true, true, true, false, false]);
        assert!(!may_pass(&drained(0)));
    }

    #[test]
    fn waiting_does_not_help_where_central_refuses() {
        let performer = Scripted::new([failed(Exit::Refused)]);

        let (exit, _) = printed(true, |screen| run(true, Some(60), &performer, screen));

        assert_eq!(exit, Ok(Exit::Refused));
        assert_eq!(*performer.asked.lock().unwrap(), [Request::Initialise(options())]);
    }
}
