//! Reading: one record, a table's records, the queue, counts.

use std::ops::ControlFlow;

use domain::catalogue::Table;
use protocol::entry::Operation;
use protocol::ids::{OwnershipNumber, RecordId, Sequence};
use sql::{Param, Row, SqlError, SqlExt as _};

use super::{LocalCopy, LocalCopyError, image};

/// How final a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordState {
    /// As central has it.
    Central,
    /// With own edits that central has not judged.
    Pending,
    /// With own edits that wait at central for their header.
    Waiting,
    /// Local data: central never has it.
    Local,
}

impl RecordState {
    /// The word in JSON and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Central => "central",
            Self::Pending => "pending",
            Self::Waiting => "waiting",
            Self::Local => "local",
        }
    }
}

/// A record as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordView {
    /// Its id.
    pub id: String,
    /// Its data as JSON.
    pub data: String,
    /// How final it is.
    pub state: RecordState,
}

/// An edit in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingView {
    /// Its place in the journal.
    pub sequence: Sequence,
    /// The record's table.
    pub table: String,
    /// The record.
    pub id: String,
    /// put, patch or delete.
    pub operation: &'static str,
    /// Whether it waits at central for its header.
    pub is_waiting: bool,
    /// When it was recorded.
    pub recorded_at_ms: u64,
}

/// The queue as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueView {
    /// Edits that central has not received.
    pub unsent: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// When the oldest of these was recorded.
    pub oldest_recorded_at_ms: Option<u64>,
    /// Edits that central has received and not judged.
    pub unjudged: u64,
    /// Edits that wait at central for their header.
    pub waiting: u64,
}

/// How many records a table has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableCount {
    /// The table.
    pub table: String,
    /// Its records.
    pub records: u64,
}

/// Columns of [`RecordView`]: what is pending of a record says how final it is; Local data has no scope and no pending entries.
const VIEW: &str = "SELECT r.id, r.data,
    (SELECT MAX(p.is_waiting) FROM pending p WHERE p.table_name = r.table_name AND p.id = r.id),
    (SELECT COUNT(*) FROM member m WHERE m.table_name = r.table_name AND m.id = r.id)
    FROM record r WHERE r.table_name = ?1";

impl LocalCopy {
    /// One record.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn get(&mut self, table: &Table, id: &RecordId) -> Result<Option<RecordView>, LocalCopyError> {
        let text = format!("{VIEW} AND r.id = ?2");
        let is_local = |row: &dyn Row| view(row, table);
        Ok(self.sql.query_one(&text, &[table.name().into(), id.as_str().into()], is_local)?)
    }

    /// Records of a table in the order of their ids.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn list(
        &mut self,
        table: &Table,
        store: Option<&str>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<RecordView>, LocalCopyError> {
        let filter = if store.is_some() { "AND r.store = ?4" } else { "" };
        let text = format!("{VIEW} AND r.id > ?2 {filter} ORDER BY r.id LIMIT ?3");
        let mut parameters = vec![table.name().into(), after.unwrap_or("").into(), limit.into()];
        parameters.extend(store.map(Param::from));
        let mut records = Vec::new();
        self.sql.query(&text, &parameters, &mut |row| {
            records.push(view(row, table)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(records)
    }

    /// Edits whose verdict is not final, in their order.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn queue(&mut self, after: Sequence, limit: u32) -> Result<Vec<PendingView>, LocalCopyError> {
        let mut rows = Vec::new();
        self.sql.query(
            "SELECT sequence, table_name, id, entry, is_waiting, recorded_at_ms FROM pending
             WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
            &[Param::unsigned(after.0)?, limit.into()],
            &mut |row| {
                let view = PendingView {
                    sequence: Sequence(row.unsigned(0)?),
                    table: row.text(1)?.to_owned(),
                    id: row.text(2)?.to_owned(),
                    operation: "",
                    is_waiting: row.integer(4)? != 0,
                    recorded_at_ms: row.unsigned(5)?,
                };
                rows.push((view, row.blob(3)?.to_vec()));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        rows.into_iter()
            .map(|(view, entry)| {
                Ok(PendingView { operation: operation_word(&image::decode(&entry)?.operation), ..view })
            })
            .collect()
    }

    /// The queue as numbers.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn queue_view(&mut self) -> Result<QueueView, LocalCopyError> {
        let received = [Param::unsigned(self.state.received.0)?];
        let unsent = self.sql.query_one(
            "SELECT COUNT(*), COALESCE(SUM(LENGTH(entry)), 0), MIN(recorded_at_ms) FROM pending WHERE sequence > ?1",
            &received,
            |row| Ok((row.unsigned(0)?, row.unsigned(1)?, row.optional_unsigned(2)?)),
        )?;
        let rest = self.sql.query_one(
            "SELECT COUNT(*), COALESCE(SUM(is_waiting), 0) FROM pending WHERE sequence <= ?1",
            &received,
            |row| Ok((row.unsigned(0)?, row.unsigned(1)?)),
        )?;
        let (unsent, bytes, oldest_recorded_at_ms) = unsent.unwrap_or_default();
        let (received, waiting) = rest.unwrap_or_default();
        Ok(QueueView { unsent, bytes, oldest_recorded_at_ms, unjudged: received - waiting, waiting })
    }

    /// How many records each table has.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn table_counts(&mut self) -> Result<Vec<TableCount>, LocalCopyError> {
        let mut counts = Vec::new();
        let text = "SELECT table_name, COUNT(*) FROM record GROUP BY table_name ORDER BY table_name";
        self.sql.query(text, &[], &mut |row| {
            counts.push(TableCount { table: row.text(0)?.to_owned(), records: row.unsigned(1)? });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(counts)
    }

    /// The stores that this site may write.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn grants(&mut self) -> Result<Vec<(String, OwnershipNumber)>, LocalCopyError> {
        let mut grants = Vec::new();
        self.sql.query("SELECT store, ownership FROM store_grant ORDER BY store", &[], &mut |row| {
            let number = u32::try_from(row.unsigned(1)?).unwrap_or(u32::MAX);
            grants.push((row.text(0)?.to_owned(), OwnershipNumber(number)));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(grants)
    }

    /// A pending entry's bytes, for carrying it over to a new journal.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn pending_entry(&mut self, sequence: Sequence) -> Result<Option<Vec<u8>>, LocalCopyError> {
        let text = "SELECT entry FROM pending WHERE sequence = ?1";
        Ok(self.sql.query_one(text, &[Param::unsigned(sequence.0)?], |row| Ok(row.blob(0)?.to_vec()))?)
    }

    /// Numbers of things that people look at: control rows of unknown kinds, and what this site owes in answer to what came.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn kept_counts(&mut self) -> Result<(u64, u64), LocalCopyError> {
        let unknown = self.sql.query_integer("SELECT COUNT(*) FROM control_unknown", &[])?.unwrap_or(0);
        let owed = self.sql.query_integer("SELECT COUNT(*) FROM owed", &[])?.unwrap_or(0);
        Ok((unknown.cast_unsigned(), owed.cast_unsigned()))
    }
}

fn view(row: &dyn Row, table: &Table) -> Result<RecordView, SqlError> {
    let state = match (row.optional_integer(2)?, row.integer(3)?) {
        (Some(1), _) => RecordState::Waiting,
        (Some(_), _) => RecordState::Pending,
        (None, 0) if is_local(table) => RecordState::Local,
        (None, _) => RecordState::Central,
    };
    Ok(RecordView { id: row.text(0)?.to_owned(), data: row.text(1)?.to_owned(), state })
}

/// Tables of which some records are Local data: a record of theirs that no scope holds is such a one.
fn is_local(table: &Table) -> bool {
    table.data_type() == domain::catalogue::DataType::Local
        || table.exceptions().any(|(_, data_type)| data_type == domain::catalogue::DataType::Local)
}

/// The word for an operation.
pub(super) fn operation_word(operation: &Operation) -> &'static str {
    match operation {
        Operation::Put(_) => "put",
        Operation::Patch(_) => "patch",
        Operation::Delete => "delete",
    }
}
