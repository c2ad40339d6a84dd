//! Proposals: central's people apply refused edits of stores that other sites hold, and dismiss some of them meanwhile. Each is answered,
//! once, by whoever holds the store when it is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use central::store::{AppliedSetAside, Proposed, SetAsidePlace, StoreError};
use domain::proposal::MESSAGE_TABLE;
use protocol::ids::SiteId;

use crate::mix::Fault;
use crate::model::{Change, Key, Violation, violation};
use crate::world::World;

/// How often central's people look into a site's set-aside, in a thousand turns.
const TURN_PERMILLE: u64 = 500;
/// Of the refused edits that they look at, how many they dismiss instead, in a thousand.
const DISMISS_PERMILLE: u64 = 150;
/// Refused edits that they choose among.
const LOOKED_AT_MAX: u32 = 50;
/// Refused edits of a site that are asked for at rest.
const AT_REST_MAX: u32 = 10_000;
/// What an edit is refused with that may be another site's.
const ASKED_FOR: [&str; 2] = ["not_store_holder", "not_home_site"];

impl World {
    /// Central's people deal with a refused edit.
    pub(crate) fn propose(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Proposals) || !self.random.chance(TURN_PERMILLE) {
            return Ok(());
        }
        let sites: Vec<SiteId> = self.model.devices.iter().map(|device| device.site).collect();
        let site = *self.random.pick(&sites);
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        let found = match live.store.reading().set_aside(site, None, LOOKED_AT_MAX) {
            Ok(found) => found,
            Err(error) => return self.central_failed("set-aside", &error.to_string()),
        };
        let refused: Vec<(SetAsidePlace, Option<Key>)> = found
            .into_iter()
            .filter(|item| ASKED_FOR.contains(&item.code.as_str()))
            .map(|item| ((item.journal, item.sequence), item.record))
            .collect();
        if refused.is_empty() {
            return Ok(());
        }
        let (place, key) = self.random.pick(&refused).clone();
        if self.random.chance(DISMISS_PERMILLE) {
            return match live.store.batch(wall_ms, |batch| batch.dismiss(site, place.0, place.1)) {
                Ok(Ok(_)) => {
                    self.note(format_args!("{}:{} of site {site} is dismissed", place.0, place.1));
                    self.after_commit()
                }
                Ok(Err(error)) | Err(error) => self.central_failed("dismiss", &error.to_string()),
            };
        }
        match live.store.batch(wall_ms, |batch| batch.apply_set_aside(site, place)) {
            Ok(Ok(AppliedSetAside::Recorded)) => {
                self.note(format_args!("{}:{} of site {site} is recorded at central", place.0, place.1));
                self.after_commit()
            }
            Ok(Ok(AppliedSetAside::Proposed { store, site: asked })) => {
                self.note(format_args!("{}:{} of site {site} is asked of site {asked}, for {store}", place.0, place.1));
                self.note_proposed(place)?;
                self.asked_for.extend(key);
                self.after_commit()
            }
            Ok(Err(error @ StoreError::Refused(_))) => {
                self.note(format_args!("{}:{} of site {site} stays: {error}", place.0, place.1));
                Ok(())
            }
            Ok(Err(error)) | Err(error) => self.central_failed("apply", &error.to_string()),
        }
    }

    fn note_proposed(&mut self, place: SetAsidePlace) -> Result<(), Violation> {
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        match live.store.reading().proposed(place) {
            Ok(Some(proposed)) => drop(self.proposed.insert(proposed.message.to_string())),
            Ok(None) => return violation("12", "a proposal was made, and central does not know of it"),
            // A disk that fails meanwhile shows nothing.
            Err(_) => {}
        }
        Ok(())
    }

    /// Everything is drained: what was asked of a site is answered, with the edit or with a reason.
    pub(crate) fn check_proposals_at_rest(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Proposals) {
            return Ok(());
        }
        let failed = |error: sql::SqlError| violation("10", format!("central's store cannot be read: {error}"));
        let holders = self.inspector.holders().or_else(|error| failed(error).map(|()| BTreeMap::new()))?;
        // One that is on its way still has a site that waits for something else.
        let moves = self.inspector.moves().or_else(|error| failed(error).map(|()| Vec::new()))?;
        let moving: BTreeSet<String> = moves.into_iter().map(|(store, ..)| store).collect();
        let sites: Vec<SiteId> = self.model.devices.iter().map(|device| device.site).collect();
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        for site in sites {
            let mut reading = live.store.reading();
            let aside = reading.set_aside(site, None, AT_REST_MAX).map_err(|error| unreadable(&error))?;
            for item in aside {
                let place = (item.journal, item.sequence);
                let Some(proposed) = reading.proposed(place).map_err(|error| unreadable(&error))? else { continue };
                let holder = holders.get(proposed.store.as_str()).copied().unwrap_or(SiteId::CENTRAL);
                let is_moving = moving.contains(proposed.store.as_str());
                if proposed.declined.is_none() && holder != SiteId::CENTRAL && !is_moving {
                    let (journal, sequence) = place;
                    let at_site = self.standing_at(holder, &proposed)?;
                    let what = format!(
                        "{journal}:{sequence} was asked of site {holder}, and is not answered at rest: {at_site}"
                    );
                    return violation("10", what);
                }
            }
        }
        self.check_answered_once()
    }

    /// What the site that was asked has of it.
    fn standing_at(&self, site: SiteId, proposed: &Proposed) -> Result<String, Violation> {
        let mut said = format!("message {} to store {}", proposed.message, proposed.store);
        for index in self.speakers().into_iter().filter(|index| self.devices[*index].site == site) {
            let key = (MESSAGE_TABLE.to_owned(), proposed.message.to_string());
            let shown = self.shown(index, &key)?;
            let mut core = self.devices[index].live().recorder.core();
            let (grants, owed) = (core.local.grants(), core.local.kept_counts().map(|(_, owed)| owed));
            let _ = write!(said, "; device {index} shows {shown:?}, owes {owed:?}, and holds {grants:?}");
        }
        Ok(said)
    }

    /// Of the answers to one proposal central accepts one. A central that was set back judges anew, and two devices of a site may each have
    /// answered before the one was stopped.
    fn check_answered_once(&self) -> Result<(), Violation> {
        if self.counts.forks > 0 {
            return Ok(());
        }
        let mut answers: BTreeMap<&Key, usize> = BTreeMap::new();
        for device in &self.model.devices {
            for log in &device.logs {
                for (sequence, entry) in (1..).zip(&log.entries) {
                    let is_in = sequence <= log.judged && !log.refused.contains(&sequence);
                    if is_in
                        && entry.key.0 == MESSAGE_TABLE
                        && self.proposed.contains(&entry.key.1)
                        && matches!(entry.change, Change::Patch(_))
                    {
                        *answers.entry(&entry.key).or_default() += 1;
                    }
                }
            }
        }
        match answers.into_iter().find(|(_, count)| *count > 1) {
            Some((key, count)) => violation("12", format!("{key:?} was answered {count} times")),
            None => Ok(()),
        }
    }
}

fn unreadable(error: &StoreError) -> Violation {
    Violation { invariant: "10", text: format!("central's store cannot be read: {error}") }
}
