//! The size of the agent as it ships, held against the budget of its target in `cross/targets.toml`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use toml::Table;

use crate::workspace;

/// Where the budgets are written down, from the root.
const TARGETS_FILE: &str = "cross/targets.toml";
/// The key of a target's budget: the largest stripped program, in bytes; 0 for a target that has none yet.
const BUDGET_KEY: &str = "size_bytes_max";

/// The chore: builds `outpost` with the profile that ships, for this machine or with `--target TRIPLE`, and prints its size
/// beside the budget.
///
/// # Errors
/// When the build fails, the target has no budget, or the program is larger than it.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (target, is_cross) = match arguments.as_slice() {
        [] => (host_target()?, false),
        ["--target", target] => ((*target).to_owned(), true),
        _ => bail!("usage: cargo xtask size [--target TRIPLE]"),
    };
    let targets = std::fs::read_to_string(workspace::root().join(TARGETS_FILE))
        .with_context(|| format!("{TARGETS_FILE} could not be read"))?;
    let budget = budget_of(&targets, &target)?;
    let program = build(is_cross.then_some(target.as_str()))?;
    let size = std::fs::metadata(&program).with_context(|| format!("{} is not there", program.display()))?.len();

    let Some(budget) = budget else {
        println!("{target}: {size} bytes; no budget yet, set {BUDGET_KEY} in {TARGETS_FILE}");
        return Ok(());
    };
    println!("{target}: {size} bytes of at most {budget} ({} %)", percent(size, budget));
    if size > budget {
        bail!(
            "the agent for {target} is {} bytes above its budget; make it smaller, or raise {BUDGET_KEY} in \
             {TARGETS_FILE} and say in the commit what the bytes buy",
            size - budget
        );
    }
    Ok(())
}

/// The budget of one target, in bytes; none if it is written as 0.
fn budget_of(targets: &str, target: &str) -> Result<Option<u64>> {
    let table: Table = targets.parse().with_context(|| format!("{TARGETS_FILE} is not TOML"))?;
    let row = table.get(target).with_context(|| format!("{TARGETS_FILE} has no row for {target}; add `[{target}]`"))?;
    let budget = row
        .get(BUDGET_KEY)
        .with_context(|| format!("{TARGETS_FILE} gives {target} no {BUDGET_KEY}; add it, in bytes"))?;
    match budget.as_integer().map(u64::try_from) {
        Some(Ok(bytes)) => Ok(Some(bytes).filter(|bytes| *bytes > 0)),
        _ => bail!("{TARGETS_FILE} gives {target} the {BUDGET_KEY} {budget:?}; it must be a whole number of bytes"),
    }
}

/// Builds the agent alone, so that no feature of another package leaks into it, and returns where the program lies.
pub(crate) fn build(target: Option<&str>) -> Result<PathBuf> {
    let mut command = workspace::cargo();
    command.args(["build", "--locked", "--package", "outpost", "--bin", "outpost", "--profile", "edge"]);
    command.arg("--message-format=json-render-diagnostics");
    if let Some(target) = target {
        command.args(["--target", target]);
    }
    let messages = workspace::output_of(&mut command)?;
    program_in(&messages).context("cargo built the agent but named no program; was its binary renamed?")
}

/// The program that cargo's messages say it built.
fn program_in(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
}

/// The target that this machine's compiler builds for by default.
pub(crate) fn host_target() -> Result<String> {
    let version = workspace::output_of(std::process::Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    Ok(host.to_owned())
}

/// Part of a whole, in percent, rounded up.
fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).div_ceil(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGETS: &str =
        "[a-b]\nsize_bytes_max = 8_000_000\n[c-d]\nsize_bytes_max = -1\n[e-f]\n[i-j]\nsize_bytes_max = 0\n";

    #[test]
    fn a_budget_is_read_from_its_target_s_row_and_zero_is_none() {
        assert_eq!(budget_of(TARGETS, "a-b").unwrap(), Some(8_000_000));
        assert_eq!(budget_of(TARGETS, "i-j").unwrap(), None);
    }

    #[test]
    fn a_missing_or_impossible_budget_is_refused() {
        for (target, reason) in [("c-d", "whole number"), ("e-f", "no size_bytes_max"), ("g-h", "no row")] {
            let error = format!("{:#}", budget_of(TARGETS, target).unwrap_err());
            assert!(error.contains(reason) && error.contains(target), "{error}");
        }
        assert!(budget_of("[targets", "a-b").is_err());
    }

    #[test]
    fn the_program_is_found_in_what_cargo_says() {
        let messages =
            "{\"reason\":\"compiler-artifact\",\"executable\":null}\nwarning\n{\"executable\":\"/t/edge/outpost\"}\n";

        assert_eq!(program_in(messages), Some(PathBuf::from("/t/edge/outpost")));
        assert_eq!(program_in("{\"executable\":null}"), None);
    }

    #[test]
    fn percent_is_rounded_up() {
        assert_eq!(percent(1, 1000), 1);
        assert_eq!(percent(8_000_001, 8_000_000), 101);
    }
}
