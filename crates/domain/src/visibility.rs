//! Visibility: which names and stores a store sees, and so what of them its site receives (`domain.md`, "Words"; seed 000, "Data types").
//!
//! A record of the table [`JOIN_TABLE`] makes a name visible in a store. Where the name is that of a store, each of the two sees the
//! other: central makes the other join itself, under an id that follows from its name and store, and takes it back with the one that it
//! answers.
//!
//! | data | goes where | key |
//! | --- | --- | --- |
//! | Name: what hangs on a name | the name is visible in a store that is active, or a collector, there | the name |
//! | Central store: what hangs on a store | the store is active, a collector, or visible to a store that is active there | the store |
//! | Patient: a patient and what hangs on it | as a name; the home store sees its patients without a join | the patient's id, as a name |
//! | prescriptions, beside their store's own lane, while the preference shares them | as their patient, but not to a primary that does not see it | the patient, for its prescriptions |
//! | a user | the site that made it, and no other, the primary neither | that site |
//! | purchase orders that the primary writes, beside their store's own lane | to the primary | all of them together |
//! | Patient: a prescriber and what hangs on it | a record of [`PRESCRIBER_JOIN_TABLE`] makes it visible in a store that is active, or a collector, there; its home store sees it without, and a dispensary in which it has prescribed | the prescriber |
//!
//! All of it stands in one lane, [`Scope::Visible`](crate::scope::Scope::Visible), each row with its key; who reads the lane is given the
//! rows whose keys it sees.

use std::fmt;

use protocol::ids::{RecordId, SiteId, TableRef};
use protocol::row::{Row, Value};

use crate::catalogue::{DataType, Table};
use crate::derived::derived_id;
use crate::judge::Found;
use crate::new_user;
use crate::store::NAME_TABLE;

/// The table of joins, under mSupply's name.
pub const JOIN_TABLE: &str = "name_store_join";
/// Its column with the name.
pub const JOIN_NAME_COLUMN: &str = "name_ID";
/// Its column with the store in which the name is visible.
pub const JOIN_STORE_COLUMN: &str = "store_ID";
/// The table of transactions, prescriptions among them, under mSupply's name.
pub const TRANSACTION_TABLE: &str = "transact";
/// The table of their lines, under mSupply's name.
pub const TRANSACTION_LINE_TABLE: &str = "trans_line";
/// The column of a transaction that says in which part of the program it was made.
const MODE_COLUMN: &str = "mode";
/// What it says of a prescription.
const PRESCRIPTION_MODE: &str = "dispensary";
/// The table of prescribers, under mSupply's name.
pub const PRESCRIBER_TABLE: &str = "clinician";
/// The table that makes prescribers visible, under mSupply's name.
pub const PRESCRIBER_JOIN_TABLE: &str = "clinician_store_join";
/// Its column with the prescriber; the same in the table of transactions, of a prescription.
pub const PRESCRIBER_COLUMN: &str = "prescriber_ID";
/// Its column that takes the visibility away while the record stays (`msupply-tables.md`: treated as a delete).
const INACTIVE_COLUMN: &str = "inactive";
/// The column of a store's record with its own name.
pub const STORE_NAME_COLUMN: &str = "name_ID";

/// What a site has to see to receive a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VisibleKey {
    /// A store.
    Store(RecordId),
    /// A name.
    Name(RecordId),
    /// A prescriber.
    Prescriber(RecordId),
    /// The prescriptions of a patient, where the preference shares them.
    Prescriptions(RecordId),
    /// Purchase orders that the primary writes: it alone sees them so.
    Orders,
    /// Users that a site made: it alone sees them.
    MadeOn(SiteId),
}

impl VisibleKey {
    /// The key of a record of a type that goes by visibility. `None` for one that hangs on no store, as a preference of all stores does.
    pub fn of(table: &Table, id: &RecordId, row: &Row) -> Option<Self> {
        match table.data_type_of(row) {
            DataType::CentralStore => table.store_of(id, row)?.ok().map(Self::Store),
            DataType::Name => match table.name_column()? {
                column if column == table.id_column() => Some(Self::Name(id.clone())),
                column => table.id_in(row, column).ok().map(Self::Name),
            },
            DataType::Patient if table.has_home_stores() => Some(Self::of_home(table, id)),
            DataType::NewUser => new_user::made_on(row).map(Self::MadeOn),
            DataType::Patient => Some(Self::of_housed(table.hangs_on()?.0, table.housed_of(id, row)?.ok()?)),
            _ => None,
        }
    }

    /// The key of a record that has a home store of its own: a patient or a prescriber.
    pub fn of_home(table: &Table, id: &RecordId) -> Self {
        Self::of_housed(table.name(), id.clone())
    }

    /// The key of a patient or prescriber; `table` says which.
    pub fn of_housed(table: &str, id: RecordId) -> Self {
        if table == NAME_TABLE { Self::Name(id) } else { Self::Prescriber(id) }
    }

    /// As a database keeps it.
    pub fn to_text(&self) -> String {
        match self {
            Self::Store(store) => format!("s{store}"),
            Self::Name(name) => format!("n{name}"),
            Self::Prescriber(prescriber) => format!("p{prescriber}"),
            Self::Prescriptions(patient) => format!("r{patient}"),
            Self::Orders => "o".to_owned(),
            Self::MadeOn(site) => format!("u{site}"),
        }
    }

    /// Reads what [`VisibleKey::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        if text == "o" {
            return Some(Self::Orders);
        }
        let (kind, id) = text.split_at_checked(1)?;
        if kind == "u" {
            return id.parse().ok().map(|site| Self::MadeOn(SiteId(site)));
        }
        let id = RecordId::new(id).ok()?;
        match kind {
            "s" => Some(Self::Store(id)),
            "n" => Some(Self::Name(id)),
            "p" => Some(Self::Prescriber(id)),
            "r" => Some(Self::Prescriptions(id)),
            _ => None,
        }
    }
}

impl fmt::Display for VisibleKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(store) => write!(formatter, "store {store}"),
            Self::Name(name) => write!(formatter, "name {name}"),
            Self::Prescriber(prescriber) => write!(formatter, "prescriber {prescriber}"),
            Self::Prescriptions(patient) => write!(formatter, "prescriptions of {patient}"),
            Self::Orders => formatter.write_str("orders of the primary"),
            Self::MadeOn(site) => write!(formatter, "users made on site {site}"),
        }
    }
}

/// That a name is visible in a store, or a prescriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The name, or the prescriber.
    pub name: RecordId,
    /// The store that sees it.
    pub store: RecordId,
}

impl Join {
    /// What a record of [`JOIN_TABLE`] or [`PRESCRIBER_JOIN_TABLE`] says; `None` if it is inactive, or lacks one of the two.
    pub fn of(joins: &Table, row: &Row) -> Option<Self> {
        if row.value(&joins.column_ref(INACTIVE_COLUMN)) == Some(&Value::Bool(true)) {
            return None;
        }
        let id = |column| joins.id_in(row, column).ok();
        Some(Self { name: id(joined_column(joins))?, store: id(JOIN_STORE_COLUMN)? })
    }

    /// The id of the record that central makes for it: the first 16 bytes of SHA-256(table, name, store), so that it is made once.
    pub fn derived_id(&self) -> RecordId {
        derived_id(&[JOIN_TABLE, self.name.as_str(), self.store.as_str()])
    }

    /// The columns of a record that says this.
    ///
    /// # Panics
    /// Never: two columns are within every limit.
    pub fn to_row(&self, joins: &Table) -> Row {
        let column = |name: &str, id: &RecordId| (joins.column_ref(name), Value::Text(id.as_str().to_owned()));
        Row::new(vec![column(JOIN_STORE_COLUMN, &self.store), column(JOIN_NAME_COLUMN, &self.name)])
            .expect("two columns of the catalogue are within every limit")
    }
}

/// Whether a table's records are transactions, prescriptions among them.
pub fn is_transaction(table: &Table) -> bool {
    table.name() == TRANSACTION_TABLE && matches!(table.reference(), TableRef::Known(_))
}

/// The patient of a prescription: a transaction with mode dispensary (`domain.md`, "Prescriptions").
pub fn patient_of_prescription(table: &Table, row: &Row) -> Option<RecordId> {
    let mode = row.value(&table.column_ref(MODE_COLUMN));
    let is_prescription = is_transaction(table) && mode == Some(&Value::Text(PRESCRIPTION_MODE.to_owned()));
    table.id_in(row, JOIN_NAME_COLUMN).ok().filter(|_| is_prescription)
}

/// The prescriber that a transaction names: it has prescribed in the transaction's store.
pub fn prescriber_of(table: &Table, row: &Row) -> Option<RecordId> {
    table.id_in(row, PRESCRIBER_COLUMN).ok().filter(|_| is_transaction(table))
}

/// The name of a store, from its own record.
pub fn name_of_store(stores: &Table, row: &Row) -> Option<RecordId> {
    stores.id_in(row, STORE_NAME_COLUMN).ok()
}

/// The key of a record as it is before or after an edit.
pub(crate) fn key_of_found(table: &Table, id: &RecordId, found: &Found) -> Option<VisibleKey> {
    match found {
        Found::Here { row, .. } => VisibleKey::of(table, id, row),
        Found::Unknown | Found::Deleted { .. } => None,
    }
}

/// Whether a table's records are joins of names.
pub fn is_join(table: &Table) -> bool {
    table.name() == JOIN_TABLE && matches!(table.reference(), TableRef::Known(_))
}

/// The table whose records the records of this one make visible in stores: names, or prescribers.
pub fn joined_table(table: &Table) -> Option<&'static str> {
    let is_ours = matches!(table.reference(), TableRef::Known(_));
    match table.name() {
        JOIN_TABLE if is_ours => Some(NAME_TABLE),
        PRESCRIBER_JOIN_TABLE if is_ours => Some(PRESCRIBER_TABLE),
        _ => None,
    }
}

/// The column of a table of joins that names what is visible.
pub fn joined_column(joins: &Table) -> &'static str {
    if joins.name() == PRESCRIBER_JOIN_TABLE { PRESCRIBER_COLUMN } else { JOIN_NAME_COLUMN }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::json::row_from_json;

    fn id(text: &str) -> RecordId {
        RecordId::new(text).unwrap()
    }

    fn key(table: &str, data: &str) -> Option<String> {
        let catalogue = Catalogue::embedded();
        let table = catalogue.table_by_name(table).unwrap();
        VisibleKey::of(table, &id("R"), &row_from_json(table, &id("R"), data).unwrap()).map(|key| key.to_text())
    }

    #[test]
    fn what_hangs_on_a_name_or_a_store_has_it_as_its_key() {
        assert_eq!(key("name_tag_join", r#"{"name_ID":"N","name_tag_ID":"T"}"#).as_deref(), Some("nN"));
        assert_eq!(key("contact", r#"{"name_ID":"N"}"#).as_deref(), Some("nN"));
        assert_eq!(key("store", r#"{"name_ID":"N"}"#).as_deref(), Some("sR"), "a store hangs on itself");
        assert_eq!(key("item_store_join", r#"{"store_ID":"S"}"#).as_deref(), Some("sS"));
        assert_eq!(key("name_store_join", r#"{"store_ID":"S","name_ID":"N"}"#).as_deref(), Some("sS"));
        assert_eq!(key("name", r#"{"type":"patient","supplying_store_id":"S"}"#).as_deref(), Some("nR"));
        assert_eq!(key("encounter", r#"{"name_ID":"P","store_ID":"S"}"#).as_deref(), Some("nP"));
        assert_eq!(key("name", r#"{"type":"facility","supplying_store_id":"S"}"#), None);
        assert_eq!(key("preference", r#"{"value":1}"#), None, "one of all stores");
        assert_eq!(key("pref", r#"{"store_ID":"S","item":"window"}"#), None, "local data");
        assert_eq!(key("user", r#"{"name":"U","outpost_made_on":3}"#).as_deref(), Some("u3"));
        assert_eq!(key("user", r#"{"name":"U"}"#), None, "local data");
        assert_eq!(key("item", r#"{"code":"I"}"#), None);
    }

    #[test]
    fn a_key_comes_back_from_its_text() {
        for key in [
            VisibleKey::Store(id("S")),
            VisibleKey::Name(id("n 1")),
            VisibleKey::Orders,
            VisibleKey::MadeOn(SiteId(12)),
        ] {
            assert_eq!(VisibleKey::from_text(&key.to_text()), Some(key));
        }
        for text in ["", "s", "xA", "é", "u", "uA"] {
            assert_eq!(VisibleKey::from_text(text), None);
        }
    }

    #[test]
    fn an_inactive_or_incomplete_join_makes_nothing_visible() {
        let catalogue = Catalogue::embedded();
        let joins = catalogue.table_by_name(JOIN_TABLE).unwrap();
        let of = |data: &str| Join::of(joins, &row_from_json(joins, &id("J"), data).unwrap());

        let join = of(r#"{"store_ID":"S","name_ID":"N","inactive":false}"#).unwrap();
        assert_eq!((join.name.as_str(), join.store.as_str()), ("N", "S"));
        assert_eq!(Join::of(joins, &join.to_row(joins)), Some(join.clone()));
        assert_eq!(of(r#"{"store_ID":"S","name_ID":"N","inactive":true}"#), None);
        assert_eq!(of(r#"{"store_ID":"S"}"#), None);
        let other = Join { name: id("S"), store: id("N") };
        assert_ne!(join.derived_id(), other.derived_id());
        assert_eq!(join.derived_id().as_str().len(), 32);
    }
}
