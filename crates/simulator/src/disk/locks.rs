//! Who may do what: the locks of a file, and the memory that the connections to a write-ahead log share.

use std::sync::atomic::AtomicU64;

/// Number of an open file.
pub(super) type HandleId = u64;

/// Slots of locks in shared memory, as SQLite counts them.
pub(super) const SLOTS: usize = 8;

/// How far a connection has locked a file, in SQLite's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    None,
    Shared,
    Reserved,
    Pending,
    Exclusive,
}

/// The locks on one file.
#[derive(Debug, Default)]
pub(super) struct Locks {
    held: Vec<(HandleId, Level)>,
}

impl Locks {
    /// Raises the lock of `handle`; `false` if another one is in the way.
    pub(super) fn raise(&mut self, handle: HandleId, wanted: Level) -> bool {
        let own = self.own(handle);
        if own >= wanted {
            return true;
        }
        let highest_other = self
            .held
            .iter()
            .filter(|(other, _)| *other != handle)
            .map(|(_, level)| *level)
            .max()
            .unwrap_or(Level::None);
        let (is_free, reached) = match wanted {
            Level::None => (true, own),
            Level::Shared => (highest_other < Level::Pending, wanted),
            Level::Reserved | Level::Pending => (highest_other < Level::Reserved, wanted),
            Level::Exclusive if highest_other == Level::Shared && own >= Level::Reserved => {
                // Nobody else may start to read, so that the writer's turn comes.
                self.set(handle, Level::Pending);
                (false, Level::Pending)
            }
            Level::Exclusive => (highest_other == Level::None, wanted),
        };
        if is_free {
            self.set(handle, reached);
        }
        is_free
    }

    /// Lowers the lock of `handle`.
    pub(super) fn lower(&mut self, handle: HandleId, level: Level) {
        if self.own(handle) > level {
            self.set(handle, level);
        }
    }

    /// Whether somebody is about to write.
    pub(super) fn is_reserved(&self) -> bool {
        self.held.iter().any(|(_, level)| *level >= Level::Reserved)
    }

    fn own(&self, handle: HandleId) -> Level {
        self.held.iter().find(|(other, _)| *other == handle).map_or(Level::None, |(_, level)| *level)
    }

    fn set(&mut self, handle: HandleId, level: Level) {
        self.held.retain(|(other, _)| *other != handle);
        if level > Level::None {
            self.held.push((handle, level));
        }
    }
}

/// Memory shared by the connections to one file, with its locks. SQLite reads and writes the regions through pointers;
/// here nobody looks into them.
#[derive(Debug, Default)]
pub(super) struct Shared {
    regions: Vec<Box<[AtomicU64]>>,
    attached: Vec<Attached>,
}

#[derive(Debug)]
struct Attached {
    handle: HandleId,
    /// A bit a slot.
    shared: u8,
    exclusive: u8,
}

impl Shared {
    pub(super) fn attach(&mut self, handle: HandleId) {
        self.attached.push(Attached { handle, shared: 0, exclusive: 0 });
    }

    /// Returns whether nobody is attached any more.
    pub(super) fn detach(&mut self, handle: HandleId) -> bool {
        self.attached.retain(|attached| attached.handle != handle);
        self.attached.is_empty()
    }

    pub(super) fn region_count(&self) -> usize {
        self.regions.len()
    }

    /// Makes zeroed regions until there are `count`.
    pub(super) fn extend(&mut self, count: usize, region_bytes: usize) {
        let words = region_bytes.div_ceil(size_of::<u64>());
        while self.regions.len() < count {
            self.regions.push((0..words).map(|_| AtomicU64::new(0)).collect());
        }
    }

    /// Stays where it is until the last connection has detached.
    pub(super) fn region(&self, number: usize) -> Option<*const AtomicU64> {
        self.regions.get(number).map(|region| region.as_ptr())
    }

    /// Takes all `slots`, or none.
    pub(super) fn lock(&mut self, handle: HandleId, slots: u8, is_exclusive: bool) -> bool {
        let in_the_way = self.attached.iter().any(|attached| {
            attached.handle != handle
                && (attached.exclusive & slots != 0 || (is_exclusive && attached.shared & slots != 0))
        });
        let Some(own) = self.attached.iter_mut().find(|attached| attached.handle == handle) else { return false };
        if in_the_way {
            return false;
        }
        if is_exclusive {
            own.exclusive |= slots;
        } else {
            own.shared |= slots;
        }
        true
    }

    pub(super) fn unlock(&mut self, handle: HandleId, slots: u8) {
        if let Some(own) = self.attached.iter_mut().find(|attached| attached.handle == handle) {
            own.shared &= !slots;
            own.exclusive &= !slots;
        }
    }
}
