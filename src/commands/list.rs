//! `list`: records of a table, page by page.

use protocol::ids::RecordId;
use serde_json::Value;

use super::wording::{self, columns};
use super::{Screen, get, page_through};
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::Performer;
use crate::operations::Request;

/// What to list.
pub(super) struct First<'a> {
    pub(super) table: &'a str,
    pub(super) store: Option<&'a RecordId>,
    pub(super) merged: bool,
    pub(super) after: Option<&'a RecordId>,
}

/// Prints up to `limit` records. With JSON each page is one line.
pub(super) fn run(
    first: &First<'_>,
    limit: u64,
    performer: &dyn Performer,
    screen: &mut Screen<'_>,
) -> Result<Exit, AgentError> {
    let request = |next: &Value, limit| Request::List {
        table: first.table.to_owned(),
        store: first.store.map(ToString::to_string),
        merged: first.merged,
        after: next.as_str().map(ToOwned::to_owned).or_else(|| first.after.map(ToString::to_string)),
        limit,
    };
    let next = page_through(limit, performer, request, |page| {
        screen.result(page, text);
        Ok(page["records"].as_array().map_or(0, Vec::len))
    })?;
    if !next.is_null() && !screen.is_json() {
        screen.note(&format!("there are more: --after {}\n", wording::text(&next)));
    }
    Ok(Exit::Ok)
}

fn text(page: &Value) -> String {
    let rows = page["records"].as_array().into_iter().flatten();
    let has_kinds = rows.clone().any(|record| !record["kind"].is_null());
    let cells = |record: &Value| {
        let state = wording::text(&record["state"]) + &get::merged(record) + &get::read_only(record);
        let kind = has_kinds.then(|| wording::text(&record["kind"]));
        let before = [wording::text(&record["id"]), state];
        before.into_iter().chain(kind).chain([record["data"].to_string()]).collect()
    };
    columns(&rows.map(cells).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::{Scripted, printed};
    use crate::operations::LIST_LIMIT_MAX;
    use serde_json::json;

    fn page(ids: &[&str], next: Option<&str>) -> Value {
        let records: Vec<Value> = ids
            .iter()
            .map(|id| json!({ "table": "unit", "id": id, "state": "central", "data": { "ID": id, "n": 1.50 } }))
            .collect();
        json!({ "records": records, "next": next })
    }

    #[test]
    fn pages_follow_each_other_up_to_the_limit() {
        let performer = Scripted::new([page(&["a", "bcd"], Some("bcd")), page(&["e"], None)]);
        let first = First { table: "unit", store: None, merged: false, after: None };

        let (exit, text) = printed(false, |screen| run(&first, 5000, &performer, screen));

        assert_eq!(exit, Ok(Exit::Ok));
        assert_eq!(
            text,
            "a    central  {\"ID\":\"a\",\"n\":1.5}\nbcd  central  {\"ID\":\"bcd\",\"n\":1.5}\ne  central  {\"ID\":\"e\",\"n\":1.5}\n"
        );
        let list = |after: Option<&str>, limit| Request::List {
            table: "unit".into(),
            store: None,
            merged: false,
            after: after.map(Into::into),
            limit,
        };
        assert_eq!(*performer.asked.lock().unwrap(), [list(None, LIST_LIMIT_MAX), list(Some("bcd"), LIST_LIMIT_MAX)]);
    }

    #[test]
    fn documents_have_a_column_with_their_kind() {
        let mut page = page(&["a", "b"], None);
        page["records"][0]["kind"] = json!("supplier invoice");
        page["records"][1]["read_only_of"] = json!("S2");

        assert_eq!(
            text(&page),
            "a  central                          supplier invoice  {\"ID\":\"a\",\"n\":1.5}\n\
             b  central, of store S2, read only                    {\"ID\":\"b\",\"n\":1.5}\n"
        );
    }

    #[test]
    fn json_is_printed_as_it_came() {
        let performer = Scripted::new([page(&["a"], Some("a"))]);
        let first = First { table: "unit", store: None, merged: false, after: None };

        let (_, text) = printed(true, |screen| run(&first, 1, &performer, screen));

        assert_eq!(text, format!("{}\n", page(&["a"], Some("a"))));
    }
}
