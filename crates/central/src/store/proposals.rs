//! Proposals at central (`domain::proposal`): a refused edit that belongs to a store at a site is sent to that site to make.
//!
//! | what happens | the refused edit |
//! | --- | --- |
//! | it is applied, and a site holds its store | stays in set-aside, asked of that site by a message to the store |
//! | the site makes the edit | is dealt with |
//! | the site declines | stays, with the site's reason, and may be applied again |
//! | the store comes to central first | stays until it is applied again: central records it then |
//! | it is dismissed | goes; the message is taken back, and an answer that is on its way is refused with what it holds |

use std::collections::BTreeSet;

use domain::edit::Edit;
use domain::judge::{Side, Verdict, judge};
use domain::message::Status;
use domain::proposal::{Declined, MESSAGE_TABLE, Proposal, declined_id, expectation, is_proposal, proposal_id};
use protocol::entry::{Entry, Operation};
use protocol::ids::{OwnershipNumber, RecordId, Sequence, SiteId};
use protocol::row::Row;
use serde_json::{Value, json};
use sql::SqlExt;

use super::audit::{AuditEntry, site_actor};
use super::batch::Batch;
use super::error::StoreError;
use super::judging::Reason;
use super::reading::Reading;
use super::records::Key;
use super::set_aside::SetAsidePlace;
use super::view::{GroupPlace, GroupView};
use super::{text, unsigned};

/// `code`: of one that its site declined.
pub(super) const DDL: &str = "
CREATE TABLE proposal (
    message {text} PRIMARY KEY,
    journal {bigint} NOT NULL,
    sequence {bigint} NOT NULL,
    attempt {bigint} NOT NULL,
    store {text} NOT NULL,
    since_ms {bigint} NOT NULL,
    code {text},
    reason {text},
    UNIQUE (journal, sequence)
) {keyed_table};
";

/// A refused edit that a site was asked to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed {
    /// The message that asks.
    pub message: RecordId,
    /// The store whose site is asked.
    pub store: RecordId,
    /// When it was asked, in milliseconds since 1970.
    pub since_ms: u64,
    /// Why the site declined; `None` while it has not answered.
    pub declined: Option<Declined>,
}

impl Reading<'_> {
    /// What became of a refused edit's proposal; `None` if nobody was asked.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn proposed(&mut self, place: SetAsidePlace) -> Result<Option<Proposed>, StoreError> {
        let sql = "SELECT proposal.message, proposal.store, proposal.since_ms, proposal.code, proposal.reason
            FROM proposal JOIN journal ON journal.number = proposal.journal
            WHERE journal.id = ?1 AND proposal.sequence = ?2";
        Ok(self.sql.query_one(sql, &[(&place.0.0).into(), unsigned(place.1.0)], |row| {
            let reason = row.optional_text(4)?.unwrap_or_default().to_owned();
            let declined = row.optional_text(3)?.map(|code| Declined { code: code.to_owned(), reason });
            Ok(Proposed {
                message: text::record_id(row, 0)?,
                store: text::record_id(row, 1)?,
                since_ms: row.unsigned(2)?,
                declined,
            })
        })?)
    }
}

impl Batch<'_> {
    /// Asks the site that holds the edit's store to make it.
    ///
    /// # Errors
    /// Refused with `proposal_open` while an earlier one has no answer, with what the judge would say to the site, and with `reason` where
    /// the edit names no store that a site holds.
    pub(super) fn propose(
        &mut self,
        site: SiteId,
        place: SetAsidePlace,
        edit: &Edit,
        reason: &Reason,
    ) -> Result<(RecordId, SiteId), StoreError> {
        let refused = |reason: &Reason| StoreError::refused(&reason.code, &reason.text);
        let table = self.catalogue.table_by_name(&edit.table).map_err(|_| refused(reason))?;
        let key: Key = (table.reference().clone(), edit.id.clone());
        let current = self.read_record(&key)?;
        let operation = edit
            .operation(table, current.as_ref().and_then(|stored| stored.row.as_ref()))
            .map_err(|error| StoreError::refused(error.code(), &error.to_string()))?;
        let Some(operation) = operation else { return Err(refused(reason)) };
        let Some(store) = self.store_concerned(&key, &operation)? else { return Err(refused(reason)) };
        let holder = self.state.holdings.holder(&store);
        if holder == SiteId::CENTRAL {
            return Err(refused(reason));
        }
        let attempt = self.next_attempt(site, place, holder)?;
        self.judge_as(holder, key, operation)?.map_err(|reason| refused(&reason))?;
        let id = proposal_id(place.0, place.1, attempt);
        let current = current.and_then(|stored| stored.row);
        let expected = expectation(table, edit, current.as_ref());
        self.send_proposal(&id, &store, edit, expected)?.map_err(|reason| refused(&reason))?;
        self.sql.execute(
            "INSERT INTO proposal (message, journal, sequence, attempt, store, since_ms)
             SELECT ?1, number, ?3, ?4, ?5, ?6 FROM journal WHERE site = ?7 AND id = ?2",
            &[
                id.as_str().into(),
                (&place.0.0).into(),
                unsigned(place.1.0),
                attempt.into(),
                store.as_str().into(),
                unsigned(self.now_ms),
                site.0.into(),
            ],
        )?;
        Ok((store, holder))
    }

    /// Sends the site that holds a store a message that asks it to make an edit, or says why that cannot be sent.
    pub(super) fn send_proposal(
        &mut self,
        id: &RecordId,
        store: &RecordId,
        edit: &Edit,
        expected: Option<String>,
    ) -> Result<Result<(), Reason>, StoreError> {
        let message = Proposal { edit: edit.clone(), expected }.message(id, store);
        Ok(self.import_one(&message)?.map(|_| ()))
    }

    /// Lets go of the proposal of a refused edit that was dealt with; a site that has not answered is not asked any more.
    pub(super) fn withdraw_proposal(&mut self, journal: i64, sequence: Sequence) -> Result<(), StoreError> {
        let place = [journal.into(), unsigned(sequence.0)];
        let sql = "SELECT message FROM proposal WHERE journal = ?1 AND sequence = ?2 AND code IS NULL";
        let open = self.sql.query_one(sql, &place, |row| text::record_id(row, 0))?;
        self.sql.execute("DELETE FROM proposal WHERE journal = ?1 AND sequence = ?2", &place)?;
        let Some(message) = open else { return Ok(()) };
        let key = self.message_key(&message)?;
        let is_here = self.read_record(&key)?.is_some_and(|stored| stored.row.is_some());
        if is_here { self.write_own(key, Operation::Delete) } else { Ok(()) }
    }

    /// A message was written: if it is a proposal that its site has answered, the refused edit is dealt with, or stays with the reason.
    pub(super) fn settle_proposal(&mut self, author: SiteId, key: &Key, row: Option<&Row>) -> Result<(), StoreError> {
        let Some(messages) = self.catalogue.table(&key.0).filter(|table| table.name() == MESSAGE_TABLE) else {
            return Ok(());
        };
        let is_answered =
            |row: &Row| is_proposal(messages, row) && Status::of(messages, row) == Some(Status::Processed);
        if !row.is_some_and(is_answered) {
            return Ok(());
        }
        let sql = "SELECT journal.site, journal.id, proposal.sequence, proposal.store, proposal.journal
            FROM proposal JOIN journal ON journal.number = proposal.journal
            WHERE proposal.message = ?1 AND proposal.code IS NULL";
        let found = self.sql.query_one(sql, &[key.1.as_str().into()], |row| {
            let place = (text::journal_id(row, 1)?, Sequence(row.unsigned(2)?));
            Ok((text::site(row, 0)?, place, text::record_id(row, 3)?, row.integer(4)?))
        })?;
        let Some((site, place, store, journal)) = found else { return Ok(()) };
        let answer = self.message_key(&declined_id(&key.1))?;
        let answer = self.read_record(&answer)?.and_then(|stored| stored.row);
        let declined = answer.and_then(|row| Declined::of(messages, &row));
        let (verb, after) = match &declined {
            Some(declined) => ("proposal-declined", json!({ "code": declined.code, "reason": declined.reason })),
            None => ("proposal-made", Value::Null),
        };
        if let Some(Declined { code, reason }) = declined {
            let reason = Reason::new(&code, &reason);
            self.sql.execute(
                "UPDATE proposal SET code = ?3, reason = ?4 WHERE journal = ?1 AND sequence = ?2",
                &[journal.into(), unsigned(place.1.0), reason.code.as_str().into(), reason.text.as_str().into()],
            )?;
        } else {
            let sql = "DELETE FROM proposal WHERE journal = ?1 AND sequence = ?2";
            self.sql.execute(sql, &[journal.into(), unsigned(place.1.0)])?;
            self.dismiss(site, place.0, place.1)?;
        }
        let entry = AuditEntry {
            site: Some(site),
            store: Some(store.to_string()),
            asked: json!({ "place": format!("{}:{}", place.0, place.1), "message": key.1.as_str() }),
            ..AuditEntry::new(&site_actor(author), verb)
        };
        self.note(entry, Value::Null, after)
    }

    /// Which attempt the next proposal of a refused edit is; what stands of the last one goes.
    fn next_attempt(&mut self, site: SiteId, place: SetAsidePlace, holder: SiteId) -> Result<u32, StoreError> {
        let key = [site.0.into(), (&place.0.0).into(), unsigned(place.1.0)];
        let sql = "SELECT attempt, code IS NULL FROM proposal
            WHERE sequence = ?3 AND journal IN (SELECT number FROM journal WHERE site = ?1 AND id = ?2)";
        let last = self.sql.query_one(sql, &key, |row| Ok((text::small(row, 0)?, row.integer(1)? != 0)))?;
        let Some((attempt, is_open)) = last else { return Ok(0) };
        if is_open {
            let what = format!(
                "site {holder} was asked to record it and has not answered yet; it answers after its next sync. Dismiss it to take it back"
            );
            return Err(StoreError::refused("proposal_open", &what));
        }
        let sql = "DELETE FROM proposal
            WHERE sequence = ?3 AND journal IN (SELECT number FROM journal WHERE site = ?1 AND id = ?2)";
        self.sql.execute(sql, &key)?;
        Ok(attempt.saturating_add(1))
    }

    /// What the judge would say to a site, as it stands.
    fn judge_as(&mut self, site: SiteId, key: Key, operation: Operation) -> Result<Result<(), Reason>, StoreError> {
        let (table, record) = key;
        let entry = Entry { is_group_end: true, ownership: OwnershipNumber(0), table, record, operation };
        let (catalogue, gone) = (self.catalogue, BTreeSet::new());
        let mut view = GroupView::new(self, GroupPlace { journal: i64::MAX, first: Sequence(0) }, &gone);
        Ok(match judge(catalogue, &mut view, Side::Device, site, &entry)? {
            Verdict::Accept(_) => Ok(()),
            Verdict::Refuse(refusal) => Err(Reason::new(refusal.code.as_str(), &refusal.reason)),
            Verdict::Wait { .. } => {
                let what =
                    "its header is not here; apply the header first, and this once the header's site has made it";
                Err(Reason::new("header_missing", what))
            }
        })
    }

    /// The store whose site may make an edit: of the record as it is, else of the row or its header.
    fn store_concerned(&mut self, key: &Key, operation: &Operation) -> Result<Option<RecordId>, StoreError> {
        if let Some(store) = self.read_record(key)?.and_then(|stored| stored.store) {
            return Ok(Some(store));
        }
        let (Some(table), Operation::Put(row)) = (self.catalogue.table(&key.0), operation) else { return Ok(None) };
        if let Some(Ok(store)) = table.store_of(&key.1, row) {
            return Ok(Some(store));
        }
        let (Some(parent), Some(Ok(header))) = (table.parent(), table.header_of(row)) else { return Ok(None) };
        let header: Key = (parent.table.clone(), header);
        Ok(self.read_record(&header)?.and_then(|stored| stored.store))
    }

    fn message_key(&self, message: &RecordId) -> Result<Key, StoreError> {
        let messages = self.catalogue.table_by_name(MESSAGE_TABLE);
        let messages = messages.map_err(|error| StoreError::Damaged(error.to_string()))?;
        Ok((messages.reference().clone(), message.clone()))
    }
}
