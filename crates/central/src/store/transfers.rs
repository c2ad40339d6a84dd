//! Transfers at central (`domain::transfers`; `domain.md`, "Transfers"): the row of each, which guards that its responding half is made at
//! most once and outlives both halves.
//!
//! | module | does |
//! | --- | --- |
//! | `following` | what follows from the edits of a group, once all of them are written: proposals, halves, and what central owes as a site |
//! | `making` | makes a half, or notes what it waits for |
//! | `proposing` | asks a half's owner to follow a change of the other half |
//! | `behind` | remembers what a half that stands does not follow, until its source counts again |
//! | `routing` | the lanes of partners: which records stand there |
//! | `view` | what the rules read |
//! | `listing` | what operators are shown |
//!
//! A half is made in the commit that writes the edit by which its transfer begins, behind all entries of the group and of those that
//! waited for it. A transfer that has to wait for something is looked at again when that is written, and now and then.

mod behind;
mod following;
mod listing;
mod making;
mod proposing;
mod routing;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use domain::transfers::ids::TransferKey;
use domain::transfers::kinds::Kind;
use domain::transfers::records::{
    Awaited, GOODS, GOODS_LINES, INVOICE_LINES, INVOICES, ORDER_LINES, ORDERS, REQUISITION_LINES, REQUISITIONS,
};
use protocol::ids::RecordId;
use protocol::row::Row as Columns;
use sql::{Param, Row, Sql, SqlExt};

use super::batch::Batch;
use super::error::StoreError;
use super::records::Key;
use super::{text, unsigned};

pub use listing::{TRANSFER_STUCK_DAYS, TransferFilter, TransferHalf, TransferRow, TransferWait, TransfersFound};

/// Tables of halves.
const HEADERS: [&str; 4] = [INVOICES, REQUISITIONS, ORDERS, GOODS];
/// Tables of their lines.
const LINES: [&str; 4] = [INVOICE_LINES, REQUISITION_LINES, ORDER_LINES, GOODS_LINES];

/// `kind` and `receiver` are empty while it cannot be told yet whether, and with whom, the source starts a transfer. `waits_table` and
/// `waits_for`: the record that has to come first; for the store of a name the table is [`STORE_OF_NAME`]. `stage`: a [`Stage`].
/// `transfer_proposal`: the last message by which something was proposed of a record; none for one that central deleted itself. For
/// `transfer_behind` see the module `behind`: empty `data` of a record that was not there.
pub(super) const DDL: &str = "
CREATE TABLE transfer (
    number {bigint} PRIMARY KEY,
    kind {text} NOT NULL,
    source {text} NOT NULL,
    receiver {text} NOT NULL,
    sender {text} NOT NULL,
    source_table {text} NOT NULL,
    half_table {text} NOT NULL,
    half {text},
    is_routed_only {bigint} NOT NULL,
    is_addressed {bigint} NOT NULL,
    waits_table {text},
    waits_for {text},
    reason {text},
    tried_ms {bigint} NOT NULL,
    stage {bigint} NOT NULL,
    stage_ms {bigint} NOT NULL,
    began_ms {bigint} NOT NULL,
    UNIQUE (kind, source, receiver)
) {table};
CREATE INDEX transfer_source ON transfer (source);
CREATE INDEX transfer_half ON transfer (half);
CREATE INDEX transfer_sender ON transfer (sender);
CREATE INDEX transfer_receiver ON transfer (receiver);
CREATE INDEX transfer_waits ON transfer (waits_for) WHERE waits_for IS NOT NULL;
CREATE INDEX transfer_open ON transfer (stage, stage_ms) WHERE stage < 4;
CREATE TABLE transfer_proposal (
    table_name {text} NOT NULL,
    record {text} NOT NULL,
    message {text},
    PRIMARY KEY (table_name, record)
) {keyed_table};
CREATE TABLE transfer_behind (
    transfer {bigint} NOT NULL,
    table_name {text} NOT NULL,
    record {text} NOT NULL,
    data {text},
    PRIMARY KEY (transfer, table_name, record)
) {keyed_table};
ALTER TABLE site ADD COLUMN makes_own_halves {bigint} NOT NULL DEFAULT 0;
";

/// What stands for a table where the store of a name is waited for.
const STORE_OF_NAME: &str = "store of name";

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Something has to come before the half can be made.
    Input,
    /// The receiving site makes the half itself.
    Half,
    /// The receiving site has to give it a number.
    Number,
    /// The sending site has to write the link.
    Link,
    /// Nothing is owed by anybody.
    Done,
}

impl Stage {
    const ALL: [Self; 5] = [Self::Input, Self::Half, Self::Number, Self::Link, Self::Done];

    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Half => "half",
            Self::Number => "number",
            Self::Link => "link",
            Self::Done => "done",
        }
    }

    fn number(self) -> i64 {
        match self {
            Self::Input => 0,
            Self::Half => 1,
            Self::Number => 2,
            Self::Link => 3,
            Self::Done => 4,
        }
    }
}

/// A transfer as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transfer {
    number: i64,
    /// `None` while it cannot be told.
    key: Option<TransferKey>,
    source_table: String,
    source: RecordId,
    sender: RecordId,
    half: Option<RecordId>,
    /// The receiving site makes the half itself.
    is_routed_only: bool,
    /// Whether the source is addressed to the receiver still.
    is_addressed: bool,
    /// Table, or [`STORE_OF_NAME`], and id.
    waits: Option<(String, RecordId)>,
    reason: Option<String>,
    stage: Stage,
    stage_ms: u64,
    began_ms: u64,
}

const COLUMNS: &str =
    "number, kind, source, receiver, sender, source_table, half, is_routed_only, is_addressed, waits_table, waits_for,
    reason, stage, stage_ms, began_ms";

/// What the open job wrote that transfers follow.
#[derive(Debug, Clone, Default)]
pub(super) struct Following {
    /// Halves, and lines of them, each as it was before.
    pub(super) written: BTreeMap<Key, Option<Columns>>,
    /// Transfers to look at again.
    pub(super) ready: BTreeSet<i64>,
    /// How many transfers wait for a record. Kept in memory: each write asks.
    pub(super) waiting: u64,
}

impl Following {
    pub(super) fn load(sql: &mut (dyn Sql + '_)) -> Result<Self, StoreError> {
        let sql_waiting = "SELECT count(*) FROM transfer WHERE waits_for IS NOT NULL";
        let waiting = sql.query_one(sql_waiting, &[], |row| row.unsigned(0))?.unwrap_or(0);
        Ok(Self { waiting, ..Self::default() })
    }
}

impl Transfer {
    fn read(row: &dyn Row) -> Result<Self, sql::SqlError> {
        let source = text::record_id(row, 2)?;
        let key = match row.text(1)? {
            "" => None,
            word => {
                let kind = Kind::of(word).ok_or_else(|| text::damaged(1, "kind of transfer"))?;
                Some(TransferKey { kind, source: source.clone(), receiver: text::record_id(row, 3)? })
            }
        };
        let waits = row.optional_text(9)?.map(str::to_owned).zip(text::optional_record_id(row, 10)?);
        let stage = row.integer(12)?;
        let stage = Stage::ALL.into_iter().find(|known| known.number() == stage);
        Ok(Self {
            number: row.integer(0)?,
            key,
            source_table: row.text(5)?.to_owned(),
            source,
            sender: text::record_id(row, 4)?,
            half: text::optional_record_id(row, 6)?,
            is_routed_only: row.integer(7)? != 0,
            is_addressed: row.integer(8)? != 0,
            waits,
            reason: row.optional_text(11)?.map(str::to_owned),
            stage: stage.ok_or_else(|| text::damaged(12, "stage of a transfer"))?,
            stage_ms: row.unsigned(13)?,
            began_ms: row.unsigned(14)?,
        })
    }
}

/// The table under which what is awaited is kept, and the id.
fn awaited_place(awaited: &Awaited) -> (&'static str, &RecordId) {
    match awaited {
        Awaited::Record { table, id } => (table, id),
        Awaited::StoreOfName(name) => (STORE_OF_NAME, name),
    }
}

impl Batch<'_> {
    /// Transfers that a condition holds for, by number.
    fn transfers(&mut self, condition: &str, params: &[Param<'_>]) -> Result<Vec<Transfer>, StoreError> {
        let mut found = Vec::new();
        let sql = format!("SELECT {COLUMNS} FROM transfer WHERE {condition} ORDER BY number");
        self.sql.query(&sql, params, &mut |row| {
            found.push(Transfer::read(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    fn transfer(&mut self, number: i64) -> Result<Option<Transfer>, StoreError> {
        Ok(self.transfers("number = ?1", &[number.into()])?.pop())
    }

    /// Those of which a record is either half.
    fn transfers_of(&mut self, table: &str, id: &RecordId) -> Result<Vec<Transfer>, StoreError> {
        let params = [id.as_str().into(), table.into()];
        let mut found = self.transfers("source = ?1 AND source_table = ?2", &params)?;
        found.extend(self.transfers("half = ?1 AND half_table = ?2", &params)?);
        Ok(found)
    }

    fn transfer_by_key(&mut self, key: &TransferKey) -> Result<Option<Transfer>, StoreError> {
        let params = [key.kind.as_str().into(), key.source.as_str().into(), key.receiver.as_str().into()];
        Ok(self.transfers("kind = ?1 AND source = ?2 AND receiver = ?3", &params)?.pop())
    }

    /// A new row. `key`: none while it cannot be told.
    fn insert_transfer(
        &mut self,
        key: Option<&TransferKey>,
        (source_table, source): (&str, &RecordId),
        sender: &RecordId,
        is_routed_only: bool,
    ) -> Result<Transfer, StoreError> {
        let number = self.sql.query_integer("SELECT max(number) FROM transfer", &[])?.unwrap_or(0) + 1;
        let stage = if is_routed_only { Stage::Half } else { Stage::Input };
        self.sql.execute(
            "INSERT INTO transfer (number, kind, source, receiver, sender, source_table, half_table, is_routed_only, is_addressed,
                 tried_ms, stage, stage_ms, began_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9, ?10, ?9, ?9)",
            &[
                number.into(),
                key.map_or("", |key| key.kind.as_str()).into(),
                source.as_str().into(),
                key.map_or("", |key| key.receiver.as_str()).into(),
                sender.as_str().into(),
                source_table.into(),
                key.map_or("", |key| key.kind.half_table()).into(),
                i64::from(is_routed_only).into(),
                unsigned(self.now_ms),
                stage.number().into(),
            ],
        )?;
        self.transfer(number)?.ok_or_else(|| StoreError::Damaged("a transfer is gone that was just noted".to_owned()))
    }

    /// It waits for this, or for nothing.
    fn set_transfer_waits(
        &mut self,
        number: i64,
        waits: Option<(&str, &RecordId)>,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE transfer SET waits_table = ?2, waits_for = ?3, reason = ?4, tried_ms = ?5 WHERE number = ?1",
            &[
                number.into(),
                waits.map(|(table, _)| table).into(),
                waits.map(|(_, id)| id.as_str()).into(),
                reason.into(),
                unsigned(self.now_ms),
            ],
        )?;
        self.state.transfers.waiting = Following::load(self.sql)?.waiting;
        Ok(())
    }

    fn set_transfer_half(&mut self, number: i64, half: &RecordId) -> Result<(), StoreError> {
        let sql = "UPDATE transfer SET half = ?2 WHERE number = ?1";
        self.sql.execute(sql, &[number.into(), half.as_str().into()])?;
        self.set_transfer_waits(number, None, None)
    }
}
