//! Who writes central data: central, or in a mirrored system the primary, a remote site (`domain.md`, "Words"; seed 001, "Mirrored sync").
//!
//! The authority is held like a store, under an ownership number, by a grant of the reserved id [`CENTRAL_DATA`]. It goes from one to the
//! other in steps, so that there is never more than one who writes: what was held is frozen, then the next holder gets everything, then
//! it is told its number.
//!
//! | data | mirrored: may be written by |
//! | --- | --- |
//! | central; central, dispensary; name; central store | the primary |
//! | of these: stores and their preferences, visibility of names but for patients, dashboard reports | central (`mirrored = "central"` in the catalogue) |
//! | everything else | as in a system without a mirror |

use protocol::ids::RecordId;

use crate::judge::Holding;

/// The store's id in the grant of central data. No store has it: a record of the table of stores with this id is refused.
pub const CENTRAL_DATA: &str = "central data";

/// [`CENTRAL_DATA`] as an id.
///
/// # Panics
/// Never: it is short enough.
pub fn central_data() -> RecordId {
    RecordId::new(CENTRAL_DATA).expect("twelve bytes are within the limit of an id")
}

/// Who writes central data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// Central itself, or, as a device sees it, anybody but that device.
    Central,
    /// The primary of a mirrored system, under a number.
    Primary(Holding),
    /// Nobody, while it goes from one to the other; the site that is about to hold it.
    Frozen(Holding),
}
