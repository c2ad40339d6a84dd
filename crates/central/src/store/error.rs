//! What a call on the store can end with.

use protocol::message::Refusal;
use sql::SqlError;

use super::records::Key;

/// A failed call. Nothing that the call wrote is kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A rule says no. Its code is stable and its message is a sentence for a person; a site may be told both.
    #[error("{} ({})", .0.message, .0.code)]
    Refused(Refusal),
    /// The database failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The row of one record cannot be read: the record, and its table's name. Boxed, since it is rare.
    #[error("central cannot read its row of {} {}; `outpost-central site verify` says how it is mended", .0.1, .0.0.1)]
    Unreadable(Box<(Key, String)>),
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
            Self::Unreadable(_) => super::unreadable::UNREADABLE,
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
