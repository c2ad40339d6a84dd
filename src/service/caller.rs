//! Whoever waits for a session: two ends of one small letter box.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::clock::Waker;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::operations::Progress;

type Answer = Result<Value, AgentError>;

/// The session's end. Dropped without an answer, it says that the session broke.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    ends: Arc<SessionEnd>,
}

/// The waiting end.
#[derive(Debug)]
pub(super) struct Waiting {
    letters: Arc<Letters>,
}

#[derive(Debug)]
struct SessionEnd {
    letters: Arc<Letters>,
}

#[derive(Debug, Default)]
struct Letters {
    /// The newest step, if it was not read yet: an older one says nothing that a newer does not.
    content: Mutex<LetterBox>,
    changed: Waker,
}

#[derive(Debug, Default)]
struct LetterBox {
    progress: Option<Progress>,
    answer: Option<Answer>,
    is_answered: bool,
}

/// Both ends.
pub(super) fn caller() -> (Caller, Waiting) {
    let letters = Arc::new(Letters::default());
    let ends = Arc::new(SessionEnd { letters: Arc::clone(&letters) });
    (Caller { ends }, Waiting { letters })
}

impl Caller {
    /// Shows a step; it replaces one that was not read yet.
    pub(super) fn progress(&self, progress: &Progress) {
        self.ends.letters.lock().progress = Some(progress.clone());
        self.ends.letters.changed.wake();
    }

    /// Answers. The first answer counts.
    pub(super) fn answer(&self, answer: Answer) {
        self.ends.letters.answer(answer);
    }
}

impl Drop for SessionEnd {
    fn drop(&mut self) {
        self.letters.answer(Err(AgentError::new(
            "session_broke",
            "the session ended without a result",
            "Look at the log of the agent, then repeat.",
            Exit::Failed,
        )));
    }
}

impl Waiting {
    /// Waits for the answer; steps go to `events`.
    pub(super) fn wait(self, events: &mut dyn FnMut(Progress)) -> Answer {
        loop {
            let (progress, answer) = {
                let mut letters = self.letters.lock();
                (letters.progress.take(), letters.answer.take())
            };
            if let Some(progress) = progress {
                events(progress);
            }
            if let Some(answer) = answer {
                return answer;
            }
            self.letters.changed.wait_until(None);
        }
    }
}

impl Letters {
    fn answer(&self, answer: Answer) {
        let mut letters = self.lock();
        if !std::mem::replace(&mut letters.is_answered, true) {
            letters.answer = Some(answer);
        }
        drop(letters);
        self.changed.wake();
    }

    fn lock(&self) -> MutexGuard<'_, LetterBox> {
        // Each field is written whole, so what a thread that panicked left is whole.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
