//! The size of the agent as it ships, held against the budget of its target in `cross/targets.toml`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use toml::Table;

use crate::memory::{Asked, Budgets};
use crate::workspace;

/// Where the budgets are written down, from the root.
const TARGETS_FILE: &str = "cross/targets.toml";
/// The key of a target's budget: the largest stripped program, in bytes; 0 for a target that has none yet.
const BUDGET_KEY: &str = "size_bytes_max";

/// The keys of what an agent of this machine's target may have in memory, in bytes, and how often it may wake up.
const DRAINED_KEY: &str = "memory_drained_bytes_max";
const BACKLOG_KEY: &str = "memory_backlog_bytes_max";
const WAKE_UPS_KEY: &str = "wake_ups_an_hour_max";

/// The chore: builds `outpost` with the profile that ships, for this machine or with `--target TRIPLE`, and prints its size
/// beside the budget. With `--memory` also what it has in memory, on this machine.
///
/// # Errors
/// When the build fails, the target has no budget, or the program is larger than it.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (target, is_cross, memory) = match arguments.as_slice() {
        [] => (host_target()?, false, None),
        ["--memory", rest @ ..] => (host_target()?, false, Some(Asked::parse(rest)?)),
        ["--target", target] => ((*target).to_owned(), true, None),
        _ => bail!(
            "usage: cargo xtask size [--target TRIPLE | --memory [--records N] [--edits N] [--agent FILE] [--central FILE]]"
        ),
    };
    let targets = std::fs::read_to_string(workspace::root().join(TARGETS_FILE))
        .with_context(|| format!("{TARGETS_FILE} could not be read"))?;
    let budget = budget_of(&targets, &target, BUDGET_KEY)?;
    let program = match memory.as_ref().and_then(|asked| asked.agent.clone()) {
        Some(program) => program,
        None => build(is_cross.then_some(target.as_str()))?,
    };
    let size = std::fs::metadata(&program).with_context(|| format!("{} is not there", program.display()))?.len();

    if let Some(asked) = memory {
        let key =
            |key| budget_of(&targets, &target, key)?.with_context(|| format!("{TARGETS_FILE}: {key} of {target} is 0"));
        let budgets = Budgets {
            drained_bytes_max: key(DRAINED_KEY)?,
            backlog_bytes_max: key(BACKLOG_KEY)?,
            wake_ups_an_hour_max: key(WAKE_UPS_KEY)?,
        };
        let central = asked.central.clone().map_or_else(build_central, Ok)?;
        asked.with(program, central).run(&budgets)?;
    }
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

/// A budget of one target; none if it is written as 0.
fn budget_of(targets: &str, target: &str, key: &str) -> Result<Option<u64>> {
    let table: Table = targets.parse().with_context(|| format!("{TARGETS_FILE} is not TOML"))?;
    let row = table.get(target).with_context(|| format!("{TARGETS_FILE} has no row for {target}; add `[{target}]`"))?;
    let budget = row.get(key).with_context(|| format!("{TARGETS_FILE} gives {target} no {key}; add it"))?;
    match budget.as_integer().map(u64::try_from) {
        Some(Ok(bytes)) => Ok(Some(bytes).filter(|bytes| *bytes > 0)),
        _ => bail!("{TARGETS_FILE} gives {target} the {key} {budget:?}; it must be a whole number"),
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

/// Builds central, with optimisation: only what it does for the agent is of interest.
fn build_central() -> Result<PathBuf> {
    let mut command = workspace::cargo();
    command.args(["build", "--locked", "--package", "central", "--bin", "outpost-central", "--release"]);
    command.arg("--message-format=json-render-diagnostics");
    program_in(&workspace::output_of(&mut command)?).context("cargo built central but named no program")
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
        assert_eq!(budget_of(TARGETS, "a-b", BUDGET_KEY).unwrap(), Some(8_000_000));
        assert_eq!(budget_of(TARGETS, "i-j", BUDGET_KEY).unwrap(), None);
    }

    #[test]
    fn a_missing_or_impossible_budget_is_refused() {
        for (target, reason) in [("c-d", "whole number"), ("e-f", "no size_bytes_max"), ("g-h", "no row")] {
            let error = format!("{:#}", budget_of(TARGETS, target, BUDGET_KEY).unwrap_err());
            assert!(error.contains(reason) && error.contains(target), "{error}");
        }
        assert!(budget_of("[targets", "a-b", BUDGET_KEY).is_err());
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
