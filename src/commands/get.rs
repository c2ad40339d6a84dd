//! `get`: one record.

use std::fmt::Write as _;

use serde_json::Value;

use super::wording;

/// The record, a column a line.
pub(super) fn text(record: &Value) -> String {
    let (table, id) = (wording::text(&record["table"]), wording::text(&record["id"]));
    let kind = match &record["kind"] {
        Value::Null => String::new(),
        kind => format!(" ({})", wording::text(kind)),
    };
    let mut text = format!("{table} {id}{kind}: {}{}{}\n", state(record), merged(record), read_only(record));
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

/// What a merged record stands for, to be put behind its state; empty for others.
pub(super) fn merged(record: &Value) -> String {
    match &record["merged_into"] {
        Value::Null => String::new(),
        end => format!(", merged into {}", wording::text(end)),
    }
}

/// Whose record it is, to be put behind its state, where this site does not write it; empty for others.
pub(super) fn read_only(record: &Value) -> String {
    match &record["read_only_of"] {
        Value::Null => String::new(),
        store => format!(", of store {}, read only", wording::text(store)),
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

    #[test]
    fn a_merged_record_is_told_with_what_it_stands_for() {
        let record = json!({ "table": "item", "id": "A", "state": "central", "data": {}, "merged_into": "B" });

        assert_eq!(text(&record), "item A: as central has it, merged into B\n");
    }

    #[test]
    fn a_document_of_another_store_is_told_with_its_kind_and_its_store() {
        let record = json!({ "table": "requisition", "id": "R", "state": "central", "data": {},
            "kind": "customer requisition", "read_only_of": "S2" });

        assert_eq!(text(&record), "requisition R (customer requisition): as central has it, of store S2, read only\n");
    }
}
