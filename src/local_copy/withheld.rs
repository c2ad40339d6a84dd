//! Store data that stays on this site (`domain::withholding`), and what of it is to go after all.
//!
//! It reads like local data: state 3, no base, no scope. When it goes, its base is what it was, so that it stays all the same if central
//! refuses it. Once a store's record comes that may say otherwise, a header goes, or a store is given that could not be written, all of it
//! is looked at, headers first; what the judge does not keep any more is journaled whole, also while its store is taken away: it was
//! recorded before. How far that is stands in `meta`, so that it goes on after a crash.

use std::ops::ControlFlow;

use domain::catalogue::{DataType, Table};
use protocol::entry::{Entry, Operation};
use protocol::few::sort_few;
use protocol::ids::{OwnershipNumber, RecordId, TableRef};
use sql::SqlExt;

use super::images::Key;
use super::{LocalCopy, LocalCopyError};

/// The ownership number of an entry of the private journal by which a record leaves it; others there have that of their store, or 0. No
/// store was ever given so often.
pub const LEFT: OwnershipNumber = OwnershipNumber(u32::MAX);

/// Name of the number that is 1 while what stays here is to be looked at.
const IS_OWED: &str = "withheld_is_looked_at";
/// Name of the table and id up to which it was, with a zero byte between.
const LOOKED_THROUGH: &str = "withheld_looked_through";
/// Name of the number that is 1 once a header that stayed was deleted.
const HAS_ORPHANS: &str = "withheld_has_orphans";
/// Records that are looked at in one step, at most, and their bytes, beyond which it ends.
const STEP_RECORDS: usize = 64;
const STEP_BYTES: usize = 1024 * 1024;

impl LocalCopy {
    /// How many records of Store data stay on this site.
    ///
    /// # Errors
    /// Those of a read.
    pub fn withheld_count(&mut self) -> Result<u64, LocalCopyError> {
        let tables = self.withheld_tables();
        let mut count = 0;
        let sql = "SELECT table_name, count(*) FROM record WHERE state = 3 GROUP BY table_name";
        self.sql.query(sql, &[], &mut |row| {
            let table = row.text(0)?;
            if tables.iter().any(|withheld| withheld == table) {
                count += row.unsigned(1)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }

    /// Inside the open transaction: what stays here is to be looked at, from the beginning.
    ///
    /// # Errors
    /// Those of a write.
    pub fn owe_look_at_withheld(&mut self) -> Result<(), LocalCopyError> {
        self.set_content(LOOKED_THROUGH, None)?;
        self.set_number(IS_OWED, 1)
    }

    /// Whether a record is here and never left.
    pub(super) fn is_staying(&mut self, key: &Key) -> Result<bool, LocalCopyError> {
        let sql = "SELECT 1 FROM record WHERE table_name = ?1 AND id = ?2 AND state = 3";
        Ok(self.sql.query_integer(sql, &key.params())?.is_some())
    }

    /// Whether the base of a record is not central's image but what it was when it stayed here.
    pub(super) fn falls_back_to_staying(&mut self, key: &Key) -> Result<bool, LocalCopyError> {
        let sql = "SELECT 1 FROM base WHERE table_name = ?1 AND id = ?2 AND is_staying = 1";
        Ok(self.sql.query_integer(sql, &key.params())?.is_some())
    }

    /// Inside the open transaction: a header that stayed is deleted, and lines may be left of it.
    pub(super) fn note_orphans(&mut self, header: &Key) -> Result<(), LocalCopyError> {
        if self.has_lines(header) { self.set_number(HAS_ORPHANS, 1) } else { Ok(()) }
    }

    /// Inside the open transaction, before a record goes: if it is made anew under the id of such a header, its lines go too.
    pub(super) fn look_for_orphans_of(&mut self, header: &Key) -> Result<(), LocalCopyError> {
        if self.has_lines(header) && self.number(HAS_ORPHANS)? == Some(1) && self.merged(header)?.is_none() {
            self.owe_look_at_withheld()?;
        }
        Ok(())
    }

    fn has_lines(&self, header: &Key) -> bool {
        let is_of = |table: &Table| table.parent().is_some_and(|parent| parent.table == *header.table.reference());
        self.catalogue.tables().any(is_of)
    }

    /// Whether an edit of a record lies in set-aside.
    ///
    /// # Errors
    /// Those of a read.
    pub fn is_set_aside(&mut self, table: &TableRef, id: &RecordId) -> Result<bool, LocalCopyError> {
        let sql = "SELECT 1 FROM set_aside WHERE table_name = ?1 AND id = ?2 LIMIT 1";
        Ok(self.sql.query_integer(sql, &self.key(table, id).params())?.is_some())
    }

    /// The edits that would send the next records that stay here, whole, headers before their lines, if the judge lets them go; `None`
    /// once all were looked at.
    ///
    /// # Errors
    /// Those of a read.
    pub fn next_withheld(&mut self) -> Result<Option<Vec<Entry>>, LocalCopyError> {
        // What is read anew may show that a record had left before this copy was put back to an older state.
        if self.number(IS_OWED)? != Some(1) || self.is_rebuilding()? {
            return Ok(None);
        }
        let through = self.content(LOOKED_THROUGH)?.map(|content| String::from_utf8_lossy(&content).into_owned());
        let (from, after) = through.as_deref().and_then(|through| through.split_once('\0')).unwrap_or_default();
        let tables = self.withheld_tables();
        let first = tables.iter().position(|table| table == from).unwrap_or(0);
        for table in tables.get(first..).unwrap_or_default() {
            let entries = self.staying_behind(table, if table == from { after } else { "" })?;
            if !entries.is_empty() {
                return Ok(Some(entries));
            }
        }
        Ok(Some(Vec::new()))
    }

    /// Whether the judge is asked for what was recorded before a store was taken away: that goes, as what was journaled then does, while
    /// nothing new is recorded there.
    pub fn hand_over(&mut self, hands_over: bool) {
        self.hands_over = hands_over;
    }

    /// Within the transaction of edits: these were looked at; none: all were.
    ///
    /// # Errors
    /// Those of a write.
    pub fn note_looked_at(&mut self, entries: &[Entry]) -> Result<(), LocalCopyError> {
        let Some(last) = entries.last() else {
            self.set_content(LOOKED_THROUGH, None)?;
            return self.set_number(IS_OWED, 0);
        };
        let through = format!("{}\0{}", self.catalogue.table_name(&last.table), last.record);
        self.set_content(LOOKED_THROUGH, Some(through.as_bytes()))
    }

    /// Tables of Store data, headers before their lines, merges behind what they merge.
    fn withheld_tables(&self) -> Vec<String> {
        let of_stores = self.catalogue.tables().filter(|table| table.data_type() == DataType::Store);
        let mut tables: Vec<_> = of_stores
            .map(|table| (table.merges().is_some(), self.depth_of(table.reference()), table.name().to_owned()))
            .collect();
        sort_few(&mut tables, |one, other| one < other);
        tables.into_iter().map(|(_, _, name)| name).collect()
    }

    /// The next records of a table that stay here, as edits that put them whole.
    pub(super) fn staying_behind(&mut self, table: &str, after: &str) -> Result<Vec<Entry>, LocalCopyError> {
        let mut ids = Vec::new();
        let sql = format!(
            "SELECT id FROM record WHERE table_name = ?1 AND id > ?2 AND state = 3 ORDER BY id LIMIT {STEP_RECORDS}"
        );
        self.sql.query(&sql, &[table.into(), after.into()], &mut |row| {
            ids.push(row.text(0)?.to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        let (mut entries, mut bytes) = (Vec::with_capacity(ids.len()), 0);
        for id in ids {
            if bytes > STEP_BYTES {
                break;
            }
            let key = self.key_by_name(table, &id)?;
            let Some(row) = self.merged(&key)?.and_then(|image| image.row) else { continue };
            let entry = Entry {
                is_group_end: true,
                ownership: OwnershipNumber(0),
                table: key.table.reference().clone(),
                record: key.id,
                operation: Operation::Put(row),
            };
            bytes += entry.encode().len();
            entries.push(entry);
        }
        Ok(entries)
    }
}
