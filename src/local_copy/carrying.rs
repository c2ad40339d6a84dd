//! The note of a request that went by file and waits for its answer (`docs/sync-protocol.md`, "By file"); and whether an export may be
//! taken.

use protocol::ids::Sequence;
use protocol::session::Page;
use serde::{Deserialize, Serialize};
use sql::Durability;

use super::{LocalCopy, LocalCopyError};

/// Name of the content that is the note.
const NOTE: &str = "carried_request";

/// How a reply came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// In a session, which overtakes a request that went by file.
    Link,
    /// By file: it is the answer that is waited for.
    File,
}

/// What went by file and waits for its answer. One at most: a later one takes its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarryNote {
    /// The body of the request's head: all that the device showed, and by its hash what the answer is bound to.
    pub head: Vec<u8>,
    /// How far central was known to have received the journal then.
    pub received: Sequence,
    /// Whether the head of the answer is stored, and some of its pages may be.
    pub is_answered: bool,
}

impl LocalCopy {
    /// What waits for its answer.
    ///
    /// # Errors
    /// Those of a read.
    pub fn carry_note(&mut self) -> Result<Option<CarryNote>, LocalCopyError> {
        // One of another version is none: another request is carried out.
        Ok(self.content(NOTE)?.and_then(|content| postcard::from_bytes(&content).ok()))
    }

    /// Notes durably what is about to go by file, in place of what went before.
    ///
    /// # Errors
    /// Those of a write.
    pub fn keep_carry_note(&mut self, note: &CarryNote) -> Result<(), LocalCopyError> {
        let content = protocol::message::encode(note);
        self.transaction(Durability::Full, |copy| copy.set_content(NOTE, Some(&content)))
    }

    /// Forgets it: its answer was taken to the end.
    ///
    /// # Errors
    /// Those of a write.
    pub fn forget_carry_note(&mut self) -> Result<(), LocalCopyError> {
        self.transaction(Durability::Full, |copy| copy.set_content(NOTE, None))
    }

    /// In the transaction that stores a reply: what was shown before is so no more.
    pub(super) fn note_reply(&mut self, way: Way) -> Result<(), LocalCopyError> {
        let Some(note) = self.carry_note()? else { return Ok(()) };
        match way {
            Way::Link => self.set_content(NOTE, None),
            Way::File => {
                let content = protocol::message::encode(&CarryNote { is_answered: true, ..note });
                self.set_content(NOTE, Some(&content))
            }
        }
    }

    /// Stores a page of an export; whether it was: one of what is here already, or of another time line than that, is passed over. A
    /// scope of which something older is here is read anew, as an export does it from the beginning: what went meanwhile, and why, may
    /// stand in no lane any more. What does not come goes.
    ///
    /// # Errors
    /// As [`LocalCopy::store_page`].
    pub fn import_page(&mut self, page: &Page) -> Result<bool, LocalCopyError> {
        let cursors = self.session_state()?.cursors;
        let mut begins_anew = false;
        if let Some(here) = cursors.iter().find(|shown| shown.scope == page.scope).map(|shown| shown.cursor) {
            if here.epoch != page.cursor.epoch {
                return Ok(false);
            }
            begins_anew = here.began != page.cursor.began && here.number < page.cursor.began;
            if !begins_anew && here.number >= page.cursor.number {
                return Ok(false);
            }
        }
        self.store_page_of(page, begins_anew)?;
        Ok(true)
    }

    /// Whether scopes are being read from their beginning again: then what comes otherwise would be taken for that.
    ///
    /// # Errors
    /// Those of a read.
    pub fn reads_anew(&mut self) -> Result<bool, LocalCopyError> {
        Ok(self.is_rebuilding()? || self.is_other_time_line()? || self.heard()?.is_some())
    }
}
