//! The end of a recovery: the records come again from central, and what was exported is journaled anew if that was asked for.

use serde_json::{Value, json};

use super::record::REFUSED_LISTED_MAX;
use super::{Progress, SyncOptions, sync};
use crate::agent::{Agent, RecoveredReader, RecoveryNote, RecoveryPlan, RecoveryStep};
use crate::clock;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::local_copy::{recovered_name, recovered_request_id};
use crate::recorder::{Group, RecordError};

/// Edits between two reports of progress.
const PROGRESS_EDITS: u64 = 1000;

/// What a recovery would do, for people and programs.
///
/// # Errors
/// Those of [`Agent::recovery_plan`].
pub fn recovery_plan(agent: &Agent) -> Result<Value, AgentError> {
    let RecoveryPlan { journal, head, in_common, edits, groups, fits_set_aside, under_way } = agent.recovery_plan()?;
    let failure = agent.recorder()?.core().local.sync_times()?.failure;
    let under_way = under_way.map(|note| {
        let step = match note.step {
            RecoveryStep::Asked => "asked",
            RecoveryStep::Taken => "taken",
            RecoveryStep::Begun => "begun",
        };
        json!({ "step": step, "exported": note.exported, "set_aside": note.set_aside,
            "journal_anew": note.is_journaled_anew })
    });
    Ok(json!({
        "journal": journal.to_string(),
        "head": head.0,
        "in_common": in_common.0,
        "edits": edits,
        "groups": groups,
        "fits_set_aside": fits_set_aside,
        "under_way": under_way,
        "last_failure": failure.map(|(code, message)| json!({ "code": code, "message": message })),
    }))
}

/// Brings a recovery whose new journal is in use to its end: syncs, journals the export anew if that was asked for, and syncs that.
/// If central cannot be reached the recovery stays under way; a refusal ends it, since another one has to follow.
///
/// # Errors
/// Those of syncing and recording; `recovery_missing` if none is under way. The same call goes on.
pub fn end_recovery(agent: &Agent, events: &mut dyn FnMut(Progress)) -> Result<Value, AgentError> {
    let note = agent.recovery()?.filter(|note| note.step == RecoveryStep::Begun).ok_or_else(missing)?;
    let mut result = json!({
        "journal": note.journal.to_string(),
        "exported": note.exported,
        "file": (note.exported > 0).then(|| agent.recovered_path(&note).display().to_string()),
        "set_aside": note.set_aside,
        "journal_anew": note.is_journaled_anew,
        "recorded": null,
    });
    let mut synced = sync::sync(agent, &SyncOptions::default(), events)?;
    if synced["failure"].is_null() && note.is_journaled_anew && note.exported > 0 {
        let recorded = journal_anew(agent, &note, events)?;
        if recorded["recorded"] != 0 {
            synced = sync::sync(agent, &SyncOptions::default(), events)?;
        }
        result["recorded"] = recorded;
    }
    let is_refused = synced["failure"]["exit"] == Exit::Refused.code();
    if synced["failure"].is_null() || is_refused || !result["recorded"].is_null() {
        agent.end_recovery()?;
    }
    result["under_way"] = agent.recovery()?.is_some().into();
    result["sync"] = synced;
    Ok(result)
}

/// Journals the groups of the export, each under the recorder's own checks. Those that are refused are named by their line and
/// stay in the file.
fn journal_anew(agent: &Agent, note: &RecoveryNote, events: &mut dyn FnMut(Progress)) -> Result<Value, AgentError> {
    let name = recovered_name(note.journal_before, note.journal);
    let mut reader = RecoveredReader::open(&agent.recovered_path(note))?;
    let (mut recorded, mut unchanged, mut already, mut done) = (0, 0, 0, 0);
    let (mut refused, mut refused_count) = (Vec::new(), 0_u64);
    while let Some(group) = reader.next_group()? {
        let edits = group.edits.len() as u64;
        let request_id = Some(recovered_request_id(name, group.first_line, &group.edits));
        let recorded_at_ms = clock::wall_now().0;
        match agent.recorder()?.record(Group { edits: group.edits, request_id, recorded_at_ms }) {
            Ok(answer) if answer.was_recorded => already += edits,
            Ok(answer) => {
                recorded += answer.edits;
                unchanged += answer.unchanged;
            }
            Err(RecordError::Refused(refusal)) => {
                refused_count += edits;
                if refused.len() < REFUSED_LISTED_MAX {
                    let line = group.first_line + refusal.index as u64;
                    refused.push(json!({ "line": line, "code": refusal.code, "message": refusal.message }));
                }
            }
            Err(error) => return Err(error.into()),
        }
        done += edits;
        if done / PROGRESS_EDITS > (done - edits) / PROGRESS_EDITS {
            events(Progress::Recording { lines: done, lines_total: note.exported });
        }
    }
    Ok(json!({ "recorded": recorded, "unchanged": unchanged, "already": already, "refused_count": refused_count,
        "refused": refused }))
}

fn missing() -> AgentError {
    let advice = "Run `outpost recover` once more.";
    AgentError::new("recovery_missing", "no recovery is under way in this data folder", advice, Exit::Failed)
}
