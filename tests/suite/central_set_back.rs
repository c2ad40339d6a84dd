//! Central is restored from an older backup, others write to it first, and a site that was ahead comes: both show the same in the end,
//! nothing of the site's is lost, and what only central had made is handed back for an operator to adopt (rule 5.12).

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::success;
use crate::sync::{central_by_tls, same_records};

fn stock(store: &str, id: &str, quantity: u32) -> String {
    json!({"table": "item_line", "op": "upsert", "id": id, "data": {"ID": id, "store_ID": store, "quantity": quantity}})
        .to_string()
        + "\n"
}

fn unit(id: &str, text: &str) -> String {
    json!({"table": "unit", "op": "upsert", "id": id, "data": {"ID": id, "units": text}}).to_string() + "\n"
}

/// Stops central, and copies or puts back its folder.
fn backup(central: &mut Central) -> std::path::PathBuf {
    central.kill();
    let kept = central.folder().with_file_name("kept-central");
    success(&std::process::Command::new("cp").arg("-a").args([central.folder(), kept.clone()]).output().unwrap());
    central.start();
    kept
}

fn restore(central: &mut Central, kept: &std::path::Path) {
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
    for number in 0..5 {
        central.import(&unit(&format!("U-new-{number}"), "made at central after the restore"));
        south.record(&stock(other, &format!("S-south-{number}"), number));
    }
    assert_eq!(south.settle()["outcome"], "drained");
    north.record(&stock(store, "S3", 3));

    assert_eq!(north.settle()["outcome"], "drained");
    // What did not come again is known then; it is handed back with the next one, and refused, since a site writes no units.
    let output = north.run(&["sync", "--json"], "");
    let synced: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&synced["outcome"], &synced["refused"]), (&json!("drained"), &json!(1)));

    let mut there = central.records("item_line");
    there.retain(|_, record| record["store_ID"] == store.as_str());
    assert_eq!(north.records("item_line"), there);
    assert_eq!(there.keys().collect::<Vec<_>>(), ["S2", "S3"]);
    same_records(&central, &north, &["item", "store", "unit"]);
    same_records(&central, &south, &["item", "store", "unit"]);
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
}
