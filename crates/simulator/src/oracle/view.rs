//! What a device shows (rules 5.2 and 5.3, invariants 4 and 6).

use std::collections::BTreeSet;

use domain::catalogue::DataType;
use domain::json::row_from_json;
use domain::judge::{Found, View};
use protocol::ids::{JournalId, RecordId};

use crate::mix::Fault;
use crate::model::{Columns, Key, Log, Version, Violation, columns_of, violation};
use crate::moves::moved_store_of;
use crate::procurement::Orders;
use crate::transfers::is_of_transfer;
use crate::work::{is_own_user, is_shared_by_other};
use crate::world::World;

/// Records that are compared after a session, at most; all are at the end and after each start.
const SAMPLE_KEYS: usize = 6;

impl World {
    /// What the device shows is what it has to show: all of it, or a sample.
    pub(crate) fn check_view(&mut self, index: usize, is_all: bool) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        if device.live.is_none() || device.is_off() {
            return Ok(());
        }
        // A group of private edits may have become durable in a commit that failed for another group's sake.
        self.note_private(index)?;
        self.check_private_view(index)?;
        let model = self.model.device(index);
        if !model.is_complete {
            return Ok(());
        }
        let set_aside = self.set_aside_of(index)?;
        let keys: Vec<Key> = self.model.device(index).by_key.keys().cloned().collect();
        let chosen = self.sample(keys, is_all);
        for key in chosen {
            self.check_own_record(index, &key, &set_aside)?;
        }
        let keys: Vec<Key> = self.model.versions.keys().cloned().collect();
        let chosen = self.sample(keys, is_all);
        for key in chosen {
            self.check_central_record(index, &key)?;
        }
        Ok(())
    }

    fn sample(&mut self, mut keys: Vec<Key>, is_all: bool) -> Vec<Key> {
        if is_all || keys.len() <= SAMPLE_KEYS {
            return keys;
        }
        (0..SAMPLE_KEYS).map(|_| keys.swap_remove(self.random.index(keys.len()))).collect()
    }

    /// Refusals that the device knows.
    pub(crate) fn set_aside_of(&mut self, index: usize) -> Result<BTreeSet<(JournalId, u64)>, Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(BTreeSet::new()) };
        let listing = device.live().recorder.core().local.set_aside_list(0, 10_000);
        let listing = listing.or_else(|error| violation("10", format!("device {index}: {error}")))?;
        Ok(listing.items.iter().map(|item| (item.journal, item.sequence.0)).collect())
    }

    fn check_own_record(
        &mut self,
        index: usize,
        key: &Key,
        set_aside: &BTreeSet<(JournalId, u64)>,
    ) -> Result<(), Violation> {
        // One that stays on the device, under the id of one that went before, is looked at with what is private.
        if !self.is_site_data(index, key) || self.model.device(index).private_by_key.contains_key(key) {
            return Ok(());
        }
        // What went and was refused stays as it was before, and later edits are shown on top of that.
        if self.is_staying(index, key) || self.fell_back(index, key) {
            return Ok(());
        }
        let found = self.shown(index, key)?;
        let model = self.model.device(index);
        if model.is_unsettled(key) {
            return Ok(());
        }
        let told = model.folded(key, &|log, sequence| set_aside.contains(&(log.id, sequence)));
        // A refusal may have been told to a local copy that is gone.
        let known = model
            .folded(key, &|log, sequence| set_aside.contains(&(log.id, sequence)) || log.refused.contains(&sequence));
        // What another device of the site wrote, and central refused, this one was never told of.
        let newest = model.logs.last().map(|log| log.id);
        let is_others = |log: &Log, sequence: u64| Some(log.id) != newest && log.refused.contains(&sequence);
        let with_others =
            model.folded(key, &|log, sequence| set_aside.contains(&(log.id, sequence)) || is_others(log, sequence));
        if found == told || found == known || found == with_others {
            return Ok(());
        }
        // A central that was set back judges anew.
        if model.logs.iter().any(|log| !log.refused_before.is_empty())
            && found == model.folded(key, &|log, sequence| log.refused.contains(&sequence))
        {
            return Ok(());
        }
        let history = model.history(key);
        violation("5.2", format!("device {index} shows {key:?} as {found:?}, it has to be {told:?}; {history}"))
    }

    /// Whether a record is one that sites write: central's own may be held up by a forged edit.
    fn is_site_data(&self, index: usize, key: &Key) -> bool {
        let Some(device) = self.devices.get(index) else { return false };
        // Of another site, which shares it, of who writes orders by then, or of a store that may be elsewhere.
        if is_shared_by_other(device.site, &key.1)
            || Orders::is_order(key)
            || moved_store_of(key).is_some()
            || is_of_transfer(key)
            || self.asked_for.contains(key)
        {
            return false;
        }
        is_own_user(&key.0, &key.1)
            || device.catalogue().table_by_name(&key.0).is_ok_and(|table| table.data_type() == DataType::Store)
    }

    fn check_central_record(&mut self, index: usize, key: &Key) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let catalogue = std::sync::Arc::clone(device.catalogue());
        let Ok(table) = catalogue.table_by_name(&key.0) else { return Ok(()) };
        let scope = match table.data_type() {
            DataType::CentralDispensary => domain::scope::Scope::DispensarySites.to_id(),
            // A patient goes where it is seen.
            DataType::Central if key.1.starts_with(crate::work::PATIENT_PREFIX) => return Ok(()),
            DataType::Central => domain::scope::Scope::AllSites.to_id(),
            _ => return Ok(()),
        };
        if !table.is_supported() || self.model.device(index).by_key.contains_key(key) {
            return Ok(());
        }
        let state = device.live().recorder.core().local.session_state();
        let state = state.or_else(|error| violation("6", format!("device {index}: {error}")))?;
        let Some(cursor) = state.cursors.iter().find(|cursor| cursor.scope == scope).map(|cursor| cursor.cursor) else {
            return Ok(());
        };
        let found = self.shown(index, key)?;
        let Some(versions) = self.model.versions.get(key) else { return Ok(()) };
        // A record that changed behind the cursor has left its place below it, and may never have been read there.
        let Some(newest) = versions.last().filter(|newest| newest.position <= cursor.number) else { return Ok(()) };
        if columns_at_central(&catalogue, key, newest)? == found {
            return Ok(());
        }
        violation("6", format!("device {index} read up to {} and shows {key:?} as {found:?}", cursor.number))
    }

    fn check_private_view(&mut self, index: usize) -> Result<(), Violation> {
        let keys: Vec<Key> = self.model.device(index).private_by_key.keys().cloned().collect();
        for key in keys {
            let found = self.shown(index, &key)?;
            let expected = self.model.device(index).private_record(&key);
            // What had gone stays as it was, some time, if its journal is given up before central has it.
            let may_stay = self.mix.has(Fault::Withholding) && self.counts.forks > 0 && expected.is_none();
            if found != expected && !(may_stay && self.model.device(index).was_ever(&key, found.as_ref())) {
                let what = format!("device {index} shows private {key:?} as {found:?}, it has to be {expected:?}");
                return violation("4", what);
            }
        }
        Ok(())
    }

    /// A record as the device shows it.
    pub(crate) fn shown(&self, index: usize, key: &Key) -> Result<Option<Columns>, Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(None) };
        let catalogue = device.catalogue();
        let (Ok(table), Ok(id)) = (catalogue.table_by_name(&key.0), RecordId::new(&key.1)) else { return Ok(None) };
        let found = device.live().recorder.core().local.record(table.reference(), &id);
        match found {
            Ok(Found::Here { row, .. }) => Ok(Some(columns_of(catalogue, table.name(), row))),
            Ok(Found::Unknown | Found::Deleted { .. }) => Ok(None),
            Err(error) => violation("6", format!("device {index} cannot read {key:?}: {error}")),
        }
    }
}

/// A version of a record as central has it, in the model's words.
pub(crate) fn columns_at_central(
    catalogue: &domain::catalogue::Catalogue,
    key: &Key,
    version: &Version,
) -> Result<Option<Columns>, Violation> {
    let Some(data) = &version.data else { return Ok(None) };
    let (Ok(table), Ok(id)) = (catalogue.table_by_name(&key.0), RecordId::new(&key.1)) else {
        return violation("3", format!("central has a record {key:?} that nobody can have made"));
    };
    match row_from_json(table, &id, data) {
        Ok(row) => Ok(Some(columns_of(catalogue, table.name(), row))),
        Err(error) => violation("3", format!("central's record {key:?} does not read: {error}")),
    }
}
