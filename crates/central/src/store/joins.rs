//! Joins that somebody sets by hand, and those that central makes because of them: where a store's name is visible in another store, the
//! other's name becomes visible in this one, and ceases to be with it.

use std::ops::ControlFlow;

use domain::store::{NAME_TABLE, STORE_TABLE};
use domain::visibility::{JOIN_TABLE, Join};
use protocol::entry::Operation;
use protocol::ids::RecordId;
use sql::SqlExt;

use super::aliases::Aliases;
use super::batch::Batch;
use super::error::StoreError;
use super::text;

impl Batch<'_> {
    /// Makes a name visible in a store by hand, or takes that back. Whether it is visible afterwards: where the store sees the name because
    /// its own name is visible in a store of that name, it stays so until that is taken back, and where it sees a name that was merged with
    /// it.
    ///
    /// # Errors
    /// Refused with `unknown_store`, `unknown_name`, or `made_by_central` where nobody set by hand what is to be taken back.
    pub fn set_visible(&mut self, name: &RecordId, store: &RecordId, is_visible: bool) -> Result<bool, StoreError> {
        self.job(|batch| {
            let join = Join { name: name.clone(), store: store.clone() };
            let there = batch.joins_of(&join)?;
            for (table, id, code) in [(STORE_TABLE, store, "unknown_store"), (NAME_TABLE, name, "unknown_name")] {
                // A join of what is gone can be taken back.
                if (is_visible || there.is_empty()) && !batch.is_here(table, id)? {
                    return Err(StoreError::refused(
                        code,
                        &format!("there is no {table} {id} at central; import it first"),
                    ));
                }
            }
            let by_hand: Vec<RecordId> = there.iter().filter(|(_, made)| !made).map(|(id, _)| id.clone()).collect();
            if !is_visible {
                if by_hand.is_empty() && !there.is_empty() {
                    let what = format!(
                        "central made name {name} visible in store {store} itself, because the store's own name is visible in a store of \
                         that name: take that back, and this goes with it"
                    );
                    return Err(StoreError::refused("made_by_central", &what));
                }
                for id in by_hand {
                    batch.write_join(&id, Operation::Delete)?;
                }
            } else if let Some((id, _)) = there.first().filter(|_| by_hand.is_empty()) {
                // Central made it already: from now on it is somebody's.
                batch.mark_by_hand(id)?;
            } else if by_hand.is_empty() {
                let row = batch.catalogue.table_by_name(JOIN_TABLE).map(|joins| join.to_row(joins));
                batch.write_join(&join.derived_id(), Operation::Put(row.unwrap_or_default()))?;
            }
            // By a name that is one with it the store may see it all the same.
            for name in batch.same_as(Aliases::Names, name)? {
                if !batch.joins_of(&Join { name, store: store.clone() })?.is_empty() {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// The joins that count of a name in a store, each with whether central made it.
    fn joins_of(&mut self, join: &Join) -> Result<Vec<(RecordId, bool)>, StoreError> {
        let mut joins = Vec::new();
        self.sql.query(
            "SELECT id, is_reverse FROM visibility WHERE name = ?1 AND store = ?2 ORDER BY id",
            &[join.name.as_str().into(), join.store.as_str().into()],
            &mut |row| {
                joins.push((text::record_id(row, 0)?, row.integer(1)? != 0));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(joins)
    }

    pub(super) fn mark_by_hand(&mut self, id: &RecordId) -> Result<(), StoreError> {
        if !self.state.makes_reverse {
            let sql = "UPDATE visibility SET is_reverse = 0 WHERE id = ?1 AND is_reverse = 1";
            self.sql.execute(sql, &[id.as_str().into()])?;
        }
        Ok(())
    }

    /// Makes what answers a join, or takes it back: in each store of the name the name of the store.
    pub(super) fn answer_join(&mut self, join: &Join) -> Result<(), StoreError> {
        let Some(name) = self.name_of(&join.store)? else { return Ok(()) };
        for store in self.stores_named(&join.name)? {
            self.answer_reverse(&Join { name: name.clone(), store })?;
        }
        Ok(())
    }

    /// Makes a reverse join if one set by hand asks for it and none by hand is there, else takes it back.
    pub(super) fn answer_reverse(&mut self, reverse: &Join) -> Result<(), StoreError> {
        let (name, store) = (reverse.name.as_str(), reverse.store.as_str());
        let asked = self.sql.query_integer(
            "SELECT 1 FROM store_name own JOIN visibility ON visibility.name = own.name
                JOIN store_name other ON other.store = visibility.store
             WHERE own.store = ?2 AND other.name = ?1 AND visibility.is_reverse = 0 AND visibility.store <> ?2 LIMIT 1",
            &[name.into(), store.into()],
        )?;
        let there = "SELECT 1 FROM visibility WHERE name = ?1 AND store = ?2 AND is_reverse = ?3 LIMIT 1";
        let by_hand = self.sql.query_integer(there, &[name.into(), store.into(), 0.into()])?;
        let made = self.sql.query_integer(there, &[name.into(), store.into(), 1.into()])?;
        let is_wanted = asked.is_some() && by_hand.is_none();
        if is_wanted == made.is_some() { Ok(()) } else { self.write_reverse(reverse, is_wanted) }
    }

    fn write_reverse(&mut self, reverse: &Join, is_made: bool) -> Result<(), StoreError> {
        let Ok(joins) = self.catalogue.table_by_name(JOIN_TABLE) else { return Ok(()) };
        let operation = if is_made { Operation::Put(reverse.to_row(joins)) } else { Operation::Delete };
        let outer = std::mem::replace(&mut self.state.makes_reverse, true);
        let written = self.write_join(&reverse.derived_id(), operation);
        self.state.makes_reverse = outer;
        written
    }

    fn write_join(&mut self, id: &RecordId, operation: Operation) -> Result<(), StoreError> {
        let Ok(joins) = self.catalogue.table_by_name(JOIN_TABLE) else { return Ok(()) };
        self.write_own((joins.reference().clone(), id.clone()), operation)
    }
}
