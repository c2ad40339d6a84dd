//! `verify --with-central`: compares this site with what central says it should have.

use std::fmt::Write as _;

use serde_json::Value;

use super::wording::{self, count};
use super::{Screen, perform, sync};
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::{Input, Performer, Request, SyncOptions};

pub(super) fn run(performer: &dyn Performer, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    let result = perform(performer, Request::Verify(SyncOptions::default()), &mut Input::empty(), screen)?;
    screen.result(&result, text);
    Ok(exit(&result))
}

fn exit(result: &Value) -> Exit {
    match result["outcome"].as_str() {
        Some("whole") => Exit::Ok,
        Some("not_synced") => match sync::exit(&result["sync"]) {
            Exit::Ok => Exit::Failed,
            exit => exit,
        },
        _ => Exit::Partial,
    }
}

/// What was found and done.
pub(super) fn text(result: &Value) -> String {
    let verified = &result["verified"];
    let amount = |name: &str| verified[name].as_u64().unwrap_or_default();
    let mut text = String::new();
    if !verified.is_null() {
        let _infallible =
            writeln!(text, "compared {} in {}", count(amount("records"), "record"), count(amount("scopes"), "scope"));
        for (name, what) in [
            ("sent_again", "of this site sent again to central"),
            ("pulled", "taken as central has them"),
            ("let_go", "let go that central does not have for this site"),
            ("left_alone", "left alone: an edit is on its way, or central cannot read them"),
        ] {
            if amount(name) > 0 {
                let _infallible = writeln!(text, "{} {what}", count(amount(name), "record"));
            }
        }
        if amount("set_aside") > 0 {
            let versions = count(amount("set_aside"), "version");
            let _infallible = writeln!(text, "{versions} that gave way set aside; see `outpost set-aside list`");
        }
    }
    text + &match result["outcome"].as_str() {
        Some("whole") => "this site has what it should have\n".to_owned(),
        Some("not_synced") => {
            format!("nothing can be compared before a sync goes through:\n{}", sync::text(&result["sync"]))
        }
        Some("failed") => {
            format!("not compared: {} [{}]\n", wording::text(&result["message"]), wording::text(&result["code"]))
        }
        _ => "something differs still; verify again once central has answered what was sent\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::{Scripted, printed};
    use serde_json::json;

    #[test]
    fn what_was_mended_is_told_and_decides_the_exit() {
        let verified = json!({ "scopes": 2, "records": 1200, "differing_buckets": 3, "sent_again": 1, "pulled": 2,
            "set_aside": 1, "let_go": 0, "left_alone": 0 });
        let whole = json!({ "outcome": "whole", "verified": verified });
        let performer = Scripted::new([whole]);

        let (exit, text) = printed(false, |screen| run(&performer, screen));

        assert_eq!(exit, Ok(Exit::Ok));
        assert_eq!(
            text,
            "compared 1,200 records in 2 scopes\n\
             1 record of this site sent again to central\n\
             2 records taken as central has them\n\
             1 version that gave way set aside; see `outpost set-aside list`\n\
             this site has what it should have\n"
        );
    }

    #[test]
    fn what_still_differs_and_what_could_not_be_synced_are_no_success() {
        let differs = json!({ "outcome": "differs", "verified": { "scopes": 1, "records": 1, "left_alone": 1 } });
        assert_eq!(exit(&differs), Exit::Partial);
        assert!(text(&differs).contains("something differs still"));

        let failure = json!({ "code": "offline", "message": "no answer", "advice": "", "exit": Exit::Offline.code() });
        let sync = json!({ "outcome": "failed", "failure": failure });
        let not_synced = json!({ "outcome": "not_synced", "sync": sync });
        assert_eq!(exit(&not_synced), Exit::Offline);
        assert!(text(&not_synced).contains("no answer [offline]"));
    }
}
