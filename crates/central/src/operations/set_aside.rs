//! Edits that central refused and that nobody has dealt with: looked at, taken out as lines to record again, and dismissed.

use domain::json::row_to_json;
use protocol::entry::{Entry, Operation};
use protocol::ids::{JournalId, Sequence, SiteId};
use serde_json::{Value, json};

use super::acting::Acting;
use super::request::{Done, SetAsidePlace, SetAsideToList, check_limit};
use super::sites::find_also_deleted;
use crate::center::Center;
use crate::clock;
use crate::error::{CentralError, Exit};
use crate::hex;
use crate::store::{Reading, SetAside, StoreError};

pub(super) fn list(center: &Center, which: &SetAsideToList) -> Result<Done, CentralError> {
    check_limit(which.limit, "place")?;
    let site = find_also_deleted(center, &which.site)?.id;
    let after = which.after.as_ref().map(place).transpose()?;
    let limit = which.limit;
    let found = center.read(move |reading| reading.set_aside(site, after, limit))?;
    let next = found.last().filter(|_| found.len() == limit as usize).map(place_text);
    let items: Vec<Value> = found.iter().map(|item| item_json(center, item)).collect();
    Ok(Done::ok(json!({ "set_aside": items, "next": next })))
}

pub(super) fn dismiss(center: &Acting<'_>, site: &str, which: &SetAsidePlace) -> Result<Done, CentralError> {
    let site = find_also_deleted(center, site)?.id;
    let (journal, sequence) = place(which)?;
    if !center.write(move |batch| batch.dismiss(site, journal, sequence))? {
        let message = format!("site {site} has no refused edit at {}", which.0);
        return Err(CentralError::refused("set_aside_missing", message, "`set-aside list SITE` shows their places."));
    }
    tracing::info!(site = site.0, %journal, sequence = sequence.0, "a refused edit was dismissed");
    Ok(Done::ok(json!({ "site": site.0, "dismissed": which.0 })))
}

/// What the audit log shows of a refused edit; null where there is none at the place.
pub(super) fn shown(reading: &mut Reading<'_>, site: SiteId, which: &SetAsidePlace) -> Result<Value, StoreError> {
    let Ok((journal, sequence)) = place(which) else { return Ok(Value::Null) };
    let before = Sequence(sequence.0.saturating_sub(1));
    let found = reading.set_aside(site, Some((journal, before)), 1)?;
    let found = found.into_iter().find(|item| (item.journal, item.sequence) == (journal, sequence));
    Ok(found.map_or(Value::Null, |item| {
        let (table, id) = item.record.unzip();
        json!({ "table": table, "id": id, "code": item.code })
    }))
}

/// `journal:sequence`, as the list shows it.
fn place(text: &SetAsidePlace) -> Result<(JournalId, Sequence), CentralError> {
    let parsed = text
        .0
        .split_once(':')
        .and_then(|(journal, sequence)| Some((JournalId(hex::from_hex(journal)?), Sequence(sequence.parse().ok()?))));
    parsed.ok_or_else(|| {
        let message = format!("{:?} is no place of a refused edit", text.0);
        CentralError::new("set_aside_place", message, "Give it as the list shows it: JOURNAL:SEQUENCE.", Exit::Usage)
    })
}

fn place_text(item: &SetAside) -> String {
    format!("{}:{}", item.journal, item.sequence)
}

fn item_json(center: &Center, item: &SetAside) -> Value {
    let SiteId(site) = item.site;
    json!({
        "place": place_text(item),
        "site": site,
        "table": item.record.as_ref().map(|(table, _)| table),
        "id": item.record.as_ref().map(|(_, id)| id),
        "code": item.code,
        "reason": item.reason,
        "received": clock::date_text(item.received_ms),
        "edit": edit_json(center, &item.bytes),
    })
}

/// The edit as a line that `outpost record` and `import` take; null for one that cannot be read.
fn edit_json(center: &Center, bytes: &[u8]) -> Value {
    let Ok(entry) = Entry::decode(bytes) else { return Value::Null };
    let table = center.catalogue().table_or_stand_in(&entry.table);
    let (op, row) = match &entry.operation {
        Operation::Put(row) => ("put", Some(row)),
        Operation::Patch(row) => ("patch", Some(row)),
        Operation::Delete => ("delete", None),
    };
    let mut line = json!({ "table": table.name(), "op": op, "id": entry.record.as_str() });
    if let Some(row) = row {
        line["data"] = serde_json::from_str(&row_to_json(&table, &entry.record, row)).unwrap_or_default();
    }
    line
}
