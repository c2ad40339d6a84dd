//! Own edits: applied in a transaction that the recorder brackets, so that each group is checked against those before it.

use std::sync::Arc;

use domain::catalogue::{Catalogue, Table};
use domain::judge::{Applied, Effect, Found, Header, Holding, View};
use protocol::entry::Entry;
use protocol::ids::{OwnershipNumber, Position, RecordId, RequestId, Sequence, SiteId, TableRef};
use protocol::row::Row;
use sql::{Durability, Param, Sql, SqlExt as _};

use super::image::{self, Image, Source};
use super::{Kind, LocalCopy, LocalCopyError, REQUESTS_KEPT_MAX, SET_ASIDE_MAX, write_state};

impl LocalCopy {
    /// Begins a transaction of own edits. It needs no full sync: the journal has them durably.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn begin_edits(&mut self) -> Result<(), LocalCopyError> {
        self.sql.begin(Durability::Process)?;
        self.before_edits = Some(self.state);
        Ok(())
    }

    /// Ends it; the journals are applied up to these sequences.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails; nothing of the transaction is there then.
    pub fn commit_edits(&mut self, applied: Sequence, applied_private: Sequence) -> Result<(), LocalCopyError> {
        self.state.applied = applied;
        self.state.applied_private = applied_private;
        let written = write_state(self.sql.as_mut(), &self.state).and_then(|()| Ok(self.sql.commit()?));
        if written.is_err() {
            let _ = self.rollback_edits();
        }
        self.before_edits = None;
        written
    }

    /// Gives it up.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn rollback_edits(&mut self) -> Result<(), LocalCopyError> {
        if let Some(state) = self.before_edits.take() {
            self.state = state;
        }
        Ok(self.sql.rollback()?)
    }

    /// Begins a group within the transaction.
    ///
    /// # Errors
    /// [`LocalCopyError::SetAsideFull`] at the limit of set-aside edits, else if SQLite fails.
    pub fn begin_group(&mut self) -> Result<(), LocalCopyError> {
        if self.set_aside_count()? >= SET_ASIDE_MAX {
            return Err(LocalCopyError::SetAsideFull);
        }
        Ok(self.sql.savepoint("edit_group")?)
    }

    /// Keeps the group.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn release_group(&mut self) -> Result<(), LocalCopyError> {
        Ok(self.sql.release("edit_group")?)
    }

    /// Undoes the group.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn rollback_group(&mut self) -> Result<(), LocalCopyError> {
        self.sql.rollback_to("edit_group")?;
        Ok(self.sql.release("edit_group")?)
    }

    /// Applies an entry that the judge accepted, or that was journaled before. One at or below what is applied does nothing.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn apply_entry(
        &mut self,
        kind: Kind,
        sequence: Sequence,
        entry: &Entry,
        applied: &Applied,
        recorded_at_ms: u64,
    ) -> Result<(), LocalCopyError> {
        let known = if kind == Kind::Shared { self.state.applied } else { self.state.applied_private };
        if sequence <= known || applied.effect == Effect::Nothing {
            return Ok(());
        }
        let table = self.catalogue.table_or_stand_in(&entry.table);
        let sql = self.sql.as_mut();
        let store = applied.store.as_ref().map(|store| store.as_str().to_owned());
        let mut after = Image { row: applied.row.clone(), store, position: Position::ZERO };
        if kind == Kind::Shared {
            image::keep_base(sql, &table, &entry.record)?;
            if let Some(base) = image::position_in(sql, Source::Base, &table, &entry.record)? {
                after.position = base;
            }
            let bytes = entry.encode();
            sql.execute(
                "INSERT INTO pending (sequence, table_name, id, entry, recorded_at_ms, is_waiting)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0)",
                &[
                    Param::unsigned(sequence.0)?,
                    table.name().into(),
                    entry.record.as_str().into(),
                    bytes.as_slice().into(),
                    Param::unsigned(recorded_at_ms)?,
                ],
            )?;
        }
        image::write_record(sql, &table, &entry.record, &after)
    }

    /// The sequences that a request gave, if it was recorded before: `Some(None)` if it had none.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn request(&mut self, request: RequestId) -> Result<Option<Option<(Sequence, Sequence)>>, LocalCopyError> {
        let text = "SELECT first, last FROM request WHERE request_id = ?1";
        let found = self.sql.query_one(text, &[request.0.as_slice().into()], |row| {
            Ok((row.optional_unsigned(0)?, row.optional_unsigned(1)?))
        })?;
        Ok(found.map(|(first, last)| Some((Sequence(first?), Sequence(last?)))))
    }

    /// Whether the open transaction remembers a request that was not known before.
    pub fn has_new_requests(&self) -> bool {
        self.before_edits.as_ref().is_some_and(|before| before.requests_added < self.state.requests_added)
    }

    /// Remembers a request; of more than [`REQUESTS_KEPT_MAX`] the oldest goes.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn remember_request(
        &mut self,
        request: RequestId,
        sequences: Option<(Sequence, Sequence)>,
    ) -> Result<(), LocalCopyError> {
        self.state.requests_added += 1;
        let added = self.state.requests_added;
        let first = sequences.map(|sequences| Param::unsigned(sequences.0.0)).transpose()?;
        let last = sequences.map(|sequences| Param::unsigned(sequences.1.0)).transpose()?;
        self.sql.execute(
            "INSERT INTO request (request_id, first, last, added) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (request_id) DO UPDATE SET last = excluded.last",
            &[
                request.0.as_slice().into(),
                first.unwrap_or(Param::Null),
                last.unwrap_or(Param::Null),
                Param::unsigned(added)?,
            ],
        )?;
        if let Some(oldest) = added.checked_sub(REQUESTS_KEPT_MAX) {
            self.sql.execute("DELETE FROM request WHERE added <= ?1", &[Param::unsigned(oldest)?])?;
        }
        Ok(())
    }

    /// What an entry would do if nobody had to allow it: for entries that were journaled and judged before a crash.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn effect_of(&mut self, kind: Kind, entry: &Entry) -> Result<Applied, LocalCopyError> {
        let catalogue = Arc::clone(&self.catalogue);
        let table = catalogue.table_or_stand_in(&entry.table);
        let found = self.record(&entry.table, &entry.record)?;
        let row = domain::apply::apply(&found, &entry.operation);
        let stored = match found {
            Found::Here { store, .. } => store,
            Found::Deleted { .. } | Found::Unknown => None,
        };
        let store = match (&row, stored) {
            (_, Some(store)) => Some(store),
            (Some(row), None) => store_of(self.sql.as_mut(), &catalogue, &table, &entry.record, row)?,
            (None, None) => None,
        };
        Ok(Applied {
            effect: Effect::Write,
            row,
            store,
            scopes: Vec::new(),
            parent: None,
            ownership: entry.ownership,
            is_private: kind == Kind::Private,
            cancels_waiting: false,
        })
    }
}

fn store_of(
    sql: &mut dyn Sql,
    catalogue: &Catalogue,
    table: &Table,
    id: &RecordId,
    row: &Row,
) -> Result<Option<RecordId>, LocalCopyError> {
    image::store_of(sql, catalogue, table, id, row)?.map(|store| image::record_id(&store)).transpose()
}

impl View for LocalCopy {
    type Error = LocalCopyError;

    fn record(&mut self, table: &TableRef, id: &RecordId) -> Result<Found, LocalCopyError> {
        let table = self.catalogue.table_or_stand_in(table);
        Ok(match image::read(self.sql.as_mut(), Source::Record, &table, id)? {
            Some(Image { row: Some(row), store, .. }) => {
                Found::Here { row, store: store.map(|store| image::record_id(&store)).transpose()? }
            }
            Some(Image { row: None, .. }) | None => Found::Unknown,
        })
    }

    fn holding(&mut self, store: &RecordId) -> Result<Option<Holding>, LocalCopyError> {
        let text = "SELECT ownership FROM store_grant WHERE store = ?1";
        let ownership = self.sql.query_one(text, &[store.as_str().into()], |row| row.unsigned(0))?;
        Ok(ownership.map(|number| Holding {
            site: self.site,
            ownership: OwnershipNumber(u32::try_from(number).unwrap_or(u32::MAX)),
        }))
    }

    fn is_waiting(&mut self, _: SiteId, _: &TableRef, _: &RecordId) -> Result<bool, LocalCopyError> {
        Ok(false)
    }

    fn header(&mut self, table: &TableRef, id: &RecordId) -> Result<Header, LocalCopyError> {
        let table = self.catalogue.table_or_stand_in(table);
        let text = "SELECT store FROM record WHERE table_name = ?1 AND id = ?2";
        let key = [table.name().into(), id.as_str().into()];
        let store = self.sql.query_one(text, &key, |row| Ok(row.optional_text(0)?.map(str::to_owned)))?;
        Ok(match store {
            None => Header::Unknown,
            Some(store) => Header::Here { store: store.map(|store| image::record_id(&store)).transpose()? },
        })
    }
}
