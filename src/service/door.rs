//! What the socket reaches: sessions go through the loop, everything else straight to the agent.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::caller::{Caller, caller};
use super::plan::{Wake, Work};
use crate::clock::{MonotonicMs, monotonic_now, wall_now};
use crate::error::AgentError;
use crate::local_api::stopping;
use crate::operations::{Input, Performer};
use crate::operations::{Progress, Request, SyncOptions};

/// When the next session comes, as the loop last knew it.
#[derive(Debug, Default)]
pub(super) struct NextSync {
    pub(super) at: Option<MonotonicMs>,
    pub(super) is_running: bool,
}

/// The agent as a daemon shows it.
pub(super) struct ServiceDoor {
    performer: Arc<dyn Performer>,
    sender: SyncSender<Wake<Caller>>,
    next_sync: Arc<Mutex<NextSync>>,
}

impl ServiceDoor {
    pub(super) fn new(performer: Arc<dyn Performer>, sender: SyncSender<Wake<Caller>>) -> Self {
        Self { performer, sender, next_sync: Arc::default() }
    }

    /// Where the loop says when it syncs next.
    pub(super) fn next_sync(&self) -> Arc<Mutex<NextSync>> {
        Arc::clone(&self.next_sync)
    }

    fn ask(&self, work: Work, events: &mut dyn FnMut(Progress)) -> Result<Value, AgentError> {
        let (caller, waiting) = caller();
        // The loop takes what comes until the process ends; if it is gone already, nothing begins any more.
        self.sender.send(Wake::Asked(work, caller)).map_err(|_| stopping())?;
        waiting.wait(events)
    }

    fn with_schedule(&self, mut status: Value) -> Value {
        let next_sync = self.next_sync.lock().unwrap_or_else(PoisonError::into_inner);
        let next_sync_ms = next_sync.at.map(|at| wall_now().0.saturating_add(at.since(monotonic_now())));
        if let Some(fields) = status.as_object_mut() {
            fields.insert("daemon".to_owned(), json!(true));
            fields.insert("syncing".to_owned(), json!(next_sync.is_running));
            fields.insert("next_sync_ms".to_owned(), json!(next_sync_ms));
        }
        status
    }
}

impl Performer for ServiceDoor {
    fn perform(
        &self,
        request: Request,
        input: &mut Input,
        events: &mut dyn FnMut(Progress),
    ) -> Result<Value, AgentError> {
        match request {
            Request::Sync(SyncOptions { tries_max }) => self.ask(Work { is_initialise: false, tries_max }, events),
            Request::Initialise(SyncOptions { tries_max }) => self.ask(Work { is_initialise: true, tries_max }, events),
            Request::Status => Ok(self.with_schedule(self.performer.perform(request, input, events)?)),
            Request::Record(_)
            | Request::Get { .. }
            | Request::List { .. }
            | Request::Site
            | Request::Queue { .. }
            | Request::SetAsideList { .. }
            | Request::SetAsideShow { .. }
            | Request::SetAsideRetry { .. }
            | Request::SetAsideDismiss { .. }
            | Request::NextNumber(_)
            | Request::Changes(_)
            | Request::Wait { .. }
            | Request::Verify(_) => self.performer.perform(request, input, events),
        }
    }

    fn stop(&self) {
        self.performer.stop();
    }
}
