//! What becomes of a responding half when its initiating half is edited, addressed to another store, cancelled or deleted afterwards.
//!
//! Nobody changes the half but the site that owns it ("It never changes a half afterwards", `domain.md`; rule 5.14). So what follows is a
//! proposal to that site, which takes it or declines it. A proposal says what it expects to find; who finds something else declines.
//!
//! | the initiating half | while the other is untouched | afterwards |
//! | --- | --- | --- |
//! | an edit of what went over | the same columns are proposed, unless the owner has changed them | it stands |
//! | a line added, changed, taken away, or made again | the same is proposed of its line | it stands |
//! | cancelled, deleted, taken back from finalised | its deletion is proposed, lines first | it stands |
//! | addressed to another store | its deletion is proposed; the other store gets a half of its own | it stands; the other store gets one too |
//!
//! Untouched is what nobody has begun to work on:
//!
//! | half | untouched while |
//! | --- | --- |
//! | supplier invoice, return from a customer | its status is `nw` and it is on hold |
//! | response | its status is `sg` or `nw`, nothing is supplied by its lines, and no invoice was made from it |
//! | customer invoice of an order | its status is `sg` or `nw` and its lines are placeholders |
//! | goods received | its status is `nw` |

use protocol::ids::{RecordId, TableRef};
use protocol::row::{ColumnRef, Row, Value};

use super::fields::Fields;
use super::half::{Made, Making, header};
use super::ids::{TransferKey, line_id};
use super::kinds::{Initiating, Kind, initiating};
use super::records::{
    Awaited, INVOICE_LINES, INVOICES, Look, Moment, ORDER_LINES, ORDERS, REQUISITION_LINES, REQUISITIONS, Read, Records,
};
use crate::catalogue::{Catalogue, Table};
use crate::judge::Found;

/// What is proposed of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// To make it, if it was never there, or has gone with the line that it answers.
    Put(Row),
    /// To change some columns. Where a column was not there, or is to go, it is null.
    Patch {
        /// These columns as they have to be.
        expected: Row,
        /// As they are to become.
        new: Row,
    },
    /// To delete it.
    Delete {
        /// All of it, as it has to be.
        expected: Row,
    },
}

/// What is proposed to the site that holds the receiving store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Of the transfer.
    pub key: TransferKey,
    /// The record's table.
    pub table: TableRef,
    /// The record: the half's header, or a line of it.
    pub id: RecordId,
    /// What is proposed.
    pub change: Change,
}

/// What follows from an edit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Consequences {
    /// What is proposed, in the order in which it is to be taken.
    pub proposals: Vec<Proposal>,
    /// Transfers whose responding half stands as it is, because somebody has begun to work on it.
    pub stand: Vec<TransferKey>,
    /// What has to be here before it can be told; the edit is looked at again then.
    pub awaited: Option<Awaited>,
}

/// What follows from an applied edit, `before` and `after` being the record's images. To be asked before the halves that its group
/// brings about are made ([`half::due`](super::half::due)): these have the edit already.
///
/// # Errors
/// The view's own.
pub fn consequences<V: Records>(
    catalogue: &Catalogue,
    view: &mut V,
    moment: &Moment,
    (table, id): (&Table, &RecordId),
    before: Option<&Row>,
    after: Option<&Row>,
) -> Result<Consequences, V::Error> {
    let mut look = Look { catalogue, view };
    let fields = |row: &Row| Fields::new(table, table.canonical(row.clone()));
    let edit = Edited { id, before: before.map(fields), after: after.map(fields) };
    let mut found = Consequences::default();
    let read = match table.name() {
        INVOICES | REQUISITIONS | ORDERS => of_header(&mut look, moment, &edit, &mut found),
        INVOICE_LINES => of_line(&mut look, &edit, (INVOICES, "transaction_ID"), &mut found),
        REQUISITION_LINES => of_line(&mut look, &edit, (REQUISITIONS, "requisition_ID"), &mut found),
        ORDER_LINES => of_line(&mut look, &edit, (ORDERS, "purchase_order_ID"), &mut found),
        _ => Ok(()),
    };
    if let Err(stop) = read {
        found.awaited = Some(stop.awaited()?);
    }
    Ok(found)
}

/// The deletion of a half whose initiating half starts its transfer no more, as long as the half is untouched: what an earlier proposal did
/// not come to, because the owner had given the half its number meanwhile. Lines come first.
///
/// # Errors
/// The view's own.
pub fn withdrawn<V: Records>(catalogue: &Catalogue, view: &mut V, key: &TransferKey) -> Result<Consequences, V::Error> {
    let mut look = Look { catalogue, view };
    let mut found = Consequences::default();
    if let Err(stop) = withdraw_untouched(&mut look, key, &mut found) {
        found.awaited = Some(stop.awaited()?);
    }
    Ok(found)
}

fn withdraw_untouched<V: Records>(look: &mut Look<'_, V>, key: &TransferKey, found: &mut Consequences) -> Read<(), V> {
    let half = key.half_id();
    let Some(current) = look.here(key.kind.half_table(), &half)? else { return Ok(()) };
    if is_untouched(look, key, &half, &current)? {
        return withdraw(look, key, &half, &current, found);
    }
    found.stand.push(key.clone());
    Ok(())
}

struct Edited<'e, 'a> {
    id: &'e RecordId,
    before: Option<Fields<'a>>,
    after: Option<Fields<'a>>,
}

fn of_header<V: Records>(
    look: &mut Look<'_, V>,
    moment: &Moment,
    edit: &Edited<'_, '_>,
    found: &mut Consequences,
) -> Read<(), V> {
    let Some(before) = &edit.before else { return Ok(()) };
    let Some(was) = initiating(look, edit.id, before)? else { return Ok(()) };
    let half = was.key.half_id();
    let Some(current) = look.here(was.key.kind.half_table(), &half)? else { return Ok(()) };
    let is_untouched = is_untouched(look, &was.key, &half, &current)?;
    let now = match &edit.after {
        Some(after) => initiating(look, edit.id, after)?.filter(|now| now.key == was.key),
        None => None,
    };
    let (Some(now), Some(after)) = (now, &edit.after) else {
        if is_untouched {
            return withdraw(look, &was.key, &half, &current, found);
        }
        found.stand.push(was.key);
        return Ok(());
    };
    let (made_before, made_after) = (header(look, &was, before, moment)?, header(look, &now, after, moment)?);
    if let Some(change) = changed(&made_before, &made_after, &current.row) {
        propose(&now.key, is_untouched, current.table, half, change, found);
    }
    Ok(())
}

/// The deletion of a half: its lines, then its header.
fn withdraw<V: Records>(
    look: &mut Look<'_, V>,
    key: &TransferKey,
    half: &RecordId,
    current: &Fields<'_>,
    found: &mut Consequences,
) -> Read<(), V> {
    let (lines, column) = key.kind.half_lines();
    for (id, line) in look.referring(lines, column, half)? {
        propose(key, true, line.table, id, Change::Delete { expected: line.row }, found);
    }
    propose(key, true, current.table, half.clone(), Change::Delete { expected: current.row.clone() }, found);
    Ok(())
}

fn of_line<V: Records>(
    look: &mut Look<'_, V>,
    edit: &Edited<'_, '_>,
    (headers, column): (&'static str, &str),
    found: &mut Consequences,
) -> Read<(), V> {
    let Some(source) = edit.after.as_ref().or(edit.before.as_ref()).and_then(|line| line.id(column)) else {
        return Ok(());
    };
    // Of a source that is gone the half goes whole.
    let Some(record) = look.here(headers, &source)? else { return Ok(()) };
    let Some(transfer) = initiating(look, &source, &record)? else { return Ok(()) };
    let (key, half) = (&transfer.key, transfer.key.half_id());
    let Some(current) = look.here(key.kind.half_table(), &half)? else { return Ok(()) };
    let after = made_of(look, &transfer, edit, edit.after.as_ref())?;
    let (lines, _) = key.kind.half_lines();
    let id = line_id(&half, edit.id);
    let change = match (look.found(lines, &id)?, after) {
        (Found::Unknown, Some(after)) => Some(Change::Put(after.row)),
        (Found::Here { row, .. }, None) => Some(Change::Delete { expected: row }),
        (Found::Here { row, .. }, Some(after)) => {
            let before = made_of(look, &transfer, edit, edit.before.as_ref())?;
            before.and_then(|before| changed(&before.row, &after.row, &row))
        }
        // What the owner has deleted does not come back.
        (Found::Deleted { .. }, Some(after)) if look.went_with_its_source(lines, &id)? => Some(Change::Put(after.row)),
        (Found::Deleted { .. } | Found::Unknown, _) => None,
    };
    if let Some(change) = change {
        let is_untouched = is_untouched(look, key, &half, &current)?;
        propose(key, is_untouched, look.table(lines), id, change, found);
    }
    Ok(())
}

fn made_of<V: Records>(
    look: &mut Look<'_, V>,
    transfer: &Initiating,
    edit: &Edited<'_, '_>,
    image: Option<&Fields<'_>>,
) -> Read<Option<Made>, V> {
    match image {
        Some(image) => Making::of(look, transfer)?.line(look, edit.id, image),
        None => Ok(None),
    }
}

fn propose(
    key: &TransferKey,
    is_untouched: bool,
    table: &Table,
    id: RecordId,
    change: Change,
    found: &mut Consequences,
) {
    if is_untouched {
        found.proposals.push(Proposal { key: key.clone(), table: table.reference().clone(), id, change });
    } else if !found.stand.contains(key) {
        found.stand.push(key.clone());
    }
}

/// What an edit changes of what went over, but for columns that are not any more as they came.
fn changed(before: &Row, after: &Row, current: &Row) -> Option<Change> {
    let value = |row: &Row, column: &ColumnRef| row.value(column).cloned().unwrap_or(Value::Null);
    let differing = before.difference(after);
    let columns = differing.columns().iter().map(|(column, _)| column);
    let columns: Vec<&ColumnRef> = columns.filter(|column| value(current, column) == value(before, column)).collect();
    if columns.is_empty() {
        return None;
    }
    let taken = |row: &Row| {
        let columns = columns.iter().map(|column| ((*column).clone(), value(row, column)));
        Row::new(columns.collect()).expect("some columns of a row are within every limit")
    };
    Some(Change::Patch { expected: taken(current), new: taken(after) })
}

/// Whether nobody has begun to work on a half.
fn is_untouched<V: Records>(
    look: &mut Look<'_, V>,
    key: &TransferKey,
    half: &RecordId,
    header: &Fields<'_>,
) -> Read<bool, V> {
    let is_new = header.is("status", "nw") || header.is("status", "sg");
    let (lines, column) = key.kind.half_lines();
    Ok(match key.kind {
        Kind::Stock | Kind::Return => header.is("status", "nw") && header.flag("hold"),
        Kind::Goods => header.is("status", "nw"),
        Kind::Order => {
            is_new && look.referring(lines, column, half)?.iter().all(|(_, line)| line.is("type", "placeholder"))
        }
        Kind::Requisition => {
            let supplies = |line: &Fields<'_>| line.number("actualQuan") > 0.0;
            is_new
                && !look.referring(lines, column, half)?.iter().any(|(_, line)| supplies(line))
                && look.referring(INVOICES, "requisition_ID", half)?.is_empty()
        }
    })
}
