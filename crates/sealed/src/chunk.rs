//! Chunks under one key: ChaCha20-Poly1305, in an order that cannot be changed (the construction STREAM).
//!
//! The nonce is the chunk's number and whether it is the last one. No nonce comes twice under a key, because the key comes from the file's
//! own salt; each tag covers the header.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, Tag, UnboundKey};

use crate::TAG_BYTES;
use crate::error::SealedError;
use crate::header::{HEADER_BYTES, Header};
use crate::passphrase::Passphrase;

/// Whether a chunk is the file's last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IsLast(pub(crate) bool);

/// Seals or opens the chunks of one file, in order.
pub(crate) struct Chunks {
    key: LessSafeKey,
    header: [u8; HEADER_BYTES],
    number: u32,
    is_over: bool,
}

impl Chunks {
    /// Makes the key; takes as long as the header's cost says.
    pub(crate) fn of(header: &Header, passphrase: &Passphrase) -> Result<Self, SealedError> {
        let memory_kib = header.cost.memory_kib;
        let failed = |_: argon2::Error| SealedError::Memory { memory_kib };
        let key = header.cost.key(passphrase.as_bytes(), &header.salt).map_err(failed)?;
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_slice()).expect("the key has the cipher's 32 bytes");
        Ok(Self { key: LessSafeKey::new(key), header: header.encode(), number: 0, is_over: false })
    }

    /// Begins with the first chunk again.
    pub(crate) fn rewind(&mut self) {
        (self.number, self.is_over) = (0, false);
    }

    /// Encrypts a chunk and puts its tag behind it.
    pub(crate) fn seal(&mut self, chunk: &mut Vec<u8>, is_last: IsLast) -> Result<(), SealedError> {
        let nonce = self.next_nonce(is_last)?;
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(&self.header), chunk);
        chunk.extend_from_slice(tag.map_err(|_| SealedError::TooLarge)?.as_ref());
        Ok(())
    }

    /// Decrypts a chunk and takes its tag off; `false` if it is not the one that was written in this place.
    pub(crate) fn open(&mut self, chunk: &mut Vec<u8>, is_last: IsLast) -> Result<bool, SealedError> {
        let Some(length) = chunk.len().checked_sub(TAG_BYTES) else { return Ok(false) };
        let tag = chunk.split_off(length);
        let Ok(tag) = Tag::try_from(tag.as_slice()) else { return Ok(false) };
        let nonce = self.next_nonce(is_last)?;
        Ok(self.key.open_in_place_separate_tag(nonce, Aad::from(&self.header), tag, chunk, 0..).is_ok())
    }

    fn next_nonce(&mut self, is_last: IsLast) -> Result<Nonce, SealedError> {
        if self.is_over {
            return Err(SealedError::TooLarge);
        }
        let number = self.number.to_be_bytes();
        let fields = [0; 7].into_iter().chain(number).chain([u8::from(is_last.0)]);
        let mut nonce = [0; NONCE_LEN];
        nonce.iter_mut().zip(fields).for_each(|(byte, field)| *byte = field);
        self.is_over = is_last.0;
        self.number = self.number.checked_add(1).ok_or(SealedError::TooLarge)?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}
