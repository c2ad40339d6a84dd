//! `audit`: who changed what.

use serde_json::{Value, json};

use super::request::{AuditToList, Done, LIST_LIMIT_DEFAULT, check_limit};
use super::sites::find_also_deleted;
use crate::center::Center;
use crate::clock;
use crate::error::CentralError;
use crate::store::AuditRow;

pub(super) fn list(center: &Center, which: &AuditToList) -> Result<Done, CentralError> {
    let limit = which.limit.unwrap_or(LIST_LIMIT_DEFAULT);
    check_limit(limit, "number")?;
    let site = which.site.as_deref().map(|site| find_also_deleted(center, site)).transpose()?.map(|site| site.id);
    let after = which.after;
    let (rows, floors) = center.read(move |reading| {
        reading.at_once(|reading| {
            Ok::<_, crate::store::StoreError>((reading.audit(site, after, limit)?, reading.audit_floors()?))
        })
    })?;
    let next = rows.last().filter(|_| after.is_some() && rows.len() == limit as usize).map(|row| row.number);
    Ok(Done::ok(json!({
        "audit": rows.iter().map(row_json).collect::<Vec<_>>(),
        "next": next,
        "changes_gone_through": floors.changes,
        "refusals_gone_through": floors.refusals,
    })))
}

fn row_json(row: &AuditRow) -> Value {
    let entry = &row.entry;
    json!({
        "number": row.number,
        "time": clock::date_text(row.time_ms),
        "times": row.times,
        "actor": entry.actor,
        "verb": entry.verb,
        "site": entry.site.map(|site| site.0),
        "other_site": entry.other_site.map(|site| site.0),
        "store": entry.store,
        "table": entry.table,
        "record": entry.record,
        "asked": entry.asked,
        "before": entry.before,
        "after": entry.after,
        "outcome": entry.outcome.as_str(),
        "code": entry.code,
    })
}
