//! Home stores of patients and prescribers, in words for people.

use clap::Subcommand;
use serde_json::Value;

use super::show::{columns, items, plain, table};
use crate::operations::{Request, TransfersToList};
use crate::store::HomeKind;

#[derive(Subcommand)]
pub(super) enum HomeCommand {
    /// Give another home store, whose site edits the record then. Until its present home site has sent what it recorded nobody does.
    SetHomeStore {
        /// The id of the patient or prescriber.
        id: String,
        /// The store's id; that of the present home store calls off a transfer that is on its way.
        store: String,
        /// Without waiting: what the home site has not sent is refused, and set aside.
        #[arg(long)]
        at_once: bool,
    },
    /// Those that are on their way to another home store.
    Transfers {
        /// Only those behind this id.
        #[arg(long)]
        after: Option<String>,
        /// At most this many.
        #[arg(long)]
        limit: Option<u32>,
    },
}

/// What is asked for.
pub(super) fn request(kind: HomeKind, command: HomeCommand) -> Request {
    match command {
        HomeCommand::SetHomeStore { id, store, at_once } => {
            Request::HomeStoreSet { kind, id, store, is_at_once: at_once }
        }
        HomeCommand::Transfers { after, limit } => Request::HomeTransfers(TransfersToList { kind, after, limit }),
    }
}

/// What became of a home store that was asked for.
pub(super) fn home_store(value: &Value) -> String {
    let (kind, id, store) = (plain(&value["kind"]), plain(&value["id"]), plain(&value["home_store"]));
    match value["outcome"].as_str() {
        Some("asked") => format!(
            "{kind} {id} goes to store {store} once its home site, {} {}, has read that and sent what it recorded, which takes two \
             of its syncs; until then nobody edits it anew ({kind} set-home-store --at-once does not wait)\n",
            value["waits_for_site"],
            plain(&value["name"])
        ),
        Some("called_off") => format!("{kind} {id} stays in store {store}\n"),
        Some("unchanged") => format!("{kind} {id} has the home store {store} already\n"),
        _ => format!("{kind} {id} has the home store {store}\n"),
    }
}

/// Transfers that are on their way, one a line.
pub(super) fn transfers(value: &Value) -> String {
    let names = ["id", "from", "to", "waits_for_site", "asked"];
    let rows = items(value, "transfers").iter().map(|transfer| columns(transfer, &names));
    let more = if value["next"].is_null() { "" } else { "there are more: give --after the last ID\n" };
    table(&["ID", "FROM STORE", "TO STORE", "WAITS FOR SITE", "ASKED"], rows) + more
}
