//! The checksums in the rows of the local copy.

use std::fmt;

use super::LocalCopyError;

/// Of what a row of `record` or `base` says, as the column `checksum` holds it. Its `state` is left out: it changes alone.
pub(super) fn of_row(table: &str, id: &str, store: Option<&str>, data: Option<&str>, position: u64) -> i64 {
    sql::row_checksum(&[Some(table), Some(id), store, data], position)
}

/// CRC-32 of an entry in `pending`.
pub(super) fn of_entry(entry: &[u8]) -> i64 {
    i64::from(crc32fast::hash(entry))
}

/// Compares with what the row holds.
pub(super) fn check(found: Option<i64>, right: i64, what: fmt::Arguments<'_>) -> Result<(), LocalCopyError> {
    Ok(sql::check_row(found, right, what)?)
}
