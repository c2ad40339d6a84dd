//! The oracles: after each step that could break an invariant, the world is held against the model.

mod central;
mod log;
mod opening;
mod recording;
mod session;
mod staying;
mod transfers;
mod view;

pub(crate) use recording::Acknowledged;
pub(crate) use view::columns_at_central;

use std::ops::ControlFlow;

use outpost::journal::Stored;
use outpost::local_copy::Kind;
use protocol::ids::Sequence;

use crate::model::{Violation, violation};

/// What a journal has behind a sequence, or behind its floor.
fn read_journal(
    index: usize,
    device: &crate::device::Device,
    kind: Kind,
    after: u64,
) -> Result<Vec<Stored>, Violation> {
    let mut core = device.live().recorder.core();
    let journal = match kind {
        Kind::Shared => &mut core.shared,
        Kind::Private => &mut core.private,
    };
    let after = Sequence(after).max(journal.floor());
    if after >= journal.durable().sequence {
        return Ok(Vec::new());
    }
    let mut entries = Vec::new();
    let storages = [&device.shared, &device.private];
    for storage in storages {
        storage.hold_faults(true);
    }
    let read = journal.read(after, &mut |stored| {
        entries.push(stored);
        ControlFlow::Continue(())
    });
    for storage in storages {
        storage.hold_faults(false);
    }
    match read {
        Ok(()) => Ok(entries),
        Err(error) => violation("1", format!("device {index} cannot read its {} journal: {error}", kind.as_str())),
    }
}
