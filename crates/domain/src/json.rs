//! A record's data between JSON, as applications hand it over, and rows, as journals and stores keep it.
//!
//! What was written comes back: numbers by their exact text, lists and objects without their white space but otherwise
//! unchanged, nulls as nulls. The id stands in the data under the table's id column and is kept once, beside the row.
//!
//! A column number that only a newer catalogue can name is called `#57` in JSON, and `#57` is read as column 57.

mod read;
mod write;

use std::fmt;

use protocol::limits;

pub(crate) use read::check_value;
pub use read::row_from_json;
pub use write::row_to_json;

/// Data that cannot become a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonError {
    /// Not JSON.
    Syntax {
        /// What the parser says, with line and column.
        message: String,
    },
    /// JSON, but not an object.
    NotObject {
        /// What it is.
        found: &'static str,
    },
    /// A key that stands twice.
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A key that is empty or too long.
    KeyLength {
        /// Length that was found, in bytes.
        bytes: usize,
    },
    /// More columns than [`limits::ROW_COLUMNS_MAX`].
    TooManyColumns {
        /// Columns that were found.
        found: usize,
    },
    /// The id inside the data is not the record's.
    IdDiffers {
        /// The table's id column.
        column: String,
        /// What the data says, as JSON, shortened.
        found: String,
        /// The record's id.
        expected: String,
    },
    /// Lists and objects within each other deeper than [`limits::JSON_DEPTH_MAX`].
    TooDeep {
        /// The key under which they are.
        key: String,
    },
    /// The packed row is above [`limits::RECORD_BYTES_MAX`].
    TooLarge {
        /// Packed size, in bytes.
        bytes: usize,
    },
}

impl JsonError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "not_json",
            Self::NotObject { .. } => "not_an_object",
            Self::DuplicateKey { .. } => "duplicate_key",
            Self::KeyLength { .. } => "column_name_length",
            Self::TooManyColumns { .. } => "too_many_columns",
            Self::IdDiffers { .. } => "id_differs",
            Self::TooDeep { .. } => "json_too_deep",
            Self::TooLarge { .. } => "record_too_large",
        }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { message } => write!(formatter, "the data is not JSON: {message}"),
            Self::NotObject { found } => write!(formatter, "the data is {found}; a record is a JSON object"),
            Self::DuplicateKey { key } => write!(formatter, "the key {key:?} is given twice; give it once"),
            Self::KeyLength { bytes } => {
                write!(formatter, "a key has {bytes} bytes; a column's name has 1 to {}", limits::COLUMN_NAME_BYTES_MAX)
            }
            Self::TooManyColumns { found } => {
                write!(formatter, "the record has {found} columns; at most {} are allowed", limits::ROW_COLUMNS_MAX)
            }
            Self::IdDiffers { column, found, expected } => write!(
                formatter,
                "the data has {column} = {found}, but the record's id is {expected:?}; make them equal or leave {column} out"
            ),
            Self::TooDeep { key } => {
                write!(formatter, "the value of {key:?} nests lists and objects deeper than {}", limits::JSON_DEPTH_MAX)
            }
            Self::TooLarge { bytes } => write!(
                formatter,
                "the record takes {bytes} bytes; at most {} are allowed: keep photos and scans as files",
                limits::RECORD_BYTES_MAX
            ),
        }
    }
}

impl std::error::Error for JsonError {}

#[cfg(test)]
mod tests;
