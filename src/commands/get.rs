//! `get`: one record.

use std::fmt::Write as _;

use serde_json::Value;

use super::wording;

/// The record, a column a line.
pub(super) fn text(record: &Value) -> String {
    let mut text = format!("{} {}: {}\n", wording::text(&record["table"]), wording::text(&record["id"]), state(record));
    for (column, value) in record["data"].as_object().into_iter().flatten() {
        let _infallible = writeln!(text, "  {column}: {}", wording::text(value));
    }
    text
}

/// What is known of a record's state, in words.
pub(super) fn state(record: &Value) -> String {
    match record["state"].as_str().unwrap_or_default() {
        "central" => "as central has it".to_owned(),
        "pending" => "edited here, not judged by central yet".to_owned(),
        "waiting" => "waits at central for its header".to_owned(),
        "local" => "stays on this site".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_is_told_a_column_a_line() {
        let record = json!({ "table": "item", "id": "4F2A", "state": "pending",
            "data": { "ID": "4F2A", "code": "ab\ncd", "price": 12.5, "note": null } });

        assert_eq!(
            text(&record),
            "item 4F2A: edited here, not judged by central yet\n  ID: 4F2A\n  code: ab\\ncd\n  note: \n  price: 12.5\n"
        );
    }
}
