//! What stayed on this site, and goes after all (`domain::withholding`).
//!
//! A record that goes is put whole in the shared journal, and deleted in the private one, in one group: else it would rise again out of
//! the private journal when the local copy is lost.

use domain::catalogue::Catalogue;
use domain::judge::{Applied, Side, Verdict, View, judge};
use domain::procurement::complete;
use protocol::entry::{Entry, Operation};
use protocol::ids::{Sequence, SiteId};

use super::preparing::{Reserved, next_sequences};
use super::{Core, RecordError, append_both, commit_local};
use crate::journal::storage::Storage;
use crate::journal::{Draft, FillLevel, Note};
use crate::local_copy::{Kind, LEFT};

/// An edit of a record that stayed here, and goes with this edit, puts it whole: central has nothing of it. Whether it is one. Inside the
/// open transaction.
pub(super) fn make_whole<S: Storage>(
    core: &mut Core<S>,
    entry: &mut Entry,
    applied: &Applied,
) -> Result<bool, RecordError> {
    let Some(row) = applied.row.as_ref().filter(|_| !applied.is_private) else { return Ok(false) };
    let stayed = core.local.is_withheld(&entry.table, &entry.record)?;
    if stayed {
        entry.operation = Operation::Put(row.clone());
        // Its lines go with it.
        core.local.owe_look_at_withheld()?;
    }
    Ok(stayed)
}

/// What says in the private journal that a record has left it: a delete, told from an application's by its number. Applied within the open
/// transaction, behind what sends the record.
pub(super) fn leave<S: Storage>(
    core: &mut Core<S>,
    sent: &Entry,
    sequence: Sequence,
    is_group_end: bool,
    note: Note,
) -> Result<Draft, RecordError> {
    let (table, record) = (sent.table.clone(), sent.record.clone());
    let left = Entry { is_group_end, ownership: LEFT, table, record, operation: Operation::Delete };
    let effect = core.local.effect_of(Kind::Private, &left)?;
    core.local.apply_entry(Kind::Private, sequence, &left, &effect, note.recorded_at_ms)?;
    Ok(Draft { entry: left.encode(), is_group_end, note })
}

/// One bounded step of journaling, whole, what the judge does not keep here any more; how many, or `None` once all were looked at, or while
/// the journal has no room to spare: edits go first.
///
/// # Errors
/// Those of the journal and of the local copy; then nothing was sent, and the step comes again.
pub(super) fn send_step<S: Storage>(
    catalogue: &Catalogue,
    site: SiteId,
    core: &mut Core<S>,
) -> Result<Option<usize>, RecordError> {
    if matches!(core.shared.fill().level(), FillLevel::High | FillLevel::Full) {
        return Ok(None);
    }
    let Some(entries) = core.local.next_withheld()? else { return Ok(None) };
    core.local.begin_edits()?;
    core.local.hand_over(true);
    let sent = journal_what_goes(catalogue, site, core, entries);
    core.local.hand_over(false);
    if sent.is_err() {
        let _ = core.local.rollback_edits();
    }
    match sent {
        Ok(sent) => {
            if sent > 0 {
                log::info!("records that were kept on this site are to be sent count={sent}");
            }
            Ok(Some(sent))
        }
        // Syncing makes room, and is not to be kept from it.
        Err(error) if error.is_for_want_of_room() => {
            log::warn!("records that were kept on this site are to be sent once there is room message={error}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn journal_what_goes<S: Storage>(
    catalogue: &Catalogue,
    site: SiteId,
    core: &mut Core<S>,
    entries: Vec<Entry>,
) -> Result<usize, RecordError> {
    core.local.note_looked_at(&entries)?;
    let (mut shared, mut private) = (Vec::new(), Vec::new());
    for mut entry in entries {
        // What central has refused before waits for somebody to look at it, or it would be refused at every look.
        if core.local.is_set_aside(&entry.table, &entry.record)? {
            continue;
        }
        complete(catalogue, &mut core.local, &mut entry)?;
        // What may not be written any more stays: central would refuse it.
        let Verdict::Accept(applied) = judge(catalogue, &mut core.local, Side::Device, site, &entry)? else { continue };
        if applied.is_private {
            continue;
        }
        entry.ownership = applied.ownership;
        let reserved = Reserved { shared: shared.len() as u64, private: private.len() as u64 };
        let [sent, left] = next_sequences(core, reserved);
        core.local.apply_entry(Kind::Shared, sent, &entry, &applied, 0)?;
        let note = Note { request_id: None, recorded_at_ms: 0, completes: None };
        shared.push(Draft { entry: entry.encode(), is_group_end: true, note: note.clone() });
        private.push(leave(core, &entry, left, true, Note { completes: Some(sent), ..note })?);
    }
    append_both(core, &shared, &private)?;
    commit_local(core)?;
    Ok(shared.len())
}
