//! Numbers of responding halves, and the log entries about the initiating ones.
//!
//! The names of sequences that mSupply's own programs use stand in its records of table `number`; of returns from customers and of goods
//! received none is known to us, and ours are in the same style. A return never takes an invoice's number.

use protocol::ids::{OwnershipNumber, RecordId};

use super::{Answering, Owed, Owing, Site, What, edit};
use crate::edit::EditOp;
use crate::judge::Found;
use crate::number::{NUMBER_TABLE, name_of, next_numbers};
use crate::transfers::fields::{Columns, Fields};
use crate::transfers::half::NO_NUMBER;
use crate::transfers::ids::{log_id, request_id};
use crate::transfers::kinds::Kind;
use crate::transfers::records::{LOG, Look, Moment, Read, Stop};

/// The sequence from which a responding half is numbered.
pub(super) fn sequence_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Stock => "supplier_invoice_number",
        Kind::Return => "customer_return_number",
        Kind::Order => "customer_invoice_number",
        Kind::Requisition => "requisition_serial_number",
        Kind::Goods => "goods_received_number",
    }
}

/// What the log entry says, in Open mSupply's words for it.
fn log_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Stock | Kind::Return | Kind::Order => "INVOICE_NUMBER_ALLOCATED",
        Kind::Requisition => "REQUISITION_NUMBER_ALLOCATED",
        Kind::Goods => "GOODS_RECEIVED_CREATED",
    }
}

/// The number of a half whose store this site holds, with the log entry, or the entry alone.
pub(super) fn number<V: Site>(
    look: &mut Look<'_, V>,
    moment: &Moment,
    half: &Answering<'_>,
    answers: &mut Vec<Owing>,
) -> Read<(), V> {
    let Some(grant) = look.grant_of(&half.row)? else { return Ok(()) };
    give(
        look,
        moment,
        &Numbered { kind: half.key.kind, id: &half.id, row: &half.row, about: Some(half) },
        grant,
        answers,
    )
}

/// The number of goods received whose invoice is not here.
pub(super) fn number_of_goods<V: Site>(
    look: &mut Look<'_, V>,
    moment: &Moment,
    id: &RecordId,
    goods: &Fields<'_>,
    answers: &mut Vec<Owing>,
) -> Read<(), V> {
    let Some(grant) = look.grant_of(goods)? else { return Ok(()) };
    give(look, moment, &Numbered { kind: Kind::Goods, id, row: goods, about: None }, grant, answers)
}

struct Numbered<'n, 'a> {
    kind: Kind,
    id: &'n RecordId,
    row: &'n Fields<'a>,
    about: Option<&'n Answering<'a>>,
}

fn give<V: Site>(
    look: &mut Look<'_, V>,
    moment: &Moment,
    half: &Numbered<'_, '_>,
    grant: OwnershipNumber,
    answers: &mut Vec<Owing>,
) -> Read<(), V> {
    let is_number = |owing: &Owing| matches!(owing, Owing::Edits(Owed { what: What::Number, .. }));
    // Two that were worked out from one sequence would be the same number.
    if answers.iter().any(is_number) {
        return Ok(());
    }
    let column = half.kind.number_column();
    let has_none = half.row.number_text(column) == NO_NUMBER.to_string();
    // Of another program's halves nobody waits for our log entry.
    let is_ours = half.about.is_some_and(|about| about.key.half_id() == *half.id);
    let is_logged = look.found(LOG, &log_id(half.id))? != Found::Unknown;
    let wants_log = half.about.is_some() && !is_logged && (has_none || is_ours);
    let Some(store) = half.row.id("store_ID") else { return Ok(()) };
    let (mut edits, mut number) = (Vec::new(), half.row.number_text(column).to_owned());
    if has_none {
        let name = name_of(sequence_of(half.kind), &store);
        let sequence = look.view.sequence(&store, &name).map_err(Stop::View)?;
        let numbers = look.table(NUMBER_TABLE);
        match next_numbers(numbers, &name, sequence.record, sequence.gaps, 1) {
            Ok(given) => {
                number = given.first.to_string();
                edits.push(edit(numbers, EditOp::Put, &given.id, &given.row));
            }
            Err(problem) => {
                answers.push(Owing::NoNumber { half: half.id.clone(), name, problem });
                return Ok(());
            }
        }
        let table = look.table(half.kind.half_table());
        let patch = Columns::of(table).set(column, protocol::row::Value::Number(number.clone())).row();
        edits.push(edit(table, EditOp::Patch, half.id, &patch));
    }
    if let Some(about) = half.about.filter(|_| wants_log) {
        let table = look.table(LOG);
        let entry = Columns::of(table)
            .text("type", log_type(half.kind))
            .id("store_ID", Some(&store))
            .id("record_ID", Some(&about.key.source))
            .text("datetime", &moment.to_date_time())
            .text("changed_to", &number)
            .empty(&["user_ID", "changed_from"])
            .row();
        edits.push(edit(table, EditOp::Put, &log_id(half.id), &entry));
    }
    if !edits.is_empty() {
        let what = if has_none { What::Number } else { What::Log };
        let request_id = Some(request_id(what.as_str(), half.id, grant));
        answers.push(Owing::Edits(Owed { what, request_id, edits }));
    }
    Ok(())
}
