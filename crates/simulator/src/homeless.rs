//! Patients that central takes over without knowing where they belong, and who gives them their first home store: a prescription that
//! was made there, or central's people.

use domain::edit::EditOp;
use protocol::row::Value;

use crate::mix::Fault;
use crate::model::{Change, Key, Logged, Version, Violation, violation};
use crate::visibility::text_in;
use crate::work::{HOMELESS_PREFIX, edit};
use crate::world::World;

/// How many there are.
pub(crate) const HOMELESS: u64 = 3;

const HOME_COLUMN: &str = "supplying_store_id";

impl World {
    /// Central takes over some, and makes them visible.
    pub(crate) fn take_over_patients(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Homeless) || self.centre.live.is_none() || !self.random.chance(400) {
            return Ok(());
        }
        let stores: Vec<String> = self.model.devices.iter().flat_map(|device| device.stores.clone()).collect();
        let patient = format!("{HOMELESS_PREFIX}{}", self.random.below(HOMELESS));
        let value = self.random.below(100);
        let planned = match self.random.below(8) {
            0..=2 => edit("name", EditOp::Put, &patient, &format!("{{\"type\":\"patient\",\"name\":\"{value}\"}}")),
            3 => edit("name", EditOp::Patch, &patient, &format!("{{\"comment\":\"{value}\"}}")),
            4 if self.random.chance(300) => crate::work::gone("name", &patient),
            _ => {
                let store = self.random.pick::<String>(&stores).clone();
                let data = format!("{{\"name_ID\":{patient:?},\"store_ID\":{store:?}}}");
                edit("name_store_join", EditOp::Put, &format!("{patient}-in-{store}"), &data)
            }
        };
        self.import(vec![planned])
    }

    /// Such a patient gets its first home store where a prescription of it was made, and keeps it but for a transfer.
    pub(crate) fn check_first_home(&self, key: &Key, version: &Version) -> Result<(), Violation> {
        let is_moved = self.mix.has(Fault::HomeTransfers) || self.mix.has(Fault::CentralSetBack);
        if key.0 != "name" || !key.1.starts_with(HOMELESS_PREFIX) || is_moved {
            return Ok(());
        }
        let before = self.model.versions.get(key).and_then(|all| all.last()).and_then(|last| last.data.as_deref());
        let home = |data: Option<&str>| data.and_then(|data| text_in(data, HOME_COLUMN));
        let (before, after) = (home(before), home(version.data.as_deref()));
        let Some(store) = after.filter(|store| Some(store) != before.as_ref()) else { return Ok(()) };
        if before.is_some() {
            return violation("8", format!("{key:?} was at home in {before:?} and is in {store}"));
        }
        let is_of = |version: &Version| {
            version.data.as_deref().is_some_and(|data| {
                text_in(data, "name_ID").as_ref() == Some(&key.1)
                    && text_in(data, "store_ID").as_ref() == Some(&store)
                    && data.contains("\"mode\":\"dispensary\"")
            })
        };
        let mut prescriptions = self.model.versions.iter().filter(|(key, _)| key.0 == "transact");
        if prescriptions.any(|(_, versions)| versions.iter().any(is_of)) {
            return Ok(());
        }
        // What was changed again within its commit is in the journals alone.
        let names = |entry: &Logged| match &entry.change {
            Change::Put(columns) | Change::Patch(columns) => {
                columns.get("name_ID") == Some(&Value::Text(key.1.clone())) && entry.key.0 == "transact"
            }
            Change::Delete => false,
        };
        let mut logs = self.model.devices.iter().chain(&self.model.gone).flat_map(|device| &device.logs);
        if logs.any(|log| log.entries.iter().any(names)) {
            return Ok(());
        }
        violation("8", format!("{key:?} is at home in {store}, and was never prescribed anything there"))
    }
}
