//! An application with the agent inside of it: no daemon, no socket. It takes the data folder of a site that is enrolled, follows the
//! feed of changes into a database of its own (here a map), records a count, and syncs.
//!
//! ```console
//! $ cargo run --example library -- /etc/outpost/agent.toml LINE_ID QUANTITY
//! ```
//!
//! While it runs no daemon can have the folder; the verbs of the command line say so (`folder_in_use`).

#![expect(clippy::print_stdout, reason = "a program that prints what it does")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use outpost::config::{Config, Sources};
use outpost::error::AgentError;
use outpost::operations::{
    Changes, Input, LIST_LIMIT_MAX, Performer, Progress, RecordOptions, ReopeningAgent, Request, SyncOptions, no_events,
};
use serde_json::Value;

/// What the application keeps: records by table and id, and how far it has read.
#[derive(Default)]
struct Database {
    records: BTreeMap<(String, String), Value>,
    cursor: Option<String>,
}

impl Database {
    /// Reads on until nothing is left.
    fn catch_up(&mut self, agent: &dyn Performer) -> Result<(), AgentError> {
        loop {
            let asked = Changes { after: self.cursor.clone(), limit: LIST_LIMIT_MAX, wait_s: 0 };
            let page = match agent.perform(Request::Changes(asked), &mut Input::empty(), &mut no_events) {
                Err(error) if error.code.starts_with("cursor_") => {
                    // Of another local copy, or too old: begin anew.
                    *self = Self::default();
                    continue;
                }
                answered => answered?,
            };
            for change in page["changes"].as_array().into_iter().flatten() {
                let text = |name: &str| change[name].as_str().unwrap_or_default().to_owned();
                let key = (text("table"), text("id"));
                if change["operation"] == "put" {
                    self.records.insert(key, change["data"].clone());
                } else {
                    self.records.remove(&key);
                }
            }
            self.cursor = page["cursor"].as_str().map(str::to_owned);
            if page["more"] != true {
                return Ok(());
            }
        }
    }
}

fn run(settings: PathBuf, line_id: &str, quantity: f64) -> Result<(), AgentError> {
    let config = Config::load(&Sources::of_process(Some(settings), None))?;
    let agent = ReopeningAgent::open(config)?;
    let mut database = Database::default();
    database.catch_up(&agent)?;
    println!("{} records are here", database.records.len());

    let edit =
        serde_json::json!({ "table": "item_line", "op": "patch", "id": line_id, "data": { "quantity": quantity } });
    let mut lines = Input::from_bytes(edit.to_string().into_bytes());
    let recorded = agent.perform(Request::Record(RecordOptions::default()), &mut lines, &mut no_events)?;
    println!("recorded: {recorded}");

    let mut show = |progress: Progress| println!("{progress:?}");
    let synced = agent.perform(Request::Sync(SyncOptions::default()), &mut Input::empty(), &mut show)?;
    println!("sync: {}", synced["outcome"]);
    database.catch_up(&agent)?;
    match database.records.get(&("item_line".to_owned(), line_id.to_owned())) {
        Some(line) => println!("now it is {line}"),
        None => println!("it is not here any more"),
    }
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [settings, line_id, quantity] = words.as_slice() else {
        println!("usage: library SETTINGS LINE_ID QUANTITY");
        return ExitCode::from(2);
    };
    match run(PathBuf::from(settings), line_id, quantity.parse().unwrap_or_default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            error.exit.into()
        }
    }
}
