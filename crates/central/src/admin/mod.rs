//! Verbs through the socket of a running server: HTTP over a Unix socket that only the folder's owner can open.
//!
//! `POST /v0/verbs`: the first line is a [`crate::operations::Request`] as JSON, what `import` or `carry` reads follows. The answer is
//! NDJSON: `{"progress": ..}` while it runs, `{"bytes": ..}` with what it writes in hexadecimal digits, then one `{"done": ..}` or
//! `{"error": ..}`. An answer without one of these was cut.

mod client;
mod server;

use serde::{Deserialize, Serialize};

pub use client::ask;
pub use server::{SocketPeer, router};

use crate::error::CentralError;
use crate::operations::{Done, Progress};

/// The path of the one route.
pub const VERBS_PATH: &str = "/v0/verbs";

/// Longest first line, in bytes: a site with a thousand stores.
pub const REQUEST_LINE_BYTES_MAX: usize = 128 * 1024;

/// One line of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Progress(Progress),
    /// What the verb writes, in hexadecimal digits.
    Bytes(String),
    Done(Done),
    Error(CentralError),
}
