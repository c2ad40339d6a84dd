//! Sites, the devices that speak for them, and the stores that they hold (`details.md`, "Stores and sites").

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use domain::authority::central_data;
use domain::judge::Holding;
use domain::store::STORE_TABLE;
use protocol::control::{Control, ControlRow, SiteCode};
use protocol::entry::Operation;
use protocol::ids::{ControlNumber, CredentialGeneration, HardwareSalt, OwnershipNumber, RecordId, SiteId};
use protocol::row::{Row, Value};
use serde_json::json;
use sql::{Sql, SqlExt};

use super::audit::{AuditEntry, site_actor};
use super::batch::Batch;
use super::credentials::Credentials;
use super::error::StoreError;
use super::limits::{SITE_NAME_BYTES_MAX, STORE_SCOPES_MAX};
use super::moves::StoreMove;
use super::reading::SiteKind;
use super::receive::PartsOf;

/// A site to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSite {
    /// The login. Unique, 1 to [`SITE_NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// Free text, at most [`SITE_NAME_BYTES_MAX`] bytes.
    pub code: String,
    /// What kind of site.
    pub kind: SiteKind,
    /// The password, hashed by the caller; opaque here.
    pub password_hash: String,
    /// Random; what the hardware's values are hashed with.
    pub salt: HardwareSalt,
    /// The stores that it shall hold.
    pub stores: Vec<RecordId>,
}

impl Batch<'_> {
    /// Adds a site under the next id, which is never given again.
    ///
    /// # Errors
    /// Refused with `site_name` (empty, too long, or with a character that cannot be stored), `site_name_taken`, and as
    /// [`Batch::move_store`].
    pub fn add_site(&mut self, new: &NewSite) -> Result<SiteId, StoreError> {
        self.job(|batch| {
            check_name_and_code(&new.name, &new.code)?;
            check_name_is_plain(&new.name)?;
            check_name_is_free(batch.sql, &new.name, None)?;
            // A site that is deleted keeps its row, so the largest id was the last that was given.
            let last = batch.sql.query_integer("SELECT max(id) FROM site", &[])?.unwrap_or(0);
            let id = u32::try_from(last + 1).map_err(|_| StoreError::Damaged("no site id is left".to_owned()))?;
            batch.sql.execute(
                "INSERT INTO site (id, name, code, kind, password_hash, salt, generation, control_last)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, 0)",
                &[
                    id.into(),
                    (&new.name).into(),
                    (&new.code).into(),
                    new.kind.as_str().into(),
                    (&new.password_hash).into(),
                    (&new.salt.0).into(),
                ],
            )?;
            let credentials = Credentials {
                generation: CredentialGeneration(1),
                name: new.name.clone(),
                password_hash: new.password_hash.clone(),
            };
            batch.keep_credentials(SiteId(id), &credentials)?;
            if let Some(rehearsal) = &mut batch.state.rehearsal {
                rehearsal.note_scopes(SiteId(id), &[]);
            }
            for store in &new.stores {
                batch.begin_move(store, SiteId(id), false)?;
            }
            Ok(SiteId(id))
        })
    }

    /// What was known of the device before does not hold for a new one: it has nothing yet, not even its grants.
    pub(super) fn forget_device(&mut self, site: SiteId) -> Result<(), StoreError> {
        self.sql.execute("DELETE FROM site_cursor WHERE site = ?1", &[site.0.into()])?;
        self.site(site)?.cursors.clear();
        self.drop_parts(PartsOf::Active(site))?;
        // Verdicts on what another device wrote mean nothing to this one; refused entries stay in set-aside.
        self.sql.execute("DELETE FROM control WHERE site = ?1", &[site.0.into()])?;
        self.forget_drops(site, u64::MAX)?;
        self.forget_claims(site)?;
        self.forget_backfill(site)?;
        self.forget_primary_device(site)?;
        self.tell_code_anew(site)?;
        self.tell_grants(site)
    }

    /// Tells a site all its grants, and that these are all.
    pub(super) fn tell_all_grants(&mut self, site: SiteId) -> Result<(), StoreError> {
        let grants = self.grants_of(site).len();
        self.tell_grants(site)?;
        self.tell_grants_told(site, u32::try_from(grants).unwrap_or(u32::MAX))
    }

    /// A device that has no control row although its grants were told and forgotten has lost its local copy: it is told again
    /// those that are not on their way to it.
    pub(super) fn tell_forgotten_grants(&mut self, site: SiteId) -> Result<(), StoreError> {
        let mut told = BTreeSet::new();
        let sql = "SELECT number, code, content FROM control WHERE site = ?1";
        self.sql.query(sql, &[site.0.into()], &mut |row| {
            let code = u16::try_from(row.integer(1)?).unwrap_or(u16::MAX);
            let row = ControlRow { number: ControlNumber(row.unsigned(0)?), code, content: row.blob(2)?.to_vec() };
            if let Ok(Control::Grant(grant)) = Control::of(&row) {
                told.insert(grant.store);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if self.rows_like(site, &Control::SiteCode(SiteCode { code: String::new() }))? == 0 {
            self.tell_code_anew(site)?;
        }
        for (store, ownership) in self.grants_of(site) {
            if !told.contains(store.as_str()) {
                self.tell_grant(site, &store, ownership)?;
            }
        }
        Ok(())
    }

    fn grants_of(&self, site: SiteId) -> Vec<(RecordId, OwnershipNumber)> {
        let authority = self.state.mirror.granted_to(site).map(|ownership| (central_data(), ownership));
        self.state
            .holdings
            .of_site(site)
            .filter(|(store, _)| !self.is_moving(store))
            .map(|(store, ownership)| (store.clone(), ownership))
            .chain(authority)
            .collect()
    }

    pub(super) fn tell_grants(&mut self, site: SiteId) -> Result<(), StoreError> {
        for (store, ownership) in self.grants_of(site) {
            self.tell_grant(site, &store, ownership)?;
        }
        Ok(())
    }

    /// That a site may have one more store.
    ///
    /// # Errors
    /// Refused with `mobile_site_has_store`, `too_many_stores`.
    pub(super) fn check_room(&mut self, store: &RecordId, site: SiteId) -> Result<(), StoreError> {
        let is_mobile = self.kind_of(site)? == Some(SiteKind::Mobile);
        let coming = self.coming_stores(site, Some(store));
        let has_store = coming > 0 || self.state.stores_of(site).any(|held| held != store);
        if is_mobile && has_store {
            let what = format!("site {site} is mobile and has its one store; add another site for store {store}");
            return Err(StoreError::refused("mobile_site_has_store", &what));
        }
        if site == SiteId::CENTRAL { Ok(()) } else { self.check_scopes(site, 2 * (coming + 1)) }
    }

    /// How many stores are on their way to a site and not active there yet, but for one.
    pub(super) fn coming_stores(&self, site: SiteId, but: Option<&RecordId>) -> usize {
        let is_coming = |moving: &&StoreMove| moving.to == site && but != Some(&moving.store);
        let coming = self.state.moves.values().filter(is_coming).map(|moving| &moving.store);
        // One that is being read there is there.
        coming.filter(|store| self.state.holdings.holder(store) != site).count()
    }

    /// That a site has room for more scopes of stores.
    pub(super) fn check_scopes(&mut self, site: SiteId, more: usize) -> Result<(), StoreError> {
        let (stores, active) = (self.state.stores_on(site).count(), self.state.stores_of(site).count());
        if stores + active + more > STORE_SCOPES_MAX {
            let what = format!(
                "site {site} has {stores} stores, {active} of them active; at most {STORE_SCOPES_MAX} are possible, where an active one \
                 counts twice"
            );
            return Err(StoreError::refused("too_many_stores", &what));
        }
        Ok(())
    }

    /// From now on a site holds a store under a number, as a claim says, whatever was under way with it; it is told so.
    pub(super) fn hold_as_claimed(&mut self, store: &RecordId, holding: Holding) -> Result<(), StoreError> {
        let before = self.state.holdings.get(store).copied();
        self.forget_move(store)?;
        self.hold(store, holding)?;
        let entry = AuditEntry {
            site: Some(holding.site),
            other_site: before.map(|before| before.site).filter(|site| *site != holding.site),
            store: Some(store.as_str().to_owned()),
            ..AuditEntry::new(&site_actor(holding.site), "claim-is-met")
        };
        let shown = |held: Holding| json!({ "site": held.site.0, "ownership": held.ownership.0 });
        self.note(entry, before.map_or(serde_json::Value::Null, shown), shown(holding))?;
        self.tell_grant(holding.site, store, holding.ownership)
    }

    /// From now on a site holds a store under a number. It has not been told so.
    pub(super) fn hold(&mut self, store: &RecordId, holding: Holding) -> Result<(), StoreError> {
        let Holding { site, ownership } = holding;
        let before = self.state.holdings.get(store).copied();
        // Read before the change: a site that is read after it has only what it is to have.
        for site in before.iter().map(|before| before.site).chain([site]) {
            self.site(site)?;
        }
        self.sql.execute(
            "INSERT INTO store_site (store, site, ownership) VALUES (?1, ?2, ?3)
             ON CONFLICT (store) DO UPDATE SET site = excluded.site, ownership = excluded.ownership",
            &[store.as_str().into(), site.0.into(), ownership.0.into()],
        )?;
        self.leave_collectors(site, store)?;
        self.state.holdings.insert(store.clone(), holding);
        self.state.has_new_layout = true;
        self.change_scopes(site)?;
        self.follow_presence(site, store)?;
        if let Some(before) = before.filter(|before| before.site != site) {
            self.change_scopes(before.site)?;
            self.follow_presence(before.site, store)?;
        }
        // Of a store that central has forgotten, too, the record is still to come.
        if self.is_here(STORE_TABLE, store)? {
            self.write_site_column(store, site)?;
        }
        if site == SiteId::CENTRAL { self.wake_transfers_of(store) } else { Ok(()) }
    }

    /// Central alone fills the column that says which site holds a store.
    fn write_site_column(&mut self, store: &RecordId, site: SiteId) -> Result<(), StoreError> {
        let Ok(table) = self.catalogue.table_by_name(STORE_TABLE) else { return Ok(()) };
        let Some(name) = table.site_column() else { return Ok(()) };
        let patch = Row::new(vec![(table.column_ref(name), Value::Number(site.to_string()))])
            .expect("one column of the catalogue is within every limit");
        let reference = table.reference().clone();
        self.write_own((reference, store.clone()), Operation::Patch(patch))
    }

    /// What counts for a site: what its device says that it is, or else what it was meant to be.
    pub(super) fn kind_of(&mut self, site: SiteId) -> Result<Option<SiteKind>, StoreError> {
        self.site(site)?;
        let sql = "SELECT coalesce(reported_kind, kind) FROM site WHERE id = ?1";
        Ok(self.sql.query_one(sql, &[site.0.into()], |row| Ok(SiteKind::of(row.text(0)?)))?.flatten())
    }

    /// Whether central has a record, of a table by the catalogue's name.
    pub(super) fn is_here(&mut self, table: &str, id: &RecordId) -> Result<bool, StoreError> {
        let Ok(table) = self.catalogue.table_by_name(table) else { return Ok(false) };
        let found = self.read_store_of(&(table.reference().clone(), id.clone()))?;
        Ok(found.is_some_and(|(is_here, _)| is_here))
    }
}

/// That a name and a code are texts that can be kept and shown.
pub(super) fn check_name_and_code(name: &str, code: &str) -> Result<(), StoreError> {
    let is_wrong = |text: &str| text.len() > SITE_NAME_BYTES_MAX || text.chars().any(char::is_control);
    if name.is_empty() || is_wrong(name) || is_wrong(code) {
        let what = format!(
            "a site's name has 1 to {SITE_NAME_BYTES_MAX} bytes and its code at most as many, without control characters"
        );
        return Err(StoreError::refused("site_name", &what));
    }
    Ok(())
}

/// That a name is no other site's id, and reads as what it is.
pub(super) fn check_name_is_plain(name: &str) -> Result<(), StoreError> {
    if name.parse::<u32>().is_ok() || name.trim() != name {
        let what = format!(
            "the name {name:?} could be taken for a site's id, or begins or ends with a blank; choose another one"
        );
        return Err(StoreError::refused("site_name", &what));
    }
    Ok(())
}

/// That no other site has a name.
pub(super) fn check_name_is_free(sql: &mut (dyn Sql + '_), name: &str, own: Option<SiteId>) -> Result<(), StoreError> {
    match sql.query_integer("SELECT id FROM site WHERE name = ?1", &[name.into()])? {
        Some(other) if own.is_none_or(|own| i64::from(own.0) != other) => {
            let what = format!("the name {name:?} belongs to site {other}; names are unique");
            Err(StoreError::refused("site_name_taken", &what))
        }
        _ => Ok(()),
    }
}
