//! A program of its own with one test: SQLite's random numbers are one source for a whole program.

use simulator::disk::{Disk, DiskImage, seed_sqlite};
use sql::{Durability, Options, Param, Sql, SqlExt, SqliteEngine};

/// Commits until the power goes, twice over, and starts again after each cut.
fn run(seed: u32) -> (DiskImage, u64) {
    seed_sqlite(seed);
    let disk = Disk::new(seed.into());
    disk.set_wall_ms(1_700_000_000_000);
    let mut state = u64::from(seed);
    let mut choose = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    for cut_after in [70, 90] {
        disk.crash_at(cut_after);
        if let Ok(mut engine) = SqliteEngine::open_on(&disk.vfs_name(), "a.db", &Options::new(7, 1)) {
            let mut number = 0;
            while !disk.is_off() {
                number += 1;
                let _ = engine.in_transaction(Durability::Full, |sql| {
                    sql.execute_script("CREATE TABLE IF NOT EXISTS t (id {bigint} PRIMARY KEY, body {blob}) {table};")?;
                    let params = [Param::Integer(number), Param::Blob(&[7; 900])];
                    sql.execute("INSERT INTO t VALUES (?1, ?2) ON CONFLICT DO NOTHING", &params)
                });
            }
        }
        disk.restart(&mut choose);
    }
    (disk.snapshot(), disk.calls())
}

#[test]
fn the_same_seed_leaves_the_same_bytes() {
    let first = run(11);

    assert!(first == run(11), "the same seed");
    assert!(first.0 != run(12).0, "another seed has other salts in its log");
    assert!(first.0.0.values().any(|bytes| bytes.len() > 8192));
}
