//! Groups that wait for a header, and those that queue behind them (rule 5.17).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use domain::judge::RefusalCode;
use protocol::control::EntryPlace;
use protocol::ids::{Sequence, SiteId};
use sql::{Row, SqlError, SqlExt};

use super::batch::Batch;
use super::error::StoreError;
use super::judging::{Group, GroupVerdict, Reason, WAITING};
use super::records::Key;
use super::view::GroupPlace;
use super::{text, unsigned};

/// Something happened to a record for which groups may wait.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// Whose entry it was.
    pub(super) site: SiteId,
    pub(super) key: Key,
    /// A delete of what was never here: lines that wait for it wait for nothing.
    pub(super) is_gone: bool,
    /// Waiting entries for the record were taken back.
    pub(super) is_cancelled: bool,
}

impl Batch<'_> {
    /// Judges a group, and then again those that waited for what it brought.
    pub(super) fn judge_and_settle(&mut self, group: &Group) -> Result<(), StoreError> {
        let mut changes = Vec::new();
        self.judge_once(group, &BTreeSet::new(), &mut changes)?;
        self.settle(changes)
    }

    /// Judges waiting groups again, in order, until nothing more follows from the changes.
    pub(super) fn settle(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut gone = BTreeMap::<SiteId, BTreeSet<Key>>::new();
        let mut groups = BTreeMap::<GroupPlace, SiteId>::new();
        let mut changes = changes;
        loop {
            for change in std::mem::take(&mut changes) {
                if self.state.waiting == 0 {
                    return Ok(());
                }
                self.find_groups(&change, &mut groups)?;
                if change.is_gone || change.is_cancelled {
                    gone.entry(change.site).or_default().insert(change.key);
                }
            }
            let Some((place, site)) = groups.pop_first() else { return Ok(()) };
            if let Some(group) = self.waiting_group(site, place)? {
                let gone = gone.get(&site).cloned().unwrap_or_default();
                self.judge_once(&group, &gone, &mut changes)?;
            }
        }
    }

    fn judge_once(&mut self, group: &Group, gone: &BTreeSet<Key>, changes: &mut Vec<Change>) -> Result<(), StoreError> {
        let (verdict, numbers) = self.judge_group(group, gone)?;
        match verdict {
            GroupVerdict::Accepted(accepted) => self.apply_group(group, accepted, numbers, changes),
            GroupVerdict::Refused { sequence, reason } => self.refuse_group(group, Some(sequence), &reason, changes),
            GroupVerdict::Waiting { on } if group.waited.is_some() => self.wait_on(group, &on),
            GroupVerdict::Waiting { on } => self.begin_waiting(group, &on, changes),
        }
    }

    /// The groups that a change may concern.
    fn find_groups(&mut self, change: &Change, groups: &mut BTreeMap<GroupPlace, SiteId>) -> Result<(), StoreError> {
        let table = self.catalogue.table_name(&change.key.0);
        let record = change.key.1.as_str();
        let mut found = |row: &dyn Row| -> Result<ControlFlow<()>, SqlError> {
            let place = GroupPlace { journal: row.integer(1)?, first: Sequence(row.unsigned(2)?) };
            groups.insert(place, text::site(row, 0)?);
            Ok(ControlFlow::Continue(()))
        };
        self.sql.query(
            "SELECT DISTINCT site, journal, group_first FROM waiting WHERE for_table = ?1 AND for_record = ?2",
            &[(&table).into(), record.into()],
            &mut found,
        )?;
        if change.is_cancelled {
            self.sql.query(
                "SELECT DISTINCT site, journal, group_first FROM waiting
                 WHERE site = ?1 AND table_name = ?2 AND record = ?3 AND is_cancelled = 1",
                &[change.site.0.into(), (&table).into(), record.into()],
                &mut found,
            )?;
        }
        Ok(())
    }

    /// The group of an entry of a site that waits.
    pub(super) fn waiting_group_of(&mut self, site: SiteId, entry: EntryPlace) -> Result<Option<Group>, StoreError> {
        let place = self.sql.query_one(
            "SELECT waiting.journal, waiting.group_first FROM waiting JOIN journal ON journal.number = waiting.journal
             WHERE waiting.site = ?1 AND journal.id = ?2 AND waiting.sequence = ?3",
            &[site.0.into(), (&entry.journal.0).into(), unsigned(entry.sequence.0)],
            |row| Ok(GroupPlace { journal: row.integer(0)?, first: Sequence(row.unsigned(1)?) }),
        )?;
        place.map_or(Ok(None), |place| self.waiting_group(site, place))
    }

    fn waiting_group(&mut self, site: SiteId, place: GroupPlace) -> Result<Option<Group>, StoreError> {
        let mut entries = Vec::new();
        let mut cancelled = BTreeSet::new();
        self.sql.query(
            "SELECT waiting.sequence, waiting.is_cancelled, entry.bytes FROM waiting
             JOIN entry ON entry.journal = waiting.journal AND entry.sequence = waiting.sequence
             WHERE waiting.journal = ?1 AND waiting.group_first = ?2 ORDER BY waiting.sequence",
            &[place.journal.into(), unsigned(place.first.0)],
            &mut |row| {
                let sequence = Sequence(row.unsigned(0)?);
                if row.integer(1)? != 0 {
                    cancelled.insert(sequence);
                }
                entries.push((sequence, row.blob(2)?.to_vec()));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        if entries.is_empty() {
            return Ok(None);
        }
        let sql = "SELECT id FROM journal WHERE number = ?1";
        let journal_id = self.sql.query_one(sql, &[place.journal.into()], |row| text::journal_id(row, 0))?;
        let journal_id = journal_id.ok_or_else(|| StoreError::Damaged("a waiting entry has no journal".to_owned()))?;
        Ok(Some(Group { site, journal: place.journal, journal_id, entries, waited: Some(cancelled) }))
    }

    fn begin_waiting(&mut self, group: &Group, on: &Key, changes: &mut Vec<Change>) -> Result<(), StoreError> {
        let first = group.place().first;
        let for_table = self.catalogue.table_name(&on.0);
        for (sequence, bytes) in &group.entries {
            let entry = super::receive::decode(bytes);
            // An entry that cannot be read may stand behind the one that waits. It is refused when that one is judged again.
            let table = entry.as_ref().map(|entry| {
                let table = self.catalogue.table(&entry.table);
                table.map_or_else(|| self.catalogue.table_name(&entry.table), |table| table.name().to_owned())
            });
            self.sql.execute(
                "INSERT INTO waiting
                    (journal, sequence, group_first, site, table_name, record, for_table, for_record, is_cancelled)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0)",
                &[
                    group.journal.into(),
                    unsigned(sequence.0),
                    unsigned(first.0),
                    group.site.0.into(),
                    table.as_deref().unwrap_or_default().into(),
                    entry.as_ref().map_or("", |entry| entry.record.as_str()).into(),
                    (&for_table).into(),
                    on.1.as_str().into(),
                ],
            )?;
            self.set_verdict(group.journal, *sequence, Some(WAITING), None)?;
            self.tell_waiting(group.entry_place(*sequence))?;
        }
        let count = group.entries.len() as u64;
        self.state.waiting += count;
        self.site(group.site)?.waiting += count;
        self.keep_waiting_limit(group.site, changes)
    }

    /// At the limit the oldest groups wait no longer.
    fn keep_waiting_limit(&mut self, site: SiteId, changes: &mut Vec<Change>) -> Result<(), StoreError> {
        let limit = self.limits.waiting_entries_max;
        while self.site(site)?.waiting > limit {
            let Some(group) = self.oldest_waiting(site)? else { return Ok(()) };
            let text = format!("more than {limit} entries of site {site} wait for their headers; this was the oldest");
            let reason = Reason::new(RefusalCode::HeaderMissing.as_str(), &text);
            self.refuse_group(&group, None, &reason, changes)?;
        }
        Ok(())
    }

    /// Refuses everything of a site that waits, because no header comes any more; how many entries that were.
    pub(super) fn refuse_all_waiting(&mut self, site: SiteId, reason: &Reason) -> Result<u64, StoreError> {
        let mut changes = Vec::new();
        let mut refused = 0;
        while let Some(group) = self.oldest_waiting(site)? {
            refused += group.entries.len() as u64;
            self.refuse_group(&group, None, reason, &mut changes)?;
        }
        self.settle(changes)?;
        Ok(refused)
    }

    fn oldest_waiting(&mut self, site: SiteId) -> Result<Option<Group>, StoreError> {
        let oldest = self.sql.query_one(
            "SELECT journal, group_first FROM waiting WHERE site = ?1 ORDER BY journal, group_first LIMIT 1",
            &[site.0.into()],
            |row| Ok(GroupPlace { journal: row.integer(0)?, first: Sequence(row.unsigned(1)?) }),
        )?;
        let Some(place) = oldest else { return Ok(None) };
        match self.waiting_group(site, place)? {
            Some(group) => Ok(Some(group)),
            None => Err(StoreError::Damaged("a waiting entry is not in the log".to_owned())),
        }
    }

    fn wait_on(&mut self, group: &Group, on: &Key) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE waiting SET for_table = ?3, for_record = ?4 WHERE journal = ?1 AND group_first = ?2",
            &[
                group.journal.into(),
                unsigned(group.place().first.0),
                (&self.catalogue.table_name(&on.0)).into(),
                on.1.as_str().into(),
            ],
        )?;
        Ok(())
    }

    /// Takes a group out of those that wait; what queued behind its records is judged again.
    pub(super) fn end_waiting(&mut self, group: &Group, changes: &mut Vec<Change>) -> Result<(), StoreError> {
        let count = self.sql.execute(
            "DELETE FROM waiting WHERE journal = ?1 AND group_first = ?2",
            &[group.journal.into(), unsigned(group.place().first.0)],
        )?;
        self.state.waiting -= count;
        self.site(group.site)?.waiting -= count;
        for (_, bytes) in &group.entries {
            if let Some(entry) = super::receive::decode(bytes) {
                let reference = self.catalogue.table(&entry.table).map(|table| table.reference().clone());
                let key = (reference.unwrap_or(entry.table), entry.record);
                changes.push(Change { site: group.site, key, is_gone: false, is_cancelled: false });
            }
        }
        Ok(())
    }

    /// A delete takes back what its site has waiting for the record.
    pub(super) fn cancel_waiting(&mut self, site: SiteId, key: &Key, before: GroupPlace) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE waiting SET is_cancelled = 1 WHERE site = ?1 AND table_name = ?2 AND record = ?3
                AND (journal < ?4 OR (journal = ?4 AND group_first < ?5))",
            &[
                site.0.into(),
                (&self.catalogue.table_name(&key.0)).into(),
                key.1.as_str().into(),
                before.journal.into(),
                unsigned(before.first.0),
            ],
        )?;
        Ok(())
    }
}
