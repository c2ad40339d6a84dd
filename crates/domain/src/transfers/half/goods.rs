//! The customer invoice that answered an order becomes goods received in the store that ordered (section 3.6 of the reference).

use protocol::few::sort_few;
use protocol::ids::RecordId;
use protocol::row::Row;

use super::invoice::from_invoice;
use super::price::Packs;
use super::{NO_NUMBER, quoting};
use crate::transfers::fields::{Columns, Fields};
use crate::transfers::kinds::Initiating;
use crate::transfers::records::{GOODS, GOODS_LINES, INVOICES, ITEMS, Look, Moment, ORDER_LINES, Read, Records};

pub(super) fn header<V: Records>(
    look: &Look<'_, V>,
    initiating: &Initiating,
    source: &Fields<'_>,
    moment: &Moment,
) -> Row {
    Columns::of(look.table(GOODS))
        .id("store_ID", Some(&initiating.key.receiver))
        .id("purchase_order_ID", source.id("original_PO_ID").as_ref())
        .whole("serial_number", NO_NUMBER)
        .text("status", "nw")
        .text("comment", &quoting("Stock transfer", source.text("comment")))
        .text("supplier_reference", &from_invoice(source))
        .text("entry_date", &moment.date)
        .empty(&["user_id_created", "donor_id"])
        .row()
}

/// The lines of the order that goods answer.
pub(super) struct OrderLines(Vec<OrderLine>);

struct OrderLine {
    id: RecordId,
    item: Option<RecordId>,
    pack_size: f64,
    number: f64,
}

impl OrderLines {
    pub(super) fn of<V: Records>(look: &mut Look<'_, V>, initiating: &Initiating) -> Read<Self, V> {
        let invoice = look.known(INVOICES, &initiating.key.source)?;
        let Some(order) = invoice.and_then(|invoice| invoice.id("original_PO_ID")) else { return Ok(Self(Vec::new())) };
        let mut lines = Vec::new();
        for (id, line) in look.referring(ORDER_LINES, "purchase_order_ID", &order)? {
            let item = line.id("item_ID").map(|item| look.resolved(ITEMS, &item)).transpose()?;
            let (pack_size, number) = (line.number("packsize_ordered"), line.number("line_number"));
            lines.push(OrderLine { id, item, pack_size, number });
        }
        // They come by their ids.
        sort_few(&mut lines, |one, other| one.number.total_cmp(&other.number).is_lt());
        Ok(Self(lines))
    }

    /// The line of the order that a line of the invoice answers: the one that it names; else one of the same item, before others one in
    /// the same packs, and of several the first. `None`: the item was not ordered.
    fn answered_by(&self, item: Option<&RecordId>, line: &Fields<'_>) -> Option<&RecordId> {
        let named = line.texts_within("oms_fields", &["purchase_order_line_id"]).pop();
        let is_named = |of: &&OrderLine| named.as_ref().is_some_and(|(_, named)| of.id.as_str() == named);
        let is_of_item = |of: &&OrderLine| item.is_some() && of.item.as_ref() == item;
        let has_packs = |of: &&OrderLine| of.pack_size.total_cmp(&line.number("pack_size")).is_eq();
        let lines = || self.0.iter();
        let of_item = || lines().filter(is_of_item);
        lines().find(is_named).or_else(|| of_item().find(has_packs)).or_else(|| of_item().next()).map(|line| &line.id)
    }
}

pub(super) fn line<V: Records>(
    look: &mut Look<'_, V>,
    half: &RecordId,
    line: &Fields<'_>,
    order: Option<&OrderLines>,
    is_packed_to_one: bool,
) -> Read<Row, V> {
    let item = line.id("item_ID").map(|item| look.resolved(ITEMS, &item)).transpose()?;
    let answered = order.and_then(|order| order.answered_by(item.as_ref(), line));
    let mut packs = Packs::as_sent(line, "sell_price");
    if is_packed_to_one {
        packs = packs.in_packs_of_one(line);
    }
    let made = Columns::of(look.table(GOODS_LINES))
        .id("goods_received_ID", Some(half))
        .id("order_line_ID", answered)
        .set("pack_received", packs.pack_size)
        .set("quantity_received", packs.quantity)
        .set("cost_price", packs.cost)
        .empty(&["location_ID"])
        .copied(line, &["item_ID", "item_name", "expiry_date"])
        .copied_to("batch_received", line, "batch")
        .copied_to("comment", line, "note");
    Ok(match packs.volume_per_pack {
        Some(volume) => made.set("volume_per_pack", volume).row(),
        None => made.zero(&["volume_per_pack"]).row(),
    })
}
