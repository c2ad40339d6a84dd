//! An agent that opens its folder again by itself once it has found something that only an opening mends: damage, or a central that
//! lost what the journal had let go of. A service would else fail at it until somebody started it again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use serde_json::Value;

use super::vitals::vitals;
use super::{Input, Performer, Progress, Request, Vitals, clients, perform, sync};
use crate::agent::{Agent, Heard, NewsLine};
use crate::clients::Clients;
use crate::config::Config;
use crate::data_folder::Layout;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::pacing::Surroundings;

/// See the module. Opens between two sessions, never during one: whoever records meanwhile waits for the opening alone, not for the
/// network.
pub struct ReopeningAgent {
    config: Mutex<Config>,
    opened: RwLock<Result<Agent, AgentError>>,
    is_to_open: AtomicBool,
    is_stopping: AtomicBool,
    /// What bore on the schedule when that could last be seen.
    surroundings: Mutex<Surroundings>,
    /// Outlives an agent: who waits for an answer on it keeps the folder from nothing.
    news: NewsLine,
    /// The machines of the local network; they stay while the folder is opened again.
    clients: Result<Arc<Clients>, AgentError>,
}

impl ReopeningAgent {
    /// As [`Agent::open`].
    ///
    /// # Errors
    /// As [`Agent::open`].
    pub fn open(config: Config) -> Result<Self, AgentError> {
        let agent = Agent::open(config.clone())?;
        let opened = RwLock::new(Ok(agent));
        // What is wrong with these holds nothing else up.
        let clients = Clients::open(&Layout::of(&config.data_folder).clients()).map(Arc::new).map_err(AgentError::from);
        Ok(Self {
            config: Mutex::new(config),
            opened,
            is_to_open: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            surroundings: Mutex::default(),
            news: NewsLine::default(),
            clients,
        })
    }

    fn opened(&self) -> RwLockReadGuard<'_, Result<Agent, AgentError>> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn config(&self) -> MutexGuard<'_, Config> {
        // It is replaced in one step, so it is whole.
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_again(&self) {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have done it while this one waited.
        if opened.is_ok() && !self.is_to_open.swap(false, Ordering::SeqCst) {
            return;
        }
        log::warn!("the agent opens its data folder again");
        // The folder is free for the new agent only when the old one is gone.
        *opened = Err(is_opening());
        let config = self.config().clone();
        *opened = Agent::open(config);
        match &*opened {
            Ok(agent) if self.is_stopping.load(Ordering::SeqCst) => agent.begin_stopping(),
            Ok(_) => {}
            Err(error) => log::error!("the data folder does not open code={} message={:?}", error.code, error.message),
        }
    }
}

impl ReopeningAgent {
    /// Opens the folder again if that is to be done, and lets the agent do something.
    fn with_agent(
        &self,
        is_session: bool,
        what: impl FnOnce(&Agent) -> Result<Value, AgentError>,
    ) -> Result<Value, AgentError> {
        if self.opened().is_err() || (is_session && self.is_to_open.load(Ordering::SeqCst)) {
            self.open_again();
        }
        match &*self.opened() {
            Ok(agent) => what(agent).inspect_err(|error| {
                if agent.note_damage(error) {
                    self.is_to_open.store(true, Ordering::SeqCst);
                }
            }),
            Err(error) => Err(error.clone()),
        }
    }
}

impl Performer for ReopeningAgent {
    fn perform(
        &self,
        request: Request,
        input: &mut Input,
        events: &mut dyn FnMut(Progress),
    ) -> Result<Value, AgentError> {
        if let Request::ClientAdd { .. }
        | Request::ClientList
        | Request::ClientRevoke { .. }
        | Request::ClientCertificate = &request
        {
            let config = self.config().clone();
            return clients::perform(&*self.clients()?, &config, &request);
        }
        let is_status = matches!(request, Request::Status | Request::Watch { .. });
        let is_session = matches!(request, Request::Sync(_) | Request::Initialise(_) | Request::Verify(_));
        let mut result = self.with_agent(is_session, |agent| perform(agent, request, input, events))?;
        if let (true, Some(fields), Ok(clients)) = (is_status, result.as_object_mut(), &self.clients) {
            fields.insert("clients".to_owned(), clients::listed(clients).into());
        }
        Ok(result)
    }

    fn clients(&self) -> Result<Arc<Clients>, AgentError> {
        self.clients.clone()
    }

    fn sync_by_schedule(&self, events: &mut dyn FnMut(Progress)) -> Result<Value, AgentError> {
        self.with_agent(true, |agent| sync::sync_by_schedule(agent, events))
    }

    fn surroundings(&self) -> Surroundings {
        let mut last = self.surroundings.lock().unwrap_or_else(PoisonError::into_inner);
        // Locked while the folder is being opened, and while somebody who wants that waits for those who use it: a pause goes on.
        if let Ok(opened) = self.opened.try_read() {
            *last = opened.as_ref().map(Agent::surroundings).unwrap_or_default();
        }
        *last
    }

    fn begin_news(&self) {
        self.news.begin();
    }

    fn ask_for_news(&self, wait_s: u16) -> Heard {
        let question = match &*self.opened() {
            Ok(agent) => agent.news_question(wait_s),
            Err(_) => Ok(None),
        };
        let question = match question {
            Ok(Some(question)) => question,
            Ok(None) => return Heard::NotAsked,
            Err(error) => {
                log::debug!("there is nothing to ask for news with code={} message={:?}", error.code, error.message);
                return Heard::NotAsked;
            }
        };
        let (heard, bytes) = self.news.ask(&question);
        if let Ok(agent) = &*self.opened() {
            agent.pace().count(bytes);
        }
        heard
    }

    fn end_news(&self) {
        self.news.end();
    }

    fn vitals(&self) -> Result<Vitals, AgentError> {
        match &*self.opened() {
            Ok(agent) => vitals(agent),
            Err(error) => Ok(Vitals { refusal: Some(error.clone()), ..Vitals::default() }),
        }
    }

    fn take_up(&self, config: &Config) {
        // Before the agent that is open: one that is opened meanwhile has them too.
        self.config().clone_from(config);
        if let Ok(agent) = &*self.opened() {
            agent.take_up(config.clone());
        }
    }

    fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.news.end();
        if let Ok(agent) = &*self.opened() {
            agent.begin_stopping();
        }
    }
}

/// Seen by nobody: whoever could waits for the lock.
fn is_opening() -> AgentError {
    AgentError::new("opening", "the data folder is being opened", "Ask again.", Exit::Busy)
}
