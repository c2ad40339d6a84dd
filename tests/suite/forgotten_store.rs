//! A store that was given to a site after the backup from which central was restored: nothing of it is lost, and nobody has to do
//! anything unless central gave it to somebody else since (invariant 8, rule 5.12).

use serde_json::{Value, json};

use crate::central_set_back::{backup, keep_no_tail, large, restore, stock};
use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::{success, wait_until};
use crate::sync::{central_by_tls, same_records};

const STORE: &str = "late";

fn store_record() -> String {
    json!({"table": "store", "op": "upsert", "id": STORE, "data": {"code": STORE}}).to_string() + "\n"
}

/// A site that was given a store after the backup, and wrote into it. `before_sync` may change the agent's settings.
fn given_afterwards(set: impl Fn(&Agent, &Central)) -> (Central, Agent, Agent, std::path::PathBuf) {
    let (mut central, _) = central_by_tls(5, &["north", "south"]);
    let (north, south) = (Agent::initialised(&central, "north"), Agent::initialised(&central, "south"));
    north.settle();
    south.settle();
    let kept = backup(&mut central);
    set(&north, &central);
    south.set_url(&central.url());
    central.import(&store_record());
    success(&central.run(&["store", "add", STORE, "--site", "north"], ""));
    north.settle();
    for number in 0..3 {
        north.record(&stock(STORE, &format!("L{number}"), number));
    }
    north.settle();
    (central, north, south, kept)
}

/// Syncs until one ends well, however often central or the agent has something to say first.
fn heal(north: &Agent) {
    for _ in 0..6 {
        if north.run(&["sync", "--json"], "").status.success() {
            return;
        }
    }
    north.settle();
}

fn holder(central: &Central) -> Value {
    let stores = central.json(&["store", "list"])["stores"].clone();
    let store = stores.as_array().unwrap().iter().find(|store| store["id"] == STORE).cloned();
    store.map_or(Value::Null, |store| store["site"].clone())
}

#[test]
fn a_store_that_central_forgot_stays_with_its_site_which_records_on_and_loses_nothing() {
    let (mut central, north, _south, kept) = given_afterwards(|agent, central| agent.set_url(&central.url()));
    restore(&mut central, &kept);
    north.set_url(&central.url());
    assert!(!central.records("store").contains_key(STORE));

    // Nobody at the site need know.
    north.record(&stock(STORE, "L3", 3));
    heal(&north);
    north.record(&stock(STORE, "L4", 4));
    for _ in 0..3 {
        heal(&north);
    }

    let mut there = central.records("item_line");
    there.retain(|_, record| record["store_ID"] == STORE);
    assert_eq!(there.keys().collect::<Vec<_>>(), ["L0", "L1", "L2", "L3", "L4"]);
    let status = north.json(&["status"]);
    assert_eq!(status["forgotten_stores"], json!([]));
    assert_eq!((&status["pending"]["edits"], &status["set_aside"]), (&json!(0), &json!(0)));
    // The store's record only central may write: its operator adopts it.
    assert_eq!(status["handed_back_refused"], 1);
    central.import(&success(&central.run(&["set-aside", "list", "north", "--edits"], "")));
    assert_eq!(holder(&central), 2);
    north.settle();
    north.settle();
    same_records(&central, &north, &["store", "item", "unit"]);
    assert!(!central.json(&["site", "show", "north"])["healed"].is_null());
}

#[test]
fn it_stays_too_if_the_journal_has_let_go_of_what_was_written_into_it() {
    let (mut central, north, _south, kept) = given_afterwards(keep_no_tail);
    (0..8).for_each(|number| drop(north.record(&large(STORE, &format!("large-{number}")))));
    north.settle();
    north.settle();
    restore(&mut central, &kept);
    keep_no_tail(&north, &central);
    north.record(&stock(STORE, "L3", 3));

    for _ in 0..4 {
        heal(&north);
    }

    let mut there = central.records("item_line");
    there.retain(|_, record| record["store_ID"] == STORE);
    let mut here = north.records("item_line");
    here.retain(|_, record| record["store_ID"] == STORE);
    assert_eq!(here, there);
    assert_eq!(there.len(), 12);
    assert_eq!(north.json(&["status"])["set_aside"], 0);
}

#[test]
fn a_store_that_went_to_another_site_since_is_kept_and_shown_until_central_gives_it_back() {
    let (mut central, north, south, kept) = given_afterwards(|agent, central| agent.set_url(&central.url()));
    restore(&mut central, &kept);
    north.set_url(&central.url());
    south.set_url(&central.url());
    central.import(&store_record());
    success(&central.run(&["store", "add", STORE, "--site", "south"], ""));
    south.settle();
    south.record(&stock(STORE, "S0", 9));
    south.settle();

    for _ in 0..4 {
        heal(&north);
    }

    // What is here stays and is shown; nothing more is recorded, and nothing of it floods anybody's list of refused edits.
    assert_eq!(north.json(&["get", "item_line", "L2"])["data"]["quantity"], 2);
    let status = north.json(&["status"]);
    assert_eq!(status["forgotten_stores"], json!([{"store": STORE, "ownership": 1, "may_be_written": false}]));
    assert_eq!(status["set_aside"], 0);
    let text = success(&north.run(&["status"], ""));
    assert!(text.contains("\nstore !"), "{text}");
    let refused = north.fails(&["record", "item_line", "L9", &json!({"ID": "L9", "store_ID": STORE}).to_string()], "");
    assert_eq!(refused.1, "not_store_holder");
    let text = success(&central.run(&["status"], ""));
    assert!(text.contains("CLAIM: site 2 held store late under number 1"), "{text}");
    assert_eq!(central.json(&["status"])["claims"].as_array().unwrap().len(), 1);
    assert_eq!(central.records("item_line").keys().filter(|id| id.starts_with('L')).count(), 0);
    // The other store of the site, and the other site, go on as ever.
    south.record(&stock(STORE, "S1", 1));
    assert_eq!(south.settle()["outcome"], "drained");

    // The site that still has something of it gets it once it is central's, and nobody else does.
    success(&central.run(&["store", "remove", STORE], ""));
    wait_until("it is central's", || {
        south.run(&["sync"], "");
        holder(&central) == 1
    });
    let held_before = central.run(&["store", "add", STORE, "--site", "south"], "");
    assert_eq!(held_before.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&held_before.stderr).contains("[store_held_before]"), "{held_before:?}");
    success(&central.run(&["store", "add", STORE, "--site", "north"], ""));
    wait_until("central has what north kept", || {
        heal(&north);
        central.records("item_line").keys().eq(["L0", "L1", "L2", "S0", "S1"])
    });
    assert_eq!(central.json(&["status"])["claims"], json!([]));
    assert_eq!(north.json(&["status"])["forgotten_stores"], json!([]));
    north.record(&stock(STORE, "L3", 3));
    north.settle();
    same_records(&central, &north, &["item_line"]);
}
