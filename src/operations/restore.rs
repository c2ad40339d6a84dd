//! `restore`: records anew what a backup holds, where nothing newer is here; the rest is set aside. Central alone knows what it received of
//! the device that is gone, so each unsent edit is compared with its record as it is here:
//!
//! | the record is here | then the edit is |
//! | --- | --- |
//! | as it was behind the edit, or behind all of them | here already: nothing is done |
//! | as it was before the edit, and no later edit is here already | recorded |
//! | as it was before the edit, and a later one is here already | set aside: central has had it, and refused it, or the record was changed back |
//! | otherwise | set aside: the record was changed since, or its store has moved |
//!
//! A record that is not here tells nothing of a delete where its store is not active here any more: that is set aside too.
//!
//! A group goes whole. What never leaves the site is recorded where its record is not here. Harmless when repeated: each group has a
//! request id, which is remembered with what was recorded, or set aside.

use std::cell::RefCell;
use std::path::Path;

use domain::edit::Edit;
use domain::judge::View as _;
use protocol::chain::hash_of;
use protocol::ids::{JournalId, RequestId, Sequence};
use sealed::Passphrase;
use serde_json::{Map, Value, json};

use super::Progress;
use super::backup_lines::{BackupLines, Kept, KeptGroup};
use crate::agent::Agent;
use crate::clock;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::local_copy::limits::SET_ASIDE_MAX;
use crate::local_copy::{ImageDigest, LocalCopy, RestoredGroup, retry_request_id};
use crate::recorder::{EditRefusal, Group, RecordError};

/// Edits that are recorded at once, so that they share a sync, and bytes of their data from which on they are.
const BATCH_EDITS: usize = 200;
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// Edits between two reports of progress.
const PROGRESS_EDITS: u64 = 1000;

const CHANGED: Reason =
    ("restored_changed", "the record was changed since the backup was made, and is not as this edit expects it");
const RECEIVED: Reason = (
    "restored_received",
    "central has had later edits of the same device, and so this one: it refused it, or the record was changed back",
);
const MOVED: Reason = ("not_store_holder", "the store of the record is not active here any more");
const DIFFERS: Reason = ("restored_differs", "the record is here, and differs from the one in the backup");

type Reason = (&'static str, &'static str);

/// Restores a backup; with `is_dry_run` it says what would be done and does nothing. Returns
/// `{"dry_run","made_at_ms","recorded","already","set_aside","reasons","refused_before","left"}`.
///
/// # Errors
/// `restore_not_now`, `backup_wrong`, `carry_other_site`, `carry_other_central`; those of the file: nothing was done then. Those of
/// recording and of the disk: the same call goes on.
pub fn restore(
    agent: &Agent,
    file: &Path,
    passphrase: &Passphrase,
    is_dry_run: bool,
    events: &mut dyn FnMut(Progress),
) -> Result<Value, AgentError> {
    check_ready(agent)?;
    let (lines, received) = survey(agent, BackupLines::begin(agent.open_backup(file, passphrase)?)?)?;
    let about = lines.about();
    let tally = if is_dry_run {
        rehearse(agent, lines, received)?
    } else {
        let mut restoring = Restoring { agent, received, batch: Vec::new(), bytes: 0, tally: Tally::default() };
        restoring.run(lines, events)?;
        restoring.tally
    };
    Ok(json!({
        "dry_run": is_dry_run,
        "made_at_ms": about.made_at_ms,
        "recorded": tally.recorded,
        "already": tally.already,
        "set_aside": tally.set_aside,
        "reasons": tally.reasons,
        "refused_before": tally.refused_before,
        "left": tally.left,
    }))
}

/// That what central has is here: else nothing could be compared with it.
fn check_ready(agent: &Agent) -> Result<(), AgentError> {
    let has_recovery = agent.recovery()?.is_some();
    let local = &mut agent.recorder()?.core().local;
    if !has_recovery && local.sync_times()?.success_ms.is_some() && !local.is_read_anew()? {
        return Ok(());
    }
    let message =
        "not everything that central has for this site was read yet, so that a backup cannot be compared with it";
    let advice = "Run `outpost initialise`, or end `outpost recover`, and then restore. Nothing was changed.";
    Err(AgentError::new("restore_not_now", message, advice, Exit::Refused))
}

/// Reads all of it once, so that one that is wrong changes nothing, and looks up to which of the unsent groups, counted from 1, central
/// must have received: the last of which the result is here and was not before.
fn survey(agent: &Agent, mut lines: BackupLines) -> Result<(BackupLines, u64), AgentError> {
    let (mut number, mut received) = (0, 0);
    while let Some(group) = lines.next_group()? {
        let Kept::Unsent { images, .. } = &group.what else { continue };
        number += 1;
        let local = &mut agent.recorder()?.core().local;
        if local.request(request_id(&group))?.is_some() {
            continue;
        }
        let here = digests_here(local, &group)?;
        let is_changed = images.iter().any(|[before, after, _]| before != after);
        let is_result = |(here, [before, after, last]): (&ImageDigest, &[ImageDigest; 3])| {
            (here == after || here == last) && (here != before || before == after)
        };
        // That a record is not here may have another reason.
        let is_here = here.iter().all(|here| *here != ImageDigest::ABSENT);
        if is_here && is_changed && here.iter().zip(images).all(is_result) {
            received = number;
        }
    }
    Ok((lines.rewind()?, received))
}

fn digests_here(local: &mut LocalCopy, group: &KeptGroup) -> Result<Vec<ImageDigest>, AgentError> {
    let here = |edit: &Edit| Ok(local.digest_here(&edit.table, &edit.id)?.unwrap_or(ImageDigest::ABSENT));
    group.edits.iter().map(here).collect()
}

/// What becomes of a group.
enum Fate {
    Already,
    Record,
    SetAside(Reason),
    /// It lay in set-aside before.
    PutBack,
}

/// `number` is its place among the unsent groups, from 1.
fn fate_of(local: &mut LocalCopy, group: &KeptGroup, number: u64, received: u64) -> Result<Fate, AgentError> {
    if local.request(request_id(group))?.is_some() {
        return Ok(Fate::Already);
    }
    Ok(match &group.what {
        Kept::Unsent { images, stores, .. } => {
            let here = digests_here(local, group)?;
            let mut has_moved = false;
            for store in stores {
                has_moved |= local.holding(store)?.is_none();
            }
            let is_result = |(here, [before, after, last]): (&ImageDigest, &[ImageDigest; 3])| {
                let is_gone = *here == ImageDigest::ABSENT && here != before;
                (here == after || here == last) && !(is_gone && has_moved)
            };
            if here.iter().zip(images).all(is_result) {
                Fate::Already
            } else if !begins_as_here(group, &here, images) {
                Fate::SetAside(if has_moved { MOVED } else { CHANGED })
            } else if number < received {
                Fate::SetAside(RECEIVED)
            } else {
                Fate::Record
            }
        }
        Kept::Staying => {
            let here = digests_here(local, group)?;
            let whole = group.edits.first().and_then(|edit| local.digest_of_whole(edit));
            match here.first() {
                Some(&ImageDigest::ABSENT) | None => Fate::Record,
                Some(here) if Some(*here) == whole => Fate::Already,
                Some(_) => Fate::SetAside(DIFFERS),
            }
        }
        Kept::Refused { journal, sequence, .. } => {
            // Somebody recorded it anew since.
            let retried = local.request(retry_request_id(*journal, *sequence))?.is_some();
            if retried { Fate::Already } else { Fate::PutBack }
        }
    })
}

/// Whether each record is here as it was before its first edit of the group.
fn begins_as_here(group: &KeptGroup, here: &[ImageDigest], images: &[[ImageDigest; 3]]) -> bool {
    let edits = &group.edits;
    let is_first =
        |at: usize, edit: &Edit| !edits.iter().take(at).any(|one| one.id == edit.id && one.table == edit.table);
    let mut each = edits.iter().zip(here).zip(images).enumerate();
    each.all(|(at, ((edit, here), [before, ..]))| here == before || !is_first(at, edit))
}

/// Under which a group counts as restored, whichever backup of the device it comes from.
fn request_id(group: &KeptGroup) -> RequestId {
    let mut text = b"restored".to_vec();
    match &group.what {
        Kept::Unsent { journal, sequence, .. } | Kept::Refused { journal, sequence, .. } => {
            text.push(u8::from(matches!(group.what, Kept::Refused { .. })));
            text.extend_from_slice(&journal.0);
            text.extend_from_slice(&sequence.0.to_be_bytes());
        }
        Kept::Staying => {
            for edit in &group.edits {
                for part in [&edit.table, edit.id.as_str(), edit.data.as_deref().unwrap_or_default()] {
                    text.extend_from_slice(&hash_of(part.as_bytes()).0);
                }
            }
        }
    }
    let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash_of(&text).0;
    RequestId(first)
}

/// Name and place in set-aside. What was refused has those of its refusal, so that it stands there once on the device that it is from.
fn place_of(group: &KeptGroup) -> (JournalId, Sequence) {
    match &group.what {
        Kept::Refused { journal, sequence, .. } => (*journal, *sequence),
        Kept::Unsent { .. } | Kept::Staying => (JournalId(request_id(group).0), Sequence(1)),
    }
}

fn recorded_at_ms(group: &KeptGroup) -> u64 {
    match &group.what {
        Kept::Unsent { recorded_at_ms, .. } | Kept::Refused { recorded_at_ms, .. } => *recorded_at_ms,
        Kept::Staying => clock::wall_now().0,
    }
}

fn as_recorded(group: &KeptGroup) -> Group {
    let (request_id, recorded_at_ms) = (Some(request_id(group)), recorded_at_ms(group));
    Group { edits: group.edits.clone(), request_id, recorded_at_ms }
}

struct Restoring<'a> {
    agent: &'a Agent,
    received: u64,
    /// To be recorded with one sync; no two are of one record.
    batch: Vec<KeptGroup>,
    bytes: usize,
    tally: Tally,
}

impl Restoring<'_> {
    fn run(&mut self, mut lines: BackupLines, events: &mut dyn FnMut(Progress)) -> Result<(), AgentError> {
        let counts = lines.about().counts;
        let lines_total = counts.unsent + counts.waiting + counts.staying + counts.refused;
        let (mut number, mut done) = (0, 0);
        while let Some(group) = lines.next_group()? {
            number += u64::from(matches!(group.what, Kept::Unsent { .. }));
            let before = done;
            done += group.edits.len() as u64;
            self.take(group, number)?;
            if done / PROGRESS_EDITS > before / PROGRESS_EDITS {
                events(Progress::Recording { lines: done, lines_total });
            }
        }
        self.record()
    }

    fn take(&mut self, group: KeptGroup, number: u64) -> Result<(), AgentError> {
        // What is compared has to be here.
        let is_of_batch = |edit: &Edit| {
            let mut others = self.batch.iter().flat_map(|other| &other.edits);
            others.any(|other| other.id == edit.id && other.table == edit.table)
        };
        if matches!(group.what, Kept::Unsent { .. }) && group.edits.iter().any(is_of_batch) {
            self.record()?;
        }
        let fate = fate_of(&mut self.agent.recorder()?.core().local, &group, number, self.received)?;
        match fate {
            Fate::Already => self.tally.already += group.edits.len() as u64,
            Fate::SetAside((code, reason)) => {
                // What is refused of those before it stands before it.
                self.record()?;
                self.set_aside(&group, code, reason)?;
            }
            Fate::PutBack => {
                self.record()?;
                self.put_back(&group)?;
            }
            Fate::Record => {
                self.bytes += group.edits.iter().filter_map(|edit| edit.data.as_ref()).map(String::len).sum::<usize>();
                self.batch.push(group);
                let edits: usize = self.batch.iter().map(|group| group.edits.len()).sum();
                if edits >= BATCH_EDITS || self.bytes >= BATCH_BYTES {
                    self.record()?;
                }
            }
        }
        Ok(())
    }

    /// Records what waits for it. What is refused is set aside, whole groups.
    fn record(&mut self) -> Result<(), AgentError> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        if batch.is_empty() {
            return Ok(());
        }
        let answers = self.agent.recorder()?.record_all(batch.iter().map(as_recorded).collect());
        for (group, answer) in batch.iter().zip(answers) {
            match answer {
                Ok(recorded) if recorded.was_recorded => self.tally.already += group.edits.len() as u64,
                Ok(recorded) => {
                    self.tally.recorded += recorded.edits;
                    self.tally.already += recorded.unchanged;
                }
                Err(RecordError::Refused(refusal)) => self.set_aside(group, &refusal.code, &refusal.message)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn set_aside(&mut self, group: &KeptGroup, code: &str, reason: &str) -> Result<(), AgentError> {
        let edits = group.edits.len() as u64;
        if self.lay_aside(group, code, reason)? {
            self.tally.set_aside(edits, code);
        } else {
            self.tally.left += edits;
        }
        Ok(())
    }

    fn put_back(&mut self, group: &KeptGroup) -> Result<(), AgentError> {
        let Kept::Refused { code, reason, .. } = &group.what else { return Ok(()) };
        if self.lay_aside(group, code, reason)? {
            self.tally.refused_before += 1;
        } else {
            self.tally.left += 1;
        }
        Ok(())
    }

    /// Whether there was room for the whole group; one place is left, so that recording goes on.
    fn lay_aside(&self, group: &KeptGroup, code: &str, reason: &str) -> Result<bool, AgentError> {
        let local = &mut self.agent.recorder()?.core().local;
        if local.set_aside_count()? + group.edits.len() as u64 >= SET_ASIDE_MAX {
            return Ok(false);
        }
        let (place, edits, request_id) = (place_of(group), &group.edits, request_id(group));
        let recorded_at_ms = recorded_at_ms(group);
        Ok(local.set_aside_restored(&RestoredGroup { place, edits, recorded_at_ms, code, reason, request_id })?)
    }
}

/// The same without doing it: each group on top of those before it, and nothing stays.
fn rehearse(agent: &Agent, mut lines: BackupLines, received: u64) -> Result<Tally, AgentError> {
    let tally = RefCell::new(Tally::default());
    let (mut number, mut groups) = (0, 0);
    let mut next = |local: &mut LocalCopy| {
        while let Some(group) = lines.next_group()? {
            number += u64::from(matches!(group.what, Kept::Unsent { .. }));
            let edits = group.edits.len() as u64;
            let tally = &mut *tally.borrow_mut();
            match fate_of(local, &group, number, received)? {
                Fate::Already => tally.already += edits,
                Fate::SetAside((code, _)) => tally.set_aside(edits, code),
                Fate::PutBack => tally.refused_before += edits,
                Fate::Record => {
                    groups += 1;
                    tally.recorded += edits;
                    tally.checked = edits;
                    return Ok(Some((groups, as_recorded(&group))));
                }
            }
        }
        Ok(None)
    };
    // Each is checked as soon as it was given, so that the last one is the one that is refused.
    let mut refused = |_, refusal: EditRefusal| {
        let tally = &mut *tally.borrow_mut();
        let edits = tally.checked;
        tally.recorded -= edits;
        tally.set_aside(edits, &refusal.code);
    };
    agent.recorder()?.check_all(&mut next, &mut refused)?;
    let mut tally = tally.into_inner();
    // Those that would find no room.
    let count = agent.recorder()?.core().local.set_aside_count()?;
    let room = (SET_ASIDE_MAX - 1).saturating_sub(count);
    tally.left = (tally.set_aside + tally.refused_before).saturating_sub(room);
    Ok(tally)
}

/// What became of the edits.
#[derive(Default)]
struct Tally {
    recorded: u64,
    already: u64,
    set_aside: u64,
    /// By their codes.
    reasons: Map<String, Value>,
    refused_before: u64,
    /// Neither recorded nor set aside: they are in the backup alone.
    left: u64,
    /// Edits of the group that is being checked.
    checked: u64,
}

impl Tally {
    fn set_aside(&mut self, edits: u64, code: &str) {
        self.set_aside += edits;
        let before = self.reasons.get(code).and_then(Value::as_u64).unwrap_or_default();
        self.reasons.insert(code.to_owned(), (before + edits).into());
    }
}
