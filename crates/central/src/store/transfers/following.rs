//! The end of a group, or of an order of an operator's: what transfers follow from what was written.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::catalogue::Table;
use domain::edit::Edit;
use domain::transfers::ids::TransferKey;
use domain::transfers::kinds::{Counted, Kind, Standing, counted, standing};
use domain::transfers::owed::{Owing, owed};
use domain::transfers::records::{GOODS, GOODS_LINES, INVOICES, NAMES, ORDERS, REQUISITIONS, Records, STORES};
use protocol::ids::{RecordId, SiteId, TableRef};
use protocol::row::{Row, Value};
use sql::Param;

use super::view::TransferView;
use super::{HEADERS, LINES, STORE_OF_NAME, Stage, Transfer, awaited_place};
use crate::store::batch::Batch;
use crate::store::error::StoreError;
use crate::store::records::Key;
use crate::store::{text, unsigned};

/// A record with its table.
type Named = (Arc<Table>, Row);

/// How often what was written because of what was written is followed. A chain of transfers within central takes about ten: order, invoice,
/// number, goods received, number, link, quantities.
const ROUNDS_MAX: u32 = 64;
/// How often one record is asked what is owed for it: one number is given at a time.
const PAYMENTS_MAX: u32 = 64;
/// A transfer that waits is looked at again after this long whatever was written: a merge may have brought what it waits for.
const TRY_AGAIN_MS: u64 = 60_000;

impl Batch<'_> {
    /// Notes that a record was written that transfers may follow. `before`: as it was, if that was read.
    pub(in crate::store) fn note_written(
        &mut self,
        table: &Table,
        key: &Key,
        before: Option<Row>,
        row: Option<&Row>,
        is_with_partner: bool,
    ) -> Result<(), StoreError> {
        let is_line = LINES.contains(&table.name()) && (is_with_partner || table.name() == GOODS_LINES);
        if is_line || HEADERS.contains(&table.name()) {
            // As it was before the first of the group's edits.
            self.state.transfers.written.entry(key.clone()).or_insert(before);
        }
        if self.state.transfers.waiting == 0 {
            return Ok(());
        }
        self.wake("waits_for = ?1 AND waits_table = ?2", &[key.1.as_str().into(), table.name().into()])?;
        if table.name() == STORES
            && let Some(Ok(name)) = row.map(|row| table.id_in(row, "name_ID"))
        {
            self.wake("waits_for = ?1 AND waits_table = ?2", &[name.as_str().into(), STORE_OF_NAME.into()])?;
        }
        Ok(())
    }

    /// Whether transfers follow what becomes of the records of a table.
    pub(in crate::store) fn is_followed(&self, table: &Table) -> bool {
        let has_lines = LINES.contains(&table.name()) && !self.state.partners.is_empty();
        has_lines || HEADERS.contains(&table.name())
    }

    fn wake(&mut self, condition: &str, params: &[Param<'_>]) -> Result<(), StoreError> {
        let found = self.transfers(condition, params)?;
        self.state.transfers.ready.extend(found.into_iter().map(|transfer| transfer.number));
        Ok(())
    }

    /// A store came to central: what its site owed central owes now.
    pub(in crate::store) fn wake_transfers_of(&mut self, store: &RecordId) -> Result<(), StoreError> {
        let condition = "(sender = ?1 OR receiver = ?1) AND stage < ?2";
        self.wake(condition, &[store.as_str().into(), Stage::Done.number().into()])
    }

    /// A site has reported since central was set back: it has handed back what halves it had.
    pub(in crate::store) fn wake_transfers_to(&mut self, site: SiteId) -> Result<(), StoreError> {
        if self.state.transfers.waiting == 0 {
            return Ok(());
        }
        let condition = "waits_for IS NOT NULL AND receiver IN (SELECT store FROM store_site WHERE site = ?1)";
        self.wake(condition, &[site.0.into()])
    }

    /// Looks again at some transfers that wait. Whether there may be more.
    ///
    /// # Errors
    /// Those of a write.
    pub fn retry_transfers_step(&mut self, transfers_max: u64) -> Result<bool, StoreError> {
        self.job(|batch| {
            let before_ms = batch.now_ms.saturating_sub(TRY_AGAIN_MS);
            let mut waiting = batch.transfers("waits_for IS NOT NULL AND tried_ms < ?1", &[unsigned(before_ms)])?;
            let is_cut = waiting.len() as u64 > transfers_max;
            waiting.truncate(usize::try_from(transfers_max).unwrap_or(usize::MAX));
            for transfer in waiting {
                let sql = "UPDATE transfer SET tried_ms = ?2 WHERE number = ?1";
                batch.sql.execute(sql, &[transfer.number.into(), unsigned(batch.now_ms)])?;
                batch.state.transfers.ready.insert(transfer.number);
            }
            batch.follow_transfers()?;
            Ok(is_cut)
        })
    }

    /// Follows what was written since it was last called, and what follows from that.
    pub(in crate::store) fn follow_transfers(&mut self) -> Result<(), StoreError> {
        for _ in 0..ROUNDS_MAX {
            let written = std::mem::take(&mut self.state.transfers.written);
            let ready = std::mem::take(&mut self.state.transfers.ready);
            if written.is_empty() && ready.is_empty() {
                return Ok(());
            }
            let is_header = |key: &Key| HEADERS.contains(&self.catalogue.table_name(&key.0).as_str());
            let (headers, lines): (Vec<_>, Vec<_>) = written.into_iter().partition(|(key, _)| is_header(key));
            for (key, before) in headers.iter().chain(&lines) {
                let again = if before.is_none() { self.come_again(key)? } else { None };
                self.propose_consequences(key, again.as_ref().or(before.as_ref()))?;
                self.note_behind(key, before.as_ref())?;
            }
            self.note_gone_lines(&lines)?;
            for (key, before) in &headers {
                self.follow_header(key, before.as_ref())?;
            }
            let mut owing: BTreeSet<Key> = headers.into_iter().map(|(key, _)| key).collect();
            for (key, before) in lines {
                owing.extend(self.header_of(&key, before.as_ref())?);
            }
            for number in ready {
                owing.extend(self.try_transfer_again(number)?);
            }
            owing.iter().try_for_each(|key| self.pay(key))?;
        }
        tracing::error!(
            "what transfers follow has no end after {ROUNDS_MAX} rounds; the rest is left. Please report this."
        );
        self.state.transfers.written.clear();
        self.state.transfers.ready.clear();
        Ok(())
    }

    /// The header of a line.
    pub(super) fn header_of(&mut self, key: &Key, before: Option<&Row>) -> Result<Option<Key>, StoreError> {
        let Some(table) = self.catalogue.table(&key.0) else { return Ok(None) };
        let after = self.read_record(key)?.and_then(|stored| stored.row);
        let header = after.as_ref().or(before).and_then(|row| table.header_of(row));
        Ok(table.parent().zip(header.and_then(Result::ok)).map(|(parent, header)| (parent.table.clone(), header)))
    }

    /// Begins the transfer that a record has come to start, and brings those up to date of which it is a half.
    fn follow_header(&mut self, key: &Key, before: Option<&Row>) -> Result<(), StoreError> {
        let catalogue = self.catalogue;
        let Some(table) = catalogue.table(&key.0) else { return Ok(()) };
        let stored = self.read_record(key)?;
        let store = stored.as_ref().and_then(|stored| stored.store.clone());
        let after = stored.and_then(|stored| stored.row);
        let edit = (table, &key.1);
        let counted = counted(catalogue, &mut TransferView(self), edit, before, after.as_ref())?;
        self.follow_standing(table, &key.1, store.as_ref(), counted)?;
        if let Some(row) = &after {
            self.note_answer(table, &key.1, &table.canonical(row.clone()))?;
        }
        for transfer in self.transfers_of(table.name(), &key.1)? {
            self.bring_up_to_date_transfer(&transfer)?;
            if transfer.half.as_ref() == Some(&key.1) {
                self.propose_withdrawal(&transfer)?;
            }
        }
        Ok(())
    }

    fn follow_standing(
        &mut self,
        table: &Table,
        id: &RecordId,
        store: Option<&RecordId>,
        counted: Counted,
    ) -> Result<(), StoreError> {
        let untold = self
            .transfers("kind = '' AND source = ?1 AND source_table = ?2", &[id.as_str().into(), table.name().into()])?;
        let untold = untold.into_iter().next();
        match (counted.now, untold) {
            (Standing::Waits(awaited), Some(untold)) => {
                self.set_transfer_waits(untold.number, Some(awaited_place(&awaited)), None)
            }
            (Standing::Waits(awaited), None) if counted.has_begun => {
                let Some(store) = store else { return Ok(()) };
                let untold = self.insert_transfer(None, (table.name(), id), store, false)?;
                self.set_transfer_waits(untold.number, Some(awaited_place(&awaited)), None)
            }
            (Standing::Initiates(initiating), untold) => {
                let known = self.transfer_by_key(&initiating.key)?;
                // One that waits may need less by now.
                let waits = known.as_ref().is_some_and(|transfer| transfer.half.is_none());
                let has_begun = counted.has_begun || untold.is_some() || waits;
                if let Some(untold) = untold {
                    self.forget_transfer(untold.number)?;
                }
                if has_begun {
                    self.begin_transfer(&initiating)?;
                }
                match known.and_then(|transfer| transfer.half).filter(|_| has_begun) {
                    Some(half) => self.renew_half(&initiating, &half),
                    None => Ok(()),
                }
            }
            (Standing::No, Some(untold)) => self.forget_transfer(untold.number),
            (Standing::Waits(_) | Standing::No, None) => Ok(()),
        }
    }

    /// Of a row that says nothing yet.
    fn forget_transfer(&mut self, number: i64) -> Result<(), StoreError> {
        self.set_transfer_waits(number, None, None)?;
        self.sql.execute("DELETE FROM transfer WHERE number = ?1 AND kind = ''", &[number.into()])?;
        Ok(())
    }

    /// A transfer that waited, or whose store came to central. The records for which something may be owed.
    fn try_transfer_again(&mut self, number: i64) -> Result<Vec<Key>, StoreError> {
        let Some(transfer) = self.transfer(number)? else { return Ok(Vec::new()) };
        let catalogue = self.catalogue;
        let Ok(table) = catalogue.table_by_name(&transfer.source_table) else { return Ok(Vec::new()) };
        let source: Key = (table.reference().clone(), transfer.source.clone());
        let row = self.read_record(&source)?.and_then(|stored| stored.row);
        let now = standing(catalogue, &mut TransferView(self), table, &transfer.source, row.as_ref())?;
        match (&transfer.key, now) {
            (None, now) => {
                let counted = Counted { now, has_begun: false };
                self.follow_standing(table, &transfer.source, Some(&transfer.sender), counted)?;
            }
            (Some(key), Standing::Initiates(initiating)) if initiating.key == *key && transfer.half.is_none() => {
                self.make_half(&transfer, &initiating)?;
            }
            (Some(_), now) if transfer.half.is_some() && transfer.waits.is_some() => {
                self.follow_what_waited(&transfer, &now)?;
            }
            // The source was taken back meanwhile; if it comes to start a transfer again, that is an edit of its own.
            (Some(_), Standing::No) if transfer.half.is_none() => self.set_transfer_waits(number, None, None)?,
            (Some(_), Standing::No | Standing::Waits(_) | Standing::Initiates(_)) => {}
        }
        for transfer in self.transfers_of(&transfer.source_table, &transfer.source)? {
            self.bring_up_to_date_transfer(&transfer)?;
        }
        let mut owing = vec![source];
        if let Some(transfer) = self.transfer(number)?
            && let (Some(key), Some(half)) = (transfer.key, transfer.half)
            && let Ok(table) = catalogue.table_by_name(key.kind.half_table())
        {
            owing.push((table.reference().clone(), half));
        }
        Ok(owing)
    }

    /// A record that answers a transfer whose half was not known: its site made it.
    fn note_answer(&mut self, table: &Table, id: &RecordId, row: &Row) -> Result<(), StoreError> {
        let is = |column: &str, word: &str| match row.value(&table.column_ref(column)) {
            Some(Value::Text(text)) => text.eq_ignore_ascii_case(word),
            _ => false,
        };
        let (kind, link) = match table.name() {
            INVOICES if is("type", "si") => (Kind::Stock, "linked_transaction_id"),
            INVOICES if is("type", "cc") => (Kind::Return, "linked_transaction_id"),
            INVOICES if is("type", "ci") => (Kind::Order, "original_PO_ID"),
            REQUISITIONS if is("type", "response") => (Kind::Requisition, "linked_requisition_id"),
            _ => return Ok(()),
        };
        let (Ok(source), Some(Ok(store))) = (table.id_in(row, link), table.store_of(id, row)) else { return Ok(()) };
        let key = TransferKey { kind, source, receiver: store };
        match self.transfer_by_key(&key)? {
            Some(transfer) if transfer.half.is_none() => self.set_transfer_half(transfer.number, id),
            Some(_) => Ok(()),
            None => self.begin_with_answer(&key),
        }
    }

    /// A half came whose transfer central did not note: it stayed on the site of both stores until then.
    fn begin_with_answer(&mut self, key: &TransferKey) -> Result<(), StoreError> {
        let Some((table, row)) = self.row_by_name(key.kind.source_table(), &key.source)? else { return Ok(()) };
        match standing(self.catalogue, &mut TransferView(self), &table, &key.source, Some(&row))? {
            Standing::Initiates(initiating) if initiating.key == *key => self.begin_transfer(&initiating),
            Standing::Initiates(_) | Standing::Waits(_) | Standing::No => Ok(()),
        }
    }

    /// Brings what is kept of a transfer, and where its halves stand, up to date.
    fn bring_up_to_date_transfer(&mut self, transfer: &Transfer) -> Result<(), StoreError> {
        let Some(key) = &transfer.key else { return Ok(()) };
        let source = self.row_by_name(&transfer.source_table, &transfer.source)?;
        let is_addressed = match &source {
            Some((table, row)) => self.is_addressed_to(table, row, &key.receiver)?,
            None => transfer.is_addressed,
        };
        let stage = match (&source, &transfer.half) {
            (Some(_), None) if is_addressed && transfer.is_routed_only => Stage::Half,
            (Some(_), None) if is_addressed && transfer.waits.is_some() => Stage::Input,
            (_, None) => Stage::Done,
            (source, Some(half)) => {
                let source = source.as_ref().filter(|_| is_addressed);
                self.stage_of_half(key.kind, half, source)?
            }
        };
        if let Some(half) = &transfer.half
            && self.row_by_name(key.kind.half_table(), half)?.is_none()
        {
            self.forget_behind(transfer.number)?;
        }
        let stage_ms = if stage == transfer.stage { transfer.stage_ms } else { self.now_ms };
        self.sql.execute(
            "UPDATE transfer SET is_addressed = ?2, stage = ?3, stage_ms = ?4 WHERE number = ?1",
            &[transfer.number.into(), i64::from(is_addressed).into(), stage.number().into(), unsigned(stage_ms)],
        )?;
        self.route_transfer(transfer)
    }

    fn stage_of_half(&mut self, kind: Kind, half: &RecordId, source: Option<&Named>) -> Result<Stage, StoreError> {
        let Some((table, row)) = self.row_by_name(kind.half_table(), half)? else { return Ok(Stage::Done) };
        if matches!(row.value(&table.column_ref(kind.number_column())), Some(Value::Number(number)) if number == "-1") {
            return Ok(Stage::Number);
        }
        let link = match kind {
            Kind::Stock | Kind::Return => "linked_transaction_id",
            Kind::Requisition => "linked_requisition_id",
            Kind::Goods => "goods_received_ID",
            Kind::Order => return Ok(Stage::Done),
        };
        let is_linked = source.is_none_or(|(table, row)| table.id_in(row, link).is_ok());
        Ok(if is_linked { Stage::Done } else { Stage::Link })
    }

    /// A record that is here, by its table's name.
    pub(super) fn row_by_name(&mut self, name: &str, id: &RecordId) -> Result<Option<Named>, StoreError> {
        let table = text::table(self.catalogue, name);
        let stored = self.read_record(&(table.reference().clone(), id.clone()))?;
        Ok(stored.and_then(|stored| stored.row).map(|row| (table.clone(), table.canonical(row))))
    }

    /// Whether a record is addressed to a store.
    fn is_addressed_to(&mut self, table: &Table, row: &Row, store: &RecordId) -> Result<bool, StoreError> {
        let Ok(name) = table.id_in(row, "name_ID") else { return Ok(false) };
        let names: Option<TableRef> = self.catalogue.table_by_name(NAMES).ok().map(|names| names.reference().clone());
        let mut view = TransferView(self);
        let name = match names {
            Some(names) => view.resolved(&names, &name)?,
            None => name,
        };
        Ok(view.store_of_name(&name)?.is_some_and(|of| of == *store))
    }

    /// Carries out what central owes as the site of its own stores, and as the primary, for a record.
    fn pay(&mut self, key: &Key) -> Result<(), StoreError> {
        let catalogue = self.catalogue;
        let Some(table) = catalogue.table(&key.0) else { return Ok(()) };
        let always = [GOODS, ORDERS].contains(&table.name());
        if !always && self.transfers_of(table.name(), &key.1)?.is_empty() {
            return Ok(());
        }
        for _ in 0..PAYMENTS_MAX {
            let moment = self.moment();
            let mut is_paid = false;
            for owing in owed(catalogue, &mut TransferView(self), &moment, table, &key.1)? {
                match owing {
                    Owing::Edits(owed) => {
                        for edit in &owed.edits {
                            if !self.record_owed(edit)? {
                                return Ok(());
                            }
                        }
                        is_paid = true;
                    }
                    Owing::NoNumber { half, name, problem } => {
                        tracing::warn!(
                            half = half.as_str(),
                            sequence = name,
                            "no number can be given to a half: {problem:?}"
                        );
                    }
                }
            }
            if !is_paid {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Records an edit of central's own; whether it was accepted.
    pub(super) fn record_owed(&mut self, edit: &Edit) -> Result<bool, StoreError> {
        Ok(match self.import_one(edit)? {
            Ok(_) => true,
            Err(reason) => {
                let (table, record) = (edit.table.as_str(), edit.id.as_str());
                tracing::warn!(table, record, code = reason.code, "central cannot write what it owes: {}", reason.text);
                false
            }
        })
    }

    /// Notes whether a site makes the halves of its stores itself, for transfers that begin from then on. Whether that is new.
    ///
    /// # Errors
    /// Refused with `unknown_site`, `site_deleted`, `is_central`.
    pub fn set_makes_own_halves(&mut self, site: SiteId, is_on: bool) -> Result<bool, StoreError> {
        self.job(|batch| {
            if site == SiteId::CENTRAL {
                let what = "central makes the halves of its own stores; only another site can make them itself";
                return Err(StoreError::refused("is_central", what));
            }
            batch.live_site(site)?;
            let sql = "UPDATE site SET makes_own_halves = ?2 WHERE id = ?1 AND makes_own_halves <> ?2";
            Ok(batch.sql.execute(sql, &[site.0.into(), i64::from(is_on).into()])? > 0)
        })
    }
}
