//! What the last sessions left to say beside their times: what may be done about a failure, and what waits at central. For people; nothing
//! is decided by it.

use serde::{Deserialize, Serialize};
use sql::Durability;

use super::{LocalCopy, LocalCopyError};

/// Name of the content.
const STANDING: &str = "sync_standing";

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What a person may do about the failure of the last session; empty if it did not fail.
    pub advice: String,
    /// What waits at central for this site, as it was last told; `None` before that.
    pub at_central: Option<AtCentral>,
}

/// Rows that wait at central for a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtCentral {
    /// How many, less those that have come since.
    pub rows: u64,
    /// When that was so by this device's wall clock, in milliseconds since 1970.
    pub at_ms: u64,
}

impl LocalCopy {
    /// What was noted last.
    ///
    /// # Errors
    /// Those of a read.
    pub fn standing(&mut self) -> Result<Standing, LocalCopyError> {
        // Written by another version: the next session tells it again.
        Ok(self.content(STANDING)?.and_then(|content| postcard::from_bytes(&content).ok()).unwrap_or_default())
    }

    /// Notes what a session left to say. Without `at_central`, which central tells early in a session, what was known stays.
    ///
    /// # Errors
    /// Those of a read or a write.
    pub fn remember_standing(&mut self, advice: &str, at_central: Option<AtCentral>) -> Result<(), LocalCopyError> {
        let known = self.standing()?.at_central;
        let standing = Standing { advice: advice.to_owned(), at_central: at_central.or(known) };
        let content = protocol::message::encode(&standing);
        self.transaction(Durability::Process, |copy| copy.set_content(STANDING, Some(&content)))
    }
}
