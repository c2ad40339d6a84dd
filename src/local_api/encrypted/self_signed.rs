//! A certificate that signs itself (RFC 5280), for machines that are told its fingerprint. Written by hand with what TLS has linked
//! already: a library for it would bring a writer of DER and its own times and names to the device, for one certificate in its life.
//!
//! The key is of P-256, because browsers take no certificate of an ed25519 key such as the site's own. It holds for ever: its fingerprint
//! vouches for it and no clock, of which the machines of a site have no good one.

use std::net::IpAddr;

use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{SignatureScheme, sign::SigningKey};
use zeroize::Zeroizing;

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// Explicit tags of the version and of the extensions.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// Tags of a name of the DNS and of an address among the alternative names.
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// ecdsa-with-SHA256, 1.2.840.10045.4.3.2.
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// The common name, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// Key usage, alternative names, basic constraints and extended key usage, 2.5.29.{15,17,19,37}.
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
/// serverAuth, 1.3.6.1.5.5.7.3.1.
const SERVER: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
/// The first of the bits of a key's usage: digital signature; the seven behind it are not there.
const DIGITAL_SIGNATURE: &[u8] = &[7, 0x80];
/// What the certificate is called.
const SUBJECT: &str = "outpost agent";
/// What RFC 5280 writes for "no end".
const NO_END: &[u8] = b"99991231235959Z";
/// 1970, so that it holds for a machine whose clock was lost.
const BEGIN: &[u8] = b"700101000000Z";

/// A certificate and its key.
pub(super) struct SelfSigned {
    /// In DER.
    pub(super) certificate: Vec<u8>,
    /// In DER of PKCS 8.
    pub(super) key: Zeroizing<Vec<u8>>,
}

/// Makes a key and its certificate for names and addresses. `serial`: random, so that no two certificates have the same.
///
/// # Panics
/// If the system has no random source, as [`crate::entropy::bytes`].
pub(super) fn self_signed(names: &[String], serial: [u8; 16]) -> SelfSigned {
    let random = ring::rand::SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
        .expect("every system that the agent is built for has a random source that does not run dry");
    let key = Zeroizing::new(document.as_ref().to_vec());
    let signing = any_ecdsa_type(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_slice())))
        .expect("a key that was just made can be used");
    let signed = to_be_signed(names, serial, &*signing);
    let scheme = signing.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]).expect("a key of P-256 signs so");
    let signature = scheme.sign(&signed).expect("signing needs nothing but random bytes");
    let certificate = value(SEQUENCE, &[&signed, &algorithm(), &bits(&signature)]);
    SelfSigned { certificate, key }
}

fn to_be_signed(names: &[String], serial: [u8; 16], key: &dyn SigningKey) -> Vec<u8> {
    let [first, rest @ ..] = serial;
    // Positive, and no longer than its bytes say.
    let serial = value(INTEGER, &[&[first & 0x7f | 0x40], &rest]);
    let name = name();
    let validity = value(SEQUENCE, &[&value(UTC_TIME, &[BEGIN]), &value(GENERALIZED_TIME, &[NO_END])]);
    let public_key = key.public_key().expect("a key of P-256 has its public half");
    let extensions = value(EXTENSIONS, &[&value(SEQUENCE, &[&extensions(names)])]);
    let version = value(VERSION, &[&value(INTEGER, &[&[2]])]);
    value(SEQUENCE, &[&version, &serial, &algorithm(), &name, &validity, &name, public_key.as_ref(), &extensions])
}

fn algorithm() -> Vec<u8> {
    value(SEQUENCE, &[&value(OBJECT_IDENTIFIER, &[ECDSA_WITH_SHA256])])
}

fn name() -> Vec<u8> {
    let kind = value(OBJECT_IDENTIFIER, &[COMMON_NAME]);
    let pair = value(SEQUENCE, &[&kind, &value(UTF8_STRING, &[SUBJECT.as_bytes()])]);
    value(SEQUENCE, &[&value(SET, &[&pair])])
}

fn extensions(names: &[String]) -> Vec<u8> {
    let server = value(SEQUENCE, &[&value(OBJECT_IDENTIFIER, &[SERVER])]);
    let names: Vec<u8> = names.iter().flat_map(|name| alternative_name(name)).collect();
    [
        // An authority could vouch for other machines.
        extension(BASIC_CONSTRAINTS, true, &value(SEQUENCE, &[])),
        extension(KEY_USAGE, true, &value(BIT_STRING, &[DIGITAL_SIGNATURE])),
        extension(EXTENDED_KEY_USAGE, false, &server),
        extension(ALTERNATIVE_NAMES, false, &value(SEQUENCE, &[&names])),
    ]
    .concat()
}

fn extension(kind: &[u8], is_critical: bool, content: &[u8]) -> Vec<u8> {
    let critical = if is_critical { value(BOOLEAN, &[&[0xff]]) } else { Vec::new() };
    value(SEQUENCE, &[&value(OBJECT_IDENTIFIER, &[kind]), &critical, &value(OCTET_STRING, &[content])])
}

fn alternative_name(name: &str) -> Vec<u8> {
    match name.parse() {
        Ok(IpAddr::V4(address)) => value(IP_ADDRESS, &[&address.octets()]),
        Ok(IpAddr::V6(address)) => value(IP_ADDRESS, &[&address.octets()]),
        Err(_) => value(DNS_NAME, &[name.as_bytes()]),
    }
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    // No bit of the last byte is left out.
    value(BIT_STRING, &[&[0], bytes])
}

/// Tag, length and content of one value of DER.
fn value(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let length: usize = content.iter().map(|part| part.len()).sum();
    let mut bytes = vec![tag];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..0x80), _) => bytes.push(short),
        (Ok(one), _) => bytes.extend([0x81, one]),
        (_, Ok(two)) => {
            bytes.push(0x82);
            bytes.extend(two.to_be_bytes());
        }
        _ => unreachable!("a certificate with a handful of names is far below 64 KiB"),
    }
    for part in content {
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{RootCertStore, client::WebPkiServerVerifier, client::danger::ServerCertVerifier as _};

    use super::*;

    fn made(names: &[&str]) -> SelfSigned {
        self_signed(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), [0xff; 16])
    }

    /// As a client that was given the certificate verifies what it is shown.
    fn verifies(trusted: &[u8], shown: &[u8], name: &str, now_s: u64) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(trusted.to_vec())).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now_s));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(&CertificateDer::from(shown), &[], &name, &[], now).is_ok()
    }

    #[test]
    fn it_is_taken_for_its_names_and_addresses_at_any_time_and_for_no_other() {
        let made = made(&["192.168.1.7", "fd00::7", "server.clinic.example"]);
        let is_taken = |name: &str, now_s: u64| verifies(&made.certificate, &made.certificate, name, now_s);

        for now_s in [0, 1_800_000_000, 32_503_680_000] {
            for name in ["192.168.1.7", "fd00::7", "server.clinic.example", "SERVER.clinic.example"] {
                assert!(is_taken(name, now_s), "{name} {now_s}");
            }
        }
        for name in ["192.168.1.8", "clinic.example", "other.example"] {
            assert!(!is_taken(name, 1_800_000_000), "{name}");
        }
        let other = self::made(&["192.168.1.7"]);
        assert!(!verifies(&other.certificate, &made.certificate, "192.168.1.7", 1_800_000_000));
    }

    #[test]
    fn many_names_make_longer_lengths() {
        let names: Vec<String> = (0..9).map(|number| format!("{number}.{}", "x".repeat(60))).collect();
        let few = self_signed(names.get(..2).unwrap(), [0; 16]);
        let many = self_signed(&names, [0; 16]);

        assert!(verifies(&few.certificate, &few.certificate, &names[1], 0));
        assert!(many.certificate.len() > 700);
        assert!(verifies(&many.certificate, &many.certificate, &names[8], 0));
    }

    #[test]
    fn what_is_told_of_certificates_can_be_told_of_it() {
        let facts = crate::transport::CertificateFacts::of_der(&made(&["x"]).certificate).unwrap();

        assert_eq!(facts.issuer, SUBJECT);
        assert_eq!(crate::date::date_text(facts.valid_until_ms), "9999-12-31T23:59:59Z");
    }
}
