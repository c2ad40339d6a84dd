//! Refused edits: list, show, and record them anew.

use serde_json::{Value, json};

use super::LIST_LIMIT_MAX;
use super::read::data_json;
use crate::agent::Agent;
use crate::clock;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::local_copy::SetAsideView;
use crate::recorder::{Group, RecordError};

pub(super) fn list(agent: &Agent, after: u64, limit: u32) -> Result<Value, AgentError> {
    let refused = agent.recorder()?.core().local.set_aside_list(after, limit)?;
    let next = (refused.len() == limit as usize).then(|| refused.last().map(|view| view.number)).flatten();
    Ok(json!({ "refused": refused.iter().map(summary).collect::<Vec<_>>(), "next": next }))
}

pub(super) fn show(agent: &Agent, number: u64) -> Result<Value, AgentError> {
    let view = find(agent, number)?;
    let mut value = summary(&view);
    value["data"] = view.edit.data.as_deref().map(data_json).transpose()?.unwrap_or(Value::Null);
    Ok(value)
}

/// Records refused edits anew, each for itself. One that is refused again stays where it is.
pub(super) fn retry(agent: &Agent, numbers: &[u64]) -> Result<Value, AgentError> {
    let views = if numbers.is_empty() {
        agent.recorder()?.core().local.set_aside_list(0, LIST_LIMIT_MAX)?
    } else {
        numbers.iter().map(|number| find(agent, *number)).collect::<Result<Vec<_>, _>>()?
    };
    let (mut recorded, mut unchanged) = (0, 0);
    let mut refused = Vec::new();
    for view in views {
        let group = Group { edits: vec![view.edit], request_id: None, recorded_at_ms: clock::wall_now().0 };
        match agent.recorder()?.record(group) {
            Ok(answer) => {
                recorded += answer.edits;
                unchanged += answer.unchanged;
                agent.recorder()?.core().local.set_aside_remove(view.number)?;
            }
            Err(RecordError::Refused(refusal)) => {
                refused.push(json!({ "line": view.number, "code": refusal.code, "message": refusal.message }));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let refused_count = refused.len();
    Ok(json!({ "recorded": recorded, "unchanged": unchanged, "refused_count": refused_count, "refused": refused }))
}

fn find(agent: &Agent, number: u64) -> Result<SetAsideView, AgentError> {
    let found = agent.recorder()?.core().local.set_aside_show(number)?;
    found.ok_or_else(|| {
        let message = format!("there is no refused edit with the number {number}");
        AgentError::new("set_aside_missing", message, "`outpost set-aside list` shows their numbers.", Exit::Usage)
    })
}

fn summary(view: &SetAsideView) -> Value {
    json!({
        "number": view.number,
        "sequence": view.sequence.0,
        "table": view.edit.table,
        "id": view.edit.id.as_str(),
        "operation": view.operation,
        "op": view.edit.op.as_str(),
        "code": view.code,
        "reason": view.reason,
        "recorded_at_ms": view.recorded_at_ms,
    })
}
