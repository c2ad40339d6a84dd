//! A dispensary that does not include its transactions in sync: what stays on its site, what goes all the same, and that all of it comes
//! once the preference says so.

use serde_json::{Value, json};

use crate::moves::{moves, sync_until};
use crate::patients::edit;
use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::success;
use crate::sync::same_records;

fn transaction(id: &str, name: &str) -> String {
    let line = json!({"transaction_ID": id, "quantity": 3});
    edit("transact", "put", id, &json!({"store_ID": "D", "name_ID": name, "comment": "new"}))
        + &edit("trans_line", "put", &format!("{id}-1"), &line)
}

fn stock(id: &str) -> String {
    edit("item_line", "put", id, &json!({"store_ID": "D", "quantity": 7}))
}

/// Central with the dispensary D and the store W, each on a site of its own.
fn clinic_and_warehouse() -> (Central, [Agent; 2]) {
    let central = Central::with_data("");
    let store = |id: &str, mode: &str| {
        edit("name", "upsert", &format!("name-{id}"), &json!({"name": id, "type": "store"}))
            + &edit("store", "upsert", id, &json!({"code": id, "name_ID": format!("name-{id}"), "store_mode": mode}))
    };
    central.import(&(store("D", "dispensary") + &store("W", "store")));
    central.add_site("clinic", &["D"]);
    central.add_site("warehouse", &["W"]);
    let agents = ["clinic", "warehouse"].map(|name| Agent::initialised(&central, name));
    (central, agents)
}

fn set(central: &Central, store: &str, value: &str) -> String {
    success(&central.run(&["preference", "set", "include-transactions", value, "--store", store], ""))
}

fn ids(records: &std::collections::BTreeMap<String, Value>) -> Vec<&str> {
    records.keys().map(String::as_str).collect()
}

const TABLES: [&str; 5] = ["transact", "trans_line", "item_line", "Stock_take", "Location"];

#[test]
fn a_dispensary_keeps_its_transactions_until_they_are_included_and_then_sends_all_of_them() {
    let (central, [clinic, _]) = clinic_and_warehouse();
    clinic.record(&(transaction("before", "name-of-a-ward") + &stock("stock-before")));
    clinic.settle();

    let told = set(&central, "D", "off");
    assert!(told.starts_with("include-transactions is off for store D\nwhat is recorded there"), "{told}");
    assert!(set(&central, "D", "off").contains("already; nothing was done"));
    clinic.settle();
    let recorded = clinic.record(
        &(transaction("kept", "name-of-a-ward")
            + &stock("stock-kept")
            + &edit("Stock_take", "put", "take", &json!({"store_ID": "D"}))
            + &edit("Location", "put", "shelf", &json!({"store_ID": "D", "code": "1"}))
            + &transaction("to-warehouse", "name-W")
            + &transaction("dropped", "name-of-a-ward")),
    );
    assert_eq!(recorded["recorded"], 9, "{recorded}");
    clinic.record(&edit("transact", "patch", "kept", &json!({"comment": "changed"})));
    clinic.record(&edit("transact", "patch", "before", &json!({"comment": "changed"})));
    clinic.record(
        &(edit("trans_line", "delete", "dropped-1", &Value::Null)
            + &edit("transact", "delete", "dropped", &Value::Null)),
    );
    clinic.settle();

    assert_eq!(ids(&central.records("transact")), ["before", "to-warehouse"]);
    assert_eq!(central.records("transact")["before"]["comment"], "changed", "what central has goes on being synced");
    assert_eq!(ids(&central.records("trans_line")), ["before-1", "to-warehouse-1"]);
    assert_eq!(ids(&central.records("item_line")), ["stock-before"]);
    assert_eq!(ids(&central.records("Location")), ["shelf"]);
    assert_eq!(clinic.json(&["get", "transact", "kept"])["state"], "local");
    let status = clinic.json(&["status"]);
    assert_eq!(status["withheld_records"], 4, "{status}");
    let explained = success(&central.run(&["explain", "D"], ""));
    assert!(explained.contains("transactions, stock lines and stocktakes, but transfers"), "{explained}");
    assert!(success(&central.run(&["preference", "list"], "")).contains("on, but in D"));

    // One that becomes a transfer goes, whole, with its lines.
    clinic.record(&edit("transact", "patch", "kept", &json!({"name_ID": "name-W"})));
    clinic.settle();
    assert_eq!(central.records("transact")["kept"]["comment"], "changed");
    assert!(central.records("trans_line").contains_key("kept-1"));
    clinic.record(&transaction("last", "name-of-a-ward"));

    set(&central, "D", "on");
    clinic.settle();

    same_records(&central, &clinic, &TABLES);
    assert_eq!(ids(&central.records("transact")), ["before", "kept", "last", "to-warehouse"]);
    assert_eq!(ids(&central.records("item_line")), ["stock-before", "stock-kept"]);
    assert_eq!(clinic.json(&["status"])["withheld_records"], 0);
    assert_eq!(clinic.json(&["get", "transact", "last"])["state"], "central");
    clinic.record(&edit("transact", "patch", "last", &json!({"comment": "later"})));
    clinic.settle();
    same_records(&central, &clinic, &TABLES);
}

/// In one session the device hears that it is to send what stayed, and that its store is taken away.
#[test]
fn what_stayed_goes_before_its_store_where_somebody_moves_that_as_soon_as_it_may_go() {
    let (central, [clinic, warehouse]) = clinic_and_warehouse();
    set(&central, "D", "off");
    clinic.settle();
    clinic.record(&(transaction("kept", "name-of-a-ward") + &stock("stock-kept")));
    clinic.settle();
    assert_eq!(clinic.json(&["status"])["withheld_records"], 3);

    set(&central, "D", "on");
    success(&central.run(&["store", "add", "D", "--site", "warehouse"], ""));
    sync_until("the store has moved", &[&clinic, &warehouse], || moves(&central).is_empty());

    assert_eq!(ids(&central.records("trans_line")), ["kept-1"]);
    assert_eq!(ids(&central.records("item_line")), ["stock-kept"]);
    same_records(&central, &warehouse, &TABLES);
    let status = clinic.json(&["status"]);
    assert_eq!((&status["withheld_records"], &status["set_aside"]), (&json!(0), &json!(0)), "{status}");
}

#[test]
fn transactions_stay_in_dispensaries_alone_and_a_wrong_order_says_so() {
    let (central, [clinic, warehouse]) = clinic_and_warehouse();
    let refused = |central: &Central, arguments: &[&str]| {
        let refused = central.run(arguments, "");
        (refused.status.code(), String::from_utf8(refused.stderr).unwrap())
    };
    let set = ["preference", "set", "include-transactions", "off"];
    for (arguments, code, words) in [
        (vec!["--store", "W"], 5, "not_a_dispensary"),
        (vec!["--store", "nowhere"], 5, "unknown_store"),
        (vec![], 2, "preference_needs_store"),
    ] {
        let told = refused(&central, &[&set[..], &arguments].concat());
        assert!(told.0 == Some(code) && told.1.contains(words), "{told:?}");
    }
    let told = refused(&central, &["preference", "set", "prescriptions-where-visible", "on", "--store", "D"]);
    assert!(told.0 == Some(2) && told.1.contains("not_of_a_store"), "{told:?}");
    let told = refused(&central, &["store", "set-role", "D", "--site", "warehouse", "transfer"]);
    assert!(told.0 == Some(2) && told.1.contains("role_not_settable"), "{told:?}");

    // It speaks for a dispensary as long as the store is one.
    success(&central.run(&["preference", "set", "include-transactions", "off", "--store", "D"], ""));
    clinic.settle();
    clinic.record(&stock("kept"));
    clinic.settle();
    assert!(central.records("item_line").is_empty());
    central.import(&edit("store", "patch", "D", &json!({"store_mode": "store"})));
    clinic.settle();
    assert_eq!(ids(&central.records("item_line")), ["kept"]);
    warehouse.record(&edit("item_line", "put", "other", &json!({"store_ID": "W"})));
    warehouse.settle();
    assert_eq!(ids(&central.records("item_line")), ["kept", "other"]);
}

#[test]
fn what_stays_survives_the_loss_of_the_local_copy_and_never_goes_with_what_is_sent_again() {
    let (mut central, [clinic, _]) = clinic_and_warehouse();
    set(&central, "D", "off");
    clinic.settle();
    clinic.record(&transaction("kept", "name-of-a-ward"));
    clinic.settle();
    clinic.ok(&["initialise"]);
    assert_eq!(ids(&clinic.records("trans_line")), ["kept-1"], "reading everything anew takes nothing away");

    let kept = crate::central_set_back::backup(&mut central);
    clinic.set_url(&central.url());
    clinic.record(&(stock("kept-too") + &edit("Location", "put", "shelf", &json!({"store_ID": "D"}))));
    clinic.settle();
    crate::central_set_back::restore(&mut central, &kept);
    clinic.set_url(&central.url());
    for _ in 0..3 {
        clinic.settle();
    }
    assert_eq!((ids(&central.records("Location")), central.records("item_line").len()), (vec!["shelf"], 0));
    assert_eq!(ids(&clinic.records("item_line")), ["kept-too"]);

    set(&central, "D", "on");
    clinic.settle();
    same_records(&central, &clinic, &TABLES);
    assert_eq!(ids(&central.records("trans_line")), ["kept-1"]);
}

/// Settings of the journal in the agent's file.
fn limit(agent: &Agent, lines: &str) {
    let text = std::fs::read_to_string(agent.settings()).unwrap();
    std::fs::write(agent.settings(), format!("{text}\n[limits]\n{lines}\n")).unwrap();
}

fn lose_local_copy(agent: &Agent) {
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(agent.data().join(format!("local_copy.sqlite{end}")));
    }
}

/// So much that its journal lets go of what was before.
fn fill(agent: &Agent, round: usize) {
    let note = "y".repeat(400_000);
    let one = |number| {
        edit("Location", "put", &format!("L-{round}-{number}"), &json!({"store_ID": "D", "Description": note}))
    };
    agent.record(&(0..9).map(one).collect::<String>());
    agent.settle();
}

#[test]
fn what_has_left_does_not_rise_again_when_the_local_copy_is_lost() {
    let (central, [clinic, _]) = clinic_and_warehouse();
    limit(&clinic, "journal_bytes_max = 67108864\nacknowledged_tail_bytes_max = 1048576");
    set(&central, "D", "off");
    clinic.settle();
    clinic.record(&(stock("gone") + &stock("lives") + &transaction("kept", "name-of-a-ward")));
    set(&central, "D", "on");
    clinic.settle();
    clinic.record(&edit("item_line", "delete", "gone", &Value::Null));
    clinic.record(&edit("item_line", "patch", "lives", &json!({"quantity": 1})));
    clinic.settle();
    (0..6).for_each(|round| fill(&clinic, round));

    lose_local_copy(&clinic);
    for _ in 0..2 {
        clinic.settle();
    }

    assert_eq!(ids(&central.records("item_line")), ["lives"]);
    assert_eq!(central.records("item_line")["lives"]["quantity"], 1);
    same_records(&central, &clinic, &["transact", "trans_line", "item_line"]);
}

#[test]
fn nothing_that_central_has_hangs_on_what_stays() {
    let (central, [clinic, _]) = clinic_and_warehouse();
    let location = |id: &str| edit("Location", "put", id, &json!({"store_ID": "D", "code": id}));
    clinic.record(&(transaction("before", "name-of-a-ward") + &location("L1")));
    clinic.settle();
    success(&central.run(&["store", "set-role", "D", "--site", "central", "transfer"], ""));
    clinic.settle();
    clinic.record(&(transaction("kept", "name-of-a-ward") + &location("L2")));

    let moved = edit("trans_line", "patch", "before-1", &json!({"transaction_ID": "kept"}));
    let (exit, code) = clinic.fails(&["record", "--file", "-"], &moved);
    assert_eq!((exit, code.as_str()), (5, "header_stays"));
    let merge = json!({"store_ID": "D", "into_ID": "L2"});
    clinic.record(&edit("outpost_location_merge", "put", "L1", &merge));
    clinic.settle();
    assert!(central.records("outpost_location_merge").is_empty());

    // A program that knows nothing of it writes the store's record whole.
    let whole = json!({"code": "D2", "name_ID": "name-D", "store_mode": "dispensary"});
    central.import(&edit("store", "put", "D", &whole));
    clinic.settle();
    assert_eq!(
        (ids(&central.records("Location")), central.records("store")["D"]["code"].clone()),
        (vec!["L1"], json!("D2"))
    );

    success(&central.run(&["store", "set-role", "D", "--site", "central", "collector"], ""));
    clinic.settle();
    same_records(&central, &clinic, &TABLES);
    same_records(&central, &clinic, &["outpost_location_merge"]);
    assert_eq!(clinic.json(&["get", "Location", "L1"])["merged_into"], "L2");
}
