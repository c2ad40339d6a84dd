//! A thread that does what nobody waits for, in bounded steps: judges what exchanges left, puts prescriptions and orders of before where
//! they are to be seen, looks again at transfers that wait, and prunes the log of entries and the tombstones.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use domain::preference::Preference;

use crate::center::Center;
use crate::clock;
use crate::error::{CentralError, Exit};
use crate::sync_api::JUDGE_MS_MAX;
use crate::writer::WriteError;

/// How often it looks for something to judge.
const TICK_MS: u64 = 500;
/// How often it looks for something to prune.
const PRUNE_EVERY_MS: u64 = 60 * 60 * 1000;
/// Entries pruned in one commit: a few milliseconds, so that exchanges hardly wait.
pub const PRUNE_STEP_ENTRIES_MAX: u64 = 2_000;
/// Prescriptions and lines that are shared in one commit.
const SHARE_STEP_ROWS_MAX: u64 = 2_000;
/// Orders and lines that come to be seen by the primary in one commit, or cease to be; the last order's are all among them.
const ORDER_STEP_ROWS_MAX: u64 = 50;
/// Transfers that are looked at again in one commit: a half has some hundred lines.
const TRANSFERS_STEP_MAX: u64 = 20;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Runs until it is dropped.
pub struct Janitor {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Janitor {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn start(center: &Arc<Center>) -> Result<Self, CentralError> {
        let (stop, stopped) = channel();
        let center = Arc::downgrade(center);
        let builder = std::thread::Builder::new().name("janitor".to_owned());
        let thread = builder.spawn(move || work_until_stopped(&center, &stopped)).map_err(|error| {
            let advice = "Raise the limit of threads of this user.";
            CentralError::new("no_thread", format!("the janitor cannot start: {error}"), advice, Exit::Failed)
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the janitor ended by a mistake in the program");
        }
    }
}

fn work_until_stopped(center: &Weak<Center>, stopped: &Receiver<()>) {
    let mut prune_at_ms = clock::monotonic_ms();
    let mut wait_ms = 0;
    loop {
        match stopped.recv_timeout(Duration::from_millis(wait_ms)) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
        let Some(center) = center.upgrade() else { return };
        let now_ms = clock::monotonic_ms();
        let worked = judge(&center).and_then(|judges_more| {
            let shares_more = carry_out(&center, Preference::PrescriptionsWhereVisible, SHARE_STEP_ROWS_MAX)?;
            let routes_more = carry_out(&center, Preference::CentralisedProcurement, ORDER_STEP_ROWS_MAX)?;
            let tries_more = try_transfers_again(&center)?;
            let has_more = shares_more || routes_more || judges_more || tries_more;
            let mut prunes_more = false;
            if now_ms >= prune_at_ms {
                prunes_more = prune(&center)?;
                if !prunes_more {
                    prune_at_ms = now_ms + PRUNE_EVERY_MS;
                }
            }
            Ok(has_more || prunes_more)
        });
        wait_ms = match worked {
            // Between two steps others have their turn: the writer takes what waits.
            Ok(true) => 1,
            Ok(false) => TICK_MS,
            Err(WriteError::Stopping) => return,
            Err(WriteError::Store(error)) => {
                tracing::error!(code = error.code(), "the janitor failed, and tries again: {error}");
                60_000
            }
        };
    }
}

/// One step of judging; whether more is left.
fn judge(center: &Center) -> Result<bool, WriteError> {
    let Some(site) = center.next_to_judge() else { return Ok(false) };
    let judged = center.write(move |batch| {
        let deadline_ms = clock::monotonic_ms() + JUDGE_MS_MAX;
        batch.judge(site, &mut || clock::monotonic_ms() < deadline_ms)
    })?;
    if judged.has_more && judged.groups > 0 {
        center.judge_later(site);
    }
    Ok(true)
}

/// One step of what a preference asks for, if that is not carried out for all of before; whether more is left.
fn carry_out(center: &Center, preference: Preference, rows_max: u64) -> Result<bool, WriteError> {
    match center.read(move |reading| reading.is_under_way(preference)) {
        Ok(true) => center.write(move |batch| batch.carry_out_step(preference, rows_max)),
        Ok(false) => Ok(false),
        Err(error) => {
            let preference = preference.as_str();
            tracing::error!(
                preference,
                "the janitor cannot see whether a preference is carried out, and looks again: {error}"
            );
            Ok(false)
        }
    }
}

/// Looks again at some transfers that wait for a record; whether more are to be looked at.
fn try_transfers_again(center: &Center) -> Result<bool, WriteError> {
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is of one lifetime, the closure of any")]
    match center.read(|reading| reading.has_waiting_transfers()) {
        Ok(true) => center.write(move |batch| batch.retry_transfers_step(TRANSFERS_STEP_MAX)),
        Ok(false) => Ok(false),
        Err(error) => {
            tracing::error!("the janitor cannot see whether transfers wait, and looks again: {error}");
            Ok(false)
        }
    }
}

/// One step of pruning; whether more is left.
fn prune(center: &Center) -> Result<bool, WriteError> {
    let days = u64::from(center.settings().log.entry_log_days);
    let before_ms = clock::wall_ms().saturating_sub(days * DAY_MS);
    let pruned = center.write(move |batch| batch.prune(before_ms, PRUNE_STEP_ENTRIES_MAX))?;
    if pruned > 0 {
        tracing::info!(pruned, days, "pruned the log of entries");
    }
    let days = u64::from(center.settings().log.tombstone_days);
    let today = clock::wall_ms() / DAY_MS;
    let gone = center.write(move |batch| batch.prune_old_tombstones(today, days, PRUNE_STEP_ENTRIES_MAX))?;
    if gone > 0 {
        tracing::info!(gone, days, "took old tombstones out of the lanes");
    }
    Ok(pruned >= PRUNE_STEP_ENTRIES_MAX || gone >= PRUNE_STEP_ENTRIES_MAX)
}
