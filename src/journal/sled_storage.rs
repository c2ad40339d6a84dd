//! Segments as small sled folders, and the mark as a plain file. The one file that names sled.
//!
//! What sled 0.34 does not do is done here: `flush` is followed by an fdatasync on a handle of our own, since it is none on
//! Linux; folders are synced; stale snapshots are removed; an empty or missing file is an error and not an empty
//! map; every call may panic on a damaged file and is caught; the file is copied before it is opened, because opening rewrites
//! it. The data folder's lock is the caller's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::storage::{Fill, Key, Place, Segment, SmallFile, Storage, StorageError, Visit};

/// sled's own segment size. It may never change: sled refuses to open a folder made with another one.
const ENGINE_SEGMENT_BYTES: usize = 64 * 1024;
/// Most values in one leaf of sled before it splits.
const ENGINE_LEAF_VALUES_MAX: usize = 17;
/// Bytes that sled adds to each value and to each page, generously.
const ENGINE_VALUE_OVERHEAD_BYTES: usize = 32;
/// sled's cache for one open segment, in bytes. Two are open at most.
const ENGINE_CACHE_BYTES: u64 = 1024 * 1024;
/// Bytes read at once from a file that is searched.
const RAW_READ_BYTES: usize = 64 * 1024;
/// What is skipped where the disk does not give a block back, in bytes.
const BAD_BLOCK_BYTES: u64 = 4096;
/// How often a lock that sled's own threads have not let go of yet is tried again, and how long apart: 2 s in all.
const LOCK_ATTEMPTS_MAX: u32 = 2000;
const LOCK_RETRY: Duration = Duration::from_millis(1);

const _: () = assert!(
    (super::storage::VALUE_BYTES_MAX + ENGINE_VALUE_OVERHEAD_BYTES) * ENGINE_LEAF_VALUES_MAX + 256
        < ENGINE_SEGMENT_BYTES / 4,
    "a full leaf above a quarter of a segment becomes a file that sled never syncs"
);

const MARK_FILE: &str = "mark";
const DATA_FILE: &str = "db";
const SEGMENT_PREFIX: &str = "segment-";
const NEW_SUFFIX: &str = ".new";
const OLD_SUFFIX: &str = ".replaced";
const COPY_SUFFIX: &str = ".copy";
const COPYING_SUFFIX: &str = ".copying";

/// A journal's folder.
#[derive(Debug)]
pub struct SledStorage {
    root: PathBuf,
    /// Whether nothing is to be put in order, because whoever looks must not change anything.
    is_only_looking: bool,
}

impl SledStorage {
    /// Uses the folder `root`, which is made when the journal is. Beside it lie, when there are any, `root.new` while it is being
    /// replaced and the folders that were set aside, `root.<name>`.
    pub fn new(root: impl Into<PathBuf>) -> SledStorage {
        SledStorage { root: root.into(), is_only_looking: false }
    }

    /// The same for whoever only looks: listing the segments changes nothing, whatever a crash left half done.
    pub fn to_look_at(root: impl Into<PathBuf>) -> SledStorage {
        SledStorage { root: root.into(), is_only_looking: true }
    }

    fn place(&self, place: &Place) -> PathBuf {
        match place {
            // A crash between the two renames of a replacement.
            Place::Live if self.is_only_looking && !self.root.exists() => with_suffix(&self.root, NEW_SUFFIX),
            Place::Live => self.root.clone(),
            Place::Aside(name) => with_suffix(&self.root, &format!(".{name}")),
        }
    }

    fn segment(&self, number: u64) -> PathBuf {
        segment_in(&self.root, number)
    }

    /// Finishes or undoes what a crash left half done.
    fn tidy(&self) -> Result<(), StorageError> {
        let replacement = with_suffix(&self.root, NEW_SUFFIX);
        // An empty folder in its place was made by whoever opened the data folder since. One that holds anything is the old journal.
        let has_no_journal = || !self.root.exists() || fs::remove_dir(&self.root).is_ok();
        if replacement.join(MARK_FILE).exists() && has_no_journal() {
            rename(&replacement, &self.root)?;
        }
        remove_tree(&replacement)?;
        for (path, name) in entries(&self.root)? {
            if name.ends_with(NEW_SUFFIX) || name.ends_with(COPYING_SUFFIX) {
                remove_tree(&path)?;
            } else if let Some(original) = name.strip_suffix(OLD_SUFFIX) {
                let original = self.root.join(original);
                if original.exists() {
                    remove_tree(&path)?;
                } else {
                    rename(&path, &original)?;
                }
            }
        }
        Ok(())
    }
}

impl Storage for SledStorage {
    type Segment = SledSegment;
    type Mark = PlainFile;

    fn segments(&mut self, place: &Place) -> Result<Vec<u64>, StorageError> {
        if *place == Place::Live && !self.is_only_looking {
            self.tidy()?;
        }
        let mut numbers: Vec<u64> = entries(&self.place(place))?
            .iter()
            .filter_map(|(_, name)| {
                let name = name.strip_suffix(OLD_SUFFIX).filter(|_| self.is_only_looking).unwrap_or(name);
                name.strip_prefix(SEGMENT_PREFIX)?.parse().ok()
            })
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    fn write_segment(&mut self, number: u64, fill: &mut Fill<'_, SledSegment>) -> Result<SledSegment, StorageError> {
        let target = self.segment(number);
        let (new, old) = (with_suffix(&target, NEW_SUFFIX), with_suffix(&target, OLD_SUFFIX));
        remove_tree(&new)?;
        fs::create_dir_all(&new).map_err(|error| failed("make", &new, error))?;
        let mut segment = SledSegment::open(&new)?;
        fill(&mut segment)?;
        segment.sync()?;
        drop(segment);
        sync_tree(&new)?;
        let is_replaced = target.exists();
        if is_replaced {
            remove_tree(&old)?;
            rename(&target, &old)?;
        }
        rename(&new, &target)?;
        if is_replaced {
            remove_tree(&old)?;
        }
        SledSegment::open(&target)
    }

    fn open_segment(&mut self, number: u64) -> Result<SledSegment, StorageError> {
        let folder = self.segment(number);
        let data = folder.join(DATA_FILE);
        let length = match fs::metadata(&data) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(failed("look at", &data, error)),
        };
        if length == 0 {
            return Err(StorageError::Missing { what: data.display().to_string() });
        }
        for (path, name) in entries(&folder)? {
            // sled takes a half-written snapshot for the newest one and does not open.
            if name.starts_with("snap.") && name.ends_with(".generating") {
                fs::remove_file(&path).map_err(|error| failed("remove", &path, error))?;
            }
        }
        // A snapshot that opening writes must never be on the disk before the log that it sums up.
        open_to_sync(&data)?.sync_data().map_err(|error| failed("sync", &data, error))?;
        copy_before_opening(&folder, &data)?;
        SledSegment::open(&folder)
    }

    fn confirm_segment(&mut self, number: u64) -> Result<(), StorageError> {
        remove_tree(&with_suffix(&self.segment(number), COPY_SUFFIX))
    }

    fn remove_segment(&mut self, number: u64) -> Result<(), StorageError> {
        let folder = self.segment(number);
        let leaving = with_suffix(&folder, NEW_SUFFIX);
        remove_tree(&leaving)?;
        if folder.exists() {
            // Renamed first, so that a crash never leaves half a folder under a segment's name.
            rename(&folder, &leaving)?;
            remove_tree(&leaving)?;
        }
        self.confirm_segment(number)
    }

    fn read_raw(&mut self, place: &Place, number: u64, visit: &mut dyn FnMut(&[u8])) -> Result<(), StorageError> {
        let folder = segment_in(&self.place(place), number);
        read_raw_file(&folder.join(DATA_FILE), visit)?;
        read_raw_file(&with_suffix(&folder, COPY_SUFFIX), visit)?;
        if self.is_only_looking && !folder.exists() {
            read_raw_file(&with_suffix(&folder, OLD_SUFFIX).join(DATA_FILE), visit)?;
        }
        Ok(())
    }

    /// Of the data file alone, since it is asked at each sync; what lies beside it is a few kB.
    fn segment_bytes(&mut self, number: u64) -> Result<u64, StorageError> {
        let data = self.segment(number).join(DATA_FILE);
        match fs::metadata(&data) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(failed("look at", &data, error)),
        }
    }

    fn create_mark(&mut self, content: &[u8]) -> Result<PlainFile, StorageError> {
        fs::create_dir_all(&self.root).map_err(|error| failed("make", &self.root, error))?;
        write_mark(&self.root, content)?;
        sync_parent(&self.root)?;
        PlainFile::open(&self.root.join(MARK_FILE))
    }

    fn open_mark(&mut self) -> Result<Option<PlainFile>, StorageError> {
        let path = self.root.join(MARK_FILE);
        if !path.exists() {
            return Ok(None);
        }
        PlainFile::open(&path).map(Some)
    }

    fn read_mark(&mut self, place: &Place) -> Result<Option<Vec<u8>>, StorageError> {
        let path = self.place(place).join(MARK_FILE);
        match fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, error)),
        }
    }

    fn replace_all(&mut self, name: &str, mark: &[u8]) -> Result<(), StorageError> {
        let new = with_suffix(&self.root, NEW_SUFFIX);
        let aside = self.place(&Place::Aside(name.to_owned()));
        remove_tree(&new)?;
        fs::create_dir_all(&new).map_err(|error| failed("make", &new, error))?;
        write_mark(&new, mark)?;
        sync_parent(&new)?;
        if aside.exists() {
            let source = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(failed("set the journal aside as", &aside, source));
        }
        rename(&self.root, &aside)?;
        rename(&new, &self.root)
    }

    fn free_bytes(&mut self) -> Result<u64, StorageError> {
        let stat = rustix::fs::statvfs(&self.root)
            .map_err(|error| failed("ask for the free space of", &self.root, error.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// One sled folder.
#[derive(Debug)]
pub struct SledSegment {
    /// `None` only while it is being dropped.
    engine: Option<sled::Db>,
    /// Our own handle of the data file, to sync it.
    data: File,
    folder: PathBuf,
}

impl SledSegment {
    fn open(folder: &Path) -> Result<SledSegment, StorageError> {
        let data_path = folder.join(DATA_FILE);
        if data_path.exists() {
            wait_for_lock(&data_path)?;
        }
        let engine = guarded("open", folder, || {
            sled::Config::new()
                .path(folder)
                .cache_capacity(ENGINE_CACHE_BYTES)
                .segment_size(ENGINE_SEGMENT_BYTES)
                .flush_every_ms(None)
                .use_compression(false)
                .open()
        })?;
        let data = open_to_sync(&data_path)?;
        Ok(SledSegment { engine: Some(engine), data, folder: folder.to_owned() })
    }

    fn engine(&self) -> &sled::Db {
        self.engine.as_ref().expect("it is taken only in drop")
    }
}

impl Drop for SledSegment {
    fn drop(&mut self) {
        let engine = self.engine.take();
        // Closing flushes, and after an error flushing may panic; what matters was synced before.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(engine)));
    }
}

impl Segment for SledSegment {
    fn append(&mut self, batch: &[(Key, Vec<u8>)]) -> Result<(), StorageError> {
        if let [(key, value)] = batch {
            // One value is whole by itself, and costs one write less than a batch of one.
            return guarded("append to", &self.folder, || self.engine().insert(key.to_bytes(), value.as_slice()))
                .map(drop);
        }
        let mut engine_batch = sled::Batch::default();
        for (key, value) in batch {
            engine_batch.insert(&key.to_bytes(), value.as_slice());
        }
        guarded("append to", &self.folder, || self.engine().apply_batch(engine_batch))
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        guarded("flush", &self.folder, || self.engine().flush())?;
        self.data.sync_data().map_err(|error| failed("sync", &self.folder, error))
    }

    fn read(&mut self, from: Key, visit: &mut Visit<'_>) -> Result<(), StorageError> {
        let mut values = self.engine().range(from.to_bytes()..);
        loop {
            let next = guarded("read", &self.folder, || values.next().transpose())?;
            let Some((key, value)) = next else { return Ok(()) };
            let Some(key) = Key::from_bytes(&key) else {
                return Err(StorageError::Engine {
                    action: format!("read {}", self.folder.display()),
                    detail: format!("it holds a key of {} bytes", key.len()),
                });
            };
            if visit(key, &value).is_break() {
                return Ok(());
            }
        }
    }
}

/// A plain file, overwritten in place.
#[derive(Debug)]
pub struct PlainFile {
    file: File,
    path: PathBuf,
}

impl PlainFile {
    fn open(path: &Path) -> Result<PlainFile, StorageError> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| failed("open", path, error))?;
        Ok(PlainFile { file, path: path.to_owned() })
    }
}

impl SmallFile for PlainFile {
    fn read_all(&mut self) -> Result<Vec<u8>, StorageError> {
        let mut content = Vec::new();
        self.file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.read_to_end(&mut content))
            .map_err(|error| failed("read", &self.path, error))?;
        Ok(content)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        self.file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.file.write_all(bytes))
            .map_err(|error| failed("write", &self.path, error))
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.file.sync_data().map_err(|error| failed("sync", &self.path, error))
    }
}

/// Runs a call of sled and turns its errors and panics into ours.
fn guarded<T>(action: &str, folder: &Path, call: impl FnOnce() -> sled::Result<T>) -> Result<T, StorageError> {
    let action = format!("{action} {}", folder.display());
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(source)))
            if !matches!(source.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) =>
        {
            Err(StorageError::Io { action, source })
        }
        Ok(Err(error)) => Err(StorageError::Engine { action, detail: error.to_string() }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(StorageError::Engine { action, detail: format!("the engine panicked: {text}") })
        }
    }
}

/// sled's threads may hold the file for a moment after it was closed, and sled does not wait for its lock.
fn wait_for_lock(data: &Path) -> Result<(), StorageError> {
    let file = open_to_sync(data)?;
    for _ in 0..LOCK_ATTEMPTS_MAX {
        match file.try_lock() {
            Ok(()) => return file.unlock().map_err(|error| failed("unlock", data, error)),
            Err(fs::TryLockError::WouldBlock) => std::thread::park_timeout(LOCK_RETRY),
            Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(()),
            Err(fs::TryLockError::Error(error)) => return Err(failed("lock", data, error)),
        }
    }
    Err(failed("lock", data, io::Error::from(io::ErrorKind::ResourceBusy)))
}

/// Keeps what the data file held, because opening may rewrite it. The copy is not synced: it serves while this process checks the
/// segment, and one that a killed process left is older than what opening did since, so it stays. On a full
/// disk the segment is opened without a copy; the mark still tells what must be in it.
fn copy_before_opening(folder: &Path, data: &Path) -> Result<(), StorageError> {
    let (copy, copying) = (with_suffix(folder, COPY_SUFFIX), with_suffix(folder, COPYING_SUFFIX));
    if copy.exists() {
        return Ok(());
    }
    match fs::copy(data, &copying) {
        Ok(_) => fs::rename(&copying, &copy).map_err(|error| failed("rename", &copying, error)),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => remove_tree(&copying),
        Err(error) => Err(failed("copy", data, error)),
    }
}

fn read_raw_file(path: &Path, visit: &mut dyn FnMut(&[u8])) -> Result<(), StorageError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("open", path, error)),
    };
    let length = file.metadata().map_err(|error| failed("look at", path, error))?.len();
    let mut buffer = vec![0; RAW_READ_BYTES];
    let mut offset = 0;
    while offset < length {
        let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read(&mut buffer));
        match read {
            Ok(0) => break,
            Ok(count) => {
                visit(buffer.get(..count).unwrap_or_default());
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => offset = (offset / BAD_BLOCK_BYTES + 1) * BAD_BLOCK_BYTES,
        }
    }
    Ok(())
}

fn write_mark(folder: &Path, content: &[u8]) -> Result<(), StorageError> {
    let path = folder.join(MARK_FILE);
    let new = with_suffix(&path, NEW_SUFFIX);
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|error| failed("write", &new, error))?;
    rename(&new, &path)
}

fn segment_in(root: &Path, number: u64) -> PathBuf {
    root.join(format!("{SEGMENT_PREFIX}{number:020}"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn entries(folder: &Path) -> Result<Vec<(PathBuf, String)>, StorageError> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("list", folder, error)),
    };
    listing
        .map(|entry| entry.map(|entry| (entry.path(), entry.file_name().to_string_lossy().into_owned())))
        .collect::<io::Result<_>>()
        .map_err(|error| failed("list", folder, error))
}

/// Renames and makes the new name durable.
fn rename(from: &Path, to: &Path) -> Result<(), StorageError> {
    fs::rename(from, to).map_err(|error| failed("rename", from, error))?;
    sync_parent(to)
}

fn sync_parent(path: &Path) -> Result<(), StorageError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    sync_path(parent)
}

fn sync_path(path: &Path) -> Result<(), StorageError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| failed("sync", path, error))
}

/// Syncs a folder with everything in it.
fn sync_tree(folder: &Path) -> Result<(), StorageError> {
    for (path, _) in entries(folder)? {
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            sync_path(&path)?;
        }
    }
    sync_path(folder)
}

/// Removes a file or folder; what is not there is no error.
fn remove_tree(path: &Path) -> Result<(), StorageError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, error)),
        _ => Ok(()),
    }
}

fn open_to_sync(path: &Path) -> Result<File, StorageError> {
    OpenOptions::new().read(true).write(true).open(path).map_err(|error| failed("open", path, error))
}

fn failed(action: &str, path: &Path, source: io::Error) -> StorageError {
    StorageError::io(format!("{action} {}", path.display()), source)
}
