//! Comparing with central over the agent's own way to it.

use protocol::section::Binding;
use protocol::verify::{Answer, Outcome};

use super::{Agent, Line, PoisonError};
use crate::error::AgentError;
use crate::sync_runner::Parties;
use crate::transport::{Transport, TransportError};
use crate::verifying::{Asker, Comparison};

/// Times that a question is asked while central is busy or the link is cut.
const ASKED_MAX: u32 = 5;
/// Longest wait between two of these, in milliseconds.
const WAIT_MS_MAX: u64 = 30_000;

impl Agent {
    /// Compares every scope once, and mends what differs; waits for a session that is running. To be called when a session has drained
    /// everything.
    ///
    /// # Errors
    /// As [`Comparison::run`].
    pub fn verify_once(&self, progress: &mut dyn FnMut(&Outcome)) -> Result<Outcome, AgentError> {
        self.compare(|comparison, asker| {
            comparison.run(asker, &mut |outcome| {
                progress(outcome);
                !self.is_stopping()
            })
        })
    }

    /// Tells central what was found in all, and that the site has done what it was asked to.
    ///
    /// # Errors
    /// Those of the way and of central.
    pub fn report_verified(&self, outcome: Outcome) -> Result<(), AgentError> {
        self.compare(|comparison, asker| comparison.report(asker, outcome))?;
        Ok(self.recorder()?.core().local.forget_verify()?)
    }

    fn compare<T>(
        &self,
        work: impl FnOnce(&mut Comparison<'_, crate::journal::SledStorage>, &mut dyn Asker) -> Result<T, AgentError>,
    ) -> Result<T, AgentError> {
        let recorder = self.recorder()?;
        self.check_hardware()?;
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let enrolment = self.device().enrolment()?.clone();
        self.connect(&mut line, &enrolment)?;
        let Line { transport: Some(transport), codec, .. } = &mut *line else { unreachable!("it was made just now") };
        let parties =
            Parties { site: enrolment.site, central: enrolment.central_key, generation: enrolment.generation };
        let token = self.device().token();
        let mut comparison = Comparison {
            recorder,
            catalogue: self.catalogue(),
            codec,
            signer: &self.signer,
            parties,
            token,
            salt: &mut crate::entropy::bytes,
            gained: None,
        };
        let meter = transport.meter();
        let result = work(&mut comparison, &mut Patient { agent: self, transport });
        self.pace.count(meter.take());
        self.pace.session_ended();
        result
    }
}

/// Asks again where waiting may help.
struct Patient<'a> {
    agent: &'a Agent,
    transport: &'a mut Transport,
}

impl Asker for Patient<'_> {
    fn ask(&mut self, question: &[u8], binding: &Binding) -> Result<Answer, AgentError> {
        let mut asked = 0;
        loop {
            asked += 1;
            let error = match self.transport.verify(question, binding) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let wanted_ms =
                if let TransportError::Busy { retry_after_s } = &error { Some(retry_after_s * 1000) } else { None };
            let error = AgentError::from(error);
            let may_help = matches!(error.exit, crate::exit::Exit::Offline | crate::exit::Exit::Busy);
            if !may_help || asked >= ASKED_MAX {
                return Err(error);
            }
            let wait_ms = self.agent.schedule().retry_ms(asked, wanted_ms, crate::entropy::number());
            if !self.agent.wait(wait_ms.min(WAIT_MS_MAX)) {
                return Err(error);
            }
        }
    }
}
