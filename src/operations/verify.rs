//! Comparing what this site has with what it should have, and mending what differs.

use protocol::verify::Outcome;
use serde_json::{Value, json};

use super::{Progress, SyncOptions, sync};
use crate::agent::Agent;
use crate::error::AgentError;

/// Looks at everything in one comparison, at most: what is mended is looked at again, and what is sent again has to be judged first.
const LOOKS_MAX: u32 = 4;
/// Codes that say that what the site is to have has changed since the sync before.
const SYNC_FIRST: [&str; 4] = ["not_drained", "other_scope", "central_set_back", "reading_anew"];

/// Syncs, compares, mends, and syncs again, until nothing differs or it does not get better.
pub(super) fn verify(
    agent: &Agent,
    options: &SyncOptions,
    events: &mut dyn FnMut(Progress),
) -> Result<Value, AgentError> {
    let synced = sync::sync_alone(agent, options, events)?;
    if synced["outcome"] != "drained" {
        return Ok(json!({ "outcome": "not_synced", "sync": synced }));
    }
    let mut total = Outcome::default();
    for look in 1..=LOOKS_MAX {
        match agent.verify_once(&mut |outcome| events(progress(outcome))) {
            Ok(outcome) => {
                add(&mut total, outcome);
                if outcome.is_whole || look == LOOKS_MAX {
                    break;
                }
            }
            Err(error) if look < LOOKS_MAX && SYNC_FIRST.contains(&error.code.as_str()) => {}
            Err(error) => return Err(error),
        }
        let synced = sync::sync_alone(agent, options, events)?;
        if synced["outcome"] != "drained" {
            return Ok(json!({ "outcome": "not_synced", "sync": synced, "verified": shown(&total) }));
        }
    }
    agent.report_verified(total)?;
    Ok(json!({ "outcome": if total.is_whole { "whole" } else { "differs" }, "verified": shown(&total) }))
}

/// The same because central has asked for it, behind a sync that somebody waits for; null if it has not. A failure is logged: it is
/// tried again behind the next sync.
pub(super) fn verify_if_asked(agent: &Agent, options: &SyncOptions, events: &mut dyn FnMut(Progress)) -> Value {
    let is_asked = agent.recorder().is_ok_and(|recorder| recorder.core().local.owes_verify().unwrap_or(false));
    if !is_asked {
        return Value::Null;
    }
    match verify(agent, options, events) {
        Ok(result) => {
            log::info!("central asked this site to verify what it has outcome={}", result["outcome"]);
            result
        }
        Err(error) => {
            log::warn!("what central asked to verify could not be code={} message={}", error.code, error.message);
            json!({ "outcome": "failed", "code": error.code, "message": error.message })
        }
    }
}

/// The first look says how much there is, the last one whether it is in order, and what was done is counted over all.
fn add(total: &mut Outcome, look: Outcome) {
    if total.scopes == 0 {
        (total.scopes, total.records, total.differing) = (look.scopes, look.records, look.differing);
    }
    total.sent_again += look.sent_again;
    total.pulled += look.pulled;
    total.set_aside += look.set_aside;
    total.let_go += look.let_go;
    total.left_alone = look.left_alone;
    total.is_whole = look.is_whole;
}

fn progress(outcome: &Outcome) -> Progress {
    Progress::Verifying { scopes: outcome.scopes, records: outcome.records, differing: outcome.differing }
}

fn shown(outcome: &Outcome) -> Value {
    json!({
        "scopes": outcome.scopes,
        "records": outcome.records,
        "differing_buckets": outcome.differing,
        "sent_again": outcome.sent_again,
        "pulled": outcome.pulled,
        "set_aside": outcome.set_aside,
        "let_go": outcome.let_go,
        "left_alone": outcome.left_alone,
    })
}
