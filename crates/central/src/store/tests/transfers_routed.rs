//! Transfers: in which lanes both halves stand, and what comes to whom as stores move and invoices go to somebody else.

use domain::preference::Preference;
use domain::scope::Scope;
use domain::transfers::kinds::Kind;
use protocol::control::Control;
use protocol::ids::OwnershipNumber;

use super::device::entry;
use super::transfers::{INVOICE, LINE, half, line_of, log_of, name_stores, says, two_stores};
use super::*;

contract!(
    both_halves_stand_in_the_lanes_of_their_store_and_of_the_others_partners,
    what_is_written_of_a_half_later_goes_to_the_other_site_too,
    an_invoice_to_another_store_leaves_the_partner_and_comes_to_the_other,
    a_line_goes_with_its_header,
    lines_of_a_deleted_invoice_leave_the_partner_when_it_is_made_again_for_another_store,
    log_entries_about_a_half_go_to_the_other_site,
    what_a_site_has_between_two_stores_of_its_own_comes_to_it_as_the_others_too,
    a_half_that_may_have_stayed_on_the_site_of_both_stores_is_not_made_beside_it,
    a_half_that_stayed_and_goes_after_all_is_one_of_a_transfer,
    log_entries_about_an_invoice_that_went_to_another_store_go_to_its_sender_all_the_same,
    a_site_that_reads_everything_anew_has_both_halves,
    a_store_that_moves_takes_what_others_have_with_it_along,
    a_store_that_comes_to_central_has_what_it_owes_written_there,
    a_half_is_made_for_a_store_on_its_way,
    collectors_do_not_receive_what_others_have_with_a_store,
    goods_received_for_an_order_of_the_primary_go_to_the_primary_which_counts_them,
    goods_received_that_come_before_the_order_of_the_primary_go_to_it_with_that,
);

const ALL: TransferFilter = TransferFilter { site: None, store: None, is_stuck_only: false, after: 0, limit: 10 };

/// The lanes in which a record stands, tombstones with a minus.
fn lanes(world: &mut World, table: &str, record: &str) -> Vec<String> {
    let found = world.store.reading().explain(table, &id(record)).unwrap();
    let mut lanes: Vec<String> =
        found.lanes.iter().map(|lane| format!("{}{}", if lane.is_tombstone { "-" } else { "" }, lane.scope)).collect();
    lanes.sort();
    lanes
}

fn both_halves_stand_in_the_lanes_of_their_store_and_of_the_others_partners(world: &mut World) {
    let (mut one, _) = two_stores(world);
    one.record(&[&INVOICE.replace("fn", "cn"), LINE]);
    one.sync(world);
    assert_eq!(lanes(world, "transact", "I"), ["store A"]);
    one.record(&[r#"patch transact I {"status":"fn"}"#]);
    one.sync(world);

    let other = half(Kind::Stock, "I", "B");
    for (table, record) in [("transact", "I"), ("trans_line", "L")] {
        assert_eq!(lanes(world, table, record), ["partners of store B", "store A"]);
    }
    for (table, record) in [("transact", other.clone()), ("trans_line", line_of(&other, "L"))] {
        assert_eq!(lanes(world, table, &record), ["partners of store A", "store B"]);
    }
    // Whatever becomes of it.
    one.record(&[r#"patch transact I {"status":"nw"}"#, "delete trans_line L"]);
    one.sync(world);
    assert_eq!(lanes(world, "transact", "I"), ["partners of store B", "store A"]);
    assert_eq!(lanes(world, "trans_line", "L"), ["-partners of store B", "-store A"]);
}

fn what_is_written_of_a_half_later_goes_to_the_other_site_too(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    let other = half(Kind::Stock, "I", "B");
    settle(world, &mut two);

    two.record(&[
        &format!(r#"patch transact {other} {{"invoice_num":4}}"#),
        &format!(r#"put trans_line M {{"transaction_ID":"{other}","item_ID":"item","type":"stock_in"}}"#),
    ]);
    two.sync(world);
    one.record(&[
        r#"patch transact I {"comment":"y"}"#,
        r#"put trans_line L2 {"transaction_ID":"I","item_ID":"item","type":"placeholder"}"#,
    ]);
    one.sync(world);
    two.sync(world);

    assert!(one.data("transact", &other).contains(r#""invoice_num":4"#) && has(&one, "trans_line", "M"));
    assert!(two.data("transact", "I").contains(r#""comment":"y""#) && has(&two, "trans_line", "L2"));
    // What it wrote itself does not come back to it.
    assert_eq!((settle(world, &mut one), settle(world, &mut two)), (0, 0));
}

fn an_invoice_to_another_store_leaves_the_partner_and_comes_to_the_other(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    settle(world, &mut two);
    assert!(has(&two, "trans_line", "L"));

    one.record(&[r#"patch transact I {"name_ID":"NC"}"#]);
    one.sync(world);
    two.sync(world);

    assert_eq!(lanes(world, "transact", "I"), ["-partners of store B", "partners of store C", "store A"]);
    assert_eq!(lanes(world, "trans_line", "L"), ["-partners of store B", "partners of store C", "store A"]);
    assert!(!has(&two, "transact", "I") && !has(&two, "trans_line", "L"));
    assert!(has(&two, "transact", &half(Kind::Stock, "I", "B")), "its own half is its own");
    assert!(has(&one, "transact", &half(Kind::Stock, "I", "C")));

    one.record(&[r#"patch transact I {"name_ID":"NB"}"#]);
    one.sync(world);
    two.sync(world);
    assert!(has(&two, "transact", "I") && has(&two, "trans_line", "L"));
}

fn a_line_goes_with_its_header(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[INVOICE, LINE, &INVOICE.replace(" I ", " J ").replace("fn", "nw")]);
    one.sync(world);
    settle(world, &mut two);

    one.record(&[r#"patch trans_line L {"transaction_ID":"J"}"#]);
    one.sync(world);
    two.sync(world);

    assert_eq!(lanes(world, "trans_line", "L"), ["-partners of store B", "store A"]);
    assert!(!has(&two, "trans_line", "L"));
}

fn lines_of_a_deleted_invoice_leave_the_partner_when_it_is_made_again_for_another_store(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    settle(world, &mut two);

    one.record(&["delete transact I"]);
    one.sync(world);
    two.sync(world);
    assert_eq!(lanes(world, "transact", "I"), ["-partners of store B", "-store A"]);
    assert_eq!(lanes(world, "trans_line", "L"), ["partners of store B", "store A"]);

    one.record(&[&INVOICE.replace("NB", "NC")]);
    one.sync(world);
    two.sync(world);

    assert_eq!(lanes(world, "transact", "I"), ["-partners of store B", "partners of store C", "store A"]);
    assert_eq!(lanes(world, "trans_line", "L"), ["-partners of store B", "partners of store C", "store A"]);
    assert!(!has(&two, "trans_line", "L"));
}

fn log_entries_about_a_half_go_to_the_other_site(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[INVOICE, r#"put om_activity_log X {"store_ID":"A","record_ID":"I","type":"INVOICE_STATUS_SHIPPED"}"#]);
    one.sync(world);
    settle(world, &mut two);
    let log = log_of(&half(Kind::Stock, "I", "B"));

    two.record(&[&format!(r#"put om_activity_log {log} {{"store_ID":"B","record_ID":"I"}}"#)]);
    two.record(&[r#"put om_activity_log Z {"store_ID":"B","record_ID":"another"}"#]);
    two.sync(world);
    one.sync(world);

    assert_eq!(lanes(world, "om_activity_log", "X"), ["partners of store B", "store A"]);
    assert_eq!(lanes(world, "om_activity_log", &log), ["partners of store A", "store B"]);
    assert_eq!(lanes(world, "om_activity_log", "Z"), ["store B"]);
    assert!(has(&one, "om_activity_log", &log) && has(&two, "om_activity_log", "X"));
}

fn what_a_site_has_between_two_stores_of_its_own_comes_to_it_as_the_others_too(world: &mut World) {
    let mut one = world.device(&["A", "B"]);
    name_stores(world, &["A", "B"]);
    settle(world, &mut one);
    one.record(&[INVOICE]);
    settle(world, &mut one);
    let mut came = |world: &mut World, edits: &[&str]| -> Vec<String> {
        one.record(edits);
        one.push(world);
        let rows = one.read(world, &Scope::StorePartners(id("B")).to_id(), 100, 100_000).rows;
        rows.into_iter().map(|row| row.record.to_string()).collect()
    };

    // Without that it would let go of them with store A, if that moves, and B keep them at central alone.
    let log = r#"put om_activity_log X {"store_ID":"A","record_ID":"I","type":"INVOICE_STATUS_SHIPPED"}"#;
    assert_eq!(came(world, &[log, LINE]), ["X", "L"]);
    assert_eq!(came(world, &[r#"patch trans_line L {"quantity":4}"#]), [""; 0], "it has read that it has it so");
    assert_eq!(came(world, &["delete trans_line L"]), [""; 0]);
    assert_eq!(came(world, &[LINE]), ["L"], "with the deletion it has let go of that");
}

/// The simulator's find (seed 500042): central made it, and the site had deleted it meanwhile, or kept one with its number.
fn a_half_that_may_have_stayed_on_the_site_of_both_stores_is_not_made_beside_it(world: &mut World) {
    let mut one = world.device(&["A", "B"]);
    name_stores(world, &["A", "B"]);
    let keeps = |is: &str| format!(r#"patch store B {{"outpost_withholds_data":{is}}}"#);
    world.write(&[&keeps("true"), &keeps("null")]);
    settle(world, &mut one);
    let other = half(Kind::Stock, "I", "B");

    one.record(&[INVOICE, LINE]);
    one.sync(world);
    assert_eq!(world.data("transact", &other), "unknown");
    let found = world.store.reading().transfers(&ALL, world.now_ms).unwrap();
    let TransferWait::Record { reason: Some(reason), .. } = &found[0].waits else { panic!("{:?}", found[0].waits) };
    assert!(reason.contains("has both stores and makes it"), "{reason}");

    one.record(&[&format!(
        r#"put transact {other} {{"store_ID":"B","name_ID":"NA","type":"si","invoice_num":7,"linked_transaction_id":"I"}}"#
    )]);
    one.sync(world);
    says(world, "transact", &other, &[r#""invoice_num":7"#]);
    assert_eq!(lanes(world, "transact", &other), ["partners of store A", "store B"]);
}

fn a_half_that_stayed_and_goes_after_all_is_one_of_a_transfer(world: &mut World) {
    let mut one = world.device(&["A", "B"]);
    name_stores(world, &["A", "B"]);
    world.write(&[r#"patch store B {"outpost_withholds_data":true}"#]);
    settle(world, &mut one);
    let other = half(Kind::Stock, "I", "B");
    one.record(&[INVOICE]);
    one.sync(world);
    let transfers = |world: &mut World| world.store.reading().transfers(&ALL, world.now_ms).unwrap().len();
    assert_eq!(transfers(world), 0, "it is nobody else's business");

    world.write(&[r#"patch store B {"outpost_withholds_data":null}"#]);
    one.record(&[&format!(
        r#"put transact {other} {{"store_ID":"B","name_ID":"NA","type":"si","invoice_num":7,"linked_transaction_id":"I"}}"#
    )]);
    one.sync(world);

    assert_eq!(transfers(world), 1);
    assert_eq!(lanes(world, "transact", &other), ["partners of store A", "store B"], "as if it had never stayed");
}

fn log_entries_about_an_invoice_that_went_to_another_store_go_to_its_sender_all_the_same(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    two.record(&[r#"put om_activity_log X {"store_ID":"B","record_ID":"I"}"#]);
    two.sync(world);
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    settle(world, &mut two);
    assert_eq!(lanes(world, "om_activity_log", "X"), ["partners of store A", "store B"], "it was there first");
    one.record(&[r#"patch transact I {"name_ID":"NC"}"#]);
    one.sync(world);

    let log = log_of(&half(Kind::Stock, "I", "B"));
    two.record(&[&format!(r#"put om_activity_log {log} {{"store_ID":"B","record_ID":"I"}}"#)]);
    one.record(&[r#"put om_activity_log Y {"store_ID":"A","record_ID":"I"}"#]);
    two.sync(world);
    one.sync(world);
    settle(world, &mut two);

    assert!(lanes(world, "om_activity_log", &log).contains(&"partners of store A".to_owned()));
    assert!(has(&one, "om_activity_log", &log) && has(&one, "om_activity_log", "X"));
    assert!(!has(&two, "om_activity_log", "Y"), "to store B it is not addressed any more");
}

fn a_site_that_reads_everything_anew_has_both_halves(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    settle(world, &mut two);

    for device in [&mut one, &mut two] {
        device.wipe_copy();
        device.sync(world);
        let other = half(Kind::Stock, "I", "B");
        for (table, record) in [("transact", "I"), ("transact", &other), ("trans_line", "L")] {
            assert!(has(device, table, record), "{table} {record}");
        }
        assert!(has(device, "trans_line", &line_of(&other, "L")));
    }
    assert_eq!(world.store.reading().records("transact", Merged::Listed, None, 100).unwrap().len(), 2);
}

fn a_store_that_moves_takes_what_others_have_with_it_along(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    let mut three = world.device(&[]);
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    settle(world, &mut two);
    settle(world, &mut three);

    world.job(|batch| batch.move_store(&id("B"), three.site, false));
    for _ in 0..3 {
        two.sync(world);
    }
    for _ in 0..3 {
        three.sync(world);
    }

    let other = half(Kind::Stock, "I", "B");
    for (table, record) in [("transact", "I"), ("transact", &other), ("trans_line", "L")] {
        assert!(has(&three, table, record), "{table} {record}");
    }
    let partners = Scope::StorePartners(id("B")).to_id();
    assert!(three.scopes.iter().any(|scope| scope.scope == partners));
    assert!(!two.scopes.iter().any(|scope| scope.scope == partners));
    let dropped = |control: &Control| matches!(control, Control::Dropped(dropped) if dropped.scope == partners);
    assert!(two.controls.iter().any(dropped));
    // Finalised once more at another site it brings nothing.
    one.record(&[r#"patch transact I {"status":"nw"}"#]);
    one.record(&[r#"patch transact I {"status":"fn"}"#]);
    one.sync(world);
    assert_eq!(world.store.reading().records("transact", Merged::Listed, None, 100).unwrap().len(), 2);
}

fn a_store_that_comes_to_central_has_what_it_owes_written_there(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    one.record(&[INVOICE]);
    one.sync(world);
    let other = half(Kind::Stock, "I", "B");
    assert!(world.data("transact", &other).contains(r#""invoice_num":-1"#));

    world.job(|batch| batch.move_store(&id("B"), CENTRAL, false));
    for _ in 0..3 {
        two.sync(world);
    }

    assert!(world.data("transact", &other).contains(r#""invoice_num":1"#));
    one.sync(world);
    assert!(has(&one, "om_activity_log", &log_of(&other)));
}

fn a_half_is_made_for_a_store_on_its_way(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    let mut three = world.device(&[]);
    settle(world, &mut three);
    world.job(|batch| batch.move_store(&id("B"), three.site, false));
    one.record(&[INVOICE, LINE]);
    one.sync(world);
    let draining = half(Kind::Stock, "I", "B");
    assert!(has(&one, "transact", &draining));
    for _ in 0..2 {
        two.push(world);
    }
    one.record(&[&INVOICE.replace(" I ", " J ")]);
    one.sync(world);
    let filling = half(Kind::Stock, "J", "B");
    assert!(has(&one, "transact", &filling));

    for _ in 0..3 {
        three.sync(world);
    }
    assert!(has(&three, "transact", &draining) && has(&three, "transact", &filling) && has(&three, "transact", "J"));
}

fn collectors_do_not_receive_what_others_have_with_a_store(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    let mut three = world.device(&["D"]);
    world.write(&[r#"put name_store_join V {"name_ID":"NB","store_ID":"D"}"#]);
    settle(world, &mut three);
    world.job(|batch| batch.set_collector(&id("B"), three.site, true));
    one.record(&[INVOICE]);
    one.sync(world);
    settle(world, &mut two);
    settle(world, &mut three);

    assert!(has(&three, "transact", &half(Kind::Stock, "I", "B")), "it has all of the store");
    assert!(!has(&three, "transact", "I"));
}

/// A primary, which writes the orders of store A, and its device.
fn primary(world: &mut World) -> Device {
    assert!(world.job(|batch| batch.set_preference(Preference::CentralisedProcurement, true)));
    while world.job(|batch| batch.route_orders_step(10)) {}
    let mut office = world.device(&[]);
    world.job(|batch| batch.enable_mirror(office.site));
    settle(world, &mut office);
    settle(world, &mut office);
    office
}

fn goods_received_that_come_before_the_order_of_the_primary_go_to_it_with_that(world: &mut World) {
    let (mut one, _) = two_stores(world);
    let mut office = primary(world);
    one.record(&[
        r#"put Goods_received G {"store_ID":"A","purchase_order_ID":"O"}"#,
        r#"put Goods_received_line LG {"goods_received_ID":"G","order_line_ID":"OL"}"#,
    ]);
    one.sync(world);
    settle(world, &mut office);
    assert!(!has(&office, "Goods_received", "G"));

    let mut order = entry(r#"put purchase_order O {"store_ID":"A","name_ID":"NB","status":"nw"}"#, true);
    // Recorded after procurement changed hands once.
    order.ownership = OwnershipNumber(1 + (1 << 20));
    office.record_bytes(&order.encode());
    settle(world, &mut office);
    settle(world, &mut office);

    assert!(has(&office, "Goods_received", "G") && has(&office, "Goods_received_line", "LG"));
}

fn goods_received_for_an_order_of_the_primary_go_to_the_primary_which_counts_them(world: &mut World) {
    let (mut one, mut two) = two_stores(world);
    assert!(world.job(|batch| batch.set_preference(Preference::CentralisedProcurement, true)));
    while world.job(|batch| batch.route_orders_step(10)) {}
    world.write(&[
        r#"upsert purchase_order O {"store_ID":"A","name_ID":"NB","status":"nw"}"#,
        r#"upsert purchase_order_line OL {"store_ID":"A","purchase_order_ID":"O","item_ID":"item"}"#,
    ]);
    let mut office = world.device(&[]);
    world.job(|batch| batch.enable_mirror(office.site));
    settle(world, &mut office);
    settle(world, &mut office);
    settle(world, &mut one);
    for (goods, order) in [("G1", "O"), ("G2", "O"), ("G3", "NONE")] {
        one.record(&[
            &format!(r#"put Goods_received {goods} {{"store_ID":"A","purchase_order_ID":"{order}"}}"#),
            &format!(r#"put Goods_received_line L{goods} {{"goods_received_ID":"{goods}","order_line_ID":"OL"}}"#),
        ]);
    }
    one.sync(world);
    settle(world, &mut two);
    settle(world, &mut office);

    let in_lanes = ["store A", "what a site sees"];
    for goods in ["G1", "G2"] {
        assert_eq!(lanes(world, "Goods_received", goods), in_lanes);
        assert!(has(&office, "Goods_received", goods) && has(&office, "Goods_received_line", &format!("L{goods}")));
        assert!(!has(&two, "Goods_received", goods));
    }
    assert!(!has(&office, "Goods_received", "G3") && !has(&office, "Goods_received_line", "LG3"), "of another order");

    // Taken to another order, to that one, and deleted.
    one.record(&[r#"patch Goods_received G1 {"purchase_order_ID":"NONE"}"#]);
    one.record(&[r#"patch Goods_received G3 {"purchase_order_ID":"O"}"#]);
    one.record(&["delete Goods_received_line LG2", "delete Goods_received G2"]);
    one.sync(world);
    settle(world, &mut office);
    for (goods, is_there) in [("G1", false), ("G2", false), ("G3", true)] {
        assert_eq!(has(&office, "Goods_received", goods), is_there, "{goods}");
        assert_eq!(has(&office, "Goods_received_line", &format!("L{goods}")), is_there, "{goods}");
    }
}
