//! A purchase order becomes a customer invoice in the store that supplies (section 3.6 of the reference).

use protocol::ids::RecordId;
use protocol::row::Row;

use super::invoice::of_invoice;
use super::quoting;
use crate::transfers::fields::{Columns, Fields, number};
use crate::transfers::kinds::Initiating;
use crate::transfers::records::{INVOICE_LINES, Look, Moment, Read, Records};

pub(super) fn header<V: Records>(
    look: &mut Look<'_, V>,
    initiating: &Initiating,
    source: &Fields<'_>,
    moment: &Moment,
) -> Read<Row, V> {
    let name = look.name_of_store(&initiating.sender)?;
    let reference = format!("From order number: {}", source.number_text("serial_number"));
    Ok(of_invoice(look, moment)
        .id("name_ID", name.as_ref())
        .id("store_ID", Some(&initiating.key.receiver))
        .text("type", "ci")
        // As mSupply has it of an invoice for which no stock was chosen.
        .text("status", "sg")
        .flag("hold", false)
        .text("their_ref", &quoting(&reference, source.text("reference")))
        .text("comment", &quoting("Internal order", source.text("comment")))
        .id("original_PO_ID", Some(&initiating.key.source))
        .empty(&["requisition_ID", "linked_transaction_id"])
        .copied(source, &["currency_ID"])
        .copied_to("currency_rate", source, "curr_rate")
        .copied_to("arrival_date_estimated", source, "requested_delivery_date")
        .row())
}

/// A placeholder for stock that the supplying store chooses; it says which line of the order it answers.
pub(super) fn line<V: Records>(look: &Look<'_, V>, half: &RecordId, id: &RecordId, line: &Fields<'_>) -> Row {
    let size = line.number("packsize_ordered");
    let size = if size > 0.0 { size } else { 1.0 };
    let adjusted = line.number("quan_adjusted_order");
    let units = if adjusted > 0.0 { adjusted } else { line.number("quan_original_order") };
    Columns::of(look.table(INVOICE_LINES))
        .id("transaction_ID", Some(half))
        .text("type", "placeholder")
        .set("pack_size", number(size))
        .set("quantity", number(units / size))
        .zero(&["cost_price", "volume_per_pack"])
        .empty(&["item_line_ID", "location_ID", "batch", "linked_transact_id"])
        .nothing(&["expiry_date"])
        .copied(line, &["item_ID", "item_name", "manufacturer_ID"])
        .copied_to("note", line, "comment")
        .copied_to("sell_price", line, "price_expected_after_discount")
        .object("oms_fields", &[("purchase_order_line_id".to_owned(), id.to_string())])
        .row()
}
