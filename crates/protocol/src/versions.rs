//! What stands in every version of the messages, so that programs whose versions do not meet still do the most that is safe: the
//! device sends its edits, central takes them, and both say who has to be updated (`docs/wire-format.md`, "Versions").

use core::fmt;

use alloc::boxed::Box;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::chain::Predecessor;
use crate::ids::{CredentialGeneration, Hash, JournalId, Nonce, Sequence, SiteId, Token};
use crate::message::{self, FramePartState, MessageError, Refusal, ReplyHead, RequestHead};

/// The code of a refusal to a program whose version is not understood.
pub const VERSION_CODE: &str = "version";

/// The versions of messages that a program understands. It writes the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The oldest.
    pub min: u8,
    /// The newest.
    pub max: u8,
}

impl Versions {
    /// Those of this program.
    pub const OWN: Self = Self { min: message::VERSION_MIN, max: message::VERSION };

    /// Whether a version is one of them.
    pub const fn contains(self, version: u8) -> bool {
        self.min <= version && version <= self.max
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            return write!(formatter, "version {}", self.max);
        }
        write!(formatter, "versions {} to {}", self.min, self.max)
    }
}

/// What stands first in a request head of every version: all that central needs to know who speaks, to check the token, and to
/// place frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prelude {
    /// The version that the device writes.
    pub version: u8,
    /// See [`RequestHead::site`].
    pub site: SiteId,
    /// See [`RequestHead::salt`].
    pub salt: [u8; 8],
    /// See [`RequestHead::token`].
    pub token: Token,
    /// See [`RequestHead::answer`].
    pub answer: Option<Nonce>,
    /// See [`RequestHead::journal`].
    pub journal: JournalId,
    /// See [`RequestHead::predecessor`].
    pub predecessor: Option<Predecessor>,
    /// See [`RequestHead::head`].
    pub head: Sequence,
    /// See [`RequestHead::head_hash`].
    pub head_hash: Hash,
    /// See [`RequestHead::generation`].
    pub generation: CredentialGeneration,
}

impl Prelude {
    /// Reads the prelude of a head of any version. What follows it belongs to the version and is left alone.
    ///
    /// # Errors
    /// [`MessageError::Malformed`].
    pub fn decode(body: &[u8]) -> Result<Self, MessageError> {
        postcard::take_from_bytes(body).map(|(prelude, _)| prelude).map_err(|_| MessageError::Malformed)
    }
}

impl RequestHead {
    /// What of this head stands in every version.
    pub fn prelude(&self) -> Prelude {
        Prelude {
            version: self.version,
            site: self.site,
            salt: self.salt,
            token: self.token,
            answer: self.answer,
            journal: self.journal,
            predecessor: self.predecessor,
            head: self.head,
            head_hash: self.head_hash,
            generation: self.generation,
        }
    }
}

/// As much of a request head as central understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// All of it.
    Whole(Box<RequestHead>),
    /// Its version is outside of central's range: edits are taken, and nothing is given.
    Prelude(Prelude),
}

impl Head {
    /// The largest sequence, position or control number that it shows. Above [`limits::NUMBER_MAX`](crate::limits::NUMBER_MAX)
    /// neither a journal nor a central can have come to it.
    pub fn largest_number(&self) -> u64 {
        let prelude = self.prelude();
        let predecessor = prelude.predecessor.map_or(0, |before| before.sequence.0.max(before.promised.0));
        let whole = self.whole().map_or(0, RequestHead::largest_number);
        prelude.head.0.max(predecessor).max(whole)
    }

    /// Reads a head as far as a program that understands `versions` can.
    ///
    /// # Errors
    /// [`MessageError::Malformed`].
    pub fn decode(body: &[u8], versions: Versions) -> Result<Self, MessageError> {
        let prelude = Prelude::decode(body)?;
        if versions.contains(prelude.version) {
            return message::decode_part(body).map(|head| Self::Whole(Box::new(head)));
        }
        Ok(Self::Prelude(prelude))
    }

    /// What stands in every version.
    pub fn prelude(&self) -> Prelude {
        match self {
            Self::Whole(head) => head.prelude(),
            Self::Prelude(prelude) => *prelude,
        }
    }

    /// All of it; `None` for a head of a version that is not understood.
    pub fn whole(&self) -> Option<&RequestHead> {
        match self {
            Self::Whole(head) => Some(head),
            Self::Prelude(_) => None,
        }
    }
}

impl From<RequestHead> for Head {
    fn from(head: RequestHead) -> Self {
        Self::Whole(Box::new(head))
    }
}

/// In a refusal [`VERSION_CODE`]: how far central has received the journal all the same. It counts as much as that of a reply
/// head, because it is signed and bound to the request in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// To be shown by the next request.
    pub token: Token,
    /// Everything in the journal up to here is durable at central.
    pub received: Sequence,
    /// Hash of the journal up to there, as central has it.
    pub received_hash: Hash,
    /// Bytes of frames that the next request may carry.
    pub admitted_bytes: u32,
    /// What central has of a frame in parts.
    pub frame_part: Option<FramePartState>,
}

impl ReplyHead {
    /// The receipt that it holds.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        let Self { token, received, received_hash, admitted_bytes, frame_part, .. } = *self;
        Receipt { token, received, received_hash, admitted_bytes, frame_part }
    }
}

impl Refusal {
    /// Says that a head's version is not understood, and how far its edits are received.
    pub fn of_version(spoken: u8, understood: Versions, receipt: Receipt) -> Self {
        let older = if spoken > understood.max { "central" } else { "the agent" };
        let text = alloc::format!(
            "the site speaks version {spoken} and central {understood}: its edits are taken, and it gets nothing until {older} is \
             updated"
        );
        Self { versions: Some(understood), receipt: Some(Box::new(receipt)), ..Self::new(VERSION_CODE, &text) }
            .by(understood)
    }

    /// The same, as a program writes it that understands other versions than this one.
    pub(crate) fn by(self, versions: Versions) -> Self {
        Self { version: versions.max, ..self }
    }

    /// Reads a refusal of any version. Bytes behind it belong to its version, and are left alone if that is not understood.
    ///
    /// # Errors
    /// [`MessageError::Malformed`].
    pub fn decode(body: &[u8], versions: Versions) -> Result<Self, MessageError> {
        match postcard::take_from_bytes::<Self>(body) {
            Ok((refusal, rest)) if rest.is_empty() || !versions.contains(refusal.version) => Ok(refusal),
            Ok(_) | Err(_) => Err(MessageError::Malformed),
        }
    }
}

/// The versions that one half of an exchange speaks. Anything but the default stands in for a program of another release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialect {
    /// The versions that are understood; the newest is written.
    pub versions: Versions,
    /// What follows the prelude of a head that is written; `None` for what this program's version has there.
    pub head_rest: Option<Vec<u8>>,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { versions: Versions::OWN, head_rest: None }
    }
}

impl Dialect {
    /// The body of a head in this dialect.
    pub(crate) fn encode_head(&self, head: &RequestHead) -> Vec<u8> {
        let Some(rest) = &self.head_rest else { return message::encode(head) };
        let mut body = message::encode(&head.prelude());
        body.extend_from_slice(rest);
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ControlNumber;

    const LATER: Versions = Versions { min: 5, max: 7 };

    fn head() -> RequestHead {
        RequestHead {
            version: message::VERSION,
            site: SiteId(300),
            salt: [8; 8],
            token: Token([1; 16]),
            answer: Some(Nonce([2; 16])),
            journal: JournalId([3; 16]),
            predecessor: Some(Predecessor {
                journal: JournalId([4; 16]),
                sequence: Sequence(5),
                hash: Hash([6; 32]),
                promised: Sequence(7),
            }),
            head: Sequence(1_000_000),
            head_hash: Hash([7; 32]),
            generation: CredentialGeneration(9),
            control: ControlNumber(10),
            cursors: Vec::new(),
            heard: None,
            claims: crate::control::Claims::default(),
            page_bytes: 11,
            reply_bytes: 12,
            counts_rows: true,
            page_part: None,
            recorded: Sequence(13),
            further: Vec::new(),
        }
    }

    fn receipt() -> Receipt {
        Receipt {
            token: Token([1; 16]),
            received: Sequence(u64::MAX),
            received_hash: Hash([2; 32]),
            admitted_bytes: u32::MAX,
            frame_part: Some(FramePartState { hash: Hash([3; 32]), received: u32::MAX }),
        }
    }

    #[test]
    fn a_head_begins_with_its_prelude() {
        let body = message::encode(&head());

        assert!(body.starts_with(&message::encode(&head().prelude())));
        assert_eq!(Prelude::decode(&body), Ok(head().prelude()));
    }

    #[test]
    fn of_a_head_of_another_version_the_prelude_is_read_whatever_follows() {
        let older = RequestHead { version: LATER.min - 1, ..head() };
        let newer = RequestHead { version: LATER.max + 1, ..head() };
        for head in [older, newer] {
            for rest in [&[][..], &[0xff; 40], b"whatever a later version says"] {
                let dialect = Dialect { versions: LATER, head_rest: Some(rest.to_vec()) };
                let read = Head::decode(&dialect.encode_head(&head), LATER);

                assert_eq!(read, Ok(Head::Prelude(head.prelude())));
            }
        }
    }

    #[test]
    fn a_head_of_a_version_that_is_understood_is_read_whole_or_not_at_all() {
        let mut body = message::encode(&head());
        assert_eq!(Head::decode(&body, Versions::OWN), Ok(head().into()));

        body.push(0);
        assert_eq!(Head::decode(&body, Versions::OWN), Err(MessageError::Malformed));
    }

    #[test]
    fn a_prelude_that_is_cut_is_no_head_in_any_version() {
        let body = message::encode(&RequestHead { version: 9, ..head() }.prelude());
        for length in 0..body.len() {
            assert_eq!(Head::decode(&body[..length], Versions::OWN), Err(MessageError::Malformed), "{length} bytes");
        }
    }

    #[test]
    fn a_refusal_is_read_in_any_version_and_what_follows_it_only_in_none_that_is_understood() {
        let refusal = Refusal::of_version(4, LATER, receipt());
        let mut body = message::encode(&refusal);
        assert_eq!(Refusal::decode(&body, Versions::OWN), Ok(refusal.clone()));

        body.extend_from_slice(b"what version 7 adds");
        assert_eq!(Refusal::decode(&body, Versions::OWN), Ok(refusal));
        assert_eq!(Refusal::decode(&body, LATER), Err(MessageError::Malformed));
    }

    #[test]
    fn the_largest_refusal_fits_its_section_and_names_the_older_program() {
        let refusal = Refusal::of_version(4, LATER, receipt());
        assert!(refusal.message.ends_with("until the agent is updated"), "{}", refusal.message);
        assert!(Refusal::of_version(8, LATER, receipt()).message.ends_with("until central is updated"));

        let largest = Refusal {
            retry_after_s: Some(u32::MAX),
            nonce: Some(Nonce([1; 16])),
            versions: refusal.versions,
            receipt: refusal.receipt,
            ..Refusal::new(&"c".repeat(500), &"m".repeat(500))
        };
        assert!(message::encode(&largest).len() <= crate::section::Kind::Refusal.body_bytes_max());
    }
}
