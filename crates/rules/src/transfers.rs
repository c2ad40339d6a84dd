//! Transfers between stores: which record starts one, what answers it, who makes the answer and by which way it goes.

use std::collections::BTreeSet;

use crate::procurement::purchaser;
use crate::record::Record;
use crate::refusal::Rule;
use crate::roles::role_in_force;
use crate::visibility::sites_holding;
use crate::world::{CENTRAL, Role, SiteId, World};

/// A record of a store whose other party is a store, and which may start a transfer (domain.md, "Transfers"; seed 000,
/// "Transfers").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Half {
    /// A customer invoice.
    CustomerInvoice,
    /// A customer invoice that answers a purchase order.
    CustomerInvoiceOfOrder,
    /// A supplier (request) requisition.
    RequestRequisition,
    /// A purchase order.
    PurchaseOrder,
}

/// How far a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// New or suggested.
    Draft,
    /// Confirmed.
    Confirmed,
    /// Finalised.
    Finalised,
}

/// The record that answers an initiating half, with the number -1 until its site gives it one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Response {
    /// A supplier invoice, on hold.
    SupplierInvoice,
    /// A response requisition.
    ResponseRequisition,
    /// A customer invoice in the supplying store.
    CustomerInvoiceOfOrder,
    /// Goods received in the ordering store.
    GoodsReceived,
}

/// What answers a record in this status; nothing before it is an initiating half (domain.md, "Transfers", the table of kinds).
pub fn response_to(half: Half, status: Status) -> Option<Response> {
    match (half, status) {
        (Half::CustomerInvoice, Status::Finalised) => Some(Response::SupplierInvoice),
        (Half::CustomerInvoiceOfOrder, Status::Finalised) => Some(Response::GoodsReceived),
        (Half::RequestRequisition, Status::Finalised) => Some(Response::ResponseRequisition),
        (Half::PurchaseOrder, Status::Confirmed | Status::Finalised) => Some(Response::CustomerInvoiceOfOrder),
        (
            Half::CustomerInvoice | Half::CustomerInvoiceOfOrder | Half::RequestRequisition,
            Status::Draft | Status::Confirmed,
        )
        | (Half::PurchaseOrder, Status::Draft) => None,
    }
}

/// The site that makes the responding half of this initiating half: "if both stores are active on one site the site does it alone",
/// else central (domain.md, "Transfers"). An order that the primary writes for stores of another site is not that site's
/// alone, so central makes its answer.
///
/// # Errors
/// When the record is no half of a transfer, or one of the stores does not exist.
pub fn half_maker(world: &World, initiating: &Record) -> Result<SiteId, Rule> {
    let (store, other, writer) = if let Record::StoreData { store, transfer_with: Some(other), .. } = initiating {
        (store, other, None)
    } else if let Record::Purchase { store, purchase, transfer_with: Some(other) } = initiating {
        (store, other, Some(purchaser(world, store, purchase)?))
    } else {
        return Err(Rule::NoTransfer);
    };
    let site = |store: &String| {
        world.stores.get(store).map(|store| store.active_site).ok_or_else(|| Rule::UnknownStore(store.clone()))
    };
    let (from, to) = (site(store)?, site(other)?);
    Ok(if from == to && writer.is_none_or(|writer| writer == from) { from } else { CENTRAL })
}

/// Whether a site may make the responding half of this initiating half. Central does it in a store that is active elsewhere, and
/// "only if its id was never known there" (architecture, 5.14): "It never changes a half afterwards" (domain.md, "Transfers").
///
/// # Errors
/// The rule that forbids it.
pub fn may_make_half(world: &World, site: SiteId, initiating: &Record, is_known: bool) -> Result<(), Rule> {
    let maker = half_maker(world, initiating)?;
    if site != maker {
        Err(Rule::HalfMadeOn(maker))
    } else if is_known {
        Err(Rule::HalfIsKnown)
    } else {
        Ok(())
    }
}

/// What one copy of a store takes in on its site (seed 001, "mSupply Sync Example").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reception {
    /// "It can receive stock transfers or requisitions from other stores active on the same sync site". Whether these see the
    /// store is asked elsewhere ([`sees`](crate::sees)).
    pub from: BTreeSet<String>,
    /// Where that goes on to, step by step: "These are then synced to sync server, and then to remote site 1".
    pub onward: Vec<BTreeSet<SiteId>>,
}

/// What the copy of a store on a site takes in, and where it goes on to; nothing where there is no copy.
///
/// From an inactive copy it goes to where the store is active, from an active one to its collectors; both by way of central.
pub fn reception(world: &World, store: &str, site: SiteId) -> Option<Reception> {
    let goals = match role_in_force(world, store, site) {
        Role::None => return None,
        Role::Active => sites_holding(world, &BTreeSet::from([store.to_owned()])),
        Role::Collector | Role::Transfer => BTreeSet::from([world.stores.get(store)?.active_site]),
    };
    let goals: BTreeSet<SiteId> = goals.into_iter().filter(|goal| *goal != site).collect();
    let (hub, beyond): (BTreeSet<SiteId>, BTreeSet<SiteId>) = goals.into_iter().partition(|goal| *goal == CENTRAL);
    let passes_hub = site != CENTRAL && (!hub.is_empty() || !beyond.is_empty());
    let steps = [if passes_hub { BTreeSet::from([CENTRAL]) } else { BTreeSet::new() }, beyond];
    let from = world.active_stores(site).into_iter().filter(|other| *other != store).map(str::to_owned).collect();
    Some(Reception { from, onward: steps.into_iter().filter(|step| !step.is_empty()).collect() })
}
