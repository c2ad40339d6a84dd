//! Who sees which names and stores, and so what of `Scope::Visible` goes to whom (`domain::visibility`; details, "Scopes").
//!
//! | table | holds |
//! | --- | --- |
//! | `visibility` | the joins that count: which name is visible in which store; `is_reverse` for those that central made itself |
//! | `store_name` | the name of each store |
//! | `store_role` | stores of which a site is to have a collector copy; `is_in_force` while a store that is active there sees it |
//! | `name_alias`, `prescriber_alias` | names that are one, and prescribers, by merges (`aliases`) |
//! | `home_store` | the home store of each patient and prescriber, which sees it without a join (`patients`) |
//! | `prescriber_visibility`, `prescribed` | which prescribers are visible in which store, and who has prescribed there (`prescribers`) |
//! | `site_sees` | what each remote site sees, by key, `*` for a primary, which is given everything; who reads the lane is given the rows with these keys |
//! | `backfill` | keys that a site has come to see, or sees no more, since it began to read, and how far that is carried out |
//!
//! The rule commits first: with the join, or with the store that comes or goes, `site_sees` changes in the same commit, so that whatever is
//! written from then on goes where it has to. What was written before is back-filled when the site comes, in bounded steps, each of
//! which a crash may follow: the rows of the key stand in a lane of the site's own (module `gained`), as records where it sees them and
//! as tombstones where it does not. A row costs one lane row, however many see it; a site that does not come costs one row a key.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use domain::catalogue::Table;
use domain::preference::PREFERENCE_TABLE;
use domain::store::STORE_TABLE;
use domain::visibility::{JOIN_TABLE, Join, PRESCRIBER_JOIN_TABLE, VisibleKey, name_of_store};
use protocol::ids::{RecordId, SiteId};
use protocol::row::Row;
use sql::{Param, SqlExt};

use super::aliases::Aliases;
use super::batch::Batch;
use super::error::StoreError;
use super::mirror::EVERYTHING;
use super::prescribers::knows_prescriber;
use super::reading::Reading;
use super::text;

/// Whether a site sees a name: in a store that is active there or a collector, or because such a store has it, or is its home store.
/// ?1 site, ?2 name.
fn sees_name() -> String {
    let (same, same_keys) = (Aliases::Names.same(), Aliases::Names.same_keys());
    format!(
        "SELECT 1 FROM ({PRESENT}) present
        WHERE EXISTS (SELECT 1 FROM visibility WHERE visibility.store = present.store AND visibility.name IN {same})
           OR EXISTS (SELECT 1 FROM store_name WHERE store_name.store = present.store AND store_name.name = ?2)
           OR EXISTS (SELECT 1 FROM home_store
                WHERE home_store.store = present.store AND home_store.visible_key IN {same_keys}) LIMIT 1"
    )
}

/// What a site has to see to be given a row of a lane: its key, or to be given everything, which prescriptions and users are not part of.
macro_rules! keys_of_lane {
    () => {
        "(lane.visible_key, CASE WHEN lane.visible_key >= 'r' AND lane.visible_key < 's'
            OR lane.visible_key >= 'u' AND lane.visible_key < 'v' THEN lane.visible_key ELSE '*' END)"
    };
}
pub(super) use keys_of_lane;

/// Whether a row of a lane is of a time when prescriptions were shared before, while those are being put into the common lane anew: a
/// header may have left it since, and its lines not.
macro_rules! is_of_earlier_sharing {
    () => {
        "lane.visible_key >= 'r' AND lane.visible_key < 's'
        AND lane.position <= coalesce((SELECT value FROM counter WHERE name = 'prescriptions_shared_behind'), 0)"
    };
}
pub(super) use is_of_earlier_sharing;

/// Stores that are active at a site, or a collector there. ?1 site.
pub(super) const PRESENT: &str = "SELECT store FROM store_site WHERE site = ?1
    UNION ALL SELECT store FROM store_role WHERE site = ?1 AND is_in_force = 1";

/// Whether a store that is active at a site sees a store by its name. ?1 site, ?2 store.
const SEES_STORE: &str = "SELECT 1 FROM store_name JOIN visibility ON visibility.name = store_name.name
        JOIN store_site ON store_site.store = visibility.store
    WHERE store_name.store = ?2 AND store_site.site = ?1 LIMIT 1";

/// A join that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisibilityRow {
    /// Its record.
    pub id: RecordId,
    /// What it says.
    pub join: Join,
    /// Whether central made it, because another one asks for it.
    pub is_made: bool,
}

impl Batch<'_> {
    /// Follows a record of the tables that say who sees what.
    pub(super) fn follow_visibility(
        &mut self,
        table: &Table,
        id: &RecordId,
        row: Option<&Row>,
    ) -> Result<(), StoreError> {
        match table.name() {
            STORE_TABLE => {
                self.follow_local_procurement(table, id, row)?;
                self.follow_store_name(id, row.and_then(|row| name_of_store(table, row)).as_ref())
            }
            PREFERENCE_TABLE => self.follow_preference(table, id, row),
            JOIN_TABLE => self.follow_join(id, row.and_then(|row| Join::of(table, row)).as_ref()),
            PRESCRIBER_JOIN_TABLE => self.follow_prescriber_join(id, row.and_then(|row| Join::of(table, row)).as_ref()),
            _ if table.merges().is_some() => self.follow_merge(table, id, row),
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

    /// What a site sees by the names that a store sees, by its own, by its prescribers, and by the patients and prescribers whose home it
    /// is.
    pub(super) fn follow_names_of(&mut self, site: SiteId, store: &RecordId) -> Result<(), StoreError> {
        let mut names: BTreeSet<RecordId> = self.names_seen_in(store)?;
        names.extend(self.name_of(store)?);
        for name in names {
            self.look_again_at_name(site, &name)?;
        }
        for key in self.at_home_in(store)? {
            self.look_again_at(site, &key)?;
        }
        self.follow_prescribers_of(site, store)
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

    /// A site may see a name now that it did not see, or the other way round, and with it the stores that have it.
    pub(super) fn look_again_at_name(&mut self, site: SiteId, name: &RecordId) -> Result<(), StoreError> {
        for store in self.stores_named(name)? {
            self.look_again(site, &VisibleKey::Store(store))?;
        }
        for name in self.same_as(Aliases::Names, name)? {
            self.look_again(site, &VisibleKey::Name(name))?;
        }
        Ok(())
    }

    /// The same of a prescriber.
    pub(super) fn look_again_at_prescriber(&mut self, site: SiteId, prescriber: &RecordId) -> Result<(), StoreError> {
        for prescriber in self.same_as(Aliases::Prescribers, prescriber)? {
            self.look_again(site, &VisibleKey::Prescriber(prescriber))?;
        }
        Ok(())
    }

    /// A site may see a key now that it did not see, or the other way round, and with a name what goes by that.
    pub(super) fn look_again_at(&mut self, site: SiteId, key: &VisibleKey) -> Result<(), StoreError> {
        match key {
            VisibleKey::Name(name) => self.look_again_at_name(site, name),
            VisibleKey::Prescriber(prescriber) => self.look_again_at_prescriber(site, prescriber),
            VisibleKey::Store(_) | VisibleKey::Prescriptions(_) | VisibleKey::Orders | VisibleKey::MadeOn(_) => {
                self.look_again(site, key)
            }
        }
    }

    /// Compares what a site sees of a key with what was noted, notes it, and what has to be carried out for it.
    pub(super) fn look_again(&mut self, site: SiteId, key: &VisibleKey) -> Result<(), StoreError> {
        let sees = match key {
            VisibleKey::Name(name) => {
                self.sql.query_integer(&sees_name(), &[site.0.into(), name.as_str().into()])?.is_some()
            }
            VisibleKey::Prescriber(prescriber) => {
                self.sql.query_integer(&knows_prescriber(), &[site.0.into(), prescriber.as_str().into()])?.is_some()
            }
            VisibleKey::Store(store) => self.sees_store(site, store)?,
            // They follow their patient.
            VisibleKey::Prescriptions(patient) => return self.look_again(site, &VisibleKey::Name(patient.clone())),
            // The primary sees them, which is given everything.
            VisibleKey::Orders => return Ok(()),
            VisibleKey::MadeOn(maker) => site == *maker,
        };
        self.note_sight(site, key, sees)?;
        match key {
            VisibleKey::Name(name) if self.state.are_prescriptions_shared => {
                // Also of one that was deleted.
                let sees = sees && self.reading().is_patient(name)?;
                self.note_sight(site, &VisibleKey::Prescriptions(name.clone()), sees)
            }
            _ => Ok(()),
        }
    }

    /// Notes whether a site sees a key, and what has to be carried out for it where that has changed.
    fn note_sight(&mut self, site: SiteId, key: &VisibleKey, sees: bool) -> Result<(), StoreError> {
        let text = key.to_text();
        let row: [Param<'_>; 2] = [site.0.into(), (&text).into()];
        let noted = "SELECT 1 FROM site_sees WHERE site = ?1 AND visible_key = ?2";
        if sees == self.sql.query_integer(noted, &row)?.is_some() {
            return Ok(());
        }
        if let Some(rehearsal) = &mut self.state.rehearsal {
            rehearsal.note_sight(site, &text, sees);
        }
        if sees {
            self.sql.execute("INSERT INTO site_sees (site, visible_key) VALUES (?1, ?2)", &row)?;
        } else {
            self.sql.execute("DELETE FROM site_sees WHERE site = ?1 AND visible_key = ?2", &row)?;
        }
        // What is written from now on comes in the common lane; with nothing there yet, nothing is to be back-filled or taken back.
        let sql = "SELECT 1 FROM lane WHERE visible_key = ?1 LIMIT 1";
        let is_empty = self.sql.query_integer(sql, &[(&text).into()])?.is_none();
        if is_empty {
            return Ok(());
        }
        if !self.site(site)?.is_enrolled {
            return self.note_unheard_sight(site);
        }
        self.site(site)?.has_backfill = true;
        self.state.concerned.sites.insert(site);
        self.sql.execute(
            "INSERT INTO backfill (site, visible_key, after, takes_back) VALUES (?1, ?2, 0, 0)
             ON CONFLICT (site, visible_key) DO UPDATE SET after = 0, takes_back = 1",
            &row,
        )?;
        Ok(())
    }

    /// Whether a site sees a store; that it may have a collector copy of it follows from that.
    pub(super) fn sees_store(&mut self, site: SiteId, store: &RecordId) -> Result<bool, StoreError> {
        if self.state.holdings.holder(store) == site {
            return Ok(true);
        }
        let sees = self.sql.query_integer(SEES_STORE, &[site.0.into(), store.as_str().into()])?.is_some();
        self.set_collector_in_force(site, store, sees || self.state.mirror.fills(site))?;
        Ok(sees)
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

    pub(super) fn site_list(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<SiteId>, StoreError> {
        let mut sites = Vec::new();
        self.sql.query(sql, params, &mut |row| {
            sites.push(text::site(row, 0)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(sites)
    }

    /// The name of a store.
    pub(super) fn name_of(&mut self, store: &RecordId) -> Result<Option<RecordId>, StoreError> {
        self.reading().name_of_store(store)
    }

    pub(super) fn stores_named(&mut self, name: &RecordId) -> Result<Vec<RecordId>, StoreError> {
        self.ids("SELECT store FROM store_name WHERE name = ?1 ORDER BY store", name)
    }

    fn names_seen_in(&mut self, store: &RecordId) -> Result<BTreeSet<RecordId>, StoreError> {
        Ok(self.ids("SELECT name FROM visibility WHERE store = ?1", store)?.into_iter().collect())
    }

    pub(super) fn texts(&mut self, sql: &str, of: &RecordId) -> Result<Vec<String>, StoreError> {
        let mut texts = Vec::new();
        self.sql.query(sql, &[of.as_str().into()], &mut |row| {
            texts.push(row.text(0)?.to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(texts)
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
    /// The name of a store.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn name_of_store(&mut self, store: &RecordId) -> Result<Option<RecordId>, StoreError> {
        let sql = "SELECT name FROM store_name WHERE store = ?1";
        Ok(self.sql.query_one(sql, &[store.as_str().into()], |row| text::record_id(row, 0))?)
    }

    /// Whether a site sees a key, or is given everything.
    pub(super) fn sees(&mut self, site: SiteId, key: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM site_sees WHERE site = ?1 AND visible_key IN (?2, ?3) LIMIT 1";
        // Prescriptions a primary is given only where it sees their patients as any site does, and users where it made them.
        let everything = if key.starts_with(['r', 'u']) { key } else { EVERYTHING };
        Ok(self.sql.query_integer(sql, &[site.0.into(), key.into(), everything.into()])?.is_some())
    }

    /// Stores in which a name is visible, and names that are visible in a store, by name and store: `limit` of those behind the join
    /// `after`.
    ///
    /// # Errors
    /// [`StoreError::Sql`]; refused with `unknown_record` if `after` is no join that counts, so that it has no place among them.
    pub fn joins(
        &mut self,
        name: Option<&RecordId>,
        store: Option<&RecordId>,
        after: Option<&RecordId>,
        limit: u32,
    ) -> Result<Vec<VisibilityRow>, StoreError> {
        let columns = "SELECT id, name, store, is_reverse FROM visibility";
        let after = match after {
            Some(id) => {
                let sql = format!("{columns} WHERE id = ?1");
                let Some(found) = self.sql.query_one(&sql, &[id.as_str().into()], read_join)? else {
                    let what = format!("the join {id} does not count any more; list from the beginning");
                    return Err(StoreError::refused("unknown_record", &what));
                };
                Some(found)
            }
            None => None,
        };
        let after = after.as_ref().map_or(("", "", ""), |VisibilityRow { id, join, .. }| {
            (join.name.as_str(), join.store.as_str(), id.as_str())
        });
        let text = |id: Option<&RecordId>| id.map_or("", RecordId::as_str).to_owned();
        let (of_name, of_store) = (text(name), text(store));
        let mut joins = Vec::new();
        self.sql.query(
            &format!(
                "{columns} WHERE {} AND {} AND (name, store, id) > (?3, ?4, ?5) ORDER BY name, store, id LIMIT ?6",
                if name.is_some() { "name = ?1" } else { "?1 = ''" },
                if store.is_some() { "store = ?2" } else { "?2 = ''" },
            ),
            &[(&of_name).into(), (&of_store).into(), after.0.into(), after.1.into(), after.2.into(), limit.into()],
            &mut |row| {
                joins.push(read_join(row)?);
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(joins)
    }
}

fn read_join(row: &dyn sql::Row) -> Result<VisibilityRow, sql::SqlError> {
    Ok(VisibilityRow {
        id: text::record_id(row, 0)?,
        join: Join { name: text::record_id(row, 1)?, store: text::record_id(row, 2)? },
        is_made: row.integer(3)? != 0,
    })
}
