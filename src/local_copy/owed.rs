//! What this site owes in answer to records that came (rule 5.14): noted in the page's transaction, and kept until the answer is in the
//! journal. Whether it is owed still is found from the records, so that doing it again after a crash does nothing twice.
//!
//! | kind | the record | noted with |
//! | --- | --- | --- |
//! | `proposal` | a message of central's | the page that brings it |
//! | `transfer` | a record that is, or may be answered by, a half of a transfer; of a line its header | the page, this site's own edit, the grant of a store |
//! | `half` | an initiating half whose other half this site makes, and for which something is not here | the edit that has it count |
//! | `change` | an initiating half, or a line of one, of whose edit it cannot be told yet what follows for the other half, which is this site's | that edit |

use std::ops::ControlFlow;

use domain::catalogue::Table;
use domain::json::{row_from_json, row_to_json};
use domain::proposal::{MESSAGE_TABLE, asked_store};
use domain::transfers::records::{GOODS, GOODS_LINES, INVOICES, ORDER_LINES, ORDERS, REQUISITION_LINES, REQUISITIONS};
use protocol::ids::RecordId;
use protocol::row::{Row, Value};
use sql::SqlExt;

use super::images::{Image, Key};
use super::{LocalCopy, LocalCopyError};

/// Answers that are looked for at once.
const OWED_READ_MAX: u32 = 100;

/// What is owed in answer to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwedKind {
    /// That a proposal is made, or declined.
    Proposal,
    /// What `domain::transfers::owed` says.
    Transfer,
    /// The other half of a transfer.
    Half,
    /// That the other half follows an edit.
    Change,
}

impl OwedKind {
    const ALL: [Self; 4] = [Self::Proposal, Self::Transfer, Self::Half, Self::Change];

    fn as_str(self) -> &'static str {
        match self {
            Self::Proposal => "proposal",
            Self::Transfer => "transfer",
            Self::Half => "half",
            Self::Change => "change",
        }
    }
}

/// An answer that is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Its number, in the order in which what it answers came.
    pub number: i64,
    /// What is owed.
    pub kind: OwedKind,
    /// The table of what it answers.
    pub table: String,
    /// The record that it answers.
    pub record: RecordId,
    /// Of an edit that is followed: the record as it was before the first of them; `None` if it was not here.
    pub before: Option<Row>,
}

impl LocalCopy {
    /// Within a transaction: what this site owes in answer to an image that came, or that an edit of its own has made. Whether it was not
    /// owed before.
    pub(super) fn note_owed(&mut self, key: &Key, image: &Image) -> Result<(), LocalCopyError> {
        let Some(row) = &image.row else { return Ok(()) };
        if key.table.name() == MESSAGE_TABLE {
            return match asked_store(&key.table, row) {
                Some(_) => self.owe(OwedKind::Proposal, MESSAGE_TABLE, &key.id).map(|_| ()),
                None => Ok(()),
            };
        }
        match self.of_transfer(&key.table, &key.id, row)? {
            Some((table, header)) => self.owe(OwedKind::Transfer, table, &header).map(|_| ()),
            None => Ok(()),
        }
    }

    /// The same of an edit of this site's own: the recorder answers at once.
    pub(super) fn note_owed_of_own(&mut self, key: &Key, image: &Image) -> Result<(), LocalCopyError> {
        let Some(row) = image.row.as_ref().filter(|_| key.table.name() != MESSAGE_TABLE) else { return Ok(()) };
        if let Some((table, header)) = self.of_transfer(&key.table, &key.id, row)? {
            self.owe_at_once(OwedKind::Transfer, table, &header)?;
        }
        Ok(())
    }

    /// Within the transaction of edits: what is to be answered behind its commit.
    ///
    /// # Errors
    /// Those of a write.
    pub fn owe_at_once(&mut self, kind: OwedKind, table: &str, record: &RecordId) -> Result<(), LocalCopyError> {
        if let Some(number) = self.owe(kind, table, record)? {
            self.owed_from = Some(self.owed_from.map_or(number, |first| first.min(number)));
        }
        Ok(())
    }

    /// Within the transaction of edits: what follows from an edit for the other half cannot be told yet. What is owed of the record already
    /// stays, since that is what the other half has to follow from. A crash that takes this with the edit, which is journaled, takes it
    /// for good: the other half stays as it is then, until its source is edited again.
    ///
    /// # Errors
    /// Those of a write.
    pub fn owe_change(&mut self, table: &Table, record: &RecordId, before: Option<&Row>) -> Result<(), LocalCopyError> {
        self.owe_at_once(OwedKind::Change, table.name(), record)?;
        let data = before.map(|row| row_to_json(table, record, row));
        let sql = "UPDATE owed SET earlier = ?3, has_earlier = 1
            WHERE kind = ?4 AND table_name = ?1 AND id = ?2 AND has_earlier = 0";
        let kind = OwedKind::Change.as_str();
        self.sql.execute(sql, &[table.name().into(), record.as_str().into(), data.as_deref().into(), kind.into()])?;
        Ok(())
    }

    /// What was to be answered at once since this was asked last: all behind this number.
    pub fn take_owed_at_once(&mut self) -> Option<i64> {
        self.owed_from.take().map(|first| first - 1)
    }

    /// Its number, if it was not owed before.
    fn owe(&mut self, kind: OwedKind, table: &str, record: &RecordId) -> Result<Option<i64>, LocalCopyError> {
        let number = self.sql.query_integer("SELECT max(number) FROM owed", &[])?.unwrap_or(0) + 1;
        let added = self.sql.execute(
            "INSERT INTO owed (number, kind, table_name, id) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (kind, table_name, id) DO NOTHING",
            &[number.into(), kind.as_str().into(), table.into(), record.as_str().into()],
        )?;
        Ok((added > 0).then_some(number))
    }

    /// The half that `domain::transfers::owed` is to be asked about because of a record; `None` where nothing can be owed. Of an initiating
    /// half something is owed only once the other one is here, and that is noted itself.
    fn of_transfer(
        &mut self,
        table: &Table,
        id: &RecordId,
        row: &Row,
    ) -> Result<Option<(&'static str, RecordId)>, LocalCopyError> {
        let is = |column: &str, words: &[&str]| match row.value(&table.column_ref(column)) {
            Some(Value::Text(text)) => words.iter().any(|word| text.eq_ignore_ascii_case(word)),
            _ => false,
        };
        let holds = |column: &str| table.id_in(row, column).is_ok();
        let is_noted = match table.name() {
            INVOICES if is("type", &["si", "cc"]) => holds("linked_transaction_id"),
            INVOICES if holds("original_PO_ID") => is("type", &["ci"]),
            INVOICES => {
                let may_have_begun = is("type", &["ci", "sc"]) && is("status", &["fn"]) && !is("mode", &["dispensary"]);
                may_have_begun && self.is_referred_to(INVOICES, "linked_transaction_id", id)?
            }
            REQUISITIONS if is("type", &["response"]) => holds("linked_requisition_id"),
            REQUISITIONS => self.is_referred_to(REQUISITIONS, "linked_requisition_id", id)?,
            GOODS => holds("purchase_order_ID"),
            ORDERS => self.is_referred_to(GOODS, "purchase_order_ID", id)?,
            REQUISITION_LINES | GOODS_LINES | ORDER_LINES => return self.of_line(table, row),
            _ => false,
        };
        let header = [INVOICES, REQUISITIONS, GOODS, ORDERS].into_iter().find(|name| is_noted && *name == table.name());
        Ok(header.map(|name| (name, id.clone())))
    }

    fn of_line(&mut self, table: &Table, row: &Row) -> Result<Option<(&'static str, RecordId)>, LocalCopyError> {
        let Some(Ok(header)) = table.header_of(row) else { return Ok(None) };
        Ok(match table.name() {
            GOODS_LINES => Some((GOODS, header)),
            ORDER_LINES => self.is_referred_to(GOODS, "purchase_order_ID", &header)?.then_some((ORDERS, header)),
            // Of either half: the one has the link, the other is referred to.
            _ => {
                let sql = "SELECT 1 FROM record WHERE table_name = ?1 AND id = ?2
                               AND json_extract(data, '$.linked_requisition_id') <> ''";
                let is_linked = self.sql.query_integer(sql, &[REQUISITIONS.into(), header.as_str().into()])?.is_some();
                let is_half = is_linked || self.is_referred_to(REQUISITIONS, "linked_requisition_id", &header)?;
                is_half.then_some((REQUISITIONS, header))
            }
        })
    }

    /// Inside the open transaction: this site was given a store, of which halves of transfers may be here since before.
    pub(super) fn owe_look_at_transfers(&mut self) -> Result<(), LocalCopyError> {
        for (table, column) in [
            (INVOICES, "linked_transaction_id"),
            (INVOICES, "original_PO_ID"),
            (REQUISITIONS, "linked_requisition_id"),
            (GOODS, "purchase_order_ID"),
        ] {
            // In the order of the index, which holds nothing else.
            let sql = format!(
                "INSERT INTO owed (number, kind, table_name, id)
                 SELECT (SELECT coalesce(max(number), 0) FROM owed) + row_number() OVER (), ?1, table_name, id FROM record
                 WHERE table_name = '{table}' AND json_extract(data, '$.{column}') <> ''
                 ON CONFLICT (kind, table_name, id) DO NOTHING"
            );
            self.sql.execute(&sql, &[OwedKind::Transfer.as_str().into()])?;
        }
        Ok(())
    }

    /// The next answers that are owed, behind a number. None while records are read anew: what is here may be what central has lost.
    ///
    /// # Errors
    /// Those of a read.
    pub fn next_owed(&mut self, after: i64) -> Result<Vec<Owed>, LocalCopyError> {
        if self.is_rebuilding()? {
            return Ok(Vec::new());
        }
        let mut owed = Vec::new();
        self.sql.query(
            "SELECT number, kind, table_name, id, earlier FROM owed WHERE number > ?1 ORDER BY number LIMIT ?2",
            &[after.into(), OWED_READ_MAX.into()],
            &mut |row| {
                let [kind, table, id] = [row.text(1)?, row.text(2)?, row.text(3)?].map(str::to_owned);
                owed.push((row.integer(0)?, kind, table, id, row.optional_text(4)?.map(str::to_owned)));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        let catalogue = self.catalogue.clone();
        let read = |(number, kind, table, id, before): (i64, String, String, String, Option<String>)| {
            let kind = OwedKind::ALL.into_iter().find(|known| known.as_str() == kind);
            let kind = kind.ok_or_else(|| LocalCopyError::damaged("an answer of an unknown kind is owed"))?;
            let record = RecordId::new(&id).map_err(LocalCopyError::damaged)?;
            let before = match (before, catalogue.table_by_name(&table)) {
                (Some(data), Ok(table)) => Some(row_from_json(table, &record, &data).map_err(LocalCopyError::damaged)?),
                _ => None,
            };
            Ok(Owed { number, kind, table, record, before })
        };
        owed.into_iter().map(read).collect()
    }

    /// Within the transaction of edits: one is owed no more.
    ///
    /// # Errors
    /// Those of a write.
    pub fn end_owed(&mut self, number: i64) -> Result<(), LocalCopyError> {
        self.sql.execute("DELETE FROM owed WHERE number = ?1", &[number.into()])?;
        Ok(())
    }

    /// Within the transaction of edits: why one is not given yet. Whether that is not known already.
    ///
    /// # Errors
    /// Those of a write.
    pub fn keep_owed(&mut self, number: i64, code: &str) -> Result<bool, LocalCopyError> {
        let sql = "UPDATE owed SET code = ?2 WHERE number = ?1 AND code IS NOT ?2";
        Ok(self.sql.execute(sql, &[number.into(), code.into()])? > 0)
    }
}
