//! `cargo xtask power-cut`: power cuts under the agent while it records; see `tests/support/power_cut.rs` for how. Ends with 0
//! only if nothing that was acknowledged is gone.

use anyhow::{Result, anyhow, bail};

use crate::power_cut_rig::{Disk, run as run_cycles};
use crate::workspace;

/// How many cuts unless `--cycles` says otherwise.
const CYCLES: u64 = 40;
/// How many findings are printed; one bad cut has hundreds, all of one kind.
const FINDINGS_SHOWN_MAX: usize = 10;
/// Exit status where it cannot be run, the one by which test programs say that they were skipped.
const NOT_RUN: i32 = 77;

/// Runs the cycles. `--cycles N` sets their number; `--control` runs an agent whose syncs do nothing, which has to fail.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (mut cycles, mut is_control) = (CYCLES, false);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--control" => is_control = true,
            "--cycles" => {
                let number = arguments.next().ok_or_else(|| anyhow!("--cycles needs a number"))?;
                cycles = number.parse().map_err(|_| anyhow!("--cycles needs a number, not `{number}`"))?;
            }
            other => bail!("power-cut knows --cycles N and --control, not `{other}`"),
        }
    }
    let disk = match Disk::make() {
        Ok(disk) => disk,
        Err(error) => {
            eprintln!(
                "NOT RUN: no power can be cut here. It needs root, loop devices, and the programs of e2fsprogs and"
            );
            eprintln!("util-linux (mkfs.ext4, mount, fsfreeze): {error}");
            std::process::exit(NOT_RUN);
        }
    };
    let programs = workspace::build_programs()?;
    let figures = run_cycles(&disk, &programs, cycles, is_control, &mut |line| println!("{line}"))
        .map_err(|error| anyhow!("the rig failed: {error}"))?;
    for finding in figures.findings.iter().take(FINDINGS_SHOWN_MAX) {
        println!("   {finding}");
    }
    println!(
        "{} power cuts: {} edits acknowledged, of which {} groups; {} more edits were there unheard; {} findings",
        figures.cycles,
        figures.edits,
        figures.groups,
        figures.unheard,
        figures.findings.len()
    );
    match (is_control, figures.findings.is_empty()) {
        (false, true) => Ok(()),
        (true, false) => {
            println!("The control failed as it should: this rig sees lost edits.");
            Ok(())
        }
        (false, false) => bail!("acknowledged edits did not survive a power cut"),
        (true, true) => bail!("an agent without syncs lost nothing: this rig cannot see a loss"),
    }
}
