//! Reading everything again from a central that was set back to an older state (rule 5.12).
//!
//! Positions of the time line that is gone mean nothing any more, so what comes replaces what is here whatever its position. But
//! this site's own records outrank what comes of them: entries that the journal has let go of, or that were in a journal before it,
//! central is not sent again. What does not come again is not swept: central has lost it. Both are handed back, whole, as an edit of
//! this site; what the site may not write central refuses, and keeps in set-aside for an operator to adopt.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use domain::authority::CENTRAL_DATA;
use domain::catalogue::DataType;
use domain::home_transfer::{at_rest, number_of, transfers_of, with_centrals_columns_of};
use domain::procurement::{Ordering, Purchaser, is_of_orders};
use domain::store::NAME_TABLE;
use domain::visibility::{Join, is_join, joined_column, joined_table};
use protocol::entry::{Entry, Operation};
use protocol::ids::{OwnershipNumber, Position, RecordId, Sequence, TableRef};
use protocol::row::Row;
use protocol::session::Page;
use sql::{Durability, Param, SqlExt};

use super::images::{Image, Key, as_changed, state};
use super::settle::Final;
use super::{LocalCopy, LocalCopyError};

/// Name of the number that is 1 while scopes are read from another time line than before.
pub(super) const IS_OTHER_TIME_LINE: &str = "is_other_time_line";

/// Name of the number that is 1 while that is to begin once no session runs.
const OWES_OTHER_TIME_LINE: &str = "owes_other_time_line";

/// Name of the number of records that were handed back and refused since central was last set back.
pub(super) const HANDED_BACK_REFUSED: &str = "handed_back_refused";

/// A record that central has lost, or has in an older state than this site, whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRecord {
    /// Its table.
    pub table: TableRef,
    /// Its id.
    pub id: RecordId,
    /// All of it.
    pub row: Row,
    /// The number of this site's grant of its store; 0 if it has none.
    pub ownership: OwnershipNumber,
    /// Headers above its table: a line comes behind its header.
    pub depth: usize,
}

/// Sorts records so that lines come behind their headers.
pub fn headers_first(records: &mut [LostRecord]) {
    records.sort_by(|one, other| (one.depth, &one.id).cmp(&(other.depth, &other.id)));
}

impl LostRecord {
    /// The edit that puts it whole, as a group of its own.
    pub fn into_entry(self) -> Entry {
        let LostRecord { table, id, row, ownership, .. } = self;
        Entry { is_group_end: true, ownership, table, record: id, operation: Operation::Put(row) }
    }
}

impl LocalCopy {
    /// As [`LocalCopy::begin_rebuild`], because central was set back. Begun once, it goes on until every scope is in order.
    ///
    /// # Errors
    /// Those of a write.
    pub fn begin_other_time_line(&mut self) -> Result<(), LocalCopyError> {
        // Nobody can send this again, and central may have lost it. What it has lost of the journal in use it says by its receipt.
        self.change_pending("is_waiting <> 0 AND journal < ?1", "UPDATE pending SET is_waiting = 0")?;
        self.transaction(Durability::Full, |copy| {
            if !copy.is_other_time_line()? {
                copy.set_number(HANDED_BACK_REFUSED, 0)?;
            }
            copy.set_number(IS_OTHER_TIME_LINE, 1)
        })?;
        self.begin_rebuild()?;
        self.forget_heard()
    }

    /// Notes in the open transaction that this is to begin, unless it has: a session that runs knows its cursors.
    pub(super) fn owe_other_time_line(&mut self) -> Result<(), LocalCopyError> {
        if self.is_other_time_line()? { Ok(()) } else { self.set_number(OWES_OTHER_TIME_LINE, 1) }
    }

    /// Begins it if a reply has shown that central was set back although every cursor is of before that. To be called when a session is
    /// over; the next one reads everything anew.
    ///
    /// # Errors
    /// Those of a write.
    pub fn begin_owed_time_line(&mut self) -> Result<(), LocalCopyError> {
        if self.number(OWES_OTHER_TIME_LINE)? == Some(1) {
            self.begin_other_time_line()?;
            self.transaction(Durability::Full, |copy| copy.set_number(OWES_OTHER_TIME_LINE, 0))?;
        }
        Ok(())
    }

    /// The same when the journal has let go of entries that central has lost, so that another one takes its place. To be called when
    /// that is in use; harmless when repeated.
    ///
    /// # Errors
    /// Those of a write.
    pub fn begin_own_time_line(&mut self) -> Result<(), LocalCopyError> {
        // What waited in journals before this one is in this one again.
        self.change_pending("is_waiting <> 0 AND journal < ?1", "DELETE FROM pending")?;
        self.transaction(Durability::Full, |copy| {
            // Central had received them, and asks for them no more: they are part of what is here.
            copy.settle(Final::through_journal(copy.journal_number.saturating_sub(1), i64::MAX.cast_unsigned()))
        })?;
        self.begin_other_time_line()
    }

    /// Entries that wait at central for a header, up to one: a central that lost them gets them once more, in order.
    ///
    /// # Errors
    /// Those of a read.
    pub fn waiting_entries(&mut self, received: Sequence) -> Result<Vec<Vec<u8>>, LocalCopyError> {
        let mut entries = Vec::new();
        self.sql.query(
            "SELECT entry FROM pending WHERE journal = ?1 AND is_waiting <> 0 AND sequence <= ?2 ORDER BY sequence",
            &[Param::unsigned(self.journal_number)?, Param::unsigned(received.0)?],
            &mut |row| {
                entries.push(row.blob(0)?.to_vec());
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(entries)
    }

    /// Whether scopes are being read from another time line than before.
    ///
    /// # Errors
    /// Those of a read.
    pub fn is_other_time_line(&mut self) -> Result<bool, LocalCopyError> {
        Ok(self.number(IS_OTHER_TIME_LINE)? == Some(1))
    }

    /// Every scope is in order: positions mean something again.
    pub(super) fn end_other_time_line(&mut self) -> Result<(), LocalCopyError> {
        if self.is_other_time_line()? && !self.is_rebuilding()? {
            self.transaction(Durability::Process, |copy| copy.set_number(IS_OTHER_TIME_LINE, 0))?;
        }
        Ok(())
    }

    /// What central has lost of the members that the next [`LocalCopy::sweep_step`] looks at, headers first. To be journaled before
    /// that step; what is pending already is left out, so that doing it again after a crash does it once.
    ///
    /// # Errors
    /// Those of a read.
    pub fn lost_in_step(&mut self) -> Result<Vec<LostRecord>, LocalCopyError> {
        if !self.is_other_time_line()? {
            return Ok(Vec::new());
        }
        let Some(sweep) = self.next_sweep()? else { return Ok(Vec::new()) };
        let grants = self.grants_to_hand_back()?;
        let mut lost = Vec::new();
        for (table, id, generation) in self.members_above(&sweep)? {
            let key = self.key_by_name(&table, &id)?;
            if generation >= sweep.generation
                || self.base(&key)?.is_some()
                || self.has_other_scope(&key, sweep.scope)?
            {
                continue;
            }
            let Some(image) = self.merged(&key)? else { continue };
            // Of a store or of patients that the site is not to have any more others know best.
            if sweep.is_drop && !image.row.as_ref().is_some_and(|row| key.table.data_type_of(row).is_centrals()) {
                continue;
            }
            let own = self.own_number(&key, &image, &grants)?;
            // Central takes a store's data from its own site alone, which hands back what it has of it. What came because another store has
            // it with one of this site's is never this site's, also where its header is gone already.
            if own.is_none() && (sweep.is_of_partners || self.is_of_other_store(&key, &image)?) {
                continue;
            }
            let ownership = own.unwrap_or(OwnershipNumber(0));
            lost.extend(self.lost_record(&key, image.row.as_ref().map(at_rest), ownership));
        }
        headers_first(&mut lost);
        Ok(lost)
    }

    /// What of a page that is about to be stored is older here than at this site, whose it is. To be journaled before that, so that it
    /// stays on top; what is whole in the journal already is left out, so that doing it again after a crash does it once.
    ///
    /// # Errors
    /// Those of a read.
    pub fn outranked_by(&mut self, page: &Page) -> Result<Vec<LostRecord>, LocalCopyError> {
        if !self.is_other_time_line()? {
            return Ok(Vec::new());
        }
        let grants = self.grants_to_hand_back()?;
        let (mut outranked, mut counts) = (Vec::new(), BTreeMap::new());
        for row in &page.rows {
            let key = self.key(&row.table, &row.record);
            let theirs = row.row.as_ref().map(|columns| key.table.canonical(columns.clone()));
            if let Some(theirs) = theirs.as_ref().filter(|_| key.table.has_home_stores()) {
                counts.insert((key.table.name().to_owned(), key.id.clone()), transfers_of(theirs));
            }
            if self.is_staying(&key)? {
                continue;
            }
            let Some(here) = self.merged(&key)?.and_then(|here| as_changed(&key, here)) else { continue };
            let Some(held) = self.held_under(&key, &here, &grants)? else { continue };
            // How often a patient or prescriber was transferred central knows by what it sends, if it is in this page.
            let counted = housed_of(&key, &here).and_then(|(table, id)| counts.get(&(table.to_owned(), id)).copied());
            let ownership = match counted {
                Some(transfers) => number_of(held, transfers),
                None => self.number_here(&key, &here, held)?,
            };
            let whole = match (&here.row, &theirs) {
                (Some(mine), Some(theirs)) => Some(with_centrals_columns_of(mine, theirs)),
                (mine, _) => mine.as_ref().map(at_rest),
            };
            let whole = self.lost_record(&key, whole, ownership);
            let known = self.base(&key)?.unwrap_or(here);
            if known.row != theirs && !self.has_whole_pending(&key)? {
                outranked.extend(whole);
            }
        }
        headers_first(&mut outranked);
        Ok(outranked)
    }

    /// The record of an entry, under its headers, as central had them before everything behind `received`: a central that has lost
    /// them takes the entry only on top of that. Left out is what an entry between the two changes already, and what is not this site's.
    ///
    /// # Errors
    /// Those of a read.
    pub fn under_unsent(
        &mut self,
        entry: &[u8],
        sequence: Sequence,
        received: Sequence,
    ) -> Result<Vec<LostRecord>, LocalCopyError> {
        let entry = Entry::decode(entry).map_err(LocalCopyError::damaged)?;
        let mut key = self.key(&entry.table, &entry.record);
        let mut under = Vec::new();
        for _ in 0..=protocol::limits::PARENT_DEPTH_MAX {
            under.extend(self.acknowledged(&key, sequence, received)?);
            let Some(Image { row: Some(row), .. }) = self.merged(&key)? else { break };
            let (Some(parent), Some(Ok(header))) = (key.table.parent().cloned(), key.table.header_of(&row)) else {
                break;
            };
            key = self.key(&parent.table, &header);
        }
        Ok(under)
    }

    /// A record of this site as central had it, unless an unsent entry before this one changes it.
    fn acknowledged(
        &mut self,
        key: &Key,
        sequence: Sequence,
        received: Sequence,
    ) -> Result<Option<LostRecord>, LocalCopyError> {
        let [table, id] = key.params();
        let journal = Param::unsigned(self.journal_number)?;
        let sql = "SELECT 1 FROM pending WHERE table_name = ?1 AND id = ?2 AND journal = ?3 AND sequence > ?4 AND sequence < ?5 LIMIT 1";
        let between = [table, id, journal, Param::unsigned(received.0)?, Param::unsigned(sequence.0)?];
        if self.sql.query_integer(sql, &between)?.is_some() {
            return Ok(None);
        }
        let image = match self.base(key)? {
            Some(base) => self.folded(key, base, Final::through_journal(self.journal_number, received.0))?,
            None => match self.merged(key)? {
                Some(merged) => merged,
                None => return Ok(None),
            },
        };
        let grants = self.grants_to_hand_back()?;
        let ownership = self.own_number(key, &image, &grants)?;
        Ok(ownership.and_then(|ownership| self.lost_record(key, image.row.as_ref().map(at_rest), ownership)))
    }

    /// A record to be sent whole; `None` if it is deleted.
    pub(super) fn lost_record(&self, key: &Key, row: Option<Row>, ownership: OwnershipNumber) -> Option<LostRecord> {
        let (table, id) = (key.table.reference().clone(), key.id.clone());
        row.map(|row| LostRecord { depth: self.depth_of(&table), table, id, row, ownership })
    }

    /// The number under which this site writes a record; `None` if that is not this site's.
    pub(super) fn own_number(
        &mut self,
        key: &Key,
        image: &Image,
        grants: &[(String, OwnershipNumber)],
    ) -> Result<Option<OwnershipNumber>, LocalCopyError> {
        let held = self.held_under(key, image, grants)?;
        held.map(|held| self.number_here(key, image, held)).transpose()
    }

    /// The number of this site's grant of the store that a record is of; `None` if it is not this site's. A line that came before its
    /// header has its store by that. A patient and what hangs on it are of the home store, and so is their visibility in a store that is
    /// held here: no other site makes that.
    fn held_under(
        &mut self,
        key: &Key,
        image: &Image,
        grants: &[(String, OwnershipNumber)],
    ) -> Result<Option<OwnershipNumber>, LocalCopyError> {
        let data_type = image.row.as_ref().map_or(key.table.data_type(), |row| key.table.data_type_of(row));
        if data_type.is_centrals() && !self.is_left_to_central(key, image)? {
            // Of the primary of a mirrored system it is its own.
            let granted = grants.iter().find(|(granted, _)| granted == CENTRAL_DATA);
            // Visibility of a prescriber of its own any site makes.
            if granted.is_some() || joined_table(&key.table).is_none() {
                return Ok(granted.map(|(_, ownership)| *ownership));
            }
        }
        // Of users no others come here.
        if data_type == DataType::NewUser {
            return Ok(Some(OwnershipNumber(0)));
        }
        let store = match (&image.store, &image.row) {
            (None, Some(row)) if joined_table(&key.table).is_some() => self.home_store_of_join(key, row, grants)?,
            // The patient may have had another home store when the record came.
            (kept, Some(row)) if data_type == DataType::Patient => {
                self.store_of_row(key, row, None)?.or_else(|| kept.clone())
            }
            (None, Some(row)) => self.store_of_row(key, row, None)?,
            (store, _) => store.clone(),
        };
        let of = |granted: &str| grants.iter().find(|(known, _)| known == granted).map(|(_, ownership)| *ownership);
        let by_store = store.as_ref().and_then(|store| of(store.as_str()));
        Ok(match self.ordering_of(key, image)? {
            None => by_store,
            // Whoever else has it hands it back as well: central may have lost it together with who writes it.
            Some(Ordering { purchaser: Some(Purchaser::Primary), .. }) => of(CENTRAL_DATA).or(by_store),
            Some(_) => by_store.or_else(|| of(CENTRAL_DATA)),
        })
    }

    /// How an order is procured, or a line of one; `None` for any other record.
    fn ordering_of(&mut self, key: &Key, image: &Image) -> Result<Option<Ordering>, LocalCopyError> {
        let Some(row) = image.row.as_ref().filter(|_| is_of_orders(&key.table)) else { return Ok(None) };
        let Some(store) = self.store_of_row(key, row, None)? else { return Ok(None) };
        let catalogue = Arc::clone(&self.catalogue);
        Ordering::of(&catalogue, self, &key.table, &store, row).map(Some)
    }

    /// Whether it is data of a store, known as such, such as a prescription that another site shares.
    fn is_of_other_store(&mut self, key: &Key, image: &Image) -> Result<bool, LocalCopyError> {
        let Some(row) = image.row.as_ref().filter(|row| key.table.data_type_of(row) == DataType::Store) else {
            return Ok(false);
        };
        Ok(image.store.is_some() || self.store_of_row(key, row, None)?.is_some())
    }

    /// Whether central writes a record also in a mirrored system: not the visibility of patients.
    fn is_left_to_central(&mut self, key: &Key, image: &Image) -> Result<bool, LocalCopyError> {
        let Some(row) = image.row.as_ref().filter(|_| is_join(&key.table)) else {
            return Ok(key.table.stays_with_central());
        };
        let Ok(name) = key.table.id_in(row, joined_column(&key.table)) else { return Ok(true) };
        Ok(self.home_store_of(NAME_TABLE, &name)?.is_none())
    }

    /// The number under which a record is written by whoever holds its store under `held`.
    fn number_here(
        &mut self,
        key: &Key,
        image: &Image,
        held: OwnershipNumber,
    ) -> Result<OwnershipNumber, LocalCopyError> {
        if let Some(ordering) = self.ordering_of(key, image)? {
            return Ok(ordering.number(&self.catalogue, held));
        }
        let Some((table, id)) = housed_of(key, image) else { return Ok(held) };
        let housed = self.key_by_name(table, id.as_str())?;
        let row = self.merged(&housed)?.and_then(|image| image.row);
        Ok(number_of(held, row.as_ref().map_or(0, transfers_of)))
    }

    fn home_store_of_join(
        &mut self,
        key: &Key,
        row: &Row,
        grants: &[(String, OwnershipNumber)],
    ) -> Result<Option<RecordId>, LocalCopyError> {
        let held = |join: &Join| grants.iter().any(|(store, _)| store == join.store.as_str());
        let Some(join) = Join::of(&key.table, row).filter(held) else { return Ok(None) };
        self.home_store_of(joined_table(&key.table).unwrap_or(NAME_TABLE), &join.name)
    }

    /// Whether an entry of the journal in use that is not judged puts the record whole.
    fn has_whole_pending(&mut self, key: &Key) -> Result<bool, LocalCopyError> {
        let [table, id] = key.params();
        let sql =
            "SELECT 1 FROM pending WHERE table_name = ?1 AND id = ?2 AND journal = ?3 AND operation = 'put' LIMIT 1";
        Ok(self.sql.query_integer(sql, &[table, id, Param::unsigned(self.journal_number)?])?.is_some())
    }

    /// Within the transaction of edits: the position that a lost record had is of the time line that is gone.
    ///
    /// # Errors
    /// Those of a write.
    pub fn forget_position(&mut self, table: &TableRef, id: &RecordId) -> Result<(), LocalCopyError> {
        let key = self.key(table, id);
        if let Some(image) = self.merged(&key)? {
            // Nor does a patient go anywhere of which central knows nothing.
            let row = image.row.as_ref().map(at_rest);
            self.put_merged(&key, &Image { row, position: Position::ZERO, ..image }, state::CENTRAL)?;
        }
        Ok(())
    }

    /// Within the transaction of edits: the entry is no edit of somebody here.
    ///
    /// # Errors
    /// Those of a write.
    pub fn mark_handed_back(&mut self, sequence: Sequence) -> Result<(), LocalCopyError> {
        self.sql.execute(
            "UPDATE pending SET is_handed_back = 1 WHERE journal = ?1 AND sequence = ?2",
            &[Param::unsigned(self.journal_number)?, Param::unsigned(sequence.0)?],
        )?;
        Ok(())
    }

    /// Whether a pending entry hands a record back. Not known any more where the local copy was lost in between.
    pub(super) fn is_handed_back(&mut self, journal: u64, sequence: Sequence) -> Result<bool, LocalCopyError> {
        let sql = "SELECT is_handed_back FROM pending WHERE journal = ?1 AND sequence = ?2";
        let found = self.sql.query_integer(sql, &[Param::unsigned(journal)?, Param::unsigned(sequence.0)?])?;
        Ok(found == Some(1))
    }

    /// Records that were handed back to a central which was set back, and that it keeps for its operator instead of taking them.
    ///
    /// # Errors
    /// Those of a read.
    pub fn handed_back_refused(&mut self) -> Result<u64, LocalCopyError> {
        Ok(self.number(HANDED_BACK_REFUSED)?.unwrap_or(0))
    }

    pub(super) fn has_other_scope(&mut self, key: &Key, scope: i64) -> Result<bool, LocalCopyError> {
        let [table, id] = key.params();
        let sql = "SELECT 1 FROM membership WHERE table_name = ?1 AND id = ?2 AND scope <> ?3 LIMIT 1";
        Ok(self.sql.query_integer(sql, &[table, id, scope.into()])?.is_some())
    }

    pub(super) fn depth_of(&self, table: &TableRef) -> usize {
        let mut depth = 0;
        let mut above = self.catalogue.table(table).and_then(|table| table.parent().cloned());
        while let Some(parent) = above.filter(|_| depth < protocol::limits::PARENT_DEPTH_MAX) {
            depth += 1;
            above = self.catalogue.table(&parent.table).and_then(|table| table.parent().cloned());
        }
        depth
    }
}

/// The patient that a record is, or that it hangs on or makes visible, or the prescriber: its table and id.
fn housed_of<'k>(key: &'k Key, image: &Image) -> Option<(&'k str, RecordId)> {
    let row = image.row.as_ref()?;
    if let Some(table) = joined_table(&key.table) {
        return Some((table, key.table.id_in(row, joined_column(&key.table)).ok()?));
    }
    match key.table.data_type_of(row) {
        DataType::Patient if key.table.has_home_stores() => Some((key.table.name(), key.id.clone())),
        DataType::Patient => Some((key.table.hangs_on()?.0, key.table.housed_of(&key.id, row)?.ok()?)),
        _ => None,
    }
}
