//! The audit log: who changed what at central, in the order of the commits. A change leaves its row in its own commit, so that neither
//! is there without the other; what was refused leaves one of its own.
//!
//! Changes and refusals have their own places, so that nobody who is refused again and again pushes a change out. Where the oldest rows
//! went, a floor says up to which number that was. The time of a row is shown and decides nothing.

use std::ops::ControlFlow;

use protocol::ids::SiteId;
use serde_json::Value;
use sql::{Row, SqlError, SqlExt};

use super::batch::Batch;
use super::error::StoreError;
use super::limits::AUDIT_TEXT_BYTES_MAX;
use super::reading::Reading;
use super::{text, unsigned};

/// Rows that go at most when one comes: more than one only after the limit was set lower.
const PRUNED_AT_ONCE_MAX: u64 = 1000;

const LAST: &str = "audit_last";

/// Who does what nobody asked for.
pub(super) const SYSTEM: &str = "system";

/// A site as whoever did something.
pub(super) fn site_actor(site: SiteId) -> String {
    format!("site:{site}")
}

/// How a row's change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditOutcome {
    /// Something long began; its end is another row.
    Begun,
    /// It was done.
    Done,
    /// Part of it was done.
    Partly,
    /// A rule said no; nothing was done.
    Refused,
    /// It failed; whether something was done, the row does not know.
    Failed,
}

/// What a row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Who: `local:USER`, `account:NAME`, `token:NAME`, `site:ID`, or `system`.
    pub actor: String,
    /// What was asked for.
    pub verb: String,
    /// The site that it concerns.
    pub site: Option<SiteId>,
    /// Another site that it concerns: of a move the one that the store comes from.
    pub other_site: Option<SiteId>,
    /// The store.
    pub store: Option<String>,
    /// The record's table.
    pub table: Option<String>,
    /// The record.
    pub record: Option<String>,
    /// What was asked for, without secrets.
    pub asked: Value,
    /// What was there before of what has changed; null where nothing was.
    pub before: Value,
    /// What is there now of what has changed.
    pub after: Value,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// The code of a refusal or failure.
    pub code: Option<String>,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number: rows stand in this order.
    pub number: u64,
    /// Central's clock then, in milliseconds since 1970; of a refusal that was repeated, at the last time.
    pub time_ms: u64,
    /// How often the same was refused in a row; else 1.
    pub times: u64,
    /// What it says.
    pub entry: AuditEntry,
}

/// Up to which numbers rows are gone; 0 while none is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditFloors {
    /// Of changes.
    pub changes: u64,
    /// Of refusals.
    pub refusals: u64,
}

impl AuditOutcome {
    const ALL: [Self; 5] = [Self::Begun, Self::Done, Self::Partly, Self::Refused, Self::Failed];

    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Done => "done",
            Self::Partly => "partly",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    fn number(self) -> i64 {
        match self {
            Self::Begun => 0,
            Self::Done => 1,
            Self::Partly => 2,
            Self::Refused => 3,
            Self::Failed => 4,
        }
    }
}

impl AuditEntry {
    /// Something that was done, of which nothing else is known.
    pub fn new(actor: &str, verb: &str) -> Self {
        Self {
            actor: actor.to_owned(),
            verb: verb.to_owned(),
            site: None,
            other_site: None,
            store: None,
            table: None,
            record: None,
            asked: Value::Null,
            before: Value::Null,
            after: Value::Null,
            outcome: AuditOutcome::Done,
            code: None,
        }
    }
}

impl Batch<'_> {
    /// Adds a row, and takes the oldest out where there are too many.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn add_audit(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.job(|batch| {
            let is_refusal = entry.outcome == AuditOutcome::Refused;
            if is_refusal && batch.count_repeated(entry)? {
                return Ok(());
            }
            let number = batch.counter(LAST)? + 1;
            batch.insert_audit(number, entry, is_refusal)?;
            batch.set_counter(LAST, number)?;
            batch.prune_audit(is_refusal)
        })
    }

    /// What central did by itself, or a site by coming.
    pub(super) fn note(&mut self, entry: AuditEntry, before: Value, after: Value) -> Result<(), StoreError> {
        self.add_audit(&AuditEntry { before, after, ..entry })
    }

    /// A refusal that only repeats the last row is counted there; whether it was.
    fn count_repeated(&mut self, entry: &AuditEntry) -> Result<bool, StoreError> {
        let last = self.counter(LAST)?;
        let changed = self.sql.execute(
            "UPDATE audit SET times = times + 1, time_ms = ?6
             WHERE number = ?1 AND is_refusal = 1 AND actor = ?2 AND verb = ?3 AND coalesce(code, '') = ?4 AND coalesce(asked, '') = ?5",
            &[
                unsigned(last),
                (&stored(&entry.actor)).into(),
                (&stored(&entry.verb)).into(),
                (&stored(entry.code.as_deref().unwrap_or_default())).into(),
                (&json_text(&entry.asked).unwrap_or_default()).into(),
                unsigned(self.now_ms),
            ],
        )?;
        Ok(changed > 0)
    }

    fn insert_audit(&mut self, number: u64, entry: &AuditEntry, is_refusal: bool) -> Result<(), StoreError> {
        let texts = [&entry.store, &entry.table, &entry.record, &entry.code].map(|text| text.as_deref().map(stored));
        let values = [&entry.asked, &entry.before, &entry.after].map(json_text);
        let ([store, table, record, code], [asked, before, after]) = (&texts, &values);
        self.sql.execute(
            "INSERT INTO audit (number, time_ms, times, actor, verb, site, other_site, store, table_name, record, asked, before, after,
                outcome, code, is_refusal)
             VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            &[
                unsigned(number),
                unsigned(self.now_ms),
                (&stored(&entry.actor)).into(),
                (&stored(&entry.verb)).into(),
                entry.site.map(|site| i64::from(site.0)).into(),
                entry.other_site.map(|site| i64::from(site.0)).into(),
                store.as_deref().into(),
                table.as_deref().into(),
                record.as_deref().into(),
                asked.as_deref().into(),
                before.as_deref().into(),
                after.as_deref().into(),
                entry.outcome.number().into(),
                code.as_deref().into(),
                i64::from(is_refusal).into(),
            ],
        )?;
        Ok(())
    }

    /// One row of a kind came: the oldest go that are too many.
    fn prune_audit(&mut self, is_refusal: bool) -> Result<(), StoreError> {
        let rows_max = self.limits.audit_rows_max;
        let (name, floor, rows_max) = if is_refusal {
            ("audit_refusals", "audit_refusals_floor", (rows_max / 10).max(1))
        } else {
            ("audit_changes", "audit_changes_floor", rows_max)
        };
        let count = self.counter(name)? + 1;
        let excess = count.saturating_sub(rows_max).min(PRUNED_AT_ONCE_MAX);
        if excess > 0 {
            let kind = i64::from(is_refusal);
            let sql = "SELECT number FROM audit WHERE is_refusal = ?1 ORDER BY number LIMIT 1 OFFSET ?2";
            let last = self.sql.query_one(sql, &[kind.into(), unsigned(excess - 1)], |row| row.unsigned(0))?;
            let last = last.ok_or_else(|| StoreError::Damaged(format!("the counter {name} is wrong")))?;
            self.sql
                .execute("DELETE FROM audit WHERE is_refusal = ?1 AND number <= ?2", &[kind.into(), unsigned(last)])?;
            self.set_counter(floor, last)?;
        }
        self.set_counter(name, count - excess)
    }

    fn counter(&mut self, name: &str) -> Result<u64, StoreError> {
        self.reading().audit_counter(name)
    }

    fn set_counter(&mut self, name: &str, value: u64) -> Result<(), StoreError> {
        self.sql.execute("UPDATE counter SET value = ?2 WHERE name = ?1", &[name.into(), unsigned(value)])?;
        Ok(())
    }
}

impl Reading<'_> {
    /// Rows behind a number, or else the newest ones, at most `limit`; the newest last. With `site`: those that concern it.
    ///
    /// # Errors
    /// [`StoreError::Sql`], [`StoreError::Damaged`].
    pub fn audit(&mut self, site: Option<SiteId>, after: Option<u64>, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let order = if after.is_some() { "ASC" } else { "DESC" };
        let sql = format!(
            "SELECT number, time_ms, times, actor, verb, site, other_site, store, table_name, record, asked, before, after, outcome, code
             FROM audit WHERE number > ?1 AND (?2 = 0 OR site = ?2 OR other_site = ?2) ORDER BY number {order} LIMIT ?3"
        );
        let mut rows = Vec::new();
        let wanted = site.map_or(0, |site| i64::from(site.0));
        let after = sql::Param::unsigned(after.unwrap_or(0).min(i64::MAX.cast_unsigned()))?;
        self.sql.query(&sql, &[after, wanted.into(), limit.into()], &mut |row| {
            rows.push(read(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        if order == "DESC" {
            rows.reverse();
        }
        Ok(rows)
    }

    /// Where the log begins.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn audit_floors(&mut self) -> Result<AuditFloors, StoreError> {
        Ok(AuditFloors {
            changes: self.audit_counter("audit_changes_floor")?,
            refusals: self.audit_counter("audit_refusals_floor")?,
        })
    }

    fn audit_counter(&mut self, name: &str) -> Result<u64, StoreError> {
        let sql = "SELECT value FROM counter WHERE name = ?1";
        let value = self.sql.query_one(sql, &[name.into()], |row| row.unsigned(0))?;
        value.ok_or_else(|| StoreError::Damaged(format!("the counter {name} is gone")))
    }
}

fn read(row: &dyn Row) -> Result<AuditRow, SqlError> {
    let owned = |index| Ok::<_, SqlError>(row.optional_text(index)?.map(str::to_owned));
    let site =
        |index| Ok::<_, SqlError>(row.optional_integer(index)?.and_then(|id| u32::try_from(id).ok()).map(SiteId));
    let json = |index| match row.optional_text(index)? {
        None => Ok(Value::Null),
        Some(text) => serde_json::from_str(text).map_err(|_| text::damaged(index, "JSON")),
    };
    let outcome = row.integer(13)?;
    let outcome = AuditOutcome::ALL.into_iter().find(|known| known.number() == outcome);
    Ok(AuditRow {
        number: row.unsigned(0)?,
        time_ms: row.unsigned(1)?,
        times: row.unsigned(2)?,
        entry: AuditEntry {
            actor: row.text(3)?.to_owned(),
            verb: row.text(4)?.to_owned(),
            site: site(5)?,
            other_site: site(6)?,
            store: owned(7)?,
            table: owned(8)?,
            record: owned(9)?,
            asked: json(10)?,
            before: json(11)?,
            after: json(12)?,
            outcome: outcome.ok_or_else(|| text::damaged(13, "outcome"))?,
            code: owned(14)?,
        },
    })
}

/// A text as SQL can keep it: without NUL, and not endless.
fn stored(text: &str) -> String {
    protocol::message::truncate(&text.replace('\0', " "), AUDIT_TEXT_BYTES_MAX).to_owned()
}

/// A value as JSON; of what is too long only that it was.
fn json_text(value: &Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let text = value.to_string();
    let is_long = text.len() > AUDIT_TEXT_BYTES_MAX;
    Some(if is_long { serde_json::json!({ "too_long_to_keep_bytes": text.len() }).to_string() } else { text })
}
