//! The line in which a supervisor shows how the agent is (`systemctl status`). On a thread of its own, which looks only when
//! something has changed: what it asks for may have to wait for the disk, and the loop never does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::door::Shown;
use super::supervisor::Supervisor;
use crate::clock::{Waker, monotonic_now};
use crate::date::date_text;
use crate::error::AgentError;
use crate::operations::{Performer, Vitals};

/// Shortest time between two lines, in milliseconds: a busy pharmacy records several edits a second.
const PAUSE_MS: u64 = 10_000;

/// Ends its thread when it is dropped.
pub(super) struct StatusLine {
    shown: Arc<Shown>,
    end: Arc<End>,
}

#[derive(Default)]
struct End {
    is_over: AtomicBool,
    waker: Waker,
}

impl StatusLine {
    /// Keeps the supervisor's line up to date, if there is a supervisor.
    pub(super) fn start(
        supervisor: Arc<Supervisor>,
        performer: Arc<dyn Performer>,
        shown: Arc<Shown>,
    ) -> io::Result<Self> {
        let line = Self { shown, end: Arc::default() };
        if supervisor.is_there() {
            let (shown, end) = (Arc::clone(&line.shown), Arc::clone(&line.end));
            std::thread::Builder::new().name("status-line".to_owned()).spawn(move || {
                while !end.is_over.load(Ordering::SeqCst) {
                    supervisor.status(&text(&performer.vitals()));
                    end.waker.wait_until(Some(monotonic_now().plus(PAUSE_MS)));
                    shown.changed.wait_until(None);
                }
            })?;
        }
        Ok(line)
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.end.is_over.store(true, Ordering::SeqCst);
        self.end.waker.wake();
        self.shown.changed.wake();
    }
}

/// What waits, and when a sync last went through. No names and no records: everybody on the device may read it.
fn text(vitals: &Result<Vitals, AgentError>) -> String {
    let vitals = match vitals {
        Ok(vitals) => vitals,
        Err(error) => return format!("not working: {}", error.code),
    };
    let refusal =
        vitals.refusal.as_ref().map_or_else(String::new, |error| format!("records no edits: {}; ", error.code));
    let noun = if vitals.pending_edits == 1 { "edit" } else { "edits" };
    let last = vitals.last_success_ms.map_or_else(|| "none yet".to_owned(), date_text);
    let failure = match &vitals.last_failure {
        Some(code) if !vitals.is_syncing => format!(", the last try failed: {code}"),
        _ => String::new(),
    };
    format!("{refusal}{} {noun} to send; last sync {last}{failure}", vitals.pending_edits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn the_line_says_what_waits_and_when_a_sync_went_through() {
        let drained = Vitals { last_success_ms: Some(951_782_400_000), ..Vitals::default() };
        let offline = Vitals { pending_edits: 1, last_failure: Some("no_network".to_owned()), ..drained.clone() };
        let syncing = Vitals { is_syncing: true, ..offline.clone() };
        let full = AgentError::new("disk_full", "the disk is full", "", Exit::Disk);
        let refusing = Vitals { refusal: Some(full.clone()), pending_edits: 12, ..Vitals::default() };

        assert_eq!(text(&Ok(drained)), "0 edits to send; last sync 2000-02-29T00:00:00Z");
        assert_eq!(
            text(&Ok(offline)),
            "1 edit to send; last sync 2000-02-29T00:00:00Z, the last try failed: no_network"
        );
        assert_eq!(text(&Ok(syncing)), "1 edit to send; last sync 2000-02-29T00:00:00Z");
        assert_eq!(text(&Ok(refusing)), "records no edits: disk_full; 12 edits to send; last sync none yet");
        assert_eq!(text(&Err(full)), "not working: disk_full");
    }
}
