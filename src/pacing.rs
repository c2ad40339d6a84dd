//! What holds a site's schedule back and outlives a start of the agent: a pause, and the bytes that were spent. Kept in one small file of
//! the data folder. Nothing of it holds back a sync that somebody asks for.

mod state;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::schedule::{Budget, Pause, Place, Span};
use serde_json::{Value, json};

use crate::clock::{MonotonicMs, monotonic_now, wall_now};
use crate::durable_file::FileError;
use crate::local_time;
use state::State;

/// Longest pause with an end, in seconds: a year.
pub const PAUSE_S_MAX: u64 = 366 * 86_400;
/// How often time that has passed is noted in the file, in milliseconds: so much may count twice after a kill.
const NOTED_EVERY_MS: u64 = 600_000;
/// Bytes that are counted in memory alone, at most, while a session runs: so many are forgotten by a kill.
const UNNOTED_BYTES_MAX: u64 = 256 * 1024;

/// What bears on the schedule from outside, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Local time in milliseconds since 1970; `None` while the clock cannot be believed.
    pub local_ms: Option<u64>,
    /// Milliseconds since the last session, by the wall clock; `None` if that is not known.
    pub since_session_ms: Option<u64>,
    /// What holds every sync by the schedule back.
    pub hold: Option<Hold>,
}

/// What holds every sync by the schedule back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// Why.
    pub cause: HoldCause,
    /// Milliseconds for which it still does; `None` is until somebody ends it.
    pub left_ms: Option<u64>,
}

/// Why nothing is synced by the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldCause {
    /// Somebody has paused it.
    Paused,
    /// The bytes of the day or the month are used up.
    BytesUsedUp(Span),
}

/// Keeps the pause and the counted bytes.
#[derive(Debug)]
pub struct PaceKeeper {
    path: PathBuf,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    state: State,
    budget: Budget,
    /// Up to when passed time is taken in.
    seen_at: MonotonicMs,
    noted_at: MonotonicMs,
    unnoted_bytes: u64,
}

impl PaceKeeper {
    /// Reads the file. One that is not there or cannot be read is begun anew, with a warning: what is not known holds nothing back.
    pub fn open(path: PathBuf, budget: Budget) -> Self {
        let (now, wall) = (monotonic_now(), wall_now());
        let mut state = state::read(&path);
        state.pass_unseen(wall);
        let kept = Kept { state, budget, seen_at: now, noted_at: now, unnoted_bytes: 0 };
        Self { path, kept: Mutex::new(kept) }
    }

    /// Holds the bytes that were counted against other limits from now on.
    pub fn set_budget(&self, budget: Budget) {
        self.seen().budget = budget;
    }

    /// Holds the schedule back from now on, for so many milliseconds or until somebody ends it. Takes the place of an earlier pause.
    ///
    /// # Errors
    /// What the disk says; then nothing has changed.
    pub fn pause(&self, left_ms: Option<u64>) -> Result<(), FileError> {
        self.change_pause(Some(Pause { since_ms: wall_now().0, left_ms }))
    }

    /// Ends a pause. Whether there was one.
    ///
    /// # Errors
    /// What the disk says; then it goes on.
    pub fn resume(&self) -> Result<bool, FileError> {
        if self.seen().state.pause.is_none() {
            return Ok(false);
        }
        self.change_pause(None).map(|()| true)
    }

    /// Adds bytes that a session has spent. An error of the disk is logged: what is counted in memory goes on counting.
    pub fn count(&self, bytes: u64) {
        let mut kept = self.seen();
        kept.state.add(bytes);
        kept.unnoted_bytes = kept.unnoted_bytes.saturating_add(bytes);
        if kept.unnoted_bytes >= UNNOTED_BYTES_MAX {
            self.note(&mut kept);
        }
    }

    /// Notes that a session is over.
    pub fn session_ended(&self) {
        let mut kept = self.seen();
        kept.state.last_session_ms = Some(wall_now().0);
        self.note(&mut kept);
    }

    /// What bears on the schedule now.
    pub fn surroundings(&self) -> Surroundings {
        let mut kept = self.seen();
        if kept.seen_at.since(kept.noted_at) >= NOTED_EVERY_MS && kept.is_time_worth_noting() {
            self.note(&mut kept);
        }
        let wall = wall_now();
        let last_ms = kept.state.last_session_ms;
        // A clock that is behind what it said at the last session was set back, and may be with every start.
        let is_behind = last_ms.is_some_and(|last_ms| wall.0 < last_ms);
        Surroundings {
            local_ms: local_time::local_ms(wall).filter(|_| !is_behind),
            since_session_ms: last_ms.map(|last_ms| wall.0.saturating_sub(last_ms)),
            hold: kept.hold(),
        }
    }

    /// Whether a day or a month has no bytes left.
    pub fn is_used_up(&self) -> bool {
        self.seen().used_up().is_some()
    }

    /// For the status: `{"pause","bytes"}`.
    pub fn to_json(&self) -> (Value, Value) {
        let kept = self.seen();
        let now_ms = wall_now().0;
        let pause = kept.state.pause.map(|pause| {
            let until_ms = pause.left_ms.map(|left_ms| now_ms.saturating_add(left_ms));
            json!({ "since_ms": pause.since_ms, "until_ms": until_ms })
        });
        let span = |span: Span, bytes_max: Option<u64>| {
            let count = kept.state.count(span);
            let anew_ms = now_ms.saturating_add(count.left_ms(span, place(span)));
            json!({
                "spent": count.bytes,
                "max": bytes_max,
                "used_up": bytes_max.is_some_and(|bytes_max| count.bytes >= bytes_max),
                "anew_ms": anew_ms,
            })
        };
        let bytes = json!({
            "day": span(Span::Day, kept.budget.day_bytes_max),
            "month": span(Span::Month, kept.budget.month_bytes_max),
        });
        (json!(pause), bytes)
    }

    /// The state after the time that has passed since it was looked at.
    fn seen(&self) -> MutexGuard<'_, Kept> {
        // Each field is written whole.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = monotonic_now();
        let passed_ms = now.since(kept.seen_at);
        kept.seen_at = now;
        kept.state.pass(passed_ms, place(Span::Day), place(Span::Month));
        kept
    }

    fn change_pause(&self, pause: Option<Pause>) -> Result<(), FileError> {
        let mut kept = self.seen();
        let changed = State { pause, ..kept.state };
        changed.write(&self.path, wall_now())?;
        kept.state = changed;
        kept.noted_at = kept.seen_at;
        kept.unnoted_bytes = 0;
        Ok(())
    }

    fn note(&self, kept: &mut Kept) {
        if let Err(error) = kept.state.write(&self.path, wall_now()) {
            log::warn!("the bytes that were spent cannot be noted message={error}");
        }
        kept.noted_at = kept.seen_at;
        kept.unnoted_bytes = 0;
    }
}

impl Kept {
    /// Nothing is written on a device that has neither a pause with an end nor a budget.
    fn is_time_worth_noting(&self) -> bool {
        let has_end = self.state.pause.is_some_and(|pause| pause.left_ms.is_some());
        has_end || self.budget != Budget::default()
    }

    fn hold(&self) -> Option<Hold> {
        let pause = self.state.pause.map(|pause| Hold { cause: HoldCause::Paused, left_ms: pause.left_ms });
        // The one that lasts longer is the one to tell.
        [pause, self.used_up()].into_iter().flatten().max_by_key(|hold| hold.left_ms.unwrap_or(u64::MAX))
    }

    fn used_up(&self) -> Option<Hold> {
        let of = |span: Span, bytes_max: Option<u64>| {
            let count = self.state.count(span);
            (count.bytes >= bytes_max?)
                .then(|| Hold { cause: HoldCause::BytesUsedUp(span), left_ms: Some(count.left_ms(span, place(span))) })
        };
        of(Span::Month, self.budget.month_bytes_max).or_else(|| of(Span::Day, self.budget.day_bytes_max))
    }
}

fn place(span: Span) -> Option<Place> {
    let local_ms = local_time::local_ms(wall_now())?;
    Some(match span {
        Span::Day => local_time::day_of(local_ms),
        Span::Month => local_time::month_of(local_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallMs;
    use std::path::Path;

    const HOUR_MS: u64 = 3_600_000;

    fn keeper(folder: &Path, budget: Budget) -> PaceKeeper {
        PaceKeeper::open(folder.join("pacing"), budget)
    }

    #[test]
    fn a_pause_is_there_after_a_start_with_what_is_left_of_it() {
        let folder = tempfile::tempdir().unwrap();
        keeper(folder.path(), Budget::default()).pause(Some(HOUR_MS)).unwrap();

        let hold = keeper(folder.path(), Budget::default()).surroundings().hold.unwrap();

        assert_eq!(hold.cause, HoldCause::Paused);
        assert!((HOUR_MS - 60_000..=HOUR_MS).contains(&hold.left_ms.unwrap()), "{hold:?}");
    }

    #[test]
    fn a_pause_without_an_end_holds_until_it_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = keeper(folder.path(), Budget::default());
        keeper.pause(None).unwrap();
        let forever = Hold { cause: HoldCause::Paused, left_ms: None };
        assert_eq!(keeper.surroundings().hold, Some(forever));
        assert_eq!(keeper.to_json().0["until_ms"], Value::Null);

        assert!(keeper.resume().unwrap());
        assert!(!keeper.resume().unwrap());
        assert_eq!(keeper.surroundings().hold, None);
        assert_eq!(keeper.to_json().0, Value::Null);
    }

    #[test]
    fn bytes_are_counted_over_a_start_and_hold_once_they_are_used_up() {
        let folder = tempfile::tempdir().unwrap();
        let budget = Budget { day_bytes_max: Some(1000), month_bytes_max: Some(10_000) };
        let first = keeper(folder.path(), budget);
        first.count(600);
        first.session_ended();
        assert!(!first.is_used_up());

        let second = keeper(folder.path(), budget);
        second.count(400);
        let hold = second.surroundings().hold.unwrap();

        assert_eq!(hold.cause, HoldCause::BytesUsedUp(Span::Day));
        assert!(hold.left_ms.unwrap() <= 25 * HOUR_MS);
        assert_eq!(second.to_json().1["day"]["spent"], 1000);
        second.count(9000);
        assert_eq!(second.surroundings().hold.unwrap().cause, HoldCause::BytesUsedUp(Span::Month));
    }

    #[test]
    fn another_budget_counts_at_once_with_the_bytes_that_were_spent() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = keeper(folder.path(), Budget::default());
        keeper.count(1000);
        assert!(!keeper.is_used_up());

        keeper.set_budget(Budget { day_bytes_max: Some(1000), month_bytes_max: None });
        assert!(keeper.is_used_up());
        assert_eq!(keeper.to_json().1["day"]["max"], 1000);

        keeper.set_budget(Budget { day_bytes_max: Some(1001), month_bytes_max: None });
        assert_eq!(keeper.surroundings().hold, None);
    }

    #[test]
    fn many_bytes_are_noted_while_a_session_runs() {
        let folder = tempfile::tempdir().unwrap();
        let first = keeper(folder.path(), Budget::default());

        first.count(UNNOTED_BYTES_MAX);

        let second = keeper(folder.path(), Budget::default());
        assert_eq!(second.to_json().1["month"]["spent"], UNNOTED_BYTES_MAX);
    }

    #[test]
    fn a_pause_that_cannot_be_written_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = PaceKeeper::open(folder.path().join("absent/pacing"), Budget::default());

        keeper.pause(None).unwrap_err();

        assert_eq!(keeper.surroundings().hold, None);
    }

    #[test]
    fn a_clock_behind_the_last_session_tells_no_local_time() {
        let folder = tempfile::tempdir().unwrap();
        let later = State { last_session_ms: Some(u64::MAX / 2), ..State::default() };
        later.write(&folder.path().join("pacing"), WallMs(0)).unwrap();

        assert_eq!(keeper(folder.path(), Budget::default()).surroundings().local_ms, None);
    }
}
