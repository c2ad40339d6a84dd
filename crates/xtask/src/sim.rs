//! `cargo xtask sim`: seeds of the simulator. `--short` is CI's form; anything else goes to the simulator as it is.

use anyhow::{Result, ensure};

use crate::workspace::cargo;

/// Seeds in the short form, the same on every machine: with the regressions and the comparisons below three minutes in all on
/// two cores, at 250 seeds a minute and core.
const SHORT_RUNS: &str = "600";
/// Where they begin; others than those that a person begins with.
const SHORT_FROM: &str = "500000";
/// Every profile is run twice from one seed and compared byte for byte.
const PROFILES: [&str; 6] = ["calm", "edge", "cuts", "crash", "hostile", "healing"];
/// Seeds of links that heal, which no seed draws by itself.
const HEALING_RUNS: &str = "60";

/// Builds the simulator and runs it.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    println!("building the simulator ...");
    let status = cargo().args(["build", "--quiet", "--release", "--package", "simulator"]).status()?;
    ensure!(status.success(), "the simulator could not be built");
    if !arguments.iter().map(String::as_str).eq(["--short"]) {
        return simulate(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    }
    simulate(&["--regressions"])?;
    for profile in PROFILES {
        simulate(&["--seed", "1", "--profile", profile, "--twice"])?;
    }
    simulate(&["--from", SHORT_FROM, "--runs", HEALING_RUNS, "--profile", "healing", "--jobs", "2"])?;
    simulate(&["--from", SHORT_FROM, "--runs", SHORT_RUNS, "--jobs", "2"])
}

fn simulate(arguments: &[&str]) -> Result<()> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "--package", "simulator", "--"]).args(arguments);
    ensure!(command.status()?.success(), "simulator {} failed", arguments.join(" "));
    Ok(())
}
