//! The row that a query is at.

use crate::error::{SqlError, SqlErrorKind};
use crate::value::{Param, Value};

/// One row of a query's result, valid during the visit. Columns count from 0.
///
/// An engine writes [`Row::column`]; the typed readers stand on it. Each of them refuses a column that is not there or
/// holds another type with [`SqlErrorKind::Other`]: that is a mistake in the statement, not in the data.
pub trait Row {
    /// The value of a column, borrowed from the row.
    ///
    /// # Errors
    /// [`SqlErrorKind::Other`] for a column that is not there or whose type this trait does not have (floating
    /// numbers); [`SqlErrorKind::Corrupt`] for text that is not UTF-8.
    fn column(&self, index: usize) -> Result<Param<'_>, SqlError>;

    /// An owned copy of a column.
    ///
    /// # Errors
    /// As [`Row::column`].
    fn value(&self, index: usize) -> Result<Value, SqlError> {
        Ok(self.column(index)?.to_value())
    }

    /// An integer that is not NULL.
    ///
    /// # Errors
    /// As [`Row::column`], and for another type.
    fn integer(&self, index: usize) -> Result<i64, SqlError> {
        self.optional_integer(index)?.ok_or_else(|| unexpected(index, Param::Null, "an integer"))
    }

    /// An integer or NULL.
    ///
    /// # Errors
    /// As [`Row::column`], and for another type.
    fn optional_integer(&self, index: usize) -> Result<Option<i64>, SqlError> {
        match self.column(index)? {
            Param::Null => Ok(None),
            Param::Integer(integer) => Ok(Some(integer)),
            other => Err(unexpected(index, other, "an integer")),
        }
    }

    /// A position, count or length, as [`Param::unsigned`] wrote it.
    ///
    /// # Errors
    /// As [`Row::column`], for another type, and for a negative number.
    fn unsigned(&self, index: usize) -> Result<u64, SqlError> {
        self.optional_unsigned(index)?.ok_or_else(|| unexpected(index, Param::Null, "an integer"))
    }

    /// A position, count or length, or NULL.
    ///
    /// # Errors
    /// As [`Row::unsigned`].
    fn optional_unsigned(&self, index: usize) -> Result<Option<u64>, SqlError> {
        let Some(integer) = self.optional_integer(index)? else { return Ok(None) };
        u64::try_from(integer).map(Some).map_err(|_| {
            SqlError::new(
                SqlErrorKind::Other,
                format!("column {index} holds {integer} where a number from 0 up was expected"),
            )
        })
    }

    /// Text that is not NULL.
    ///
    /// # Errors
    /// As [`Row::column`], and for another type.
    fn text(&self, index: usize) -> Result<&str, SqlError> {
        self.optional_text(index)?.ok_or_else(|| unexpected(index, Param::Null, "text"))
    }

    /// Text or NULL.
    ///
    /// # Errors
    /// As [`Row::column`], and for another type.
    fn optional_text(&self, index: usize) -> Result<Option<&str>, SqlError> {
        match self.column(index)? {
            Param::Null => Ok(None),
            Param::Text(text) => Ok(Some(text)),
            other => Err(unexpected(index, other, "text")),
        }
    }

    /// Bytes that are not NULL.
    ///
    /// # Errors
    /// As [`Row::column`], and for another type.
    fn blob(&self, index: usize) -> Result<&[u8], SqlError> {
        self.optional_blob(index)?.ok_or_else(|| unexpected(index, Param::Null, "bytes"))
    }

    /// Bytes or NULL.
    ///
    /// # Errors
    /// As [`Row::column`], and for another type.
    fn optional_blob(&self, index: usize) -> Result<Option<&[u8]>, SqlError> {
        match self.column(index)? {
            Param::Null => Ok(None),
            Param::Blob(bytes) => Ok(Some(bytes)),
            other => Err(unexpected(index, other, "bytes")),
        }
    }
}

fn unexpected(index: usize, found: Param<'_>, wanted: &str) -> SqlError {
    SqlError::new(
        SqlErrorKind::Other,
        format!("column {index} holds {} where {wanted} was expected", found.kind_name()),
    )
}
