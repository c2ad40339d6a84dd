//! The key of a transfer, and the ids of what is made from it: the first 16 bytes of SHA-256 of a few texts, as other records are that
//! are made once ([`Join::derived_id`](crate::visibility::Join::derived_id)).

use protocol::chain::hash_of;
use protocol::ids::{OwnershipNumber, RecordId, RequestId};

use super::kinds::Kind;

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
        derived(&["transfer half", self.kind.as_str(), self.source.as_str(), self.receiver.as_str()])
    }
}

/// The id of a line of a half, from the half and the line that it answers.
pub fn line_id(half: &RecordId, source_line: &RecordId) -> RecordId {
    derived(&["transfer line", half.as_str(), source_line.as_str()])
}

/// The id of the log entry that the responding site writes about the initiating half.
pub fn log_id(half: &RecordId) -> RecordId {
    derived(&["transfer log", half.as_str()])
}

/// The id of a value of an indicator that goes with a requisition: of the receiving store and the value, so that two requisitions of one
/// period bring it once.
pub(super) fn indicator_id(receiver: &RecordId, value: &RecordId) -> RecordId {
    derived(&["transfer indicator", receiver.as_str(), value.as_str()])
}

/// The request id of what is owed once: `what` for a record, under the number by which its store is held. A store that comes back under
/// another number owes again what was refused under the old one.
pub(super) fn request_id(what: &str, record: &RecordId, grant: OwnershipNumber) -> RequestId {
    RequestId(first_16(&["transfer owed", what, record.as_str(), &grant.0.to_string()]))
}

fn derived(texts: &[&str]) -> RecordId {
    use std::fmt::Write as _;
    let mut digits = String::with_capacity(32);
    for byte in first_16(texts) {
        write!(digits, "{byte:02X}").expect("a text takes what is written to it");
    }
    RecordId::new(&digits).expect("32 digits are an id")
}

fn first_16(texts: &[&str]) -> [u8; 16] {
    let hash = hash_of(texts.join("\0").as_bytes()).0;
    let mut first = [0; 16];
    first.iter_mut().zip(hash).for_each(|(into, byte)| *into = byte);
    first
}
