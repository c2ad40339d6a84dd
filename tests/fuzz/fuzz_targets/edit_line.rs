//! A line of a file of edits, as an application hands it over.
#![no_main]

use domain::catalogue::Catalogue;
use domain::edit::Edit;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    let Ok(edit) = Edit::parse(line) else { return };
    let catalogue = Catalogue::embedded();
    if let Ok(table) = catalogue.table_by_name(&edit.table) {
        let _ = edit.operation(table, None);
    }
});
