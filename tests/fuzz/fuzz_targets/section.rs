//! Bytes of a stream, cut into sections whatever the pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("section", bytes));
