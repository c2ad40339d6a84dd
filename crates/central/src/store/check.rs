//! What a device would be told if it came for an exchange right now, without the exchange: nothing is written here.

use protocol::check::CheckAnswer;
use protocol::exchange::Standing;
use protocol::ids::{Hash, Sequence, SiteId};
use protocol::message::{Refusal, RequestHead};
use sql::SqlExt;

use super::error::StoreError;
use super::reading::Reading;
use super::state::{JOURNAL_COLUMNS, Journal};
use super::{credentials, deleting, receive, retired, tokens};

impl Reading<'_> {
    /// Whether an exchange would be taken up, in the order in which [`super::Batch::begin`] looks. Whether a token is dead is not
    /// looked at, since only a challenge tells a clone from a late request: that is for the exchange to find. That an administrator
    /// chose another device is, and so is another history of the journal, as far as the device's head shows it.
    ///
    /// # Errors
    /// Those of reading.
    pub fn check_device(
        &mut self,
        head: &RequestHead,
        standing: Standing,
        now_ms: u64,
    ) -> Result<CheckAnswer, StoreError> {
        if let Some(refusal) = self.bar_of(head.site, now_ms)? {
            return Ok(CheckAnswer::refused(refusal));
        }
        if let Some(journal) = self.closed_journal(head.site, head.journal)? {
            let aside = self.set_aside_count(&journal)?;
            return Ok(refused("device_retired", &retired::retired_text(&journal, aside)));
        }
        if standing == Standing::Retired {
            return Ok(refused("device_retired", &receive::replaced_text(head.site)));
        }
        if self.is_followed(head.site, head.journal)? {
            return Ok(refused("journal_retired", &receive::followed_text(head.site, head.journal)));
        }
        if let Some(stop) = self.stop_of(head.site)? {
            let refusal = tokens::stopped(head.site, &stop);
            return Ok(CheckAnswer { stopped_ms: Some(stop.since_ms), ..CheckAnswer::refused(refusal) });
        }
        if self.rejects_token(head.site, head.token)? {
            return Ok(CheckAnswer::refused(tokens::not_chosen(head.site)));
        }
        let site = self.site(head.site)?;
        let Some((site, (journal, ..))) = site.and_then(|site| site.journal.map(|journal| (site, journal))) else {
            return Ok(refused("not_enrolled", &receive::not_enrolled_text(head.site)));
        };
        if site.generation != head.generation {
            return Ok(refused(
                "credentials_changed",
                &credentials::changed_text(head.site, head.generation, site.generation),
            ));
        }
        let is_next = head.predecessor.is_some_and(|predecessor| predecessor.journal == journal);
        if journal != head.journal && !is_next {
            return Ok(refused("unknown_journal", &receive::unknown_journal_text(head.site, head.journal)));
        }
        Ok(match self.history_refusal(head)? {
            Some(refusal) => CheckAnswer::refused(refusal),
            None => CheckAnswer::taken(),
        })
    }

    /// Why the device of a site is not taken, whatever it shows: the site was deleted, is disabled or paused.
    pub(super) fn bar_of(&mut self, site: SiteId, now_ms: u64) -> Result<Option<Refusal>, StoreError> {
        let Some(row) = self.site(site)? else { return Ok(None) };
        Ok(match (row.deleted_ms, row.pause) {
            (Some(deleted_ms), _) => Some(deleting::deleted(site, deleted_ms)),
            (None, pause) => pause.and_then(|pause| pause.refusal(site, now_ms)),
        })
    }

    /// What an exchange would find wrong with the journal of a device: central would refuse it, or the device itself what central
    /// has received of it. Nothing can be told of a head above that, or of a device that does not say how far its journal goes.
    fn history_refusal(&mut self, head: &RequestHead) -> Result<Option<Refusal>, StoreError> {
        let sql = format!("SELECT {JOURNAL_COLUMNS} FROM journal WHERE site = ?1 AND id = ?2 AND is_active = 1");
        let journal = self.sql.query_one(&sql, &[head.site.0.into(), (&head.journal.0).into()], Journal::read)?;
        let Some(journal) = journal.filter(|journal| journal.received > Sequence::ZERO) else { return Ok(None) };
        if head.head_hash == Hash::NONE || head.head > journal.received {
            return Ok(None);
        }
        if !self.is_history_of(&journal, head.head, head.head_hash)? {
            return Ok(Some(Refusal::new("fork", &receive::fork_text(head.site, head.journal, head.head))));
        }
        Ok((head.head < journal.received).then(|| {
            let what = format!(
                "central has received edits of site {} up to {}, and the device knows them up to {}: it was set back to an older \
                 state, or its data was copied to a second device",
                head.site, journal.received, head.head
            );
            Refusal::new("device_set_back", &what)
        }))
    }
}

fn refused(code: &str, what: &str) -> CheckAnswer {
    CheckAnswer::refused(Refusal::new(code, what))
}
