//! A device: a journal, the images that it was sent, and what it knows of its verdicts.

use std::collections::{BTreeMap, BTreeSet};

use domain::apply::apply;
use domain::catalogue::{Catalogue, DataType};
use domain::json;
use domain::judge::Found;
use domain::scope::Scope;
use protocol::chain;
use protocol::control::{Claim, Claims, Control, ControlRow, EntryPlace, Grant, Image, ShownRefusal};
use protocol::entry::{Entry, Operation};
use protocol::exchange::{ReadRows, Received, Rows, Standing};
use protocol::frame::Frame;
use protocol::ids::{
    ControlNumber, CredentialGeneration, Hash, JournalId, Nonce, OwnershipNumber, Position, RecordId, ScopeId,
    Sequence, SiteId, TableRef, Token,
};
use protocol::message::{Cursor, ReplyHead, RequestHead, ScopeCursor};
use protocol::row::Row;

use super::{NONCE, World};
use crate::store::StoreError;

type Key = (TableRef, RecordId);

#[derive(Clone)]
pub(in crate::store) struct Device {
    pub(in crate::store) site: SiteId,
    pub(in crate::store) journal: JournalId,
    pub(in crate::store) genesis: Hash,
    /// Bytes of each entry with the hash behind it.
    pub(in crate::store) entries: Vec<(Vec<u8>, Hash)>,
    pub(in crate::store) received: u64,
    pub(in crate::store) token: Token,
    /// Of the next request.
    pub(in crate::store) salt: [u8; 8],
    /// Asked for by a challenge.
    pub(in crate::store) answer: Option<Nonce>,
    pub(in crate::store) judged: u64,
    pub(in crate::store) control: u64,
    pub(in crate::store) cursors: BTreeMap<ScopeId, Cursor>,
    /// Central's images with the own accepted edits on top.
    pub(in crate::store) base: BTreeMap<Key, (u64, Row)>,
    /// Verdicts that are not plain acceptance: sequence and code, "waiting" or "accepted".
    pub(in crate::store) told: Vec<(u64, String)>,
    pub(in crate::store) controls: Vec<Control>,
    /// Grants by store, each with the row that told it.
    pub(in crate::store) grants: BTreeMap<String, (u64, Claim)>,
    /// Stores that were taken from it, each with its grant.
    pub(in crate::store) taken: BTreeMap<String, Claim>,
    /// What it answers to a central that told all grants anew.
    pub(in crate::store) claims: Claims,
    not_plain: BTreeSet<u64>,
    /// Sequences of entries that wait and that no later delete took back.
    waiting: BTreeSet<u64>,
    pub(in crate::store) scopes: Vec<ScopeCursor>,
    pub(in crate::store) quiet: Option<super::news::Quiet>,
    /// Since it had everything.
    pub(in crate::store) has_recorded: bool,
}

impl Device {
    pub(in crate::store) fn new(site: SiteId, journal: JournalId) -> Self {
        Self {
            site,
            journal,
            genesis: chain::genesis(site, journal, None),
            entries: Vec::new(),
            received: 0,
            token: Token::NONE,
            salt: [0; 8],
            answer: None,
            judged: 0,
            control: 0,
            cursors: BTreeMap::new(),
            base: BTreeMap::new(),
            told: Vec::new(),
            controls: Vec::new(),
            grants: BTreeMap::new(),
            taken: BTreeMap::new(),
            claims: Claims::default(),
            not_plain: BTreeSet::new(),
            waiting: BTreeSet::new(),
            scopes: Vec::new(),
            quiet: None,
            has_recorded: false,
        }
    }

    /// Records "op table id data" as one group under ownership number 1.
    pub(in crate::store) fn record(&mut self, group: &[&str]) {
        for (index, line) in group.iter().enumerate() {
            self.record_bytes(&entry(line, index + 1 == group.len()).encode());
        }
    }

    pub(in crate::store) fn record_bytes(&mut self, bytes: &[u8]) {
        let hash = chain::extend(self.hash(self.entries.len()), bytes);
        self.entries.push((bytes.to_vec(), hash));
        self.has_recorded = true;
    }

    pub(in crate::store) fn hash(&self, count: usize) -> Hash {
        count.checked_sub(1).map_or(self.genesis, |last| self.entries[last].1)
    }

    pub(in crate::store) fn head(&self) -> RequestHead {
        let cursors = self.cursors.iter().map(|(scope, cursor)| ScopeCursor { scope: scope.clone(), cursor: *cursor });
        RequestHead {
            version: 1,
            site: self.site,
            token: self.token,
            journal: self.journal,
            predecessor: None,
            head: Sequence(self.entries.len() as u64),
            head_hash: self.hash(self.entries.len()),
            generation: CredentialGeneration(1),
            control: ControlNumber(self.control),
            cursors: cursors.collect(),
            heard: None,
            claims: self.claims.clone(),
            page_bytes: 32_768,
            reply_bytes: 1_000_000,
            counts_rows: true,
            page_part: None,
            recorded: Sequence(self.entries.len() as u64),
            further: Vec::new(),
            salt: self.salt,
            answer: self.answer,
        }
    }

    /// A frame of the entries behind the first `from`, up to `to`.
    pub(in crate::store) fn frame(&self, from: usize, to: usize) -> Frame {
        Frame {
            journal: self.journal,
            first: Sequence(from as u64 + 1),
            before: self.hash(from),
            entries: self.entries[from..to].to_vec(),
            refused: Vec::new(),
        }
    }

    pub(in crate::store) fn try_send(&self, world: &mut World, from: usize, to: usize) -> Result<Received, StoreError> {
        let frame = self.frame(from, to);
        world.try_job(|batch| batch.store_frame(self.site, &frame))
    }

    pub(in crate::store) fn try_begin(&self, world: &mut World) -> Result<Received, StoreError> {
        let head = self.head();
        world.try_job(|batch| batch.begin(&head.clone().into(), Standing::Current, NONCE))
    }

    pub(in crate::store) fn try_conclude(
        &mut self,
        world: &mut World,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<ReplyHead, StoreError> {
        let head = self.head();
        let conclusion = world.try_job(|batch| batch.conclude(&head.clone().into(), goes_on))?;
        self.take(&conclusion.reply);
        self.scopes = conclusion.scopes;
        Ok(conclusion.reply)
    }

    /// Sends up to `entries_max` entries and takes the reply's head.
    pub(in crate::store) fn push_some(&mut self, world: &mut World, entries_max: usize) -> ReplyHead {
        let received = usize::try_from(self.try_begin(world).unwrap().sequence.0).unwrap();
        let to = self.entries.len().min(received + entries_max);
        if to > received {
            self.try_send(world, received, to).unwrap();
        }
        self.try_conclude(world, &mut || true).unwrap()
    }

    pub(in crate::store) fn push(&mut self, world: &mut World) -> ReplyHead {
        self.push_some(world, usize::MAX / 2)
    }

    fn take(&mut self, reply: &ReplyHead) {
        assert!(reply.judged <= reply.received);
        self.received = reply.received.0;
        self.token = reply.token;
        let mut accepted = Vec::new();
        for row in &reply.control {
            self.take_control(row, &mut accepted);
        }
        // What is final now, in the order of the journal. What a delete took back is accepted too, and does nothing.
        let plain = (self.judged + 1..=reply.judged.0).filter(|sequence| !self.not_plain.contains(sequence));
        let mut is_final: Vec<u64> = plain.chain(accepted).collect();
        is_final.sort_unstable();
        self.judged = self.judged.max(reply.judged.0);
        for sequence in is_final {
            if self.waiting.remove(&sequence) || !self.not_plain.contains(&sequence) {
                self.apply_own(sequence);
            }
        }
    }

    fn take_control(&mut self, row: &ControlRow, accepted: &mut Vec<u64>) {
        if row.number.0 <= self.control {
            return;
        }
        assert!(self.control == 0 || row.number.0 == self.control + 1, "control rows follow each other");
        self.control = row.number.0;
        let control = Control::of(row).unwrap();
        match &control {
            Control::Refused(refused) if refused.journal == self.journal => {
                self.not_plain.insert(refused.sequence.0);
                self.told.push((refused.sequence.0, refused.code.clone()));
                let place = EntryPlace { journal: refused.journal, sequence: refused.sequence };
                let (code, reason) = (refused.code.clone(), refused.reason.clone());
                self.claims.refused.push(ShownRefusal { place, code, reason });
                if let Ok(entry) = Entry::decode(&self.entries[usize::try_from(refused.sequence.0).unwrap() - 1].0) {
                    let key = (entry.table, entry.record);
                    match &refused.image {
                        Image::NotHere => drop(self.base.remove(&key)),
                        Image::Here { row, .. } if row.is_empty() => {}
                        Image::Here { position, row } => self.put(key, position.0, Row::decode(row).unwrap()),
                    }
                }
            }
            Control::Waiting(place) => {
                self.not_plain.insert(place.sequence.0);
                self.waiting.insert(place.sequence.0);
                self.told.push((place.sequence.0, "waiting".to_owned()));
            }
            Control::Accepted(place) => {
                self.told.push((place.sequence.0, "accepted".to_owned()));
                accepted.push(place.sequence.0);
            }
            // What no other scope has: here only what is for dispensaries.
            Control::Dropped(dropped) => {
                self.cursors.remove(&dropped.scope);
                let catalogue = Catalogue::embedded();
                self.base.retain(|key, _| {
                    let data_type = catalogue.table(&key.0).map(domain::catalogue::Table::data_type);
                    data_type != Some(DataType::CentralDispensary)
                });
            }
            Control::ReadAnew(read) => {
                self.cursors.remove(&read.scope);
                // What does not come again goes.
                if read.scope == Scope::AllSites.to_id() {
                    let catalogue = Catalogue::embedded();
                    self.base.retain(|(table, _), (_, row)| {
                        catalogue.table(table).unwrap().data_type_of(row) != DataType::Central
                    });
                }
                if read.scope == Scope::Visible.to_id() {
                    let catalogue = Catalogue::embedded();
                    self.base.retain(|(table, _), (_, row)| {
                        let data_type = catalogue.table(table).unwrap().data_type_of(row);
                        !matches!(data_type, DataType::CentralStore | DataType::Name | DataType::Patient)
                    });
                }
            }
            Control::Grant(Grant { store, ownership, is_held, proof, .. }) => {
                self.claims.grants.retain(|claim| claim.store != *store);
                self.claims.taken.retain(|taken| taken.store != *store);
                let before = self.grants.remove(store);
                if *is_held && self.taken.get(store).is_some_and(|taken| *ownership <= taken.ownership) {
                    self.claims.taken.push(self.taken[store].clone());
                } else if *is_held {
                    self.taken.remove(store);
                    let claim = Claim { store: store.clone(), ownership: *ownership, proof: *proof };
                    self.grants.insert(store.clone(), (row.number.0, claim));
                } else if let Some((_, held)) = before {
                    self.taken.insert(store.clone(), held);
                }
            }
            Control::GrantsTold(told) => {
                self.claims.told = row.number;
                let first = row.number.0 - u64::from(told.grants);
                let forgotten = self.grants.values().filter(|(number, _)| *number < first);
                self.claims.grants = forgotten.map(|(_, claim)| claim.clone()).collect();
            }
            // It would read everything anew, as the real one does once its session is over.
            Control::SetBack => self.cursors.clear(),
            // Nobody compares here.
            Control::Refused(_) | Control::Verify | Control::SiteCode(_) | Control::Unknown => {}
        }
        self.controls.push(control);
    }

    fn put(&mut self, key: Key, position: u64, row: Row) {
        if self.base.get(&key).is_none_or(|known| known.0 <= position) {
            self.base.insert(key, (position, row));
        }
    }

    fn apply_own(&mut self, sequence: u64) {
        let entry = Entry::decode(&self.entries[usize::try_from(sequence).unwrap() - 1].0).unwrap();
        let key = (entry.table, entry.record);
        if entry.operation == Operation::Delete {
            let entries = &self.entries;
            self.waiting.retain(|earlier| {
                *earlier > sequence || key_of(&entries[usize::try_from(*earlier).unwrap() - 1].0) != key
            });
        }
        let (position, found) = match self.base.get(&key) {
            Some((position, row)) => (*position, Found::Here { row: row.clone(), store: None }),
            None => (0, Found::Unknown),
        };
        match apply(&found, &entry.operation) {
            Some(row) => drop(self.base.insert(key, (position, row))),
            None => drop(self.base.remove(&key)),
        }
    }

    /// Reads a page of a scope and takes it.
    pub(in crate::store) fn read(&mut self, world: &mut World, scope: &ScopeId, rows_max: usize, bytes: usize) -> Rows {
        let cursor = self.cursors.get(scope).copied().unwrap_or_default();
        let from = ScopeCursor { scope: scope.clone(), cursor };
        let ask = ReadRows { from, rows_max, plain_bytes_max: bytes };
        let rows = world.store.reading().read_rows(self.site, self.journal, &ask).unwrap();
        let catalogue = Catalogue::embedded();
        for row in &rows.rows {
            let key = (row.table.clone(), row.record.clone());
            let Some(image) = &row.row else {
                // A record goes only when no scope holds it (rule 5.18): prescriptions stand in two.
                let may_be_shared =
                    matches!(Scope::from_id(scope), Scope::Visible | Scope::Gained(_) | Scope::StorePartners(_));
                if !may_be_shared || !self.is_of_own_store(&key) {
                    self.base.remove(&key);
                }
                continue;
            };
            let table = catalogue.table(&row.table).unwrap();
            if let (Some(parent), Some(Ok(header))) = (table.parent(), table.header_of(image)) {
                let header_table = catalogue.table(&parent.table).unwrap().name();
                let is_known = self.base.contains_key(&(parent.table.clone(), header.clone()))
                    || world.data(header_table, header.as_str()) == "deleted";
                assert!(is_known, "{} {} came before its header {header}", table.name(), row.record);
            }
            self.put(key, row.position.0, image.clone());
        }
        self.cursors.insert(scope.clone(), rows.cursor);
        rows
    }

    /// Whether it is data of a store that the device holds.
    fn is_of_own_store(&self, key: &Key) -> bool {
        let catalogue = Catalogue::embedded();
        let Some(table) = catalogue.table(&key.0).filter(|table| table.data_type() == DataType::Store) else {
            return false;
        };
        let Some((_, row)) = self.base.get(key) else { return false };
        if let Some(Ok(store)) = table.store_of(&key.1, row) {
            return self.grants.contains_key(store.as_str());
        }
        match (table.parent(), table.header_of(row)) {
            (Some(parent), Some(Ok(header))) => self.is_of_own_store(&(parent.table.clone(), header)),
            _ => false,
        }
    }

    /// Reads every lane to its end.
    pub(in crate::store) fn pull(&mut self, world: &mut World) -> usize {
        let mut count = 0;
        for from in self.scopes.clone() {
            loop {
                let rows = self.read(world, &from.scope, 100, 100_000);
                count += rows.rows.len();
                if rows.is_drained {
                    break;
                }
            }
        }
        count
    }

    /// Pushes and pulls; the number of rows that came.
    pub(in crate::store) fn sync(&mut self, world: &mut World) -> usize {
        self.push(world);
        self.pull(world)
    }

    /// A record as JSON, or "not here".
    pub(in crate::store) fn data(&self, table: &str, record: &str) -> String {
        let catalogue = Catalogue::embedded();
        let table = catalogue.table_by_name(table).unwrap();
        let id = RecordId::new(record).unwrap();
        match self.base.get(&(table.reference().clone(), id.clone())) {
            Some((_, row)) => json::row_to_json(table, &id, row),
            None => "not here".to_owned(),
        }
    }

    /// A device without memory in the place of this one: the same key and journal.
    pub(in crate::store) fn wipe_copy(&mut self) {
        self.quiet = None;
        self.cursors.clear();
        self.base.clear();
    }

    pub(in crate::store) fn position_of(&self, table: &str, record: &str) -> Option<Position> {
        let catalogue = Catalogue::embedded();
        let key = (catalogue.table_by_name(table).unwrap().reference().clone(), RecordId::new(record).unwrap());
        self.base.get(&key).map(|known| Position(known.0))
    }
}

fn key_of(bytes: &[u8]) -> Key {
    let entry = Entry::decode(bytes).unwrap();
    (entry.table, entry.record)
}

/// "op table id data" as an entry; "put#2" is written under ownership number 2.
pub(in crate::store) fn entry(line: &str, is_group_end: bool) -> Entry {
    let catalogue = Catalogue::embedded();
    let mut words = line.splitn(4, ' ');
    let (op, table, record) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let (op, ownership) = op.split_once('#').unwrap_or((op, "1"));
    let table = catalogue.table_by_name(table).unwrap();
    let record = RecordId::new(record).unwrap();
    let mut row = || json::row_from_json(table, &record, words.next().unwrap()).unwrap();
    let operation = match op {
        "put" => Operation::Put(row()),
        "patch" => Operation::Patch(row()),
        "delete" => Operation::Delete,
        other => panic!("{other}"),
    };
    Entry {
        is_group_end,
        ownership: OwnershipNumber(ownership.parse().unwrap()),
        table: table.reference().clone(),
        record,
        operation,
    }
}
