//! Prescriptions where their patient is visible, while the preference says so (`domain.md`, "Prescriptions"; seed 000, "Patients").
//!
//! Beside the lane of their store they stand in the common one, with their patient as the key ([`VisibleKey::Prescriptions`]); the lines
//! have that of their header. A site sees the key while it sees the patient. Who sees it changes in the commit that switches the
//! preference; what was written before comes into the lane in bounded steps, each of which a crash may follow.

use std::ops::ControlFlow;

use domain::catalogue::Table;
use domain::judge::Applied;
use domain::preference::{PREFERENCE_TABLE, Preference};
use domain::scope::Scope;
use domain::visibility::{
    TRANSACTION_LINE_TABLE, TRANSACTION_TABLE, VisibleKey, is_transaction, patient_of_prescription,
};
use protocol::entry::Operation;
use protocol::ids::{RecordId, TableRef};
use protocol::row::Row;
use sql::SqlExt;

use super::batch::Batch;
use super::error::StoreError;
use super::patients::IS_HOMELESS;
use super::procurement::ORDERS_ROUTED_THROUGH;
use super::reading::Reading;
use super::records::{Key, LaneRow};
use super::text;

/// Name of the number that is 1 while prescriptions are shared.
pub(super) const ARE_SHARED: &str = "are_prescriptions_shared";
/// Name of the number of the record up to which they stand in the common lane; none where all do, or none is to.
const ROUTED_THROUGH: &str = "prescriptions_routed_through";
/// Name of the number that is central's head when they came to be shared, as long as [`ROUTED_THROUGH`] is there. Rows of the lane up to
/// it are of an earlier time, and not read ([`is_of_earlier_sharing`]).
///
/// [`is_of_earlier_sharing`]: super::visibility::is_of_earlier_sharing
pub(super) const SHARED_BEHIND: &str = "prescriptions_shared_behind";
/// Records that one step passes by at most, of whatever table.
const PASSED_BY_MAX: i64 = 50_000;

impl Batch<'_> {
    /// Switches a preference on or off; whether that changes anything.
    ///
    /// # Errors
    /// Those of the judge, and of a write.
    pub fn set_preference(&mut self, preference: Preference, is_on: bool) -> Result<bool, StoreError> {
        self.job(|batch| {
            let table = batch.catalogue.table_by_name(PREFERENCE_TABLE);
            let table = table.map_err(|error| StoreError::refused(error.code(), &error.to_string()))?;
            if batch.reading().is_preference_on(preference)? == is_on {
                return Ok(false);
            }
            let key: Key = (table.reference().clone(), preference.id());
            batch.write_own(key, Operation::Put(preference.to_row(table, is_on)))?;
            Ok(true)
        })
    }

    /// Carries out some of what a preference asks for of what was written before, `rows_max` records at most. Whether more is left.
    ///
    /// # Errors
    /// Those of a write.
    pub fn carry_out_step(&mut self, preference: Preference, rows_max: u64) -> Result<bool, StoreError> {
        match preference {
            Preference::PrescriptionsWhereVisible => self.share_prescriptions_step(rows_max),
            Preference::CentralisedProcurement | Preference::SupervisorOrders => self.route_orders_step(rows_max),
        }
    }

    /// Follows the record of a preference.
    pub(super) fn follow_preference(
        &mut self,
        table: &Table,
        id: &RecordId,
        row: Option<&Row>,
    ) -> Result<(), StoreError> {
        match Preference::of_record(table, id) {
            Some(preference @ Preference::PrescriptionsWhereVisible) => {
                self.share_prescriptions(preference.is_on(table, row))
            }
            Some(Preference::CentralisedProcurement | Preference::SupervisorOrders) => self.route_orders_anew(),
            None => Ok(()),
        }
    }

    fn share_prescriptions(&mut self, are_shared: bool) -> Result<(), StoreError> {
        if are_shared == self.state.are_prescriptions_shared {
            return Ok(());
        }
        self.state.has_new_layout = true;
        self.state.are_prescriptions_shared = are_shared;
        self.sql.execute(
            "DELETE FROM counter WHERE name IN (?1, ?2, ?3)",
            &[ARE_SHARED.into(), ROUTED_THROUGH.into(), SHARED_BEHIND.into()],
        )?;
        self.state.prescriptions_shared_behind = are_shared.then_some(self.state.position);
        if are_shared {
            // Only who shares prescriptions looks for the lines of one.
            let index = "CREATE INDEX IF NOT EXISTS record_prescription_line ON record (parent_id) WHERE parent_table = 'transact'";
            self.sql.execute(index, &[])?;
            self.sql.execute(
                "INSERT INTO counter (name, value) VALUES (?1, 1), (?2, 0), (?3, ?4)",
                &[
                    ARE_SHARED.into(),
                    ROUTED_THROUGH.into(),
                    SHARED_BEHIND.into(),
                    sql::Param::unsigned(self.state.position)?,
                ],
            )?;
            // All of them come at the head of the lane, so nothing is to be back-filled.
            self.sql.execute(
                "INSERT INTO site_sees (site, visible_key)
                 SELECT site_sees.site, 'r' || substr(home_store.visible_key, 2) FROM home_store
                    JOIN site_sees ON site_sees.visible_key = home_store.visible_key
                 WHERE home_store.visible_key >= 'n' AND home_store.visible_key < 'o' ON CONFLICT (site, visible_key) DO NOTHING",
                &[],
            )?;
            let of_homeless = format!(
                "INSERT INTO site_sees (site, visible_key)
                 SELECT site_sees.site, 'r' || record.id FROM record
                    JOIN site_sees ON site_sees.visible_key = 'n' || record.id
                 WHERE {IS_HOMELESS} ON CONFLICT (site, visible_key) DO NOTHING"
            );
            self.sql.execute(&of_homeless, &[])?;
            return Ok(());
        }
        self.sql.execute(
            "INSERT INTO backfill (site, visible_key, after, takes_back)
             SELECT site_sees.site, site_sees.visible_key, 0, 1 FROM site_sees JOIN site ON site.id = site_sees.site
             WHERE site_sees.visible_key >= 'r' AND site_sees.visible_key < 's' AND site.public_key IS NOT NULL
                AND EXISTS (SELECT 1 FROM lane WHERE lane.visible_key = site_sees.visible_key)
             ON CONFLICT (site, visible_key) DO UPDATE SET after = 0, takes_back = 1",
            &[],
        )?;
        self.sql.execute("DELETE FROM site_sees WHERE visible_key >= 'r' AND visible_key < 's'", &[])?;
        self.state.concerned.is_everyone = true;
        // Those that are at hand know whether they have any.
        self.state.sites.values_mut().for_each(|site| site.has_backfill = true);
        Ok(())
    }

    /// Whose prescriptions a record is part of, to stand in the common lane; `None` where that is not so, or they are not shared. `lanes`:
    /// in which it stands. One that is deleted goes out of the lane with the key that it had there.
    pub(super) fn shared_key(
        &mut self,
        table: &Table,
        applied: &Applied,
        lanes: &[LaneRow],
    ) -> Result<Option<VisibleKey>, StoreError> {
        if !self.state.are_prescriptions_shared || !is_of_prescriptions(table) {
            return Ok(None);
        }
        match &applied.row {
            Some(row) => self.key_of_prescription(table, row, applied.parent.as_ref().map(|(_, header)| header)),
            None => Ok(self.shared_lane(lanes)?.and_then(LaneRow::key)),
        }
    }

    fn key_of_prescription(
        &mut self,
        table: &Table,
        row: &Row,
        header: Option<&RecordId>,
    ) -> Result<Option<VisibleKey>, StoreError> {
        if is_transaction(table) {
            return Ok(patient_of_prescription(table, row).map(VisibleKey::Prescriptions));
        }
        let (Some(header), Ok(transactions)) = (header, self.catalogue.table_by_name(TRANSACTION_TABLE)) else {
            return Ok(None);
        };
        let stored = self.read_record(&(transactions.reference().clone(), header.clone()))?;
        let row = stored.and_then(|stored| stored.row).map(|row| transactions.canonical(row));
        Ok(row.and_then(|row| patient_of_prescription(transactions, &row)).map(VisibleKey::Prescriptions))
    }

    /// The lines of a transaction go with it to another patient, or cease to be a prescription's. `lanes`: in which it stood before.
    pub(super) fn follow_prescription_lines(
        &mut self,
        table: &Table,
        id: &RecordId,
        row: Option<&Row>,
        lanes: &[LaneRow],
    ) -> Result<(), StoreError> {
        if !self.state.are_prescriptions_shared || !is_transaction(table) {
            return Ok(());
        }
        let before = self.shared_lane(lanes)?.filter(|lane| !lane.is_tombstone).and_then(LaneRow::key);
        // Where it is deleted its lines go with it, but not out of their store.
        let after = row.and_then(|row| patient_of_prescription(table, row)).map(VisibleKey::Prescriptions);
        // A new one has lines only if it was there before.
        if before == after || lanes.is_empty() {
            return Ok(());
        }
        let mut found = Vec::new();
        let sql = "SELECT number FROM record WHERE parent_table = 'transact' AND parent_id = ?1 AND table_name = ?2 AND data IS NOT NULL";
        self.sql.query(sql, &[id.as_str().into(), TRANSACTION_LINE_TABLE.into()], &mut |row| {
            found.push(row.integer(0)?);
            Ok(ControlFlow::Continue(()))
        })?;
        for line in found {
            self.put_shared(line, after.as_ref())?;
        }
        Ok(())
    }

    /// Puts some of what was written before into the common lane, `rows_max` records at most. Whether more is left.
    ///
    /// # Errors
    /// Those of a write.
    pub fn share_prescriptions_step(&mut self, rows_max: u64) -> Result<bool, StoreError> {
        self.job(|batch| batch.route_prescriptions(rows_max))
    }

    fn route_prescriptions(&mut self, rows_max: u64) -> Result<bool, StoreError> {
        let sql = "SELECT value FROM counter WHERE name = ?1";
        let Some(after) = self.sql.query_integer(sql, &[ROUTED_THROUGH.into()])? else { return Ok(false) };
        let sql = format!(
            "SELECT number, table_name, id, parent_id FROM record WHERE number > ?1 AND number <= ?2 AND data IS NOT NULL
                AND table_name IN ('{TRANSACTION_TABLE}', '{TRANSACTION_LINE_TABLE}') ORDER BY number LIMIT ?3"
        );
        let through = after.saturating_add(PASSED_BY_MAX);
        let mut found: Vec<(i64, String, RecordId, Option<RecordId>)> = Vec::new();
        self.sql.query(&sql, &[after.into(), through.into(), sql::Param::unsigned(rows_max)?], &mut |row| {
            found.push((
                row.integer(0)?,
                row.text(1)?.to_owned(),
                text::record_id(row, 2)?,
                text::optional_record_id(row, 3)?,
            ));
            Ok(ControlFlow::Continue(()))
        })?;
        let is_cut = found.len() as u64 >= rows_max;
        let through = found.last().filter(|_| is_cut).map_or(through, |(number, ..)| *number);
        for (number, name, id, header) in found {
            let table = text::table(self.catalogue, &name);
            let key: Key = (table.reference().clone(), id);
            let Some(row) = self.read_record(&key)?.and_then(|stored| stored.row) else { continue };
            // What ceased to be a prescription's while they were not shared goes out of the lane.
            let key = self.key_of_prescription(&table, &table.canonical(row), header.as_ref())?;
            if let (Some(header), Some(key)) = (&header, &key) {
                self.share_header(header, key)?;
            }
            self.put_shared(number, key.as_ref())?;
        }
        let has_more = self.end_step(ROUTED_THROUGH, through, is_cut)?;
        if !has_more {
            self.state.has_new_layout = true;
            self.state.prescriptions_shared_behind = None;
            self.sql.execute("DELETE FROM counter WHERE name = ?1", &[SHARED_BEHIND.into()])?;
        }
        Ok(has_more)
    }

    /// Notes up to which record a step of putting records of before into the common lane has come; whether there are more. `is_cut`: it
    /// ended before it had looked at all up to there.
    pub(super) fn end_step(&mut self, counter: &str, through: i64, is_cut: bool) -> Result<bool, StoreError> {
        let behind = "SELECT 1 FROM record WHERE number > ?1 LIMIT 1";
        let has_more = is_cut || self.sql.query_integer(behind, &[through.into()])?.is_some();
        if has_more {
            let sql = "UPDATE counter SET value = ?2 WHERE name = ?1";
            self.sql.execute(sql, &[counter.into(), through.into()])?;
        } else {
            self.sql.execute("DELETE FROM counter WHERE name = ?1", &[counter.into()])?;
        }
        Ok(has_more)
    }

    /// A line that is to be written may belong to a prescription of before, which has to come into the common lane ahead of it
    /// (rule 5.16).
    pub(super) fn share_header_first(&mut self, table: &Table, applied: &Applied) -> Result<(), StoreError> {
        if self.state.prescriptions_shared_behind.is_none() || is_transaction(table) || !is_of_prescriptions(table) {
            return Ok(());
        }
        let (Some(row), Some((_, header))) = (&applied.row, &applied.parent) else { return Ok(()) };
        match self.key_of_prescription(table, row, Some(header))? {
            Some(key) => self.share_header(header, &key),
            None => Ok(()),
        }
    }

    /// Puts a prescription of before into the common lane, unless it came there since they are shared.
    fn share_header(&mut self, header: &RecordId, key: &VisibleKey) -> Result<(), StoreError> {
        let Some(shared_behind) = self.state.prescriptions_shared_behind else { return Ok(()) };
        let sql = "SELECT number FROM record WHERE table_name = ?1 AND id = ?2";
        let number = self.sql.query_integer(sql, &[TRANSACTION_TABLE.into(), header.as_str().into()])?;
        let Some(number) = number else { return Ok(()) };
        let lanes = self.lanes_of(number)?;
        match self.shared_lane(&lanes)? {
            Some(lane) if lane.position > shared_behind => Ok(()),
            Some(_) | None => self.put_shared(number, Some(key)),
        }
    }

    /// Puts a record into the common lane at its head, with a key, or as gone.
    pub(super) fn put_shared(&mut self, number: i64, key: Option<&VisibleKey>) -> Result<(), StoreError> {
        let lanes = self.lanes_of(number)?;
        let before = self.shared_lane(&lanes)?.cloned();
        if let Some(key) = key {
            let own = self.own_lanes_of(number)?;
            self.put_at_head(number, &Scope::Visible, before.as_ref(), false, Some(key))?;
            return self.forget_gained(number, &own, &key.to_text());
        }
        let Some(before) = before.filter(|before| !before.is_tombstone) else { return Ok(()) };
        let key = before.key();
        self.put_at_head(number, &Scope::Visible, Some(&before), true, key.as_ref())
    }

    fn shared_lane<'l>(&mut self, lanes: &'l [LaneRow]) -> Result<Option<&'l LaneRow>, StoreError> {
        let scope = self.scope_number(&Scope::Visible)?;
        Ok(lanes.iter().find(|lane| lane.scope == scope))
    }

    /// A name came to be a patient, or ceases to be one: whoever sees it may see its prescriptions.
    pub(super) fn follow_patient_of_prescriptions(&mut self, key: &VisibleKey) -> Result<(), StoreError> {
        if !self.state.are_prescriptions_shared || !matches!(key, VisibleKey::Name(_)) {
            return Ok(());
        }
        for site in self.sites_seeing(key)? {
            self.look_again(site, key)?;
        }
        Ok(())
    }
}

impl Reading<'_> {
    /// Whether what a preference asks for is not carried out yet for all that was written before it was switched on.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn is_under_way(&mut self, preference: Preference) -> Result<bool, StoreError> {
        let name = match preference {
            Preference::PrescriptionsWhereVisible => ROUTED_THROUGH,
            Preference::CentralisedProcurement | Preference::SupervisorOrders => ORDERS_ROUTED_THROUGH,
        };
        let sql = "SELECT value FROM counter WHERE name = ?1";
        Ok(self.sql.query_integer(sql, &[name.into()])?.is_some())
    }

    /// Whether a preference is on.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn is_preference_on(&mut self, preference: Preference) -> Result<bool, StoreError> {
        let Ok(table) = self.catalogue.table_by_name(PREFERENCE_TABLE) else { return Ok(false) };
        let row = self.row_of(table, &preference.id())?;
        Ok(preference.is_on(table, row.as_ref()))
    }
}

fn is_of_prescriptions(table: &Table) -> bool {
    is_transaction(table) || table.name() == TRANSACTION_LINE_TABLE && matches!(table.reference(), TableRef::Known(_))
}
