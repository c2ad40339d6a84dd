//! The name servers that are asked for central's address in place of the system's.

use std::net::{IpAddr, SocketAddr};

use super::error::ConfigError;
use super::source::Values;

/// The setting.
const PATH: &str = "central.name_servers";
/// The port of name servers, where the setting says none.
const PORT: u16 = 53;

/// The servers, in the order in which they are asked; none to ask as the system does.
pub(super) fn addresses(values: &Values) -> Result<Vec<SocketAddr>, ConfigError> {
    values
        .texts(PATH)
        .into_iter()
        .map(|value| {
            let address = value.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT)).or_else(|_| value.parse());
            match address {
                Ok(address) if address.port() != 0 && !address.ip().is_unspecified() => Ok(address),
                _ => Err(ConfigError::NameServer { origin: values.origin(PATH), value }),
            }
        })
        .collect()
}
