//! The audit log with real processes: it tells the story of a site's life, and of what was refused.

use serde_json::Value;

use crate::support::agent::Agent;
use crate::support::folder::Folder;
use crate::support::{store_line, unit_line};

/// Verb, outcome, before and after of each row.
fn story(value: &Value) -> Vec<(String, String, String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let rows = value["audit"].as_array().unwrap();
    rows.iter()
        .map(|row| (text(&row["verb"]), text(&row["outcome"]), text(&row["before"]), text(&row["after"])))
        .collect()
}

fn verbs(value: &Value) -> Vec<String> {
    story(value).into_iter().map(|(verb, outcome, ..)| format!("{verb} {outcome}")).collect()
}

#[test]
fn the_audit_log_tells_the_story_of_a_sites_life() {
    let folder = Folder::new("");
    folder.json(&["import", "-"], &format!("{}\n{}\n", store_line("S1"), store_line("S2")));
    let north = folder.add_site("north", &["--store", "S1"]);
    let south = folder.add_site("south", &["--store", "S2"]);
    let server = folder.serve();
    let mut one = Agent::enrol(server.address, "north", 1);
    let mut two = Agent::enrol(server.address, "south", 2);
    one.sync_whole(server.address);
    two.sync_whole(server.address);
    folder.json(&["site", "edit", "north", "--name", "far north", "--code", "FN"], "");
    folder.json(&["site", "edit", "far north", "--name", "north"], "");
    folder.json(&["store", "add", "S1", "--site", "south"], "");
    for _ in 0..3 {
        one.sync_whole(server.address);
        two.sync_whole(server.address);
    }
    folder.json(&["site", "reset-hardware", "north"], "");

    let log = folder.json(&["audit", "--site", "north"], "");

    let expected = [
        "site-add done",
        "device-enrols done",
        "site-edit done",
        "site-edit done",
        "store-add done",
        "move-goes-on done",
        "move-goes-on done",
        "site-reset-hardware done",
    ];
    assert_eq!(verbs(&log), expected);
    let row = |index: usize| &log["audit"][index];
    assert_eq!((&row(0)["before"], &row(0)["after"]["stores"][0]), (&Value::Null, &"S1".into()));
    assert_eq!(row(1)["actor"], format!("site:{north}"));
    let renamed = (&row(2)["before"]["name"], &row(2)["after"]["name"], &row(2)["after"]["code"]);
    assert_eq!(renamed, (&"north".into(), &"far north".into(), &"FN".into()));
    assert!(row(2)["before"].get("type").is_none(), "what stayed is not told");
    let asked = (&row(4)["site"], &row(4)["other_site"], &row(4)["after"]["phase"]);
    assert_eq!(asked, (&south.into(), &north.into(), &"draining".into()));
    assert_eq!((&row(5)["after"]["phase"], &row(6)["after"]["phase"]), (&"filling".into(), &"held".into()));
    assert_eq!((&row(7)["before"]["device"], &row(7)["after"]["device"]), (&row(1)["after"]["device"], &Value::Null));
    assert!(row(0)["actor"].as_str().unwrap().starts_with("local:"), "{}", row(0)["actor"]);
    assert!(!log.to_string().contains("correct horse") && !log.to_string().contains("argon2"), "no secret is kept");
    let text = folder.text(&["audit", "--site", "north"]);
    assert!(text.lines().nth(2).unwrap().contains("name: north -> far north"), "{text}");
    assert!(text.lines().nth(7).unwrap().ends_with("-> none)"), "{text}");
}

#[test]
fn what_is_refused_is_logged_with_its_code_and_an_import_when_it_begins_and_ends() {
    let folder = Folder::new("");
    for server in [None, Some(folder.serve())] {
        folder.failure(&["site", "reset-hardware", "nobody"], "");
        folder.failure(&["store", "add", "gone", "--site", "central"], "");
        folder.json(&["import", "-"], &unit_line("U1"));
        folder.json(&["site", "list"], "");
        drop(server);
    }

    let log = folder.json(&["audit"], "");

    let once = ["site-reset-hardware refused", "store-add refused", "import begun", "import done"];
    assert_eq!(verbs(&log), [once, once].concat());
    let codes: Vec<_> = (0..2).map(|index| log["audit"][index]["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["unknown_site", "unknown_store"]);
    assert_eq!(
        log["audit"][3]["after"],
        serde_json::json!({"refusals_not_shown":0,"refused":0,"unchanged":0,"written":1})
    );
    assert_eq!(log["audit"][7]["after"]["unchanged"], 1);
}

#[test]
fn every_verb_that_changes_something_leaves_before_and_after() {
    let folder = Folder::new("");
    folder.json(&["import", "-"], &format!("{}\n{}\n", store_line("S1"), store_line("S2")));
    folder.add_site("north", &["--store", "S1"]);
    folder.add_site("south", &["--store", "S2"]);
    let name = |id: &str| format!(r#"{{"table":"name","op":"upsert","id":"{id}","data":{{"name":"{id}"}}}}"#);
    folder.json(&["import", "-"], &format!("{}\n{}\n", name("M"), name("N")));
    folder.json(&["visibility", "add", "N", "--store", "S2"], "");
    let last = folder.json(&["audit"], "")["audit"].as_array().unwrap().last().unwrap()["number"].to_string();

    for verb in [
        &["visibility", "add", "M", "--store", "S1"][..],
        &["visibility", "remove", "M", "--store", "S1"],
        &["preference", "set", "centralised-procurement", "on"],
        &["preference", "set", "local-procurement", "on", "--store", "S1"],
        &["store", "set-role", "S1", "--site", "south", "collector"],
        &["store", "set-role", "S1", "--site", "central", "transfer"],
        &["store", "set-role", "S1", "--site", "central", "collector"],
        &["mirror", "enable", "--primary", "south"],
        &["mirror", "disable"],
        &["store", "remove", "S2"],
    ] {
        folder.json(verb, "");
    }

    let log = folder.json(&["audit", "--after", &last], "");
    let told: Vec<_> = story(&log)
        .into_iter()
        .map(|(verb, outcome, before, after)| format!("{verb} {outcome} {before} {after}"))
        .collect();
    let expected = [
        r#"visibility-add done {"is_visible":false} {"is_visible":true}"#,
        r#"visibility-remove done {"is_visible":true} {"is_visible":false}"#,
        r#"preference-set done {"is_on":false} {"is_on":true}"#,
        r#"preference-set done {"is_on":false} {"is_on":true}"#,
        r#"store-set-role done {"collectors":[1]} {"collectors":[1,3]}"#,
    ];
    assert_eq!(told[..5], expected);
    assert!(
        told[5].contains(r#""withholds":"nothing"}"#) && told[6].ends_with(r#""withholds":"nothing"}"#),
        "{told:?}"
    );
    assert!(told[7].contains(r#"{"phase":"filling""#) || told[7].contains(r#""phase":"filling""#), "{told:?}");
    assert!(told[9].contains(r#""site":3"#) && told[9].contains(r#""site":1"#), "{told:?}");
}
