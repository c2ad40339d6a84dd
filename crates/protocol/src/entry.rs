//! An entry: one edit as the journal keeps it and as central receives it (`docs/wire-format.md`, "Entry").
//!
//! | field | bytes | |
//! | --- | --- | --- |
//! | version | 1 | 1 |
//! | flags | 1 | bit 0: last of its group; bits 1 and 2: operation (0 put, 1 patch, 2 delete); bit 3: table by name; bits 4 to 6: form of the record id (0 text) |
//! | ownership number | varint | of the scope that allows the edit; 0 where none is needed |
//! | table | varint or text | catalogue number, or length and name |
//! | record id | 16, or 1+n | packed form, or length and text |
//! | row | the rest | not for a delete |
//!
//! Journal id, sequence and hash are not inside: a frame carries its first sequence and two hashes, and the rest is recomputed.

use alloc::vec::Vec;

use crate::bytes::{DecodeError, Reader, put_count, put_number, put_text};
use crate::ids::{OwnershipNumber, PackedId, RecordId, TableRef};
use crate::limits;
use crate::row::Row;

/// The format that is written.
pub const VERSION: u8 = 1;

/// What an edit does to its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// The whole record, replacing what was there.
    Put(Row),
    /// The given columns; null erases one.
    Patch(Row),
    /// The record goes.
    Delete,
}

/// One edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whether a group ends here: groups are judged whole.
    pub is_group_end: bool,
    /// Number of the allowance under which the edit was made.
    pub ownership: OwnershipNumber,
    /// The record's table.
    pub table: TableRef,
    /// The record.
    pub record: RecordId,
    /// What happens to it.
    pub operation: Operation,
}

impl Entry {
    /// The bytes that the journal chains and frames carry.
    pub fn encode(&self) -> Vec<u8> {
        let id = PackedId::of(self.record.as_str());
        let operation = match self.operation {
            Operation::Put(_) => 0,
            Operation::Patch(_) => 1,
            Operation::Delete => 2,
        };
        let form = if let PackedId::Hex { form, .. } = id { form } else { 0 };
        let is_named = matches!(self.table, TableRef::Named(_));
        let mut output = Vec::with_capacity(64);
        output.push(VERSION);
        output.push(u8::from(self.is_group_end) | operation << 1 | u8::from(is_named) << 3 | form << 4);
        put_number(&mut output, u64::from(self.ownership.0));
        put_table(&mut output, &self.table);
        put_record_id(&mut output, &id, &self.record);
        match &self.operation {
            Operation::Put(row) | Operation::Patch(row) => row.encode(&mut output),
            Operation::Delete => {}
        }
        output
    }

    /// Reads an entry of any version that was ever released.
    ///
    /// # Errors
    /// [`DecodeError`] for bytes that no entry has.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > limits::ENTRY_BYTES_MAX {
            return Err(DecodeError::AboveLimit { limit: "ENTRY_BYTES_MAX", found: bytes.len() });
        }
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            VERSION => Self::decode_1(reader),
            value => Err(DecodeError::Unknown { what: "entry version", value }),
        }
    }

    fn decode_1(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let flags = reader.byte()?;
        if flags & 0x80 != 0 {
            return Err(DecodeError::Unknown { what: "entry flags", value: flags });
        }
        let ownership = u32::try_from(reader.number()?).map_err(|_| DecodeError::NumberTooLarge)?;
        let table = read_table(&mut reader, flags & 8 != 0)?;
        let record = read_record_id(&mut reader, flags >> 4)?;
        let operation = match flags >> 1 & 3 {
            0 => Operation::Put(Row::read(&mut reader)?),
            1 => Operation::Patch(Row::read(&mut reader)?),
            2 => Operation::Delete,
            value => return Err(DecodeError::Unknown { what: "operation", value }),
        };
        reader.end()?;
        Ok(Self { is_group_end: flags & 1 != 0, ownership: OwnershipNumber(ownership), table, record, operation })
    }

    /// Marks encoded bytes as the end of their group.
    ///
    /// # Panics
    /// If they are no entry of the version that is written.
    pub fn mark_group_end(bytes: &mut [u8]) {
        let [VERSION, flags, ..] = bytes else { panic!("only what `encode` just wrote is marked") };
        *flags |= 1;
    }

    /// Whether entry bytes end a group, without decoding the rest.
    ///
    /// # Errors
    /// [`DecodeError`] for an unknown version or bytes that are too short.
    pub fn ends_group(bytes: &[u8]) -> Result<bool, DecodeError> {
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            VERSION => Ok(reader.byte()? & 1 != 0),
            value => Err(DecodeError::Unknown { what: "entry version", value }),
        }
    }
}

/// Appends a table: its number, or its name behind a length. Which of the two is told elsewhere.
pub(crate) fn put_table(output: &mut Vec<u8>, table: &TableRef) {
    match table {
        TableRef::Known(number) => put_number(output, u64::from(*number)),
        TableRef::Named(name) => put_text(output, name),
    }
}

/// Reads what [`put_table`] wrote.
pub(crate) fn read_table(reader: &mut Reader<'_>, is_named: bool) -> Result<TableRef, DecodeError> {
    if is_named {
        Ok(TableRef::Named(reader.text(limits::TABLE_NAME_BYTES_MAX, "TABLE_NAME_BYTES_MAX")?))
    } else {
        u16::try_from(reader.number()?).map(TableRef::Known).map_err(|_| DecodeError::NumberTooLarge)
    }
}

/// Appends an id in its packed form; the form is told elsewhere.
pub(crate) fn put_record_id(output: &mut Vec<u8>, packed: &PackedId, id: &RecordId) {
    match packed {
        PackedId::Hex { bytes, .. } => output.extend_from_slice(bytes),
        PackedId::Text => {
            put_count(output, id.as_str().len());
            output.extend_from_slice(id.as_str().as_bytes());
        }
    }
}

/// Reads what [`put_record_id`] wrote.
pub(crate) fn read_record_id(reader: &mut Reader<'_>, form: u8) -> Result<RecordId, DecodeError> {
    let text = if form == 0 {
        reader.text(limits::RECORD_ID_BYTES_MAX, "RECORD_ID_BYTES_MAX")?
    } else {
        PackedId::text(form, reader.array()?).ok_or(DecodeError::Unknown { what: "id form", value: form })?
    };
    RecordId::new(&text).map_err(|error| DecodeError::AboveLimit { limit: "RECORD_ID_BYTES_MAX", found: error.bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{ColumnRef, Value};
    use alloc::string::ToString;
    use alloc::vec;
    use proptest::prelude::*;

    fn sample(operation: Operation) -> Entry {
        Entry {
            is_group_end: true,
            ownership: OwnershipNumber(1),
            table: TableRef::Known(17),
            record: RecordId::new("00112233445566778899AABBCCDDEEFF").unwrap(),
            operation,
        }
    }

    #[test]
    fn each_operation_comes_back() {
        let row = Row::new(vec![(ColumnRef::Known(2), Value::Text("tab".to_string()))]).unwrap();
        for operation in [Operation::Put(row.clone()), Operation::Patch(row), Operation::Delete] {
            let entry = sample(operation);
            let bytes = entry.encode();
            assert_eq!(Entry::ends_group(&bytes), Ok(true));
            assert_eq!(Entry::decode(&bytes), Ok(entry));
        }
    }

    #[test]
    fn a_delete_of_a_hexadecimal_id_takes_20_bytes() {
        assert_eq!(sample(Operation::Delete).encode().len(), 20);
    }

    #[test]
    fn declared_tables_and_free_ids_travel_by_name() {
        let mut entry = sample(Operation::Delete);
        entry.table = TableRef::Named("my_table".to_string());
        entry.record = RecordId::new("free id").unwrap();

        assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
    }

    #[test]
    fn an_unknown_version_is_named() {
        assert_eq!(Entry::decode(&[9, 0]), Err(DecodeError::Unknown { what: "entry version", value: 9 }));
    }

    #[test]
    fn bytes_after_a_delete_are_refused() {
        let mut bytes = sample(Operation::Delete).encode();
        bytes.push(0);

        assert_eq!(Entry::decode(&bytes), Err(DecodeError::Trailing { bytes: 1 }));
    }

    proptest! {
        #[test]
        fn rubbish_never_panics(bytes: Vec<u8>) {
            let _ = Entry::decode(&bytes);
            let _ = Entry::ends_group(&bytes);
        }
    }
}
