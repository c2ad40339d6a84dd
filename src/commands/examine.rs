//! `verify` and `salvage`: look at the data folder of this device without opening it.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::Screen;
use super::wording::{self, count, number};
use crate::config::Config;
use crate::error::AgentError;
use crate::examine;
use crate::exit::Exit;

pub(super) fn verify(config: &Config, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    let report = examine::verify(&config.data_folder, &Arc::new(config.catalogue()?))?;
    screen.result(&report, verify_text);
    Ok(if report["outcome"] == "whole" { Exit::Ok } else { Exit::Disk })
}

pub(super) fn salvage(config: &Config, out: &Path, screen: &mut Screen<'_>) -> Result<Exit, AgentError> {
    let summary = examine::salvage(&config.data_folder, out, &Arc::new(config.catalogue()?))?;
    screen.result(&summary, salvage_text);
    Ok(if summary["lost"] == 0 { Exit::Ok } else { Exit::Disk })
}

fn verify_text(report: &Value) -> String {
    let list = |name: &str| report[name].as_array().map_or(&[][..], Vec::as_slice).iter();
    let mut lines = Vec::new();
    for journal in list("journals") {
        lines.push(format!(
            "{}: {}, kept from {} to {}",
            wording::text(&journal["part"]),
            count(journal["entries"].as_u64().unwrap_or_default(), "acknowledged entry").replace("entrys", "entries"),
            number(journal["floor"].as_u64().unwrap_or_default() + 1),
            journal["durable"].as_u64().map_or_else(|| "an end that is not known".to_owned(), number),
        ));
    }
    if let Some(records) = report["local_copy"]["records"].as_u64() {
        lines.push(format!("local copy: {}", count(records, "record")));
    }
    lines.extend(list("notes").map(|note| format!("note: {}", wording::text(note))));
    for finding in list("findings") {
        let [part, message, code] = ["part", "message", "code"].map(|name| wording::text(&finding[name]));
        lines.push(format!("DAMAGED: {part}: {message} [{code}]"));
    }
    lines.push(match list("findings").len() {
        0 => "everything is whole".to_owned(),
        findings => format!(
            "{}; `outpost salvage` writes out what can be read. Nothing was changed.",
            count(findings as u64, "finding")
        ),
    });
    lines.join("\n") + "\n"
}

fn salvage_text(summary: &Value) -> String {
    let amount = |name: &str| summary[name].as_u64().unwrap_or_default();
    let entries = |amount: u64| count(amount, "entry").replace("entrys", "entries");
    let mut text = format!(
        "wrote {}, {} and {} to {}\n",
        entries(amount("entries")),
        count(amount("records"), "record"),
        count(amount("set_aside"), "refused edit"),
        wording::text(&summary["out"])
    );
    if amount("entries_raw") > 0 {
        let raw = entries(amount("entries_raw"));
        let _infallible = writeln!(text, "not readable as edits, and written as bytes: {raw}");
    }
    if amount("lost") > 0 {
        let lost = entries(amount("entries_lost"));
        let _infallible = writeln!(text, "lost: {lost}; lost.ndjson names everything that cannot be read");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_damaged_is_told_with_what_to_do() {
        let report = json!({
            "outcome": "damaged",
            "journals": [{ "part": "journal", "entries": 1, "floor": 0, "durable": 1200 }],
            "local_copy": { "records": 2000 },
            "notes": ["a note"],
            "findings": [{ "part": "journal", "code": "entries_lost", "message": "entries 2 to 1200 cannot be read" }],
        });

        assert_eq!(
            verify_text(&report),
            "journal: 1 acknowledged entry, kept from 1 to 1,200\n\
             local copy: 2,000 records\n\
             note: a note\n\
             DAMAGED: journal: entries 2 to 1200 cannot be read [entries_lost]\n\
             1 finding; `outpost salvage` writes out what can be read. Nothing was changed.\n"
        );
        assert!(verify_text(&json!({ "findings": [] })).ends_with("everything is whole\n"));
    }

    #[test]
    fn a_salvage_says_what_it_wrote_and_what_is_lost() {
        let summary = json!({ "entries": 2, "records": 1, "set_aside": 0, "entries_raw": 1, "lost": 1, "entries_lost": 3,
            "out": "saved" });

        assert_eq!(
            salvage_text(&summary),
            "wrote 2 entries, 1 record and 0 refused edits to saved\n\
             not readable as edits, and written as bytes: 1 entry\n\
             lost: 3 entries; lost.ndjson names everything that cannot be read\n"
        );
    }
}
