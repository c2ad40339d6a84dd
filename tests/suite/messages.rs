//! Messages between two sites: sent on one, set to processed on the other, and known to both and to central.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::success;
use crate::sync::{central_with_sites, same_records};

fn message(id: &str, sender: Option<&str>, receiver: Option<&str>) -> String {
    let data = json!({
        "ID": id, "toStoreID": receiver, "fromStoreID": sender, "type": "RequestFieldChange", "status": "new",
        "body": {"field": "name", "value": "Clinic"}, "createdDate": "2026-02-01", "createdTime": "10:00:00",
    });
    json!({"table": "message", "op": "upsert", "id": id, "data": data}).to_string() + "\n"
}

fn processed(id: &str) -> String {
    json!({"table": "message", "op": "patch", "id": id, "data": {"status": "processed"}}).to_string() + "\n"
}

fn status(agent: &Agent, id: &str) -> Value {
    agent.json(&["get", "message", id])["data"]["status"].clone()
}

#[test]
fn a_message_goes_from_site_to_site_and_comes_back_as_processed() {
    let (central, data) = central_with_sites(5, &["north", "south", "west"]);
    let [north, south, west] = ["north", "south", "west"].map(|name| Agent::initialised(&central, name));
    let (from, to) = (data.stores[0].as_str(), data.stores[1].as_str());

    north.record(&message("M", Some(from), Some(to)));
    assert_eq!(north.settle()["stored"], 0, "the sender needs no copy of its own message");
    let explained = success(&central.run(&["explain", "message", "M"], ""));
    for line in [
        format!("from           store {from}, held by site 2 north under number 1\n"),
        format!("to             store {to}, held by site 3 south under number 1, who alone may set it to processed"),
        format!(
            "the site that holds store {to} receives it, and its collectors; not known to have read it, as of their last requests: 1 of 1: 3 south"
        ),
    ] {
        assert!(explained.contains(&line), "{line:?} is not in {explained}");
    }
    south.settle();
    west.settle();
    assert_eq!(status(&south, "M"), "new");
    assert!(west.records("message").is_empty(), "it is not of a store there");

    let (exit, code) = north.fails(&["record", "--file", "-"], &processed("M"));
    assert_eq!((exit, code.as_str()), (5, "not_receiver"));
    south.record(&processed("M"));
    south.settle();
    north.settle();

    assert_eq!(status(&north, "M"), "processed");
    for agent in [&north, &south] {
        same_records(&central, agent, &["message"]);
    }
    north.wipe();
    north.enrol(&central, "north");
    north.ok(&["initialise"]);
    same_records(&central, &north, &["message"]);
    let message = central.json(&["explain", "message", "M"])["message"].clone();
    assert_eq!((&message["is_processed"], &message["to"]["holder"]["name"]), (&json!(true), &json!("south")));
}

#[test]
fn a_message_that_may_not_be_sent_is_refused_at_once_or_set_aside_with_its_reason() {
    let (central, data) = central_with_sites(5, &["north", "south"]);
    let (north, south) = (Agent::initialised(&central, "north"), Agent::initialised(&central, "south"));
    let (own, other) = (data.stores[0].as_str(), data.stores[1].as_str());

    for (sender, expected) in [(None, "sender_blank"), (Some(other), "not_store_holder")] {
        let (exit, code) = north.fails(&["record", "--file", "-"], &message("M", sender, Some(other)));
        assert_eq!((exit, code.as_str()), (5, expected));
    }
    // Whether the receiver is there only central can say, and whether the id is taken too.
    south.record(&message("taken", Some(other), None));
    south.settle();
    north.record(&message("taken", Some(own), Some(other)));
    north.record(&message("lost", Some(own), Some("no-such-store")));
    let output = north.run(&["sync", "--json"], "");
    assert_eq!(output.status.code(), Some(3), "{output:?}");

    let list = north.json(&["set-aside", "list"]);
    let codes: Vec<&Value> = list["refused"].as_array().unwrap().iter().map(|refused| &refused["code"]).collect();
    assert_eq!(codes, ["owner_change", "receiver_unknown"]);
    assert!(north.records("message").is_empty(), "the device shows what central has for it: nothing");
    same_records(&central, &south, &["message"]);
    let from_central = message("C", None, Some(own));
    central.import(&from_central);
    north.settle();
    assert_eq!(status(&north, "C"), "new");
}
