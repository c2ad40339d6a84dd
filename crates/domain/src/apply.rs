//! What an edit makes of a record.
//!
//! A put keeps its nulls, so that a record reads back as it was handed over. In a patch null erases the column. What central alone sets
//! in a patient ([`home_transfer`](crate::home_transfer)), our settings of a store, and what counts the numbers
//! that were given, stay as they are under a put that does not name them. That a store ever kept its data on its site
//! ([`withholding`](crate::withholding)) stays under every edit.

use protocol::entry::Operation;
use protocol::ids::SiteId;
use protocol::row::{Row, Value};

use crate::catalogue::Table;
use crate::edit::EditOp;
use crate::home_transfer::with_centrals_columns;
use crate::judge::Found;
use crate::procurement::saying_who_ordered;
use crate::withholding::still_saying_so;

/// The record after the operation; `None` if it is not here then. A patch of a record that is not here changes nothing (and
/// the judge refuses it).
pub fn apply(found: &Found, operation: &Operation) -> Option<Row> {
    let after = match (operation, found) {
        (Operation::Put(row), Found::Here { row: before, .. }) => with_centrals_columns(row, before),
        (Operation::Put(row), _) => row.clone(),
        (Operation::Patch(patch), Found::Here { row, .. }) => row.patched(patch),
        (Operation::Patch(_) | Operation::Delete, _) => return None,
    };
    Some(still_saying_so(found.row(), after))
}

/// The smallest operation that does what an application asks, `current` being the record as it is here.
///
/// An upsert is a put where the record is not here, else a patch of what differs; where only a put gives exactly the row (a null
/// that was not there before, which a patch would take for "erase"), a put. `None` if the record is already as the upsert wants
/// it: then there is nothing to record.
///
/// `row` is not read for a delete.
pub fn operation_for(op: EditOp, current: Option<&Row>, row: Row) -> Option<Operation> {
    match (op, current) {
        (EditOp::Delete, _) => Some(Operation::Delete),
        (EditOp::Patch, _) => Some(Operation::Patch(row)),
        (EditOp::Put, _) | (EditOp::Upsert, None) => Some(Operation::Put(row)),
        (EditOp::Upsert, Some(current)) => {
            let row = saying_who_ordered(&with_centrals_columns(&row, current), current);
            if *current == row {
                return None;
            }
            let patch = current.difference(&row);
            let is_exact = current.patched(&patch) == row;
            Some(if is_exact { Operation::Patch(patch) } else { Operation::Put(row) })
        }
    }
}

/// A row that is imported at central, with the column that central alone fills (`store.sync_id_remote_site`) set from central's
/// own table of which site holds a store. Rows of other tables stay as they are.
#[must_use]
pub fn normalise_import(table: &Table, row: Row, holder: SiteId) -> Row {
    let Some(name) = table.site_column() else { return row };
    let column = table.column_ref(name);
    let value = Value::Number(holder.to_string());
    let patch = Row::new(vec![(column, value)]).expect("one column of the catalogue is within every limit");
    row.patched(&patch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::json::{row_from_json, row_to_json};
    use crate::new_patient::HIDES_NEW_PATIENTS;
    use crate::withholding::{WITHHOLDS_DATA, WITHHOLDS_TRANSACTIONS};
    use proptest::prelude::*;
    use protocol::ids::RecordId;
    use protocol::row::ColumnRef;

    fn row(text: &str) -> Row {
        let catalogue = Catalogue::embedded();
        row_from_json(catalogue.table_by_name("unit").unwrap(), &RecordId::new("u").unwrap(), text).unwrap()
    }

    #[test]
    fn what_central_alone_sets_stays_under_a_put_and_an_upsert_that_do_not_name_it() {
        let before = row(r#"{"first":"a","outpost_home_transfers":2,"outpost_home_goes_to":"S"}"#);
        let found = Found::Here { row: before.clone(), store: None };
        let after = apply(&found, &Operation::Put(row(r#"{"first":"b"}"#)));
        assert_eq!(after, Some(row(r#"{"first":"b","outpost_home_transfers":2,"outpost_home_goes_to":"S"}"#)));
        assert_eq!(operation_for(EditOp::Upsert, Some(&before), row(r#"{"first":"a"}"#)), None);
        for setting in [WITHHOLDS_TRANSACTIONS, WITHHOLDS_DATA, HIDES_NEW_PATIENTS] {
            let found = Found::Here { row: row(&format!("{{\"code\":\"1\",\"{setting}\":true}}")), store: None };
            let after = apply(&found, &Operation::Put(row(r#"{"code":"2"}"#))).unwrap();
            for (column, value) in row(&format!("{{\"code\":\"2\",\"{setting}\":true}}")).columns() {
                assert_eq!(after.value(column), Some(value), "{setting}");
            }
        }
        let changed = operation_for(EditOp::Upsert, Some(&before), row(r#"{"first":"b"}"#));
        assert_eq!(changed, Some(Operation::Patch(row(r#"{"first":"b"}"#))));
        assert_eq!(apply(&found, &Operation::Delete), None);
    }

    #[test]
    fn an_upsert_of_a_new_record_is_a_put() {
        assert_eq!(
            operation_for(EditOp::Upsert, None, row(r#"{"units":null}"#)),
            Some(Operation::Put(row(r#"{"units":null}"#)))
        );
    }

    #[test]
    fn an_upsert_of_a_record_that_is_here_is_a_patch_of_what_differs() {
        let before = row(r#"{"units":"tab","comment":"","order_number":1}"#);
        let after = row(r#"{"units":"tab","comment":"x"}"#);

        assert_eq!(
            operation_for(EditOp::Upsert, Some(&before), after),
            Some(Operation::Patch(row(r#"{"comment":"x","order_number":null}"#)))
        );
    }

    #[test]
    fn an_upsert_that_changes_nothing_is_nothing() {
        let before = row(r#"{"units":"tab","comment":null}"#);

        assert_eq!(operation_for(EditOp::Upsert, Some(&before), before.clone()), None);
    }

    #[test]
    fn an_upsert_with_a_new_null_is_a_put_so_that_the_null_stays() {
        let before = row(r#"{"units":"tab","comment":"x"}"#);
        let after = row(r#"{"units":"tab","comment":null}"#);

        assert_eq!(operation_for(EditOp::Upsert, Some(&before), after.clone()), Some(Operation::Put(after)));
    }

    #[test]
    fn central_writes_the_site_of_a_store_itself() {
        let catalogue = Catalogue::embedded();
        let table = catalogue.table_by_name("store").unwrap();
        let id = RecordId::new("s").unwrap();
        let imported = row_from_json(table, &id, r#"{"code":"S1","sync_id_remote_site":99}"#).unwrap();

        let normalised = normalise_import(table, imported, SiteId(4));

        assert_eq!(row_to_json(table, &id, &normalised), r#"{"ID":"s","code":"S1","sync_id_remote_site":4}"#);
    }

    #[test]
    fn other_tables_are_imported_as_they_are() {
        let catalogue = Catalogue::embedded();
        let before = row(r#"{"units":"tab"}"#);

        assert_eq!(normalise_import(catalogue.table_by_name("unit").unwrap(), before.clone(), SiteId(4)), before);
    }

    fn any_row() -> impl Strategy<Value = Row> {
        let value = prop_oneof![Just(Value::Null), Just(Value::Bool(true)), "[0-9]{1,2}".prop_map(Value::Text)];
        proptest::collection::btree_map((0..5_u16).prop_map(ColumnRef::Known), value, 0..5)
            .prop_map(|columns| Row::new(columns.into_iter().collect()).unwrap())
    }

    proptest! {
        #[test]
        fn after_an_upsert_the_record_is_exactly_what_was_handed_over(before in any_row(), after in any_row()) {
            let found = Found::Here { row: before.clone(), store: None };
            let made = match operation_for(EditOp::Upsert, Some(&before), after.clone()) {
                Some(operation) => apply(&found, &operation),
                None => Some(before),
            };
            prop_assert_eq!(made, Some(after));
        }
    }
}
