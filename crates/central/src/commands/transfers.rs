//! Transfers between stores in words for people.

use clap::Args;
use serde_json::Value;

use super::show::{items, plain, table};
use crate::operations::{Request, StoreTransfersToList};
use crate::wording::count;

#[derive(Args)]
pub(super) struct TransfersArguments {
    /// Only those of a store that is active at this site: its name, or its id.
    #[arg(long)]
    site: Option<String>,
    /// Only those of this store, by its id.
    #[arg(long, value_name = "ID", conflicts_with = "site")]
    store: Option<String>,
    /// Only those that are stuck: they wait for a record, or have been at one stage for more than four days.
    #[arg(long)]
    stuck: bool,
    /// Begin behind this number.
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// How many, at most 1000.
    #[arg(long)]
    limit: Option<u32>,
}

/// What is asked for.
pub(super) fn request(arguments: TransfersArguments) -> Request {
    let TransfersArguments { site, store, stuck, after, limit } = arguments;
    Request::Transfers(StoreTransfersToList { site, store, is_stuck_only: stuck, after, limit })
}

/// Transfers, one a line; stuck ones stand out.
pub(super) fn lines(value: &Value) -> String {
    let rows = items(value, "transfers").iter().map(|transfer| {
        vec![
            plain(&transfer["number"]),
            plain(&transfer["kind"]),
            half(&transfer["initiating"]),
            match &transfer["responding"] {
                Value::Null => format!("store {}", plain(&transfer["receiver"])),
                responding => half(responding),
            },
            waits(transfer),
            plain(&transfer["since"]),
            if transfer["is_stuck"] == true { "STUCK".to_owned() } else { String::new() },
        ]
    });
    let more = match value["next"].as_u64() {
        Some(next) => format!("there are more: give --after {next}\n"),
        None => String::new(),
    };
    table(&["NUMBER", "KIND", "FROM", "TO", "WAITS FOR", "SINCE", ""], rows) + &more
}

/// A half in a few words: where, what, its number and status.
fn half(half: &Value) -> String {
    let state = if half["is_here"] == true { plain(&half["status"]) } else { "gone".to_owned() };
    format!(
        "store {} (site {}): {} {} no. {} {state}",
        plain(&half["store"]),
        half["site"],
        plain(&half["table"]),
        plain(&half["id"]),
        plain(&half["document_number"])
    )
}

fn waits(transfer: &Value) -> String {
    let waits = &transfer["waits_for"];
    let site = &waits["site"];
    match waits["what"].as_str() {
        Some("record") => {
            let reason = waits["reason"].as_str().map(|_| format!(" ({})", plain(&waits["reason"])));
            let record = &waits["record"];
            format!("{} {} at central{}", plain(&record["table"]), plain(&record["id"]), reason.unwrap_or_default())
        }
        Some("half") => format!("site {site} to make its half"),
        Some("queue") => format!("the queue to site {site}"),
        Some("number") => format!("a number from site {site}"),
        Some("link") => format!("the link of site {site}"),
        _ => "nothing".to_owned(),
    }
}

/// A line of the status where transfers are stuck.
pub(super) fn in_status(value: &Value) -> Vec<String> {
    let stuck = value["transfers"]["stuck"].as_u64().filter(|stuck| *stuck > 0);
    let line = |stuck| format!("STUCK {}: `transfers --stuck`\n", count(stuck, "transfer", "transfers"));
    stuck.map(line).into_iter().collect()
}
