//! Reading through a whole local copy that may be damaged: for `outpost verify` and `outpost salvage`, and to rescue local data.

use std::ops::ControlFlow;

use domain::json::row_from_json;
use protocol::ids::{Position, RecordId};
use sql::{Durability, Param};

use super::images::{Image, state};
use super::read::{RecordState, RecordView};
use super::{LocalCopy, LocalCopyError, checksum};

/// Rows that one read takes at once.
const BATCH_ROWS: i64 = 256;

/// A record of any table, as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRecord {
    /// The table's name.
    pub table: String,
    /// The record.
    pub view: RecordView,
    /// Whether its checksum is right.
    pub is_sound: bool,
}

impl LocalCopy {
    /// Hands out every record that can be read, in the order of tables and ids, damaged ones too.
    ///
    /// # Errors
    /// Where reading does not get on: what comes behind is not handed out.
    pub fn for_each_record(&mut self, visit: &mut dyn FnMut(FoundRecord)) -> Result<(), LocalCopyError> {
        let (mut table, mut id) = (String::new(), String::new());
        loop {
            let mut batch = Vec::new();
            let result = self.sql.query(
                "SELECT table_name, id, store, data, state, position, checksum FROM record
                 WHERE (table_name, id) > (?1, ?2) ORDER BY table_name, id LIMIT ?3",
                &[(&table).into(), (&id).into(), Param::Integer(BATCH_ROWS)],
                &mut |row| {
                    let (table, id) = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
                    let store = row.optional_text(2)?.map(str::to_owned);
                    let data = row.text(3)?.to_owned();
                    let right = checksum::of_row(&table, &id, store.as_deref(), Some(&data), row.unsigned(5)?);
                    let is_sound = row.optional_integer(6)?.is_none_or(|found| found == right);
                    let state = RecordState::of(row.integer(4)?)?;
                    batch.push(FoundRecord { table, view: RecordView { id, store, data, state }, is_sound });
                    Ok(ControlFlow::Continue(()))
                },
            );
            let is_last = batch.len() < usize::try_from(BATCH_ROWS).unwrap_or(usize::MAX);
            if let Some(last) = batch.last() {
                // Damage may put rows out of order; going back would never end.
                let goes_on = (&last.table, &last.view.id) > (&table, &id);
                table.clone_from(&last.table);
                id.clone_from(&last.view.id);
                batch.into_iter().for_each(&mut *visit);
                if !goes_on {
                    return Err(LocalCopyError::damaged("records are not in the order of their ids"));
                }
            }
            result?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Takes over the local data of a copy that was set aside, as far as it can be read and its checksums are right; how many
    /// records. To be called before the private journal is applied, whose entries are newer.
    ///
    /// # Errors
    /// Those of writing.
    pub fn take_local_data(&mut self, old: &mut LocalCopy) -> Result<u64, LocalCopyError> {
        let mut records = Vec::new();
        // What cannot be read stays in the old file, and the caller says so.
        let _ = old.for_each_record(&mut |record| {
            if record.is_sound && record.view.state == RecordState::Local {
                records.push((record.table, record.view));
            }
        });
        let mut count = 0;
        self.transaction(Durability::Full, |copy| {
            for (table, view) in &records {
                let key = copy.key_by_name(table, &view.id)?;
                let Ok(row) = row_from_json(&key.table, &key.id, &view.data) else { continue };
                let store = view.store.as_deref().map(RecordId::new).transpose().map_err(LocalCopyError::damaged)?;
                let image = Image { row: Some(row), store, position: Position::ZERO };
                copy.put_merged(&key, &image, state::LOCAL)?;
                count += 1;
            }
            Ok(())
        })?;
        Ok(count)
    }

    /// Checks everything that can be checked without the journals: the file's structure with its indexes, and each row's checksum.
    /// How many records there are.
    ///
    /// # Errors
    /// [`LocalCopyError::Damaged`] with the first finding.
    pub fn check_whole(&mut self) -> Result<u64, LocalCopyError> {
        self.sql.check_with_indexes()?;
        self.session_state()?;
        let (mut count, mut damaged) = (0, None);
        self.for_each_record(&mut |record| {
            count += 1;
            if !record.is_sound && damaged.is_none() {
                damaged = Some(format!("record {} {} has a wrong checksum", record.table, record.view.id));
            }
        })?;
        let wrong = "SELECT sequence, entry, checksum FROM pending ORDER BY journal, sequence";
        self.sql.query(wrong, &[], &mut |row| {
            if row
                .optional_integer(2)?
                .is_some_and(|found| found != checksum::of_entry(row.blob(1).unwrap_or_default()))
            {
                damaged.get_or_insert(format!("pending entry {} has a wrong checksum", row.unsigned(0)?));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        match damaged {
            Some(damaged) => Err(LocalCopyError::damaged(damaged)),
            None => Ok(count),
        }
    }
}
