//! The key of a transfer, and the ids of what is made from it ([`derived_id`]).

use protocol::ids::{OwnershipNumber, RecordId, RequestId};

use super::kinds::Kind;
use crate::derived::{derived_id, derived_request_id};

/// What there is at most one responding half for, deleted ones counted (invariant 12).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferKey {
    /// The kind.
    pub kind: Kind,
    /// The initiating half.
    pub source: RecordId,
    /// The store that receives the other one.
    pub receiver: RecordId,
}

impl TransferKey {
    /// The id of the responding half.
    pub fn half_id(&self) -> RecordId {
        derived_id(&["transfer half", self.kind.as_str(), self.source.as_str(), self.receiver.as_str()])
    }
}

/// The id of a line of a half, from the half and the line that it answers.
pub fn line_id(half: &RecordId, source_line: &RecordId) -> RecordId {
    derived_id(&["transfer line", half.as_str(), source_line.as_str()])
}

/// The id of the log entry that the responding site writes about the initiating half.
pub fn log_id(half: &RecordId) -> RecordId {
    derived_id(&["transfer log", half.as_str()])
}

/// The id of a value of an indicator that goes with a requisition: of the receiving store and the value, so that two requisitions of one
/// period bring it once.
pub(super) fn indicator_id(receiver: &RecordId, value: &RecordId) -> RecordId {
    derived_id(&["transfer indicator", receiver.as_str(), value.as_str()])
}

/// The request id of what is owed once: `what` for a record, under the number by which its store is held. A store that comes back under
/// another number owes again what was refused under the old one.
pub(super) fn request_id(what: &str, record: &RecordId, grant: OwnershipNumber) -> RequestId {
    derived_request_id(&["transfer owed", what, record.as_str(), &grant.0.to_string()])
}
