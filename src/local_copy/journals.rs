//! Which journals the local copy is the picture of. A new one, after damage, counts from 1 again.

use std::ops::ControlFlow;

use protocol::entry::Entry;
use protocol::ids::{Hash, JournalId, Sequence};
use sql::{Durability, Param, SqlExt};

use super::images::Key;
use super::meta::{APPLIED_PRIVATE, APPLIED_SHARED, PRIVATE_JOURNAL};
use super::{Kind, LocalCopy, LocalCopyError, Progress, checksum, limits};

const fn applied_hash_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Shared => "applied_shared_hash",
        Kind::Private => "applied_private_hash",
    }
}

impl LocalCopy {
    /// Says which journal of a kind is in use. To be called when the journals are open, before anything is applied.
    ///
    /// A shared journal that differs from the one before: entries behind [`LocalCopy::received_groups`] go, since what is salvaged
    /// of them comes again under the new journal; those up to it stay until a reply for the new journal says that nothing is
    /// unjudged. Requests stay known, without the place of what they recorded. For both kinds applying begins at 0 again.
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

    /// The private journal in use; `None` before the first.
    ///
    /// # Errors
    /// Those of a read.
    pub fn private_journal(&mut self) -> Result<Option<JournalId>, LocalCopyError> {
        let bytes = self.content(PRIVATE_JOURNAL)?;
        bytes.map(|bytes| JournalId::try_from(bytes.as_slice()).map_err(LocalCopyError::damaged)).transpose()
    }

    /// How far a journal is applied, as [`LocalCopy::applied`] says.
    pub fn applied_through(&self, kind: Kind) -> Sequence {
        self.applied.get(kind)
    }

    /// The journal's hash after the last applied entry; `None` if that was never noted for this entry.
    ///
    /// # Errors
    /// Those of a read.
    pub fn applied_hash(&mut self, kind: Kind) -> Result<Option<Hash>, LocalCopyError> {
        let Some(content) = self.content(applied_hash_name(kind))? else { return Ok(None) };
        let Some((sequence, hash)) = content.split_first_chunk::<8>() else { return Ok(None) };
        if u64::from_le_bytes(*sequence) != self.applied.get(kind).0 {
            return Ok(None);
        }
        Ok(Hash::try_from(hash).ok())
    }

    /// Notes in the open transaction what the journal's hash is after the entry up to which it will be applied, so that a
    /// journal with other entries is not taken for this one at the next opening.
    ///
    /// # Errors
    /// Those of a write.
    pub fn note_applied_hash(&mut self, kind: Kind, sequence: Sequence, hash: Hash) -> Result<(), LocalCopyError> {
        let mut content = sequence.0.to_le_bytes().to_vec();
        content.extend_from_slice(&hash.0);
        self.set_content(applied_hash_name(kind), Some(&content))
    }

    pub(super) fn use_shared_journal(&mut self, journal: JournalId) -> Result<(), LocalCopyError> {
        self.transaction(Durability::Full, |copy| {
            let (before, safe) = (copy.journal_number, copy.received_groups()?);
            copy.journal_number += 1;
            let number = Param::unsigned(copy.journal_number)?;
            copy.sql
                .execute("INSERT INTO journal (number, journal_id) VALUES (?1, ?2)", &[number, (&journal.0).into()])?;
            if before == 0 {
                // Entries that were applied before anybody said under which journal.
                copy.sql.execute("UPDATE pending SET journal = ?1 WHERE journal = 0", &[number])?;
                return Ok(());
            }
            copy.end_feed()?;
            copy.drop_behind(before, safe)?;
            // Of what is carried over the places come again.
            copy.sql.execute("UPDATE request SET first_sequence = NULL, last_sequence = NULL", &[])?;
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

    /// Changes pending entries and reads their records anew, record by record, each in a transaction of its own: a cut leaves the rest
    /// for the next call. `which` and `change` are SQL on the table `pending`, in which ?1 is the journal in use; the change takes a
    /// record out of those that are meant.
    ///
    /// # Errors
    /// Those of a write.
    pub(super) fn change_pending(&mut self, which: &str, change: &str) -> Result<(), LocalCopyError> {
        let number = Param::unsigned(self.journal_number)?;
        let find = format!("SELECT table_name, id FROM pending WHERE {which} LIMIT 1");
        let change = format!("{change} WHERE table_name = ?2 AND id = ?3 AND {which}");
        loop {
            let found =
                self.sql.query_one(&find, &[number], |row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned())))?;
            let Some((table, id)) = found else { return Ok(()) };
            let key = self.key_by_name(&table, &id)?;
            self.transaction(Durability::Process, |copy| {
                let [table, id] = key.params();
                copy.sql.execute(&change, &[number, table, id])?;
                copy.merge_again(&key)?;
                copy.remove_if_nobodys(&key)
            })?;
        }
    }

    /// A record that no scope holds was here for its pending entries alone, such as one that was handed back to a central which had
    /// lost it: without them no page and no sweep would ever come by it.
    pub(super) fn remove_if_nobodys(&mut self, key: &Key) -> Result<(), LocalCopyError> {
        let has_pending = "SELECT 1 FROM pending WHERE table_name = ?1 AND id = ?2 LIMIT 1";
        let is_held = self.is_member(key)? || self.is_staying(key)?;
        if is_held || self.sql.query_integer(has_pending, &key.params())?.is_some() {
            return Ok(());
        }
        self.delete_record(key)
    }

    /// How far central has whole groups of the shared journal in use. It judges no part of a group, and refuses the part that it has
    /// once the journal is closed: whoever takes another journal begins behind this, not behind what central has received.
    ///
    /// # Errors
    /// Those of a read.
    pub fn received_groups(&mut self) -> Result<Sequence, LocalCopyError> {
        let mut through = self.progress.received;
        self.sql.query(
            "SELECT sequence, entry FROM pending WHERE journal = ?1 AND sequence <= ?2 ORDER BY sequence DESC",
            &[Param::unsigned(self.journal_number)?, Param::unsigned(through)?],
            &mut |row| {
                // What is not pending any more has its verdict, and so has all of its group.
                if row.unsigned(0)? != through || Entry::ends_group(row.blob(1)?).unwrap_or(true) {
                    return Ok(ControlFlow::Break(()));
                }
                through -= 1;
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(Sequence(through))
    }

    fn drop_behind(&mut self, journal: u64, safe: Sequence) -> Result<(), LocalCopyError> {
        let params = [Param::unsigned(journal)?, Param::unsigned(safe.0)?];
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
                self.remove_if_nobodys(&key)?;
            }
        }
    }

    /// The pending entries of the shared journal in use from one sequence to another, with their bytes: what the journal has lost
    /// may still be here. As many as are pending between, at most.
    ///
    /// # Errors
    /// Those of a read.
    pub fn pending_entries(
        &mut self,
        first: Sequence,
        last: Sequence,
    ) -> Result<Vec<(Sequence, Vec<u8>)>, LocalCopyError> {
        let mut entries = Vec::new();
        // SQL has no numbers above this one, and no journal has entries there.
        let bounded = |sequence: Sequence| Param::Integer(i64::try_from(sequence.0).unwrap_or(i64::MAX));
        self.sql.query(
            "SELECT sequence, entry, checksum FROM pending WHERE journal = ?1 AND sequence BETWEEN ?2 AND ?3 ORDER BY sequence",
            &[Param::unsigned(self.journal_number)?, bounded(first), bounded(last)],
            &mut |row| {
                // What cannot be trusted counts as lost.
                let entry = row.blob(1)?;
                if row.optional_integer(2)?.is_none_or(|found| found == checksum::of_entry(entry)) {
                    entries.push((Sequence(row.unsigned(0)?), entry.to_vec()));
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(entries)
    }
}
