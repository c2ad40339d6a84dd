//! Records, their bases and their membership: the small writes that everything else is made of.

use std::sync::Arc;

use domain::authority::central_data;
use domain::catalogue::{DataType, Table};
use domain::json::{row_from_json, row_to_json};
use domain::judge::{Found, Header, View};
use domain::message::Parties;
use domain::procurement::is_of_orders;
use domain::scope::Scope;
use domain::store::NAME_TABLE;
use domain::visibility::patient_of_prescription;
use protocol::ids::{Position, RecordId, ScopeId, TableRef};
use protocol::row::Row;
use sql::{Param, SqlExt};

use super::grants::IS_OF_THIS_SITE;
use super::rebuild::{DROPPING, IN_ORDER, READING};
use super::{LocalCopy, LocalCopyError, checksum};

/// The values of `record.state`.
pub(super) mod state {
    pub(in super::super) const CENTRAL: i64 = 0;
    pub(in super::super) const PENDING: i64 = 1;
    pub(in super::super) const WAITING: i64 = 2;
    pub(in super::super) const LOCAL: i64 = 3;
}

/// A record and what is needed to print it.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) table: Arc<Table>,
    pub(super) id: RecordId,
}

impl Key {
    pub(super) fn params(&self) -> [Param<'_>; 2] {
        [self.table.name().into(), self.id.as_str().into()]
    }
}

/// What says whether an image of central's is newer than the one that is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    /// Its position.
    Position,
    /// It is, whatever its position: the other one is of a time line that is gone.
    Newer,
}

/// A record as one side has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// `None`: not here.
    pub(super) row: Option<Row>,
    pub(super) store: Option<RecordId>,
    pub(super) position: Position,
}

impl Image {
    /// What central has of a record of which it has sent nothing.
    pub(super) const NOT_HERE: Image = Image { row: None, store: None, position: Position::ZERO };

    /// As the judge knows it.
    pub(super) fn found(&self) -> Found {
        match &self.row {
            Some(row) => Found::Here { row: row.clone(), store: self.store.clone() },
            None => Found::Unknown,
        }
    }
}

/// The record under the store whose site may change it where central has it, which of a message is the receiver's; `None` for one
/// that central alone may change.
pub(super) fn as_changed(key: &Key, image: Image) -> Option<Image> {
    if key.table.data_type() != DataType::Message {
        return Some(image);
    }
    let receiver = Parties::of(&key.table, image.row.as_ref()?).ok()?.receiver?;
    Some(Image { store: Some(receiver), ..image })
}

impl LocalCopy {
    pub(super) fn key(&self, table: &TableRef, id: &RecordId) -> Key {
        Key { table: self.catalogue.table_or_stand_in(table), id: id.clone() }
    }

    /// The key of a record by the names in the file.
    pub(super) fn key_by_name(&self, table: &str, id: &str) -> Result<Key, LocalCopyError> {
        let id = RecordId::new(id).map_err(LocalCopyError::damaged)?;
        let reference = match self.catalogue.table_by_name(table) {
            Ok(table) => table.reference().clone(),
            // A number that no catalogue here knows, or a table that is not declared any more.
            Err(_) => match table.strip_prefix("#t").and_then(|number| number.parse().ok()) {
                Some(number) => TableRef::Known(number),
                None => TableRef::Named(table.to_owned()),
            },
        };
        Ok(self.key(&reference, &id))
    }

    /// The merged record; `None` if it does not read as here.
    pub(super) fn merged(&mut self, key: &Key) -> Result<Option<Image>, LocalCopyError> {
        self.image("SELECT data, store, position, checksum FROM record WHERE table_name = ?1 AND id = ?2", key)
    }

    /// Central's image under pending entries; `None` if the record has none pending.
    pub(super) fn base(&mut self, key: &Key) -> Result<Option<Image>, LocalCopyError> {
        self.image("SELECT data, store, position, checksum FROM base WHERE table_name = ?1 AND id = ?2", key)
    }

    fn image(&mut self, sql: &str, key: &Key) -> Result<Option<Image>, LocalCopyError> {
        let found = self.sql.query_one(sql, &key.params(), |row| {
            let data = row.optional_text(0)?.map(str::to_owned);
            let store = row.optional_text(1)?.map(str::to_owned);
            Ok((data, store, row.unsigned(2)?, row.optional_integer(3)?))
        })?;
        let Some((data, store, position, found)) = found else { return Ok(None) };
        let (table, id) = (key.table.name(), key.id.as_str());
        let right = checksum::of_row(table, id, store.as_deref(), data.as_deref(), position);
        checksum::check(found, right, format_args!("record {table} {id}"))?;
        let row = data.map(|data| row_from_json(&key.table, &key.id, &data)).transpose();
        Ok(Some(Image {
            row: row.map_err(LocalCopyError::damaged)?,
            store: store.map(|store| RecordId::new(&store)).transpose().map_err(LocalCopyError::damaged)?,
            position: Position(position),
        }))
    }

    pub(super) fn put_merged(&mut self, key: &Key, image: &Image, state: i64) -> Result<(), LocalCopyError> {
        let Some(row) = &image.row else { return self.delete_record(key) };
        let change = self.next_change();
        let [table, id] = key.params();
        let data = row_to_json(&key.table, &key.id, row);
        let store = image.store.as_ref().map(RecordId::as_str);
        let checksum = checksum::of_row(key.table.name(), key.id.as_str(), store, Some(&data), image.position.0);
        self.sql.execute(
            "INSERT INTO record (table_name, id, store, data, position, state, checksum, change)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (table_name, id) DO UPDATE SET
                 store = excluded.store, data = excluded.data, position = excluded.position, state = excluded.state,
                 checksum = excluded.checksum,
                 change = CASE
                     WHEN excluded.change IS NULL THEN record.change
                     WHEN record.data = excluded.data AND record.store IS NOT DISTINCT FROM excluded.store THEN record.change
                     ELSE excluded.change END",
            &[
                table,
                id,
                store.into(),
                data.as_str().into(),
                Param::unsigned(image.position.0)?,
                state.into(),
                checksum.into(),
                change,
            ],
        )?;
        Ok(())
    }

    pub(super) fn put_base(&mut self, key: &Key, image: &Image) -> Result<(), LocalCopyError> {
        let [table, id] = key.params();
        let data = image.row.as_ref().map(|row| row_to_json(&key.table, &key.id, row));
        let store = image.store.as_ref().map(RecordId::as_str);
        let checksum = checksum::of_row(key.table.name(), key.id.as_str(), store, data.as_deref(), image.position.0);
        self.sql.execute(
            "INSERT INTO base (table_name, id, store, data, position, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (table_name, id) DO UPDATE SET
                 store = excluded.store, data = excluded.data, position = excluded.position,
                 checksum = excluded.checksum, is_staying = 0",
            &[table, id, store.into(), data.as_deref().into(), Param::unsigned(image.position.0)?, checksum.into()],
        )?;
        Ok(())
    }

    /// Keeps what is read now as the base of entries that come on top, unless there is a base already.
    pub(super) fn keep_base(&mut self, key: &Key) -> Result<(), LocalCopyError> {
        self.sql.execute(
            "INSERT INTO base (table_name, id, store, data, position, checksum, is_staying)
             SELECT table_name, id, store, data, position, checksum, CASE WHEN state = 3 THEN 1 ELSE 0 END FROM record
             WHERE table_name = ?1 AND id = ?2
             ON CONFLICT (table_name, id) DO NOTHING",
            &key.params(),
        )?;
        // Nothing to keep: either there is a base already, or the record is not here.
        self.sql.execute(
            "INSERT INTO base (table_name, id, position) VALUES (?1, ?2, 0) ON CONFLICT (table_name, id) DO NOTHING",
            &key.params(),
        )?;
        Ok(())
    }

    /// Replaces central's image; one with a higher position stays (rule 5.15), unless the image is newer by its rank. Pending entries
    /// stay on top (rule 5.2). Whether the image was taken.
    pub(super) fn replace_image(&mut self, key: &Key, image: &Image, rank: Rank) -> Result<bool, LocalCopyError> {
        if let Some(base) = self.base(key)? {
            if rank == Rank::Position && image.position < base.position {
                return Ok(false);
            }
            self.put_base(key, image)?;
            self.merge_again(key)?;
            return Ok(true);
        }
        let sql = "SELECT position, state FROM record WHERE table_name = ?1 AND id = ?2";
        let here = self.sql.query_one(sql, &key.params(), |row| Ok((Position(row.unsigned(0)?), row.integer(1)?)))?;
        if let Some((position, state)) = here {
            let is_older = rank == Rank::Position && image.position < position;
            if is_older || state == state::LOCAL && self.stays_under(key, image)? {
                return Ok(false);
            }
        }
        self.put_merged(key, image, state::CENTRAL)?;
        Ok(true)
    }

    /// Whether a record that stays here is not touched by central's image: a tombstone is of another record that had the id before, and a
    /// half that central made is the one that this site had made, once its store keeps nothing any more. What stayed then goes whole,
    /// over central's. While everything is read anew it may have gone long ago, so that central's is newer.
    fn stays_under(&mut self, key: &Key, image: &Image) -> Result<bool, LocalCopyError> {
        Ok(match &image.row {
            Some(row) => key.table.data_type_of(row) == DataType::Store && !self.is_read_anew()?,
            None => true,
        })
    }

    /// The store that a row of central's belongs to: what its scope says, else its own column, else its header's. A message is its
    /// sender's, a patient with what hangs on it the home store's.
    pub(super) fn store_of_row(
        &mut self,
        key: &Key,
        row: &Row,
        scope: Option<&Scope>,
    ) -> Result<Option<RecordId>, LocalCopyError> {
        match key.table.data_type_of(row) {
            DataType::Store => {}
            DataType::Message => return Ok(Parties::of(&key.table, row).ok().and_then(|parties| parties.sender)),
            DataType::Patient => return self.home_store_of_row(key, row),
            _ => return Ok(None),
        }
        if let Some(Scope::Store(store)) = scope {
            return Ok(Some(store.clone()));
        }
        if let Some(store) = key.table.store_of(&key.id, row) {
            return Ok(store.ok());
        }
        match (key.table.parent(), key.table.header_of(row)) {
            (Some(parent), Some(Ok(header))) => {
                let header = self.key(&parent.table, &header);
                match self.merged_header(&header)? {
                    Header::Here { store } => Ok(store),
                    Header::Unknown | Header::Deleted => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// `None` for what came before its patient.
    fn home_store_of_row(&mut self, key: &Key, row: &Row) -> Result<Option<RecordId>, LocalCopyError> {
        if key.table.has_home_stores() {
            return Ok(key.table.store_of(&key.id, row).and_then(Result::ok));
        }
        let (Some((table, _)), Some(Ok(housed))) = (key.table.hangs_on(), key.table.housed_of(&key.id, row)) else {
            return Ok(None);
        };
        self.home_store_of(table, &housed)
    }

    /// The home store of a patient that is here, or of a prescriber; `table` says which.
    pub(super) fn home_store_of(&mut self, table: &str, id: &RecordId) -> Result<Option<RecordId>, LocalCopyError> {
        match self.merged_header(&self.key_by_name(table, id.as_str())?)? {
            Header::Here { store } => Ok(store),
            Header::Unknown | Header::Deleted => Ok(None),
        }
    }

    /// Whether a record is here, and the store that it belongs to.
    pub(super) fn merged_header(&mut self, key: &Key) -> Result<Header, LocalCopyError> {
        let sql = "SELECT store FROM record WHERE table_name = ?1 AND id = ?2";
        let found = self.sql.query_one(sql, &key.params(), |row| Ok(row.optional_text(0)?.map(str::to_owned)))?;
        let Some(store) = found else { return Ok(Header::Unknown) };
        let store = store.map(|store| RecordId::new(&store)).transpose().map_err(LocalCopyError::damaged)?;
        Ok(Header::Here { store })
    }

    /// The number of a scope in the file; it is made if it is new.
    pub(super) fn scope_number(&mut self, scope: &ScopeId) -> Result<(i64, i64), LocalCopyError> {
        let (number, generation, _) = self.scope_row(scope)?;
        Ok((number, generation))
    }

    /// Its number, its generation and how it is being rebuilt.
    fn scope_row(&mut self, scope: &ScopeId) -> Result<(i64, i64, i64), LocalCopyError> {
        let find = "SELECT number, generation, rebuild FROM scope WHERE scope_id = ?1";
        let read = |row: &dyn sql::Row| Ok((row.integer(0)?, row.integer(1)?, row.integer(2)?));
        if let Some(found) = self.sql.query_one(find, &[scope.as_bytes().into()], read)? {
            return Ok(found);
        }
        let number = self.sql.query_integer("SELECT max(number) FROM scope", &[])?.unwrap_or(0) + 1;
        let rebuild = self.rebuild_of_new_scope()?;
        self.sql.execute(
            "INSERT INTO scope (number, scope_id, epoch, position, began, generation, rebuild, swept_table, swept_id)
             VALUES (?1, ?2, 0, 0, 0, 0, ?3, '', '')",
            &[number.into(), scope.as_bytes().into(), rebuild.into()],
        )?;
        Ok((number, 0, rebuild))
    }

    /// Notes that a scope holds a record, as seen in the scope's present reading.
    pub(super) fn join(&mut self, key: &Key, (scope, generation): (i64, i64)) -> Result<(), LocalCopyError> {
        let [table, id] = key.params();
        self.sql.execute(
            "INSERT INTO membership (table_name, id, scope, generation) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (table_name, id, scope) DO UPDATE SET generation = excluded.generation
             WHERE membership.generation <> excluded.generation",
            &[table, id, scope.into(), generation.into()],
        )?;
        Ok(())
    }

    /// Notes that a scope does not hold a record any more; whether another one does.
    pub(super) fn leave(&mut self, key: &Key, scope: i64) -> Result<bool, LocalCopyError> {
        let [table, id] = key.params();
        self.sql.execute(
            "DELETE FROM membership WHERE table_name = ?1 AND id = ?2 AND scope = ?3",
            &[table, id, scope.into()],
        )?;
        self.is_member(key)
    }

    pub(super) fn is_member(&mut self, key: &Key) -> Result<bool, LocalCopyError> {
        let sql = "SELECT 1 FROM membership WHERE table_name = ?1 AND id = ?2 LIMIT 1";
        Ok(self.sql.query_integer(sql, &key.params())?.is_some())
    }

    pub(super) fn leave_all(&mut self, key: &Key) -> Result<(), LocalCopyError> {
        self.sql.execute("DELETE FROM membership WHERE table_name = ?1 AND id = ?2", &key.params())?;
        Ok(())
    }

    /// Notes the scopes that an own edit was routed to, since no page need bring it (rule 5.15, echo). If it is not certain that
    /// central has it, it counts as not seen in the scopes' present reading. To be called when the record reads as it shall.
    pub(super) fn join_own_scopes(
        &mut self,
        key: &Key,
        store: Option<&RecordId>,
        is_certain: bool,
    ) -> Result<(), LocalCopyError> {
        let scopes = self.own_scopes(key, store)?;
        if is_certain {
            return self.join_each(key, &scopes);
        }
        for scope in scopes {
            let numbers = self.scope_number(&scope.to_id())?;
            let [table, id] = key.params();
            self.sql.execute(
                "INSERT INTO membership (table_name, id, scope, generation) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (table_name, id, scope) DO NOTHING",
                &[table, id, numbers.0.into(), (numbers.1 - 1).into()],
            )?;
            // One that nothing was ever read of may be none that the site is to have: that is seen at the end of what is read.
            self.sql.execute(
                "UPDATE scope SET rebuild = ?2 WHERE number = ?1 AND rebuild = ?3 AND epoch = 0 AND position = 0",
                &[numbers.0.into(), READING.into(), IN_ORDER.into()],
            )?;
        }
        self.let_go_of_what_has_no_scope(key)
    }

    /// The same of a record that central gives instead of a refused edit: of another site's store this site does not receive all, but
    /// the prescriptions that it sees.
    pub(super) fn join_scopes_of_image(&mut self, key: &Key, store: Option<&RecordId>) -> Result<(), LocalCopyError> {
        let mut scopes = self.own_scopes(key, store)?;
        for scope in &mut scopes {
            if !self.receives(scope)? {
                *scope = Scope::Visible;
            }
        }
        self.join_each(key, &scopes)
    }

    /// Whether a record that nothing here holds comes by a page before this site is to show it: another site's store has it with one of
    /// this site's. The scope that it is in cannot be told from the record, and one in which it is not would keep it here for ever.
    pub(super) fn is_left_to_its_page(&mut self, key: &Key, image: &Image) -> Result<bool, LocalCopyError> {
        let Some(row) = &image.row else { return Ok(false) };
        if key.table.data_type_of(row) != DataType::Store || is_of_orders(&key.table) {
            return Ok(false);
        }
        let is_received = match &image.store {
            Some(store) => self.receives(&Scope::Store(store.clone()))?,
            None => false,
        };
        Ok(!is_received && !self.is_of_prescription(key, row)?)
    }

    /// Whether a record is a prescription or a line of one.
    fn is_of_prescription(&mut self, key: &Key, row: &Row) -> Result<bool, LocalCopyError> {
        let (Some(parent), Some(Ok(header))) = (key.table.parent(), key.table.header_of(row)) else {
            return Ok(patient_of_prescription(&key.table, row).is_some());
        };
        let header = self.key(&parent.table, &header);
        let row = self.merged(&header)?.and_then(|image| image.row);
        Ok(row.is_some_and(|row| patient_of_prescription(&header.table, &row).is_some()))
    }

    fn join_each(&mut self, key: &Key, scopes: &[Scope]) -> Result<(), LocalCopyError> {
        for scope in scopes {
            let (number, generation, rebuild) = self.scope_row(&scope.to_id())?;
            // Of one that is let go of the sweep takes it with the others: its verdict came with the row that took the scope away.
            self.join(key, (number, generation - i64::from(rebuild == DROPPING)))?;
        }
        self.let_go_of_what_has_no_scope(key)
    }

    /// The scopes that central gives an own record and this site receives. Of a message these may be two, or one of two: to note
    /// one that the site does not receive would keep the message here for ever, since no sweep ever comes to it.
    fn own_scopes(&mut self, key: &Key, store: Option<&RecordId>) -> Result<Vec<Scope>, LocalCopyError> {
        match key.table.data_type() {
            DataType::Message => {}
            DataType::Patient | DataType::CentralStore | DataType::Name | DataType::NewUser => {
                return Ok(vec![Scope::Visible]);
            }
            DataType::CentralDispensary => {
                let scope = Scope::DispensarySites;
                return Ok(if self.receives(&scope)? { vec![scope] } else { Vec::new() });
            }
            // An order that the primary writes comes to it beside the lane of the store, if it has that at all.
            _ if is_of_orders(&key.table) => return self.scopes_of_order(store),
            // A patient, which has a home store; other names go everywhere.
            _ if key.table.name() == NAME_TABLE && store.is_some() => return Ok(vec![Scope::Visible]),
            data_type => {
                let mut store = store.cloned();
                if store.is_none() && data_type == DataType::Store {
                    // A line that came before its header, which is here by the time of its verdict.
                    let row = self.merged(key)?.and_then(|image| image.row);
                    store = row.map(|row| self.store_of_row(key, &row, None)).transpose()?.flatten();
                }
                return Ok(vec![store.map_or(Scope::AllSites, Scope::Store)]);
            }
        }
        let Some(Image { row: Some(row), .. }) = self.merged(key)? else { return Ok(Vec::new()) };
        let parties = Parties::of(&key.table, &row);
        let parties = parties.map_err(|(column, _)| LocalCopyError::damaged(format_args!("{column} is no id")))?;
        let mut received = Vec::new();
        for scope in parties.scopes() {
            if self.receives(&scope)? {
                received.push(scope);
            }
        }
        Ok(received)
    }

    fn scopes_of_order(&mut self, store: Option<&RecordId>) -> Result<Vec<Scope>, LocalCopyError> {
        let mut received = Vec::new();
        if let Some(scope) = store.map(|store| Scope::Store(store.clone()))
            && self.receives(&scope)?
        {
            received.push(scope);
        }
        if self.holding(&central_data())?.is_some() {
            received.push(Scope::Visible);
        }
        Ok(received)
    }

    /// Whether this site receives a scope that not every site does: it holds the store, or has read the scope, or reads it anew, and was
    /// not told that it is dropped.
    fn receives(&mut self, scope: &Scope) -> Result<bool, LocalCopyError> {
        match scope {
            Scope::Store(store) => {
                let sql = format!("SELECT 1 FROM store_grant WHERE store = ?1 AND {IS_OF_THIS_SITE}");
                if self.sql.query_integer(&sql, &[store.as_str().into()])?.is_some() {
                    return Ok(true);
                }
            }
            Scope::DispensarySites => {}
            _ => return Ok(true),
        }
        let sql = "SELECT 1 FROM scope WHERE scope_id = ?1 AND (epoch <> 0 OR rebuild = ?2)";
        Ok(self.sql.query_integer(sql, &[scope.to_id().as_bytes().into(), READING.into()])?.is_some())
    }

    /// A message goes when no scope of this site holds it (rule 5.18): the stores that it goes between were taken from the site
    /// before its verdict came. So does what dispensaries need, and an order of another site's store, of a site that was the primary. While
    /// edits of it are pending it stays.
    fn let_go_of_what_has_no_scope(&mut self, key: &Key) -> Result<(), LocalCopyError> {
        let may_be_left = matches!(key.table.data_type(), DataType::Message | DataType::CentralDispensary)
            || is_of_orders(&key.table);
        if !may_be_left || self.is_member(key)? || self.base(key)?.is_some() {
            return Ok(());
        }
        self.delete_record(key)
    }
}
