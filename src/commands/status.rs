//! `status`: the site, its queue and its last syncs.

use std::fmt::Write as _;

use protocol::message::is_pause;
use serde_json::Value;

use super::site::bound_to;
use super::wording::{self, bytes, columns, count, moment, number};
use super::{progress, status_schedule};

/// The whole status, a matter a line.
pub(super) fn text(status: &Value, now_ms: u64) -> String {
    let mut rows = vec![vec!["site".to_owned(), site(&status["site"])]];
    let mut row = |name: &str, text: String| rows.push(vec![name.to_owned(), text]);
    // A mistyped folder looks like a new site; who sees its name does not enrol again.
    row("data folder", wording::text(&status["data_folder"]));
    row("agent", agent(status));
    if status["syncing"] == true && !status["progress"].is_null() {
        row("syncing", progress::words(&status["progress"]));
    }
    row("queue", queue(&status["pending"], now_ms));
    for (name, text) in growing(&status["queue_growing"]) {
        row(name, text);
    }
    if let Some(text) = at_central(&status["at_central"], now_ms) {
        row("at central", text);
    }
    let amount = |name: &str| status[name].as_u64().unwrap_or_default();
    if amount("waiting") > 0 {
        row("waiting", format!("{} at central, for their headers", count(amount("waiting"), "edit")));
    }
    if amount("set_aside") > 0 {
        row("set aside", set_aside(status));
    }
    if amount("withheld_records") > 0 {
        let records = count(amount("withheld_records"), "record");
        row(
            "stays here",
            format!("{records} that central is not sent, by what their stores' records say: it has no backup of them"),
        );
    }
    if let Some(text) = wording::recovery(&status["recovery"]) {
        row("recovery !", text);
    }
    row("stores", stores(&status["grants"]));
    if status["writes_central_data"] == true {
        row("primary", "this site writes central data".to_owned());
    }
    for (role, amount_of) in [("collector", "collected_stores"), ("transfer", "transfer_stores")] {
        if amount(amount_of) > 0 {
            row(role, stores_here(&status["stores_here"], role, amount(amount_of)));
        }
    }
    for store in status["leaving_stores"].as_array().into_iter().flatten() {
        let name = wording::text(store);
        row(
            "leaving",
            format!("{name}: it goes to another site, and is read here only until what was recorded is at central"),
        );
    }
    for store in status["forgotten_stores"].as_array().into_iter().flatten() {
        row("store !", forgotten_store(store));
    }
    if amount("handed_back_refused") > 0 {
        let records = count(amount("handed_back_refused"), "record");
        row(
            "handed back",
            format!("{records} that central, which was set back, had lost; it keeps them for its operator"),
        );
    }
    for (name, field) in
        [("last try", "last_attempt_ms"), ("last sync", "last_success_ms"), ("last drained", "last_drained_ms")]
    {
        row(name, status[field].as_u64().map_or_else(|| "never".to_owned(), |ms| moment(ms, now_ms)));
    }
    let failure = &status["last_failure"];
    if !failure.is_null() {
        let code = wording::text(&failure["code"]);
        let name = if is_pause(&code) { "sync rests" } else { "last failure" };
        row(name, format!("{} [{code}]", wording::text(&failure["message"])));
        let advice = wording::text(&failure["advice"]);
        if !advice.is_empty() {
            row("", advice);
        }
    }
    for (name, text) in status_schedule::rows(status, now_ms) {
        row(name, text);
    }
    if !status["binding"].is_null() {
        row("bound to", bound_to(&status["binding"], now_ms));
    }
    if let Some(clients) = super::client::in_status(&status["clients"], now_ms) {
        row("clients", clients);
    }
    let sequence = |name: &str| number(status[name].as_u64().unwrap_or_default());
    let journal = bytes(status["journal"]["bytes"].as_u64().unwrap_or_default());
    let (head, received, judged) = (sequence("head"), sequence("received"), sequence("judged"));
    row("journal", format!("{journal}, up to sequence {head}; central has {received} and judged {judged}"));
    for (name, field) in [("journal", "journal"), ("local data", "private_journal")] {
        let warnings = [fill(&status[field]), failed(&status[field])];
        rows.extend(warnings.into_iter().flatten().map(|warning| vec![format!("{name} !"), warning]));
    }
    if status["local_copy_failed"] == Value::Bool(true) {
        let words = "the disk refused a write; the journal keeps everything until the agent is started again";
        rows.push(vec!["local copy !".to_owned(), words.to_owned()]);
    }
    let mut text = columns(&rows);
    if !status["tables"].is_null() {
        tables(&mut text, &status["tables"]);
    }
    text
}

fn site(site: &Value) -> String {
    if site["enrolled"] == Value::Bool(false) || site.is_null() {
        return "none yet; run `outpost enrol`".to_owned();
    }
    let kind = wording::text(&site["type"]);
    let kind = if kind.is_empty() { kind } else { format!(", {kind}") };
    format!("{} ({}){kind}, of {}", wording::text(&site["name"]), site["id"], wording::text(&site["central"]))
}

fn agent(status: &Value) -> String {
    let words = match (status["daemon"] == Value::Bool(true), status["syncing"] == Value::Bool(true)) {
        (false, _) => "no daemon runs; `outpost run` starts it",
        (true, false) => "the daemon runs",
        (true, true) => "the daemon runs and is syncing",
    };
    words.to_owned()
}

fn queue(pending: &Value, now_ms: u64) -> String {
    let edits = pending["edits"].as_u64().unwrap_or_default();
    if edits == 0 {
        return "empty: central has everything".to_owned();
    }
    let size = bytes(pending["bytes"].as_u64().unwrap_or_default());
    // 0: carried over from a damaged journal, which no longer knew the time.
    let oldest = pending["oldest_recorded_at_ms"]
        .as_u64()
        .filter(|ms| *ms > 0)
        .map_or_else(String::new, |ms| format!(", the oldest of {}", moment(ms, now_ms)));
    format!("{}, {size}{oldest}", count(edits, "edit"))
}

/// That it grows from day to day, and what may be the cause.
fn growing(growing: &Value) -> Vec<(&'static str, String)> {
    if growing.is_null() {
        return Vec::new();
    }
    let causes = growing["causes"].as_array().into_iter().flatten().map(|cause| ("", wording::text(cause)));
    std::iter::once(("queue !", wording::text(&growing["message"]))).chain(causes).collect()
}

/// What central has for this site, as it was last told.
fn at_central(at_central: &Value, now_ms: u64) -> Option<String> {
    let (rows, at_ms) = (at_central["rows"].as_u64()?, at_central["at_ms"].as_u64()?);
    let waits = match rows {
        0 => "nothing waits".to_owned(),
        1 => "1 row waits".to_owned(),
        rows => format!("{} rows wait", number(rows)),
    };
    Some(format!("{waits} for this site, as of {}", moment(at_ms, now_ms)))
}

/// What is set aside, and what to do about it.
/// What is refused, and how near that is to what is kept: told from four fifths on.
fn set_aside(status: &Value) -> String {
    let amount = |name: &str| status[name].as_u64().unwrap_or_default();
    let refused = format!("{} refused", count(amount("set_aside"), "edit"));
    let advice = "see `outpost set-aside list`, then retry them, or export and dismiss them";
    let limits = [("set_aside", "set_aside_max"), ("set_aside_bytes", "set_aside_bytes_max")];
    // An agent of before names no limit in bytes.
    let fifths_of = |value, limit| status[limit].as_u64().map(|limit| amount(value).saturating_mul(5) / limit.max(1));
    let fifths = limits.into_iter().filter_map(|(value, limit)| fifths_of(value, limit)).max();
    let limit = format!("the limit is {} or {}", number(amount("set_aside_max")), bytes(amount("set_aside_bytes_max")));
    match fifths {
        Some(5..) => format!("{refused}, {limit}: no edits are taken until there are fewer; {advice}"),
        Some(4) => format!("{refused}, {limit}, and then no edits are taken; {advice}"),
        _ => format!("{refused}; {advice}"),
    }
}

fn stores(grants: &Value) -> String {
    let stores: Vec<String> = grants
        .as_array()
        .into_iter()
        .flatten()
        .map(|grant| format!("{} (ownership {})", wording::text(&grant["store"]), grant["ownership"]))
        .collect();
    if stores.is_empty() { "none may be written here".to_owned() } else { stores.join(", ") }
}

/// The first stores of a role, and how many more there are.
fn stores_here(here: &Value, role: &str, amount: u64) -> String {
    let of_role = here.as_array().into_iter().flatten().filter(|store| store["role"] == role);
    let names: Vec<String> = of_role.map(|store| wording::text(&store["store"])).collect();
    let more = amount.saturating_sub(names.len() as u64);
    let names = names.join(", ");
    if more == 0 { names } else { format!("{names} and {} more", number(more)) }
}

/// A store that this site had, and that a central which was set back has forgotten.
fn forgotten_store(store: &Value) -> String {
    let name = wording::text(&store["store"]);
    if store["may_be_written"] == Value::Bool(true) {
        return format!(
            "{name}: central was set back and has forgotten that it is active here; the next syncs tell it"
        );
    }
    format!(
        "{name}: central was set back and does not give it to this site any more; what is here is kept and shown, nothing more can be \
         recorded. An administrator of central decides"
    )
}

/// A warning where a journal is near its limit.
fn fill(journal: &Value) -> Option<String> {
    let share = format!(
        "{} % of its limit of {} is used",
        journal["percent"],
        bytes(journal["bytes_max"].as_u64().unwrap_or_default())
    );
    match journal["level"].as_str() {
        Some("half") => Some(format!("{share}; sync with central to make room")),
        Some("high") => Some(format!("{share}; sync with central soon, or edits will be refused")),
        Some("full") => Some(format!("{share}; edits are refused until a sync makes room")),
        _ => None,
    }
}

fn failed(journal: &Value) -> Option<String> {
    let words = "the disk failed under it; edits are refused until it can be opened again, see the log";
    (journal["failed"] == Value::Bool(true)).then(|| words.to_owned())
}

fn tables(text: &mut String, tables: &Value) {
    let tables = tables.as_array().map_or(&[][..], Vec::as_slice);
    let records = |table: &Value| table["records"].as_u64().unwrap_or_default();
    let total = tables.iter().map(records).sum();
    let _infallible = writeln!(text, "\n{} in {}", count(total, "record"), count(tables.len() as u64, "table"));
    let width = number(total).len();
    for table in tables {
        let _infallible = writeln!(text, "  {:>width$}  {}", number(records(table)), wording::text(&table["table"]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_busy_site_is_told_whole() {
        let status = json!({
            "data_folder": "/var/lib/outpost",
            "site": { "id": 2, "name": "Clinic", "central": "https://central.example", "enrolled": true, "type": "standalone" },
            "pending": { "edits": 1200, "bytes": 81_234, "oldest_recorded_at_ms": 1000 },
            "received": 40, "judged": 38, "head": 1240, "waiting": 2, "set_aside": 1,
            "grants": [{ "store": "4F2A", "ownership": 1 }, { "store": "9C00", "ownership": 3 }],
            "last_attempt_ms": 3_590_000, "last_success_ms": 1_800_000, "last_drained_ms": null,
            "last_failure": { "code": "offline", "message": "central does not answer" },
            "next_sync_ms": 3_660_000, "journal": { "bytes": 2_000_000, "floor": 10 },
            "tables": [{ "table": "item", "records": 5000 }, { "table": "unit", "records": 12 }], "daemon": true,
            "syncing": false,
        });

        assert_eq!(
            text(&status, 3_600_000),
            "site          Clinic (2), standalone, of https://central.example\n\
             data folder   /var/lib/outpost\n\
             agent         the daemon runs\n\
             queue         1,200 edits, 81 kB, the oldest of 1970-01-01T00:00:01Z (59 minutes ago)\n\
             waiting       2 edits at central, for their headers\n\
             set aside     1 edit refused; see `outpost set-aside list`, then retry them, or export and dismiss them\n\
             stores        4F2A (ownership 1), 9C00 (ownership 3)\n\
             last try      1970-01-01T00:59:50Z (10 seconds ago)\n\
             last sync     1970-01-01T00:30:00Z (30 minutes ago)\n\
             last drained  never\n\
             last failure  central does not answer [offline]\n\
             next sync     1970-01-01T01:01:00Z (in 1 minute)\n\
             journal       2.0 MB, up to sequence 1,240; central has 40 and judged 38\n\
             \n\
             5,012 records in 2 tables\n  5,000  item\n     12  unit\n"
        );
    }

    #[test]
    fn a_full_set_aside_says_that_edits_are_not_taken() {
        let told = |edits: u64, bytes: u64| {
            set_aside(
                &json!({ "set_aside": edits, "set_aside_max": 10_000, "set_aside_bytes": bytes, "set_aside_bytes_max": 1000 }),
            )
        };
        let full = "the limit is 10,000 or 1.0 kB: no edits are taken until there are fewer; see ";

        assert!(told(10_000, 5).starts_with(&format!("10,000 edits refused, {full}")));
        assert!(told(7, 1000).starts_with(&format!("7 edits refused, {full}")));
        assert!(told(8_000, 5).contains("1.0 kB, and then no edits are taken; see "), "{}", told(8_000, 5));
        assert!(told(7_999, 799).starts_with("7,999 edits refused; see "));
    }

    #[test]
    fn a_journal_near_its_limit_is_warned_of() {
        let level =
            |level: &str, percent: u64| json!({ "level": level, "percent": percent, "bytes_max": 1_000_000_000 });

        assert_eq!(fill(&level("low", 49)), None);
        assert_eq!(
            fill(&level("half", 50)).unwrap(),
            "50 % of its limit of 1.0 GB is used; sync with central to make room"
        );
        assert!(fill(&level("high", 80)).unwrap().ends_with("sync with central soon, or edits will be refused"));
        assert!(fill(&level("full", 100)).unwrap().ends_with("edits are refused until a sync makes room"));
        let status = json!({ "site": { "enrolled": false }, "journal": level("high", 81),
            "private_journal": { "failed": true }, "local_copy_failed": true });
        let text = text(&status, 0);
        assert!(text.contains("\njournal !     81 % of"), "{text}");
        assert!(text.contains("\nlocal data !  the disk failed"), "{text}");
        assert!(text.contains("\nlocal copy !  the disk refused a write"), "{text}");
    }

    #[test]
    fn a_recovery_under_way_is_told_with_what_is_in_its_file_alone() {
        let text = |step: &str, edits: u64| {
            let recovery = json!({ "step": step, "edits": edits, "file": "/data/recovered-1.ndjson" });
            text(&json!({ "pending": { "edits": 0 }, "recovery": recovery }), 0)
        };

        let told = text("begun", 2);
        let line =
            "\nrecovery !    not over: 2 edits are in /data/recovered-1.ndjson alone, not sent and not set aside;";
        assert!(told.contains(line), "{told}");
        assert!(text("begun", 0).contains("\nrecovery !    not over; run `outpost recover` again\n"));
        assert!(text("asked", 0).contains("\nrecovery !    asked for and not begun;"));
    }

    #[test]
    fn a_time_that_is_not_known_is_not_told() {
        assert_eq!(queue(&json!({ "edits": 1, "bytes": 20, "oldest_recorded_at_ms": 0 }), 3_600_000), "1 edit, 20 B");
    }

    #[test]
    fn a_new_site_says_what_to_do_first() {
        let status = json!({ "site": { "enrolled": false }, "pending": { "edits": 0 }, "daemon": false, "tables": [] });

        let text = text(&status, 0);

        assert!(text.starts_with("site          none yet; run `outpost enrol`\n"), "{text}");
        assert!(text.contains("\nqueue         empty: central has everything\n"), "{text}");
        assert!(text.ends_with("\n0 records in 0 tables\n"), "{text}");
    }
}
