//! The site at a glance.

use domain::authority::{Authority, CENTRAL_DATA};
use domain::judge::View as _;
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::error::AgentError;
use crate::journal::{Journal, Storage};
use crate::local_copy::limits::{SET_ASIDE_BYTES_MAX, SET_ASIDE_MAX};

/// Stores that are not active here which the status names, of each role at most.
const STORES_NAMED_MAX: u32 = 5;

/// Everything.
pub(super) fn status(agent: &Agent) -> Result<Value, AgentError> {
    let mut status = glance(agent)?;
    let Ok(recorder) = agent.recorder() else { return Ok(status) };
    let tables = recorder.core().local.table_counts()?;
    status["tables"] =
        tables.into_iter().map(|count| json!({ "table": count.table, "records": count.records })).collect();
    Ok(status)
}

/// All but the counts of records, which take time with many of them.
pub(super) fn glance(agent: &Agent) -> Result<Value, AgentError> {
    let (site, config) = {
        let device = agent.device();
        let kind = agent.config().device_kind.as_str();
        let site = match &device.identity().enrolment {
            Some(enrolment) => json!({
                "id": enrolment.site.0,
                "name": enrolment.site_name,
                "central": agent.config().central_url.as_ref().unwrap_or(&enrolment.central_url).as_str(),
                "enrolled": true,
                "type": kind,
            }),
            None => json!({ "id": null, "name": null, "central": null, "enrolled": false, "type": kind }),
        };
        (site, agent.folder().display().to_string())
    };
    let Ok(recorder) = agent.recorder() else {
        return Ok(json!({ "site": site, "data_folder": config, "daemon": false }));
    };
    let (pause, bytes) = agent.pace().to_json();
    let (queue_days, queue_growing) = super::growing::to_json(&agent.queue_days());
    let binding = super::site::binding(agent);
    let recovery = super::recover::recovery_under_way(agent)?;
    let mut core = recorder.core();
    let state = core.local.session_state()?;
    let queue = core.local.queue_view()?;
    let times = core.local.sync_times()?;
    let standing = core.local.standing()?;
    let (control_unknown, owed) = core.local.kept_counts()?;
    let grants: Vec<Value> = core
        .local
        .grants()?
        .into_iter()
        .filter(|(store, _)| store != CENTRAL_DATA)
        .map(|(store, ownership)| json!({ "store": store, "ownership": ownership.0 }))
        .collect();
    let forgotten: Vec<Value> = core
        .local
        .forgotten_stores()?
        .into_iter()
        .map(
            |store| json!({ "store": store.store, "ownership": store.ownership.0, "may_be_written": store.is_claimed }),
        )
        .collect();
    let frozen = core.local.frozen_stores()?;
    let (collected, transfer, here) = core.local.stores_here(STORES_NAMED_MAX)?;
    let named: Vec<Value> =
        here.into_iter().map(|here| json!({ "store": here.store, "role": here.role.as_str() })).collect();
    let head = core.shared.durable();
    let mut status = json!({
        "site": site,
        "data_folder": config,
        "daemon": false,
        "pending": {
            "edits": head.sequence.0.saturating_sub(state.received.0),
            "bytes": queue.bytes,
            "oldest_recorded_at_ms": queue.oldest_recorded_at_ms,
        },
        "head": head.sequence.0,
        "received": state.received.0,
        "judged": state.judged.0,
        "unjudged": queue.unjudged,
        "waiting": queue.waiting,
        "set_aside": core.local.set_aside_count()?,
        "withheld_records": core.local.withheld_count()?,
        "set_aside_max": SET_ASIDE_MAX,
        "set_aside_bytes": core.local.set_aside_bytes()?,
        "set_aside_bytes_max": SET_ASIDE_BYTES_MAX,
        "recovery": recovery,
        "owed": owed,
        "control_unknown": control_unknown,
        "grants": grants,
        "writes_central_data": core.local.authority()? != Authority::Central,
        "collected_stores": collected,
        "transfer_stores": transfer,
        "stores_here": named,
        "forgotten_stores": forgotten,
        "leaving_stores": frozen,
        "handed_back_refused": core.local.handed_back_refused()?,
        "last_attempt_ms": times.attempt_ms,
        "last_success_ms": times.success_ms,
        "last_drained_ms": times.drained_ms,
        "last_failure": times
            .failure
            .map(|(code, message)| json!({ "code": code, "message": message, "advice": standing.advice })),
        "next_sync_ms": null,
        "next_sync_reason": null,
        "waits_for_news": false,
        "pause": pause,
        "bytes": bytes,
        "is_metered": agent.config().pacing.metered_interval_ms.is_some(),
        "local_copy_failed": core.local.has_failed(),
        "journal": journal(&core.shared),
        "private_journal": journal(&core.private),
        "repairs": agent.repairs().iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    drop(core);
    status["at_central"] =
        standing.at_central.map_or(Value::Null, |central| json!({ "rows": central.rows, "at_ms": central.at_ms }));
    status["queue_days"] = queue_days;
    status["queue_growing"] = queue_growing;
    status["binding"] = binding;
    Ok(status)
}

/// How far a journal goes and how near its limit it is.
fn journal<S: Storage>(journal: &Journal<S>) -> Value {
    let fill = journal.fill();
    json!({
        "id": journal.identity().journal.to_string(),
        "head": journal.durable().sequence.0,
        "bytes": fill.bytes,
        "bytes_max": fill.limit_bytes,
        "percent": fill.percent(),
        "level": fill.level().as_str(),
        "floor": journal.floor().0,
        // Until it could be opened again after an error of the disk.
        "failed": journal.is_poisoned(),
    })
}
