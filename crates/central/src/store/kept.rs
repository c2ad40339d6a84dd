//! Entries of sites that are not part of the records: they wait for a header, or were refused.

use std::ops::ControlFlow;

use protocol::ids::{JournalId, Sequence, SiteId};
use sql::{Param, SqlExt};

use super::error::StoreError;
use super::reading::Reading;
use super::text;

/// Of some of these entries: how many there are, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEntries {
    /// Entries that wait for a header.
    pub entries_waiting: u64,
    /// Refused entries that nobody has dealt with.
    pub entries_set_aside: u64,
    /// The first of those that wait, at most [`ENTRIES_NAMED_MAX`].
    pub waiting: Vec<KeptEntry>,
    /// The first of the refused ones, at most as many.
    pub refused: Vec<KeptEntry>,
}

/// Entries that are named of those that wait, and of those that were refused; the others are counted.
pub const ENTRIES_NAMED_MAX: u32 = 5;

/// Whose and where, of an entry.
const COLUMNS: &str = "journal.site, journal.id, entry.sequence";

/// An entry of a site that is not part of the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEntry {
    /// Whose.
    pub site: SiteId,
    /// Its journal.
    pub journal: JournalId,
    /// Its place there.
    pub sequence: Sequence,
    /// The record that it waits for: table and id.
    pub waits_for: Option<(String, String)>,
    /// Why it was refused: code and reason.
    pub refused: Option<(String, String)>,
}

impl KeptEntries {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries_waiting + self.entries_set_aside == 0
    }
}

impl Reading<'_> {
    /// Of the entries for which a condition holds: `waiting` on what waits, `refused` on what was refused.
    pub(super) fn kept_entries(
        &mut self,
        params: &[Param<'_>],
        waiting: &str,
        refused: &str,
    ) -> Result<KeptEntries, StoreError> {
        let was_refused =
            format!("FROM entry JOIN journal ON journal.number = entry.journal WHERE entry.verdict = 2 AND {refused}");
        let entries_set_aside = self.count_kept(&format!("SELECT count(*) {was_refused}"), params)?;
        let refused = self.first_kept(
            &format!(
                "SELECT {COLUMNS}, entry.code, entry.reason {was_refused}
                 ORDER BY entry.journal, entry.sequence LIMIT {ENTRIES_NAMED_MAX}"
            ),
            params,
            false,
        )?;
        let (entries_waiting, waiting) = self.waiting_entries(params, waiting)?;
        Ok(KeptEntries { entries_waiting, entries_set_aside, waiting, refused })
    }

    /// Of the entries that wait, those for which a condition holds.
    pub(super) fn waiting_entries(
        &mut self,
        params: &[Param<'_>],
        waiting: &str,
    ) -> Result<(u64, Vec<KeptEntry>), StoreError> {
        let amount = self.count_kept(&format!("SELECT count(*) FROM waiting WHERE {waiting}"), params)?;
        let first = self.first_kept(
            &format!(
                "SELECT {COLUMNS}, waiting.for_table, waiting.for_record FROM waiting
                    JOIN journal ON journal.number = waiting.journal
                    JOIN entry ON entry.journal = waiting.journal AND entry.sequence = waiting.sequence
                 WHERE {waiting} ORDER BY waiting.journal, waiting.sequence LIMIT {ENTRIES_NAMED_MAX}"
            ),
            params,
            true,
        )?;
        Ok((amount, first))
    }

    fn count_kept(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, StoreError> {
        Ok(self.sql.query_one(sql, params, |row| row.unsigned(0))?.unwrap_or(0))
    }

    fn first_kept(&mut self, sql: &str, params: &[Param<'_>], is_waiting: bool) -> Result<Vec<KeptEntry>, StoreError> {
        let mut entries = Vec::new();
        self.sql.query(sql, params, &mut |row| {
            let both = (
                row.optional_text(3)?.unwrap_or_default().to_owned(),
                row.optional_text(4)?.unwrap_or_default().to_owned(),
            );
            let (waits_for, refused) = if is_waiting { (Some(both), None) } else { (None, Some(both)) };
            entries.push(KeptEntry {
                site: text::site(row, 0)?,
                journal: text::journal_id(row, 1)?,
                sequence: Sequence(row.unsigned(2)?),
                waits_for,
                refused,
            });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(entries)
    }
}
