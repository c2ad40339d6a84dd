use proptest::prelude::*;
use protocol::schedule::{Window, Windows};

use super::*;
use crate::pacing::Hold;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
/// 2026-11-23, a Monday, at midnight.
const MONDAY_MS: u64 = 20_780 * DAY_MS;
const SCHEDULE: Schedule =
    Schedule { interval_ms: Some(5 * MINUTE_MS), jitter_percent: 10, backoff_first_ms: 5_000, backoff_max_ms: 900_000 };
const FAILED: Outcome = Outcome::Failed { retry_after_ms: None };

fn at(ms: u64) -> MonotonicMs {
    MonotonicMs(ms)
}

fn due(pacing: Pacing) -> Due {
    Due::new(Rules { schedule: SCHEDULE, pacing }, at(0), 0)
}

fn pacing() -> Pacing {
    Pacing { gap_min_ms: 30_000, after_edit_ms: Some(10_000), ..Pacing::default() }
}

fn next(at_ms: u64, reason: Reason) -> Next {
    Next { at: Some(at(at_ms)), reason }
}

/// One session that lasts no time.
fn session(due: &mut Due, now_ms: u64, outcome: Outcome) {
    due.begin(at(now_ms));
    due.end(outcome, at(now_ms), 0);
}

fn local(local_ms: u64) -> Surroundings {
    Surroundings { local_ms: Some(local_ms), ..Surroundings::default() }
}

fn held(cause: HoldCause, left_ms: Option<u64>) -> Surroundings {
    Surroundings { hold: Some(Hold { cause, left_ms }), ..Surroundings::default() }
}

fn nightly() -> Pacing {
    Pacing { windows: Windows::new([Window::parse("22:00-05:00").unwrap()]), ..Pacing::default() }
}

#[test]
fn an_edit_brings_a_sync_that_takes_those_behind_it_along() {
    let mut due = due(pacing());
    session(&mut due, 0, Outcome::Drained);
    due.edited(at(100_000));
    due.edited(at(109_000));

    assert_eq!(due.next(), next(110_000, Reason::Edits));
    session(&mut due, 110_000, Outcome::Drained);
    assert_eq!(due.next(), next(110_000 + 5 * MINUTE_MS, Reason::Interval));
}

#[test]
fn an_edit_brings_none_before_the_gap_is_over_nor_later_than_the_interval() {
    let mut due = due(pacing());
    session(&mut due, 0, Outcome::Drained);
    due.edited(at(1_000));
    assert_eq!(due.next(), next(30_000, Reason::Edits));

    session(&mut due, 30_000, Outcome::Drained);
    due.edited(at(30_000 + 5 * MINUTE_MS - 1));
    assert_eq!(due.next().reason, Reason::Interval);
}

#[test]
fn an_edit_during_a_session_is_for_the_next() {
    let mut due = due(pacing());
    due.begin(at(0));
    due.edited(at(5_000));
    due.end(Outcome::Drained, at(20_000), 0);

    assert_eq!(due.next(), next(50_000, Reason::Edits));
}

#[test]
fn edits_bring_none_unless_they_are_to_nor_on_a_metered_link_nor_after_a_failure() {
    for (pacing, outcome) in [
        (Pacing::default(), Outcome::Drained),
        (Pacing { metered_interval_ms: Some(HOUR_MS), ..pacing() }, Outcome::Drained),
        (pacing(), FAILED),
    ] {
        let mut due = due(pacing);
        session(&mut due, 0, outcome);
        due.edited(at(1));
        assert_ne!(due.next().reason, Reason::Edits);
    }
}

#[test]
fn a_metered_link_waits_longer_where_the_interval_is_shorter() {
    let mut due = due(Pacing { metered_interval_ms: Some(HOUR_MS), ..Pacing::default() });
    session(&mut due, 0, Outcome::Drained);

    assert_eq!(due.next(), next(HOUR_MS, Reason::Interval));
}

#[test]
fn a_change_of_the_network_ends_the_backoff() {
    let mut due = due(pacing());
    let mut now_ms = 0;
    for _ in 0..12 {
        session(&mut due, now_ms, FAILED);
        now_ms = due.next().at.unwrap().0;
    }
    session(&mut due, now_ms, FAILED);
    assert_eq!(due.next(), next(now_ms + 900_000, Reason::Backoff));

    due.network_changed(at(now_ms + 100_000));

    assert_eq!(due.next(), next(now_ms + 100_000 + NETWORK_SETTLE_MS, Reason::Network));
}

#[test]
fn a_change_of_the_network_is_nothing_to_a_site_that_came_through() {
    let mut due = due(pacing());
    session(&mut due, 0, Outcome::Drained);
    due.network_changed(at(40_000));

    assert_eq!(due.next(), next(5 * MINUTE_MS, Reason::Interval));
}

#[test]
fn a_link_that_flaps_brings_few_syncs_and_one_that_comes_after_a_rest_brings_one_at_once() {
    let mut due = due(pacing());
    session(&mut due, 0, FAILED);
    let mut tries = 0;
    let mut ms = 0;
    while ms < 2 * HOUR_MS {
        ms += 1_000;
        due.network_changed(at(ms));
        if due.next().at.unwrap() <= at(ms) {
            tries += 1;
            session(&mut due, ms, FAILED);
        }
    }
    // Backoff alone makes 7 to reach its ceiling and 8 an hour from then on.
    assert!(tries <= 30, "{tries} tries in two hours");

    let rest_ms = ms + NETWORK_REST_MS;
    session(&mut due, rest_ms - 60_000, FAILED);
    due.network_changed(at(rest_ms));
    assert_eq!(due.next(), next(rest_ms + NETWORK_SETTLE_MS, Reason::Network));
}

#[test]
fn what_central_asked_for_is_waited_whatever_changes() {
    let mut due = due(pacing());
    session(&mut due, 0, Outcome::Failed { retry_after_ms: Some(HOUR_MS) });
    due.network_changed(at(1_000));

    assert_eq!(due.next(), next(HOUR_MS, Reason::RetryAfter));
}

#[test]
fn a_pause_holds_until_its_end_and_one_without_an_end_for_ever() {
    let mut due = due(Pacing::default());
    session(&mut due, 0, Outcome::Drained);
    due.see(held(HoldCause::Paused, Some(HOUR_MS)), at(1_000));
    assert_eq!(due.next(), next(1_000 + HOUR_MS, Reason::Paused));
    due.see(held(HoldCause::Paused, Some(10)), at(1_000));
    assert_eq!(due.next().reason, Reason::Interval);

    due.see(held(HoldCause::Paused, None), at(u64::MAX));
    assert_eq!(due.next(), Next { at: None, reason: Reason::Paused });
}

#[test]
fn bytes_that_are_used_up_hold_until_they_begin_anew() {
    let mut due = due(Pacing::default());
    for (span, reason) in [(Span::Day, Reason::DayBytes), (Span::Month, Reason::MonthBytes)] {
        due.see(held(HoldCause::BytesUsedUp(span), Some(HOUR_MS)), at(7));
        assert_eq!(due.next(), next(7 + HOUR_MS, reason));
    }
}

#[test]
fn outside_of_a_window_the_next_sync_comes_when_it_opens_spread_by_the_jitter() {
    let mut due = Due::new(Rules { schedule: SCHEDULE, pacing: nightly() }, at(0), 20_000);
    due.see(local(MONDAY_MS + 12 * HOUR_MS), at(0));
    let expected = next(10 * HOUR_MS + 20_000, Reason::Window);
    assert_eq!(due.next(), expected);

    // The same moment, seen from others.
    for passed_ms in [HOUR_MS, 10 * HOUR_MS + 19_999, 10 * HOUR_MS + 20_000] {
        due.see(local(MONDAY_MS + 12 * HOUR_MS + passed_ms), at(passed_ms));
        assert_eq!(due.next(), expected);
    }
}

#[test]
fn within_a_window_the_interval_counts() {
    let mut due = due(nightly());
    session(&mut due, 0, Outcome::Drained);
    due.see(local(MONDAY_MS + 23 * HOUR_MS), at(0));

    assert_eq!(due.next(), next(5 * MINUTE_MS, Reason::Interval));
}

#[test]
fn who_missed_the_window_waits_for_the_next() {
    let mut due = due(nightly());
    // Due at 23:00, and held by a pause until somebody ended it at 06:00.
    due.see(local(MONDAY_MS + 30 * HOUR_MS), at(7 * HOUR_MS));

    assert_eq!(due.next(), next(7 * HOUR_MS + 16 * HOUR_MS, Reason::Window));
}

#[test]
fn a_clock_that_cannot_be_believed_has_no_windows() {
    let mut due = due(nightly());
    due.see(Surroundings { local_ms: None, ..local(0) }, at(5));

    assert_eq!(due.next(), next(0, Reason::Start));
}

#[test]
fn a_device_that_is_never_on_in_a_window_syncs_after_a_week_all_the_same() {
    let mut due = due(nightly());
    let noon = MONDAY_MS + 12 * HOUR_MS;
    due.see(Surroundings { since_session_ms: Some(7 * DAY_MS), ..local(noon) }, at(0));
    assert_eq!(due.next().reason, Reason::Window);

    due.see(Surroundings { since_session_ms: Some(9 * DAY_MS), ..local(noon) }, at(0));
    assert_eq!(due.next(), next(0, Reason::Start));
}

#[test]
fn a_clock_that_jumps_back_again_and_again_does_not_put_a_sync_off_for_ever() {
    let mut due = due(nightly());
    let mut now_ms = 0;
    // Noon at each look.
    while due.next().at.unwrap() > at(now_ms) {
        now_ms += HOUR_MS;
        due.see(local(MONDAY_MS + 12 * HOUR_MS), at(now_ms));
        assert!(now_ms <= WINDOW_WAIT_MS_MAX, "it waits for longer than {WINDOW_WAIT_MS_MAX} ms");
    }
}

#[test]
fn a_manual_site_has_no_next_sync_whatever_happens() {
    let rules = Rules { schedule: Schedule { interval_ms: None, ..SCHEDULE }, pacing: pacing() };
    let mut due = Due::new(rules, at(0), 7);
    session(&mut due, 0, FAILED);
    due.edited(at(1));
    due.network_changed(at(1));

    assert_eq!(due.next(), Next { at: None, reason: Reason::Manual });
}

#[test]
fn other_settings_make_a_wait_that_goes_on_no_longer_than_they_would() {
    let rules = |interval_ms| Rules::from(Schedule { interval_ms, ..SCHEDULE });
    let mut due = due(Pacing::default());
    session(&mut due, 0, Outcome::Drained);

    due.set_rules(rules(Some(HOUR_MS)), false, at(1), 0);
    assert_eq!(due.next(), next(5 * MINUTE_MS, Reason::Interval));
    due.set_rules(rules(Some(MINUTE_MS)), false, at(1), 0);
    assert_eq!(due.next(), next(1 + MINUTE_MS, Reason::Interval));
    due.set_rules(rules(None), false, at(2), 0);
    assert_eq!(due.next().reason, Reason::Manual);
    session(&mut due, 3, Outcome::Drained);
    due.set_rules(rules(Some(MINUTE_MS)), false, at(4), 0);
    assert_eq!(due.next(), next(4 + MINUTE_MS, Reason::Interval));

    due.begin(at(5));
    due.set_rules(rules(Some(HOUR_MS)), true, at(6), 0);
    assert_eq!(due.next().reason, Reason::Running);
}

#[test]
fn a_site_that_is_manual_no_longer_waits_an_interval_before_its_first_sync() {
    let scheduled = Rules::from(SCHEDULE);
    let manual = Rules::from(Schedule { interval_ms: None, ..SCHEDULE });
    let mut due = Due::new(manual.clone(), at(0), 0);

    due.set_rules(scheduled.clone(), false, at(1_000), 0);
    assert_eq!(due.next(), next(1_000 + 5 * MINUTE_MS, Reason::Interval));
    due.set_rules(manual, false, at(2_000), 0);
    due.set_rules(scheduled, false, at(HOUR_MS), 0);
    assert_eq!(due.next(), next(HOUR_MS + 5 * MINUTE_MS, Reason::Interval));
}

#[test]
fn settings_that_are_read_again_do_not_shorten_the_interval_of_a_metered_link() {
    let metered = |least_ms| Pacing { metered_interval_ms: Some(least_ms), ..Pacing::default() };
    let mut due = due(metered(HOUR_MS));
    session(&mut due, 0, Outcome::Drained);

    due.set_rules(Rules { schedule: SCHEDULE, pacing: metered(2 * HOUR_MS) }, false, at(1), 0);
    assert_eq!(due.next(), next(HOUR_MS, Reason::Interval), "what was due sooner stays due then");
    due.set_rules(Rules { schedule: SCHEDULE, pacing: metered(HOUR_MS / 2) }, false, at(2), 0);
    assert_eq!(due.next(), next(2 + HOUR_MS / 2, Reason::Interval));
}

#[derive(Debug, Clone)]
enum Happening {
    Passes(u64),
    Edited,
    Network,
    Paused(Option<u64>),
    Resumed,
    Clock(Option<u64>),
    Fails(Option<u64>),
    Drains,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (1..2 * HOUR_MS).prop_map(Happening::Passes),
        Just(Happening::Edited),
        Just(Happening::Network),
        proptest::option::of(1..DAY_MS).prop_map(Happening::Paused),
        Just(Happening::Resumed),
        proptest::option::of(MONDAY_MS..MONDAY_MS + 14 * DAY_MS).prop_map(Happening::Clock),
        proptest::option::of(1..HOUR_MS).prop_map(Happening::Fails),
        Just(Happening::Drains),
    ]
}

proptest! {
    /// Whatever happens: only a pause without an end stops the schedule, no wait is longer than its causes add up to, nothing comes sooner
    /// than central asked for or than the gap allows, and what is due by a believed clock is in a window.
    #[test]
    fn the_schedule_never_stops_by_itself_and_keeps_its_promises(
        happenings in proptest::collection::vec(happening(), 1..80),
        entropy: u64,
    ) {
        let pacing = Pacing { windows: nightly().windows, ..pacing() };
        let windows = pacing.windows.clone();
        let mut due = Due::new(Rules { schedule: SCHEDULE, pacing }, at(0), entropy);
        let (mut now, mut around) = (0, Surroundings::default());
        let (mut not_before, mut last_end, mut has_failed) = (0, None, false);
        for happening in happenings {
            match happening {
                Happening::Passes(ms) => {
                    now += ms;
                    around.local_ms = around.local_ms.map(|local_ms| local_ms + ms);
                }
                Happening::Edited => due.edited(at(now)),
                Happening::Network => due.network_changed(at(now)),
                Happening::Paused(left_ms) => around.hold = Some(Hold { cause: HoldCause::Paused, left_ms }),
                Happening::Resumed => around.hold = None,
                Happening::Clock(local_ms) => around.local_ms = local_ms,
                Happening::Fails(_) | Happening::Drains => {
                    let outcome = match happening {
                        Happening::Fails(retry_after_ms) => Outcome::Failed { retry_after_ms },
                        _ => Outcome::Drained,
                    };
                    due.begin(at(now));
                    due.end(outcome, at(now), entropy);
                    has_failed = outcome != Outcome::Drained;
                    not_before = if let Happening::Fails(Some(wait_ms)) = happening { now + wait_ms } else { 0 };
                    last_end = Some(now);
                }
            }
            due.see(around, at(now));
            let told = due.next();
            let held_ms = match around.hold {
                Some(Hold { left_ms: None, .. }) => {
                    prop_assert_eq!(told.at, None);
                    continue;
                }
                hold => hold.and_then(|hold| hold.left_ms).unwrap_or(0),
            };
            let next_ms = told.at.expect("only a pause without an end stops the schedule").0;
            prop_assert!(next_ms >= not_before);
            prop_assert!(held_ms == 0 || next_ms >= now + held_ms);
            // The longest interval or backoff with its jitter, what central asked for, the pause, the window.
            let longest = 990_000_u64.max(not_before.saturating_sub(now)) + HOUR_MS / 10 + held_ms + WINDOW_WAIT_MS_MAX;
            prop_assert!(next_ms <= now + longest, "{} is later than {}", next_ms, now + longest);
            if let (Some(last_end), Reason::Edits | Reason::Network) = (last_end, told.reason) {
                prop_assert!(next_ms >= last_end + 30_000);
                prop_assert_eq!(told.reason == Reason::Network, has_failed);
            }
            if let Some(local_ms) = around.local_ms && next_ms >= now && told.reason != Reason::Window {
                let there = windows.opening(local_ms + (next_ms - now)).unwrap();
                prop_assert_eq!(there.wait_ms, 0, "{:?} is in no window", told);
            }
        }
    }
}

fn for_news() -> Pacing {
    Pacing { gap_min_ms: 30_000, waits_for_news: true, ..Pacing::default() }
}

#[test]
fn news_bring_a_sync_once_the_gap_is_over() {
    let mut due = due(for_news());
    assert!(!due.may_ask_for_news(), "before the first session");
    session(&mut due, 0, Outcome::Drained);
    assert!(due.may_ask_for_news());

    due.news(at(1_000), at(2_000));
    assert_eq!(due.next(), next(30_000, Reason::News));
    assert!(!due.may_ask_for_news() && due.may_wait_for_news(), "what is known to be there is not asked for");
    session(&mut due, 30_000, Outcome::Drained);
    due.news(at(30_000), at(90_000));
    assert_eq!(due.next(), next(90_000, Reason::News));
}

#[test]
fn what_a_session_has_read_since_it_was_asked_for_is_no_news() {
    let mut due = due(for_news());
    session(&mut due, 5_000, Outcome::Drained);
    due.news(at(4_999), at(6_000));
    assert_eq!(due.next().reason, Reason::Interval);

    due.begin(at(100_000));
    due.news(at(50_000), at(100_001));
    due.end(Outcome::Drained, at(100_002), 0);
    assert_eq!(due.next().reason, Reason::Interval);
    assert!(due.may_ask_for_news());
}

#[test]
fn news_that_bring_nothing_bring_syncs_ever_more_rarely_until_something_comes() {
    let mut due = due(for_news());
    session(&mut due, 0, Outcome::Drained);
    let mut now_ms = 0;
    let mut waits = Vec::new();
    for outcome in [Outcome::Quiet, Outcome::Quiet, Outcome::Quiet, Outcome::Drained, Outcome::Quiet] {
        due.news(at(now_ms), at(now_ms));
        let at_ms = due.next().at.unwrap().0;
        waits.push(at_ms - now_ms);
        now_ms = at_ms;
        session(&mut due, now_ms, outcome);
    }
    assert_eq!(waits, [30_000, 60_000, 120_000, 240_000, 30_000]);

    due.no_news();
    due.news(at(now_ms), at(now_ms));
    assert_eq!(due.next(), next(now_ms + 30_000, Reason::News), "a wait that came to its end begins anew");
}

#[test]
fn a_site_without_a_gap_does_not_spin_on_news_that_bring_nothing() {
    let mut due = due(Pacing { gap_min_ms: 0, ..for_news() });
    session(&mut due, 0, Outcome::Drained);
    due.news(at(0), at(0));
    let mut sessions = 0;
    while due.next().reason == Reason::News {
        let now_ms = due.next().at.unwrap().0;
        session(&mut due, now_ms, Outcome::Quiet);
        due.news(at(now_ms), at(now_ms));
        sessions += 1;
    }
    assert_eq!(sessions, 9, "from then on the interval comes first");
}

#[test]
fn nobody_waits_for_news_where_the_schedule_is_held_back_or_the_link_is_metered() {
    let allows = |pacing: Pacing, schedule: Schedule, around: Surroundings| {
        let mut due = Due::new(Rules { schedule, pacing }, at(0), 0);
        session(&mut due, 0, Outcome::Drained);
        due.see(around, at(0));
        due.may_wait_for_news() && due.may_ask_for_news()
    };
    let quiet = Surroundings::default();
    assert!(allows(for_news(), SCHEDULE, quiet));
    let nightly = Pacing { waits_for_news: true, ..nightly() };
    assert!(allows(nightly.clone(), SCHEDULE, local(MONDAY_MS + 23 * HOUR_MS)));

    assert!(!allows(Pacing::default(), SCHEDULE, quiet));
    assert!(!allows(Pacing { metered_interval_ms: Some(HOUR_MS), ..for_news() }, SCHEDULE, quiet));
    assert!(!allows(for_news(), Schedule { interval_ms: None, ..SCHEDULE }, quiet));
    assert!(!allows(for_news(), Schedule { interval_ms: Some(NEWS_INTERVAL_MS_MIN), ..SCHEDULE }, quiet));
    assert!(!allows(nightly, SCHEDULE, local(MONDAY_MS + 12 * HOUR_MS)));
    for cause in [HoldCause::Paused, HoldCause::BytesUsedUp(Span::Day), HoldCause::BytesUsedUp(Span::Month)] {
        assert!(!allows(for_news(), SCHEDULE, held(cause, Some(1))));
    }
}

#[test]
fn after_a_failure_nobody_asks_for_news_until_a_session_comes_through() {
    let mut due = due(for_news());
    session(&mut due, 0, FAILED);
    assert!(!due.may_ask_for_news() && due.may_wait_for_news());

    session(&mut due, 5_000, Outcome::Quiet);
    assert!(due.may_ask_for_news());
}
