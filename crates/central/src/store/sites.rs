//! Sites, the devices that speak for them, and the stores that they hold (`details.md`, "Stores and sites").

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use domain::judge::Holding;
use protocol::control::{Control, ControlRow};
use protocol::entry::Operation;
use protocol::ids::{
    ControlNumber, CredentialGeneration, JournalId, OwnershipNumber, PublicKey, RecordId, SiteId, TableRef,
};
use protocol::limits;
use protocol::message::Refusal;
use protocol::row::{Row, Value};
use sql::SqlExt;

use super::batch::Batch;
use super::error::StoreError;
use super::limits::SITE_NAME_BYTES_MAX;
use super::reading::SiteKind;
use super::receive::PartsOf;
use super::{text, unsigned};

/// mSupply's table of stores, as the catalogue calls it.
pub(super) const STORE_TABLE: &str = "store";

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
    /// The stores that it shall hold.
    pub stores: Vec<RecordId>,
}

/// A device that may speak for a site from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enrolled {
    /// The site.
    pub site: SiteId,
    /// Of the name and password that were proved.
    pub generation: CredentialGeneration,
    /// False if this very device and journal were enrolled already.
    pub is_new: bool,
}

impl Batch<'_> {
    /// Adds a site under the next id, which is never given again.
    ///
    /// # Errors
    /// Refused with `site_name` (empty, too long, or with a character that cannot be stored), `site_name_taken`, and as
    /// [`Batch::assign_store`].
    pub fn add_site(&mut self, new: &NewSite) -> Result<SiteId, StoreError> {
        self.job(|batch| {
            let is_wrong = |text: &str| text.len() > SITE_NAME_BYTES_MAX || text.chars().any(char::is_control);
            if new.name.is_empty() || is_wrong(&new.name) || is_wrong(&new.code) {
                let what = format!(
                    "a site's name has 1 to {SITE_NAME_BYTES_MAX} bytes and its code at most as many, without control characters"
                );
                return Err(StoreError::refused("site_name", &what));
            }
            let sql = "SELECT id FROM site WHERE name = ?1";
            if let Some(other) = batch.sql.query_integer(sql, &[(&new.name).into()])? {
                let what = format!("the name {:?} belongs to site {other}; names are unique", new.name);
                return Err(StoreError::refused("site_name_taken", &what));
            }
            // Rows of sites are never deleted, so the largest id was the last that was given.
            let last = batch.sql.query_integer("SELECT max(id) FROM site", &[])?.unwrap_or(0);
            let id = u32::try_from(last + 1).map_err(|_| StoreError::Damaged("no site id is left".to_owned()))?;
            batch.sql.execute(
                "INSERT INTO site (id, name, code, kind, password_hash, generation, control_last)
                 VALUES (?1, ?2, ?3, ?4, ?5, 1, 0)",
                &[
                    id.into(),
                    (&new.name).into(),
                    (&new.code).into(),
                    new.kind.as_str().into(),
                    (&new.password_hash).into(),
                ],
            )?;
            for store in &new.stores {
                batch.give_store(store, SiteId(id))?;
            }
            Ok(SiteId(id))
        })
    }

    /// Gives a store that central holds to a site: the site is granted to write it and receives its data. Giving it to the
    /// site that has it changes nothing.
    ///
    /// # Errors
    /// Refused with `unknown_site`, `unknown_store`, `store_is_elsewhere`, `mobile_site_has_store`, `too_many_stores`.
    pub fn assign_store(&mut self, store: &RecordId, site: SiteId) -> Result<(), StoreError> {
        self.job(|batch| batch.give_store(store, site))
    }

    /// Makes a device the one that speaks for a site. The caller has checked the password. Another key or journal than the
    /// one that is enrolled replaces it and closes the old journal.
    ///
    /// # Errors
    /// Refused with `unknown_site`, or `journal_retired` for a journal that was closed.
    pub fn enrol(&mut self, site: SiteId, key: &PublicKey, journal: JournalId) -> Result<Enrolled, StoreError> {
        self.job(|batch| {
            if site == SiteId::CENTRAL {
                return Err(StoreError::refused("unknown_site", "no device enrols as central"));
            }
            let active = batch.site(site)?.journal.as_ref().map(|journal| journal.id);
            let account = batch.sql.query_one(
                "SELECT generation, public_key FROM site WHERE id = ?1",
                &[site.0.into()],
                |row| Ok((text::small(row, 0)?, row.optional_blob(1)?.map(<[u8]>::to_vec))),
            )?;
            let (generation, known_key) = account.unwrap_or_default();
            let generation = CredentialGeneration(generation);
            let is_same_key = known_key.as_deref() == Some(&key.0[..]);
            if is_same_key && active == Some(journal) {
                return Ok(Enrolled { site, generation, is_new: false });
            }
            batch.sql.execute(
                "UPDATE site SET public_key = ?2, enrolled_ms = ?3 WHERE id = ?1",
                &[site.0.into(), (&key.0).into(), unsigned(batch.now_ms)],
            )?;
            batch.site(site)?.is_enrolled = true;
            if active != Some(journal) {
                batch.change_journal(site, journal)?;
            }
            // The same device under another journal, after damage, still has what it had read.
            if !is_same_key {
                batch.forget_device(site)?;
            }
            batch.forget_tokens(site)?;
            Ok(Enrolled { site, generation, is_new: true })
        })
    }

    fn change_journal(&mut self, site: SiteId, journal: JournalId) -> Result<(), StoreError> {
        let sql = "SELECT 1 FROM journal WHERE site = ?1 AND id = ?2";
        if self.sql.query_integer(sql, &[site.0.into(), (&journal.0).into()])?.is_some() {
            let what = format!("journal {journal} of site {site} was closed; a device begins a new one when it enrols");
            return Err(StoreError::refused("journal_retired", &what));
        }
        self.replace_journal(site, journal, None)
    }

    /// What was known of the device before does not hold for a new one: it has nothing yet, not even its grants.
    fn forget_device(&mut self, site: SiteId) -> Result<(), StoreError> {
        self.sql.execute("DELETE FROM site_cursor WHERE site = ?1", &[site.0.into()])?;
        self.site(site)?.cursors.clear();
        self.drop_parts(PartsOf::Active(site))?;
        // Verdicts on what another device wrote mean nothing to this one; refused entries stay in set-aside.
        self.sql.execute("DELETE FROM control WHERE site = ?1", &[site.0.into()])?;
        self.tell_grants(site)
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
        for (store, ownership) in self.grants_of(site) {
            if !told.contains(store.as_str()) {
                self.tell_grant(site, &store, ownership)?;
            }
        }
        Ok(())
    }

    fn grants_of(&self, site: SiteId) -> Vec<(RecordId, OwnershipNumber)> {
        let held = self.state.holdings.iter().filter(|(_, holding)| holding.site == site);
        held.map(|(store, holding)| (store.clone(), holding.ownership)).collect()
    }

    fn tell_grants(&mut self, site: SiteId) -> Result<(), StoreError> {
        for (store, ownership) in self.grants_of(site) {
            self.tell_grant(site, &store, ownership)?;
        }
        Ok(())
    }

    fn give_store(&mut self, store: &RecordId, site: SiteId) -> Result<(), StoreError> {
        let kind = self.kind_of(site)?;
        if self.store_record(store)?.is_none_or(|(is_here, _)| !is_here) {
            let what = format!("there is no store {store} at central; import its record first");
            return Err(StoreError::refused("unknown_store", &what));
        }
        let before = self.state.holdings.get(store).copied();
        if before.is_some_and(|holding| holding.site == site) || (before.is_none() && site == SiteId::CENTRAL) {
            return Ok(());
        }
        if let Some(elsewhere) = before.filter(|holding| holding.site != SiteId::CENTRAL) {
            let what =
                format!("store {store} is active at site {}; moving a store is not possible yet", elsewhere.site);
            return Err(StoreError::refused("store_is_elsewhere", &what));
        }
        let count = self.state.holdings.values().filter(|holding| holding.site == site).count();
        if kind == Some(SiteKind::Mobile) && count > 0 {
            let what = format!("site {site} is mobile and has its one store; add another site for store {store}");
            return Err(StoreError::refused("mobile_site_has_store", &what));
        }
        // One scope is for what goes to every site.
        if count + 1 >= limits::SCOPES_MAX {
            let what = format!("site {site} has {count} stores; at most {} are possible", limits::SCOPES_MAX - 1);
            return Err(StoreError::refused("too_many_stores", &what));
        }
        let ownership = OwnershipNumber(before.map_or(0, |holding| holding.ownership.0) + 1);
        self.sql.execute(
            "INSERT INTO store_site (store, site, ownership) VALUES (?1, ?2, ?3)
             ON CONFLICT (store) DO UPDATE SET site = excluded.site, ownership = excluded.ownership",
            &[store.as_str().into(), site.0.into(), ownership.0.into()],
        )?;
        self.state.holdings.insert(store.clone(), Holding { site, ownership });
        let scopes = self.state.scopes_of(site);
        self.site(site)?.scopes = scopes;
        self.tell_grant(site, store, ownership)?;
        self.write_site_column(store, site)
    }

    /// Central alone fills the column that says which site holds a store.
    fn write_site_column(&mut self, store: &RecordId, site: SiteId) -> Result<(), StoreError> {
        let Ok(table) = self.catalogue.table_by_name(STORE_TABLE) else { return Ok(()) };
        let Some(name) = table.site_column() else { return Ok(()) };
        let patch = Row::new(vec![(table.column_ref(name), Value::Number(site.to_string()))])
            .expect("one column of the catalogue is within every limit");
        let reference = table.reference().clone();
        match self.write_as_central((reference, store.clone()), Operation::Patch(patch))? {
            Ok(()) => Ok(()),
            Err(reason) => Err(StoreError::Refused(Refusal::new(&reason.code, &reason.text))),
        }
    }

    fn kind_of(&mut self, site: SiteId) -> Result<Option<SiteKind>, StoreError> {
        self.site(site)?;
        let sql = "SELECT kind FROM site WHERE id = ?1";
        Ok(self.sql.query_one(sql, &[site.0.into()], |row| Ok(SiteKind::of(row.text(0)?)))?.flatten())
    }

    /// Whether the record of a store is here or was deleted; `None` if it was never here.
    pub(super) fn store_record(&mut self, store: &RecordId) -> Result<Option<(bool, Option<RecordId>)>, StoreError> {
        let Ok(table) = self.catalogue.table_by_name(STORE_TABLE) else { return Ok(None) };
        let reference: TableRef = table.reference().clone();
        self.read_store_of(&(reference, store.clone()))
    }
}
