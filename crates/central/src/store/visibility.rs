//! Who sees which names and stores, and so what of [`Scope::Visible`] goes to whom (`domain::visibility`; details, "Scopes").
//!
//! | table | holds |
//! | --- | --- |
//! | `visibility` | the joins that count: which name is visible in which store; `is_reverse` for those that central made itself |
//! | `store_name` | the name of each store |
//! | `store_role` | stores of which a site is to have a collector copy; `is_in_force` while a store that is active there sees it |
//! | `patient_home` | the home store of each patient, which sees it without a join (`patients`) |
//! | `site_sees` | what each remote site sees, by key; who reads the lane is given the rows with these keys |
//! | `backfill` | keys that a site has come to see, or sees no more, since it began to read, and how far that is carried out |
//!
//! The rule commits first: with the join, or with the store that comes or goes, `site_sees` changes in the same commit, so that whatever is
//! written from then on goes where it has to. What was written before is back-filled when the site comes, in bounded steps, each of
//! which a crash may follow: the rows of the key stand in a lane of the site's own, [`Scope::Gained`], as records where it sees them and
//! as tombstones where it does not. A row costs one lane row, however many see it; a site that does not come costs one row a key.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use domain::catalogue::Table;
use domain::scope::Scope;
use domain::visibility::{JOIN_TABLE, Join, VisibleKey, name_of_store};
use protocol::entry::Operation;
use protocol::ids::{RecordId, SiteId};
use protocol::row::Row;
use sql::{Param, SqlExt};

use super::batch::Batch;
use super::error::StoreError;
use super::limits::BACKFILL_STEP_ROWS;
use super::reading::Reading;
use super::{text, unsigned};

/// Whether a site sees a name: in a store that is active there or a collector, or because such a store has it, or is its home store.
/// ?1 site, ?2 name.
const SEES_NAME: &str = "SELECT 1 FROM (
        SELECT store FROM store_site WHERE site = ?1
        UNION ALL SELECT store FROM store_role WHERE site = ?1 AND is_in_force = 1) present
    WHERE EXISTS (SELECT 1 FROM visibility WHERE visibility.store = present.store AND visibility.name = ?2)
       OR EXISTS (SELECT 1 FROM store_name WHERE store_name.store = present.store AND store_name.name = ?2)
       OR EXISTS (SELECT 1 FROM patient_home WHERE patient_home.store = present.store AND patient_home.name = ?2) LIMIT 1";

/// Whether a store that is active at a site sees a store by its name. ?1 site, ?2 store.
const SEES_STORE: &str = "SELECT 1 FROM store_name JOIN visibility ON visibility.name = store_name.name
        JOIN store_site ON store_site.store = visibility.store
    WHERE store_name.store = ?2 AND store_site.site = ?1 LIMIT 1";

impl Batch<'_> {
    /// Follows a record of the tables that say who sees what.
    pub(super) fn follow_visibility(
        &mut self,
        table: &Table,
        id: &RecordId,
        row: Option<&Row>,
    ) -> Result<(), StoreError> {
        match table.name() {
            domain::store::STORE_TABLE => {
                self.follow_store_name(id, row.and_then(|row| name_of_store(table, row)).as_ref())
            }
            JOIN_TABLE => self.follow_join(id, row.and_then(|row| Join::of(table, row)).as_ref()),
            _ => Ok(()),
        }
    }

    /// What a site sees by a store that has come to it or left it.
    pub(super) fn follow_presence(&mut self, site: SiteId, store: &RecordId) -> Result<(), StoreError> {
        if site == SiteId::CENTRAL {
            return Ok(());
        }
        self.look_again(site, &VisibleKey::Store(store.clone()))?;
        self.follow_names_of(site, store)
    }

    /// What a site sees by the names that a store sees, by its own, and by the patients whose home store it is.
    pub(super) fn follow_names_of(&mut self, site: SiteId, store: &RecordId) -> Result<(), StoreError> {
        let mut names: BTreeSet<RecordId> = self.names_seen_in(store)?;
        names.extend(self.name_of(store)?);
        names.extend(self.patients_of(store)?);
        for name in names {
            self.look_again_at_name(site, &name)?;
        }
        Ok(())
    }

    /// Carries out some of what has changed for a site: one bounded step. Whether there is more.
    pub(super) fn backfill_step(&mut self, site: SiteId) -> Result<bool, StoreError> {
        let mut left = if self.site(site)?.has_backfill { BACKFILL_STEP_ROWS } else { 0 };
        while left > 0 {
            let next = self.sql.query_one(
                "SELECT visible_key, after FROM backfill WHERE site = ?1 ORDER BY visible_key LIMIT 1",
                &[site.0.into()],
                |row| Ok((row.text(0)?.to_owned(), row.integer(1)?)),
            )?;
            let Some((key, after)) = next else {
                self.site(site)?.has_backfill = false;
                return Ok(false);
            };
            left = left.saturating_sub(self.backfill_key(site, &key, after, left)?.max(1));
        }
        Ok(self.site(site)?.has_backfill)
    }

    /// Another device speaks for the site, and reads everything from the beginning: what it sees now.
    pub(super) fn forget_backfill(&mut self, site: SiteId) -> Result<(), StoreError> {
        self.sql.execute("DELETE FROM backfill WHERE site = ?1", &[site.0.into()])?;
        self.site(site)?.has_backfill = false;
        if let Some(scope) = self.state.scopes.get(&Scope::Gained(site).to_id()).copied() {
            self.sql.execute("DELETE FROM lane WHERE scope = ?1", &[scope.into()])?;
        }
        Ok(())
    }

    /// Rows of a site's own lane that it has read are of no use any more.
    pub(super) fn prune_gained(&mut self, site: SiteId, through: u64) -> Result<(), StoreError> {
        if let Some(scope) = self.state.scopes.get(&Scope::Gained(site).to_id()).copied() {
            let sql = "DELETE FROM lane WHERE scope = ?1 AND position <= ?2";
            self.sql.execute(sql, &[scope.into(), unsigned(through)])?;
        }
        Ok(())
    }

    /// The row of a record has another key than before: who saw that, or may still be given it, and does not see this is told that it is
    /// gone.
    pub(super) fn take_from_those_who_saw(
        &mut self,
        record: i64,
        before: &VisibleKey,
        after: Option<&VisibleKey>,
    ) -> Result<(), StoreError> {
        let mut sites: BTreeSet<SiteId> = self.own_lanes_of(record)?.into_iter().map(|(_, site)| site).collect();
        let sql =
            "SELECT site FROM site_sees WHERE visible_key = ?1 UNION SELECT site FROM backfill WHERE visible_key = ?1";
        sites.extend(self.site_list(sql, &[(&before.to_text()).into()])?);
        let after = after.map(VisibleKey::to_text);
        for site in sites {
            let sees = match &after {
                Some(key) => self.reading().sees(site, key)?,
                None => false,
            };
            if !sees {
                self.put_gained(site, record, None)?;
            }
        }
        Ok(())
    }

    /// A record was written into the common lane: for the sites that see its key what stands in their own lanes is older, and must not
    /// come after it.
    pub(super) fn forget_gained(&mut self, record: i64, key: &str) -> Result<(), StoreError> {
        for (scope, site) in self.own_lanes_of(record)? {
            if self.reading().sees(site, key)? {
                let sql = "DELETE FROM lane WHERE record = ?1 AND scope = ?2";
                self.sql.execute(sql, &[record.into(), scope.into()])?;
            }
        }
        Ok(())
    }

    /// Lanes of single sites that a record stands in.
    pub(super) fn own_lanes_of(&mut self, record: i64) -> Result<Vec<(i64, SiteId)>, StoreError> {
        let mut own = Vec::new();
        let gained = &self.state.gained;
        self.sql.query("SELECT scope FROM lane WHERE record = ?1", &[record.into()], &mut |row| {
            let scope = row.integer(0)?;
            own.extend(gained.get(&scope).map(|site| (scope, *site)));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(own)
    }

    fn follow_store_name(&mut self, store: &RecordId, name: Option<&RecordId>) -> Result<(), StoreError> {
        let before = self.name_of(store)?;
        if before.as_ref() == name {
            return Ok(());
        }
        let own_joins = self.joins("store = ?1", store)?;
        match name {
            Some(name) => self.sql.execute(
                "INSERT INTO store_name (store, name) VALUES (?1, ?2) ON CONFLICT (store) DO UPDATE SET name = excluded.name",
                &[store.as_str().into(), name.as_str().into()],
            )?,
            None => self.sql.execute("DELETE FROM store_name WHERE store = ?1", &[store.as_str().into()])?,
        };
        for name in before.iter().chain(name) {
            // Whoever sees the name sees the store by it, or does so no more.
            for site in self.sites_around(name, store)? {
                self.look_again_at_name(site, name)?;
                self.look_again(site, &VisibleKey::Store(store.clone()))?;
            }
        }
        // Joins of the name make others in this store, and joins in this store others under its name.
        for name in before.iter().chain(name) {
            for (_, join) in self.joins("name = ?1", name)? {
                self.answer_join(&join)?;
                if let Some(other) = self.name_of(&join.store)? {
                    self.answer_reverse(&Join { name: other, store: store.clone() })?;
                }
            }
        }
        for (_, join) in own_joins {
            for other in self.stores_named(&join.name)? {
                for name in before.iter().chain(name) {
                    self.answer_reverse(&Join { name: name.clone(), store: other.clone() })?;
                }
            }
        }
        Ok(())
    }

    fn follow_join(&mut self, id: &RecordId, join: Option<&Join>) -> Result<(), StoreError> {
        let before = self.joins("id = ?1", id)?.pop().map(|(_, join)| join);
        if before.as_ref() == join {
            // Whoever writes one that central made makes it one by hand.
            return self.mark_by_hand(id);
        }
        self.sql.execute("DELETE FROM visibility WHERE id = ?1", &[id.as_str().into()])?;
        if let Some(join) = join {
            self.sql.execute(
                "INSERT INTO visibility (id, name, store, is_reverse) VALUES (?1, ?2, ?3, ?4)",
                &[
                    id.as_str().into(),
                    join.name.as_str().into(),
                    join.store.as_str().into(),
                    i64::from(self.state.makes_reverse).into(),
                ],
            )?;
        }
        for join in before.iter().chain(join) {
            for site in self.sites_with(&join.store)? {
                self.look_again_at_name(site, &join.name)?;
            }
        }
        for join in before.iter().chain(join) {
            self.answer_join(join)?;
            // One set by hand needs none that central makes; where it goes, another one may ask for that still.
            self.answer_reverse(join)?;
        }
        Ok(())
    }

    fn mark_by_hand(&mut self, id: &RecordId) -> Result<(), StoreError> {
        if !self.state.makes_reverse {
            let sql = "UPDATE visibility SET is_reverse = 0 WHERE id = ?1 AND is_reverse = 1";
            self.sql.execute(sql, &[id.as_str().into()])?;
        }
        Ok(())
    }

    /// Makes what answers a join, or takes it back: in each store of the name the name of the store.
    fn answer_join(&mut self, join: &Join) -> Result<(), StoreError> {
        let Some(name) = self.name_of(&join.store)? else { return Ok(()) };
        for store in self.stores_named(&join.name)? {
            self.answer_reverse(&Join { name: name.clone(), store })?;
        }
        Ok(())
    }

    /// Makes a reverse join if one set by hand asks for it and none by hand is there, else takes it back.
    fn answer_reverse(&mut self, reverse: &Join) -> Result<(), StoreError> {
        let (name, store) = (reverse.name.as_str(), reverse.store.as_str());
        let asked = self.sql.query_integer(
            "SELECT 1 FROM store_name own JOIN visibility ON visibility.name = own.name
                JOIN store_name other ON other.store = visibility.store
             WHERE own.store = ?2 AND other.name = ?1 AND visibility.is_reverse = 0 AND visibility.store <> ?2 LIMIT 1",
            &[name.into(), store.into()],
        )?;
        let there = "SELECT 1 FROM visibility WHERE name = ?1 AND store = ?2 AND is_reverse = ?3 LIMIT 1";
        let by_hand = self.sql.query_integer(there, &[name.into(), store.into(), 0.into()])?;
        let made = self.sql.query_integer(there, &[name.into(), store.into(), 1.into()])?;
        let is_wanted = asked.is_some() && by_hand.is_none();
        if is_wanted == made.is_some() { Ok(()) } else { self.write_reverse(reverse, is_wanted) }
    }

    fn write_reverse(&mut self, reverse: &Join, is_made: bool) -> Result<(), StoreError> {
        let Ok(joins) = self.catalogue.table_by_name(JOIN_TABLE) else { return Ok(()) };
        let key = (joins.reference().clone(), reverse.derived_id());
        let operation = if is_made { Operation::Put(reverse.to_row(joins)) } else { Operation::Delete };
        let outer = std::mem::replace(&mut self.state.makes_reverse, true);
        let written = self.write_as_central(key, operation);
        self.state.makes_reverse = outer;
        match written? {
            Ok(()) => Ok(()),
            Err(reason) => Err(StoreError::Refused(protocol::message::Refusal::new(&reason.code, &reason.text))),
        }
    }

    /// A site may see a name now that it did not see, or the other way round, and with it the stores that have it.
    pub(super) fn look_again_at_name(&mut self, site: SiteId, name: &RecordId) -> Result<(), StoreError> {
        for store in self.stores_named(name)? {
            self.look_again(site, &VisibleKey::Store(store))?;
        }
        self.look_again(site, &VisibleKey::Name(name.clone()))
    }

    /// Compares what a site sees of a key with what was noted, notes it, and what has to be carried out for it.
    fn look_again(&mut self, site: SiteId, key: &VisibleKey) -> Result<(), StoreError> {
        let sees = match key {
            VisibleKey::Name(name) => {
                self.sql.query_integer(SEES_NAME, &[site.0.into(), name.as_str().into()])?.is_some()
            }
            VisibleKey::Store(store) => self.sees_store(site, store)?,
        };
        let text = key.to_text();
        let row: [Param<'_>; 2] = [site.0.into(), (&text).into()];
        if sees == self.reading().sees(site, &text)? {
            return Ok(());
        }
        if sees {
            self.sql.execute("INSERT INTO site_sees (site, visible_key) VALUES (?1, ?2)", &row)?;
        } else {
            self.sql.execute("DELETE FROM site_sees WHERE site = ?1 AND visible_key = ?2", &row)?;
        }
        // What is written from now on comes in the common lane; with nothing there yet, nothing is to be back-filled.
        let sql = "SELECT 1 FROM lane WHERE visible_key = ?1 LIMIT 1";
        let is_empty = sees && self.sql.query_integer(sql, &[(&text).into()])?.is_none();
        if !is_empty && self.site(site)?.is_enrolled {
            self.site(site)?.has_backfill = true;
            self.sql.execute(
                "INSERT INTO backfill (site, visible_key, after) VALUES (?1, ?2, 0)
                 ON CONFLICT (site, visible_key) DO UPDATE SET after = 0",
                &row,
            )?;
        }
        Ok(())
    }

    /// Whether a site sees a store; that it may have a collector copy of it follows from that.
    fn sees_store(&mut self, site: SiteId, store: &RecordId) -> Result<bool, StoreError> {
        if self.state.holdings.get(store).is_some_and(|holding| holding.site == site) {
            return Ok(true);
        }
        let sees = self.sql.query_integer(SEES_STORE, &[site.0.into(), store.as_str().into()])?.is_some();
        self.set_collector_in_force(site, store, sees)?;
        Ok(sees)
    }

    /// One bounded part of a key's rows; how many they were.
    fn backfill_key(&mut self, site: SiteId, key: &str, after: i64, rows_max: u64) -> Result<u64, StoreError> {
        let sees = self.reading().sees(site, key)?;
        let scope = self.scope_number(&Scope::Visible)?;
        let mut records = Vec::new();
        self.sql.query(
            "SELECT record, is_tombstone FROM lane WHERE visible_key = ?1 AND record > ?2 AND scope = ?4
             ORDER BY record LIMIT ?3",
            &[key.into(), after.into(), Param::unsigned(rows_max)?, scope.into()],
            &mut |row| {
                records.push((row.integer(0)?, row.integer(1)? != 0));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        for (record, is_tombstone) in &records {
            // What was deleted before the site saw it never was there.
            if !sees || !is_tombstone {
                self.put_gained(site, *record, sees.then_some(key))?;
            }
        }
        let count = records.len() as u64;
        let place: [Param<'_>; 2] = [site.0.into(), key.into()];
        if let Some((last, _)) = records.last().filter(|_| count >= rows_max) {
            let sql = "UPDATE backfill SET after = ?3 WHERE site = ?1 AND visible_key = ?2";
            self.sql.execute(sql, &[place[0], place[1], (*last).into()])?;
        } else {
            self.sql.execute("DELETE FROM backfill WHERE site = ?1 AND visible_key = ?2", &place)?;
        }
        Ok(count)
    }

    /// Puts a record into a site's own lane, at the head: with the key by which the site sees it, so that it is passed over once the site
    /// does so no more, or as gone.
    fn put_gained(&mut self, site: SiteId, record: i64, key: Option<&str>) -> Result<(), StoreError> {
        let is_new = !self.state.scopes.contains_key(&Scope::Gained(site).to_id());
        let scope = self.scope_number(&Scope::Gained(site))?;
        if is_new {
            self.change_scopes(site)?;
        }
        let position = self.state.next_position().0;
        self.sql.execute("DELETE FROM lane WHERE record = ?1 AND scope = ?2", &[record.into(), scope.into()])?;
        self.sql.execute(
            "INSERT INTO lane (scope, position, record, entered, is_tombstone, echo_journal, visible_key)
             VALUES (?1, ?2, ?3, ?2, ?4, NULL, ?5)",
            &[scope.into(), unsigned(position), record.into(), i64::from(key.is_none()).into(), key.into()],
        )?;
        Ok(())
    }

    /// Remote sites at which a store is active or a collector.
    pub(super) fn sites_with(&mut self, store: &RecordId) -> Result<Vec<SiteId>, StoreError> {
        let sql = "SELECT site FROM store_site WHERE store = ?1 AND site > 1
            UNION SELECT site FROM store_role WHERE store = ?1 AND is_in_force = 1 ORDER BY site";
        self.site_list(sql, &[store.as_str().into()])
    }

    /// Remote sites that may see a name, or a store that has it: where it is visible in some store, and where the store itself is.
    fn sites_around(&mut self, name: &RecordId, store: &RecordId) -> Result<Vec<SiteId>, StoreError> {
        let sql = "SELECT site FROM store_site WHERE site > 1 AND (store = ?2
                OR store IN (SELECT store FROM visibility WHERE name = ?1))
            UNION SELECT site FROM store_role WHERE store = ?2
                OR store IN (SELECT store FROM visibility WHERE name = ?1) ORDER BY site";
        self.site_list(sql, &[name.as_str().into(), store.as_str().into()])
    }

    fn site_list(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<SiteId>, StoreError> {
        let mut sites = Vec::new();
        self.sql.query(sql, params, &mut |row| {
            sites.push(text::site(row, 0)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(sites)
    }

    /// The name of a store.
    pub(super) fn name_of(&mut self, store: &RecordId) -> Result<Option<RecordId>, StoreError> {
        let sql = "SELECT name FROM store_name WHERE store = ?1";
        Ok(self.sql.query_one(sql, &[store.as_str().into()], |row| text::record_id(row, 0))?)
    }

    fn stores_named(&mut self, name: &RecordId) -> Result<Vec<RecordId>, StoreError> {
        self.ids("SELECT store FROM store_name WHERE name = ?1 ORDER BY store", name)
    }

    fn names_seen_in(&mut self, store: &RecordId) -> Result<BTreeSet<RecordId>, StoreError> {
        Ok(self.ids("SELECT name FROM visibility WHERE store = ?1", store)?.into_iter().collect())
    }

    pub(super) fn ids(&mut self, sql: &str, of: &RecordId) -> Result<Vec<RecordId>, StoreError> {
        let mut ids = Vec::new();
        self.sql.query(sql, &[of.as_str().into()], &mut |row| {
            ids.push(text::record_id(row, 0)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(ids)
    }

    /// The joins that count, with their ids.
    fn joins(&mut self, which: &str, of: &RecordId) -> Result<Vec<(RecordId, Join)>, StoreError> {
        let mut joins = Vec::new();
        let sql = format!("SELECT id, name, store FROM visibility WHERE {which} ORDER BY id");
        self.sql.query(&sql, &[of.as_str().into()], &mut |row| {
            let join = Join { name: text::record_id(row, 1)?, store: text::record_id(row, 2)? };
            joins.push((text::record_id(row, 0)?, join));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(joins)
    }
}

impl Reading<'_> {
    /// Whether a site sees a key.
    pub(super) fn sees(&mut self, site: SiteId, key: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM site_sees WHERE site = ?1 AND visible_key = ?2";
        Ok(self.sql.query_integer(sql, &[site.0.into(), key.into()])?.is_some())
    }

    /// Rows that changes of what a site sees will bring it.
    pub(super) fn backfill_rows(&mut self, site: SiteId) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM backfill JOIN lane ON lane.visible_key = backfill.visible_key
                JOIN scope ON scope.number = lane.scope
            WHERE backfill.site = ?1 AND lane.record > backfill.after AND scope.id = ?2";
        let visible = Scope::Visible.to_id();
        Ok(self.sql.query_one(sql, &[site.0.into(), visible.as_bytes().into()], |row| row.unsigned(0))?.unwrap_or(0))
    }
}
