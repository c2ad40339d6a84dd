//! The idle daemon keeps a question open at central, and what is there for its site comes without anybody syncing it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::corpus::CentralData;
use crate::support::middle::{Middle, Mood};
use crate::support::wait_until;
use crate::sync::{central_by_tls, central_with_sites};

/// By its interval such a site comes long after the test.
const SLOW: &str = "interval_s = 3600\njitter_percent = 0\nbackoff_first_s = 1\nbackoff_max_s = 1\ngap_min_s = 0";

/// A device whose daemon comes by itself once an hour, and has come once.
fn slow(central: &Central, name: &str, url: Option<&str>, more: &str) -> Agent {
    let mut agent = Agent::initialised(central, name);
    if let Some(url) = url {
        agent.set_url(url);
    }
    schedule(&agent, more);
    agent.start();
    agent
}

fn schedule(agent: &Agent, more: &str) {
    let settings = std::fs::read_to_string(agent.settings()).unwrap();
    let (before, _) = settings.split_once("[schedule]").unwrap();
    std::fs::write(agent.settings(), format!("{before}[schedule]\n{SLOW}\n{more}\n")).unwrap();
}

fn status(agent: &Agent) -> Value {
    agent.json(&["status"])
}

fn wait_until_it_waits(agent: &Agent, central: &Central) {
    wait_until("the device waits for news", || status(agent)["waits_for_news"] == true);
    wait_until("central holds its question", || held(central) > 0);
}

fn held(central: &Central) -> u64 {
    central.json(&["status"])["waiting_for_news"].as_u64().unwrap()
}

/// Sends a message from the first site's store to the second's.
fn send(north: &Agent, data: &CentralData, id: &str) {
    let line = json!({"table": "message", "op": "upsert", "id": id, "data": {
        "ID": id, "toStoreID": data.stores[1], "fromStoreID": data.stores[0], "type": "RequestFieldChange", "status": "new",
        "body": {"field": "name", "value": "Clinic"}, "createdDate": "2026-02-01", "createdTime": "10:00:00",
    }});
    north.record(&(line.to_string() + "\n"));
    north.settle();
}

fn has(south: &Agent, id: &str) -> bool {
    south.records("message").contains_key(id)
}

#[test]
fn an_edit_at_one_site_arrives_at_the_other_though_nobody_syncs_that() {
    let (central, data) = central_with_sites(5, &["north", "south"]);
    let north = Agent::initialised(&central, "north");
    let south = slow(&central, "south", None, "");
    wait_until_it_waits(&south, &central);

    for id in ["M1", "M2"] {
        let attempt_ms = status(&south)["last_attempt_ms"].clone();
        send(&north, &data, id);
        wait_until("the message arrives", || has(&south, id));
        assert_ne!(status(&south)["last_attempt_ms"], attempt_ms, "a session brought it");
        wait_until_it_waits(&south, &central);
    }
    let told = status(&south);
    assert_eq!((&told["next_sync_reason"], &told["last_failure"]), (&"interval".into(), &Value::Null), "{told}");
}

#[test]
fn nobody_waits_on_a_metered_link_nor_during_a_pause_nor_once_the_bytes_are_used_up() {
    let (central, _) = central_with_sites(5, &["north"]);
    let north = slow(&central, "north", None, "metered = \"yes\"");
    wait_until("the first sync is over", || status(&north)["next_sync_reason"] == "interval");
    assert_eq!((status(&north)["waits_for_news"].clone(), held(&central)), (json!(false), 0));

    for more in ["metered = \"yes\"", "wait_for_news = false", "bytes_per_day_max = 1"] {
        let waits = |expected: bool| {
            wait_until(more, || status(&north)["waits_for_news"] == expected && (held(&central) > 0) == expected);
        };
        schedule(&north, "");
        north.signal("HUP");
        waits(true);
        schedule(&north, more);
        north.signal("HUP");
        waits(false);
    }
    schedule(&north, "");
    north.signal("HUP");
    wait_until_it_waits(&north, &central);
    north.ok(&["pause"]);
    wait_until("the question is ended", || held(&central) == 0);
    north.ok(&["resume"]);
    wait_until_it_waits(&north, &central);
}

#[test]
fn a_central_that_is_killed_and_started_again_is_asked_again_and_nothing_counts_as_failed() {
    let (mut central, data) = central_by_tls(5, &["north", "south"]);
    let north = Agent::initialised(&central, "north");
    let middle = Middle::before(central.address());
    let south = slow(&central, "south", Some(&middle.url()), "");
    wait_until_it_waits(&south, &central);
    let before = status(&south);

    central.kill();
    wait_until("the question breaks and is asked again", || middle.news().len() > 2);
    central.start();
    middle.lead_to(central.address());
    north.set_url(&central.url());

    wait_until_it_waits(&south, &central);
    let after = status(&south);
    for field in ["last_attempt_ms", "last_success_ms", "last_failure", "next_sync_reason"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    send(&north, &data, "M");
    wait_until("the message arrives", || has(&south, "M"));
}

#[test]
fn a_question_that_is_held_keeps_the_daemon_from_no_stop_and_no_sync() {
    let (central, data) = central_with_sites(5, &["north"]);
    let mut north = slow(&central, "north", None, "");
    wait_until_it_waits(&north, &central);
    north.record(&crate::support::corpus::edits(&data.stores[0], &data.items, &data.names, 3, 1));
    north.settle();
    assert_eq!(status(&north)["pending"]["edits"], 0);
    wait_until_it_waits(&north, &central);

    let began = Instant::now();
    north.signal("TERM");
    assert_eq!(north.wait(), 0);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    wait_until("central holds nothing", || held(&central) == 0);
}

#[test]
fn a_central_that_does_not_know_the_question_is_lived_with() {
    let (central, data) = central_by_tls(5, &["north"]);
    let middle = Middle::before(central.address());
    middle.set(Mood::WithoutNews);
    let north = slow(&central, "north", Some(&middle.url()), "");
    wait_until("it has asked", || !middle.news().is_empty());
    wait_until("it has heard", || status(&north)["waits_for_news"] == false);

    north.record(&crate::support::corpus::edits(&data.stores[0], &data.items, &data.names, 3, 1));
    north.settle();

    let told = status(&north);
    assert_eq!((&told["pending"]["edits"], &told["last_failure"]), (&json!(0), &Value::Null), "{told}");
    assert_eq!((middle.news().len(), &told["next_sync_reason"]), (1, &json!("interval")), "it asks again after hours");
}

#[test]
fn the_bytes_of_a_question_are_counted() {
    let (central, _) = central_by_tls(5, &["north"]);
    let north = slow(&central, "north", None, "");
    wait_until_it_waits(&north, &central);
    let spent = || status(&north)["bytes"]["day"]["spent"].as_u64().unwrap();
    let before = spent();

    north.ok(&["pause"]);
    wait_until("the question is ended and counted", || spent() > before);

    let counted = spent() - before;
    // A handshake with a short certificate, and the question.
    assert!((1_000..5_000).contains(&counted), "{counted} bytes for a question and its connection");
}
