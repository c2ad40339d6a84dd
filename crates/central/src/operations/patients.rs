//! `patient`: home stores.

use serde_json::{Value, json};

use super::request::{Done, LIST_LIMIT_DEFAULT, TransfersToList, check_limit};
use super::sites::record_id;
use crate::center::Center;
use crate::clock;
use crate::error::CentralError;
use crate::store::{HomeStore, HomeTransfer};

/// Gives a patient another home store.
pub(super) fn set_home_store(
    center: &Center,
    patient: &str,
    store: &str,
    is_at_once: bool,
) -> Result<Done, CentralError> {
    let (patient, store) = (record_id(patient)?, record_id(store)?);
    let (asked_patient, asked_store) = (patient.clone(), store.clone());
    let outcome = center.write(move |batch| batch.set_home_store(&asked_patient, &asked_store, is_at_once))?;
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
    tracing::info!(patient = patient.as_str(), store = store.as_str(), outcome = word, "a home store was asked for");
    Ok(Done::ok(json!({
        "patient": patient.as_str(),
        "home_store": store.as_str(),
        "outcome": word,
        "waits_for_site": site.map(|site| site.0),
        "name": name,
    })))
}

/// Patients that are on their way to another home store.
pub(super) fn transfers(center: &Center, which: &TransfersToList) -> Result<Done, CentralError> {
    let limit = which.limit.unwrap_or(LIST_LIMIT_DEFAULT);
    check_limit(limit, "patient")?;
    let after = which.after.as_deref().map(record_id).transpose()?;
    let transfers = center.read(move |reading| reading.home_transfers(after.as_ref(), limit))?;
    let next = transfers.last().filter(|_| transfers.len() == limit as usize).map(|last| last.patient.to_string());
    Ok(Done::ok(json!({ "transfers": transfers.iter().map(transfer_json).collect::<Vec<_>>(), "next": next })))
}

/// A transfer that is on its way.
pub(super) fn transfer_json(transfer: &HomeTransfer) -> Value {
    json!({
        "patient": transfer.patient.as_str(),
        "from": transfer.from.as_str(),
        "to": transfer.to.as_str(),
        "waits_for_site": transfer.site.0,
        "asked": clock::date_text(transfer.asked_ms),
    })
}
