//! How much of a site lies in set-aside: kept as running totals in one row a site, written in the commits that change them, so that
//! nobody has to count. The migration that made the rows names the codes of late edits too. The same row says for ever what went for want
//! of room.

use std::ops::ControlFlow;

use domain::judge::{LATE_CODES, is_late};
use protocol::ids::{Sequence, SiteId};
use serde_json::{Value, json};
use sql::{Param, Row, SqlError, SqlExt};

use super::audit::{AuditEntry, SYSTEM};
use super::batch::Batch;
use super::error::StoreError;
use super::judging::{REFUSED, Reason};
use super::reading::Reading;
use super::{text, unsigned};

/// What lies in set-aside of one site, or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetAsideSize {
    /// Refused edits that nobody has dealt with.
    pub entries: u64,
    /// Those of them that came too late.
    pub late: u64,
    /// Bytes of all of them, as they came.
    pub bytes: u64,
    /// Edits that went since the site was added because there were more than are kept beyond the age of the log.
    pub dropped_entries: u64,
    /// Bytes of these.
    pub dropped_bytes: u64,
    /// When the last of these went, in milliseconds since 1970.
    pub dropped_ms: Option<u64>,
}

impl SetAsideSize {
    /// Whether so much lies there that somebody should look: four fifths of the limit.
    pub fn is_nearly_full(&self, bytes_max: u64) -> bool {
        self.bytes >= bytes_max - bytes_max / 5
    }

    fn read(row: &dyn Row) -> Result<Self, SqlError> {
        Ok(Self {
            entries: row.unsigned(0)?,
            late: row.unsigned(1)?,
            bytes: row.unsigned(2)?,
            dropped_entries: row.unsigned(3)?,
            dropped_bytes: row.unsigned(4)?,
            dropped_ms: row.optional_unsigned(5)?,
        })
    }
}

/// The codes of [`is_late`], as SQL.
pub(super) fn late_codes() -> String {
    LATE_CODES.map(|code| format!("'{code}'")).join(", ")
}

/// A refused edit that is about to go.
struct Leaving {
    journal: i64,
    sequence: Sequence,
    bytes: u64,
    is_late: bool,
}

impl Reading<'_> {
    /// What lies in set-aside of a site.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn set_aside_size(&mut self, site: SiteId) -> Result<SetAsideSize, StoreError> {
        let sql = "SELECT entries, late, bytes, dropped_entries, dropped_bytes, dropped_ms FROM set_aside_size WHERE site = ?1";
        Ok(self.sql.query_one(sql, &[site.0.into()], SetAsideSize::read)?.unwrap_or_default())
    }

    /// The same of all sites together, of those too that were deleted.
    pub(super) fn set_aside_size_of_all(&mut self) -> Result<SetAsideSize, StoreError> {
        let sum = |column: &str| format!("CAST(coalesce(sum({column}), 0) AS bigint)");
        let columns = ["entries", "late", "bytes", "dropped_entries", "dropped_bytes"].map(sum).join(", ");
        let sql = format!("SELECT {columns}, max(dropped_ms) FROM set_aside_size");
        Ok(self.sql.query_one(&sql, &[], SetAsideSize::read)?.unwrap_or_default())
    }
}

impl Batch<'_> {
    /// Sets an edit aside that lies in the log.
    pub(super) fn set_aside_entry(
        &mut self,
        site: SiteId,
        place: (i64, Sequence),
        bytes: &[u8],
        reason: &Reason,
    ) -> Result<(), StoreError> {
        self.set_verdict(place.0, place.1, Some(REFUSED), Some(reason))?;
        self.add_to_set_aside_size(site, 1, i64::from(is_late(&reason.code)), i64::try_from(bytes.len()).unwrap_or(0))
    }

    /// That an edit lies in set-aside no more, which the caller sees to in the same job.
    pub(super) fn leave_set_aside(&mut self, site: SiteId, journal: i64, sequence: Sequence) -> Result<(), StoreError> {
        let found = self.sql.query_one(
            "SELECT code, length(bytes) FROM entry WHERE journal = ?1 AND sequence = ?2 AND verdict = 2",
            &[journal.into(), unsigned(sequence.0)],
            |row| Ok((i64::from(is_late(row.optional_text(0)?.unwrap_or_default())), row.integer(1)?)),
        )?;
        let Some((late, bytes)) = found else { return Ok(()) };
        self.add_to_set_aside_size(site, -1, -late, -bytes)
    }

    fn add_to_set_aside_size(&mut self, site: SiteId, entries: i64, late: i64, bytes: i64) -> Result<(), StoreError> {
        self.sql.execute(
            "INSERT INTO set_aside_size (site, entries, late, bytes, dropped_entries, dropped_bytes) VALUES (?1, ?2, ?3, ?4, 0, 0)
             ON CONFLICT (site) DO UPDATE SET entries = set_aside_size.entries + excluded.entries,
                late = set_aside_size.late + excluded.late, bytes = set_aside_size.bytes + excluded.bytes",
            &[site.0.into(), entries.into(), late.into(), bytes.into()],
        )?;
        Ok(())
    }

    /// Where a journal has more refused edits than are kept, its oldest go; at most so many, and how many it were.
    pub(super) fn prune_set_aside_of_journal(
        &mut self,
        site: SiteId,
        number: i64,
        before_ms: u64,
        entries_max: u64,
    ) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM entry WHERE journal = ?1 AND verdict = 2";
        let count = self.sql.query_one(sql, &[number.into()], |row| row.unsigned(0))?.unwrap_or(0);
        let excess = count.saturating_sub(self.limits.set_aside_entries_max).min(entries_max);
        if excess == 0 {
            return Ok(0);
        }
        let leaving = self.old_set_aside("journal.number = ?1", number, before_ms, excess)?;
        self.drop_from_set_aside(site, &leaving, "set_aside_entries_max", self.limits.set_aside_entries_max)
    }

    /// Where a site has more bytes of refused edits than are kept, the oldest go; at most so many edits, and how many it were.
    pub(super) fn prune_set_aside_of_sites(&mut self, before_ms: u64, entries_max: u64) -> Result<u64, StoreError> {
        let limit = self.limits.set_aside_bytes_max;
        let mut sites = Vec::new();
        let sql = "SELECT site, bytes FROM set_aside_size WHERE bytes > ?1 ORDER BY site";
        self.sql.query(sql, &[Param::unsigned(limit)?], &mut |row| {
            sites.push((text::site(row, 0)?, row.unsigned(1)?));
            Ok(ControlFlow::Continue(()))
        })?;
        let mut pruned = 0;
        for (site, bytes) in sites {
            let mut leaving =
                self.old_set_aside("journal.site = ?1", i64::from(site.0), before_ms, entries_max - pruned)?;
            let mut left = bytes;
            let enough = leaving.iter().take_while(|entry| {
                let is_above = left > limit;
                left = left.saturating_sub(entry.bytes);
                is_above
            });
            let enough = enough.count();
            leaving.truncate(enough);
            pruned += self.drop_from_set_aside(site, &leaving, "set_aside_bytes_max", limit)?;
        }
        Ok(pruned)
    }

    /// Refused edits that came before a time and that nobody can send again, the oldest first.
    fn old_set_aside(
        &mut self,
        of: &str,
        which: i64,
        before_ms: u64,
        entries_max: u64,
    ) -> Result<Vec<Leaving>, StoreError> {
        let mut found = Vec::new();
        self.sql.query(
            &format!(
                "SELECT entry.journal, entry.sequence, length(entry.bytes), entry.code
                 FROM journal JOIN entry ON entry.journal = journal.number
                 WHERE {of} AND entry.verdict = 2 AND entry.received_ms < ?2 AND entry.sequence <= journal.floor
                 ORDER BY entry.received_ms, entry.journal, entry.sequence LIMIT ?3"
            ),
            &[which.into(), unsigned(before_ms), Param::unsigned(entries_max)?],
            &mut |row| {
                found.push(Leaving {
                    journal: row.integer(0)?,
                    sequence: Sequence(row.unsigned(1)?),
                    bytes: row.unsigned(2)?,
                    is_late: is_late(row.optional_text(3)?.unwrap_or_default()),
                });
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(found)
    }

    /// Takes refused edits out for want of room, and says so: in the site's totals, and in a row of the audit log for all of them.
    fn drop_from_set_aside(
        &mut self,
        site: SiteId,
        leaving: &[Leaving],
        limit: &str,
        limit_value: u64,
    ) -> Result<u64, StoreError> {
        if leaving.is_empty() {
            return Ok(0);
        }
        let (entries, mut bytes, mut late) = (leaving.len() as u64, 0, 0);
        for entry in leaving {
            let key = [entry.journal.into(), unsigned(entry.sequence.0)];
            self.sql.execute("DELETE FROM entry WHERE journal = ?1 AND sequence = ?2 AND verdict = 2", &key)?;
            bytes += entry.bytes;
            late += u64::from(entry.is_late);
        }
        self.sql.execute(
            "UPDATE set_aside_size SET entries = entries - ?2, late = late - ?3, bytes = bytes - ?4,
                dropped_entries = dropped_entries + ?2, dropped_bytes = dropped_bytes + ?4, dropped_ms = ?5
             WHERE site = ?1",
            &[site.0.into(), unsigned(entries), unsigned(late), unsigned(bytes), unsigned(self.now_ms)],
        )?;
        let about = AuditEntry { site: Some(site), ..AuditEntry::new(SYSTEM, "set-aside-drop") };
        self.note(about, Value::Null, json!({ "dropped": entries, "bytes": bytes, limit: limit_value }))?;
        Ok(entries)
    }
}
