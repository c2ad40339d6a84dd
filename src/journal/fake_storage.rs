//! A disk in memory that fails as sled and a power cut do, for tests and the simulator.
//!
//! It behaves as measured of sled: a batch is there whole or not at all; what was not synced may go at a crash, always from the
//! end, while its bytes may stay in the file; an append answers `Ok` after the disk is full and the next sync does not;
//! an error stays with the handle; a damaged segment does not open, or opens with nothing in it. Handles share the disk, so a
//! test keeps one, crashes it and opens the journal again. The same calls and the same seed give the same disk.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::mark::MARK_BYTES;
use super::storage::{Fill, Key, Place, Segment, SmallFile, Storage, StorageError, Visit};

/// Bytes that the disk is given to begin with.
const DISK_BYTES: u64 = 1 << 40;

/// The disk, and a [`Storage`] on it.
#[derive(Debug, Clone, Default)]
pub struct FakeStorage {
    disk: Arc<Mutex<Disk>>,
}

/// What happens to a segment's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentDamage {
    /// The engine answers with an error; the bytes are as they were.
    StopsOpening,
    /// The engine opens and has nothing; the bytes are as they were.
    OpensEmpty,
    /// The folder is gone.
    Gone,
    /// The engine has lost this value; its bytes are as they were.
    ValueLost(Key),
    /// A bit of this value is flipped, in the engine and in the bytes.
    ValueFlipped(Key),
    /// This value and all after it are gone, in the engine and in the bytes.
    TailLost(Key),
}

impl FakeStorage {
    /// An empty disk.
    pub fn new() -> FakeStorage {
        FakeStorage::default()
    }

    /// Another disk with the same content, as a backup or a clone has it.
    #[must_use]
    pub fn copy(&self) -> FakeStorage {
        FakeStorage { disk: Arc::new(Mutex::new(self.disk().clone())) }
    }

    /// Calls that changed or synced something since the disk was made.
    pub fn calls(&self) -> u64 {
        self.disk().calls
    }

    /// Cuts the power at the n-th such call from now, counted from 1: it and all after it fail until [`FakeStorage::restart`].
    pub fn crash_at(&self, call: u64) {
        let mut disk = self.disk();
        disk.crash_at = Some(disk.calls + call);
    }

    /// Makes the n-th such call from now, counted from 1, answer with an input/output error.
    pub fn fail_at(&self, call: u64) {
        let mut disk = self.disk();
        disk.fail_at = Some(disk.calls + call);
    }

    /// Takes back what [`FakeStorage::crash_at`] and [`FakeStorage::fail_at`] have in store.
    pub fn clear_faults(&self) {
        let mut disk = self.disk();
        disk.crash_at = None;
        disk.fail_at = None;
    }

    /// While it is held, calls are not counted and no fault strikes: for whoever only looks.
    pub fn hold_faults(&self, is_held: bool) {
        self.disk().is_held = is_held;
    }

    /// Cuts the power now: every call fails until [`FakeStorage::restart`].
    pub fn cut_power(&self) {
        let mut disk = self.disk();
        disk.is_off = true;
        disk.unfinished = None;
    }

    /// Whether the power is off.
    pub fn is_off(&self) -> bool {
        self.disk().is_off
    }

    /// Numbers of the segments of the journal in use.
    pub fn segment_numbers(&self) -> Vec<u64> {
        self.disk()
            .folders
            .get(&Place::Live)
            .map(|folder| folder.segments.keys().copied().collect())
            .unwrap_or_default()
    }

    /// Says how many bytes are free. At 0 the next sync answers that the disk is full.
    pub fn set_free_bytes(&self, bytes: u64) {
        self.disk().free_bytes = bytes;
    }

    /// Crashes and starts again: the seed decides how much of what was not synced is kept. Older handles stay dead.
    pub fn restart(&self, seed: u64) {
        let mut disk = self.disk();
        let mut random = Random(seed);
        disk.starts += 1;
        disk.is_off = false;
        disk.crash_at = None;
        disk.fail_at = None;
        for folder in disk.folders.values_mut() {
            folder.mark.crash(&mut random);
            for segment in folder.segments.values_mut() {
                segment.crash(&mut random);
            }
        }
    }

    /// Damages a segment of the journal in use; answers whether there was anything to damage.
    pub fn damage(&self, number: u64, damage: SegmentDamage) -> bool {
        let mut disk = self.disk();
        let Some(folder) = disk.folders.get_mut(&Place::Live) else { return false };
        if damage == SegmentDamage::Gone {
            return folder.segments.remove(&number).is_some();
        }
        folder.segments.get_mut(&number).is_some_and(|segment| segment.damage(damage))
    }

    /// Flips a bit of the mark; answers whether there is a byte there.
    pub fn flip_mark(&self, offset: usize) -> bool {
        let mut disk = self.disk();
        let Some(content) = disk.folders.get_mut(&Place::Live).and_then(|folder| folder.mark.content.as_mut()) else {
            return false;
        };
        content.get_mut(offset).is_some_and(|byte| {
            *byte ^= 1;
            true
        })
    }

    /// Deletes the mark.
    pub fn lose_mark(&self) {
        if let Some(folder) = self.disk().folders.get_mut(&Place::Live) {
            folder.mark = MarkFile::default();
        }
    }

    /// Keys of the values in a segment of the journal in use, without opening it.
    pub fn keys(&self, number: u64) -> Vec<Key> {
        let disk = self.disk();
        let segment = disk.folders.get(&Place::Live).and_then(|folder| folder.segments.get(&number));
        segment.map(|segment| segment.synced.keys().copied().collect()).unwrap_or_default()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, number: u64, place: Where) -> FakeSegment {
        FakeSegment { storage: self.clone(), starts: self.disk().starts, number, place, stuck: None }
    }
}

/// Everything that is on the disk.
#[derive(Debug, Clone)]
struct Disk {
    folders: BTreeMap<Place, Folder>,
    /// A segment that is being written and has not taken its place.
    unfinished: Option<SegmentData>,
    free_bytes: u64,
    calls: u64,
    crash_at: Option<u64>,
    fail_at: Option<u64>,
    is_off: bool,
    is_held: bool,
    /// How often it was started, so that handles from before a crash are known.
    starts: u64,
}

impl Default for Disk {
    fn default() -> Self {
        Disk {
            folders: BTreeMap::new(),
            unfinished: None,
            free_bytes: DISK_BYTES,
            calls: 0,
            crash_at: None,
            fail_at: None,
            is_off: false,
            is_held: false,
            starts: 0,
        }
    }
}

impl Disk {
    /// Counts a call that changes something and fails it if it is its turn.
    fn count(&mut self, action: &str) -> Result<(), StorageError> {
        self.check_power(action)?;
        if self.is_held {
            return Ok(());
        }
        self.calls += 1;
        if self.crash_at == Some(self.calls) {
            self.is_off = true;
            self.unfinished = None;
        }
        self.check_power(action)?;
        if self.fail_at == Some(self.calls) {
            return Err(StorageError::io(action, io::Error::other("injected error")));
        }
        Ok(())
    }

    fn check_power(&self, action: &str) -> Result<(), StorageError> {
        if self.is_off {
            return Err(StorageError::io(action, io::Error::other("the power is off")));
        }
        Ok(())
    }

    fn live(&mut self) -> &mut Folder {
        self.folders.entry(Place::Live).or_default()
    }

    fn segment(&mut self, place: Where, number: u64) -> Option<&mut SegmentData> {
        match place {
            Where::Unfinished => self.unfinished.as_mut(),
            Where::InPlace => self.live().segments.get_mut(&number),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Folder {
    segments: BTreeMap<u64, SegmentData>,
    mark: MarkFile,
}

#[derive(Debug, Clone, Default)]
struct SegmentData {
    synced: BTreeMap<Key, Vec<u8>>,
    /// Batches that were appended since the last sync.
    unsynced: Vec<Vec<(Key, Vec<u8>)>>,
    /// Values as they lie in the file, those of lost batches among them.
    raw: Vec<(Key, Vec<u8>)>,
    stops_opening: bool,
    opens_empty: bool,
}

impl SegmentData {
    fn crash(&mut self, random: &mut Random) {
        let count = self.unsynced.len() as u64;
        let kept = random.below(count + 1);
        for (index, batch) in (0..).zip(self.unsynced.drain(..)) {
            if index < kept {
                self.synced.extend(batch);
            } else if random.below(2) == 0 {
                // Otherwise the engine forgets the batch, but its bytes had been written and stay.
                self.raw.retain(|(key, _)| batch.iter().all(|(lost, _)| lost != key));
            }
        }
    }

    fn damage(&mut self, damage: SegmentDamage) -> bool {
        let flip = |value: &mut Vec<u8>| {
            let middle = value.len() / 2;
            if let Some(byte) = value.get_mut(middle) {
                *byte ^= 1;
            }
        };
        match damage {
            SegmentDamage::StopsOpening => self.stops_opening = true,
            SegmentDamage::OpensEmpty => self.opens_empty = true,
            SegmentDamage::Gone => return false,
            SegmentDamage::ValueLost(key) => return self.synced.remove(&key).is_some(),
            SegmentDamage::ValueFlipped(key) => {
                let Some(value) = self.synced.get_mut(&key) else { return false };
                flip(value);
                self.raw.iter_mut().filter(|(raw, _)| *raw == key).for_each(|(_, value)| flip(value));
            }
            SegmentDamage::TailLost(key) => {
                let lost = self.synced.split_off(&key);
                self.raw.retain(|(raw, _)| *raw < key);
                return !lost.is_empty();
            }
        }
        true
    }
}

#[derive(Debug, Clone, Default)]
struct MarkFile {
    content: Option<Vec<u8>>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl MarkFile {
    fn with_unsynced(&self) -> Option<Vec<u8>> {
        let mut content = self.content.clone()?;
        for (offset, bytes) in &self.unsynced {
            overwrite(&mut content, *offset, bytes);
        }
        Some(content)
    }

    fn crash(&mut self, random: &mut Random) {
        for (offset, bytes) in std::mem::take(&mut self.unsynced) {
            let kept = usize::try_from(random.below(bytes.len() as u64 + 1)).unwrap_or(0);
            if let Some(content) = &mut self.content {
                overwrite(content, offset, bytes.get(..kept).unwrap_or_default());
            }
        }
    }
}

fn overwrite(content: &mut [u8], offset: usize, bytes: &[u8]) {
    for (old, new) in content.iter_mut().skip(offset).zip(bytes) {
        *old = *new;
    }
}

impl Storage for FakeStorage {
    type Segment = FakeSegment;
    type Mark = FakeMark;

    fn segments(&mut self, place: &Place) -> Result<Vec<u64>, StorageError> {
        let disk = self.disk();
        disk.check_power("list the segments")?;
        Ok(disk.folders.get(place).map(|folder| folder.segments.keys().copied().collect()).unwrap_or_default())
    }

    fn write_segment(&mut self, number: u64, fill: &mut Fill<'_, FakeSegment>) -> Result<FakeSegment, StorageError> {
        {
            let mut disk = self.disk();
            disk.count("make a segment")?;
            disk.unfinished = Some(SegmentData::default());
        }
        let mut segment = self.handle(number, Where::Unfinished);
        fill(&mut segment)?;
        segment.sync()?;
        let mut disk = self.disk();
        disk.count("put a segment in its place")?;
        if let Some(data) = disk.unfinished.take() {
            disk.live().segments.insert(number, data);
        }
        drop(disk);
        Ok(self.handle(number, Where::InPlace))
    }

    fn open_segment(&mut self, number: u64) -> Result<FakeSegment, StorageError> {
        {
            let mut disk = self.disk();
            disk.count("open a segment")?;
            let segment = disk.segment(Where::InPlace, number);
            let segment = segment.ok_or_else(|| StorageError::Missing { what: format!("segment {number}") })?;
            if segment.stops_opening {
                return Err(StorageError::Engine {
                    action: format!("open segment {number}"),
                    detail: "injected damage".to_owned(),
                });
            }
        }
        Ok(self.handle(number, Where::InPlace))
    }

    fn confirm_segment(&mut self, _number: u64) -> Result<(), StorageError> {
        self.disk().check_power("confirm a segment")
    }

    fn remove_segment(&mut self, number: u64) -> Result<(), StorageError> {
        let mut disk = self.disk();
        disk.count("remove a segment")?;
        disk.live().segments.remove(&number);
        Ok(())
    }

    fn read_raw(&mut self, place: &Place, number: u64, visit: &mut dyn FnMut(&[u8])) -> Result<(), StorageError> {
        let disk = self.disk();
        disk.check_power("read a segment's bytes")?;
        let segment = disk.folders.get(place).and_then(|folder| folder.segments.get(&number));
        for (_, value) in segment.map(|segment| segment.raw.as_slice()).unwrap_or_default() {
            visit(b"bytes of the engine");
            let (start, rest) = value.split_at(value.len() / 3);
            visit(start);
            visit(rest);
        }
        Ok(())
    }

    fn segment_bytes(&mut self, number: u64) -> Result<u64, StorageError> {
        let mut disk = self.disk();
        disk.check_power("look at a segment")?;
        let raw = disk.segment(Where::InPlace, number).map(|segment| segment.raw.as_slice()).unwrap_or_default();
        Ok(raw.iter().map(|(_, value)| value.len() as u64).sum())
    }

    fn create_mark(&mut self, content: &[u8]) -> Result<FakeMark, StorageError> {
        let mut disk = self.disk();
        disk.count("make the mark")?;
        disk.live().mark.content = Some(content.to_vec());
        Ok(FakeMark { storage: self.clone(), starts: disk.starts, stuck: None })
    }

    fn open_mark(&mut self) -> Result<Option<FakeMark>, StorageError> {
        let mut disk = self.disk();
        disk.check_power("open the mark")?;
        let mark = FakeMark { storage: self.clone(), starts: disk.starts, stuck: None };
        Ok(disk.live().mark.content.is_some().then_some(mark))
    }

    fn read_mark(&mut self, place: &Place) -> Result<Option<Vec<u8>>, StorageError> {
        let disk = self.disk();
        disk.check_power("read the mark")?;
        Ok(disk.folders.get(place).and_then(|folder| folder.mark.with_unsynced()))
    }

    fn replace_all(&mut self, name: &str, mark: &[u8]) -> Result<(), StorageError> {
        let mut disk = self.disk();
        disk.count("set the journal aside")?;
        let aside = Place::Aside(name.to_owned());
        if disk.folders.contains_key(&aside) {
            return Err(StorageError::io("set the journal aside", io::ErrorKind::AlreadyExists.into()));
        }
        let old = disk.folders.remove(&Place::Live).unwrap_or_default();
        disk.folders.insert(aside, old);
        disk.live().mark.content = Some(mark.to_vec());
        Ok(())
    }

    fn free_bytes(&mut self) -> Result<u64, StorageError> {
        let disk = self.disk();
        disk.check_power("ask for the free space")?;
        Ok(disk.free_bytes)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    Unfinished,
    InPlace,
}

/// An open segment of the disk in memory.
#[derive(Debug)]
pub struct FakeSegment {
    storage: FakeStorage,
    starts: u64,
    number: u64,
    place: Where,
    /// The error that this handle met.
    stuck: Option<io::ErrorKind>,
}

impl Segment for FakeSegment {
    fn append(&mut self, batch: &[(Key, Vec<u8>)]) -> Result<(), StorageError> {
        let mut disk = self.storage.disk();
        check_start(&disk, self.starts)?;
        if self.stuck.is_some() {
            return Ok(());
        }
        if let Err(error) = disk.count("append to a segment") {
            self.stuck = Some(io::ErrorKind::Other);
            return Err(error);
        }
        if let Some(segment) = disk.segment(self.place, self.number) {
            segment.unsynced.push(batch.to_vec());
            segment.raw.extend(batch.iter().cloned());
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        let mut disk = self.storage.disk();
        check_start(&disk, self.starts)?;
        if let Some(kind) = self.stuck {
            return Err(StorageError::io("sync a segment", kind.into()));
        }
        if let Err(error) = disk.count("sync a segment") {
            self.stuck = Some(io::ErrorKind::Other);
            return Err(error);
        }
        let free_bytes = disk.free_bytes;
        let Some(segment) = disk.segment(self.place, self.number) else { return Ok(()) };
        let batches = std::mem::take(&mut segment.unsynced);
        let bytes: u64 = batches.iter().flatten().map(|(_, value)| value.len() as u64).sum();
        if bytes > free_bytes {
            segment.unsynced = batches;
            self.stuck = Some(io::ErrorKind::StorageFull);
            return Err(StorageError::io("sync a segment", io::ErrorKind::StorageFull.into()));
        }
        segment.synced.extend(batches.into_iter().flatten());
        disk.free_bytes -= bytes;
        Ok(())
    }

    fn read(&mut self, from: Key, visit: &mut Visit<'_>) -> Result<(), StorageError> {
        let mut disk = self.storage.disk();
        check_start(&disk, self.starts)?;
        disk.check_power("read a segment")?;
        let Some(segment) = disk.segment(self.place, self.number).filter(|segment| !segment.opens_empty) else {
            return Ok(());
        };
        let mut values = segment.synced.clone();
        values.extend(segment.unsynced.iter().flatten().cloned());
        // The visitor may use the journal's other parts, as it may with sled.
        drop(disk);
        for (key, value) in values.range((Bound::Included(from), Bound::Unbounded)) {
            if visit(*key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The open mark of the disk in memory.
#[derive(Debug)]
pub struct FakeMark {
    storage: FakeStorage,
    starts: u64,
    stuck: Option<io::ErrorKind>,
}

impl SmallFile for FakeMark {
    fn read_all(&mut self) -> Result<Vec<u8>, StorageError> {
        let mut disk = self.storage.disk();
        check_start(&disk, self.starts)?;
        disk.check_power("read the mark")?;
        Ok(disk.live().mark.with_unsynced().unwrap_or_default())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let mut disk = self.storage.disk();
        check_start(&disk, self.starts)?;
        disk.count("write the mark")?;
        let offset = usize::try_from(offset).unwrap_or(MARK_BYTES);
        disk.live().mark.unsynced.push((offset, bytes.to_vec()));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        let mut disk = self.storage.disk();
        check_start(&disk, self.starts)?;
        if let Some(kind) = self.stuck {
            return Err(StorageError::io("sync the mark", kind.into()));
        }
        if let Err(error) = disk.count("sync the mark") {
            self.stuck = Some(io::ErrorKind::Other);
            return Err(error);
        }
        let mark = &mut disk.live().mark;
        mark.content = mark.with_unsynced();
        mark.unsynced.clear();
        Ok(())
    }
}

fn check_start(disk: &Disk, starts: u64) -> Result<(), StorageError> {
    if disk.starts != starts {
        return Err(StorageError::io("use a handle", io::Error::other("the disk was started again since")));
    }
    Ok(())
}

/// `SplitMix64`: small, and the same for ever, so that a seed stays a schedule.
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// A number below `limit`, which is not 0.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}
