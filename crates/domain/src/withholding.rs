//! What stays on a store's own site although it is Store data (`domain.md`, "Include transactions in sync" and "Store F"; seed 000,
//! "Include transactions in sync"; seed 001, the same, and the worked example's store F).
//!
//! | the store's record says | what stays on its site |
//! | --- | --- |
//! | nothing | nothing |
//! | [`WITHHOLDS_TRANSACTIONS`], and it is a dispensary | transactions with prescriptions and builds, stock lines, stocktakes |
//! | [`WITHHOLDS_DATA`] | all Store data |
//!
//! In each case all but what one store has with another: transactions, requisitions and purchase orders whose name is a store's or was
//! merged into one, goods received for such an order, with their lines, and log entries about a record of another site's store. So both
//! halves of a transfer go, and what their sites write about them. Of all Store data they do if that other store is not active on the same
//! site. A line goes where its header goes. What central
//! has already goes on being synced, so that no copy falls behind unnoticed; so a record either stays whole or goes whole. It goes once its
//! store, or its name, says so.
//!
//! That a store ever kept all of its data stays in its record ([`HAS_WITHHELD_DATA`]): what was lost on its site meanwhile central never
//! heard of, and the last document number may be among it, also once the store keeps nothing any more.

use protocol::row::{ColumnRef, Row, Value};

use crate::catalogue::{DataType, Table};
use crate::store::{is_dispensary, says};
use crate::visibility::TRANSACTION_TABLE;

/// Column of a store's record: true keeps the transactions of a dispensary on its site. It is mSupply's "Include transactions in sync",
/// turned round: a store that says nothing includes them.
pub const WITHHOLDS_TRANSACTIONS: &str = "outpost_withholds_transactions";
/// Column of a store's record: true keeps everything but transfers on its site. The store is then a transfer store on central.
pub const WITHHOLDS_DATA: &str = "outpost_withholds_data";
/// Column of a store's record: true once [`WITHHOLDS_DATA`] ever was, for good. No edit empties it.
pub const HAS_WITHHELD_DATA: &str = "outpost_has_withheld_data";

/// Tables of which "Include transactions in sync" speaks, but lines, which follow their headers.
const TRANSACTIONS: [&str; 3] = [TRANSACTION_TABLE, "item_line", "Stock_take"];

/// What a store keeps on its site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Withheld {
    /// Nothing.
    #[default]
    Nothing,
    /// Transactions, prescriptions, stock lines and stocktakes.
    Transactions,
    /// Everything but transfers.
    Data,
}

impl Withheld {
    /// What the record of a store says.
    pub fn of(stores: &Table, row: &Row) -> Self {
        if says(stores, row, WITHHOLDS_DATA) {
            Self::Data
        } else if says(stores, row, WITHHOLDS_TRANSACTIONS) && is_dispensary(stores, row) {
            Self::Transactions
        } else {
            Self::Nothing
        }
    }

    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Transactions => "transactions",
            Self::Data => "data",
        }
    }

    /// Whether a record of a table stays, unless another store has a part in it.
    pub fn keeps(self, table: &Table) -> bool {
        match self {
            Self::Nothing => false,
            Self::Transactions => TRANSACTIONS.contains(&table.name()),
            Self::Data => table.data_type() == DataType::Store,
        }
    }
}

/// Whether a store's record says that it ever kept all of its data.
pub fn has_withheld_data(row: &Row) -> bool {
    [WITHHOLDS_DATA, HAS_WITHHELD_DATA].into_iter().any(|column| is_true(row, column))
}

/// A record after an edit, which still says that its store ever kept all of its data. `before`: `None` if it was not here.
pub(crate) fn still_saying_so(before: Option<&Row>, after: Row) -> Row {
    if is_true(&after, HAS_WITHHELD_DATA) || !has_withheld_data(&after) && !before.is_some_and(has_withheld_data) {
        return after;
    }
    let said = Row::new(vec![(ColumnRef::named(HAS_WITHHELD_DATA), Value::Bool(true))]);
    after.patched(&said.expect("one column is within every limit"))
}

/// Looked at with every edit of every record, so without making a name to look for.
fn is_true(row: &Row, column: &str) -> bool {
    let is_it = |found: &ColumnRef| matches!(found, ColumnRef::Named(name) if name.as_str() == column);
    row.columns().iter().any(|(found, value)| *value == Value::Bool(true) && is_it(found))
}

#[cfg(test)]
mod tests {
    use protocol::entry::Operation;
    use protocol::ids::RecordId;

    use super::*;
    use crate::apply::apply;
    use crate::catalogue::Catalogue;
    use crate::json::row_from_json;
    use crate::judge::Found;
    use crate::store::STORE_TABLE;

    #[test]
    fn a_stores_record_says_what_stays_and_transactions_stay_in_a_dispensary_alone() {
        let catalogue = Catalogue::embedded();
        let stores = catalogue.table_by_name(STORE_TABLE).unwrap();
        let id = RecordId::new("S").unwrap();
        for (data, expected) in [
            (r#"{"store_mode":"dispensary"}"#, Withheld::Nothing),
            (r#"{"store_mode":"dispensary","outpost_withholds_transactions":true}"#, Withheld::Transactions),
            (r#"{"store_mode":"dispensary","outpost_withholds_transactions":false}"#, Withheld::Nothing),
            (r#"{"store_mode":"store","outpost_withholds_transactions":true}"#, Withheld::Nothing),
            (r#"{"store_mode":"store","outpost_withholds_data":true}"#, Withheld::Data),
            (r#"{"outpost_withholds_transactions":true,"outpost_withholds_data":true}"#, Withheld::Data),
            (r#"{"outpost_withholds_data":"true"}"#, Withheld::Nothing),
        ] {
            let row = stores.canonical(row_from_json(stores, &id, data).unwrap());
            assert_eq!(Withheld::of(stores, &row), expected, "{data}");
        }
    }

    #[test]
    fn that_a_store_ever_kept_its_data_stays_in_its_record_whatever_is_written_there() {
        let catalogue = Catalogue::embedded();
        let stores = catalogue.table_by_name(STORE_TABLE).unwrap();
        let id = RecordId::new("S").unwrap();
        let row = |data: &str| stores.canonical(row_from_json(stores, &id, data).unwrap());
        let mut found = Found::Unknown;
        for (operation, has_kept) in [
            (Operation::Put(row(r#"{"code":"1","outpost_withholds_transactions":true}"#)), false),
            (Operation::Patch(row(r#"{"outpost_withholds_data":true}"#)), true),
            (Operation::Patch(row(r#"{"outpost_withholds_data":null}"#)), true),
            (Operation::Put(row(r#"{"code":"2","outpost_withholds_data":false}"#)), true),
            (Operation::Patch(row(r#"{"outpost_has_withheld_data":null}"#)), true),
            (Operation::Put(row(r#"{"code":"3","outpost_has_withheld_data":false}"#)), true),
        ] {
            let after = apply(&found, &operation).unwrap();
            assert_eq!(has_withheld_data(&after), has_kept, "{operation:?}");
            assert_eq!(says(stores, &after, HAS_WITHHELD_DATA), has_kept, "{operation:?}");
            found = Found::Here { row: after, store: None };
        }
    }

    #[test]
    fn a_record_of_before_the_column_says_so_when_its_store_keeps_nothing_any_more() {
        let found = Found::Here { row: of(WITHHOLDS_DATA, Value::Bool(true)), store: None };

        let after = apply(&found, &Operation::Patch(of(WITHHOLDS_DATA, Value::Null)));

        assert_eq!(after, Some(of(HAS_WITHHELD_DATA, Value::Bool(true))));
    }

    fn of(column: &str, value: Value) -> Row {
        Row::new(vec![(ColumnRef::named(column), value)]).unwrap()
    }
}
