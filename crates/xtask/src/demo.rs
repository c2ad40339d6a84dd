//! `cargo xtask demo`: the main job in front of the reader, with real programs in real processes. Ends with 0 only if every
//! count is right.

mod play;
mod supply;

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use crate::demo::play::{Central, Site, item_line, items, offline_work};
use crate::link::{Link, Mood};
use crate::workspace;

/// Runs the demo. `--keep` leaves everything running and prints commands to try; `--story supply` is another story.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (keeps, supplies) = match arguments[..] {
        [] => (false, false),
        ["--keep"] => (true, false),
        ["--story", "supply"] => (false, true),
        ["--story", other] => bail!("there is no story `{other}`: give --story supply, or nothing for the main job"),
        _ => bail!("the demo knows two options: --keep, or --story supply"),
    };
    let programs = workspace::build_programs()?;
    let folder = tempfile::Builder::new().prefix("outpost-demo-").disable_cleanup(keeps).tempdir()?;
    if supplies {
        return supply::play(&programs, folder.path());
    }
    let root = PathBuf::from(folder.path());

    say("1. A central server on SQLite, with 300 items and three stores.");
    let data = items(300);
    let mut central = Central::make(&programs, &root.join("central"), &data)?;
    tell(&format!("{} records were imported", data.records));

    say("2. Two sites. Each enrols with its name and password, and central's data comes down.");
    central.add_site("north", &data.stores[0])?;
    central.add_site("south", &data.stores[1])?;
    central.start()?;
    let link = Link::to(central.address()?, Mood::Good);
    let north = Site::make(&programs, &root.join("north"), "north", &link.url(), &central)?;
    let south = Site::make(&programs, &root.join("south"), "south", &central.url()?, &central)?;
    for site in [&north, &south] {
        for table in ["item", "name"] {
            same(&format!("{table} records at {}", site.name), central.count(table)?, site.count(table)?)?;
        }
        same(&format!("store at {}: its own, since it sees no other", site.name), 1, site.count("store")?)?;
    }

    say("3. The connection of north is gone. Work goes on: stock, invoices with their lines, a requisition.");
    link.set(Mood::Down);
    let work = offline_work(&data);
    let recorded = north.record(&work.lines)?;
    same("edits on north's disk", work.edits, recorded)?;
    let failure = north.try_sync()?;
    ensure!(failure["outcome"] == "failed", "a sync without a connection cannot go through: {failure}");
    tell(&format!("sync says: {}", failure["failure"]["message"].as_str().unwrap_or("?")));
    same("edits that wait in north's queue", work.edits, number(&north.status()?, &["pending", "edits"]))?;

    say("4. The connection appears, and breaks in the middle of the push.");
    link.set(Mood::CutAfter(30_000));
    let cut = north.try_sync()?;
    ensure!(cut["outcome"] == "failed", "the connection should have broken: {cut}");
    let arrived = number(&cut, &["sent"]);
    ensure!(arrived > 0 && arrived < work.edits, "it should have broken in the middle, not after {arrived} edits");
    tell(&format!("{arrived} of {} edits had arrived when it broke", work.edits));

    say("5. It is back: the push goes on from there, then the pull.");
    link.set(Mood::Good);
    let rest = north.settle()?;
    tell(&format!("{} more edits in {} requests", number(&rest, &["sent"]), number(&rest, &["requests"])));
    same("edits that wait in north's queue", 0, number(&north.status()?, &["pending", "edits"]))?;
    for table in ["item_line", "transact", "trans_line", "requisition", "requisition_line"] {
        same(&format!("{table} records at central"), north.count(table)?, central.count(table)?)?;
    }
    ensure!(central.records("item_line")? == north.records("item_line")?, "central and north differ in item_line");
    tell("central shows the same records as north");

    say("6. Central adds an item. Both sites get it.");
    central.import(&item_line("DEMO-ITEM", "Artemether + lumefantrine 20/120 mg"))?;
    for site in [&north, &south] {
        site.sync()?;
        let name = site.get("item", "DEMO-ITEM")?["data"]["item_name"].clone();
        ensure!(name == "Artemether + lumefantrine 20/120 mg", "{} has {name}", site.name);
        tell(&format!("{} has it", site.name));
    }
    same("stock lines of north that south sees", 0, south.count("item_line")?)?;

    say("7. Nothing to do: a quiet sync.");
    let quiet = north.sync()?;
    same("requests", 1, number(&quiet, &["requests"]))?;
    let (out, back) = (number(&quiet, &["bytes_out"]), number(&quiet, &["bytes_in"]));
    tell(&format!("{out} bytes to central, {back} bytes back, without HTTP's own"));

    say("Every count is right.");
    if keeps {
        play::hand_over(&programs, &root, central, link, &[north, south])?;
    }
    Ok(())
}

fn say(text: &str) {
    println!("\n{text}");
}

fn tell(text: &str) {
    println!("   {text}");
}

/// Prints a count, and fails if it is not what it should be.
fn same(what: &str, expected: u64, found: u64) -> Result<()> {
    tell(&format!("{found} {what}"));
    ensure!(expected == found, "{what}: {found}, and it should be {expected}");
    Ok(())
}

fn number(value: &Value, path: &[&str]) -> u64 {
    path.iter().fold(value, |value, key| &value[*key]).as_u64().unwrap_or(u64::MAX)
}
