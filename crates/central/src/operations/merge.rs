//! `merge`: makes two records one.

use serde_json::json;

use super::records::known_table;
use super::request::Done;
use super::sites::record_id;
use crate::center::Center;
use crate::error::CentralError;
use crate::store::Merge;

pub(super) fn merge(center: &Center, table: &str, from: &str, into: &str) -> Result<Done, CentralError> {
    let name = known_table(center, table)?.name().to_owned();
    let (asked_from, asked_into) = (record_id(from)?, record_id(into)?);
    let merge = center.write(move |batch| batch.merge(&name, &asked_from, &asked_into))?;
    Ok(Done::ok(match merge {
        Merge::Done { from: gone, into: stays, position } => {
            tracing::info!(
                table,
                from = gone.as_str(),
                into = stays.as_str(),
                position = position.0,
                "records were merged"
            );
            json!({
                "table": table,
                "from": gone.as_str(),
                "into": stays.as_str(),
                "asked_from": from,
                "asked_into": into,
                "is_new": true,
                "position": position.0,
            })
        }
        Merge::Nothing { both } => json!({
            "table": table,
            "from": both.as_str(),
            "into": both.as_str(),
            "asked_from": from,
            "asked_into": into,
            "is_new": false,
            "position": null,
        }),
    }))
}
