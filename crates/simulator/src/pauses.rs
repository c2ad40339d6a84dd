//! Sites that central's people disable and enable, pause and let go on while they work, ask to delete although they have stores, and of
//! which they rehearse changes. What a site records meanwhile is kept, and is at central once it syncs again.

use protocol::ids::{RecordId, SiteId};

use crate::mix::Fault;
use crate::model::{Violation, violation};
use crate::world::World;

/// How often central's people look at a site, in a thousand turns.
const TURN_PERMILLE: u64 = 350;
/// Longest pause, in minutes.
const PAUSE_MINUTES_MAX: u64 = 15;
/// Milliseconds of a minute.
const MINUTE_MS: u64 = 60_000;
/// What a site that has stores is refused with when somebody wants to delete it.
const NOT_DELETED: [&str; 6] = [
    "site_has_stores",
    "site_has_moves",
    "site_is_primary",
    "site_has_home_transfers",
    "site_has_claims",
    "central_heals",
];

impl World {
    /// Central's people do something about whether a site syncs.
    pub(crate) fn pause_sites(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Pauses) || !self.random.chance(TURN_PERMILLE) {
            return Ok(());
        }
        let sites: Vec<SiteId> = self.model.devices.iter().map(|device| device.site).collect();
        let site = *self.random.pick(&sites);
        match self.random.below(6) {
            0 | 1 => self.set_disabled(site, true),
            2 => self.set_disabled(site, false),
            3 => self.pause(site),
            4 => self.rehearse_a_move(site),
            _ => self.refuse_deletion(site),
        }
    }

    fn set_disabled(&mut self, site: SiteId, is_disabled: bool) -> Result<(), Violation> {
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        self.paused_ever.insert(site);
        // Whether a commit that fails came through is not known.
        self.disabled.remove(&site);
        let done = live
            .store
            .batch(wall_ms, |batch| if is_disabled { batch.disable_site(site) } else { batch.enable_site(site) });
        match done {
            Ok(Ok(_)) => {
                if is_disabled && !self.centre.disk.is_off() && !self.mix.has_lying_syncs {
                    self.bars += 1;
                    self.disabled.insert(site, self.bars);
                }
                self.note(format_args!("sync of site {site} is disabled: {is_disabled}"));
                self.after_commit()
            }
            Ok(Err(error)) | Err(error) => self.central_failed("disable", &error.to_string()),
        }
    }

    fn pause(&mut self, site: SiteId) -> Result<(), Violation> {
        let minutes = u32::try_from(self.random.range(1, PAUSE_MINUTES_MAX)).unwrap_or(1);
        let is_ended = self.random.chance(300);
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        self.paused_ever.insert(site);
        let done = live.store.batch(wall_ms, |batch| {
            if is_ended { batch.unpause_site(site).map(|_| ()) } else { batch.pause_site(site, minutes).map(|_| ()) }
        });
        match done {
            Ok(Ok(())) => {
                self.note(format_args!("site {site} is paused for {minutes} min, or no more: {is_ended}"));
                self.after_commit()
            }
            Ok(Err(error)) if error.code() == "site_disabled" => Ok(()),
            Ok(Err(error)) | Err(error) => self.central_failed("pause", &error.to_string()),
        }
    }

    /// A store of another site is not moved: everything goes on as if nobody had asked.
    fn rehearse_a_move(&mut self, to: SiteId) -> Result<(), Violation> {
        let stores: Vec<String> = self.model.devices.iter().flat_map(|device| device.stores.clone()).collect();
        if stores.is_empty() {
            return Ok(());
        }
        let store = self.random.pick(&stores).clone();
        let Ok(id) = RecordId::new(&store) else { return Ok(()) };
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        let before = live.store.position();
        match live.store.batch(wall_ms, |batch| batch.rehearse(|batch| batch.move_store(&id, to, true))) {
            Ok(outcome) => {
                let after = live.store.position();
                let what = outcome.map_or_else(|error| error.code().to_owned(), |(moved, _)| format!("{moved:?}"));
                self.note(format_args!("rehearsed that store {store} goes to site {to}: {what}"));
                if before != after {
                    return violation("9", format!("a rehearsal moved central's head from {before} to {after}"));
                }
                self.after_commit()
            }
            Err(error) => self.central_failed("rehearse", &error.to_string()),
        }
    }

    fn refuse_deletion(&mut self, site: SiteId) -> Result<(), Violation> {
        // A central that was set back may have forgotten the stores of a site.
        if self.mix.has(Fault::CentralSetBack) {
            return Ok(());
        }
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        match live.store.batch(wall_ms, |batch| batch.delete_site(site)) {
            Ok(Err(error)) if NOT_DELETED.contains(&error.code()) => {
                self.note(format_args!("site {site} is not deleted: {}", error.code()));
                self.after_commit()
            }
            Ok(Ok(_)) => violation("8", format!("site {site} was deleted with its stores")),
            Ok(Err(error)) | Err(error) => self.central_failed("delete-site", &error.to_string()),
        }
    }

    /// Everybody syncs again.
    pub(crate) fn end_pauses(&mut self) -> Result<(), Violation> {
        self.disabled.clear();
        if !self.mix.has(Fault::Pauses) {
            return Ok(());
        }
        let sites: Vec<SiteId> = self.model.devices.iter().map(|device| device.site).collect();
        // A pause ends by itself as well, but where central's clock jumped it may have years left.
        let waits = !self.mix.has(Fault::Clock);
        if waits {
            self.now_ms += PAUSE_MINUTES_MAX * MINUTE_MS;
        }
        for site in sites {
            let ends_by_itself = waits && site.0 % 2 == 0;
            let wall_ms = self.wall_ms(0);
            let Some(live) = &mut self.centre.live else { return Ok(()) };
            let done = live.store.batch(wall_ms, |batch| {
                batch.enable_site(site)?;
                if ends_by_itself { Ok(false) } else { batch.unpause_site(site) }
            });
            match done {
                Ok(Ok(_)) => self.after_commit()?,
                Ok(Err(error)) | Err(error) => {
                    return violation("10", format!("site {site} cannot be enabled though nothing is wrong: {error}"));
                }
            }
        }
        Ok(())
    }

    /// Whether a site that was never disabled nor paused is told so.
    pub(crate) fn is_told_to_rest(&self, site: SiteId, code: &str) -> bool {
        protocol::message::is_pause(code) && self.paused_ever.contains(&site)
    }

    /// A session that began while its site was disabled, and ended while it was so still, has brought nothing through.
    pub(crate) fn check_rested(&self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let began = device.began_disabled;
        if began.is_some() && self.disabled.get(&device.site).copied() == began {
            return violation("7", format!("device {index} drained although its site {} is disabled", device.site));
        }
        Ok(())
    }
}
