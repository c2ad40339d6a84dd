//! What a file is encrypted under.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::SealedError;

/// Shortest passphrase, in bytes: whoever finds a stick may try passphrases for years.
pub const PASSPHRASE_BYTES_MIN: usize = 12;
/// Longest passphrase, in bytes.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;

/// A passphrase of a length that is taken. Wiped from memory when dropped, and shown nowhere.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes it from bytes as they were read; one line end behind it does not count.
    ///
    /// # Errors
    /// [`SealedError::Passphrase`].
    pub fn of(bytes: &[u8]) -> Result<Self, SealedError> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        match str::from_utf8(bytes) {
            Ok(text) if is_taken(text) => Ok(Self(Zeroizing::new(text.to_owned()))),
            Ok(_) | Err(_) => Err(SealedError::Passphrase { bytes: bytes.len() }),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

fn is_taken(text: &str) -> bool {
    (PASSPHRASE_BYTES_MIN..=PASSPHRASE_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control)
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Passphrase")
    }
}
