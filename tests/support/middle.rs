//! Somebody in the middle: ends TLS with a certificate that devices trust, reads every request in the clear, and passes it on to
//! central by TLS, or not. What is signed has to protect where TLS does not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::DEADLINE;
use super::certificates::authority;
use super::web::server_config;

/// What becomes of requests; may be changed between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// They and their answers go through.
    Pass,
    /// They are kept and go no further, and the device waits for an answer.
    KeepRequests,
    /// They go through, and the device's connection is cut before the answer.
    LoseReplies,
    /// One bit is turned in the middle of each request.
    AlterRequests,
    /// One bit is turned in the middle of each answer, behind its head.
    AlterReplies,
    /// As a central that does not know questions for news; everything else goes through.
    WithoutNews,
}

/// A request as a device sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Method and path.
    pub what: String,
    /// All that follows the head.
    pub body: Vec<u8>,
}

/// What central said to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The code of a refusal; empty without one.
    pub code: String,
}

/// See the module.
pub struct Middle {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    central: Mutex<SocketAddr>,
    mood: Mutex<Mood>,
    seen: Mutex<Vec<Request>>,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    is_over: AtomicBool,
}

impl Middle {
    /// Between devices and a central that speaks TLS with a certificate of the tests' own authority.
    pub fn before(central: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            central: Mutex::new(central),
            mood: Mutex::new(Mood::Pass),
            seen: Mutex::new(Vec::new()),
            server: server_config(&authority().certify(&["127.0.0.1"])),
            client: client_config(),
            is_over: AtomicBool::new(false),
        });
        let inner = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if inner.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let inner = Arc::clone(&inner);
                // Whatever goes wrong ends the connection, as on the way.
                std::thread::spawn(move || inner.serve(stream));
            }
        });
        Self { address, shared }
    }

    /// Where devices find it.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Passes requests on to a central that was started again.
    pub fn lead_to(&self, central: SocketAddr) {
        *self.shared.central.lock().unwrap() = central;
    }

    /// Changes what becomes of requests to come.
    pub fn set(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// The exchanges that devices asked for so far, in order.
    pub fn exchanges(&self) -> Vec<Vec<u8>> {
        self.bodies("POST /sync/v1")
    }

    /// The enrolments that devices asked for so far, in order.
    pub fn enrolments(&self) -> Vec<Vec<u8>> {
        self.bodies("POST /enrol/v1")
    }

    /// The questions for news that devices asked so far, in order.
    pub fn news(&self) -> Vec<Vec<u8>> {
        self.bodies("POST /news/v1")
    }

    /// Sends central a body of the test's own, as an exchange.
    pub fn send(&self, body: &[u8]) -> Answer {
        self.send_to("POST /sync/v1", body)
    }

    /// The same as any request.
    pub fn send_to(&self, what: &str, body: &[u8]) -> Answer {
        let reply = self.shared.pass_on(&Request { what: what.to_owned(), body: body.to_vec() }).unwrap_or_default();
        let text = String::from_utf8_lossy(&reply);
        let head = text.split("\r\n\r\n").next().unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        let code = fields.find(|(name, _)| name.eq_ignore_ascii_case("x-outpost-code")).map_or("", |(_, code)| code);
        Answer { status: status.unwrap_or_else(|| panic!("central answers: {text:?}")), code: code.to_owned() }
    }

    fn bodies(&self, what: &str) -> Vec<Vec<u8>> {
        let seen = self.shared.seen.lock().unwrap();
        seen.iter().filter(|request| request.what == what).map(|request| request.body.clone()).collect()
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    /// One request of a device, and its answer.
    fn serve(&self, stream: TcpStream) -> Option<()> {
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        let tls = ServerConnection::new(Arc::clone(&self.server)).ok()?;
        let mut reader = BufReader::new(StreamOwned::new(tls, stream));
        let mut request = read_request(&mut reader)?;
        let mood = *self.mood.lock().unwrap();
        self.seen.lock().unwrap().push(request.clone());
        if mood == Mood::AlterRequests {
            let middle = request.body.len() / 2;
            *request.body.get_mut(middle)? ^= 1;
        }
        if mood == Mood::KeepRequests {
            // Until the device has had enough.
            let _ = reader.read_to_end(&mut Vec::new());
            return None;
        }
        let is_unknown = mood == Mood::WithoutNews && request.what == "POST /news/v1";
        let mut reply = if is_unknown {
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec()
        } else {
            self.pass_on(&request)?
        };
        match mood {
            Mood::LoseReplies => return None,
            Mood::AlterReplies => {
                let body = reply.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
                let middle = usize::midpoint(body, reply.len());
                *reply.get_mut(middle)? ^= 1;
            }
            Mood::Pass | Mood::KeepRequests | Mood::AlterRequests | Mood::WithoutNews => {}
        }
        let writer = reader.get_mut();
        writer.write_all(&reply).ok()?;
        writer.conn.send_close_notify();
        writer.flush().ok()
    }

    /// Sends central a request by a connection of its own; its whole answer.
    fn pass_on(&self, request: &Request) -> Option<Vec<u8>> {
        let central = *self.central.lock().unwrap();
        let stream = TcpStream::connect(central).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        let name = ServerName::from(central.ip());
        let tls = ClientConnection::new(Arc::clone(&self.client), name).ok()?;
        let mut stream = StreamOwned::new(tls, stream);
        let content = if request.what.contains("/sync/") || request.what.contains("/news/") {
            "application/x-outpost"
        } else {
            "application/json"
        };
        let (what, length) = (&request.what, request.body.len());
        let head = format!(
            "{what} HTTP/1.1\r\nHost: central\r\nConnection: close\r\nContent-Type: {content}\r\nContent-Length: {length}\r\n\r\n"
        );
        // A central that refuses early may not take all of it.
        let _ = stream.write_all(&[head.as_bytes(), &request.body].concat()).and_then(|()| stream.flush());
        let mut reply = Vec::new();
        // What came before a break counts.
        let _ = stream.read_to_end(&mut reply);
        Some(reply)
    }
}

/// A head, and a body of the length that it tells, as the agent sends all of its requests.
fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let what = read_line(reader)?.rsplit_once(' ')?.0.to_owned();
    let mut length = 0;
    loop {
        let line = read_line(reader)?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).ok()?;
    Some(Request { what, body })
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    Some(line.trim_end().to_owned())
}

fn client_config() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority().pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}
