//! `cargo xtask torture`: kills agents and central with -9 in every phase, and judges at the end what central's log of entries
//! holds; see `tests/support/torture`. Ends with 0 only if nothing was found; else its folder stays.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::torture_rig::{Extent, Programs, run as torment};
use crate::workspace;

/// How long unless `--minutes` says otherwise.
const MINUTES: u64 = 10;
/// Kills at least, unless `--kills` says otherwise.
const KILLS_MIN: u64 = 300;
/// How many findings are printed; what breaks once often breaks a hundred times.
const FINDINGS_SHOWN_MAX: usize = 20;

/// Runs it. Real processes never repeat exactly; a seed repeats what is recorded and in which order phases are looked for.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (mut minutes, mut kills_min, mut seed) = (MINUTES, KILLS_MIN, None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut number = || -> Result<u64> {
            let text = arguments.next().ok_or_else(|| anyhow!("{argument} needs a number"))?;
            text.parse().map_err(|_| anyhow!("{argument} needs a number, not `{text}`"))
        };
        match argument.as_str() {
            "--minutes" => minutes = number()?,
            "--kills" => kills_min = number()?,
            "--seed" => seed = Some(number()?),
            other => bail!("torture knows --minutes N, --kills N and --seed N, not `{other}`"),
        }
    }
    let seed = seed.unwrap_or_else(any_seed);
    let built = workspace::build_programs()?;
    let programs = Programs { agent: built.agent, central: built.central };
    let folder = tempfile::Builder::new().prefix("outpost-torture-").tempdir()?;
    println!("seed {seed}, folder {}", folder.path().display());
    let extent = Extent { kills_min, lasts: Duration::from_secs(minutes.saturating_mul(60)) };
    let outcome = torment(folder.path(), &programs, seed, extent, &|line| println!("{line}"));
    let keep = |folder: tempfile::TempDir| println!("seed {seed}; everything is kept in {}", folder.keep().display());
    let figures = match outcome {
        Ok(figures) => figures,
        Err(error) => {
            keep(folder);
            return Err(anyhow!("{error}")).context("the rig failed");
        }
    };
    println!("{}", figures.table());
    let findings = [figures.missed(), figures.findings.clone()].concat();
    for finding in findings.iter().take(FINDINGS_SHOWN_MAX) {
        println!("   {finding}");
    }
    let kills = figures.agent.total() + figures.central.total();
    if findings.is_empty() && kills >= kills_min {
        println!(
            "{kills} kills: every acknowledged edit is at central once, in order, with its hash, and nothing else is."
        );
        return Ok(());
    }
    keep(folder);
    bail!("{} findings after {kills} kills of at least {kills_min}", findings.len());
}

/// The standard library's own random keys: any number that differs from run to run will do.
fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
