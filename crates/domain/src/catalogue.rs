//! The tables: what each holds, who may write it, where its store is found, and the number of each column.
//!
//! The list itself is `catalogue.toml`, which `docs/data-types.md` shows as a page. A number never changes its meaning
//! (`catalogue.lock` guards that), because entries and rows carry numbers instead of names.

mod declared;
mod source;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use protocol::few::{gathered, sort_few};
use protocol::ids::TableRef;
use protocol::limits;

pub use declared::{CatalogueError, DeclaredParent, DeclaredTable};
pub use table::{DataType, KeyError, Parent, Table};

/// All tables that this program knows: those of mSupply and those that a configuration declares.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// In ascending order of their number, so that a number is found by halving.
    numbered: Vec<Arc<Table>>,
    declared: BTreeMap<String, Arc<Table>>,
    numbers_by_name: BTreeMap<String, u16>,
}

impl Catalogue {
    /// mSupply's tables. Parsed at the first call; later calls copy pointers.
    #[must_use]
    pub fn embedded() -> Self {
        static EMBEDDED: OnceLock<Catalogue> = OnceLock::new();
        EMBEDDED.get_or_init(source::parse_embedded).clone()
    }

    fn from_tables(mut tables: Vec<Table>) -> Self {
        // They are written down in that order.
        sort_few(&mut tables, |one, other| one.reference() < other.reference());
        let numbers_by_name = gathered(tables.iter().filter_map(|table| match table.reference() {
            TableRef::Known(number) => Some((table.name().to_owned(), *number)),
            TableRef::Named(_) => None,
        }));
        Self { numbered: tables.into_iter().map(Arc::new).collect(), declared: BTreeMap::new(), numbers_by_name }
    }

    /// Adds the tables that a configuration declares.
    ///
    /// # Errors
    /// [`CatalogueError`] for a table that cannot be judged, or whose name mSupply or another declaration has already.
    pub fn with_declared(mut self, tables: Vec<DeclaredTable>) -> Result<Self, CatalogueError> {
        for table in tables {
            let table = declared::check_alone(&self, table)?;
            self.declared.insert(table.name().to_owned(), Arc::new(table));
        }
        declared::check_parents(&self)?;
        Ok(self)
    }

    /// The table of a name, spelled exactly as mSupply or the configuration spells it.
    ///
    /// # Errors
    /// [`UnknownTable`] names the nearest names.
    pub fn table_by_name(&self, name: &str) -> Result<&Table, UnknownTable> {
        let number = self.numbers_by_name.get(name).copied().or_else(|| number_behind("#t", name));
        number
            .and_then(|number| self.table(&TableRef::Known(number)))
            .or_else(|| self.declared.get(name).map(AsRef::as_ref))
            .ok_or_else(|| self.unknown(name))
    }

    /// The table that an entry names, if this program knows it.
    ///
    /// A name that was declared once and has become part of the catalogue since finds the catalogue's table: use
    /// [`Table::reference`] of what is found, not the reference that was asked for.
    pub fn table(&self, reference: &TableRef) -> Option<&Table> {
        self.find(reference).map(AsRef::as_ref)
    }

    /// The table that an entry names, or a stand-in that can only be printed: an unknown number is called `#t57`.
    pub fn table_or_stand_in(&self, reference: &TableRef) -> Arc<Table> {
        self.find(reference).map_or_else(|| Arc::new(Table::stand_in(reference)), Arc::clone)
    }

    /// How a table is called where people read it; `#t57` for a number that this program does not know.
    pub fn table_name(&self, reference: &TableRef) -> String {
        match (self.table(reference), reference) {
            (Some(table), _) => table.name().to_owned(),
            (None, TableRef::Named(name)) => name.clone(),
            (None, TableRef::Known(number)) => format!("#t{number}"),
        }
    }

    /// The tables of the merges of a table's records: none where they are not merged, and two for names, of which patients are merged by
    /// others. A record has a row in one of them at most.
    pub fn merges_of(&self, table: &Table) -> impl Iterator<Item = &Table> {
        self.tables().filter(|merges| merges.merges() == Some(table.reference()))
    }

    /// The table of the merges of records of a type in a table; `None` where they are not merged.
    pub fn merges_of_type(&self, table: &Table, data_type: DataType) -> Option<&Table> {
        let is_of_patients = data_type == DataType::Patient;
        self.merges_of(table).find(|merges| (merges.data_type() == DataType::Patient) == is_of_patients)
    }

    /// Every table: those with numbers in their order, then the declared ones by name.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.numbered.iter().chain(self.declared.values()).map(AsRef::as_ref)
    }

    fn find(&self, reference: &TableRef) -> Option<&Arc<Table>> {
        let number = match reference {
            TableRef::Known(number) => *number,
            TableRef::Named(name) => match self.numbers_by_name.get(name) {
                Some(number) => *number,
                None => return self.declared.get(name),
            },
        };
        let wanted = TableRef::Known(number);
        let index = self.numbered.binary_search_by(|table| table.reference().cmp(&wanted)).ok()?;
        self.numbered.get(index)
    }

    fn unknown(&self, name: &str) -> UnknownTable {
        let name: String = name.chars().take(limits::TABLE_NAME_BYTES_MAX).collect();
        let wanted = name.to_lowercase();
        let allowed = (wanted.len() / 4).clamp(1, 3);
        let mut near: Vec<(usize, &str)> = self
            .tables()
            .map(|table| (distance(&wanted, &table.name().to_lowercase()), table.name()))
            .filter(|(distance, _)| *distance <= allowed)
            .collect();
        sort_few(&mut near, |one, other| one < other);
        UnknownTable {
            name,
            nearest: near.into_iter().take(SUGGESTIONS_MAX).map(|(_, name)| name.to_owned()).collect(),
        }
    }
}

/// More names than this do not help somebody who made a slip.
const SUGGESTIONS_MAX: usize = 3;

/// A table that neither mSupply's list nor the configuration has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownTable {
    /// What was asked for, cut to the length that a table's name may have.
    pub name: String,
    /// Names that look like it, nearest first; at most three.
    pub nearest: Vec<String>,
}

impl UnknownTable {
    /// `unknown_table`.
    pub fn code(&self) -> &'static str {
        "unknown_table"
    }
}

impl fmt::Display for UnknownTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "there is no table {:?}", self.name)?;
        if !self.nearest.is_empty() {
            write!(formatter, "; did you mean {}?", self.nearest.join(" or "))?;
        }
        formatter.write_str(
            " (names are spelled as mSupply spells them; a table of your own is declared in the configuration with its name, \
             type and store column)",
        )
    }
}

impl std::error::Error for UnknownTable {}

/// The number in a name such as `#57` or `#t57`, written without leading zeros.
fn number_behind(prefix: &str, name: &str) -> Option<u16> {
    let digits = name.strip_prefix(prefix)?;
    let is_canonical = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if is_canonical { digits.parse().ok() } else { None }
}

/// How many letters must be changed, added or taken away to turn one name into the other.
fn distance(left: &str, right: &str) -> usize {
    let mut costs: Vec<usize> = (0..=right.chars().count()).collect();
    for (row, from) in left.chars().enumerate() {
        let mut diagonal = row;
        let mut before = row + 1;
        for (cost, to) in costs.iter_mut().skip(1).zip(right.chars()) {
            let changed = diagonal + usize::from(from != to);
            diagonal = *cost;
            *cost = changed.min(before + 1).min(*cost + 1);
            before = *cost;
        }
        if let Some(first) = costs.first_mut() {
            *first = row + 1;
        }
    }
    costs.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
