//! Another home store for a patient or prescriber (`domain::home_transfer`; `domain.md`, "Home store"). What is said of patients here holds
//! for prescribers as well.
//!
//! | step | who edits the patient | goes on to the next |
//! | --- | --- | --- |
//! | asked | central takes what its home site still sends; that site records nothing new once it has read that the patient goes | once it has read that, and what it had recorded before is judged and heard of |
//! | carried out | the site of the new home store, under another count of transfers | |
//!
//! Where no device can have unsent edits, at central and at a site that no device speaks for, the first step is left out. Whoever cannot
//! wait leaves it out too: what the old home site has not sent by then carries a number that opens nothing any more, and is set aside.

use std::ops::ControlFlow;

use domain::catalogue::{DataType, Table};
use domain::home_transfer::{self, PatientHome, TRANSFERS_MAX};
use domain::judge::{Applied, Effect};
use domain::scope::Scope;
use domain::store::{NAME_TABLE, STORE_TABLE};
use domain::visibility::{PRESCRIBER_TABLE, VisibleKey, patient_of_prescription};
use protocol::entry::{Entry, Operation};
use protocol::ids::{OwnershipNumber, RecordId, SiteId};
use protocol::message::RequestHead;
use protocol::row::Row;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sql::{Param, SqlExt};

use super::audit::{AuditEntry, SYSTEM};
use super::batch::Batch;
use super::error::StoreError;
use super::reading::Reading;
use super::{text, unsigned};

/// Most transfers that one exchange carries out; more follow with the next.
const CARRIED_OUT_MAX: u32 = 100;
/// Records of a patient that are looked at together.
const RECORDS_TOGETHER: usize = 500;

/// What became of a home store that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HomeStore {
    /// The patient has it.
    Set,
    /// It will have it once its home site has read that and sent what it recorded before.
    Asked(SiteId),
    /// The patient had it, and goes nowhere any more.
    CalledOff,
    /// The patient had it already; nothing was written.
    Unchanged,
}

/// What has a home store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HomeKind {
    /// Records of the names.
    Patient,
    /// Records of [`PRESCRIBER_TABLE`].
    Prescriber,
}

impl HomeKind {
    /// The word in reports, and in codes of refusals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Prescriber => "prescriber",
        }
    }

    /// The table of such records.
    pub fn table(self) -> &'static str {
        match self {
            Self::Patient => NAME_TABLE,
            Self::Prescriber => PRESCRIBER_TABLE,
        }
    }

    fn key(self, id: &RecordId) -> VisibleKey {
        match self {
            Self::Patient => VisibleKey::Name(id.clone()),
            Self::Prescriber => VisibleKey::Prescriber(id.clone()),
        }
    }

    /// As [`VisibleKey::to_text`] begins.
    fn letter(self) -> &'static str {
        match self {
            Self::Patient => "n",
            Self::Prescriber => "p",
        }
    }
}

/// A transfer that is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeTransfer {
    /// The patient or prescriber.
    pub id: RecordId,
    /// Its home store.
    pub from: RecordId,
    /// The next one.
    pub to: RecordId,
    /// The site that is waited for.
    pub site: SiteId,
    /// When it was asked for, in milliseconds since 1970.
    pub asked_ms: u64,
}

impl Batch<'_> {
    /// Gives a patient another home store: once its home site has sent what it recorded, or, if somebody says so, at once.
    ///
    /// # Errors
    /// Refused with `unknown_patient` or `unknown_prescriber`, `not_a_patient`, `unknown_store`, `no_dispensary`, `central_heals`,
    /// `no_number_left`.
    pub fn set_home_store(
        &mut self,
        kind: HomeKind,
        id: &RecordId,
        store: &RecordId,
        is_at_once: bool,
    ) -> Result<HomeStore, StoreError> {
        self.job(|batch| {
            let Some(housed) = batch.housed(kind, id)? else {
                let what = format!("there is no {} {id} at central", kind.as_str());
                return Err(StoreError::refused(&format!("unknown_{}", kind.as_str()), &what));
            };
            batch.set_home_store_of(&housed, store, is_at_once)
        })
    }

    fn set_home_store_of(
        &mut self,
        housed: &Housed,
        store: &RecordId,
        is_at_once: bool,
    ) -> Result<HomeStore, StoreError> {
        let (noun, id) = (housed.kind.as_str(), &housed.id);
        let Some(home) = housed.home() else {
            if !self.is_homeless(housed) {
                let what = format!("name {id} is no patient: it has no home store");
                return Err(StoreError::refused("not_a_patient", &what));
            }
            self.check_new_home(housed, store)?;
            self.give_first_home(housed, store)?;
            return Ok(HomeStore::Set);
        };
        if home.store == *store {
            if home.goes_to.is_none() {
                return Ok(HomeStore::Unchanged);
            }
            self.write_housed(housed, &home_transfer::asked(None), home.store)?;
            return Ok(HomeStore::CalledOff);
        }
        self.check_new_home(housed, store)?;
        if home.transfers >= TRANSFERS_MAX {
            let what = format!("{noun} {id} has had {TRANSFERS_MAX} home stores, the most there can be");
            return Err(StoreError::refused("no_number_left", &what));
        }
        let site = self.state.holdings.holder(&home.store);
        let has_device = site != SiteId::CENTRAL && self.site(site)?.is_enrolled;
        if is_at_once || !has_device {
            self.carry_out(housed, store)?;
            return Ok(HomeStore::Set);
        }
        if home.goes_to.as_ref() != Some(store) {
            self.write_housed(housed, &home_transfer::asked(Some(store)), home.store)?;
        }
        Ok(HomeStore::Asked(site))
    }

    /// A prescription of a patient without a home store gives it the one where it was made, once (`domain.md`, "Home store": "the latest
    /// prescription decides only once, for a patient that has none").
    pub(super) fn follow_first_prescription(&mut self, table: &Table, applied: &Applied) -> Result<(), StoreError> {
        let patient = applied.row.as_ref().and_then(|row| patient_of_prescription(table, row));
        let (Some(patient), Some(store)) = (patient, &applied.store) else { return Ok(()) };
        // Where nobody serves patients nobody could edit it; and of nearly all a look at the index says that they have a home store.
        let site = self.state.holdings.holder(store);
        if !self.state.has_dispensary(site) || self.reading().has_home_store(&HomeKind::Patient.key(&patient))? {
            return Ok(());
        }
        let Some(housed) = self.housed(HomeKind::Patient, &patient)? else { return Ok(()) };
        if self.is_homeless(&housed) { self.give_first_home(&housed, store) } else { Ok(()) }
    }

    /// Whether it is a patient or prescriber that central took over without knowing where it belongs.
    fn is_homeless(&self, housed: &Housed) -> bool {
        let table = self.catalogue.table_by_name(housed.kind.table());
        housed.store.is_none() && table.is_ok_and(|table| table.data_type_of(&housed.row) == DataType::Patient)
    }

    fn give_first_home(&mut self, housed: &Housed, store: &RecordId) -> Result<(), StoreError> {
        let Ok(table) = self.catalogue.table_by_name(housed.kind.table()) else { return Ok(()) };
        self.write_housed(housed, &home_transfer::first_home(table, store), store.clone())
    }

    fn check_new_home(&mut self, housed: &Housed, store: &RecordId) -> Result<(), StoreError> {
        let noun = housed.kind.as_str();
        if !self.is_here(STORE_TABLE, store)? {
            return Err(StoreError::refused("unknown_store", &format!("there is no store {store} at central")));
        }
        let site = self.state.holdings.holder(store);
        if !self.state.has_dispensary(site) {
            let what = format!(
                "store {store} is active at site {site}, at which no dispensary is active: nobody could edit the {noun} there"
            );
            return Err(StoreError::refused("no_dispensary", &what));
        }
        self.refuse_while_healing(&format!("{noun} {} cannot get another home store yet", housed.id))
    }

    /// The site has read that patients go elsewhere, and central has judged all that it had recorded by then: they do.
    pub(super) fn follow_home_transfers(&mut self, head: &RequestHead) -> Result<(), StoreError> {
        if !self.site(head.site)?.has_home_transfers || !self.has_heard_of_all(head)? {
            return Ok(());
        }
        let read = self.reads_visible_through(head.site)?;
        let sql = format!(
            "SELECT visible_key FROM home_transfer WHERE site = ?1 AND position <= ?2 ORDER BY visible_key LIMIT {CARRIED_OUT_MAX}"
        );
        let mut keys = Vec::new();
        self.sql.query(&sql, &[head.site.0.into(), unsigned(read)], &mut |row| {
            keys.push(row.text(0)?.to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        for key in keys {
            self.carry_out_asked(&key)?;
        }
        Ok(())
    }

    /// A store goes to another site, and those that are at home there with it: whoever of them is on the way to another home is waited for
    /// there. Nobody can have edits of them that are not sent: they are not asked to be heard of.
    pub(super) fn take_home_transfers_along(
        &mut self,
        store: &RecordId,
        from: SiteId,
        to: SiteId,
    ) -> Result<(), StoreError> {
        let of_store = "site = ?1 AND visible_key IN (SELECT visible_key FROM home_store WHERE store = ?2)";
        if to != SiteId::CENTRAL {
            let sql = format!("UPDATE home_transfer SET site = ?3, position = 0 WHERE {of_store}");
            if self.sql.execute(&sql, &[from.0.into(), store.as_str().into(), to.0.into()])? > 0 {
                self.site(to)?.has_home_transfers = true;
            }
            return Ok(());
        }
        let mut keys = Vec::new();
        let sql = format!("SELECT visible_key FROM home_transfer WHERE {of_store} ORDER BY visible_key");
        self.sql.query(&sql, &[from.0.into(), store.as_str().into()], &mut |row| {
            keys.push(row.text(0)?.to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        for key in keys {
            self.carry_out_asked(&key)?;
        }
        Ok(())
    }

    /// What is on its way is there, unless the store that it was to go to was deleted meanwhile.
    fn carry_out_asked(&mut self, key: &str) -> Result<(), StoreError> {
        let found = match VisibleKey::from_text(key) {
            Some(VisibleKey::Name(id)) => self.housed(HomeKind::Patient, &id)?,
            Some(VisibleKey::Prescriber(id)) => self.housed(HomeKind::Prescriber, &id)?,
            Some(VisibleKey::Store(_) | VisibleKey::Prescriptions(_) | VisibleKey::Orders | VisibleKey::MadeOn(_))
            | None => None,
        };
        let Some(housed) = found else { return Ok(()) };
        let Some(PatientHome { store: home, goes_to: Some(to), .. }) = housed.home() else { return Ok(()) };
        let goes = self.is_here(STORE_TABLE, &to)?;
        let entry = AuditEntry {
            table: Some(housed.kind.table().to_owned()),
            record: Some(housed.id.to_string()),
            store: Some(to.as_str().to_owned()),
            ..AuditEntry::new(SYSTEM, "home-transfer-ends")
        };
        let after = if goes { to.as_str() } else { home.as_str() };
        self.note(entry, json!({ "home_store": home.as_str() }), json!({ "home_store": after }))?;
        if goes { self.carry_out(&housed, &to) } else { self.write_housed(&housed, &home_transfer::asked(None), home) }
    }

    /// Follows a patient's record: whether it is on its way. `row`: as it is written, `None` for one that is deleted.
    pub(super) fn follow_home_transfer(
        &mut self,
        key: &VisibleKey,
        row: Option<&Row>,
        home: Option<&RecordId>,
    ) -> Result<(), StoreError> {
        let goes_to = row.and_then(home_transfer::goes_to);
        let text = key.to_text();
        let name: Param<'_> = (&text).into();
        let (Some(to), Some(home)) = (goes_to, home) else {
            self.sql.execute("DELETE FROM home_transfer WHERE visible_key = ?1", &[name])?;
            return Ok(());
        };
        let site = self.state.holdings.holder(home);
        let sql = "SELECT position FROM home_transfer WHERE visible_key = ?1 AND site = ?2 AND to_store = ?3";
        let told = self.sql.query_one(sql, &[name, site.0.into(), to.as_str().into()], |row| row.unsigned(0))?;
        if let Some(told) = told
            && self.reads_visible_through(site)? >= told
        {
            // An edit of the site's own, which it need not be sent again.
            return Ok(());
        }
        self.sql.execute(
            "INSERT INTO home_transfer (visible_key, site, to_store, position, asked_ms) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (visible_key) DO UPDATE SET site = excluded.site, to_store = excluded.to_store, position = excluded.position,
                asked_ms = CASE WHEN home_transfer.to_store = excluded.to_store THEN home_transfer.asked_ms ELSE excluded.asked_ms END",
            &[name, site.0.into(), to.as_str().into(), unsigned(self.state.position), unsigned(self.now_ms)],
        )?;
        if site != SiteId::CENTRAL {
            self.site(site)?.has_home_transfers = true;
        }
        Ok(())
    }

    /// How far a site has read what hangs on names and stores.
    fn reads_visible_through(&mut self, site: SiteId) -> Result<u64, StoreError> {
        Ok(self.site(site)?.cursors.get(&Scope::Visible.to_id()).map_or(0, |cursor| cursor.number.0))
    }

    fn housed(&mut self, kind: HomeKind, id: &RecordId) -> Result<Option<Housed>, StoreError> {
        let Ok(table) = self.catalogue.table_by_name(kind.table()) else { return Ok(None) };
        let stored = self.read_record(&(table.reference().clone(), id.clone()))?;
        Ok(stored.and_then(|stored| {
            let row = table.canonical(stored.row?);
            Some(Housed { kind, id: id.clone(), number: stored.number, store: stored.store, row })
        }))
    }

    fn carry_out(&mut self, housed: &Housed, to: &RecordId) -> Result<(), StoreError> {
        let Ok(table) = self.catalogue.table_by_name(housed.kind.table()) else { return Ok(()) };
        self.write_housed(housed, &home_transfer::carried_out(table, &housed.row, to), to.clone())?;
        match housed.kind {
            HomeKind::Patient => self.keep_with(&housed.id, to),
            HomeKind::Prescriber => Ok(()),
        }
    }

    /// Changes what central alone sets, past the judge, and logs it in central's journal.
    fn write_housed(&mut self, housed: &Housed, change: &Row, home: RecordId) -> Result<(), StoreError> {
        let Ok(table) = self.catalogue.table_by_name(housed.kind.table()) else { return Ok(()) };
        let key = (table.reference().clone(), housed.id.clone());
        let entry = Entry {
            is_group_end: true,
            ownership: OwnershipNumber(0),
            table: key.0.clone(),
            record: key.1.clone(),
            operation: Operation::Patch(change.clone()),
        };
        let applied = Applied {
            effect: Effect::Write,
            row: Some(housed.row.patched(change)),
            store: Some(home),
            scopes: vec![Scope::Visible],
            visible_key: Some(housed.kind.key(&housed.id)),
            parent: None,
            ownership: OwnershipNumber(0),
            is_private: false,
            cancels_waiting: false,
        };
        self.write_judged(key, &entry, &applied, Some(housed.number))
    }

    /// What hangs on a patient is kept with its home store, in the same commit: who may delete what is left of a patient that was deleted
    /// is told by that. No lane is touched.
    fn keep_with(&mut self, patient: &RecordId, home: &RecordId) -> Result<(), StoreError> {
        let key = VisibleKey::Name(patient.clone()).to_text();
        let scope = self.scope_number(&Scope::Visible)?;
        let mut after = 0;
        loop {
            let mut numbers = Vec::new();
            self.sql.query(
                &format!(
                    "SELECT record FROM lane WHERE visible_key = ?1 AND record > ?2 AND scope = ?3
                     ORDER BY record LIMIT {RECORDS_TOGETHER}"
                ),
                &[(&key).into(), after.into(), scope.into()],
                &mut |row| {
                    numbers.push(row.integer(0)?);
                    Ok(ControlFlow::Continue(()))
                },
            )?;
            for number in &numbers {
                self.change_store_kept(*number, home)?;
            }
            match numbers.last() {
                Some(last) if numbers.len() == RECORDS_TOGETHER => after = *last,
                _ => return Ok(()),
            }
        }
    }
}

/// A patient or prescriber as it is stored.
struct Housed {
    kind: HomeKind,
    id: RecordId,
    /// Of its record.
    number: i64,
    store: Option<RecordId>,
    row: Row,
}

impl Housed {
    /// `None` for a name that is no patient.
    fn home(&self) -> Option<PatientHome> {
        self.store.clone().map(|store| PatientHome::of(&self.row, store))
    }
}

impl Reading<'_> {
    /// Transfers of a kind that are on their way, `limit` of those behind `after` in the order of the ids.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn home_transfers(
        &mut self,
        kind: HomeKind,
        after: Option<&RecordId>,
        limit: u32,
    ) -> Result<Vec<HomeTransfer>, StoreError> {
        let behind = after.map_or_else(|| kind.letter().to_owned(), |after| kind.key(after).to_text());
        let sql = "home_transfer.visible_key > ?1 AND substr(home_transfer.visible_key, 1, 1) = ?3";
        self.home_transfers_where(sql, &[(&behind).into(), limit.into(), kind.letter().into()])
    }

    /// The home store of a patient or prescriber.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn home_store_of(&mut self, kind: HomeKind, id: &RecordId) -> Result<Option<RecordId>, StoreError> {
        let sql = "SELECT store FROM home_store WHERE visible_key = ?1";
        let key = kind.key(id).to_text();
        Ok(self.sql.query_one(sql, &[(&key).into()], |row| text::record_id(row, 0))?)
    }

    /// The transfer of a patient or prescriber, if it is on its way.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn home_transfer_of(&mut self, kind: HomeKind, id: &RecordId) -> Result<Option<HomeTransfer>, StoreError> {
        let key = kind.key(id).to_text();
        let found = self.home_transfers_where("home_transfer.visible_key = ?1", &[(&key).into(), 1.into()])?;
        Ok(found.into_iter().next())
    }

    fn home_transfers_where(&mut self, which: &str, params: &[Param<'_>]) -> Result<Vec<HomeTransfer>, StoreError> {
        let sql = format!(
            "SELECT home_transfer.visible_key, home_store.store, home_transfer.to_store, home_transfer.site, home_transfer.asked_ms
             FROM home_transfer JOIN home_store ON home_store.visible_key = home_transfer.visible_key
             WHERE {which} ORDER BY home_transfer.visible_key LIMIT ?2"
        );
        let mut transfers = Vec::new();
        self.sql.query(&sql, params, &mut |row| {
            let (Some(VisibleKey::Name(id) | VisibleKey::Prescriber(id)), (from, to)) =
                (VisibleKey::from_text(row.text(0)?), (text::record_id(row, 1)?, text::record_id(row, 2)?))
            else {
                return Ok(ControlFlow::Continue(()));
            };
            transfers.push(HomeTransfer { id, from, to, site: text::site(row, 3)?, asked_ms: row.unsigned(4)? });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(transfers)
    }
}
