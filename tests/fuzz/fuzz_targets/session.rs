//! The agent's machine against whatever central signs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("session", bytes));
