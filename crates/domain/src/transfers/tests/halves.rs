//! The responding half of each kind.

use protocol::row::ColumnRef;

use super::world::{World, id, moment};
use crate::transfers::half::{Due, Half, due};
use crate::transfers::ids::line_id;
use crate::transfers::kinds::Kind;

/// Checks columns of a record, as JSON.
fn check(world: &World, table: &str, record: &str, expected: &[(&str, &str)]) {
    for (column, value) in expected {
        assert_eq!(world.column(table, record, column), *value, "{table} {record}, {column}");
    }
}

fn line(half: &str, source: &str) -> String {
    line_id(&id(half), &id(source)).to_string()
}

pub(super) fn with_stock() -> World {
    let mut world = World::new();
    world.put("item", "I", r#"{"default_pack_size":10}"#);
    world.put(
        "transact",
        "S",
        r#"{"store_ID":"A","name_ID":"NB","type":"ci","status":"fn","invoice_num":17,"their_ref":"r 1","comment":"cold",
            "mode":"store","hold":false,"user_ID":"U","currency_ID":"EUR","currency_rate":1.50,"tax_rate":7,"programID":"PR",
            "ship_method_ID":"SM","arrival_date_estimated":"2026-12-01","om_status":"SHIPPED","om_type":"OUTBOUND_SHIPMENT",
            "om_colour":"red","om_transport_reference":"truck 7","om_shipped_datetime":"2026-11-20T00:00:00","unknown":"x",
            "donor_default_id":"D","prescriber_ID":"PP"}"#,
    );
    world.put(
        "trans_line",
        "L1",
        r#"{"transaction_ID":"S","item_ID":"I","item_name":"Item","batch":"b","expiry_date":"2028-01-01","pack_size":10,
            "quantity":3,"cost_price":4,"sell_price":5.00,"type":"stock_out","note":"n","item_line_ID":"IL","location_ID":"LO",
            "optionID":"OP","donor_id":"D","manufacturer_ID":"M","vaccine_vial_monitor_status_ID":"V","volume_per_pack":2,
            "om_item_code":"c","om_item_variant_id":"iv","om_total_before_tax":15,
            "oms_fields":{"campaign_id":"CA","program_id":"PR","status":"x"}}"#,
    );
    world.put("trans_line", "L2", r#"{"transaction_ID":"S","item_ID":"I","quantity":9,"type":"placeholder"}"#);
    world.put(
        "trans_line",
        "L3",
        r#"{"transaction_ID":"S","item_ID":"F","quantity":1,"sell_price":8,"type":"service"}"#,
    );
    world
}

#[test]
fn a_customer_invoice_becomes_a_supplier_invoice_on_hold_without_a_number() {
    let mut world = with_stock();

    let half = world.make("transact", "S");

    check(
        &world,
        "transact",
        &half,
        &[
            ("type", r#""si""#),
            ("status", r#""nw""#),
            ("hold", "true"),
            ("invoice_num", "-1"),
            ("store_ID", r#""B""#),
            ("name_ID", r#""NA""#),
            ("linked_transaction_id", r#""S""#),
            ("their_ref", r#""From invoice number: 17 (r 1)""#),
            ("comment", r#""Stock transfer (cold)""#),
            ("requisition_ID", r#""""#),
            ("original_PO_ID", r#""""#),
            ("currency_rate", "1.50"),
            ("currency_ID", r#""EUR""#),
            ("tax_rate", "7"),
            ("programID", r#""PR""#),
            ("ship_method_ID", r#""SM""#),
            ("arrival_date_estimated", r#""2026-12-01""#),
            ("om_transport_reference", r#""truck 7""#),
            ("entry_date", r#""2026-11-27""#),
            ("entry_time", "3723"),
            ("user_ID", r#""""#),
            ("donor_default_id", r#""""#),
            ("prescriber_ID", r#""""#),
        ],
    );
    check(
        &world,
        "trans_line",
        &line(&half, "L1"),
        &[
            ("transaction_ID", &format!("{half:?}")),
            ("type", r#""stock_in""#),
            ("item_ID", r#""I""#),
            ("item_name", r#""Item""#),
            ("om_item_code", r#""c""#),
            ("om_item_variant_id", r#""iv""#),
            ("batch", r#""b""#),
            ("expiry_date", r#""2028-01-01""#),
            ("pack_size", "10"),
            ("quantity", "3"),
            ("sent_pack_size", "10"),
            ("sentQuantity", "3"),
            ("cost_price", "5.00"),
            ("sell_price", "5.00"),
            ("item_line_ID", r#""""#),
            ("location_ID", r#""""#),
            ("linked_transact_id", r#""S""#),
            ("note", r#""n""#),
            ("optionID", r#""OP""#),
            ("donor_id", r#""D""#),
            ("manufacturer_ID", r#""M""#),
            ("vaccine_vial_monitor_status_ID", r#""V""#),
            ("volume_per_pack", "2"),
            ("oms_fields", r#"{"campaign_id":"CA","program_id":"PR"}"#),
        ],
    );
    check(
        &world,
        "trans_line",
        &line(&half, "L3"),
        &[("type", r#""service""#), ("quantity", "1"), ("cost_price", "8")],
    );
    assert_eq!(world.get("trans_line", &line(&half, "L2")), None);
}

#[test]
fn the_receiver_sells_for_its_default_price_or_with_a_margin() {
    let price = |join: &str, margin_of_supplier: &str| {
        let mut world = with_stock();
        world.put(
            "trans_line",
            "L1",
            r#"{"transaction_ID":"S","item_ID":"I","pack_size":5,"quantity":1,"sell_price":8}"#,
        );
        world.put("item_store_join", "J", join);
        world.put("name", "NA", margin_of_supplier);
        let half = world.make("transact", "S");
        world.column("trans_line", &line(&half, "L1"), "sell_price")
    };
    let none = r#"{"item_ID":"I","store_ID":"C","default_price":20,"margin":50}"#;
    let default = r#"{"item_ID":"I","store_ID":"B","default_price":20,"margin":50}"#;
    let margin = r#"{"item_ID":"I","store_ID":"B","default_price":0,"margin":12.5}"#;

    assert_eq!(price(default, r#"{"margin":10}"#), "10", "20 for a pack of 10");
    assert_eq!(price(margin, r#"{"margin":10}"#), "9");
    assert_eq!(price(none, r#"{"margin":10}"#), "8.8");
    assert_eq!(price(none, "{}"), "8");
}

#[test]
fn a_store_that_keeps_packs_of_one_receives_them() {
    let mut world = with_stock();
    let preferences = r#"{"store_ID":"B","item":"store_preferences","data":{"default_item_packsize_to_one":true}}"#;
    world.put("pref", "PF", preferences);

    let half = world.make("transact", "S");

    check(
        &world,
        "trans_line",
        &line(&half, "L1"),
        &[
            ("pack_size", "1"),
            ("quantity", "30"),
            ("sentQuantity", "30"),
            ("sent_pack_size", "1"),
            ("cost_price", "0.5"),
            ("sell_price", "0.5"),
            ("volume_per_pack", "0.2"),
        ],
    );
    check(&world, "trans_line", &line(&half, "L3"), &[("quantity", "1"), ("cost_price", "8")]);
}

#[test]
fn a_return_to_the_supplier_becomes_one_from_the_customer() {
    let mut world = with_stock();
    world.put("transact", "RECEIVED", r#"{"store_ID":"A","name_ID":"NB","type":"si","linked_transaction_id":"SENT"}"#);
    world.patch("transact", "S", r#"{"type":"sc","om_original_shipment_id":"RECEIVED"}"#);

    let half = world.make("transact", "S");

    check(
        &world,
        "transact",
        &half,
        &[
            ("type", r#""cc""#),
            ("hold", "true"),
            ("comment", r#""Stock return (cold)""#),
            ("om_original_shipment_id", r#""SENT""#),
        ],
    );
    check(
        &world,
        "trans_line",
        &line(&half, "L1"),
        &[("cost_price", "4"), ("sell_price", "4"), ("type", r#""stock_in""#)],
    );
}

#[test]
fn an_invoice_made_from_a_response_carries_the_request() {
    for (response, expected) in [
        (r#"{"store_ID":"A","name_ID":"NB","type":"response","linked_requisition_id":"Q"}"#, r#""Q""#),
        (r#"{"store_ID":"A","name_ID":"NB","type":"response"}"#, r#""""#),
        (r#"{"store_ID":"A","name_ID":"NC","type":"response","linked_requisition_id":"Q"}"#, r#""""#),
        (r#"{"store_ID":"A","name_ID":"NB","type":"im","linked_requisition_id":"Q"}"#, r#""""#),
    ] {
        let mut world = with_stock();
        world.put("requisition", "R", response);
        world.patch("transact", "S", r#"{"requisition_ID":"R"}"#);

        let half = world.make("transact", "S");

        assert_eq!(world.column("transact", &half, "requisition_ID"), expected, "{response}");
    }
}

pub(super) fn with_request() -> World {
    let mut world = World::new();
    world.put(
        "requisition",
        "Q",
        r#"{"store_ID":"A","name_ID":"NB","type":"request","status":"fn","serial_number":4,"requester_reference":"urgent",
            "thresholdMOS":2,"daysToSupply":90,"orderType":"normal","periodID":"PE","programID":"PR","is_emergency":true,
            "om_status":"SENT","om_expected_delivery_date":"2026-12-24","user_ID":"U",
            "oms_fields":{"created_from_requisition_id":"Q0","x":"y"}}"#,
    );
    world.put(
        "requisition_line",
        "L1",
        r#"{"requisition_ID":"Q","item_ID":"I","itemName":"Item","Cust_stock_order":40,"suggested_quantity":30,"actualQuan":5,
            "stock_on_hand":7,"daily_usage":1.5,"approved_quantity":9,"comment":"please","stockLosses":2,
            "om_snapshot_datetime":"2026-11-01T00:00:00"}"#,
    );
    world
}

#[test]
fn a_request_becomes_a_response_with_nothing_supplied() {
    let mut world = with_request();
    world.put(
        "indicator_value",
        "V1",
        r#"{"store_ID":"A","facility_ID":"NA","period_ID":"PE","row_ID":"R","value":"3"}"#,
    );
    world.put(
        "indicator_value",
        "V2",
        r#"{"store_ID":"C","facility_ID":"NC","period_ID":"PE","row_ID":"R","value":"4"}"#,
    );

    let made = world.half("requisition", "Q");
    let half = world.make("requisition", "Q");

    check(
        &world,
        "requisition",
        &half,
        &[
            ("type", r#""response""#),
            ("status", r#""sg""#),
            ("serial_number", "-1"),
            ("store_ID", r#""B""#),
            ("name_ID", r#""NA""#),
            ("linked_requisition_id", r#""Q""#),
            ("requester_reference", r#""From internal order 4 (urgent)""#),
            ("comment", r#""From internal order 4""#),
            ("thresholdMOS", "2"),
            ("daysToSupply", "90"),
            ("periodID", r#""PE""#),
            ("is_emergency", "true"),
            ("authorisationStatus", r#""none""#),
            ("om_expected_delivery_date", r#""2026-12-24""#),
            ("om_status", "absent"),
            ("oms_fields", r#"{"created_from_requisition_id":"Q0"}"#),
            ("date_entered", r#""2026-11-27""#),
        ],
    );
    check(
        &world,
        "requisition_line",
        &line(&half, "L1"),
        &[
            ("Cust_stock_order", "40"),
            ("suggested_quantity", "30"),
            ("stock_on_hand", "7"),
            ("daily_usage", "1.5"),
            ("stockLosses", "2"),
            ("comment", r#""please""#),
            ("actualQuan", "0"),
            ("approved_quantity", "0"),
            ("om_snapshot_datetime", "absent"),
        ],
    );
    let value = made.records.last().unwrap();
    assert_eq!(made.records.len(), 3);
    check(
        &world,
        "indicator_value",
        value.id.as_str(),
        &[("store_ID", r#""B""#), ("facility_ID", r#""NA""#), ("value", r#""3""#)],
    );
}

#[test]
fn a_second_requisition_of_a_period_does_not_bring_its_indicators_twice() {
    let mut world = with_request();
    world.put("indicator_value", "V1", r#"{"store_ID":"A","facility_ID":"NA","period_ID":"PE","value":"3"}"#);
    world.make("requisition", "Q");
    let another = r#"{"store_ID":"A","name_ID":"NB","type":"request","status":"fn","periodID":"PE","programID":"PR"}"#;
    world.put("requisition", "Q2", another);

    assert_eq!(world.half("requisition", "Q2").records.len(), 1);
}

#[test]
fn a_response_waits_for_authorisation_where_its_store_wants_that_of_programs() {
    let status = |preference: bool, program: &str, is_listed: bool| {
        let mut world = with_request();
        let data = format!(r#"{{"shouldAuthoriseResponseRequisition":{preference}}}"#);
        let text = serde_json::to_string(&data).unwrap();
        world.put("pref", "PF", &format!(r#"{{"store_ID":"B","item":"store_preferences","data":{text}}}"#));
        world.patch("requisition", "Q", &format!(r#"{{"programID":{program}}}"#));
        world.put("list_master", "M", r#"{"isProgram":true}"#);
        world.put("list_master_line", "ML", r#"{"item_master_ID":"M","item_ID":"I"}"#);
        world.put(
            "list_master_name_join",
            "MJ",
            &format!(r#"{{"list_master_ID":"M","name_ID":"{}"}}"#, if is_listed { "NB" } else { "NC" }),
        );
        let half = world.make("requisition", "Q");
        world.column("requisition", &half, "authorisationStatus")
    };

    assert_eq!(status(true, r#""PR""#, false), r#""pending""#);
    assert_eq!(status(true, "null", true), r#""pending""#);
    assert_eq!(status(true, "null", false), r#""none""#);
    assert_eq!(status(false, r#""PR""#, true), r#""none""#);
}

pub(super) fn with_order() -> World {
    let mut world = World::new();
    world.put("item", "I", r#"{"default_pack_size":10}"#);
    world.put(
        "purchase_order",
        "O",
        r#"{"store_ID":"A","name_ID":"NB","status":"cn","serial_number":5,"reference":"r","comment":"c","currency_ID":"EUR",
            "curr_rate":2,"requested_delivery_date":"2026-12-24"}"#,
    );
    world.put(
        "purchase_order_line",
        "L1",
        r#"{"store_ID":"A","purchase_order_ID":"O","line_number":1,"item_ID":"I","item_name":"Item","packsize_ordered":20,
            "quan_original_order":400,"quan_adjusted_order":0,"price_expected_after_discount":10.5,"comment":"n"}"#,
    );
    world.put(
        "purchase_order_line",
        "L2",
        r#"{"store_ID":"A","purchase_order_ID":"O","line_number":2,"item_ID":"I","quan_original_order":7,"quan_adjusted_order":6}"#,
    );
    world
}

#[test]
fn an_order_becomes_a_customer_invoice_of_placeholders_in_the_supplying_store() {
    let mut world = with_order();

    let half = world.make("purchase_order", "O");

    check(
        &world,
        "transact",
        &half,
        &[
            ("type", r#""ci""#),
            ("status", r#""sg""#),
            ("hold", "false"),
            ("invoice_num", "-1"),
            ("store_ID", r#""B""#),
            ("name_ID", r#""NA""#),
            ("original_PO_ID", r#""O""#),
            ("their_ref", r#""From order number: 5 (r)""#),
            ("comment", r#""Internal order (c)""#),
            ("currency_rate", "2"),
            ("arrival_date_estimated", r#""2026-12-24""#),
        ],
    );
    check(
        &world,
        "trans_line",
        &line(&half, "L1"),
        &[
            ("type", r#""placeholder""#),
            ("pack_size", "20"),
            ("quantity", "20"),
            ("sell_price", "10.5"),
            ("note", r#""n""#),
            ("oms_fields", r#"{"purchase_order_line_id":"L1"}"#),
        ],
    );
    check(&world, "trans_line", &line(&half, "L2"), &[("pack_size", "1"), ("quantity", "6")]);
}

#[test]
fn that_invoice_becomes_goods_received_whose_lines_know_what_was_ordered() {
    let mut world = with_order();
    let invoice = world.make("purchase_order", "O");
    world.patch("transact", &invoice, r#"{"status":"fn","invoice_num":31}"#);
    world.put(
        "trans_line",
        "X1",
        &format!(
            r#"{{"transaction_ID":"{invoice}","item_ID":"I","item_name":"Item","type":"stock_out","pack_size":20,"quantity":15,
                "sell_price":11,"batch":"b","expiry_date":"2028-01-01","note":"n","volume_per_pack":3}}"#
        ),
    );
    let more = |line: &str| format!(r#"{{"transaction_ID":"{invoice}","type":"stock_out","quantity":1,{line}}}"#);
    world.put(
        "trans_line",
        "X2",
        &more(r#""item_ID":"I","pack_size":20,"oms_fields":{"purchase_order_line_id":"L2"}"#),
    );
    world.put("trans_line", "X3", &more(r#""item_ID":"I","pack_size":3"#));
    world.put("trans_line", "X4", &more(r#""item_ID":"I2","pack_size":3"#));
    world.put("trans_line", "X5", &format!(r#"{{"transaction_ID":"{invoice}","type":"service","item_ID":"F"}}"#));

    let made = world.half("transact", &invoice);
    let goods = world.make("transact", &invoice);

    assert_eq!((made.key.kind, made.records.len()), (Kind::Goods, 5), "placeholders and services stay behind");
    check(
        &world,
        "Goods_received",
        &goods,
        &[
            ("store_ID", r#""A""#),
            ("purchase_order_ID", r#""O""#),
            ("serial_number", "-1"),
            ("status", r#""nw""#),
            ("supplier_reference", r#""From invoice number: 31 (From order number: 5 (r))""#),
            ("entry_date", r#""2026-11-27""#),
        ],
    );
    check(
        &world,
        "Goods_received_line",
        &line(&goods, "X1"),
        &[
            ("goods_received_ID", &format!("{goods:?}")),
            ("order_line_ID", r#""L1""#),
            ("pack_received", "20"),
            ("quantity_received", "15"),
            ("cost_price", "11"),
            ("batch_received", r#""b""#),
            ("expiry_date", r#""2028-01-01""#),
            ("comment", r#""n""#),
            ("location_ID", r#""""#),
            ("volume_per_pack", "3"),
        ],
    );
    for (source, order_line) in [("X2", r#""L2""#), ("X3", r#""L1""#), ("X4", r#""""#)] {
        check(&world, "Goods_received_line", &line(&goods, source), &[("order_line_ID", order_line)]);
    }
}

/// A half of each kind, made anew.
fn one_of_each() -> Vec<Half> {
    let mut order = with_order();
    let invoice = order.make("purchase_order", "O");
    order.patch("transact", &invoice, r#"{"status":"fn"}"#);
    let line = format!(r#"{{"transaction_ID":"{invoice}","type":"stock_out","item_ID":"I","volume_per_pack":1}}"#);
    order.put("trans_line", "X1", &line);
    let mut returned = with_stock();
    returned.patch("transact", "S", r#"{"type":"sc"}"#);
    vec![
        with_stock().half("transact", "S"),
        returned.half("transact", "S"),
        with_request().half("requisition", "Q"),
        with_order().half("purchase_order", "O"),
        order.half("transact", &invoice),
    ]
}

#[test]
fn every_column_that_is_made_is_one_of_the_catalogue() {
    let halves = one_of_each();

    for half in &halves {
        assert!(half.records.len() > 1, "{}", half.key.kind);
        for (column, _) in half.records.iter().flat_map(|made| made.row.columns()) {
            assert!(matches!(column, ColumnRef::Known(_)), "{}: {column:?}", half.key.kind);
        }
    }
    let kinds: Vec<Kind> = halves.iter().map(|half| half.key.kind).collect();
    assert_eq!(kinds, Kind::ALL);
}

#[test]
fn a_half_that_is_built_twice_is_the_same_and_its_header_comes_first() {
    let halves = one_of_each();

    assert_eq!(one_of_each(), halves);
    for half in halves {
        assert_eq!((&half.records[0].id, &half.id), (&half.key.half_id(), &half.key.half_id()), "{}", half.key.kind);
    }
}

#[test]
fn a_half_whose_inputs_are_not_all_here_waits_for_the_one_that_is_not() {
    let waits = |world: &mut World, table: &str, record: &str| match world.due(table, record) {
        Due::Waits(awaited) => awaited.to_string(),
        other => format!("{other:?}"),
    };
    let mut response = with_stock();
    response.patch("transact", "S", r#"{"requisition_ID":"R"}"#);
    assert_eq!(waits(&mut response, "transact", "S"), "requisition R");
    response.put("requisition", "R", r#"{"store_ID":"A","name_ID":"NB","type":"response"}"#);
    assert!(matches!(response.due("transact", "S"), Due::Make(_)));

    let mut linked = with_stock();
    linked.patch("transact", "S", r#"{"linked_transaction_id":"Z"}"#);
    assert_eq!(waits(&mut linked, "transact", "S"), "transact Z");

    let mut priced = with_stock();
    priced.put("item_store_join", "J", r#"{"item_ID":"I9","store_ID":"B","default_price":20}"#);
    priced.patch("trans_line", "L1", r#"{"item_ID":"I9"}"#);
    assert_eq!(waits(&mut priced, "transact", "S"), "item I9");

    let mut returned = with_stock();
    returned.patch("transact", "S", r#"{"type":"sc","om_original_shipment_id":"Z"}"#);
    assert_eq!(waits(&mut returned, "transact", "S"), "transact Z");

    let mut homeless = with_stock();
    let initiating = homeless.initiating("transact", "S");
    homeless.delete("transact", "S");
    let gone = due(&homeless.catalogue.clone(), &mut homeless, &initiating, &moment()).unwrap();
    assert!(matches!(gone, Due::Waits(_)), "{gone:?}");
}
