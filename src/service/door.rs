//! What the socket reaches: sessions go through the loop, everything else straight to the agent.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::caller::{Caller, caller};
use super::due::Reason;
use super::plan::{Wake, Work};
use super::watching::Watched;
use crate::clock::{MonotonicMs, Waker, monotonic_now, wall_now};
use crate::config::Config;
use crate::error::AgentError;
use crate::local_api::stopping;
use crate::operations::{Input, Performer};
use crate::operations::{Progress, Request, SyncOptions, SyncTally, Vitals};

/// Longest time in which the loop turns once, in milliseconds, with much to spare: it never waits longer than a quarter of it.
pub(super) const TURN_MS_MAX: u64 = 60_000;

/// When the next session comes, as the loop last knew it.
#[derive(Debug, Default)]
pub(super) struct NextSync {
    pub(super) at: Option<MonotonicMs>,
    pub(super) is_running: bool,
    pub(super) reason: Option<Reason>,
    /// Whether central is to tell once something waits for this site.
    pub(super) waits_for_news: bool,
    /// When the loop last turned; `None` before it does.
    pub(super) turned_at: Option<MonotonicMs>,
}

/// What the loop and its sessions let others see.
#[derive(Debug, Default)]
pub(super) struct Shown {
    next_sync: Mutex<NextSync>,
    tally: Mutex<SyncTally>,
    /// Woken when what waits may have changed; by [`Shown::tell`].
    pub(super) changed: Waker,
    /// Whoever watches the status.
    pub(super) watched: Watched,
}

impl Shown {
    pub(super) fn next_sync(&self) -> MutexGuard<'_, NextSync> {
        // Each field is whole whatever the thread that panicked was doing.
        self.next_sync.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that what waits may have changed.
    pub(super) fn tell(&self) {
        self.changed.wake();
        self.watched.ring();
    }

    /// Sums over the sessions since the start.
    pub(super) fn tally(&self) -> MutexGuard<'_, SyncTally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NextSync {
    /// When that is by the wall clock, in milliseconds since 1970.
    fn wall_ms(&self) -> Option<u64> {
        self.at.map(|at| wall_now().0.saturating_add(at.since(monotonic_now())))
    }
}

/// The agent as a daemon shows it.
pub(super) struct ServiceDoor {
    performer: Arc<dyn Performer>,
    sender: SyncSender<Wake<Caller>>,
    shown: Arc<Shown>,
}

impl ServiceDoor {
    pub(super) fn new(performer: Arc<dyn Performer>, sender: SyncSender<Wake<Caller>>) -> Self {
        Self { performer, sender, shown: Arc::default() }
    }

    /// Where the loop says how it is.
    pub(super) fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.shown)
    }

    fn ask(&self, work: Work, events: &mut dyn FnMut(Progress)) -> Result<Value, AgentError> {
        let (caller, waiting) = caller();
        // The loop takes what comes until the process ends; if it is gone already, nothing begins any more.
        self.sender.send(Wake::Asked(work, caller)).map_err(|_| stopping())?;
        waiting.wait(events)
    }

    /// Wakes the loop. One that has so much to do that nobody gets through looks again soon anyway; an edit then goes with the interval.
    fn tell(&self, wake: Wake<Caller>) {
        let _ = self.sender.try_send(wake);
    }

    fn with_schedule(&self, mut status: Value) -> Value {
        let next_sync = self.shown.next_sync();
        let next_sync_ms = next_sync.wall_ms();
        if let Some(fields) = status.as_object_mut() {
            fields.insert("daemon".to_owned(), json!(true));
            fields.insert("syncing".to_owned(), json!(next_sync.is_running));
            fields.insert("next_sync_ms".to_owned(), json!(next_sync_ms));
            fields.insert("next_sync_reason".to_owned(), json!(next_sync.reason.map(Reason::as_str)));
            fields.insert("waits_for_news".to_owned(), json!(next_sync.waits_for_news));
            fields.insert(
                "progress".to_owned(),
                json!(self.shown.watched.progress().as_ref().filter(|_| next_sync.is_running)),
            );
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
            Request::Watch { after, wait_s } => {
                self.shown.watched.wait(after, wait_s)?;
                // What changes while it is being read makes another change.
                let change = self.shown.watched.change();
                let mut status = self.with_schedule(self.performer.perform(request, input, events)?);
                status["change"] = json!(change);
                Ok(status)
            }
            Request::Record(_) | Request::SetAsideRetry { .. } => {
                let result = self.performer.perform(request, input, events);
                if result.is_ok() {
                    self.tell(Wake::Edited);
                }
                self.shown.tell();
                result
            }
            Request::Pause { .. } | Request::Resume => {
                let result = self.performer.perform(request, input, events);
                // The loop looks again.
                self.tell(Wake::Scheduled);
                self.shown.watched.ring();
                result
            }
            Request::SetAsideDismiss { .. } | Request::Verify(_) => {
                let result = self.performer.perform(request, input, events);
                self.shown.watched.ring();
                result
            }
            Request::Get { .. }
            | Request::List { .. }
            | Request::Site
            | Request::Queue { .. }
            | Request::SetAsideList { .. }
            | Request::SetAsideShow { .. }
            | Request::NextNumber(_)
            | Request::Changes(_)
            | Request::Wait { .. }
            | Request::ClientAdd { .. }
            | Request::ClientList
            | Request::ClientRevoke { .. }
            | Request::ClientCertificate => self.performer.perform(request, input, events),
        }
    }

    fn vitals(&self) -> Result<Vitals, AgentError> {
        let vitals = self.performer.vitals()?;
        let (is_syncing, next_sync_ms) = {
            let next_sync = self.shown.next_sync();
            (next_sync.is_running, next_sync.wall_ms())
        };
        Ok(Vitals { syncs: *self.shown.tally(), is_syncing, next_sync_ms, ..vitals })
    }

    fn is_alive(&self) -> bool {
        let turned_at = self.shown.next_sync().turned_at;
        turned_at.is_none_or(|turned_at| monotonic_now().since(turned_at) < TURN_MS_MAX)
    }

    fn take_up(&self, config: &Config) {
        self.performer.take_up(config);
    }

    fn stop(&self) {
        self.performer.stop();
    }
}
