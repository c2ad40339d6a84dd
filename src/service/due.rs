//! When the next sync by the schedule is due, and why then: pure.
//!
//! ```text
//!  interval, backoff, start --.
//!  edits, network ------------+--> the earliest --> not before Retry-After,   --> in a window --> due
//!                                                   a pause's end, new bytes
//! ```

use protocol::schedule::{Ended, Opening, Pacing, Schedule, Span};

use super::plan::Outcome;
use crate::clock::MonotonicMs;
use crate::config::Config;
use crate::pacing::{HoldCause, Surroundings};

/// From a change of the network to the sync that it brings, in milliseconds: an address comes before a route, and a name server after it.
pub const NETWORK_SETTLE_MS: u64 = 2_000;
/// After so long without a change the network has come to rest, in milliseconds, and its next change counts as the first.
pub const NETWORK_REST_MS: u64 = 600_000;
/// Longest that a sync which news bring waits by chance, in milliseconds: what concerns all sites is told to hundreds in a second.
pub const NEWS_SPREAD_MS_MAX: u64 = 1_000;
/// Least gap that is doubled where news bring syncs that bring nothing, in milliseconds.
pub const NEWS_GAP_MS_MIN: u64 = 1_000;
/// Shortest interval with which a site waits for news, in milliseconds: one that comes more often hears of everything soon.
pub const NEWS_INTERVAL_MS_MIN: u64 = 30_000;
/// Syncs in a row that news bring, and that double the gap because they brought nothing. More than that reach every interval.
const NEWS_DOUBLINGS_MAX: u32 = 12;
/// Syncs in a row that a restless network brings and that double the gap before the next. More than that reach every interval.
const NETWORK_DOUBLINGS_MAX: u32 = 10;
/// Longest that windows hold a sync back, in milliseconds: a day more than a week, which is the longest that any of them can be away.
/// Only a clock that jumps makes it longer.
pub const WINDOW_WAIT_MS_MAX: u64 = 8 * 86_400_000;

/// The settings that a schedule goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Interval, jitter and backoff.
    pub schedule: Schedule,
    /// What holds it back, or brings it sooner.
    pub pacing: Pacing,
}

impl Rules {
    /// Those of the settings.
    pub fn of(config: &Config) -> Self {
        Self { schedule: config.schedule, pacing: config.pacing.clone() }
    }
}

impl From<Schedule> for Rules {
    fn from(schedule: Schedule) -> Self {
        Self { schedule, pacing: Pacing::default() }
    }
}

/// Why the next sync comes when it comes, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The agent has just started.
    Start,
    /// The interval.
    Interval,
    /// The wait after a failure.
    Backoff,
    /// Central has asked to wait so long.
    RetryAfter,
    /// Something was recorded.
    Edits,
    /// The network has changed since a sync failed.
    Network,
    /// Central has something for this site.
    News,
    /// A window opens.
    Window,
    /// Somebody has paused the schedule.
    Paused,
    /// The bytes of the day are used up.
    DayBytes,
    /// The bytes of the month are used up.
    MonthBytes,
    /// Only when somebody asks.
    Manual,
    /// One runs.
    Running,
}

impl Reason {
    /// The word for it in a status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Interval => "interval",
            Self::Backoff => "backoff",
            Self::RetryAfter => "retry_after",
            Self::Edits => "edits",
            Self::Network => "network",
            Self::News => "news",
            Self::Window => "window",
            Self::Paused => "paused",
            Self::DayBytes => "day_bytes_used_up",
            Self::MonthBytes => "month_bytes_used_up",
            Self::Manual => "manual",
            Self::Running => "running",
        }
    }
}

/// The next sync by the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// When; `None` if only something that somebody does brings it.
    pub at: Option<MonotonicMs>,
    /// Why then.
    pub reason: Reason,
}

/// What the next sync depends on.
#[derive(Debug)]
pub struct Due {
    rules: Rules,
    /// What interval or backoff say; `None` while a session runs.
    regular: Option<(MonotonicMs, Reason)>,
    /// What central has asked for.
    not_before: MonotonicMs,
    ended_at: Option<MonotonicMs>,
    failures_in_a_row: u32,
    /// The first edit since a session began.
    edited_at: Option<MonotonicMs>,
    /// The first change of the network since a session began.
    network_at: Option<MonotonicMs>,
    /// The last change of all.
    network_last_at: Option<MonotonicMs>,
    /// Syncs in a row that the network brought while it did not come to rest.
    network_tries: u32,
    /// When central said that it has something, since a session began.
    news_at: Option<MonotonicMs>,
    /// Whether the session that runs is one that news brought.
    is_for_news: bool,
    /// Such sessions in a row that brought nothing.
    news_in_vain: u32,
    /// A part of the jitter: sites whose window opens at one time do not come together.
    spread_ms: u64,
    around: Surroundings,
    seen_at: MonotonicMs,
}

impl Due {
    /// The first sync comes within a random part of the jitter, so that sites that get power together do not come together.
    pub fn new(rules: Rules, now: MonotonicMs, entropy: u64) -> Self {
        let mut due = Self {
            rules,
            regular: None,
            not_before: MonotonicMs(0),
            ended_at: None,
            failures_in_a_row: 0,
            edited_at: None,
            network_at: None,
            network_last_at: None,
            network_tries: 0,
            news_at: None,
            is_for_news: false,
            news_in_vain: 0,
            spread_ms: 0,
            around: Surroundings::default(),
            seen_at: now,
        };
        due.spread_ms = due.jitter_ms(entropy);
        due.regular = Some((now.plus(due.spread_ms), Reason::Start));
        due
    }

    /// Takes in what is so at a moment.
    pub fn see(&mut self, around: Surroundings, now: MonotonicMs) {
        self.around = around;
        self.seen_at = now;
    }

    /// A session begins, whoever wants it: what has happened until now goes with it.
    pub fn begin(&mut self, now: MonotonicMs) {
        let next = self.next();
        if next.reason == Reason::Network && next.at.is_some_and(|at| at <= now) {
            self.network_tries = (self.network_tries + 1).min(NETWORK_DOUBLINGS_MAX);
        }
        self.is_for_news = self.news_at.take().is_some();
        self.regular = None;
        self.edited_at = None;
        self.network_at = None;
    }

    /// A session is over.
    pub fn end(&mut self, outcome: Outcome, now: MonotonicMs, entropy: u64) {
        self.ended_at = Some(now);
        self.spread_ms = self.jitter_ms(entropy);
        let Outcome::Failed { retry_after_ms } = outcome else {
            self.failures_in_a_row = 0;
            self.network_tries = 0;
            self.not_before = MonotonicMs(0);
            self.news_in_vain = match outcome {
                Outcome::Quiet if self.is_for_news => (self.news_in_vain + 1).min(NEWS_DOUBLINGS_MAX),
                Outcome::Quiet => self.news_in_vain,
                Outcome::Drained | Outcome::Failed { .. } => 0,
            };
            self.regular = self.interval_ms(entropy).map(|wait_ms| (now.plus(wait_ms), Reason::Interval));
            return;
        };
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let times = self.failures_in_a_row;
        let wait_ms = |retry_after_ms| self.rules.schedule.wait_ms(Ended::Failed { times, retry_after_ms }, entropy);
        let is_asked = wait_ms(retry_after_ms) > wait_ms(None);
        let reason = if is_asked { Reason::RetryAfter } else { Reason::Backoff };
        self.regular = wait_ms(retry_after_ms).map(|wait_ms| (now.plus(wait_ms), reason));
        let asked_until = now.plus(retry_after_ms.unwrap_or(0));
        // With its jitter, where that is what the wait comes from.
        self.not_before = self.regular.filter(|_| is_asked).map_or(asked_until, |(at, _)| at);
    }

    /// Other settings hold from now on. A wait that goes on becomes no longer than it would be by them, and what was due sooner stays
    /// due then, so that reading settings again and again puts nothing off for ever.
    pub fn set_rules(&mut self, rules: Rules, is_running: bool, now: MonotonicMs, entropy: u64) {
        if rules == self.rules {
            return;
        }
        if self.rules.schedule.interval_ms.is_none() {
            // A site that synced only when asked: nobody waits since then.
            self.regular = None;
        }
        self.rules = rules;
        if is_running {
            return;
        }
        let (wait_ms, reason) = match self.regular {
            Some((_, reason @ (Reason::Backoff | Reason::RetryAfter))) => {
                (Some(self.rules.schedule.backoff_max_ms), reason)
            }
            Some((_, reason)) => (self.interval_ms(entropy), reason),
            None => (self.interval_ms(entropy), Reason::Interval),
        };
        let by_them = wait_ms.map(|wait_ms| now.plus(wait_ms));
        let at = self.regular.map(|(at, _)| at).into_iter().chain(by_them).min();
        self.regular = at.map(|at| (at.max(self.not_before), reason));
    }

    /// Something was recorded.
    pub fn edited(&mut self, now: MonotonicMs) {
        self.edited_at.get_or_insert(now);
    }

    /// The network is another one than it was.
    pub fn network_changed(&mut self, now: MonotonicMs) {
        let is_at_rest = self.network_last_at.is_none_or(|last| now.since(last) >= NETWORK_REST_MS);
        if is_at_rest {
            self.network_tries = 0;
        }
        self.network_last_at = Some(now);
        self.network_at.get_or_insert(now);
    }

    /// Central has something for this site, asked at a moment: no news if a session ended since, which read it.
    pub fn news(&mut self, asked_at: MonotonicMs, now: MonotonicMs) {
        if self.regular.is_some() && self.ended_at.is_none_or(|ended_at| ended_at <= asked_at) {
            self.news_at.get_or_insert(now);
        }
    }

    /// Whether a question for news may stay open: the settings, the link and what holds the schedule back allow it.
    pub fn may_wait_for_news(&self) -> bool {
        let pacing = &self.rules.pacing;
        let is_slow = self.rules.schedule.interval_ms.is_some_and(|interval_ms| interval_ms > NEWS_INTERVAL_MS_MIN);
        pacing.waits_for_news
            && is_slow
            && pacing.metered_interval_ms.is_none()
            && self.around.hold.is_none()
            && self.in_window(self.seen_at) <= self.seen_at
    }

    /// Whether one may be begun: nothing runs, nothing is known to wait, and the last session came to its end.
    pub fn may_ask_for_news(&self) -> bool {
        let is_whole = self.ended_at.is_some() && self.failures_in_a_row == 0;
        is_whole && self.regular.is_some() && self.news_at.is_none() && self.may_wait_for_news()
    }

    /// Whether the last session failed.
    pub fn has_failed(&self) -> bool {
        self.failures_in_a_row > 0
    }

    /// Central let a wait for news come to its end: it is not one that always says that there is something.
    pub fn no_news(&mut self) {
        self.news_in_vain = 0;
    }

    /// The schedule in force.
    pub fn schedule(&self) -> &Schedule {
        &self.rules.schedule
    }

    /// The next sync by the schedule.
    pub fn next(&self) -> Next {
        if self.rules.schedule.interval_ms.is_none() {
            return Next { at: None, reason: Reason::Manual };
        }
        let Some(regular) = self.regular else { return Next { at: None, reason: Reason::Running } };
        let sooner = [self.for_edits(), self.for_network(), self.for_news()];
        let (mut at, mut reason) =
            sooner.into_iter().flatten().fold(regular, |first, other| if first.0 <= other.0 { first } else { other });
        if at < self.not_before {
            (at, reason) = (self.not_before, Reason::RetryAfter);
        }
        if let Some(hold) = self.around.hold {
            let held = match hold.cause {
                HoldCause::Paused => Reason::Paused,
                HoldCause::BytesUsedUp(Span::Day) => Reason::DayBytes,
                HoldCause::BytesUsedUp(Span::Month) => Reason::MonthBytes,
            };
            let Some(left_ms) = hold.left_ms else { return Next { at: None, reason: held } };
            let until = self.seen_at.plus(left_ms);
            if at < until {
                (at, reason) = (until, held);
            }
        }
        let opens_at = self.in_window(at);
        if opens_at > at {
            (at, reason) = (opens_at, Reason::Window);
        }
        Next { at: Some(at), reason }
    }

    /// After a failure edits bring no sync: backoff and network say when the next try is worth it.
    fn for_edits(&self) -> Option<(MonotonicMs, Reason)> {
        let pacing = &self.rules.pacing;
        if pacing.metered_interval_ms.is_some() || self.failures_in_a_row > 0 {
            return None;
        }
        let at = self.edited_at?.plus(pacing.after_edit_ms?);
        Some((at.max(self.gap_ends_at(pacing.gap_min_ms)), Reason::Edits))
    }

    /// Only after a failure: what went through needs no other network.
    fn for_network(&self) -> Option<(MonotonicMs, Reason)> {
        let at = self.network_at.filter(|_| self.failures_in_a_row > 0)?.plus(NETWORK_SETTLE_MS);
        let gap_ms = self.rules.pacing.gap_min_ms.saturating_mul(1 << self.network_tries);
        Some((at.max(self.gap_ends_at(gap_ms)), Reason::Network))
    }

    /// At once, but for a moment by chance and the gap, which grows while what is said to be there is not.
    fn for_news(&self) -> Option<(MonotonicMs, Reason)> {
        let at = self.news_at?.plus(self.spread_ms % (NEWS_SPREAD_MS_MAX + 1));
        let gap_ms = match self.news_in_vain {
            0 => self.rules.pacing.gap_min_ms,
            times => self.rules.pacing.gap_min_ms.max(NEWS_GAP_MS_MIN).saturating_mul(1 << times),
        };
        Some((at.max(self.gap_ends_at(gap_ms)), Reason::News))
    }

    fn gap_ends_at(&self, gap_ms: u64) -> MonotonicMs {
        self.ended_at.map_or(MonotonicMs(0), |ended_at| ended_at.plus(gap_ms))
    }

    /// The first moment from `at` on that is within a window, by the clock as it is at `seen_at`.
    fn in_window(&self, at: MonotonicMs) -> MonotonicMs {
        let Some(local_ms) = self.around.local_ms else { return at };
        // So long without a session: the device may never be on in a window.
        let interval_ms = self.rules.schedule.interval_ms.unwrap_or(0);
        let patience_ms = WINDOW_WAIT_MS_MAX.saturating_add(interval_ms);
        if self.around.since_session_ms.is_some_and(|since_ms| since_ms > patience_ms) {
            return at;
        }
        let opening = |moment: MonotonicMs| {
            let local_ms =
                local_ms.saturating_add(moment.since(self.seen_at)).saturating_sub(self.seen_at.since(moment));
            match self.rules.pacing.windows.opening(local_ms) {
                None | Some(Opening { wait_ms: 0, .. }) => moment,
                Some(Opening { wait_ms, open_ms }) => moment.plus(wait_ms + self.spread_ms.min(open_ms / 2)),
            }
        };
        let mut opens_at = opening(at);
        // It was kept from going while the window was open.
        if opens_at < self.seen_at {
            opens_at = opening(self.seen_at);
        }
        opens_at.min(at.plus(WINDOW_WAIT_MS_MAX))
    }

    /// The wait after a session that went through, with its jitter; `None` where only somebody who asks brings one.
    fn interval_ms(&self, entropy: u64) -> Option<u64> {
        let mut schedule = self.rules.schedule;
        if let (Some(interval), Some(least)) = (&mut schedule.interval_ms, self.rules.pacing.metered_interval_ms) {
            *interval = (*interval).max(least);
        }
        schedule.wait_ms(Ended::Drained, entropy)
    }

    /// A random part of the jitter on the interval.
    fn jitter_ms(&self, entropy: u64) -> u64 {
        let schedule = self.rules.schedule;
        schedule
            .wait_ms(Ended::Drained, entropy)
            .zip(schedule.interval_ms)
            .map_or(0, |(wait, interval)| wait - interval)
    }
}

#[cfg(test)]
mod tests;
