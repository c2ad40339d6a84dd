//! Authority and routing in one place: may this site write this record, and who receives it?
//!
//! The agent asks before it records an edit, central asks before it applies one. Both ask the same function, through a
//! [`View`] of what is there. A group is judged entry by entry; the view shows the effect of the group's earlier entries.
//!
//! | data | may be written by | goes to |
//! | --- | --- | --- |
//! | central | central, or the primary of a mirrored system ([`authority`](crate::authority)), which writes name and central store data too | all sites |
//! | name, central store | central | whoever sees the name, or the store ([`visibility`](crate::visibility)) |
//! | a merge of central data | central, of two records that are there and no stores' names | as the records |
//! | a merge of locations | the site that holds their store | the store's scope |
//! | a merge of patients or prescribers | the site that holds both home stores; central, or the primary, where they are at two sites | whoever sees the one that goes |
//! | central, dispensary | central | sites that hold a dispensary |
//! | store | the site that holds the store of the stored record and of the incoming one, which must be the same | the store's scope; what the store withholds nowhere ([`withholding`](crate::withholding)) |
//! | a purchase order, centralised | the primary, or the store's site ([`procurement`](crate::procurement)) | the store's scope, and the primary |
//! | patient | the site that holds the home store and a dispensary; central alone gives another home store ([`home_transfer`](crate::home_transfer)) | whoever sees the patient as a name |
//! | visibility of a patient or prescriber | beside central, or the primary, the site that owns it, once, in a store of its own | as other visibility |
//! | message | made by the site that holds the sending store, or by central; set to processed by the receiving store's site | the scopes of both stores |
//! | a user | the site that made it ([`new_user`](crate::new_user)) | that site |
//! | local | each site its own | nowhere |
//! | anything else | nobody yet: `not_supported` | |

mod home_merges;
mod merges;
mod messages;
mod new_users;
mod orders;
mod patients;
mod prescriptions;
mod refusal;
mod store_data;
mod withheld;

use protocol::entry::{Entry, Operation};
use protocol::ids::{OwnershipNumber, RecordId, SiteId, TableRef};
use protocol::limits;
use protocol::row::{ColumnRef, Row, Value};

pub use refusal::{LATE_CODES, Refusal, RefusalCode, is_late};

use crate::apply::apply;
use crate::authority::{Authority, CENTRAL_DATA};
use crate::catalogue::{Catalogue, DataType, Table};
use crate::home_transfer;
use crate::json;
use crate::preference::Preference;
use crate::procurement::{counted, counts_for_all};
use crate::scope::Scope;
use crate::visibility::{VisibleKey, joined_table, key_of_found};

/// What is known of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Never seen here.
    Unknown,
    /// Was here and was deleted.
    Deleted {
        /// The store that it belonged to, kept with the tombstone.
        store: Option<RecordId>,
    },
    /// Is here.
    Here {
        /// Its columns.
        row: Row,
        /// The store that it belongs to, kept beside it since it was accepted.
        store: Option<RecordId>,
    },
}

impl Found {
    /// Its columns, if it is here.
    pub fn row(&self) -> Option<&Row> {
        match self {
            Self::Here { row, .. } => Some(row),
            Self::Unknown | Self::Deleted { .. } => None,
        }
    }
}

/// What is known of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// Never seen here.
    Unknown,
    /// Was here and was deleted.
    Deleted,
    /// Is here.
    Here {
        /// The store that it belongs to.
        store: Option<RecordId>,
    },
}

/// Which site may write a store's data, and under which number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// The site where the store is active.
    pub site: SiteId,
    /// The number of the grant.
    pub ownership: OwnershipNumber,
}

/// What the judge reads. Tables are asked for by [`Table::reference`].
pub trait View {
    /// What can go wrong while reading.
    type Error;

    /// The record as it is: with this site's pending entries on top at the agent, with the group's earlier entries at both.
    ///
    /// # Errors
    /// The view's own.
    fn record(&mut self, table: &TableRef, id: &RecordId) -> Result<Found, Self::Error>;

    /// Who holds a store. At the agent only what it was granted itself; a store that nobody holds is `None`.
    ///
    /// # Errors
    /// The view's own.
    fn holding(&mut self, store: &RecordId) -> Result<Option<Holding>, Self::Error>;

    /// Whether entries of this author for this record wait at central for a header, in a group before the one that is judged,
    /// and were not cancelled. A waiting group that is judged again does not count itself, or it would wait for ever. Another
    /// site's entries do not count: they must not hold up the site that owns the record. Never asked at the agent.
    ///
    /// # Errors
    /// The view's own.
    fn is_waiting(&mut self, author: SiteId, table: &TableRef, id: &RecordId) -> Result<bool, Self::Error>;

    /// Whether a dispensary store is active at a site. At the agent only of itself.
    ///
    /// # Errors
    /// The view's own.
    fn has_dispensary(&mut self, site: SiteId) -> Result<bool, Self::Error>;

    /// A store whose record names this name. An agent need not know.
    ///
    /// # Errors
    /// The view's own.
    fn store_of_name(&mut self, name: &RecordId) -> Result<Option<RecordId>, Self::Error>;

    /// A record that was merged into this one, by the rows of `merges`. Asked for entries of central's alone.
    ///
    /// # Errors
    /// The view's own.
    fn merged_into(&mut self, merges: &TableRef, record: &RecordId) -> Result<Option<RecordId>, Self::Error>;

    /// On a device: whether a record is here and never left it ([`withholding`](crate::withholding)).
    ///
    /// # Errors
    /// The view's own.
    fn is_withheld(&mut self, _table: &TableRef, _id: &RecordId) -> Result<bool, Self::Error> {
        Ok(false)
    }

    /// On a device: whether everything is read from central anew, or for the first time since what was read was lost.
    ///
    /// # Errors
    /// The view's own.
    fn is_read_anew(&mut self) -> Result<bool, Self::Error> {
        Ok(false)
    }

    /// On a device: whether a store that is active there has this name.
    ///
    /// # Errors
    /// The view's own.
    fn is_name_of_own_store(&mut self, _name: &RecordId) -> Result<bool, Self::Error> {
        Ok(false)
    }

    /// Who writes central data. An agent knows only whether its own site does.
    ///
    /// # Errors
    /// The view's own.
    fn authority(&mut self) -> Result<Authority, Self::Error> {
        Ok(Authority::Central)
    }

    /// A header, of which only the store matters. Override it where that is cheaper to read than the whole record.
    ///
    /// # Errors
    /// The view's own.
    fn header(&mut self, table: &TableRef, id: &RecordId) -> Result<Header, Self::Error> {
        Ok(match self.record(table, id)? {
            Found::Unknown => Header::Unknown,
            Found::Deleted { .. } => Header::Deleted,
            Found::Here { store, .. } => Header::Here { store },
        })
    }
}

/// Where the judge sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// On a device: what cannot be accepted now is refused, so that the application hears of it at once. The entry's ownership
    /// number is not read; the recorder writes [`Applied::ownership`] into it.
    Device,
    /// At central: a line may come before its header, and the entry's ownership number must be the store's.
    Central,
}

/// The judge's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Write what it says.
    Accept(Applied),
    /// Set the entry aside.
    Refuse(Refusal),
    /// At central alone: keep the group until this record is here, is refused or is deleted.
    Wait {
        /// Table of the record that is waited for: the header's, or the entry's own if earlier entries for it wait.
        table: TableRef,
        /// The record that is waited for.
        record: RecordId,
    },
}

/// What an accepted entry does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Whether there is anything to write. Central takes a delete of what is not there as done: no tombstone, no lane row.
    pub effect: Effect,
    /// The record as it is afterwards; `None`: deleted.
    pub row: Option<Row>,
    /// The store to keep beside the record or its tombstone.
    pub store: Option<RecordId>,
    /// The lanes that the change goes into.
    pub scopes: Vec<Scope>,
    /// What a site has to see to be given it out of [`Scope::Visible`].
    pub visible_key: Option<VisibleKey>,
    /// The header, for pages, which put it before its lines.
    pub parent: Option<(TableRef, RecordId)>,
    /// The number under which the entry is written; 0 where none is needed.
    pub ownership: OwnershipNumber,
    /// Goes to the private journal: local data, which leaves the site never, and what its store withholds.
    pub is_private: bool,
    /// A delete of a record for which entries of the same site wait. Central marks these entries as cancelled: when their groups
    /// are judged they are passed over, [`View::is_waiting`] no longer counts them, and the view shows their record as
    /// [`Found::Deleted`], which refuses lines that came for it. A group with nothing but cancelled entries ends as accepted.
    pub cancels_waiting: bool,
}

/// Whether an accepted entry changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The record or its tombstone is written.
    Write,
    /// Nothing is written but the verdict.
    Nothing,
}

/// Judges one entry.
///
/// An entry for a table that central does not know is refused with `unknown_table`: central cannot tell whose it is. Nothing is
/// lost, because both sides keep a refused entry in set-aside, and it can be tried again when central has a newer catalogue.
///
/// # Errors
/// Only those of the view; what is wrong with the entry is a [`Verdict::Refuse`].
pub fn judge<V: View>(
    catalogue: &Catalogue,
    view: &mut V,
    side: Side,
    author: SiteId,
    entry: &Entry,
) -> Result<Verdict, V::Error> {
    let Some(table) = catalogue.table(&entry.table) else {
        return Ok(Verdict::Refuse(refusal::unknown_table(catalogue, side, entry)));
    };
    let case = Case { catalogue, table, side, author, entry };
    let waits = side == Side::Central && view.is_waiting(author, table.reference(), &entry.record)?;
    if waits && entry.operation != Operation::Delete {
        return Ok(Verdict::Wait { table: table.reference().clone(), record: entry.record.clone() });
    }
    let found = match view.record(table.reference(), &entry.record)? {
        Found::Here { row, store } => Found::Here { row: table.canonical(row), store },
        other => other,
    };
    let verdict = case.judge(view, &found)?;
    Ok(match verdict {
        // What is handed back to a central that was set back, and that it has all the same.
        Verdict::Refuse(refusal) if refusal.is_for_want_of_right() && case.puts_what_is_here(&found) => {
            Verdict::Refuse(case.refuse(RefusalCode::AlreadyHere, "is here just so, and is not this site's to write"))
        }
        Verdict::Accept(applied) => Verdict::Accept(Applied { cancels_waiting: waits, ..applied }),
        other => other,
    })
}

/// Who receives what central writes.
fn scopes_of(data_type: DataType, visible_key: Option<&VisibleKey>) -> Vec<Scope> {
    match (data_type, visible_key) {
        // A name's join that names no name nobody can see.
        (DataType::Local, _) | (DataType::Name, None) => Vec::new(),
        (DataType::CentralDispensary, _) => vec![Scope::DispensarySites],
        (DataType::CentralStore | DataType::Name | DataType::NewUser, Some(_)) => vec![Scope::Visible],
        _ => vec![Scope::AllSites],
    }
}

/// One entry with everything that does not come from the view.
struct Case<'a> {
    catalogue: &'a Catalogue,
    table: &'a Table,
    side: Side,
    author: SiteId,
    entry: &'a Entry,
}

impl Case<'_> {
    fn judge<V: View>(&self, view: &mut V, found: &Found) -> Result<Verdict, V::Error> {
        let operation = match &self.entry.operation {
            Operation::Put(row) => Operation::Put(self.table.canonical(row.clone())),
            Operation::Patch(row) => Operation::Patch(self.table.canonical(row.clone())),
            Operation::Delete => Operation::Delete,
        };
        if let Operation::Put(row) | Operation::Patch(row) = &operation
            && let Some(refusal) = self.bad_value(row)
        {
            return Ok(Verdict::Refuse(refusal));
        }
        if let Some(refusal) = self.wrong_user(&operation, found) {
            return Ok(Verdict::Refuse(refusal));
        }
        if let Some(refusal) = self.sets_centrals_column(&operation, found) {
            return Ok(Verdict::Refuse(refusal));
        }
        let before = found.row();
        let key = (self.table, &self.entry.record);
        let after = apply(found, &operation).map(|row| counted(self.catalogue, view, key, before, row)).transpose()?;
        let before_type = before.map(|row| self.table.data_type_of(row));
        let after_type = after.as_ref().map(|row| self.table.data_type_of(row));
        let data_type = before_type.or(after_type).unwrap_or(self.table.data_type());
        let stays = self.stays_with_central(view, found, after.as_ref())?;
        if self.author != SiteId::CENTRAL
            && let Some(joined) = joined_table(self.table)
            && self.right_to_write(view, DataType::CentralStore, stays)?.is_err()
        {
            return self.judge_own_join(view, joined, found, after);
        }
        let mut ownership = OwnershipNumber(0);
        for data_type in [data_type, after_type.unwrap_or(data_type)] {
            match self.right_to_write(view, data_type, stays)? {
                Ok(number) => ownership = number,
                Err(refusal) => return Ok(Verdict::Refuse(refusal)),
            }
        }
        if after_type.is_some_and(|after_type| after_type != data_type) {
            return Ok(Verdict::Refuse(self.refuse(
                RefusalCode::DataTypeChange,
                &format!(
                    "is {} data and would become another type; delete it and make a new record",
                    data_type.as_str()
                ),
            )));
        }
        if let Some(verdict) = self.missing(found) {
            return Ok(verdict);
        }
        if let Some(refusal) = after.as_ref().and_then(|row| self.preference_of_a_store(row)) {
            return Ok(Verdict::Refuse(refusal));
        }
        if before.is_some_and(|row| after.is_none() && counts_for_all(self.table, &self.entry.record, row)) {
            let what = "counts how often procurement changed hands; put its value to false instead of deleting it";
            return Ok(Verdict::Refuse(self.refuse(RefusalCode::CentralColumn, what)));
        }
        if let Some(refusal) = after.as_ref().and_then(|row| self.too_large(row)) {
            return Ok(Verdict::Refuse(refusal));
        }
        if data_type == DataType::Store {
            let verdict = self.judge_store_data(view, found, after)?;
            let verdict = self.judge_prescription(view, found, verdict)?;
            let verdict = self.judge_staying(view, found, verdict)?;
            return self.judge_store_merge(view, found, verdict);
        }
        if data_type == DataType::Message {
            return self.judge_message(view, found, after);
        }
        if data_type == DataType::Patient {
            return self.judge_patient_data(view, found, after);
        }
        let effect = match self.table.merges() {
            None => Effect::Write,
            Some(merged) => match self.judge_merge(view, merged, found, after.as_ref(), None)? {
                Ok(effect) => effect,
                Err(refused) => return Ok(Verdict::Refuse(refused)),
            },
        };
        if let Some(refused) = self.store_with_wrong_name(view, found, after.as_ref())? {
            return Ok(Verdict::Refuse(refused));
        }
        if matches!((found, &after), (Found::Deleted { .. }, Some(_)))
            && let Some(refused) = self.merged_as_other_kind(view, data_type)?
        {
            return Ok(Verdict::Refuse(refused));
        }
        let is_private = data_type == DataType::Local;
        let visible_key = match &after {
            Some(row) => VisibleKey::of(self.table, &self.entry.record, row),
            None => key_of_found(self.table, &self.entry.record, found),
        };
        Ok(Verdict::Accept(Applied {
            effect,
            row: after,
            store: None,
            scopes: scopes_of(data_type, visible_key.as_ref()),
            visible_key,
            parent: None,
            ownership,
            is_private,
            cancels_waiting: false,
        }))
    }

    fn puts_what_is_here(&self, found: &Found) -> bool {
        match (&self.entry.operation, found) {
            (Operation::Put(row), Found::Here { row: here, .. }) if self.side == Side::Central => {
                self.author != SiteId::CENTRAL && self.table.canonical(row.clone()) == *here
            }
            _ => false,
        }
    }

    /// Whether this site may write data of a type whatever the record says, and for central data under which number. `stays`: see
    /// [`Case::stays_with_central`].
    fn right_to_write<V: View>(
        &self,
        view: &mut V,
        data_type: DataType,
        stays: bool,
    ) -> Result<Result<OwnershipNumber, Refusal>, V::Error> {
        let none_needed = Ok(Ok(OwnershipNumber(0)));
        if !self.table.supports(data_type) {
            let what = format!("is {} data, which this version does not carry yet", data_type.as_str());
            return Ok(Err(self.refuse(RefusalCode::NotSupported, &what)));
        }
        match data_type {
            DataType::Store | DataType::Message | DataType::Patient | DataType::NewUser => none_needed,
            DataType::Local if self.side == Side::Device || self.author == SiteId::CENTRAL => none_needed,
            DataType::Local => Ok(Err(self.refuse(
                RefusalCode::LocalData,
                "is local data, which never leaves its site and was sent all the same",
            ))),
            _ if stays && self.author == SiteId::CENTRAL => none_needed,
            _ if stays => Ok(Err(self.not_centrals("which is written on central alone"))),
            _ => Ok(self.by_authority(view.authority()?)),
        }
    }

    fn by_authority(&self, authority: Authority) -> Result<OwnershipNumber, Refusal> {
        let is_central = self.author == SiteId::CENTRAL;
        match authority {
            Authority::Central if is_central => Ok(OwnershipNumber(0)),
            Authority::Central if self.side == Side::Device => {
                Err(self.not_centrals("which is written on central, or on the primary of a mirrored system"))
            }
            Authority::Central => Err(self.not_centrals("which is written on central alone")),
            Authority::Primary(holding) if holding.site == self.author => {
                match self.wrong_number("the grant of", CENTRAL_DATA, holding) {
                    Some(refusal) => Err(refusal),
                    None => Ok(holding.ownership),
                }
            }
            Authority::Primary(holding) => {
                let what = format!("which the primary writes alone: site {}", holding.site);
                Err(self.not_centrals(&what))
            }
            Authority::Frozen(holding) => {
                let what = format!("which nobody writes while it goes over to site {}; try again then", holding.site);
                Err(self.not_centrals(&what))
            }
        }
    }

    fn not_centrals(&self, what: &str) -> Refusal {
        self.refuse(RefusalCode::CentralData, &format!("is central data, {what}"))
    }

    /// A preference of ours for all stores that names one: it would go to that store's sites alone.
    fn preference_of_a_store(&self, row: &Row) -> Option<Refusal> {
        Preference::of_record(self.table, &self.entry.record)?;
        self.table.store_of(&self.entry.record, row).and_then(Result::ok)?;
        Some(self.refuse(RefusalCode::BadValue, "is one preference for all stores, and names a store; leave that out"))
    }

    /// A patch or delete of what is not here.
    fn missing(&self, found: &Found) -> Option<Verdict> {
        let was_here = match found {
            Found::Here { .. } => return None,
            Found::Deleted { .. } => true,
            Found::Unknown => false,
        };
        match (&self.entry.operation, self.side) {
            (Operation::Put(_), _) => return None,
            (Operation::Delete, Side::Central) if was_here || self.author != SiteId::CENTRAL => {
                return Some(Verdict::Accept(Applied {
                    effect: Effect::Nothing,
                    row: None,
                    store: None,
                    scopes: Vec::new(),
                    visible_key: None,
                    parent: None,
                    ownership: self.entry.ownership,
                    is_private: false,
                    cancels_waiting: false,
                }));
            }
            _ => {}
        }
        let what = if was_here { "was deleted; put it whole to make it again" } else { "is not here" };
        Some(Verdict::Refuse(self.refuse(RefusalCode::RecordMissing, what)))
    }

    /// A column that could not be shown as JSON, or that would stand there twice.
    fn bad_value(&self, row: &Row) -> Option<Refusal> {
        let (column, problem) = row.columns().iter().find_map(|(column, value)| {
            let is_second_name = match column {
                ColumnRef::Named(name) => {
                    name == self.table.id_column() || self.table.column_ref(name) != ColumnRef::Named(name.clone())
                }
                ColumnRef::Known(_) => false,
            };
            if is_second_name {
                Some((column, "has a column under a second name"))
            } else if json::check_value(value) {
                None
            } else {
                Some((column, "has a value that is not JSON"))
            }
        })?;
        Some(self.refuse(RefusalCode::BadValue, &format!("{problem}: {}", self.table.name_of(column))))
    }

    /// A column that central alone sets, and not by an edit.
    fn sets_centrals_column(&self, operation: &Operation, found: &Found) -> Option<Refusal> {
        let (Operation::Put(row) | Operation::Patch(row)) = operation else { return None };
        let takes_count = self.side == Side::Central && self.author != SiteId::CENTRAL;
        let column = self.table.name_of(home_transfer::changed_column(row, found.row(), takes_count)?);
        let what = format!("sets {column}, which central alone sets; leave it out, and it stays as it is");
        Some(self.refuse(RefusalCode::CentralColumn, &what))
    }

    /// A record that many patches made too large.
    fn too_large(&self, row: &Row) -> Option<Refusal> {
        let columns = row.columns().len();
        if columns > limits::ROW_COLUMNS_MAX {
            let what = format!("would have {columns} columns; at most {} are allowed", limits::ROW_COLUMNS_MAX);
            return Some(self.refuse(RefusalCode::RecordTooLarge, &what));
        }
        // At most 16 bytes beside the texts of a column, so most rows need not be packed to be measured.
        let texts: usize = row.columns().iter().map(|(column, value)| name_bytes(column) + value_bytes(value)).sum();
        if texts + 16 * columns <= limits::RECORD_BYTES_MAX {
            return None;
        }
        let bytes = row.to_bytes().len();
        if bytes <= limits::RECORD_BYTES_MAX {
            return None;
        }
        let what = format!("would take {bytes} bytes; at most {} are allowed", limits::RECORD_BYTES_MAX);
        Some(self.refuse(RefusalCode::RecordTooLarge, &what))
    }

    /// A refusal whose sentence begins with the record.
    fn refuse(&self, code: RefusalCode, what: &str) -> Refusal {
        Refusal::new(code, &format!("{} {} {what}", self.table.name(), self.entry.record))
    }
}

fn name_bytes(column: &ColumnRef) -> usize {
    match column {
        ColumnRef::Known(_) => 0,
        ColumnRef::Named(name) => name.len(),
    }
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 0,
        Value::Number(text) | Value::Text(text) | Value::Json(text) => text.len(),
    }
}

#[cfg(test)]
mod tests;
