//! Sites that come and go: central's people add one without stores, its device enrols and sends what is refused, the site is deleted, and
//! the device comes all the same. Nothing of it is taken, and the site's id is not given again.

use central::store::{EnrollingDevice, NewSite, SiteKind};
use codec::Ed25519Signer;
use protocol::chain;
use protocol::check;
use protocol::edge::Signer as _;
use protocol::entry::{Entry, Operation};
use protocol::exchange::Standing;
use protocol::frame::Frame;
use protocol::ids::{
    CredentialGeneration, HardwareSalt, JournalId, Nonce, OwnershipNumber, PublicKey, RecordId, Sequence, SiteId,
};
use protocol::message::{RequestHead, SITE_DELETED};
use protocol::row::Row;

use crate::mix::Fault;
use crate::model::{Violation, violation};
use crate::operators::hardware;
use crate::world::World;

/// How the names of such sites begin.
pub(crate) const PASSING: &str = "passing ";
/// How often something happens to one, in a thousand turns.
const TURN_PERMILLE: u64 = 400;
/// Of what its device is made: no other device is.
const HARDWARE: u8 = 250;

/// A site that comes and goes.
#[derive(Debug, Clone)]
pub struct Passing {
    site: SiteId,
    key: PublicKey,
    journal: JournalId,
    /// Whether its deletion is certain.
    is_deleted: bool,
}

impl World {
    /// Something happens to a site that comes and goes.
    pub(crate) fn come_and_go(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Deletions) || !self.random.chance(TURN_PERMILLE) {
            return Ok(());
        }
        if self.centre.live.is_none() || self.centre.disk.is_off() {
            return Ok(());
        }
        let living = self.passing.iter().rposition(|passing| !passing.is_deleted);
        match (living, self.passing.len()) {
            (None, 0) => self.add_passing(),
            (None, count) if self.random.chance(500) => self.come_though_deleted(count - 1),
            (None, _) => self.add_passing(),
            (Some(index), _) if self.random.chance(500) => self.delete_passing(index),
            (Some(index), _) => self.send_in_passing(index),
        }
    }

    /// Whether what was committed just now is certain.
    fn is_certain(&self) -> bool {
        !self.centre.disk.is_off() && !self.mix.has_lying_syncs
    }

    fn add_passing(&mut self) -> Result<(), Violation> {
        let key = Ed25519Signer::from_seed(&self.random.bytes()).public_key();
        let journal = JournalId(self.random.bytes());
        let new = NewSite {
            // A name that was free once is free again.
            name: format!("{PASSING}{}", self.random.below(2)),
            code: String::new(),
            kind: SiteKind::Mobile,
            password_hash: "hash".to_owned(),
            salt: HardwareSalt([7; 16]),
            stores: Vec::new(),
        };
        let device = EnrollingDevice { key, journal, hardware: hardware(HARDWARE), kind: SiteKind::Standalone };
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        let added = live.store.batch(wall_ms, |batch| {
            let site = batch.add_site(&new)?;
            batch.enrol(site, &device)?;
            Ok::<_, central::store::StoreError>(site)
        });
        match added {
            Ok(Ok(site)) => {
                self.note(format_args!("site {site} {} comes", new.name));
                if self.is_certain() {
                    let is_others = self.model.devices.iter().any(|device| device.site == site);
                    if is_others || !self.given_ids.insert(site) {
                        return violation("9", format!("the id of site {site} was given before"));
                    }
                    self.passing.push(Passing { site, key, journal, is_deleted: false });
                }
                self.after_commit()
            }
            // One of which the commit was not certain came through.
            Ok(Err(error)) if error.code() == "site_name_taken" => self.end_passing(),
            Ok(Err(error)) | Err(error) => self.central_failed("add-site", &error.to_string()),
        }
    }

    /// Its device sends an edit that central has to refuse.
    fn send_in_passing(&mut self, index: usize) -> Result<(), Violation> {
        let Some(passing) = self.passing.get(index).cloned() else { return Ok(()) };
        let catalogue = std::sync::Arc::clone(self.centre.catalogue());
        let Ok(items) = catalogue.table_by_name("item") else { return Ok(()) };
        let entry = Entry {
            is_group_end: true,
            ownership: OwnershipNumber(0),
            table: items.reference().clone(),
            record: RecordId::new("passing-item").expect("it is short"),
            operation: Operation::Put(Row::new(Vec::new()).expect("no column is within the limits")),
        };
        let before = chain::genesis(passing.site, passing.journal, None);
        let bytes = entry.encode();
        let hash = chain::extend(before, &bytes);
        let frame = Frame {
            journal: passing.journal,
            first: Sequence(1),
            before,
            entries: vec![(bytes, hash)],
            refused: Vec::new(),
        };
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        let sent = live.store.batch(wall_ms, |batch| batch.store_frame(passing.site, &frame));
        match sent {
            Ok(Ok(_)) => self.after_commit(),
            // Its place may be another's by now, where a commit was not certain.
            Ok(Err(error)) if matches!(error.code(), "unknown_journal" | "unknown_site") => Ok(()),
            Ok(Err(error)) | Err(error) => self.central_failed("passing", &error.to_string()),
        }
    }

    fn delete_passing(&mut self, index: usize) -> Result<(), Violation> {
        let Some(passing) = self.passing.get(index).cloned() else { return Ok(()) };
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        let before = live.store.position();
        match live.store.batch(wall_ms, |batch| batch.delete_site(passing.site)) {
            Ok(Ok(deleted)) => {
                let after = live.store.position();
                self.note(format_args!("site {} {} is deleted", passing.site, deleted.name));
                if before != after {
                    let what = format!("the edits of site {}, all refused, moved central's head", passing.site);
                    return violation("8", what);
                }
                if self.is_certain()
                    && let Some(passing) = self.passing.get_mut(index)
                {
                    passing.is_deleted = true;
                }
                self.after_commit()
            }
            Ok(Err(error)) if error.code() == "central_heals" => Ok(()),
            Ok(Err(error)) if error.code() == SITE_DELETED => {
                // Of which the commit was not certain.
                if let Some(passing) = self.passing.get_mut(index) {
                    passing.is_deleted = true;
                }
                Ok(())
            }
            Ok(Err(error)) | Err(error) => self.central_failed("delete-site", &error.to_string()),
        }
    }

    /// Its device comes all the same, and so does whoever enrols for it.
    fn come_though_deleted(&mut self, index: usize) -> Result<(), Violation> {
        let Some(passing) = self.passing.get(index).cloned() else { return Ok(()) };
        let head = check::head(passing.site, passing.journal, CredentialGeneration(1), [0; 8]);
        let head = RequestHead { head_hash: chain::genesis(passing.site, passing.journal, None), ..head };
        let (standing, nonce) = (Standing::Retired, Nonce(self.random.bytes()));
        let device = EnrollingDevice {
            key: passing.key,
            journal: passing.journal,
            hardware: hardware(HARDWARE),
            kind: SiteKind::Standalone,
        };
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        let told = live.store.batch(wall_ms, |batch| {
            let begun = batch.begin(&head.clone().into(), standing, nonce).map(|_| ());
            let enrolled = batch.enrol(passing.site, &device).map(|_| ());
            [begun, enrolled]
        });
        match told {
            Ok(told) => {
                for told in told {
                    match told {
                        Err(error) if error.code() == SITE_DELETED => {}
                        Ok(()) => return violation("9", format!("site {} was deleted, and comes back", passing.site)),
                        Err(error) => return self.central_failed("passing", &error.to_string()),
                    }
                }
                self.note(format_args!("the device of site {} is told that it was deleted", passing.site));
                self.after_commit()
            }
            Err(error) => self.central_failed("passing", &error.to_string()),
        }
    }

    /// None of these is left that anybody waits for.
    pub(crate) fn end_passing(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Deletions) {
            return Ok(());
        }
        let wall_ms = self.wall_ms(self.centre.clock_off_ms);
        let Some(live) = &mut self.centre.live else { return Ok(()) };
        let sites = live.store.reading().sites();
        let sites = match sites {
            Ok(sites) => sites,
            Err(error) => return self.central_failed("passing", &error.to_string()),
        };
        for site in sites.iter().filter(|site| site.name.starts_with(PASSING)).map(|site| site.id) {
            let Some(live) = &mut self.centre.live else { return Ok(()) };
            let ended = live.store.batch(wall_ms, |batch| {
                batch.reset_hardware(site)?;
                batch.delete_site(site)
            });
            match ended {
                Ok(Ok(_)) => {}
                Ok(Err(error)) if error.code() == "central_heals" => {}
                Ok(Err(error)) | Err(error) => return self.central_failed("passing", &error.to_string()),
            }
            self.passing.retain(|passing| passing.site != site);
            self.after_commit()?;
        }
        Ok(())
    }
}
