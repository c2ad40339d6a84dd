//! When the idle daemon keeps a question for news open at central, and what follows from what it hears: pure.
//!
//! ```text
//!  allowed, last session whole --> ask --> held at central --> something --> a sync, and then the next question
//!          ^                                   |  nothing ------> ask again
//!          '------ wait (backoff, jitter) <----'  cut, full, unknown
//! ```

use protocol::limits::NEWS_WAIT_S_MAX;
use protocol::schedule::Schedule;

use super::due::{NETWORK_REST_MS, NETWORK_SETTLE_MS};
use crate::agent::Heard;
use crate::clock::MonotonicMs;

/// Shortest wait that is asked for where longer ones are cut, in seconds: reverse proxies and load balancers that are left as they are
/// (nginx, Apache, those of AWS) cut an answer that lets itself be waited for after sixty.
pub const WAIT_S_MIN: u16 = 50;
/// A question that broke after so long was cut because of the wait, in milliseconds, and no sooner one.
const CUT_MS_LEAST: u64 = 45_000;
/// Cuts in a row after which the wait is halved: one may be a central that is started again.
const CUTS_MAX: u32 = 2;
/// Waits in a row that came to their end after which the next is twice as long again: most of an hour, so that a proxy that stays costs
/// little.
const CLEAN_MAX: u32 = 50;
/// After so long the question is asked again where central does not know it, in milliseconds: it is brought up to date rarely.
pub const UNKNOWN_WAIT_MS: u64 = 6 * 3_600_000;

const _: () = assert!(CUT_MS_LEAST < WAIT_S_MIN as u64 * 1000, "the shortest wait can be cut");
const _: () = assert!(WAIT_S_MIN <= NEWS_WAIT_S_MAX);

/// What the loop is to do about news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewsStep {
    /// Ask, with leave to hold the answer back for so many seconds.
    Ask {
        /// That many.
        wait_s: u16,
    },
    /// End the question that is being asked.
    End,
}

/// The questions for news of one daemon.
#[derive(Debug)]
pub struct NewsWatch {
    /// Since when one is being asked.
    asked_at: Option<MonotonicMs>,
    is_ending: bool,
    /// None is asked before.
    not_before: MonotonicMs,
    /// None is asked before another session has come to its end.
    needs_session: bool,
    failures_in_a_row: u32,
    cuts_in_a_row: u32,
    clean_in_a_row: u32,
    wait_s: u16,
    /// When a change of the network last ended a wait.
    network_used_at: Option<MonotonicMs>,
}

impl Default for NewsWatch {
    fn default() -> Self {
        Self {
            asked_at: None,
            is_ending: false,
            not_before: MonotonicMs(0),
            needs_session: false,
            failures_in_a_row: 0,
            cuts_in_a_row: 0,
            clean_in_a_row: 0,
            wait_s: NEWS_WAIT_S_MAX,
            network_used_at: None,
        }
    }
}

impl NewsWatch {
    /// What is to be done: `may_ask` says whether a question may be begun now, `may_wait` whether one that is open may stay so.
    pub fn step(&mut self, may_ask: bool, may_wait: bool, now: MonotonicMs) -> Option<NewsStep> {
        if self.asked_at.is_some() {
            if may_wait || self.is_ending {
                return None;
            }
            self.is_ending = true;
            return Some(NewsStep::End);
        }
        if !may_ask || self.needs_session || now < self.not_before {
            return None;
        }
        self.asked_at = Some(now);
        Some(NewsStep::Ask { wait_s: self.wait_s })
    }

    /// Whether a question is open.
    pub fn is_open(&self) -> bool {
        self.asked_at.is_some() && !self.is_ending
    }

    /// When the next question is due, if it is time alone that is waited for.
    pub fn due_at(&self) -> Option<MonotonicMs> {
        (self.asked_at.is_none() && !self.needs_session).then_some(self.not_before)
    }

    /// Takes in what came of a question; since when it was asked, if there is something.
    pub fn heard(&mut self, heard: Heard, schedule: &Schedule, now: MonotonicMs, entropy: u64) -> Option<MonotonicMs> {
        self.is_ending = false;
        let asked_at = self.asked_at.take()?;
        let held_ms = now.since(asked_at);
        match heard {
            Heard::Something => {
                (self.failures_in_a_row, self.cuts_in_a_row) = (0, 0);
                return Some(asked_at);
            }
            // As long as was asked for, or nearly; a central that lets nobody wait is not asked without a pause.
            Heard::Nothing if held_ms >= u64::from(self.wait_s) * 500 => self.waited_to_the_end(),
            Heard::Nothing | Heard::Replaced => self.wait_longer(None, schedule, now, entropy),
            Heard::Failed { retry_after_ms } => {
                self.cuts_in_a_row = if held_ms >= CUT_MS_LEAST { self.cuts_in_a_row + 1 } else { 0 };
                if self.cuts_in_a_row >= CUTS_MAX {
                    self.cuts_in_a_row = 0;
                    self.wait_s = (self.wait_s / 2).max(WAIT_S_MIN);
                }
                self.clean_in_a_row = 0;
                self.wait_longer(retry_after_ms, schedule, now, entropy);
            }
            Heard::Unknown => self.not_before = now.plus(UNKNOWN_WAIT_MS + entropy % UNKNOWN_WAIT_MS),
            Heard::Refused | Heard::NotAsked => self.needs_session = true,
            Heard::Ended => {}
        }
        None
    }

    /// A session came to its end; `is_recovered` if the one before had not.
    pub fn session_came_through(&mut self, is_recovered: bool, now: MonotonicMs) {
        self.needs_session = false;
        if is_recovered && self.failures_in_a_row > 0 {
            (self.failures_in_a_row, self.not_before) = (0, now);
        }
    }

    /// The network is another one than it was: a wait after failures ends, once in [`NETWORK_REST_MS`], so that a restless network costs
    /// nothing.
    pub fn network_changed(&mut self, now: MonotonicMs) {
        let is_rested = self.network_used_at.is_none_or(|used_at| now.since(used_at) >= NETWORK_REST_MS);
        if self.failures_in_a_row > 0 && is_rested {
            self.network_used_at = Some(now);
            self.not_before = self.not_before.min(now.plus(NETWORK_SETTLE_MS));
        }
    }

    fn waited_to_the_end(&mut self) {
        (self.failures_in_a_row, self.cuts_in_a_row) = (0, 0);
        self.clean_in_a_row += 1;
        if self.clean_in_a_row >= CLEAN_MAX {
            self.clean_in_a_row = 0;
            self.wait_s = self.wait_s.saturating_mul(2).min(NEWS_WAIT_S_MAX);
        }
    }

    /// The schedule's backoff, and up to as much again by chance: all sites of a central that stopped lose their questions at once.
    fn wait_longer(&mut self, retry_after_ms: Option<u64>, schedule: &Schedule, now: MonotonicMs, entropy: u64) {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let wait_ms = schedule.retry_ms(self.failures_in_a_row, retry_after_ms, 0);
        self.not_before = now.plus(wait_ms + entropy % wait_ms.max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule =
        Schedule { interval_ms: Some(300_000), jitter_percent: 10, backoff_first_ms: 5_000, backoff_max_ms: 60_000 };
    const FAILED: Heard = Heard::Failed { retry_after_ms: None };
    const WAIT_MS: u64 = NEWS_WAIT_S_MAX as u64 * 1000;

    fn at(ms: u64) -> MonotonicMs {
        MonotonicMs(ms)
    }

    /// One question from begin to end, as soon as it may be asked; when that was.
    fn question(watch: &mut NewsWatch, held_ms: u64, heard: Heard) -> (u64, u16) {
        let asked_at = watch.due_at().unwrap();
        let Some(NewsStep::Ask { wait_s }) = watch.step(true, true, asked_at) else { panic!("it is due") };
        watch.heard(heard, &SCHEDULE, asked_at.plus(held_ms), 0);
        (asked_at.0, wait_s)
    }

    #[test]
    fn one_question_is_open_at_a_time_and_the_next_follows_the_end_of_the_wait() {
        let mut watch = NewsWatch::default();

        assert_eq!(watch.step(false, true, at(0)), None);
        assert_eq!(watch.step(true, true, at(1)), Some(NewsStep::Ask { wait_s: NEWS_WAIT_S_MAX }));
        assert!(watch.is_open());
        assert_eq!(watch.step(true, true, at(2)), None);
        assert_eq!(watch.heard(Heard::Nothing, &SCHEDULE, at(1 + WAIT_MS), 0), None);
        assert!(watch.step(true, true, at(1 + WAIT_MS)).is_some());
    }

    #[test]
    fn what_may_not_stay_open_is_ended_once_and_asked_again_when_it_may() {
        let mut watch = NewsWatch::default();
        watch.step(true, true, at(0));

        assert_eq!(watch.step(false, false, at(1)), Some(NewsStep::End));
        assert_eq!(watch.step(false, false, at(2)), None);
        assert!(!watch.is_open());
        watch.heard(Heard::Ended, &SCHEDULE, at(3), 0);
        assert_eq!(watch.step(false, false, at(4)), None);
        assert!(watch.step(true, true, at(5)).is_some());
    }

    #[test]
    fn something_says_since_when_it_was_asked() {
        let mut watch = NewsWatch::default();
        watch.step(true, true, at(7));

        assert_eq!(watch.heard(Heard::Something, &SCHEDULE, at(90), 0), Some(at(7)));
    }

    #[test]
    fn failures_wait_longer_each_time_and_never_come_together() {
        let mut watch = NewsWatch::default();
        let times: Vec<u64> = (0..5).map(|_| question(&mut watch, 0, FAILED).0).collect();

        assert_eq!(times, [0, 5_000, 15_000, 35_000, 75_000]);
        let mut latest = NewsWatch::default();
        latest.step(true, true, at(0));
        latest.heard(FAILED, &SCHEDULE, at(0), 4_999);
        assert_eq!(latest.due_at(), Some(at(9_999)));
        latest.step(true, true, at(9_999));
        latest.heard(Heard::Failed { retry_after_ms: Some(600_000) }, &SCHEDULE, at(10_000), 0);
        assert_eq!(latest.due_at(), Some(at(610_000)), "what central asks for is waited");
    }

    #[test]
    fn a_central_that_answers_nothing_at_once_is_not_asked_without_a_pause() {
        let mut watch = NewsWatch::default();
        for heard in [Heard::Nothing, Heard::Replaced] {
            let (asked_at, _) = question(&mut watch, 0, heard);
            assert!(watch.due_at().unwrap() >= at(asked_at + 5_000), "{heard:?}");
        }
    }

    #[test]
    fn a_link_that_cuts_long_waits_is_asked_for_shorter_ones_and_later_for_longer_ones_again() {
        let mut watch = NewsWatch::default();
        let waits: Vec<u16> = (0..8).map(|_| question(&mut watch, 60_000, FAILED).1).collect();
        assert_eq!(waits, [225, 225, 112, 112, 56, 56, WAIT_S_MIN, WAIT_S_MIN]);

        for _ in 0..CLEAN_MAX {
            assert_eq!(question(&mut watch, 50_000, Heard::Nothing).1, WAIT_S_MIN);
        }
        assert_eq!(question(&mut watch, 100_000, Heard::Nothing).1, 2 * WAIT_S_MIN);
    }

    #[test]
    fn a_central_that_is_started_again_shortens_no_wait() {
        let mut watch = NewsWatch::default();
        for (held_ms, heard) in [(60_000, FAILED), (0, FAILED), (60_000, FAILED), (WAIT_MS, Heard::Nothing)] {
            assert_eq!(question(&mut watch, held_ms, heard).1, NEWS_WAIT_S_MAX);
        }
        assert_eq!(question(&mut watch, 60_000, FAILED).1, NEWS_WAIT_S_MAX);
    }

    #[test]
    fn a_central_that_does_not_know_the_question_is_asked_again_after_hours() {
        let mut watch = NewsWatch::default();
        question(&mut watch, 10, Heard::Unknown);
        watch.session_came_through(true, at(1_000));

        assert_eq!(watch.due_at(), Some(at(10 + UNKNOWN_WAIT_MS)));
    }

    #[test]
    fn after_a_refusal_a_session_has_to_come_to_its_end_first() {
        for heard in [Heard::Refused, Heard::NotAsked] {
            let mut watch = NewsWatch::default();
            question(&mut watch, 10, heard);
            assert_eq!(watch.step(true, true, at(u64::MAX)), None);

            watch.session_came_through(false, at(20));
            assert!(watch.step(true, true, at(20)).is_some());
        }
    }

    #[test]
    fn a_session_that_comes_through_again_and_a_change_of_the_network_end_a_wait() {
        let mut watch = NewsWatch::default();
        for _ in 0..9 {
            question(&mut watch, 0, FAILED);
        }
        let due_at = watch.due_at().unwrap();

        watch.network_changed(at(due_at.0 - 50_000));
        assert_eq!(watch.due_at(), Some(at(due_at.0 - 50_000 + NETWORK_SETTLE_MS)));
        question(&mut watch, 0, FAILED);
        let due_at = watch.due_at().unwrap();
        watch.network_changed(at(due_at.0 - 50_000));
        assert_eq!(watch.due_at(), Some(due_at), "once in ten minutes");
        watch.session_came_through(false, at(due_at.0 - 40_000));
        assert_eq!(watch.due_at(), Some(due_at));
        watch.session_came_through(true, at(due_at.0 - 40_000));
        assert_eq!(watch.due_at(), Some(at(due_at.0 - 40_000)));
    }
}
