//! The proxy that leads to central, if there is one. Its name and password are never shown.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use super::central_url::{host_of, port_of};
use super::{CentralUrl, ConfigError, Origin};

/// The word that takes the proxy of the environment.
const ENVIRONMENT_WORD: &str = "environment";
/// Variables with a proxy, in the order in which they are asked; each in capitals first, then in small letters.
const PROXY_VARIABLES: [&str; 2] = ["HTTPS_PROXY", "ALL_PROXY"];
/// The variable with hosts that are reached without a proxy.
const BYPASS_VARIABLE: &str = "NO_PROXY";
/// Longest name or password, in bytes: what SOCKS5 can carry (RFC 1929).
const CREDENTIAL_BYTES_MAX: usize = 255;
/// Longest address of a proxy, in bytes, its name and password in escapes included.
const ADDRESS_BYTES_MAX: usize = 2048;

/// How a proxy is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyScheme {
    /// HTTP with CONNECT; the proxy finds central's address.
    Http,
    /// SOCKS5; this device finds central's address.
    Socks5,
    /// SOCKS5; the proxy finds central's address.
    Socks5h,
}

/// A proxy's address. `Display` and `Debug` leave name and password out.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    scheme: ProxyScheme,
    host: String,
    port: u16,
    /// Before the `@`, with its escapes; empty for none.
    credentials: String,
}

/// A proxy and who is reached without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxySetting {
    /// The proxy.
    pub url: ProxyUrl,
    /// Hosts that are reached without it, as `NO_PROXY` lists them.
    pub bypassed: Vec<String>,
}

impl ProxyScheme {
    const ALL: [Self; 3] = [Self::Http, Self::Socks5, Self::Socks5h];

    /// The word before `://`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
        }
    }

    fn usual_port(self) -> u16 {
        match self {
            Self::Http => 8080,
            Self::Socks5 | Self::Socks5h => 1080,
        }
    }
}

impl ProxyUrl {
    /// Checks an address such as `http://proxy:8080` or `socks5h://name:password@10.0.0.1`.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence that begins with "the proxy's address".
    pub fn parse(text: &str) -> Result<ProxyUrl, &'static str> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err("is longer than 2048 bytes");
        }
        let (word, rest) = text.split_once("://").ok_or("begins with none of http://, socks5:// and socks5h://")?;
        let scheme = ProxyScheme::ALL.into_iter().find(|scheme| scheme.as_str() == word);
        let scheme = scheme.ok_or("begins with none of http://, socks5:// and socks5h://")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, authority) = rest.rsplit_once('@').unwrap_or(("", rest));
        check_credentials(credentials)?;
        if rest.starts_with('@') {
            return Err("has an @ with nothing before it");
        }
        let host = host_of(authority)?;
        let port = port_of(authority).unwrap_or(scheme.usual_port());
        Ok(ProxyUrl { scheme, host: host.to_owned(), port, credentials: credentials.to_owned() })
    }

    /// How it is spoken to.
    pub fn scheme(&self) -> ProxyScheme {
        self.scheme
    }

    /// Its host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it holds a name or a password.
    pub fn has_credentials(&self) -> bool {
        !self.credentials.is_empty()
    }

    /// The whole address with name and password, for whoever connects. Never to be shown or logged.
    pub fn with_credentials(&self) -> String {
        let separator = if self.credentials.is_empty() { "" } else { "@" };
        format!("{}://{}{separator}{}", self.scheme.as_str(), self.credentials, self.authority())
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl ProxySetting {
    /// What the setting and the environment say.
    pub(super) fn of(
        setting: Option<&str>,
        origin: Origin,
        variables: &BTreeMap<String, OsString>,
    ) -> Result<Option<Self>, ConfigError> {
        let (text, origin, bypassed) = match setting {
            None => return Ok(None),
            Some(ENVIRONMENT_WORD) => {
                let found = PROXY_VARIABLES.iter().find_map(|name| variable(variables, name));
                let Some((name, text)) = found else { return Ok(None) };
                let hosts = variable(variables, BYPASS_VARIABLE).map(|(_, hosts)| hosts).unwrap_or_default();
                (text, Origin::Variable(name), hosts_of(&hosts))
            }
            Some(text) => (text.to_owned(), origin, Vec::new()),
        };
        let url = ProxyUrl::parse(&text).map_err(|problem| ConfigError::Proxy { origin, problem })?;
        Ok(Some(Self { url, bypassed }))
    }

    /// Whether central is reached through it. Never for plain http: what is not encrypted does not leave this machine.
    pub fn is_for(&self, central: &CentralUrl) -> bool {
        central.is_encrypted() && !self.bypassed.iter().any(|entry| is_bypassed(entry, central.host()))
    }
}

/// Name and value of a variable that is set, in capitals or in small letters.
fn variable(variables: &BTreeMap<String, OsString>, name: &str) -> Option<(String, String)> {
    [name.to_owned(), name.to_ascii_lowercase()].into_iter().find_map(|name| {
        let value = variables.get(&name)?.to_string_lossy().into_owned();
        (!value.is_empty()).then_some((name, value))
    })
}

fn hosts_of(list: &str) -> Vec<String> {
    list.split(',').map(|entry| entry.trim().to_ascii_lowercase()).filter(|entry| !entry.is_empty()).collect()
}

/// `*` is every host, `example.org` that host and those below it, `.example.org` only those below it. Ports do not count.
fn is_bypassed(entry: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let entry = match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => entry,
    };
    let entry = entry.trim_matches(['[', ']']);
    let below = entry.trim_start_matches('*').trim_start_matches('.');
    let is_below = || host.strip_suffix(below).is_some_and(|rest| rest.ends_with('.'));
    entry == "*" || host == entry || (!below.is_empty() && is_below())
}

/// Name and password: letters, digits and marks, everything else in escapes of UTF-8.
fn check_credentials(credentials: &str) -> Result<(), &'static str> {
    for part in credentials.splitn(2, ':') {
        let mut decoded = Vec::new();
        let mut bytes = part.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'%' => decoded
                    .push(escaped(&mut bytes).ok_or("has a % in its name or password without two hexadecimal digits")?),
                _ if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte) => decoded.push(byte),
                _ => return Err("has a character in its name or password that must be escaped, as in %40 for an @"),
            }
        }
        if std::str::from_utf8(&decoded).is_err() {
            return Err("has escapes in its name or password that are no UTF-8");
        }
        if decoded.len() > CREDENTIAL_BYTES_MAX {
            return Err("has a name or password of more than 255 bytes");
        }
    }
    Ok(())
}

fn escaped(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let mut digit = || char::from(bytes.next()?).to_digit(16);
    u8::try_from(digit()? * 16 + digit()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(word: Option<&str>, variables: &[(&str, &str)]) -> Result<Option<ProxySetting>, ConfigError> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
        ProxySetting::of(word, Origin::Default, &variables)
    }

    fn central(host: &str) -> CentralUrl {
        CentralUrl::parse(&format!("https://{host}")).unwrap()
    }

    #[test]
    fn addresses_are_read_and_shown_without_name_and_password() {
        for (text, shown) in [
            ("http://proxy", "http://proxy:8080"),
            ("http://name:pass%40word@proxy:3128/", "http://proxy:3128"),
            ("socks5://10.0.0.1", "socks5://10.0.0.1:1080"),
            ("socks5h://name@[::1]:9050", "socks5h://[::1]:9050"),
        ] {
            let url = ProxyUrl::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), format!("{url:?}").as_str()), (shown, shown));
            assert_eq!(ProxyUrl::parse(&url.with_credentials()), Ok(url));
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_showing_it() {
        for text in [
            "proxy:8080",
            "https://proxy",
            "ftp://proxy",
            "http://",
            "http://@proxy",
            "http://proxy:0",
            "http://proxy/path",
            "http://na me:secret@proxy",
            "http://name:secret%4@proxy",
            "http://name:secret%ff@proxy",
            "http://name:sec@ret@proxy",
        ] {
            let error = setting(Some(text), &[]).unwrap_err();
            assert!(!format!("{error}{error:?}").contains("sec"), "{error}");
        }
        assert!(ProxyUrl::parse(&format!("http://{}@proxy", "x".repeat(256))).is_err());
    }

    #[test]
    fn the_environment_counts_only_when_the_setting_says_so() {
        let variables = [
            ("HTTPS_PROXY", "http://first"),
            ("all_proxy", "socks5://second"),
            ("NO_PROXY", "localhost, .example.org"),
        ];

        assert_eq!(setting(None, &variables), Ok(None));
        let found = setting(Some("environment"), &variables).unwrap().unwrap();
        assert_eq!((found.url.host(), found.bypassed.len()), ("first", 2));
        let found = setting(Some("environment"), &variables[1..]).unwrap().unwrap();
        assert_eq!((found.url.host(), found.url.scheme()), ("second", ProxyScheme::Socks5));
        assert_eq!(setting(Some("environment"), &[("HTTPS_PROXY", "")]), Ok(None));
        let error = setting(Some("environment"), &[("https_proxy", "proxy")]).unwrap_err().to_string();
        assert!(error.starts_with("environment variable https_proxy: "), "{error}");
        let found = setting(Some("http://third"), &variables).unwrap().unwrap();
        assert_eq!((found.url.host(), found.bypassed.len()), ("third", 0));
    }

    #[test]
    fn hosts_of_the_list_are_reached_without_the_proxy() {
        for (list, host, expected) in [
            ("", "central.example.org", true),
            ("*", "central.example.org", false),
            ("example.org", "Central.Example.org", false),
            ("example.org", "example.org", false),
            (".example.org", "example.org", true),
            ("*.example.org:8443", "central.example.org", false),
            ("ample.org", "example.org", true),
            ("10.0.0.7", "10.0.0.7", false),
            ("10.0.0.7", "110.0.0.7", true),
            ("::1", "[::1]", false),
        ] {
            let setting = ProxySetting { url: ProxyUrl::parse("http://proxy").unwrap(), bypassed: hosts_of(list) };
            assert_eq!(setting.is_for(&central(host)), expected, "{list} {host}");
        }
    }

    #[test]
    fn what_is_not_encrypted_goes_through_no_proxy() {
        let setting = setting(Some("http://proxy"), &[]).unwrap().unwrap();

        assert!(!setting.is_for(&CentralUrl::parse("http://127.0.0.1:8080").unwrap()));
    }
}
