//! Records as central has them.

use domain::catalogue::{DataType, Table};
use domain::merge::Merged;
use domain::withholding::Withheld;
use protocol::ids::RecordId;
use serde_json::{Value, json};

use super::request::{Done, LIST_LIMIT_MAX, RecordsToList, check_limit};
use super::sites::record_id;
use super::visibility::check_store;
use crate::center::Center;
use crate::error::CentralError;
use crate::store::{Reading, RecordRow, StoreError};

pub(super) fn list(center: &Center, which: &RecordsToList) -> Result<Done, CentralError> {
    check_limit(which.limit, "id")?;
    let known = known_table(center, &which.table)?.clone();
    let table = known.name().to_owned();
    if let Some(id) = &which.id {
        return one(center, table, id);
    }
    let store = which.store.as_deref().map(record_id).transpose()?;
    let mut after = which.after.as_deref().map(record_id).transpose()?;
    let limit = which.limit;
    let merged = Merged::listed_if(which.merged);
    let note = match store.clone() {
        Some(store) => center.read(move |reading| {
            check_store(reading, &store)?;
            note_of(reading, &store)
        })?,
        None => None,
    };
    let rows = center.read(move |reading| {
        let mut rows: Vec<RecordRow> = Vec::new();
        loop {
            let page = reading.records(&table, merged, after.as_ref(), LIST_LIMIT_MAX.min(limit.max(100)))?;
            let Some(last) = page.last() else { return with_ends(reading, &table, rows) };
            after = Some(last.id.clone());
            let wanted = page.into_iter().filter(|row| store.is_none() || store_of(&known, row) == store);
            rows.extend(wanted.take(limit as usize - rows.len()));
            if rows.len() == limit as usize {
                return with_ends(reading, &table, rows);
            }
        }
    })?;
    // A full page may be the last one: then the next is empty.
    let next = rows.last().filter(|_| rows.len() == limit as usize).map(|(row, _)| &row.id);
    let mut listed = records_json(&which.table, &rows, next);
    if which.store.is_some() {
        listed["note"] = note.into();
    }
    Ok(Done::ok(listed))
}

/// What somebody has to know who takes the records of a store for all that there are.
fn note_of(reading: &mut Reading<'_>, store: &RecordId) -> Result<Option<String>, StoreError> {
    Ok(match reading.withheld(store)? {
        Withheld::Nothing => None,
        Withheld::Transactions => Some(format!(
            "store {store} keeps its transactions, stock lines and stocktakes, but transfers, on its site; central has what it had before"
        )),
        Withheld::Data => Some(format!(
            "store {store} is a transfer store here: central has its transfers and what it had before, and its other data stays on its site"
        )),
    })
}

/// The store that a record is of: the one beside it, or of central's data the one that it names.
fn store_of(table: &Table, row: &RecordRow) -> Option<RecordId> {
    let named = || {
        let data = row.data.as_deref().filter(|_| table.data_type() == DataType::CentralStore)?;
        table.store_in(&row.id, data)
    };
    row.store.clone().or_else(named)
}

/// A table by the name that somebody gave.
pub(super) fn known_table<'a>(center: &'a Center, name: &str) -> Result<&'a Table, CentralError> {
    center
        .catalogue()
        .table_by_name(name)
        .map_err(|error| CentralError::refused(error.code(), error.to_string(), "docs/data-types.md lists the tables."))
}

fn one(center: &Center, table: String, id: &str) -> Result<Done, CentralError> {
    let wanted = record_id(id)?;
    let name = table.clone();
    let rows = center.read(move |reading| {
        let row = reading.record(&table, &wanted)?.filter(|row| row.data.is_some());
        with_ends(reading, &table, row.into_iter().collect())
    })?;
    if rows.is_empty() {
        let message = format!("there is no record {id} in {name} at central");
        return Err(CentralError::refused("unknown_record", message, "Ids are spelled exactly as they were recorded."));
    }
    Ok(Done::ok(records_json(&name, &rows, None)))
}

/// Records, and of the merged ones what they stand for.
type WithEnds = Vec<(RecordRow, Option<RecordId>)>;

fn with_ends(reading: &mut Reading<'_>, table: &str, rows: Vec<RecordRow>) -> Result<WithEnds, StoreError> {
    let with_end = |row: RecordRow| {
        let merged = reading.merged(table, &row.id)?;
        Ok((row, merged.map(|merged| merged.end)))
    };
    rows.into_iter().map(with_end).collect()
}

fn records_json(table: &str, rows: &[(RecordRow, Option<RecordId>)], next: Option<&RecordId>) -> Value {
    let records: Vec<Value> = rows
        .iter()
        .map(|(row, end)| {
            let data: Value = row.data.as_deref().and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
            let mut shown = json!({
                "table": table,
                "id": row.id.as_str(),
                "store": row.store.as_ref().map(RecordId::as_str),
                "position": row.position.0,
                "data": data,
            });
            if let Some(end) = end {
                shown["merged_into"] = end.as_str().into();
            }
            shown
        })
        .collect();
    json!({ "records": records, "next": next.map(RecordId::as_str) })
}
