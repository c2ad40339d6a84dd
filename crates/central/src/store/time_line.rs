//! A central that was set back to an older backup (rule 5.12): how it finds that out, and how far its sites have healed with it.

use protocol::ids::SiteId;
use protocol::message::{Cursor, RequestHead, ScopeCursor};

use super::batch::Batch;
use super::error::StoreError;
use super::{state, unsigned};

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

    /// The site has heard more of central than central remembers.
    pub(super) fn note_ahead(&mut self, site: SiteId) -> Result<(), StoreError> {
        self.sql.execute(
            "INSERT INTO site_ahead (site, noticed_ms) VALUES (?1, ?2)
             ON CONFLICT (site) DO UPDATE SET healed_ms = NULL,
                noticed_ms = CASE WHEN site_ahead.healed_ms IS NULL THEN site_ahead.noticed_ms ELSE excluded.noticed_ms END",
            &[site.0.into(), unsigned(self.now_ms)],
        )?;
        Ok(())
    }

    /// Notes that a site which was ahead is healed, with an exchange at which nothing waits either way.
    pub(super) fn note_healed(&mut self, site: SiteId) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE site_ahead SET healed_ms = ?2 WHERE site = ?1 AND healed_ms IS NULL",
            &[site.0.into(), unsigned(self.now_ms)],
        )?;
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
