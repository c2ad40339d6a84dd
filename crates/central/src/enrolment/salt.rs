//! The salts of names that central does not know: of the same form as real ones and always the same, so that nobody learns by
//! asking which sites there are.

use codec::Ed25519Signer;
use protocol::chain::hash_of;
use protocol::ids::HardwareSalt;

/// Derives salts from a name and central's secret key.
pub(super) struct StrangersSalt {
    key: [u8; 32],
}

impl StrangersSalt {
    pub(super) fn new(signer: &Ed25519Signer) -> Self {
        let mut secret = b"outpost enrolment salt 0".to_vec();
        secret.extend_from_slice(signer.seed().as_slice());
        let key = hash_of(&secret).0;
        secret.fill(0);
        Self { key }
    }

    /// The salt of a name.
    pub(super) fn of(&self, name: &str) -> HardwareSalt {
        let hash = hash_of(&[&self.key[..], name.as_bytes()].concat());
        HardwareSalt(*hash.0.first_chunk().expect("a hash has 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salt_is_always_the_same_for_a_name_and_no_other_and_needs_central_s_key() {
        let salt = StrangersSalt::new(&Ed25519Signer::from_seed(&[1; 32]));

        assert_eq!(salt.of("nobody"), StrangersSalt::new(&Ed25519Signer::from_seed(&[1; 32])).of("nobody"));
        assert_ne!(salt.of("nobody"), salt.of("nobody else"));
        assert_ne!(salt.of("nobody"), StrangersSalt::new(&Ed25519Signer::from_seed(&[2; 32])).of("nobody"));
    }
}
