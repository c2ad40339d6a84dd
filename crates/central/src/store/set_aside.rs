//! What people do about refused edits: one looked at, applied as central's own edit, and many let go of.

use std::ops::ControlFlow;

use domain::edit::{Edit, EditOp};
use domain::json::row_to_json;
use domain::judge::RefusalCode;
use protocol::entry::{Entry, Operation};
use protocol::ids::{JournalId, RecordId, Sequence, SiteId};
use sql::SqlExt;

use super::batch::Batch;
use super::error::StoreError;
use super::reading::Reading;
use super::status::SetAside;

/// Where a refused edit stands.
pub type SetAsidePlace = (JournalId, Sequence);

/// Central may not make the edit, and a site may.
const ASKS_ITS_SITE: [RefusalCode; 2] = [RefusalCode::NotStoreHolder, RefusalCode::NotHomeSite];

/// What became of a refused edit that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppliedSetAside {
    /// It is recorded as central's own edit.
    Recorded,
    /// The site that holds the store is asked to make it.
    Proposed {
        /// The store.
        store: RecordId,
        /// The site.
        site: SiteId,
    },
}

/// An edit that waits for its header, or behind one that does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingEdit {
    /// Where it stands.
    pub place: SetAsidePlace,
    /// Its table and record, if it could be read.
    pub record: Option<(String, String)>,
    /// Table and id of the record that its group waits for.
    pub waits_for: (String, String),
    /// When it came, in milliseconds since 1970: it waits since then.
    pub received_ms: u64,
    /// The entry as it came.
    pub bytes: Vec<u8>,
}

impl Reading<'_> {
    /// A place in a site's log as the number of its journal and the sequence, to go on behind it.
    pub(super) fn place_in_log(
        &mut self,
        site: SiteId,
        place: Option<SetAsidePlace>,
    ) -> Result<(i64, Sequence), StoreError> {
        let Some((id, sequence)) = place else { return Ok((0, Sequence::ZERO)) };
        let sql = "SELECT number FROM journal WHERE site = ?1 AND id = ?2";
        let number = self.sql.query_integer(sql, &[site.0.into(), (&id.0).into()])?;
        Ok((number.unwrap_or(0), sequence))
    }

    /// Edits of a site that wait for headers, in the order of its journals; `limit` of those behind a place.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn waiting_edits(
        &mut self,
        site: SiteId,
        after: Option<SetAsidePlace>,
        limit: u32,
    ) -> Result<Vec<WaitingEdit>, StoreError> {
        let (journal, sequence) = self.place_in_log(site, after)?;
        let mut found = Vec::new();
        self.sql.query(
            "SELECT journal.id, waiting.sequence, entry.table_name, entry.record, waiting.for_table, waiting.for_record,
                entry.received_ms, entry.bytes
             FROM waiting JOIN journal ON journal.number = waiting.journal
                JOIN entry ON entry.journal = waiting.journal AND entry.sequence = waiting.sequence
             WHERE waiting.site = ?1 AND (waiting.journal > ?2 OR (waiting.journal = ?2 AND waiting.sequence > ?3))
             ORDER BY waiting.journal, waiting.sequence LIMIT ?4",
            &[site.0.into(), journal.into(), sql::Param::unsigned(sequence.0)?, limit.into()],
            &mut |row| {
                let record = row.optional_text(2)?.map(str::to_owned).zip(row.optional_text(3)?.map(str::to_owned));
                found.push(WaitingEdit {
                    place: (super::text::journal_id(row, 0)?, Sequence(row.unsigned(1)?)),
                    record,
                    waits_for: (row.text(4)?.to_owned(), row.text(5)?.to_owned()),
                    received_ms: row.unsigned(6)?,
                    bytes: row.blob(7)?.to_vec(),
                });
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(found)
    }

    /// One refused edit of a site; `None` if none stands there, or somebody has dealt with it.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn set_aside_at(&mut self, site: SiteId, place: SetAsidePlace) -> Result<Option<SetAside>, StoreError> {
        let (journal, sequence) = place;
        let Some(before) = sequence.0.checked_sub(1) else { return Ok(None) };
        let found = self.set_aside(site, Some((journal, Sequence(before))), 1)?;
        Ok(found.into_iter().find(|item| (item.journal, item.sequence) == place))
    }

    /// The site that a store is active at.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn holder(&mut self, store: &RecordId) -> Result<SiteId, StoreError> {
        Ok(self.holder_of(store)?.map_or(SiteId::CENTRAL, |(site, _)| site))
    }

    /// The last refused edit of a site.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn set_aside_last(&mut self, site: SiteId) -> Result<Option<SetAsidePlace>, StoreError> {
        let sql = "SELECT journal.id, entry.sequence FROM journal JOIN entry ON entry.journal = journal.number
             WHERE journal.site = ?1 AND entry.verdict = 2 ORDER BY journal.number DESC, entry.sequence DESC LIMIT 1";
        let read = |row: &dyn sql::Row| Ok((super::text::journal_id(row, 0)?, Sequence(row.unsigned(1)?)));
        Ok(self.sql.query_one(sql, &[site.0.into()], read)?)
    }
}

impl Batch<'_> {
    /// Records a refused edit as central's own, and shows it no more: both or neither, so that it is applied once. What belongs to a store
    /// that is active at a site that site alone writes: it is asked to (module `proposals`), and the edit stays until it has answered.
    ///
    /// # Errors
    /// Refused with `set_aside_missing`, `set_aside_unreadable`, `proposal_open`, or as the judge says; then it stays where it is.
    pub fn apply_set_aside(&mut self, site: SiteId, place: SetAsidePlace) -> Result<AppliedSetAside, StoreError> {
        self.job(|batch| {
            let Some(found) = batch.reading().set_aside_at(site, place)? else {
                let what = format!("site {site} has no refused edit at {}:{}", place.0, place.1);
                return Err(StoreError::refused("set_aside_missing", &what));
            };
            let Some(edit) = batch.edit_of(&found.bytes) else {
                let what = format!("the edit at {}:{} cannot be read by this version", place.0, place.1);
                return Err(StoreError::refused("set_aside_unreadable", &what));
            };
            match batch.import_one(&edit)? {
                Ok(_) => {
                    batch.dismiss(site, place.0, place.1)?;
                    Ok(AppliedSetAside::Recorded)
                }
                Err(reason) if ASKS_ITS_SITE.iter().any(|code| code.as_str() == reason.code) => {
                    let (store, site) = batch.propose(site, place, &edit, &reason)?;
                    Ok(AppliedSetAside::Proposed { store, site })
                }
                Err(reason) => Err(StoreError::refused(&reason.code, &reason.text)),
            }
        })
    }

    /// Shows the first refused edits of a site no more, up to one of them, at most so many; how many.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn dismiss_through(&mut self, site: SiteId, last: SetAsidePlace, count_max: u32) -> Result<u64, StoreError> {
        self.job(|batch| {
            let Some(end) = batch.stored_journal(site, last.0)?.map(|journal| (journal.number, last.1)) else {
                return Ok(0);
            };
            let mut dismissed = 0;
            for item in batch.reading().set_aside(site, None, count_max)? {
                let number = batch.stored_journal(site, item.journal)?.map(|journal| journal.number);
                if number.is_none_or(|number| (number, item.sequence) > end) {
                    break;
                }
                dismissed += u64::from(batch.dismiss(site, item.journal, item.sequence)?);
            }
            Ok(dismissed)
        })
    }

    fn edit_of(&self, bytes: &[u8]) -> Option<Edit> {
        let entry = Entry::decode(bytes).ok()?;
        let table = self.catalogue.table(&entry.table)?;
        let (op, row) = match &entry.operation {
            Operation::Put(row) => (EditOp::Put, Some(row)),
            Operation::Patch(row) => (EditOp::Patch, Some(row)),
            Operation::Delete => (EditOp::Delete, None),
        };
        let data = row.map(|row| row_to_json(table, &entry.record, row));
        Some(Edit { table: table.name().to_owned(), op, id: entry.record, data })
    }
}
