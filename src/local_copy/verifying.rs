//! Comparing what is here with what central says should be (`protocol::verify`), and what follows from a difference.
//!
//! | the record | this site writes it | it does not |
//! | --- | --- | --- |
//! | is here, and central has another one | sent again whole; central's version is set aside here | central's is taken; this one is set aside |
//! | is here, and central has none for this scope | sent again whole | goes, into set-aside |
//! | is at central alone | taken | taken |
//!
//! One with edits on their way, or of a store that is being taken away from the site, is left alone.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use domain::home_transfer::{at_rest, with_centrals_columns_of};
use domain::scope::Scope;
use protocol::chain::hash_of;
use protocol::entry::{Entry, Operation};
use protocol::ids::{JournalId, OwnershipNumber, RecordId, ScopeId, Sequence, TableRef};
use protocol::message::ScopeCursor;
use protocol::page::PageRow;
use protocol::row::Row;
use protocol::verify::{Digests, RecordHash};
use sql::{Durability, Param, SqlExt};

use super::images::{Image, Key, Rank, as_changed, state};
use super::rebuild::IN_ORDER;
use super::time_line::headers_first;
use super::{LocalCopy, LocalCopyError, LostRecord, RecoveredEntry, limits};

/// The code under which a version that gave way is set aside.
pub const DIFFERED: &str = "differed";

const CENTRALS: &str = "verify found this version at central; the record is this site's, which sent its own again";
const OURS: &str = "verify found this version here; central's, which counts, took its place";
const NOT_AT_CENTRAL: &str =
    "verify found this record here, which is not this site's, and central does not have it for this site";

/// A place among the members of a scope: table and id.
pub type MemberPlace = (String, String);

/// A version that gives way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionAside {
    table: TableRef,
    id: RecordId,
    row: Row,
    reason: &'static str,
}

/// What follows from rows of central's, or from records that it does not have.
#[derive(Debug, Clone, Default)]
pub struct Differences {
    /// Rows to be taken as central has them.
    pub taken: Vec<PageRow>,
    /// How many of these are not only of a scope that was not noted here.
    pub pulled: u64,
    /// This site's records, to be sent again.
    pub sent_again: Vec<LostRecord>,
    /// Versions that give way, to be set aside before anything else.
    pub aside: Vec<VersionAside>,
    /// Members that the scope does not have.
    pub gone: Vec<MemberPlace>,
    /// How many of these are in no other scope and go.
    pub let_go: u64,
    /// Records that differ and were left alone.
    pub left_alone: u64,
}

impl LocalCopy {
    /// The scopes that can be compared, with how far each is read: those that are in order. What a site has come to see is part of what
    /// it sees.
    ///
    /// # Errors
    /// Those of a read.
    pub fn scopes_to_verify(&mut self) -> Result<Vec<ScopeCursor>, LocalCopyError> {
        let mut in_order = BTreeSet::new();
        self.sql.query("SELECT scope_id FROM scope WHERE rebuild = ?1", &[IN_ORDER.into()], &mut |row| {
            in_order.insert(row.blob(0)?.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        let mut read = self.session_state()?.cursors;
        read.retain(|read| {
            in_order.contains(read.scope.as_bytes()) && !matches!(Scope::from_id(&read.scope), Scope::Gained(_))
        });
        Ok(read)
    }

    /// How far what this site has come to see is read, if it was given any of that.
    ///
    /// # Errors
    /// Those of a read.
    pub fn gained(&mut self) -> Result<Option<ScopeCursor>, LocalCopyError> {
        let read = self.session_state()?.cursors;
        Ok(read.into_iter().find(|read| matches!(Scope::from_id(&read.scope), Scope::Gained(_))))
    }

    /// Counts the members of a scope behind a place in, as central has them; how far this came, or `None` at the end. At most
    /// [`limits::VERIFY_STEP_ROWS`] at a time.
    ///
    /// # Errors
    /// Those of a read.
    pub fn add_digests(
        &mut self,
        scope: &ScopeId,
        after: Option<&MemberPlace>,
        digests: &mut Digests,
    ) -> Result<Option<MemberPlace>, LocalCopyError> {
        let (scope, _) = self.scope_number(scope)?;
        let (table, id) = after.map_or(("", ""), |(table, id)| (table.as_str(), id.as_str()));
        let (mut last, mut count) = (None, 0);
        let sql = "SELECT membership.table_name, membership.id,
                 CASE WHEN base.id IS NOT NULL THEN CASE base.is_staying WHEN 0 THEN base.data END
                     WHEN record.state <> ?5 THEN record.data END
             FROM membership
             LEFT JOIN base ON base.table_name = membership.table_name AND base.id = membership.id
             LEFT JOIN record ON record.table_name = membership.table_name AND record.id = membership.id
             WHERE membership.scope = ?3 AND (membership.table_name, membership.id) > (?1, ?2)
             ORDER BY membership.table_name, membership.id LIMIT ?4";
        let key = [table.into(), id.into(), scope.into(), limits::VERIFY_STEP_ROWS.into(), state::LOCAL.into()];
        self.sql.query(sql, &key, &mut |row| {
            count += 1;
            let (table, id) = (row.text(0)?, row.text(1)?);
            if let Some(data) = row.optional_text(2)? {
                digests.add(table, id, data);
            }
            if count == limits::VERIFY_STEP_ROWS {
                last = Some((table.to_owned(), id.to_owned()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(last)
    }

    /// What follows from rows as central has them in a scope. Nothing is changed.
    ///
    /// # Errors
    /// Those of a read.
    pub fn differences(&mut self, scope: &ScopeId, rows: &[PageRow]) -> Result<Differences, LocalCopyError> {
        let (number, _) = self.scope_number(scope)?;
        let mut found = Differences::default();
        for row in rows {
            let Some(theirs) = &row.row else { continue };
            let key = self.key(&row.table, &row.record);
            let theirs = key.table.canonical(theirs.clone());
            if self.base(&key)?.is_some() || self.is_staying(&key)? {
                // What is on its way decides, or is judged by what comes behind it.
                found.left_alone += u64::from(self.base(&key)?.is_none_or(|base| base.row.as_ref() != Some(&theirs)));
                continue;
            }
            match self.merged(&key)? {
                Some(here) if here.row.as_ref() == Some(&theirs) => {
                    if !self.is_member_of(&key, number)? {
                        found.taken.push(row.clone());
                    }
                }
                Some(here) => self.differs(&key, here, Some((row, theirs)), &mut found)?,
                None => {
                    found.pulled += 1;
                    found.taken.push(row.clone());
                }
            }
        }
        headers_first(&mut found.sent_again);
        Ok(found)
    }

    /// What follows from members of a scope behind a place, of some buckets, that central did not name; how far this came, or `None` at
    /// the end. At most [`limits::VERIFY_STEP_ROWS`] at a time. Nothing is changed.
    ///
    /// # Errors
    /// Those of a read.
    pub fn not_at_central(
        &mut self,
        scope: &ScopeId,
        after: Option<&MemberPlace>,
        is_extra: &dyn Fn(RecordHash) -> bool,
    ) -> Result<(Differences, Option<MemberPlace>), LocalCopyError> {
        let (number, _) = self.scope_number(scope)?;
        let (table, id) = after.map_or(("", ""), |(table, id)| (table.as_str(), id.as_str()));
        let (mut extra, mut last, mut count) = (Vec::new(), None, 0);
        let sql = "SELECT table_name, id FROM membership WHERE scope = ?3 AND (table_name, id) > (?1, ?2)
             ORDER BY table_name, id LIMIT ?4";
        let key = [table.into(), id.into(), number.into(), limits::VERIFY_STEP_ROWS.into()];
        self.sql.query(sql, &key, &mut |row| {
            count += 1;
            let place = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
            if is_extra(RecordHash::of(&place.0, &place.1)) {
                extra.push(place.clone());
            }
            if count == limits::VERIFY_STEP_ROWS {
                last = Some(place);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let mut found = Differences::default();
        for place in extra {
            let key = self.key_by_name(&place.0, &place.1)?;
            if let Some(base) = self.base(&key)? {
                // One that central never had is on its way to it.
                found.left_alone += u64::from(base.row.is_some());
                continue;
            }
            if self.is_staying(&key)? {
                continue;
            }
            match self.merged(&key)? {
                None => found.gone.push(place),
                Some(_) if self.has_other_scope(&key, number)? => found.gone.push(place),
                Some(here) => self.differs(&key, here, None, &mut found)?,
            }
        }
        headers_first(&mut found.sent_again);
        Ok((found, last))
    }

    /// A record that is not as central has it, or that central does not have.
    fn differs(
        &mut self,
        key: &Key,
        here: Image,
        theirs: Option<(&PageRow, Row)>,
        found: &mut Differences,
    ) -> Result<(), LocalCopyError> {
        let Some(mine) = here.row.clone() else { return Ok(()) };
        if self.is_being_taken(&here)? {
            found.left_alone += 1;
            return Ok(());
        }
        let grants = self.grants()?;
        let changed = as_changed(key, here);
        let own = changed.map(|here| self.own_number(key, &here, &grants)).transpose()?.flatten();
        let aside =
            |row: Row, reason| VersionAside { table: key.table.reference().clone(), id: key.id.clone(), row, reason };
        match (own, theirs) {
            (Some(ownership), theirs) => {
                let whole = match &theirs {
                    Some((_, theirs)) => with_centrals_columns_of(&mine, theirs),
                    None => at_rest(&mine),
                };
                found.sent_again.extend(self.lost_record(key, Some(whole), ownership));
                if let Some((row, theirs)) = theirs {
                    found.aside.push(aside(theirs, CENTRALS));
                    found.taken.push(row.clone());
                }
            }
            (None, Some((row, _))) => {
                found.aside.push(aside(mine, OURS));
                found.pulled += 1;
                found.taken.push(row.clone());
            }
            (None, None) => {
                found.aside.push(aside(mine, NOT_AT_CENTRAL));
                found.let_go += 1;
                found.gone.push((key.table.name().to_owned(), key.id.as_str().to_owned()));
            }
        }
        Ok(())
    }

    /// Whether a record is of a store that is being taken away: what of it is not sent yet is central's to wait for.
    fn is_being_taken(&mut self, here: &Image) -> Result<bool, LocalCopyError> {
        let Some(store) = &here.store else { return Ok(false) };
        Ok(self.frozen_stores()?.iter().any(|frozen| frozen == store.as_str()))
    }

    /// Keeps versions that give way, durably. One that is kept already is not kept twice.
    ///
    /// # Errors
    /// [`LocalCopyError::SetAsideFull`] if there is no room for all: then none is kept. Else those of a write.
    pub fn set_versions_aside(&mut self, versions: &[VersionAside]) -> Result<(), LocalCopyError> {
        if versions.is_empty() {
            return Ok(());
        }
        let (count, bytes) = (self.set_aside_count()?, self.set_aside_bytes()?);
        if count + versions.len() as u64 > limits::SET_ASIDE_MAX || bytes >= limits::SET_ASIDE_BYTES_MAX {
            return Err(LocalCopyError::SetAsideFull { count, bytes });
        }
        self.transaction(Durability::Full, |copy| {
            for version in versions {
                let entry = Entry {
                    is_group_end: true,
                    ownership: OwnershipNumber(0),
                    table: version.table.clone(),
                    record: version.id.clone(),
                    operation: Operation::Put(version.row.clone()),
                };
                let bytes = entry.encode();
                let name = version_name(&bytes);
                let kept = RecoveredEntry { sequence: Sequence(1), entry: bytes, recorded_at_ms: 0 };
                copy.set_aside_one(name, &kept, &entry, (DIFFERED, version.reason))?;
            }
            Ok(())
        })
    }

    /// Takes rows as central has them, and lets go of members that a scope does not have; durably. What is sent again stays on top.
    ///
    /// # Errors
    /// Those of a write; then nothing is taken.
    pub fn take_verified(&mut self, scope: &ScopeId, found: &Differences) -> Result<(), LocalCopyError> {
        if found.taken.is_empty() && found.gone.is_empty() {
            return Ok(());
        }
        let of = Scope::from_id(scope);
        self.transaction(Durability::Full, |copy| {
            let numbers = copy.scope_number(scope)?;
            for row in &found.taken {
                let Some(columns) = &row.row else { continue };
                let key = copy.key(&row.table, &row.record);
                let columns = key.table.canonical(columns.clone());
                let store = copy.store_of_row(&key, &columns, Some(&of))?;
                copy.join(&key, numbers)?;
                let image = Image { row: Some(columns), store, position: row.position };
                if copy.replace_image(&key, &image, Rank::Newer)? {
                    copy.note_owed(&key, &image)?;
                }
            }
            for (table, id) in &found.gone {
                let key = copy.key_by_name(table, id)?;
                if copy.base(&key)?.is_none() && !copy.leave(&key, numbers.0)? {
                    copy.replace_image(&key, &Image::NOT_HERE, Rank::Newer)?;
                }
            }
            Ok(())
        })
    }

    fn is_member_of(&mut self, key: &Key, scope: i64) -> Result<bool, LocalCopyError> {
        let [table, id] = key.params();
        let sql = "SELECT 1 FROM membership WHERE table_name = ?1 AND id = ?2 AND scope = ?3";
        let key: [Param<'_>; 3] = [table, id, scope.into()];
        Ok(self.sql.query_integer(sql, &key)?.is_some())
    }
}

/// The name under which a version is set aside: the same version is the same one, whenever it is found.
fn version_name(entry: &[u8]) -> JournalId {
    let mut text = b"differed".to_vec();
    text.extend_from_slice(entry);
    let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash_of(&text).0;
    JournalId(first)
}
