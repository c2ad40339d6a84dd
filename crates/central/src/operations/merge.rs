//! `merge`: makes two records one.

use serde_json::json;

use super::acting::Acting;
use super::records::known_table;
use super::request::Done;
use super::sites::record_id;
use crate::error::CentralError;
use crate::store::Merge;

pub(super) fn merge(center: &Acting<'_>, table: &str, from: &str, into: &str) -> Result<Done, CentralError> {
    let name = known_table(center, table)?.name().to_owned();
    let (asked_from, asked_into) = (record_id(from)?, record_id(into)?);
    let merge = center.write(move |batch| batch.merge(&name, &asked_from, &asked_into))?;
    let (gone, stays, position) = match &merge {
        Merge::Done { from, into, position } => (from, into, Some(position.0)),
        Merge::Nothing { both } => (both, both, None),
    };
    if position.is_some() {
        tracing::info!(table, from = gone.as_str(), into = stays.as_str(), position, "records were merged");
    }
    Ok(Done::ok(json!({
        "table": table,
        "from": gone.as_str(),
        "into": stays.as_str(),
        "asked_from": from,
        "asked_into": into,
        "is_new": position.is_some(),
        "position": position,
    })))
}
