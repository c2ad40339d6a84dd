//! The feed of changes, for applications that keep a database of their own.

use serde_json::{Value, json};

use super::request::Changes;
use super::waiting::Waiting;
use super::{checked_limit, data_json};
use crate::agent::Agent;
use crate::entropy;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::local_copy::{Change, ChangePage, FeedCursor, FeedGap};

/// What is behind a cursor; waits for it if nothing is there yet.
pub(super) fn changes(agent: &Agent, asked: &Changes) -> Result<Value, AgentError> {
    let limit = checked_limit(asked.limit)?;
    let after = asked.after.as_deref().map(read_cursor).transpose()?;
    let read = || {
        let page = agent.recorder()?.core().local.changes(after.as_ref(), limit, entropy::bytes)?;
        page.map_err(gap_error)
    };
    let page = read()?;
    if asked.wait_s == 0 || !page.changes.is_empty() || page.has_more || after.is_none() {
        return to_json(&page);
    }
    let deadline = super::waiting::deadline(asked.wait_s)?;
    let _waiting = Waiting::begin(agent)?;
    let found = agent.wait_for(deadline, || Ok(Some(read()?).filter(|page| !page.changes.is_empty())))?;
    to_json(&found.unwrap_or(page))
}

fn read_cursor(text: &str) -> Result<FeedCursor, AgentError> {
    FeedCursor::parse(text).ok_or_else(|| {
        AgentError::new(
            "bad_cursor",
            format!("{:?} is no cursor of the feed of changes", text.chars().take(100).collect::<String>()),
            "Give what `cursor` was in the last answer, or nothing to read everything.",
            Exit::Usage,
        )
    })
}

fn gap_error(gap: FeedGap) -> AgentError {
    let (code, message) = match gap {
        FeedGap::TooOld => ("cursor_too_old", "more has gone since this cursor than is remembered"),
        FeedGap::OtherCopy => (
            "cursor_of_other_copy",
            "this cursor is of another local copy: the data folder is another one, was set back, or was built anew",
        ),
    };
    let advice = "Read everything anew: empty your own tables and ask without `after`.";
    AgentError::new(code, message, advice, Exit::Refused)
}

fn to_json(page: &ChangePage) -> Result<Value, AgentError> {
    let changes = page.changes.iter().map(change_json).collect::<Result<Vec<_>, _>>()?;
    let cursor = &page.cursor;
    Ok(json!({
        "changes": changes,
        "cursor": cursor.to_string(),
        "more": page.has_more,
        "complete": !cursor.is_in_records(),
    }))
}

fn change_json(change: &Change) -> Result<Value, AgentError> {
    let data = change.data.as_deref().map(data_json).transpose()?;
    Ok(json!({
        "table": change.table,
        "id": change.id,
        "operation": if data.is_some() { "put" } else { "delete" },
        "store": change.store,
        "origin": change.is_own.map(|is_own| if is_own { "own" } else { "pulled" }),
        "data": data,
    }))
}
