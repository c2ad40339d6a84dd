//! The loopback address at which the local interface listens beside its socket.

use std::net::SocketAddr;

use super::error::ConfigError;
use super::source::Values;

/// The setting.
const PATH: &str = "local_api.listen";

/// The address, if one is set.
pub(super) fn address(values: &Values) -> Result<Option<SocketAddr>, ConfigError> {
    let Some(value) = values.text(PATH) else { return Ok(None) };
    let problem = match value.parse::<SocketAddr>() {
        Err(_) => "is no address with a port",
        Ok(address) if !address.ip().is_loopback() => {
            "can be reached from elsewhere; only loopback addresses are taken"
        }
        Ok(address) if address.port() == 0 => "has no port that applications could know",
        Ok(address) => return Ok(Some(address)),
    };
    Err(ConfigError::Listen { origin: values.origin(PATH), value, problem })
}
