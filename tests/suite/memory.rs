//! The agent in as much memory as its systemd unit lets it have.

use std::process::Stdio;

use crate::support::agent::Agent;
use crate::support::central::Central;
use crate::support::corpus::{central_data, edits};
use crate::support::memory_group::{MemoryGroup, UNIT_BYTES_MAX};
use crate::support::not_run;

/// Records of central, and edits of the store: enough for several segments, frames and pages. How memory goes with a million of both is
/// measured by `cargo xtask size --memory`.
const RECORDS: usize = 5_000;
const EDITS: usize = 20_000;

#[test]
fn the_unit_s_limit_of_memory_is_enough_to_initialise_to_record_and_to_sync() {
    let unit = include_str!("../../src/service/units/outpost.service");
    assert!(unit.contains(&format!("MemoryMax={}M", UNIT_BYTES_MAX / 1024 / 1024)), "the limit is the unit's");
    let Some(group) = MemoryGroup::new("outpost-test", UNIT_BYTES_MAX) else {
        return not_run("this system gives no control group for memory; the unit's MemoryMax is not tried out");
    };
    let data = central_data(RECORDS, 2);
    let central = Central::with_data(&data.lines);
    central.add_site("north", &[&data.stores[0]]);
    let mut agent = Agent::new(&central.url());
    agent.enrol(&central, "north");
    // A shell goes into the group and becomes the agent.
    let members = group.members();
    let in_group = |command: &mut std::process::Command| {
        let mut inside = std::process::Command::new("sh");
        inside.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(&members).arg(command.get_program());
        inside.args(command.get_args()).stdout(Stdio::null()).stderr(Stdio::null());
        *command = inside;
    };
    let mut initialise = agent.command(&["initialise"]);
    in_group(&mut initialise);
    assert!(initialise.status().unwrap().success());

    agent.start_with(in_group);
    agent.record(&edits(&data.stores[0], &data.items, &data.names, EDITS, 1));
    agent.settle();
    let status = agent.json(&["status"]);

    assert_eq!((&status["daemon"], &status["pending"]["edits"]), (&true.into(), &0.into()));
    let peak = group.peak();
    assert_eq!(
        group.kills(),
        Some(0),
        "no process of the agent was killed for its memory; it had {peak:?} bytes at most"
    );
    agent.signal("TERM");
    assert_eq!(agent.wait(), 0);
}
