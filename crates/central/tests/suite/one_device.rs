//! Rule 5.7 with real processes: a copied device stops its site, an administrator lets it go on, and what comes in a closed journal
//! is found in set-aside.

use protocol::session::Failure;

use crate::support::agent::{Agent, enrolment};
use crate::support::folder::{Folder, PASSWORD};
use crate::support::http::{Connection, post};
use crate::support::store_line;
use crate::support::wait::wait_for;

fn code(outcome: &protocol::session::Outcome) -> &str {
    outcome.failure.as_ref().map_or("", Failure::code)
}

#[test]
fn an_original_and_its_copy_stop_their_site_and_one_goes_on_when_an_administrator_says_so() {
    let folder = Folder::new("");
    folder.add_site("clinic", &[]);
    let server = folder.serve();
    let mut original = Agent::enrol(server.address, "clinic", 1);
    original.sync_whole(server.address);
    let mut copy = original.copy();

    let mut codes = Vec::new();
    for _ in 0..10 {
        codes.push(code(&original.sync(server.address)).to_owned());
        codes.push(code(&copy.sync(server.address)).to_owned());
    }

    let caught = codes.iter().position(|code| !code.is_empty()).unwrap();
    assert!(caught <= 3, "{codes:?}");
    assert!(codes[caught..].iter().all(|code| code == "site_stopped"), "{codes:?}");
    let shown = folder.json(&["site", "show", "clinic"], "");
    assert_eq!(shown["stop_code"], "two_devices");
    assert!(folder.text(&["status"]).contains("STOPPED since"));

    // The stop outlives a restart.
    server.stop();
    let server = folder.serve();
    assert_eq!(code(&original.sync(server.address)), "site_stopped");
    folder.json(&["site", "resume", "clinic"], "");
    assert_eq!(folder.failure(&["site", "resume", "clinic"], ""), (5, "site_not_stopped".to_owned()));
    for _ in 0..3 {
        original.sync_whole(server.address);
    }
    assert_eq!(code(&copy.sync(server.address)), "site_stopped");
}

#[test]
fn a_retired_device_that_sends_byte_after_byte_does_not_hold_up_the_one_in_its_place() {
    let folder = Folder::new("[timeouts]\nsupersede_idle_ms = 3600000\n");
    folder.json(&["import", "-"], &store_line("S1"));
    folder.add_site("clinic", &["--store", "S1"]);
    let server = folder.serve();
    let mut stolen = Agent::enrol(server.address, "clinic", 1);
    stolen.sync_whole(server.address);
    let mut quiet = stolen.copy();
    stolen.record_location("L1", "S1");
    let request = stolen.request();
    let (most, rest) = request.split_at(request.len() - 20);
    // Which of the two comes first is not known: the one that is told to come again may be the open one.
    let mut hold = |what: &str| {
        wait_for(what, || {
            let mut open = Connection::begin(server.address, "/sync/v1", request.len());
            open.send(most).unwrap();
            (quiet.post_request(server.address).code() == "site_busy").then_some(open)
        })
    };
    // One exchange from before the reset, and one from after it.
    let mut before = hold("the stolen tablet to have the slot");
    folder.json(&["site", "reset-hardware", "clinic"], "");
    let mut new = Agent::enrol(server.address, "clinic", 2);
    let mut after = hold("the retired key to have a slot");

    for bytes in rest[..6].chunks(2) {
        // Neither is ever silent for long. The one from before is cut by the first exchange of the new tablet.
        let _ = before.send(bytes);
        after.send(bytes).unwrap();
        new.sync_whole(server.address);
    }
    let _ = before.send(&rest[6..]);
    // What it brings is not taken for the new device's.
    assert_ne!(before.reply().map(|reply| reply.status), Some(200));
    assert_eq!(folder.failure(&["records", "Location", "--id", "L1"], ""), (5, "unknown_record".to_owned()));
}

#[test]
fn what_comes_in_a_closed_journal_is_set_aside_to_be_looked_at_taken_out_and_dismissed() {
    let folder = Folder::new("");
    folder.json(&["import", "-"], &store_line("S1"));
    folder.add_site("clinic", &["--store", "S1"]);
    let server = folder.serve();
    let mut old = Agent::enrol(server.address, "clinic", 1);
    old.record_location("L1", "S1");
    old.sync_whole(server.address);
    let body = enrolment("clinic", PASSWORD, 1, 9);
    assert_eq!(post(server.address, "/enrol/v1", body.as_bytes()).unwrap().status, 200);
    old.record_location("L2", "S1");
    old.record_location("L3", "S1");

    let outcome = old.sync(server.address);

    assert_eq!(code(&outcome), "device_retired");
    let listed = folder.json(&["set-aside", "list", "clinic"], "");
    let items = listed["set_aside"].as_array().unwrap();
    assert_eq!(items.iter().map(|item| item["id"].as_str().unwrap()).collect::<Vec<_>>(), ["L2", "L3"]);
    assert!(items.iter().all(|item| item["code"] == "device_retired"));
    let edits = folder.text(&["set-aside", "list", "clinic", "--edits"]);
    let first: serde_json::Value = serde_json::from_str(edits.lines().next().unwrap()).unwrap();
    assert_eq!((first["op"].as_str(), first["data"]["store_ID"].as_str()), (Some("put"), Some("S1")));
    let of_kind = |kind: &str| folder.json(&["set-aside", "list", "clinic", "--kind", kind], "")["set_aside"].clone();
    assert_eq!(of_kind("late").as_array(), Some(items));
    assert_eq!((of_kind("refused"), of_kind("waiting")), (serde_json::json!([]), serde_json::json!([])));
    let shown = folder.json(&["site", "show", "clinic"], "");
    assert_eq!(
        (&shown["set_aside"], &shown["set_aside_late"], &shown["waiting_entries"]),
        (&2.into(), &2.into(), &0.into())
    );
    assert_eq!((&shown["set_aside_is_nearly_full"], &shown["set_aside_dropped"]), (&false.into(), &0.into()));
    assert!(shown["set_aside_bytes"].as_u64() > Some(0));
    let place = items[0]["place"].as_str().unwrap();
    folder.json(&["set-aside", "dismiss", "clinic", place], "");
    assert_eq!(folder.failure(&["set-aside", "dismiss", "clinic", place], ""), (5, "set_aside_missing".to_owned()));
    assert_eq!(folder.failure(&["set-aside", "dismiss", "clinic", "1"], ""), (2, "set_aside_place".to_owned()));
    let left = folder.json(&["set-aside", "list", "clinic"], "");
    assert_eq!(left["set_aside"].as_array().unwrap().len(), 1);
    // No record came of it.
    assert_eq!(folder.failure(&["records", "Location", "--id", "L2"], ""), (5, "unknown_record".to_owned()));
}
