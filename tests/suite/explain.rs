//! What central says of stores and records to people who look: it is so, and it names what they can act on.

use serde_json::{Value, json};

use crate::patients::edit;
use crate::support::central::Central;
use crate::support::success;

/// Central with the dispensary D and the store W, each on a site of its own, and the store C, which never left it.
fn clinic_and_warehouse() -> Central {
    let central = Central::with_data("");
    let store = |id: &str, mode: &str| {
        edit("name", "upsert", &format!("name-{id}"), &json!({"name": format!("the {id}"), "type": "store"}))
            + &edit("store", "upsert", id, &json!({"code": id, "name_ID": format!("name-{id}"), "store_mode": mode}))
    };
    central.import(&(store("C", "store") + &store("D", "dispensary") + &store("W", "store")));
    central.add_site("clinic", &["D"]);
    central.add_site("warehouse", &["W"]);
    central
}

/// What a verb prints for people.
fn told(central: &Central, arguments: &[&str]) -> String {
    success(&central.run(arguments, ""))
}

#[test]
fn explain_of_a_store_says_by_which_rule_it_is_what_it_is_where() {
    let central = clinic_and_warehouse();
    told(&central, &["visibility", "add", "name-W", "--store", "D"]);

    let (of_c, of_w) = (told(&central, &["explain", "C"]), told(&central, &["explain", "W"]));

    assert!(of_c.contains("its data       written by central: no site holds it\n"), "{of_c}");
    assert!(of_c.contains("active  -              it never left central"), "{of_c}");
    assert!(of_w.contains("it was given to this site (store add)"), "{of_w}");
    assert!(of_w.contains("store D, which is active here, sees it (visibility)"), "{of_w}");
    let role = central.json(&["explain", "W"])["roles"][2].clone();
    assert_eq!((&role["role"], &role["by"][0]["store"]), (&json!("transfer"), &json!("D")), "{role}");
}

#[test]
fn explain_of_a_deleted_store_says_that_it_is_deleted() {
    let central = clinic_and_warehouse();
    central.import(&edit("store", "delete", "C", &Value::Null));

    let explained = told(&central, &["explain", "C"]);

    assert!(explained.starts_with("store          C, which was deleted\n"), "{explained}");
    assert!(explained.contains("its data       written by nobody: the store is deleted\n"), "{explained}");
    assert!(
        explained.contains("deleted  -              its record was deleted; what is here of its data stays"),
        "{explained}"
    );
    assert!(!explained.contains("active"), "{explained}");
    assert_eq!(central.json(&["explain", "C"])["roles"][0]["role"], "deleted");
}

#[test]
fn explain_says_that_nobody_edits_a_patient_or_prescriber_whose_home_site_has_no_dispensary() {
    let central = clinic_and_warehouse();
    central.import(&edit("store", "patch", "C", &json!({"store_mode": "dispensary"})));
    central.import(
        &(edit("name", "put", "P", &json!({"type": "patient", "supplying_store_id": "C"}))
            + &edit("nameInsuranceJoin", "put", "R", &json!({"nameID": "P", "policyNumberFull": "1"}))
            + &edit("clinician", "put", "K", &json!({"store_ID": "C", "last_name": "k"}))),
    );
    let records = [["name", "P"], ["nameInsuranceJoin", "R"], ["clinician", "K"]];
    let written_by = |[table, id]: [&str; 2]| central.json(&["explain", table, id])["written_by"].clone();
    for record in records {
        let rule = "the site where the home store is active, if it has an active dispensary";
        assert_eq!(written_by(record), rule, "{record:?}");
    }

    central.import(&edit("store", "patch", "C", &json!({"store_mode": "store"})));
    for record in records {
        let nobody = "nobody: the home store C is active on central, where no dispensary is active; central makes a store one (store_mode)";
        assert_eq!(written_by(record), nobody, "{record:?}");
    }
    let refused = central.run(&["import", "-"], &edit("clinician", "patch", "K", &json!({"last_name": "l"})));
    assert!(String::from_utf8(refused.stdout).unwrap().contains("no_dispensary"));
}

#[test]
fn explain_says_that_central_writes_a_patient_until_it_has_a_home_store() {
    let central = clinic_and_warehouse();
    central.import(
        &(edit("name", "upsert", "homeless", &json!({"type": "patient"}))
            + &edit("clinician", "upsert", "nurse", &json!({"last_name": "N"}))),
    );
    let patient = told(&central, &["explain", "name", "homeless"]);
    assert!(
        patient.contains("central, until the first prescription or patient set-home-store gives it a home store"),
        "{patient}"
    );
    let prescriber = told(&central, &["explain", "clinician", "nurse"]);
    assert!(prescriber.contains("central, until prescriber set-home-store gives it a home store"), "{prescriber}");
}

#[test]
fn explain_of_a_prescriber_speaks_of_the_prescriber() {
    let central = clinic_and_warehouse();
    central.import(&edit("store", "patch", "C", &json!({"store_mode": "dispensary"})));
    central.import(&edit("clinician", "put", "K", &json!({"store_ID": "C", "last_name": "k"})));

    let explained = told(&central, &["explain", "clinician", "K"]);

    assert!(
        explained.contains("the sites where the prescriber is visible and those where it has prescribed"),
        "{explained}"
    );
    assert!(!explained.contains("where the patient is"), "{explained}");
}

#[test]
fn a_collector_of_a_store_that_keeps_data_on_its_site_is_not_said_to_have_all_of_it() {
    let central = clinic_and_warehouse();
    told(&central, &["visibility", "add", "name-D", "--store", "W"]);
    let collect = ["store", "set-role", "D", "--site", "warehouse", "collector"];
    let all = "3     warehouse  collector  has all of its data, to read and report on\n";
    assert_eq!(told(&central, &collect), "store D is collector on site 3\n");
    assert!(told(&central, &["store", "show", "D"]).contains(all));

    let keep_transactions = ["preference", "set", "include-transactions", "off", "--store", "D"];
    let keep_all = ["store", "set-role", "D", "--site", "central", "transfer"];
    for (keep, words) in [(&keep_transactions[..], "keeps its transactions"), (&keep_all[..], "keeps its data")] {
        told(&central, keep);
        let shown = told(&central, &["store", "show", "D"]);
        assert!(shown.contains("has what leaves the store's site, to read and report on"), "{shown}");
        assert!(!shown.contains("all of its data"), "{shown}");
        let warned = told(&central, &collect);
        assert!(warned.contains(words) && warned.contains("the site has what leaves it"), "{warned}");
    }
    assert!(told(&central, &["store", "show", "D"]).contains("its other data stays on its site"));
    told(&central, &["store", "set-role", "D", "--site", "central", "collector"]);
    assert!(central.json(&["store", "set-role", "D", "--site", "warehouse", "default"])["warning"].is_null());
}

#[test]
fn a_list_of_an_unknown_store_or_name_is_refused_and_not_empty() {
    let central = clinic_and_warehouse();
    for (arguments, code) in [
        (&["records", "item_line", "--store", "nowhere"][..], "unknown_store"),
        (&["visibility", "list", "--store", "nowhere"], "unknown_store"),
        (&["visibility", "list", "--name", "nobody"], "unknown_record"),
    ] {
        let refused = central.run(arguments, "");
        let words = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code() == Some(5) && words.contains(code), "{arguments:?}: {words}");
    }
    for arguments in [&["records", "item_line", "--store", "C"][..], &["visibility", "list", "--name", "name-C"]] {
        told(&central, arguments);
    }
    // A join may come before the name and the store that it joins.
    central.import(&edit("name_store_join", "put", "J", &json!({"name_ID": "later", "store_ID": "unbuilt"})));
    for arguments in [&["visibility", "list", "--store", "unbuilt"][..], &["visibility", "list", "--name", "later"]] {
        assert!(told(&central, arguments).contains("later"));
    }
}

#[test]
fn a_list_of_a_transfer_stores_records_notes_that_the_others_stay_on_its_site() {
    let central = clinic_and_warehouse();
    let list = ["records", "item_line", "--store", "D"];
    let notes = |central: &Central| String::from_utf8(central.run(&list, "").stderr).unwrap();
    assert_eq!(notes(&central), "");
    assert!(central.json(&list)["note"].is_null());

    told(&central, &["store", "set-role", "D", "--site", "central", "transfer"]);

    let note = "store D is a transfer store here: central has its transfers and what it had before, and its other data stays on its site";
    assert_eq!(notes(&central), format!("note: {note}\n"));
    assert_eq!(central.json(&list)["note"], note);
    assert!(central.json(&["records", "item_line"]).get("note").is_none());
}

#[test]
fn stores_are_listed_with_the_name_that_is_theirs() {
    let central = clinic_and_warehouse();
    central.import(&edit("store", "patch", "W", &json!({"name": "its own"})));
    central.import(&edit("store", "put", "Z", &json!({"code": "Z"})));

    let stores = central.json(&["store", "list"])["stores"].clone();

    let names: Vec<_> = stores.as_array().unwrap().iter().map(|store| (&store["id"], &store["name"])).collect();
    let expected = [
        (&json!("C"), &json!("the C")),
        (&json!("Z"), &Value::Null),
        (&json!("D"), &json!("the D")),
        (&json!("W"), &json!("its own")),
    ];
    assert_eq!(names, expected);
}

#[test]
fn visibility_is_listed_by_name_and_store_in_pages_and_says_what_is_known_of_who_made_it() {
    let central = clinic_and_warehouse();
    for (id, name, store) in [("1", "name-W", "D"), ("2", "name-D", "C"), ("3", "name-W", "C"), ("4", "a", "W")] {
        central.import(&edit("name_store_join", "put", id, &json!({"name_ID": name, "store_ID": store})));
    }
    let pair = |join: &Value| format!("{} {}", join["name"].as_str().unwrap(), join["store"].as_str().unwrap());
    let expected = ["a W", "name-C D", "name-C W", "name-D C", "name-D W", "name-W C", "name-W D"];

    let all = central.json(&["visibility", "list"])["joins"].clone();
    assert_eq!(all.as_array().unwrap().iter().map(pair).collect::<Vec<_>>(), expected);
    assert_eq!((&all[0]["made_by"], &all[1]["made_by"]), (&json!("hand_or_site"), &json!("central")));
    let text = told(&central, &["visibility", "list"]);
    assert!(text.lines().nth(1).unwrap().contains("by hand or a site") && text.contains("  central  "), "{text}");

    let mut pages: Vec<String> = Vec::new();
    let mut page = central.json(&["visibility", "list", "--limit", "2"]);
    loop {
        pages.extend(page["joins"].as_array().unwrap().iter().map(pair));
        let Some(next) = page["next"].as_str().map(str::to_owned) else { break };
        page = central.json(&["visibility", "list", "--limit", "2", "--after", &next]);
    }
    assert_eq!(pages, expected);
    let of_store = central.json(&["visibility", "list", "--store", "C"])["joins"].clone();
    assert_eq!(of_store.as_array().unwrap().iter().map(pair).collect::<Vec<_>>(), ["name-D C", "name-W C"]);
    let gone = central.run(&["visibility", "list", "--after", "nothing"], "");
    assert!(
        gone.status.code() == Some(5) && String::from_utf8(gone.stderr).unwrap().contains("list from the beginning")
    );
}
