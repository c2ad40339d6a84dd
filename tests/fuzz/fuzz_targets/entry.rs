//! Entries, rows, and their JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("entry", bytes));
