//! How the agent is, in figures that cost little: for supervisors and for whoever collects metrics, who ask again and again.

use crate::agent::Agent;
use crate::error::AgentError;
use crate::journal::{Journal, Storage, SyncsDone};
use crate::recorder::Core;

/// The figures. Times are milliseconds since 1970 by this device's clock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vitals {
    /// Why an edit would not be recorded now; `None` if one would. Being offline is no reason.
    pub refusal: Option<AgentError>,
    /// Edits that central has not received.
    pub pending_edits: u64,
    /// Their bytes as they are journaled.
    pub pending_bytes: u64,
    /// When the oldest of them was recorded.
    pub oldest_pending_ms: Option<u64>,
    /// Edits that central has received and not judged.
    pub unjudged_edits: u64,
    /// Edits that wait at central for their header.
    pub waiting_edits: u64,
    /// Refused edits that nobody has looked after.
    pub set_aside_edits: u64,
    /// Their bytes.
    pub set_aside_bytes: u64,
    /// When a sync last ended, well or not.
    pub last_attempt_ms: Option<u64>,
    /// When one last went through.
    pub last_success_ms: Option<u64>,
    /// When nothing was left to send after one.
    pub last_drained_ms: Option<u64>,
    /// The code of the last one, if it failed.
    pub last_failure: Option<String>,
    /// Own edits on the disk: what goes to central, then what never leaves the site.
    pub journals: [JournalVitals; 2],
    /// What syncs did since the daemon began; nothing without one.
    pub syncs: SyncTally,
    /// Whether one runs.
    pub is_syncing: bool,
    /// When the next one comes; `None` while one runs, and where only people ask for them.
    pub next_sync_ms: Option<u64>,
}

/// Of one journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalVitals {
    /// Bytes on the disk.
    pub bytes: u64,
    /// Its limit, in bytes.
    pub bytes_max: u64,
    /// What making edits durable took since the journal was opened.
    pub syncs: SyncsDone,
}

/// Sums over syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncTally {
    /// Syncs that went through.
    pub drained: u64,
    /// Syncs that did not.
    pub failed: u64,
    /// Edits that central received.
    pub sent: u64,
    /// Rows from central that were stored.
    pub stored: u64,
    /// Requests to central.
    pub requests: u64,
    /// Bytes of them.
    pub bytes_out: u64,
    /// Bytes of the replies.
    pub bytes_in: u64,
    /// How long the syncs took, in milliseconds.
    pub duration_ms: u64,
}

/// Looks at an agent. Waits for an edit that is being recorded.
///
/// # Errors
/// Those of reading the local copy.
pub(super) fn vitals(agent: &Agent) -> Result<Vitals, AgentError> {
    let recorder = match agent.recorder() {
        Ok(recorder) => recorder,
        Err(not_enrolled) => return Ok(Vitals { refusal: Some(not_enrolled), ..Vitals::default() }),
    };
    let mut core = recorder.core();
    let received = core.local.session_state()?.received;
    let queue = core.local.queue_view()?;
    let times = core.local.sync_times()?;
    Ok(Vitals {
        refusal: refusal(&mut core).err(),
        pending_edits: core.shared.durable().sequence.0.saturating_sub(received.0),
        pending_bytes: queue.bytes,
        oldest_pending_ms: queue.oldest_recorded_at_ms,
        unjudged_edits: queue.unjudged,
        waiting_edits: queue.waiting,
        set_aside_edits: core.local.set_aside_count()?,
        set_aside_bytes: core.local.set_aside_bytes()?,
        last_attempt_ms: times.attempt_ms,
        last_success_ms: times.success_ms,
        last_drained_ms: times.drained_ms,
        last_failure: times.failure.map(|(code, _)| code),
        journals: [of_journal(&core.shared), of_journal(&core.private)],
        ..Vitals::default()
    })
}

/// Whether an edit would be recorded: the same looks as recording takes, without an edit.
fn refusal<S: Storage>(core: &mut Core<S>) -> Result<(), AgentError> {
    core.shared.check_ready()?;
    core.private.check_ready()?;
    core.local.check_room(None)?;
    Ok(())
}

fn of_journal<S: Storage>(journal: &Journal<S>) -> JournalVitals {
    let fill = journal.fill();
    JournalVitals { bytes: fill.bytes, bytes_max: fill.limit_bytes, syncs: journal.syncs() }
}
