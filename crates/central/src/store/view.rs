//! What the judge sees: the store with the effect of the group's earlier entries. Nothing is written while a group is judged,
//! so a group that is refused leaves nothing to undo.

use std::collections::{BTreeMap, BTreeSet};

use domain::authority::Authority;
use domain::judge::{Found, Header, Holding, Side, Verdict, View, judge};
use domain::store::STORE_TABLE;
use protocol::entry::Entry;
use protocol::ids::{OwnershipNumber, RecordId, Sequence, SiteId, TableRef};
use sql::SqlExt;

use super::batch::Batch;
use super::error::StoreError;
use super::moves::{MovePhase, StoreMove};
use super::records::Key;
use super::{unreadable, unsigned};

/// Place of a group among those of its site: journal by number, then its first sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupPlace {
    pub(super) journal: i64,
    pub(super) first: Sequence,
}

/// The store under one group.
pub(super) struct GroupView<'v, 'a> {
    batch: &'v mut Batch<'a>,
    place: GroupPlace,
    /// Records that a delete took back before they were ever here.
    gone: &'v BTreeSet<Key>,
    earlier: BTreeMap<Key, Found>,
    /// Records of which the group's earlier entries took back what waits.
    cancelled: BTreeSet<Key>,
    /// Number of each record that was read; `None` for one that is not stored.
    numbers: BTreeMap<Key, Option<i64>>,
    /// Whether a store that its new site is reading counts as that site's.
    shows_stores_on_their_way: bool,
    /// What a record that cannot be read is shown as, while a whole row for it is judged.
    stand_in: Option<(Key, Found)>,
}

impl<'v, 'a> GroupView<'v, 'a> {
    pub(super) fn new(batch: &'v mut Batch<'a>, place: GroupPlace, gone: &'v BTreeSet<Key>) -> Self {
        Self {
            batch,
            place,
            gone,
            earlier: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            numbers: BTreeMap::new(),
            shows_stores_on_their_way: false,
            stand_in: None,
        }
    }

    /// The same for what central writes for a store's site, also while that is reading the store.
    pub(super) fn with_stores_on_their_way(self) -> Self {
        Self { shows_stores_on_their_way: true, ..self }
    }

    /// Shows a record to the group's later entries as this.
    pub(super) fn put(&mut self, key: Key, found: Found) {
        self.earlier.insert(key, found);
    }

    /// Nothing waits for this record any more.
    pub(super) fn cancel(&mut self, key: Key) {
        self.cancelled.insert(key);
    }

    /// Judges an entry. A whole row for a record that cannot be read may take its place ([`super::unreadable`]).
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] where something else has to be read that cannot be; else [`StoreError::Sql`].
    pub(super) fn judge(
        &mut self,
        side: Side,
        author: SiteId,
        entry: &Entry,
        own: &Key,
    ) -> Result<Verdict, StoreError> {
        let catalogue = self.batch.catalogue;
        let failed = match judge(catalogue, self, side, author, entry) {
            Err(StoreError::Unreadable(failed)) => failed,
            judged => return judged,
        };
        let standing = match unreadable::put_of(entry).filter(|_| failed.0 == *own).zip(self.batch.number_of(own)?) {
            Some((row, number)) => self.batch.standing_of(own, number)?.map(|standing| (standing, row, number)),
            None => None,
        };
        let Some((standing, row, number)) = standing else { return Err(StoreError::Unreadable(failed)) };
        self.numbers.insert(own.clone(), Some(number));
        self.stand_in = Some((own.clone(), standing.with(row.clone())));
        let judged = judge(catalogue, self, side, author, entry);
        self.stand_in = None;
        Ok(unreadable::replaces(&standing, own, judged?))
    }

    pub(super) fn into_numbers(self) -> BTreeMap<Key, Option<i64>> {
        self.numbers
    }
}

impl View for GroupView<'_, '_> {
    type Error = StoreError;

    fn record(&mut self, table: &TableRef, id: &RecordId) -> Result<Found, StoreError> {
        let key = (table.clone(), id.clone());
        if let Some(found) = self.earlier.get(&key) {
            return Ok(found.clone());
        }
        if let Some((stands, found)) = &self.stand_in
            && *stands == key
        {
            return Ok(found.clone());
        }
        let stored = self.batch.read_record(&key)?;
        self.numbers.insert(key.clone(), stored.as_ref().map(|stored| stored.number));
        Ok(match stored {
            Some(stored) => match stored.row {
                Some(row) => Found::Here { row, store: stored.store },
                None => Found::Deleted { store: stored.store },
            },
            None if self.gone.contains(&key) => Found::Deleted { store: None },
            None => Found::Unknown,
        })
    }

    fn holding(&mut self, store: &RecordId) -> Result<Option<Holding>, StoreError> {
        let is_filling = |moving: &StoreMove| moving.phase == MovePhase::Filling;
        if !self.shows_stores_on_their_way && self.batch.state.moves.get(store).is_some_and(is_filling) {
            // Of the site that is to have it older edits may be on their way, from when it had the store before.
            return Ok(None);
        }
        self.batch.holding(store)
    }

    fn is_waiting(&mut self, author: SiteId, table: &TableRef, id: &RecordId) -> Result<bool, StoreError> {
        let key = (table.clone(), id.clone());
        Ok(!self.cancelled.contains(&key) && self.batch.is_waiting(author, &key, self.place)?)
    }

    fn has_dispensary(&mut self, site: SiteId) -> Result<bool, StoreError> {
        Ok(self.batch.state.has_dispensary(site))
    }

    fn store_of_name(&mut self, name: &RecordId) -> Result<Option<RecordId>, StoreError> {
        Ok(self.batch.stores_named(name)?.into_iter().next())
    }

    fn authority(&mut self) -> Result<Authority, StoreError> {
        Ok(self.batch.state.mirror.authority())
    }

    fn merged_into(&mut self, merges: &TableRef, record: &RecordId) -> Result<Option<RecordId>, StoreError> {
        self.batch.merged_into(merges, record)
    }

    fn header(&mut self, table: &TableRef, id: &RecordId) -> Result<Header, StoreError> {
        let key = (table.clone(), id.clone());
        match self.earlier.get(&key) {
            Some(Found::Here { store, .. }) => return Ok(Header::Here { store: store.clone() }),
            Some(Found::Deleted { .. }) => return Ok(Header::Deleted),
            Some(Found::Unknown) => return Ok(Header::Unknown),
            None => {}
        }
        Ok(match self.batch.read_store_of(&key)? {
            Some((true, store)) => Header::Here { store },
            Some((false, _)) => Header::Deleted,
            None if self.gone.contains(&key) => Header::Deleted,
            None => Header::Unknown,
        })
    }
}

impl Batch<'_> {
    /// Who holds a store. A store that was never given away is central's own, under number 0.
    pub(super) fn holding(&mut self, store: &RecordId) -> Result<Option<Holding>, StoreError> {
        if let Some(holding) = self.state.holdings.get(store) {
            return Ok(Some(*holding));
        }
        let is_here = self.is_here(STORE_TABLE, store)?;
        Ok(is_here.then_some(Holding { site: SiteId::CENTRAL, ownership: OwnershipNumber(0) }))
    }

    /// Whether entries of a site for a record wait in a group before a place.
    pub(super) fn is_waiting(&mut self, site: SiteId, key: &Key, before: GroupPlace) -> Result<bool, StoreError> {
        if self.state.waiting == 0 || self.site(site)?.waiting == 0 {
            return Ok(false);
        }
        let found = self.sql.query_integer(
            "SELECT 1 FROM waiting WHERE site = ?1 AND table_name = ?2 AND record = ?3 AND is_cancelled = 0
                AND (journal < ?4 OR (journal = ?4 AND group_first < ?5)) LIMIT 1",
            &[
                site.0.into(),
                (&self.catalogue.table_name(&key.0)).into(),
                key.1.as_str().into(),
                before.journal.into(),
                unsigned(before.first.0),
            ],
        )?;
        Ok(found.is_some())
    }
}
