//! Merges at central, which alone orders them (rule 5.19). See `domain::merge`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use domain::catalogue::{Catalogue, Table};
use domain::json;
use domain::merge::{self, Alias, INTO_COLUMN, Plan};
use protocol::entry::Operation;
use protocol::ids::{Position, RecordId, TableRef};
use protocol::row::{Row, Value};

use super::batch::Batch;
use super::error::StoreError;
use super::reading::{Reading, RecordRow};
use super::records::damaged_record;
use super::text;

/// Merges that are named on the way from a record to what it stands for.
pub const MERGES_NAMED_MAX: usize = 20;

/// What became of a merge that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// It is done.
    Done {
        /// What the first record was by then: this one goes.
        from: RecordId,
        /// What the second one was by then: this one stays.
        into: RecordId,
        /// Where that stands in central's order.
        position: Position,
    },
    /// Both were this record already; nothing was written.
    Nothing {
        /// What they are.
        both: RecordId,
    },
}

/// Of a merged record, the way to what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedRecord {
    /// What it stands for now.
    pub end: RecordId,
    /// The merges that lead there, the record's own first; at most [`MERGES_NAMED_MAX`].
    pub steps: Vec<Alias>,
}

impl Batch<'_> {
    /// Makes two records one: what `from` is by now goes, what `into` is by now stays. `table` is the catalogue's name.
    ///
    /// # Errors
    /// `merge_table` where the table's records are not merged; `merge_record_missing` and the judge's other reasons; `central_heals`.
    pub fn merge(&mut self, table: &str, from: &RecordId, into: &RecordId) -> Result<Merge, StoreError> {
        self.job(|batch| batch.merge_now(table, from, into))
    }

    fn merge_now(&mut self, table: &str, from: &RecordId, into: &RecordId) -> Result<Merge, StoreError> {
        let catalogue = self.catalogue;
        let table =
            catalogue.table_by_name(table).map_err(|error| StoreError::refused(error.code(), &error.to_string()))?;
        if catalogue.merges_of(table).next().is_none() {
            let what = format!("records of {} are not merged; those of {} are", table.name(), merged_tables(catalogue));
            return Err(StoreError::refused("merge_table", &what));
        }
        // The judge asks of what they are by now; what was named must be there as well, or it was a slip.
        let mut data_type = table.data_type();
        for record in [into, from] {
            let key = (table.reference().clone(), record.clone());
            let Some(row) = self.read_record(&key)?.and_then(|stored| stored.row) else {
                let what = format!("there is no record {record} in {} at central; both must be there", table.name());
                return Err(StoreError::refused("merge_record_missing", &what));
            };
            data_type = table.data_type_of(&table.canonical(row));
        }
        let Some(merges) = catalogue.merges_of_type(table, data_type) else {
            let what = format!("records of {} that are {} data are not merged", table.name(), data_type.as_str());
            return Err(StoreError::refused("merge_table", &what));
        };
        let asked = [from, into];
        let (from, into) = match merge::plan(from, into, |id| self.alias(merges, id))? {
            Plan::Done(both) => return Ok(Merge::Nothing { both }),
            Plan::Alias { from, into } => (from, into),
        };
        self.refuse_while_healing(&format!("{} {from} cannot be merged into {into} yet", table.name()))?;
        let mut columns = vec![(merges.column_ref(INTO_COLUMN), Value::Text(into.to_string()))];
        if let Some(column) = merges.store_column() {
            let stored = self.read_record(&(table.reference().clone(), from.clone()))?;
            let store = stored.and_then(|stored| stored.store).map(|store| Value::Text(store.to_string()));
            columns.extend(store.map(|store| (merges.column_ref(column), store)));
        }
        let row = Row::new(columns).expect("two ids are within every limit");
        let key = (merges.reference().clone(), from.clone());
        if let Err(reason) = self.write_as_central(key, Operation::Put(row))? {
            let stands = |asked: &RecordId, now: &RecordId| {
                if asked == now { String::new() } else { format!("{asked} stands for {now}: ") }
            };
            let what = [stands(asked[0], &from), stands(asked[1], &into), reason.text].concat();
            return Err(StoreError::refused(&reason.code, &what));
        }
        // What waited may have been written behind it.
        let position = self.alias(merges, &from)?.map_or(Position::ZERO, |alias| alias.position);
        Ok(Merge::Done { from, into, position })
    }

    pub(super) fn alias(&mut self, merges: &Table, id: &RecordId) -> Result<Option<Alias>, StoreError> {
        let Some(stored) = self.read_record(&(merges.reference().clone(), id.clone()))? else { return Ok(None) };
        let into = stored.row.and_then(|row| merge::into_of(merges, &merges.canonical(row)).ok());
        Ok(into.map(|into| Alias { into, position: Position(stored.position) }))
    }

    /// A record that was merged into this one. Reads all rows of the merges: they are few, and this is asked only where somebody gives a
    /// store another name.
    pub(super) fn merged_into(&mut self, merges: &TableRef, record: &RecordId) -> Result<Option<RecordId>, StoreError> {
        let Some(merges) = self.catalogue.table(merges) else { return Ok(None) };
        // What looks the same in JSON, so that most rows need not be read as such.
        let is_plain = record.as_str().chars().all(|character| character.is_ascii_alphanumeric() || character == '-');
        let pattern = if is_plain { format!("%{record}%") } else { "%".to_owned() };
        let (mut found, mut damaged) = (None, None);
        self.sql.query(
            "SELECT id, data FROM record WHERE table_name = ?1 AND data LIKE ?2 ORDER BY id",
            &[merges.name().into(), pattern.as_str().into()],
            &mut |row| {
                let id = text::record_id(row, 0)?;
                match json::row_from_json(merges, &id, row.text(1)?) {
                    Ok(row) if merge::into_of(merges, &row).as_ref() == Ok(record) => found = Some(id),
                    Ok(_) => return Ok(ControlFlow::Continue(())),
                    Err(error) => damaged = Some(damaged_record(merges, &id, &error)),
                }
                Ok(ControlFlow::Break(()))
            },
        )?;
        damaged.map_or(Ok(found), Err)
    }
}

impl Reading<'_> {
    /// What a record stands for and how it came to that; `None` if it was not merged. `table` is the catalogue's name.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn merged(&mut self, table: &str, id: &RecordId) -> Result<Option<MergedRecord>, StoreError> {
        let catalogue = self.catalogue;
        let Ok(table) = catalogue.table_by_name(table) else { return Ok(None) };
        let end = merge::resolve(id, |id| self.alias_in(table, id))?;
        if end == *id {
            return Ok(None);
        }
        let mut steps: Vec<Alias> = Vec::new();
        let mut current = id.clone();
        while current != end && steps.len() < MERGES_NAMED_MAX {
            let Some(alias) = self.alias_in(table, &current)? else { break };
            current = alias.into.clone();
            steps.push(alias);
        }
        Ok(Some(MergedRecord { end, steps }))
    }

    /// A record of a table has a row of one kind of merges at most.
    fn alias_in(&mut self, table: &Table, id: &RecordId) -> Result<Option<Alias>, StoreError> {
        let catalogue = self.catalogue;
        for merges in catalogue.merges_of(table) {
            if let Some(alias) = self.alias(merges, id)? {
                return Ok(Some(alias));
            }
        }
        Ok(None)
    }

    fn alias(&mut self, merges: &Table, id: &RecordId) -> Result<Option<Alias>, StoreError> {
        let Some(RecordRow { data: Some(data), position, .. }) = self.record(merges.name(), id)? else {
            return Ok(None);
        };
        let row = json::row_from_json(merges, id, &data).map_err(|error| damaged_record(merges, id, &error))?;
        Ok(merge::into_of(merges, &row).ok().map(|into| Alias { into, position }))
    }
}

/// The tables whose records are merged, for people.
fn merged_tables(catalogue: &Catalogue) -> String {
    let merged = catalogue.tables().filter_map(Table::merges);
    let names: BTreeSet<String> = merged.map(|table| catalogue.table_name(table)).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}
