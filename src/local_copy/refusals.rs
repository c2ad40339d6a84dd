//! Verdicts on entries that the journal still has. A central that was set back does not know them any more, and might accept what
//! somebody here has given up, or has recorded anew.

use std::ops::ControlFlow;

use protocol::control::Refused;
use protocol::frame::RefusedBefore;
use protocol::ids::{JournalId, Sequence};
use sql::{Durability, Param, SqlExt};

use super::{LocalCopy, LocalCopyError};

impl LocalCopy {
    /// Entries of a journal behind `after`, up to `through`, that central has refused, in order.
    ///
    /// # Errors
    /// Those of a read.
    pub fn refusals(
        &mut self,
        journal: JournalId,
        after: Sequence,
        through: Sequence,
    ) -> Result<Vec<RefusedBefore>, LocalCopyError> {
        let mut refusals = Vec::new();
        self.sql.query(
            "SELECT sequence, code, reason FROM refusal
             WHERE journal_id = ?1 AND sequence > ?2 AND sequence <= ?3 ORDER BY sequence",
            &[(&journal.0).into(), Param::unsigned(after.0)?, Param::unsigned(through.0)?],
            &mut |row| {
                refusals.push(RefusedBefore {
                    sequence: Sequence(row.unsigned(0)?),
                    code: row.text(1)?.to_owned(),
                    reason: row.text(2)?.to_owned(),
                });
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(refusals)
    }

    /// Lets go of the verdicts on entries that nobody can send again: those up to a journal's floor, and those of other journals.
    ///
    /// # Errors
    /// Those of a write.
    pub fn forget_refusals(&mut self, journal: JournalId, floor: Sequence) -> Result<(), LocalCopyError> {
        let params = [(&journal.0).into(), Param::unsigned(floor.0)?];
        let is_needed = "SELECT 1 FROM refusal WHERE journal_id <> ?1 OR sequence <= ?2 LIMIT 1";
        if self.sql.query_integer(is_needed, &params)?.is_none() {
            return Ok(());
        }
        self.transaction(Durability::Process, |copy| {
            copy.sql.execute("DELETE FROM refusal WHERE journal_id <> ?1 OR sequence <= ?2", &params)?;
            Ok(())
        })
    }

    /// Whether an entry that is refused had its verdict already and was accepted: by a central that was set back since.
    pub(super) fn was_accepted(&mut self, refused: &Refused) -> Result<bool, LocalCopyError> {
        if self.journal()? != Some(refused.journal) || refused.sequence.0 > self.progress.judged {
            return Ok(false);
        }
        let key = [(&refused.journal.0).into(), Param::unsigned(refused.sequence.0)?];
        let pending = "SELECT 1 FROM pending JOIN journal ON journal.number = pending.journal
            WHERE journal.journal_id = ?1 AND pending.sequence = ?2";
        let refusal = "SELECT 1 FROM refusal WHERE journal_id = ?1 AND sequence = ?2";
        Ok(self.sql.query_integer(pending, &key)?.is_none() && self.sql.query_integer(refusal, &key)?.is_none())
    }

    /// Keeps a verdict; whether it is new. Inside the open transaction.
    pub(super) fn keep_refusal(&mut self, refused: &Refused) -> Result<bool, LocalCopyError> {
        let kept = self.sql.execute(
            "INSERT INTO refusal (journal_id, sequence, code, reason) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (journal_id, sequence) DO NOTHING",
            &[
                (&refused.journal.0).into(),
                Param::unsigned(refused.sequence.0)?,
                refused.code.as_str().into(),
                refused.reason.as_str().into(),
            ],
        )?;
        Ok(kept > 0)
    }
}
