//! The real SQLite on the disk, with everything going wrong: acknowledged transactions stay, in order.

use std::ops::ControlFlow;

use sql::{Durability, Options, Param, Sql, SqlErrorKind, SqlExt, SqliteEngine};

use super::Disk;

mod faults;
mod power;
mod survival;
mod work;

const DATABASE: &str = "site/local.db";

/// As on a device, but waiting for a lock makes no sense where nothing else runs meanwhile.
fn options() -> Options {
    Options { busy_timeout_ms: 0, ..Options::new(7, 1) }
}

fn open(disk: &Disk) -> Result<SqliteEngine, sql::SqlError> {
    SqliteEngine::open_on(&disk.vfs_name(), DATABASE, &options())
}

/// Numbers below their argument, the same for the same seed.
fn chooser(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}
