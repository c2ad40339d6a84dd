//! Centralised procurement, as administrators and the people of a clinic see it.

use serde_json::json;

use crate::central_set_back::{backup, restore};
use crate::patients::edit;
use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::{success, wait_until};
use crate::sync::same_records;

const TABLES: [&str; 2] = ["purchase_order", "purchase_order_line"];

fn order(id: &str, status: &str) -> String {
    let line = json!({"store_ID": "D", "purchase_order_ID": id, "line_number": 1});
    edit("purchase_order", "put", id, &json!({"store_ID": "D", "status": status, "serial_number": 1}))
        + &edit("purchase_order_line", "put", &format!("{id}-1"), &line)
}

fn comment(id: &str, comment: &str) -> String {
    edit("purchase_order", "patch", id, &json!({"comment": comment}))
}

/// Central with the store D on the site of a clinic, and an office without stores.
fn clinic_and_office() -> (Central, [Agent; 2]) {
    let central = Central::with_data("");
    central.import(
        &(edit("name", "upsert", "name-D", &json!({"name": "D", "type": "store"}))
            + &edit("store", "upsert", "D", &json!({"code": "D", "name_ID": "name-D"}))),
    );
    central.add_site("clinic", &["D"]);
    central.add_site("office", &[]);
    let agents = ["clinic", "office"].map(|name| Agent::initialised(&central, name));
    (central, agents)
}

fn set(central: &Central, arguments: &[&str]) -> String {
    let told = success(&central.run(&[&["preference", "set"], arguments].concat(), ""));
    // Orders of before are put where they are to be by a thread of the server.
    wait_until("orders are where they are to be", || {
        !central.run(&["preference", "list"], "").stdout.windows(7).any(|w| w == b"not yet")
    });
    told
}

fn written_by(central: &Central, id: &str) -> String {
    central.json(&["explain", "purchase_order", id])["written_by"].as_str().unwrap().to_owned()
}

#[test]
fn orders_are_written_at_central_once_that_is_switched_on_and_what_is_confirmed_stays_the_clinics() {
    let (central, [clinic, _]) = clinic_and_office();
    clinic.record(&(order("confirmed", "cn") + &order("draft", "sg")));
    clinic.settle();
    assert_eq!(written_by(&central, "draft"), "the site where the store is active");

    assert_eq!(set(&central, &["centralised-procurement", "on"]), "centralised-procurement is on\n");
    // The clinic has not heard of it yet: what it does not know to be refused comes to set-aside.
    clinic.record(&comment("draft", "too late"));
    assert_eq!(clinic.run(&["sync"], "").status.code(), Some(3));
    let refused = clinic.json(&["set-aside", "list"])["refused"].clone();
    assert_eq!(
        (refused[0]["code"].as_str(), refused.as_array().unwrap().len()),
        (Some("not_purchaser"), 1),
        "{refused}"
    );

    let (exit, code) = clinic.fails(&["record", "--file", "-"], &comment("draft", "refused at once"));
    assert_eq!((exit, code.as_str()), (5, "not_purchaser"));
    let (exit, code) = clinic.fails(&["record", "--file", "-"], &order("new", "sg"));
    assert_eq!((exit, code.as_str()), (5, "not_purchaser"));
    clinic.record(&comment("confirmed", "still ours"));
    clinic.settle();
    central.import(&(comment("draft", "by central") + &order("from-central", "sg")));
    let refused = central.run(&["import", "-"], &comment("confirmed", "not central's"));
    assert_eq!(refused.status.code(), Some(5));
    assert!(String::from_utf8([refused.stdout, refused.stderr].concat()).unwrap().contains("not_store_holder"));
    clinic.settle();
    for table in TABLES {
        assert_eq!(clinic.records(table).len(), 3);
    }
    same_records(&central, &clinic, &TABLES);
    assert!(written_by(&central, "draft").starts_with("central: procurement is centralised"));
    assert_eq!(written_by(&central, "confirmed"), "the site where the store is active");
    let store = success(&central.run(&["explain", "D"], ""));
    assert!(store.contains("its orders     written by the primary"), "{store}");

    // The clinic is to keep procurement: its drafts are its own again.
    let told = set(&central, &["local-procurement", "on", "--store", "D"]);
    assert_eq!(told, "local-procurement is on for store D\n");
    let list = success(&central.run(&["preference", "list"], ""));
    assert!(list.contains("local-procurement            off, but in D"), "{list}");
    clinic.settle();
    clinic.record(&comment("draft", "ours again"));
    clinic.record(&edit("purchase_order", "patch", "draft", &json!({"status": "cn"})));
    clinic.settle();
    assert_eq!(central.records("purchase_order")["draft"]["outpost_ordered_by"], "store");
    same_records(&central, &clinic, &TABLES);
}

#[test]
fn the_primary_of_a_mirrored_system_orders_for_a_store_of_another_site() {
    let (central, [clinic, office]) = clinic_and_office();
    clinic.record(&order("draft", "sg"));
    clinic.settle();
    success(&central.run(&["mirror", "enable", "--primary", "office"], ""));
    office.settle();
    office.settle();
    assert_eq!(central.json(&["mirror", "show"])["phase"], "at the primary");
    assert!(office.records("purchase_order").is_empty(), "it is store data");

    set(&central, &["centralised-procurement", "on"]);
    office.settle();
    assert_eq!(office.records("purchase_order_line").len(), 1);
    let of_store = success(&office.run(&["list", "purchase_order", "--store", "D"], ""));
    assert!(of_store.contains("draft"), "the primary may look at what it is to write: {of_store}");
    assert_eq!(office.fails(&["list", "item_line", "--store", "D"], "").1, "store_is_transfer");
    office.record(&(order("from-office", "sg") + &comment("draft", "by the office")));
    office.record(&edit("purchase_order", "patch", "from-office", &json!({"status": "cn"})));
    office.settle();
    clinic.settle();
    for agent in [&clinic, &office] {
        same_records(&central, agent, &TABLES);
    }
    assert_eq!(clinic.json(&["get", "purchase_order", "from-office"])["data"]["outpost_ordered_by"], "primary");
    assert!(written_by(&central, "draft").contains("the primary, site 3 office"), "{}", written_by(&central, "draft"));
    let (exit, code) = clinic.fails(&["record", "--file", "-"], &comment("from-office", "not ours"));
    assert_eq!((exit, code.as_str()), (5, "not_purchaser"));

    // A device that lost its data has them again, and another one that does what it had not heard of does not lose them.
    office.wipe();
    office.enrol(&central, "office");
    office.settle();
    same_records(&central, &office, &TABLES);
    set(&central, &["centralised-procurement", "off"]);
    office.record(&(order("late", "sg") + &comment("draft", "late")));
    assert_eq!(office.run(&["sync"], "").status.code(), Some(3));
    assert_eq!(office.json(&["set-aside", "list"])["refused"].as_array().unwrap().len(), 3);
    assert_eq!(office.records("purchase_order").keys().collect::<Vec<_>>(), ["from-office"]);
    clinic.settle();
    clinic.record(&comment("draft", "ours again"));
    clinic.settle();
    assert_eq!(central.records("purchase_order")["draft"]["comment"], "ours again");
}

#[test]
fn orders_that_central_made_and_forgot_are_handed_back_for_an_operator() {
    let (mut central, [clinic, _]) = clinic_and_office();
    clinic.record(&order("own", "cn"));
    clinic.settle();
    let kept = backup(&mut central);
    clinic.set_url(&central.url());
    set(&central, &["centralised-procurement", "on"]);
    central.import(&(order("draft", "sg") + &order("confirmed", "cn")));
    clinic.settle();
    assert_eq!(clinic.records("purchase_order").len(), 3);

    restore(&mut central, &kept);
    clinic.set_url(&central.url());
    // Whose they are is not known any more: nothing of it is lost, and somebody decides.
    let set_aside = || {
        let listed = central.json(&["set-aside", "list", "clinic"])["set_aside"].clone();
        let listed = listed.as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap().to_owned());
        listed.collect::<Vec<_>>()
    };
    wait_until("the clinic has handed back what central lost", || {
        clinic.run(&["sync"], "");
        ["draft", "draft-1", "confirmed", "confirmed-1"].iter().all(|id| set_aside().iter().any(|known| known == id))
    });
    assert_eq!(central.records("purchase_order").keys().collect::<Vec<_>>(), ["own"]);
}
