//! Document numbers: the record that says which was given last, for each kind and store (mSupply's table `number`).
//!
//! The agent of the site that holds the store gives the next one, and nobody else does. Where the store goes on without what its last
//! device gave, numbers are left out: the record says how many such gaps its value includes, and the grant of the store how many there are.
//!
//! | column of ours | holds |
//! | --- | --- |
//! | [`LAST_COLUMN`] | the number that was given last; `value` is the same, unless an application writes it |
//! | [`GAPS_COLUMN`] | how many gaps it includes |
//!
//! Neither ever falls under a put: an edit of before that is recorded anew, or proposed, takes no number back.

use protocol::ids::RecordId;
use protocol::limits::{NUMBER_GAP, NUMBER_GAPS_MAX};
use protocol::row::{ColumnRef, Row, Value};

use crate::catalogue::Table;
use crate::derived::derived_id;

/// The table.
pub const NUMBER_TABLE: &str = "number";
/// What stands between kind and store in the name of a record.
const FOR_STORE: &str = "_for_store_";
/// The column that names a record.
const NAME_COLUMN: &str = "name";
/// The column that holds the number that was given last.
const VALUE_COLUMN: &str = "value";
/// The column that holds the number that the allocator gave last; absent: none.
pub const LAST_COLUMN: &str = "outpost_last_number";
/// The column that says how many gaps that includes; absent: none.
pub const GAPS_COLUMN: &str = "outpost_number_gaps";
/// Longest kind, in bytes: mSupply's longest is about 40.
pub const KIND_BYTES_MAX: usize = 64;
/// Most numbers that are given at once: the lines that a person numbers in one go. Each call costs one sync of the disk.
pub const NUMBERS_MAX: u32 = 1000;
/// The largest number that is given: what is larger is no number in every program that reads JSON.
pub const NUMBER_VALUE_MAX: u64 = (1 << 53) - 1;

/// Why no number can be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NumberProblem {
    /// The record's value is no whole number from 0 to [`NUMBER_VALUE_MAX`].
    Value {
        /// The record.
        id: RecordId,
        /// What stands there.
        value: String,
    },
    /// Fewer are left than were asked for.
    UsedUp {
        /// The last one that was given.
        last: u64,
    },
}

/// The record after some numbers were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenNumbers {
    /// The record.
    pub id: RecordId,
    /// All of it.
    pub row: Row,
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
}

/// Whether a text names a kind: 1 to [`KIND_BYTES_MAX`] letters, digits, blanks and `_ - .`, without what stands before the store.
pub fn is_kind(kind: &str) -> bool {
    let is_right = |byte: u8| byte.is_ascii_alphanumeric() || b" _-.".contains(&byte);
    (1..=KIND_BYTES_MAX).contains(&kind.len()) && kind.bytes().all(is_right) && !kind.contains(FOR_STORE)
}

/// The name of the record of a kind and store, as mSupply writes it.
pub fn name_of(kind: &str, store: &RecordId) -> String {
    format!("{kind}{FOR_STORE}{store}")
}

/// The id of a record of this name that nobody has made yet, so that each site would make the same one: the first 16 bytes of
/// SHA-256("number", name).
pub fn id_of(name: &str) -> RecordId {
    derived_id(&["number", name])
}

/// The name that a record has.
pub fn name_in<'r>(table: &Table, row: &'r Row) -> Option<&'r str> {
    match row.value(&table.column_ref(NAME_COLUMN)) {
        Some(Value::Text(name)) => Some(name),
        _ => None,
    }
}

/// How many gaps the value of a record includes.
pub fn gaps_of(row: &Row) -> u32 {
    match row.value(&ColumnRef::named(GAPS_COLUMN)) {
        Some(Value::Number(text)) => text.parse().map_or(0, |gaps: u32| gaps.min(NUMBER_GAPS_MAX)),
        _ => 0,
    }
}

/// Whether a column keeps the larger number under a put: that of the record, or that of the put.
pub(crate) fn keeps_larger(column: &ColumnRef, put: &Row, before: &Value) -> bool {
    let is_ours = matches!(column, ColumnRef::Named(name) if [LAST_COLUMN, GAPS_COLUMN].contains(&name.as_str()));
    is_ours && put.value(column).is_none_or(|value| whole(before) > whole(value))
}

/// The number that was given last, by a record: the larger one of what applications and the allocator say, 0 where neither says anything.
/// `None`: one of them is no number.
pub fn last_of(table: &Table, row: &Row) -> Option<u64> {
    let given = match row.value(&ColumnRef::named(LAST_COLUMN)) {
        None | Some(Value::Null) => 0,
        Some(value) => whole(value)?,
    };
    Some(value_of(table, row)?.max(given))
}

fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Number(text) | Value::Text(text) => {
            let whole = match text.split_once('.') {
                Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
                _ => text,
            };
            whole.parse().ok().filter(|value| *value <= NUMBER_VALUE_MAX)
        }
        Value::Null | Value::Bool(_) | Value::Json(_) => None,
    }
}

/// What a record holds as its value; 0 where that is nothing. `None`: it is no number.
fn value_of(table: &Table, row: &Row) -> Option<u64> {
    match row.value(&table.column_ref(VALUE_COLUMN)) {
        None | Some(Value::Null) => Some(0),
        Some(value) => whole(value),
    }
}

/// The next `count` numbers, at least one. `known`: the record of this name, if there is one. `gaps`: how many there are by the grant.
///
/// # Errors
/// [`NumberProblem`].
///
/// # Panics
/// Never: a record of the table has room for one more column of ours.
pub fn next_numbers(
    table: &Table,
    name: &str,
    known: Option<(RecordId, Row)>,
    gaps: u32,
    count: u32,
) -> Result<GivenNumbers, NumberProblem> {
    let (id, row) = known.unwrap_or_else(|| {
        let named = vec![(table.column_ref(NAME_COLUMN), Value::Text(name.to_owned()))];
        (id_of(name), Row::new(named).expect("one column with a short name is within every limit"))
    });
    let Some(value) = last_of(table, &row) else {
        let value = row.value(&table.column_ref(VALUE_COLUMN)).map_or_else(String::new, |value| format!("{value:?}"));
        return Err(NumberProblem::Value { id, value });
    };
    let included = gaps_of(&row);
    let before = value + u64::from(gaps.saturating_sub(included)) * NUMBER_GAP;
    let last = before + u64::from(count.max(1));
    if last > NUMBER_VALUE_MAX {
        return Err(NumberProblem::UsedUp { last: value });
    }
    let number = Value::Number(last.to_string());
    let mut columns = vec![(table.column_ref(VALUE_COLUMN), number.clone()), (ColumnRef::named(LAST_COLUMN), number)];
    if gaps > included {
        columns.push((ColumnRef::named(GAPS_COLUMN), Value::Number(gaps.to_string())));
    }
    let patch = Row::new(columns).expect("three short columns are within every limit");
    Ok(GivenNumbers { id, row: row.patched(&patch), first: before + 1, last })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::apply;
    use crate::catalogue::Catalogue;
    use crate::json::{row_from_json, row_to_json};
    use crate::judge::Found;
    use protocol::entry::Operation;

    const NAME: &str = "customer_invoice_number_for_store_S1";

    /// The numbers that are given on top of a record, and the record afterwards; else what is wrong.
    fn given(record: Option<&str>, gaps: u32, count: u32) -> Result<(u64, u64, String), NumberProblem> {
        let catalogue = Catalogue::embedded();
        let table = catalogue.table_by_name(NUMBER_TABLE).unwrap();
        let known = record.map(|record| {
            let id = RecordId::new("N1").unwrap();
            let row = table.canonical(row_from_json(table, &id, record).unwrap());
            (id, row)
        });
        let given = next_numbers(table, NAME, known, gaps, count)?;
        Ok((given.first, given.last, row_to_json(table, &given.id, &given.row)))
    }

    #[test]
    fn the_first_number_of_a_kind_makes_its_record_under_the_id_of_its_name() {
        let id = id_of(NAME);

        let (first, last, record) = given(None, 0, 1).unwrap();

        assert_eq!((first, last), (1, 1));
        assert_eq!(record, format!(r#"{{"ID":"{id}","name":"{NAME}","value":1,"outpost_last_number":1}}"#));
        assert_eq!(id_of(NAME), id);
        assert_ne!(id_of("customer_invoice_number_for_store_S2"), id);
    }

    #[test]
    fn numbers_go_on_behind_the_last_one_and_the_rest_of_the_record_stays() {
        let record = format!(r#"{{"name":"{NAME}","value":41,"note":"x"}}"#);

        let (first, last, record) = given(Some(&record), 0, 3).unwrap();

        assert_eq!((first, last), (42, 44));
        assert_eq!(record, format!(r#"{{"ID":"N1","name":"{NAME}","value":44,"note":"x","outpost_last_number":44}}"#));
    }

    #[test]
    fn a_gap_is_left_once_for_each_time_that_numbers_may_have_been_lost() {
        let record = format!(r#"{{"name":"{NAME}","value":41,"outpost_number_gaps":1}}"#);

        let (first, _, after) = given(Some(&record), 3, 1).unwrap();
        let (next, _, _) = given(Some(after.as_str()), 3, 1).unwrap();
        let (behind, _, same) = given(Some(&record), 0, 1).unwrap();

        assert_eq!((first, next), (2042, 2043));
        assert_eq!(behind, 42, "a central that was set back may know of fewer");
        assert!(same.contains(r#""outpost_number_gaps":1"#), "{same}");
        assert_eq!(given(None, 2, 1).unwrap().0, 2001, "also of a kind that has no record");
    }

    #[test]
    fn an_old_put_takes_no_number_back() {
        let catalogue = Catalogue::embedded();
        let table = catalogue.table_by_name(NUMBER_TABLE).unwrap();
        let row = |value: u64, gaps: u32| {
            let text = format!(
                r#"{{"name":"{NAME}","value":{value},"outpost_last_number":{value},"outpost_number_gaps":{gaps}}}"#
            );
            table.canonical(row_from_json(table, &RecordId::new("N1").unwrap(), &text).unwrap())
        };
        let found = Found::Here { row: row(1050, 1), store: None };

        let after = apply(&found, &Operation::Put(row(105, 0))).unwrap();
        let later = apply(&found, &Operation::Put(row(1051, 1))).unwrap();

        assert_eq!((last_of(table, &after), gaps_of(&after)), (Some(1050), 1));
        assert_eq!((last_of(table, &later), gaps_of(&later)), (Some(1051), 1));
    }

    #[test]
    fn what_is_no_whole_number_is_refused_and_not_begun_anew() {
        for value in ["-1", "1.5", "1e3", "\"x\"", "true", "[1]", "9007199254740992"] {
            let found = given(Some(&format!(r#"{{"name":"{NAME}","value":{value}}}"#)), 0, 1);
            assert!(matches!(found, Err(NumberProblem::Value { .. })), "{value}: {found:?}");
        }
        for (value, next) in [("null", 1), ("7.0", 8), ("\"7\"", 8)] {
            let found = given(Some(&format!(r#"{{"name":"{NAME}","value":{value}}}"#)), 0, 1).unwrap();
            assert_eq!(found.0, next, "{value}");
        }
        let last = format!(r#"{{"name":"{NAME}","value":{NUMBER_VALUE_MAX}}}"#);
        assert_eq!(given(Some(&last), 0, 1), Err(NumberProblem::UsedUp { last: NUMBER_VALUE_MAX }));
    }

    #[test]
    fn a_kind_is_short_and_says_nothing_of_a_store() {
        for kind in ["customer_invoice_number", "Goods received 2", "a", &"k".repeat(KIND_BYTES_MAX)] {
            assert!(is_kind(kind), "{kind}");
        }
        for kind in ["", "a_for_store_b", "a\"b", "\u{e9}", &"k".repeat(KIND_BYTES_MAX + 1)] {
            assert!(!is_kind(kind), "{kind}");
        }
    }
}
