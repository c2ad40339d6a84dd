//! The log of entries does not grow for ever: what is judged and old goes, in bounded steps. A journal's head and the floor below
//! which the log was cut are kept for ever (rule 5.8).

use std::ops::ControlFlow;

use protocol::ids::{JournalId, Sequence, SiteId};
use sql::SqlExt;

use super::batch::Batch;
use super::error::StoreError;
use super::state::{JOURNAL_COLUMNS, Journal};
use super::{text, unsigned};

impl Batch<'_> {
    /// Takes at most `entries_max` judged entries that came before a time out of the log, and says how many it took: when it
    /// is fewer, nothing is left to take. What waits stays, and what its device may send again; what was refused stays XX
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn prune(&mut self, before_ms: u64, entries_max: u64) -> Result<u64, StoreError> {
        self.job(|batch| {
            let mut pruned = 0;
            for (site, journal) in batch.journals_with_log()? {
                if pruned < entries_max {
                    pruned += batch.prune_journal(site, journal, before_ms, entries_max - pruned)?;
                }
                if pruned < entries_max {
                    pruned += batch.prune_set_aside_of_journal(site, journal, before_ms, entries_max - pruned)?;
                }
            }
            if pruned < entries_max {
                pruned += batch.prune_set_aside_of_sites(before_ms, entries_max - pruned)?;
            }
            Ok(pruned)
        })
    }

    /// Drops one refused entry that somebody has dealt with; whether it was there.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn dismiss(&mut self, site: SiteId, journal: JournalId, sequence: Sequence) -> Result<bool, StoreError> {
        self.job(|batch| {
            let sql = "SELECT number, floor FROM journal WHERE site = ?1 AND id = ?2";
            let key = [site.0.into(), (&journal.0).into()];
            let Some((number, floor)) =
                batch.sql.query_one(sql, &key, |row| Ok((row.integer(0)?, row.unsigned(1)?)))?
            else {
                return Ok(false);
            };
            batch.withdraw_proposal(number, sequence)?;
            batch.leave_set_aside(site, number, sequence)?;
            // Above the floor the entry's hash is still needed to tell a duplicate from a fork: it is only not shown any more.
            let sql = if sequence.0 <= floor {
                "DELETE FROM entry WHERE journal = ?1 AND sequence = ?2 AND verdict = 2"
            } else {
                "UPDATE entry SET verdict = 3 WHERE journal = ?1 AND sequence = ?2 AND verdict = 2"
            };
            Ok(batch.sql.execute(sql, &[number.into(), sql::Param::unsigned(sequence.0)?])? > 0)
        })
    }

    fn journals_with_log(&mut self) -> Result<Vec<(SiteId, i64)>, StoreError> {
        let mut journals = Vec::new();
        self.sql.query("SELECT site, number FROM journal ORDER BY number", &[], &mut |row| {
            journals.push((text::site(row, 0)?, row.integer(1)?));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(journals)
    }

    fn prune_journal(
        &mut self,
        site: SiteId,
        number: i64,
        before_ms: u64,
        entries_max: u64,
    ) -> Result<u64, StoreError> {
        let mut journal = self.journal(site, number)?;
        // What a device may send again, because it never heard that it was received, must be told from another history.
        let through = if journal.is_active && site != SiteId::CENTRAL {
            journal.judged.min(journal.heard)
        } else if journal.judged >= journal.end() {
            // What came to a closed journal since is in set-aside.
            journal.received
        } else {
            journal.judged
        };
        // Entries stand in the order in which they came, so the old ones are the first.
        let last = self.sql.query_one(
            "SELECT max(old.sequence) FROM (SELECT sequence, received_ms FROM entry
                WHERE journal = ?1 AND sequence > ?2 AND sequence <= ?3 ORDER BY sequence LIMIT ?4) old
             WHERE old.received_ms < ?5",
            &[
                number.into(),
                unsigned(journal.floor.0),
                unsigned(through.0),
                sql::Param::unsigned(entries_max)?,
                unsigned(before_ms),
            ],
            |row| row.optional_unsigned(0),
        )?;
        let Some(last) = last.flatten() else { return Ok(0) };
        let passed = last - journal.floor.0;
        self.sql.execute(
            "DELETE FROM entry WHERE journal = ?1 AND sequence > ?2 AND sequence <= ?3 AND (verdict IS NULL OR verdict = 3)",
            &[number.into(), unsigned(journal.floor.0), unsigned(last)],
        )?;
        journal.floor = Sequence(last);
        journal.write(self.sql)?;
        if let Some(cached) = self.state.sites.get_mut(&site).and_then(|state| state.journal.as_mut())
            && cached.number == number
        {
            cached.floor = journal.floor;
        }
        Ok(passed)
    }

    /// A journal as it is now, also if it is busy.
    fn journal(&mut self, site: SiteId, number: i64) -> Result<Journal, StoreError> {
        let cached = self.state.sites.get(&site).and_then(|state| state.journal.clone());
        if let Some(journal) = cached.filter(|journal| journal.number == number) {
            return Ok(journal);
        }
        let journal = self.sql.query_one(
            &format!("SELECT {JOURNAL_COLUMNS} FROM journal WHERE number = ?1"),
            &[number.into()],
            Journal::read,
        )?;
        journal.ok_or_else(|| StoreError::Damaged(format!("journal {number} is gone")))
    }
}
