//! Files that are encrypted under a passphrase.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("sealed", bytes));
