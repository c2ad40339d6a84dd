//! Reading the columns of a record, and writing those of a new one. Called some hundred times, so nothing of it is inlined: a device has to
//! carry it.

use protocol::ids::RecordId;
use protocol::row::{ColumnRef, Row, Value};

use crate::catalogue::Table;

/// A record that is read.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    pub(super) table: &'a Table,
    pub(super) row: Row,
}

impl<'a> Fields<'a> {
    pub(super) fn new(table: &'a Table, row: Row) -> Self {
        Self { table, row }
    }

    #[inline(never)]
    pub(super) fn value(&self, column: &str) -> Option<&Value> {
        self.row.value(&self.table.column_ref(column)).filter(|value| **value != Value::Null)
    }

    /// Text; what is none, or not there, is empty.
    #[inline(never)]
    pub(super) fn text(&self, column: &str) -> &str {
        match self.value(column) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// Whether a column holds one of mSupply's words. Real data has `FN` beside `fn`.
    #[inline(never)]
    pub(super) fn is(&self, column: &str, word: &str) -> bool {
        self.text(column).eq_ignore_ascii_case(word)
    }

    /// An id; `None` where the column holds none.
    #[inline(never)]
    pub(super) fn id(&self, column: &str) -> Option<RecordId> {
        self.table.id_in(&self.row, column).ok()
    }

    /// A number; 0 where the column holds none.
    #[inline(never)]
    pub(super) fn number(&self, column: &str) -> f64 {
        self.value(column).and_then(number_of).unwrap_or(0.0)
    }

    /// A number as somebody would write it, for a text.
    pub(super) fn number_text(&self, column: &str) -> &str {
        match self.value(column) {
            Some(Value::Number(text) | Value::Text(text)) => text,
            _ => "",
        }
    }

    #[inline(never)]
    pub(super) fn flag(&self, column: &str) -> bool {
        self.value(column) == Some(&Value::Bool(true))
    }

    /// The texts of some keys of a column that holds an object.
    pub(super) fn texts_within(&self, column: &str, keys: &[&str]) -> Vec<(String, String)> {
        let object = self.value(column).and_then(object_in);
        let text = |key: &&str| Some(((*key).to_owned(), object.as_ref()?.get(*key)?.as_str()?.to_owned()));
        keys.iter().filter_map(text).filter(|(_, text)| !text.is_empty()).collect()
    }

    /// Whether an object in a column says that something is so.
    pub(super) fn flag_within(&self, column: &str, key: &str) -> bool {
        self.value(column).and_then(object_in).and_then(|object| object.get(key)?.as_bool()).unwrap_or(false)
    }
}

/// mSupply writes objects as JSON, and in some columns as a text that holds JSON.
fn object_in(value: &Value) -> Option<serde_json::Map<String, serde_json::Value>> {
    match value {
        Value::Json(text) | Value::Text(text) => serde_json::from_str(text).ok(),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(text) | Value::Text(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
        Value::Null | Value::Bool(_) | Value::Json(_) => None,
    }
}

/// Decimal places that a quantity or price which is worked out is rounded to: mSupply shows fewer, and on every processor the same text
/// comes out.
const PLACES: usize = 6;

/// A quantity or price that was worked out. What is beyond every number, of rubbish, is 0.
pub(super) fn number(worked_out: f64) -> Value {
    let worked_out = if worked_out.is_finite() { worked_out } else { 0.0 };
    let text = format!("{worked_out:.PLACES$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    Value::Number(if text.is_empty() || text == "-0" { "0" } else { text }.to_owned())
}

/// The columns of a new record.
pub(super) struct Columns<'a> {
    table: &'a Table,
    columns: Vec<(ColumnRef, Value)>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(table: &'a Table) -> Self {
        Self { table, columns: Vec::new() }
    }

    #[inline(never)]
    pub(super) fn set(mut self, column: &str, value: Value) -> Self {
        self.columns.push((self.table.column_ref(column), value));
        self
    }

    #[inline(never)]
    pub(super) fn text(self, column: &str, text: &str) -> Self {
        self.set(column, Value::Text(text.to_owned()))
    }

    /// An id, or the empty text by which mSupply says that there is none.
    #[inline(never)]
    pub(super) fn id(self, column: &str, id: Option<&RecordId>) -> Self {
        self.text(column, id.map_or("", RecordId::as_str))
    }

    #[inline(never)]
    pub(super) fn whole(self, column: &str, number: i64) -> Self {
        self.set(column, Value::Number(number.to_string()))
    }

    #[inline(never)]
    pub(super) fn flag(self, column: &str, is_so: bool) -> Self {
        self.set(column, Value::Bool(is_so))
    }

    /// A key that Open mSupply wants to be there, and that holds nothing.
    #[inline(never)]
    pub(super) fn nothing(self, columns: &[&str]) -> Self {
        columns.iter().fold(self, |made, column| made.set(column, Value::Null))
    }

    /// The same for columns of texts and ids.
    #[inline(never)]
    pub(super) fn empty(self, columns: &[&str]) -> Self {
        columns.iter().fold(self, |made, column| made.text(column, ""))
    }

    /// The same for columns of numbers.
    #[inline(never)]
    pub(super) fn zero(self, columns: &[&str]) -> Self {
        columns.iter().fold(self, |made, column| made.whole(column, 0))
    }

    /// Columns as another record has them; what it does not have is left out.
    #[inline(never)]
    pub(super) fn copied(self, from: &Fields<'_>, columns: &[&str]) -> Self {
        columns.iter().fold(self, |made, column| made.copied_to(column, from, column))
    }

    /// A column as another record has one of another name.
    #[inline(never)]
    pub(super) fn copied_to(self, column: &str, from: &Fields<'_>, source: &str) -> Self {
        match from.value(source) {
            Some(value) => self.set(column, value.clone()),
            None => self,
        }
    }

    /// Some texts as an object; nothing where there are none.
    pub(super) fn object(self, column: &str, texts: &[(String, String)]) -> Self {
        if texts.is_empty() {
            return self;
        }
        let object: serde_json::Map<_, _> =
            texts.iter().map(|(key, text)| (key.clone(), text.as_str().into())).collect();
        self.set(column, Value::Json(serde_json::Value::Object(object).to_string()))
    }

    #[inline(never)]
    pub(super) fn row(self) -> Row {
        Row::new(self.columns).expect("each column of a mapping is given once, with a name of the catalogue")
    }
}
