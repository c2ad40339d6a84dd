//! Central's log of entries at the end of a run: each has the verdict that it has to have (invariants 3, 8 and 10).

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::SiteId;

use crate::mix::Fault;
use crate::model::{Change, Expected, Key, Logged, Version, Violation, violation};
use crate::moves::{MOVED_PREFIX, moved_store_of};
use crate::work::PATIENT_PREFIX;
use crate::world::World;

/// Bits of a patient's ownership number below the count of its transfers (`docs/sync-protocol.md`).
const TRANSFER_SHIFT: u32 = 20;

impl World {
    /// Invariants 3 and 10 on the whole log of entries, with every verdict.
    pub(crate) fn check_central_log(&mut self) -> Result<(), Violation> {
        self.inspector.close();
        let failed = |error: sql::SqlError| violation("3", format!("central's store cannot be read: {error}"));
        let journals = self.inspector.journals().or_else(|error| failed(error).map(|()| Vec::new()))?;
        let patients = self.patients_of_one_life();
        // Nobody's edit comes late who has not been copied, set back or replaced.
        let goes_in_order = self.counts.forks == 0 && !self.mix.has(Fault::CentralSetBack);
        let mut writers: BTreeMap<(String, u32), SiteId> = BTreeMap::new();
        let mut moved_writers: BTreeMap<(String, u32), SiteId> = BTreeMap::new();
        let mut refused_puts: BTreeSet<(SiteId, String)> = BTreeSet::new();
        for journal in journals.iter().filter(|journal| journal.site.0 > 1) {
            let entries = self.inspector.entries(journal.number, journal.floor);
            let entries = entries.or_else(|error| failed(error).map(|()| Vec::new()))?;
            if journal.is_active && journal.judged != journal.received {
                let what = format!("journal {} is judged up to {} of {}", journal.id, journal.judged, journal.received);
                return violation("10", what);
            }
            // Of several that wrote it, the one whose entries central has.
            let has_forgotten = !self.doubtful_stores.is_empty();
            let may_lack_records = self.model.of_site(journal.site).any(|device| device.may_lack_records);
            let speaker = self.actives(journal.site).first().copied();
            let is_spoken = speaker.is_some_and(|index| self.model.device(index).log_of(journal.id).is_some());
            let log = if let Some(index) = speaker.filter(|_| is_spoken && journal.is_active) {
                self.model.device(index).log_of(journal.id)
            } else {
                let logs = self.model.of_site(journal.site).filter_map(|device| device.log_of(journal.id));
                logs.max_by_key(|(_, log)| log.committed)
            };
            let Some((_, log)) = log else {
                return violation("3", format!("central has a journal {} that no device has", journal.id));
            };
            if journal.is_active && journal.received != log.head() {
                let what = format!("central has {} of {} entries of {}", journal.received, log.head(), journal.id);
                return violation("10", what);
            }
            for entry in &entries {
                let Some(known) = log.entry(entry.sequence) else {
                    return violation("3", format!("central has entry {} that no device has", entry.sequence));
                };
                if known.hash != entry.hash {
                    return violation("3", format!("central has another entry {} than the device", entry.sequence));
                }
                let is_refused = matches!(entry.verdict, Some(2 | 3));
                match known.expected {
                    // What was cut off with its journal, or came after it was closed, is set aside.
                    Expected::Accepted
                        if !journal.is_active
                            && matches!(entry.code.as_deref(), Some("group_incomplete" | "device_retired")) => {}
                    // Of a refused group one entry is the cause, and that one is looked at.
                    Expected::Accepted if known.is_unaware || entry.code.as_deref() == Some("group_refused") => {}
                    Expected::Accepted
                        if may_lack_records
                            && matches!(entry.code.as_deref(), Some("record_missing" | "header_deleted")) => {}
                    // That a store was given, which central forgot, only the local copy could show.
                    Expected::Accepted if has_forgotten && entry.code.as_deref() == Some("not_store_holder") => {}
                    Expected::Accepted if is_refused => {
                        let what = format!("entry {} of {:?} is refused: {:?}", entry.sequence, known.key, entry.code);
                        return violation("3", what);
                    }
                    Expected::Refused if !is_refused => {
                        return violation(
                            "8",
                            format!("a forged entry {} of {:?} is not refused", entry.sequence, known.key),
                        );
                    }
                    Expected::Accepted | Expected::Refused | Expected::Either => {}
                }
                let is_patient = known.key.0 == "name" && known.key.1.starts_with(PATIENT_PREFIX);
                if is_refused && is_patient && matches!(known.change, Change::Put(_)) {
                    refused_puts.insert((journal.site, known.key.1.clone()));
                } else if is_refused
                    && is_patient
                    && goes_in_order
                    && matches!(entry.code.as_deref(), Some("ownership_number" | "not_home_site"))
                    && !self.hurried.contains(&known.key.1)
                    && !refused_puts.contains(&(journal.site, known.key.1.clone()))
                {
                    let (what, code) = (&known.key.1, &entry.code);
                    let what = format!("an edit of {what}, which went in order, is refused at its old home: {code:?}");
                    return violation("8", what);
                }
                if let Some(store) = moved_store_of(&known.key) {
                    let is_own = known.key.1.starts_with(MOVED_PREFIX);
                    let is_late = matches!(entry.code.as_deref(), Some("ownership_number" | "not_store_holder"));
                    // What people do with a record that somebody's files put under the id of the moved store's is refused with that.
                    let before = usize::try_from(entry.sequence.saturating_sub(1)).unwrap_or(usize::MAX);
                    let is_forged =
                        |earlier: &Logged| earlier.key == known.key && earlier.expected == Expected::Refused;
                    let goes_on_forged = is_late && log.entries.iter().take(before).any(is_forged);
                    if is_own
                        && !goes_on_forged
                        && is_late
                        && goes_in_order
                        && known.expected != Expected::Refused
                        && !self.hurried.contains(&store)
                    {
                        let (key, site) = (&known.key, journal.site);
                        let what = format!(
                            "an edit of {key:?} at site {site}, from where {store} went in order, is refused: {entry:?}"
                        );
                        return violation("8", what);
                    }
                    if entry.verdict.is_none() && known.change != Change::Delete {
                        let under = (store, known.ownership);
                        let writer = *moved_writers.entry(under.clone()).or_insert(journal.site);
                        if writer != journal.site {
                            let what =
                                format!("sites {writer} and {} both wrote {} under {}", journal.site, under.0, under.1);
                            return violation("8", what);
                        }
                    }
                }
                if is_refused {
                    log.refused.insert(entry.sequence);
                    self.counts.refused += 1;
                } else if entry.verdict.is_none()
                    && known.key.0 == "name"
                    && known.change != Change::Delete
                    && patients.contains(&known.key.1)
                {
                    let under = (known.key.1.clone(), known.ownership >> TRANSFER_SHIFT);
                    let writer = *writers.entry(under.clone()).or_insert(journal.site);
                    if writer != journal.site {
                        let (patient, transfers) = under;
                        let site = journal.site;
                        let what =
                            format!("sites {writer} and {site} both wrote {patient} after {transfers} transfers");
                        return violation("8", what);
                    }
                }
            }
        }
        let waiting = self.inspector.waiting_in_vain().or_else(|error| failed(error).map(|()| Vec::new()))?;
        match waiting.first() {
            Some((table, id, on)) => violation("10", format!("{table} {id} waits for {on}, and has no reason to")),
            None => Ok(()),
        }
    }

    /// Patients of which central never lost anything and that were never made again: their transfers are counted once.
    fn patients_of_one_life(&self) -> BTreeSet<String> {
        if self.mix.has(Fault::CentralSetBack) {
            return BTreeSet::new();
        }
        let is_patient = |key: &Key| key.0 == "name" && key.1.starts_with(PATIENT_PREFIX);
        let lived_once = |versions: &[Version]| versions.iter().all(|version| version.data.is_some());
        let lived_once = |(key, versions): &(&Key, &Vec<Version>)| {
            is_patient(key) && lived_once(versions) && !self.model.may_be_made_again(key)
        };
        self.model.versions.iter().filter(lived_once).map(|(key, _)| key.1.clone()).collect()
    }
}
