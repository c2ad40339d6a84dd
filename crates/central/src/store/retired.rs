//! What comes from a device whose place another one took, or in a journal that was closed: its edits count no more, and none of
//! them is lost. They go to set-aside, with nothing given in return.

use protocol::exchange::{Conclusion, Received};
use protocol::ids::{JournalId, Position, Sequence, SiteId};
use protocol::message::{self, ReplyHead, RequestHead};
use protocol::{frame::Frame, limits};
use sql::SqlExt;

use super::batch::Batch;
use super::error::StoreError;
use super::judging::{REFUSED, Reason};
use super::reading::Reading;
use super::receive::{Chain, PartsOf};
use super::state::{JOURNAL_COLUMNS, Journal};

/// Code of what a retired device or journal brings.
const RETIRED: &str = "device_retired";

impl Reading<'_> {
    /// A journal of a site that was closed for another device; `None` if the site has none of this id. One that its own device closed
    /// by saying what follows it is none: what was not received of it was carried over, and is no edit that anybody misses.
    pub(super) fn closed_journal(&mut self, site: SiteId, id: JournalId) -> Result<Option<Journal>, StoreError> {
        Ok(self.sql.query_one(
            &format!(
                "SELECT {JOURNAL_COLUMNS} FROM journal WHERE site = ?1 AND id = ?2 AND is_active = 0 AND NOT EXISTS (
                    SELECT 1 FROM journal later WHERE later.site = ?1 AND substr(later.predecessor, 1, 16) = ?2)"
            ),
            &[site.0.into(), (&id.0).into()],
            Journal::read,
        )?)
    }
}

impl Batch<'_> {
    /// As [`Reading::closed_journal`].
    pub(super) fn closed_journal(&mut self, site: SiteId, id: JournalId) -> Result<Option<Journal>, StoreError> {
        self.reading().closed_journal(site, id)
    }

    /// Keeps a frame's new entries in set-aside.
    pub(super) fn set_frame_aside(
        &mut self,
        site: SiteId,
        mut journal: Journal,
        frame: &Frame,
    ) -> Result<Received, StoreError> {
        let entries = match self.place(site, &journal, frame)? {
            Chain::Known => &[][..],
            Chain::Extends(entries) => entries,
        };
        let aside = journal.received.0 - journal.closed_at.unwrap_or(journal.received).0;
        if aside + entries.len() as u64 > self.limits.set_aside_entries_max {
            let what = format!(
                "journal {} is closed, and {} of its edits are in set-aside already; export and dismiss them at central",
                journal.id, self.limits.set_aside_entries_max
            );
            return Err(StoreError::refused("set_aside_full", &what));
        }
        let reason = Reason::new(RETIRED, "it came from a device, or in a journal, whose place another one took");
        for (bytes, after) in entries {
            (journal.received, journal.received_hash) = (journal.received.next(), *after);
            self.append_entry(journal.number, journal.received, *after, bytes)?;
            self.set_verdict(journal.number, journal.received, Some(REFUSED), Some(&reason))?;
        }
        journal.write(self.sql)?;
        Ok(Received { sequence: journal.received, hash: journal.received_hash })
    }

    /// The end of an exchange in a closed journal: told how far it is received while there is more to come, then refused. The
    /// token stays as it is.
    pub(super) fn conclude_retired(&mut self, head: &RequestHead, journal: &Journal) -> Result<Conclusion, StoreError> {
        if journal.received >= head.head {
            return Err(StoreError::refused(RETIRED, &retired_text(journal)));
        }
        let reply = ReplyHead {
            version: message::VERSION,
            token: head.token,
            received: journal.received,
            received_hash: journal.received_hash,
            judged: Sequence::ZERO,
            backed_up: Sequence::ZERO,
            epoch: self.state.epoch,
            position: Position(self.state.position),
            admitted_bytes: limits::REQUEST_FRAME_BYTES_MAX,
            frame_part: self.part_state(PartsOf::Closed(head.site))?.map(|(state, _)| state),
            control: Vec::new(),
            has_more_control: false,
            rows_waiting: None,
            has_pages: false,
        };
        Ok(Conclusion { reply, scopes: Vec::new() })
    }
}

/// What a device whose journal was closed is told.
pub(super) fn retired_text(journal: &Journal) -> String {
    let aside = journal.received.0 - journal.closed_at.unwrap_or(journal.received).0;
    format!(
        "another device speaks for the site, or this one goes on in another journal: {aside} edits of journal {} lie in set-aside at \
         central, where an administrator can look at them",
        journal.id
    )
}
