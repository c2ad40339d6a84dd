//! Another home store for a patient or prescriber: an explicit transfer, granted by central (`domain.md`, "Home store"; seed 000,
//! "Patients"). What is said of patients here holds for prescribers as well.
//!
//! Only central gives a patient another home store. It does so in two steps, so that what the home site has not sent yet is not lost:
//! first the record says where the patient goes, and the home site records no more edits of it; once that site has read this and sent what
//! it had, the home store changes. Both stand in the patient's record, in columns that central alone sets:
//!
//! | column | holds |
//! | --- | --- |
//! | [`TRANSFERS_COLUMN`] | how many transfers the patient has had; absent: none |
//! | [`GOES_TO_COLUMN`] | the next home store, while the transfer is on its way |
//!
//! What is written of a patient carries the number of its home store's grant and, above [`TRANSFER_SHIFT`] bits, the number of transfers:
//! what was recorded before a transfer opens nothing after it, also when the patient comes back to the same store.

use protocol::ids::{OwnershipNumber, RecordId};
use protocol::row::{ColumnRef, Row, Value};

use crate::catalogue::Table;
use crate::new_user::MADE_ON_COLUMN;
use crate::number::keeps_larger;
use crate::procurement::CHANGES_COLUMN;
use crate::store::is_setting;

/// The column that counts a patient's transfers.
pub const TRANSFERS_COLUMN: &str = "outpost_home_transfers";
/// The column that names the store that a patient goes to.
pub const GOES_TO_COLUMN: &str = "outpost_home_goes_to";
/// Most transfers that a patient can have.
pub const TRANSFERS_MAX: u32 = (1 << (u32::BITS - TRANSFER_SHIFT)) - 1;
/// Bits of an ownership number below the count of transfers, or of changes of procurement. A store would have to move a million times to
/// need more.
pub(crate) const TRANSFER_SHIFT: u32 = 20;

/// Whose a patient is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatientHome {
    /// The home store.
    pub store: RecordId,
    /// How many transfers there were.
    pub transfers: u32,
    /// The next home store, while the transfer to it is on its way.
    pub goes_to: Option<RecordId>,
}

impl PatientHome {
    /// Of a patient that is here, with the store that is kept beside its record.
    pub fn of(row: &Row, store: RecordId) -> Self {
        Self { store, transfers: transfers_of(row), goes_to: goes_to(row) }
    }

    /// Of a patient that was deleted, or was never transferred.
    pub fn plain(store: RecordId) -> Self {
        Self { store, transfers: 0, goes_to: None }
    }

    /// The number under which it is written by whoever holds the home store under `grant`.
    pub fn number(&self, grant: OwnershipNumber) -> OwnershipNumber {
        number_of(grant, self.transfers)
    }

    /// Whether a number is one of the same grant with another count of transfers.
    pub(crate) fn had_another_count(&self, number: OwnershipNumber, grant: OwnershipNumber) -> bool {
        let grant_bits = |number: OwnershipNumber| number.0 & ((1 << TRANSFER_SHIFT) - 1);
        grant_bits(number) == grant_bits(grant) && number != self.number(grant)
    }
}

/// The number under which a patient is written after so many transfers, by whoever holds its home store under `grant`.
pub fn number_of(grant: OwnershipNumber, transfers: u32) -> OwnershipNumber {
    OwnershipNumber(grant.0.wrapping_add(transfers.min(TRANSFERS_MAX) << TRANSFER_SHIFT))
}

/// How many transfers a patient has had, by its record.
pub fn transfers_of(row: &Row) -> u32 {
    match row.value(&ColumnRef::named(TRANSFERS_COLUMN)) {
        Some(Value::Number(text)) => text.parse().map_or(0, |count: u32| count.min(TRANSFERS_MAX)),
        _ => 0,
    }
}

/// Where a patient is on its way to, by its record.
pub fn goes_to(row: &Row) -> Option<RecordId> {
    match row.value(&ColumnRef::named(GOES_TO_COLUMN)) {
        Some(Value::Text(store)) => RecordId::new(store).ok(),
        _ => None,
    }
}

/// The change of a patient's record that says where it goes; `None`: nowhere any more.
pub fn asked(to: Option<&RecordId>) -> Row {
    let value = to.map_or(Value::Null, |store| Value::Text(store.to_string()));
    row(vec![(ColumnRef::named(GOES_TO_COLUMN), value)])
}

/// The change of a patient's record that gives it the home store. `table`: of names, or of prescribers.
pub fn carried_out(table: &Table, patient: &Row, to: &RecordId) -> Row {
    let home = table.column_ref(table.store_column().unwrap_or_default());
    row(vec![
        (home, Value::Text(to.to_string())),
        (ColumnRef::named(TRANSFERS_COLUMN), Value::Number((transfers_of(patient) + 1).to_string())),
        (ColumnRef::named(GOES_TO_COLUMN), Value::Null),
    ])
}

/// A put with the columns that central alone sets, and the settings of a store that are ours, as they were, unless it has them itself: who
/// writes a record whole need not know them. What counts numbers that were given does not fall.
#[must_use]
pub fn with_centrals_columns(put: &Row, before: &Row) -> Row {
    let is_kept = |column: &ColumnRef| (is_centrals(column) || is_setting(column)) && put.value(column).is_none();
    let is_kept = |(column, value): &&(ColumnRef, Value)| is_kept(column) || keeps_larger(column, put, value);
    let kept: Vec<_> = before.columns().iter().filter(is_kept).cloned().collect();
    if kept.is_empty() { put.clone() } else { put.patched(&row(kept)) }
}

/// A record with the columns that central alone sets as another state of it has them.
#[must_use]
pub fn with_centrals_columns_of(mine: &Row, theirs: &Row) -> Row {
    let own = mine.columns().iter().filter(|(column, _)| !is_centrals(column));
    let centrals = theirs.columns().iter().filter(|(column, _)| is_centrals(column));
    Row::new(own.chain(centrals).cloned().collect()).unwrap_or_else(|_| mine.clone())
}

/// The change of a record without a home store that gives it its first: nobody has written it under another, so it counts as no transfer.
pub fn first_home(table: &Table, to: &RecordId) -> Row {
    let home = table.column_ref(table.store_column().unwrap_or_default());
    row(vec![(home, Value::Text(to.to_string()))])
}

/// A record that goes nowhere.
#[must_use]
pub fn at_rest(mine: &Row) -> Row {
    mine.patched(&asked(None))
}

/// A column that central alone sets and that a put or patch would set otherwise than it is. `takes_count`: of a patient that is not here
/// the number of transfers is taken as it comes, from a site that hands it back to a central which has lost it. Who makes a user says
/// where, which is judged by itself.
pub(crate) fn changed_column<'r>(change: &'r Row, before: Option<&Row>, takes_count: bool) -> Option<&'r ColumnRef> {
    let is_other = |column: &ColumnRef, value: &Value| match before {
        None if takes_count && *column == ColumnRef::named(TRANSFERS_COLUMN) => false,
        None if [CHANGES_COLUMN, MADE_ON_COLUMN].map(ColumnRef::named).contains(column) => false,
        _ => before.and_then(|row| row.value(column)).unwrap_or(&Value::Null) != value,
    };
    let mut columns = change.columns().iter().filter(|(column, _)| is_centrals(column));
    columns.find(|(column, value)| is_other(column, value)).map(|(column, _)| column)
}

fn is_centrals(column: &ColumnRef) -> bool {
    let centrals = [TRANSFERS_COLUMN, GOES_TO_COLUMN, CHANGES_COLUMN, MADE_ON_COLUMN];
    matches!(column, ColumnRef::Named(name) if centrals.contains(&name.as_str()))
}

fn row(columns: Vec<(ColumnRef, Value)>) -> Row {
    Row::new(columns).expect("few columns with short names are within every limit")
}
