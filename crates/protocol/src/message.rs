//! What stands at the head of a request and of its reply (rules 5.6 to 5.10; `docs/wire-format.md`).
//!
//! Bodies are postcard: the order of fields and variants is the format. New fields go to a new version, never into the middle.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::chain::Predecessor;
use crate::control::{Claims, ControlRow};
use crate::ids::{
    ControlNumber, CredentialGeneration, Epoch, Hash, JournalId, Nonce, Position, ScopeId, Sequence, SiteId, Token,
};
use crate::limits;
use crate::versions::{Receipt, Versions};

/// The version of heads, replies and pages that is written.
pub const VERSION: u8 = 1;
/// Oldest version of these messages that this program understands. Versions from here to [`VERSION`] are read and answered.
pub const VERSION_MIN: u8 = 1;

/// How far a site has a scope's lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cursor {
    /// The epoch in which `number` was given.
    pub epoch: Epoch,
    /// Everything in the lane up to here is on the device.
    pub number: Position,
    /// Central's head when the read of this lane from 0 began: rows at or below it are sent even to the site that wrote them
    /// (rule 5.15).
    pub began: Position,
}

/// A scope and the site's cursor in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeCursor {
    /// The scope.
    pub scope: ScopeId,
    /// How far.
    pub cursor: Cursor,
}

/// What a site has of a page that travels in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PagePartState {
    /// Scope of the page.
    pub scope: ScopeId,
    /// Hash of the packed whole.
    pub hash: Hash,
    /// Bytes that are durable on the device.
    pub received: u32,
}

/// The signed head of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestHead {
    /// 1. Stands first, so that any version can be told.
    pub version: u8,
    /// The site that speaks. Stands second in every version: it finds the key that the signature is checked with.
    pub site: SiteId,
    /// Fresh and random: two devices never send the same bytes, so that the same bytes are a copy made on the way and may get the
    /// same answer (rule 5.7).
    pub salt: [u8; 8],
    /// A token that central gave in its last reply, or [`Token::NONE`].
    pub token: Token,
    /// The nonce of a challenge: whoever signs it lives, and is no late copy of an old request (rule 5.7).
    pub answer: Option<Nonce>,
    /// The site's journal.
    pub journal: JournalId,
    /// The damaged journal that this one follows; the signature of the head makes it the statement that closes the old one.
    pub predecessor: Option<Predecessor>,
    /// The journal's durable head when the session began.
    pub head: Sequence,
    /// Hash of the journal up to there.
    pub head_hash: Hash,
    /// Generation of name and password that the device last proved. The last field of the prelude, which stands in every version:
    /// see [`Prelude`](crate::versions::Prelude).
    pub generation: CredentialGeneration,
    /// Last control row that is durable on the device; central forgets rows up to here.
    pub control: ControlNumber,
    /// A cursor for each scope that the device has. A scope that central holds for the site and that is missing starts at 0.
    pub cursors: Vec<ScopeCursor>,
    /// How far the device had read when it began to read everything anew, while no cursor shows it: an image of a time line that is
    /// gone looks like any other (rule 5.12).
    pub heard: Option<Cursor>,
    /// What the device holds of which central, when it told all grants anew, knew nothing.
    pub claims: Claims,
    /// Target size of a page, in bytes on the wire.
    pub page_bytes: u32,
    /// Bytes of pages that the reply may carry; 0 asks for none.
    pub reply_bytes: u32,
    /// Whether the reply shall count the rows that wait for this site.
    pub counts_rows: bool,
    /// A page that travels in parts.
    pub page_part: Option<PagePartState>,
    /// How far the journal went when the last of what `control` and the cursors show became durable: whatever was recorded without knowing
    /// that is in it. What is above `head` comes with the next session.
    pub recorded: Sequence,
    /// What a later program of this version adds for whoever knows it, at most [`limits::FURTHER_BYTES_MAX`]. Nothing is defined yet:
    /// it is written empty, and left alone where it is not.
    pub further: Vec<u8>,
}

impl RequestHead {
    /// The largest position or control number that it shows, beside what its prelude has.
    pub(crate) fn largest_number(&self) -> u64 {
        let cursors = self.cursors.iter().map(|shown| &shown.cursor).chain(&self.heard);
        let cursors = cursors.map(|cursor| cursor.number.0.max(cursor.began.0));
        let refused = self.claims.refused.iter().map(|refused| refused.place.sequence.0);
        cursors.chain(refused).fold(self.control.0.max(self.claims.told.0).max(self.recorded.0), u64::max)
    }

    /// Bytes of control rows that the reply's head may carry beside the one that always comes. A reply's head is not cut in
    /// parts, so that it must not be larger than what the link is known to carry.
    pub fn control_bytes_max(&self) -> usize {
        let target = self.page_bytes.clamp(limits::FRAME_TARGET_BYTES_MIN, limits::FRAME_TARGET_BYTES_MAX);
        limits::CONTROL_BYTES_MAX.min(target as usize)
    }
}

/// What central has of a frame that travels in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FramePartState {
    /// Hash of the whole sealed frame.
    pub hash: Hash,
    /// Bytes that are durable at central.
    pub received: u32,
}

/// The signed head of a reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyHead {
    /// 1.
    pub version: u8,
    /// To be shown by the next request.
    pub token: Token,
    /// Receipt: everything in the journal up to here is durable at central.
    pub received: Sequence,
    /// Hash of the journal up to there, as central has it.
    pub received_hash: Hash,
    /// Verdicts are known up to here, and those that are not plain acceptance stand in control rows up to this reply's last.
    pub judged: Sequence,
    /// Entries up to here are in a backup of central's own (rule 5.5).
    pub backed_up: Sequence,
    /// Central's epoch.
    pub epoch: Epoch,
    /// Central's head.
    pub position: Position,
    /// Bytes of frames that the next request may carry.
    pub admitted_bytes: u32,
    /// A frame that travels in parts.
    pub frame_part: Option<FramePartState>,
    /// Rows of the control lane, in order.
    pub control: Vec<ControlRow>,
    /// Whether more control rows wait, or may come because a journal before this one is not judged to its end.
    pub has_more_control: bool,
    /// Rows that wait for this site in all its lanes, if the request asked for the count.
    pub rows_waiting: Option<u64>,
    /// Whether pages follow in this reply.
    pub has_pages: bool,
    /// As in a [`RequestHead`].
    pub further: Vec<u8>,
}

/// A part of a sealed frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FramePart {
    /// The journal.
    pub journal: JournalId,
    /// First sequence of the frame.
    pub first: Sequence,
    /// Hash of the whole sealed frame.
    pub hash: Hash,
    /// Where the part begins in it.
    pub offset: u32,
    /// Length of the whole.
    pub total: u32,
    /// The part's bytes.
    pub bytes: Vec<u8>,
}

/// Central refuses a request. Nothing of the site has changed but what earlier frames of the request already made durable. It has
/// this form in every version, so that any device can read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The version that central writes.
    pub version: u8,
    /// Stable code, such as `unknown_site`.
    pub code: String,
    /// One sentence for a person.
    pub message: String,
    /// Seconds to wait before the next try, if waiting helps.
    pub retry_after_s: Option<u32>,
    /// Set in a challenge, code [`CHALLENGE`]: the next request has to carry it (rule 5.7).
    pub nonce: Option<Nonce>,
    /// The versions that central understands, with code [`VERSION_CODE`](crate::versions::VERSION_CODE).
    pub versions: Option<Versions>,
    /// How far the journal is received, if the head's version is not understood but its frames were taken.
    pub receipt: Option<Box<Receipt>>,
}

/// The code of a refusal that asks who shows a token that is not known any more.
pub const CHALLENGE: &str = "challenge";
/// The code of a refusal because somebody at central has disabled sync of the site, until they enable it.
pub const SITE_DISABLED: &str = "site_disabled";
/// The code of a refusal because somebody at central has paused the site for a while.
pub const SITE_PAUSED: &str = "site_paused";
/// The code of a refusal because the site was deleted.
pub const SITE_DELETED: &str = "site_deleted";

/// Whether a refusal of this code says that nothing is wrong: the site is not to sync for now.
pub fn is_pause(code: &str) -> bool {
    matches!(code, SITE_DISABLED | SITE_PAUSED)
}

impl Refusal {
    /// A refusal that waiting does not heal.
    pub fn new(code: &str, message: &str) -> Self {
        let code = truncate(code, limits::CODE_BYTES_MAX);
        let message = truncate(message, limits::REASON_BYTES_MAX);
        Self {
            version: VERSION,
            code: String::from(code),
            message: String::from(message),
            retry_after_s: None,
            nonce: None,
            versions: None,
            receipt: None,
        }
    }

    /// A challenge: the token is not known any more, and whoever showed it is to answer.
    pub fn challenge(nonce: Nonce) -> Self {
        let message = "the token of the request is not known any more; whoever sent it is asked to answer";
        Self { nonce: Some(nonce), ..Self::new(CHALLENGE, message) }
    }
}

/// The longest start of a text within a limit that does not cut a character.
pub fn truncate(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// A message body that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageError {
    /// Written by a program of another version.
    Version {
        /// The version that was found.
        found: u8,
        /// Those that would have been understood.
        understood: Versions,
    },
    /// The bytes are no such message.
    Malformed,
    /// A value is above its limit.
    AboveLimit(&'static str),
}

impl fmt::Display for MessageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { found, understood } => {
                let older = if *found > understood.max { "this program" } else { "the other side" };
                write!(formatter, "the other side speaks version {found}, this program {understood}: update {older}")
            }
            Self::Malformed => formatter.write_str("a message cannot be read"),
            Self::AboveLimit(limit) => write!(formatter, "a message is above the limit {limit}"),
        }
    }
}

impl core::error::Error for MessageError {}

/// Encodes a message body.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    postcard::to_allocvec(message).expect("messages have no maps and no values that postcard refuses")
}

/// Decodes a message body of a version that this program understands; the version, its first byte, is checked first and every
/// byte must be used.
///
/// # Errors
/// [`MessageError`].
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, MessageError> {
    decode_of(Versions::OWN, body)
}

/// As [`decode`], for a program that understands these versions.
///
/// # Errors
/// [`MessageError`].
pub(crate) fn decode_of<T: DeserializeOwned>(understood: Versions, body: &[u8]) -> Result<T, MessageError> {
    match body.first() {
        Some(&found) if understood.contains(found) => decode_part(body),
        Some(&found) => Err(MessageError::Version { found, understood }),
        None => Err(MessageError::Malformed),
    }
}

/// Decodes a body that carries no version of its own.
///
/// # Errors
/// [`MessageError::Malformed`].
pub fn decode_part<T: DeserializeOwned>(body: &[u8]) -> Result<T, MessageError> {
    match postcard::take_from_bytes(body) {
        Ok((message, [])) => Ok(message),
        Ok(_) | Err(_) => Err(MessageError::Malformed),
    }
}

/// The site that an unchecked request head of any version claims to be from: it finds the key, and nothing else may be done
/// with it. Nothing behind it is read: whoever sends it has not proved anything yet.
///
/// # Errors
/// [`MessageError::Malformed`].
pub fn claimed_site(body: &[u8]) -> Result<SiteId, MessageError> {
    let start: Result<((u8, SiteId), &[u8]), _> = postcard::take_from_bytes(body);
    start.map(|((_, site), _)| site).map_err(|_| MessageError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn a_newer_version_is_named() {
        let error = decode::<ReplyHead>(&[3, 1, 2]);

        assert_eq!(error, Err(MessageError::Version { found: 3, understood: Versions::OWN }));
        assert!(error.unwrap_err().to_string().ends_with("update this program"));
    }

    #[test]
    fn bytes_after_a_message_are_refused() {
        let mut body = encode(&Refusal::new("x", "y"));
        body.push(0);

        assert_eq!(decode::<Refusal>(&body), Err(MessageError::Malformed));
    }

    #[test]
    fn long_reasons_are_cut_between_characters() {
        let refusal = Refusal::new("x", &"é".repeat(200));

        assert_eq!(refusal.message.chars().count(), 150);
    }
}
