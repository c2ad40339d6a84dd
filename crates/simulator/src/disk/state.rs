//! The disk itself: folders and files, power, faults and room. No SQLite here.

use std::collections::BTreeMap;

use super::content::{Choose, Content};
use super::locks::{HandleId, Level, Locks, Shared};

/// A region of shared memory, which takes room on the disk as well.
pub(super) const REGION_BYTES: u64 = 32 * 1024;

pub(super) type FileId = u64;
type SharedId = u64;

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The power is off, the connection is of an earlier start, or the fault that was asked for.
    Failed,
    /// No room.
    Full,
    /// Another connection's lock.
    Busy,
    /// No such file.
    Missing,
    /// There is such a file already.
    Exists,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    pub(super) creates: bool,
    pub(super) must_be_new: bool,
    pub(super) is_deleted_on_close: bool,
    /// A journal or log whose name the first sync makes durable together with the whole folder.
    pub(super) syncs_folder: bool,
}

/// What an open file is to the disk.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) id: HandleId,
    file: FileId,
    /// `None` for a temporary file, which has no name.
    name: Option<String>,
    access: Access,
    start: u64,
    shared: Option<SharedId>,
}

#[derive(Debug, Default)]
struct File {
    content: Content,
    locks: Locks,
    shared: Option<SharedId>,
    open_count: u32,
    is_fleeting: bool,
}

/// Numbers of calls at which something goes wrong.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) crash: Option<u64>,
    pub(super) error: Option<u64>,
    pub(super) read_error: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    names: BTreeMap<String, FileId>,
    /// What each name stood for before each of its changes that are not synced.
    unsynced_names: BTreeMap<String, Vec<Option<FileId>>>,
    files: BTreeMap<FileId, File>,
    shared: BTreeMap<SharedId, Shared>,
    /// Counts files, handles and shared memory.
    last_id: u64,
    /// Connections of an earlier start are dead.
    pub(super) start: u64,
    pub(super) is_off: bool,
    pub(super) calls: u64,
    pub(super) reads: u64,
    pub(super) faults: Faults,
    /// Syncs answer well and do nothing.
    pub(super) has_lying_syncs: bool,
    /// What a failed sync did not write is passed over by later ones.
    pub(super) has_forgetful_syncs: bool,
    pub(super) free_bytes: Option<u64>,
    pub(super) wall_ms: u64,
    pub(super) random: u64,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: seed, ..Self::default() }
    }

    // ---- calls of SQLite on the disk ----

    pub(super) fn open(&mut self, start: u64, name: Option<&str>, access: Access) -> Result<Handle, Refusal> {
        self.refuse_unless_alive(start)?;
        let found = name.and_then(|name| self.names.get(name).copied());
        if found.is_some() && access.must_be_new {
            return Err(Refusal::Exists);
        }
        let file = match found {
            Some(file) => file,
            None if name.is_some() && !access.creates => return Err(Refusal::Missing),
            None => {
                let is_cut = if name.is_some() { self.count_change()? } else { false };
                let file = self.next_id();
                self.files.insert(file, File { is_fleeting: access.is_deleted_on_close, ..File::default() });
                if let Some(name) = name {
                    self.point_name(name, Some(file));
                }
                if is_cut {
                    return Err(Refusal::Failed);
                }
                file
            }
        };
        let id = self.next_id();
        self.file(file).open_count += 1;
        Ok(Handle { id, file, name: name.map(str::to_owned), access, start, shared: None })
    }

    /// Always works: the owner of a dead connection closes it too, which leaves the disk as it is.
    pub(super) fn close(&mut self, handle: &mut Handle) {
        self.detach_shared(handle);
        if handle.start != self.start {
            return;
        }
        let id = handle.id;
        let file = self.file(handle.file);
        file.locks.lower(id, Level::None);
        file.open_count -= 1;
        if handle.access.is_deleted_on_close
            && !self.is_off
            && let Some(name) = &handle.name
            && self.names.get(name) == Some(&handle.file)
        {
            self.names.remove(name);
            self.unsynced_names.remove(name);
        }
        self.forget_unused(handle.file);
    }

    /// Reads as much as there is; the caller fills up with zeros.
    pub(super) fn read(&mut self, handle: &Handle, offset: u64, into: &mut [u8]) -> Result<usize, Refusal> {
        self.refuse_unless_alive(handle.start)?;
        self.reads += 1;
        if self.faults.read_error == Some(self.reads) {
            return Err(Refusal::Failed);
        }
        let bytes = self.file(handle.file).content.bytes();
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    pub(super) fn write(&mut self, handle: &Handle, offset: u64, data: &[u8]) -> Result<(), Refusal> {
        self.refuse_unless_alive(handle.start)?;
        let is_cut = self.count_change()?;
        let free = self.free_bytes;
        let file = self.file(handle.file);
        let length = file.content.len();
        let growth = (offset + data.len() as u64).saturating_sub(length);
        if let Some(free) = free.filter(|free| growth > *free) {
            // As an operating system does: what fits is written before the call fails.
            let fits = (length + free).saturating_sub(offset).min(data.len() as u64);
            file.content.write(offset, &data[..super::content::index(fits)], file.is_fleeting);
            let grown = file.content.len() - length;
            self.free_bytes = Some(free - grown);
            return Err(Refusal::Full);
        }
        file.content.write(offset, data, file.is_fleeting);
        self.free_bytes = free.map(|free| free - growth);
        if is_cut { Err(Refusal::Failed) } else { Ok(()) }
    }

    pub(super) fn set_len(&mut self, handle: &Handle, length: u64) -> Result<(), Refusal> {
        self.refuse_unless_alive(handle.start)?;
        let is_cut = self.count_change()?;
        let file = self.file(handle.file);
        let before = file.content.len();
        file.content.set_len(length.min(before), file.is_fleeting);
        self.give_back(before.saturating_sub(length));
        if is_cut { Err(Refusal::Failed) } else { Ok(()) }
    }

    pub(super) fn sync(&mut self, handle: &mut Handle) -> Result<(), Refusal> {
        self.refuse_unless_alive(handle.start)?;
        match self.count_change() {
            Ok(false) => {}
            Ok(true) => return Err(Refusal::Failed),
            Err(refusal) => {
                if self.has_forgetful_syncs {
                    self.file(handle.file).content.give_up();
                }
                return Err(refusal);
            }
        }
        if self.has_lying_syncs {
            return Ok(());
        }
        self.file(handle.file).content.sync();
        if let Some(name) = &handle.name {
            if handle.access.syncs_folder {
                self.sync_folder(name);
            } else if self.names.get(name) == Some(&handle.file) {
                self.unsynced_names.remove(name);
            }
            handle.access.syncs_folder = false;
            self.forget_unreachable();
        }
        Ok(())
    }

    /// Length of the file whose name is that of the open one with `suffix` behind it; 0 if there is none.
    pub(super) fn beside(&self, handle: &Handle, suffix: &str) -> u64 {
        let name = handle.name.as_ref().and_then(|name| self.names.get(&format!("{name}{suffix}")));
        name.map_or(0, |file| self.files[file].content.len())
    }

    pub(super) fn len(&mut self, handle: &Handle) -> Result<u64, Refusal> {
        self.refuse_unless_alive(handle.start)?;
        Ok(self.file(handle.file).content.len())
    }

    pub(super) fn delete(&mut self, start: u64, name: &str, is_synced: bool) -> Result<(), Refusal> {
        self.refuse_unless_alive(start)?;
        let Some(file) = self.names.get(name).copied() else { return Err(Refusal::Missing) };
        let is_cut = self.count_change()?;
        self.point_name(name, None);
        if is_cut {
            return Err(Refusal::Failed);
        }
        if is_synced && !self.has_lying_syncs {
            self.sync_folder(name);
            self.forget_unreachable();
        }
        self.forget_unused(file);
        Ok(())
    }

    /// The length of the file of that name, if there is one.
    pub(super) fn look_up(&self, start: u64, name: &str) -> Result<Option<u64>, Refusal> {
        self.refuse_unless_alive(start)?;
        Ok(self.names.get(name).map(|file| self.files[file].content.len()))
    }

    pub(super) fn has_moved(&self, handle: &Handle) -> bool {
        handle.start != self.start
            || handle.name.as_ref().is_some_and(|name| self.names.get(name) != Some(&handle.file))
    }

    pub(super) fn raise_lock(&mut self, handle: &Handle, wanted: Level) -> Result<(), Refusal> {
        self.refuse_unless_alive(handle.start)?;
        if self.file(handle.file).locks.raise(handle.id, wanted) { Ok(()) } else { Err(Refusal::Busy) }
    }

    pub(super) fn lower_lock(&mut self, handle: &Handle, level: Level) -> Result<(), Refusal> {
        self.refuse_unless_alive(handle.start)?;
        self.file(handle.file).locks.lower(handle.id, level);
        Ok(())
    }

    pub(super) fn is_reserved(&mut self, handle: &Handle) -> Result<bool, Refusal> {
        self.refuse_unless_alive(handle.start)?;
        Ok(self.file(handle.file).locks.is_reserved())
    }

    /// The shared memory of the file, with at least `count` regions if it `extends`.
    pub(super) fn map_shared(
        &mut self,
        handle: &mut Handle,
        count: usize,
        extends: bool,
    ) -> Result<&mut Shared, Refusal> {
        self.refuse_unless_alive(handle.start)?;
        let id = match (handle.shared, self.file(handle.file).shared) {
            (Some(id), _) => id,
            (None, of_file) => {
                let id = of_file.unwrap_or_else(|| self.next_id());
                self.file(handle.file).shared = Some(id);
                self.shared.entry(id).or_default().attach(handle.id);
                handle.shared = Some(id);
                id
            }
        };
        let missing = count.saturating_sub(self.shared[&id].region_count());
        if extends && missing > 0 {
            let needed = missing as u64 * REGION_BYTES;
            match self.free_bytes {
                Some(free) if free < needed => return Err(Refusal::Full),
                Some(free) => self.free_bytes = Some(free - needed),
                None => {}
            }
        }
        let shared = self.shared.get_mut(&id).expect("an attached handle keeps its shared memory");
        if extends {
            shared.extend(count, super::content::index(REGION_BYTES));
        }
        Ok(shared)
    }

    pub(super) fn attached(&mut self, handle: &Handle) -> Result<&mut Shared, Refusal> {
        self.refuse_unless_alive(handle.start)?;
        handle.shared.and_then(|id| self.shared.get_mut(&id)).ok_or(Refusal::Failed)
    }

    pub(super) fn detach_shared(&mut self, handle: &mut Handle) {
        let Some(id) = handle.shared.take() else { return };
        let Some(shared) = self.shared.get_mut(&id) else { return };
        let regions = shared.region_count() as u64;
        if !shared.detach(handle.id) {
            return;
        }
        self.shared.remove(&id);
        if handle.start == self.start {
            self.file(handle.file).shared = None;
            self.give_back(regions * REGION_BYTES);
        }
    }

    /// The same bytes for the same seed and the same calls before (`SplitMix64`).
    pub(super) fn fill_random(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = self.random;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^= word >> 31;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }

    // ---- what happens to the disk ----

    /// After a power cut: keeps a legal part of what was not synced, and starts anew.
    pub(super) fn restart(&mut self, choose: &mut Choose<'_>) {
        for (name, versions) in std::mem::take(&mut self.unsynced_names) {
            let chosen = super::content::index(choose(versions.len() as u64 + 1));
            match versions.get(chosen) {
                Some(Some(file)) => self.names.insert(name, *file),
                Some(None) => self.names.remove(&name),
                None => continue,
            };
        }
        let named: Vec<FileId> = self.names.values().copied().collect();
        for (id, file) in &mut self.files {
            if named.contains(id) {
                let before = file.content.len();
                file.content.cut_power(choose);
                // What a cut would have freed may be back; a disk that was full stays full then.
                let (grown, shrunk) =
                    (file.content.len().saturating_sub(before), before.saturating_sub(file.content.len()));
                self.free_bytes = self.free_bytes.map(|free| (free + shrunk).saturating_sub(grown));
            }
        }
        self.start_anew();
    }

    /// Connections, locks and shared memory are gone; what was written stays, synced or not.
    pub(super) fn start_anew(&mut self) {
        self.start += 1;
        self.is_off = false;
        self.faults.crash = None;
        let mut regions = 0;
        for file in self.files.values_mut() {
            file.locks = Locks::default();
            file.open_count = 0;
            if let Some(shared) = file.shared.take().and_then(|id| self.shared.get(&id)) {
                regions += shared.region_count() as u64;
            }
        }
        self.give_back(regions * REGION_BYTES);
        self.forget_unreachable();
    }

    pub(super) fn named(&mut self, name: &str) -> Option<&mut Content> {
        let id = self.names.get(name)?;
        self.files.get_mut(id).map(|file| &mut file.content)
    }

    pub(super) fn remove(&mut self, name: &str) -> bool {
        self.unsynced_names.remove(name);
        let is_there = self.names.remove(name).is_some();
        self.forget_unreachable();
        is_there
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> bool {
        let Some(file) = self.names.remove(from) else { return false };
        self.unsynced_names.remove(from);
        self.unsynced_names.remove(to);
        self.names.insert(to.to_owned(), file);
        self.forget_unreachable();
        true
    }

    pub(super) fn lengths(&self) -> Vec<(String, u64)> {
        self.names.iter().map(|(name, file)| (name.clone(), self.files[file].content.len())).collect()
    }

    pub(super) fn image(&self) -> BTreeMap<String, Vec<u8>> {
        self.names.iter().map(|(name, file)| (name.clone(), self.files[file].content.bytes().to_vec())).collect()
    }

    /// Replaces everything by an image, which is on disk then.
    pub(super) fn restore(&mut self, image: BTreeMap<String, Vec<u8>>) {
        self.names.clear();
        self.unsynced_names.clear();
        self.start_anew();
        for (name, bytes) in image {
            let id = self.next_id();
            if let Some(free) = &mut self.free_bytes {
                *free = free.saturating_sub(bytes.len() as u64);
            }
            self.files.insert(id, File { content: Content::durable(bytes), ..File::default() });
            self.names.insert(name, id);
        }
    }

    // ---- details ----

    fn refuse_unless_alive(&self, start: u64) -> Result<(), Refusal> {
        if self.is_off || start != self.start { Err(Refusal::Failed) } else { Ok(()) }
    }

    /// Counts a call that changes or syncs something. `Ok(true)` if the power goes during it: it may have been carried
    /// out, and nobody hears so.
    fn count_change(&mut self) -> Result<bool, Refusal> {
        self.calls += 1;
        if self.faults.error == Some(self.calls) {
            return Err(Refusal::Failed);
        }
        self.is_off = self.faults.crash == Some(self.calls);
        Ok(self.is_off)
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn file(&mut self, id: FileId) -> &mut File {
        self.files.get_mut(&id).expect("a file stays while a live handle is open")
    }

    fn point_name(&mut self, name: &str, file: Option<FileId>) {
        let before = match file {
            Some(file) => self.names.insert(name.to_owned(), file),
            None => self.names.remove(name),
        };
        self.unsynced_names.entry(name.to_owned()).or_default().push(before);
    }

    fn sync_folder(&mut self, name: &str) {
        let folder = folder_of(name);
        self.unsynced_names.retain(|other, _| folder_of(other) != folder);
    }

    fn give_back(&mut self, bytes: u64) {
        self.free_bytes = self.free_bytes.map(|free| free + bytes);
    }

    fn forget_unused(&mut self, id: FileId) {
        let is_used = self.files.get(&id).is_none_or(|file| file.open_count > 0)
            || self.names.values().any(|file| *file == id)
            || self.unsynced_names.values().flatten().any(|file| *file == Some(id));
        if !is_used && let Some(file) = self.files.remove(&id) {
            self.give_back(file.content.len());
        }
    }

    fn forget_unreachable(&mut self) {
        let ids: Vec<FileId> = self.files.keys().copied().collect();
        for id in ids {
            self.forget_unused(id);
        }
    }
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}
