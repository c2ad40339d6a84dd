//! A store of a central that knew no visibility: what hangs on names and stores went to every site. It is written anew, once, into the lane
//! that is read by who sees it; whoever has it and does not see it is told that it is gone.

use std::ops::ControlFlow;

use domain::catalogue::{DataType, Table};
use domain::judge::{Applied, Effect};
use domain::scope::Scope;
use domain::store::STORE_TABLE;
use domain::visibility::{JOIN_TABLE, VisibleKey};
use protocol::ids::{OwnershipNumber, RecordId, Sequence, SiteId};
use protocol::row::Row;
use sql::SqlExt;

use super::batch::Batch;
use super::error::StoreError;
use super::records::{Author, Key};
use super::text;

/// Name of the number that is 1 once records are routed by visibility.
const IS_ROUTED: &str = "is_routed_by_visibility";
/// Name of the number that is 1 once names are joined by the merges of before.
const ARE_JOINED: &str = "are_merged_names_joined";
/// Name of the number that is 1 once it is known which prescribers are visible where, and who has prescribed.
const ARE_PRESCRIBERS_FOUND: &str = "are_prescribers_found";
/// Name of the number that is 1 once what the records of before hold is noted.
const ARE_REFERENCES_NOTED: &str = "are_references_noted";
/// Records that are read together.
const RECORDS_TOGETHER: usize = 500;

impl Batch<'_> {
    /// What a store of an older program needs before it is used, each once.
    pub(super) fn bring_up_to_date(&mut self) -> Result<(), StoreError> {
        self.once(IS_ROUTED, Self::route_by_visibility)?;
        self.once(ARE_JOINED, Self::join_merged_names)?;
        self.once(ARE_PRESCRIBERS_FOUND, Self::find_prescribers)?;
        self.once(ARE_REFERENCES_NOTED, Self::note_all_references)
    }

    /// Does something unless it is done, in one commit. `name`: of the number that is 1 from then on.
    fn once(&mut self, name: &str, work: impl FnOnce(&mut Self) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let done = self.sql.query_integer("SELECT value FROM counter WHERE name = ?1", &[name.into()])?;
        if done.is_some() {
            return Ok(());
        }
        self.job(|batch| {
            work(batch)?;
            batch.sql.execute("INSERT INTO counter (name, value) VALUES (?1, 1)", &[name.into()])?;
            Ok(())
        })
    }

    /// Routes what is there, which a large store takes minutes for.
    fn route_by_visibility(&mut self) -> Result<(), StoreError> {
        // Stores first, then who sees whom: what follows from these is ready when the rest comes.
        let narrow = |data_type| matches!(data_type, DataType::CentralStore | DataType::Name);
        let tables = self.catalogue.tables().filter(|table| narrow(table.data_type())).map(Table::name);
        let rest = tables.filter(|name| ![STORE_TABLE, JOIN_TABLE].contains(name));
        let names: Vec<String> = [STORE_TABLE, JOIN_TABLE].into_iter().chain(rest).map(str::to_owned).collect();
        for name in names {
            self.route_table(&name)?;
        }
        for (store, site) in self.stores_given()? {
            self.follow_presence(site, &store)?;
        }
        Ok(())
    }

    fn route_table(&mut self, name: &str) -> Result<(), StoreError> {
        let table = text::table(self.catalogue, name);
        let mut ids = Vec::new();
        let sql = "SELECT id FROM record WHERE table_name = ?1 AND data IS NOT NULL ORDER BY id";
        self.sql.query(sql, &[name.into()], &mut |row| {
            ids.push(text::record_id(row, 0)?);
            Ok(ControlFlow::Continue(()))
        })?;
        for id in ids {
            let key: Key = (table.reference().clone(), id.clone());
            let Some(stored) = self.read_record(&key)? else { continue };
            let Some(row) = stored.row else { continue };
            let Some(visible_key) = VisibleKey::of(&table, &id, &row) else { continue };
            let applied = Applied {
                effect: Effect::Write,
                row: Some(row),
                store: None,
                scopes: vec![Scope::Visible],
                visible_key: Some(visible_key),
                parent: None,
                ownership: OwnershipNumber(0),
                is_private: false,
                cancels_waiting: false,
            };
            let author = Author { site: SiteId::CENTRAL, journal: 0, sequence: Sequence::ZERO };
            self.write_record(author, &key, &applied, Some(stored.number))?;
        }
        Ok(())
    }

    /// Hands each record of a table that is here to `work`, with the store that is kept beside it; only those whose data is like a
    /// pattern, if one is given.
    pub(super) fn each_record(
        &mut self,
        name: &str,
        pattern: &str,
        mut work: impl FnMut(&mut Self, &Table, &RecordId, &Row, Option<&RecordId>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let table = text::table(self.catalogue, name);
        let mut after = 0;
        loop {
            let mut found = Vec::new();
            self.sql.query(
                &format!(
                    "SELECT number, id FROM record WHERE table_name = ?1 AND number > ?2 AND data IS NOT NULL
                        AND (?3 = '' OR data LIKE ?3) ORDER BY number LIMIT {RECORDS_TOGETHER}"
                ),
                &[name.into(), after.into(), pattern.into()],
                &mut |row| {
                    found.push((row.integer(0)?, text::record_id(row, 1)?));
                    Ok(ControlFlow::Continue(()))
                },
            )?;
            for (number, id) in &found {
                after = *number;
                let key: Key = (table.reference().clone(), id.clone());
                let Some(stored) = self.read_record(&key)? else { continue };
                if let Some(row) = stored.row {
                    work(self, &table, id, &table.canonical(row), stored.store.as_ref())?;
                }
            }
            if found.len() < RECORDS_TOGETHER {
                return Ok(());
            }
        }
    }

    fn stores_given(&mut self) -> Result<Vec<(RecordId, SiteId)>, StoreError> {
        let mut given = Vec::new();
        self.sql.query("SELECT store, site FROM store_site ORDER BY store", &[], &mut |row| {
            given.push((text::record_id(row, 0)?, text::site(row, 1)?));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(given)
    }
}
