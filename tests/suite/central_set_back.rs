//! Central is restored from an older backup, others write to it first, and a site that was ahead comes: both show the same in the end,
//! nothing of the site's is lost, and what only central had made is handed back for an operator to adopt (rule 5.12).

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::certificates::authority;
use crate::support::{success, wait_until};
use crate::sync::{central_by_tls, same_records};

pub(crate) fn stock(store: &str, id: &str, quantity: u32) -> String {
    json!({"table": "item_line", "op": "upsert", "id": id, "data": {"ID": id, "store_ID": store, "quantity": quantity}})
        .to_string()
        + "\n"
}

fn unit(id: &str, text: &str) -> String {
    json!({"table": "unit", "op": "upsert", "id": id, "data": {"ID": id, "units": text}}).to_string() + "\n"
}

/// Stops central, and copies or puts back its folder.
pub(crate) fn backup(central: &mut Central) -> std::path::PathBuf {
    central.kill();
    let kept = central.folder().with_file_name("kept-central");
    success(&std::process::Command::new("cp").arg("-a").args([central.folder(), kept.clone()]).output().unwrap());
    central.start();
    kept
}

pub(crate) fn restore(central: &mut Central, kept: &std::path::Path) {
    central.kill();
    std::fs::remove_dir_all(central.folder()).unwrap();
    success(&std::process::Command::new("cp").arg("-a").args([kept, &central.folder()]).output().unwrap());
    central.start();
}

#[test]
fn a_central_set_back_without_its_key_stops_no_site_once_they_trust_the_new_one() {
    let (mut central, data) = central_by_tls(5, &["north"]);
    let north = Agent::initialised(&central, "north");
    let kept = backup(&mut central);
    north.set_url(&central.url());
    let store = &data.stores[0];
    for number in 0..3 {
        north.record(&stock(store, &format!("S{number}"), number));
        north.settle();
    }
    std::fs::remove_file(kept.join("central.key")).unwrap();
    central.kill();
    std::fs::remove_dir_all(central.folder()).unwrap();
    success(&std::process::Command::new("cp").arg("-a").args([&kept, &central.folder()]).output().unwrap());
    success(&central.run(&["key", "new"], ""));
    central.start();
    north.set_url(&central.url());
    let identity = central.json(&["identity"]);
    north.ok(&["re-pin", identity["fingerprint"].as_str().unwrap()]);

    assert_eq!(north.settle()["outcome"], "drained");

    north.record(&stock(store, "S9", 9));
    assert_eq!(north.settle()["outcome"], "drained");
    assert!(central.json(&["site", "show", "north"])["stopped"].is_null());
    same_records(&central, &north, &["item_line", "item", "store"]);
    assert_eq!(central.records("item_line").len(), 4);
}

#[test]
fn a_central_set_back_and_written_to_heals_with_each_site_and_loses_nothing_of_theirs() {
    let (mut central, data) = central_by_tls(5, &["north", "south"]);
    let (north, south) = (Agent::initialised(&central, "north"), Agent::initialised(&central, "south"));
    let (store, other) = (&data.stores[0], &data.stores[1]);
    north.record(&stock(store, "S1", 1));
    north.settle();
    south.settle();
    let kept = backup(&mut central);
    north.set_url(&central.url());
    south.set_url(&central.url());
    // All of this central will have forgotten.
    north.record(&stock(store, "S1", 2));
    north.record(&stock(store, "S2", 2));
    central.import(&unit("U-lost", "made at central after the backup"));
    north.settle();
    north.record(&(json!({"table": "item_line", "op": "delete", "id": "S1"}).to_string() + "\n"));
    north.settle();

    restore(&mut central, &kept);
    north.set_url(&central.url());
    south.set_url(&central.url());
    // Others write first: positions are used again.
    central
        .import(&(json!({"table": "store", "op": "upsert", "id": "new", "data": {"code": "new"}}).to_string() + "\n"));
    for number in 0..5 {
        central.import(&unit(&format!("U-new-{number}"), "made at central after the restore"));
        south.record(&stock(other, &format!("S-south-{number}"), number));
    }
    assert_eq!(south.settle()["outcome"], "drained");
    assert!(central.json(&["status"])["healing"].is_null(), "nobody can know yet");
    north.record(&stock(store, "S3", 3));

    assert_eq!(north.settle()["outcome"], "drained");
    let healing = central.json(&["status"])["healing"].clone();
    assert!(!healing["since"].is_null() && healing["ended"].is_null(), "{healing}");
    assert_eq!((&healing["sites_ahead"], &healing["sites_unheard"]), (&json!(1), &json!(1)), "{healing}");
    let text = success(&central.run(&["status"], ""));
    assert!(text.contains("\nHEALING since "), "{text}");
    assert!(text.lines().any(|line| line.starts_with("AHEAD since ") && line.contains(": site 2 north ")), "{text}");
    let refused = central.run(&["store", "add", "new", "--site", "south"], "");
    assert_eq!(refused.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("2 sites have not reported"), "{refused:?}");
    // What did not come again is known then; it is handed back with the next one, and refused, since a site writes no units. Nobody
    // edited it here, so nobody is bothered with it here.
    assert_eq!(north.settle()["outcome"], "drained");
    let status = north.json(&["status"]);
    assert_eq!((&status["set_aside"], &status["handed_back_refused"]), (&json!(0), &json!(1)));

    let mut there = central.records("item_line");
    there.retain(|_, record| record["store_ID"] == store.as_str());
    assert_eq!(north.records("item_line"), there);
    assert_eq!(there.keys().collect::<Vec<_>>(), ["S2", "S3"]);
    same_records(&central, &north, &["item", "store", "unit"]);
    same_records(&central, &south, &["item", "store", "unit"]);
    // Healed is who has heard what became of it.
    north.settle();
    let shown = central.json(&["site", "show", "north"]);
    assert!(!shown["ahead"].is_null(), "{shown}");
    assert!(!shown["healed"].is_null(), "{shown}");
    assert!(shown["stopped"].is_null(), "{shown}");
    // What central made and lost waits for an operator, who adopts it.
    assert!(!central.records("unit").contains_key("U-lost"));
    let edits = central.run(&["set-aside", "list", "north", "--edits"], "");
    let lines = String::from_utf8(edits.stdout).unwrap();
    assert_eq!(lines.lines().count(), 1, "{lines}");
    central.import(&lines);
    assert!(central.records("unit").contains_key("U-lost"));
    north.settle();
    same_records(&central, &north, &["unit"]);
    // Central hears with the next exchange that what the last one brought is stored.
    for _ in 0..2 {
        assert_eq!(south.settle()["outcome"], "drained");
    }
    let healing = central.json(&["status"])["healing"].clone();
    assert!(!healing["ended"].is_null(), "{healing}");
    assert_eq!((&healing["is_ended_by_operator"], &healing["sites_unheard"]), (&json!(false), &json!(0)));
    success(&central.run(&["store", "add", "new", "--site", "south"], ""));
    assert!(success(&central.run(&["status"], "")).contains("\nhealed "));
    assert_eq!(central.run(&["healing", "end"], "").status.code(), Some(5));
}

/// What central has set aside of a site, without the time at which it came.
fn set_aside_at(central: &Central, site: &str) -> Vec<Value> {
    let mut items = central.json(&["set-aside", "list", site])["set_aside"].as_array().unwrap().clone();
    for item in &mut items {
        item["received"].take();
    }
    items
}

#[test]
fn what_central_refused_before_it_was_set_back_keeps_its_old_verdict_although_nothing_is_against_it_any_more() {
    let (mut central, data) = central_by_tls(5, &["north", "south"]);
    let (north, south) = (Agent::initialised(&central, "north"), Agent::initialised(&central, "south"));
    let (store, other) = (&data.stores[0], &data.stores[1]);
    south.record(&stock(other, "before", 1));
    south.settle();
    let kept = backup(&mut central);
    north.set_url(&central.url());
    south.set_url(&central.url());
    // Another site has this id first, which is all that is against south's edit.
    north.record(&stock(store, "both", 1));
    north.settle();
    south.record(&(stock(other, "both", 2) + &stock(other, "after", 2)));
    wait_until("south is told that it is refused", || {
        south.run(&["sync"], "");
        south.json(&["status"])["set_aside"] == 1
    });
    south.settle();
    let (told, aside) = (south.json(&["set-aside", "list"]), set_aside_at(&central, "south"));
    assert_eq!((&told["refused"][0]["id"], &aside[0]["id"]), (&json!("both"), &json!("both")));
    assert_eq!((told["refused"].as_array().unwrap().len(), aside.len()), (1, 1));
    let code = told["refused"][0]["code"].as_str().unwrap();
    assert_eq!(aside[0]["code"], code);

    restore(&mut central, &kept);
    south.set_url(&central.url());
    assert_eq!(central.records("item_line").keys().collect::<Vec<_>>(), ["before"]);
    assert_eq!(set_aside_at(&central, "south"), [] as [Value; 0]);
    // South comes first: judged anew, its edit would be accepted.
    for _ in 0..3 {
        assert_eq!(south.settle()["outcome"], "drained");
    }

    assert_eq!(set_aside_at(&central, "south"), aside, "at the same place, for the same reason, once");
    assert_eq!(central.records("item_line").keys().collect::<Vec<_>>(), ["after", "before"]);
    assert_eq!(south.json(&["set-aside", "list"]), told);
    // The id is free for whoever had it, and the refused edit stays what it was when that one is there again.
    north.set_url(&central.url());
    for agent in [&north, &south, &north, &south] {
        assert_eq!(agent.settle()["outcome"], "drained");
    }
    assert_eq!(central.records("item_line")["both"]["store_ID"], store.as_str());
    assert_eq!(set_aside_at(&central, "south"), aside);
    assert_eq!(set_aside_at(&central, "north"), [] as [Value; 0]);
    assert_eq!(south.json(&["set-aside", "list"]), told);
    for agent in [&north, &south] {
        same_records(&central, agent, &["item", "store", "unit"]);
        assert_eq!(agent.json(&["status"])["pending"]["edits"], 0);
    }
    assert_eq!(south.records("item_line").keys().collect::<Vec<_>>(), ["after", "before"]);
    assert!(!central.json(&["site", "show", "south"])["ahead"].is_null(), "central knows that it was set back");
}

pub(crate) fn large(store: &str, id: &str) -> String {
    let note = "y".repeat(400_000);
    json!({"table": "item_line", "op": "put", "id": id, "data": {"ID": id, "store_ID": store, "note": note}})
        .to_string()
        + "\n"
}

fn quantity(id: &str, quantity: u32) -> String {
    json!({"table": "item_line", "op": "patch", "id": id, "data": {"quantity": quantity}}).to_string() + "\n"
}

/// Lets the agent reach central at its address, and keep nothing of its journal that central has received.
pub(crate) fn keep_no_tail(agent: &Agent, central: &Central) {
    let file = agent.file("tests-authority.pem", authority().pem());
    let more = format!("ca_file = \"{}\"\n[limits]\nacknowledged_tail_bytes_max = 0", file.display());
    agent.set_central(&central.url(), &more);
}

#[test]
fn a_site_whose_journal_does_not_reach_back_heals_central_with_its_records() {
    heal_with_records(false);
}

#[test]
fn an_agent_that_runs_as_a_service_heals_central_with_its_records_without_a_restart() {
    heal_with_records(true);
}

fn heal_with_records(is_service: bool) {
    let (mut central, data) = central_by_tls(5, &["north", "south"]);
    let (mut north, south) = (Agent::initialised(&central, "north"), Agent::initialised(&central, "south"));
    let (store, other) = (&data.stores[0], &data.stores[1]);
    for id in ["old", "kept"] {
        north.record(&stock(store, id, 1));
    }
    north.settle();
    south.settle();
    let kept = backup(&mut central);
    keep_no_tail(&north, &central);
    // Of these neither central nor the journal will have anything.
    north.record(&quantity("old", 2));
    north.record(&stock(store, "new", 2));
    (0..8).for_each(|number| drop(north.record(&large(store, &format!("large-{number}")))));
    north.settle();
    // These stand above, and change what central will not have: one is sent now, one will be later.
    north.record(&quantity("new", 3));
    north.settle();
    let floor = north.json(&["status"])["journal"]["floor"].as_u64().unwrap();
    assert!(floor > 5, "the journal begins above {floor}");

    restore(&mut central, &kept);
    keep_no_tail(&north, &central);
    south.set_url(&central.url());
    for number in 0..5 {
        central.import(&unit(&format!("U-new-{number}"), "made at central after the restore"));
        south.record(&stock(other, &format!("S-south-{number}"), number));
    }
    north.record(
        &(json!({"table": "item_line", "op": "patch", "id": "new", "data": {"note": "unsent"}}).to_string() + "\n"),
    );
    if is_service {
        north.start();
    }
    let mut told = Vec::new();
    while told.len() < 5 {
        let output = north.run(&["sync", "--json"], "");
        if output.status.success() {
            break;
        }
        told.push(String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout));
    }
    assert!(told.iter().any(|text| text.contains("central_lost_history")), "{told:?}");
    // What the records hold goes with the next one, and the one after says that nothing is left.
    assert_eq!(north.settle()["outcome"], "drained");
    assert_eq!(north.settle()["outcome"], "drained");

    let mut there = central.records("item_line");
    there.retain(|_, record| record["store_ID"] == store.as_str());
    assert_eq!(north.records("item_line"), there);
    assert_eq!(there.len(), 11);
    assert_eq!((&there["old"]["quantity"], &there["kept"]["quantity"]), (&json!(2), &json!(1)));
    assert_eq!((&there["new"]["quantity"], &there["new"]["note"]), (&json!(3), &json!("unsent")));
    same_records(&central, &north, &["item", "store", "unit"]);
    assert_eq!(north.json(&["status"])["pending"]["edits"], 0);
    assert_eq!(north.json(&["set-aside", "list"])["refused"], json!([]));
    if is_service {
        north.signal("TERM");
        assert_eq!(north.wait(), 0);
    }
    let shown = central.json(&["site", "show", "north"]);
    assert!(!shown["ahead"].is_null() && !shown["healed"].is_null() && shown["stopped"].is_null(), "{shown}");
}
