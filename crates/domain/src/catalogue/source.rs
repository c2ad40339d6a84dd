//! Reads `catalogue.toml`.

use protocol::ids::TableRef;
use serde::Deserialize;

use super::Catalogue;
use super::table::{Condition, DataType, Parent, Table, Variant};

/// The list as it is embedded.
pub(super) const CATALOGUE_TOML: &str = include_str!("../catalogue.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    table: Vec<SourceTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceTable {
    number: u16,
    name: String,
    r#type: DataType,
    id_column: Option<String>,
    store_column: Option<String>,
    store_after: Option<String>,
    name_column: Option<String>,
    patient_column: Option<String>,
    prescriber_column: Option<String>,
    site_column: Option<String>,
    parent: Option<SourceParent>,
    #[serde(default)]
    dispensary: bool,
    merges: Option<String>,
    #[serde(default)]
    stays_with_central: bool,
    note: Option<String>,
    #[serde(default)]
    variants: Vec<SourceVariant>,
    columns: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceParent {
    table: String,
    column: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceVariant {
    column: String,
    is: Option<String>,
    is_not: Option<String>,
    #[serde(default)]
    is_missing: bool,
    r#type: DataType,
}

pub(super) fn parse_embedded() -> Catalogue {
    parse(CATALOGUE_TOML).expect("the embedded list is the same in every run, and the tests read it")
}

fn parse(text: &str) -> Result<Catalogue, String> {
    let source: Source = toml::from_str(text).map_err(|error| error.to_string())?;
    let numbers: Vec<(String, u16)> = source.table.iter().map(|table| (table.name.clone(), table.number)).collect();
    let tables = source.table.into_iter().map(|table| build(table, &numbers)).collect::<Result<_, _>>()?;
    Ok(Catalogue::from_tables(tables))
}

fn build(source: SourceTable, numbers: &[(String, u16)]) -> Result<Table, String> {
    let number_of = |name: &str| numbers.iter().find(|(known, _)| known == name).map(|(_, number)| *number);
    let mut table = Table::new(TableRef::Known(source.number), source.name, source.r#type, source.columns);
    table.is_dispensary = source.dispensary;
    table.stays_with_central = source.stays_with_central;
    table.store_column = source.store_column;
    table.store_after = source.store_after;
    table.name_column = source.name_column;
    table.patient_column = source.patient_column;
    table.prescriber_column = source.prescriber_column;
    table.site_column = source.site_column;
    table.note = source.note;
    if let Some(id_column) = source.id_column {
        table.id_column = id_column;
    }
    if let Some(parent) = source.parent {
        let number = number_of(&parent.table)
            .ok_or_else(|| format!("{} has the unknown parent {}", table.name, parent.table))?;
        table.parent = Some(Parent { table: TableRef::Known(number), column: table.column_ref(&parent.column) });
    }
    if let Some(merged) = source.merges {
        let number = number_of(&merged).ok_or_else(|| format!("{} merges the unknown {merged}", table.name))?;
        table.merges = Some(TableRef::Known(number));
    }
    for variant in source.variants {
        let condition = match (variant.is, variant.is_not, variant.is_missing) {
            (Some(text), None, false) => Condition::Is(text),
            (None, Some(text), false) => Condition::IsNot(text),
            (None, None, true) => Condition::IsMissing,
            _ => return Err(format!("a variant of {} needs one of `is`, `is_not` and `is_missing`", table.name)),
        };
        let column = table.column_ref(&variant.column);
        table.variants.push(Variant { column, condition, data_type: variant.r#type });
    }
    Ok(table)
}
