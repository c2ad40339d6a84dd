//! Going on after a journal's storage failed, without a restart: whoever asks for the core next opens the journals again first.

use std::ops::ControlFlow;

use protocol::ids::Sequence;

use super::Core;
use crate::journal::storage::Storage;
use crate::journal::{FillLevel, Journal, JournalError};
use crate::local_copy::Kind;

/// Opens poisoned journals again; whether there was one. If it does not work yet, the core answers with its old error and the
/// next call tries again.
pub(super) fn mend<S: Storage>(core: &mut Core<S>) -> Result<bool, JournalError> {
    if !core.private.is_poisoned() && !core.shared.is_poisoned() {
        return Ok(false);
    }
    core.private.reopen()?;
    core.shared.reopen()?;
    let applied = core.local.applied_through(Kind::Private);
    cut_incomplete_group(&mut core.private, &core.shared, applied)?;
    Ok(true)
}

/// Removes the private part of a group whose shared part never became durable (`details.md`, "Mixed group"); what is kept, if
/// something was removed. What the local copy has applied, up to `applied`, was acknowledged and is never touched.
///
/// # Errors
/// As reading and truncating a journal.
pub fn cut_incomplete_group<S: Storage>(
    private: &mut Journal<S>,
    shared: &Journal<S>,
    applied: Sequence,
) -> Result<Option<Sequence>, JournalError> {
    let head = shared.durable().sequence;
    // A shared journal that was replaced counts from 1 again. What names an entry of the one before may be complete, and an edit
    // too many harms less than one too few.
    let before = shared.identity().predecessor.map_or(Sequence::ZERO, |predecessor| predecessor.promised);
    let mut kept = private.floor().max(applied.min(private.durable().sequence));
    let mut is_incomplete = false;
    private.read(kept, &mut |stored| {
        if stored.note.completes.is_some_and(|completes| completes > head && completes > before) {
            is_incomplete = true;
            return ControlFlow::Break(());
        }
        kept = stored.sequence;
        ControlFlow::Continue(())
    })?;
    if !is_incomplete {
        return Ok(None);
    }
    private.truncate_after(kept)?;
    Ok(Some(kept))
}

/// Says once, when a threshold is passed upwards, how near a journal is to its limit. `before` is its level before the commit.
pub(super) fn warn_of_fill<S: Storage>(journal: &Journal<S>, before: FillLevel) {
    let fill = journal.fill();
    if fill.level() > before {
        log::warn!(
            "the journal is filling up: sync with central to make room percent={} bytes={} limit_bytes={}",
            fill.percent(),
            fill.bytes,
            fill.limit_bytes
        );
    }
}
