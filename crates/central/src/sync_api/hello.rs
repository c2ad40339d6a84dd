//! `GET /hello`: who answers here, for a device that checks its connection. It asks the store nothing and tells no secret.

use protocol::edge::Signer as _;
use protocol::message;
use serde::Serialize;

use crate::center::Center;
use crate::clock;

/// The name by which central tells itself from a sign-in page or a proxy.
const PRODUCT: &str = "outpost-central";

/// The answer.
#[derive(Serialize)]
pub(super) struct Hello {
    product: &'static str,
    /// Of the program, for people.
    release: &'static str,
    /// Oldest version of messages that is understood.
    version_min: u8,
    /// Newest.
    version_max: u8,
    /// In hexadecimal digits. A device that is enrolled has pinned it.
    central_key: String,
    /// Milliseconds since 1970, by central's clock.
    time_ms: u64,
}

impl Hello {
    pub(super) fn of(center: &Center) -> Self {
        Self {
            product: PRODUCT,
            release: env!("CARGO_PKG_VERSION"),
            version_min: message::VERSION_MIN,
            version_max: message::VERSION,
            central_key: center.signer().public_key().to_string(),
            time_ms: clock::wall_ms(),
        }
    }
}
