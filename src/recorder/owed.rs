//! Answers that this site owes: a proposal of central's is made as an edit of this site's own, or declined (`domain::proposal`); of a
//! transfer it writes what is its own to write ([`transfers`]).
//!
//! Under the recorder's lock, so that between the look at the record and the edit nobody writes it. One commit for each, with a request id
//! that follows from the message: after a crash it is journaled or it is owed still, and never journaled twice.

use domain::catalogue::Catalogue;
use domain::derived::derived_request_id;
use domain::judge::{Found, RefusalCode, View};
use domain::proposal::{Declined, MESSAGE_TABLE, Proposal, REFUSED_BY_CENTRAL, asked_store, processed};
use protocol::ids::{OwnershipNumber, RecordId, RequestId, SiteId};
use protocol::row::Row;

use super::preparing::{Prepared, Reserved, prepare};
use super::transfers::{self, Look};
use super::{Core, EditRefusal, Group, RecordError, append_both, commit_local};
use crate::journal::FillLevel;
use crate::journal::storage::Storage;
use crate::local_copy::{LocalCopy, Owed, OwedKind};

/// Times that answers which were given at once are looked at for what they bring about themselves.
const AT_ONCE_STEPS_MAX: usize = 8;

/// How far a look at what is owed came.
pub struct OwedLook {
    /// The last that was looked at.
    pub last: i64,
    /// Answers that were journaled.
    pub answered: usize,
}

/// What becomes of an answer that is owed.
enum Answer {
    /// It was given, or is not asked for any more.
    Ended,
    /// This site may not give it, or cannot yet.
    Later,
    /// It is given with this.
    Give(Prepared),
}

/// Answers what is owed behind a number; `None` once all were looked at, or while the journal has no room to spare.
///
/// # Errors
/// Those of the journal and of the local copy; what was not answered comes again.
pub(super) fn answer_step<S: Storage>(
    catalogue: &Catalogue,
    site: SiteId,
    core: &mut Core<S>,
    after: i64,
    now_ms: u64,
) -> Result<Option<OwedLook>, RecordError> {
    if matches!(core.shared.fill().level(), FillLevel::High | FillLevel::Full) {
        return Ok(None);
    }
    let owed = core.local.next_owed(after)?;
    let Some(last) = owed.last().map(|owed| owed.number) else { return Ok(None) };
    let mut answered = 0;
    for owed in owed {
        match answer(catalogue, site, core, &owed, now_ms) {
            Ok(was_given) => answered += usize::from(was_given),
            Err(error) => {
                let _ = core.local.rollback_edits();
                // Syncing makes room, and is not to be kept from it.
                if error.is_for_want_of_room() {
                    log::warn!("what this site owes is to be answered once there is room message={error}");
                    return Ok(None);
                }
                return Err(error);
            }
        }
    }
    Ok(Some(OwedLook { last, answered }))
}

/// Answers what edits of this site have brought about, right behind their commit. What fails is done when a session ends: the edits are
/// recorded.
pub(super) fn answer_at_once<S: Storage>(catalogue: &Catalogue, site: SiteId, core: &mut Core<S>, now_ms: u64) {
    for _ in 0..AT_ONCE_STEPS_MAX {
        let Some(mut after) = core.local.take_owed_at_once() else { return };
        loop {
            match answer_step(catalogue, site, core, after, now_ms) {
                Ok(Some(look)) => after = look.last,
                Ok(None) => break,
                Err(error) => {
                    log::warn!("what an edit brings about is to be recorded with the next sync message={error}");
                    return;
                }
            }
        }
    }
}

/// One of them; whether an answer was journaled.
fn answer<S: Storage>(
    catalogue: &Catalogue,
    site: SiteId,
    core: &mut Core<S>,
    owed: &Owed,
    now_ms: u64,
) -> Result<bool, RecordError> {
    match owed.kind {
        OwedKind::Proposal => answer_proposal(catalogue, site, core, owed, now_ms),
        OwedKind::Transfer => transfers::answer(catalogue, site, core, owed, now_ms, Look::Transfer),
        OwedKind::Half => transfers::answer(catalogue, site, core, owed, now_ms, Look::Half),
        OwedKind::Change => transfers::answer(catalogue, site, core, owed, now_ms, Look::Change),
    }
}

fn answer_proposal<S: Storage>(
    catalogue: &Catalogue,
    site: SiteId,
    core: &mut Core<S>,
    owed: &Owed,
    now_ms: u64,
) -> Result<bool, RecordError> {
    core.local.begin_edits()?;
    match find_answer(catalogue, site, core, &owed.record, now_ms)? {
        Answer::Later => {
            core.local.rollback_edits()?;
            Ok(false)
        }
        Answer::Ended => {
            core.local.end_owed(owed.number)?;
            commit_local(core)?;
            Ok(false)
        }
        Answer::Give(prepared) => {
            core.local.end_owed(owed.number)?;
            append_both(core, &prepared.shared, &prepared.private)?;
            commit_local(core)?;
            Ok(!prepared.shared.is_empty())
        }
    }
}

fn find_answer<S: Storage>(
    catalogue: &Catalogue,
    site: SiteId,
    core: &mut Core<S>,
    message: &RecordId,
    now_ms: u64,
) -> Result<Answer, RecordError> {
    let messages = catalogue.table_by_name(MESSAGE_TABLE).map_err(|error| EditRefusal::unknown_table(0, &error))?;
    let Some(row) = row_of(&mut core.local, MESSAGE_TABLE, message, catalogue)? else { return Ok(Answer::Ended) };
    let Some(store) = asked_store(messages, &row) else { return Ok(Answer::Ended) };
    // It goes with the store to whoever gets that.
    let Some(holding) = core.local.holding(&store)? else { return Ok(Answer::Later) };
    let ownership = holding.ownership;
    let asked = Asked { message, ownership, now_ms };
    let declined = match make(catalogue, site, core, asked, &row)? {
        Ok(answer) => return Ok(answer),
        Err(declined) => declined,
    };
    log::warn!(
        "a proposal of central's is declined message={message} code={} reason={}",
        declined.code,
        declined.reason
    );
    let edits = vec![declined.message(message, &store), processed(message)];
    let group = Group { edits, request_id: Some(asked.request_id("declined")), recorded_at_ms: now_ms };
    Ok(Answer::Give(prepare(catalogue, site, core, &group, Reserved::default())?))
}

/// The edit, as this site's own; or why it is declined.
fn make<S: Storage>(
    catalogue: &Catalogue,
    site: SiteId,
    core: &mut Core<S>,
    asked: Asked<'_>,
    row: &Row,
) -> Result<Result<Answer, Declined>, RecordError> {
    let Asked { message, now_ms, .. } = asked;
    let messages = catalogue.table_by_name(MESSAGE_TABLE).map_err(|error| EditRefusal::unknown_table(0, &error))?;
    let proposal = match Proposal::of(messages, row) {
        Ok(proposal) => proposal,
        Err(declined) => return Ok(Err(declined)),
    };
    let edit = &proposal.edit;
    if let Ok(table) = catalogue.table_by_name(&edit.table) {
        let current = row_of(&mut core.local, &edit.table, &edit.id, catalogue)?;
        if let Err(declined) = proposal.check(table, current.as_ref()) {
            return Ok(Err(declined));
        }
    }
    let edits = vec![edit.clone(), processed(message)];
    let group = Group { edits, request_id: Some(asked.request_id("made")), recorded_at_ms: now_ms };
    match prepare(catalogue, site, core, &group, Reserved::default()) {
        // Under this grant it was made before, and the message is new all the same.
        Ok(prepared) if prepared.recorded.was_recorded => {
            let reason = format!("{} {} was written as proposed, and central refused that", edit.table, edit.id);
            Ok(Err(Declined { code: REFUSED_BY_CENTRAL.to_owned(), reason }))
        }
        Ok(prepared) => {
            log::info!(
                "a proposal of central's is made as this site's own edit message={message} table={}",
                edit.table
            );
            Ok(Ok(Answer::Give(prepared)))
        }
        // The store is on its way.
        Err(RecordError::Refused(refusal)) if refusal.code == RefusalCode::NotStoreHolder.as_str() => {
            Ok(Ok(Answer::Later))
        }
        Err(RecordError::Refused(EditRefusal { code, message, .. })) => Ok(Err(Declined { code, reason: message })),
        Err(error) => Err(error),
    }
}

fn row_of(
    local: &mut LocalCopy,
    table: &str,
    id: &RecordId,
    catalogue: &Catalogue,
) -> Result<Option<Row>, RecordError> {
    let Ok(table) = catalogue.table_by_name(table) else { return Ok(None) };
    Ok(match local.record(table.reference(), id)? {
        Found::Here { row, .. } => Some(row),
        Found::Deleted { .. } | Found::Unknown => None,
    })
}

/// A proposal to this site, while it holds the store.
#[derive(Clone, Copy)]
struct Asked<'a> {
    message: &'a RecordId,
    ownership: OwnershipNumber,
    now_ms: u64,
}

impl Asked<'_> {
    /// One for each answer and grant: what was refused because the store was gone is answered anew when it is back.
    fn request_id(&self, answer: &str) -> RequestId {
        derived_request_id(&[MESSAGE_TABLE, self.message.as_str(), answer, &self.ownership.0.to_string()])
    }
}
