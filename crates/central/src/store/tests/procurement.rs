//! Purchase orders: the primary's while procurement is centralised, else their store's site's.

use domain::preference::{Preference, StorePreference};
use domain::procurement::{ORDERED_BY_COLUMN, OrderedBy};

use protocol::ids::OwnershipNumber;

use super::device::entry;
use super::*;

contract!(
    central_writes_the_orders_of_every_store_while_procurement_is_centralised_and_no_site_does,
    what_was_confirmed_before_stays_with_its_old_owner_and_the_rest_changes_hands,
    what_was_recorded_before_a_change_opens_nothing_after_it_also_when_procurement_comes_back,
    a_store_whose_site_keeps_procurement_is_closed_to_the_primary,
    in_supervisor_mode_the_primary_enters_orders_beside_the_stores_own,
    the_primary_of_a_mirrored_system_has_the_orders_that_it_writes_and_no_others,
    orders_of_before_come_in_steps_and_a_line_behind_its_order,
    who_orders_is_said_by_the_edit_that_confirms_and_by_no_other,
    what_is_left_of_a_deleted_order_is_the_stores_and_goes_to_the_primary_with_one_that_is_made_again,
);

/// Two sites with a store each, of which neither sees the other.
fn two(world: &mut World) -> (Device, Device) {
    let (mut one, mut two) = (world.device(&["A"]), world.device(&["B"]));
    world.write(&[r#"patch store A {"name_ID":"nA"}"#, r#"patch store B {"name_ID":"nB"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    (one, two)
}

fn centralise(world: &mut World, is_on: bool) {
    set(world, Preference::CentralisedProcurement, is_on);
}

fn set(world: &mut World, preference: Preference, is_on: bool) {
    assert!(world.job(|batch| batch.set_preference(preference, is_on)));
    while world.job(|batch| batch.route_orders_step(1)) {}
}

fn keep_local(world: &mut World, store: &str, is_on: bool) {
    assert!(world.job(|batch| batch.set_store_preference(StorePreference::LocalProcurement, &id(store), is_on)));
    while world.job(|batch| batch.route_orders_step(1)) {}
}

/// What a line that a device records after so many changes, as a group of its own, is refused with.
fn refused_after(world: &mut World, device: &mut Device, changes: u32, line: &str) -> Vec<String> {
    let told = device.told.len();
    let mut entry = entry(line, true);
    entry.ownership = OwnershipNumber(1 + (changes << 20));
    device.record_bytes(&entry.encode());
    settle(world, device);
    device.told[told..].iter().map(|(_, code)| code.clone()).collect()
}

fn order(id: &str, store: &str, more: &str) -> String {
    format!(r#"put purchase_order {id} {{"store_ID":"{store}"{more}}}"#)
}

fn line(id: &str, store: &str, order: &str) -> String {
    format!(r#"put purchase_order_line {id} {{"store_ID":"{store}","purchase_order_ID":"{order}"}}"#)
}

/// What a line that central writes is refused with.
fn refused_at_central(world: &mut World, line: &str) -> Option<String> {
    let line = line.replacen("put ", "upsert ", 1);
    let report = world.import(ImportMode::AllOrNothing, &[&line]);
    report.refusals.first().map(|refused| refused.code.clone())
}

fn says(world: &mut World, order: &str) -> Option<OrderedBy> {
    let data = world.data("purchase_order", order);
    let said = |by: &OrderedBy| data.contains(&format!("\"{ORDERED_BY_COLUMN}\":\"{}\"", by.as_str()));
    [OrderedBy::Store, OrderedBy::Primary, OrderedBy::Supervisor].into_iter().find(said)
}

const SUPERVISED: &str = r#","outpost_ordered_by":"supervisor""#;

const NONE: [&str; 0] = [];

fn central_writes_the_orders_of_every_store_while_procurement_is_centralised_and_no_site_does(world: &mut World) {
    let (mut one, mut two) = two(world);
    assert_eq!(refused_at_central(world, &order("P", "A", "")).as_deref(), Some("not_store_holder"));
    centralise(world, true);

    assert_eq!(refused_at_central(world, &order("P", "A", "")), None);
    assert_eq!(refused_at_central(world, &line("L", "A", "P")), None);
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!(one.data("purchase_order_line", "L"), world.data("purchase_order_line", "L"));
    assert!(!has(&two, "purchase_order", "P"), "it is the store's site's to have");
    for line in [&order("Q", "A", ""), r#"patch purchase_order P {"comment":"x"}"#, "delete purchase_order_line L"] {
        assert_eq!(refused_after(world, &mut one, 1, line), ["not_purchaser"], "{line}");
    }
    assert_eq!(refused_after(world, &mut one, 1, &line("M", "A", "P")), ["not_purchaser"]);
    // Nothing but orders changes hands.
    assert_eq!(refused(world, &mut one, r#"put Goods_received G {"store_ID":"A"}"#), NONE);
    assert_eq!(refused_at_central(world, &order("R", "no store", "")).as_deref(), Some("store_missing"));
}

fn what_was_confirmed_before_stays_with_its_old_owner_and_the_rest_changes_hands(world: &mut World) {
    let (mut one, _) = two(world);
    one.record(&[&order("C", "A", r#","status":"cn""#), &line("LC", "A", "C"), &order("D", "A", r#","status":"sg""#)]);
    settle(world, &mut one);
    centralise(world, true);

    assert_eq!(
        refused_at_central(world, r#"patch purchase_order C {"comment":"x"}"#).as_deref(),
        Some("not_store_holder")
    );
    // What is confirmed is not concerned by the change, also where its site had not heard of that.
    assert_eq!(refused(world, &mut one, r#"patch purchase_order C {"status":"fn"}"#), NONE);
    assert_eq!(refused(world, &mut one, &line("LC2", "A", "C")), NONE);
    assert_eq!(refused_after(world, &mut one, 1, r#"patch purchase_order D {"status":"cn"}"#), ["not_purchaser"]);
    // Nor does a line go from the one to the other.
    let moved = r#"patch purchase_order_line LC {"purchase_order_ID":"D"}"#;
    assert_eq!(refused(world, &mut one, moved), ["not_purchaser"]);
    assert_eq!(refused_at_central(world, r#"patch purchase_order D {"status":"cn"}"#), None);
    assert_eq!((says(world, "C"), says(world, "D")), (None, Some(OrderedBy::Primary)));

    centralise(world, false);
    assert_eq!(refused_at_central(world, r#"patch purchase_order D {"comment":"still ours"}"#), None);
    assert_eq!(refused_after(world, &mut one, 2, r#"patch purchase_order D {"comment":"mine"}"#), ["not_purchaser"]);
    assert_eq!(refused_after(world, &mut one, 2, &order("E", "A", "")), NONE);
    // A line goes between two that are written under different numbers.
    let moved = |order: &str| format!(r#"patch purchase_order_line LC {{"purchase_order_ID":"{order}"}}"#);
    assert_eq!(refused(world, &mut one, &moved("E")), NONE);
    assert_eq!(refused(world, &mut one, &moved("C")), ["ownership_number"]);
    assert_eq!(refused_after(world, &mut one, 2, &moved("C")), NONE);
}

fn what_was_recorded_before_a_change_opens_nothing_after_it_also_when_procurement_comes_back(world: &mut World) {
    let (mut one, _) = two(world);
    assert_eq!(refused(world, &mut one, &order("D", "A", "")), NONE);
    centralise(world, true);
    centralise(world, false);

    assert_eq!(refused(world, &mut one, r#"patch purchase_order D {"comment":"old"}"#), ["ownership_number"]);
    assert_eq!(refused_after(world, &mut one, 1, r#"patch purchase_order D {"comment":"old"}"#), ["ownership_number"]);
    assert_eq!(refused_after(world, &mut one, 2, r#"patch purchase_order D {"comment":"new"}"#), NONE);
    // The count goes neither with the record that has it, nor by an edit.
    let preference = Preference::CentralisedProcurement.id();
    for line in [
        format!("delete preference {preference}"),
        format!(r#"patch preference {preference} {{"outpost_procurement_changes":0}}"#),
        r#"patch store A {"outpost_procurement_changes":7}"#.to_owned(),
    ] {
        assert_eq!(refused_at_central(world, &line).as_deref(), Some("central_column"), "{line}");
    }
    let of_store = format!(r#"put preference {preference} {{"value":true,"store_id":"A"}}"#);
    assert_eq!(refused_at_central(world, &of_store).as_deref(), Some("bad_value"));
    world.write(&[&format!(r#"put preference {preference} {{"value":false}}"#)]);
    assert_eq!(refused_after(world, &mut one, 2, r#"patch purchase_order D {"comment":"newer"}"#), NONE);
    assert_eq!(refused(world, &mut one, r#"put Goods_received G {"store_ID":"A"}"#), NONE);
}

fn a_store_whose_site_keeps_procurement_is_closed_to_the_primary(world: &mut World) {
    let (mut one, mut two) = two(world);
    // What its site has not sent yet is no affair of either change.
    one.record(&[&order("N", "A", "")]);
    keep_local(world, "A", true);
    centralise(world, true);
    set(world, Preference::SupervisorOrders, true);
    settle(world, &mut one);
    assert_eq!((one.told.len(), has(&one, "purchase_order", "N")), (0, true));

    assert_eq!(refused_after(world, &mut one, 0, &order("P", "A", "")), NONE);
    assert_eq!(refused_after(world, &mut two, 1, &order("Q", "B", "")), ["not_purchaser"]);
    let supervised = order("S", "A", SUPERVISED);
    for line in [&order("R", "A", ""), &supervised, r#"patch purchase_order P {"comment":"x"}"#] {
        assert!(refused_at_central(world, line).is_some(), "{line}");
    }
    // A put of the store's record by another program takes nothing away.
    world.write(&[r#"put store A {"name_ID":"nA"}"#]);
    assert_eq!(refused_after(world, &mut one, 0, r#"patch purchase_order P {"comment":"y"}"#), NONE);

    // Nor is it concerned when procurement is centralised no more, and again.
    centralise(world, false);
    assert_eq!(refused(world, &mut one, r#"patch purchase_order P {"comment":"off"}"#), NONE);
    centralise(world, true);
    assert_eq!(refused(world, &mut one, r#"patch purchase_order P {"comment":"on"}"#), NONE);

    keep_local(world, "A", false);
    assert_eq!(refused_after(world, &mut one, 0, r#"patch purchase_order P {"comment":"z"}"#), ["not_purchaser"]);
    assert_eq!(refused_at_central(world, r#"patch purchase_order P {"comment":"x"}"#), None);
    // Given back it is written under another count than before.
    keep_local(world, "A", true);
    assert_eq!(refused_after(world, &mut one, 0, r#"patch purchase_order P {"comment":"old"}"#), ["ownership_number"]);
    assert_eq!(refused_after(world, &mut one, 2, r#"patch purchase_order P {"comment":"new"}"#), NONE);
}

fn in_supervisor_mode_the_primary_enters_orders_beside_the_stores_own(world: &mut World) {
    let (mut one, _) = two(world);
    let supervised = order("S", "A", SUPERVISED);
    assert_eq!(refused_at_central(world, &supervised).as_deref(), Some("not_purchaser"));
    set(world, Preference::SupervisorOrders, true);

    assert_eq!(refused_at_central(world, &supervised), None);
    assert_eq!(refused(world, &mut one, &order("P", "A", "")), NONE);
    assert_eq!(refused(world, &mut one, r#"patch purchase_order S {"comment":"x"}"#), ["not_purchaser"]);
    let own = order("T", "A", SUPERVISED);
    assert_eq!(refused(world, &mut one, &own), ["not_purchaser"]);
    assert_eq!(
        refused_at_central(world, r#"patch purchase_order P {"comment":"x"}"#).as_deref(),
        Some("not_store_holder")
    );

    set(world, Preference::SupervisorOrders, false);
    assert_eq!(
        refused_at_central(world, r#"patch purchase_order S {"comment":"x"}"#).as_deref(),
        Some("not_purchaser")
    );
    set(world, Preference::SupervisorOrders, true);
    assert_eq!(refused_at_central(world, r#"patch purchase_order S {"status":"cn"}"#), None);
    set(world, Preference::SupervisorOrders, false);
    assert_eq!(refused_at_central(world, r#"patch purchase_order S {"comment":"confirmed"}"#), None);
}

fn the_primary_of_a_mirrored_system_has_the_orders_that_it_writes_and_no_others(world: &mut World) {
    let (mut one, mut two) = two(world);
    assert_eq!(refused(world, &mut two, &order("C", "B", r#","status":"cn""#)), NONE);
    assert_eq!(refused(world, &mut two, &order("D", "B", "")), NONE);
    assert_eq!(refused(world, &mut two, &line("LD", "B", "D")), NONE);
    let site = one.site;
    world.job(|batch| batch.enable_mirror(site));
    for _ in 0..4 {
        one.sync(world);
    }
    let shown = |device: &Device| ["C", "D"].map(|id| has(device, "purchase_order", id));
    assert_eq!(shown(&one), [false, false]);

    centralise(world, true);
    settle(world, &mut one);
    assert_eq!((shown(&one), has(&one, "purchase_order_line", "LD")), ([false, true], true));
    assert_eq!(
        refused_at_central(world, r#"patch purchase_order D {"comment":"x"}"#).as_deref(),
        Some("not_purchaser")
    );
    assert_eq!(refused_after(world, &mut one, 1, r#"patch purchase_order D {"comment":"mine"}"#), NONE);
    assert_eq!(refused_after(world, &mut one, 1, &order("E", "B", "")), NONE);
    assert_eq!(refused_after(world, &mut one, 1, &line("LE", "B", "E")), NONE);
    assert_eq!(refused(world, &mut one, r#"patch purchase_order D {"comment":"old"}"#), ["ownership_number"]);
    settle(world, &mut two);
    assert_eq!(two.data("purchase_order_line", "LE"), world.data("purchase_order_line", "LE"));
    assert_eq!(refused_after(world, &mut two, 1, "delete purchase_order E"), ["not_purchaser"]);

    centralise(world, false);
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!((shown(&one), shown(&two)), ([false, false], [true, true]));
    assert_eq!((has(&one, "purchase_order_line", "LE"), has(&two, "purchase_order_line", "LE")), (false, true));
    assert_eq!(refused_after(world, &mut two, 2, "delete purchase_order E"), NONE);
}

fn orders_of_before_come_in_steps_and_a_line_behind_its_order(world: &mut World) {
    let (mut one, mut two) = two(world);
    for id in ["P", "Q", "R"] {
        two.record(&[&order(id, "B", ""), &line(&format!("L{id}"), "B", id)]);
    }
    settle(world, &mut two);
    let site = one.site;
    world.job(|batch| batch.enable_mirror(site));
    for _ in 0..4 {
        one.sync(world);
    }
    let shown = |device: &Device| {
        let all = ["P", "Q", "R"].map(|id| (has(device, "purchase_order", id), format!("L{id}")));
        all.map(|(order, line)| format!("{} {}", u8::from(order), u8::from(has(device, "purchase_order_line", &line))))
    };

    world.job(|batch| batch.set_preference(Preference::CentralisedProcurement, true));
    assert!(world.job(|batch| batch.route_orders_step(1)));
    settle(world, &mut one);
    assert_eq!(shown(&one), ["1 1", "0 0", "0 0"]);
    assert!(world.store.reading().is_under_way(Preference::CentralisedProcurement).unwrap());
    // A line of one that has not come yet brings it.
    assert_eq!(refused_after(world, &mut one, 1, &line("M", "B", "R")), NONE);
    assert_eq!(shown(&one), ["1 1", "0 0", "1 1"]);
    world.restart(7);
    while world.job(|batch| batch.route_orders_step(1)) {}
    for _ in 0..3 {
        one.sync(world);
    }
    assert_eq!(shown(&one), ["1 1", "1 1", "1 1"]);

    // And back: what is edited before its turn takes its lines along.
    world.job(|batch| batch.set_preference(Preference::CentralisedProcurement, false));
    assert_eq!(refused_after(world, &mut two, 2, r#"patch purchase_order R {"comment":"x"}"#), NONE);
    settle(world, &mut one);
    assert_eq!(shown(&one), ["1 1", "1 1", "0 0"]);
    while world.job(|batch| batch.route_orders_step(1)) {}
    settle(world, &mut one);
    assert_eq!(shown(&one), ["0 0", "0 0", "0 0"]);
}

fn who_orders_is_said_by_the_edit_that_confirms_and_by_no_other(world: &mut World) {
    let (mut one, _) = two(world);
    let saying = |by: &str| format!(",\"{ORDERED_BY_COLUMN}\":{by}");
    for by in ["\"somebody\"", "true"] {
        assert_eq!(refused(world, &mut one, &order("P", "A", &saying(by))), ["central_column"], "{by}");
    }
    centralise(world, true);
    centralise(world, false);

    assert_eq!(refused_after(world, &mut one, 2, &order("P", "A", "")), NONE);
    let confirm = |by: &str| format!(r#"patch purchase_order P {{"status":"cn"{by}}}"#);
    for by in [String::new(), saying("\"primary\""), saying("\"supervisor\""), saying("null")] {
        assert_eq!(refused_after(world, &mut one, 2, &confirm(&by)), ["central_column"], "{by}");
    }
    assert_eq!(refused_after(world, &mut one, 2, &confirm(&saying("\"store\""))), NONE);
    let unsaid = format!(r#"patch purchase_order P {{"{ORDERED_BY_COLUMN}":null}}"#);
    assert_eq!(refused(world, &mut one, &unsaid), ["central_column"]);
    // A put says it again; a device adds it for a program that does not know it, as central does.
    assert_eq!(refused(world, &mut one, &order("P", "A", r#","status":"fn""#)), ["central_column"]);
    let whole = format!(r#","status":"fn"{}"#, saying("\"store\""));
    assert_eq!(refused(world, &mut one, &order("P", "A", &whole)), NONE);
    assert_eq!(says(world, "P"), Some(OrderedBy::Store));
    centralise(world, true);
    assert_eq!(refused(world, &mut one, r#"patch purchase_order P {"comment":"mine"}"#), NONE);
    // Opened again it is one that is not confirmed. Who writes back what it has read confirms it as anybody.
    assert_eq!(refused(world, &mut one, r#"patch purchase_order P {"status":"sg"}"#), NONE);
    assert_eq!(refused_after(world, &mut one, 3, r#"patch purchase_order P {"status":"cn"}"#), ["not_purchaser"]);
    assert_eq!(says(world, "P"), Some(OrderedBy::Store));
    let as_read = world.data("purchase_order", "P").replace("\"sg\"", "\"cn\"");
    assert_eq!(refused_at_central(world, &format!("put purchase_order P {as_read}")), None);
    assert_eq!(says(world, "P"), Some(OrderedBy::Primary));
    assert_eq!(refused_at_central(world, &order("P", "A", r#","status":"fn""#)), None);
    assert_eq!(says(world, "P"), Some(OrderedBy::Primary));
}

fn what_is_left_of_a_deleted_order_is_the_stores_and_goes_to_the_primary_with_one_that_is_made_again(
    world: &mut World,
) {
    let (mut one, mut two) = two(world);
    let site = one.site;
    world.job(|batch| batch.enable_mirror(site));
    for _ in 0..4 {
        one.sync(world);
    }
    centralise(world, true);
    settle(world, &mut one);
    for line in [&order("P", "B", ""), &line("L", "B", "P"), &line("M", "B", "P"), "delete purchase_order P"] {
        assert_eq!(refused_after(world, &mut one, 1, line), NONE, "{line}");
    }
    settle(world, &mut two);
    let shown = |device: &Device| ["L", "M"].map(|id| has(device, "purchase_order_line", id));
    assert_eq!((shown(&one), shown(&two)), ([false, false], [true, true]));
    assert_eq!(refused_after(world, &mut two, 1, "delete purchase_order_line L"), NONE);

    assert_eq!(refused_after(world, &mut one, 1, &order("P", "B", "")), NONE);
    assert_eq!(shown(&one), [false, true]);
    // Both in one group, the order first: either may delete what is left.
    let mut group = [entry("delete purchase_order P", false), entry("delete purchase_order_line M", true)];
    for entry in &mut group {
        entry.ownership = OwnershipNumber(1 + (1 << 20));
        one.record_bytes(&entry.encode());
    }
    settle(world, &mut one);
    settle(world, &mut two);
    assert_eq!((shown(&two), world.data("purchase_order_line", "M")), ([false, false], "deleted".to_owned()));
}
