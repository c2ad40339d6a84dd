//! After each commit of central, and when it starts (invariants 2, 3 and 6).

use std::collections::BTreeMap;

use protocol::ids::{Hash, Position, SiteId};

use crate::inspect::JournalRow;
use crate::mix::Fault;
use crate::model::{Expected, Key, Logged, Version, Violation, violation};
use crate::procurement::Orders;
use crate::transfers::is_half;
use crate::users::Users;
use crate::work::PATIENT_PREFIX;
use crate::world::World;

impl World {
    /// Invariants 2, 3 and 6 after each commit of central.
    pub(crate) fn after_commit(&mut self) -> Result<(), Violation> {
        if self.centre.live.is_none() || self.centre.disk.is_off() {
            return Ok(());
        }
        self.check_central(false)
    }

    /// The same when central starts: nothing that was committed is gone.
    pub(crate) fn check_centre_opened(&mut self) -> Result<(), Violation> {
        self.inspector.close();
        self.check_central(true)
    }

    fn check_central(&mut self, is_start: bool) -> Result<(), Violation> {
        let excused = self.is_centre_excused;
        let journals = match self.inspector.journals() {
            Ok(journals) => journals,
            Err(_) if excused => {
                self.inspector.close();
                return Ok(());
            }
            Err(error) => return violation("3", format!("central's store cannot be read: {error}")),
        };
        for journal in journals.iter().filter(|journal| journal.site.0 > 1) {
            let before = self.judged_of(journal);
            self.check_journal_at_central(journal, is_start)?;
            self.check_authors(journal, before)?;
        }
        self.check_forks()?;
        let failed = |error: sql::SqlError| violation("3", format!("central's store cannot be read: {error}"));
        let primary = self.inspector.primary().or_else(|error| failed(error).map(|()| None))?;
        self.model.orders.note_primary(primary);
        self.note_versions()
    }

    fn judged_of(&mut self, journal: &JournalRow) -> u64 {
        let logs = self.model.of_site(journal.site).filter_map(|device| device.log_of(journal.id));
        logs.map(|(_, log)| log.judged).max().unwrap_or(0)
    }

    /// What central has accepted of orders and users since it had judged so far was its author's to write, and what it refused because
    /// they are another's was not.
    fn check_authors(&mut self, journal: &JournalRow, before: u64) -> Result<(), Violation> {
        let has_some = self.mix.has(Fault::Procurement) || self.mix.has(Fault::NewUsers);
        if !has_some || self.mix.has(Fault::CentralSetBack) {
            return Ok(());
        }
        let logs = self.model.of_site(journal.site).filter_map(|device| device.log_of(journal.id));
        let Some((_, log)) = logs.into_iter().find(|(_, log)| !log.is_elsewhere && log.judged > before) else {
            return Ok(());
        };
        let entries = (before + 1..=log.judged).filter_map(|sequence| log.entry(sequence));
        let is_looked_at = |key| Orders::is_order(key) || Users::is_user(key);
        let entries: Vec<_> = entries.filter(|entry| is_looked_at(&entry.key)).cloned().collect();
        if entries.is_empty() {
            return Ok(());
        }
        let failed = |error: sql::SqlError| violation("3", format!("central's log cannot be read: {error}"));
        let stored = self.inspector.entries(journal.number, before);
        let stored = stored.or_else(|error| failed(error).map(|()| Vec::new()))?;
        let verdicts: BTreeMap<_, _> = stored.iter().map(|stored| (stored.hash, stored)).collect();
        let mut orders_before = 0;
        for entry in &entries {
            // What an edit before it in this commit made of an order is not known here yet.
            let is_first = orders_before == 0;
            orders_before += usize::from(Orders::is_order(&entry.key));
            let Some(stored) = verdicts.get(&entry.hash) else { continue };
            // While central data goes from one to the other nobody orders for others.
            let is_another = match stored.code.as_deref() {
                Some("user_of_other_site") => true,
                Some("not_purchaser") => !self.mix.has(Fault::Mirror) && is_first,
                _ => false,
            };
            match stored.verdict {
                None => self.check_author(journal.site, entry, true)?,
                // What somebody took over past the recorder is refused, whoever might make such a record.
                Some(2 | 3) if is_another && entry.expected != Expected::Refused => {
                    self.check_author(journal.site, entry, false)?;
                }
                // What waits for its header is judged then; what is refused for something else may be its author's.
                _ => {}
            }
        }
        Ok(())
    }

    fn check_author(&mut self, site: SiteId, entry: &Logged, is_accepted: bool) -> Result<(), Violation> {
        let is_user = Users::is_user(&entry.key);
        let judged = if is_user {
            self.model.users.may_write(site, &entry.key, &entry.change)
        } else {
            self.may_write_order(site, &entry.key, &entry.change, entry.header.as_ref())?
        };
        let (key, change) = (&entry.key, &entry.change);
        match judged {
            Some(Err(rule)) if is_accepted => {
                violation("8", format!("site {site} wrote {key:?} and might not: {rule}; {change:?}"))
            }
            Some(Ok(())) if !is_accepted => {
                violation("8", format!("site {site} might write {key:?}, and was refused; {change:?}"))
            }
            _ => {
                if is_user && is_accepted {
                    self.model.users.accept(site, key, change);
                }
                Ok(())
            }
        }
    }

    /// A journal at central is what some device has, entry by entry.
    fn check_journal_at_central(&mut self, journal: &JournalRow, is_start: bool) -> Result<(), Violation> {
        let failed = |error: sql::SqlError| violation("3", format!("central's log cannot be read: {error}"));
        let refused = self.inspector.refused(journal.number).or_else(|error| failed(error).map(|()| Vec::new()))?;
        let (mut is_known, mut from) = (false, journal.received);
        for (_, log) in self.model.of_site(journal.site).filter_map(|device| device.log_of(journal.id)) {
            if journal.received < log.committed {
                let (received, committed) = (journal.received, log.committed);
                return violation("3", format!("central has {received} entries of {}, it had {committed}", journal.id));
            }
            is_known = true;
            log.note_verdicts(journal.judged, &refused);
            if !log.is_elsewhere {
                from = from.min(log.committed);
            }
        }
        if !is_known {
            // An enrolment that was written and never answered.
            let is_asked = self.asked_journals.values().any(|asked| *asked == journal.id);
            if is_asked || self.devices.iter().any(|device| device.identity.journal == journal.id) {
                return Ok(());
            }
            return violation("3", format!("central has a journal {} that no device has", journal.id));
        }
        if journal.received == from {
            return Ok(());
        }
        let from = if is_start { journal.floor } else { from.max(journal.floor) };
        let entries =
            self.inspector.entries(journal.number, from).or_else(|error| failed(error).map(|()| Vec::new()))?;
        let mut next = from + 1;
        let mut hashes = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.sequence <= journal.received) {
            if entry.sequence != next {
                return violation("3", format!("central has entry {} after {}", entry.sequence, next - 1));
            }
            next += 1;
            hashes.insert(entry.sequence, entry.hash);
        }
        if next != journal.received + 1 && journal.floor < journal.received {
            return violation("3", format!("central says {} and its log ends at {}", journal.received, next - 1));
        }
        hashes.extend(Hash::try_from(journal.received_hash.as_slice()).ok().map(|hash| (journal.received, hash)));
        let mut is_somebodys = false;
        for (_, log) in self.model.of_site(journal.site).filter_map(|device| device.log_of(journal.id)) {
            if log.is_elsewhere {
                continue;
            }
            // Hashes are chained: where one is equal, everything before it is.
            let equal = hashes.iter().rev().find(|(sequence, hash)| log.hash(**sequence) == Some(**hash));
            log.committed = equal.map_or(log.committed, |(sequence, _)| (*sequence).max(log.committed));
            log.is_elsewhere = log.committed < journal.received;
            is_somebodys |= !log.is_elsewhere;
            log.note_verdicts(journal.judged, &refused);
        }
        if !is_somebodys {
            let what = format!("central has entries up to {} of {} that no device has", journal.received, journal.id);
            return violation("3", what);
        }
        Ok(())
    }

    /// Only central changes how often a patient was transferred, which never falls, and where it goes, which it does until it is there or
    /// the transfer is called off.
    fn check_transfers(&mut self, key: &Key, version: &Version) -> Result<(), Violation> {
        let before = self.model.versions.get(key).and_then(|all| all.last()).and_then(|last| last.data.as_ref());
        let (Some(before), Some(after)) = (before, &version.data) else { return Ok(()) };
        if key.0 != "name" || !key.1.starts_with(PATIENT_PREFIX) || self.mix.has(Fault::CentralSetBack) {
            return Ok(());
        }
        let count = |data: &str| {
            let rest = data.split_once("\"outpost_home_transfers\":").map_or("", |(_, rest)| rest);
            rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>().unwrap_or(0)
        };
        let goes = |data: &str| data.contains("\"outpost_home_goes_to\":\"");
        let is_called_off = self.called_off.remove(&key.1);
        let is_forgotten = goes(before) && !goes(after) && count(after) == count(before) && !is_called_off;
        if (count(after) < count(before) || is_forgotten) && !self.model.may_be_made_again(key) {
            return violation("8", format!("{key:?} was {before} and is {after}"));
        }
        Ok(())
    }

    fn note_versions(&mut self) -> Result<(), Violation> {
        let failed = |error: sql::SqlError| violation("3", format!("central's records cannot be read: {error}"));
        let position = self.inspector.position().or_else(failed)?;
        if position < self.model.position {
            return violation("3", format!("central's head went from {} to {position}", self.model.position));
        }
        if position == self.model.position {
            return Ok(());
        }
        let mut halves = Vec::new();
        for record in
            self.inspector.records(self.model.position).or_else(|error| failed(error).map(|_: u64| Vec::new()))?
        {
            let key = (record.table, record.id);
            let version = Version { position: Position(record.position), data: record.data };
            self.check_transfers(&key, &version)?;
            self.check_first_home(&key, &version)?;
            self.model.orders.note(&key, version.data.as_deref());
            if Users::is_user(&key) {
                let is_sure = !self.mix.has(Fault::CentralSetBack);
                self.model.users.note(&key, version.data.as_deref(), is_sure)?;
            }
            let is_new_half = version.data.is_some() && is_half(&key) && !self.model.versions.contains_key(&key);
            halves.extend(is_new_half.then(|| key.clone()));
            self.model.versions.entry(key).or_default().push(version);
        }
        self.model.position = position;
        halves.iter().try_for_each(|half| self.check_made_whole(half))
    }
}
