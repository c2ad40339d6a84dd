//! Who may use a listener that every program of the device can reach: whoever shows the token, under one of our own names, and no
//! page of another origin.

use std::fmt;
use std::hint::black_box;
use std::net::SocketAddr;
use std::path::Path;

use zeroize::Zeroizing;

use super::head::Head;
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
    token: Zeroizing<String>,
    /// The names under which a browser of this device finds the listener, each with the port.
    hosts: Vec<String>,
}

impl Access {
    /// For a listener at a loopback address, with the token of a file that is made if it is not there.
    ///
    /// # Errors
    /// [`AccessError`]: the file cannot be read or made, others may read it, or it holds something else.
    pub fn open_or_make(token_file: &Path, address: SocketAddr) -> Result<Self, AccessError> {
        let port = address.port();
        let hosts = ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}")).to_vec();
        Ok(Self { token: open_or_make_token(token_file)?, hosts })
    }

    /// Whether a request came to us by one of our names, and from no page of another origin. A name of another host that leads here
    /// would make its page one of our own to the browser.
    ///
    /// # Errors
    /// [`AccessError`].
    pub(super) fn check_names(&self, head: &Head) -> Result<(), AccessError> {
        let is_ours = |host: &str| self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host));
        let host = head.host.as_deref().unwrap_or_default();
        if !is_ours(host) {
            return Err(AccessError::Host { host: shortened(host), ours: self.hosts.join(", ") });
        }
        let Some(origin) = head.origin.as_deref() else { return Ok(()) };
        if origin.strip_prefix("http://").is_some_and(is_ours) {
            return Ok(());
        }
        Err(AccessError::Origin { origin: shortened(origin) })
    }

    /// Whether a request shows the token. Takes as long for a wrong one as for a nearly right one.
    ///
    /// # Errors
    /// [`AccessError`].
    pub(super) fn check_token(&self, head: &Head) -> Result<(), AccessError> {
        let shown = head.authorization.as_deref().ok_or(AccessError::NoToken)?;
        let (scheme, token) = shown.split_at_checked(SCHEME.len()).ok_or(AccessError::WrongToken)?;
        if scheme.eq_ignore_ascii_case(SCHEME) && is_same(token.trim().as_bytes(), self.token.as_bytes()) {
            return Ok(());
        }
        Err(AccessError::WrongToken)
    }
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
    NoToken,
    /// Another token is shown.
    WrongToken,
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
            Self::NoToken | Self::WrongToken => 401,
            Self::TokenFile { .. } | Self::File(_) => 500,
        }
    }
}

impl From<FileError> for AccessError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl Explained for AccessError {
    fn code(&self) -> &str {
        match self {
            Self::Host { .. } => "host_not_taken",
            Self::Origin { .. } => "origin_not_taken",
            Self::NoToken => "token_missing",
            Self::WrongToken => "token_wrong",
            Self::TokenFile { .. } => "token_file",
            Self::File(error) => error.code(),
        }
    }

    fn advice(&self) -> &str {
        match self {
            Self::Host { .. } => "Use one of these addresses.",
            Self::Origin { .. } => "Pages that the agent serves itself may ask; see `pages` in docs/local-api.md.",
            Self::NoToken => {
                "Send the header Authorization: Bearer TOKEN; the token is in agent.token in the data folder."
            }
            Self::WrongToken => "Read agent.token in the data folder again.",
            Self::TokenFile { .. } => "Remove the file; the agent makes a new token when it starts.",
            Self::File(error) => error.advice(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Host { .. } | Self::Origin { .. } | Self::NoToken | Self::WrongToken => Exit::Refused,
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
            Self::NoToken => formatter.write_str("this address asks for the agent's token"),
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

        let made = access(folder.path()).token.to_string();

        assert_eq!(made.len(), 64);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(*access(folder.path()).token, made);
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
        let check = |host: &str, origin: Option<&str>| match access.check_names(&head(host, origin, None)) {
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
    fn only_the_whole_token_is_let_in() {
        let folder = tempfile::tempdir().unwrap();
        let access = access(folder.path());
        let token = access.token.to_string();
        let check = |shown: Option<&str>| access.check_token(&head("", None, shown)).map_err(|error| error.status());

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
