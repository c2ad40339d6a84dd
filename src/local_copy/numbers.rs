//! What giving document numbers needs to know (`domain::number`): the record of a kind, and whether this site knows every number that was
//! given before.
//!
//! | not known | until |
//! | --- | --- |
//! | what is at central of a store that was granted just now, or whose copy here was lost | a session ended well with everything judged |
//! | numbers in entries that the journal lost, or of before the device was set back | central has told a higher count of gaps |
//! | a count of gaps that central, which was set back, has forgotten | central tells it again |

use std::ops::ControlFlow;

use domain::json::row_from_json;
use domain::merge::Merged;
use domain::number::{NUMBER_TABLE, last_of, name_in};
use protocol::control::NumberGaps;
use protocol::ids::{RecordId, RequestId};
use protocol::limits::CLAIMS_MAX;
use protocol::row::Row;
use sql::{Durability, Param, SqlExt};

use super::grants::MAY_BE_WRITTEN;
use super::{LocalCopy, LocalCopyError};

/// Name of the number that is 1 while grants that come are of before entries were lost here.
const NUMBERS_LOST: &str = "numbers_lost";

/// Name of the number that is 1 in a copy that was begun beside journals that were there before it.
const IS_LATER_COPY: &str = "is_later_copy";

/// Number records that are read at once.
const STEP_RECORDS: u32 = 1000;

/// What this site knows of the numbers of a store that it may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberStanding {
    /// How many gaps there are.
    pub gaps: u32,
    /// Whether central has told of as many: else it might count the next one as this one.
    pub is_confirmed: bool,
    /// Whether everything was read that central has of the store.
    pub is_read: bool,
}

impl LocalCopy {
    /// What is known of the numbers of a store; `None` if this site may not write it.
    ///
    /// # Errors
    /// Those of a read.
    pub fn number_standing(&mut self, store: &RecordId) -> Result<Option<NumberStanding>, LocalCopyError> {
        let sql = format!(
            "SELECT number_gaps, number_gaps_told, is_read FROM store_grant WHERE store = ?1 AND {MAY_BE_WRITTEN}"
        );
        let found = self.sql.query_one(&sql, &[store.as_str().into()], |row| {
            Ok((row.unsigned(0)?, row.unsigned(1)?, row.integer(2)? != 0))
        })?;
        let Some((gaps, told, is_read)) = found else { return Ok(None) };
        let is_confirmed = gaps <= told;
        let gaps = u32::try_from(gaps).map_err(LocalCopyError::damaged)?;
        Ok(Some(NumberStanding { gaps, is_confirmed, is_read }))
    }

    /// The number record of this name; of several the one with the largest value. Reads the number records of the store, some dozens.
    ///
    /// # Errors
    /// Those of a read.
    pub fn number_record(&mut self, store: &RecordId, name: &str) -> Result<Option<(RecordId, Row)>, LocalCopyError> {
        let catalogue = std::sync::Arc::clone(&self.catalogue);
        let table = catalogue.table_by_name(NUMBER_TABLE).map_err(LocalCopyError::damaged)?;
        let (mut best, mut after) = (None, None);
        loop {
            let page = self.list(table, Some(store.as_str()), Merged::Listed, after.as_deref(), STEP_RECORDS)?;
            for record in &page.items {
                let id = RecordId::new(&record.id).map_err(LocalCopyError::damaged)?;
                let row = table.canonical(row_from_json(table, &id, &record.data).map_err(LocalCopyError::damaged)?);
                if name_in(table, &row) != Some(name) {
                    continue;
                }
                // One whose value is no number is none that could be gone on from, and is told of.
                let value = last_of(table, &row).unwrap_or(u64::MAX);
                if best.as_ref().is_none_or(|(largest, _)| value > *largest) {
                    best = Some((value, (id, row)));
                }
            }
            after = page.next(|last| last.id.clone());
            if after.is_none() {
                return Ok(best.map(|(_, record)| record));
            }
        }
    }

    /// The last number that a request was given; `None` if it was given none, or is forgotten.
    ///
    /// # Errors
    /// Those of a read.
    pub fn number_of_request(&mut self, request_id: RequestId) -> Result<Option<u64>, LocalCopyError> {
        let sql = "SELECT last_number FROM request WHERE request_id = ?1";
        Ok(self.sql.query_one(sql, &[(&request_id.0).into()], |row| row.optional_unsigned(0))?.flatten())
    }

    /// Remembers with a request, which is remembered already, the last number that it was given. Inside the open transaction.
    ///
    /// # Errors
    /// Those of a write.
    pub fn remember_number(&mut self, request_id: RequestId, last: u64) -> Result<(), LocalCopyError> {
        let sql = "UPDATE request SET last_number = ?2 WHERE request_id = ?1";
        self.sql.execute(sql, &[(&request_id.0).into(), Param::unsigned(last)?])?;
        Ok(())
    }

    /// Whether a number that is neither here nor at central may have been given here all the same: of a store that keeps its data on its
    /// site the record goes with the local copy.
    ///
    /// # Errors
    /// Those of a read.
    pub fn is_later_copy(&mut self) -> Result<bool, LocalCopyError> {
        Ok(self.number(IS_LATER_COPY)? == Some(1))
    }

    /// Entries were lost, and numbers may be among them: none is given before central has counted that. Durable; harmless when repeated.
    ///
    /// # Errors
    /// Those of a write.
    pub fn note_numbers_lost(&mut self) -> Result<(), LocalCopyError> {
        self.transaction(Durability::Full, LocalCopy::lose_numbers)
    }

    /// The same inside the open transaction.
    pub(super) fn lose_numbers(&mut self) -> Result<(), LocalCopyError> {
        let sql = "UPDATE store_grant SET is_read = 0, number_gaps = max(number_gaps, number_gaps_told + 1)";
        self.sql.execute(sql, &[])?;
        self.set_number(NUMBERS_LOST, 1)
    }

    /// This copy begins beside journals of before. Inside the open transaction.
    pub(super) fn note_lost_copy(&mut self) -> Result<(), LocalCopyError> {
        self.set_number(IS_LATER_COPY, 1)
    }

    /// What a grant that was stored just now says of gaps. The largest count that is known stays.
    pub(super) fn take_number_gaps(&mut self, store: &str, told: u32, is_new: bool) -> Result<(), LocalCopyError> {
        // A copy that was lost together with entries hears its grants of before first.
        let is_of_before = is_new && self.number(NUMBERS_LOST)? == Some(1);
        self.sql.execute(
            "UPDATE store_grant SET number_gaps = max(number_gaps, ?2 + ?3), number_gaps_told = ?2 WHERE store = ?1",
            &[store.into(), told.into(), i64::from(is_of_before).into()],
        )?;
        Ok(())
    }

    /// Counts that central does not know, as a request shows them.
    pub(super) fn number_gaps_to_show(&mut self) -> Result<Vec<NumberGaps>, LocalCopyError> {
        let mut shown = Vec::new();
        let sql = format!(
            "SELECT store, number_gaps FROM store_grant WHERE number_gaps > number_gaps_told AND {MAY_BE_WRITTEN}
             ORDER BY store LIMIT {CLAIMS_MAX}"
        );
        self.sql.query(&sql, &[], &mut |row| {
            let gaps = u32::try_from(row.unsigned(1)?).unwrap_or(u32::MAX);
            shown.push(NumberGaps { store: row.text(0)?.to_owned(), gaps });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(shown)
    }

    /// A session ended well: everything of each store that is granted was read. Not while central has received what it has not judged: what
    /// that makes of the records is not here, if the local copy was lost.
    pub(super) fn note_stores_read(&mut self) -> Result<(), LocalCopyError> {
        if self.progress.judged < self.progress.received {
            return Ok(());
        }
        self.take_grants_not_told()?;
        self.sql.execute("UPDATE store_grant SET is_read = 1 WHERE is_read = 0", &[])?;
        if self.number(NUMBERS_LOST)? == Some(1) && self.number_gaps_to_show()?.is_empty() {
            self.set_number(NUMBERS_LOST, 0)?;
        }
        Ok(())
    }
}
