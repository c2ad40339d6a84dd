//! The days themselves: no clock and no file.

use std::collections::VecDeque;

use protocol::schedule::Span;
use serde::{Deserialize, Serialize};

/// Days that are kept at most; an older one makes room.
pub const QUEUE_DAYS_MAX: usize = 60;
/// A queue that grew on so many days running is told of.
pub const GROWING_DAYS: usize = 3;

/// The queue of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Option<u64>, u64, u64)", into = "(Option<u64>, u64, u64)")]
pub struct QueueDay {
    /// Days since 1970 in local time, by the device's clock; `None` if no clock could be believed.
    pub day: Option<u64>,
    /// Fewest edits that waited: 0 if a sync sent everything that day.
    pub least: u64,
    /// Most edits that waited.
    pub most: u64,
}

impl From<(Option<u64>, u64, u64)> for QueueDay {
    fn from((day, least, most): (Option<u64>, u64, u64)) -> Self {
        Self { day, least, most }
    }
}

impl From<QueueDay> for (Option<u64>, u64, u64) {
    fn from(day: QueueDay) -> Self {
        (day.day, day.least, day.most)
    }
}

/// That the queue grows from day to day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// On how many days it grew.
    pub days: usize,
    /// The day before the first of them.
    pub since: Option<u64>,
    /// Edits that waited then at least.
    pub from: u64,
    /// Edits that waited on the newest day at least.
    pub to: u64,
}

/// At most [`QUEUE_DAYS_MAX`] days, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Days {
    days: VecDeque<QueueDay>,
    /// Milliseconds that the agent ran since the newest day began.
    ran_ms: u64,
}

/// What a look has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// The least or the most of the newest day.
    Depth,
    /// Which days there are.
    Day,
}

impl Days {
    /// The days, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = QueueDay> + '_ {
        self.days.iter().copied()
    }

    /// Whether the queue has grown on [`GROWING_DAYS`] days running, and how. What counts is the least of a day: a site that sends
    /// everything at night has none, however much it records by day. Days on which it stayed as it was, such as those of a weekend,
    /// neither count nor end it; one on which it became smaller ends it.
    pub fn growth(&self) -> Option<Growth> {
        let mut newest_first = self.iter().rev();
        let newest = newest_first.next()?;
        let (mut days, mut first) = (0, newest);
        for day in newest_first {
            if day.least > first.least {
                break;
            }
            // Of days that were equal it is the last one: the queue grew after that.
            if day.least < first.least {
                (days, first) = (days + 1, day);
            }
        }
        let growth = Growth { days, since: first.day, from: first.least, to: newest.least };
        (days >= GROWING_DAYS).then_some(growth)
    }

    /// Takes in that so many edits wait, on this day if a clock can be believed, and that the agent has run for so long since the last
    /// look. A day also ends after 25 hours of running, whatever the clock says: one that stands still must not hide that the queue grows.
    pub(super) fn see(&mut self, edits: u64, day: Option<u64>, ran_ms: u64) -> Change {
        self.ran_ms = self.ran_ms.saturating_add(ran_ms);
        let Some(newest) = self.days.back_mut() else {
            self.begin(edits, day);
            return Change::Day;
        };
        let is_later = matches!((day, newest.day), (Some(day), Some(known)) if day > known);
        if is_later || self.ran_ms >= Span::Day.ran_ms_max() {
            self.begin(edits, day);
            return Change::Day;
        }
        let before = *newest;
        newest.least = newest.least.min(edits);
        newest.most = newest.most.max(edits);
        newest.day = day.or(newest.day);
        let (is_other_day, is_other_depth) = (newest.day != before.day, *newest != before);
        if is_other_day {
            self.join_while(|before, newest| before >= newest);
            return Change::Day;
        }
        if is_other_depth { Change::Depth } else { Change::None }
    }

    /// The newest days alone, as many as are kept.
    pub(super) fn bounded(mut self) -> Self {
        while self.days.len() > QUEUE_DAYS_MAX {
            self.days.pop_front();
        }
        self
    }

    fn begin(&mut self, edits: u64, day: Option<u64>) {
        if self.days.len() >= QUEUE_DAYS_MAX {
            self.days.pop_front();
        }
        self.days.push_back(QueueDay { day, least: edits, most: edits });
        self.ran_ms = 0;
        // Days of one name may follow each other where the clock stands still.
        self.join_while(|before, newest| before > newest);
    }

    /// The clock was set back: days before the newest that have not come yet by it are of one day with the newest.
    fn join_while(&mut self, is_ahead: impl Fn(u64, u64) -> bool) {
        while let [.., before, newest] = self.days.make_contiguous() {
            if !matches!((before.day, newest.day), (Some(before), Some(newest)) if is_ahead(before, newest)) {
                return;
            }
            let joined =
                QueueDay { day: newest.day, least: newest.least.min(before.least), most: newest.most.max(before.most) };
            *before = joined;
            self.days.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Days from 100 on with these leasts.
    fn days(leasts: &[u64]) -> Days {
        let mut days = Days::default();
        for (day, least) in (100..).zip(leasts) {
            days.see(*least, Some(day), 0);
        }
        days
    }

    #[test]
    fn a_queue_that_grew_three_days_running_is_told_of() {
        let grew =
            |leasts: &[u64]| days(leasts).growth().map(|growth| (growth.days, growth.since, growth.from, growth.to));

        assert_eq!(grew(&[0, 10, 20]), None);
        assert_eq!(grew(&[0, 10, 20, 30]), Some((3, Some(100), 0, 30)));
        assert_eq!(grew(&[50, 10, 20, 30, 45]), Some((3, Some(101), 10, 45)));
        assert_eq!(grew(&[0, 10, 20, 30, 29]), None);
        // Nothing is recorded at the weekend.
        assert_eq!(grew(&[0, 10, 20, 20, 20, 30]), Some((3, Some(100), 0, 30)));
        assert_eq!(grew(&[7, 7, 7, 7, 7]), None);
        assert_eq!(grew(&[]), None);
    }

    #[test]
    fn a_site_that_sends_everything_at_night_does_not_grow_however_much_it_records() {
        let mut days = Days::default();
        for (day, most) in (100..).zip([100, 200, 300, 400]) {
            days.see(most, Some(day), 0);
            days.see(0, Some(day), 0);
            days.see(most, Some(day), 0);
        }

        assert_eq!(days.growth(), None);
        assert_eq!(days.iter().last(), Some(QueueDay { day: Some(103), least: 0, most: 400 }));
    }

    #[test]
    fn a_sync_that_drains_ends_the_growth_the_same_day() {
        let mut days = days(&[0, 10, 20, 30]);

        assert_eq!(days.see(0, Some(103), 0), Change::Depth);

        assert_eq!(days.growth(), None);
    }

    #[test]
    fn a_clock_that_is_set_back_joins_days_and_turns_none_around() {
        let mut ahead = days(&[3, 5]);
        ahead.see(9, Some(900), 0);
        ahead.see(2, Some(102), 0);
        assert_eq!(ahead, days(&[3, 5, 9]).tap(|days| days.see(2, Some(102), 0)));

        // It begins at the same day with every start, and is set right after a while.
        let mut days = days(&[3]);
        for _ in 0..100 {
            days.see(7, Some(200), 0);
            days.see(8, Some(100), 0);
        }
        assert_eq!(days.iter().collect::<Vec<_>>(), [QueueDay { day: Some(100), least: 3, most: 8 }]);
    }

    impl Days {
        fn tap(mut self, change: impl FnOnce(&mut Self) -> Change) -> Self {
            change(&mut self);
            self
        }
    }

    #[test]
    fn without_a_clock_a_day_ends_after_25_hours_of_running() {
        let mut days = Days::default();
        let hour_ms = 3_600_000;
        for hour in 0..=75 {
            days.see(hour, None, hour_ms);
        }

        let leasts: Vec<(Option<u64>, u64)> = days.iter().map(|day| (day.day, day.least)).collect();
        assert_eq!(leasts, [(None, 0), (None, 25), (None, 50), (None, 75)]);
        assert_eq!(days.growth().unwrap().days, 3);
        // What was seen before the clock was set is of the day that it then says.
        days.see(80, Some(100), 0);
        assert_eq!(days.iter().last(), Some(QueueDay { day: Some(100), least: 75, most: 80 }));
    }

    proptest! {
        #[test]
        fn whatever_the_clock_says_there_are_sixty_days_at_most_and_known_ones_rise(
            looks in proptest::collection::vec((0_u64..50, proptest::option::of(0_u64..200), 0_u64..90_000_000), 1..300),
        ) {
            let mut days = Days::default();
            for (edits, day, ran_ms) in looks {
                days.see(edits, day, ran_ms);
                prop_assert!(days.iter().count() <= QUEUE_DAYS_MAX);
                prop_assert!(days.iter().all(|day| day.least <= day.most));
                let newest = days.iter().last().unwrap();
                prop_assert!((newest.least..=newest.most).contains(&edits));
            }
        }
    }
}
