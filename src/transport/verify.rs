//! Comparing with central what this site has (`protocol::verify`).

use codec::Ed25519Verifier;
use protocol::limits::VERIFY_ANSWER_BYTES_MAX;
use protocol::section::{Binding, HEADER_BYTES};
use protocol::verify::{self, Answer};

use super::check::UNSIGNED;
use super::{CONTENT_TYPE, Transport, TransportError, VERIFY_PATH, content_type};

impl Transport {
    /// Posts a question and gives the answer that central has signed; `binding` is what it is bound to.
    ///
    /// # Errors
    /// As for [`Transport::exchange`]; [`TransportError::NotCentral`] for an answer that the trusted key has not signed.
    pub fn verify(&mut self, question: &[u8], binding: &Binding) -> Result<Answer, TransportError> {
        let mut response = self.post(VERIFY_PATH, CONTENT_TYPE, question)?;
        if content_type(&response) != CONTENT_TYPE {
            return Err(self.unexpected(&mut response));
        }
        let limit = HEADER_BYTES + VERIFY_ANSWER_BYTES_MAX;
        let answer = self.body_within(&mut response, limit)?;
        let status = response.status().as_u16();
        verify::read_answer(&answer, binding, &Ed25519Verifier)
            .map_err(|_| TransportError::not_central(self.central(), status, UNSIGNED))
    }
}
