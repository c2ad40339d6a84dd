//! The end of a run: nothing goes wrong any more, everything drains within the bound of invariant 10, and every copy is compared
//! with the model and with every other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::catalogue::DataType;
use domain::merge::Merged;
use domain::preference::Preference;
use protocol::ids::SiteId;

use crate::centre::Said;
use crate::device::{Role, Step};
use crate::inspect::RecordRow;
use crate::mix::Fault;
use crate::model::{Columns, Expected, Key, Violation, violation};
use crate::moves::{MOVED, moved_store, moved_store_of};
use crate::oracle::columns_at_central;
use crate::procurement::Orders;
use crate::transfers::{With, is_of_transfer};
use crate::visibility::Sight;
use crate::work::{HOME_MERGES, LOCATION_MERGES, is_own_user};
use crate::world::World;

/// Sessions for each site until it is drained: 2 and the longest chain of waits, which is one (a line and its header).
const SESSIONS_MAX: u64 = 3;
/// Sessions that it may take beside that to see which of two devices goes on, and to heal with a central that was set back.
const FORK_SESSIONS: u64 = 3;
/// Sessions that a patient takes beside that to get to another home: its home site reads that it goes, and says that it has.
const HOME_SESSIONS: u64 = 2;
/// Sessions that a store takes beside that to get to another site: its old site hears of it, and says that it has; its new site reads it,
/// says that it has, and hears that it writes it.
const MOVE_SESSIONS: u64 = 3;
/// Sessions that it takes beside that until central data is back in order: the primary reads that it is one no more, says that it has, and
/// is told what it receives no more, which it confirms with the next.
const MIRROR_SESSIONS: u64 = 1;
/// Sessions that a proposal takes beside that: its site reads it, and sends the answer.
const PROPOSAL_SESSIONS: u64 = 2;
/// Sessions that transfers take beside that: the other site reads its half, sends the number, the sending site reads that, sends its link,
/// and the other site reads it; what was proposed before the half had its number is proposed again, and answered.
const TRANSFER_SESSIONS: u64 = 6;
/// How often a session that failed because of a fork is tried again at once, when somebody has seen to it.
const TRIES_MAX: u32 = 8;
/// Requests of one session, at most: more is a session that does not end.
const REQUESTS_MAX: u64 = 100_000;

impl World {
    /// Faults end, everybody syncs, and everything is compared.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn settle(&mut self) -> Result<(), Violation> {
        self.heal()?;
        let forks = if self.counts.forks > 0 { FORK_SESSIONS } else { 0 };
        let transfers = if self.mix.has(Fault::HomeTransfers) { HOME_SESSIONS } else { 0 };
        let moves = if self.mix.has(Fault::Moves) { MOVE_SESSIONS } else { 0 };
        let proposals = if self.mix.has(Fault::Proposals) { PROPOSAL_SESSIONS } else { 0 };
        let halves = if self.mix.has(Fault::Transfers) { TRANSFER_SESSIONS } else { 0 };
        let mirror = if self.mix.has(Fault::Mirror) { MIRROR_SESSIONS } else { 0 };
        let rounds = SESSIONS_MAX + mirror + forks + transfers + moves + proposals + halves;
        for round in 1..=rounds {
            for index in 0..self.devices.len() {
                self.sync_calmly(index, round < rounds, TRIES_MAX)?;
                if round == 1 {
                    self.record_rest(index)?;
                }
            }
            self.judge_rest()?;
            self.note(format_args!("round {round} is over"));
        }
        self.check_central_log()?;
        for index in self.speakers() {
            if self.actives(self.devices[index].site).len() > 1 {
                return violation("11", format!("device {index} is one of two at rest, and nobody was told"));
            }
            self.check_device(index)?;
        }
        self.check_healed()?;
        self.check_moves_ended()?;
        self.check_central_fold()?;
        self.check_proposals_at_rest()?;
        self.check_transfers_at_rest()?;
        self.check_numbers_at_rest()
    }

    /// Rule 5.12: once every site has synced, a central that was set back waits for none.
    fn check_healed(&mut self) -> Result<(), Violation> {
        let failed = |error: sql::SqlError| violation("3", format!("central's store cannot be read: {error}"));
        let unreported = self.inspector.unreported_sites().or_else(|error| failed(error).map(|()| Vec::new()))?;
        match unreported.first() {
            Some(site) => {
                violation("10", format!("everything is drained, and central waits for a report of site {site}"))
            }
            None => Ok(()),
        }
    }

    /// Everything is up, and what was in store to go wrong is taken back.
    fn heal(&mut self) -> Result<(), Violation> {
        self.is_chaos = false;
        self.note(format_args!("faults end"));
        self.forget_events();
        self.centre.disk.clear_faults();
        self.centre.disk.set_free_bytes(None);
        self.centre.clock_off_ms = 0;
        self.is_centre_excused = false;
        if let Some(live) = &self.centre.live {
            for connection in live.connections() {
                self.centre.forget(connection);
            }
        }
        // What an earlier error left behind is what a supervisor's restart clears.
        self.inspector.close();
        self.centre.kill();
        self.start_centre()?;
        self.end_pauses()?;
        self.end_passing()?;
        for index in 0..self.devices.len() {
            if self.devices.get(index).is_some_and(|device| device.role == Role::Gone) {
                continue;
            }
            if let Some(until_ms) = self.asleep_until_ms.get_mut(index) {
                *until_ms = 0;
            }
            if let Some(device) = self.devices.get_mut(index) {
                device.heal();
                device.kill(&mut self.random);
            }
            // A damaged device may first have to be replaced.
            for _ in 0..3 {
                let is_live = self.devices.get(index).is_some_and(|device| device.live.is_some());
                if !is_live {
                    self.open_device(index)?;
                    let site = self.devices[index].site;
                    if self.devices[index].live.is_none() && self.forks.contains_key(&site) {
                        self.administer(site)?;
                    }
                }
            }
            if self.devices.get(index).is_some_and(|device| device.role == Role::Gone) {
                continue;
            }
            if self.devices.get(index).is_none_or(|device| device.live.is_none()) {
                return violation("10", format!("device {index} does not come up though nothing is wrong"));
            }
            self.excused.remove(&index);
            self.record_rest(index)?;
        }
        self.forget_events();
        Ok(())
    }

    /// Headers that lines wait for. Grants come with the first session; until then nothing may be written.
    fn record_rest(&mut self, index: usize) -> Result<(), Violation> {
        let rest = self.with_office(index, crate::work::Desk::rest).unwrap_or_default();
        if rest.is_empty() { Ok(()) } else { self.record(index, rest) }
    }

    /// One session over a link that does nothing wrong. It may give up only if `may_stall`, and only while central judges so
    /// little at once that the journals of a wiped device keep it waiting.
    pub(crate) fn sync_calmly(&mut self, index: usize, may_stall: bool, tries: u32) -> Result<(), Violation> {
        if self.devices.get(index).is_none_or(|device| device.role == Role::Gone) {
            return Ok(());
        }
        let wall_ms = self.device_wall_ms(index);
        self.note_session(index);
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        let mut step = device.begin_session(&mut self.codec, wall_ms);
        for _ in 0..REQUESTS_MAX {
            match step {
                Ok(Step::Sends(request)) => {
                    self.check_request(index, &request)?;
                    step = self.exchange_calmly(index, request)?;
                }
                Ok(Step::Over(report)) => {
                    self.note_handed_back(index)?;
                    if let Some(failure) = &report.failure {
                        let is_retired = self.devices[index].role == Role::Retired;
                        if is_retired && self.is_told_retired(index, &failure.code) {
                            return self.check_retired(index);
                        }
                        let is_of_forks = matches!(failure.code.as_str(), "unknown_journal" | "fork");
                        if tries > 0 && (is_of_forks || is_retired || self.is_forked(index)) {
                            self.note(format_args!("device {index} ends with {}", failure.code));
                            self.see_to_calmly(index, failure)?;
                            return self.sync_calmly(index, may_stall, tries - 1);
                        }
                        if failure.code == "stalled" && may_stall && self.has_unjudged_journal(index) {
                            self.note(format_args!("device {index} waits for what central has to judge"));
                            return Ok(());
                        }
                        let what =
                            format!("device {index}: a calm session ends with {}: {}", failure.code, failure.message);
                        return violation("10", what);
                    }
                    self.note(format_args!("device {index} drained"));
                    self.counts.sessions += 1;
                    self.counts.drained += 1;
                    self.check_floor(index)?;
                    self.check_drained(index)?;
                    return self.check_view(index, false);
                }
                Ok(Step::Waits) => return violation("10", format!("device {index} waits for nothing")),
                Err(error) if tries > 0 && error.code == outpost::sync_runner::LOST_HISTORY => {
                    self.device_failed(index, &error)?;
                    self.open_device(index)?;
                    return self.sync_calmly(index, may_stall, tries - 1);
                }
                Err(error) => return violation("1", format!("device {index} fails though nothing is wrong: {error}")),
            }
        }
        violation("10", format!("a session of device {index} does not end"))
    }

    /// What a session found is seen to at once.
    fn see_to_calmly(&mut self, index: usize, failure: &outpost::sync_runner::SessionFailure) -> Result<(), Violation> {
        let site = self.devices[index].site;
        let is_stopped = failure.code == "site_stopped" || self.actives(site).len() > 1;
        self.check_failure(index, Some(failure))?;
        if is_stopped && self.forks.contains_key(&site) {
            self.administer(site)?;
        }
        Ok(())
    }

    /// Everything that an old device still has is at central, in set-aside, and it is told so.
    fn check_retired(&mut self, index: usize) -> Result<(), Violation> {
        self.check_floor(index)?;
        // A journal that took the place of a damaged one, and that central had not heard of before the device was retired, it takes
        // no more: docs/sync-protocol.md.
        let journal = self.devices[index].identity.journal;
        if !self.is_in_central_log(journal, u64::MAX)? {
            return Ok(());
        }
        let log = self.model.device(index).log();
        if log.committed != log.head() && !log.is_elsewhere {
            let (committed, head) = (log.committed, log.head());
            return violation("11", format!("central has {committed} of {head} entries of the old device {index}"));
        }
        self.note(format_args!("device {index} is told that another one took its place"));
        Ok(())
    }

    fn exchange_calmly(
        &mut self,
        index: usize,
        request: Vec<u8>,
    ) -> Result<Result<Step, outpost::error::AgentError>, Violation> {
        self.last_connection += 1;
        let connection = self.last_connection;
        if let Some(underway) = self.devices.get_mut(index).and_then(|device| device.live_mut().session.as_mut()) {
            underway.connection = connection;
        }
        let mut said = self.centre.feed(connection, Some(request), self.now_ms, &mut self.codec, &mut self.random);
        said.extend(self.centre.feed(connection, None, self.now_ms, &mut self.codec, &mut self.random));
        while self.centre.has_jobs() {
            let wall_ms = self.wall_ms(0);
            let (more, is_committed) = self.centre.commit(self.now_ms, wall_ms, &mut self.codec, &mut self.random);
            if !is_committed {
                return violation("10", "a commit of central fails though nothing is wrong");
            }
            self.after_commit()?;
            said.extend(more);
        }
        let wall_ms = self.device_wall_ms(index);
        let mut step = Ok(Step::Waits);
        for said in said {
            let before = self.rows_stored(index);
            let Some(device) = self.devices.get_mut(index) else { break };
            step = match said {
                Said::Bytes(_, bytes) => device.take_reply(&mut self.codec, &bytes, wall_ms),
                Said::Refused(_, _, bytes) => match device.take_reply(&mut self.codec, &bytes, wall_ms) {
                    Ok(Step::Waits) => device.end_exchange(&mut self.codec, None, wall_ms),
                    step => step,
                },
                Said::End(_) => device.end_exchange(&mut self.codec, None, wall_ms),
                Said::Failed(_) => return violation("10", "central fails though nothing is wrong"),
            };
            if self.rows_stored(index) > before {
                self.check_pushed_before_pulled(index)?;
            }
            if !matches!(step, Ok(Step::Waits)) {
                break;
            }
        }
        Ok(step)
    }

    /// What was left to be judged later is judged, and prescriptions and orders of before are put where they are to be seen.
    fn judge_rest(&mut self) -> Result<(), Violation> {
        self.carry_out_all(Preference::PrescriptionsWhereVisible)?;
        self.carry_out_all(Preference::CentralisedProcurement)?;
        self.try_transfers_again()?;
        let sites: Vec<_> = self.devices.iter().map(|device| device.site).collect();
        for site in sites {
            let wall_ms = self.wall_ms(0);
            let Some(live) = &mut self.centre.live else { return violation("10", "central is not up") };
            match live.store.batch(wall_ms, |batch| batch.judge(site, &mut || true)) {
                Ok(Ok(_)) => self.after_commit()?,
                Ok(Err(error)) | Err(error) => {
                    return violation("10", format!("central cannot judge though nothing is wrong: {error}"));
                }
            }
        }
        Ok(())
    }

    fn carry_out_all(&mut self, preference: Preference) -> Result<(), Violation> {
        loop {
            let wall_ms = self.wall_ms(0);
            let Some(live) = &mut self.centre.live else { return violation("10", "central is not up") };
            match live.store.batch(wall_ms, |batch| batch.carry_out_step(preference, 5)) {
                Ok(Ok(true)) => self.after_commit()?,
                Ok(Ok(false)) => return Ok(()),
                Ok(Err(error)) | Err(error) => {
                    let what = preference.as_str();
                    return violation(
                        "10",
                        format!("central cannot carry out {what} though nothing is wrong: {error}"),
                    );
                }
            }
        }
    }

    /// A device at rest: nothing is unsent or unjudged, refusals lie in set-aside, and what it shows is what central has.
    fn check_device(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let queue = device.live().recorder.core().local.queue_view();
        let queue = queue.or_else(|error| violation("10", format!("device {index}: {error}")))?;
        if queue.unsent != 0 || queue.unjudged != 0 {
            return violation("10", format!("device {index} is not drained: {queue:?}"));
        }
        let set_aside = self.set_aside_of(index)?;
        for (journal, sequence) in &set_aside {
            let model = self.model.device(index);
            let site = model.site;
            // Central's verdicts were noted in one of the logs of a journal that was copied.
            let is_refused = self
                .model
                .of_site(site)
                .any(|device| device.log_of(*journal).is_some_and(|(_, log)| log.refused.contains(sequence)));
            let model = self.model.device(index);
            // The verdicts on a closed journal that a central lost are not asked for again: docs/sync-protocol.md, "Known
            // limits".
            let was_refused =
                model.log_of(*journal).is_some_and(|(_, log)| log.is_closed && log.refused_before.contains(sequence));
            // What a central that was set back does not have any more may not come again.
            let is_known = model.log_of(*journal).is_some_and(|(_, log)| *sequence <= log.committed);
            if !is_refused && !was_refused && is_known && self.is_in_central_log(*journal, *sequence)? {
                return violation("3", format!("device {index} set entry {sequence} aside, central did not refuse it"));
            }
        }
        self.compare_with_central(index)?;
        self.check_compared(index)?;
        self.check_view(index, true)
    }

    fn is_in_central_log(&mut self, journal: protocol::ids::JournalId, sequence: u64) -> Result<bool, Violation> {
        let failed = |error: sql::SqlError| violation("3", format!("central's store cannot be read: {error}"));
        let journals = self.inspector.journals().or_else(|error| failed(error).map(|()| Vec::new()))?;
        Ok(journals.iter().any(|row| row.id == journal && row.floor < sequence))
    }

    /// Record by record, both ways.
    fn compare_with_central(&mut self, index: usize) -> Result<(), Violation> {
        let failed = |error: sql::SqlError| violation("3", format!("central's store cannot be read: {error}"));
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let (catalogue, site) = (Arc::clone(device.catalogue()), device.site);
        let holders = self.inspector.holders().or_else(|error| failed(error).map(|()| BTreeMap::new()))?;
        let stores = self.stores_at(index, &holders);
        let mut waiting = self.waiting_keys(index)?;
        waiting.extend(self.waiting_at_central()?);
        let records = self.inspector.records(0).or_else(|error| failed(error).map(|()| Vec::new()))?;
        let serves_patients = |record: &RecordRow| {
            let is_own = record.table == "store" && stores.contains(&record.id);
            is_own && record.data.as_ref().is_some_and(|data| data.contains("\"store_mode\":\"dispensary\""))
        };
        let has_dispensary = records.iter().any(serves_patients);
        let sites: Vec<_> = self.devices.iter().map(|device| device.site).collect();
        let primary = self.inspector.primary().or_else(|error| failed(error).map(|()| None))?;
        let has_dispensary = has_dispensary || primary == Some(site);
        let sight = Sight::of(&records, &holders, primary, &sites, &self.model.orders);
        let wrong = sight.wrong_reverse_joins();
        if !wrong.is_empty() {
            return violation("10", format!("central has other reverse joins than the rules ask for: {wrong:?}"));
        }
        self.check_merges(index, &records, &sight)?;
        let partners = self.partners(&stores)?;
        let (mut expected, mut lost): (BTreeMap<Key, String>, BTreeSet<Key>) = Default::default();
        let mut optional: BTreeMap<Key, String> = BTreeMap::new();
        for record in records {
            let Some(data) = record.data else { continue };
            let data_type = catalogue.table_by_name(&record.table).map(domain::catalogue::Table::data_type);
            let key = (record.table, record.id);
            if sight.is_of_lost_store(&key, &data) {
                lost.insert(key);
                continue;
            }
            let is_for_site = match (&record.store, sight.receives(site, &key, &data)) {
                (_, Some(receives)) => receives,
                (Some(store), None) => stores.contains(store),
                (None, None) => data_type != Ok(DataType::CentralDispensary) || has_dispensary,
            };
            match partners.has(&key, &data) {
                _ if is_for_site || sight.shares(site, &key, &data) => drop(expected.insert(key, data)),
                With::Needed => drop(expected.insert(key, data)),
                With::Possible => drop(optional.insert(key, data)),
                With::Nothing => {}
            }
        }
        let mut found: BTreeSet<Key> = BTreeSet::new();
        // What a copied device kept of a record hides what the other one has sent of it, until its store keeps nothing.
        let may_hide = self.mix.has(Fault::Withholding) && self.counts.forks > 0;
        for table in catalogue.tables() {
            let device = self.devices.get(index);
            let Some(device) = device else { return Ok(()) };
            let mut after: Option<String> = None;
            loop {
                let listing =
                    device.live().recorder.core().local.list(table, None, Merged::Listed, after.as_deref(), 1_000);
                let listing = listing.or_else(|error| violation("10", format!("device {index}: {error}")))?;
                after = listing.items.last().map(|item| item.id.clone());
                for item in &listing.items {
                    let key = (table.name().to_owned(), item.id.clone());
                    if lost.contains(&key) {
                        continue;
                    }
                    let is_local = table.data_type() == DataType::Local || item.state.as_str() == "local";
                    if is_local && table.data_type() == DataType::Store {
                        self.check_staying(index, table, item, &sight)?;
                        found.extend(may_hide.then(|| key.clone()));
                    }
                    if is_local || waiting.contains(&key) || self.model.device(index).uncertain.contains(&key) {
                        continue;
                    }
                    match expected.get(&key) {
                        Some(data) if *data == item.data => {}
                        None if optional.get(&key) == Some(&item.data) => {}
                        there => {
                            let history = self.model.devices.get(index).map(|model| model.history(&key));
                            let what = format!(
                                "device {index} has {key:?} as {} ({}), central as {there:?}; {}",
                                item.data,
                                item.state.as_str(),
                                history.unwrap_or_default()
                            );
                            return violation("10", what);
                        }
                    }
                    found.insert(key);
                }
                if !listing.has_more {
                    break;
                }
            }
        }
        for key in expected.keys() {
            let is_undeclared = catalogue.table_by_name(&key.0).is_err();
            let is_uncertain = self.model.device(index).uncertain.contains(key);
            if !is_undeclared && !is_uncertain && !found.contains(key) && !waiting.contains(key) {
                let story = self.story(&key.1);
                return violation("10", format!("device {index} lacks {key:?}, which central has for it; {story}"));
            }
        }
        Ok(())
    }

    /// The stores that are active at a device's site.
    fn stores_at(&self, index: usize, holders: &BTreeMap<String, SiteId>) -> Vec<String> {
        let site = self.devices.get(index).map(|device| device.site);
        let moved = (0..MOVED).map(moved_store).filter(|store| holders.get(store).copied() == site);
        self.model.devices.get(index).into_iter().flat_map(|model| model.stores.clone()).chain(moved).collect()
    }

    /// What a merged record stands for is the same everywhere: what the slow model makes of central's rows in their order.
    fn check_merges(&mut self, index: usize, records: &[RecordRow], sight: &Sight) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let catalogue = Arc::clone(device.catalogue());
        let stores = self.model.device(index).stores.clone();
        let site = device.site;
        // Those of locations only the sites have that hold the store, those of patients whoever sees them.
        let is_here = |record: &RecordRow| {
            let seen = record
                .data
                .as_ref()
                .and_then(|data| sight.receives(site, &(record.table.clone(), record.id.clone()), data));
            seen.unwrap_or_else(|| record.store.as_ref().is_none_or(|store| stores.contains(store)))
        };
        let records: Vec<RecordRow> = records.iter().filter(|record| is_here(record)).cloned().collect();
        let waiting = self.waiting_keys(index)?;
        let merged = crate::work::MERGED_TABLES.map(|name| (name, format!("outpost_{name}_merge")));
        let housed = HOME_MERGES.map(|(name, merges, _)| (name, merges.to_owned()));
        for (name, merges) in merged.into_iter().chain([("Location", LOCATION_MERGES.to_owned())]).chain(housed) {
            let Ok(table) = catalogue.table_by_name(name) else { continue };
            // A merge that stayed on a device is one there from when it was recorded, and stands in another order than at central.
            if self.model.device(index).ever_kept.iter().any(|key| key.0 == merges) {
                continue;
            }
            let facts = crate::visibility::merges_of(&merges, &records);
            for merge in &facts.merges {
                for id in [&merge.from, &merge.into] {
                    let key = (merges.clone(), merge.from.clone());
                    if waiting.contains(&key) {
                        continue;
                    }
                    if self.model.device(index).uncertain.contains(&key) {
                        continue;
                    }
                    let Some(device) = self.devices.get(index) else { return Ok(()) };
                    let found = device.live().recorder.core().local.stands_for(table, id);
                    let found = found.or_else(|error| violation("10", format!("device {index}: {error}")))?;
                    let found = found.map_or_else(|| id.clone(), |end| end.to_string());
                    let expected = rules::resolve(&facts, id);
                    if found != expected {
                        let what = format!(
                            "{name} {id} stands for {found} on device {index}, and for {expected} by the rules"
                        );
                        return violation("10", what);
                    }
                }
            }
        }
        Ok(())
    }

    /// Records of a device with entries that wait for a header for ever.
    fn waiting_keys(&mut self, index: usize) -> Result<BTreeSet<Key>, Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(BTreeSet::new()) };
        let listing = device.live().recorder.core().local.queue(protocol::ids::Sequence::ZERO, 10_000);
        let listing = listing.or_else(|error| violation("10", format!("device {index}: {error}")))?;
        Ok(listing.items.iter().map(|item| (item.table.clone(), item.id.clone())).collect())
    }

    /// Central's records are what its log makes of them: the sites' accepted edits, each once and in order.
    fn check_central_fold(&mut self) -> Result<(), Violation> {
        let catalogue = Arc::clone(self.centre.catalogue());
        let waiting = self.waiting_at_central()?;
        for index in self.speakers() {
            let mut keys: Vec<Key> = self.model.device(index).by_key.keys().cloned().collect();
            if let Some(site) = self.devices.get(index).map(|device| device.site) {
                keys.retain(|key| !self.reached_for.contains(&(site, key.clone())));
            }
            // What central asked another site for is that one's.
            keys.retain(|key| !self.asked_for.contains(key));
            // Orders are written by others too, and so is what moves.
            for key in keys.into_iter().filter(|key| !Orders::is_order(key) && moved_store_of(key).is_none()) {
                if is_of_transfer(&key) {
                    continue;
                }
                let is_store_data =
                    catalogue.table_by_name(&key.0).is_ok_and(|table| table.data_type() == DataType::Store);
                let is_sites = is_store_data || is_own_user(&key.0, &key.1);
                if !is_sites || waiting.contains(&key) || self.model.device(index).uncertain.contains(&key) {
                    continue;
                }
                let expected: Option<Columns> = self.model.device(index).folded(&key, &|log, sequence| {
                    let is_forged = log.entry(sequence).is_some_and(|entry| entry.expected == Expected::Refused);
                    is_forged || log.refused.contains(&sequence)
                });
                let there = self.model.versions.get(&key).and_then(|versions| versions.last()).cloned();
                let there = match there {
                    Some(version) => columns_at_central(&catalogue, &key, &version)?,
                    None => None,
                };
                // What was sent again whole because its history was lost, and refused: a line whose header is deleted by now.
                if there != expected && !self.model.device(index).is_refused_again(&key) {
                    let history = self.model.device(index).history(&key);
                    let what = format!("central has {key:?} as {there:?}, it has to be {expected:?}; {history}");
                    return violation("3", what);
                }
            }
        }
        Ok(())
    }

    fn waiting_at_central(&mut self) -> Result<BTreeSet<Key>, Violation> {
        match self.inspector.waiting() {
            Ok(waiting) => Ok(waiting.into_iter().collect()),
            Err(error) => violation("3", format!("central's store cannot be read: {error}")),
        }
    }
}
