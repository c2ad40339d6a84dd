//! Judging: complete groups, in order, each whole (`details.md`, "Group verdict"; invariants 3 and 8).

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use domain::judge::{Applied, Effect, Found, RefusalCode, Side, Verdict};
use protocol::entry::{Entry, Operation};
use protocol::ids::{JournalId, Sequence, SiteId};
use sql::{SqlError, SqlExt};

use super::batch::Batch;
use super::conclude::Judged;
use super::control::{Place, reason_text};
use super::error::StoreError;
use super::receive::decode;
use super::records::{Author, Key};
use super::state::{JOURNAL_COLUMNS, Journal};
use super::view::{GroupPlace, GroupView};
use super::waiting::Change;
use super::{unreadable, unsigned};

/// Most entries that are read from the log at once. A longer group is read again with room for all of it.
const ENTRIES_READ_MAX: usize = 1024;

/// Why an entry is refused: the judge's codes, and those that only the store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) code: String,
    pub(super) text: String,
}

impl Reason {
    pub(super) fn new(code: &str, text: &str) -> Self {
        Self { code: code.to_owned(), text: reason_text(text) }
    }

    /// What the other entries of a refused group get.
    fn of_group(&self) -> Self {
        let text = format!("another edit of its group was refused: {}", self.text);
        Self::new(RefusalCode::GroupRefused.as_str(), &text)
    }
}

/// Entries that are judged together.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) site: SiteId,
    pub(super) journal: i64,
    pub(super) journal_id: JournalId,
    pub(super) entries: Vec<(Sequence, Vec<u8>)>,
    /// Set when it has waited: sequences of entries that a delete has taken back.
    pub(super) waited: Option<BTreeSet<Sequence>>,
}

impl Group {
    pub(super) fn place(&self) -> GroupPlace {
        let first = self.entries.first().map_or(Sequence::ZERO, |entry| entry.0);
        GroupPlace { journal: self.journal, first }
    }

    /// Where an entry of the group is told about.
    pub(super) fn entry_place(&self, sequence: Sequence) -> Place {
        Place { site: self.site, journal: self.journal_id, sequence }
    }
}

/// What the judge says of a group.
pub(super) enum GroupVerdict {
    Accepted(Vec<Accepted>),
    Refused { sequence: Sequence, reason: Reason },
    Waiting { on: Key },
}

/// An accepted entry, to be written.
pub(super) struct Accepted {
    pub(super) key: Key,
    pub(super) applied: Applied,
    /// Whether it deleted what was never here.
    pub(super) is_gone: bool,
}

impl Batch<'_> {
    /// Judges the complete groups of a site's journals that have no verdict yet.
    pub(super) fn judge_site(&mut self, site: SiteId, goes_on: &mut dyn FnMut() -> bool) -> Result<Judged, StoreError> {
        let mut judged = Judged { groups: 0, has_more: false };
        if self.compares_grants(site)? {
            return Ok(judged);
        }
        if self.site(site)?.has_unjudged_journal {
            while let Some(mut journal) = self.unjudged_journal(site)? {
                self.judge_journal(site, &mut journal, goes_on, &mut judged)?;
                journal.write(self.sql)?;
                if judged.has_more {
                    return Ok(judged);
                }
            }
            self.site(site)?.has_unjudged_journal = false;
        }
        let Some(mut journal) = self.site(site)?.journal.clone() else { return Ok(judged) };
        self.judge_journal(site, &mut journal, goes_on, &mut judged)?;
        self.site(site)?.journal = Some(journal);
        Ok(judged)
    }

    /// The oldest journal of a site that was closed before all of it was judged.
    fn unjudged_journal(&mut self, site: SiteId) -> Result<Option<Journal>, StoreError> {
        Ok(self.sql.query_one(
            &format!(
                "SELECT {JOURNAL_COLUMNS} FROM journal
                 WHERE site = ?1 AND is_active = 0 AND judged < closed_at ORDER BY number LIMIT 1"
            ),
            &[site.0.into()],
            Journal::read,
        )?)
    }

    fn judge_journal(
        &mut self,
        site: SiteId,
        journal: &mut Journal,
        goes_on: &mut dyn FnMut() -> bool,
        judged: &mut Judged,
    ) -> Result<(), StoreError> {
        if journal.judged >= journal.end() {
            return Ok(());
        }
        // Counted once and then by what is given, because counting is a query.
        let given_before = self.site(site)?.control_last;
        let control_before = self.control_count(site)?;
        while journal.judged < journal.end() {
            let entries = self.unjudged_entries(journal)?;
            let mut rest = entries.as_slice();
            while let Some(length) = self.next_group(journal, rest) {
                let control = control_before + self.site(site)?.control_last - given_before;
                if (judged.groups > 0 && !goes_on()) || control >= self.limits.control_rows_max {
                    judged.has_more = true;
                    return Ok(());
                }
                let (group, after) = rest.split_at(length);
                rest = after;
                self.judge_next(site, journal, group)?;
                judged.groups += 1;
            }
            let is_all = entries.last().is_some_and(|entry| entry.0 == journal.end());
            if rest.len() == entries.len() || (is_all && journal.is_active) {
                // An incomplete group at the end: the rest of it is still to come.
                return Ok(());
            }
        }
        Ok(())
    }

    /// Judges the entries that stand next: one group, or a part of one that is refused as it comes.
    fn judge_next(
        &mut self,
        site: SiteId,
        journal: &mut Journal,
        entries: &[(Sequence, Vec<u8>)],
    ) -> Result<(), StoreError> {
        let Some(last) = entries.last() else { return Ok(()) };
        // Control rows are given with how far the site's journal is judged.
        if let Some(active) = self.site(site)?.journal.as_mut().filter(|active| active.number == journal.number) {
            active.judged = journal.judged;
        }
        let ends = ends_group(&last.1);
        let group =
            Group { site, journal: journal.number, journal_id: journal.id, entries: entries.to_vec(), waited: None };
        if journal.is_refusing_group || !ends {
            let is_cut = !ends && !journal.is_active && last.0 == journal.end();
            let reason = if is_cut && !journal.is_refusing_group {
                Reason::new(
                    RefusalCode::GroupIncomplete.as_str(),
                    "the journal was closed before the rest of the group came",
                )
            } else {
                let text = format!(
                    "the group has more than {} entries or {} bytes; record less at once",
                    self.limits.group_entries_max, self.limits.group_bytes_max
                );
                Reason::new("group_too_large", &text)
            };
            let mut changes = Vec::new();
            self.refuse_group(&group, None, &reason, &mut changes)?;
            journal.is_refusing_group = !ends;
            self.settle(changes)?;
        } else if let Some((culprit, reason)) = self.refused_before(journal, &group)? {
            let mut changes = Vec::new();
            self.refuse_group(&group, Some(culprit), &reason, &mut changes)?;
            self.settle(changes)?;
        } else {
            self.judge_with_care(&group, journal)?;
            self.follow_transfers()?;
        }
        journal.judged = last.0;
        journal.is_changed = true;
        Ok(())
    }

    /// Judges a group and writes it; one that leads to a record which cannot be read is refused, if that is being looked for.
    fn judge_with_care(&mut self, group: &Group, journal: &Journal) -> Result<(), StoreError> {
        if !self.state.is_careful {
            return self.judge_and_settle(group);
        }
        // What is undone is read anew from what was written.
        self.write_state()?;
        let failed = match self.job(|batch| batch.judge_and_settle(group)) {
            Err(StoreError::Unreadable(failed)) => failed,
            done => return done,
        };
        if let Some(active) = self.site(group.site)?.journal.as_mut().filter(|active| active.number == journal.number) {
            active.judged = journal.judged;
        }
        let reason = unreadable::reason(&failed.0, &failed.1, None);
        let mut changes = Vec::new();
        self.refuse_group(group, None, &reason, &mut changes)?;
        self.settle(changes)
    }

    /// Which entry of a group was refused, and why, before central was set back: its site was told, and may have acted on it.
    fn refused_before(&mut self, journal: &Journal, group: &Group) -> Result<Option<(Sequence, Reason)>, StoreError> {
        let (Some(first), Some(last)) = (group.entries.first(), group.entries.last()) else { return Ok(None) };
        if first.0 > journal.refused_before {
            return Ok(None);
        }
        // The one that was refused for itself, if it is among them.
        Ok(self.sql.query_one(
            "SELECT sequence, code, reason FROM entry
             WHERE journal = ?1 AND sequence >= ?2 AND sequence <= ?3 AND code IS NOT NULL
             ORDER BY CASE WHEN code = ?4 THEN 1 ELSE 0 END, sequence LIMIT 1",
            &[
                journal.number.into(),
                unsigned(first.0.0),
                unsigned(last.0.0),
                RefusalCode::GroupRefused.as_str().into(),
            ],
            |row| {
                let text = |index| Ok::<_, SqlError>(row.optional_text(index)?.unwrap_or_default().to_owned());
                Ok((Sequence(row.unsigned(0)?), Reason { code: text(1)?, text: text(2)? }))
            },
        )?)
    }

    /// Entries behind the judged ones, as many as the largest group may have and one more.
    fn unjudged_entries(&mut self, journal: &Journal) -> Result<Vec<(Sequence, Vec<u8>)>, StoreError> {
        let entries_max = self.limits.group_entries_max.min(ENTRIES_READ_MAX);
        let group_entries_max = self.limits.group_entries_max;
        let bytes_max = self.limits.group_bytes_max;
        let mut entries: Vec<(Sequence, Vec<u8>)> = Vec::new();
        let mut bytes = 0;
        let mut has_end = false;
        self.sql.query(
            "SELECT sequence, bytes FROM entry WHERE journal = ?1 AND sequence > ?2 AND sequence <= ?3 ORDER BY sequence",
            &[journal.number.into(), unsigned(journal.judged.0), unsigned(journal.end().0)],
            &mut |row| {
                let entry = row.blob(1)?;
                bytes += entry.len();
                has_end |= ends_group(entry);
                entries.push((Sequence(row.unsigned(0)?), entry.to_vec()));
                let is_enough = has_end && entries.len() >= entries_max;
                let is_full = bytes > bytes_max || entries.len() > group_entries_max;
                Ok(if is_enough || is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            },
        )?;
        if entries.is_empty() {
            let what = format!("entries of journal {} behind {} are gone", journal.id, journal.judged);
            return Err(StoreError::Damaged(what));
        }
        Ok(entries)
    }

    /// How many entries stand next: up to the group's end, or fewer of one that is above a limit or was cut for ever.
    fn next_group(&self, journal: &Journal, entries: &[(Sequence, Vec<u8>)]) -> Option<usize> {
        let mut bytes = 0;
        for (index, entry) in entries.iter().enumerate() {
            bytes += entry.1.len();
            let count = index + 1;
            let is_above = count > self.limits.group_entries_max || bytes > self.limits.group_bytes_max;
            // Of a group that is too large the part before the limit is passed; the rest is refused as it comes.
            if is_above && count > 1 {
                return Some(count - 1);
            }
            if is_above || journal.is_refusing_group || ends_group(&entry.1) {
                return Some(count);
            }
            if entry.0 == journal.end() && !journal.is_active {
                return Some(count);
            }
        }
        None
    }

    /// Judges a group without writing anything. `gone`: see [`GroupView`].
    pub(super) fn judge_group(
        &mut self,
        group: &Group,
        gone: &BTreeSet<Key>,
    ) -> Result<(GroupVerdict, Numbers), StoreError> {
        let catalogue = self.catalogue;
        let mut view = GroupView::new(self, group.place(), gone);
        let mut accepted = Vec::with_capacity(group.entries.len());
        let count = group.entries.len();
        for (index, (sequence, bytes)) in group.entries.iter().enumerate() {
            let Some(entry) = decode(bytes) else {
                let reason = Reason::new("entry_malformed", "central cannot read the entry; it is kept as it came");
                return Ok((GroupVerdict::Refused { sequence: *sequence, reason }, Numbers::new()));
            };
            let reference = catalogue.table(&entry.table).map_or(&entry.table, |table| table.reference());
            let key: Key = (reference.clone(), entry.record.clone());
            if group.waited.as_ref().is_some_and(|cancelled| cancelled.contains(sequence)) {
                view.put(key, Found::Deleted { store: None });
                continue;
            }
            let verdict = match view.judge(Side::Central, group.site, &entry, &key) {
                Err(StoreError::Unreadable(failed)) => {
                    let reason = unreadable::reason(&failed.0, &failed.1, Some(&key));
                    return Ok((GroupVerdict::Refused { sequence: *sequence, reason }, Numbers::new()));
                }
                judged => judged?,
            };
            match verdict {
                Verdict::Accept(applied) => {
                    let is_gone = is_delete(&entry) && applied.effect == Effect::Nothing;
                    if applied.cancels_waiting {
                        view.cancel(key.clone());
                    }
                    if applied.effect == Effect::Write && index + 1 < count {
                        view.put(key.clone(), found_after(&applied));
                    }
                    accepted.push(Accepted { key, applied, is_gone });
                }
                Verdict::Refuse(refusal) => {
                    let reason = Reason::new(refusal.code.as_str(), &refusal.reason);
                    return Ok((GroupVerdict::Refused { sequence: *sequence, reason }, Numbers::new()));
                }
                Verdict::Wait { table, record } => {
                    let on = (table, record);
                    return Ok(match self.never_comes(group, &on, &key)? {
                        Some(reason) => (GroupVerdict::Refused { sequence: *sequence, reason }, Numbers::new()),
                        None => (GroupVerdict::Waiting { on }, Numbers::new()),
                    });
                }
            }
        }
        Ok((GroupVerdict::Accepted(accepted), view.into_numbers()))
    }

    /// Rule 5.17: a header that was refused is its lines' verdict. Unless it waits itself, or what is waited for is the entry's
    /// own record, which is there as soon as the entries before are judged.
    fn never_comes(&mut self, group: &Group, on: &Key, own: &Key) -> Result<Option<Reason>, StoreError> {
        let name = self.catalogue.table_name(&on.0);
        let missing = |what: &str| Some(Reason::new(RefusalCode::HeaderMissing.as_str(), what));
        if on.1.as_str().contains('\0') {
            return Ok(missing(&format!("its header {name} {} has an id that no record can have", on.1)));
        }
        if on == own || self.is_waiting(group.site, on, group.place())? {
            return Ok(None);
        }
        let refused = self.sql.query_one(
            "SELECT entry.code FROM entry JOIN journal ON journal.number = entry.journal
             WHERE entry.verdict = 2 AND entry.table_name = ?1 AND entry.record = ?2 AND journal.site = ?3 LIMIT 1",
            &[(&name).into(), on.1.as_str().into(), group.site.0.into()],
            |row| Ok(row.optional_text(0)?.unwrap_or_default().to_owned()),
        )?;
        Ok(refused.and_then(|code| missing(&format!("its header {name} {} was refused ({code})", on.1))))
    }

    /// Writes an accepted group and tells what it changed.
    pub(super) fn apply_group(
        &mut self,
        group: &Group,
        accepted: Vec<Accepted>,
        mut numbers: Numbers,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let author = Author { site: group.site, journal: group.journal, sequence: group.place().first };
        for Accepted { key, applied, is_gone } in accepted {
            if applied.cancels_waiting {
                self.cancel_waiting(group.site, &key, group.place())?;
            }
            if applied.effect == Effect::Write {
                let number = match numbers.get(&key) {
                    Some(number) => *number,
                    None => self.read_record(&key)?.map(|stored| stored.number),
                };
                let written = self.write_record(author, &key, &applied, number)?;
                numbers.insert(key.clone(), Some(written));
                self.settle_proposal(group.site, &key, applied.row.as_ref())?;
            }
            if self.state.waiting > 0 {
                changes.push(Change { site: group.site, key, is_gone, is_cancelled: applied.cancels_waiting });
            }
        }
        if group.waited.is_some() {
            self.end_waiting(group, changes)?;
            for (sequence, _) in &group.entries {
                self.set_verdict(group.journal, *sequence, None, None)?;
                self.tell_accepted(group.entry_place(*sequence))?;
            }
        }
        Ok(())
    }

    /// Refuses all entries of a group: one with its reason (all, if none is named), the others because of it.
    pub(super) fn refuse_group(
        &mut self,
        group: &Group,
        culprit: Option<Sequence>,
        reason: &Reason,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        if group.waited.is_some() {
            self.end_waiting(group, changes)?;
        }
        let of_group = reason.of_group();
        for (sequence, bytes) in &group.entries {
            let is_culprit = culprit.is_none_or(|culprit| culprit == *sequence);
            let reason = if is_culprit { reason } else { &of_group };
            let key = decode(bytes).map(|entry| {
                let reference = self.catalogue.table(&entry.table).map(|table| table.reference().clone());
                (reference.unwrap_or(entry.table), entry.record)
            });
            // A record that is handed back is a group of its own.
            let is_settled = group.entries.len() == 1 && reason.code == RefusalCode::AlreadyHere.as_str();
            if is_settled {
                self.set_verdict(group.journal, *sequence, Some(DISMISSED), Some(reason))?;
            } else {
                self.set_aside_entry(group.site, (group.journal, *sequence), bytes, reason)?;
            }
            self.tell_refused(group.entry_place(*sequence), key.as_ref(), reason)?;
            self.note_late_numbers(bytes, reason)?;
            if let Some(key) = key.filter(|_| self.state.waiting > 0) {
                changes.push(Change { site: group.site, key, is_gone: false, is_cancelled: false });
            }
        }
        Ok(())
    }

    pub(super) fn set_verdict(
        &mut self,
        journal: i64,
        sequence: Sequence,
        verdict: Option<i64>,
        reason: Option<&Reason>,
    ) -> Result<(), SqlError> {
        self.sql.execute(
            "UPDATE entry SET verdict = ?3, code = ?4, reason = ?5 WHERE journal = ?1 AND sequence = ?2",
            &[
                journal.into(),
                unsigned(sequence.0),
                verdict.into(),
                reason.map(|reason| reason.code.as_str()).into(),
                reason.map(|reason| reason.text.as_str()).into(),
            ],
        )?;
        Ok(())
    }
}

/// Number of each record that a view has read.
pub(super) type Numbers = std::collections::BTreeMap<Key, Option<i64>>;

/// `entry.verdict` of what waits.
pub(super) const WAITING: i64 = 1;
/// `entry.verdict` of what is refused and dealt with.
pub(super) const DISMISSED: i64 = 3;
/// `entry.verdict` of what is refused.
pub(super) const REFUSED: i64 = 2;

/// What central cannot read at all is a group of its own: nothing else may wait for its end.
fn ends_group(bytes: &[u8]) -> bool {
    Entry::ends_group(bytes).unwrap_or(true)
}

fn is_delete(entry: &Entry) -> bool {
    match entry.operation {
        Operation::Delete => true,
        Operation::Put(_) | Operation::Patch(_) => false,
    }
}

pub(super) fn found_after(applied: &Applied) -> Found {
    match &applied.row {
        Some(row) => Found::Here { row: row.clone(), store: applied.store.clone() },
        None => Found::Deleted { store: applied.store.clone() },
    }
}
