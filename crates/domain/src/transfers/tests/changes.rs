//! What is proposed when the initiating half changes after the other exists.

use super::halves::{with_order, with_request, with_stock};
use super::world::{World, id};
use crate::transfers::changes::{Change, Consequences, Proposal};
use crate::transfers::half::Due;
use crate::transfers::ids::line_id;

/// What follows, in words: `put`, `delete` or the columns of a patch, and `stands`.
fn words(world: &World, found: &Consequences) -> Vec<String> {
    let said = |proposal: &Proposal| {
        let table = world.catalogue.table(&proposal.table).unwrap();
        match &proposal.change {
            Change::Put(_) => format!("put {}", table.name()),
            Change::Delete { .. } => format!("delete {}", table.name()),
            Change::Patch { expected, new } => {
                let columns = new.columns().iter().map(|(column, _)| {
                    let name = table.name_of(column).into_owned();
                    let [was, is] = [expected, new].map(|row| world.column_of(table.name(), row, &name));
                    format!("{name} {was} -> {is}")
                });
                columns.collect::<Vec<_>>().join(", ")
            }
        }
    };
    let stand = found.stand.iter().map(|key| format!("{} stands", key.kind));
    found.proposals.iter().map(said).chain(stand).collect()
}

fn edit(world: &mut World, table: &str, record: &str, data: &str) -> Vec<String> {
    let (before, after) = world.patch(table, record, data);
    let found = world.consequences(table, record, Some(&before), Some(&after));
    assert_eq!(found.awaited, None);
    words(world, &found)
}

fn delete(world: &mut World, table: &str, record: &str) -> Vec<String> {
    let before = world.delete(table, record);
    let found = world.consequences(table, record, Some(&before), None);
    words(world, &found)
}

#[test]
fn an_edit_of_what_went_over_is_proposed_while_the_half_is_untouched() {
    let mut world = with_stock();
    let half = world.make("transact", "S");

    let comment = r#"comment "Stock transfer (cold)" -> "Stock transfer (warm)""#;
    assert_eq!(edit(&mut world, "transact", "S", r#"{"comment":"warm"}"#), [comment]);
    assert!(edit(&mut world, "transact", "S", r#"{"user_ID":"V","linked_transaction_id":"H"}"#).is_empty());

    world.patch("transact", &half, r#"{"comment":"mine"}"#);
    assert!(edit(&mut world, "transact", "S", r#"{"comment":"cool"}"#).is_empty(), "the owner has a word of its own");

    world.patch("transact", &half, r#"{"hold":false}"#);
    assert_eq!(edit(&mut world, "transact", "S", r#"{"tax_rate":9}"#), ["stock stands"]);
}

#[test]
fn lines_that_come_change_or_go_are_proposed() {
    let mut world = with_stock();
    let half = world.make("transact", "S");

    let changed = edit(&mut world, "trans_line", "L1", r#"{"quantity":4}"#);
    world.put("trans_line", "L9", r#"{"transaction_ID":"S","item_ID":"I","type":"stock_out","quantity":1}"#);
    let row = world.get("trans_line", "L9");
    let added = world.consequences("trans_line", "L9", None, row.as_ref());

    assert_eq!(changed, ["quantity 3 -> 4, sentQuantity 3 -> 4"]);
    assert_eq!(words(&world, &added), ["put trans_line"]);
    assert_eq!(added.proposals[0].id, line_id(&id(&half), &id("L9")));
    assert_eq!(delete(&mut world, "trans_line", "L3"), ["delete trans_line"]);
    assert!(delete(&mut world, "trans_line", "L2").is_empty(), "a placeholder had not gone over");
    let gone = line_id(&id(&half), &id("L1")).to_string();
    world.delete("trans_line", &gone);
    assert!(edit(&mut world, "trans_line", "L1", r#"{"quantity":5}"#).is_empty(), "the owner has deleted its line");
}

#[test]
fn a_line_that_went_with_its_source_line_comes_back_with_it_and_one_that_its_owner_deleted_does_not() {
    for is_the_owners in [false, true] {
        let mut world = with_stock();
        let half = world.make("transact", "S");
        let line = line_id(&id(&half), &id("L1")).to_string();
        let source = world.delete("trans_line", "L1");
        let gone = world.consequences("trans_line", "L1", Some(&source), None);
        assert_eq!(words(&world, &gone), ["delete trans_line"]);
        world.delete("trans_line", &line);
        if !is_the_owners {
            world.gone_with_source.insert(line.clone());
        }

        world.put("trans_line", "L1", r#"{"transaction_ID":"S","item_ID":"I","type":"stock_out","quantity":1}"#);
        let row = world.get("trans_line", "L1");
        let again = world.consequences("trans_line", "L1", None, row.as_ref());

        let put = ["put trans_line"];
        assert_eq!(words(&world, &again), if is_the_owners { &put[..0] } else { &put[..] });
    }
}

#[test]
fn a_half_that_nobody_has_touched_goes_with_the_one_that_it_answers() {
    for data in [r#"{"status":"cn"}"#, r#"{"om_status":"CANCELLED"}"#] {
        let mut world = with_stock();
        world.make("transact", "S");
        let all = ["delete trans_line", "delete trans_line", "delete transact"];
        assert_eq!(edit(&mut world, "transact", "S", data), all, "{data}");
    }
    let mut world = with_stock();
    world.make("transact", "S");
    assert_eq!(delete(&mut world, "transact", "S").len(), 3);
}

#[test]
fn an_invoice_for_another_store_leaves_the_first_and_comes_to_the_second() {
    let mut world = with_stock();
    let half = world.make("transact", "S");

    let proposed = edit(&mut world, "transact", "S", r#"{"name_ID":"NC"}"#);
    let Due::Make(second) = world.due("transact", "S") else { panic!("no half for store C") };

    assert_eq!(proposed.last().map(String::as_str), Some("delete transact"));
    assert_eq!(second.key.receiver, id("C"));
    assert_ne!(second.id, id(&half));

    world.held.insert("A");
    world.pay("transact", &half);
    let second = world.make("transact", "S");
    world.pay("transact", &second);
    assert_eq!(world.column("transact", "S", "linked_transaction_id"), format!("{second:?}"));
    assert!(world.owed("transact", &half).is_empty(), "the first is none of this invoice's any more");
}

#[test]
fn what_somebody_works_on_stands() {
    let mut stock = with_stock();
    let half = stock.make("transact", "S");
    stock.patch("transact", &half, r#"{"status":"cn"}"#);
    assert_eq!(delete(&mut stock, "transact", "S"), ["stock stands"]);

    let mut supplied = with_request();
    let half = supplied.make("requisition", "Q");
    supplied.put("transact", "CI", &format!(r#"{{"store_ID":"B","type":"ci","requisition_ID":"{half}"}}"#));
    assert_eq!(delete(&mut supplied, "requisition", "Q"), ["requisition stands"]);

    let mut allocated = with_order();
    let half = allocated.make("purchase_order", "O");
    allocated.put("trans_line", "X", &format!(r#"{{"transaction_ID":"{half}","type":"stock_out"}}"#));
    assert_eq!(edit(&mut allocated, "purchase_order_line", "L1", r#"{"quan_adjusted_order":100}"#), ["order stands"]);
}

#[test]
fn an_order_or_request_that_changes_proposes_the_same_of_its_half() {
    let mut order = with_order();
    order.make("purchase_order", "O");
    let changed = edit(&mut order, "purchase_order_line", "L1", r#"{"quan_adjusted_order":100}"#);
    assert_eq!(changed, ["quantity 20 -> 5"]);
    assert!(edit(&mut order, "purchase_order_line", "L1", r#"{"quan_rec_to_date":100}"#).is_empty());

    let mut request = with_request();
    request.make("requisition", "Q");
    let changed = edit(&mut request, "requisition_line", "L1", r#"{"Cust_stock_order":50}"#);
    assert_eq!(changed, ["Cust_stock_order 40 -> 50"]);
    assert!(edit(&mut request, "requisition_line", "L1", r#"{"approved_quantity":50}"#).is_empty());
    assert!(edit(&mut request, "requisition", "Q", r#"{"om_status":"FINALISED"}"#).is_empty());
}

#[test]
fn before_there_is_a_half_nothing_follows() {
    let mut world = with_stock();

    assert!(edit(&mut world, "transact", "S", r#"{"comment":"x"}"#).is_empty());
    assert!(edit(&mut world, "trans_line", "L1", r#"{"quantity":4}"#).is_empty());
    assert!(delete(&mut world, "transact", "S").is_empty());
}
