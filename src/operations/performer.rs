//! Whoever carries out requests.

use std::sync::Arc;

use serde_json::Value;

use super::{Input, Progress, Request, SyncOptions, Vitals};
use crate::agent::Heard;
use crate::clients::Clients;
use crate::config::Config;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::pacing::Surroundings;

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

    /// Syncs once because the schedule says so: as [`Request::Sync`], but within the byte budgets.
    ///
    /// # Errors
    /// As [`Performer::perform`].
    fn sync_by_schedule(&self, events: &mut dyn FnMut(Progress)) -> Result<Value, AgentError> {
        self.perform(Request::Sync(SyncOptions { tries_max: 1 }), &mut Input::empty(), events)
    }

    /// What bears on the schedule at this moment; nothing where that is not known. Does not wait.
    fn surroundings(&self) -> Surroundings {
        Surroundings::default()
    }

    /// Lets the next question for news be asked; see [`Performer::ask_for_news`]. Does not wait.
    fn begin_news(&self) {}

    /// Asks central whether something waits for this site, and waits for the answer, which may be held back for `wait_s` seconds. Nothing
    /// is recorded, and no sync held up, by that.
    fn ask_for_news(&self, _wait_s: u16) -> Heard {
        Heard::NotAsked
    }

    /// Ends a question for news that is being asked, or is about to be, soon. Does not wait.
    fn end_news(&self) {}

    /// How the agent is, in figures. May wait for an edit that is being recorded.
    ///
    /// # Errors
    /// They cannot be had here, or the disk fails.
    fn vitals(&self) -> Result<Vitals, AgentError> {
        Err(AgentError::new("vitals_elsewhere", "the running agent alone has these figures", "", Exit::Failed))
    }

    /// The machines of the local network that may work on this agent.
    ///
    /// # Errors
    /// They cannot be had here, or what is kept of them is damaged.
    fn clients(&self) -> Result<Arc<Clients>, AgentError> {
        Err(AgentError::new("clients_elsewhere", "the running agent alone has its clients", "", Exit::Failed))
    }

    /// Whether what drives the agent still turns. Never waits.
    fn is_alive(&self) -> bool {
        true
    }

    /// Works by these settings from here on, of which only those differ that may change while it works. May wait for an edit that
    /// is being recorded.
    fn take_up(&self, _config: &Config) {}

    /// Asks what runs to end soon: no new exchange begins and waits between tries end. Journal work is not cut short.
    fn stop(&self) {}
}

/// For callers who do not watch.
pub fn no_events(_: Progress) {}
