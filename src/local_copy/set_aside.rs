//! Refused edits, kept with their reason until somebody has decided what to do with them (rule 5.3).

use std::ops::ControlFlow;

use domain::edit::{Edit, EditOp};
use domain::json::row_to_json;
use protocol::chain::hash_of;
use protocol::control::Refused;
use protocol::entry::{Entry, Operation};
use protocol::ids::{JournalId, RecordId, RequestId, Sequence};
use sql::{Durability, Param, Row, SqlError, SqlExt};

use super::meta::SET_ASIDE_LET_GO;
use super::read::{Listing, checked_limit};
use super::{LocalCopy, LocalCopyError, limits};

/// A refused edit, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Its number here; never that of another one, also when this one was let go of.
    pub number: u64,
    /// The journal that it was recorded in.
    pub journal: JournalId,
    /// Its place there.
    pub sequence: Sequence,
    /// The record's table; `None` if the entry was not here any more when its refusal came. Central has it.
    pub table: Option<String>,
    /// The record.
    pub id: Option<String>,
    /// `put`, `patch` or `delete`.
    pub operation: Option<String>,
    /// Stable code of the rule.
    pub code: String,
    /// One sentence.
    pub reason: String,
    /// When it was recorded, in milliseconds since 1970; 0 if that is not known.
    pub recorded_at_ms: u64,
}

/// A refused edit with its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAsideEntry {
    /// What lists show.
    pub about: SetAside,
    /// The edit, to be exported, or to be recorded anew under [`SetAside::retry_request_id`] and then removed here.
    pub edit: Option<Edit>,
}

impl SetAside {
    /// The request id under which the edit is recorded anew: a crash before it is removed here does not record it twice.
    pub fn retry_request_id(&self) -> RequestId {
        retry_request_id(self.journal, self.sequence)
    }
}

/// See [`SetAside::retry_request_id`].
pub fn retry_request_id(journal: JournalId, sequence: Sequence) -> RequestId {
    let mut text = b"set-aside".to_vec();
    text.extend_from_slice(&journal.0);
    text.extend_from_slice(&sequence.0.to_be_bytes());
    let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash_of(&text).0;
    RequestId(first)
}

const COLUMNS: &str = "number, journal_id, sequence, table_name, id, operation, code, reason, recorded_at_ms";

impl LocalCopy {
    /// Refused edits with numbers above `after`, in the order in which they were refused; at most `limit`.
    ///
    /// # Errors
    /// Those of a read.
    pub fn set_aside_list(&mut self, after: u64, limit: u32) -> Result<Listing<SetAside>, LocalCopyError> {
        let sql = format!("SELECT {COLUMNS} FROM set_aside WHERE number > ?1 ORDER BY number LIMIT ?2");
        let mut items = Vec::new();
        let params = [Param::unsigned(after)?, checked_limit(limit)];
        self.sql.query(&sql, &params, &mut |row| {
            items.push(read_set_aside(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Listing::cut(items, limit))
    }

    /// One refused edit with its data; `None` if there is none of this number.
    ///
    /// # Errors
    /// [`LocalCopyError::Damaged`] if the entry cannot be read; else those of a read.
    pub fn set_aside_show(&mut self, number: u64) -> Result<Option<SetAsideEntry>, LocalCopyError> {
        let sql = format!("SELECT {COLUMNS}, entry FROM set_aside WHERE number = ?1");
        let found = self.sql.query_one(&sql, &[Param::unsigned(number)?], |row| {
            Ok((read_set_aside(row)?, row.optional_blob(9)?.map(<[u8]>::to_vec)))
        })?;
        let Some((about, entry)) = found else { return Ok(None) };
        let edit = match entry {
            Some(entry) => Some(self.edit_of(&Entry::decode(&entry).map_err(LocalCopyError::damaged)?)),
            None => None,
        };
        Ok(Some(SetAsideEntry { about, edit }))
    }

    /// How many refused edits there are.
    ///
    /// # Errors
    /// Those of a read.
    pub fn set_aside_count(&mut self) -> Result<u64, LocalCopyError> {
        let count = self.sql.query_integer("SELECT count(*) FROM set_aside", &[])?;
        Ok(count.unwrap_or(0).cast_unsigned())
    }

    /// Bytes of all of them. Added up where something has changed since, so that recording does not wait for it each time.
    ///
    /// # Errors
    /// Those of a read.
    pub fn set_aside_bytes(&mut self) -> Result<u64, LocalCopyError> {
        if let Some(known) = self.set_aside_bytes {
            return Ok(known);
        }
        let bytes = self.sql.query_integer("SELECT coalesce(sum(length(entry)), 0) FROM set_aside", &[])?;
        let bytes = bytes.unwrap_or(0).cast_unsigned();
        self.set_aside_bytes = Some(bytes);
        Ok(bytes)
    }

    /// The highest number of a refused edit that is here; 0 if there is none.
    ///
    /// # Errors
    /// Those of a read.
    pub fn set_aside_last(&mut self) -> Result<u64, LocalCopyError> {
        let last = self.sql.query_integer("SELECT coalesce(max(number), 0) FROM set_aside", &[])?;
        Ok(last.unwrap_or(0).cast_unsigned())
    }

    /// The first of these numbers that no refused edit has; `None` if all are here.
    ///
    /// # Errors
    /// Those of a read.
    pub fn set_aside_lacks(&mut self, numbers: &[u64]) -> Result<Option<u64>, LocalCopyError> {
        for number in numbers {
            // A number that the engine cannot hold was never given to an edit.
            let Ok(param) = Param::unsigned(*number) else { return Ok(Some(*number)) };
            if self.sql.query_integer("SELECT 1 FROM set_aside WHERE number = ?1", &[param])?.is_none() {
                return Ok(Some(*number));
            }
        }
        Ok(None)
    }

    /// Lets refused edits go, once they are recorded anew or somebody has said that they are not wanted. One durable step; how
    /// many of them were there. Their verdicts stay known ([`LocalCopy::refusals`]).
    ///
    /// # Errors
    /// Those of a write; then all are still there.
    pub fn set_aside_remove(&mut self, numbers: &[u64]) -> Result<u64, LocalCopyError> {
        self.transaction(Durability::Full, |copy| {
            copy.set_aside_bytes = None;
            let mut removed = 0;
            for number in numbers {
                let sql = "DELETE FROM set_aside WHERE number = ?1";
                if copy.sql.execute(sql, &[Param::unsigned(*number)?])? > 0 {
                    copy.note_let_go(*number)?;
                    removed += 1;
                }
            }
            Ok(removed)
        })
    }

    /// Sees to it that no other edit gets this number: somebody may still have it before their eyes, and dismiss it once more.
    fn note_let_go(&mut self, number: u64) -> Result<(), LocalCopyError> {
        if self.number(SET_ASIDE_LET_GO)?.is_some_and(|known| known >= number) {
            return Ok(());
        }
        self.set_number(SET_ASIDE_LET_GO, number)
    }

    /// The number of the next refused edit.
    pub(super) fn set_aside_next(&mut self) -> Result<u64, LocalCopyError> {
        let let_go = self.number(SET_ASIDE_LET_GO)?.unwrap_or(0);
        Ok(self.set_aside_last()?.max(let_go) + 1)
    }

    /// Whether a new group may be taken. Set-aside edits that are recorded anew go on at the limit: that is how there are fewer.
    ///
    /// # Errors
    /// [`LocalCopyError::SetAsideFull`].
    pub fn check_room(&mut self, request: Option<RequestId>) -> Result<(), LocalCopyError> {
        let (count, bytes) = (self.set_aside_count()?, self.set_aside_bytes()?);
        if count < limits::SET_ASIDE_MAX && bytes < limits::SET_ASIDE_BYTES_MAX {
            return Ok(());
        }
        if let Some(request) = request {
            let sql = "SELECT 1 FROM set_aside WHERE retry_request_id = ?1";
            if self.sql.query_integer(sql, &[(&request.0).into()])?.is_some() {
                return Ok(());
            }
        }
        Err(LocalCopyError::SetAsideFull { count, bytes })
    }

    /// Copies a pending entry to set-aside with the verdict.
    pub(super) fn set_aside_pending(&mut self, journal: u64, refused: &Refused) -> Result<(), LocalCopyError> {
        let number = self.set_aside_next()?;
        self.set_aside_bytes = None;
        self.sql.execute(
            "INSERT INTO set_aside
                 (number, journal_id, sequence, table_name, id, operation, entry, code, reason, recorded_at_ms,
                  retry_request_id)
             SELECT ?7, ?2, sequence, table_name, id, operation, entry, ?4, ?5, recorded_at_ms, ?6
             FROM pending WHERE journal = ?1 AND sequence = ?3
             ON CONFLICT (journal_id, sequence) DO NOTHING",
            &[
                Param::unsigned(journal)?,
                (&refused.journal.0).into(),
                Param::unsigned(refused.sequence.0)?,
                refused.code.as_str().into(),
                refused.reason.as_str().into(),
                (&retry_request_id(refused.journal, refused.sequence).0).into(),
                Param::unsigned(number)?,
            ],
        )?;
        Ok(())
    }

    /// A refusal whose entry is not here, as after the local copy was made anew: the verdict is kept all the same.
    pub(super) fn set_aside_without_entry(&mut self, refused: &Refused) -> Result<(), LocalCopyError> {
        let number = self.set_aside_next()?;
        self.sql.execute(
            "INSERT INTO set_aside (number, journal_id, sequence, code, reason, recorded_at_ms, retry_request_id)
             VALUES (?6, ?1, ?2, ?3, ?4, 0, ?5)
             ON CONFLICT (journal_id, sequence) DO NOTHING",
            &[
                (&refused.journal.0).into(),
                Param::unsigned(refused.sequence.0)?,
                refused.code.as_str().into(),
                refused.reason.as_str().into(),
                (&retry_request_id(refused.journal, refused.sequence).0).into(),
                Param::unsigned(number)?,
            ],
        )?;
        Ok(())
    }

    pub(super) fn edit_of(&self, entry: &Entry) -> Edit {
        let table = self.catalogue.table_or_stand_in(&entry.table);
        let (op, data) = match &entry.operation {
            Operation::Put(row) => (EditOp::Put, Some(row_to_json(&table, &entry.record, row))),
            Operation::Patch(row) => (EditOp::Patch, Some(row_to_json(&table, &entry.record, row))),
            Operation::Delete => (EditOp::Delete, None),
        };
        Edit { table: table.name().to_owned(), op, id: RecordId::clone(&entry.record), data }
    }
}

fn read_set_aside(row: &dyn Row) -> Result<SetAside, SqlError> {
    let text = |index| Ok::<_, SqlError>(row.optional_text(index)?.map(str::to_owned));
    let journal = JournalId::try_from(row.blob(1)?)
        .map_err(|error| SqlError::new(sql::SqlErrorKind::Corrupt, format!("a journal's id: {error}")))?;
    Ok(SetAside {
        number: row.unsigned(0)?,
        journal,
        sequence: Sequence(row.unsigned(2)?),
        table: text(3)?,
        id: text(4)?,
        operation: text(5)?,
        code: row.text(6)?.to_owned(),
        reason: row.text(7)?.to_owned(),
        recorded_at_ms: row.unsigned(8)?,
    })
}
