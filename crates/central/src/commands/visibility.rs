//! Who sees whom, and what a store is where, in words for people.

use std::collections::BTreeSet;

use serde_json::Value;

use super::show::{columns, items, plain, table};

/// What became of a join.
pub(super) fn set(value: &Value) -> String {
    let (name, store) = (plain(&value["name"]), plain(&value["store"]));
    if value["is_visible"] == true {
        format!("name {name} is visible in store {store}\n")
    } else {
        format!("name {name} is not visible in store {store}\n")
    }
}

/// What is sent to a store's site once more.
pub(super) fn resync(value: &Value) -> String {
    let (store, site) = (plain(&value["store"]), &value["site"]);
    if value["is_new"] == true {
        format!("site {site} is sent what store {store} sees once more, from its next sync on\n")
    } else {
        format!("site {site} is to be sent what store {store} sees once more already, from its next sync on\n")
    }
}

/// Joins, one a line.
pub(super) fn joins(value: &Value) -> String {
    let rows = items(value, "joins").iter().map(|join| {
        let made_by = if join["made_by"] == "central" { "central" } else { "by hand or a site" };
        vec![plain(&join["name"]), plain(&join["store"]), made_by.to_owned(), plain(&join["id"])]
    });
    let more = if value["next"].is_null() { "" } else { "there are more: give --after the last ID\n" };
    table(&["NAME", "VISIBLE IN STORE", "MADE BY", "ID"], rows) + more
}

/// A store: what it is on which site, whom it sees and who sees it.
pub(super) fn store(value: &Value) -> String {
    let name = if value["name"].is_null() {
        "no name yet, so that nobody can see it".to_owned()
    } else {
        plain(&value["name"])
    };
    let mut text = format!("store {}, name {name}\n\n", plain(&value["store"]));
    let roles = items(value, "roles").iter().map(|role| columns(role, &["site", "name", "role", "may"]));
    text += &table(&["SITE", "", "ROLE", "WHICH"], roles);
    let list = |key: &str, column: &str| {
        let all: BTreeSet<String> = items(value, key).iter().map(|join| plain(&join[column])).collect();
        if all.is_empty() { "nobody".to_owned() } else { all.into_iter().collect::<Vec<_>>().join(", ") }
    };
    text + &format!("\nsees names      {}\nseen by stores  {}\n", list("sees", "name"), list("seen_in", "store"))
}
