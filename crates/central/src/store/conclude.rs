//! The end of a request: judge what came, and say what the reply's head holds (rules 5.6, 5.7 and 5.9).

use protocol::exchange::Conclusion;
use protocol::ids::{ControlNumber, Position, Sequence, SiteId};
use protocol::limits;
use protocol::message::{self, ReplyHead, RequestHead, ScopeCursor};

use super::Reading;
use super::batch::Batch;
use super::error::StoreError;
use super::receive::PartsOf;

/// How far judging got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// Groups that were judged.
    pub groups: u64,
    /// Whether complete groups are left: time was up, or the site has too many control rows to read first.
    pub has_more: bool,
}

impl Batch<'_> {
    /// Ends an exchange. `goes_on` is asked before each group but the first: whether there is
    /// time to judge it; what is left is judged by a later call.
    ///
    /// # Errors
    /// Refused with `unknown_site`, `not_enrolled`, `unknown_journal`.
    pub fn conclude(
        &mut self,
        head: &RequestHead,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<Conclusion, StoreError> {
        if let Some(journal) = self.job(|batch| batch.closed_journal(head.site, head.journal))? {
            return self.conclude_retired(head, &journal);
        }
        self.job(|batch| {
            let site = head.site;
            batch.judge_site(site, goes_on)?;
            let journal = batch.active_journal(site)?.clone();
            if journal.id != head.journal {
                let what = format!("journal {} of site {site} was closed during the exchange", head.journal);
                return Err(StoreError::refused("unknown_journal", &what));
            }
            let control = batch.control_page(site)?;
            // Verdicts of older journals come as control rows, and what they wrote as rows of the lanes.
            let has_unjudged_journal = batch.site(site)?.has_unjudged_journal;
            let sent = control.rows.last().map_or(ControlNumber(0), |row| row.number);
            let judged = batch.judged_as_told(site, sent)?;
            let scopes = batch.scopes_with_cursors(head)?;
            let frame_part = batch.part_state(PartsOf::Active(site))?.map(|(state, _)| state);
            let mut reading = Reading { sql: &mut *batch.sql, catalogue: batch.catalogue };
            let rows_waiting =
                if head.counts_rows { Some(reading.rows_waiting(journal.number, &scopes)?) } else { None };
            let is_drained = head.head <= journal.received
                && !has_unjudged_journal
                && reading.is_drained(journal.number, &scopes)?;
            let token = batch.note_contact(head, is_drained)?;
            let active = batch.active_journal(site)?;
            if active.told != active.received {
                (active.told, active.is_changed) = (active.received, true);
            }
            let reply = ReplyHead {
                version: message::VERSION,
                token,
                received: journal.received,
                received_hash: journal.received_hash,
                judged,
                // Central has no backups of its own yet.
                backed_up: Sequence::ZERO,
                epoch: batch.state.epoch,
                position: Position(batch.state.position),
                admitted_bytes: limits::REQUEST_FRAME_BYTES_MAX,
                frame_part,
                control: control.rows,
                has_more_control: control.has_more || has_unjudged_journal,
                rows_waiting,
                has_pages: false,
            };
            Ok(Conclusion { reply, scopes })
        })
    }

    /// Judges what earlier exchanges of a site left.
    ///
    /// # Errors
    /// [`StoreError::Sql`]; refused with `unknown_site`.
    pub fn judge(&mut self, site: SiteId, goes_on: &mut dyn FnMut() -> bool) -> Result<Judged, StoreError> {
        self.job(|batch| batch.judge_site(site, goes_on))
    }

    /// Each scope of the site with the cursor that the head shows; one that it does not show is read from the start.
    fn scopes_with_cursors(&mut self, head: &RequestHead) -> Result<Vec<ScopeCursor>, StoreError> {
        let scopes = self.site(head.site)?.scopes.clone();
        let with_cursor = scopes.into_iter().map(|scope| {
            let shown = head.cursors.iter().find(|shown| shown.scope == scope);
            let cursor = shown.map(|shown| shown.cursor).unwrap_or_default();
            ScopeCursor { scope, cursor }
        });
        Ok(with_cursor.collect())
    }

    /// A device that shows the last token has stored the reply that gave it, and so has heard its receipt (rule 5.7).
    pub(super) fn note_heard(&mut self, head: &RequestHead) -> Result<(), StoreError> {
        let journal = self.active_journal(head.site)?.clone();
        if journal.heard == journal.told {
            return Ok(());
        }
        if self.is_last_token(head.site, head.token)? {
            let journal = self.active_journal(head.site)?;
            (journal.heard, journal.is_changed) = (journal.told, true);
        }
        Ok(())
    }
}
