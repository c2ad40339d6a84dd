//! The file `clients` of a data folder: one line of JSON, and its checksum.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{CLIENT_NAME_BYTES_MAX, CLIENTS_MAX, ClientsError};
use crate::{checked_line, durable_file};

/// Largest file, in bytes: each client has a name, a hash, two times and their labels.
const BYTES_MAX: usize = CLIENTS_MAX * (CLIENT_NAME_BYTES_MAX + 256) + 256;
/// Of the format.
const VERSION: u64 = 1;

/// Everything in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    version: u64,
    pub(super) clients: Vec<Client>,
    /// When this was written, by the wall clock.
    pub(super) noted_ms: u64,
}

/// One client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Client {
    pub(super) name: String,
    /// SHA-256 of its token, in hexadecimal.
    pub(super) token_hash: String,
    pub(super) added_ms: u64,
    pub(super) last_use_ms: Option<u64>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { version: VERSION, clients: Vec::new(), noted_ms: 0 }
    }
}

impl Kept {
    pub(super) fn read(path: &Path) -> Result<Self, ClientsError> {
        let Some(bytes) = durable_file::read_private(path, BYTES_MAX)? else { return Ok(Self::default()) };
        let kept: Option<Self> = checked_line::checked(&bytes).and_then(|line| serde_json::from_str(line).ok());
        kept.filter(|kept| kept.version == VERSION && kept.clients.len() <= CLIENTS_MAX)
            .ok_or_else(|| ClientsError::Damaged { path: path.to_path_buf() })
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), ClientsError> {
        let line = serde_json::to_string(self).expect("texts and numbers under names are JSON");
        Ok(durable_file::replace_private(path, checked_line::with_checksum(&line).as_bytes())?)
    }
}
