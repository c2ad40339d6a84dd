//! The listener at a loopback address, for applications that cannot use a Unix socket: pages in a browser, other users' programs.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::access::{Access, AccessError};
use super::listener::{Connection, Listener, keeps_up};

/// The agent's end. It listens from the first [`accept`](Listener::accept) on, and tries again as long as something else has the port:
/// another program of the device must not be able to keep the agent from running.
#[derive(Debug)]
pub struct LoopbackListener {
    address: SocketAddr,
    access: Access,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Unbound,
    Bound(Arc<TcpListener>),
    Closed,
}

impl LoopbackListener {
    /// For a loopback address, with the token of a file, which is made if it is not there.
    ///
    /// # Errors
    /// [`AccessError`]: there is no token to be had.
    pub fn new(address: SocketAddr, token_file: &Path) -> Result<Self, AccessError> {
        let access = Access::open_or_make(token_file, address)?;
        Ok(Self { address, access, state: Mutex::new(State::Unbound) })
    }

    fn bound(&self) -> io::Result<Arc<TcpListener>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Bound(listener) => Ok(Arc::clone(listener)),
            State::Closed => Err(io::ErrorKind::NotConnected.into()),
            State::Unbound => {
                let listener = Arc::new(TcpListener::bind(self.address)?);
                log::info!("the local interface listens address={}", self.address);
                *state = State::Bound(Arc::clone(&listener));
                Ok(listener)
            }
        }
    }
}

impl Listener for LoopbackListener {
    fn accept(&self) -> io::Result<Box<dyn Connection>> {
        let (stream, _) = self.bound()?.accept()?;
        // Lines of progress are to be seen as they come.
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }

    fn name(&self) -> String {
        self.address.to_string()
    }

    fn close(&self) {
        let before = std::mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Closed);
        if matches!(before, State::Bound(_)) {
            // A connection that is closed at once, to end a waiting accept. If it fails, accepting ends with the process.
            let _ = TcpStream::connect(self.address);
        }
    }

    fn access(&self) -> Option<&Access> {
        Some(&self.access)
    }
}

impl Connection for TcpStream {
    fn set_idle_timeout(&self, idle: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(idle))?;
        self.set_write_timeout(Some(idle))
    }

    fn end_writing(&mut self) -> io::Result<()> {
        self.shutdown(std::net::Shutdown::Write)
    }

    fn keeps_up(&self) -> bool {
        keeps_up(self)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::path::PathBuf;

    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;
    use crate::error::AgentError;
    use crate::local_api::{Server, ServerLimits};
    use crate::operations::{Input, Performer, Progress, Request};

    /// Everything is answered alike.
    struct Fake;

    impl Performer for Fake {
        fn perform(&self, _: Request, _: &mut Input, events: &mut dyn FnMut(Progress)) -> Result<Value, AgentError> {
            events(Progress::Checking { lines: 1 });
            Ok(json!({ "done": true }))
        }
    }

    struct World {
        server: Server,
        address: SocketAddr,
        token: String,
        _folder: TempDir,
    }

    fn free_address() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    fn token_file(folder: &TempDir) -> PathBuf {
        folder.path().join("agent.token")
    }

    fn world() -> World {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let listener = LoopbackListener::new(address, &token_file(&folder)).unwrap();
        listener.bound().unwrap();
        let token = std::fs::read_to_string(token_file(&folder)).unwrap().trim().to_owned();
        let limits = ServerLimits { idle: Duration::from_secs(20), ..ServerLimits::default() };
        let server = Server::start(Box::new(listener), Arc::new(Fake), folder.path().to_owned(), limits).unwrap();
        World { server, address, token, _folder: folder }
    }

    impl World {
        fn ask(&self, first_line: &str, headers: &str) -> String {
            let mut stream = TcpStream::connect(self.address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(format!("{first_line} HTTP/1.1\r\n{headers}\r\n").as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        }

        fn status(&self, first_line: &str, headers: &str) -> String {
            self.ask(first_line, headers).split(' ').nth(1).unwrap().to_owned()
        }
    }

    #[test]
    fn whoever_shows_the_token_is_answered_as_at_the_socket() {
        let world = world();
        let host = format!("Host: {}\r\n", world.address);
        let token = format!("Authorization: Bearer {}\r\n", world.token);
        let empty = "Content-Length: 0\r\n";

        let answer = world.ask("POST /v0/sync", &format!("{host}{token}{empty}"));
        let own_page = format!("Origin: http://{}\r\n", world.address);

        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("{\"progress\":{\"lines\":1,\"step\":\"checking\"}}\n{\"result\":{\"done\":true}}\n"));
        assert_eq!(world.status("POST /v0/status", &format!("{host}{token}{own_page}{empty}")), "200");
        assert_eq!(world.status("GET /v0/health", &host), "200", "whether it runs is no secret");
    }

    #[test]
    fn without_the_token_under_another_name_or_from_another_page_nothing_is_done() {
        let world = world();
        let host = format!("Host: {}\r\n", world.address);
        let token = format!("Authorization: Bearer {}\r\n", world.token);
        let empty = "Content-Length: 0\r\n";

        let unknown = world.ask("POST /v0/status", &format!("{host}{empty}"));
        assert!(unknown.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{unknown}");
        assert!(unknown.contains("\r\nWWW-Authenticate: Bearer\r\n") && unknown.contains("token_missing"), "{unknown}");
        for (headers, status) in [
            (format!("{host}Authorization: Bearer 0{}\r\n{empty}", &world.token[1..63]), "401"),
            (format!("{token}{empty}"), "403"),
            (format!("Host: rebound.example.org:{}\r\n{token}{empty}", world.address.port()), "403"),
            (format!("{host}{token}Origin: http://example.org\r\n{empty}"), "403"),
            (format!("{host}{token}Origin: null\r\n{empty}"), "403"),
            (format!("{host}{host}{token}{empty}"), "400"),
        ] {
            assert_eq!(world.status("POST /v0/status", &headers), status, "{headers}");
        }
        assert_eq!(world.status("GET /v0/health", "Host: rebound.example.org\r\n"), "403");
        let preflight = format!("{host}Origin: http://example.org\r\nAccess-Control-Request-Method: POST\r\n");
        let answer = world.ask("OPTIONS /v0/status", &preflight);
        assert!(answer.starts_with("HTTP/1.1 403") && !answer.contains("Access-Control"), "{answer}");
    }

    #[test]
    fn whether_the_agent_runs_is_no_secret_and_its_figures_are_one() {
        let world = world();
        let host = format!("Host: {}\r\n", world.address);
        let token = format!("Authorization: Bearer {}\r\n", world.token);

        assert_eq!(world.status("GET /healthz", &host), "200");
        assert_eq!(world.status("GET /healthz?x=1", &host), "400");
        for path in ["/readyz", "/metrics"] {
            assert_eq!(world.status(&format!("GET {path}"), &host), "401", "{path}");
            let shown = world.ask(&format!("GET {path}"), &format!("{host}{token}"));
            assert!(shown.starts_with("HTTP/1.1 503 ") && shown.contains("vitals_elsewhere"), "{shown}");
        }
        assert_eq!(world.status("GET /healthz", "Host: rebound.example.org\r\n"), "403");
    }

    #[test]
    fn a_server_that_closes_lets_go_of_the_port() {
        let world = world();

        world.server.close();

        let free = (0..200).any(|_| {
            std::thread::yield_now();
            TcpListener::bind(world.address).is_ok() || TcpStream::connect(world.address).is_err()
        });
        assert!(free);
    }

    #[test]
    fn a_port_that_another_program_has_is_taken_as_soon_as_it_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let listener = LoopbackListener::new(address, &token_file(&folder)).unwrap();

        assert_eq!(listener.accept().err().unwrap().kind(), io::ErrorKind::AddrInUse);
        drop(other);
        let caller = std::thread::spawn(move || {
            while TcpStream::connect(address).is_err() {
                std::thread::yield_now();
            }
        });

        assert!(listener.accept().is_ok());
        caller.join().unwrap();
    }
}
