//! Not a benchmark: that a backlog goes in at a rate that the design needs. The figure of a release build is printed by
//! `cargo test --release -p central backlog -- --nocapture`.

use super::*;
use crate::clock::monotonic_ms;

/// Entries of the backlog: enough in a release build to say something, few enough in a debug build to be quick.
const ENTRIES: usize = if cfg!(debug_assertions) { 2_000 } else { 100_000 };

#[test]
fn a_backlog_of_single_edits_is_stored_judged_and_laid_out() {
    let folder = tempfile::tempdir().unwrap();
    let sql = SqliteEngine::open(folder.path().join("central.db"), &sqlite_options()).unwrap();
    let mut world = World::with(Box::new(sql), StoreLimits::default());
    let mut device = world.device(&["S1"]);
    for number in 0..ENTRIES {
        let header = number / 10;
        let key = format!("{:032X}", (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        if number % 10 == 0 {
            device.record(&[&format!(r#"put transact T{header} {{"store_ID":"S1","status":"nw","comment":"{key}"}}"#)]);
        } else {
            device.record(&[&format!(
                r#"put trans_line {key} {{"transaction_ID":"T{header}","item_name":"Amoxicillin 250mg","quantity":{number}}}"#
            )]);
        }
    }

    let start = monotonic_ms();
    for from in (0..ENTRIES).step_by(1000) {
        device.try_send(&mut world, from, (from + 1000).min(ENTRIES)).unwrap();
    }
    let stored = monotonic_ms() - start;
    device.push(&mut world);
    let judged = monotonic_ms() - start;
    let mut reader = Device::new(device.site, device.journal);
    reader.scopes.clone_from(&device.scopes);
    let start = monotonic_ms();
    let mut cursor = protocol::message::Cursor::default();
    let scope = domain::scope::Scope::Store(id("S1")).to_id();
    let mut rows = 0;
    loop {
        let from = protocol::message::ScopeCursor { scope: scope.clone(), cursor };
        let ask = protocol::exchange::ReadRows { from, rows_max: 1024, plain_bytes_max: 128 * 1024 };
        let page = world.store.reading().read_rows(device.site, device.journal, &ask).unwrap();
        rows += page.rows.len();
        cursor = page.cursor;
        if page.is_drained {
            break;
        }
    }
    let read = monotonic_ms() - start;

    println!(
        "{ENTRIES} entries: stored in {stored} ms, stored and judged in {judged} ms; {rows} rows read in {read} ms"
    );
    assert_eq!(device.told, []);
    assert_eq!(rows, ENTRIES);
    assert_eq!(reader.base.len(), 0);
}
