//! When to sync next, as a pure function: interval, jitter, backoff with a ceiling, or only on demand.

mod budget;
mod pause;
mod windows;

use serde::{Deserialize, Serialize};

pub use budget::{Budget, Count, Place, Span};
pub use pause::Pause;
pub use windows::{Opening, WINDOWS_MAX, Window, WindowError, Windows};

/// Doubling stops after this many failures in a row: by then every ceiling is reached.
const DOUBLINGS_MAX: u32 = 20;

/// When a site syncs by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Time between the end of one session and the start of the next; `None` syncs only when asked.
    pub interval_ms: Option<u64>,
    /// Each wait is lengthened by a random part of itself, up to this many percent, so that sites do not come together.
    pub jitter_percent: u8,
    /// Wait after the first failure.
    pub backoff_first_ms: u64,
    /// Longest wait after failures.
    pub backoff_max_ms: u64,
}

/// What holds a site's schedule back, or brings its next sync sooner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pacing {
    /// When it may sync by itself, in local time.
    pub windows: Windows,
    /// Least time from the end of a session to one that an edit or the network brings, in milliseconds.
    pub gap_min_ms: u64,
    /// Time from an edit to the sync that it brings, in milliseconds; `None` if edits bring none.
    pub after_edit_ms: Option<u64>,
    /// Shortest interval because the link is paid by the byte, in milliseconds; then edits bring no sync. `None` if it is not.
    pub metered_interval_ms: Option<u64>,
    /// Whether the idle site lets central tell it that something waits for it; not while its link is metered.
    pub waits_for_news: bool,
    /// How many bytes it may spend by itself.
    pub budget: Budget,
}

/// How the last session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything went through.
    Drained,
    /// It failed, for the given number of times in a row (at least 1).
    Failed {
        /// How often in a row.
        times: u32,
        /// What central asked to wait at least.
        retry_after_ms: Option<u64>,
    },
}

impl Schedule {
    /// Milliseconds to wait from the end of a session, or `None` to wait until asked. `entropy` is any random number.
    pub fn wait_ms(&self, ended: Ended, entropy: u64) -> Option<u64> {
        let interval = self.interval_ms?;
        let wait = match ended {
            Ended::Drained => interval,
            Ended::Failed { times, retry_after_ms } => self.backoff_ms(times).max(retry_after_ms.unwrap_or(0)),
        };
        Some(self.jittered(wait, entropy))
    }

    /// Milliseconds between tries of somebody who waits for the result, jitter included.
    pub fn retry_ms(&self, times: u32, retry_after_ms: Option<u64>, entropy: u64) -> u64 {
        self.jittered(self.backoff_ms(times).max(retry_after_ms.unwrap_or(0)), entropy)
    }

    fn backoff_ms(&self, times: u32) -> u64 {
        let doublings = times.saturating_sub(1).min(DOUBLINGS_MAX);
        self.backoff_first_ms.saturating_mul(1 << doublings).min(self.backoff_max_ms)
    }

    fn jittered(&self, wait_ms: u64, entropy: u64) -> u64 {
        let most = wait_ms.saturating_mul(u64::from(self.jitter_percent)) / 100;
        wait_ms.saturating_add(if most == 0 { 0 } else { entropy % (most + 1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule =
        Schedule { interval_ms: Some(300_000), jitter_percent: 10, backoff_first_ms: 5_000, backoff_max_ms: 600_000 };

    fn failed(times: u32) -> Ended {
        Ended::Failed { times, retry_after_ms: None }
    }

    #[test]
    fn waits_double_after_failures_up_to_the_ceiling() {
        let waits = [1, 2, 3, 8, u32::MAX].map(|times| SCHEDULE.wait_ms(failed(times), 0));

        assert_eq!(waits, [Some(5_000), Some(10_000), Some(20_000), Some(600_000), Some(600_000)]);
    }

    #[test]
    fn jitter_only_lengthens_and_stays_within_its_part() {
        for entropy in [0, 1, 29_999, 30_000, 30_001, u64::MAX] {
            let wait = SCHEDULE.wait_ms(Ended::Drained, entropy).unwrap();
            assert!((300_000..=330_000).contains(&wait), "{wait}");
        }
    }

    #[test]
    fn what_central_asks_for_is_waited_at_least() {
        let ended = Ended::Failed { times: 1, retry_after_ms: Some(60_000) };

        assert_eq!(SCHEDULE.wait_ms(ended, 0), Some(60_000));
    }

    #[test]
    fn manual_sites_wait_until_asked() {
        let manual = Schedule { interval_ms: None, ..SCHEDULE };

        assert_eq!(manual.wait_ms(Ended::Drained, 7), None);
        assert_eq!(manual.wait_ms(failed(3), 7), None);
        assert_eq!(manual.retry_ms(1, None, 0), 5_000);
    }
}
