//! How many bytes a site may spend by itself, for links that are paid by the byte.

use serde::{Deserialize, Serialize};

const HOUR_MS: u64 = 3_600_000;

/// Most bytes of a day and of a month; `None` is without limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Of a day, in local time.
    pub day_bytes_max: Option<u64>,
    /// Of a month, in local time.
    pub month_bytes_max: Option<u64>,
}

/// A span of time that bytes are counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the next.
    Month,
}

impl Span {
    /// Running time after which a count begins anew whatever the clock says: a clock that stands still, or is set back with every start,
    /// must not end syncing. An hour more than the longest such span, which a change to winter time makes.
    pub const fn ran_ms_max(self) -> u64 {
        match self {
            Self::Day => 25 * HOUR_MS,
            Self::Month => (31 * 24 + 1) * HOUR_MS,
        }
    }
}

/// Where in the calendar a moment is, by a clock that can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The number of the day or of the month.
    pub number: u64,
    /// Milliseconds to the next one.
    pub left_ms: u64,
}

/// Bytes of one span.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// The day or month that they are of, once a clock has said it.
    pub number: Option<u64>,
    /// How many.
    pub bytes: u64,
    /// Milliseconds that the agent ran since the count began.
    pub ran_ms: u64,
}

impl Count {
    /// The count after the agent has run for so long, at a place of the calendar; `None` while no clock can be believed. Begins anew with
    /// another day or month.
    #[must_use]
    pub fn at(self, span: Span, place: Option<Place>, ran_ms: u64) -> Self {
        let ran_ms = self.ran_ms.saturating_add(ran_ms);
        let number = place.map(|place| place.number);
        let is_another = self.number.is_some() && number.is_some() && self.number != number;
        if is_another || ran_ms >= span.ran_ms_max() {
            return Self { number, bytes: 0, ran_ms: 0 };
        }
        Self { number: number.or(self.number), ran_ms, ..self }
    }

    /// The count with so many bytes more.
    #[must_use]
    pub fn with(self, bytes: u64) -> Self {
        Self { bytes: self.bytes.saturating_add(bytes), ..self }
    }

    /// Milliseconds until it begins anew, at most.
    pub fn left_ms(self, span: Span, place: Option<Place>) -> u64 {
        let left_ms = span.ran_ms_max().saturating_sub(self.ran_ms);
        place.map_or(left_ms, |place| place.left_ms.min(left_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TODAY: Place = Place { number: 20_784, left_ms: 5 * HOUR_MS };

    #[test]
    fn a_count_begins_anew_with_another_day_forward_or_back() {
        let count = Count::default().at(Span::Day, Some(TODAY), 0).with(1000);

        assert_eq!(count.at(Span::Day, Some(TODAY), HOUR_MS).bytes, 1000);
        for number in [20_785, 20_783] {
            let other = count.at(Span::Day, Some(Place { number, ..TODAY }), 0);
            assert_eq!((other.bytes, other.number), (0, Some(number)));
        }
    }

    #[test]
    fn what_was_counted_before_the_clock_was_set_is_of_the_day_that_it_then_says() {
        let count = Count::default().at(Span::Day, None, 0).with(1000).at(Span::Day, Some(TODAY), 0);

        assert_eq!((count.bytes, count.number), (1000, Some(TODAY.number)));
        // A clock that is lost again with the next start makes no new day.
        assert_eq!(count.at(Span::Day, None, 0).at(Span::Day, Some(TODAY), 0).bytes, 1000);
    }

    proptest! {
        #[test]
        fn a_count_begins_anew_in_bounded_running_time_whatever_the_clock_says(
            steps in proptest::collection::vec((1_u64..3_600_000, proptest::option::of(0_u64..3)), 1..60),
        ) {
            let mut count = Count::default().with(7);
            let mut ran_ms = 0;
            for (step, number) in steps {
                ran_ms += step;
                count = count.at(Span::Day, number.map(|number| Place { number, left_ms: u64::MAX }), step);
                prop_assert!(count.bytes == 0 || ran_ms < Span::Day.ran_ms_max());
                prop_assert!(count.left_ms(Span::Day, None) <= Span::Day.ran_ms_max());
            }
        }
    }
}
