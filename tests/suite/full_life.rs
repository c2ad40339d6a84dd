//! A site from its making to its end, with real processes: made, enrolled, initialised over a link that breaks, worked with, its store
//! moved away while it is offline and brought back, its device replaced, and deleted. Nothing is lost, nothing is writable in two places,
//! and the audit log tells the story.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::central_set_back::stock;
use crate::patients::edit;
use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::link::{Link, Mood};
use crate::support::{success, wait_until};

/// The stores in which a device may record.
fn writes(agent: &Agent) -> Vec<Value> {
    let grants = agent.json(&["status"])["grants"].clone();
    grants.as_array().unwrap().iter().map(|grant| grant["store"].clone()).collect()
}

/// Whether a store is writable at one of the devices at most; where.
fn writer<'a>(devices: &[(&'a str, &Agent)], store: &str) -> Option<&'a str> {
    let at: Vec<&str> =
        devices.iter().filter(|(_, agent)| writes(agent).contains(&json!(store))).map(|(name, _)| *name).collect();
    assert!(at.len() <= 1, "{store} is writable at {at:?}");
    at.first().copied()
}

/// Lets devices sync in turn until a store is writable at one of them.
fn until_writable(devices: &[(&str, &Agent)], store: &str, at: &str) {
    wait_until(&format!("{store} is writable at {at}"), || {
        if writer(devices, store) == Some(at) {
            return true;
        }
        for (_, agent) in devices {
            agent.run(&["sync"], "");
        }
        false
    });
}

fn verb(central: &Central, arguments: &[&str]) -> String {
    success(&central.run(arguments, ""))
}

/// What the audit log tells of a site: verb and outcome, in order.
fn story(central: &Central, site: &str) -> Vec<String> {
    let log = central.json(&["audit", "--site", site, "--limit", "1000"]);
    let rows = log["audit"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    rows.iter().map(|row| format!("{} {}", text(&row["verb"]), text(&row["outcome"]))).collect()
}

#[test]
fn a_site_lives_from_its_making_to_its_end_and_nothing_is_lost_or_writable_twice() {
    let mut lines = String::new();
    for store in ["A", "B"] {
        lines += &edit("store", "upsert", store, &json!({"code": store, "store_mode": "store"}));
    }
    for item in 0..1500 {
        let name = format!("Medicine {item}, tablets of {} mg", item * 7 % 500);
        let data = json!({"item_name": name, "code": format!("{item:05}")});
        lines += &edit("item", "upsert", &format!("item-{item}"), &data);
    }
    let central = Central::with_data(&lines);
    central.add_site("clinic", &["A"]);
    central.add_site("hospital", &["B"]);

    // Ten seconds up, then a break, as often as it takes; ten times as fast, so that a test can wait for it.
    let link = Link::to(central.address(), Mood::Good);
    let clinic = Agent::new(&link.url());
    clinic.enrol(&central, "clinic");
    link.set(Mood::Windows { up_ms: 1000, down_ms: 500, bytes_per_s: 20_000 });
    wait_until("the clinic is initialised", || clinic.run(&["initialise"], "").status.success());
    assert!(link.connections() > 1, "the link never broke");
    assert_eq!(clinic.records("item"), central.records("item"));
    link.set(Mood::Good);
    let hospital = Agent::initialised(&central, "hospital");
    let both = [("clinic", &clinic), ("hospital", &hospital)];
    until_writable(&both, "A", "clinic");

    // Work.
    let mut recorded = BTreeSet::new();
    let mut work = |agent: &Agent, names: &[&str]| {
        for name in names {
            agent.record(&stock("A", name, 5));
            recorded.insert((*name).to_owned());
        }
    };
    work(&clinic, &["first", "second"]);
    clinic.settle();

    // The store moves away while the clinic is offline with what it has not sent.
    link.set(Mood::Down);
    work(&clinic, &["unsent"]);
    verb(&central, &["store", "add", "A", "--site", "hospital"]);
    work(&clinic, &["later, still in time"]);
    for _ in 0..3 {
        hospital.settle();
    }
    assert_eq!(writer(&both, "A"), Some("clinic"), "nobody writes it before the clinic has sent what it has");
    link.set(Mood::Good);
    until_writable(&both, "A", "hospital");
    work(&hospital, &["from the hospital"]);
    let (_, code) = clinic.fails(&["record", "--put", "item_line", "late", r#"{"store_ID":"A","quantity":1}"#], "");
    assert_eq!(code, "not_store_holder");

    // And back.
    verb(&central, &["store", "add", "A", "--site", "clinic"]);
    until_writable(&both, "A", "clinic");
    work(&clinic, &["home again"]);
    clinic.settle();
    let verified = clinic.json(&["verify", "--with-central"]);
    assert_eq!(verified["outcome"], "whole", "{verified}");

    // The tablet is dropped, and another one takes its place.
    verb(&central, &["site", "reset-hardware", "clinic"]);
    let tablet = Agent::initialised(&central, "clinic");
    let devices = [("clinic", &tablet), ("hospital", &hospital)];
    until_writable(&devices, "A", "clinic");
    work(&tablet, &["on the new tablet"]);
    tablet.settle();
    let (exit, code) = clinic.fails(&["sync"], "");
    assert_eq!((exit, code.as_str()), (5, "device_retired"));
    assert_eq!(tablet.records("item_line").into_keys().collect::<BTreeSet<_>>(), recorded);

    // The end.
    let refused = central.run(&["site", "delete", "clinic", "--json"], "");
    assert_eq!(refused.status.code(), Some(5), "it has a store");
    verb(&central, &["store", "remove", "A"]);
    wait_until("the store is at central", || {
        tablet.run(&["sync"], "");
        central.json(&["store", "moves"])["moves"] == json!([])
    });
    assert_eq!(writer(&devices, "A"), None);
    verb(&central, &["site", "delete", "clinic"]);
    let (exit, code) = tablet.fails(&["sync"], "");
    assert_eq!((exit, code.as_str()), (5, "site_deleted"));

    assert_eq!(central.records("item_line").into_keys().collect::<BTreeSet<_>>(), recorded, "nothing is lost");
    let told = story(&central, "2");
    let expected = [
        "site-add done",
        "device-enrols done",
        "store-add done",
        "move-goes-on done",
        "move-goes-on done",
        "store-add done",
        "move-goes-on done",
        "move-goes-on done",
        "site-reset-hardware done",
        "device-enrols done",
        "site-delete refused",
        "store-remove done",
        "move-goes-on done",
        "site-delete done",
    ];
    assert_eq!(told, expected);
}
