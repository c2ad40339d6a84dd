//! Who this device is: its key, the site that it speaks for, and the token of its last exchange.
//!
//! Everything lies in the folder `identity/` (mode 0700; files 0600, each replaced as a whole and synced, file and folder):
//!
//! | file | bytes |
//! | --- | --- |
//! | `key` | `outpost-key-1` and a line feed (14), seed of the ed25519 key (32), CRC-32 of what is before it (4, little-endian) |
//! | `identity` | a line of JSON with the fields of [`Identity`], then `crc32 ` and the CRC-32 of that line in 8 hexadecimal digits |
//! | `control` | `outpost-control-1` and a line feed (18), the last control row that the local copy had made durable (8, little-endian), CRC-32 (4) |
//! | `key.next` | as `key`: a key that central was asked to take and may have taken; only while the answer is awaited |
//! | `token` | `outpost-token-1` and a line feed (16), token (16), CRC-32 of what is before it (4, little-endian) |
//!
//! Two phases: key and journal ids are made first and are durable before the first request names them, so that an enrolment
//! whose answer was lost is asked for again with the same key and the same journal, and central gives the same answer. What
//! central answers is kept in a second step. A device whose key is there and whose identity is not was cut between the two
//! files; nothing had been sent, so the identity is made anew.
//!
//! A key that central has retired speaks for no site again, since a copy of it would as well. The device then makes another one
//! by itself: it lies in `key.next`, durable before it is shown, and takes the place of `key` once central has taken it. A device
//! that did not hear the answer finds it there and asks with the same one again.
//!
//! The identity holds the hardware that was enrolled, as digests ([`Device::binding`]): a folder that was copied to another device
//! does not speak for the site there.

mod error;
mod hardware;
mod identity;
mod password;

use std::path::{Path, PathBuf};

use codec::Ed25519Signer;
use protocol::edge::Signer as _;
use protocol::ids::{ControlNumber, JournalId, PublicKey, Token};
use zeroize::Zeroizing;

pub use error::DeviceError;
pub use hardware::{Binding, binding_to_be, find_hardware, strength_sentence};
pub use identity::{Enrolment, Identity};
pub use password::{PASSWORD_BYTES_MAX, PASSWORD_VARIABLE, PasswordSource, site_password};

use crate::{durable_file, entropy};

const KEY_NAME: &str = "key";
const NEXT_KEY_NAME: &str = "key.next";
const KEY_MAGIC: &[u8; 14] = b"outpost-key-1\n";

const CONTROL_NAME: &str = "control";
const CONTROL_MAGIC: &[u8; 18] = b"outpost-control-1\n";

const TOKEN_NAME: &str = "token";
const TOKEN_MAGIC: &[u8; 16] = b"outpost-token-1\n";
/// Most bytes of one of these files, whatever its version: this one's have 30 to 50.
const FILE_BYTES_MAX: usize = 256;

/// This device, read from its folder. The data folder's lock must be held while it lives.
#[derive(Debug)]
pub struct Device {
    folder: PathBuf,
    signer: Ed25519Signer,
    identity: Identity,
    token: Token,
    control: ControlNumber,
}

impl Device {
    /// Reads the device; `None` if nothing was ever made here.
    ///
    /// # Errors
    /// [`DeviceError`] for files that others may read, that are damaged, or of which one is missing.
    pub fn open(folder: &Path) -> Result<Option<Device>, DeviceError> {
        let (key, identity) = (read_key(folder)?, Identity::read(folder)?);
        match (key, identity) {
            (Some(signer), Some(identity)) => {
                let token = read_token(folder)?;
                let control = read_control(folder)?;
                Ok(Some(Device { folder: folder.to_path_buf(), signer, identity, token, control }))
            }
            (None, Some(_)) => Err(DeviceError::KeyMissing { path: folder.join(KEY_NAME) }),
            (Some(_) | None, None) => Ok(None),
        }
    }

    /// Reads the device, or makes its key and its journal ids (the first phase).
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn open_or_make(folder: &Path) -> Result<Device, DeviceError> {
        if let Some(device) = Self::open(folder)? {
            return Ok(device);
        }
        durable_file::make_folder(folder)?;
        durable_file::check_private_folder(folder)?;
        let signer = match read_key(folder)? {
            Some(signer) => signer,
            None => make_key(&folder.join(KEY_NAME))?,
        };
        let identity = Identity::fresh(JournalId(entropy::bytes()), JournalId(entropy::bytes()));
        identity.write(folder)?;
        Ok(Device { folder: folder.to_path_buf(), signer, identity, token: Token::NONE, control: ControlNumber(0) })
    }

    /// What signs for this device.
    pub fn signer(&self) -> &Ed25519Signer {
        &self.signer
    }

    /// The key that others check against.
    pub fn public_key(&self) -> PublicKey {
        self.signer.public_key()
    }

    /// The key that waits to take the place of this one; `None` if there is none.
    ///
    /// # Errors
    /// [`DeviceError`] for a file that others may read, or that is damaged.
    pub fn next_key(&self) -> Result<Option<PublicKey>, DeviceError> {
        let next = read_key_file(&self.folder.join(NEXT_KEY_NAME))?;
        Ok(next.map(|signer| signer.public_key()))
    }

    /// Makes a key that waits to take the place of this one, instead of one that waits already. Durable when it returns.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn make_next_key(&mut self) -> Result<PublicKey, DeviceError> {
        Ok(make_key(&self.folder.join(NEXT_KEY_NAME))?.public_key())
    }

    /// Signs with the key that waited from now on, because central has taken it. Durable when it returns.
    ///
    /// # Errors
    /// [`DeviceError`]; [`DeviceError::KeyMissing`] if none waits.
    pub fn take_next_key(&mut self) -> Result<(), DeviceError> {
        let path = self.folder.join(NEXT_KEY_NAME);
        let signer = read_key_file(&path)?.ok_or_else(|| DeviceError::KeyMissing { path: path.clone() })?;
        durable_file::rename(&path, &self.folder.join(KEY_NAME))?;
        self.signer = signer;
        Ok(())
    }

    /// Journals, and what central said at enrolment.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What central said at enrolment.
    ///
    /// # Errors
    /// [`DeviceError::NotEnrolled`].
    pub fn enrolment(&self) -> Result<&Enrolment, DeviceError> {
        self.identity.enrolment.as_ref().ok_or(DeviceError::NotEnrolled)
    }

    /// Keeps what central answered (the second phase). Durable when it returns.
    ///
    /// # Errors
    /// [`DeviceError`]; then the device is as it was.
    pub fn enrol(&mut self, mut enrolment: Enrolment) -> Result<(), DeviceError> {
        let is_same = |known: &&Enrolment| known.site == enrolment.site && known.hardware == enrolment.hardware;
        if let Some(known) = self.identity.enrolment.as_ref().filter(is_same) {
            enrolment.bound_ms = known.bound_ms.or(enrolment.bound_ms);
        }
        self.change(|identity| identity.enrolment = Some(enrolment))
    }

    /// Goes on under another journal, after damage or a new enrolment. Durable when it returns.
    ///
    /// # Errors
    /// [`DeviceError`]; then the device is as it was.
    pub fn replace_journal(&mut self, journal: JournalId) -> Result<(), DeviceError> {
        self.change(|identity| identity.journal = journal)
    }

    /// Goes on under another private journal, after damage. Durable when it returns.
    ///
    /// # Errors
    /// [`DeviceError`]; then the device is as it was.
    pub fn replace_private_journal(&mut self, journal: JournalId) -> Result<(), DeviceError> {
        self.change(|identity| identity.private_journal = journal)
    }

    /// Notes that both journals were made. Durable when it returns.
    ///
    /// # Errors
    /// [`DeviceError`]; then the device is as it was.
    pub fn note_journals(&mut self) -> Result<(), DeviceError> {
        if self.identity.has_journals {
            return Ok(());
        }
        self.change(|identity| identity.has_journals = true)
    }

    /// The last control row that a local copy had made durable: one that has fewer was set back, and central does not repeat what
    /// it has forgotten since.
    pub fn control(&self) -> ControlNumber {
        self.control
    }

    /// Notes a control row that the local copy has made durable.
    ///
    /// # Errors
    /// [`DeviceError`]; then the device is as it was.
    pub fn keep_control(&mut self, control: ControlNumber) -> Result<(), DeviceError> {
        if control == self.control {
            return Ok(());
        }
        let bytes = checked(CONTROL_MAGIC, &control.0.to_le_bytes());
        durable_file::replace_private(&self.folder.join(CONTROL_NAME), &bytes)?;
        self.control = control;
        Ok(())
    }

    /// The token to show in the next request; [`Token::NONE`] before the first reply.
    pub fn token(&self) -> Token {
        self.token
    }

    /// Keeps the token of a reply. Durable when it returns; only then it may be shown (rule 5.7).
    ///
    /// # Errors
    /// [`DeviceError`]; then the old token is still the one to show.
    pub fn keep_token(&mut self, token: Token) -> Result<(), DeviceError> {
        durable_file::replace_private(&self.folder.join(TOKEN_NAME), &checked(TOKEN_MAGIC, &token.0))?;
        self.token = token;
        Ok(())
    }

    fn change(&mut self, change: impl FnOnce(&mut Identity)) -> Result<(), DeviceError> {
        let mut identity = self.identity.clone();
        change(&mut identity);
        identity.write(&self.folder)?;
        self.identity = identity;
        Ok(())
    }
}

fn make_key(path: &Path) -> Result<Ed25519Signer, DeviceError> {
    let seed = Zeroizing::new(entropy::bytes::<32>());
    durable_file::replace_private(path, &checked(KEY_MAGIC, seed.as_slice()))?;
    Ok(Ed25519Signer::from_seed(&seed))
}

fn read_key(folder: &Path) -> Result<Option<Ed25519Signer>, DeviceError> {
    if folder.exists() {
        durable_file::check_private_folder(folder)?;
    }
    read_key_file(&folder.join(KEY_NAME))
}

fn read_key_file(path: &Path) -> Result<Option<Ed25519Signer>, DeviceError> {
    let Some(bytes) = read_of_version(path, KEY_MAGIC)? else { return Ok(None) };
    let damaged = || DeviceError::Damaged { path: path.to_path_buf() };
    let content = unchecked(KEY_MAGIC, &bytes).ok_or_else(damaged)?;
    let seed: Zeroizing<[u8; 32]> = Zeroizing::new(content.try_into().map_err(|_| damaged())?);
    Ok(Some(Ed25519Signer::from_seed(&seed)))
}

/// A token that cannot be read is none, and recording does not need it. To central a device without its token looks like a copy of
/// itself: the site stops until an administrator lets it go on.
fn read_token(folder: &Path) -> Result<Token, DeviceError> {
    let path = folder.join(TOKEN_NAME);
    let Some(bytes) = read_of_version(&path, TOKEN_MAGIC)? else { return Ok(Token::NONE) };
    let token = unchecked(TOKEN_MAGIC, &bytes).and_then(|content| Token::try_from(content).ok());
    Ok(token.unwrap_or_else(|| {
        log::warn!(
            "the token cannot be read and counts as lost: central will stop the site until an administrator runs \
             `outpost-central site resume` path={}",
            path.display()
        );
        Token::NONE
    }))
}

/// As a token: without the number a local copy that was set back may go unnoticed, and nothing else changes.
fn read_control(folder: &Path) -> Result<ControlNumber, DeviceError> {
    let path = folder.join(CONTROL_NAME);
    let Some(bytes) = read_of_version(&path, CONTROL_MAGIC)? else { return Ok(ControlNumber(0)) };
    let number = unchecked(CONTROL_MAGIC, &bytes).and_then(|content| content.try_into().ok()).map(u64::from_le_bytes);
    Ok(ControlNumber(number.unwrap_or_else(|| {
        log::warn!("the number of the last control row cannot be read path={}", path.display());
        0
    })))
}

/// The bytes of a file, whose magic ends with its version and a line feed. A whole file of another version is not taken for a damaged
/// one: a token that counts as lost makes central stop the site. In every version the checksum stands at the end.
fn read_of_version(path: &Path, magic: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, DeviceError> {
    let Some(bytes) = durable_file::read_private(path, FILE_BYTES_MAX)? else { return Ok(None) };
    let name = magic.strip_suffix(b"1\n").unwrap_or(magic);
    let found = unchecked(name, &bytes).filter(|_| !bytes.starts_with(magic));
    match found.and_then(<[u8]>::first).filter(|digit| digit.is_ascii_digit()) {
        Some(digit) => Err(DeviceError::Version { path: path.to_path_buf(), found: u64::from(digit - b'0') }),
        None => Ok(Some(bytes)),
    }
}

/// Content between its magic bytes and its checksum.
fn checked(magic: &[u8], content: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(magic.len() + content.len() + 4));
    bytes.extend_from_slice(magic);
    bytes.extend_from_slice(content);
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The content, if magic bytes and checksum are right.
fn unchecked<'a>(magic: &[u8], bytes: &'a [u8]) -> Option<&'a [u8]> {
    let (covered, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(covered) != u32::from_le_bytes(*checksum) {
        return None;
    }
    covered.strip_prefix(magic)
}

#[cfg(test)]
mod tests;
