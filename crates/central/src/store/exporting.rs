//! What a file takes to a site, or brings from it.

use protocol::exchange::{ReadRows, Rows};
use protocol::ids::{Epoch, JournalId, Position, ScopeId, SiteId};
use protocol::message::{Cursor, ScopeCursor};

use super::batch::Batch;
use super::error::StoreError;
use super::reading::Reading;

/// A journal that no device has: nothing that is read for it is its own echo.
const NO_JOURNAL: JournalId = JournalId([0; 16]);

/// What an export begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportStart {
    /// Each scope of the site.
    pub scopes: Vec<ScopeId>,
    /// Rows in them for the site.
    pub rows: u64,
    /// Central's epoch.
    pub epoch: Epoch,
    /// Central's head.
    pub position: Position,
}

impl Batch<'_> {
    /// What a site is to have, from the beginning. A site without a device has a lane of its own from then on, in which it shows how far
    /// what it was given goes.
    ///
    /// # Errors
    /// Refused with `unknown_site`, or `site_is_central`.
    pub fn export_start(&mut self, site: SiteId) -> Result<ExportStart, StoreError> {
        if site == SiteId::CENTRAL {
            return Err(StoreError::refused("site_is_central", "site 1 is central itself, which has everything"));
        }
        self.job(|batch| {
            if !batch.site(site)?.is_enrolled {
                batch.own_lane(site)?;
            }
            let scopes: Vec<ScopeId> = batch.site(site)?.scopes.clone();
            let from = |scope: &ScopeId| ScopeCursor { scope: scope.clone(), cursor: Cursor::default() };
            let starts: Vec<ScopeCursor> = scopes.iter().map(from).collect();
            // No journal has the number 0.
            let rows = batch.reading().rows_waiting(site, 0, &starts)?;
            Ok(ExportStart { scopes, rows, epoch: batch.state.epoch, position: Position(batch.state.position) })
        })
    }

    /// One bounded step of what changes of what a site sees; whether there is more. For an answer that is to have all of it.
    ///
    /// # Errors
    /// Refused with `unknown_site`.
    pub fn bring_up_sight(&mut self, site: SiteId) -> Result<bool, StoreError> {
        self.job(|batch| batch.backfill_step(site))
    }
}

impl Reading<'_> {
    /// As [`Reading::read_rows`], for whichever device the site will have.
    ///
    /// # Errors
    /// As [`Reading::read_rows`].
    pub fn export_rows(&mut self, site: SiteId, ask: &ReadRows) -> Result<Rows, StoreError> {
        self.read_rows(site, NO_JOURNAL, ask)
    }
}
