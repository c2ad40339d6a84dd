//! What this site owes for transfers (`domain::transfers`): numbers with their log entries, links, and what follows from the other half;
//! and halves for which something was not here when their initiating half began to count.

use domain::authority::central_data;
use domain::catalogue::Catalogue;
use domain::derived::derived_request_id;
use domain::edit::{Edit, EditOp};
use domain::json::{row_from_json, row_to_json};
use domain::judge::{Found, View};
use domain::number::NUMBER_TABLE;
use domain::procurement::{ORDER_TABLE, Ordering, Purchaser};
use domain::transfers::changes::consequences;
use domain::transfers::half::{Due, Half, due};
use domain::transfers::ids::log_id;
use domain::transfers::kinds::{Initiating, Standing, standing};
use domain::transfers::owed::{self, Owing, Sequence, Site, What};
use domain::transfers::records::{GOODS, INVOICES, LOG, Moment, REQUISITIONS, Records};
use protocol::ids::{OwnershipNumber, RecordId, RequestId, SiteId, TableRef};
use protocol::limits::GROUP_ENTRIES_MAX;
use protocol::row::Row;

use super::numbers::{is_certain, of_problem};
use super::pairing::following_edits;
use super::preparing::{Reserved, prepare};
use super::{Core, EditRefusal, Group, RecordError, append_both, commit_local};
use crate::date::date_text;
use crate::journal::Draft;
use crate::journal::storage::Storage;
use crate::local_copy::{LocalCopy, LocalCopyError, Owed};

/// Rounds in which one record is answered before others have their turn; each journals something, and one number is given in each.
const ROUNDS_MAX: usize = 64;

/// How often an answer is journaled anew under one grant when central has refused it, or lost it: each time it is looked for again.
const ANSWERS_AGAIN_MAX: usize = 3;

/// The code of a half that waits for a record.
const WAITS: &str = "waits_for_record";

/// When something is made. Days and times are those of UTC: a device does not know what its people call them.
pub(super) fn moment(now_ms: u64) -> Moment {
    let date = date_text(now_ms).chars().take(10).collect();
    Moment { date, second_of_day: u32::try_from(now_ms / 1000 % 86_400).unwrap_or_default() }
}

/// The local copy as the rules of transfers read it.
pub(super) struct Transferring<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) local: &'a mut LocalCopy,
    error: Option<LocalCopyError>,
}

/// A read failed: [`Transferring`] keeps why, so that the rules carry nothing about. That makes them a fifth smaller.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed;

impl<'a> Transferring<'a> {
    pub(super) fn new(catalogue: &'a Catalogue, local: &'a mut LocalCopy) -> Self {
        Self { catalogue, local, error: None }
    }

    /// What the rules say of what is here.
    pub(super) fn ask<T>(&mut self, ask: impl FnOnce(&mut Self) -> Result<T, Failed>) -> Result<T, LocalCopyError> {
        ask(self).map_err(|Failed| self.error.take().expect("whoever fails has said why"))
    }

    fn keep<T>(&mut self, read: Result<T, LocalCopyError>) -> Result<T, Failed> {
        read.map_err(|error| {
            self.error = Some(error);
            Failed
        })
    }

    /// Whether the log says that a half of this id was here: what is noted of halves goes with a local copy that is lost, and the log entry
    /// comes again.
    fn was_numbered(&mut self, table: &TableRef, id: &RecordId) -> Result<bool, Failed> {
        let table = self.catalogue.table_or_stand_in(table);
        let Ok(logs) = self.catalogue.table_by_name(LOG) else { return Ok(false) };
        if ![INVOICES, REQUISITIONS, GOODS].contains(&table.name()) {
            return Ok(false);
        }
        let found = View::record(self.local, logs.reference(), &log_id(id));
        Ok(matches!(self.keep(found)?, Found::Here { .. }))
    }

    /// The transfer that a record starts between two stores of this site.
    pub(super) fn between_own(&mut self, found: &Initiating) -> Result<bool, LocalCopyError> {
        Ok(self.local.holding(&found.sender)?.is_some() && self.local.holding(&found.key.receiver)?.is_some())
    }
}

impl Records for Transferring<'_> {
    type Error = Failed;

    fn record(&mut self, table: &TableRef, id: &RecordId) -> Result<Found, Failed> {
        let found = View::record(self.local, table, id);
        match self.keep(found)? {
            Found::Unknown => {
                // One that was deleted, as central has it too, leaves nothing else here.
                let was_here = self.local.was_half_here(id);
                Ok(if self.keep(was_here)? || self.was_numbered(table, id)? {
                    Found::Deleted { store: None }
                } else {
                    Found::Unknown
                })
            }
            found => Ok(found),
        }
    }

    fn store_of_name(&mut self, name: &RecordId) -> Result<Option<RecordId>, Failed> {
        let store = self.local.store_named(name);
        self.keep(store)
    }

    fn resolved(&mut self, table: &TableRef, id: &RecordId) -> Result<RecordId, Failed> {
        let table = self.catalogue.table_or_stand_in(table);
        let end = self.local.stands_for(&table, id.as_str());
        Ok(self.keep(end)?.unwrap_or_else(|| id.clone()))
    }

    fn item_in_store(&mut self, item: &RecordId, store: &RecordId) -> Result<Option<Row>, Failed> {
        let row = self.local.item_in_store(item, store);
        self.keep(row)
    }

    fn referring(&mut self, table: &TableRef, column: &str, id: &RecordId) -> Result<Vec<(RecordId, Row)>, Failed> {
        let found = self.local.referring(table, column, id);
        self.keep(found)
    }

    fn went_with_its_source(&mut self, _table: &TableRef, id: &RecordId) -> Result<bool, Failed> {
        let was_deleted = self.local.was_half_here(id);
        Ok(!self.keep(was_deleted)?)
    }
}

impl Site for Transferring<'_> {
    fn grant(&mut self, store: &RecordId) -> Result<Option<OwnershipNumber>, Failed> {
        let holding = self.local.holding(store);
        Ok(self.keep(holding)?.map(|holding| holding.ownership))
    }

    fn writes_order(&mut self, _order: &RecordId, row: &Row) -> Result<bool, Failed> {
        let Ok(orders) = self.catalogue.table_by_name(ORDER_TABLE) else { return Ok(false) };
        let Ok(store) = orders.id_in(row, "store_ID") else { return Ok(false) };
        let ordering = Ordering::of(self.catalogue, self.local, orders, &store, row);
        let holder = match self.keep(ordering)?.purchaser {
            Some(Purchaser::Primary) => central_data(),
            Some(Purchaser::Store) => store,
            Some(Purchaser::NobodyUnsupervised | Purchaser::NobodyKeptLocal) | None => return Ok(false),
        };
        Ok(self.grant(&holder)?.is_some())
    }

    fn sequence(&mut self, store: &RecordId, name: &str) -> Result<Sequence, Failed> {
        let record = self.local.number_record(store, name);
        let standing = self.local.number_standing(store);
        let gaps = self.keep(standing)?.map_or(0, |standing| standing.gaps);
        Ok(Sequence { record: self.keep(record)?, gaps })
    }
}

/// The edits that make a half.
pub(super) fn edits_of(catalogue: &Catalogue, half: Half) -> Vec<Edit> {
    let edit = |made: domain::transfers::half::Made| {
        let table = catalogue.table_or_stand_in(&made.table);
        let data = Some(row_to_json(&table, &made.id, &made.row));
        Edit { table: table.name().to_owned(), op: EditOp::Put, id: made.id, data }
    };
    half.records.into_iter().map(edit).collect()
}

/// Why something is not answered yet.
struct Kept {
    code: String,
    message: String,
}

impl Kept {
    fn of(refusal: EditRefusal) -> Self {
        Self { code: refusal.code, message: refusal.message }
    }
}

/// What one look at a record has journaled, and what it leaves.
#[derive(Default)]
struct Round {
    shared: Vec<Draft>,
    private: Vec<Draft>,
    kept: Option<Kept>,
}

impl Round {
    /// Applies a group to the open transaction, unless a rule refuses it: then it is kept. Whether something is to be journaled: not if it
    /// was before.
    fn take<S: Storage>(
        &mut self,
        catalogue: &Catalogue,
        site: SiteId,
        core: &mut Core<S>,
        group: &Group,
    ) -> Result<bool, RecordError> {
        let reserved = Reserved { shared: self.shared.len() as u64, private: self.private.len() as u64 };
        match prepare(catalogue, site, core, group, reserved) {
            Ok(prepared) => {
                self.shared.extend(prepared.shared);
                self.private.extend(prepared.private);
                Ok(!prepared.recorded.was_recorded)
            }
            Err(RecordError::Refused(refusal)) => {
                self.kept = Some(Kept::of(refusal));
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// Answers one record, in a commit for each round until nothing is owed; whether anything was journaled.
pub(super) fn answer<S: Storage>(
    catalogue: &Catalogue,
    site: SiteId,
    core: &mut Core<S>,
    owed: &Owed,
    now_ms: u64,
    look: Look,
) -> Result<bool, RecordError> {
    let mut has_answered = false;
    for _ in 0..ROUNDS_MAX {
        core.local.begin_edits()?;
        let round = match look {
            Look::Transfer => look_at(catalogue, site, core, owed, now_ms)?,
            Look::Half => look_at_half(catalogue, site, core, owed, now_ms)?,
            Look::Change => look_at_change(catalogue, site, core, owed, now_ms)?,
        };
        let is_over = round.shared.is_empty() && round.private.is_empty();
        if is_over {
            match &round.kept {
                None => core.local.end_owed(owed.number)?,
                Some(Kept { code, message }) => {
                    if core.local.keep_owed(owed.number, code)? {
                        log::warn!(
                            "what is owed for a transfer is to be done later table={} record={} code={code} message={message}",
                            owed.table,
                            owed.record
                        );
                    }
                }
            }
        }
        append_both(core, &round.shared, &round.private)?;
        commit_local(core)?;
        if is_over {
            return Ok(has_answered);
        }
        has_answered |= !round.shared.is_empty();
    }
    Ok(has_answered)
}

/// What is looked for.
#[derive(Clone, Copy)]
pub(super) enum Look {
    /// What a half that came asks of this site.
    Transfer,
    /// A half that this site makes.
    Half,
    /// What follows for a half of this site from an edit of the other one.
    Change,
}

fn look_at<S: Storage>(
    catalogue: &Catalogue,
    site: SiteId,
    core: &mut Core<S>,
    owed: &Owed,
    now_ms: u64,
) -> Result<Round, RecordError> {
    let mut round = Round::default();
    let Ok(table) = catalogue.table_by_name(&owed.table) else { return Ok(round) };
    let mut view = Transferring::new(catalogue, &mut core.local);
    for owing in view.ask(|view| owed::owed(catalogue, view, &moment(now_ms), table, &owed.record))? {
        let answer = match owing {
            Owing::Edits(answer) => answer,
            Owing::NoNumber { name, problem, .. } => {
                if let RecordError::Refused(refusal) = of_problem(&name, problem) {
                    round.kept = Some(Kept::of(refusal));
                }
                continue;
            }
        };
        if answer.what == What::Number
            && let Err(error) = may_number(catalogue, site, &mut core.local, &answer.edits)
        {
            let RecordError::Refused(refusal) = error else { return Err(error) };
            round.kept = Some(Kept::of(refusal));
            continue;
        }
        let request_id = answer.request_id.map(|id| not_given(&mut core.local, id, answer.what)).transpose()?;
        // What has no request id is patches of lines, of which any part may go first.
        for edits in answer.edits.chunks(GROUP_ENTRIES_MAX) {
            let group = Group { edits: edits.to_vec(), request_id, recorded_at_ms: now_ms };
            if round.take(catalogue, site, core, &group)? {
                log::info!(
                    "what is owed for a transfer is recorded what={} table={} record={}",
                    answer.what.as_str(),
                    owed.table,
                    owed.record
                );
            }
        }
    }
    Ok(round)
}

/// The request id under which an answer goes. One that was refused is owed still: what it was about may have come to be since, such as a
/// half that this site had made for two stores of its own, that was refused with its group, and that central has made after all. So is a
/// number that is not there although central has judged it: a central that was set back made the half anew. And so is one that is not
/// there and was in a journal that was given up.
fn not_given(local: &mut LocalCopy, request_id: RequestId, what: What) -> Result<RequestId, LocalCopyError> {
    let mut id = request_id;
    for attempt in 1..=ANSWERS_AGAIN_MAX {
        let Some(recorded) = local.request(id)? else { break };
        if let Some(sequences) = recorded
            && (local.has_pending(sequences)? || !local.has_refused(sequences)? && what != What::Number)
        {
            break;
        }
        let (first, attempt) = (request_id.to_string(), attempt.to_string());
        id = derived_request_id(&["transfer owed again", &first, &attempt]);
    }
    Ok(id)
}

/// Whether the number of a half is certain to be new; `edits` begin with the record of its sequence.
fn may_number(catalogue: &Catalogue, site: SiteId, local: &mut LocalCopy, edits: &[Edit]) -> Result<(), RecordError> {
    let table = catalogue.table_by_name(NUMBER_TABLE).map_err(|error| EditRefusal::unknown_table(0, &error))?;
    let Some(edit) = edits.iter().find(|edit| edit.table == NUMBER_TABLE) else { return Ok(()) };
    let (id, data) = (&edit.id, edit.data.as_deref().unwrap_or_default());
    let row = row_from_json(table, id, data).map_err(|error| EditRefusal::bad_data(0, edit, &error))?;
    let Some(Ok(store)) = table.store_of(id, &row) else { return Ok(()) };
    let name = domain::number::name_in(table, &row).unwrap_or_default();
    let kind = name.split("_for_store_").next().unwrap_or_default().to_owned();
    let standing = local.number_standing(&store)?;
    let is_new = View::record(local, table.reference(), id)? == Found::Unknown;
    is_certain(catalogue, site, local, (table, id, &row), (&store, &kind), standing, is_new)
}

fn look_at_half<S: Storage>(
    catalogue: &Catalogue,
    site: SiteId,
    core: &mut Core<S>,
    owed: &Owed,
    now_ms: u64,
) -> Result<Round, RecordError> {
    let mut round = Round::default();
    let Ok(table) = catalogue.table_by_name(&owed.table) else { return Ok(round) };
    let waits = |awaited| Some(Kept { code: WAITS.to_owned(), message: format!("{awaited} is not here") });
    let found = View::record(&mut core.local, table.reference(), &owed.record)?;
    let mut view = Transferring::new(catalogue, &mut core.local);
    let initiating = match view.ask(|view| standing(catalogue, view, table, &owed.record, found.row()))? {
        Standing::No => return Ok(round),
        Standing::Waits(awaited) => return Ok(Round { kept: waits(awaited), ..round }),
        Standing::Initiates(initiating) => initiating,
    };
    // Else it is central's to make.
    if !view.between_own(&initiating)? {
        return Ok(round);
    }
    match view.ask(|view| due(catalogue, view, &initiating, &moment(now_ms)))? {
        Due::Exists(_) => Ok(round),
        Due::Waits(awaited) => Ok(Round { kept: waits(awaited), ..round }),
        Due::Make(half) => {
            let id = half.id.clone();
            let group = Group { edits: edits_of(catalogue, half), request_id: None, recorded_at_ms: now_ms };
            if round.take(catalogue, site, core, &group)? {
                core.local.note_half(&id)?;
            }
            Ok(round)
        }
    }
}

fn look_at_change<S: Storage>(
    catalogue: &Catalogue,
    site: SiteId,
    core: &mut Core<S>,
    owed: &Owed,
    now_ms: u64,
) -> Result<Round, RecordError> {
    let mut round = Round::default();
    let Ok(table) = catalogue.table_by_name(&owed.table) else { return Ok(round) };
    let found = View::record(&mut core.local, table.reference(), &owed.record)?;
    let record = (table, &owed.record);
    let mut view = Transferring::new(catalogue, &mut core.local);
    let follows =
        view.ask(|view| consequences(catalogue, view, &moment(now_ms), record, owed.before.as_ref(), found.row()))?;
    let edits = following_edits(catalogue, &mut core.local, follows.proposals)?;
    for edits in edits.chunks(GROUP_ENTRIES_MAX) {
        let group = Group { edits: edits.to_vec(), request_id: None, recorded_at_ms: now_ms };
        if round.take(catalogue, site, core, &group)? {
            for edit in edits.iter().filter(|edit| edit.op == EditOp::Delete) {
                core.local.forget_half(&edit.id)?;
            }
        }
    }
    if let Some(awaited) = follows.awaited {
        round.kept = Some(Kept { code: WAITS.to_owned(), message: format!("{awaited} is not here") });
    }
    Ok(round)
}
