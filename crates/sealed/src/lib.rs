//! Sealed files (`docs/sealed-file-format.md`): what travels by stick, encrypted under a passphrase.
//!
//! They hold patients. A stick is lost, copied or read on a machine in a café, and nobody may learn more from it than its length and what
//! kind of file it is; what was altered, cut, lengthened or put into another order is refused. Who wrote the content is not said here:
//! whatever counts in it is signed.
//!
//! Streams in bounded memory: a chunk of [`CHUNK_BYTES`] at a time, beside what Argon2id takes while the key is made. Random bytes are an
//! argument.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod chunk;
mod error;
mod fresh_file;
#[cfg(test)]
#[path = "../../../tests/support/golden.rs"]
#[expect(unreachable_pub, reason = "shared with the tests of other crates")]
mod golden_files;
mod header;
mod passphrase;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use error::SealedError;
pub use fresh_file::FreshFile;
pub use header::{Cost, HEADER_BYTES, Kind, MEMORY_KIB_MAX, ROUNDS_MAX, SALT_BYTES};
pub use passphrase::{PASSPHRASE_BYTES_MAX, PASSPHRASE_BYTES_MIN, Passphrase};
pub use reader::SealedReader;
pub use writer::SealedWriter;

/// Bytes of content in each chunk but the last, which may have fewer.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes that each chunk is longer than its content.
pub const TAG_BYTES: usize = 16;

/// Bytes of content in a file of so many bytes; `None` for a length that no sealed file has.
pub fn content_bytes(file_bytes: u64) -> Option<u64> {
    let chunks_bytes = file_bytes.checked_sub(HEADER_BYTES as u64)?;
    let (whole, rest) = (chunks_bytes / SEALED_CHUNK_BYTES, chunks_bytes % SEALED_CHUNK_BYTES);
    match (whole, rest) {
        (0, 0) => None,
        (whole, 0) => Some(whole * CHUNK_BYTES as u64),
        (whole, rest) => Some(whole * CHUNK_BYTES as u64 + rest.checked_sub(TAG_BYTES as u64)?),
    }
}

const SEALED_CHUNK_BYTES: u64 = (CHUNK_BYTES + TAG_BYTES) as u64;
