//! Manifests, the lock file and what the device is built from.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use toml::Table;

use super::Finding;
use super::tree::Tree;
use crate::workspace;

const LOCK_FILE: &str = "Cargo.lock";
const MANIFEST: &str = "Cargo.toml";

/// Packages that may not be in the build of any program, with the reason.
const BANNED_PACKAGES: &[(&str, &str)] = &[
    ("aws-lc-rs", "ring is the only TLS provider"),
    ("aws-lc-sys", "ring is the only TLS provider"),
    ("openssl", "rustls with ring is the only TLS"),
    ("openssl-sys", "rustls with ring is the only TLS"),
    ("native-tls", "rustls with ring is the only TLS"),
];

/// Packages of which two versions at once would be a mistake: two caches, two formats, two sets of C code.
const SINGLE_PACKAGES: &[&str] = &["rustls", "ring", "heapless", "sled", "rusqlite"];

/// Packages that are right on a server and too large for the device.
const SERVER_PACKAGES: &[&str] = &["tokio", "axum", "hyper", "clap", "tracing"];

/// Every package takes the lints of the workspace.
pub(super) fn every_package_takes_the_shared_lints(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in tree.texts_ending(MANIFEST).filter(|(file, _)| is_package_of_workspace(file)) {
        let manifest = match text.parse::<Table>() {
            Ok(manifest) => manifest,
            Err(error) => {
                findings.push(Finding::new(file, 0, format!("is not TOML: {}", error.message())));
                continue;
            }
        };
        let takes_lints = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"))
            .is_some_and(|workspace| workspace.as_bool() == Some(true));
        if manifest.contains_key("package") && !takes_lints {
            findings.push(Finding::new(
                file,
                0,
                "does not take the shared lints; add `[lints]` with `workspace = true`",
            ));
        }
    }
    findings
}

/// The lock file names nothing that is banned, and one version of what must be single.
pub(super) fn the_lock_file_keeps_its_promises(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.text(LOCK_FILE) else {
        return vec![Finding::new(LOCK_FILE, 0, "is not in the repository; commit it, the programs are built from it")];
    };
    let mut findings = Vec::new();
    for (name, places) in &locked_packages(text) {
        let line = places.first().copied().unwrap_or(0);
        if let Some((_, reason)) = BANNED_PACKAGES.iter().find(|(banned, _)| banned == name) {
            let message = format!("has `{name}`, but {reason}; find who brings it with `cargo tree --invert {name}`");
            findings.push(Finding::new(LOCK_FILE, line, message));
        }
        if SINGLE_PACKAGES.contains(name) && places.len() > 1 {
            let message = format!(
                "has {} versions of `{name}`, one is right; find who brings them with `cargo tree --duplicates`",
                places.len()
            );
            findings.push(Finding::new(LOCK_FILE, line, message));
        }
    }
    findings
}

/// The device's program brings nothing of a server's. The names are those of [`device_packages`].
pub(super) fn the_device_stays_small(packages: &str) -> Vec<Finding> {
    SERVER_PACKAGES
        .iter()
        .filter(|name| packages.lines().any(|line| line.split(' ').next() == Some(name)))
        .map(|name| {
            let message = format!(
                "brings `{name}` to the device, where it is too large; find who brings it with \
                 `cargo tree --package outpost --edges normal --invert {name}`"
            );
            Finding::new(MANIFEST, 0, message)
        })
        .collect()
}

/// What `outpost` is built from on this machine, one package a line, its name first.
///
/// # Errors
/// When cargo fails, for instance because the lock file is not up to date.
pub(super) fn device_packages(root: &Path) -> Result<String> {
    let arguments = ["tree", "--locked", "--package", "outpost", "--edges", "normal", "--prefix", "none"];
    workspace::output_of(workspace::cargo().current_dir(root).args(arguments))
}

/// Names in a lock file with the lines on which their versions are named.
fn locked_packages(text: &str) -> BTreeMap<&str, Vec<usize>> {
    let mut packages: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix("name = \"").and_then(|rest| rest.strip_suffix('"')) {
            packages.entry(name).or_default().push(index + 1);
        }
    }
    packages
}

/// The root's manifest and those right below crates/; others (fuzzing) are workspaces of their own.
fn is_package_of_workspace(file: &str) -> bool {
    let parts: Vec<_> = file.split('/').collect();
    matches!(parts.as_slice(), [MANIFEST] | ["crates", _, MANIFEST])
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn a_package_without_the_shared_lints_is_found() {
        check(
            every_package_takes_the_shared_lints,
            &[
                ("Cargo.toml", "[workspace]\nmembers = []\n"),
                ("crates/a/Cargo.toml", "[package]\nname = \"a\"\n[lints]\nworkspace = true\n"),
                ("crates/b/Cargo.toml", "[package]\nname = \"b\"\n# [lints]\n"),
                ("crates/c/Cargo.toml", "[package]\nname = \"c\"\n[lints.rust]\nunsafe_code = \"allow\"\n"),
                ("crates/d/Cargo.toml", "[package\n"),
                ("tests/fuzz/Cargo.toml", "[package]\nname = \"fuzz\"\n"),
            ],
            &[("crates/b/Cargo.toml", 0), ("crates/c/Cargo.toml", 0), ("crates/d/Cargo.toml", 0)],
        );
    }

    #[test]
    fn banned_and_doubled_packages_are_found() {
        let lock = "[[package]]\nname = \"aws-lc-rs\"\n\n[[package]]\nname = \"heapless\"\n\n[[package]]\nname = \"heapless\"\n\n\
                    [[package]]\nname = \"syn\"\n\n[[package]]\nname = \"syn\"\n";

        check(the_lock_file_keeps_its_promises, &[(LOCK_FILE, lock)], &[(LOCK_FILE, 2), (LOCK_FILE, 5)]);
        check(the_lock_file_keeps_its_promises, &[("src/main.rs", "")], &[(LOCK_FILE, 0)]);
    }

    #[test]
    fn a_server_on_the_device_is_found() {
        let findings =
            the_device_stays_small("outpost v0.1.0 (/work)\ntokio-like v1.0.0\nhyper v1.12.0\nlog v0.4.35 (*)\n");

        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].message.contains("`hyper`"));
    }

    #[test]
    fn the_list_of_device_packages_is_the_device_s() {
        let packages = device_packages(&workspace::root()).unwrap();

        assert!(packages.starts_with("outpost "), "{packages}");
        assert!(packages.lines().any(|line| line.starts_with("sled ")), "{packages}");
    }
}
