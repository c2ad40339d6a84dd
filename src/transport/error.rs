//! What can go wrong on the way to central, as a person needs to hear it.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;

use protocol::limits;
use serde::Deserialize;

use crate::config::{CentralUrl, Timeouts};
use crate::error::Explained;
use crate::exit::Exit;

/// Longest code that another program may give an error, in bytes.
const CODE_BYTES_MAX: usize = 64;

/// An exchange that did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportError {
    /// The name of central's host leads to no address.
    NoAddress {
        /// The host.
        host: String,
    },
    /// The system knows no way to central: there is no network.
    NoNetwork {
        /// The host.
        host: String,
    },
    /// The host is there, and nothing listens on the port.
    ConnectionRefused {
        /// Central's address.
        central: String,
    },
    /// Nothing came, or went, for too long.
    Timeout {
        /// What was waited for.
        phase: Phase,
        /// Limit, in milliseconds.
        limit_ms: u64,
    },
    /// The connection broke.
    Cut {
        /// Bytes of the reply that had come.
        received_bytes: usize,
        /// What the system said.
        reason: String,
    },
    /// The encrypted connection could not be made.
    Tls {
        /// What is wrong.
        reason: String,
        /// Whether a wrong clock on this device may be why.
        is_clock_suspect: bool,
    },
    /// Something answered, and it is not central: a web page, a sign-in page of a network, a redirect.
    NotCentral {
        /// Where it answered.
        central: String,
        /// Its status.
        status: u16,
        /// What it sent: a content type.
        content: String,
    },
    /// Central asks to come later.
    Busy {
        /// In so many seconds.
        retry_after_s: u64,
    },
    /// Central refused before it looked at a signature: a wrong password, a request that is too large.
    CentralRefused {
        /// Its status.
        status: u16,
        /// Central's code.
        code: String,
        /// Central's sentence.
        message: String,
    },
    /// A reply that is larger than any of central's.
    ReplyTooLarge {
        /// Limit, in bytes.
        limit: usize,
    },
    /// The certificates to trust cannot be read.
    CertificateFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// What a timeout waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// An address for central's name.
    Resolve,
    /// A connection, encryption included.
    Connect,
    /// Handing over a byte.
    Write,
    /// A byte from central.
    Read,
}

impl TransportError {
    /// Reads an error of ureq.
    pub(super) fn of(error: ureq::Error, central: &CentralUrl, timeouts: &Timeouts, received_bytes: usize) -> Self {
        match error {
            ureq::Error::HostNotFound => Self::NoAddress { host: central.host().to_owned() },
            ureq::Error::Timeout(timeout) => Self::timeout(timeout, timeouts),
            ureq::Error::Io(error) => Self::of_io(&error, central, received_bytes),
            ureq::Error::Rustls(error) => Self::tls(&error.to_string()),
            ureq::Error::Tls(reason) => Self::tls(reason),
            ureq::Error::TlsRequired => Self::tls("central does not speak TLS"),
            ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) | ureq::Error::Http(_) => {
                Self::not_central(central, 0, "something that is not HTTP")
            }
            other => Self::Cut { received_bytes, reason: other.to_string() },
        }
    }

    pub(super) fn not_central(central: &CentralUrl, status: u16, content: &str) -> Self {
        let content = if content.is_empty() { "something without a type" } else { content };
        Self::NotCentral { central: central.to_string(), status, content: plain(content, CODE_BYTES_MAX) }
    }

    /// What central asked to wait at least, in milliseconds.
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Busy { retry_after_s } => Some(retry_after_s * 1000),
            _ => None,
        }
    }

    fn timeout(timeout: ureq::Timeout, timeouts: &Timeouts) -> Self {
        let (phase, limit_ms) = match timeout {
            ureq::Timeout::Resolve => (Phase::Resolve, timeouts.resolve_ms),
            ureq::Timeout::Connect => (Phase::Connect, timeouts.connect_ms),
            ureq::Timeout::PerWrite => (Phase::Write, timeouts.write_idle_ms),
            _ => (Phase::Read, timeouts.read_idle_ms),
        };
        Self::Timeout { phase, limit_ms }
    }

    fn of_io(error: &std::io::Error, central: &CentralUrl, received_bytes: usize) -> Self {
        let host = central.host().to_owned();
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::ConnectionRefused { central: central.to_string() },
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::AddrNotAvailable => {
                Self::NoNetwork { host }
            }
            // How rustls reports a certificate or an answer that is no TLS, through the standard library.
            ErrorKind::InvalidData => Self::tls(&error.to_string()),
            // The resolver's errors have no kind of their own; their text begins like this on every system.
            _ if error.to_string().contains("failed to lookup address") => Self::NoAddress { host },
            _ => Self::Cut { received_bytes, reason: error.to_string() },
        }
    }

    fn tls(reason: &str) -> Self {
        let lower = reason.to_lowercase();
        let is_clock_suspect = ["expired", "notvalidyet", "not valid yet"].iter().any(|word| lower.contains(word));
        Self::Tls { reason: plain(reason, limits::REASON_BYTES_MAX), is_clock_suspect }
    }
}

/// Reads `{"error":{"code","message"}}` or `{"code","message"}`.
pub(super) fn of_json(status: u16, body: &[u8]) -> Option<TransportError> {
    #[derive(Deserialize)]
    struct Fields {
        code: String,
        message: String,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Reply {
        Wrapped { error: Fields },
        Bare(Fields),
    }
    let (Reply::Wrapped { error: fields } | Reply::Bare(fields)) = serde_json::from_slice(body).ok()?;
    Some(TransportError::CentralRefused {
        status,
        code: plain(&fields.code, CODE_BYTES_MAX),
        message: plain(&fields.message, limits::REASON_BYTES_MAX),
    })
}

/// What another program sent, in a form that is safe to show: one line of limited length.
fn plain(text: &str, bytes_max: usize) -> String {
    let mut plain = String::new();
    for character in text.chars().map(|character| if character.is_control() { ' ' } else { character }) {
        if plain.len() + character.len_utf8() > bytes_max {
            break;
        }
        plain.push(character);
    }
    plain
}

impl Explained for TransportError {
    fn code(&self) -> &str {
        match self {
            Self::NoAddress { .. } => "no_address",
            Self::NoNetwork { .. } => "no_network",
            Self::ConnectionRefused { .. } => "connection_refused",
            Self::Timeout { .. } => "timeout",
            Self::Cut { .. } => "connection_cut",
            Self::Tls { is_clock_suspect: true, .. } => "clock_wrong",
            Self::Tls { is_clock_suspect: false, .. } => "tls_failed",
            Self::NotCentral { .. } => "not_central",
            Self::Busy { .. } => "central_busy",
            Self::CentralRefused { code, .. } => code,
            Self::ReplyTooLarge { .. } => "reply_too_large",
            Self::CertificateFile { .. } => "certificate_file",
        }
    }

    fn advice(&self) -> &str {
        match self {
            Self::NoAddress { .. } => {
                "Check the connection, and the name in central.url. What is recorded is safe and goes later."
            }
            Self::NoNetwork { .. } | Self::Timeout { .. } | Self::Cut { .. } => {
                "Check the connection. What is recorded is safe and goes later."
            }
            Self::ConnectionRefused { .. } => {
                "Central may be stopped, or central.url names a wrong port. It goes later by itself."
            }
            Self::Tls { is_clock_suspect: true, .. } => {
                "Look at the date and time of this device. If they are right, central's certificate has run out."
            }
            Self::Tls { is_clock_suspect: false, .. } => {
                "Check central.url and central.ca_file; something between this device and central may also read along."
            }
            Self::NotCentral { .. } => {
                "If this network asks to sign in, do that in a browser. Else check central.url, its path included."
            }
            Self::Busy { .. } => "Nothing to do: it is tried again by itself.",
            Self::CentralRefused { .. } => "Ask whoever looks after central.",
            Self::ReplyTooLarge { .. } => {
                "Check that central.url is central, and that the agent is not much older than central."
            }
            Self::CertificateFile { .. } => "Check central.ca_file: it must be readable and hold certificates as PEM.",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NoAddress { .. }
            | Self::NoNetwork { .. }
            | Self::ConnectionRefused { .. }
            | Self::Timeout { .. }
            | Self::Cut { .. }
            | Self::Tls { .. }
            | Self::NotCentral { .. }
            | Self::ReplyTooLarge { .. } => Exit::Offline,
            Self::Busy { .. } => Exit::Busy,
            Self::CentralRefused { .. } => Exit::Refused,
            Self::CertificateFile { .. } => Exit::Config,
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress { host } => write!(formatter, "no address was found for central's name {host}"),
            Self::NoNetwork { host } => write!(formatter, "this device has no network that leads to {host}"),
            Self::ConnectionRefused { central } => write!(formatter, "nothing answers at {central}"),
            Self::Timeout { phase, limit_ms } => {
                let what = match phase {
                    Phase::Resolve => "no address for central's name was found",
                    Phase::Connect => "no connection to central was made",
                    Phase::Write => "not one byte could be sent",
                    Phase::Read => "central sent not one byte",
                };
                write!(formatter, "{what} in {limit_ms} ms")
            }
            Self::Cut { received_bytes, reason } => {
                write!(formatter, "the connection broke after {received_bytes} bytes of central's reply: {reason}")
            }
            Self::Tls { reason, is_clock_suspect: true } => {
                write!(formatter, "central's certificate does not fit the date of this device: {reason}")
            }
            Self::Tls { reason, is_clock_suspect: false } => {
                write!(formatter, "no trusted connection to central could be made: {reason}")
            }
            Self::NotCentral { central, status: 0, content } => {
                write!(formatter, "what answers at {central} is not central: it sent {content}")
            }
            Self::NotCentral { central, status, content } => {
                write!(formatter, "what answers at {central} is not central: it sent {content} with status {status}")
            }
            Self::Busy { retry_after_s } => {
                write!(formatter, "central is busy and asks to come again in {retry_after_s} s")
            }
            Self::CentralRefused { status, message, .. } => {
                write!(formatter, "central refused: {message} (status {status})")
            }
            Self::ReplyTooLarge { limit } => {
                write!(formatter, "the reply is larger than {limit} bytes, which central's replies never are")
            }
            Self::CertificateFile { path, reason } => {
                write!(formatter, "the certificates in {} cannot be used: {reason}", path.display())
            }
        }
    }
}

impl std::error::Error for TransportError {}
