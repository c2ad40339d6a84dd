//! What others got wrong (section 3.9 of the reference; lines C10 to C13 of the collected pains).

use proptest::prelude::*;
use protocol::row::Value;

use super::halves::{with_order, with_request, with_stock};
use super::world::{World, id};
use crate::transfers::half::Due;

#[test]
fn what_open_msupply_keeps_of_the_state_of_a_half_never_goes_over() {
    let state = ["om_status", "om_type", "om_colour", "om_shipped_datetime", "om_total_before_tax", "unknown"];
    let mut world = with_stock();
    world.make("transact", "S");
    let half = with_stock().half("transact", "S");

    for made in &half.records {
        let table = world.catalogue.table(&made.table).unwrap().name().to_owned();
        for column in state {
            assert_eq!(world.column_of(&table, &made.row, column), "absent", "{table} {column}");
        }
    }
}

#[test]
fn a_half_is_made_once_also_after_it_was_deleted() {
    let mut world = with_stock();
    let half = world.make("transact", "S");
    assert_eq!(world.due("transact", "S"), Due::Exists(id(&half)));

    world.delete("transact", &half);

    assert_eq!(world.due("transact", "S"), Due::Exists(id(&half)));
}

#[test]
fn a_half_that_another_program_made_is_found_by_either_link() {
    let theirs = r#"{"store_ID":"B","name_ID":"NA","type":"si","linked_transaction_id":"S"}"#;
    let mut back = with_stock();
    back.put("transact", "H", theirs);
    assert_eq!(back.due("transact", "S"), Due::Exists(id("H")));

    let mut forth = with_stock();
    forth.put("transact", "H", r#"{"store_ID":"B","name_ID":"NA","type":"si"}"#);
    forth.patch("transact", "S", r#"{"linked_transaction_id":"H"}"#);
    assert_eq!(forth.due("transact", "S"), Due::Exists(id("H")));
    forth.delete("transact", "H");
    assert_eq!(forth.due("transact", "S"), Due::Exists(id("H")), "also when it was deleted");

    let mut request = with_request();
    request.put("requisition", "H", r#"{"store_ID":"B","type":"response","linked_requisition_id":"Q"}"#);
    assert_eq!(request.due("requisition", "Q"), Due::Exists(id("H")));

    let mut order = with_order();
    order.put("transact", "H", r#"{"store_ID":"B","type":"ci","original_PO_ID":"O"}"#);
    assert_eq!(order.due("purchase_order", "O"), Due::Exists(id("H")));
}

#[test]
fn an_invoice_that_was_copied_with_its_link_gets_a_half_of_its_own() {
    let mut world = with_stock();
    let half = world.make("transact", "S");
    world.patch("transact", "S", &format!(r#"{{"linked_transaction_id":"{half}"}}"#));
    let copy =
        format!(r#"{{"store_ID":"A","name_ID":"NB","type":"ci","status":"fn","linked_transaction_id":"{half}"}}"#);
    world.put("transact", "COPY", &copy);

    let second = world.make("transact", "COPY");

    assert_ne!(second, half);
    world.held.insert("A");
    assert_eq!(world.pay("transact", &second), ["link"]);
    assert_eq!(world.column("transact", "COPY", "linked_transaction_id"), format!("{second:?}"));
    assert!(world.owed("transact", &half).is_empty(), "the first pair stays");
}

#[test]
fn a_central_that_was_set_back_makes_the_same_half_again() {
    let mut world = with_stock();
    let half = world.half("transact", "S");
    world.patch("transact", "S", &format!(r#"{{"linked_transaction_id":"{}"}}"#, half.id));

    assert_eq!(world.due("transact", "S"), Due::Make(half));
}

#[test]
fn placeholders_of_an_invoice_that_was_finalised_straight_away_stay_behind() {
    let half = with_stock().half("transact", "S");

    assert_eq!(half.records.len(), 3, "a header, a line of stock and one of a service");
}

#[test]
fn a_half_is_addressed_through_the_name_that_stays() {
    let mut world = with_stock();
    world.put("outpost_name_merge", "NA", r#"{"into_ID":"NA2"}"#);
    world.put("outpost_name_merge", "NB0", r#"{"into_ID":"NB"}"#);
    world.patch("transact", "S", r#"{"name_ID":"NB0"}"#);
    world.put("name", "NA2", r#"{"type":"store","margin":100}"#);

    let half = world.make("transact", "S");

    assert_eq!(world.column("transact", &half, "name_ID"), r#""NA2""#);
    assert_eq!(world.column("transact", &half, "store_ID"), r#""B""#);
}

#[test]
fn a_return_is_not_numbered_from_the_sequence_of_invoices() {
    let mut world = with_stock();
    world.patch("transact", "S", r#"{"type":"sc"}"#);
    let half = world.make("transact", "S");
    world.put("number", "N", r#"{"name":"supplier_invoice_number_for_store_B","value":400}"#);
    world.held.insert("B");

    world.pay("transact", &half);

    assert_eq!(world.column("transact", &half, "invoice_num"), "1");
    assert_eq!(world.column("number", "N", "value"), "400");
}

#[test]
fn a_long_comment_is_quoted_up_to_a_length() {
    let mut world = with_stock();
    let (long, table) = ("é".repeat(5000), world.catalogue.table_by_name("transact").unwrap().clone());
    world.patch("transact", "S", &format!(r#"{{"comment":"{long}"}}"#));

    let half = world.half("transact", "S");

    let Some(Value::Text(comment)) = half.records[0].row.value(&table.column_ref("comment")) else { panic!() };
    assert_eq!(comment.chars().count(), "Stock transfer ()".len() + 1000);
}

proptest! {
    #[test]
    fn whatever_lines_hold_each_but_a_placeholder_goes_over_once_and_can_be_written(
        lines in proptest::collection::vec(("stock_out|service|placeholder|PLACEHOLDER|", any_value(), any_value(), any_value()), 0..6),
        is_packed_to_one in any::<bool>(),
    ) {
        let mut world = with_stock();
        for line in ["L1", "L2", "L3"] {
            world.delete("trans_line", line);
        }
        let preferences = format!(r#"{{"default_item_packsize_to_one":{is_packed_to_one}}}"#);
        world.put("pref", "PF", &format!(r#"{{"store_ID":"B","item":"store_preferences","data":{preferences}}}"#));
        world.put("item_store_join", "J", r#"{"item_ID":"I","store_ID":"B","default_price":7}"#);
        for (index, (kind, one, two, three)) in lines.iter().enumerate() {
            let data = format!(
                r#"{{"transaction_ID":"S","item_ID":"I","type":"{kind}","pack_size":{one},"quantity":{two},"sell_price":{three},"note":{one}}}"#
            );
            world.put("trans_line", &format!("P{index}"), &data);
        }

        let half = world.half("transact", "S");

        let carried = lines.iter().filter(|(kind, ..)| !kind.eq_ignore_ascii_case("placeholder")).count();
        prop_assert_eq!(half.records.len(), 1 + carried);
        prop_assert_eq!(&world.half("transact", "S"), &half);
        for made in &half.records {
            let table = world.catalogue.table(&made.table).unwrap();
            let text = crate::json::row_to_json(table, &made.id, &made.row);
            prop_assert_eq!(&world.row(table.name(), made.id.as_str(), &text), &made.row);
        }
    }
}

/// What a column may hold, as JSON.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,11})(\\.[0-9]{1,9})?(e[0-9]{1,3})?",
        "\"[a-z0-9]{0,4}\"",
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("[1]".to_owned()),
    ]
}

#[test]
fn numbers_of_real_data_that_are_texts_or_rubbish_do_no_harm() {
    let mut world = with_stock();
    for rubbish in [r#""7""#, r#""x""#, "1e400", "null", "[1]", "true", "-3"] {
        world.patch(
            "trans_line",
            "L1",
            &format!(r#"{{"pack_size":{rubbish},"quantity":{rubbish},"sell_price":{rubbish}}}"#),
        );
        world.put(
            "pref",
            "PF",
            r#"{"store_ID":"B","item":"store_preferences","data":"{\"default_item_packsize_to_one\":true}"}"#,
        );

        let half = world.half("transact", "S");

        for made in &half.records {
            let table = World::new().catalogue.table(&made.table).unwrap().clone();
            let text = crate::json::row_to_json(&table, &made.id, &made.row);
            assert_eq!(world.row(table.name(), made.id.as_str(), &text), made.row, "{rubbish}");
        }
    }
}
