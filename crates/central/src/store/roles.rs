//! What a store is on a site beside active: collector where somebody asked for it, transfer by visibility (seed 001, "Store setup").
//!
//! A site may be given a collector copy only of a store that a store which is active there sees; while it does not see it any more, the
//! setting rests.

use std::ops::ControlFlow;

use domain::store::STORE_TABLE;
use domain::visibility::VisibleKey;
use domain::withholding::Withheld;
use protocol::ids::{RecordId, SiteId};
use sql::SqlExt;

use super::batch::Batch;
use super::error::StoreError;
use super::reading::Reading;
use super::text;

/// What a store is on a site (`domain.md`, "Words").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Its data may be edited there.
    Active,
    /// A full copy that may be read.
    Collector,
    /// To be a collector once a store that is active there sees it; until then nothing.
    Resting,
    /// Its core data, and the transfers with stores that are active there.
    Transfer,
    /// Nothing.
    None,
}

impl Role {
    /// The word in reports and commands.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Collector => "collector",
            Self::Resting => "resting",
            Self::Transfer => "transfer",
            Self::None => "none",
        }
    }
}

impl Batch<'_> {
    /// Gives a site a collector copy of a store, or takes it back.
    ///
    /// # Errors
    /// Refused with `unknown_site`, `unknown_store`, `store_is_active` there, `central_collects` for central itself, `collector_unseen`,
    /// `too_many_stores`.
    pub fn set_collector(&mut self, store: &RecordId, site: SiteId, is_collector: bool) -> Result<(), StoreError> {
        self.job(|batch| {
            batch.live_site(site)?;
            if site == SiteId::CENTRAL {
                let what = "central has a collector copy of every store that is active elsewhere";
                return Err(StoreError::refused("central_collects", what));
            }
            if !batch.is_here(STORE_TABLE, store)? {
                return Err(StoreError::refused("unknown_store", &format!("there is no store {store} at central")));
            }
            if batch.state.holdings.holder(store) == site {
                let what = format!("store {store} is active at site {site}, which has all of it");
                return Err(StoreError::refused("store_is_active", &what));
            }
            if !is_collector {
                batch.leave_collectors(site, store)?;
                return batch.change_scopes(site);
            }
            if !batch.is_seen(site, store)? {
                let what = format!(
                    "store {store} cannot be a collector on site {site}: no store that is active there sees it; make it visible to one \
                     first (visibility add)"
                );
                return Err(StoreError::refused("collector_unseen", &what));
            }
            batch.check_scopes(site, 1)?;
            batch.sql.execute(
                "INSERT INTO store_role (store, site, is_in_force) VALUES (?1, ?2, 0) ON CONFLICT (store, site) DO NOTHING",
                &[store.as_str().into(), site.0.into()],
            )?;
            batch.set_collector_in_force(site, store, true)
        })
    }

    /// What a store is on a site.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn role_of(&mut self, store: &RecordId, site: SiteId) -> Result<Role, StoreError> {
        let holder = self.state.holdings.holder(store);
        Ok(if holder == site {
            Role::Active
        } else if site == SiteId::CENTRAL {
            self.reading().role_on_central(store)?
        } else if self.state.collects(site, store) {
            Role::Collector
        } else if self.is_seen(site, store)? {
            Role::Transfer
        } else {
            Role::None
        })
    }

    /// The store is active there now: what was set for it beside that is over.
    pub(super) fn leave_collectors(&mut self, site: SiteId, store: &RecordId) -> Result<(), StoreError> {
        let sql = "DELETE FROM store_role WHERE store = ?1 AND site = ?2";
        self.sql.execute(sql, &[store.as_str().into(), site.0.into()])?;
        if self.state.collects(site, store) { self.change_collects(site, store, false) } else { Ok(()) }
    }

    /// Where a site sees a store of which it is to have a collector copy it has one, else not.
    pub(super) fn set_collector_in_force(
        &mut self,
        site: SiteId,
        store: &RecordId,
        is_in_force: bool,
    ) -> Result<(), StoreError> {
        let changed = self.sql.execute(
            "UPDATE store_role SET is_in_force = ?3 WHERE store = ?1 AND site = ?2 AND is_in_force <> ?3",
            &[store.as_str().into(), site.0.into(), i64::from(is_in_force).into()],
        )?;
        if changed == 0 { Ok(()) } else { self.change_collects(site, store, is_in_force) }
    }

    fn change_collects(&mut self, site: SiteId, store: &RecordId, collects: bool) -> Result<(), StoreError> {
        // Read before the change: a site that is read after it has only what it is to have.
        self.site(site)?;
        self.state.set_collects(site, store, collects);
        self.change_scopes(site)?;
        self.follow_names_of(site, store)
    }

    /// Whether a site sees a store, as noted.
    fn is_seen(&mut self, site: SiteId, store: &RecordId) -> Result<bool, StoreError> {
        self.reading().sees(site, &VisibleKey::Store(store.clone()).to_text())
    }
}

impl Reading<'_> {
    /// What a store is on central that is active elsewhere: a collector, unless it keeps its data (`domain.md`, "Store F").
    fn role_on_central(&mut self, store: &RecordId) -> Result<Role, StoreError> {
        Ok(if self.withheld(store)? == Withheld::Data { Role::Transfer } else { Role::Collector })
    }

    /// Stores of which a site has a collector copy.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn collected_by(&mut self, site: SiteId) -> Result<Vec<RecordId>, StoreError> {
        let mut stores = Vec::new();
        let sql = "SELECT store FROM store_role WHERE site = ?1 AND is_in_force = 1 ORDER BY store";
        self.sql.query(sql, &[site.0.into()], &mut |row| {
            stores.push(text::record_id(row, 0)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(stores)
    }

    /// Sites on which a store is anything, with what it is there: central and the active one first.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn roles_of(&mut self, store: &RecordId) -> Result<Vec<(SiteId, String, Role)>, StoreError> {
        let holder =
            self.sql.query_one("SELECT site FROM store_site WHERE store = ?1", &[store.as_str().into()], |row| {
                text::site(row, 0)
            })?;
        let holder = holder.unwrap_or(SiteId::CENTRAL);
        let key = VisibleKey::Store(store.clone()).to_text();
        let on_central = self.role_on_central(store)?;
        let mut roles = Vec::new();
        self.sql.query(
            "SELECT site.id, site.name, coalesce(store_role.is_in_force, 2) FROM site
                LEFT JOIN store_role ON store_role.site = site.id AND store_role.store = ?1
             WHERE site.id = 1 OR site.id = ?3 OR store_role.is_in_force = 0
                OR site.id IN (SELECT site_sees.site FROM site_sees WHERE site_sees.visible_key IN (?2, '*'))
             ORDER BY CASE site.id WHEN 1 THEN 0 WHEN ?3 THEN 1 ELSE 2 END, site.id",
            &[store.as_str().into(), (&key).into(), holder.0.into()],
            &mut |row| {
                let site = text::site(row, 0)?;
                let role = match row.integer(2)? {
                    _ if site == holder => Role::Active,
                    _ if site == SiteId::CENTRAL => on_central,
                    1 => Role::Collector,
                    0 => Role::Resting,
                    _ => Role::Transfer,
                };
                roles.push((site, row.text(1)?.to_owned(), role));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(roles)
    }
}
