//! Where the repository lies and how a chore runs another program in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::power_cut_rig::Programs;

/// The repository's root folder.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("xtask lies two folders below the root").to_path_buf()
}

/// The cargo that runs this chore, with the root as its folder and no standard input.
pub(crate) fn cargo() -> Command {
    let mut command = crate::cargo::cargo(&root());
    command.stdin(Stdio::null());
    command
}

/// Builds both programs, each for itself as they ship, and tells where they are.
pub(crate) fn build_programs() -> Result<Programs> {
    for package in ["outpost", "central"] {
        println!("building {package} ...");
        let status = cargo().args(["build", "--quiet", "--bins", "--package", package]).status()?;
        ensure!(status.success(), "{package} could not be built");
    }
    let folder = target_folder().join("debug");
    Ok(Programs { agent: folder.join("outpost"), central: folder.join("outpost-central") })
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// git in `folder`. A clone that belongs to another user is read all the same (CI runs as root); the variables that git
/// sets for its hooks are taken away, else they would point at another repository than `folder`.
pub(crate) fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.args(["-c", "safe.directory=*"]).current_dir(folder).stdin(Stdio::null());
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end and returns what it wrote to standard output; its standard error goes through.
///
/// # Errors
/// When the program is missing, fails, or writes something else than UTF-8; the message shows the command.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("{shown} could not be started"))?;
    if !output.status.success() {
        bail!("{shown} failed: {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{shown} wrote something else than UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace_manifest() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();

        assert!(manifest.contains("[workspace]"));
    }

    #[test]
    fn what_cargo_says_of_this_package_is_not_passed_on() {
        let command = cargo();
        let removed: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();

        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR"] {
            assert!(removed.iter().any(|removed| *removed == name), "{name} is not among {removed:?}");
        }
    }

    #[test]
    fn a_failing_command_is_an_error_that_shows_the_command() {
        let error = output_of(git(&root()).args(["config", "--get", "no-such.key"])).unwrap_err();

        assert!(error.to_string().contains("no-such.key"), "{error}");
    }
}
