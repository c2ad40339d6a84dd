//! Which journals the local copy is the picture of. A new one, after damage, counts from 1 again.

use std::ops::ControlFlow;

use protocol::ids::{JournalId, Sequence};
use sql::{Durability, Param, SqlExt};

use super::meta::{APPLIED_PRIVATE, APPLIED_SHARED, PRIVATE_JOURNAL};
use super::{Kind, LocalCopy, LocalCopyError, Progress, limits};

impl LocalCopy {
    /// Says which journal of a kind is in use. To be called when the journals are open, before anything is applied.
    ///
    /// A shared journal that differs from the one before: entries that central has not received go, since what is salvaged of
    /// them comes again under the new journal; those that it has received stay until a reply for the new journal says that
    /// nothing is unjudged. For both kinds applying begins at 0 again.
    ///
    /// Whether the journal differs from the one before.
    ///
    /// # Errors
    /// Those of a write.
    pub fn use_journal(&mut self, kind: Kind, journal: JournalId) -> Result<bool, LocalCopyError> {
        match kind {
            Kind::Shared => match self.journal()? {
                Some(known) if known == journal => Ok(false),
                known => {
                    self.use_shared_journal(journal)?;
                    Ok(known.is_some())
                }
            },
            Kind::Private => {
                let known = self.content(PRIVATE_JOURNAL)?;
                if known.as_deref() == Some(&journal.0[..]) {
                    return Ok(false);
                }
                self.transaction(Durability::Full, |copy| {
                    copy.set_content(PRIVATE_JOURNAL, Some(&journal.0))?;
                    if known.is_some() {
                        copy.set_number(APPLIED_PRIVATE, 0)?;
                        copy.applied.set(Kind::Private, Sequence::ZERO);
                    }
                    Ok(())
                })?;
                Ok(known.is_some())
            }
        }
    }

    pub(super) fn use_shared_journal(&mut self, journal: JournalId) -> Result<(), LocalCopyError> {
        self.transaction(Durability::Full, |copy| {
            let before = copy.journal_number;
            copy.journal_number += 1;
            let number = Param::unsigned(copy.journal_number)?;
            copy.sql
                .execute("INSERT INTO journal (number, journal_id) VALUES (?1, ?2)", &[number, (&journal.0).into()])?;
            if before == 0 {
                // Entries that were applied before anybody said under which journal.
                copy.sql.execute("UPDATE pending SET journal = ?1 WHERE journal = 0", &[number])?;
                return Ok(());
            }
            copy.drop_unreceived(before)?;
            copy.set_number(APPLIED_SHARED, 0)?;
            copy.applied.set(Kind::Shared, Sequence::ZERO);
            let control = copy.progress.control;
            copy.store_progress(Progress { control, ..Progress::default() })
        })
    }

    /// Whether entries of journals before the one in use are pending.
    pub(super) fn has_old_entries(&mut self) -> Result<bool, LocalCopyError> {
        let sql = "SELECT 1 FROM pending WHERE journal < ?1 LIMIT 1";
        Ok(self.sql.query_integer(sql, &[Param::unsigned(self.journal_number)?])?.is_some())
    }

    fn drop_unreceived(&mut self, journal: u64) -> Result<(), LocalCopyError> {
        let params = [Param::unsigned(journal)?, Param::unsigned(self.progress.received)?];
        loop {
            let mut batch = Vec::new();
            self.sql.query(
                "SELECT sequence, table_name, id FROM pending WHERE journal = ?1 AND sequence > ?2
                 ORDER BY sequence LIMIT ?3",
                &[params[0], params[1], limits::SETTLE_BATCH.into()],
                &mut |row| {
                    batch.push((row.integer(0)?, row.text(1)?.to_owned(), row.text(2)?.to_owned()));
                    Ok(ControlFlow::Continue(()))
                },
            )?;
            if batch.is_empty() {
                return Ok(());
            }
            for (sequence, table, id) in batch {
                let sql = "DELETE FROM pending WHERE journal = ?1 AND sequence = ?2";
                self.sql.execute(sql, &[params[0], sequence.into()])?;
                let key = self.key_by_name(&table, &id)?;
                self.merge_again(&key)?;
            }
        }
    }

    /// The bytes of a pending entry of the shared journal in use: what the journal has lost may still be here.
    ///
    /// # Errors
    /// Those of a read.
    pub fn pending_entry(&mut self, sequence: Sequence) -> Result<Option<Vec<u8>>, LocalCopyError> {
        let sql = "SELECT entry FROM pending WHERE journal = ?1 AND sequence = ?2";
        let place = [Param::unsigned(self.journal_number)?, Param::unsigned(sequence.0)?];
        Ok(self.sql.query_one(sql, &place, |row| Ok(row.blob(0)?.to_vec()))?)
    }
}
