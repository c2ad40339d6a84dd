//! Opening what lies in a data folder, and mending what power cuts and bad disks leave behind (rule 5.4).

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::catalogue::Catalogue;
use protocol::entry::Entry;
use protocol::ids::{JournalId, Sequence, SiteId};

use crate::config::Config;
use crate::data_folder::DataFolder;
use crate::device::Device;
use crate::entropy;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::journal::{
    Draft, Identity, Journal, JournalError, JournalLimits, Loss, Opening, Salvaged, SledStorage, Stored,
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

/// Opens both journals and the local copy, in step.
pub(super) fn open_recorder(
    config: &Config,
    folder: &DataFolder,
    device: &mut Device,
    site: SiteId,
    catalogue: &Arc<Catalogue>,
    repairs: &mut Vec<Repair>,
) -> Result<Recorder<SledStorage>, AgentError> {
    let layout = folder.layout();
    let mut local = open_local_copy(&layout.local_copy(), site, catalogue, repairs)?;
    let identity = (device.identity().journal, device.identity().private_journal);
    let mut shared = open_journal(
        || SledStorage::new(layout.journal()),
        Identity { site, journal: identity.0, predecessor: None },
        local.applied(Kind::Shared)?,
        repairs,
    )?;
    let mut private = open_journal(
        || SledStorage::new(layout.private_journal()),
        Identity { site, journal: identity.1, predecessor: None },
        local.applied(Kind::Private)?,
        repairs,
    )?;
    let limits = JournalLimits {
        journal_bytes_max: config.limits.journal_bytes_max,
        disk_reserve_bytes: config.limits.disk_reserve_bytes,
        ..JournalLimits::default()
    };
    shared.set_limits(limits);
    private.set_limits(limits);
    let journal = shared.identity().journal;
    if device.identity().journal != journal {
        device.replace_journal(journal)?;
    }
    carry_over(&mut shared, &mut local, repairs)?;
    local.use_journal(Kind::Private, private.identity().journal)?;
    complete_groups(&mut private, shared.durable().sequence, repairs)?;
    Ok(Recorder::new(site, Arc::clone(catalogue), Core { shared, private, local })?)
}

fn open_local_copy(
    path: &Path,
    site: SiteId,
    catalogue: &Arc<Catalogue>,
    repairs: &mut Vec<Repair>,
) -> Result<LocalCopy, AgentError> {
    match LocalCopy::open(path, site, Arc::clone(catalogue)) {
        Err(LocalCopyError::Damaged(reason)) => {
            log::error!("the local copy is damaged reason={reason:?}");
            let kept_as = path.with_extension(format!("damaged-{:08x}", entropy::number() >> 32));
            let rename = |from: PathBuf, to: PathBuf| match std::fs::rename(&from, &to) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(not_set_aside(&error)),
                Ok(()) | Err(_) => Ok(()),
            };
            rename(path.to_path_buf(), kept_as.clone())?;
            for suffix in ["-wal", "-shm"] {
                let beside = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
                rename(beside(path), beside(&kept_as))?;
            }
            repairs.push(Repair::LocalCopyReplaced { kept_as });
            Ok(LocalCopy::open(path, site, Arc::clone(catalogue))?)
        }
        other => Ok(other?),
    }
}

/// Opens a journal, makes it if it never was, or puts another in the place of a damaged one. `applied` proves that it was there.
fn open_journal(
    storage: impl Fn() -> SledStorage,
    identity: Identity,
    applied: Sequence,
    repairs: &mut Vec<Repair>,
) -> Result<Journal<SledStorage>, AgentError> {
    match Journal::open(storage()) {
        Ok((journal, opening)) => {
            if opening != Opening::default() {
                repairs.push(Repair::Journal(opening));
            }
            Ok(journal)
        }
        Err(JournalError::Missing) if applied == Sequence::ZERO => Ok(Journal::create(storage(), identity)?),
        Err(JournalError::Missing) => Err(AgentError::new(
            "journal_missing",
            format!("the journal is gone, and {applied} entries of it were recorded"),
            "Put the folder back if you have it. Else move the data folder away, enrol and initialise: what central has comes back.",
            Exit::Disk,
        )),
        Err(JournalError::Damaged(report)) => {
            log::error!("a journal is damaged report={report:?}");
            Ok(Journal::replace_damaged(storage(), identity.site, JournalId(entropy::bytes()))?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Journals anew what a damaged predecessor still gives and central has not received. Goes on where a crash broke it off.
fn carry_over(
    shared: &mut Journal<SledStorage>,
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
fn complete_groups(
    private: &mut Journal<SledStorage>,
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
