//! A central that was set back to an older backup (rule 5.12): how cursors show it.

use protocol::message::{Cursor, RequestHead, ScopeCursor};

use super::batch::Batch;
use super::error::StoreError;
use super::state;

impl Batch<'_> {
    /// Refuses a request that shows to have read what this central never wrote, whatever else it brings: the device reads everything
    /// again, and what it sends comes with its next session. That the site is ahead is kept although the request is refused.
    ///
    /// # Errors
    /// Refused with `central_set_back`.
    pub(super) fn check_time_line(&mut self, head: &RequestHead) -> Result<(), StoreError> {
        let position = self.state.position;
        // Those that the site showed before are of this time line: a quiet exchange shows no other.
        let known = &self.site(head.site)?.cursors;
        let is_new = |shown: &&ScopeCursor| known.get(&shown.scope) != Some(&shown.cursor);
        let new: Vec<Cursor> = head.cursors.iter().filter(is_new).map(|shown| shown.cursor).chain(head.heard).collect();
        for cursor in new {
            if !state::contains(self.sql, &cursor, position)? {
                self.job(|batch| batch.note_ahead(head.site))?;
                return Err(other_time_line(&cursor));
            }
        }
        Ok(())
    }
}

/// What a site is told that shows a cursor which this central never gave.
pub(super) fn other_time_line(cursor: &Cursor) -> StoreError {
    let what = format!(
        "the site has position {} of an epoch that central does not know or did not get so far in: central was set back to an \
         older state",
        cursor.number
    );
    StoreError::refused("central_set_back", &what)
}
