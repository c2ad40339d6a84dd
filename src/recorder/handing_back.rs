//! Handing back to a central that was set back what it has lost and this site still has (rule 5.12).

use protocol::session::Page;

use super::{Core, RecordError, commit_local};
use crate::journal::storage::Storage;
use crate::journal::{Draft, Note};
use crate::local_copy::{Kind, LostRecord};

/// One bounded step of letting go of what did not come again; whether there is more to do. What central has lost is journaled
/// first, as an edit each, past the judge here: what the site may not write central refuses, and keeps for an operator.
///
/// # Errors
/// Those of the journal and of the local copy; then nothing was let go of, and the step comes again.
pub(super) fn sweep_step<S: Storage>(core: &mut Core<S>) -> Result<bool, RecordError> {
    let lost = core.local.lost_in_step()?;
    if !lost.is_empty() {
        log::warn!("central lost records that are here, and gets them back count={}", lost.len());
        hand_back(core, lost)?;
    }
    Ok(core.local.sweep_step()?)
}

/// What this site has of its own records and a page brings in an older state is journaled, whole, before the page is stored.
///
/// # Errors
/// Those of the journal and of the local copy; then the page comes again.
pub(super) fn before_page<S: Storage>(core: &mut Core<S>, page: &Page) -> Result<(), RecordError> {
    let outranked = core.local.outranked_by(page)?;
    if outranked.is_empty() {
        return Ok(());
    }
    log::warn!("central has older records of this site, and gets what is here count={}", outranked.len());
    hand_back(core, outranked)
}

/// Journals records whole, as a group each, past the judge; nothing of it counts if it fails.
pub(super) fn hand_back<S: Storage>(core: &mut Core<S>, lost: Vec<LostRecord>) -> Result<(), RecordError> {
    core.local.begin_edits()?;
    let handed = journal_whole(core, lost);
    if handed.is_err() {
        let _ = core.local.rollback_edits();
    }
    handed
}

fn journal_whole<S: Storage>(core: &mut Core<S>, lost: Vec<LostRecord>) -> Result<(), RecordError> {
    let mut drafts = Vec::with_capacity(lost.len());
    for lost in lost {
        core.local.forget_position(&lost.table, &lost.id)?;
        let entry = lost.into_entry();
        let sequence = core.shared.durable().sequence.plus(drafts.len() as u64).next();
        let applied = core.local.effect_of(Kind::Shared, &entry)?;
        core.local.apply_entry(Kind::Shared, sequence, &entry, &applied, 0)?;
        core.local.mark_handed_back(sequence)?;
        let note = Note { request_id: None, recorded_at_ms: 0, completes: None };
        drafts.push(Draft { entry: entry.encode(), is_group_end: true, note });
    }
    core.shared.append(&drafts)?;
    core.shared.sync()?;
    commit_local(core)
}
