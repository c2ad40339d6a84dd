//! The daemon: it owns the folder, the verbs reach it, signals do what they say.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::corpus::edits;
use crate::support::link::{Link, Mood};
use crate::support::{success, wait_until};
use crate::sync::{STORE_TABLES, central_with_sites, same_records};

#[test]
fn the_verbs_reach_the_daemon_and_sigusr1_syncs_at_once() {
    let (central, data) = central_with_sites(10, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    agent.start();

    let recorded = agent.record(&edits(&data.stores[0], &data.items, &data.names, 100, 1));
    assert!(recorded["recorded"].as_u64().unwrap() > 0);
    assert!(agent.json(&["status"])["pending"]["edits"].as_u64().unwrap() > 0, "manual sites sync only when asked");
    agent.signal("USR1");
    wait_until("the queue is empty", || agent.json(&["status"])["pending"]["edits"] == 0);
    agent.settle();

    same_records(&central, &agent, &STORE_TABLES);
    agent.signal("TERM");
    assert_eq!(agent.wait(), 0);
    assert_eq!(agent.json(&["status"])["daemon"], false);
}

#[test]
fn sync_and_initialise_work_through_the_daemon() {
    let (central, data) = central_with_sites(30, &["north"]);
    let mut agent = Agent::new(&central.url());
    agent.enrol(&central, "north");
    agent.start();

    agent.ok(&["initialise"]);
    assert_eq!(agent.records("item").len(), 30);
    agent.record(&edits(&data.stores[0], &data.items, &data.names, 100, 1));
    assert_eq!(agent.settle()["outcome"], "drained");
    same_records(&central, &agent, &STORE_TABLES);
}

#[test]
fn sigterm_stops_within_five_seconds_even_while_a_sync_hangs() {
    let (central, data) = central_with_sites(10, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    agent.record(&edits(&data.stores[0], &data.items, &data.names, 200, 1));
    // A link that accepts and lets almost nothing through: the request hangs.
    let link = Link::to(central.address(), Mood::Windows { up_ms: 600_000, down_ms: 1, bytes_per_s: 50 });
    agent.set_url(&link.url());
    agent.start();
    agent.signal("USR1");
    wait_until("the sync has begun", || link.connections() > 0);

    let begin = Instant::now();
    agent.signal("TERM");
    assert_eq!(agent.wait(), 0);

    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    agent.set_url(&central.url());
    agent.settle();
    same_records(&central, &agent, &STORE_TABLES);
}

#[test]
fn a_second_program_cannot_take_the_folder_and_reaches_the_daemon_instead() {
    let (central, data) = central_with_sites(5, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    agent.start();

    let (exit, code) = agent.fails(&["run"], "");
    assert_eq!((exit, code.as_str()), (8, "folder_in_use"));
    let line =
        json!({"table": "item_line", "op": "upsert", "id": "A", "data": {"ID": "A", "store_ID": data.stores[0]}});
    agent.record(&line.to_string());
    assert_eq!(agent.json(&["get", "item_line", "A"])["state"], "pending");
}

#[test]
fn a_command_that_no_daemon_carries_out_says_to_stop_it() {
    // They said to ask the daemon, which does none of it.
    let (central, _) = central_with_sites(5, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    let password = central.password_file("north");
    success(&Command::new("chmod").arg("600").arg(&password).output().unwrap());
    let password = password.to_str().unwrap();
    let identity = central.json(&["identity"]);
    let out = agent.data().with_file_name("saved");
    agent.start();

    for arguments in [
        &["enrol", "--name", "north", "--password-file", password][..],
        &["recover", "--yes", "--password-file", password],
        &["re-pin", identity["fingerprint"].as_str().unwrap()],
        &["verify"],
        &["salvage", "--out", out.to_str().unwrap()],
    ] {
        let output = agent.run(&[arguments, &["--json"]].concat(), "");

        let told: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!((output.status.code(), &told["error"]["code"]), (Some(8), &json!("folder_in_use")), "{arguments:?}");
        let advice = told["error"]["advice"].as_str().unwrap();
        assert!(advice.contains("needs a stopped daemon") && !advice.contains("socket"), "{arguments:?}: {advice}");
    }
}

#[test]
fn edits_made_during_a_pull_survive_it() {
    let (central, data) = central_with_sites(3000, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    let stock = |quantity: u32| {
        json!({"table": "item_line", "op": "upsert", "id": "A", "data": {"ID": "A", "store_ID": data.stores[0], "quantity": quantity}}).to_string()
    };
    agent.record(&stock(1));
    agent.ok(&["sync"]);
    agent.start();
    // Everything comes again, slowly, while the record is edited.
    let link = Link::to(central.address(), Mood::Windows { up_ms: 600_000, down_ms: 1, bytes_per_s: 60_000 });
    agent.signal("TERM");
    agent.wait();
    agent.set_url(&link.url());
    agent.start();
    let initialising =
        agent.command(&["initialise"]).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn();
    let mut initialising = initialising.unwrap();
    wait_until("pages arrive", || link.bytes().1 > 20_000);
    let mut quantity = 1;
    while initialising.try_wait().unwrap().is_none() {
        quantity += 1;
        agent.record(&stock(quantity));
        assert_eq!(
            agent.json(&["get", "item_line", "A"])["data"]["quantity"],
            quantity,
            "an edit vanished during a pull"
        );
    }
    assert!(quantity > 2, "the pull was over before an edit could be made");

    assert_eq!(agent.json(&["get", "item_line", "A"])["data"]["quantity"], quantity);
    agent.settle();
    assert_eq!(central.records("item_line")["A"]["quantity"], quantity);
}
