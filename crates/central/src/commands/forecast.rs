//! What a change would bring to which site, in words for people.

use std::fmt::Write as _;

use serde_json::Value;

use super::show::{items, plain};
use crate::wording::count;

/// The answer to a dry run.
pub(super) fn text(value: &Value) -> String {
    let forecast = &value["dry_run"];
    let mut text = "nothing was done; this would come to sites and go from them (bytes before packing):\n".to_owned();
    let sites = items(forecast, "sites");
    if sites.is_empty() {
        text.push_str("nothing: no site receives anything else than before\n");
    }
    for site in sites {
        for (verb, key) in [("comes to", "comes"), ("goes from", "goes")] {
            for flow in items(site, key) {
                let records = count(flow["records"].as_u64().unwrap_or_default(), "record", "records");
                let (what, id, name) = (plain(&flow["what"]), &site["id"], plain(&site["name"]));
                let _infallible = writeln!(text, "{records}, {} B: {what}, {verb} site {id} {name}", flow["bytes"]);
            }
        }
    }
    if forecast["is_cut"] == true {
        text.push_str("and more: not all that sites come to see was counted\n");
    }
    text
}
