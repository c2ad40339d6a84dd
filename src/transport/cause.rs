//! Reads the errors of ureq and rustls: which step failed, and what a person calls it.

use std::io::ErrorKind;

use protocol::limits;
use rustls::{CertificateError, Error as RustlsError};

use super::connection::{PageInClear, Step, StepError};
use super::error::{TransportError, plain};
use super::problem::{Phase, ProxyProblem, TlsProblem};
use crate::config::{CentralUrl, ProxyScheme, ProxyUrl, Timeouts};
use crate::date::date_text;

/// What is wrong with a certificate that `openssl req -x509` makes, unless it is told otherwise.
const OF_AUTHORITY: &str = "it is an authority's own certificate, and not one that an authority issued for this server";

/// The way that a request took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) central: &'a CentralUrl,
    pub(super) proxy: Option<&'a ProxyUrl>,
    pub(super) timeouts: &'a Timeouts,
}

impl Way<'_> {
    /// Reads an error of ureq that came after so many bytes of the reply.
    pub(super) fn failed(self, error: ureq::Error, received_bytes: usize) -> TransportError {
        match error {
            ureq::Error::HostNotFound => self.no_address(),
            ureq::Error::Timeout(timeout) => self.timeout(timeout),
            ureq::Error::Io(error) => self.of_io(&error, received_bytes),
            ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) | ureq::Error::Http(_) => {
                TransportError::not_central(self.central, 0, "something that is not HTTP")
            }
            ureq::Error::Other(other) => match other.downcast::<StepError>() {
                Ok(failed) => match failed.step {
                    Step::Proxy => self.of_proxy(failed.error),
                    Step::Handshake => self.of_handshake(failed.error),
                },
                Err(other) => TransportError::Cut { received_bytes, reason: other.to_string() },
            },
            other => TransportError::Cut { received_bytes, reason: other.to_string() },
        }
    }

    fn no_address(self) -> TransportError {
        TransportError::NoAddress { host: self.central.host().to_owned() }
    }

    fn timeout(self, timeout: ureq::Timeout) -> TransportError {
        let (phase, limit_ms) = match timeout {
            ureq::Timeout::Resolve => (Phase::Resolve, self.timeouts.resolve_ms),
            ureq::Timeout::Connect => (Phase::Connect, self.timeouts.connect_ms),
            ureq::Timeout::PerWrite => (Phase::Write, self.timeouts.write_idle_ms),
            _ => (Phase::Read, self.timeouts.read_idle_ms),
        };
        TransportError::Timeout { phase, limit_ms }
    }

    fn of_io(self, error: &std::io::Error, received_bytes: usize) -> TransportError {
        if let Some(error) = rustls_error(error) {
            return self.of_rustls(error);
        }
        match error.kind() {
            ErrorKind::ConnectionRefused => TransportError::ConnectionRefused { central: self.central.to_string() },
            ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::HostUnreachable
            | ErrorKind::AddrNotAvailable => TransportError::NoNetwork { host: self.central.host().to_owned() },
            _ if is_lookup(error) => self.no_address(),
            _ => TransportError::Cut { received_bytes, reason: broke(error) },
        }
    }

    fn of_handshake(self, error: ureq::Error) -> TransportError {
        match error {
            ureq::Error::Timeout(_) => {
                TransportError::Timeout { phase: Phase::Handshake, limit_ms: self.timeouts.connect_ms }
            }
            ureq::Error::Io(error) => match (rustls_error(&error), page_in_clear(&error)) {
                (Some(error), _) => self.of_rustls(error),
                (None, Some(page)) => {
                    TransportError::SignInPage { central: self.central.to_string(), status: page.status }
                }
                (None, None) => {
                    let reason = format!("in the TLS handshake, {}", broke(&error));
                    TransportError::Cut { received_bytes: 0, reason }
                }
            },
            other => TransportError::Cut { received_bytes: 0, reason: format!("in the TLS handshake: {other}") },
        }
    }

    fn of_rustls(self, error: &RustlsError) -> TransportError {
        let reason = || plain(&error.to_string(), limits::REASON_BYTES_MAX);
        let tls = |problem, reason| TransportError::Tls { central: self.central.to_string(), problem, reason };
        match error {
            RustlsError::InvalidCertificate(certificate) => match certificate {
                CertificateError::ExpiredContext { time, not_after } => TransportError::ClockWrong {
                    certificate: format!("held until {}", date_text(not_after.as_secs().saturating_mul(1000))),
                    clock: date_text(time.as_secs().saturating_mul(1000)),
                },
                CertificateError::NotValidYetContext { time, not_before } => TransportError::ClockWrong {
                    certificate: format!("holds from {}", date_text(not_before.as_secs().saturating_mul(1000))),
                    clock: date_text(time.as_secs().saturating_mul(1000)),
                },
                CertificateError::NotValidForNameContext { presented, .. } => {
                    let names = plain(&presented.join(", "), limits::REASON_BYTES_MAX);
                    tls(TlsProblem::OtherName, format!("the certificate is for {names}"))
                }
                CertificateError::NotValidForName => tls(TlsProblem::OtherName, reason()),
                CertificateError::UnknownIssuer => tls(TlsProblem::UnknownIssuer, String::new()),
                CertificateError::BadSignature => tls(TlsProblem::UnknownIssuer, "its signature is wrong".to_owned()),
                other if is_of_authority(other) => tls(TlsProblem::UnknownIssuer, OF_AUTHORITY.to_owned()),
                _ => tls(TlsProblem::Failed, reason()),
            },
            RustlsError::InvalidMessage(_) => tls(TlsProblem::NotSpoken, String::new()),
            _ => tls(TlsProblem::Failed, reason()),
        }
    }

    fn of_proxy(self, error: ureq::Error) -> TransportError {
        let Some(proxy) = self.proxy else {
            return TransportError::Cut { received_bytes: 0, reason: error.to_string() };
        };
        let problem = match error {
            ureq::Error::HostNotFound => ProxyProblem::NoAddress,
            ureq::Error::Timeout(_) => ProxyProblem::Timeout { limit_ms: self.timeouts.connect_ms },
            ureq::Error::ConnectProxyFailed(reason) => problem_of_status(&reason),
            ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) | ureq::Error::Http(_) => {
                ProxyProblem::NotAProxy { reason: "it sent something that is not HTTP".to_owned() }
            }
            ureq::Error::Io(error) => problem_of_io(&error, proxy.scheme()),
            other => ProxyProblem::Refused { reason: other.to_string() },
        };
        TransportError::Proxy { proxy: proxy.to_string(), problem }
    }
}

/// The error of rustls in an error of the system, which is how it travels through the standard library.
fn rustls_error(error: &std::io::Error) -> Option<&RustlsError> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

fn page_in_clear(error: &std::io::Error) -> Option<&PageInClear> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// Whether a server shows an authority's certificate as its own, which is how a self-signed one is usually made. The error is webpki's,
/// which rustls hides behind a trait: the name is all that shows.
fn is_of_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity"))
}

/// How a connection broke, in words for a person: those of the system and of rustls are for programmers.
fn broke(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof => "the other side closed it too early".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            "the other side, or something on the way, cut it off".to_owned()
        }
        _ => plain(&error.to_string(), limits::REASON_BYTES_MAX),
    }
}

/// The resolver's errors have no kind of their own; their text begins like this on every system.
fn is_lookup(error: &std::io::Error) -> bool {
    error.to_string().contains("failed to lookup address")
}

/// ureq says "proxy server responded 407/407", with the status as a number.
fn problem_of_status(reason: &str) -> ProxyProblem {
    let status = reason.split(|character: char| !character.is_ascii_digit()).find_map(|digits| digits.parse().ok());
    match status {
        Some(407) => ProxyProblem::WantsPassword,
        Some(status) => ProxyProblem::Status { status },
        None => ProxyProblem::NotAProxy { reason: "it closed the connection without an answer".to_owned() },
    }
}

fn problem_of_io(error: &std::io::Error, scheme: ProxyScheme) -> ProxyProblem {
    let text = error.to_string();
    let is_socks = matches!(scheme, ProxyScheme::Socks5 | ProxyScheme::Socks5h);
    match error.kind() {
        ErrorKind::ConnectionRefused
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::HostUnreachable
        | ErrorKind::AddrNotAvailable => ProxyProblem::Unreachable { reason: text },
        _ if is_lookup(error) => ProxyProblem::NoAddress,
        ErrorKind::PermissionDenied if is_socks => ProxyProblem::WantsPassword,
        // How ureq words that the proxy asks for a password and none, or another way to prove oneself, was offered.
        ErrorKind::Other if is_socks && text.contains("auth method") => ProxyProblem::WantsPassword,
        ErrorKind::Other if is_socks => ProxyProblem::Refused { reason: text },
        ErrorKind::InvalidData if is_socks => ProxyProblem::NotAProxy { reason: text },
        _ => ProxyProblem::NotAProxy { reason: format!("the connection broke: {text}") },
    }
}
