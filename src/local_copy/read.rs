//! What applications and people read.

use std::ops::ControlFlow;

use domain::catalogue::{DataType, Table};
use domain::merge::Merged;
use protocol::ids::{RecordId, Sequence};
use sql::{Param, Row, SqlError, SqlErrorKind, SqlExt};

use super::images::state;
use super::{LocalCopy, LocalCopyError, checksum, limits};

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Whether there may be more behind the last one.
    pub has_more: bool,
}

impl<T> Listing<T> {
    /// What to read on behind, if there is more.
    pub fn next<K>(&self, key: impl FnOnce(&T) -> K) -> Option<K> {
        self.items.last().filter(|_| self.has_more).map(key)
    }

    /// Takes one item more than `limit` off; it only said that there is more.
    pub(super) fn cut(mut items: Vec<T>, limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = items.len() > limit;
        items.truncate(limit);
        Self { items, has_more }
    }
}

/// What to ask for so that [`Listing::cut`] can say whether there is more.
pub(super) fn checked_limit(limit: u32) -> Param<'static> {
    Param::Integer(i64::from(limit) + 1)
}

/// How final a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordState {
    /// As central has it.
    Central,
    /// With edits of this site whose verdict is not known yet.
    Pending,
    /// With edits of this site that wait at central for a header.
    Waiting,
    /// Never leaves this site.
    Local,
}

impl RecordState {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Central => "central",
            Self::Pending => "pending",
            Self::Waiting => "waiting",
            Self::Local => "local",
        }
    }

    pub(super) fn of(number: i64) -> Result<Self, SqlError> {
        match number {
            state::CENTRAL => Ok(Self::Central),
            state::PENDING => Ok(Self::Pending),
            state::WAITING => Ok(Self::Waiting),
            state::LOCAL => Ok(Self::Local),
            other => Err(SqlError::new(SqlErrorKind::Corrupt, format!("a record has the state {other}"))),
        }
    }
}

/// A record as applications read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordView {
    /// Its id.
    pub id: String,
    /// The store that it belongs to.
    pub store: Option<String>,
    /// The record as a JSON object.
    pub data: String,
    /// How final it is.
    pub state: RecordState,
}

/// Where a queued edit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueState {
    /// Not received by central.
    Unsent,
    /// Received, not judged.
    Received,
    /// Waits at central for a header.
    Waiting,
}

impl QueueState {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsent => "not_sent",
            Self::Received => "sent",
            Self::Waiting => "waiting",
        }
    }
}

/// An edit whose verdict is not final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueEntry {
    /// Its place in the journal.
    pub sequence: Sequence,
    /// The record's table.
    pub table: String,
    /// The record.
    pub id: String,
    /// `put`, `patch` or `delete`.
    pub operation: String,
    /// Where it is.
    pub state: QueueState,
    /// When it was recorded, in milliseconds since 1970.
    pub recorded_at_ms: u64,
    /// Size of the entry, in bytes.
    pub bytes: u64,
}

/// The queue as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueView {
    /// Edits that central has not received.
    pub unsent: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// When the oldest of these was recorded, in milliseconds since 1970.
    pub oldest_recorded_at_ms: Option<u64>,
    /// Edits that central has received and not judged.
    pub unjudged: u64,
    /// Edits that wait at central for a header.
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

/// A control row that this program does not understand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownControl {
    /// Its place in the control lane.
    pub number: u64,
    /// Its code.
    pub code: u16,
    /// Its content.
    pub content: Vec<u8>,
}

const RECORD_COLUMNS: &str = "id, store, data, state, position, checksum";

impl LocalCopy {
    /// One record; `None` if it is not here.
    ///
    /// # Errors
    /// Those of a read.
    pub fn get(&mut self, table: &Table, id: &RecordId) -> Result<Option<RecordView>, LocalCopyError> {
        let sql = format!("SELECT {RECORD_COLUMNS} FROM record WHERE table_name = ?1 AND id = ?2");
        let found = self.sql.query_one(&sql, &[table.name().into(), id.as_str().into()], read_record)?;
        found.map(|found| found.checked(table.name())).transpose()
    }

    /// Records of a table in the order of their ids, behind `after`, at most `limit` and at most [`limits::LIST_BYTES_MAX`] of
    /// data; one at least, if there is one. Whether merged ones are among them is asked for.
    ///
    /// # Errors
    /// Those of a read.
    pub fn list(
        &mut self,
        table: &Table,
        store: Option<&str>,
        merged: Merged,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Listing<RecordView>, LocalCopyError> {
        // Of central's data the store stands in the record alone.
        let in_record = store.filter(|_| table.data_type() == DataType::CentralStore);
        let (condition, store) = match store.filter(|_| in_record.is_none()) {
            Some(store) => ("store = ?4", Param::Text(store)),
            // The parameter is named so that all statements have the same ones.
            None => ("?4 IS NULL", Param::Null),
        };
        // Names have two tables of merges, of patients and of others; no table has more.
        let aliases: Vec<String> = match merged {
            Merged::Listed => Vec::new(),
            Merged::LeftOut => self.catalogue.merges_of(table).map(|merges| merges.name().to_owned()).collect(),
        };
        let alias = |number: usize| aliases.get(number).map_or(Param::Null, |name| Param::Text(name));
        // A circle, in which one record stays that has a row, is here only until a time line that is gone is swept.
        let stays = if aliases.is_empty() {
            "?5 IS NULL AND ?6 IS NULL"
        } else {
            "NOT EXISTS (SELECT 1 FROM record AS alias WHERE alias.table_name IN (?5, ?6) AND alias.id = record.id)"
        };
        let sql = format!(
            "SELECT {RECORD_COLUMNS} FROM record WHERE table_name = ?1 AND id > ?2 AND {condition} AND {stays}
             ORDER BY id LIMIT ?3"
        );
        let mut items: Vec<Unchecked> = Vec::new();
        let mut bytes = 0;
        let mut is_cut = false;
        let rows_max = if in_record.is_some() { Param::Integer(i64::MAX) } else { checked_limit(limit) };
        let params = [table.name().into(), after.unwrap_or("").into(), rows_max, store, alias(0), alias(1)];
        self.sql.query(&sql, &params, &mut |row| {
            if in_record.is_some_and(|store| !is_of_store(table, row, store)) {
                return Ok(ControlFlow::Continue(()));
            }
            if items.len() as u64 > u64::from(limit) {
                return Ok(ControlFlow::Break(()));
            }
            bytes += row.text(2)?.len();
            if bytes > limits::LIST_BYTES_MAX && !items.is_empty() {
                is_cut = true;
                return Ok(ControlFlow::Break(()));
            }
            items.push(read_record(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        let items: Result<Vec<RecordView>, LocalCopyError> =
            items.into_iter().map(|found| found.checked(table.name())).collect();
        let mut listing = Listing::cut(items?, limit);
        listing.has_more |= is_cut;
        Ok(listing)
    }

    /// Records of each table that has any. Counts through an index, so it takes as long as reading that.
    ///
    /// # Errors
    /// Those of a read.
    pub fn table_counts(&mut self) -> Result<Vec<TableCount>, LocalCopyError> {
        let sql = "SELECT table_name, count(*) FROM record GROUP BY table_name ORDER BY table_name";
        let mut counts = Vec::new();
        self.sql.query(sql, &[], &mut |row| {
            counts.push(TableCount { table: row.text(0)?.to_owned(), records: row.unsigned(1)? });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(counts)
    }

    /// Edits whose verdict is not final, in the order of the journal in use, behind `after`; at most `limit`.
    ///
    /// # Errors
    /// Those of a read.
    pub fn queue(&mut self, after: Sequence, limit: u32) -> Result<Listing<QueueEntry>, LocalCopyError> {
        let received = self.progress.received;
        let mut items = Vec::new();
        self.sql.query(
            "SELECT sequence, table_name, id, operation, is_waiting, recorded_at_ms, length(entry) FROM pending
             WHERE journal = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3",
            &[Param::unsigned(self.journal_number)?, Param::unsigned(after.0)?, checked_limit(limit)],
            &mut |row| {
                let sequence = row.unsigned(0)?;
                items.push(QueueEntry {
                    sequence: Sequence(sequence),
                    table: row.text(1)?.to_owned(),
                    id: row.text(2)?.to_owned(),
                    operation: row.text(3)?.to_owned(),
                    state: match (row.integer(4)?, sequence > received) {
                        (0, true) => QueueState::Unsent,
                        (0, false) => QueueState::Received,
                        _ => QueueState::Waiting,
                    },
                    recorded_at_ms: row.unsigned(5)?,
                    bytes: row.unsigned(6)?,
                });
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(Listing::cut(items, limit))
    }

    /// How much is in the queue, edits under a journal before the one in use included.
    ///
    /// # Errors
    /// Those of a read.
    pub fn queue_view(&mut self) -> Result<QueueView, LocalCopyError> {
        let journal = Param::unsigned(self.journal_number)?;
        let unsent = self.sql.query_one(
            "SELECT count(*), CAST(coalesce(sum(length(entry)), 0) AS BIGINT), min(recorded_at_ms) FROM pending
             WHERE journal = ?1 AND sequence > ?2",
            &[journal, Param::unsigned(self.progress.received)?],
            |row| Ok((row.unsigned(0)?, row.unsigned(1)?, row.optional_unsigned(2)?)),
        )?;
        let (unsent, bytes, oldest_recorded_at_ms) = unsent.unwrap_or_default();
        let count = |copy: &mut Self, is_waiting: i64| {
            let sql = "SELECT count(*) FROM pending
                       WHERE is_waiting = ?3 AND (journal < ?1 OR (journal = ?1 AND sequence <= ?2))";
            let params = [journal, Param::unsigned(copy.progress.received)?, is_waiting.into()];
            Ok::<_, SqlError>(copy.sql.query_integer(sql, &params)?.unwrap_or(0).cast_unsigned())
        };
        let (unjudged, waiting) = (count(self, 0)?, count(self, 1)?);
        Ok(QueueView { unsent, bytes, oldest_recorded_at_ms, unjudged, waiting })
    }

    /// How many control rows of unknown kinds are kept, and how much this site owes in answer to what came.
    ///
    /// # Errors
    /// Those of a read.
    pub fn kept_counts(&mut self) -> Result<(u64, u64), LocalCopyError> {
        let unknown = self.sql.query_integer("SELECT count(*) FROM control_unknown", &[])?.unwrap_or(0);
        let owed = self.sql.query_integer("SELECT count(*) FROM owed", &[])?.unwrap_or(0);
        Ok((unknown.cast_unsigned(), owed.cast_unsigned()))
    }

    /// Control rows that this program does not understand; at most [`limits::CONTROL_UNKNOWN_MAX`] are kept.
    ///
    /// # Errors
    /// Those of a read.
    pub fn unknown_control(&mut self, after: u64, limit: u32) -> Result<Listing<UnknownControl>, LocalCopyError> {
        let mut items = Vec::new();
        self.sql.query(
            "SELECT number, code, content FROM control_unknown WHERE number > ?1 ORDER BY number LIMIT ?2",
            &[Param::unsigned(after)?, checked_limit(limit)],
            &mut |row| {
                let code = u16::try_from(row.integer(1)?)
                    .map_err(|error| SqlError::new(SqlErrorKind::Corrupt, format!("a control code: {error}")))?;
                items.push(UnknownControl { number: row.unsigned(0)?, code, content: row.blob(2)?.to_vec() });
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(Listing::cut(items, limit))
    }
}

/// Whether a record names a store in its own column; what cannot be read names none.
fn is_of_store(table: &Table, row: &dyn Row, store: &str) -> bool {
    let own = || table.store_in(&RecordId::new(row.text(0).ok()?).ok()?, row.text(2).ok()?);
    own().is_some_and(|own| own.as_str() == store)
}

/// A record with what proves it.
struct Unchecked {
    view: RecordView,
    position: u64,
    checksum: Option<i64>,
}

impl Unchecked {
    fn checked(self, table: &str) -> Result<RecordView, LocalCopyError> {
        let RecordView { id, store, data, .. } = &self.view;
        let right = checksum::of_row(table, id, store.as_deref(), Some(data), self.position);
        checksum::check(self.checksum, right, format_args!("record {table} {id}"))?;
        Ok(self.view)
    }
}

fn read_record(row: &dyn Row) -> Result<Unchecked, SqlError> {
    let view = RecordView {
        id: row.text(0)?.to_owned(),
        store: row.optional_text(1)?.map(str::to_owned),
        data: row.text(2)?.to_owned(),
        state: RecordState::of(row.integer(3)?)?,
    };
    Ok(Unchecked { view, position: row.unsigned(4)?, checksum: row.optional_integer(5)? })
}
