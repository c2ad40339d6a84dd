//! How applications and the other verbs reach a running agent: HTTP/1.1 over a Unix socket in the data folder, and over a loopback
//! address and, encrypted, over the local network where the settings say so.
//!
//! `POST /v0/VERB` carries a [`Request`](crate::operations::Request) and is answered by lines of JSON: progress as it happens,
//! then one result or one error. `docs/local-api.md` is the description for those who call it. The server knows its
//! listeners only through [`listener::Listener`].
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod access;
mod client;
mod description;
mod encrypted;
mod head;
pub mod listener;
mod loopback;
mod metrics;
mod page_address;
mod pages;
mod reply;
mod routes;
mod server;
mod socket;
mod status_page;
#[cfg(test)]
mod tests;

pub use access::{Access, AccessError};
pub use client::SocketClient;
pub use encrypted::{CertificateError, ClientCertificate, ClientListener};
pub use loopback::LoopbackListener;
pub use page_address::page_address;
pub(crate) use routes::stopping;
pub use server::{CONNECTIONS_MAX, Server, ServerLimits};
pub use socket::{SOCKET_PATH_BYTES_MAX, SocketError, SocketListener};

/// The header that carries [`RecordOptions`](crate::operations::RecordOptions) as JSON, so that the body is the lines alone.
pub const OPTIONS_HEADER: &str = "Outpost-Options";
/// Largest head of a request or reply, in bytes: a handful of headers and the options.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// The prefix of every path: the version of this interface.
const PATH_PREFIX: &str = "/v0/";
