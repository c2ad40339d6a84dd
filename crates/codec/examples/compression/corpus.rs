//! Lines of edits as the entries that an agent records.

use std::collections::BTreeMap;
use std::error::Error;

use domain::apply::operation_for;
use domain::catalogue::Catalogue;
use domain::edit::Edit;
use domain::json::row_from_json;
use protocol::entry::{Entry, Operation};
use protocol::ids::OwnershipNumber;
use protocol::row::Row;

/// The entries' bytes, each a group of its own: an upsert of a record that is there is a patch of what differs, and nothing is
/// recorded where nothing differs.
pub(crate) fn entries(path: &str) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let catalogue = Catalogue::embedded();
    let mut records: BTreeMap<(String, String), Row> = BTreeMap::new();
    let mut entries = Vec::new();
    for line in std::fs::read_to_string(path)?.lines() {
        let edit = Edit::parse(line)?;
        let table = catalogue.table_by_name(&edit.table)?;
        let row = edit.data.map_or(Ok(Row::default()), |data| row_from_json(table, &edit.id, &data))?;
        let key = (edit.table, edit.id.as_str().to_owned());
        let Some(operation) = operation_for(edit.op, records.get(&key), row.clone()) else { continue };
        if operation == Operation::Delete {
            records.remove(&key);
        } else {
            records.insert(key, row);
        }
        let entry = Entry {
            is_group_end: true,
            ownership: OwnershipNumber(1),
            table: table.reference().clone(),
            record: edit.id,
            operation,
        };
        entries.push(entry.encode());
    }
    Ok(entries)
}
