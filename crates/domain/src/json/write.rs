//! A row to JSON text.

use protocol::ids::RecordId;
use protocol::row::{Row, Value};

use super::check_value;
use crate::catalogue::Table;

/// The record as a JSON object: the id column, then the columns in the row's order.
///
/// The result is correct JSON whatever the row holds: a number or a nested value that is not JSON (which the judge refuses, so
/// that no store should hold one) is written as a text.
pub fn row_to_json(table: &Table, id: &RecordId, row: &Row) -> String {
    let mut output = String::with_capacity(64 + 24 * row.columns().len());
    output.push('{');
    put_text(&mut output, table.id_column());
    output.push(':');
    put_text(&mut output, id.as_str());
    for (column, value) in row.columns() {
        output.push(',');
        put_text(&mut output, &table.name_of(column));
        output.push(':');
        match value {
            Value::Null => output.push_str("null"),
            Value::Bool(true) => output.push_str("true"),
            Value::Bool(false) => output.push_str("false"),
            Value::Number(text) | Value::Json(text) if check_value(value) => output.push_str(text),
            Value::Number(text) | Value::Json(text) | Value::Text(text) => put_text(&mut output, text),
        }
    }
    output.push('}');
    output
}

fn put_text(output: &mut String, text: &str) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        output.push('"');
        output.push_str(text);
        output.push('"');
    } else {
        output.push_str(&serde_json::to_string(text).expect("a text always has a JSON form"));
    }
}
