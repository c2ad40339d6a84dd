//! Refused edits: list, show, record them anew, and let them go.

use protocol::few::gathered;
use std::collections::BTreeSet;

use domain::edit::Edit;
use domain::judge::is_late;
use domain::side_by_side::{Difference, side_by_side};
use serde_json::{Value, json};

use super::read::data_json;
use super::record::RecordResult;
use super::{Progress, SET_ASIDE_NUMBERS_MAX};
use crate::agent::Agent;
use crate::clock;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::local_copy::{SetAside, SetAsideEntry};
use crate::recorder::{COMMIT_GROUPS_MAX, EditRefusal, Group, RecordError};

/// Refused edits that are recorded anew at once, so that they share a sync, and are then let go of in one step.
const RETRY_STEP: u32 = 256;
/// Bytes of their data from which on no more are read before these are recorded.
const RETRY_STEP_BYTES: usize = 4 * 1024 * 1024;
const _: () = assert!(RETRY_STEP as usize <= COMMIT_GROUPS_MAX, "one commit takes a step");

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
    if let Some(edit) = &entry.edit {
        let current = current(agent, edit)?;
        let differences = side_by_side(edit.op, Some(&value["data"]), Some(&current));
        let line = |one: &Difference| json!({ "column": one.column, "current": one.current, "edit": one.edited });
        value["differs"] = differences.iter().map(line).collect();
        value["current"] = current;
    }
    Ok(value)
}

/// The record that an edit is about, as it is here; null if it is not.
fn current(agent: &Agent, edit: &Edit) -> Result<Value, AgentError> {
    let recorder = agent.recorder()?;
    let mut core = recorder.core();
    let Ok(table) = agent.catalogue().table_by_name(&edit.table) else { return Ok(Value::Null) };
    let found = core.local.get(table, &edit.id)?;
    Ok(found.map(|record| data_json(&record.data)).transpose()?.unwrap_or(Value::Null))
}

/// Records refused edits anew, each for itself. One that is refused again stays where it is.
pub(super) fn retry(agent: &Agent, numbers: &[u64], events: &mut dyn FnMut(Progress)) -> Result<Value, AgentError> {
    let mut result = RecordResult::default();
    if numbers.is_empty() {
        retry_all(agent, &mut result, events)?;
    } else {
        let numbers = checked_numbers(numbers)?;
        if let Some(number) = agent.recorder()?.core().local.set_aside_lacks(&numbers)? {
            return Err(missing(number));
        }
        retry_these(agent, &numbers, &mut result)?;
    }
    result.to_json()
}

/// Lets refused edits go that nobody wants any more: all of them, or none if one is not here.
pub(super) fn dismiss(agent: &Agent, numbers: &[u64]) -> Result<Value, AgentError> {
    let numbers = checked_numbers(numbers)?;
    let [first, ..] = numbers.as_slice() else {
        let advice = "Name at least one; `outpost set-aside list` shows their numbers.";
        return Err(AgentError::new("no_numbers", "no refused edit is named", advice, Exit::Usage));
    };
    let dismissed = {
        let mut core = agent.recorder()?.core();
        if let Some(number) = core.local.set_aside_lacks(&numbers)? {
            return Err(missing(number));
        }
        core.local.set_aside_remove(&numbers)?
    };
    let last = numbers.last().unwrap_or(first);
    log::info!("refused edits were dismissed count={dismissed} first={first} last={last}");
    Ok(json!({ "dismissed": dismissed }))
}

/// Each number once, in their order.
fn checked_numbers(numbers: &[u64]) -> Result<Vec<u64>, AgentError> {
    if numbers.len() > SET_ASIDE_NUMBERS_MAX {
        return Err(AgentError::new(
            "too_many_numbers",
            format!("{} refused edits are named, the limit is {SET_ASIDE_NUMBERS_MAX}", numbers.len()),
            "Name fewer at a time, or take --all.",
            Exit::Usage,
        ));
    }
    Ok(gathered::<_, BTreeSet<_>>(numbers).into_iter().copied().collect())
}

/// Goes once through those that are there when it begins: those that are refused again stay behind it, and new ones lie beyond
/// its end.
fn retry_all(agent: &Agent, result: &mut RecordResult, events: &mut dyn FnMut(Progress)) -> Result<(), AgentError> {
    let (last, lines_total) = {
        let local = &mut agent.recorder()?.core().local;
        (local.set_aside_last()?, local.set_aside_count()?)
    };
    let (mut after, mut lines) = (0, 0);
    loop {
        let page = agent.recorder()?.core().local.set_aside_list(after, RETRY_STEP)?;
        let numbers: Vec<u64> = page.items.iter().map(|about| about.number).filter(|number| *number <= last).collect();
        let Some(end) = numbers.last() else { return Ok(()) };
        retry_these(agent, &numbers, result)?;
        after = *end;
        lines += numbers.len() as u64;
        events(Progress::Recording { lines, lines_total });
    }
}

/// Retries so many, with as few syncs as memory allows. What somebody else has dealt with meanwhile is passed over.
fn retry_these(agent: &Agent, numbers: &[u64], result: &mut RecordResult) -> Result<(), AgentError> {
    let (mut step, mut bytes) = (Vec::new(), 0);
    for number in numbers {
        let Some(entry) = agent.recorder()?.core().local.set_aside_show(*number)? else { continue };
        let Some(edit) = entry.edit else {
            let message = "its data is not here any more; central keeps it in its own list of refused edits".to_owned();
            result.refuse(*number, &EditRefusal { index: 0, code: "set_aside_without_data".to_owned(), message });
            continue;
        };
        bytes += edit.data.as_ref().map_or(0, String::len);
        // Its own request id: a crash before it is removed from the list does not record it twice.
        let request_id = Some(entry.about.retry_request_id());
        step.push((*number, Group { edits: vec![edit], request_id, recorded_at_ms: clock::wall_now().0 }));
        if step.len() >= RETRY_STEP as usize || bytes >= RETRY_STEP_BYTES {
            retry_step(agent, std::mem::take(&mut step), result)?;
            bytes = 0;
        }
    }
    retry_step(agent, step, result)
}

fn retry_step(agent: &Agent, step: Vec<(u64, Group)>, result: &mut RecordResult) -> Result<(), AgentError> {
    let (numbers, groups): (Vec<u64>, Vec<Group>) = step.into_iter().unzip();
    let mut taken = Vec::new();
    let mut failure = None;
    for (number, answer) in numbers.into_iter().zip(agent.recorder()?.record_all(groups)) {
        match answer {
            Ok(recorded) => {
                result.add(&recorded);
                taken.push(number);
            }
            Err(RecordError::Refused(refusal)) => result.refuse(number, &refusal),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    if !taken.is_empty() {
        agent.recorder()?.core().local.set_aside_remove(&taken)?;
    }
    failure.map_or(Ok(()), |error| Err(error.into()))
}

fn find(agent: &Agent, number: u64) -> Result<SetAsideEntry, AgentError> {
    let found = agent.recorder()?.core().local.set_aside_show(number)?;
    found.ok_or_else(|| missing(number))
}

fn missing(number: u64) -> AgentError {
    let message = format!("there is no refused edit with the number {number}");
    AgentError::new("set_aside_missing", message, "`outpost set-aside list` shows their numbers.", Exit::Usage)
}

fn summary(about: &SetAside) -> Value {
    json!({
        "number": about.number,
        "sequence": about.sequence.0,
        "table": about.table,
        "id": about.id,
        "operation": about.operation,
        "op": about.operation,
        "kind": if is_late(&about.code) { "late" } else { "refused" },
        "code": about.code,
        "reason": about.reason,
        "recorded_at_ms": about.recorded_at_ms,
    })
}
