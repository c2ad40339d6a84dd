//! The control: on disks whose syncs do nothing the oracles have to see that edits are lost.

use simulator::mix::Profile;
use simulator::run::{Plan, run};

#[test]
fn with_syncs_that_do_nothing_the_oracles_see_lost_edits() {
    let lying = |seed| Plan { has_lying_syncs: true, ..Plan::of_seed(seed, Some(Profile::Crash)) };

    let found = (1..=40).find_map(|seed| run(&lying(seed), false).err());

    let failed = found.expect("no oracle saw what was lost");
    assert!(["1", "3", "4", "6"].contains(&failed.violation.invariant), "{:?}", failed.violation);
}
