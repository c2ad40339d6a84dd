//! Pausing the schedule of this device.

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::pacing::PAUSE_S_MAX;

/// Holds the schedule back; durable when it returns. A pause that is there already is replaced.
pub(super) fn pause(agent: &Agent, duration_s: Option<u64>) -> Result<Value, AgentError> {
    if let Some(duration_s) = duration_s.filter(|duration_s| !(1..=PAUSE_S_MAX).contains(duration_s)) {
        return Err(AgentError::new(
            "pause_out_of_range",
            format!("a pause of {duration_s} seconds is not within 1 and {PAUSE_S_MAX}"),
            "Leave its length out for a pause that `outpost resume` ends.",
            Exit::Usage,
        ));
    }
    agent.pace().pause(duration_s.map(|duration_s| duration_s * 1000))?;
    log::info!("the schedule is paused duration_s={duration_s:?}");
    Ok(json!({ "pause": agent.pace().to_json().0 }))
}

/// Lets the schedule go on.
pub(super) fn resume(agent: &Agent) -> Result<Value, AgentError> {
    let was_paused = agent.pace().resume()?;
    log::info!("the schedule goes on was_paused={was_paused}");
    Ok(json!({ "was_paused": was_paused }))
}
