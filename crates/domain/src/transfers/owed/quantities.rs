//! What was approved of a request, and what was received of an order.

use protocol::ids::RecordId;

use super::links::is_addressed;
use super::{Answering, Owed, Owing, Site, What, edit};
use crate::edit::EditOp;
use crate::transfers::fields::{Columns, Fields, number};
use crate::transfers::records::{
    GOODS, GOODS_LINES, ITEMS, Look, ORDER_LINES, ORDERS, REQUISITION_LINES, REQUISITIONS, Read, Stop,
};

/// The column of an order's line with what was received of it, in units.
const RECEIVED: &str = "quan_rec_to_date";
/// What a requisition says that somebody, or a rule, has authorised; its request then says the first.
const AUTHORISED: [&str; 3] = ["authorised", "auto-authorised", "authorised by another authoriser"];

/// What was approved of the lines of a request, by item. It does not end with the request's own status: lines of the response may come
/// after their header.
pub(super) fn approved<V: Site>(look: &mut Look<'_, V>, half: &Answering<'_>, answers: &mut Vec<Owing>) -> Read<(), V> {
    let is_authorised = AUTHORISED.iter().any(|word| half.row.is("authorisationStatus", word));
    let request = look.here(REQUISITIONS, &half.key.source)?.filter(|_| is_authorised);
    let Some(request) = request.filter(|request| request.is("type", "request")) else { return Ok(()) };
    if look.grant_of(&request)?.is_none() || !is_addressed(look, half, &request)? {
        return Ok(());
    }
    let (table, lines) = (look.table(REQUISITIONS), look.table(REQUISITION_LINES));
    let mut edits = Vec::new();
    let [said, ..] = AUTHORISED;
    if !request.is("authorisationStatus", said) {
        let patch = Columns::of(table).text("authorisationStatus", said).row();
        edits.push(edit(table, EditOp::Patch, &half.key.source, &patch));
    }
    let mut by_item = Sums::default();
    for (_, line) in look.referring(REQUISITION_LINES, "requisition_ID", &half.id)? {
        if let Some(item) = item_of(look, &line)? {
            *by_item.of(item) = line.number("approved_quantity");
        }
    }
    for (id, line) in look.referring(REQUISITION_LINES, "requisition_ID", &half.key.source)? {
        let Some(item) = item_of(look, &line)? else { continue };
        let Some(quantity) = by_item.get(&item).map(number) else { continue };
        if number(line.number("approved_quantity")) != quantity {
            let patch = Columns::of(lines).set("approved_quantity", quantity).row();
            edits.push(edit(lines, EditOp::Patch, &id, &patch));
        }
    }
    answer(What::Approved, edits, answers);
    Ok(())
}

/// What was received of the lines of an order, where this site writes it: packs times their size, over all goods received for it. An order
/// for which no goods are here keeps what it says.
pub(super) fn received<V: Site>(look: &mut Look<'_, V>, order: &RecordId, answers: &mut Vec<Owing>) -> Read<(), V> {
    let Some(header) = look.here(ORDERS, order)? else { return Ok(()) };
    let notes = look.referring(GOODS, "purchase_order_ID", order)?;
    if notes.is_empty() || !look.view.writes_order(order, &header.row).map_err(Stop::View)? {
        return Ok(());
    }
    let mut by_line = Sums::default();
    for (note, _) in notes {
        for (_, line) in look.referring(GOODS_LINES, "goods_received_ID", &note)? {
            let units = line.number("pack_received") * line.number("quantity_received");
            if let Some(of) = line.id("order_line_ID") {
                *by_line.of(of) += units;
            }
        }
    }
    let table = look.table(ORDER_LINES);
    let mut edits = Vec::new();
    for (id, line) in look.referring(ORDER_LINES, "purchase_order_ID", order)? {
        let units = number(by_line.get(&id).unwrap_or(0.0));
        if number(line.number(RECEIVED)) != units {
            edits.push(edit(table, EditOp::Patch, &id, &Columns::of(table).set(RECEIVED, units).row()));
        }
    }
    answer(What::Received, edits, answers);
    Ok(())
}

/// Numbers of records, in the order of their ids.
#[derive(Default)]
struct Sums(Vec<(RecordId, f64)>);

impl Sums {
    fn place(&self, id: &RecordId) -> Result<usize, usize> {
        self.0.binary_search_by(|(of, _)| of.cmp(id))
    }

    fn get(&self, id: &RecordId) -> Option<f64> {
        Some(self.0.get(self.place(id).ok()?)?.1)
    }

    /// That of a record, 0 if it had none.
    fn of(&mut self, id: RecordId) -> &mut f64 {
        let at = self.place(&id).unwrap_or_else(|at| {
            self.0.insert(at, (id, 0.0));
            at
        });
        &mut self.0.get_mut(at).expect("it was found there, or put there").1
    }
}

fn item_of<V: Site>(look: &mut Look<'_, V>, line: &Fields<'_>) -> Read<Option<RecordId>, V> {
    line.id("item_ID").map(|item| look.resolved(ITEMS, &item)).transpose()
}

fn answer(what: What, edits: Vec<crate::edit::Edit>, answers: &mut Vec<Owing>) {
    if !edits.is_empty() {
        answers.push(Owing::Edits(Owed { what, request_id: None, edits }));
    }
}
