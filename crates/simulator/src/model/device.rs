//! What one device acknowledged and was told, and what its records are because of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use protocol::ids::{Hash, JournalId, ScopeId, SiteId};
use protocol::message::Cursor;

use super::{Change, Columns, Expected, Key, Logged};

/// One journal of a device.
#[derive(Debug, Clone)]
pub struct Log {
    /// Its id.
    pub id: JournalId,
    /// Entries from 1 on.
    pub entries: Vec<Logged>,
    /// How many of them were acknowledged to an application, or seen on the disk after a crash.
    pub acknowledged: u64,
    /// How far central has it for certain: a commit returned.
    pub committed: u64,
    /// Whether the device was wiped or the journal replaced: nothing is added any more.
    pub is_closed: bool,
    /// How far central has judged it.
    pub judged: u64,
    /// Entries that central refused, as its commits say.
    pub refused: BTreeSet<u64>,
    /// The same of a central that was set back since.
    pub refused_before: BTreeSet<u64>,
    /// Central has other entries than these behind [`Log::committed`]: another device wrote the same journal.
    pub is_elsewhere: bool,
}

impl Log {
    /// A journal without entries.
    pub fn new(id: JournalId) -> Self {
        Self {
            id,
            entries: Vec::new(),
            acknowledged: 0,
            committed: 0,
            judged: 0,
            is_closed: false,
            refused: BTreeSet::new(),
            refused_before: BTreeSet::new(),
            is_elsewhere: false,
        }
    }

    /// The hash of an entry.
    pub fn hash(&self, sequence: u64) -> Option<Hash> {
        self.entry(sequence).map(|entry| entry.hash)
    }

    /// What central has judged of it, as far as it has it.
    pub fn note_verdicts(&mut self, judged: u64, refused: &[u64]) {
        self.judged = judged.min(self.committed);
        self.refused.extend(refused.iter().filter(|sequence| **sequence <= self.committed));
    }

    /// An entry by sequence.
    pub fn entry(&self, sequence: u64) -> Option<&Logged> {
        self.entries.get(usize::try_from(sequence.checked_sub(1)?).ok()?)
    }

    /// As [`Log::entry`], to change it.
    pub fn entry_mut(&mut self, sequence: u64) -> Option<&mut Logged> {
        self.entries.get_mut(usize::try_from(sequence.checked_sub(1)?).ok()?)
    }

    /// The last sequence.
    pub fn head(&self) -> u64 {
        self.entries.len() as u64
    }
}

/// A device as it must be.
#[derive(Debug, Clone)]
pub struct DeviceModel {
    /// Its site.
    pub site: SiteId,
    /// Stores that it holds.
    pub stores: Vec<String>,
    /// Its shared journals, the one in use last.
    pub logs: Vec<Log>,
    /// Entries of its private journal in use.
    pub private: Option<Log>,
    /// Where the entries of a record stand: log and sequence, in order.
    pub by_key: BTreeMap<Key, Vec<(usize, u64)>>,
    /// Private records as the journals before the one in use left them.
    pub private_base: BTreeMap<Key, Option<Columns>>,
    /// Private entries by record.
    pub private_by_key: BTreeMap<Key, Vec<u64>>,
    /// Each state that a record ever had here by the edits of this device, in order.
    states: BTreeMap<Key, Vec<Option<Columns>>>,
    /// Cursors that the device reported since it last began anew.
    pub reported: BTreeMap<ScopeId, Cursor>,
    /// Whether everything that central has for it has come since it last began anew.
    pub is_complete: bool,
    /// Whether it was granted its stores since it last began anew.
    pub is_granted: bool,
    /// How far central had judged each journal when the session under way began, and when the last one that drained did.
    pub judged_at_begin: Vec<u64>,
    /// See there.
    pub judged_at_drained: Vec<u64>,
    /// Whether the device lost its local copy: what waits at central is not shown there any more.
    pub has_forgotten: bool,
    /// It gave its journal up: the private one goes on under another id as well, with the next opening.
    pub gives_up: bool,
    /// Records of which nobody can tell any more what they must be.
    pub uncertain: BTreeSet<Key>,
    /// Whether what it shows was lost here, and has not all come again from central.
    pub has_lost_records: bool,
    /// Whether entries of journals that are closed may have been lost by a central that was set back: what builds on them may be
    /// refused, and is handed back whole.
    pub may_lack_records: bool,
    /// Whether central was set back since this device last had everything both ways.
    pub is_other_time_line: bool,
    /// Whether a session began since: what one from before still hears is of a central that is gone.
    pub has_begun_since: bool,
    /// Groups that were handed over and not acknowledged since the journal was last opened.
    pub attempted_groups: u64,
    /// Store data that ever stayed on it, which it may send at any session.
    pub ever_kept: BTreeSet<Key>,
    /// Lines of other sites' prescriptions that it had when a page was last stored.
    pub shared_lines: BTreeSet<String>,
}

impl DeviceModel {
    /// A device of a site that holds stores.
    pub fn new(site: SiteId, stores: Vec<String>) -> Self {
        Self {
            site,
            stores,
            logs: Vec::new(),
            private: None,
            by_key: BTreeMap::new(),
            private_base: BTreeMap::new(),
            private_by_key: BTreeMap::new(),
            states: BTreeMap::new(),
            reported: BTreeMap::new(),
            is_complete: false,
            is_granted: false,
            judged_at_begin: Vec::new(),
            judged_at_drained: Vec::new(),
            has_forgotten: false,
            gives_up: false,
            uncertain: BTreeSet::new(),
            has_lost_records: false,
            may_lack_records: false,
            is_other_time_line: false,
            has_begun_since: false,
            attempted_groups: 0,
            ever_kept: BTreeSet::new(),
            shared_lines: BTreeSet::new(),
        }
    }

    /// What was here alone is gone, or will be.
    pub fn lose_records(&mut self) {
        self.has_forgotten = true;
        self.has_lost_records = true;
        if self.is_other_time_line {
            self.doubt_everything();
        }
    }

    /// Central has lost what was only there and here, and here it is lost too.
    fn doubt_everything(&mut self) {
        let keys: Vec<Key> = self.by_key.keys().cloned().collect();
        self.uncertain.extend(keys);
    }

    /// What it had read of central is gone, or of no use.
    pub fn forget_central(&mut self) {
        self.reported.clear();
        self.is_complete = false;
        self.is_granted = false;
    }

    /// Its disk is empty: what never left it is gone too.
    pub fn forget_everything(&mut self) {
        self.forget_central();
        self.has_lost_records = true;
        if self.is_other_time_line {
            self.doubt_everything();
        }
        self.private = None;
        self.private_base.clear();
        self.private_by_key.clear();
        self.attempted_groups = 0;
    }

    /// Central is what it was before: it has to show anew what it has of this device.
    pub fn begin_other_time_line(&mut self) {
        self.reported.clear();
        self.is_complete = false;
        self.is_other_time_line = true;
        self.has_begun_since = false;
        self.may_lack_records |= self.logs.len() > 1;
        // Of a line in a closed journal that waited for its header the device may hear no verdict any more: docs/sync-protocol.md,
        // "Known limits".
        let closed = self.logs.split_last().map_or(&[][..], |(_, closed)| closed);
        let early = closed.iter().flat_map(|log| &log.entries).filter(|entry| entry.expected == Expected::Either);
        let early: Vec<Key> = early.filter(|entry| entry.header.is_some()).map(|entry| entry.key.clone()).collect();
        self.uncertain.extend(early);
        if self.has_lost_records {
            self.doubt_everything();
        }
        self.judged_at_begin.clear();
        self.judged_at_drained.clear();
        for log in &mut self.logs {
            (log.committed, log.judged, log.is_elsewhere) = (0, 0, false);
            log.refused_before.append(&mut log.refused);
        }
    }

    /// Its journals are these, as central has them, and then its own that central never heard of. What central does not have
    /// of them is lost.
    pub fn adopt(&mut self, mut logs: Vec<Log>) {
        let own = std::mem::take(&mut self.logs);
        let unheard: Vec<Log> = own.into_iter().filter(|log| logs.iter().all(|known| known.id != log.id)).collect();
        logs.extend(unheard);
        self.by_key.clear();
        for (number, log) in logs.iter_mut().enumerate() {
            let committed = log.committed;
            for (sequence, entry) in (1..).zip(&mut log.entries) {
                entry.is_lost |= sequence > committed && !entry.is_moved;
                self.by_key.entry(entry.key.clone()).or_default().push((number, sequence));
            }
        }
        self.logs = logs;
        // What had left by the journals that central has comes from there, over what is here of an older state.
        let is_at_central = |(number, sequence): &(usize, u64)| {
            self.logs.get(*number).is_some_and(|log| *sequence <= log.committed && !log.entries.is_empty())
        };
        let left: Vec<Key> = self
            .private_by_key
            .keys()
            .filter(|key| self.by_key.get(*key).is_some_and(|entries| entries.iter().any(is_at_central)))
            .cloned()
            .collect();
        for key in left {
            self.private_by_key.remove(&key);
            self.private_base.remove(&key);
        }
        self.judged_at_begin.clear();
        self.judged_at_drained.clear();
    }

    /// The journal in use.
    ///
    /// # Panics
    /// If the site never had one.
    pub fn log(&mut self) -> &mut Log {
        self.logs.last_mut().expect("a site's first journal is noted when it enrols")
    }

    /// The log of a journal.
    pub fn log_of(&mut self, journal: JournalId) -> Option<(usize, &mut Log)> {
        self.logs.iter_mut().enumerate().find(|(_, log)| log.id == journal)
    }

    /// Begins a new journal.
    pub fn begin_journal(&mut self, id: JournalId) {
        if let Some(last) = self.logs.last_mut() {
            last.is_closed = true;
        }
        self.logs.push(Log::new(id));
    }

    /// Adds an entry to the journal in use.
    pub fn push(&mut self, mut entry: Logged) {
        let index = self.logs.len() - 1;
        entry.is_unaware = self.is_unaware(&entry);
        let key = entry.key.clone();
        self.note_state(&key, &entry.change);
        // What stayed on the device leaves it whole.
        self.private_by_key.remove(&key);
        self.private_base.remove(&key);
        let log = self.log();
        // One that was found at an opening may be one that central has.
        log.is_elsewhere = false;
        log.entries.push(entry);
        let sequence = log.head();
        self.by_key.entry(key).or_default().push((index, sequence));
    }

    /// The record as the site's own edits make it, without those that `is_out` says are out.
    pub fn folded(&self, key: &Key, is_out: &dyn Fn(&Log, u64) -> bool) -> Option<Columns> {
        let mut columns = None;
        for (index, sequence) in self.by_key.get(key).map(Vec::as_slice).unwrap_or_default() {
            let Some(log) = self.logs.get(*index) else { continue };
            // One that central has after all is not lost, whatever the device had to think.
            let is_here = |entry: &&Logged| *sequence <= log.committed || !entry.is_lost && !entry.is_moved;
            let Some(entry) = log.entry(*sequence).filter(is_here) else { continue };
            // Of a central that is set back; what it has again it judged again.
            let was_refused = *sequence > log.committed && log.refused_before.contains(sequence);
            if !was_refused && !is_out(log, *sequence) {
                columns = entry.change.on(columns);
            }
        }
        columns
    }

    /// Notes what an edit that was recorded here made of its record.
    pub fn note_state(&mut self, key: &Key, change: &Change) {
        let states = self.states.entry(key.clone()).or_default();
        states.push(change.on(states.last().cloned().flatten()));
    }

    /// Whether a record read so at any time on a device of the site, whatever became of its edits, or does with the private ones on top.
    pub fn was_ever(&self, key: &Key, found: Option<&Columns>) -> bool {
        let sequences = self.private_by_key.get(key).map(Vec::as_slice).unwrap_or_default();
        let private: Vec<&Change> =
            sequences.iter().filter_map(|sequence| Some(&self.private.as_ref()?.entry(*sequence)?.change)).collect();
        let mut states = self.states.get(key).into_iter().flatten();
        states.any(|state| {
            let mut columns = state.clone();
            columns.as_ref() == found
                || private.iter().any(|change| {
                    columns = change.on(columns.take());
                    columns.as_ref() == found
                })
        })
    }

    /// What became of a record, for people.
    pub fn history(&self, key: &Key) -> String {
        let mut text = String::from("its entries:");
        for (index, sequence) in self.by_key.get(key).map(Vec::as_slice).unwrap_or_default() {
            let Some(log) = self.logs.get(*index) else { continue };
            let Some(entry) = log.entry(*sequence) else { continue };
            let what = match &entry.change {
                Change::Put(_) => "put",
                Change::Patch(_) => "patch",
                Change::Delete => "delete",
            };
            let is_refused = log.refused.contains(sequence);
            let _ = write!(
                text,
                " [journal {index} entry {sequence} of {}: {what} {:?} committed={} lost={} moved={} refused={is_refused}]",
                log.head(),
                entry.expected,
                *sequence <= log.committed,
                entry.is_lost,
                entry.is_moved
            );
        }
        text
    }

    /// Whether the device named an entry of the record as lost.
    pub fn has_lost(&self, key: &Key) -> bool {
        let entries = self.by_key.get(key).map(Vec::as_slice).unwrap_or_default();
        entries.iter().any(|(index, sequence)| {
            self.logs.get(*index).and_then(|log| log.entry(*sequence)).is_some_and(|entry| entry.is_lost)
        })
    }

    /// Whether the journal in use has an entry of the record.
    pub fn is_in_journal_in_use(&self, key: &Key) -> bool {
        let entries = self.by_key.get(key).map(Vec::as_slice).unwrap_or_default();
        entries.last().is_some_and(|(index, _)| index + 1 == self.logs.len())
    }

    /// Whether a journal before the one in use has the last entry of the record.
    pub fn is_in_earlier_journal(&self, key: &Key) -> bool {
        self.by_key.contains_key(key) && !self.is_in_journal_in_use(key)
    }

    /// Whether entries that the device does not have any more may still change what central has.
    pub fn is_unsettled(&self, key: &Key) -> bool {
        self.uncertain.contains(key) || self.unsettled(key).next().is_some()
    }

    fn unsettled<'a>(&'a self, key: &Key) -> impl Iterator<Item = &'a Logged> + use<'a> {
        let newest = self.logs.len().saturating_sub(1);
        let entries = self.by_key.get(key).map(Vec::as_slice).unwrap_or_default();
        entries.iter().filter_map(move |(index, sequence)| {
            let log = self.logs.get(*index).filter(|_| *index < newest || self.has_forgotten)?;
            let is_told = *sequence <= self.judged_at_drained.get(*index).copied().unwrap_or(0);
            log.entry(*sequence).filter(|entry| !is_told || entry.expected != Expected::Accepted)
        })
    }

    /// Whether an edit builds on what the site itself deleted, unknown to its device: central may refuse it.
    fn is_unaware(&self, entry: &Logged) -> bool {
        let entries = self.by_key.get(&entry.key).map(Vec::as_slice).unwrap_or_default();
        let earlier: Vec<&Logged> =
            entries.iter().filter_map(|(index, sequence)| self.logs.get(*index)?.entry(*sequence)).collect();
        let header = entry.header.as_ref().or_else(|| earlier.iter().rev().find_map(|entry| entry.header.as_ref()));
        let is_deleted = |key: &Key| self.unsettled(key).any(|entry| entry.change == Change::Delete);
        let is_header_unaware = header.and_then(|header| self.by_key.get(header)).is_some_and(|entries| {
            entries.iter().any(|(index, sequence)| {
                self.logs.get(*index).and_then(|log| log.entry(*sequence)).is_some_and(|entry| entry.is_unaware)
            })
        });
        is_deleted(&entry.key)
            || header.is_some_and(is_deleted)
            || is_header_unaware
            || earlier.iter().any(|entry| entry.is_unaware)
    }

    /// Whether central lost entries of the record, and refused what came in their place.
    pub fn is_refused_again(&self, key: &Key) -> bool {
        let entries = self.by_key.get(key).map(Vec::as_slice).unwrap_or_default();
        let of = |index: usize, sequence: u64| self.logs.get(index).and_then(|log| Some((log, log.entry(sequence)?)));
        let is_gone = |(index, sequence): &(usize, u64)| {
            of(*index, *sequence)
                .is_some_and(|(log, entry)| *sequence > log.committed && !entry.is_lost && !entry.is_moved)
        };
        let is_refused = |(index, sequence): &(usize, u64)| {
            of(*index, *sequence).is_some_and(|(log, _)| log.refused.contains(sequence))
        };
        entries.iter().any(is_gone) && entries.iter().any(is_refused)
    }

    /// A private record as it must read.
    pub fn private_record(&self, key: &Key) -> Option<Columns> {
        let log = self.private.as_ref()?;
        let mut columns = self.private_base.get(key).cloned().flatten();
        for sequence in self.private_by_key.get(key).map(Vec::as_slice).unwrap_or_default() {
            if let Some(entry) = log.entry(*sequence).filter(|entry| !entry.is_lost) {
                columns = entry.change.on(columns);
            }
        }
        columns
    }
}
