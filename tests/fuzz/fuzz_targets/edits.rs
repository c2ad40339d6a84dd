//! Lines of edits, as an application hands them over.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("edits", bytes));
