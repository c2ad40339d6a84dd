//! The worked example of seed 001: stores A to F on a sync server and two remote sites, each active, collector, transfer or none where that
//! document says. After edits in each store where it is active, and attempts where it is not, every site holds exactly what its table
//! says. `cargo xtask example` shows it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::success;

pub(crate) const STORES: [&str; 6] = ["A", "B", "C", "D", "E", "F"];
/// Sites: the sync server, remote site 1, remote site 2.
const SITES: [&str; 3] = ["central", "site1", "site2"];

/// The table of seed 001, row by row: store, then what it is on each site.
pub(crate) const EXAMPLE: [(&str, [&str; 3]); 6] = [
    ("A", ["active", "collector", "none"]),
    ("B", ["collector", "active", "transfer"]),
    ("C", ["collector", "transfer", "active"]),
    ("D", ["collector", "none", "active"]),
    ("E", ["active", "none", "none"]),
    ("F", ["transfer", "active", "none"]),
];

pub(crate) fn line(table: &str, id: &str, data: &Value) -> String {
    json!({"table": table, "op": "upsert", "id": id, "data": data}).to_string() + "\n"
}

pub(crate) fn stock(store: &str, by: &str) -> String {
    let id = format!("stock-{store}-{by}");
    line("item_line", &id, &json!({"ID": id, "store_ID": store, "quantity": 1}))
}

/// The stores with their names, items and preferences that hang on each, and who sees whom.
pub(crate) fn set_up(central: &mut Central) -> [Agent; 2] {
    let lines: String = STORES
        .iter()
        .map(|store| {
            line("name", &format!("name-{store}"), &json!({"name": format!("Store {store}"), "type": "store"}))
                + &line("store", store, &json!({"code": store, "name_ID": format!("name-{store}")}))
                + &line("item_store_join", &format!("items-{store}"), &json!({"store_ID": store, "item_ID": "I"}))
        })
        .collect();
    central.import(&lines);
    central.add_site("site1", &["B", "F"]);
    central.add_site("site2", &["C", "D"]);
    let agents = ["site1", "site2"].map(|name| Agent::initialised(central, name));
    // B and C deal with each other, and so each sees the other; A is to be reported on at site 1, so a store there has to see it.
    success(&central.run(&["visibility", "add", "name-B", "--store", "C"], ""));
    let refused = central.run(&["store", "set-role", "A", "--site", "site1", "collector"], "");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no store that is active there sees it"), "{refused:?}");
    success(&central.run(&["visibility", "add", "name-A", "--store", "B"], ""));
    success(&central.run(&["store", "set-role", "A", "--site", "site1", "collector"], ""));
    let told = success(&central.run(&["store", "set-role", "F", "--site", "central", "transfer"], ""));
    assert!(told.contains("central has no backup"), "{told}");
    agents
}

/// What a store is on each site, as central says it.
fn roles(central: &Central, store: &str) -> [String; 3] {
    roles_on(central, store, &SITES)
}

/// The same on other sites.
pub(crate) fn roles_on<const COUNT: usize>(central: &Central, store: &str, sites: &[&str; COUNT]) -> [String; COUNT] {
    let roles = central.json(&["store", "show", store])["roles"].clone();
    let role = |site: &str| {
        let found = roles.as_array().unwrap().iter().find(|role| role["name"] == site);
        found.map_or("none".to_owned(), |role| role["role"].as_str().unwrap().to_owned())
    };
    sites.map(role)
}

fn settle(agents: &[Agent; 2]) {
    for _ in 0..2 {
        for agent in agents {
            assert_eq!(agent.settle()["outcome"], "drained");
        }
    }
}

/// Which stores' records of a table a site has.
pub(crate) fn stores_in(records: &BTreeMap<String, Value>, store_of: impl Fn(&str, &Value) -> String) -> String {
    let mut stores: Vec<String> = records.iter().map(|(id, data)| store_of(id, data)).collect();
    stores.sort_unstable();
    stores.dedup();
    stores.join("")
}

#[test]
fn every_site_holds_exactly_what_the_worked_example_says() {
    let mut central = Central::with_data("");
    let agents = set_up(&mut central);
    settle(&agents);

    println!("\nstore   sync server  remote site 1  remote site 2");
    for (store, expected) in EXAMPLE {
        let found = roles(&central, store);
        println!("{store:<7} {:<12} {:<14} {}", found[0], found[1], found[2]);
        assert_eq!(found, expected.map(str::to_owned), "store {store}");
    }

    // Each site tries to edit in each store; where it is active that works, and nowhere else.
    for (store, role) in EXAMPLE {
        let by_central = central.run(&["import", "-"], &stock(store, "central"));
        assert_eq!(by_central.status.success(), role[0] == "active", "central in store {store}: {by_central:?}");
        for (agent, (name, role)) in agents.iter().zip(SITES.iter().zip(role).skip(1)) {
            let text = stock(store, name);
            if role == "active" {
                agent.record(&text);
            } else {
                assert_eq!(agent.fails(&["record", "--file", "-"], &text), (5, "not_store_holder".to_owned()));
            }
        }
    }
    settle(&agents);

    // What is where: all data where the store is active or a collector, its own record and what hangs on it also where it is transfer.
    let own = |_: &str, data: &Value| data["store_ID"].as_str().unwrap().to_owned();
    let itself = |id: &str, _: &Value| id.to_owned();
    println!("\nsite           all data of  store records  items of");
    for (site, name) in SITES.iter().enumerate() {
        let records = |table: &str| match site {
            0 => central.records(table),
            site => agents[site - 1].records(table),
        };
        let found = [
            stores_in(&records("item_line"), own),
            stores_in(&records("store"), itself),
            stores_in(&records("item_store_join"), own),
        ];
        println!("{name:<14} {:<12} {:<14} {}", found[0], found[1], found[2]);
        let with = |roles: &[&str]| -> String {
            EXAMPLE.iter().filter(|(_, role)| roles.contains(&role[site])).map(|(store, _)| *store).collect()
        };
        let whole = with(&["active", "collector"]);
        let known = with(&["active", "collector", "transfer"]);
        assert_eq!(found, [whole, known.clone(), known], "{name}");
    }
    // A device says the same of itself, and does not let anybody look into a transfer store as if it were empty.
    let status = agents[0].json(&["status"]);
    let here = json!([{"store": "A", "role": "collector"}, {"store": "C", "role": "transfer"}]);
    assert_eq!(status["stores_here"], here);
    assert_eq!(agents[0].fails(&["list", "item_line", "--store", "C"], ""), (5, "store_is_transfer".to_owned()));
    // What store F has with stores of other sites is on central, and nothing else of it.
    let transfer = |id: &str, name: &str| line("transact", id, &json!({"store_ID": "F", "name_ID": name}));
    agents[0].record(&(transfer("to-C", "name-C") + &transfer("to-B", "name-B")));
    settle(&agents);
    assert_eq!(central.records("transact").keys().collect::<Vec<_>>(), ["to-C"]);
    assert_eq!(agents[0].records("transact").len(), 2);
    // What is there of it is found by the store.
    assert_eq!(agents[0].json(&["list", "store", "--store", "C"])["records"][0]["id"], "C");
    assert_eq!(central.json(&["records", "store", "--store", "C"])["records"].as_array().unwrap().len(), 1);
    // Central makes the other direction itself, and takes it back with the one that it answers.
    success(&central.run(&["visibility", "remove", "name-B", "--store", "C"], ""));
    settle(&agents);
    assert_eq!(roles(&central, "B"), ["collector", "active", "none"]);
    assert_eq!(roles(&central, "C"), ["collector", "none", "active"]);
    assert_eq!(stores_in(&agents[0].records("store"), itself), "ABF");
    assert_eq!(stores_in(&agents[1].records("store"), itself), "CD");
}
