//! Bounded reading and writing of the hand-laid byte formats (rows, entries, page rows).
//!
//! Integers are LEB128 varints, at most ten bytes; signed ones are zigzag coded first.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Why bytes could not be read. Each names where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end before the value does.
    Truncated,
    /// Bytes are left after the last value.
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// A varint of more than ten bytes, or a number too large for its field.
    NumberTooLarge,
    /// A length or count above its limit.
    AboveLimit {
        /// Which limit, by its name in [`crate::limits`].
        limit: &'static str,
        /// What was found.
        found: usize,
    },
    /// Text that is not UTF-8.
    NotText,
    /// A tag, form or version that this program does not know.
    Unknown {
        /// What kind of tag.
        what: &'static str,
        /// Its value.
        value: u8,
    },
    /// Bytes that break a rule of the format.
    Invalid(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => formatter.write_str("the bytes end too early"),
            Self::Trailing { bytes } => write!(formatter, "{bytes} bytes are left over"),
            Self::NumberTooLarge => formatter.write_str("a number is too large for its field"),
            Self::AboveLimit { limit, found } => write!(formatter, "{found} is above the limit {limit}"),
            Self::NotText => formatter.write_str("text is not UTF-8"),
            Self::Unknown { what, value } => write!(formatter, "unknown {what} {value}"),
            Self::Invalid(rule) => formatter.write_str(rule),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Reads from the front of some bytes; never panics, never allocates more than the bytes it was given.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if there are fewer.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if there are fewer.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.try_into().map_err(|_| DecodeError::Truncated)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// An unsigned varint.
    ///
    /// # Errors
    /// [`DecodeError::NumberTooLarge`] above 64 bits, [`DecodeError::Truncated`] at the end.
    pub fn number(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(DecodeError::NumberTooLarge);
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::NumberTooLarge)
    }

    /// A zigzag varint.
    ///
    /// # Errors
    /// As [`Reader::number`].
    pub fn signed(&mut self) -> Result<i64, DecodeError> {
        let value = self.number()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A varint that counts something limited.
    ///
    /// # Errors
    /// [`DecodeError::AboveLimit`] above `max`.
    pub fn count(&mut self, max: usize, limit: &'static str) -> Result<usize, DecodeError> {
        let found = usize::try_from(self.number()?).map_err(|_| DecodeError::NumberTooLarge)?;
        if found > max {
            return Err(DecodeError::AboveLimit { limit, found });
        }
        Ok(found)
    }

    /// Text behind its length.
    ///
    /// # Errors
    /// [`DecodeError::NotText`], [`DecodeError::AboveLimit`] above `max` bytes.
    pub fn text(&mut self, max: usize, limit: &'static str) -> Result<String, DecodeError> {
        let length = self.count(max, limit)?;
        let bytes = self.take(length)?;
        core::str::from_utf8(bytes).map(String::from).map_err(|_| DecodeError::NotText)
    }

    /// That nothing is left.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] otherwise.
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing { bytes: self.rest.len() }) }
    }
}

/// Appends an unsigned varint.
pub fn put_number(output: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        output.push(u8::try_from(value & 0x7f).expect("seven bits fit a byte") | 0x80);
        value >>= 7;
    }
    output.push(u8::try_from(value).expect("below 0x80"));
}

/// Appends a zigzag varint.
pub fn put_signed(output: &mut Vec<u8>, value: i64) {
    put_number(output, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Appends a length or count.
pub fn put_count(output: &mut Vec<u8>, count: usize) {
    put_number(output, count as u64);
}

/// Appends text behind its length.
pub fn put_text(output: &mut Vec<u8>, text: &str) {
    put_count(output, text.len());
    output.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(value: u64, signed: i64) {
            let mut bytes = Vec::new();
            put_number(&mut bytes, value);
            put_signed(&mut bytes, signed);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.number(), Ok(value));
            prop_assert_eq!(reader.signed(), Ok(signed));
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn rubbish_never_panics(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while reader.number().is_ok() {}
            let _ = Reader::new(&bytes).text(16, "test");
        }
    }

    #[test]
    fn a_varint_above_64_bits_is_refused() {
        let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]);

        assert_eq!(reader.number(), Err(DecodeError::NumberTooLarge));
    }
}
