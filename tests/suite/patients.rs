//! A patient that a clinic makes without a connection: known to central and to its own site, then to the clinic in which central makes it
//! visible, and edited by its own site alone.

use serde_json::{Value, json};

use crate::central_set_back::{backup, restore};
use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::corpus::CentralData;
use crate::support::link::{Link, Mood};
use crate::support::{success, wait_until};
use crate::sync::{central_with_sites, same_records};

pub(crate) fn edit(table: &str, op: &str, id: &str, data: &Value) -> String {
    json!({"table": table, "op": op, "id": id, "data": data}).to_string() + "\n"
}

fn patient(home: &str) -> String {
    let data = json!({"ID": "P", "type": "patient", "supplying_store_id": home, "first": "Ana", "last": "A"});
    edit("name", "upsert", "P", &data)
}

fn policy(id: &str, number: &str) -> String {
    edit("nameInsuranceJoin", "upsert", id, &json!({"ID": id, "nameID": "P", "policyNumberFull": number}))
}

fn dispensary(store: &str) -> String {
    edit("store", "patch", store, &json!({"store_mode": "dispensary"}))
}

/// Two sites whose stores are dispensaries, of which neither sees the other.
fn two_dispensaries() -> (Central, CentralData, [Agent; 2]) {
    let (central, data) = central_with_sites(5, &["north", "south"]);
    let agents = ["north", "south"].map(|name| Agent::initialised(&central, name));
    central.import(&(dispensary(&data.stores[0]) + &dispensary(&data.stores[1])));
    for agent in &agents {
        agent.settle();
    }
    (central, data, agents)
}

/// Patient and policies as a side shows them.
fn shown(agent: &Agent) -> (Value, Vec<String>) {
    let patient = agent.records("name").get("P").map_or(Value::Null, |patient| patient["first"].clone());
    (patient, agent.records("nameInsuranceJoin").keys().cloned().collect())
}

#[test]
fn a_patient_made_offline_is_shared_by_visibility_and_edited_by_its_own_site_alone() {
    let (central, data) = central_with_sites(5, &["north", "south"]);
    let (home, other) = (data.stores[0].as_str(), data.stores[1].as_str());
    let [north, south] = ["north", "south"].map(|name| Agent::initialised(&central, name));
    let (exit, code) = north.fails(&["record", "--file", "-"], &patient(home));
    assert_eq!((exit, code.as_str()), (5, "no_dispensary"));
    central.import(&(dispensary(home) + &dispensary(other)));
    for agent in [&north, &south] {
        agent.settle();
    }
    let link = Link::to(central.address(), Mood::Down);
    north.set_url(&link.url());

    north.record(&(patient(home) + &policy("R", "1")));
    let (exit, code) = south.fails(&["record", "--file", "-"], &patient(home));
    assert_eq!((exit, code.as_str()), (5, "not_home_site"));
    assert_eq!(north.json(&["get", "name", "P"])["state"], "pending");
    link.set(Mood::Good);
    assert_eq!(north.settle()["stored"], 0, "nobody needs a copy of what it wrote");
    south.settle();
    assert_eq!(shown(&north), (json!("Ana"), vec!["R".to_owned()]));
    assert_eq!(shown(&south), (Value::Null, Vec::new()));

    let join = json!({"ID": "J", "name_ID": "P", "store_ID": other});
    central.import(&edit("name_store_join", "upsert", "J", &join));
    let explained = success(&central.run(&["explain", "name", "P"], ""));
    for line in [
        "type           patient\n".to_owned(),
        format!("store          {home}, which site 2 north holds under number 1\n"),
        "the home store's site receives it, and sites with a store, active or collector, in which patient P is visible, or one that was merged with it; ".to_owned(),
        format!("received by    site 2 north: store {home} is the home store\n"),
        format!("               site 3 south: store {other} sees it (visibility)\n"),
    ] {
        assert!(explained.contains(&line), "{line:?} is not in {explained}");
    }
    south.settle();
    assert_eq!(shown(&south), (json!("Ana"), vec!["R".to_owned()]));
    for refused in [
        edit("name", "patch", "P", &json!({"first": "Mine"})),
        edit("nameInsuranceJoin", "patch", "R", &json!({"type": "mine"})),
        policy("R2", "2"),
        edit("name_store_join", "upsert", "J2", &json!({"name_ID": "P", "store_ID": other})),
    ] {
        let (exit, code) = south.fails(&["record", "--file", "-"], &refused);
        assert_eq!((exit, code.as_str()), (5, "not_home_site"), "{refused}");
    }
    let refused = central.run(&["import", "-"], &edit("name", "patch", "P", &json!({"first": "Central"})));
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");

    north.record(&(edit("name", "patch", "P", &json!({"first": "Anna"})) + &policy("R2", "2")));
    // A new one becomes visible in other stores of its site by the site's own word.
    north.record(&edit("name_store_join", "upsert", "J3", &json!({"ID": "J3", "name_ID": "P", "store_ID": home})));
    for agent in [&north, &south] {
        agent.settle();
        assert_eq!(shown(agent), (json!("Anna"), vec!["R".to_owned(), "R2".to_owned()]));
        same_records(&central, agent, &["nameInsuranceJoin"]);
    }
    assert_eq!(central.records("name_store_join").keys().collect::<Vec<_>>(), ["J", "J3"]);
    north.wipe();
    north.enrol(&central, "north");
    north.ok(&["initialise"]);
    assert_eq!(shown(&north), (json!("Anna"), vec!["R".to_owned(), "R2".to_owned()]));
    assert_eq!(north.records("name_store_join").keys().collect::<Vec<_>>(), ["J3"]);

    central.import(&(json!({"table": "name_store_join", "op": "delete", "id": "J"}).to_string() + "\n"));
    for agent in [&north, &south] {
        agent.settle();
    }
    assert_eq!(shown(&south), (Value::Null, Vec::new()));
    assert_eq!(shown(&north), (json!("Anna"), vec!["R".to_owned(), "R2".to_owned()]));
}

#[test]
fn a_patient_gets_another_home_store_once_its_old_home_has_sent_what_it_recorded_offline() {
    let (central, data, [north, south]) = two_dispensaries();
    let (home, other) = (data.stores[0].as_str(), data.stores[1].as_str());
    north.record(&(patient(home) + &policy("R", "1")));
    north.settle();
    let first = |name: &str| edit("name", "patch", "P", &json!({"first": name}));
    north.record(&first("Anna"));

    let refused = central.run(&["patient", "set-home-store", "P", "nowhere"], "");
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    let asked = success(&central.run(&["patient", "set-home-store", "P", other], ""));
    assert!(asked.contains("once its home site, 2 north, has read that"), "{asked}");
    let listed = success(&central.run(&["patient", "transfers"], ""));
    assert!(listed.lines().any(|line| line.starts_with("P ") && line.contains(other)), "{listed}");
    let explained = success(&central.run(&["explain", "name", "P"], ""));
    assert!(
        explained.contains(&format!("home store     goes to store {other}, once site 2 has read that")),
        "{explained}"
    );
    north.ok(&["sync"]);
    for refused in [first("Too late"), policy("R2", "2")] {
        let (exit, code) = north.fails(&["record", "--file", "-"], &refused);
        assert_eq!((exit, code.as_str()), (5, "home_transfer"), "{refused}");
    }
    assert_eq!(central.records("name")["P"]["supplying_store_id"], home, "north may not have heard of it");
    for agent in [&north, &south] {
        agent.settle();
    }

    assert_eq!(shown(&south), (json!("Anna"), vec!["R".to_owned()]));
    assert_eq!(shown(&north), (Value::Null, Vec::new()), "it is visible in no store there");
    south.record(&(first("Anne") + &policy("R2", "2")));
    let (exit, code) =
        south.fails(&["record", "--file", "-"], &edit("name", "patch", "P", &json!({"outpost_home_transfers": 0})));
    assert_eq!((exit, code.as_str()), (5, "central_column"));
    // Whoever records a patient whole need not know what central keeps in it.
    south.record(&edit("name", "put", "P", &json!({"type": "patient", "supplying_store_id": other, "first": "Anne"})));
    south.settle();
    assert_eq!(central.records("name")["P"]["first"], "Anne");
    same_records(&central, &south, &["nameInsuranceJoin"]);
    assert_eq!(central.records("name")["P"], south.records("name")["P"]);

    // Back again at once: what the other site has not sent is set aside, and stays so.
    south.record(&first("Unsent"));
    success(&central.run(&["patient", "set-home-store", "P", home, "--at-once"], ""));
    success(&central.run(&["patient", "set-home-store", "P", other, "--at-once"], ""));
    let partial = south.run(&["sync"], "");
    assert_eq!(partial.status.code(), Some(3), "{partial:?}");
    assert_eq!(south.json(&["set-aside", "list"])["refused"][0]["code"], "ownership_number");
    south.record(&first("Annie"));
    south.settle();
    assert_eq!(central.records("name")["P"]["first"], "Annie");
}

#[test]
fn a_prescriber_is_known_where_it_has_prescribed_and_edited_at_home() {
    let (central, data, [north, south]) = two_dispensaries();
    let (home, other) = (data.stores[0].as_str(), data.stores[1].as_str());
    let last_name =
        |agent: &Agent| agent.records("clinician").get("C").map(|prescriber| prescriber["last_name"].clone());
    north.record(&edit("clinician", "upsert", "C", &json!({"ID": "C", "store_ID": home, "last_name": "Ama"})));
    let (exit, code) =
        south.fails(&["record", "--file", "-"], &edit("clinician", "put", "X", &json!({"last_name": "Nobody"})));
    assert_eq!((exit, code.as_str()), (5, "home_store_missing"));
    for agent in [&north, &south] {
        agent.settle();
    }
    assert_eq!((last_name(&north), last_name(&south)), (Some(json!("Ama")), None));

    // A locum writes a prescription in the other dispensary, which did not know the prescriber.
    south.record(&edit("transact", "upsert", "T", &json!({"ID": "T", "store_ID": other, "prescriber_ID": "C"})));
    south.settle();
    assert_eq!(last_name(&south), Some(json!("Ama")));
    let explained = success(&central.run(&["explain", "clinician", "C"], ""));
    assert!(
        explained
            .contains("or with a dispensary in which it has prescribed; the same of those that were merged with it; "),
        "{explained}"
    );
    assert!(explained.contains(&format!("site 3 south: it has prescribed in store {other}\n")), "{explained}");
    let (exit, code) =
        south.fails(&["record", "--file", "-"], &edit("clinician", "patch", "C", &json!({"last_name": "Mine"})));
    assert_eq!((exit, code.as_str()), (5, "not_home_site"));
    north.record(&edit("clinician", "patch", "C", &json!({"last_name": "Amaru"})));
    for agent in [&north, &south] {
        agent.settle();
        same_records(&central, agent, &["clinician"]);
    }

    success(&central.run(&["prescriber", "set-home-store", "C", other], ""));
    for agent in [&north, &north, &south] {
        agent.settle();
    }
    assert_eq!(success(&central.run(&["prescriber", "transfers"], "")).lines().count(), 1, "nothing is on its way");
    south.record(&edit("clinician", "patch", "C", &json!({"last_name": "Amarua"})));
    south.settle();
    assert_eq!(central.records("clinician")["C"]["last_name"], "Amarua");
}

#[test]
fn a_patient_that_was_registered_twice_becomes_one_where_its_homes_are_or_at_central() {
    let (central, data, [north, south]) = two_dispensaries();
    let (home, other) = (data.stores[0].as_str(), data.stores[1].as_str());
    let named = |id: &str, store: &str| {
        edit("name", "put", id, &json!({"type": "patient", "supplying_store_id": store, "name": id}))
    };
    let merge = |from: &str, into: &str| edit("outpost_patient_merge", "put", from, &json!({"into_ID": into}));
    let is_one = |agent: &Agent, from: &str| agent.json(&["get", "name", from])["merged_into"].clone();
    north.record(&(named("P", home) + &named("Q", home) + &policy("R", "1")));
    south.record(&named("F", other));
    for agent in [&north, &south] {
        agent.settle();
    }

    // At the site of both, offline as well as not; and nobody merges what is of two sites but central.
    north.record(&merge("P", "Q"));
    assert_eq!(is_one(&north, "P"), "Q");
    let (exit, code) = north.fails(&["record", "--file", "-"], &merge("Q", "F"));
    assert_eq!((exit, code.as_str()), (5, "merge_record_missing"));
    // It is undone also where the one that went is gone.
    north.record(&(named("X", home) + &merge("X", "Q")));
    north.settle();
    north.record(&edit("name", "delete", "X", &Value::Null));
    north.settle();
    north.record(&edit("outpost_patient_merge", "delete", "X", &Value::Null));
    north.settle();
    assert!(!central.records("outpost_patient_merge").contains_key("X"));
    assert_eq!(north.json(&["set-aside", "list"])["refused"], json!([]));
    north.settle();
    let refused = central.run(&["merge", "name", "P", "F"], "");
    assert_eq!(refused.status.code(), Some(0), "P is Q by now, and Q is of one site and F of another: {refused:?}");
    assert!(success(&central.run(&["explain", "name", "P"], "")).contains("into Q at position "));
    for agent in [&north, &south] {
        agent.settle();
    }

    for agent in [&north, &south] {
        let listed = agent.records("name");
        let patients: Vec<&str> = ["P", "Q", "F"].into_iter().filter(|id| listed.contains_key(*id)).collect();
        assert_eq!((patients, is_one(agent, "P"), is_one(agent, "Q")), (vec!["F"], json!("F"), json!("F")));
        assert!(agent.records("nameInsuranceJoin").contains_key("R"), "what hangs on one of them is seen with it");
    }
    same_records(&central, &south, &["outpost_patient_merge"]);
    let told = success(&central.run(&["store", "resync", other], ""));
    assert_eq!(told, format!("site 3 is sent what store {other} sees once more, from its next sync on\n"));
    south.settle();
    assert_eq!(is_one(&south, "P"), "F");
    same_records(&central, &south, &["nameInsuranceJoin", "outpost_patient_merge"]);
    // Each keeps its home, and central leaves to a site what is that site's.
    north.record(&policy("R2", "2"));
    let (exit, code) = south.fails(&["record", "--file", "-"], &policy("R3", "3"));
    assert_eq!((exit, code.as_str()), (5, "not_home_site"));
    north.record(&(named("S", home) + &named("T", home)));
    north.settle();
    let refused = central.run(&["merge", "name", "S", "T"], "");
    assert_eq!(refused.status.code(), Some(5));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("active at site 2, which merges them itself") && told.contains("not_home_site"), "{told}");
    let explained = success(&central.run(&["explain", "outpost_patient_merge", "P"], ""));
    assert!(
        explained.contains("the site where both home stores are active, else central or the primary"),
        "{explained}"
    );
}

#[test]
fn prescriptions_are_seen_where_their_patient_is_visible_while_the_preference_says_so() {
    let (central, data, [north, south]) = two_dispensaries();
    let (home, other) = (data.stores[0].as_str(), data.stores[1].as_str());
    let prescription = |id: &str| {
        let row = json!({"store_ID": home, "mode": "dispensary", "name_ID": "P"});
        let line = json!({"transaction_ID": id, "quantity": 3});
        edit("transact", "put", id, &row) + &edit("trans_line", "put", &format!("{id}-1"), &line)
    };
    north.record(&(patient(home) + &prescription("T")));
    north.settle();
    success(&central.run(&["visibility", "add", "P", "--store", other], ""));
    south.settle();
    assert_eq!((south.records("transact").len(), south.records("name").contains_key("P")), (0, true));

    let unknown = central.run(&["preference", "set", "prescriptions", "on"], "");
    let told = String::from_utf8(unknown.stderr).unwrap();
    assert!(unknown.status.code() == Some(2) && told.contains("it knows prescriptions-where-visible"), "{told}");
    let set = ["preference", "set", "prescriptions-where-visible"];
    let told = success(&central.run(&[&set[..], &["on"]].concat(), ""));
    assert_eq!(told, "prescriptions-where-visible is on\n");
    let told = success(&central.run(&[&set[..], &["on"]].concat(), ""));
    assert_eq!(told, "prescriptions-where-visible is on already; nothing was done\n");
    wait_until("those of before are shared", || {
        central.json(&["preference", "list"])["preferences"][0]["is_under_way"] == false
    });
    assert!(success(&central.run(&["preference", "list"], "")).contains("prescriptions-where-visible  on  "));
    north.record(&prescription("U"));
    for agent in [&north, &south] {
        agent.settle();
    }

    assert_eq!(south.records("transact").keys().collect::<Vec<_>>(), ["T", "U"]);
    same_records(&central, &south, &["transact", "trans_line"]);
    let (exit, code) =
        south.fails(&["record", "--file", "-"], &edit("transact", "patch", "U", &json!({"comment": "mine"})));
    assert_eq!((exit, code.as_str()), (5, "not_store_holder"));
    let explained = success(&central.run(&["explain", "transact", "U"], ""));
    assert!(explained.contains("in which patient P is visible"), "{explained}");

    success(&central.run(&[&set[..], &["off"]].concat(), ""));
    for agent in [&north, &south] {
        agent.settle();
    }
    assert_eq!((south.records("transact").len(), south.records("trans_line").len()), (0, 0));
    assert_eq!(north.records("transact").len(), 2);
    same_records(&central, &north, &["transact", "trans_line"]);
}

#[test]
fn a_central_that_was_set_back_gets_a_patient_again_from_its_home_site() {
    let (mut central, data) = central_with_sites(5, &["north", "south"]);
    let (home, other) = (data.stores[0].as_str(), data.stores[1].as_str());
    let [north, south] = ["north", "south"].map(|name| Agent::initialised(&central, name));
    central.import(&dispensary(home));
    north.settle();
    north.record(&(patient(home) + &policy("R", "1")));
    north.settle();
    let kept = backup(&mut central);
    let go_on = |central: &Central| [&north, &south].map(|agent| agent.set_url(&central.url()));
    go_on(&central);
    // All of this central will have forgotten.
    north.record(&(edit("name", "patch", "P", &json!({"first": "Anna"})) + &policy("R2", "2")));
    north.record(&edit("name_store_join", "upsert", "J", &json!({"ID": "J", "name_ID": "P", "store_ID": home})));
    central.import(&edit("name_store_join", "upsert", "J2", &json!({"ID": "J2", "name_ID": "P", "store_ID": other})));
    for agent in [&north, &south] {
        agent.settle();
    }
    assert_eq!(shown(&south).0, json!("Anna"));

    restore(&mut central, &kept);
    go_on(&central);
    for _ in 0..2 {
        for agent in [&north, &south] {
            agent.settle();
        }
    }

    assert_eq!(central.records("name")["P"]["first"], "Anna");
    assert_eq!(shown(&north), (json!("Anna"), vec!["R".to_owned(), "R2".to_owned()]));
    same_records(&central, &north, &["nameInsuranceJoin"]);
    assert_eq!(central.records("name_store_join").keys().collect::<Vec<_>>(), ["J"]);
    assert_eq!(north.json(&["status"])["handed_back_refused"], 0);
    // By what central knows the other site sees it no more.
    assert_eq!(shown(&south), (Value::Null, Vec::new()));
}

#[test]
fn a_new_patient_is_visible_in_the_other_dispensaries_of_its_site_unless_they_hide_it() {
    let central = Central::with_data("");
    let store = |id: &str| {
        edit("name", "upsert", &format!("name-{id}"), &json!({"type": "store"}))
            + &edit("store", "upsert", id, &json!({"name_ID": format!("name-{id}"), "store_mode": "dispensary"}))
    };
    central.import(&(store("A") + &store("B") + &store("C")));
    central.add_site("clinic", &["A", "B", "C"]);
    let clinic = Agent::initialised(&central, "clinic");
    let told = success(&central.run(&["preference", "set", "new-patients-visible", "off", "--store", "C"], ""));
    assert_eq!(told, "new-patients-visible is off for store C\n");
    assert!(success(&central.run(&["preference", "list"], "")).contains("on, but in C"));
    clinic.settle();

    let recorded = clinic.record(&patient("A"));
    assert_eq!((&recorded["recorded"], &recorded["last"]), (&json!(1), &json!(2)), "its visibility goes with it");
    clinic.record(&edit("name", "patch", "P", &json!({"first": "Ana"})));
    clinic.settle();

    let joins = central.records("name_store_join");
    let seen: Vec<&str> = joins.values().map(|join| join["store_ID"].as_str().unwrap()).collect();
    assert_eq!((seen, joins.len()), (vec!["B"], 1));
    same_records(&central, &clinic, &["name_store_join"]);
    // Afterwards it is central's.
    let id = joins.keys().next().unwrap();
    let (exit, code) = clinic.fails(&["record", "--file", "-"], &edit("name_store_join", "delete", id, &Value::Null));
    assert_eq!((exit, code.as_str()), (5, "central_data"));
    success(&central.run(&["visibility", "remove", "P", "--store", "B"], ""));
    clinic.settle();
    assert!(clinic.records("name_store_join").is_empty());
}
