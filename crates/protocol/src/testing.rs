//! Stand-ins for the edges in unit tests of this crate: a keyed hash for signatures, and a codec that packs nothing.

use alloc::vec::Vec;

use crate::chain::hash_of;
use crate::edge::{Codec, CodecError, Dictionary, Signature, Signer, Verifier};
use crate::ids::PublicKey;

/// A key whose public half is its number; the signature is a hash of both.
pub(crate) struct TestKey(pub(crate) u8);

impl Signer for TestKey {
    fn public_key(&self) -> PublicKey {
        PublicKey([self.0; 32])
    }

    fn sign(&self, message: &[u8]) -> Signature {
        let mut keyed = Vec::from([self.0; 32]);
        keyed.extend_from_slice(message);
        let half = hash_of(&keyed).0;
        let mut whole = [0; 64];
        whole[..32].copy_from_slice(&half);
        whole[32..].copy_from_slice(&half);
        Signature(whole)
    }
}

impl Verifier for TestKey {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        TestKey(key.0[0]).sign(message) == *signature && key.0 == [key.0[0]; 32]
    }
}

/// Leaves bytes as they are, and insists that both sides mean the same previous bytes.
pub(crate) struct PlainCodec;

impl Codec for PlainCodec {
    fn compress(&mut self, _: Dictionary, previous: &[u8], plain: &[u8]) -> Result<Vec<u8>, CodecError> {
        let mut output = Vec::from(crc32fast::hash(previous).to_le_bytes());
        output.extend_from_slice(plain);
        Ok(output)
    }

    fn decompress(
        &mut self,
        _: Dictionary,
        previous: &[u8],
        packed: &[u8],
        plain_bytes: usize,
    ) -> Result<Vec<u8>, CodecError> {
        let (checksum, plain) = packed.split_first_chunk::<4>().ok_or(CodecError { reason: "too short" })?;
        if *checksum != crc32fast::hash(previous).to_le_bytes() {
            return Err(CodecError { reason: "another dictionary" });
        }
        if plain.len() != plain_bytes {
            return Err(CodecError { reason: "another length" });
        }
        Ok(plain.to_vec())
    }

    fn built_in(&self) -> Dictionary {
        Dictionary::None
    }
}
