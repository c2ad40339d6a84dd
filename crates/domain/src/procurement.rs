//! Who writes the purchase orders of a store (`domain.md`, "Centralised procurement"; seed 000, the same).
//!
//! | the order | is written by |
//! | --- | --- |
//! | is confirmed | who confirmed it, as [`ORDERED_BY_COLUMN`] says; where it says nothing, procurement had never changed hands: the site where its store is active |
//! | was entered by the primary in supervisor mode | the primary, as long as that is on, and its site does not keep procurement |
//! | any other, while procurement is centralised | the primary, but for a store whose site keeps procurement ([`ORDERS_LOCALLY`]) |
//! | any other | the site where its store is active |
//!
//! What was confirmed so stays with its old owner when procurement changes hands; what was not goes to the new one, and what the old one
//! has not sent of it is set aside. Lines are written by who writes their order.
//!
//! Each change is counted, in the record that says it ([`CHANGES_COLUMN`]): of the preference each, of a store each while the preference is
//! on. What is written of an order carries the number of its writer's grant with a count of both above its lower bits, as a patient's does
//! with its transfers ([`home_transfer`](crate::home_transfer)): what was recorded before a change opens nothing after it, also when
//! procurement comes back. With p changes of the preference and s of the store:
//!
//! | procurement | who writes | count |
//! | --- | --- | --- |
//! | is not centralised | the store's site | p + s, where p is even |
//! | is centralised, and the store's site keeps its own | the store's site | p - 1 + s: as before, where the store kept it before that |
//! | is centralised | the primary | p + s, where p is odd |
//!
//! Between two times of one writer with the other one's in between the count rises.

use protocol::entry::{Entry, Operation};
use protocol::ids::{OwnershipNumber, RecordId, TableRef};
use protocol::row::{ColumnRef, Row, Value};

use crate::apply::apply;
use crate::catalogue::{Catalogue, Table};
use crate::home_transfer::{TRANSFERS_MAX, number_of};
use crate::judge::{Found, View};
use crate::preference::{PREFERENCE_TABLE, Preference};
use crate::store::{STORE_TABLE, says};

/// The table of purchase orders, under mSupply's name.
pub const ORDER_TABLE: &str = "purchase_order";
/// The table of their lines, under mSupply's name.
pub const ORDER_LINE_TABLE: &str = "purchase_order_line";
/// Column of an order that says who ordered: `primary` or `store`, of one that is confirmed, or `supervisor`. The edit that confirms the
/// order says it, once procurement ever changed hands; that of supervisor mode the primary's first edit.
pub const ORDERED_BY_COLUMN: &str = "outpost_ordered_by";
/// Column of a store's record: true lets its site keep procurement.
pub const ORDERS_LOCALLY: &str = "outpost_orders_locally";
/// Column of the record of [`Preference::CentralisedProcurement`], and of a store's record, that counts the changes of what it says about
/// procurement. Central alone sets it.
pub const CHANGES_COLUMN: &str = "outpost_procurement_changes";

/// The column of an order with its state, and the states in which it is confirmed (mSupply: `cn`; `fn` once everything came).
const STATUS_COLUMN: &str = "status";
const CONFIRMED: [&str; 2] = ["cn", "fn"];

/// Who ordered, as an order says it ([`ORDERED_BY_COLUMN`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderedBy {
    /// The site where its store is active.
    Store,
    /// The primary.
    Primary,
    /// The primary, in supervisor mode.
    Supervisor,
}

impl OrderedBy {
    /// Every one.
    const ALL: [Self; 3] = [Self::Store, Self::Primary, Self::Supervisor];

    /// The word in the column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Primary => "primary",
            Self::Supervisor => "supervisor",
        }
    }

    /// What an order says.
    pub fn of(row: &Row) -> Option<Self> {
        match row.value(&ColumnRef::Named(ORDERED_BY_COLUMN.to_owned())) {
            Some(Value::Text(said)) => Self::ALL.into_iter().find(|by| by.as_str() == said),
            _ => None,
        }
    }
}

/// How a store's orders are procured at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Procurement {
    /// The primary writes the orders of this store.
    pub is_centralised: bool,
    /// The store's site keeps procurement for itself, whatever the preference says.
    pub is_kept_local: bool,
    /// The primary may enter orders in supervisor mode.
    pub has_supervisor_mode: bool,
    /// The count of changes that an order of the store is written under: see the module.
    pub changes: u32,
}

/// Who writes an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purchaser {
    /// The site where its store is active.
    Store,
    /// The primary server.
    Primary,
    /// Nobody: the primary entered it in supervisor mode, which is off.
    NobodyUnsupervised,
    /// Nobody: the primary entered it in supervisor mode, and the store's site keeps procurement by now.
    NobodyKeptLocal,
}

impl Procurement {
    /// Of a store, by the records that are here. What is not here says nothing.
    ///
    /// # Errors
    /// The view's own.
    pub fn of_store<V: View>(catalogue: &Catalogue, view: &mut V, store: &RecordId) -> Result<Self, V::Error> {
        Self::by_records(catalogue, store, |table, id| {
            Ok(match view.record(table.reference(), id)? {
                Found::Here { row, .. } => Some(table.canonical(row)),
                Found::Unknown | Found::Deleted { .. } => None,
            })
        })
    }

    /// The same where there is no view: `row_of` reads a record, in the columns that the catalogue numbers.
    ///
    /// # Errors
    /// Those of `row_of`.
    pub fn by_records<E>(
        catalogue: &Catalogue,
        store: &RecordId,
        mut row_of: impl FnMut(&Table, &RecordId) -> Result<Option<Row>, E>,
    ) -> Result<Self, E> {
        let (Ok(preferences), Ok(stores)) =
            (catalogue.table_by_name(PREFERENCE_TABLE), catalogue.table_by_name(STORE_TABLE))
        else {
            return Ok(Self::default());
        };
        let centralised = row_of(preferences, &Preference::CentralisedProcurement.id())?;
        let supervised = row_of(preferences, &Preference::SupervisorOrders.id())?;
        let of_store = row_of(stores, store)?;
        let is_kept_local = of_store.as_ref().is_some_and(|row| says(stores, row, ORDERS_LOCALLY));
        let is_on = Preference::CentralisedProcurement.is_on(preferences, centralised.as_ref());
        let count = |row: Option<&Row>| row.map_or(0, changes_of);
        let ignored = u32::from(is_on && is_kept_local);
        let changes = (count(centralised.as_ref()) + count(of_store.as_ref())).saturating_sub(ignored);
        Ok(Self {
            is_centralised: is_on && !is_kept_local,
            is_kept_local: is_on && is_kept_local,
            has_supervisor_mode: Preference::SupervisorOrders.is_on(preferences, supervised.as_ref()),
            changes: changes.min(TRANSFERS_MAX),
        })
    }

    /// Who writes an order of the store; `None`: one of which nothing is known, or that is to be made.
    pub fn purchaser(self, orders: &Table, order: Option<&Row>) -> Purchaser {
        let is_confirmed = order.is_some_and(|row| is_confirmed(orders, row));
        match (order.and_then(OrderedBy::of), is_confirmed) {
            (Some(OrderedBy::Supervisor), false) => self.supervised(),
            (Some(OrderedBy::Primary | OrderedBy::Supervisor), true) => Purchaser::Primary,
            (Some(OrderedBy::Primary | OrderedBy::Store) | None, false) if self.is_centralised => Purchaser::Primary,
            (Some(OrderedBy::Primary | OrderedBy::Store) | None, _) => Purchaser::Store,
        }
    }

    /// Who writes an order that the primary entered in supervisor mode and that is not confirmed.
    pub(crate) fn supervised(self) -> Purchaser {
        if self.is_kept_local {
            Purchaser::NobodyKeptLocal
        } else if self.has_supervisor_mode {
            Purchaser::Primary
        } else {
            Purchaser::NobodyUnsupervised
        }
    }

    /// The number under which an order is written by whoever has `grant`.
    pub fn number(self, grant: OwnershipNumber) -> OwnershipNumber {
        number_of(grant, self.changes)
    }

    /// What an order has to say of who ordered after an edit by `purchaser`. `says`: what the edit would have it say.
    pub(crate) fn has_to_say(
        self,
        orders: &Table,
        purchaser: Option<Purchaser>,
        before: Option<&Row>,
        after: &Row,
        says: Option<OrderedBy>,
    ) -> Option<OrderedBy> {
        let (was, was_confirmed) =
            (before.and_then(OrderedBy::of), before.is_some_and(|row| is_confirmed(orders, row)));
        let is_by_primary = purchaser == Some(Purchaser::Primary);
        // Of a new one the primary may say so at once: that is supervisor mode.
        let is_supervised = before.is_none() && says == Some(OrderedBy::Supervisor) && is_by_primary;
        if was == Some(OrderedBy::Supervisor) || is_supervised {
            return Some(OrderedBy::Supervisor);
        }
        if self.changes > 0 && !was_confirmed && is_confirmed(orders, after) {
            return Some(if is_by_primary { OrderedBy::Primary } else { OrderedBy::Store });
        }
        was
    }
}

/// Whether a table is that of orders, or of their lines.
pub fn is_of_orders(table: &Table) -> bool {
    matches!(table.name(), ORDER_TABLE | ORDER_LINE_TABLE) && matches!(table.reference(), TableRef::Known(_))
}

/// Whether an order is confirmed, by its state.
pub fn is_confirmed(orders: &Table, row: &Row) -> bool {
    let status = row.value(&orders.column_ref(STATUS_COLUMN));
    matches!(status, Some(Value::Text(status)) if CONFIRMED.contains(&status.as_str()))
}

/// How the orders of a store are procured, and who writes one that is here, or a line of one; `None` of a line whose order is not here.
/// `table` is one of [`is_of_orders`].
///
/// # Errors
/// The view's own.
pub fn of_record<V: View>(
    catalogue: &Catalogue,
    view: &mut V,
    table: &Table,
    store: &RecordId,
    row: &Row,
) -> Result<(Procurement, Option<Purchaser>), V::Error> {
    let procurement = Procurement::of_store(catalogue, view, store)?;
    let Ok(orders) = catalogue.table_by_name(ORDER_TABLE) else { return Ok((procurement, None)) };
    if table.name() == ORDER_TABLE {
        return Ok((procurement, Some(procurement.purchaser(orders, Some(row)))));
    }
    let Some(Ok(header)) = table.header_of(row) else { return Ok((procurement, None)) };
    let purchaser = match view.record(orders.reference(), &header)? {
        Found::Here { row, .. } => Some(procurement.purchaser(orders, Some(&orders.canonical(row)))),
        Found::Unknown | Found::Deleted { .. } => None,
    };
    Ok((procurement, purchaser))
}

/// Has an edit that confirms an order say who ordered, as [`ORDERED_BY_COLUMN`] wants it: an application need not know.
///
/// # Errors
/// The view's own.
pub fn complete<V: View>(catalogue: &Catalogue, view: &mut V, entry: &mut Entry) -> Result<(), V::Error> {
    let Some(orders) = catalogue.table(&entry.table).filter(|table| table.name() == ORDER_TABLE) else { return Ok(()) };
    let operation = match &entry.operation {
        Operation::Put(row) => Operation::Put(orders.canonical(row.clone())),
        Operation::Patch(row) => Operation::Patch(orders.canonical(row.clone())),
        Operation::Delete => return Ok(()),
    };
    let found = match view.record(orders.reference(), &entry.record)? {
        Found::Here { row, store } => Found::Here { row: orders.canonical(row), store },
        other => other,
    };
    let before = match &found {
        Found::Here { row, .. } => Some(row),
        Found::Unknown | Found::Deleted { .. } => None,
    };
    let names_it = |row: &Row| row.value(&ColumnRef::Named(ORDERED_BY_COLUMN.to_owned())).is_some();
    let (Operation::Put(given) | Operation::Patch(given)) = &operation else { return Ok(()) };
    let Some(after) = apply(&found, &operation).filter(|_| !names_it(given)) else { return Ok(()) };
    let Some(Ok(store)) = orders.store_of(&entry.record, &after) else { return Ok(()) };
    let procurement = Procurement::of_store(catalogue, view, &store)?;
    let says = OrderedBy::of(&after);
    let purchaser = procurement.purchaser(orders, before);
    let has_to_say = procurement.has_to_say(orders, Some(purchaser), before, &after, says);
    let Some(said) = has_to_say.filter(|_| has_to_say != says) else { return Ok(()) };
    let mut columns = given.columns().to_vec();
    columns.push((ColumnRef::Named(ORDERED_BY_COLUMN.to_owned()), Value::Text(said.as_str().to_owned())));
    // A row that is full already is judged as it is.
    let Ok(completed) = Row::new(columns) else { return Ok(()) };
    let (Operation::Put(row) | Operation::Patch(row)) = &mut entry.operation else { return Ok(()) };
    *row = completed;
    Ok(())
}

/// A record after an edit, with the changes of what it says about procurement counted. `before`: `None` if it was not here.
///
/// # Errors
/// The view's own.
pub(crate) fn counted<V: View>(
    catalogue: &Catalogue,
    view: &mut V,
    (table, id): (&Table, &RecordId),
    before: Option<&Row>,
    after: Row,
) -> Result<Row, V::Error> {
    let centralised = Preference::CentralisedProcurement;
    let changes_hands = |says_so: &dyn Fn(&Row) -> bool| before.is_some_and(says_so) != says_so(&after);
    let is_counted = match table.name() {
        PREFERENCE_TABLE => *id == centralised.id() && changes_hands(&|row| centralised.is_on(table, Some(row))),
        STORE_TABLE if changes_hands(&|row| says(table, row, ORDERS_LOCALLY)) => {
            let Ok(preferences) = catalogue.table_by_name(PREFERENCE_TABLE) else { return Ok(after) };
            match view.record(preferences.reference(), &centralised.id())? {
                Found::Here { row, .. } => centralised.is_on(preferences, Some(&preferences.canonical(row))),
                Found::Unknown | Found::Deleted { .. } => false,
            }
        }
        _ => false,
    };
    if !is_counted {
        return Ok(after);
    }
    let changes = (before.map_or(0, changes_of) + 1).min(TRANSFERS_MAX);
    Ok(after.patched(&one(CHANGES_COLUMN, Value::Number(changes.to_string()))))
}

/// Whether a record counts changes of procurement for every store, so that it is not deleted but switched off.
pub(crate) fn counts_for_all(table: &Table, id: &RecordId, row: &Row) -> bool {
    table.name() == PREFERENCE_TABLE && *id == Preference::CentralisedProcurement.id() && changes_of(row) > 0
}

fn changes_of(row: &Row) -> u32 {
    match row.value(&ColumnRef::Named(CHANGES_COLUMN.to_owned())) {
        Some(Value::Number(text)) => text.parse().map_or(0, |count: u32| count.min(TRANSFERS_MAX)),
        _ => 0,
    }
}

fn one(column: &str, value: Value) -> Row {
    Row::new(vec![(ColumnRef::Named(column.to_owned()), value)]).expect("one column is within every limit")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use proptest::prelude::*;
    use protocol::ids::SiteId;

    use super::*;
    use crate::judge::Holding;

    /// Records, and nothing else.
    #[derive(Default)]
    struct Records(BTreeMap<(TableRef, RecordId), Row>);

    impl View for Records {
        type Error = Infallible;

        fn record(&mut self, table: &TableRef, id: &RecordId) -> Result<Found, Infallible> {
            let found = self.0.get(&(table.clone(), id.clone())).cloned();
            Ok(found.map_or(Found::Unknown, |row| Found::Here { row, store: None }))
        }

        fn holding(&mut self, _store: &RecordId) -> Result<Option<Holding>, Infallible> {
            Ok(None)
        }

        fn is_waiting(&mut self, _author: SiteId, _table: &TableRef, _id: &RecordId) -> Result<bool, Infallible> {
            Ok(false)
        }

        fn has_dispensary(&mut self, _site: SiteId) -> Result<bool, Infallible> {
            Ok(false)
        }

        fn store_of_name(&mut self, _name: &RecordId) -> Result<Option<RecordId>, Infallible> {
            Ok(None)
        }

        fn merged_into(&mut self, _merges: &TableRef, _record: &RecordId) -> Result<Option<RecordId>, Infallible> {
            Ok(None)
        }
    }

    impl Records {
        /// Sets a column of a record, as an edit that the judge accepts.
        fn set(&mut self, table: &str, id: &RecordId, column: &str, is_on: bool) {
            let catalogue = Catalogue::embedded();
            let table = catalogue.table_by_name(table).unwrap();
            let key = (table.reference().clone(), id.clone());
            let before = self.0.get(&key).cloned();
            let value = Row::new(vec![(table.column_ref(column), Value::Bool(is_on))]).unwrap();
            let after = before.clone().unwrap_or_default().patched(&value);
            let after = counted(&catalogue, self, (table, id), before.as_ref(), after).unwrap();
            self.0.insert(key, after);
        }
    }

    proptest! {
        #[test]
        fn a_writer_that_had_to_give_way_meanwhile_writes_under_a_higher_count(
            changes in proptest::collection::vec(any::<(bool, bool)>(), 1..40),
        ) {
            let (catalogue, store) = (Catalogue::embedded(), RecordId::new("S").unwrap());
            let orders = catalogue.table_by_name(ORDER_TABLE).unwrap();
            let (mut records, mut before) = (Records::default(), None);
            let mut last: BTreeMap<bool, (u32, bool)> = BTreeMap::new();
            for (is_of_store, is_on) in changes {
                if is_of_store {
                    records.set(STORE_TABLE, &store, ORDERS_LOCALLY, is_on);
                } else {
                    records.set(PREFERENCE_TABLE, &Preference::CentralisedProcurement.id(), "value", is_on);
                }
                let now = Procurement::of_store(&catalogue, &mut records, &store).unwrap();
                let is_by_primary = now.purchaser(orders, None) == Purchaser::Primary;
                if let Some((count, gave_way)) = last.get(&is_by_primary) {
                    prop_assert!(now.changes >= *count && (!gave_way || now.changes > *count));
                }
                last.entry(!is_by_primary).and_modify(|(_, gave_way)| *gave_way = true);
                // A site that keeps procurement is not concerned by its being centralised.
                if !is_of_store && is_on && now.is_kept_local && let Some((false, count)) = before {
                    prop_assert_eq!(now.changes, count);
                }
                before = Some((is_by_primary, now.changes));
                last.insert(is_by_primary, (now.changes, false));
            }
        }
    }
}
