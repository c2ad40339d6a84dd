//! Syncing while somebody waits: sessions until everything went through, or until trying again does not help.

use protocol::message::is_pause;
use protocol::schedule::Schedule;
use protocol::session::{Advice, Summary};
use serde_json::{Value, json};

use super::{Progress, SyncOptions, verify};
use crate::agent::Agent;
use crate::entropy;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::sync_runner::{CREDENTIALS_CHANGED, Report, SessionFailure};

/// Longest wait between two tries of a sync that somebody waits for, in milliseconds.
const RETRY_WAIT_MS_MAX: u64 = 10_000;

/// Sums over the sessions of one sync.
#[derive(Default)]
struct Totals {
    sent: u64,
    sent_total: Option<u64>,
    stored: u64,
    stored_total: Option<u64>,
    requests: u64,
    bytes_out: u64,
    bytes_in: u64,
}

/// Push, then pull; then compare, if central has asked for that.
pub(super) fn sync(
    agent: &Agent,
    options: &SyncOptions,
    events: &mut dyn FnMut(Progress),
) -> Result<Value, AgentError> {
    let mut result = sync_alone(agent, options, events)?;
    if result["outcome"] == "drained" {
        result["verified"] = verify::verify_if_asked(agent, options, events);
    }
    Ok(result)
}

/// The same because the schedule says so: once, and within the byte budgets.
pub(super) fn sync_by_schedule(agent: &Agent, events: &mut dyn FnMut(Progress)) -> Result<Value, AgentError> {
    let options = SyncOptions { tries_max: 1 };
    let mut result = sync_within(agent, true, &options, events)?;
    if result["outcome"] == "drained" {
        result["verified"] = verify::verify_if_asked(agent, &options, events);
    }
    Ok(result)
}

/// Push, then pull.
pub(super) fn sync_alone(
    agent: &Agent,
    options: &SyncOptions,
    events: &mut dyn FnMut(Progress),
) -> Result<Value, AgentError> {
    sync_within(agent, false, options, events)
}

fn sync_within(
    agent: &Agent,
    is_budgeted: bool,
    options: &SyncOptions,
    events: &mut dyn FnMut(Progress),
) -> Result<Value, AgentError> {
    let refused_before = agent.recorder()?.core().local.set_aside_count()?;
    let (totals, failure) = run_sessions(agent, is_budgeted, options, events)?;
    let refused = agent.recorder()?.core().local.set_aside_count()?.saturating_sub(refused_before);
    let unjudged = agent.recorder()?.core().local.queue_view()?.unjudged;
    Ok(json!({
        "outcome": if failure.is_none() { "drained" } else { "failed" },
        "sent": totals.sent,
        "stored": totals.stored,
        "refused": refused,
        "unjudged": unjudged,
        "recovery": super::recover::recovery_under_way(agent)?,
        "requests": totals.requests,
        "bytes_out": totals.bytes_out,
        "bytes_in": totals.bytes_in,
        "failure": failure.map(|failure| json!({
            "code": failure.code,
            "message": failure.message,
            "advice": failure.advice_text(),
            "exit": failure.exit.code(),
            "retry_after_ms": match failure.advice {
                Advice::Wait { seconds } => Some(u64::from(seconds) * 1000),
                Advice::Retry | Advice::Operator => None,
            },
        })),
    }))
}

/// Fetches everything anew, and lets go of what central does not have for this site any more.
pub(super) fn initialise(
    agent: &Agent,
    options: &SyncOptions,
    events: &mut dyn FnMut(Progress),
) -> Result<Value, AgentError> {
    agent.recorder()?.core().local.begin_rebuild()?;
    sync(agent, options, events)
}

fn run_sessions(
    agent: &Agent,
    is_budgeted: bool,
    options: &SyncOptions,
    events: &mut dyn FnMut(Progress),
) -> Result<(Totals, Option<SessionFailure>), AgentError> {
    let mut totals = Totals::default();
    let mut failures = 0;
    let mut has_proved = false;
    loop {
        let report = agent.run_session_within(is_budgeted, &mut |summary| events(totals.progress(summary)))?;
        let has_progress = report.summary.entries_received > 0 || report.summary.rows_stored > 0;
        totals.add(&report);
        let Some(mut failure) = report.failure else {
            if report.has_more_to_send {
                continue;
            }
            return Ok((totals, None));
        };
        if failure.code == CREDENTIALS_CHANGED && !has_proved {
            has_proved = true;
            match agent.prove_again() {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => failure = not_proved(failure, &error),
            }
        }
        failures = if has_progress { 1 } else { failures + 1 };
        if failure.advice == Advice::Operator
            || is_pause(&failure.code)
            || failures >= options.tries_max.max(1)
            || agent.is_stopping()
        {
            return Ok((totals, Some(failure)));
        }
        let wait_ms = retry_wait_ms(agent.schedule(), failures, failure.advice);
        events(Progress::Waiting { code: failure.code.clone(), message: failure.message.clone(), wait_ms });
        if !agent.wait(wait_ms) {
            return Ok((totals, Some(failure)));
        }
    }
}

fn retry_wait_ms(schedule: Schedule, failures: u32, advice: Advice) -> u64 {
    let patient = Schedule { backoff_max_ms: schedule.backoff_max_ms.min(RETRY_WAIT_MS_MAX), ..schedule };
    let asked = if let Advice::Wait { seconds } = advice { Some(u64::from(seconds) * 1000) } else { None };
    patient.retry_ms(failures, asked, entropy::number())
}

/// Those of the configuration were shown, and it did not help.
fn not_proved(failure: SessionFailure, error: &AgentError) -> SessionFailure {
    let is_link = matches!(error.exit, Exit::Offline | Exit::Busy);
    SessionFailure {
        message: format!(
            "{}; those of the configuration were shown, and that failed: {} [{}]",
            failure.message, error.message, error.code
        ),
        advice: if is_link { Advice::Retry } else { Advice::Operator },
        exit: if is_link { error.exit } else { failure.exit },
        ..failure
    }
}

impl Totals {
    fn add(&mut self, report: &Report) {
        let summary = &report.summary;
        self.sent_total.get_or_insert(summary.entries_total);
        self.sent += summary.entries_received;
        self.stored_total = self.stored_total.or(summary.rows_total);
        self.stored += summary.rows_stored;
        self.requests += u64::from(summary.requests);
        self.bytes_out += summary.bytes_out;
        self.bytes_in += summary.bytes_in;
    }

    fn progress(&self, summary: &Summary) -> Progress {
        Progress::Syncing {
            sent: self.sent + summary.entries_received,
            sent_total: self.sent_total.unwrap_or(summary.entries_total),
            stored: self.stored + summary.rows_stored,
            stored_total: self.stored_total.or(summary.rows_total),
            bytes_out: self.bytes_out + summary.bytes_out,
            bytes_in: self.bytes_in + summary.bytes_in,
        }
    }
}
