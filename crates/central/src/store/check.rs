//! What a device would be told if it came for an exchange right now, without the exchange: nothing is written here.

use protocol::check::CheckAnswer;
use protocol::exchange::Standing;
use protocol::message::{Refusal, RequestHead};

use super::error::StoreError;
use super::reading::Reading;
use super::{credentials, receive, retired, tokens};

impl Reading<'_> {
    /// Whether an exchange would be taken up, in the order in which [`super::Batch::begin`] looks. What needs a token or a history,
    /// a clone or a fork, is not looked at: that is for the exchange to find. That an administrator chose another device is.
    ///
    /// # Errors
    /// Those of reading.
    pub fn check_device(&mut self, head: &RequestHead, standing: Standing) -> Result<CheckAnswer, StoreError> {
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
        Ok(CheckAnswer::taken())
    }
}

fn refused(code: &str, what: &str) -> CheckAnswer {
    CheckAnswer::refused(Refusal::new(code, what))
}
