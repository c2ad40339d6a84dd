//! Agents and central killed with -9 in every phase. `cargo xtask torture` does the same for longer.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::central_program;
use crate::support::torture::{Extent, Programs, run};

/// Kills of agents and central together, at least; more until each phase was hit.
const KILLS_MIN: u64 = 40;
/// Any will do; this one so that a failure can be repeated as far as real processes repeat anything.
const SEED: u64 = 3;

#[test]
fn kills_in_every_phase_lose_no_acknowledged_edit_and_double_or_reorder_none() {
    let folder = tempfile::TempDir::new().unwrap();
    let programs = Programs { agent: PathBuf::from(env!("CARGO_BIN_EXE_outpost")), central: central_program() };
    let extent = Extent { kills_min: KILLS_MIN, lasts: Duration::ZERO };

    let figures = run(folder.path(), &programs, SEED, extent, &|line| eprintln!("{line}")).unwrap();

    eprintln!("{}", figures.table());
    assert_eq!(figures.findings, Vec::<String>::new());
    assert_eq!(figures.missed(), Vec::<String>::new());
    assert!(figures.refused > 0, "no planted refusal was tried");
    assert!(figures.acknowledged > KILLS_MIN, "only {} edits were acknowledged", figures.acknowledged);
}
