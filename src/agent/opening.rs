//! Opening what lies in a data folder, and mending what power cuts and bad disks leave behind (rule 5.4).

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::catalogue::Catalogue;
use protocol::entry::Entry;
use protocol::ids::{JournalId, Sequence, SiteId};

use crate::data_folder::Layout;
use crate::device::Device;
use crate::entropy;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::journal::{
    Draft, Identity, Journal, JournalError, JournalLimits, Loss, Opening, Salvaged, SledStorage, Storage, Stored,
};
use crate::local_copy::{Kind, LocalCopy, LocalCopyError};
use crate::recorder::{Core, Recorder};

/// Salvaged entries that are journaled anew in one step.
const SALVAGE_STEP_ENTRIES: usize = 500;

/// Something that was not as it should be, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// A crash left traces that the journal put in order; nothing that was acknowledged is lost.
    Journal(Opening),
    /// A damaged journal was set aside and goes on under a new id.
    JournalReplaced {
        /// The new journal.
        journal: JournalId,
        /// Entries that were read from the old one and journaled anew.
        carried_over: u64,
        /// Acknowledged entries that cannot be read; those that central had received are safe there.
        lost: Vec<Loss>,
    },
    /// A damaged local copy was set aside; it is built anew from the journal and from central.
    LocalCopyReplaced {
        /// Where the damaged file lies.
        kept_as: PathBuf,
    },
    /// The private part of a group whose other part never became durable was removed: nobody had been told of it.
    PrivateGroupRemoved {
        /// The entries that are kept.
        kept: Sequence,
    },
}

impl fmt::Display for Repair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(opening) => write!(
                formatter,
                "the journal was put in order after a crash: adopted={} cut={} mark_healed={} rebuilt={}",
                opening.adopted,
                opening.was_cut,
                opening.was_mark_healed,
                opening.rebuilt.len()
            ),
            Self::JournalReplaced { journal, carried_over, lost } => {
                write!(
                    formatter,
                    "a damaged journal was set aside, it goes on as {journal}: carried_over={carried_over}"
                )?;
                for loss in lost {
                    write!(formatter, " lost={}-{}", loss.first, loss.last)?;
                }
                Ok(())
            }
            Self::LocalCopyReplaced { kept_as } => {
                write!(formatter, "the local copy was damaged and is built anew; the old file is {}", kept_as.display())
            }
            Self::PrivateGroupRemoved { kept } => {
                write!(formatter, "the private part of an incomplete group was removed: kept={kept}")
            }
        }
    }
}

/// Where the parts of an agent lie, and what names them: its data folder, or the simulator's disk.
pub trait Places {
    /// What the journals stand on.
    type Storage: Storage;

    /// The storage of a journal.
    fn storage(&self, kind: Kind) -> Self::Storage;

    /// Opens the local copy, or makes an empty one.
    ///
    /// # Errors
    /// As [`LocalCopy::open`].
    fn open_local_copy(&mut self) -> Result<LocalCopy, LocalCopyError>;

    /// Moves a damaged local copy away, never to be deleted by the agent; says where to.
    ///
    /// # Errors
    /// [`AgentError`] if it cannot be moved.
    fn set_local_copy_aside(&mut self) -> Result<PathBuf, AgentError>;

    /// The id under which the device makes a journal, if it is not there yet.
    fn journal_id(&self, kind: Kind) -> JournalId;

    /// Makes another id of the shared journal durable.
    ///
    /// # Errors
    /// [`AgentError`] if it cannot be written.
    fn replace_journal_id(&mut self, journal: JournalId) -> Result<(), AgentError>;

    /// A random id for a journal.
    fn fresh_journal_id(&mut self) -> JournalId;
}

/// The data folder, with the device whose identity lies in it.
pub(super) struct FolderPlaces<'a> {
    pub(super) layout: &'a Layout,
    pub(super) device: &'a mut Device,
    pub(super) site: SiteId,
    pub(super) catalogue: &'a Arc<Catalogue>,
}

impl Places for FolderPlaces<'_> {
    type Storage = SledStorage;

    fn storage(&self, kind: Kind) -> SledStorage {
        SledStorage::new(match kind {
            Kind::Shared => self.layout.journal(),
            Kind::Private => self.layout.private_journal(),
        })
    }

    fn open_local_copy(&mut self) -> Result<LocalCopy, LocalCopyError> {
        LocalCopy::open(&self.layout.local_copy(), self.site, Arc::clone(self.catalogue))
    }

    fn set_local_copy_aside(&mut self) -> Result<PathBuf, AgentError> {
        let path = self.layout.local_copy();
        let kept_as = path.with_extension(format!("damaged-{:08x}", entropy::number() >> 32));
        let rename = |from: PathBuf, to: PathBuf| match std::fs::rename(&from, &to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(not_set_aside(&error)),
            Ok(()) | Err(_) => Ok(()),
        };
        rename(path.clone(), kept_as.clone())?;
        for suffix in ["-wal", "-shm"] {
            let beside = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
            rename(beside(&path), beside(&kept_as))?;
        }
        Ok(kept_as)
    }

    fn journal_id(&self, kind: Kind) -> JournalId {
        match kind {
            Kind::Shared => self.device.identity().journal,
            Kind::Private => self.device.identity().private_journal,
        }
    }

    fn replace_journal_id(&mut self, journal: JournalId) -> Result<(), AgentError> {
        Ok(self.device.replace_journal(journal)?)
    }

    fn fresh_journal_id(&mut self) -> JournalId {
        JournalId(entropy::bytes())
    }
}

/// Opens both journals and the local copy, in step, and says what had to be mended.
///
/// # Errors
/// [`AgentError`]: something is damaged beyond what can be mended, or the disk fails.
pub fn open_recorder<P: Places>(
    places: &mut P,
    site: SiteId,
    catalogue: &Arc<Catalogue>,
    limits: JournalLimits,
    repairs: &mut Vec<Repair>,
) -> Result<Recorder<P::Storage>, AgentError> {
    let mut local = open_local_copy(places, repairs)?;
    let mut shared = open_journal(places, Kind::Shared, site, &local, repairs)?;
    let mut private = open_journal(places, Kind::Private, site, &local, repairs)?;
    shared.set_limits(limits);
    private.set_limits(limits);
    let journal = shared.identity().journal;
    if places.journal_id(Kind::Shared) != journal {
        places.replace_journal_id(journal)?;
    }
    carry_over(&mut shared, &mut local, repairs)?;
    local.use_journal(Kind::Private, private.identity().journal)?;
    complete_groups(&mut private, shared.durable().sequence, repairs)?;
    Ok(Recorder::new(site, Arc::clone(catalogue), Core { shared, private, local })?)
}

fn open_local_copy<P: Places>(places: &mut P, repairs: &mut Vec<Repair>) -> Result<LocalCopy, AgentError> {
    match places.open_local_copy() {
        Err(LocalCopyError::Damaged(reason)) => {
            log::error!("the local copy is damaged reason={reason:?}");
            let kept_as = places.set_local_copy_aside()?;
            repairs.push(Repair::LocalCopyReplaced { kept_as });
            Ok(places.open_local_copy()?)
        }
        other => Ok(other?),
    }
}

/// Opens a journal, makes it if it never was, or puts another in the place of a damaged one. `applied` proves that it was there.
fn open_journal<P: Places>(
    places: &mut P,
    kind: Kind,
    site: SiteId,
    local: &LocalCopy,
    repairs: &mut Vec<Repair>,
) -> Result<Journal<P::Storage>, AgentError> {
    let applied = local.applied(kind)?;
    match Journal::open(places.storage(kind)) {
        Ok((journal, opening)) => {
            if opening != Opening::default() {
                repairs.push(Repair::Journal(opening));
            }
            Ok(journal)
        }
        Err(JournalError::Missing) if applied == Sequence::ZERO => {
            let identity = Identity { site, journal: places.journal_id(kind), predecessor: None };
            Ok(Journal::create(places.storage(kind), identity)?)
        }
        Err(JournalError::Missing) => Err(AgentError::new(
            "journal_missing",
            format!("the journal is gone, and {applied} entries of it were recorded"),
            "Put the folder back if you have it. Else move the data folder away, enrol and initialise: what central has comes back.",
            Exit::Disk,
        )),
        Err(JournalError::Damaged(report)) => {
            log::error!("a journal is damaged report={report:?}");
            let journal = places.fresh_journal_id();
            Ok(Journal::replace_damaged(places.storage(kind), site, journal)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Journals anew what a damaged predecessor still gives and central has not received. Goes on where a crash broke it off.
fn carry_over<S: Storage>(
    shared: &mut Journal<S>,
    local: &mut LocalCopy,
    repairs: &mut Vec<Repair>,
) -> Result<(), AgentError> {
    let identity = *shared.identity();
    if local.journal()? == Some(identity.journal) {
        return Ok(());
    }
    if identity.predecessor.is_none() {
        local.use_journal(Kind::Shared, identity.journal)?;
        return Ok(());
    }
    let received = local.session_state()?.received;
    let mut salvaged = Vec::new();
    let mut lost = Vec::new();
    // Before this point nothing new can be recorded, so what the new journal holds is what an earlier try carried over.
    let done = shared.durable().sequence.0;
    shared.salvage(&mut |piece| {
        match piece {
            Salvaged::Entry(stored) if stored.sequence > received => salvaged.push(stored),
            Salvaged::Lost(run) if run.last > received => lost.push(run),
            // Central has it.
            Salvaged::Entry(_) | Salvaged::Lost(_) => {}
        }
        ControlFlow::Continue(())
    })?;
    recover_from_local_copy(local, &mut salvaged, &mut lost)?;
    let rest = salvaged.get(usize::try_from(done).unwrap_or(usize::MAX)..).unwrap_or_default();
    for step in groups(rest).chunks(SALVAGE_STEP_ENTRIES) {
        shared.append(&step.concat())?;
        shared.sync()?;
    }
    let carried_over = salvaged.len() as u64;
    local.use_journal(Kind::Shared, identity.journal)?;
    repairs.push(Repair::JournalReplaced { journal: identity.journal, carried_over, lost });
    Ok(())
}

/// What the journal has lost the local copy may still have: it keeps each entry until its verdict is final.
fn recover_from_local_copy(
    local: &mut LocalCopy,
    salvaged: &mut Vec<Stored>,
    lost: &mut Vec<Loss>,
) -> Result<(), AgentError> {
    let mut still_lost: Vec<Loss> = Vec::new();
    for loss in lost.drain(..) {
        for sequence in (loss.first.0..=loss.last.0).map(Sequence) {
            if let Some(entry) = local.pending_entry(sequence)? {
                let is_group_end = Entry::ends_group(&entry).unwrap_or(true);
                let note = crate::journal::Note::default();
                let hash = protocol::ids::Hash::NONE;
                salvaged.push(Stored { sequence, entry, is_group_end, note, hash_before: hash, hash });
            } else if let Some(last) = still_lost.last_mut().filter(|last| last.last.next() == sequence) {
                last.last = sequence;
            } else {
                still_lost.push(Loss { first: sequence, last: sequence });
            }
        }
    }
    salvaged.sort_by_key(|stored| stored.sequence);
    *lost = still_lost;
    Ok(())
}

/// Drafts by group; a group whose end was lost ends where it breaks off.
fn groups(stored: &[Stored]) -> Vec<Vec<Draft>> {
    let mut groups: Vec<Vec<Draft>> = Vec::new();
    let mut open = false;
    for entry in stored {
        let draft = Draft { entry: entry.entry.clone(), is_group_end: entry.is_group_end, note: entry.note.clone() };
        match groups.last_mut().filter(|_| open) {
            Some(group) => group.push(draft),
            None => groups.push(vec![draft]),
        }
        open = !entry.is_group_end;
    }
    if let Some(last) = groups.last_mut().and_then(|group| group.last_mut()) {
        last.is_group_end = true;
        Entry::mark_group_end(&mut last.entry);
    }
    groups
}

/// Removes the private part of a group whose shared part never became durable (`details.md`, "Mixed group").
fn complete_groups<S: Storage>(
    private: &mut Journal<S>,
    shared: Sequence,
    repairs: &mut Vec<Repair>,
) -> Result<(), AgentError> {
    let mut kept = private.floor();
    let mut is_incomplete = false;
    private.read(private.floor(), &mut |stored| {
        if stored.note.completes.is_some_and(|completes| completes > shared) {
            is_incomplete = true;
            return ControlFlow::Break(());
        }
        kept = stored.sequence;
        ControlFlow::Continue(())
    })?;
    if is_incomplete {
        private.truncate_after(kept)?;
        repairs.push(Repair::PrivateGroupRemoved { kept });
    }
    Ok(())
}

fn not_set_aside(error: &std::io::Error) -> AgentError {
    AgentError::new(
        "local_copy_damaged",
        format!("the local copy is damaged and cannot be set aside: {error}"),
        "Move local_copy.sqlite out of the data folder and start again; nothing unsent is lost.",
        Exit::Disk,
    )
}
