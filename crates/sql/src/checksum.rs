//! A checksum in rows that are read: SQLite has none, and a bit that decays inside a record would be read as if it had been
//! written so. Whoever keeps records has a column for it.

use std::fmt;

use crate::error::{SqlError, SqlErrorKind};

/// CRC-32 of some texts and a number. Which text is which counts, and none is not the same as an empty one.
pub fn row_checksum(texts: &[Option<&str>], number: u64) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    for text in texts {
        // The length first, so that no byte can move from one text to the next.
        let length = text.map_or(u64::MAX, |text| text.len() as u64);
        hasher.update(&length.to_le_bytes());
        hasher.update(text.unwrap_or_default().as_bytes());
    }
    hasher.update(&number.to_le_bytes());
    i64::from(hasher.finalize())
}

/// Compares a row's checksum with what it should be. A row without one was written before there was the column.
///
/// # Errors
/// [`SqlErrorKind::Corrupt`] that names the row.
pub fn check_row(found: Option<i64>, right: i64, what: fmt::Arguments<'_>) -> Result<(), SqlError> {
    match found {
        Some(found) if found != right => {
            Err(SqlError::new(SqlErrorKind::Corrupt, format!("{what} has a wrong checksum")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_row_counts_and_none_is_not_empty() {
        let right = row_checksum(&[Some("item"), Some("A"), Some("S"), Some("{}")], 7);

        for other in [
            row_checksum(&[Some("iten"), Some("A"), Some("S"), Some("{}")], 7),
            row_checksum(&[Some("itemA"), Some(""), Some("S"), Some("{}")], 7),
            row_checksum(&[Some("item"), Some("A"), None, Some("{}")], 7),
            row_checksum(&[Some("item"), Some("A"), Some(""), Some("S{}")], 7),
            row_checksum(&[Some("item"), Some("A"), Some("S"), None], 7),
            row_checksum(&[Some("item"), Some("A"), Some("S"), Some("{}")], 8),
        ] {
            assert_ne!(other, right);
        }
        assert!(check_row(Some(right), right, format_args!("it")).is_ok());
        assert!(check_row(None, right, format_args!("it")).is_ok());
        let error = check_row(Some(right ^ 1), right, format_args!("it")).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (SqlErrorKind::Corrupt, "it has a wrong checksum"));
    }
}
