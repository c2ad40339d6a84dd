//! Whoever carries out requests.

use serde_json::Value;

use super::{Input, Progress, Request};
use crate::error::AgentError;

/// One door to the agent: the opened data folder itself, the daemon's loop around it, or a daemon behind its socket. Callers
/// cannot tell them apart.
pub trait Performer: Send + Sync {
    /// Does one thing and returns its result, described in `docs/local-api.md`. Progress goes to `events` while it runs; an
    /// `events` that no longer reaches anybody does not end the work.
    ///
    /// # Errors
    /// An error with code and advice; nothing was changed unless its message says so.
    fn perform(
        &self,
        request: Request,
        input: &mut Input,
        events: &mut dyn FnMut(Progress),
    ) -> Result<Value, AgentError>;

    /// Asks what runs to end soon: no new exchange begins and waits between tries end. Journal work is not cut short.
    fn stop(&self) {}
}

/// For callers who do not watch.
pub fn no_events(_: Progress) {}
