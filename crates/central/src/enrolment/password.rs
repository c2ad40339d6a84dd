//! Passwords of sites, kept as Argon2id hashes in the PHC format, which names its own parameters.

use argon2::password_hash::PasswordHasher as _;
use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use crate::entropy;
use crate::error::{CentralError, Exit};
use crate::settings::PasswordSettings;

/// Longest password, in bytes: longer than anybody types, short enough not to be a burden.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Fewest characters of a password that somebody sets: with fewer, whoever reads the database finds it by trying (NIST SP 800-63B,
/// 5.1.1.2).
/// A site or account that has a shorter one goes on with it.
pub const PASSWORD_CHARACTERS_MIN: usize = 8;
/// Bytes of a salt, as the format recommends.
const SALT_BYTES: usize = 16;

/// The hash to keep of a new password of a site or an account.
///
/// # Errors
/// `password_length`, `password_too_short`; else those of [`hash_password`].
pub fn hash_new_password(settings: PasswordSettings, password: &str) -> Result<String, CentralError> {
    let characters = password.chars().count();
    if (1..PASSWORD_CHARACTERS_MIN).contains(&characters) {
        let message = format!(
            "the password has {characters} of the {PASSWORD_CHARACTERS_MIN} characters that it must have at least"
        );
        let advice = "Choose a longer one: several words are easy to type. Nothing was changed.";
        return Err(CentralError::refused("password_too_short", message, advice));
    }
    hash_password(settings, password)
}

/// The hash to keep of a secret, whoever set it.
///
/// # Errors
/// `password_length`; `password_settings` if Argon2 does not take the settings.
pub fn hash_password(settings: PasswordSettings, password: &str) -> Result<String, CentralError> {
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        let message = format!("the password has {} bytes; it must have 1 to {PASSWORD_BYTES_MAX}", password.len());
        return Err(CentralError::refused("password_length", message, "Choose another one."));
    }
    let failed = |error: &dyn std::fmt::Display| {
        let message = format!("the password cannot be hashed: {error}");
        CentralError::new("password_settings", message, "Check [passwords] in central.toml.", Exit::Config)
    };
    let params = Params::new(settings.memory_kib, settings.rounds, 1, None).map_err(|error| failed(&error))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::default(), params);
    let salt = entropy::bytes::<SALT_BYTES>();
    let hash: PasswordHash =
        argon2.hash_password_with_salt(password.as_bytes(), &salt).map_err(|error| failed(&error))?;
    Ok(hash.to_string())
}

/// Whether this is the password of a hash. A hash that cannot be read has none.
pub fn is_password(hash: &str, password: &str) -> bool {
    is_password_in(&mut Vec::new(), hash, password)
}

/// The same in memory that is used again for the next check. Without that each thread that ever checked one keeps as much.
pub(super) fn is_password_in(memory: &mut Vec<Block>, hash: &str, password: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    let (Some(salt), Some(kept)) = (&hash.salt, &hash.hash) else { return false };
    let algorithm = Algorithm::try_from(hash.algorithm.as_str());
    let version = hash.version.map_or(Ok(Version::default()), Version::try_from);
    let (Ok(algorithm), Ok(version), Ok(params)) = (algorithm, version, Params::try_from(&hash)) else { return false };
    let blocks = params.block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::default());
    }
    let mut found = vec![0; kept.len()];
    let argon2 = Argon2::new(algorithm, version, params);
    let memory = memory.get_mut(..blocks).unwrap_or_default();
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut found, memory).is_ok()
        // Compares in the same time wherever they differ.
        && Output::new(&found).is_ok_and(|found| found == *kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: PasswordSettings = PasswordSettings { memory_kib: 64, rounds: 1 };

    #[test]
    fn a_password_fits_its_hash_and_no_other_and_two_hashes_of_it_differ() {
        let hash = hash_password(QUICK, "correct horse").unwrap();

        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        assert!(is_password(&hash, "correct horse"));
        assert!(!is_password(&hash, "correct horsf"));
        assert!(!is_password("", "correct horse"));
        assert_ne!(hash_password(QUICK, "correct horse").unwrap(), hash);
    }

    #[test]
    fn checks_one_after_the_other_share_their_memory_whatever_they_cost() {
        let costly = hash_password(PasswordSettings { memory_kib: 128, rounds: 2 }, "costly").unwrap();
        let quick = hash_password(QUICK, "quick").unwrap();
        let mut memory = Vec::new();

        for _ in 0..3 {
            assert!(is_password_in(&mut memory, &quick, "quick") && is_password_in(&mut memory, &costly, "costly"));
            assert!(!is_password_in(&mut memory, &quick, "costly") && !is_password_in(&mut memory, &costly, "quick"));
        }
        assert_eq!(memory.len() * Block::SIZE, 128 * 1024);
    }

    #[test]
    fn a_new_password_of_few_characters_is_refused_and_what_has_one_goes_on() {
        for (password, code) in
            [("", "password_length"), ("1234567", "password_too_short"), ("ééééééé", "password_too_short")]
        {
            assert_eq!(hash_new_password(QUICK, password).unwrap_err().code, code, "{password}");
        }
        for password in ["12345678", "éééééééé"] {
            assert!(is_password(&hash_new_password(QUICK, password).unwrap(), password));
        }
        assert!(is_password(&hash_password(QUICK, "short").unwrap(), "short"));
    }

    #[test]
    fn an_empty_and_an_endless_password_are_refused() {
        for password in ["", &"x".repeat(PASSWORD_BYTES_MAX + 1)] {
            assert_eq!(hash_password(QUICK, password).unwrap_err().code, "password_length");
        }
    }
}
