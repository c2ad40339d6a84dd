//! `cargo xtask example`: the worked example of seed 001 in front of the reader, with real programs. It is one of the tests, which prints
//! what it finds.

use std::process::Command;

use anyhow::{Result, ensure};

/// Runs the test and shows what it prints.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "the example has no options");
    let test = ["test", "--quiet", "--package", "outpost", "--test", "suite", "--", "--nocapture", "worked_example"];
    let status = Command::new(env!("CARGO")).args(test).status()?;
    ensure!(status.success(), "the example does not hold");
    Ok(())
}
