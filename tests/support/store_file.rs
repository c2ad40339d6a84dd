//! Central's store as its file holds it: what an attack has changed, whatever central's verbs show of it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use sql::{Options, Sql as _, SqliteEngine};

/// Number in the header of central's store: "OPCS".
const APPLICATION_ID: i32 = 0x4f50_4353;
/// No schema is newer than the tests.
const SCHEMA_VERSION_MAX: u32 = 1_000_000;
/// Columns that a request may change although it changes nothing: times of contact, and the nonce that a dead token is asked for.
const NOTED: [&str; 3] = ["last_contact_ms", "last_drained_ms", "challenge"];

/// Every row of every table but the columns that are [`NOTED`], as SQL writes them, by table.
pub fn rows(central: &Path) -> BTreeMap<String, Vec<String>> {
    let options = Options::new(APPLICATION_ID, SCHEMA_VERSION_MAX).read_only();
    let mut store = SqliteEngine::open(central.join("central.sqlite"), &options).unwrap();
    let tables = texts(&mut store, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name");
    let with_rows = tables.into_iter().map(|table| {
        let columns = texts(&mut store, &format!("SELECT name FROM pragma_table_info('{table}')"));
        let shown = columns.iter().filter(|column| !NOTED.contains(&column.as_str()));
        let shown =
            shown.map(|column| format!("'{column}=' || quote({column})")).collect::<Vec<_>>().join(" || ' ' || ");
        let rows = texts(&mut store, &format!("SELECT {shown} FROM {table} ORDER BY 1"));
        (table, rows)
    });
    with_rows.collect()
}

fn texts(store: &mut SqliteEngine, sql: &str) -> Vec<String> {
    let mut texts = Vec::new();
    store
        .query(sql, &[], &mut |row| {
            texts.push(row.text(0)?.to_owned());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    texts
}
