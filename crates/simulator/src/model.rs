//! What must be so, kept as simply as possible: what each device acknowledged, what central committed, and what the records are
//! because of it. Written anew, not with the product's own folding of edits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use domain::catalogue::Catalogue;
use protocol::entry::{Entry, Operation};
use protocol::ids::{Hash, JournalId, Position, ScopeId, SiteId};
use protocol::message::Cursor;
use protocol::row::{Row, Value};

/// A record: the table's name and the id.
pub type Key = (String, String);
/// A record's columns by name.
pub type Columns = BTreeMap<String, Value>;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The number in `ARCHITECTURE.md`, section "Invariants", or a word for what is none of them.
    pub invariant: &'static str,
    /// What was found.
    pub text: String,
}

/// Names an invariant that does not hold.
///
/// # Errors
/// Always: it is the error.
pub fn violation<T>(invariant: &'static str, text: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { invariant, text: text.into() })
}

/// What a group of edits has to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Central has to accept it.
    Accepted,
    /// Central has to refuse it.
    Refused,
    /// Either: it depends on limits or on what else happened.
    Either,
}

/// An entry of a journal as the model knows it.
#[derive(Debug, Clone)]
pub struct Logged {
    /// Hash of the journal after it.
    pub hash: Hash,
    /// The record.
    pub key: Key,
    /// The line's header, if the entry names one.
    pub header: Option<Key>,
    /// What it does.
    pub change: Change,
    /// Whether its group ends here.
    pub ends_group: bool,
    /// What has to become of it.
    pub expected: Expected,
    /// Set when the device named it as lost, or was wiped before it was sent.
    pub is_lost: bool,
    /// Set for one that was lost here and carried over to the journal after it.
    pub is_moved: bool,
    /// Set for an edit of what the site deletes in entries that the device did not know of when it was recorded.
    pub is_unaware: bool,
}

/// What an entry does to its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Replaces it.
    Put(Columns),
    /// Sets columns; null erases one.
    Patch(Columns),
    /// Removes it.
    Delete,
}

impl Change {
    /// The record afterwards.
    pub fn on(&self, before: Option<Columns>) -> Option<Columns> {
        match (self, before) {
            (Self::Put(columns), _) => Some(columns.clone()),
            (Self::Patch(patch), Some(mut columns)) => {
                for (name, value) in patch {
                    if *value == Value::Null {
                        columns.remove(name);
                    } else {
                        columns.insert(name.clone(), value.clone());
                    }
                }
                Some(columns)
            }
            (Self::Patch(_) | Self::Delete, _) => None,
        }
    }
}

/// One journal of a device.
#[derive(Debug)]
pub struct Log {
    /// Its id.
    pub id: JournalId,
    /// Entries from 1 on.
    pub entries: Vec<Logged>,
    /// How many of them were acknowledged to an application, or seen on the disk after a crash.
    pub acknowledged: u64,
    /// How far central has it for certain: a commit returned.
    pub committed: u64,
    /// Whether the device was wiped or the journal replaced: nothing is added any more.
    pub is_closed: bool,
    /// How far central has judged it.
    pub judged: u64,
    /// Entries that central refused, as its commits say.
    pub refused: BTreeSet<u64>,
}

impl Log {
    /// A journal without entries.
    pub fn new(id: JournalId) -> Self {
        Self {
            id,
            entries: Vec::new(),
            acknowledged: 0,
            committed: 0,
            judged: 0,
            is_closed: false,
            refused: BTreeSet::new(),
        }
    }

    /// An entry by sequence.
    pub fn entry(&self, sequence: u64) -> Option<&Logged> {
        self.entries.get(usize::try_from(sequence.checked_sub(1)?).ok()?)
    }

    /// As [`Log::entry`], to change it.
    pub fn entry_mut(&mut self, sequence: u64) -> Option<&mut Logged> {
        self.entries.get_mut(usize::try_from(sequence.checked_sub(1)?).ok()?)
    }

    /// The last sequence.
    pub fn head(&self) -> u64 {
        self.entries.len() as u64
    }
}

/// A site as it must be.
#[derive(Debug)]
pub struct SiteModel {
    /// The site.
    pub site: SiteId,
    /// Stores that it holds.
    pub stores: Vec<String>,
    /// Its shared journals, the one in use last.
    pub logs: Vec<Log>,
    /// Entries of its private journal in use.
    pub private: Option<Log>,
    /// Where the entries of a record stand: log and sequence, in order.
    pub by_key: BTreeMap<Key, Vec<(usize, u64)>>,
    /// Private records as the journals before the one in use left them.
    pub private_base: BTreeMap<Key, Option<Columns>>,
    /// Private entries by record.
    pub private_by_key: BTreeMap<Key, Vec<u64>>,
    /// Cursors that the device reported since it last began anew.
    pub reported: BTreeMap<ScopeId, Cursor>,
    /// Whether everything that central has for it has come since it last began anew.
    pub is_complete: bool,
    /// Whether it was granted its stores since it last began anew.
    pub is_granted: bool,
    /// How far central had judged each journal when the session under way began, and when the last one that drained did.
    pub judged_at_begin: Vec<u64>,
    /// See there.
    pub judged_at_drained: Vec<u64>,
    /// Whether the device lost its local copy: what waits at central is not shown there any more.
    pub has_forgotten: bool,
    /// Groups that were handed over and not acknowledged since the journal was last opened.
    pub attempted_groups: u64,
}

impl SiteModel {
    /// The journal in use.
    ///
    /// # Panics
    /// If the site never had one.
    pub fn log(&mut self) -> &mut Log {
        self.logs.last_mut().expect("a site's first journal is noted when it enrols")
    }

    /// The log of a journal.
    pub fn log_of(&mut self, journal: JournalId) -> Option<(usize, &mut Log)> {
        self.logs.iter_mut().enumerate().find(|(_, log)| log.id == journal)
    }

    /// Begins a new journal.
    pub fn begin_journal(&mut self, id: JournalId) {
        if let Some(last) = self.logs.last_mut() {
            last.is_closed = true;
        }
        self.logs.push(Log::new(id));
    }

    /// Adds an entry to the journal in use.
    pub fn push(&mut self, mut entry: Logged) {
        let index = self.logs.len() - 1;
        entry.is_unaware = self.is_unaware(&entry);
        let key = entry.key.clone();
        let log = self.log();
        log.entries.push(entry);
        let sequence = log.head();
        self.by_key.entry(key).or_default().push((index, sequence));
    }

    /// The record as the site's own edits make it, without those that `is_out` says are out.
    pub fn folded(&self, key: &Key, is_out: &dyn Fn(&Log, u64) -> bool) -> Option<Columns> {
        let mut columns = None;
        for (index, sequence) in self.by_key.get(key).map(Vec::as_slice).unwrap_or_default() {
            let Some(log) = self.logs.get(*index) else { continue };
            // One that central has after all is not lost, whatever the device had to think.
            let is_here = |entry: &&Logged| *sequence <= log.committed || !entry.is_lost && !entry.is_moved;
            let Some(entry) = log.entry(*sequence).filter(is_here) else { continue };
            if !is_out(log, *sequence) {
                columns = entry.change.on(columns);
            }
        }
        columns
    }

    /// What became of a record, for people.
    pub fn history(&self, key: &Key) -> String {
        let mut text = String::from("its entries:");
        for (index, sequence) in self.by_key.get(key).map(Vec::as_slice).unwrap_or_default() {
            let Some(log) = self.logs.get(*index) else { continue };
            let Some(entry) = log.entry(*sequence) else { continue };
            let what = match &entry.change {
                Change::Put(_) => "put",
                Change::Patch(_) => "patch",
                Change::Delete => "delete",
            };
            let is_refused = log.refused.contains(sequence);
            let _ = write!(
                text,
                " [journal {index} entry {sequence} of {}: {what} {:?} committed={} lost={} moved={} refused={is_refused}]",
                log.head(),
                entry.expected,
                *sequence <= log.committed,
                entry.is_lost,
                entry.is_moved
            );
        }
        text
    }

    /// Whether the device named an entry of the record as lost.
    pub fn has_lost(&self, key: &Key) -> bool {
        let entries = self.by_key.get(key).map(Vec::as_slice).unwrap_or_default();
        entries.iter().any(|(index, sequence)| {
            self.logs.get(*index).and_then(|log| log.entry(*sequence)).is_some_and(|entry| entry.is_lost)
        })
    }

    /// Whether entries that the device does not have any more may still change what central has.
    pub fn is_unsettled(&self, key: &Key) -> bool {
        self.unsettled(key).next().is_some()
    }

    fn unsettled<'a>(&'a self, key: &Key) -> impl Iterator<Item = &'a Logged> + use<'a> {
        let newest = self.logs.len().saturating_sub(1);
        let entries = self.by_key.get(key).map(Vec::as_slice).unwrap_or_default();
        entries.iter().filter_map(move |(index, sequence)| {
            let log = self.logs.get(*index).filter(|_| *index < newest || self.has_forgotten)?;
            let is_told = *sequence <= self.judged_at_drained.get(*index).copied().unwrap_or(0);
            log.entry(*sequence).filter(|entry| !is_told || entry.expected != Expected::Accepted)
        })
    }

    /// Whether an edit builds on what the site itself deleted, unknown to its device: central may refuse it.
    fn is_unaware(&self, entry: &Logged) -> bool {
        let entries = self.by_key.get(&entry.key).map(Vec::as_slice).unwrap_or_default();
        let earlier: Vec<&Logged> =
            entries.iter().filter_map(|(index, sequence)| self.logs.get(*index)?.entry(*sequence)).collect();
        let header = entry.header.as_ref().or_else(|| earlier.iter().rev().find_map(|entry| entry.header.as_ref()));
        let is_deleted = |key: &Key| self.unsettled(key).any(|entry| entry.change == Change::Delete);
        let is_header_unaware = header.and_then(|header| self.by_key.get(header)).is_some_and(|entries| {
            entries.iter().any(|(index, sequence)| {
                self.logs.get(*index).and_then(|log| log.entry(*sequence)).is_some_and(|entry| entry.is_unaware)
            })
        });
        is_deleted(&entry.key)
            || header.is_some_and(is_deleted)
            || is_header_unaware
            || earlier.iter().any(|entry| entry.is_unaware)
    }

    /// A private record as it must read.
    pub fn private_record(&self, key: &Key) -> Option<Columns> {
        let log = self.private.as_ref()?;
        let mut columns = self.private_base.get(key).cloned().flatten();
        for sequence in self.private_by_key.get(key).map(Vec::as_slice).unwrap_or_default() {
            if let Some(entry) = log.entry(*sequence).filter(|entry| !entry.is_lost) {
                columns = entry.change.on(columns);
            }
        }
        columns
    }
}

/// A state of a record that central committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Where it stands in central's order.
    pub position: Position,
    /// Its data as JSON; `None` once deleted.
    pub data: Option<String>,
}

/// Everything.
#[derive(Debug, Default)]
pub struct Model {
    /// The remote sites.
    pub sites: BTreeMap<SiteId, SiteModel>,
    /// What central committed for central's own records, newest last.
    pub versions: BTreeMap<Key, Vec<Version>>,
    /// Central's own records as its imports make them.
    pub central: BTreeMap<Key, Option<Columns>>,
    /// Central's head at its last commit.
    pub position: u64,
}

impl Model {
    /// A site.
    ///
    /// # Panics
    /// If it is unknown.
    pub fn site(&mut self, site: SiteId) -> &mut SiteModel {
        self.sites.get_mut(&site).expect("every site is in the model")
    }

    /// Adds a site.
    pub fn add_site(&mut self, site: SiteId, stores: Vec<String>) {
        self.sites.insert(
            site,
            SiteModel {
                site,
                stores,
                logs: Vec::new(),
                private: None,
                by_key: BTreeMap::new(),
                private_base: BTreeMap::new(),
                private_by_key: BTreeMap::new(),
                reported: BTreeMap::new(),
                is_complete: false,
                is_granted: false,
                judged_at_begin: Vec::new(),
                judged_at_drained: Vec::new(),
                has_forgotten: false,
                attempted_groups: 0,
            },
        );
    }
}

/// What an entry's bytes do, in the model's words.
///
/// # Errors
/// What the decoder says.
pub fn logged(catalogue: &Catalogue, bytes: &[u8], hash: Hash, expected: Expected) -> Result<Logged, Violation> {
    let entry = match Entry::decode(bytes) {
        Ok(entry) => entry,
        Err(error) => return violation("2", format!("an entry in the journal does not decode: {error}")),
    };
    let table = catalogue.table_or_stand_in(&entry.table);
    let header = match &entry.operation {
        Operation::Put(row) => table.header_of(row).and_then(Result::ok),
        Operation::Patch(_) | Operation::Delete => None,
    };
    let header_table = table.parent().and_then(|parent| catalogue.table(&parent.table));
    let header = header_table.zip(header).map(|(table, id)| (table.name().to_owned(), id.as_str().to_owned()));
    let change = match entry.operation {
        Operation::Put(row) => Change::Put(columns_of(catalogue, table.name(), row)),
        Operation::Patch(row) => Change::Patch(columns_of(catalogue, table.name(), row)),
        Operation::Delete => Change::Delete,
    };
    Ok(Logged {
        hash,
        key: (table.name().to_owned(), entry.record.as_str().to_owned()),
        header,
        change,
        ends_group: entry.is_group_end,
        expected,
        is_lost: false,
        is_moved: false,
        is_unaware: false,
    })
}

/// Columns by name, whichever way a row refers to them.
pub fn columns_of(catalogue: &Catalogue, table: &str, row: Row) -> Columns {
    let known = catalogue.table_by_name(table).ok();
    let name = |column: &protocol::row::ColumnRef| match (known, column) {
        (Some(table), column) => table.name_of(column).into_owned(),
        (None, protocol::row::ColumnRef::Named(name)) => name.clone(),
        (None, protocol::row::ColumnRef::Known(number)) => format!("#{number}"),
    };
    row.into_columns().into_iter().map(|(column, value)| (name(&column), value)).collect()
}
