//! Asking central whether something waits for this site: what the question says, and a way of its own to central, on which it may be held.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::check;
use protocol::message::RequestHead;
use protocol::news::{self, Answer, Question};
use protocol::section::Binding;

use super::Agent;
use crate::config::{CentralUrl, Config};
use crate::error::{AgentError, Explained as _};
use crate::transport::{Interrupter, Meter, Transport};

/// What came of a question for news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A session would bring something.
    Something,
    /// It would not, up to the end of the wait.
    Nothing,
    /// Another question of this site took the place of this one.
    Replaced,
    /// Central would refuse an exchange: the next one tells why.
    Refused,
    /// Central does not know the question.
    Unknown,
    /// It was ended here.
    Ended,
    /// There is nothing to ask with: no session has come to its end since the start, or the site is not enrolled.
    NotAsked,
    /// It did not go through.
    Failed {
        /// What central asked to wait at least, in milliseconds.
        retry_after_ms: Option<u64>,
    },
}

/// A question that is ready to be asked.
pub struct NewsQuestion {
    config: Arc<Config>,
    central: CentralUrl,
    bytes: Vec<u8>,
    binding: Binding,
}

impl Agent {
    /// A question whose answer may be held back for `wait_s` seconds; `None` while there is nothing to ask with. May wait for an edit that
    /// is being recorded.
    ///
    /// # Errors
    /// Those of reading the local copy.
    pub fn news_question(&self, wait_s: u16) -> Result<Option<NewsQuestion>, AgentError> {
        let through = *self.read_through.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(through), Some(recorder)) = (through, &self.recorder) else { return Ok(None) };
        let control = recorder.core().local.session_state()?.control;
        let (enrolment, journal, token) = {
            let device = self.device();
            (device.enrolment()?.clone(), device.identity().journal, device.token())
        };
        let head = check::head(enrolment.site, journal, enrolment.generation, crate::entropy::bytes());
        let question = Question { head: RequestHead { token, control, ..head }, through, wait_s };
        let (bytes, binding) = news::ask(&question, enrolment.central_key, &self.signer);
        let config = self.config();
        let central = config.central_url.clone().unwrap_or(enrolment.central_url);
        Ok(Some(NewsQuestion { config, central, bytes, binding }))
    }
}

/// The way to central for questions for news: one at a time, on a connection of its own, so that it holds up no session. Shared by the
/// thread that asks and whoever ends it.
#[derive(Default)]
pub struct NewsLine {
    way: Mutex<Option<Way>>,
    ending: Mutex<Ending>,
}

/// A way and what it was made by.
struct Way {
    transport: Transport,
    config: Arc<Config>,
    central: CentralUrl,
}

#[derive(Default)]
struct Ending {
    is_ended: bool,
    interrupter: Option<Interrupter>,
}

impl NewsLine {
    /// Lets the next question be asked. To be called before [`NewsLine::ask`], by whoever may end it.
    pub fn begin(&self) {
        self.ending().is_ended = false;
    }

    /// Asks, and waits for the answer; also what went over the connection, in bytes.
    pub fn ask(&self, question: &NewsQuestion) -> (Heard, u64) {
        // One whole way or none, whatever the thread that panicked was doing.
        let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        let is_current = way.as_ref().is_some_and(|way| way.is_for(question));
        if !is_current {
            *way = Transport::patient(&question.config, question.central.clone())
                .inspect_err(|error| log::debug!("no way to ask for news code={} message={error}", error.code()))
                .ok()
                .map(|transport| Way {
                    transport,
                    config: Arc::clone(&question.config),
                    central: question.central.clone(),
                });
        }
        let Some(Way { transport, .. }) = &mut *way else { return (Heard::Failed { retry_after_ms: None }, 0) };
        {
            let mut ending = self.ending();
            if ending.is_ended {
                return (Heard::Ended, 0);
            }
            ending.interrupter = Some(transport.interrupter());
        }
        let meter: Meter = transport.meter();
        let answer = transport.news(&question.bytes, &question.binding);
        let bytes = meter.take();
        if std::mem::take(&mut self.ending().is_ended) {
            // Its connections are closed for good.
            *way = None;
            return (Heard::Ended, bytes);
        }
        let heard = match answer {
            Ok(Some(Answer::Something)) => Heard::Something,
            Ok(Some(Answer::Nothing)) => Heard::Nothing,
            Ok(Some(Answer::Replaced)) => Heard::Replaced,
            Ok(Some(Answer::Refused(refusal))) => {
                log::debug!("central gives no news code={} message={:?}", refusal.code, refusal.message);
                Heard::Refused
            }
            Ok(None) => Heard::Unknown,
            Err(error) => {
                log::debug!("a question for news did not go through code={} message={error}", error.code());
                Heard::Failed { retry_after_ms: error.retry_after_ms() }
            }
        };
        (heard, bytes)
    }

    /// Ends the question that is being asked, or is about to be, soon. What cannot be ended is the system's own search for an address.
    pub fn end(&self) {
        let mut ending = self.ending();
        ending.is_ended = true;
        if let Some(interrupter) = ending.interrupter.take() {
            interrupter.interrupt();
        }
    }

    fn ending(&self) -> MutexGuard<'_, Ending> {
        // Each field is written whole.
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    fn is_for(&self, question: &NewsQuestion) -> bool {
        Arc::ptr_eq(&self.config, &question.config) && self.central == question.central
    }
}
