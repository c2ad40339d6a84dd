//! The main job: an edit made offline reaches central, and central's change comes back.

use serde_json::{Value, json};
use sql::Sql as _;

use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::corpus::{CentralData, central_data, edits};
use crate::support::link::{Link, Mood};
use crate::support::success;

/// Tables that a store's edits touch.
pub const STORE_TABLES: [&str; 3] = ["item_line", "transact", "trans_line"];

/// A central with some data and one site for each of the first stores.
pub fn central_with_sites(items: usize, names: &[&str]) -> (Central, CentralData) {
    let data = central_data(items, 4);
    let central = Central::with_data(&data.lines);
    add_sites(&central, &data, names);
    (central, data)
}

/// The same by TLS.
pub fn central_by_tls(items: usize, names: &[&str]) -> (Central, CentralData) {
    let data = central_data(items, 4);
    let central = Central::by_tls(&data.lines);
    add_sites(&central, &data, names);
    (central, data)
}

fn add_sites(central: &Central, data: &CentralData, names: &[&str]) {
    for (name, store) in names.iter().zip(&data.stores) {
        central.add_site(name, &[store]);
    }
}

/// That central and the device show the same records of tables that the device is to have whole, and of its own stores.
pub fn same_records(central: &Central, agent: &Agent, tables: &[&str]) {
    for table in tables {
        let (mut there, here) = (central.records(table), agent.records(table));
        if *table == "store" {
            // No store sees another here: a site has the records of its own ones.
            let grants = agent.json(&["status"])["grants"].clone();
            let own: Vec<_> = grants.as_array().unwrap().iter().map(|grant| grant["store"].clone()).collect();
            there.retain(|id, _| own.contains(&json!(id)));
        }
        assert_eq!(there.len(), here.len(), "{table}: central has {}, the device {}", there.len(), here.len());
        for (id, data) in &there {
            assert_eq!(Some(data), here.get(id), "{table} {id}");
        }
    }
}

fn item(id: &str, name: &str) -> String {
    json!({"table": "item", "op": "upsert", "id": id, "data": {"ID": id, "item_name": name, "code": "9"}}).to_string()
        + "\n"
}

#[test]
fn central_data_arrives_at_a_site_completely() {
    let (central, data) = central_with_sites(300, &["north"]);

    let agent = Agent::initialised(&central, "north");

    assert_eq!(agent.records("item").len(), data.items.len());
    same_records(&central, &agent, &["unit", "item", "name", "store"]);
}

#[test]
fn edits_made_offline_reach_central_and_a_wiped_device_gets_them_back() {
    let (central, data) = central_with_sites(50, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let link = Link::to(central.address(), Mood::Down);
    agent.set_url(&link.url());

    let recorded = agent.record(&edits(&data.stores[0], &data.items, &data.names, 2000, 1));
    assert_eq!(recorded["refused_count"], 0);
    let (exit, code) = agent.fails(&["sync"], "");
    assert_eq!((exit, code.as_str()), (4, "connection_cut"), "offline is said to be offline");
    assert_eq!(agent.json(&["status"])["pending"]["edits"], recorded["recorded"]);

    link.set(Mood::Good);
    let synced = agent.settle();
    assert_eq!(synced["outcome"], "drained");
    assert_eq!(synced["sent"], recorded["recorded"]);
    assert_eq!(agent.json(&["status"])["pending"]["edits"], 0);
    same_records(&central, &agent, &STORE_TABLES);

    agent.wipe();
    agent.enrol(&central, "north");
    agent.ok(&["initialise"]);
    same_records(&central, &agent, &STORE_TABLES);
    same_records(&central, &agent, &["item", "store", "name"]);
}

#[test]
fn a_change_at_central_reaches_every_site() {
    let (central, data) = central_with_sites(10, &["north", "south"]);
    let sites = [Agent::initialised(&central, "north"), Agent::initialised(&central, "south")];
    let changed = &data.items[3];

    central.import(&(item("NEW-ITEM", "Artemether 20 mg") + &item(changed, "Renamed")));

    for agent in &sites {
        agent.ok(&["sync"]);
        assert_eq!(agent.json(&["get", "item", "NEW-ITEM"])["data"]["item_name"], "Artemether 20 mg");
        assert_eq!(agent.json(&["get", "item", changed])["data"]["item_name"], "Renamed");
    }
}

#[test]
fn one_store_does_not_see_the_records_of_another() {
    let (central, data) = central_with_sites(10, &["north", "south"]);
    let (north, south) = (Agent::initialised(&central, "north"), Agent::initialised(&central, "south"));

    north.record(&edits(&data.stores[0], &data.items, &data.names, 50, 1));
    north.settle();
    south.ok(&["sync"]);

    assert!(!north.records("item_line").is_empty());
    assert!(south.records("item_line").is_empty());
}

#[test]
fn a_sync_with_nothing_to_do_is_one_request() {
    let (central, data) = central_with_sites(10, &["north"]);
    let agent = Agent::initialised(&central, "north");
    agent.record(&edits(&data.stores[0], &data.items, &data.names, 30, 1));
    agent.settle();

    let quiet = agent.json(&["sync"]);

    assert_eq!((&quiet["requests"], &quiet["sent"], &quiet["stored"]), (&json!(1), &json!(0), &json!(0)));
    assert!(quiet["bytes_out"].as_u64().unwrap() < 600, "{quiet}");
    assert!(quiet["bytes_in"].as_u64().unwrap() < 600, "{quiet}");
}

#[test]
fn own_edits_do_not_come_back_as_rows() {
    let (central, data) = central_with_sites(10, &["north"]);
    let agent = Agent::initialised(&central, "north");

    agent.record(&edits(&data.stores[0], &data.items, &data.names, 200, 1));
    let synced = agent.json(&["sync"]);

    assert_eq!(synced["stored"], 0, "what the site wrote itself is echo");
}

#[test]
fn a_line_waits_for_nothing_on_the_device_and_is_refused_at_once_without_its_header() {
    let (central, data) = central_with_sites(2, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let line = json!({"table": "trans_line", "op": "upsert", "id": "L1", "data": {"ID": "L1", "transaction_ID": "T1", "quantity": 2}});

    let (exit, code) = agent.fails(&["record", "--file", "-"], &line.to_string());
    assert_eq!((exit, code.as_str()), (5, "header_missing"));

    let header = json!({"table": "transact", "op": "upsert", "id": "T1", "data": {"ID": "T1", "store_ID": data.stores[0], "type": "ci", "status": "nw"}});
    let both = format!("{header}\n{line}\n");
    let recorded: Value =
        serde_json::from_str(&success(&agent.run(&["record", "--file", "-", "--group", "--json"], &both))).unwrap();
    assert_eq!(recorded["recorded"], 2);
}

#[test]
fn a_refused_edit_is_set_aside_with_its_reason_and_shown_and_exported() {
    let (central, data) = central_with_sites(5, &["north", "south"]);
    let (north, south) = (Agent::initialised(&central, "north"), Agent::initialised(&central, "south"));
    let stock = |store: &str, quantity: u32| {
        json!({"table": "item_line", "op": "upsert", "id": "S1", "data": {"ID": "S1", "store_ID": store, "quantity": quantity}})
            .to_string()
    };
    // Two sites give the same id to records of two stores: the second to arrive is not its writer's to write.
    north.record(&stock(&data.stores[0], 1));
    north.settle();
    south.record(&stock(&data.stores[1], 2));

    let output = south.run(&["sync", "--json"], "");
    let synced: Value = serde_json::from_slice(&output.stdout).unwrap();

    assert_eq!(output.status.code(), Some(3), "partly done is said to be partly done");
    assert_eq!((&synced["outcome"], &synced["refused"]), (&json!("drained"), &json!(1)), "{synced}");
    let refused = south.json(&["set-aside", "list"]);
    let number = refused["refused"][0]["number"].as_u64().unwrap().to_string();
    assert_eq!(refused["refused"][0]["code"], "not_store_holder");
    assert_eq!(south.json(&["set-aside", "show", &number])["data"]["quantity"], 2);
    assert!(south.ok(&["set-aside", "export", "-"]).contains("\"S1\""));
    assert!(south.records("item_line").is_empty(), "the device shows what central has for it: nothing");
    assert_eq!(central.records("item_line")["S1"]["quantity"], 1);
    assert_eq!(central.json(&["status"])["set_aside"], 1, "central counts it too");
}

#[test]
fn a_file_that_was_recorded_is_not_recorded_twice() {
    let (central, data) = central_with_sites(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let lines = edits(&data.stores[0], &data.items, &data.names, 20, 1);

    let first = agent.record(&lines);
    let second = agent.record(&lines);

    assert!(first["recorded"].as_u64().unwrap() > 0);
    assert_eq!(second["recorded"], 0);
    assert!(second["already"].as_u64().unwrap() > 0);
}

#[test]
fn a_file_that_is_recorded_again_brings_back_no_older_value() {
    let (central, data) = central_with_sites(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let stock = |quantity: u32| {
        let data = json!({"ID": "S1", "store_ID": data.stores[0], "quantity": quantity});
        json!({"table": "item_line", "op": "upsert", "id": "S1", "data": data}).to_string()
    };
    // The second line changes nothing when it comes first; after the third it would.
    let lines = [stock(1), stock(1), stock(2)].join("\n");

    agent.record(&lines);
    let again = agent.record(&lines);

    assert_eq!((&again["recorded"], &again["already"]), (&json!(0), &json!(3)), "{again}");
    assert_eq!(agent.json(&["get", "item_line", "S1"])["data"]["quantity"], 2);
    let only_unchanged = [stock(2), stock(2)].join("\n");
    assert_eq!(agent.record(&only_unchanged)["unchanged"], 2);
    agent.record(&stock(3));
    assert_eq!(agent.record(&only_unchanged)["already"], 2, "what changed nothing at all is remembered too");
    assert_eq!(agent.json(&["get", "item_line", "S1"])["data"]["quantity"], 3);
}

#[test]
fn local_data_never_leaves_the_site() {
    let (central, data) = central_with_sites(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let own = json!({"table": "pref", "op": "upsert", "id": "P1", "data": {"ID": "P1", "item": "window_position", "data": "x", "store_ID": data.stores[0]}});

    agent.record(&own.to_string());
    let synced = agent.json(&["sync"]);

    assert_eq!(synced["sent"], 0);
    assert_eq!(agent.json(&["get", "pref", "P1"])["data"]["data"], "x");
    assert!(central.records("pref").is_empty());
}

#[test]
fn a_damaged_local_copy_is_rebuilt_and_the_site_works_on() {
    let (central, data) = central_with_sites(200, &["north"]);
    let agent = Agent::initialised(&central, "north");
    agent.record(&edits(&data.stores[0], &data.items, &data.names, 300, 1));
    agent.settle();
    agent.record(&edits(&data.stores[0], &data.items, &data.names, 100, 2));
    let unsent = agent.json(&["status"])["pending"]["edits"].as_u64().unwrap();
    let path = agent.data().join("local_copy.sqlite");
    let length = usize::try_from(std::fs::metadata(&path).unwrap().len()).unwrap();
    std::fs::write(&path, vec![0xA5; length]).unwrap();

    let synced = agent.settle();

    assert!(synced["sent"].as_u64().unwrap() >= unsent, "what was not sent lay in the journal: {synced}");
    same_records(&central, &agent, &STORE_TABLES);
    same_records(&central, &agent, &["item", "store", "name"]);
    let stock = json!({"table": "item_line", "op": "upsert", "id": "AFTER", "data": {"ID": "AFTER", "store_ID": data.stores[0]}});
    assert_eq!(agent.record(&stock.to_string())["recorded"], 1);
}

#[test]
fn a_service_that_finds_its_local_copy_damaged_builds_it_anew_with_its_next_sync() {
    let (central, data) = central_with_sites(20, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    agent.start();
    agent.record(&edits(&data.stores[0], &data.items, &data.names, 30, 1));
    agent.settle();
    let store = data.stores[0].as_str();
    let stock =
        json!({"table": "item_line", "op": "upsert", "id": "UNSENT", "data": {"ID": "UNSENT", "store_ID": store}});
    agent.record(&stock.to_string());
    let options = sql::Options::new(outpost::local_copy::APPLICATION_ID, outpost::local_copy::SCHEMA_VERSION);
    let mut copy = sql::SqliteEngine::open(agent.data().join("local_copy.sqlite"), &options).unwrap();
    let damage = "UPDATE record SET data = replace(data, '}', ' }') WHERE id = 'UNSENT'";
    copy.begin(sql::Durability::Full).unwrap();
    assert_eq!(copy.execute(damage, &[]).unwrap(), 1);
    copy.commit().unwrap();
    drop(copy);
    assert_eq!(agent.fails(&["get", "item_line", "UNSENT"], "").1, "local_copy_damaged");

    assert_eq!(agent.settle()["outcome"], "drained");

    assert_eq!(agent.json(&["get", "item_line", "UNSENT"])["data"]["store_ID"], store);
    same_records(&central, &agent, &STORE_TABLES);
    agent.signal("TERM");
    assert_eq!(agent.wait(), 0);
}

#[test]
fn what_dispensaries_need_comes_with_the_first_dispensary_of_a_site_and_goes_with_the_last() {
    let (central, data) = central_with_sites(20, &["north", "south"]);
    let (mut north, south) = (Agent::initialised(&central, "north"), Agent::initialised(&central, "south"));
    let mode = |mode: &str| {
        let id = &data.stores[0];
        let line = json!({"table": "store", "op": "patch", "id": id, "data": {"store_mode": mode}});
        central.import(&(line.to_string() + "\n"));
    };
    let lines: String = (0..2_000)
        .map(|number| {
            let id = format!("D{number:04}");
            let data = json!({"ID": id, "ICD_CODE": format!("A{number}"), "ICD_DESCRIPTION": "a diagnosis"});
            json!({"table": "diagnosis", "op": "upsert", "id": id, "data": data}).to_string() + "\n"
        })
        .collect();
    central.import(&lines);
    mode("store");
    for agent in [&north, &south] {
        agent.settle();
        assert!(agent.records("diagnosis").is_empty(), "no store here serves patients");
    }
    let refused = north.fails(&["record", "diagnosis", "D1", r#"{"ID":"D1"}"#], "");
    assert_eq!(refused.1, "central_data");

    mode("dispensary");
    assert_eq!(north.settle()["stored"], 2_001, "all of them, and the store's own record");
    assert_eq!(north.records("diagnosis"), central.records("diagnosis"));
    south.settle();
    assert!(south.records("diagnosis").is_empty());

    // The same with the daemon, which is killed while they go.
    north.start();
    mode("store");
    let mut sync = north.command(&["sync"]).spawn().unwrap();
    north.kill();
    let _ = sync.wait();
    north.settle();
    assert!(north.records("diagnosis").is_empty());
    assert_eq!(north.records("item"), central.records("item"));
    // Central hears with the next request that what came with the last reply is stored.
    north.settle();
    assert_eq!(central.json(&["status"])["sites"][1]["rows_waiting"], 0);
}

#[test]
fn explain_says_who_may_write_a_record_who_receives_it_and_who_has_not_read_it() {
    let (central, data) = central_with_sites(5, &["north", "south"]);
    let (north, south) = (Agent::initialised(&central, "north"), Agent::initialised(&central, "south"));
    let store = data.stores[0].as_str();
    let stock = json!({"table": "item_line", "op": "put", "id": "L", "data": {"ID": "L", "store_ID": store}});
    north.record(&stock.to_string());
    north.settle();
    let unit = json!({"table": "unit", "op": "put", "id": "U", "data": {"ID": "U", "units": "box"}}).to_string() + "\n";
    central.import(&unit);
    north.settle();
    north.settle();

    let line = central.json(&["explain", "item_line", "L"]);
    assert_eq!((&line["type"], &line["store"], &line["is_here"]), (&json!("store"), &json!(store), &json!(true)));
    assert_eq!(line["holder"], json!({"site": 2, "name": "north", "ownership": 1}));
    assert_eq!((line["lanes"].as_array().unwrap().len(), &line["lanes"][0]["sites"]), (1, &json!(1)));
    assert_eq!(line["lanes"][0]["sites_behind"], 0, "whoever wrote it has it: {line}");

    let unit = central.json(&["explain", "unit", "U"]);
    assert_eq!((&unit["written_by"], &unit["holder"]), (&json!("central"), &json!(null)));
    assert_eq!(unit["lanes"][0]["sites"], 2);
    assert_eq!(unit["lanes"][0]["behind"], json!([{"site": 3, "name": "south"}]));
    let text = success(&central.run(&["explain", "unit", "U"], ""));
    assert!(
        text.contains("every site receives it; not known to have read it, as of their last requests: 1 of 2: 3 south"),
        "{text}"
    );
    assert!(text.contains("received by    site 2 north, site 3 south\n"), "{text}");
    let receivers = &unit["lanes"][0]["receivers"];
    assert_eq!((&receivers[0]["has_read"], &receivers[1]["has_read"]), (&json!(true), &json!(false)), "{unit}");
    south.settle();
    south.settle();
    assert_eq!(central.json(&["explain", "unit", "U"])["lanes"][0]["sites_behind"], 0);

    let shown = success(&central.run(&["explain", "store", store], ""));
    assert!(shown.contains("which site 2 north holds under number 1"), "{shown}");
    north.ok(&["delete", "item_line", "L"]);
    north.settle();
    let text = success(&central.run(&["explain", "item_line", "L"], ""));
    assert!(text.contains("item_line L: deleted at position "), "{text}");
    let local = success(&central.run(&["explain", "adverse_drug_reaction", "R1"], ""));
    assert!(local.contains("goes to        nobody"), "{local}");
    for (table, id) in [("unit", "nobody"), ("nowhere", "U")] {
        assert_eq!(central.run(&["explain", table, id], "").status.code(), Some(5));
    }
}

#[test]
fn explain_says_what_a_store_is_on_which_site_why_and_what_is_still_to_come_there() {
    let (central, data) = central_with_sites(5, &["north", "south"]);
    let (north, south) = (Agent::initialised(&central, "north"), Agent::initialised(&central, "south"));
    let (store, other) = (data.stores[0].as_str(), data.stores[1].as_str());
    // The stores see each other, and south has a copy of north's.
    let name = json!({"table": "name", "op": "put", "id": "N", "data": {"name": "n", "type": "store"}}).to_string();
    let named = json!({"table": "store", "op": "patch", "id": store, "data": {"name_ID": "N"}}).to_string();
    central.import(&format!("{name}\n{named}\n"));
    success(&central.run(&["visibility", "add", "N", "--store", other], ""));
    success(&central.run(&["store", "set-role", store, "--site", "south", "collector"], ""));
    for agent in [&north, &south] {
        agent.settle();
        agent.settle();
    }
    let stock = json!({"table": "item_line", "op": "put", "id": "L", "data": {"ID": "L", "store_ID": store}});
    north.record(&stock.to_string());
    north.settle();

    let explained = central.json(&["explain", store]);

    assert_eq!(explained["holder"], json!({"site": 2, "name": "north", "ownership": 1}));
    let roles: Vec<_> = explained["roles"].as_array().unwrap().iter().collect();
    let found = |index: usize| (roles[index]["role"].as_str().unwrap(), roles[index]["rows_waiting"].as_u64());
    assert_eq!([found(0), found(1), found(2)], [("collector", None), ("active", Some(0)), ("collector", Some(1))]);
    let text = success(&central.run(&["explain", store], ""));
    assert!(text.contains("written by site 2 north alone, under number 1"), "{text}");
    let asked = format!(
        "somebody asked for it (store set-role), and store {other}, which is active here, sees it (visibility)"
    );
    assert!(text.contains("it was given to this site (store add)") && text.contains(&asked), "{text}");
    assert!(text.contains("  1 row  "), "{text}");
    south.settle();
    south.settle();
    assert_eq!(central.json(&["explain", store])["roles"][2]["rows_waiting"], 0);
    let unknown = central.run(&["explain", "nowhere"], "");
    assert_eq!(unknown.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("explain TABLE ID"), "{unknown:?}");
}
