//! Why a record is where it is, and what a store is to whom, in words for people.

use serde_json::Value;

use super::show::{items, plain, table};
use crate::wording::count;

fn fact(name: &str, text: &str) -> String {
    format!("{name:<14} {text}\n")
}

pub(super) fn record(value: &Value) -> String {
    let (table, id, store) = (plain(&value["table"]), plain(&value["id"]), plain(&value["store"]));
    let here = match (value["is_here"] == true, value["was_deleted"] == true) {
        (true, _) => format!("here, last changed at position {}", value["position"]),
        (_, true) => format!("deleted at position {}", value["position"]),
        _ => "not here".to_owned(),
    };
    let holder = match &value["holder"] {
        // Both stores of a message are named apart.
        _ if !value["message"].is_null() => String::new(),
        Value::Null if value["table"] == "store" => fact("store", "no site holds it: it is central's"),
        Value::Null if value["store"].is_null() => String::new(),
        Value::Null => fact("store", &format!("{store}, which no site holds")),
        holder => {
            let (site, name, ownership) = (&holder["site"], plain(&holder["name"]), &holder["ownership"]);
            let store = if value["store"].is_null() { "this store" } else { &store };
            fact("store", &format!("{store}, which site {site} {name} holds under number {ownership}"))
        }
    };
    let refused = if value["is_supported"] == true { "" } else { "; not carried yet: such records are refused" };
    let mut text = fact("record", &format!("{table} {id}: {here}"))
        + &fact("type", &(plain(&value["type"]) + refused))
        + &fact("written by", &plain(&value["written_by"]))
        + &fact("goes to", &plain(&value["goes_to"]))
        + &holder
        + &moves(&value["store_move"])
        + &message_ends(&value["message"]);
    if let Some(end) = value["merged"]["into"].as_str() {
        text += &fact("merged", &merge_steps(&value["merged"], end));
    }
    let transfer = &value["home_transfer"];
    if !transfer.is_null() {
        let (to, site) = (plain(&transfer["to"]), &transfer["waits_for_site"]);
        let waits = format!(
            "goes to store {to}, once site {site} has read that and sent what it recorded; until then nobody edits it anew"
        );
        text += &fact("home store", &waits);
    }
    for lane in items(value, "lanes") {
        text += &fact("lane", &lane_standing(lane));
        text += &receivers(lane);
    }
    let (waits, refused) = (
        ("waits for a header", "wait for a header"),
        ("was refused: `set-aside list SITE`", "were refused: `set-aside list SITE`"),
    );
    for (amount, entries) in kept(value, waits, refused) {
        text += &fact("entries", &amount);
        text += &entries.iter().map(|entry| fact("", entry)).collect::<String>();
    }
    text
}

/// The merges that lead from a record to what it stands for.
fn merge_steps(merged: &Value, end: &str) -> String {
    let step = |step: &Value| format!("into {} at position {}", plain(&step["into"]), step["position"]);
    let steps = items(merged, "steps");
    let named = steps.iter().map(step).collect::<Vec<_>>().join(", that ");
    let is_all = steps.last().is_some_and(|last| last["into"] == end);
    if is_all { named } else { format!("{named}, and further; now it is {}", plain(&merged["into"])) }
}

/// Between whom a message goes; nothing for other records.
fn message_ends(message: &Value) -> String {
    if message.is_null() {
        return String::new();
    }
    let end = |end: &Value| {
        let holder = &end["holder"];
        let by = match holder["site"].as_u64() {
            Some(1) => "central".to_owned(),
            _ => format!("site {} {} under number {}", holder["site"], plain(&holder["name"]), holder["ownership"]),
        };
        if end["store"].is_null() {
            "central".to_owned()
        } else {
            format!("store {}, held by {by}", plain(&end["store"]))
        }
    };
    let status = if message["is_processed"] == true {
        "who has set it to processed; nothing of it changes any more"
    } else {
        "who alone may set it to processed; nothing else of it changes"
    };
    format!("{:<14} {}\n{:<14} {}, {status}\n", "from", end(&message["from"]), "to", end(&message["to"]))
}

/// One lane of a record, and who has read it.
fn lane_standing(lane: &Value) -> String {
    let behind: Vec<String> =
        items(lane, "behind").iter().map(|site| format!("{} {}", site["site"], plain(&site["name"]))).collect();
    let rest = match lane["sites_behind"].as_u64().unwrap_or(0).saturating_sub(behind.len() as u64) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let readers = match (lane["sites"].as_u64(), behind.len()) {
        (None, _) => "in a lane of its own, until it has read it".to_owned(),
        (Some(0), _) => "no site does now".to_owned(),
        (Some(1), 0) => "1 site, which has read it".to_owned(),
        (_, 0) => format!("{} sites, which have all read it", lane["sites"]),
        _ => {
            let (behind_count, sites) = (&lane["sites_behind"], &lane["sites"]);
            let named = behind.join(", ");
            format!("not known to have read it, as of their last requests: {behind_count} of {sites}: {named}{rest}")
        }
    };
    let end = if lane["is_tombstone"] == true { ", that it is gone" } else { "" };
    format!("{}, position {}{end}: {}; {readers}", plain(&lane["scope"]), lane["position"], plain(&lane["why"]))
}

/// Who receives a record out of a lane: site by site where each has reasons of its own.
fn receivers(lane: &Value) -> String {
    let sites = items(lane, "receivers");
    let more = lane["receivers_not_named"].as_u64().filter(|more| *more > 0).map(|more| format!("and {more} more"));
    let site = |site: &Value| format!("site {} {}", site["site"], plain(&site["name"]));
    let lines: Vec<String> = if sites.iter().all(|site| items(site, "by").is_empty()) {
        let named = sites.iter().map(site).collect::<Vec<_>>().join(", ");
        let named = more.map_or_else(|| named.clone(), |more| format!("{named} {more}"));
        if named.is_empty() { Vec::new() } else { vec![named] }
    } else {
        sites.iter().map(|each| format!("{}: {}", site(each), sights(each))).chain(more).collect()
    };
    let heads = std::iter::once("received by").chain(std::iter::repeat(""));
    lines.iter().zip(heads).map(|(line, head)| fact(head, line)).collect()
}

/// Why a site sees something.
fn sights(of: &Value) -> String {
    let mut reasons: Vec<String> = items(of, "by").iter().map(sight).collect();
    if of["has_more"] == true {
        reasons.push("and more".to_owned());
    }
    reasons.join(", ")
}

fn sight(sight: &Value) -> String {
    let merged = sight["merged"].as_str().map(|_| format!("{}, merged with it", plain(&sight["merged"])));
    let is_collector = sight["is_collector"] == true;
    let store = format!("{}store {}", if is_collector { "collector of " } else { "" }, plain(&sight["store"]));
    let of_merged = merged.as_ref().map(|merged| format!(" of {merged}")).unwrap_or_default();
    match sight["reason"].as_str() {
        Some("primary") => "is the primary".to_owned(),
        Some("maker") => "made it".to_owned(),
        Some("itself") if is_collector => store,
        Some("itself") => format!("{store} is active there"),
        Some("home_store") => format!("{store} is the home store{of_merged}"),
        Some("own_name") => format!("{store} has this name"),
        Some("prescribed") => format!("{} has prescribed in {store}", merged.as_deref().unwrap_or("it")),
        _ => {
            let of_name = sight["of_name"].as_str().map(|_| format!(" of name {}", plain(&sight["of_name"])));
            format!("{store} sees it (visibility{})", of_name.unwrap_or(of_merged))
        }
    }
}

/// What is not part of the records, if there is any: how many entries, and the first of them. The words are for one, and for more.
fn kept(value: &Value, waits: (&str, &str), refused: (&str, &str)) -> Vec<(String, Vec<String>)> {
    let lists = [("entries_waiting", "waiting", waits), ("entries_set_aside", "refused", refused)];
    let told = lists.into_iter().filter_map(|(key, list, (one, others))| {
        let amount = value[key].as_u64().filter(|entries| *entries > 0)?;
        Some((count(amount, one, others), items(value, list).iter().map(kept_entry).collect()))
    });
    told.collect()
}

/// An entry that waits for its header, or that was refused.
fn kept_entry(entry: &Value) -> String {
    let from = format!("site {}, entry {} of {}", entry["site"], entry["sequence"], plain(&entry["journal"]));
    if entry["code"].is_null() {
        format!("{from}: for {} {}", plain(&entry["for_table"]), plain(&entry["for_id"]))
    } else {
        format!("{from}: {}: {}", plain(&entry["code"]), plain(&entry["reason"]))
    }
}

/// A store that is on its way; nothing where it is not.
fn moves(moving: &Value) -> String {
    if moving.is_null() {
        return String::new();
    }
    let (from, to, since, waits_for) =
        (&moving["from"], &moving["to"], plain(&moving["asked"]), &moving["waits_for_site"]);
    let until = match moving["phase"].as_str() {
        Some("filling") => "nobody writes it until that site has read all of it",
        _ => {
            "nobody but that site writes it, and that one no more once it has heard of the move and sent what it recorded"
        }
    };
    fact(
        "moves",
        &format!("from site {from} to site {to} since {since}; site {waits_for} is waited for: {until} (store moves)"),
    )
}

/// Who may write a store's data, who receives it and why, and what waits for whom.
pub(super) fn store(value: &Value) -> String {
    let (store, site, ownership) = (plain(&value["store"]), &value["holder"]["site"], &value["holder"]["ownership"]);
    let is_here = value["is_here"] == true;
    let holder = match site.as_u64() {
        Some(1) | None if !is_here => "nobody: the store is deleted".to_owned(),
        Some(1) | None => "central: no site holds it".to_owned(),
        Some(_) => format!("site {site} {} alone, under number {ownership}", plain(&value["holder"]["name"])),
    };
    let deleted = if is_here { "" } else { ", which was deleted" };
    let mut text = fact("store", &(store + deleted)) + &fact("its data", &format!("written by {holder}"));
    text += &moves(&value["move"]);
    let record = if is_here { "written by central, with its preferences and what is visible in it" } else { "deleted" };
    text += &fact("its record", record);
    text += &fact(
        "stays there",
        match value["withholds"].as_str() {
            Some("transactions") => {
                "transactions, stock lines and stocktakes, but transfers (preference set include-transactions on \
                 --store ID); what central has goes on being synced"
            }
            Some("data") => {
                "all its data, but transfers (store set-role ID --site central collector); what central has goes on being synced"
            }
            _ => "nothing",
        },
    );
    let procurement = &value["procurement"];
    let orders = match (&procurement["is_centralised"], &procurement["is_kept_local"]) {
        (Value::Bool(true), _) => {
            "written by the primary, but for those that its site confirmed before (preference list)"
        }
        (_, Value::Bool(true)) => "written by its site, which keeps procurement (preference list)",
        _ => "written as its other data, but for those that the primary confirmed",
    };
    if procurement["changes"] != 0 || procurement["is_centralised"] == true {
        text += &fact("its orders", orders);
    }
    let rows = items(value, "roles").iter().map(|role| {
        let waits = match role["rows_waiting"].as_u64() {
            Some(rows) => count(rows, "row", "rows"),
            None => "-".to_owned(),
        };
        vec![role["site"].to_string(), plain(&role["name"]), plain(&role["role"]), waits, plain(&role["why"])]
    });
    text = text + "\n" + &table(&["SITE", "", "ROLE", "STILL TO COME", "WHY"], rows);
    if let Some(more) = value["roles_not_named"].as_u64().filter(|more| *more > 0) {
        let sites = count(more, "more site", "more sites");
        text = text + "and " + &sites + ": `store show " + &plain(&value["store"]) + "`\n";
    }
    let (waits, refused) = (
        (
            "entry of its site, of whichever store, waits for a header",
            "entries of its site, of whichever store, wait for a header",
        ),
        ("entry of its site for this store was refused", "entries of its site for this store were refused"),
    );
    for (amount, entries) in kept(value, waits, refused) {
        text = text + "\n" + &amount + "\n";
        for entry in entries {
            text = text + "  " + &entry + "\n";
        }
    }
    if value["has_more_set_aside"] == true {
        let list = format!("`set-aside list {site}`\n");
        text = text + "\nits site has more refused entries than were looked at: " + &list;
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_receives_a_record_is_named_with_the_stores_by_which_each_site_sees_it() {
        let by = json!([
            { "reason": "primary" },
            { "reason": "home_store", "store": "A", "is_collector": false, "merged": "N2" },
            { "reason": "own_name", "store": "B", "is_collector": false },
            { "reason": "visibility", "store": "X", "is_collector": true },
            { "reason": "prescribed", "store": "D", "is_collector": false },
        ]);
        let west = json!({ "site": 4, "name": "west", "by": by, "has_more": true });
        let lane = json!({ "receivers": [west], "receivers_not_named": 3 });

        let text = receivers(&lane);

        let reasons = "is the primary, store A is the home store of N2, merged with it, store B has this name, \
            collector of store X sees it (visibility), it has prescribed in store D, and more";
        assert_eq!(text, format!("received by    site 4 west: {reasons}\n{:15}and 3 more\n", ""));
    }

    #[test]
    fn sites_that_receive_a_record_without_a_reason_of_their_own_stand_in_one_line() {
        let site = |id: u64| json!({ "site": id, "name": "n", "by": [] });
        let lane = json!({ "receivers": [site(2), site(3)], "receivers_not_named": 1 });

        assert_eq!(receivers(&lane), "received by    site 2 n, site 3 n and 1 more\n");
        assert_eq!(receivers(&json!({ "receivers": [], "receivers_not_named": 0 })), "");
    }
}
