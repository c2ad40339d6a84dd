//! `transfers`: what goes from one store to another, how far it is, and who is waited for.

use serde_json::{Value, json};

use super::request::{Done, LIST_LIMIT_DEFAULT, StoreTransfersToList, check_limit};
use super::sites::{find, record_id};
use crate::center::Center;
use crate::clock;
use crate::error::{CentralError, Exit};
use crate::store::{TRANSFER_STUCK_DAYS, TransferFilter, TransferHalf, TransferRow, TransferWait, TransfersFound};

/// Transfers between stores, in the order in which they began.
pub(super) fn list(center: &Center, which: &StoreTransfersToList) -> Result<Done, CentralError> {
    let limit = which.limit.unwrap_or(LIST_LIMIT_DEFAULT);
    check_limit(limit, "number")?;
    let site = which.site.as_deref().map(|site| find(center, site)).transpose()?.map(|site| site.id);
    let store = which.store.as_deref().map(record_id).transpose()?;
    let after = which.after.unwrap_or_default();
    let after = i64::try_from(after).map_err(|_| {
        let message = format!("there is no transfer behind {after}");
        CentralError::new("number_too_large", message, "Give the last number of the list before.", Exit::Usage)
    })?;
    let filter = TransferFilter { site, store, is_stuck_only: which.is_stuck_only, after, limit };
    let now_ms = clock::wall_ms();
    let transfers = center.read(move |reading| reading.at_once(|reading| reading.transfers(&filter, now_ms)))?;
    let next = transfers.last().filter(|_| transfers.len() == limit as usize).map(|last| last.number);
    Ok(Done::ok(json!({
        "transfers": transfers.iter().map(transfer_json).collect::<Vec<_>>(),
        "stuck_days": TRANSFER_STUCK_DAYS,
        "next": next,
    })))
}

/// How many there are, for the status.
pub(super) fn counts_json(counts: TransfersFound) -> Value {
    json!({ "open": counts.open, "stuck": counts.stuck })
}

fn transfer_json(transfer: &TransferRow) -> Value {
    let state = match (transfer.is_routed_only, &transfer.half) {
        (true, _) => "routed_only",
        (false, Some(_)) => "made",
        (false, None) => "waiting",
    };
    json!({
        "number": transfer.number,
        "kind": transfer.kind.map(domain::transfers::kinds::Kind::as_str),
        "state": state,
        "initiating": half_json(&transfer.source),
        "receiver": transfer.receiver.as_ref().map(protocol::ids::RecordId::as_str),
        "responding": transfer.half.as_ref().map(half_json),
        "is_addressed": transfer.is_addressed,
        "stage": transfer.stage.as_str(),
        "since": clock::date_text(transfer.stage_ms),
        "waits_for": waits_json(&transfer.waits),
        "is_stuck": transfer.is_stuck,
    })
}

fn half_json(half: &TransferHalf) -> Value {
    json!({
        "table": half.table,
        "id": half.id.as_str(),
        "document_number": half.document_number,
        "status": half.status,
        "is_here": half.is_here,
        "store": half.store.as_str(),
        "site": half.site.0,
    })
}

fn waits_json(waits: &TransferWait) -> Value {
    let (what, site) = match waits {
        TransferWait::Record { table, id, reason } => {
            let record = json!({ "table": table, "id": id.as_str() });
            return json!({ "what": "record", "record": record, "reason": reason });
        }
        TransferWait::MakesHalf(site) => ("half", site),
        TransferWait::Queue(site) => ("queue", site),
        TransferWait::Number(site) => ("number", site),
        TransferWait::Link(site) => ("link", site),
        TransferWait::Nothing => return Value::Null,
    };
    json!({ "what": what, "site": site.0 })
}
