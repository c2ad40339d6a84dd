//! Who writes the orders, tenders, quotes and payments of a store.

use crate::record::{Purchase, PurchaseKind};
use crate::refusal::Rule;
use crate::world::{SiteId, World};

/// The one site that writes a purchase of a store: "never both" (domain.md, "Centralised procurement").
///
/// 1. What was confirmed before the preference changed stays with its old owner (domain.md, the same place).
/// 2. What was entered in supervisor mode is the primary's (seed 000, row "Purchase orders": "Except for centralised procurement
///    or supervisor-mode ordering").
/// 3. While it is centralised all the others are the primary's, but those of a store for which its site keeps local procurement
///    (seed 000, "Centralised procurement").
/// 4. Else they are Store data: the site's where the store is active.
///
/// # Errors
/// When there is no such store, or supervisor mode is not to be had.
pub fn purchaser(world: &World, store: &str, purchase: &Purchase) -> Result<SiteId, Rule> {
    let Some(facts) = world.stores.get(store) else { return Err(Rule::UnknownStore(store.to_owned())) };
    if let Some(site) = purchase.confirmed_before_on {
        return Ok(site);
    }
    let keeps_local = world.procurement.is_centralised && world.procurement.local_stores.contains(store);
    if purchase.is_supervised {
        // "Supervisor mode lets the primary write orders of any store" (domain.md): orders, not the rest.
        if purchase.kind != PurchaseKind::Order || !world.procurement.has_supervisor_mode {
            return Err(Rule::NoSupervisorMode);
        }
        // "And then the primary must not write that store's orders" (domain.md) leaves no room for supervisors either.
        if keeps_local {
            return Err(Rule::KeepsLocalProcurement { store: store.to_owned() });
        }
        return Ok(world.primary());
    }
    let is_the_primary_s = match purchase.kind {
        PurchaseKind::Order | PurchaseKind::TenderOrQuote => world.procurement.is_centralised && !keeps_local,
        // "Payments have their own preference" (domain.md), of which no source knows a local exception.
        PurchaseKind::Payment => world.procurement.has_centralised_payments,
    };
    Ok(if is_the_primary_s { world.primary() } else { facts.active_site })
}
