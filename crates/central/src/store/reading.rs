//! What can be read without writing: accounts, sites, stores, records.

use std::ops::ControlFlow;

use domain::catalogue::{Catalogue, Table};
use domain::json;
use domain::merge::Merged;
use domain::store::STORE_TABLE;
use protocol::exchange::SiteKeys;
use protocol::hardware::HardwareId;
use protocol::ids::{
    CredentialGeneration, Epoch, HardwareSalt, JournalId, OwnershipNumber, Position, PublicKey, RecordId, Sequence,
    SiteId,
};
use sql::{Row, Sql, SqlError, SqlErrorKind, SqlExt};

use super::error::StoreError;
use super::pausing::Pause;
use super::records::{check_record, damaged_record};
use super::tokens::Stop;
use super::{state, text};

/// Reads one store.
pub struct Reading<'a> {
    pub(super) sql: &'a mut dyn Sql,
    pub(super) catalogue: &'a Catalogue,
}

/// What kind of site (seed 003, "Site type").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteKind {
    /// The central server itself.
    Central,
    /// A desktop server or single-user desktop.
    Standalone,
    /// A tablet: it has one store.
    Mobile,
}

impl SiteKind {
    /// The word that configuration, database and reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Central => "central",
            Self::Standalone => "standalone",
            Self::Mobile => "mobile",
        }
    }

    /// The kind of a word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Central, Self::Standalone, Self::Mobile].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A site as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteRow {
    /// The id, never given again.
    pub id: SiteId,
    /// The login.
    pub name: String,
    /// Free text.
    pub code: String,
    /// What kind.
    pub kind: SiteKind,
    /// As the caller hashed it; never shown.
    pub password_hash: String,
    /// The key of the device that speaks for it.
    pub public_key: Option<PublicKey>,
    /// Rises when name or password changes.
    pub generation: CredentialGeneration,
    /// What the values of its device's hardware are hashed with. Central's own is secret: the salts of names that nobody has are
    /// derived from it.
    pub salt: Option<HardwareSalt>,
    /// What its device is made of.
    pub hardware: Option<HardwareId>,
    /// Since when it is bound to that device, in milliseconds since 1970.
    pub bound_ms: Option<u64>,
    /// When its device enrolled last, in milliseconds since 1970.
    pub enrolled_ms: Option<u64>,
    /// The journal in which its edits come now, how far it is received, and how far it is judged.
    pub journal: Option<(JournalId, Sequence, Sequence)>,
    /// The last request that was answered, in milliseconds since 1970.
    pub last_contact_ms: Option<u64>,
    /// Where that came from, if it was told: behind a reverse proxy, the proxy's address.
    pub last_address: Option<String>,
    /// The last request at which nothing waited either way, in milliseconds since 1970.
    pub last_drained_ms: Option<u64>,
    /// Why it does not sync, if it is stopped.
    pub stop: Option<Stop>,
    /// When it was found to have heard more than central remembers, in milliseconds since 1970: central was set back.
    pub ahead_ms: Option<u64>,
    /// When everything had come both ways since, in milliseconds since 1970.
    pub healed_ms: Option<u64>,
    /// When it was deleted, in milliseconds since 1970.
    pub deleted_ms: Option<u64>,
    /// Why it does not sync although nothing is wrong with it; one that is over may stand here still.
    pub pause: Option<Pause>,
    /// What its device said of itself when it enrolled last.
    pub reported_kind: Option<SiteKind>,
    /// Generation of the name and password that its device proved last.
    pub proved_generation: Option<CredentialGeneration>,
    /// The version of messages that its device spoke last.
    pub version: Option<u8>,
    /// How far the device's journal went at the last exchange that was answered.
    pub journal_head: Option<Sequence>,
    /// Whether it makes the receiving halves of its stores itself, so that central only routes them.
    pub makes_own_halves: bool,
    /// Whether a device came with a token that is not known any more, and has yet to answer who it is.
    pub is_challenged: bool,
}

impl SiteRow {
    /// What counts: what its device says that it is, or else what the site was meant to be.
    pub fn effective_kind(&self) -> SiteKind {
        self.reported_kind.unwrap_or(self.kind)
    }
}

/// A store and who holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRow {
    /// The store.
    pub id: RecordId,
    /// Its record as JSON.
    pub data: String,
    /// The site where it is active.
    pub site: SiteId,
    /// The number of that site's grant; 0 for a store that never left central.
    pub ownership: OwnershipNumber,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// The record.
    pub id: RecordId,
    /// Its data as JSON; `None` for one that was deleted.
    pub data: Option<String>,
    /// The store that it belongs to.
    pub store: Option<RecordId>,
    /// Position of its last change.
    pub position: Position,
}

const SITE_COLUMNS: &str =
    "SELECT site.id, coalesce(site.deleted_name, site.name), site.code, site.kind, site.password_hash, site.public_key, site.generation,
        site.enrolled_ms, journal.id, journal.received, journal.judged, contact.last_contact_ms, contact.last_drained_ms,
        site_stop.since_ms, site_stop.code, site_stop.reason, site_ahead.noticed_ms,
        site_ahead.healed_ms, site.salt, site.hardware, site.bound_ms, contact.address,
        site_pause.since_ms, site_pause.until_ms, site.deleted_ms, site.reported_kind, site.proved_generation, contact.version,
        contact.challenge, contact.head, site.makes_own_halves
    FROM site LEFT JOIN journal ON journal.site = site.id AND journal.is_active = 1
        LEFT JOIN contact ON contact.site = site.id LEFT JOIN site_stop ON site_stop.site = site.id
        LEFT JOIN site_ahead ON site_ahead.site = site.id LEFT JOIN site_pause ON site_pause.site = site.id";

impl Reading<'_> {
    /// Runs several reads on one state of the store.
    ///
    /// # Errors
    /// Those of the reads; `Other` inside a batch.
    pub fn at_once<T>(
        &mut self,
        work: impl FnOnce(&mut Reading<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let catalogue = self.catalogue;
        self.sql.begin_read()?;
        let outcome = work(&mut Reading { sql: &mut *self.sql, catalogue });
        let ended = self.sql.end_read();
        let value = outcome?;
        ended?;
        Ok(value)
    }

    /// The keys that a site is known by; none for a site that is unknown or never was enrolled.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn site_keys(&mut self, site: SiteId) -> Result<SiteKeys, StoreError> {
        let key = self
            .sql
            .query_one("SELECT public_key FROM site WHERE id = ?1", &[site.0.into()], |row| public_key(row, 0))?;
        let retired = self.retired_keys(site)?.into_iter().map(|retired| retired.key).collect();
        Ok(SiteKeys { current: key.flatten(), retired })
    }

    /// One site.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn site(&mut self, site: SiteId) -> Result<Option<SiteRow>, StoreError> {
        let sql = format!("{SITE_COLUMNS} WHERE site.id = ?1");
        Ok(self.sql.query_one(&sql, &[site.0.into()], read_site)?)
    }

    /// The site of a login.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn site_by_name(&mut self, name: &str) -> Result<Option<SiteRow>, StoreError> {
        let sql = format!("{SITE_COLUMNS} WHERE site.name = ?1");
        Ok(self.sql.query_one(&sql, &[name.into()], read_site)?)
    }

    /// The password hash of a site that a number chooses; `None` while there is no site. Costs the same however many there are.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn password_hash_near(&mut self, choice: u64) -> Result<Option<String>, StoreError> {
        let first = u64::from(SiteId::CENTRAL.0) + 1;
        let last = self.sql.query_one("SELECT max(id) FROM site", &[], |row| row.unsigned(0))?.unwrap_or(0);
        let Some(count) = (last + 1).checked_sub(first).filter(|count| *count > 0) else { return Ok(None) };
        // One that was deleted has none; behind the last ones that were not, it is the one before.
        let chosen = super::unsigned(first + choice % count);
        for sql in [
            "SELECT password_hash FROM site WHERE id >= ?1 AND deleted_ms IS NULL ORDER BY id LIMIT 1",
            "SELECT password_hash FROM site WHERE id < ?1 AND id > 1 AND deleted_ms IS NULL ORDER BY id DESC LIMIT 1",
        ] {
            let found = self.sql.query_one(sql, std::slice::from_ref(&chosen), |row| Ok(row.text(0)?.to_owned()))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Every site but central that was not deleted, by id.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn sites(&mut self) -> Result<Vec<SiteRow>, StoreError> {
        self.sites_where("site.deleted_ms IS NULL")
    }

    /// Sites that were deleted, by id.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn deleted_sites(&mut self) -> Result<Vec<SiteRow>, StoreError> {
        self.sites_where("site.deleted_ms IS NOT NULL")
    }

    fn sites_where(&mut self, which: &str) -> Result<Vec<SiteRow>, StoreError> {
        let sql = format!("{SITE_COLUMNS} WHERE site.id <> ?1 AND {which} ORDER BY site.id");
        let mut sites = Vec::new();
        self.sql.query(&sql, &[SiteId::CENTRAL.0.into()], &mut |row| {
            sites.push(read_site(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(sites)
    }

    /// Sites whose entries are given the verdicts that they lack when central starts: those without a device. Of others central may be set
    /// back to before it told a verdict, and they are heard first.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn sites_judged_at_start(&mut self) -> Result<Vec<SiteId>, StoreError> {
        let mut sites = Vec::new();
        let sql = "SELECT id FROM site WHERE id <> ?1 AND public_key IS NULL AND EXISTS (
            SELECT 1 FROM journal WHERE journal.site = site.id AND judged < coalesce(closed_at, received)) ORDER BY id";
        self.sql.query(sql, &[SiteId::CENTRAL.0.into()], &mut |row| {
            sites.push(text::site(row, 0)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(sites)
    }

    /// Stores by id, `limit` of those behind `after`.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn stores(&mut self, after: Option<&RecordId>, limit: u32) -> Result<Vec<StoreRow>, StoreError> {
        let mut stores = Vec::new();
        self.sql.query(
            "SELECT record.id, record.data, store_site.site, store_site.ownership, record.store, record.position,
                 record.checksum
             FROM record LEFT JOIN store_site ON store_site.store = record.id
             WHERE record.table_name = ?1 AND record.data IS NOT NULL AND record.id > ?2 ORDER BY record.id LIMIT ?3",
            &[STORE_TABLE.into(), after.map_or("", RecordId::as_str).into(), limit.into()],
            &mut |row| {
                let site = row.optional_integer(2)?.map(|_| text::site(row, 2)).transpose()?;
                let ownership = row.optional_integer(3)?.map(|_| text::small(row, 3)).transpose()?;
                let content = (row.optional_text(4)?, row.optional_text(1)?, row.unsigned(5)?);
                check_record(row.optional_integer(6)?, STORE_TABLE, row.text(0)?, content)?;
                stores.push(StoreRow {
                    id: text::record_id(row, 0)?,
                    data: row.text(1)?.to_owned(),
                    site: site.unwrap_or(SiteId::CENTRAL),
                    ownership: OwnershipNumber(ownership.unwrap_or(0)),
                });
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(stores)
    }

    /// The stores that a site holds, with the numbers of its grants.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn stores_of(&mut self, site: SiteId) -> Result<Vec<(RecordId, OwnershipNumber)>, StoreError> {
        let mut stores = Vec::new();
        let sql = "SELECT store, ownership FROM store_site WHERE site = ?1 ORDER BY store";
        self.sql.query(sql, &[site.0.into()], &mut |row| {
            stores.push((text::record_id(row, 0)?, OwnershipNumber(text::small(row, 1)?)));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(stores)
    }

    /// The columns of a record that is here, as the catalogue numbers them.
    pub(super) fn row_of(&mut self, table: &Table, id: &RecordId) -> Result<Option<protocol::row::Row>, StoreError> {
        let Some(RecordRow { data: Some(data), .. }) = self.record(table.name(), id)? else { return Ok(None) };
        let row = json::row_from_json(table, id, &data).map_err(|error| damaged_record(table, id, &error))?;
        Ok(Some(table.canonical(row)))
    }

    /// One record, also a deleted one. `table` is the catalogue's name.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn record(&mut self, table: &str, id: &RecordId) -> Result<Option<RecordRow>, StoreError> {
        let sql = "SELECT id, data, store, position, checksum FROM record WHERE table_name = ?1 AND id = ?2";
        Ok(self.sql.query_one(sql, &[table.into(), id.as_str().into()], |row| read_record(table, row))?)
    }

    /// Records of a table by id, `limit` of those behind `after`, without the deleted ones.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn records(
        &mut self,
        table: &str,
        merged: Merged,
        after: Option<&RecordId>,
        limit: u32,
    ) -> Result<Vec<RecordRow>, StoreError> {
        let known = self.catalogue.table_by_name(table).ok();
        let known = known.filter(|_| merged == Merged::LeftOut);
        // Names have two, of patients and of others; no table has more.
        let aliases: Vec<&str> =
            known.into_iter().flat_map(|known| self.catalogue.merges_of(known)).map(Table::name).collect();
        let alias = |number: usize| aliases.get(number).copied().unwrap_or_default();
        // A circle, in which one record stays that has a row, is never in central's own order.
        let condition = if aliases.is_empty() {
            "?4 = ?4 AND ?5 = ?5"
        } else {
            "NOT EXISTS (SELECT 1 FROM record AS alias
                WHERE alias.table_name IN (?4, ?5) AND alias.id = record.id AND alias.data IS NOT NULL)"
        };
        let mut records = Vec::new();
        self.sql.query(
            &format!(
                "SELECT id, data, store, position, checksum FROM record
                 WHERE table_name = ?1 AND id > ?2 AND data IS NOT NULL AND {condition} ORDER BY id LIMIT ?3"
            ),
            &[table.into(), after.map_or("", RecordId::as_str).into(), limit.into(), alias(0).into(), alias(1).into()],
            &mut |row| {
                records.push(read_record(table, row)?);
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(records)
    }

    /// How many records each table has, without the deleted ones. Reads every record's key.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn record_counts(&mut self) -> Result<Vec<(String, u64)>, StoreError> {
        let mut counts = Vec::new();
        let sql =
            "SELECT table_name, count(*) FROM record WHERE data IS NOT NULL GROUP BY table_name ORDER BY table_name";
        self.sql.query(sql, &[], &mut |row| {
            counts.push((row.text(0)?.to_owned(), row.unsigned(1)?));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(counts)
    }

    /// Central's epoch and head.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn head(&mut self) -> Result<(Epoch, Position), StoreError> {
        Ok((state::epoch(self.sql)?, Position(state::position(self.sql)?)))
    }
}

pub(super) fn public_key(row: &dyn Row, column: usize) -> Result<Option<PublicKey>, SqlError> {
    let key = row.optional_blob(column)?.map(PublicKey::try_from).transpose();
    key.map_err(|_| SqlError::new(SqlErrorKind::Corrupt, "a site has a key that is not 32 bytes"))
}

fn read_site(row: &dyn Row) -> Result<SiteRow, SqlError> {
    let kind = SiteKind::of(row.text(3)?);
    let journal = match row.optional_blob(8)? {
        Some(_) => Some((text::journal_id(row, 8)?, Sequence(row.unsigned(9)?), Sequence(row.unsigned(10)?))),
        None => None,
    };
    let stop = match (row.optional_unsigned(13)?, row.optional_text(14)?, row.optional_text(15)?) {
        (Some(since_ms), Some(code), Some(reason)) => {
            Some(Stop { since_ms, code: code.to_owned(), reason: reason.to_owned() })
        }
        _ => None,
    };
    Ok(SiteRow {
        id: text::site(row, 0)?,
        name: row.text(1)?.to_owned(),
        code: row.text(2)?.to_owned(),
        kind: kind.ok_or_else(|| SqlError::new(SqlErrorKind::Corrupt, "a site is of an unknown kind"))?,
        password_hash: row.text(4)?.to_owned(),
        public_key: public_key(row, 5)?,
        generation: CredentialGeneration(text::small(row, 6)?),
        enrolled_ms: row.optional_unsigned(7)?,
        journal,
        last_contact_ms: row.optional_unsigned(11)?,
        last_drained_ms: row.optional_unsigned(12)?,
        stop,
        ahead_ms: row.optional_unsigned(16)?,
        healed_ms: row.optional_unsigned(17)?,
        salt: text::optional_salt(row, 18)?,
        hardware: text::optional_hardware(row, 19)?,
        bound_ms: row.optional_unsigned(20)?,
        last_address: row.optional_text(21)?.map(str::to_owned),
        pause: Pause::read(row, 22)?,
        deleted_ms: row.optional_unsigned(24)?,
        reported_kind: row.optional_text(25)?.and_then(SiteKind::of),
        proved_generation: row
            .optional_integer(26)?
            .map(|_| text::small(row, 26))
            .transpose()?
            .map(CredentialGeneration),
        version: row.optional_integer(27)?.and_then(|version| u8::try_from(version).ok()),
        is_challenged: row.optional_blob(28)?.is_some(),
        journal_head: row.optional_unsigned(29)?.map(Sequence),
        makes_own_halves: row.integer(30)? != 0,
    })
}

fn read_record(table: &str, row: &dyn Row) -> Result<RecordRow, SqlError> {
    let content = (row.optional_text(2)?, row.optional_text(1)?, row.unsigned(3)?);
    check_record(row.optional_integer(4)?, table, row.text(0)?, content)?;
    Ok(RecordRow {
        id: text::record_id(row, 0)?,
        data: row.optional_text(1)?.map(str::to_owned),
        store: text::optional_record_id(row, 2)?,
        position: Position(row.unsigned(3)?),
    })
}
