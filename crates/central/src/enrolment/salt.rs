//! The salts of names that central does not know: of the same form as real ones and always the same, so that nobody learns by
//! asking which sites there are.

use protocol::chain::hash_of;
use protocol::ids::HardwareSalt;

/// Derives salts from a name and a secret of central's store.
pub(super) struct StrangersSalt {
    key: [u8; 32],
}

impl StrangersSalt {
    /// Of a secret.
    pub(super) fn new(secret: &HardwareSalt) -> Self {
        Self { key: hash_of(&[&b"outpost enrolment salt 0"[..], &secret.0].concat()).0 }
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
    fn a_salt_is_always_the_same_for_a_name_and_no_other_and_needs_the_secret() {
        let salt = StrangersSalt::new(&HardwareSalt([1; 16]));

        assert_eq!(salt.of("nobody"), StrangersSalt::new(&HardwareSalt([1; 16])).of("nobody"));
        assert_ne!(salt.of("nobody"), salt.of("nobody else"));
        assert_ne!(salt.of("nobody"), StrangersSalt::new(&HardwareSalt([2; 16])).of("nobody"));
    }
}
