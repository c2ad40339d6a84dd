//! `verify` and `salvage` on real folders, whole and damaged, and on ones that the agent does not open.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::sync::central_with_sites;

/// A site with edits that were sent, edits that were not, local data, and nothing running.
fn site() -> (Agent, Vec<String>) {
    let (central, data) = central_with_sites(10, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let line = |id: &str| {
        json!({"table": "item_line", "op": "put", "id": id,
               "data": {"ID": id, "store_ID": data.stores[0], "note": "kept"}})
        .to_string()
            + "\n"
    };
    agent.record(&line("SENT"));
    agent.settle();
    let unsent: Vec<String> = (0..20).map(|number| format!("UNSENT-{number:02}")).collect();
    let lines: String = unsent.iter().map(|id| line(id)).collect();
    agent.record(&lines);
    agent.ok(&["record", "pref", "P", r#"{"item":"window","data":"here alone"}"#]);
    (agent, unsent)
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every file of a folder with its bytes.
fn bytes_of(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(bytes_of(&path));
        } else if let Ok(bytes) = std::fs::read(&path) {
            files.insert(path, bytes);
        }
    }
    files
}

fn salvage(agent: &Agent, name: &str, exit: i32) -> (PathBuf, Value) {
    let out = agent.file("unused", "").with_file_name(name);
    let output = agent.run(&["salvage", "--out", out.to_str().unwrap(), "--json"], "");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{error}");
    (out, serde_json::from_slice(&output.stdout).unwrap())
}

fn verify(agent: &Agent, exit: i32) -> Vec<String> {
    let output = agent.run(&["verify", "--json"], "");
    assert_eq!(output.status.code(), Some(exit), "{}", String::from_utf8_lossy(&output.stdout));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["findings"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_whole_folder_is_called_whole_and_given_out_whole_and_stays_as_it_is() {
    let (agent, unsent) = site();
    let before = bytes_of(&agent.data());

    assert_eq!(verify(&agent, 0), Vec::<String>::new());
    assert!(agent.ok(&["verify"]).ends_with("everything is whole\n"));
    let (out, summary) = salvage(&agent, "out", 0);

    assert_eq!((&summary["entries"], &summary["lost"]), (&json!(22), &json!(0)));
    let entries = lines(&out.join("entries.ndjson"));
    let ids: Vec<&str> =
        entries.iter().filter(|entry| entry["private"] == false).map(|entry| entry["id"].as_str().unwrap()).collect();
    assert_eq!(ids[0], "SENT");
    assert_eq!(ids[1..], unsent.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(entries.iter().all(|entry| entry["proved"] == true && entry["acknowledged"] == true), "{entries:?}");
    assert_eq!(entries[1]["data"]["note"], "kept");
    let records = lines(&out.join("records.ndjson"));
    assert!(records.iter().any(|record| record["id"] == "P" && record["state"] == "local"));
    assert_eq!(bytes_of(&agent.data()), before, "nothing of the folder was changed");
    let (exit, code) = agent.fails(&["salvage", "--out", out.to_str().unwrap()], "");
    assert_eq!((exit, code.as_str()), (2, "salvage_out_exists"));
}

#[test]
fn a_folder_that_the_agent_does_not_open_is_looked_at_and_given_out() {
    let (agent, unsent) = site();
    std::fs::write(agent.data().join("identity/key"), "").unwrap();
    std::fs::remove_dir_all(agent.data().join("journal")).unwrap();
    assert_eq!(agent.fails(&["status"], "").1, "identity_damaged");
    let before = bytes_of(&agent.data());

    assert_eq!(verify(&agent, 7), ["identity_damaged", "journal_missing"]);
    let (out, summary) = salvage(&agent, "out", 7);

    assert_eq!(summary["lost"], 1, "of what came behind the local copy nobody knows");
    // What was not sent is pending in the local copy.
    let ids: Vec<Value> = lines(&out.join("entries.ndjson")).into_iter().map(|entry| entry["id"].clone()).collect();
    for id in unsent {
        assert!(ids.contains(&json!(id)), "{id} is not among {ids:?}");
    }
    assert_eq!(bytes_of(&agent.data()), before);
}

#[test]
fn what_is_lost_is_named_and_what_is_left_of_an_entry_is_given_out_as_bytes() {
    let (agent, _) = site();
    let db = agent.data().join("journal/segment-00000000000000000001/db");
    let mut bytes = std::fs::read(&db).unwrap();
    // Each copy of one record's note, wherever the engine keeps it.
    let needle = b"UNSENT-07";
    let places: Vec<usize> = (0..bytes.len() - needle.len()).filter(|at| bytes[*at..].starts_with(needle)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at + 7] ^= 1;
    }
    std::fs::write(&db, &bytes).unwrap();
    std::fs::remove_file(agent.data().join("local_copy.sqlite")).unwrap();

    assert_eq!(verify(&agent, 7), ["entries_lost"]);
    let (out, summary) = salvage(&agent, "out", 7);

    assert_eq!(summary["entries_lost"], 1);
    let lost = lines(&out.join("lost.ndjson"));
    assert_eq!((&lost[0]["code"], &lost[0]["first"], &lost[0]["last"]), (&json!("entries_lost"), &json!(9), &json!(9)));
    let report = String::from_utf8(agent.run(&["verify"], "").stdout).unwrap();
    assert!(report.contains("DAMAGED: journal: entries 9 to 9 cannot be read [entries_lost]"), "{report}");

    // The agent goes on without it and says the same.
    let status = agent.json(&["status"]);
    assert!(status["repairs"].to_string().contains("lost=9-9"), "{}", status["repairs"]);
    assert_eq!(verify(&agent, 0), Vec::<String>::new());
    let (again, _) = salvage(&agent, "again", 7);
    let from: Vec<Value> =
        lines(&again.join("entries.ndjson")).into_iter().map(|entry| entry["from"].clone()).collect();
    assert!(from.iter().any(|from| from.as_str().is_some_and(|from| from.starts_with("journal.before-"))), "{from:?}");
}

#[test]
fn a_folder_in_use_and_one_that_is_none_are_told() {
    let (mut agent, _) = site();
    agent.start();
    for arguments in [&["verify"][..], &["salvage", "--out", "/nowhere/at/all"]] {
        assert_eq!(agent.fails(arguments, ""), (8, "folder_in_use".to_owned()), "{arguments:?}");
    }
    agent.kill();
    assert_eq!(verify(&agent, 0), Vec::<String>::new(), "what a kill leaves is whole");
    agent.wipe();
    assert_eq!(agent.fails(&["verify"], ""), (6, "no_data_folder".to_owned()));
}
