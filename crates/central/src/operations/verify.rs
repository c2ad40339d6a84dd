//! Asking a site to compare what it has, and what it found the last time.

use protocol::ids::{RecordId, SiteId};
use serde_json::{Value, json};

use super::acting::Acting;
use super::request::Done;
use super::sites::find;
use crate::clock;
use crate::error::CentralError;
use crate::store::{Reading, StoreError, UnreadableRecord, UnreadableRecords};

/// The site is asked with its next sync.
pub(super) fn ask(center: &Acting<'_>, site: &str) -> Result<Done, CentralError> {
    let site = find(center, site)?;
    let id = site.id;
    center.write(move |batch| batch.ask_to_verify(id))?;
    tracing::info!(site = id.0, "a site was asked to verify what it has");
    let unreadable = center.read(unreadable)?;
    if unreadable.count > 0 {
        tracing::error!(records = unreadable.count, "central cannot read some of its records");
    }
    Ok(Done::ok(json!({
        "id": id.0,
        "name": site.name,
        "unreadable_count": unreadable.count,
        "unreadable": unreadable.named.iter().map(|record| unreadable_json(record, id)).collect::<Vec<_>>(),
    })))
}

fn unreadable(reading: &mut Reading<'_>) -> Result<UnreadableRecords, StoreError> {
    reading.unreadable_records()
}

/// A record that central cannot read, and how it is mended.
fn unreadable_json(record: &UnreadableRecord, asked: SiteId) -> Value {
    let mend = match record.site {
        SiteId::CENTRAL => "import it whole: a line with `put` takes its place".to_owned(),
        site if site == asked => "the site sends it again with its next sync".to_owned(),
        site => format!("`site verify {site}`: that site sends it again"),
    };
    json!({
        "table": record.table,
        "id": record.record,
        "store": record.store.as_ref().map(RecordId::as_str),
        "site": record.site.0,
        "fault": record.fault,
        "mend": mend,
    })
}

/// What is known of the last time, for `site show`.
pub(super) fn shown(reading: &mut Reading<'_>, site: SiteId) -> Result<[(&'static str, Value); 3], StoreError> {
    let verified = reading.verified(site)?;
    let outcome = verified.last.map(|(_, outcome)| {
        let word = if outcome.is_whole { "has what it should have" } else { "differs" };
        let done = [
            (outcome.sent_again, "sent again"),
            (outcome.pulled, "pulled"),
            (outcome.set_aside, "set aside"),
            (outcome.let_go, "let go"),
            (outcome.left_alone, "left alone"),
        ];
        let done = done.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
        format!("{word}; {} records compared{}", outcome.records, done.collect::<String>())
    });
    Ok([
        ("verify_asked", verified.asked_ms.map(clock::date_text).into()),
        ("verified", verified.last.map(|(at_ms, _)| clock::date_text(at_ms)).into()),
        ("verify_outcome", outcome.into()),
    ])
}
