//! Where machines of the local network reach the agent, and by which certificate they know it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::error::ConfigError;
use super::source::Values;

/// The settings.
const LISTEN: &str = "clients.listen";
const NAMES: &str = "clients.names";
const CERTIFICATE_FILE: &str = "clients.certificate_file";
const KEY_FILE: &str = "clients.key_file";

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientsSettings {
    /// The address at which it listens for them; `None` if it does not.
    pub listen: Option<SocketAddr>,
    /// The names and addresses by which they find it, beside the one at which it listens.
    pub names: Vec<String>,
    /// The files of certificate and key; `None` for those that the agent makes for itself.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl ClientsSettings {
    pub(super) fn of(values: &Values) -> Result<Self, ConfigError> {
        let wrong = |setting: &'static str, problem: &'static str| ConfigError::Clients {
            origin: values.origin(setting),
            setting,
            problem,
        };
        let listen = match values.text(LISTEN).map(|text| text.parse::<SocketAddr>()) {
            None => None,
            Some(Err(_)) => return Err(wrong(LISTEN, "is no address with a port")),
            Some(Ok(address)) if address.port() == 0 => {
                return Err(wrong(LISTEN, "has no port that clients could know"));
            }
            Some(Ok(address)) => Some(address),
        };
        let names = values.texts(NAMES);
        if !names.iter().all(|name| is_name(name)) {
            return Err(wrong(
                NAMES,
                "has something that is neither a name of a machine nor an address, both without a port",
            ));
        }
        if names.is_empty() && listen.is_some_and(|address| address.ip().is_unspecified()) {
            return Err(wrong(
                LISTEN,
                "is every address of this machine, and clients.names does not say how it is found",
            ));
        }
        let certificate = match (values.path(CERTIFICATE_FILE), values.path(KEY_FILE)) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(_), None) => return Err(wrong(CERTIFICATE_FILE, "is set without clients.key_file")),
            (None, Some(_)) => return Err(wrong(KEY_FILE, "is set without clients.certificate_file")),
        };
        Ok(Self { listen, names, certificate })
    }

    /// All names and addresses that its certificate should hold for.
    pub fn all_names(&self) -> Vec<String> {
        let own = self.listen.map(|address| address.ip().to_canonical()).filter(|address| !address.is_unspecified());
        let mut names = self.names.clone();
        names.extend(own.map(|address| address.to_string()).filter(|address| !self.names.contains(address)));
        names
    }

    /// Where a client reaches it, as an address of https.
    pub fn url(&self) -> Option<String> {
        let port = self.listen?.port();
        let name = self.all_names().into_iter().next()?;
        Some(if name.contains(':') { format!("https://[{name}]:{port}") } else { format!("https://{name}:{port}") })
    }
}

/// A name of the DNS, or an address.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(is_plain)
    };
    text.parse::<IpAddr>().is_ok() || text.split('.').all(is_label)
}
