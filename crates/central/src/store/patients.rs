//! Patients: whose home store sees them, and who may write them (rule 5.13; `domain.md`, "Patient" and "Home store").

use domain::catalogue::Table;
use domain::judge::Applied;
use domain::store::NAME_TABLE;
use domain::visibility::VisibleKey;
use protocol::ids::RecordId;
use sql::{Param, SqlExt};

use super::batch::Batch;
use super::error::StoreError;
use super::text;

impl Batch<'_> {
    /// Follows a record of the names. A patient that was deleted keeps its home store, as its tombstone does: what hung on it stays
    /// that store's, which may delete it.
    pub(super) fn follow_patient(&mut self, table: &Table, id: &RecordId, applied: &Applied) -> Result<(), StoreError> {
        if table.name() != NAME_TABLE {
            return Ok(());
        }
        // A name that is no patient has no key: it goes to every site.
        let home = applied.store.as_ref().filter(|_| matches!(applied.visible_key, Some(VisibleKey::Name(_))));
        self.follow_home_transfer(id, applied.row.as_ref(), home)?;
        let sql = "SELECT store FROM patient_home WHERE name = ?1";
        let before = self.sql.query_one(sql, &[id.as_str().into()], |row| text::record_id(row, 0))?;
        if before.as_ref() == home {
            return Ok(());
        }
        let name: Param<'_> = id.as_str().into();
        match home {
            Some(store) => self.sql.execute(
                "INSERT INTO patient_home (name, store) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET store = excluded.store",
                &[name, store.as_str().into()],
            )?,
            None => self.sql.execute("DELETE FROM patient_home WHERE name = ?1", &[name])?,
        };
        for store in before.iter().chain(home) {
            for site in self.sites_with(store)? {
                self.look_again_at_name(site, id)?;
            }
        }
        Ok(())
    }

    /// The patients whose home store it is.
    pub(super) fn patients_of(&mut self, store: &RecordId) -> Result<Vec<RecordId>, StoreError> {
        self.ids("SELECT name FROM patient_home WHERE store = ?1", store)
    }
}
