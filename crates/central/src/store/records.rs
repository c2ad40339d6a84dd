//! Records and the lanes that they stand in (architecture, section 4 (8); rules 5.12, 5.15).

use std::ops::ControlFlow;

use domain::catalogue::Table;
use domain::json;
use domain::judge::Applied;
use domain::scope::Scope;
use domain::store::STORE_TABLE;
use domain::visibility::VisibleKey;
use protocol::ids::{RecordId, Sequence, SiteId, TableRef};
use protocol::row::Row;
use sql::{Param, SqlError, SqlExt};

use super::batch::Batch;
use super::error::StoreError;
use super::{text, unsigned};

/// A record: the table as the catalogue calls it, and the id.
pub(super) type Key = (TableRef, RecordId);

/// A record as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) number: i64,
    pub(super) position: u64,
    pub(super) store: Option<RecordId>,
    /// `None`: deleted.
    pub(super) row: Option<Row>,
}

/// A row of a lane.
#[derive(Debug, Clone)]
pub(super) struct LaneRow {
    pub(super) scope: i64,
    pub(super) position: u64,
    entered: u64,
    pub(super) is_tombstone: bool,
    echo_journal: Option<i64>,
    /// What a site has to see to be given it; `None` in lanes that are for all of their readers.
    pub(super) visible_key: Option<String>,
}

impl LaneRow {
    /// [`LaneRow::visible_key`].
    pub(super) fn key(&self) -> Option<VisibleKey> {
        self.visible_key.as_deref().and_then(VisibleKey::from_text)
    }
}

/// Where a record comes to stand in a lane.
#[derive(Debug, Clone, Copy)]
struct LanePlace {
    scope: i64,
    position: u64,
    is_tombstone: bool,
    echo: Option<i64>,
}

/// Who writes a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Author {
    pub(super) site: SiteId,
    /// Number of the journal.
    pub(super) journal: i64,
    /// The first entry of the group.
    pub(super) sequence: Sequence,
}

impl Batch<'_> {
    /// The record, deleted ones too.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] if its row is not what was written.
    pub(super) fn read_record(&mut self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let Some(table) = self.catalogue.table(&key.0) else { return Ok(None) };
        let found = self.sql.query_one(
            "SELECT number, position, store, data, checksum FROM record WHERE table_name = ?1 AND id = ?2",
            &[table.name().into(), key.1.as_str().into()],
            // What is wrong with the row is no failure of the statement, after which the transaction could not go on.
            |row| {
                let read = || {
                    let stored = (row.optional_text(2)?, row.optional_text(3)?, row.unsigned(1)?);
                    check_record(row.optional_integer(4)?, table.name(), key.1.as_str(), stored)?;
                    let row_of = |data| json::row_from_json(table, &key.1, data);
                    let read = row.optional_text(3)?.map(row_of).transpose();
                    Ok::<_, SqlError>((row.integer(0)?, row.unsigned(1)?, text::optional_record_id(row, 2)?, read))
                };
                Ok(read())
            },
        )?;
        match found {
            None => Ok(None),
            Some(Ok((number, position, store, Ok(row)))) => Ok(Some(Stored { number, position, store, row })),
            Some(Ok((.., Err(_))) | Err(_)) => Err(self.unreadable(key)),
        }
    }

    /// Whether a record is there (`Some(true)`) or was deleted, and its store.
    pub(super) fn read_store_of(&mut self, key: &Key) -> Result<Option<(bool, Option<RecordId>)>, StoreError> {
        let found = self.sql.query_one(
            "SELECT data IS NOT NULL, store FROM record WHERE table_name = ?1 AND id = ?2",
            &[(&self.catalogue.table_name(&key.0)).into(), key.1.as_str().into()],
            |row| {
                let read = || Ok::<_, SqlError>((row.integer(0)? != 0, text::optional_record_id(row, 1)?));
                Ok(read())
            },
        )?;
        found.transpose().map_err(|_| self.unreadable(key))
    }

    /// Writes a record as the judge says, at the next position, into its lanes. `number` is that of the record if it is stored;
    /// the one that it has afterwards is returned.
    pub(super) fn write_record(
        &mut self,
        author: Author,
        key: &Key,
        applied: &Applied,
        number: Option<i64>,
    ) -> Result<i64, StoreError> {
        let table = self.catalogue.table_or_stand_in(&key.0);
        self.share_header_first(&table, applied)?;
        self.route_order_first(&table, applied)?;
        let was = self.row_before(&table, key, number)?;
        let position = self.state.next_position().0;
        let data = applied.row.as_ref().map(|row| json::row_to_json(&table, &key.1, row));
        let parent_table = applied.parent.as_ref().map(|(parent, _)| self.catalogue.table_name(parent));
        let store = applied.store.as_ref().map(RecordId::as_str);
        let checksum = record_checksum(table.name(), key.1.as_str(), (store, data.as_deref(), position));
        let columns: [Param<'_>; 6] = [
            checksum.into(),
            data.as_deref().into(),
            store.into(),
            unsigned(position),
            parent_table.as_deref().into(),
            applied.parent.as_ref().map(|(_, id)| id.as_str()).into(),
        ];
        let [checksum, data, store, at, parent_table, parent_id] = columns;
        let is_new = number.is_none();
        let (number, lanes) = if let Some(number) = number {
            self.sql.execute(
                "UPDATE record SET data = ?2, store = ?3, position = ?4, parent_table = ?5, parent_id = ?6, checksum = ?7
                 WHERE number = ?1",
                &[number.into(), data, store, at, parent_table, parent_id, checksum],
            )?;
            (number, self.lanes_of(number)?)
        } else {
            let number = i64::try_from(position).expect("positions are far below 2^63");
            self.sql.execute(
                "INSERT INTO record (number, table_name, id, data, store, position, parent_table, parent_id, checksum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                &[
                    number.into(),
                    table.name().into(),
                    key.1.as_str().into(),
                    data,
                    store,
                    at,
                    parent_table,
                    parent_id,
                    checksum,
                ],
            )?;
            (number, Vec::new())
        };
        self.note_references((number, is_new), &table, was.as_ref(), applied.row.as_ref())?;
        // Before the lanes: who comes to see the patient by this is given the record by its common lane, and only what is there already
        // has to be back-filled.
        self.follow_home(&table, &key.1, applied)?;
        if let Some(made_on @ VisibleKey::MadeOn(maker)) = &applied.visible_key {
            self.look_again(*maker, made_on)?;
        }
        self.follow_prescription(&table, applied.row.as_ref(), applied.store.as_ref())?;
        let shared = match self.shared_key(&table, applied, &lanes)? {
            None => self.key_of_goods(&table, applied, &lanes)?,
            key => key,
        };
        let partners = self.partner_scopes((&table, &key.1), applied, &lanes)?;
        let mut scopes = Vec::with_capacity(applied.scopes.len());
        for scope in applied.scopes.iter().chain(shared.as_ref().map(|_| &Scope::Visible)).chain(&partners) {
            let scope_number = self.scope_number(scope)?;
            scopes.push(scope_number);
            let before = lanes.iter().find(|lane| lane.scope == scope_number);
            let visible_key = applied.visible_key.as_ref().or(shared.as_ref()).filter(|_| *scope == Scope::Visible);
            let own = match visible_key.and(before) {
                Some(_) => self.own_lanes_of(number)?,
                None => Vec::new(),
            };
            // What stands in the author's own lane it has not read, although its cursor of the common one may have passed it by.
            let is_owed = own.iter().any(|(_, site)| *site == author.site);
            // A site that holds both stores of a transfer notes its own record in the lane of its store alone; that it has it as the
            // other one's partner too it can only read, and without that it would let go of it with its store.
            let comes_to_partner =
                matches!(scope, Scope::StorePartners(_)) && before.is_none_or(|before| before.is_tombstone);
            let echo = if is_owed || comes_to_partner { None } else { self.echo(author, &scope.to_id(), before)? };
            let place = LanePlace { scope: scope_number, position, is_tombstone: applied.row.is_none(), echo };
            self.put_lane_row(number, place, before, visible_key)?;
            if let Some(key) = visible_key {
                self.forget_gained(number, &own, &key.to_text())?;
            }
        }
        if table.name() == STORE_TABLE {
            self.follow_store(&table, &key.1, applied.row.as_ref())?;
        }
        self.follow_visibility(&table, &key.1, applied.row.as_ref())?;
        self.follow_prescription_lines(&table, &key.1, applied.row.as_ref(), &lanes)?;
        self.follow_order_lines(&table, &key.1, applied, &lanes, shared.as_ref())?;
        self.follow_first_prescription(&table, applied)?;
        // The record has left these scopes: their sites are told that it is gone there.
        for before in lanes.iter().filter(|lane| !lane.is_tombstone && !scopes.contains(&lane.scope)) {
            let place = LanePlace { scope: before.scope, position, is_tombstone: true, echo: None };
            self.put_lane_row(number, place, Some(before), before.key().as_ref())?;
        }
        self.note_written(&table, key, was, applied.row.as_ref(), !partners.is_empty())?;
        Ok(number)
    }

    /// A record as it was before it is written, where transfers follow what becomes of it.
    fn row_before(&mut self, table: &Table, key: &Key, number: Option<i64>) -> Result<Option<Row>, StoreError> {
        if number.is_none() || !self.is_followed(table) {
            return Ok(None);
        }
        match self.read_record(key) {
            // A whole one takes its place: nobody can tell what has changed.
            Err(StoreError::Unreadable(_)) => Ok(None),
            read => Ok(read?.and_then(|stored| stored.row)),
        }
    }

    /// Puts a record at the head of one lane, for all who read that: central has something to say of it that is no change of the record.
    pub(super) fn put_at_head(
        &mut self,
        number: i64,
        scope: &Scope,
        before: Option<&LaneRow>,
        is_tombstone: bool,
        visible_key: Option<&VisibleKey>,
    ) -> Result<(), StoreError> {
        let scope = self.scope_number(scope)?;
        let position = self.state.next_position().0;
        self.put_lane_row(number, LanePlace { scope, position, is_tombstone, echo: None }, before, visible_key)
    }

    /// The store that is kept beside a record; neither its data nor its place in any lane changes.
    pub(super) fn change_store_kept(&mut self, number: i64, store: &RecordId) -> Result<(), StoreError> {
        let sql =
            "SELECT table_name, id, data, position FROM record WHERE number = ?1 AND (store IS NULL OR store <> ?2)";
        let found = self.sql.query_one(sql, &[number.into(), store.as_str().into()], |row| {
            let content = (Some(store.as_str()), row.optional_text(2)?, row.unsigned(3)?);
            Ok(record_checksum(row.text(0)?, row.text(1)?, content))
        })?;
        if let Some(checksum) = found {
            let sql = "UPDATE record SET store = ?2, checksum = ?3 WHERE number = ?1";
            self.sql.execute(sql, &[number.into(), store.as_str().into(), checksum.into()])?;
        }
        Ok(())
    }

    /// The lanes that a record stands in, without those of single sites, in which it says what they have come to see.
    pub(super) fn lanes_of(&mut self, record: i64) -> Result<Vec<LaneRow>, StoreError> {
        let mut lanes = Vec::new();
        let gained = &self.state.gained;
        let sql = "SELECT scope, position, entered, is_tombstone, echo_journal, visible_key FROM lane WHERE record = ?1
            ORDER BY scope";
        self.sql.query(sql, &[record.into()], &mut |row| {
            if gained.contains_key(&row.integer(0)?) {
                return Ok(ControlFlow::Continue(()));
            }
            lanes.push(LaneRow {
                scope: row.integer(0)?,
                position: row.unsigned(1)?,
                entered: row.unsigned(2)?,
                is_tombstone: row.integer(3)? != 0,
                echo_journal: row.optional_integer(4)?,
                visible_key: row.optional_text(5)?.map(str::to_owned),
            });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(lanes)
    }

    /// Rule 5.15: the author needs no copy of its own edit if what it had before was the newest: it had read the row before, or
    /// wrote that itself, or there was none.
    fn echo(
        &mut self,
        author: Author,
        scope: &protocol::ids::ScopeId,
        before: Option<&LaneRow>,
    ) -> Result<Option<i64>, StoreError> {
        if author.site == SiteId::CENTRAL {
            return Ok(None);
        }
        let site = self.site(author.site)?;
        // An entry of a journal that was closed: the device that speaks for the site now never had it.
        // One that came before the site last began anew: the device may have lost it with its local copy, and let its journal go
        // of it, before it was judged.
        let is_active = site
            .journal
            .as_ref()
            .is_some_and(|journal| journal.number == author.journal && author.sequence > journal.echo_after);
        let Some(cursor) = site.cursors.get(scope).filter(|_| is_active) else { return Ok(None) };
        // A row of its own from before the lane was last begun counts only once it was read: the device may have begun again
        // because it lost what it had.
        let has_newest = before.is_none_or(|before| {
            let is_own = before.echo_journal == Some(author.journal) && before.position > cursor.began.0;
            before.position <= cursor.number.0 || is_own
        });
        Ok(has_newest.then_some(author.journal))
    }

    fn put_lane_row(
        &mut self,
        record: i64,
        place: LanePlace,
        before: Option<&LaneRow>,
        visible_key: Option<&VisibleKey>,
    ) -> Result<(), StoreError> {
        let LanePlace { scope, position, is_tombstone, echo } = place;
        self.state.concerned.scopes.insert(scope);
        let tombstone = i64::from(is_tombstone).into();
        let key = visible_key.map(VisibleKey::to_text);
        let Some(before) = before else {
            self.sql.execute(
                "INSERT INTO lane (scope, position, record, entered, is_tombstone, echo_journal, visible_key)
                 VALUES (?1, ?2, ?3, ?2, ?4, ?5, ?6)",
                &[scope.into(), unsigned(position), record.into(), tombstone, echo.into(), key.as_deref().into()],
            )?;
            return Ok(());
        };
        let entered = if before.is_tombstone { position } else { before.entered };
        self.sql.execute(
            "UPDATE lane SET position = ?3, entered = ?4, is_tombstone = ?5, echo_journal = ?6, visible_key = ?7
             WHERE scope = ?1 AND position = ?2",
            &[
                scope.into(),
                unsigned(before.position),
                unsigned(position),
                unsigned(entered),
                tombstone,
                echo.into(),
                key.as_deref().into(),
            ],
        )?;
        match before.key() {
            Some(before) if Some(&before) != visible_key => self.take_from_those_who_saw(record, &before, visible_key),
            _ => Ok(()),
        }
    }
}

/// Store, data and position of a record.
type Content<'a> = (Option<&'a str>, Option<&'a str>, u64);

fn record_checksum(table: &str, id: &str, (store, data, position): Content<'_>) -> i64 {
    sql::row_checksum(&[Some(table), Some(id), store, data], position)
}

/// That a record reads as it was written.
pub(super) fn check_record(found: Option<i64>, table: &str, id: &str, content: Content<'_>) -> Result<(), SqlError> {
    sql::check_row(found, record_checksum(table, id, content), format_args!("record {table} {id}"))
}

pub(super) fn damaged_record(table: &Table, id: &RecordId, error: &json::JsonError) -> StoreError {
    StoreError::Damaged(format!("the data of {} {id} cannot be read: {error}", table.name()))
}
