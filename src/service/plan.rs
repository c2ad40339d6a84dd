//! What the daemon does next: pure, so that a test can let years pass in a moment.

use super::due::{Due, Next, Rules};
use super::news::{NewsStep, NewsWatch};
use crate::agent::Heard;
use crate::clock::MonotonicMs;
use crate::operations::SYNC_TRIES_DEFAULT;
use crate::pacing::Surroundings;

/// Most callers that wait for the next session: as many as there can be connections.
pub const WAITING_MAX: usize = crate::local_api::CONNECTIONS_MAX;

/// Why the loop wakes up. `C` is whoever waits for an answer.
#[derive(Debug)]
pub enum Wake<C> {
    /// The time that the plan named has come, or nearly.
    Scheduled,
    /// Somebody asks for a session and waits for its result.
    Asked(Work, C),
    /// The session that ran is over.
    Ended(Outcome),
    /// A signal came.
    Signal(Signal),
    /// Something was recorded.
    Edited,
    /// The network is another one than it was.
    NetworkChanged,
    /// What came of a question for news.
    Heard(Heard),
    /// Settings were read anew; `None` if that broke.
    Reloaded(Option<Rules>),
}

/// The signals that mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGUSR1.
    SyncNow,
    /// SIGTERM and SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// What a session is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Fetch everything anew, which includes everything that a sync does.
    pub is_initialise: bool,
    /// Sessions that may fail in a row before it gives up.
    pub tries_max: u32,
}

impl Work {
    /// A sync by itself: the schedule repeats it, so it tries once.
    pub const SCHEDULED: Self = Self { is_initialise: false, tries_max: 1 };
    /// A sync that somebody wants but does not watch.
    pub const WANTED: Self = Self { is_initialise: false, tries_max: SYNC_TRIES_DEFAULT };

    /// One piece of work that does for both.
    fn and(self, other: Self) -> Self {
        Self {
            is_initialise: self.is_initialise || other.is_initialise,
            tries_max: self.tries_max.max(other.tries_max),
        }
    }
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything went through.
    Drained,
    /// The same, and nothing came.
    Quiet,
    /// It did not.
    Failed {
        /// What central asked to wait at least, in milliseconds.
        retry_after_ms: Option<u64>,
    },
}

/// What the loop is to do about a wake-up.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<C> {
    /// Start the session; its result goes to all callers.
    Begin {
        /// What it is to do.
        work: Work,
        /// Who waits for it.
        callers: Vec<C>,
    },
    /// Tell this caller that the agent is stopping.
    RefuseStopping(C),
    /// Tell this caller that too many wait.
    RefuseFull(C),
    /// Ask central for news, or end that.
    News(NewsStep),
    /// Read the settings anew.
    Reload,
    /// Say that the settings were read anew.
    SayReloaded,
    /// Bring everything to its end.
    Stop,
}

/// Whether settings are being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reload {
    /// No.
    Idle,
    /// Yes.
    Running,
    /// Yes, and they may have changed since: they are read once more.
    RunningThenAgain,
}

/// The state of the loop.
pub struct Plan<C> {
    due: Due,
    is_running: bool,
    is_stopping: bool,
    reload: Reload,
    next_work: Option<Work>,
    waiting: Vec<C>,
    news: NewsWatch,
}

impl<C> Plan<C> {
    /// Nothing runs; the first sync comes when [`Due::new`] says.
    pub fn new(rules: impl Into<Rules>, now: MonotonicMs, entropy: u64) -> Self {
        Self {
            due: Due::new(rules.into(), now, entropy),
            is_running: false,
            is_stopping: false,
            reload: Reload::Idle,
            next_work: None,
            waiting: Vec::new(),
            news: NewsWatch::default(),
        }
    }

    /// Takes in what bears on the schedule from outside. To be told before each wait and each wake-up.
    pub fn see(&mut self, around: Surroundings, now: MonotonicMs) {
        self.due.see(around, now);
    }

    /// When the schedule wants the next session, and why then.
    pub fn next_sync(&self) -> Next {
        self.due.next()
    }

    /// When the schedule wants the next session; `None` while one runs, and where only somebody who asks brings one.
    pub fn next_at(&self) -> Option<MonotonicMs> {
        if self.is_stopping { None } else { self.due.next().at }
    }

    /// Whether a session runs.
    pub fn is_running(&self) -> bool {
        self.is_running
    }

    /// When the loop is to look again: for the next session, or for the next question for news.
    pub fn look_at(&self) -> Option<MonotonicMs> {
        let news_at = self.news.due_at().filter(|_| !self.is_stopping && self.due.may_ask_for_news());
        self.next_at().into_iter().chain(news_at).min()
    }

    /// Whether central is to tell this site once something waits for it.
    pub fn waits_for_news(&self) -> bool {
        self.news.is_open()
    }

    /// Takes one wake-up in. `entropy` is any random number.
    pub fn handle(&mut self, wake: Wake<C>, now: MonotonicMs, entropy: u64) -> Vec<Step<C>> {
        let mut steps = self.take_in(wake, now, entropy);
        // Whoever stops ends everything that is under way.
        if !self.is_stopping {
            let (may_ask, may_wait) = (self.due.may_ask_for_news(), self.due.may_wait_for_news());
            steps.extend(self.news.step(may_ask, may_wait, now).map(Step::News));
        }
        steps
    }

    fn take_in(&mut self, wake: Wake<C>, now: MonotonicMs, entropy: u64) -> Vec<Step<C>> {
        match wake {
            Wake::Scheduled => {
                if self.next_at().is_some_and(|next_at| next_at <= now) {
                    self.want(Work::SCHEDULED, now)
                } else {
                    Vec::new()
                }
            }
            Wake::Asked(_, caller) if self.is_stopping => vec![Step::RefuseStopping(caller)],
            Wake::Asked(_, caller) if self.waiting.len() >= WAITING_MAX => vec![Step::RefuseFull(caller)],
            Wake::Asked(work, caller) => {
                self.waiting.push(caller);
                self.want(work, now)
            }
            Wake::Signal(Signal::SyncNow) => self.want(Work::WANTED, now),
            Wake::Signal(Signal::Reload) => self.reload(),
            Wake::Signal(Signal::Stop) => self.stop(),
            Wake::Ended(outcome) => self.end(outcome, now, entropy),
            Wake::Edited => {
                self.due.edited(now);
                Vec::new()
            }
            Wake::NetworkChanged => {
                self.due.network_changed(now);
                self.news.network_changed(now);
                Vec::new()
            }
            Wake::Heard(heard) => {
                if heard == Heard::Nothing {
                    self.due.no_news();
                }
                if let Some(asked_at) = self.news.heard(heard, self.due.schedule(), now, entropy) {
                    self.due.news(asked_at, now);
                }
                Vec::new()
            }
            Wake::Reloaded(rules) => self.reloaded(rules, now, entropy),
        }
    }

    /// A session is wanted: now, or after the one that runs. All who want one meanwhile share it.
    fn want(&mut self, work: Work, now: MonotonicMs) -> Vec<Step<C>> {
        if self.is_stopping {
            return Vec::new();
        }
        let work = self.next_work.map_or(work, |wanted| wanted.and(work));
        if self.is_running {
            self.next_work = Some(work);
            return Vec::new();
        }
        self.next_work = None;
        self.due.begin(now);
        self.is_running = true;
        vec![Step::Begin { work, callers: std::mem::take(&mut self.waiting) }]
    }

    fn end(&mut self, outcome: Outcome, now: MonotonicMs, entropy: u64) -> Vec<Step<C>> {
        self.is_running = false;
        let had_failed = self.due.has_failed();
        self.due.end(outcome, now, entropy);
        if !self.due.has_failed() {
            self.news.session_came_through(had_failed, now);
        }
        if self.is_stopping {
            return Vec::new();
        }
        self.next_work.take().map_or_else(Vec::new, |work| self.want(work, now))
    }

    fn reload(&mut self) -> Vec<Step<C>> {
        if self.is_stopping {
            return Vec::new();
        }
        if self.reload != Reload::Idle {
            self.reload = Reload::RunningThenAgain;
            return Vec::new();
        }
        self.reload = Reload::Running;
        vec![Step::Reload]
    }

    fn reloaded(&mut self, rules: Option<Rules>, now: MonotonicMs, entropy: u64) -> Vec<Step<C>> {
        let is_to_repeat = std::mem::replace(&mut self.reload, Reload::Idle) == Reload::RunningThenAgain;
        if self.is_stopping {
            return Vec::new();
        }
        if let Some(rules) = rules {
            self.due.set_rules(rules, self.is_running, now, entropy);
        }
        let mut steps = vec![Step::SayReloaded];
        if is_to_repeat {
            steps.extend(self.reload());
        }
        steps
    }

    fn stop(&mut self) -> Vec<Step<C>> {
        if std::mem::replace(&mut self.is_stopping, true) {
            return Vec::new();
        }
        self.next_work = None;
        let mut steps: Vec<Step<C>> = self.waiting.drain(..).map(Step::RefuseStopping).collect();
        steps.push(Step::Stop);
        steps
    }
}

#[cfg(test)]
mod tests {
    use protocol::schedule::Schedule;

    use super::*;

    const SCHEDULE: Schedule =
        Schedule { interval_ms: Some(300_000), jitter_percent: 10, backoff_first_ms: 5_000, backoff_max_ms: 600_000 };
    const MANUAL: Schedule = Schedule { interval_ms: None, ..SCHEDULE };
    const SYNC: Work = Work { is_initialise: false, tries_max: 2 };
    const INITIALISE: Work = Work { is_initialise: true, tries_max: 1 };
    const FAILED: Wake<u8> = Wake::Ended(Outcome::Failed { retry_after_ms: None });

    fn at(ms: u64) -> MonotonicMs {
        MonotonicMs(ms)
    }

    fn begin(work: Work, callers: &[u8]) -> Vec<Step<u8>> {
        vec![Step::Begin { work, callers: callers.to_vec() }]
    }

    #[test]
    fn the_first_sync_comes_within_the_jitter_and_the_next_an_interval_after_the_end() {
        let mut plan = Plan::<u8>::new(SCHEDULE, at(1_000), 20_000);
        assert_eq!(plan.next_at(), Some(at(21_000)));

        assert_eq!(plan.handle(Wake::Scheduled, at(20_999), 0), []);
        assert_eq!(plan.handle(Wake::Scheduled, at(21_000), 0), begin(Work::SCHEDULED, &[]));
        assert_eq!(plan.next_at(), None);
        assert_eq!(plan.handle(Wake::Scheduled, at(900_000), 0), []);
        assert_eq!(plan.handle(Wake::Ended(Outcome::Drained), at(1_000_000), 7), []);
        assert_eq!(plan.next_at(), Some(at(1_300_007)));
    }

    #[test]
    fn failures_wait_longer_each_time_until_one_goes_through() {
        let mut plan = Plan::<u8>::new(SCHEDULE, at(0), 0);
        let mut waits = Vec::new();
        for wake in [FAILED, FAILED, FAILED, Wake::Ended(Outcome::Drained), FAILED] {
            let now = plan.next_at().unwrap();
            plan.handle(Wake::Scheduled, now, 0);
            plan.handle(wake, now, 0);
            waits.push(plan.next_at().unwrap().since(now));
        }

        assert_eq!(waits, [5_000, 10_000, 20_000, 300_000, 5_000]);
    }

    #[test]
    fn who_asks_while_a_session_runs_shares_the_next_one_with_all_others() {
        let mut plan = Plan::new(SCHEDULE, at(0), 0);

        assert_eq!(plan.handle(Wake::Asked(SYNC, 1), at(0), 0), begin(SYNC, &[1]));
        for wake in [Wake::Asked(SYNC, 2), Wake::Signal(Signal::SyncNow), Wake::Asked(INITIALISE, 3)] {
            assert_eq!(plan.handle(wake, at(1), 0), []);
        }
        let shared = Work { is_initialise: true, tries_max: SYNC_TRIES_DEFAULT };

        assert_eq!(plan.handle(FAILED, at(2), 0), begin(shared, &[2, 3]));
        assert_eq!(plan.handle(Wake::Ended(Outcome::Drained), at(3), 0), []);
        assert!(!plan.is_running());
    }

    #[test]
    fn a_signal_during_a_session_is_not_lost_and_several_are_one() {
        let mut plan = Plan::<u8>::new(SCHEDULE, at(0), 0);
        plan.handle(Wake::Signal(Signal::SyncNow), at(0), 0);
        for _ in 0..5 {
            assert_eq!(plan.handle(Wake::Signal(Signal::SyncNow), at(0), 0), []);
        }

        assert_eq!(plan.handle(Wake::Ended(Outcome::Drained), at(0), 0), begin(Work::WANTED, &[]));
        assert_eq!(plan.handle(Wake::Ended(Outcome::Drained), at(0), 0), []);
    }

    #[test]
    fn one_caller_more_than_may_wait_is_turned_away() {
        let mut plan = Plan::new(SCHEDULE, at(0), 0);
        plan.handle(Wake::Signal(Signal::SyncNow), at(0), 0);
        for caller in 0..WAITING_MAX {
            assert_eq!(plan.handle(Wake::Asked(SYNC, caller), at(0), 0), []);
        }

        assert_eq!(plan.handle(Wake::Asked(SYNC, 99), at(0), 0), [Step::RefuseFull(99)]);
    }

    #[test]
    fn after_stop_nothing_begins_and_everyone_is_told() {
        let mut plan = Plan::new(SCHEDULE, at(0), 0);
        plan.handle(Wake::Asked(SYNC, 1), at(0), 0);
        plan.handle(Wake::Asked(SYNC, 2), at(0), 0);

        assert_eq!(plan.handle(Wake::Signal(Signal::Stop), at(0), 0), [Step::RefuseStopping(2), Step::Stop]);
        assert_eq!(plan.handle(Wake::Signal(Signal::Stop), at(0), 0), []);
        assert_eq!(plan.handle(Wake::Asked(SYNC, 3), at(0), 0), [Step::RefuseStopping(3)]);
        assert_eq!(plan.handle(Wake::Signal(Signal::SyncNow), at(0), 0), []);
        assert_eq!(plan.handle(FAILED, at(0), 0), []);
        assert_eq!(plan.handle(Wake::Scheduled, at(u64::MAX), 0), []);
        assert!(!plan.is_running());
    }

    #[test]
    fn a_manual_site_waits_for_ever() {
        let mut plan = Plan::<u8>::new(MANUAL, at(0), 5);

        assert_eq!(plan.next_at(), None);
        assert_eq!(plan.handle(Wake::Scheduled, at(u64::MAX), 0), []);
    }

    #[test]
    fn a_schedule_that_was_read_anew_counts_at_once() {
        let hourly = Schedule { interval_ms: Some(3_600_000), ..SCHEDULE };
        let mut plan = Plan::<u8>::new(MANUAL, at(0), 0);

        assert_eq!(plan.handle(Wake::Signal(Signal::Reload), at(0), 0), [Step::Reload]);
        assert_eq!(plan.handle(Wake::Reloaded(Some(SCHEDULE.into())), at(1_000), 0), [Step::SayReloaded]);
        assert_eq!(plan.next_at(), Some(at(301_000)));

        for now in [100_000, 200_000] {
            plan.handle(Wake::Signal(Signal::Reload), at(now), 0);
            plan.handle(Wake::Reloaded(Some(SCHEDULE.into())), at(now), 0);
            plan.handle(Wake::Signal(Signal::Reload), at(now), 0);
            plan.handle(Wake::Reloaded(Some(hourly.into())), at(now), 0);
            assert_eq!(plan.next_at(), Some(at(301_000)), "reading settings puts nothing off");
        }
        plan.handle(Wake::Scheduled, at(301_000), 0);
        plan.handle(Wake::Signal(Signal::Reload), at(301_000), 0);
        plan.handle(Wake::Reloaded(Some(MANUAL.into())), at(301_000), 0);
        plan.handle(Wake::Ended(Outcome::Drained), at(302_000), 0);
        assert_eq!(plan.next_at(), None);
    }

    #[test]
    fn a_wait_after_a_failure_is_not_cut_short_by_settings() {
        let minute = Schedule { interval_ms: Some(60_000), ..SCHEDULE };
        let mut plan = Plan::<u8>::new(SCHEDULE, at(0), 0);
        plan.handle(Wake::Scheduled, at(0), 0);
        plan.handle(Wake::Ended(Outcome::Failed { retry_after_ms: Some(500_000) }), at(0), 0);
        plan.handle(Wake::Signal(Signal::Reload), at(0), 0);
        plan.handle(Wake::Reloaded(Some(minute.into())), at(0), 0);

        assert_eq!(plan.next_at(), Some(at(500_000)));
    }

    #[test]
    fn settings_that_could_not_be_read_leave_the_schedule_as_it_was() {
        let mut plan = Plan::<u8>::new(SCHEDULE, at(0), 20_000);
        plan.handle(Wake::Signal(Signal::Reload), at(0), 0);

        assert_eq!(plan.handle(Wake::Reloaded(None), at(5), 0), [Step::SayReloaded]);
        assert_eq!(plan.next_at(), Some(at(20_000)));
    }

    #[test]
    fn a_signal_while_settings_are_read_has_them_read_once_more() {
        let mut plan = Plan::<u8>::new(SCHEDULE, at(0), 0);
        let reload = || Wake::Signal(Signal::Reload);
        assert_eq!(plan.handle(reload(), at(0), 0), [Step::Reload]);
        assert_eq!(plan.handle(reload(), at(0), 0), []);
        assert_eq!(plan.handle(reload(), at(0), 0), []);

        assert_eq!(plan.handle(Wake::Reloaded(None), at(0), 0), [Step::SayReloaded, Step::Reload]);
        assert_eq!(plan.handle(Wake::Reloaded(None), at(0), 0), [Step::SayReloaded]);
        assert_eq!(plan.handle(reload(), at(0), 0), [Step::Reload]);
        plan.handle(Wake::Signal(Signal::Stop), at(0), 0);
        assert_eq!(plan.handle(Wake::Reloaded(None), at(0), 0), [], "a stop is not taken back by a reload");
        assert_eq!(plan.handle(reload(), at(0), 0), []);
    }

    fn waiting_plan() -> Plan<u8> {
        let pacing = protocol::schedule::Pacing { waits_for_news: true, ..Default::default() };
        let mut plan = Plan::new(Rules { schedule: SCHEDULE, pacing }, at(0), 0);
        plan.handle(Wake::Scheduled, at(0), 0);
        plan
    }

    #[test]
    fn after_a_session_central_is_asked_for_news_which_bring_the_next() {
        let mut plan = waiting_plan();
        let ask = Step::News(NewsStep::Ask { wait_s: protocol::limits::NEWS_WAIT_S_MAX });
        assert_eq!(plan.handle(Wake::Ended(Outcome::Drained), at(10), 0), [ask]);
        assert!(plan.waits_for_news());
        assert_eq!(plan.look_at(), plan.next_at());

        assert_eq!(plan.handle(Wake::Heard(Heard::Something), at(2_000), 0), []);
        assert_eq!((plan.next_sync().reason, plan.next_at()), (super::super::due::Reason::News, Some(at(2_000))));
        assert_eq!(plan.handle(Wake::Scheduled, at(2_000), 0), begin(Work::SCHEDULED, &[]));
        assert_eq!(plan.handle(Wake::Ended(Outcome::Drained), at(2_100), 0).len(), 1);
    }

    #[test]
    fn a_question_stays_open_during_a_session_and_is_ended_by_settings_and_not_asked_after_stop() {
        let mut plan = waiting_plan();
        plan.handle(Wake::Ended(Outcome::Drained), at(10), 0);
        assert_eq!(plan.handle(Wake::Signal(Signal::SyncNow), at(20), 0), begin(Work::WANTED, &[]));
        assert_eq!(plan.handle(Wake::Ended(Outcome::Quiet), at(30), 0), []);

        plan.handle(Wake::Signal(Signal::Reload), at(40), 0);
        let steps = plan.handle(Wake::Reloaded(Some(SCHEDULE.into())), at(41), 0);
        assert_eq!(steps, [Step::SayReloaded, Step::News(NewsStep::End)]);
        assert_eq!(plan.handle(Wake::Heard(Heard::Ended), at(42), 0), []);

        let mut plan = waiting_plan();
        plan.handle(Wake::Ended(Outcome::Drained), at(10), 0);
        assert_eq!(plan.handle(Wake::Signal(Signal::Stop), at(20), 0), [Step::Stop]);
        assert_eq!(plan.handle(Wake::Heard(Heard::Ended), at(21), 0), []);
        assert_eq!(plan.look_at(), None);
    }

    #[test]
    fn a_question_that_failed_is_asked_again_after_the_backoff_and_changes_no_schedule() {
        let mut plan = waiting_plan();
        plan.handle(Wake::Ended(Outcome::Drained), at(10), 0);
        let next_at = plan.next_at();

        assert_eq!(plan.handle(Wake::Heard(Heard::Failed { retry_after_ms: None }), at(100), 0), []);
        assert_eq!((plan.next_at(), plan.look_at()), (next_at, Some(at(5_100))));
        assert_eq!(plan.handle(Wake::Scheduled, at(5_100), 0).len(), 1);
    }
}
