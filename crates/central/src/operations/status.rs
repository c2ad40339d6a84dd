//! `status`: sites, what waits for each, and sizes.

use protocol::ids::SiteId;
use serde_json::{Value, json};

use super::acting::Acting;
use super::mirror::mirror_json;
use super::moves::move_with_state;
use super::request::Done;
use super::set_aside::add_size;
use super::sites::{all, site_json};
use super::transfers::counts_json;
use crate::center::Center;
use crate::clock;
use crate::error::CentralError;
use crate::keys;
use crate::store::{DeclinedClaim, Healing, SiteStatus, StoreError, StoreMove};

pub(super) fn status(center: &Center) -> Result<Done, CentralError> {
    let now_ms = clock::wall_ms();
    let (status, healing, claims, moves, mirror, sites, counts, has_code, transfers) = center.read(move |reading| {
        reading.at_once(|reading| {
            let mut sites = Vec::new();
            for site in all(reading)? {
                sites.extend(reading.site_status(site.id)?);
            }
            Ok::<_, StoreError>((
                reading.status()?,
                reading.healing()?,
                reading.declined_claims(None)?,
                reading.store_moves()?,
                mirror_json(reading)?,
                sites,
                reading.record_counts()?,
                reading.authorisation_code()?.is_some(),
                reading.transfer_counts(now_ms)?,
            ))
        })
    })?;
    let tables: serde_json::Map<String, Value> =
        counts.into_iter().map(|(table, count)| (table, count.into())).collect();
    let move_of = |moving: &StoreMove| {
        let waits_for = sites.iter().map(|status| &status.site).find(|site| site.id == moving.waits_for());
        move_with_state(moving, waits_for, now_ms)
    };
    Ok(Done::ok(json!({
        "copy_of": copy_json(center),
        "authorisation_code": if has_code { "set" } else { "none" },
        "healing": healing.as_ref().map(healing_json),
        "claims": claims.iter().map(claim_json).collect::<Vec<_>>(),
        "moves": moves.iter().map(move_of).collect::<Vec<_>>(),
        "transfers": counts_json(transfers),
        "mirror": mirror,
        "epoch": format!("{:016x}", status.epoch.0),
        "position": status.position.0,
        "remote_sites": status.sites,
        "records": status.records,
        "records_by_table": tables,
        "waiting_entries": status.waiting_entries,
        "set_aside": status.set_aside.entries,
        "set_aside_late": status.set_aside.late,
        "set_aside_bytes": status.set_aside.bytes,
        "set_aside_dropped": status.set_aside.dropped_entries,
        "log_entries": status.log_entries,
        "waiting_for_news": center.news().count(),
        "database_bytes": database_bytes(center),
        "sites": sites.iter().map(|site| site_status_json(center, site)).collect::<Vec<_>>(),
    })))
}

/// Goes on without the sites that have not reported.
pub(super) fn end_healing(center: &Acting<'_>) -> Result<Done, CentralError> {
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is of one lifetime, the closure of any")]
    let waived = center.write(|batch| batch.end_healing())?;
    tracing::warn!(sites = waived, "an operator ended healing: nobody waits any more for sites that have not reported");
    Ok(Done::ok(json!({ "sites_waived": waived })))
}

fn healing_json(healing: &Healing) -> Value {
    json!({
        "since": clock::date_text(healing.since_ms),
        "ended": healing.ended_ms.map(clock::date_text),
        "is_ended_by_operator": healing.is_ended_by_operator,
        "sites_ahead": healing.sites_ahead,
        "sites_unheard": healing.sites_unheard,
        "unheard": healing.unheard.iter().map(|(site, name)| json!({ "site": site.0, "name": name })).collect::<Vec<_>>(),
        "sites_waived": healing.sites_waived,
    })
}

fn claim_json(claim: &DeclinedClaim) -> Value {
    json!({
        "site": claim.site.0,
        "store": claim.store.as_str(),
        "ownership": claim.ownership.0,
        "is_known": claim.is_own,
    })
}

/// Who this central is.
pub(super) fn identity(center: &Center) -> Result<Done, CentralError> {
    let epoch = center.read(|reading| Ok(reading.head()?.0))?;
    let mut value = keys::identity(center.signer());
    value["epoch"] = format!("{:016x}", epoch.0).into();
    value["copy_of"] = copy_json(center);
    Ok(Done::ok(value))
}

fn copy_json(center: &Center) -> Value {
    center
        .copy()
        .map_or(Value::Null, |copy| json!({ "fingerprint": copy.original, "made": clock::date_text(copy.made_ms) }))
}

fn site_status_json(center: &Center, status: &SiteStatus) -> Value {
    let mut shown = site_json(&status.site, clock::wall_ms());
    // Central pulls from nobody.
    let is_central = status.site.id == SiteId::CENTRAL;
    shown["rows_waiting"] = if is_central { Value::Null } else { status.rows_waiting.into() };
    shown["control_rows_waiting"] = status.control_rows.into();
    shown["unjudged_entries"] = status.unjudged_entries.into();
    let bytes_max = center.settings().log.set_aside_bytes_max;
    add_size(&mut shown, &status.set_aside, status.waiting_entries, bytes_max);
    shown
}

/// The store's file and its write-ahead log; `None` in memory.
fn database_bytes(center: &Center) -> Option<u64> {
    let store = center.paths()?.store();
    let log = store.with_extension("sqlite-wal");
    // A log that is not there counts nothing.
    Some([store, log].iter().filter_map(|file| std::fs::metadata(file).ok()).map(|file| file.len()).sum())
}
