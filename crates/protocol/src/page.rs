//! Pages: a run of a lane's rows for one site (rules 5.15 and 5.16; `docs/wire-format.md`, "Page").
//!
//! The body is a postcard [`PageHeader`], then the packed rows. A row:
//!
//! | field | bytes | |
//! | --- | --- | --- |
//! | flags | 1 | bit 0: tombstone; bit 3: table by name; bits 4 to 6: form of the record id |
//! | position | zigzag varint | difference to the row before; for the first to 0 |
//! | table, record id | | as in an entry |
//! | row | | not for a tombstone |

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::bytes::{DecodeError, Reader, put_count, put_signed};
use crate::edge::{Codec, CodecError, Compression, Dictionary};
use crate::entry::{put_record_id, put_table, read_record_id, read_table};
use crate::frame::{FrameError, pack_plain, unpack_plain};
use crate::history::History;
use crate::ids::{Hash, PackedId, Position, RecordId, ScopeId, TableRef};
use crate::limits;
use crate::message::{Cursor, MessageError};
use crate::row::Row;
use crate::versions::Versions;

/// One record as a lane shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRow {
    /// The record's table.
    pub table: TableRef,
    /// The record.
    pub record: RecordId,
    /// Position of this image.
    pub position: Position,
    /// The whole record, or `None` when it is gone.
    pub row: Option<Row>,
}

/// A slice of a packed page that is larger than the link carries at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PagePart {
    /// Hash of the packed whole.
    pub hash: Hash,
    /// Where the slice begins.
    pub offset: u32,
    /// Length of the whole.
    pub total: u32,
}

/// What stands before a page's packed rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageHeader {
    /// 0.
    pub version: u8,
    /// The page's place in the reply, from 0.
    pub index: u32,
    /// The scope.
    pub scope: ScopeId,
    /// The cursor once the page is stored (for a part: once the last part is).
    pub cursor: Cursor,
    /// Whether the lane holds nothing more for this site.
    pub is_drained: bool,
    /// Whether this is the reply's last page.
    pub is_last: bool,
    /// Whether every scope is drained; only in the last page.
    pub is_complete: bool,
    /// How many rows the whole page has.
    pub rows: u32,
    /// Set when the bytes are only a slice.
    pub part: Option<PagePart>,
    /// How the rows are packed.
    pub compression: Compression,
    /// What the packing refers back to.
    pub dictionary: Dictionary,
    /// Length of the unpacked rows, in bytes.
    pub plain_bytes: u32,
}

/// Rows, packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// How.
    pub compression: Compression,
    /// Against what.
    pub dictionary: Dictionary,
    /// Length of the unpacked rows, in bytes.
    pub plain_bytes: u32,
    /// The packed bytes.
    pub bytes: Vec<u8>,
    /// What to push to the history once the page is sent.
    pub plain: Vec<u8>,
}

/// Packs rows after what went before in the reply.
///
/// # Errors
/// [`CodecError`] if the codec fails.
pub fn pack_rows(rows: &[PageRow], history: &History, codec: &mut dyn Codec) -> Result<Packed, CodecError> {
    pack_plain_rows(plain_rows(rows), history, codec)
}

/// Packs what [`plain_rows`] gave.
pub(crate) fn pack_plain_rows(plain: Vec<u8>, history: &History, codec: &mut dyn Codec) -> Result<Packed, CodecError> {
    let (compression, dictionary, bytes) = pack_plain(&plain, history, codec)?;
    let plain_bytes = u32::try_from(plain.len()).expect("a page is within limits::PAGE_PLAIN_BYTES_MAX");
    Ok(Packed { compression, dictionary, plain_bytes, bytes, plain })
}

/// The plain bytes of a page: how many rows there are, then each.
pub(crate) fn plain_rows(rows: &[PageRow]) -> Vec<u8> {
    let mut plain = Vec::new();
    put_count(&mut plain, rows.len());
    let mut before = 0_i64;
    for row in rows {
        let id = PackedId::of(row.record.as_str());
        let form = if let PackedId::Hex { form, .. } = id { form } else { 0 };
        let is_named = matches!(row.table, TableRef::Named(_));
        plain.push(u8::from(row.row.is_none()) | u8::from(is_named) << 3 | form << 4);
        let position = row.position.0.cast_signed();
        put_signed(&mut plain, position.wrapping_sub(before));
        before = position;
        put_table(&mut plain, &row.table);
        put_record_id(&mut plain, &id, &row.record);
        if let Some(row) = &row.row {
            row.encode(&mut plain);
        }
    }
    plain
}

/// Reads what stands before a page's rows, and gives the packed rows or the part of them that follow.
///
/// # Errors
/// [`MessageError`]; a newer version is told from rubbish.
pub fn read_header(body: &[u8]) -> Result<(PageHeader, &[u8]), MessageError> {
    match body.first() {
        Some(&found) if Versions::OWN.contains(found) => {
            postcard::take_from_bytes(body).map_err(|_| MessageError::Malformed)
        }
        Some(&found) => Err(MessageError::Version { found, understood: Versions::OWN }),
        None => Err(MessageError::Malformed),
    }
}

/// Unpacks a page's rows.
///
/// # Errors
/// [`FrameError`], as for frames.
pub fn unpack_rows(
    header: &PageHeader,
    packed: &[u8],
    history: &mut History,
    codec: &mut dyn Codec,
) -> Result<Vec<PageRow>, FrameError> {
    let how = (header.compression, header.dictionary);
    unpack_plain_rows(how, packed, header.plain_bytes as usize, history, codec)
}

/// Unpacks rows that were packed with nothing before them.
///
/// # Errors
/// [`FrameError`], as for frames.
pub(crate) fn unpack_alone(
    (compression, dictionary): (Compression, Dictionary),
    packed: &[u8],
    plain_bytes: usize,
    codec: &mut dyn Codec,
) -> Result<Vec<PageRow>, FrameError> {
    unpack_plain_rows((compression, dictionary), packed, plain_bytes, &mut History::default(), codec)
}

fn unpack_plain_rows(
    (compression, dictionary): (Compression, Dictionary),
    packed: &[u8],
    plain_bytes: usize,
    history: &mut History,
    codec: &mut dyn Codec,
) -> Result<Vec<PageRow>, FrameError> {
    if plain_bytes > limits::PAGE_PLAIN_BYTES_MAX {
        return Err(FrameError::Decode(DecodeError::AboveLimit { limit: "PAGE_PLAIN_BYTES_MAX", found: plain_bytes }));
    }
    let plain = unpack_plain(compression, dictionary, packed, plain_bytes, history, codec)?;
    read_rows(&plain).map_err(FrameError::Decode)
}

fn read_rows(plain: &[u8]) -> Result<Vec<PageRow>, DecodeError> {
    let mut reader = Reader::new(plain);
    let count = reader.count(limits::PAGE_ROWS_MAX, "PAGE_ROWS_MAX")?;
    let mut rows = Vec::with_capacity(count);
    let mut before = 0_i64;
    for _ in 0..count {
        let flags = reader.byte()?;
        if flags & 0b1000_0110 != 0 {
            return Err(DecodeError::Unknown { what: "page row flags", value: flags });
        }
        before = before.wrapping_add(reader.signed()?);
        let position = u64::try_from(before).map_err(|_| DecodeError::NumberTooLarge)?;
        let table = read_table(&mut reader, flags & 8 != 0)?;
        let record = read_record_id(&mut reader, flags >> 4)?;
        let row = if flags & 1 == 0 { Some(Row::read(&mut reader)?) } else { None };
        rows.push(PageRow { table, record, position: Position(position), row });
    }
    reader.end()?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Epoch;
    use crate::row::{ColumnRef, Value};
    use crate::testing::PlainCodec;
    use alloc::string::ToString;
    use alloc::vec;
    use proptest::prelude::*;

    fn header(packed: &Packed) -> PageHeader {
        PageHeader {
            version: 1,
            index: 0,
            scope: ScopeId::new(&[1]).unwrap(),
            cursor: Cursor { epoch: Epoch(1), number: Position(9), began: Position(9) },
            is_drained: true,
            is_last: true,
            is_complete: true,
            rows: 0,
            part: None,
            compression: packed.compression,
            dictionary: packed.dictionary,
            plain_bytes: packed.plain_bytes,
        }
    }

    #[test]
    fn rows_and_tombstones_come_back_with_positions_in_any_order() {
        let row = Row::new(vec![(ColumnRef::Known(0), Value::Text("x".to_string()))]).unwrap();
        let rows = vec![
            PageRow {
                table: TableRef::Known(2),
                record: RecordId::new("A").unwrap(),
                position: Position(10),
                row: Some(row),
            },
            PageRow {
                table: TableRef::Named("t".to_string()),
                record: RecordId::new("B").unwrap(),
                position: Position(3),
                row: None,
            },
        ];

        let packed = pack_rows(&rows, &History::default(), &mut PlainCodec).unwrap();

        assert_eq!(unpack_rows(&header(&packed), &packed.bytes, &mut History::default(), &mut PlainCodec), Ok(rows));
    }

    proptest! {
        #[test]
        fn rubbish_never_panics(plain: Vec<u8>) {
            let _ = read_rows(&plain);
        }
    }
}
