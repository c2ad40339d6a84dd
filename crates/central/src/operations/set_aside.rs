//! Edits that central refused and that nobody has dealt with: looked at, taken out as lines to record again, and dismissed.

use domain::edit::EditOp;
use domain::json::row_to_json;
use domain::judge::is_late;
use domain::side_by_side::side_by_side;
use protocol::entry::{Entry, Operation};
use protocol::ids::{JournalId, Sequence, SiteId};
use serde_json::{Value, json};

use super::acting::Acting;
use super::request::{Done, SetAsideKind, SetAsidePlace, SetAsideToList, check_limit};
use super::sites::find_also_deleted;
use crate::center::Center;
use crate::clock;
use crate::error::{CentralError, Exit};
use crate::hex;
use crate::store::{AppliedSetAside, Proposed, Reading, SetAside, SetAsideSize, StoreError, WaitingEdit};

/// Edits that one commit lets go of: some tens of milliseconds.
const DISMISS_STEP_MAX: u32 = 1000;
/// Edits that are read at once to be applied, each in a commit of its own.
const APPLY_STEP_MAX: u32 = 100;
/// Edits that stay that an answer lists; the rest is counted.
const STAYING_LISTED_MAX: usize = 100;

pub(super) fn list(center: &Center, which: &SetAsideToList) -> Result<Done, CentralError> {
    check_limit(which.limit, "place")?;
    let site = find_also_deleted(center, &which.site)?.id;
    let after = which.after.as_ref().map(place).transpose()?;
    let limit = which.limit;
    let is_late = match which.kind {
        None => None,
        Some(SetAsideKind::Late) => Some(true),
        Some(SetAsideKind::Refused) => Some(false),
        Some(SetAsideKind::Waiting) => return list_waiting(center, site, after, limit),
    };
    let found = center.read(move |reading| reading.set_aside_of(site, is_late, after, limit))?;
    let next = found.last().filter(|_| found.len() == limit as usize).map(place_text);
    let mut items = Vec::with_capacity(found.len());
    for item in &found {
        let at = (item.journal, item.sequence);
        let mut shown = item_json(center, item);
        shown["proposal"] = proposal_json(center.read(move |reading| reading.proposed(at))?.as_ref());
        items.push(shown);
    }
    Ok(Done::ok(json!({ "set_aside": items, "next": next })))
}

/// Those that wait: they are judged as soon as their header is there, and so nobody applies or dismisses them.
fn list_waiting(
    center: &Center,
    site: SiteId,
    after: Option<(JournalId, Sequence)>,
    limit: u32,
) -> Result<Done, CentralError> {
    let found = center.read(move |reading| reading.waiting_edits(site, after, limit))?;
    let place_of = |edit: &WaitingEdit| format!("{}:{}", edit.place.0, edit.place.1);
    let next = found.last().filter(|_| found.len() == limit as usize).map(place_of);
    let item = |edit: &WaitingEdit| {
        json!({
            "place": place_of(edit),
            "site": site.0,
            "table": edit.record.as_ref().map(|(table, _)| table),
            "id": edit.record.as_ref().map(|(_, id)| id),
            "kind": SetAsideKind::Waiting,
            "code": Value::Null,
            "reason": format!("waits for {} {}", edit.waits_for.0, edit.waits_for.1),
            "waits_for": { "table": edit.waits_for.0, "id": edit.waits_for.1 },
            "received": clock::date_text(edit.received_ms),
            "edit": edit_json(center, &edit.bytes),
        })
    };
    let items: Vec<Value> = found.iter().map(item).collect();
    Ok(Done::ok(json!({ "set_aside": items, "next": next })))
}

/// Adds to a site as it is shown what lies there of it by kinds, and how near that is to the limit.
pub(super) fn add_size(shown: &mut Value, size: &SetAsideSize, waiting: u64, bytes_max: u64) {
    shown["waiting_entries"] = waiting.into();
    shown["set_aside"] = size.entries.into();
    shown["set_aside_late"] = size.late.into();
    shown["set_aside_refused"] = (size.entries - size.late).into();
    shown["set_aside_bytes"] = size.bytes.into();
    shown["set_aside_bytes_max"] = bytes_max.into();
    shown["set_aside_is_nearly_full"] = size.is_nearly_full(bytes_max).into();
    shown["set_aside_dropped"] = size.dropped_entries.into();
    shown["set_aside_dropped_bytes"] = size.dropped_bytes.into();
    shown["set_aside_dropped_last"] = size.dropped_ms.map(clock::date_text).into();
}

/// One of them, and the record as it is, column by column.
pub(super) fn show(center: &Center, site: &str, which: &SetAsidePlace) -> Result<Done, CentralError> {
    let site = find_also_deleted(center, site)?.id;
    let at = place(which)?;
    let Some(item) = center.read(move |reading| reading.set_aside_at(site, at))? else {
        return Err(missing(site, which));
    };
    let mut shown = item_json(center, &item);
    shown["proposal"] = proposal_json(center.read(move |reading| reading.proposed(at))?.as_ref());
    let edit = shown["edit"].clone();
    let current = match (edit["table"].as_str().map(str::to_owned), item.record.as_ref()) {
        (Some(table), Some((_, id))) => {
            let id = protocol::ids::RecordId::new(id).map_err(|_| missing(site, which))?;
            center.read(move |reading| reading.record(&table, &id))?
        }
        _ => None,
    };
    let store = current.as_ref().and_then(|record| record.store.clone());
    let data = current.as_ref().and_then(|record| record.data.as_deref());
    let data: Option<Value> = data.and_then(|data| serde_json::from_str(data).ok());
    shown["state"] = match (&current, &data) {
        (None, _) => "unknown",
        (Some(_), None) => "deleted",
        (Some(_), Some(_)) => "here",
    }
    .into();
    shown["store"] = store.as_ref().map(ToString::to_string).into();
    shown["active_at"] = match store {
        Some(store) => Value::from(center.read(move |reading| reading.holder(&store))?.0),
        None => Value::Null,
    };
    let op = match edit["op"].as_str() {
        Some("patch") => EditOp::Patch,
        Some("delete") => EditOp::Delete,
        _ => EditOp::Put,
    };
    let differences = side_by_side(op, edit.get("data"), data.as_ref());
    let line = |one: &domain::side_by_side::Difference| json!({ "column": one.column, "current": one.current, "edit": one.edited });
    shown["differs"] = differences.iter().map(line).collect();
    shown["current"] = data.unwrap_or(Value::Null);
    Ok(Done::ok(shown))
}

/// Records one as central's own edit, or asks the site that holds its store to.
pub(super) fn apply(center: &Acting<'_>, site: &str, which: &SetAsidePlace) -> Result<Done, CentralError> {
    let site = find_also_deleted(center, site)?.id;
    let at = place(which)?;
    let applied = center.write(move |batch| batch.apply_set_aside(site, at))?;
    let (recorded, proposed, store, asked) = match &applied {
        AppliedSetAside::Recorded => (1, 0, None, None),
        AppliedSetAside::Proposed { store, site } => (0, 1, Some(store.as_str()), Some(site.0)),
    };
    tracing::info!(site = site.0, place = which.0, asked, "a refused edit was applied");
    Ok(Done::ok(json!({
        "site": site.0, "applied": recorded, "proposed": proposed, "store": store, "asked_site": asked,
        "stay_count": 0, "stay": [],
    })))
}

/// Applies those that are there when it begins, each for itself and in their order; what neither central may write nor a site can be asked
/// for stays. If it is cut, the same command goes on.
pub(super) fn apply_all(center: &Acting<'_>, site: &str) -> Result<Done, CentralError> {
    // One row of the audit log for all of them.
    let center: &Center = center;
    let site = find_also_deleted(center, site)?.id;
    let last = center.read(move |reading| reading.set_aside_last(site))?;
    let (mut after, mut applied, mut proposed) = (None, 0_u64, 0_u64);
    let (mut stay_count, mut stay) = (0_u64, Vec::new());
    while let Some(end) = last {
        let step = center.read(move |reading| reading.set_aside(site, after, APPLY_STEP_MAX))?;
        for item in &step {
            let at = (item.journal, item.sequence);
            match center.write(move |batch| told(batch.apply_set_aside(site, at)))? {
                Ok(AppliedSetAside::Recorded) => applied += 1,
                Ok(AppliedSetAside::Proposed { .. }) => proposed += 1,
                // Somebody else has dealt with it meanwhile.
                Err((code, _)) if code == "set_aside_missing" => {}
                Err((code, reason)) => {
                    stay_count += 1;
                    if stay.len() < STAYING_LISTED_MAX {
                        stay.push(json!({ "place": place_text(item), "code": code, "reason": reason }));
                    }
                }
            }
            after = Some(at);
            if at == end {
                break;
            }
        }
        if step.is_empty() || after == Some(end) {
            break;
        }
    }
    tracing::info!(site = site.0, applied, proposed, stay_count, "refused edits were applied");
    let exit = match (applied + proposed, stay_count) {
        (_, 0) => Exit::Ok,
        (0, _) => Exit::Refused,
        _ => Exit::Partial,
    };
    let value =
        json!({ "site": site.0, "applied": applied, "proposed": proposed, "stay_count": stay_count, "stay": stay });
    Ok(Done { value, exit })
}

/// A refusal as a value, code and reason, so that it ends no command that goes on to the next.
fn told<T>(outcome: Result<T, StoreError>) -> Result<Result<T, (String, String)>, StoreError> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(StoreError::Refused(refusal)) => Ok(Err((refusal.code, refusal.message))),
        Err(error) => Err(error),
    }
}

/// Lets go of all that are there when it begins, or of the first ones. If it is cut, the same command goes on.
pub(super) fn dismiss_all(
    center: &Acting<'_>,
    site: &str,
    through: Option<&SetAsidePlace>,
) -> Result<Done, CentralError> {
    // One row of the audit log for all of them.
    let center: &Center = center;
    let site = find_also_deleted(center, site)?.id;
    let last = match through {
        Some(which) => {
            let at = place(which)?;
            if center.read(move |reading| reading.set_aside_at(site, at))?.is_none() {
                return Err(missing(site, which));
            }
            Some(at)
        }
        None => center.read(move |reading| reading.set_aside_last(site))?,
    };
    let mut dismissed = 0;
    if let Some(last) = last {
        loop {
            let step = center.write(move |batch| batch.dismiss_through(site, last, DISMISS_STEP_MAX))?;
            dismissed += step;
            if step < u64::from(DISMISS_STEP_MAX) {
                break;
            }
        }
    }
    tracing::info!(site = site.0, dismissed, "refused edits were dismissed");
    Ok(Done::ok(json!({ "site": site.0, "dismissed_count": dismissed })))
}

fn missing(site: SiteId, which: &SetAsidePlace) -> CentralError {
    let message = format!("site {site} has no refused edit at {}", which.0);
    CentralError::refused("set_aside_missing", message, "`set-aside list SITE` shows their places.")
}

/// What a refused edit is: late, if whoever sent it was not the one any more who might; else refused by a rule.
fn kind(code: &str) -> SetAsideKind {
    if is_late(code) { SetAsideKind::Late } else { SetAsideKind::Refused }
}

pub(super) fn dismiss(center: &Acting<'_>, site: &str, which: &SetAsidePlace) -> Result<Done, CentralError> {
    let site = find_also_deleted(center, site)?.id;
    let (journal, sequence) = place(which)?;
    if !center.write(move |batch| batch.dismiss(site, journal, sequence))? {
        return Err(missing(site, which));
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
        "kind": kind(&item.code),
        "code": item.code,
        "reason": item.reason,
        "received": clock::date_text(item.received_ms),
        "edit": edit_json(center, &item.bytes),
    })
}

/// Of whom an edit was asked, and what became of that; null where nobody was.
fn proposal_json(proposed: Option<&Proposed>) -> Value {
    let Some(proposed) = proposed else { return Value::Null };
    let declined = proposed.declined.as_ref();
    json!({
        "state": if declined.is_some() { "declined" } else { "open" },
        "store": proposed.store.as_str(),
        "message": proposed.message.as_str(),
        "since": clock::date_text(proposed.since_ms),
        "code": declined.map(|declined| &declined.code),
        "reason": declined.map(|declined| &declined.reason),
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
