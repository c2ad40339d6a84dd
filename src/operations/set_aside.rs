//! Refused edits: list, show, and record them anew.

use serde_json::{Value, json};

use super::LIST_LIMIT_MAX;
use super::read::data_json;
use crate::agent::Agent;
use crate::clock;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::local_copy::{SetAside, SetAsideEntry};
use crate::recorder::{Group, RecordError};

pub(super) fn list(agent: &Agent, after: u64, limit: u32) -> Result<Value, AgentError> {
    let refused = agent.recorder()?.core().local.set_aside_list(after, limit)?;
    let next = refused.next(|about| about.number);
    Ok(json!({ "refused": refused.items.iter().map(summary).collect::<Vec<_>>(), "next": next }))
}

pub(super) fn show(agent: &Agent, number: u64) -> Result<Value, AgentError> {
    let entry = find(agent, number)?;
    let mut value = summary(&entry.about);
    let data = entry.edit.as_ref().and_then(|edit| edit.data.as_deref());
    value["data"] = data.map(data_json).transpose()?.unwrap_or(Value::Null);
    Ok(value)
}

/// Records refused edits anew, each for itself. One that is refused again stays where it is.
pub(super) fn retry(agent: &Agent, numbers: &[u64]) -> Result<Value, AgentError> {
    let numbers = if numbers.is_empty() {
        let all = agent.recorder()?.core().local.set_aside_list(0, LIST_LIMIT_MAX)?;
        all.items.iter().map(|about| about.number).collect()
    } else {
        numbers.to_vec()
    };
    for number in &numbers {
        find(agent, *number)?;
    }
    let (mut recorded, mut unchanged) = (0, 0);
    let mut refused = Vec::new();
    for number in numbers {
        let entry = find(agent, number)?;
        let Some(edit) = entry.edit else {
            let message = "its data is not here any more; central keeps it in its own list of refused edits";
            refused.push(json!({ "line": number, "code": "set_aside_without_data", "message": message }));
            continue;
        };
        // Its own request id: a crash before it is removed from the list does not record it twice.
        let request_id = Some(entry.about.retry_request_id());
        let group = Group { edits: vec![edit], request_id, recorded_at_ms: clock::wall_now().0 };
        match agent.recorder()?.record(group) {
            Ok(answer) => {
                recorded += answer.edits;
                unchanged += answer.unchanged;
                agent.recorder()?.core().local.set_aside_remove(number)?;
            }
            Err(RecordError::Refused(refusal)) => {
                refused.push(json!({ "line": number, "code": refusal.code, "message": refusal.message }));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let refused_count = refused.len();
    Ok(json!({ "recorded": recorded, "unchanged": unchanged, "refused_count": refused_count, "refused": refused }))
}

fn find(agent: &Agent, number: u64) -> Result<SetAsideEntry, AgentError> {
    let found = agent.recorder()?.core().local.set_aside_show(number)?;
    found.ok_or_else(|| {
        let message = format!("there is no refused edit with the number {number}");
        AgentError::new("set_aside_missing", message, "`outpost set-aside list` shows their numbers.", Exit::Usage)
    })
}

fn summary(about: &SetAside) -> Value {
    json!({
        "number": about.number,
        "sequence": about.sequence.0,
        "table": about.table,
        "id": about.id,
        "operation": about.operation,
        "op": about.operation,
        "code": about.code,
        "reason": about.reason,
        "recorded_at_ms": about.recorded_at_ms,
    })
}
