//! The checksums in the rows of the local copy.

use std::fmt;

use protocol::message::Cursor;

use super::LocalCopyError;

/// Of what a row of `record` or `base` says, as the column `checksum` holds it. Its `state` is left out: it changes alone.
pub(super) fn of_row(table: &str, id: &str, store: Option<&str>, data: Option<&str>, position: u64) -> i64 {
    sql::row_checksum(&[Some(table), Some(id), store, data], position)
}

/// CRC-32 of an entry in `pending`.
pub(super) fn of_entry(entry: &[u8]) -> i64 {
    i64::from(crc32fast::hash(entry))
}

/// Of a number in `meta`, which stands in its row's `content`.
pub(super) fn of_number(name: &str, number: u64) -> Vec<u8> {
    sql::row_checksum(&[Some(name)], number).to_le_bytes().to_vec()
}

/// Of a scope's cursor: one that decayed upwards would pass over rows for ever.
pub(super) fn of_cursor(scope: &[u8], cursor: Cursor) -> i64 {
    let mut bytes = scope.to_vec();
    for number in [cursor.epoch.0, cursor.number.0, cursor.began.0] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    i64::from(crc32fast::hash(&bytes))
}

/// Compares with what the row holds.
pub(super) fn check(found: Option<i64>, right: i64, what: fmt::Arguments<'_>) -> Result<(), LocalCopyError> {
    Ok(sql::check_row(found, right, what)?)
}
