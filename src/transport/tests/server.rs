//! A server that does with each connection what the test says, and the transport that asks it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::config::Sources;
use crate::transport::*;

pub(super) const OUTPOST: &str = "content-type: application/x-outpost\r\n";
pub(super) const JSON: &str = "content-type: application/json\r\n";

/// What the test's server does with one connection, once it has accepted it.
pub(super) type Behaviour = Box<dyn FnOnce(&mut Connection) + Send>;

/// One accepted connection.
pub(super) struct Connection {
    pub(super) reader: BufReader<TcpStream>,
    /// What the server saw, for the test.
    seen: Sender<Request>,
}

/// A request as the server saw it.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) line: String,
    pub(super) headers: Vec<String>,
    pub(super) body: Vec<u8>,
}

impl Connection {
    /// Reads one request whole; `false` if the other side closed.
    pub(super) fn read_request(&mut self) -> bool {
        let mut request = Request::default();
        self.reader.read_line(&mut request.line).unwrap();
        if request.line.is_empty() {
            return false;
        }
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            request.headers.push(line.trim().to_ascii_lowercase());
        }
        let length = request.headers.iter().find_map(|header| header.strip_prefix("content-length: "));
        request.body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.reader.read_exact(&mut request.body).unwrap();
        self.seen.send(request).unwrap();
        true
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        // The other side may have had enough.
        let _ = self.reader.get_mut().write_all(bytes);
    }

    pub(super) fn reply(&mut self, status: &str, headers: &str, body: &[u8]) {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        self.write(head.as_bytes());
        self.write(body);
    }

    /// Waits until the other side closes.
    pub(super) fn wait_for_close(&mut self) {
        let _ = self.reader.read_to_end(&mut Vec::new());
    }
}

/// A server with a behaviour for each connection, in order.
pub(super) struct Server {
    pub(super) url: CentralUrl,
    pub(super) seen: Receiver<Request>,
    pub(super) thread: JoinHandle<()>,
}

impl Server {
    pub(super) fn start(behaviours: Vec<Behaviour>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = CentralUrl::parse(&format!("http://{}/base", listener.local_addr().unwrap())).unwrap();
        let (sender, seen) = channel();
        let thread = std::thread::spawn(move || {
            for behaviour in behaviours {
                let (stream, _) = listener.accept().unwrap();
                behaviour(&mut Connection { reader: BufReader::new(stream), seen: sender.clone() });
            }
        });
        Server { url, seen, thread }
    }

    /// A server that answers the first request with this.
    pub(super) fn answering(status: &'static str, headers: &'static str, body: &'static [u8]) -> Self {
        Self::start(vec![Box::new(move |connection| {
            connection.read_request();
            connection.reply(status, headers, body);
        })])
    }

    pub(super) fn transport(&self) -> Transport {
        transport(&self.url, |_| {})
    }
}

pub(super) fn transport(url: &CentralUrl, change: impl FnOnce(&mut Config)) -> Transport {
    let mut config = Config::load(&Sources::default()).unwrap();
    change(&mut config);
    Transport::new(&config, url.clone()).unwrap()
}

/// The reply of one exchange, and how it ended.
pub(super) fn exchange(transport: &mut Transport, request: &[u8]) -> (Vec<u8>, Result<Ended, TransportError>) {
    let mut reply = Vec::new();
    let ended = transport.exchange(request, &mut |bytes| {
        reply.extend_from_slice(bytes);
        ControlFlow::Continue(())
    });
    (reply, ended)
}
