//! `visibility` and the roles of stores: who sees whom, and what a store is on which site.

use domain::store::{NAME_TABLE, STORE_TABLE};
use domain::withholding::Withheld;
use protocol::ids::{RecordId, SiteId};
use serde_json::{Value, json};

use super::acting::Acting;
use super::rehearsal;
use super::request::{Done, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, VisibilityToList, check_limit};
use super::sites::{find, record_id};
use crate::center::Center;
use crate::error::{CentralError, Exit};
use crate::store::{Reading, Role, StoreError, VisibilityRow};

/// Makes a name visible in a store, or takes that back.
pub(super) fn set(center: &Acting<'_>, name: &str, store: &str, is_visible: bool) -> Result<Done, CentralError> {
    let (name, store) = (record_id(name)?, record_id(store)?);
    let (asked_name, asked_store) = (name.clone(), store.clone());
    let stays = center.write(move |batch| batch.set_visible(&asked_name, &asked_store, is_visible))?;
    tracing::info!(name = name.as_str(), store = store.as_str(), is_visible, "visibility was set by hand");
    Ok(Done::ok(json!({ "name": name.as_str(), "store": store.as_str(), "is_visible": stays })))
}

/// The joins that count.
pub(super) fn list(center: &Center, which: &VisibilityToList) -> Result<Done, CentralError> {
    let limit = which.limit.unwrap_or(LIST_LIMIT_DEFAULT);
    check_limit(limit, "id")?;
    let id = |text: &Option<String>| text.as_deref().map(record_id).transpose();
    let (name, store, after) = (id(&which.name)?, id(&which.store)?, id(&which.after)?);
    let joins = center.read(move |reading| {
        reading.at_once(|reading| {
            // A join may come before what it joins.
            if let Some(store) = &store
                && reading.joins(None, Some(store), None, 1)?.is_empty()
            {
                check_store(reading, store)?;
            }
            if let Some(name) = &name
                && reading.joins(Some(name), None, None, 1)?.is_empty()
            {
                check_name(reading, name)?;
            }
            reading.joins(name.as_ref(), store.as_ref(), after.as_ref(), limit)
        })
    })?;
    let next = joins.last().filter(|_| joins.len() == limit as usize).map(|last| last.id.to_string());
    Ok(Done::ok(json!({ "joins": joins.iter().map(join_json).collect::<Vec<_>>(), "next": next })))
}

/// Gives a site a collector copy of a store, or takes it back. On central, which collects every store, the store may be a transfer store.
pub(super) fn set_role(
    center: &Acting<'_>,
    store: &str,
    site: &str,
    role: &str,
    is_dry_run: bool,
) -> Result<Done, CentralError> {
    let found = find(center, site)?;
    if found.id == SiteId::CENTRAL {
        return set_role_on_central(center, store, role, is_dry_run);
    }
    let is_collector = match role {
        "collector" => true,
        "default" => false,
        other => {
            let message =
                format!("{other:?} is no role that can be set; a store is active where it was given (store add)");
            let advice = "Give `collector`, or `default` for what visibility makes of it: transfer or none. `transfer` can be set on \
                          central alone.";
            return Err(CentralError::new("role_not_settable", message, advice, Exit::Usage));
        }
    };
    let (site, id) = (found.id, record_id(store)?);
    let asked = id.clone();
    let (role, forecast) = rehearsal::run(center, is_dry_run, move |batch| {
        batch.set_collector(&asked, site, is_collector)?;
        batch.role_of(&asked, site)
    })?;
    let asked = id.clone();
    let withheld = center.read(move |reading| reading.withheld(&asked))?;
    if !is_dry_run {
        tracing::info!(store = id.as_str(), site = site.0, role = role.as_str(), "the role of a store was set");
    }
    let warning = match withheld {
        Withheld::Nothing => None,
        _ if role != Role::Collector => None,
        Withheld::Transactions => Some(
            "the store keeps its transactions, stock lines and stocktakes, but transfers, on its site (preference include-transactions); \
             the site has what leaves it",
        ),
        Withheld::Data => Some(
            "the store keeps its data, but transfers, on its site (store set-role ID --site central transfer); the site has what leaves it",
        ),
    };
    let answer = json!({ "store": id.as_str(), "site": site.0, "role": role.as_str(), "warning": warning });
    Ok(Done::ok(rehearsal::add_to(answer, forecast.as_ref())))
}

/// Lets a store keep all its data but transfers on its site (seed 001, the worked example's store F), or has it synced again.
fn set_role_on_central(center: &Acting<'_>, store: &str, role: &str, is_dry_run: bool) -> Result<Done, CentralError> {
    let is_kept = match role {
        "transfer" => true,
        "collector" | "default" => false,
        other => {
            let message = format!("{other:?} is no role that can be set on central");
            let advice = "Give `transfer`, which keeps the store's data on its site, or `collector`, which has central collect it.";
            return Err(CentralError::new("role_not_settable", message, advice, Exit::Usage));
        }
    };
    let id = record_id(store)?;
    let asked = id.clone();
    let ((role, is_new), forecast) = rehearsal::run(center, is_dry_run, move |batch| {
        let is_new = batch.set_transfer_on_central(&asked, is_kept)?;
        Ok((batch.role_of(&asked, SiteId::CENTRAL)?, is_new))
    })?;
    if !is_dry_run {
        tracing::info!(store = id.as_str(), role = role.as_str(), is_new, "the role of a store on central was set");
    }
    let warning = is_kept.then_some(
        "central has no backup of what is recorded there from when its site hears of it; what central has already goes on being synced",
    );
    let answer = json!({
        "store": id.as_str(),
        "site": SiteId::CENTRAL.0,
        "role": role.as_str(),
        "warning": warning,
    });
    Ok(Done::ok(rehearsal::add_to(answer, forecast.as_ref())))
}

/// Sends the site of a store once more what it sees.
pub(super) fn resync(center: &Acting<'_>, store: &str) -> Result<Done, CentralError> {
    let id = record_id(store)?;
    let asked = id.clone();
    let (site, is_new) = center.write(move |batch| batch.resync_store(&asked))?;
    tracing::info!(store = id.as_str(), site = site.0, is_new, "what a store sees is sent to its site once more");
    Ok(Done::ok(json!({ "store": id.as_str(), "site": site.0, "is_new": is_new })))
}

/// What a store is on which site, whom it sees and who sees it.
pub(super) fn show_store(center: &Center, store: &str) -> Result<Done, CentralError> {
    let id = record_id(store)?;
    let asked = id.clone();
    let (roles, name, sees, seen_in, withheld) = center.read(move |reading| {
        reading.at_once(|reading| {
            if reading.record(STORE_TABLE, &asked)?.is_none_or(|record| record.data.is_none()) {
                return Err(unknown_store(&asked));
            }
            let name = reading.name_of_store(&asked)?;
            let sees = reading.joins(None, Some(&asked), None, LIST_LIMIT_MAX)?;
            let seen_in = match &name {
                Some(name) => reading.joins(Some(name), None, None, LIST_LIMIT_MAX)?,
                None => Vec::new(),
            };
            Ok::<_, StoreError>((reading.roles_of(&asked)?, name, sees, seen_in, reading.withheld(&asked)?))
        })
    })?;
    let roles: Vec<Value> = roles
        .into_iter()
        .map(|(site, name, role)| {
            json!({ "site": site.0, "name": name, "role": role.as_str(), "may": may(role, site, withheld) })
        })
        .collect();
    Ok(Done::ok(json!({
        "store": id.as_str(),
        "name": name.as_ref().map(RecordId::as_str),
        "roles": roles,
        "withholds": withheld.as_str(),
        "sees": sees.iter().map(join_json).collect::<Vec<_>>(),
        "seen_in": seen_in.iter().map(join_json).collect::<Vec<_>>(),
    })))
}

/// That a store is at central, or was.
pub(super) fn check_store(reading: &mut Reading<'_>, store: &RecordId) -> Result<(), StoreError> {
    if reading.record(STORE_TABLE, store)?.is_none() { Err(unknown_store(store)) } else { Ok(()) }
}

fn unknown_store(store: &RecordId) -> StoreError {
    StoreError::refused("unknown_store", &format!("there is no store {store} at central"))
}

/// The same of a name.
fn check_name(reading: &mut Reading<'_>, name: &RecordId) -> Result<(), StoreError> {
    if reading.record(NAME_TABLE, name)?.is_some() {
        return Ok(());
    }
    Err(StoreError::refused("unknown_record", &format!("there is no name {name} at central")))
}

fn join_json(row: &VisibilityRow) -> Value {
    json!({
        "id": row.id.as_str(),
        "name": row.join.name.as_str(),
        "store": row.join.store.as_str(),
        // Who wrote the others is not kept: an operator, an import, or a site of its own patients.
        "made_by": if row.is_made { "central" } else { "hand_or_site" },
    })
}

/// What a role lets a site do, in words for people (seed 001, "Store sync types").
fn may(role: Role, site: SiteId, withheld: Withheld) -> &'static str {
    match (role, withheld) {
        (Role::Active, _) => "edits its data",
        (Role::Collector, Withheld::Nothing) => "has all of its data, to read and report on",
        (Role::Collector, _) => "has what leaves the store's site, to read and report on: part of its data stays there",
        (Role::Resting, Withheld::Nothing) => "is to have all of its data once a store that is active there sees it",
        (Role::Resting, _) => "is to have what leaves the store's site once a store that is active there sees it",
        (Role::Transfer, _) if site == SiteId::CENTRAL => {
            "has its transfers and what it had before: its other data stays on its site"
        }
        (Role::Transfer, _) => "has its own record and what hangs on it, so that its stores may deal with it",
        (Role::None, _) => "has nothing of it",
    }
}
