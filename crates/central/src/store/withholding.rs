//! What a store keeps on its site (`domain::withholding`): its record says so, and its site hears of it as of anything else in it.

use std::ops::ControlFlow;

use domain::catalogue::Table;
use domain::json::row_from_json;
use domain::store::{STORE_TABLE, is_dispensary};
use domain::withholding::Withheld;
use protocol::entry::Operation;
use protocol::ids::{RecordId, SiteId};
use protocol::row::Row;

use super::batch::Batch;
use super::error::StoreError;
use super::reading::{Reading, RecordRow};

/// Whether to keep something is asked of a store, or not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// What is kept.
    pub what: Withheld,
    /// Whether its record says so from now on.
    pub is_kept: bool,
}

impl Batch<'_> {
    /// Lets a store keep something on its site, or takes that back; whether that changes anything.
    ///
    /// # Errors
    /// Refused with `unknown_store`; `not_a_dispensary` where transactions are always synced; `store_is_active` where central has the data
    /// because the store is active there.
    pub fn set_withheld(&mut self, store: &RecordId, keeping: Keeping) -> Result<bool, StoreError> {
        self.job(|batch| {
            let stores = batch.catalogue.table_by_name(STORE_TABLE);
            let stores = stores.map_err(|error| StoreError::refused(error.code(), &error.to_string()))?;
            let Some(row) = batch.reading().record_of_store(stores, store)? else {
                return Err(StoreError::refused("unknown_store", &format!("there is no store {store} at central")));
            };
            if keeping.what.is_asked_for(stores, &row) == keeping.is_kept {
                return Ok(false);
            }
            if keeping.is_kept && keeping.what == Withheld::Transactions && !is_dispensary(stores, &row) {
                let what = format!(
                    "store {store} is no dispensary (store_mode): the transactions of any other store are always synced"
                );
                return Err(StoreError::refused("not_a_dispensary", &what));
            }
            if keeping.is_kept && batch.state.holdings.holder(store) == SiteId::CENTRAL {
                let what = format!("store {store} is active on central, which has all of its data");
                return Err(StoreError::refused("store_is_active", &what));
            }
            if let Some(patch) = keeping.what.to_patch(stores, keeping.is_kept) {
                batch.write_own((stores.reference().clone(), store.clone()), Operation::Patch(patch))?;
            }
            Ok(true)
        })
    }
}

impl Reading<'_> {
    /// What a store keeps on its site; nothing if there is no such store.
    ///
    /// # Errors
    /// [`StoreError::Sql`], [`StoreError::Damaged`].
    pub fn withheld(&mut self, store: &RecordId) -> Result<Withheld, StoreError> {
        let Ok(stores) = self.catalogue.table_by_name(STORE_TABLE) else { return Ok(Withheld::Nothing) };
        let row = self.record_of_store(stores, store)?;
        Ok(row.map(|row| Withheld::of(stores, &row)).unwrap_or_default())
    }

    /// The stores that keep something on their sites, by id, and what.
    ///
    /// # Errors
    /// [`StoreError::Sql`], [`StoreError::Damaged`].
    pub fn stores_that_withhold(&mut self) -> Result<Vec<(RecordId, Withheld)>, StoreError> {
        let mut stores = Vec::new();
        self.sql.query(
            "SELECT id FROM record WHERE table_name = ?1 AND data LIKE '%outpost_withholds%' ORDER BY id",
            &[STORE_TABLE.into()],
            &mut |row| {
                stores.push(super::text::record_id(row, 0)?);
                Ok(ControlFlow::Continue(()))
            },
        )?;
        let mut withholding = Vec::new();
        for store in stores {
            let withheld = self.withheld(&store)?;
            if withheld != Withheld::Nothing {
                withholding.push((store, withheld));
            }
        }
        Ok(withholding)
    }

    fn record_of_store(&mut self, stores: &Table, store: &RecordId) -> Result<Option<Row>, StoreError> {
        let Some(RecordRow { data: Some(data), .. }) = self.record(STORE_TABLE, store)? else { return Ok(None) };
        let row = row_from_json(stores, store, &data).map_err(|error| StoreError::Damaged(error.to_string()))?;
        Ok(Some(stores.canonical(row)))
    }
}
