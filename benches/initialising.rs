//! What it costs to initialise a site over a distant link: time, bytes and the agent's peak memory. Real programs in real processes, a
//! round trip of 300 ms in between; the times hold for this machine and run alone, so the time stands beside what the round trips alone
//! take, and beside the same over loopback.
//!
//! Arguments: a file of central data as NDJSON, and a store in it; without them, built-in records.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]
#![expect(clippy::disallowed_methods, reason = "a measurement is of real time")]
#![expect(clippy::print_stdout, reason = "a benchmark reports")]
#![expect(unreachable_pub, dead_code, reason = "the same support serves the tests")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::Stdio;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::agent::Agent;
use support::central::Central;
use support::corpus::central_data;
use support::link::{Link, Mood};

/// Half of the round trip, in milliseconds.
const ONE_WAY_MS: u64 = 150;
/// Time between two looks at the agent's memory.
const LOOK: Duration = Duration::from_millis(5);

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (lines, store) = if let [central, store] = arguments.as_slice() {
        (std::fs::read_to_string(central).unwrap(), store.clone())
    } else {
        let data = central_data(if is_test { 50 } else { 26_000 }, 4);
        (data.lines.clone(), data.stores[0].clone())
    };
    let central = Central::with_data(&lines);
    let near = initialise(&central, "near", &[&store], Mood::Good);
    let far = initialise(&central, "far", &[], Mood::Distant { one_way_ms: ONE_WAY_MS });
    let round_trips = Duration::from_millis(2 * ONE_WAY_MS) * u32::try_from(far.requests).unwrap();
    println!(
        "beside loopback: {:.2} times; the round trips of its requests alone: {round_trips:.2?}",
        far.time.as_secs_f64() / near.time.as_secs_f64()
    );
}

struct Measured {
    time: Duration,
    requests: u64,
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
fn initialise(central: &Central, name: &str, stores: &[&str], mood: Mood) -> Measured {
    central.add_site(name, stores);
    let link = Link::to(central.address(), Mood::Good);
    let agent = Agent::new(&link.url());
    agent.enrol(central, name);
    link.set(mood);
    let (before, begin) = (link.bytes(), Instant::now());
    let mut child = agent.command(&["initialise", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    // Ends with the process, which closes its end.
    let output = child.stdout.take().unwrap();
    let (sender, printed) = channel();
    let reader = std::thread::spawn(move || sender.send(std::io::read_to_string(output).unwrap()));
    let (id, mut peak_kib) = (child.id(), 0);
    let output = loop {
        peak_kib = peak_kib.max(high_water_kib(id).unwrap_or(0));
        match printed.recv_timeout(LOOK) {
            Ok(output) => break output,
            Err(error) => assert_eq!(error, RecvTimeoutError::Timeout),
        }
    };
    let (time, after) = (begin.elapsed(), link.bytes());
    reader.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success(), "{name}: {output}");
    let result: Value = serde_json::from_str(&output).unwrap();
    let (records, requests) = (result["stored"].as_u64().unwrap(), result["requests"].as_u64().unwrap());
    println!(
        "{name}: {records} records in {time:.2?} and {requests} requests, {} bytes up and {} down ({:.1} a record), peak memory {} KiB",
        after.0 - before.0,
        after.1 - before.1,
        (after.1 - before.1) as f64 / records.max(1) as f64,
        peak_kib
    );
    Measured { time, requests }
}

/// The most that a process ever had in memory, in KiB.
fn high_water_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
}
