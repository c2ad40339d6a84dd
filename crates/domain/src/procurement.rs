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
//! How often who writes the orders of a store that are not confirmed has changed is counted. What is written of such an order carries the
//! number of its writer's grant with that count above its lower bits, as a patient's does with its transfers
//! ([`home_transfer`](crate::home_transfer)): what was recorded before a change opens nothing after it, also when procurement comes back.
//! Other orders change hands by an edit of their writer's alone, and are written under the number of the grant. The count comes from
//! [`CHANGES_COLUMN`] of two records, p of the preference's, which is odd while that is on, and s of the store's:
//!
//! | the store's site | count | when that begins, s becomes |
//! | --- | --- | --- |
//! | keeps procurement | s | p + s, and one more while the preference is on: its orders come to it |
//! | does not | p + s | s - p, and one more while the preference is on: its orders go to the primary |
//!
//! So a site that keeps procurement is not concerned by what becomes of that elsewhere.

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
/// order says it, once procurement ever changed hands; that of supervisor mode the primary's first edit. Later edits that put the order
/// whole say it again, which a device and central see to.
pub const ORDERED_BY_COLUMN: &str = "outpost_ordered_by";
/// Column of a store's record: true lets its site keep procurement.
pub const ORDERS_LOCALLY: &str = "outpost_orders_locally";
/// Column of the record of [`Preference::CentralisedProcurement`], and of a store's record, for the count of changes: a whole number, which
/// may be negative. Central alone sets it.
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
        match row.value(&ColumnRef::named(ORDERED_BY_COLUMN)) {
            Some(Value::Text(said)) => Self::ALL.into_iter().find(|by| by.as_str() == said),
            _ => None,
        }
    }
}

/// What an order has to say of who ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HasToSay {
    /// One that is not confirmed: what it said when it was, or nothing.
    AnyOrNothing,
    /// Nothing.
    Nothing,
    /// This.
    By(OrderedBy),
}

impl HasToSay {
    /// Whether an order that says this does.
    pub(crate) fn is_said(self, says: Option<OrderedBy>) -> bool {
        match self {
            Self::AnyOrNothing => true,
            Self::Nothing => says.is_none(),
            Self::By(by) => says == Some(by),
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
        let of_preference = if is_kept_local { None } else { centralised.as_ref() };
        let changes = of_preference.map_or(0, changes_of).saturating_add(of_store.as_ref().map_or(0, changes_of));
        let changes = u32::try_from(changes.max(0)).unwrap_or(TRANSFERS_MAX);
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

    /// The number under which an order is written by whoever has `grant`; `order` as for [`Procurement::purchaser`].
    pub fn number(self, orders: &Table, order: Option<&Row>, grant: OwnershipNumber) -> OwnershipNumber {
        let changes_by_edits =
            |row: &Row| is_confirmed(orders, row) || OrderedBy::of(row) == Some(OrderedBy::Supervisor);
        if order.is_some_and(changes_by_edits) { grant } else { number_of(grant, self.changes) }
    }

    /// What an order has to say of who ordered after an edit by `purchaser`. `says`: what the edit would have it say.
    pub(crate) fn has_to_say(
        self,
        orders: &Table,
        purchaser: Option<Purchaser>,
        before: Option<&Row>,
        after: &Row,
        says: Option<OrderedBy>,
    ) -> HasToSay {
        let (was, was_confirmed) =
            (before.and_then(OrderedBy::of), before.is_some_and(|row| is_confirmed(orders, row)));
        let is_by_primary = purchaser == Some(Purchaser::Primary);
        // Of a new one the primary may say so at once: that is supervisor mode.
        let is_supervised = before.is_none() && says == Some(OrderedBy::Supervisor) && is_by_primary;
        if was == Some(OrderedBy::Supervisor) || is_supervised {
            return HasToSay::By(OrderedBy::Supervisor);
        }
        if !is_confirmed(orders, after) {
            return if says == Some(OrderedBy::Supervisor) { HasToSay::Nothing } else { HasToSay::AnyOrNothing };
        }
        if self.changes > 0 && !was_confirmed {
            return HasToSay::By(if is_by_primary { OrderedBy::Primary } else { OrderedBy::Store });
        }
        was.filter(|_| was_confirmed).map_or(HasToSay::Nothing, HasToSay::By)
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

/// An order that somebody has to do with, and how its store's are procured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordering {
    /// Of the store.
    pub procurement: Procurement,
    /// Who writes it; `None` of a line whose order is not here: nobody can tell.
    pub purchaser: Option<Purchaser>,
    /// The order, also of a line; `None` where it is to be made, or is not here.
    pub order: Option<Row>,
}

impl Ordering {
    /// Of a record that is here: an order, or a line. `table` is one of [`is_of_orders`].
    ///
    /// # Errors
    /// The view's own.
    pub fn of<V: View>(
        catalogue: &Catalogue,
        view: &mut V,
        table: &Table,
        store: &RecordId,
        row: &Row,
    ) -> Result<Self, V::Error> {
        let procurement = Procurement::of_store(catalogue, view, store)?;
        let Ok(orders) = catalogue.table_by_name(ORDER_TABLE) else {
            return Ok(Self { procurement, purchaser: None, order: None });
        };
        let order = if table.name() == ORDER_TABLE {
            Some(row.clone())
        } else {
            match table.header_of(row) {
                Some(Ok(header)) => match view.record(orders.reference(), &header)? {
                    Found::Here { row, .. } => Some(orders.canonical(row)),
                    Found::Unknown | Found::Deleted { .. } => None,
                },
                Some(Err(_)) | None => None,
            }
        };
        let purchaser = order.as_ref().map(|order| procurement.purchaser(orders, Some(order)));
        Ok(Self { procurement, purchaser, order })
    }

    /// The number under which it is written by whoever has `grant`.
    pub fn number(&self, catalogue: &Catalogue, grant: OwnershipNumber) -> OwnershipNumber {
        let Ok(orders) = catalogue.table_by_name(ORDER_TABLE) else { return grant };
        self.procurement.number(orders, self.order.as_ref(), grant)
    }
}

/// A row that an application gives for a record that is here, with who ordered as it is there, unless it says that itself.
#[must_use]
pub(crate) fn saying_who_ordered(given: &Row, current: &Row) -> Row {
    match (given.value(&ColumnRef::named(ORDERED_BY_COLUMN)), current.value(&ColumnRef::named(ORDERED_BY_COLUMN))) {
        (None, Some(said)) => given.patched(&one(ORDERED_BY_COLUMN, said.clone())),
        _ => given.clone(),
    }
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
    let before = found.row();
    let said = |row: Option<&Row>| row.and_then(|row| row.value(&ColumnRef::named(ORDERED_BY_COLUMN)).cloned());
    let (Operation::Put(given) | Operation::Patch(given)) = &operation else { return Ok(()) };
    // Who writes back what it has read says what was so.
    let says_another = said(Some(given)).is_some_and(|says| Some(says) != said(before));
    let Some(after) = apply(&found, &operation).filter(|_| !says_another) else { return Ok(()) };
    let Some(Ok(store)) = orders.store_of(&entry.record, &after) else { return Ok(()) };
    let procurement = Procurement::of_store(catalogue, view, &store)?;
    let says = OrderedBy::of(&after);
    let purchaser = procurement.purchaser(orders, before);
    let has_to_say = procurement.has_to_say(orders, Some(purchaser), before, &after, says);
    let HasToSay::By(said) = has_to_say else { return Ok(()) };
    if says == Some(said) {
        return Ok(());
    }
    let mut columns = given.columns().to_vec();
    columns.retain(|(column, _)| *column != ColumnRef::named(ORDERED_BY_COLUMN));
    columns.push((ColumnRef::named(ORDERED_BY_COLUMN), Value::Text(said.as_str().to_owned())));
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
    let differs = |says_so: &dyn Fn(&Row) -> bool| before.is_some_and(says_so) != says_so(&after);
    // What is handed back to a central that has lost it counts as it comes.
    if before.is_none() && after.value(&ColumnRef::named(CHANGES_COLUMN)).is_some() {
        return Ok(after);
    }
    let counted = before.map_or(0, changes_of);
    let changes = match table.name() {
        PREFERENCE_TABLE if *id == centralised.id() && differs(&|row| centralised.is_on(table, Some(row))) => {
            counted + 1
        }
        STORE_TABLE if differs(&|row| says(table, row, ORDERS_LOCALLY)) => {
            let Ok(preferences) = catalogue.table_by_name(PREFERENCE_TABLE) else { return Ok(after) };
            let preference = match view.record(preferences.reference(), &centralised.id())? {
                Found::Here { row, .. } => Some(preferences.canonical(row)),
                Found::Unknown | Found::Deleted { .. } => None,
            };
            let of_preference = preference.as_ref().map_or(0, changes_of);
            let changes_hands = i64::from(centralised.is_on(preferences, preference.as_ref()));
            let sign = if says(table, &after, ORDERS_LOCALLY) { 1 } else { -1 };
            counted.saturating_add(sign * of_preference).saturating_add(changes_hands)
        }
        _ => return Ok(after),
    };
    // Nothing was ever counted, and a store that says so needs no column.
    if changes == counted {
        return Ok(after);
    }
    Ok(after.patched(&one(CHANGES_COLUMN, Value::Number(changes.to_string()))))
}

/// Whether a record counts changes of procurement for every store, so that it is not deleted but switched off.
pub(crate) fn counts_for_all(table: &Table, id: &RecordId, row: &Row) -> bool {
    table.name() == PREFERENCE_TABLE && *id == Preference::CentralisedProcurement.id() && changes_of(row) > 0
}

fn changes_of(row: &Row) -> i64 {
    match row.value(&ColumnRef::named(CHANGES_COLUMN)) {
        Some(Value::Number(text)) => text.parse().map_or(0, |count: i32| count.into()),
        _ => 0,
    }
}

fn one(column: &str, value: Value) -> Row {
    Row::new(vec![(ColumnRef::named(column), value)]).expect("one column is within every limit")
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
        fn the_count_is_how_often_the_orders_of_a_store_changed_hands(
            changes in proptest::collection::vec(any::<(bool, bool)>(), 1..40),
        ) {
            let (catalogue, store) = (Catalogue::embedded(), RecordId::new("S").unwrap());
            let orders = catalogue.table_by_name(ORDER_TABLE).unwrap();
            let (mut records, mut before) = (Records::default(), (false, 0));
            for (is_of_store, is_on) in changes {
                if is_of_store {
                    records.set(STORE_TABLE, &store, ORDERS_LOCALLY, is_on);
                } else {
                    records.set(PREFERENCE_TABLE, &Preference::CentralisedProcurement.id(), "value", is_on);
                }
                let now = Procurement::of_store(&catalogue, &mut records, &store).unwrap();
                let is_by_primary = now.purchaser(orders, None) == Purchaser::Primary;
                let (was_by_primary, count) = before;
                prop_assert_eq!(now.changes, count + u32::from(is_by_primary != was_by_primary));
                before = (is_by_primary, now.changes);
            }
        }
    }
}
