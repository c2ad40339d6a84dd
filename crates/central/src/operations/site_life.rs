//! The life of a site beside its making: disabled and paused, checked, deleted.

use protocol::ids::SiteId;
use protocol::versions::Versions;
use serde_json::{Value, json};

use super::acting::Acting;
use super::rehearsal;
use super::request::Done;
use super::set_aside::add_size;
use super::sites::{find, find_also_deleted, site_json, sync_state};
use crate::center::Center;
use crate::clock;
use crate::error::{CentralError, Exit};
use crate::store::{Pause, SiteRow, SiteStatus, StoreError};
use crate::wording::count;

/// The device is not taken until the site is enabled.
pub(super) fn disable(center: &Acting<'_>, site: &str) -> Result<Done, CentralError> {
    let site = find(center, site)?;
    let id = site.id;
    let is_new = center.write(move |batch| batch.disable_site(id))?;
    tracing::info!(site = id.0, is_new, "sync of a site was disabled");
    Ok(Done::ok(json!({ "id": id.0, "name": site.name, "is_new": is_new })))
}

/// Takes the device of a disabled site again.
pub(super) fn enable(center: &Acting<'_>, site: &str) -> Result<Done, CentralError> {
    let site = find(center, site)?;
    let id = site.id;
    let is_new = center.write(move |batch| batch.enable_site(id))?;
    tracing::info!(site = id.0, is_new, "sync of a site was enabled");
    Ok(Done::ok(json!({ "id": id.0, "name": site.name, "is_new": is_new, "sync": state_of(center, id)? })))
}

/// The device is not taken for some minutes.
pub(super) fn pause(center: &Acting<'_>, site: &str, minutes: u32) -> Result<Done, CentralError> {
    let site = find(center, site)?;
    let id = site.id;
    let until_ms = center.write(move |batch| batch.pause_site(id, minutes))?;
    let until = clock::date_text(until_ms);
    tracing::info!(site = id.0, until, "a site was paused");
    Ok(Done::ok(json!({ "id": id.0, "name": site.name, "paused_until": until })))
}

/// Ends a pause before its time.
pub(super) fn unpause(center: &Acting<'_>, site: &str) -> Result<Done, CentralError> {
    let site = find(center, site)?;
    let id = site.id;
    let is_new = center.write(move |batch| batch.unpause_site(id))?;
    tracing::info!(site = id.0, is_new, "the pause of a site was ended");
    Ok(Done::ok(json!({ "id": id.0, "name": site.name, "is_new": is_new, "sync": state_of(center, id)? })))
}

/// Deletes a site that has no stores.
pub(super) fn delete(center: &Acting<'_>, site: &str, is_dry_run: bool) -> Result<Done, CentralError> {
    let id = find(center, site)?.id;
    let outcome = rehearsal::run(center, is_dry_run, move |batch| batch.delete_site(id));
    center.key_changed(id);
    let (deleted, forecast) = outcome?;
    if !is_dry_run {
        tracing::info!(site = id.0, name = deleted.name, device = deleted.device, "a site was deleted");
    }
    let answer = json!({
        "id": id.0,
        "name": deleted.name,
        "device": deleted.device,
        "judged_groups": deleted.judged_groups,
        "refused_waiting": deleted.refused_waiting,
        "unsent_entries": deleted.unsent_entries,
        "set_aside": deleted.set_aside_entries,
    });
    Ok(Done::ok(rehearsal::add_to(answer, forecast.as_ref())))
}

/// Whether the device of a site would be taken right now, and if not, why: as an exchange would judge it (seed 003, "Check connection").
pub(super) fn check(center: &Center, site: &str) -> Result<Done, CentralError> {
    let id = find_also_deleted(center, site)?.id;
    let now_ms = clock::wall_ms();
    let (status, claims, healing) = center.read(move |reading| {
        reading.at_once(|reading| {
            let status = reading.site_status(id)?;
            let claims = reading.declined_claims(None)?.into_iter().filter(|claim| claim.site == id).count();
            let is_healing = reading.healing()?.is_some_and(|healing| healing.ended_ms.is_none());
            Ok::<_, StoreError>((status, claims, is_healing))
        })
    })?;
    let Some(status) = status else {
        return Err(CentralError::refused("unknown_site", format!("there is no site {id}"), ""));
    };
    if id == SiteId::CENTRAL {
        let message = "site 1 is central itself, which no device speaks for";
        return Err(CentralError::refused("site_is_central", message, "Name a remote site; `site list` shows all."));
    }
    let obstacles = obstacles(&status.site, now_ms);
    let notes = notes(&status, claims, healing);
    let mut shown = site_json(&status.site, now_ms);
    shown["obstacles"] = obstacles.iter().map(Finding::to_json).collect();
    shown["notes"] = notes.iter().map(Finding::to_json).collect();
    shown["unsent_entries"] = unsent(&status.site).into();
    shown["rows_waiting"] = status.rows_waiting.into();
    shown["control_rows_waiting"] = status.control_rows.into();
    shown["unjudged_entries"] = status.unjudged_entries.into();
    let bytes_max = center.settings().log.set_aside_bytes_max;
    add_size(&mut shown, &status.set_aside, status.waiting_entries, bytes_max);
    let exit = if obstacles.is_empty() { Exit::Ok } else { Exit::Refused };
    Ok(Done { value: shown, exit })
}

/// Something that keeps a site from syncing, or that somebody should know.
struct Finding {
    code: &'static str,
    text: String,
    advice: String,
}

impl Finding {
    fn new(code: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { code, text: text.into(), advice: advice.into() }
    }

    fn to_json(&self) -> Value {
        json!({ "code": self.code, "text": self.text, "advice": self.advice })
    }
}

/// What an exchange of the site's device would be refused with, in the order in which one looks.
fn obstacles(site: &SiteRow, now_ms: u64) -> Vec<Finding> {
    let id = site.id;
    if let Some(deleted_ms) = site.deleted_ms {
        let text = format!("the site was deleted, at {}", clock::date_text(deleted_ms));
        return vec![Finding::new("site_deleted", text, "A site that takes its place is another one: `site add`.")];
    }
    let mut found = Vec::new();
    match site.pause.filter(|pause| pause.is_in_force(now_ms)) {
        Some(Pause::Disabled { since_ms }) => {
            let text = format!("sync is disabled, since {}", clock::date_text(since_ms));
            found.push(Finding::new("site_disabled", text, format!("`site enable {id}`")));
        }
        Some(Pause::Paused { until_ms }) => {
            let text = format!("sync is paused until {}", clock::date_text(until_ms));
            found.push(Finding::new(
                "site_paused",
                text,
                format!("It ends by itself; `site unpause {id}` ends it now."),
            ));
        }
        None => {}
    }
    if let Some(stop) = &site.stop {
        let text = format!("the site is stopped, since {}: {}", clock::date_text(stop.since_ms), stop.reason);
        let advice = format!("`site show {id}` tells the two devices apart; then `site resume {id}`.");
        found.push(Finding::new("site_stopped", text, advice));
    }
    if site.public_key.is_none() {
        let advice = format!("Run `outpost enrol` on its device, with the name {:?} and its password.", site.name);
        found.push(Finding::new("not_enrolled", "no device speaks for the site", advice));
        return found;
    }
    if let Some(proved) = site.proved_generation.filter(|proved| *proved != site.generation) {
        let text = format!(
            "name or password were changed: the device has proved generation {}, and {} counts",
            proved.0, site.generation.0
        );
        let advice = "Run `outpost enrol` on its device with those of now, or put the old ones back (`site edit`).";
        found.push(Finding::new("credentials_changed", text, advice));
    }
    found
}

/// What does not keep the device away, and changes what its next exchange brings.
fn notes(status: &SiteStatus, claims: usize, is_healing: bool) -> Vec<Finding> {
    let site = &status.site;
    let mut found = Vec::new();
    let understood = Versions::OWN;
    if let Some(version) = site.version.filter(|version| !understood.contains(*version)) {
        let older = if version > understood.max { "central" } else { "the agent" };
        let text = format!(
            "its device spoke version {version}, and central understands {} to {}: its edits come, and nothing goes to it",
            understood.min, understood.max
        );
        found.push(Finding::new("version", text, format!("Update {older}.")));
    }
    if site.is_challenged {
        let text =
            "a device came with a token that is not known any more, and is asked who it is with its next request";
        found.push(Finding::new("challenge", text, ""));
    }
    if let Some(ahead_ms) = site.ahead_ms.filter(|_| site.healed_ms.is_none()) {
        let text = format!(
            "since {} it is known to have heard more than central remembers, and heals with it",
            clock::date_text(ahead_ms)
        );
        found.push(Finding::new("ahead", text, ""));
    }
    if is_healing {
        let text = "central heals since it was set back: no store is given to a site until all have reported";
        found.push(Finding::new("central_heals", text, "`status` says who has not."));
    }
    if claims > 0 {
        let text = format!("it claims {} that central does not give it", count(claims as u64, "store", "stores"));
        found.push(Finding::new("claims", text, "`status` says which, and what to do."));
    }
    if site.last_contact_ms.is_none() {
        found.push(Finding::new("never_seen", "no exchange of it was ever answered", ""));
    }
    found
}

/// Entries that its device had recorded when it came last, and that central has not received.
fn unsent(site: &SiteRow) -> Option<u64> {
    let (_, received, _) = site.journal?;
    Some(site.journal_head?.0.saturating_sub(received.0))
}

fn state_of(center: &Center, id: SiteId) -> Result<Value, CentralError> {
    let site = center.read(move |reading| reading.site(id))?;
    Ok(site.map_or(Value::Null, |site| sync_state(&site, clock::wall_ms()).into()))
}
