//! Certificates that a test makes for itself, and an authority that issues them.

use std::sync::OnceLock;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// An authority of a test's own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key, both as PEM.
pub struct Certificate {
    /// The certificate.
    pub pem: String,
    /// Its private key.
    pub key_pem: String,
}

/// A year, a month and a day.
pub type Day = (i32, u8, u8);

/// Days between which a certificate holds whenever the test runs.
pub const LONG: (Day, Day) = ((2020, 1, 1), (2090, 1, 1));

/// The authority that agents trust wherever a test says nothing else.
pub fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::new("The tests"))
}

/// A certificate for this machine as `openssl req -x509` makes it: its own authority.
pub fn self_signed() -> Certificate {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Certificate { pem, key_pem: key.serialize_pem() }
}

impl Authority {
    /// An authority that nobody trusts yet.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Its own certificate, as `central.ca_file` takes it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for names and addresses that holds for a long time.
    pub fn certify(&self, names: &[&str]) -> Certificate {
        self.certify_between(names, LONG)
    }

    /// A certificate that holds between two days.
    pub fn certify_between(&self, names: &[&str], (from, until): (Day, Day)) -> Certificate {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Certificate { pem, key_pem: key.serialize_pem() }
    }
}
