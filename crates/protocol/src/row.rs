//! A record's columns, packed (`docs/wire-format.md`, "Row").
//!
//! A row is the number of columns, then each column: known columns in ascending order of their catalogue number, then columns
//! that the catalogue does not list, in ascending order of their name.
//!
//! | field | bytes | |
//! | --- | --- | --- |
//! | tag | 1 | low four bits: kind of the value; high four bits: 0 to 13 how many known columns were skipped since the one before, 14 the same as a varint that follows, 15 a named column |
//! | name | 1+n | only for a named column: length, UTF-8 |
//! | value | by kind | see [`Value`] |

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::bytes::{DecodeError, Reader, put_count, put_number, put_signed, put_text};
use crate::ids::PackedId;
use crate::limits;

/// A column: a number of the catalogue (counted within its table), or a name that the catalogue does not list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ColumnRef {
    /// By its number, which never changes its meaning.
    Known(u16),
    /// By name, 1 to [`limits::COLUMN_NAME_BYTES_MAX`] bytes.
    Named(String),
}

impl ColumnRef {
    /// A column that travels by its name.
    pub fn named(name: &str) -> Self {
        Self::Named(name.into())
    }
}

/// A value as JSON knows it. What an application wrote comes out with the same text.
///
/// | kind | value | bytes |
/// | --- | --- | --- |
/// | 0, 1, 2 | null, false, true | none |
/// | 3 | whole number that fits 64 bits | zigzag varint |
/// | 4 | decimal fraction such as `12.30` | scale (1 to 18), then the digits as a zigzag varint |
/// | 5 | any other number | its text |
/// | 6 | text | length, UTF-8 |
/// | 7 | list or object | length, compact JSON |
/// | 8 to 11 | text that is a hexadecimal id of form 1 to 4 | 16 |
/// | 12 | text that is a date `YYYY-MM-DD` | 3, big-endian: year in the upper 14 bits, month 4, day 5 |
/// | 13 | empty text | none |
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// JSON null; in a patch it erases the column.
    Null,
    /// JSON true or false.
    Bool(bool),
    /// A number by its JSON text: sign, digits, fraction, exponent exactly as written.
    Number(String),
    /// Text.
    Text(String),
    /// A list or an object as compact JSON.
    Json(String),
}

/// Columns of one record, without its id: sorted, each at most once. Copies of a row share them: it is handed around more often than
/// it is changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Row {
    columns: Arc<Vec<(ColumnRef, Value)>>,
}

impl Row {
    /// Sorts the columns.
    ///
    /// # Errors
    /// The name of a rule that is broken: a column given twice, too many columns, a name that is empty or too long.
    pub fn new(mut columns: Vec<(ColumnRef, Value)>) -> Result<Self, DecodeError> {
        if columns.len() > limits::ROW_COLUMNS_MAX {
            return Err(DecodeError::AboveLimit { limit: "ROW_COLUMNS_MAX", found: columns.len() });
        }
        sort_columns(&mut columns);
        if columns.windows(2).any(|pair| matches!(pair, [left, right] if left.0 == right.0)) {
            return Err(DecodeError::Invalid("a column is given twice"));
        }
        for (column, _) in &columns {
            if let ColumnRef::Named(name) = column
                && (name.is_empty() || name.len() > limits::COLUMN_NAME_BYTES_MAX)
            {
                return Err(DecodeError::AboveLimit { limit: "COLUMN_NAME_BYTES_MAX", found: name.len() });
            }
        }
        Ok(Self::of_sorted(columns))
    }

    fn of_sorted(columns: Vec<(ColumnRef, Value)>) -> Self {
        Self { columns: Arc::new(columns) }
    }

    /// The columns in their order.
    pub fn columns(&self) -> &[(ColumnRef, Value)] {
        &self.columns
    }

    /// The columns, taken.
    pub fn into_columns(self) -> Vec<(ColumnRef, Value)> {
        Arc::unwrap_or_clone(self.columns)
    }

    /// The value of a column, if the row has it.
    pub fn value(&self, column: &ColumnRef) -> Option<&Value> {
        self.columns
            .binary_search_by(|probe| probe.0.cmp(column))
            .ok()
            .and_then(|index| self.columns.get(index))
            .map(|c| &c.1)
    }

    /// Whether the row has no column at all.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Appends the packed row.
    pub fn encode(&self, output: &mut Vec<u8>) {
        put_count(output, self.columns.len());
        let mut expected = 0_u16;
        for (column, value) in self.columns() {
            let packed = Packed::of(value);
            match column {
                ColumnRef::Known(number) => {
                    let skipped = number - expected;
                    if skipped < 14 {
                        output.push(u8::try_from(skipped).expect("below 14") << 4 | packed.kind());
                    } else {
                        output.push(14 << 4 | packed.kind());
                        put_number(output, u64::from(skipped));
                    }
                    expected = number.saturating_add(1);
                }
                ColumnRef::Named(name) => {
                    output.push(15 << 4 | packed.kind());
                    put_text(output, name);
                }
            }
            packed.encode(output);
        }
    }

    /// The packed row by itself.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut output = Vec::new();
        self.encode(&mut output);
        output
    }

    /// Reads a row that fills the bytes.
    ///
    /// # Errors
    /// [`DecodeError`] for bytes that no row has.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let row = Self::read(&mut reader)?;
        reader.end()?;
        Ok(row)
    }

    /// Reads a row from the front.
    ///
    /// # Errors
    /// [`DecodeError`] for bytes that no row has.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = reader.count(limits::ROW_COLUMNS_MAX, "ROW_COLUMNS_MAX")?;
        let mut columns: Vec<(ColumnRef, Value)> = Vec::with_capacity(count);
        let mut expected = 0_u64;
        for _ in 0..count {
            let tag = reader.byte()?;
            let column = match tag >> 4 {
                15 => {
                    let name = reader.text(limits::COLUMN_NAME_BYTES_MAX, "COLUMN_NAME_BYTES_MAX")?;
                    if name.is_empty() {
                        return Err(DecodeError::Invalid("a column has no name"));
                    }
                    ColumnRef::Named(name)
                }
                short => {
                    let skipped = if short == 14 { reader.number()? } else { u64::from(short) };
                    let number = expected.checked_add(skipped).and_then(|number| u16::try_from(number).ok());
                    let number = number.ok_or(DecodeError::NumberTooLarge)?;
                    expected = u64::from(number) + 1;
                    ColumnRef::Known(number)
                }
            };
            if columns.last().is_some_and(|last| last.0 >= column) {
                return Err(DecodeError::Invalid("columns are not in order"));
            }
            columns.push((column, read_value(tag & 15, reader)?));
        }
        Ok(Self::of_sorted(columns))
    }

    /// This row with the columns of `patch` put over it; a null erases its column.
    #[must_use]
    pub fn patched(&self, patch: &Row) -> Row {
        let mut columns = Vec::with_capacity(self.columns.len() + patch.columns.len());
        let mut mine = self.columns.iter().peekable();
        for (column, value) in patch.columns() {
            while let Some(kept) = mine.next_if(|kept| kept.0 < *column) {
                columns.push(kept.clone());
            }
            mine.next_if(|kept| kept.0 == *column);
            if *value != Value::Null {
                columns.push((column.clone(), value.clone()));
            }
        }
        columns.extend(mine.cloned());
        Self::of_sorted(columns)
    }

    /// What turns this row into `other`: changed and new columns, null for those that are gone. Nulls in a row count as absent.
    #[must_use]
    pub fn difference(&self, other: &Row) -> Row {
        let mut columns = Vec::new();
        for (column, value) in other.columns() {
            let before = self.value(column).unwrap_or(&Value::Null);
            if before != value {
                columns.push((column.clone(), value.clone()));
            }
        }
        for (column, value) in self.columns() {
            if *value != Value::Null && other.value(column).is_none() {
                columns.push((column.clone(), Value::Null));
            }
        }
        sort_columns(&mut columns);
        Self::of_sorted(columns)
    }

    /// The row without its null columns. (A put keeps its nulls, so that a record reads back as it was handed over.)
    #[must_use]
    pub fn without_nulls(mut self) -> Row {
        if self.columns.iter().any(|column| column.1 == Value::Null) {
            Arc::make_mut(&mut self.columns).retain(|column| column.1 != Value::Null);
        }
        self
    }
}

/// A value in the smallest form that gives its text back.
enum Packed<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Decimal { scale: u8, digits: i64 },
    Number(&'a str),
    Text(&'a str),
    Json(&'a str),
    Id { form: u8, bytes: [u8; 16] },
    Date([u8; 3]),
    Empty,
}

impl<'a> Packed<'a> {
    fn of(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(text) => number(text),
            Value::Json(text) => Self::Json(text),
            Value::Text(text) if text.is_empty() => Self::Empty,
            Value::Text(text) => match (date(text), PackedId::of(text)) {
                (Some(bytes), _) => Self::Date(bytes),
                (None, PackedId::Hex { form, bytes }) => Self::Id { form, bytes },
                (None, PackedId::Text) => Self::Text(text),
            },
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(false) => 1,
            Self::Bool(true) => 2,
            Self::Integer(_) => 3,
            Self::Decimal { .. } => 4,
            Self::Number(_) => 5,
            Self::Text(_) => 6,
            Self::Json(_) => 7,
            Self::Id { form, .. } => 7 + form,
            Self::Date(_) => 12,
            Self::Empty => 13,
        }
    }

    fn encode(&self, output: &mut Vec<u8>) {
        match self {
            Self::Null | Self::Bool(_) | Self::Empty => {}
            Self::Integer(value) => put_signed(output, *value),
            Self::Decimal { scale, digits } => {
                output.push(*scale);
                put_signed(output, *digits);
            }
            Self::Number(text) | Self::Text(text) | Self::Json(text) => put_text(output, text),
            Self::Id { bytes, .. } => output.extend_from_slice(bytes),
            Self::Date(bytes) => output.extend_from_slice(bytes),
        }
    }
}

fn read_value(kind: u8, reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    Ok(match kind {
        0 => Value::Null,
        1 => Value::Bool(false),
        2 => Value::Bool(true),
        3 => Value::Number(format!("{}", reader.signed()?)),
        4 => {
            let scale = reader.byte()?;
            let digits = reader.signed()?;
            Value::Number(decimal_text(scale, digits)?)
        }
        5 => Value::Number(reader.text(limits::RECORD_BYTES_MAX, "RECORD_BYTES_MAX")?),
        6 => Value::Text(reader.text(limits::RECORD_BYTES_MAX, "RECORD_BYTES_MAX")?),
        7 => Value::Json(reader.text(limits::RECORD_BYTES_MAX, "RECORD_BYTES_MAX")?),
        8..=11 => {
            let text = PackedId::text(kind - 7, reader.array()?);
            Value::Text(text.ok_or(DecodeError::Unknown { what: "id form", value: kind })?)
        }
        12 => {
            let [high, middle, low] = reader.array()?;
            let packed = u32::from_be_bytes([0, high, middle, low]);
            // A fifth digit would make a text that is no date, and longer than the bytes it came in.
            if packed >> 9 > YEAR_MAX {
                return Err(DecodeError::Invalid("a date has a year of more than four digits"));
            }
            Value::Text(format!("{:04}-{:02}-{:02}", packed >> 9, packed >> 5 & 15, packed & 31))
        }
        13 => Value::Text(String::new()),
        value => return Err(DecodeError::Unknown { what: "kind of value", value }),
    })
}

/// The last year of four digits.
const YEAR_MAX: u32 = 9999;

/// Decimal places above this stay text: more digits do not fit 64 bits anyway.
const SCALE_MAX: u8 = 18;

/// Without a text made for comparing: every number of every edit comes through here.
fn number(text: &str) -> Packed<'_> {
    let (is_negative, unsigned) = text.strip_prefix('-').map_or((false, text), |unsigned| (true, unsigned));
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    let is_shortest = whole == "0" || !whole.starts_with('0');
    let scale = u8::try_from(fraction.map_or(0, str::len)).unwrap_or(u8::MAX);
    let has_digits = !whole.is_empty() && scale <= SCALE_MAX && fraction != Some("");
    let mut digits = 0_i64;
    for digit in whole.bytes().chain(fraction.unwrap_or_default().bytes()) {
        if !digit.is_ascii_digit() {
            return Packed::Number(text);
        }
        let digit = i64::from(digit - b'0');
        // Downwards for a negative one, whose last value has no positive counterpart.
        let next = digits
            .checked_mul(10)
            .and_then(|tens| if is_negative { tens.checked_sub(digit) } else { tens.checked_add(digit) });
        match next {
            Some(next) => digits = next,
            None => return Packed::Number(text),
        }
    }
    // The sign of zero would be lost.
    if !is_shortest || !has_digits || (is_negative && digits == 0) {
        return Packed::Number(text);
    }
    if fraction.is_none() { Packed::Integer(digits) } else { Packed::Decimal { scale, digits } }
}

fn decimal_text(scale: u8, digits: i64) -> Result<String, DecodeError> {
    if !(1..=SCALE_MAX).contains(&scale) {
        return Err(DecodeError::Unknown { what: "decimal scale", value: scale });
    }
    let unit = 10_u64.pow(u32::from(scale));
    let magnitude = digits.unsigned_abs();
    let sign = if digits < 0 { "-" } else { "" };
    Ok(format!("{sign}{}.{:0width$}", magnitude / unit, magnitude % unit, width = usize::from(scale)))
}

/// A text that is exactly four digits, dash, two digits, dash, two digits, with fields that fit; month and day need not exist.
fn date(text: &str) -> Option<[u8; 3]> {
    let bytes: &[u8; 10] = text.as_bytes().try_into().ok()?;
    let [_, _, _, _, b'-', _, _, b'-', _, _] = bytes else { return None };
    let part = |range: core::ops::Range<usize>| -> Option<u32> {
        let digits = text.get(range)?;
        if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok()
    };
    let (year, month, day) = (part(0..4)?, part(5..7)?, part(8..10)?);
    if month > 15 || day > 31 {
        return None;
    }
    let [_, high, middle, low] = (year << 9 | month << 5 | day).to_be_bytes();
    Some([high, middle, low])
}

/// Sorts columns as a row has them: one sort for all rows.
pub fn sort_columns(columns: &mut [(ColumnRef, Value)]) {
    columns.sort_by(|left, right| left.0.cmp(&right.0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use proptest::prelude::*;

    fn comes_back(value: Value) {
        let row = Row::new(vec![(ColumnRef::Known(3), value)]).unwrap();
        assert_eq!(Row::decode(&row.to_bytes()), Ok(row));
    }

    #[test]
    fn numbers_keep_their_text() {
        for text in [
            "0",
            "-0",
            "7",
            "-7",
            "12.30",
            "0.5",
            "-0.5",
            "-0.0",
            "007",
            "1e5",
            "1E+5",
            "9223372036854775807",
            "9223372036854775808",
            "0.000000000000000001",
            "0.0000000000000000001",
            "123456789012345678901234567890.5",
            ".5",
            "5.",
        ] {
            comes_back(Value::Number(text.to_string()));
        }
    }

    fn as_packed(packed: &Packed<'_>) -> (u8, Vec<u8>) {
        let mut bytes = Vec::new();
        packed.encode(&mut bytes);
        (packed.kind(), bytes)
    }

    /// As the format says it: the kind is the first whose text, written anew, is the same.
    fn number_by_writing(text: &str) -> (u8, Vec<u8>) {
        let packed = match text.parse::<i64>() {
            Ok(value) if format!("{value}") == text => Packed::Integer(value),
            _ => {
                let parts = text.split_once('.').and_then(|(whole, fraction)| {
                    let scale = u8::try_from(fraction.len()).ok().filter(|scale| (1..=SCALE_MAX).contains(scale))?;
                    let digits = format!("{whole}{fraction}").parse::<i64>().ok()?;
                    (decimal_text(scale, digits).as_deref() == Ok(text)).then_some((scale, digits))
                });
                parts.map_or(Packed::Number(text), |(scale, digits)| Packed::Decimal { scale, digits })
            }
        };
        as_packed(&packed)
    }

    proptest! {
        #[test]
        fn a_number_is_packed_as_writing_it_anew_would_have_it(text in "[-+]?[0-9]{0,21}(\\.[0-9]{0,20})?([eE][0-9])?") {
            prop_assert_eq!(as_packed(&number(&text)), number_by_writing(&text), "{}", text);
        }
    }

    #[test]
    fn the_last_numbers_of_64_bits_are_packed_as_whole_numbers_and_those_behind_them_as_texts() {
        for text in [
            "-9223372036854775808",
            "9223372036854775807",
            "-9223372036854775809",
            "9223372036854775808",
            "-922337203685477580.8",
            "-0.0",
            "-0",
            "00.5",
            "",
            "-",
            ".",
            "-.5",
        ] {
            assert_eq!(as_packed(&number(text)), number_by_writing(text), "{text}");
        }
    }

    #[test]
    fn texts_that_look_like_dates_and_ids_come_back() {
        for text in [
            "",
            "2026-01-05",
            "0000-00-00",
            "2026-13-05",
            "2026-01-32",
            "20a6-01-05",
            "00112233445566778899AABBCCDDEEFF",
            "é",
        ] {
            comes_back(Value::Text(text.to_string()));
        }
    }

    /// A row of 512 such dates grew by 4,608 bytes when it was written again, past the limit of a record.
    #[test]
    fn a_date_beyond_the_year_9999_is_refused() {
        let row = |year: u32| {
            let [_, high, middle, low] = (year << 9 | 1 << 5 | 1).to_be_bytes();
            Row::decode(&[1, 12, high, middle, low])
        };

        assert_eq!(row(9999).unwrap().columns()[0].1, Value::Text("9999-01-01".to_string()));
        assert!(row(10_000).is_err());
    }

    #[test]
    fn a_dense_row_costs_one_byte_a_column_beside_its_values() {
        let columns = (0..20).map(|number| (ColumnRef::Known(number), Value::Text(String::new()))).collect();

        assert_eq!(Row::new(columns).unwrap().to_bytes().len(), 21);
    }

    #[test]
    fn patch_and_difference_are_inverse() {
        let before = Row::new(vec![
            (ColumnRef::Known(0), Value::Bool(true)),
            (ColumnRef::Known(40), Value::Number("1".to_string())),
            (ColumnRef::Named("extra".to_string()), Value::Text("a".to_string())),
        ])
        .unwrap();
        let after = Row::new(vec![
            (ColumnRef::Known(0), Value::Bool(false)),
            (ColumnRef::Known(2), Value::Text("new".to_string())),
            (ColumnRef::Named("extra".to_string()), Value::Text("a".to_string())),
        ])
        .unwrap();

        let patch = before.difference(&after);

        assert_eq!(patch.columns().len(), 3);
        assert_eq!(before.patched(&patch), after);
    }

    #[test]
    fn columns_out_of_order_or_twice_are_refused() {
        assert!(Row::new(vec![(ColumnRef::Known(1), Value::Null), (ColumnRef::Known(1), Value::Null)]).is_err());
        // Two named columns "b", "a": the second is below the first.
        assert_eq!(
            Row::decode(&[2, 0xf0, 1, b'b', 0xf0, 1, b'a']),
            Err(DecodeError::Invalid("columns are not in order"))
        );
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|number| Value::Number(number.to_string())),
            "-?[0-9]{1,20}\\.[0-9]{1,20}".prop_map(Value::Number),
            ".{0,40}".prop_map(Value::Text),
            "[0-9]{4}-[0-9]{2}-[0-9]{2}".prop_map(Value::Text),
        ]
    }

    fn any_row() -> impl Strategy<Value = Row> {
        let column = prop_oneof![any::<u16>().prop_map(ColumnRef::Known), "[a-z]{1,5}".prop_map(ColumnRef::Named)];
        proptest::collection::btree_map(column, any_value(), 0..30)
            .prop_map(|columns| Row::new(columns.into_iter().collect()).unwrap())
    }

    proptest! {
        #[test]
        fn any_row_comes_back(row in any_row()) {
            prop_assert_eq!(Row::decode(&row.to_bytes()), Ok(row));
        }

        #[test]
        fn patching_with_the_difference_gives_the_other_row(before in any_row(), after in any_row()) {
            let (before, after) = (before.without_nulls(), after.without_nulls());
            prop_assert_eq!(before.patched(&before.difference(&after)), after);
        }

        #[test]
        fn rubbish_never_panics(bytes: Vec<u8>) {
            let _ = Row::decode(&bytes);
        }
    }
}
