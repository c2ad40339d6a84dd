//! What one file holds, and what a power cut may leave of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What a disk writes whole, bytes.
pub(super) const SECTOR_BYTES: u64 = 512;

/// A sector's bytes.
type Sector = [u8; 512];

/// One sector in this many is torn inside when writes survive independently. Drives promise that it does not happen, so
/// it is rare; SQLite must bear it, since the sum of a log's frame covers each byte.
const TORN_ONE_IN: u64 = 64;

/// Draws a number below its argument.
pub(super) type Choose<'a> = dyn FnMut(u64) -> u64 + 'a;

/// A file's bytes, with what has yet to be synced.
#[derive(Debug, Default)]
pub(super) struct Content {
    bytes: Vec<u8>,
    /// Changes since the last sync, oldest first.
    changes: Vec<Change>,
    /// The number of the last change.
    point: u64,
    /// Changes up to this one were given up by a sync that failed: later syncs do not write them.
    given_up: u64,
}

/// One change, with what it replaced.
#[derive(Debug)]
struct Change {
    point: u64,
    is_cut: bool,
    length_before: u64,
    length_after: u64,
    sectors: Range<u64>,
    /// The bytes of `sectors`, as far as the file reached.
    before: Vec<u8>,
}

/// Which changes survive a power cut.
#[derive(Clone, Copy)]
enum Survival {
    /// Those up to a point, as on a disk that keeps the order.
    UpTo(u64),
    /// Each sector goes its own way.
    Independent,
}

impl Content {
    /// A file that is on disk as it is.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Writes, and keeps what was there unless the file is `fleeting`: gone after a power cut anyway.
    pub(super) fn write(&mut self, offset: u64, data: &[u8], is_fleeting: bool) {
        if data.is_empty() {
            return;
        }
        let end = offset + data.len() as u64;
        if !is_fleeting {
            // A gap that the write leaves behind it is zeros, whether or not the write survives.
            let sectors = offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES);
            self.note(false, sectors, end.max(self.len()));
        }
        let (start, end) = (index(offset), index(end));
        if end > self.bytes.len() {
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(data);
    }

    /// Sets the length: cuts, or appends zeros.
    pub(super) fn set_len(&mut self, length: u64, is_fleeting: bool) {
        if !is_fleeting && length != self.len() {
            let from = length.min(self.len()) / SECTOR_BYTES;
            let is_cut = length < self.len();
            let to = if is_cut { self.len().div_ceil(SECTOR_BYTES) } else { from };
            self.note(is_cut, from..to, length);
        }
        self.bytes.resize(index(length), 0);
    }

    /// Everything so far is on disk, but for what an earlier sync gave up and nobody wrote again.
    pub(super) fn sync(&mut self) {
        if self.changes.first().is_some_and(|change| change.point <= self.given_up) {
            self.keep_what_was_given_up();
        } else {
            self.changes.clear();
        }
    }

    /// A sync failed, and the system takes what it could not write for written, as Linux does: programs go on to see it,
    /// and later syncs pass over it.
    pub(super) fn give_up(&mut self) {
        self.given_up = self.point;
    }

    /// Everything is on disk as it is.
    pub(super) fn settle(&mut self) {
        self.changes.clear();
    }

    /// The power went: keeps a legal part of what was not synced.
    ///
    /// A sector holds one of the versions that were written to it since the sync. The length is one that the file had;
    /// a cut that survived took the older versions behind it along, and one that did not shields them.
    pub(super) fn cut_power(&mut self, choose: &mut Choose<'_>) {
        if self.changes.is_empty() {
            return;
        }
        let first = self.changes[0].point;
        let survival = match choose(4) {
            0 => Survival::UpTo(first - 1),
            1 => Survival::UpTo(self.point),
            2 => Survival::UpTo(first - 1 + choose(self.point - first + 2)),
            _ => Survival::Independent,
        };
        let length_point = match survival {
            Survival::UpTo(point) => point,
            Survival::Independent => first - 1 + choose(self.point - first + 2),
        };
        let length = self
            .changes
            .iter()
            .rev()
            .find(|change| change.point <= length_point)
            .map_or(self.changes[0].length_before, |change| change.length_after);
        let mut of_sector = BTreeMap::<u64, Vec<usize>>::new();
        for (number, change) in self.changes.iter().enumerate() {
            for sector in change.sectors.clone() {
                of_sector.entry(sector).or_default().push(number);
            }
        }
        let mut survived = Vec::with_capacity(of_sector.len());
        for (sector, numbers) in of_sector {
            if sector * SECTOR_BYTES < length {
                survived.push((sector, self.surviving(sector, &numbers, survival, length_point, choose)));
            }
        }
        self.bytes.resize(index(length), 0);
        for (sector, version) in survived {
            let start = index(sector * SECTOR_BYTES);
            let end = (start + version.len()).min(self.bytes.len());
            self.bytes[start..end].copy_from_slice(&version[..end - start]);
        }
        self.changes.clear();
    }

    /// Changes a bit behind the back of everybody. `false` if the file does not reach so far.
    pub(super) fn flip(&mut self, offset: u64, bit: u8) -> bool {
        let Some(byte) = usize::try_from(offset).ok().and_then(|offset| self.bytes.get_mut(offset)) else {
            return false;
        };
        *byte ^= 1 << (bit % 8);
        self.settle();
        true
    }

    fn note(&mut self, is_cut: bool, sectors: Range<u64>, length_after: u64) {
        let reached = self.bytes.len();
        let start = index(sectors.start * SECTOR_BYTES).min(reached);
        let end = index(sectors.end * SECTOR_BYTES).min(reached);
        self.point += 1;
        self.changes.push(Change {
            point: self.point,
            is_cut,
            length_before: reached as u64,
            length_after,
            sectors,
            before: self.bytes[start..end].to_vec(),
        });
    }

    /// Leaves, as changes of single sectors, what was given up and not written again. The length is the file system's
    /// own and was synced.
    fn keep_what_was_given_up(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        let rewritten: BTreeSet<u64> = changes
            .iter()
            .filter(|change| change.point > self.given_up)
            .flat_map(|change| change.sectors.clone())
            .collect();
        let length = self.len();
        for change in changes.iter().filter(|change| change.point <= self.given_up) {
            for (number, sector) in change.sectors.clone().enumerate() {
                if rewritten.contains(&sector) || sector * SECTOR_BYTES >= length {
                    continue;
                }
                let start = (number * size_of::<Sector>()).min(change.before.len());
                let end = (start + size_of::<Sector>()).min(change.before.len());
                self.changes.push(Change {
                    point: change.point,
                    is_cut: false,
                    length_before: length,
                    length_after: length,
                    sectors: sector..sector + 1,
                    before: change.before[start..end].to_vec(),
                });
            }
        }
    }

    /// What a sector holds after the power cut. `numbers` are the changes to it.
    fn surviving(
        &self,
        sector: u64,
        numbers: &[usize],
        survival: Survival,
        length_point: u64,
        choose: &mut Choose<'_>,
    ) -> Sector {
        let changes = || numbers.iter().map(|number| &self.changes[*number]);
        match survival {
            Survival::UpTo(point) => {
                self.version(sector, numbers, changes().take_while(|change| change.point <= point).count())
            }
            Survival::Independent => {
                let oldest =
                    changes().rposition(|change| change.is_cut && change.point <= length_point).map_or(0, |at| at + 1);
                let newest =
                    changes().position(|change| change.is_cut && change.point > length_point).unwrap_or(numbers.len());
                let chosen = oldest + index(choose((newest - oldest) as u64 + 1));
                let mut version = self.version(sector, numbers, chosen);
                if chosen < newest && choose(TORN_ONE_IN) == 0 {
                    let torn_at = index(choose(SECTOR_BYTES));
                    let next = self.version(sector, numbers, chosen + 1);
                    version[..torn_at].copy_from_slice(&next[..torn_at]);
                }
                version
            }
        }
    }

    /// A sector after the first `count` of the changes to it.
    fn version(&self, sector: u64, numbers: &[usize], count: usize) -> Sector {
        let (bytes, first) = match numbers.get(count) {
            Some(number) => (&self.changes[*number].before, self.changes[*number].sectors.start),
            None => (&self.bytes, 0),
        };
        let start = index((sector - first) * SECTOR_BYTES).min(bytes.len());
        let end = (start + size_of::<Sector>()).min(bytes.len());
        let mut version = [0; size_of::<Sector>()];
        version[..end - start].copy_from_slice(&bytes[start..end]);
        version
    }
}

/// A place in memory. SQLite's offsets are below 2^63, and what does not fit into memory was refused before.
pub(super) fn index(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a file in memory is no larger than memory")
}
