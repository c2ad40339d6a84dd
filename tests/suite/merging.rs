//! Two records that central makes one: each site hears of it, and nothing that names the old one is rewritten.

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::link::{Link, Mood};
use crate::support::success;
use crate::sync::{central_with_sites, same_records};

#[test]
fn a_site_sees_a_merge_after_a_sync_and_its_edits_of_the_old_item_stay() {
    let (central, data) = central_with_sites(5, &["north", "south"]);
    let (old, new, last) = (data.items[0].as_str(), data.items[1].as_str(), data.items[2].as_str());
    let [mut north, south] = ["north", "south"].map(|name| Agent::initialised(&central, name));
    let stock = |id: &str| {
        let data = json!({ "ID": id, "store_ID": data.stores[0], "item_ID": old, "quantity": 3 });
        json!({ "table": "item_line", "op": "upsert", "id": id, "data": data }).to_string() + "\n"
    };
    let link = Link::to(central.address(), Mood::Down);
    north.set_url(&link.url());
    north.record(&stock("L"));

    let told = success(&central.run(&["merge", "item", old, new], ""));
    assert_eq!(told, format!("item {old} is merged into {new}\n"));
    let position = central.json(&["explain", "item", old])["merged"]["steps"][0]["position"].clone();
    let explained = success(&central.run(&["explain", "item", old], ""));
    assert!(explained.contains(&format!("merged         into {new} at position {position}\n")), "{explained}");
    assert_eq!(north.records("item").len(), 5, "offline it cannot know");

    link.set(Mood::Good);
    for agent in [&north, &south] {
        agent.settle();
        let shown = agent.json(&["get", "item", old]);
        assert_eq!((&shown["merged_into"], &shown["data"]["ID"]), (&json!(new), &json!(old)));
        assert!(agent.json(&["get", "item", new])["merged_into"].is_null());
        assert_eq!(agent.records("item").len(), 4);
        assert_eq!(agent.json(&["list", "item", "--merged"])["records"].as_array().unwrap().len(), 5);
        same_records(&central, agent, &["item", "outpost_item_merge"]);
    }
    north.record(&stock("M"));
    north.start();
    north.settle();
    for line in ["L", "M"] {
        assert_eq!(north.json(&["get", "item_line", line])["data"]["item_ID"], *old);
        assert_eq!(central.records("item_line")[line]["item_ID"], *old);
    }
    let shown = north.ok(&["get", "item", old]);
    assert!(shown.starts_with(&format!("item {old}: as central has it, merged into {new}\n")), "{shown}");

    // A second merge joins what the records are by then, and one the other way round changes nothing.
    let told = success(&central.run(&["merge", "item", old, last], ""));
    assert_eq!(told, format!("item {old} was merged into {new} before\nitem {new} is merged into {last}\n"));
    let told = success(&central.run(&["merge", "item", last, old], ""));
    assert_eq!(told, format!("both are item {last} already; nothing was done\n"));
    south.settle();
    assert_eq!(south.json(&["get", "item", old])["merged_into"], *last);
    let one = central.json(&["records", "item", "--id", old]);
    assert_eq!(one["records"][0]["merged_into"], *last);
    assert_eq!(central.json(&["records", "item", "--merged"])["records"].as_array().unwrap().len(), 5);
}

#[test]
fn a_merge_that_cannot_be_is_refused_with_what_to_do() {
    let (central, data) = central_with_sites(2, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let item = data.items[0].as_str();

    let output = central.run(&["merge", "item", item, "nowhere"], "");
    assert_eq!(output.status.code(), Some(5));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("there is no record nowhere in item at central") && told.contains("merge_record_missing"),
        "{told}"
    );
    let output = central.run(&["merge", "transact", "a", "b"], "");
    assert!(String::from_utf8(output.stderr).unwrap().contains("those of Location, clinician, item, name, unit are"));

    let forged =
        json!({ "table": "outpost_item_merge", "op": "put", "id": item, "data": { "into_ID": data.items[1] } });
    let (exit, code) = agent.fails(&["record", "--file", "-"], &(forged.to_string() + "\n"));
    assert_eq!((exit, code.as_str()), (5, "central_data"));
}

#[test]
fn a_site_merges_two_locations_of_its_store_offline() {
    let (central, data) = central_with_sites(5, &["north", "south"]);
    let store = data.stores[0].as_str();
    let [north, south] = ["north", "south"].map(|name| Agent::initialised(&central, name));
    let location =
        |id: &str| json!({"table": "Location", "op": "put", "id": id, "data": {"store_ID": store}}).to_string() + "\n";
    let merge = |store: &str| {
        let data = json!({"into_ID": "L2", "store_ID": store});
        json!({"table": "outpost_location_merge", "op": "put", "id": "L1", "data": data}).to_string() + "\n"
    };
    north.record(&(location("L1") + &location("L2")));
    let (exit, code) = south.fails(&["record", "--file", "-"], &merge(&data.stores[1]));
    assert_eq!((exit, code.as_str()), (5, "merge_record_missing"));

    north.record(&merge(store));
    assert_eq!(north.json(&["get", "Location", "L1"])["merged_into"], "L2", "before central has heard of it");
    assert_eq!(north.json(&["list", "Location"])["records"].as_array().unwrap().len(), 1);
    for agent in [&north, &south] {
        agent.settle();
    }
    same_records(&central, &north, &["Location", "outpost_location_merge"]);
    assert!(south.records("outpost_location_merge").is_empty());
    let explained = success(&central.run(&["explain", "Location", "L1"], ""));
    assert!(explained.contains("merged         into L2 at position "), "{explained}");
}
