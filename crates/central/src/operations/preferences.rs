//! `preference`: what central does otherwise than it would by itself.

use domain::preference::Preference;
use domain::withholding::Withheld;
use serde_json::{Value, json};

use super::request::Done;
use super::sites::record_id;
use crate::center::Center;
use crate::error::{CentralError, Exit};
use crate::store::{Keeping, Reading};

/// mSupply's "Include transactions in sync", which each store has; on unless it was switched off (seed 001, "Store setup").
const INCLUDE_TRANSACTIONS: &str = "include-transactions";

/// Switches a preference on or off.
pub(super) fn set(center: &Center, name: &str, is_on: bool, store: Option<&str>) -> Result<Done, CentralError> {
    if name == INCLUDE_TRANSACTIONS {
        return set_includes_transactions(center, is_on, store);
    }
    let Some(preference) = Preference::of(name) else {
        let known = Preference::ALL.map(Preference::as_str).join(", ");
        let message =
            format!("{name:?} is no preference that this program knows; it knows {known}, {INCLUDE_TRANSACTIONS}");
        let advice = "Give one of these; preferences of other programs are imported, as records of `preference`.";
        return Err(CentralError::new("unknown_preference", message, advice, Exit::Usage));
    };
    if let Some(store) = store {
        let message = format!("{name} is one preference for all stores, and was asked for store {store}");
        return Err(CentralError::new("not_of_a_store", message, "Leave --store out.", Exit::Usage));
    }
    let is_new = center.write(move |batch| batch.set_preference(preference, is_on))?;
    tracing::info!(preference = preference.as_str(), is_on, is_new, "a preference was set");
    Ok(Done::ok(json!({ "preference": preference.as_str(), "is_on": is_on, "is_new": is_new })))
}

fn set_includes_transactions(center: &Center, is_on: bool, store: Option<&str>) -> Result<Done, CentralError> {
    let Some(store) = store else {
        let message = format!("{INCLUDE_TRANSACTIONS} is a preference of each store, and none was given");
        return Err(CentralError::new("store_missing", message, "Say which: --store ID.", Exit::Usage));
    };
    let id = record_id(store)?;
    let (asked, keeping) = (id.clone(), Keeping { what: Withheld::Transactions, is_kept: !is_on });
    let is_new = center.write(move |batch| batch.set_withheld(&asked, keeping))?;
    tracing::info!(store = id.as_str(), is_on, is_new, "whether a store includes its transactions in sync was set");
    let warning = (!is_on).then_some(
        "what is recorded there from when its site hears of it has no backup on central, nor does central report on it; what central has \
         already goes on being synced",
    );
    Ok(Done::ok(json!({
        "preference": INCLUDE_TRANSACTIONS,
        "store": id.as_str(),
        "is_on": is_on,
        "is_new": is_new,
        "warning": warning,
    })))
}

/// Every preference, and whether it is on.
pub(super) fn list(center: &Center) -> Result<Done, CentralError> {
    let mut preferences: Vec<Value> = Vec::new();
    for preference in Preference::ALL {
        let is_on = center.read(move |reading| reading.is_preference_on(preference))?;
        let is_under_way = center.read(move |reading| reading.is_under_way(preference))?;
        preferences.push(json!({
            "preference": preference.as_str(),
            "is_on": is_on,
            "is_under_way": is_under_way,
            "meaning": preference.meaning(),
        }));
    }
    let withholding = center.read(|reading: &mut Reading<'_>| reading.stores_that_withhold())?;
    let off = withholding.iter().filter(|(_, withheld)| *withheld == Withheld::Transactions);
    let off: Vec<&str> = off.map(|(store, _)| store.as_str()).collect();
    preferences.push(json!({
        "preference": INCLUDE_TRANSACTIONS,
        "is_on": true,
        "is_under_way": false,
        "meaning": "of each store: transactions, stock lines and stocktakes of a dispensary are synced, not only transfers",
        "off_in_stores": off,
    }));
    Ok(Done::ok(json!({ "preferences": preferences })))
}
