//! Ids, positions and hashes as distinct types, so that a sequence can never be passed for a position.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::limits;

/// A sync site. Central is [`SiteId::CENTRAL`]; the others are allocated by central and never reused (seed 003, "Site ID").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SiteId(pub u32);

impl SiteId {
    /// The central server's own site.
    pub const CENTRAL: SiteId = SiteId(1);
}

impl fmt::Display for SiteId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// Place of an entry in its journal: the first is 1, 0 means "before the first".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before the first entry.
    pub const ZERO: Sequence = Sequence(0);

    /// The sequence after this one.
    #[must_use]
    pub const fn next(self) -> Sequence {
        Sequence(self.0 + 1)
    }

    /// The sequence `count` places on.
    #[must_use]
    pub const fn plus(self, count: u64) -> Sequence {
        Sequence(self.0 + count)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// Number of one allowance to write a scope (a store, a home store). 0 means "none was needed" (Local and Central data).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct OwnershipNumber(pub u32);

/// Raised by central whenever a site's name or password changes (seed 003, "Password").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct CredentialGeneration(pub u32);

/// A random number that names one stretch of central's time line; positions compare only within what one central has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Epoch(pub u64);

/// Place of a change in central's order. Given at commit, strictly rising.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position(pub u64);

impl Position {
    /// Before the first change.
    pub const ZERO: Position = Position(0);
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// Place of a row in one site's control lane; the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct ControlNumber(pub u64);

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; $length]);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = core::array::TryFromSliceError;

            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                Ok(Self(bytes.try_into()?))
            }
        }
    };
}

bytes_id! {
    /// A journal: random, made with it, never used again.
    JournalId, 16
}
bytes_id! {
    /// SHA-256: of a journal up to an entry, of a request head, of a whole that travels in parts.
    Hash, 32
}
bytes_id! {
    /// What an application gives so that a repeated call does no harm: the first 16 bytes of a SHA-256 of its text.
    RequestId, 16
}
bytes_id! {
    /// Random value that a reply gives and one later request shows (rule 5.7).
    Token, 16
}
bytes_id! {
    /// Random value with which central asks whoever shows a token that is not known any more to answer (rule 5.7).
    Nonce, 16
}
bytes_id! {
    /// What only central can make of a grant of its own (`docs/sync-protocol.md`, "Grants that central has forgotten").
    GrantProof, 16
}
bytes_id! {
    /// An ed25519 public key.
    PublicKey, 32
}
bytes_id! {
    /// Random value of one site: what is hashed with it says nothing at another site.
    HardwareSalt, 16
}

impl PublicKey {
    /// What people compare: the first 8 hexadecimal digits of the key's SHA-256. Told beside other signs, never trusted alone.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut text = alloc::format!("{}", crate::chain::hash_of(&self.0));
        text.truncate(8);
        text
    }
}

impl Hash {
    /// The hash of nothing yet, where a context hash is not needed.
    pub const NONE: Hash = Hash([0; 32]);
}

impl Token {
    /// What a device shows before central has ever given it a token.
    pub const NONE: Token = Token([0; 16]);
}

/// A record's id as text, 1 to [`limits::RECORD_ID_BYTES_MAX`] bytes. Kept and given back exactly as it came, and in place: an edit is
/// looked up by it a dozen times, and none of them asks for memory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(heapless::String<{ limits::RECORD_ID_BYTES_MAX }>);

impl RecordId {
    /// Checks the length.
    ///
    /// # Errors
    /// [`RecordIdError`] names the length that was found.
    pub fn new(text: &str) -> Result<Self, RecordIdError> {
        let id = heapless::String::try_from(text).ok().filter(|id| !id.is_empty());
        id.map(Self).ok_or(RecordIdError { bytes: text.len() })
    }

    /// The id as the application wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An id that is empty or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordIdError {
    /// Length that was found, in bytes.
    pub bytes: usize,
}

impl fmt::Display for RecordIdError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a record id has {} bytes; it must have 1 to {}", self.bytes, limits::RECORD_ID_BYTES_MAX)
    }
}

impl core::error::Error for RecordIdError {}

/// A scope's name on the wire: opaque here, made and read by `domain`. At most [`limits::SCOPE_BYTES_MAX`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ScopeId(heapless::Vec<u8, { limits::SCOPE_BYTES_MAX }>);

impl ScopeId {
    /// Takes the bytes if they are within the limit.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        heapless::Vec::from_slice(bytes).ok().map(Self)
    }

    /// The bytes as `domain` wrote them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A table: a number of the catalogue, or the name of a declared table that the catalogue does not list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TableRef {
    /// A table of the catalogue by its number, which never changes its meaning.
    Known(u16),
    /// A table by name, at most [`limits::TABLE_NAME_BYTES_MAX`] bytes.
    Named(String),
}

/// An id packed for the wire: hexadecimal forms as 16 bytes, anything else as it is.
///
/// | form | text | packed |
/// | --- | --- | --- |
/// | 0 | any text | the text |
/// | 1 | 32 upper-case hexadecimal digits | 16 bytes |
/// | 2 | 32 lower-case hexadecimal digits | 16 bytes |
/// | 3 | 8-4-4-4-12 lower-case with dashes | 16 bytes |
/// | 4 | 8-4-4-4-12 upper-case with dashes | 16 bytes |
///
/// A text of digits alone counts as upper-case, so that each text has one packed form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackedId {
    /// Text that is none of the forms below.
    Text,
    /// The 16 bytes and the form (1 to 4) that gives the text back.
    Hex {
        /// Which way of writing: see the table.
        form: u8,
        /// The value.
        bytes: [u8; 16],
    },
}

impl PackedId {
    /// Finds the form of a text.
    #[must_use]
    pub fn of(text: &str) -> PackedId {
        let source = text.as_bytes();
        let dashed = match source.len() {
            32 => false,
            36 => true,
            _ => return PackedId::Text,
        };
        let mut digits = [0_u8; 32];
        let mut count = 0;
        for (index, &byte) in source.iter().enumerate() {
            if dashed && matches!(index, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return PackedId::Text;
                }
                continue;
            }
            let Some(slot) = digits.get_mut(count) else { return PackedId::Text };
            *slot = byte;
            count += 1;
        }
        let has_lower = digits.iter().any(|digit| matches!(digit, b'a'..=b'f'));
        let has_upper = digits.iter().any(|digit| matches!(digit, b'A'..=b'F'));
        if has_lower && has_upper {
            return PackedId::Text;
        }
        let mut bytes = [0_u8; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (Some(high), Some(low)) = (hex_value(pair.first()), hex_value(pair.get(1))) else {
                return PackedId::Text;
            };
            *byte = high << 4 | low;
        }
        let form = match (dashed, has_lower) {
            (false, false) => 1,
            (false, true) => 2,
            (true, true) => 3,
            (true, false) => 4,
        };
        PackedId::Hex { form, bytes }
    }

    /// The text that a form and 16 bytes stand for; `None` for a form that does not exist.
    #[must_use]
    pub fn text(form: u8, bytes: [u8; 16]) -> Option<String> {
        let (digits, dashed): (&[u8; 16], bool) = match form {
            1 => (b"0123456789ABCDEF", false),
            2 => (b"0123456789abcdef", false),
            3 => (b"0123456789abcdef", true),
            4 => (b"0123456789ABCDEF", true),
            _ => return None,
        };
        let mut text = Vec::with_capacity(36);
        for (index, byte) in bytes.iter().enumerate() {
            if dashed && matches!(index, 4 | 6 | 8 | 10) {
                text.push(b'-');
            }
            text.extend([byte >> 4, byte & 15].iter().filter_map(|&nibble| digits.get(usize::from(nibble))));
        }
        String::from_utf8(text).ok()
    }
}

fn hex_value(digit: Option<&u8>) -> Option<u8> {
    match digit? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
        digit @ b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_must_have_1_to_64_bytes() {
        assert!(RecordId::new("").is_err());
        assert!(RecordId::new(&"x".repeat(64)).is_ok());
        assert_eq!(RecordId::new(&"x".repeat(65)), Err(RecordIdError { bytes: 65 }));
    }

    #[test]
    fn each_hexadecimal_form_packs_and_comes_out_as_it_went_in() {
        for text in [
            "00112233445566778899AABBCCDDEEFF",
            "00112233445566778899aabbccddeeff",
            "00112233-4455-6677-8899-aabbccddeeff",
            "00112233-4455-6677-8899-AABBCCDDEEFF",
            "00112233445566778899001122334455",
            "00112233-4455-6677-8899-001122334455",
        ] {
            let PackedId::Hex { form, bytes } = PackedId::of(text) else { panic!("{text} did not pack") };
            assert_eq!(PackedId::text(form, bytes).as_deref(), Some(text));
        }
    }

    #[test]
    fn mixed_case_and_near_misses_stay_text() {
        for text in [
            "00112233445566778899aAbbccddeeff",
            "0011223344556677-8899aabbccddeeff000",
            "short",
            "00112233445566778899aabbccddeefg",
        ] {
            assert_eq!(PackedId::of(text), PackedId::Text);
        }
    }

    proptest! {
        #[test]
        fn packing_never_changes_a_text(text in "[0-9a-fA-F-]{30,38}") {
            if let PackedId::Hex { form, bytes } = PackedId::of(&text) {
                prop_assert_eq!(PackedId::text(form, bytes), Some(text));
            }
        }
    }
}
