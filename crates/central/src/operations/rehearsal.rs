//! `--dry-run`: what a change would bring to which site; nothing changes.

use serde_json::{Value, json};

use super::acting::Acting;
use crate::center::Center;
use crate::error::CentralError;
use crate::store::{Batch, Flow, Forecast, StoreError};

/// Carries out a change, or only looks at what it would bring: then with what it would bring.
pub(super) fn run<T: Send + 'static>(
    center: &Acting<'_>,
    is_dry_run: bool,
    work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError> + Send + 'static,
) -> Result<(T, Option<Forecast>), CentralError> {
    if is_dry_run {
        let plain: &Center = center;
        let (value, forecast) = plain.write(move |batch| batch.rehearse(work))?;
        return Ok((value, Some(forecast)));
    }
    Ok((center.write(work)?, None))
}

/// Adds what would come to an answer.
pub(super) fn add_to(mut answer: Value, forecast: Option<&Forecast>) -> Value {
    answer["dry_run"] = forecast.map(forecast_json).unwrap_or_default();
    answer
}

fn forecast_json(forecast: &Forecast) -> Value {
    let sites: Vec<Value> = forecast
        .sites
        .iter()
        .map(|site| {
            json!({
                "id": site.site.0,
                "name": site.name,
                "comes": site.comes.iter().map(flow_json).collect::<Vec<_>>(),
                "goes": site.goes.iter().map(flow_json).collect::<Vec<_>>(),
                "records_come": site.comes.iter().map(|flow| flow.records).sum::<u64>(),
                "bytes_come": site.comes.iter().map(|flow| flow.bytes).sum::<u64>(),
                "records_go": site.goes.iter().map(|flow| flow.records).sum::<u64>(),
                "bytes_go": site.goes.iter().map(|flow| flow.bytes).sum::<u64>(),
            })
        })
        .collect();
    json!({ "sites": sites, "is_cut": forecast.is_cut })
}

fn flow_json(flow: &Flow) -> Value {
    json!({ "what": flow.what, "records": flow.records, "bytes": flow.bytes })
}
