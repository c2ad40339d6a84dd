//! Documents: links that lead somewhere, documents that can be found, commands that are what CI runs.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::Tree;

const README: &str = "README.md";
const CI_SCRIPT: &str = ".ci/run";

/// Where a reader starts; every document in docs/ is linked from one of these.
const INDEXES: &[&str] = &[README, "ARCHITECTURE.md", "docs/README.md"];

/// A link to a file of the repository leads to one.
pub(super) fn links_lead_somewhere(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in tree.texts_ending(".md") {
        for (line, target) in local_links(text) {
            if !resolved(file, target).is_some_and(|path| tree.has(&path)) {
                let message = format!("links to `{target}`, which is not in the repository; mend or remove the link");
                findings.push(Finding::new(file, line, message));
            }
        }
    }
    findings
}

/// Every document right in docs/ is linked from an index. Without any index there is nowhere to look yet.
pub(super) fn documents_can_be_found(tree: &Tree) -> Vec<Finding> {
    let indexes: Vec<_> = INDEXES.iter().filter_map(|file| Some((*file, tree.text(file)?))).collect();
    if indexes.is_empty() {
        return Vec::new();
    }
    let linked: BTreeSet<_> = indexes
        .iter()
        .flat_map(|(file, text)| local_links(text).into_iter().filter_map(|(_, target)| resolved(file, target)))
        .collect();
    tree.texts_ending(".md")
        .filter(|(file, _)| file.strip_prefix("docs/").is_some_and(|name| !name.contains('/')))
        .filter(|(file, _)| !INDEXES.contains(file) && !linked.contains(*file))
        .map(|(file, _)| Finding::new(file, 0, format!("is not linked from {}; link it", INDEXES.join(", "))))
        .collect()
}

/// The test command that the README shows is the one that CI runs, to the letter.
pub(super) fn ci_runs_what_the_readme_shows(tree: &Tree) -> Vec<Finding> {
    let (Some(readme), Some(script)) = (tree.text(README), tree.text(CI_SCRIPT)) else {
        return Vec::new();
    };
    let commands: Vec<_> = lines_of_code(readme).filter(|(_, line)| line.starts_with("cargo test")).collect();
    if commands.is_empty() {
        return vec![Finding::new(
            README,
            0,
            "shows no command that runs all tests; add `cargo test ...` in a code block",
        )];
    }
    let runs =
        |command: &str| script.lines().map(str::trim).any(|line| !line.starts_with('#') && line.ends_with(command));
    commands
        .into_iter()
        .filter(|(_, command)| !runs(command))
        .map(|(line, command)| {
            let message = format!("shows `{command}`, but {CI_SCRIPT} does not run that; write both the same");
            Finding::new(README, line, message)
        })
        .collect()
}

/// Targets of the links to files of the repository, with their lines; anchors within the document are left out.
fn local_links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    for (number, line, _) in classified(text).filter(|(_, _, is_code)| !is_code) {
        // Every second piece between backquotes is code.
        for prose in line.split('`').step_by(2) {
            links.extend(
                prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()).map(|to| (number, to)),
            );
        }
        if line.starts_with('[') {
            links.extend(line.split_once("]: ").map(|(_, target)| (number, target.trim())));
        }
    }
    links.retain(|(_, target)| !target.starts_with('#') && !target.starts_with("mailto:") && !target.contains("://"));
    links
}

/// The path from the root that a link in `file` means; none if it leaves the repository.
fn resolved(file: &str, target: &str) -> Option<String> {
    let target = target.split('#').next().unwrap_or(target);
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    let relative = target.strip_prefix('/').inspect(|_| parts.clear()).unwrap_or(target);
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Lines inside fenced code, trimmed, a prompt taken off.
fn lines_of_code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    classified(text)
        .filter(|(_, _, is_code)| *is_code)
        .map(|(number, line, _)| (number, line.trim().trim_start_matches("$ ")))
}

/// Each line with its number and whether it is inside fenced code (the fences included).
fn classified(text: &str) -> impl Iterator<Item = (usize, &str, bool)> {
    let mut is_inside = false;
    text.lines().enumerate().map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_inside ^= is_fence;
        (index + 1, line, is_inside || is_fence)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn a_dead_link_is_found() {
        check(
            links_lead_somewhere,
            &[
                (
                    "README.md",
                    "[a](docs/a.md), [b](docs/b.md#part \"title\")\n[c](src/) [d](/docs/a.md)\n\n[e]: docs/e.md\n",
                ),
                (
                    "docs/a.md",
                    "[up](../README.md) [self](#part) [web](https://example.org/x)\n[out](../../shared/x.md)\n",
                ),
                ("docs/c.md", "`[code](nowhere)`\n```\n[code](nowhere)\n```\n![picture](picture.svg)"),
                ("src/main.rs", ""),
            ],
            &[("README.md", 1), ("README.md", 4), ("docs/a.md", 2), ("docs/c.md", 5)],
        );
    }

    #[test]
    fn a_document_without_a_link_to_it_is_found() {
        check(
            documents_can_be_found,
            &[
                ("ARCHITECTURE.md", "[a](docs/a.md#top)"),
                ("docs/README.md", "[b](b.md)"),
                ("docs/a.md", ""),
                ("docs/b.md", ""),
                ("docs/c.md", "[c](c.md)"),
                ("docs/decisions/0001-first.md", ""),
            ],
            &[("docs/c.md", 0)],
        );
        check(documents_can_be_found, &[("docs/c.md", "")], &[]);
    }

    #[test]
    fn a_test_command_that_ci_does_not_run_is_found() {
        let readme = "Tests:\n\n```sh\n$ cargo test --workspace\n```\n";

        check(
            ci_runs_what_the_readme_shows,
            &[(README, readme), (CI_SCRIPT, "step tests cargo test --workspace\n")],
            &[],
        );
        check(
            ci_runs_what_the_readme_shows,
            &[(README, readme), (CI_SCRIPT, "# cargo test --workspace\ncargo test --workspace --lib\n")],
            &[(README, 4)],
        );
        check(ci_runs_what_the_readme_shows, &[(README, "`cargo test`"), (CI_SCRIPT, "cargo test")], &[(README, 0)]);
        check(ci_runs_what_the_readme_shows, &[(README, readme)], &[]);
    }
}
