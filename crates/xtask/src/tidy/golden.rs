//! Golden files are frozen: they are only ever added to.

use std::collections::BTreeMap;

use protocol::chain::hash_of;

use super::Finding;
use super::tree::Tree;

/// Where the golden files of every format lie.
const FOLDER: &str = "tests/golden/";
/// One line a file, as `sha256sum` writes and checks them: its SHA-256, two spaces, its path from the folder.
const SUMS_FILE: &str = "tests/golden/SHA256SUMS";

/// A file that changed or went is found, and so is one without a sum.
pub(super) fn golden_files_stay_as_they_are(tree: &Tree) -> Vec<Finding> {
    let files: BTreeMap<&str, &[u8]> = tree.files().filter(|(path, _)| path.starts_with(FOLDER)).collect();
    let Some(sums) = files.get(SUMS_FILE) else {
        let is_needed = !files.is_empty();
        return is_needed.then(|| Finding::new(SUMS_FILE, 0, "is missing: golden files need it")).into_iter().collect();
    };
    let sums = String::from_utf8_lossy(sums);
    let mut listed = BTreeMap::new();
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(sums.lines()) {
        match line.split_once("  ") {
            Some((sum, name)) if listed.insert(format!("{FOLDER}{name}"), (number, sum)).is_none() => {}
            Some(_) | None => {
                findings.push(Finding::new(SUMS_FILE, number, "is no line `SHA256  PATH`, or comes twice"));
            }
        }
    }
    for (path, bytes) in files.iter().filter(|(path, _)| **path != SUMS_FILE) {
        let sum = hash_of(bytes).to_string();
        match listed.remove(*path) {
            Some((_, known)) if known == sum => {}
            Some(_) => findings.push(Finding::new(
                *path,
                0,
                "has other bytes than when its format was frozen: put them back; a change of a format is a new version with new files",
            )),
            None => {
                let name = path.strip_prefix(FOLDER).unwrap_or(path);
                findings.push(Finding::new(*path, 0, format!("has no sum; add the line `{sum}  {name}` to {SUMS_FILE}")));
            }
        }
    }
    for (path, (number, _)) in listed {
        let what =
            format!("{path} is gone: put it back, programs have to read what it shows for as long as there is any");
        findings.push(Finding::new(SUMS_FILE, number, what));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    const SUM_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_changed_a_lost_and_an_unknown_golden_file_are_found() {
        let sums = ["a", "b", "c"].map(|name| format!("{SUM_OF_ABC}  wire-1/{name}.hex\n")).concat();
        check(
            golden_files_stay_as_they_are,
            &[
                ("tests/golden/SHA256SUMS", &sums),
                ("tests/golden/wire-1/a.hex", "abc"),
                ("tests/golden/wire-1/b.hex", "abd"),
                ("tests/golden/wire-1/d.hex", "abc"),
            ],
            &[("tests/golden/wire-1/b.hex", 0), ("tests/golden/wire-1/d.hex", 0), (SUMS_FILE, 3)],
        );
    }

    #[test]
    fn a_line_that_is_none_or_comes_twice_and_a_missing_list_are_found() {
        let twice = format!("{SUM_OF_ABC}  a\n{SUM_OF_ABC}  a\nnonsense\n");
        let files = [("tests/golden/SHA256SUMS", twice.as_str()), ("tests/golden/a", "abc")];
        check(golden_files_stay_as_they_are, &files, &[(SUMS_FILE, 2), (SUMS_FILE, 3)]);
        check(golden_files_stay_as_they_are, &[("tests/golden/a", "abc")], &[(SUMS_FILE, 0)]);
        check(golden_files_stay_as_they_are, &[("src/a.rs", "")], &[]);
    }
}
