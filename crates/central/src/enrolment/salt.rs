//! The salts of names: whether central knows the name or not, it is derived in the same way, so that nobody learns by asking which sites
//! there are, or when one is added. A site keeps the salt of the name that it was added under, since the hardware of its device is hashed
//! with it.

use protocol::chain::hash_of;
use protocol::ids::{HardwareSalt, SiteId};

use crate::center::Center;
use crate::error::CentralError;
use crate::store::StoreError;

/// Derives salts from a name and a secret of central's store.
pub(crate) struct NameSalt {
    key: [u8; 32],
}

impl NameSalt {
    /// Of central's own secret.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn of_central(center: &Center) -> Result<Self, CentralError> {
        // A store of before gets the secret when it is opened for writing.
        center.writer()?;
        let own = center.read(|reading| reading.site(SiteId::CENTRAL))?;
        let secret = own.and_then(|own| own.salt);
        Ok(Self::new(&secret.ok_or_else(|| StoreError::Damaged("central has no salt".to_owned()))?))
    }

    /// Of a secret.
    fn new(secret: &HardwareSalt) -> Self {
        Self { key: hash_of(&[&b"outpost enrolment salt 0"[..], &secret.0].concat()).0 }
    }

    /// The salt of a name.
    pub(crate) fn of(&self, name: &str) -> HardwareSalt {
        let hash = hash_of(&[&self.key[..], name.as_bytes()].concat());
        HardwareSalt(*hash.0.first_chunk().expect("a hash has 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salt_is_always_the_same_for_a_name_and_no_other_and_needs_the_secret() {
        let salt = NameSalt::new(&HardwareSalt([1; 16]));

        assert_eq!(salt.of("nobody"), NameSalt::new(&HardwareSalt([1; 16])).of("nobody"));
        assert_ne!(salt.of("nobody"), salt.of("nobody else"));
        assert_ne!(salt.of("nobody"), NameSalt::new(&HardwareSalt([2; 16])).of("nobody"));
    }
}
