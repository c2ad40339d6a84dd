//! What comes from a device whose place another one took, or in a journal that was closed: its edits count no more, and none of
//! them is lost. They go to set-aside, with nothing given in return.

use protocol::exchange::{Conclusion, Received};
use protocol::ids::{JournalId, Position, Sequence, SiteId};
use protocol::message::{self, ReplyHead};
use protocol::versions::Prelude;
use protocol::{frame::Frame, limits};
use sql::SqlExt;

use super::batch::Batch;
use super::error::StoreError;
use super::judging::Reason;
use super::reading::Reading;
use super::receive::{Chain, PartsOf};
use super::state::{JOURNAL_COLUMNS, Journal};
use super::unsigned;
use crate::wording::count;

/// Code of what a retired device or journal brings.
const RETIRED: &str = "device_retired";

impl Reading<'_> {
    /// Entries of a closed journal that lie in set-aside because they came after its close.
    pub(super) fn set_aside_count(&mut self, journal: &Journal) -> Result<u64, StoreError> {
        let closed_at = unsigned(journal.closed_at.unwrap_or(journal.received).0);
        let count = self.sql.query_one(
            "SELECT count(*) FROM entry WHERE journal = ?1 AND verdict = 2 AND sequence > ?2",
            &[journal.number.into(), closed_at],
            |row| row.unsigned(0),
        )?;
        Ok(count.unwrap_or(0))
    }

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
    /// A journal of a site, open or closed, as its table has it.
    pub(super) fn stored_journal(&mut self, site: SiteId, id: JournalId) -> Result<Option<Journal>, StoreError> {
        let sql = format!("SELECT {JOURNAL_COLUMNS} FROM journal WHERE site = ?1 AND id = ?2");
        Ok(self.sql.query_one(&sql, &[site.0.into(), (&id.0).into()], Journal::read)?)
    }

    /// As [`Reading::closed_journal`].
    pub(super) fn closed_journal(&mut self, site: SiteId, id: JournalId) -> Result<Option<Journal>, StoreError> {
        self.reading().closed_journal(site, id)
    }

    /// Keeps a frame's new entries in set-aside, as many as there is room for; what was dismissed makes room again.
    pub(super) fn set_frame_aside(
        &mut self,
        site: SiteId,
        mut journal: Journal,
        frame: &Frame,
    ) -> Result<Received, StoreError> {
        let aside = self.reading().set_aside_count(&journal)?;
        let lies = self.reading().set_aside_size(site)?.bytes;
        let mut bytes_left = self.limits.set_aside_bytes_max.saturating_sub(lies);
        let room = self.limits.set_aside_entries_max.saturating_sub(aside);
        let room = if bytes_left == 0 { 0 } else { usize::try_from(room).unwrap_or(usize::MAX) };
        // What was cut off for want of room leaves a gap, and the reason for it is told.
        let is_behind = frame.first > journal.received.next();
        if frame.last() <= journal.floor {
            // Its log is pruned up to there, and the device has not heard that it was received: nothing here counts any more.
            return Ok(Received { sequence: journal.received, hash: journal.received_hash });
        }
        let entries = match self.place(site, &journal, frame) {
            Err(_) if is_behind && room == 0 => return Err(set_aside_full(&journal, aside, lies)),
            Err(error) => return Err(error),
            Ok(Chain::Known) => &[][..],
            Ok(Chain::Extends(_)) if room == 0 => return Err(set_aside_full(&journal, aside, lies)),
            Ok(Chain::Extends(entries)) => entries.get(..room).unwrap_or(entries),
        };
        let reason = Reason::new(RETIRED, "it came from a device, or in a journal, whose place another one took");
        for (bytes, after) in entries {
            // The one that passes the limit is still taken, so that what is cut off finds no room at all.
            if bytes_left == 0 {
                break;
            }
            bytes_left = bytes_left.saturating_sub(bytes.len() as u64);
            (journal.received, journal.received_hash) = (journal.received.next(), *after);
            self.append_entry(journal.number, journal.received, *after, bytes)?;
            self.set_aside_entry(site, (journal.number, journal.received), bytes, &reason)?;
        }
        journal.write(self.sql)?;
        Ok(Received { sequence: journal.received, hash: journal.received_hash })
    }

    /// The end of an exchange in a closed journal: told how far it is received while there is more to come, then refused. The
    /// token stays as it is.
    pub(super) fn conclude_retired(&mut self, head: &Prelude, journal: &Journal) -> Result<Conclusion, StoreError> {
        if journal.received >= head.head {
            let aside = self.reading().set_aside_count(journal)?;
            return Err(StoreError::refused(RETIRED, &retired_text(journal, aside)));
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
            further: Vec::new(),
        };
        Ok(Conclusion { reply, scopes: Vec::new() })
    }
}

fn set_aside_full(journal: &Journal, aside: u64, bytes: u64) -> StoreError {
    let what = format!(
        "journal {} is closed, and {} in set-aside (the whole site has {bytes} bytes there): as much as is kept. An administrator exports \
         and dismisses them at central (outpost-central set-aside), and then the rest comes",
        journal.id,
        count(aside, "of its edits is", "of its edits are")
    );
    StoreError::refused("set_aside_full", &what)
}

/// What a device whose journal was closed is told.
pub(super) fn retired_text(journal: &Journal, aside: u64) -> String {
    format!(
        "another device speaks for the site, or this one goes on in another journal: of journal {}, {} in set-aside at central, for \
         an administrator to look at",
        journal.id,
        count(aside, "edit lies", "edits lie")
    )
}
