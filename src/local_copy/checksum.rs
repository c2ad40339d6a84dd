//! A checksum in each row that is read: SQLite has none, and a bit that decays inside a record would be read as if it had been
//! recorded so.

use super::LocalCopyError;

/// CRC-32 of what a row of `record` or `base` says, as the column `checksum` holds it. Its `state` is left out: it changes alone.
pub(super) fn of_row(table: &str, id: &str, store: Option<&str>, data: Option<&str>, position: u64) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    for part in [Some(table), Some(id), store, data] {
        // The length first, so that no byte can move from one part to the next; none is not the same as empty.
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        hasher.update(&length.to_le_bytes());
        hasher.update(part.unwrap_or_default().as_bytes());
    }
    hasher.update(&position.to_le_bytes());
    i64::from(hasher.finalize())
}

/// CRC-32 of an entry in `pending`.
pub(super) fn of_entry(entry: &[u8]) -> i64 {
    i64::from(crc32fast::hash(entry))
}

/// Compares with what the row holds. A row of an earlier schema has none.
pub(super) fn check(found: Option<i64>, right: i64, what: std::fmt::Arguments<'_>) -> Result<(), LocalCopyError> {
    match found {
        Some(found) if found != right => Err(LocalCopyError::damaged(format_args!("{what} has a wrong checksum"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_row_counts_and_none_is_not_empty() {
        let right = of_row("item", "A", Some("S"), Some("{}"), 7);

        for other in [
            of_row("iten", "A", Some("S"), Some("{}"), 7),
            of_row("itemA", "", Some("S"), Some("{}"), 7),
            of_row("item", "A", None, Some("{}"), 7),
            of_row("item", "A", Some(""), Some("S{}"), 7),
            of_row("item", "A", Some("S"), None, 7),
            of_row("item", "A", Some("S"), Some("{}"), 8),
        ] {
            assert_ne!(other, right);
        }
        assert!(
            check(Some(right), right, format_args!("it")).is_ok() && check(None, right, format_args!("it")).is_ok()
        );
        assert!(check(Some(right ^ 1), right, format_args!("it")).unwrap_err().to_string().contains("it has a wrong"));
    }
}
