//! Columns of the store as the types that they are.

use std::sync::Arc;

use domain::catalogue::{Catalogue, Table};
use protocol::hardware::HardwareId;
use protocol::ids::{HardwareSalt, Hash, JournalId, RecordId, ScopeId, SiteId, TableRef};
use sql::{Row, SqlError, SqlErrorKind};

/// A value that this program never writes.
pub(super) fn damaged(column: usize, what: &str) -> SqlError {
    SqlError::new(SqlErrorKind::Corrupt, format!("column {column} holds no {what}"))
}

pub(super) fn site(row: &dyn Row, column: usize) -> Result<SiteId, SqlError> {
    small(row, column).map(SiteId)
}

pub(super) fn small(row: &dyn Row, column: usize) -> Result<u32, SqlError> {
    u32::try_from(row.integer(column)?).map_err(|_| damaged(column, "number of 32 bits"))
}

pub(super) fn record_id(row: &dyn Row, column: usize) -> Result<RecordId, SqlError> {
    RecordId::new(row.text(column)?).map_err(|_| damaged(column, "record id"))
}

pub(super) fn optional_record_id(row: &dyn Row, column: usize) -> Result<Option<RecordId>, SqlError> {
    row.optional_text(column)?.map(RecordId::new).transpose().map_err(|_| damaged(column, "record id"))
}

pub(super) fn scope(row: &dyn Row, column: usize) -> Result<ScopeId, SqlError> {
    ScopeId::new(row.blob(column)?).ok_or_else(|| damaged(column, "scope"))
}

pub(super) fn hash(row: &dyn Row, column: usize) -> Result<Hash, SqlError> {
    Hash::try_from(row.blob(column)?).map_err(|_| damaged(column, "hash"))
}

pub(super) fn journal_id(row: &dyn Row, column: usize) -> Result<JournalId, SqlError> {
    JournalId::try_from(row.blob(column)?).map_err(|_| damaged(column, "journal id"))
}

pub(super) fn optional_salt(row: &dyn Row, column: usize) -> Result<Option<HardwareSalt>, SqlError> {
    row.optional_blob(column)?.map(HardwareSalt::try_from).transpose().map_err(|_| damaged(column, "salt"))
}

pub(super) fn optional_hardware(row: &dyn Row, column: usize) -> Result<Option<HardwareId>, SqlError> {
    let bytes = row.optional_blob(column)?;
    bytes.map(HardwareId::decode).transpose().map_err(|_| damaged(column, "hardware id"))
}

/// A table by the name that the store keeps. One that was declared once and is not any more can still be shown.
pub(super) fn table(catalogue: &Catalogue, name: &str) -> Arc<Table> {
    let reference = catalogue
        .table_by_name(name)
        .map_or_else(|_| TableRef::Named(name.to_owned()), |table| table.reference().clone());
    catalogue.table_or_stand_in(&reference)
}
