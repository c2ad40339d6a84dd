//! What can be wrong with a step on the way: a timeout, the encryption, the proxy.

use std::fmt;

/// What a timeout waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// An address for central's name.
    Resolve,
    /// A connection.
    Connect,
    /// An encrypted connection, once there was one.
    Handshake,
    /// Handing over a byte.
    Write,
    /// A byte from central.
    Read,
}

/// Why a connection could not be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsProblem {
    /// The certificate is for another name.
    OtherName,
    /// No authority that is trusted here issued the certificate.
    UnknownIssuer,
    /// What answers does not speak TLS.
    NotSpoken,
    /// Anything else.
    Failed,
}

/// What is wrong with a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyProblem {
    /// Its name leads to no address.
    NoAddress,
    /// There is no connection to it.
    Unreachable {
        /// What the system said.
        reason: String,
    },
    /// It does not answer in time.
    Timeout {
        /// Limit, in milliseconds.
        limit_ms: u64,
    },
    /// It asks for a name and password, or those of the settings are wrong.
    WantsPassword,
    /// It answers with a status of its own.
    Status {
        /// The status.
        status: u16,
    },
    /// It says no.
    Refused {
        /// In whose words.
        reason: String,
    },
    /// It does not speak like a proxy of its kind.
    NotAProxy {
        /// What it did.
        reason: String,
    },
}

impl ProxyProblem {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NoAddress => "proxy_no_address",
            Self::Unreachable { .. } => "proxy_unreachable",
            Self::Timeout { .. } => "proxy_timeout",
            Self::WantsPassword => "proxy_password",
            Self::Status { .. } | Self::Refused { .. } => "proxy_refused",
            Self::NotAProxy { .. } => "not_a_proxy",
        }
    }
}

impl fmt::Display for ProxyProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => formatter.write_str("no address was found for its name"),
            Self::Unreachable { reason } => write!(formatter, "it cannot be reached: {reason}"),
            Self::Timeout { limit_ms } => write!(formatter, "it led nowhere in {limit_ms} ms"),
            Self::WantsPassword => formatter.write_str("it does not accept the name and password of the settings"),
            Self::Status { status } => write!(formatter, "it answered with status {status} instead of a connection"),
            Self::Refused { reason } => write!(formatter, "it makes no connection: {reason}"),
            Self::NotAProxy { reason } => write!(formatter, "it is no proxy of this kind: {reason}"),
        }
    }
}
