//! Opening what lies in a data folder, and mending what power cuts and bad disks leave behind (rule 5.4).

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::catalogue::Catalogue;
use protocol::chain::Predecessor;
use protocol::ids::{ControlNumber, Hash, JournalId, Sequence, SiteId};

use super::agreement::{self, Standing};
use super::carrying_over::carry_over;
use super::suspicion::Suspicion;

use crate::data_folder::Layout;
use crate::device::Device;
use crate::entropy;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::journal::{Identity, Journal, JournalError, JournalLimits, Loss, Opening, SledStorage, Storage};
use crate::local_copy::{Kind, LocalCopy, LocalCopyError};
use crate::recorder::{Core, Recorder, cut_incomplete_group};

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
    /// Central was set back to before entries that the shared journal had let go of: it goes on under a new id, with what central
    /// lacks under what it had not received.
    HistoryLost {
        /// The new journal.
        journal: JournalId,
        /// Entries that were journaled anew.
        carried_over: u64,
    },
    /// The same with the private journal, whose entries never leave the site.
    PrivateJournalReplaced {
        /// The new journal.
        journal: JournalId,
        /// Entries that were read from the old one and journaled anew; the local copy holds those before them.
        carried_over: u64,
        /// Acknowledged entries that cannot be read and that the local copy does not have.
        lost: Vec<Loss>,
    },
    /// A journal was older than what is known of it. It was set aside, and goes on under a new id; what that carried over and
    /// what is lost stands beside this.
    JournalSetBack {
        /// Which journal.
        kind: Kind,
        /// Its last entry.
        durable: Sequence,
        /// The last entry that is known to have been in it.
        known: Sequence,
    },
    /// The local copy was older than the rest. It was set aside; it is built anew from the journals and from central.
    LocalCopySetBack {
        /// Where the old file lies.
        kept_as: PathBuf,
    },
    /// There is a new local copy, and local data that the private journal had let go of has no other place.
    LocalData {
        /// The last entry of the private journal that is not there any more.
        floor: Sequence,
        /// Records of local data that were read from the old file.
        rescued: u64,
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
            Self::HistoryLost { journal, carried_over } => write!(
                formatter,
                "central lost edits that the journal had let go of; it goes on as {journal}, and what this site owns is sent \
                 again: carried_over={carried_over}"
            ),
            Self::PrivateJournalReplaced { journal, carried_over, lost } => {
                write!(
                    formatter,
                    "the journal of local data was set aside or gone, it goes on as {journal}: carried_over={carried_over}"
                )?;
                for loss in lost {
                    write!(formatter, " lost={}-{}", loss.first, loss.last)?;
                }
                Ok(())
            }
            Self::JournalSetBack { kind, durable, known } => write!(
                formatter,
                "the {} journal was set back: it ends at {durable}, and entries up to {known} are known; it was set aside",
                kind.as_str()
            ),
            Self::LocalCopySetBack { kept_as } => {
                write!(
                    formatter,
                    "the local copy was set back and is built anew; the old file is {}",
                    kept_as.display()
                )
            }
            Self::LocalData { floor, rescued } => write!(
                formatter,
                "local data recorded up to entry {floor} of the private journal, or in one before it, was in the local copy alone: \
                 rescued={rescued} records from the old file, others are lost"
            ),
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

    /// Makes another id of the private journal durable.
    ///
    /// # Errors
    /// [`AgentError`] if it cannot be written.
    fn replace_private_journal_id(&mut self, journal: JournalId) -> Result<(), AgentError>;

    /// Whether both journals were made before.
    fn were_journals_made(&self) -> bool;

    /// Notes that both journals are there.
    ///
    /// # Errors
    /// [`AgentError`] if it cannot be written.
    fn note_journals(&mut self) -> Result<(), AgentError>;

    /// The last control row that is known to have been durable in the local copy.
    fn control(&self) -> ControlNumber;

    /// Forgets it, because the local copy begins anew.
    ///
    /// # Errors
    /// [`AgentError`] if it cannot be written.
    fn reset_control(&mut self) -> Result<(), AgentError>;

    /// What was found wrong while the agent ran.
    fn suspicion(&self) -> Suspicion;

    /// Notes it, so that a closer look follows.
    ///
    /// # Errors
    /// [`AgentError`] if it cannot be written.
    fn suspect(&mut self, suspicion: Suspicion) -> Result<(), AgentError>;

    /// Puts into a new local copy the local data that one that was set aside just now still gives; how many records.
    ///
    /// # Errors
    /// Those of writing the new copy. What cannot be read of the old one is left out.
    fn rescue_local_data(&mut self, _local: &mut LocalCopy) -> Result<u64, LocalCopyError> {
        Ok(0)
    }
}

/// The data folder, with the device whose identity lies in it.
pub(super) struct FolderPlaces<'a> {
    pub(super) layout: &'a Layout,
    pub(super) device: &'a mut Device,
    pub(super) site: SiteId,
    pub(super) catalogue: &'a Arc<Catalogue>,
    /// The local copy that was set aside just now.
    pub(super) aside: Option<PathBuf>,
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
        self.aside = Some(kept_as.clone());
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

    fn replace_private_journal_id(&mut self, journal: JournalId) -> Result<(), AgentError> {
        Ok(self.device.replace_private_journal(journal)?)
    }

    fn were_journals_made(&self) -> bool {
        self.device.identity().has_journals
    }

    fn note_journals(&mut self) -> Result<(), AgentError> {
        Ok(self.device.note_journals()?)
    }

    fn control(&self) -> ControlNumber {
        self.device.control()
    }

    fn reset_control(&mut self) -> Result<(), AgentError> {
        Ok(self.device.keep_control(ControlNumber(0))?)
    }

    fn suspicion(&self) -> Suspicion {
        Suspicion::read(&self.layout.suspicion())
    }

    fn suspect(&mut self, suspicion: Suspicion) -> Result<(), AgentError> {
        Ok(suspicion.write(&self.layout.suspicion())?)
    }

    fn rescue_local_data(&mut self, local: &mut LocalCopy) -> Result<u64, LocalCopyError> {
        let Some(aside) = self.aside.take() else { return Ok(0) };
        // One that does not even open gives nothing; it stays for whoever knows better.
        match LocalCopy::open(&aside, self.site, Arc::clone(self.catalogue)) {
            Ok(mut old) => local.take_local_data(&mut old),
            Err(_) => Ok(0),
        }
    }
}

/// Opens both journals and the local copy, in step, and says what had to be mended. What turns out to be damaged on the way is
/// looked at closely, and mended, in a second try.
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
    let error = match open_parts(places, site, catalogue, limits, repairs) {
        Ok(recorder) => return Ok(recorder),
        Err(error) => error,
    };
    let known = places.suspicion();
    let together = known.and(Suspicion::of(&error, None));
    if together == known {
        return Err(error);
    }
    places.suspect(together)?;
    open_parts(places, site, catalogue, limits, repairs)
}

fn open_parts<P: Places>(
    places: &mut P,
    site: SiteId,
    catalogue: &Arc<Catalogue>,
    limits: JournalLimits,
    repairs: &mut Vec<Repair>,
) -> Result<Recorder<P::Storage>, AgentError> {
    let mut local = open_local_copy(places, repairs)?;
    let mut shared = open_journal(places, Kind::Shared, site, &mut local, repairs)?;
    let mut private = open_journal(places, Kind::Private, site, &mut local, repairs)?;
    places.note_journals()?;
    // What is carried over was recorded before, and a journal that is full must not keep the agent from opening.
    let without_limit = JournalLimits { journal_bytes_max: u64::MAX, ..limits };
    shared.set_limits(without_limit);
    private.set_limits(without_limit);
    let local_data_floor = private.floor();
    let follows =
        shared.identity().predecessor.is_some() && places.journal_id(Kind::Shared) != shared.identity().journal;
    if follows {
        private = renumbered(places, site, private, &shared, &local, repairs)?;
        private.set_limits(limits);
    }
    if agreement::known_journal(&mut local, Kind::Shared)?.is_none() {
        begin_new_local_copy(places, &shared, &private, local_data_floor, &mut local, repairs)?;
    }
    carry_over(places, Kind::Shared, &mut shared, &mut local, repairs)?;
    carry_over(places, Kind::Private, &mut private, &mut local, repairs)?;
    shared.set_limits(limits);
    private.set_limits(limits);
    let applied = local.applied_through(Kind::Private);
    if let Some(kept) = cut_incomplete_group(&mut private, &shared, applied)? {
        repairs.push(Repair::PrivateGroupRemoved { kept });
    }
    Ok(Recorder::new(site, Arc::clone(catalogue), Core { shared, private, local })?)
}

/// Private entries name the entry of the shared journal that completes their group. When that journal goes on under a new id and
/// counts from 1 again, the private one goes on under a new id too: what is complete is journaled anew, and names nothing.
fn renumbered<P: Places>(
    places: &mut P,
    site: SiteId,
    mut private: Journal<P::Storage>,
    shared: &Journal<P::Storage>,
    local: &LocalCopy,
    repairs: &mut Vec<Repair>,
) -> Result<Journal<P::Storage>, AgentError> {
    if let Some(kept) = cut_incomplete_group(&mut private, shared, local.applied_through(Kind::Private))? {
        repairs.push(Repair::PrivateGroupRemoved { kept });
    }
    if private.durable().sequence == private.floor() {
        return Ok(private);
    }
    drop(private);
    let journal = places.fresh_journal_id();
    Ok(Journal::replace_damaged(places.storage(Kind::Private), site, journal)?)
}

/// A local copy that knows of no journal, beside journals that have entries, comes after one that was lost.
fn begin_new_local_copy<P: Places>(
    places: &mut P,
    shared: &Journal<P::Storage>,
    private: &Journal<P::Storage>,
    local_data_floor: Sequence,
    local: &mut LocalCopy,
    repairs: &mut Vec<Repair>,
) -> Result<(), AgentError> {
    if shared.durable().sequence > Sequence::ZERO || shared.identity().predecessor.is_some() {
        local.begin_after_loss()?;
    }
    // Before the copy knows a journal: a power cut between would leave one that seems to have been set back.
    local.skip_to(Kind::Shared, shared.floor())?;
    local.skip_to(Kind::Private, private.floor())?;
    places.reset_control()?;
    let rescued = places.rescue_local_data(local)?;
    let floor = local_data_floor;
    let was_replaced = private.identity().predecessor.is_some();
    if floor > Sequence::ZERO || was_replaced || rescued > 0 {
        repairs.push(Repair::LocalData { floor, rescued });
    }
    Ok(())
}

fn open_local_copy<P: Places>(places: &mut P, repairs: &mut Vec<Repair>) -> Result<LocalCopy, AgentError> {
    let opened = match places.open_local_copy() {
        Ok(_) if places.suspicion().local_copy => {
            Err(LocalCopyError::Damaged("it was found damaged while the agent ran".to_owned()))
        }
        opened => opened,
    };
    let mut local = match opened {
        Err(LocalCopyError::Damaged(reason)) => {
            log::error!("the local copy is damaged reason={reason:?}");
            let kept_as = places.set_local_copy_aside()?;
            repairs.push(Repair::LocalCopyReplaced { kept_as });
            places.open_local_copy()?
        }
        other => other?,
    };
    // Central forgets what a site has acknowledged: a copy that lacks it would never hear those verdicts again.
    if local.journal()?.is_some() && local.session_state()?.control < places.control() {
        local = set_back_local_copy(places, local, repairs)?;
    }
    Ok(local)
}

fn set_back_local_copy<P: Places>(
    places: &mut P,
    local: LocalCopy,
    repairs: &mut Vec<Repair>,
) -> Result<LocalCopy, AgentError> {
    drop(local);
    let kept_as = places.set_local_copy_aside()?;
    repairs.push(Repair::LocalCopySetBack { kept_as });
    Ok(places.open_local_copy()?)
}

/// Opens a journal, makes it if it never was, or puts another in the place of one that is damaged or too old.
fn open_journal<P: Places>(
    places: &mut P,
    kind: Kind,
    site: SiteId,
    local: &mut LocalCopy,
    repairs: &mut Vec<Repair>,
) -> Result<Journal<P::Storage>, AgentError> {
    let opened = Journal::open(places.storage(kind)).and_then(|(mut journal, opening)| {
        if places.suspicion().journals {
            journal.read(journal.floor(), &mut |_| ControlFlow::Continue(()))?;
        }
        Ok((journal, opening))
    });
    let (mut journal, opening) = match opened {
        Ok(opened) => opened,
        Err(JournalError::Missing) => return make_journal(places, kind, site, local, repairs),
        Err(JournalError::Damaged(report)) => {
            log::error!("a journal is damaged report={report:?}");
            let journal = places.fresh_journal_id();
            return Ok(Journal::replace_damaged(places.storage(kind), site, journal)?);
        }
        Err(error) => return Err(error.into()),
    };
    if opening != Opening::default() {
        repairs.push(Repair::Journal(opening));
    }
    match agreement::compare(&mut journal, kind, site, places.journal_id(kind), local)? {
        Standing::Together if places.suspicion().lost_history == Some(journal.identity().journal) => {
            drop(journal);
            let journal = places.fresh_journal_id();
            Ok(Journal::replace_damaged(places.storage(kind), site, journal)?)
        }
        Standing::Together => Ok(journal),
        Standing::JournalSetBack(known) => {
            repairs.push(Repair::JournalSetBack { kind, durable: journal.durable().sequence, known });
            drop(journal);
            let journal = places.fresh_journal_id();
            Ok(Journal::replace_set_back(places.storage(kind), site, journal, known)?)
        }
        Standing::LocalCopySetBack => {
            let old = std::mem::replace(local, LocalCopy::in_memory(site, Arc::new(Catalogue::embedded()))?);
            *local = set_back_local_copy(places, old, repairs)?;
            Ok(journal)
        }
    }
}

/// Makes a journal that is not there, where that is known to be in order.
fn make_journal<P: Places>(
    places: &mut P,
    kind: Kind,
    site: SiteId,
    local: &mut LocalCopy,
    repairs: &mut Vec<Repair>,
) -> Result<Journal<P::Storage>, AgentError> {
    let applied = local.applied_through(kind);
    let is_known = agreement::known_journal(local, kind)?.is_some();
    if applied == Sequence::ZERO && !places.were_journals_made() {
        let identity = Identity { site, journal: places.journal_id(kind), predecessor: None };
        return Ok(Journal::create(places.storage(kind), identity)?);
    }
    if kind == Kind::Shared || !is_known {
        return Err(agreement::missing(kind, applied));
    }
    // The local copy has what was in it. The id goes first: a crash between finds nothing there and comes here again.
    let (before, journal) = (places.journal_id(kind), places.fresh_journal_id());
    places.replace_private_journal_id(journal)?;
    repairs.push(Repair::PrivateJournalReplaced { journal, carried_over: 0, lost: Vec::new() });
    let predecessor = Predecessor { journal: before, sequence: applied, hash: Hash::NONE, promised: applied };
    Ok(Journal::create(places.storage(kind), Identity { site, journal, predecessor: Some(predecessor) })?)
}

fn not_set_aside(error: &std::io::Error) -> AgentError {
    AgentError::new(
        "local_copy_damaged",
        format!("the local copy is damaged and cannot be set aside: {error}"),
        "Move local_copy.sqlite out of the data folder and start again; nothing unsent is lost.",
        Exit::Disk,
    )
}
