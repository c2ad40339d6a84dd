//! An order to another store, from its confirmation to the received quantities: between two sites, and with the primary of a mirrored
//! system as a third.

use serde_json::json;

use crate::patients::edit;
use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::{success, wait_until};
use crate::transfers::{Expected, GOODS, ORDER, Seen, Shops, finalised, orders, stages, stores};

/// An order of A to B for five packs of ten, as it is confirmed.
fn order(id: &str) -> String {
    let header = json!({"store_ID": "A", "name_ID": "name-B", "status": "nw", "serial_number": 5});
    let line = json!({"store_ID": "A", "purchase_order_ID": id, "item_ID": "I", "line_number": 1,
                      "packsize_ordered": 10, "quan_original_order": 50, "quan_adjusted_order": 50});
    edit("purchase_order", "put", id, &header)
        + &edit("purchase_order_line", "put", &format!("{id}-1"), &line)
        + &edit("purchase_order", "patch", id, &json!({"status": "cn"}))
}

/// The invoice with which B answers an order, once it is at a site and has its number.
fn invoice_of(south: &Agent, order: &str) -> Option<String> {
    let is_ready = |data: &serde_json::Value| data["original_PO_ID"] == order && data["invoice_num"] != -1;
    south.records("transact").into_iter().find(|(_, data)| is_ready(data)).map(|(id, _)| id)
}

/// The people of B supply what was ordered, in two lines, as soon as they see it.
fn supply(south: &Agent, order: &str) {
    let Some(invoice) = invoice_of(south, order) else { return };
    let supplied = format!("{invoice}-2");
    if south.records("trans_line").contains_key(&supplied) {
        return;
    }
    let line = |number: u32| {
        let data = json!({"transaction_ID": invoice, "item_ID": "I", "type": "stock_out", "quantity": number, "pack_size": 10});
        edit("trans_line", "put", &format!("{invoice}-{number}"), &data)
    };
    south.record(&(line(1) + &line(2) + &finalised("transact", &invoice)));
}

/// The people of A count what came, once it is there: of one line only half, and they are done.
fn receive(north: &Agent, order: &str) {
    let is_ready = |data: &serde_json::Value| {
        data["purchase_order_ID"] == order && data["serial_number"] != -1 && data["status"] != "fn"
    };
    let Some((goods, _)) = north.records("Goods_received").into_iter().find(|(_, data)| is_ready(data)) else { return };
    let lines = north.records("Goods_received_line");
    let of_two =
        |data: &serde_json::Value| data["goods_received_ID"] == goods.as_str() && data["quantity_received"] == 2;
    let (line, _) = lines.iter().find(|(_, data)| of_two(data)).unwrap();
    let half = edit("Goods_received_line", "patch", line, &json!({"quantity_received": 1}));
    north.record(&(half + &finalised("Goods_received", &goods)));
}

/// That everybody has the order's transfers whole, and 20 of the item as received.
fn check(sides: &[Seen], order: &str, invoice: &str, number: u64) {
    for side in sides {
        let half = side.check(&Expected { kind: &ORDER, source: order, receiver: "B", number, lines: 3 });
        assert_eq!(half, invoice);
        side.check(&Expected { kind: &GOODS, source: invoice, receiver: "A", number, lines: 2 });
        let line = side.record("purchase_order_line", &format!("{order}-1"));
        assert_eq!(line["quan_rec_to_date"], 20, "{}: {line}", side.by);
    }
}

#[test]
fn an_order_is_supplied_and_received_in_every_order_of_syncs() {
    let shops = Shops::new();
    let mut done = Vec::new();
    for word in orders(4) {
        let id = format!("order-{word}");
        shops.north.record(&order(&id));
        for letter in word.chars().chain("ABABA".chars()) {
            shops.sync(letter.encode_utf8(&mut [0; 4]));
            if letter == 'A' {
                receive(&shops.north, &id);
            } else {
                supply(&shops.south, &id);
            }
        }
        // What was counted at the end goes to the others.
        shops.sync("AB");
        let invoice = invoice_of(&shops.south, &id).unwrap();
        done.push((id, invoice));
    }

    let seen = shops.seen();
    for (number, (order, invoice)) in (1..).zip(&done) {
        check(&seen, order, invoice, number);
    }
    let stages = stages(&shops.central);
    assert_eq!(stages.len(), 2 * done.len());
    assert!(stages.iter().all(|[_, _, stage]| stage == "done"), "{stages:?}");
}

#[test]
fn the_primary_orders_for_a_store_of_another_site_and_counts_what_that_receives() {
    let central = Central::with_data(&stores(&[("A", "store"), ("B", "store")]));
    for (site, holds) in [("north", &["A"][..]), ("south", &["B"]), ("office", &[])] {
        central.add_site(site, holds);
    }
    success(&central.run(&["visibility", "add", "name-B", "--store", "A"], ""));
    let [north, south, office] = ["north", "south", "office"].map(|name| Agent::initialised(&central, name));
    success(&central.run(&["mirror", "enable", "--primary", "office"], ""));
    wait_until("the office is the primary", || {
        office.settle();
        central.json(&["mirror", "show"])["phase"] == "at the primary"
    });
    success(&central.run(&["preference", "set", "centralised-procurement", "on"], ""));
    wait_until("orders are where they are to be", || {
        !central.run(&["preference", "list"], "").stdout.windows(7).any(|part| part == b"not yet")
    });
    for agent in [&office, &north, &south] {
        agent.settle();
    }

    office.record(&order("order"));
    for agent in [&office, &south] {
        agent.settle();
    }
    supply(&south, "order");
    for agent in [&south, &north] {
        agent.settle();
    }
    receive(&north, "order");
    for agent in [&north, &office, &south, &north] {
        agent.settle();
    }

    let invoice = invoice_of(&south, "order").unwrap();
    let seen = [
        Seen::by("central", |table| central.records(table)),
        Seen::by("north", |table| north.records(table)),
        Seen::by("south", |table| south.records(table)),
    ];
    check(&seen, "order", &invoice, 1);
    let office = Seen::by("office", |table| office.records(table));
    assert_eq!(office.record("purchase_order_line", "order-1")["quan_rec_to_date"], 20);
    let listed = stages(&central);
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|[_, _, stage]| stage == "done"), "{listed:?}");
}
