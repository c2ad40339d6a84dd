//! What a store is to whom: who writes its data, what it is on which site, and what waits for whom.

use domain::procurement::Procurement;
use domain::scope::Scope;
use domain::store::STORE_TABLE;
use domain::withholding::Withheld;
use protocol::ids::{OwnershipNumber, RecordId, SiteId};
use sql::{Param, SqlExt};

use super::error::StoreError;
use super::kept::KeptEntries;
use super::reading::Reading;
use super::roles::Role;

/// Rows of a store that are counted for a site which has them still to come: one more says only that there are more.
pub const ROWS_COUNTED_MAX: u64 = 100_000;

/// What is known of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreExplained {
    /// Whether its record is here; `None` if it never was.
    pub is_here: Option<bool>,
    /// The site that writes its data, and under which number.
    pub holder: (SiteId, OwnershipNumber),
    /// What it is on each site where it is anything.
    pub roles: Vec<StoreStanding>,
    /// What stays on its site.
    pub withheld: Withheld,
    /// How its orders are procured.
    pub procurement: Procurement,
    /// Entries of the site that holds it which are not part of the records.
    pub kept: KeptEntries,
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
        for (site, name, role) in self.roles_of(store)? {
            // Central's own copy is what all others are read from.
            let reads = site != SiteId::CENTRAL && matches!(role, Role::Active | Role::Collector);
            let rows_waiting = if reads { Some(self.rows_to_come(site, store)?) } else { None };
            roles.push(StoreStanding { site, name, role, rows_waiting });
        }
        let site: [Param<'_>; 1] = [holder.0.0.into()];
        let kept = self.kept_entries(&site, "waiting.site = ?1", "journal.site = ?1")?;
        let (withheld, procurement) = (self.withheld(store)?, self.procurement_of(store)?);
        Ok(StoreExplained { is_here, holder, roles, withheld, procurement, kept })
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
