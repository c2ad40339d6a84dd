//! Tables that a configuration declares because mSupply's list does not have them.

use std::fmt;

use protocol::ids::TableRef;
use protocol::limits;
use serde::Deserialize;

use super::Catalogue;
use super::table::{DataType, Parent, Table};

/// A table from the configuration. Its columns travel by name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredTable {
    /// 1 to [`limits::TABLE_NAME_BYTES_MAX`] bytes; must not begin with `#`.
    pub name: String,
    /// `store`, `central` or `local`.
    pub r#type: DataType,
    /// The key of the record's id inside its data; `ID` if it is not given.
    #[serde(default)]
    pub id_column: Option<String>,
    /// The column with the record's store. A store table needs this or a parent, or has both.
    #[serde(default)]
    pub store_column: Option<String>,
    /// The header of a line.
    #[serde(default)]
    pub parent: Option<DeclaredParent>,
}

/// The header of a declared line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredParent {
    /// The header's table: mSupply's or declared, of type store.
    pub table: String,
    /// The line's column with the header's id.
    pub column: String,
}

/// A declaration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogueError {
    /// The name is empty, too long or begins with `#`.
    Name {
        /// What was declared.
        table: String,
    },
    /// mSupply or another declaration has the name, perhaps with other capitals.
    Clash {
        /// What was declared.
        table: String,
        /// What is there.
        existing: String,
    },
    /// A type that cannot be declared.
    Type {
        /// What was declared.
        table: String,
        /// Its type.
        data_type: DataType,
    },
    /// A store table without store column and parent, or a central or local table with one.
    Keys {
        /// What was declared.
        table: String,
        /// Its type.
        data_type: DataType,
    },
    /// A column's name is empty or too long, or is the id column.
    Column {
        /// What was declared.
        table: String,
        /// The column.
        column: String,
    },
    /// The parent is not there or not a store table.
    Parent {
        /// What was declared.
        table: String,
        /// Its parent.
        parent: String,
    },
    /// The parents go in a circle, or more than [`limits::PARENT_DEPTH_MAX`] deep.
    ParentDepth {
        /// Where the chain begins.
        table: String,
    },
}

impl CatalogueError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name { .. } => "declared_table_name",
            Self::Clash { .. } => "declared_table_clash",
            Self::Type { .. } => "declared_table_type",
            Self::Keys { .. } => "declared_table_keys",
            Self::Column { .. } => "declared_table_column",
            Self::Parent { .. } => "declared_table_parent",
            Self::ParentDepth { .. } => "declared_table_parent_depth",
        }
    }
}

impl fmt::Display for CatalogueError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { table } => write!(
                formatter,
                "the declared table name {table:?} must have 1 to {} bytes and must not begin with #",
                limits::TABLE_NAME_BYTES_MAX
            ),
            Self::Clash { table, existing } => {
                write!(formatter, "the declared table {table} is already there as {existing}; give it another name")
            }
            Self::Type { table, data_type } => write!(
                formatter,
                "the declared table {table} has the type {}; only store, central and local can be declared",
                data_type.as_str()
            ),
            Self::Keys { table, data_type: DataType::Store } => {
                write!(formatter, "the declared table {table} is of type store, so it needs a store_column or a parent")
            }
            Self::Keys { table, data_type } => write!(
                formatter,
                "the declared table {table} is of type {}, so it takes no store_column and no parent",
                data_type.as_str()
            ),
            Self::Column { table, column } => write!(
                formatter,
                "the declared table {table} names the column {column:?}; a column has 1 to {} bytes, does not begin with # \
                 and a key is not the id column",
                limits::COLUMN_NAME_BYTES_MAX
            ),
            Self::Parent { table, parent } => write!(
                formatter,
                "the declared table {table} has the parent {parent:?}, which is not a table of type store"
            ),
            Self::ParentDepth { table } => write!(
                formatter,
                "the parents of the declared table {table} go in a circle or more than {} deep",
                limits::PARENT_DEPTH_MAX
            ),
        }
    }
}

impl std::error::Error for CatalogueError {}

/// Checks what can be said of one declaration without the others.
pub(super) fn check_alone(catalogue: &Catalogue, source: DeclaredTable) -> Result<Table, CatalogueError> {
    let DeclaredTable { name, r#type: data_type, id_column, store_column, parent } = source;
    if name.is_empty() || name.len() > limits::TABLE_NAME_BYTES_MAX || name.starts_with('#') {
        return Err(CatalogueError::Name { table: name });
    }
    if let Some(existing) = catalogue.tables().find(|table| table.name().eq_ignore_ascii_case(&name)) {
        return Err(CatalogueError::Clash { table: name, existing: existing.name().to_owned() });
    }
    let has_keys = store_column.is_some() || parent.is_some();
    match data_type {
        DataType::Store if has_keys => {}
        DataType::Central | DataType::Local if !has_keys => {}
        DataType::Store | DataType::Central | DataType::Local => {
            return Err(CatalogueError::Keys { table: name, data_type });
        }
        _ => return Err(CatalogueError::Type { table: name, data_type }),
    }
    let mut table = Table::new(TableRef::Named(name.clone()), name, data_type, Vec::new());
    if let Some(id_column) = id_column {
        table.id_column = column(&table, id_column)?;
    }
    if let Some(store_column) = store_column {
        table.store_column = Some(key_column(&table, store_column)?);
    }
    if let Some(parent) = parent {
        let column = key_column(&table, parent.column)?;
        let reference = catalogue
            .table_by_name(&parent.table)
            .map_or(TableRef::Named(parent.table), |known| known.reference().clone());
        table.parent = Some(Parent { table: reference, column: table.column_ref(&column) });
    }
    Ok(table)
}

fn column(table: &Table, name: String) -> Result<String, CatalogueError> {
    if name.is_empty() || name.len() > limits::COLUMN_NAME_BYTES_MAX || name.starts_with('#') {
        return Err(CatalogueError::Column { table: table.name.clone(), column: name });
    }
    Ok(name)
}

fn key_column(table: &Table, name: String) -> Result<String, CatalogueError> {
    let name = column(table, name)?;
    if name == table.id_column {
        return Err(CatalogueError::Column { table: table.name.clone(), column: name });
    }
    Ok(name)
}

/// Checks that every declared line's headers exist and end.
pub(super) fn check_parents(catalogue: &Catalogue) -> Result<(), CatalogueError> {
    for table in catalogue.declared.values() {
        let mut current: &Table = table;
        let mut depth = 0;
        while let Some(parent) = current.parent() {
            depth += 1;
            if depth > limits::PARENT_DEPTH_MAX {
                return Err(CatalogueError::ParentDepth { table: table.name.clone() });
            }
            current = catalogue
                .table(&parent.table)
                .filter(|header| header.data_type() == DataType::Store)
                .ok_or_else(|| CatalogueError::Parent {
                    table: current.name.clone(),
                    parent: catalogue.table_name(&parent.table),
                })?;
        }
    }
    Ok(())
}
