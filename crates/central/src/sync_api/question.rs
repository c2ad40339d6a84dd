//! Questions beside the exchanges that get no signed answer.

use axum::http::StatusCode;
use protocol::check::CheckError;

use crate::writer::WriteError;

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum QuestionError {
    #[error("{0}")]
    NoQuestion(CheckError),
    #[error("central's store failed; its log says more")]
    Store(WriteError),
}

impl QuestionError {
    /// Status and stable code.
    pub(super) fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoQuestion(_) => (StatusCode::BAD_REQUEST, "bad_section"),
            Self::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "store_failed"),
        }
    }
}
