//! Whoever watches the status: waits until something of it may have changed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Bell;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::{Progress, wait_deadline};

/// Most requests that watch at once. With those that wait for edits and changes a listener still has places left.
pub(super) const WATCHING_MAX: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Watched {
    bell: Bell,
    watching: AtomicUsize,
    is_over: AtomicBool,
    /// How far the session is that runs.
    progress: Mutex<Option<Progress>>,
}

impl Watched {
    /// Something may have changed.
    pub(super) fn ring(&self) {
        self.bell.ring();
    }

    /// The number of the last change. To be asked before looking.
    pub(super) fn change(&self) -> u64 {
        self.bell.rung()
    }

    /// How many watch.
    #[cfg(test)]
    pub(super) fn watching(&self) -> usize {
        self.watching.load(Ordering::SeqCst)
    }

    /// Lets everybody go who watches, and nobody wait any more: the agent stops.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.bell.ring();
    }

    /// How far the session is; `None` when there is none.
    pub(super) fn progress(&self) -> MutexGuard<'_, Option<Progress>> {
        // Replaced as a whole.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step of a session; `None` when it is over.
    pub(super) fn step(&self, progress: Option<&Progress>) {
        *self.progress() = progress.cloned();
        self.ring();
    }

    /// Waits for a change behind `after`, for so many seconds at most. Does not wait without `after`, or if it is another one than the
    /// last.
    ///
    /// # Errors
    /// `wait_out_of_range`, `too_many_waiting`.
    pub(super) fn wait(&self, after: Option<u64>, wait_s: u32) -> Result<(), AgentError> {
        let deadline = wait_deadline(wait_s)?;
        let Some(after) = after.filter(|after| *after == self.change() && wait_s > 0) else { return Ok(()) };
        let _place = Place::take(&self.watching)?;
        if !self.is_over.load(Ordering::SeqCst) {
            self.bell.wait_past(after, deadline);
        }
        Ok(())
    }
}

/// One of those who watch.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(watching: &'a AtomicUsize) -> Result<Self, AgentError> {
        let before = watching.fetch_add(1, Ordering::SeqCst);
        let place = Self(watching);
        if before < WATCHING_MAX {
            return Ok(place);
        }
        Err(AgentError::new(
            "too_many_waiting",
            format!("{WATCHING_MAX} requests watch the status already, which is the most at once"),
            "Ask again in a few seconds.",
            Exit::Busy,
        ))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn who_has_seen_the_last_change_waits_for_the_next() {
        let watched = Arc::new(Watched::default());
        watched.ring();
        watched.wait(None, 60).unwrap();
        watched.wait(Some(0), 60).unwrap();
        let waiting = {
            let watched = Arc::clone(&watched);
            std::thread::spawn(move || watched.wait(Some(1), 60))
        };

        watched.ring();

        waiting.join().unwrap().unwrap();
        assert_eq!(watched.change(), 2);
        assert_eq!(watched.wait(Some(2), 601).unwrap_err().code, "wait_out_of_range");
    }

    #[test]
    fn only_so_many_watch_at_once_and_all_are_let_go_at_the_end() {
        let watched = Arc::new(Watched::default());
        let waiting: Vec<_> = (0..WATCHING_MAX)
            .map(|_| {
                let watched = Arc::clone(&watched);
                std::thread::spawn(move || watched.wait(Some(0), 60))
            })
            .collect();
        while watched.watching() < WATCHING_MAX {
            std::thread::yield_now();
        }

        assert_eq!(watched.wait(Some(0), 60).unwrap_err().code, "too_many_waiting");

        watched.end();
        for thread in waiting {
            thread.join().unwrap().unwrap();
        }
        watched.wait(Some(watched.change()), 60).unwrap();
    }
}
