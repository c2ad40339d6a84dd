//! `wait`: until central has an edit.

use serde_json::Value;

use super::{Screen, perform, wording};
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::{Input, Performer, Request};

/// Waits, and says what became of the edit. Without a daemon nothing would change meanwhile, so `timeout_s` is to be 0 there.
pub(super) fn run(
    sequence: u64,
    timeout_s: u32,
    performer: &dyn Performer,
    screen: &mut Screen<'_>,
) -> Result<Exit, AgentError> {
    let result = perform(performer, Request::Wait { sequence, timeout_s }, &mut Input::empty(), screen)?;
    screen.result(&result, text);
    Ok(exit(&result))
}

fn text(result: &Value) -> String {
    let sequence = &result["sequence"];
    match result["outcome"].as_str().unwrap_or_default() {
        "accepted" => format!("central has accepted edit {sequence}\n"),
        "judged" => format!("central has judged edit {sequence}; its verdict is not known here any more\n"),
        "waiting" => format!("central has edit {sequence}, which waits there for its header\n"),
        "refused" => {
            let told = format!(
                "central has refused edit {sequence}: {} [{}]\n",
                wording::text(&result["reason"]),
                wording::text(&result["code"])
            );
            match result["set_aside"].as_u64() {
                Some(number) => format!("{told}It is set aside: `outpost set-aside show {number}`\n"),
                None => told,
            }
        }
        "sent" => format!("central has received edit {sequence}, and has not judged it yet\n"),
        _ => format!("edit {sequence} has not gone to central yet; `outpost sync` sends it\n"),
    }
}

fn exit(result: &Value) -> Exit {
    match result["outcome"].as_str().unwrap_or_default() {
        "accepted" | "judged" | "waiting" => Exit::Ok,
        "refused" => Exit::Refused,
        _ => Exit::Busy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_outcome_has_its_words_and_its_exit() {
        for (outcome, words, exit_code) in [
            ("accepted", "central has accepted edit 7\n", 0),
            ("judged", "central has judged edit 7", 0),
            ("waiting", "central has edit 7, which waits", 0),
            (
                "refused",
                "central has refused edit 7: too many [too_many]\nIt is set aside: `outpost set-aside show 3`\n",
                5,
            ),
            ("sent", "central has received edit 7, and has not judged it yet\n", 8),
            ("not_sent", "edit 7 has not gone to central yet", 8),
        ] {
            let result =
                json!({ "sequence": 7, "outcome": outcome, "set_aside": 3, "code": "too_many", "reason": "too many" });

            assert!(text(&result).starts_with(words), "{}", text(&result));
            assert_eq!(exit(&result).code(), exit_code, "{outcome}");
        }
    }
}
