//! One record: central's image, the pending entries on top, and what comes of both.

use std::ops::ControlFlow;
use std::sync::Arc;

use domain::apply::apply;
use domain::catalogue::{Catalogue, Table};
use domain::json::{row_from_json, row_to_json};
use domain::judge::Found;
use protocol::entry::Entry;
use protocol::ids::{Position, RecordId, Sequence, TableRef};
use protocol::row::Row;
use sql::{Sql, SqlExt as _};

use super::LocalCopyError;

/// A record as a table row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// Its columns, or `None`: not here.
    pub(super) row: Option<Row>,
    /// The store that it belongs to.
    pub(super) store: Option<String>,
    /// Position of central's image; 0 for none.
    pub(super) position: Position,
}

/// Reads `record` or `base`.
pub(super) fn read(
    sql: &mut dyn Sql,
    source: Source,
    table: &Table,
    id: &RecordId,
) -> Result<Option<Image>, LocalCopyError> {
    let text = match source {
        Source::Record => "SELECT data, store, position FROM record WHERE table_name = ?1 AND id = ?2",
        Source::Base => "SELECT data, store, position FROM base WHERE table_name = ?1 AND id = ?2",
    };
    let found = sql.query_one(text, &[table.name().into(), id.as_str().into()], |row| {
        Ok((row.optional_text(0)?.map(str::to_owned), row.optional_text(1)?.map(str::to_owned), row.unsigned(2)?))
    })?;
    let Some((data, store, position)) = found else { return Ok(None) };
    let row = data.map(|data| parse(table, id, &data)).transpose()?;
    Ok(Some(Image { row, store, position: Position(position) }))
}

/// Which of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Record,
    Base,
}

/// Writes `record`: the merged truth. A record that is not here has no row.
pub(super) fn write_record(
    sql: &mut dyn Sql,
    table: &Table,
    id: &RecordId,
    image: &Image,
) -> Result<(), LocalCopyError> {
    let Some(row) = &image.row else {
        sql.execute(
            "DELETE FROM record WHERE table_name = ?1 AND id = ?2",
            &[table.name().into(), id.as_str().into()],
        )?;
        return Ok(());
    };
    let data = row_to_json(table, id, row);
    sql.execute(
        "INSERT INTO record (table_name, id, data, store, position) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (table_name, id) DO UPDATE
         SET data = excluded.data, store = excluded.store, position = excluded.position",
        &[
            table.name().into(),
            id.as_str().into(),
            data.as_str().into(),
            image.store.as_deref().into(),
            sql::Param::unsigned(image.position.0)?,
        ],
    )?;
    Ok(())
}

/// Writes `base`.
pub(super) fn write_base(sql: &mut dyn Sql, table: &Table, id: &RecordId, image: &Image) -> Result<(), LocalCopyError> {
    let data = image.row.as_ref().map(|row| row_to_json(table, id, row));
    sql.execute(
        "INSERT INTO base (table_name, id, data, store, position) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (table_name, id) DO UPDATE
         SET data = excluded.data, store = excluded.store, position = excluded.position",
        &[
            table.name().into(),
            id.as_str().into(),
            data.as_deref().into(),
            image.store.as_deref().into(),
            sql::Param::unsigned(image.position.0)?,
        ],
    )?;
    Ok(())
}

/// Keeps what is here as the base, before the first pending entry goes on top.
pub(super) fn keep_base(sql: &mut dyn Sql, table: &Table, id: &RecordId) -> Result<(), LocalCopyError> {
    let key = [table.name().into(), id.as_str().into()];
    sql.execute(
        "INSERT INTO base (table_name, id, data, store, position)
         SELECT table_name, id, data, store, position FROM record WHERE table_name = ?1 AND id = ?2
         ON CONFLICT (table_name, id) DO NOTHING",
        &key,
    )?;
    sql.execute(
        "INSERT INTO base (table_name, id, data, store, position) VALUES (?1, ?2, NULL, NULL, 0)
         ON CONFLICT (table_name, id) DO NOTHING",
        &key,
    )?;
    Ok(())
}

/// Puts the record together from its base and its pending entries; without any the base is all, and goes.
pub(super) fn rebuild(
    sql: &mut dyn Sql,
    catalogue: &Catalogue,
    table: &Table,
    id: &RecordId,
) -> Result<(), LocalCopyError> {
    let Some(mut image) = read(sql, Source::Base, table, id)? else { return Ok(()) };
    let entries = pending_of(sql, table, id)?;
    for (_, entry) in &entries {
        image = on_top(sql, catalogue, table, id, image, entry)?;
    }
    write_record(sql, table, id, &image)?;
    if entries.is_empty() {
        sql.execute("DELETE FROM base WHERE table_name = ?1 AND id = ?2", &[table.name().into(), id.as_str().into()])?;
    }
    Ok(())
}

/// Folds accepted entries of a record below a sequence into its base.
pub(super) fn fold_below(
    sql: &mut dyn Sql,
    catalogue: &Catalogue,
    table: &Table,
    id: &RecordId,
    below: Sequence,
) -> Result<(), LocalCopyError> {
    let Some(mut image) = read(sql, Source::Base, table, id)? else { return Ok(()) };
    let mut is_changed = false;
    for (sequence, entry) in pending_of(sql, table, id)? {
        if sequence >= below || is_waiting(sql, sequence)? {
            continue;
        }
        image = on_top(sql, catalogue, table, id, image, &entry)?;
        sql.execute("DELETE FROM pending WHERE sequence = ?1", &[sql::Param::unsigned(sequence.0)?])?;
        is_changed = true;
    }
    if is_changed {
        write_base(sql, table, id, &image)?;
    }
    Ok(())
}

/// Forgets every pending entry: what central has shows again.
pub(super) fn restore_all_bases(sql: &mut dyn Sql, catalogue: &Catalogue) -> Result<(), LocalCopyError> {
    sql.execute("DELETE FROM pending", &[])?;
    loop {
        let mut keys = Vec::new();
        sql.query("SELECT table_name, id FROM base ORDER BY table_name, id LIMIT 500", &[], &mut |row| {
            keys.push((row.text(0)?.to_owned(), row.text(1)?.to_owned()));
            Ok(ControlFlow::Continue(()))
        })?;
        if keys.is_empty() {
            return Ok(());
        }
        for (name, id) in keys {
            let table = table_named(catalogue, &name);
            rebuild(sql, catalogue, &table, &record_id(&id)?)?;
        }
    }
}

/// The store that a row belongs to: its own column's, or its header's.
pub(super) fn store_of(
    sql: &mut dyn Sql,
    catalogue: &Catalogue,
    table: &Table,
    id: &RecordId,
    row: &Row,
) -> Result<Option<String>, LocalCopyError> {
    if let Some(Ok(store)) = table.store_of(id, row) {
        return Ok(Some(store.as_str().to_owned()));
    }
    let (Some(parent), Some(Ok(header))) = (table.parent(), table.header_of(row)) else { return Ok(None) };
    let header_table = catalogue.table_or_stand_in(&parent.table);
    let text = "SELECT store FROM record WHERE table_name = ?1 AND id = ?2";
    let key = [header_table.name().into(), header.as_str().into()];
    Ok(sql.query_one(text, &key, |row| Ok(row.optional_text(0)?.map(str::to_owned)))?.flatten())
}

fn on_top(
    sql: &mut dyn Sql,
    catalogue: &Catalogue,
    table: &Table,
    id: &RecordId,
    image: Image,
    entry: &Entry,
) -> Result<Image, LocalCopyError> {
    let found = match image.row {
        Some(row) => Found::Here { row, store: None },
        None => Found::Unknown,
    };
    let row = apply(&found, &entry.operation);
    let store = match (&row, image.store) {
        (Some(row), None) => store_of(sql, catalogue, table, id, row)?,
        (_, store) => store,
    };
    Ok(Image { row, store, position: image.position })
}

fn pending_of(sql: &mut dyn Sql, table: &Table, id: &RecordId) -> Result<Vec<(Sequence, Entry)>, LocalCopyError> {
    let mut entries = Vec::new();
    sql.query(
        "SELECT sequence, entry FROM pending WHERE table_name = ?1 AND id = ?2 ORDER BY sequence",
        &[table.name().into(), id.as_str().into()],
        &mut |row| {
            entries.push((Sequence(row.unsigned(0)?), row.blob(1)?.to_vec()));
            Ok(ControlFlow::Continue(()))
        },
    )?;
    entries.into_iter().map(|(sequence, bytes)| Ok((sequence, decode(&bytes)?))).collect()
}

fn is_waiting(sql: &mut dyn Sql, sequence: Sequence) -> Result<bool, LocalCopyError> {
    let text = "SELECT is_waiting FROM pending WHERE sequence = ?1";
    Ok(sql.query_integer(text, &[sql::Param::unsigned(sequence.0)?])?.unwrap_or(0) != 0)
}

/// Position of central's image in one of the tables; `None` if the record has no row there.
pub(super) fn position_in(
    sql: &mut dyn Sql,
    source: Source,
    table: &Table,
    id: &RecordId,
) -> Result<Option<Position>, LocalCopyError> {
    let text = match source {
        Source::Record => "SELECT position FROM record WHERE table_name = ?1 AND id = ?2",
        Source::Base => "SELECT position FROM base WHERE table_name = ?1 AND id = ?2",
    };
    let key = [table.name().into(), id.as_str().into()];
    Ok(sql.query_one(text, &key, |row| row.unsigned(0))?.map(Position))
}

/// The table of a stored name; a name that this catalogue does not have stands for itself.
pub(super) fn table_named(catalogue: &Catalogue, name: &str) -> Arc<Table> {
    let reference = match (catalogue.table_by_name(name), name.strip_prefix("#t").map(str::parse)) {
        (Ok(table), _) => table.reference().clone(),
        (Err(_), Some(Ok(number))) => TableRef::Known(number),
        (Err(_), _) => TableRef::Named(name.to_owned()),
    };
    catalogue.table_or_stand_in(&reference)
}

/// An entry's bytes as they were stored.
pub(super) fn decode(bytes: &[u8]) -> Result<Entry, LocalCopyError> {
    Entry::decode(bytes).map_err(|error| LocalCopyError::Content(format!("a pending entry: {error}")))
}

/// An id as it was stored.
pub(super) fn record_id(text: &str) -> Result<RecordId, LocalCopyError> {
    RecordId::new(text).map_err(|error| LocalCopyError::Content(error.to_string()))
}

fn parse(table: &Table, id: &RecordId, data: &str) -> Result<Row, LocalCopyError> {
    row_from_json(table, id, data).map_err(|error| LocalCopyError::Content(format!("{} {id}: {error}", table.name())))
}
