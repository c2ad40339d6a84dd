//! ed25519 (RFC 8032) for the traits of `protocol`.

use ed25519_dalek::Signer as _;
use ed25519_dalek::{SigningKey, VerifyingKey};
use protocol::edge::{Signature, Signer, Verifier};
use protocol::ids::PublicKey;
use zeroize::Zeroizing;

/// The private key of a device or of central. It is wiped from memory when dropped, and never printed.
pub struct Ed25519Signer {
    key: SigningKey,
}

impl Ed25519Signer {
    /// The key of 32 seed bytes; every 32 bytes are a key, so they must come from the system's random source or a key file.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { key: SigningKey::from_bytes(seed) }
    }

    /// The seed, only for writing the key file.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes())
    }
}

impl core::fmt::Debug for Ed25519Signer {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "Ed25519Signer({:?})", self.public_key())
    }
}

impl Signer for Ed25519Signer {
    fn public_key(&self) -> PublicKey {
        PublicKey(self.key.verifying_key().to_bytes())
    }

    fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.key.sign(message).to_bytes())
    }
}

/// Checks signatures strictly: no weak keys, no second form of a signature.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ed25519Verifier;

impl Verifier for Ed25519Verifier {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        // Bytes that are no point of the curve belong to nobody: nothing is signed with them.
        VerifyingKey::from_bytes(&key.0).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 8032, section 7.1, tests 1 to 3: seed, public key, message, signature.
    const VECTORS: [(&str, &str, &str, &str); 3] = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];

    fn bytes_of(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|index| u8::from_str_radix(&hex[index..index + 2], 16).unwrap()).collect()
    }

    fn array_of<const N: usize>(hex: &str) -> [u8; N] {
        bytes_of(hex).try_into().unwrap()
    }

    #[test]
    fn keys_and_signatures_are_those_of_rfc_8032() {
        for (seed, public, message, signature) in VECTORS {
            let signer = Ed25519Signer::from_seed(&array_of(seed));
            let (message, signature) = (bytes_of(message), Signature(array_of(signature)));

            assert_eq!(signer.public_key(), PublicKey(array_of(public)));
            assert_eq!(signer.sign(&message), signature);
            assert!(Ed25519Verifier.verify(&signer.public_key(), &message, &signature));
        }
    }

    #[test]
    fn the_seed_comes_back_for_the_key_file_and_is_not_printed() {
        let signer = Ed25519Signer::from_seed(&[171; 32]);

        assert_eq!(*signer.seed(), [171; 32]);
        assert!(!format!("{signer:?}").contains("abab"));
    }

    #[test]
    fn every_altered_bit_of_a_signature_or_message_is_refused() {
        let signer = Ed25519Signer::from_seed(&[7; 32]);
        let good = signer.sign(b"message");
        for bit in 0..512 {
            let mut altered = good;
            altered.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!Ed25519Verifier.verify(&signer.public_key(), b"message", &altered), "bit {bit}");
        }
        assert!(!Ed25519Verifier.verify(&signer.public_key(), b"messagf", &good));
        assert!(!Ed25519Verifier.verify(&Ed25519Signer::from_seed(&[8; 32]).public_key(), b"message", &good));
    }

    #[test]
    fn bytes_that_are_no_key_and_weak_keys_verify_nothing() {
        let signature = Ed25519Signer::from_seed(&[7; 32]).sign(b"message");
        let mut identity = [0; 32];
        identity[0] = 1;
        for key in [[2; 32], [255; 32], [0; 32], identity] {
            assert!(!Ed25519Verifier.verify(&PublicKey(key), b"message", &signature));
        }
        // The identity as key and as R with S = 0 satisfies the plain equation for every message.
        let mut forged = [0; 64];
        forged[0] = 1;
        assert!(!Ed25519Verifier.verify(&PublicKey(identity), b"message", &Signature(forged)));
    }

    proptest! {
        #[test]
        fn a_signature_in_its_second_form_is_refused(seed: [u8; 32], message: Vec<u8>) {
            // S + L is the same scalar modulo the group's order L.
            const ORDER: [u8; 32] = [
                0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
            ];
            let signer = Ed25519Signer::from_seed(&seed);
            let mut signature = signer.sign(&message);
            prop_assert!(Ed25519Verifier.verify(&signer.public_key(), &message, &signature));
            let mut carry = 0;
            for (byte, order) in signature.0[32..].iter_mut().zip(ORDER) {
                carry += u16::from(*byte) + u16::from(order);
                *byte = u8::try_from(carry & 0xff).unwrap();
                carry >>= 8;
            }
            prop_assert!(!Ed25519Verifier.verify(&signer.public_key(), &message, &signature));
        }

        #[test]
        fn rubbish_never_verifies_and_never_panics(key: [u8; 32], message: Vec<u8>, half: [u8; 32], other: [u8; 32]) {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&half);
            signature[32..].copy_from_slice(&other);
            prop_assert!(!Ed25519Verifier.verify(&PublicKey(key), &message, &Signature(signature)));
        }
    }
}
