//! One device speaks for a site: lost answers, copies, repairs, replaced tablets, changed names and passwords.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::agent::{Agent, BOARD, CHIP};
use crate::support::central::{Central, password};
use crate::support::link::{Link, Mood};
use crate::support::success;
use crate::sync::{central_by_tls, same_records};

fn stock(store: &str, id: &str) -> String {
    json!({"table": "item_line", "op": "upsert", "id": id, "data": {"ID": id, "store_ID": store}}).to_string() + "\n"
}

fn site(central: &Central, name: &str) -> Value {
    central.json(&["site", "show", name])
}

/// Another device with a copy of a data folder.
fn copy_of(agent: &Agent, central: &Central) -> Agent {
    let copy = Agent::new(&central.url());
    copy_folder(&agent.data(), &copy.data());
    copy
}

fn copy_folder(from: &Path, to: &Path) {
    success(&Command::new("cp").arg("-a").args([from, to]).output().unwrap());
}

fn error_of(agent: &Agent, arguments: &[&str]) -> String {
    let output = agent.run(arguments, "");
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap() + &String::from_utf8_lossy(&output.stdout)
}

fn password_file(agent: &Agent, password: &str) -> String {
    let file = agent.file("a-password", password);
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn an_enrolment_that_is_cut_anywhere_is_repeated_without_harm() {
    let (central, data) = central_by_tls(5, &["north"]);
    let link = Link::to(central.address(), Mood::Good);
    let agent = Agent::new(&link.url_by_tls());
    let file = password_file(&agent, &password("north"));
    let enrol = ["enrol", "--name", "north", "--password-file", &file];
    let mut cuts = 0;
    for bytes in (0..).step_by(250) {
        link.set(Mood::CutAfter(bytes));
        let output = agent.run(&enrol, "");
        if output.status.success() {
            break;
        }
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        cuts += 1;
    }

    assert!(cuts > 4, "both steps were cut, asking and answering: {cuts}");
    let shown = site(&central, "north");
    assert_eq!((&shown["binding"], &shown["retired_keys"]), (&json!("strong"), &json!(0)), "{shown}");
    link.set(Mood::Good);
    agent.ok(&enrol);
    agent.ok(&["initialise"]);
    agent.record(&stock(&data.stores[0], "S1"));
    agent.settle();
    assert_eq!(site(&central, "north")["bound"], shown["bound"]);
    same_records(&central, &agent, &["item_line"]);
}

#[test]
fn a_copied_folder_on_other_hardware_records_and_does_not_sync() {
    let (central, data) = central_by_tls(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let copy = copy_of(&agent, &central);

    assert_eq!(copy.fails(&["sync"], ""), (5, "hardware_changed".to_owned()));
    let told = error_of(&copy, &["sync"]);
    assert!(told.contains("serial number of the chip, serial number of the board"), "{told}");
    assert!(told.contains("reset-hardware") && !told.contains("chip ."), "{told}");
    assert_eq!(copy.record(&stock(&data.stores[0], "S1"))["recorded"], 1, "recording goes on");
    assert_eq!(copy.json(&["get", "item_line", "S1"])["data"]["ID"], "S1");
    let file = password_file(&copy, &password("north"));
    let refused = copy.fails(&["enrol", "--name", "north", "--password-file", &file], "");
    assert_eq!(refused, (5, "hardware_differs".to_owned()), "the password does not help it either");

    agent.record(&stock(&data.stores[0], "S2"));
    agent.settle();
    assert_eq!(central.records("item_line").keys().collect::<Vec<_>>(), ["S2"]);
}

#[test]
fn a_daemon_on_other_hardware_says_so_in_its_status() {
    let (central, _data) = central_by_tls(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let mut copy = copy_of(&agent, &central);
    copy.start();

    assert_eq!(copy.fails(&["sync"], ""), (5, "hardware_changed".to_owned()));

    let status = copy.json(&["status"]).to_string();
    assert!(status.contains("hardware_changed"), "{status}");
}

#[test]
fn a_device_with_one_exchanged_part_goes_on_and_is_told_of_it() {
    let (central, data) = central_by_tls(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    agent.set_hardware(BOARD, "another board");
    agent.record(&stock(&data.stores[0], "S1"));

    let output = agent.run(&["sync", "--json"], "");

    let told = String::from_utf8(output.stderr.clone()).unwrap();
    success(&output);
    assert_eq!(told.matches("changed: serial number of the board").count(), 1, "{told}");
    assert_eq!(central.records("item_line").len(), 1);
    // Enrolling again takes the device as it is.
    agent.enrol(&central, "north");
    let told = String::from_utf8(agent.run(&["sync"], "").stderr).unwrap();
    assert!(!told.contains("differs"), "{told}");
}

#[test]
fn a_wiped_tablet_takes_its_place_again() {
    let (central, data) = central_by_tls(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    agent.record(&stock(&data.stores[0], "S1"));
    agent.settle();

    agent.wipe();
    agent.enrol(&central, "north");
    agent.ok(&["initialise"]);

    same_records(&central, &agent, &["item_line", "item"]);
    assert_eq!(site(&central, "north")["retired_keys"], 1);
}

#[test]
fn a_lost_tablet_is_replaced_after_a_reset_and_stays_out() {
    let (central, data) = central_by_tls(5, &["north"]);
    let lost = Agent::initialised(&central, "north");
    lost.record(&stock(&data.stores[0], "S1"));
    lost.settle();
    let new = Agent::new(&central.url());
    let file = password_file(&new, &password("north"));
    let enrol = ["enrol", "--name", "north", "--password-file", &file];
    let known = site(&central, "north");

    assert_eq!(new.fails(&enrol, ""), (5, "site_bound".to_owned()));
    let told = error_of(&new, &enrol);
    for part in [&known["device"], &known["bound"], &known["last_contact"], &json!("reset-hardware")] {
        assert!(told.contains(part.as_str().unwrap()), "{part} is not in {told}");
    }
    assert_eq!(told.matches("site_bound").count(), 1, "the code is said once: {told}");
    assert_eq!(site(&central, "north")["device"], known["device"]);

    let reset = central.json(&["site", "reset-hardware", "north"]);
    assert_eq!(reset["device"], known["device"]);
    new.ok(&enrol);
    new.ok(&["initialise"]);

    same_records(&central, &new, &["item_line", "item"]);
    assert_eq!(lost.fails(&["sync"], "").0, 5);
    let file = password_file(&lost, &password("north"));
    let refused = lost.fails(&["enrol", "--name", "north", "--password-file", &file], "");
    assert_eq!(refused, (5, "site_bound".to_owned()));
    new.record(&stock(&data.stores[0], "S2"));
    new.settle();
    assert_eq!(central.records("item_line").len(), 2);
}

#[test]
fn an_old_tablet_that_is_found_again_gives_what_it_had_not_sent_to_set_aside() {
    let (central, data) = central_by_tls(5, &["north"]);
    let old = Agent::initialised(&central, "north");
    old.record(&stock(&data.stores[0], "S1"));
    old.settle();
    old.record(&stock(&data.stores[0], "S-unsent-1"));
    old.record(&stock(&data.stores[0], "S-unsent-2"));
    central.json(&["site", "reset-hardware", "north"]);
    let new = Agent::initialised(&central, "north");

    for _ in 0..2 {
        assert_eq!(old.fails(&["sync"], ""), (5, "device_retired".to_owned()));
        let listed = central.json(&["set-aside", "list", "north"]);
        let items = listed["set_aside"].as_array().unwrap();
        let found: Vec<_> = items.iter().map(|item| (item["id"].as_str(), item["code"].as_str())).collect();
        let expected = ["S-unsent-1", "S-unsent-2"].map(|id| (Some(id), Some("device_retired")));
        assert_eq!(found, expected, "each once, however often it comes");
    }

    assert_eq!(central.records("item_line").keys().collect::<Vec<_>>(), ["S1"], "no record came of it");
    new.settle();
    same_records(&central, &new, &["item_line"]);
    // Recorded again where the site's store is now, they are edits as any others.
    new.record(&success(&central.run(&["set-aside", "list", "north", "--edits"], "")));
    new.settle();
    assert_eq!(central.records("item_line").len(), 3);
    same_records(&central, &new, &["item_line"]);
}

#[test]
fn a_repaired_device_goes_on_after_a_reset_with_what_it_had_not_sent() {
    let (central, data) = central_by_tls(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    agent.record(&stock(&data.stores[0], "S1"));
    agent.settle();
    agent.set_hardware(CHIP, "another chip");
    agent.set_hardware(BOARD, "");
    agent.record(&stock(&data.stores[0], "S2"));
    assert_eq!(agent.fails(&["sync"], ""), (5, "hardware_changed".to_owned()));

    central.json(&["site", "reset-hardware", "north"]);
    agent.enrol(&central, "north");

    agent.settle();
    same_records(&central, &agent, &["item_line"]);
    assert_eq!(central.records("item_line").len(), 2);
    let shown = site(&central, "north");
    assert_eq!((&shown["binding"], &shown["retired_keys"]), (&json!("weak"), &json!(1)), "{shown}");
}

#[test]
fn a_thief_with_a_copy_of_the_folder_stays_out_after_the_tablet_was_reset_and_enrolled_again() {
    let (central, data) = central_by_tls(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    agent.record(&stock(&data.stores[0], "S1"));
    agent.settle();
    // On hardware that says the same: a copy of the tablet as it is.
    let thief = copy_of(&agent, &central);
    for name in [CHIP, BOARD] {
        let serial = std::fs::read_to_string(agent.hardware(name)).unwrap();
        thief.set_hardware(name, &serial);
    }
    let known = site(&central, "north")["device"].clone();
    central.json(&["site", "reset-hardware", "north"]);
    assert_eq!(thief.fails(&["sync"], "").1, "device_retired");

    agent.enrol(&central, "north");

    thief.record(&stock(&data.stores[0], "T1"));
    for _ in 0..3 {
        assert_eq!(thief.fails(&["sync"], ""), (5, "device_retired".to_owned()));
        agent.record(&stock(&data.stores[0], "S2"));
        agent.settle();
    }
    assert_eq!(central.records("item_line").keys().collect::<Vec<_>>(), ["S1", "S2"]);
    assert_ne!(site(&central, "north")["device"], known);
}

#[test]
fn a_device_whose_key_was_retired_enrols_with_one_new_key_however_often_it_is_cut() {
    let (central, data) = central_by_tls(5, &["north"]);
    let link = Link::to(central.address(), Mood::Good);
    let agent = Agent::initialised(&central, "north");
    agent.record(&stock(&data.stores[0], "S1"));
    agent.set_url(&link.url_by_tls());
    central.json(&["site", "reset-hardware", "north"]);
    let file = password_file(&agent, &password("north"));
    let enrol = ["enrol", "--name", "north", "--password-file", &file];
    let mut devices = std::collections::BTreeSet::new();
    for bytes in (0..50_000).step_by(200) {
        link.set(Mood::CutAfter(bytes));
        let output = agent.run(&enrol, "");
        devices.extend(site(&central, "north")["device"].as_str().map(str::to_owned));
        if output.status.success() {
            break;
        }
        assert_eq!(output.status.code(), Some(4), "{output:?}");
    }

    assert_eq!(devices.len(), 1, "{devices:?}");
    link.set(Mood::Good);
    agent.settle();
    assert_eq!(central.records("item_line").keys().collect::<Vec<_>>(), ["S1"]);
    assert_eq!(site(&central, "north")["retired_keys"], 1);
    assert!(!agent.data().join("identity/key.next").exists());
}

#[test]
fn a_key_that_was_taken_unheard_and_retired_since_is_not_asked_with_for_ever() {
    let (central, _data) = central_by_tls(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let key = agent.data().join("identity/key");
    let first = std::fs::read(&key).unwrap();
    central.json(&["site", "reset-hardware", "north"]);
    agent.enrol(&central, "north");
    // As if the answer had been lost: the first key is in use, and the one that was taken waits.
    std::fs::rename(&key, key.with_file_name("key.next")).unwrap();
    std::fs::write(&key, first).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    central.json(&["site", "reset-hardware", "north"]);

    agent.enrol(&central, "north");

    agent.settle();
    assert_eq!(site(&central, "north")["retired_keys"], 2);
}

#[test]
fn a_device_that_was_set_back_and_reset_recovers_with_a_new_key() {
    let (central, data) = central_by_tls(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    agent.record(&stock(&data.stores[0], "S1"));
    agent.settle();
    let backup = agent.data().with_file_name("backup");
    copy_folder(&agent.data(), &backup);
    agent.record(&stock(&data.stores[0], "S2"));
    agent.settle();
    std::fs::remove_dir_all(agent.data()).unwrap();
    copy_folder(&backup, &agent.data());
    central.json(&["site", "reset-hardware", "north"]);
    let file = password_file(&agent, &password("north"));

    agent.ok(&["recover", "--yes", "--password-file", &file]);

    agent.record(&stock(&data.stores[0], "S3"));
    agent.settle();
    same_records(&central, &agent, &["item_line", "item"]);
    assert_eq!(central.records("item_line").keys().collect::<Vec<_>>(), ["S1", "S2", "S3"]);
    assert_eq!(site(&central, "north")["retired_keys"], 1);
}

#[test]
fn a_folder_that_belongs_to_one_site_binds_no_other() {
    let (central, data) = central_by_tls(5, &["north", "south"]);
    let agent = Agent::initialised(&central, "north");
    let file = password_file(&agent, &password("south"));

    let refused = agent.fails(&["enrol", "--name", "south", "--password-file", &file], "");

    assert_eq!(refused, (5, "other_site".to_owned()));
    assert_eq!(site(&central, "south")["device"], Value::Null, "nothing was bound");
    let south = Agent::initialised(&central, "south");
    south.record(&stock(&data.stores[1], "S1"));
    south.settle();
    agent.settle();
}

#[test]
fn a_container_without_serial_numbers_is_told_that_it_is_not_bound() {
    let (central, data) = central_by_tls(5, &["north"]);
    let agent = Agent::new(&central.url());
    agent.set_hardware(CHIP, "None");
    agent.set_hardware(BOARD, "To be filled by O.E.M.");
    let file = password_file(&agent, &password("north"));

    let told = agent.ok(&["enrol", "--name", "north", "--password-file", &file]);

    assert!(told.contains("Binding to the hardware: none."), "{told}");
    assert_eq!(site(&central, "north")["binding"], "none");
    agent.ok(&["initialise"]);
    agent.record(&stock(&data.stores[0], "S1"));
    agent.settle();
    // Nothing says that a wiped container is the same one.
    agent.wipe();
    let refused = agent.fails(&["enrol", "--name", "north", "--password-file", &file], "");
    assert_eq!(refused, (5, "site_bound".to_owned()));
}

#[test]
fn a_changed_password_stops_the_site_until_it_is_shown_or_put_back() {
    let (central, data) = central_by_tls(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    agent.record(&stock(&data.stores[0], "S1"));
    let new = password_file(&agent, "another secret");
    let edited = central.json(&["site", "edit", "north", "--password-file", &new]);
    assert_eq!(edited["credentials_changed"], true);
    let second = edited["credential_generation"].as_u64().unwrap();
    assert!(second > 1);
    assert!(edited["warning"].as_str().unwrap().contains("stops syncing"), "{edited}");

    assert_eq!(agent.fails(&["sync"], ""), (5, "credentials_changed".to_owned()));
    assert!(error_of(&agent, &["sync"]).contains("outpost enrol"));
    assert!(central.records("item_line").is_empty(), "a refused exchange stores nothing");

    let old = central.password_file("north");
    let edited = central.json(&["site", "edit", "north", "--password-file", old.to_str().unwrap()]);
    assert_eq!((&edited["credential_generation"], &edited["credentials_restored"]), (&json!(1), &json!(true)));
    agent.settle();
    assert_eq!(central.records("item_line").len(), 1);

    central.json(&["site", "edit", "north", "--name", "northern", "--password-file", &new]);
    assert_eq!(agent.fails(&["sync"], "").1, "credentials_changed");
    agent.ok(&["enrol", "--name", "northern", "--password-file", &new]);
    agent.record(&stock(&data.stores[0], "S2"));
    agent.settle();
    let shown = site(&central, "northern");
    assert!(shown["credential_generation"].as_u64().unwrap() > second, "{shown}");
    assert_eq!(shown["retired_keys"], 0, "{shown}");
    assert_eq!(central.records("item_line").len(), 2);
}

#[test]
fn a_device_that_has_the_new_password_in_its_settings_goes_on_by_itself() {
    let (central, data) = central_by_tls(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let new = password_file(&agent, "another secret");
    central.json(&["site", "edit", "north", "--password-file", &new]);
    agent.record(&stock(&data.stores[0], "S1"));
    agent.configure_password("north", &password("north"));

    assert_eq!(agent.fails(&["sync"], ""), (5, "credentials_changed".to_owned()));
    let told = error_of(&agent, &["sync"]);
    assert!(told.contains("the name or the password is wrong"), "the old one was shown, and that is said: {told}");

    agent.file("configured-password", "another secret");
    assert_eq!(agent.settle()["outcome"], "drained");
    assert_eq!(central.records("item_line").len(), 1);
    let quiet = agent.json(&["sync"]);
    assert_eq!(quiet["requests"], 1, "the password is shown once: {quiet}");

    // The variable goes before the file.
    let newer = password_file(&agent, "a third secret");
    central.json(&["site", "edit", "north", "--password-file", &newer]);
    success(&agent.command(&["sync"]).env("OUTPOST_PASSWORD", "a third secret").output().unwrap());
    assert_eq!(site(&central, "north")["retired_keys"], 0);
}

#[test]
fn wrong_passwords_are_told_to_wait_by_their_own_code() {
    let (central, _) = central_by_tls(1, &["north"]);
    let agent = Agent::new(&central.url());
    let file = password_file(&agent, "wrong");
    let enrol = ["enrol", "--name", "north", "--password-file", &file];
    let mut code = agent.fails(&enrol, "");
    for _ in 0..20 {
        if code.1 != "wrong_credentials" {
            break;
        }
        code = agent.fails(&enrol, "");
    }

    assert_eq!(code, (8, "too_many_attempts".to_owned()));
    let told = error_of(&agent, &enrol);
    assert!(told.contains("Check name and password, wait, and run the command again"), "{told}");
}
