//! What the protocol needs from outside and must not do itself: compression and signatures.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::PublicKey;

/// How some bytes are packed. The numbers are the wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    /// As they are: packing would have made them larger.
    None,
    /// One zstd frame without checksum or content size.
    Zstd,
}

/// What a packed frame or page refers back to. The numbers are the wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dictionary {
    /// Nothing.
    None,
    /// The dictionary that both programs carry, by its number.
    BuiltIn(u8),
    /// The last [`crate::limits::DICTIONARY_BYTES_MAX`] plain bytes before it in the same request, reply or file.
    Previous,
}

/// Packs and unpacks bytes; the implementation lives in crate `codec`.
pub trait Codec {
    /// Packs `plain`; `previous` are the bytes that [`Dictionary::Previous`] means.
    ///
    /// # Errors
    /// [`CodecError`] if the library fails, or for a dictionary it does not have.
    fn compress(&mut self, dictionary: Dictionary, previous: &[u8], plain: &[u8]) -> Result<Vec<u8>, CodecError>;

    /// Unpacks into exactly `plain_bytes` bytes, never allocating more than that.
    ///
    /// # Errors
    /// [`CodecError`] for damaged input, another length, or a dictionary it does not have.
    fn decompress(
        &mut self,
        dictionary: Dictionary,
        previous: &[u8],
        packed: &[u8],
        plain_bytes: usize,
    ) -> Result<Vec<u8>, CodecError>;

    /// The built-in dictionary to use for the first frame of a request, if there is one.
    fn built_in(&self) -> Dictionary;
}

/// Bytes that cannot be packed or unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecError {
    /// What the library said.
    pub reason: &'static str,
}

impl fmt::Display for CodecError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "compression failed: {}", self.reason)
    }
}

impl core::error::Error for CodecError {}

/// An ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signature(pub [u8; 64]);

/// Signs with the key of this device or of central.
pub trait Signer {
    /// The key that others check against.
    fn public_key(&self) -> PublicKey;

    /// Signs the bytes. The same bytes always get the same signature.
    fn sign(&self, message: &[u8]) -> Signature;
}

/// Checks signatures.
pub trait Verifier {
    /// Whether `signature` is that of `key` over `message`; strict, without malleable forms.
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool;
}
