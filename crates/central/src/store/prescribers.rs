//! Which stores know a prescriber beside its home store: where somebody made it visible, and dispensaries in which it has prescribed
//! (`domain.md`, "Special cases"; seed 000, "Other dispensary data").

use std::collections::BTreeSet;

use domain::catalogue::Table;
use domain::visibility::{Join, PRESCRIBER_JOIN_TABLE, prescriber_of};
use protocol::ids::{RecordId, SiteId};
use protocol::row::Row;
use sql::SqlExt;

use super::aliases::Aliases;
use super::batch::Batch;
use super::error::StoreError;
use super::text;
use super::visibility::PRESENT;

/// Whether a site knows a prescriber by a store that is active there or a collector. ?1 site, ?2 prescriber.
pub(super) fn knows_prescriber() -> String {
    let (same, same_keys) = (Aliases::Prescribers.same(), Aliases::Prescribers.same_keys());
    format!(
        "SELECT 1 FROM ({PRESENT}) present
        WHERE EXISTS (SELECT 1 FROM prescriber_visibility known
                WHERE known.store = present.store AND known.prescriber IN {same})
           OR EXISTS (SELECT 1 FROM home_store
                WHERE home_store.store = present.store AND home_store.visible_key IN {same_keys})
           OR EXISTS (SELECT 1 FROM prescribed JOIN dispensary ON dispensary.store = prescribed.store
                WHERE prescribed.store = present.store AND prescribed.prescriber IN {same}) LIMIT 1"
    )
}

impl Batch<'_> {
    /// Follows a record that makes a prescriber visible.
    pub(super) fn follow_prescriber_join(&mut self, id: &RecordId, join: Option<&Join>) -> Result<(), StoreError> {
        let sql = "SELECT prescriber, store FROM prescriber_visibility WHERE id = ?1";
        let before = self.sql.query_one(sql, &[id.as_str().into()], |row| {
            Ok(Join { name: text::record_id(row, 0)?, store: text::record_id(row, 1)? })
        })?;
        if before.as_ref() == join {
            return Ok(());
        }
        self.sql.execute("DELETE FROM prescriber_visibility WHERE id = ?1", &[id.as_str().into()])?;
        if let Some(join) = join {
            self.sql.execute(
                "INSERT INTO prescriber_visibility (id, prescriber, store) VALUES (?1, ?2, ?3)",
                &[id.as_str().into(), join.name.as_str().into(), join.store.as_str().into()],
            )?;
        }
        for Join { name, store } in before.iter().chain(join) {
            for site in self.sites_with(store)? {
                self.look_again_at_prescriber(site, name)?;
            }
        }
        Ok(())
    }

    /// Follows a transaction: who has prescribed in a store has done so for ever.
    pub(super) fn follow_prescription(
        &mut self,
        table: &Table,
        row: Option<&Row>,
        store: Option<&RecordId>,
    ) -> Result<(), StoreError> {
        let (Some(prescriber), Some(store)) = (row.and_then(|row| prescriber_of(table, row)), store) else {
            return Ok(());
        };
        let written = self.sql.execute(
            "INSERT INTO prescribed (store, prescriber) VALUES (?1, ?2) ON CONFLICT (store, prescriber) DO NOTHING",
            &[store.as_str().into(), prescriber.as_str().into()],
        )?;
        if written > 0 && self.state.dispensaries.contains(store) {
            for site in self.sites_with(store)? {
                self.look_again_at_prescriber(site, &prescriber)?;
            }
        }
        Ok(())
    }

    /// A store became a dispensary, or ceases to be one.
    pub(super) fn follow_prescribed(&mut self, store: &RecordId) -> Result<(), StoreError> {
        let prescribers = self.ids("SELECT prescriber FROM prescribed WHERE store = ?1", store)?;
        for site in self.sites_with(store)? {
            for prescriber in &prescribers {
                self.look_again_at_prescriber(site, prescriber)?;
            }
        }
        Ok(())
    }

    /// What a site knows of the prescribers of a store that has come to it or left it, but for those whose home store it is.
    pub(super) fn follow_prescribers_of(&mut self, site: SiteId, store: &RecordId) -> Result<(), StoreError> {
        let mut known: BTreeSet<RecordId> = BTreeSet::new();
        known.extend(self.ids("SELECT prescriber FROM prescriber_visibility WHERE store = ?1", store)?);
        known.extend(self.ids("SELECT prescriber FROM prescribed WHERE store = ?1", store)?);
        for prescriber in known {
            self.look_again_at_prescriber(site, &prescriber)?;
        }
        Ok(())
    }

    /// Follows what was written before prescribers were carried: which are visible where, and who has prescribed.
    pub(super) fn find_prescribers(&mut self) -> Result<(), StoreError> {
        self.each_record(PRESCRIBER_JOIN_TABLE, "", |batch, table, id, row, _| {
            batch.follow_prescriber_join(id, Join::of(table, row).as_ref())
        })?;
        self.each_record("transact", "%prescriber_ID%", |batch, table, _, row, store| {
            batch.follow_prescription(table, Some(row), store)
        })
    }
}
