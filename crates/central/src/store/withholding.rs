//! What a store's own record says of how its data goes: what stays on its site (`domain::withholding`), and whether new patients are seen
//! in it (`domain::new_patient`). Its site hears of it as of anything else in that record.

use std::ops::ControlFlow;

use domain::catalogue::Table;
use domain::preference::StorePreference;
use domain::store::{STORE_TABLE, is_dispensary, says};
use domain::withholding::{WITHHOLDS_DATA, Withheld, has_withheld_data};
use protocol::entry::Operation;
use protocol::ids::{RecordId, SiteId};
use protocol::row::{Row, Value};
use sql::Param;

use super::batch::Batch;
use super::error::StoreError;
use super::reading::Reading;
use super::text;

impl Batch<'_> {
    /// Switches a preference of a store on or off; whether that changes anything.
    ///
    /// # Errors
    /// Refused with `unknown_store`; `not_a_dispensary` where it makes no difference; `store_is_active` where transactions cannot stay away
    /// from central, because the store is active there.
    pub fn set_store_preference(
        &mut self,
        preference: StorePreference,
        store: &RecordId,
        is_on: bool,
    ) -> Result<bool, StoreError> {
        let is_set = is_on != preference.is_on_unless_said();
        self.set_in_store(store, preference.column(), is_set, &|batch, stores, row| {
            if preference != StorePreference::LocalProcurement && !is_dispensary(stores, row) {
                let what =
                    format!("store {store} is no dispensary (store_mode), and {} speaks of these", preference.as_str());
                return Err(StoreError::refused("not_a_dispensary", &what));
            }
            match preference {
                StorePreference::IncludeTransactions => {
                    batch.refuse_moving(store)?;
                    batch.refuse_active_on_central(store)
                }
                StorePreference::NewPatientsVisible | StorePreference::LocalProcurement => Ok(()),
            }
        })
    }

    /// Lets a store be a transfer store on central, so that its data stays on its site, or lets central collect it; whether that changes
    /// anything.
    ///
    /// # Errors
    /// Refused with `unknown_store`; `store_is_active` on central.
    pub fn set_transfer_on_central(&mut self, store: &RecordId, is_transfer: bool) -> Result<bool, StoreError> {
        self.set_in_store(store, WITHHOLDS_DATA, is_transfer, &|batch, _, _| {
            batch.refuse_moving(store)?;
            batch.refuse_active_on_central(store)
        })
    }

    fn refuse_active_on_central(&mut self, store: &RecordId) -> Result<(), StoreError> {
        if self.state.holdings.holder(store) != SiteId::CENTRAL {
            return Ok(());
        }
        let what = format!("store {store} is active on central, which has all of its data");
        Err(StoreError::refused("store_is_active", &what))
    }

    /// Sets a column of a store's record to true, if `may_be` allows it, or empties it.
    fn set_in_store(
        &mut self,
        store: &RecordId,
        column: &str,
        is_set: bool,
        may_be: &dyn Fn(&mut Batch<'_>, &Table, &Row) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        self.job(|batch| {
            let stores = batch.catalogue.table_by_name(STORE_TABLE);
            let stores = stores.map_err(|error| StoreError::refused(error.code(), &error.to_string()))?;
            let Some(row) = batch.reading().row_of(stores, store)? else {
                return Err(StoreError::refused("unknown_store", &format!("there is no store {store} at central")));
            };
            if says(stores, &row, column) == is_set {
                return Ok(false);
            }
            if is_set {
                may_be(batch, stores, &row)?;
            }
            let value = if is_set { Value::Bool(true) } else { Value::Null };
            let patch = Row::new(vec![(stores.column_ref(column), value)]).expect("one column is within every limit");
            batch.write_own((stores.reference().clone(), store.clone()), Operation::Patch(patch))?;
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
        let row = self.row_of(stores, store)?;
        Ok(row.map(|row| Withheld::of(stores, &row)).unwrap_or_default())
    }

    /// Whether a store keeps all of its data on its site, or ever did.
    ///
    /// # Errors
    /// [`StoreError::Sql`], [`StoreError::Damaged`].
    pub fn has_withheld_data(&mut self, store: &RecordId) -> Result<bool, StoreError> {
        let Ok(stores) = self.catalogue.table_by_name(STORE_TABLE) else { return Ok(false) };
        Ok(self.row_of(stores, store)?.as_ref().is_some_and(has_withheld_data))
    }

    /// The stores whose records say of a preference the other than what holds without them, by id, at most so many.
    ///
    /// # Errors
    /// [`StoreError::Sql`], [`StoreError::Damaged`].
    pub fn stores_that_say(&mut self, preference: StorePreference, limit: u32) -> Result<Vec<RecordId>, StoreError> {
        let mut found = Vec::new();
        self.sql.query(
            "SELECT id FROM record WHERE table_name = ?1 AND data LIKE ?2 ORDER BY id LIMIT ?3",
            &[STORE_TABLE.into(), Param::Text(&format!("%\"{}\":true%", preference.column())), limit.into()],
            &mut |row| {
                found.push(text::record_id(row, 0)?);
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(found)
    }
}
