//! `patient` and `prescriber`: home stores.

use serde_json::{Value, json};

use super::acting::Acting;
use super::request::{Done, LIST_LIMIT_DEFAULT, TransfersToList, check_limit};
use super::sites::record_id;
use crate::center::Center;
use crate::clock;
use crate::error::CentralError;
use crate::store::{HomeKind, HomeStore, HomeTransfer};

/// Gives a patient or prescriber another home store.
pub(super) fn set(
    center: &Acting<'_>,
    kind: HomeKind,
    id: &str,
    store: &str,
    is_at_once: bool,
) -> Result<Done, CentralError> {
    let (id, store) = (record_id(id)?, record_id(store)?);
    let (asked_id, asked_store) = (id.clone(), store.clone());
    let outcome = center.write(move |batch| batch.set_home_store(kind, &asked_id, &asked_store, is_at_once))?;
    let (word, site) = match outcome {
        HomeStore::Set => ("set", None),
        HomeStore::Asked(site) => ("asked", Some(site)),
        HomeStore::CalledOff => ("called_off", None),
        HomeStore::Unchanged => ("unchanged", None),
    };
    let name = match site {
        Some(site) => center.read(move |reading| reading.site(site))?.map(|site| site.name),
        None => None,
    };
    tracing::info!(
        kind = kind.as_str(),
        id = id.as_str(),
        store = store.as_str(),
        outcome = word,
        "a home store was asked for"
    );
    Ok(Done::ok(json!({
        "kind": kind.as_str(),
        "id": id.as_str(),
        "home_store": store.as_str(),
        "outcome": word,
        "waits_for_site": site.map(|site| site.0),
        "name": name,
    })))
}

/// Patients or prescribers that are on their way to another home store.
pub(super) fn transfers(center: &Center, which: &TransfersToList) -> Result<Done, CentralError> {
    let (kind, limit) = (which.kind, which.limit.unwrap_or(LIST_LIMIT_DEFAULT));
    check_limit(limit, "id")?;
    let after = which.after.as_deref().map(record_id).transpose()?;
    let transfers = center.read(move |reading| reading.home_transfers(kind, after.as_ref(), limit))?;
    let next = transfers.last().filter(|_| transfers.len() == limit as usize).map(|last| last.id.to_string());
    Ok(Done::ok(json!({ "transfers": transfers.iter().map(transfer_json).collect::<Vec<_>>(), "next": next })))
}

/// A transfer that is on its way.
pub(super) fn transfer_json(transfer: &HomeTransfer) -> Value {
    json!({
        "id": transfer.id.as_str(),
        "from": transfer.from.as_str(),
        "to": transfer.to.as_str(),
        "waits_for_site": transfer.site.0,
        "asked": clock::date_text(transfer.asked_ms),
    })
}
