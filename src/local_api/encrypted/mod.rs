//! The listener for machines of the local network: everything goes over TLS, and each machine shows a token of its own.
//!
//! The handshake is part of the first read, in the thread of its connection: a slow one holds up nobody else. Whoever speaks plain HTTP
//! here is told so, because a token may just have crossed the network in the clear.

mod addresses;
mod certificate;
mod self_signed;

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub use certificate::{CertificateError, ClientCertificate};

use super::access::Access;
use super::listener::{Connection, Listener, keeps_up};
use super::reply::whole_refusal;
use crate::clients::Clients;
use crate::clock::{MonotonicMs, monotonic_now};
use crate::config::ClientsSettings;
use crate::error::AgentError;
use crate::exit::Exit;
use addresses::{AddressPlace, Addresses};

/// Most connections of clients at once: two for each of as many clients as there may be.
const CLIENTS_CONNECTIONS_MAX: usize = 64;
/// Most bytes of a plain request that are thrown away, so that its sender gets to read the answer.
const PLAIN_BYTES_MAX: usize = 64 * 1024;

/// The agent's end. As at a loopback address, a port that another program has is taken as soon as it is free.
pub struct ClientListener {
    address: SocketAddr,
    access: Access,
    config: Arc<ServerConfig>,
    addresses: Arc<Addresses>,
    state: Mutex<State>,
}

enum State {
    Unbound,
    Bound(Arc<TcpListener>),
    Closed,
}

impl ClientListener {
    /// For an address of this machine, any other than a loopback one too.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn new(
        address: SocketAddr,
        settings: &ClientsSettings,
        certificate: &ClientCertificate,
        clients: Arc<Clients>,
    ) -> Result<Self, CertificateError> {
        let access = Access::of_clients(clients, address, settings);
        let config = certificate.server_config()?;
        Ok(Self { address, access, config, addresses: Arc::default(), state: Mutex::new(State::Unbound) })
    }

    fn bound(&self) -> io::Result<Arc<TcpListener>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Bound(listener) => Ok(Arc::clone(listener)),
            State::Closed => Err(ErrorKind::NotConnected.into()),
            State::Unbound => {
                let listener = Arc::new(TcpListener::bind(self.address)?);
                log::info!("the local interface listens for clients address={}", self.address);
                *state = State::Bound(Arc::clone(&listener));
                Ok(listener)
            }
        }
    }

    fn connection(&self, stream: TcpStream, place: AddressPlace) -> io::Result<ClientConnection> {
        stream.set_nodelay(true)?;
        let tls =
            ServerConnection::new(Arc::clone(&self.config)).map_err(|error| io::Error::other(error.to_string()))?;
        let socket = PatientSocket { stream, idle: Cell::new(Duration::MAX), deadline: Cell::new(None) };
        Ok(ClientConnection { stream: StreamOwned::new(tls, socket), place, is_begun: false })
    }
}

impl Listener for ClientListener {
    fn accept(&self) -> io::Result<Box<dyn Connection>> {
        loop {
            let (stream, peer) = self.bound()?.accept()?;
            let Some(place) = self.addresses.take_place(peer.ip()) else {
                log::debug!("a connection is closed, its address has as many as it may address={}", peer.ip());
                continue;
            };
            // What goes wrong with one connection is no reason to pause the others.
            match self.connection(stream, place) {
                Ok(connection) => return Ok(Box::new(connection)),
                Err(error) => log::debug!("a connection was lost before it began error={error}"),
            }
        }
    }

    fn name(&self) -> String {
        self.address.to_string()
    }

    fn close(&self) {
        let before = std::mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Closed);
        if let State::Bound(listener) = before {
            // A connection that is closed at once, to end a waiting accept. If it fails, accepting ends with the process.
            let _ = listener.local_addr().and_then(TcpStream::connect);
        }
    }

    fn access(&self) -> Option<&Access> {
        Some(&self.access)
    }

    fn connections_max(&self) -> Option<usize> {
        Some(CLIENTS_CONNECTIONS_MAX)
    }
}

/// One machine's connection.
struct ClientConnection {
    stream: StreamOwned<ServerConnection, PatientSocket>,
    place: AddressPlace,
    is_begun: bool,
}

impl ClientConnection {
    /// Looks at the first byte: TLS begins with 22, a request of plain HTTP with a capital letter.
    fn begin(&mut self) -> io::Result<()> {
        if self.is_begun {
            return Ok(());
        }
        let mut first = [0; 1];
        self.stream.sock.await_byte(&mut first)?;
        self.is_begun = true;
        if first.first().is_some_and(u8::is_ascii_uppercase) {
            self.stream.sock.answer_plainly();
            return Err(io::Error::new(ErrorKind::InvalidData, "plain HTTP where TLS is spoken"));
        }
        Ok(())
    }
}

impl Read for ClientConnection {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.begin()?;
        self.stream.read(target)
    }
}

impl Write for ClientConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begin()?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Connection for ClientConnection {
    fn set_idle_timeout(&self, idle: Duration) -> io::Result<()> {
        self.stream.sock.idle.set(idle);
        self.stream.sock.stream.set_read_timeout(Some(idle))?;
        self.stream.sock.stream.set_write_timeout(Some(idle))
    }

    fn set_deadline(&self, deadline: Option<MonotonicMs>) -> io::Result<()> {
        self.stream.sock.deadline.set(deadline);
        // A deadline shortens it at each read.
        self.stream.sock.stream.set_read_timeout(Some(self.stream.sock.idle.get()))
    }

    fn end_writing(&mut self) -> io::Result<()> {
        // Without this last word whoever reads cannot know that the answer was not cut.
        self.stream.conn.send_close_notify();
        self.stream.flush()?;
        self.stream.sock.stream.shutdown(Shutdown::Write)
    }

    fn keeps_up(&self) -> bool {
        keeps_up(&self.stream.sock.stream)
    }

    fn own_address(&self) -> Option<SocketAddr> {
        self.stream.sock.stream.local_addr().ok()
    }

    fn hang_up(&self) -> Option<TcpStream> {
        self.stream.sock.stream.try_clone().ok()
    }

    fn count_wrong_token(&self) -> Option<u64> {
        self.place.count_wrong_token()
    }
}

/// A socket of which each read ends with a deadline, whatever small pieces come: TLS reads on until it has a whole record.
struct PatientSocket {
    stream: TcpStream,
    idle: Cell<Duration>,
    deadline: Cell<Option<MonotonicMs>>,
}

impl PatientSocket {
    fn keep_deadline(&self) -> io::Result<()> {
        let Some(deadline) = self.deadline.get() else { return Ok(()) };
        let left_ms = deadline.since(monotonic_now());
        if left_ms == 0 {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(self.idle.get().min(Duration::from_millis(left_ms))))
    }

    fn await_byte(&self, first: &mut [u8; 1]) -> io::Result<()> {
        self.keep_deadline()?;
        loop {
            match self.stream.peek(first) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Says in the clear that this is no place for it. Whatever goes wrong here was lost already.
    fn answer_plainly(&mut self) {
        log::warn!("plain HTTP came where TLS is spoken; a token that came with it is no secret any more");
        let answered = self.stream.write_all(whole_refusal(400, &plain_http()).as_bytes());
        let ended = answered.and_then(|()| self.stream.shutdown(Shutdown::Write));
        let (mut piece, mut bytes) = ([0; 1024], 0);
        while ended.is_ok() && bytes < PLAIN_BYTES_MAX {
            match self.read(&mut piece) {
                Ok(0) | Err(_) => return,
                Ok(count) => bytes += count,
            }
        }
    }
}

fn plain_http() -> AgentError {
    AgentError::new(
        "plain_http",
        "this address speaks TLS, and the request came in the clear",
        "Use https://. If a token was in the request, others on the network may have read it: `outpost client revoke` takes it back.",
        Exit::Usage,
    )
}

impl Read for PatientSocket {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.keep_deadline()?;
        self.stream.read(target)
    }
}

impl Write for PatientSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
