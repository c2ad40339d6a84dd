//! Numbers that people look at: what waits, for whom, and who was here when (seed 003, "Sync queue").

use std::ops::ControlFlow;

use protocol::ids::{Epoch, JournalId, Position, Sequence, SiteId};
use protocol::message::{Cursor, ScopeCursor};
use sql::SqlExt;

use domain::scope::Scope;

use super::error::StoreError;
use super::reading::{Reading, SiteRow};
use super::set_aside_size::{SetAsideSize, late_codes};
use super::{text, unsigned};

/// Central as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The epoch of the last start.
    pub epoch: Epoch,
    /// Central's head.
    pub position: Position,
    /// Remote sites.
    pub sites: u64,
    /// Records, without the deleted ones.
    pub records: u64,
    /// Entries that wait for headers.
    pub waiting_entries: u64,
    /// Refused entries that nobody has dismissed.
    pub set_aside: SetAsideSize,
    /// Entries in the log.
    pub log_entries: u64,
}

/// One site's queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteStatus {
    /// The site.
    pub site: SiteRow,
    /// Rows that wait to be pulled by it, by the cursors that it last reported.
    pub rows_waiting: u64,
    /// Control rows that it has not acknowledged.
    pub control_rows: u64,
    /// Entries that were received and have no verdict yet.
    pub unjudged_entries: u64,
    /// Its entries that wait for headers.
    pub waiting_entries: u64,
    /// Its refused entries that nobody has dismissed.
    pub set_aside: SetAsideSize,
}

/// A refused entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Whose.
    pub site: SiteId,
    /// The journal.
    pub journal: JournalId,
    /// The entry.
    pub sequence: Sequence,
    /// Its table and record, if it could be read.
    pub record: Option<(String, String)>,
    /// Stable code.
    pub code: String,
    /// A sentence for a person.
    pub reason: String,
    /// When it came, in milliseconds since 1970.
    pub received_ms: u64,
    /// The entry as it came.
    pub bytes: Vec<u8>,
}

impl Reading<'_> {
    /// Central as a whole. Counts records and entries, which reads their keys.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn status(&mut self) -> Result<Status, StoreError> {
        let (epoch, position) = self.head()?;
        Ok(Status {
            epoch,
            position,
            sites: self.count("SELECT count(*) FROM site WHERE id > ?1 AND deleted_ms IS NULL", SiteId::CENTRAL)?,
            records: self.count("SELECT count(*) FROM record WHERE data IS NOT NULL AND ?1 > 0", SiteId::CENTRAL)?,
            waiting_entries: self.count("SELECT count(*) FROM waiting WHERE ?1 > 0", SiteId::CENTRAL)?,
            set_aside: self.set_aside_size_of_all()?,
            log_entries: self.count("SELECT count(*) FROM entry WHERE ?1 > 0", SiteId::CENTRAL)?,
        })
    }

    /// One site's queues; `None` if there is no such site.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn site_status(&mut self, site: SiteId) -> Result<Option<SiteStatus>, StoreError> {
        let Some(row) = self.site(site)? else { return Ok(None) };
        let scopes = self.reported_cursors(site)?;
        let active =
            self.sql.query_integer("SELECT number FROM journal WHERE site = ?1 AND is_active = 1", &[site.0.into()])?;
        Ok(Some(SiteStatus {
            rows_waiting: self.rows_waiting(site, active.unwrap_or(0), &scopes)?,
            control_rows: self.count("SELECT count(*) FROM control WHERE site = ?1", site)?,
            unjudged_entries: self.count(
                "SELECT CAST(coalesce(sum(coalesce(closed_at, received) - judged), 0) AS bigint) FROM journal WHERE site = ?1",
                site,
            )?,
            waiting_entries: self.waiting_count(site)?,
            set_aside: self.set_aside_size(site)?,
            site: row,
        }))
    }

    /// Entries of a site that wait for headers.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn waiting_count(&mut self, site: SiteId) -> Result<u64, StoreError> {
        self.count("SELECT count(*) FROM waiting WHERE site = ?1", site)
    }

    /// Refused entries of a site, in the order of its journals; `limit` of those behind an entry.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn set_aside(
        &mut self,
        site: SiteId,
        after: Option<(JournalId, Sequence)>,
        limit: u32,
    ) -> Result<Vec<SetAside>, StoreError> {
        self.set_aside_of(site, None, after, limit)
    }

    /// The same, only of those that came too late (`Some(true)`), or that a rule refused (`Some(false)`).
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn set_aside_of(
        &mut self,
        site: SiteId,
        is_late: Option<bool>,
        after: Option<(JournalId, Sequence)>,
        limit: u32,
    ) -> Result<Vec<SetAside>, StoreError> {
        let of_kind = match is_late {
            None => String::new(),
            Some(true) => format!("AND entry.code IN ({})", late_codes()),
            Some(false) => format!("AND coalesce(entry.code, '') NOT IN ({})", late_codes()),
        };
        let (after_journal, after_sequence) = self.place_in_log(site, after)?;
        let mut found = Vec::new();
        self.sql.query(
            &format!(
                "SELECT journal.id, entry.sequence, entry.table_name, entry.record, entry.code, entry.reason, entry.received_ms,
                    entry.bytes
                 FROM journal JOIN entry ON entry.journal = journal.number
                 WHERE journal.site = ?1 AND entry.verdict = 2 {of_kind}
                    AND (journal.number > ?2 OR (journal.number = ?2 AND entry.sequence > ?3))
                 ORDER BY journal.number, entry.sequence LIMIT ?4"
            ),
            &[site.0.into(), after_journal.into(), sql::Param::unsigned(after_sequence.0)?, limit.into()],
            &mut |row| {
                let record = match (row.optional_text(2)?, row.optional_text(3)?) {
                    (Some(table), Some(record)) => Some((table.to_owned(), record.to_owned())),
                    _ => None,
                };
                found.push(SetAside {
                    site,
                    journal: text::journal_id(row, 0)?,
                    sequence: Sequence(row.unsigned(1)?),
                    record,
                    code: row.optional_text(4)?.unwrap_or_default().to_owned(),
                    reason: row.optional_text(5)?.unwrap_or_default().to_owned(),
                    received_ms: row.unsigned(6)?,
                    bytes: row.blob(7)?.to_vec(),
                });
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(found)
    }

    /// Each scope of a site with the cursor that it last reported.
    fn reported_cursors(&mut self, site: SiteId) -> Result<Vec<ScopeCursor>, StoreError> {
        let has_dispensary = self.has_dispensary(site)?;
        let stores: Vec<_> = self.stores_of(site)?.into_iter().map(|(store, _)| store).collect();
        let collected = self.collected_by(site)?;
        let gained = self.scope_number(&Scope::Gained(site).to_id())?.map(|_| site);
        let mut cursors = Vec::new();
        for scope in Scope::of_site(stores, collected, has_dispensary, gained) {
            let scope = scope.to_id();
            let cursor = self.sql.query_one(
                "SELECT epoch, number, began FROM site_cursor WHERE site = ?1 AND scope = ?2",
                &[site.0.into(), scope.as_bytes().into()],
                |row| {
                    Ok(Cursor {
                        epoch: Epoch(row.integer(0)?.cast_unsigned()),
                        number: Position(row.unsigned(1)?),
                        began: Position(row.unsigned(2)?),
                    })
                },
            )?;
            cursors.push(ScopeCursor { scope, cursor: cursor.unwrap_or_default() });
        }
        Ok(cursors)
    }

    fn count(&mut self, sql: &str, site: SiteId) -> Result<u64, StoreError> {
        Ok(self.sql.query_one(sql, &[unsigned(u64::from(site.0))], |row| row.unsigned(0))?.unwrap_or(0))
    }
}
