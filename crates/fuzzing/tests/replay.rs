//! The committed corpus, through the same functions as the fuzzer's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use fuzzing::TARGETS;

/// The whole corpus, in bytes: a clone stays small.
const CORPUS_BYTES_MAX: u64 = 1024 * 1024;

fn fuzz_folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz"))
}

fn names_in(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(fuzz_folder().join(folder)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_target_takes_its_whole_corpus() {
    for target in TARGETS {
        let folder = fuzz_folder().join("corpus").join(target.name);
        let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{} has no corpus", target.name);
        for file in files {
            let bytes = fs::read(&file).unwrap();
            let result = std::panic::catch_unwind(|| (target.run)(&bytes));
            assert!(result.is_ok(), "{} fails; its panic stands above", file.display());
        }
    }
}

#[test]
fn each_target_has_its_fuzzer_and_its_corpus_and_there_are_no_others() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let fuzzers: BTreeSet<String> =
        names_in("fuzz_targets").iter().map(|name| name.trim_end_matches(".rs").to_owned()).collect();
    let manifest = fs::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap();

    assert_eq!(fuzzers, targets);
    assert_eq!(names_in("corpus"), targets);
    for name in &targets {
        assert!(manifest.contains(&format!("\nname = \"{name}\"\n")), "{name} is not in the manifest");
        let fuzzer = fs::read_to_string(fuzz_folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(fuzzer.contains(&format!("fuzzing::run(\"{name}\", bytes)")), "{name} runs something else");
    }
}

#[test]
fn the_corpus_stays_small() {
    let files = TARGETS.iter().flat_map(|target| fs::read_dir(fuzz_folder().join("corpus").join(target.name)).unwrap());
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();

    assert!(bytes <= CORPUS_BYTES_MAX, "{bytes} bytes; minimise it (tests/fuzz/README.md)");
}

#[test]
fn no_bytes_at_all_and_a_run_of_each_byte_are_taken_too() {
    for target in TARGETS {
        (target.run)(&[]);
        for byte in 0..=u8::MAX {
            (target.run)(&[byte; 40]);
        }
    }
}
