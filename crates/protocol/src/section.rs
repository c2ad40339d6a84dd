//! Signed sections: the envelope of everything that crosses the wire (rule 5.6; `docs/wire-format.md`, "Section").
//!
//! | field | bytes | |
//! | --- | --- | --- |
//! | kind | 1 | see [`Kind`] |
//! | length | 4 | of the body, little-endian |
//! | checksum | 4 | CRC-32 of the body, little-endian |
//! | signature | 64 | ed25519 over [`signed_message`] |
//! | body | length | |
//!
//! Order of checks: size (before anything is kept), signature, checksum, and only then is a body unpacked.

use alloc::vec::Vec;
use core::fmt;

use crate::edge::{Signature, Signer, Verifier};
use crate::ids::{Hash, PublicKey, SiteId};
use crate::limits;

/// Bytes before a section's body.
pub const HEADER_BYTES: usize = 73;

/// What a section holds; part of what is signed, so that one kind can never pass for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A site's request head. Context hash: none.
    RequestHead,
    /// A frame of journal entries. Context hash: none, because frames also travel by stick.
    Frame,
    /// A part of a frame that is larger than the link carries at once. Context hash: none.
    FramePart,
    /// Central's reply head. Context hash: of the request head.
    ReplyHead,
    /// A page of a lane. Context hash: of the request head.
    Page,
    /// Central refuses the request. Context hash: of the request head.
    Refusal,
    /// A site asks whether it would be taken up. Context hash: none.
    CheckHead,
    /// Central's answer to that. Context hash: of the question's head.
    CheckAnswer,
    /// A site compares what it has. Context hash: none.
    VerifyQuestion,
    /// Central's answer to that. Context hash: of the question.
    VerifyAnswer,
    /// What an export of a site holds. Context hash: none.
    ExportHead,
    /// A page of an export. Context hash: of the export's head.
    ExportPage,
    /// A site asks to be told once something waits for it. Context hash: none.
    NewsQuestion,
    /// Central's answer to that. Context hash: of the question.
    NewsAnswer,
}

impl Kind {
    /// Most bytes that a body of this kind may have.
    pub const fn body_bytes_max(self) -> usize {
        match self {
            Self::RequestHead => limits::HEAD_BYTES_MAX,
            Self::Frame | Self::FramePart => limits::SECTION_BYTES_MAX,
            Self::ReplyHead => limits::REPLY_HEAD_BYTES_MAX,
            Self::Page | Self::ExportPage => limits::PAGE_PLAIN_BYTES_MAX,
            Self::Refusal => 4 * limits::REASON_BYTES_MAX,
            Self::CheckHead | Self::CheckAnswer => limits::CHECK_BYTES_MAX,
            Self::VerifyQuestion => limits::VERIFY_QUESTION_BYTES_MAX,
            Self::VerifyAnswer => limits::VERIFY_ANSWER_BYTES_MAX,
            Self::ExportHead => limits::EXPORT_HEAD_BYTES_MAX,
            Self::NewsQuestion | Self::NewsAnswer => limits::NEWS_BYTES_MAX,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::RequestHead => 1,
            Self::Frame => 2,
            Self::FramePart => 3,
            Self::ReplyHead => 4,
            Self::Page => 5,
            Self::Refusal => 6,
            Self::CheckHead => 7,
            Self::CheckAnswer => 8,
            Self::VerifyQuestion => 9,
            Self::VerifyAnswer => 10,
            Self::ExportHead => 11,
            Self::ExportPage => 12,
            Self::NewsQuestion => 13,
            Self::NewsAnswer => 14,
        }
    }

    const fn of_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::RequestHead,
            2 => Self::Frame,
            3 => Self::FramePart,
            4 => Self::ReplyHead,
            5 => Self::Page,
            6 => Self::Refusal,
            7 => Self::CheckHead,
            8 => Self::CheckAnswer,
            9 => Self::VerifyQuestion,
            10 => Self::VerifyAnswer,
            11 => Self::ExportHead,
            12 => Self::ExportPage,
            13 => Self::NewsQuestion,
            14 => Self::NewsAnswer,
            _ => return None,
        })
    }
}

/// What every signature covers beside the body: who talks to whom about what.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Central's public key, pinned by the device at enrolment.
    pub central: PublicKey,
    /// The site that sends or is answered.
    pub site: SiteId,
    /// Hash of the request head for replies, of the export head for its pages, [`Hash::NONE`] otherwise.
    pub context: Hash,
}

/// Builds a section.
///
/// # Panics
/// If the body is above the limit of its kind: whoever builds it keeps to it.
pub fn seal(kind: Kind, binding: &Binding, body: &[u8], signer: &dyn Signer) -> Vec<u8> {
    assert!(body.len() <= kind.body_bytes_max(), "a {kind:?} of {} bytes is above its limit", body.len());
    let length = u32::try_from(body.len()).expect("limits are below 4 GiB");
    let signature = signer.sign(&signed_message(kind, binding, body));
    let mut output = Vec::with_capacity(HEADER_BYTES + body.len());
    output.push(kind.number());
    output.extend_from_slice(&length.to_le_bytes());
    output.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    output.extend_from_slice(&signature.0);
    output.extend_from_slice(body);
    output
}

/// The bytes that a signature is over: a fixed text, kind, central's key, site, context hash, body.
fn signed_message(kind: Kind, binding: &Binding, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(96 + body.len());
    message.extend_from_slice(b"outpost/1");
    message.push(kind.number());
    message.extend_from_slice(&binding.central.0);
    message.extend_from_slice(&binding.site.0.to_le_bytes());
    message.extend_from_slice(&binding.context.0);
    message.extend_from_slice(body);
    message
}

/// A section that is complete but not checked: only its size is known to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    kind: Kind,
    checksum: u32,
    signature: Signature,
    body: Vec<u8>,
}

impl Sealed {
    /// What it says it holds.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The body before any check, for the one field that finds the key: the site in a request head.
    pub fn unchecked_body(&self) -> &[u8] {
        &self.body
    }

    /// Checks signature, then checksum, and gives the body.
    ///
    /// # Errors
    /// [`SectionError::Signature`], [`SectionError::Checksum`].
    pub fn open(&self, binding: &Binding, key: &PublicKey, verifier: &dyn Verifier) -> Result<&[u8], SectionError> {
        if !verifier.verify(key, &signed_message(self.kind, binding, &self.body), &self.signature) {
            return Err(SectionError::Signature { kind: self.kind });
        }
        if crc32fast::hash(&self.body) != self.checksum {
            return Err(SectionError::Checksum { kind: self.kind });
        }
        Ok(&self.body)
    }
}

/// A section that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionError {
    /// The first byte is no kind: what answers is not an outpost program.
    Kind {
        /// What was found.
        number: u8,
    },
    /// The length is above the limit of the kind.
    Size {
        /// What kind of section.
        kind: Kind,
        /// What its header says, in bytes.
        bytes: usize,
    },
    /// Signed by another key, for another site or request, or altered.
    Signature {
        /// What kind of section.
        kind: Kind,
    },
    /// The checksum does not fit the body.
    Checksum {
        /// What kind of section.
        kind: Kind,
    },
}

impl fmt::Display for SectionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind { number } => {
                write!(
                    formatter,
                    "a section begins with {number}, which is no kind of section: something else answered"
                )
            }
            Self::Size { kind, bytes } => {
                write!(formatter, "a {kind:?} of {bytes} bytes is above the limit of {}", kind.body_bytes_max())
            }
            Self::Signature { kind } => write!(formatter, "the signature of a {kind:?} is not right"),
            Self::Checksum { kind } => write!(formatter, "the checksum of a {kind:?} is not right"),
        }
    }
}

impl core::error::Error for SectionError {}

/// Cuts a stream of bytes, fed in pieces of any size, into sections.
#[derive(Debug, Default)]
pub struct SectionReader {
    buffer: Vec<u8>,
    read: usize,
}

impl SectionReader {
    /// Adds bytes as they came.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.read > 0 && self.read == self.buffer.len() {
            self.buffer.clear();
            self.read = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete section, or `None` until more bytes come.
    ///
    /// # Errors
    /// [`SectionError::Kind`] or [`SectionError::Size`]: the stream is of no use from here on.
    pub fn next_section(&mut self) -> Result<Option<Sealed>, SectionError> {
        let rest = self.buffer.get(self.read..).unwrap_or_default();
        let Some((number, rest)) = rest.split_first() else { return Ok(None) };
        let kind = Kind::of_number(*number).ok_or(SectionError::Kind { number: *number })?;
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > kind.body_bytes_max() {
            return Err(SectionError::Size { kind, bytes: length });
        }
        let Some((checksum, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let Some((signature, rest)) = rest.split_first_chunk::<64>() else { return Ok(None) };
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let sealed = Sealed {
            kind,
            checksum: u32::from_le_bytes(*checksum),
            signature: Signature(*signature),
            body: body.to_vec(),
        };
        self.read += HEADER_BYTES + length;
        if self.read > limits::FRAME_TARGET_BYTES_MAX as usize {
            self.buffer.drain(..self.read);
            self.read = 0;
        }
        Ok(Some(sealed))
    }

    /// Whether bytes of an incomplete section are held: at the end of a stream that means it was cut.
    pub fn holds_rest(&self) -> bool {
        self.read < self.buffer.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestKey;

    const BINDING: Binding = Binding { central: PublicKey([9; 32]), site: SiteId(3), context: Hash([5; 32]) };

    fn sealed(kind: Kind, body: &[u8]) -> Vec<u8> {
        seal(kind, &BINDING, body, &TestKey(1))
    }

    fn only(bytes: &[u8]) -> Sealed {
        let mut reader = SectionReader::default();
        reader.feed(bytes);
        reader.next_section().unwrap().expect("a whole section")
    }

    #[test]
    fn sections_come_back_from_pieces_of_any_size() {
        let mut bytes = sealed(Kind::RequestHead, b"head");
        bytes.extend(sealed(Kind::Frame, b""));
        for piece in [1, 7, 100, bytes.len()] {
            let mut reader = SectionReader::default();
            let mut bodies = Vec::new();
            for chunk in bytes.chunks(piece) {
                reader.feed(chunk);
                while let Some(section) = reader.next_section().unwrap() {
                    bodies.push((section.kind(), section.body));
                }
            }
            assert_eq!(bodies, [(Kind::RequestHead, b"head".to_vec()), (Kind::Frame, Vec::new())]);
            assert!(!reader.holds_rest());
        }
    }

    #[test]
    fn a_section_opens_only_under_its_own_binding_kind_and_key() {
        let section = only(&sealed(Kind::Page, b"rows"));
        let key = TestKey(1).public_key();

        assert_eq!(section.open(&BINDING, &key, &TestKey(0)), Ok(&b"rows"[..]));
        for binding in [
            Binding { site: SiteId(4), ..BINDING },
            Binding { context: Hash([6; 32]), ..BINDING },
            Binding { central: PublicKey([8; 32]), ..BINDING },
        ] {
            assert_eq!(section.open(&binding, &key, &TestKey(0)), Err(SectionError::Signature { kind: Kind::Page }));
        }
        assert!(section.open(&BINDING, &TestKey(2).public_key(), &TestKey(0)).is_err());
    }

    #[test]
    fn each_flipped_bit_is_noticed() {
        let good = sealed(Kind::Page, b"rows");
        let key = TestKey(1).public_key();
        for index in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[index / 8] ^= 1 << (index % 8);
            let mut reader = SectionReader::default();
            reader.feed(&bytes);
            let opened = match reader.next_section() {
                Ok(Some(section)) => section.open(&BINDING, &key, &TestKey(0)).is_ok(),
                Ok(None) | Err(_) => false,
            };
            assert!(!opened, "bit {index}");
        }
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_anything_is_kept() {
        let mut bytes = sealed(Kind::Refusal, b"x");
        bytes[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut reader = SectionReader::default();
        reader.feed(&bytes);

        assert!(matches!(reader.next_section(), Err(SectionError::Size { kind: Kind::Refusal, .. })));
    }

    #[test]
    fn a_web_page_instead_of_central_is_noticed_at_its_first_byte() {
        let mut reader = SectionReader::default();
        reader.feed(b"<html>");

        assert_eq!(reader.next_section(), Err(SectionError::Kind { number: b'<' }));
    }
}
