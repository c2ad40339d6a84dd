//! Home stores of patients, in words for people.

use serde_json::Value;

use super::show::{columns, items, plain, table};

/// What became of a home store that was asked for.
pub(super) fn home_store(value: &Value) -> String {
    let (patient, store) = (plain(&value["patient"]), plain(&value["home_store"]));
    match value["outcome"].as_str() {
        Some("asked") => format!(
            "patient {patient} goes to store {store} once its home site, {} {}, has read that and sent what it recorded, which takes two \
             of its syncs; until then nobody edits it anew (patient set-home-store --at-once does not wait)\n",
            value["waits_for_site"],
            plain(&value["name"])
        ),
        Some("called_off") => format!("patient {patient} stays in store {store}\n"),
        Some("unchanged") => format!("patient {patient} has the home store {store} already\n"),
        _ => format!("patient {patient} has the home store {store}\n"),
    }
}

/// Transfers that are on their way, one a line.
pub(super) fn transfers(value: &Value) -> String {
    let names = ["patient", "from", "to", "waits_for_site", "asked"];
    let rows = items(value, "transfers").iter().map(|transfer| columns(transfer, &names));
    let more = if value["next"].is_null() { "" } else { "there are more: give --after the last PATIENT\n" };
    table(&["PATIENT", "FROM STORE", "TO STORE", "WAITS FOR SITE", "ASKED"], rows) + more
}
