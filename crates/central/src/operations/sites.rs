//! Sites and the stores that they hold.

use domain::store::NAME_TABLE;
use protocol::ids::{PublicKey, RecordId, SiteId};
use protocol::message::SITE_DELETED;
use serde_json::{Value, json};

use super::acting::Acting;
use super::rehearsal;
use super::request::{Done, SiteToAdd, SiteToEdit};
use super::set_aside::add_size;
use crate::center::Center;
use crate::clock;
use crate::enrolment::salt::NameSalt;
use crate::enrolment::{hash_new_password, is_password};
use crate::error::{CentralError, Exit};
use crate::store::{
    NewSite, Pause, Reading, SeenDevice, SiteEdit, SiteKind, SiteRow, StopDevice, StoreError, StoreRow,
};

/// Seed 003, "Site Name" and "Password".
const CREDENTIALS_WARNING: &str = "The device of this site stops syncing until `outpost enrol` shows it the new name and \
    password, or until the old ones are put back here. It goes on recording, and nothing is lost.";

/// Stores read at once while all are listed.
const STORES_PAGE: u32 = 500;

pub(super) fn add(center: &Acting<'_>, site: SiteToAdd) -> Result<Done, CentralError> {
    let kind = SiteKind::of(&site.kind).filter(|kind| *kind != SiteKind::Central).ok_or_else(|| {
        let message = format!("a site is standalone or mobile, not {:?}", site.kind);
        CentralError::new("site_type", message, "Give --type standalone or --type mobile.", Exit::Usage)
    })?;
    let stores = site.stores.iter().map(|store| record_id(store)).collect::<Result<_, _>>()?;
    let password_hash = hash_new_password(center.settings().passwords, &site.password)?;
    let salt = NameSalt::of_central(center)?.of(&site.name);
    let mut new = NewSite { name: site.name.clone(), code: site.code, kind, password_hash, salt, stores };
    if site.is_dry_run {
        // A store that waits for its old site changes nothing yet: what it comes to is what it brings at once.
        let stores = std::mem::take(&mut new.stores);
        let ((), forecast) = rehearsal::run(center, true, move |batch| {
            let id = batch.add_site(&new)?;
            stores.iter().try_for_each(|store| batch.move_store(store, id, true).map(|_| ()))
        })?;
        return Ok(Done::ok(rehearsal::add_to(json!({ "id": null, "name": site.name }), forecast.as_ref())));
    }
    let makes_own_halves = site.makes_own_halves;
    let id = center.write(move |batch| {
        let id = batch.add_site(&new)?;
        if makes_own_halves {
            batch.set_makes_own_halves(id, true)?;
        }
        Ok(id)
    })?;
    tracing::info!(site = id.0, name = site.name, "a site was added");
    Ok(Done::ok(json!({ "id": id.0, "name": site.name })))
}

/// Name and password that the site had before bring their generation back, so that devices that proved them go on.
pub(super) fn edit(center: &Acting<'_>, edit: SiteToEdit) -> Result<Done, CentralError> {
    let site = find(center, &edit.site)?;
    let id = site.id;
    let earlier = center.read(move |reading| reading.credentials(id))?;
    let name = edit.name.as_ref().unwrap_or(&site.name);
    let is_same = |hash: &str| match &edit.password {
        Some(password) => is_password(hash, password),
        None => hash == site.password_hash,
    };
    let restored = earlier
        .iter()
        .filter(|earlier| earlier.name == *name && is_same(&earlier.password_hash))
        .map(|earlier| earlier.generation)
        .max_by_key(|generation| (*generation == site.generation, *generation));
    let password_hash = match &edit.password {
        Some(password) if restored.is_none() => Some(hash_new_password(center.settings().passwords, password)?),
        _ => None,
    };
    let change = SiteEdit { seen: site.generation, name: edit.name, code: edit.code, password_hash, restored };
    let makes_own_halves = edit.makes_own_halves;
    let generation = center.write(move |batch| {
        let generation = batch.edit_site(id, &change)?;
        if let Some(is_on) = makes_own_halves {
            batch.set_makes_own_halves(id, is_on)?;
        }
        Ok(generation)
    })?;
    let has_changed = generation != site.generation;
    tracing::info!(site = id.0, generation = generation.0, has_changed, "a site was edited");
    let warning = (has_changed && restored.is_none()).then_some(CREDENTIALS_WARNING);
    Ok(Done::ok(json!({
        "id": id.0,
        "credential_generation": generation.0,
        "credentials_changed": has_changed,
        "credentials_restored": has_changed && restored.is_some(),
        "warning": warning,
    })))
}

pub(super) fn reset_hardware(center: &Acting<'_>, site: &str) -> Result<Done, CentralError> {
    let site = find(center, site)?;
    let id = site.id;
    let retired = center.write(move |batch| batch.reset_hardware(id));
    center.key_changed(id);
    let device = retired?.map(|key| key.fingerprint());
    if let Some(device) = &device {
        tracing::info!(site = id.0, device, "the binding of a site was reset");
        // Nobody comes any more whose next exchange would do it.
        center.judge_later(id);
    }
    Ok(Done::ok(json!({ "id": id.0, "name": site.name, "device": device })))
}

pub(super) fn list(center: &Center, is_with_deleted: bool) -> Result<Done, CentralError> {
    let bytes_max = center.settings().log.set_aside_bytes_max;
    let sites = center.read(move |reading| {
        reading.at_once(|reading| {
            let mut sites = all(reading)?;
            if is_with_deleted {
                sites.extend(reading.deleted_sites()?);
                sites.sort_by_key(|site| site.id);
            }
            sites.iter().map(|site| with_stores(reading, site, bytes_max)).collect::<Result<Vec<_>, StoreError>>()
        })
    })?;
    Ok(Done::ok(json!({ "sites": sites })))
}

pub(super) fn show(center: &Center, site: &str) -> Result<Done, CentralError> {
    let site = find_also_deleted(center, site)?;
    let bytes_max = center.settings().log.set_aside_bytes_max;
    Ok(Done::ok(center.read(move |reading| with_stores(reading, &site, bytes_max))?))
}

pub(super) fn resume(center: &Acting<'_>, site: &str, device: Option<&str>) -> Result<Done, CentralError> {
    let site = find(center, site)?.id;
    let chosen = device.map(|word| {
        StopDevice::of(word).ok_or_else(|| {
            let message = format!("--device is answered_last or dead_token, not {word:?}");
            CentralError::new("stop_device", message, "`site show` says what is known of both.", Exit::Usage)
        })
    });
    let chosen = chosen.transpose()?;
    let stop = center.write(move |batch| match chosen {
        Some(device) => batch.choose_device(site, device),
        None => batch.resume_site(site),
    })?;
    let device = chosen.map(StopDevice::as_str);
    tracing::info!(site = site.0, code = stop.code, device, "a stopped site goes on");
    Ok(Done::ok(json!({
        "site": site.0,
        "device": device,
        "stopped": clock::date_text(stop.since_ms),
        "reason": stop.reason,
    })))
}

pub(super) fn list_stores(center: &Center) -> Result<Done, CentralError> {
    let (mut stores, names, moves) = center.read(|reading| {
        reading.at_once(|reading| {
            let moves: std::collections::BTreeMap<_, _> =
                reading.store_moves()?.into_iter().map(|moving| (moving.store, moving.to)).collect();
            let names: std::collections::BTreeMap<_, _> =
                all(reading)?.into_iter().map(|site| (site.id, site.name)).collect();
            let mut stores: Vec<(StoreRow, Value, Value)> = Vec::new();
            loop {
                let page = reading.stores(stores.last().map(|(store, ..)| &store.id), STORES_PAGE)?;
                let is_last = page.len() < STORES_PAGE as usize;
                for store in page {
                    let record: Value = serde_json::from_str(&store.data).unwrap_or_default();
                    let name = shown_name(reading, &store.id, &record)?;
                    stores.push((store, record, name));
                }
                if is_last {
                    return Ok((stores, names, moves));
                }
            }
        })
    })?;
    stores.sort_by(|(left, ..), (right, ..)| (left.site, &left.id).cmp(&(right.site, &right.id)));
    let stores: Vec<Value> = stores
        .iter()
        .map(|(store, record, name)| {
            json!({
                "id": store.id.as_str(),
                "name": name,
                "code": record.get("code"),
                "site": store.site.0,
                "site_name": names.get(&store.site),
                "ownership": store.ownership.0,
                "moves_to": moves.get(&store.id).map(|site| site.0),
            })
        })
        .collect();
    Ok(Done::ok(json!({ "stores": stores })))
}

/// The name of a store for people: the one in its record, else that of the name which is its own; null without either.
fn shown_name(reading: &mut Reading<'_>, store: &RecordId, record: &Value) -> Result<Value, StoreError> {
    if let Some(name) = record.get("name").filter(|name| name.as_str().is_some_and(|name| !name.is_empty())) {
        return Ok(name.clone());
    }
    let Some(name) = reading.name_of_store(store)? else { return Ok(Value::Null) };
    let data = reading.record(NAME_TABLE, &name)?.and_then(|record| record.data);
    let record: Value = data.and_then(|data| serde_json::from_str(&data).ok()).unwrap_or_default();
    Ok(record.get("name").cloned().unwrap_or_default())
}

/// Every site, central first.
pub(super) fn all(reading: &mut Reading<'_>) -> Result<Vec<SiteRow>, StoreError> {
    let central = reading.site(SiteId::CENTRAL)?;
    Ok(central.into_iter().chain(reading.sites()?).collect())
}

/// A site as it is shown; never its password's hash.
pub(super) fn site_json(site: &SiteRow, now_ms: u64) -> Value {
    let pause = site.pause.filter(|pause| pause.is_in_force(now_ms));
    json!({
        "id": site.id.0,
        "name": site.name,
        "code": site.code,
        "type": site.effective_kind().as_str(),
        "intended_type": site.kind.as_str(),
        "reported_type": site.reported_kind.map(SiteKind::as_str),
        "sync": sync_state(site, now_ms),
        "disabled": match pause {
            Some(Pause::Disabled { since_ms }) => Some(clock::date_text(since_ms)),
            _ => None,
        },
        "paused_until": match pause {
            Some(Pause::Paused { until_ms }) => Some(clock::date_text(until_ms)),
            _ => None,
        },
        "deleted": site.deleted_ms.map(clock::date_text),
        "is_enrolled": site.public_key.is_some(),
        "public_key": site.public_key.map(|key| key.to_string()),
        "device": site.public_key.as_ref().map(PublicKey::fingerprint),
        "bound": site.bound_ms.map(clock::date_text),
        "binding": site.public_key.and(site.hardware.as_ref()).map(|hardware| hardware.strength().as_str()),
        "credential_generation": site.generation.0,
        "enrolled": site.enrolled_ms.map(clock::date_text),
        "last_contact": site.last_contact_ms.map(clock::date_text),
        "last_address": site.last_address,
        "last_in_step": site.last_drained_ms.map(clock::date_text),
        "journal": site.journal.map(|(id, _, _)| id.to_string()),
        "received": site.journal.map(|(_, received, _)| received.0),
        "judged": site.journal.map(|(_, _, judged)| judged.0),
        "ahead": site.ahead_ms.map(clock::date_text),
        "healed": site.healed_ms.map(clock::date_text),
        "stopped": site.stop.as_ref().map(|stop| clock::date_text(stop.since_ms)),
        "makes_own_halves": site.makes_own_halves,
        "stop_code": site.stop.as_ref().map(|stop| &stop.code),
        "stop_reason": site.stop.as_ref().map(|stop| &stop.reason),
    })
}

/// Whether the site syncs, in one word.
pub(super) fn sync_state(site: &SiteRow, now_ms: u64) -> &'static str {
    match site.pause.filter(|pause| pause.is_in_force(now_ms)) {
        _ if site.deleted_ms.is_some() => "deleted",
        Some(Pause::Disabled { .. }) => "disabled",
        Some(Pause::Paused { .. }) => "paused",
        None if site.stop.is_some() => "stopped",
        None => "on",
    }
}

fn with_stores(reading: &mut Reading<'_>, site: &SiteRow, set_aside_bytes_max: u64) -> Result<Value, StoreError> {
    let stores = reading.stores_of(site.id)?;
    let mut shown = site_json(site, clock::wall_ms());
    let (waiting, aside) = (reading.waiting_count(site.id)?, reading.set_aside_size(site.id)?);
    add_size(&mut shown, &aside, waiting, set_aside_bytes_max);
    shown["retired_keys"] = reading.retired_keys(site.id)?.len().into();
    shown["stop_devices"] = reading.stop_devices(site.id)?.iter().map(stop_device_json).collect();
    for (name, value) in super::verify::shown(reading, site.id)? {
        shown[name] = value;
    }
    shown["stores"] = stores.iter().map(|(store, _)| Value::from(store.as_str())).collect();
    Ok(shown)
}

/// One of the two devices because of which a site stopped.
fn stop_device_json(device: &SeenDevice) -> Value {
    json!({
        "which": device.which.as_str(),
        "seen": clock::date_text(device.seen_ms),
        "address": device.address,
        "journal": device.journal.map(|journal| journal.to_string()),
        "journal_head": device.head.map(|head| head.0),
    })
}

/// A site that is there, by its name or else by its id: names are free text, so a name of digits counts as a name.
pub(super) fn find(center: &Center, wanted: &str) -> Result<SiteRow, CentralError> {
    let site = find_also_deleted(center, wanted)?;
    match site.deleted_ms {
        None => Ok(site),
        Some(deleted_ms) => {
            let at = clock::date_text(deleted_ms);
            let message = format!("site {} ({:?}) was deleted, at {at}", site.id, site.name);
            let advice = "`site show` and `set-aside list` show what is kept of it; its id is never given again.";
            Err(CentralError::refused(SITE_DELETED, message, advice))
        }
    }
}

/// The same, or one that was deleted, by its id.
pub(super) fn find_also_deleted(center: &Center, wanted: &str) -> Result<SiteRow, CentralError> {
    let name = wanted.to_owned();
    let found = center.read(move |reading| find_in(reading, &name))?;
    found.ok_or_else(|| {
        let message = format!("there is no site {wanted:?}");
        CentralError::refused("unknown_site", message, "`site list` shows all sites.")
    })
}

/// The same, where it need not be there.
pub(super) fn find_in(reading: &mut Reading<'_>, wanted: &str) -> Result<Option<SiteRow>, StoreError> {
    let by_name = reading.site_by_name(wanted)?;
    match wanted.parse() {
        Ok(id) if by_name.is_none() => reading.site(SiteId(id)),
        _ => Ok(by_name),
    }
}

pub(super) fn record_id(text: &str) -> Result<RecordId, CentralError> {
    RecordId::new(text).map_err(|error| {
        CentralError::new("record_id_length", error.to_string(), "Give the id of the record.", Exit::Usage)
    })
}
