//! Implements what `protocol` needs from outside, for both programs: zstd behind [`protocol::edge::Codec`], ed25519 behind
//! [`protocol::edge::Signer`] and [`protocol::edge::Verifier`]. Why these parameters: `docs/decisions/compression.md`.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod compression;
mod dictionary;
mod signature;

pub use compression::{CONTEXT_BYTES_MAX, Parameters, Search, ZstdCodec};
pub use dictionary::{BUILT_IN_LATEST, built_in};
pub use signature::{Ed25519Signer, Ed25519Verifier};
