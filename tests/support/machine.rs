//! A machine of the local network that works on an agent: TLS with a pinned certificate, and a token.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned};
use serde_json::Value;

use super::{DEADLINE, wait_until};

/// An address of this machine that others could reach; `None` if it has no network.
pub fn address_of_this_machine() -> Option<IpAddr> {
    // Nothing is sent: the system says from which address it would be.
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// A port that is free there at this moment.
pub fn free_port(ip: IpAddr) -> u16 {
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap().port()
}

/// See the module.
#[derive(Clone)]
pub struct Machine {
    /// Where the agent is.
    pub address: SocketAddr,
    /// Of the certificate that it must show.
    pub fingerprint: String,
    /// What is shown.
    pub token: String,
}

impl Machine {
    /// A request, and the whole answer: its status, and its lines.
    pub fn answer(&self, first_line: &str, headers: &str, body: &str) -> (u16, Vec<Value>) {
        let own = format!("Host: {}\r\nAuthorization: Bearer {}\r\n", self.address, self.token);
        self.answer_to(&format!("{first_line} HTTP/1.1\r\n{own}Content-Length: {}\r\n{headers}\r\n{body}", body.len()))
    }

    /// The same with a head of the test's own.
    pub fn answer_to(&self, request: &str) -> (u16, Vec<Value>) {
        let mut stream = self.open();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        // An answer that does not end as TLS ends was cut.
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// A verb that must be carried out.
    pub fn ask(&self, verb: &str, fields: &Value) -> Value {
        let (status, lines) = self.answer(&format!("POST /v0/{verb}"), "", &fields.to_string());
        assert_eq!(status, 200, "{lines:?}");
        lines.last().unwrap()["result"].clone()
    }

    /// A verb that must be refused: status, and code of the error.
    pub fn refused(&self, verb: &str, body: &str) -> (u16, String) {
        let (status, lines) = self.answer(&format!("POST /v0/{verb}"), "", body);
        (status, lines.last().unwrap()["error"]["code"].as_str().unwrap_or_default().to_owned())
    }

    /// Begins a request; returns once the agent has read it. What is read then is the answer, or the end.
    pub fn begin(&self, verb: &str, fields: &Value) -> impl BufRead + Send + use<> {
        let body = fields.to_string();
        let mut stream = self.open();
        let head = format!(
            "POST /v0/{verb} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            self.address,
            self.token,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut told = [0; 25];
        stream.read_exact(&mut told).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        BufReader::new(stream)
    }

    /// A connection, once the agent listens.
    pub fn open(&self) -> StreamOwned<ClientConnection, TcpStream> {
        self.try_open().unwrap()
    }

    /// The same; fails where the certificate is another one.
    pub fn try_open(&self) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let mut connected = None;
        wait_until("the agent listens", || {
            connected = TcpStream::connect(self.address).ok();
            connected.is_some()
        });
        let mut socket = connected.unwrap();
        socket.set_read_timeout(Some(DEADLINE))?;
        let provider = Arc::new(ring::default_provider());
        let pinned = Pinned { fingerprint: self.fingerprint.clone(), provider: Arc::clone(&provider) };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned))
            .with_no_client_auth();
        let name = ServerName::from(self.address.ip());
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(StreamOwned::new(connection, socket))
    }
}

/// Takes the one certificate that it was told of.
#[derive(Debug)]
struct Pinned {
    fingerprint: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found: String = protocol::chain::hash_of(shown).to_string();
        if found == self.fingerprint {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::General(format!("the fingerprint is {found}")))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
