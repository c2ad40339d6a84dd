//! A device is copied with everything that tells it from others, as a virtual machine can be: its site stops before two histories
//! are taken, and an administrator chooses. A bad link never looks like that.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::agent::{Agent, BOARD, CHIP};
use crate::support::central::Central;
use crate::support::middle::{Middle, Mood};
use crate::support::success;
use crate::sync::{central_by_tls, same_records};

/// Syncs of each of the two.
const ROUNDS: usize = 10;

/// Syncs whose replies are lost; each asks three times before it gives up, and central keeps 8 tokens that it gave.
const LOST_SYNCS: usize = 3;

/// A site's device and a copy of it on the same serial numbers.
fn original_and_copy(central: &Central) -> (Agent, Agent) {
    let (original, copy) = (Agent::new(&central.url()), Agent::new(&central.url()));
    for agent in [&original, &copy] {
        agent.set_hardware(CHIP, "the chip of both");
        agent.set_hardware(BOARD, "the board of both");
    }
    original.enrol(central, "north");
    original.ok(&["initialise"]);
    success(&Command::new("cp").arg("-a").args([original.data(), copy.data()]).output().unwrap());
    (original, copy)
}

fn record(agent: &Agent, store: &str, id: &str) {
    let line = json!({"table": "item_line", "op": "upsert", "id": id, "data": {"ID": id, "store_ID": store}});
    agent.record(&line.to_string());
}

/// Syncs; the code of what went wrong, or nothing.
fn sync(agent: &Agent) -> String {
    let output = agent.run(&["sync", "--json"], "");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["failure"]["code"].as_str().unwrap_or_default().to_owned()
}

/// How `check` ends, and the code of its line about the enrolment.
fn checked(agent: &Agent) -> (i32, String) {
    let output = agent.run(&["check", "--json"], "");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = report["lines"].as_array().unwrap();
    let line = lines.iter().find(|line| line["name"] == "enrolment").unwrap();
    (output.status.code().unwrap(), line["code"].as_str().unwrap().to_owned())
}

/// That an administrator sees which is which: the copy, caught at its second sync, has recorded twice as much.
fn tells_apart(central: &Central, has_edits: bool) {
    let shown = central.json(&["site", "show", "north"]);
    let devices = shown["stop_devices"].as_array().unwrap();
    let seen: Vec<_> =
        devices.iter().map(|device| (device["which"].as_str(), device["journal_head"].as_u64())).collect();
    let heads = if has_edits { [2, 4] } else { [0, 0] };
    assert_eq!(seen, [(Some("answered_last"), Some(heads[0])), (Some("dead_token"), Some(heads[1]))], "{shown}");
    for device in devices {
        assert_eq!((&device["address"], &device["journal"]), (&json!("127.0.0.1"), &shown["journal"]), "{shown}");
        assert!(device["seen"].is_string(), "{shown}");
    }
    assert_eq!((&shown["last_address"], &shown["last_contact"]), (&json!("127.0.0.1"), &devices[0]["seen"]));
    let text = success(&central.run(&["site", "show", "north"], ""));
    for (words, head) in ["answered last: ", "came with a dead token: "].iter().zip(heads) {
        let line = text.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {text}"));
        assert!(line.contains("from 127.0.0.1") && line.ends_with(&format!("up to {head}")), "{line}");
    }
    assert!(success(&central.run(&["status"], "")).contains("`site show 2` tells them apart"));
}

#[test]
fn an_original_and_its_copy_that_alternate_stop_their_site_and_go_on_one_at_a_time() {
    for has_edits in [false, true] {
        let (central, data) = central_by_tls(3, &["north"]);
        let store = &data.stores[0];
        let (original, copy) = original_and_copy(&central);

        let mut codes = Vec::new();
        for round in 0..ROUNDS {
            for (agent, name) in [(&original, "original"), (&copy, "copy")] {
                if has_edits {
                    record(agent, store, &format!("{name}-{round}"));
                }
                if has_edits && name == "copy" {
                    record(agent, store, &format!("{name}-{round}-more"));
                }
                codes.push(sync(agent));
            }
        }

        let stopped = codes.iter().position(|code| code == "site_stopped").unwrap();
        assert!(stopped <= 3, "at the second exchange of either at the latest: {codes:?}");
        assert!(codes[stopped..].iter().all(|code| code == "site_stopped"), "{codes:?}");
        // Equal numbers with other hashes are told before the tokens tell that two devices live.
        assert_eq!(codes[..stopped].contains(&"fork".to_owned()), has_edits, "{codes:?}");
        let shown = central.json(&["site", "show", "north"]);
        assert_eq!(shown["stop_code"], "two_devices", "{shown}");
        tells_apart(&central, has_edits);
        let taken = central.records("item_line");
        assert!(taken.keys().all(|id| id.starts_with("original-")), "one history is taken: {taken:?}");

        central.json(&["site", "resume", "north"]);
        assert_eq!(original.settle()["outcome"], "drained", "who comes first goes on");
        same_records(&central, &original, &["item_line", "item"]);
        assert_eq!(original.records("item_line").len(), if has_edits { ROUNDS } else { 0 });
        assert_eq!(sync(&copy), "site_stopped", "the other one is caught again");
        assert!(!central.json(&["site", "show", "north"])["stopped"].is_null());
    }
}

#[test]
fn an_administrator_chooses_one_of_two_devices_and_the_other_stops_nothing_whoever_comes_first() {
    for (chosen, wrong) in [("answered_last", "dead_token"), ("dead_token", "answered_last")] {
        let (central, _) = central_by_tls(3, &["north"]);
        let (original, copy) = original_and_copy(&central);
        while sync(&original).is_empty() && sync(&copy).is_empty() {}
        // Without edits the device whose sync found the site stopped is not the one that was answered last.
        let shown = central.json(&["site", "show", "north"]);
        assert_eq!(shown["stop_code"], "two_devices", "{shown}");

        let unknown = central.run(&["site", "resume", "north", "--device", "first"], "");
        assert_eq!(unknown.status.code(), Some(2));
        let resumed = central.json(&["site", "resume", "north", "--device", chosen]);
        assert_eq!(resumed["device"], chosen, "not {wrong}");

        let first: Vec<String> = [&copy, &original].map(sync).to_vec();
        let second: Vec<String> = [&original, &copy].map(sync).to_vec();
        assert!(first.contains(&String::new()) && first.contains(&"device_not_chosen".to_owned()), "{first:?}");
        assert_eq!(first.iter().rev().cloned().collect::<Vec<_>>(), second, "the same device goes on");
        for (agent, code) in [&copy, &original].into_iter().zip(&first) {
            // `check` said of the other one that central takes it: its question showed no token.
            let expected = if code.is_empty() { (0, String::new()) } else { (5, code.clone()) };
            assert_eq!(checked(agent), expected);
        }
        assert!(central.json(&["site", "show", "north"])["stopped"].is_null());
    }
}

#[test]
fn lost_replies_never_look_like_a_clone() {
    let (central, data) = central_by_tls(3, &["north"]);
    let middle = Middle::before(central.address());
    let agent = Agent::new(&middle.url());
    agent.enrol(&central, "north");
    agent.ok(&["initialise"]);

    middle.set(Mood::LoseReplies);
    for lost in 0..LOST_SYNCS {
        record(&agent, &data.stores[0], &format!("S-{lost}"));
        assert_eq!(agent.fails(&["sync"], "").0, 4);
    }
    middle.set(Mood::Pass);
    assert_eq!(agent.settle()["outcome"], "drained");

    let asked = middle.exchanges().len();
    assert!(asked > 3 * LOST_SYNCS, "more replies were lost than central keeps tokens: {asked} requests");
    assert!(central.json(&["site", "show", "north"])["stopped"].is_null());
    assert_eq!(central.records("item_line").len(), LOST_SYNCS);
    same_records(&central, &agent, &["item_line"]);
}

/// A device that was answered a few times since something of it was copied.
fn device_with_a_past(central: &Central, store: &str, part: &str) -> (Agent, std::path::PathBuf) {
    let agent = Agent::initialised(central, "north");
    record(&agent, store, "before");
    agent.settle();
    let kept = agent.data().with_file_name("kept");
    success(&Command::new("cp").arg("-a").args([agent.data().join(part), kept.clone()]).output().unwrap());
    for number in 0..3 {
        record(&agent, store, &format!("after-{number}"));
        agent.settle();
    }
    (agent, kept)
}

#[test]
fn a_device_whose_token_was_put_back_stops_its_site_and_goes_on_by_itself_when_an_administrator_says_so() {
    let (central, data) = central_by_tls(3, &["north"]);
    let (agent, kept) = device_with_a_past(&central, &data.stores[0], "identity/token");
    std::fs::copy(kept, agent.data().join("identity/token")).unwrap();

    assert_eq!(agent.fails(&["sync"], ""), (5, "site_stopped".to_owned()));

    let shown = central.json(&["site", "show", "north"]);
    assert_eq!(
        (&shown["stop_devices"][1]["which"], &shown["stop_devices"][1]["journal_head"]),
        (&json!("dead_token"), &shown["received"])
    );
    central.json(&["site", "resume", "north"]);
    assert_eq!(agent.settle()["outcome"], "drained");
    same_records(&central, &agent, &["item_line"]);
}

#[test]
fn a_device_that_was_set_back_and_stopped_its_site_recovers_when_an_administrator_says_so() {
    let (central, data) = central_by_tls(3, &["north"]);
    let (agent, kept) = device_with_a_past(&central, &data.stores[0], "");
    agent.wipe();
    success(&Command::new("cp").arg("-a").args([&kept, &agent.data()]).output().unwrap());
    record(&agent, &data.stores[0], "only here");

    assert_eq!(agent.fails(&["sync"], ""), (5, "site_stopped".to_owned()));

    let shown = central.json(&["site", "show", "north"]);
    let head = shown["stop_devices"][1]["journal_head"].as_u64();
    assert!(head < shown["received"].as_u64(), "its journal goes less far than what was received: {shown}");
    let password = central.password_file("north");
    success(&Command::new("chmod").arg("600").arg(&password).output().unwrap());
    let recover = ["recover", "--yes", "--password-file", password.to_str().unwrap()];
    assert_eq!(agent.fails(&recover, ""), (5, "site_stopped".to_owned()), "nobody goes on before somebody chose");
    central.json(&["site", "resume", "north"]);
    agent.json(&recover);
    assert_eq!(agent.settle()["outcome"], "drained");
    same_records(&central, &agent, &["item_line"]);
    assert_eq!(agent.json(&["set-aside", "list"])["refused"][0]["id"], "only here");
}
