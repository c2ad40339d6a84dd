//! The wire format, version 1, as bytes in `tests/golden/wire-1`: each file decodes to the value below, and the value encodes to
//! the file. `UPDATE_GOLDEN=1 cargo test -p codec` writes files that are missing and never changes one that is there.

#![expect(clippy::unwrap_used, reason = "every function here is the body of a test or a part of one")]

#[path = "../../../tests/support/golden.rs"]
#[expect(unreachable_pub, reason = "shared with the tests of other crates")]
mod golden_files;
mod samples;

use std::collections::BTreeSet;

const FOLDER: &str = "wire-1";

#[test]
fn every_golden_file_decodes_to_its_value_and_comes_out_as_the_same_bytes() {
    for sample in samples::all() {
        let name = format!("{FOLDER}/{}", sample.name);
        let take = if sample.is_encoding_fixed { golden_files::same } else { golden_files::stored };
        (sample.check)(&take(&name, sample.comment, &sample.bytes));
    }
}

#[test]
fn every_golden_file_has_its_value() {
    let named: BTreeSet<String> = samples::all().iter().map(|sample| format!("{}.hex", sample.name)).collect();
    let files = std::fs::read_dir(golden_files::folder(FOLDER)).into_iter().flatten();
    let stored: BTreeSet<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();

    assert_eq!(stored.difference(&named).collect::<Vec<_>>(), Vec::<&String>::new());
}
