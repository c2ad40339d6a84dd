//! What a server and a verb without a server both stand on: the folder's settings and key, the writing thread, and connections
//! that read. The writing thread begins with the first write, so that looking at a stopped central changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use codec::Ed25519Signer;
use domain::catalogue::Catalogue;
use protocol::chain::hash_of;
use protocol::exchange::SiteKeys;
use protocol::ids::{Epoch, JournalId, SiteId};
use sql::{Sql, SqlErrorKind, SqliteEngine};

use crate::clock;
use crate::copy::{self, CopyMark};
use crate::enrolment::PasswordChecks;
use crate::entropy;
use crate::error::CentralError;
use crate::flights::Flights;
use crate::folder::{DataFolder, FolderPaths};
use crate::news::News;
use crate::settings::Settings;
use crate::store::{
    AuditEntry, Batch, ReadStore, Reading, StartEntropy, Store, StoreError, StoreLimits, sqlite_options,
};
use crate::writer::{WriteError, Writer};

/// Keys of sites that are remembered; at the limit all are read again. A key takes about 100 bytes.
pub const KEYS_CACHED_MAX: usize = 10_000;

/// Central, open.
pub struct Center {
    settings: Settings,
    catalogue: Arc<Catalogue>,
    signer: Ed25519Signer,
    copy: Option<CopyMark>,
    writer: Mutex<Option<Arc<Writer>>>,
    readers: Mutex<Readers>,
    reader_returned: Condvar,
    keys: Mutex<Keys>,
    checks: PasswordChecks,
    flights: Arc<Flights>,
    news: Arc<News>,
    /// Sites of which entries may lack a verdict.
    to_judge: Mutex<BTreeSet<SiteId>>,
    /// `None` for a store in memory. Last, so that the lock goes after everything that writes.
    folder: Option<DataFolder>,
}

#[derive(Default)]
struct Readers {
    idle: Vec<ReadStore>,
    open: usize,
}

/// What the secret of tokens is derived from beside central's key, so that it is of use for nothing else.
const TOKEN_SECRET_TEXT: &[u8] = b"outpost token secret 0";

/// Keys by site. The number rises with each enrolment, so that a key that was read before one is not kept after it.
#[derive(Default)]
struct Keys {
    known: BTreeMap<SiteId, SiteKeys>,
    enrolments: u64,
}

impl Center {
    /// Makes a data folder with its store.
    ///
    /// # Errors
    /// Those of [`DataFolder::initialise`] and of the store; `key_missing` if the folder has a store with sites but no key.
    pub fn initialise(paths: &FolderPaths) -> Result<Self, CentralError> {
        let (folder, signer) = DataFolder::initialise(paths, |folder| {
            let settings = folder.settings()?;
            let catalogue = Arc::new(settings.catalogue()?);
            // Nobody is given a token here.
            let mut store = open_store(Box::new(open_sqlite(folder)?), &settings, &catalogue, [0; 32])?;
            if !store.reading().sites()?.is_empty() {
                let message = "the folder has a store with sites, but central's key is gone";
                let advice = "Put the key back with `key import`: the sites trust no other. If every copy of it is lost, `key new` \
                              makes another, which each site has to `re-pin`.";
                return Err(CentralError::refused("key_missing", message, advice));
            }
            Ok(())
        })?;
        let settings = folder.settings()?;
        Self::new(Some(folder), signer, settings, None)
    }

    /// Opens a folder, alone.
    ///
    /// # Errors
    /// Those of the folder, its settings and its key.
    pub fn open(paths: FolderPaths) -> Result<Self, CentralError> {
        Self::open_folder(paths, false)
    }

    /// The same for a folder that is a copy of another central's: it gets a key of its own if it has none yet, durable when this
    /// returns.
    ///
    /// # Errors
    /// As [`Center::open`].
    pub fn open_as_copy(paths: FolderPaths) -> Result<Self, CentralError> {
        Self::open_folder(paths, true)
    }

    /// Forgets the tokens of all sites in a folder whose key is about to be another one: those that were made with the old one prove
    /// nothing to it. The audit log says that the key changes.
    ///
    /// # Errors
    /// Those of the settings and of the store.
    pub fn forget_tokens(folder: &DataFolder, change: &AuditEntry) -> Result<(), CentralError> {
        let change = change.clone();
        Self::write_before_key(folder, move |batch| {
            batch.forget_all_tokens()?;
            batch.add_audit(&change)
        })
    }

    /// Says in the audit log that the key of a folder changes; a folder without a store has none.
    ///
    /// # Errors
    /// As [`Center::forget_tokens`].
    pub fn note_key_change(folder: &DataFolder, change: &AuditEntry) -> Result<(), CentralError> {
        if !folder.paths().store().exists() {
            return Ok(());
        }
        let change = change.clone();
        Self::write_before_key(folder, move |batch| batch.add_audit(&change))
    }

    fn write_before_key(
        folder: &DataFolder,
        work: impl FnOnce(&mut Batch<'_>) -> Result<(), StoreError>,
    ) -> Result<(), CentralError> {
        let settings = folder.settings()?;
        let catalogue = Arc::new(settings.catalogue()?);
        // None is given here.
        let mut store = open_store(Box::new(open_sqlite(folder)?), &settings, &catalogue, [0; 32])?;
        Ok(store.batch(clock::wall_ms(), work)??)
    }

    fn open_folder(paths: FolderPaths, is_copy_wanted: bool) -> Result<Self, CentralError> {
        let folder = DataFolder::open(paths)?;
        let settings = folder.settings()?;
        let (copy, signer) = copy::settle(&folder, is_copy_wanted, clock::wall_ms())?;
        Self::new(Some(folder), signer, settings, copy)
    }

    /// A central whose store is in memory and gone with it. Reads go through the writing thread.
    ///
    /// # Errors
    /// Those of the settings.
    pub fn in_memory(settings: Settings, signer: Ed25519Signer) -> Result<Self, CentralError> {
        Self::new(None, signer, settings, None)
    }

    fn new(
        folder: Option<DataFolder>,
        signer: Ed25519Signer,
        settings: Settings,
        copy: Option<CopyMark>,
    ) -> Result<Self, CentralError> {
        Ok(Self {
            copy,
            catalogue: Arc::new(settings.catalogue()?),
            flights: Arc::new(Flights::new(settings.timeouts.supersede_idle_ms)),
            news: Arc::new(News::new(settings.limits.held_max())),
            settings,
            signer,
            writer: Mutex::new(None),
            readers: Mutex::default(),
            reader_returned: Condvar::new(),
            keys: Mutex::default(),
            checks: PasswordChecks::default(),
            to_judge: Mutex::default(),
            folder,
        })
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The tables.
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// Central's key.
    pub fn signer(&self) -> &Ed25519Signer {
        &self.signer
    }

    /// The exchanges in hand, one of each site.
    pub(crate) fn flights(&self) -> &Arc<Flights> {
        &self.flights
    }

    /// The questions for news that are held, one of each site.
    pub(crate) fn news(&self) -> &Arc<News> {
        &self.news
    }

    /// What this central is a copy of; `None` for an original.
    pub fn copy(&self) -> Option<&CopyMark> {
        self.copy.as_ref()
    }

    /// Where things lie; `None` in memory.
    pub fn paths(&self) -> Option<&FolderPaths> {
        self.folder.as_ref().map(DataFolder::paths)
    }

    /// The writing thread; the first call starts it, and with it a new epoch.
    ///
    /// # Errors
    /// Those of opening the store.
    pub fn writer(&self) -> Result<Arc<Writer>, CentralError> {
        let mut writer = lock(&self.writer);
        if let Some(writer) = &*writer {
            return Ok(Arc::clone(writer));
        }
        let engine: Box<dyn Sql> = match &self.folder {
            Some(folder) => Box::new(open_sqlite(folder)?),
            None => Box::new(SqliteEngine::in_memory()?),
        };
        let secret = hash_of(&[TOKEN_SECRET_TEXT, &self.signer.seed()[..]].concat()).0;
        let store = open_store(engine, &self.settings, &self.catalogue, secret)?;
        let started = Arc::new(Writer::start(store, Arc::clone(&self.news))?);
        *writer = Some(Arc::clone(&started));
        Ok(started)
    }

    /// Work of a thread that may wait, in the next commit.
    ///
    /// # Errors
    /// As [`Writer::run_blocking`], and those of opening the store.
    pub fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, WriteError> {
        self.writer().map_err(as_store_error)?.run_blocking(work)
    }

    /// Checks of people's passwords and of the authorisation code.
    pub(crate) fn checks(&self) -> &PasswordChecks {
        &self.checks
    }

    /// Remembers that entries of a site may lack a verdict.
    pub fn judge_later(&self, site: SiteId) {
        lock(&self.to_judge).insert(site);
    }

    /// Takes a site of [`Center::judge_later`].
    pub fn next_to_judge(&self) -> Option<SiteId> {
        lock(&self.to_judge).pop_first()
    }

    /// Reads, on a connection of its own where the store is on disk. Waits while all connections are in use.
    ///
    /// # Errors
    /// What `work` and opening a connection end with.
    pub fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Reading<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, WriteError> {
        let Some(folder) = &self.folder else {
            let writer = self.writer().map_err(as_store_error)?;
            return writer.run_alone(move |store| work(&mut store.reading()));
        };
        let mut borrowed = Borrowed { center: self, store: self.idle_reader() };
        let store = match &mut borrowed.store {
            Some(store) => store,
            empty => empty.insert(self.open_reader(folder)?),
        };
        let result = work(&mut store.reading());
        if matches!(result, Err(StoreError::Sql(_) | StoreError::Damaged(_))) {
            // What state the connection is in is not known: the next one is new.
            borrowed.store = None;
        }
        Ok(result?)
    }

    /// The keys of a site; none if there is no such site or no device ever was enrolled.
    ///
    /// # Errors
    /// Those of reading.
    pub fn keys_of(&self, site: SiteId) -> Result<SiteKeys, WriteError> {
        let enrolments = {
            let keys = lock(&self.keys);
            if let Some(keys) = keys.known.get(&site) {
                return Ok(keys.clone());
            }
            keys.enrolments
        };
        let found = self.read(move |reading| reading.site_keys(site))?;
        let mut keys = lock(&self.keys);
        if found.current.is_some() && keys.enrolments == enrolments {
            if keys.known.len() >= KEYS_CACHED_MAX {
                keys.known.clear();
            }
            keys.known.insert(site, found.clone());
        }
        Ok(found)
    }

    /// Forgets a key that an enrolment has replaced; called after its commit and before its answer.
    pub fn key_changed(&self, site: SiteId) {
        let mut keys = lock(&self.keys);
        keys.known.remove(&site);
        keys.enrolments += 1;
    }

    /// A connection that nobody uses, or leave to open one.
    fn idle_reader(&self) -> Option<ReadStore> {
        let mut readers = lock(&self.readers);
        loop {
            if let Some(store) = readers.idle.pop() {
                return Some(store);
            }
            if readers.open < self.settings.limits.readers_max {
                readers.open += 1;
                return None;
            }
            readers = self.reader_returned.wait(readers).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn open_reader(&self, folder: &DataFolder) -> Result<ReadStore, WriteError> {
        let open = || -> Result<ReadStore, StoreError> {
            let engine = SqliteEngine::open(folder.paths().store(), &sqlite_options().read_only())?;
            ReadStore::open(Box::new(engine), Arc::clone(&self.catalogue))
        };
        match open() {
            // The first start of a newer program: the connection that writes brings the schema up to date.
            Err(StoreError::Sql(error)) if error.kind == SqlErrorKind::Other => {
                self.writer().map_err(as_store_error)?;
                Ok(open()?)
            }
            other => Ok(other?),
        }
    }
}

/// A connection in use; goes back to the idle ones.
struct Borrowed<'a> {
    center: &'a Center,
    store: Option<ReadStore>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let mut readers = lock(&self.center.readers);
        match self.store.take() {
            Some(store) if !std::thread::panicking() => readers.idle.push(store),
            _ => readers.open -= 1,
        }
        self.center.reader_returned.notify_one();
    }
}

fn open_sqlite(folder: &DataFolder) -> Result<SqliteEngine, CentralError> {
    Ok(SqliteEngine::open(folder.paths().store(), &sqlite_options())?)
}

fn open_store(
    engine: Box<dyn Sql>,
    settings: &Settings,
    catalogue: &Arc<Catalogue>,
    token_secret: [u8; 32],
) -> Result<Store, CentralError> {
    let limits = StoreLimits {
        audit_rows_max: u64::from(settings.log.audit_rows_max),
        set_aside_bytes_max: settings.log.set_aside_bytes_max,
        ..StoreLimits::default()
    };
    let chance = StartEntropy { epoch: Epoch(entropy::number()), journal: JournalId(entropy::bytes()), token_secret };
    Ok(Store::open(engine, Arc::clone(catalogue), limits, chance, clock::wall_ms())?)
}

/// An error of starting the writing thread where only the store's are expected.
fn as_store_error(error: CentralError) -> WriteError {
    WriteError::Store(StoreError::Sql(sql::SqlError::new(SqlErrorKind::Other, error.message)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each of them is whole at every moment that a panic can come.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
