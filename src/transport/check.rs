//! Asking central whether it would take this device, without an exchange (`protocol::check`).

use codec::Ed25519Verifier;
use protocol::check::{self, CheckAnswer};
use protocol::section::Binding;

use super::{CHECK_PATH, CONTENT_TYPE, SMALL_REPLY_BYTES_MAX, Transport, TransportError};

impl Transport {
    /// Posts a question and gives the answer that central has signed; `binding` is what it is bound to.
    ///
    /// # Errors
    /// As for [`Transport::exchange`]; [`TransportError::NotCentral`] for an answer that the trusted key has not signed.
    pub fn check(&mut self, question: &[u8], binding: &Binding) -> Result<CheckAnswer, TransportError> {
        let response = self.post(CHECK_PATH, CONTENT_TYPE, question)?;
        self.signed(response, SMALL_REPLY_BYTES_MAX, |answer| check::read_answer(answer, binding, &Ed25519Verifier))
    }
}
