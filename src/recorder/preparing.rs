//! What a group becomes: entries for the two journals, judged one by one, on top of the local copy's open transaction.

use domain::apply::operation_for;
use domain::catalogue::Catalogue;
use domain::edit::Edit;
use domain::json::row_from_json;
use domain::judge::{Found, Side, Verdict, View, judge};
use domain::new_patient::visibility_of_new;
use domain::new_user::{USER_TABLE, say_where_made};
use domain::procurement::complete;
use domain::store::NAME_TABLE;
use protocol::entry::Entry;
use protocol::ids::{OwnershipNumber, Sequence, SiteId};
use protocol::limits;
use protocol::row::Row;

use super::pairing::Pairing;
use super::{Core, EditRefusal, Group, RecordError, Recorded, withheld};
use crate::journal::storage::Storage;
use crate::journal::{Draft, Note};
use crate::local_copy::{Kind, LocalCopy};

/// Sequences that groups of the same commit have taken already.
#[derive(Default, Clone, Copy)]
pub(super) struct Reserved {
    pub(super) shared: u64,
    pub(super) private: u64,
}

/// What a group wants to have journaled.
pub(super) struct Prepared {
    pub(super) shared: Vec<Draft>,
    pub(super) private: Vec<Draft>,
    pub(super) recorded: Recorded,
}

/// Checks a group and applies it to the local copy's open transaction; undone again if one edit is refused.
pub(super) fn prepare<S: Storage>(
    catalogue: &Catalogue,
    site: SiteId,
    core: &mut Core<S>,
    group: &Group,
    reserved: Reserved,
) -> Result<Prepared, RecordError> {
    if group.edits.len() > limits::GROUP_ENTRIES_MAX {
        return Err(EditRefusal::group_entries(group.edits.len()).into());
    }
    if let Some(request_id) = group.request_id
        && let Some(sequences) = core.local.request(request_id)?
    {
        let recorded = Recorded { sequences, was_recorded: true, ..Recorded::default() };
        return Ok(Prepared { shared: Vec::new(), private: Vec::new(), recorded });
    }
    let [shared_next, private_next] = next_sequences(core, reserved);
    core.local.check_room(group.request_id)?;
    core.local.begin_group()?;
    match apply_group(catalogue, site, core, group, shared_next, private_next) {
        Ok(prepared) => {
            // One that changed nothing is remembered too: repeated after a later edit of the record, it would undo that edit.
            if let Some(request_id) = group.request_id {
                core.local.remember_request(request_id, prepared.recorded.sequences)?;
            }
            core.local.release_group()?;
            Ok(prepared)
        }
        Err(error) => {
            core.local.rollback_group()?;
            Err(error)
        }
    }
}

fn apply_group<S: Storage>(
    catalogue: &Catalogue,
    site: SiteId,
    core: &mut Core<S>,
    group: &Group,
    shared_next: Sequence,
    private_next: Sequence,
) -> Result<Prepared, RecordError> {
    let note = Note { request_id: group.request_id, recorded_at_ms: group.recorded_at_ms, completes: None };
    let (mut shared, mut private): (Vec<Draft>, Vec<Draft>) = (Vec::new(), Vec::new());
    let mut recorded = Recorded::default();
    let asked = group.edits.len();
    let (mut added, mut pairing, mut bytes) = (Added::default(), Pairing::default(), 0);
    for index in 0.. {
        let is_added = index >= asked;
        if index == asked + added.edits.len() {
            let Some(half) = pairing.next_half(catalogue, &mut core.local, group.recorded_at_ms)? else { break };
            added.push(half.edits, Some(half.index));
            added.check_count(asked)?;
        }
        let Some(edit) = group.edits.get(index).or_else(|| added.edits.get(index.checked_sub(asked)?)) else {
            continue;
        };
        let of_half = added.of_half(index, asked);
        let refused = |refusal: EditRefusal| match of_half {
            Some(asked) => refusal.of_other_half(asked),
            None => refusal,
        };
        let Some(mut entry) = entry_for(catalogue, &mut core.local, edit, index)? else {
            recorded.unchanged += u64::from(!is_added);
            continue;
        };
        complete(catalogue, &mut core.local, &mut entry)?;
        let is_looked_at = [NAME_TABLE, USER_TABLE].contains(&edit.table.as_str());
        let found = is_looked_at.then(|| core.local.record(&entry.table, &entry.record)).transpose()?;
        if let (Some(found), Some(table)) = (&found, catalogue.table(&entry.table)) {
            say_where_made(table, site, found, &mut entry);
        }
        let is_new = edit.table == NAME_TABLE && found == Some(Found::Unknown);
        let applied = match judge(catalogue, &mut core.local, Side::Device, site, &entry)? {
            Verdict::Accept(applied) => applied,
            // What is made beside a new patient is no reason to refuse it. A half is whole, or there is none.
            Verdict::Refuse(_) | Verdict::Wait { .. } if is_added && of_half.is_none() => continue,
            Verdict::Refuse(refusal) => return Err(refused(EditRefusal::of_rule(index, &refusal)).into()),
            Verdict::Wait { .. } => return Err(refused(EditRefusal::waiting(index)).into()),
        };
        if let Some(row) = applied.row.as_ref().filter(|_| is_new) {
            let stores = core.local.held_stores()?;
            let shown = visibility_of_new(catalogue, NAME_TABLE, &entry.record, row, &stores);
            added.push(shown, None);
        }
        if !is_added {
            pairing.note_deleted_line(catalogue, &mut core.local, &entry)?;
        }
        let now_ms = group.recorded_at_ms;
        let of = of_half.unwrap_or(index);
        let follows = pairing.before_applying(catalogue, &mut core.local, &entry, &applied, of, now_ms)?;
        added.push(follows, Some(of));
        added.check_count(asked)?;
        entry.ownership = applied.ownership;
        let has_left = withheld::make_whole(core, &mut entry, &applied)?;
        // As the journal will have it: what is pending is what is journaled anew where the journal loses an entry.
        entry.is_group_end = index + 1 == asked + added.edits.len() && !pairing.may_go_on();
        let (drafts, kind, next) = if applied.is_private {
            (&mut private, Kind::Private, private_next)
        } else {
            (&mut shared, Kind::Shared, shared_next)
        };
        let sequence = next.plus(drafts.len() as u64);
        let encoded = entry.encode();
        core.local.apply_encoded(kind, sequence, &entry, &encoded, &applied, group.recorded_at_ms)?;
        bytes += encoded.len();
        if bytes > limits::GROUP_BYTES_MAX {
            return Err(refused(EditRefusal::group_bytes(bytes)).into());
        }
        drafts.push(Draft { entry: encoded, is_group_end: entry.is_group_end, note: note.clone() });
        recorded.edits += u64::from(!is_added);
        if has_left {
            let sequence = private_next.plus(private.len() as u64);
            private.push(withheld::leave(core, &entry, sequence, false, note.clone())?);
        }
    }
    let has_late_end = end_group(&mut shared);
    end_group(&mut private);
    if !shared.is_empty() {
        let last = Sequence(shared_next.0 + shared.len() as u64 - 1);
        if has_late_end && let Some(draft) = shared.last() {
            core.local.replace_pending_entry(last, &draft.entry)?;
        }
        recorded.sequences = Some((shared_next, last));
        for draft in &mut private {
            draft.note.completes = Some(last);
        }
    }
    Ok(Prepared { shared, private, recorded })
}

/// What goes with the edits that were asked for.
#[derive(Default)]
struct Added {
    edits: Vec<Edit>,
    /// Of each the asked edit whose other half it is of, if it is of one.
    of_halves: Vec<Option<usize>>,
}

impl Added {
    fn push(&mut self, edits: Vec<Edit>, of_half: Option<usize>) {
        self.of_halves.resize(self.of_halves.len() + edits.len(), of_half);
        self.edits.extend(edits);
    }

    fn of_half(&self, index: usize, asked: usize) -> Option<usize> {
        *self.of_halves.get(index.checked_sub(asked)?)?
    }

    fn check_count(&self, asked: usize) -> Result<(), EditRefusal> {
        let count = asked + self.edits.len();
        if count <= limits::GROUP_ENTRIES_MAX {
            return Ok(());
        }
        let refusal = EditRefusal::group_entries(count);
        Err(match self.of_halves.last() {
            Some(Some(asked)) => refusal.of_other_half(*asked),
            Some(None) | None => refusal,
        })
    }
}

/// The next entry of the shared and of the private journal, behind what is reserved.
pub(super) fn next_sequences<S: Storage>(core: &Core<S>, reserved: Reserved) -> [Sequence; 2] {
    [
        core.shared.durable().sequence.plus(reserved.shared).next(),
        core.private.durable().sequence.plus(reserved.private).next(),
    ]
}

/// Marks the last entry as the group's end, in its bytes and beside them. Whether that was not known when it was made: the edits
/// behind it changed nothing, or went to the other journal.
fn end_group(drafts: &mut [Draft]) -> bool {
    let Some(last) = drafts.last_mut().filter(|last| !last.is_group_end) else { return false };
    last.is_group_end = true;
    Entry::mark_group_end(&mut last.entry);
    true
}

/// The entry that does what the edit asks, or `None` if the record already is as it wants.
fn entry_for(
    catalogue: &Catalogue,
    local: &mut LocalCopy,
    edit: &Edit,
    index: usize,
) -> Result<Option<Entry>, RecordError> {
    let table = catalogue.table_by_name(&edit.table).map_err(|error| EditRefusal::unknown_table(index, &error))?;
    let row = match &edit.data {
        Some(data) => {
            row_from_json(table, &edit.id, data).map_err(|error| EditRefusal::bad_data(index, edit, &error))?
        }
        None => Row::default(),
    };
    let current = match local.record(table.reference(), &edit.id)? {
        Found::Here { row, .. } => Some(row),
        Found::Deleted { .. } | Found::Unknown => None,
    };
    Ok(operation_for(edit.op, current.as_ref(), row).map(|operation| Entry {
        is_group_end: false,
        ownership: OwnershipNumber(0),
        table: table.reference().clone(),
        record: edit.id.clone(),
        operation,
    }))
}
