//! The audit log in plain words: a line for each row.

use serde_json::Value;

use super::show::plain;

/// The rows, and what is gone before them.
pub(super) fn lines(value: &Value) -> String {
    let gone = [("changes_gone_through", "changes"), ("refusals_gone_through", "refusals")];
    let gone = gone
        .iter()
        .filter(|(key, _)| value[key].as_u64().unwrap_or(0) > 0)
        .map(|(key, what)| format!("{what} up to number {} were too many to keep (log.audit_rows_max)\n", value[key]));
    let rows = value["audit"].as_array().into_iter().flatten().map(line);
    let next = (!value["next"].is_null()).then(|| format!("more with --after {}\n", value["next"]));
    gone.chain(rows).chain(next).collect()
}

fn line(row: &Value) -> String {
    let mut words = vec![row["number"].to_string(), plain(&row["time"]), plain(&row["actor"]), plain(&row["verb"])];
    for (key, word) in [("site", "site"), ("other_site", "from site"), ("store", "store")] {
        if !row[key].is_null() {
            words.push(format!("{word} {}", plain(&row[key])));
        }
    }
    if !row["record"].is_null() {
        words.push(format!("{} {}", plain(&row["table"]), plain(&row["record"])));
    }
    let times = row["times"].as_u64().unwrap_or(1);
    let times = if times > 1 { format!(", {times} times") } else { String::new() };
    let end = match row["outcome"].as_str() {
        Some("done") | None => String::new(),
        Some("begun") => "begins".to_owned(),
        Some("partly") => "done in part".to_owned(),
        Some(word) => format!("{word}: {}", plain(&row["code"])),
    };
    if !end.is_empty() {
        words.push(format!("{end}{times}"));
    }
    let (words, changes) = (words.join("  "), changes(row));
    format!("{words}{changes}\n")
}

/// What changed: `code: a -> b`. Of what was refused: what was asked for.
fn changes(row: &Value) -> String {
    let (before, after) = (&row["before"], &row["after"]);
    let mut changes = Vec::new();
    for (key, value) in before.as_object().into_iter().flatten() {
        changes.push(format!("{key}: {} -> {}", short(value), short(&after[key])));
    }
    let is_empty = |value: &Value| value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty);
    for (key, value) in after.as_object().into_iter().flatten() {
        if before.get(key).is_none() && !is_empty(value) {
            changes.push(format!("{key}: {}", short(value)));
        }
    }
    if changes.is_empty() {
        let asked =
            row["asked"].as_object().into_iter().flatten().map(|(key, value)| format!("{key}: {}", short(value)));
        let asked: Vec<String> = asked.collect();
        return if asked.is_empty() { String::new() } else { format!("  asked for ({})", asked.join(", ")) };
    }
    format!("  ({})", changes.join(", "))
}

fn short(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(short).collect::<Vec<_>>().join(" ")),
        other => plain(other),
    }
}
