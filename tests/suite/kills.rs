//! kill -9, again and again: no acknowledged edit is lost, none is doubled (invariants 1 and 3).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::corpus::{Numbers, edits};
use crate::sync::{STORE_TABLES, central_with_sites, same_records};

/// Kills of each kind.
const KILLS: u64 = 50;

fn stock_line(store: &str, number: u64) -> Value {
    json!({"table": "item_line", "op": "put", "id": format!("KILL-{number:06}"),
           "data": {"ID": format!("KILL-{number:06}"), "store_ID": store, "quantity": number, "note": "recorded before a kill"}})
}

/// Records edits one after the other through the daemon's socket until the daemon is gone; the numbers that were acknowledged.
fn record_until_gone(socket: &std::path::Path, store: &str, next: &mut u64) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    loop {
        let number = *next;
        *next += 1;
        let Ok(mut stream) = UnixStream::connect(socket) else { return acknowledged };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
        let body = format!("{}\n", stock_line(store, number));
        let request =
            format!("POST /v0/record HTTP/1.1\r\nHost: agent\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let mut reply = String::new();
        if stream.write_all(request.as_bytes()).is_err() || stream.read_to_string(&mut reply).is_err() {
            return acknowledged;
        }
        let is_recorded = reply.lines().any(|line| line.contains("\"result\"") && line.contains("\"recorded\":1"));
        if !is_recorded {
            return acknowledged;
        }
        acknowledged.push(number);
    }
}

#[test]
fn killing_the_agent_while_it_records_loses_no_acknowledged_edit_and_doubles_none() {
    let (central, data) = central_with_sites(5, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    let mut numbers = Numbers::new(11);
    let (mut next, mut acknowledged) = (0, Vec::new());
    for _ in 0..KILLS {
        agent.start();
        let socket = agent.data().join("agent.sock");
        let wait = Duration::from_millis(numbers.below(60));
        std::thread::scope(|scope| {
            let store = &data.stores[0];
            let next = &mut next;
            let recording = scope.spawn(move || record_until_gone(&socket, store, next));
            let until = Instant::now() + wait;
            while Instant::now() < until {
                std::thread::yield_now();
            }
            agent.kill();
            acknowledged.extend(recording.join().unwrap());
        });
    }
    assert!(acknowledged.len() > 50, "only {} edits were acknowledged", acknowledged.len());

    let here = agent.records("item_line");
    for number in &acknowledged {
        assert!(here.contains_key(&format!("KILL-{number:06}")), "edit {number} was acknowledged and is not there");
    }
    let synced = agent.settle();
    assert_eq!(synced["sent"], here.len(), "each edit is one entry, none twice");
    same_records(&central, &agent, &["item_line"]);
}

#[test]
fn killing_the_agent_while_it_records_a_file_is_healed_by_the_same_command() {
    let (central, data) = central_with_sites(20, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let lines = edits(&data.stores[0], &data.items, &data.names, 3000, 5);
    let file = agent.file("edits.ndjson", &lines);
    let mut numbers = Numbers::new(12);
    for _ in 0..10 {
        let mut command = agent.command(&["record", "--file", file.to_str().unwrap()]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_millis(20 + numbers.below(400));
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let _ = child.kill();
        child.wait().unwrap();
    }
    agent.ok(&["record", "--file", file.to_str().unwrap()]);
    agent.settle();
    same_records(&central, &agent, &STORE_TABLES);

    // What a device that was never killed has.
    let (calm_central, _) = central_with_sites(20, &["north"]);
    let calm = Agent::initialised(&calm_central, "north");
    calm.record(&lines);
    for table in STORE_TABLES {
        assert_eq!(calm.records(table), agent.records(table), "{table}");
    }
}

#[test]
fn killing_central_while_it_receives_loses_nothing_and_doubles_nothing() {
    let (mut central, data) = central_with_sites(20, &["north"]);
    let agent = Agent::initialised(&central, "north");
    let mut numbers = Numbers::new(13);
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..KILLS {
        let mut lines = String::new();
        for number in round * 40..(round + 1) * 40 {
            expected.insert(format!("KILL-{number:06}"), number);
            lines += &stock_line(&data.stores[0], number).to_string();
            lines.push('\n');
        }
        agent.record(&lines);
        agent.set_url(&central.url());
        let mut child = agent.command(&["sync"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_millis(numbers.below(80));
        while Instant::now() < until {
            std::thread::yield_now();
        }
        central.kill();
        central.start();
        let mut output = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut output).unwrap();
        let _ = child.kill();
        child.wait().unwrap();
    }
    agent.set_url(&central.url());
    agent.settle();

    let there = central.records("item_line");
    assert_eq!(there.len(), expected.len());
    for (id, number) in expected {
        assert_eq!(there[&id]["quantity"], number);
    }
    same_records(&central, &agent, &["item_line"]);
    assert_eq!(central.json(&["status"])["set_aside"], 0);
}
