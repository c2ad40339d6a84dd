//! One part of a site's folder put back from a copy or lost, with a real central on the other side: afterwards both show the same.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::success;
use crate::sync::{central_by_tls, same_records};

fn stock(store: &str, id: &str, quantity: u32) -> String {
    json!({"table": "item_line", "op": "upsert", "id": id, "data": {"ID": id, "store_ID": store, "quantity": quantity}})
        .to_string()
        + "\n"
}

/// A part of the folder, copied beside it with its permissions.
fn keep(agent: &Agent, name: &str) -> PathBuf {
    let kept = agent.data().with_file_name(format!("kept-{name}"));
    copy(&agent.data().join(name), &kept);
    kept
}

fn put_back(agent: &Agent, name: &str, kept: &Path) {
    let path = agent.data().join(name);
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{}{suffix}", path.display());
        let _ = std::fs::remove_dir_all(&path);
        let _ = std::fs::remove_file(&path);
    }
    copy(kept, &path);
}

fn copy(from: &Path, to: &Path) {
    success(&std::process::Command::new("cp").arg("-a").args([from, to]).output().unwrap());
}

fn repairs(agent: &Agent) -> String {
    agent.json(&["status"])["repairs"].to_string()
}

/// Two sites that gave the same id to records of two stores: the second site's is refused.
fn with_a_refused_edit() -> (Central, Agent, String, PathBuf) {
    let (central, data) = central_by_tls(5, &["north", "south"]);
    let (north, south) = (Agent::initialised(&central, "north"), Agent::initialised(&central, "south"));
    north.record(&stock(&data.stores[0], "S1", 1));
    north.settle();
    south.record(&stock(&data.stores[1], "S1", 2));
    south.record(&stock(&data.stores[1], "S2", 2));
    let before = keep(&south, "local_copy.sqlite");
    let output = south.run(&["sync", "--json"], "");
    let synced: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(synced["refused"], 1, "{synced}");
    // The verdict is acknowledged, and central forgets it.
    south.ok(&["sync"]);
    (central, south, data.stores[1].clone(), before)
}

/// What a site's own store has, here and there.
fn own(central: &Central, agent: &Agent, store: &str) {
    let mut there = central.records("item_line");
    there.retain(|_, record| record["store_ID"] == store);
    assert_eq!(agent.records("item_line"), there);
}

#[test]
fn a_local_copy_that_is_gone_or_from_before_a_verdict_shows_again_what_central_has() {
    for is_gone in [true, false] {
        let (central, south, store, before) = with_a_refused_edit();
        put_back(&south, "local_copy.sqlite", &before);
        if is_gone {
            std::fs::remove_file(south.data().join("local_copy.sqlite")).unwrap();
        } else {
            assert!(repairs(&south).contains("set back"), "{}", repairs(&south));
        }

        assert_eq!(south.settle()["outcome"], "drained");

        own(&central, &south, &store);
        south.record(&stock(&store, "S3", 3));
        south.settle();
        own(&central, &south, &store);
        same_records(&central, &south, &["item", "store"]);
    }
}

#[test]
fn a_journal_that_was_set_back_goes_on_under_a_new_id_that_central_takes() {
    for is_received in [false, true] {
        let (central, data) = central_by_tls(5, &["north"]);
        let agent = Agent::initialised(&central, "north");
        let store = &data.stores[0];
        agent.record(&stock(store, "S1", 1));
        agent.settle();
        let kept = keep(&agent, "journal");
        for quantity in 2..6 {
            agent.record(&stock(store, &format!("S{quantity}"), quantity));
        }
        agent.record(&stock(store, "S1", 9));
        if is_received {
            agent.settle();
            agent.record(&stock(store, "S1", 10));
        }
        let id = agent.json(&["status"])["journal"]["id"].clone();
        let before = agent.records("item_line");
        put_back(&agent, "journal", &kept);

        let status = agent.json(&["status"]);

        assert_ne!(status["journal"]["id"], id, "no sequence is used twice");
        assert!(status["repairs"].to_string().contains("was set back"), "{}", status["repairs"]);
        assert!(!status["repairs"].to_string().contains("lost="), "{}", status["repairs"]);
        assert_eq!(agent.records("item_line"), before);
        agent.record(&stock(store, "S7", 7));
        assert_eq!(agent.settle()["outcome"], "drained");
        same_records(&central, &agent, &["item_line"]);
        assert_eq!(central.records("item_line").len(), 6);
        assert_eq!(central.json(&["status"])["set_aside"], 0);
    }
}

#[test]
fn a_journal_that_is_gone_is_not_begun_anew_and_what_was_not_sent_is_salvaged() {
    let (central, data) = central_by_tls(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    agent.record(&stock(&data.stores[0], "S1", 1));
    std::fs::remove_dir_all(agent.data().join("journal")).unwrap();

    for verb in [&["status"][..], &["sync"], &["record", "item", "X", "{}"]] {
        assert_eq!(agent.fails(verb, ""), (7, "journal_missing".to_owned()), "{verb:?}");
    }
    let out = agent.data().with_file_name("out");
    assert_eq!(agent.run(&["salvage", "--out", out.to_str().unwrap()], "").status.code(), Some(7), "a journal is lost");
    let lines = std::fs::read_to_string(out.join("entries.ndjson")).unwrap();

    // As the error says: the folder goes away, and the site begins anew.
    std::fs::rename(agent.data(), agent.data().with_file_name("old")).unwrap();
    agent.enrol(&central, "north");
    agent.ok(&["initialise"]);
    let edits: String = lines
        .lines()
        .map(|line| {
            let entry: Value = serde_json::from_str(line).unwrap();
            json!({"table": entry["table"], "op": entry["op"], "id": entry["id"], "data": entry["data"]}).to_string()
                + "\n"
        })
        .collect();
    agent.record(&edits);
    agent.settle();
    assert_eq!(central.records("item_line")["S1"]["quantity"], 1);
}
