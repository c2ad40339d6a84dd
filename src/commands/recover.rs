//! `recover`: gives up the journal of a device that was set back and reads everything again from central.

use std::fmt::Write as _;

use serde_json::Value;

use super::progress::ProgressLine;
use super::wording::{self, count, number};
use super::{Home, Screen, record, sync};
use crate::command_line::Recover;
use crate::error::AgentError;
use crate::exit::Exit;

/// Says what it would do, asks, and does it.
pub(super) fn run(what: &Recover, home: &dyn Home, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    let plan = home.recovery_plan()?;
    if !what.is_confirmed {
        screen.note(&plan_text(&plan, what.is_journaled_anew));
        if !home.confirms("Go on? Type yes: ")? {
            return Err(unconfirmed());
        }
    }
    let mut line = ProgressLine::new(screen);
    let result = home.recover(what, &mut |progress| line.show(&progress));
    line.clear();
    let result = result?;
    screen.result(&result, text);
    Ok(exit(&result))
}

fn plan_text(plan: &Value, is_journaled_anew: bool) -> String {
    let amount = |name: &str| plan[name].as_u64().unwrap_or_default();
    let mut text = String::new();
    if plan["under_way"]["step"] == "begun" {
        text +=
            "A recovery was begun before and is not over: the records are read again from central, which ends it.\n";
        return text;
    }
    let failure = &plan["last_failure"];
    if !failure.is_null() {
        let (message, code) = (wording::text(&failure["message"]), wording::text(&failure["code"]));
        let _infallible = writeln!(text, "The last sync failed: {message} [{code}]");
    }
    let _infallible = writeln!(
        text,
        "The journal {}, which ends at entry {}, is given up; central is known to have entries up to {}.",
        wording::text(&plan["journal"]),
        number(amount("head")),
        number(amount("in_common"))
    );
    let edits = count(amount("edits"), "edit");
    let fate = match (amount("edits"), is_journaled_anew, plan["fits_set_aside"] == true) {
        (0, ..) => "Nothing is only here.".to_owned(),
        (_, true, _) => {
            format!("{edits} may be only here: exported to a file, and journaled anew after the records have come.")
        }
        (_, false, true) => format!("{edits} may be only here: exported to a file, and set aside for review."),
        (_, false, false) => {
            format!("{edits} may be only here: exported to a file. They are too many to be set aside.")
        }
    };
    text += &fate;
    text += "\nThe records are read again from central. Local data stays, and the old journal is kept.\n";
    text
}

fn text(result: &Value) -> String {
    let amount = |name: &str| result[name].as_u64().unwrap_or_default();
    let mut text = format!("this device goes on under the journal {}\n", wording::text(&result["journal"]));
    if amount("exported") > 0 {
        let (edits, file) = (count(amount("exported"), "edit"), wording::text(&result["file"]));
        let _infallible = writeln!(text, "exported {edits} to {file}");
    }
    if amount("set_aside") > 0 {
        let edits = count(amount("set_aside"), "edit");
        let why = if result["recorded"].is_null() { "" } else { ", because their records were edited again since" };
        let _infallible = writeln!(text, "set aside {edits}{why}; see `outpost set-aside list`");
    }
    if !result["recorded"].is_null() {
        text += &record::text(&result["recorded"]);
    }
    text += &sync::text(&result["sync"]);
    let is_left = result["journal_anew"] == true && amount("exported") > 0 && result["recorded"].is_null();
    if result["under_way"] == false && is_left {
        text += "the exported edits were not journaled anew: run `outpost recover` once more, then look through what is set aside\n";
    }
    if result["under_way"] == true {
        text += "the recovery is not over: run `outpost recover` again when central can be reached\n";
    }
    text
}

fn is_whole(recorded: &Value) -> bool {
    record::exit(recorded) == Exit::Ok && recorded["set_aside"].as_u64().unwrap_or_default() == 0
}

/// As a sync, and partly done if something was refused or set aside here.
fn exit(result: &Value) -> Exit {
    match (sync::exit(&result["sync"]), &result["recorded"]) {
        (Exit::Ok, recorded) if !recorded.is_null() && !is_whole(recorded) => Exit::Partial,
        (exit, _) => exit,
    }
}

fn unconfirmed() -> AgentError {
    AgentError::new(
        "recover_unconfirmed",
        "nobody has said yes, so nothing was changed",
        "Give --yes where no person is at the terminal.",
        Exit::Usage,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan(edits: u64, fits: bool) -> Value {
        json!({ "journal": "ab", "head": 12, "in_common": 10, "edits": edits, "groups": 1, "fits_set_aside": fits,
            "under_way": null, "last_failure": { "code": "fork", "message": "two histories" } })
    }

    #[test]
    fn the_plan_says_with_counts_what_becomes_of_the_edits() {
        for (edits, fits, anew, expected) in [
            (0, true, false, "Nothing is only here."),
            (2, true, false, "2 edits may be only here: exported to a file, and set aside for review."),
            (2, false, false, "They are too many to be set aside."),
            (2, false, true, "journaled anew after the records have come."),
        ] {
            let text = plan_text(&plan(edits, fits), anew);

            assert!(
                text.starts_with("The last sync failed: two histories [fork]\nThe journal ab, which ends at entry 12,"),
                "{text}"
            );
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn the_result_names_the_file_and_what_was_refused() {
        let synced = json!({ "outcome": "drained", "failure": null });
        let refused = json!([{ "line": 4, "code": "not_store_holder", "message": "no" }]);
        let result = json!({ "journal": "cd", "exported": 2, "file": "/f", "set_aside": 0, "under_way": false, "sync": synced,
            "recorded": { "recorded": 1, "unchanged": 0, "refused_count": 1, "refused": refused } });

        let text = text(&result);

        assert!(
            text.contains("exported 2 edits to /f\n") && text.contains("  line 4: no [not_store_holder]\n"),
            "{text}"
        );
        assert_eq!(exit(&result), Exit::Partial);
    }

    #[test]
    fn a_recovery_that_central_still_refuses_says_what_is_left_to_do() {
        let failure = json!({ "code": "fork", "message": "no", "advice": "", "exit": 5 });
        let result = json!({ "journal": "cd", "exported": 2, "file": "/f", "set_aside": 2, "under_way": false, "journal_anew": true,
            "sync": { "outcome": "failed", "failure": failure }, "recorded": null });

        assert!(text(&result).ends_with("run `outpost recover` once more, then look through what is set aside\n"));
        assert_eq!(exit(&result), Exit::Refused);
    }
}
