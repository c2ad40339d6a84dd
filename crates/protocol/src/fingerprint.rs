//! What people compare instead of a key: read aloud, typed, written on paper.

use alloc::string::String;
use core::fmt;

use crate::chain::hash_of;
use crate::ids::PublicKey;

/// Digits of [`Fingerprint::short`]: 64 bits, enough to tell devices and servers of one country apart, not to trust one.
pub const SHORT_DIGITS: usize = 16;

/// SHA-256 of a public key. Written as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a key.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        Self(hash_of(&key.0).0)
    }

    /// Reads 64 hexadecimal digits of either case; colons, dashes and blanks between them do not count. `None` for anything else,
    /// a short fingerprint too: somebody could make a key that fits it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0_u8; 32];
        let mut count = 0;
        for character in text.chars().filter(|character| !matches!(character, ':' | '-') && !character.is_whitespace())
        {
            let digit = u8::try_from(character.to_digit(16)?).ok()?;
            let byte = bytes.get_mut(count / 2)?;
            *byte = *byte << 4 | digit;
            count += 1;
        }
        (count == 2 * bytes.len()).then_some(Self(bytes))
    }

    /// Its first [`SHORT_DIGITS`] digits in groups of four, for lists and messages.
    #[must_use]
    pub fn short(&self) -> String {
        use core::fmt::Write as _;
        let mut text = String::new();
        for (index, pair) in self.0.chunks_exact(2).take(SHORT_DIGITS / 4).enumerate() {
            for (place, byte) in pair.iter().enumerate() {
                let dash = if index > 0 && place == 0 { "-" } else { "" };
                write!(text, "{dash}{byte:02x}").expect("writing to text does not fail");
            }
        }
        text
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;

    #[test]
    fn what_is_written_is_read_again_with_colons_blanks_and_capitals() {
        let fingerprint = Fingerprint::of(&PublicKey([7; 32]));
        let text = fingerprint.to_string();
        let capitals = text.to_uppercase();
        let pairs: std::vec::Vec<&str> =
            capitals.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap()).collect();
        let colons = pairs.join(": ");

        assert_eq!(text.len(), 64);
        assert_eq!(Fingerprint::parse(&text), Some(fingerprint));
        assert_eq!(Fingerprint::parse(&colons), Some(fingerprint));
        assert_ne!(Fingerprint::of(&PublicKey([8; 32])), fingerprint);
        for wrong in ["", &text[1..], &std::format!("{text}0"), &fingerprint.short(), &std::format!("g{}", &text[1..])]
        {
            assert_eq!(Fingerprint::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_short_one_is_its_begin_in_groups() {
        let fingerprint = Fingerprint::of(&PublicKey([7; 32]));
        let short = fingerprint.short();

        assert_eq!(short.len(), 19);
        assert!(fingerprint.to_string().starts_with(&short.replace('-', "")));
    }
}
