//! How bytes reach central, and the only code that names ureq.
//!
//! One connection at a time, kept alive between the requests of a session. No cookies, no compression (what travels is packed
//! already), no redirects: a redirect is another host that wants to be central. Resolving and connecting have limits, reading
//! and writing have idle limits, and nothing has a total one: a slow link may take as long as it moves.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod cause;
mod central_key;
mod certificate;
mod check;
mod connection;
mod enrol;
mod error;
mod hello;
mod meter;
mod name_servers;
mod news;
mod problem;
#[cfg(test)]
mod tests;
mod verify;

use std::io::Read as _;
use std::ops::ControlFlow;
use std::time::Duration;

use protocol::check::CheckError;
use protocol::{limits, section};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body, Proxy};

pub use certificate::CertificateFacts;
pub use enrol::{EnrolBegin, EnrolReply, EnrolRequest};
pub use error::TransportError;
pub use hello::{Greeting, Hello};
pub use meter::Meter;
pub use news::NEWS_LATE_MS_MAX;
pub use problem::{Phase, ProxyProblem, TlsProblem};

use crate::config::{CentralUrl, Config, ProxyUrl, Timeouts};
use crate::error::Explained as _;
use crate::sync_runner::{ExchangeFailure, Exchanger};

/// Where exchanges are posted, behind central's address.
pub const SYNC_PATH: &str = "/sync/v1";
/// Where enrolments begin, behind central's address.
pub const ENROL_BEGIN_PATH: &str = "/enrol/v1/begin";
/// Where enrolments are posted, behind central's address.
pub const ENROL_PATH: &str = "/enrol/v1";
/// Where it is asked whether a device would be taken, behind central's address.
pub const CHECK_PATH: &str = "/check/v1";
/// Where what a site has is compared, behind central's address.
pub const VERIFY_PATH: &str = "/verify/v1";
/// Where it is asked whether something waits for a site, behind central's address.
pub const NEWS_PATH: &str = "/news/v1";
/// Where central says who it is, behind its address.
pub const HELLO_PATH: &str = "/hello";
/// Where central says the code of an error beside its body.
const CODE_HEADER: &str = "x-outpost-code";
/// What an exchange's request and reply call themselves.
pub const CONTENT_TYPE: &str = "application/x-outpost";
/// What is told of an answer that central has not signed, in place of a content type.
const UNSIGNED: &str = "an answer that the trusted key has not signed";

/// Largest reply to an exchange, in bytes: central's own limits, twice. What is larger is not from central.
pub const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest reply that is read only to say what it is, in bytes.
pub const SMALL_REPLY_BYTES_MAX: usize = 64 * 1024;
/// How long to wait when central is busy and does not say how long, in seconds.
pub const RETRY_AFTER_S: u64 = 30;
/// Longest wait that central may ask for, in seconds: an answer is not signed at this level, so nobody may silence a site for
/// longer.
pub const RETRY_AFTER_S_MAX: u64 = 3600;

/// How long an unused connection is kept, in seconds: central's answer may take long to store.
const KEPT_CONNECTION_S: u64 = 60;
/// Bytes that are read and handed on at once.
const CHUNK_BYTES: usize = 16 * 1024;

const _: () = assert!(
    REPLY_BYTES_MAX
        >= 2 * (limits::REPLY_HEAD_BYTES_MAX
            + limits::REPLY_PAGE_BYTES_MAX as usize
            + limits::PAGE_PLAIN_BYTES_MAX
            + limits::SCOPES_MAX * section::HEADER_BYTES)
);

/// How an exchange ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The reply came to its end.
    Complete,
    /// Whoever took the bytes had enough; the connection is closed.
    Stopped,
}

/// The way to one central.
#[derive(Debug)]
pub struct Transport {
    agent: Agent,
    central: CentralUrl,
    proxy: Option<ProxyUrl>,
    timeouts: Timeouts,
    seen: connection::SharedSeen,
    meter: Meter,
}

/// Interrupts a [`Transport`] from another thread. What cannot be interrupted is the system's own search for an address: it
/// ends with `resolve_ms`.
#[derive(Debug, Clone)]
pub struct Interrupter {
    agent: Agent,
}

impl Interrupter {
    /// Closes the connection, whatever it waits for; the transport makes no other.
    pub fn interrupt(self) {
        self.agent.shutdown();
    }
}

impl Transport {
    /// The way to a central, by the settings. Connects to nothing yet.
    ///
    /// # Errors
    /// [`TransportError::CertificateFile`] if the certificates to trust cannot be read; [`TransportError::Proxy`] if the proxy's
    /// address cannot be used.
    pub fn new(config: &Config, central: CentralUrl) -> Result<Transport, TransportError> {
        let timeouts = config.timeouts;
        let proxy = config.proxy_for(&central).cloned();
        let seen = connection::SharedSeen::default();
        let meter = Meter::default();
        let connector = {
            let tls = connection::tls(config.central_ca_file.as_deref())?;
            connection::connector(tls, seen.clone(), meter.clone())
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy.as_ref().map(proxy_of).transpose()?)
            .user_agent(concat!("outpost/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .max_idle_age(Duration::from_secs(KEPT_CONNECTION_S))
            .timeout_resolve(Some(Duration::from_millis(timeouts.resolve_ms)))
            .timeout_connect(Some(Duration::from_millis(timeouts.connect_ms)))
            .timeout_per_read(Some(Duration::from_millis(timeouts.read_idle_ms)))
            .timeout_per_write(Some(Duration::from_millis(timeouts.write_idle_ms)))
            .build();
        let agent =
            Agent::with_parts(agent, connector, connection::Resolver::new(config.name_servers.clone(), seen.clone()));
        Ok(Transport { agent, central, proxy, timeouts, seen, meter })
    }

    /// Where central is.
    pub fn central(&self) -> &CentralUrl {
        &self.central
    }

    /// Counts what goes over its connections.
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// What can interrupt this transport from another thread.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter { agent: self.agent.clone() }
    }

    /// Posts a request and hands the reply on as it comes, in pieces of any size. A refusal that central signed is a reply too,
    /// whatever its status.
    ///
    /// # Errors
    /// [`TransportError`]; pieces that came before it were handed on.
    pub fn exchange(
        &mut self,
        request: &[u8],
        on_reply: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<Ended, TransportError> {
        let mut response = self.post(SYNC_PATH, CONTENT_TYPE, request)?;
        if content_type(&response) != CONTENT_TYPE {
            return Err(self.unexpected(&mut response));
        }
        let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut chunk = vec![0_u8; CHUNK_BYTES];
        let mut received = 0;
        loop {
            let count = match reader.read(&mut chunk) {
                Ok(0) => return Ok(Ended::Complete),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.failed(error.into(), received)),
            };
            received += count;
            if received > REPLY_BYTES_MAX {
                return Err(TransportError::ReplyTooLarge { limit: REPLY_BYTES_MAX });
            }
            if on_reply(chunk.get(..count).unwrap_or_default()).is_break() {
                return Ok(Ended::Stopped);
            }
        }
    }

    fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Response<Body>, TransportError> {
        self.agent
            .post(format!("{}{path}", self.central))
            .content_type(content_type)
            .send(body)
            .map_err(|error| self.failed(error, 0))
    }

    fn failed(&self, error: ureq::Error, received: usize) -> TransportError {
        let way = cause::Way { central: &self.central, proxy: self.proxy.as_ref(), timeouts: &self.timeouts };
        way.failed(error, received)
    }

    /// What an answer that is no exchange says.
    fn unexpected(&self, response: &mut Response<Body>) -> TransportError {
        let status = response.status();
        let content_type = content_type(response);
        let is_busy = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        let is_page = content_type == "text/html" && status == StatusCode::SERVICE_UNAVAILABLE;
        if is_busy && !is_page {
            return TransportError::Busy { retry_after_s: retry_after_s(response) };
        }
        let status = status.as_u16();
        match self.small_body(response) {
            Ok(body) if content_type == "application/json" => error::of_json(status, &body)
                .unwrap_or_else(|| TransportError::of_answer(&self.central, status, &content_type)),
            Ok(_) | Err(_) => TransportError::of_answer(&self.central, status, &content_type),
        }
    }

    /// What central has signed in answer to a question: `read` looks at the signature.
    fn signed<T>(
        &self,
        mut response: Response<Body>,
        bytes_max: usize,
        read: impl FnOnce(&[u8]) -> Result<T, CheckError>,
    ) -> Result<T, TransportError> {
        if content_type(&response) != CONTENT_TYPE {
            return Err(self.unexpected(&mut response));
        }
        let answer = self.body_within(&mut response, bytes_max)?;
        let status = response.status().as_u16();
        read(&answer).map_err(|_| TransportError::not_central(&self.central, status, UNSIGNED))
    }

    fn small_body(&self, response: &mut Response<Body>) -> Result<Vec<u8>, TransportError> {
        self.body_within(response, SMALL_REPLY_BYTES_MAX)
    }

    fn body_within(&self, response: &mut Response<Body>, limit: usize) -> Result<Vec<u8>, TransportError> {
        let mut body = Vec::new();
        let reader = response.body_mut().with_config().limit(u64::MAX).reader();
        reader.take(limit as u64 + 1).read_to_end(&mut body).map_err(|error| self.failed(error.into(), 0))?;
        if body.len() > limit {
            return Err(TransportError::ReplyTooLarge { limit });
        }
        Ok(body)
    }
}

impl Exchanger for Transport {
    fn exchange(
        &mut self,
        request: &[u8],
        on_reply: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), ExchangeFailure> {
        match Transport::exchange(self, request, on_reply) {
            Ok(Ended::Complete | Ended::Stopped) => Ok(()),
            Err(error) => Err(ExchangeFailure::from(&error)),
        }
    }
}

impl From<&TransportError> for ExchangeFailure {
    fn from(error: &TransportError) -> Self {
        Self {
            code: error.code().to_owned(),
            message: error.to_string(),
            exit: error.exit(),
            what_to_do: error.advice().to_owned(),
            retry_after_s: error.retry_after_ms().map(|ms| u32::try_from(ms / 1000).unwrap_or(u32::MAX)),
        }
    }
}

fn proxy_of(proxy: &ProxyUrl) -> Result<Proxy, TransportError> {
    Proxy::new(&proxy.with_credentials()).map_err(|_| TransportError::Proxy {
        proxy: proxy.to_string(),
        problem: ProxyProblem::NotAProxy { reason: "its address cannot be used".to_owned() },
    })
}

/// The content type without its parameters, in lower case; empty if there is none.
fn content_type(response: &Response<Body>) -> String {
    let value = response.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The code that central puts beside the body; empty if there is none.
fn code(response: &Response<Body>) -> &str {
    response.headers().get(CODE_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Seconds of the header `Retry-After`. Its other form, a date, needs a clock that is right, and counts as not given.
fn retry_after_s(response: &Response<Body>) -> u64 {
    let value = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(RETRY_AFTER_S).min(RETRY_AFTER_S_MAX)
}
