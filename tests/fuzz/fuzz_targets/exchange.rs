//! Central's machine against whatever a device signs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("exchange", bytes));
