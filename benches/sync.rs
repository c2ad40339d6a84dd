//! What a sync costs: bytes on the wire for each edit and each record, and how many of them a second go up and down over
//! loopback. Real programs in real processes; the times hold for this machine and run alone, so each rate stands beside what
//! SQLite needs to insert as many rows in one transaction in the same run.
//!
//! Arguments: a file of central data, a file of edits and the store that makes them, as NDJSON; without them, built-in records.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]
#![expect(clippy::disallowed_methods, reason = "a measurement is of real time")]
#![expect(clippy::print_stdout, reason = "a benchmark reports")]
#![expect(unreachable_pub, dead_code, reason = "the same support serves the tests")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use sql::{Durability, Options, Sql as _, SqliteEngine};
use support::agent::Agent;
use support::central::Central;
use support::corpus::{central_data, edits};
use support::link::{Link, Mood};
use tempfile::TempDir;

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (central_lines, edit_lines, store) = if let [central, edits, store] = arguments.as_slice() {
        (std::fs::read_to_string(central).unwrap(), std::fs::read_to_string(edits).unwrap(), store.clone())
    } else {
        let (items, count) = if is_test { (50, 200) } else { (5000, 50_000) };
        let data = central_data(items, 4);
        (data.lines.clone(), edits(&data.stores[0], &data.items, &data.names, count, 1), data.stores[0].clone())
    };
    let central = Central::with_data(&central_lines);
    central.add_site("bench", &[&store]);
    let link = Link::to(central.address(), Mood::Good);
    let agent = Agent::new(&link.url());
    agent.enrol(&central, "bench");

    let (rows, seconds, bytes) = timed(&link, || agent.json(&["initialise"])["stored"].as_u64().unwrap());
    report("records pulled", rows, seconds, bytes.1, inserted(&central_lines));

    let begin = Instant::now();
    let recorded = agent.record(&edit_lines)["recorded"].as_u64().unwrap();
    let recording = begin.elapsed();
    println!("{recorded} entries recorded from {} lines in {recording:.2?}", edit_lines.lines().count());

    let (sent, seconds, bytes) = timed(&link, || agent.json(&["sync"])["sent"].as_u64().unwrap());
    assert_eq!(sent, recorded);
    report("entries pushed", sent, seconds, bytes.0, inserted(&edit_lines));

    let (_, seconds, bytes) = timed(&link, || agent.json(&["sync"])["sent"].as_u64().unwrap());
    println!(
        "a quiet sync: {} bytes up, {} down with HTTP's own, {seconds:.2?} with the start of the program",
        bytes.0, bytes.1
    );
}

/// What it gave, how long it took, and the bytes up and down meanwhile.
fn timed(link: &Link, work: impl FnOnce() -> u64) -> (u64, Duration, (u64, u64)) {
    let (before, begin) = (link.bytes(), Instant::now());
    let count = work();
    let after = link.bytes();
    (count, begin.elapsed(), (after.0 - before.0, after.1 - before.1))
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
fn report(what: &str, count: u64, time: Duration, bytes: u64, peer: f64) {
    let rate = count as f64 / time.as_secs_f64();
    println!(
        "{count} {what} in {time:.2?}: {rate:.0}/s, {:.3} of SQLite's inserts in one transaction ({peer:.0}/s); {:.1} bytes each",
        rate / peer,
        bytes as f64 / count as f64
    );
}

/// Rows a second that SQLite inserts in one durable transaction: the peer.
#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
fn inserted(lines: &str) -> f64 {
    let folder = TempDir::new().unwrap();
    let mut engine = SqliteEngine::open(folder.path().join("peer.sqlite"), &Options::new(1, 1)).unwrap();
    engine.begin(Durability::Full).unwrap();
    engine.execute_script("CREATE TABLE line (number {bigint} PRIMARY KEY, data {text} NOT NULL) {table}").unwrap();
    let begin = Instant::now();
    let mut count = 0_i64;
    for line in lines.lines() {
        count += 1;
        engine.execute("INSERT INTO line (number, data) VALUES (?1, ?2)", &[count.into(), line.into()]).unwrap();
    }
    engine.commit().unwrap();
    count as f64 / begin.elapsed().as_secs_f64()
}
