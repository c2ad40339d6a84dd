//! What a site has is compared with what it should have, as the people at both ends see it: what was changed behind the programs' backs is
//! found, and mended from the side that is right.

use serde_json::{Value, json};
use sql::{Durability, Options, Sql as _, SqliteEngine};

use crate::central_set_back::stock;
use crate::patients::edit;
use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::link::{Link, Mood};
use crate::support::success;

/// Numbers in the headers of the two files: `OutL` and `OPCS`.
const LOCAL_COPY: i32 = 0x4F75_744C;
const STORE: i32 = 0x4f50_4353;
/// No schema is newer than the tests.
const SCHEMA_VERSION_MAX: u32 = 1_000_000;

/// Central with a store, stock in it, and central data.
fn site() -> (Central, Agent) {
    let mut lines = edit("store", "upsert", "A", &json!({"code": "A", "store_mode": "store"}));
    for unit in 0..40 {
        lines += &edit("unit", "upsert", &format!("unit-{unit}"), &json!({"units": format!("box of {unit}")}));
    }
    let central = Central::with_data(&lines);
    central.add_site("clinic", &["A"]);
    let clinic = Agent::initialised(&central, "clinic");
    for item in ["first", "second", "third"] {
        clinic.record(&stock("A", item, 5));
    }
    clinic.settle();
    (central, clinic)
}

/// Changes a file that no program has open, past every rule. The row's own checksum goes: that alone is what decay would not pass.
fn change(file: &std::path::Path, application: i32, statements: &[&str]) {
    let mut engine = SqliteEngine::open(file, &Options::new(application, SCHEMA_VERSION_MAX)).unwrap();
    engine.begin(Durability::Full).unwrap();
    for statement in statements {
        engine.execute(statement, &[]).unwrap();
    }
    engine.commit().unwrap();
}

fn change_site(agent: &Agent, statements: &[&str]) {
    change(&agent.data().join("local_copy.sqlite"), LOCAL_COPY, statements);
}

fn change_central(central: &mut Central, statements: &[&str]) {
    central.kill();
    change(&central.folder().join("central.sqlite"), STORE, statements);
    central.start();
}

fn data(records: &std::collections::BTreeMap<String, Value>, id: &str) -> Value {
    records.get(id).cloned().unwrap_or_default()
}

#[test]
fn a_site_that_has_what_it_should_have_is_told_so_and_nothing_is_changed() {
    let (central, clinic) = site();

    let told = clinic.ok(&["verify", "--with-central"]);

    assert!(told.ends_with("this site has what it should have\n"), "{told}");
    let verified = clinic.json(&["verify", "--with-central"]);
    assert_eq!(verified["outcome"], "whole");
    let counts = ["differing_buckets", "sent_again", "pulled", "set_aside", "let_go", "left_alone"];
    assert_eq!(counts.map(|count| verified["verified"][count].clone()), [0; 6].map(Value::from));
    assert!(verified["verified"]["records"].as_u64().unwrap() >= 44, "{verified}");
    let shown = central.json(&["site", "show", "clinic"]);
    assert!(shown["verify_outcome"].as_str().unwrap().starts_with("has what it should have; "), "{shown}");
    assert!(shown["verified"].is_string() && shown["verify_asked"].is_null(), "{shown}");
}

#[test]
fn what_was_changed_on_a_device_is_taken_from_central_where_that_is_right_and_sent_again_where_the_site_is() {
    let (central, clinic) = site();
    change_site(
        &clinic,
        &[
            "UPDATE record SET data = '{\"ID\":\"unit-1\",\"units\":\"changed here\"}', checksum = NULL WHERE id = 'unit-1'",
            "DELETE FROM record WHERE id = 'unit-2'",
            "DELETE FROM membership WHERE id = 'unit-2'",
            "INSERT INTO record (table_name, id, data, position, state)
                VALUES ('unit', 'unit-made', '{\"ID\":\"unit-made\",\"units\":\"made here\"}', 3, 0)",
            "INSERT INTO membership (table_name, id, scope, generation)
                SELECT 'unit', 'unit-made', scope, generation FROM membership WHERE id = 'unit-3'",
            "DELETE FROM record WHERE id = 'second'",
            "UPDATE record SET data = replace(data, '\"quantity\":5', '\"quantity\":7'), checksum = NULL WHERE id = 'third'",
        ],
    );
    assert_eq!(data(&clinic.records("unit"), "unit-1")["units"], "changed here");
    assert_eq!(data(&clinic.records("item_line"), "third")["quantity"], 7);

    let verified = clinic.json(&["verify", "--with-central"]);

    assert_eq!(verified["outcome"], "whole", "{verified}");
    let counts = ["sent_again", "pulled", "set_aside", "let_go", "left_alone"];
    // unit-1 and unit-2 and the stock that is not here are pulled; unit-made goes; the stock that reads otherwise is the site's.
    assert_eq!(counts.map(|count| verified["verified"][count].as_u64().unwrap()), [1, 3, 3, 1, 0], "{verified}");
    assert_eq!(clinic.records("unit"), central.records("unit"));
    assert_eq!(clinic.records("item_line"), central.records("item_line"));
    assert_eq!(data(&central.records("item_line"), "third")["quantity"], 7, "the site's own version counts");
    let aside = clinic.json(&["set-aside", "list"])["refused"].clone();
    let aside: Vec<_> = aside.as_array().unwrap().iter().map(|one| (&one["code"], &one["id"])).collect();
    assert!(aside.iter().all(|(code, _)| **code == "differed"), "{aside:?}");
    let ids: std::collections::BTreeSet<_> = aside.iter().map(|(_, id)| id.as_str().unwrap()).collect();
    assert_eq!(ids, ["third", "unit-1", "unit-made"].into());
}

#[test]
fn what_central_has_lost_or_changed_of_a_site_s_own_is_sent_again() {
    let (mut central, clinic) = site();
    change_central(
        &mut central,
        &[
            "DELETE FROM lane WHERE record = (SELECT number FROM record WHERE id = 'first')",
            "DELETE FROM record WHERE id = 'first'",
            "UPDATE record SET data = replace(data, '\"quantity\":5', '\"quantity\":500'), checksum = NULL WHERE id = 'second'",
        ],
    );
    clinic.set_url(&central.url());
    assert!(!central.records("item_line").contains_key("first"));

    let verified = clinic.json(&["verify", "--with-central"]);

    assert_eq!(verified["outcome"], "whole", "{verified}");
    assert_eq!(verified["verified"]["sent_again"], 2, "{verified}");
    assert_eq!(clinic.records("item_line"), central.records("item_line"));
    assert_eq!(data(&central.records("item_line"), "second")["quantity"], 5);
    assert!(central.records("item_line").contains_key("first"));
    let aside = clinic.json(&["set-aside", "list"])["refused"].clone();
    assert_eq!(aside.as_array().unwrap().len(), 1, "central's version is kept: {aside}");
}

#[test]
fn a_site_that_central_asks_verifies_with_its_next_sync_and_central_shows_what_it_found() {
    let (central, clinic) = site();
    let told = success(&central.run(&["site", "verify", "clinic"], ""));
    assert_eq!(told, "site 2 is asked to verify what it has with its next sync\n");
    success(&central.run(&["site", "verify", "clinic"], ""));
    let asked = central.json(&["site", "show", "clinic"]);
    assert!(asked["verify_asked"].is_string(), "{asked}");
    change_site(&clinic, &["DELETE FROM record WHERE id = 'unit-2'"]);

    let told = clinic.ok(&["sync"]);

    assert!(told.contains("central asked this site to verify what it has:\n"), "{told}");
    assert!(clinic.records("unit").contains_key("unit-2"));
    let shown = central.json(&["site", "show", "clinic"]);
    assert!(shown["verify_asked"].is_null(), "{shown}");
    assert!(shown["verify_outcome"].as_str().unwrap().ends_with(", 1 pulled"), "{shown}");
    assert!(!clinic.ok(&["sync"]).contains("verify"), "it is asked once");
}

#[test]
fn a_daemon_verifies_for_whoever_asks_it() {
    let (_central, mut clinic) = site();
    change_site(&clinic, &["DELETE FROM record WHERE id = 'unit-2'"]);
    clinic.start();

    let verified = clinic.json(&["verify", "--with-central"]);

    assert_eq!((&verified["outcome"], &verified["verified"]["pulled"]), (&json!("whole"), &json!(1)));
    assert!(clinic.records("unit").contains_key("unit-2"));
}

#[test]
fn without_a_connection_nothing_is_compared_and_that_is_said() {
    let (central, clinic) = site();
    let link = Link::to(central.address(), Mood::Down);
    clinic.set_url(&link.url());

    let output = clinic.run(&["verify", "--with-central"], "");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.starts_with("nothing can be compared before a sync goes through:\n"), "{said}");
}

#[test]
fn a_site_without_a_device_and_central_itself_cannot_be_asked() {
    let (central, _clinic) = site();
    central.add_site("later", &[]);
    for (site, code) in [("later", "not_enrolled"), ("1", "is_central"), ("nobody", "unknown_site")] {
        let output = central.run(&["site", "verify", site, "--json"], "");
        assert_eq!(output.status.code(), Some(5), "{site}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(code), "{site}: {error}");
    }
}

#[test]
fn what_central_cannot_read_is_named_holds_up_nobody_and_is_sent_again_by_whoever_writes_it() {
    let (mut central, clinic) = site();
    change_central(
        &mut central,
        &[
            "UPDATE record SET data = replace(data, '5', '7') WHERE id = 'first'",
            "UPDATE record SET store = 'elsewhere' WHERE id = 'second'",
            "UPDATE record SET data = '{', checksum = NULL WHERE id = 'unit-1'",
        ],
    );
    clinic.set_url(&central.url());

    // An edit of such a record is refused, and what comes behind it counts.
    clinic.record(&stock("A", "first", 8));
    clinic.record(&stock("A", "third", 9));
    assert_eq!(clinic.run(&["sync"], "").status.code(), Some(3));
    let aside = clinic.json(&["set-aside", "list"])["refused"].clone();
    let aside: Vec<_> = aside.as_array().unwrap().iter().map(|one| (&one["code"], &one["id"])).collect();
    assert_eq!(aside, [(&json!("record_unreadable"), &json!("first"))]);
    assert_eq!(data(&clinic.records("item_line"), "first")["quantity"], 5, "what it had before stays");
    let third = central.json(&["records", "item_line", "--id", "third"]);
    assert_eq!(third["records"][0]["data"]["quantity"], 9, "{third}");

    let asked = central.json(&["site", "verify", "clinic"]);
    let named = asked["unreadable"].as_array().unwrap().iter();
    let named: Vec<_> = named.map(|one| (&one["id"], &one["store"], &one["site"])).collect();
    let (first, second, unit) = (json!("first"), json!("second"), json!("unit-1"));
    let expected =
        [(&unit, &Value::Null, &json!(1)), (&first, &json!("A"), &json!(2)), (&second, &json!("A"), &json!(2))];
    assert_eq!((&asked["unreadable_count"], named), (&json!(3), expected.to_vec()));
    let told = success(&central.run(&["site", "verify", "clinic"], ""));
    assert!(told.contains("UNREADABLE item_line second of store A: "), "{told}");
    assert!(told.contains("To mend it: the site sends it again with its next sync\n"), "{told}");

    // The site sends its own again; central's own comes with a file.
    clinic.ok(&["sync"]);
    success(&central.run(&["import", "-"], &edit("unit", "put", "unit-1", &json!({"units": "box of 1"}))));
    clinic.settle();
    clinic.ok(&["set-aside", "retry", "--all"]);
    clinic.settle();

    assert_eq!(clinic.records("item_line"), central.records("item_line"));
    assert_eq!(clinic.records("unit"), central.records("unit"));
    assert_eq!(data(&central.records("item_line"), "first")["quantity"], 8);
    assert_eq!(central.json(&["site", "verify", "clinic"])["unreadable_count"], 0);
    assert_eq!(clinic.json(&["verify", "--with-central"])["outcome"], "whole");
    assert_eq!(clinic.json(&["status"])["set_aside"], 0);
}
