//! What a site receives, as stores and their modes change (`domain.md`, "Central, dispensary"; details, "Scopes").
//!
//! A scope that is gained is read from 0, because the site shows no cursor of it. One that is lost, or is to be read anew, is told in the
//! control lane; until the site has heard that, a cursor of it means nothing: it may be gained again before, and then all of it has to
//! come.

use domain::catalogue::Table;
use domain::scope::Scope;
use domain::store::{STORE_TABLE, is_dispensary};
use protocol::control::{Control, ReadAnew};
use protocol::ids::{RecordId, ScopeId, SiteId};
use protocol::row::Row;
use sql::{Param, SqlExt};

use super::batch::Batch;
use super::error::StoreError;
use super::reading::Reading;
use super::unsigned;

/// Control rows that wait for a site and tell it to read something anew, above which nobody tells it more of these.
const RESYNCS_WAITING_MAX: i64 = 8;

impl Batch<'_> {
    /// Follows a change of a store's record.
    pub(super) fn follow_store(
        &mut self,
        stores: &Table,
        store: &RecordId,
        row: Option<&Row>,
    ) -> Result<(), StoreError> {
        let serves_patients = row.is_some_and(|row| is_dispensary(stores, row));
        if serves_patients == self.state.dispensaries.contains(store) {
            return Ok(());
        }
        let Some(site) = self.state.holdings.get(store).map(|holding| holding.site) else {
            return self.set_dispensary(store, serves_patients);
        };
        // Read before the change: a site that is read after it has only what it is to have.
        self.site(site)?;
        self.set_dispensary(store, serves_patients)?;
        self.change_scopes(site)
    }

    fn set_dispensary(&mut self, store: &RecordId, serves_patients: bool) -> Result<(), StoreError> {
        let key: [Param<'_>; 1] = [store.as_str().into()];
        self.state.has_new_layout = true;
        if serves_patients {
            self.sql.execute("INSERT INTO dispensary (store) VALUES (?1)", &key)?;
            self.state.dispensaries.insert(store.clone());
        } else {
            self.sql.execute("DELETE FROM dispensary WHERE store = ?1", &key)?;
            self.state.dispensaries.remove(store);
        }
        self.follow_prescribed(store)
    }

    /// Works out anew what a site receives, and tells it what it has lost.
    pub(super) fn change_scopes(&mut self, site: SiteId) -> Result<(), StoreError> {
        let scopes = self.state.scopes_of(site);
        let before = std::mem::replace(&mut self.site(site)?.scopes, scopes.clone());
        if let Some(rehearsal) = &mut self.state.rehearsal {
            rehearsal.note_scopes(site, &before);
        }
        if site == SiteId::CENTRAL {
            return Ok(());
        }
        if before != scopes {
            self.state.concerned.rescoped.insert(site);
        }
        for lost in before.into_iter().filter(|scope| !scopes.contains(scope)) {
            self.take_scope(site, lost)?;
        }
        Ok(())
    }

    /// Tells a site to let go of a scope.
    pub(super) fn take_scope(&mut self, site: SiteId, scope: ScopeId) -> Result<(), StoreError> {
        let control = self.tell_dropped(site, &scope)?;
        self.forget_cursor(site, scope, control)
    }

    /// Sends the site at which a store is active once more what it sees and what its dispensaries need: the patients that are visible to
    /// it, with what hangs on them, prescribers and the words of prescriptions among that (`domain.md`, "Resync patient records when the
    /// store is saved"). The site, and whether it was told so: not where it has that to read many times already.
    ///
    /// # Errors
    /// Refused with `unknown_store`, `store_at_central`, `not_enrolled`, `central_heals`.
    pub fn resync_store(&mut self, store: &RecordId) -> Result<(SiteId, bool), StoreError> {
        self.job(|batch| {
            if !batch.is_here(STORE_TABLE, store)? {
                return Err(StoreError::refused("unknown_store", &format!("there is no store {store} at central")));
            }
            let site = batch.state.holdings.holder(store);
            if site == SiteId::CENTRAL {
                let what =
                    format!("store {store} is active at central, which has everything: there is nothing to send");
                return Err(StoreError::refused("store_at_central", &what));
            }
            if !batch.site(site)?.is_enrolled {
                let what = format!(
                    "site {site}, at which store {store} is active, has no device; one that enrols reads everything"
                );
                return Err(StoreError::refused("not_enrolled", &what));
            }
            // What central has lost would go from the site, which is to hand it back.
            batch.refuse_while_healing(&format!("site {site} cannot be sent everything once more yet"))?;
            // A site that does not come is not told the same without end. One that has read it already and has not said so is told anew.
            let anew = Control::ReadAnew(ReadAnew { scope: Scope::Visible.to_id() });
            if batch.rows_like(site, &anew)? >= RESYNCS_WAITING_MAX {
                return Ok((site, false));
            }
            let has = batch.site(site)?.scopes.clone();
            for scope in [Scope::Visible, Scope::DispensarySites].map(|scope| scope.to_id()) {
                if has.contains(&scope) {
                    batch.read_scope_anew(site, scope)?;
                }
            }
            Ok((site, true))
        })
    }

    /// Tells a site to read a scope from 0, of which it is given other rows than before. What it has stays until then.
    pub(super) fn read_scope_anew(&mut self, site: SiteId, scope: ScopeId) -> Result<(), StoreError> {
        let control = self.tell_read_anew(site, &scope)?;
        self.forget_cursor(site, scope, control)
    }

    /// A cursor of the scope means nothing until the site has heard of a control row.
    fn forget_cursor(&mut self, site: SiteId, scope: ScopeId, control: u64) -> Result<(), StoreError> {
        self.sql.execute(
            "INSERT INTO scope_drop (site, scope, control) VALUES (?1, ?2, ?3)
             ON CONFLICT (site, scope) DO UPDATE SET control = excluded.control",
            &[site.0.into(), scope.as_bytes().into(), unsigned(control)],
        )?;
        self.drop_cursor(site, &scope)?;
        self.site(site)?.drops.insert(scope, control);
        Ok(())
    }

    /// What a site shows of a scope next is new.
    pub(super) fn drop_cursor(&mut self, site: SiteId, scope: &ScopeId) -> Result<(), StoreError> {
        let key: [Param<'_>; 2] = [site.0.into(), scope.as_bytes().into()];
        self.sql.execute("DELETE FROM site_cursor WHERE site = ?1 AND scope = ?2", &key)?;
        self.site(site)?.cursors.remove(scope);
        Ok(())
    }

    /// The site has heard of what it lost up to a control row.
    pub(super) fn forget_drops(&mut self, site: SiteId, heard: u64) -> Result<(), StoreError> {
        let drops = &self.site(site)?.drops;
        if drops.is_empty() {
            return Ok(());
        }
        let gone: Vec<ScopeId> =
            drops.iter().filter(|(_, control)| **control <= heard).map(|(scope, _)| scope.clone()).collect();
        for scope in gone {
            let key: [Param<'_>; 2] = [site.0.into(), scope.as_bytes().into()];
            self.sql.execute("DELETE FROM scope_drop WHERE site = ?1 AND scope = ?2", &key)?;
            self.site(site)?.drops.remove(&scope);
        }
        Ok(())
    }

    /// What was not heard of before has other numbers: it is heard with all that is there.
    pub(super) fn renumber_drops(&mut self, site: SiteId, last: u64) -> Result<(), StoreError> {
        if self.site(site)?.drops.is_empty() {
            return Ok(());
        }
        self.sql.execute("UPDATE scope_drop SET control = ?2 WHERE site = ?1", &[site.0.into(), unsigned(last)])?;
        self.site(site)?.drops.values_mut().for_each(|control| *control = last);
        Ok(())
    }
}

impl Reading<'_> {
    /// Whether a dispensary is active at a site.
    pub(super) fn has_dispensary(&mut self, site: SiteId) -> Result<bool, StoreError> {
        let sql = if site == SiteId::CENTRAL {
            "SELECT 1 FROM dispensary LEFT JOIN store_site ON store_site.store = dispensary.store
                WHERE coalesce(store_site.site, ?1) = ?1 LIMIT 1"
        } else {
            "SELECT 1 FROM store_site JOIN dispensary ON dispensary.store = store_site.store WHERE store_site.site = ?1 LIMIT 1"
        };
        Ok(self.sql.query_integer(sql, &[site.0.into()])?.is_some())
    }
}
