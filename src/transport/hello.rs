//! Asking who answers at central's address, without a signature: for a person who checks the connection.

use std::net::IpAddr;
use std::sync::PoisonError;

use protocol::ids::PublicKey;
use serde::Deserialize;

use super::certificate::CertificateFacts;
use super::{HELLO_PATH, Transport, TransportError, content_type};
use crate::hex;

/// The name by which central tells itself from everything else that answers.
const PRODUCT: &str = "outpost-central";

/// What a central says about itself. Nothing of it is signed: it helps to find a mistake, and proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Central's release, for people.
    pub release: String,
    /// Oldest version of messages that it understands.
    pub version_min: u8,
    /// Newest.
    pub version_max: u8,
    /// Its key.
    pub central_key: PublicKey,
}

/// What came of asking.
#[derive(Debug)]
pub struct Greeting {
    /// Central's answer, or why there is none.
    pub hello: Result<Hello, TransportError>,
    /// The date that whoever answered put on the answer, in milliseconds since 1970.
    pub answered_at_ms: Option<u64>,
    /// The addresses that were found for central's name, or for the proxy's.
    pub addresses: Vec<IpAddr>,
    /// Whether a certificate was shown and verified.
    pub is_encrypted: bool,
    /// That certificate, if it could be read.
    pub certificate: Option<CertificateFacts>,
}

/// Fields that are not known are passed over: a later central may say more.
#[derive(Deserialize)]
struct HelloFields {
    product: String,
    release: String,
    version_min: u8,
    version_max: u8,
    central_key: String,
}

impl Transport {
    /// Asks who answers at central's address. Its errors are those of an exchange.
    pub fn greet(&mut self) -> Greeting {
        let mut answered_at_ms = None;
        let hello = self.hello(&mut answered_at_ms);
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Greeting {
            hello,
            answered_at_ms,
            addresses: seen.addresses.clone(),
            is_encrypted: seen.certificate.is_some(),
            certificate: seen.certificate.as_ref().and_then(|shown| CertificateFacts::of_der(shown)),
        }
    }

    fn hello(&self, answered_at_ms: &mut Option<u64>) -> Result<Hello, TransportError> {
        let address = format!("{}{HELLO_PATH}", self.central());
        let mut response = self.agent.get(address).call().map_err(|error| self.failed(error, 0))?;
        *answered_at_ms = response.headers().get("date").and_then(|date| date_ms(date.to_str().ok()?));
        if !response.status().is_success() || content_type(&response) != "application/json" {
            return Err(self.unexpected(&mut response));
        }
        let body = self.small_body(&mut response)?;
        let status = response.status().as_u16();
        hello_of(&body).ok_or_else(|| TransportError::not_central(self.central(), status, "application/json"))
    }
}

fn hello_of(body: &[u8]) -> Option<Hello> {
    let fields: HelloFields = serde_json::from_slice(body).ok()?;
    if fields.product != PRODUCT || fields.version_min > fields.version_max {
        return None;
    }
    Some(Hello {
        release: super::error::plain(&fields.release, 64),
        version_min: fields.version_min,
        version_max: fields.version_max,
        central_key: PublicKey(hex::array(&fields.central_key)?),
    })
}

/// A date as HTTP writes it (RFC 9110, section 5.6.7).
fn date_ms(text: &str) -> Option<u64> {
    let since_1970 = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since_1970.as_millis()).ok()
}
