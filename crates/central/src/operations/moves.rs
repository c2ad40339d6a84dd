//! `store add`, `store remove` and what is on its way between sites.

use protocol::ids::{RecordId, SiteId};
use serde_json::{Value, json};

use super::acting::Acting;
use super::request::Done;
use super::sites::{find, record_id};
use crate::center::Center;
use crate::clock;
use crate::error::CentralError;
use crate::store::{Moved, StoreMove};

/// Lets a store be active at a site.
pub(super) fn add(center: &Acting<'_>, store: &str, site: &str, is_at_once: bool) -> Result<Done, CentralError> {
    let id = record_id(store)?;
    let site = find(center, site)?.id;
    go(center, &id, site, is_at_once)
}

/// Lets a store be active at central.
pub(super) fn remove(center: &Acting<'_>, store: &str, is_at_once: bool) -> Result<Done, CentralError> {
    go(center, &record_id(store)?, SiteId::CENTRAL, is_at_once)
}

/// Leaves a store that moves at the site that it comes from.
pub(super) fn call_off(center: &Acting<'_>, store: &str) -> Result<Done, CentralError> {
    let id = record_id(store)?;
    let asked = id.clone();
    let (site, moved) = center.write(move |batch| batch.call_off_move(&asked))?;
    done(center, &id, site, moved)
}

/// What is on its way.
pub(super) fn list(center: &Center) -> Result<Done, CentralError> {
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is of one lifetime, the closure of any")]
    let moves = center.read(|reading| reading.store_moves())?;
    Ok(Done::ok(json!({ "moves": moves.iter().map(move_json).collect::<Vec<_>>() })))
}

/// A store on its way.
pub(super) fn move_json(moving: &StoreMove) -> Value {
    json!({
        "store": moving.store.as_str(),
        "from": moving.from.0,
        "to": moving.to.0,
        "phase": moving.phase.as_str(),
        "waits_for_site": moving.waits_for().0,
        "asked": clock::date_text(moving.asked_ms),
    })
}

fn go(center: &Acting<'_>, store: &RecordId, site: SiteId, is_at_once: bool) -> Result<Done, CentralError> {
    let asked = store.clone();
    let moved = center.write(move |batch| batch.move_store(&asked, site, is_at_once))?;
    done(center, store, site, moved)
}

/// What became of a store that was to be active at a site.
fn done(center: &Center, store: &RecordId, site: SiteId, moved: Moved) -> Result<Done, CentralError> {
    let (outcome, waits_for) = match moved {
        Moved::Held => ("held", None),
        Moved::Unchanged => ("unchanged", None),
        Moved::UnderWay { phase, site } => (phase.as_str(), Some(site)),
    };
    tracing::info!(store = store.as_str(), site = site.0, outcome, "a store was to go to a site");
    let to = center.read(move |reading| reading.site(site))?;
    let waits_for = match waits_for {
        Some(site) => center.read(move |reading| reading.site(site))?,
        None => None,
    };
    Ok(Done::ok(json!({
        "store": store.as_str(),
        "site": site.0,
        "site_name": to.map(|site| site.name),
        "outcome": outcome,
        "waits_for_site": waits_for.as_ref().map(|site| site.id.0),
        "waits_for_name": waits_for.as_ref().map(|site| &site.name),
        "is_enrolled": waits_for.as_ref().map(|site| site.public_key.is_some()),
    })))
}
