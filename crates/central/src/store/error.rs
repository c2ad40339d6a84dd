//! What a call on the store can end with.

use protocol::message::Refusal;
use sql::SqlError;

/// A failed call. Nothing that the call wrote is kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A rule says no. Its code is stable and its message is a sentence for a person; a site may be told both.
    #[error("{} ({})", .0.message, .0.code)]
    Refused(Refusal),
    /// The database failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The database holds what this program never writes.
    #[error("central's store is damaged: {0}; restore it from a backup")]
    Damaged(String),
}

impl StoreError {
    /// The stable code.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.code,
            Self::Sql(error) => error.code(),
            Self::Damaged(_) => "store_damaged",
        }
    }

    pub(crate) fn refused(code: &str, message: &str) -> Self {
        Self::Refused(Refusal::new(code, message))
    }
}

/// Tells a refusal, which is an answer, from a failure of the store, which is none.
///
/// # Errors
/// The failure.
pub fn answer<T>(result: Result<T, StoreError>) -> Result<Result<T, Refusal>, StoreError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(StoreError::Refused(refusal)) => Ok(Err(refusal)),
        Err(error) => Err(error),
    }
}
