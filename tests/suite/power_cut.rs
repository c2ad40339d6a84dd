//! Power cuts under the agent while it records. `cargo xtask power-cut` does the same more often.

use std::path::PathBuf;

use crate::support::central_program;
use crate::support::power_cut::{Disk, Programs, run};

/// Cuts; one of three falls into a session.
const CYCLES: u64 = 3;

/// Some cycles, or nothing where loop devices or root are missing.
#[expect(clippy::print_stderr, reason = "what was not run has to be seen")]
fn cut(cycles: u64, without_syncs: bool) -> Option<Vec<String>> {
    let disk = match Disk::make() {
        Ok(disk) => disk,
        Err(error) => {
            eprintln!("NOT RUN: no power can be cut on this machine: {error}");
            return None;
        }
    };
    let programs = Programs { agent: PathBuf::from(env!("CARGO_BIN_EXE_outpost")), central: central_program() };
    let figures = run(&disk, &programs, cycles, without_syncs, &mut |line| eprintln!("{line}")).unwrap();
    assert!(figures.edits > 0, "nothing was acknowledged before any cut");
    Some(figures.findings)
}

#[test]
fn a_power_cut_while_the_agent_records_loses_no_acknowledged_edit_and_tears_no_group() {
    if let Some(findings) = cut(CYCLES, false) {
        assert_eq!(findings, Vec::<String>::new());
    }
}

#[test]
fn an_agent_whose_syncs_do_nothing_is_seen_to_lose_edits() {
    if let Some(findings) = cut(CYCLES, true) {
        assert!(!findings.is_empty(), "the test above could not fail");
    }
}
