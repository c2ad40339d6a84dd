//! A request becomes a response (section 3.5 of the reference).

use protocol::ids::RecordId;
use protocol::row::Row;

use super::{Made, NO_NUMBER, quoting};
use crate::judge::Found;
use crate::transfers::fields::{Columns, Fields};
use crate::transfers::ids::indicator_id;
use crate::transfers::kinds::Initiating;
use crate::transfers::records::{
    INDICATOR_VALUES, Look, MASTER_LIST_JOINS, MASTER_LIST_LINES, MASTER_LISTS, Moment, REQUISITION_LINES,
    REQUISITIONS, Read, Records,
};

pub(super) fn header<V: Records>(
    look: &mut Look<'_, V>,
    initiating: &Initiating,
    source: &Fields<'_>,
    moment: &Moment,
) -> Read<Row, V> {
    let key = &initiating.key;
    let name = look.name_of_store(&initiating.sender)?;
    let what = format!("From internal order {}", source.number_text("serial_number"));
    let is_pending = wants_authorisation(look, initiating, source)?;
    Ok(Columns::of(look.table(REQUISITIONS))
        .whole("serial_number", NO_NUMBER)
        .id("name_ID", name.as_ref())
        .id("store_ID", Some(&key.receiver))
        .text("type", "response")
        .text("status", "sg")
        .text("date_entered", &moment.date)
        .text("requester_reference", &quoting(&what, source.text("requester_reference")))
        .text("comment", &quoting(&what, source.text("comment")))
        .id("linked_requisition_id", Some(&key.source))
        .text("authorisationStatus", if is_pending { "pending" } else { "none" })
        .empty(&["user_ID"])
        .zero(&["lastModifiedAt"])
        .copied(
            source,
            &[
                "thresholdMOS",
                "daysToSupply",
                "orderType",
                "periodID",
                "programID",
                "is_emergency",
                "om_expected_delivery_date",
                "om_max_months_of_stock",
            ],
        )
        .object(
            "oms_fields",
            &source.texts_within("oms_fields", &["created_from_requisition_id", "destination_customer_id"]),
        )
        .row())
}

/// Whether the supplier has its responses authorised, and this one is of a program.
fn wants_authorisation<V: Records>(
    look: &mut Look<'_, V>,
    initiating: &Initiating,
    source: &Fields<'_>,
) -> Read<bool, V> {
    let supplier = &initiating.key.receiver;
    if !look.prefers(supplier, "shouldAuthoriseResponseRequisition")? {
        return Ok(false);
    }
    if source.id("programID").is_some() {
        return Ok(true);
    }
    let Some(name) = look.name_of_store(supplier)? else { return Ok(false) };
    let visible = look.referring(MASTER_LIST_JOINS, "name_ID", &name)?;
    let visible: Vec<RecordId> = visible.into_iter().filter_map(|(_, join)| join.id("list_master_ID")).collect();
    for (_, line) in look.referring(REQUISITION_LINES, "requisition_ID", &initiating.key.source)? {
        let Some(item) = line.id("item_ID") else { continue };
        for (_, listed) in look.referring(MASTER_LIST_LINES, "item_ID", &item)? {
            let Some(list) = listed.id("item_master_ID").filter(|list| visible.contains(list)) else { continue };
            if look.known(MASTER_LISTS, &list)?.is_some_and(|list| list.flag("isProgram")) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

pub(super) fn line<V: Records>(look: &Look<'_, V>, half: &RecordId, line: &Fields<'_>) -> Row {
    Columns::of(look.table(REQUISITION_LINES))
        .id("requisition_ID", Some(half))
        .zero(&["actualQuan", "approved_quantity"])
        .empty(&["authoriser_comment"])
        .copied(
            line,
            &[
                "item_ID",
                "itemName",
                "Cust_stock_order",
                "suggested_quantity",
                "stock_on_hand",
                "daily_usage",
                "comment",
                "Cust_prev_stock_balance",
                "Cust_stock_received",
                "Cust_stock_issued",
                "stockLosses",
                "stockAdditions",
                "stockExpiring",
                "days_out_or_new_demand",
                "optionID",
                "Cust_loss_adjust",
            ],
        )
        .row()
}

/// What the requesting store entered for the indicators of the period, for the supplier. What came with another requisition is there.
pub(super) fn indicator_values<V: Records>(
    look: &mut Look<'_, V>,
    initiating: &Initiating,
    source: &Fields<'_>,
) -> Read<Vec<Made>, V> {
    let (Some(period), Some(_)) = (source.id("periodID"), source.id("programID")) else { return Ok(Vec::new()) };
    let table = look.table(INDICATOR_VALUES);
    let mut made = Vec::new();
    for (value, fields) in look.referring(INDICATOR_VALUES, "period_ID", &period)? {
        let id = indicator_id(&initiating.key.receiver, &value);
        let is_senders = fields.id("store_ID").as_ref() == Some(&initiating.sender);
        if !is_senders || look.found(INDICATOR_VALUES, &id)? != Found::Unknown {
            continue;
        }
        let row = Columns::of(table)
            .id("store_ID", Some(&initiating.key.receiver))
            .copied(&fields, &["facility_ID", "period_ID", "column_ID", "row_ID", "value"])
            .row();
        made.push(Made { table: table.reference().clone(), id, row });
    }
    Ok(made)
}
