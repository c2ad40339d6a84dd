//! Damage: each case either opens with every acknowledged entry, or says so, and then salvage returns the others and names
//! exactly those that are lost. Nothing panics and nothing is skipped.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use protocol::ids::{JournalId, Sequence, SiteId};

use super::super::fake_storage::SegmentDamage;
use super::super::storage::{Key, Storage};
use super::super::{Damage, Draft, Journal, JournalError, JournalLimits, Opening, Salvaged};
use super::{Bed, FakeBed, SledBed, assert_holds, create, group, open, read_from, record};

/// Groups of two entries of a few hundred bytes; the third segment is the head.
const ENTRIES: usize = 700;
const SEGMENT_ENTRIES: u64 = 300;
const HEAD: u64 = 601;

#[derive(Debug, PartialEq)]
enum Outcome {
    AllThere,
    Lost(usize),
}

fn three_segments(bed: &impl Bed) -> Vec<Draft> {
    let mut journal = create(bed);
    journal.set_limits(JournalLimits { segment_entries_max: SEGMENT_ENTRIES, ..JournalLimits::default() });
    let all: Vec<Draft> = (0..ENTRIES as u64 / 2).flat_map(|mark| group(mark, 2, 300)).collect();
    for drafts in all.chunks(20) {
        record(&mut journal, drafts).unwrap();
    }
    assert_eq!(journal.segments.keys().copied().collect::<Vec<_>>(), [1, 301, HEAD]);
    all
}

/// Opens and reads everything; if that says damage, replaces the journal and adds up what salvage gives.
fn outcome(bed: &impl Bed, all: &[Draft], what: &str) -> Outcome {
    let opened = Journal::open(bed.storage()).map(|(journal, _)| journal);
    let damaged = match opened {
        Ok(mut journal) => match read_from(&mut journal, 0) {
            Ok(_) => {
                assert_eq!(journal.durable().sequence.0, all.len() as u64, "{what}");
                assert_holds(&mut journal, 0, all);
                record(&mut journal, &group(999, 1, 10)).unwrap();
                drop(journal);
                assert_eq!(open(bed).durable().sequence.0, all.len() as u64 + 1);
                return Outcome::AllThere;
            }
            Err(error) => error,
        },
        Err(error) => error,
    };
    let JournalError::Damaged(report) = &damaged else { panic!("{what}: {damaged}") };
    assert!(report.promised.is_none_or(|promised| promised.0 == all.len() as u64), "{what}");
    assert!(damaged.to_string().contains("damaged"), "{damaged}");
    salvaged(bed.storage(), all, what)
}

fn salvaged<S: Storage>(storage: S, all: &[Draft], what: &str) -> Outcome {
    let new = JournalId([44; 16]);
    let mut journal = Journal::replace_damaged(storage, SiteId(7), new).unwrap();
    let predecessor = journal.identity().predecessor.unwrap();
    assert_eq!((journal.durable().journal, journal.durable().sequence), (new, Sequence::ZERO));
    assert!(predecessor.sequence <= predecessor.promised && predecessor.promised.0 <= all.len() as u64, "{what}");
    assert_eq!(journal.durable().hash, journal.identity().genesis());
    record(&mut journal, &group(1, 1, 10)).unwrap();
    let mut storage = journal.into_storage();
    let mut result = None;
    // Twice, with a restart between: salvage can begin again.
    for _ in 0..2 {
        let mut journal = Journal::open(storage).unwrap().0;
        let mut next = 1;
        let mut lost = 0;
        journal
            .salvage(&mut |salvaged| {
                match salvaged {
                    Salvaged::Entry(stored) => {
                        assert_eq!(stored.sequence.0, next, "{what}: in order");
                        assert!(stored.entry == all[next as usize - 1].entry, "{what}: entry {next}");
                        assert_eq!(stored.note, all[next as usize - 1].note);
                        next += 1;
                    }
                    Salvaged::Lost(run) => {
                        assert_eq!(run.first.0, next, "{what}: in order");
                        assert!(run.last >= run.first);
                        lost += (run.last.0 - run.first.0) as usize + 1;
                        next = run.last.0 + 1;
                    }
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(next, predecessor.promised.0 + 1, "{what}: every promised entry is given or named");
        lost += all.len() - predecessor.promised.0 as usize;
        assert!(result.is_none_or(|before| before == lost));
        result = Some(lost);
        storage = journal.into_storage();
    }
    Outcome::Lost(result.unwrap())
}

fn overwrite(path: &Path, offset: u64, change: impl Fn(u8) -> u8, count: usize) {
    let mut file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut bytes = vec![0; count];
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.read_exact(&mut bytes).unwrap();
    for byte in &mut bytes {
        *byte = change(*byte);
    }
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(&bytes).unwrap();
}

fn set_length(path: &Path, length: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

fn snapshots(segment: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(segment).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("snap.")).collect()
}

/// Damages one segment of a fresh journal on sled, with and without a snapshot that covers it, and says what came of it.
fn on_sled(what: &str, number: u64, damage: impl Fn(&Path)) -> Vec<Outcome> {
    [false, true]
        .into_iter()
        .map(|has_snapshot| {
            let bed = SledBed::new();
            let all = three_segments(&bed);
            if has_snapshot {
                let mut journal = open(&bed);
                assert_holds(&mut journal, 0, &all);
            }
            damage(&bed.segment(number));
            let what = format!("{what}, segment {number}, snapshot: {has_snapshot}");
            let outcome = outcome(&bed, &all, &what);
            println!("{what}: {outcome:?}");
            outcome
        })
        .collect()
}

fn data_length(segment: &Path) -> u64 {
    fs::metadata(segment.join("db")).unwrap().len()
}

#[test]
fn flipped_and_zeroed_bytes_anywhere_in_a_sled_file_are_survived_or_named() {
    for number in [301, HEAD] {
        for part in [1, 3, 5, 7, 9] {
            let at = move |segment: &Path| data_length(segment) * part / 10;
            on_sled("one byte flipped", number, |segment| {
                overwrite(&segment.join("db"), at(segment), |byte| byte ^ 0x40, 1);
            });
        }
        for part in [2, 6] {
            let at = move |segment: &Path| data_length(segment) * part / 10;
            on_sled("4 KiB zeroed", number, |segment| {
                overwrite(&segment.join("db"), at(segment), |_| 0, 4096);
            });
        }
        on_sled("a segment header flipped", number, |segment| {
            overwrite(&segment.join("db"), 64 * 1024 + 2, |byte| byte ^ 1, 1);
        });
        on_sled("the file's header flipped", number, |segment| overwrite(&segment.join("db"), 2, |byte| byte ^ 1, 1));
    }
}

/// The engine's segments are 64 KiB each and begin with a header of their own.
#[test]
fn a_flipped_bit_in_the_header_of_each_of_the_engines_segments_costs_nothing() {
    for number in [301, HEAD] {
        for header in 0..4 {
            let outcomes = on_sled("header of an engine's segment", number, |segment| {
                let at = (header * 64 * 1024).min(data_length(segment) - 64 * 1024);
                overwrite(&segment.join("db"), at + header * 3, |byte| byte ^ 2, 1);
            });
            assert_eq!(outcomes, [Outcome::AllThere, Outcome::AllThere], "segment {number}, header {header}");
        }
    }
}

/// The value that says whose segment it is, in every place where the engine keeps it.
#[test]
fn a_segment_whose_own_header_is_unreadable_is_rebuilt_from_its_entries() {
    for number in [301, HEAD] {
        let outcomes = on_sled("the segment's header entry", number, |segment| {
            let path = segment.join("db");
            let mut bytes = fs::read(&path).unwrap();
            let starts: Vec<usize> =
                (0..bytes.len() - 6).filter(|at| bytes[*at..].starts_with(&[0xF1, 0x6F, 0x70, 0x9E, 1, 128])).collect();
            assert!(!starts.is_empty());
            for start in starts {
                bytes[start + 40] ^= 1;
            }
            fs::write(&path, bytes).unwrap();
        });
        assert_eq!(outcomes, [Outcome::AllThere, Outcome::AllThere], "segment {number}");
    }
}

#[test]
fn truncated_sled_files_are_survived_or_named() {
    for number in [301, HEAD] {
        for (what, cut) in [("1000 bytes", 1000), ("a segment", 64 * 1024)] {
            on_sled(&format!("{what} cut off"), number, |segment| {
                set_length(&segment.join("db"), data_length(segment) - cut);
            });
        }
        on_sled("half of it cut off", number, |segment| {
            set_length(&segment.join("db"), data_length(segment) / 2);
        });
    }
}

#[test]
fn a_missing_or_empty_sled_file_is_damage_and_never_an_empty_journal() {
    let one_segment = |number| if number == HEAD { ENTRIES - 600 } else { 300 };
    for number in [1, 301, HEAD] {
        let lost = one_segment(number);
        let deleted = on_sled("db deleted", number, |segment| fs::remove_file(segment.join("db")).unwrap());
        assert_eq!(deleted, [Outcome::Lost(lost), Outcome::Lost(lost)]);
        let emptied = on_sled("db emptied", number, |segment| set_length(&segment.join("db"), 0));
        assert_eq!(emptied, [Outcome::Lost(lost), Outcome::Lost(lost)]);
        let removed = on_sled("folder deleted", number, |segment| fs::remove_dir_all(segment).unwrap());
        assert_eq!(removed, [Outcome::Lost(lost), Outcome::Lost(lost)]);
    }
}

#[test]
fn damaged_side_files_of_sled_cost_nothing() {
    let whole = [Outcome::AllThere, Outcome::AllThere];
    for number in [301, HEAD] {
        let stray = |segment: &Path| fs::write(segment.join("snap.00000000000000FF.generating"), []).unwrap();
        assert_eq!(on_sled("stray half-written snapshot", number, stray), whole);
        let flipped = |segment: &Path| overwrite(&segment.join("conf"), 3, |byte| byte ^ 1, 1);
        assert_eq!(on_sled("conf flipped", number, flipped), whole);
        assert_eq!(on_sled("conf emptied", number, |segment| set_length(&segment.join("conf"), 0)), whole);
        let removed = |segment: &Path| fs::remove_file(segment.join("conf")).unwrap();
        assert_eq!(on_sled("conf deleted", number, removed), whole);
        let emptied = |segment: &Path| snapshots(segment).iter().for_each(|path| set_length(path, 0));
        assert_eq!(on_sled("snapshot emptied", number, emptied), whole);
        let deleted = |segment: &Path| snapshots(segment).iter().for_each(|path| fs::remove_file(path).unwrap());
        assert_eq!(on_sled("snapshot deleted", number, deleted), whole);
        let flipped = |segment: &Path| {
            for path in snapshots(segment) {
                overwrite(&path, 9, |byte| byte ^ 1, 1);
            }
        };
        assert_eq!(on_sled("snapshot flipped", number, flipped), whole);
    }
}

#[test]
fn a_segment_of_another_journal_is_not_taken_for_this_one() {
    let (bed, other) = (SledBed::new(), SledBed::new());
    let all = three_segments(&bed);
    let identity = super::Identity { journal: JournalId([77; 16]), ..super::identity() };
    let mut journal = Journal::create(other.storage(), identity).unwrap();
    record(&mut journal, &group(5, 300, 300)).unwrap();
    drop(journal);
    fs::remove_dir_all(bed.segment(1)).unwrap();
    fs::rename(other.segment(1), bed.segment(1)).unwrap();

    let mut journal = open(&bed);
    let Err(JournalError::Damaged(report)) = read_from(&mut journal, 0) else { panic!("it was read") };
    assert_eq!((report.segment, report.damage), (Some(1), Damage::SegmentForeign));
    assert_holds(&mut journal, 300, &all[300..]);
}

/// On the fake each kind of damage is put where it is wanted, so what must come of it is known.
fn on_the_fake(number: u64, damage: SegmentDamage) -> Outcome {
    let bed = FakeBed::default();
    let all = three_segments(&bed);
    assert!(bed.main.damage(number, damage));
    outcome(&bed, &all, &format!("{damage:?} in {number}"))
}

#[test]
fn damage_that_leaves_the_bytes_is_repaired_from_them() {
    for number in [1, 301, HEAD] {
        assert_eq!(on_the_fake(number, SegmentDamage::StopsOpening), Outcome::AllThere);
        assert_eq!(on_the_fake(number, SegmentDamage::OpensEmpty), Outcome::AllThere);
        for key in [number, number + 50, number + 99] {
            assert_eq!(on_the_fake(number, SegmentDamage::ValueLost(Key::first_of(key))), Outcome::AllThere);
        }
        assert_eq!(on_the_fake(number, SegmentDamage::ValueLost(Key::HEADER)), Outcome::AllThere);
    }
}

#[test]
fn damage_to_the_bytes_loses_exactly_what_it_hits() {
    for number in [1, 301, HEAD] {
        for key in [number, number + 50, number + 99] {
            assert_eq!(on_the_fake(number, SegmentDamage::ValueFlipped(Key::first_of(key))), Outcome::Lost(1));
        }
        let end = if number == HEAD { ENTRIES as u64 } else { number + 299 };
        let lost = (end - number - 40) as usize + 1;
        assert_eq!(on_the_fake(number, SegmentDamage::TailLost(Key::first_of(number + 40))), Outcome::Lost(lost));
        assert_eq!(on_the_fake(number, SegmentDamage::Gone), Outcome::Lost((end - number) as usize + 1));
    }
}

#[test]
fn the_report_names_the_segment_and_the_entry() {
    let bed = FakeBed::default();
    three_segments(&bed);
    bed.main.damage(HEAD, SegmentDamage::ValueFlipped(Key::first_of(650)));
    let Err(JournalError::Damaged(report)) = Journal::open(bed.storage()) else { panic!("it opened") };
    assert_eq!((report.segment, report.promised), (Some(HEAD), Some(Sequence(700))));
    assert!(matches!(report.damage, Damage::Entry { sequence: Sequence(650), .. }));
    let text = report.to_string();
    assert!(text.contains("segment 601") && text.contains("entry 650") && text.contains("up to 700"), "{text}");
}

#[test]
fn one_damaged_slot_of_the_mark_is_healed_and_two_are_damage() {
    for (offset, other) in [(20, 4096 + 20), (4096 + 20, 20)] {
        let bed = FakeBed::default();
        let all = three_segments(&bed);
        bed.main.flip_mark(offset);
        let (mut journal, opening) = Journal::open(bed.storage()).unwrap();
        assert!(opening.was_mark_healed);
        assert_holds(&mut journal, 0, &all);
        drop(journal);
        assert_eq!(Journal::open(bed.storage()).unwrap().1, Opening::default());
        bed.main.flip_mark(offset);
        bed.main.flip_mark(other);
        let Err(JournalError::Damaged(report)) = Journal::open(bed.storage()) else { panic!("it opened") };
        assert_eq!(report.damage, Damage::MarkUnreadable);
        assert_eq!(salvaged(bed.storage(), &all, "no mark"), Outcome::Lost(0));
    }
}

#[test]
fn a_lost_mark_is_damage_and_all_entries_are_salvaged() {
    let bed = FakeBed::default();
    let all = three_segments(&bed);
    bed.main.lose_mark();
    let Err(JournalError::Damaged(report)) = Journal::open(bed.storage()) else { panic!("it opened") };
    assert_eq!(report.damage, Damage::MarkMissing);
    assert!(matches!(Journal::create(bed.storage(), super::identity()), Err(JournalError::AlreadyThere)));
    assert_eq!(salvaged(bed.storage(), &all, "no mark"), Outcome::Lost(0));
}

#[test]
fn damage_in_an_old_segment_stops_reading_there_and_does_not_stop_recording() {
    let bed = FakeBed::default();
    let all = three_segments(&bed);
    bed.main.damage(301, SegmentDamage::ValueFlipped(Key::first_of(400)));
    let mut journal = open(&bed);
    let mut count = 0;
    let result = journal.read(Sequence::ZERO, &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    });
    assert!(matches!(result, Err(JournalError::Damaged(_))));
    assert_eq!(count, 300);
    assert_holds(&mut journal, 600, &all[600..]);
    record(&mut journal, &group(1, 1, 10)).unwrap();
    // Central has it all: nothing is lost by pruning it.
    journal.prune(Sequence(600), 0).unwrap();
    assert_eq!(journal.floor(), Sequence(600));
    drop(journal);
    assert_eq!(read_from(&mut open(&bed), 600).unwrap().len(), 101);
}

#[test]
fn a_journal_that_was_replaced_in_the_middle_of_a_crash_is_the_old_or_the_new_one() {
    let bed = SledBed::new();
    let all = three_segments(&bed);
    fs::remove_dir_all(bed.segment(301)).unwrap();
    drop(Journal::replace_damaged(bed.storage(), SiteId(7), JournalId([44; 16])).unwrap());
    // As if the crash had come between the two renames.
    let (root, new) = (bed.root(), bed.root().with_extension("new"));
    fs::rename(&root, &new).unwrap();
    let journal = open(&bed);
    assert_eq!(journal.durable().journal, JournalId([44; 16]));
    assert_eq!(journal.identity().predecessor.unwrap().sequence, Sequence(300));
    assert_eq!(journal.identity().predecessor.unwrap().promised.0, all.len() as u64);
}

#[test]
fn a_segment_half_replaced_by_a_crash_is_the_old_one() {
    let bed = SledBed::new();
    let all = three_segments(&bed);
    let name = bed.segment(HEAD).file_name().unwrap().to_string_lossy().into_owned();
    let beside = |suffix: &str| bed.root().join(format!("{name}{suffix}"));
    fs::create_dir(beside(".new")).unwrap();
    fs::rename(bed.segment(HEAD), beside(".replaced")).unwrap();
    fs::write(beside(".copying"), b"half").unwrap();
    assert_holds(&mut open(&bed), 0, &all);
    assert!(!beside(".new").exists() && !beside(".replaced").exists() && !beside(".copying").exists());
}

#[test]
fn a_segment_with_other_entries_of_the_same_journal_is_noticed_by_the_mark() {
    let (bed, twin) = (SledBed::new(), SledBed::new());
    record(&mut create(&bed), &group(1, 2, 50)).unwrap();
    record(&mut create(&twin), &group(2, 2, 50)).unwrap();
    fs::remove_dir_all(bed.segment(1)).unwrap();
    fs::rename(twin.segment(1), bed.segment(1)).unwrap();

    let Err(JournalError::Damaged(report)) = Journal::open(bed.storage()) else { panic!("it opened") };
    assert_eq!((report.segment, report.damage), (Some(1), Damage::HashDiffers { sequence: Sequence(2) }));
}
