//! `carry`, `import`, `backup` and `restore`: sealed files.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::progress::ProgressLine;
use super::wording::{self, count};
use super::{Home, Screen, door, sync};
use crate::clock;
use crate::command_line::{ByFile, FileAction};
use crate::config::Config;
use crate::device::PasswordSource;
use crate::error::AgentError;
use crate::exit::Exit;

/// Carries it out and says what came of it.
pub(super) fn run(what: &ByFile, home: &dyn Home, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    let mut line = ProgressLine::new(screen);
    let result = home.by_file(what, &mut |progress| line.show(&progress));
    line.clear();
    let result = result?;
    let text = match what.action {
        FileAction::CarryOut => carried_out,
        FileAction::CarryIn => carried_in,
        FileAction::Import => imported,
        FileAction::Restore { .. } => restored,
    };
    screen.result(&result, text);
    Ok(match what.action {
        FileAction::CarryIn if result["outcome"] != "goes_on" => sync::exit(&result),
        FileAction::CarryIn if amount(&result, "refused") > 0 => Exit::Partial,
        FileAction::Restore { .. } if amount(&result, "set_aside") + amount(&result, "left") > 0 => Exit::Partial,
        FileAction::CarryOut | FileAction::CarryIn | FileAction::Import | FileAction::Restore { .. } => Exit::Ok,
    })
}

/// Writes a backup, beside a daemon if one runs.
pub(super) fn back_up(
    file: &Path,
    passphrase: Option<&PasswordSource>,
    config: &Config,
    home: &dyn Home,
    screen: &mut Screen<'_>,
) -> Result<Exit, AgentError> {
    let door = door::open(config, home)?;
    let mut line = ProgressLine::new(screen);
    let result = home.back_up(file, passphrase, &*door, &mut |progress| line.show(&progress));
    line.clear();
    screen.result(&result?, backed_up);
    Ok(Exit::Ok)
}

fn amount(result: &Value, name: &str) -> u64 {
    result[name].as_u64().unwrap_or_default()
}

fn carried_out(result: &Value) -> String {
    let (edits, file) = (count(amount(result, "edits"), "edit"), wording::text(&result["file"]));
    let mut text = format!(
        "wrote {edits} to {file}\nAt central: outpost-central carry in {file} --answer ANSWER\nThen here: outpost carry in ANSWER\n"
    );
    if amount(result, "left") > 0 {
        let left = count(amount(result, "left"), "edit");
        let _infallible = writeln!(text, "{left} did not go with it: carry out once more when the answer is taken");
    }
    if result["replaces"] == true {
        text += "The file that was made before is of no use any more, nor is an answer to it.\n";
    }
    text
}

fn carried_in(result: &Value) -> String {
    let mut text = format!(
        "central has {} more, stored {}\n",
        count(amount(result, "sent"), "edit"),
        count(amount(result, "stored"), "record")
    );
    if amount(result, "refused") > 0 {
        let refused = count(amount(result, "refused"), "edit");
        let _infallible = writeln!(text, "central refused {refused}; see `outpost set-aside list`");
    }
    if result["outcome"] == "goes_on" {
        text += "There is more: carry out once more, or sync.\n";
    }
    let failure = &result["failure"];
    if !failure.is_null() {
        let (message, code) = (wording::text(&failure["message"]), wording::text(&failure["code"]));
        let _infallible = writeln!(text, "{message} [{code}]\n{}", wording::text(&failure["advice"]));
    }
    text
}

fn imported(result: &Value) -> String {
    let mut text = format!("stored {}", count(amount(result, "stored"), "record"));
    if amount(result, "passed_over") > 0 {
        let _infallible =
            write!(text, "; passed over {} that this device has", count(amount(result, "passed_over"), "record"));
    }
    text += "\n";
    text += if result["is_complete"] == true {
        "What changed since the export, and which stores may be written, comes with the next sync or `outpost carry`.\n"
    } else {
        "The export was not complete; the rest comes with the next sync or `outpost carry`.\n"
    };
    text
}

fn backed_up(result: &Value) -> String {
    let amount = |name: &str| amount(result, name);
    let mut text = format!("wrote to {}:\n", wording::text(&result["file"]));
    for (name, noun, what) in [
        ("unsent", "edit", "that central has not judged"),
        ("waiting", "edit", "that waits at central for a header"),
        ("staying", "record", "that never leaves this site"),
        ("refused", "refused edit", "in set-aside"),
    ] {
        let what = if amount(name) == 1 { what.to_owned() } else { in_plural(what) };
        let _infallible = writeln!(text, "  {} {what}", count(amount(name), noun));
    }
    if amount("refused_at_central") > 0 {
        let edits = count(amount("refused_at_central"), "refused edit");
        let _infallible = writeln!(text, "{edits} not among them: central alone has the data");
    }
    text += "Everything else is at central. It is no copy of this device: its key is not in it, and it cannot make a second device.\n\
             Keep the passphrase: without it nobody can read the file. On a device that takes this one's place: outpost restore FILE\n";
    text
}

fn in_plural(what: &str) -> String {
    what.replace("waits", "wait").replace("leaves", "leave")
}

fn restored(result: &Value) -> String {
    let amount = |name: &str| amount(result, name);
    let made = wording::moment(amount("made_at_ms"), clock::wall_now().0);
    let is_dry_run = result["dry_run"] == true;
    let intro = if is_dry_run { "nothing was done; a restore of the backup" } else { "restored the backup" };
    let mut text = format!("{intro} of {made}:\n");
    let mut line = |number: u64, what: &str| {
        if number > 0 {
            let _infallible = writeln!(text, "  {}: {what}", wording::number(number));
        }
    };
    line(amount("recorded"), if is_dry_run { "would be recorded" } else { "recorded" });
    line(amount("already"), "here already, or dealt with before");
    for (code, edits) in result["reasons"].as_object().into_iter().flatten() {
        let done = if is_dry_run { "would be set aside" } else { "set aside" };
        line(edits.as_u64().unwrap_or_default(), &format!("{done} [{code}]"));
    }
    line(amount("refused_before"), "refused before, in set-aside again");
    line(amount("left"), "in the backup alone: set-aside has no room, or this program does not know the table");
    if text.ends_with(":\n") {
        text += "  nothing: it holds no edits\n";
    }
    if amount("set_aside") > 0 {
        text += "`outpost set-aside list` has the reasons.\n";
    }
    if !is_dry_run && amount("recorded") > 0 {
        text += "Run `outpost sync`: what is central's goes there now.\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_to_do_with_the_file_is_said_and_what_did_not_go_with_it() {
        let text = carried_out(&json!({ "file": "/stick/out", "edits": 2, "left": 1, "replaces": true }));

        assert_eq!(
            text,
            "wrote 2 edits to /stick/out\nAt central: outpost-central carry in /stick/out --answer ANSWER\n\
             Then here: outpost carry in ANSWER\n1 edit did not go with it: carry out once more when the answer is taken\n\
             The file that was made before is of no use any more, nor is an answer to it.\n"
        );
    }

    #[test]
    fn an_answer_says_what_it_brought_what_was_refused_and_whether_there_is_more() {
        let failure = json!({ "code": "site_stopped", "message": "Stopped.", "advice": "Ask.", "exit": 5 });
        let result = json!({ "outcome": "goes_on", "sent": 2, "stored": 3, "refused": 1, "failure": failure });

        assert_eq!(
            carried_in(&result),
            "central has 2 edits more, stored 3 records\ncentral refused 1 edit; see `outpost set-aside list`\n\
             There is more: carry out once more, or sync.\nStopped. [site_stopped]\nAsk.\n"
        );
    }

    #[test]
    fn a_backup_says_what_it_holds_and_what_it_is_not() {
        let text = backed_up(&json!({ "file": "/stick/b", "unsent": 2, "waiting": 1, "staying": 1, "refused": 0,
            "refused_at_central": 3 }));

        assert!(
            text.starts_with(
                "wrote to /stick/b:\n  2 edits that central has not judged\n  1 edit that waits at central for a header\n  \
                 1 record that never leaves this site\n  0 refused edits in set-aside\n3 refused edits not among them: central"
            ),
            "{text}"
        );
        assert!(text.contains("It is no copy of this device"), "{text}");
    }

    #[test]
    fn a_restore_says_what_became_of_each_edit_and_one_that_was_tried_what_would() {
        let result = |is_dry_run: bool| {
            json!({ "dry_run": is_dry_run, "made_at_ms": 0, "recorded": 2, "already": 1, "set_aside": 3,
                "reasons": { "restored_changed": 3 }, "refused_before": 0, "left": 0 })
        };

        let (done, tried) = (restored(&result(false)), restored(&result(true)));

        assert!(done.starts_with("restored the backup of 1970-01-01T00:00:00Z ("), "{done}");
        let counts = "  2: recorded\n  1: here already, or dealt with before\n  3: set aside [restored_changed]\n\
                      `outpost set-aside list` has the reasons.\nRun `outpost sync`";
        assert!(done.contains(counts), "{done}");
        assert!(tried.starts_with("nothing was done; a restore of the backup of "), "{tried}");
        assert!(tried.contains("  2: would be recorded\n") && !tried.contains("outpost sync"), "{tried}");
    }

    #[test]
    fn an_import_says_what_is_still_to_come() {
        let text = imported(&json!({ "stored": 5, "passed_over": 2, "total": 7, "is_complete": false }));

        assert!(
            text.starts_with(
                "stored 5 records; passed over 2 records that this device has\nThe export was not complete;"
            ),
            "{text}"
        );
    }
}
