//! What can go wrong on the way to central, as a person needs to hear it.

use std::fmt;
use std::path::PathBuf;

use protocol::limits;
use serde::Deserialize;

use super::problem::{Phase, ProxyProblem, TlsProblem};
use crate::config::CentralUrl;
use crate::error::Explained;
use crate::exit::Exit;

/// Central's code for a site's name that waits after wrong passwords.
pub(super) const TOO_MANY_ATTEMPTS: &str = "too_many_attempts";

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
        /// Central's address.
        central: String,
        /// What kind of problem it is.
        problem: TlsProblem,
        /// More of it; may be empty.
        reason: String,
    },
    /// Central's certificate does not hold at the date of this device: one of the two is wrong.
    ClockWrong {
        /// From or until when the certificate holds.
        certificate: String,
        /// What this device takes for the time.
        clock: String,
    },
    /// The proxy of the settings does not lead to central.
    Proxy {
        /// Its address, without name and password.
        proxy: String,
        /// What is wrong.
        problem: ProxyProblem,
    },
    /// The sign-in page of a network answered: a web page, or a redirect to one.
    SignInPage {
        /// Where it answered.
        central: String,
        /// Its status.
        status: u16,
    },
    /// A gateway in front of central answered, because it does not reach central itself.
    Gateway {
        /// Central's address.
        central: String,
        /// Its status.
        status: u16,
    },
    /// Something answered, and it is not central.
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
    /// Central has no room for an enrolment now.
    EnrolmentBusy {
        /// It asks to come again in so many seconds.
        retry_after_s: u64,
    },
    /// Wrong passwords came for this site from this address, and central lets it wait, whatever the next one is.
    TooManyAttempts {
        /// So many seconds.
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

impl TransportError {
    pub(super) fn not_central(central: &CentralUrl, status: u16, content: &str) -> Self {
        let content = if content.is_empty() { "something without a type" } else { content };
        Self::NotCentral { central: central.to_string(), status, content: plain(content, CODE_BYTES_MAX) }
    }

    /// What an answer with a status and a content type is, if it is neither central's nor JSON.
    pub(super) fn of_answer(central: &CentralUrl, status: u16, content: &str) -> Self {
        let is_page = matches!(content, "text/html" | "application/xhtml+xml");
        match status {
            407 => Self::Proxy {
                proxy: "on the way to central, which the settings do not name".to_owned(),
                problem: ProxyProblem::WantsPassword,
            },
            511 | 300..=399 => Self::SignInPage { central: central.to_string(), status },
            200..=299 if is_page => Self::SignInPage { central: central.to_string(), status },
            502 | 504 => Self::Gateway { central: central.to_string(), status },
            503 if is_page => Self::Gateway { central: central.to_string(), status },
            _ => Self::not_central(central, status, content),
        }
    }

    /// What central asked to wait at least, in milliseconds.
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Busy { retry_after_s }
            | Self::EnrolmentBusy { retry_after_s }
            | Self::TooManyAttempts { retry_after_s } => Some(retry_after_s * 1000),
            _ => None,
        }
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
pub(super) fn plain(text: &str, bytes_max: usize) -> String {
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
            Self::ClockWrong { .. } => "clock_wrong",
            Self::Tls { problem: TlsProblem::OtherName, .. } => "tls_other_name",
            Self::Tls { problem: TlsProblem::UnknownIssuer, .. } => "tls_unknown_issuer",
            Self::Tls { problem: TlsProblem::NotSpoken, .. } => "tls_not_spoken",
            Self::Tls { problem: TlsProblem::Failed, .. } => "tls_failed",
            Self::Proxy { problem, .. } => problem.code(),
            Self::SignInPage { .. } => "sign_in_page",
            Self::Gateway { .. } => "gateway",
            Self::NotCentral { .. } => "not_central",
            Self::Busy { .. } | Self::EnrolmentBusy { .. } => "central_busy",
            Self::TooManyAttempts { .. } => TOO_MANY_ATTEMPTS,
            Self::CentralRefused { code, .. } => code,
            Self::ReplyTooLarge { .. } => "reply_too_large",
            Self::CertificateFile { .. } => "certificate_file",
        }
    }

    fn advice(&self) -> &str {
        match self {
            Self::NoAddress { .. } => {
                "Check the connection, and the name in central.url; on Android, and where else the system knows no name servers, set \
                 central.name_servers. What is recorded is safe and goes later."
            }
            Self::NoNetwork { .. } | Self::Timeout { .. } | Self::Cut { .. } => {
                "Check the connection. What is recorded is safe and goes later."
            }
            Self::ConnectionRefused { .. } => {
                "Central may be stopped, or central.url names a wrong port. Nothing is lost; the daemon tries again by itself."
            }
            Self::ClockWrong { .. } => {
                "Look at the date and time of this device. If they are right, central's certificate must be renewed."
            }
            Self::Tls { problem: TlsProblem::OtherName, .. } => {
                "If this network asks to sign in, do that in a browser. Else check the host in central.url; something else may \
                 answer in its place."
            }
            Self::Tls { problem: TlsProblem::UnknownIssuer, .. } => {
                "Check central.ca_file. If it is right, or central needs none, something between this device and central reads \
                 along: a sign-in page, a filter, or an attacker."
            }
            Self::Tls { problem: TlsProblem::NotSpoken, .. } => {
                "If this network asks to sign in, do that in a browser on this device. Else check the port in central.url; plain \
                 http is for a central on this machine only."
            }
            Self::Tls { problem: TlsProblem::Failed, .. } => {
                "Check central.url and central.ca_file; something between this device and central may also read along."
            }
            Self::Proxy { problem: ProxyProblem::WantsPassword, .. } => {
                "Put name and password in central.proxy, as in http://NAME:PASSWORD@HOST:PORT, escaped where needed."
            }
            Self::Proxy { problem: ProxyProblem::NoAddress | ProxyProblem::NotAProxy { .. }, .. } => {
                "Check central.proxy: its kind, its host and its port."
            }
            Self::Proxy { problem: ProxyProblem::Status { status: 300..=399 | 511 }, .. } => {
                "The proxy asks to sign in: do that in a browser on this device, then try again. If it asks for nothing, check \
                 central.proxy."
            }
            Self::Proxy { .. } => {
                "Check the connection and central.proxy; whoever looks after the proxy must let it reach central."
            }
            Self::SignInPage { .. } => {
                "This network asks to sign in: do that in a browser on this device, then try again. If it asks for nothing, check \
                 central.url."
            }
            Self::Gateway { .. } => {
                "Central is stopped, or its gateway does not reach it. Nothing is lost; the daemon tries again by itself."
            }
            Self::NotCentral { .. } => {
                "Check central.url, its path included, and https instead of http. If this network asks to sign in, do that in a \
                 browser."
            }
            Self::Busy { .. } => "Nothing to do: it is tried again by itself.",
            Self::EnrolmentBusy { .. } => "Run the command again then; nothing was changed.",
            Self::TooManyAttempts { .. } => {
                "Check name and password, wait, and run the command again: a try before that does not count, even with the right one."
            }
            Self::CentralRefused { .. } => "Ask whoever looks after central.",
            Self::ReplyTooLarge { .. } => {
                "Check that central.url is central, and that the agent is not much older than central."
            }
            Self::CertificateFile { .. } => "Check central.ca_file: it must be readable and hold certificates as PEM.",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            // A password that is wrong stays wrong, however long one waits.
            Self::Proxy { problem: ProxyProblem::WantsPassword, .. } | Self::CertificateFile { .. } => Exit::Config,
            Self::NoAddress { .. }
            | Self::NoNetwork { .. }
            | Self::ConnectionRefused { .. }
            | Self::Timeout { .. }
            | Self::Cut { .. }
            | Self::Tls { .. }
            | Self::Proxy { .. }
            | Self::SignInPage { .. }
            | Self::Gateway { .. }
            | Self::NotCentral { .. }
            | Self::ReplyTooLarge { .. } => Exit::Offline,
            // The link is well.
            Self::ClockWrong { .. } => Exit::Failed,
            Self::Busy { .. } | Self::EnrolmentBusy { .. } | Self::TooManyAttempts { .. } => Exit::Busy,
            Self::CentralRefused { .. } => Exit::Refused,
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
                    Phase::Handshake => "the connection to central was not encrypted",
                    Phase::Write => "not one byte could be sent",
                    Phase::Read => "central sent not one byte",
                };
                write!(formatter, "{what} in {limit_ms} ms")
            }
            Self::Cut { received_bytes, reason } => {
                write!(formatter, "the connection broke after {received_bytes} bytes of central's reply: {reason}")
            }
            Self::Tls { central, problem, reason } => {
                let what = match problem {
                    TlsProblem::OtherName => "shows a certificate of another name",
                    TlsProblem::UnknownIssuer => "shows a certificate of an authority that is not trusted here",
                    TlsProblem::NotSpoken => "does not speak TLS",
                    TlsProblem::Failed => "makes no trusted connection",
                };
                let colon = if reason.is_empty() { "" } else { ": " };
                write!(formatter, "what answers at {central} {what}{colon}{reason}")
            }
            Self::ClockWrong { certificate, clock } => write!(
                formatter,
                "central's certificate {certificate}, and on this device it is {clock}: its clock is wrong, or the certificate is"
            ),
            Self::Proxy { proxy, problem } => write!(formatter, "the proxy {proxy}: {problem}"),
            Self::SignInPage { central, status } => {
                write!(formatter, "a web page answers instead of central at {central} (status {status})")
            }
            Self::Gateway { central, status } => {
                write!(formatter, "the gateway in front of {central} does not reach central (status {status})")
            }
            Self::NotCentral { central, status: 0, content } => {
                write!(formatter, "what answers at {central} is not central: it sent {content}")
            }
            Self::NotCentral { central, status, content } => {
                write!(formatter, "what answers at {central} is not central: it sent {content} with status {status}")
            }
            Self::TooManyAttempts { retry_after_s } => write!(
                formatter,
                "wrong passwords came for this site from here, so central takes the next one only in {retry_after_s} s"
            ),
            Self::Busy { retry_after_s } | Self::EnrolmentBusy { retry_after_s } => {
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
