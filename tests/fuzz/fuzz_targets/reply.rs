//! A whole reply into the agent's machine.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("reply", bytes));
