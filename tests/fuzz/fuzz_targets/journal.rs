//! A journal on a disk that was altered.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("journal", bytes));
