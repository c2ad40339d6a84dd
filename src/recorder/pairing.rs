//! Transfers between two stores of this site: the group that has an initiating half count makes the other half too, and one that changes
//! it afterwards changes that too, while nobody has begun to work on it (`domain.md`, "Transfers": "the site does it alone").

use domain::catalogue::Catalogue;
use domain::edit::{Edit, EditOp};
use domain::json::row_to_json;
use domain::judge::{Applied, Found, View};
use domain::transfers::changes::{Change, Proposal, consequences};
use domain::transfers::half::{Due, due};
use domain::transfers::ids::line_id;
use domain::transfers::kinds::{Standing, counted, standing};
use domain::transfers::records::{
    GOODS, GOODS_LINES, INVOICE_LINES, INVOICES, ORDER_LINES, ORDERS, REQUISITION_LINES, REQUISITIONS,
};
use protocol::entry::{Entry, Operation};
use protocol::ids::{RecordId, TableRef};

use super::transfers::{Transferring, edits_of, moment};
use crate::local_copy::{LocalCopy, LocalCopyError, OwedKind};

/// Tables of initiating halves and of their lines.
const HEADERS: [&str; 3] = [INVOICES, REQUISITIONS, ORDERS];
const LINES: [&str; 3] = [INVOICE_LINES, REQUISITION_LINES, ORDER_LINES];
/// Tables of the lines of responding halves.
const HALF_LINES: [&str; 3] = [INVOICE_LINES, REQUISITION_LINES, GOODS_LINES];

/// An initiating half that began to count with an edit of the group.
struct Begun {
    table: TableRef,
    record: RecordId,
    index: usize,
}

/// What a group has brought about so far.
#[derive(Default)]
pub(super) struct Pairing {
    /// Whether this site holds several stores, once that was asked.
    is_possible: Option<bool>,
    begun: Vec<Begun>,
}

/// Edits that follow from one that was asked for, the one of this number.
pub(super) struct Following {
    pub(super) index: usize,
    pub(super) edits: Vec<Edit>,
}

impl Pairing {
    /// What follows from an entry that is about to be applied: the same changes of the other half, where that is of this site. The half
    /// that it has begun is made at the end of the group, with all its lines.
    pub(super) fn before_applying(
        &mut self,
        catalogue: &Catalogue,
        local: &mut LocalCopy,
        entry: &Entry,
        applied: &Applied,
        index: usize,
        now_ms: u64,
    ) -> Result<Vec<Edit>, LocalCopyError> {
        let Some(table) = catalogue.table(&entry.table) else { return Ok(Vec::new()) };
        let is_header = HEADERS.contains(&table.name());
        if !is_header && !LINES.contains(&table.name()) {
            return Ok(Vec::new());
        }
        if !self.is_possible(local)? {
            return Ok(Vec::new());
        }
        let found = View::record(local, &entry.table, &entry.record)?;
        let (before, after) = (found.row(), applied.row.as_ref());
        let record = (table, &entry.record);
        let mut view = Transferring::new(catalogue, local);
        if is_header {
            let counted = view.ask(|view| counted(catalogue, view, record, before, after))?;
            if counted.has_begun {
                let begun = Begun { table: entry.table.clone(), record: entry.record.clone(), index };
                self.begun.push(begun);
            }
        }
        let follows = view.ask(|view| consequences(catalogue, view, &moment(now_ms), record, before, after))?;
        if follows.awaited.is_some() {
            local.owe_change(table, &entry.record, before)?;
        }
        following_edits(catalogue, local, follows.proposals)
    }

    /// Notes that people delete a line of a half that was made here: it does not come back with the line that it answers.
    pub(super) fn note_deleted_line(
        &mut self,
        catalogue: &Catalogue,
        local: &mut LocalCopy,
        entry: &Entry,
    ) -> Result<(), LocalCopyError> {
        if entry.operation == Operation::Delete
            && self.is_possible(local)?
            && header_of_half_line(catalogue, local, entry)?.is_some()
        {
            local.note_half(&entry.record)?;
        }
        Ok(())
    }

    fn is_possible(&mut self, local: &mut LocalCopy) -> Result<bool, LocalCopyError> {
        Ok(match self.is_possible {
            Some(is_possible) => is_possible,
            None => *self.is_possible.insert(local.holds_several_stores()?),
        })
    }

    /// Whether the group may go on behind its last edit.
    pub(super) fn may_go_on(&self) -> bool {
        !self.begun.is_empty()
    }

    /// The next half that is due, when everything else of the group is applied. What waits for something is owed.
    pub(super) fn next_half(
        &mut self,
        catalogue: &Catalogue,
        local: &mut LocalCopy,
        now_ms: u64,
    ) -> Result<Option<Following>, LocalCopyError> {
        while let Some(Begun { table, record, index }) = self.begun.pop() {
            let Some(of) = catalogue.table(&table) else { continue };
            let found = View::record(local, &table, &record)?;
            if !matches!(found, Found::Here { .. }) {
                continue;
            }
            let mut view = Transferring::new(catalogue, local);
            let initiating = match view.ask(|view| standing(catalogue, view, of, &record, found.row()))? {
                Standing::No => continue,
                Standing::Waits(_) => {
                    local.owe_at_once(OwedKind::Half, of.name(), &record)?;
                    continue;
                }
                Standing::Initiates(initiating) => initiating,
            };
            if !view.between_own(&initiating)? {
                continue;
            }
            match view.ask(|view| due(catalogue, view, &initiating, &moment(now_ms)))? {
                Due::Exists(_) => {}
                Due::Waits(_) => local.owe_at_once(OwedKind::Half, of.name(), &record)?,
                Due::Make(half) => {
                    local.note_half(&half.id)?;
                    return Ok(Some(Following { index, edits: edits_of(catalogue, half) }));
                }
            }
        }
        Ok(None)
    }
}

/// What the journal tells after a crash, which takes what was noted with an edit and not what was journaled.
#[derive(Default)]
pub(super) struct Retold {
    /// Lines of initiating halves that were edited so far: those of the other half that go with them are deleted behind.
    edited: Vec<RecordId>,
}

impl Retold {
    /// Before an entry is applied: a line of a half that was made here, and that people deleted.
    pub(super) fn note_deleted_line(
        &mut self,
        catalogue: &Catalogue,
        local: &mut LocalCopy,
        entry: &Entry,
    ) -> Result<(), LocalCopyError> {
        let Some(table) = catalogue.table(&entry.table) else { return Ok(()) };
        if entry.operation == Operation::Delete
            && let Some(half) = header_of_half_line(catalogue, local, entry)?
            && !self.edited.iter().any(|line| line_id(&half, line) == entry.record)
        {
            local.note_half(&entry.record)?;
        }
        if LINES.contains(&table.name()) {
            self.edited.push(entry.record.clone());
        }
        if entry.is_group_end {
            self.edited.clear();
        }
        Ok(())
    }
}

/// The half that was made here and of which an entry writes a line.
fn header_of_half_line(
    catalogue: &Catalogue,
    local: &mut LocalCopy,
    entry: &Entry,
) -> Result<Option<RecordId>, LocalCopyError> {
    let Some(table) = catalogue.table(&entry.table).filter(|table| HALF_LINES.contains(&table.name())) else {
        return Ok(None);
    };
    let found = View::record(local, &entry.table, &entry.record)?;
    let Some(Ok(header)) = found.row().and_then(|row| table.header_of(row)) else { return Ok(None) };
    Ok(if local.was_half_here(&header)? { Some(header) } else { None })
}

/// The same: whether an edit may owe its other half.
pub(super) fn owe_half_of(catalogue: &Catalogue, local: &mut LocalCopy, entry: &Entry) -> Result<(), LocalCopyError> {
    match catalogue.table(&entry.table) {
        Some(table) if HEADERS.contains(&table.name()) || table.name() == GOODS => {
            if !local.holds_several_stores()? {
                return Ok(());
            }
            // It may be a half that was made here.
            if matches!(entry.operation, Operation::Put(_)) {
                local.note_half(&entry.record)?;
            }
            if table.name() == GOODS { Ok(()) } else { local.owe_at_once(OwedKind::Half, table.name(), &entry.record) }
        }
        _ => Ok(()),
    }
}

/// What is proposed to stores of this site. Of another site's store central proposes it.
pub(super) fn following_edits(
    catalogue: &Catalogue,
    local: &mut LocalCopy,
    proposals: Vec<Proposal>,
) -> Result<Vec<Edit>, LocalCopyError> {
    let mut edits = Vec::new();
    for proposal in proposals {
        if local.holding(&proposal.key.receiver)?.is_some() {
            edits.push(edit_of(catalogue, proposal));
        }
    }
    Ok(edits)
}

/// A proposal to this site's own store, which nobody else can have changed since.
fn edit_of(catalogue: &Catalogue, proposal: Proposal) -> Edit {
    let table = catalogue.table_or_stand_in(&proposal.table);
    let (op, row) = match proposal.change {
        Change::Put(row) => (EditOp::Put, Some(row)),
        Change::Patch { new, .. } => (EditOp::Patch, Some(new)),
        Change::Delete { .. } => (EditOp::Delete, None),
    };
    let data = row.map(|row| row_to_json(&table, &proposal.id, &row));
    Edit { table: table.name().to_owned(), op, id: proposal.id, data }
}
