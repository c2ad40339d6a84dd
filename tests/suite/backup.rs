//! A backup of what never reached central: the tablet dies, another one takes its place and gets it back, and nothing goes over what was
//! done since.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::central_set_back::stock;
use crate::files::{at_device, failure, json as json_in};
use crate::patients::edit;
use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::{success, wait_until};
use crate::sync::same_records;

const PASSPHRASE: &str = "four random words\n";

/// Central with a warehouse, which holds W, and a clinic, which holds the store A, the dispensary D that keeps its transactions, and the
/// store F, of which central has no data.
struct Country {
    central: Central,
    clinic: Agent,
    warehouse: Agent,
    stick: TempDir,
}

impl Country {
    fn new() -> Self {
        let central = Central::with_data("");
        for (store, mode) in [("A", "store"), ("D", "dispensary"), ("F", "store"), ("W", "store")] {
            let name = format!("name-{store}");
            central.import(&edit("name", "upsert", &name, &json!({"name": store, "type": "store"})));
            let data = json!({"code": store, "name_ID": name, "store_mode": mode});
            central.import(&edit("store", "upsert", store, &data));
        }
        central.add_site("clinic", &["A", "D", "F"]);
        central.add_site("warehouse", &["W"]);
        for arguments in [
            &["preference", "set", "include-transactions", "off", "--store", "D"][..],
            &["store", "set-role", "F", "--site", "central", "transfer"],
        ] {
            success(&central.run(arguments, ""));
        }
        let [clinic, warehouse] = ["clinic", "warehouse"].map(|name| Agent::initialised(&central, name));
        Self { central, clinic, warehouse, stick: TempDir::new().unwrap() }
    }

    /// Records of each kind: what stays, what central has, what it refused and what it has not heard of.
    fn work(&self) {
        let Self { clinic, warehouse, .. } = self;
        warehouse.record(&stock("W", "taken", 1));
        warehouse.settle();
        clinic.record(&(stock("A", "sent", 1) + &stock("A", "gone", 1) + &stock("A", "taken", 1)));
        wait_until("central has refused one", || {
            clinic.run(&["sync"], "");
            clinic.json(&["status"])["set_aside"] == 1
        });
        clinic.record(&edit("pref", "put", "P", &json!({"item": "window", "data": "12.30"})));
        clinic.record(&edit("user", "put", "old", &json!({"name": "Berta", "outpost_is_existing": true})));
        clinic.record(&(transaction("kept", "D") + &stock("D", "kept", 7) + &location("shelf", "F")));
        clinic.record(&(stock("A", "sent", 2) + &stock("A", "sent", 3) + &stock("A", "new", 4)));
        clinic.record(&edit("item_line", "delete", "gone", &Value::Null));
        success(&clinic.run(&["record", "--file", "-", "--group"], &transaction("T", "A")));
    }

    fn file(&self, name: &str) -> PathBuf {
        self.stick.path().join(name)
    }

    fn backup(&self, name: &str) -> Value {
        json_in(&at_device(&self.clinic, &["backup"], &self.file(name), PASSPHRASE))
    }

    /// The clinic's tablet is lost, and another one has everything that central has.
    fn replace_tablet(&mut self) {
        success(&self.central.run(&["site", "reset-hardware", "clinic"], ""));
        self.clinic = Agent::initialised(&self.central, "clinic");
        wait_until("the stores may be written", || {
            self.clinic.run(&["sync"], "");
            self.clinic.json(&["status"])["grants"].as_array().unwrap().len() == 3
        });
    }

    fn restore(&self, name: &str, more: &[&str]) -> (Option<i32>, Value) {
        let output = at_device(&self.clinic, &[&["restore"], more].concat(), &self.file(name), PASSPHRASE);
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}")))
    }

    fn quantity(&self, id: &str) -> Value {
        self.central.records("item_line").get(id).map_or(Value::Null, |record| record["quantity"].clone())
    }
}

fn transaction(id: &str, store: &str) -> String {
    edit("transact", "put", id, &json!({"store_ID": store, "name_ID": "name-of-a-ward", "comment": "new"}))
        + &edit("trans_line", "put", &format!("{id}-1"), &json!({"transaction_ID": id, "quantity": 3}))
}

fn location(id: &str, store: &str) -> String {
    edit("Location", "put", id, &json!({"store_ID": store, "code": id}))
}

const TABLES: [&str; 6] = ["pref", "user", "transact", "trans_line", "item_line", "Location"];

fn everything(agent: &Agent) -> Vec<BTreeMap<String, Value>> {
    TABLES.iter().map(|table| agent.records(table)).collect()
}

/// Edits in set-aside: id and code.
fn set_aside(agent: &Agent) -> Vec<(String, String)> {
    let list = agent.json(&["set-aside", "list"])["refused"].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(|edit| (text(&edit["id"]), text(&edit["code"]))).collect()
}

/// How much is recorded on a device and set aside there.
fn heads(agent: &Agent) -> Value {
    let status = agent.json(&["status"]);
    json!([status["head"], status["private_journal"]["head"], status["set_aside"], status["journal"]["id"]])
}

#[test]
fn a_replaced_tablet_gets_back_what_never_reached_central_and_the_unsent_edits_go_there() {
    let mut country = Country::new();
    country.work();
    for store in ["A", "F", "F"] {
        country.clinic.ok(&["next-number", store, "customer_invoice_number"]);
    }
    country.clinic.start();
    let before = everything(&country.clinic);

    let written = country.backup("backup");

    for (name, count) in [("unsent", 7), ("waiting", 0), ("staying", 7), ("refused", 1), ("refused_at_central", 0)] {
        assert_eq!(written[name], count, "{name}: {written}");
    }
    assert_eq!(std::fs::metadata(country.file("backup")).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = std::fs::read(country.file("backup")).unwrap();
    assert!(!bytes.windows(5).any(|part| part == b"Berta"), "it is encrypted");

    country.clinic.kill();
    country.replace_tablet();
    assert_ne!(everything(&country.clinic), before);
    let empty = heads(&country.clinic);
    let (exit, told) = country.restore("backup", &["--dry-run"]);
    assert_eq!((exit, &told["recorded"], &told["set_aside"]), (Some(0), &json!(14), &json!(0)), "{told}");
    assert_eq!(heads(&country.clinic), empty, "nothing was done");

    let (exit, told) = country.restore("backup", &[]);

    assert_eq!((exit, &told["recorded"], &told["refused_before"]), (Some(0), &json!(14), &json!(1)), "{told}");
    assert_eq!(everything(&country.clinic), before);
    let refused = set_aside(&country.clinic);
    assert_eq!(refused.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["taken"]);
    let full = heads(&country.clinic);
    let (exit, told) = country.restore("backup", &[]);
    assert_eq!((exit, &told["recorded"], &told["already"]), (Some(0), &json!(0), &json!(15)), "{told}");
    assert_eq!(heads(&country.clinic), full, "nothing is recorded twice");

    country.clinic.settle();
    assert_eq!(everything(&country.clinic), before);
    assert_eq!((country.quantity("sent"), country.quantity("new")), (json!(3), json!(4)));
    assert!(country.central.records("trans_line").contains_key("T-1"));
    assert!(!country.central.records("item_line").contains_key("gone"));
    for absent in ["transact", "Location"] {
        let there = country.central.records(absent);
        assert!(!there.contains_key("kept") && !there.contains_key("shelf"), "what stays stays: {there:?}");
    }
    assert_eq!(country.clinic.json(&["status"])["withheld_records"], 5);
    for (store, next) in [("A", "1002"), ("F", "1003")] {
        let given = country.clinic.ok(&["next-number", store, "customer_invoice_number"]);
        assert_eq!(given.trim(), next, "numbers that the lost tablet gave later are not given again");
    }

    // Refused edits that somebody let go of do not come again.
    let number = country.clinic.json(&["set-aside", "list"])["refused"][0]["number"].to_string();
    country.clinic.ok(&["set-aside", "dismiss", &number]);
    let (exit, told) = country.restore("backup", &[]);
    assert_eq!((exit, &told["already"], &told["refused_before"]), (Some(0), &json!(15), &json!(0)), "{told}");
    assert!(set_aside(&country.clinic).is_empty());
    success(&country.clinic.run(&["verify"], ""));
}

#[test]
fn a_restore_that_was_killed_goes_on_and_records_nothing_twice() {
    let mut country = Country::new();
    let lines =
        |store: &str| (0..1500).map(|number| stock(store, &format!("{store}{number:04}"), 5)).collect::<String>();
    country.clinic.record(&(lines("D") + &lines("A")));
    let before = country.clinic.records("item_line");
    country.backup("backup");
    country.replace_tablet();
    let passphrase = country.file("passphrase");
    std::fs::write(&passphrase, PASSPHRASE).unwrap();
    std::fs::set_permissions(&passphrase, std::fs::Permissions::from_mode(0o600)).unwrap();
    let file = country.file("backup");
    let arguments = ["restore", file.to_str().unwrap(), "--passphrase-file", passphrase.to_str().unwrap()];
    let log = country.clinic.data().join("local_copy.sqlite-wal");
    let size = || std::fs::metadata(&log).map_or(0, |file| file.len());
    let mut recorded = 0;
    for _ in 0..3 {
        let begun = size();
        let mut child = country.clinic.command(&arguments).spawn().unwrap();
        wait_until("some of it is recorded", || size() > begun + 100_000 || child.try_wait().unwrap().is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        recorded = country.clinic.records("item_line").len();
    }
    assert!(recorded > 0, "it was killed before anything was recorded");

    let (exit, told) = country.restore("backup", &[]);

    let count = |name: &str| told[name].as_u64().unwrap();
    assert_eq!((exit, count("recorded") + count("already")), (Some(0), 3000), "{told}");
    assert!(count("already") >= recorded as u64, "{told}");
    assert_eq!(country.clinic.records("item_line"), before);
    let status = country.clinic.json(&["status"]);
    assert_eq!((&status["head"], &status["private_journal"]["head"]), (&json!(1500), &json!(1500)));
    country.clinic.settle();
    assert_eq!(country.central.records("item_line").len(), 1500);
}

#[test]
fn what_cannot_be_restored_or_written_changes_nothing() {
    let mut country = Country::new();
    country.work();
    let refused = |code: &str| (5, code.to_owned());
    country.backup("backup");
    let whole = std::fs::read(country.file("backup")).unwrap();
    let again = at_device(&country.clinic, &["backup"], &country.file("backup"), PASSPHRASE);
    assert_eq!(failure(&again), (2, "file_exists".to_owned()));
    assert_eq!(std::fs::read(country.file("backup")).unwrap(), whole);
    let short = at_device(&country.clinic, &["backup"], &country.file("other"), "short\n");
    assert_eq!(failure(&short), (2, "passphrase_length".to_owned()));
    json_in(&at_device(&country.warehouse, &["backup"], &country.file("warehouse"), PASSPHRASE));
    json_in(&at_device(&country.clinic, &["carry", "out"], &country.file("request"), PASSPHRASE));
    for (name, change) in [("altered", 1_usize), ("cut", 0)] {
        let mut bytes = whole.clone();
        let at = bytes.len() - 20;
        if change == 1 {
            bytes[at] ^= 1;
        } else {
            bytes.truncate(at);
        }
        std::fs::write(country.file(name), bytes).unwrap();
    }
    let before = heads(&country.clinic);
    for (name, passphrase, code) in [
        ("backup", "other random words\n", "sealed_file_locked"),
        ("warehouse", PASSPHRASE, "carry_other_site"),
        ("request", PASSPHRASE, "sealed_file_kind"),
        ("altered", PASSPHRASE, "sealed_file_locked"),
        ("cut", PASSPHRASE, "sealed_file_locked"),
    ] {
        let output = at_device(&country.clinic, &["restore"], &country.file(name), passphrase);
        assert_eq!(failure(&output), refused(code), "{name}");
    }
    let missing = at_device(&country.clinic, &["restore"], &country.file("nowhere"), PASSPHRASE);
    assert_eq!(failure(&missing), (2, "file_unreadable".to_owned()));
    country.clinic.start();
    let beside = at_device(&country.clinic, &["restore"], &country.file("backup"), PASSPHRASE);
    assert_eq!(failure(&beside), (8, "folder_in_use".to_owned()));
    country.clinic.kill();
    assert_eq!(heads(&country.clinic), before);

    // A central of its own, and a device that has not read everything yet.
    let other = Country::new();
    let foreign = at_device(&other.clinic, &["restore"], &country.file("backup"), PASSPHRASE);
    assert_eq!(failure(&foreign), refused("carry_other_central"));
    success(&country.central.run(&["site", "reset-hardware", "clinic"], ""));
    let fresh = Agent::new(&country.central.url());
    let nobody = at_device(&fresh, &["backup"], &country.file("nobody"), PASSPHRASE);
    assert_eq!(failure(&nobody), (6, "not_enrolled".to_owned()));
    fresh.enrol(&country.central, "clinic");
    let early = at_device(&fresh, &["restore"], &country.file("backup"), PASSPHRASE);
    assert_eq!(failure(&early), refused("restore_not_now"));
    let mut names: Vec<_> =
        std::fs::read_dir(country.stick.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["altered", "backup", "cut", "request", "warehouse"]);
}

#[test]
fn what_was_recorded_in_a_store_that_has_moved_since_is_set_aside() {
    let mut country = Country::new();
    country.work();
    country.backup("backup");
    success(&country.central.run(&["store", "add", "A", "--site", "warehouse", "--at-once"], ""));
    wait_until("it is there", || {
        country.warehouse.run(&["sync"], "");
        country.central.json(&["store", "moves"])["moves"] == json!([])
    });
    country.warehouse.settle();
    country.warehouse.record(&stock("A", "sent", 9));
    country.warehouse.settle();
    success(&country.central.run(&["site", "reset-hardware", "clinic"], ""));
    country.clinic = Agent::initialised(&country.central, "clinic");
    country.clinic.settle();

    let (exit, dry) = country.restore("backup", &["--dry-run"]);
    assert_eq!((exit, &dry["set_aside"]), (Some(3), &json!(6)), "{dry}");
    let (exit, told) = country.restore("backup", &[]);

    assert_eq!(exit, Some(3), "{told}");
    assert_eq!((&told["recorded"], &told["reasons"]), (&json!(6), &json!({"not_store_holder": 6})), "{told}");
    assert_eq!(dry["reasons"], told["reasons"]);
    let ids: Vec<_> = set_aside(&country.clinic).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["sent", "sent", "new", "gone", "T", "T-1", "taken"]);
    country.clinic.settle();
    assert_eq!(country.quantity("sent"), 9);
    let full = heads(&country.clinic);
    let (exit, told) = country.restore("backup", &[]);
    assert_eq!((exit, &told["already"], heads(&country.clinic)), (Some(0), &json!(13), full), "{told}");
}

#[test]
fn nothing_goes_over_what_was_done_since_the_backup() {
    let mut country = Country::new();
    let all = ["kept", "same", "later", "undone", "office", "last"];
    country.clinic.record(&all.iter().map(|id| stock("A", id, 1)).collect::<String>());
    country.clinic.record(
        &(edit("pref", "put", "same", &json!({"item": "a"})) + &edit("pref", "put", "other", &json!({"item": "a"}))),
    );
    country.clinic.settle();
    country.clinic.record(&all.iter().map(|id| stock("A", id, 2)).collect::<String>());
    country.backup("backup");
    // Everything reaches central after all, and some of it goes on.
    country.clinic.settle();
    country.clinic.record(&(stock("A", "later", 3) + &stock("A", "undone", 1)));
    country.clinic.settle();
    country.replace_tablet();
    country.clinic.record(&edit("pref", "put", "other", &json!({"item": "b"})));
    country.clinic.record(&stock("A", "kept", 5));

    let (exit, told) = country.restore("backup", &[]);

    assert_eq!(exit, Some(3), "{told}");
    assert_eq!(
        told["reasons"],
        json!({"restored_changed": 2, "restored_differs": 1, "restored_received": 1}),
        "{told}"
    );
    let mut aside = set_aside(&country.clinic);
    aside.sort();
    let expected = [("kept", "changed"), ("later", "changed"), ("other", "differs"), ("undone", "received")];
    assert_eq!(aside, expected.map(|(id, code)| (id.to_owned(), format!("restored_{code}"))));
    country.clinic.settle();
    for (id, quantity) in [("kept", 5), ("same", 2), ("later", 3), ("undone", 1), ("office", 2), ("last", 2)] {
        assert_eq!(country.quantity(id), quantity, "{id}");
    }
    assert_eq!(country.clinic.json(&["get", "pref", "other"])["data"]["item"], "b");
    same_records(&country.central, &country.clinic, &["transact"]);

    // What is set aside can be had all the same.
    let list = country.clinic.json(&["set-aside", "list"])["refused"].clone();
    let later = list.as_array().unwrap().iter().find(|edit| edit["id"] == "later").unwrap()["number"].to_string();
    country.clinic.ok(&["set-aside", "retry", &later]);
    country.clinic.settle();
    assert_eq!(country.quantity("later"), 2);
}

#[test]
fn a_device_that_restores_its_own_backup_has_everything_already_and_keeps_what_is_newer() {
    let country = Country::new();
    country.work();
    country.backup("first");
    let before = heads(&country.clinic);
    let (exit, told) = country.restore("first", &[]);
    assert_eq!((exit, &told["recorded"], &told["already"]), (Some(0), &json!(0), &json!(12)), "{told}");
    assert_eq!(heads(&country.clinic), before);
    country.clinic.record(&(stock("A", "new", 8) + &stock("D", "kept", 8)));

    let (exit, told) = country.restore("first", &[]);

    assert_eq!((exit, &told["set_aside"], &told["recorded"]), (Some(3), &json!(2), &json!(0)), "{told}");
    let quantity = |id: &str| country.clinic.json(&["get", "item_line", id])["data"]["quantity"].clone();
    assert_eq!((quantity("new"), quantity("kept")), (json!(8), json!(8)));
    country.clinic.settle();
    assert_eq!(country.quantity("new"), 8);
}

/// What `initialise` does with edits that are not sent: it leaves them where they are, in the journal.
#[test]
fn an_initialisation_keeps_unsent_edits_and_sends_them_first() {
    let mut country = Country::new();
    country.work();
    let (before, head) = (everything(&country.clinic), heads(&country.clinic));
    country.central.kill();
    assert_eq!(country.clinic.run(&["initialise"], "").status.code(), Some(4));
    assert_eq!((everything(&country.clinic), heads(&country.clinic)), (before.clone(), head));
    country.central.start();
    country.clinic.set_url(&country.central.url());

    country.clinic.ok(&["initialise"]);

    country.clinic.settle();
    assert_eq!(everything(&country.clinic), before);
    assert_eq!((country.quantity("sent"), country.quantity("new")), (json!(3), json!(4)));
}
