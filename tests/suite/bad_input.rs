//! Bad input: each gives its own error with a code and an exit status, and changes nothing.

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::link::{Link, Mood};
use crate::sync::central_with_sites;

fn site() -> (Central, Agent, String) {
    let (central, data) = central_with_sites(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    (central, agent, data.stores[0].clone())
}

#[test]
fn bad_lines_are_refused_with_their_own_codes_and_nothing_is_recorded() {
    let (_central, agent, store) = site();
    let long_id = "x".repeat(65);
    let large = "y".repeat(1_100_000);
    let cases: Vec<(String, &str)> = vec![
        ("{\"table\":".into(), "not_json"),
        (json!({"table": "item_line", "op": "upsert", "data": {"store_ID": store}}).to_string(), "id_missing"),
        (
            json!({"table": "item_line", "op": "upsert", "id": long_id, "data": {"store_ID": store}}).to_string(),
            "record_id_length",
        ),
        (
            json!({"table": "item_line", "op": "upsert", "id": "A", "data": {"store_ID": store, "note": large}})
                .to_string(),
            "record_too_large",
        ),
        (json!({"table": "no_such_table", "op": "upsert", "id": "A", "data": {}}).to_string(), "unknown_table"),
        (json!({"table": "item", "op": "upsert", "id": "A", "data": {"item_name": "x"}}).to_string(), "central_data"),
        (
            json!({"table": "item_line", "op": "upsert", "id": "A", "data": {"store_ID": "another store"}}).to_string(),
            "not_store_holder",
        ),
        (
            json!({"table": "item_line", "op": "upsert", "id": "A", "data": {"ID": "B", "store_ID": store}})
                .to_string(),
            "id_differs",
        ),
    ];
    let good = json!({"table": "item_line", "op": "upsert", "id": "GOOD", "data": {"store_ID": store}}).to_string();
    for (line, expected) in cases {
        let (exit, code) = agent.fails(&["record", "--file", "-"], &line);
        assert_eq!(code, expected, "{}", &line[..line.len().min(120)]);
        assert_eq!(exit, 5, "{code}");
        let (_, code) = agent.fails(&["record", "--file", "-"], &format!("{good}\n{line}\n"));
        assert_eq!(code, expected, "as the second of two lines");
    }
    assert_eq!(agent.json(&["status"])["pending"]["edits"], 0, "one bad line and none is recorded");
}

#[test]
fn with_continue_the_good_lines_are_recorded_and_the_others_listed() {
    let (_central, agent, store) = site();
    let good =
        |id: &str| json!({"table": "item_line", "op": "upsert", "id": id, "data": {"store_ID": store}}).to_string();
    let lines =
        format!("{}\nrubbish\n{}\n{}\n", good("A"), json!({"table": "item", "op": "delete", "id": "X"}), good("B"));

    let output = agent.run(&["record", "--file", "-", "--continue", "--json"], &lines);

    assert_eq!(output.status.code(), Some(3), "partial");
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["recorded"], &result["refused_count"]), (&json!(2), &json!(2)));
    assert_eq!((&result["refused"][0]["line"], &result["refused"][1]["line"]), (&json!(2), &json!(3)));
    assert_eq!(agent.records("item_line").len(), 2);
}

#[test]
fn a_group_is_recorded_whole_or_not_at_all() {
    let (_central, agent, store) = site();
    let good = json!({"table": "item_line", "op": "upsert", "id": "A", "data": {"store_ID": store}});
    let bad = json!({"table": "item_line", "op": "upsert", "id": "B", "data": {"store_ID": "elsewhere"}});

    for lines in [format!("{good}\n{bad}\n"), format!("{good}\nrubbish\n")] {
        let output = agent.run(&["record", "--file", "-", "--group"], &lines);

        assert_eq!(output.status.code(), Some(5));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("line 2: "), "{text}");
        assert!(text.contains("The lines are one group: none of them was recorded."), "{text}");
        assert!(agent.records("item_line").is_empty());
    }
}

#[test]
fn a_store_that_is_not_here_is_not_listed_as_if_it_were_empty() {
    let (_central, agent, store) = site();

    for table in ["item_line", "store", "item"] {
        agent.ok(&["list", table, "--store", &store]);
        let misspelled = store.to_lowercase() + "x";
        let refused = agent.fails(&["list", table, "--store", &misspelled], "");
        assert_eq!(refused, (5, "store_not_here".to_owned()), "{table}");
    }
}

#[test]
fn a_wrong_password_and_a_wrong_name_are_refused_alike() {
    let (central, _data) = central_with_sites(2, &["north"]);
    let agent = Agent::new(&central.url());
    let wrong = agent.file("wrong", "not the password");
    std::fs::set_permissions(&wrong, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let wrong = wrong.to_str().unwrap();

    let first = agent.fails(&["enrol", "--name", "north", "--password-file", wrong], "");
    let second = agent.fails(&["enrol", "--name", "nobody", "--password-file", wrong], "");

    assert_eq!(first.0, 5);
    assert_eq!(first, second, "nobody learns which names exist");
    assert_eq!(agent.fails(&["sync"], "").1, "not_enrolled");
}

#[test]
fn a_stopped_central_is_offline_and_loses_nothing() {
    let (mut central, agent, store) = site();
    let line = json!({"table": "item_line", "op": "upsert", "id": "A", "data": {"store_ID": store}});
    agent.record(&line.to_string());
    central.kill();

    let (exit, _) = agent.fails(&["sync"], "");
    assert_eq!(exit, 4);
    assert_eq!(agent.json(&["status"])["pending"]["edits"], 1);

    central.start();
    agent.set_url(&central.url());
    agent.ok(&["sync"]);
    assert_eq!(agent.json(&["status"])["pending"]["edits"], 0);
}

#[test]
fn a_link_that_is_down_is_offline() {
    let (central, agent, _store) = site();
    let link = Link::to(central.address(), Mood::Down);
    agent.set_url(&link.url());

    assert_eq!(agent.fails(&["sync"], "").0, 4);
}

#[test]
fn an_unknown_setting_is_an_error_with_its_place() {
    let (_central, agent, _store) = site();
    let mut settings = std::fs::read_to_string(agent.settings()).unwrap();
    settings.push_str("intervall_s = 5\n");
    std::fs::write(agent.settings(), settings).unwrap();

    let output = agent.run(&["status"], "");

    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{error}");
    assert!(error.contains("intervall_s") && error.contains("line"), "{error}");
}

#[test]
fn the_version_is_json_where_it_is_asked_for() {
    let agent = Agent::new("http://127.0.0.1:1");

    assert_eq!(agent.json(&["version"])["version"], env!("CARGO_PKG_VERSION"));
    assert!(agent.ok(&["--version"]).starts_with("outpost "));
}

#[test]
fn an_unknown_verb_is_an_error() {
    let (_central, agent, _store) = site();

    assert_eq!(agent.run(&["synch"], "").status.code(), Some(2));
}
