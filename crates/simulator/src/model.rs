//! What must be so, kept as simply as possible: what each device acknowledged, what central committed, and what the records are
//! because of it. Written anew, not with the product's own folding of edits.

mod device;

use std::collections::BTreeMap;

use domain::catalogue::Catalogue;
use protocol::entry::{Entry, Operation};
use protocol::ids::{Hash, Position, SiteId};
use protocol::row::{Row, Value};

use crate::procurement::Orders;
use crate::users::{MADE_ON, Users};

pub use device::{DeviceModel, Log};

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
    /// The number that it was written under.
    pub ownership: u32,
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
    /// The columns that it sets; `None` for a deletion.
    pub fn columns(&self) -> Option<&Columns> {
        match self {
            Self::Put(columns) | Self::Patch(columns) => Some(columns),
            Self::Delete => None,
        }
    }

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
    /// What each device must show and has told, by the device's index.
    pub devices: Vec<DeviceModel>,
    /// The same of devices whose disk is as it was before, or of another state since: what central has of them stays.
    pub gone: Vec<DeviceModel>,
    /// What central committed for central's own records, newest last.
    pub versions: BTreeMap<Key, Vec<Version>>,
    /// Central's own records as its imports make them.
    pub central: BTreeMap<Key, Option<Columns>>,
    /// Central's head at its last commit.
    pub position: u64,
    /// Who writes which order.
    pub orders: Orders,
    /// Who made which user.
    pub users: Users,
}

impl Model {
    /// What must be so of a device.
    ///
    /// # Panics
    /// If there is no such device.
    pub fn device(&mut self, index: usize) -> &mut DeviceModel {
        self.devices.get_mut(index).expect("every device is in the model")
    }

    /// Whether somebody deleted a record, so that it may be there for a second time.
    pub fn may_be_made_again(&self, key: &Key) -> bool {
        let mut logs = self.devices.iter().chain(&self.gone).flat_map(|device| &device.logs);
        logs.any(|log| log.entries.iter().any(|entry| entry.key == *key && entry.change == Change::Delete))
    }

    /// All that ever wrote for a site, those that are gone among them.
    pub fn of_site(&mut self, site: SiteId) -> impl Iterator<Item = &mut DeviceModel> {
        self.devices.iter_mut().chain(&mut self.gone).filter(move |device| device.site == site)
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
        ownership: entry.ownership.0,
        ends_group: entry.is_group_end,
        expected,
        is_lost: false,
        is_moved: false,
        is_unaware: false,
    })
}

/// Columns by name, whichever way a row refers to them. Where a user was made is left out: no edit but the first need say it.
pub fn columns_of(catalogue: &Catalogue, table: &str, row: Row) -> Columns {
    let known = catalogue.table_by_name(table).ok();
    let name = |column: &protocol::row::ColumnRef| match (known, column) {
        (Some(table), column) => table.name_of(column).into_owned(),
        (None, protocol::row::ColumnRef::Named(name)) => name.clone(),
        (None, protocol::row::ColumnRef::Known(number)) => format!("#{number}"),
    };
    let columns = row.into_columns().into_iter().map(|(column, value)| (name(&column), value));
    columns.filter(|(column, _)| column != MADE_ON).collect()
}
