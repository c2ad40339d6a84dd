//! A batch: jobs of many sites in one durable commit, each in a savepoint of its own.

use domain::catalogue::Catalogue;
use protocol::ids::SiteId;
use sql::{Sql, SqlExt};

use super::error::StoreError;
use super::limits::{SITES_CACHED_MAX, StoreLimits};
use super::origin::PeerAddress;
use super::state::{Journal, SiteState, State};
use super::unsigned;

/// The open batch. A call that fails is undone and leaves the rest of the batch as it is.
pub struct Batch<'a> {
    pub(super) sql: &'a mut dyn Sql,
    pub(super) catalogue: &'a Catalogue,
    pub(super) limits: &'a StoreLimits,
    pub(super) state: &'a mut State,
    /// With which tokens are made, so that central knows its own (rule 5.7).
    pub(super) token_secret: &'a [u8; 32],
    pub(super) now_ms: u64,
    /// Where the exchange comes from whose work this is, if anybody says.
    pub(super) address: Option<&'a PeerAddress>,
}

impl Batch<'_> {
    /// Runs one job: all of it or nothing. Jobs may lie in one another.
    ///
    /// # Errors
    /// Those of `work`, and [`StoreError::Sql`].
    pub fn job<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.sql.savepoint("job")?;
        let transfers = self.state.transfers.clone();
        let outcome = work(self).and_then(|value| {
            self.follow_transfers()?;
            self.write_state()?;
            self.sql.release("job")?;
            Ok(value)
        });
        if outcome.is_err() {
            // The first error is the one to tell. Should this fail, the transaction counts as failed and cannot commit.
            if self.sql.rollback_to("job").and_then(|()| self.sql.release("job")).is_ok() {
                self.state.undo(self.sql)?;
                // What lies around this job is not undone.
                self.state.transfers = transfers;
            }
        }
        outcome
    }

    /// Runs a job that judges. Where a record cannot be read that what is accepted leads to, it is run again with each group for itself, so
    /// that only the group is refused which needs it.
    pub(super) fn judging_job<T>(
        &mut self,
        mut work: impl FnMut(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.job(&mut work) {
            Err(StoreError::Unreadable(_)) => {}
            done => return done,
        }
        self.state.is_careful = true;
        let done = self.job(work);
        self.state.is_careful = false;
        done
    }

    /// A site that is there.
    pub(super) fn site(&mut self, site: SiteId) -> Result<&mut SiteState, StoreError> {
        if !self.state.sites.contains_key(&site) {
            let loaded = SiteState::load(self.sql, self.state, site)?
                .ok_or_else(|| StoreError::refused("unknown_site", &format!("central has no site {site}")))?;
            if self.state.sites.len() >= SITES_CACHED_MAX {
                self.write_state()?;
                self.state.sites.clear();
            }
            self.state.sites.insert(site, loaded);
        }
        self.state.touched.insert(site);
        Ok(self.state.sites.get_mut(&site).expect("it was put there just now"))
    }

    /// The journal in which a site's edits come now.
    pub(super) fn active_journal(&mut self, site: SiteId) -> Result<&mut Journal, StoreError> {
        let state = self.site(site)?;
        let is_enrolled = state.is_enrolled || site == SiteId::CENTRAL;
        state
            .journal
            .as_mut()
            .filter(|_| is_enrolled)
            .ok_or_else(|| StoreError::refused("not_enrolled", &super::receive::not_enrolled_text(site)))
    }

    /// Writes what was only counted in memory.
    pub(super) fn write_state(&mut self) -> Result<(), StoreError> {
        if self.state.position != self.state.position_stored {
            self.sql
                .execute("UPDATE counter SET value = ?1 WHERE name = 'position'", &[unsigned(self.state.position)])?;
            self.state.position_stored = self.state.position;
        }
        for id in std::mem::take(&mut self.state.touched) {
            let Some(site) = self.state.sites.get_mut(&id) else { continue };
            if site.control_last != site.control_stored {
                self.sql.execute(
                    "UPDATE site SET control_last = ?2 WHERE id = ?1",
                    &[id.0.into(), unsigned(site.control_last)],
                )?;
                site.control_stored = site.control_last;
            }
            if let Some(journal) = site.journal.as_mut().filter(|journal| journal.is_changed) {
                journal.write(self.sql)?;
                journal.is_changed = false;
            }
        }
        Ok(())
    }

    /// The number of a scope, which is given when the scope is first used.
    pub(super) fn scope_number(&mut self, scope: &domain::scope::Scope) -> Result<i64, StoreError> {
        let id = scope.to_id();
        if let Some(number) = self.state.scopes.get(&id) {
            return Ok(*number);
        }
        let number = self.sql.query_integer("SELECT max(number) FROM scope", &[])?.unwrap_or(0) + 1;
        self.sql.execute(
            "INSERT INTO scope (number, id, name) VALUES (?1, ?2, ?3)",
            &[number.into(), id.as_bytes().into(), (&scope.to_string()).into()],
        )?;
        if let domain::scope::Scope::Gained(site) = scope {
            self.state.gained.insert(number, *site);
        }
        if let domain::scope::Scope::StorePartners(store) = scope {
            self.state.partners.insert(number, store.clone());
        }
        self.state.scopes.insert(id, number);
        // Nobody who waits has the number yet.
        self.state.concerned.is_everyone = true;
        self.state.has_new_layout = true;
        Ok(number)
    }
}
