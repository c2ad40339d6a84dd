//! Central's own edits: the same judge, as site 1 with a journal in the store (`details.md`, "Stores and sites").

use std::collections::BTreeSet;

use domain::apply::{normalise_import, operation_for};
use domain::catalogue::Table;
use domain::edit::{Edit, EditOp};
use domain::json;
use domain::judge::{Applied, Effect, Side, Verdict};
use domain::procurement::complete;
use protocol::chain;
use protocol::entry::{Entry, Operation};
use protocol::ids::{OwnershipNumber, Sequence, SiteId};
use protocol::row::Row;

use super::batch::Batch;
use super::control::reason_text;
use super::error::StoreError;
use super::judging::Reason;
use super::limits::IMPORT_REFUSALS_TOLD_MAX;
use super::records::{Author, Key};
use super::unreadable;
use super::view::{GroupPlace, GroupView};
use super::waiting::Change;

/// What to do about an edit that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportMode {
    /// Nothing is imported then; the rest is still checked.
    AllOrNothing,
    /// The others are imported.
    Continue,
    /// Nothing is imported in any case.
    CheckOnly,
}

/// A refused edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRefusal {
    /// Its place among the edits, from 0.
    pub index: u64,
    /// The edit's table, as it was given.
    pub table: String,
    /// The record's id.
    pub record: String,
    /// Stable code.
    pub code: String,
    /// A sentence for a person.
    pub reason: String,
}

/// What an import did, or would have done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Edits that were written.
    pub written: u64,
    /// Edits that changed nothing.
    pub unchanged: u64,
    /// Edits that were refused.
    pub refused: u64,
    /// The first [`IMPORT_REFUSALS_TOLD_MAX`] of them.
    pub refusals: Vec<ImportRefusal>,
    /// Whether the written edits are kept.
    pub is_kept: bool,
}

impl Batch<'_> {
    /// Imports edits, each a group of its own, reading them one by one. All are in this batch's commit: whoever has very many
    /// and takes [`ImportMode::Continue`] gives them in several batches.
    ///
    /// # Errors
    /// [`StoreError::Sql`]. Refused edits are in the report.
    pub fn import(
        &mut self,
        edits: &mut dyn Iterator<Item = Edit>,
        mode: ImportMode,
    ) -> Result<ImportReport, StoreError> {
        let mut undone = None;
        let outcome = self.job(|batch| {
            let mut report = ImportReport::default();
            for (index, edit) in (0_u64..).zip(edits) {
                match batch.import_one(&edit)? {
                    Ok(true) => report.written += 1,
                    Ok(false) => report.unchanged += 1,
                    Err(reason) => report.refuse(index, &edit, reason),
                }
            }
            report.is_kept = match mode {
                ImportMode::Continue => true,
                ImportMode::AllOrNothing => report.refused == 0,
                ImportMode::CheckOnly => false,
            };
            if report.is_kept {
                return Ok(report);
            }
            undone = Some(report);
            // Any error undoes the job.
            Err(StoreError::refused("import_undone", "the import is undone"))
        });
        match (outcome, undone) {
            (Err(StoreError::Refused(_)), Some(report)) => Ok(report),
            (outcome, _) => outcome,
        }
    }

    /// Whether the edit changed anything, or why it is refused.
    pub(super) fn import_one(&mut self, edit: &Edit) -> Result<Result<bool, Reason>, StoreError> {
        let table = match self.catalogue.table_by_name(&edit.table) {
            Ok(table) => table,
            Err(error) => return Ok(Err(Reason::new(error.code(), &error.to_string()))),
        };
        if edit.id.as_str().contains('\0') {
            return Ok(Err(Reason::new(
                "record_id_nul",
                "the record's id has the character NUL, which cannot be stored",
            )));
        }
        let key: Key = (table.reference().clone(), edit.id.clone());
        let is_store = table.site_column().is_some();
        if is_store && edit.op == EditOp::Delete {
            let holder = self.state.holdings.holder(&edit.id);
            if holder != SiteId::CENTRAL {
                let what = format!("store {} is active at site {holder}; it cannot be deleted", edit.id);
                return Ok(Err(Reason::new("store_is_held", &what)));
            }
        }
        if table.merges().is_some() {
            match self.refuse_while_healing(&format!("{} {} cannot be changed yet", table.name(), edit.id)) {
                Ok(()) => {}
                Err(StoreError::Refused(refusal)) => return Ok(Err(Reason::new(&refusal.code, &refusal.message))),
                Err(other) => return Err(other),
            }
        }
        let row = match self.imported_row(table, edit) {
            Ok(row) => row,
            Err(reason) => return Ok(Err(reason)),
        };
        let current = match edit.op {
            EditOp::Upsert => match self.read_record(&key) {
                // All of it takes the place of what cannot be read.
                Err(StoreError::Unreadable(_)) => None,
                stored => stored?.and_then(|stored| stored.row),
            },
            EditOp::Put | EditOp::Patch | EditOp::Delete => None,
        };
        match operation_for(edit.op, current.as_ref(), row) {
            None => Ok(Ok(false)),
            Some(operation) => Ok(self.write_as_central(key, operation)?.map(|()| true)),
        }
    }

    /// The edit's data, with the column that central alone fills.
    fn imported_row(&self, table: &Table, edit: &Edit) -> Result<Row, Reason> {
        let Some(data) = &edit.data else { return Ok(Row::default()) };
        let row = json::row_from_json(table, &edit.id, data)
            .map_err(|error| Reason::new(error.code(), &error.to_string()))?;
        let holder = self.state.holdings.holder(&edit.id);
        Ok(normalise_import(table, row, holder))
    }

    /// As [`Batch::write_as_central`], of what follows from an order of an operator's.
    ///
    /// # Errors
    /// Refused with the judge's reason.
    pub(super) fn write_own(&mut self, key: Key, operation: Operation) -> Result<(), StoreError> {
        self.write_as_central(key, operation)?.map_err(|reason| StoreError::refused(&reason.code, &reason.text))
    }

    /// Judges and writes one edit of central's own, and logs it in central's journal.
    pub(super) fn write_as_central(
        &mut self,
        key: Key,
        operation: Operation,
    ) -> Result<Result<(), Reason>, StoreError> {
        let site = SiteId::CENTRAL;
        let place = GroupPlace { journal: i64::MAX, first: Sequence(0) };
        let (table, record) = key.clone();
        let mut entry = Entry { is_group_end: true, ownership: OwnershipNumber(0), table, record, operation };
        let gone = BTreeSet::new();
        let catalogue = self.catalogue;
        let mut view = GroupView::new(self, place, &gone);
        // As on a device what cannot be accepted now is refused at once: whoever imports is there to hear it. The number that
        // the entry carries is the one that central holds the store under.
        match complete(catalogue, &mut view, &mut entry) {
            // Who writes the order is judged by what takes its place.
            Err(StoreError::Unreadable(_)) => {}
            completed => completed?,
        }
        let judged = match view.judge(Side::Device, site, &entry, &key) {
            Err(StoreError::Unreadable(failed)) => {
                return Ok(Err(unreadable::reason(&failed.0, &failed.1, Some(&key))));
            }
            judged => judged?,
        };
        let applied = match judged {
            Verdict::Accept(applied) => applied,
            Verdict::Refuse(refusal) => return Ok(Err(Reason::new(refusal.code.as_str(), &refusal.reason))),
            Verdict::Wait { .. } => {
                return Ok(Err(Reason::new("header_missing", "its header is not here; import the header first")));
            }
        };
        let number = view.into_numbers().get(&key).copied().flatten();
        entry.ownership = applied.ownership;
        self.write_judged(key, &entry, &applied, number)?;
        Ok(Ok(()))
    }

    /// Logs an edit of central's own in its journal, and writes what it comes to. `number` is that of the record if it is stored.
    pub(super) fn write_judged(
        &mut self,
        key: Key,
        entry: &Entry,
        applied: &Applied,
        number: Option<i64>,
    ) -> Result<(), StoreError> {
        let site = SiteId::CENTRAL;
        let bytes = entry.encode();
        let journal = self.active_journal(site)?.clone();
        let hash = chain::extend(journal.received_hash, &bytes);
        let received = self.append(site, &[(bytes, hash)])?;
        self.active_journal(site)?.judged = received.sequence;
        if applied.effect == Effect::Write {
            let author = Author { site, journal: journal.number, sequence: received.sequence };
            self.write_record(author, &key, applied, number)?;
        }
        if self.state.waiting > 0 {
            self.settle(vec![Change { site, key, is_gone: false, is_cancelled: false }])?;
        }
        Ok(())
    }
}

impl ImportReport {
    fn refuse(&mut self, index: u64, edit: &Edit, reason: Reason) {
        self.refused += 1;
        if self.refusals.len() < IMPORT_REFUSALS_TOLD_MAX {
            self.refusals.push(ImportRefusal {
                index,
                table: edit.table.clone(),
                record: edit.id.to_string(),
                code: reason.code,
                reason: reason_text(&reason.text),
            });
        }
    }
}
