//! A reply's head: receipt, verdicts and control rows, in one durable step (`details.md`, "Control lane").

use std::sync::Arc;

use domain::catalogue::Catalogue;
use protocol::control::{Control, ControlRow, EntryPlace, Grant, Image as ControlImage, Refused};
use protocol::ids::{JournalId, Position, Sequence};
use protocol::message::ReplyHead;
use protocol::row::Row;
use sql::{Durability, Param, Sql, SqlExt as _};

use super::image::{self, Image, Source};
use super::{CONTROL_UNKNOWN_MAX, LocalCopy, LocalCopyError, State, write_state};

/// What a reply brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoredReply {
    /// Edits that were refused and set aside.
    pub refused: u64,
}

impl LocalCopy {
    /// Stores a reply's head. Writes nothing if it brings nothing new, so that a quiet sync costs no write.
    ///
    /// # Errors
    /// [`LocalCopyError`] if SQLite fails; nothing of the reply is there then.
    pub fn store_reply(&mut self, journal: JournalId, reply: &ReplyHead) -> Result<StoredReply, LocalCopyError> {
        let judged = reply.judged.max(self.state.judged);
        if reply.received == self.state.received && judged == self.state.judged && reply.control.is_empty() {
            return Ok(StoredReply::default());
        }
        let mut state = State { received: reply.received, judged, ..self.state };
        let catalogue = Arc::clone(&self.catalogue);
        let stored = self.sql.in_transaction::<_, LocalCopyError>(Durability::Full, |sql| {
            let mut stored = StoredReply::default();
            for row in &reply.control {
                if row.number > state.control {
                    stored.refused += u64::from(apply_control(sql, &catalogue, journal, row)?);
                    state.control = row.number;
                }
            }
            fold(sql, &catalogue, judged)?;
            write_state(sql, &state)?;
            Ok(stored)
        })?;
        self.state = state;
        Ok(stored)
    }
}

/// Carries out one control row; whether it set an edit aside.
fn apply_control(
    sql: &mut dyn Sql,
    catalogue: &Catalogue,
    journal: JournalId,
    row: &ControlRow,
) -> Result<bool, LocalCopyError> {
    match Control::of(row) {
        Ok(Control::Refused(refused)) => return refuse(sql, catalogue, journal, &refused),
        Ok(Control::Waiting(place)) => set_waiting(sql, journal, place, true)?,
        Ok(Control::Accepted(place)) => set_waiting(sql, journal, place, false)?,
        Ok(Control::Grant(grant)) => store_grant(sql, &grant)?,
        Ok(Control::Unknown) | Err(_) => keep_unknown(sql, row)?,
    }
    Ok(false)
}

fn refuse(
    sql: &mut dyn Sql,
    catalogue: &Catalogue,
    journal: JournalId,
    refused: &Refused,
) -> Result<bool, LocalCopyError> {
    if refused.journal != journal {
        return Ok(false);
    }
    let text = "SELECT table_name, id, entry, recorded_at_ms FROM pending WHERE sequence = ?1";
    let found = sql.query_one(text, &[Param::unsigned(refused.sequence.0)?], |row| {
        Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned(), row.blob(2)?.to_vec(), row.unsigned(3)?))
    })?;
    let Some((name, id, entry, recorded_at_ms)) = found else { return Ok(false) };
    let (table, record) = (image::table_named(catalogue, &name), image::record_id(&id)?);
    // Accepted entries before it first: central's image has them.
    image::fold_below(sql, catalogue, &table, &record, refused.sequence)?;
    sql.execute(
        "INSERT INTO set_aside (number, journal, sequence, table_name, id, entry, code, reason, recorded_at_ms)
         VALUES ((SELECT COALESCE(MAX(number), 0) + 1 FROM set_aside), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        &[
            journal.0.as_slice().into(),
            Param::unsigned(refused.sequence.0)?,
            name.as_str().into(),
            id.as_str().into(),
            entry.as_slice().into(),
            refused.code.as_str().into(),
            refused.reason.as_str().into(),
            Param::unsigned(recorded_at_ms)?,
        ],
    )?;
    sql.execute("DELETE FROM pending WHERE sequence = ?1", &[Param::unsigned(refused.sequence.0)?])?;
    let base = image::position_in(sql, Source::Base, &table, &record)?.unwrap_or(Position::ZERO);
    let image = match &refused.image {
        ControlImage::NotHere => Some(Image { row: None, store: None, position: Position::ZERO }),
        ControlImage::Here { position, row } if *position >= base => {
            let row =
                Row::decode(row).map_err(|error| LocalCopyError::Content(format!("a refusal's image: {error}")))?;
            let store = image::store_of(sql, catalogue, &table, &record, &row)?;
            Some(Image { row: Some(row), store, position: *position })
        }
        ControlImage::Here { .. } => None,
    };
    if let Some(image) = image {
        image::write_base(sql, &table, &record, &image)?;
    }
    image::rebuild(sql, catalogue, &table, &record)?;
    Ok(true)
}

fn set_waiting(
    sql: &mut dyn Sql,
    journal: JournalId,
    place: EntryPlace,
    is_waiting: bool,
) -> Result<(), LocalCopyError> {
    if place.journal == journal {
        sql.execute(
            "UPDATE pending SET is_waiting = ?2 WHERE sequence = ?1",
            &[Param::unsigned(place.sequence.0)?, i64::from(is_waiting).into()],
        )?;
    }
    Ok(())
}

fn store_grant(sql: &mut dyn Sql, grant: &Grant) -> Result<(), LocalCopyError> {
    if grant.is_held {
        sql.execute(
            "INSERT INTO store_grant (store, ownership) VALUES (?1, ?2)
             ON CONFLICT (store) DO UPDATE SET ownership = excluded.ownership",
            &[grant.store.as_str().into(), grant.ownership.0.into()],
        )?;
    } else {
        sql.execute("DELETE FROM store_grant WHERE store = ?1", &[grant.store.as_str().into()])?;
    }
    Ok(())
}

/// What a newer central says is kept and shown, never dropped.
fn keep_unknown(sql: &mut dyn Sql, row: &ControlRow) -> Result<(), LocalCopyError> {
    log::warn!("central sent a control row of an unknown kind code={} number={}", row.code, row.number.0);
    sql.execute(
        "INSERT INTO control_unknown (number, code, content) VALUES (?1, ?2, ?3) ON CONFLICT (number) DO NOTHING",
        &[Param::unsigned(row.number.0)?, u32::from(row.code).into(), row.content.as_slice().into()],
    )?;
    sql.execute(
        "DELETE FROM control_unknown WHERE number NOT IN
         (SELECT number FROM control_unknown ORDER BY number DESC LIMIT ?1)",
        &[Param::unsigned(CONTROL_UNKNOWN_MAX)?],
    )?;
    Ok(())
}

/// Makes accepted entries part of the base: those at or below `judged` that neither wait nor were refused.
fn fold(sql: &mut dyn Sql, catalogue: &Catalogue, judged: Sequence) -> Result<(), LocalCopyError> {
    let judged = [Param::unsigned(judged.0)?];
    // Records of which something stays pending: fold one by one. In steps, because folding changes what is read.
    let mut mixed = Vec::new();
    sql.query(
        "SELECT DISTINCT p.table_name, p.id FROM pending p WHERE p.sequence <= ?1 AND p.is_waiting = 0 AND EXISTS
         (SELECT 1 FROM pending q WHERE q.table_name = p.table_name AND q.id = p.id
          AND (q.sequence > ?1 OR q.is_waiting = 1))",
        &judged,
        &mut |row| {
            mixed.push((row.text(0)?.to_owned(), row.text(1)?.to_owned()));
            Ok(std::ops::ControlFlow::Continue(()))
        },
    )?;
    for (name, id) in mixed {
        let (table, record) = (image::table_named(catalogue, &name), image::record_id(&id)?);
        let Param::Integer(judged) = judged[0] else { continue };
        image::fold_below(sql, catalogue, &table, &record, Sequence(judged.cast_unsigned()).next())?;
    }
    // All others are whole: what shows is what central has, so their base is of no more use.
    sql.execute(
        "DELETE FROM base WHERE (table_name, id) IN
         (SELECT table_name, id FROM pending WHERE sequence <= ?1 AND is_waiting = 0)
         AND NOT EXISTS (SELECT 1 FROM pending q WHERE q.table_name = base.table_name AND q.id = base.id
          AND (q.sequence > ?1 OR q.is_waiting = 1))",
        &judged,
    )?;
    sql.execute("DELETE FROM pending WHERE sequence <= ?1 AND is_waiting = 0", &judged)?;
    Ok(())
}
