//! How often document numbers of a store may have been lost (`domain::number`): a device gave some, and whoever goes on with the store does
//! not hear of them.
//!
//! | what happens | the count rises |
//! | --- | --- |
//! | a store is handed over and its site is not waited for | of that store |
//! | a store is handed over that ever kept its data on its site (`domain::withholding`) | of that store, if the count is 0 |
//! | a device is freed, or another one takes its place without a reset | of each store of its site, and of each that it claimed in vain |
//! | a site that stopped because of a second device, or one that was set back, goes on | the same |
//! | a device goes on in a journal that does not name the one before (`outpost recover`) | the same |
//! | a number comes too late, which a device gave of a store that it did not hold any more, and it is above what is given next | as far as it takes |
//! | a device shows that it lost entries, or that a central of before had told it more | to what it shows |
//!
//! A grant tells the count, and numbers are given only under a count that central has told. A store that moves in order keeps its count:
//! what its old site had given is here before the new one begins.

use std::ops::ControlFlow;

use domain::json::row_from_json;
use domain::judge::RefusalCode;
use domain::number::{NUMBER_TABLE, gaps_of, last_of};
use domain::store::STORE_TABLE;
use domain::withholding::has_withheld_data;
use protocol::entry::{Entry, Operation};
use protocol::ids::{RecordId, SiteId};
use protocol::limits::{NUMBER_GAP, NUMBER_GAPS_MAX};
use protocol::message::RequestHead;
use sql::SqlExt;

use super::batch::Batch;
use super::error::StoreError;
use super::judging::Reason;
use super::receive::decode;
use super::text;

impl Batch<'_> {
    /// The count of a store.
    pub(super) fn number_gaps(&mut self, store: &RecordId) -> Result<u32, StoreError> {
        let sql = "SELECT gaps FROM number_gap WHERE store = ?1";
        let found = self.sql.query_one(sql, &[store.as_str().into()], |row| text::small(row, 0))?;
        Ok(found.unwrap_or(0))
    }

    /// Numbers of a store may have been lost.
    pub(super) fn lose_numbers_of(&mut self, store: &RecordId) -> Result<(), StoreError> {
        // A central that was set back may know a lower count than the records that sites handed back to it.
        let known = self.number_gaps(store)?.max(self.number_gaps_in_records(store)?);
        self.set_number_gaps(store, known.saturating_add(1))
    }

    /// A store goes to another site. If it ever kept its data, numbers may have been given there of which nothing came: the next site is to
    /// know that. Once is enough, because it gives no first number of a kind under a count above 0.
    pub(super) fn lose_numbers_that_stayed(&mut self, store: &RecordId) -> Result<(), StoreError> {
        let Ok(stores) = self.catalogue.table_by_name(STORE_TABLE) else { return Ok(()) };
        let row = self.reading().row_of(stores, store)?;
        if row.as_ref().is_some_and(has_withheld_data) && self.number_gaps(store)? == 0 {
            self.lose_numbers_of(store)?;
        }
        Ok(())
    }

    /// Numbers may have been lost of every store that a site holds, or claimed in vain. Whether there are any.
    pub(super) fn lose_numbers_of_site(&mut self, site: SiteId) -> Result<bool, StoreError> {
        let mut stores: Vec<RecordId> = self.state.stores_of(site).cloned().collect();
        let claims = self.reading().declined_claims(None)?;
        stores.extend(claims.into_iter().filter(|claim| claim.site == site).map(|claim| claim.store));
        stores.iter().try_for_each(|store| self.lose_numbers_of(store))?;
        Ok(!stores.is_empty())
    }

    /// Of the two devices because of which a site stopped one goes on, and may have been set back: what it had given since may be lost.
    pub(super) fn lose_numbers_at_stop(&mut self, site: SiteId) -> Result<(), StoreError> {
        let loses_numbers = self.lose_numbers_of_site(site)?;
        if loses_numbers && self.site(site)?.is_enrolled { self.tell_grants(site) } else { Ok(()) }
    }

    /// A device shows that it needs a higher count than it was told: it is raised, and told.
    pub(super) fn answer_number_gaps(&mut self, head: &RequestHead) -> Result<(), StoreError> {
        for shown in &head.claims.number_gaps {
            let Ok(store) = RecordId::new(&shown.store) else { continue };
            let holding = self.state.holdings.get(&store).copied();
            let Some(holding) = holding.filter(|holding| holding.site == head.site) else { continue };
            let is_raised = self.number_gaps(&store)? < shown.gaps.min(NUMBER_GAPS_MAX);
            if is_raised {
                self.set_number_gaps(&store, shown.gaps)?;
            }
            // A request that comes again is answered by the row that waits already.
            let is_heard = self.control_count(head.site)? == 0;
            if (is_raised || is_heard) && !self.is_moving(&store) {
                self.tell_grant(head.site, &store, holding.ownership)?;
            }
        }
        Ok(())
    }

    /// An edit is refused, because the site did not hold the store any more: a number that it gave is not given once more.
    pub(super) fn note_late_numbers(&mut self, entry: &[u8], reason: &Reason) -> Result<(), StoreError> {
        let is_late =
            [RefusalCode::NotStoreHolder, RefusalCode::OwnershipNumber].iter().any(|code| code.as_str() == reason.code);
        let Some(Entry { table, record, operation: Operation::Put(late), .. }) = decode(entry).filter(|_| is_late)
        else {
            return Ok(());
        };
        let Ok(numbers) = self.catalogue.table_by_name(NUMBER_TABLE) else { return Ok(()) };
        if *numbers.reference() != table {
            return Ok(());
        }
        let (Some(given), Some(Ok(store))) = (last_of(numbers, &late), numbers.store_of(&record, &late)) else {
            return Ok(());
        };
        let sql = "SELECT data FROM record WHERE table_name = ?1 AND id = ?2 AND data IS NOT NULL";
        let found = self
            .sql
            .query_one(sql, &[NUMBER_TABLE.into(), record.as_str().into()], |row| Ok(row.text(0)?.to_owned()))?;
        let row = found.and_then(|data| row_from_json(numbers, &record, &data).ok());
        let (last, included) = row.map_or((0, 0), |row| (last_of(numbers, &row).unwrap_or(0), gaps_of(&row)));
        let gaps = self.number_gaps(&store)?;
        let left_out = u64::from(gaps.saturating_sub(included)) * NUMBER_GAP;
        let Some(missing) = given.checked_sub(last.saturating_add(left_out)).filter(|missing| *missing > 0) else {
            return Ok(());
        };
        let more = u32::try_from(missing.div_ceil(NUMBER_GAP)).unwrap_or(NUMBER_GAPS_MAX);
        self.set_number_gaps(&store, gaps.saturating_add(more))?;
        let Some(holding) = self.state.holdings.get(&store).copied() else { return Ok(()) };
        let is_told =
            holding.site != SiteId::CENTRAL && !self.is_moving(&store) && self.site(holding.site)?.is_enrolled;
        if is_told { self.tell_grant(holding.site, &store, holding.ownership) } else { Ok(()) }
    }

    fn set_number_gaps(&mut self, store: &RecordId, gaps: u32) -> Result<(), StoreError> {
        self.sql.execute(
            "INSERT INTO number_gap (store, gaps) VALUES (?1, ?2)
             ON CONFLICT (store) DO UPDATE SET gaps = excluded.gaps",
            &[store.as_str().into(), gaps.min(NUMBER_GAPS_MAX).into()],
        )?;
        Ok(())
    }

    /// The highest count that a number record of the store includes. Looks at the number records of all stores: some thousands, and seldom.
    fn number_gaps_in_records(&mut self, store: &RecordId) -> Result<u32, StoreError> {
        let Ok(table) = self.catalogue.table_by_name(NUMBER_TABLE) else { return Ok(0) };
        let mut highest = 0;
        let sql = "SELECT id, data FROM record WHERE table_name = ?1 AND store = ?2 AND data IS NOT NULL";
        self.sql.query(sql, &[NUMBER_TABLE.into(), store.as_str().into()], &mut |row| {
            let read = RecordId::new(row.text(0)?).ok().zip(row.optional_text(1)?);
            let read = read.and_then(|(id, data)| row_from_json(table, &id, data).ok());
            highest = highest.max(read.map_or(0, |row| gaps_of(&row)));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(highest)
    }
}
