//! How answers look on a terminal.

use std::io::Write;

use serde_json::Value;

use super::{audit, explain, files, forecast, home_stores, people, sites, stores, transfers, visibility};

use crate::error::{CentralError, Exit};
use crate::operations::{Done, Progress, Request};
use crate::wording::count;

/// Widest column of a table, in characters; what is longer is not cut but not lined up either.
const COLUMN_WIDTH_MAX: usize = 40;

/// Writes text where answers go. A reader that went away (`| head`) is no error.
pub(crate) fn put(output: &mut dyn Write, text: &str) -> Result<(), CentralError> {
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CentralError::new("output_failed", format!("the answer cannot be written: {error}"), "", Exit::Failed))
        }
        _ => Ok(()),
    }
}

/// How far something long is: one line that changes on a terminal, plain lines elsewhere.
pub(super) fn progress(progress: &Progress, is_terminal: bool) {
    let text = match progress {
        Progress::Checking { lines } => format!("checked {}", count(*lines, "line", "lines")),
        Progress::Recording { lines, lines_total } => {
            format!("recorded {lines} of {}", count(*lines_total, "line", "lines"))
        }
        Progress::Taking { edits } => format!("took {}", count(*edits, "edit", "edits")),
        Progress::Answering { pages } => format!("answered with {}", count(*pages, "page", "pages")),
        Progress::Exporting { rows, rows_total } => {
            format!("exported {rows} of {}", count(*rows_total, "record", "records"))
        }
    };
    let is_over = matches!(
        progress,
        Progress::Recording { lines: done, lines_total: total } | Progress::Exporting { rows: done, rows_total: total }
            if done == total
    );
    let line = match (is_terminal, is_over) {
        (true, false) => format!("\r{text}  "),
        (true, true) => format!("\r{text}  \n"),
        (false, _) => format!("{text}\n"),
    };
    // Progress that cannot be shown is no reason to stop.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Text,
    /// As it is.
    Json,
    /// Only the edits in it, as lines to be recorded.
    Edits,
}

impl Form {
    pub(super) fn of(is_json: bool) -> Self {
        if is_json { Self::Json } else { Self::Text }
    }
}

/// Prints what a verb found or did.
pub(super) fn done(request: &Request, done: &Done, form: Form, output: &mut dyn Write) -> Result<(), CentralError> {
    let value = &done.value;
    let text = match (request, form == Form::Json) {
        (_, true) => format!("{value}\n"),
        (Request::SiteDelete { is_dry_run: true, .. }, false) => sites::would_be_deleted(value),
        (request, false) if request.is_dry_run() => forecast::text(value),
        (Request::SetAsideList(_), false) if form == Form::Edits => {
            items(value, "set_aside").iter().map(|item| format!("{}\n", item["edit"])).collect::<Vec<_>>().concat()
        }
        (Request::SetAsideList(_), false) => set_aside(value),
        (Request::SetAsideShow { .. }, false) => set_aside_one(value),
        (Request::SetAsideApply { .. }, false) => applied(value),
        (Request::SetAsideDismissAll { .. }, false) => format!("dismissed {}\n", value["dismissed_count"]),
        (Request::SetAsideDismiss { .. }, false) => format!("dismissed {}\n", plain(&value["dismissed"])),
        (Request::SiteExport { .. }, false) => files::exported(value),
        (Request::CarryIn, false) => files::carried(value),
        (Request::SiteResume { .. }, false) => sites::resumed(value),
        (Request::AccountAdd(_), false) => people::account_added(value),
        (Request::AccountList, false) => people::accounts(value),
        (Request::AccountEdit(_) | Request::AccountSetDisabled { .. }, false) => people::account_changed(value),
        (Request::AccountRemove { .. }, false) => people::account_removed(value),
        (Request::TokenAdd { .. }, false) => people::token_made(value),
        (Request::TokenList, false) => people::tokens(value),
        (Request::TokenRevoke { .. }, false) => format!(
            "revoked token {}
",
            plain(&value["token"])
        ),
        (Request::AuthorisationCodeSet { .. } | Request::AuthorisationCodeClear, false) => people::code_changed(value),
        (Request::Unlock { .. }, false) => people::unlocked(value),
        (Request::Lock, false) => format!(
            "locked for {}
",
            plain(&value["actor"])
        ),
        (Request::Audit(_), false) => audit::lines(value),
        (Request::Merge { .. }, false) => merged(value),
        (Request::Records(_), false) => records(value),
        (Request::SiteAdd(_), false) => format!("{}\n", value["id"]),
        (Request::SiteList { .. }, false) => sites::list(value),
        (Request::SiteShow { .. }, false) => sites::site(value),
        (Request::Identity, false) => facts(value),
        (Request::SiteEdit(_), false) => sites::edited(value),
        (Request::SiteResetHardware { .. }, false) => sites::reset(value),
        (Request::SiteDisable { .. }, false) => sites::disabled(value),
        (Request::SiteEnable { .. }, false) => sites::enabled(value),
        (Request::SitePause { .. }, false) => sites::paused(value),
        (Request::SiteUnpause { .. }, false) => sites::unpaused(value),
        (Request::SiteCheck { .. }, false) => sites::checked(value),
        (Request::SiteDelete { .. }, false) => sites::deleted(value),
        (Request::SiteVerify { .. }, false) => sites::asked_to_verify(value),
        (Request::StoreAdd { .. } | Request::StoreRemove { .. } | Request::StoreCallOff { .. }, false) => {
            stores::moved(value)
        }
        (Request::StoreMoves, false) => stores::moves(value),
        (Request::StoreList, false) => stores::stores(value),
        (Request::StoreShow { .. }, false) => visibility::store(value),
        (Request::PreferenceSet { .. }, false) => {
            let (name, state) = (plain(&value["preference"]), if value["is_on"] == true { "on" } else { "off" });
            let of_store = value["store"].as_str().map(|store| format!(" for store {store}")).unwrap_or_default();
            let already = if value["is_new"] == true { "" } else { " already; nothing was done" };
            format!("{name} is {state}{of_store}{already}\n{}", warning(value))
        }
        (Request::PreferenceList, false) => {
            let rows = items(value, "preferences").iter().map(|preference| {
                let state = match (&preference["is_on"], &preference["is_under_way"]) {
                    (Value::Bool(true), Value::Bool(true)) => "on, not yet for all of before",
                    (Value::Bool(true), _) => "on",
                    (_, Value::Bool(true)) => "off, not yet for all of before",
                    _ => "off",
                };
                let key = if preference["off_in_stores"].is_array() { "off_in_stores" } else { "on_in_stores" };
                let others = items(preference, key).iter().map(plain).collect::<Vec<_>>();
                let state =
                    if others.is_empty() { state.to_owned() } else { format!("{state}, but in {}", others.join(", ")) };
                vec![plain(&preference["preference"]), state, plain(&preference["meaning"])]
            });
            table(&["PREFERENCE", "IS", "ON MEANS THAT"], rows)
        }
        (Request::StoreResync { .. }, false) => visibility::resync(value),
        (Request::StoreSetRole { .. }, false) => {
            let (store, role) = (plain(&value["store"]), plain(&value["role"]));
            format!("store {store} is {role} on site {}\n{}", value["site"], warning(value))
        }
        (Request::VisibilityAdd { .. } | Request::VisibilityRemove { .. }, false) => visibility::set(value),
        (Request::VisibilityList(_), false) => visibility::joins(value),
        (Request::MirrorEnable { .. } | Request::MirrorDisable { .. } | Request::MirrorShow, false) => mirror(value),
        (Request::HomeStoreSet { .. }, false) => home_stores::home_store(value),
        (Request::Transfers(_), false) => transfers::lines(value),
        (Request::HomeTransfers(_), false) => home_stores::transfers(value),
        (Request::Import { .. }, false) => import(value),
        (Request::Explain { id: Some(_), .. }, false) => explain::record(value),
        (Request::Explain { id: None, .. }, false) => explain::store(value),
        (Request::HealingEnd, false) => {
            let waived = value["sites_waived"].as_u64().unwrap_or_default();
            format!("central heals no more, it went on without {}\n", count(waived, "site", "sites"))
        }
        (Request::Status, false) => status(value),
    };
    put(output, &text)?;
    // Beside the list, which goes on to programs.
    if matches!(request, Request::Records(_)) && form != Form::Json && value["note"].is_string() {
        let line = format!("note: {}\n", plain(&value["note"]));
        // A note that cannot be shown is no reason to fail.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    Ok(())
}

/// What somebody should know who did this, as a line of its own.
pub(super) fn warning(value: &Value) -> String {
    value["warning"].as_str().map_or_else(String::new, |warning| format!("{warning}\n"))
}

fn records(value: &Value) -> String {
    let records = items(value, "records");
    // Without merged records the column would be dashes alone.
    let has_merged = records.iter().any(|record| !record["merged_into"].is_null());
    let merged = if has_merged { ("MERGED INTO", "merged_into") } else { ("", "") };
    let shown = [("ID", "id"), ("STORE", "store"), ("POSITION", "position"), merged, ("DATA", "data")];
    let shown: Vec<_> = shown.into_iter().filter(|(head, _)| !head.is_empty()).collect();
    let (head, keys): (Vec<&str>, Vec<&str>) = shown.into_iter().unzip();
    table(&head, records.iter().map(|record| columns(record, &keys)))
}

fn merged(value: &Value) -> String {
    let (table, from, into) = (plain(&value["table"]), plain(&value["from"]), plain(&value["into"]));
    if value["is_new"] != true {
        return format!("both are {table} {into} already; nothing was done\n");
    }
    let named = [("asked_from", &from), ("asked_into", &into)];
    let earlier: Vec<String> = named
        .into_iter()
        .filter(|(key, now)| plain(&value[*key]) != **now)
        .map(|(key, now)| format!("{table} {} was merged into {now} before\n", plain(&value[key])))
        .collect();
    format!("{}{table} {from} is merged into {into}\n", earlier.concat())
}

fn set_aside(value: &Value) -> String {
    let head = ["PLACE", "KIND", "PROPOSAL", "TABLE", "ID", "CODE", "RECEIVED", "REASON"];
    let keys = ["place", "kind", "proposal_state", "table", "id", "code", "received", "reason"];
    table(
        &head,
        items(value, "set_aside").iter().map(|item| {
            let mut item = item.clone();
            item["proposal_state"] = item["proposal"]["state"].clone();
            columns(&item, &keys)
        }),
    )
}

/// A refused edit, and under it the columns in which it differs from the record as it is.
fn set_aside_one(value: &Value) -> String {
    let word = |key: &str| plain(&value[key]);
    let store = match (&value["store"], &value["active_at"]) {
        (Value::Null, _) => String::new(),
        (_, site) => format!(", of store {}, active at site {site}", word("store")),
    };
    let head = format!(
        "{} {}: {} of {} {}\n{} [{}]\nreceived: {}\nthe record is {}{store}\n",
        word("kind"),
        word("place"),
        plain(&value["edit"]["op"]),
        word("table"),
        word("id"),
        word("reason"),
        word("code"),
        word("received"),
        word("state"),
    );
    let proposal = match value["proposal"]["state"].as_str() {
        None => String::new(),
        Some("open") => format!(
            "asked of the site of store {} since {}: no answer yet\n",
            plain(&value["proposal"]["store"]),
            plain(&value["proposal"]["since"])
        ),
        Some(_) => format!(
            "declined by the site of store {}: {} [{}]\n",
            plain(&value["proposal"]["store"]),
            plain(&value["proposal"]["reason"]),
            plain(&value["proposal"]["code"])
        ),
    };
    let head = head + &proposal;
    let differs = items(value, "differs");
    if differs.is_empty() {
        return head + "the edit would change nothing\n";
    }
    head + &table(
        &["COLUMN", "CURRENT", "EDIT"],
        differs.iter().map(|one| columns(one, &["column", "current", "edit"])),
    )
}

/// What was applied, and what stays and why.
fn applied(value: &Value) -> String {
    let stays = items(value, "stay").iter();
    let stays = stays.map(|item| {
        format!("stays: {}: {} [{}]\n", plain(&item["place"]), plain(&item["reason"]), plain(&item["code"]))
    });
    let more = value["stay_count"].as_u64().unwrap_or_default().saturating_sub(items(value, "stay").len() as u64);
    let more = if more > 0 { format!("and {more} more stay\n") } else { String::new() };
    let proposed = match (value["proposed"].as_u64(), &value["asked_site"]) {
        (None | Some(0), _) => String::new(),
        (Some(_), Value::Number(site)) => {
            format!(
                "site {site} is asked to record it: it holds store {}, and answers after its next sync\n",
                plain(&value["store"])
            )
        }
        (Some(count), _) => format!("asked of the sites that hold their stores {count}\n"),
    };
    format!("applied {}\n{proposed}{}{more}", value["applied"], stays.collect::<String>())
}

fn import(value: &Value) -> String {
    let mut lines = Vec::new();
    for refusal in items(value, "refusals") {
        let record = match (&refusal["table"], &refusal["id"]) {
            (Value::Null, _) | (_, Value::Null) => String::new(),
            (table, id) => format!(" {} {}", plain(table), plain(id)),
        };
        let (line, code, reason) = (&refusal["line"], plain(&refusal["code"]), plain(&refusal["reason"]));
        lines.push(format!("line {line}{record}: {reason} [{code}]\n"));
    }
    if value["refusals_not_shown"] != 0 {
        lines.push(format!("... and {} more\n", value["refusals_not_shown"]));
    }
    let (written, unchanged, refused) = (&value["written"], &value["unchanged"], &value["refused"]);
    lines.push(format!("{written} recorded, {unchanged} unchanged, {refused} refused\n"));
    if *written == 0 && *refused != 0 {
        lines.push("Nothing was recorded. Correct the lines, or record the good ones with --continue.\n".to_owned());
    }
    lines.concat()
}

fn status(value: &Value) -> String {
    let head = match &value["copy_of"] {
        Value::Null => String::new(),
        copy => format!("{:<28} {}\n", "copy of", copy_of(copy)),
    };
    let facts = [
        ("epoch", "epoch"),
        ("position", "position"),
        ("remote sites", "remote_sites"),
        ("records", "records"),
        ("entries in the log", "log_entries"),
        ("entries waiting for headers", "waiting_entries"),
        ("entries set aside", "set_aside"),
        ("of these too late", "set_aside_late"),
        ("bytes set aside", "set_aside_bytes"),
        ("database bytes", "database_bytes"),
    ]
    .into_iter()
    .map(|(name, key)| format!("{name:<28} {}\n", plain(&value[key])));
    let is_locked = value["authorisation_code"] == "set";
    let code = if is_locked { "set" } else { "none: preferences and sync settings are not locked" };
    let code = format!("{:<28} {code}\n", "authorisation code");
    let mut lines: Vec<String> = std::iter::once(head).chain(facts).chain([code]).collect();
    if value["mirror"]["phase"].as_str().is_some_and(|phase| phase != "at central") {
        lines.push(format!("\n{}", mirror(&value["mirror"])));
    }
    let head = [
        "ID",
        "NAME",
        "LAST CONTACT",
        "IN STEP",
        "RECEIVED",
        "JUDGED",
        "ROWS WAITING",
        "CONTROL",
        "WAITING",
        "SET ASIDE",
    ];
    let keys = [
        "id",
        "name",
        "last_contact",
        "last_in_step",
        "received",
        "judged",
        "rows_waiting",
        "control_rows_waiting",
        "waiting_entries",
        "set_aside",
    ];
    lines.extend(healing(&value["healing"]));
    for site in items(value, "sites").iter().filter(|site| !site["ahead"].is_null() && site["healed"].is_null()) {
        let (id, name, since) = (&site["id"], plain(&site["name"]), plain(&site["ahead"]));
        lines.push(format!(
            "AHEAD since {since}: site {id} {name} has heard more than central remembers, and heals with it\n"
        ));
    }
    lines.extend(items(value, "claims").iter().map(claim));
    lines.extend(stores::moves_in_status(value));
    lines.extend(transfers::in_status(value));
    lines.extend(sites::held_up_in_status(value));
    lines.extend(sites::set_aside_in_status(value));
    for site in items(value, "sites").iter().filter(|site| !site["stopped"].is_null()) {
        let (name, since, reason) = (plain(&site["name"]), plain(&site["stopped"]), plain(&site["stop_reason"]));
        lines.push(format!(
            "\nSTOPPED since {since}: site {0} {name}: {reason}. `site show {0}` tells them apart; then `site resume {0}`\n",
            site["id"]
        ));
    }
    lines.push("\n".to_owned());
    lines.push(table(&head, items(value, "sites").iter().map(|site| columns(site, &keys))));
    lines.concat()
}

/// Who writes central data.
fn mirror(value: &Value) -> String {
    let site = format!("site {} {}", value["primary"], plain(&value["name"]));
    match value["phase"].as_str() {
        Some("filling") => format!(
            "central data goes to {site}: nobody writes it until that site has read everything, which takes it a sync or some{}\n",
            without_device(value)
        ),
        Some("at the primary") => format!("{site} is the primary: it alone writes central data\n"),
        Some("returning") => format!(
            "central data comes back from {site}: central writes it again once that site has heard of it and has sent what it \
             recorded before, which takes two of its syncs; `mirror disable --at-once` does not wait{}\n",
            without_device(value)
        ),
        _ => "central writes central data\n".to_owned(),
    }
}

/// That a site cannot sync, so that nobody waits for it in vain.
fn without_device(value: &Value) -> &'static str {
    if value["is_enrolled"] == false { ". No device is enrolled for it yet" } else { "" }
}

/// A store that a site still has, and that central does not give it.
fn claim(claim: &Value) -> String {
    let (site, store, ownership) = (&claim["site"], plain(&claim["store"]), &claim["ownership"]);
    let (why, advice) = if claim["is_known"] == true {
        // While another site holds it, it cannot be given back.
        let advice = format!("see who has it by `store show {store}`");
        ("it is somebody else's since central was set back", advice)
    } else {
        ("central cannot know that it gave it", format!("`store add {store} --site {site}` gives it back"))
    };
    format!(
        "\nCLAIM: site {site} held store {store} under number {ownership}, and {why}. What it has of the store may be nowhere else: \
         {advice}; `site reset-hardware {site}` ends the claim\n"
    )
}

/// How far central and its sites have healed; nothing if it was never set back.
fn healing(value: &Value) -> Option<String> {
    let since = value["since"].as_str()?;
    let waived = match value["sites_waived"].as_u64() {
        None | Some(0) => String::new(),
        Some(waived) => {
            let sites = count(waived, "site that has", "sites that have");
            format!("; an operator went on without {sites} not reported")
        }
    };
    let unheard = items(value, "unheard");
    let named = match (unheard.len() as u64, value["sites_unheard"].as_u64().unwrap_or(0)) {
        (0, _) => String::new(),
        (named, all) => {
            let first: Vec<_> =
                unheard.iter().map(|site| format!("{} {}", site["site"], plain(&site["name"]))).collect();
            let rest = if all > named { format!(" and {} more", all - named) } else { String::new() };
            format!(" ({}{rest})", first.join(", "))
        }
    };
    let text = match value["ended"].as_str() {
        Some(ended) => format!("{:<28} since {ended}; central was found to be set back at {since}{waived}\n", "healed"),
        None => format!(
            "\nHEALING since {since}: central was set back to an older backup. Ahead of it and not healed: {}. Not heard of since: \
             {}{named}{waived}. Until all have reported, no store is given to a site and nothing is merged; `healing end` goes on without them\n",
            count(value["sites_ahead"].as_u64().unwrap_or_default(), "site", "sites"),
            value["sites_unheard"]
        ),
    };
    Some(text)
}

/// Which central this one is a copy of.
fn copy_of(copy: &Value) -> String {
    format!("the central with the key {}, made at {}", plain(&copy["fingerprint"]), plain(&copy["made"]))
}

/// An object as lines.
pub(super) fn facts(value: &Value) -> String {
    let empty = serde_json::Map::new();
    let lines: Vec<String> = value
        .as_object()
        .unwrap_or(&empty)
        .iter()
        .map(|(key, value)| match value {
            Value::Array(devices) if key == "stop_devices" => {
                devices.iter().map(|device| format!("{key:<22} {}\n", stop_device(device))).collect::<Vec<_>>().concat()
            }
            Value::Object(_) => format!("{key:<22} {}\n", copy_of(value)),
            Value::Array(items) => format!("{key:<22} {}\n", items.iter().map(plain).collect::<Vec<_>>().join(" ")),
            value => format!("{key:<22} {}\n", plain(value)),
        })
        .collect();
    lines.concat()
}

/// One of the two devices because of which a site stopped.
fn stop_device(device: &Value) -> String {
    let which = if device["which"] == "answered_last" { "answered last" } else { "came with a dead token" };
    format!(
        "{which}: {}, from {}, journal {} up to {}",
        plain(&device["seen"]),
        plain(&device["address"]),
        plain(&device["journal"]),
        plain(&device["journal_head"])
    )
}

pub(super) fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn columns(value: &Value, keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| plain(&value[*key])).collect()
}

/// A value without quotes; nothing is a dash. What comes from a site moves no cursor of a terminal and breaks no line.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.chars().flat_map(visible).collect(),
        other => other.to_string(),
    }
}

/// A character as it is, or its escape.
pub(super) fn visible(character: char) -> impl Iterator<Item = char> {
    let escape = character.is_control().then(|| character.escape_default());
    let plain = escape.is_none().then_some(character);
    plain.into_iter().chain(escape.into_iter().flatten())
}

/// Rows under a head, lined up; the last column is as wide as it is.
pub(super) fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut lines = vec![head.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()];
    lines.extend(rows);
    let width = |column: usize| {
        let widths = lines.iter().filter_map(|line| line.get(column)).map(|text| text.chars().count());
        widths.filter(|width| *width <= COLUMN_WIDTH_MAX).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        text.push_str(cells.concat().trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_is_lined_up_and_nothing_is_cut() {
        let rows = [vec!["1".to_owned(), "x".repeat(60)], vec!["22".to_owned(), "y".to_owned()]];

        assert_eq!(table(&["ID", "NAME"], rows.into_iter()), format!("ID  NAME\n1   {}\n22  y\n", "x".repeat(60)));
    }

    #[test]
    fn what_a_site_named_its_records_sends_no_escapes_to_a_terminal() {
        let record =
            json!({ "id": "a\u{1b}[2Jb\nc\u{9b}1m", "store": "S\u{7}", "position": 1, "data": {"k": "\u{1b}"} });
        let aside = json!({ "place": "p", "table": "t\r", "id": "\u{1b}]0;x\u{7}", "code": "c", "received": "r", "reason": "é" });

        let text = records(&json!({ "records": [record] })) + &set_aside(&json!({ "set_aside": [aside] }));

        assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text:?}");
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains(r"a\u{1b}[2Jb\nc\u{9b}1m") && text.contains('é'), "{text}");
    }

    #[test]
    fn one_of_something_is_told_as_one() {
        let begun = json!({ "since": "s", "ended": null, "sites_ahead": 1, "sites_unheard": 0, "sites_waived": 1 });
        let record = json!({ "entries_waiting": 1, "entries_set_aside": 2 });

        let text = healing(&begun).unwrap() + &explain::record(&record);

        for part in ["not healed: 1 site. ", " 1 site that has not reported. ", " 1 waits for", " 2 were refused"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn an_import_says_what_was_refused_and_that_nothing_was_recorded() {
        let refusal = json!({ "line": 3, "table": "unit", "id": "a", "code": "id_differs", "reason": "why" });
        let value =
            json!({ "written": 0, "unchanged": 0, "refused": 2, "refusals_not_shown": 1, "refusals": [refusal] });

        let text = import(&value);

        assert!(text.starts_with("line 3 unit a: why [id_differs]\n... and 1 more\n"), "{text}");
        assert!(text.contains("Nothing was recorded."), "{text}");
    }
}
