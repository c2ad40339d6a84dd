//! The life of a site with real processes: disabled, paused, checked, deleted, and changes that are only rehearsed.

use protocol::session::Failure;

use crate::support::agent::{Agent, enrolment};
use crate::support::folder::{Folder, PASSWORD};
use crate::support::http::post;
use crate::support::store_line;

fn code(outcome: &protocol::session::Outcome) -> &str {
    outcome.failure.as_ref().map_or("", Failure::code)
}

/// A site with one store and a device that has everything.
fn clinic(folder: &Folder) -> (crate::support::folder::Server, Agent) {
    folder.json(&["import", "-"], &store_line("S1"));
    folder.add_site("clinic", &["--store", "S1", "--code", "C-1"]);
    let server = folder.serve();
    let mut agent = Agent::enrol(server.address, "clinic", 1);
    agent.sync_whole(server.address);
    (server, agent)
}

#[test]
fn a_disabled_site_records_on_and_everything_comes_once_it_is_enabled() {
    let folder = Folder::new("");
    let (server, mut agent) = clinic(&folder);

    let text = folder.text(&["site", "disable", "clinic"]);

    assert_eq!(text, "site 2 clinic does not sync until `site enable 2`; it goes on recording\n");
    agent.record_location("L1", "S1");
    assert_eq!(code(&agent.sync(server.address)), "site_disabled");
    assert!(folder.text(&["site", "disable", "clinic"]).contains("already"));
    assert!(folder.text(&["status"]).contains("DISABLED since"));
    let listed = folder.json(&["site", "list"], "");
    assert_eq!(listed["sites"][1]["sync"], "disabled");
    assert_eq!(folder.failure(&["site", "pause", "clinic", "--minutes", "5"], ""), (5, "site_disabled".to_owned()));
    assert!(folder.text(&["site", "unpause", "clinic"]).contains("`site enable 2` ends that"));
    // It outlives a restart.
    server.stop();
    let server = folder.serve();
    assert_eq!(code(&agent.sync(server.address)), "site_disabled");
    folder.json(&["site", "enable", "clinic"], "");
    agent.sync_whole(server.address);
    assert_eq!(folder.json(&["records", "Location"], "")["records"].as_array().unwrap().len(), 1);
    assert!(folder.text(&["site", "enable", "clinic"]).contains("nothing was done"));
}

#[test]
fn a_paused_site_is_asked_to_come_again_and_a_store_on_its_way_waits_for_it() {
    let folder = Folder::new("");
    let (server, mut agent) = clinic(&folder);
    folder.add_site("hospital", &[]);

    let paused = folder.json(&["site", "pause", "clinic", "--minutes", "30"], "");

    let reply = agent.post_request(server.address);
    assert_eq!((reply.status, reply.header("x-outpost-code")), (409, Some("site_paused")));
    assert_eq!(reply.header("retry-after"), Some("900"));
    assert_eq!(folder.json(&["site", "show", "clinic"], "")["paused_until"], paused["paused_until"]);
    let moved = folder.json(&["store", "add", "S1", "--site", "hospital"], "");
    assert_eq!((&moved["outcome"], &moved["waits_for_sync"]), (&"draining".into(), &"paused".into()));
    let under_way = folder.json(&["store", "moves"], "");
    assert_eq!(under_way["moves"][0]["waits_for_sync"], "paused");
    assert!(folder.text(&["status"]).contains("which does not sync: it is paused"));
    for minutes in ["0", "40321"] {
        let refused = folder.failure(&["site", "pause", "clinic", "--minutes", minutes], "");
        assert_eq!(refused, (5, "pause_minutes".to_owned()));
    }
    folder.json(&["site", "unpause", "clinic"], "");
    for _ in 0..3 {
        agent.sync_whole(server.address);
    }
    assert_eq!(folder.json(&["store", "moves"], "")["moves"][0]["phase"], "filling");
    assert_eq!(folder.failure(&["site", "pause", "central", "--minutes", "5"], ""), (5, "site_is_central".to_owned()));
}

#[test]
fn a_check_says_what_keeps_a_site_from_syncing_and_its_exit_code_that_something_does() {
    let folder = Folder::new("");
    let (_server, mut agent) = clinic(&folder);
    agent.record_location("L1", "S1");
    let check = |site: &str| {
        let output = folder.run(&["--json", "site", "check", site], "");
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let codes = |key: &str| {
            let found = value[key].as_array().unwrap().iter();
            found.map(|found| found["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        (output.status.code().unwrap(), codes("obstacles"), codes("notes"))
    };
    assert_eq!(check("clinic"), (0, vec![], vec![]));
    assert!(folder.text(&["site", "check", "clinic"]).contains("its device would be taken\n"));

    folder.add_site("empty", &[]);
    folder.json(&["site", "disable", "empty"], "");
    let none: Vec<String> = Vec::new();
    let expected = vec!["site_disabled".to_owned(), "not_enrolled".to_owned()];
    assert_eq!(check("empty"), (5, expected, vec!["never_seen".to_owned()]));
    folder.json(&["site", "edit", "clinic", "--name", "north"], "");
    assert_eq!(check("north"), (5, vec!["credentials_changed".to_owned()], none.clone()));
    folder.json(&["site", "edit", "north", "--name", "clinic"], "");
    assert_eq!(check("clinic"), (0, none.clone(), none));
    assert_eq!(folder.failure(&["site", "check", "central"], ""), (5, "site_is_central".to_owned()));
    assert_eq!(folder.failure(&["site", "check", "nowhere"], ""), (5, "unknown_site".to_owned()));
}

#[test]
fn a_site_is_deleted_once_it_is_empty_and_its_device_is_told_so() {
    let folder = Folder::new("");
    let (server, mut agent) = clinic(&folder);
    assert_eq!(folder.failure(&["site", "delete", "clinic"], ""), (5, "site_has_stores".to_owned()));
    assert_eq!(folder.failure(&["site", "delete", "central"], ""), (5, "site_is_central".to_owned()));
    folder.json(&["store", "remove", "S1"], "");
    assert_eq!(folder.failure(&["site", "delete", "clinic"], ""), (5, "site_has_moves".to_owned()));
    for _ in 0..3 {
        agent.sync_whole(server.address);
    }
    let dry = folder.text(&["site", "delete", "clinic", "--dry-run"]);
    assert!(dry.starts_with("nothing was done; site 2 clinic would be deleted"), "{dry}");
    agent.sync_whole(server.address);
    // What it records without a grant no real agent takes; it is refused, and kept.
    agent.record_location("L1", "S1");
    agent.sync_whole(server.address);

    let text = folder.text(&["site", "delete", "clinic"]);

    assert!(text.starts_with("site 2 clinic is deleted: its id is never given again, its name is free\n"), "{text}");
    assert!(text.contains("1 refused edit is kept: `set-aside list 2`"), "{text}");
    assert_eq!(code(&agent.sync(server.address)), "site_deleted");
    assert_eq!(folder.failure(&["site", "show", "clinic"], ""), (5, "unknown_site".to_owned()));
    assert_eq!(folder.json(&["site", "show", "2"], "")["sync"], "deleted");
    assert_eq!(folder.failure(&["site", "disable", "2"], ""), (5, "site_deleted".to_owned()));
    assert_eq!(folder.json(&["site", "list"], "")["sites"].as_array().unwrap().len(), 1);
    assert_eq!(folder.json(&["site", "list", "--deleted"], "")["sites"].as_array().unwrap().len(), 2);
    let output = folder.run(&["site", "check", "2"], "");
    assert_eq!(output.status.code(), Some(5));
    let aside = folder.json(&["set-aside", "list", "2"], "");
    let place = aside["set_aside"][0]["place"].as_str().unwrap();
    assert!(folder.text(&["set-aside", "list", "2", "--edits"]).contains(r#""id":"L1""#));
    folder.json(&["set-aside", "dismiss", "2", place], "");
    // The name is free, and the site that has it is another one.
    assert_eq!(folder.add_site("clinic", &["--store", "S1"]), 3);
    let other = enrolment("clinic", PASSWORD, 1, 1).replacen('{', "{\"site_id\":2,", 1);
    assert_eq!(post(server.address, "/enrol/v1", other.as_bytes()).unwrap().code(), "other_site");
    let mut next = Agent::enrol(server.address, "clinic", 5);
    next.sync_whole(server.address);
    server.stop();
    let server = folder.serve();
    assert_eq!(code(&agent.sync(server.address)), "site_deleted");
}

#[test]
fn a_dry_run_says_what_would_go_to_whom_and_changes_nothing() {
    let folder = Folder::new("");
    let (_server, _agent) = clinic(&folder);
    folder.json(&["import", "-"], &store_line("S2"));
    folder.add_site("hospital", &[]);
    let before = folder.json(&["status"], "");

    let moved = folder.json(&["store", "add", "S1", "--site", "hospital", "--dry-run"], "");

    let sites = moved["dry_run"]["sites"].as_array().unwrap();
    assert_eq!((sites[0]["id"].as_u64(), sites[1]["id"].as_u64()), (Some(2), Some(3)), "{moved}");
    assert_eq!(sites[1]["comes"][0]["what"], "store S1");
    assert_eq!(moved["outcome"], "draining");
    let text = folder.text(&["store", "remove", "S1", "--dry-run"]);
    assert!(text.contains("store S1, goes from site 2 clinic"), "{text}");
    let password = folder.password_file();
    let added = ["site", "add", "third", "--store", "S2", "--password-file", password.to_str().unwrap(), "--dry-run"];
    let text = folder.text(&added);
    assert!(text.contains("comes to site 4 third"), "{text}");
    let role = ["store", "set-role", "S1", "--site", "hospital", "collector", "--dry-run"];
    assert_eq!(folder.failure(&role, ""), (5, "collector_unseen".to_owned()));
    let mut after = folder.json(&["status"], "");
    after["database_bytes"] = before["database_bytes"].clone();
    assert_eq!(after, before);
}
