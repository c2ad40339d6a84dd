//! What a store is to whom: who writes its data, what it is on which site, and what waits for whom.

use domain::procurement::Procurement;
use domain::scope::Scope;
use domain::store::STORE_TABLE;
use domain::visibility::VisibleKey;
use domain::withholding::Withheld;
use protocol::ids::{OwnershipNumber, RecordId, SiteId};
use sql::{Param, SqlExt};

use super::error::StoreError;
use super::kept::KeptEntries;
use super::reading::Reading;
use super::roles::Role;
use super::sights::Sight;

/// Rows of a store that are counted for a site which has them still to come: one more says only that there are more.
pub const ROWS_COUNTED_MAX: u64 = 100_000;

/// Sites that are named of those on which a store is anything; the others are counted.
pub const ROLES_NAMED_MAX: usize = 100;

/// What is known of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreExplained {
    /// Whether its record is here; `None` if it never was.
    pub is_here: Option<bool>,
    /// The site that writes its data, and under which number.
    pub holder: (SiteId, OwnershipNumber),
    /// What it is on each site where it is anything, central and the one that holds it first; at most [`ROLES_NAMED_MAX`].
    pub roles: Vec<StoreStanding>,
    /// Further sites on which it is something.
    pub roles_not_named: usize,
    /// What stays on its site.
    pub withheld: Withheld,
    /// How its orders are procured.
    pub procurement: Procurement,
    /// Entries of the site that holds it which are not part of the records: all that wait, and of the refused ones those of this store.
    pub kept: KeptEntries,
    /// Whether the site has more refused entries than were looked at.
    pub has_more_refused: bool,
}

/// What a store is on one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStanding {
    /// The site.
    pub site: SiteId,
    /// Its name.
    pub name: String,
    /// What the store is there.
    pub role: Role,
    /// By what a remote site sees it that does not hold it.
    pub sights: Vec<Sight>,
    /// Whether there are more reasons than these.
    pub has_more_sights: bool,
    /// Rows of the store's data that the site has not said that it has read, counted up to [`ROWS_COUNTED_MAX`]; `None` where it receives
    /// none of them.
    pub rows_waiting: Option<u64>,
}

impl Reading<'_> {
    /// What is known of a store.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn explain_store(&mut self, store: &RecordId) -> Result<StoreExplained, StoreError> {
        let is_here = self.record(STORE_TABLE, store)?.map(|record| record.data.is_some());
        let holder = self.holder_of(store)?.unwrap_or((SiteId::CENTRAL, OwnershipNumber(0)));
        let mut roles = Vec::new();
        let mut all = self.roles_of(store)?;
        let roles_not_named = all.len().saturating_sub(ROLES_NAMED_MAX);
        all.truncate(ROLES_NAMED_MAX);
        for (site, name, role) in all {
            // Central's own copy is what all others are read from.
            let reads = site != SiteId::CENTRAL && matches!(role, Role::Active | Role::Collector);
            let rows_waiting = if reads { Some(self.rows_to_come(site, store)?) } else { None };
            let (sights, has_more_sights) = match role {
                Role::Collector | Role::Transfer if site != SiteId::CENTRAL => {
                    self.sights(site, &VisibleKey::Store(store.clone()))?
                }
                _ => (Vec::new(), false),
            };
            roles.push(StoreStanding { site, name, role, sights, has_more_sights, rows_waiting });
        }
        let (kept, has_more_refused) = self.kept_entries_of_store(holder.0, store)?;
        let (withheld, procurement) = (self.withheld(store)?, self.procurement_of(store)?);
        Ok(StoreExplained { is_here, holder, roles, roles_not_named, withheld, procurement, kept, has_more_refused })
    }

    /// Rows of a store's lane that a site has not shown that it has read, beside those that it wrote itself.
    fn rows_to_come(&mut self, site: SiteId, store: &RecordId) -> Result<u64, StoreError> {
        let scope = Scope::Store(store.clone()).to_id();
        let Some(number) = self.scope_number(&scope)? else { return Ok(0) };
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM lane WHERE scope = ?1
                AND position > coalesce((SELECT number FROM site_cursor WHERE site = ?2 AND scope = ?3), 0)
                AND (echo_journal IS NULL OR echo_journal NOT IN (SELECT number FROM journal WHERE site = ?2))
             LIMIT {})",
            ROWS_COUNTED_MAX + 1
        );
        let params: [Param<'_>; 3] = [number.into(), site.0.into(), scope.as_bytes().into()];
        Ok(self.sql.query_one(&sql, &params, |row| row.unsigned(0))?.unwrap_or(0))
    }
}
