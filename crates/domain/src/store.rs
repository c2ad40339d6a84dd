//! Stores: what of a store's own record says how data goes.

use protocol::row::{ColumnRef, Row, Value};

use crate::catalogue::Table;
use crate::new_patient::HIDES_NEW_PATIENTS;
use crate::procurement::ORDERS_LOCALLY;
use crate::withholding::{HAS_WITHHELD_DATA, WITHHOLDS_DATA, WITHHOLDS_TRANSACTIONS};

/// The table of stores, under mSupply's name.
pub const STORE_TABLE: &str = "store";
/// The table of names, one of which each store has.
pub const NAME_TABLE: &str = "name";
/// The store table's column that says what kind of store it is: `store` or `dispensary`. Other values are ignored (HIS, DRG, SM, of old
/// programs).
const MODE_COLUMN: &str = "store_mode";
/// The mode of a store that serves patients.
const DISPENSARY: &str = "dispensary";

/// The name table's column with the kind of the name, and the kind of a store's.
const TYPE_COLUMN: &str = "type";
const STORES_NAME: &str = "store";

/// Whether a store's record says that it serves patients: its site then receives what dispensaries need.
pub fn is_dispensary(stores: &Table, row: &Row) -> bool {
    matches!(row.value(&stores.column_ref(MODE_COLUMN)), Some(Value::Text(mode)) if mode == DISPENSARY)
}

/// Whether a column is a setting of ours in a store's record: who writes that record whole, as another program's export, need not know it.
pub(crate) fn is_setting(column: &ColumnRef) -> bool {
    let settings = [WITHHOLDS_TRANSACTIONS, WITHHOLDS_DATA, HAS_WITHHELD_DATA, HIDES_NEW_PATIENTS, ORDERS_LOCALLY];
    matches!(column, ColumnRef::Named(name) if settings.contains(&name.as_str()))
}

/// Whether a store's record has true in a column.
pub fn says(stores: &Table, row: &Row, column: &str) -> bool {
    row.value(&stores.column_ref(column)) == Some(&Value::Bool(true))
}

/// Whether a name is a store's (mSupply's `name.type`).
pub fn is_of_store(names: &Table, row: &Row) -> bool {
    matches!(row.value(&names.column_ref(TYPE_COLUMN)), Some(Value::Text(text)) if text == STORES_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::json::row_from_json;
    use protocol::ids::RecordId;

    #[test]
    fn only_the_mode_dispensary_makes_one() {
        let catalogue = Catalogue::embedded();
        let stores = catalogue.table_by_name(STORE_TABLE).unwrap();
        let id = RecordId::new("S").unwrap();
        for (data, expected) in [
            (r#"{"store_mode":"dispensary"}"#, true),
            (r#"{"store_mode":"store"}"#, false),
            (r#"{"store_mode":"HIS"}"#, false),
            (r#"{"store_mode":null}"#, false),
            (r#"{"code":"dispensary"}"#, false),
        ] {
            assert_eq!(is_dispensary(stores, &row_from_json(stores, &id, data).unwrap()), expected, "{data}");
        }
    }
}
