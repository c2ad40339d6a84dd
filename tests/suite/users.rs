//! Users, as the people of two clinics make them and an administrator at central sees them.

use serde_json::json;

use crate::central_set_back::{backup, restore};
use crate::patients::edit;
use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::{success, wait_until};

fn user(id: &str, name: &str) -> String {
    edit("user", "upsert", id, &json!({"name": name}))
}

fn existing(id: &str, name: &str) -> String {
    edit("user", "upsert", id, &json!({"name": name, "outpost_is_existing": true}))
}

fn two_clinics() -> (Central, [Agent; 2]) {
    let central = Central::with_data("");
    central.add_site("east", &[]);
    central.add_site("west", &[]);
    let agents = ["east", "west"].map(|name| Agent::initialised(&central, name));
    (central, agents)
}

#[test]
fn a_new_user_goes_to_central_and_comes_back_to_a_replaced_device_and_an_existing_one_stays() {
    let (central, [east, west]) = two_clinics();
    east.record(&(user("nurse", "Amina") + &existing("old", "Berta")));
    east.record(&edit("user", "patch", "nurse", &json!({"phone1": "12"})));
    east.settle();
    west.settle();

    let there = central.records("user");
    assert_eq!(there.keys().collect::<Vec<_>>(), ["nurse"]);
    assert_eq!(there["nurse"], json!({"ID": "nurse", "name": "Amina", "phone1": "12", "outpost_made_on": 2}));
    assert_eq!(east.records("user").len(), 2);
    assert!(west.records("user").is_empty());
    let explained = success(&central.run(&["explain", "user", "nurse"], ""));
    assert!(explained.contains("the site that made it, site 2 east"), "{explained}");
    assert!(explained.contains("site 2 made it, and receives it alone"), "{explained}");

    east.wipe();
    east.enrol(&central, "east");
    east.settle();
    assert_eq!(east.records("user").keys().collect::<Vec<_>>(), ["nurse"], "the other one was never anywhere else");
    east.record(&edit("user", "patch", "nurse", &json!({"active": false})));
    east.settle();
    assert_eq!(central.records("user")["nurse"]["active"], false);
}

#[test]
fn who_makes_a_user_that_another_site_has_made_is_told_whose_it_is_and_what_to_do() {
    let (central, [east, west]) = two_clinics();
    east.record(&user("nurse", "Amina"));
    east.settle();
    west.record(&user("nurse", "Carla"));
    assert_eq!(west.run(&["sync"], "").status.code(), Some(3));

    let refused = west.json(&["set-aside", "list"])["refused"][0].clone();
    assert_eq!(refused["code"], "user_of_other_site");
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("was made on site 2") && reason.contains("outpost_is_existing"), "{reason}");
    assert!(west.records("user").is_empty());
    west.record(&existing("nurse", "Carla"));
    west.settle();
    assert_eq!(west.records("user")["nurse"]["name"], "Carla");
    assert_eq!(central.records("user")["nurse"]["name"], "Amina");

    // What a device can know it says at once, and changes nothing.
    for (edit, code) in [
        (edit("user", "patch", "nurse", &json!({"outpost_made_on": 3})), "data_type_change"),
        (edit("user", "put", "other", &json!({"outpost_made_on": 2})), "central_column"),
    ] {
        assert_eq!(west.fails(&["record", "--file", "-"], &edit), (5, code.to_owned()));
    }
    let refused = central.run(&["import", "-"], &user("nurse", "of central"));
    assert_eq!(refused.status.code(), Some(5));
    assert!(String::from_utf8([refused.stdout, refused.stderr].concat()).unwrap().contains("user_of_other_site"));
}

#[test]
fn a_central_that_is_set_back_has_the_users_of_its_sites_again() {
    let (mut central, [east, _]) = two_clinics();
    east.record(&user("first", "Amina"));
    east.settle();
    let kept = backup(&mut central);
    east.set_url(&central.url());
    east.record(&(user("second", "Berta") + &edit("user", "patch", "first", &json!({"phone1": "12"}))));
    east.settle();
    restore(&mut central, &kept);
    east.set_url(&central.url());
    assert_eq!(central.records("user").len(), 1);

    wait_until("central has what it had lost", || {
        east.run(&["sync"], "");
        let there = central.records("user");
        there.len() == 2 && there["first"]["phone1"] == "12"
    });
    assert_eq!(central.records("user"), east.records("user"));
    assert_eq!(east.json(&["set-aside", "list"])["refused"], json!([]));
}
