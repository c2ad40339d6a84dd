//! The end of a site (seed 003, "Deleting Sync Sites"): only without stores, and never the one of this data file.
//!
//! What central received of the site is judged first, and what waits for a header that can come no more is refused. Then everything goes
//! that a device would need, and nothing that somebody may ask for later: the row stays, so that its id is never given again; its journals
//! stay with their heads and floors, so that another history of them is known for one; refused entries stay in set-aside until they are
//! dismissed; the key stays a retired one, so that its device is told what became of its site. The name becomes free: the row keeps it
//! in `deleted_name`, and has one with a control character instead, which no site can be given.
//!
//! A central that was set back to before the deletion takes the site's device as before, and the site is deleted once more. One that
//! was set back to before the site was made knows neither the site nor its device, and gives its id to the next site that is added.

use std::ops::ControlFlow;

use protocol::ids::SiteId;
use protocol::message::{Refusal, SITE_DELETED};
use sql::SqlExt;

use domain::scope::Scope;

use super::batch::Batch;
use super::binding::RetiredReason;
use super::error::StoreError;
use super::judging::Reason;
use super::mirror::MirrorPhase;
use super::receive::PartsOf;
use super::state::SiteState;
use super::{text, unsigned};
use crate::clock::date_text;
use crate::wording::count;

/// Stores that a refusal names at most.
const STORES_NAMED_MAX: usize = 5;

/// What became of a site that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedSite {
    /// Its name, which is free.
    pub name: String,
    /// The fingerprint of the device that spoke for it.
    pub device: Option<String>,
    /// Groups of entries that were received, and judged only now.
    pub judged_groups: u64,
    /// Entries that waited for headers, and were refused.
    pub refused_waiting: u64,
    /// Entries of its device that central knows of and never received.
    pub unsent_entries: u64,
    /// Refused entries that are kept until somebody dismisses them.
    pub set_aside_entries: u64,
}

/// What the device of a site that was deleted is told.
pub(super) fn deleted(site: SiteId, deleted_ms: u64) -> Refusal {
    let what = format!(
        "site {site} was deleted at central, at {}: nothing of it is taken any more, and what its device has not sent stays there",
        date_text(deleted_ms)
    );
    Refusal::new(SITE_DELETED, &what)
}

impl Batch<'_> {
    /// A site that is there and was not deleted.
    ///
    /// # Errors
    /// Refused with `unknown_site`, `site_deleted`.
    pub(super) fn live_site(&mut self, site: SiteId) -> Result<&mut SiteState, StoreError> {
        let state = self.site(site)?;
        match state.deleted_ms {
            Some(deleted_ms) => Err(StoreError::Refused(deleted(site, deleted_ms))),
            None => Ok(state),
        }
    }

    /// Deletes a site. Its id is never given again, its name is free.
    ///
    /// # Errors
    /// Refused with `unknown_site`, `site_deleted`; `site_is_central`; `site_is_primary` in a mirrored system; `site_has_stores`;
    /// `site_has_moves`; `site_has_home_transfers`; `site_has_claims`; `central_heals`.
    pub fn delete_site(&mut self, site: SiteId) -> Result<DeletedSite, StoreError> {
        self.job(|batch| {
            batch.check_may_go(site)?;
            let sql = "SELECT site.name, contact.head FROM site LEFT JOIN contact ON contact.site = site.id WHERE site.id = ?1";
            let found = batch.sql.query_one(sql, &[site.0.into()], |row| {
                Ok((row.text(0)?.to_owned(), row.optional_unsigned(1)?.unwrap_or(0)))
            })?;
            let (name, head) = found.ok_or_else(|| StoreError::Damaged(format!("site {site} is gone")))?;
            let received = batch.site(site)?.journal.as_ref().map_or(head, |journal| journal.received.0);
            let device = batch.free_of_device(site, RetiredReason::Deleted)?.map(|key| key.fingerprint());
            let judged_groups = batch.judge_the_rest(site)?;
            let reason = Reason::new(SITE_DELETED, "its site was deleted before its header came");
            let refused_waiting = batch.refuse_all_waiting(site, &reason)?;
            batch.forget_what_it_received(site)?;
            batch.mark_deleted(site, &name)?;
            let unsent_entries = head.saturating_sub(received);
            let set_aside_entries = batch.reading().set_aside_size(site)?.entries;
            Ok(DeletedSite { name, device, judged_groups, refused_waiting, unsent_entries, set_aside_entries })
        })
    }

    /// That a site has nothing that somebody would miss.
    fn check_may_go(&mut self, site: SiteId) -> Result<(), StoreError> {
        if site == SiteId::CENTRAL {
            let what = "site 1 is the one of this data folder, central itself, and cannot be deleted";
            return Err(StoreError::refused("site_is_central", what));
        }
        self.live_site(site)?;
        let mirror = self.state.mirror;
        if mirror.phase != MirrorPhase::AtCentral && mirror.site == site {
            let what = format!("site {site} is the primary of this system: end that first (mirror disable)");
            return Err(StoreError::refused("site_is_primary", &what));
        }
        let moving: Vec<String> = self
            .state
            .moves
            .values()
            .filter(|moving| moving.from == site || moving.to == site)
            .map(|moving| moving.store.to_string())
            .collect();
        if !moving.is_empty() {
            let what = format!(
                "{} to site {site} or from it ({}): wait until that is over (store moves), or call it off",
                count(moving.len() as u64, "store is on its way", "stores are on their way"),
                first_of(&moving)
            );
            return Err(StoreError::refused("site_has_moves", &what));
        }
        let stores: Vec<String> = self.state.stores_of(site).map(ToString::to_string).collect();
        if !stores.is_empty() {
            let what = format!(
                "site {site} has {} ({}): take them from it first (store remove, or store add --site ANOTHER)",
                count(stores.len() as u64, "store", "stores"),
                first_of(&stores)
            );
            return Err(StoreError::refused("site_has_stores", &what));
        }
        let transfers = "SELECT count(*) FROM home_transfer WHERE site = ?1";
        let transfers = self.sql.query_one(transfers, &[site.0.into()], |row| row.unsigned(0))?.unwrap_or(0);
        if transfers > 0 {
            let what = format!(
                "{} on the way from site {site} to another home store: wait until that is over (patient transfers, prescriber transfers)",
                count(transfers, "patient or prescriber is", "patients or prescribers are")
            );
            return Err(StoreError::refused("site_has_home_transfers", &what));
        }
        if let Some(claim) = self.reading().declined_claims(None)?.into_iter().find(|claim| claim.site == site) {
            let what = format!(
                "site {site} claims store {}, of which it may have what nobody else has: give it the store, or end the claim first (site \
                 reset-hardware)",
                claim.store
            );
            return Err(StoreError::refused("site_has_claims", &what));
        }
        self.refuse_while_healing(&format!("site {site} cannot be deleted yet"))
    }

    /// Judges everything that was received; how many groups that were.
    fn judge_the_rest(&mut self, site: SiteId) -> Result<u64, StoreError> {
        let mut groups = 0;
        loop {
            let judged = self.judge_site(site, &mut || true)?;
            groups += judged.groups;
            // Nobody reads them, and they are not to hold the next ones up.
            self.sql.execute("DELETE FROM control WHERE site = ?1", &[site.0.into()])?;
            if !judged.has_more || judged.groups == 0 {
                return Ok(groups);
            }
        }
    }

    /// Nothing goes to the site any more.
    fn forget_what_it_received(&mut self, site: SiteId) -> Result<(), StoreError> {
        let mut collected = Vec::new();
        self.sql.query(
            "SELECT store FROM store_role WHERE site = ?1 ORDER BY store",
            &[site.0.into()],
            &mut |row| {
                collected.push(text::record_id(row, 0)?);
                Ok(ControlFlow::Continue(()))
            },
        )?;
        for store in collected {
            self.leave_collectors(site, &store)?;
        }
        self.sql.execute("DELETE FROM site_sees WHERE site = ?1", &[site.0.into()])?;
        // Before the rest: what is still to be carried out would be put into a lane of its own.
        self.sql.execute("DELETE FROM backfill WHERE site = ?1", &[site.0.into()])?;
        self.forget_device(site)?;
        self.sql.execute("DELETE FROM control WHERE site = ?1", &[site.0.into()])?;
        self.drop_parts(PartsOf::Closed(site))?;
        if let Some(lane) = self.state.scopes.get(&Scope::Gained(site).to_id()).copied() {
            self.sql.execute("DELETE FROM lane WHERE scope = ?1", &[lane.into()])?;
        }
        Ok(())
    }

    fn mark_deleted(&mut self, site: SiteId, name: &str) -> Result<(), StoreError> {
        self.set_pause(site, None)?;
        self.sql.execute("DELETE FROM site_credentials WHERE site = ?1", &[site.0.into()])?;
        self.sql.execute("DELETE FROM site_verified WHERE site = ?1", &[site.0.into()])?;
        self.sql.execute(
            "UPDATE site SET deleted_ms = ?2, deleted_name = ?3, name = ?4, password_hash = '' WHERE id = ?1",
            &[site.0.into(), unsigned(self.now_ms), name.into(), (&format!("\u{1}deleted {site}")).into()],
        )?;
        let now_ms = self.now_ms;
        self.site(site)?.deleted_ms = Some(now_ms);
        Ok(())
    }
}

/// The first few of many.
fn first_of(names: &[String]) -> String {
    let first = names.get(..STORES_NAMED_MAX).unwrap_or(names).join(", ");
    if names.len() > STORES_NAMED_MAX { format!("{first}, ...") } else { first }
}
