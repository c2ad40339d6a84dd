//! `preference`: what central does otherwise than it would by itself.

use domain::preference::{Preference, StorePreference};
use protocol::ids::RecordId;
use serde_json::{Value, json};

use super::acting::Acting;
use super::request::Done;
use super::sites::record_id;
use crate::center::Center;
use crate::error::{CentralError, Exit};

/// Stores that are named in a list as those where a preference is otherwise, at most.
const STORES_NAMED_MAX: u32 = 100;

/// Switches a preference on or off.
pub(super) fn set(center: &Acting<'_>, name: &str, is_on: bool, store: Option<&str>) -> Result<Done, CentralError> {
    if let Some(preference) = StorePreference::of(name) {
        return set_of_store(center, preference, is_on, store);
    }
    let Some(preference) = Preference::of(name) else {
        let of_stores = StorePreference::ALL.map(StorePreference::as_str);
        let known = [&Preference::ALL.map(Preference::as_str)[..], &of_stores].concat().join(", ");
        let message = format!("{name:?} is no preference that this program knows; it knows {known}");
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

fn set_of_store(
    center: &Acting<'_>,
    preference: StorePreference,
    is_on: bool,
    store: Option<&str>,
) -> Result<Done, CentralError> {
    let name = preference.as_str();
    let Some(store) = store else {
        let message = format!("{name} is a preference of each store, and none was given");
        return Err(CentralError::new("preference_needs_store", message, "Say which: --store ID.", Exit::Usage));
    };
    let id = record_id(store)?;
    let asked = id.clone();
    let is_new = center.write(move |batch| batch.set_store_preference(preference, &asked, is_on))?;
    tracing::info!(preference = name, store = id.as_str(), is_on, is_new, "a preference of a store was set");
    let warning = (!is_on && preference == StorePreference::IncludeTransactions).then_some(
        "what is recorded there from when its site hears of it has no backup on central, nor does central report on it; what central has \
         already goes on being synced",
    );
    Ok(Done::ok(json!({
        "preference": name,
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
    for preference in StorePreference::ALL {
        let others = center.read(move |reading| reading.stores_that_say(preference, STORES_NAMED_MAX))?;
        let others: Vec<&str> = others.iter().map(RecordId::as_str).collect();
        let is_on = preference.is_on_unless_said();
        let key = if is_on { "off_in_stores" } else { "on_in_stores" };
        preferences.push(json!({
            "preference": preference.as_str(),
            "is_on": is_on,
            "is_under_way": false,
            "meaning": preference.meaning(),
            key: others,
        }));
    }
    Ok(Done::ok(json!({ "preferences": preferences })))
}
