//! What transfers read, and what they wait for.

use std::fmt;

use protocol::ids::{RecordId, TableRef};
use protocol::row::Row;

use super::fields::Fields;
use crate::catalogue::{Catalogue, Table};
use crate::judge::Found;
use crate::procurement::{ORDER_LINE_TABLE, ORDER_TABLE};
use crate::store::{NAME_TABLE, STORE_TABLE};
use crate::visibility::{TRANSACTION_LINE_TABLE, TRANSACTION_TABLE};

/// The table of invoices and returns, under mSupply's name.
pub const INVOICES: &str = TRANSACTION_TABLE;
/// The table of their lines.
pub const INVOICE_LINES: &str = TRANSACTION_LINE_TABLE;
/// The table of requisitions.
pub const REQUISITIONS: &str = "requisition";
/// The table of their lines.
pub const REQUISITION_LINES: &str = "requisition_line";
/// The table of purchase orders.
pub const ORDERS: &str = ORDER_TABLE;
/// The table of their lines.
pub const ORDER_LINES: &str = ORDER_LINE_TABLE;
/// The table of goods received notes.
pub const GOODS: &str = "Goods_received";
/// The table of their lines.
pub const GOODS_LINES: &str = "Goods_received_line";
/// The table of names.
pub const NAMES: &str = NAME_TABLE;
/// The table of stores.
pub const STORES: &str = STORE_TABLE;
/// The table of items.
pub const ITEMS: &str = "item";
/// The table of what a store says of an item.
pub const ITEM_JOINS: &str = "item_store_join";
/// The table of the preferences of stores.
pub const STORE_PREFERENCES: &str = "pref";
/// The table of master lists, programs among them.
pub const MASTER_LISTS: &str = "list_master";
/// The table of their lines.
pub const MASTER_LIST_LINES: &str = "list_master_line";
/// The table that makes a master list visible for a name.
pub const MASTER_LIST_JOINS: &str = "list_master_name_join";
/// The table of indicators' values.
pub const INDICATOR_VALUES: &str = "indicator_value";

/// The table of log entries.
pub const LOG: &str = "om_activity_log";

/// The columns by which [`Records::referring`] is asked; nothing else is. A test holds this list.
pub const REFERENCES: &[(&str, &str)] = &[
    (INVOICE_LINES, "transaction_ID"),
    (INVOICES, "linked_transaction_id"),
    (INVOICES, "original_PO_ID"),
    (INVOICES, "requisition_ID"),
    (REQUISITION_LINES, "requisition_ID"),
    (REQUISITIONS, "linked_requisition_id"),
    (ORDER_LINES, "purchase_order_ID"),
    (GOODS_LINES, "goods_received_ID"),
    (GOODS, "purchase_order_ID"),
    (STORE_PREFERENCES, "store_ID"),
    (MASTER_LIST_LINES, "item_ID"),
    (MASTER_LIST_JOINS, "name_ID"),
    (INDICATOR_VALUES, "period_ID"),
];

/// What is here. Tables are asked for by [`Table::reference`].
pub trait Records {
    /// What can go wrong while reading.
    type Error;

    /// A record as it is, with the effect of what was applied before in the same commit.
    ///
    /// # Errors
    /// The view's own.
    fn record(&mut self, table: &TableRef, id: &RecordId) -> Result<Found, Self::Error>;

    /// The store whose record names this name; the name was resolved.
    ///
    /// # Errors
    /// The view's own.
    fn store_of_name(&mut self, name: &RecordId) -> Result<Option<RecordId>, Self::Error>;

    /// What a record stands for, by the merges that are here ([`merge::resolve`](crate::merge::resolve)): itself if it was not merged.
    ///
    /// # Errors
    /// The view's own.
    fn resolved(&mut self, table: &TableRef, id: &RecordId) -> Result<RecordId, Self::Error>;

    /// What a store says of an item (a record of [`ITEM_JOINS`]), the item resolved.
    ///
    /// # Errors
    /// The view's own.
    fn item_in_store(&mut self, item: &RecordId, store: &RecordId) -> Result<Option<Row>, Self::Error>;

    /// The records of a table that are here and hold an id in a column, one of [`REFERENCES`]. In any order.
    ///
    /// # Errors
    /// The view's own.
    fn referring(&mut self, table: &TableRef, column: &str, id: &RecordId)
    -> Result<Vec<(RecordId, Row)>, Self::Error>;

    /// Of a half's line that was deleted: whether it went because its source line did, and not because its owner deleted it. Only what went
    /// so may come back.
    ///
    /// # Errors
    /// The view's own.
    fn went_with_its_source(&mut self, table: &TableRef, id: &RecordId) -> Result<bool, Self::Error>;
}

/// When something is made, as the caller's clock says: for people, never for order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The day, `YYYY-MM-DD`.
    pub date: String,
    /// Seconds of the day, as mSupply's columns of times hold them.
    pub second_of_day: u32,
}

impl Moment {
    /// Date and time in one text, `YYYY-MM-DDThh:mm:ss`.
    pub fn to_date_time(&self) -> String {
        let (hours, rest) = (self.second_of_day / 3600, self.second_of_day % 3600);
        format!("{}T{hours:02}:{:02}:{:02}", self.date, rest / 60, rest % 60)
    }
}

/// What has to come before a half can be made. It is tried again when this is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// A record.
    Record {
        /// Its table.
        table: &'static str,
        /// Its id.
        id: RecordId,
    },
    /// The record of the store that has this name.
    StoreOfName(RecordId),
}

impl fmt::Display for Awaited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { table, id } => write!(formatter, "{table} {id}"),
            Self::StoreOfName(name) => write!(formatter, "the store of name {name}"),
        }
    }
}

/// Why something was not worked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop<E> {
    /// Something is not here yet.
    Waits(Awaited),
    /// The view failed.
    View(E),
}

impl<E> Stop<E> {
    /// What is waited for, as a value.
    ///
    /// # Errors
    /// The view's own.
    pub(super) fn awaited(self) -> Result<Awaited, E> {
        match self {
            Self::Waits(awaited) => Ok(awaited),
            Self::View(error) => Err(error),
        }
    }
}

/// A catalogue and what is here, read together.
pub(super) struct Look<'a, V: Records> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) view: &'a mut V,
}

/// A reading.
pub(super) type Read<T, V> = Result<T, Stop<<V as Records>::Error>>;

impl<'a, V: Records> Look<'a, V> {
    /// One of mSupply's tables.
    pub(super) fn table(&self, name: &'static str) -> &'a Table {
        self.catalogue.table_by_name(name).expect("the tables of transfers are in every catalogue")
    }

    /// What is known of a record.
    pub(super) fn found(&mut self, name: &'static str, id: &RecordId) -> Read<Found, V> {
        let table = self.table(name);
        Ok(match self.view.record(table.reference(), id).map_err(Stop::View)? {
            Found::Here { row, store } => Found::Here { row: table.canonical(row), store },
            other => other,
        })
    }

    /// A record that has to be known: `None` if it was deleted.
    pub(super) fn known(&mut self, name: &'static str, id: &RecordId) -> Read<Option<Fields<'a>>, V> {
        match self.found(name, id)? {
            Found::Here { row, .. } => Ok(Some(Fields::new(self.table(name), row))),
            Found::Deleted { .. } => Ok(None),
            Found::Unknown => Err(Stop::Waits(Awaited::Record { table: name, id: id.clone() })),
        }
    }

    /// A record if it is here.
    pub(super) fn here(&mut self, name: &'static str, id: &RecordId) -> Read<Option<Fields<'a>>, V> {
        Ok(self.found(name, id)?.row().map(|row| Fields::new(self.table(name), row.clone())))
    }

    /// Of a half's line that was deleted: whether it went because its source line did.
    pub(super) fn went_with_its_source(&mut self, name: &'static str, id: &RecordId) -> Read<bool, V> {
        self.view.went_with_its_source(self.table(name).reference(), id).map_err(Stop::View)
    }

    /// What a record stands for.
    pub(super) fn resolved(&mut self, name: &'static str, id: &RecordId) -> Read<RecordId, V> {
        self.view.resolved(self.table(name).reference(), id).map_err(Stop::View)
    }

    /// The store that has a name, after merges. A name that says that it is a store's, and whose store is not here, is waited for.
    pub(super) fn store_of_name(&mut self, name: &RecordId) -> Read<Option<RecordId>, V> {
        let name = self.resolved(NAMES, name)?;
        let is = |row: Option<&Fields<'_>>, kind| row.is_some_and(|row| row.is("type", kind));
        let row = self.here(NAMES, &name)?;
        if is(row.as_ref(), "patient") {
            return Ok(None);
        }
        match self.view.store_of_name(&name).map_err(Stop::View)? {
            None if is(row.as_ref(), "store") => Err(Stop::Waits(Awaited::StoreOfName(name))),
            store => Ok(store),
        }
    }

    /// The name of a store, after merges.
    pub(super) fn name_of_store(&mut self, store: &RecordId) -> Read<Option<RecordId>, V> {
        match self.known(STORES, store)?.and_then(|row| row.id("name_ID")) {
            Some(name) => Ok(Some(self.resolved(NAMES, &name)?)),
            None => Ok(None),
        }
    }

    /// What a store says of an item.
    pub(super) fn item_in_store(&mut self, item: &RecordId, store: &RecordId) -> Read<Option<Fields<'a>>, V> {
        let item = self.resolved(ITEMS, item)?;
        let table = self.table(ITEM_JOINS);
        let row = self.view.item_in_store(&item, store).map_err(Stop::View)?;
        Ok(row.map(|row| Fields::new(table, table.canonical(row))))
    }

    /// Whether a store's preferences say that something is so.
    pub(super) fn prefers(&mut self, store: &RecordId, preference: &str) -> Read<bool, V> {
        let rows = self.referring(STORE_PREFERENCES, "store_ID", store)?;
        let of_store = rows.iter().filter(|(_, row)| row.is("item", "store_preferences"));
        Ok(of_store.into_iter().any(|(_, row)| row.flag_within("data", preference)))
    }

    /// The records that hold an id in a column, by their ids.
    pub(super) fn referring(
        &mut self,
        name: &'static str,
        column: &str,
        id: &RecordId,
    ) -> Read<Vec<(RecordId, Fields<'a>)>, V> {
        let table = self.table(name);
        let found = self.view.referring(table.reference(), column, id).map_err(Stop::View)?;
        let mut in_order: Vec<(RecordId, Fields<'a>)> = Vec::with_capacity(found.len());
        for (id, row) in found {
            // Views have them nearly in order.
            let at = in_order.partition_point(|(before, _)| *before < id);
            in_order.insert(at, (id, Fields::new(table, table.canonical(row))));
        }
        Ok(in_order)
    }
}
