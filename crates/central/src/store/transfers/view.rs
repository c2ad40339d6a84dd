//! What the rules of transfers read at central, as a site that holds what was never given away.

use std::collections::BTreeSet;

use domain::authority::Authority;
use domain::catalogue::Table;
use domain::judge::Found;
use domain::merge::{INTO_COLUMN, resolve};
use domain::number::NUMBER_TABLE;
use domain::procurement::Purchaser;
use domain::transfers::owed::{Sequence, Site};
use domain::transfers::records::{ITEM_JOINS, ITEMS, ORDERS, Records};
use protocol::ids::{OwnershipNumber, RecordId, SiteId, TableRef};
use protocol::row::Row;

use crate::store::aliases::Aliases;
use crate::store::batch::Batch;
use crate::store::error::StoreError;
use crate::store::references::{ITEM, NUMBER_NAME};

/// See the module.
pub(super) struct TransferView<'v, 'a>(pub(super) &'v mut Batch<'a>);

impl TransferView<'_, '_> {
    fn table(&self, reference: &TableRef) -> Result<&Table, StoreError> {
        let table = self.0.catalogue.table(reference);
        table.ok_or_else(|| StoreError::Damaged("a table of transfers is not in the catalogue".to_owned()))
    }

    fn table_by_name(&self, name: &str) -> Result<&Table, StoreError> {
        self.0.catalogue.table_by_name(name).map_err(|error| StoreError::Damaged(error.to_string()))
    }

    /// An item and those that were merged into it.
    fn same_items(&mut self, item: &RecordId) -> Result<Vec<RecordId>, StoreError> {
        let items = self.0.catalogue.table_by_name(ITEMS).ok();
        let merges = items.and_then(|items| self.0.catalogue.merges_of_type(items, items.data_type()));
        let (mut known, mut found) = (BTreeSet::from([item.clone()]), vec![item.clone()]);
        let Some(merges) = merges else { return Ok(found) };
        let mut next = 0;
        while let Some(one) = found.get(next).cloned() {
            next += 1;
            for (merged, _) in self.0.referring_to(merges, INTO_COLUMN, one.as_str())? {
                if known.insert(merged.clone()) {
                    found.push(merged);
                }
            }
        }
        Ok(found)
    }
}

impl Records for TransferView<'_, '_> {
    type Error = StoreError;

    fn record(&mut self, table: &TableRef, id: &RecordId) -> Result<Found, StoreError> {
        Ok(match self.0.read_record(&(table.clone(), id.clone()))? {
            None => Found::Unknown,
            Some(stored) => match stored.row {
                Some(row) => Found::Here { row, store: stored.store },
                None => Found::Deleted { store: stored.store },
            },
        })
    }

    fn store_of_name(&mut self, name: &RecordId) -> Result<Option<RecordId>, StoreError> {
        for name in self.0.same_as(Aliases::Names, name)? {
            if let Some(store) = self.0.stores_named(&name)?.into_iter().next() {
                return Ok(Some(store));
            }
        }
        Ok(None)
    }

    fn resolved(&mut self, table: &TableRef, id: &RecordId) -> Result<RecordId, StoreError> {
        let table = self.table(table)?;
        let Some(merges) = self.0.catalogue.merges_of_type(table, table.data_type()) else { return Ok(id.clone()) };
        resolve(id, |id| self.0.alias(merges, id))
    }

    fn item_in_store(&mut self, item: &RecordId, store: &RecordId) -> Result<Option<Row>, StoreError> {
        let joins = self.0.catalogue.table_by_name(ITEM_JOINS).ok();
        let Some(joins) = joins else { return Ok(None) };
        for item in self.same_items(item)? {
            let found = self.0.referring_to(joins, ITEM, item.as_str())?;
            let is_of_store = |row: &Row| joins.id_in(row, "store_ID").is_ok_and(|of| of == *store);
            if let Some((_, row)) = found.into_iter().find(|(_, row)| is_of_store(row)) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    fn referring(&mut self, table: &TableRef, column: &str, id: &RecordId) -> Result<Vec<(RecordId, Row)>, StoreError> {
        let Some(table) = self.0.catalogue.table(table) else { return Ok(Vec::new()) };
        self.0.referring_to(table, column, id.as_str())
    }

    fn went_with_its_source(&mut self, table: &TableRef, id: &RecordId) -> Result<bool, StoreError> {
        self.0.was_deleted_as_proposed(&(table.clone(), id.clone()))
    }
}

impl Site for TransferView<'_, '_> {
    fn grant(&mut self, store: &RecordId) -> Result<Option<OwnershipNumber>, StoreError> {
        let held = self.0.holding(store)?.filter(|held| held.site == SiteId::CENTRAL);
        Ok(held.filter(|_| !self.0.is_moving(store)).map(|held| held.ownership))
    }

    fn writes_order(&mut self, order: &RecordId, row: &Row) -> Result<bool, StoreError> {
        let orders = self.table_by_name(ORDERS)?;
        let Some(Ok(store)) = orders.store_of(order, row) else { return Ok(false) };
        let orders = orders.clone();
        Ok(match self.0.reading().procurement_of(&store)?.purchaser(&orders, Some(row)) {
            Purchaser::Store => self.grant(&store)?.is_some(),
            Purchaser::Primary => self.0.state.mirror.authority() == Authority::Central,
            Purchaser::NobodyUnsupervised | Purchaser::NobodyKeptLocal => false,
        })
    }

    fn sequence(&mut self, store: &RecordId, name: &str) -> Result<Sequence, StoreError> {
        let gaps = self.0.number_gaps(store)?;
        let Some(numbers) = self.0.catalogue.table_by_name(NUMBER_TABLE).ok() else { return Ok(Sequence::default()) };
        let record = self.0.referring_to(numbers, NUMBER_NAME, name)?.into_iter().next();
        Ok(Sequence { record, gaps })
    }
}
