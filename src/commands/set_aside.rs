//! `set-aside list`, `show` and `retry`: refused edits.

use serde_json::Value;

use super::wording::{self, columns, moment};
use super::{Screen, page_through, perform, record};
use crate::clock;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::Request;
use crate::operations::{Input, Performer};

/// Prints up to `limit` refused edits. With JSON each page is one line.
pub(super) fn list(limit: u64, performer: &dyn Performer, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    let now_ms = clock::wall_now().0;
    let mut count_total = 0;
    let request = |next: &Value, limit| Request::SetAsideList { after: next.as_u64().unwrap_or_default(), limit };
    let next = page_through(limit, performer, request, |page| {
        screen.result(page, |page| list_text(page, now_ms));
        let count = page["refused"].as_array().map_or(0, Vec::len);
        count_total += count;
        Ok(count)
    })?;
    if !screen.is_json() {
        if count_total == 0 {
            screen.print("nothing is set aside\n");
        } else if !next.is_null() {
            screen.note("there are more: raise --limit\n");
        }
    }
    Ok(Exit::Ok)
}

/// Prints one refused edit whole.
pub(super) fn show(number: u64, performer: &dyn Performer, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    let result = perform(performer, Request::SetAsideShow { number }, &mut Input::empty(), screen)?;
    let now_ms = clock::wall_now().0;
    screen.result(&result, |edit| show_text(edit, now_ms));
    Ok(Exit::Ok)
}

/// Records refused edits again; no number means all.
pub(super) fn retry(numbers: &[u64], performer: &dyn Performer, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    let request = Request::SetAsideRetry { numbers: numbers.to_vec() };
    let result = perform(performer, request, &mut Input::empty(), screen)?;
    screen.result(&result, retried_text);
    Ok(record::exit(&result))
}

fn retried_text(result: &Value) -> String {
    record::text_naming("number", result)
}

fn list_text(page: &Value, now_ms: u64) -> String {
    let rows = page["refused"].as_array().into_iter().flatten();
    let cells = |edit: &Value| {
        vec![
            edit["number"].to_string(),
            wording::text(&edit["kind"]),
            wording::text(&edit["operation"]),
            wording::text(&edit["table"]),
            wording::text(&edit["id"]),
            format!("{} [{}]", wording::text(&edit["reason"]), wording::text(&edit["code"])),
            recorded_at(edit, now_ms),
        ]
    };
    columns(&rows.map(cells).collect::<Vec<_>>())
}

fn show_text(edit: &Value, now_ms: u64) -> String {
    let word = |name: &str| wording::text(&edit[name]);
    let text = format!(
        "{}: {} of {} {}, sequence {}\nrefused: {} [{}]\nrecorded: {}\ndata: {}\n",
        edit["number"],
        word("operation"),
        word("table"),
        word("id"),
        edit["sequence"],
        word("reason"),
        word("code"),
        recorded_at(edit, now_ms),
        edit["data"]
    );
    text + &beside(edit)
}

/// The columns in which the edit differs from the record as it is here.
fn beside(edit: &Value) -> String {
    let Some(differs) = edit["differs"].as_array() else { return String::new() };
    let state = if edit["current"].is_null() { "the record is not here" } else { "the record is here" };
    if differs.is_empty() {
        return format!("{state}; the edit would change nothing\n");
    }
    let row =
        |one: &Value| vec![wording::text(&one["column"]), wording::text(&one["current"]), wording::text(&one["edit"])];
    let head = vec!["COLUMN".to_owned(), "CURRENT".to_owned(), "EDIT".to_owned()];
    let rows: Vec<_> = std::iter::once(head).chain(differs.iter().map(row)).collect();
    format!("{state}\n{}", columns(&rows))
}

/// 0: of an edit that was not here any more when its refusal came nobody knows it.
fn recorded_at(edit: &Value, now_ms: u64) -> String {
    edit["recorded_at_ms"].as_u64().filter(|ms| *ms > 0).map(|ms| moment(ms, now_ms)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::{Scripted, printed};
    use serde_json::json;

    fn refused() -> Value {
        json!({ "number": 3, "sequence": 41, "table": "item", "id": "4F2A", "operation": "patch", "kind": "late", "code": "not_yours",
            "reason": "the store is active elsewhere", "recorded_at_ms": 1000 })
    }

    #[test]
    fn refused_edits_are_listed_with_their_reasons() {
        assert_eq!(
            list_text(&json!({ "refused": [refused()], "next": null }), 60_000),
            "3  late  patch  item  4F2A  the store is active elsewhere [not_yours]  1970-01-01T00:00:01Z (59 seconds ago)\n"
        );
    }

    #[test]
    fn one_is_shown_with_its_data() {
        let mut edit = refused();
        edit["data"] = json!({ "price": 3 });

        assert_eq!(
            show_text(&edit, 60_000),
            "3: patch of item 4F2A, sequence 41\nrefused: the store is active elsewhere [not_yours]\n\
             recorded: 1970-01-01T00:00:01Z (59 seconds ago)\ndata: {\"price\":3}\n"
        );
    }

    #[test]
    fn one_is_shown_beside_the_record_as_it_is() {
        let mut edit = refused();
        edit["data"] = json!({ "price": 3 });
        edit["current"] = json!({ "ID": "4F2A", "price": 2 });
        edit["differs"] = json!([{ "column": "price", "current": 2, "edit": 3 }]);
        assert!(
            show_text(&edit, 60_000)
                .ends_with("data: {\"price\":3}\nthe record is here\nCOLUMN  CURRENT  EDIT\nprice   2        3\n"),
            "{}",
            show_text(&edit, 60_000)
        );
        edit["current"] = Value::Null;
        edit["differs"] = json!([]);
        assert!(show_text(&edit, 60_000).ends_with("the record is not here; the edit would change nothing\n"));
    }

    #[test]
    fn a_retry_is_told_as_recording_is() {
        let recorded = json!({ "recorded": 1, "unchanged": 0, "first": 9, "last": 9, "refused": [] });
        let performer = Scripted::new([recorded, json!({ "refused": [], "next": null })]);

        let (exit, text) = printed(false, |screen| retry(&[3], &performer, screen));
        let (_, empty) = printed(false, |screen| list(10, &performer, screen));

        assert_eq!((exit, text.as_str()), (Ok(Exit::Ok), "recorded 1 edit, at sequence 9\n"));
        assert_eq!(performer.asked.lock().unwrap()[0], Request::SetAsideRetry { numbers: vec![3] });
        assert_eq!(empty, "nothing is set aside\n");
    }

    #[test]
    fn what_is_refused_again_is_named_by_its_number() {
        let refused = json!([{ "line": 3, "code": "not_yours", "message": "the store is active elsewhere" }]);
        let answer = json!({ "recorded": 1, "first": 9, "last": 9, "refused_count": 1, "refused": refused });
        let performer = Scripted::new([answer]);

        let (exit, text) = printed(false, |screen| retry(&[], &performer, screen));

        assert_eq!(exit, Ok(Exit::Partial));
        assert_eq!(performer.asked.lock().unwrap()[0], Request::SetAsideRetry { numbers: Vec::new() });
        assert_eq!(
            text,
            "recorded 1 edit, at sequence 9\nrefused 1 edit:\n  number 3: the store is active elsewhere [not_yours]\n"
        );
    }
}
