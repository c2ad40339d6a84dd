//! What of Store data stays on a device: nothing that is to go (`domain::withholding`).

use domain::catalogue::Table;
use domain::json::row_from_json;
use domain::judge::{Found, View};
use outpost::local_copy::RecordView;
use protocol::ids::RecordId;

use crate::model::{Key, Violation, violation};
use crate::procurement::Orders;
use crate::visibility::Sight;
use crate::world::World;

impl World {
    /// Whether a record is on a device and nowhere else.
    pub(crate) fn is_staying(&self, index: usize, key: &Key) -> bool {
        let Some(device) = self.devices.get(index) else { return false };
        let (Ok(table), Ok(id)) = (device.catalogue().table_by_name(&key.0), RecordId::new(&key.1)) else {
            return false;
        };
        device.live().recorder.core().local.is_withheld(table.reference(), &id).unwrap_or(false)
    }

    /// Whether a record stayed on a device once, and central refused an edit of it.
    pub(crate) fn fell_back(&mut self, index: usize, key: &Key) -> bool {
        let model = self.model.device(index);
        let entries = model.by_key.get(key).map(Vec::as_slice).unwrap_or_default();
        let is_refused = |(log, sequence): &(usize, u64)| {
            model
                .logs
                .get(*log)
                .is_some_and(|log| log.refused.contains(sequence) || log.refused_before.contains(sequence))
        };
        model.ever_kept.contains(key) && entries.iter().any(is_refused)
    }

    /// A record that is on a device at rest and nowhere else: by the slow model it has to stay, or its header has.
    pub(crate) fn check_staying(
        &self,
        index: usize,
        table: &Table,
        item: &RecordView,
        sight: &Sight,
    ) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let key = (table.name().to_owned(), item.id.clone());
        let was_refused = self.model.devices.get(index).is_some_and(|model| model.by_key.contains_key(&key));
        // An order that its site may write no more stays: central would refuse it.
        if table.merges().is_some()
            || Orders::is_order(&key)
            || was_refused
            || self.model.devices.get(index).is_some_and(|model| model.uncertain.contains(&key))
        {
            return Ok(());
        }
        let what = format!("device {index} keeps {key:?}, {}", item.data);
        let Some(id) = RecordId::new(&item.id).ok() else { return violation("withholding", what) };
        let Ok(row) = row_from_json(table, &id, &item.data) else { return violation("withholding", what) };
        if let (Some(parent), Some(Ok(header))) = (table.parent(), table.header_of(&row)) {
            let mut core = device.live().recorder.core();
            let stays = core.local.is_withheld(&parent.table, &header);
            let is_here = core.local.record(&parent.table, &header);
            // Without its header, or under one that was made again in another store, nobody takes it.
            let is_of_store = |store: Option<&RecordId>| store.map(RecordId::as_str) == item.store.as_deref();
            let is_here =
                is_here.is_ok_and(|found| matches!(&found, Found::Here { store, .. } if is_of_store(store.as_ref())));
            return if is_here && !stays.unwrap_or(false) {
                violation("withholding", format!("{what}, and its header went"))
            } else {
                Ok(())
            };
        }
        let stays = item.store.as_deref().and_then(|store| sight.stays(device.site, store, table.name(), &item.data));
        if stays == Some(false) { violation("withholding", format!("{what}, which is to go")) } else { Ok(()) }
    }
}
