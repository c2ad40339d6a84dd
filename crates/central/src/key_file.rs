//! Central's secret key in a file of its own, encrypted by a passphrase, so that it can lie with the backups (`docs/key-file.md`).
//! Pure: bytes in, bytes out.

use argon2::Params;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
pub use sealed::{Cost, MEMORY_KIB_MAX, PASSPHRASE_BYTES_MAX, PASSPHRASE_BYTES_MIN, ROUNDS_MAX};
use zeroize::Zeroizing;

use crate::error::{CentralError, Exit};

/// Bytes of the secret key: the seed of an ed25519 key.
pub const SEED_BYTES: usize = 32;
/// Bytes of a whole file; there is no other length.
pub const KEY_FILE_BYTES: usize = HEADER_BYTES + SEED_BYTES + TAG_BYTES;

const MAGIC: &[u8; 22] = b"outpost-central-key-1\n";
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = MAGIC.len() + 4 + 4 + SALT_BYTES + NONCE_BYTES;

/// Random bytes that no other file has.
#[derive(Debug, Clone, Copy)]
pub struct Chance {
    /// For Argon2id.
    pub salt: [u8; SALT_BYTES],
    /// For XChaCha20-Poly1305.
    pub nonce: [u8; NONCE_BYTES],
}

/// The bytes of a file.
///
/// # Errors
/// `passphrase_length`.
pub fn seal(seed: &[u8; SEED_BYTES], passphrase: &str, cost: Cost, chance: Chance) -> Result<Vec<u8>, CentralError> {
    if !(PASSPHRASE_BYTES_MIN..=PASSPHRASE_BYTES_MAX).contains(&passphrase.len()) {
        let message = format!(
            "the passphrase has {} bytes; it must have {PASSPHRASE_BYTES_MIN} to {PASSPHRASE_BYTES_MAX}",
            passphrase.len()
        );
        return Err(CentralError::refused(
            "passphrase_length",
            message,
            "Choose another one: some random words are good.",
        ));
    }
    let mut bytes = Vec::with_capacity(KEY_FILE_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&cost.memory_kib.to_le_bytes());
    bytes.extend_from_slice(&cost.rounds.to_le_bytes());
    bytes.extend_from_slice(&chance.salt);
    bytes.extend_from_slice(&chance.nonce);
    let payload = Payload { msg: seed, aad: &bytes };
    let sealed = cipher(passphrase, cost, &chance.salt)?.encrypt(&XNonce::from(chance.nonce), payload);
    bytes.extend(sealed.expect("32 bytes are far below what the cipher takes"));
    Ok(bytes)
}

/// The secret key in the bytes of a file.
///
/// # Errors
/// `key_file_form` for what is no such file, `key_file_version` for one of a later program, `key_file_limit` if it asks for more
/// than the limits, `key_file_locked` for a wrong passphrase or an altered file: which, cannot be told.
pub fn open(bytes: &[u8], passphrase: &str) -> Result<Zeroizing<[u8; SEED_BYTES]>, CentralError> {
    let (cost, chance) = header(bytes)?;
    let (header, sealed) = bytes.split_at(HEADER_BYTES);
    let payload = Payload { msg: sealed, aad: header };
    let opened = cipher(passphrase, cost, &chance.salt)?.decrypt(&XNonce::from(chance.nonce), payload);
    let opened = Zeroizing::new(opened.map_err(|_| {
        let message = "the passphrase is wrong, or the file was altered";
        CentralError::refused("key_file_locked", message, "Check the passphrase, or take another copy of the file.")
    })?);
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    seed.copy_from_slice(&opened);
    Ok(seed)
}

fn header(bytes: &[u8]) -> Result<(Cost, Chance), CentralError> {
    let form = |what: String| CentralError::refused("key_file_form", what, "Take another copy of the file.");
    let version = MAGIC.len() - 2;
    let magic = bytes.get(..MAGIC.len()).unwrap_or_default();
    if magic.get(..version) == MAGIC.get(..version) && magic != MAGIC {
        let message = "the file has another version than this program reads, which is 1";
        return Err(CentralError::refused("key_file_version", message, "Use the newer program."));
    }
    if magic != MAGIC {
        return Err(form("this is no file of `key export`".to_owned()));
    }
    if bytes.len() != KEY_FILE_BYTES {
        return Err(form(format!("the file has {} bytes; one of `key export` has {KEY_FILE_BYTES}", bytes.len())));
    }
    let mut rest = bytes.get(MAGIC.len()..HEADER_BYTES).unwrap_or_default();
    let cost = Cost { memory_kib: u32::from_le_bytes(take(&mut rest)), rounds: u32::from_le_bytes(take(&mut rest)) };
    let chance = Chance { salt: take(&mut rest), nonce: take(&mut rest) };
    let least = Params::MIN_M_COST;
    if !(least..=MEMORY_KIB_MAX).contains(&cost.memory_kib) || !(1..=ROUNDS_MAX).contains(&cost.rounds) {
        let message = format!(
            "the file asks for {} KiB and {} rounds; {least} to {MEMORY_KIB_MAX} KiB and 1 to {ROUNDS_MAX} rounds are taken",
            cost.memory_kib, cost.rounds
        );
        return Err(CentralError::refused("key_file_limit", message, "Take another copy of the file."));
    }
    Ok((cost, chance))
}

/// The length was checked before.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (taken, left) = rest.split_first_chunk::<N>().expect("the header has its whole length");
    *rest = left;
    *taken
}

fn cipher(passphrase: &str, cost: Cost, salt: &[u8]) -> Result<XChaCha20Poly1305, CentralError> {
    let failed = |error: argon2::Error| {
        let message = format!("the passphrase cannot be used: {error}");
        CentralError::new("key_file_limit", message, "Free some memory and try again.", Exit::Failed)
    };
    let key = cost.key(passphrase.as_bytes(), salt).map_err(failed)?;
    Ok(XChaCha20Poly1305::new(&(*key).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Cost = Cost { memory_kib: 8, rounds: 1 };
    const CHANCE: Chance = Chance { salt: [1; SALT_BYTES], nonce: [2; NONCE_BYTES] };
    const PASSPHRASE: &str = "four random words";

    fn sealed() -> Vec<u8> {
        seal(&[7; SEED_BYTES], PASSPHRASE, QUICK, CHANCE).unwrap()
    }

    fn code(bytes: &[u8], passphrase: &str) -> String {
        open(bytes, passphrase).map_or_else(|error| error.code, |_| "opened".to_owned())
    }

    #[test]
    fn a_key_comes_back_under_its_passphrase_alone_and_is_not_in_the_file() {
        let bytes = sealed();

        assert_eq!(bytes.len(), KEY_FILE_BYTES);
        assert!(!bytes.windows(8).any(|window| window == [7; 8]));
        assert_eq!(*open(&bytes, PASSPHRASE).unwrap(), [7; SEED_BYTES]);
        assert_eq!(code(&bytes, "four random word"), "key_file_locked");
    }

    #[test]
    fn each_flipped_bit_and_each_other_length_is_refused() {
        let bytes = sealed();
        for index in 0..bytes.len() {
            for bit in [1, 0x80] {
                let mut flipped = bytes.clone();
                flipped[index] ^= bit;
                assert_ne!(code(&flipped, PASSPHRASE), "opened", "byte {index}, bit {bit}");
            }
            assert_eq!(code(&bytes[..index], PASSPHRASE), "key_file_form", "{index} bytes");
        }
        assert_eq!(code(&[&bytes[..], &[0]].concat(), PASSPHRASE), "key_file_form");
    }

    #[test]
    fn files_that_ask_for_too_much_and_files_of_a_later_version_are_named() {
        let mut greedy = sealed();
        greedy[22..26].copy_from_slice(&(MEMORY_KIB_MAX + 1).to_le_bytes());
        let mut later = sealed();
        later[20] = b'2';

        assert_eq!(code(&greedy, PASSPHRASE), "key_file_limit");
        assert_eq!(code(&later, PASSPHRASE), "key_file_version");
    }

    #[test]
    fn a_passphrase_that_is_easily_guessed_is_not_taken() {
        for passphrase in ["", "short", &"x".repeat(PASSPHRASE_BYTES_MAX + 1)] {
            assert_eq!(seal(&[7; SEED_BYTES], passphrase, QUICK, CHANCE).unwrap_err().code, "passphrase_length");
        }
    }

    #[test]
    fn a_file_keeps_its_bytes_and_opens() {
        let comment = "Key file: 32 bytes of 07 under `four random words`, 8 KiB, 1 round";
        let stored = crate::golden_files::same("files-1/key", comment, &sealed());
        assert_eq!(*open(&stored, PASSPHRASE).unwrap(), [7; SEED_BYTES]);
    }

    /// Files of today have to be readable for as long as backups are kept (`docs/key-file.md`).
    #[test]
    fn the_bytes_are_those_of_the_document() {
        let hex = crate::hex::to_hex(&sealed());

        assert_eq!(&hex[..44], "6f7574706f73742d63656e7472616c2d6b65792d310a");
        assert_eq!(&hex[44..60], "0800000001000000");
        assert_eq!(&hex[60..140], format!("{}{}", "01".repeat(16), "02".repeat(24)));
        assert!(include_str!("../../../docs/key-file.md").contains(&hex[140..]), "{}", &hex[140..]);
    }
}
