//! Pages: central's images, with the cursor that they move, in one durable step (invariant 6). And rebuilding a scope.

use std::ops::ControlFlow;
use std::sync::Arc;

use domain::catalogue::Catalogue;
use protocol::ids::{Epoch, Hash, Position, ScopeId};
use protocol::message::{Cursor, PagePartState, ScopeCursor};
use protocol::page::PageRow;
use protocol::session::{Page, PartToStore};
use sql::{Durability, Param, Sql, SqlExt as _};

use super::image::{self, Image, Source};
use super::{LocalCopy, LocalCopyError, SWEEP_STEP_ROWS, meta};
use crate::hex;

/// A scope as its row has it.
#[derive(Debug, Clone, Copy)]
struct ScopeRow {
    number: i64,
    generation: i64,
    rebuild: i64,
}

/// A scope that is read anew: rows that were not seen go once it is drained.
const REBUILDING: i64 = 1;
/// A drained scope whose unseen rows are being removed.
const SWEEPING: i64 = 2;

impl LocalCopy {
    /// Stores a page with its cursor. Images replace what central said before, never by one with a lower position; pending
    /// entries stay on top (rules 5.2 and 5.15).
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails; nothing of the page is there then.
    pub fn store_page(&mut self, page: &Page) -> Result<(), LocalCopyError> {
        let catalogue = Arc::clone(&self.catalogue);
        self.sql.in_transaction::<_, LocalCopyError>(Durability::Full, |sql| {
            let scope = scope_row(sql, &page.scope)?;
            for row in &page.rows {
                store_row(sql, &catalogue, scope, row)?;
            }
            let rebuild = if page.is_drained && scope.rebuild == REBUILDING { SWEEPING } else { scope.rebuild };
            sql.execute(
                "UPDATE scope SET epoch = ?2, cursor = ?3, began = ?4, rebuild = ?5 WHERE number = ?1",
                &[
                    scope.number.into(),
                    page.cursor.epoch.0.cast_signed().into(),
                    Param::unsigned(page.cursor.number.0)?,
                    Param::unsigned(page.cursor.began.0)?,
                    rebuild.into(),
                ],
            )?;
            forget_part(sql, Some(&page.scope))
        })?;
        if page.is_drained {
            self.sweep()?;
        }
        Ok(())
    }

    /// Keeps a part of a page durably; the last one gives the whole. Parts of another whole go.
    ///
    /// # Errors
    /// [`LocalCopyError::PartOrder`] if the part does not go on where the last one ended.
    pub fn store_part(&mut self, part: &PartToStore) -> Result<Option<Vec<u8>>, LocalCopyError> {
        let kept = self.page_part_state()?.filter(|kept| kept.scope == part.scope && kept.hash == part.hash);
        if part.offset != kept.as_ref().map_or(0, |kept| kept.received) {
            return Err(LocalCopyError::PartOrder);
        }
        let received = part.offset.saturating_add(u32::try_from(part.bytes.len()).unwrap_or(u32::MAX));
        self.sql.in_transaction::<_, LocalCopyError>(Durability::Full, |sql| {
            if kept.is_none() {
                forget_part(sql, None)?;
            }
            sql.execute(
                "INSERT INTO page_part (part_offset, bytes) VALUES (?1, ?2)",
                &[part.offset.into(), part.bytes.as_slice().into()],
            )?;
            let scope: String = part.scope.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            meta::write(sql, "page_part", &format!("{scope} {} {received}", part.hash))
        })?;
        if received < part.total {
            return Ok(None);
        }
        let mut whole = Vec::with_capacity(part.total as usize);
        self.sql.query("SELECT bytes FROM page_part ORDER BY part_offset", &[], &mut |row| {
            whole.extend_from_slice(row.blob(0)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Some(whole))
    }

    /// Reads everything anew: each cursor goes back to 0, and what is not seen again goes when its scope is drained.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails.
    pub fn begin_rebuild(&mut self) -> Result<(), LocalCopyError> {
        self.sql.in_transaction::<_, LocalCopyError>(Durability::Full, |sql| {
            sql.execute(
                "UPDATE scope SET epoch = 0, cursor = 0, began = 0, generation = generation + 1, rebuild = ?1",
                &[REBUILDING.into()],
            )?;
            forget_part(sql, None)
        })
    }

    /// Removes, in bounded steps, what a drained rebuild has not seen. A record goes only when no scope holds it and nothing of
    /// it is pending.
    pub(super) fn sweep(&mut self) -> Result<(), LocalCopyError> {
        let mut scopes = Vec::new();
        let text = "SELECT number, generation FROM scope WHERE rebuild = ?1";
        self.sql.query(text, &[SWEEPING.into()], &mut |row| {
            scopes.push((row.integer(0)?, row.integer(1)?));
            Ok(ControlFlow::Continue(()))
        })?;
        for (number, generation) in scopes {
            while self.sweep_step(number, generation)? {}
            self.sql.in_transaction::<_, LocalCopyError>(Durability::Full, |sql| {
                sql.execute("UPDATE scope SET rebuild = 0 WHERE number = ?1", &[number.into()])?;
                Ok(())
            })?;
        }
        Ok(())
    }

    fn sweep_step(&mut self, number: i64, generation: i64) -> Result<bool, LocalCopyError> {
        let catalogue = Arc::clone(&self.catalogue);
        self.sql.in_transaction::<_, LocalCopyError>(Durability::Process, |sql| {
            let mut unseen = Vec::new();
            sql.query(
                "SELECT table_name, id FROM member WHERE scope = ?1 AND generation < ?2 LIMIT ?3",
                &[number.into(), generation.into(), SWEEP_STEP_ROWS.into()],
                &mut |row| {
                    unseen.push((row.text(0)?.to_owned(), row.text(1)?.to_owned()));
                    Ok(ControlFlow::Continue(()))
                },
            )?;
            for (name, id) in &unseen {
                let key = [name.as_str().into(), id.as_str().into(), number.into()];
                sql.execute("DELETE FROM member WHERE table_name = ?1 AND id = ?2 AND scope = ?3", &key)?;
                let table = image::table_named(&catalogue, name);
                leave(sql, &catalogue, &table, &image::record_id(id)?)?;
            }
            Ok(!unseen.is_empty())
        })
    }

    pub(super) fn cursors(&mut self) -> Result<Vec<ScopeCursor>, LocalCopyError> {
        let mut cursors = Vec::new();
        self.sql.query("SELECT scope, epoch, cursor, began FROM scope ORDER BY number", &[], &mut |row| {
            if let Some(scope) = ScopeId::new(row.blob(0)?) {
                let cursor = Cursor {
                    epoch: Epoch(row.integer(1)?.cast_unsigned()),
                    number: Position(row.unsigned(2)?),
                    began: Position(row.unsigned(3)?),
                };
                cursors.push(ScopeCursor { scope, cursor });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        // A cursor at 0 is what central takes a missing one for.
        cursors.retain(|each| each.cursor != Cursor::default());
        Ok(cursors)
    }

    pub(super) fn page_part_state(&mut self) -> Result<Option<PagePartState>, LocalCopyError> {
        let Some(text) = meta::read(self.sql.as_mut(), "page_part")? else { return Ok(None) };
        let mut words = text.split(' ');
        let scope = words.next().and_then(hex::bytes).and_then(|bytes| ScopeId::new(&bytes));
        let hash = words.next().and_then(hex::array::<32>);
        let received = words.next().and_then(|word| word.parse().ok());
        Ok(match (scope, hash, received) {
            (Some(scope), Some(hash), Some(received)) => Some(PagePartState { scope, hash: Hash(hash), received }),
            _ => None,
        })
    }
}

/// The scope's row, made if it is new.
fn scope_row(sql: &mut dyn Sql, scope: &ScopeId) -> Result<ScopeRow, LocalCopyError> {
    sql.execute(
        "INSERT INTO scope (number, scope, epoch, cursor, began, generation, rebuild)
         VALUES ((SELECT COALESCE(MAX(number), 0) + 1 FROM scope), ?1, 0, 0, 0, 0, 0)
         ON CONFLICT (scope) DO NOTHING",
        &[scope.as_bytes().into()],
    )?;
    let text = "SELECT number, generation, rebuild FROM scope WHERE scope = ?1";
    let found = sql.query_one(text, &[scope.as_bytes().into()], |row| {
        Ok(ScopeRow { number: row.integer(0)?, generation: row.integer(1)?, rebuild: row.integer(2)? })
    })?;
    found.ok_or_else(|| LocalCopyError::Content("a scope that was just written is not there".to_owned()))
}

fn store_row(sql: &mut dyn Sql, catalogue: &Catalogue, scope: ScopeRow, row: &PageRow) -> Result<(), LocalCopyError> {
    let table = catalogue.table_or_stand_in(&row.table);
    let key = [table.name().into(), row.record.as_str().into(), scope.number.into(), scope.generation.into()];
    let Some(columns) = &row.row else {
        sql.execute("DELETE FROM member WHERE table_name = ?1 AND id = ?2 AND scope = ?3", &key[..3])?;
        let held = "SELECT COUNT(*) FROM member WHERE table_name = ?1 AND id = ?2";
        if sql.query_integer(held, &key[..2])?.unwrap_or(0) > 0 {
            return Ok(());
        }
        let gone = Image { row: None, store: None, position: row.position };
        return replace(sql, catalogue, &table, row, &gone);
    };
    sql.execute(
        "INSERT INTO member (table_name, id, scope, generation) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (table_name, id, scope) DO UPDATE SET generation = excluded.generation",
        &key,
    )?;
    let store = image::store_of(sql, catalogue, &table, &row.record, columns)?;
    let here = Image { row: Some(columns.clone()), store, position: row.position };
    replace(sql, catalogue, &table, row, &here)
}

/// Puts central's image in place: under the pending entries if there are any.
fn replace(
    sql: &mut dyn Sql,
    catalogue: &Catalogue,
    table: &domain::catalogue::Table,
    row: &PageRow,
    image: &Image,
) -> Result<(), LocalCopyError> {
    if let Some(position) = image::position_in(sql, Source::Base, table, &row.record)? {
        if image.position < position {
            return Ok(());
        }
        image::write_base(sql, table, &row.record, image)?;
        return image::rebuild(sql, catalogue, table, &row.record);
    }
    match image::position_in(sql, Source::Record, table, &row.record)? {
        Some(position) if image.position < position => Ok(()),
        _ => image::write_record(sql, table, &row.record, image),
    }
}

/// A scope has let go of a record.
fn leave(
    sql: &mut dyn Sql,
    catalogue: &Catalogue,
    table: &domain::catalogue::Table,
    id: &protocol::ids::RecordId,
) -> Result<(), LocalCopyError> {
    let key = [table.name().into(), id.as_str().into()];
    let held = "SELECT COUNT(*) FROM member WHERE table_name = ?1 AND id = ?2";
    if sql.query_integer(held, &key)?.unwrap_or(0) > 0 {
        return Ok(());
    }
    let gone = Image { row: None, store: None, position: Position::ZERO };
    if image::position_in(sql, Source::Base, table, id)?.is_some() {
        image::write_base(sql, table, id, &gone)?;
        return image::rebuild(sql, catalogue, table, id);
    }
    image::write_record(sql, table, id, &gone)
}

/// Forgets kept parts: of one scope, or all.
fn forget_part(sql: &mut dyn Sql, scope: Option<&ScopeId>) -> Result<(), LocalCopyError> {
    let Some(text) = meta::read(sql, "page_part")? else { return Ok(()) };
    let name: Option<String> = scope.map(|scope| scope.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect());
    if name.is_none_or(|name| text.starts_with(&format!("{name} "))) {
        sql.execute("DELETE FROM page_part", &[])?;
        sql.execute("DELETE FROM meta WHERE name = 'page_part'", &[])?;
    }
    Ok(())
}
