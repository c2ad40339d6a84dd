//! How a connection is made: through a proxy if there is one, then encrypted. An error says at which of these steps it came,
//! and what was seen on the way is kept for whoever looks at the connection.

use std::fmt;
use std::io::{Error as IoError, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs};
use ureq::unversioned::transport::time::{Duration, Instant};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, SocksConnector,
    TcpConnector, Transport, TransportAdapter,
};

use super::meter::{Meter, Metering};
use super::{TransportError, name_servers};

/// Largest file with certificates, in bytes: all public authorities together have 250 kB.
const CERTIFICATES_BYTES_MAX: u64 = 1024 * 1024;

/// Bytes at the beginning of a handshake that are looked at when it fails: enough for the status of an answer in HTTP.
const FIRST_BYTES: usize = 32;

/// Most addresses of one host: what ureq has room for.
const ADDRESSES_MAX: usize = 16;

/// What the last connection showed of itself.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The certificate, once it was verified.
    pub(super) certificate: Option<CertificateDer<'static>>,
    /// The addresses that were found, for central's name or the proxy's.
    pub(super) addresses: Vec<IpAddr>,
}

/// Shared by those who connect and those who look.
pub(super) type SharedSeen = Arc<Mutex<Seen>>;

/// Finds addresses by the name servers of the settings, or without any as the system does, and keeps them.
#[derive(Debug)]
pub(super) struct Resolver {
    name_servers: Vec<SocketAddr>,
    system: DefaultResolver,
    seen: SharedSeen,
}

impl Resolver {
    pub(super) fn new(name_servers: Vec<SocketAddr>, seen: SharedSeen) -> Self {
        Self { name_servers, system: DefaultResolver::default(), seen }
    }

    fn ask(&self, uri: &Uri, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let port = uri.port_u16().or_else(|| port_of(uri)).ok_or(ureq::Error::HostNotFound)?;
        let found =
            name_servers::addresses(host, &self.name_servers, *timeout.after).map_err(|error| match error.kind() {
                // By which of the two a socket says it depends on the system.
                ErrorKind::TimedOut | ErrorKind::WouldBlock => ureq::Error::Timeout(ureq::Timeout::Resolve),
                ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown | ErrorKind::HostUnreachable => error.into(),
                // They answered: there is no such name, or nothing that could be read.
                _ => ureq::Error::HostNotFound,
            })?;
        let mut addresses = ureq::unversioned::resolver::Resolver::empty(self);
        for address in found.into_iter().take(ADDRESSES_MAX) {
            addresses.push(SocketAddr::new(address, port));
        }
        Ok(addresses)
    }
}

/// The port of an address that names none.
fn port_of(uri: &Uri) -> Option<u16> {
    match uri.scheme_str()? {
        "https" => Some(443),
        "http" => Some(80),
        scheme => scheme.starts_with("socks").then_some(1080),
    }
}

impl ureq::unversioned::resolver::Resolver for Resolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = if self.name_servers.is_empty() {
            self.system.resolve(uri, config, timeout)?
        } else {
            self.ask(uri, timeout)?
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.addresses = found.iter().map(SocketAddr::ip).collect();
        Ok(found)
    }
}

/// A step on the way to a connection. Errors without one came before the first, after the last, or from TCP to central itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// From this device to the proxy, and the proxy's own answer.
    Proxy,
    /// The TLS handshake.
    Handshake,
}

/// An error with the step at which it came; travels through ureq as its `Error::Other`.
#[derive(Debug)]
pub(super) struct StepError {
    pub(super) step: Step,
    pub(super) error: ureq::Error,
}

impl fmt::Display for StepError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

impl std::error::Error for StepError {}

/// What answered a handshake is a web page in the clear; travels in an error of the system, as those of rustls do.
#[derive(Debug)]
pub(super) struct PageInClear {
    /// Its status.
    pub(super) status: u16,
}

impl fmt::Display for PageInClear {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a web page answers a TLS handshake (status {})", self.status)
    }
}

impl std::error::Error for PageInClear {}

impl PageInClear {
    /// Looks at the first bytes of what should be TLS. An error such as 400 is no page: every web server without TLS answers a
    /// handshake with it.
    fn of(first: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(first);
        let Some(answer) = text.strip_prefix("HTTP/") else {
            // A proxy that answered CONNECT with 200 and leads nowhere: what follows its head is the page itself.
            return text.starts_with('<').then_some(Self { status: 200 });
        };
        let status = answer.split(' ').nth(1)?.get(..3)?.parse().ok()?;
        matches!(status, 200..=399 | 511).then_some(Self { status })
    }
}

fn at(step: Step) -> impl FnOnce(ureq::Error) -> ureq::Error {
    move |error| ureq::Error::Other(Box::new(StepError { step, error }))
}

/// All steps: SOCKS or CONNECT where there is a proxy, TCP where there is none, TLS where the address asks for it.
pub(super) fn connector(tls: ClientConfig, seen: SharedSeen, meter: Meter) -> impl Connector {
    ().chain(ProxyStep(SocksConnector::default()))
        .chain(ProxyStep(ConnectProxyConnector::default()))
        .chain(TcpConnector::default())
        .chain(Metering(meter))
        .chain(Handshake { config: Arc::new(tls), seen })
}

/// TLS by the certificates to trust: those of a file alone, or the public ones.
pub(super) fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, TransportError> {
    let roots = match ca_file {
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        Some(path) => {
            roots_of(path).map_err(|reason| TransportError::CertificateFile { path: path.to_path_buf(), reason })?
        }
    };
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks the usual versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn roots_of(path: &Path) -> Result<RootCertStore, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut pem = Vec::new();
    file.take(CERTIFICATES_BYTES_MAX + 1).read_to_end(&mut pem).map_err(|error| error.to_string())?;
    if pem.len() as u64 > CERTIFICATES_BYTES_MAX {
        return Err(format!("it is larger than {CERTIFICATES_BYTES_MAX} bytes"));
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| format!("one of its certificates cannot be used: {error}"))?;
    }
    if roots.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    Ok(roots)
}

/// Marks what goes wrong on the way to a proxy.
#[derive(Debug)]
struct ProxyStep<C>(C);

impl<In: Transport, C: Connector<In>> Connector<In> for ProxyStep<C> {
    type Out = C::Out;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<C::Out>, ureq::Error> {
        self.0.connect(details, chained).map_err(at(Step::Proxy))
    }
}

/// Encrypts what goes to an https address.
struct Handshake {
    config: Arc<ClientConfig>,
    seen: SharedSeen,
}

impl fmt::Debug for Handshake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Handshake")
    }
}

impl<In: Transport> Connector<In> for Handshake {
    type Out = Either<In, Encrypted>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        self.encrypt(details, transport.boxed()).map(|stream| Some(Either::B(stream))).map_err(at(Step::Handshake))
    }
}

impl Handshake {
    fn encrypt(
        &self,
        details: &ConnectionDetails<'_>,
        transport: Box<dyn Transport>,
    ) -> Result<Encrypted, ureq::Error> {
        let host = details.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ureq::Error::HostNotFound)?;
        let mut connection = ClientConnection::new(Arc::clone(&self.config), name)
            .map_err(|error| IoError::new(ErrorKind::InvalidData, error))?;
        let mut socket = TransportAdapter::new(transport, Arc::clone(&details.current_time));
        socket.set_timeout(time_left(details));
        let mut socket = FirstBytes { inner: socket, seen: Vec::new() };
        if let Err(error) = connection.complete_io(&mut socket) {
            let page = PageInClear::of(&socket.seen);
            return Err(page.map_or(error, |page| IoError::new(ErrorKind::InvalidData, page)).into());
        }
        let socket = socket.inner;
        let certificate = connection.peer_certificates().and_then(|chain| chain.first()).cloned();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).certificate =
            certificate.map(CertificateDer::into_owned);
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Encrypted { buffers, stream: StreamOwned::new(connection, socket) })
    }
}

/// Keeps the first bytes that are read in a handshake: rustls does not say what it found in place of TLS.
struct FirstBytes {
    inner: TransportAdapter,
    seen: Vec<u8>,
}

impl std::io::Read for FirstBytes {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let room = FIRST_BYTES.saturating_sub(self.seen.len());
        self.seen.extend(buffer.iter().take(count.min(room)));
        Ok(count)
    }
}

impl std::io::Write for FirstBytes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// What earlier steps left of the time to connect: one limit covers them all.
fn time_left(details: &ConnectionDetails<'_>) -> NextTimeout {
    let mut timeout = details.timeout;
    if let (Duration::Exact(limit), Instant::Exact(began), Instant::Exact(now)) =
        (timeout.after, details.now, (details.current_time)())
    {
        timeout.after = limit.saturating_sub(now.saturating_duration_since(began)).into();
    }
    timeout
}

/// An encrypted connection.
struct Encrypted {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Encrypted")
    }
}

impl Transport for Encrypted {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
