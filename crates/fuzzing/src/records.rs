//! Entries and rows, and the JSON that applications see of them.

use domain::catalogue::Catalogue;
use domain::json::{row_from_json, row_to_json};
use protocol::entry::{Entry, Operation};
use protocol::ids::RecordId;
use protocol::row::{ColumnRef, Row, Value};
use serde::de::IgnoredAny;

/// What can be read is written as the same, in no more bytes than it came in, and always has a JSON form.
pub(crate) fn entry(bytes: &[u8]) {
    if let Ok(row) = Row::decode(bytes) {
        let again = row.to_bytes();
        assert_eq!(Row::decode(&again).as_ref(), Ok(&row));
        assert!(again.len() <= bytes.len(), "{} bytes became {}", bytes.len(), again.len());
    }
    let Ok(entry) = Entry::decode(bytes) else { return };
    assert_eq!(Entry::ends_group(bytes), Ok(entry.is_group_end));
    let mut again = entry.encode();
    assert!(again.len() <= bytes.len(), "{} bytes became {}", bytes.len(), again.len());
    assert_eq!(Entry::decode(&again).as_ref(), Ok(&entry));
    Entry::mark_group_end(&mut again);
    assert_eq!(Entry::ends_group(&again), Ok(true));
    match &entry.operation {
        Operation::Put(row) | Operation::Patch(row) => as_json(&entry, row),
        Operation::Delete => {}
    }
}

/// Patches, differences and JSON of a row that came from outside.
fn as_json(entry: &Entry, row: &Row) {
    let table = Catalogue::embedded().table_or_stand_in(&entry.table);
    let row = table.canonical(row.clone());
    let json = row_to_json(&table, &entry.record, &row);
    assert!(serde_json::from_str::<IgnoredAny>(&json).is_ok(), "{json}");
    let Ok(read) = row_from_json(&table, &entry.record, &json) else { return };
    assert_eq!(row_to_json(&table, &entry.record, &read), json_in_order(&table, &entry.record, &read));
    assert_eq!(row_from_json(&table, &entry.record, &row_to_json(&table, &entry.record, &read)).as_ref(), Ok(&read));
    patches(&row.without_nulls());
}

/// What turns a row into another one does so, there and back.
fn patches(row: &Row) {
    let every_second = Row::new(row.columns().iter().step_by(2).cloned().collect());
    let less = every_second.unwrap_or_else(|error| panic!("fewer columns are a row too: {error}"));
    assert_eq!(row.patched(&row.difference(&less)), less);
    assert_eq!(less.patched(&less.difference(row)), *row);
}

/// The record as JSON, put together the plain way.
fn json_in_order(table: &domain::catalogue::Table, id: &RecordId, row: &Row) -> String {
    let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let mut members = vec![format!("{}:{}", text(table.id_column()), text(id.as_str()))];
    for (column, value) in row.columns() {
        let name = match column {
            ColumnRef::Known(number) => table.column_name(*number).map_or(format!("#{number}"), str::to_owned),
            ColumnRef::Named(name) => name.clone(),
        };
        let value = match value {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(written) | Value::Json(written) => written.clone(),
            Value::Text(value) => text(value),
        };
        members.push(format!("{}:{value}", text(&name)));
    }
    format!("{{{}}}", members.join(","))
}
