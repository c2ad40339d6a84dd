//! Requests that wait for something that may not come soon.

use crate::agent::Agent;
use crate::clock::{MonotonicMs, monotonic_now};
use crate::error::AgentError;
use crate::exit::Exit;

/// Longest wait of one request, in seconds. Who wants more asks again.
pub const WAIT_S_MAX: u32 = 600;
/// Most requests that wait at once: half of the connections of all listeners together. Each listener has a limit of its own below it.
pub const WAITING_MAX: usize = 64;

/// When a wait of so many seconds is over.
pub(crate) fn deadline(wait_s: u32) -> Result<MonotonicMs, AgentError> {
    if wait_s > WAIT_S_MAX {
        let message = format!("{wait_s} s is above {WAIT_S_MAX} s, which is the longest wait");
        return Err(AgentError::new("wait_out_of_range", message, "Wait less, and ask again.", Exit::Usage));
    }
    Ok(monotonic_now().plus(u64::from(wait_s) * 1000))
}

/// One of the requests that may wait, until it is dropped.
pub(super) struct Waiting<'a>(&'a Agent);

impl<'a> Waiting<'a> {
    pub(super) fn begin(agent: &'a Agent) -> Result<Self, AgentError> {
        let waiting = Self(agent);
        if agent.add_waiting() < WAITING_MAX {
            return Ok(waiting);
        }
        Err(AgentError::new(
            "too_many_waiting",
            format!("{WAITING_MAX} requests wait already, which is the most at once"),
            "Ask again in a few seconds.",
            Exit::Busy,
        ))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.remove_waiting();
    }
}
