//! A disk without room, and a journal at its limit: edits are refused by name, nothing is torn, syncing goes on and makes room, and
//! the agent records again by itself.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::corpus::Numbers;
use crate::support::wait_until;
use crate::sync::{central_with_sites, same_records};

/// The data folder on a small file system of its own, gone when dropped.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts it in place of the agent's empty data folder; `None`, said aloud, where that cannot be done.
    #[expect(clippy::print_stderr, reason = "what was not run has to be seen")]
    fn mount(agent: &Agent, size_mib: u64) -> Option<SmallDisk> {
        let folder = agent.data();
        std::fs::create_dir_all(&folder).unwrap();
        let options = format!("size={size_mib}m,mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "outpost-test"]).arg(&folder).output();
        match mounted {
            Ok(output) if output.status.success() => Some(SmallDisk { folder }),
            Ok(output) => {
                let reason = String::from_utf8_lossy(&output.stderr).into_owned();
                eprintln!("NOT RUN: no small disk can be made on this machine (it needs root): {}", reason.trim());
                None
            }
            Err(error) => {
                eprintln!("NOT RUN: no small disk can be made on this machine: {error}");
                None
            }
        }
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Takes room until so many bytes are left, or none at all.
    fn fill_to(&self, free_bytes: u64) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.filler()).unwrap();
        let taken = vec![7_u8; usize::try_from(free(&self.folder).saturating_sub(free_bytes)).unwrap()];
        let is_taken = file.write_all(&taken).is_ok();
        if free_bytes == 0 || !is_taken {
            // To the last byte.
            while file.write_all(&[7]).is_ok() {}
        }
    }

    fn make_room(&self) {
        let _ = std::fs::remove_file(self.filler());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

fn free(folder: &Path) -> u64 {
    let output = Command::new("stat").args(["-f", "-c", "%a %S"]).arg(folder).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().map(|number| number.parse::<u64>().unwrap()).product()
}

fn limits(agent: &Agent, text: &str) {
    let mut file = File::options().append(true).open(agent.settings()).unwrap();
    writeln!(file, "[limits]\n{text}").unwrap();
}

fn stock_line(store: &str, number: u64, note: &str) -> String {
    json!({"table": "item_line", "op": "put", "id": format!("FULL-{number:06}"),
           "data": {"ID": format!("FULL-{number:06}"), "store_ID": store, "quantity": number, "note": note}})
    .to_string()
        + "\n"
}

/// Records lines; the code of their refusal, if there is one.
fn record(agent: &Agent, lines: &str) -> Result<(), String> {
    record_with_log(agent, lines).0
}

/// The same with what was logged.
fn record_with_log(agent: &Agent, lines: &str) -> (Result<(), String>, String) {
    let output = agent.run(&["record", "--file", "-", "--json"], lines);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        return (Ok(()), error);
    }
    let last = error.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
    let last = last.unwrap_or_else(|| panic!("no error of its own: {error}"));
    assert_eq!(output.status.code(), Some(7), "{last}");
    (Err(last["error"]["code"].as_str().unwrap().to_owned()), error)
}

#[test]
fn below_the_reserve_edits_are_refused_and_a_sync_goes_on_and_room_is_found_without_a_restart() {
    for is_daemon in [false, true] {
        let (central, data) = central_with_sites(10, &["north"]);
        let mut agent = Agent::new(&central.url());
        let Some(disk) = SmallDisk::mount(&agent, 48) else { return };
        limits(&agent, "disk_reserve_bytes = 16777216");
        agent.enrol(&central, "north");
        agent.ok(&["initialise"]);
        if is_daemon {
            agent.start();
        }
        let store = &data.stores[0];
        record(&agent, &stock_line(store, 0, "there was room")).unwrap();

        disk.fill_to(12 * 1024 * 1024);

        assert_eq!(record(&agent, &stock_line(store, 1, "there is none")), Err("disk_full".to_owned()));
        assert_eq!(agent.json(&["status"])["head"], 1);
        assert_eq!(agent.settle()["sent"], 1, "syncing goes on");
        disk.make_room();
        record(&agent, &stock_line(store, 2, "there is room again")).unwrap();
        assert_eq!(agent.settle()["sent"], 1);
        same_records(&central, &agent, &["item_line"]);
        assert_eq!(agent.records("item_line").len(), 2, "what was refused is not there");
        drop(agent);
        drop(disk);
    }
}

/// The disk fills up and empties while the daemon records, so that it is full in the middle of anything.
#[test]
fn a_disk_that_is_full_at_any_point_loses_nothing_that_was_acknowledged() {
    let (central, data) = central_with_sites(10, &["north"]);
    let mut agent = Agent::new(&central.url());
    let Some(disk) = SmallDisk::mount(&agent, 40) else { return };
    limits(&agent, "disk_reserve_bytes = 1048576");
    agent.enrol(&central, "north");
    agent.ok(&["initialise"]);
    agent.start();
    let store = &data.stores[0];
    let mut numbers = Numbers::new(3);
    let mut acknowledged = Vec::new();
    let mut refused = Vec::new();
    for round in 0..8 {
        // Nearly full: what is recorded now, or the log of the local copy, takes the rest.
        disk.fill_to(1_100_000 + numbers.below(600_000));
        for number in round * 10..round * 10 + 6 {
            let note = "x".repeat(1_000 + usize::try_from(numbers.below(90_000)).unwrap());
            match record(&agent, &stock_line(store, number, &note)) {
                Ok(()) => acknowledged.push(number),
                Err(code) => refused.push(code),
            }
        }
        if round % 3 == 1 {
            // Not a byte is left: even reading may fail, and nothing may be lost by it.
            disk.fill_to(0);
            refused.extend(record(&agent, &stock_line(store, round * 10 + 7, "none")).err());
        }
        disk.make_room();
        match record(&agent, &stock_line(store, round * 10 + 8, "room")) {
            Ok(()) => acknowledged.push(round * 10 + 8),
            Err(code) => panic!("round {round}: the daemon does not record again although there is room: {code}"),
        }
    }
    assert!(refused.iter().any(|code| code == "disk_full"), "{refused:?}");
    refused.retain(|code| code != "disk_full");
    assert_eq!(refused, Vec::<String>::new(), "every refusal says why");

    let here = agent.records("item_line");
    for number in &acknowledged {
        assert!(here.contains_key(&format!("FULL-{number:06}")), "edit {number} was acknowledged and is not there");
    }
    agent.settle();
    same_records(&central, &agent, &["item_line"]);
    agent.signal("TERM");
    assert_eq!(agent.wait(), 0);
    assert_eq!(agent.json(&["verify"])["outcome"], "whole");
}

#[test]
fn a_journal_near_its_limit_warns_then_refuses_and_a_sync_makes_room() {
    let (central, data) = central_with_sites(10, &["north"]);
    let agent = Agent::new(&central.url());
    limits(&agent, "journal_bytes_max = 67108864\nacknowledged_tail_bytes_max = 67108864");
    agent.enrol(&central, "north");
    agent.ok(&["initialise"]);
    let store = &data.stores[0];
    let note = "y".repeat(400_000);
    let mut levels = vec!["low".to_owned()];
    let (mut number, mut warnings) = (0, 0);
    wait_until("the journal is full", || {
        let lines: String = (number..number + 8).map(|number| stock_line(store, number, &note)).collect();
        let (outcome, log) = record_with_log(&agent, &lines);
        warnings += log.matches("the journal is filling up").count();
        number += 8;
        let status = agent.json(&["status"]);
        let level = status["journal"]["level"].as_str().unwrap().to_owned();
        if levels.last() != Some(&level) {
            levels.push(level);
        }
        match outcome {
            Ok(()) => false,
            Err(code) => {
                assert_eq!(code, "journal_full");
                true
            }
        }
    });
    assert_eq!(levels[..3], ["low", "half", "high"], "it warns before it refuses: {levels:?}");
    // The third is the limit itself, where the last lines that were taken reach it.
    assert!((2..=3).contains(&warnings), "once at each threshold, and not {warnings} times");
    assert!(agent.ok(&["status"]).contains("% of its limit"));

    let synced = agent.settle();

    assert_eq!(synced["outcome"], "drained", "a full journal sends, and stores what comes");
    record(&agent, &stock_line(store, number, "there is room again")).unwrap();
    let status = agent.json(&["status"]);
    assert!(status["journal"]["percent"].as_u64().unwrap() < 50, "{}", status["journal"]);
    assert_eq!(agent.settle()["outcome"], "drained");
    assert_eq!(agent.json(&["status"])["pending"]["edits"], 0);
}
