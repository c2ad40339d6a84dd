//! What keeps `protocol` and `domain` pure: no file, socket, clock, thread, environment or random source.

use super::Finding;
use super::rust_code::Token;
use super::tree::Tree;

/// The source folders of the pure crates.
const PURE_SOURCES: &[&str] = &["crates/protocol/src/", "crates/domain/src/"];

/// Parts of std that reach outside.
const OUTSIDE_MODULES: &[&str] = &["fs", "net", "time", "thread", "env", "process"];

/// What reaches outside under any path.
const OUTSIDE_NAMES: &[&str] = &["Instant", "SystemTime"];

/// Crates that are random sources.
const RANDOM_CRATES: &[&str] = &["rand", "getrandom"];

/// A crate's root file and an inner attribute that it must carry.
const DECLARATIONS: &[(&str, &str)] = &[
    ("crates/protocol/src/lib.rs", "#![no_std]"),
    ("crates/protocol/src/lib.rs", "#![forbid(unsafe_code)]"),
    ("crates/domain/src/lib.rs", "#![forbid(unsafe_code)]"),
];

/// The pure crates say so at their root, where the compiler holds them to it. A file without code has nothing to declare.
pub(super) fn pure_crates_declare_it(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, attribute) in DECLARATIONS {
        let Some(text) = tree.text(file) else { continue };
        let code = super::rust_code::tokens(text);
        if !code.is_empty() && !holds(&code, attribute) {
            findings.push(Finding::new(
                *file,
                1,
                format!("does not say `{attribute}`; add it below the crate's comment"),
            ));
        }
    }
    findings
}

/// Time and entropy are arguments of the pure crates; nothing in them reads a file, a socket or the environment.
pub(super) fn pure_crates_name_no_outside_world(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    tree.for_each_rust_file(|file, _, paths| {
        if !PURE_SOURCES.iter().any(|folder| file.starts_with(folder)) {
            return;
        }
        for path in paths {
            let through_std = OUTSIDE_MODULES.iter().find(|module| path.contains(&["std", **module]));
            let by_name = OUTSIDE_NAMES.iter().find(|name| path.segments.contains(*name));
            let random = RANDOM_CRATES.iter().find(|name| path.names_crate(name));
            if through_std.or(by_name).or(random).is_some() {
                let message = format!(
                    "names `{}`, but this crate is pure; take the value as an argument (a duration is core::time::Duration)",
                    path.segments.join("::")
                );
                findings.push(Finding::new(file, path.line, message));
            }
        }
    });
    findings
}

/// Whether the tokens of `wanted` stand in `code`, one after the other.
fn holds(code: &[Token<'_>], wanted: &str) -> bool {
    let wanted = super::rust_code::tokens(wanted);
    code.windows(wanted.len())
        .any(|window| window.iter().zip(&wanted).all(|(token, expected)| token.text == expected.text))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn a_missing_declaration_is_found() {
        check(
            pure_crates_declare_it,
            &[
                ("crates/protocol/src/lib.rs", "//! #![no_std]\n#![forbid(unsafe_code)]\npub mod a;"),
                ("crates/domain/src/lib.rs", "pub mod a;"),
            ],
            &[("crates/protocol/src/lib.rs", 1), ("crates/domain/src/lib.rs", 1)],
        );
    }

    #[test]
    fn declarations_that_are_there_and_files_without_code_pass() {
        check(
            pure_crates_declare_it,
            &[
                ("crates/protocol/src/lib.rs", "#![no_std]\n#![forbid( unsafe_code )]"),
                ("crates/domain/src/lib.rs", "\n"),
            ],
            &[],
        );
    }

    #[test]
    fn the_outside_world_in_a_pure_crate_is_found() {
        for source in [
            "use std::fs;",
            "use std::{fmt, net::TcpStream};",
            "std::env::var(name)",
            "std::process::exit(1)",
            "use std::thread;",
            "fn at(now: Instant) {}",
            "fn at(now: std::time::Duration) {}",
            "web::SystemTime::now()",
            "rand::random()",
            "use getrandom as entropy;",
        ] {
            check(
                pure_crates_name_no_outside_world,
                &[("crates/domain/src/rules.rs", source), ("src/main.rs", source)],
                &[("crates/domain/src/rules.rs", 1)],
            );
        }
    }

    #[test]
    fn plain_computing_in_a_pure_crate_passes() {
        let source = "use std::{fmt, string::String};\nlet time = core::time::Duration::ZERO; let rand = process(env);";

        check(pure_crates_name_no_outside_world, &[("crates/domain/src/rules.rs", source)], &[]);
    }
}
