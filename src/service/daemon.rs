//! The loop around the plan: waits, lets the session's thread work, and brings everything to its end.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use serde_json::Value;

use super::caller::Caller;
use super::door::{NextSync, Shown};
use super::due::Rules;
use super::news::NewsStep;
use super::plan::{Outcome, Plan, Step, WAITING_MAX, Wake, Work};
use super::reloading::Reloader;
use super::supervisor::{Supervisor, Watchdog};
use crate::agent::Heard;
use crate::clock::{MonotonicMs, monotonic_now};
use crate::entropy;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::local_api::{Server, stopping};
use crate::operations::{Input, Performer};
use crate::operations::{Progress, Request, SyncOptions, SyncTally};

/// Wake-ups that may wait for the loop; it only ever does short things between two. Who comes then waits a moment.
const WAKES_MAX: usize = 2 * WAITING_MAX;
/// Longest single wait, in milliseconds: the system's timers stand still while a device sleeps.
const WAIT_SLICE_MS_MAX: u64 = 15_000;
/// How long a session may go on after the signal to stop, in milliseconds. Then it is abandoned.
const SESSION_STOP_MS_MAX: u64 = 2_500;
/// How long requests may go on after that, in milliseconds. Both together stay below the promised 5 seconds.
const REQUESTS_STOP_MS_MAX: u64 = 1_500;

const _: () = assert!(SESSION_STOP_MS_MAX + REQUESTS_STOP_MS_MAX < 5_000, "SIGTERM stops within 5 seconds");

/// The channel of wake-ups.
pub(super) fn wakes() -> (SyncSender<Wake<Caller>>, Receiver<Wake<Caller>>) {
    sync_channel(WAKES_MAX)
}

/// Everything that the loop holds.
pub(super) struct Daemon<'a> {
    pub(super) performer: Arc<dyn Performer>,
    pub(super) server: &'a Server,
    pub(super) shown: Arc<Shown>,
    pub(super) supervisor: Arc<Supervisor>,
    pub(super) watchdog: Watchdog,
    pub(super) reloader: Arc<Reloader>,
    pub(super) sender: SyncSender<Wake<Caller>>,
    pub(super) receiver: Receiver<Wake<Caller>>,
    pub(super) rules: Rules,
}

impl Daemon<'_> {
    /// Runs until the stop is complete.
    pub(super) fn run(mut self) {
        let mut plan = Plan::new(self.rules.clone(), monotonic_now(), entropy::number());
        let mut running: Vec<Caller> = Vec::new();
        let mut stop_at: Option<MonotonicMs> = None;
        loop {
            self.watchdog.turn(monotonic_now(), &self.supervisor);
            plan.see(self.performer.surroundings(), monotonic_now());
            self.show(&plan);
            if stop_at.is_some() && !plan.is_running() {
                break;
            }
            let Some(wake) = self.next_wake(stop_at.or(plan.look_at()), stop_at) else { break };
            plan.see(self.performer.surroundings(), monotonic_now());
            for step in plan.handle(wake, monotonic_now(), entropy::number()) {
                match step {
                    Step::Begin { work, callers } => {
                        running.clone_from(&callers);
                        self.begin(work, callers);
                    }
                    Step::RefuseStopping(caller) => caller.answer(Err(stopping())),
                    Step::RefuseFull(caller) => caller.answer(Err(too_many())),
                    Step::Reload => {
                        self.supervisor.reloading();
                        self.reload();
                    }
                    Step::News(NewsStep::Ask { wait_s }) => self.ask_for_news(wait_s),
                    Step::News(NewsStep::End) => self.performer.end_news(),
                    Step::SayReloaded => self.supervisor.ready(),
                    Step::Stop => {
                        self.supervisor.stopping();
                        self.server.refuse_work();
                        self.shown.watched.end();
                        self.performer.stop();
                        stop_at = Some(monotonic_now().plus(SESSION_STOP_MS_MAX));
                    }
                }
            }
            if !plan.is_running() {
                running.clear();
            }
        }
        if plan.is_running() {
            log::warn!("the session hangs in the network and is abandoned; what it was about comes again");
            for caller in running {
                caller.answer(Err(stopping()));
            }
        }
        if !self.server.wait_until_idle(monotonic_now().plus(REQUESTS_STOP_MS_MAX)) {
            log::warn!("requests were cut off; what they had recorded is recorded");
        }
    }

    /// The next wake-up; `None` if `give_up_at` passes first, or nobody is left who could send one.
    fn next_wake(&self, until: Option<MonotonicMs>, give_up_at: Option<MonotonicMs>) -> Option<Wake<Caller>> {
        let now = monotonic_now();
        if give_up_at.is_some_and(|give_up_at| give_up_at <= now) {
            return None;
        }
        let slice_ms = WAIT_SLICE_MS_MAX.min(self.watchdog.wait_ms(now));
        let wait_ms = until.map_or(slice_ms, |until| until.since(now).min(slice_ms));
        match self.receiver.recv_timeout(Duration::from_millis(wait_ms)) {
            Ok(wake) => Some(wake),
            Err(RecvTimeoutError::Timeout) => Some(Wake::Scheduled),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    fn show(&self, plan: &Plan<Caller>) {
        let next_sync = NextSync {
            at: plan.next_at(),
            is_running: plan.is_running(),
            reason: Some(plan.next_sync().reason),
            waits_for_news: plan.waits_for_news(),
            turned_at: Some(monotonic_now()),
        };
        let before = std::mem::replace(&mut *self.shown.next_sync(), next_sync);
        if is_other_schedule(&before, plan) {
            self.shown.watched.ring();
        }
    }

    /// Has the settings read by a thread of its own: a disk may let a read hang.
    fn reload(&self) {
        let reloader = Arc::clone(&self.reloader);
        let telling = Telling::or_else(&self.sender, Wake::Reloaded(None));
        let thread =
            std::thread::Builder::new().name("reload".to_owned()).spawn(move || run_reload(&reloader, telling));
        if let Err(error) = thread {
            // As for a session, the loop hears of it.
            log::error!("the settings were not read anew: no thread can be started error={error}");
        }
    }

    /// Asks on a thread of its own, which waits in the network for minutes and does nothing meanwhile.
    fn ask_for_news(&self, wait_s: u16) {
        let performer = Arc::clone(&self.performer);
        performer.begin_news();
        let telling = Telling::or_else(&self.sender, Wake::Heard(Heard::Failed { retry_after_ms: None }));
        let ask = move || run_news(&*performer, wait_s, telling);
        if let Err(error) = std::thread::Builder::new().name("news".to_owned()).spawn(ask) {
            // As for a session, the loop hears of it.
            log::warn!("central is not asked for news: no thread can be started error={error}");
        }
    }

    fn begin(&self, work: Work, callers: Vec<Caller>) {
        let performer = Arc::clone(&self.performer);
        let shown = Arc::clone(&self.shown);
        let telling = Telling::or_else(&self.sender, Wake::Ended(Outcome::Failed { retry_after_ms: None }));
        let refused = callers.clone();
        let thread = std::thread::Builder::new()
            .name("sync".to_owned())
            .spawn(move || run_session(&*performer, work, &callers, &shown, telling));
        if let Err(error) = thread {
            // The closure is dropped unused, and `Telling` with it: the loop hears of it as of any failure.
            log::error!("no thread can be started for a session error={error}");
            for caller in refused {
                caller.answer(Err(super::system("start a thread", &error)));
            }
        }
    }
}

/// Tells the loop what came of a thread's work, whatever way that ended.
struct Telling {
    sender: SyncSender<Wake<Caller>>,
    /// `None` once it is told.
    wake: Option<Wake<Caller>>,
}

impl Telling {
    /// What the loop hears if the thread ends by a mistake, or cannot be started.
    fn or_else(sender: &SyncSender<Wake<Caller>>, wake: Wake<Caller>) -> Self {
        Self { sender: sender.clone(), wake: Some(wake) }
    }

    fn tell(&mut self, wake: Wake<Caller>) {
        self.wake = Some(wake);
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if let Some(wake) = self.wake.take() {
            // Without a loop the process is ending.
            let _ = self.sender.send(wake);
        }
    }
}

/// Whether somebody who watches would see it.
fn is_other_schedule(before: &NextSync, plan: &Plan<Caller>) -> bool {
    before.at != plan.next_at()
        || before.is_running != plan.is_running()
        || before.waits_for_news != plan.waits_for_news()
}

fn run_reload(reloader: &Reloader, mut telling: Telling) {
    telling.tell(Wake::Reloaded(Some(reloader.reload())));
}

fn run_news(performer: &dyn Performer, wait_s: u16, mut telling: Telling) {
    telling.tell(Wake::Heard(performer.ask_for_news(wait_s)));
}

fn run_session(performer: &dyn Performer, work: Work, callers: &[Caller], shown: &Shown, mut telling: Telling) {
    let began = monotonic_now();
    let options = SyncOptions { tries_max: work.tries_max };
    let request = if work.is_initialise { Request::Initialise(options) } else { Request::Sync(options) };
    let mut progress = |progress: Progress| {
        shown.watched.step(Some(&progress));
        for caller in callers {
            caller.progress(&progress);
        }
    };
    let result = if work == Work::SCHEDULED && callers.is_empty() {
        performer.sync_by_schedule(&mut progress)
    } else {
        performer.perform(request, &mut Input::empty(), &mut progress)
    };
    log_result(&result);
    count(&result, monotonic_now().since(began), &mut shown.tally());
    shown.watched.step(None);
    shown.tell();
    telling.tell(Wake::Ended(outcome(&result)));
    for caller in callers {
        caller.answer(result.clone());
    }
}

fn outcome(result: &Result<Value, AgentError>) -> Outcome {
    match result {
        Ok(value) if value["outcome"] == "drained" && value["stored"] == 0 && value["refused"] == 0 => Outcome::Quiet,
        Ok(value) if value["outcome"] == "drained" => Outcome::Drained,
        Ok(value) => Outcome::Failed { retry_after_ms: value["failure"]["retry_after_ms"].as_u64() },
        Err(_) => Outcome::Failed { retry_after_ms: None },
    }
}

fn count(result: &Result<Value, AgentError>, duration_ms: u64, tally: &mut SyncTally) {
    tally.duration_ms += duration_ms;
    let Ok(value) = result else {
        tally.failed += 1;
        return;
    };
    if value["outcome"] == "drained" {
        tally.drained += 1;
    } else {
        tally.failed += 1;
    }
    let amount = |name: &str| value[name].as_u64().unwrap_or_default();
    tally.sent += amount("sent");
    tally.stored += amount("stored");
    tally.requests += amount("requests");
    tally.bytes_out += amount("bytes_out");
    tally.bytes_in += amount("bytes_in");
}

fn log_result(result: &Result<Value, AgentError>) {
    match result {
        Ok(value) => {
            let number = |name: &str| value[name].as_u64().unwrap_or_default();
            let counts = format!(
                "sent={} stored={} refused={} requests={} bytes_out={} bytes_in={}",
                number("sent"),
                number("stored"),
                number("refused"),
                number("requests"),
                number("bytes_out"),
                number("bytes_in")
            );
            let failure = &value["failure"];
            if failure.is_null() {
                log::info!("synced {counts}");
            } else {
                let text = |name: &str| failure[name].as_str().unwrap_or_default().to_owned();
                log::warn!("the sync did not go through code={} message={:?} {counts}", text("code"), text("message"));
            }
        }
        Err(error) => log::error!("the sync failed code={} message={:?}", error.code, error.message),
    }
}

fn too_many() -> AgentError {
    AgentError::new(
        "too_many_callers",
        format!("{WAITING_MAX} requests wait for the next sync already, which is the most"),
        "Ask again in a few seconds.",
        Exit::Busy,
    )
}
