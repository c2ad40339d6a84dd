//! What is proposed to the owner of a responding half when the initiating one changes afterwards (`domain::transfers::changes`). Where
//! central holds the store it does it itself.

use domain::edit::{Edit, EditOp};
use domain::json::row_to_json;
use domain::message::Status;
use domain::proposal::{MESSAGE_TABLE, expectation, transfer_proposal_id};
use domain::transfers::changes::{Change, Proposal, consequences, withdrawn};
use domain::transfers::kinds::{Standing, standing};
use protocol::ids::SiteId;
use protocol::row::Row;

use super::Transfer;
use super::view::TransferView;
use crate::store::batch::Batch;
use crate::store::error::StoreError;
use crate::store::records::Key;

/// How often the same may be proposed of the same record: it was taken, taken back, and comes again.
const ATTEMPTS_MAX: u32 = 64;

impl Batch<'_> {
    /// Proposes what follows from an edit.
    pub(super) fn propose_consequences(&mut self, key: &Key, before: Option<&Row>) -> Result<(), StoreError> {
        let catalogue = self.catalogue;
        let Some(table) = catalogue.table(&key.0) else { return Ok(()) };
        let after = self.read_record(key)?.and_then(|stored| stored.row);
        let moment = self.moment();
        let edit = (table, &key.1);
        let found = consequences(catalogue, &mut TransferView(self), &moment, edit, before, after.as_ref())?;
        if let Some(awaited) = &found.awaited {
            tracing::warn!(
                table = table.name(),
                record = key.1.as_str(),
                "what follows for the other half cannot be told before {awaited} is here; look at both halves"
            );
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
        if self.state.holdings.holder(receiver) == SiteId::CENTRAL {
            return self.record_owed(&edit).map(|_| ());
        }
        let current = self.read_record(&(proposal.table.clone(), proposal.id.clone()))?.and_then(|stored| stored.row);
        let expected = expectation(table, &edit, current.as_ref());
        let messages = catalogue.table_by_name(MESSAGE_TABLE);
        let messages = messages.map_err(|error| StoreError::Damaged(error.to_string()))?;
        for attempt in 0..attempts_max {
            let id = transfer_proposal_id(&proposal.key, &edit, expected.as_deref(), attempt);
            let message: Key = (messages.reference().clone(), id.clone());
            let Some(known) = self.read_record(&message)? else {
                let sent = self.send_proposal(&id, receiver, &edit, expected)?;
                if let Err(reason) = sent {
                    tracing::warn!(
                        code = reason.code,
                        "a change cannot be proposed to a half's owner: {}",
                        reason.text
                    );
                }
                return Ok(());
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
}
