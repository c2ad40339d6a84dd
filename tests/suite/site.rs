//! The life of a site, as its people and those at central see it.

use serde_json::json;

use crate::central_set_back::stock;
use crate::patients::edit;
use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::{success, wait_until};

/// A store with a name of its own.
fn store(id: &str) -> String {
    let name = format!("n{id}");
    edit("name", "upsert", &name, &json!({"name": format!("Store {id}"), "type": "store"}))
        + &edit("store", "upsert", id, &json!({"code": id, "name_ID": name, "store_mode": "store"}))
}

fn clinic() -> (Central, Agent) {
    let central = Central::with_data(&(store("A") + &store("B") + &store("C")));
    central.add_site("clinic", &["A"]);
    central.add_site("hospital", &["B"]);
    let agent = Agent::initialised(&central, "clinic");
    agent.settle();
    (central, agent)
}

#[test]
fn a_site_shows_itself_its_stores_and_whom_they_exchange_transfers_with() {
    let (central, agent) = clinic();
    success(&central.run(&["visibility", "add", "nB", "--store", "A"], ""));
    success(&central.run(&["site", "edit", "clinic", "--code", "C-7"], ""));
    agent.settle();

    let site = agent.json(&["site"]);

    let facts = [&site["id"], &site["name"], &site["code"], &site["type"]];
    assert_eq!(facts, [&json!(2), &json!("clinic"), &json!("C-7"), &json!("standalone")]);
    assert_eq!(site["central_key"], central.json(&["identity"])["central_key"]);
    assert!(site["binding"]["since_ms"].is_u64() && site["binding"]["strength"].is_string(), "{site}");
    let stores = site["stores"].as_array().unwrap();
    let shown: Vec<_> = stores.iter().map(|store| (store["id"].as_str(), store["role"].as_str())).collect();
    assert_eq!(shown, [(Some("A"), Some("active")), (Some("B"), Some("transfer"))], "{site}");
    let partner = json!({"id": "B", "code": "B", "name": "Store B", "role": "elsewhere"});
    assert_eq!((&stores[0]["partners"], &stores[0]["name"]), (&json!([partner]), &json!("Store A")));
    let text = agent.ok(&["site"]);
    assert!(text.contains("  A Store A (A) is active\n    exchanges transfers with B Store B (B)\n"), "{text}");
    // The code stays with the device that lost its local copy, and goes where central's people empty it.
    success(&central.run(&["store", "set-role", "B", "--site", "clinic", "collector"], ""));
    success(&central.run(&["site", "edit", "clinic", "--code", ""], ""));
    agent.settle();
    let site = agent.json(&["site"]);
    assert_eq!((&site["code"], &site["stores"][1]["role"]), (&json!(null), &json!("collector")));
    // Without a connection everything is known still.
    agent.set_url("http://127.0.0.1:1");
    assert_eq!(agent.json(&["site"])["stores"], site["stores"]);
}

#[test]
fn a_paused_and_a_disabled_site_record_on_and_say_that_nothing_is_wrong() {
    let (central, agent) = clinic();
    success(&central.run(&["site", "pause", "clinic", "--minutes", "90"], ""));
    agent.record(&stock("A", "paused", 1));

    let output = agent.run(&["sync"], "");

    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(8), "{told}");
    assert!(told.contains("\ncentral has paused site 2 until ") && told.contains("Nothing is wrong here."), "{told}");
    let status = agent.ok(&["status"]);
    assert!(status.contains("\nsync rests") && status.contains("central has paused site 2"), "{status}");
    let check = agent.run(&["check"], "");
    let check = (check.status.code(), String::from_utf8(check.stdout).unwrap());
    assert!(check.0 == Some(0) && check.1.contains("does not sync for now"), "{check:?}");
    success(&central.run(&["site", "disable", "clinic"], ""));
    agent.record(&stock("A", "disabled", 2));
    assert_eq!(agent.fails(&["sync"], ""), (5, "site_disabled".to_owned()));
    assert!(!central.records("item_line").contains_key("paused"));

    success(&central.run(&["site", "enable", "clinic"], ""));
    agent.settle();

    let there = central.records("item_line");
    assert!(there.contains_key("paused") && there.contains_key("disabled"), "{there:?}");
    assert!(!agent.ok(&["status"]).contains("sync rests"));
}

#[test]
fn the_device_of_a_deleted_site_keeps_what_it_has_and_saves_it() {
    let (central, agent) = clinic();
    agent.record(&stock("A", "sent", 1));
    agent.settle();
    success(&central.run(&["store", "remove", "A", "--at-once"], ""));
    // Nobody has told the device: what it records is in its journal alone.
    agent.record(&stock("A", "unsent", 2));

    let told = success(&central.run(&["site", "delete", "clinic"], ""));

    assert!(told.contains("is deleted"), "{told}");
    assert_eq!(agent.fails(&["sync"], ""), (5, "site_deleted".to_owned()));
    assert!(agent.ok(&["status"]).contains("was deleted at central"));
    assert_eq!(agent.json(&["queue"])["edits"].as_array().unwrap().len(), 1);
    assert_eq!(agent.json(&["site"])["id"], 2);
    let out = agent.data().with_file_name("saved");
    agent.ok(&["salvage", "--out", out.to_str().unwrap()]);
    let saved = std::fs::read_to_string(out.join("entries.ndjson")).unwrap();
    assert!(saved.contains("unsent"), "{saved}");
    assert!(central.records("item_line").contains_key("sent"));
    assert!(!central.records("item_line").contains_key("unsent"));
    // Its name is another site's now, and the old device is not that one.
    central.add_site("clinic", &["A"]);
    let other = Agent::initialised(&central, "clinic");
    assert!(other.records("item_line").contains_key("sent"));
    assert_eq!(other.json(&["site"])["id"], 4);
}

#[test]
fn a_tablet_enrols_for_a_site_with_one_store_and_for_no_larger_one() {
    let (central, _agent) = clinic();
    central.add_site("large", &["C"]);
    success(&central.run(&["store", "add", "B", "--site", "large", "--at-once"], ""));
    let tablet = Agent::new(&central.url());
    tablet.set_central(&central.url(), "[site]\ndevice_kind = \"mobile\"\n");
    let password = tablet.file("password", &crate::support::central::password("large"));
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let enrol = ["enrol", "--name", "large", "--password-file", password.to_str().unwrap()];

    assert_eq!(tablet.fails(&enrol, ""), (5, "site_type_differs".to_owned()));

    success(&central.run(&["store", "remove", "B", "--at-once"], ""));
    wait_until("the tablet enrols", || tablet.run(&enrol, "").status.success());
    let shown = central.json(&["site", "show", "large"]);
    assert_eq!([&shown["type"], &shown["intended_type"]], [&json!("mobile"), &json!("standalone")]);
}
