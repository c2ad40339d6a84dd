//! Centralised procurement (seed 000, "Centralised procurement"; domain.md, "Special cases").

mod support;

use rules::*;
use support::*;

fn centralised() -> World {
    let mut world = mirrored_example();
    world.procurement.is_centralised = true;
    world
}

fn order(store: &str) -> Record {
    purchase(store, PurchaseKind::Order)
}

fn supervised(store: &str) -> Record {
    let purchase = Purchase { kind: PurchaseKind::Order, is_supervised: true, confirmed_before_on: None };
    Record::Purchase { store: store.to_owned(), purchase, transfer_with: None }
}

fn confirmed_before(store: &str, on: SiteId) -> Record {
    let purchase = Purchase { kind: PurchaseKind::Order, is_supervised: false, confirmed_before_on: Some(on) };
    Record::Purchase { store: store.to_owned(), purchase, transfer_with: None }
}

#[test]
fn orders_are_store_data_unless_procurement_is_centralised() {
    for kind in [PurchaseKind::Order, PurchaseKind::TenderOrQuote, PurchaseKind::Payment] {
        check(&mirrored_example(), &purchase("B", kind), &[2], &[1, 2]);
    }
}

#[test]
fn centralised_orders_are_the_primary_s_for_every_store_and_no_satellite_s() {
    let world = centralised();

    check(&world, &order("B"), &[4], &[1, 2, 4]);
    check(&world, &order("E"), &[4], &[1, 4]);
    check(&world, &purchase("B", PurchaseKind::TenderOrQuote), &[4], &[1, 2, 4]);
}

#[test]
fn payments_have_a_preference_of_their_own() {
    let mut world = centralised();
    check(&world, &purchase("B", PurchaseKind::Payment), &[2], &[1, 2]);

    world.procurement.has_centralised_payments = true;
    check(&world, &purchase("B", PurchaseKind::Payment), &[4], &[1, 2, 4]);
}

#[test]
fn a_site_that_keeps_local_procurement_is_closed_to_the_primary() {
    let mut world = centralised();
    world.procurement.local_stores.insert("B".to_owned());
    world.procurement.has_supervisor_mode = true;

    check(&world, &order("B"), &[2], &[1, 2]);
    check(&world, &order("C"), &[4], &[1, 3, 4]);
    assert_eq!(
        may_write(&world, PRIMARY, &supervised("B")),
        Err(Rule::KeepsLocalProcurement { store: "B".to_owned() })
    );
}

#[test]
fn supervisor_mode_lets_the_primary_write_orders_beside_the_store_s_own() {
    let mut world = mirrored_example();
    check(&world, &supervised("B"), &[], &[1, 2]);

    world.procurement.has_supervisor_mode = true;
    check(&world, &supervised("B"), &[4], &[1, 2, 4]);
    check(&world, &order("B"), &[2], &[1, 2]);
}

#[test]
fn an_order_that_was_confirmed_before_the_change_stays_with_its_old_owner() {
    let mut world = centralised();
    check(&world, &confirmed_before("B", REMOTE_1), &[2], &[1, 2]);

    world.procurement.is_centralised = false;
    check(&world, &confirmed_before("B", PRIMARY), &[4], &[1, 2, 4]);
}

#[test]
fn a_confirmed_order_goes_to_the_supplier_s_site_too() {
    let Record::Purchase { store, purchase, .. } = order("B") else { unreachable!() };
    let confirmed = Record::Purchase { store, purchase, transfer_with: Some("C".to_owned()) };

    check(&centralised(), &confirmed, &[4], &[1, 2, 3, 4]);
    check(&example(), &confirmed, &[2], &[1, 2, 3]);
}

#[test]
fn what_was_received_goes_to_whoever_wrote_the_order() {
    let Record::Purchase { purchase, .. } = order("B") else { unreachable!() };
    let received = data_of("B", StoreKind::GoodsReceived { order: Some(purchase) }, Some("C"));

    check(&centralised(), &received, &[2], &[1, 2, 3, 4]);
    check(&mirrored_example(), &received, &[2], &[1, 2, 3]);
}

#[test]
fn central_answers_an_order_that_the_primary_wrote_for_two_stores_of_one_site() {
    let Record::Purchase { purchase, .. } = order("B") else { unreachable!() };
    let confirmed = Record::Purchase { store: "B".to_owned(), purchase, transfer_with: Some("F".to_owned()) };

    assert_eq!(half_maker(&centralised(), &confirmed), Ok(CENTRAL));
    assert_eq!(half_maker(&example(), &confirmed), Ok(REMOTE_1));
}
