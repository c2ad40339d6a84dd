//! A refused edit beside the record as it is: the columns in which the two differ, for a person who has to decide.

use protocol::few::sort_few;
use serde_json::{Map, Value};

use crate::edit::EditOp;

/// A column that the edit would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub column: String,
    /// As the record has it; null where it has it not.
    pub current: Value,
    /// As the edit would make it; null where it erases it.
    pub edited: Value,
}

/// What an edit would change of a record, by column. `edit` and `current`: their data as JSON objects; what is no object says nothing. A
/// put erases what it leaves out, a patch does not; a delete takes all of it.
pub fn side_by_side(op: EditOp, edit: Option<&Value>, current: Option<&Value>) -> Vec<Difference> {
    let nothing = Map::new();
    let of = |data: Option<&Value>| data.and_then(Value::as_object).cloned().unwrap_or_else(|| nothing.clone());
    let (edit, current) = (of(edit), of(current));
    let is_whole = op != EditOp::Patch;
    let columns = current.keys().filter(|column| is_whole || edit.contains_key(*column)).chain(edit.keys());
    let mut columns: Vec<&String> = columns.collect();
    sort_few(&mut columns, |one, other| one < other);
    columns.dedup();
    let value = |data: &Map<String, Value>, column: &str| data.get(column).cloned().unwrap_or(Value::Null);
    let difference = |column: &String| {
        let (current, edited) = (value(&current, column), value(&edit, column));
        (current != edited).then(|| Difference { column: column.clone(), current, edited })
    };
    columns.into_iter().filter_map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(op: EditOp, edit: &Value, current: &Value, expected: &[(&str, Value, Value)]) {
        let found = side_by_side(op, Some(edit), Some(current));
        let found: Vec<_> = found.into_iter().map(|one| (one.column, one.current, one.edited)).collect();
        let expected: Vec<_> =
            expected.iter().map(|(name, one, other)| ((*name).to_owned(), one.clone(), other.clone())).collect();
        assert_eq!(found, expected, "{op:?} {edit} on {current}");
    }

    #[test]
    fn only_what_differs_is_shown_and_what_a_patch_leaves_out_does_not() {
        let current = json!({"ID": "A", "code": "old", "note": "n", "price": 3});
        check(EditOp::Patch, &json!({"code": "new", "price": 3}), &current, &[("code", json!("old"), json!("new"))]);
        check(
            EditOp::Put,
            &json!({"ID": "A", "code": "new", "price": 3}),
            &current,
            &[("code", json!("old"), json!("new")), ("note", json!("n"), Value::Null)],
        );
        check(EditOp::Put, &json!({"ID": "A"}), &Value::Null, &[("ID", Value::Null, json!("A"))]);
        check(EditOp::Delete, &Value::Null, &json!({"ID": "A"}), &[("ID", json!("A"), Value::Null)]);
    }
}
