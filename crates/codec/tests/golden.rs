//! The wire format, version 0, as bytes in `tests/golden/wire-0`: each file decodes to the value below, and the value encodes to
//! the file. `UPDATE_GOLDEN=1 cargo test -p codec` writes files that are missing and never changes one that is there.

#![expect(clippy::unwrap_used, reason = "every function here is the body of a test or a part of one")]

mod samples;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use samples::Sample;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/wire-0"))
}

/// A comment line, then hexadecimal digits, 32 bytes a line.
fn text_of(sample: &Sample) -> String {
    let mut text = format!("# {}\n", sample.comment);
    for line in sample.bytes.chunks(32) {
        text.extend(
            line.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|digit| char::from_digit(digit.into(), 16)),
        );
        text.push('\n');
    }
    text
}

fn bytes_of(text: &str) -> Vec<u8> {
    let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

#[test]
fn every_golden_file_decodes_to_its_value_and_comes_out_as_the_same_bytes() {
    for sample in samples::all() {
        let path = folder().join(format!("{}.hex", sample.name));
        if !path.exists() && std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(folder()).unwrap();
            fs::write(&path, text_of(&sample)).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap_or_else(|_| {
            panic!("{} is missing; `UPDATE_GOLDEN=1 cargo test -p codec` writes it", path.display())
        });
        let stored = bytes_of(&text);
        (sample.check)(&stored);
        if sample.is_encoding_fixed {
            assert!(
                stored == sample.bytes,
                "{} is encoded to other bytes than before: a format that was released never changes, a new one gets a new \
                 version. Now:\n{}",
                sample.name,
                text_of(&sample)
            );
        }
    }
}

#[test]
fn every_golden_file_has_its_value() {
    let named: BTreeSet<String> = samples::all().iter().map(|sample| format!("{}.hex", sample.name)).collect();
    let files = fs::read_dir(folder()).into_iter().flatten();
    let stored: BTreeSet<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();

    assert_eq!(stored.difference(&named).collect::<Vec<_>>(), Vec::<&String>::new());
}
