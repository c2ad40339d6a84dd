//! The part of `status` that says when this site syncs by itself, or why it does not.

use serde_json::Value;

use super::wording::{bytes, moment, text};

/// Rows of name and text.
pub(super) fn rows(status: &Value, now_ms: u64) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let pause = &status["pause"];
    if !pause.is_null() {
        let since = pause["since_ms"].as_u64().map_or_else(String::new, |ms| format!(" since {}", moment(ms, now_ms)));
        rows.push(match pause["until_ms"].as_u64() {
            Some(ms) => (
                "paused",
                format!("until {}{}", moment(ms, now_ms), "; `outpost resume` ends it, `outpost sync` still syncs"),
            ),
            None => ("paused !", format!("without an end{since}: nothing is synced by itself until `outpost resume`")),
        });
    }
    if let Some(next) = next_sync(status, now_ms) {
        rows.push(("next sync", next));
    }
    for (name, span) in [("bytes today", "day"), ("bytes a month", "month")] {
        rows.extend(spent(&status["bytes"][span], now_ms).map(|text| (name, text)));
    }
    rows
}

/// When it is, and why then.
fn next_sync(status: &Value, now_ms: u64) -> Option<String> {
    let reason = text(&status["next_sync_reason"]);
    if let Some(ms) = status["next_sync_ms"].as_u64() {
        let why = match reason.as_str() {
            "backoff" => ", after a failure",
            "retry_after" => ", which central asked for",
            "edits" => ", for what was recorded",
            "network" => ", because the network has changed",
            "news" => ", because central has something",
            "window" => ", when a window opens",
            "paused" => ", when the pause ends",
            "day_bytes_used_up" => ", when the bytes of a day begin anew",
            "month_bytes_used_up" => ", when the bytes of a month begin anew",
            _ => "",
        };
        return Some(format!("{}{why}", moment(ms, now_ms)));
    }
    match reason.as_str() {
        "manual" => Some("only when somebody asks, by the settings".to_owned()),
        "paused" => Some("only when somebody asks, until `outpost resume`".to_owned()),
        _ => None,
    }
}

/// What a day or a month has cost; only where it has a limit.
fn spent(span: &Value, now_ms: u64) -> Option<String> {
    let bytes_max = span["max"].as_u64()?;
    let amounts = format!("{} of {}", bytes(span["spent"].as_u64().unwrap_or_default()), bytes(bytes_max));
    if span["used_up"] != true {
        return Some(amounts);
    }
    let anew = span["anew_ms"].as_u64().map_or_else(String::new, |ms| moment(ms, now_ms));
    Some(format!("{amounts}: used up until {anew}; `outpost sync` still syncs"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(status: &Value) -> Vec<String> {
        rows(status, 0).into_iter().map(|(name, text)| format!("{name}: {text}")).collect()
    }

    #[test]
    fn the_next_sync_is_told_with_its_reason() {
        let told = |reason: &str| told(&json!({ "next_sync_ms": 60_000, "next_sync_reason": reason }));
        let at = "next sync: 1970-01-01T00:01:00Z (in 1 minute)";

        assert_eq!(told("interval"), [at]);
        assert_eq!(told("backoff"), [format!("{at}, after a failure")]);
        assert_eq!(told("window"), [format!("{at}, when a window opens")]);
    }

    #[test]
    fn a_pause_is_told_with_its_end_and_one_without_an_end_is_warned_of() {
        let ends = json!({ "pause": { "since_ms": 0, "until_ms": 60_000 } });
        assert_eq!(
            told(&ends),
            ["paused: until 1970-01-01T00:01:00Z (in 1 minute); `outpost resume` ends it, `outpost sync` still syncs"]
        );

        let forever = json!({ "pause": { "since_ms": 0, "until_ms": null }, "next_sync_reason": "paused" });
        let expected = [
            "paused !: without an end since 1970-01-01T00:00:00Z (less than a second ago): nothing is synced by itself until \
             `outpost resume`",
            "next sync: only when somebody asks, until `outpost resume`",
        ];
        assert_eq!(told(&forever), expected);
    }

    #[test]
    fn bytes_are_told_where_there_is_a_limit() {
        let day = |spent: u64, used_up: bool| {
            told(&json!({ "bytes": {
                "day": { "spent": spent, "max": 5_000_000, "used_up": used_up, "anew_ms": 60_000 },
                "month": { "spent": spent, "max": null, "used_up": false, "anew_ms": 60_000 },
            } }))
        };

        assert_eq!(day(1_000_000, false), ["bytes today: 1.0 MB of 5.0 MB"]);
        let used_up = "bytes today: 5.1 MB of 5.0 MB: used up until 1970-01-01T00:01:00Z (in 1 minute); `outpost sync` still syncs";
        assert_eq!(day(5_100_000, true), [used_up]);
    }

    #[test]
    fn a_status_without_a_daemon_tells_of_no_next_sync() {
        assert_eq!(told(&json!({ "next_sync_ms": null, "next_sync_reason": null })), Vec::<String>::new());
    }
}
