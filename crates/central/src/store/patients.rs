//! Patients and prescribers: whose home store sees them, and who may write them (rule 5.13; `domain.md`, "Patient" and "Home store").

use domain::catalogue::Table;
use domain::judge::Applied;
use domain::visibility::VisibleKey;
use protocol::ids::RecordId;
use sql::{Param, SqlExt};

use super::batch::Batch;
use super::error::StoreError;
use super::reading::Reading;
use super::text;

/// That a record is a patient without a home store; other names that are here have none either.
pub(super) const IS_HOMELESS: &str =
    "record.table_name = 'name' AND record.store IS NULL AND record.data LIKE '%\"type\":\"patient\"%'";

impl Batch<'_> {
    /// Follows a record that has a home store, or might have. A patient that was deleted keeps its home store, as its tombstone does: what
    /// hung on it stays that store's, which may delete it.
    pub(super) fn follow_home(&mut self, table: &Table, id: &RecordId, applied: &Applied) -> Result<(), StoreError> {
        if !table.has_home_stores() {
            return Ok(());
        }
        let key = VisibleKey::of_home(table, id);
        // A name that is no patient has no key: it goes to every site.
        let home = applied.store.as_ref().filter(|_| applied.visible_key.as_ref() == Some(&key));
        let text = key.to_text();
        let sql = "SELECT store FROM home_store WHERE visible_key = ?1";
        let before = self.sql.query_one(sql, &[(&text).into()], |row| text::record_id(row, 0))?;
        // Most names are of no patient, and cost no more than this look.
        if before.is_none() && home.is_none() {
            // One without a home store has prescriptions like any other.
            let is_homeless = applied.visible_key.as_ref() == Some(&key);
            return if is_homeless { self.follow_patient_of_prescriptions(&key) } else { Ok(()) };
        }
        self.follow_home_transfer(&key, applied.row.as_ref(), home)?;
        if before.as_ref() == home {
            return Ok(());
        }
        let param: Param<'_> = (&text).into();
        match home {
            Some(store) => self.sql.execute(
                "INSERT INTO home_store (visible_key, store) VALUES (?1, ?2)
                 ON CONFLICT (visible_key) DO UPDATE SET store = excluded.store",
                &[param, store.as_str().into()],
            )?,
            None => self.sql.execute("DELETE FROM home_store WHERE visible_key = ?1", &[param])?,
        };
        for store in before.iter().chain(home) {
            for site in self.sites_with(store)? {
                self.look_again_at(site, &key)?;
            }
        }
        if before.is_some() != home.is_some() {
            self.follow_patient_of_prescriptions(&key)?;
        }
        Ok(())
    }

    /// The patients and prescribers whose home store it is.
    pub(super) fn at_home_in(&mut self, store: &RecordId) -> Result<Vec<VisibleKey>, StoreError> {
        let keys = self.texts("SELECT visible_key FROM home_store WHERE store = ?1", store)?;
        Ok(keys.iter().filter_map(|key| VisibleKey::from_text(key)).collect())
    }
}

impl Reading<'_> {
    /// Whether a patient or prescriber has a home store, also one that was deleted.
    pub(super) fn has_home_store(&mut self, key: &VisibleKey) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM home_store WHERE visible_key = ?1";
        Ok(self.sql.query_integer(sql, &[(&key.to_text()).into()])?.is_some())
    }

    /// Whether a name is a patient, also one that was deleted, or that has no home store.
    pub(super) fn is_patient(&mut self, name: &RecordId) -> Result<bool, StoreError> {
        if self.has_home_store(&VisibleKey::Name(name.clone()))? {
            return Ok(true);
        }
        let sql = format!("SELECT 1 FROM record WHERE {IS_HOMELESS} AND record.id = ?1");
        Ok(self.sql.query_integer(&sql, &[name.as_str().into()])?.is_some())
    }
}
