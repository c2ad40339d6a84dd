//! A damaged store: what is read is what was written, or an error that says that the store is damaged. Never a panic, never another
//! value, never an empty store in its place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::folder::Folder;

/// Records, of several pages in the store's file.
const RECORDS: u64 = 150;
const PAGE_BYTES: usize = 4096;

fn item(number: u64) -> Value {
    json!({"ID": format!("I{number:04}"), "item_name": format!("Item {number} {}", "x".repeat(120)), "code": number.to_string()})
}

/// A store with records, closed, so that nothing is left in its log.
fn filled() -> Folder {
    let folder = Folder::new("");
    let lines: String = (0..RECORDS)
        .map(|number| {
            let data = item(number);
            json!({"table": "item", "op": "put", "id": data["ID"], "data": data}).to_string() + "\n"
        })
        .collect();
    folder.json(&["import", "-"], &lines);
    folder
}

fn store(folder: &Folder) -> PathBuf {
    folder.path().join("central.sqlite")
}

/// Reads all records; the code of the error if that does not work.
fn records(folder: &Folder) -> Result<BTreeMap<String, Value>, String> {
    let output = folder.run(&["records", "item", "--limit", "1000", "--json"], "");
    if output.status.success() {
        let page: Value = serde_json::from_slice(&output.stdout).unwrap();
        let records = page["records"].as_array().unwrap().iter();
        return Ok(records.map(|record| (record["id"].as_str().unwrap().to_owned(), record["data"].clone())).collect());
    }
    let error: Value = serde_json::from_slice(&output.stderr)
        .unwrap_or_else(|_| panic!("it did not say why: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(output.status.code(), Some(7), "{error}");
    Err(error["error"]["code"].as_str().unwrap().to_owned())
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x08;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_flipped_bit_is_an_error_or_changes_nothing_that_is_read() {
    let folder = filled();
    let path = store(&folder);
    let whole = std::fs::read(&path).unwrap();
    let mut noticed = 0;
    for step in 0..96 {
        // Each page in turn, at another place in each; the first bytes of the file too.
        let at = if step < 6 { step * 16 + 2 } else { (step * PAGE_BYTES + step * 613 + 9) % whole.len() };
        flip(&path, at);
        match records(&folder) {
            Ok(found) => {
                for (id, data) in &found {
                    assert_eq!(*data, item(id[1..].parse().unwrap()), "byte {at}: {id} reads as something else");
                }
            }
            Err(code) => {
                let is_named = matches!(code.as_str(), "sql_corrupt" | "store_damaged" | "sql_foreign" | "sql_newer");
                assert!(is_named, "byte {at}: {code}");
                noticed += 1;
            }
        }
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
        }
        std::fs::write(&path, &whole).unwrap();
    }
    assert!(noticed > 4, "only {noticed} flips were noticed");
    assert_eq!(records(&folder).unwrap().len() as u64, RECORDS);
}

#[test]
fn a_store_that_is_cut_emptied_or_gone_is_not_replaced_by_an_empty_one() {
    for (what, expected) in [("cut", "sql_corrupt"), ("emptied", "database_missing"), ("gone", "database_missing")] {
        let folder = filled();
        let path = store(&folder);
        let length = std::fs::metadata(&path).unwrap().len();
        match what {
            "gone" => std::fs::remove_file(&path).unwrap(),
            "emptied" => std::fs::write(&path, "").unwrap(),
            _ => {
                let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
                file.set_len(length / 2).unwrap();
            }
        }

        assert_eq!(records(&folder), Err(expected.to_owned()), "{what}");
        let (exit, _) =
            folder.failure(&["import", "-"], "{\"table\":\"unit\",\"op\":\"put\",\"id\":\"U\",\"data\":{}}\n");
        assert_eq!(exit, 7, "{what}: nothing may be written into it");
        assert!(!path.exists() || std::fs::metadata(&path).unwrap().len() < length, "{what}");
    }
}

#[test]
fn a_log_that_is_gone_takes_what_was_in_it_and_nothing_else_reads_differently() {
    let folder = filled();
    let server = folder.serve();
    let new = json!({"ID": "NEW", "item_name": "in the log"});
    let line = json!({"table": "item", "op": "put", "id": "NEW", "data": new}).to_string() + "\n";
    folder.json(&["import", "-"], &line);
    server.kill_now();
    let log = PathBuf::from(format!("{}-wal", store(&folder).display()));
    let bytes = std::fs::read(&log).unwrap();
    for at in [4, 32 + 8, 32 + 24 + 500, bytes.len() - 100] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&log, &damaged).unwrap();
        let copy = Folder::new("");
        for name in ["central.sqlite", "central.sqlite-wal", "central.key"] {
            std::fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
        }

        let found = records(&copy).unwrap();

        for (id, data) in &found {
            let right = if id == "NEW" { new.clone() } else { item(id[1..].parse().unwrap()) };
            assert_eq!(*data, right, "byte {at}: {id}");
        }
        assert!(found.len() as u64 >= RECORDS, "byte {at}: {} records", found.len());
    }
}
