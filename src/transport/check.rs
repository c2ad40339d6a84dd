//! Asking central whether it would take this device, without an exchange (`protocol::check`).

use codec::Ed25519Verifier;
use protocol::check::{self, CheckAnswer};
use protocol::section::Binding;

use super::{CHECK_PATH, CONTENT_TYPE, Transport, TransportError, content_type};

/// What is told of an answer that central has not signed, in place of a content type.
pub(super) const UNSIGNED: &str = "an answer that the trusted key has not signed";

impl Transport {
    /// Posts a question and gives the answer that central has signed; `binding` is what it is bound to.
    ///
    /// # Errors
    /// As for [`Transport::exchange`]; [`TransportError::NotCentral`] for an answer that the trusted key has not signed.
    pub fn check(&mut self, question: &[u8], binding: &Binding) -> Result<CheckAnswer, TransportError> {
        let mut response = self.post(CHECK_PATH, CONTENT_TYPE, question)?;
        if content_type(&response) != CONTENT_TYPE {
            return Err(self.unexpected(&mut response));
        }
        let answer = self.small_body(&mut response)?;
        let status = response.status().as_u16();
        check::read_answer(&answer, binding, &Ed25519Verifier)
            .map_err(|_| TransportError::not_central(self.central(), status, UNSIGNED))
    }
}
