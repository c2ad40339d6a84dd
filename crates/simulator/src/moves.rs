//! Stores that move between sites, and that never two sites write one.

use domain::edit::{Edit, EditOp};
use protocol::ids::{RecordId, SiteId};

use crate::device::Role;
use crate::mix::Fault;
use crate::model::{Key, Violation, violation};
use crate::numbers::numbered_store_of;
use crate::visibility::name_of;
use crate::world::World;

/// How many stores move.
pub(crate) const MOVED: u64 = 2;
/// How the ids of records of such stores begin.
pub(crate) const MOVED_PREFIX: &str = "mv-";
/// How the ids of those begin that somebody forges.
pub(crate) const FORGED_PREFIX: &str = "mvf-";
/// How often a store goes somewhere, in a thousand turns of central's people.
const MOVE_PERMILLE: u64 = 300;

/// The id of the store that moves as the n-th.
pub(crate) fn moved_store(number: u64) -> String {
    format!("moved-store-{number}")
}

/// Whether a store is one of those that move.
pub(crate) fn is_moved_store(store: &str) -> bool {
    (0..MOVED).any(|number| moved_store(number) == store)
}

/// The store that moves of which a record is; `None` of any other record.
pub(crate) fn moved_store_of(key: &Key) -> Option<String> {
    if let Some(store) = numbered_store_of(key) {
        return Some(store);
    }
    let rest = key.1.strip_prefix(MOVED_PREFIX).or_else(|| key.1.strip_prefix(FORGED_PREFIX))?;
    let number = rest.split('-').next()?.parse().ok()?;
    Some(moved_store(number))
}

impl World {
    /// Central lets one of its stores be active elsewhere.
    pub(crate) fn move_stores(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Moves) || !self.random.chance(MOVE_PERMILLE) {
            return Ok(());
        }
        let store = moved_store(self.random.below(MOVED));
        let id = RecordId::new(&store).expect("it is short");
        let key = ("store".to_owned(), store.clone());
        if self.model.versions.get(&key).and_then(|versions| versions.last()).is_none() {
            let mode = *self.random.pick(&["dispensary", "store"]);
            let name = name_of(&store);
            let data =
                format!("{{\"name\":{store:?},\"code\":{store:?},\"name_ID\":{name:?},\"store_mode\":{mode:?}}}");
            self.import(vec![Edit { table: "store".to_owned(), op: EditOp::Put, id: id.clone(), data: Some(data) }])?;
        }
        let mut sites: Vec<SiteId> = self.model.devices.iter().map(|device| device.site).collect();
        sites.push(SiteId::CENTRAL);
        let (site, is_at_once) = (*self.random.pick(&sites), self.random.chance(150));
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        match live.store.batch(wall_ms, |batch| batch.move_store(&id, site, is_at_once)) {
            Ok(Ok(moved)) => {
                self.note(format_args!("store {store} is to be at site {site}, at once: {is_at_once}: {moved:?}"));
                if is_at_once {
                    self.hurried.insert(store);
                }
                self.after_commit()
            }
            Ok(Err(error)) if matches!(error.code(), "central_heals" | "unknown_store" | "store_held_before") => {
                self.note(format_args!("store {store} does not go to site {site}: {}", error.code()));
                Ok(())
            }
            Ok(Err(error)) | Err(error) => self.central_failed("move-store", &error.to_string()),
        }
    }

    /// Of two sites at most one records in a store, where nobody was hurried and nothing copied or set back.
    pub(crate) fn check_writers(&self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Moves) || self.counts.forks > 0 || self.mix.has(Fault::CentralSetBack) {
            return Ok(());
        }
        for store in (0..MOVED).map(moved_store).filter(|store| !self.hurried.contains(store)) {
            let mut writers = Vec::new();
            for (index, device) in self.devices.iter().enumerate() {
                if device.role != Role::Active || device.live.is_none() || device.is_off() {
                    continue;
                }
                let grants = device.live().recorder.core().local.grants();
                let grants = grants.or_else(|error| violation("6", format!("device {index}: {error}")))?;
                let held = grants.into_iter().find(|(held, _)| *held == store);
                writers.extend(held.map(|(_, number)| (device.site, number)));
            }
            if writers.len() > 1 {
                return violation("8", format!("{store} is recorded in by two sites: {writers:?}"));
            }
        }
        Ok(())
    }

    /// Invariant 10: no store is on its way when everything is drained, unless what waits for its header holds it up.
    pub(crate) fn check_moves_ended(&mut self) -> Result<(), Violation> {
        let failed = |error: sql::SqlError| violation("3", format!("central's store cannot be read: {error}"));
        let moves = self.inspector.moves().or_else(|error| failed(error).map(|()| Vec::new()))?;
        for (store, fills, site) in moves {
            let waits = self.inspector.waits(site).or_else(|error| failed(error).map(|()| true))?;
            let has_device = self.speakers().iter().any(|index| self.devices[*index].site == site);
            if has_device && (fills || !waits) {
                return violation("10", format!("everything is drained, and {store} still waits for site {site}"));
            }
        }
        Ok(())
    }
}
