//! Times of the week, in local time, at which a site may sync by itself.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

/// Most windows of one site: three for each day of the week.
pub const WINDOWS_MAX: usize = 21;

const MINUTE_MS: u64 = 60_000;
const DAY_MINUTES: u16 = 24 * 60;
const DAY_MS: u64 = DAY_MINUTES as u64 * MINUTE_MS;
const WEEK_MS: u64 = 7 * DAY_MS;
/// 1970 began on a Thursday, so many days after a Monday.
const FIRST_DAY: u64 = 3;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const EVERY_DAY: u8 = 0b111_1111;

/// The windows of a site; none at all means that it may sync at any time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Windows(Vec<Window>);

/// One window, on some days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The days on which it begins: bit 0 is Monday.
    days: u8,
    begin_minutes: u16,
    /// 1 minute to a whole day, so that it may end on the next day.
    length_minutes: u16,
}

/// The next moment within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Milliseconds until then; 0 inside of a window.
    pub wait_ms: u64,
    /// Milliseconds for which it then stays open.
    pub open_ms: u64,
}

/// A text that is no window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WindowError {
    /// It has not the shape of one.
    Shape,
    /// This is no day.
    Day(String),
    /// This is no time of a day.
    Time(String),
    /// It begins when it ends.
    Empty,
}

impl fmt::Display for WindowError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape => write!(formatter, "is no window; write \"22:00-05:00\" or \"mon-fri 22:00-05:00\""),
            Self::Day(word) => write!(formatter, "names the day {word:?}; days are {}", DAYS.join(", ")),
            Self::Time(word) => write!(formatter, "has the time {word:?}; times go from 00:00 to 24:00"),
            Self::Empty => write!(formatter, "begins when it ends; the whole day is \"00:00-24:00\""),
        }
    }
}

impl core::error::Error for WindowError {}

impl Window {
    /// Reads `22:00-05:00`, which is over midnight, or the same behind days: `mon-fri 22:00-05:00`, `sat,sun 00:00-24:00`. The days are
    /// those on which it begins.
    ///
    /// # Errors
    /// [`WindowError`].
    pub fn parse(text: &str) -> Result<Self, WindowError> {
        let mut words = text.split_ascii_whitespace();
        let (first, second, third) = (words.next().ok_or(WindowError::Shape)?, words.next(), words.next());
        if third.is_some() {
            return Err(WindowError::Shape);
        }
        let days = if second.is_some() { days(first)? } else { EVERY_DAY };
        let (begin, end) = second.unwrap_or(first).split_once('-').ok_or(WindowError::Shape)?;
        let (begin_minutes, end_minutes) = (minutes(begin)?, minutes(end)?);
        if begin_minutes == DAY_MINUTES {
            return Err(WindowError::Time(begin.to_string()));
        }
        if begin_minutes == end_minutes {
            return Err(WindowError::Empty);
        }
        let over_midnight = if end_minutes < begin_minutes { DAY_MINUTES } else { 0 };
        Ok(Self { days, begin_minutes, length_minutes: end_minutes + over_midnight - begin_minutes })
    }

    /// When it is open next, from a moment of the week on.
    fn opening(self, week_ms: u64) -> Option<Opening> {
        let length_ms = u64::from(self.length_minutes) * MINUTE_MS;
        let begins = (0..7_u64).filter(|day| self.days & (1 << day) != 0);
        let begins = begins.map(|day| day * DAY_MS + u64::from(self.begin_minutes) * MINUTE_MS);
        let openings = begins.map(|begin_ms| {
            let since_ms = (week_ms + WEEK_MS - begin_ms) % WEEK_MS;
            if since_ms < length_ms {
                Opening { wait_ms: 0, open_ms: length_ms - since_ms }
            } else {
                Opening { wait_ms: WEEK_MS - since_ms, open_ms: length_ms }
            }
        });
        openings.min_by_key(Opening::order)
    }
}

impl Opening {
    /// Sooner before later, then longer before shorter.
    fn order(&self) -> (u64, u64) {
        (self.wait_ms, u64::MAX - self.open_ms)
    }
}

impl Windows {
    /// At most [`WINDOWS_MAX`]; those beyond are not taken.
    pub fn new(windows: impl IntoIterator<Item = Window>) -> Self {
        Self(windows.into_iter().take(WINDOWS_MAX).collect())
    }

    /// Whether any time is as good as another.
    pub fn is_always_open(&self) -> bool {
        self.0.is_empty()
    }

    /// When a site may sync next, from a moment on that is given in milliseconds of local time since 1970. Never more than a week away.
    /// `None` where no windows are set: it may at once.
    pub fn opening(&self, local_ms: u64) -> Option<Opening> {
        let week_ms = (local_ms % WEEK_MS + FIRST_DAY * DAY_MS) % WEEK_MS;
        self.0.iter().filter_map(|window| window.opening(week_ms)).min_by_key(Opening::order)
    }
}

/// Days such as `mon`, `mon-fri` or `sat,mon-wed`.
fn days(text: &str) -> Result<u8, WindowError> {
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (day(first)?, day(last)?);
        loop {
            days |= 1 << at;
            if at == last {
                break;
            }
            at = (at + 1) % DAYS.len();
        }
    }
    Ok(days)
}

fn day(word: &str) -> Result<usize, WindowError> {
    DAYS.iter().position(|day| day.eq_ignore_ascii_case(word)).ok_or_else(|| WindowError::Day(word.to_string()))
}

/// Minutes since midnight of a time such as `05:30`.
fn minutes(text: &str) -> Result<u16, WindowError> {
    let wrong = || WindowError::Time(text.to_string());
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    let number = |word: &str| match word.as_bytes() {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Ok(u16::from(tens - b'0') * 10 + u16::from(ones - b'0')),
        _ => Err(wrong()),
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if hours > 24 || minutes > 59 || (hours == 24 && minutes > 0) {
        return Err(wrong());
    }
    Ok(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    const HOUR_MS: u64 = 3_600_000;
    /// 2026-11-23, a Monday, at midnight.
    const MONDAY_MS: u64 = 20_780 * DAY_MS;

    fn windows(texts: &[&str]) -> Windows {
        Windows::new(texts.iter().map(|text| Window::parse(text).unwrap()))
    }

    fn wait_ms(texts: &[&str], local_ms: u64) -> u64 {
        windows(texts).opening(local_ms).unwrap().wait_ms
    }

    #[test]
    fn without_windows_any_time_will_do() {
        assert_eq!(windows(&[]).opening(MONDAY_MS), None);
        assert!(windows(&[]).is_always_open());
    }

    #[test]
    fn a_window_over_midnight_is_open_on_both_sides_of_it() {
        let at = |hours| windows(&["22:00-05:00"]).opening(MONDAY_MS + hours * HOUR_MS).unwrap();

        assert_eq!(at(21), Opening { wait_ms: HOUR_MS, open_ms: 7 * HOUR_MS });
        assert_eq!(at(22), Opening { wait_ms: 0, open_ms: 7 * HOUR_MS });
        assert_eq!(at(24), Opening { wait_ms: 0, open_ms: 5 * HOUR_MS });
        assert_eq!(at(29), Opening { wait_ms: 17 * HOUR_MS, open_ms: 7 * HOUR_MS });
    }

    #[test]
    fn the_days_are_those_on_which_it_begins() {
        let texts = ["fri 22:00-05:00"];

        assert_eq!(wait_ms(&texts, MONDAY_MS), 4 * 24 * HOUR_MS + 22 * HOUR_MS);
        assert_eq!(wait_ms(&texts, MONDAY_MS + 5 * DAY_MS + HOUR_MS), 0);
        assert_eq!(wait_ms(&["sun-mon 23:00-01:00"], MONDAY_MS), 0);
        assert_eq!(wait_ms(&["sat,SUN 00:00-24:00"], MONDAY_MS + 4 * DAY_MS), DAY_MS);
    }

    #[test]
    fn the_first_of_several_windows_counts_and_the_longest_of_those_that_are_open() {
        assert_eq!(wait_ms(&["12:00-13:00", "04:00-05:00"], MONDAY_MS), 4 * HOUR_MS);
        let open = windows(&["00:00-01:00", "00:00-09:00"]).opening(MONDAY_MS).unwrap();
        assert_eq!(open.open_ms, 9 * HOUR_MS);
    }

    #[test]
    fn a_text_that_is_no_window_is_refused_with_what_is_wrong() {
        for (text, expected) in [
            ("", "is no window"),
            ("22:00", "is no window"),
            ("mon 22:00-05:00 daily", "is no window"),
            ("moon 22:00-05:00", "names the day \"moon\""),
            ("mon- 22:00-05:00", "names the day \"\""),
            ("22-05", "has the time \"22\""),
            ("7:00-08:00", "has the time \"7:00\""),
            ("24:01-05:00", "has the time \"24:01\""),
            ("24:00-05:00", "has the time \"24:00\""),
            ("22:60-05:00", "has the time \"22:60\""),
            ("08:00-08:00", "begins when it ends"),
        ] {
            let error = format!("{}", Window::parse(text).unwrap_err());
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_clock_says_a_window_opens_within_a_week_and_is_open_then(
            local_ms: u64,
            days in 1_u8..128,
            begin in 0_u16..1440,
            length in 1_u16..=1440,
        ) {
            let window = Window { days, begin_minutes: begin, length_minutes: length };
            let windows = Windows::new([window]);

            let opening = windows.opening(local_ms).unwrap();

            prop_assert!(opening.wait_ms < WEEK_MS);
            let there = windows.opening(local_ms % WEEK_MS + opening.wait_ms).unwrap();
            prop_assert_eq!(there.wait_ms, 0);
            prop_assert!(there.open_ms > 0 && there.open_ms <= DAY_MS);
        }

        #[test]
        fn any_text_is_a_window_or_an_error(text in ".{0,40}") {
            let _ = Window::parse(&text);
        }
    }
}
