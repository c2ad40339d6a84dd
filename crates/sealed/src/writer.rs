//! Writing a file.

use std::io::{self, Write};

use zeroize::Zeroize as _;

use crate::chunk::{Chunks, IsLast};
use crate::error::SealedError;
use crate::header::{Cost, Header, Kind, SALT_BYTES};
use crate::passphrase::Passphrase;
use crate::{CHUNK_BYTES, TAG_BYTES};

/// Takes content and writes a sealed file. Without [`SealedWriter::finish`] there is no file that can be read.
pub struct SealedWriter<W: Write> {
    output: W,
    chunks: Chunks,
    content: Vec<u8>,
}

impl<W: Write> SealedWriter<W> {
    /// Makes the key and writes the header. `salt`: random bytes that no other file has.
    ///
    /// # Errors
    /// [`SealedError::Memory`], [`SealedError::Io`].
    pub fn begin(
        mut output: W,
        kind: Kind,
        passphrase: &Passphrase,
        cost: Cost,
        salt: [u8; SALT_BYTES],
    ) -> Result<Self, SealedError> {
        let header = Header { kind, cost, salt };
        let chunks = Chunks::of(&header, passphrase)?;
        output.write_all(&header.encode())?;
        Ok(Self { output, chunks, content: Vec::with_capacity(CHUNK_BYTES + TAG_BYTES) })
    }

    /// Writes the last chunk and gives back what was written to, which is not flushed.
    ///
    /// # Errors
    /// [`SealedError::Io`].
    pub fn finish(mut self) -> Result<W, SealedError> {
        self.put(IsLast(true))?;
        Ok(self.output)
    }

    fn put(&mut self, is_last: IsLast) -> Result<(), SealedError> {
        let sealed = self.chunks.seal(&mut self.content, is_last);
        let written = sealed.and_then(|()| Ok(self.output.write_all(&self.content)?));
        self.content.clear();
        written
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A chunk is written once it is known not to be the last one.
        if self.content.len() == CHUNK_BYTES && !bytes.is_empty() {
            self.put(IsLast(false)).inspect_err(|_| self.content.zeroize())?;
        }
        let room = CHUNK_BYTES - self.content.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.content.extend_from_slice(taken);
        Ok(taken.len())
    }

    /// What is written waits for its chunk to be full.
    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
