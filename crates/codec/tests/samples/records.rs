//! Rows and entries, and the hardware id of an enrolment.

use protocol::entry::{Entry, Operation};
use protocol::hardware::{HardwareId, HardwareKind, HardwareSource};
use protocol::ids::{HardwareSalt, OwnershipNumber, RecordId, TableRef};
use protocol::row::{ColumnRef, Row, Value};

use super::Sample;

const UPPER: &str = "00112233445566778899AABBCCDDEEFF";
const LOWER: &str = "00112233445566778899aabbccddeeff";
const DASHED_LOWER: &str = "00112233-4455-6677-8899-aabbccddeeff";
const DASHED_UPPER: &str = "00112233-4455-6677-8899-AABBCCDDEEFF";

/// A row with each kind of value, a column far behind the one before, and a named one.
pub(super) fn row() -> Row {
    let text = |text: &str| Value::Text(text.to_owned());
    let number = |text: &str| Value::Number(text.to_owned());
    let values = [
        Value::Null,
        Value::Bool(false),
        Value::Bool(true),
        number("-7"),
        number("12.30"),
        number("1E+5"),
        text("aspirin 500 mg, é"),
        Value::Json("{\"a\":[1]}".to_owned()),
        text(UPPER),
        text(LOWER),
        text(DASHED_LOWER),
        text(DASHED_UPPER),
        text("2026-01-05"),
        text(""),
    ];
    let mut columns: Vec<_> = (0_u16..).map(ColumnRef::Known).zip(values).collect();
    columns.push((ColumnRef::Known(40), number("9223372036854775807")));
    columns.push((ColumnRef::Named("custom_field".to_owned()), Value::Bool(true)));
    Row::new(columns).unwrap()
}

fn entry(id: &str, table: TableRef, operation: Operation) -> Entry {
    Entry { is_group_end: false, ownership: OwnershipNumber(1), table, record: RecordId::new(id).unwrap(), operation }
}

/// The entries of the frames: an invoice and a line of it, one group.
pub(super) fn group() -> Vec<Entry> {
    let line = Row::new(vec![
        (ColumnRef::Known(0), Value::Text(UPPER.to_owned())),
        (ColumnRef::Known(3), Value::Number("10".to_owned())),
    ]);
    let mut last = entry(LOWER, TableRef::Known(12), Operation::Put(line.unwrap()));
    last.is_group_end = true;
    vec![entry(UPPER, TableRef::Known(11), Operation::Put(row())), last]
}

fn of_entry(name: &'static str, comment: &'static str, entry: Entry) -> Sample {
    let bytes = entry.encode();
    let check = move |stored: &[u8]| assert_eq!(Entry::decode(stored).as_ref(), Ok(&entry), "{name}");
    Sample { name, comment, bytes, is_encoding_fixed: true, check: Box::new(check) }
}

/// Two known kinds, and one of a later program.
fn hardware() -> HardwareId {
    let values =
        [(HardwareKind::SocSerial, "1A2B3C4D"), (HardwareKind::MachineId, UPPER), (HardwareKind::Unknown(200), "x")];
    let salt = HardwareSalt([0xd7; 16]);
    let sources = values.map(|(kind, value)| HardwareSource::of_value(kind, &salt, value.as_bytes()));
    HardwareId::new(sources.to_vec()).unwrap()
}

pub(super) fn all() -> Vec<Sample> {
    let known = || TableRef::Known(300);
    let patch = Row::new(vec![(ColumnRef::Known(2), Value::Null)]).unwrap();
    let mut end = entry(DASHED_UPPER, known(), Operation::Delete);
    end.is_group_end = true;
    end.ownership = OwnershipNumber(300);
    vec![
        Sample {
            name: "row",
            comment: "Row with every kind of value, a skip of more than 13 columns and a named column",
            bytes: row().to_bytes(),
            is_encoding_fixed: true,
            check: Box::new(|stored| assert_eq!(Row::decode(stored), Ok(row()))),
        },
        Sample {
            name: "hardware_id",
            comment: "Hardware id with the salt d7 16 times: chip 1A2B3C4D, machine id 0011...EEFF, and kind 200 with the value x",
            bytes: hardware().encode(),
            is_encoding_fixed: true,
            check: Box::new(|stored| assert_eq!(HardwareId::decode(stored), Ok(hardware()))),
        },
        of_entry("entry_put", "Entry: put, id form 1", entry(UPPER, known(), Operation::Put(row()))),
        of_entry(
            "entry_patch",
            "Entry: patch that erases a column, id form 2",
            entry(LOWER, known(), Operation::Patch(patch)),
        ),
        of_entry("entry_delete", "Entry: delete, id form 3", entry(DASHED_LOWER, known(), Operation::Delete)),
        of_entry("entry_group_end", "Entry: delete, last of its group, ownership number 300, id form 4", end),
        of_entry(
            "entry_named_table",
            "Entry: delete in a declared table, id form 0 (text)",
            entry("free id é", TableRef::Named("my_table".to_owned()), Operation::Delete),
        ),
    ]
}
