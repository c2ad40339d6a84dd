//! Reading a file.

use std::io::{self, Read, Seek, SeekFrom};

use crate::chunk::{Chunks, IsLast};
use crate::error::SealedError;
use crate::header::{HEADER_BYTES, Header, Kind};
use crate::passphrase::Passphrase;
use crate::{CHUNK_BYTES, TAG_BYTES};

/// Gives the content of a sealed file. Each chunk was checked when its bytes come out; that the file goes on as it was written is known
/// at its end alone, so that whoever must not act on half of it calls [`SealedReader::verify`] first.
pub struct SealedReader<R: Read> {
    input: R,
    kind: Kind,
    chunks: Chunks,
    /// The next chunk as it lies in the file, and the first byte behind it.
    ahead: Vec<u8>,
    content: Vec<u8>,
    taken: usize,
    has_opened: bool,
    is_over: bool,
}

impl<R: Read> SealedReader<R> {
    /// Reads the header, makes the key and opens the first chunk, so that a wrong passphrase is noticed here.
    ///
    /// # Errors
    /// [`SealedError`]; [`SealedError::Kind`] for another kind than is wanted.
    pub fn open(mut input: R, wanted: Kind, passphrase: &Passphrase) -> Result<Self, SealedError> {
        let mut header = [0; HEADER_BYTES];
        match input.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(SealedError::Form),
            other => other?,
        }
        let header = Header::decode(&header)?;
        if header.kind != wanted {
            return Err(SealedError::Kind { found: Some(header.kind), wanted: Some(wanted) });
        }
        let mut reader = Self {
            input,
            kind: header.kind,
            chunks: Chunks::of(&header, passphrase)?,
            ahead: Vec::with_capacity(CHUNK_BYTES + TAG_BYTES + 1),
            content: Vec::with_capacity(CHUNK_BYTES + TAG_BYTES),
            taken: 0,
            has_opened: false,
            is_over: false,
        };
        reader.next_chunk()?;
        Ok(reader)
    }

    /// What the file is for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Opens the next chunk; false if there is none.
    fn next_chunk(&mut self) -> Result<bool, SealedError> {
        if self.is_over {
            return Ok(false);
        }
        let wanted = CHUNK_BYTES + TAG_BYTES + 1;
        let missing = wanted.saturating_sub(self.ahead.len()) as u64;
        (&mut self.input).take(missing).read_to_end(&mut self.ahead)?;
        let is_last = IsLast(self.ahead.len() < wanted);
        self.content.clear();
        if is_last.0 {
            std::mem::swap(&mut self.content, &mut self.ahead);
            self.ahead.clear();
        } else {
            let next = self.ahead.pop();
            std::mem::swap(&mut self.content, &mut self.ahead);
            self.ahead.clear();
            self.ahead.extend(next);
        }
        self.taken = 0;
        if !self.chunks.open(&mut self.content, is_last)? {
            self.is_over = true;
            self.content.clear();
            return Err(if self.has_opened { SealedError::Damaged } else { SealedError::Locked });
        }
        (self.has_opened, self.is_over) = (true, is_last.0);
        Ok(true)
    }
}

impl<R: Read + Seek> SealedReader<R> {
    /// Reads to the end, so that it is known that the file is whole, and begins anew. How many bytes of content there are.
    ///
    /// # Errors
    /// [`SealedError::Damaged`], [`SealedError::Io`].
    pub fn verify(&mut self) -> Result<u64, SealedError> {
        self.rewind()?;
        let bytes = io::copy(self, &mut io::sink())?;
        self.rewind()?;
        Ok(bytes)
    }

    /// Begins with the first byte of the content again.
    ///
    /// # Errors
    /// As [`SealedReader::verify`].
    pub fn rewind(&mut self) -> Result<(), SealedError> {
        self.input.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
        self.chunks.rewind();
        self.ahead.clear();
        self.is_over = false;
        self.next_chunk().map(|_| ())
    }
}

impl<R: Read> Read for SealedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.content.len() {
            if buffer.is_empty() || !self.next_chunk()? {
                return Ok(0);
            }
        }
        let left = self.content.get(self.taken..).unwrap_or_default();
        let count = left.len().min(buffer.len());
        buffer.iter_mut().zip(left).for_each(|(byte, plain)| *byte = *plain);
        self.taken += count;
        Ok(count)
    }
}
