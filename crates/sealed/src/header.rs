//! The first bytes of a file, which are not encrypted and are covered by each chunk's tag.

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use crate::error::SealedError;

/// The digit is the version.
const MAGIC: &[u8; 17] = b"outpost-sealed-1\n";
/// Where the version stands in it.
const VERSION_AT: usize = MAGIC.len() - 2;

/// Bytes of the salt.
pub const SALT_BYTES: usize = 16;
/// Bytes of a file before its first chunk.
pub const HEADER_BYTES: usize = MAGIC.len() + 1 + 4 + 4 + SALT_BYTES;

/// Least memory that Argon2id takes, in KiB.
pub(crate) const MEMORY_KIB_MIN: u32 = 8;
/// Most memory that a file may ask Argon2id to use, in KiB: a file from elsewhere must not exhaust the machine.
pub const MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Most rounds that a file may ask for.
pub const ROUNDS_MAX: u32 = 16;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A device's request to central.
    Request,
    /// Central's answer to one.
    Answer,
    /// What a site receives, from the beginning.
    Export,
    /// What a device alone has.
    Backup,
}

impl Kind {
    const fn number(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Answer => 2,
            Self::Export => 3,
            Self::Backup => 4,
        }
    }

    const fn of_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Request,
            2 => Self::Answer,
            3 => Self::Export,
            4 => Self::Backup,
            _ => return None,
        })
    }

    /// What it is, in words.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Request => "what a device carries out to central",
            Self::Answer => "central's answer to a device",
            Self::Export => "a site's export from central",
            Self::Backup => "a device's backup",
        }
    }
}

/// How much a guess of the passphrase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub rounds: u32,
}

impl Cost {
    /// What files are written with: RFC 9106, section 4, second recommendation, on one lane. A tenth of a second on a server, some seconds
    /// on a small tablet.
    pub const USUAL: Self = Self { memory_kib: 64 * 1024, rounds: 3 };

    /// The key that Argon2id makes of a passphrase; takes as long and as much memory as the cost says.
    ///
    /// # Errors
    /// Argon2id refuses the cost, the passphrase's length or the salt's, or there is no memory for it.
    pub fn key(self, passphrase: &[u8], salt: &[u8]) -> Result<Zeroizing<[u8; 32]>, argon2::Error> {
        let mut key = Zeroizing::new([0_u8; 32]);
        let params = Params::new(self.memory_kib, self.rounds, 1, Some(key.len()))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into(passphrase, salt, key.as_mut_slice())?;
        Ok(key)
    }
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) cost: Cost,
    pub(crate) salt: [u8; SALT_BYTES],
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let kind = [self.kind.number()];
        let (memory, rounds) = (self.cost.memory_kib.to_le_bytes(), self.cost.rounds.to_le_bytes());
        let fields = MAGIC.iter().chain(&kind).chain(&memory).chain(&rounds).chain(&self.salt);
        let mut bytes = [0; HEADER_BYTES];
        bytes.iter_mut().zip(fields).for_each(|(byte, field)| *byte = *field);
        bytes
    }

    /// Reads one, and refuses what asks for too much before anything is done for it.
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, SealedError> {
        let (magic, rest) = bytes.split_first_chunk::<17>().ok_or(SealedError::Form)?;
        if magic != MAGIC {
            let is_other_version = magic.iter().zip(MAGIC).enumerate().all(|(at, (a, b))| at == VERSION_AT || a == b);
            return Err(if is_other_version { SealedError::Version } else { SealedError::Form });
        }
        let (number, rest) = rest.split_first().ok_or(SealedError::Form)?;
        let (memory, rest) = rest.split_first_chunk::<4>().ok_or(SealedError::Form)?;
        let (rounds, rest) = rest.split_first_chunk::<4>().ok_or(SealedError::Form)?;
        let (salt, _) = rest.split_first_chunk::<SALT_BYTES>().ok_or(SealedError::Form)?;
        let kind = Kind::of_number(*number).ok_or(SealedError::Kind { found: None, wanted: None })?;
        let cost = Cost { memory_kib: u32::from_le_bytes(*memory), rounds: u32::from_le_bytes(*rounds) };
        let is_within =
            (MEMORY_KIB_MIN..=MEMORY_KIB_MAX).contains(&cost.memory_kib) && (1..=ROUNDS_MAX).contains(&cost.rounds);
        if !is_within {
            return Err(SealedError::Cost { memory_kib: cost.memory_kib, rounds: cost.rounds });
        }
        Ok(Self { kind, cost, salt: *salt })
    }
}
