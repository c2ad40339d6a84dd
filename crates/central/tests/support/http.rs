//! HTTP as bytes, so that tests can be as wrong as they like. Requests are HTTP/1.0: a reply ends with its connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::wait::DEADLINE;

/// A reply as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpReply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl HttpReply {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The code of a refusal or error.
    pub(crate) fn code(&self) -> &str {
        self.header("x-outpost-code").unwrap_or("none")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A connection on which a request was begun.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
}

impl Connection {
    /// Sends the head of a request whose body will have `length` bytes.
    pub(crate) fn begin(address: SocketAddr, path: &str, length: usize) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "POST {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n").unwrap();
        Self { stream }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The reply; `None` if the connection broke before its head was whole.
    pub(crate) fn reply(mut self) -> Option<HttpReply> {
        let mut bytes = Vec::new();
        // What came before a break counts.
        let _ = self.stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let body = bytes.split_off(end + 4);
        let head = String::from_utf8(bytes).unwrap();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(HttpReply { status, head, body })
    }
}

/// Asks for a page.
pub(crate) fn get(address: SocketAddr, path: &str) -> Option<HttpReply> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // At once; and a server that wants another protocol may close before it has taken all of it.
    let _ = stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes());
    Connection { stream }.reply()
}

/// One whole request.
pub(crate) fn post(address: SocketAddr, path: &str, body: &[u8]) -> Option<HttpReply> {
    let mut connection = Connection::begin(address, path, body.len());
    // A server that refuses early may not take all of it.
    let _ = connection.send(body);
    connection.reply()
}
