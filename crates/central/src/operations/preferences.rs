//! `preference`: what central does otherwise than it would by itself.

use domain::preference::Preference;
use serde_json::{Value, json};

use super::request::Done;
use crate::center::Center;
use crate::error::{CentralError, Exit};

/// Switches a preference on or off.
pub(super) fn set(center: &Center, name: &str, is_on: bool) -> Result<Done, CentralError> {
    let Some(preference) = Preference::of(name) else {
        let known = Preference::ALL.map(Preference::as_str).join(", ");
        let message = format!("{name:?} is no preference that this program knows; it knows {known}");
        let advice = "Give one of these; preferences of other programs are imported, as records of `preference`.";
        return Err(CentralError::new("unknown_preference", message, advice, Exit::Usage));
    };
    let is_new = center.write(move |batch| batch.set_preference(preference, is_on))?;
    tracing::info!(preference = preference.as_str(), is_on, is_new, "a preference was set");
    Ok(Done::ok(json!({ "preference": preference.as_str(), "is_on": is_on, "is_new": is_new })))
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
    Ok(Done::ok(json!({ "preferences": preferences })))
}
