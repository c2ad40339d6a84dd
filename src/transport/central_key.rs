//! Central's public key, as whatever answers shows it. It is trusted only by whoever knows its fingerprint.

use protocol::ids::PublicKey;
use serde::Deserialize;

use super::{HELLO_PATH, Transport, TransportError, content_type};
use crate::hex;

/// Fields that are not known are passed over: a later central may say more.
#[derive(Deserialize)]
struct ReplyFields {
    central_key: String,
}

impl Transport {
    /// Asks central for its key.
    ///
    /// # Errors
    /// As [`Transport::exchange`]; [`TransportError::NotCentral`] for an answer without a key.
    pub fn central_key(&mut self) -> Result<PublicKey, TransportError> {
        let asked = self.agent.get(format!("{}{HELLO_PATH}", self.central)).call();
        let mut response = asked.map_err(|error| self.failed(error, 0))?;
        if !response.status().is_success() || content_type(&response) != "application/json" {
            return Err(self.unexpected(&mut response));
        }
        let body = self.small_body(&mut response)?;
        let status = response.status().as_u16();
        let key = serde_json::from_slice::<ReplyFields>(&body).ok().and_then(|fields| hex::array(&fields.central_key));
        key.map(PublicKey).ok_or_else(|| TransportError::not_central(self.central(), status, "application/json"))
    }
}
