//! The certificate that clients are shown: the one that the settings name, or one that the agent makes for itself and keeps.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::chain::hash_of;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::ParsedCertificate;

use super::self_signed::self_signed;
use crate::config::ClientsSettings;
use crate::data_folder::Layout;
use crate::durable_file::{self, FileError};
use crate::entropy;
use crate::error::Explained;
use crate::exit::Exit;
use crate::hex;

/// Largest file of certificates or of a key, in bytes: a chain of three has 6 kB.
const FILE_BYTES_MAX: usize = 64 * 1024;
/// Characters of a line of PEM.
const PEM_COLUMNS: usize = 64;

/// See the module.
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    place: PathBuf,
}

impl ClientCertificate {
    /// The one of the settings; else the one of the data folder, which is made for these names if it is not there. It is never made anew
    /// by itself: the machines know its fingerprint.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn open_or_make(layout: &Layout, settings: &ClientsSettings) -> Result<Self, CertificateError> {
        let certificate = match &settings.certificate {
            Some((certificate, key)) => Self::of_files(certificate, key)?,
            None => Self::own(layout, &settings.all_names())?,
        };
        for name in certificate.unnamed(&settings.all_names()) {
            log::warn!(
                "the certificate that clients are shown does not name {name}, and those that look for it there refuse it path={}",
                certificate.place.display()
            );
        }
        Ok(certificate)
    }

    /// SHA-256 of the certificate in hexadecimal, by which a machine knows it.
    pub fn fingerprint(&self) -> String {
        self.chain.first().map(|first| hex::text(&hash_of(first).0)).unwrap_or_default()
    }

    /// The certificates as PEM.
    pub fn pem(&self) -> String {
        self.chain.iter().map(|certificate| pem(certificate)).collect()
    }

    /// How TLS is spoken with it.
    pub(super) fn server_config(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks the usual versions of TLS")
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(|error| wrong(&self.place, &format!("with its key: {error}")))?;
        Ok(Arc::new(config))
    }

    fn of_files(certificate_file: &Path, key_file: &Path) -> Result<Self, CertificateError> {
        let bytes = durable_file::read_small(certificate_file, FILE_BYTES_MAX)?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(certificate_file, &error.to_string()))?;
        if chain.is_empty() {
            return Err(wrong(certificate_file, "it holds no certificate"));
        }
        let missing = || wrong(key_file, "it is not there");
        let bytes = durable_file::read_private(key_file, FILE_BYTES_MAX)?.ok_or_else(missing)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes)
            .map_err(|error| wrong(key_file, &format!("it holds no private key that can be used: {error}")))?;
        Self { chain, key, place: certificate_file.to_path_buf() }.checked()
    }

    fn own(layout: &Layout, names: &[String]) -> Result<Self, CertificateError> {
        let (certificate_file, key_file) = (layout.client_certificate(), layout.client_key());
        let certificate = durable_file::read_private(&certificate_file, FILE_BYTES_MAX)?;
        let key = durable_file::read_private(&key_file, FILE_BYTES_MAX)?;
        let (certificate, key) = match (certificate, key) {
            (Some(certificate), Some(key)) => (certificate.to_vec(), key),
            // A power cut between the two leaves a key alone, which nobody was shown.
            (None, _) => {
                let made = self_signed(names, entropy::bytes());
                durable_file::replace_private(&key_file, &made.key)?;
                durable_file::replace_private(&certificate_file, &made.certificate)?;
                log::info!("a certificate for clients was made path={}", certificate_file.display());
                (made.certificate, made.key)
            }
            (Some(_), None) => return Err(wrong(&key_file, "it is not there, and the certificate beside it is")),
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec()));
        Self { chain: vec![CertificateDer::from(certificate)], key, place: certificate_file }.checked()
    }

    fn checked(self) -> Result<Self, CertificateError> {
        self.server_config().map(|_| self)
    }

    /// Those of some names that the certificate does not hold for.
    fn unnamed(&self, names: &[String]) -> Vec<String> {
        let parsed = self.chain.first().and_then(|first| ParsedCertificate::try_from(first).ok());
        let is_named = |name: &String| {
            let server = ServerName::try_from(name.clone()).ok();
            let checked = parsed.as_ref().zip(server.as_ref());
            checked.is_some_and(|(parsed, server)| rustls::client::verify_server_name(parsed, server).is_ok())
        };
        names.iter().filter(|name| !is_named(name)).cloned().collect()
    }
}

fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in text.as_bytes().chunks(PEM_COLUMNS) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

fn wrong(path: &Path, reason: &str) -> CertificateError {
    CertificateError::Wrong { path: path.to_path_buf(), reason: reason.to_owned() }
}

/// A certificate that cannot be shown.
#[derive(Debug)]
pub enum CertificateError {
    /// A file holds something else.
    Wrong {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file cannot be used.
    File(FileError),
}

impl From<FileError> for CertificateError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl Explained for CertificateError {
    fn code(&self) -> &str {
        match self {
            Self::Wrong { .. } => "client_certificate",
            Self::File(error) => error.code(),
        }
    }

    fn advice(&self) -> &str {
        match self {
            Self::Wrong { .. } => {
                "certificate_file under [clients] holds the certificate and then those that lead to the authority, key_file its private \
                 key, both as PEM. Without these settings the agent makes both, clients.certificate and clients.key in the data folder; \
                 remove both to have them made anew, and tell the machines the new fingerprint."
            }
            Self::File(error) => error.advice(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Wrong { .. } => Exit::Config,
            Self::File(error) => error.exit(),
        }
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong { path, reason } => write!(formatter, "{} cannot be used: {reason}", path.display()),
            Self::File(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for CertificateError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(names: &[&str]) -> ClientsSettings {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        ClientsSettings { listen: Some("192.0.2.7:8443".parse().unwrap()), names, certificate: None }
    }

    #[test]
    fn it_is_made_once_and_kept_for_the_owner_alone_whatever_the_settings_say_later() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::of(folder.path());

        let made = ClientCertificate::open_or_make(&layout, &settings(&["server.example"])).unwrap();
        let again = ClientCertificate::open_or_make(&layout, &settings(&["other.example"])).unwrap();

        assert_eq!(made.fingerprint(), again.fingerprint());
        assert_eq!(made.unnamed(&settings(&["server.example"]).all_names()), Vec::<String>::new());
        assert_eq!(again.unnamed(&settings(&["other.example"]).all_names()), ["other.example"]);
        for file in [layout.client_key(), layout.client_certificate()] {
            assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o7777, 0o600);
        }
        std::fs::remove_file(layout.client_key()).unwrap();
        let error = ClientCertificate::open_or_make(&layout, &settings(&[])).err().unwrap();
        assert_eq!(error.code(), "client_certificate");
        std::fs::remove_file(layout.client_certificate()).unwrap();
        let anew = ClientCertificate::open_or_make(&layout, &settings(&[])).unwrap();
        assert_ne!(anew.fingerprint(), made.fingerprint());
    }

    #[test]
    fn files_of_the_settings_are_shown_or_named_with_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            durable_file::replace_private(&path, text.as_bytes()).unwrap();
            path
        };
        let made = rcgen::generate_simple_self_signed(["server.example".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["server.example".to_owned()]).unwrap();
        let certificate = file("certificate.pem", &made.cert.pem());
        let key = file("key.pem", &made.signing_key.serialize_pem());
        let other_key = file("other.pem", &other.signing_key.serialize_pem());
        let open = |certificate: &Path, key: &Path| {
            let certificate = Some((certificate.to_path_buf(), key.to_path_buf()));
            let settings = ClientsSettings { certificate, ..settings(&[]) };
            ClientCertificate::open_or_make(&Layout::of(folder.path()), &settings)
        };
        let code = |certificate: &Path, key: &Path| open(certificate, key).err().map(|error| error.code().to_owned());

        let opened = open(&certificate, &key).unwrap();
        assert_eq!(opened.fingerprint(), hex::text(&hash_of(made.cert.der()).0));
        assert_eq!(opened.pem().replace(['\r', '\n'], ""), made.cert.pem().replace(['\r', '\n'], ""));
        assert_eq!(code(&certificate, &other_key).as_deref(), Some("client_certificate"));
        assert_eq!(code(&key, &certificate).as_deref(), Some("client_certificate"));
        assert_eq!(code(&certificate, &folder.path().join("absent")).as_deref(), Some("client_certificate"));
        assert_eq!(code(&folder.path().join("absent"), &key).as_deref(), Some("disk_error"));
    }
}
