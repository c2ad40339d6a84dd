//! Journaling anew what a recovery exported. An edit of the export is older than one that was recorded since: where both are of one
//! record, the older one is set aside instead, with its whole group and all later ones of the same records.

use std::collections::HashSet;
use std::ops::ControlFlow;

use domain::edit::Edit;
use protocol::chain::hash_of;
use protocol::ids::{JournalId, RequestId, Sequence};
use serde_json::{Value, json};

use super::Progress;
use super::record::REFUSED_LISTED_MAX;
use crate::agent::{Agent, RecoveredGroup, RecoveredReader, RecoveryNote};
use crate::clock;
use crate::error::AgentError;
use crate::journal::Storage;
use crate::local_copy::limits::SET_ASIDE_MAX;
use crate::local_copy::{is_recovered_request_id, recovered_name, recovered_request_id};
use crate::recorder::{Core, Group, RecordError};

/// Records with edits since the recovery began that are told apart: 8 bytes of memory each. With more, every group of the export
/// counts as older than an edit of its records.
const NEWER_RECORDS_MAX: usize = 100_000;

/// Edits between two reports of progress.
const PROGRESS_EDITS: u64 = 1000;

/// Code of an edit that cannot be set aside, and stays in the file alone.
const OVERTAKEN: &str = "overtaken";
const NO_ROOM: &str = "the record was edited again since, and this older edit cannot be set aside";

/// Journals the groups of the export, each under the recorder's own checks. Those that are refused are named by their line and
/// stay in the file. Harmless when repeated.
///
/// # Errors
/// `recovered_file_changed`; those of the disk and of recording. The same call goes on.
pub(super) fn journal_anew(
    agent: &Agent,
    note: &RecoveryNote,
    events: &mut dyn FnMut(Progress),
) -> Result<Value, AgentError> {
    let name = recovered_name(note.journal_before, note.journal);
    let mut newer = NewerRecords::of(&mut agent.recorder()?.core(), name)?;
    let mut reader = RecoveredReader::open(&agent.recovered_path(note))?;
    let (mut tally, mut done) = (Tally::default(), 0);
    while let Some(group) = reader.next_group()? {
        let edits = group.edits.len() as u64;
        let request_id = recovered_request_id(name, group.first_line, &group.edits);
        let is_done = agent.recorder()?.core().local.request(request_id)?.is_some();
        if !is_done && newer.holds_any(&group.edits) {
            newer.add_all(&group.edits);
            if set_group_aside(agent, name, &group)? {
                tally.set_aside += edits;
            } else {
                tally.refuse(edits, group.first_line, OVERTAKEN, NO_ROOM);
            }
        } else {
            record_group(agent, group, request_id, &mut tally)?;
        }
        done += edits;
        if done / PROGRESS_EDITS > (done - edits) / PROGRESS_EDITS {
            events(Progress::Recording { lines: done, lines_total: note.exported });
        }
    }
    Ok(tally.to_json())
}

/// Sets aside what of the export was not journaled anew; how many edits, and whether nothing is left in the file alone.
///
/// # Errors
/// `recovered_file_changed`; those of the disk. The same call goes on.
pub(super) fn set_export_aside(agent: &Agent, note: &RecoveryNote) -> Result<(u64, bool), AgentError> {
    let name = recovered_name(note.journal_before, note.journal);
    let mut reader = RecoveredReader::open(&agent.recovered_path(note))?;
    let (mut set_aside, mut is_all) = (0, true);
    while let Some(group) = reader.next_group()? {
        let request_id = recovered_request_id(name, group.first_line, &group.edits);
        if agent.recorder()?.core().local.request(request_id)?.is_some() {
            continue;
        }
        if set_group_aside(agent, name, &group)? {
            set_aside += group.edits.len() as u64;
        } else {
            is_all = false;
        }
    }
    Ok((set_aside, is_all))
}

fn record_group(
    agent: &Agent,
    group: RecoveredGroup,
    request_id: RequestId,
    tally: &mut Tally,
) -> Result<(), AgentError> {
    let RecoveredGroup { first_line, edits } = group;
    let count = edits.len() as u64;
    let group = Group { edits, request_id: Some(request_id), recorded_at_ms: clock::wall_now().0 };
    match agent.recorder()?.record(group) {
        Ok(answer) if answer.was_recorded => tally.already += count,
        Ok(answer) => {
            tally.recorded += answer.edits;
            tally.unchanged += answer.unchanged;
        }
        Err(RecordError::Refused(refusal)) => {
            tally.refuse(count, first_line + refusal.index as u64, &refusal.code, &refusal.message);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Whether there was room for the whole group; one place is left, so that recording goes on.
fn set_group_aside(agent: &Agent, name: JournalId, group: &RecoveredGroup) -> Result<bool, AgentError> {
    let local = &mut agent.recorder()?.core().local;
    if local.set_aside_count()? + group.edits.len() as u64 >= SET_ASIDE_MAX {
        log::warn!("there is no room to set recovered edits aside: they are in the file alone limit={SET_ASIDE_MAX}");
        return Ok(false);
    }
    Ok(local.set_aside_exported(name, group.first_line, &group.edits)?)
}

/// The records that have an edit which is newer than the export.
struct NewerRecords {
    /// The first bytes of their hashes; two records that share them are both taken for newer.
    hashes: HashSet<u64>,
    is_every_record: bool,
}

impl NewerRecords {
    /// Those of the journal in use but for what the recovery of this name journaled itself. A journal that has let go of entries does
    /// not know any more.
    fn of<S: Storage>(core: &mut Core<S>, name: JournalId) -> Result<Self, AgentError> {
        let mut newer = Self { hashes: HashSet::new(), is_every_record: core.shared.floor() > Sequence::ZERO };
        let mut problem = None;
        core.shared.read(core.shared.floor(), &mut |stored| {
            if stored.note.request_id.is_some_and(|id| is_recovered_request_id(name, id)) {
                return ControlFlow::Continue(());
            }
            match core.local.recovered_edit(&stored.entry) {
                Ok(edit) => newer.add_all(&[edit]),
                Err(error) => problem = Some(error),
            }
            if problem.is_some() || newer.is_every_record { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        problem.map_or(Ok(newer), |error| Err(error.into()))
    }

    fn holds_any(&self, edits: &[Edit]) -> bool {
        self.is_every_record || edits.iter().any(|edit| self.hashes.contains(&hash_of_record(edit)))
    }

    fn add_all(&mut self, edits: &[Edit]) {
        self.hashes.extend(edits.iter().map(hash_of_record));
        if self.hashes.len() > NEWER_RECORDS_MAX {
            self.is_every_record = true;
            self.hashes = HashSet::new();
        }
    }
}

fn hash_of_record(edit: &Edit) -> u64 {
    let [first, second, third, fourth, fifth, sixth, seventh, eighth, ..] =
        hash_of(format!("{}\0{}", edit.table, edit.id.as_str()).as_bytes()).0;
    u64::from_le_bytes([first, second, third, fourth, fifth, sixth, seventh, eighth])
}

/// What became of the edits.
#[derive(Default)]
struct Tally {
    recorded: u64,
    unchanged: u64,
    already: u64,
    set_aside: u64,
    refused_count: u64,
    refused: Vec<Value>,
}

impl Tally {
    fn refuse(&mut self, edits: u64, line: u64, code: &str, message: &str) {
        self.refused_count += edits;
        if self.refused.len() < REFUSED_LISTED_MAX {
            self.refused.push(json!({ "line": line, "code": code, "message": message }));
        }
    }

    fn to_json(&self) -> Value {
        json!({ "recorded": self.recorded, "unchanged": self.unchanged, "already": self.already,
            "set_aside": self.set_aside, "refused_count": self.refused_count, "refused": self.refused })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::edit::EditOp;
    use protocol::ids::RecordId;

    fn edit(table: &str, id: &str) -> Edit {
        Edit { table: table.to_owned(), op: EditOp::Delete, id: RecordId::new(id).unwrap(), data: None }
    }

    #[test]
    fn with_more_newer_records_than_can_be_told_apart_each_record_counts_as_newer() {
        let mut newer = NewerRecords { hashes: HashSet::new(), is_every_record: false };
        for number in 0..NEWER_RECORDS_MAX {
            newer.add_all(&[edit("item", &number.to_string())]);
        }
        assert!(newer.holds_any(&[edit("unit", "0"), edit("item", "17")]));
        assert!(!newer.holds_any(&[edit("unit", "17"), edit("item", "other")]));

        newer.add_all(&[edit("item", "one more")]);

        assert!(newer.holds_any(&[edit("unit", "17")]));
    }
}
