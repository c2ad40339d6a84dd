//! A device whose whole folder was put back from an older copy: no acknowledged edit is lost, each ends at central, in set-aside or
//! in the export.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::central::{Central, password};
use crate::support::corpus::Numbers;
use crate::support::{DEADLINE, success};
use crate::sync::{central_by_tls, same_records};

/// Kills of the test that kills at any moment.
const KILLS: u64 = 25;

fn stock(store: &str, id: &str, quantity: u32) -> String {
    json!({"table": "item_line", "op": "upsert", "id": id, "data": {"ID": id, "store_ID": store, "quantity": quantity}})
        .to_string()
        + "\n"
}

/// A device that was set back while central has more, and has recorded since: `A` is in the backup, `B` and `C` were sent after it,
/// `D` and the group of `E` and `F` were recorded after it was put back. `P` is local data.
struct SetBack {
    central: Central,
    agent: Agent,
    store: String,
}

impl SetBack {
    fn new() -> Self {
        let (central, data) = central_by_tls(5, &["north"]);
        let agent = Agent::initialised(&central, "north");
        let store = data.stores[0].clone();
        agent.record(&stock(&store, "A", 1));
        agent.settle();
        let backup = copy_of(&agent);
        agent.record(&stock(&store, "B", 2));
        agent.record(&stock(&store, "C", 3));
        agent.settle();
        put_back(&agent, &backup);
        let set_back = Self { central, agent, store };
        set_back.record_more();
        set_back
    }

    fn record_more(&self) {
        self.agent.record(&stock(&self.store, "D", 4));
        let group = stock(&self.store, "E", 5) + &stock(&self.store, "F", 6);
        success(&self.agent.run(&["record", "--file", "-", "--group"], &group));
        self.agent.record(r#"{"table":"pref","op":"put","id":"P","data":{"item":"window","data":"x"}}"#);
    }

    fn recover(&self, more: &[&str]) -> Value {
        let file = self.password_file();
        let arguments = [&["recover", "--yes", "--password-file", file.to_str().unwrap()], more].concat();
        self.agent.json(&arguments)
    }

    fn spawn_recover(&self, more: &[&str]) -> Child {
        let file = self.password_file();
        let arguments = [&["recover", "--yes", "--password-file", file.to_str().unwrap()], more].concat();
        self.agent.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn password_file(&self) -> PathBuf {
        let path = self.agent.file("site-password", &password("north"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Ids of stock lines that are at central, set aside, or in an export.
    fn found(&self) -> BTreeSet<String> {
        let mut found: BTreeSet<String> = self.central.records("item_line").into_keys().collect();
        found.extend(self.set_aside().into_iter().map(|edit| edit["id"].as_str().unwrap().to_owned()));
        for export in self.exports() {
            let text = std::fs::read_to_string(export).unwrap();
            found.extend(
                text.lines()
                    .filter(|line| !line.is_empty())
                    .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned()),
            );
        }
        found
    }

    fn set_aside(&self) -> Vec<Value> {
        self.agent.json(&["set-aside", "list"])["refused"].as_array().unwrap().clone()
    }

    fn exports(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.agent.data()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "ndjson")).collect()
    }

    /// Whether the recovery has come to a step.
    fn note_says(&self, step: &str) -> bool {
        let note = std::fs::read_to_string(self.agent.data().join("recovery")).unwrap_or_default();
        note.contains(&format!("\"{step}\""))
    }

    fn has_replaced_journal(&self) -> bool {
        let mut names = std::fs::read_dir(self.agent.data()).unwrap().map(|entry| entry.unwrap().file_name());
        names.any(|name| name.to_string_lossy().starts_with("journal.before-"))
    }

    /// That the site works as any other again, and still has its local data.
    fn is_in_order(&self) {
        self.agent.record(&stock(&self.store, "Z", 9));
        assert_eq!(self.agent.settle()["outcome"], "drained");
        same_records(&self.central, &self.agent, &["item_line", "item", "store"]);
        assert!(self.central.records("item_line").contains_key("Z"));
        assert_eq!(self.agent.json(&["get", "pref", "P"])["data"]["item"], "window");
        success(&self.agent.run(&["verify"], ""));
    }
}

fn copy_of(agent: &Agent) -> PathBuf {
    let copy = agent.data().with_file_name("backup");
    success(&std::process::Command::new("cp").arg("-a").args([agent.data(), copy.clone()]).output().unwrap());
    copy
}

fn put_back(agent: &Agent, backup: &Path) {
    std::fs::remove_dir_all(agent.data()).unwrap();
    success(&std::process::Command::new("cp").arg("-a").arg(backup).arg(agent.data()).output().unwrap());
}

fn all(ids: &str) -> BTreeSet<String> {
    ids.chars().map(String::from).collect()
}

#[test]
fn a_device_that_was_set_back_sets_aside_what_only_it_has_and_shows_what_central_has() {
    let set_back = SetBack::new();
    let SetBack { central, agent, store } = &set_back;
    assert_eq!(agent.fails(&["sync"], ""), (5, "fork".to_owned()));
    let id = agent.json(&["status"])["journal"]["id"].clone();

    let result = set_back.recover(&[]);

    assert_ne!(result["journal"], id);
    assert_eq!((&result["exported"], &result["set_aside"]), (&json!(3), &json!(3)), "{result}");
    assert_eq!(result["sync"]["outcome"], "drained");
    let export = std::fs::read_to_string(result["file"].as_str().unwrap()).unwrap();
    assert_eq!(export.matches("\n\n").count(), 2, "an empty line ends each group: {export}");
    same_records(central, agent, &["item_line", "item"]);
    assert_eq!(central.records("item_line").into_keys().collect::<BTreeSet<_>>(), all("ABC"));
    let codes: Vec<Value> = set_back.set_aside().into_iter().map(|edit| edit["code"].clone()).collect();
    assert_eq!(codes, ["recovered"; 3]);

    for edit in set_back.set_aside() {
        agent.ok(&["set-aside", "retry", &edit["number"].to_string()]);
    }
    set_back.is_in_order();
    assert_eq!(central.records("item_line").into_keys().collect::<BTreeSet<_>>(), all("ABCDEFZ"));
    assert_eq!(central.records("item_line")["F"]["store_ID"], *store);
    assert!(set_back.set_aside().is_empty());
}

#[test]
fn a_device_that_recorded_nothing_since_it_was_set_back_recovers_without_an_export() {
    let (central, data) = central_by_tls(5, &["north"]);
    let agent = Agent::initialised(&central, "north");
    agent.record(r#"{"table":"pref","op":"put","id":"P","data":{"item":"window","data":"x"}}"#);
    let backup = copy_of(&agent);
    agent.record(&stock(&data.stores[0], "A", 1));
    agent.settle();
    put_back(&agent, &backup);
    assert_eq!(agent.fails(&["sync"], ""), (5, "device_set_back".to_owned()));
    let set_back = SetBack { central, agent, store: data.stores[0].clone() };

    let result = set_back.recover(&[]);

    assert_eq!((&result["exported"], &result["file"]), (&json!(0), &Value::Null), "{result}");
    assert!(set_back.exports().is_empty() && set_back.set_aside().is_empty());
    set_back.is_in_order();
}

#[test]
fn journaled_anew_the_edits_reach_central_and_what_is_refused_is_named_and_stays_in_the_file() {
    let (central, data) = central_by_tls(5, &["north"]);
    let (agent, store) = (Agent::initialised(&central, "north"), data.stores[0].clone());
    let invoice =
        json!({"table": "transact", "op": "put", "id": "T", "data": {"ID": "T", "store_ID": store, "type": "ci"}});
    agent.record(&invoice.to_string());
    agent.settle();
    let backup = copy_of(&agent);
    agent.ok(&["delete", "transact", "T"]);
    agent.record(&stock(&store, "A", 1));
    agent.settle();
    put_back(&agent, &backup);
    let set_back = SetBack { central, agent, store };
    set_back.record_more();
    let line = json!({"table": "trans_line", "op": "put", "id": "L", "data": {"ID": "L", "transaction_ID": "T"}});
    set_back.agent.record(&line.to_string());
    let file = set_back.password_file();

    let output = set_back
        .agent
        .run(&["recover", "--yes", "--journal-anew", "--password-file", file.to_str().unwrap(), "--json"], "");

    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{result}");
    assert_eq!((&result["exported"], &result["set_aside"]), (&json!(4), &json!(0)));
    assert_eq!((&result["recorded"]["recorded"], &result["recorded"]["refused_count"]), (&json!(3), &json!(1)));
    let refused = &result["recorded"]["refused"][0];
    assert_eq!(refused["code"], "header_missing");
    let export = std::fs::read_to_string(result["file"].as_str().unwrap()).unwrap();
    let number = usize::try_from(refused["line"].as_u64().unwrap()).unwrap();
    assert!(export.lines().nth(number - 1).unwrap().contains("\"trans_line\""), "{export}");
    set_back.is_in_order();
    assert_eq!(set_back.central.records("item_line").into_keys().collect::<BTreeSet<_>>(), all("ADEFZ"));
}

#[test]
fn nothing_happens_without_a_yes_without_the_password_or_without_central() {
    let mut set_back = SetBack::new();
    let before = set_back.agent.json(&["status"]);
    let file = set_back.password_file();
    let right = ["recover", "--password-file", file.to_str().unwrap()];
    assert_eq!(set_back.agent.fails(&right, ""), (2, "recover_unconfirmed".to_owned()));
    let wrong = set_back.agent.fails(&["recover", "--yes", "--password-file", "-"], "wrong");
    assert_eq!(wrong, (5, "wrong_credentials".to_owned()));
    set_back.agent.start();
    assert_eq!(set_back.agent.fails(&[&right[..], &["--yes"]].concat(), ""), (8, "folder_in_use".to_owned()));
    set_back.agent.kill();
    set_back.central.kill();
    let (exit, _) = set_back.agent.fails(&[&right[..], &["--yes"]].concat(), "");
    assert_eq!(exit, 4);

    assert_eq!(set_back.agent.json(&["status"])["journal"], before["journal"]);
    assert!(set_back.exports().is_empty() && set_back.set_aside().is_empty());
    set_back.central.start();
    set_back.agent.set_url(&set_back.central.url());
    assert_eq!(set_back.recover(&[])["exported"], 3);
    set_back.is_in_order();
}

#[test]
fn more_edits_than_can_be_set_aside_are_in_the_export_and_recording_goes_on() {
    let set_back = SetBack::new();
    let lines: String = (0..10_000).map(|number| stock(&set_back.store, &format!("N{number:05}"), 1)).collect();
    set_back.agent.record(&lines);

    let result = set_back.recover(&[]);

    assert_eq!((&result["exported"], &result["set_aside"]), (&json!(10_003), &json!(0)));
    assert!(set_back.set_aside().is_empty());
    set_back.is_in_order();
    set_back.agent.ok(&["record", "--file", result["file"].as_str().unwrap()]);
    set_back.agent.settle();
    assert_eq!(set_back.central.records("item_line").len(), 10_007);
}

#[test]
fn what_is_left_of_a_recovery_that_was_cut_from_central_needs_no_password() {
    let mut set_back = SetBack::new();
    let mut child = set_back.spawn_recover(&["--journal-anew"]);
    assert!(kill_when(&mut child, || set_back.note_says("begun")));
    set_back.central.kill();
    let output = set_back.agent.run(&["recover", "--yes", "--json"], "");
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["under_way"], true);
    set_back.central.start();
    set_back.agent.set_url(&set_back.central.url());

    let result = set_back.agent.json(&["recover", "--yes"]);

    assert_eq!((&result["under_way"], &result["recorded"]["recorded"]), (&json!(false), &json!(3)), "{result}");
    set_back.is_in_order();
    assert_eq!(set_back.central.records("item_line").into_keys().collect::<BTreeSet<_>>(), all("ABCDEFZ"));
}

#[test]
fn a_recovery_that_was_cut_is_shown_with_its_edits_and_puts_none_over_a_newer_one() {
    let set_back = SetBack::new();
    let SetBack { central, agent, store } = &set_back;
    let mut child = set_back.spawn_recover(&["--journal-anew"]);
    assert!(kill_when(&mut child, || set_back.note_says("begun")));
    let output = agent.run(&["sync", "--json"], "");
    let synced: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &synced["outcome"]), (Some(3), &json!("drained")), "{synced}");
    let status = agent.json(&["status"]);
    for recovery in [&synced["recovery"], &status["recovery"]] {
        assert_eq!((&recovery["step"], &recovery["edits"]), (&json!("begun"), &json!(3)), "{recovery}");
        assert!(recovery["file"].as_str().is_some_and(|file| Path::new(file).exists()), "{recovery}");
    }
    assert!(agent.ok(&["status"]).contains("\nrecovery !    not over: 3 edits are in "));
    let doctor = agent.json(&["doctor"]);
    let lines = doctor["lines"].as_array().unwrap();
    assert!(lines.iter().any(|line| line["code"] == "recovery_under_way"), "{doctor}");
    agent.record(&stock(store, "D", 99));
    agent.record(&stock(store, "F", 98));

    let output = agent.run(&["recover", "--yes", "--json"], "");

    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &result["set_aside"]), (Some(3), &json!(3)), "{result}");
    assert_eq!((&result["under_way"], &result["recorded"]["recorded"]), (&json!(false), &json!(0)), "{result}");
    let quantity = |id: &str| central.records("item_line")[id]["quantity"].clone();
    assert_eq!((quantity("D"), quantity("F")), (json!(99), json!(98)));
    let set_aside: Vec<_> = set_back.set_aside().into_iter().map(|edit| edit["id"].clone()).collect();
    assert_eq!(set_aside, ["D", "E", "F"], "a group is set aside whole");
    assert!(agent.json(&["status"])["recovery"].is_null());
    assert!(agent.json(&["sync"])["recovery"].is_null());
    set_back.is_in_order();
    assert_eq!((quantity("D"), quantity("F")), (json!(99), json!(98)));
}

#[test]
fn what_cannot_be_journaled_anew_because_central_refuses_is_set_aside() {
    let set_back = SetBack::new();
    let SetBack { central, agent, .. } = &set_back;
    let mut child = set_back.spawn_recover(&["--journal-anew"]);
    assert!(kill_when(&mut child, || set_back.note_says("begun")));
    success(&central.run(&["site", "reset-hardware", "north"], ""));

    let output = agent.run(&["recover", "--yes", "--json"], "");

    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &result["sync"]["failure"]["code"]), (Some(5), &json!("device_retired")));
    assert_eq!((&result["set_aside"], &result["under_way"]), (&json!(3), &json!(false)), "{result}");
    assert_eq!(set_back.set_aside().len(), 3);
    assert!(agent.json(&["status"])["recovery"].is_null());
}

/// Waits for a state of the folder, kills what brought it about, and says whether it was seen.
fn kill_when(child: &mut Child, mut is_there: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + DEADLINE;
    let mut was_seen = false;
    while !was_seen && child.try_wait().unwrap().is_none() && Instant::now() < until {
        was_seen = is_there();
    }
    let _ = child.kill();
    child.wait().unwrap();
    was_seen
}

/// Whether a step of the recovery can be seen in the folder.
type IsThere = fn(&SetBack) -> bool;

#[test]
fn killed_at_each_step_the_same_command_goes_on_and_nothing_is_lost() {
    let steps: [(&str, IsThere); 5] = [
        ("asked", |set_back| set_back.note_says("asked")),
        ("taken", |set_back| set_back.note_says("taken")),
        ("exported", |set_back| !set_back.exports().is_empty()),
        ("journal replaced", SetBack::has_replaced_journal),
        ("begun", |set_back| set_back.note_says("begun")),
    ];
    for (name, is_there) in steps {
        for more in [&[][..], &["--journal-anew"]] {
            let set_back = SetBack::new();
            let mut child = set_back.spawn_recover(more);
            assert!(kill_when(&mut child, || is_there(&set_back)), "the step {name:?} was not seen");
            // The agent can be used in between, and what it takes is kept too.
            set_back.agent.record(&stock(&set_back.store, "G", 7));

            let result = set_back.recover(more);

            assert_eq!(result["sync"]["outcome"], "drained", "after {name}: {result}");
            set_back.is_in_order();
            assert!(set_back.found().is_superset(&all("ABCDEFGZ")), "after {name}: {:?}", set_back.found());
            if !more.is_empty() {
                assert_eq!(set_back.central.records("item_line").len(), 8, "after {name}");
            }
            assert_eq!(set_back.central.json(&["status"])["set_aside"], 0, "after {name}");
        }
    }
}

#[test]
fn a_backup_from_the_middle_of_a_recovery_recovers_too() {
    for step in ["asked", "taken", "begun"] {
        let set_back = SetBack::new();
        let mut child = set_back.spawn_recover(&[]);
        assert!(kill_when(&mut child, || set_back.note_says(step)), "the step {step:?} was not seen");
        let backup = set_back.agent.data().with_file_name("middle");
        success(&std::process::Command::new("cp").arg("-a").args([&set_back.agent.data(), &backup]).output().unwrap());
        set_back.recover(&[]);
        set_back.agent.record(&stock(&set_back.store, "X", 8));
        set_back.agent.settle();
        put_back(&set_back.agent, &backup);
        set_back.agent.record(&stock(&set_back.store, "Y", 8));

        // The first one may end the recovery of the backup, which central has gone on from since: with a token that is dead, so that
        // the site stops until an administrator says that this device is the right one.
        let file = set_back.password_file();
        let arguments = ["recover", "--yes", "--password-file", file.to_str().unwrap()];
        let exits: Vec<i32> = (0..2)
            .map(|_| {
                let exit = set_back.agent.run(&arguments, "").status.code().unwrap();
                set_back.central.run(&["site", "resume", "north"], "");
                exit
            })
            .take_while(|exit| *exit != 0)
            .collect();

        assert!(exits.is_empty() || exits == [5], "after {step}: {exits:?}");
        set_back.is_in_order();
        assert!(set_back.found().is_superset(&all("ABCDEFXYZ")), "after {step}: {:?}", set_back.found());
    }
}

/// The old journal has its new name, and the new one does not have its own yet: too short a moment to hit with a kill.
#[test]
fn cut_between_the_two_names_of_the_journals_it_goes_on_with_the_new_one_and_journals_nothing_twice() {
    let set_back = SetBack::new();
    let data = set_back.agent.data();
    let copy = |from: &Path, to: &Path| {
        success(&std::process::Command::new("cp").arg("-a").args([from, to]).output().unwrap());
    };
    let before = data.with_file_name("before");
    copy(&data, &before);
    let mut note = String::new();
    let mut child = set_back.spawn_recover(&[]);
    let was_seen = kill_when(&mut child, || {
        note = std::fs::read_to_string(data.join("recovery")).unwrap_or_default();
        note.contains("\"taken\"")
    });
    assert!(was_seen);
    set_back.recover(&[]);
    std::fs::rename(data.join("journal"), data.join("journal.new")).unwrap();
    for name in ["identity", "private", "local_copy.sqlite"] {
        for suffix in ["", "-wal", "-shm"] {
            let path = data.join(format!("{name}{suffix}"));
            let _ = std::fs::remove_dir_all(&path);
            let _ = std::fs::remove_file(&path);
        }
        copy(&before.join(name), &data.join(name));
    }
    std::fs::write(data.join("recovery"), &note).unwrap();
    std::fs::set_permissions(data.join("recovery"), std::fs::Permissions::from_mode(0o600)).unwrap();

    let status = set_back.agent.json(&["status"]);

    assert!(note.contains(status["journal"]["id"].as_str().unwrap()), "{status}");
    assert_eq!((&status["head"], &status["repairs"]), (&json!(0), &json!([])), "nothing was journaled anew");
    set_back.recover(&[]);
    set_back.is_in_order();
    assert_eq!(set_back.central.records("item_line").into_keys().collect::<BTreeSet<_>>(), all("ABCZ"));
}

#[test]
fn killed_again_and_again_it_comes_to_its_end() {
    let mut numbers = Numbers::new(41);
    for more in [&[][..], &["--journal-anew"]] {
        let set_back = SetBack::new();
        for _ in 0..KILLS {
            let mut child = set_back.spawn_recover(more);
            let until = Instant::now() + Duration::from_millis(numbers.below(250));
            kill_when(&mut child, || Instant::now() >= until);
        }

        set_back.recover(more);

        set_back.is_in_order();
        assert!(set_back.found().is_superset(&all("ABCDEFZ")), "{:?}", set_back.found());
        for id in "ABC".chars() {
            assert!(set_back.central.records("item_line").contains_key(&id.to_string()));
        }
    }
}

#[test]
fn a_folder_that_is_put_back_once_more_recovers_once_more() {
    let set_back = SetBack::new();
    let backup = set_back.agent.data().with_file_name("backup");
    set_back.recover(&[]);
    let mut kept = set_back.found();

    put_back(&set_back.agent, &backup);
    set_back.record_more();
    assert_eq!(set_back.agent.fails(&["sync"], ""), (5, "journal_retired".to_owned()));
    set_back.recover(&["--journal-anew"]);

    set_back.is_in_order();
    kept.extend(all("Z"));
    assert_eq!(set_back.central.records("item_line").into_keys().collect::<BTreeSet<_>>(), kept);
}
