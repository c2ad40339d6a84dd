//! What stayed on this site, and goes after all (`domain::withholding`).

use domain::catalogue::Catalogue;
use domain::judge::{Applied, Side, Verdict, View, judge};
use protocol::entry::{Entry, Operation};
use protocol::ids::SiteId;

use super::{Core, RecordError, commit_local};
use crate::journal::storage::Storage;
use crate::journal::{Draft, Note};
use crate::local_copy::Kind;

/// An edit of a record that stayed here, and goes with this edit, puts it whole: central has nothing of it. Inside the open transaction.
pub(super) fn make_whole<S: Storage>(
    core: &mut Core<S>,
    entry: &mut Entry,
    applied: &Applied,
) -> Result<(), RecordError> {
    let Some(row) = applied.row.as_ref().filter(|_| !applied.is_private) else { return Ok(()) };
    if core.local.is_withheld(&entry.table, &entry.record)? {
        entry.operation = Operation::Put(row.clone());
        // Its lines go with it.
        core.local.owe_look_at_withheld()?;
    }
    Ok(())
}

/// One bounded step of journaling, whole, what the judge does not keep here any more; how many, or `None` once
/// all were looked at.
///
/// # Errors
/// Those of the journal and of the local copy; then nothing was sent, and the step comes again.
pub(super) fn send_step<S: Storage>(
    catalogue: &Catalogue,
    site: SiteId,
    core: &mut Core<S>,
) -> Result<Option<usize>, RecordError> {
    let Some(entries) = core.local.next_withheld()? else { return Ok(None) };
    core.local.begin_edits()?;
    let sent = journal_what_goes(catalogue, site, core, entries);
    if sent.is_err() {
        let _ = core.local.rollback_edits();
    }
    let sent = sent?;
    if sent > 0 {
        log::info!("records that were kept on this site are to be sent count={sent}");
    }
    Ok(Some(sent))
}

fn journal_what_goes<S: Storage>(
    catalogue: &Catalogue,
    site: SiteId,
    core: &mut Core<S>,
    entries: Vec<Entry>,
) -> Result<usize, RecordError> {
    core.local.note_looked_at(&entries)?;
    let mut drafts = Vec::new();
    for mut entry in entries {
        // What may not be written any more stays: central would refuse it.
        let Verdict::Accept(applied) = judge(catalogue, &mut core.local, Side::Device, site, &entry)? else { continue };
        if applied.is_private {
            continue;
        }
        entry.ownership = applied.ownership;
        let sequence = core.shared.durable().sequence.plus(drafts.len() as u64).next();
        core.local.apply_entry(Kind::Shared, sequence, &entry, &applied, 0)?;
        let note = Note { request_id: None, recorded_at_ms: 0, completes: None };
        drafts.push(Draft { entry: entry.encode(), is_group_end: true, note });
    }
    if !drafts.is_empty() {
        core.shared.append(&drafts)?;
        core.shared.sync()?;
    }
    commit_local(core)?;
    Ok(drafts.len())
}
