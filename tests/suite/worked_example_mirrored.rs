//! The worked example of seed 001 in its mirrored form: the sync server is central alone, and a remote site, the primary, writes central
//! data. "All stores must exist" there; what a store is on the other sites does not change. `cargo xtask example` shows it.

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::success;
use crate::worked_example::{EXAMPLE, STORES, line, roles_on, set_up, stock, stores_in};

const SITES: [&str; 4] = ["central", "site1", "site2", "primary"];

fn settle(agents: &[&Agent]) {
    for _ in 0..2 {
        for agent in agents {
            assert_eq!(agent.settle()["outcome"], "drained");
        }
    }
}

/// The example with a fourth site, to which central data has gone.
fn mirrored() -> (Central, [Agent; 2], Agent) {
    let mut central = Central::with_data("");
    let agents = set_up(&mut central);
    central.add_site("primary", &[]);
    let primary = Agent::initialised(&central, "primary");
    let text = success(&central.run(&["mirror", "enable", "--primary", "primary"], ""));
    assert!(text.contains("nobody writes it until that site has read everything"), "{text}");
    assert_eq!(central.json(&["mirror", "show"])["phase"], "filling");
    settle(&[&primary, &agents[0], &agents[1]]);
    (central, agents, primary)
}

fn item(id: &str, code: &str) -> String {
    line("item", id, &json!({"item_name": code, "code": code}))
}

/// That central does not write central data, and says who does.
fn refuses_import(central: &Central, text: &str) {
    let refused = central.run(&["import", "-"], text);
    let said = String::from_utf8_lossy(&refused.stdout).into_owned() + &String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(5), "{said}");
    assert!(said.contains("central_data") && said.contains("which the primary writes alone: site 4"), "{said}");
}

#[test]
fn every_site_holds_what_the_worked_example_says_and_the_primary_something_of_every_store() {
    let (central, agents, primary) = mirrored();
    assert_eq!(central.json(&["mirror", "show"])["phase"], "at the primary");
    assert_eq!(primary.json(&["status"])["writes_central_data"], true);
    assert!(
        success(&central.run(&["status"], "")).contains("site 4 primary is the primary: it alone writes central data")
    );

    println!("\nmirrored\nstore   sync server  remote site 1  remote site 2  primary");
    for (store, expected) in EXAMPLE {
        let found = roles_on(&central, store, &SITES);
        println!("{store:<7} {:<12} {:<14} {:<14} {}", found[0], found[1], found[2], found[3]);
        assert_eq!(found[..3], expected.map(str::to_owned), "store {store}");
        assert_eq!(found[3], "transfer", "store {store}");
    }

    // Central data: on the primary alone. Stores: made on central in both modes. Store data: where the store is active.
    refuses_import(&central, &item("I", "central"));
    for agent in &agents {
        let refused = agent.fails(&["record", "--file", "-"], &item("I", "site"));
        assert_eq!(refused, (5, "central_data".to_owned()));
    }
    primary.record(&item("I", "primary"));
    primary.record(&line("item_store_join", "items-of-B", &json!({"store_ID": "B", "item_ID": "I"})));
    let refused = primary.fails(&["record", "--file", "-"], &line("store", "A", &json!({"code": "mine"})));
    assert_eq!(refused, (5, "central_data".to_owned()));
    let refused = primary.fails(&["record", "--file", "-"], &stock("B", "primary"));
    assert_eq!(refused, (5, "not_store_holder".to_owned()));
    success(&central.run(&["import", "-"], &line("store", "G", &json!({"code": "G"}))));
    agents[0].record(&stock("B", "site1"));
    settle(&[&primary, &agents[0], &agents[1], &primary]);

    let itself = |id: &str, _: &serde_json::Value| id.to_owned();
    let own = |_: &str, data: &serde_json::Value| data["store_ID"].as_str().unwrap().to_owned();
    assert_eq!(stores_in(&primary.records("store"), itself), "ABCDEFG", "all stores exist on the primary");
    assert_eq!(stores_in(&primary.records("item_store_join"), own), STORES.concat());
    assert_eq!(stores_in(&primary.records("item_line"), own), "", "and none of their data");
    for agent in [&agents[0], &agents[1], &primary] {
        assert_eq!(agent.json(&["get", "item", "I"])["data"]["code"], "primary");
    }
    // Item visibility goes where the store is: B is active at site 1 and a transfer store at site 2.
    for agent in &agents {
        assert!(agent.records("item_store_join").contains_key("items-of-B"));
    }
    assert_eq!(central.records("item")["I"]["code"], "primary");
}

#[test]
fn the_authority_comes_back_with_what_the_primary_recorded_before_it_heard_of_that() {
    let (central, agents, primary) = mirrored();
    primary.record(&item("I", "before"));

    let text = success(&central.run(&["mirror", "disable"], ""));

    assert!(text.contains("once that site has heard of it"), "{text}");
    // The primary may be away for weeks.
    refuses_import(&central, &item("J", "central"));
    settle(&[&agents[0], &agents[1]]);
    primary.record(&item("K", "not heard yet"));
    settle(&[&primary]);
    assert_eq!(central.json(&["mirror", "show"])["phase"], "at central");
    assert_eq!(primary.json(&["status"])["writes_central_data"], false);
    assert_eq!(primary.fails(&["record", "--file", "-"], &item("L", "late")), (5, "central_data".to_owned()));
    success(&central.run(&["import", "-"], &item("J", "central")));
    settle(&[&primary, &agents[0], &agents[1]]);
    for agent in [&agents[0], &agents[1], &primary] {
        let items = agent.records("item");
        let code = |id: &str| items[id]["code"].as_str().unwrap().to_owned();
        assert_eq!(["I", "J", "K"].map(code), ["before", "central", "not heard yet"]);
    }
    // It is a site like any other: without stores it sees none.
    assert!(primary.records("store").is_empty() && primary.records("item_store_join").is_empty());

    // At once: what the primary has not sent is set aside there.
    success(&central.run(&["mirror", "enable", "--primary", "primary"], ""));
    settle(&[&primary]);
    primary.record(&item("M", "not sent"));
    success(&central.run(&["mirror", "disable", "--at-once"], ""));
    success(&central.run(&["import", "-"], &item("N", "central")));
    // Something was refused, says the exit code.
    assert_eq!(primary.run(&["sync"], "").status.code(), Some(3));
    success(&primary.run(&["sync"], ""));
    assert_eq!(primary.json(&["set-aside", "list"])["refused"][0]["code"], "central_data");
    assert!(!primary.records("item").contains_key("M") && primary.records("item").contains_key("N"));
}
