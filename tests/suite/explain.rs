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
    assert!(of_c.contains("active  it never left central"), "{of_c}");
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
    assert!(explained.contains("deleted  its record was deleted; what is here of its data stays"), "{explained}");
    assert!(!explained.contains("active"), "{explained}");
    assert_eq!(central.json(&["explain", "C"])["roles"][0]["role"], "deleted");
}
