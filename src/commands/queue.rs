//! `queue`: what has yet to go to central.

use serde_json::Value;

use super::wording::{self, columns, moment};
use super::{Screen, page_through};
use crate::clock;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::Performer;
use crate::operations::Request;

/// Prints up to `limit` edits. With JSON each page is one line.
pub(super) fn run(limit: u64, performer: &dyn Performer, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    let now_ms = clock::wall_now().0;
    let mut count_total = 0;
    let request = |next: &Value, limit| Request::Queue { after: next.as_u64().unwrap_or_default(), limit };
    let next = page_through(limit, performer, request, |page| {
        screen.result(page, |page| text(page, now_ms));
        let count = page["edits"].as_array().map_or(0, Vec::len);
        count_total += count;
        Ok(count)
    })?;
    if !screen.is_json() {
        if count_total == 0 {
            screen.print("nothing waits: central has everything\n");
        } else if !next.is_null() {
            screen.note("there are more: raise --limit\n");
        }
    }
    Ok(Exit::Ok)
}

fn text(page: &Value, now_ms: u64) -> String {
    let rows = page["edits"].as_array().into_iter().flatten();
    let cells = |edit: &Value| {
        let state = match edit["state"].as_str().unwrap_or_default() {
            "not_sent" => "not sent".to_owned(),
            "sent" => "sent, not judged yet".to_owned(),
            "waiting" => "waits for its header".to_owned(),
            other => other.to_owned(),
        };
        vec![
            edit["sequence"].to_string(),
            wording::text(&edit["operation"]),
            wording::text(&edit["table"]),
            wording::text(&edit["id"]),
            state,
            edit["recorded_at_ms"].as_u64().map(|ms| moment(ms, now_ms)).unwrap_or_default(),
        ]
    };
    columns(&rows.map(cells).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::{Scripted, printed};
    use serde_json::json;

    #[test]
    fn edits_are_told_with_their_state_and_age() {
        let page = json!({ "edits": [
            { "sequence": 7, "table": "item", "id": "4F2A", "operation": "put", "state": "sent", "recorded_at_ms": 0 },
            { "sequence": 12, "table": "unit", "id": "x", "operation": "patch", "state": "not_sent", "recorded_at_ms": 60_000 },
        ], "next": null });

        assert_eq!(
            text(&page, 120_000),
            "7   put    item  4F2A  sent, not judged yet  1970-01-01T00:00:00Z (2 minutes ago)\n\
             12  patch  unit  x     not sent              1970-01-01T00:01:00Z (1 minute ago)\n"
        );
    }

    #[test]
    fn an_empty_queue_says_so() {
        let performer = Scripted::new([json!({ "edits": [], "next": null })]);

        let (_, text) = printed(false, |screen| run(100, &performer, screen));

        assert_eq!(text, "nothing waits: central has everything\n");
    }
}
