//! How deep the queue was on each of the last days: what tells a queue that is long today from one that grows from day to day. Kept in one
//! small file of the data folder.
//!
//! Days are those of the device's clock, for people. The order is the one in which they were seen; a clock that is set back joins days and
//! never turns them around.

mod days;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::{MonotonicMs, monotonic_now};
use crate::durable_file::{self, FileError};
use crate::local_time;
pub use days::{Days, GROWING_DAYS, Growth, QUEUE_DAYS_MAX, QueueDay};

/// Largest file that is looked at, in bytes: 60 days of three numbers are below 4 kB.
const FILE_BYTES_MAX: usize = 16 * 1024;
/// Least time between two writes within one day, in milliseconds: so much of a day's least and most may be lost by a kill. That a day
/// has begun is written at once.
const NOTED_EVERY_MS: u64 = 600_000;

/// Keeps the days.
#[derive(Debug)]
pub struct QueueKeeper {
    path: PathBuf,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    days: Days,
    /// Edits in the queue when it was last looked at; `None` before that.
    edits: Option<u64>,
    /// Up to when running time is taken in.
    seen_at: MonotonicMs,
    noted_at: MonotonicMs,
    is_noted: bool,
}

impl QueueKeeper {
    /// Reads the file. One that is not there or cannot be read is begun anew, with a warning.
    pub fn open(path: PathBuf) -> Self {
        let now = monotonic_now();
        let kept = Kept { days: read(&path), edits: None, seen_at: now, noted_at: now, is_noted: true };
        Self { path, kept: Mutex::new(kept) }
    }

    /// Takes in that so many edits wait at this moment. `local_ms` is the local time in milliseconds since 1970, of a clock that can be
    /// believed.
    pub fn see(&self, edits: u64, local_ms: Option<u64>) {
        self.kept().edits = Some(edits);
        self.pass(local_ms);
    }

    /// Takes in that time has passed: a day may have begun on which nobody has recorded or synced yet.
    pub fn pass(&self, local_ms: Option<u64>) {
        self.pass_at(local_ms, monotonic_now());
    }

    /// The days, oldest first.
    pub fn days(&self) -> Days {
        self.kept().days.clone()
    }

    fn pass_at(&self, local_ms: Option<u64>, now: MonotonicMs) {
        let mut kept = self.kept();
        let Some(edits) = kept.edits else { return };
        let ran_ms = now.since(kept.seen_at);
        kept.seen_at = now;
        let change = kept.days.see(edits, local_ms.map(|local_ms| local_time::day_of(local_ms).number), ran_ms);
        kept.is_noted &= change == days::Change::None;
        let is_due = now.since(kept.noted_at) >= NOTED_EVERY_MS;
        if change == days::Change::Day || (is_due && !kept.is_noted) {
            self.note(&mut kept, now);
        }
    }

    fn note(&self, kept: &mut Kept, now: MonotonicMs) {
        if let Err(error) = write(&self.path, &kept.days) {
            log::warn!("how deep the queue was cannot be noted message={error}");
        }
        // After an error it is tried again after a while, as after a success.
        kept.noted_at = now;
        kept.is_noted = true;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Each field is whole whatever the thread that panicked was doing.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for QueueKeeper {
    fn drop(&mut self) {
        let mut kept = self.kept();
        if !kept.is_noted {
            self.note(&mut kept, monotonic_now());
        }
    }
}

fn write(path: &std::path::Path, days: &Days) -> Result<(), FileError> {
    let text = serde_json::to_string(days).expect("numbers under names are JSON");
    durable_file::replace_private(path, text.as_bytes())
}

fn read(path: &std::path::Path) -> Days {
    let problem = match durable_file::read_private(path, FILE_BYTES_MAX) {
        Ok(None) => return Days::default(),
        Ok(Some(bytes)) => match serde_json::from_slice::<Days>(&bytes) {
            Ok(days) => return days.bounded(),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    log::warn!("how deep the queue was cannot be read and begins anew path={} message={problem}", path.display());
    Days::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 86_400_000;

    fn at_day(day: u64) -> u64 {
        day * DAY_MS + 3_600_000
    }

    #[test]
    fn days_are_there_after_a_start_also_those_on_which_nobody_did_anything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue-days");
        {
            let keeper = QueueKeeper::open(path.clone());
            keeper.pass(Some(at_day(99)));
            keeper.see(3, Some(at_day(100)));
            keeper.see(9, Some(at_day(100)));
            keeper.pass(Some(at_day(101)));
        }

        let days = QueueKeeper::open(path.clone()).days();

        let expected = [QueueDay { day: Some(100), least: 3, most: 9 }, QueueDay { day: Some(101), least: 9, most: 9 }];
        assert_eq!(days.iter().collect::<Vec<_>>(), expected);
        assert_eq!(std::fs::read_to_string(path).unwrap(), r#"{"days":[[100,3,9],[101,9,9]],"ran_ms":0}"#);
    }

    #[test]
    fn a_new_day_is_on_the_disk_at_once_and_the_rest_of_it_within_minutes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue-days");
        let keeper = QueueKeeper::open(path.clone());
        let noted = || std::fs::read_to_string(&path).unwrap();
        let now = monotonic_now();
        keeper.see(5, Some(at_day(100)));
        assert!(noted().starts_with(r#"{"days":[[100,5,5]]"#));

        keeper.see(7, Some(at_day(100)));
        assert!(noted().starts_with(r#"{"days":[[100,5,5]]"#));
        keeper.pass_at(Some(at_day(100)), now.plus(NOTED_EVERY_MS + 60_000));

        assert!(noted().starts_with(r#"{"days":[[100,5,7]]"#), "{}", noted());
    }

    #[test]
    fn a_damaged_file_begins_anew_and_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue-days");
        for damaged in ["", "[]", r#"{"days":[[1,2]]}"#, r#"{"days":[[1,2,-3]],"ran_ms":0}"#] {
            durable_file::replace_private(&path, damaged.as_bytes()).unwrap();

            let keeper = QueueKeeper::open(path.clone());

            assert_eq!(keeper.days().iter().count(), 0, "{damaged}");
            keeper.see(1, Some(at_day(100)));
            assert_eq!(QueueKeeper::open(path.clone()).days().iter().count(), 1);
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_what_is_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = QueueKeeper::open(folder.path().join("absent/queue-days"));

        keeper.see(5, Some(at_day(100)));

        assert_eq!(keeper.days().iter().next().unwrap().most, 5);
    }
}
