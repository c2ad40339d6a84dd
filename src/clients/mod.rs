//! The machines of the local network that may work on this agent: each has a name and a token of its own. Only the hash of a token is
//! kept, so nobody who reads the file can show one.

mod error;
mod kept;

use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::chain::hash_of;
use zeroize::Zeroizing;

pub use error::ClientsError;

use crate::clock::wall_now;
use crate::entropy;
use crate::hex;
use kept::{Client, Kept};

/// Most clients of one agent: a facility has a handful of machines.
pub const CLIENTS_MAX: usize = 32;
/// Most connections of one client at once; an application needs two or three.
pub const CLIENT_CONNECTIONS_MAX: usize = 8;
/// Most requests of one client that wait at once.
pub const CLIENT_WAITING_MAX: usize = 4;
/// Longest name of a client, in bytes.
pub const CLIENT_NAME_BYTES_MAX: usize = 64;
/// What a token begins with, so that one that lies about is known for what it is.
pub const TOKEN_PREFIX: &str = "outpost_client_";
/// Random bytes of a token: nobody guesses 256 bits.
const TOKEN_BYTES: usize = 32;
/// How old the time of a last use may become on disk, in milliseconds: it is no reason to write at each request.
const LAST_USE_AGE_MS_MAX: u64 = 10 * 60 * 1000;

/// The clients, and the connections that they have open.
pub struct Clients {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: Kept,
    open: Vec<Open>,
    next_number: u64,
}

/// A connection of a client.
struct Open {
    number: u64,
    name: String,
    /// To end it when the client is revoked.
    stream: Option<TcpStream>,
    is_waiting: bool,
}

/// A client as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFacts {
    /// Its name.
    pub name: String,
    /// When it was added, in milliseconds since 1970.
    pub added_ms: u64,
    /// When it last showed its token; at most ten minutes old where the agent was not stopped in order.
    pub last_use_ms: Option<u64>,
    /// How many connections it has open at this moment.
    pub connections: usize,
}

impl Clients {
    /// The clients of a data folder; none if there is no file of theirs.
    ///
    /// # Errors
    /// [`ClientsError`]: the file is damaged, or others may read it.
    pub fn open(path: &Path) -> Result<Self, ClientsError> {
        let kept = Kept::read(path)?;
        Ok(Self { path: path.to_path_buf(), state: Mutex::new(State { kept, ..State::default() }) })
    }

    /// Adds a client, and returns its token, which is on no disk.
    ///
    /// # Errors
    /// [`ClientsError`]; then nothing was changed.
    pub fn add(&self, name: &str) -> Result<Zeroizing<String>, ClientsError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > CLIENT_NAME_BYTES_MAX || !name.bytes().all(is_plain) {
            return Err(ClientsError::Name { name: name.chars().take(2 * CLIENT_NAME_BYTES_MAX).collect() });
        }
        let random = Zeroizing::new(entropy::bytes::<TOKEN_BYTES>());
        let token = Zeroizing::new(format!("{TOKEN_PREFIX}{}", hex::text(&*random)));
        let mut state = self.state();
        if state.kept.clients.iter().any(|client| client.name == name) {
            return Err(ClientsError::Exists { name: name.to_owned() });
        }
        if state.kept.clients.len() >= CLIENTS_MAX {
            return Err(ClientsError::TooMany);
        }
        let mut kept = state.kept.clone();
        kept.clients.push(Client {
            name: name.to_owned(),
            token_hash: hex::text(&hash_of(token.as_bytes()).0),
            added_ms: wall_now().0,
            last_use_ms: None,
        });
        kept.write(&self.path)?;
        state.kept = kept;
        drop(state);
        log::info!("a client was added client={name}");
        Ok(token)
    }

    /// Takes a client's token, and ends the connections that it has open.
    ///
    /// # Errors
    /// [`ClientsError`]; then nothing was changed.
    pub fn revoke(&self, name: &str) -> Result<(), ClientsError> {
        let mut state = self.state();
        let mut kept = state.kept.clone();
        kept.clients.retain(|client| client.name != name);
        if kept.clients.len() == state.kept.clients.len() {
            return Err(ClientsError::NotFound { name: name.chars().take(2 * CLIENT_NAME_BYTES_MAX).collect() });
        }
        kept.write(&self.path)?;
        state.kept = kept;
        for open in state.open.iter().filter(|open| open.name == name) {
            if let Some(stream) = &open.stream {
                // One that is gone already needs no ending.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        drop(state);
        log::info!("a client was revoked client={name}");
        Ok(())
    }

    /// All clients, in the order in which they were added.
    pub fn list(&self) -> Vec<ClientFacts> {
        let state = self.state();
        let facts = |client: &Client| ClientFacts {
            name: client.name.clone(),
            added_ms: client.added_ms,
            last_use_ms: client.last_use_ms,
            connections: state.open.iter().filter(|open| open.name == client.name).count(),
        };
        state.kept.clients.iter().map(facts).collect()
    }

    /// Lets in whoever shows a client's token. `stream` is what ends the connection if the client is revoked meanwhile.
    ///
    /// # Errors
    /// [`ClientsError::WrongToken`], [`ClientsError::TooManyConnections`].
    pub fn admit(self: &Arc<Self>, token: &str, stream: Option<TcpStream>) -> Result<Guest, ClientsError> {
        // Of equal length, and of bits that whoever shows a token cannot choose: comparing them tells nothing of the kept one.
        let shown = hex::text(&hash_of(token.as_bytes()).0);
        let now_ms = wall_now().0;
        let mut state = self.state();
        let Some(at) = state.kept.clients.iter().position(|client| client.token_hash == shown) else {
            return Err(ClientsError::WrongToken);
        };
        let name = state.kept.clients.get(at).map(|client| client.name.clone()).unwrap_or_default();
        if state.open.iter().filter(|open| open.name == name).count() >= CLIENT_CONNECTIONS_MAX {
            return Err(ClientsError::TooManyConnections { name });
        }
        let number = state.next_number;
        state.next_number += 1;
        state.open.push(Open { number, name: name.clone(), stream, is_waiting: false });
        let last_use_ms = state.kept.clients.get_mut(at).and_then(|client| client.last_use_ms.replace(now_ms));
        // A clock that was set back makes no age.
        let is_old = last_use_ms.is_none_or(|last_use_ms| now_ms.abs_diff(last_use_ms) >= LAST_USE_AGE_MS_MAX);
        if is_old {
            log::info!("a client is here client={name} last_use_ms={}", last_use_ms.unwrap_or_default());
        }
        if is_old || now_ms.abs_diff(state.kept.noted_ms) >= LAST_USE_AGE_MS_MAX {
            state.note(&self.path, now_ms);
        }
        drop(state);
        Ok(Guest { clients: Arc::clone(self), number, name })
    }

    /// Keeps on disk when each client was last here; for an agent that stops.
    pub fn note_last_uses(&self) {
        let mut state = self.state();
        if state.kept.clients.iter().any(|client| client.last_use_ms.is_some()) {
            state.note(&self.path, wall_now().0);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is kept is replaced whole, and a connection is there or not.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, path: &Path, now_ms: u64) {
        self.kept.noted_ms = now_ms;
        if let Err(error) = self.kept.write(path) {
            log::warn!("when clients were last here is not kept error={error}");
        }
    }
}

/// A client's connection, until it is dropped.
pub struct Guest {
    clients: Arc<Clients>,
    number: u64,
    name: String,
}

impl Guest {
    /// The client's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says that this connection waits for something that may not come soon, from here to its end.
    ///
    /// # Errors
    /// [`ClientsError::TooManyWaiting`].
    pub fn begin_waiting(&self) -> Result<(), ClientsError> {
        let mut state = self.clients.state();
        if state.open.iter().filter(|open| open.is_waiting && open.name == self.name).count() >= CLIENT_WAITING_MAX {
            return Err(ClientsError::TooManyWaiting { name: self.name.clone() });
        }
        if let Some(open) = state.open.iter_mut().find(|open| open.number == self.number) {
            open.is_waiting = true;
        }
        Ok(())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.clients.state().open.retain(|open| open.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;
    use crate::error::Explained as _;

    fn clients(folder: &tempfile::TempDir) -> Arc<Clients> {
        Arc::new(Clients::open(&folder.path().join("clients")).unwrap())
    }

    fn admitted(clients: &Arc<Clients>, token: &str) -> String {
        match clients.admit(token, None) {
            Ok(guest) => guest.name().to_owned(),
            Err(error) => error.code().to_owned(),
        }
    }

    #[test]
    fn a_client_is_let_in_by_its_token_until_it_is_revoked_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let one = clients(&folder);
        let dispensary = one.add("dispensary").unwrap();
        let store = one.add("store-room.2").unwrap();
        assert_eq!(one.list()[0].last_use_ms, None);

        assert_eq!(admitted(&one, &dispensary), "dispensary");
        assert!(one.list()[0].last_use_ms.is_some());
        let other = clients(&folder);
        assert_eq!(
            (admitted(&other, &dispensary), admitted(&other, &store)),
            ("dispensary".into(), "store-room.2".into())
        );
        assert!(other.list()[0].last_use_ms.is_some(), "the first use is kept at once");
        other.revoke("dispensary").unwrap();

        assert_eq!(admitted(&other, &dispensary), "token_wrong");
        assert_eq!(admitted(&clients(&folder), &dispensary), "token_wrong");
        assert_eq!(admitted(&other, &store), "store-room.2");
        assert_eq!(other.revoke("dispensary").unwrap_err().code(), "client_not_found");
        let anew = other.add("dispensary").unwrap();
        assert_ne!(*anew, *dispensary);
    }

    #[test]
    fn no_token_is_on_the_disk_and_no_other_text_lets_in() {
        let folder = tempfile::tempdir().unwrap();
        let clients = clients(&folder);
        let token = clients.add("dispensary").unwrap();
        let kept = std::fs::read_to_string(folder.path().join("clients")).unwrap();

        assert!(!kept.contains(&token[TOKEN_PREFIX.len()..]));
        let hash = hex::text(&hash_of(token.as_bytes()).0);
        for wrong in ["", &token[1..], &token[..token.len() - 1], &hash, &token.to_uppercase()] {
            assert_eq!(admitted(&clients, wrong), "token_wrong", "{wrong}");
        }
    }

    #[test]
    fn names_and_numbers_of_clients_have_limits() {
        let folder = tempfile::tempdir().unwrap();
        let clients = clients(&folder);
        let code = |name: &str| clients.add(name).map(|_| ()).unwrap_err().code().to_owned();
        for name in ["", "a b", "Ä", "a\nb", "x/y", &"x".repeat(65)] {
            assert_eq!(code(name), "client_name", "{name}");
        }
        for number in 0..CLIENTS_MAX {
            clients.add(&format!("machine-{number}")).unwrap();
        }

        assert_eq!(code("machine-3"), "client_exists");
        assert_eq!(code("one-more"), "too_many_clients");
        assert_eq!(Clients::open(&folder.path().join("clients")).unwrap().list().len(), CLIENTS_MAX);
        clients.revoke("machine-3").unwrap();
        clients.add("one-more").unwrap();
    }

    #[test]
    fn a_client_has_so_many_connections_and_waits_with_fewer_and_the_others_have_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let clients = clients(&folder);
        let (greedy, modest) = (clients.add("greedy").unwrap(), clients.add("modest").unwrap());
        let mut guests: Vec<Guest> =
            (0..CLIENT_CONNECTIONS_MAX).map(|_| clients.admit(&greedy, None).unwrap()).collect();

        let waiting = guests.iter().filter(|guest| guest.begin_waiting().is_ok()).count();

        assert_eq!(waiting, CLIENT_WAITING_MAX);
        assert_eq!(clients.admit(&greedy, None).err().unwrap().code(), "too_many_connections");
        assert_eq!(clients.admit(&modest, None).ok().map(|guest| guest.begin_waiting().is_ok()), Some(true));
        assert_eq!(clients.list()[0].connections, CLIENT_CONNECTIONS_MAX);
        guests.remove(0);
        assert!(clients.admit(&greedy, None).ok().unwrap().begin_waiting().is_ok());
    }

    #[test]
    fn the_connections_of_a_client_end_when_it_is_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let clients = clients(&folder);
        let token = clients.add("dispensary").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let _guest = clients.admit(&token, Some(server.try_clone().unwrap())).unwrap();

        clients.revoke("dispensary").unwrap();

        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn a_damaged_file_lets_nobody_in_and_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients");
        clients(&folder).add("dispensary").unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[30] ^= 1;
        std::fs::write(&path, &bytes).unwrap();

        assert_eq!(Clients::open(&path).err().unwrap().code(), "clients_damaged");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}
