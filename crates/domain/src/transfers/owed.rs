//! What a site owes in answer to a record that came to it (rule 5.14). It is found from the records that are here alone: asked again after
//! a crash the answer is the same until what it says is here, and nothing from then on.
//!
//! | a record that came | this site holds | owes |
//! | --- | --- | --- |
//! | a responding half without a number | its store | the next number of its sequence, and the log entry about the initiating half |
//! | a responding half | the initiating half's store | the link on the initiating half |
//! | a response that is finalised, or authorised | the request's store | the request finalised; what was approved of its lines |
//! | goods received, or a line of them | the order, by whoever writes it | what was received of the order's lines |

mod links;
mod numbers;
mod quantities;

use protocol::ids::{OwnershipNumber, RecordId, RequestId};
use protocol::row::Row;

use super::fields::Fields;
use super::ids::TransferKey;
use super::kinds::Kind;
use super::records::{
    GOODS, GOODS_LINES, INVOICES, Look, Moment, ORDER_LINES, ORDERS, REQUISITION_LINES, REQUISITIONS, Read, Records,
    Stop,
};
use crate::catalogue::{Catalogue, Table};
use crate::edit::{Edit, EditOp};
use crate::json::row_to_json;
use crate::number::NumberProblem;

/// A site's own view: what is here, and what it may write.
pub trait Site: Records {
    /// The number under which this site holds a store; `None`: it does not.
    ///
    /// # Errors
    /// The view's own.
    fn grant(&mut self, store: &RecordId) -> Result<Option<OwnershipNumber>, Self::Error>;

    /// Whether this site writes a purchase order ([`procurement`](crate::procurement)): the primary under centralised procurement, else
    /// the site that holds its store.
    ///
    /// # Errors
    /// The view's own.
    fn writes_order(&mut self, order: &RecordId, row: &Row) -> Result<bool, Self::Error>;

    /// What is known of a sequence of numbers of a store that this site holds; `name` is that of its record
    /// ([`number`](crate::number)).
    ///
    /// # Errors
    /// The view's own.
    fn sequence(&mut self, store: &RecordId, name: &str) -> Result<Sequence, Self::Error>;
}

/// A sequence of document numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sequence {
    /// Its record, if there is one.
    pub record: Option<(RecordId, Row)>,
    /// How many gaps there are by the grant of its store.
    pub gaps: u32,
}

/// What is owed, for reports and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A number, and the log entry with it.
    Number,
    /// The log entry alone.
    Log,
    /// The link on the initiating half.
    Link,
    /// The request finalised.
    Finalised,
    /// What was approved of a request.
    Approved,
    /// What was received of an order.
    Received,
}

impl What {
    /// The word in request ids and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Log => "log",
            Self::Link => "link",
            Self::Finalised => "finalised",
            Self::Approved => "approved",
            Self::Received => "received",
        }
    }
}

/// Edits that this site owes, to be recorded as one group. They were worked out from the records as they are: nothing may be recorded
/// between the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Why.
    pub what: What,
    /// Makes a repeated recording do nothing. `None` where the same may rightly be owed again: quantities that go up, down and up again.
    pub request_id: Option<RequestId>,
    /// The edits, in their order.
    pub edits: Vec<Edit>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owing {
    /// To be recorded.
    Edits(Owed),
    /// No number can be given before somebody has mended the sequence.
    NoNumber {
        /// The half that has none.
        half: RecordId,
        /// The name of the sequence's record.
        name: String,
        /// What is wrong with it.
        problem: NumberProblem,
    },
}

/// What this site owes in answer to a record that came, or changed here. One number is given at a time: whoever has recorded what is
/// owed asks again, until it is nothing.
///
/// # Errors
/// The view's own.
pub fn owed<V: Site>(
    catalogue: &Catalogue,
    site: &mut V,
    moment: &Moment,
    table: &Table,
    id: &RecordId,
) -> Result<Vec<Owing>, V::Error> {
    let mut answers = Vec::new();
    match answer(&mut Look { catalogue, view: site }, moment, table, id, &mut answers) {
        // Nothing that is owed waits: what is not here is looked at when it comes.
        Ok(()) | Err(Stop::Waits(_)) => Ok(answers),
        Err(Stop::View(error)) => Err(error),
    }
}

fn answer<V: Site>(
    look: &mut Look<'_, V>,
    moment: &Moment,
    table: &Table,
    id: &RecordId,
    answers: &mut Vec<Owing>,
) -> Read<(), V> {
    match table.name() {
        INVOICES => of_invoice(look, moment, id, answers),
        REQUISITIONS => of_requisition(look, moment, id, answers),
        REQUISITION_LINES => match look.here(REQUISITION_LINES, id)?.and_then(|line| line.id("requisition_ID")) {
            Some(header) => of_requisition(look, moment, &header, answers),
            None => Ok(()),
        },
        GOODS => of_goods(look, moment, id, answers),
        GOODS_LINES => match look.here(GOODS_LINES, id)?.and_then(|line| line.id("goods_received_ID")) {
            Some(header) => of_goods(look, moment, &header, answers),
            None => Ok(()),
        },
        ORDERS => quantities::received(look, id, answers),
        ORDER_LINES => match look.here(ORDER_LINES, id)?.and_then(|line| line.id("purchase_order_ID")) {
            Some(order) => quantities::received(look, &order, answers),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn of_invoice<V: Site>(
    look: &mut Look<'_, V>,
    moment: &Moment,
    id: &RecordId,
    answers: &mut Vec<Owing>,
) -> Read<(), V> {
    let Some(invoice) = look.here(INVOICES, id)? else { return Ok(()) };
    if let Some(half) = Answering::of_invoice(id, &invoice) {
        numbers::number(look, moment, &half, answers)?;
        links::link_invoice(look, &half, answers)?;
    }
    // The other half may have come first.
    for (other, row) in look.referring(INVOICES, "linked_transaction_id", id)? {
        if let Some(half) = Answering::of_invoice(&other, &row) {
            links::link_invoice(look, &half, answers)?;
        }
    }
    let Some(order) = invoice.id("original_PO_ID").filter(|_| invoice.is("type", "ci")) else { return Ok(()) };
    for (goods, row) in look.referring(GOODS, "purchase_order_ID", &order)? {
        if let Some(half) = Answering::of_goods(look, &goods, &row)? {
            numbers::number(look, moment, &half, answers)?;
            links::link_goods(look, &half, answers)?;
        }
    }
    Ok(())
}

fn of_requisition<V: Site>(
    look: &mut Look<'_, V>,
    moment: &Moment,
    id: &RecordId,
    answers: &mut Vec<Owing>,
) -> Read<(), V> {
    let Some(requisition) = look.here(REQUISITIONS, id)? else { return Ok(()) };
    let mut responses = look.referring(REQUISITIONS, "linked_requisition_id", id)?;
    responses.push((id.clone(), requisition));
    for (response, row) in responses {
        let Some(half) = Answering::of_requisition(&response, &row) else { continue };
        numbers::number(look, moment, &half, answers)?;
        links::link_requisition(look, &half, answers)?;
        quantities::approved(look, &half, answers)?;
    }
    Ok(())
}

fn of_goods<V: Site>(look: &mut Look<'_, V>, moment: &Moment, id: &RecordId, answers: &mut Vec<Owing>) -> Read<(), V> {
    let Some(goods) = look.here(GOODS, id)? else { return Ok(()) };
    let Some(order) = goods.id("purchase_order_ID") else { return Ok(()) };
    match Answering::of_goods(look, id, &goods)? {
        Some(half) => {
            numbers::number(look, moment, &half, answers)?;
            links::link_goods(look, &half, answers)?;
        }
        // The invoice that it answers comes later; it needs its number all the same.
        None => numbers::number_of_goods(look, moment, id, &goods, answers)?,
    }
    quantities::received(look, &order, answers)
}

/// A responding half that is here.
struct Answering<'a> {
    key: TransferKey,
    id: RecordId,
    row: Fields<'a>,
}

impl<'a> Answering<'a> {
    fn of_invoice(id: &RecordId, row: &Fields<'a>) -> Option<Self> {
        let (kind, column) = match row.text("type").to_ascii_lowercase().as_str() {
            "si" => (Kind::Stock, "linked_transaction_id"),
            "cc" => (Kind::Return, "linked_transaction_id"),
            "ci" => (Kind::Order, "original_PO_ID"),
            _ => return None,
        };
        Self::of(kind, id, row, column)
    }

    fn of_requisition(id: &RecordId, row: &Fields<'a>) -> Option<Self> {
        let is_response = row.is("type", "response");
        if is_response { Self::of(Kind::Requisition, id, row, "linked_requisition_id") } else { None }
    }

    fn of(kind: Kind, id: &RecordId, row: &Fields<'a>, column: &str) -> Option<Self> {
        let key = TransferKey { kind, source: row.id(column)?, receiver: row.id("store_ID")? };
        Some(Self { key, id: id.clone(), row: row.clone() })
    }

    /// Nothing in a goods received note names the invoice that it answers; of those of its order it is the one from which the note's id
    /// was derived.
    fn of_goods<V: Site>(look: &mut Look<'_, V>, id: &RecordId, row: &Fields<'a>) -> Read<Option<Self>, V> {
        let (Some(order), Some(store)) = (row.id("purchase_order_ID"), row.id("store_ID")) else { return Ok(None) };
        let invoices = look.referring(INVOICES, "original_PO_ID", &order)?;
        let keys =
            invoices.into_iter().map(|(source, _)| TransferKey { kind: Kind::Goods, source, receiver: store.clone() });
        let key = keys.into_iter().find(|key| key.half_id() == *id);
        Ok(key.map(|key| Self { key, id: id.clone(), row: row.clone() }))
    }
}

impl<V: Site> Look<'_, V> {
    /// The number under which this site holds the store of a record.
    fn grant_of(&mut self, row: &Fields<'_>) -> Read<Option<OwnershipNumber>, V> {
        match row.id("store_ID") {
            Some(store) => self.view.grant(&store).map_err(Stop::View),
            None => Ok(None),
        }
    }
}

fn edit(table: &Table, op: EditOp, id: &RecordId, row: &Row) -> Edit {
    Edit { table: table.name().to_owned(), op, id: id.clone(), data: Some(row_to_json(table, id, row)) }
}
