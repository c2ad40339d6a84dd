//! How a session ends.

use alloc::string::String;
use core::fmt;

use crate::frame::FrameError;
use crate::ids::Sequence;
use crate::limits;
use crate::message::{self, FramePartState, MessageError, Refusal};
use crate::section::SectionError;
use crate::session::Link;
use crate::versions::{VERSION_CODE, Versions};

/// What a session did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Entries that waited when it began.
    pub entries_total: u64,
    /// Entries that were sent, those that came twice included.
    pub entries_sent: u64,
    /// Entries that central has said it received.
    pub entries_received: u64,
    /// Rows that waited at central when it first said so.
    pub rows_total: Option<u64>,
    /// Rows that were stored.
    pub rows_stored: u64,
    /// Control rows that were stored.
    pub control_stored: u64,
    /// Requests that were sent.
    pub requests: u32,
    /// Bytes of requests, without what HTTP adds.
    pub bytes_out: u64,
    /// Bytes of replies, without what HTTP adds.
    pub bytes_in: u64,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Why it did not come to its end; `None` when everything was pushed and every lane drained.
    pub failure: Option<Failure>,
    /// Of a session by file: whether something is left for another one, because an answer ends a session that did not fail.
    pub goes_on: bool,
    /// What it did.
    pub summary: Summary,
    /// What central last said to have of a frame in parts.
    pub frame_part: Option<FramePartState>,
    /// What was learnt of the link.
    pub link: Link,
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Try again, later each time.
    Retry,
    /// Try again after this many seconds at the earliest.
    Wait {
        /// What central asked for.
        seconds: u32,
    },
    /// Trying again does not help: somebody must act.
    Operator,
}

/// Why a session failed. What was stored before stays stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The connection could not be made, broke, or went silent.
    Cut(String),
    /// What answered is not central: a captive portal, a proxy, a wrong address.
    NotCentral(SectionError),
    /// Central refused, with its reason.
    Refused(Refusal),
    /// Central's message breaks the format.
    Message(MessageError),
    /// A page cannot be unpacked.
    Page(FrameError),
    /// Central does not understand this program's version. It has everything up to the session's starting head, and gave nothing.
    VersionsApart {
        /// The version that this program writes.
        spoken: u8,
        /// Those that central understands.
        understood: Versions,
        /// Entries that central received in this session.
        entries: u64,
    },
    /// Central broke a rule of the exchange.
    Rule(&'static str),
    /// Central has entries of this journal that the device does not have: the device was set back.
    DeviceSetBack {
        /// What central has.
        received: Sequence,
        /// What the device has.
        head: Sequence,
    },
    /// Central has another history of this journal.
    Forked {
        /// Where the two were compared.
        sequence: Sequence,
    },
    /// Several requests brought nothing forward, or what central has went backwards several times.
    Stalled,
    /// A frame could not be packed.
    Codec(&'static str),
}

impl Failure {
    /// Stable code.
    pub fn code(&self) -> &str {
        match self {
            Self::Cut(_) => "offline",
            Self::NotCentral(_) => "not_central",
            // A central that gives no code still gets one where codes are counted and shown.
            Self::Refused(refusal) if refusal.code.is_empty() => "refused",
            Self::Refused(refusal) => &refusal.code,
            Self::Message(MessageError::Version { .. }) | Self::VersionsApart { .. } => VERSION_CODE,
            Self::Message(_) | Self::Page(_) | Self::Rule(_) => "bad_reply",
            Self::DeviceSetBack { .. } => "device_set_back",
            Self::Forked { .. } => "fork",
            Self::Stalled => "stalled",
            Self::Codec(_) => "codec",
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Refused(Refusal { retry_after_s: Some(seconds), .. }) => {
                Advice::Wait { seconds: (*seconds).min(limits::RETRY_AFTER_S_MAX) }
            }
            // What to do is done by the device itself: it reads everything again.
            Self::Refused(refusal) if refusal.code == "central_set_back" => Advice::Retry,
            Self::Refused(_)
            | Self::DeviceSetBack { .. }
            | Self::Forked { .. }
            | Self::Codec(_)
            | Self::VersionsApart { .. }
            | Self::Message(MessageError::Version { .. }) => Advice::Operator,
            Self::Cut(_) | Self::NotCentral(_) | Self::Message(_) | Self::Page(_) | Self::Rule(_) | Self::Stalled => {
                Advice::Retry
            }
        }
    }

    /// Whether smaller frames may help.
    pub(super) fn blames_link(&self) -> bool {
        matches!(self, Self::Cut(_))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut(reason) => write!(formatter, "the connection to central failed: {reason}"),
            Self::NotCentral(error) => write!(formatter, "what answered is not this site's central server: {error}"),
            Self::Refused(refusal) if message::is_pause(&refusal.code) => formatter.write_str(&refusal.message),
            Self::Refused(refusal) => write!(formatter, "central refused: {}", refusal.message),
            Self::Message(error) => write!(formatter, "central's reply is not right: {error}"),
            Self::Page(error) => write!(formatter, "central's page is not right: {error}"),
            Self::VersionsApart { spoken, understood, entries } => {
                let older = if spoken > &understood.max { "central" } else { "this agent" };
                write!(
                    formatter,
                    "everything that was recorded before this sync is at central ({entries} sent by it), and nothing was received: \
                     this agent speaks version {spoken}, central {understood}, and {older} is too old"
                )
            }
            Self::Rule(rule) => write!(formatter, "central's reply breaks a rule: {rule}"),
            Self::DeviceSetBack { received, head } => write!(
                formatter,
                "central has received edits up to {received}, this device knows them only up to {head}: \
                 it was set back to an older state, or its data was copied to a second device"
            ),
            Self::Forked { sequence } => write!(
                formatter,
                "central has another history of this journal at {sequence}: a second device speaks for this site"
            ),
            Self::Stalled => formatter.write_str("several requests brought nothing forward: ask central's operator"),
            Self::Codec(reason) => write!(formatter, "a frame cannot be packed: {reason}"),
        }
    }
}

impl core::error::Error for Failure {}
