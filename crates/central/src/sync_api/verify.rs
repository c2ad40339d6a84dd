//! Answers a device that compares what it has with what it should have (`protocol::verify`). Beside what the device says at the end that
//! it found, nothing is written: no token, no slot of the site, and no contact is noted.

use std::sync::Arc;

use codec::{Ed25519Verifier, ZstdCodec};
use protocol::edge::Signer as _;
use protocol::exchange::Standing;
use protocol::limits::VERIFY_QUESTION_BYTES_MAX;
use protocol::section::HEADER_BYTES;
use protocol::verify::{Answer, Ask, Asked, Question};

use super::question::QuestionError;
use crate::center::Center;
use crate::store::answer;
use crate::writer::WriteError;

/// Largest question, in bytes.
pub(super) const REQUEST_BYTES_MAX: usize = HEADER_BYTES + VERIFY_QUESTION_BYTES_MAX;
/// Questions that are answered at once: each reads a scope from end to end, which is not to take the disk from exchanges.
pub(super) const QUESTIONS_MAX: usize = 2;

/// The signed answer to a question.
pub(super) async fn answer_question(center: Arc<Center>, question: Vec<u8>) -> Result<Vec<u8>, QuestionError> {
    let asked = Asked::read(&question).map_err(QuestionError::NoQuestion)?;
    let work = move || {
        let keys = center.keys_of(asked.site())?;
        let answer = match asked.open(&keys, center.signer().public_key(), &Ed25519Verifier) {
            Ok((question, standing)) => find(&center, question, standing)?,
            Err(refusal) => Answer::Refused(refusal),
        };
        Ok(asked.answer(&answer, center.signer()))
    };
    super::drive::blocking(work).await.map_err(|error| {
        tracing::error!("a comparison failed: {error}");
        QuestionError::Store(error)
    })
}

fn find(center: &Center, question: Question, standing: Standing) -> Result<Answer, WriteError> {
    let (site, journal) = (question.head.site, question.head.journal);
    if let Ask::Done(outcome) = &question.ask {
        tracing::info!(site = site.0, is_whole = outcome.is_whole, differing = outcome.differing, "a site verified");
    }
    let taken = question.clone();
    if let Err(refusal) = center.write(move |batch| answer(batch.take_question(&taken, standing)))? {
        return Ok(Answer::Refused(refusal));
    }
    let compared = center
        .read(move |reading| answer(reading.compare((site, journal), &question.ask, &mut ZstdCodec::default())))?;
    Ok(compared.unwrap_or_else(Answer::Refused))
}
