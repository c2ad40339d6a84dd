//! The authorisation code, which locks sync settings and store preferences (seed 002, "Click to Un-lock"; `domain.md`, "Sites" and
//! "Special cases"). While there is none, nothing is locked.
//!
//! | locked | why |
//! | --- | --- |
//! | `preference set` | "Altering these preferences can have serious consequences for your data" (002) |
//! | `store set-role` on central | store F: central then holds no backup |
//! | `site edit` of name or password | stops the site's sync (003) |
//! | `mirror enable`, `mirror disable` | who is the primary is a sync setting (001, "Sync settings") |
//!
//! Adding sites, moving stores and resetting hardware ask for the role administrator alone, as 003 has it.

use protocol::ids::SiteId;
use serde_json::json;

use super::acting::Acting;
use super::actor::Actor;
use super::request::{Done, Request, SiteToEdit};
use super::sites::find_in;
use crate::center::Center;
use crate::clock;
use crate::enrolment::{Checked, hash_password};
use crate::error::{CentralError, Exit};

const MINUTE_MS: u64 = 60_000;

/// That a verb is not locked for somebody.
///
/// # Errors
/// `locked`.
pub(super) fn check(center: &Center, actor: &Actor, request: &Request) -> Result<(), CentralError> {
    if !is_lockable(center, request)? {
        return Ok(());
    }
    let (name, now_ms) = (actor.name().to_owned(), clock::wall_ms());
    let is_open = center.read(move |reading| {
        Ok(reading.authorisation_code()?.is_none()
            || reading.unlocking(&name)?.is_some_and(|unlocking| unlocking.counts_at(now_ms)))
    })?;
    if is_open {
        return Ok(());
    }
    let message = format!("this is locked behind the authorisation code, which {} has not given of late", actor.name());
    Err(CentralError::refused(
        "locked",
        message,
        "Give the code (`unlock`), then ask again within the minutes that it says.",
    ))
}

fn is_lockable(center: &Center, request: &Request) -> Result<bool, CentralError> {
    if let Request::SiteEdit(SiteToEdit { name, password, .. }) = request {
        return Ok(name.is_some() || password.is_some());
    }
    if let Request::StoreSetRole { site, .. } = request {
        let wanted = site.clone();
        let found = center.read(move |reading| find_in(reading, &wanted))?;
        return Ok(found.is_some_and(|site| site.id == SiteId::CENTRAL));
    }
    Ok(matches!(request, Request::PreferenceSet { .. } | Request::MirrorEnable { .. } | Request::MirrorDisable { .. }))
}

/// Sets the code. Whoever forgot it sets another one on central's machine, so it does not have to be given.
pub(super) fn set(center: &Acting<'_>, code: &str) -> Result<Done, CentralError> {
    check_local(center.actor())?;
    let hash = hash_password(center.settings().passwords, code)?;
    center.write(move |batch| batch.set_authorisation_code(Some(&hash)))?;
    tracing::info!("the authorisation code was set");
    Ok(Done::ok(json!({ "is_set": true })))
}

pub(super) fn clear(center: &Acting<'_>) -> Result<Done, CentralError> {
    check_local(center.actor())?;
    center.write(|batch| batch.set_authorisation_code(None))?;
    tracing::info!("the authorisation code was taken away: nothing is locked");
    Ok(Done::ok(json!({ "is_set": false })))
}

pub(super) fn unlock(center: &Acting<'_>, code: &str) -> Result<Done, CentralError> {
    let actor = center.actor().name().to_owned();
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is of one lifetime, the closure of any")]
    let hash = center.read(|reading| reading.authorisation_code())?;
    let Some(hash) = hash else {
        let message = "there is no authorisation code, and nothing is locked";
        return Err(CentralError::refused("no_authorisation_code", message, "`authorisation-code set` sets one."));
    };
    match center.checks().check(&actor, None, &hash, code) {
        Checked::Right => {}
        Checked::Wrong { .. } => {
            let message = "this is not the authorisation code";
            return Err(CentralError::refused("wrong_authorisation_code", message, "Ask whoever looks after it."));
        }
        Checked::TooSoon { wait_s } => {
            let message = format!("too many wrong codes; try again in {wait_s} s");
            return Err(CentralError::new(
                "too_many_attempts",
                message,
                "Ask whoever looks after the code.",
                Exit::Refused,
            ));
        }
    }
    let minutes = u64::from(center.settings().people.authorisation_minutes);
    let name = actor.clone();
    let until_ms = center.write(move |batch| batch.unlock(&name, &hash, minutes * MINUTE_MS))?;
    tracing::info!(actor, minutes, "the authorisation code was given");
    Ok(Done::ok(json!({ "actor": actor, "until": clock::date_text(until_ms), "minutes": minutes })))
}

pub(super) fn lock(center: &Acting<'_>) -> Result<Done, CentralError> {
    let actor = center.actor().name().to_owned();
    let name = actor.clone();
    center.write(move |batch| batch.lock(&name))?;
    Ok(Done::ok(json!({ "actor": actor })))
}

fn check_local(actor: &Actor) -> Result<(), CentralError> {
    if actor.is_local() {
        return Ok(());
    }
    let message = format!(
        "{} may not change the authorisation code: only the command line on central's machine may",
        actor.name()
    );
    Err(CentralError::refused("not_permitted", message, "Ask whoever looks after that machine."))
}
