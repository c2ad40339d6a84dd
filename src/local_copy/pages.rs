//! Pages: rows of a scope with the cursor that they move it to, in one durable step (invariant 6).

use domain::scope::Scope;
use domain::store::{NAME_TABLE, STORE_TABLE, is_of_store};
use protocol::ids::{Hash, ScopeId};
use protocol::limits::PAGE_PLAIN_BYTES_MAX;
use protocol::message::{Cursor, PagePartState};
use protocol::page::PageRow;
use protocol::session::{Page, PartToStore};
use sql::{Durability, Param, SqlExt};

use super::images::{Image, Key, Rank};
use super::{LocalCopy, LocalCopyError, checksum, limits};

/// Adds to the length of packed rows at most: the codec may make what does not compress a little longer.
const PART_OVERHEAD_BYTES: usize = 4 * 1024;

impl LocalCopy {
    /// Stores a page and its cursor in one durable transaction. Images replace what central has, never one with a higher
    /// position; pending entries stay on top.
    ///
    /// # Errors
    /// [`LocalCopyError::LogFull`] while some program keeps the write-ahead log growing; else those of a write. Nothing is
    /// kept then, and the page comes again.
    pub fn store_page(&mut self, page: &Page) -> Result<(), LocalCopyError> {
        self.store_page_of(page, false)
    }

    /// `begins_anew`: what was read of its scope before it is to come once more.
    pub(super) fn store_page_of(&mut self, page: &Page, begins_anew: bool) -> Result<(), LocalCopyError> {
        let bytes = self.sql.log_bytes()?;
        if bytes > limits::LOG_BYTES_MAX {
            return Err(LocalCopyError::LogFull { bytes });
        }
        self.transaction(Durability::Full, |copy| {
            if begins_anew {
                copy.read_scope_anew(&page.scope)?;
            }
            let numbers = copy.scope_number(&page.scope)?;
            let scope = Scope::from_id(&page.scope);
            // What a site has come to see it sees: one scope for the records, whichever lane brings them.
            let holder = match scope {
                Scope::Gained(_) => copy.scope_number(&Scope::Visible.to_id())?,
                _ => numbers,
            };
            let rank = if copy.is_other_time_line()? { Rank::Newer } else { Rank::Position };
            let mut says_what_stays = false;
            for row in &page.rows {
                says_what_stays |= copy.store_row(row, &scope, holder, rank)?;
            }
            if says_what_stays {
                copy.owe_look_at_withheld()?;
            }
            copy.store_cursor(numbers.0, &page.scope, page.cursor)?;
            if page.is_drained {
                copy.begin_sweep(numbers.0)?;
            }
            let sql = "DELETE FROM page_part WHERE scope_id = ?1";
            copy.sql.execute(sql, &[page.scope.as_bytes().into()])?;
            Ok(())
        })
    }

    /// Keeps a part of a page durably. The whole, once the last part is here; it is forgotten when the page is stored.
    ///
    /// # Errors
    /// [`LocalCopyError::Part`] for one that does not go on where the last one ended; else those of a write.
    pub fn store_part(&mut self, part: &PartToStore) -> Result<Option<Vec<u8>>, LocalCopyError> {
        let end = u64::from(part.offset) + part.bytes.len() as u64;
        if part.total as usize > PAGE_PLAIN_BYTES_MAX + PART_OVERHEAD_BYTES {
            return Err(LocalCopyError::Part("is of a page above limits::PAGE_PLAIN_BYTES_MAX"));
        }
        if end > u64::from(part.total) || part.bytes.is_empty() {
            return Err(LocalCopyError::Part("goes beyond the page, or is empty"));
        }
        let kept = self.kept_part()?.filter(|kept| kept.scope == part.scope && kept.hash == part.hash);
        if part.offset != 0 && kept.is_none_or(|kept| kept.received != part.offset) {
            return Err(LocalCopyError::Part("does not go on where the last one ended"));
        }
        self.transaction(Durability::Full, |copy| {
            if part.offset == 0 {
                // One whole at a time: what is kept of another one, or of this one, is of no use any more.
                copy.sql.execute("DELETE FROM page_part", &[])?;
            }
            copy.sql.execute(
                "INSERT INTO page_part (part_offset, scope_id, hash, total, content) VALUES (?1, ?2, ?3, ?4, ?5)",
                &[
                    part.offset.into(),
                    part.scope.as_bytes().into(),
                    (&part.hash.0).into(),
                    part.total.into(),
                    (&part.bytes).into(),
                ],
            )?;
            Ok(())
        })?;
        if end < u64::from(part.total) {
            return Ok(None);
        }
        let mut whole = Vec::with_capacity(part.total as usize);
        self.sql.query("SELECT content FROM page_part ORDER BY part_offset", &[], &mut |row| {
            whole.extend_from_slice(row.blob(0)?);
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        Ok(Some(whole))
    }

    /// What to tell central of a page in parts. One whose parts are all here but which was not stored, after a crash between the
    /// two, is asked for from its beginning.
    pub(super) fn page_part_state(&mut self) -> Result<Option<PagePartState>, LocalCopyError> {
        let total = self.sql.query_integer("SELECT total FROM page_part WHERE part_offset = 0", &[])?;
        Ok(self.kept_part()?.filter(|kept| total != Some(i64::from(kept.received))))
    }

    fn kept_part(&mut self) -> Result<Option<PagePartState>, LocalCopyError> {
        let found = self.sql.query_one(
            "SELECT scope_id, hash, part_offset + length(content) FROM page_part ORDER BY part_offset DESC LIMIT 1",
            &[],
            |row| Ok((row.blob(0)?.to_vec(), row.blob(1)?.to_vec(), row.unsigned(2)?)),
        )?;
        let Some((scope, hash, received)) = found else { return Ok(None) };
        Ok(Some(PagePartState {
            scope: ScopeId::new(&scope).ok_or_else(|| LocalCopyError::damaged("a scope's name is too long"))?,
            hash: Hash::try_from(hash.as_slice()).map_err(LocalCopyError::damaged)?,
            received: u32::try_from(received).map_err(LocalCopyError::damaged)?,
        }))
    }

    /// Whether it may change what stays on this site.
    fn store_row(
        &mut self,
        row: &PageRow,
        scope: &Scope,
        numbers: (i64, i64),
        rank: Rank,
    ) -> Result<bool, LocalCopyError> {
        let key = self.key(&row.table, &row.record);
        let Some(columns) = &row.row else {
            // A record goes only when no scope holds it (rule 5.18). Where it is not here, the place of a tombstone of what a site sees
            // besides its stores means nothing: its store's lane may have it from before.
            let is_seen_besides = matches!(scope, Scope::Visible | Scope::Gained(_) | Scope::StorePartners(_));
            let is_held = self.leave(&key, numbers.0)?;
            if is_held || is_seen_besides && self.base(&key)?.is_some_and(|base| base.row.is_none()) {
                return Ok(false);
            }
            self.replace_image(&key, &Image { position: row.position, ..Image::NOT_HERE }, rank)?;
            return Ok(false);
        };
        let columns = key.table.canonical(columns.clone());
        let store = self.store_of_row(&key, &columns, Some(scope))?;
        self.join(&key, numbers)?;
        let image = Image { row: Some(columns), store, position: row.position };
        if !self.replace_image(&key, &image, rank)? {
            return Ok(false);
        }
        self.note_owed(&key, &image)?;
        Ok(says_what_stays(&key, &image))
    }

    fn store_cursor(&mut self, number: i64, scope: &ScopeId, cursor: Cursor) -> Result<(), LocalCopyError> {
        self.sql.execute(
            "UPDATE scope SET epoch = ?2, position = ?3, began = ?4, checksum = ?5 WHERE number = ?1",
            &[
                number.into(),
                cursor.epoch.0.cast_signed().into(),
                Param::unsigned(cursor.number.0)?,
                Param::unsigned(cursor.began.0)?,
                checksum::of_cursor(scope.as_bytes(), cursor).into(),
            ],
        )?;
        Ok(())
    }
}

/// A store says what it keeps, and a name whether it is a store's.
fn says_what_stays(key: &Key, image: &Image) -> bool {
    let is_store = key.table.name() == STORE_TABLE;
    is_store || key.table.name() == NAME_TABLE && image.row.as_ref().is_some_and(|row| is_of_store(&key.table, row))
}
