//! The site as it sees itself: who it is, whom it syncs with, what it is bound to, its stores, and whom these can exchange transfers with.

use std::collections::BTreeMap;
use std::path::Path;

use domain::authority::CENTRAL_DATA;
use domain::merge::Merged;
use domain::store::{NAME_TABLE, STORE_TABLE};
use domain::visibility::{JOIN_NAME_COLUMN, JOIN_STORE_COLUMN, JOIN_TABLE, STORE_NAME_COLUMN};
use protocol::few::sort_few;
use protocol::fingerprint::Fingerprint;
use protocol::ids::RecordId;
use serde_json::{Value, json};

use super::{LIST_LIMIT_MAX, read};
use crate::agent::Agent;
use crate::device::Device;
use crate::error::AgentError;
use crate::local_copy::{LocalCopy, StoreRole};

/// Stores of one role that are shown at most.
const STORES_SHOWN_MAX: u32 = 1000;
/// Stores that one store can exchange transfers with, of which so many are named at most.
const PARTNERS_NAMED_MAX: usize = 100;

/// A store's record, as far as people know it.
#[derive(Default)]
struct Known {
    code: Value,
    name: Value,
    /// The store's own name, by which others see it.
    own_name: Option<String>,
}

pub(super) fn site(agent: &Agent) -> Result<Value, AgentError> {
    let mut site = identity(agent);
    let Ok(recorder) = agent.recorder() else {
        site["code"] = Value::Null;
        site["stores"] = json!([]);
        return Ok(site);
    };
    site["code"] = recorder.core().local.site_code()?.map_or(Value::Null, Value::from);
    let known = known_stores(agent)?;
    let (active, others, is_cut) = {
        let mut core = recorder.core();
        let active: Vec<(String, u32)> = core
            .local
            .grants()?
            .into_iter()
            .filter(|(store, _)| store != CENTRAL_DATA)
            .map(|(store, ownership)| (store, ownership.0))
            .collect();
        let leaving = core.local.frozen_stores()?;
        let (collected, transfer, here) = core.local.stores_here(STORES_SHOWN_MAX)?;
        let is_cut = collected.max(transfer) > u64::from(STORES_SHOWN_MAX);
        let mut others: Vec<(String, &'static str)> = leaving.iter().map(|store| (store.clone(), "leaving")).collect();
        others.extend(
            here.into_iter().filter(|here| !leaving.contains(&here.store)).map(|here| (here.store, here.role.as_str())),
        );
        (active, others, is_cut)
    };
    let active_ids: Vec<&str> = active.iter().map(|(store, _)| store.as_str()).collect();
    let mut partners = partners(agent, &active_ids, &known)?;
    let mut stores: Vec<Value> = Vec::new();
    for (store, ownership) in &active {
        let mut shown = store_json(store, StoreRole::Active.as_str(), known.get(store));
        let of_store = partners.remove(store).unwrap_or_default();
        let named = of_store.iter().take(PARTNERS_NAMED_MAX).map(|partner| {
            let role = if active_ids.contains(&partner.as_str()) { "active" } else { "elsewhere" };
            store_json(partner, role, known.get(partner))
        });
        shown["ownership"] = (*ownership).into();
        shown["partners"] = named.collect();
        shown["partners_total"] = of_store.len().into();
        stores.push(shown);
    }
    stores.extend(others.iter().map(|(store, role)| store_json(store, role, known.get(store))));
    site["stores"] = stores.into();
    site["is_cut"] = is_cut.into();
    Ok(site)
}

/// What the device's own files say.
fn identity(agent: &Agent) -> Value {
    let device = agent.device();
    let kind = agent.config().device_kind.as_str();
    let Some(enrolment) = &device.identity().enrolment else {
        return json!({ "enrolled": false, "id": null, "name": null, "type": kind });
    };
    let fingerprint = Fingerprint::of(&enrolment.central_key);
    json!({
        "enrolled": true,
        "id": enrolment.site.0,
        "name": enrolment.site_name,
        "type": kind,
        "central": agent.config().central_url.as_ref().unwrap_or(&enrolment.central_url).as_str(),
        "central_key": enrolment.central_key.to_string(),
        "central_fingerprint": fingerprint.to_string(),
        "device": device.public_key().fingerprint(),
        "binding": binding_json(&device, &agent.config().hardware_root),
    })
}

/// What the device is bound to; null before it is enrolled.
pub(super) fn binding(agent: &Agent) -> Value {
    binding_json(&agent.device(), &agent.config().hardware_root)
}

fn binding_json(device: &Device, hardware_root: &Path) -> Value {
    let Some(enrolment) = &device.identity().enrolment else { return Value::Null };
    let binding = device.binding(hardware_root);
    let sources: Vec<String> = binding.found.iter().map(ToString::to_string).collect();
    json!({
        "strength": binding.strength.as_str(),
        "sources": sources,
        "since_ms": enrolment.bound_ms,
        "text": binding.sentences.join(" "),
    })
}

/// Every store of which the record is here.
fn known_stores(agent: &Agent) -> Result<BTreeMap<String, Known>, AgentError> {
    let mut known = BTreeMap::new();
    each_record(agent, STORE_TABLE, &mut |_, id, data| {
        let text = |column: &str| data.get(column).and_then(Value::as_str).filter(|text| !text.is_empty());
        let own_name = text(STORE_NAME_COLUMN).map(str::to_owned);
        let (code, name) = (text("code").into(), text("name").into());
        known.insert(id.to_owned(), Known { code, name, own_name });
        Ok(())
    })?;
    let names = agent.catalogue().table_by_name(NAME_TABLE).map_err(|error| read::unknown_table(&error))?;
    let mut core = agent.recorder()?.core();
    for store in known.values_mut().filter(|store| store.name.is_null()) {
        let id = store.own_name.as_deref().and_then(|name| RecordId::new(name).ok());
        let Some(id) = id else { continue };
        let record = core.local.get(names, &id)?;
        let data: Value = record.and_then(|record| serde_json::from_str(&record.data).ok()).unwrap_or_default();
        store.name = data.get("name").cloned().unwrap_or_default();
    }
    Ok(known)
}

/// By each store that is active here the stores whose names are visible in it. Central makes the joins of both directions, so that what is
/// visible here sees this store too.
fn partners(
    agent: &Agent,
    active: &[&str],
    known: &BTreeMap<String, Known>,
) -> Result<BTreeMap<String, Vec<String>>, AgentError> {
    let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (store, record) in known {
        if let Some(name) = &record.own_name {
            by_name.entry(name).or_default().push(store);
        }
    }
    let names = agent.catalogue().table_by_name(NAME_TABLE).map_err(|error| read::unknown_table(&error))?;
    let mut partners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    each_record(agent, JOIN_TABLE, &mut |local, _, data| {
        let text = |column: &str| data.get(column).and_then(Value::as_str);
        let (Some(store), Some(name)) = (text(JOIN_STORE_COLUMN), text(JOIN_NAME_COLUMN)) else { return Ok(()) };
        if data.get("inactive") == Some(&Value::Bool(true)) || !active.contains(&store) {
            return Ok(());
        }
        // A name that was merged into another one is that one.
        let merged = if by_name.contains_key(name) { None } else { local.stands_for(names, name)? };
        let stores = by_name.get(merged.as_ref().map_or(name, RecordId::as_str));
        let others = stores.into_iter().flatten().filter(|other| **other != store);
        partners.entry(store.to_owned()).or_default().extend(others.map(|other| (*other).to_owned()));
        Ok(())
    })?;
    for stores in partners.values_mut() {
        sort_few(stores, |one, other| one < other);
        stores.dedup();
    }
    Ok(partners)
}

/// Shows every record of a table, as JSON. The lock is given back between the pages, so that edits go on.
fn each_record(
    agent: &Agent,
    table: &str,
    visit: &mut dyn FnMut(&mut LocalCopy, &str, &Value) -> Result<(), AgentError>,
) -> Result<(), AgentError> {
    let table = agent.catalogue().table_by_name(table).map_err(|error| read::unknown_table(&error))?;
    let mut after: Option<String> = None;
    loop {
        let mut core = agent.recorder()?.core();
        let page = core.local.list(table, None, Merged::Listed, after.as_deref(), LIST_LIMIT_MAX)?;
        for record in &page.items {
            let data: Value = serde_json::from_str(&record.data).unwrap_or_default();
            visit(&mut core.local, &record.id, &data)?;
        }
        match page.next(|record| record.id.clone()) {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}

fn store_json(store: &str, role: &str, known: Option<&Known>) -> Value {
    json!({
        "id": store,
        "code": known.map(|known| &known.code),
        "name": known.map(|known| &known.name),
        "role": role,
    })
}
