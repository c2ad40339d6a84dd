//! By USB stick: edits and records in files, in every order with ordinary syncs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use outpost::local_copy::{APPLICATION_ID, SCHEMA_VERSION};
use serde_json::Value;
use sql::{Options, SqlError, SqlExt as _, SqliteEngine};
use tempfile::TempDir;

use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::corpus::{CentralData, edits};
use crate::support::{success, wait_until};
use crate::sync::{STORE_TABLES, central_with_sites, same_records};

const PASSPHRASE: &str = "four random words\n";
/// Tables that each site has whole.
const CENTRAL_TABLES: [&str; 4] = ["unit", "item", "name", "store"];

/// A stick that goes back and forth.
struct Stick {
    folder: TempDir,
}

impl Stick {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Names of the files on it.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn carry_out(&self, agent: &Agent, name: &str) -> Value {
        json(&at_device(agent, &["carry", "out"], &self.file(name), PASSPHRASE))
    }

    fn answer(&self, central: &Central, name: &str, answer: &str) -> Value {
        json(&self.at_central(central, name, answer, PASSPHRASE))
    }

    fn at_central(&self, central: &Central, name: &str, answer: &str, passphrase: &str) -> Output {
        let (file, answer) = (self.file(name), self.file(answer));
        let arguments = ["carry", "in", text(&file), "--answer", text(&answer), "--passphrase-file", "-", "--json"];
        central.run(&arguments, passphrase)
    }

    fn carry_in(&self, agent: &Agent, name: &str) -> Value {
        json(&at_device(agent, &["carry", "in"], &self.file(name), PASSPHRASE))
    }

    /// There and back.
    fn round(&self, central: &Central, agent: &Agent) -> Value {
        let names = ["out", "answer"].map(|name| format!("{name}-{}", self.names().len()));
        self.carry_out(agent, &names[0]);
        self.answer(central, &names[0], &names[1]);
        self.carry_in(agent, &names[1])
    }

    fn export(&self, central: &Central, site: &str, name: &str) -> Value {
        let file = self.file(name);
        let arguments = ["site", "export", site, text(&file), "--passphrase-file", "-", "--json"];
        json(&central.run(&arguments, PASSPHRASE))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn at_device(agent: &Agent, verb: &[&str], file: &Path, passphrase: &str) -> Output {
    let arguments: Vec<&str> = verb.iter().copied().chain([text(file), "--passphrase-file", "-", "--json"]).collect();
    agent.run(&arguments, passphrase)
}

pub fn json(output: &Output) -> Value {
    serde_json::from_str(&success(output)).unwrap()
}

/// The exit status of a verb that fails, and its error's code.
pub fn failure(output: &Output) -> (i32, String) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let value = error.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
    let value = value.unwrap_or_else(|| panic!("no error in JSON: {error}"));
    (output.status.code().unwrap(), value["error"]["code"].as_str().unwrap().to_owned())
}

fn refused(code: &str) -> (i32, String) {
    (5, code.to_owned())
}

fn record(agent: &Agent, data: &CentralData, number: usize, seed: u64) {
    agent.record(&edits(&data.stores[0], &data.items, &data.names, number, seed));
}

fn pending(agent: &Agent) -> Value {
    agent.json(&["status"])["pending"]["edits"].clone()
}

#[test]
fn a_device_without_a_connection_is_initialised_and_sends_its_edits_by_file_alone() {
    let (mut central, data) = central_with_sites(300, &["north"]);
    let (agent, stick) = (Agent::new(&central.url()), Stick::new());
    agent.enrol(&central, "north");

    let first = stick.round(&central, &agent);
    assert_eq!((&first["outcome"], first["stored"].as_u64() > Some(300)), (&"drained".into(), true), "{first}");
    same_records(&central, &agent, &CENTRAL_TABLES);

    record(&agent, &data, 3000, 1);
    // A server that does not run is no hindrance.
    central.kill();
    let second = stick.round(&central, &agent);
    assert_eq!((&second["outcome"], &pending(&agent)), (&"drained".into(), &0.into()), "{second}");
    central.start();
    agent.set_url(&central.url());
    same_records(&central, &agent, &STORE_TABLES);

    // Nothing is left for a sync.
    let synced = agent.json(&["sync"]);
    assert_eq!((&synced["sent"], &synced["stored"]), (&0.into(), &0.into()));
}

#[test]
fn a_file_that_a_sync_has_overtaken_changes_nothing_on_either_side() {
    let (central, data) = central_with_sites(20, &["north"]);
    let (agent, stick) = (Agent::initialised(&central, "north"), Stick::new());
    record(&agent, &data, 20, 1);
    let out = stick.carry_out(&agent, "out");
    assert!(out["edits"].as_u64() >= Some(20), "{out}");

    // The answer is made before the sync, and comes after it.
    stick.answer(&central, "out", "answer");
    agent.settle();
    assert_eq!(
        failure(&at_device(&agent, &["carry", "in"], &stick.file("answer"), PASSPHRASE)),
        refused("carry_overtaken")
    );

    // The file comes to central after the device has shown later tokens.
    agent.settle();
    agent.settle();
    assert_eq!(failure(&stick.at_central(&central, "out", "late", PASSPHRASE)), refused("carry_late"));
    assert_eq!(stick.names(), ["answer", "out"]);

    // The site goes on by both ways, and is not stopped.
    record(&agent, &data, 20, 2);
    assert_eq!(stick.round(&central, &agent)["outcome"], "drained");
    record(&agent, &data, 20, 3);
    assert_eq!(agent.settle()["outcome"], "drained");
    same_records(&central, &agent, &STORE_TABLES);
    assert!(central.json(&["site", "show", "north"])["stopped"].is_null());
}

#[test]
fn a_sync_between_the_file_and_its_answer_overtakes_it_whichever_comes_first_at_central() {
    let (central, data) = central_with_sites(20, &["north"]);
    let (agent, stick) = (Agent::initialised(&central, "north"), Stick::new());
    record(&agent, &data, 20, 1);
    stick.carry_out(&agent, "out");
    // One request, so that the token that the file shows is still the used one.
    agent.ok(&["sync"]);

    let taken = stick.at_central(&central, "out", "answer", PASSPHRASE);
    if taken.status.success() {
        let late = at_device(&agent, &["carry", "in"], &stick.file("answer"), PASSPHRASE);
        assert_eq!(failure(&late), refused("carry_overtaken"));
    } else {
        assert_eq!(failure(&taken), refused("carry_late"));
    }

    agent.settle();
    agent.settle();
    same_records(&central, &agent, &STORE_TABLES);
    assert!(central.json(&["site", "show", "north"])["stopped"].is_null());
}

#[test]
fn a_file_that_is_brought_twice_and_an_answer_that_is_brought_twice_change_nothing_twice() {
    let (central, data) = central_with_sites(20, &["north"]);
    let (agent, stick) = (Agent::initialised(&central, "north"), Stick::new());
    record(&agent, &data, 20, 1);
    stick.carry_out(&agent, "out");

    stick.answer(&central, "out", "answer");
    stick.answer(&central, "out", "answer-again");
    assert_eq!(stick.carry_in(&agent, "answer-again")["outcome"], "drained");
    for name in ["answer", "answer-again"] {
        let again = at_device(&agent, &["carry", "in"], &stick.file(name), PASSPHRASE);
        assert_eq!(failure(&again), refused("carry_overtaken"));
    }

    agent.settle();
    same_records(&central, &agent, &STORE_TABLES);
    let place = central.json(&["site", "show", "north"]);
    assert!(place["stopped"].is_null(), "{place}");
}

#[test]
fn a_later_file_takes_the_place_of_an_earlier_one() {
    let (central, data) = central_with_sites(20, &["north"]);
    let (agent, stick) = (Agent::initialised(&central, "north"), Stick::new());
    record(&agent, &data, 20, 1);
    stick.carry_out(&agent, "first");
    record(&agent, &data, 20, 2);
    assert_eq!(stick.carry_out(&agent, "second")["replaces"], true);

    stick.answer(&central, "second", "answer-second");
    stick.answer(&central, "first", "answer-first");
    let early = at_device(&agent, &["carry", "in"], &stick.file("answer-first"), PASSPHRASE);
    assert_eq!(failure(&early), refused("carry_overtaken"));
    assert_eq!(stick.carry_in(&agent, "answer-second")["outcome"], "drained");
    same_records(&central, &agent, &STORE_TABLES);
}

#[test]
fn an_answer_that_was_cut_by_a_kill_goes_on_where_it_was() {
    let (central, _) = central_with_sites(4000, &["north"]);
    let (agent, stick) = (Agent::new(&central.url()), Stick::new());
    agent.enrol(&central, "north");
    stick.carry_out(&agent, "out");
    stick.answer(&central, "out", "answer");
    let answer = stick.file("answer");
    let passphrase = stick.file("passphrase");
    std::fs::write(&passphrase, PASSPHRASE).unwrap();
    private(&passphrase);

    let arguments = ["carry", "in", text(&answer), "--passphrase-file", text(&passphrase)];
    kill_once_some_is_stored(&agent, &arguments);
    let before = agent.records("item").len();

    let result = stick.carry_in(&agent, "answer");

    assert_eq!(result["outcome"], "drained", "{result}");
    assert!(before > 0, "it was killed before anything was stored");
    same_records(&central, &agent, &CENTRAL_TABLES);
    assert_eq!(agent.settle()["stored"], 0);
    assert!(central.json(&["site", "show", "north"])["stopped"].is_null());
}

#[test]
fn the_records_that_are_read_anew_overtake_an_answer() {
    let (central, data) = central_with_sites(20, &["north"]);
    let (agent, stick) = (Agent::initialised(&central, "north"), Stick::new());
    record(&agent, &data, 20, 1);
    stick.carry_out(&agent, "out");
    stick.answer(&central, "out", "answer");
    let url = central.url();
    agent.set_url("http://127.0.0.1:9");
    agent.run(&["initialise"], "");
    agent.set_url(&url);

    let late = at_device(&agent, &["carry", "in"], &stick.file("answer"), PASSPHRASE);

    assert_eq!(failure(&late), refused("carry_overtaken"));
    agent.settle();
    same_records(&central, &agent, &STORE_TABLES);
}

#[test]
fn refused_edits_come_back_in_the_answer() {
    let (central, data) = central_with_sites(20, &["north", "south"]);
    let (north, south) = (Agent::initialised(&central, "north"), Agent::initialised(&central, "south"));
    let stick = Stick::new();
    let line = |store: &str| {
        let data = serde_json::json!({"ID": "L1", "store_ID": store, "quantity": 1});
        serde_json::json!({"table": "item_line", "op": "upsert", "id": "L1", "data": data}).to_string() + "\n"
    };
    north.record(&line(&data.stores[0]));
    south.record(&line(&data.stores[1]));
    stick.round(&central, &north);

    let names = ["out", "answer"].map(|name| format!("south-{name}"));
    stick.carry_out(&south, &names[0]);
    stick.answer(&central, &names[0], &names[1]);
    let output = at_device(&south, &["carry", "in"], &stick.file(&names[1]), PASSPHRASE);

    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &result["refused"]), (Some(3), &1.into()), "{result}");
    assert_eq!(south.json(&["status"])["set_aside"], 1);
}

#[test]
fn a_stopped_site_is_told_so_in_the_answer_and_an_unknown_one_at_central() {
    let (central, data) = central_with_sites(20, &["north"]);
    let (agent, stick) = (Agent::initialised(&central, "north"), Stick::new());
    record(&agent, &data, 20, 1);
    stick.carry_out(&agent, "out");
    central.json(&["site", "reset-hardware", "north"]);
    let output = stick.at_central(&central, "out", "answer", PASSPHRASE);

    // What a retired device still has goes to set-aside, and the device is told.
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &result["refused"]["code"]), (Some(5), &"device_retired".into()), "{result}");
    let told = at_device(&agent, &["carry", "in"], &stick.file("answer"), PASSPHRASE);
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told["failure"]["code"], "device_retired");

    // Another central.
    let (other, _) = central_with_sites(5, &["north"]);
    let elsewhere = stick.at_central(&other, "out", "elsewhere", PASSPHRASE);
    assert_eq!(failure(&elsewhere), refused("carry_other_central"));
    assert!(!stick.file("elsewhere").exists());
}

#[test]
fn the_wrong_file_the_wrong_passphrase_and_a_damaged_file_are_told_and_change_nothing() {
    let (central, data) = central_with_sites(20, &["north", "south"]);
    let (north, south) = (Agent::initialised(&central, "north"), Agent::initialised(&central, "south"));
    let stick = Stick::new();
    record(&north, &data, 20, 1);
    stick.carry_out(&north, "out");
    let before = central.json(&["site", "show", "north"]);

    let wrong = stick.at_central(&central, "out", "answer", "four other words\n");
    assert_eq!(failure(&wrong), refused("sealed_file_locked"));
    let mut bytes = std::fs::read(stick.file("out")).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(stick.file("damaged"), &bytes).unwrap();
    std::fs::write(stick.file("cut"), &bytes[..last / 2]).unwrap();
    for name in ["damaged", "cut"] {
        // Of a file of one chunk that its passphrase is wrong cannot be told from that.
        assert_eq!(failure(&stick.at_central(&central, name, "answer", PASSPHRASE)), refused("sealed_file_locked"));
    }
    std::fs::write(stick.file("text"), "no sealed file").unwrap();
    assert_eq!(failure(&stick.at_central(&central, "text", "answer", PASSPHRASE)), refused("sealed_file_form"));
    assert_eq!(failure(&stick.at_central(&central, "out", "out", PASSPHRASE)), (2, "file_exists".to_owned()));
    let missing = stick.at_central(&central, "no-such-file", "answer", PASSPHRASE);
    assert_eq!(failure(&missing), (7, "sealed_file_io".to_owned()));
    assert_eq!(central.json(&["site", "show", "north"]), before);
    assert!(!stick.file("answer").exists());

    stick.answer(&central, "out", "answer");
    let at = |agent: &Agent, verb: &[&str], name: &str, passphrase: &str| {
        failure(&at_device(agent, verb, &stick.file(name), passphrase))
    };
    assert_eq!(at(&south, &["carry", "in"], "answer", PASSPHRASE), refused("carry_other_site"));
    assert_eq!(at(&north, &["carry", "in"], "answer", "four other words\n"), refused("sealed_file_locked"));
    assert_eq!(at(&north, &["carry", "in"], "answer", "short\n"), (2, "passphrase_length".to_owned()));
    assert_eq!(at(&north, &["carry", "in"], "out", PASSPHRASE), refused("sealed_file_kind"));
    assert_eq!(at(&north, &["import"], "answer", PASSPHRASE), refused("sealed_file_kind"));
    assert_eq!(at(&north, &["carry", "out"], "answer", PASSPHRASE), (2, "file_exists".to_owned()));
    assert_eq!(north.fails(&["carry", "in", text(&stick.file("answer"))], ""), (2, "passphrase_missing".to_owned()));

    // None of that was an answer.
    assert_eq!(stick.carry_in(&north, "answer")["outcome"], "drained");
}

#[test]
fn nothing_of_a_patient_can_be_read_in_a_file() {
    let (central, data) = central_with_sites(20, &["north"]);
    let (agent, stick) = (Agent::initialised(&central, "north"), Stick::new());
    let line = serde_json::json!({"table": "item_line", "op": "upsert", "id": "L1",
        "data": {"ID": "L1", "store_ID": data.stores[0], "note": "Amina Diallo"}});
    agent.record(&format!("{line}\n"));
    stick.carry_out(&agent, "out");
    stick.answer(&central, "out", "answer");

    for name in ["out", "answer"] {
        let bytes = std::fs::read(stick.file(name)).unwrap();
        assert!(!bytes.windows(5).any(|window| window == b"Amina" || window == b"store"), "{name}");
        let mode = std::fs::metadata(stick.file(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn the_passphrase_may_stand_in_a_variable() {
    let (central, data) = central_with_sites(5, &["north"]);
    let (agent, stick) = (Agent::initialised(&central, "north"), Stick::new());
    record(&agent, &data, 5, 1);
    let with_variable = |arguments: &[&str]| {
        let mut command = agent.command(arguments);
        command.env("OUTPOST_PASSPHRASE", PASSPHRASE.trim_end()).output().unwrap()
    };

    success(&with_variable(&["carry", "out", text(&stick.file("out"))]));
    stick.answer(&central, "out", "answer");
    let told = success(&with_variable(&["carry", "in", text(&stick.file("answer"))]));

    assert!(told.starts_with("central has 5 edits more, stored "), "{told}");
}

#[test]
fn while_a_daemon_runs_files_are_refused_with_what_to_do() {
    let (central, _) = central_with_sites(5, &["north"]);
    let (mut agent, stick) = (Agent::initialised(&central, "north"), Stick::new());
    agent.start();

    let output = at_device(&agent, &["carry", "out"], &stick.file("out"), PASSPHRASE);

    assert_eq!(failure(&output), (8, "folder_in_use".to_owned()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("needs a stopped daemon"));
    assert!(stick.names().is_empty());
}

#[test]
fn an_export_initialises_a_device_and_the_sync_after_it_brings_only_what_changed() {
    let (mut central, data) = central_with_sites(300, &["north"]);
    let (agent, stick) = (Agent::new(&central.url()), Stick::new());
    agent.enrol(&central, "north");
    let exported = stick.export(&central, "north", "export");
    assert!(exported["rows"].as_u64() > Some(300), "{exported}");

    let imported = json(&at_device(&agent, &["import"], &stick.file("export"), PASSPHRASE));
    assert_eq!(imported["stored"], exported["rows"], "{imported}");
    assert_eq!((&imported["is_complete"], &imported["passed_over"]), (&true.into(), &0.into()));
    assert_eq!(agent.records("item").len(), data.items.len());
    // It may not write before it has heard of its grant.
    assert_eq!(agent.json(&["status"])["grants"], serde_json::json!([]));

    // Again: everything is here.
    let again = json(&at_device(&agent, &["import"], &stick.file("export"), PASSPHRASE));
    assert_eq!((&again["stored"], &again["passed_over"]), (&0.into(), &exported["rows"]));

    central.import(
        &(serde_json::json!({"table": "item", "op": "upsert", "id": "NEW", "data": {"ID": "NEW", "item_name": "New"}})
            .to_string()
            + "\n"),
    );
    let synced = agent.json(&["sync"]);
    assert_eq!((&synced["outcome"], &synced["stored"]), (&"drained".into(), &1.into()), "{synced}");
    same_records(&central, &agent, &CENTRAL_TABLES);
    record(&agent, &data, 20, 1);
    agent.settle();
    same_records(&central, &agent, &STORE_TABLES);

    // An export without a server, for a device that takes the place of this one and has the site's own records in it.
    central.kill();
    stick.export(&central, "north", "second");
    central.start();
    agent.set_url(&central.url());
    agent.wipe();
    agent.enrol(&central, "north");
    json(&at_device(&agent, &["import"], &stick.file("second"), PASSPHRASE));
    same_records(&central, &agent, &["item", "unit", "name"]);
    assert_eq!(agent.settle()["stored"], 0);
    same_records(&central, &agent, &STORE_TABLES);
    assert!(central.json(&["site", "show", "north"])["stopped"].is_null());
}

#[test]
fn an_import_that_was_killed_goes_on_and_one_for_another_site_or_behind_edits_is_refused() {
    let (central, data) = central_with_sites(4000, &["north", "south"]);
    let (agent, stick) = (Agent::new(&central.url()), Stick::new());
    agent.enrol(&central, "north");
    let exported = stick.export(&central, "north", "export");
    stick.export(&central, "south", "south");
    let other = at_device(&agent, &["import"], &stick.file("south"), PASSPHRASE);
    assert_eq!(failure(&other), refused("carry_other_site"));

    let (export, passphrase) = (stick.file("export"), stick.file("passphrase"));
    std::fs::write(&passphrase, PASSPHRASE).unwrap();
    private(&passphrase);
    let arguments = ["import", text(&export), "--passphrase-file", text(&passphrase)];
    kill_once_some_is_stored(&agent, &arguments);

    let result = json(&at_device(&agent, &["import"], &export, PASSPHRASE));
    assert!(result["passed_over"].as_u64() > Some(0), "{result}");
    let both = result["stored"].as_u64().unwrap() + result["passed_over"].as_u64().unwrap();
    assert_eq!(both, exported["rows"].as_u64().unwrap());
    assert_eq!(agent.settle()["stored"], 0);
    same_records(&central, &agent, &CENTRAL_TABLES);

    // An export may be older than what became of the device's own edits; and what central takes for their echo comes no more.
    record(&agent, &data, 20, 1);
    agent.settle();
    let recorded = at_device(&agent, &["import"], &export, PASSPHRASE);
    assert_eq!(failure(&recorded), refused("import_not_now"));
    same_records(&central, &agent, &STORE_TABLES);
}

#[test]
fn a_device_whose_disk_was_copied_is_not_taken_for_two_because_of_a_file() {
    let (central, data) = central_with_sites(20, &["north"]);
    let (agent, stick) = (Agent::initialised(&central, "north"), Stick::new());
    // Files and syncs in turns, some answers lost, some brought late.
    for turn in 0..6 {
        record(&agent, &data, 5, turn);
        let (out, answer) = (format!("out-{turn}"), format!("answer-{turn}"));
        stick.carry_out(&agent, &out);
        stick.answer(&central, &out, &answer);
        match turn % 3 {
            0 => drop(stick.carry_in(&agent, &answer)),
            1 => drop(agent.settle()),
            _ => {}
        }
    }
    for turn in 0..6 {
        let _ = stick.at_central(&central, &format!("out-{turn}"), &format!("late-{turn}"), PASSPHRASE);
        let _ = at_device(&agent, &["carry", "in"], &stick.file(&format!("answer-{turn}")), PASSPHRASE);
    }

    agent.settle();
    assert_eq!(agent.settle()["outcome"], "drained");
    same_records(&central, &agent, &STORE_TABLES);
    assert!(central.json(&["site", "show", "north"])["stopped"].is_null());
}

/// Starts a command that takes records from a file, and kills it once items of it are committed.
fn kill_once_some_is_stored(agent: &Agent, arguments: &[&str]) {
    let mut child = agent.command(arguments).spawn().unwrap();
    wait_until("some of it is stored", || items_committed(agent).is_ok_and(|items| items > 0));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Items in the local copy as another process sees them: a WAL that grew says nothing of what is committed.
fn items_committed(agent: &Agent) -> Result<i64, SqlError> {
    let options = Options::new(APPLICATION_ID, SCHEMA_VERSION).read_only();
    let mut copy = SqliteEngine::open(agent.data().join("local_copy.sqlite"), &options)?;
    Ok(copy.query_integer("SELECT count(*) FROM record WHERE table_name = 'item'", &[])?.unwrap_or(0))
}

fn private(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
