//! What the tests of the verbs share.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use super::Screen;
use crate::config::{Config, Sources};
use crate::error::AgentError;
use crate::operations::{Input, Performer};
use crate::operations::{Progress, Request};

/// Answers each request with the next value, and remembers what was asked.
pub(super) struct Scripted {
    answers: Mutex<VecDeque<Value>>,
    pub(super) asked: Mutex<Vec<Request>>,
}

impl Scripted {
    pub(super) fn new(answers: impl IntoIterator<Item = Value>) -> Self {
        Self { answers: Mutex::new(answers.into_iter().collect()), asked: Mutex::default() }
    }
}

impl Performer for Scripted {
    fn perform(&self, request: Request, _: &mut Input, _: &mut dyn FnMut(Progress)) -> Result<Value, AgentError> {
        self.asked.lock().unwrap().push(request);
        Ok(self.answers.lock().unwrap().pop_front().expect("an answer for each request"))
    }
}

/// Settings for a folder.
pub(super) fn config(folder: &Path) -> Config {
    let file = folder.join("agent.toml");
    std::fs::write(&file, "").unwrap();
    let sources = Sources { config_file: Some(file), data_folder: Some(folder.to_owned()), ..Sources::default() };
    Config::load(&sources).unwrap()
}

/// What a command prints to standard output.
pub(super) fn printed<T>(is_json: bool, command: impl FnOnce(&mut Screen<'_>) -> T) -> (T, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let result = command(&mut Screen::new(&mut out, &mut err, is_json, false));
    (result, String::from_utf8(out).unwrap())
}
