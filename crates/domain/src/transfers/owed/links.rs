//! Links on initiating halves, and requests that are finalised with their response.

use super::{Answering, Owed, Owing, Site, What, edit};
use crate::edit::EditOp;
use crate::transfers::fields::{Columns, Fields};
use crate::transfers::ids::request_id;
use crate::transfers::kinds::Kind;
use crate::transfers::records::{INVOICES, Look, NAMES, REQUISITIONS, Read, STORES};

/// What Open mSupply says of a request whose response is finalised; mSupply's own status is the same as of one that was sent.
const FINALISED: &str = "FINALISED";

/// The link of an invoice, or a return, to the one that answers it.
pub(super) fn link_invoice<V: Site>(
    look: &mut Look<'_, V>,
    half: &Answering<'_>,
    answers: &mut Vec<Owing>,
) -> Read<(), V> {
    let sent_as = match half.key.kind {
        Kind::Stock => "ci",
        Kind::Return => "sc",
        // The invoice names its order, and an order has no column for it.
        Kind::Order | Kind::Requisition | Kind::Goods => return Ok(()),
    };
    let Some(source) = look.here(INVOICES, &half.key.source)?.filter(|source| source.is("type", sent_as)) else {
        return Ok(());
    };
    link(look, INVOICES, "linked_transaction_id", half, &source, answers)
}

/// The link of a request to its response, and its end.
pub(super) fn link_requisition<V: Site>(
    look: &mut Look<'_, V>,
    half: &Answering<'_>,
    answers: &mut Vec<Owing>,
) -> Read<(), V> {
    let column = "linked_requisition_id";
    let request = look.here(REQUISITIONS, &half.key.source)?.filter(|request| request.is("type", "request"));
    let Some(request) = request else { return Ok(()) };
    link(look, REQUISITIONS, column, half, &request, answers)?;
    let is_over = half.row.is("status", "fn") && !request.is("om_status", FINALISED);
    let Some(grant) = look.grant_of(&request)?.filter(|_| is_over) else { return Ok(()) };
    if gives_way(look, REQUISITIONS, column, half, &request)? {
        return Ok(());
    }
    let table = look.table(REQUISITIONS);
    let patch = Columns::of(table).text("status", "fn").text("om_status", FINALISED).row();
    let edits = vec![edit(table, EditOp::Patch, &half.key.source, &patch)];
    let request_id = Some(request_id(What::Finalised.as_str(), &half.id, grant));
    answers.push(Owing::Edits(Owed { what: What::Finalised, request_id, edits }));
    Ok(())
}

/// The link of the invoice that answered an order to the goods received.
pub(super) fn link_goods<V: Site>(
    look: &mut Look<'_, V>,
    half: &Answering<'_>,
    answers: &mut Vec<Owing>,
) -> Read<(), V> {
    let Some(source) = look.here(INVOICES, &half.key.source)? else { return Ok(()) };
    link(look, INVOICES, "goods_received_ID", half, &source, answers)
}

fn link<V: Site>(
    look: &mut Look<'_, V>,
    name: &'static str,
    column: &'static str,
    half: &Answering<'_>,
    source: &Fields<'_>,
    answers: &mut Vec<Owing>,
) -> Read<(), V> {
    if source.id(column).as_ref() == Some(&half.id) || source.id("store_ID") == half.row.id("store_ID") {
        return Ok(());
    }
    let Some(grant) = look.grant_of(source)? else { return Ok(()) };
    if gives_way(look, name, column, half, source)? {
        return Ok(());
    }
    let table = look.table(name);
    let patch = Columns::of(table).id(column, Some(&half.id)).row();
    let edits = vec![edit(table, EditOp::Patch, &half.key.source, &patch)];
    let request_id = Some(request_id(What::Link.as_str(), &half.id, grant));
    answers.push(Owing::Edits(Owed { what: What::Link, request_id, edits }));
    Ok(())
}

/// Whether a half is not to be linked: it is of a store to which the other one is not addressed any more, or another half of that store
/// was there first. A link that was copied with its record is confirmed by nobody, and gives way.
fn gives_way<V: Site>(
    look: &mut Look<'_, V>,
    name: &'static str,
    column: &'static str,
    half: &Answering<'_>,
    source: &Fields<'_>,
) -> Read<bool, V> {
    if !is_addressed(look, half, source)? {
        return Ok(true);
    }
    let Some(other) = source.id(column).filter(|other| *other != half.id) else { return Ok(false) };
    // A note of goods confirms no link, so the first stays.
    if half.key.kind == Kind::Goods {
        return Ok(true);
    }
    let Some(other) = look.here(name, &other)? else { return Ok(false) };
    let is_of_store = other.id("store_ID").as_ref() == Some(&half.key.receiver);
    Ok(is_of_store && other.id(column).as_ref() == Some(&half.key.source))
}

/// Whether the initiating half is addressed to the store of a half. Where the store's record is not here nobody can tell, and it counts.
pub(super) fn is_addressed<V: Site>(
    look: &mut Look<'_, V>,
    half: &Answering<'_>,
    source: &Fields<'_>,
) -> Read<bool, V> {
    let store = look.here(STORES, &half.key.receiver)?;
    let (Some(name), Some(addressee)) = (store.and_then(|store| store.id("name_ID")), source.id("name_ID")) else {
        return Ok(true);
    };
    Ok(look.resolved(NAMES, &name)? == look.resolved(NAMES, &addressee)?)
}
