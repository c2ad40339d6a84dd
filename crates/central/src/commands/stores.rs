//! Stores and the sites where they are active, in words for people.

use clap::Subcommand;
use serde_json::Value;

use super::show::{columns, items, plain, table};
use crate::operations::Request;

#[derive(Subcommand)]
pub(super) enum StoreCommand {
    /// Let a store be active at a site. One that is active at another remote site moves: nobody edits it from when its old site has
    /// heard of that until its new site has read all of it.
    Add {
        /// The store's id.
        store: String,
        /// The site's name, or its id.
        #[arg(long)]
        site: String,
        /// Without waiting for the old site: what it has not sent is refused, and set aside.
        #[arg(long)]
        at_once: bool,
        /// Only say what would come to which site.
        #[arg(long)]
        dry_run: bool,
    },
    /// Take a store from its site: it moves to central.
    Remove {
        /// The store's id.
        store: String,
        /// Without waiting for the site: what it has not sent is refused, and set aside.
        #[arg(long)]
        at_once: bool,
        /// Only say what would come to which site.
        #[arg(long)]
        dry_run: bool,
    },
    /// Call off a move: the store goes back to the site that it comes from, which edits it again after its next sync or two.
    CallOff {
        /// The store's id.
        store: String,
    },
    /// Stores that are on their way between sites.
    Moves,
    /// All stores and who holds them, central's first.
    List,
    /// What a store is on which site, whom it sees and who sees it.
    Show {
        /// The store's id.
        store: String,
    },
    /// Send the site of a store all patients that it sees once more, with what hangs on them, prescribers, and what dispensaries need.
    Resync {
        /// The store's id.
        store: String,
    },
    /// Give a site a collector copy of a store, which a store that is active there has to see; or take it back. On central a store may be
    /// a transfer store: its data but transfers stays on its site.
    SetRole {
        /// The store's id.
        store: String,
        /// The site's name, or its id.
        #[arg(long)]
        site: String,
        /// collector, or default: transfer where a store there sees it, else none. For central: transfer, or collector, its default.
        role: String,
        /// Only say what would come to which site.
        #[arg(long)]
        dry_run: bool,
    },
}

/// What is asked for.
pub(super) fn request(command: StoreCommand) -> Request {
    match command {
        StoreCommand::Add { store, site, at_once, dry_run } => {
            Request::StoreAdd { store, site, is_at_once: at_once, is_dry_run: dry_run }
        }
        StoreCommand::Remove { store, at_once, dry_run } => {
            Request::StoreRemove { store, is_at_once: at_once, is_dry_run: dry_run }
        }
        StoreCommand::CallOff { store } => Request::StoreCallOff { store },
        StoreCommand::Moves => Request::StoreMoves,
        StoreCommand::List => Request::StoreList,
        StoreCommand::Show { store } => Request::StoreShow { store },
        StoreCommand::Resync { store } => Request::StoreResync { store },
        StoreCommand::SetRole { store, site, role, dry_run } => {
            Request::StoreSetRole { store, site, role, is_dry_run: dry_run }
        }
    }
}

/// What became of a store that was to go somewhere.
pub(super) fn moved(value: &Value) -> String {
    let (store, site, name) = (plain(&value["store"]), &value["site"], plain(&value["site_name"]));
    let waits = format!("site {} {}", value["waits_for_site"], plain(&value["waits_for_name"]));
    let device = match value["waits_for_sync"].as_str() {
        _ if value["is_enrolled"] == false => ". No device is enrolled for it yet".to_owned(),
        None | Some("on") => String::new(),
        Some(state) => format!(". It does not sync, it is {state}"),
    };
    match value["outcome"].as_str() {
        Some("unchanged") => format!("store {store} is active at site {site} {name} already\n"),
        Some("draining") if value["waits_for_site"] == value["site"] => format!(
            "store {store} stays at {waits}, which edits it again once it has heard of that, after three of its syncs or fewer{device}\n"
        ),
        Some("draining" | "returning") => format!(
            "store {store} goes to site {site} {name} once {waits} has heard of it and has sent what it recorded, which takes two of its \
             syncs; --at-once does not wait, and `store call-off {store}` leaves it there{device}\n"
        ),
        Some("filling") => format!(
            "store {store} is active at site {site} {name} once it has read all of the store, which takes it a sync or some; until then \
             nobody edits it{device}\n"
        ),
        _ => format!("store {store} is active at site {site} {name}\n"),
    }
}

/// That the site that is waited for does not sync, so that nobody waits in vain.
fn held_up(value: &Value) -> String {
    match value["waits_for_sync"].as_str() {
        None | Some("on") => String::new(),
        Some(state) => format!(", which does not sync: it is {state}"),
    }
}

/// Stores on their way, one a line.
pub(super) fn moves(value: &Value) -> String {
    let keys = ["store", "from", "to", "phase", "waits_for_site", "waits_for_sync", "asked"];
    let rows = items(value, "moves").iter().map(|moving| columns(moving, &keys));
    table(&["STORE", "FROM SITE", "TO SITE", "PHASE", "WAITS FOR SITE", "WHOSE SYNC IS", "ASKED"], rows)
}

/// Stores on their way as lines of the status; nothing where there are none.
pub(super) fn moves_in_status(value: &Value) -> Vec<String> {
    let moves = items(value, "moves").iter();
    moves
        .map(|moving| {
            let nobody = if moving["phase"] == "filling" { "nobody" } else { "nobody else" };
            format!(
                "MOVING since {}: store {} from site {} to site {}, {}: {nobody} edits it; waits for site {}{}\n",
                plain(&moving["asked"]),
                plain(&moving["store"]),
                moving["from"],
                moving["to"],
                plain(&moving["phase"]),
                moving["waits_for_site"],
                held_up(moving)
            )
        })
        .collect()
}

/// All stores, one a line.
pub(super) fn stores(value: &Value) -> String {
    let head = ["ID", "NAME", "CODE", "SITE", "SITE NAME", "OWNERSHIP", "MOVES TO"];
    let keys = ["id", "name", "code", "site", "site_name", "ownership", "moves_to"];
    table(&head, items(value, "stores").iter().map(|store| columns(store, &keys)))
}
