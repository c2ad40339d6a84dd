//! Own edits: groups in a transaction that the caller brackets, and the request ids that make repeated calls harmless.

use domain::apply::apply;
use domain::catalogue::DataType;
use domain::judge::{Applied, Effect, Found, View};
use protocol::entry::Entry;
use protocol::ids::{Position, RecordId, RequestId, Sequence};
use sql::{Durability, Param, SqlExt};

use super::images::{Image, Key, state};
use super::meta::{APPLIED_PRIVATE, APPLIED_SHARED};
use super::settle::{canonical, operation_word};
use super::{Kind, LEFT, LocalCopy, LocalCopyError, checksum, limits};

/// The savepoint of the open group.
const GROUP: &str = "edit_group";

/// First and last sequence of what a request recorded; `None` if all of it was private.
pub type Sequences = Option<(Sequence, Sequence)>;

impl LocalCopy {
    /// Opens the transaction that groups of edits are applied in. Its commit is safe against a kill, not against a power cut:
    /// the journals are synced before it, and what is lost here is applied again.
    ///
    /// # Errors
    /// Those of a write.
    pub fn begin_edits(&mut self) -> Result<(), LocalCopyError> {
        self.sql.begin(Durability::Process)?;
        self.applying = self.applied;
        Ok(())
    }

    /// Commits: the local copy holds the journals up to these sequences.
    ///
    /// # Errors
    /// Those of a write; the transaction is over and nothing of it stays. The journals are ahead then, and
    /// [`LocalCopyError::Gap`] refuses what comes next until they are applied again.
    pub fn commit_edits(&mut self, shared: Sequence, private: Sequence) -> Result<(), LocalCopyError> {
        let written = self
            .set_number(APPLIED_SHARED, shared.0)
            .and_then(|()| self.set_number(APPLIED_PRIVATE, private.0))
            .and_then(|()| Ok(self.sql.commit()?));
        if let Err(error) = written {
            self.note_failure(&error);
            let _ = self.rollback_edits();
            return Err(error);
        }
        self.applied.set(Kind::Shared, shared);
        self.applied.set(Kind::Private, private);
        self.applying = self.applied;
        self.has_unsynced = true;
        self.bell.ring();
        Ok(())
    }

    /// Gives up everything since [`LocalCopy::begin_edits`]. Harmless if nothing is open.
    ///
    /// # Errors
    /// Those of a write.
    pub fn rollback_edits(&mut self) -> Result<(), LocalCopyError> {
        self.applying = self.applied;
        self.set_aside_bytes = None;
        self.owed_from = None;
        Ok(self.sql.rollback()?)
    }

    /// Begins a group inside the open transaction, which can be given up alone.
    ///
    /// # Errors
    /// Those of a write.
    pub fn begin_group(&mut self) -> Result<(), LocalCopyError> {
        self.group = self.applying;
        Ok(self.sql.savepoint(GROUP)?)
    }

    /// Keeps the group.
    ///
    /// # Errors
    /// Those of a write.
    pub fn release_group(&mut self) -> Result<(), LocalCopyError> {
        Ok(self.sql.release(GROUP)?)
    }

    /// Gives the group up; those before it stay.
    ///
    /// # Errors
    /// Those of a write.
    pub fn rollback_group(&mut self) -> Result<(), LocalCopyError> {
        self.applying = self.group;
        self.sql.rollback_to(GROUP)?;
        Ok(self.sql.release(GROUP)?)
    }

    /// Applies an entry that was judged just now, inside the open transaction. At or below what is applied already it does
    /// nothing.
    ///
    /// # Errors
    /// [`LocalCopyError::Gap`] if an entry was left out; else those of a write.
    pub fn apply_entry(
        &mut self,
        kind: Kind,
        sequence: Sequence,
        entry: &Entry,
        applied: &Applied,
        recorded_at_ms: u64,
    ) -> Result<(), LocalCopyError> {
        self.apply_encoded(kind, sequence, entry, &entry.encode(), applied, recorded_at_ms)
    }

    /// The same with the entry's bytes, for whoever has them.
    ///
    /// # Errors
    /// As [`LocalCopy::apply_entry`].
    pub fn apply_encoded(
        &mut self,
        kind: Kind,
        sequence: Sequence,
        entry: &Entry,
        encoded: &[u8],
        applied: &Applied,
        recorded_at_ms: u64,
    ) -> Result<(), LocalCopyError> {
        if !self.is_next(kind, sequence)? {
            return Ok(());
        }
        let key = self.key(&entry.table, &entry.record);
        let image = Image { row: applied.row.clone(), store: applied.store.clone(), position: Position::ZERO };
        self.is_own_change = true;
        let put = self.put_entry(kind, sequence, (entry, encoded), &key, &image, recorded_at_ms);
        self.is_own_change = false;
        put
    }

    /// Replaces the bytes of an entry of the open transaction by those that are journaled.
    ///
    /// # Errors
    /// Those of a write.
    pub fn replace_pending_entry(&mut self, sequence: Sequence, entry: &[u8]) -> Result<(), LocalCopyError> {
        self.sql.execute(
            "UPDATE pending SET entry = ?3, checksum = ?4 WHERE journal = ?1 AND sequence = ?2",
            &[
                Param::unsigned(self.journal_number)?,
                Param::unsigned(sequence.0)?,
                entry.into(),
                checksum::of_entry(entry).into(),
            ],
        )?;
        Ok(())
    }

    /// What an entry of the journal does that was judged when it was recorded, and is not judged again: for entries that a crash
    /// kept from being applied.
    ///
    /// # Errors
    /// Those of a read.
    pub fn effect_of(&mut self, kind: Kind, entry: &Entry) -> Result<Applied, LocalCopyError> {
        let key = self.key(&entry.table, &entry.record);
        let found = self.record(key.table.reference(), &key.id)?;
        let row = apply(&found, &canonical(&key, entry.operation.clone()));
        let store = match (&found, &row, kind) {
            (_, Some(row), Kind::Private) if key.table.data_type_of(row) == DataType::Local => None,
            (Found::Here { store: Some(store), .. } | Found::Deleted { store: Some(store) }, _, _) => {
                Some(store.clone())
            }
            (_, Some(row), _) => self.store_of_row(&key, row, None)?,
            (_, None, _) => None,
        };
        Ok(Applied {
            effect: Effect::Write,
            row,
            store,
            scopes: Vec::new(),
            visible_key: None,
            parent: None,
            ownership: entry.ownership,
            is_private: kind == Kind::Private,
            cancels_waiting: false,
        })
    }

    /// Says that a journal has let go of entries up to here, which are not to be applied any more: central or the local copy
    /// before this one had them. Nothing happens if more than that is applied already. Durable: a copy that
    /// is behind the floor is taken for one that was set back.
    ///
    /// # Errors
    /// Those of a write.
    pub fn skip_to(&mut self, kind: Kind, floor: Sequence) -> Result<(), LocalCopyError> {
        if self.applied.get(kind) >= floor {
            return Ok(());
        }
        self.transaction(Durability::Full, |copy| {
            let name = match kind {
                Kind::Shared => APPLIED_SHARED,
                Kind::Private => APPLIED_PRIVATE,
            };
            copy.set_number(name, floor.0)?;
            copy.applied.set(kind, floor);
            Ok(())
        })
    }

    /// What a request with this id recorded; `None` if it is not known, or so old that it is forgotten
    /// ([`limits::REQUESTS_KEPT_MAX`]).
    ///
    /// # Errors
    /// Those of a read.
    pub fn request(&mut self, request_id: RequestId) -> Result<Option<Sequences>, LocalCopyError> {
        let sql = "SELECT first_sequence, last_sequence FROM request WHERE request_id = ?1";
        Ok(self.sql.query_one(sql, &[(&request_id.0).into()], |row| {
            let sequences = row.optional_unsigned(0)?.zip(row.optional_unsigned(1)?);
            Ok(sequences.map(|(first, last)| (Sequence(first), Sequence(last))))
        })?)
    }

    /// Remembers what a request recorded, inside the open transaction. Given again for the same id, the range grows.
    ///
    /// # Errors
    /// Those of a write.
    pub fn remember_request(&mut self, request_id: RequestId, sequences: Sequences) -> Result<(), LocalCopyError> {
        let sequences = match (self.request(request_id)?, sequences) {
            (Some(Some((first, last))), Some((new_first, new_last))) => {
                Some((first.min(new_first), last.max(new_last)))
            }
            (Some(known), None) => known,
            (_, sequences) => sequences,
        };
        let number = self.sql.query_integer("SELECT max(number) FROM request", &[])?.unwrap_or(0) + 1;
        let (first, last) = match sequences {
            Some((first, last)) => (Param::unsigned(first.0)?, Param::unsigned(last.0)?),
            None => (Param::Null, Param::Null),
        };
        self.sql.execute(
            "INSERT INTO request (number, request_id, first_sequence, last_sequence) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (request_id) DO UPDATE SET
                 first_sequence = excluded.first_sequence, last_sequence = excluded.last_sequence",
            &[number.into(), (&request_id.0).into(), first, last],
        )?;
        let kept = i64::try_from(limits::REQUESTS_KEPT_MAX).unwrap_or(i64::MAX);
        self.sql.execute("DELETE FROM request WHERE number <= ?1", &[(number - kept).into()])?;
        Ok(())
    }

    /// Whether an entry is to be applied: false if it is already.
    fn is_next(&self, kind: Kind, sequence: Sequence) -> Result<bool, LocalCopyError> {
        let applied = self.applying.get(kind);
        if sequence <= applied {
            return Ok(false);
        }
        if sequence != applied.next() {
            return Err(LocalCopyError::Gap { kind, applied, found: sequence });
        }
        Ok(true)
    }

    /// `after` is the record with the entry on top; its position is not read.
    fn put_entry(
        &mut self,
        kind: Kind,
        sequence: Sequence,
        (entry, encoded): (&Entry, &[u8]),
        key: &Key,
        after: &Image,
        recorded_at_ms: u64,
    ) -> Result<(), LocalCopyError> {
        if kind == Kind::Private {
            self.put_private(key, after, entry.ownership == LEFT)?;
            self.note_owed_of_own(key, after)?;
            self.applying.set(kind, sequence);
            return Ok(());
        }
        self.look_for_orphans_of(key)?;
        self.keep_base(key)?;
        let [table, id] = key.params();
        self.sql.execute(
            "INSERT INTO pending
                 (journal, sequence, table_name, id, store, operation, entry, is_waiting, recorded_at_ms, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9)",
            &[
                Param::unsigned(self.journal_number)?,
                Param::unsigned(sequence.0)?,
                table,
                id,
                after.store.as_ref().map(RecordId::as_str).into(),
                operation_word(&entry.operation).into(),
                encoded.into(),
                Param::unsigned(recorded_at_ms)?,
                checksum::of_entry(encoded).into(),
            ],
        )?;
        self.put_own(key, after)?;
        self.note_owed_of_own(key, after)?;
        self.applying.set(kind, sequence);
        Ok(())
    }

    /// Local data, or Store data that stays here. What has left is no affair of the private journal any more: that it did is journaled
    /// there as a delete, so that it does not rise again out of it.
    fn put_private(&mut self, key: &Key, after: &Image, leaves: bool) -> Result<(), LocalCopyError> {
        let data_type = key.table.data_type();
        let may_leave = matches!(data_type, DataType::Store | DataType::NewUser);
        let stays = may_leave && self.is_staying(key)?;
        // What is here has left, or is another of the same id, which went to central from the first.
        if may_leave && !stays && self.merged(key)?.is_some() {
            return Ok(());
        }
        if data_type == DataType::Store {
            if after.row.is_none() && !leaves && stays {
                self.note_orphans(key)?;
            }
            // After a crash, else the recorder has seen to it: what hangs on it goes too. What is kept only until everything is read
            // goes then.
            if leaves || self.is_read_anew()? {
                self.owe_look_at_withheld()?;
            }
        }
        self.put_merged(key, after, state::LOCAL)
    }

    /// Writes the record as it reads with an own entry: position and waiting stay as they are.
    fn put_own(&mut self, key: &Key, after: &Image) -> Result<(), LocalCopyError> {
        let sql = "SELECT position, state FROM record WHERE table_name = ?1 AND id = ?2";
        let before = self.sql.query_one(sql, &key.params(), |row| Ok((row.unsigned(0)?, row.integer(1)?)))?;
        let (position, state) = match before {
            Some((position, state::WAITING)) => (Position(position), state::WAITING),
            Some((position, _)) => (Position(position), state::PENDING),
            None => (self.base_position(key)?, self.open_state(key)?),
        };
        self.put_merged(key, &Image { row: after.row.clone(), store: after.store.clone(), position }, state)
    }

    fn base_position(&mut self, key: &Key) -> Result<Position, LocalCopyError> {
        let sql = "SELECT position FROM base WHERE table_name = ?1 AND id = ?2";
        let position = self.sql.query_one(sql, &key.params(), |row| row.unsigned(0))?;
        Ok(Position(position.unwrap_or(0)))
    }

    fn open_state(&mut self, key: &Key) -> Result<i64, LocalCopyError> {
        let sql = "SELECT 1 FROM pending WHERE table_name = ?1 AND id = ?2 AND is_waiting <> 0 LIMIT 1";
        let waits = self.sql.query_integer(sql, &key.params())?.is_some();
        Ok(if waits { state::WAITING } else { state::PENDING })
    }
}
