//! Values on their way in (borrowed) and kept after reading (owned).

use crate::error::{SqlError, SqlErrorKind};

/// A borrowed value: a parameter of a statement, or a column of the row that a query is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param<'a> {
    /// SQL NULL.
    Null,
    /// A signed 64-bit integer, the only number there is.
    Integer(i64),
    /// Text in UTF-8, without the character NUL (see the crate's page on portability).
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

/// An owned value, for what must outlive its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A signed 64-bit integer.
    Integer(i64),
    /// Text in UTF-8.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Param<'_> {
    /// A position, count or length as a parameter. SQL integers are signed, so there is no plain conversion from
    /// `u64`: the caller says with `?` that the value may be too large.
    ///
    /// # Errors
    /// [`SqlErrorKind::Other`] for 2^63 and more.
    pub fn unsigned(value: u64) -> Result<Param<'static>, SqlError> {
        i64::try_from(value).map(Param::Integer).map_err(|_| {
            SqlError::new(
                SqlErrorKind::Other,
                format!("the number {value} does not fit a column, the largest is {}", i64::MAX),
            )
        })
    }

    /// A copy that owns its bytes.
    pub fn to_value(self) -> Value {
        match self {
            Param::Null => Value::Null,
            Param::Integer(integer) => Value::Integer(integer),
            Param::Text(text) => Value::Text(text.to_owned()),
            Param::Blob(bytes) => Value::Blob(bytes.to_vec()),
        }
    }

    /// What kind of value this is, in the words of error messages.
    pub(crate) fn kind_name(self) -> &'static str {
        match self {
            Param::Null => "NULL",
            Param::Integer(_) => "an integer",
            Param::Text(_) => "text",
            Param::Blob(_) => "bytes",
        }
    }
}

impl TryFrom<u64> for Param<'_> {
    type Error = SqlError;

    /// The same as [`Param::unsigned`].
    fn try_from(value: u64) -> Result<Self, SqlError> {
        Param::unsigned(value)
    }
}

macro_rules! from_small_integer {
    ($($integer:ty),*) => {
        $(impl From<$integer> for Param<'_> {
            fn from(value: $integer) -> Self {
                Param::Integer(i64::from(value))
            }
        })*
    };
}

from_small_integer!(u8, u16, u32, i8, i16, i32, i64);

impl<'a> From<&'a str> for Param<'a> {
    fn from(value: &'a str) -> Self {
        Param::Text(value)
    }
}

impl<'a> From<&'a String> for Param<'a> {
    fn from(value: &'a String) -> Self {
        Param::Text(value)
    }
}

impl<'a> From<&'a [u8]> for Param<'a> {
    fn from(value: &'a [u8]) -> Self {
        Param::Blob(value)
    }
}

impl<'a> From<&'a Vec<u8>> for Param<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        Param::Blob(value)
    }
}

impl<'a, const LENGTH: usize> From<&'a [u8; LENGTH]> for Param<'a> {
    fn from(value: &'a [u8; LENGTH]) -> Self {
        Param::Blob(value)
    }
}

impl<'a> From<&'a Value> for Param<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Param::Null,
            Value::Integer(integer) => Param::Integer(*integer),
            Value::Text(text) => Param::Text(text),
            Value::Blob(bytes) => Param::Blob(bytes),
        }
    }
}

impl<'a, T: Into<Param<'a>>> From<Option<T>> for Param<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Param::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_of_two_to_the_63_is_refused_with_its_value() {
        assert_eq!(Param::unsigned(u64::try_from(i64::MAX).unwrap()).unwrap(), Param::Integer(i64::MAX));
        let error = Param::try_from(1_u64 << 63).unwrap_err();
        assert!(error.message.contains("9223372036854775808"), "{error}");
    }

    #[test]
    fn nothing_becomes_null_and_something_itself() {
        assert_eq!(Param::from(None::<&str>), Param::Null);
        assert_eq!(Param::from(Some(7_u32)), Param::Integer(7));
        assert_eq!(Param::from(Some(b"ab")), Param::Blob(b"ab"));
    }

    #[test]
    fn an_owned_value_and_a_borrowed_one_turn_into_each_other() {
        for param in [Param::Null, Param::Integer(-1), Param::Text(""), Param::Blob(&[0, 255])] {
            let value = param.to_value();
            assert_eq!(Param::from(&value), param);
        }
    }
}
