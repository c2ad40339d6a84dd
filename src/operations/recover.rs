//! The end of a recovery: the records come again from central, and what was exported is journaled anew if that was asked for.

use serde_json::{Value, json};

use super::journaling_anew::{journal_anew, set_export_aside};
use super::{Progress, SyncOptions, sync};
use crate::agent::{Agent, RecoveryPlan, RecoveryStep};
use crate::error::AgentError;
use crate::exit::Exit;

/// What a recovery would do, for people and programs.
///
/// # Errors
/// Those of [`Agent::recovery_plan`].
pub fn recovery_plan(agent: &Agent) -> Result<Value, AgentError> {
    let RecoveryPlan { journal, head, in_common, edits, groups, fits_set_aside } = agent.recovery_plan()?;
    let failure = agent.recorder()?.core().local.sync_times()?.failure;
    Ok(json!({
        "journal": journal.to_string(),
        "head": head.0,
        "in_common": in_common.0,
        "edits": edits,
        "groups": groups,
        "fits_set_aside": fits_set_aside,
        "under_way": recovery_under_way(agent)?,
        "last_failure": failure.map(|(code, message)| json!({ "code": code, "message": message })),
    }))
}

/// The recovery that is under way, for people and programs; null if there is none. `edits` are those that lie in `file` alone: they
/// are not set aside, and not in a journal that central gets.
///
/// # Errors
/// Those of reading its note.
pub(super) fn recovery_under_way(agent: &Agent) -> Result<Value, AgentError> {
    let Some(note) = agent.recovery()? else { return Ok(Value::Null) };
    let (edits, file) = note.edits_in_file_alone(agent.folder());
    Ok(json!({
        "step": note.step.as_str(),
        "journal_anew": note.is_journaled_anew,
        "exported": note.exported,
        "set_aside": note.set_aside,
        "edits": edits,
        "file": file.map(|file| file.display().to_string()),
    }))
}

/// Brings a recovery whose new journal is in use to its end: syncs, journals the export anew if that was asked for, and syncs that.
/// If central cannot be reached the recovery stays under way; a refusal ends it, since another one has to follow, and what was not
/// journaled anew is set aside.
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
    let is_refused = synced["failure"]["exit"] == Exit::Refused.code();
    let mut is_over = synced["failure"].is_null() || is_refused;
    if note.is_journaled_anew && note.exported > 0 {
        if synced["failure"].is_null() {
            let recorded = journal_anew(agent, &note, events)?;
            if recorded["recorded"] != 0 {
                synced = sync::sync(agent, &SyncOptions::default(), events)?;
            }
            result["set_aside"] = recorded["set_aside"].clone();
            result["recorded"] = recorded;
        } else if is_refused {
            let (set_aside, is_all) = set_export_aside(agent, &note)?;
            // What lies in the file alone is shown as long as the recovery is under way.
            is_over = is_all;
            result["set_aside"] = set_aside.into();
        }
    }
    if is_over {
        agent.end_recovery()?;
        synced["recovery"] = Value::Null;
    }
    result["under_way"] = agent.recovery()?.is_some().into();
    result["sync"] = synced;
    Ok(result)
}

fn missing() -> AgentError {
    let advice = "Run `outpost recover` once more.";
    AgentError::new("recovery_missing", "no recovery is under way in this data folder", advice, Exit::Failed)
}
