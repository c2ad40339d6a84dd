//! Progress: one redrawn line where a person watches, elsewhere a line every few seconds.

use serde_json::Value;

use super::Screen;
use super::wording::{bytes, count, duration, number};
use crate::clock::{MonotonicMs, monotonic_now};
use crate::operations::Progress;

/// Shortest time between two drawings on a terminal, in milliseconds: faster than anybody reads.
const REDRAW_MS: u64 = 100;
/// Shortest time between two plain lines, in milliseconds: a log stays short.
const LINE_MS: u64 = 5_000;
/// Before this time no rate is shown, in milliseconds: it would only jump.
const RATE_AFTER_MS: u64 = 1_000;

/// The line, for one request.
pub(super) struct ProgressLine<'a, 'b> {
    screen: &'a mut Screen<'b>,
    began: MonotonicMs,
    shown: Option<MonotonicMs>,
    is_drawn: bool,
}

impl<'a, 'b> ProgressLine<'a, 'b> {
    pub(super) fn new(screen: &'a mut Screen<'b>) -> Self {
        let began = monotonic_now();
        Self { screen, began, shown: None, is_drawn: false }
    }

    /// Shows a step, if it is time to. What a program reads has no progress in it.
    pub(super) fn show(&mut self, progress: &Progress) {
        if !self.screen.is_json() {
            self.show_at(progress, monotonic_now());
        }
    }

    fn show_at(&mut self, progress: &Progress, now: MonotonicMs) {
        let is_terminal = self.screen.is_terminal();
        let pause_ms = if is_terminal { REDRAW_MS } else { LINE_MS };
        // That it waits, and why, is shown at once: it is what people wonder about.
        let is_due = self.shown.unwrap_or(self.began).plus(pause_ms) <= now;
        if !is_due && !matches!(progress, Progress::Waiting { .. }) {
            return;
        }
        self.shown = Some(now);
        let text = text(progress, now.since(self.began));
        if is_terminal {
            // Back to the first column; then the rest of what stood there is erased.
            self.screen.note(&format!("\r{text}\u{1b}[K"));
            self.is_drawn = true;
        } else {
            self.screen.note(&format!("{text}\n"));
        }
    }

    /// Takes the line away: the result comes.
    pub(super) fn clear(self) {
        if self.is_drawn {
            self.screen.note("\r\u{1b}[K");
        }
    }
}

/// A step of another program's request, in words; nothing for one that is not known here.
pub(super) fn words(progress: &Value) -> String {
    serde_json::from_value(progress.clone()).map(|progress| text(&progress, 0)).unwrap_or_default()
}

/// One step in words.
fn text(progress: &Progress, elapsed_ms: u64) -> String {
    match progress {
        Progress::Checking { lines } => format!("checking, {} so far", count(*lines, "line")),
        Progress::Recording { lines, lines_total } => {
            format!("recording {} of {}", number(*lines), count(*lines_total, "edit"))
        }
        Progress::Verifying { scopes, records, differing } => format!(
            "comparing, {} in {} so far, {} differ",
            count(*records, "record"),
            count(u64::from(*scopes), "scope"),
            count(*differing, "bucket")
        ),
        Progress::BackingUp { done, total } => {
            format!("writing {} of {}", number(*done), number(*total))
        }
        Progress::Storing { stored, total: Some(total) } => {
            format!("storing {} of {}", number(*stored), count(*total, "record"))
        }
        Progress::Storing { stored, total: None } => format!("storing {}", count(*stored, "record")),
        Progress::Syncing { sent, sent_total, stored, stored_total, bytes_out, bytes_in } => {
            let what = match stored_total {
                _ if sent < sent_total => format!("pushing {} of {}", number(*sent), count(*sent_total, "edit")),
                Some(total) => format!("pulling {} of {}", number(*stored), count(*total, "record")),
                None => format!("pulling {}", count(*stored, "record")),
            };
            let moved = bytes_out + bytes_in;
            let rate = if elapsed_ms < RATE_AFTER_MS {
                String::new()
            } else {
                format!(", {}/s", bytes(moved.saturating_mul(1000) / elapsed_ms))
            };
            format!("{what}, {}{rate}", bytes(moved))
        }
        Progress::Waiting { code, message, wait_ms } => {
            format!("{message} [{code}]; next try in {}", duration(*wait_ms))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syncing(sent: u64, stored: u64, stored_total: Option<u64>) -> Progress {
        Progress::Syncing { sent, sent_total: 100_000, stored, stored_total, bytes_out: 800_000, bytes_in: 12_000 }
    }

    #[test]
    fn each_step_is_told_in_words() {
        for (progress, elapsed_ms, expected) in [
            (syncing(3120, 0, None), 18_000, "pushing 3,120 of 100,000 edits, 812 kB, 45 kB/s"),
            (syncing(3120, 0, None), 999, "pushing 3,120 of 100,000 edits, 812 kB"),
            (syncing(100_000, 7, None), 18_000, "pulling 7 records, 812 kB, 45 kB/s"),
            (syncing(100_000, 7, Some(5200)), 18_000, "pulling 7 of 5,200 records, 812 kB, 45 kB/s"),
            (Progress::Checking { lines: 1 }, 0, "checking, 1 line so far"),
            (Progress::Recording { lines: 2, lines_total: 30 }, 0, "recording 2 of 30 edits"),
            (
                Progress::Waiting { code: "offline".into(), message: "central does not answer".into(), wait_ms: 5500 },
                0,
                "central does not answer [offline]; next try in 5 seconds",
            ),
        ] {
            assert_eq!(text(&progress, elapsed_ms), expected);
        }
    }

    fn shown(is_terminal: bool, steps: &[(u64, Progress)]) -> String {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut screen = Screen::new(&mut out, &mut err, false, is_terminal);
        let mut line = ProgressLine::new(&mut screen);
        line.began = MonotonicMs(0);
        for (at_ms, progress) in steps {
            line.show_at(progress, MonotonicMs(*at_ms));
        }
        line.clear();
        assert!(out.is_empty());
        String::from_utf8(err).unwrap()
    }

    #[test]
    fn a_terminal_gets_one_redrawn_line_that_goes_away() {
        let steps = [1, 100, 150, 200].map(|at_ms| (at_ms, Progress::Checking { lines: at_ms }));

        let expected = "\rchecking, 100 lines so far\u{1b}[K\rchecking, 200 lines so far\u{1b}[K\r\u{1b}[K";
        assert_eq!(shown(true, &steps), expected);
    }

    #[test]
    fn elsewhere_a_line_comes_every_few_seconds_and_a_wait_at_once() {
        let waiting = Progress::Waiting { code: "offline".into(), message: "no link".into(), wait_ms: 1000 };
        let lines = |lines| Progress::Checking { lines };
        let steps = [(100, lines(1)), (200, waiting), (4000, lines(2)), (5300, lines(3))];

        assert_eq!(shown(false, &steps), "no link [offline]; next try in 1 second\nchecking, 3 lines so far\n");
    }
}
