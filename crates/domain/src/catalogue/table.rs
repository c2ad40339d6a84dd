//! One table.

use std::borrow::Cow;

use protocol::few::sort_few;
use protocol::ids::{RecordId, RecordIdError, TableRef};
use protocol::row::{ColumnRef, Row, Value};
use serde::Deserialize;

use super::number_behind;
use crate::store::NAME_TABLE;
use crate::visibility::PRESCRIBER_TABLE;

/// mSupply's data types (seed 000, "Data types"; seed 001 for Central, dispensary).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    /// Written on central, goes to every site.
    Central,
    /// Written on central, goes to the sites with an active dispensary store.
    CentralDispensary,
    /// Written on central, goes to the sites where the store is visible.
    CentralStore,
    /// Written on central, goes to the sites where the name is visible.
    Name,
    /// Written where the store is active, goes to its collectors and so to central.
    Store,
    /// Written where the home store is active, goes where the patient is visible.
    Patient,
    /// Made where the sending store is active, goes to the sites of both stores.
    Message,
    /// Made on any site, which alone writes it; goes to central.
    NewUser,
    /// Written on central, goes nowhere itself.
    Sync,
    /// Written on any site, leaves it never.
    Local,
}

impl DataType {
    /// The word that catalogue, configuration and reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Central => "central",
            Self::CentralDispensary => "central_dispensary",
            Self::CentralStore => "central_store",
            Self::Name => "name",
            Self::Store => "store",
            Self::Patient => "patient",
            Self::Message => "message",
            Self::NewUser => "new_user",
            Self::Sync => "sync",
            Self::Local => "local",
        }
    }

    /// Whether central alone writes it, and sites receive it.
    pub fn is_centrals(self) -> bool {
        matches!(self, Self::Central | Self::CentralDispensary | Self::CentralStore | Self::Name)
    }

    /// Who may write it, for people.
    pub fn written_by(self) -> &'static str {
        match self {
            Self::Central | Self::CentralDispensary | Self::CentralStore | Self::Name | Self::Sync => "central",
            Self::Store => "the site where the store is active",
            Self::Patient => "the site where the home store is active, if it has an active dispensary",
            Self::Message => "the site of the sending store; the status by that of the receiving one",
            Self::NewUser => "the site that made it",
            Self::Local => "each site its own",
        }
    }

    /// Who receives it, for people.
    pub fn goes_to(self) -> &'static str {
        match self {
            Self::Central => "every site",
            Self::CentralDispensary => "sites with an active dispensary store",
            Self::CentralStore => "sites where the store is visible",
            Self::Name => "sites where the name is visible",
            Self::Store => "central and the store's other collectors",
            Self::Patient => "central, the home store's site and the sites where the patient is visible",
            Self::Message => "central and the sites of the sending and the receiving store",
            Self::NewUser => "central",
            Self::Sync | Self::Local => "nobody",
        }
    }
}

/// The header that a line cannot be without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The header's table.
    pub table: TableRef,
    /// The line's column that holds the header's id.
    pub column: ColumnRef,
}

/// Records of a table that are of another type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) column: ColumnRef,
    pub(super) condition: Condition,
    pub(super) data_type: DataType,
}

/// What a column has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    Is(String),
    IsNot(String),
    IsMissing,
}

impl Condition {
    fn holds(&self, value: Option<&Value>) -> bool {
        let text = match value {
            Some(Value::Text(text)) => text.as_str(),
            _ => "",
        };
        match self {
            Self::Is(wanted) => text == wanted,
            Self::IsNot(unwanted) => text != unwanted,
            Self::IsMissing => value.is_none(),
        }
    }
}

/// One table: how its records are judged and routed, and the numbers of its columns.
#[derive(Debug, Clone)]
pub struct Table {
    pub(super) reference: TableRef,
    pub(super) name: String,
    pub(super) data_type: DataType,
    pub(super) is_dispensary: bool,
    pub(super) id_column: String,
    pub(super) store_column: Option<String>,
    pub(super) store_after: Option<String>,
    pub(super) name_column: Option<String>,
    pub(super) patient_column: Option<String>,
    pub(super) prescriber_column: Option<String>,
    pub(super) site_column: Option<String>,
    pub(super) note: Option<String>,
    pub(super) parent: Option<Parent>,
    pub(super) merges: Option<TableRef>,
    pub(super) stays_with_central: bool,
    pub(super) variants: Vec<Variant>,
    pub(super) columns: Vec<String>,
    /// Column numbers in the order of the columns' names.
    pub(super) by_name: Vec<u16>,
}

/// A column that should hold an id and does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyError {
    /// Not there, null, empty, or without the text that comes before the id.
    Missing,
    /// A text longer than an id may be.
    TooLong(RecordIdError),
    /// A number, a list: anything but text.
    NotText,
}

impl Table {
    pub(super) fn new(reference: TableRef, name: String, data_type: DataType, columns: Vec<String>) -> Self {
        let mut by_name: Vec<u16> = (0..=u16::MAX).take(columns.len()).collect();
        sort_few(&mut by_name, |one, other| columns.get(usize::from(*one)) < columns.get(usize::from(*other)));
        Self {
            reference,
            name,
            data_type,
            is_dispensary: false,
            id_column: "ID".to_owned(),
            store_column: None,
            store_after: None,
            name_column: None,
            patient_column: None,
            prescriber_column: None,
            site_column: None,
            note: None,
            parent: None,
            merges: None,
            stays_with_central: false,
            variants: Vec::new(),
            columns,
            by_name,
        }
    }

    /// For a table that this program does not know: prints, and is refused by the judge like any unknown table.
    pub(super) fn stand_in(reference: &TableRef) -> Self {
        let name = match reference {
            TableRef::Known(number) => format!("#t{number}"),
            TableRef::Named(name) => name.clone(),
        };
        Self::new(reference.clone(), name, DataType::Sync, Vec::new())
    }

    /// What entries and stores call it.
    pub fn reference(&self) -> &TableRef {
        &self.reference
    }

    /// What people and applications call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its data type; single records may differ: see [`Table::data_type_of`].
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    /// Whether only sites with an active dispensary store work with it.
    pub fn is_dispensary(&self) -> bool {
        self.is_dispensary
    }

    /// The key of the record's id inside its data.
    pub fn id_column(&self) -> &str {
        &self.id_column
    }

    /// The column that names the record's own store.
    pub fn store_column(&self) -> Option<&str> {
        self.store_column.as_deref()
    }

    /// The column that names a facility for routing.
    pub fn name_column(&self) -> Option<&str> {
        self.name_column.as_deref()
    }

    /// Whether records of type patient in this table have a home store of their own, by their store column, as patients and prescribers
    /// do; others hang on one of these.
    pub fn has_home_stores(&self) -> bool {
        self.hangs_on().is_none() && (self.name == NAME_TABLE || self.data_type == DataType::Patient)
    }

    /// Where its records hang on patients or prescribers: the table of these, and the column that names one.
    pub fn hangs_on(&self) -> Option<(&'static str, &str)> {
        let patient = self.patient_column.as_deref().map(|column| (NAME_TABLE, column));
        patient.or_else(|| self.prescriber_column.as_deref().map(|column| (PRESCRIBER_TABLE, column)))
    }

    /// The patient or prescriber that a record hangs on: `None` if the table's records hang on none.
    ///
    /// # Errors
    /// [`KeyError`] if the column does not hold an id.
    pub fn housed_of(&self, record: &RecordId, row: &Row) -> Option<Result<RecordId, KeyError>> {
        let (_, column) = self.hangs_on()?;
        Some(if column == self.id_column { Ok(record.clone()) } else { self.id_in(row, column) })
    }

    /// The column that central alone fills with the site that holds the store.
    pub fn site_column(&self) -> Option<&str> {
        self.site_column.as_deref()
    }

    /// What else people should know of it.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The header that a record needs.
    pub fn parent(&self) -> Option<&Parent> {
        self.parent.as_ref()
    }

    /// Whether central writes it also in a mirrored system; see the module `authority`.
    pub fn stays_with_central(&self) -> bool {
        self.stays_with_central
    }

    /// The table whose records this one merges; see the module `merge`.
    pub fn merges(&self) -> Option<&TableRef> {
        self.merges.as_ref()
    }

    /// The columns in the order of their numbers.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = &str> {
        self.columns.iter().map(String::as_str)
    }

    /// Types that single records may have instead of the table's, in words for people.
    pub fn exceptions(&self) -> impl Iterator<Item = (String, DataType)> {
        self.variants.iter().map(|variant| {
            let column = self.name_of(&variant.column);
            let words = match &variant.condition {
                Condition::Is(text) => format!("{column} = {text}"),
                Condition::IsNot(text) => format!("{column} is not {text}"),
                Condition::IsMissing => format!("{column} is missing"),
            };
            (words, variant.data_type)
        })
    }

    /// Whether records of this table's own type are accepted; others are refused with `not_supported`.
    pub fn is_supported(&self) -> bool {
        self.supports(self.data_type)
    }

    /// Whether the judge knows what to do with records of a type in this table.
    pub fn supports(&self, data_type: DataType) -> bool {
        match data_type {
            DataType::Central
            | DataType::CentralDispensary
            | DataType::CentralStore
            | DataType::Name
            | DataType::Store
            | DataType::Patient
            | DataType::Message
            | DataType::NewUser
            | DataType::Local => true,
            DataType::Sync => false,
        }
    }

    /// The type of one record.
    pub fn data_type_of(&self, row: &Row) -> DataType {
        self.variants
            .iter()
            .find(|variant| variant.condition.holds(row.value(&variant.column)))
            .map_or(self.data_type, |variant| variant.data_type)
    }

    /// The column of a name: its number, or the name itself. `#57` is column 57 (see [`Table::name_of`]).
    pub fn column_ref(&self, name: &str) -> ColumnRef {
        let found = self.by_name.binary_search_by(|number| self.column_name(*number).unwrap_or_default().cmp(name));
        match found.ok().and_then(|index| self.by_name.get(index)) {
            Some(number) => ColumnRef::Known(*number),
            None => number_behind("#", name).map_or_else(|| ColumnRef::Named(name.to_owned()), ColumnRef::Known),
        }
    }

    /// The name of a column number, if this catalogue has it.
    pub fn column_name(&self, number: u16) -> Option<&str> {
        self.columns.get(usize::from(number)).map(String::as_str)
    }

    /// What a column is called in JSON: a number that a newer catalogue gave comes out as `#57`.
    pub fn name_of<'a>(&'a self, column: &'a ColumnRef) -> Cow<'a, str> {
        match column {
            ColumnRef::Named(name) => Cow::Borrowed(name),
            ColumnRef::Known(number) => {
                self.column_name(*number).map_or_else(|| Cow::Owned(format!("#{number}")), Cow::Borrowed)
            }
        }
    }

    /// The row with numbers for columns that came by name from a program with an older catalogue.
    ///
    /// A column that is there under both stays as it is, and the judge refuses the row.
    #[must_use]
    pub fn canonical(&self, row: Row) -> Row {
        let has_known_name = |column: &ColumnRef| match column {
            ColumnRef::Named(name) => matches!(self.column_ref(name), ColumnRef::Known(_)),
            ColumnRef::Known(_) => false,
        };
        if !row.columns().iter().any(|(column, _)| has_known_name(column)) {
            return row;
        }
        let renamed = row.columns().iter().map(|(column, value)| match column {
            ColumnRef::Named(name) => (self.column_ref(name), value.clone()),
            ColumnRef::Known(_) => (column.clone(), value.clone()),
        });
        Row::new(renamed.collect()).unwrap_or(row)
    }

    /// The record's own store: `None` if the table keeps no store in the record.
    ///
    /// # Errors
    /// [`KeyError`] if the column does not hold an id.
    pub fn store_of(&self, record: &RecordId, row: &Row) -> Option<Result<RecordId, KeyError>> {
        let column = self.store_column.as_deref()?;
        if column == self.id_column {
            return Some(Ok(record.clone()));
        }
        Some(key(row, &self.column_ref(column), self.store_after.as_deref()))
    }

    /// The same of a record as it is stored; also `None` if that cannot be read, or names no store.
    pub fn store_in(&self, record: &RecordId, data: &str) -> Option<RecordId> {
        self.store_of(record, &crate::json::row_from_json(self, record, data).ok()?)?.ok()
    }

    /// The id in a column.
    ///
    /// # Errors
    /// [`KeyError`] if the column does not hold one.
    pub fn id_in(&self, row: &Row, column: &str) -> Result<RecordId, KeyError> {
        key(row, &self.column_ref(column), None)
    }

    /// The id of the record's header: `None` if the table has no parent.
    ///
    /// # Errors
    /// [`KeyError`] if the column does not hold an id.
    pub fn header_of(&self, row: &Row) -> Option<Result<RecordId, KeyError>> {
        self.parent.as_ref().map(|parent| key(row, &parent.column, None))
    }
}

fn key(row: &Row, column: &ColumnRef, after: Option<&str>) -> Result<RecordId, KeyError> {
    let text = match row.value(column) {
        None | Some(Value::Null) => return Err(KeyError::Missing),
        Some(Value::Text(text)) => text.as_str(),
        Some(_) => return Err(KeyError::NotText),
    };
    let text = match after {
        Some(mark) => text.split_once(mark).map_or("", |(_, behind)| behind),
        None => text,
    };
    if text.is_empty() {
        return Err(KeyError::Missing);
    }
    RecordId::new(text).map_err(KeyError::TooLong)
}
