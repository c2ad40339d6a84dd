//! What a site owes in answer to what came.

use super::halves::{with_order, with_request, with_stock};
use super::world::{World, id};
use crate::transfers::ids::log_id;
use crate::transfers::owed::Owing;

/// Everything that `site` owes about some records, until nothing is owed any more.
fn settle(world: &mut World, held: &'static str, records: &[(&str, &str)]) -> Vec<&'static str> {
    world.held = [held].into();
    let all: Vec<&str> = records.iter().flat_map(|(table, record)| world.pay(table, record)).collect();
    for (table, record) in records {
        assert!(world.owed(table, record).is_empty(), "{table} {record} is owed twice");
    }
    all
}

#[test]
fn the_responding_site_gives_the_next_number_and_writes_the_log_entry() {
    let mut world = with_stock();
    world.put("number", "N", r#"{"name":"supplier_invoice_number_for_store_B","value":41}"#);
    let half = world.make("transact", "S");

    let done = settle(&mut world, "B", &[("transact", &half)]);

    let log = log_id(&id(&half)).to_string();
    assert_eq!(done, ["number"]);
    assert_eq!(world.column("transact", &half, "invoice_num"), "42");
    assert_eq!(world.column("transact", &half, "hold"), "true");
    assert_eq!(world.column("number", "N", "value"), "42");
    for (column, value) in [
        ("type", r#""INVOICE_NUMBER_ALLOCATED""#),
        ("store_ID", r#""B""#),
        ("record_ID", r#""S""#),
        ("datetime", r#""2026-11-27T01:02:03""#),
        ("changed_to", r#""42""#),
    ] {
        assert_eq!(world.column("om_activity_log", &log, column), value, "{column}");
    }
}

#[test]
fn each_kind_is_numbered_from_a_sequence_of_its_own() {
    for (kind, sequence) in [
        ("si", "supplier_invoice_number"),
        ("cc", "customer_return_number"),
        ("ci", "customer_invoice_number"),
        ("response", "requisition_serial_number"),
        ("goods", "goods_received_number"),
    ] {
        let mut world = World::new();
        world.put("number", "N", &format!(r#"{{"name":"{sequence}_for_store_B","value":6}}"#));
        let (table, column, link) = match kind {
            "response" => ("requisition", "serial_number", "linked_requisition_id"),
            "goods" => ("Goods_received", "serial_number", "purchase_order_ID"),
            "ci" => ("transact", "invoice_num", "original_PO_ID"),
            _ => ("transact", "invoice_num", "linked_transaction_id"),
        };
        world.put(table, "H", &format!(r#"{{"store_ID":"B","type":"{kind}","{column}":-1,"{link}":"S"}}"#));

        assert_eq!(settle(&mut world, "B", &[(table, "H")]), ["number"], "{kind}");
        assert_eq!(world.column(table, "H", column), "7", "{kind}");
    }
}

#[test]
fn a_site_that_holds_both_stores_owes_all_of_it_alone() {
    let mut world = with_stock();
    let half = world.make("transact", "S");
    world.held = ["A", "B"].into();

    assert_eq!(world.pay("transact", &half), ["number", "link"]);
    assert!(world.owed("transact", &half).is_empty() && world.owed("transact", "S").is_empty());
}

#[test]
fn a_clinic_asks_the_district_supplies_and_the_clinic_receives() {
    let mut world = with_request();
    let response = world.make("requisition", "Q");
    assert_eq!(settle(&mut world, "B", &[("requisition", &response)]), ["number"]);
    assert_eq!(settle(&mut world, "A", &[("requisition", &response)]), ["link"]);

    let invoice = r#""store_ID":"B","name_ID":"NA","type":"ci","status":"fn","invoice_num":3"#;
    world.put("transact", "CI", &format!(r#"{{{invoice},"requisition_ID":"{response}"}}"#));
    world.put(
        "trans_line",
        "CL",
        r#"{"transaction_ID":"CI","item_ID":"I","type":"stock_out","pack_size":1,"quantity":40}"#,
    );
    let received = world.make("transact", "CI");
    assert_eq!(settle(&mut world, "A", &[("transact", &received)]), ["number"]);
    assert_eq!(settle(&mut world, "B", &[("transact", &received)]), ["link"]);
    world.patch("requisition", &response, r#"{"status":"fn"}"#);
    assert_eq!(settle(&mut world, "A", &[("requisition", &response)]), ["finalised"]);

    assert_eq!(world.column("transact", &received, "requisition_ID"), r#""Q""#);
    assert_eq!(world.column("transact", &received, "store_ID"), r#""A""#);
    assert_eq!(world.column("requisition", "Q", "om_status"), r#""FINALISED""#);
}

#[test]
fn a_half_of_a_store_that_is_elsewhere_is_not_numbered_here() {
    let mut world = with_stock();
    let half = world.make("transact", "S");

    assert!(settle(&mut world, "C", &[("transact", &half), ("transact", "S")]).is_empty());
}

#[test]
fn a_sequence_that_holds_no_number_is_reported_and_nothing_is_given() {
    let mut world = with_stock();
    world.put("number", "N", r#"{"name":"supplier_invoice_number_for_store_B","value":"A-7"}"#);
    let half = world.make("transact", "S");
    world.held.insert("B");

    let owing = world.owing("transact", &half);

    let [Owing::NoNumber { half: without, name, .. }] = owing.as_slice() else { panic!("{owing:?}") };
    assert_eq!((without.as_str(), name.as_str()), (half.as_str(), "supplier_invoice_number_for_store_B"));
}

#[test]
fn a_log_entry_that_is_not_there_is_owed_alone() {
    let mut world = with_stock();
    let half = world.make("transact", "S");
    world.patch("transact", &half, r#"{"invoice_num":9}"#);

    assert_eq!(settle(&mut world, "B", &[("transact", &half)]), ["log"]);

    let mut others = with_stock();
    others.put("transact", "H", r#"{"store_ID":"B","type":"si","invoice_num":9,"linked_transaction_id":"S"}"#);
    assert!(settle(&mut others, "B", &[("transact", "H")]).is_empty(), "another program's half");
}

#[test]
fn the_initiating_site_writes_its_link_whichever_half_comes_first() {
    for came in ["half", "source"] {
        let mut world = with_stock();
        let half = world.make("transact", "S");
        let record = if came == "half" { half.as_str() } else { "S" };

        assert_eq!(settle(&mut world, "A", &[("transact", record)]), ["link"], "{came}");
        assert_eq!(world.column("transact", "S", "linked_transaction_id"), format!("{half:?}"));
    }
}

#[test]
fn a_finalised_response_finalises_its_request() {
    let mut world = with_request();
    let half = world.make("requisition", "Q");
    assert_eq!(settle(&mut world, "B", &[("requisition", &half)]), ["number"]);
    assert_eq!(settle(&mut world, "A", &[("requisition", &half)]), ["link"]);

    world.patch("requisition", &half, r#"{"status":"FN"}"#);

    assert_eq!(settle(&mut world, "A", &[("requisition", &half)]), ["finalised"]);
    assert_eq!(world.column("requisition", "Q", "status"), r#""fn""#);
    assert_eq!(world.column("requisition", "Q", "om_status"), r#""FINALISED""#);
    assert_eq!(world.column("requisition", "Q", "linked_requisition_id"), format!("{half:?}"));
}

#[test]
fn what_was_approved_goes_back_by_item_also_when_lines_come_after_their_header() {
    let mut world = with_request();
    world.put("outpost_item_merge", "I", r#"{"into_ID":"I2"}"#);
    let half = world.make("requisition", "Q");
    settle(&mut world, "A", &[("requisition", &half)]);
    world.patch("requisition", &half, r#"{"authorisationStatus":"authorised by another authoriser"}"#);
    assert_eq!(settle(&mut world, "A", &[("requisition", &half)]), ["approved"], "9 becomes the 0 of the response");
    assert_eq!(world.column("requisition", "Q", "authorisationStatus"), r#""authorised""#);

    world.put(
        "requisition_line",
        "LATE",
        &format!(r#"{{"requisition_ID":"{half}","item_ID":"I2","approved_quantity":25}}"#),
    );

    // Two lines of one item: the later id counts.
    let ours = crate::transfers::ids::line_id(&id(&half), &id("L1")).to_string();
    world.delete("requisition_line", &ours);
    assert_eq!(settle(&mut world, "A", &[("requisition_line", "LATE")]), ["approved"]);
    assert_eq!(world.column("requisition_line", "L1", "approved_quantity"), "25");
}

/// An order, its invoice finalised with 15 packs of 20, and the goods received for it.
fn with_goods() -> (World, String, String) {
    let mut world = with_order();
    let invoice = world.make("purchase_order", "O");
    world.patch("transact", &invoice, r#"{"status":"fn"}"#);
    let line = r#""item_ID":"I","type":"stock_out","pack_size":20,"quantity":15"#;
    world.put("trans_line", "X1", &format!(r#"{{"transaction_ID":"{invoice}",{line}}}"#));
    let goods = world.make("transact", &invoice);
    (world, invoice, goods)
}

#[test]
fn goods_received_are_numbered_where_they_were_ordered_and_linked_where_they_were_sent() {
    let (mut world, invoice, goods) = with_goods();

    assert_eq!(settle(&mut world, "A", &[("Goods_received", &goods)]), ["number"]);
    assert_eq!(settle(&mut world, "B", &[("transact", &invoice)]), ["number", "link"]);
    assert_eq!(world.column("Goods_received", &goods, "serial_number"), "1");
    assert_eq!(world.column("transact", &invoice, "goods_received_ID"), format!("{goods:?}"));
    let about = log_id(&id(&goods)).to_string();
    assert_eq!(world.column("om_activity_log", &about, "record_ID"), format!("{invoice:?}"));
    let about = log_id(&id(&invoice)).to_string();
    assert_eq!(world.column("om_activity_log", &about, "record_ID"), r#""O""#);
}

#[test]
fn goods_whose_invoice_comes_later_have_their_number_at_once_and_their_entry_then() {
    let (mut world, invoice, goods) = with_goods();
    let sent = world.get("transact", &invoice).unwrap();
    world.delete("transact", &invoice);
    assert_eq!(settle(&mut world, "A", &[("Goods_received", &goods)]), ["number"]);

    let table = world.catalogue.table_by_name("transact").unwrap().clone();
    let data = crate::json::row_to_json(&table, &id(&invoice), &sent);
    world.put("transact", &invoice, &data);

    assert_eq!(settle(&mut world, "A", &[("transact", &invoice)]), ["log"]);
}

#[test]
fn who_writes_the_order_owes_what_was_received_of_its_lines() {
    let (mut world, _, goods) = with_goods();
    let line = crate::transfers::ids::line_id(&id(&goods), &id("X1")).to_string();
    settle(&mut world, "A", &[("Goods_received", &goods)]);
    assert_eq!(world.column("purchase_order_line", "L1", "quan_rec_to_date"), "absent", "this site does not write it");

    world.writes_orders = true;

    assert_eq!(settle(&mut world, "A", &[("Goods_received_line", &line)]), ["received"]);
    assert_eq!(world.column("purchase_order_line", "L1", "quan_rec_to_date"), "300");
    assert_eq!(world.column("purchase_order_line", "L2", "quan_rec_to_date"), "absent", "nothing of it came");
    for (quantity, units) in [("14.5", "290"), ("15", "300"), ("14.5", "290")] {
        world.patch("Goods_received_line", &line, &format!(r#"{{"quantity_received":{quantity}}}"#));
        let owed = world.owed("Goods_received_line", &line);
        assert_eq!(owed[0].request_id, None, "up and down and up again is owed each time");
        assert_eq!(settle(&mut world, "A", &[("Goods_received_line", &line)]), ["received"]);
        assert_eq!(world.column("purchase_order_line", "L1", "quan_rec_to_date"), units);
    }
}

#[test]
fn the_request_id_is_the_same_after_a_crash_and_another_under_another_grant() {
    let mut world = with_stock();
    let half = world.make("transact", "S");
    world.held.insert("B");
    let ids = |world: &mut World| world.owed("transact", &half)[0].request_id;

    let (first, again) = (ids(&mut world), ids(&mut world));
    world.grant = 2;

    assert!(first.is_some() && first == again);
    assert_ne!(ids(&mut world), first, "what was refused under the old one is owed again");
}

#[test]
fn two_halves_that_come_together_never_get_the_same_number() {
    let mut world = World::new();
    for half in ["H1", "H2", "H3"] {
        let response = r#"{"store_ID":"B","type":"response","serial_number":-1,"linked_requisition_id":"Q"}"#;
        world.put("requisition", half, response);
    }
    world.put("requisition", "Q", r#"{"store_ID":"A","type":"request","status":"fn"}"#);
    world.held.insert("B");

    while !world.pay("requisition", "Q").is_empty() {}

    let mut numbers = ["H1", "H2", "H3"].map(|half| world.column("requisition", half, "serial_number"));
    numbers.sort();
    assert_eq!(numbers, ["1", "2", "3"]);
}
