//! Transfers while things go wrong or change in between: devices that begin anew, a store that moves, kills, and settings that have a say.

use std::process::Stdio;
use std::time::Instant;

use serde_json::json;

use crate::moves::{moves, sync_until, told};
use crate::patients::edit;
use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::link::{Link, Mood};
use crate::support::middle::{Middle, Mood as MiddleMood};
use crate::support::{success, wait_until};
use crate::transfers::{
    Expected, REQUISITION, STOCK, Seen, Shops, orders, request, sent, stage, stages, stores, supply,
};

/// Kills of a syncing device, each a little later than the one before.
const KILLS: u32 = 24;

fn stock(source: &str, number: u64) -> Expected<'_> {
    Expected { kind: &STOCK, source, receiver: "B", number, lines: 2 }
}

#[test]
fn either_site_reads_everything_anew_before_or_after_any_sync_and_nothing_is_made_or_numbered_twice() {
    let shops = Shops::new();
    let mut sources = Vec::new();
    // The site that begins anew, and before which of three syncs.
    for (anew, at) in [("north", 0), ("north", 1), ("north", 2), ("south", 1), ("south", 2)] {
        let id = format!("{anew}-{at}");
        shops.north.record(&sent("ci", &id, "A", "B"));
        for (number, letter) in "ABAB".chars().enumerate() {
            if number == at {
                let agent = if anew == "north" { &shops.north } else { &shops.south };
                agent.ok(&["initialise"]);
            }
            shops.sync(letter.encode_utf8(&mut [0; 4]));
        }
        sources.push(id);
    }
    let expected: Vec<_> = (1..).zip(&sources).map(|(number, source)| stock(source, number)).collect();
    shops.check(&expected);
    for agent in [&shops.north, &shops.south] {
        agent.ok(&["initialise"]);
    }
    shops.sync("AB");
    shops.check(&expected);
}

#[test]
fn the_receiving_store_moves_between_the_two_halves_and_its_new_site_gives_the_number() {
    let mut shops = Shops::new();
    shops.central.add_site("east", &[]);
    let east = Agent::initialised(&shops.central, "east");
    shops.north.record(&sent("ci", "before", "A", "B"));
    shops.sync("ABA");
    shops.north.record(&sent("ci", "between", "A", "B"));
    shops.sync("A");

    told(&shops.central, &["store", "add", "B", "--site", "east"]);
    sync_until("it is at east", &[&shops.south, &east], || moves(&shops.central).is_empty());
    east.settle();
    shops.south = east;
    shops.north.record(&sent("ci", "after", "A", "B"));
    shops.sync("ABA");

    // What the old site numbered on its way out counts for the new one.
    let mut numbers: Vec<_> = ["before", "between", "after"].map(|source| stock(source, 0)).into();
    for (number, expected) in (1..).zip(&mut numbers) {
        expected.number = number;
    }
    shops.check(&numbers);
}

#[test]
fn the_sending_store_moves_between_the_two_halves_and_its_new_site_has_both() {
    let mut shops = Shops::new();
    shops.central.add_site("east", &[]);
    let east = Agent::initialised(&shops.central, "east");
    shops.north.record(&sent("ci", "between", "A", "B"));
    told(&shops.central, &["store", "add", "A", "--site", "east"]);
    sync_until("it is at east", &[&shops.north, &east], || moves(&shops.central).is_empty());
    shops.sync("B");
    east.settle();

    shops.north = east;
    shops.check(&[stock("between", 1)]);
}

#[test]
fn a_store_that_is_taken_at_once_while_its_half_waits_gives_one_number_behind_a_gap() {
    let mut shops = Shops::new();
    shops.central.add_site("east", &[]);
    let east = Agent::initialised(&shops.central, "east");
    let link = Link::to(shops.central.address(), Mood::Good);
    shops.south.set_url(&link.url());
    shops.north.record(&sent("ci", "source", "A", "B"));
    shops.sync("A");
    link.set(Mood::Down);

    told(&shops.central, &["store", "add", "B", "--site", "east", "--at-once"]);
    sync_until("it is at east", &[&east], || moves(&shops.central).is_empty());
    east.settle();
    shops.north.settle();

    shops.south = east;
    shops.check(&[stock("source", 1001)]);
}

#[test]
fn central_is_killed_behind_the_push_and_the_device_that_got_no_answer_sends_again_without_a_second_half() {
    let mut central = Central::by_tls(&stores(&[("A", "store"), ("B", "store")]));
    central.add_site("north", &["A"]);
    central.add_site("south", &["B"]);
    success(&central.run(&["visibility", "add", "name-B", "--store", "A"], ""));
    let [north, south] = ["north", "south"].map(|name| Agent::initialised(&central, name));
    let middle = Middle::before(central.address());
    for agent in [&north, &south] {
        agent.set_url(&middle.url());
        agent.settle();
    }
    let kill = |central: &mut Central, agent: &Agent| {
        middle.set(MiddleMood::LoseReplies);
        assert!(!agent.run(&["sync"], "").status.success());
        central.kill();
        central.start();
        middle.lead_to(central.address());
        middle.set(MiddleMood::Pass);
    };

    north.record(&sent("ci", "source", "A", "B"));
    kill(&mut central, &north);
    assert_eq!(stage(&central, "source"), "number", "the push had arrived, and the half was made");
    north.settle();
    // The answers too.
    kill(&mut central, &south);
    south.settle();
    kill(&mut central, &north);
    north.settle();

    let shops = Shops { central, north, south };
    shops.check(&[stock("source", 1)]);
}

#[test]
fn a_site_that_is_killed_at_any_moment_of_the_sync_that_brings_a_half_numbers_it_once() {
    let shops = Shops::new();
    let mut sources = vec!["first".to_owned()];
    shops.north.record(&sent("ci", "first", "A", "B"));
    shops.sync("A");
    let began = Instant::now();
    shops.sync("B");
    let whole = began.elapsed();
    let mut unanswered = 0;
    // From about when the page comes to behind the answer.
    for step in 0..KILLS {
        let id = format!("killed-at-{step}");
        shops.north.record(&sent("ci", &id, "A", "B"));
        shops.sync("A");
        let mut child = shops.south.command(&["sync"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + whole * (KILLS + 2 * step) / (3 * KILLS);
        while Instant::now() < until {
            std::thread::yield_now();
        }
        let _ = child.kill();
        child.wait().unwrap();
        unanswered += shops.south.records("transact").values().filter(|data| data["invoice_num"] == -1).count();
        sources.push(id);
        // Every other time the next half comes before this one is looked at again.
        if sources.len() % 2 == 0 {
            shops.sync("BA");
        }
    }
    shops.sync("BA");
    println!("{unanswered} halves were seen behind a kill without their number");

    let numbers = {
        let [central, ..] = shops.seen();
        let of = |source: &String| {
            let (_, half) = central.halves(&STOCK, source, "B")[0];
            half["invoice_num"].as_u64().unwrap()
        };
        sources.iter().map(of).collect::<Vec<_>>()
    };
    let expected: Vec<_> = sources.iter().zip(&numbers).map(|(source, number)| stock(source, *number)).collect();
    shops.check(&expected);
    let mut sorted = numbers;
    sorted.sort_unstable();
    assert_eq!(sorted, (1..=sources.len() as u64).collect::<Vec<_>>(), "each number once, and no gap");
}

#[test]
fn a_dispensary_that_keeps_its_transactions_still_sends_what_goes_to_other_stores() {
    let shops = Shops::with("dispensary");
    success(&shops.central.run(&["preference", "set", "include-transactions", "off", "--store", "A"], ""));
    shops.sync("A");
    shops.north.record(&edit(
        "transact",
        "put",
        "to-a-ward",
        &json!({"store_ID": "A", "name_ID": "name-of-a-ward", "type": "ci", "status": "fn", "invoice_num": 1}),
    ));
    shops.north.record(&sent("ci", "source", "A", "B"));
    shops.south.record(&sent("ci", "back", "B", "A"));
    shops.sync("ABAB");

    let back = Expected { receiver: "A", ..stock("back", 1) };
    shops.check(&[stock("source", 1), back]);
    let kept = shops.central.records("transact").contains_key("to-a-ward");
    assert!(!kept && shops.north.records("transact").contains_key("to-a-ward"));
}

#[test]
fn two_stores_of_one_site_deal_with_each_other_offline_and_central_hears_of_both_halves() {
    let central = Central::with_data(&stores(&[("A", "store"), ("B", "store")]));
    central.add_site("north", &["A", "B"]);
    success(&central.run(&["visibility", "add", "name-B", "--store", "A"], ""));
    let north = Agent::initialised(&central, "north");
    north.settle();
    let link = Link::to(central.address(), Mood::Down);
    north.set_url(&link.url());
    let expected = stock("source", 1);

    north.record(&sent("ci", "source", "A", "B"));
    let here = Seen::by("north", |table| north.records(table)).check(&expected);
    link.set(Mood::Good);
    north.settle();
    north.settle();

    assert_eq!(Seen::by("north", |table| north.records(table)).check(&expected), here);
    assert_eq!(Seen::by("central", |table| central.records(table)).check(&expected), here);
    assert_eq!(stages(&central), [["stock", "source", "done"].map(str::to_owned)]);
}

#[test]
fn a_site_that_makes_its_own_halves_makes_the_only_one_in_every_order_of_syncs() {
    let shops = Shops::new();
    success(&shops.central.run(&["site", "edit", "south", "--makes-own-halves", "on"], ""));
    let mut number = 0;
    let mut made = Vec::new();
    for order in orders(3) {
        let id = format!("source-{order}");
        shops.north.record(&sent("ci", &id, "A", "B"));
        for letter in order.chars().chain("ABAB".chars()) {
            shops.sync(letter.encode_utf8(&mut [0; 4]));
            // What the program of that site does as soon as it sees the invoice.
            let half = format!("own-{id}");
            let here = shops.south.records("transact");
            if letter == 'B' && here.contains_key(&id) && !here.contains_key(&half) {
                number += 1;
                let header = json!({"store_ID": "B", "name_ID": "name-A", "type": "si", "status": "nw", "hold": true,
                                    "linked_transaction_id": id, "invoice_num": number});
                let line = |of: u32| {
                    let data = json!({"transaction_ID": half, "item_ID": "I", "type": "stock_in", "quantity": of});
                    edit("trans_line", "put", &format!("{half}-{of}"), &data)
                };
                shops.south.record(&(edit("transact", "put", &half, &header) + &line(1) + &line(2)));
            }
        }
        made.push(id);
    }
    // The last half goes to north, and its link to south.
    shops.sync("AB");

    for side in shops.seen() {
        for (number, source) in (1..).zip(&made) {
            let halves = side.halves(&STOCK, source, "B");
            let [(half, data)] = halves[..] else { panic!("{}: {halves:?}", side.by) };
            assert_eq!((half, &data["invoice_num"]), (format!("own-{source}").as_str(), &json!(number)), "{}", side.by);
            assert_eq!(side.record("transact", source)["linked_transaction_id"], half, "{}", side.by);
        }
    }
    let stages = stages(&shops.central);
    assert!(stages.iter().all(|[_, _, stage]| stage == "done"), "{stages:?}");
}

#[test]
fn a_request_is_answered_while_both_sites_begin_anew_and_central_is_started_again() {
    let mut shops = Shops::new();
    shops.north.record(&request("request"));
    for letter in "ABABAB".chars() {
        shops.central.kill();
        shops.central.start();
        for agent in [&shops.north, &shops.south] {
            agent.set_url(&shops.central.url());
            agent.ok(&["initialise"]);
        }
        shops.sync(letter.encode_utf8(&mut [0; 4]));
        if letter == 'B' {
            supply(&shops, "request");
        }
    }
    wait_until("the invoice has its half everywhere", || {
        shops.sync("AB");
        stage(&shops.central, "for-request") == "done"
    });
    shops.sync("AB");

    shops.check(&[
        Expected { kind: &REQUISITION, source: "request", receiver: "B", number: 1, lines: 2 },
        Expected { kind: &STOCK, source: "for-request", receiver: "A", number: 1, lines: 2 },
    ]);
    for side in shops.seen() {
        assert_eq!(side.record("requisition", "request")["om_status"], "FINALISED");
    }
}
