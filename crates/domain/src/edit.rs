//! One edit as an application hands it over: a line of JSON.
//!
//! ```json
//! {"table":"unit","op":"upsert","id":"4F2A","data":{"ID":"4F2A","units":"tab"}}
//! {"table":"trans_line","op":"delete","id":"9C00"}
//! ```

use std::borrow::Cow;
use std::fmt;

use protocol::entry::Operation;
use protocol::ids::{RecordId, RecordIdError};
use protocol::limits;
use protocol::row::Row;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::apply::operation_for;
use crate::catalogue::Table;
use crate::json::{JsonError, row_from_json};

/// Longest line of edits, in bytes: a record of the largest size in which every character is written as an escape of six.
pub const LINE_BYTES_MAX: usize = 6 * limits::RECORD_BYTES_MAX + 4 * 1024;

/// What an application wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditOp {
    /// A put where the record is not here, else a patch of what differs, so that the record ends as the data.
    Upsert,
    /// The whole record.
    Put,
    /// The given columns; null erases one.
    Patch,
    /// The record goes.
    Delete,
}

impl EditOp {
    /// The word in the line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upsert => "upsert",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Upsert, Self::Put, Self::Patch, Self::Delete].into_iter().find(|op| op.as_str() == word)
    }
}

/// One edit. The data is kept as text until the table is known ([`crate::json::row_from_json`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The table's name.
    pub table: String,
    /// What to do.
    pub op: EditOp,
    /// The record.
    pub id: RecordId,
    /// The record's data as JSON; `None` for a delete alone.
    pub data: Option<String>,
}

impl Edit {
    /// Reads one line.
    ///
    /// # Errors
    /// [`EditError`] says what the line lacks or has too much.
    pub fn parse(line: &str) -> Result<Self, EditError> {
        if line.len() > LINE_BYTES_MAX {
            return Err(EditError::LineTooLong { bytes: line.len() });
        }
        let raw: RawEdit<'_> = serde_json::from_str(line).map_err(|error| {
            let message = error.to_string();
            if error.is_data() { EditError::Shape { message } } else { EditError::Syntax { message } }
        })?;
        if let Some(problem) = raw.problem {
            return Err(problem);
        }
        let table = text("table", raw.table)?.into_owned();
        if table.is_empty() || table.len() > limits::TABLE_NAME_BYTES_MAX {
            return Err(EditError::TableLength { bytes: table.len() });
        }
        let word = text("op", raw.op)?;
        let op = EditOp::of(&word).ok_or_else(|| EditError::Op { found: shortened(&word) })?;
        let id = RecordId::new(&text("id", raw.id)?).map_err(EditError::Id)?;
        let data = match (op, raw.data.filter(|data| *data != "null")) {
            (EditOp::Delete, None) => None,
            (EditOp::Delete, Some(_)) => return Err(EditError::DataOfDelete),
            (_, Some(data)) => Some(data.to_owned()),
            (_, None) => return Err(EditError::Missing { key: "data" }),
        };
        Ok(Self { table, op, id, data })
    }

    /// What to record, `current` being the record as it is here. `None`: an upsert of a record that is already so.
    ///
    /// # Errors
    /// [`JsonError`] for data that cannot be a row of the table.
    pub fn operation(&self, table: &Table, current: Option<&Row>) -> Result<Option<Operation>, JsonError> {
        let row = match &self.data {
            Some(data) => row_from_json(table, &self.id, data)?,
            None => Row::default(),
        };
        Ok(operation_for(self.op, current, row))
    }
}

/// A line that is no edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EditError {
    /// The line is above [`LINE_BYTES_MAX`].
    LineTooLong {
        /// Its length, in bytes.
        bytes: usize,
    },
    /// Not JSON.
    Syntax {
        /// What the parser says.
        message: String,
    },
    /// JSON, but not an object.
    Shape {
        /// What the parser says.
        message: String,
    },
    /// A key that no edit has.
    UnknownKey {
        /// The key, shortened.
        key: String,
    },
    /// A key that stands twice.
    DuplicateKey {
        /// The key.
        key: &'static str,
    },
    /// `table`, `op`, `id`, or the `data` of anything but a delete is not there.
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A key whose value must be text.
    NotText {
        /// The key.
        key: &'static str,
        /// Its value, shortened.
        found: String,
    },
    /// The table's name is empty or too long.
    TableLength {
        /// Its length, in bytes.
        bytes: usize,
    },
    /// An operation that does not exist.
    Op {
        /// What was given, shortened.
        found: String,
    },
    /// The id is empty or too long.
    Id(RecordIdError),
    /// A delete with data.
    DataOfDelete,
}

impl EditError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::LineTooLong { .. } => "line_too_long",
            Self::Syntax { .. } => "not_json",
            Self::Shape { .. } => "not_an_edit",
            Self::UnknownKey { .. } => "unknown_key",
            Self::DuplicateKey { .. } => "duplicate_key",
            Self::Missing { key: "table" } => "table_missing",
            Self::Missing { key: "op" } => "op_missing",
            Self::Missing { key: "id" } => "id_missing",
            Self::Missing { .. } => "data_missing",
            Self::NotText { .. } => "not_text",
            Self::TableLength { .. } => "table_name_length",
            Self::Op { .. } => "unknown_op",
            Self::Id(_) => "record_id_length",
            Self::DataOfDelete => "data_of_delete",
        }
    }
}

impl fmt::Display for EditError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineTooLong { bytes } => {
                write!(formatter, "the line has {bytes} bytes; at most {LINE_BYTES_MAX} are allowed")
            }
            Self::Syntax { message } => write!(formatter, "the line is not JSON: {message}"),
            Self::Shape { message } => {
                write!(formatter, "the line is not an edit, {{\"table\",\"op\",\"id\",\"data\"}}: {message}")
            }
            Self::UnknownKey { key } => {
                write!(formatter, "the edit has the key {key:?}; an edit has table, op, id and data")
            }
            Self::DuplicateKey { key } => write!(formatter, "the edit has the key {key:?} twice; give it once"),
            Self::Missing { key } => write!(formatter, "the edit has no {key:?}"),
            Self::NotText { key, found } => write!(formatter, "{key:?} is {found}; it must be a text"),
            Self::TableLength { bytes } => {
                write!(
                    formatter,
                    "the table's name has {bytes} bytes; it must have 1 to {}",
                    limits::TABLE_NAME_BYTES_MAX
                )
            }
            Self::Op { found } => write!(formatter, "there is no op {found:?}; use upsert, put, patch or delete"),
            Self::Id(error) => error.fmt(formatter),
            Self::DataOfDelete => formatter.write_str("a delete has data; leave the data out, or use upsert"),
        }
    }
}

impl std::error::Error for EditError {}

/// As much of a value as an error shows, in characters.
const SHOWN_CHARACTERS_MAX: usize = 80;

fn shortened(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS_MAX).collect()
}

fn text<'a>(key: &'static str, raw: Option<&'a str>) -> Result<Cow<'a, str>, EditError> {
    let raw = raw.ok_or(EditError::Missing { key })?;
    if let Some(plain) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))
        && !plain.contains('\\')
    {
        return Ok(Cow::Borrowed(plain));
    }
    serde_json::from_str(raw).map(Cow::Owned).map_err(|_| EditError::NotText { key, found: shortened(raw) })
}

/// The line's values as they stand.
#[derive(Default)]
struct RawEdit<'a> {
    table: Option<&'a str>,
    op: Option<&'a str>,
    id: Option<&'a str>,
    data: Option<&'a str>,
    /// The first thing that is wrong with the keys.
    problem: Option<EditError>,
}

impl<'de> Deserialize<'de> for RawEdit<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EditVisitor)
    }
}

struct EditVisitor;

impl<'de> Visitor<'de> for EditVisitor {
    type Value = RawEdit<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawEdit<'de>, A::Error> {
        let mut edit = RawEdit::default();
        while let Some(key) = map.next_key_seed(KeySeed)? {
            let (name, slot) = match key {
                Ok(name @ "table") => (name, &mut edit.table),
                Ok(name @ "op") => (name, &mut edit.op),
                Ok(name @ "id") => (name, &mut edit.id),
                Ok(name) => (name, &mut edit.data),
                Err(key) => {
                    map.next_value::<IgnoredAny>()?;
                    edit.problem.get_or_insert(EditError::UnknownKey { key });
                    continue;
                }
            };
            let value = map.next_value::<&RawValue>()?.get();
            if slot.replace(value).is_some() {
                edit.problem.get_or_insert(EditError::DuplicateKey { key: name });
            }
        }
        Ok(edit)
    }
}

/// One of an edit's keys, or the beginning of another one. No text is made for a key that is known.
struct KeySeed;

/// The keys of an edit.
const KEYS: [&str; 4] = ["table", "op", "id", "data"];

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Result<&'static str, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Result<&'static str, String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(KEYS.into_iter().find(|known| *known == key).ok_or_else(|| shortened(key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_edit_keeps_its_data_as_it_was_written() {
        let edit = Edit::parse(r#"{"table":"unit","op":"upsert","id":"A1","data":{"ID":"A1", "n":1.50}}"#).unwrap();

        assert_eq!(
            edit,
            Edit {
                table: "unit".to_owned(),
                op: EditOp::Upsert,
                id: RecordId::new("A1").unwrap(),
                data: Some(r#"{"ID":"A1", "n":1.50}"#.to_owned()),
            }
        );
    }

    #[test]
    fn a_delete_has_no_data() {
        let edit = Edit::parse(r#" {"id":"A1","op":"delete","table":"unit","data":null} "#).unwrap();

        assert_eq!((edit.op, edit.data), (EditOp::Delete, None));
    }

    #[test]
    fn an_edit_becomes_the_operation_that_the_record_needs() {
        let catalogue = crate::catalogue::Catalogue::embedded();
        let unit = catalogue.table_by_name("unit").unwrap();
        let upsert = Edit::parse(r#"{"table":"unit","op":"upsert","id":"A1","data":{"units":"tab"}}"#).unwrap();
        let delete = Edit::parse(r#"{"table":"unit","op":"delete","id":"A1"}"#).unwrap();
        let wrong = Edit::parse(r#"{"table":"unit","op":"put","id":"A1","data":{"ID":"A2"}}"#).unwrap();

        let Ok(Some(Operation::Put(row))) = upsert.operation(unit, None) else { panic!("not a put") };

        assert_eq!(upsert.operation(unit, Some(&row)), Ok(None));
        assert_eq!(delete.operation(unit, Some(&row)), Ok(Some(Operation::Delete)));
        assert_eq!(wrong.operation(unit, None).unwrap_err().code(), "id_differs");
    }

    #[test]
    fn each_thing_that_a_line_can_lack_or_have_too_much_has_its_own_code() {
        let long_id = format!(r#"{{"table":"unit","op":"delete","id":"{}"}}"#, "x".repeat(65));
        let long_table = format!(r#"{{"table":"{}","op":"delete","id":"x"}}"#, "x".repeat(65));
        let long_line = " ".repeat(LINE_BYTES_MAX + 1);
        for (line, code) in [
            ("", "not_json"),
            ("{", "not_json"),
            (r#"{"table":"unit","op":"delete","id":"x"} {}"#, "not_json"),
            ("[]", "not_an_edit"),
            ("7", "not_an_edit"),
            (r#"{"op":"delete","id":"x"}"#, "table_missing"),
            (r#"{"table":"unit","id":"x"}"#, "op_missing"),
            (r#"{"table":"unit","op":"delete"}"#, "id_missing"),
            (r#"{"table":"unit","op":"put","id":"x"}"#, "data_missing"),
            (r#"{"table":"unit","op":"patch","id":"x","data":null}"#, "data_missing"),
            (r#"{"table":"unit","op":"delete","id":"x","data":{}}"#, "data_of_delete"),
            (r#"{"table":"unit","op":"delete","id":7}"#, "not_text"),
            (r#"{"table":null,"op":"delete","id":"x"}"#, "not_text"),
            (r#"{"table":"unit","op":"insert","id":"x"}"#, "unknown_op"),
            (r#"{"table":"unit","op":"delete","id":""}"#, "record_id_length"),
            (&long_id, "record_id_length"),
            (&long_table, "table_name_length"),
            (r#"{"table":"","op":"delete","id":"x"}"#, "table_name_length"),
            (r#"{"table":"unit","op":"delete","id":"x","Data":{}}"#, "unknown_key"),
            (r#"{"table":"unit","op":"delete","id":"x","id":"y"}"#, "duplicate_key"),
            (&long_line, "line_too_long"),
        ] {
            let error = Edit::parse(line).unwrap_err();
            assert_eq!(error.code(), code, "{line:.80}: {error}");
            assert!(error.to_string().len() < 400, "{error}");
        }
    }

    proptest! {
        #[test]
        fn rubbish_never_panics(line in ".*") {
            let _ = Edit::parse(&line);
        }
    }
}
