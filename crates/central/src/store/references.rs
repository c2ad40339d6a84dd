//! Which records hold an id in a column, for the few columns by which rules ask (`domain::transfers::records::REFERENCES`, and those that
//! central's own look-ups need). A line's header stands beside the line itself, and is not noted twice.

use std::ops::ControlFlow;

use domain::catalogue::Table;
use domain::merge::INTO_COLUMN;
use domain::number::NUMBER_TABLE;
use domain::transfers::records::{ITEM_JOINS, ITEMS, REFERENCES};
use protocol::ids::RecordId;
use protocol::row::{Row, Value};

use super::batch::Batch;
use super::error::StoreError;
use super::text;

/// The table of log entries.
pub(super) const LOG: &str = "om_activity_log";
/// Its column with the record that it is about.
pub(super) const LOG_ABOUT: &str = "record_ID";
/// The column that names a sequence of numbers.
pub(super) const NUMBER_NAME: &str = "name";
/// The column with the item of what a store says of one.
pub(super) const ITEM: &str = "item_ID";
/// Longest value that is noted, in bytes: the name of a sequence, which has a kind of 64 and a store's id of 64 in it. No id is longer.
const VALUE_BYTES_MAX: usize = 160;

/// What is noted beside [`REFERENCES`].
const OWN: [(&str, &str); 3] = [(ITEM_JOINS, ITEM), (NUMBER_TABLE, NUMBER_NAME), (LOG, LOG_ABOUT)];

/// The index by which lines are found by their header.
pub(super) const DDL: &str = "
CREATE TABLE record_reference (
    record {bigint} NOT NULL,
    column_name {text} NOT NULL,
    value {text} NOT NULL,
    PRIMARY KEY (record, column_name)
) {keyed_table};
CREATE INDEX record_reference_value ON record_reference (value, column_name);
CREATE INDEX record_parent ON record (parent_id) WHERE parent_id IS NOT NULL;
";

impl Batch<'_> {
    /// Notes what a record holds. `before`: as it was, where somebody has read that; `is_new`: nothing was noted of it.
    pub(super) fn note_references(
        &mut self,
        (number, is_new): (i64, bool),
        table: &Table,
        before: Option<&Row>,
        after: Option<&Row>,
    ) -> Result<(), StoreError> {
        for column in self.noted_columns(table) {
            let value = after.and_then(|row| noted(table, row, column));
            if before.is_some() && before.and_then(|row| noted(table, row, column)) == value {
                continue;
            }
            if let Some(value) = value {
                let sql = "INSERT INTO record_reference (record, column_name, value) VALUES (?1, ?2, ?3)
                    ON CONFLICT (record, column_name) DO UPDATE SET value = excluded.value";
                self.sql.execute(sql, &[number.into(), column.into(), value.into()])?;
            } else if !is_new {
                let sql = "DELETE FROM record_reference WHERE record = ?1 AND column_name = ?2";
                self.sql.execute(sql, &[number.into(), column.into()])?;
            }
        }
        Ok(())
    }

    fn noted_columns(&self, table: &Table) -> Vec<&'static str> {
        let merges_items = table.merges().is_some_and(|merged| self.catalogue.table_name(merged) == ITEMS);
        let of_table = |(name, _): &&(&str, &str)| *name == table.name();
        let columns = REFERENCES.iter().chain(&OWN).filter(of_table).map(|(_, column)| *column);
        let columns = columns.filter(|column| !is_parent(table, column));
        columns.chain(merges_items.then_some(INTO_COLUMN)).collect()
    }

    /// The records that are here and hold a value in a noted column, or are the lines of a header, by their ids.
    pub(super) fn referring_to(
        &mut self,
        table: &Table,
        column: &str,
        value: &str,
    ) -> Result<Vec<(RecordId, Row)>, StoreError> {
        let parent = table.parent().filter(|_| is_parent(table, column));
        let (sql, third) = match parent {
            Some(parent) => (
                "SELECT id FROM record WHERE parent_id = ?1 AND table_name = ?2 AND parent_table = ?3 AND data IS NOT NULL ORDER BY id",
                self.catalogue.table_name(&parent.table),
            ),
            None => (
                "SELECT record.id FROM record_reference JOIN record ON record.number = record_reference.record
                 WHERE record_reference.value = ?1 AND record.table_name = ?2 AND record_reference.column_name = ?3
                     AND record.data IS NOT NULL ORDER BY record.id",
                column.to_owned(),
            ),
        };
        let mut ids = Vec::new();
        self.sql.query(sql, &[value.into(), table.name().into(), (&third).into()], &mut |row| {
            ids.push(text::record_id(row, 0)?);
            Ok(ControlFlow::Continue(()))
        })?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let stored = self.read_record(&(table.reference().clone(), id.clone()))?;
            if let Some(row) = stored.and_then(|stored| stored.row) {
                found.push((id, table.canonical(row)));
            }
        }
        Ok(found)
    }

    /// Notes what the records of a store of before hold.
    pub(super) fn note_all_references(&mut self) -> Result<(), StoreError> {
        let catalogue = self.catalogue;
        for table in catalogue.tables() {
            if self.noted_columns(table).is_empty() {
                continue;
            }
            self.each_record(table.name(), "", |batch, table, id, row, _| {
                let key = (table.reference().clone(), id.clone());
                let Some(stored) = batch.read_record(&key)? else { return Ok(()) };
                batch.note_references((stored.number, true), table, None, Some(row))
            })?;
        }
        Ok(())
    }
}

fn is_parent(table: &Table, column: &str) -> bool {
    table.parent().is_some_and(|parent| table.name_of(&parent.column) == column)
}

fn noted<'r>(table: &Table, row: &'r Row, column: &str) -> Option<&'r str> {
    let can_be = |text: &&String| !text.is_empty() && text.len() <= VALUE_BYTES_MAX && !text.contains('\0');
    match row.value(&table.column_ref(column)) {
        Some(Value::Text(text)) => Some(text).filter(can_be).map(String::as_str),
        _ => None,
    }
}
