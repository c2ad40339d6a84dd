//! Rules that neither the compiler nor clippy knows: which file may name which crate, what stays pure, how long a file
//! gets, which words are not names. `cargo xtask tidy` prints what breaks them; a test below keeps `cargo test` honest.
//!
//! A rule is a function from the [`Tree`] to its findings, with a test that shows it failing on a made-up example.

mod boundaries;
mod dependencies;
mod golden;
mod markdown;
mod names;
mod purity;
mod rust_code;
mod shape;
mod tree;

use std::fmt;
use std::path::Path;

use anyhow::{Result, bail};

use self::tree::Tree;
use crate::workspace;

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    file: String,
    /// The first line is 1; 0 means the file as a whole.
    line: usize,
    /// What is wrong and what to do.
    message: String,
}

impl Finding {
    fn new(file: impl Into<String>, line: usize, message: impl Into<String>) -> Finding {
        Finding { file: file.into(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.file, self.line.max(1), self.message)
    }
}

type Rule = fn(&Tree) -> Vec<Finding>;

/// Every rule that needs nothing but the files.
const RULES: &[Rule] = &[
    boundaries::crates_are_named_only_at_home,
    boundaries::clocks_and_sleeps_live_in_clock_files,
    boundaries::randomness_lives_in_entropy_files,
    purity::pure_crates_declare_it,
    purity::pure_crates_name_no_outside_world,
    shape::rust_files_are_short,
    shape::rust_lines_are_narrow,
    shape::nothing_is_left_unfinished,
    shape::text_is_clean,
    shape::files_are_small,
    names::files_and_folders_say_what_they_hold,
    names::modules_say_what_they_hold,
    markdown::links_lead_somewhere,
    markdown::documents_can_be_found,
    markdown::ci_runs_what_the_readme_shows,
    dependencies::every_package_takes_the_shared_lints,
    dependencies::the_lock_file_keeps_its_promises,
    golden::golden_files_stay_as_they_are,
];

/// The chore: prints long files and every finding, and fails if there is a finding.
///
/// # Errors
/// When a rule is broken or the tree cannot be read.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if let Some(argument) = arguments.first() {
        bail!("tidy takes no arguments, but was given `{argument}`");
    }
    let root = workspace::root();
    let tree = Tree::read(&root)?;
    for (path, lines) in shape::long_rust_files(&tree) {
        println!("note: {path} has {lines} lines; think of splitting it before it reaches {}", shape::RUST_LINES_MAX);
    }
    let findings = findings(&root, &tree)?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy: {} rules, {} files, nothing found", RULES.len() + 1, tree.files().count());
            Ok(())
        }
        count => bail!("{count} finding(s), listed above"),
    }
}

/// What breaks a rule, in the order of files and lines.
fn findings(root: &Path, tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings: Vec<_> = RULES.iter().flat_map(|rule| rule(tree)).collect();
    findings.extend(dependencies::the_device_stays_small(&dependencies::device_packages(root)?));
    findings.sort();
    findings.dedup();
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        let root = workspace::root();
        let findings = findings(&root, &Tree::read(&root).unwrap()).unwrap();

        let listed: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "`cargo xtask tidy` finds:\n{}", listed.join("\n"));
    }

    #[test]
    fn a_finding_is_shown_as_file_and_line() {
        assert_eq!(Finding::new("src/a.rs", 3, "wrong").to_string(), "src/a.rs:3: wrong");
        assert_eq!(Finding::new("src/a.rs", 0, "wrong").to_string(), "src/a.rs:1: wrong");
    }

    /// Runs a rule over a made-up tree and compares where it finds something.
    #[track_caller]
    pub(super) fn check(rule: Rule, files: &[(&str, &str)], expected: &[(&str, usize)]) {
        let findings = rule(&Tree::of(files));
        let places: Vec<_> = findings.iter().map(|finding| (finding.file.as_str(), finding.line)).collect();
        assert_eq!(places, expected, "{findings:#?}");
    }
}
