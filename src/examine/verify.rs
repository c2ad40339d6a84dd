//! `verify`: reads everything and says what is not as it should be.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use domain::catalogue::Catalogue;
use protocol::entry::Entry;
use protocol::ids::{JournalId, Sequence};
use serde_json::{Value, json};

use super::{JournalPlace, Scratch, check_is_data_folder, journals, local_copies, site_of};
use crate::data_folder::{DataFolder, Layout, needed_alone};
use crate::device::Device;
use crate::error::AgentError;
use crate::journal::{Found, Inspection, inspect};
use crate::local_copy::{Kind, LocalCopy};

/// Lines in each list of an answer; the rest is counted in the last one.
const LISTED_MAX: usize = 100;

/// What is wrong, and what is only worth knowing.
#[derive(Default)]
struct Report {
    findings: Vec<Value>,
    notes: Vec<String>,
}

impl Report {
    fn find(&mut self, part: &str, code: &str, message: impl Into<String>) {
        self.findings.push(json!({ "part": part, "code": code, "message": message.into() }));
    }
}

/// What the local copy says of a journal.
struct Seen {
    journal: Option<JournalId>,
    applied: Sequence,
    received: Sequence,
    hash: Option<protocol::ids::Hash>,
    /// CRC-32 of the entries that are pending, by sequence.
    pending: BTreeMap<Sequence, u32>,
}

/// Checks a data folder, which nobody else may be using: journals, local copy, identity, and that they belong together. The
/// answer's `outcome` is `whole` or `damaged`.
///
/// # Errors
/// `folder_in_use`, `no_data_folder`, or what the disk says.
pub fn verify(root: &Path, catalogue: &Arc<Catalogue>) -> Result<Value, AgentError> {
    let layout = Layout::of(root);
    check_is_data_folder(&layout)?;
    let _hold = DataFolder::hold(root).map_err(needed_alone)?;
    let mut report = Report::default();
    let device = check_identity(&layout, &mut report);
    let site = match device.as_ref().and_then(|device| device.identity().enrolment.as_ref()) {
        Some(enrolment) => enrolment.site,
        None => site_of(&layout)?,
    };
    let scratch = Scratch::make(&std::env::temp_dir())?;
    let mut local = match layout.local_copy() {
        path if path.exists() => match scratch.open_copy(&path, site, catalogue) {
            Ok(local) => Some(local),
            Err(error) if error.code == "scratch_failed" => return Err(error),
            Err(error) => {
                report.find("local copy", &error.code, error.message);
                None
            }
        },
        _ => None,
    };
    let local_copy = check_local_copy(local.as_mut(), device.as_ref(), &mut report);
    let mut described = Vec::new();
    for mut place in journals(&layout) {
        if place.is_set_aside {
            report.notes.push(format!("{} was set aside earlier; `outpost salvage` reads it", place.name));
            continue;
        }
        let kind = if place.is_private { Kind::Private } else { Kind::Shared };
        let seen = local.as_mut().map(|local| seen(local, kind)).transpose()?;
        described.extend(check_journal(&mut place, kind, seen.as_ref(), device.as_ref(), &mut report)?);
    }
    for aside in local_copies(&layout).iter().filter(|path| **path != layout.local_copy()) {
        report.notes.push(format!("{} was set aside earlier; `outpost salvage` reads it", aside.display()));
    }
    if layout.suspicion().exists() {
        report.notes.push("the running agent noted damage; the next start looks for it and mends it".to_owned());
    }
    report.findings.truncate(LISTED_MAX);
    Ok(json!({
        "outcome": if report.findings.is_empty() { "whole" } else { "damaged" },
        "data_folder": root.display().to_string(),
        "site": site.0,
        "journals": described,
        "local_copy": local_copy,
        "findings": report.findings,
        "notes": report.notes,
    }))
}

fn check_identity(layout: &Layout, report: &mut Report) -> Option<Device> {
    match Device::open(&layout.identity()) {
        Ok(Some(device)) => Some(device),
        Ok(None) => {
            report.find("identity", "identity_missing", "the files of the device's identity are not there");
            None
        }
        Err(error) => {
            let error = AgentError::from(error);
            report.find("identity", &error.code, error.message);
            None
        }
    }
}

fn check_local_copy(local: Option<&mut LocalCopy>, device: Option<&Device>, report: &mut Report) -> Value {
    let Some(local) = local else {
        if report.findings.iter().all(|finding| finding["part"] != "local copy") {
            report.notes.push("there is no local copy; the agent builds it anew".to_owned());
        }
        return Value::Null;
    };
    let records = match local.check_whole() {
        Ok(records) => Some(records),
        Err(error) => {
            let error = AgentError::from(error);
            report.find("local copy", &error.code, error.message);
            None
        }
    };
    let (known, reached) = (device.map(Device::control), local.session_state().map(|state| state.control));
    // One that knows of no journal was made in the place of a lost one.
    if let (Some(known), Ok(reached), Ok(Some(_))) = (known, reached, local.journal())
        && reached < known
    {
        let message =
            format!("it knows central's messages up to {}, and those up to {} were in it before", reached.0, known.0);
        report.find("local copy", "local_copy_set_back", message);
    }
    json!({
        "records": records,
        "applied_shared": local.applied_through(Kind::Shared).0,
        "applied_private": local.applied_through(Kind::Private).0,
    })
}

fn seen(local: &mut LocalCopy, kind: Kind) -> Result<Seen, AgentError> {
    let is_shared = kind == Kind::Shared;
    let mut pending = BTreeMap::new();
    if is_shared {
        for (sequence, entry) in local.pending_entries(Sequence(1), Sequence(u64::MAX)).unwrap_or_default() {
            pending.insert(sequence, crc32fast::hash(&entry));
        }
    }
    Ok(Seen {
        journal: if is_shared { local.journal()? } else { local.private_journal()? },
        applied: local.applied_through(kind),
        received: if is_shared { local.session_state()?.received } else { Sequence::ZERO },
        hash: local.applied_hash(kind)?,
        pending,
    })
}

fn check_journal(
    place: &mut JournalPlace,
    kind: Kind,
    seen: Option<&Seen>,
    device: Option<&Device>,
    report: &mut Report,
) -> Result<Option<Value>, AgentError> {
    let part = if kind == Kind::Shared { "journal" } else { "private journal" };
    let (mut unreadable, mut differs, mut at_applied) = (Vec::new(), Vec::new(), None);
    let inspection = inspect(&mut place.storage, &place.place, &mut |found| {
        let Found::Entry { stored, .. } = found else { return };
        if Entry::decode(&stored.entry).is_err() {
            unreadable.push(stored.sequence);
        }
        let Some(seen) = seen else { return };
        if seen.pending.get(&stored.sequence).is_some_and(|crc| *crc != crc32fast::hash(&stored.entry)) {
            differs.push(stored.sequence);
        }
        if stored.sequence == seen.applied {
            at_applied = Some(stored.hash);
        }
    })?;
    let Some(inspection) = inspection else {
        let was_made = device.is_some_and(|device| device.identity().has_journals)
            || seen.is_some_and(|seen| seen.applied > Sequence::ZERO);
        if was_made {
            report.find(part, "journal_missing", "it was made, and it is gone");
        }
        return Ok(None);
    };
    check_inspection(part, &inspection, report);
    for sequence in unreadable.iter().take(LISTED_MAX) {
        report.find(part, "entry_unreadable", format!("entry {sequence} is whole, and this program cannot read it"));
    }
    let is_same = seen.is_none_or(|seen| seen.journal == inspection.identity.map(|identity| identity.journal));
    if let (Some(seen), Some(promise), true) = (seen, inspection.promise, is_same) {
        let known = seen.applied.max(seen.received);
        if known > promise.durable.sequence {
            let message =
                format!("it ends at {}, and entries up to {known} were in it before", promise.durable.sequence);
            report.find(part, "journal_set_back", message);
        }
        if seen.applied < promise.floor {
            let message =
                format!("it has applied entry {}, and those up to {} are not kept", seen.applied, promise.floor);
            report.find("local copy", "local_copy_set_back", message);
        }
        if seen.hash.is_some() && at_applied.is_some() && seen.hash != at_applied {
            let message = format!("entry {} is not the one that the local copy has applied", seen.applied);
            report.find(part, "journal_forked", message);
        }
        for sequence in differs.iter().take(LISTED_MAX) {
            report.find(part, "entry_differs", format!("entry {sequence} is not the one that the local copy holds"));
        }
    }
    check_names(part, kind, &inspection, device, report);
    Ok(Some(describe(part, &inspection)))
}

fn check_inspection(part: &str, inspection: &Inspection, report: &mut Report) {
    if inspection.promise.is_none() {
        report.find(
            part,
            "journal_mark_unreadable",
            "its mark is missing or cannot be read; what it promised is not known",
        );
    }
    for run in &inspection.lost {
        report.find(part, "entries_lost", format!("entries {} to {} cannot be read", run.first, run.last));
    }
    for sequence in inspection.unlinked.iter().take(LISTED_MAX) {
        report.find(part, "chain_broken", format!("the chain is broken at entry {sequence}"));
    }
    for number in &inspection.foreign {
        report.find(part, "segment_foreign", format!("segment {number} belongs to another journal"));
    }
    if inspection.is_mark_torn {
        report
            .notes
            .push(format!("{part}: one of the two slots of its mark cannot be read; the agent writes it again"));
    }
    if inspection.unacknowledged > 0 {
        report.notes.push(format!(
            "{part}: nobody was told of {} of its entries; the agent keeps those of whole groups",
            inspection.unacknowledged
        ));
    }
}

fn check_names(part: &str, kind: Kind, inspection: &Inspection, device: Option<&Device>, report: &mut Report) {
    let (Some(identity), Some(device)) = (inspection.identity, device) else { return };
    let expected = match kind {
        Kind::Shared => device.identity().journal,
        Kind::Private => device.identity().private_journal,
    };
    let follows = identity.predecessor.map(|predecessor| predecessor.journal);
    if identity.journal != expected && follows != Some(expected) {
        let message = format!("it is {}, and the device writes {expected}", identity.journal);
        report.find(part, "journal_foreign", message);
    }
}

fn describe(part: &str, inspection: &Inspection) -> Value {
    json!({
        "part": part,
        "id": inspection.identity.map(|identity| identity.journal.to_string()),
        "floor": inspection.promise.map(|promise| promise.floor.0),
        "durable": inspection.promise.map(|promise| promise.durable.sequence.0),
        "entries": inspection.entries,
        "unacknowledged": inspection.unacknowledged,
        "segments": inspection.segments,
        "lost": inspection.lost.iter().map(|run| json!({ "first": run.first.0, "last": run.last.0 })).collect::<Vec<_>>(),
    })
}
