//! The lanes of partners ([`Scope::StorePartners`]): in that of a store stand the halves that other stores have of its transfers, with
//! their lines, the log entries about them, and what was made along with them.
//!
//! A half enters the lane when its transfer begins, or when it is made, and stays whatever becomes of it: what is written later goes there
//! with its other lanes, a deletion as a tombstone. Only one that is addressed to another store leaves. A line stands where its header
//! does. What others have written in the log about an initiating half is its sender's to have, to whomever it is addressed.

use std::ops::ControlFlow;

use domain::catalogue::Table;
use domain::judge::Applied;
use domain::scope::Scope;
use protocol::ids::RecordId;
use sql::SqlExt;

use super::{HEADERS, LINES, Transfer};
use crate::store::batch::Batch;
use crate::store::error::StoreError;
use crate::store::records::{Key, LaneRow};
use crate::store::references::{LOG, LOG_ABOUT};

impl Batch<'_> {
    /// The lanes of partners into which a record is written. `lanes`: where it stood before.
    pub(in crate::store) fn partner_scopes(
        &mut self,
        (table, id): (&Table, &RecordId),
        applied: &Applied,
        lanes: &[LaneRow],
    ) -> Result<Vec<Scope>, StoreError> {
        let is_line = LINES.contains(&table.name());
        if let (true, Some(_), Some((parent, header))) = (is_line, &applied.row, &applied.parent) {
            return self.partner_scopes_of(&(parent.clone(), header.clone()));
        }
        if let (LOG, Some(row)) = (table.name(), &applied.row) {
            let Ok(about) = table.id_in(row, LOG_ABOUT) else { return Ok(Vec::new()) };
            return self.partner_scopes_of_log(&about, applied.store.as_ref());
        }
        let partners = &self.state.partners;
        let stands = lanes.iter().filter(|lane| !lane.is_tombstone).filter_map(|lane| partners.get(&lane.scope));
        let mut scopes: Vec<Scope> = stands.cloned().map(Scope::StorePartners).collect();
        // A half that is written for the first time: central's own, or one that a site has made.
        if lanes.is_empty() && applied.row.is_some() && HEADERS.contains(&table.name()) {
            let transfers =
                self.transfers("half = ?1 AND half_table = ?2", &[id.as_str().into(), table.name().into()])?;
            scopes.extend(transfers.into_iter().map(|transfer| Scope::StorePartners(transfer.sender)));
            scopes.sort();
            scopes.dedup();
        }
        Ok(scopes)
    }

    fn partner_scopes_of(&mut self, header: &Key) -> Result<Vec<Scope>, StoreError> {
        if self.state.partners.is_empty() {
            return Ok(Vec::new());
        }
        let mut scopes = Vec::new();
        let partners = &self.state.partners;
        let sql = "SELECT lane.scope FROM record JOIN lane ON lane.record = record.number
            WHERE record.table_name = ?1 AND record.id = ?2 AND lane.is_tombstone = 0 ORDER BY lane.scope";
        let table = self.catalogue.table_name(&header.0);
        let params = [(&table).into(), header.1.as_str().into()];
        self.sql.query(sql, &params, &mut |row| {
            scopes.extend(partners.get(&row.integer(0)?).cloned().map(Scope::StorePartners));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(scopes)
    }

    /// A log entry goes to the other party of each transfer of which the record is a half: to the receiver while the source is addressed to
    /// it, as the source does, and to the sender always.
    fn partner_scopes_of_log(&mut self, about: &RecordId, store: Option<&RecordId>) -> Result<Vec<Scope>, StoreError> {
        let mut scopes = Vec::new();
        for transfer in self.transfers("kind <> '' AND (source = ?1 OR half = ?1)", &[about.as_str().into()])? {
            let receiver = transfer.key.filter(|_| transfer.is_addressed).map(|key| key.receiver);
            let parties = [Some(transfer.sender), receiver];
            scopes.extend(parties.into_iter().flatten().filter(|party| Some(party) != store).map(Scope::StorePartners));
        }
        scopes.sort();
        scopes.dedup();
        Ok(scopes)
    }

    /// Puts both halves of a transfer where they are to stand.
    pub(super) fn route_transfer(&mut self, transfer: &Transfer) -> Result<(), StoreError> {
        let Some(key) = &transfer.key else { return Ok(()) };
        // The same record may be the source of another transfer with that store.
        let others = "source = ?1 AND source_table = ?2 AND receiver = ?3 AND is_addressed = 1";
        let params = [key.source.as_str().into(), (&transfer.source_table).into(), key.receiver.as_str().into()];
        let is_addressed = !self.transfers(others, &params)?.is_empty();
        let has_come =
            self.put_with_partner(&transfer.source_table, &key.source, &key.receiver, is_addressed)? && is_addressed;
        if has_come {
            // Entries of before the transfer was known.
            let scope = Scope::StorePartners(transfer.sender.clone());
            let logs = self.logs_about(&key.source, &transfer.sender)?;
            logs.into_iter().try_for_each(|number| self.put_in_partner_lane(number, &scope, true))?;
        }
        match &transfer.half {
            Some(half) => self.put_with_partner(key.kind.half_table(), half, &transfer.sender, true).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Puts a header that is here into the lane of a partner, with its lines and the log entries about it, or takes them out. Whether it
    /// was not so.
    fn put_with_partner(
        &mut self,
        table: &str,
        id: &RecordId,
        partner: &RecordId,
        is_in: bool,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT number FROM record WHERE table_name = ?1 AND id = ?2 AND data IS NOT NULL";
        let Some(header) = self.sql.query_integer(sql, &[table.into(), id.as_str().into()])? else { return Ok(false) };
        let scope = Scope::StorePartners(partner.clone());
        // Lines stay behind a header that was deleted. Where that is made again, for somebody else, they go as well.
        if is_in && self.stands_in(header, &scope)? {
            return Ok(false);
        }
        let mut behind = Vec::new();
        let lines =
            "SELECT number FROM record WHERE parent_id = ?1 AND parent_table = ?2 AND data IS NOT NULL ORDER BY number";
        self.sql.query(lines, &[id.as_str().into(), table.into()], &mut |row| {
            behind.push(row.integer(0)?);
            Ok(ControlFlow::Continue(()))
        })?;
        behind.extend(self.logs_about(id, partner)?);
        // Into a lane the header goes first (rule 5.16).
        let all = std::iter::once(header).chain(behind);
        let in_order: Vec<i64> =
            if is_in { all.collect() } else { all.collect::<Vec<_>>().into_iter().rev().collect() };
        in_order.into_iter().try_for_each(|number| self.put_in_partner_lane(number, &scope, is_in))?;
        Ok(true)
    }

    /// The log entries about a record that are not a store's own.
    fn logs_about(&mut self, id: &RecordId, store: &RecordId) -> Result<Vec<i64>, StoreError> {
        let mut logs = Vec::new();
        let sql = "SELECT record.number FROM record_reference JOIN record ON record.number = record_reference.record
            WHERE record_reference.value = ?1 AND record_reference.column_name = ?2 AND record.table_name = ?3
                AND record.data IS NOT NULL AND record.store <> ?4 ORDER BY record.number";
        let params = [id.as_str().into(), LOG_ABOUT.into(), LOG.into(), store.as_str().into()];
        self.sql.query(sql, &params, &mut |row| {
            logs.push(row.integer(0)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(logs)
    }

    /// Puts one record into a lane, or takes it out, unless it is so.
    pub(super) fn put_in_partner_lane(&mut self, number: i64, scope: &Scope, is_in: bool) -> Result<(), StoreError> {
        let scope_number = self.scope_number(scope)?;
        let lanes = self.lanes_of(number)?;
        let before = lanes.iter().find(|lane| lane.scope == scope_number);
        if before.is_some_and(|lane| !lane.is_tombstone) == is_in {
            return Ok(());
        }
        self.put_at_head(number, scope, before, !is_in, None)
    }

    fn stands_in(&mut self, number: i64, scope: &Scope) -> Result<bool, StoreError> {
        let scope = self.scope_number(scope)?;
        Ok(self.lanes_of(number)?.iter().any(|lane| lane.scope == scope && !lane.is_tombstone))
    }
}
