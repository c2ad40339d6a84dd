//! Proxies as they stand in schools and ministries: HTTP with CONNECT, and SOCKS5 (RFC 1928, RFC 1929). Every name leads to
//! loopback, as if the proxy had a name server of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The name and password of a proxy that asks for them.
pub const CREDENTIALS: (&str, &str) = ("clinic", "p@ss word");

/// What a proxy speaks.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// HTTP with CONNECT.
    Connect,
    /// SOCKS5.
    Socks5,
    /// No proxy at all: a mail server.
    Mail,
}

/// See the module.
pub struct Proxy {
    address: SocketAddr,
    targets: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// A proxy that lets everybody through, or only who knows [`CREDENTIALS`].
    pub fn start(kind: Kind, asks_password: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let targets = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&targets);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || match kind {
                    Kind::Connect => connect(&stream, asks_password, &seen),
                    Kind::Socks5 => socks5(stream, asks_password, &seen),
                    Kind::Mail => greet_as_mail(stream),
                });
            }
        });
        Self { address, targets }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The hosts and ports that it was asked for and led to, in order.
    pub fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap().clone()
    }
}

/// `name:password` of [`CREDENTIALS`] in base64, as HTTP shows them.
const BASIC: &str = "Basic Y2xpbmljOnBAc3Mgd29yZA==";

fn connect(stream: &TcpStream, asks_password: bool, seen: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut first, mut is_let_in) = (String::new(), !asks_password);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        if line == "\r\n" {
            break;
        }
        is_let_in |= line.trim() == format!("Proxy-Authorization: {BASIC}");
    }
    let target = first.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    let mut writer = stream.try_clone().ok()?;
    let (Some(target), true) = (target, is_let_in) else {
        let answer: &[u8] =
            b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n";
        return writer.write_all(answer).ok();
    };
    let port = target.rsplit(':').next()?.parse().ok()?;
    let Ok(onward) = TcpStream::connect(("127.0.0.1", port)) else {
        return writer
            .write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n")
            .ok();
    };
    seen.lock().unwrap().push(target.to_owned());
    writer.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
    lead(stream, &onward)
}

fn socks5(mut stream: TcpStream, asks_password: bool, seen: &Mutex<Vec<String>>) -> Option<()> {
    let [_, methods] = read(&mut stream)?;
    let mut offered = vec![0; usize::from(methods)];
    stream.read_exact(&mut offered).ok()?;
    let method = if asks_password { 2 } else { 0 };
    if !offered.contains(&method) {
        return stream.write_all(&[5, 0xff]).ok();
    }
    stream.write_all(&[5, method]).ok()?;
    if asks_password {
        let [_] = read(&mut stream)?;
        let (name, password) = (read_text(&mut stream)?, read_text(&mut stream)?);
        let is_right = (name.as_str(), password.as_str()) == CREDENTIALS;
        stream.write_all(&[1, u8::from(!is_right)]).ok()?;
        if !is_right {
            return None;
        }
    }
    let [_, _, _, kind] = read(&mut stream)?;
    let host = match kind {
        1 => std::net::Ipv4Addr::from(read::<4>(&mut stream)?).to_string(),
        3 => read_text(&mut stream)?,
        _ => return stream.write_all(&[5, 8, 0, 1, 0, 0, 0, 0, 0, 0]).ok(),
    };
    let port = u16::from_be_bytes(read(&mut stream)?);
    let Ok(onward) = TcpStream::connect(("127.0.0.1", port)) else {
        return stream.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).ok();
    };
    seen.lock().unwrap().push(format!("{host}:{port}"));
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    lead(&stream, &onward)
}

fn greet_as_mail(mut stream: TcpStream) -> Option<()> {
    stream.write_all(b"220 mail.example.org ESMTP\r\n\r\n").ok()?;
    // Closing at once could take the greeting back.
    stream.read_to_end(&mut Vec::new()).ok().map(drop)
}

fn read<const N: usize>(stream: &mut TcpStream) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// A text with its length before it.
fn read_text(stream: &mut TcpStream) -> Option<String> {
    let [length] = read(stream)?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).ok()?;
    String::from_utf8(bytes).ok()
}

/// Copies both ways until either side ends.
fn lead(stream: &TcpStream, onward: &TcpStream) -> Option<()> {
    let (mut from, mut to) = (stream.try_clone().ok()?, onward.try_clone().ok()?);
    let up = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    let (mut from, mut to) = (onward.try_clone().ok()?, stream.try_clone().ok()?);
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Both);
    up.join().ok()
}
