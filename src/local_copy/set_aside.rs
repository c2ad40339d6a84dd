//! Refused edits: kept with their reason until somebody has looked at them (rule 5.3).

use std::ops::ControlFlow;

use domain::edit::{Edit, EditOp};
use domain::json::row_to_json;
use protocol::entry::Operation;
use protocol::ids::Sequence;
use sql::{Durability, Param, Row, SqlExt as _};

use super::query::operation_word;
use super::{LocalCopy, LocalCopyError, image};

/// A refused edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAsideView {
    /// Its number here.
    pub number: u64,
    /// Its place in the journal.
    pub sequence: Sequence,
    /// The edit as it can be recorded again.
    pub edit: Edit,
    /// put, patch or delete.
    pub operation: &'static str,
    /// The rule's code.
    pub code: String,
    /// The rule in words.
    pub reason: String,
    /// When it was recorded.
    pub recorded_at_ms: u64,
}

const COLUMNS: &str = "SELECT number, sequence, table_name, id, entry, code, reason, recorded_at_ms FROM set_aside";

impl LocalCopy {
    /// How many refused edits are kept.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn set_aside_count(&mut self) -> Result<u64, LocalCopyError> {
        Ok(self.sql.query_integer("SELECT COUNT(*) FROM set_aside", &[])?.unwrap_or(0).cast_unsigned())
    }

    /// Refused edits in the order of their numbers.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn set_aside_list(&mut self, after: u64, limit: u32) -> Result<Vec<SetAsideView>, LocalCopyError> {
        let text = format!("{COLUMNS} WHERE number > ?1 ORDER BY number LIMIT ?2");
        self.set_aside_rows(&text, &[Param::unsigned(after)?, limit.into()])
    }

    /// One refused edit.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn set_aside_show(&mut self, number: u64) -> Result<Option<SetAsideView>, LocalCopyError> {
        let text = format!("{COLUMNS} WHERE number = ?1");
        Ok(self.set_aside_rows(&text, &[Param::unsigned(number)?])?.pop())
    }

    /// Lets go of a refused edit: it was recorded anew.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn set_aside_remove(&mut self, number: u64) -> Result<(), LocalCopyError> {
        self.sql.in_transaction::<_, LocalCopyError>(Durability::Full, |sql| {
            sql.execute("DELETE FROM set_aside WHERE number = ?1", &[Param::unsigned(number)?])?;
            Ok(())
        })
    }

    fn set_aside_rows(&mut self, text: &str, parameters: &[Param<'_>]) -> Result<Vec<SetAsideView>, LocalCopyError> {
        let mut rows = Vec::new();
        self.sql.query(text, parameters, &mut |row: &dyn Row| {
            let texts = [row.text(2)?, row.text(3)?, row.text(5)?, row.text(6)?].map(str::to_owned);
            rows.push((row.unsigned(0)?, Sequence(row.unsigned(1)?), texts, row.blob(4)?.to_vec(), row.unsigned(7)?));
            Ok(ControlFlow::Continue(()))
        })?;
        let mut views = Vec::with_capacity(rows.len());
        for (number, sequence, [name, id, code, reason], entry, recorded_at_ms) in rows {
            let (table, id) = (image::table_named(&self.catalogue, &name), image::record_id(&id)?);
            let operation = image::decode(&entry)?.operation;
            let (op, data) = match &operation {
                Operation::Put(row) => (EditOp::Put, Some(row_to_json(&table, &id, row))),
                Operation::Patch(row) => (EditOp::Patch, Some(row_to_json(&table, &id, row))),
                Operation::Delete => (EditOp::Delete, None),
            };
            let operation = operation_word(&operation);
            let edit = Edit { table: name, op, id, data };
            views.push(SetAsideView { number, sequence, edit, operation, code, reason, recorded_at_ms });
        }
        Ok(views)
    }
}
