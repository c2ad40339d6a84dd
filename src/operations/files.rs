//! `carry` and `import`: what travels by stick. Carried out on the folder itself, which no daemon holds meanwhile.

use std::path::Path;

use protocol::session::Advice;
use sealed::Passphrase;
use serde_json::{Value, json};

use super::Progress;
use crate::agent::Agent;
use crate::error::AgentError;

/// Writes the edits that wait to a file. Returns `{"file","edits","left","replaces"}`.
///
/// # Errors
/// As [`Agent::carry_out`].
pub fn carry_out(agent: &Agent, file: &Path, passphrase: &Passphrase) -> Result<Value, AgentError> {
    let out = agent.carry_out(file, passphrase)?;
    Ok(json!({
        "file": file.display().to_string(),
        "edits": out.edits,
        "left": out.waiting.saturating_sub(out.edits),
        "replaces": out.replaces,
    }))
}

/// Takes central's answer. Returns `{"outcome","sent","stored","refused","unjudged","failure"}`, as a sync does; `outcome` may be
/// `goes_on`.
///
/// # Errors
/// As [`Agent::carry_in`].
pub fn carry_in(
    agent: &Agent,
    file: &Path,
    passphrase: &Passphrase,
    events: &mut dyn FnMut(Progress),
) -> Result<Value, AgentError> {
    let refused_before = agent.recorder()?.core().local.set_aside_count()?;
    let report = agent.carry_in(file, passphrase, &mut |summary| {
        events(Progress::Storing { stored: summary.rows_stored, total: summary.rows_total });
    })?;
    let mut core = agent.recorder()?.core();
    let refused = core.local.set_aside_count()?.saturating_sub(refused_before);
    let unjudged = core.local.queue_view()?.unjudged;
    drop(core);
    let goes_on = report.goes_on || report.has_more_to_send;
    let outcome = if report.failure.is_some() {
        "failed"
    } else if goes_on {
        "goes_on"
    } else {
        "drained"
    };
    Ok(json!({
        "outcome": outcome,
        "sent": report.summary.entries_received,
        "stored": report.summary.rows_stored,
        "refused": refused,
        "unjudged": unjudged,
        "failure": report.failure.map(|failure| json!({
            "code": failure.code,
            "message": failure.message,
            "advice": if failure.what_to_do.is_empty() { advice(failure.advice) } else { failure.what_to_do.as_str() },
            "exit": failure.exit.code(),
        })),
    }))
}

/// Stores an export. Returns `{"stored","passed_over","total","is_complete"}`.
///
/// # Errors
/// As [`Agent::import`].
pub fn import(
    agent: &Agent,
    file: &Path,
    passphrase: &Passphrase,
    events: &mut dyn FnMut(Progress),
) -> Result<Value, AgentError> {
    let done = agent.import(file, passphrase, &mut |done| {
        events(Progress::Storing { stored: done.stored + done.passed_over, total: Some(done.total) });
    })?;
    Ok(json!({
        "stored": done.stored,
        "passed_over": done.passed_over,
        "total": done.total,
        "is_complete": done.is_complete,
    }))
}

fn advice(advice: Advice) -> &'static str {
    match advice {
        Advice::Retry | Advice::Wait { .. } => "Nothing is lost: make another file with `outpost carry out`, or sync.",
        Advice::Operator => "Another file does not help; tell the administrator of the central server.",
    }
}
