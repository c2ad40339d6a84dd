//! Reading records and the queue.

use domain::authority::CENTRAL_DATA;
use domain::catalogue::{DataType, Table};
use domain::merge::Merged;
use domain::procurement::is_of_orders;
use domain::transfers::records::{INVOICES, REQUISITIONS};
use protocol::ids::{RecordId, Sequence};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::config::DeviceKind;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::local_copy::{LocalCopy, RecordView, StoreRole};

pub(super) fn get(agent: &Agent, table: &str, id: &str) -> Result<Value, AgentError> {
    let known = agent.catalogue().table_by_name(table).map_err(|error| unknown_table(&error))?;
    let record = RecordId::new(id).map_err(|error| AgentError::new("bad_id", error.to_string(), "", Exit::Usage))?;
    let mut core = agent.recorder()?.core();
    let found = core.local.get(known, &record)?;
    let found = found.ok_or_else(|| {
        let message = format!("{table} {id} is not here");
        AgentError::new(
            "record_missing",
            message,
            "`outpost list` shows what is here; a sync may bring it.",
            Exit::Failed,
        )
    })?;
    record_json(agent, &mut core.local, known, &found)
}

pub(super) fn list(
    agent: &Agent,
    table: &str,
    store: Option<&str>,
    merged: Merged,
    after: Option<&str>,
    limit: u32,
) -> Result<Value, AgentError> {
    let known = agent.catalogue().table_by_name(table).map_err(|error| unknown_table(&error))?;
    let mut core = agent.recorder()?.core();
    if let Some(store) = store {
        refuse_other_store(&mut core.local, known, store)?;
    }
    let records = core.local.list(known, store, merged, after, limit)?;
    let next = records.next(|record| record.id.clone());
    // One by one, so that a record is not in memory twice for longer than it has to be.
    let shown = records.items.into_iter().map(|record| record_json(agent, &mut core.local, known, &record));
    let records = shown.collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "records": records, "next": next }))
}

/// Whoever looks into a store that is not here would take what is elsewhere for what does not exist.
fn refuse_other_store(local: &mut LocalCopy, table: &Table, store: &str) -> Result<(), AgentError> {
    let id = RecordId::new(store).map_err(|error| AgentError::new("bad_id", error.to_string(), "", Exit::Usage))?;
    // Orders the primary of a mirrored system may write for any store, and has those that it may.
    if is_of_orders(table) && local.grants()?.iter().any(|(granted, _)| granted == CENTRAL_DATA) {
        return Ok(());
    }
    match local.store_role(&id)? {
        StoreRole::Transfer if table.data_type() == DataType::Store => Err(AgentError::new(
            "store_is_transfer",
            format!("store {store} is a transfer store on this site: its data is where it is active, and not here"),
            "Look at it where it is active, or ask central's administrator for a collector copy (store set-role).",
            Exit::Refused,
        )),
        StoreRole::None if !local.has_of_store(table, &id)? => Err(AgentError::new(
            "store_not_here",
            format!(
                "store {store} is neither active, a collector nor a transfer store on this site, and no {} of it is here",
                table.name()
            ),
            "Check the id, capitals too: `outpost status` names the stores that are here. If it is right, sync, or ask central's \
             administrator what the store is on this site (store show).",
            Exit::Refused,
        )),
        StoreRole::Active | StoreRole::Collector | StoreRole::Transfer | StoreRole::None => Ok(()),
    }
}

pub(super) fn queue(agent: &Agent, after: u64, limit: u32) -> Result<Value, AgentError> {
    let mut core = agent.recorder()?.core();
    let edits = core.local.queue(Sequence(after), limit)?;
    let next = edits.next(|edit| edit.sequence.0);
    let edits: Vec<Value> = edits
        .items
        .iter()
        .map(|edit| {
            json!({
                "sequence": edit.sequence.0,
                "table": edit.table,
                "id": edit.id,
                "operation": edit.operation,
                "state": edit.state.as_str(),
                "recorded_at_ms": edit.recorded_at_ms,
            })
        })
        .collect();
    Ok(json!({ "edits": edits, "next": next }))
}

/// A record with its own data; of a merged one also what it stands for, of a document its kind, and of what another store's site writes
/// that store.
fn record_json(agent: &Agent, local: &mut LocalCopy, table: &Table, record: &RecordView) -> Result<Value, AgentError> {
    let data = data_json(&record.data)?;
    let kind = kind_of(table.name(), &data, agent.config().device_kind);
    let mut shown = json!({ "table": table.name(), "id": record.id, "state": record.state.as_str(), "data": data });
    if let Some(end) = local.stands_for(table, &record.id)? {
        shown["merged_into"] = end.as_str().into();
    }
    if let Some(kind) = kind {
        shown["kind"] = kind.into();
    }
    let store = record.store.as_ref().filter(|_| table.data_type() == DataType::Store);
    if let Some(store) = store.and_then(|store| RecordId::new(store).ok())
        && local.store_role(&store)? != StoreRole::Active
    {
        shown["read_only_of"] = store.as_str().into();
    }
    Ok(shown)
}

/// What people call a document, by the type of their site: to a mobile site a requisition of a customer is that (seed 000, "Mobile
/// requisitions").
fn kind_of(table: &str, data: &Value, device: DeviceKind) -> Option<&'static str> {
    let is = |column: &str, word: &str| data[column].as_str().is_some_and(|text| text.eq_ignore_ascii_case(word));
    let by_type =
        |words: &[(&str, &'static str)]| words.iter().find(|(word, _)| is("type", word)).map(|(_, kind)| *kind);
    match (table, device) {
        (INVOICES, _) if is("mode", "dispensary") && is("type", "ci") => Some("prescription"),
        (INVOICES, _) => by_type(&[
            ("ci", "customer invoice"),
            ("si", "supplier invoice"),
            ("cc", "customer return"),
            ("sc", "supplier return"),
        ]),
        (REQUISITIONS, DeviceKind::Mobile) => {
            by_type(&[("response", "customer requisition"), ("request", "supplier requisition")])
        }
        (REQUISITIONS, DeviceKind::Standalone) => {
            by_type(&[("response", "response requisition"), ("request", "request requisition")])
        }
        _ => None,
    }
}

/// Stored data as a value; numbers keep their text.
pub(crate) fn data_json(data: &str) -> Result<Value, AgentError> {
    let raw: Result<Box<RawValue>, _> = serde_json::from_str(data);
    raw.and_then(serde_json::to_value).map_err(|error| {
        AgentError::new("local_copy_content", format!("a record's data is not JSON: {error}"), "", Exit::Disk)
    })
}

pub(super) fn unknown_table(error: &domain::catalogue::UnknownTable) -> AgentError {
    AgentError::new(error.code(), error.to_string(), "", Exit::Usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_called_what_the_type_of_the_site_calls_it() {
        for (table, data, standalone, mobile) in [
            ("requisition", json!({ "type": "response" }), "response requisition", "customer requisition"),
            ("requisition", json!({ "type": "request" }), "request requisition", "supplier requisition"),
            ("requisition", json!({ "type": "im" }), "-", "-"),
            ("transact", json!({ "type": "ci" }), "customer invoice", "customer invoice"),
            ("transact", json!({ "type": "SI" }), "supplier invoice", "supplier invoice"),
            ("transact", json!({ "type": "cc" }), "customer return", "customer return"),
            ("transact", json!({ "type": "sc" }), "supplier return", "supplier return"),
            ("transact", json!({ "type": "ci", "mode": "dispensary" }), "prescription", "prescription"),
            ("item", json!({ "type": "ci" }), "-", "-"),
        ] {
            assert_eq!(kind_of(table, &data, DeviceKind::Standalone).unwrap_or("-"), standalone, "{data}");
            assert_eq!(kind_of(table, &data, DeviceKind::Mobile).unwrap_or("-"), mobile, "{data}");
        }
    }
}
