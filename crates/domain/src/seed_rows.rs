//! The seeds' own list of data, row by row (`seed_rows.toml`): against it the catalogue is held, and from it `docs/data-types.md` says
//! what has no table yet.

use serde::Deserialize;

use crate::catalogue::DataType;

/// Who writes a kind of data in a mirrored system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MirroredWriter {
    /// The primary, a remote site.
    Primary,
    /// Central, as in a system without a mirror.
    Central,
    /// The site where the store, or the patient's home store, is active.
    Store,
    /// Each site its own.
    Site,
}

impl MirroredWriter {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "the primary",
            Self::Central => "central",
            Self::Store => "the store's site",
            Self::Site => "each site its own",
        }
    }
}

/// A row of the seeds' list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedRow {
    /// The seed's name for it.
    pub data: String,
    /// Its type in a system without a mirror.
    #[serde(rename = "type")]
    pub data_type: DataType,
    /// Who writes it in a mirrored one.
    pub mirrored: MirroredWriter,
    #[serde(default)]
    tables: Vec<String>,
    /// What else people should know.
    #[serde(default)]
    pub note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    row: Vec<SeedRow>,
}

/// Every row, in the seeds' order.
///
/// # Panics
/// Never: the list is the same in every run, and the tests read it.
pub fn seed_rows() -> Vec<SeedRow> {
    let source: Source = toml::from_str(include_str!("seed_rows.toml")).expect("the list is part of the program");
    source.row
}

impl SeedRow {
    /// The tables that hold it, with their type: the row's, unless the design gives the table a narrower one.
    pub fn tables(&self) -> impl Iterator<Item = (&str, DataType)> {
        self.tables.iter().map(|table| match table.split_once(':') {
            Some((name, "name")) => (name, DataType::Name),
            Some((name, "new_user")) => (name, DataType::NewUser),
            Some((name, _)) => (name, self.data_type),
            None => (table.as_str(), self.data_type),
        })
    }

    /// Whether no table of it is known.
    pub fn is_without_table(&self) -> bool {
        self.tables.is_empty()
    }
}
