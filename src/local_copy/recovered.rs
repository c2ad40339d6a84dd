//! After this device was set back: the edits that only it may have are set aside, and everything else is read again from central.

use domain::edit::{Edit, EditOp};
use domain::json::row_from_json;
use protocol::chain::{self, hash_of};
use protocol::entry::{Entry, Operation};
use protocol::ids::{JournalId, OwnershipNumber, RequestId, Sequence};
use sql::{Durability, Param, SqlExt};

use super::meta::CONTROL;
use super::settle::operation_word;
use super::{LocalCopy, LocalCopyError};

/// The code under which edits of a journal that was given up are set aside.
pub const RECOVERED: &str = "recovered";

const REASON: &str = "recorded on this device before it was recovered; central may not have it";

/// Bytes of a request id of [`recovered_request_id`] that tell whose it is; the other ten tell the group.
const REQUEST_NAME_BYTES: usize = 6;

/// An entry of a journal that is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredEntry {
    /// Its place there.
    pub sequence: Sequence,
    /// Its bytes.
    pub entry: Vec<u8>,
    /// When it was recorded, in milliseconds since 1970.
    pub recorded_at_ms: u64,
}

/// Edits of a backup that are set aside instead of being recorded.
#[derive(Debug)]
pub struct RestoredGroup<'a> {
    /// Name and place of the first of them in the list of what is set aside; the others follow.
    pub place: (JournalId, Sequence),
    /// They.
    pub edits: &'a [Edit],
    /// When they were recorded, in milliseconds since 1970.
    pub recorded_at_ms: u64,
    /// Code of the rule.
    pub code: &'a str,
    /// One sentence.
    pub reason: &'a str,
    /// Under which they count as restored: once somebody has let them go, they do not come again.
    pub request_id: RequestId,
}

/// The name under which entries of a journal that is given up are set aside. Not the journal's own id: central has other entries
/// under the same numbers, and their refusals have a place of their own.
pub fn recovered_name(before: JournalId, after: JournalId) -> JournalId {
    let mut text = b"recovered".to_vec();
    text.extend_from_slice(&before.0);
    text.extend_from_slice(&after.0);
    let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash_of(&text).0;
    JournalId(first)
}

/// The request id under which a group of an export is journaled anew: by its place and its text, so that a repeated recovery
/// takes it for the same, and one that somebody changed for another. It begins with bytes of the name, by which
/// [`is_recovered_request_id`] knows it.
pub fn recovered_request_id(name: JournalId, first_line: u64, edits: &[Edit]) -> RequestId {
    let mut hash = hash_of(&name.0);
    let mut extend = |part: &[u8]| hash = chain::extend(hash, part);
    extend(&first_line.to_le_bytes());
    for edit in edits {
        for part in [&edit.table, edit.op.as_str(), edit.id.as_str(), edit.data.as_deref().unwrap_or_default()] {
            extend(part.as_bytes());
        }
    }
    let [mut id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash.0;
    for (byte, of_name) in id.iter_mut().zip(name.0).take(REQUEST_NAME_BYTES) {
        *byte = of_name;
    }
    RequestId(id)
}

/// Whether an edit was journaled anew by the recovery of this name. An application's own random id looks so once in 2^48.
pub fn is_recovered_request_id(name: JournalId, id: RequestId) -> bool {
    id.0.iter().zip(name.0).take(REQUEST_NAME_BYTES).all(|(byte, of_name)| *byte == of_name)
}

impl LocalCopy {
    /// What an entry does, as an application would hand it over.
    ///
    /// # Errors
    /// [`LocalCopyError::Damaged`] if it cannot be read.
    pub fn recovered_edit(&self, entry: &[u8]) -> Result<Edit, LocalCopyError> {
        Ok(self.edit_of(&Entry::decode(entry).map_err(LocalCopyError::damaged)?))
    }

    /// How many entries are set aside under a name of [`recovered_name`].
    ///
    /// # Errors
    /// Those of a read.
    pub fn set_aside_recovered_count(&mut self, name: JournalId) -> Result<u64, LocalCopyError> {
        let sql = "SELECT count(*) FROM set_aside WHERE journal_id = ?1";
        Ok(self.sql.query_integer(sql, &[(&name.0).into()])?.unwrap_or(0).cast_unsigned())
    }

    /// Sets entries aside for review, durably. Doing it again with the same name changes nothing.
    ///
    /// # Errors
    /// Those of a write; then none is set aside.
    pub fn set_aside_recovered(&mut self, name: JournalId, entries: &[RecoveredEntry]) -> Result<(), LocalCopyError> {
        self.transaction(Durability::Full, |copy| {
            for recovered in entries {
                let entry = Entry::decode(&recovered.entry).map_err(LocalCopyError::damaged)?;
                copy.set_aside_one(name, recovered, &entry, (RECOVERED, REASON))?;
            }
            Ok(())
        })
    }

    /// Sets edits of an export aside for review, durably, each under the number of its line. Doing it again with the same name
    /// changes nothing. False if the catalogue does not know one of them any more: then none is set aside.
    ///
    /// # Errors
    /// Those of a write; then none is set aside.
    pub fn set_aside_exported(
        &mut self,
        name: JournalId,
        first_line: u64,
        edits: &[Edit],
    ) -> Result<bool, LocalCopyError> {
        let Some(entries) = edits.iter().map(|edit| self.entry_of(edit)).collect::<Option<Vec<_>>>() else {
            return Ok(false);
        };
        let place = |index: usize| Sequence(first_line + index as u64);
        let recovered: Vec<_> = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| RecoveredEntry { sequence: place(index), entry: entry.encode(), recorded_at_ms: 0 })
            .collect();
        self.set_aside_recovered(name, &recovered)?;
        Ok(true)
    }

    /// Sets edits of a backup aside, durably. False if the catalogue does not know one of them: then none is set aside.
    ///
    /// # Errors
    /// Those of a write; then none is set aside.
    pub fn set_aside_restored(&mut self, group: &RestoredGroup<'_>) -> Result<bool, LocalCopyError> {
        let Some(entries) = group.edits.iter().map(|edit| self.entry_of(edit)).collect::<Option<Vec<_>>>() else {
            return Ok(false);
        };
        let ((name, mut sequence), recorded_at_ms) = (group.place, group.recorded_at_ms);
        self.transaction(Durability::Full, |copy| {
            for entry in &entries {
                let restored = RecoveredEntry { sequence, entry: entry.encode(), recorded_at_ms };
                copy.set_aside_one(name, &restored, entry, (group.code, group.reason))?;
                sequence = sequence.next();
            }
            copy.remember_request(group.request_id, None)
        })?;
        Ok(true)
    }

    fn entry_of(&self, edit: &Edit) -> Option<Entry> {
        let table = self.catalogue.table_by_name(&edit.table).ok()?;
        let row = || row_from_json(table, &edit.id, edit.data.as_deref()?).ok();
        let operation = match edit.op {
            EditOp::Put => Operation::Put(row()?),
            EditOp::Patch | EditOp::Upsert => Operation::Patch(row()?),
            EditOp::Delete => Operation::Delete,
        };
        let (table, record) = (table.reference().clone(), edit.id.clone());
        Some(Entry { is_group_end: false, ownership: OwnershipNumber(0), table, record, operation })
    }

    /// Sets an entry aside under a name, with a code and a reason. Inside the open transaction.
    pub(super) fn set_aside_one(
        &mut self,
        name: JournalId,
        recovered: &RecoveredEntry,
        entry: &Entry,
        (code, reason): (&str, &str),
    ) -> Result<(), LocalCopyError> {
        let table = self.catalogue.table_or_stand_in(&entry.table);
        let request_id = super::set_aside::retry_request_id(name, recovered.sequence);
        let number = self.set_aside_next()?;
        self.set_aside_bytes = None;
        self.sql.execute(
            "INSERT INTO set_aside
                 (number, journal_id, sequence, table_name, id, operation, entry, code, reason, recorded_at_ms,
                  retry_request_id)
             VALUES (?11, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (journal_id, sequence) DO UPDATE SET
                 table_name = excluded.table_name, id = excluded.id, operation = excluded.operation, entry = excluded.entry
             WHERE set_aside.entry IS NULL",
            &[
                (&name.0).into(),
                Param::unsigned(recovered.sequence.0)?,
                table.name().into(),
                entry.record.as_str().into(),
                operation_word(&entry.operation).into(),
                (&recovered.entry).into(),
                code.into(),
                reason.into(),
                Param::unsigned(recovered.recorded_at_ms)?,
                (&request_id.0).into(),
                Param::unsigned(number)?,
            ],
        )?;
        Ok(())
    }

    /// Says that what central told this device since an unknown time is not here: every scope is read again from 0, what became of
    /// entries of older journals is taken from the images alone, and central tells again which stores this site may write. Durable;
    /// harmless when repeated. To be called when the new journal is in use.
    ///
    /// # Errors
    /// Those of a write.
    pub fn begin_after_set_back(&mut self) -> Result<(), LocalCopyError> {
        self.begin_after_loss()?;
        self.begin_rebuild()?;
        // Central has the entries of journals before this one, or never will: its images say what became of them. On top of an
        // image they would bring back what another device has changed since.
        self.change_pending("journal < ?1", "DELETE FROM pending")?;
        self.transaction(Durability::Full, |copy| {
            copy.set_number(CONTROL, 0)?;
            copy.progress.control = 0;
            copy.forget_grants_until_told()?;
            copy.lose_numbers()
        })
    }
}
