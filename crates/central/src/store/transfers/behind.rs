//! A source whose other half does not follow it for a while: it was taken back, or addressed to another store, and the deletion of the
//! untouched half is asked for and not carried out. What is edited meanwhile is remembered as it was, so that the half can follow all of
//! it at once when the source counts again. So is a line that was deleted, which may be made again before its half's line has gone, and an
//! edit of which it cannot be told yet what follows.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use domain::json::{row_from_json, row_to_json};
use domain::transfers::ids::{TransferKey, line_id};
use domain::transfers::kinds::{Initiating, Standing, standing};
use domain::transfers::records::Awaited;
use protocol::ids::RecordId;
use protocol::row::Row;

use super::view::TransferView;
use super::{GOODS, GOODS_LINES, HEADERS, Transfer, awaited_place};
use crate::store::batch::Batch;
use crate::store::error::StoreError;
use crate::store::records::Key;
use crate::store::text;

impl Batch<'_> {
    /// Remembers what a record of a source was like, for the halves that are here and are not told of its edit.
    pub(super) fn note_behind(&mut self, key: &Key, before: Option<&Row>) -> Result<(), StoreError> {
        let Some((source, transfers)) = self.followed_by(key, before)? else { return Ok(()) };
        let now = self.standing_of_source(&source)?;
        let is_deleted = before.is_some() && self.read_record(key)?.is_none_or(|stored| stored.row.is_none());
        for transfer in transfers {
            let counts = matches!(&now, Standing::Initiates(now) if Some(&now.key) == transfer.key.as_ref());
            if counts && (source == *key || !is_deleted) {
                continue;
            }
            self.remember(&transfer, key, before)?;
        }
        Ok(())
    }

    fn remember(&mut self, transfer: &Transfer, key: &Key, before: Option<&Row>) -> Result<(), StoreError> {
        let Some(table) = self.catalogue.table(&key.0) else { return Ok(()) };
        let data = before.map(|row| row_to_json(table, &key.1, row));
        let sql = "INSERT INTO transfer_behind (transfer, table_name, record, data) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (transfer, table_name, record) DO NOTHING";
        let params = [transfer.number.into(), table.name().into(), key.1.as_str().into(), data.as_deref().into()];
        self.sql.execute(sql, &params)?;
        Ok(())
    }

    /// What follows from an edit for the halves that are here cannot be told before something has come. They follow it then.
    pub(super) fn wait_with_change(
        &mut self,
        key: &Key,
        before: Option<&Row>,
        awaited: &Awaited,
    ) -> Result<(), StoreError> {
        let Some((_, transfers)) = self.followed_by(key, before)? else { return Ok(()) };
        for transfer in transfers {
            self.remember(&transfer, key, before)?;
            self.set_transfer_waits(transfer.number, Some(awaited_place(awaited)), None)?;
        }
        Ok(())
    }

    /// A half that waited to follow its source may be able to.
    pub(super) fn follow_what_waited(&mut self, transfer: &Transfer, now: &Standing) -> Result<(), StoreError> {
        self.set_transfer_waits(transfer.number, None, None)?;
        match now {
            Standing::Waits(awaited) => self.set_transfer_waits(transfer.number, Some(awaited_place(awaited)), None),
            Standing::Initiates(now) if Some(&now.key) == transfer.key.as_ref() => self.catch_up(transfer, &now.key),
            Standing::Initiates(_) | Standing::No => self.propose_withdrawal(transfer),
        }
    }

    /// A line that was deleted and is made again: what it was like when its half's line last followed it. The deletion of that is asked
    /// for no more.
    pub(super) fn come_again(&mut self, key: &Key) -> Result<Option<Row>, StoreError> {
        let Some((source, transfers)) = self.followed_by(key, None)?.filter(|(source, _)| source != key) else {
            return Ok(None);
        };
        // While the source does not count it is looked at with all the rest once it does.
        let Standing::Initiates(now) = self.standing_of_source(&source)? else { return Ok(None) };
        let transfer = transfers.into_iter().find(|transfer| transfer.key.as_ref() == Some(&now.key));
        let Some(transfer) = transfer else { return Ok(None) };
        let Some(row) = self.behind(&transfer)?.remove(key).flatten() else { return Ok(None) };
        let sql = "DELETE FROM transfer_behind WHERE transfer = ?1 AND table_name = ?2 AND record = ?3";
        let table = self.catalogue.table_name(&key.0);
        self.sql.execute(sql, &[transfer.number.into(), (&table).into(), key.1.as_str().into()])?;
        let lines = text::table(self.catalogue, now.key.kind.half_lines().0);
        let line = line_id(&now.key.half_id(), &key.1);
        self.take_back_deletion(&(lines.reference().clone(), line))?;
        Ok(Some(row))
    }

    /// Notes of the lines of halves whether they went with their source lines: where a site has both stores it deletes both in one group.
    /// Of a line that is here again it is not known any more. `lines`: what the group wrote, by key, each as it was before.
    pub(super) fn note_gone_lines(&mut self, lines: &[(Key, Option<Row>)]) -> Result<(), StoreError> {
        for (key, before) in lines {
            let is_here = self.read_record(key)?.is_some_and(|stored| stored.row.is_some());
            if before.is_none() && is_here && self.was_deleted_as_proposed(key)? {
                self.forget_proposal(key)?;
            }
            if before.is_none() || is_here {
                continue;
            }
            let Some((_, transfers)) = self.followed_by(key, before.as_ref())? else { continue };
            for transfer_key in transfers.into_iter().filter_map(|transfer| transfer.key) {
                let lines_of_half = text::table(self.catalogue, transfer_key.kind.half_lines().0);
                let line = line_id(&transfer_key.half_id(), &key.1);
                let line: Key = (lines_of_half.reference().clone(), line);
                let was_here = lines.iter().any(|(key, before)| *key == line && before.is_some());
                if was_here && self.read_record(&line)?.is_none_or(|stored| stored.row.is_none()) {
                    self.set_proposal(&line, None)?;
                }
            }
        }
        Ok(())
    }

    /// A source counts again whose half is here: nobody is asked any more to delete that, and it is to follow all that was edited.
    pub(super) fn renew_half(&mut self, initiating: &Initiating, half: &RecordId) -> Result<(), StoreError> {
        self.take_back_deletions(&initiating.key, half)?;
        match self.transfer_by_key(&initiating.key)? {
            Some(transfer) => self.catch_up(&transfer, &initiating.key),
            None => Ok(()),
        }
    }

    fn catch_up(&mut self, transfer: &Transfer, transfer_key: &TransferKey) -> Result<(), StoreError> {
        let mut behind = self.behind(transfer)?;
        self.forget_behind(transfer.number)?;
        let (lines, column) = transfer_key.kind.source_lines();
        let headers = text::table(self.catalogue, transfer_key.kind.source_table());
        let lines = text::table(self.catalogue, lines);
        let header: Key = (headers.reference().clone(), transfer_key.source.clone());
        if let Some(before) = behind.remove(&header) {
            self.propose_consequences(&header, before.as_ref())?;
        }
        // A line of the half that went with its deletion comes back also where its source line is as it was.
        for (id, row) in self.referring_to(&lines, column, transfer_key.source.as_str())? {
            behind.entry((lines.reference().clone(), id)).or_insert(Some(row));
        }
        behind.iter().try_for_each(|(line, before)| self.propose_consequences(line, before.as_ref()))
    }

    /// Of a half that is gone nothing follows any more.
    pub(super) fn forget_behind(&mut self, transfer: i64) -> Result<(), StoreError> {
        self.sql.execute("DELETE FROM transfer_behind WHERE transfer = ?1", &[transfer.into()])?;
        Ok(())
    }

    /// The header that a record is, or is a line of, and the transfers that it has begun and whose half, made here, is still there.
    fn followed_by(&mut self, key: &Key, before: Option<&Row>) -> Result<Option<(Key, Vec<Transfer>)>, StoreError> {
        let table = self.catalogue.table_name(&key.0);
        if [GOODS, GOODS_LINES].contains(&table.as_str()) {
            return Ok(None);
        }
        let source = if HEADERS.contains(&table.as_str()) { Some(key.clone()) } else { self.header_of(key, before)? };
        let Some(source) = source else { return Ok(None) };
        let of = self.catalogue.table_name(&source.0);
        let condition = "source = ?1 AND source_table = ?2 AND half IS NOT NULL AND is_routed_only = 0 AND kind <> ''";
        let mut kept = Vec::new();
        for transfer in self.transfers(condition, &[source.1.as_str().into(), (&of).into()])? {
            let Some((kind, half)) = transfer.key.as_ref().map(|key| (key.kind, key.half_id())) else { continue };
            if transfer.half.as_ref() == Some(&half) && self.row_by_name(kind.half_table(), &half)?.is_some() {
                kept.push(transfer);
            }
        }
        Ok((!kept.is_empty()).then_some((source, kept)))
    }

    fn standing_of_source(&mut self, source: &Key) -> Result<Standing, StoreError> {
        let catalogue = self.catalogue;
        let Some(table) = catalogue.table(&source.0) else { return Ok(Standing::No) };
        let row = self.read_record(source)?.and_then(|stored| stored.row);
        standing(catalogue, &mut TransferView(self), table, &source.1, row.as_ref())
    }

    fn behind(&mut self, transfer: &Transfer) -> Result<BTreeMap<Key, Option<Row>>, StoreError> {
        let mut found: Vec<(String, RecordId, Option<String>)> = Vec::new();
        let sql = "SELECT table_name, record, data FROM transfer_behind WHERE transfer = ?1";
        self.sql.query(sql, &[transfer.number.into()], &mut |row| {
            found.push((row.text(0)?.to_owned(), text::record_id(row, 1)?, row.optional_text(2)?.map(str::to_owned)));
            Ok(ControlFlow::Continue(()))
        })?;
        let mut behind = BTreeMap::new();
        for (table, record, data) in found {
            let table = text::table(self.catalogue, &table);
            let row = data.map(|data| row_from_json(&table, &record, &data)).transpose();
            let row = row.map_err(|error| StoreError::Damaged(error.to_string()))?;
            behind.insert((table.reference().clone(), record), row);
        }
        Ok(behind)
    }
}
