//! The plain bytes before a frame or page that serve as its dictionary.

use alloc::vec::Vec;

use crate::limits::DICTIONARY_BYTES_MAX;

/// The last [`DICTIONARY_BYTES_MAX`] plain bytes of a request, reply or file; both sides keep the same.
#[derive(Debug, Default, Clone)]
pub struct History {
    bytes: Vec<u8>,
}

impl History {
    /// What the next frame may refer to.
    pub fn bytes(&self) -> &[u8] {
        let start = self.bytes.len().saturating_sub(DICTIONARY_BYTES_MAX);
        self.bytes.get(start..).unwrap_or_default()
    }

    /// Adds the plain bytes of a frame that was sent or received whole.
    pub fn push(&mut self, plain: &[u8]) {
        // Let it grow to twice the limit before moving bytes, so that each is moved at most once.
        if self.bytes.len() + plain.len() > 2 * DICTIONARY_BYTES_MAX {
            let keep = DICTIONARY_BYTES_MAX.saturating_sub(plain.len()).min(self.bytes.len());
            self.bytes.drain(..self.bytes.len() - keep);
        }
        let start = plain.len().saturating_sub(DICTIONARY_BYTES_MAX);
        self.bytes.extend_from_slice(plain.get(start..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_bytes_are_kept_whatever_the_pieces() {
        let plain: Vec<u8> = (0..DICTIONARY_BYTES_MAX * 3).map(|index| u8::try_from(index % 251).unwrap()).collect();
        for piece in [1000, 100_000, DICTIONARY_BYTES_MAX * 2] {
            let mut history = History::default();
            for chunk in plain.chunks(piece) {
                history.push(chunk);
            }
            assert_eq!(history.bytes(), &plain[plain.len() - DICTIONARY_BYTES_MAX..]);
        }
    }
}
