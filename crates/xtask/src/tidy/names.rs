//! Names that say nothing about what they hold.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::Tree;

/// Words that fit anything, and so end up holding everything.
const EMPTY_WORDS: &[&str] =
    &["util", "utils", "utility", "utilities", "helper", "helpers", "manager", "managers", "misc", "common"];

/// A file or folder is called after what is in it.
pub(super) fn files_and_folders_say_what_they_hold(tree: &Tree) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for (file, _) in tree.files() {
        for (end, _) in file.match_indices('/').chain([(file.len(), "")]) {
            let path = &file[..end];
            let name = path.rsplit('/').next().unwrap_or(path);
            if let Some(word) = empty_word(name).filter(|_| seen.insert(path)) {
                findings.push(Finding::new(
                    path,
                    0,
                    format!("is named `{word}`, which fits anything; say what it holds"),
                ));
            }
        }
    }
    findings
}

/// So is a module, also one that has no file of its own.
pub(super) fn modules_say_what_they_hold(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    tree.for_each_rust_file(|file, tokens, _| {
        for window in tokens.windows(2) {
            let [keyword, name] = window else { continue };
            if let Some(word) = empty_word(name.text).filter(|_| keyword.text == "mod") {
                let message = format!("names a module `{word}`, which fits anything; say what it holds");
                findings.push(Finding::new(file, name.line, message));
            }
        }
    });
    findings
}

/// The first empty word in a name made of words.
fn empty_word(name: &str) -> Option<&str> {
    name.split(['_', '-', '.']).find(|word| EMPTY_WORDS.contains(&word.to_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn an_empty_name_of_a_file_or_folder_is_found_once() {
        check(
            files_and_folders_say_what_they_hold,
            &[
                ("docs/Misc.md", ""),
                ("src/journal/segment.rs", ""),
                ("src/sync_manager.rs", ""),
                ("src/utils/a.rs", ""),
                ("src/utils/b.rs", ""),
                ("tests/helpers.rs", ""),
                ("tests/commonplace.rs", ""),
            ],
            &[("docs/Misc.md", 0), ("src/sync_manager.rs", 0), ("src/utils", 0), ("tests/helpers.rs", 0)],
        );
    }

    #[test]
    fn an_empty_name_of_a_module_is_found() {
        check(
            modules_say_what_they_hold,
            &[("a.rs", "mod segment;\npub(crate) mod test_utils {}\n// mod misc\nfn helper() {}")],
            &[("a.rs", 2)],
        );
    }
}
