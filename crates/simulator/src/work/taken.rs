//! Records of other sites, written as if they were of the own store.

use domain::catalogue::{DataType, Table};
use domain::number::LAST_COLUMN;
use protocol::entry::Operation;

use super::{Desk, How, Office, Planned, entry};
use crate::inspect::RecordRow;
use crate::model::Expected;
use crate::random::Random;

impl Desk {
    /// An edit of one of these records, which are another site's, as if it were of the own store.
    pub fn take_over(office: &Office<'_>, records: &[RecordRow], random: &mut Random) -> Option<Planned> {
        let (own, catalogue) = (office.stores.first()?, office.catalogue);
        // A device whose files somebody changes gives any number again.
        let is_given = |record: &RecordRow| record.data.as_deref().is_some_and(|data| data.contains(LAST_COLUMN));
        let is_document = |record: &&RecordRow| {
            let table = catalogue.table_by_name(&record.table);
            let is_of_store = |table: &Table| table.data_type() == DataType::Store && table.store_column().is_some();
            table.is_ok_and(is_of_store) && !is_given(record)
        };
        let records: Vec<&RecordRow> = records.iter().filter(is_document).collect();
        if records.is_empty() {
            return None;
        }
        let record = *random.pick(&records);
        let column = catalogue.table_by_name(&record.table).ok()?.store_column()?;
        let mut entry = entry(catalogue, &record.table, &record.id, &format!("{{{column:?}:{own:?}}}"), 1);
        if random.chance(300)
            && let Operation::Put(row) = entry.operation
        {
            entry.operation = Operation::Patch(row);
        }
        Some(Planned { how: How::Forged(vec![entry]), expected: Expected::Refused })
    }
}
