//! Waiting until central has an edit.

use protocol::ids::Sequence;
use serde_json::{Value, json};

use super::waiting::{Waiting, deadline};
use crate::agent::Agent;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::local_copy::Fate;

/// What became of an edit, once central has judged it or lets it wait; how far it is if that takes longer.
pub(super) fn wait(agent: &Agent, sequence: u64, timeout_s: u32) -> Result<Value, AgentError> {
    let deadline = deadline(timeout_s)?;
    let look = || {
        let mut core = agent.recorder()?.core();
        let last = core.shared.durable().sequence.0;
        if sequence == 0 || sequence > last {
            return Err(not_recorded(sequence, last));
        }
        let floor = core.shared.floor();
        Ok(core.local.fate(Sequence(sequence), floor)?)
    };
    let now = look()?;
    if timeout_s == 0 || is_over(&now) {
        return Ok(to_json(sequence, &now));
    }
    let _waiting = Waiting::begin(agent)?;
    let found = agent.wait_for(deadline, || Ok(Some(look()?).filter(is_over)))?;
    Ok(to_json(sequence, &found.map_or_else(look, Ok)?))
}

/// Whether central has it, and nothing more is known of it soon.
fn is_over(fate: &Fate) -> bool {
    !matches!(fate, Fate::Unsent | Fate::Received)
}

fn to_json(sequence: u64, fate: &Fate) -> Value {
    let (number, code, reason) = match fate {
        Fate::Refused { number, code, reason } => (*number, Some(code), Some(reason)),
        _ => (None, None, None),
    };
    let outcome = match fate {
        Fate::Unsent => "not_sent",
        Fate::Received => "sent",
        Fate::Waiting => "waiting",
        Fate::Accepted => "accepted",
        Fate::Judged => "judged",
        Fate::Refused { .. } => "refused",
    };
    json!({
        "sequence": sequence,
        "outcome": outcome,
        "at_central": !matches!(fate, Fate::Unsent),
        "set_aside": number,
        "code": code,
        "reason": reason,
    })
}

fn not_recorded(sequence: u64, last: u64) -> AgentError {
    AgentError::new(
        "sequence_not_recorded",
        format!("no edit has the sequence {sequence}; the last one is {last}"),
        "Give `last` as record answered it. After a recovery sequences begin anew; what was exported then is in set-aside.",
        Exit::Usage,
    )
}
