//! `pause` and `resume`: whether the daemon syncs by itself.

use serde_json::Value;

use super::{Screen, perform, wording};
use crate::clock;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::{Input, Performer, Request};

/// Pauses, for so many seconds or until somebody ends it.
pub(super) fn pause(
    duration_s: Option<u64>,
    performer: &dyn Performer,
    screen: &mut Screen<'_>,
) -> Result<Exit, AgentError> {
    let result = perform(performer, Request::Pause { duration_s }, &mut Input::empty(), screen)?;
    let now_ms = clock::wall_now().0;
    screen.result(&result, |result| paused(result, now_ms));
    Ok(Exit::Ok)
}

/// Ends a pause. One that is over already is no error.
pub(super) fn resume(performer: &dyn Performer, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    let result = perform(performer, Request::Resume, &mut Input::empty(), screen)?;
    screen.result(&result, |result| {
        let words = if result["was_paused"] == true { "syncs by itself again" } else { "was not paused" };
        format!("the agent {words}\n")
    });
    Ok(Exit::Ok)
}

fn paused(result: &Value, now_ms: u64) -> String {
    match result["pause"]["until_ms"].as_u64() {
        Some(until_ms) => format!("paused until {}; `outpost sync` still syncs\n", wording::moment(until_ms, now_ms)),
        None => "paused until `outpost resume`; `outpost sync` still syncs\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::{Scripted, printed};
    use serde_json::json;

    #[test]
    fn a_pause_says_when_it_ends_or_what_ends_it() {
        let result = |until_ms: Value| json!({ "pause": { "since_ms": 0, "until_ms": until_ms } });

        let told = paused(&result(json!(3_600_000)), 0);
        assert_eq!(told, "paused until 1970-01-01T01:00:00Z (in 1 hour); `outpost sync` still syncs\n");
        let told = paused(&result(Value::Null), 0);
        assert_eq!(told, "paused until `outpost resume`; `outpost sync` still syncs\n");
    }

    #[test]
    fn resuming_twice_does_no_harm_and_says_so() {
        for (was_paused, expected) in
            [(true, "the agent syncs by itself again\n"), (false, "the agent was not paused\n")]
        {
            let performer = Scripted::new([json!({ "was_paused": was_paused })]);
            let (exit, text) = printed(false, |screen| resume(&performer, screen));
            assert_eq!((exit, text.as_str()), (Ok(Exit::Ok), expected));
        }
    }
}
