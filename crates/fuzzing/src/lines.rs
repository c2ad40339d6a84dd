//! NDJSON as the agent takes it from applications: lines, then edits, then what they record.

use domain::catalogue::Catalogue;
use domain::edit::{Edit, LINE_BYTES_MAX};
use domain::json::{row_from_json, row_to_json};
use outpost::operations::{Input, Lines};
use protocol::chain;
use protocol::entry::{Entry, Operation};
use protocol::ids::{Hash, OwnershipNumber};
use protocol::limits;

/// Every line is an edit or an error with a code; an edit becomes an entry that comes back, and shows again what was written.
pub(crate) fn edits(bytes: &[u8]) {
    let mut input = Input::from_bytes(bytes.to_vec());
    let Ok(mut lines) = Lines::survey(&mut input) else { return };
    let (count, hash) = (lines.count(), lines.hash());
    let mut reader = lines.reader().unwrap_or_else(|error| panic!("bytes in memory can be read: {error:?}"));
    let mut seen = (0, Hash::NONE);
    while let Ok(Some((number, line))) = reader.next_line() {
        assert!(!line.is_empty() && line.len() <= LINE_BYTES_MAX);
        seen = (number, chain::extend(seen.1, line.as_bytes()));
        match Edit::parse(&line) {
            Ok(edit) => check_edit(&edit),
            Err(error) => assert!(!error.code().is_empty() && error.to_string().len() < 1000, "{error}"),
        }
    }
    assert_eq!(seen, (count, hash), "the lines are the same each time they are read");
}

fn check_edit(edit: &Edit) {
    let catalogue = Catalogue::embedded();
    let table = match catalogue.table_by_name(&edit.table) {
        Ok(table) => table,
        Err(unknown) => return assert!(unknown.to_string().len() < 1000),
    };
    let operation = match edit.operation(table, None) {
        Ok(Some(operation)) => operation,
        Ok(None) => return,
        Err(error) => return assert!(!error.code().is_empty() && error.to_string().len() < 1000, "{error}"),
    };
    if let (Operation::Put(row) | Operation::Patch(row), Some(data)) = (&operation, &edit.data) {
        let shown = row_to_json(table, &edit.id, row);
        assert_eq!(row_from_json(table, &edit.id, &shown).as_ref(), Ok(row), "{data} was shown as {shown}");
        assert_eq!(row.difference(row).columns(), []);
    }
    let entry = Entry {
        is_group_end: true,
        ownership: OwnershipNumber(1),
        table: table.reference().clone(),
        record: edit.id.clone(),
        operation,
    };
    let packed = entry.encode();
    assert!(packed.len() <= limits::ENTRY_BYTES_MAX, "a record within its limit fits an entry");
    assert_eq!(Entry::decode(&packed), Ok(entry));
}
