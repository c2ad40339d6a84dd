//! Giving document numbers: the one place that does (`domain::number`). Under the recorder's lock the record of the kind is read as this
//! site knows it, and put whole with the next value, in a group of its own, so that a number is durable before anybody hears it.

use domain::catalogue::{Catalogue, Table};
use domain::edit::{Edit, EditOp};
use domain::json::row_to_json;
use domain::judge::{Side, Verdict, View, judge};
use domain::number::{GivenNumbers, NUMBER_TABLE, NUMBER_VALUE_MAX, NumberProblem, last_of, name_of, next_numbers};
use domain::store::STORE_TABLE;
use domain::withholding::has_withheld_data;
use protocol::entry::{Entry, Operation};
use protocol::ids::{OwnershipNumber, RecordId, RequestId, SiteId};
use protocol::row::Row;

use super::preparing::{Prepared, Reserved, prepare};
use super::{Core, EditRefusal, Group, RecordError, Recorded};
use crate::journal::storage::Storage;
use crate::local_copy::{LocalCopy, LocalCopyError, NumberStanding};

/// Which numbers are asked for.
#[derive(Debug, Clone)]
pub struct NumbersWanted {
    /// Of this store.
    pub store: RecordId,
    /// Of this kind; one that [`domain::number::is_kind`] knows.
    pub kind: String,
    /// How many, from 1 to [`domain::number::NUMBERS_MAX`].
    pub count: u32,
    /// Makes a repeated call give the same numbers. It stands for the store, the kind and the count too.
    pub request_id: Option<RequestId>,
    /// Wall clock when they were asked for; for people, never for order.
    pub recorded_at_ms: u64,
}

/// A run of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberRun {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// What the next numbers have to have journaled, applied to the open transaction.
pub(super) fn prepare_numbers<S: Storage>(
    catalogue: &Catalogue,
    site: SiteId,
    core: &mut Core<S>,
    wanted: &NumbersWanted,
    reserved: Reserved,
) -> Result<Prepared, RecordError> {
    if let Some(request_id) = wanted.request_id
        && let Some(sequences) = core.local.request(request_id)?
        && let Some(last) = core.local.number_of_request(request_id)?
    {
        let numbers = Some(NumberRun { first: (last + 1).saturating_sub(u64::from(wanted.count)), last });
        let recorded = Recorded { sequences, was_recorded: true, numbers, ..Recorded::default() };
        return Ok(Prepared { shared: Vec::new(), private: Vec::new(), recorded });
    }
    let given = next(catalogue, site, &mut core.local, wanted)?;
    let table = catalogue.table_by_name(NUMBER_TABLE).map_err(|error| EditRefusal::unknown_table(0, &error))?;
    let data = Some(row_to_json(table, &given.id, &given.row));
    let edit = Edit { table: NUMBER_TABLE.to_owned(), op: EditOp::Put, id: given.id, data };
    let (request_id, recorded_at_ms) = (wanted.request_id, wanted.recorded_at_ms);
    let group = Group { edits: vec![edit], request_id, recorded_at_ms };
    let mut prepared = prepare(catalogue, site, core, &group, reserved)?;
    if let Some(request_id) = request_id {
        core.local.remember_number(request_id, given.last)?;
    }
    prepared.recorded.numbers = Some(NumberRun { first: given.first, last: given.last });
    Ok(prepared)
}

/// After a crash: the number that a request was given stands in what it journaled.
pub(super) fn remember_given(
    catalogue: &Catalogue,
    local: &mut LocalCopy,
    request_id: RequestId,
    entry: &Entry,
) -> Result<(), LocalCopyError> {
    let Some(table) = catalogue.table(&entry.table).filter(|table| table.name() == NUMBER_TABLE) else { return Ok(()) };
    let Operation::Put(row) = &entry.operation else { return Ok(()) };
    match last_of(table, &table.canonical(row.clone())) {
        Some(last) => local.remember_number(request_id, last),
        None => Ok(()),
    }
}

/// The next numbers, where it is certain that nobody was given them before.
fn next(
    catalogue: &Catalogue,
    site: SiteId,
    local: &mut LocalCopy,
    wanted: &NumbersWanted,
) -> Result<GivenNumbers, RecordError> {
    let table = catalogue.table_by_name(NUMBER_TABLE).map_err(|error| EditRefusal::unknown_table(0, &error))?;
    let store = &wanted.store;
    let name = name_of(&wanted.kind, store);
    let standing = local.number_standing(store)?;
    let known = local.number_record(store, &name)?;
    let (gaps, is_new) = (standing.map_or(0, |standing| standing.gaps), known.is_none());
    let given = next_numbers(table, &name, known, gaps, wanted.count).map_err(|problem| of_problem(&name, problem))?;
    let record = (table, &given.id, &given.row);
    is_certain(catalogue, site, local, record, (store, &wanted.kind), standing, is_new)?;
    Ok(given)
}

/// Whether a record of numbers may be written, and nobody can have been given what it gives. `is_new`: there was none before.
pub(super) fn is_certain(
    catalogue: &Catalogue,
    site: SiteId,
    local: &mut LocalCopy,
    (table, id, row): (&Table, &RecordId, &Row),
    (store, kind): (&RecordId, &str),
    standing: Option<NumberStanding>,
    is_new: bool,
) -> Result<(), RecordError> {
    // Before anything else, so that a store that is not this site's is refused as any edit of it is.
    let entry = Entry {
        is_group_end: true,
        ownership: OwnershipNumber(0),
        table: table.reference().clone(),
        record: id.clone(),
        operation: Operation::Put(row.clone()),
    };
    let applied = match judge(catalogue, local, Side::Device, site, &entry)? {
        Verdict::Accept(applied) => applied,
        Verdict::Refuse(refusal) => return Err(EditRefusal::of_rule(0, &refusal).into()),
        Verdict::Wait { .. } => return Err(EditRefusal::waiting(0).into()),
    };
    let is_read = standing.is_some_and(|standing| standing.is_read);
    if !standing.is_some_and(|standing| standing.is_confirmed) {
        let what = format!(
            "numbers of store {store} that this device gave may be lost, and central has not counted that yet: run outpost sync, \
             then ask again"
        );
        return Err(refuse("numbers_not_confirmed", what));
    }
    if !is_read {
        let what = format!(
            "not everything that central has of store {store} was read yet, and the last number may be in it: run outpost sync, then \
             ask again"
        );
        return Err(refuse("store_not_read", what));
    }
    let gaps = standing.map_or(0, |standing| standing.gaps);
    let may_be_lost = is_new && (gaps > 0 || local.is_later_copy()?);
    // What went with the data that a store kept is not at central, also once it keeps none any more.
    if may_be_lost && (applied.is_private || has_kept_data(catalogue, local, store)?) {
        let keeps = if applied.is_private { "keeps" } else { "kept" };
        let what = format!(
            "store {store} {keeps} its data on its site, and what was there may be lost, the last number of {kind} with it: record it by \
             hand first, 0 if none was given, as value of a record of table {NUMBER_TABLE} whose name is {}",
            name_of(kind, store)
        );
        return Err(refuse("numbers_lost", what));
    }
    Ok(())
}

/// Whether a store keeps its data on its site, or ever did, here or elsewhere, as its record says.
fn has_kept_data(catalogue: &Catalogue, local: &mut LocalCopy, store: &RecordId) -> Result<bool, RecordError> {
    let Ok(stores) = catalogue.table_by_name(STORE_TABLE) else { return Ok(false) };
    let record = View::record(local, stores.reference(), store)?;
    Ok(record.row().is_some_and(has_withheld_data))
}

/// Why no number can be given.
pub(super) fn of_problem(name: &str, problem: NumberProblem) -> RecordError {
    match problem {
        NumberProblem::Value { id, value } => {
            let what = format!(
                "the value of {NUMBER_TABLE} {id} ({name}) is {value}, and has to be a whole number from 0 to {NUMBER_VALUE_MAX}: \
                 record the last number that was given"
            );
            refuse("number_not_whole", what)
        }
        NumberProblem::UsedUp { last } => {
            let what = format!("{name} is at {last}, and the largest number is {NUMBER_VALUE_MAX}: fewer are left");
            refuse("numbers_used_up", what)
        }
    }
}

fn refuse(code: &str, message: String) -> RecordError {
    EditRefusal { index: 0, code: code.to_owned(), message }.into()
}
