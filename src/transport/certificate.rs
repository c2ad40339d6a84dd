//! What a person wants to know of a certificate: who issued it, and until when it holds (RFC 5280, section 4.1). Read only after
//! it was verified; what cannot be read is simply not told.

use super::error::plain;
use crate::date::days_to;

/// Longest name of an issuer that is told, in bytes.
const ISSUER_BYTES_MAX: usize = 128;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The explicit tag 0 of the version.
const VERSION: u8 = 0xa0;
/// Object identifiers 2.5.4.3 and 2.5.4.10: common name and organisation.
const NAME_KINDS: [&[u8]; 2] = [&[0x55, 4, 3], &[0x55, 4, 10]];

/// A certificate, as people look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The issuer's common name, else its organisation; empty if it has neither.
    pub issuer: String,
    /// The last moment at which it holds, in milliseconds since 1970.
    pub valid_until_ms: u64,
}

impl CertificateFacts {
    /// Reads a certificate in DER.
    pub fn of_der(certificate: &[u8]) -> Option<Self> {
        let mut signed = Der(Der(certificate).take(SEQUENCE)?).take(SEQUENCE).map(Der)?;
        if signed.0.first() == Some(&VERSION) {
            signed.take(VERSION)?;
        }
        signed.take(INTEGER)?;
        let _algorithm = signed.take(SEQUENCE)?;
        let issuer = signed.take(SEQUENCE)?;
        let mut validity = Der(signed.take(SEQUENCE)?);
        let _valid_from = validity.any()?;
        let (kind, time) = validity.any()?;
        Some(Self { issuer: name_of(issuer), valid_until_ms: time_ms(kind, time)? })
    }
}

/// Bytes in DER, from which one value after the other is taken.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // Larger lengths than 64 KiB are in no certificate.
            0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
            0x82 => {
                rest.split_first_chunk::<2>().map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.any().filter(|(found, _)| *found == tag).map(|(_, value)| value)
    }
}

fn name_of(issuer: &[u8]) -> String {
    let found = NAME_KINDS.iter().find_map(|kind| attribute(issuer, kind));
    found.map(|name| plain(&String::from_utf8_lossy(name), ISSUER_BYTES_MAX)).unwrap_or_default()
}

fn attribute<'a>(name: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut name = Der(name);
    while let Some(set) = name.take(SET) {
        let mut pair = Der(set).take(SEQUENCE).map(Der)?;
        let (_, kind) = pair.any()?;
        let (_, value) = pair.any()?;
        if kind == wanted {
            return Some(value);
        }
    }
    None
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`. Two digits of a year from 50 on are of the last century.
fn time_ms(kind: u8, text: &[u8]) -> Option<u64> {
    let text = str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match kind {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: u64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => text.split_at_checked(4).and_then(|(year, rest)| Some((year.parse().ok()?, rest)))?,
        _ => return None,
    };
    let mut rest = rest;
    let mut two_digits = || {
        let (digits, others) = rest.split_at_checked(2)?;
        rest = others;
        digits.parse::<u64>().ok()
    };
    let (month, day) = (two_digits()?, two_digits()?);
    let (hour, minute, second) = (two_digits()?, two_digits()?, two_digits()?);
    let days = days_to(year, month, day)?;
    Some(1000 * (86_400 * days + 3600 * hour + 60 * minute + second))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;
    use crate::date::date_text;

    fn certificate(year: i32, name: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 3, 9);
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in name {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn issuer_and_end_of_a_certificate_are_told() {
        for (year, name, issuer) in [
            (2031, &[(DnType::CountryName, "NZ"), (DnType::CommonName, "The authority")][..], "The authority"),
            (2049, &[(DnType::OrganizationName, "The ministry")], "The ministry"),
            (2051, &[], ""),
        ] {
            let facts = CertificateFacts::of_der(&certificate(year, name)).unwrap();

            assert_eq!(date_text(facts.valid_until_ms), format!("{year}-03-09T00:00:00Z"));
            assert_eq!(facts.issuer, issuer);
        }
    }

    #[test]
    fn a_certificate_that_is_cut_or_altered_at_any_byte_is_read_without_a_panic() {
        let whole = certificate(2031, &[(DnType::CommonName, "The authority")]);
        for at in 0..whole.len() {
            let _ = CertificateFacts::of_der(&whole[..at]);
            for bit in 0..8 {
                let mut altered = whole.clone();
                altered[at] ^= 1 << bit;
                let _ = CertificateFacts::of_der(&altered);
            }
        }
        assert_eq!(CertificateFacts::of_der(b""), None);
    }
}
