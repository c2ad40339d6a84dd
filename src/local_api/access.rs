//! Who may use a listener that every program of the device can reach: whoever shows the token, under one of our own names, and no
//! page of another origin. At a loopback address that is the agent's one token, on the local network the token of a client.

use std::fmt;
use std::hint::black_box;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::head::Head;
use super::listener::Connection;
use crate::clients::{Clients, ClientsError, Guest};
use crate::config::ClientsSettings;
use crate::durable_file::{self, FileError};
use crate::entropy;
use crate::error::Explained;
use crate::exit::Exit;
use crate::hex;

/// Bytes of a token: nobody guesses 256 bits, so wrong ones need no counting.
const TOKEN_BYTES: usize = 32;
/// Largest token file that is looked at, in bytes: the digits and a line's end.
const TOKEN_FILE_BYTES_MAX: usize = 2 * TOKEN_BYTES + 2;
/// What stands before the token in the header.
const SCHEME: &str = "Bearer ";

/// What a caller has to show.
pub struct Access {
    tokens: Tokens,
    /// The names under which a browser finds the listener, each with the port.
    hosts: Vec<String>,
    /// Of the addresses of our own pages.
    scheme: &'static str,
}

enum Tokens {
    One(Zeroizing<String>),
    OfClients(Arc<Clients>),
}

/// The port that stands in no address of https.
const HTTPS_PORT: u16 = 443;

impl Access {
    /// For a listener at a loopback address, with the token of a file that is made if it is not there.
    ///
    /// # Errors
    /// [`AccessError`]: the file cannot be read or made, others may read it, or it holds something else.
    pub fn open_or_make(token_file: &Path, address: SocketAddr) -> Result<Self, AccessError> {
        let port = address.port();
        let hosts = ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}")).to_vec();
        Ok(Self { tokens: Tokens::One(open_or_make_token(token_file)?), hosts, scheme: "http://" })
    }

    /// For a listener of the local network, which machines find by these names, or by the address to which they come.
    pub(super) fn of_clients(clients: Arc<Clients>, address: SocketAddr, settings: &ClientsSettings) -> Self {
        let hosts = settings.names.iter().flat_map(|name| with_port(&bracketed(name), address.port())).collect();
        Self { tokens: Tokens::OfClients(clients), hosts, scheme: "https://" }
    }

    /// Whether a request came to us by one of our names, and from no page of another origin. A name of another host that leads here
    /// would make its page one of our own to the browser. `own`: the address of this machine to which it came, if that is a name of ours.
    ///
    /// # Errors
    /// [`AccessError`].
    pub(super) fn check_names(&self, head: &Head, own: Option<SocketAddr>) -> Result<(), AccessError> {
        let own: Vec<String> = own.into_iter().flat_map(hosts_of_address).collect();
        let is_ours = |host: &str| self.hosts.iter().chain(&own).any(|ours| ours.eq_ignore_ascii_case(host));
        let host = head.host.as_deref().unwrap_or_default();
        if !is_ours(host) {
            let ours: Vec<&str> = self.hosts.iter().chain(&own).map(String::as_str).collect();
            return Err(AccessError::Host { host: shortened(host), ours: ours.join(", ") });
        }
        let Some(origin) = head.origin.as_deref() else { return Ok(()) };
        if origin.strip_prefix(self.scheme).is_some_and(is_ours) {
            return Ok(());
        }
        Err(AccessError::Origin { origin: shortened(origin) })
    }

    /// Lets in a request that shows the token, or that of a client, who is returned. Takes as long for a wrong token as for a nearly
    /// right one. A right one is let in however many wrong ones came before it: nobody guesses one, and a program that goes on with a token
    /// that was revoked must not keep its neighbour out.
    ///
    /// # Errors
    /// [`AccessError`].
    pub(super) fn admit(&self, head: &Head, connection: &dyn Connection) -> Result<Option<Guest>, AccessError> {
        let of_client = matches!(self.tokens, Tokens::OfClients(_));
        let shown = head.authorization.as_deref().ok_or(AccessError::NoToken { of_client })?;
        let token = shown.split_at_checked(SCHEME.len()).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME));
        let token = token.map_or("", |(_, token)| token.trim());
        match &self.tokens {
            Tokens::One(ours) if is_same(token.as_bytes(), ours.as_bytes()) => Ok(None),
            Tokens::One(_) => Err(AccessError::WrongToken),
            Tokens::OfClients(clients) => match clients.admit(token, connection.hang_up()) {
                Ok(guest) => Ok(Some(guest)),
                Err(ClientsError::WrongToken) => {
                    if let Some(wait_s) = connection.count_wrong_token() {
                        return Err(AccessError::TooManyWrongTokens { wait_s });
                    }
                    log::warn!("a token that no client has was shown");
                    Err(ClientsError::WrongToken.into())
                }
                Err(error) => Err(error.into()),
            },
        }
    }
}

fn hosts_of_address(address: SocketAddr) -> Vec<String> {
    with_port(&bracketed(&address.ip().to_canonical().to_string()), address.port())
}

/// An address of IPv6 stands in brackets.
fn bracketed(name: &str) -> String {
    if name.contains(':') { format!("[{name}]") } else { name.to_owned() }
}

fn with_port(host: &str, port: u16) -> Vec<String> {
    let mut hosts = vec![format!("{host}:{port}")];
    if port == HTTPS_PORT {
        hosts.push(host.to_owned());
    }
    hosts
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Access").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

fn open_or_make_token(path: &Path) -> Result<Zeroizing<String>, AccessError> {
    if let Some(bytes) = durable_file::read_private(path, TOKEN_FILE_BYTES_MAX)? {
        let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
        if hex::array::<TOKEN_BYTES>(text).is_none() {
            return Err(AccessError::TokenFile { path: path.display().to_string() });
        }
        return Ok(Zeroizing::new(text.to_owned()));
    }
    let made = Zeroizing::new(hex::text(&*Zeroizing::new(entropy::bytes::<TOKEN_BYTES>())));
    durable_file::replace_private(path, format!("{}\n", *made).as_bytes())?;
    log::info!("a token for the local interface was made path={}", path.display());
    Ok(made)
}

/// Compares all bytes whatever the first ones are; only the length, which is no secret, ends it early.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).fold(0, |differing, (one, other)| black_box(differing | (one ^ other))) == 0
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

/// A caller that is not let in, or a token that cannot be had.
#[derive(Debug)]
pub enum AccessError {
    /// The request names another host, or none.
    Host {
        /// As sent.
        host: String,
        /// Those that are taken.
        ours: String,
    },
    /// A page of another origin asks.
    Origin {
        /// As sent.
        origin: String,
    },
    /// No token is shown.
    NoToken {
        /// Whether it would be one of a client.
        of_client: bool,
    },
    /// Another token is shown.
    WrongToken,
    /// Wrong tokens came from that address again and again.
    TooManyWrongTokens {
        /// When the next one is looked at, in seconds.
        wait_s: u64,
    },
    /// A client that is not let in.
    Client(ClientsError),
    /// The token's file holds no token.
    TokenFile {
        /// The file.
        path: String,
    },
    /// The token's file cannot be used.
    File(FileError),
}

impl AccessError {
    /// The HTTP status.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Host { .. } | Self::Origin { .. } => 403,
            Self::NoToken { .. } | Self::WrongToken => 401,
            Self::TooManyWrongTokens { .. } => 429,
            Self::Client(error) => error.status(),
            Self::TokenFile { .. } | Self::File(_) => 500,
        }
    }
}

impl From<FileError> for AccessError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<ClientsError> for AccessError {
    fn from(error: ClientsError) -> Self {
        Self::Client(error)
    }
}

impl Explained for AccessError {
    fn code(&self) -> &str {
        match self {
            Self::Host { .. } => "host_not_taken",
            Self::Origin { .. } => "origin_not_taken",
            Self::NoToken { .. } => "token_missing",
            Self::WrongToken => "token_wrong",
            Self::TooManyWrongTokens { .. } => "too_many_wrong_tokens",
            Self::Client(error) => error.code(),
            Self::TokenFile { .. } => "token_file",
            Self::File(error) => error.code(),
        }
    }

    fn advice(&self) -> &str {
        match self {
            Self::Host { .. } => "Use one of these addresses.",
            Self::Origin { .. } => "Pages that the agent serves itself may ask; see `pages` in docs/local-api.md.",
            Self::NoToken { of_client: true } => {
                "Send the header Authorization: Bearer TOKEN; `outpost client add NAME` makes a token."
            }
            Self::NoToken { of_client: false } => {
                "Send the header Authorization: Bearer TOKEN; the token is in agent.token in the data folder."
            }
            Self::WrongToken => "Read agent.token in the data folder again.",
            Self::TooManyWrongTokens { .. } => "Stop the program that goes on with a token that was revoked.",
            Self::Client(error) => error.advice(),
            Self::TokenFile { .. } => "Remove the file; the agent makes a new token when it starts.",
            Self::File(error) => error.advice(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Host { .. } | Self::Origin { .. } | Self::NoToken { .. } | Self::WrongToken => Exit::Refused,
            Self::TooManyWrongTokens { .. } => Exit::Busy,
            Self::Client(error) => error.exit(),
            Self::TokenFile { .. } => Exit::Config,
            Self::File(error) => error.exit(),
        }
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { host, ours } => {
                write!(formatter, "the host {host:?} is not this agent's; it answers to {ours}")
            }
            Self::Origin { origin } => write!(formatter, "pages of {origin:?} are told nothing"),
            Self::NoToken { of_client: false } => formatter.write_str("this address asks for the agent's token"),
            Self::NoToken { of_client: true } => formatter.write_str("this address asks for the token of a client"),
            Self::TooManyWrongTokens { wait_s } => {
                write!(formatter, "too many wrong tokens came from this address; the next is looked at in {wait_s} s")
            }
            Self::Client(error) => error.fmt(formatter),
            Self::WrongToken => formatter.write_str("the token is not this agent's"),
            Self::TokenFile { path } => write!(formatter, "{path} does not hold a token of {} digits", 2 * TOKEN_BYTES),
            Self::File(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for AccessError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(folder: &Path) -> Access {
        Access::open_or_make(&folder.join("agent.token"), "127.0.0.1:8123".parse().unwrap()).unwrap()
    }

    fn token(access: &Access) -> String {
        let Tokens::One(token) = &access.tokens else { unreachable!("it is of a loopback address") };
        token.to_string()
    }

    fn head(host: &str, origin: Option<&str>, authorization: Option<&str>) -> Head {
        Head {
            host: Some(host.to_owned()),
            origin: origin.map(str::to_owned),
            authorization: authorization.map(str::to_owned),
            ..Head::default()
        }
    }

    #[test]
    fn a_token_is_made_once_for_the_owner_alone_and_kept() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.token");

        let made = token(&access(folder.path()));

        assert_eq!(made.len(), 64);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(token(&access(folder.path())), made);
        std::fs::write(&path, "password1\n").unwrap();
        let address = "127.0.0.1:8123".parse().unwrap();
        assert_eq!(Access::open_or_make(&path, address).unwrap_err().code(), "token_file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(Access::open_or_make(&path, address).unwrap_err().code(), "file_mode");
    }

    #[test]
    fn only_our_own_names_and_pages_are_let_in() {
        let folder = tempfile::tempdir().unwrap();
        let access = access(folder.path());
        let check = |host: &str, origin: Option<&str>| match access.check_names(&head(host, origin, None), None) {
            Ok(()) => "taken".to_owned(),
            Err(error) => error.code().to_owned(),
        };

        for host in ["127.0.0.1:8123", "LOCALHOST:8123", "[::1]:8123"] {
            assert_eq!(check(host, None), "taken", "{host}");
            assert_eq!(check(host, Some(&format!("http://{host}"))), "taken", "{host}");
        }
        for host in
            ["", "127.0.0.1", "127.0.0.1:80", "localhost", "rebound.example.org:8123", "localhost:8123.example.org"]
        {
            assert_eq!(check(host, None), "host_not_taken", "{host}");
        }
        for origin in
            ["null", "http://localhost", "https://localhost:8123", "http://example.org", "http://localhost:81", ""]
        {
            assert_eq!(check("localhost:8123", Some(origin)), "origin_not_taken", "{origin}");
        }
    }

    #[test]
    fn machines_find_it_by_the_names_of_the_settings_and_by_the_address_to_which_they_come() {
        let folder = tempfile::tempdir().unwrap();
        let clients = Arc::new(Clients::open(&folder.path().join("clients")).unwrap());
        let check = |port: u16, host: &str, origin: Option<&str>| {
            let listen = SocketAddr::new("0.0.0.0".parse().unwrap(), port);
            let names = vec!["server.example".to_owned(), "fd00::7".to_owned()];
            let settings = ClientsSettings { listen: Some(listen), names, certificate: None };
            let access = Access::of_clients(Arc::clone(&clients), listen, &settings);
            let own = SocketAddr::new("::ffff:192.0.2.7".parse().unwrap(), port);
            access.check_names(&head(host, origin, None), Some(own)).is_ok()
        };

        for host in ["server.example:8443", "SERVER.example:8443", "[fd00::7]:8443", "192.0.2.7:8443"] {
            assert!(check(8443, host, None), "{host}");
            assert!(check(8443, host, Some(&format!("https://{host}"))), "{host}");
            assert!(!check(8443, host, Some(&format!("http://{host}"))), "{host}");
        }
        for host in
            ["server.example", "192.0.2.7", "localhost:8443", "127.0.0.1:8443", "0.0.0.0:8443", "192.0.2.8:8443", ""]
        {
            assert!(!check(8443, host, None), "{host}");
        }
        for host in ["server.example", "192.0.2.7", "[fd00::7]", "server.example:443"] {
            assert!(check(443, host, None), "{host}");
        }
    }

    #[test]
    fn only_the_whole_token_is_let_in() {
        let folder = tempfile::tempdir().unwrap();
        let access = access(folder.path());
        let token = token(&access);
        let (nobody, _) = std::os::unix::net::UnixStream::pair().unwrap();
        let check = |shown: Option<&str>| {
            access.admit(&head("", None, shown), &nobody).map(|_| ()).map_err(|error| error.status())
        };

        assert!(check(Some(&format!("Bearer {token}"))).is_ok());
        assert!(check(Some(&format!("bearer  {token} "))).is_ok());
        for wrong in ["", "Bearer", "Bearer ", &token, &format!("Basic  {token}"), &format!("Bearer {}", &token[1..])] {
            assert_eq!(check(Some(wrong)), Err(401), "{wrong}");
        }
        let mut nearly = token.clone();
        let last = if nearly.pop() == Some('0') { '1' } else { '0' };
        nearly.push(last);
        assert_eq!(check(Some(&format!("Bearer {nearly}"))), Err(401));
        assert_eq!(check(None), Err(401));
    }
}
