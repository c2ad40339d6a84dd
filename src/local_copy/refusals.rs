//! Verdicts on entries, of the journal and the newest of before. A central that was set back does not know them any more, and might
//! accept what somebody here has given up, or has recorded anew.

use std::ops::ControlFlow;

use domain::judge::RefusalCode;
use protocol::control::{EntryPlace, Refused, ShownRefusal};
use protocol::frame::RefusedBefore;
use protocol::ids::{JournalId, Sequence};
use protocol::limits::CLAIMS_MAX;
use sql::{Durability, Param, SqlExt};

use super::limits::REFUSALS_KEPT_MAX;
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

    /// Verdicts that a request is to show next to a central which told all grants for the `telling`th time, and had judged this journal so
    /// far: those on entries that had waited, and on entries that it may not have judged. The cause of a refused group comes before the
    /// rest of it.
    pub(super) fn refusals_to_show(&mut self, telling: u64, judged: u64) -> Result<Vec<ShownRefusal>, LocalCopyError> {
        let mut refused = Vec::new();
        let sql = format!(
            "SELECT journal_id, sequence, code, reason FROM refusal
             WHERE shown < ?1 AND (waited > 0 OR sequence > ?2 OR journal_id NOT IN (
                 SELECT journal_id FROM journal WHERE number = ?3))
             ORDER BY CASE WHEN code = ?4 THEN 1 ELSE 0 END, journal_id, sequence LIMIT {CLAIMS_MAX}"
        );
        let params = [
            Param::unsigned(telling)?,
            Param::unsigned(judged)?,
            Param::unsigned(self.journal_number)?,
            RefusalCode::GroupRefused.as_str().into(),
        ];
        self.sql.query(&sql, &params, &mut |row| {
            let journal = row.blob(0)?.to_vec();
            refused.push((journal, Sequence(row.unsigned(1)?), row.text(2)?.to_owned(), row.text(3)?.to_owned()));
            Ok(ControlFlow::Continue(()))
        })?;
        let read = |(journal, sequence, code, reason): (Vec<u8>, _, _, _)| {
            let journal = JournalId::try_from(journal.as_slice()).map_err(LocalCopyError::damaged)?;
            Ok(ShownRefusal { place: EntryPlace { journal, sequence }, code, reason })
        };
        refused.into_iter().map(read).collect()
    }

    /// Central has answered what showed these. Inside the open transaction.
    pub(super) fn note_shown(&mut self, refused: &[ShownRefusal], telling: u64) -> Result<(), LocalCopyError> {
        for ShownRefusal { place, .. } in refused {
            self.sql.execute(
                "UPDATE refusal SET shown = ?3 WHERE journal_id = ?1 AND sequence = ?2",
                &[(&place.journal.0).into(), Param::unsigned(place.sequence.0)?, Param::unsigned(telling)?],
            )?;
        }
        Ok(())
    }

    /// Lets go of the verdicts on entries that nobody can send again: those up to a journal's floor, and those of other journals. The
    /// newest [`REFUSALS_KEPT_MAX`] stay, and the newest of entries that had waited at central.
    ///
    /// # Errors
    /// Those of a write.
    pub fn forget_refusals(&mut self, journal: JournalId, floor: Sequence) -> Result<(), LocalCopyError> {
        let newest = self.sql.query_integer("SELECT max(waited) FROM refusal", &[])?.unwrap_or(0);
        let kept = (newest - i64::try_from(CLAIMS_MAX).unwrap_or(i64::MAX)).max(0);
        let oldest = format!(
            "SELECT journal.number, refusal.sequence FROM refusal JOIN journal ON journal.journal_id = refusal.journal_id
             ORDER BY journal.number DESC, refusal.sequence DESC LIMIT 1 OFFSET {REFUSALS_KEPT_MAX}"
        );
        let Some((number, sequence)) =
            self.sql.query_one(&oldest, &[], |row| Ok((row.integer(0)?, row.integer(1)?)))?
        else {
            return Ok(());
        };
        let params = [(&journal.0).into(), Param::unsigned(floor.0)?, kept.into(), number.into(), sequence.into()];
        let old = "(journal_id <> ?1 OR sequence <= ?2) AND waited <= ?3 AND EXISTS (
            SELECT 1 FROM journal WHERE journal.journal_id = refusal.journal_id
                AND (journal.number < ?4 OR journal.number = ?4 AND refusal.sequence <= ?5))";
        if self.sql.query_integer(&format!("SELECT 1 FROM refusal WHERE {old} LIMIT 1"), &params)?.is_none() {
            return Ok(());
        }
        self.transaction(Durability::Process, |copy| {
            copy.sql.execute(&format!("DELETE FROM refusal WHERE {old}"), &params)?;
            Ok(())
        })
    }

    /// Whether an entry that is refused had its verdict already and was accepted: by a central that was set back since. Of one that waited
    /// when the copy before this one was lost nobody here knows that it waits.
    pub(super) fn was_accepted(&mut self, refused: &Refused) -> Result<bool, LocalCopyError> {
        if self.journal()? != Some(refused.journal)
            || refused.sequence.0 > self.progress.judged
            || self.is_unheard(refused.sequence)?
        {
            return Ok(false);
        }
        let key = [(&refused.journal.0).into(), Param::unsigned(refused.sequence.0)?];
        let pending = "SELECT 1 FROM pending JOIN journal ON journal.number = pending.journal
            WHERE journal.journal_id = ?1 AND pending.sequence = ?2";
        let refusal = "SELECT 1 FROM refusal WHERE journal_id = ?1 AND sequence = ?2";
        Ok(self.sql.query_integer(pending, &key)?.is_none() && self.sql.query_integer(refusal, &key)?.is_none())
    }

    /// Whether central has refused one of these entries of the journal in use.
    ///
    /// # Errors
    /// Those of a read.
    pub fn has_refused(&mut self, (first, last): (Sequence, Sequence)) -> Result<bool, LocalCopyError> {
        let sql = "SELECT 1 FROM refusal JOIN journal ON journal.journal_id = refusal.journal_id
            WHERE journal.number = ?1 AND refusal.sequence >= ?2 AND refusal.sequence <= ?3 LIMIT 1";
        let params = [Param::unsigned(self.journal_number)?, Param::unsigned(first.0)?, Param::unsigned(last.0)?];
        Ok(self.sql.query_integer(sql, &params)?.is_some())
    }

    /// Whether one of these entries of the journal in use has no verdict yet.
    ///
    /// # Errors
    /// Those of a read.
    pub fn has_pending(&mut self, (first, last): (Sequence, Sequence)) -> Result<bool, LocalCopyError> {
        let sql = "SELECT 1 FROM pending WHERE journal = ?1 AND sequence >= ?2 AND sequence <= ?3 LIMIT 1";
        let params = [Param::unsigned(self.journal_number)?, Param::unsigned(first.0)?, Param::unsigned(last.0)?];
        Ok(self.sql.query_integer(sql, &params)?.is_some())
    }

    /// Keeps a verdict; whether it is new. Inside the open transaction.
    pub(super) fn keep_refusal(&mut self, refused: &Refused) -> Result<bool, LocalCopyError> {
        let kept = self.sql.execute(
            "INSERT INTO refusal (journal_id, sequence, code, reason, waited)
             SELECT ?1, ?2, ?3, ?4, CASE WHEN EXISTS (
                 SELECT 1 FROM pending JOIN journal ON journal.number = pending.journal
                 WHERE journal.journal_id = ?1 AND pending.sequence = ?2 AND pending.is_waiting <> 0
             ) THEN coalesce((SELECT max(waited) FROM refusal), 0) + 1 ELSE 0 END
             WHERE true ON CONFLICT (journal_id, sequence) DO NOTHING",
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
