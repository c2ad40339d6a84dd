//! Sites: what may be asked about them, and the answers in words for people.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::show::{columns, facts, items, plain, table, warning};
use super::{files, input};
use crate::error::CentralError;
use crate::operations::{Request, SiteToAdd, SiteToEdit};
use crate::wording::count;

#[derive(Subcommand)]
pub(super) enum SiteCommand {
    /// Add a site and print its id.
    Add(SiteAddArguments),
    /// All sites, central first.
    List {
        /// Those too that were deleted.
        #[arg(long)]
        deleted: bool,
    },
    /// Change a site's name, password or code. Beware of the first two: its device stops syncing until it shows the new ones,
    /// or until the old ones are put back.
    Edit(SiteEditArguments),
    /// Free a site of its device, for a tablet that was lost or repaired: the next one that enrols takes its place.
    ResetHardware {
        /// Its name, or its id.
        site: String,
    },
    /// Write everything that a site receives to a file, encrypted by a passphrase, for `outpost import` on its device.
    Export(files::ExportArguments),
    /// Ask a site to compare what it has with what it should have, once its next sync is through, and to mend what differs.
    /// `site show` says what it found.
    Verify {
        /// Its name, or its id.
        site: String,
    },
    /// One site with its stores; one that was deleted by its id.
    Show {
        /// Its name, or its id.
        site: String,
    },
    /// Whether a site's device would be taken right now, and if not, why; exit code 5 then. Nothing is sent to the device.
    Check {
        /// Its name, or its id.
        site: String,
    },
    /// Do not take a site's device until the site is enabled: it goes on recording, and nothing is lost.
    Disable {
        /// Its name, or its id.
        site: String,
    },
    /// Take the device of a disabled site again.
    Enable {
        /// Its name, or its id.
        site: String,
    },
    /// Do not take a site's device for some minutes: it goes on recording, and comes by itself afterwards.
    Pause {
        /// Its name, or its id.
        site: String,
        /// How long from now on, 1 to 40320: four weeks.
        #[arg(long)]
        minutes: u32,
    },
    /// End a pause before its time.
    Unpause {
        /// Its name, or its id.
        site: String,
    },
    /// Let a site that was stopped, because two devices spoke for it, go on.
    Resume {
        /// Its name, or its id.
        site: String,
        /// Which of the two: `answered_last` or `dead_token`, as `site show` tells them apart. Without it: whichever comes next.
        #[arg(long)]
        device: Option<String>,
    },
    /// Delete a site that has no stores. Its device is taken no more, its id is never given again, its name is free. What its device has
    /// not sent stays there: let it sync first.
    Delete {
        /// Its name, or its id.
        site: String,
        /// Only say whether it would go, and what with it.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Args)]
pub(super) struct SiteAddArguments {
    /// The login; unique.
    name: String,
    /// Free text.
    #[arg(long, default_value = "")]
    code: String,
    /// What it is meant to be, standalone or mobile, until its device says what it is.
    #[arg(long = "type", default_value = "standalone", value_parser = ["standalone", "mobile"])]
    kind: String,
    /// A store that it holds; may be given several times. The store's record must be imported before.
    #[arg(long = "store", value_name = "ID")]
    stores: Vec<String>,
    /// A file with the site's password, or - for standard input. A line end behind it does not count.
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    /// Whether the site makes the receiving halves of transfers to its stores itself, as Open mSupply does; central then only routes them.
    #[arg(long, default_value = "off", value_parser = ["on", "off"])]
    makes_own_halves: String,
    /// Only say what would come to which site.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
pub(super) struct SiteEditArguments {
    /// The site's name, or its id.
    site: String,
    /// Another login; unique.
    #[arg(long, required_unless_present_any = ["password_file", "code", "makes_own_halves"])]
    name: Option<String>,
    /// A file with another password, or - for standard input. A line end behind it does not count.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Another code; free text, which changes nothing else.
    #[arg(long)]
    code: Option<String>,
    /// Whether the site makes the receiving halves of transfers to its stores itself, for transfers that begin from then on.
    #[arg(long, value_parser = ["on", "off"])]
    makes_own_halves: Option<String>,
}

/// What is asked for.
///
/// # Errors
/// Those of reading a password.
pub(super) fn request(command: SiteCommand) -> Result<Request, CentralError> {
    Ok(match command {
        SiteCommand::Export(_) => unreachable!("it writes a file beside its answer, and is carried out before this"),
        SiteCommand::Add(site) => Request::SiteAdd(SiteToAdd {
            password: input::read_password(&site.password_file)?,
            name: site.name,
            code: site.code,
            kind: site.kind,
            stores: site.stores,
            is_dry_run: site.dry_run,
            makes_own_halves: site.makes_own_halves == "on",
        }),
        SiteCommand::Edit(edit) => Request::SiteEdit(SiteToEdit {
            password: edit.password_file.as_deref().map(input::read_password).transpose()?,
            site: edit.site,
            name: edit.name,
            code: edit.code,
            makes_own_halves: edit.makes_own_halves.map(|word| word == "on"),
        }),
        SiteCommand::ResetHardware { site } => Request::SiteResetHardware { site },
        SiteCommand::Verify { site } => Request::SiteVerify { site },
        SiteCommand::List { deleted } => Request::SiteList { is_with_deleted: deleted },
        SiteCommand::Show { site } => Request::SiteShow { site },
        SiteCommand::Check { site } => Request::SiteCheck { site },
        SiteCommand::Disable { site } => Request::SiteDisable { site },
        SiteCommand::Enable { site } => Request::SiteEnable { site },
        SiteCommand::Pause { site, minutes } => Request::SitePause { site, minutes },
        SiteCommand::Unpause { site } => Request::SiteUnpause { site },
        SiteCommand::Resume { site, device } => Request::SiteResume { site, device },
        SiteCommand::Delete { site, dry_run } => Request::SiteDelete { site, is_dry_run: dry_run },
    })
}

/// All sites, one a line.
pub(super) fn list(value: &Value) -> String {
    let keys = [
        "id",
        "name",
        "code",
        "type",
        "sync",
        "bound",
        "binding",
        "device",
        "retired_keys",
        "credential_generation",
        "last_contact",
    ];
    let head = [
        "ID",
        "NAME",
        "CODE",
        "TYPE",
        "SYNC",
        "BOUND",
        "BINDING",
        "DEVICE",
        "RETIRED KEYS",
        "GENERATION",
        "LAST CONTACT",
        "STORES",
    ];
    table(
        &head,
        items(value, "sites").iter().map(|site| {
            let stores = items(site, "stores").iter().map(plain).collect::<Vec<_>>().join(" ");
            let mut row = columns(site, &keys);
            row.push(stores);
            row
        }),
    )
}

/// One site, and where its device says something else than was meant.
pub(super) fn site(value: &Value) -> String {
    let (meant, reported) = (plain(&value["intended_type"]), plain(&value["reported_type"]));
    let differs = value["reported_type"].is_string() && meant != reported;
    let note = if differs {
        format!("it was meant to be {meant}, and its device says that it is {reported}\n")
    } else {
        String::new()
    };
    format!("{}{note}", facts(value))
}

/// A site whose name, password or code was changed.
pub(super) fn edited(value: &Value) -> String {
    let what = match (&value["credentials_changed"], &value["credentials_restored"]) {
        (_, Value::Bool(true)) => "name and password are those of before: devices that proved them go on",
        (Value::Bool(true), _) => "name and password are new",
        _ => "name and password are as they were",
    };
    format!("site {}: {what} (generation {})\n{}", value["id"], value["credential_generation"], warning(value))
}

/// A site that was freed of its device.
pub(super) fn reset(value: &Value) -> String {
    match value["device"].as_str() {
        Some(device) => format!(
            "site {} is free: device {device} speaks for it no more, and the next device that enrols takes its place\n",
            value["id"]
        ),
        None => format!("site {} has no device; nothing was done\n", value["id"]),
    }
}

/// A site that had stopped.
pub(super) fn resumed(value: &Value) -> String {
    format!(
        "site {} goes on with the device that {}; it was stopped at {}: {}\n",
        value["site"],
        match value["device"].as_str() {
            Some("answered_last") => "was answered last",
            Some(_) => "came with a dead token",
            None => "comes next",
        },
        plain(&value["stopped"]),
        plain(&value["reason"])
    )
}

/// A site that does not sync until it is enabled.
pub(super) fn disabled(value: &Value) -> String {
    let site = named(value);
    if value["is_new"] != true {
        return format!("{site} is disabled already; nothing was done\n");
    }
    format!("{site} does not sync until `site enable {}`; it goes on recording\n", value["id"])
}

/// A site that was disabled.
pub(super) fn enabled(value: &Value) -> String {
    let site = named(value);
    match (value["is_new"] == true, value["sync"].as_str()) {
        (true, Some("stopped")) => {
            format!("{site} is enabled, and stopped because two devices spoke for it: `site show {}`\n", value["id"])
        }
        (true, _) => format!("{site} syncs again when its device comes next\n"),
        (false, Some("paused")) => {
            format!("{site} is paused, not disabled; `site unpause {}` ends that\n", value["id"])
        }
        (false, _) => format!("{site} is not disabled; nothing was done\n"),
    }
}

/// A site that does not sync for a while.
pub(super) fn paused(value: &Value) -> String {
    format!("{} does not sync until {}; it goes on recording\n", named(value), plain(&value["paused_until"]))
}

/// A site that was paused.
pub(super) fn unpaused(value: &Value) -> String {
    let site = named(value);
    match (value["is_new"] == true, value["sync"].as_str()) {
        (true, _) => {
            format!("{site} syncs again when its device comes next, within a quarter of an hour if it runs by itself\n")
        }
        (false, Some("disabled")) => {
            format!("{site} is disabled, not paused; `site enable {}` ends that\n", value["id"])
        }
        (false, _) => format!("{site} is not paused; nothing was done\n"),
    }
}

/// A site that is no more.
pub(super) fn deleted(value: &Value) -> String {
    format!("{} is deleted: its id is never given again, its name is free\n{}", named(value), left(value))
}

/// The same of one that was only asked about.
pub(super) fn would_be_deleted(value: &Value) -> String {
    format!(
        "nothing was done; {} would be deleted: its id is never given again, its name is free\n{}",
        named(value),
        left(value)
    )
}

fn left(value: &Value) -> String {
    let mut lines = Vec::new();
    let amount = |key: &str| value[key].as_u64().unwrap_or_default();
    if amount("judged_groups") > 0 {
        let groups = count(amount("judged_groups"), "group of edits", "groups of edits");
        lines.push(format!("{groups} had come and had no verdict yet: judged before it went\n"));
    }
    if amount("refused_waiting") > 0 {
        let entries =
            count(amount("refused_waiting"), "edit that waited for its header", "edits that waited for their headers");
        lines.push(format!("refused {entries}\n"));
    }
    if amount("set_aside") > 0 {
        let entries = count(amount("set_aside"), "refused edit is", "refused edits are");
        lines.push(format!("{entries} kept: `set-aside list {}`\n", value["id"]));
    }
    if amount("unsent_entries") > 0 {
        let entries = count(amount("unsent_entries"), "edit", "edits");
        lines.push(format!(
            "its device had {entries} that never came, and keeps them: `outpost salvage` there writes them to a file\n"
        ));
    }
    lines.concat()
}

/// Whether a site's device would be taken, and what waits each way.
pub(super) fn checked(value: &Value) -> String {
    let site = named(value);
    let obstacles = items(value, "obstacles");
    let head = if obstacles.is_empty() {
        format!("{site}: its device would be taken\n")
    } else {
        format!("{site}: its device would be refused\n")
    };
    let finding = |mark: &str, finding: &Value| {
        let advice = plain(&finding["advice"]);
        let advice = if advice == "-" { String::new() } else { format!(". {advice}") };
        format!("{mark} {} [{}]{advice}\n", plain(&finding["text"]), plain(&finding["code"]))
    };
    let mut lines = vec![head];
    lines.extend(obstacles.iter().map(|obstacle| finding("FAILED ", obstacle)));
    lines.extend(items(value, "notes").iter().map(|note| finding("note   ", note)));
    for (name, key) in [
        ("last contact", "last_contact"),
        ("from address", "last_address"),
        ("in step", "last_in_step"),
        ("device", "device"),
        ("edits not received", "unsent_entries"),
        ("edits not judged", "unjudged_entries"),
        ("rows that wait for it", "rows_waiting"),
        ("control rows for it", "control_rows_waiting"),
        ("edits set aside", "set_aside"),
    ] {
        lines.push(format!("{name:<22} {}\n", plain(&value[key])));
    }
    lines.concat()
}

/// Sites that central's people keep from syncing, as lines of the status; nothing where there are none.
pub(super) fn held_up_in_status(value: &Value) -> Vec<String> {
    let sites = items(value, "sites").iter();
    sites
        .filter_map(|site| {
            let (id, name) = (&site["id"], plain(&site["name"]));
            match (site["disabled"].as_str(), site["paused_until"].as_str()) {
                (Some(since), _) => {
                    Some(format!("DISABLED since {since}: site {id} {name} does not sync; `site enable {id}`\n"))
                }
                (None, Some(until)) => Some(format!("PAUSED until {until}: site {id} {name}; `site unpause {id}`\n")),
                (None, None) => None,
            }
        })
        .collect()
}

/// Sites of which much is set aside, or of which some went for want of room, as lines of the status.
pub(super) fn set_aside_in_status(value: &Value) -> Vec<String> {
    let line = |site: &Value| {
        let (id, name) = (&site["id"], plain(&site["name"]));
        let nearly_full = (site["set_aside_is_nearly_full"] == true).then(|| {
            format!(
                "SET ASIDE of site {id} {name} is nearly full: {} bytes of {}; `set-aside list {id}`\n",
                site["set_aside_bytes"], site["set_aside_bytes_max"]
            )
        });
        let dropped = site["set_aside_dropped"].as_u64().filter(|dropped| *dropped > 0).map(|dropped| {
            format!(
                "DROPPED {} of site {id} {name} for want of room, the last at {}; `audit --site {id}`\n",
                count(dropped, "old refused edit", "old refused edits"),
                plain(&site["set_aside_dropped_last"])
            )
        });
        [nearly_full, dropped].into_iter().flatten().collect::<Vec<_>>()
    };
    items(value, "sites").iter().flat_map(line).collect()
}

/// A site that is to compare, and what central itself cannot read.
pub(super) fn asked_to_verify(value: &Value) -> String {
    let asked = format!("site {} is asked to verify what it has with its next sync\n", value["id"]);
    let Some(unreadable) = value["unreadable_count"].as_u64().filter(|count| *count > 0) else { return asked };
    let named = items(value, "unreadable");
    let line = |record: &Value| {
        let store =
            if record["store"].is_null() { String::new() } else { format!(" of store {}", plain(&record["store"])) };
        let (table, id, fault) = (plain(&record["table"]), plain(&record["id"]), plain(&record["fault"]));
        format!("UNREADABLE {table} {id}{store}: {fault}. To mend it: {}\n", plain(&record["mend"]))
    };
    let lines: String = named.iter().map(line).collect();
    let more = match unreadable - named.len() as u64 {
        0 => String::new(),
        more => format!("and {more} more\n"),
    };
    format!("{asked}central cannot read {} itself:\n{lines}{more}", count(unreadable, "record", "records"))
}

fn named(value: &Value) -> String {
    format!("site {} {}", value["id"], plain(&value["name"]))
}
