//! Whether the parts of a data folder belong together: somebody may have put one of them back from a copy, or lost it.
//!
//! The journal, the local copy and the identity each know something of the others. What must never come of a part that is older
//! than the rest is a sequence that is used twice (invariant 2), or a verdict that is forgotten. So a journal that is too old goes
//! on under a new id, a local copy that is too old is built anew, and what belongs to another device is refused.

use protocol::ids::{JournalId, Sequence, SiteId};

use crate::data_folder::Layout;
use crate::device::Device;
use crate::error::AgentError;
use crate::exit::Exit;
use crate::journal::{Journal, JournalError, Storage};
use crate::local_copy::{Kind, LocalCopy};

/// What a journal that lost even its name calls its predecessor.
const UNKNOWN_JOURNAL: JournalId = JournalId([0; 16]);

/// How a journal stands to the local copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// They belong together; what one lacks the other has.
    Together,
    /// The journal is older than what the local copy or central has seen of it: up to this entry, sequences are taken.
    JournalSetBack(Sequence),
    /// The local copy is older than what the journal has let go of since.
    LocalCopySetBack,
}

/// The journal that the local copy is the picture of.
pub(super) fn known_journal(local: &mut LocalCopy, kind: Kind) -> Result<Option<JournalId>, AgentError> {
    Ok(match kind {
        Kind::Shared => local.journal()?,
        Kind::Private => local.private_journal()?,
    })
}

/// Compares an open journal with what identity and local copy say of it.
///
/// # Errors
/// `journal_foreign` and `journal_forked`: nothing is changed.
pub(super) fn compare<S: Storage>(
    journal: &mut Journal<S>,
    kind: Kind,
    site: SiteId,
    expected: JournalId,
    local: &mut LocalCopy,
) -> Result<Standing, AgentError> {
    let identity = *journal.identity();
    let follows = identity.predecessor.map(|predecessor| predecessor.journal);
    let is_of = |id| id == identity.journal || follows == Some(id) || follows == Some(UNKNOWN_JOURNAL);
    if identity.site != site || !is_of(expected) {
        return Err(foreign(kind, identity.journal, identity.site, expected));
    }
    let Some(known) = known_journal(local, kind)? else { return Ok(Standing::Together) };
    if known != identity.journal {
        // It followed that one just now, or the copy is older than the journal as a whole.
        return Ok(if is_of(known) { Standing::Together } else { Standing::LocalCopySetBack });
    }
    let applied = local.applied_through(kind);
    let seen = match kind {
        Kind::Shared => applied.max(local.session_state()?.received),
        Kind::Private => applied,
    };
    if seen > journal.durable().sequence {
        return Ok(Standing::JournalSetBack(seen));
    }
    if applied < journal.floor() {
        return Ok(Standing::LocalCopySetBack);
    }
    let Some(expected_hash) = local.applied_hash(kind)? else { return Ok(Standing::Together) };
    match journal.hash_at(applied) {
        Ok(Some(hash)) if hash != expected_hash => Err(forked(kind, identity.journal, applied)),
        // Damage between is found and mended when these entries are read.
        Ok(_) | Err(JournalError::Damaged(_)) => Ok(Standing::Together),
        Err(error) => Err(error.into()),
    }
}

/// A journal that was there is not, and nothing else holds what was in it.
pub(super) fn missing(kind: Kind, applied: Sequence) -> AgentError {
    AgentError::new(
        "journal_missing",
        format!("the {} journal is gone, and the local copy has applied {applied} entries of it", kind.as_str()),
        "Put the folder back if you have it. Else run `outpost salvage` to export what the local copy still holds, move the data \
         folder away, enrol and initialise: what central has comes back.",
        Exit::Disk,
    )
}

/// The device of a data folder; `None` where nothing was ever recorded or enrolled.
///
/// # Errors
/// `identity_missing`, and those of [`Device::open`].
pub fn device_of(layout: &Layout) -> Result<Option<Device>, AgentError> {
    let device = Device::open(&layout.identity())?;
    if device.is_none() && layout.has_records() {
        return Err(identity_missing(&layout.identity()));
    }
    Ok(device)
}

/// The identity is gone and what belongs to it is not.
fn identity_missing(folder: &std::path::Path) -> AgentError {
    AgentError::new(
        "identity_missing",
        format!("{} holds no identity, and the data folder has records of a site", folder.display()),
        "Put the folder back if you have it. Else run `outpost salvage` to export what was not sent, move the data folder away, \
         enrol and initialise.",
        Exit::Disk,
    )
}

fn foreign(kind: Kind, found: JournalId, site: SiteId, expected: JournalId) -> AgentError {
    AgentError::new(
        "journal_foreign",
        format!(
            "the {} journal here is {found} of site {site}, and this device writes {expected}: it comes from another device, \
             or from a copy that is older than a repair",
            kind.as_str()
        ),
        "Put the right folder back. Else run `outpost salvage` to export what was not sent, move the data folder away, enrol \
         and initialise.",
        Exit::Disk,
    )
}

fn forked(kind: Kind, journal: JournalId, sequence: Sequence) -> AgentError {
    AgentError::new(
        "journal_forked",
        format!(
            "entry {sequence} of the {} journal {journal} is not the one that the local copy has applied: two copies of this \
             data folder were used",
            kind.as_str()
        ),
        "Put the right folder back. Else run `outpost salvage` to export what was not sent, move the data folder away, enrol \
         and initialise.",
        Exit::Disk,
    )
}
