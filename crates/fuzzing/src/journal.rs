//! The journal on a disk whose values were altered: pieces, headers and the slots of the mark as the bytes say, with and without
//! checksums that fit.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use outpost::journal::fake_storage::FakeStorage;
use outpost::journal::storage::{Key, Place, Segment as _, Storage as _};
use outpost::journal::{Draft, Identity, Journal, JournalError, JournalLimits, Note, Salvaged, StorageError, Stored};
use protocol::chain;
use protocol::ids::{JournalId, RequestId, Sequence, SiteId};

use crate::program::Program;

/// Bytes of a slot of the mark, its checksum last (`docs/journal-format.md`).
const SLOT_BYTES: usize = 256;
/// Where the second slot begins.
const SLOT_DISTANCE_BYTES: usize = 4096;

type Values = BTreeMap<Key, Vec<u8>>;

/// What stands on the disk.
#[derive(Clone, PartialEq)]
struct Disk {
    segments: BTreeMap<u64, Values>,
    mark: Option<Vec<u8>>,
}

/// Opens, reads, and salvages where that fails: without a forged checksum, nothing wrong is ever handed out.
pub(crate) fn journal(bytes: &[u8]) {
    let mut program = Program::new(bytes);
    let entries = entries(&mut program);
    let mut disk = written(&entries);
    let whole = disk.clone();
    let is_forged = alter(&mut disk, &mut program);
    // The newer slot alone knows of the last sync: with it and the tail lost at once, a shorter journal is what there is.
    let is_promise_kept = disk.mark == whole.mark;
    let storage = match put_back(&disk) {
        Ok(storage) => storage,
        Err(error) => panic!("the disk in memory takes any bytes: {error}"),
    };
    let read = match Journal::open(storage.clone()) {
        Ok((mut journal, _)) => {
            let read = read_all(&mut journal);
            if let Ok(found) = &read {
                check_chain(found);
                if !is_forged {
                    assert_given(found, &entries);
                    let is_all = found.len() == entries.len();
                    assert!(is_all || !is_promise_kept, "{} of {} entries", found.len(), entries.len());
                }
            }
            read.map(drop)
        }
        Err(error) => Err(error),
    };
    let Err(error) = read else { return };
    assert!(disk != whole, "nothing was altered: {error}");
    assert!(!error.to_string().is_empty());
    if matches!(error, JournalError::Missing | JournalError::Version { .. }) {
        return;
    }
    salvage(storage, &entries, is_forged);
}

/// Groups as a little program describes them.
fn entries(program: &mut Program<'_>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for number in 0..program.below(6) as u64 {
        let size = usize::from(program.byte());
        let flags = program.byte();
        let entry = vec![flags; if size > 250 { 2000 } else { size }];
        let note = Note {
            request_id: (flags & 2 != 0).then_some(RequestId([flags; 16])),
            recorded_at_ms: number,
            completes: (flags & 4 != 0).then_some(Sequence(number)),
        };
        drafts.push(Draft { entry, is_group_end: flags & 1 != 0, note });
    }
    if let Some(last) = drafts.last_mut() {
        last.is_group_end = true;
    }
    drafts
}

/// A journal of several segments with these entries, as it lies on the disk.
fn written(entries: &[Draft]) -> Disk {
    let mut storage = FakeStorage::new();
    let identity = Identity { site: SiteId(7), journal: JournalId([9; 16]), predecessor: None };
    let made = Journal::create(storage.clone(), identity).and_then(|mut journal| {
        journal.set_limits(JournalLimits { segment_entries_max: 2, ..JournalLimits::default() });
        for group in entries.split_inclusive(|draft| draft.is_group_end) {
            journal.append(group)?;
            journal.sync()?;
        }
        Ok(())
    });
    made.unwrap_or_else(|error| panic!("the disk is in order: {error}"));
    let mut disk = Disk { segments: BTreeMap::new(), mark: None };
    let read = storage.read_mark(&Place::Live).and_then(|mark| {
        disk.mark = mark;
        for number in storage.segments(&Place::Live)? {
            let values = disk.segments.entry(number).or_default();
            storage.open_segment(number)?.read(Key::HEADER, &mut |key, value| {
                values.insert(key, value.to_vec());
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    });
    read.unwrap_or_else(|error| panic!("the disk is in order: {error}"));
    disk
}

/// Alters what is there; answers whether a checksum was made to fit.
fn alter(disk: &mut Disk, program: &mut Program<'_>) -> bool {
    let mut is_forged = false;
    for _ in 0..program.below(8) {
        match program.byte() % 9 {
            0 | 1 => {
                let is_fitted = program.flag();
                if let Some(value) = pick(disk, program).and_then(|(values, key)| values.get_mut(&key)) {
                    overwrite(value, program, is_fitted);
                    is_forged |= is_fitted;
                }
            }
            2 => {
                if let Some((values, key)) = pick(disk, program) {
                    values.remove(&key);
                }
            }
            3 => {
                // A value that is right, in another place.
                let to = Key { sequence: program.number(), piece: program.short() % 3 };
                if let Some((values, key)) = pick(disk, program) {
                    let value = values.get(&key).cloned().unwrap_or_default();
                    values.insert(to, value);
                }
            }
            4 => {
                let key = Key { sequence: program.number(), piece: u16::from(program.byte()) };
                let value = program.some().to_vec();
                if let Some((values, _)) = pick(disk, program) {
                    values.insert(key, value);
                }
            }
            5 => {
                if let Some((values, key)) = pick(disk, program)
                    && let Some(value) = values.get_mut(&key)
                {
                    value.truncate(usize::from(program.short()));
                }
            }
            6 => {
                let number = disk.segments.keys().nth(program.below(disk.segments.len())).copied();
                if let Some(values) = number.and_then(|number| disk.segments.remove(&number))
                    && program.flag()
                {
                    disk.segments.insert(program.number(), values);
                    // A segment under another number may name other entries than were ever there.
                    is_forged = true;
                }
            }
            7 => {
                let is_fitted = program.flag();
                let slot = program.below(2) * SLOT_DISTANCE_BYTES;
                let slot = disk.mark.as_mut().and_then(|mark| mark.get_mut(slot..slot + SLOT_BYTES));
                if let Some(slot) = slot {
                    overwrite(slot, program, is_fitted);
                    is_forged |= is_fitted;
                }
            }
            _ => {
                let length = usize::from(program.short());
                match &mut disk.mark {
                    Some(mark) if length > 0 => mark.truncate(length),
                    mark => *mark = None,
                }
            }
        }
    }
    is_forged
}

/// A value of the little program's choice.
fn pick<'a>(disk: &'a mut Disk, program: &mut Program<'_>) -> Option<(&'a mut Values, Key)> {
    let segment = program.below(disk.segments.len());
    let values = disk.segments.values_mut().nth(segment)?;
    let key = *values.keys().nth(program.below(values.len()))?;
    Some((values, key))
}

/// Writes some bytes over others; the checksum at the end is made to fit on demand.
fn overwrite(value: &mut [u8], program: &mut Program<'_>, is_fitted: bool) {
    let start = usize::from(program.short()) % value.len().max(1);
    for (place, byte) in value.iter_mut().skip(start).zip(program.some()) {
        *place = *byte;
    }
    if let (true, Some((checked, checksum))) = (is_fitted, value.split_last_chunk_mut::<4>()) {
        *checksum = crc32fast::hash(checked).to_le_bytes();
    }
}

fn put_back(disk: &Disk) -> Result<FakeStorage, StorageError> {
    let mut storage = FakeStorage::new();
    for (number, values) in &disk.segments {
        let batch: Vec<_> = values.iter().map(|(key, value)| (*key, value.clone())).collect();
        storage.write_segment(*number, &mut |segment| segment.append(&batch))?;
    }
    if let Some(mark) = &disk.mark {
        storage.create_mark(mark)?;
    }
    Ok(storage)
}

fn read_all(journal: &mut Journal<FakeStorage>) -> Result<Vec<Stored>, JournalError> {
    let mut found = Vec::new();
    let floor = journal.floor();
    journal.read(floor, &mut |stored| {
        found.push(stored);
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Invariant 2: without gaps, and chained.
fn check_chain(found: &[Stored]) {
    for stored in found {
        assert_eq!(stored.hash, chain::extend(stored.hash_before, &stored.entry));
    }
    for pair in found.windows(2) {
        assert_eq!((pair[1].sequence, pair[1].hash_before), (pair[0].sequence.next(), pair[0].hash));
    }
}

/// What was handed out is what was recorded, under the same sequences.
fn assert_given(found: &[Stored], entries: &[Draft]) {
    for stored in found {
        let index = usize::try_from(stored.sequence.0 - 1).unwrap_or(usize::MAX);
        let Some(draft) = entries.get(index) else { panic!("entry {} was never recorded", stored.sequence) };
        assert!(stored.entry == draft.entry && stored.note == draft.note, "entry {} is another", stored.sequence);
    }
}

/// Goes on under a new journal; each entry that the old one had promised is given or named, in order.
fn salvage(storage: FakeStorage, entries: &[Draft], is_forged: bool) {
    let Ok(mut journal) = Journal::replace_damaged(storage, SiteId(7), JournalId([44; 16])) else { return };
    let mut next = None;
    let mut given = Vec::new();
    let salvaged = journal.salvage(&mut |salvaged| {
        let (first, last) = match salvaged {
            Salvaged::Entry(stored) => {
                let sequence = stored.sequence;
                given.push(stored);
                (sequence, sequence)
            }
            Salvaged::Lost(loss) => (loss.first, loss.last),
        };
        assert!(last >= first && next.is_none_or(|next| next == first), "in order and without a gap");
        next = Some(last.next());
        ControlFlow::Continue(())
    });
    assert!(salvaged.is_ok(), "damage is told as a loss");
    if !is_forged {
        assert_given(&given, entries);
    }
}
