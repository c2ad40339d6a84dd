//! `explain STORE`: who may write a store's data, what the store is on which site and why, and what waits for whom.

use std::collections::BTreeMap;

use domain::visibility::VisibleKey;
use protocol::ids::{OwnershipNumber, SiteId};
use serde_json::json;

use super::explain::{add_kept, holder_json, sight_json};
use super::moves::move_json;
use super::request::Done;
use super::sites::record_id;
use crate::center::Center;
use crate::error::CentralError;
use crate::store::{Role, Sight, StoreExplained, StoreStanding};

/// Who may write a store's data, what the store is on which site and why, and what waits for whom.
pub(super) fn explain_store(center: &Center, store: &str) -> Result<Done, CentralError> {
    let id = record_id(store)?;
    let asked = id.clone();
    let (explained, moving, names) = center.read(move |reading| {
        reading.at_once(|reading| {
            let explained = reading.explain_store(&asked)?;
            let names = reading.site(explained.holder.0)?.map(|site| (site.id, site.name));
            let moving = reading.move_of(&asked)?;
            Ok::<_, crate::store::StoreError>((explained, moving, names.into_iter().collect::<BTreeMap<_, _>>()))
        })
    })?;
    let Some(is_here) = explained.is_here else {
        let message = format!("there is no store {store:?} at central, and none was ever there");
        let advice =
            "For a record give its table first: explain TABLE ID. Ids are spelled exactly as they were recorded.";
        return Err(CentralError::refused("unknown_store", message, advice));
    };
    let key = VisibleKey::Store(id.clone());
    let roles = explained.roles.iter().map(|standing| {
        json!({
            "site": standing.site.0,
            "name": standing.name,
            "role": if is_here || standing.role != Role::Active { standing.role.as_str() } else { "deleted" },
            "why": why(&explained, standing),
            "by": standing.sights.iter().map(|sight| sight_json(sight, Some(&key))).collect::<Vec<_>>(),
            "rows_waiting": standing.rows_waiting,
        })
    });
    let mut told = json!({
        "store": id.as_str(),
        "is_here": is_here,
        "holder": holder_json(explained.holder, &names),
        "move": moving.as_ref().map(move_json),
        "roles": roles.collect::<Vec<_>>(),
        "roles_not_named": explained.roles_not_named,
        "withholds": explained.withheld.as_str(),
        "procurement": {
            "is_centralised": explained.procurement.is_centralised,
            "is_kept_local": explained.procurement.is_kept_local,
            "has_supervisor_mode": explained.procurement.has_supervisor_mode,
            "changes": explained.procurement.changes,
        },
    });
    add_kept(&mut told, &explained.kept);
    told["has_more_set_aside"] = explained.has_more_refused.into();
    Ok(Done::ok(told))
}

/// By which rule a store is what it is on a site (seed 001, "Store setup").
fn why(explained: &StoreExplained, standing: &StoreStanding) -> String {
    let is_central = standing.site == SiteId::CENTRAL;
    let words = match standing.role {
        Role::Active if explained.is_here == Some(false) => "its record was deleted; what is here of its data stays",
        Role::Active if !is_central => "it was given to this site (store add)",
        Role::Active if explained.holder.1 == OwnershipNumber(0) => "it never left central",
        Role::Active => "it was taken back to central (store remove)",
        Role::Transfer if is_central => "its data stays on its site (store set-role)",
        Role::Transfer => return seen_by(standing),
        Role::Collector if is_central => "central collects every store that is active elsewhere",
        Role::Collector => return format!("somebody asked for it (store set-role), and {}", seen_by(standing)),
        Role::Resting => "asked for (store set-role), and no store that is active here sees it",
        Role::None => "no store that is active here sees it",
    };
    words.to_owned()
}

/// By which of its stores a site sees the store.
fn seen_by(standing: &StoreStanding) -> String {
    let words = |sight: &Sight| match sight {
        Sight::Store { store, .. } => format!("store {store}, which is active here, sees it (visibility)"),
        Sight::Primary | Sight::Maker => "the site is the primary".to_owned(),
    };
    let more = standing.has_more_sights.then(|| "and more".to_owned());
    standing.sights.iter().map(words).chain(more).collect::<Vec<_>>().join("; ")
}
