//! The end of a request: judge what came, and say what the reply's head holds (rules 5.6, 5.7 and 5.9).

use protocol::control::ControlRow;
use protocol::exchange::Conclusion;
use protocol::ids::{ControlNumber, Position, Sequence, SiteId};
use protocol::limits;
use protocol::message::{self, ReplyHead, RequestHead, ScopeCursor};
use protocol::versions::{Head, Prelude};

use super::Reading;
use super::batch::Batch;
use super::error::StoreError;
use super::receive::PartsOf;
use super::state::Journal;

/// How far judging got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// Groups that were judged.
    pub groups: u64,
    /// Whether complete groups are left: time was up, or the site has too many control rows to read first.
    pub has_more: bool,
}

/// What a reply says beside its receipt; nothing to a site whose version is not understood.
#[derive(Default)]
struct Told {
    control: Vec<ControlRow>,
    has_more_control: bool,
    judged: Sequence,
    rows_waiting: Option<u64>,
    is_drained: bool,
    scopes: Vec<ScopeCursor>,
}

impl Batch<'_> {
    /// Ends an exchange: judges, and says what the reply holds; for a head of another version neither control rows nor scopes.
    /// `goes_on` is asked before each group but the first: whether there is
    /// time to judge it; what is left is judged by a later call.
    ///
    /// # Errors
    /// Refused with `unknown_site`, `not_enrolled`, `unknown_journal`.
    pub fn conclude(&mut self, head: &Head, goes_on: &mut dyn FnMut() -> bool) -> Result<Conclusion, StoreError> {
        let prelude = head.prelude();
        if let Some(journal) = self.job(|batch| batch.closed_journal(prelude.site, prelude.journal))? {
            return self.conclude_retired(&prelude, &journal);
        }
        self.judging_job(|batch| {
            let site = prelude.site;
            batch.judge_site(site, goes_on)?;
            let journal = batch.active_journal(site)?.clone();
            if journal.id != prelude.journal {
                let what = format!("journal {} of site {site} was closed during the exchange", prelude.journal);
                return Err(StoreError::refused("unknown_journal", &what));
            }
            if let Some(head) = head.whole() {
                batch.follow_returning(head)?;
                batch.follow_home_transfers(head)?;
                batch.follow_draining(head)?;
            }
            let mut told = match head.whole() {
                Some(head) => batch.told(head, &journal)?,
                None => Told::default(),
            };
            let frame_part = batch.part_state(PartsOf::Active(site))?.map(|(state, _)| state);
            let token = batch.note_contact(head, told.is_drained)?;
            // A device that reads everything again may still have something to hand back.
            let is_quiet = told.is_drained && told.control.is_empty() && !told.has_more_control;
            if let Some(head) = head.whole().filter(|head| is_quiet && head.heard.is_none()) {
                batch.note_reported(site)?;
                // Told with the next reply.
                told.has_more_control |= batch.follow_filling(site)?;
                told.has_more_control |= batch.follow_filled(head)?;
            }
            let active = batch.active_journal(site)?;
            if active.told != active.received {
                (active.told, active.is_changed) = (active.received, true);
            }
            let scopes = std::mem::take(&mut told.scopes);
            let reply = ReplyHead {
                version: message::VERSION,
                token,
                received: journal.received,
                received_hash: journal.received_hash,
                judged: told.judged,
                // Central has no backups of its own yet.
                backed_up: Sequence::ZERO,
                epoch: batch.state.epoch,
                position: Position(batch.state.position),
                admitted_bytes: limits::REQUEST_FRAME_BYTES_MAX,
                frame_part,
                control: told.control,
                has_more_control: told.has_more_control,
                rows_waiting: told.rows_waiting,
                has_pages: false,
                further: Vec::new(),
            };
            Ok(Conclusion { reply, scopes })
        })
    }

    /// Whether everything is judged that the device had recorded when it heard the last of what this head shows, and it has heard what
    /// became of it: a verdict that came behind what others write from now on would put the older edit on top of that.
    pub(super) fn has_heard_of_all(&mut self, head: &RequestHead) -> Result<bool, StoreError> {
        let site = self.site(head.site)?;
        let has_older = site.has_unjudged_journal;
        let is_judged = site.journal.as_ref().is_some_and(|journal| {
            let recorded = head.head.max(head.recorded);
            journal.id == head.journal && journal.received >= recorded && journal.judged >= journal.received
        });
        Ok(is_judged && !has_older && self.control_count(head.site)? == 0)
    }

    /// What a site is told beside its receipt.
    fn told(&mut self, head: &RequestHead, journal: &Journal) -> Result<Told, StoreError> {
        let site = head.site;
        self.read_anew_below_floors(head)?;
        let control = self.control_page(site)?;
        // Verdicts of older journals come as control rows, and what they wrote as rows of the lanes.
        let has_unjudged_journal = self.site(site)?.has_unjudged_journal;
        let sent = control.rows.last().map_or(ControlNumber(0), |row| row.number);
        let judged = self.judged_as_told(site, sent)?;
        // Before what it receives is asked: a lane of its own may begin with it.
        let has_backfill = self.backfill_step(site)?;
        let scopes = self.scopes_with_cursors(head)?;
        let mut reading = Reading { sql: &mut *self.sql, catalogue: self.catalogue };
        let rows_waiting =
            if head.counts_rows { Some(reading.rows_waiting(site, journal.number, &scopes)?) } else { None };
        let is_drained = head.head <= journal.received
            && !has_unjudged_journal
            && !has_backfill
            && reading.is_drained(site, journal.number, &scopes)?;
        // What is not written into the site's lane yet is in no page: it has to ask once more.
        let has_more_control = control.has_more || has_unjudged_journal || has_backfill;
        // A page shows what became of the site's own edits, and what others made of that since: it comes behind all of their verdicts.
        let scopes = if control.has_more { Vec::new() } else { scopes };
        Ok(Told { control: control.rows, has_more_control, judged, rows_waiting, is_drained, scopes })
    }

    /// Judges what earlier exchanges of a site left.
    ///
    /// # Errors
    /// [`StoreError::Sql`]; refused with `unknown_site`.
    pub fn judge(&mut self, site: SiteId, goes_on: &mut dyn FnMut() -> bool) -> Result<Judged, StoreError> {
        self.judging_job(|batch| {
            let judged = batch.judge_site(site, goes_on)?;
            batch.follow_draining_without_device(site)?;
            Ok(judged)
        })
    }

    /// Each scope of the site with the cursor that the head shows; one that it does not show is read from the start.
    fn scopes_with_cursors(&mut self, head: &RequestHead) -> Result<Vec<ScopeCursor>, StoreError> {
        let site = self.site(head.site)?;
        let (scopes, drops) = (site.scopes.clone(), site.drops.clone());
        let with_cursor = scopes.into_iter().map(|scope| {
            let shown = head.cursors.iter().find(|shown| shown.scope == scope && !drops.contains_key(&scope));
            let cursor = shown.map(|shown| shown.cursor).unwrap_or_default();
            ScopeCursor { scope, cursor }
        });
        Ok(with_cursor.collect())
    }

    /// A device that shows the last token has stored the reply that gave it, and so has heard its receipt (rule 5.7).
    pub(super) fn note_heard(&mut self, head: &Prelude) -> Result<(), StoreError> {
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
