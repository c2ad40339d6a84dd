//! A customer invoice becomes a supplier invoice, and a return to the supplier a return from the customer (section 3.4 of the reference).

use protocol::ids::RecordId;
use protocol::row::Row;

use super::price::{Packs, Parties, selling_price};
use super::{NO_NUMBER, quoting};
use crate::transfers::fields::{Columns, Fields};
use crate::transfers::kinds::{Initiating, Kind};
use crate::transfers::records::{INVOICE_LINES, INVOICES, Look, Moment, REQUISITIONS, Read, Records};

pub(super) fn header<V: Records>(
    look: &mut Look<'_, V>,
    initiating: &Initiating,
    source: &Fields<'_>,
    moment: &Moment,
) -> Read<Row, V> {
    let key = &initiating.key;
    let is_return = key.kind == Kind::Return;
    let (kind, what) = if is_return { ("cc", "Stock return") } else { ("si", "Stock transfer") };
    let name = look.name_of_store(&initiating.sender)?;
    let requisition = request_of(look, initiating, source)?;
    let made = of_invoice(look, moment)
        .id("name_ID", name.as_ref())
        .id("store_ID", Some(&key.receiver))
        .text("type", kind)
        .text("status", "nw")
        .flag("hold", true)
        .text("their_ref", &from_invoice(source))
        .text("comment", &quoting(what, source.text("comment")))
        .id("requisition_ID", requisition.as_ref())
        .id("linked_transaction_id", Some(&key.source))
        .empty(&["original_PO_ID"])
        .copied(
            source,
            &[
                "currency_ID",
                "currency_rate",
                "tax_rate",
                "programID",
                "ship_method_ID",
                "arrival_date_estimated",
                "om_transport_reference",
            ],
        );
    let original = if is_return { original_of(look, source)? } else { None };
    Ok(match original {
        Some(original) => made.id("om_original_shipment_id", Some(&original)).row(),
        None => made.row(),
    })
}

/// The columns that each invoice which is made has alike, with all that Open mSupply wants to find in one.
pub(super) fn of_invoice<'a, V: Records>(look: &Look<'a, V>, moment: &Moment) -> Columns<'a> {
    Columns::of(look.table(INVOICES))
        .whole("invoice_num", NO_NUMBER)
        .text("mode", "store")
        .text("entry_date", &moment.date)
        .whole("entry_time", i64::from(moment.second_of_day))
        .flag("is_cancellation", false)
        .empty(&["user_ID", "prescriber_ID", "goods_received_ID", "nameInsuranceJoinID", "donor_default_id"])
        .nothing(&["confirm_date", "finalised_date"])
        .zero(&["confirm_time", "finalised_time", "insuranceDiscountAmount", "insuranceDiscountRate"])
}

/// What the other half says of its origin.
pub(super) fn from_invoice(source: &Fields<'_>) -> String {
    quoting(&format!("From invoice number: {}", source.number_text("invoice_num")), source.text("their_ref"))
}

/// The receiver's request, where the invoice fulfils the response to one.
fn request_of<V: Records>(
    look: &mut Look<'_, V>,
    initiating: &Initiating,
    source: &Fields<'_>,
) -> Read<Option<RecordId>, V> {
    let Some(response) = source.id("requisition_ID") else { return Ok(None) };
    let Some(response) = look.known(REQUISITIONS, &response)? else { return Ok(None) };
    let (Some(customer), true) = (response.id("name_ID"), response.is("type", "response")) else { return Ok(None) };
    // An invoice that was addressed to another store than had asked fulfils nobody's request.
    let is_receivers = look.store_of_name(&customer)?.as_ref() == Some(&initiating.key.receiver);
    Ok(response.id("linked_requisition_id").filter(|_| is_receivers))
}

/// Of a return: the invoice of the receiver by which the goods had come, through the link of the sender's own.
fn original_of<V: Records>(look: &mut Look<'_, V>, source: &Fields<'_>) -> Read<Option<RecordId>, V> {
    let Some(received) = source.id("om_original_shipment_id") else { return Ok(None) };
    Ok(look.known(INVOICES, &received)?.and_then(|received| received.id("linked_transaction_id")))
}

pub(super) fn line<V: Records>(
    look: &mut Look<'_, V>,
    initiating: &Initiating,
    half: &RecordId,
    line: &Fields<'_>,
    is_packed_to_one: bool,
) -> Read<Row, V> {
    let key = &initiating.key;
    let is_service = line.is("type", "service");
    let mut packs = Packs::as_sent(line, if key.kind == Kind::Return { "cost_price" } else { "sell_price" });
    if key.kind == Kind::Stock && !is_service {
        let parties = Parties { sender: &initiating.sender, receiver: &key.receiver };
        packs.sell = selling_price(look, &parties, line, packs.sell)?;
    }
    if is_packed_to_one && !is_service {
        packs = packs.in_packs_of_one(line);
    }
    let made = Columns::of(look.table(INVOICE_LINES))
        .id("transaction_ID", Some(half))
        .text("type", if is_service { "service" } else { "stock_in" })
        .id("linked_transact_id", Some(&key.source))
        .empty(&["item_line_ID", "location_ID"])
        .set("pack_size", packs.pack_size.clone())
        .set("quantity", packs.quantity.clone())
        .set("sent_pack_size", packs.pack_size)
        .set("sentQuantity", packs.quantity)
        .set("cost_price", packs.cost)
        .set("sell_price", packs.sell)
        .copied(
            line,
            &[
                "item_ID",
                "item_name",
                "om_item_code",
                "batch",
                "expiry_date",
                "note",
                "optionID",
                "om_item_variant_id",
                "donor_id",
                "manufacturer_ID",
                "vaccine_vial_monitor_status_ID",
            ],
        )
        .object("oms_fields", &line.texts_within("oms_fields", &["campaign_id", "program_id"]));
    Ok(match packs.volume_per_pack {
        Some(volume) => made.set("volume_per_pack", volume).row(),
        None => made.row(),
    })
}
