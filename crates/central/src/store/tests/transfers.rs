//! Transfers: the half that central makes, of each kind, and what it owes as the site of its own stores.

use domain::preference::Preference;
use domain::transfers::ids::{TransferKey, line_id, log_id};
use domain::transfers::kinds::Kind;

use super::*;

contract!(
    a_finalised_invoice_brings_the_other_store_its_own_with_the_lines_in_the_same_exchange,
    a_return_to_the_supplier_brings_a_return_from_the_customer,
    a_request_brings_a_response_and_what_is_entered_for_its_indicators,
    an_order_brings_an_invoice_and_that_brings_goods_received,
    lines_that_waited_for_their_header_are_in_the_half,
    an_import_brings_the_halves_of_all_that_it_imports_at_its_end,
    what_is_imported_with_both_halves_brings_nothing,
    central_numbers_and_links_the_halves_of_its_own_stores,
    both_halves_of_stores_of_central_are_there_at_once,
    the_primary_at_central_counts_what_was_received_of_its_orders,
    a_prescription_and_an_invoice_to_nobody_bring_nothing,
);

/// The half of a transfer between stores that are called so.
pub(super) fn half(kind: Kind, source: &str, receiver: &str) -> String {
    TransferKey { kind, source: id(source), receiver: id(receiver) }.half_id().to_string()
}

pub(super) fn line_of(half: &str, line: &str) -> String {
    line_id(&id(half), &id(line)).to_string()
}

pub(super) fn log_of(half: &str) -> String {
    log_id(&id(half)).to_string()
}

/// Gives stores their names: NA is the name of store A.
pub(super) fn name_stores(world: &mut World, stores: &[&str]) {
    for store in stores {
        world.write(&[
            &format!(r#"put name N{store} {{"name":"{store}","type":"store"}}"#),
            &format!(r#"patch store {store} {{"name_ID":"N{store}"}}"#),
        ]);
    }
}

/// Store A at the first site and B at the second, with names NA and NB, of which each sees the other; C is central's own.
pub(super) fn two_stores(world: &mut World) -> (Device, Device) {
    let (mut one, mut two) = (world.device(&["A"]), world.device(&["B"]));
    world.write(&[r#"upsert store C {"code":"C"}"#]);
    name_stores(world, &["A", "B", "C"]);
    settle(world, &mut one);
    settle(world, &mut two);
    (one, two)
}

pub(super) const INVOICE: &str =
    r#"put transact I {"store_ID":"A","name_ID":"NB","type":"ci","status":"fn","invoice_num":17,"comment":"x"}"#;
pub(super) const LINE: &str = concat!(
    r#"put trans_line L {"transaction_ID":"I","item_ID":"M","type":"stock_out","#,
    r#""quantity":3,"pack_size":10,"batch":"b"}"#
);
const PLACEHOLDER: &str =
    r#"put trans_line P {"transaction_ID":"I","item_ID":"item","type":"placeholder","quantity":1}"#;

/// A record at central, which has to hold all of these.
pub(super) fn says(world: &mut World, table: &str, record: &str, parts: &[&str]) {
    let data = world.data(table, record);
    for part in parts {
        assert!(data.contains(part), "{table} {record} has no {part}: {data}");
    }
}

fn a_finalised_invoice_brings_the_other_store_its_own_with_the_lines_in_the_same_exchange(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[&INVOICE.replace("\"fn\"", "\"cn\""), LINE, PLACEHOLDER]);
    settle(world, &mut one);
    let other = half(Kind::Stock, "I", "B");
    assert_eq!(world.data("transact", &other), "unknown");

    one.record(&[r#"patch transact I {"status":"fn"}"#]);
    one.sync(world);

    let parts = [
        r#""store_ID":"B""#,
        r#""name_ID":"NA""#,
        r#""type":"si""#,
        r#""invoice_num":-1"#,
        r#""hold":true"#,
        r#""linked_transaction_id":"I""#,
    ];
    says(world, "transact", &other, &parts);
    says(
        world,
        "trans_line",
        &line_of(&other, "L"),
        &[&format!(r#""transaction_ID":"{other}""#), r#""quantity":3"#, r#""batch":"b""#],
    );
    assert_eq!(world.data("trans_line", &line_of(&other, "P")), "unknown");
    // What central made is in the pages of the exchange that pushed it.
    assert_eq!(one.data("transact", &other), world.data("transact", &other));
    assert!(has(&one, "trans_line", &line_of(&other, "L")));
    two.sync(world);
    assert_eq!(two.data("transact", &other), world.data("transact", &other));
    assert!(has(&two, "trans_line", &line_of(&other, "L")));
    // And the other site has what it answers.
    assert_eq!(two.data("transact", "I"), world.data("transact", "I"));
    assert!(has(&two, "trans_line", "L"));
}

fn a_return_to_the_supplier_brings_a_return_from_the_customer(world: &mut World) {
    let (mut one, _) = two_stores(world);

    one.record(&[&INVOICE.replace("\"ci\"", "\"sc\""), LINE]);
    one.sync(world);

    let other = half(Kind::Return, "I", "B");
    says(world, "transact", &other, &[r#""type":"cc""#, r#""store_ID":"B""#, r#""invoice_num":-1"#]);
    assert!(has(&one, "trans_line", &line_of(&other, "L")));
}

fn a_request_brings_a_response_and_what_is_entered_for_its_indicators(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[r#"put indicator_value V {"store_ID":"A","period_ID":"P","value":"5"}"#]);
    one.record(&[
        r#"put requisition R {"store_ID":"A","name_ID":"NB","type":"request","status":"sg","periodID":"P","programID":"G"}"#,
        r#"put requisition_line RL {"requisition_ID":"R","item_ID":"item","Cust_stock_order":7}"#,
    ]);
    one.record(&[r#"patch requisition R {"status":"fn"}"#]);

    one.sync(world);
    two.sync(world);

    let other = half(Kind::Requisition, "R", "B");
    says(world, "requisition", &other, &[r#""type":"response""#, r#""status":"sg""#, r#""serial_number":-1"#]);
    for device in [&one, &two] {
        assert!(has(device, "requisition", &other) && has(device, "requisition", "R"));
        assert!(has(device, "requisition_line", &line_of(&other, "RL")) && has(device, "requisition_line", "RL"));
    }
    let values = |device: &Device| device.base.keys().filter(|(table, _)| is_named(table, "indicator_value")).count();
    assert_eq!((values(&one), values(&two)), (2, 1), "the sender has its own and what was made of it");
}

fn is_named(table: &protocol::ids::TableRef, name: &str) -> bool {
    Catalogue::embedded().table_name(table) == name
}

fn an_order_brings_an_invoice_and_that_brings_goods_received(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[
        r#"put purchase_order O {"store_ID":"A","name_ID":"NB","status":"cn","serial_number":5}"#,
        r#"put purchase_order_line OL {"store_ID":"A","purchase_order_ID":"O","item_ID":"item","quan_original_order":20}"#,
    ]);
    one.sync(world);
    let invoice = half(Kind::Order, "O", "B");
    says(world, "transact", &invoice, &[r#""type":"ci""#, r#""original_PO_ID":"O""#, r#""store_ID":"B""#]);
    two.sync(world);
    assert!(has(&two, "trans_line", &line_of(&invoice, "OL")) && has(&two, "purchase_order_line", "OL"));

    two.record(&[
        &format!(r#"put trans_line S {{"transaction_ID":"{invoice}","item_ID":"item","type":"stock_out","quantity":2,"pack_size":10}}"#),
        &format!(r#"patch transact {invoice} {{"status":"fn","invoice_num":1}}"#),
    ]);
    two.sync(world);
    one.sync(world);

    let goods = half(Kind::Goods, &invoice, "A");
    says(
        world,
        "Goods_received",
        &goods,
        &[r#""purchase_order_ID":"O""#, r#""serial_number":-1"#, r#""store_ID":"A""#],
    );
    says(world, "Goods_received_line", &line_of(&goods, "S"), &[r#""order_line_ID":"OL""#, r#""quantity_received":2"#]);
    for device in [&one, &two] {
        assert!(has(device, "Goods_received", &goods) && has(device, "Goods_received_line", &line_of(&goods, "S")));
        assert!(has(device, "trans_line", "S"));
    }
}

fn lines_that_waited_for_their_header_are_in_the_half(world: &mut World) {
    let (mut one, _) = two_stores(world);
    one.record(&[LINE]);
    one.record(&[INVOICE]);

    one.sync(world);

    let other = half(Kind::Stock, "I", "B");
    assert!(has(&one, "trans_line", &line_of(&other, "L")), "it was judged in the header's commit");
    assert_eq!(messages_to(world, "B"), 0);
}

/// Messages at central to a store.
pub(super) fn messages_to(world: &mut World, store: &str) -> usize {
    let found = world.store.reading().records("message", Merged::Listed, None, 1000).unwrap();
    let is_to =
        |row: &RecordRow| row.data.as_ref().is_some_and(|data| data.contains(&format!(r#""toStoreID":"{store}""#)));
    found.iter().filter(|row| is_to(row)).count()
}

fn an_import_brings_the_halves_of_all_that_it_imports_at_its_end(world: &mut World) {
    let (_, mut two) = two_stores(world);

    world.write(&[&INVOICE.replace("\"A\"", "\"C\"").replace("put", "upsert"), &LINE.replace("put", "upsert")]);
    two.sync(world);

    let other = half(Kind::Stock, "I", "B");
    says(world, "transact", &other, &[r#""store_ID":"B""#, r#""name_ID":"NC""#]);
    assert!(has(&two, "trans_line", &line_of(&other, "L")));
}

fn what_is_imported_with_both_halves_brings_nothing(world: &mut World) {
    two_stores(world);

    world.write(&[
        r#"upsert transact I {"store_ID":"C","name_ID":"NB","type":"ci","status":"fn","linked_transaction_id":"J"}"#,
        r#"upsert store D {"code":"D","name_ID":"ND"}"#,
        r#"put name ND {"name":"D","type":"store"}"#,
        r#"upsert transact K {"store_ID":"C","name_ID":"ND","type":"ci","status":"fn"}"#,
        r#"upsert transact M {"store_ID":"D","name_ID":"NC","type":"si","status":"nw","linked_transaction_id":"K"}"#,
    ]);

    assert_eq!(world.data("transact", &half(Kind::Stock, "I", "B")), "unknown", "its link is waited for");
    assert_eq!(world.data("transact", &half(Kind::Stock, "K", "D")), "unknown");
    says(world, "transact", "K", &[r#""linked_transaction_id":"M""#]);
}

fn central_numbers_and_links_the_halves_of_its_own_stores(world: &mut World) {
    let (mut one, _) = two_stores(world);
    one.record(&[&INVOICE.replace("NB", "NC"), LINE]);
    one.sync(world);

    let other = half(Kind::Stock, "I", "C");
    says(world, "transact", &other, &[r#""invoice_num":1"#, r#""store_ID":"C""#]);
    says(world, "om_activity_log", &log_of(&other), &[r#""record_ID":"I""#, r#""store_ID":"C""#]);
    assert!(one.data("transact", &other).contains(r#""invoice_num":1"#), "numbered under the same commit");
    assert!(has(&one, "om_activity_log", &log_of(&other)));

    // The other way round central writes the link.
    world.write(&[r#"upsert transact J {"store_ID":"C","name_ID":"NA","type":"ci","status":"fn"}"#]);
    one.sync(world);
    let answer = half(Kind::Stock, "J", "A");
    says(world, "transact", "J", &[&format!(r#""linked_transaction_id":"{answer}""#)]);
    assert!(one.data("transact", &answer).contains(r#""invoice_num":-1"#), "its site gives the number");
}

fn both_halves_of_stores_of_central_are_there_at_once(world: &mut World) {
    two_stores(world);
    world.write(&[
        r#"upsert store D {"code":"D"}"#,
        r#"put name ND {"name":"D","type":"store"}"#,
        r#"patch store D {"name_ID":"ND"}"#,
    ]);

    world.write(&[r#"upsert requisition R {"store_ID":"C","name_ID":"ND","type":"request","status":"fn"}"#]);
    let other = half(Kind::Requisition, "R", "D");
    says(world, "requisition", &other, &[r#""serial_number":1"#]);
    says(world, "requisition", "R", &[&format!(r#""linked_requisition_id":"{other}""#)]);
    world.write(&[&format!(r#"patch requisition {other} {{"status":"fn"}}"#)]);
    says(world, "requisition", "R", &[r#""om_status":"FINALISED""#]);
}

fn the_primary_at_central_counts_what_was_received_of_its_orders(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    assert!(world.job(|batch| batch.set_preference(Preference::CentralisedProcurement, true)));
    while world.job(|batch| batch.route_orders_step(10)) {}
    world.write(&[
        r#"upsert purchase_order O {"store_ID":"A","name_ID":"NB","status":"nw"}"#,
        r#"upsert purchase_order_line OL {"store_ID":"A","purchase_order_ID":"O","item_ID":"item"}"#,
        r#"patch purchase_order O {"status":"cn"}"#,
    ]);
    let invoice = half(Kind::Order, "O", "B");
    settle(world, &mut two);
    two.record(&[
        &format!(r#"put trans_line S {{"transaction_ID":"{invoice}","item_ID":"item","type":"stock_out","quantity":2,"pack_size":10}}"#),
        &format!(r#"patch transact {invoice} {{"status":"fn","invoice_num":1}}"#),
    ]);
    two.sync(world);

    says(world, "purchase_order_line", "OL", &[r#""quan_rec_to_date":20"#]);
    let goods = half(Kind::Goods, &invoice, "A");
    settle(world, &mut one);
    one.record(&[&format!(r#"patch Goods_received_line {} {{"quantity_received":1}}"#, line_of(&goods, "S"))]);
    one.sync(world);
    says(world, "purchase_order_line", "OL", &[r#""quan_rec_to_date":10"#]);
    assert!(one.data("purchase_order_line", "OL").contains(r#""quan_rec_to_date":10"#), "in the same exchange");
}

fn a_prescription_and_an_invoice_to_nobody_bring_nothing(world: &mut World) {
    let (mut one, _) = two_stores(world);
    world.write(&[r#"put name X {"name":"a customer","type":"facility"}"#]);

    one.record(&[&INVOICE.replace("NB", "X")]);
    one.record(&[&INVOICE.replace("NB", "NA").replace(" I ", " J ")]);
    one.record(&[r#"put transact K {"store_ID":"A","type":"ci","status":"fn"}"#]);
    one.sync(world);

    assert_eq!(world.store.reading().records("transact", Merged::Listed, None, 100).unwrap().len(), 3);
}
