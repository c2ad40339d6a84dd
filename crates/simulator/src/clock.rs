//! The only clock of the simulator: how long seeds take, for people. No run reads it.

use std::time::Instant;

/// This moment.
#[expect(clippy::disallowed_methods, reason = "this is the file that the ban points to")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
