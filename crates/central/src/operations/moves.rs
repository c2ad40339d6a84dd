//! `store add`, `store remove` and what is on its way between sites.

use protocol::ids::{RecordId, SiteId};
use serde_json::{Value, json};

use super::acting::Acting;
use super::rehearsal;
use super::request::Done;
use super::sites::{find, record_id, sync_state};
use crate::center::Center;
use crate::clock;
use crate::error::CentralError;
use crate::store::{Forecast, Moved, SiteRow, StoreMove};

/// Lets a store be active at a site.
pub(super) fn add(
    center: &Acting<'_>,
    store: &str,
    site: &str,
    is_at_once: bool,
    is_dry_run: bool,
) -> Result<Done, CentralError> {
    let id = record_id(store)?;
    let site = find(center, site)?.id;
    go(center, &id, site, is_at_once, is_dry_run)
}

/// Lets a store be active at central.
pub(super) fn remove(
    center: &Acting<'_>,
    store: &str,
    is_at_once: bool,
    is_dry_run: bool,
) -> Result<Done, CentralError> {
    go(center, &record_id(store)?, SiteId::CENTRAL, is_at_once, is_dry_run)
}

/// Leaves a store that moves at the site that it comes from.
pub(super) fn call_off(center: &Acting<'_>, store: &str) -> Result<Done, CentralError> {
    let id = record_id(store)?;
    let asked = id.clone();
    let (site, moved) = center.write(move |batch| batch.call_off_move(&asked))?;
    done(center, &id, site, moved, None)
}

/// What is on its way.
pub(super) fn list(center: &Center) -> Result<Done, CentralError> {
    let now_ms = clock::wall_ms();
    let moves = center.read(move |reading| {
        reading.at_once(|reading| {
            let mut moves = Vec::new();
            for moving in reading.store_moves()? {
                let site = reading.site(moving.waits_for())?;
                moves.push(move_with_state(&moving, site.as_ref(), now_ms));
            }
            Ok(moves)
        })
    })?;
    Ok(Done::ok(json!({ "moves": moves })))
}

/// A store on its way, and whether the site that it waits for may sync.
pub(super) fn move_with_state(moving: &StoreMove, waits_for: Option<&SiteRow>, now_ms: u64) -> Value {
    let mut shown = move_json(moving);
    shown["waits_for_sync"] = waits_for.map(|site| sync_state(site, now_ms)).into();
    shown
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

fn go(
    center: &Acting<'_>,
    store: &RecordId,
    site: SiteId,
    is_at_once: bool,
    is_dry_run: bool,
) -> Result<Done, CentralError> {
    let asked = store.clone();
    let (moved, _) = rehearsal::run(center, is_dry_run, move |batch| batch.move_store(&asked, site, is_at_once))?;
    if !is_dry_run {
        return done(center, store, site, moved, None);
    }
    // A store that waits for its old site changes nothing yet: what it comes to is what it brings at once.
    let asked = store.clone();
    let (_, forecast) = rehearsal::run(center, true, move |batch| batch.move_store(&asked, site, true))?;
    done(center, store, site, moved, forecast.as_ref())
}

/// What became of a store that was to be active at a site.
fn done(
    center: &Center,
    store: &RecordId,
    site: SiteId,
    moved: Moved,
    forecast: Option<&Forecast>,
) -> Result<Done, CentralError> {
    let (outcome, waits_for) = match moved {
        Moved::Held => ("held", None),
        Moved::Unchanged => ("unchanged", None),
        Moved::UnderWay { phase, site } => (phase.as_str(), Some(site)),
    };
    if forecast.is_none() {
        tracing::info!(store = store.as_str(), site = site.0, outcome, "a store was to go to a site");
    }
    let to = center.read(move |reading| reading.site(site))?;
    let waits_for = match waits_for {
        Some(site) => center.read(move |reading| reading.site(site))?,
        None => None,
    };
    let answer = json!({
        "store": store.as_str(),
        "site": site.0,
        "site_name": to.map(|site| site.name),
        "outcome": outcome,
        "waits_for_site": waits_for.as_ref().map(|site| site.id.0),
        "waits_for_name": waits_for.as_ref().map(|site| &site.name),
        "waits_for_sync": waits_for.as_ref().map(|site| sync_state(site, clock::wall_ms())),
        "is_enrolled": waits_for.as_ref().map(|site| site.public_key.is_some()),
    });
    Ok(Done::ok(rehearsal::add_to(answer, forecast)))
}
