//! Central's key as a device sees it: a new one that an administrator vouches for, and a copy of production that has its own.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::central::{Central, password};
use crate::support::middle::Middle;
use crate::support::success;
use crate::sync::{central_by_tls, same_records};

fn stock(store: &str, id: &str) -> String {
    json!({"table": "item_line", "op": "upsert", "id": id, "data": {"ID": id, "store_ID": store, "quantity": 1}})
        .to_string()
        + "\n"
}

fn trusted(agent: &Agent) -> String {
    std::fs::read_to_string(agent.data().join("identity/identity")).unwrap()
}

/// A central that got a new key, because the old one was lost.
fn renew(central: &mut Central, agent: &Agent) -> Value {
    central.kill();
    success(&central.run(&["key", "new", "--replace"], ""));
    central.start();
    agent.set_url(&central.url());
    central.json(&["identity"])
}

#[test]
fn a_device_trusts_the_new_key_whose_fingerprint_it_was_given_and_goes_on_syncing() {
    let (mut central, data) = central_by_tls(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let store = &data.stores[0];
    agent.record(&stock(store, "A"));
    agent.settle();
    let identity = renew(&mut central, &agent);
    agent.record(&stock(store, "B"));
    assert_eq!(agent.fails(&["sync"], ""), (4, "not_central".to_owned()));

    let digits = identity["fingerprint"].as_str().unwrap().to_uppercase();
    let (first, rest) = digits.split_at(32);
    let pinned = agent.json(&["re-pin", first, rest]);

    assert_eq!(pinned["after"], identity["fingerprint"]);
    assert_eq!(agent.settle()["outcome"], "drained");
    same_records(&central, &agent, &["item_line", "item"]);
    assert_eq!(central.records("item_line").len(), 2);
    let again = agent.json(&["re-pin", identity["fingerprint"].as_str().unwrap()]);
    assert_eq!(again["before"], again["after"]);
}

#[test]
fn enrolling_again_pins_no_other_key_and_binds_nothing_at_a_copy() {
    let (mut central, _) = central_by_tls(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let before = trusted(&agent);
    let file = agent.file("site-password", &password("north"));
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let enrol = ["enrol", "--name", "north", "--password-file", file.to_str().unwrap()];
    central.kill();
    let copy = central.copied_as_copy();
    copy.json(&["site", "reset-hardware", "north"]);
    agent.set_url(&copy.url());

    assert_eq!(agent.fails(&enrol, ""), (5, "central_key_differs".to_owned()));
    assert_eq!(copy.json(&["site", "show", "north"])["device"], Value::Null);

    central.start();
    let identity = renew(&mut central, &agent);
    assert_eq!(agent.fails(&enrol, ""), (5, "central_key_differs".to_owned()));
    assert_eq!(trusted(&agent), before);
    agent.ok(&["re-pin", identity["fingerprint"].as_str().unwrap()]);
    agent.ok(&enrol);
    assert_eq!(agent.settle()["outcome"], "drained");
}

#[test]
fn another_key_than_the_one_vouched_for_is_named_and_changes_nothing() {
    let (mut central, _) = central_by_tls(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let before = trusted(&agent);
    let identity = renew(&mut central, &agent);
    let fingerprint = identity["fingerprint"].as_str().unwrap();
    let other = fingerprint.chars().rev().collect::<String>();

    let output = agent.run(&["re-pin", &other], "");

    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{error}");
    assert!(error.contains("central_key_differs") && error.contains(fingerprint) && error.contains(&other), "{error}");
    for wrong in [&fingerprint[1..], identity["fingerprint_short"].as_str().unwrap()] {
        assert_eq!(agent.run(&["re-pin", wrong], "").status.code(), Some(2));
    }
    central.kill();
    assert_eq!(agent.fails(&["re-pin", fingerprint], ""), (4, "connection_refused".to_owned()));
    assert_eq!(trusted(&agent), before);
}

#[test]
fn a_device_that_is_not_enrolled_has_nothing_to_pin() {
    let (central, _) = central_by_tls(5, &["north"]);
    let agent = Agent::new(&central.url());
    let fingerprint = central.json(&["identity"])["fingerprint"].clone();

    assert_eq!(agent.fails(&["re-pin", fingerprint.as_str().unwrap()], ""), (6, "not_enrolled".to_owned()));
}

#[test]
fn an_agent_of_production_that_reaches_a_copy_is_told_that_it_is_not_central_and_neither_side_changes() {
    let (mut central, data) = central_by_tls(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let store = &data.stores[0];
    agent.record(&stock(store, "A"));
    agent.settle();
    central.kill();
    let copy = central.copied_as_copy();
    agent.record(&stock(store, "B"));
    let (before, site) = (trusted(&agent), copy.json(&["site", "show", "north"]));
    agent.set_url(&copy.url());

    assert_eq!(agent.fails(&["sync"], ""), (4, "not_central".to_owned()));
    assert_eq!(agent.fails(&["initialise"], ""), (4, "not_central".to_owned()));

    assert_eq!(trusted(&agent), before);
    assert_eq!(copy.json(&["site", "show", "north"]), site);
    assert_eq!(copy.records("item_line").len(), 1);
    assert_eq!(agent.json(&["status"])["pending"]["edits"], 1);
    central.start();
    agent.set_url(&central.url());
    assert_eq!(agent.settle()["outcome"], "drained");
    assert_eq!(central.records("item_line").len(), 2);
    same_records(&central, &agent, &["item_line", "item"]);

    // A device for tests is enrolled at the copy as at any other central, once the site is free of the one that it is bound to.
    copy.json(&["site", "reset-hardware", "north"]);
    let tester = Agent::initialised(&copy, "north");
    assert_eq!(tester.records("item_line").len(), 1);
}

#[test]
fn a_sign_in_page_that_answers_for_central_is_not_taken_for_it() {
    let (central, _) = central_by_tls(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let before = trusted(&agent);
    let fingerprint = central.json(&["identity"])["fingerprint"].clone();
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    agent.set_url(&format!("http://{}", listener.local_addr().unwrap()));
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let count = stream.read(&mut request).unwrap();
        stream.write_all(page.as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..count]).into_owned()
    });

    assert_eq!(agent.fails(&["re-pin", fingerprint.as_str().unwrap()], ""), (4, "sign_in_page".to_owned()));

    assert!(answering.join().unwrap().starts_with("GET /hello "));
    assert_eq!(trusted(&agent), before);
}

#[test]
fn after_a_sync_that_something_else_answered_nothing_is_sent_before_central_has_proved_itself() {
    let (mut central, data) = central_by_tls(5, &["north"]);
    let middle = Middle::before(central.address());
    let agent = Agent::initialised(&central, "north");
    agent.set_url(&middle.url());
    central.kill();
    let copy = central.copied_as_copy();
    middle.lead_to(copy.address());
    agent.record(&stock(&data.stores[0], "A"));
    assert_eq!(agent.fails(&["sync"], ""), (4, "not_central".to_owned()));
    let sent = middle.exchanges().len();

    for _ in 0..2 {
        agent.record(&stock(&data.stores[0], "B"));
        assert_eq!(agent.fails(&["sync"], ""), (4, "not_central".to_owned()));
    }
    assert_eq!(middle.exchanges().len(), sent);

    central.start();
    middle.lead_to(central.address());
    assert_eq!(agent.settle()["outcome"], "drained");
    assert!(middle.exchanges().len() > sent);
    assert_eq!(central.records("item_line").len(), 2);
}
