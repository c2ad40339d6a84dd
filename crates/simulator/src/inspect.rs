//! Reads central's store past central itself, so that the oracles see what is on its disk and not what it says.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use central::store::sqlite_options;
use domain::scope::Scope;
use protocol::ids::{Hash, JournalId, SiteId};
use sql::{Param, Sql, SqlError, SqlExt as _, SqliteEngine};

use crate::centre::STORE;
use crate::disk::Disk;

/// A connection that only reads.
pub struct Inspector {
    disk: Disk,
    engine: Option<SqliteEngine>,
}

/// A journal as central has it.
#[derive(Debug, Clone)]
pub struct JournalRow {
    /// Central's number for it.
    pub number: i64,
    /// Whose.
    pub site: SiteId,
    /// Its id.
    pub id: JournalId,
    /// How far it is received.
    pub received: u64,
    /// The hash there.
    pub received_hash: Vec<u8>,
    /// How far it is judged; what came after it was closed has its verdict as it comes.
    pub judged: u64,
    /// How far the log is pruned.
    pub floor: u64,
    /// Whether edits still come in it.
    pub is_active: bool,
}

/// An entry as central has it.
#[derive(Debug, Clone)]
pub struct EntryRow {
    /// Its sequence.
    pub sequence: u64,
    /// The hash after it.
    pub hash: Hash,
    /// 1 waits, 2 refused, 3 refused and dismissed.
    pub verdict: Option<i64>,
    /// Why it was refused.
    pub code: Option<String>,
}

/// A record as central has it.
#[derive(Debug, Clone)]
pub struct RecordRow {
    /// The table's name.
    pub table: String,
    /// The id.
    pub id: String,
    /// Its data; `None` once deleted.
    pub data: Option<String>,
    /// Whose it is.
    pub store: Option<String>,
    /// Where it was last changed.
    pub position: u64,
}

/// A transfer as central has it.
#[derive(Debug, Clone)]
pub struct TransferRow {
    /// The kind; nothing while it cannot be told.
    pub kind: String,
    /// Table and id of the initiating half.
    pub source: (String, String),
    /// Whose that is.
    pub sender: String,
    /// The store that receives.
    pub receiver: String,
    /// The id of the responding half.
    pub half: Option<String>,
    /// Whether the source is addressed to the receiver still.
    pub is_addressed: bool,
    /// What it waits for: table and id.
    pub waits: Option<(String, String)>,
    /// Why, if it is not for the record alone.
    pub reason: Option<String>,
}

impl Inspector {
    /// Of a disk.
    pub fn new(disk: Disk) -> Self {
        Self { disk, engine: None }
    }

    /// To be called when the disk was crashed: connections do not live on.
    pub fn close(&mut self) {
        self.engine = None;
    }

    /// Every journal.
    ///
    /// # Errors
    /// Those of a read.
    pub fn journals(&mut self) -> Result<Vec<JournalRow>, SqlError> {
        let mut journals = Vec::new();
        self.engine()?.query(
            "SELECT number, site, id, received, received_hash,
                CASE WHEN judged >= closed_at THEN received ELSE judged END, floor, is_active
             FROM journal
             WHERE site NOT IN (SELECT id FROM site WHERE coalesce(deleted_name, name) LIKE 'passing %') ORDER BY number",
            &[],
            &mut |row| {
                journals.push(JournalRow {
                    number: row.integer(0)?,
                    site: SiteId(u32::try_from(row.integer(1)?).unwrap_or(0)),
                    id: JournalId::try_from(row.blob(2)?).unwrap_or(JournalId([0; 16])),
                    received: row.unsigned(3)?,
                    received_hash: row.blob(4)?.to_vec(),
                    judged: row.unsigned(5)?,
                    floor: row.unsigned(6)?,
                    is_active: row.integer(7)? != 0,
                });
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(journals)
    }

    /// Which site each store is active at, where that is not central.
    ///
    /// # Errors
    /// Those of a read.
    pub fn holders(&mut self) -> Result<BTreeMap<String, SiteId>, SqlError> {
        let mut holders = BTreeMap::new();
        self.engine()?.query("SELECT store, site FROM store_site", &[], &mut |row| {
            holders.insert(row.text(0)?.to_owned(), SiteId(u32::try_from(row.integer(1)?).unwrap_or(0)));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(holders)
    }

    /// Stores on their way, whether each fills its new site, and the site that it waits for.
    ///
    /// # Errors
    /// Those of a read.
    pub fn moves(&mut self) -> Result<Vec<(String, bool, SiteId)>, SqlError> {
        let mut moves = Vec::new();
        let sql =
            "SELECT store, phase, CASE phase WHEN 1 THEN to_site ELSE from_site END FROM store_move ORDER BY store";
        self.engine()?.query(sql, &[], &mut |row| {
            moves.push((
                row.text(0)?.to_owned(),
                row.integer(1)? == 1,
                SiteId(u32::try_from(row.integer(2)?).unwrap_or(0)),
            ));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(moves)
    }

    /// Transfers, those of which the kind cannot be told among them.
    ///
    /// # Errors
    /// Those of a read.
    pub fn transfers(&mut self) -> Result<Vec<TransferRow>, SqlError> {
        let mut transfers = Vec::new();
        let sql =
            "SELECT kind, source_table, source, sender, receiver, half, is_addressed, waits_table, waits_for, reason
            FROM transfer ORDER BY number";
        self.engine()?.query(sql, &[], &mut |row| {
            let waits = row.optional_text(7)?.map(str::to_owned).zip(row.optional_text(8)?.map(str::to_owned));
            transfers.push(TransferRow {
                kind: row.text(0)?.to_owned(),
                source: (row.text(1)?.to_owned(), row.text(2)?.to_owned()),
                sender: row.text(3)?.to_owned(),
                receiver: row.text(4)?.to_owned(),
                half: row.optional_text(5)?.map(str::to_owned),
                is_addressed: row.integer(6)? != 0,
                waits,
                reason: row.optional_text(9)?.map(str::to_owned),
            });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(transfers)
    }

    /// Whether entries of a site wait for their headers.
    ///
    /// # Errors
    /// Those of a read.
    pub fn waits(&mut self, site: SiteId) -> Result<bool, SqlError> {
        let sql = "SELECT 1 FROM waiting WHERE site = ?1 LIMIT 1";
        Ok(self.engine()?.query_integer(sql, &[i64::from(site.0).into()])?.is_some())
    }

    /// The site that writes central data, or is about to, or did until it hears otherwise; `None`: central.
    ///
    /// # Errors
    /// Those of a read.
    pub fn primary(&mut self) -> Result<Option<SiteId>, SqlError> {
        let site = self.engine()?.query_integer("SELECT site FROM authority WHERE phase <> 0", &[])?;
        Ok(site.map(|site| SiteId(u32::try_from(site).unwrap_or(0))))
    }

    /// Whether what a site has come to see is still on its way, a transaction among it.
    ///
    /// # Errors
    /// Those of a read.
    pub fn is_being_shown(&mut self, site: SiteId, transaction: &str) -> Result<bool, SqlError> {
        let gained = Scope::Gained(site).to_id();
        let found = self.engine()?.query_integer(
            "SELECT 1 FROM backfill WHERE site = ?1
             UNION SELECT 1 FROM lane JOIN scope ON scope.number = lane.scope JOIN record ON record.number = lane.record
                WHERE scope.id = ?2 AND record.table_name = 'transact' AND record.id = ?3",
            &[i64::from(site.0).into(), gained.as_bytes().into(), transaction.into()],
        )?;
        Ok(found.is_some())
    }

    /// Entries of a journal behind one.
    ///
    /// # Errors
    /// Those of a read.
    pub fn entries(&mut self, journal: i64, after: u64) -> Result<Vec<EntryRow>, SqlError> {
        let mut entries = Vec::new();
        self.engine()?.query(
            "SELECT sequence, hash, verdict, code FROM entry WHERE journal = ?1 AND sequence > ?2 ORDER BY sequence",
            &[journal.into(), Param::unsigned(after)?],
            &mut |row| {
                entries.push(EntryRow {
                    sequence: row.unsigned(0)?,
                    hash: Hash::try_from(row.blob(1)?).unwrap_or(Hash::NONE),
                    verdict: row.optional_integer(2)?,
                    code: row.optional_text(3)?.map(str::to_owned),
                });
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(entries)
    }

    /// Sequences of a journal that are refused.
    ///
    /// # Errors
    /// Those of a read.
    pub fn refused(&mut self, journal: i64) -> Result<Vec<u64>, SqlError> {
        let mut refused = Vec::new();
        let sql = "SELECT sequence FROM entry WHERE journal = ?1 AND verdict = 2 ORDER BY sequence";
        self.engine()?.query(sql, &[journal.into()], &mut |row| {
            refused.push(row.unsigned(0)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(refused)
    }

    /// Records that changed behind a position.
    ///
    /// # Errors
    /// Those of a read.
    pub fn records(&mut self, after: u64) -> Result<Vec<RecordRow>, SqlError> {
        let mut records = Vec::new();
        self.engine()?.query(
            "SELECT table_name, id, data, store, position FROM record WHERE position > ?1 ORDER BY position",
            &[Param::unsigned(after)?],
            &mut |row| {
                records.push(RecordRow {
                    table: row.text(0)?.to_owned(),
                    id: row.text(1)?.to_owned(),
                    data: row.optional_text(2)?.map(str::to_owned),
                    store: row.optional_text(3)?.map(str::to_owned),
                    position: row.unsigned(4)?,
                });
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(records)
    }

    /// Central's head as it is on the disk.
    ///
    /// # Errors
    /// Those of a read.
    pub fn position(&mut self) -> Result<u64, SqlError> {
        let mut position = 0;
        self.engine()?.query("SELECT value FROM counter WHERE name = 'position'", &[], &mut |row| {
            position = row.unsigned(0)?;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(position)
    }

    /// Records with entries that wait for a header: table and id.
    ///
    /// # Errors
    /// Those of a read.
    pub fn waiting(&mut self) -> Result<Vec<(String, String)>, SqlError> {
        let mut waiting = Vec::new();
        self.engine()?.query("SELECT DISTINCT table_name, record FROM waiting", &[], &mut |row| {
            waiting.push((row.text(0)?.to_owned(), row.text(1)?.to_owned()));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(waiting)
    }

    /// What waits and has nothing to wait for: table and id of each record, and the id of what its group waits for. A group waits for a
    /// record of its own as long as an earlier entry of it waits, and for a header as long as that is not here.
    ///
    /// # Errors
    /// Those of a read.
    pub fn waiting_in_vain(&mut self) -> Result<Vec<(String, String, String)>, SqlError> {
        let mut waiting = Vec::new();
        self.engine()?.query(
            "SELECT w.table_name, w.record, w.for_record FROM waiting AS w
             WHERE CASE WHEN EXISTS (
                    SELECT 1 FROM waiting AS own WHERE own.journal = w.journal AND own.group_first = w.group_first
                        AND own.table_name = w.for_table AND own.record = w.for_record)
                THEN NOT EXISTS (
                    SELECT 1 FROM waiting AS earlier WHERE earlier.site = w.site AND earlier.is_cancelled = 0
                        AND earlier.table_name = w.for_table AND earlier.record = w.for_record
                        AND (earlier.journal, earlier.group_first) < (w.journal, w.group_first))
                ELSE EXISTS (
                    SELECT 1 FROM record WHERE record.table_name = w.for_table AND record.id = w.for_record
                        AND record.data IS NOT NULL)
                END",
            &[],
            &mut |row| {
                waiting.push((row.text(0)?.to_owned(), row.text(1)?.to_owned(), row.text(2)?.to_owned()));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(waiting)
    }

    /// Sites that are stopped.
    ///
    /// # Errors
    /// Those of a read.
    pub fn stopped_sites(&mut self) -> Result<Vec<SiteId>, SqlError> {
        self.site_list("SELECT site FROM site_stop ORDER BY site")
    }

    /// The key that speaks for a site, if one does.
    ///
    /// # Errors
    /// Those of a read.
    pub fn bound_key(&mut self, site: SiteId) -> Result<Option<Vec<u8>>, SqlError> {
        let sql = "SELECT public_key FROM site WHERE id = ?1";
        let key =
            self.engine()?.query_one(sql, &[site.0.into()], |row| Ok(row.optional_blob(0)?.map(<[u8]>::to_vec)))?;
        Ok(key.flatten())
    }

    /// Sites for which a central that was set back still waits.
    ///
    /// # Errors
    /// Those of a read.
    pub fn unreported_sites(&mut self) -> Result<Vec<SiteId>, SqlError> {
        self.site_list("SELECT site FROM healing_site ORDER BY site")
    }

    fn site_list(&mut self, sql: &str) -> Result<Vec<SiteId>, SqlError> {
        let mut sites = Vec::new();
        self.engine()?.query(sql, &[], &mut |row| {
            sites.push(SiteId(u32::try_from(row.integer(0)?).unwrap_or(0)));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(sites)
    }

    fn engine(&mut self) -> Result<&mut SqliteEngine, SqlError> {
        match &mut self.engine {
            Some(engine) => Ok(engine),
            empty => {
                let engine = SqliteEngine::open_on(&self.disk.vfs_name(), STORE, &sqlite_options().read_only())?;
                Ok(empty.insert(engine))
            }
        }
    }
}
