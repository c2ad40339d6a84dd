//! What operators are shown of transfers.

use domain::catalogue::Table;
use domain::scope::Scope;
use domain::transfers::kinds::Kind;
use domain::transfers::records::INVOICES;
use protocol::ids::{RecordId, SiteId};
use sql::{Param, SqlExt};

use super::{COLUMNS, STORE_OF_NAME, Stage, Transfer};
use crate::store::error::StoreError;
use crate::store::reading::Reading;
use crate::store::{text, unsigned};

/// Days at one stage after which a transfer counts as stuck: a site that is in step comes within a day, and one that was without a link for
/// a long weekend is no reason to look.
pub const TRANSFER_STUCK_DAYS: u64 = 4;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Which transfers are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransferFilter {
    /// Only those of a store that is active at this site.
    pub site: Option<SiteId>,
    /// Only those of this store.
    pub store: Option<RecordId>,
    /// Only those that are stuck.
    pub is_stuck_only: bool,
    /// Only those behind this number.
    pub after: i64,
    /// How many at most.
    pub limit: u32,
}

/// One half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferHalf {
    /// Its table.
    pub table: String,
    /// Its id.
    pub id: RecordId,
    /// Its number, as it stands there.
    pub document_number: Option<String>,
    /// Its status.
    pub status: Option<String>,
    /// Whether it is there: it may have been deleted, or not have come.
    pub is_here: bool,
    /// Its store.
    pub store: RecordId,
    /// The site at which that is active.
    pub site: SiteId,
}

/// Whom or what a transfer waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferWait {
    /// This record has to come to central first; the reason, where there is another one.
    Record {
        /// The table, or what is waited for.
        table: String,
        /// The id.
        id: RecordId,
        /// Why, if it is not for the record alone.
        reason: Option<String>,
    },
    /// The receiving site makes its half itself.
    MakesHalf(SiteId),
    /// The half is in the queue to this site.
    Queue(SiteId),
    /// The receiving site has the half, and gives it a number.
    Number(SiteId),
    /// The sending site has the half, and links its own to it.
    Link(SiteId),
    /// Nothing.
    Nothing,
}

/// A transfer as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRow {
    /// Its number in the list.
    pub number: i64,
    /// Its kind; `None` while that cannot be told.
    pub kind: Option<Kind>,
    /// The half that starts it.
    pub source: TransferHalf,
    /// The store that receives.
    pub receiver: Option<RecordId>,
    /// The other half, once it is there.
    pub half: Option<TransferHalf>,
    /// The receiving site makes its halves itself.
    pub is_routed_only: bool,
    /// Whether the source is addressed to the receiver still.
    pub is_addressed: bool,
    /// How far it is.
    pub stage: Stage,
    /// Since when, in milliseconds since 1970.
    pub stage_ms: u64,
    /// What it waits for.
    pub waits: TransferWait,
    /// Whether somebody should look.
    pub is_stuck: bool,
}

/// How many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransfersFound {
    /// That somebody has to do something for still.
    pub open: u64,
    /// Of these, stuck ones.
    pub stuck: u64,
}

const IS_STUCK: &str = "(stage = 0 OR (stage < 4 AND stage_ms < ?1))";

impl Reading<'_> {
    /// Transfers in the order in which they began.
    ///
    /// # Errors
    /// [`StoreError::Sql`], [`StoreError::Damaged`].
    pub fn transfers(&mut self, filter: &TransferFilter, now_ms: u64) -> Result<Vec<TransferRow>, StoreError> {
        let stuck_ms = stuck_before(now_ms);
        let site = |column: &str| format!("coalesce((SELECT site FROM store_site WHERE store = {column}), 1) = ?2");
        let sql = format!(
            "SELECT {COLUMNS} FROM transfer WHERE (?5 = 0 OR {IS_STUCK}) AND (?2 = 0 OR {} OR (receiver <> '' AND {}))
                 AND (?3 = '' OR sender = ?3 OR receiver = ?3) AND number > ?4 ORDER BY number LIMIT ?6",
            site("sender"),
            site("receiver")
        );
        let params: [Param<'_>; 6] = [
            unsigned(stuck_ms),
            filter.site.map_or(0, |site| site.0).into(),
            filter.store.as_ref().map_or("", RecordId::as_str).into(),
            filter.after.into(),
            i64::from(filter.is_stuck_only).into(),
            filter.limit.into(),
        ];
        let mut found = Vec::new();
        self.sql.query(&sql, &params, &mut |row| {
            found.push(Transfer::read(row)?);
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        found.into_iter().map(|transfer| self.transfer_row(&transfer, stuck_ms)).collect()
    }

    /// How many transfers are open, and stuck.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn transfer_counts(&mut self, now_ms: u64) -> Result<TransfersFound, StoreError> {
        let sql = format!(
            "SELECT count(*), coalesce(sum(CASE WHEN {IS_STUCK} THEN 1 ELSE 0 END), 0) FROM transfer WHERE stage < 4"
        );
        let stuck_ms = [unsigned(stuck_before(now_ms))];
        let read = |row: &dyn sql::Row| Ok(TransfersFound { open: row.unsigned(0)?, stuck: row.unsigned(1)? });
        Ok(self.sql.query_one(&sql, &stuck_ms, read)?.unwrap_or_default())
    }

    /// Whether a transfer may be looked at again.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn has_waiting_transfers(&mut self) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM transfer WHERE waits_for IS NOT NULL LIMIT 1";
        Ok(self.sql.query_integer(sql, &[])?.is_some())
    }

    fn transfer_row(&mut self, transfer: &Transfer, stuck_ms: u64) -> Result<TransferRow, StoreError> {
        let source = self.transfer_half(&transfer.source_table, &transfer.source, &transfer.sender)?;
        let receiver = transfer.key.as_ref().map(|key| key.receiver.clone());
        let kind = transfer.key.as_ref().map(|key| key.kind);
        let half = match (&transfer.half, &transfer.key) {
            (Some(half), Some(key)) => Some(self.transfer_half(key.kind.half_table(), half, &key.receiver)?),
            _ => None,
        };
        let waits = self.transfer_waits(transfer, &source, half.as_ref())?;
        let is_stuck = transfer.stage == Stage::Input || transfer.stage < Stage::Done && transfer.stage_ms < stuck_ms;
        Ok(TransferRow {
            number: transfer.number,
            kind,
            source,
            receiver,
            half,
            is_routed_only: transfer.is_routed_only,
            is_addressed: transfer.is_addressed,
            stage: transfer.stage,
            stage_ms: transfer.stage_ms,
            waits,
            is_stuck,
        })
    }

    fn transfer_half(&mut self, table: &str, id: &RecordId, store: &RecordId) -> Result<TransferHalf, StoreError> {
        let table = text::table(self.catalogue, table);
        let row = self.row_of(&table, id)?;
        let column = if table.name() == INVOICES { "invoice_num" } else { "serial_number" };
        let shown = |column: &str| row.as_ref().and_then(|row| shown(&table, row, column));
        Ok(TransferHalf {
            table: table.name().to_owned(),
            id: id.clone(),
            document_number: shown(column),
            status: shown("status"),
            is_here: row.is_some(),
            store: store.clone(),
            site: self.site_of_store(store)?,
        })
    }

    fn transfer_waits(
        &mut self,
        transfer: &Transfer,
        source: &TransferHalf,
        half: Option<&TransferHalf>,
    ) -> Result<TransferWait, StoreError> {
        Ok(match (transfer.stage, half, &transfer.waits, &transfer.key) {
            (Stage::Input, _, Some((table, id)), _) => {
                let table = if table == STORE_OF_NAME { "the store of name" } else { table };
                TransferWait::Record { table: table.to_owned(), id: id.clone(), reason: transfer.reason.clone() }
            }
            (Stage::Half, _, _, Some(key)) => TransferWait::MakesHalf(self.site_of_store(&key.receiver)?),
            (Stage::Number, Some(half), _, _) => {
                let has_read = self.has_read_half(half, &Scope::Store(half.store.clone()), half.site)?;
                if has_read { TransferWait::Number(half.site) } else { TransferWait::Queue(half.site) }
            }
            (Stage::Link, Some(half), _, _) => {
                let has_read = self.has_read_half(half, &Scope::StorePartners(source.store.clone()), source.site)?;
                if has_read { TransferWait::Link(source.site) } else { TransferWait::Queue(source.site) }
            }
            _ => TransferWait::Nothing,
        })
    }

    /// Whether a site has read as far as a half stands in a lane.
    fn has_read_half(&mut self, half: &TransferHalf, scope: &Scope, site: SiteId) -> Result<bool, StoreError> {
        if site == SiteId::CENTRAL {
            return Ok(true);
        }
        let scope = scope.to_id();
        let sql =
            "SELECT 1 FROM record JOIN lane ON lane.record = record.number JOIN scope ON scope.number = lane.scope
                JOIN site_cursor ON site_cursor.scope = scope.id
            WHERE record.table_name = ?1 AND record.id = ?2 AND scope.id = ?3 AND site_cursor.site = ?4
                AND site_cursor.number >= lane.position";
        let params = [(&half.table).into(), half.id.as_str().into(), scope.as_bytes().into(), site.0.into()];
        Ok(self.sql.query_integer(sql, &params)?.is_some())
    }

    fn site_of_store(&mut self, store: &RecordId) -> Result<SiteId, StoreError> {
        Ok(self.holder_of(store)?.map_or(SiteId::CENTRAL, |(site, _)| site))
    }
}

fn stuck_before(now_ms: u64) -> u64 {
    now_ms.saturating_sub(TRANSFER_STUCK_DAYS * DAY_MS)
}

fn shown(table: &Table, row: &protocol::row::Row, column: &str) -> Option<String> {
    use protocol::row::Value;
    match row.value(&table.column_ref(column))? {
        Value::Text(text) | Value::Number(text) => Some(text.clone()),
        Value::Null | Value::Bool(_) | Value::Json(_) => None,
    }
}
