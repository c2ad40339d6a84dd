//! What a store is on this site (seed 001, "Store setup").

use std::ops::ControlFlow;
use std::sync::Arc;

use domain::catalogue::{DataType, Table};
use domain::merge::Merged;
use domain::scope::Scope;
use domain::store::STORE_TABLE;
use protocol::ids::{RecordId, ScopeId};
use sql::SqlExt;

use super::grants::{IS_OF_THIS_SITE, MAY_BE_WRITTEN};
use super::images::state;
use super::rebuild::{IN_ORDER, READING};
use super::{LocalCopy, LocalCopyError};

/// That the site receives a scope: it has read of it, or reads it anew and has its records still. One that is dropped it receives no more.
const IS_RECEIVED: &str = "(position > 0 OR epoch <> 0 OR (rebuild = 1 AND EXISTS (
    SELECT 1 FROM membership WHERE membership.scope = scope.number)))";
const _: () = assert!(READING == 1, "the text has its number");

/// What a store is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreRole {
    /// Its data may be edited here.
    Active,
    /// All of its data is here to be read.
    Collector,
    /// Its own record and what hangs on it are here.
    Transfer,
    /// Nothing of it is here.
    None,
}

/// A store of which something is here and that is not active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreHere {
    /// The store.
    pub store: String,
    /// Collector or transfer.
    pub role: StoreRole,
}

impl StoreRole {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Collector => "collector",
            Self::Transfer => "transfer",
            Self::None => "none",
        }
    }
}

impl LocalCopy {
    /// What a store is here.
    ///
    /// # Errors
    /// Those of a read.
    pub fn store_role(&mut self, store: &RecordId) -> Result<StoreRole, LocalCopyError> {
        let granted = format!("SELECT 1 FROM store_grant WHERE store = ?1 AND {MAY_BE_WRITTEN}");
        if self.sql.query_integer(&granted, &[store.as_str().into()])?.is_some() {
            return Ok(StoreRole::Active);
        }
        let scope = Scope::Store(store.clone()).to_id();
        let read = format!("SELECT 1 FROM scope WHERE scope_id = ?1 AND {IS_RECEIVED}");
        if self.sql.query_integer(&read, &[scope.as_bytes().into()])?.is_some() {
            return Ok(StoreRole::Collector);
        }
        let record = "SELECT 1 FROM record WHERE table_name = ?1 AND id = ?2";
        let is_here = self.sql.query_integer(record, &[STORE_TABLE.into(), store.as_str().into()])?.is_some();
        Ok(if is_here { StoreRole::Transfer } else { StoreRole::None })
    }

    /// Whether anything is here of a store that has no role on this site ([`StoreRole::None`]): records of the table; what the site
    /// recorded itself of the store and has not sent, or keeps; a grant that central denies; a scope that is being read anew or is swept.
    ///
    /// # Errors
    /// Those of a read.
    pub fn has_of_store(&mut self, table: &Table, store: &RecordId) -> Result<bool, LocalCopyError> {
        let remains = format!(
            "SELECT 1 FROM store_grant WHERE store = ?1 AND {IS_OF_THIS_SITE} UNION ALL
             SELECT 1 FROM scope WHERE scope_id = ?2 AND rebuild <> ?3 LIMIT 1"
        );
        let scope = Scope::Store(store.clone()).to_id();
        let params = [store.as_str().into(), scope.as_bytes().into(), IN_ORDER.into()];
        if self.sql.query_integer(&remains, &params)?.is_some()
            || !self.list(table, Some(store.as_str()), Merged::Listed, None, 1)?.items.is_empty()
        {
            return Ok(true);
        }
        let catalogue = Arc::clone(&self.catalogue);
        for table in catalogue.tables().filter(|table| table.data_type() == DataType::Store) {
            let own = "SELECT 1 FROM record WHERE table_name = ?1 AND store = ?2 AND state <> ?3 LIMIT 1";
            let params = [table.name().into(), store.as_str().into(), state::CENTRAL.into()];
            if self.sql.query_integer(own, &params)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many stores are collectors and how many transfer stores here, and the first of each, `limit` at most.
    ///
    /// # Errors
    /// Those of a read.
    pub fn stores_here(&mut self, limit: u32) -> Result<(u64, u64, Vec<StoreHere>), LocalCopyError> {
        let mut collected: Vec<String> = Vec::new();
        let sql = format!("SELECT scope_id FROM scope WHERE {IS_RECEIVED} ORDER BY scope_id");
        self.sql.query(&sql, &[], &mut |row| {
            if let Some(Scope::Store(store)) = ScopeId::new(row.blob(0)?).map(|scope| Scope::from_id(&scope)) {
                collected.push(store.to_string());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let held: Vec<String> = self.grants()?.into_iter().map(|(store, _)| store).collect();
        collected.retain(|store| !held.contains(store));
        let (mut transfer, mut first) = (0, Vec::new());
        let sql = "SELECT id FROM record WHERE table_name = ?1 ORDER BY id";
        self.sql.query(sql, &[STORE_TABLE.into()], &mut |row| {
            let store = row.text(0)?;
            if !held.iter().chain(&collected).any(|other| other == store) {
                transfer += 1;
                if first.len() < limit as usize {
                    first.push(StoreHere { store: store.to_owned(), role: StoreRole::Transfer });
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let count = collected.len() as u64;
        let collected = collected.into_iter().take(limit as usize);
        let mut here: Vec<_> = collected.map(|store| StoreHere { store, role: StoreRole::Collector }).collect();
        here.extend(first);
        Ok((count, transfer, here))
    }
}
