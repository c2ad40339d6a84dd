//! Central's janitor: old entries go out of its log, and old tombstones out of its lanes.

use crate::mix::Fault;
use crate::model::Violation;
use crate::world::World;

impl World {
    pub(crate) fn prune_tombstones(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Tombstones) || !self.random.chance(300) {
            return Ok(());
        }
        // A line that somebody forges before its header may be of no store on the device, and go when what all sites receive is read anew.
        if self.mix.has(Fault::LineFirst) {
            return Ok(());
        }
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let newest =
            self.model.versions.values().filter_map(|versions| versions.last()).map(|version| version.position.0);
        let through = self.random.below(newest.max().unwrap_or(0) + 1);
        let rows_max = self.random.range(1, 200);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        match live.store.batch(wall_ms, |batch| batch.prune_tombstones(through, rows_max)) {
            Ok(Ok(gone)) => {
                self.note(format_args!("central takes {gone} tombstones up to {through} out of the lanes"));
                self.after_commit()
            }
            Ok(Err(error)) | Err(error) => self.central_failed("prune-tombstones", &error.to_string()),
        }
    }

    pub(crate) fn prune(&mut self) -> Result<(), Violation> {
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let before_ms = wall_ms.saturating_sub(self.random.below(600_000));
        let entries_max = self.random.range(1, 200);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        match live.store.batch(wall_ms, |batch| batch.prune(before_ms, entries_max)) {
            Ok(Ok(pruned)) => {
                self.note(format_args!("central prunes {pruned} entries"));
                self.after_commit()
            }
            Ok(Err(error)) | Err(error) => self.central_failed("prune", &error.to_string()),
        }
    }
}
