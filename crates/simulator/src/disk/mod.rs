//! A disk in memory below the real SQLite: repeatable, and able to fail in every way that a disk does.
//!
//! ```text
//!   SqliteEngine ── SQLite ── vfs.rs ── state.rs ─┬─ content.rs   bytes, and what a power cut leaves of them
//!                                       (names,   └─ locks.rs     locks, shared memory
//!                                        faults)
//! ```
//!
//! What is assumed of the disk after a power cut: what was synced is there. Of the rest each sector holds one of the
//! versions written to it since, in no order among sectors; the length is one that the file had; a name that was made or
//! deleted and whose folder was not synced stands for what it stood for at some point since. What is done from outside
//! ([`Disk::flip`], [`Disk::truncate`], [`Disk::remove`], [`Disk::rename`], [`Disk::restore`]) is on disk at once.

mod content;
mod locks;
mod state;
mod vfs;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use state::State;
use vfs::Boot;

pub use vfs::seed_sqlite;

/// A disk. A clone is the same disk.
#[derive(Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    boot: Arc<Mutex<Arc<Boot>>>,
}

/// All that a disk holds, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskImage(pub BTreeMap<String, Vec<u8>>);

impl Disk {
    /// An empty disk of a machine that runs. `seed` is where its random bytes come from.
    pub fn new(seed: u64) -> Self {
        let state = Arc::new(Mutex::new(State::new(seed)));
        let boot = Boot::register(&state);
        Self { state, boot: Arc::new(Mutex::new(boot)) }
    }

    /// Under what name SQLite opens files on this disk, from this start of the machine to the next: ask again after
    /// [`Disk::restart`], [`Disk::kill`] and [`Disk::restore`].
    pub fn vfs_name(&self) -> String {
        self.boot.lock().unwrap_or_else(PoisonError::into_inner).name()
    }

    /// How many calls have changed or synced something.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// How many calls have read.
    pub fn reads(&self) -> u64 {
        self.state().reads
    }

    /// The power goes during the `nth` of the calls that change or sync something; 1 is the next. The call may have been
    /// carried out; it and all after it fail until [`Disk::restart`].
    pub fn crash_at(&self, nth: u64) {
        let mut state = self.state();
        state.faults.crash = Some(state.calls + nth);
    }

    /// The `nth` of the calls that change or sync something fails and does nothing; 1 is the next.
    pub fn fail_at(&self, nth: u64) {
        let mut state = self.state();
        state.faults.error = Some(state.calls + nth);
    }

    /// The `nth` read fails; 1 is the next.
    pub fn fail_read_at(&self, nth: u64) {
        let mut state = self.state();
        state.faults.read_error = Some(state.reads + nth);
    }

    /// Takes back the crash and the errors that have not happened yet.
    pub fn clear_faults(&self) {
        self.state().faults = state::Faults::default();
    }

    /// Syncs say that all is well and do nothing: a disk that no program can be safe on.
    pub fn set_lying_syncs(&self, are_lies: bool) {
        self.state().has_lying_syncs = are_lies;
    }

    /// What a sync that failed did not write is passed over by later syncs, as on Linux: only what is written again gets
    /// to the disk. Off at first.
    pub fn set_forgetful_syncs(&self, are_forgetful: bool) {
        self.state().has_forgetful_syncs = are_forgetful;
    }

    /// How much room is left; `None` for no end of it. Freed bytes add to it.
    pub fn set_free_bytes(&self, free_bytes: Option<u64>) {
        self.state().free_bytes = free_bytes;
    }

    /// How much room is left; `None` for no end of it.
    pub fn free_bytes(&self) -> Option<u64> {
        self.state().free_bytes
    }

    /// Sets what SQLite takes for the time, milliseconds since 1970.
    pub fn set_wall_ms(&self, wall_ms: u64) {
        self.state().wall_ms = wall_ms;
    }

    /// The power goes. Every call fails until [`Disk::restart`].
    pub fn crash(&self) {
        self.state().is_off = true;
    }

    /// Whether the power has gone.
    pub fn is_off(&self) -> bool {
        self.state().is_off
    }

    /// Cuts the power if it is on, and starts anew with a legal part of what was not synced; `choose` draws a number
    /// below its argument. Connections from before stay dead: their calls fail, and closing them changes nothing.
    pub fn restart(&self, choose: &mut dyn FnMut(u64) -> u64) {
        self.state().restart(choose);
        self.register();
    }

    /// The program is killed: what was written stays, synced or not; its connections are dead, their locks are gone. If
    /// the power had gone, this is a [`Disk::restart`] at which everything survives.
    pub fn kill(&self) {
        self.state().start_anew();
        self.register();
    }

    /// Changes one bit of a file. `false` if there is no such byte.
    pub fn flip(&self, file: &str, offset: u64, bit: u8) -> bool {
        self.state().named(file).is_some_and(|content| content.flip(offset, bit))
    }

    /// Cuts a file to `bytes`. `false` if it is not there or not longer.
    pub fn truncate(&self, file: &str, bytes: u64) -> bool {
        self.state().named(file).filter(|content| content.len() > bytes).is_some_and(|content| {
            content.set_len(bytes, true);
            content.settle();
            true
        })
    }

    /// Removes a file, if it is there. Connections that have it open keep it.
    pub fn remove(&self, file: &str) -> bool {
        self.state().remove(file)
    }

    /// Renames a file; one that has the new name goes. `false` if it is not there.
    pub fn rename(&self, from: &str, to: &str) -> bool {
        self.state().rename(from, to)
    }

    /// Names and lengths, in the order of names.
    pub fn files(&self) -> Vec<(String, u64)> {
        self.state().lengths()
    }

    /// Length of a file, bytes; `None` if it is not there.
    pub fn len(&self, file: &str) -> Option<u64> {
        self.state().named(file).map(|content| content.len())
    }

    /// What a file holds.
    pub fn read(&self, file: &str) -> Option<Vec<u8>> {
        self.state().named(file).map(|content| content.bytes().to_vec())
    }

    /// A copy of everything as a program sees it.
    pub fn snapshot(&self) -> DiskImage {
        DiskImage(self.state().image())
    }

    /// Replaces everything, as when a backup is put back on a machine that was off. Connections from before stay dead.
    pub fn restore(&self, image: DiskImage) {
        self.state().restore(image.0);
        self.register();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        vfs::lock(&self.state)
    }

    fn register(&self) {
        let boot = Boot::register(&self.state);
        let earlier = std::mem::replace(&mut *self.boot.lock().unwrap_or_else(PoisonError::into_inner), boot);
        drop(earlier);
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Disk").field("vfs_name", &self.vfs_name()).field("files", &self.files()).finish()
    }
}
