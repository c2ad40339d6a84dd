//! A question to a name server and its answer, as bytes (RFC 1035, 4.1).

use std::io::{Error as IoError, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::entropy;

/// Longest name, in bytes, and longest piece of it between two points (RFC 1035, 2.3.4).
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;
/// Addresses that are taken from one answer; ureq keeps 16 in all.
const ADDRESSES_MAX: usize = 8;
/// Records of one answer that are looked at.
const RECORDS_MAX: u16 = 64;

const HEAD_BYTES: usize = 12;
/// The class of the internet.
const CLASS: u16 = 1;
/// Asks the server to ask others where it does not know.
const RECURSION: u8 = 1;
/// The bit of an answer, and the one that says that it was cut, in the third byte of the head.
const IS_ANSWER: u8 = 0x80;
const IS_CUT: u8 = 0x02;
/// A name goes on elsewhere in the message.
const POINTER: u8 = 0xC0;
/// The server's word for a name that is not there.
const NO_SUCH_NAME: u8 = 3;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ipv4,
    Ipv6,
}

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// These; none if there is no such name, or none of this kind.
    Addresses(Vec<IpAddr>),
    /// More than a datagram holds: to be asked for by TCP.
    TooLarge,
}

/// A question with its number.
#[derive(Debug)]
pub(super) struct Question {
    bytes: Vec<u8>,
    kind: Kind,
}

impl Kind {
    const fn number(self) -> u16 {
        match self {
            Self::Ipv4 => 1,
            Self::Ipv6 => 28,
        }
    }
}

impl Question {
    /// Asks for the addresses of a host.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name that the system of names cannot have.
    pub(super) fn of(host: &str, kind: Kind) -> Result<Self, IoError> {
        let name = host.strip_suffix('.').unwrap_or(host);
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(ErrorKind::InvalidInput.into());
        }
        let [high, low] = entropy::bytes::<2>();
        let mut bytes = vec![high, low, RECURSION, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            let length =
                u8::try_from(label.len()).ok().filter(|length| (1..=LABEL_BYTES_MAX).contains(&usize::from(*length)));
            bytes.push(length.ok_or(ErrorKind::InvalidInput)?);
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend(kind.number().to_be_bytes());
        bytes.extend(CLASS.to_be_bytes());
        Ok(Self { bytes, kind })
    }

    /// What is sent.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads an answer; `None` if it is not one to this question.
    ///
    /// An alias is not followed by name: a server that was asked to ask others puts the addresses at its end into the same answer.
    pub(super) fn read(&self, message: &[u8]) -> Option<Result<Answer, IoError>> {
        let head: &[u8; HEAD_BYTES] = message.first_chunk()?;
        let [id_high, id_low, flags, code, 0, 1, count_high, count_low, ..] = *head else { return None };
        let asked = self.bytes.get(HEAD_BYTES..)?;
        let answered = message.get(HEAD_BYTES..self.bytes.len())?;
        if !self.bytes.starts_with(&[id_high, id_low])
            || flags & IS_ANSWER == 0
            || !asked.eq_ignore_ascii_case(answered)
        {
            return None;
        }
        Some(match code & 0x0F {
            NO_SUCH_NAME => Ok(Answer::Addresses(Vec::new())),
            0 if flags & IS_CUT != 0 => Ok(Answer::TooLarge),
            0 => {
                let records = u16::from_be_bytes([count_high, count_low]).min(RECORDS_MAX);
                let rest = message.get(self.bytes.len()..).unwrap_or_default();
                self.addresses(rest, records).map(Answer::Addresses).ok_or_else(|| ErrorKind::InvalidData.into())
            }
            // It cannot, or does not want to: another one may.
            _ => Err(ErrorKind::ConnectionRefused.into()),
        })
    }

    /// The addresses among so many records; `None` if they are cut off.
    fn addresses(&self, mut rest: &[u8], records: u16) -> Option<Vec<IpAddr>> {
        let mut addresses = Vec::new();
        for _ in 0..records {
            rest = after_name(rest)?;
            let (fixed, after) = rest.split_first_chunk::<10>()?;
            let [kind_high, kind_low, class_high, class_low, _, _, _, _, length_high, length_low] = *fixed;
            let length = usize::from(u16::from_be_bytes([length_high, length_low]));
            let (data, after) = after.split_at_checked(length)?;
            rest = after;
            let is_asked_for = u16::from_be_bytes([kind_high, kind_low]) == self.kind.number()
                && u16::from_be_bytes([class_high, class_low]) == CLASS;
            if is_asked_for && addresses.len() < ADDRESSES_MAX {
                addresses.push(match self.kind {
                    Kind::Ipv4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?)),
                    Kind::Ipv6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?)),
                });
            }
        }
        Some(addresses)
    }
}

/// What follows a name. Where it points is not looked at, so no chain of pointers has to end.
fn after_name(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (length, after) = rest.split_first()?;
        match length {
            0 => return Some(after),
            length if length & POINTER == POINTER => return after.get(1..),
            length if usize::from(*length) <= LABEL_BYTES_MAX => rest = after.get(usize::from(*length)..)?,
            _ => return None,
        }
    }
}
