//! What is proposed to the owner of a responding half when the initiating one changes afterwards (`domain::transfers::changes`). Where
//! central holds the store it does it itself.

use domain::apply::apply;
use domain::catalogue::Table;
use domain::edit::{Edit, EditOp};
use domain::json::{row_from_json, row_to_json};
use domain::judge::Found;
use domain::message::Status;
use domain::proposal::{MESSAGE_TABLE, Proposal as Asked, asked_store, declined_id, expectation, transfer_proposal_id};
use domain::transfers::changes::{Change, Proposal, consequences, withdrawn};
use domain::transfers::ids::TransferKey;
use domain::transfers::kinds::{Standing, standing};
use domain::transfers::records::Records;
use protocol::entry::Operation;
use protocol::ids::{RecordId, SiteId, TableRef};
use protocol::row::Row;
use sql::SqlExt;

use super::view::TransferView;
use super::{HEADERS, LINES, Transfer};
use crate::store::batch::Batch;
use crate::store::error::StoreError;
use crate::store::records::Key;
use crate::store::text;

/// How often the same may be proposed of the same record: it was taken, taken back, and comes again.
const ATTEMPTS_MAX: u32 = 64;

/// How something was proposed of a record.
enum Proposed {
    /// By this message to the store that owns it.
    ByMessage(RecordId),
    /// Not at all: central deleted it itself.
    ByCentral,
}

impl Batch<'_> {
    /// Proposes what follows from an edit.
    pub(super) fn propose_consequences(&mut self, key: &Key, before: Option<&Row>) -> Result<(), StoreError> {
        let catalogue = self.catalogue;
        let Some(table) = catalogue.table(&key.0) else { return Ok(()) };
        let after = self.read_record(key)?.and_then(|stored| stored.row);
        let moment = self.moment();
        let edit = (table, &key.1);
        let found =
            consequences(catalogue, &mut ProposedView(TransferView(self)), &moment, edit, before, after.as_ref())?;
        if let Some(awaited) = &found.awaited {
            self.wait_with_change(key, before, awaited)?;
        }
        found.proposals.iter().try_for_each(|proposal| self.propose_change(proposal, ATTEMPTS_MAX))
    }

    /// Proposes the deletion of a half that its source has left, as the half is now: what was proposed before its site had numbered it that
    /// site has declined.
    pub(super) fn propose_withdrawal(&mut self, transfer: &Transfer) -> Result<(), StoreError> {
        let Some(key) = transfer.key.as_ref().filter(|key| transfer.half.as_ref() == Some(&key.half_id())) else {
            return Ok(());
        };
        let catalogue = self.catalogue;
        let source = self.row_by_name(&transfer.source_table, &transfer.source)?;
        if let Some((table, row)) = &source {
            let now = standing(catalogue, &mut TransferView(self), table, &transfer.source, Some(row))?;
            let is_left = match now {
                Standing::No => true,
                Standing::Waits(_) => false,
                Standing::Initiates(initiating) => initiating.key != *key,
            };
            if !is_left {
                return Ok(());
            }
        }
        let found = withdrawn(catalogue, &mut TransferView(self), key)?;
        // Of the half as it is it is asked once.
        found.proposals.iter().try_for_each(|proposal| self.propose_change(proposal, 1))
    }

    fn propose_change(&mut self, proposal: &Proposal, attempts_max: u32) -> Result<(), StoreError> {
        let transfer = self.transfer_by_key(&proposal.key)?;
        // The site that makes its halves itself follows the other one itself.
        if transfer.is_some_and(|transfer| transfer.is_routed_only) {
            return Ok(());
        }
        let catalogue = self.catalogue;
        let Some(table) = catalogue.table(&proposal.table) else { return Ok(()) };
        let (op, data) = match &proposal.change {
            Change::Put(row) => (EditOp::Put, Some(row_to_json(table, &proposal.id, row))),
            Change::Patch { new, .. } => (EditOp::Patch, Some(row_to_json(table, &proposal.id, new))),
            Change::Delete { .. } => (EditOp::Delete, None),
        };
        let edit = Edit { table: table.name().to_owned(), op, id: proposal.id.clone(), data };
        let receiver = &proposal.key.receiver;
        let target: Key = (proposal.table.clone(), proposal.id.clone());
        if self.state.holdings.holder(receiver) == SiteId::CENTRAL {
            if self.record_owed(&edit)? && edit.op == EditOp::Delete {
                self.set_proposal(&target, None)?;
            }
            return Ok(());
        }
        let current = self.read_record(&target)?.and_then(|stored| stored.row);
        let open = self.open_proposal(&target)?;
        // What was asked before and has no answer goes with what is asked now.
        let edit = open.as_ref().map_or_else(|| edit.clone(), |(_, open)| combined(table, &open.edit, &edit));
        let expected = expectation(table, &edit, current.as_ref());
        if let Some((message, open)) = open {
            if open.edit == edit && open.expected == expected {
                return Ok(());
            }
            self.take_back(&message)?;
            if current.is_none() && edit.op == EditOp::Delete {
                return Ok(());
            }
        }
        let messages = catalogue.table_by_name(MESSAGE_TABLE);
        let messages = messages.map_err(|error| StoreError::Damaged(error.to_string()))?;
        for attempt in 0..attempts_max {
            let id = transfer_proposal_id(&proposal.key, &edit, expected.as_deref(), attempt);
            let message: Key = (messages.reference().clone(), id.clone());
            let Some(known) = self.read_record(&message)? else {
                let sent = self.send_proposal(&id, receiver, &edit, expected)?;
                if let Err(reason) = sent {
                    let code = reason.code;
                    tracing::warn!(code, "a change cannot be proposed to a half's owner: {}", reason.text);
                    return Ok(());
                }
                return self.set_proposal(&target, Some(&id));
            };
            if known.row.is_some_and(|row| Status::of(messages, &row) == Some(Status::New)) {
                return Ok(());
            }
        }
        tracing::info!(
            table = table.name(),
            record = proposal.id.as_str(),
            "the same was proposed {attempts_max} times and is not proposed any more; look at both halves"
        );
        Ok(())
    }

    /// What was proposed of a record last: by a message, or a deletion of central's own.
    pub(super) fn set_proposal(&mut self, target: &Key, message: Option<&RecordId>) -> Result<(), StoreError> {
        let table = self.catalogue.table_name(&target.0);
        let sql = "INSERT INTO transfer_proposal (table_name, record, message) VALUES (?1, ?2, ?3)
            ON CONFLICT (table_name, record) DO UPDATE SET message = excluded.message";
        let params = [(&table).into(), target.1.as_str().into(), message.map(RecordId::as_str).into()];
        self.sql.execute(sql, &params)?;
        Ok(())
    }

    /// What becomes of a record from now on has nothing to do with what was proposed.
    pub(super) fn forget_proposal(&mut self, target: &Key) -> Result<(), StoreError> {
        let table = self.catalogue.table_name(&target.0);
        let sql = "DELETE FROM transfer_proposal WHERE table_name = ?1 AND record = ?2";
        self.sql.execute(sql, &[(&table).into(), target.1.as_str().into()])?;
        Ok(())
    }

    /// What was proposed of a record last.
    fn last_proposal(&mut self, target: &Key) -> Result<Option<Proposed>, StoreError> {
        let sql = "SELECT message FROM transfer_proposal WHERE table_name = ?1 AND record = ?2";
        let table = self.catalogue.table_name(&target.0);
        let params = [(&table).into(), target.1.as_str().into()];
        let found = self.sql.query_one(sql, &params, |row| text::optional_record_id(row, 0))?;
        Ok(found.map(|message| message.map_or(Proposed::ByCentral, Proposed::ByMessage)))
    }

    /// Whether a record is gone because that was proposed and taken, or done by central itself, and not by a decision of its owner.
    pub(super) fn was_deleted_as_proposed(&mut self, target: &Key) -> Result<bool, StoreError> {
        let message = match self.last_proposal(target)? {
            None => return Ok(false),
            Some(Proposed::ByCentral) => return Ok(true),
            Some(Proposed::ByMessage(message)) => message,
        };
        let Ok(messages) = self.catalogue.table_by_name(MESSAGE_TABLE) else { return Ok(false) };
        let stored = self.read_record(&(messages.reference().clone(), message.clone()))?;
        let Some(row) = stored.and_then(|stored| stored.row).map(|row| messages.canonical(row)) else {
            return Ok(false);
        };
        let is_deletion = Asked::of(messages, &row).is_ok_and(|asked| asked.edit.op == EditOp::Delete);
        if !is_deletion || asked_store(messages, &row).is_some() {
            return Ok(false);
        }
        Ok(self.read_record(&(messages.reference().clone(), declined_id(&message)))?.is_none())
    }

    /// The proposal about a record that nobody has answered, with its message.
    fn open_proposal(&mut self, target: &Key) -> Result<Option<(RecordId, Asked)>, StoreError> {
        let found = (self.last_proposal(target)?, self.catalogue.table_by_name(MESSAGE_TABLE));
        let (Some(Proposed::ByMessage(message)), Ok(messages)) = found else { return Ok(None) };
        let stored = self.read_record(&(messages.reference().clone(), message.clone()))?;
        let row = stored.and_then(|stored| stored.row).map(|row| messages.canonical(row));
        let row = row.filter(|row| asked_store(messages, row).is_some());
        Ok(row.and_then(|row| Asked::of(messages, &row).ok()).map(|asked| (message, asked)))
    }

    fn take_back(&mut self, message: &RecordId) -> Result<(), StoreError> {
        let Ok(messages) = self.catalogue.table_by_name(MESSAGE_TABLE) else { return Ok(()) };
        self.write_own((messages.reference().clone(), message.clone()), Operation::Delete)
    }

    /// The source starts its transfer again: nobody is asked any more to delete the other half.
    pub(super) fn take_back_deletions(&mut self, key: &TransferKey, half: &RecordId) -> Result<(), StoreError> {
        let catalogue = self.catalogue;
        let (lines, column) = key.kind.half_lines();
        let (Ok(header), Ok(lines)) = (catalogue.table_by_name(key.kind.half_table()), catalogue.table_by_name(lines))
        else {
            return Ok(());
        };
        let mut targets: Vec<Key> = vec![(header.reference().clone(), half.clone())];
        let found = self.referring_to(lines, column, half.as_str())?;
        targets.extend(found.into_iter().map(|(line, _)| (lines.reference().clone(), line)));
        targets.iter().try_for_each(|target| self.take_back_deletion(target))
    }

    /// Nobody is asked any more to delete a record.
    pub(super) fn take_back_deletion(&mut self, target: &Key) -> Result<(), StoreError> {
        match self.open_proposal(target)? {
            Some((message, asked)) if asked.edit.op == EditOp::Delete => self.take_back(&message),
            _ => Ok(()),
        }
    }
}

/// Two edits of one record as one.
fn combined(table: &Table, earlier: &Edit, later: &Edit) -> Edit {
    let row = |edit: &Edit| edit.data.as_ref().and_then(|data| row_from_json(table, &edit.id, data).ok());
    match (earlier.op, later.op, row(earlier), row(later)) {
        (EditOp::Put | EditOp::Patch, EditOp::Patch, Some(before), Some(after)) => {
            let data = row_to_json(table, &later.id, &before.patched(&after));
            Edit { op: earlier.op, data: Some(data), ..later.clone() }
        }
        _ => later.clone(),
    }
}

/// What is at central, with what was proposed and nobody has answered on top.
struct ProposedView<'v, 'a>(TransferView<'v, 'a>);

impl Records for ProposedView<'_, '_> {
    type Error = StoreError;

    fn record(&mut self, table: &TableRef, id: &RecordId) -> Result<Found, StoreError> {
        let found = self.0.record(table, id)?;
        let catalogue = self.0.0.catalogue;
        let is_of_half = |name: &str| HEADERS.contains(&name) || LINES.contains(&name);
        let Some(table) = catalogue.table(table).filter(|table| is_of_half(table.name())) else { return Ok(found) };
        let key = (table.reference().clone(), id.clone());
        let Some((_, asked)) = self.0.0.open_proposal(&key)?.filter(|(_, asked)| asked.edit.op != EditOp::Delete)
        else {
            return Ok(found);
        };
        let Ok(Some(operation)) = asked.edit.operation(table, found.row()) else { return Ok(found) };
        let store = match &found {
            Found::Here { store, .. } => store.clone(),
            Found::Unknown | Found::Deleted { .. } => None,
        };
        Ok(apply(&found, &operation).map_or(found, |row| Found::Here { row: table.canonical(row), store }))
    }

    fn store_of_name(&mut self, name: &RecordId) -> Result<Option<RecordId>, StoreError> {
        self.0.store_of_name(name)
    }

    fn resolved(&mut self, table: &TableRef, id: &RecordId) -> Result<RecordId, StoreError> {
        self.0.resolved(table, id)
    }

    fn item_in_store(&mut self, item: &RecordId, store: &RecordId) -> Result<Option<Row>, StoreError> {
        self.0.item_in_store(item, store)
    }

    fn referring(&mut self, table: &TableRef, column: &str, id: &RecordId) -> Result<Vec<(RecordId, Row)>, StoreError> {
        self.0.referring(table, column, id)
    }

    fn went_with_its_source(&mut self, table: &TableRef, id: &RecordId) -> Result<bool, StoreError> {
        self.0.went_with_its_source(table, id)
    }
}
