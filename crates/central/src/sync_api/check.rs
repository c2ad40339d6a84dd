//! Answers a device that asks whether it would be taken up (`protocol::check`). Only reads: no token, no slot of the site, and no
//! contact is noted.

use std::sync::Arc;

use codec::Ed25519Verifier;
use protocol::check::{CheckAnswer, Question};
use protocol::edge::Signer as _;
use protocol::limits::CHECK_BYTES_MAX;
use protocol::section::HEADER_BYTES;

use super::question::QuestionError;
use crate::center::Center;
use crate::clock;

/// Largest question, in bytes.
pub(super) const REQUEST_BYTES_MAX: usize = HEADER_BYTES + CHECK_BYTES_MAX;

/// The signed answer to a question.
pub(super) async fn answer(center: Arc<Center>, question: Vec<u8>) -> Result<Vec<u8>, QuestionError> {
    let question = Question::read(&question).map_err(QuestionError::NoQuestion)?;
    let work = move || {
        let keys = center.keys_of(question.site())?;
        let answer = match question.open(&keys, center.signer().public_key(), &Ed25519Verifier) {
            Ok((head, standing)) => {
                let now_ms = clock::wall_ms();
                center.read(move |reading| reading.at_once(|reading| reading.check_device(&head, standing, now_ms)))?
            }
            Err(refusal) => CheckAnswer::refused(refusal),
        };
        Ok(question.answer(&answer, center.signer()))
    };
    super::drive::blocking(work).await.map_err(|error| {
        tracing::error!("a check failed: {error}");
        QuestionError::Store(error)
    })
}
