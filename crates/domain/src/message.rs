//! Messages: what of a message's own record says between whom it goes, and how far it is.

use protocol::ids::RecordId;
use protocol::row::{ColumnRef, Row, Value};

use crate::catalogue::{KeyError, Table};
use crate::scope::Scope;

/// Its column with the store that sends it; blank: central does.
pub const SENDER_COLUMN: &str = "fromStoreID";
/// Its column with the store that receives it; blank: it is for central alone.
pub const RECEIVER_COLUMN: &str = "toStoreID";
/// Its column that says whether the receiver has dealt with it.
pub const STATUS_COLUMN: &str = "status";

/// Between whom a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parties {
    /// The store that sends it; `None`: central.
    pub sender: Option<RecordId>,
    /// The store that receives it; `None`: central alone.
    pub receiver: Option<RecordId>,
}

impl Parties {
    /// Reads them from a message.
    ///
    /// # Errors
    /// The column that holds no id, and why. A column that is missing, null or empty is blank, and no error.
    pub fn of(messages: &Table, row: &Row) -> Result<Self, (&'static str, KeyError)> {
        let party = |column| match messages.id_in(row, column) {
            Ok(store) => Ok(Some(store)),
            Err(KeyError::Missing) => Ok(None),
            Err(error) => Err((column, error)),
        };
        Ok(Self { sender: party(SENDER_COLUMN)?, receiver: party(RECEIVER_COLUMN)? })
    }

    /// Who receives the message, the sender among them; each scope once, also where a store writes to itself. None for what central
    /// keeps to itself.
    pub fn scopes(&self) -> Vec<Scope> {
        let receiver = self.receiver.as_ref().filter(|receiver| self.sender.as_ref() != Some(*receiver));
        self.sender.iter().chain(receiver).cloned().map(Scope::Store).collect()
    }
}

/// How far a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The receiver has not dealt with it.
    New,
    /// It has.
    Processed,
}

impl Status {
    /// The status of a message; `None` if it has none of mSupply's two.
    pub fn of(messages: &Table, row: &Row) -> Option<Self> {
        match row.value(&messages.column_ref(STATUS_COLUMN)) {
            Some(Value::Text(text)) if text == "new" => Some(Self::New),
            Some(Value::Text(text)) if text == "processed" => Some(Self::Processed),
            _ => None,
        }
    }
}

/// Whether two images of a message with the same parties say the same, whatever their status. A null is as good as a column that is
/// not there: an application that hands over the whole record may fill in what it does not know.
pub fn says_the_same(messages: &Table, left: &Row, right: &Row) -> bool {
    let apart = [SENDER_COLUMN, RECEIVER_COLUMN, STATUS_COLUMN].map(|name| messages.column_ref(name));
    content(left, &apart).eq(content(right, &apart))
}

fn content<'a>(row: &'a Row, apart: &'a [ColumnRef]) -> impl Iterator<Item = &'a (ColumnRef, Value)> {
    row.columns().iter().filter(|(column, value)| *value != Value::Null && !apart.contains(column))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::json::row_from_json;

    fn message(data: &str) -> (Table, Row) {
        let table = Catalogue::embedded().table_by_name("message").unwrap().clone();
        let row = row_from_json(&table, &RecordId::new("M").unwrap(), data).unwrap();
        (table, row)
    }

    #[test]
    fn the_columns_that_are_judged_by_are_columns_of_the_table() {
        let (table, _) = message("{}");
        for name in [SENDER_COLUMN, RECEIVER_COLUMN, STATUS_COLUMN] {
            assert!(matches!(table.column_ref(name), ColumnRef::Known(_)), "{name}");
        }
    }

    #[test]
    fn a_message_goes_to_the_scopes_of_its_stores_and_to_each_once() {
        for (data, expected) in [
            (r#"{"fromStoreID":"A","toStoreID":"B"}"#, "store A, store B"),
            (r#"{"fromStoreID":"A","toStoreID":"A"}"#, "store A"),
            (r#"{"fromStoreID":"A","toStoreID":""}"#, "store A"),
            (r#"{"fromStoreID":null,"toStoreID":"B"}"#, "store B"),
            ("{}", ""),
        ] {
            let (table, row) = message(data);
            let scopes = Parties::of(&table, &row).unwrap().scopes();
            assert_eq!(scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "), expected, "{data}");
        }
    }

    #[test]
    fn what_is_no_id_is_not_taken_for_blank() {
        for (data, column) in [
            (r#"{"fromStoreID":7}"#.to_owned(), SENDER_COLUMN),
            (format!(r#"{{"toStoreID":"{}"}}"#, "x".repeat(65)), RECEIVER_COLUMN),
        ] {
            let (table, row) = message(&data);
            assert_eq!(Parties::of(&table, &row).unwrap_err().0, column);
        }
    }

    #[test]
    fn a_status_is_one_of_two_words() {
        for (data, expected) in [
            (r#"{"status":"new"}"#, Some(Status::New)),
            (r#"{"status":"processed"}"#, Some(Status::Processed)),
            (r#"{"status":"Processed"}"#, None),
            (r#"{"status":null}"#, None),
            ("{}", None),
        ] {
            let (table, row) = message(data);
            assert_eq!(Status::of(&table, &row), expected, "{data}");
        }
    }

    #[test]
    fn images_that_differ_in_their_status_and_in_nulls_say_the_same() {
        let (table, row) = message(r#"{"fromStoreID":"A","body":{"a":1},"status":"new"}"#);
        for (data, expected) in [
            (r#"{"fromStoreID":"A","toStoreID":"","body":{"a":1},"type":null,"status":"processed"}"#, true),
            (r#"{"fromStoreID":"A","body":{"a":2},"status":"new"}"#, false),
            (r#"{"fromStoreID":"A","body":{"a":1},"status":"new","extra":1}"#, false),
            (r#"{"fromStoreID":"A","status":"new"}"#, false),
        ] {
            assert_eq!(says_the_same(&table, &row, &message(data).1), expected, "{data}");
        }
    }
}
