//! A few stores, and whatever records a test puts there.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use protocol::entry::Operation;
use protocol::ids::{OwnershipNumber, RecordId, TableRef};
use protocol::row::{ColumnRef, Row, Value};

use crate::apply::apply;
use crate::catalogue::{Catalogue, Table};
use crate::edit::{Edit, EditOp};
use crate::json::{row_from_json, row_to_json};
use crate::judge::Found;
use crate::number::name_in;
use crate::transfers::changes::{Consequences, consequences};
use crate::transfers::half::{Due, Half, due};
use crate::transfers::kinds::{Initiating, Standing, standing};
use crate::transfers::owed::{Owed, Owing, Sequence, Site, owed};
use crate::transfers::records::{Moment, REFERENCES, Records};

/// Stores A and B with names NA and NB; and C, whose name is NC.
pub(super) struct World {
    pub(super) catalogue: Catalogue,
    records: BTreeMap<(TableRef, RecordId), Row>,
    deleted: BTreeMap<(TableRef, RecordId), Option<RecordId>>,
    /// Stores that the asking site holds.
    pub(super) held: BTreeSet<&'static str>,
    pub(super) grant: u32,
    pub(super) writes_orders: bool,
    /// Deleted lines of halves that went with their source lines.
    pub(super) gone_with_source: BTreeSet<String>,
}

pub(super) fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

pub(super) fn moment() -> Moment {
    Moment { date: "2026-11-27".to_owned(), second_of_day: 3723 }
}

impl World {
    pub(super) fn new() -> Self {
        let mut world = Self {
            catalogue: Catalogue::embedded(),
            records: BTreeMap::new(),
            deleted: BTreeMap::new(),
            held: BTreeSet::new(),
            grant: 1,
            writes_orders: false,
            gone_with_source: BTreeSet::new(),
        };
        for store in ["A", "B", "C"] {
            world.put("name", &format!("N{store}"), r#"{"type":"store"}"#);
            world.put("store", store, &format!(r#"{{"name_ID":"N{store}","store_mode":"store"}}"#));
        }
        world
    }

    fn table(&self, name: &str) -> Table {
        self.catalogue.table_by_name(name).unwrap().clone()
    }

    pub(super) fn row(&self, table: &str, record: &str, data: &str) -> Row {
        let table = self.table(table);
        table.canonical(row_from_json(&table, &id(record), data).unwrap())
    }

    pub(super) fn put(&mut self, table: &str, record: &str, data: &str) {
        let row = self.row(table, record, data);
        let key = (self.table(table).reference().clone(), id(record));
        self.records.insert(key, row);
    }

    /// Changes columns of a record and says what it was and is.
    pub(super) fn patch(&mut self, table: &str, record: &str, data: &str) -> (Row, Row) {
        let before = self.get(table, record).unwrap();
        let after = before.patched(&self.row(table, record, data));
        let key = (self.table(table).reference().clone(), id(record));
        self.records.insert(key, after.clone());
        (before, after)
    }

    pub(super) fn delete(&mut self, table: &str, record: &str) -> Row {
        let key = (self.table(table).reference().clone(), id(record));
        let row = self.records.remove(&key).unwrap();
        let store = self.table(table).store_of(&key.1, &row).and_then(Result::ok);
        self.deleted.insert(key, store);
        row
    }

    pub(super) fn get(&self, table: &str, record: &str) -> Option<Row> {
        self.records.get(&(self.table(table).reference().clone(), id(record))).cloned()
    }

    /// A column as JSON; `absent` where it is not there.
    pub(super) fn column(&self, table: &str, record: &str, column: &str) -> String {
        self.get(table, record).map_or_else(|| "no record".to_owned(), |row| self.column_of(table, &row, column))
    }

    pub(super) fn column_of(&self, table: &str, row: &Row, column: &str) -> String {
        let table = self.table(table);
        let Some(value) = row.value(&table.column_ref(column)) else { return "absent".to_owned() };
        let only = Row::new(vec![(ColumnRef::named("v"), value.clone())]).unwrap();
        let text = row_to_json(&table, &id("x"), &only);
        text.strip_prefix(r#"{"ID":"x","v":"#).unwrap().strip_suffix('}').unwrap().to_owned()
    }

    pub(super) fn standing(&mut self, table: &str, record: &str) -> Standing {
        let (row, catalogue) = (self.get(table, record), self.catalogue.clone());
        standing(&catalogue, self, catalogue.table_by_name(table).unwrap(), &id(record), row.as_ref()).unwrap()
    }

    pub(super) fn initiating(&mut self, table: &str, record: &str) -> Initiating {
        match self.standing(table, record) {
            Standing::Initiates(initiating) => initiating,
            other => panic!("{table} {record}: {other:?}"),
        }
    }

    pub(super) fn due(&mut self, table: &str, record: &str) -> Due {
        let initiating = self.initiating(table, record);
        due(&self.catalogue.clone(), self, &initiating, &moment()).unwrap()
    }

    pub(super) fn half(&mut self, table: &str, record: &str) -> Half {
        match self.due(table, record) {
            Due::Make(half) => half,
            other => panic!("{table} {record}: {other:?}"),
        }
    }

    /// Makes the half that is due, and says its id.
    pub(super) fn make(&mut self, table: &str, record: &str) -> String {
        let half = self.half(table, record);
        for made in half.records {
            self.records.insert((made.table, made.id), made.row);
        }
        half.id.to_string()
    }

    pub(super) fn owing(&mut self, table: &str, record: &str) -> Vec<Owing> {
        let catalogue = self.catalogue.clone();
        let table = catalogue.table_by_name(table).unwrap();
        owed(&catalogue, self, &moment(), table, &id(record)).unwrap()
    }

    /// What is owed; nothing else may be the answer.
    pub(super) fn owed(&mut self, table: &str, record: &str) -> Vec<Owed> {
        let edits = |owing| match owing {
            Owing::Edits(owed) => owed,
            Owing::NoNumber { name, .. } => panic!("no number of {name}"),
        };
        self.owing(table, record).into_iter().map(edits).collect()
    }

    /// Records what is owed, and says why it was.
    pub(super) fn pay(&mut self, table: &str, record: &str) -> Vec<&'static str> {
        let owed = self.owed(table, record);
        for edit in owed.iter().flat_map(|owed| &owed.edits) {
            self.record_edit(edit);
        }
        owed.iter().map(|owed| owed.what.as_str()).collect()
    }

    fn record_edit(&mut self, edit: &Edit) {
        let row = self.row(&edit.table, edit.id.as_str(), edit.data.as_deref().unwrap());
        let operation = if edit.op == EditOp::Put { Operation::Put(row) } else { Operation::Patch(row) };
        let key = (self.table(&edit.table).reference().clone(), edit.id.clone());
        let found = self.record(&key.0, &key.1).unwrap();
        self.records.insert(key, apply(&found, &operation).expect("an owed edit is of a record that is here"));
    }

    pub(super) fn consequences(
        &mut self,
        table: &str,
        record: &str,
        before: Option<&Row>,
        after: Option<&Row>,
    ) -> Consequences {
        let catalogue = self.catalogue.clone();
        let key = (catalogue.table_by_name(table).unwrap(), &id(record));
        consequences(&catalogue, self, &moment(), key, before, after).unwrap()
    }
}

impl Records for World {
    type Error = Infallible;

    fn record(&mut self, table: &TableRef, id: &RecordId) -> Result<Found, Infallible> {
        let key = (table.clone(), id.clone());
        if let Some(row) = self.records.get(&key) {
            let store = self.catalogue.table(table).unwrap().store_of(id, row).and_then(Result::ok);
            return Ok(Found::Here { row: row.clone(), store });
        }
        Ok(self.deleted.get(&key).map_or(Found::Unknown, |store| Found::Deleted { store: store.clone() }))
    }

    fn store_of_name(&mut self, name: &RecordId) -> Result<Option<RecordId>, Infallible> {
        let stores = self.table("store");
        let is_of = |row: &Row| stores.id_in(row, "name_ID").ok().as_ref() == Some(name);
        let mut found = self.records.iter().filter(|((table, _), _)| table == stores.reference());
        Ok(found.find(|(_, row)| is_of(row)).map(|((_, id), _)| id.clone()))
    }

    fn resolved(&mut self, table: &TableRef, id: &RecordId) -> Result<RecordId, Infallible> {
        let name = if *table == *self.table("item").reference() { "outpost_item_merge" } else { "outpost_name_merge" };
        let merges = self.table(name);
        let row = self.records.get(&(merges.reference().clone(), id.clone()));
        Ok(row.and_then(|row| merges.id_in(row, "into_ID").ok()).unwrap_or_else(|| id.clone()))
    }

    fn item_in_store(&mut self, item: &RecordId, store: &RecordId) -> Result<Option<Row>, Infallible> {
        let joins = self.table("item_store_join");
        let is = |row: &Row, column, id: &RecordId| joins.id_in(row, column).ok().as_ref() == Some(id);
        let mut of_table = self.records.iter().filter(|((table, _), _)| table == joins.reference());
        Ok(of_table.find(|(_, row)| is(row, "item_ID", item) && is(row, "store_ID", store)).map(|(_, row)| row.clone()))
    }

    fn referring(&mut self, table: &TableRef, column: &str, id: &RecordId) -> Result<Vec<(RecordId, Row)>, Infallible> {
        let known = self.catalogue.table(table).unwrap();
        assert!(REFERENCES.contains(&(known.name(), column)), "{} {column} is not among REFERENCES", known.name());
        let holds = |row: &Row| row.value(&known.column_ref(column)) == Some(&Value::Text(id.to_string()));
        let of_table = self.records.iter().filter(|((of, _), row)| of == table && holds(row));
        // Backwards, because no order is promised.
        Ok(of_table.rev().map(|((_, id), row)| (id.clone(), row.clone())).collect())
    }

    fn went_with_its_source(&mut self, _table: &TableRef, id: &RecordId) -> Result<bool, Infallible> {
        Ok(self.gone_with_source.contains(id.as_str()))
    }
}

impl Site for World {
    fn grant(&mut self, store: &RecordId) -> Result<Option<OwnershipNumber>, Infallible> {
        Ok(self.held.contains(store.as_str()).then_some(OwnershipNumber(self.grant)))
    }

    fn writes_order(&mut self, _order: &RecordId, _row: &Row) -> Result<bool, Infallible> {
        Ok(self.writes_orders)
    }

    fn sequence(&mut self, _store: &RecordId, name: &str) -> Result<Sequence, Infallible> {
        let numbers = self.table("number");
        let mut of_table = self.records.iter().filter(|((table, _), _)| table == numbers.reference());
        let record = of_table.find(|(_, row)| name_in(&numbers, row) == Some(name));
        Ok(Sequence { record: record.map(|((_, id), row)| (id.clone(), row.clone())), gaps: 0 })
    }
}
