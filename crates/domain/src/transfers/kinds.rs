//! The kinds of transfers, and which record is an initiating half (`domain.md`, "Transfers", the table of kinds).
//!
//! | kind | initiating half | counts from | responding half |
//! | --- | --- | --- | --- |
//! | stock | `transact` of type `ci` | finalised | `transact` of type `si` |
//! | return | `transact` of type `sc` | finalised | `transact` of type `cc` |
//! | requisition | `requisition` of type `request` | finalised | `requisition` of type `response` |
//! | order | `purchase_order` | confirmed | `transact` of type `ci` with `original_PO_ID` |
//! | goods | that `ci`, in the store that the order went to, for the store that ordered | finalised | `Goods_received` |
//!
//! The other party is a store, and not the same one. Prescriptions (mode `dispensary`, or to a patient) are no transfers. A status and a
//! type count in capitals too; a status that only Open mSupply knows (`om_status`) takes a half back where it is `CANCELLED`.

use std::fmt;

use protocol::ids::RecordId;
use protocol::row::Row;

use super::fields::Fields;
use super::ids::TransferKey;
use super::records::{
    Awaited, GOODS, GOODS_LINES, INVOICE_LINES, INVOICES, Look, ORDER_LINES, ORDERS, REQUISITION_LINES,
};
use super::records::{REQUISITIONS, Read, Records, Stop};
use crate::catalogue::{Catalogue, Table};
use crate::judge::Found;

/// What goes from one store to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A customer invoice to another store.
    Stock,
    /// A return to the store that supplied.
    Return,
    /// A request requisition to another store.
    Requisition,
    /// A purchase order whose supplier is a store.
    Order,
    /// The customer invoice that answered such an order.
    Goods,
}

impl Kind {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Stock, Self::Return, Self::Requisition, Self::Order, Self::Goods];

    /// The word in keys and reports. It never changes: ids are derived from it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Return => "return",
            Self::Requisition => "requisition",
            Self::Order => "order",
            Self::Goods => "goods",
        }
    }

    /// The kind of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The table of the initiating half.
    pub fn source_table(self) -> &'static str {
        match self {
            Self::Stock | Self::Return | Self::Goods => INVOICES,
            Self::Requisition => REQUISITIONS,
            Self::Order => ORDERS,
        }
    }

    /// The table of its lines, and their column with its id.
    pub fn source_lines(self) -> (&'static str, &'static str) {
        match self {
            Self::Stock | Self::Return | Self::Goods => (INVOICE_LINES, "transaction_ID"),
            Self::Requisition => (REQUISITION_LINES, "requisition_ID"),
            Self::Order => (ORDER_LINES, "purchase_order_ID"),
        }
    }

    /// The table of the responding half.
    pub fn half_table(self) -> &'static str {
        match self {
            Self::Stock | Self::Return | Self::Order => INVOICES,
            Self::Requisition => REQUISITIONS,
            Self::Goods => GOODS,
        }
    }

    /// The table of its lines, and their column with its id.
    pub fn half_lines(self) -> (&'static str, &'static str) {
        match self {
            Self::Stock | Self::Return | Self::Order => (INVOICE_LINES, "transaction_ID"),
            Self::Requisition => (REQUISITION_LINES, "requisition_ID"),
            Self::Goods => (GOODS_LINES, "goods_received_ID"),
        }
    }

    /// The column of the responding half that holds its number, -1 until its site gives it one.
    pub fn number_column(self) -> &'static str {
        match self {
            Self::Stock | Self::Return | Self::Order => "invoice_num",
            Self::Requisition | Self::Goods => "serial_number",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A record that starts a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initiating {
    /// Of the transfer.
    pub key: TransferKey,
    /// The store whose record it is.
    pub sender: RecordId,
}

/// Whether a record starts a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It does not, as it is.
    No,
    /// It cannot be told before this is here.
    Waits(Awaited),
    /// It does.
    Initiates(Initiating),
}

/// What an edit made of a record, as far as transfers go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Whether it starts a transfer now.
    pub now: Standing,
    /// Whether it did not before, or for another store: then a half is due that was not.
    pub has_begun: bool,
}

/// Whether a record starts a transfer, as it is.
///
/// # Errors
/// The view's own.
pub fn standing<V: Records>(
    catalogue: &Catalogue,
    view: &mut V,
    table: &Table,
    id: &RecordId,
    row: Option<&Row>,
) -> Result<Standing, V::Error> {
    let Some(row) = row else { return Ok(Standing::No) };
    let record = Fields::new(table, table.canonical(row.clone()));
    match initiating(&mut Look { catalogue, view }, id, &record) {
        Ok(found) => Ok(found.map_or(Standing::No, Standing::Initiates)),
        Err(stop) => stop.awaited().map(Standing::Waits),
    }
}

/// The same of an applied edit: `before` and `after` are the record's images, `None` where it was or is not here.
///
/// # Errors
/// The view's own.
pub fn counted<V: Records>(
    catalogue: &Catalogue,
    view: &mut V,
    (table, id): (&Table, &RecordId),
    before: Option<&Row>,
    after: Option<&Row>,
) -> Result<Counted, V::Error> {
    let was = standing(catalogue, view, table, id, before)?;
    let now = standing(catalogue, view, table, id, after)?;
    let has_begun = now != Standing::No && now != was;
    Ok(Counted { now, has_begun })
}

/// The transfer that a record starts, if it does.
pub(super) fn initiating<V: Records>(
    look: &mut Look<'_, V>,
    id: &RecordId,
    record: &Fields<'_>,
) -> Read<Option<Initiating>, V> {
    let Some(kind) = kind_of(record) else { return Ok(None) };
    let (Some(sender), Some(name)) = (record.id("store_ID"), record.id("name_ID")) else { return Ok(None) };
    let Some(receiver) = look.store_of_name(&name)?.filter(|receiver| *receiver != sender) else { return Ok(None) };
    let kind = match (kind, record.id("original_PO_ID")) {
        (Kind::Stock, Some(order)) if is_order_of(look, &order, &receiver)? => Kind::Goods,
        (kind, _) => kind,
    };
    Ok(Some(Initiating { key: TransferKey { kind, source: id.clone(), receiver }, sender }))
}

/// The kind of a record that is far enough to start a transfer. Whether a customer invoice answers an order is not asked.
fn kind_of(record: &Fields<'_>) -> Option<Kind> {
    let is_withdrawn = record.is("om_status", "CANCELLED") || record.flag("is_cancellation");
    let is_finalised = record.is("status", "fn") && !is_withdrawn;
    match record.table.name() {
        INVOICES if !is_finalised => None,
        INVOICES if record.is("type", "ci") && !record.is("mode", "dispensary") => Some(Kind::Stock),
        INVOICES if record.is("type", "sc") => Some(Kind::Return),
        REQUISITIONS if record.is("type", "request") && is_finalised => Some(Kind::Requisition),
        ORDERS if record.is("status", "cn") || record.is("status", "fn") => Some(Kind::Order),
        _ => None,
    }
}

/// Whether an order is one of a store's. It is asked by the store that is kept beside it, also of one that was deleted, so that the
/// answer never changes.
fn is_order_of<V: Records>(look: &mut Look<'_, V>, order: &RecordId, store: &RecordId) -> Read<bool, V> {
    Ok(match look.found(ORDERS, order)? {
        Found::Here { row, store: None } => Fields::new(look.table(ORDERS), row).id("store_ID").as_ref() == Some(store),
        Found::Here { store: of, .. } | Found::Deleted { store: of } => of.as_ref() == Some(store),
        Found::Unknown => return Err(Stop::Waits(Awaited::Record { table: ORDERS, id: order.clone() })),
    })
}

/// Whether a line of an initiating half goes over. Placeholders stand for stock that was not found (section 3.9 of the reference), and
/// goods received notes hold no services.
pub(super) fn is_carried(kind: Kind, line: &Fields<'_>) -> bool {
    match kind {
        Kind::Stock | Kind::Return => !line.is("type", "placeholder"),
        Kind::Goods => !line.is("type", "placeholder") && !line.is("type", "service"),
        Kind::Requisition | Kind::Order => true,
    }
}
