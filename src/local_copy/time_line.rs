//! Reading everything again from a central that was set back to an older state (rule 5.12).
//!
//! Positions of the time line that is gone mean nothing any more, so what comes replaces what is here whatever its position. What
//! does not come again is not swept: central has lost it. It is handed back, as an edit of this site, before its membership goes;
//! what the site may not write central refuses, and keeps in set-aside for an operator to adopt.

use protocol::ids::{OwnershipNumber, Position, RecordId, TableRef};
use protocol::row::Row;
use sql::{Durability, SqlExt};

use super::images::{Image, state};
use super::{LocalCopy, LocalCopyError};

/// Name of the number that is 1 while scopes are read from another time line than before.
const IS_OTHER_TIME_LINE: &str = "is_other_time_line";

/// A record that central has lost.
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

impl LocalCopy {
    /// As [`LocalCopy::begin_rebuild`], because central was set back. Begun once, it goes on until every scope is in order.
    ///
    /// # Errors
    /// Those of a write.
    pub fn begin_other_time_line(&mut self) -> Result<(), LocalCopyError> {
        self.transaction(Durability::Full, |copy| copy.set_number(IS_OTHER_TIME_LINE, 1))?;
        self.begin_rebuild()
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
        let grants = self.grants()?;
        let mut lost = Vec::new();
        for (table, id, generation) in self.members_above(&sweep)? {
            let key = self.key_by_name(&table, &id)?;
            if generation >= sweep.generation
                || self.base(&key)?.is_some()
                || self.has_other_scope(&key, sweep.scope)?
            {
                continue;
            }
            let Some(Image { row: Some(row), store, .. }) = self.merged(&key)? else { continue };
            let store = store.as_ref().map(RecordId::as_str);
            let grant = grants.iter().find(|(granted, _)| Some(granted.as_str()) == store);
            lost.push(LostRecord {
                depth: self.depth_of(key.table.reference()),
                table: key.table.reference().clone(),
                id: key.id.clone(),
                row,
                ownership: grant.map_or(OwnershipNumber(0), |grant| grant.1),
            });
        }
        lost.sort_by_key(|record| record.depth);
        Ok(lost)
    }

    /// Within the transaction of edits: the position that a lost record had is of the time line that is gone.
    ///
    /// # Errors
    /// Those of a write.
    pub fn forget_position(&mut self, table: &TableRef, id: &RecordId) -> Result<(), LocalCopyError> {
        let key = self.key(table, id);
        if let Some(image) = self.merged(&key)? {
            self.put_merged(&key, &Image { position: Position::ZERO, ..image }, state::CENTRAL)?;
        }
        Ok(())
    }

    fn has_other_scope(&mut self, key: &super::images::Key, scope: i64) -> Result<bool, LocalCopyError> {
        let [table, id] = key.params();
        let sql = "SELECT 1 FROM membership WHERE table_name = ?1 AND id = ?2 AND scope <> ?3 LIMIT 1";
        Ok(self.sql.query_integer(sql, &[table, id, scope.into()])?.is_some())
    }

    fn depth_of(&self, table: &TableRef) -> usize {
        let mut depth = 0;
        let mut above = self.catalogue.table(table).and_then(|table| table.parent().cloned());
        while let Some(parent) = above.filter(|_| depth < protocol::limits::PARENT_DEPTH_MAX) {
            depth += 1;
            above = self.catalogue.table(&parent.table).and_then(|table| table.parent().cloned());
        }
        depth
    }
}
