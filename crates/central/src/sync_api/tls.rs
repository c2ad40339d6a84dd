//! Encryption towards sites: the certificate that is shown, its exchange while the server runs, and handshakes that end in time.

use std::future::Future as _;
use std::io::{self, Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use super::listener::{Patience, PatientStream};
use crate::error::{CentralError, Exit};

/// Longest TLS handshake, in milliseconds. A satellite link needs several trips of more than a second.
pub const HANDSHAKE_MS_MAX: u64 = 30_000;
/// Largest file with certificates or a key, in bytes; a chain of three has 6 kB.
const TLS_FILE_BYTES_MAX: u64 = 256 * 1024;

/// The certificate that sites are shown. [`ServerTls::reload`] exchanges it; connections that are open keep theirs.
pub struct ServerTls {
    certificate_file: PathBuf,
    key_file: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
}

impl ServerTls {
    /// Reads both files.
    ///
    /// # Errors
    /// `tls_file_unreadable`, `tls_file_wrong`.
    pub fn open(certificate_file: &Path, key_file: &Path) -> Result<Self, CentralError> {
        let config = RwLock::new(read(certificate_file, key_file)?);
        Ok(Self { certificate_file: certificate_file.to_path_buf(), key_file: key_file.to_path_buf(), config })
    }

    /// Reads both files again; if they cannot be used, what was there stays.
    ///
    /// # Errors
    /// As [`ServerTls::open`].
    pub fn reload(&self) -> Result<(), CentralError> {
        let config = read(&self.certificate_file, &self.key_file)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

/// A connection of a site, encrypted or not. The handshake runs when the connection is first read, so that a slow one holds up
/// nobody else.
pub enum SiteStream {
    /// To this machine only.
    Plain(PatientStream),
    /// In its handshake, until the deadline.
    Handshake(Box<Accept<PatientStream>>, Pin<Box<Sleep>>),
    /// Encrypted.
    Encrypted(Box<TlsStream<PatientStream>>),
}

impl SiteStream {
    /// A connection that was just accepted.
    pub(super) fn new(stream: PatientStream, tls: Option<&ServerTls>) -> Self {
        let Some(tls) = tls else { return Self::Plain(stream) };
        let deadline = Box::pin(tokio::time::sleep(Duration::from_millis(HANDSHAKE_MS_MAX)));
        Self::Handshake(Box::new(tls.acceptor().accept(stream)), deadline)
    }

    /// What lets the connection be silent; of one that is in its handshake nobody may ask for that yet.
    pub(super) fn patience(&self) -> Patience {
        match self {
            Self::Plain(stream) => stream.patience(),
            Self::Handshake(accept, _) => accept.get_ref().map(PatientStream::patience).unwrap_or_default(),
            Self::Encrypted(stream) => stream.get_ref().0.patience(),
        }
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self::Handshake(accept, deadline) = self else { return Poll::Ready(Ok(())) };
        match Pin::new(&mut **accept).poll(context) {
            Poll::Ready(Ok(stream)) => {
                *self = Self::Encrypted(Box::new(stream));
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => {
                tracing::debug!("a TLS handshake failed: {error}");
                Poll::Ready(Err(error))
            }
            Poll::Pending => {
                ready!(deadline.as_mut().poll(context));
                Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the TLS handshake took too long")))
            }
        }
    }
}

impl AsyncRead for SiteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_ready(context))?;
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Handshake(..) => unreachable!("a connection that is ready is past its handshake"),
        }
    }
}

impl AsyncWrite for SiteStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_ready(context))?;
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Handshake(..) => unreachable!("a connection that is ready is past its handshake"),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(context),
            // Nothing was written that could wait.
            Self::Handshake(..) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
            // Dropping the connection closes it; there is nobody to say goodbye to.
            Self::Handshake(..) => Poll::Ready(Ok(())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_ready(context))?;
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Encrypted(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Handshake(..) => unreachable!("a connection that is ready is past its handshake"),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Encrypted(stream) => stream.is_write_vectored(),
            // Asked once, before the handshake: what follows takes both.
            Self::Handshake(..) => true,
        }
    }
}

fn read(certificate_file: &Path, key_file: &Path) -> Result<Arc<ServerConfig>, CentralError> {
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read_limited(certificate_file)?)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(certificate_file, &error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong(certificate_file, "it holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(&read_limited(key_file)?)
        .map_err(|error| wrong(key_file, &format!("it holds no private key that can be used: {error}")))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks the usual versions of TLS")
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|error| wrong(certificate_file, &format!("with the key of {}: {error}", key_file.display())))?;
    Ok(Arc::new(config))
}

fn read_limited(path: &Path) -> Result<Vec<u8>, CentralError> {
    use std::io::Read as _;

    let unreadable = |error: Error| {
        let message = format!("{} cannot be read: {error}", path.display());
        let advice = "Correct certificate_file and key_file under [tls] in central.toml, or who may read the files.";
        CentralError::new("tls_file_unreadable", message, advice, Exit::Config)
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(TLS_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > TLS_FILE_BYTES_MAX {
        return Err(wrong(path, &format!("it has more than {TLS_FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn wrong(path: &Path, reason: &str) -> CentralError {
    let message = format!("{} cannot be used: {reason}", path.display());
    let advice = "certificate_file holds central's certificate and then those that lead to the authority; key_file its private \
                  key. Both are PEM.";
    CentralError::new("tls_file_wrong", message, advice, Exit::Config)
}

#[cfg(test)]
mod tests {
    use axum::serve::Listener as _;
    use tokio::io::AsyncReadExt as _;

    use super::super::PatientListener;
    use super::*;

    fn files(folder: &Path) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (certificate, key)
    }

    #[test]
    fn files_that_are_missing_swapped_or_of_two_pairs_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = files(folder.path());
        let other = tempfile::tempdir().unwrap();
        let (_, other_key) = files(other.path());
        let code = |certificate: &Path, key: &Path| ServerTls::open(certificate, key).err().map(|error| error.code);

        assert_eq!(code(&certificate, &key), None);
        assert_eq!(code(&folder.path().join("missing"), &key).as_deref(), Some("tls_file_unreadable"));
        assert_eq!(code(&key, &certificate).as_deref(), Some("tls_file_wrong"));
        assert_eq!(code(&certificate, &other_key).as_deref(), Some("tls_file_wrong"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_does_not_begin_ends_with_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = files(folder.path());
        let tls = Arc::new(ServerTls::open(&certificate, &key).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _silent = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut listener = PatientListener::new(listener, 1, 10 * HANDSHAKE_MS_MAX, Some(tls));
        let (mut stream, _) = listener.accept().await;
        let nearly = Duration::from_millis(HANDSHAKE_MS_MAX - 1000);
        assert!(tokio::time::timeout(nearly, stream.read_u8()).await.is_err(), "it has its time");

        let error = stream.read_u8().await.unwrap_err();

        assert_eq!(error.to_string(), "the TLS handshake took too long");
    }

    #[test]
    fn a_reload_of_bad_files_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = files(folder.path());
        let tls = ServerTls::open(&certificate, &key).unwrap();
        let before = Arc::clone(&tls.config.read().unwrap());
        std::fs::write(&certificate, "no certificate").unwrap();

        assert_eq!(tls.reload().unwrap_err().code, "tls_file_wrong");
        assert!(Arc::ptr_eq(&before, &tls.config.read().unwrap()));

        files(folder.path());
        tls.reload().unwrap();
        assert!(!Arc::ptr_eq(&before, &tls.config.read().unwrap()));
    }
}
