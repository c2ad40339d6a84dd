//! Which files may name a crate, a clock or a random source.

use super::Finding;
use super::tree::Tree;

/// A crate that stays behind one wall.
struct CrateHome {
    /// As it is written in code.
    name: &'static str,
    /// A file, or a folder with its `/` at the end.
    home: &'static str,
    /// What the others use instead.
    instead: &'static str,
}

const CRATE_HOMES: &[CrateHome] = &[
    CrateHome { name: "sled", home: "src/journal/sled_storage.rs", instead: "the journal's storage trait" },
    CrateHome { name: "rusqlite", home: "crates/sql/src/sqlite.rs", instead: "the traits of crates/sql" },
    CrateHome { name: "ureq", home: "src/transport/", instead: "the transport" },
    CrateHome { name: "zstd_safe", home: "crates/codec/", instead: "protocol's codec trait" },
];

/// What reads a clock or waits on one.
const CLOCK_CALLS: &[&[&str]] = &[&["SystemTime", "now"], &["Instant", "now"], &["thread", "sleep"]];

/// The clocks of the programs; support code of tests may wait, the tests themselves may not. See also `is_support`.
const CLOCK_FILES: &[&str] = &["src/clock.rs", "crates/central/src/clock.rs", "crates/simulator/src/clock.rs"];

/// A crate has one home in this repository; whoever else wants it asks the wall around it.
pub(super) fn crates_are_named_only_at_home(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    tree.for_each_rust_file(|file, _, paths| {
        for CrateHome { name, home, instead } in CRATE_HOMES {
            if file == *home || (home.ends_with('/') && file.starts_with(home)) {
                continue;
            }
            for path in paths.iter().filter(|path| path.names_crate(name)) {
                let message = format!("names the crate `{name}`, which only {home} may do; go through {instead}");
                findings.push(Finding::new(file, path.line, message));
            }
        }
    });
    findings
}

/// Time is an argument everywhere but in the clock files.
pub(super) fn clocks_and_sleeps_live_in_clock_files(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    tree.for_each_rust_file(|file, _, paths| {
        if CLOCK_FILES.contains(&file) || is_support(file) {
            return;
        }
        for call in CLOCK_CALLS {
            let is_measured = measures_time(file) && call.last() == Some(&"now");
            for path in paths.iter().filter(|path| !is_measured && path.contains(call)) {
                let message = format!(
                    "uses `{}`, which only {} may do; take the time as an argument, wait on a condition with a deadline",
                    call.join("::"),
                    CLOCK_FILES.join(", ")
                );
                findings.push(Finding::new(file, path.line, message));
            }
        }
    });
    findings
}

/// Random bytes come from one file a program, so that a simulation can give its own.
pub(super) fn randomness_lives_in_entropy_files(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    tree.for_each_rust_file(|file, _, paths| {
        if file.rsplit('/').next() == Some("entropy.rs") {
            return;
        }
        for path in paths.iter().filter(|path| path.names_crate("getrandom")) {
            let message = "names `getrandom`, which only a file entropy.rs may do; take random bytes as an argument";
            findings.push(Finding::new(file, path.line, message));
        }
    });
    findings
}

/// Whether a file measures real time or drives real processes: it may read the clock, and still may not sleep.
fn measures_time(file: &str) -> bool {
    file.starts_with("benches/") || file.starts_with("tests/suite/") || file.contains("/examples/")
}

/// Whether a file is support code of tests: `tests/support/`, of the root or of a crate.
fn is_support(file: &str) -> bool {
    file.starts_with("tests/support/") || (file.starts_with("crates/") && file.contains("/tests/support/"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn a_crate_away_from_its_home_is_found() {
        check(
            crates_are_named_only_at_home,
            &[
                ("src/journal/sled_storage.rs", "use sled::Db;"),
                ("src/journal/storage.rs", "//! Not `sled::Db`.\nfn open() { sled::open() }"),
                ("src/transport/client.rs", "use ureq::Agent;"),
                ("src/transport_status.rs", "use ureq::Agent;"),
                ("crates/sql/src/sqlite.rs", "use rusqlite::Connection;"),
                ("crates/sql/src/lib.rs", "use {rusqlite, std::fmt};"),
                ("crates/codec/src/zstd.rs", "use zstd_safe::CCtx;"),
                ("src/main.rs", "use zstd_safe as zstd;"),
            ],
            &[
                ("crates/sql/src/lib.rs", 1),
                ("src/journal/storage.rs", 2),
                ("src/main.rs", 1),
                ("src/transport_status.rs", 1),
            ],
        );
    }

    #[test]
    fn a_clock_or_sleep_outside_the_clock_files_is_found() {
        check(
            clocks_and_sleeps_live_in_clock_files,
            &[
                ("src/clock.rs", "Instant::now()"),
                ("crates/central/src/clock.rs", "SystemTime::now()"),
                ("crates/simulator/src/clock.rs", "Instant::now()"),
                ("tests/support/wait.rs", "std::thread::sleep(pause)"),
                ("benches/rate.rs", "let begin = std::time::Instant::now();"),
                ("tests/suite/kills.rs", "let begin = std::time::Instant::now();\nstd::thread::sleep(pause)"),
                ("crates/sql/tests/support/wait.rs", "std::thread::sleep(pause)"),
                ("src/service/loop.rs", "use std::thread::{self, sleep};"),
                ("src/service/clock.rs", "std::time::Instant::now()"),
                ("tests/sync.rs", "\nthread::sleep(a)"),
                ("crates/sql/src/lib.rs", "let now: fn() -> SystemTime = SystemTime::now;"),
                ("src/status.rs", "fn age(now: Instant, since: SystemTime) {}"),
            ],
            &[
                ("crates/sql/src/lib.rs", 1),
                ("src/service/clock.rs", 1),
                ("src/service/loop.rs", 1),
                ("tests/suite/kills.rs", 2),
                ("tests/sync.rs", 2),
            ],
        );
    }

    #[test]
    fn randomness_outside_an_entropy_file_is_found() {
        check(
            randomness_lives_in_entropy_files,
            &[
                ("src/entropy.rs", "getrandom::fill(bytes)"),
                ("src/device/key.rs", "getrandom::fill(bytes)"),
                ("src/not_entropy.rs", "use getrandom::fill;"),
            ],
            &[("src/device/key.rs", 1), ("src/not_entropy.rs", 1)],
        );
    }
}
