//! Comparing with central what this site has (`protocol::verify`).

use codec::Ed25519Verifier;
use protocol::limits::VERIFY_ANSWER_BYTES_MAX;
use protocol::section::{Binding, HEADER_BYTES};
use protocol::verify::{self, Answer};

use super::{CONTENT_TYPE, Transport, TransportError, VERIFY_PATH};

impl Transport {
    /// Posts a question and gives the answer that central has signed; `binding` is what it is bound to.
    ///
    /// # Errors
    /// As for [`Transport::exchange`]; [`TransportError::NotCentral`] for an answer that the trusted key has not signed.
    pub fn verify(&mut self, question: &[u8], binding: &Binding) -> Result<Answer, TransportError> {
        let response = self.post(VERIFY_PATH, CONTENT_TYPE, question)?;
        let bytes_max = HEADER_BYTES + VERIFY_ANSWER_BYTES_MAX;
        self.signed(response, bytes_max, |answer| verify::read_answer(answer, binding, &Ed25519Verifier))
    }
}
