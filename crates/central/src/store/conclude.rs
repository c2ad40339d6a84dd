//! The end of a request: judge what came, and say what the reply's head holds (rules 5.6, 5.7 and 5.9).

use protocol::exchange::Conclusion;
use protocol::ids::{ControlNumber, Position, Sequence, SiteId, Token};
use protocol::limits;
use protocol::message::{self, ReplyHead, RequestHead, ScopeCursor};
use sql::SqlExt;

use super::batch::Batch;
use super::error::StoreError;
use super::limits::TOKENS_GIVEN_MAX;
use super::{Reading, unsigned};

/// How far judging got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// Groups that were judged.
    pub groups: u64,
    /// Whether complete groups are left: time was up, or the site has too many control rows to read first.
    pub has_more: bool,
}

impl Batch<'_> {
    /// Ends an exchange. `token` is fresh and random. `goes_on` is asked before each group but the first: whether there is
    /// time to judge it; what is left is judged by a later call.
    ///
    /// # Errors
    /// Refused with `unknown_site`, `not_enrolled`, `unknown_journal`.
    pub fn conclude(
        &mut self,
        head: &RequestHead,
        token: Token,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<Conclusion, StoreError> {
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
            let frame_part = batch.part_state(site)?.map(|(state, _)| state);
            let mut reading = Reading { sql: &mut *batch.sql, catalogue: batch.catalogue };
            let rows_waiting =
                if head.counts_rows { Some(reading.rows_waiting(journal.number, &scopes)?) } else { None };
            let is_drained = head.head <= journal.received
                && !has_unjudged_journal
                && reading.is_drained(journal.number, &scopes)?;
            batch.note_contact(head, token, is_drained)?;
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
        let sql = "SELECT tokens_given FROM contact WHERE site = ?1";
        let given = self.sql.query_one(sql, &[head.site.0.into()], |row| Ok(row.blob(0)?.to_vec()))?;
        if given.is_some_and(|given| given.ends_with(&head.token.0)) {
            let journal = self.active_journal(head.site)?;
            (journal.heard, journal.is_changed) = (journal.told, true);
        }
        Ok(())
    }

    /// Keeps the token and the time: the one thing that a quiet exchange writes. Nothing is refused by tokens yet.
    fn note_contact(&mut self, head: &RequestHead, token: Token, is_drained: bool) -> Result<(), StoreError> {
        let site = head.site.0.into();
        let sql = "SELECT token_used, tokens_given FROM contact WHERE site = ?1";
        let known = self
            .sql
            .query_one(sql, &[site], |row| Ok((row.optional_blob(0)?.map(<[u8]>::to_vec), row.blob(1)?.to_vec())))?;
        let (used, mut given) = known.unwrap_or_default();
        // The first token shown of those that were given becomes the used one, and the others die.
        let is_used_again = used.as_deref() == Some(&head.token.0[..]);
        if !is_used_again {
            given.clear();
        }
        given.extend_from_slice(&token.0);
        let excess = given.len().saturating_sub(TOKENS_GIVEN_MAX * token.0.len());
        given.drain(..excess);
        let now = unsigned(self.now_ms);
        self.sql.execute(
            "INSERT INTO contact (site, last_contact_ms, last_drained_ms, token_used, tokens_given)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (site) DO UPDATE SET last_contact_ms = excluded.last_contact_ms,
                last_drained_ms = coalesce(excluded.last_drained_ms, contact.last_drained_ms),
                token_used = excluded.token_used, tokens_given = excluded.tokens_given",
            &[site, now, is_drained.then_some(now).into(), (&head.token.0).into(), (&given).into()],
        )?;
        Ok(())
    }
}
