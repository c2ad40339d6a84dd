//! What the file of [`PaceKeeper`](super::PaceKeeper) holds, as JSON.

use std::path::Path;

use protocol::schedule::{Count, Pause, Place, Span};
use serde::{Deserialize, Serialize};

use crate::clock::WallMs;
use crate::durable_file::{self, FileError};

/// Largest file, in bytes: what is written has a few hundred.
const FILE_BYTES_MAX: usize = 4096;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) pause: Option<Pause>,
    pub(super) day: Count,
    pub(super) month: Count,
    /// When the last session ended, by the wall clock.
    pub(super) last_session_ms: Option<u64>,
    /// When this was written, by the wall clock.
    pub(super) noted_at_ms: u64,
}

impl State {
    pub(super) fn count(&self, span: Span) -> Count {
        match span {
            Span::Day => self.day,
            Span::Month => self.month,
        }
    }

    pub(super) fn add(&mut self, bytes: u64) {
        self.day = self.day.with(bytes);
        self.month = self.month.with(bytes);
    }

    /// Time has passed while the agent ran.
    pub(super) fn pass(&mut self, passed_ms: u64, day: Option<Place>, month: Option<Place>) {
        self.pause = self.pause.and_then(|pause| pause.after(passed_ms));
        self.day = self.day.at(Span::Day, day, passed_ms);
        self.month = self.month.at(Span::Month, month, passed_ms);
    }

    /// Time has passed while it did not, as far as the wall clock tells; one that was set back tells of none.
    pub(super) fn pass_unseen(&mut self, now: WallMs) {
        let passed_ms = now.0.saturating_sub(self.noted_at_ms);
        self.pause = self.pause.and_then(|pause| pause.after(passed_ms));
    }

    pub(super) fn write(self, path: &Path, now: WallMs) -> Result<(), FileError> {
        let noted = Self { noted_at_ms: now.0, ..self };
        let text = serde_json::to_string(&noted).expect("numbers under names are JSON");
        durable_file::replace_private(path, text.as_bytes())
    }
}

/// What the file holds; nothing if it is not there, or is none.
pub(super) fn read(path: &Path) -> State {
    let problem = match durable_file::read_private(path, FILE_BYTES_MAX) {
        Ok(None) => return State::default(),
        Ok(Some(bytes)) => match serde_json::from_slice(&bytes) {
            Ok(state) => return state,
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    log::warn!("pause and counted bytes cannot be read and begin anew path={} message={problem}", path.display());
    State::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paused(left_ms: u64) -> State {
        State { pause: Some(Pause { since_ms: 0, left_ms: Some(left_ms) }), noted_at_ms: 5_000, ..State::default() }
    }

    #[test]
    fn a_pause_goes_on_while_nobody_looks_and_a_clock_that_was_set_back_makes_it_no_longer() {
        let left_ms = |now_ms: u64| {
            let mut state = paused(1_000);
            state.pass_unseen(WallMs(now_ms));
            state.pause.map(|pause| pause.left_ms.unwrap())
        };

        assert_eq!(left_ms(5_400), Some(600));
        assert_eq!(left_ms(0), Some(1_000));
        assert_eq!(left_ms(6_000), None);
    }

    #[test]
    fn a_damaged_file_holds_nothing_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pacing");
        paused(1_000).write(&path, WallMs(7)).unwrap();
        assert_eq!(read(&path), State { noted_at_ms: 7, ..paused(1_000) });

        durable_file::replace_private(&path, b"{\"pause\":{}}").unwrap();

        assert_eq!(read(&path), State::default());
    }
}
