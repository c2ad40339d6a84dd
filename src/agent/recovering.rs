//! Recovering a device that was set back to an older backup: central has other entries under numbers that this journal has used
//! since, so the journal is given up. What only this device may have is exported, a new journal takes its place, and the records
//! are read again from central.
//!
//! | step of the note | what is durable | after a cut |
//! | --- | --- | --- |
//! | none | nothing has changed | begins anew |
//! | asked | the new journal's id | asks again with the same id; the device goes on as before meanwhile |
//! | taken | central takes the new journal | whoever opens the folder does the rest: export, set aside, new journal |
//! | begun | the new journal is in use | the next sync reads everything again; `recover` journals the export anew |
//!
//! Nothing is let go of: the old journal stays in the folder as `journal.before-...`.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use domain::catalogue::Catalogue;
use protocol::ids::{JournalId, Sequence, SiteId, Token};

use super::opening::{FolderPlaces, Places};
use super::recovered_file::{self, RecoveredWriter, recovered_path};
use super::recovery_note::{RecoveryNote, RecoveryStep};
use super::{Agent, Credentials};
use crate::config::Config;
use crate::data_folder::Layout;
use crate::device::Device;
use crate::entropy;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::journal::storage::Place;
use crate::journal::{Journal, JournalError, SledStorage, Storage, inspect_identity};
use crate::local_copy::limits::SET_ASIDE_MAX;
use crate::local_copy::{Kind, RecoveredEntry, recovered_name};
use crate::recorder::{Core, Recorder};

/// Entries that are set aside in one transaction.
const STEP_ENTRIES: usize = 500;

/// What a recovery would find, and where one that was cut stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryPlan {
    /// The journal that would be given up, or was.
    pub journal: JournalId,
    /// Its last entry.
    pub head: Sequence,
    /// Up to here central is known to have it, as this device has it.
    pub in_common: Sequence,
    /// Entries above: only this device may have them.
    pub edits: u64,
    /// How many groups they are.
    pub groups: u64,
    /// Whether there is room for them in the list of what is set aside.
    pub fits_set_aside: bool,
}

impl Agent {
    /// What [`Agent::recover`] would do. Changes nothing.
    ///
    /// # Errors
    /// `not_enrolled`; those of reading the journal.
    pub fn recovery_plan(&self) -> Result<RecoveryPlan, AgentError> {
        let mut core = self.recorder()?.core();
        let in_common = in_common(&mut core)?;
        let (mut edits, mut groups) = (0, 0);
        core.shared.read(in_common, &mut |stored| {
            edits += 1;
            groups += u64::from(stored.is_group_end);
            ControlFlow::Continue(())
        })?;
        let head = core.shared.durable();
        Ok(RecoveryPlan {
            journal: head.journal,
            head: head.sequence,
            in_common,
            edits,
            groups,
            fits_set_aside: core.local.set_aside_count()? + edits <= SET_ASIDE_MAX,
        })
    }

    /// The recovery that is under way, if there is one.
    ///
    /// # Errors
    /// Those of reading its note.
    pub fn recovery(&self) -> Result<Option<RecoveryNote>, AgentError> {
        Ok(RecoveryNote::read(&self.folder.layout().recovery())?)
    }

    /// Whether the new journal of a recovery is in use already, so that only syncing is left to do, and the site's password is not
    /// needed.
    ///
    /// # Errors
    /// `not_enrolled`; those of reading its note.
    pub fn has_begun_recovery(&self) -> Result<bool, AgentError> {
        let in_use = self.recorder()?.core().shared.identity().journal;
        let note = self.recovery()?;
        Ok(note.is_some_and(|note| note.step == RecoveryStep::Begun && note.journal == in_use))
    }

    /// Where a recovery's edits are.
    pub fn recovered_path(&self, note: &RecoveryNote) -> PathBuf {
        recovered_path(self.folder(), note.journal)
    }

    /// Says that a recovery is over.
    ///
    /// # Errors
    /// If its note cannot be removed.
    pub fn end_recovery(&self) -> Result<(), AgentError> {
        Ok(RecoveryNote::remove(&self.folder.layout().recovery())?)
    }

    /// Gives the journal up: central is asked to take a new one, what only this device may have is exported and, unless
    /// it is to be journaled anew, set aside, and the new journal takes its place. The records are to be read again: the caller
    /// syncs. Goes on with a recovery that was cut; one whose new journal is in use already is left as it is.
    ///
    /// # Errors
    /// Central cannot be reached, or refuses: then nothing has changed here. `recovered_files_full`; those of the disk.
    pub fn recover(mut self, credentials: &Credentials<'_>, is_journaled_anew: bool) -> Result<Self, AgentError> {
        let path = self.folder.layout().recovery();
        let journal_before = self.recorder()?.core().shared.identity().journal;
        if self.has_begun_recovery()? {
            return Ok(self);
        }
        let asked =
            self.recovery()?.filter(|note| note.step == RecoveryStep::Asked && note.journal_before == journal_before);
        if asked.is_none() {
            recovered_file::check_room(self.folder())?;
        }
        let journal = asked.map_or_else(|| JournalId(entropy::bytes()), |note| note.journal);
        let (exported, set_aside) = (0, 0);
        let step = RecoveryStep::Asked;
        let mut note = RecoveryNote { step, journal_before, journal, is_journaled_anew, exported, set_aside };
        note.write(&path)?;
        if let Err(error) = self.take_journal(credentials, &mut note) {
            // Refused for good: central does not know the new journal. Else the same question is asked again.
            if error.exit == Exit::Refused {
                RecoveryNote::remove(&path)?;
            }
            return Err(error);
        }
        note.step = RecoveryStep::Taken;
        note.write(&path)?;
        let config = Config::clone(&self.config());
        drop(self);
        Self::open(config)
    }

    /// Asks central to take the journal that the note names.
    fn take_journal(&mut self, credentials: &Credentials<'_>, note: &mut RecoveryNote) -> Result<(), AgentError> {
        // Only a device that is enrolled has anything to recover.
        self.device().enrolment()?;
        let (mut transport, url) = self.way_to_enrol(credentials.central.as_ref())?;
        let asked = self.ask_to_enrol(&mut transport, &url, credentials, note.journal);
        let reply = match asked {
            // Asked for long ago and taken, and this folder is from before that: the id is used up.
            Err(error) if error.code == "journal_retired" => {
                note.journal = JournalId(entropy::bytes());
                note.write(&self.folder.layout().recovery())?;
                self.ask_to_enrol(&mut transport, &url, credentials, note.journal)?
            }
            asked => asked?,
        };
        self.keep_enrolment(reply)
    }
}

/// Up to here central has whole groups of the journal as this device has it, as far as is known here.
fn in_common<S: Storage>(core: &mut Core<S>) -> Result<Sequence, AgentError> {
    let received = core.local.received_groups()?;
    Ok(received.max(core.shared.floor()).min(core.shared.durable().sequence))
}

/// Lets the identity name the new journal if it lies there already: a cut came between the two.
pub(super) fn name_replaced_journal(layout: &Layout, device: &mut Device) -> Result<(), AgentError> {
    let Some(note) = RecoveryNote::read(&layout.recovery())?.filter(|note| note.step == RecoveryStep::Taken) else {
        return Ok(());
    };
    let mut storage = SledStorage::new(layout.journal());
    // Finishes a replacement that was cut between its steps; only then it can be seen which journal lies there.
    storage.segments(&Place::Live).map_err(JournalError::from)?;
    let lies_there = inspect_identity(&mut storage, &Place::Live)?;
    if lies_there.is_some_and(|identity| identity.journal == note.journal)
        && device.identity().journal == note.journal_before
    {
        device.replace_journal(note.journal)?;
    }
    Ok(())
}

/// Does what is left of a recovery whose new journal central has taken: up to the new journal if that is not there yet, and else
/// to its end. Whether the folder is to be opened again.
pub(super) fn go_on(
    layout: &Layout,
    device: &mut Device,
    catalogue: &Arc<Catalogue>,
    recorder: Recorder<SledStorage>,
) -> Result<Option<Recorder<SledStorage>>, AgentError> {
    let path = layout.recovery();
    let Some(mut note) = RecoveryNote::read(&path)?.filter(|note| note.step == RecoveryStep::Taken) else {
        return Ok(Some(recorder));
    };
    let in_use = recorder.core().shared.identity().journal;
    if in_use == note.journal_before {
        keep_what_only_this_device_has(layout, &recorder, &mut note)?;
        let site = device.enrolment()?.site;
        let mut places = FolderPlaces { layout, device, site, catalogue, aside: None };
        give_up_journal(&mut places, site, recorder, note.journal)?;
        return Ok(None);
    }
    if in_use == note.journal {
        // What the control lane and the token were is from before the backup. Before the local copy forgets it: a copy that has
        // fewer control rows than the device noted is taken for one that was set back.
        device.keep_control(protocol::ids::ControlNumber(0))?;
        device.keep_token(Token::NONE)?;
        recorder.core().local.begin_after_set_back()?;
        note.step = RecoveryStep::Begun;
        note.write(&path)?;
        log::warn!(
            "this device goes on under a new journal={} exported={} set_aside={}",
            note.journal,
            note.exported,
            note.set_aside
        );
        return Ok(Some(recorder));
    }
    // Another repair has replaced both journals since; what was exported is exported.
    log::warn!("a recovery is about a journal that is not in use any more journal={in_use}");
    RecoveryNote::remove(&path)?;
    Ok(Some(recorder))
}

/// The new journal was made and is not there.
pub(super) fn is_stuck() -> AgentError {
    AgentError::new(
        "recovery_stuck",
        "the journal that takes the place of the one given up is not in use although it was made",
        "Keep the data folder and report this with the log.",
        Exit::Disk,
    )
}

/// Puts another journal in the place of the shared one, which names it, and another in the place of the private one: its entries
/// name entries of the journal that is given up. The agent is to be opened again; what the local copy lacks of the private journal
/// is then journaled anew. Harmless when repeated.
///
/// # Errors
/// Those of the disk.
pub fn give_up_journal<P: Places>(
    places: &mut P,
    site: SiteId,
    recorder: Recorder<P::Storage>,
    journal: JournalId,
) -> Result<(), AgentError> {
    let has_local_data = {
        let mut core = recorder.core();
        core.local.make_durable()?;
        core.private.durable().sequence > core.private.floor()
    };
    drop(recorder);
    // The private journal goes first: beside the new shared one its entries would be measured by the wrong numbers.
    if has_local_data {
        let journal = places.fresh_journal_id();
        drop(Journal::replace_damaged(places.storage(Kind::Private), site, journal)?);
    }
    drop(Journal::replace_damaged(places.storage(Kind::Shared), site, journal)?);
    places.replace_journal_id(journal)
}

/// Exports what only this device may have and sets it aside. Harmless when repeated: nothing is recorded in between.
fn keep_what_only_this_device_has(
    layout: &Layout,
    recorder: &Recorder<SledStorage>,
    note: &mut RecoveryNote,
) -> Result<(), AgentError> {
    let mut core = recorder.core();
    let core = &mut *core;
    let after = in_common(core)?;
    note.exported = export(layout, core, note, after)?;
    note.set_aside = if note.is_journaled_anew { 0 } else { set_aside(core, note, after)? };
    note.write(&layout.recovery())?;
    Ok(())
}

fn export(
    layout: &Layout,
    core: &mut Core<SledStorage>,
    note: &RecoveryNote,
    after: Sequence,
) -> Result<u64, AgentError> {
    let path = recovered_path(layout.root(), note.journal);
    if path.exists() {
        return Ok(core.shared.durable().sequence.0 - after.0);
    }
    let mut writer = RecoveredWriter::begin(path)?;
    let mut problem: Option<AgentError> = None;
    core.shared.read(after, &mut |stored| {
        let written = core.local.recovered_edit(&stored.entry).map_err(AgentError::from);
        match written.and_then(|edit| Ok(writer.write(&edit, stored.is_group_end)?)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                problem = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    match problem {
        Some(error) => Err(error),
        None => Ok(writer.finish()?),
    }
}

/// Sets the entries aside, all or, where there is no room for all, none: they are in the export.
fn set_aside(core: &mut Core<SledStorage>, note: &RecoveryNote, after: Sequence) -> Result<u64, AgentError> {
    let name = recovered_name(note.journal_before, note.journal);
    let head = core.shared.durable().sequence;
    let (mut from, mut done) = (after, 0);
    let known = core.local.set_aside_recovered_count(name)?;
    if core.local.set_aside_count()? - known + (head.0 - after.0) > SET_ASIDE_MAX {
        log::warn!(
            "there is no room to set the recovered edits aside: they are in the file alone limit={SET_ASIDE_MAX}"
        );
        return Ok(0);
    }
    while from < head {
        let mut entries = Vec::new();
        core.shared.read(from, &mut |stored| {
            let recorded_at_ms = stored.note.recorded_at_ms;
            entries.push(RecoveredEntry { sequence: stored.sequence, entry: stored.entry, recorded_at_ms });
            if entries.len() < STEP_ENTRIES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let Some(last) = entries.last() else { break };
        from = last.sequence;
        done += entries.len() as u64;
        core.local.set_aside_recovered(name, &entries)?;
    }
    Ok(done)
}
