//! A web server that answers every request alike: a sign-in page, a gateway, a central with a wrong clock.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::DEADLINE;
use super::certificates::Certificate;

/// See the module.
pub struct Web {
    address: SocketAddr,
    scheme: &'static str,
    is_over: Arc<AtomicBool>,
}

impl Web {
    /// Answers over TLS if there is a certificate. `answer` is everything from the status on, or nothing to stay silent.
    pub fn start(certificate: Option<&Certificate>, answer: &str) -> Self {
        let tls = certificate.map(server_config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (answer, over) = (answer.to_owned(), Arc::clone(&is_over));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (tls, answer) = (tls.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, tls, &answer));
            }
        });
        Self { address, scheme, is_over }
    }

    /// A page of HTML with a status.
    pub fn page(certificate: Option<&Certificate>, status: &str) -> Self {
        let page = "<html>please sign in</html>";
        let length = page.len();
        Self::start(
            certificate,
            &format!("{status}\r\ncontent-type: text/html\r\ncontent-length: {length}\r\n\r\n{page}"),
        )
    }

    /// JSON with a date.
    pub fn json(certificate: Option<&Certificate>, date: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!("200 OK\r\ndate: {date}\r\ncontent-type: application/json\r\ncontent-length: {length}");
        Self::start(certificate, &format!("{head}\r\n\r\n{body}"))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, for an agent's settings.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// Reads one request and answers it. Whatever the client does wrong ends the connection.
fn serve(stream: TcpStream, tls: Option<Arc<ServerConfig>>, answer: &str) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    match tls {
        None => converse(stream, answer),
        Some(tls) => converse(StreamOwned::new(ServerConnection::new(tls).unwrap(), stream), answer),
    }
}

fn converse(stream: impl Read + Write, answer: &str) {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = Vec::new();
        // Bytes that are no text, such as the beginning of TLS, end the head: web servers answer them with 400.
        let Ok(1..) = reader.read_until(b'\n', &mut line) else { return };
        let Ok(line) = String::from_utf8(line) else { break };
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let _ = reader.by_ref().take(length).read_to_end(&mut Vec::new());
    if answer.is_empty() {
        // Until the client has had enough.
        let _ = reader.read_to_end(&mut Vec::new());
        return;
    }
    let _ = reader.get_mut().write_all(format!("HTTP/1.1 {answer}").as_bytes());
    let _ = reader.get_mut().flush();
}

/// How a server with a certificate speaks TLS.
pub fn server_config(certificate: &Certificate) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_slice_iter(certificate.pem.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}
