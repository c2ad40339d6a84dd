//! JSON text to a row. Each value is taken as its own piece of the text, so no tree of values is built.

use std::fmt;

use protocol::ids::RecordId;
use protocol::limits;
use protocol::row::{ColumnRef, Row, Value, sort_columns};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::JsonError;
use crate::catalogue::Table;

/// Reads a record's data: an object whose keys are the table's columns. The id column may be left out.
///
/// # Errors
/// [`JsonError`] says what is wrong, with the value and the limit.
pub fn row_from_json(table: &Table, id: &RecordId, object: &str) -> Result<Row, JsonError> {
    if let Some(found) = other_than_object(object) {
        return Err(JsonError::NotObject { found });
    }
    let mut deserializer = serde_json::Deserializer::from_str(object);
    let members = Members { table }
        .deserialize(&mut deserializer)
        .and_then(|members| deserializer.end().map(|()| members))
        .map_err(|error| JsonError::Syntax { message: error.to_string() })?;
    if members.count > limits::ROW_COLUMNS_MAX {
        return Err(JsonError::TooManyColumns { found: members.count });
    }
    if let Some(key) = members.duplicate {
        return Err(JsonError::DuplicateKey { key });
    }
    if let Some(raw) = members.id {
        check_id(table, id, raw)?;
    }
    let mut columns = Vec::with_capacity(members.values.len());
    for (column, raw) in members.values {
        if let ColumnRef::Named(name) = &column
            && (name.is_empty() || name.len() > limits::COLUMN_NAME_BYTES_MAX)
        {
            return Err(JsonError::KeyLength { bytes: name.len() });
        }
        let value = read_value(raw).map_err(|problem| problem.at(table, &column))?;
        columns.push((column, value));
    }
    sort_columns(&mut columns);
    if let Some((column, _)) = columns.windows(2).find_map(|pair| match pair {
        [left, right] if left.0 == right.0 => Some(left),
        _ => None,
    }) {
        return Err(JsonError::DuplicateKey { key: table.name_of(column).into_owned() });
    }
    let row = Row::new(columns).expect("names, count and repetition were checked above");
    // A packed column is at most four bytes longer than its JSON, so most records need not be packed to be measured.
    if object.len() + 4 * members.count > limits::RECORD_BYTES_MAX {
        let bytes = row.to_bytes().len();
        if bytes > limits::RECORD_BYTES_MAX {
            return Err(JsonError::TooLarge { bytes });
        }
    }
    Ok(row)
}

/// Whether a value that came in a row is one that JSON can show.
pub(crate) fn check_value(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Text(_) => true,
        Value::Number(text) => {
            text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
                && !text.ends_with(|last: char| last.is_ascii_whitespace())
                && serde_json::from_str::<IgnoredAny>(text).is_ok()
        }
        Value::Json(text) => {
            text.starts_with(['[', '{'])
                && serde_json::from_str::<&RawValue>(text).is_ok()
                && compact(text).is_ok_and(|same| same == *text)
        }
    }
}

fn check_id(table: &Table, id: &RecordId, raw: &str) -> Result<(), JsonError> {
    if serde_json::from_str::<String>(raw).is_ok_and(|found| found == id.as_str()) {
        return Ok(());
    }
    Err(JsonError::IdDiffers {
        column: table.id_column().to_owned(),
        found: raw.chars().take(limits::RECORD_ID_BYTES_MAX + 2).collect(),
        expected: id.as_str().to_owned(),
    })
}

/// What a text begins to be, if it is JSON but no object. Left to the parser otherwise, which knows the place of an error.
fn other_than_object(text: &str) -> Option<&'static str> {
    let found = match text.trim_start_matches([' ', '\t', '\r', '\n']).as_bytes().first()? {
        b'[' => "a list",
        b'"' => "a text",
        b't' | b'f' => "a truth value",
        b'n' => "null",
        b'-' | b'0'..=b'9' => "a number",
        _ => return None,
    };
    serde_json::from_str::<IgnoredAny>(text).is_ok().then_some(found)
}

/// Columns that most records have at most.
const USUAL_COLUMNS: usize = 32;

struct Members<'t> {
    table: &'t Table,
}

struct Found<'de> {
    id: Option<&'de str>,
    values: Vec<(ColumnRef, &'de str)>,
    /// All columns, also those above the limit, which are not kept.
    count: usize,
    duplicate: Option<String>,
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = Found<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Found<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Found<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        let mut found = Found { id: None, values: Vec::with_capacity(USUAL_COLUMNS), count: 0, duplicate: None };
        while let Some(column) = map.next_key_seed(Key { table: self.table })? {
            let raw = map.next_value::<&RawValue>()?.get();
            match column {
                None if found.id.is_some() => found.duplicate = Some(self.table.id_column().to_owned()),
                None => found.id = Some(raw),
                Some(column) => {
                    found.count += 1;
                    if found.count <= limits::ROW_COLUMNS_MAX {
                        found.values.push((column, raw));
                    }
                }
            }
        }
        Ok(found)
    }
}

/// A key: `None` for the id column.
struct Key<'t> {
    table: &'t Table,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<ColumnRef>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<ColumnRef>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok((key != self.table.id_column()).then(|| self.table.column_ref(key)))
    }
}

/// Why a value was not taken; the key is known one level up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ValueProblem {
    TooDeep,
    Syntax(String),
}

impl ValueProblem {
    fn at(self, table: &Table, column: &ColumnRef) -> JsonError {
        let key = table.name_of(column).into_owned();
        match self {
            Self::TooDeep => JsonError::TooDeep { key },
            Self::Syntax(message) => JsonError::Syntax { message: format!("{message} in the value of {key:?}") },
        }
    }
}

fn read_value(raw: &str) -> Result<Value, ValueProblem> {
    Ok(match raw.as_bytes().first() {
        Some(b'n') => Value::Null,
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'"') => Value::Text(read_text(raw)?),
        Some(b'[' | b'{') => Value::Json(compact(raw)?),
        _ => Value::Number(raw.to_owned()),
    })
}

fn read_text(raw: &str) -> Result<String, ValueProblem> {
    if let Some(plain) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))
        && !plain.contains('\\')
    {
        return Ok(plain.to_owned());
    }
    serde_json::from_str(raw).map_err(|error| ValueProblem::Syntax(error.to_string()))
}

/// Correct JSON without the white space between its parts. Texts inside it must be real texts: half a surrogate pair, which
/// JSON's grammar lets through, is refused because no program could read it back.
pub(crate) fn compact(raw: &str) -> Result<String, ValueProblem> {
    let mut output = String::with_capacity(raw.len());
    let mut depth = 0_usize;
    let mut rest = raw;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                let length = text_length(rest);
                let (text, _) = rest.split_at(length);
                if text.contains("\\u") {
                    read_text(text)?;
                }
                length
            }
            '[' | '{' => {
                depth += 1;
                if depth > limits::JSON_DEPTH_MAX {
                    return Err(ValueProblem::TooDeep);
                }
                1
            }
            ']' | '}' => {
                depth = depth.saturating_sub(1);
                1
            }
            other => other.len_utf8(),
        };
        let (part, behind) = rest.split_at(length);
        if !matches!(first, ' ' | '\t' | '\r' | '\n') {
            output.push_str(part);
        }
        rest = behind;
    }
    Ok(output)
}

/// Bytes of the text literal at the front, with its quotes.
fn text_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}
