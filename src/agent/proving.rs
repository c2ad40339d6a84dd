//! Who answered a sync without being central is asked to prove itself before anything is sent to it again.

use std::ops::ControlFlow;

use protocol::section::Binding;

use crate::sync_runner::{ExchangeFailure, Exchanger};
use crate::transport::Transport;

/// Code of a sync of which the reply was not signed by the key that is trusted.
pub(super) const NOT_CENTRAL: &str = "not_central";

/// The way to central, which asks a question that only central can answer before the first request. The question carries no edits.
pub(super) struct ProvingFirst<'a> {
    pub(super) transport: &'a mut Transport,
    /// The question, and what its answer is bound to; `None` once it is answered.
    pub(super) question: Option<(Vec<u8>, Binding)>,
}

impl Exchanger for ProvingFirst<'_> {
    fn exchange(
        &mut self,
        request: &[u8],
        on_reply: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), ExchangeFailure> {
        if let Some((question, binding)) = &self.question {
            // What it says is the exchange's to find out; that it is signed is enough.
            self.transport.check(question, binding).map_err(|error| ExchangeFailure::from(&error))?;
            self.question = None;
        }
        Exchanger::exchange(self.transport, request, on_reply)
    }
}
