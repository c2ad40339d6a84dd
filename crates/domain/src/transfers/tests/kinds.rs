//! Which record is an initiating half.

use protocol::row::ColumnRef;

use super::world::{World, id};
use crate::transfers::ids::{TransferKey, line_id, log_id};
use crate::transfers::kinds::{Kind, Standing, counted};
use crate::transfers::records::{Awaited, REFERENCES};

fn stands(table: &str, data: &str) -> String {
    let mut world = World::new();
    world.put("name", "P", r#"{"type":"patient"}"#);
    world.put("name", "F", r#"{"type":"facility"}"#);
    world.put("name", "NX", r#"{"type":"store"}"#);
    world.put("outpost_name_merge", "OLD", r#"{"into_ID":"NB"}"#);
    world.put("purchase_order", "O", r#"{"store_ID":"B","name_ID":"NA","status":"cn"}"#);
    world.put(table, "S", data);
    match world.standing(table, "S") {
        Standing::No => "no".to_owned(),
        Standing::Waits(awaited) => format!("waits for {awaited}"),
        Standing::Initiates(found) => format!("{} from {} to {}", found.key.kind, found.sender, found.key.receiver),
    }
}

#[test]
fn a_record_initiates_when_it_is_far_enough_and_the_other_party_is_another_store() {
    for (table, data, expected) in [
        ("transact", r#"{"store_ID":"A","name_ID":"NB","type":"ci","status":"fn"}"#, "stock from A to B"),
        ("transact", r#"{"store_ID":"A","name_ID":"NB","type":"ci","status":"FN"}"#, "stock from A to B"),
        ("transact", r#"{"store_ID":"A","name_ID":"OLD","type":"ci","status":"fn"}"#, "stock from A to B"),
        ("transact", r#"{"store_ID":"A","name_ID":"NB","type":"ci","status":"cn"}"#, "no"),
        ("transact", r#"{"store_ID":"A","name_ID":"NB","type":"ci","status":"wf"}"#, "no"),
        ("transact", r#"{"store_ID":"A","name_ID":"NB","type":"ci","status":"fn","om_status":"CANCELLED"}"#, "no"),
        ("transact", r#"{"store_ID":"A","name_ID":"NB","type":"ci","status":"fn","is_cancellation":true}"#, "no"),
        ("transact", r#"{"store_ID":"A","name_ID":"NB","type":"ci","status":"fn","mode":"dispensary"}"#, "no"),
        ("transact", r#"{"store_ID":"A","name_ID":"P","type":"ci","status":"fn"}"#, "no"),
        ("transact", r#"{"store_ID":"A","name_ID":"F","type":"ci","status":"fn"}"#, "no"),
        ("transact", r#"{"store_ID":"A","name_ID":"NA","type":"ci","status":"fn"}"#, "no"),
        ("transact", r#"{"store_ID":"A","name_ID":"NB","type":"si","status":"fn"}"#, "no"),
        ("transact", r#"{"store_ID":"A","name_ID":"NB","type":"sr","status":"fn"}"#, "no"),
        ("transact", r#"{"store_ID":"A","type":"ci","status":"fn"}"#, "no"),
        ("transact", r#"{"store_ID":"A","name_ID":"NX","type":"ci","status":"fn"}"#, "waits for the store of name NX"),
        ("transact", r#"{"store_ID":"A","name_ID":"NB","type":"Sc","status":"FN"}"#, "return from A to B"),
        ("requisition", r#"{"store_ID":"A","name_ID":"NB","type":"request","status":"fn"}"#, "requisition from A to B"),
        ("requisition", r#"{"store_ID":"A","name_ID":"NB","type":"request","status":"sg"}"#, "no"),
        ("requisition", r#"{"store_ID":"A","name_ID":"NB","type":"response","status":"fn"}"#, "no"),
        ("requisition", r#"{"store_ID":"A","name_ID":"NB","type":"im","status":"fn"}"#, "no"),
        ("purchase_order", r#"{"store_ID":"A","name_ID":"NB","status":"cn"}"#, "order from A to B"),
        ("purchase_order", r#"{"store_ID":"A","name_ID":"NB","status":"fn"}"#, "order from A to B"),
        ("purchase_order", r#"{"store_ID":"A","name_ID":"NB","status":"sg"}"#, "no"),
        ("purchase_order", r#"{"store_ID":"A","name_ID":"F","status":"cn"}"#, "no"),
        ("Goods_received", r#"{"store_ID":"A","status":"fn"}"#, "no"),
    ] {
        assert_eq!(stands(table, data), expected, "{table} {data}");
    }
}

#[test]
fn an_invoice_that_answers_an_order_of_the_customer_brings_goods() {
    let invoice = |order: &str, customer: &str| {
        format!(r#"{{"store_ID":"A","name_ID":"{customer}","type":"ci","status":"fn","original_PO_ID":"{order}"}}"#)
    };

    assert_eq!(stands("transact", &invoice("O", "NB")), "goods from A to B");
    assert_eq!(stands("transact", &invoice("O", "NC")), "stock from A to C", "the order is another store's");
    assert_eq!(stands("transact", &invoice("Z", "NB")), "waits for purchase_order Z");

    let mut world = World::new();
    world.put("purchase_order", "O", r#"{"store_ID":"B"}"#);
    world.delete("purchase_order", "O");
    world.put("transact", "S", &invoice("O", "NB"));
    assert_eq!(world.initiating("transact", "S").key.kind, Kind::Goods, "also of an order that was deleted");
}

#[test]
fn a_transfer_begins_with_the_edit_that_makes_it_count() {
    let mut world = World::new();
    world.put("transact", "S", r#"{"store_ID":"A","name_ID":"NB","type":"ci","status":"cn"}"#);
    let (before, after) = world.patch("transact", "S", r#"{"status":"fn"}"#);
    let catalogue = world.catalogue.clone();
    let key = (catalogue.table_by_name("transact").unwrap(), &id("S"));

    let begun = counted(&catalogue, &mut world, key, Some(&before), Some(&after)).unwrap();
    let again = counted(&catalogue, &mut world, key, Some(&after), Some(&after)).unwrap();
    let deleted = counted(&catalogue, &mut world, key, Some(&after), None).unwrap();

    assert!(begun.has_begun && matches!(begun.now, Standing::Initiates(_)));
    assert!(!again.has_begun && again.now == begun.now);
    assert!(!deleted.has_begun && deleted.now == Standing::No);
}

#[test]
fn the_derived_ids_never_change() {
    let key = |kind| TransferKey { kind, source: id("S1"), receiver: id("B") };
    let ids: Vec<String> = Kind::ALL.into_iter().map(|kind| key(kind).half_id().to_string()).collect();
    let half = key(Kind::Stock).half_id();

    assert_eq!(
        ids,
        [
            "DA99199F96EF0327B95F95E2066148A4",
            "E62BA5DD5E28E4AC300E856062EEB325",
            "54558F85BA2D73D1D6E1D8822AF8D06A",
            "BB7550E5D0BB2BED690562106B28310A",
            "96AF96866987AC2199CE2D03CE248EEA"
        ]
    );
    assert_eq!(line_id(&half, &id("L1")).as_str(), "B29BD125BDBDAD6527C5C595BD5991A1");
    assert_eq!(log_id(&half).as_str(), "E09593F367BF95D3F8A6EE654C949A77");
    for kind in Kind::ALL {
        assert_eq!(Kind::of(kind.as_str()), Some(kind));
    }
    assert_eq!(Awaited::Record { table: "item", id: id("I") }.to_string(), "item I");
}

#[test]
fn every_column_by_which_transfers_look_for_records_is_one_of_the_catalogue() {
    let catalogue = crate::catalogue::Catalogue::embedded();
    for (table, column) in REFERENCES {
        let found = catalogue.table_by_name(table).unwrap().column_ref(column);
        assert!(matches!(found, ColumnRef::Known(_)), "{table} {column}");
    }
}
