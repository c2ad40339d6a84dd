//! The files that are made from the catalogue. `UPDATE_GOLDEN=1 cargo test -p domain` writes them anew.

use std::collections::BTreeMap;

use domain::catalogue::{Catalogue, Table};
use domain::describe::data_types_page;
use protocol::ids::TableRef;

/// Compares a file, given by its path below this crate, with what it should be.
fn is_current(path: &str, expected: &str) -> bool {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, expected).expect("the source tree can be written while its golden files are made");
    }
    std::fs::read_to_string(path).unwrap_or_default() == expected
}

/// A line: number, name, id column, columns.
fn lock_of(catalogue: &Catalogue) -> String {
    let line = |table: &Table| {
        let TableRef::Known(number) = table.reference() else { panic!("{} has no number", table.name()) };
        let start = format!("{number}|{}|{}", table.name(), table.id_column());
        table.columns().fold(start, |line, column| line + "|" + column) + "\n"
    };
    catalogue.tables().map(line).collect()
}

#[test]
fn numbers_of_tables_and_columns_never_change_their_meaning() {
    const LOCK: &str = "src/catalogue.lock";
    let kept = std::fs::read_to_string(format!("{}/{LOCK}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let now = lock_of(&Catalogue::embedded());
    let by_number: BTreeMap<&str, &str> = now.lines().filter_map(|line| line.split_once('|')).collect();
    for line in kept.lines() {
        let (number, kept) = line.split_once('|').unwrap();
        let added = by_number.get(number).and_then(|now| now.strip_prefix(kept));
        let is_added_to = added.is_some_and(|added| added.is_empty() || added.starts_with('|'));
        assert!(is_added_to, "table {number} was {kept:?}; numbers, names and columns stay, new columns go to the end");
    }
    assert!(
        is_current(LOCK, &now),
        "the catalogue has new entries; lock them with `UPDATE_GOLDEN=1 cargo test -p domain`"
    );
}

#[test]
fn the_page_in_docs_is_the_one_that_the_catalogue_gives() {
    let page = data_types_page(&Catalogue::embedded());

    assert!(
        is_current("../../docs/data-types.md", &page),
        "docs/data-types.md is old; run `UPDATE_GOLDEN=1 cargo test -p domain`"
    );
}
